#include "proc/function.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

static int here(void)
{
	return 5;
}

static void ck_found(const struct bri_function *function, const void *address)
{
	void *found;

	ck_assert_int_eq(bri_function_find(function, &found, NULL), 0);
	ck_assert_ptr_eq(found, address);
}

START_TEST(a_name_leads_back)
{
	struct bri_function function;
	void *library = dlopen("libc.so.6", RTLD_NOW), *in_library;

	ck_assert_int_eq(bri_function_name((const void *)(uintptr_t)here, &function, NULL), 0);
	ck_assert(function.in_program);
	ck_assert_int_eq(function.path[0], '/');
	ck_found(&function, (const void *)(uintptr_t)here);
	if (library == NULL)
		return; /* another C library */
	in_library = dlsym(library, "getppid");
	ck_assert_int_eq(bri_function_name(in_library, &function, NULL), 0);
	ck_assert(!function.in_program);
	ck_found(&function, in_library);
	dlclose(library);
}
END_TEST

START_TEST(what_is_no_function_has_no_name)
{
	struct bri_function function;
	brood_fail fail;
	int on_the_stack = 0;

	ck_assert_int_eq(bri_function_name(&on_the_stack, &function, &fail), -EINVAL);
	ck_assert_str_eq(fail.step, "function");
	ck_assert_int_eq(bri_function_name(NULL, &function, &fail), -EINVAL);
}
END_TEST

START_TEST(an_object_without_a_build_id_is_refused)
{
	void *library = dlopen(CHILD("nameless.so"), RTLD_NOW);
	struct bri_function function;
	brood_fail fail;

	ck_assert_ptr_nonnull(library);
	ck_assert_int_eq(bri_function_name(dlsym(library, "nameless"), &function, &fail), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(fail.text, "nameless.so"));
	ck_assert_ptr_nonnull(strstr(fail.text, "--build-id"));
	dlclose(library);
}
END_TEST

START_TEST(another_build_is_never_jumped_into)
{
	struct bri_function function, other;
	brood_fail fail;
	void *found;

	ck_assert_int_eq(bri_function_name((const void *)(uintptr_t)here, &function, NULL), 0);
	other = function;
	other.id.bytes[0] ^= 1;
	ck_assert_int_eq(bri_function_find(&other, &found, &fail), -ESTALE);
	other.in_program = false;
	memcpy(other.path, "/none/such.so", sizeof("/none/such.so"));
	ck_assert_int_eq(bri_function_find(&other, &found, &fail), -ENOENT);
	memcpy(other.path, CHILD("nameless.so"), sizeof(CHILD("nameless.so")));
	ck_assert_int_eq(bri_function_find(&other, &found, &fail), -ESTALE);
	other = function;
	other.offset = UINT64_C(1) << 40;
	ck_assert_int_eq(bri_function_find(&other, &found, &fail), -EINVAL);
	ck_assert_str_eq(fail.step, "function");
	other.id.size = 0;
	ck_assert_int_eq(bri_function_find(&other, &found, &fail), -ESTALE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proc/function");
	TCase *function = leak_case(suite, "function", 20);

	tcase_add_test(function, a_name_leads_back);
	tcase_add_test(function, what_is_no_function_has_no_name);
	tcase_add_test(function, an_object_without_a_build_id_is_refused);
	tcase_add_test(function, another_build_is_never_jumped_into);
	return leak_run(suite);
}
