/* who.h - who a process believes to be, in the words that the tables of identities have
 *
 *	main=0|1 depth=N path=P name=NAME parent=none|yes|no
 *
 * parent: yes, if it lives and its pid is that of the process that made this one. */
#ifndef TESTS_CHILDREN_WHO_H
#define TESTS_CHILDREN_WHO_H

#include <brood/process.h>

#include <stdio.h>

static inline int who_am_i(pid_t maker, char *buf, size_t size)
{
	brood_process *parent = brood_parent_process(), *self = brood_current_process();
	char path[64] = "?", name[BROOD_PROCESS_NAME_MOST + 1] = "?";
	const char *known = "none";

	if (self != NULL) {
		brood_process_path(self, path, sizeof(path));
		brood_process_name(self, name, sizeof(name));
	}
	if (parent != NULL)
		known = brood_process_pid(parent) == maker && brood_process_is_alive(parent) == 1 ?
				"yes" :
				"no";
	return snprintf(buf, size, "main=%d depth=%d path=%s name=%s parent=%s", brood_is_main(),
			brood_process_depth(self), path, name, known);
}

#endif
