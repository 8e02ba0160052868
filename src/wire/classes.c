#include "wire/classes.h"

#include <stdbool.h>
#include <string.h>

struct known {
	const char *name;
	enum bri_meaning meaning;
};

/* clang-format off */
static const struct known classes[] = {
#define EXCEPTION(name) { "builtins " #name, BRI_AS_INSTANCE }
	{ "builtins set", BRI_AS_SET }, { "builtins frozenset", BRI_AS_FROZENSET }, { "builtins list", BRI_AS_LIST },
	{ "builtins bytes", BRI_AS_BYTES }, { "builtins bytearray", BRI_AS_BYTEARRAY }, { "_codecs encode", BRI_AS_ENCODE },
	{ "builtins complex", BRI_AS_INSTANCE }, { "builtins range", BRI_AS_INSTANCE }, { "builtins slice", BRI_AS_INSTANCE },
	{ "array array", BRI_AS_INSTANCE }, { "array _array_reconstructor", BRI_AS_INSTANCE },
	{ "_queue Empty", BRI_AS_INSTANCE }, { "queue Empty", BRI_AS_INSTANCE }, { "queue Full", BRI_AS_INSTANCE },
	{ "queue ShutDown", BRI_AS_INSTANCE }, { "threading BrokenBarrierError", BRI_AS_INSTANCE },
	{ "multiprocessing.context ProcessError", BRI_AS_INSTANCE },
	{ "multiprocessing.context BufferTooShort", BRI_AS_INSTANCE },
	{ "multiprocessing.context TimeoutError", BRI_AS_INSTANCE },
	{ "multiprocessing.context AuthenticationError", BRI_AS_INSTANCE },
	{ "multiprocessing.managers Token", BRI_AS_INSTANCE },
	{ "multiprocessing.managers RebuildProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers AutoProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers AcquirerProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers ArrayProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers BarrierProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers ConditionProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers DictProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers EventProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers IteratorProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers ListProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers NamespaceProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers PoolProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers SetProxy", BRI_AS_INSTANCE },
	{ "multiprocessing.managers ValueProxy", BRI_AS_INSTANCE },
	/* the exceptions of builtins, in 3.8 to 3.13 */
	EXCEPTION(ArithmeticError), EXCEPTION(AssertionError), EXCEPTION(AttributeError),
	EXCEPTION(BaseException), EXCEPTION(BaseExceptionGroup), EXCEPTION(BlockingIOError),
	EXCEPTION(BrokenPipeError), EXCEPTION(BufferError), EXCEPTION(BytesWarning),
	EXCEPTION(ChildProcessError), EXCEPTION(ConnectionAbortedError),
	EXCEPTION(ConnectionError), EXCEPTION(ConnectionRefusedError),
	EXCEPTION(ConnectionResetError), EXCEPTION(DeprecationWarning), EXCEPTION(EOFError),
	EXCEPTION(EncodingWarning), EXCEPTION(Exception), EXCEPTION(ExceptionGroup),
	EXCEPTION(FileExistsError), EXCEPTION(FileNotFoundError), EXCEPTION(FloatingPointError),
	EXCEPTION(FutureWarning), EXCEPTION(GeneratorExit), EXCEPTION(ImportError),
	EXCEPTION(ImportWarning), EXCEPTION(IndentationError), EXCEPTION(IndexError),
	EXCEPTION(InterruptedError), EXCEPTION(IsADirectoryError), EXCEPTION(KeyError),
	EXCEPTION(KeyboardInterrupt), EXCEPTION(LookupError), EXCEPTION(MemoryError),
	EXCEPTION(ModuleNotFoundError), EXCEPTION(NameError), EXCEPTION(NotADirectoryError),
	EXCEPTION(NotImplementedError), EXCEPTION(OSError), EXCEPTION(OverflowError),
	EXCEPTION(PendingDeprecationWarning), EXCEPTION(PermissionError),
	EXCEPTION(ProcessLookupError), EXCEPTION(PythonFinalizationError),
	EXCEPTION(RecursionError), EXCEPTION(ReferenceError), EXCEPTION(ResourceWarning),
	EXCEPTION(RuntimeError), EXCEPTION(RuntimeWarning), EXCEPTION(StopAsyncIteration),
	EXCEPTION(StopIteration), EXCEPTION(SyntaxError), EXCEPTION(SyntaxWarning),
	EXCEPTION(SystemError), EXCEPTION(SystemExit), EXCEPTION(TabError),
	EXCEPTION(TimeoutError), EXCEPTION(TypeError), EXCEPTION(UnboundLocalError),
	EXCEPTION(UnicodeDecodeError), EXCEPTION(UnicodeEncodeError), EXCEPTION(UnicodeError),
	EXCEPTION(UnicodeTranslateError), EXCEPTION(UnicodeWarning), EXCEPTION(UserWarning),
	EXCEPTION(ValueError), EXCEPTION(Warning), EXCEPTION(ZeroDivisionError),
};

/* Modules, and one name, that Python writes in protocol 2, which is Python 2's. */
static const struct {
	const char *old_module, *old_name, *module, *name;
} renamed[] = {
	{ "__builtin__", "xrange", "builtins", "range" },
	{ "__builtin__", NULL, "builtins", NULL },
	{ "exceptions", NULL, "builtins", NULL },
	{ "Queue", NULL, "queue", NULL },
	{ "multiprocessing", NULL, "multiprocessing.context", NULL },
};
/* clang-format on */

enum { N_CLASSES = sizeof(classes) / sizeof(classes[0]) };
enum { N_RENAMED = sizeof(renamed) / sizeof(renamed[0]) };

/* Bytes and their number that a string equals; NULL: any. */
static bool same(const char *string, const void *bytes, size_t n)
{
	return string == NULL || (strlen(string) == n && memcmp(string, bytes, n) == 0);
}

/* Whether `full`, "module name", names this class. There is no NUL in what is asked for. */
static bool names(const char *full, const char *module, size_t n_module, const char *name,
		  size_t n_name)
{
	return strncmp(full, module, n_module) == 0 && full[n_module] == ' ' &&
	       same(full + n_module + 1, name, n_name);
}

const char *bri_class_find(int protocol, const char *module, size_t n_module, const char *name,
			   size_t n_name, const char *const *more, enum bri_meaning *ret_meaning)
{
	if (memchr(module, '\0', n_module) != NULL || memchr(name, '\0', n_name) != NULL)
		return NULL;
	for (size_t i = 0; protocol == 2 && i < N_RENAMED; i++) {
		if (!same(renamed[i].old_module, module, n_module) ||
		    !same(renamed[i].old_name, name, n_name))
			continue;
		module = renamed[i].module;
		n_module = strlen(module);
		if (renamed[i].name != NULL) {
			name = renamed[i].name;
			n_name = strlen(name);
		}
		break;
	}
	for (size_t i = 0; i < N_CLASSES; i++) {
		if (!names(classes[i].name, module, n_module, name, n_name))
			continue;
		*ret_meaning = classes[i].meaning;
		return classes[i].name;
	}
	*ret_meaning = BRI_AS_INSTANCE;
	for (; more != NULL && *more != NULL; more++)
		if (names(*more, module, n_module, name, n_name))
			return *more;
	return NULL;
}
