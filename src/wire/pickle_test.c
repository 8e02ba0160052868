/* Pickles: what is written is just these bytes, what is read is just this object, and each way in which
 * bytes can be wrong is told with its place. */
#include <brood/pickle.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/unit/leak.h"

#define STRING(text) text, sizeof(text) - 1
#define OF(kind, text) brood_object_of_data(BROOD_OBJECT_##kind, text, sizeof(text) - 1)
#define FROZENSET(...) brood_object_of_items(BROOD_OBJECT_FROZENSET, BROOD_OBJECTS(__VA_ARGS__))
#define INSTANCE(...) brood_object_of_items(BROOD_OBJECT_INSTANCE, BROOD_OBJECTS(__VA_ARGS__))

static brood_fail fail;

/* Returns where the next byte goes. */
static char *put(char *at, const char *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

/* ---- what is written */

static void ck_written(brood_object object, int protocol, const char *wanted, size_t size)
{
	brood_pickle_opts opts = { .protocol = protocol };
	void *data;
	size_t n;

	ck_assert_int_eq(brood_pickle_dumps(&object, &opts, &data, &n), 0);
	ck_assert_uint_eq(n, size);
	ck_assert_mem_eq(data, wanted, size);
	/* In less room the length is the same, and nothing behind the room is touched. */
	for (size_t room = 0; room <= size; room++) {
		char *buf = malloc(room + 1);

		buf[room] = '#';
		ck_assert_int_eq(brood_pickle_dump(&object, &opts, buf, room), (ssize_t)size);
		ck_assert_int_eq(buf[room], '#');
		free(buf);
	}
	free(data);
}

#define ck_4(object, bytes) ck_written(object, 0, STRING("\x80\x04" bytes "."))

START_TEST(each_kind_has_its_opcodes)
{
	brood_object by_new = INSTANCE(OF(CLASS, "m C"), BROOD_TUPLE_OF(NULL, 0), BROOD_INT(1));

	ck_4(BROOD_NONE, "N");
	ck_4(BROOD_BOOL(true), "\x88");
	ck_4(BROOD_BOOL(false), "\x89");
	ck_4(BROOD_INT(0), "K\0");
	ck_4(BROOD_INT(255), "K\xff");
	ck_4(BROOD_INT(256), "M\x00\x01");
	ck_4(BROOD_INT(65535), "M\xff\xff");
	ck_4(BROOD_INT(65536), "J\x00\x00\x01\x00");
	ck_4(BROOD_INT(-1), "J\xff\xff\xff\xff");
	ck_4(BROOD_INT(INT32_MIN), "J\x00\x00\x00\x80");
	ck_4(BROOD_INT(INT64_C(1) << 31), "\x8a\x05\x00\x00\x00\x80\x00");
	ck_4(BROOD_INT(INT64_MIN), "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80");
	ck_4(BROOD_UINT(7), "\x8a\x01\x07");
	ck_4(BROOD_UINT(UINT64_MAX), "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00");
	ck_4(OF(BIG, "\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00"),
	     "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01");
	ck_4(BROOD_FLOAT(2.5), "G\x40\x04\x00\x00\x00\x00\x00\x00");
	ck_4(BROOD_TEXT("tea"), "\x8c\x03tea");
	ck_4(BROOD_BYTES("\0\xff", 2), "C\x02\x00\xff");
	ck_4(OF(BYTEARRAY, "x"), "\x8c\x08"
				 "builtins\x8c\x09"
				 "bytearray\x93"
				 "C\x01x\x85R");
	ck_written(OF(BYTEARRAY, "x"), 5, STRING("\x80\x05\x96\x01\0\0\0\0\0\0\0x."));
	ck_4(BROOD_TUPLE_OF(NULL, 0), ")");
	ck_4(BROOD_TUPLE(BROOD_NONE), "N\x85");
	ck_4(BROOD_TUPLE(BROOD_NONE, BROOD_NONE, BROOD_NONE), "NNN\x87");
	ck_4(BROOD_TUPLE(BROOD_NONE, BROOD_NONE, BROOD_NONE, BROOD_INT(1)), "(NNNK\x01t");
	ck_4(BROOD_LIST_OF(NULL, 0), "]");
	ck_4(BROOD_LIST(BROOD_NONE), "]Na");
	ck_4(BROOD_LIST(BROOD_NONE, BROOD_LIST_OF(NULL, 0)), "](N]e");
	ck_4(BROOD_DICT_OF(NULL, 0), "}");
	ck_4(BROOD_DICT(BROOD_TEXT("a"), BROOD_INT(1)), "}\x8c\x01"
							"aK\x01s");
	ck_4(BROOD_DICT(BROOD_INT(1), BROOD_NONE, BROOD_INT(2), BROOD_NONE), "}(K\x01NK\x02Nu");
	ck_4(BROOD_SET_OF(NULL, 0), "\x8f");
	ck_4(BROOD_SET(BROOD_INT(1)), "\x8f(K\x01\x90");
	ck_4(FROZENSET(BROOD_INT(1)), "(K\x01\x91");
	ck_4(OF(CLASS, "queue Empty"), "\x8c\x05queue\x8c\x05"
				       "Empty\x93");
	ck_4(INSTANCE(OF(CLASS, "m C"), BROOD_TUPLE(BROOD_INT(1))), "\x8c\x01m\x8c\x01"
								    "C\x93K\x01\x85R");
	by_new.tag = BROOD_OBJECT_BY_NEW;
	ck_4(by_new, "\x8c\x01m\x8c\x01"
		     "C\x93)\x81K\x01"
		     "b");
}
END_TEST

START_TEST(long_data_has_the_longer_length)
{
	char bytes[300], *wanted = calloc(1, sizeof(bytes) + 8);

	memset(bytes, 'x', sizeof(bytes));
	put(wanted, STRING("\x80\x04X\x2c\x01\0\0"));
	memcpy(wanted + 7, bytes, sizeof(bytes));
	wanted[307] = '.';
	ck_written(BROOD_TEXT_OF(bytes, 300), 4, wanted, 308);
	wanted[2] = 'B';
	ck_written(BROOD_BYTES(bytes, 300), 4, wanted, 308);
	wanted[2] = '\x8b';
	ck_written(brood_object_of_data(BROOD_OBJECT_BIG, bytes, 300), 4, wanted, 308);
	wanted[3] = '\xff';
	wanted[4] = 0;
	wanted[262] = '.';
	wanted[2] = 'X';
	memmove(wanted + 3, wanted + 6, 256);
	put(wanted + 2, STRING("\x8c\xff"));
	wanted[259] = '.';
	ck_written(BROOD_TEXT_OF(bytes, 255), 4, wanted, 260);
	free(wanted);
}
END_TEST

/* 4 GiB and more are written behind 8 bytes of length; only measured here, the memory is never touched. */
START_TEST(lengths_beyond_4_gib_have_eight_bytes)
{
	const size_t size = (size_t)1 << 32;
	brood_object bytes = BROOD_BYTES("", size);

	ck_assert_int_eq(brood_pickle_dump(&bytes, NULL, NULL, 0), (ssize_t)size + 2 + 9 + 1);
	bytes.size--;
	ck_assert_int_eq(brood_pickle_dump(&bytes, NULL, NULL, 0), (ssize_t)size - 1 + 2 + 5 + 1);
}
END_TEST

static void ck_not_written(int error, const char *text, const brood_object *object,
			   brood_pickle_opts opts)
{
	void *data = &data;
	size_t n;

	fail = (brood_fail){ 0 };
	opts.fail = &fail;
	ck_assert_int_eq(brood_pickle_dump(object, &opts, NULL, 0), -error);
	ck_assert_int_eq(fail.error, error);
	ck_assert_str_eq(fail.step, "pickle");
	ck_assert_str_eq(fail.text, text);
	ck_assert_int_eq(brood_pickle_dumps(object, &opts, &data, &n), -error);
	ck_assert_ptr_eq(data, &data);
	opts.fail = NULL;
	ck_assert_int_eq(brood_pickle_dump(object, &opts, NULL, 0), -error);
}

static void ck_refused(int error, const char *text, brood_object object)
{
	ck_not_written(error, text, &object, (brood_pickle_opts){ 0 });
}

START_TEST(what_python_could_not_read_is_not_written)
{
	brood_object none = BROOD_NONE, list = BROOD_LIST_OF(NULL, 0), set;
	brood_object deep[BROOD_OBJECT_DEPTH + 1];

	ck_not_written(EINVAL, "no object", NULL, (brood_pickle_opts){ 0 });
	ck_not_written(EINVAL, "a protocol that is not written", &none,
		       (brood_pickle_opts){ .protocol = 3 });
	ck_refused(EINVAL, "an unknown kind", ((brood_object){ .kind = (brood_object_kind)99 }));
	ck_refused(EINVAL, "no memory behind a text", BROOD_TEXT_OF(NULL, 1));
	ck_refused(EINVAL, "no memory behind a list", BROOD_LIST_OF(NULL, 1));
	ck_refused(EINVAL, "no memory behind a dict", BROOD_DICT_OF(&none, SIZE_MAX / 2));
	ck_refused(EILSEQ, "text that is not UTF-8", BROOD_TEXT("\xff"));
	ck_refused(EILSEQ, "text that is not UTF-8", BROOD_TEXT("\xed\xa0\x80"));
	ck_refused(EINVAL, "a list as a key", BROOD_DICT(list, none));
	ck_refused(EINVAL, "a list as a key", BROOD_SET(BROOD_TUPLE(list)));
	ck_refused(EINVAL, "a dict as a key", FROZENSET(BROOD_DICT_OF(NULL, 0)));
	ck_refused(EINVAL, "a bytearray as a key", BROOD_SET(OF(BYTEARRAY, "")));
	ck_refused(EINVAL, "a class without module or name", OF(CLASS, "queue"));
	ck_refused(EINVAL, "a class without module or name", OF(CLASS, ""));
	ck_refused(EINVAL, "a class without module or name", OF(CLASS, " Empty"));
	ck_refused(EINVAL, "a class without module or name", OF(CLASS, "queue "));
	ck_refused(EILSEQ, "text that is not UTF-8", OF(CLASS, "\xff x"));
	ck_refused(EINVAL, "an instance without class or arguments", INSTANCE(none, none));
	ck_refused(EINVAL, "an instance without class or arguments", INSTANCE(OF(CLASS, "a b")));
	ck_refused(EINVAL, "an instance without class or arguments",
		   INSTANCE(OF(CLASS, "a b"), list));
	ck_refused(ENOTSUP, "a handle", BROOD_LIST(BROOD_HANDLE(1, NULL)));
	deep[0] = list;
	for (size_t i = 1; i <= BROOD_OBJECT_DEPTH; i++)
		deep[i] = BROOD_LIST_OF(&deep[i - 1], 1);
	ck_assert_int_gt(brood_pickle_dump(&deep[BROOD_OBJECT_DEPTH - 1], NULL, NULL, 0), 0);
	ck_refused(ELOOP, "too many levels", deep[BROOD_OBJECT_DEPTH]);
	deep[0] = BROOD_TUPLE_OF(NULL, 0);
	for (size_t i = 1; i <= BROOD_OBJECT_KEY_DEPTH; i++)
		deep[i] = BROOD_TUPLE_OF(&deep[i - 1], 1);
	set = BROOD_SET_OF(&deep[BROOD_OBJECT_KEY_DEPTH - 1], 1);
	ck_assert_int_gt(brood_pickle_dump(&set, NULL, NULL, 0), 0);
	ck_refused(ELOOP, "too many levels", BROOD_SET_OF(&deep[BROOD_OBJECT_KEY_DEPTH], 1));
}
END_TEST

/* ---- what is read */

static brood_object *read(const char *bytes, size_t size, brood_pickle_opts opts)
{
	brood_object *object = NULL;
	char *copy = malloc(size + 1), *exact = copy + 1; /* its end is that of the block */
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(exact, bytes, size);
	fail = (brood_fail){ 0 };
	opts.fail = &fail;
	r = brood_pickle_loads(exact, size, &opts, &object);
	free(copy);
	ck_assert_msg(r == 0, "%d %s", r, fail.text);
	return object;
}

/* clang-format off */
static const struct {
	const char *bytes;
	size_t size;
	const char *wanted;
} good[] = {
#define READ(bytes, wanted) { STRING("\x80\x04" bytes "."), wanted }
#define READ_2(bytes, wanted) { STRING("\x80\x02" bytes "."), wanted }
	READ("N", "None"),
	READ("\x95\x01\0\0\0\0\0\0\0\x88", "True"),
	READ("K\xff", "255"), READ("M\x01\x02", "513"), READ("J\xfe\xff\xff\xff", "-2"),
	READ("\x8a\0", "0"), READ("\x8a\x01\x80", "-128"), READ("\x8a\x02\xff\0", "255"),
	READ("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "9223372036854775807"),
	READ("\x8a\x09\0\0\0\0\0\0\0\x80\0", "9223372036854775808"),
	READ("\x8a\x0a\0\0\0\0\0\0\0\0\x01\0", "0x10000000000000000"),
	READ("\x8b\x02\0\0\0\xfe\xff", "-2"),
	READ("G\x3f\xe0\0\0\0\0\0\0", "0.5"),
	READ("\x8c\x03" "tea", "'tea'"), READ("X\x01\0\0\0x", "'x'"), READ("\x8d\x01\0\0\0\0\0\0\0x", "'x'"),
	READ("C\x01x", "b'x'"), READ("B\x01\0\0\0x", "b'x'"), READ("\x8e\x01\0\0\0\0\0\0\0x", "b'x'"),
	READ("\x96\x01\0\0\0\0\0\0\0x", "bytearray(b'x')"),
	READ(")", "()"), READ("N\x85", "(None,)"), READ("NN\x86", "(None, None)"),
	READ("K\1K\2K\3\x87", "(1, 2, 3)"), READ("(K\1K\2t", "(1, 2)"), READ("(t", "()"),
	READ("](K\1K\2eK\3a", "[1, 2, 3]"), READ("](e", "[]"),
	READ("}(K\1K\2uK\3K\4s", "{1: 2, 3: 4}"),
	READ("\x8f(K\1\x90(K\2\x90", "{1, 2}"), READ("(K\1\x91", "frozenset({1})"),
	/* the stack and the memo */
	READ("NK\1" "0", "None"), READ("N(K\1K\2" "1", "None"), READ("N(0", "None"), READ("]2\x86", "([], [])"),
	READ("]\x94h\0\x86", "([], [])"), READ("]q\5" "0j\5\0\0\0", "[]"), READ("]r\1\0\0\0h\1\x86h\1K\7" "a0", "([7], [7])"),
	/* equal keys: the first stays, with the last value */
	READ("}(K\1Nu(\x88K\5G\x3f\xf0\0\0\0\0\0\0K\6u", "{1: 6}"),
	READ("\x8f(\x88K\1K\2\x90", "{True, 2}"),
	READ("}((K\1\x91N(\x88\x91K\2u", "{frozenset({1}): 2}"),
	READ("}(G\x7f\xf8\0\0\0\0\0\0NG\x7f\xf8\0\0\0\0\0\0Nu", "{nan: None, nan: None}"),
	/* classes, which nobody imports, and calls, which nobody makes */
	READ("\x8c\x08" "builtins\x8c\x08" "KeyError\x93", "<class KeyError>"),
	READ("cbuiltins\nKeyError\nK\1\x85R", "KeyError(1)"),
	READ("cqueue\nEmpty\n)R}b", "queue.Empty() with {}"),
	READ("cmultiprocessing.managers\nToken\n)\x81N\x85" "b", "multiprocessing.managers.Token() with (None,)"),
	READ("cbuiltins\nrange\nK\0K\3K\1\x87R", "range(0, 3, 1)"),
	/* what older protocols have no opcode for */
	READ_2("c__builtin__\nset\n](K\1K\2e\x85R", "{1, 2}"), READ_2("c__builtin__\nset\n)R", "set()"),
	READ_2("c__builtin__\nfrozenset\n(K\1K\1t\x85R", "frozenset({1})"),
	READ("cbuiltins\nlist\n\x8f\x85R", "[]"), READ("cbuiltins\nlist\n(K\1\x91\x85R", "[1]"),
	READ_2("c__builtin__\nbytes\n)R", "b''"),
	READ_2("c_codecs\nencode\nX\3\0\0\0a\xc3\xbfX\6\0\0\0latin1\x86R", "b'a\\xff'"),
	READ_2("c__builtin__\nbytearray\nX\3\0\0\0a\xc2\x80X\7\0\0\0latin-1\x86R", "bytearray(b'a\\x80')"),
	READ_2("c__builtin__\nbytearray\nc_codecs\nencode\nX\2\0\0\0\xc3\xbfX\6\0\0\0latin1\x86R\x85R", "bytearray(b'\\xff')"),
	READ("cbuiltins\nbytearray\n)R", "bytearray(b'')"),
	/* Python 2's names, in protocol 2 alone */
	READ_2("c__builtin__\nxrange\n)R", "range()"), READ_2("cexceptions\nOSError\n)R", "OSError()"),
	READ_2("cQueue\nFull\n)R", "queue.Full()"),
	READ_2("cmultiprocessing\nTimeoutError\n)R", "multiprocessing.context.TimeoutError()"),
};

static const struct {
	const char *bytes;
	size_t size;
	int error;
	const char *text;
} wrong[] = {
#define WRONG(bytes, error, text) { STRING("\x80\x04" bytes), error, text }
	{ STRING(""), EBADMSG, "byte 0: no PROTO: no pickle, or protocol 0 or 1" },
	{ STRING("\x80"), EBADMSG, "byte 0: no PROTO: no pickle, or protocol 0 or 1" },
	{ STRING("N."), EPROTONOSUPPORT, "byte 0: no PROTO: no pickle, or protocol 0 or 1" },
	{ STRING("\x80\x01N."), EPROTONOSUPPORT, "byte 0: protocol 1" },
	{ STRING("\x80\x06N."), EPROTONOSUPPORT, "byte 0: protocol 6" },
	WRONG("", EBADMSG, "byte 2: the input ends without STOP"),
	WRONG("N", EBADMSG, "byte 3: the input ends without STOP"),
	WRONG("N..", EBADMSG, "byte 4: 1 bytes behind STOP"),
	WRONG("\x80\x04N.", EBADMSG, "byte 2: PROTO once more"),
	WRONG("N\xff", EBADMSG, "byte 3: 0xff is no opcode"),
	WRONG("J\0\0", EBADMSG, "byte 2: the input ends within BININT"),
	WRONG("\x8c\x05" "abc.", EBADMSG, "byte 2: SHORT_BINUNICODE of 5 bytes, and 4 are left"),
	WRONG("\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", EBADMSG, "byte 2: BINBYTES8 of 18446744073709551615 bytes, and 1 are left"),
	WRONG("\x8b\xff\xff\xff\xff.", EBADMSG, "byte 2: LONG4 of a negative length"),
	WRONG("\x95\x09\0\0\0\0\0\0\0N.", EBADMSG, "byte 2: FRAME of 9 bytes, and 2 are left"),
	WRONG("cqueue\nEmpty", EBADMSG, "byte 2: the input ends within GLOBAL"),
	WRONG("cqueue", EBADMSG, "byte 2: the input ends within GLOBAL"),
	/* opcodes that nobody needs */
	WRONG("I1\n.", EPERM, "byte 2: INT is not allowed"), WRONG("L1L\n.", EPERM, "byte 2: LONG is not allowed"),
	WRONG("F1\n.", EPERM, "byte 2: FLOAT is not allowed"), WRONG("S''\n.", EPERM, "byte 2: STRING is not allowed"),
	WRONG("T", EPERM, "byte 2: BINSTRING is not allowed"), WRONG("U", EPERM, "byte 2: SHORT_BINSTRING is not allowed"),
	WRONG("Vx\n.", EPERM, "byte 2: UNICODE is not allowed"), WRONG("Px\n.", EPERM, "byte 2: PERSID is not allowed"),
	WRONG("g0\n.", EPERM, "byte 2: GET is not allowed"), WRONG("p0\n.", EPERM, "byte 2: PUT is not allowed"),
	WRONG("(l.", EPERM, "byte 3: LIST is not allowed"), WRONG("(d.", EPERM, "byte 3: DICT is not allowed"),
	WRONG("(iposix\nsystem\n.", EPERM, "byte 3: INST is not allowed"), WRONG("(o.", EPERM, "byte 3: OBJ is not allowed"),
	WRONG("\x82\1.", EPERM, "byte 2: EXT1 is not allowed"), WRONG("\x83\1\0.", EPERM, "byte 2: EXT2 is not allowed"),
	WRONG("\x84\1\0\0\0.", EPERM, "byte 2: EXT4 is not allowed"), WRONG("\x92.", EPERM, "byte 2: NEWOBJ_EX is not allowed"),
	WRONG("\x97.", EPERM, "byte 2: NEXT_BUFFER is not allowed"), WRONG("\x98.", EPERM, "byte 2: READONLY_BUFFER is not allowed"),
	/* the stack */
	WRONG(".", EBADMSG, "byte 2: STOP with 0 things left"), WRONG("NN.", EBADMSG, "byte 4: STOP with 2 things left"),
	WRONG("(.", EBADMSG, "byte 3: STOP with 1 things left"), WRONG("0N.", EBADMSG, "byte 2: POP: too little before it"),
	WRONG("2.", EBADMSG, "byte 2: DUP: too little before it"), WRONG("(2.", EBADMSG, "byte 3: DUP: too little before it"),
	WRONG("N1.", EBADMSG, "byte 3: POP_MARK without a MARK"), WRONG("t.", EBADMSG, "byte 2: TUPLE without a MARK"),
	WRONG("]e.", EBADMSG, "byte 3: APPENDS without a MARK"), WRONG("N\x86.", EBADMSG, "byte 3: TUPLE2: too little before it"),
	WRONG("N(N\x86.", EBADMSG, "byte 5: TUPLE2: too little before it"), WRONG("a.", EBADMSG, "byte 2: APPEND: too little before it"),
	WRONG("Na.", EBADMSG, "byte 3: APPEND: too little before it"), WRONG("NNa.", EBADMSG, "byte 4: APPEND to None"),
	WRONG("(Na.", EBADMSG, "byte 4: APPEND: too little before it"), WRONG("(Ne.", EBADMSG, "byte 4: APPENDS: too little before it"),
	WRONG("((Ne.", EBADMSG, "byte 5: APPENDS: too little before it"), WRONG(")(Ne.", EBADMSG, "byte 5: APPENDS to a tuple"),
	WRONG("}NNNs.", EBADMSG, "byte 6: SETITEM to None"), WRONG("}(Nu.", EBADMSG, "byte 5: SETITEMS: a key without a value"),
	WRONG("](N\x90.", EBADMSG, "byte 5: ADDITEMS to a list"), WRONG("(q\0.", EBADMSG, "byte 3: BINPUT: too little before it"),
	WRONG("\x94.", EBADMSG, "byte 2: MEMOIZE: too little before it"), WRONG("h\0.", EBADMSG, "byte 2: the memo has no 0"),
	WRONG("Nq\2h\1.", EBADMSG, "byte 5: the memo has no 1"), WRONG("j\xff\xff\xff\xff.", EBADMSG, "byte 2: the memo has no 4294967295"),
	WRONG("Nr\xff\xff\xff\xff.", EMSGSIZE, "byte 3: a memo of 4294967296 for 1 things"),
	/* text */
	WRONG("\x8c\x03" "a\xffz.", EILSEQ, "byte 5: text that is not UTF-8"),
	WRONG("X\3\0\0\0\xed\xb2\x80.", EILSEQ, "byte 7: text that is not UTF-8"),
	/* classes and calls */
	WRONG("cposix\nsystem\nX\2\0\0\0id\x85R.", EPERM, "byte 2: 'system' of 'posix' is not allowed"),
	WRONG("\x8c\x02os\x8c\x06system\x93.", EPERM, "byte 14: 'system' of 'os' is not allowed"),
	WRONG("cbuiltins\neval\n.", EPERM, "byte 2: 'eval' of 'builtins' is not allowed"),
	WRONG("cbuiltins\nKeyError.args\n.", EPERM, "byte 2: 'KeyError.args' of 'builtins' is not allowed"),
	WRONG("cbuiltins\0\nset\n.", EPERM, "byte 2: 'set' of 'builtins\\x00' is not allowed"),
	WRONG("c\xff\nx\n.", EPERM, "byte 2: 'x' of '\\xff' is not allowed"),
	WRONG("c__builtin__\nset\n.", EPERM, "byte 2: 'set' of '__builtin__' is not allowed"),
	WRONG("NN\x93.", EBADMSG, "byte 4: STACK_GLOBAL of no texts"), WRONG("N\x93.", EBADMSG, "byte 3: STACK_GLOBAL: too little before it"),
	WRONG("NN(\x93.", EBADMSG, "byte 5: STACK_GLOBAL: too little before it"),
	WRONG("N)R.", EBADMSG, "byte 4: REDUCE of None with a tuple"), WRONG("cqueue\nFull\nNR.", EBADMSG, "byte 15: REDUCE of a class with None"),
	WRONG(")R.", EBADMSG, "byte 3: REDUCE: too little before it"), WRONG("\x81.", EBADMSG, "byte 2: NEWOBJ: too little before it"),
	WRONG("cbuiltins\nset\n)\x81.", EBADMSG, "byte 17: NEWOBJ with too much"),
	WRONG("cbuiltins\nset\nNNN\x87R.", EBADMSG, "byte 20: REDUCE with too much"),
	WRONG("cbuiltins\nset\nN\x85R.", EBADMSG, "byte 18: a set made of None"),
	WRONG("cbuiltins\nbytes\nN\x85R.", EBADMSG, "byte 20: bytes made of None"),
	WRONG("c_codecs\nencode\n)R.", EBADMSG, "byte 19: REDUCE with too little"),
	WRONG("c_codecs\nencode\n\x8c\x03\xe2\x82\xac\x8c\x06latin1\x86R.", EBADMSG, "byte 32: bytes made of a text"),
	WRONG("c_codecs\nencode\n\x8c\x01x\x8c\x05utf-8\x86R.", EBADMSG, "byte 29: bytes made of a text"),
	WRONG("c_codecs\nencode\n\x8c\x01xN\x86R.", EBADMSG, "byte 23: bytes made of a text"),
	WRONG("cbuiltins\nset\n]\x94\x85Rh\0Na\x86.", EBADMSG, "byte 23: APPEND to what is complete"),
	WRONG("cbuiltins\nset\n)R(N\x90.", EBADMSG, "byte 20: ADDITEMS to what is complete"),
	WRONG("cqueue\nFull\n)RNbNb.", EBADMSG, "byte 19: BUILD of an instance"), WRONG("]Nb.", EBADMSG, "byte 4: BUILD of a list"),
	WRONG("b.", EBADMSG, "byte 2: BUILD: too little before it"), WRONG("Nb.", EBADMSG, "byte 3: BUILD: too little before it"),
	WRONG("NQ.", ENOTSUP, "byte 3: a persistent id"),
	/* cycles and keys */
	WRONG("]\x94h\0a.", ELOOP, "byte 2: a list within itself"),
	WRONG("]\x94(h\0t\x94" "0h\1a.", ELOOP, "byte 2: a list within itself"),
	WRONG("}\x94Nh\0s.", ELOOP, "byte 2: a dict within itself"),
	WRONG("cqueue\nFull\n)R\x94h\0b.", ELOOP, "byte 15: an instance within itself"),
	WRONG("}]Ns.", EINVAL, "byte 3: a list as a key"), WRONG("\x8f(}\x90.", EINVAL, "byte 4: a dict as a key"),
	WRONG("(\x8f\x91.", EINVAL, "byte 3: a set as a key"), WRONG("(]\x85\x91.", EINVAL, "byte 4: a tuple as a key"),
	WRONG("(\x96\0\0\0\0\0\0\0\0\x91.", EINVAL, "byte 3: a bytearray as a key"),
	WRONG("(cqueue\nFull\n)R\x91.", EINVAL, "byte 16: an instance as a key"),
};
/* clang-format on */

START_TEST(each_pickle_is_read_as_the_table_says)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		brood_object *object = read(good[i].bytes, good[i].size, (brood_pickle_opts){ 0 });
		char line[200];

		brood_object_describe(object, line, sizeof(line));
		ck_assert_str_eq(line, good[i].wanted);
		brood_object_free(object);
	}
}
END_TEST

/* Reads from a block that ends with the input; `text` NULL: any. */
static void ck_wrong(const char *bytes, size_t size, brood_pickle_opts opts, int error,
		     const char *text)
{
	brood_object *object = NULL;
	char *copy = malloc(size + 1);
	int r;

	memcpy(copy + 1, bytes, size);
	fail = (brood_fail){ 0 };
	opts.fail = &fail;
	r = brood_pickle_loads(copy + 1, size, &opts, &object);
	ck_assert_msg(r == -error, "%d, not %d: %s", r, -error, fail.text);
	if (text != NULL)
		ck_assert_str_eq(fail.text, text);
	ck_assert_int_eq(fail.error, error);
	ck_assert_str_eq(fail.step, "pickle");
	ck_assert_ptr_null(object);
	opts.fail = NULL;
	ck_assert_int_eq(brood_pickle_loads(copy + 1, size, &opts, &object), -error);
	free(copy);
}

START_TEST(each_defect_is_told_with_its_place)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_wrong(wrong[i].bytes, wrong[i].size, (brood_pickle_opts){ 0 }, wrong[i].error,
			 wrong[i].text);
}
END_TEST

START_TEST(cut_anywhere_it_is_refused)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		for (size_t size = 0; size < good[i].size; size++)
			ck_wrong(good[i].bytes, size, (brood_pickle_opts){ 0 }, EBADMSG, NULL);
}
END_TEST

START_TEST(limits_are_kept_exactly)
{
	static const char items[] = "\x80\x04](NN]e.", text[] = "\x80\x04\x8c\x04teas\x94h\0\x86.";
	static const char number[] = "\x80\x04\x8a\x09\0\0\0\0\0\0\0\0\x01.",
			  levels[] = "\x80\x04]]]aa.";
	brood_pickle_opts opts;

	opts = (brood_pickle_opts){ .most_items = 4 };
	brood_object_free(read(STRING(items), opts));
	opts.most_items = 3;
	ck_wrong(STRING(items), opts, EMSGSIZE, "byte 2: more than 3 objects");
	opts = (brood_pickle_opts){ .most_bytes = sizeof(text) - 1 };
	brood_object_free(read(STRING(text), opts));
	opts.most_bytes--;
	ck_wrong(STRING(text), opts, EMSGSIZE, "byte 12: more than 12 bytes");
	opts = (brood_pickle_opts){ .most_long = 9 };
	brood_object_free(read(STRING(number), opts));
	opts.most_long = 8;
	ck_wrong(STRING(number), opts, EMSGSIZE, "byte 2: an int of 9 bytes");
	opts = (brood_pickle_opts){ .most_depth = 3 };
	brood_object_free(read(STRING(levels), opts));
	opts.most_depth = 2;
	ck_wrong(STRING(levels), opts, ELOOP, "byte 2: more than 2 levels");
}
END_TEST

/* Lists, each in the next: all opened before the first is put in; and tuples, from the innermost on. */
START_TEST(no_depth_is_too_deep_for_the_stack)
{
	enum { LEVELS = 3000000 };
	char *bytes = malloc(2 * LEVELS + 3);

	put(bytes, STRING("\x80\x04"));
	memset(bytes + 2, ']', LEVELS);
	memset(bytes + 2 + LEVELS, 'a', LEVELS - 1);
	bytes[2 * LEVELS + 1] = '.';
	ck_wrong(bytes, 2 * LEVELS + 2, (brood_pickle_opts){ 0 }, ELOOP, NULL);
	memset(bytes + 2, '\x85', 2 * LEVELS);
	bytes[2] = 'N';
	bytes[2 * LEVELS + 1] = '.';
	ck_wrong(bytes, 2 * LEVELS + 2, (brood_pickle_opts){ .most_depth = SIZE_MAX }, ELOOP, NULL);
	put(bytes + 2 + BROOD_OBJECT_DEPTH + 1, STRING("."));
	brood_object_free(read(bytes, 2 + BROOD_OBJECT_DEPTH + 2, (brood_pickle_opts){ 0 }));
	bytes[2 + BROOD_OBJECT_DEPTH + 1] = '\x85';
	bytes[2 + BROOD_OBJECT_DEPTH + 2] = '.';
	ck_wrong(bytes, 2 + BROOD_OBJECT_DEPTH + 3, (brood_pickle_opts){ 0 }, ELOOP,
		 "byte 259: more than 256 levels");
	free(bytes);
}
END_TEST

START_TEST(a_key_has_few_levels)
{
	char bytes[64] = "\x80\x04(N";

	memset(bytes + 4, '\x85', BROOD_OBJECT_KEY_DEPTH);
	put(bytes + 4 + BROOD_OBJECT_KEY_DEPTH, STRING("\x91."));
	brood_object_free(read(bytes, 6 + BROOD_OBJECT_KEY_DEPTH, (brood_pickle_opts){ 0 }));
	put(bytes + 4 + BROOD_OBJECT_KEY_DEPTH, STRING("\x85\x91."));
	ck_wrong(bytes, 7 + BROOD_OBJECT_KEY_DEPTH, (brood_pickle_opts){ 0 }, ELOOP,
		 "byte 20: a key of more than 16 levels");
}
END_TEST

/* 60 lists, of which each holds the one before twice: small in memory, but nobody could walk it. */
START_TEST(laughs_are_counted)
{
	char bytes[600] = "\x80\x04(]\x94", *at = bytes + 5;

	for (int i = 0; i < 60; i++, at += 8) {
		put(at, STRING("](h?h?e\x94"));
		at[3] = at[5] = (char)i;
	}
	put(at, STRING("t."));
	ck_wrong(bytes, (size_t)(at + 2 - bytes), (brood_pickle_opts){ 0 }, EMSGSIZE, NULL);
	ck_assert_ptr_nonnull(strstr(fail.text, "more than 16777216 objects"));
}
END_TEST

START_TEST(shared_text_is_held_once_and_counted_each_time)
{
	enum { TEXT = 100000, TIMES = 5000 };
	size_t size = 2 + 5 + TEXT + 2 + 3 + 2 * TIMES + 2;
	char *bytes = malloc(size), *at = bytes;
	brood_object *object;
	brood_pickle_opts opts = { .most_bytes = (size_t)TEXT * TIMES };

	put(at, STRING("\x80\x04X\xa0\x86\x01\0"));
	memset(at + 7, 'x', TEXT);
	at += 7 + TEXT;
	memcpy(at,
	       "\x94"
	       "0](",
	       4);
	at += 4;
	for (int i = 0; i < TIMES; i++, at += 2)
		put(at, STRING("h\0"));
	put(at, STRING("e."));
	size = (size_t)(at + 2 - bytes);
	object = read(bytes, size, opts);
	ck_assert_int_eq(brood_object_length(object), TIMES);
	ck_assert_ptr_eq(object->as.items[0].as.text, object->as.items[TIMES - 1].as.text);
	ck_assert_int_eq(object->as.items[0].as.text[TEXT], '\0');
	brood_object_free(object);
	opts.most_bytes--;
	ck_wrong(bytes, size, opts, EMSGSIZE, NULL);
	free(bytes);
}
END_TEST

START_TEST(large_dicts_and_sets_lose_what_is_double)
{
	enum { N = 50000 };
	char *bytes = malloc(20 * N + 10), *at = bytes;
	const brood_object *key, *value;
	brood_object *object;
	int64_t number;

	/* 0.0 … 24999.0 are the keys once more, with other values. */
	put(at, STRING("\x80\x04}("));
	at += 4;
	for (int i = 0; i < N; i++) {
		int again = i - N / 2;
		double real = again;
		uint64_t word;

		memcpy(&word, &real, sizeof(word));
		word = __builtin_bswap64(word);
		if (i < N / 2) {
			put(at, STRING("J????K\1"));
			memcpy(at + 1, &i, 4);
			at += 7;
		} else {
			*at = 'G';
			memcpy(at + 1, &word, 8);
			put(at + 9, STRING("K\2"));
			at += 11;
		}
	}
	put(at, STRING("u."));
	object = read(bytes, (size_t)(at + 2 - bytes), (brood_pickle_opts){ 0 });
	ck_assert_int_eq(brood_object_length(object), N / 2);
	for (int i = 0; i < N / 2; i++) {
		ck_assert_int_eq(brood_object_pair(object, i, &key, &value), 0);
		ck_assert(key->kind == BROOD_OBJECT_INT && key->as.integer == i);
		ck_assert_int_eq(brood_object_int(value, &number), 0);
		ck_assert_int_eq(number, 2);
	}
	brood_object_free(object);
	bytes[2] = '\x8f';
	at[0] = '\x90';
	object = read(bytes, (size_t)(at + 2 - bytes), (brood_pickle_opts){ 0 });
	ck_assert_int_eq(brood_object_length(object), N / 2); /* 1 and 2 are among them */
	brood_object_free(object);
	free(bytes);
}
END_TEST

START_TEST(more_classes_may_be_allowed)
{
	static const char *const classes[] = { "collections OrderedDict", "m C", NULL };
	brood_pickle_opts opts = { .classes = classes };
	brood_object *object = read(STRING("\x80\x04"
					   "cm\nC\n)R."),
				    opts);
	char line[40];

	brood_object_describe(object, line, sizeof(line));
	ck_assert_str_eq(line, "m.C()");
	brood_object_free(object);
	ck_wrong(STRING("\x80\x04"
			"cm\nD\n."),
		 opts, EPERM, "byte 2: 'D' of 'm' is not allowed");
	ck_wrong(STRING("\x80\x04"
			"cm\nC2\n."),
		 opts, EPERM, "byte 2: 'C2' of 'm' is not allowed");
}
END_TEST

/* ---- handles */

struct desk {
	int given, error;
};

static int give_id(void *context, const brood_object *handle, brood_object *ret_id)
{
	struct desk *desk = context;

	if (desk->error != 0)
		return desk->error;
	desk->given++;
	*ret_id = handle->tag == 9 ? BROOD_INT(1 << desk->given) : BROOD_INT(handle->tag);
	if (handle->tag == 8)
		*ret_id = *handle;
	return 0;
}

static int load_id(void *context, const brood_object *id, brood_object *ret_object)
{
	struct desk *desk = context;
	int64_t number;

	if (desk->error != 0)
		return desk->error;
	ck_assert_int_eq(brood_object_int(id, &number), 0);
	desk->given++;
	*ret_object = BROOD_HANDLE((uint32_t)number, desk);
	if (number == 8)
		ret_object->kind = (brood_object_kind)99;
	return 0;
}

START_TEST(a_handle_goes_by_its_persistent_id)
{
	struct desk desk = { 0 };
	brood_pickle_opts opts = { .persistent_id = give_id,
				   .persistent_load = load_id,
				   .context = &desk };
	brood_object sent =
		BROOD_LIST(BROOD_HANDLE(3, &desk), BROOD_TEXT("x"), BROOD_HANDLE(4, NULL));
	brood_object *got;
	char buf[64];
	void *handle;
	ssize_t n;

	n = brood_pickle_dump(&sent, &opts, buf, sizeof(buf));
	ck_assert_int_eq(n, 15);
	ck_assert_mem_eq(buf, "\x80\x04](K\3Q\x8c\1xK\4Qe.", 15);
	ck_assert_int_eq(desk.given, 2);
	got = read(buf, (size_t)n, opts);
	ck_assert_int_eq(desk.given, 4);
	ck_assert_int_eq(brood_object_handle(brood_object_at(got, 0), 3, &handle), 0);
	ck_assert_ptr_eq(handle, &desk);
	ck_assert_int_eq(brood_object_handle(brood_object_at(got, 2), 4, &handle), 0);
	brood_object_free(got);
	/* One handle that is referred to twice is asked for once. */
	got = read(STRING("\x80\x04K\3Q\x94h\0\x86."), opts);
	ck_assert_int_eq(desk.given, 5);
	ck_assert_int_eq(brood_object_equal(brood_object_at(got, 0), brood_object_at(got, 1)), 1);
	brood_object_free(got);
	ck_wrong(STRING("\x80\x04(K\3Q\x91."), opts, EINVAL, "byte 5: a handle as a key");
	ck_wrong(STRING("\x80\x04Q."), opts, EBADMSG, "byte 2: BINPERSID: too little before it");
	ck_wrong(STRING("\x80\x04K\x08Q."), opts, EINVAL, "byte 4: what was loaded is no object");
	desk.error = -EMFILE;
	ck_wrong(buf, (size_t)n, opts, EMFILE, "byte 6: a persistent id");
}
END_TEST

START_TEST(a_handle_that_cannot_go_ends_the_whole)
{
	static char long_text[2000];
	static brood_object nested[BROOD_OBJECT_DEPTH + 1];
	struct desk desk = { .error = -ENOLINK };
	brood_pickle_opts opts = { .persistent_id = give_id, .context = &desk };
	brood_object handle = BROOD_HANDLE(8, NULL), set = BROOD_SET(handle);
	brood_object pair =
		BROOD_TUPLE(BROOD_BYTES(long_text, sizeof(long_text)), BROOD_HANDLE(9, NULL));
	void *data;
	size_t n;

	ck_not_written(ENOLINK, "a handle", &handle, opts);
	desk.error = 0;
	ck_not_written(EINVAL, "a handle in what stands for one", &handle, opts);
	ck_not_written(EINVAL, "a handle as a key", &set, opts);
	/* As deep as anything else. */
	nested[0] = BROOD_HANDLE(1, NULL);
	for (size_t i = 1; i <= BROOD_OBJECT_DEPTH; i++)
		nested[i] = BROOD_LIST_OF(&nested[i - 1], 1);
	ck_assert_int_eq(brood_pickle_dump(&nested[BROOD_OBJECT_DEPTH], &opts, NULL, 0),
			 2 + 2 * BROOD_OBJECT_DEPTH + 4);
	/* 128 when it is measured, 256 when it is written, which is longer. */
	desk.given = 6;
	fail = (brood_fail){ 0 };
	opts.fail = &fail;
	ck_assert_int_eq(brood_pickle_dumps(&pair, &opts, &data, &n), -EINVAL);
	ck_assert_str_eq(fail.text, "two ids of one handle");
	/* Small pickles are written but once. */
	pair.as.items++;
	pair.size = 1;
	desk.given = 6;
	ck_assert_int_eq(brood_pickle_dumps(&pair, &opts, &data, &n), 0);
	ck_assert_int_eq(desk.given, 7);
	free(data);
}
END_TEST

/* ---- both ways */

START_TEST(what_was_read_is_written_and_read_again)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		brood_object *object = read(good[i].bytes, good[i].size, (brood_pickle_opts){ 0 });
		brood_object *again;
		bool has_nan = strstr(good[i].wanted, "nan") != NULL;
		void *data;
		size_t n;

		for (int protocol = 4; protocol <= 5; protocol++) {
			brood_pickle_opts opts = { .protocol = protocol };

			ck_assert_int_eq(brood_pickle_dumps(object, &opts, &data, &n), 0);
			again = read(data, n, opts);
			ck_assert_int_eq(brood_object_equal(object, again), !has_nan);
			brood_object_free(again);
			free(data);
		}
		brood_object_free(object);
	}
}
END_TEST

START_TEST(no_memory_is_an_error)
{
	const size_t size = (size_t)1 << 26;
	struct rlimit limit = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY };
	unsigned char *bytes, *zeros;
	brood_object object, *ret_object = NULL;
	void *data = NULL;
	size_t n;

	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(bytes != MAP_FAILED && zeros != MAP_FAILED);
	object = BROOD_BYTES(zeros, size - 10);
	ck_assert_int_eq(brood_pickle_dump(&object, NULL, bytes, size), (ssize_t)size - 2);
	if (!is_sanitized) {
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
		ck_assert_int_eq(brood_pickle_dumps(&object, NULL, &data, &n), -ENOMEM);
		/* for what is read, and for the scratch memory */
		ck_assert_int_eq(brood_pickle_loads(bytes, size - 2, NULL, &ret_object), -ENOMEM);
		memset(bytes + 2, ']', size - 3);
		bytes[size - 1] = '.';
		ck_assert_int_eq(brood_pickle_loads(bytes, size, NULL, &ret_object), -ENOMEM);
		limit.rlim_cur = RLIM_INFINITY;
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
		ck_assert(data == NULL && ret_object == NULL);
	}
	munmap(bytes, size);
	munmap(zeros, size);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pickle");
	TCase *written = leak_case(suite, "written", 60), *got = leak_case(suite, "read", 60);

	tcase_add_test(written, each_kind_has_its_opcodes);
	tcase_add_test(written, long_data_has_the_longer_length);
	tcase_add_test(written, lengths_beyond_4_gib_have_eight_bytes);
	tcase_add_test(written, what_python_could_not_read_is_not_written);
	tcase_add_test(written, a_handle_that_cannot_go_ends_the_whole);
	tcase_add_test(got, each_pickle_is_read_as_the_table_says);
	tcase_add_test(got, each_defect_is_told_with_its_place);
	tcase_add_test(got, cut_anywhere_it_is_refused);
	tcase_add_test(got, limits_are_kept_exactly);
	tcase_add_test(got, no_depth_is_too_deep_for_the_stack);
	tcase_add_test(got, a_key_has_few_levels);
	tcase_add_test(got, laughs_are_counted);
	tcase_add_test(got, shared_text_is_held_once_and_counted_each_time);
	tcase_add_test(got, large_dicts_and_sets_lose_what_is_double);
	tcase_add_test(got, more_classes_may_be_allowed);
	tcase_add_test(got, a_handle_goes_by_its_persistent_id);
	tcase_add_test(got, what_was_read_is_written_and_read_again);
	tcase_add_test(got, no_memory_is_an_error);
	return leak_run(suite);
}
