/* serve/keeper.h - the process that owns the jobs
 *
 * It starts them, drains their output to files, enforces their limits and keeps the journal; also
 * while no server is there. No HTTP, no SQLite, no thread; it waits in one epoll. */
#ifndef SERVE_KEEPER_H
#define SERVE_KEEPER_H

/* The words that make `brood serve` a keeper; the server starts it so, nobody else should. */
#define KEEPER_COMMAND "--keeper"

/* Runs with descriptor 3 the state directory, 4 the listening socket, 5 the first connection.
 * Returns the exit status. */
int keeper_main(void);

#endif
