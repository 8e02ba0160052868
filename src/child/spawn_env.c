/* An entry's name is what stands before its first '='; an entry without one, which a host's
 * environment may hold, is all name. */
#include "child/spawn_env.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

static bool has_name(const char *entry, const char *name, size_t length)
{
	return strncmp(entry, name, length) == 0 && (entry[length] == '=' || entry[length] == '\0');
}

/* Makes one edit in a list of `n` entries with room for one more; gives the new number. */
static size_t edit_one(const char **env, size_t n, const char *edit)
{
	size_t length = strcspn(edit, "="), kept = 0;
	const char *value = edit[length] == '=' ? edit : NULL;

	for (size_t i = 0; i < n; i++) {
		const char *entry = env[i];

		if (has_name(entry, edit, length)) {
			entry = value;
			value = NULL;
		}
		if (entry != NULL)
			env[kept++] = entry;
	}
	if (value != NULL)
		env[kept++] = value;
	return kept;
}

int bri_env_edit(const char *const *base, const char *const *edits, const char ***ret_env)
{
	size_t n = count(base);
	const char **env = calloc(n + count(edits) + 1, sizeof(*env));

	if (env == NULL)
		return -ENOMEM;
	if (n > 0)
		memcpy(env, base, n * sizeof(*env));
	for (; *edits != NULL; edits++)
		n = edit_one(env, n, *edits);
	env[n] = NULL;
	*ret_env = env;
	return 0;
}

const char *bri_env_find(const char *const *env, const char *name)
{
	size_t length = strlen(name);

	for (; env != NULL && *env != NULL; env++)
		if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
			return *env + length + 1;
	return NULL;
}
