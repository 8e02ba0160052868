/* brood/shell.h - words of a POSIX shell command line
 *
 * For the rare moment when a command must be text: logs, ssh, a config file. Starting
 * a program needs none of this; brood/spawn.h takes an argument vector and no shell ever
 * reads it. quote() and join() write, split() reads; split(join(argv)) is argv again.
 * All three equal Python's shlex, on every input. */
#ifndef BROOD_SHELL_H
#define BROOD_SHELL_H

#include <brood/base.h>

BROOD_BEGIN_DECLS

/** Quote `word` so that a POSIX shell reads it back as one word, unchanged.
 * Equal to Python's shlex.quote(): safe words are copied, all others are put in single
 * quotes, and each single quote inside becomes '"'"'.
 * Returns: 0, and a new string in *ret_quoted. Errors: -EINVAL, no word; -ENOMEM.
 * Owns:    the caller frees *ret_quoted with free(); on failure it is untouched.
 * Safe:    threads, processes; not in a signal handler (it allocates). */
BROOD_API int brood_shell_quote(const char *word, char **ret_quoted);

/** All words of `argv`, quoted, with a space between: a line that a shell reads as argv again.
 * Equal to Python's shlex.join().
 * Returns: 0, and a new string in *ret_line ("" for no word). Errors: -EINVAL, no argv; -ENOMEM.
 * Owns:    the caller frees *ret_line with free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_shell_join(const char *const argv[], char **ret_line);

/** The words of `line` as a POSIX shell would split them, without expanding anything. Equal to
 * Python's shlex.split(): quotes ', " and \, no comments.
 * Returns: 0, and the words in *ret_argv, NULL behind the last, all in one block.
 * Errors:  -EINVAL: no line, "No closing quotation" or "No escaped character" (*fail, step "split", with the
 *          place); -ENOMEM.
 * Owns:    the caller frees *ret_argv with one free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_shell_split(const char *line, char ***ret_argv, brood_fail *fail);

BROOD_END_DECLS
#endif
