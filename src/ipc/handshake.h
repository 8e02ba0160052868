/* ipc/handshake.h - drives wire/auth.h over a connection, in steps that need not wait */
#ifndef IPC_HANDSHAKE_H
#define IPC_HANDSHAKE_H

#include "ipc/conn.h"
#include "wire/auth.h"

#define BRI_HANDSHAKE_NS (10 * BROOD_SEC) /* what it may take, unless options say otherwise */

struct bri_handshake {
	brood_conn *conn; /* the caller's; NULL: there is none */
	uint64_t most;    /* its own limit */
	struct bri_auth auth;
	unsigned char nonce[BRI_AUTH_RANDOM];
};

/* Begins; nothing is sent yet. The key must stay. Returns 0, -ENOKEY, or -errno. */
int bri_handshake_begin(struct bri_handshake *shake, enum bri_auth_side side, brood_conn *conn,
			const void *key, size_t key_size, bool refuse_md5, brood_fail *fail);

/* Goes on until the deadline, which may have passed. Returns 1: both know the key; -ETIMEDOUT: it can be called
 * again; -EACCES: they do not; -EPROTO: that was no handshake; or what the connection says. */
int bri_handshake_step(struct bri_handshake *shake, int64_t deadline, brood_fail *fail);

/* Wipes it. The connection is as a new one then. */
void bri_handshake_end(struct bri_handshake *shake);

#endif
