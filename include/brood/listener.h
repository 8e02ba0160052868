/* brood/listener.h - connections between processes that are not related
 *
 *	brood_listener_opts opts = { .authkey = "secret", .authkey_size = 6 };
 *	brood_listener *listener;
 *	brood_conn *conn;
 *	int r;
 *
 *	if (brood_listener_new("/run/me/socket", &opts, &listener) < 0)
 *		…
 *	for (;;) {
 *		r = brood_listener_accept(listener, BROOD_FOREVER, &conn);
 *		if (r == -EACCES || r == -EPROTO)
 *			continue;
 *		if (r < 0)
 *			break;
 *		brood_conn_send_bytes(conn, "hello", 5, BROOD_SEC);
 *		brood_conn_free(conn);
 *	}
 *	brood_listener_free(listener);
 *
 * and in another process brood_client("/run/me/socket", …). Either side may be CPython's
 * multiprocessing.connection.Listener and Client, of 3.8 or newer.
 *
 * Address  What it looks like says its family, unless .family does:
 *
 *          "/a/path", "./path"     AF_UNIX: a socket in the file system, and whatever looks like none of these
 *          "@name"                 AF_UNIX: an abstract one, which is in no file system (Linux)
 *          "127.0.0.1:80"          AF_INET; the name of a host is looked up
 *          "[::1]:80"              AF_INET6
 *          ":80", "[]:80"          the loopback address: nobody but this machine
 *          "*:80", "[*]:80"        every address of this machine; to listen only
 *
 *          Port 0 is one that is free, and brood_listener_address() tells it.
 * Key      With .authkey both prove that they know it, and neither tells it: CPython's handshake. The
 *          listener never waits for one client alone: any number of them may be slow, silent or hostile, each
 *          has .handshake_ns, and .handshakes of them are at it at once; one more, and the oldest has to go. An
 *          empty key is refused. Nothing is encrypted. Processes that brood started have one in common, which has to
 *          be given like others: brood_process_authkey() (brood/process.h).
 * Fork     A forked child may accept, too: each connection goes to one of them. Only the process that made the
 *          listener removes its path.
 * Threads  One listener in one thread at a time. */
#ifndef BROOD_LISTENER_H
#define BROOD_LISTENER_H

#include <brood/conn.h>

BROOD_BEGIN_DECLS

typedef struct brood_listener brood_listener;

typedef enum brood_family {
	BROOD_FAMILY_ANY = 0, /* as the address looks */
	BROOD_FAMILY_UNIX,
	BROOD_FAMILY_INET,
	BROOD_FAMILY_INET6
} brood_family;

typedef struct brood_listener_opts {
	brood_family family;
	int backlog;         /* who may wait to be accepted; 0: 128 */
	const void *authkey; /* copied; NULL: none */
	size_t authkey_size;
	bool refuse_md5;             /* which CPython up to 3.11 needs */
	int64_t handshake_ns;        /* what each client may take; 0: 10 s */
	unsigned handshakes;         /* how many may be at it at once; 0: 64 */
	const brood_conn_opts *conn; /* of the connections */
	brood_fail *fail;
} brood_listener_opts;

typedef struct brood_client_opts {
	brood_family family;
	const void *authkey; /* NULL: none */
	size_t authkey_size;
	bool refuse_md5;
	int64_t timeout_ns;   /* until it is connected; 0: none but the system's own */
	bool retry;           /* while nobody listens there; until the time-out, if there is one */
	int64_t handshake_ns; /* 0: 10 s */
	const brood_conn_opts *conn;
	brood_fail *fail;
} brood_client_opts;

/** Listen at `address`; NULL: at a fresh path in a folder of its own, or with .family at a free port of the
 * loopback address.
 * Returns: 0, and the listener in *ret_listener.
 * Errors:  -EADDRINUSE: it is taken, or the path exists; -EINVAL: no address of that family (step "address");
 *          -ENAMETOOLONG; -ENOENT: an unknown host, or no such folder; -EADDRNOTAVAIL; -EACCES; -ENOKEY: an empty
 *          key (step "authkey"); -ENOMEM; -EMFILE.
 * Owns:    the caller, until brood_listener_free(). The path is removed then.
 * Safe:    threads, processes; not in a signal handler. A host's name is looked up by getaddrinfo(3). */
BROOD_API int brood_listener_new(const char *address, const brood_listener_opts *opts,
				 brood_listener **ret_listener);

/** Accept a connection; with a key, one whose other end has proved that it knows it.
 * Returns: 0, and the connection in *ret_conn.
 * Errors:  -ETIMEDOUT; -EACCES: a client has another key, or says that we have; -EPROTO: it has shown something else
 *          than the handshake. After these two it is gone, and the listener as good as before. Who leaves, or
 *          takes too long, is not told of. -EMFILE, -ENFILE, -ENOMEM; -EBADF: closed.
 * Owns:    the caller, until brood_conn_free().
 * Safe:    processes. */
BROOD_API int brood_listener_accept(brood_listener *listener, int64_t timeout_ns,
				    brood_conn **ret_conn);

/** Where it listens, with the port that it got.
 * Returns: the address, as above.
 * Errors:  none.
 * Owns:    the listener.
 * Safe:    threads, processes. */
BROOD_API const char *brood_listener_address(const brood_listener *listener);

/** Whose connection was accepted last, as above; "" when that has no address, as clients of AF_UNIX have none.
 * Returns: the address, until the next brood_listener_accept(); NULL: there was none.
 * Errors:  none.
 * Owns:    the listener.
 * Safe:    processes. */
BROOD_API const char *brood_listener_last_accepted(const brood_listener *listener);

/** What is readable when brood_listener_accept() has something to do, to be waited for with others. It need not
 * have a connection then: call it with time-out 0.
 * Returns: the descriptor. Errors: -EBADF: closed; -EMFILE, -ENOMEM.
 * Owns:    the listener: never close it.
 * Safe:    processes. */
BROOD_API int brood_listener_fd(brood_listener *listener);

/** Stop listening, and remove the path, if it still is this listener's. Clients that were not accepted are dropped.
 * Again: nothing happens.
 * Returns: 0.
 * Errors:  none.
 * Owns:    the handle stays the caller's.
 * Safe:    processes. */
BROOD_API int brood_listener_close(brood_listener *listener);

/** Close and free it. NULL is fine.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more.
 * Safe:    processes. */
BROOD_API brood_listener *brood_listener_free(brood_listener *listener);

/** Connect to a listener.
 * Returns: 0, and the connection in *ret_conn.
 * Errors:  -ETIMEDOUT (step "connect", "handshake"); -ECONNREFUSED, -ENOENT: nobody listens there, or there is no
 *          such path or host; -EACCES: the other end has another key (step "auth"), or the path is not for
 *          us (step "connect"); -EPROTO: it does something else than the handshake; -EPIPE, -ECONNRESET: it left in the middle of it;
 *          -EINVAL, -ENAMETOOLONG, -ENOKEY as brood_listener_new(); -ENETUNREACH, …; -EMFILE; -ENOMEM.
 * Owns:    the caller, until brood_conn_free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_client(const char *address, const brood_client_opts *opts,
			   brood_conn **ret_conn);

BROOD_END_DECLS
#endif
