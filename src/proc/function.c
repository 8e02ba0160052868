#include "proc/function.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"

static uint32_t find_note(const char *at, const char *end, const uint8_t **ret_bytes)
{
	while (end - at >= (ptrdiff_t)sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *note = (const void *)at;
		size_t name = (note->n_namesz + 3u) & ~3u, body = (note->n_descsz + 3u) & ~3u;

		at += sizeof(*note);
		if ((size_t)(end - at) < name + body)
			return 0;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    memcmp(at, "GNU", 4) == 0) {
			*ret_bytes = (const uint8_t *)at + name;
			return note->n_descsz < BRI_BUILD_ID ? note->n_descsz : BRI_BUILD_ID;
		}
		at += name + body;
	}
	return 0;
}

uint32_t bri_build_id_of(const struct dl_phdr_info *info, const uint8_t **ret_bytes)
{
	uint32_t size = 0;

	for (int i = 0; size == 0 && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + header->p_vaddr);

		if (header->p_type == PT_NOTE)
			size = find_note(at, at + header->p_memsz, ret_bytes);
	}
	return size;
}

static struct bri_build_id id_of(const struct dl_phdr_info *info)
{
	struct bri_build_id id = { .size = 0 };
	const uint8_t *bytes;

	id.size = bri_build_id_of(info, &bytes);
	if (id.size > 0)
		memcpy(id.bytes, bytes, id.size);
	return id;
}

static bool is_same(const struct bri_build_id *a, const struct bri_build_id *b)
{
	return a->size == b->size && a->size > 0 && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* Whether the address is code of this object. */
static bool has_code(const struct dl_phdr_info *info, uintptr_t address)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type == PT_LOAD && (header->p_flags & PF_X) != 0 &&
		    address - (info->dlpi_addr + header->p_vaddr) < header->p_memsz)
			return true;
	}
	return false;
}

/* ---- naming */

struct naming {
	uintptr_t address;
	bool found, in_program;
	unsigned n;
	struct bri_function *function;
};

static int name_it(struct dl_phdr_info *info, size_t size, void *data)
{
	struct naming *naming = data;
	struct bri_function *function = naming->function;

	(void)size;
	/* The program is the first one. */
	function->in_program = naming->n++ == 0;
	if (!has_code(info, naming->address))
		return 0;
	naming->found = true;
	function->id = id_of(info);
	function->offset = naming->address - info->dlpi_addr;
	snprintf(function->path, sizeof(function->path), "%s", info->dlpi_name);
	return 1;
}

/* A path that is good wherever the process goes. */
static void set_path(struct bri_function *function)
{
	char real[PATH_MAX];
	ssize_t n;

	if (function->in_program) {
		n = readlink("/proc/self/exe", function->path, sizeof(function->path) - 1);
		function->path[n > 0 ? n : 0] = '\0';
	} else if (function->path[0] != '/' && realpath(function->path, real) != NULL) {
		memcpy(function->path, real, strlen(real) + 1);
	}
}

int bri_function_name(const void *function, struct bri_function *ret_function, brood_fail *fail)
{
	struct naming naming = { .address = (uintptr_t)function, .function = ret_function };

	dl_iterate_phdr(name_it, &naming);
	if (!naming.found)
		return bri_fail(fail, "function", EINVAL, "%p is in no program and in no library",
				function);
	set_path(ret_function);
	if (ret_function->id.size == 0)
		return bri_fail(
			fail, "function", ENOTSUP,
			"%s has no build id, and without it a new process cannot know the function: "
			"link it with -Wl,--build-id",
			ret_function->path);
	return 0;
}

/* ---- finding */

/* The program itself: whose functions are asked for most, and who is always there. */
static struct program {
	struct bri_build_id id;
	uintptr_t base, code, code_end; /* one of its pieces of code */
} program;

static int note_program(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	program.id = id_of(info);
	program.base = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_LOAD || (header->p_flags & PF_X) == 0)
			continue;
		program.code = info->dlpi_addr + header->p_vaddr;
		program.code_end = program.code + header->p_memsz;
	}
	return 1;
}

void bri_function_prepare(void)
{
	dl_iterate_phdr(note_program, NULL);
}

struct finding {
	const struct bri_function *function;
	bool found;
	uintptr_t address; /* 0: no code there */
};

static int find_it(struct dl_phdr_info *info, size_t size, void *data)
{
	struct finding *finding = data;
	struct bri_build_id id = id_of(info);
	uintptr_t address = info->dlpi_addr + finding->function->offset;

	(void)size;
	if (!is_same(&id, &finding->function->id))
		return 0;
	finding->found = true;
	finding->address = has_code(info, address) ? address : 0;
	return 1;
}

int bri_function_find(const struct bri_function *function, void **ret_function, brood_fail *fail)
{
	struct finding finding = { .function = function };
	const uintptr_t here = program.base + function->offset;
	const char *why = NULL;

	if (is_same(&program.id, &function->id) && here >= program.code &&
	    here < program.code_end) {
		*ret_function = (void *)here;
		return 0;
	}
	dl_iterate_phdr(find_it, &finding);
	if (!finding.found && !function->in_program) {
		if (dlopen(function->path, RTLD_NOW) == NULL)
			why = dlerror();
		dl_iterate_phdr(find_it, &finding);
	}
	if (why != NULL && !finding.found)
		return bri_fail(fail, "function", ENOENT, "%s", why);
	if (!finding.found)
		return bri_fail(fail, "function", ESTALE,
				"%s is of another build than the one that the function is in",
				function->path);
	if (finding.address == 0)
		return bri_fail(fail, "function", EINVAL, "%s has no code at %#llx", function->path,
				(unsigned long long)function->offset);
	*ret_function = (void *)finding.address;
	return 0;
}
