#include "proc/crash.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <execinfo.h>
#endif

#include "base/cleanup.h"
#include "base/together.h"
#include "child/result.h"
#include "os/fd.h"
#include "proc/function.h"

#define MODULES 64
#define STACK ((size_t)64 << 10)
#define PROGRAM "/proc/self/exe" /* the parent's as well */

/* The objects of this process. */
static struct module {
	uintptr_t base, start, end;
	const uint8_t *id;
	size_t id_size;
	const char *path;
} modules[MODULES];
static size_t n_modules;

const char *bri_crash_program = PROGRAM;

BRI_TOGETHER static struct bri_crash *target;
BRI_TOGETHER static pid_t owner; /* what it forks by itself has the handlers, and no word in this */
static char stack[STACK] __attribute__((aligned(16)));

/* ---- before the fork */

/* Objects that have come and gone since the program began; the table is of that moment. */
static unsigned long long table_adds, table_subs;

static int add_module(struct dl_phdr_info *info, size_t size, void *first)
{
	struct module *module;

	(void)size;
	if (*(bool *)first && info->dlpi_adds == table_adds && info->dlpi_subs == table_subs)
		return 1;
	if (*(bool *)first)
		n_modules = 0;
	*(bool *)first = false;
	table_adds = info->dlpi_adds;
	table_subs = info->dlpi_subs;
	if (n_modules == MODULES)
		return 1;
	module = &modules[n_modules];
	*module = (struct module){ .base = info->dlpi_addr,
				   .start = UINTPTR_MAX,
				   .path = info->dlpi_name };
	module->id_size = bri_build_id_of(info, &module->id);
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t start = module->base + header->p_vaddr;

		if (header->p_type != PT_LOAD)
			continue;
		module->start = start < module->start ? start : module->start;
		module->end = start + header->p_memsz > module->end ? start + header->p_memsz :
								      module->end;
	}
	n_modules++;
	return 0;
}

/* ---- in the child */

static void note_frame(struct bri_frame_record *frame, uintptr_t address)
{
	const char *path;
	size_t length;

	frame->offset = address;
	for (size_t i = 0; i < n_modules; i++) {
		const struct module *module = &modules[i];

		if (address < module->start || address >= module->end)
			continue;
		frame->offset = address - module->base;
		frame->id_size = (uint8_t)module->id_size;
		if (module->id_size > 0)
			memcpy(frame->id, module->id, module->id_size);
		path = module->path[0] != '\0' ? module->path : bri_crash_program;
		length = strlen(path);
		if (length >= sizeof(frame->object))
			length = sizeof(frame->object) - 1;
		memcpy(frame->object, path + strlen(path) - length, length + 1);
		return;
	}
}

#ifdef __GLIBC__
/* The first three are this function, its caller, and what the kernel returns through. */
__attribute__((noinline)) static uint32_t note_frames(struct bri_crash *crash, const void *context)
{
	void *addresses[BRI_CRASH_FRAMES + 3];
	int n = backtrace(addresses, BRI_CRASH_FRAMES + 3) - 3;

	(void)context;
	for (int i = 0; i < n; i++)
		note_frame(&crash->frames[i], (uintptr_t)addresses[i + 3]);
	return n > 0 ? (uint32_t)n : 0;
}
#else
/* There is nothing to walk the stack with: only the place itself. */
static uint32_t note_frames(struct bri_crash *crash, const void *context)
{
	const ucontext_t *at = context;

#if defined(__x86_64__)
	note_frame(&crash->frames[0], (uintptr_t)at->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
	note_frame(&crash->frames[0], at->uc_mcontext.pc);
#else
	(void)at;
	return 0;
#endif
	return 1;
}
#endif

static bool has_address(const siginfo_t *info)
{
	return info->si_code > 0 && (info->si_signo == SIGSEGV || info->si_signo == SIGBUS ||
				     info->si_signo == SIGILL || info->si_signo == SIGFPE);
}

/* The disposition is the default again (SA_RESETHAND): a fault comes again when this returns, and ends the process as it
 * would have; what was sent is sent again, and comes when this returns. */
static void leave_traces(int signum, siginfo_t *info, void *context)
{
	struct bri_crash *crash = target;
	int error = errno;

	if (getpid() != owner) {
		raise(signum);
		return;
	}
	crash->n_frames = note_frames(crash, context);
	crash->has_address = has_address(info);
	crash->address = crash->has_address ? (uintptr_t)info->si_addr : 0;
	atomic_store(&crash->signum, (uint32_t)signum);
	if (!crash->has_address)
		raise(signum);
	errno = error;
}

void bri_crash_aim(struct bri_crash *crash)
{
	target = crash;
	owner = getpid();
}

static void handle(int signum)
{
	struct sigaction now, ours = { .sa_sigaction = leave_traces,
				       .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND };

	sigfillset(&ours.sa_mask);
	if (sigaction(signum, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		(void)sigaction(signum, &ours, NULL);
}

void bri_crash_arm(void)
{
	const stack_t mine = { .ss_sp = stack, .ss_size = sizeof(stack) };
	stack_t before;

	if (sigaltstack(NULL, &before) == 0 && (before.ss_flags & SS_DISABLE))
		(void)sigaltstack(&mine, NULL);
	handle(SIGSEGV);
	handle(SIGBUS);
	handle(SIGILL);
	handle(SIGFPE);
	handle(SIGABRT);
	handle(SIGSYS);
	handle(SIGTRAP);
}

#ifdef __GLIBC__
static void load_unwinder(void)
{
	void *address;

	(void)backtrace(&address, 1);
}
#endif

/* glibc loads the unwinder when it is first wanted, which a handler must not do. The table is made here, and again only when it is out of
 * date: a child that wrote it would pay for the pages. */
void bri_crash_prepare(void)
{
	bool first = true;

#ifdef __GLIBC__
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load_unwinder);
#endif
	dl_iterate_phdr(add_module, &first);
}

/* ---- in the parent: names, from the symbols of the file. Nothing in that is trusted. */

struct image {
	const uint8_t *data;
	size_t size;
};

static const void *part(const struct image *image, uint64_t offset, uint64_t size)
{
	return offset <= image->size && size <= image->size - offset ? image->data + offset : NULL;
}

static const ElfW(Shdr) *
	section(const struct image *image, const ElfW(Ehdr) * head, unsigned index)
{
	if (index >= head->e_shnum || head->e_shentsize != sizeof(ElfW(Shdr)))
		return NULL;
	return part(image, head->e_shoff + (uint64_t)index * sizeof(ElfW(Shdr)),
		    sizeof(ElfW(Shdr)));
}

/* Whether the file is the object that the frame was in. */
static bool is_object(const struct image *image, const ElfW(Ehdr) * head,
		      const struct bri_frame_record *frame)
{
	for (unsigned i = 0; i < head->e_shnum; i++) {
		const ElfW(Shdr) *notes = section(image, head, i);
		const uint8_t *id;

		if (notes == NULL || notes->sh_type != SHT_NOTE)
			continue;
		id = part(image, notes->sh_offset,
			  sizeof(ElfW(Nhdr)) + 4 + (uint64_t)frame->id_size);
		if (id != NULL &&
		    ((const ElfW(Nhdr) *)(const void *)id)->n_type == NT_GNU_BUILD_ID &&
		    memcmp(id + sizeof(ElfW(Nhdr)) + 4, frame->id, frame->id_size) == 0)
			return true;
	}
	return frame->id_size == 0; /* nothing to tell it by */
}

/* The function of a table that the address is in; its distance in *ret_distance. */
static const char *search(const struct image *image, const ElfW(Ehdr) * head,
			  const ElfW(Shdr) * table, uint64_t address, uint64_t *ret_distance)
{
	const ElfW(Shdr) *strings = section(image, head, table->sh_link);
	const ElfW(Sym) *symbols = part(image, table->sh_offset, table->sh_size);
	const char *names =
		strings != NULL ? part(image, strings->sh_offset, strings->sh_size) : NULL;

	if (symbols == NULL || names == NULL || strings->sh_size == 0 ||
	    names[strings->sh_size - 1] != '\0')
		return NULL;
	for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
		const ElfW(Sym) *symbol = &symbols[i];

		if ((symbol->st_info & 0xf) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
		    address < symbol->st_value || address - symbol->st_value >= symbol->st_size ||
		    symbol->st_name >= strings->sh_size)
			continue;
		*ret_distance = address - symbol->st_value;
		return names + symbol->st_name;
	}
	return NULL;
}

static const char *find_name(const struct image *image, const struct bri_frame_record *frame,
			     uint64_t address, uint64_t *ret_distance)
{
	static const unsigned types[] = { SHT_SYMTAB, SHT_DYNSYM };
	const ElfW(Ehdr) *head = part(image, 0, sizeof(*head));
	const char *name = NULL;

	if (head == NULL || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    !is_object(image, head, frame))
		return NULL;
	for (int t = 0; name == NULL && t < 2; t++)
		for (unsigned i = 0; name == NULL && i < head->e_shnum; i++) {
			const ElfW(Shdr) *table = section(image, head, i);

			if (table != NULL && table->sh_type == types[t])
				name = search(image, head, table, address, ret_distance);
		}
	return name;
}

/* "name+0x12", or "" if it has none. A return address may be the first byte behind a function that calls what does not
 * return: it is looked for one byte before. */
static void name_of(const struct bri_frame_record *frame, bool returned_to, char *buf, size_t size)
{
	bri_cleanup(bri_closep) int fd = -1;
	struct image image = { .data = MAP_FAILED };
	struct stat file;
	uint64_t distance = 0;
	const char *name;

	buf[0] = '\0';
	if (frame->object[0] != '/')
		return;
	fd = bri_open(frame->object, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &file) < 0 || !S_ISREG(file.st_mode) || file.st_size <= 0)
		return;
	image.size = (size_t)file.st_size;
	image.data = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image.data == MAP_FAILED)
		return;
	name = find_name(&image, frame, frame->offset - returned_to, &distance);
	if (name != NULL)
		snprintf(buf, size, "%.100s+%#" PRIx64, name, distance + returned_to);
	munmap((void *)(uintptr_t)image.data, image.size);
}

/* The program's own name; the child left the name that stands for it in every process. */
static const char *object_name(const struct bri_frame_record *frame, char path[256])
{
	ssize_t n;

	if (strcmp(frame->object, PROGRAM) != 0)
		return frame->object;
	n = readlink(PROGRAM, path, 255);
	path[n > 0 ? n : 0] = '\0';
	return path;
}

int bri_crash_describe(const struct bri_crash *crash, char *buf, size_t size)
{
	const char *name = bri_signal_name((int)atomic_load(&crash->signum));

	name = name != NULL ? name : "SIG?";
	return crash->has_address ? snprintf(buf, size, "%s at %#llx", name,
					     (unsigned long long)crash->address) :
				    snprintf(buf, size, "%s", name);
}

int bri_crash_frames(const struct bri_crash *crash, char *buf, size_t size)
{
	unsigned n = crash->n_frames < BRI_CRASH_FRAMES ? crash->n_frames : BRI_CRASH_FRAMES;
	char name[128], path[256];
	int at = 0;

	if (size > 0)
		buf[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		/* A copy that ends, whatever the child has made of it. */
		struct bri_frame_record frame = crash->frames[i];
		char *to = (size_t)at < size ? buf + at : NULL;
		size_t room = to != NULL ? size - (size_t)at : 0;

		frame.object[sizeof(frame.object) - 1] = '\0';
		if (frame.id_size > BRI_BUILD_ID)
			frame.id_size = BRI_BUILD_ID;
		name_of(&frame, i > 0, name, sizeof(name));
		if (name[0] != '\0')
			at += snprintf(to, room, "#%u %s (%s)\n", i, name,
				       object_name(&frame, path));
		else
			at += snprintf(to, room, "#%u %s+%#llx\n", i, object_name(&frame, path),
				       (unsigned long long)frame.offset);
	}
	return at;
}
