/* serve/serve.h - `brood serve`: an HTTP endpoint that runs programs */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

/* The command's own words, argv[0] included. Returns the exit status: 0; 1, it failed; 2, the
 * command line or the configuration is wrong. */
int serve_main(int argc, char **argv);

#endif
