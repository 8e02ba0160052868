/* run/run.h - `brood run`: one program, with a time limit, and nothing of it left behind */
#ifndef RUN_RUN_H
#define RUN_RUN_H

/* The command's own words, argv[0] included. Returns the exit status: the program's, 128 + N when signal N
 * ended it, 124 after a time-out, 125 when the command itself failed, 126 when the program cannot be
 * executed, 127 when it was not found. */
int run_main(int argc, char **argv);

#endif
