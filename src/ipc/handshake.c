#include "ipc/handshake.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/fail.h"
#include "os/clock.h"

/* The largest message to receive, from the next one on. */
static void limit(brood_conn *conn, uint64_t most)
{
	conn->most = most;
	if (conn->common->frame.n_head == 0)
		bri_frame_begin(&conn->common->frame, most);
}

int bri_handshake_begin(struct bri_handshake *shake, enum bri_auth_side side, brood_conn *conn,
			const void *key, size_t key_size, bool refuse_md5, brood_fail *fail)
{
	const struct bri_auth_opts opts = { .key = key,
					    .key_size = key_size,
					    .random = shake->nonce,
					    .digest = BRI_SHA256,
					    .allow_md5 = !refuse_md5 };
	ssize_t n;

	do
		n = getrandom(shake->nonce, sizeof(shake->nonce), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(shake->nonce))
		return bri_fail(fail, "random", n < 0 ? errno : EIO, NULL);
	shake->conn = conn;
	shake->most = conn->most;
	limit(conn, BRI_AUTH_MOST);
	return bri_auth_init(&shake->auth, side, &opts, fail);
}

/* Says what there is to say. */
static int speak(struct bri_handshake *shake, int64_t deadline)
{
	int64_t left = bri_timeout(deadline);
	int r = brood_conn_flush(shake->conn, left);

	if (r < 0 || shake->auth.out_size == 0)
		return r;
	r = brood_conn_send_bytes(shake->conn, shake->auth.out, shake->auth.out_size, left);
	if (r == 0 || r == -EINPROGRESS)
		shake->auth.out_size = 0;
	return r;
}

/* Two of its errors are for all who have no key in common, the others are one. */
static int error_of(int r)
{
	return r == -EACCES || r == -EKEYREJECTED ? -EACCES : -EPROTO;
}

int bri_handshake_step(struct bri_handshake *shake, int64_t deadline, brood_fail *fail)
{
	unsigned char message[BRI_AUTH_MOST];
	ssize_t n;
	int r;

	for (;;) {
		r = speak(shake, deadline);
		if (r < 0)
			return r;
		if (shake->auth.state == BRI_AUTH_DONE)
			return 1;
		n = brood_conn_recv_into(shake->conn, message, sizeof(message),
					 bri_timeout(deadline));
		if (n == -EFBIG)
			return bri_fail(fail, "auth", EPROTO, "a message that is too long");
		if (n < 0)
			return (int)n;
		r = bri_auth_step(&shake->auth, message, (size_t)n, fail);
		if (r < 0) {
			speak(shake, 0); /* what it may be told, if it listens */
			return error_of(r);
		}
	}
}

void bri_handshake_end(struct bri_handshake *shake)
{
	if (shake->conn != NULL)
		limit(shake->conn, shake->most);
	bri_auth_fini(&shake->auth);
	bri_wipe(shake->nonce, sizeof(shake->nonce));
	shake->conn = NULL;
}
