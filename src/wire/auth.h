/* wire/auth.h - both know the key: CPython's mutual handshake, message by message
 *
 *	listener				client
 *	#CHALLENGE# M1			----->
 *				<-----		the MAC of M1
 *	#WELCOME# or #FAILURE#	----->
 *				<-----		#CHALLENGE# M2
 *	the MAC of M2			----->
 *				<-----		#WELCOME# or #FAILURE#
 *
 * Each is a message of its own (wire/frame.h), of BRI_AUTH_MOST bytes at most. It works with every
 * CPython from 3.8 on: we ask with "{sha256}" and 40 random bytes, to which those up to 3.11 answer
 * with MD5; asked by them, with 20 bytes, we answer so. Both only with .allow_md5. All of it is in
 * docs/wire-framing-and-auth.md.
 *
 * The machine neither reads nor writes. Whoever drives it sends what it has to say, hands in what
 * comes, and keeps to a deadline, for a silent peer is as good as a wrong one:
 *
 *	r = bri_auth_init(&auth, BRI_AUTH_LISTENER, &opts, fail);
 *	for (;;) {
 *		if (auth.out_size > 0)				(after a failure, too)
 *			send_message(fd, auth.out, auth.out_size);
 *		if (r != 0)
 *			break;
 *		size = receive_message(fd, message, BRI_AUTH_MOST);
 *		r = bri_auth_step(&auth, message, size, fail);
 *	}
 *	bri_auth_fini(&auth);
 *
 * and only r == 1 is good: all else is to be closed. Behind a #FAILURE# a peer may send whatever it
 * likes, which is not to be read. */
#ifndef WIRE_AUTH_H
#define WIRE_AUTH_H

#include <brood/base.h>

#include "wire/digest.h"

#define BRI_AUTH_MOST 256    /* bytes of the longest message to accept, as in CPython */
#define BRI_AUTH_OUT_MOST 64 /* … of the longest that we send */
#define BRI_AUTH_RANDOM 40   /* random bytes of a challenge */

enum bri_auth_side { BRI_AUTH_LISTENER, BRI_AUTH_CLIENT };

struct bri_auth_opts {
	const void *key; /* any bytes, one at least; they must stay until the end */
	size_t key_size;
	const void *random; /* BRI_AUTH_RANDOM bytes that nobody can foresee, for one handshake */
	enum bri_digest digest; /* that our challenge asks for */
	bool allow_md5;         /* peers may use MD5, as CPython up to 3.11 must */
};

enum bri_auth_state {
	BRI_AUTH_FAILED = 0,
	BRI_AUTH_WANTS_CHALLENGE,
	BRI_AUTH_WANTS_MAC,
	BRI_AUTH_WANTS_GREETING,
	BRI_AUTH_DONE
};

/* A handshake on its way. `out` is for its driver, the rest for itself. */
struct bri_auth {
	unsigned char out[BRI_AUTH_OUT_MOST]; /* the message to send now */
	size_t out_size;                      /* … 0: none */
	enum bri_auth_side side;
	enum bri_auth_state state;
	int error; /* of BRI_AUTH_FAILED */
	struct bri_auth_opts opts;
	size_t challenge_size;
	unsigned char challenge[BRI_AUTH_OUT_MOST]; /* ours, without the word in front */
};

/* Begins. Returns 0, and there may be something to send already. -ENOKEY: the key is empty; -EINVAL:
 * there are no random bytes, or a digest is asked for that is none, or not allowed. */
int bri_auth_init(struct bri_auth *auth, enum bri_auth_side side, const struct bri_auth_opts *opts,
		  brood_fail *fail);

/* Takes the peer's next message. Returns 0: it goes on; 1: both have proved that they know the
 * key. Either way, and after an error, `out` is what to send.
 *
 *	-EACCES			the peer's MAC is wrong: it has another key
 *	-EKEYREJECTED		it says that ours is: #FAILURE#
 *	-EPROTO			no challenge where one has to come, or neither #WELCOME# nor #FAILURE#
 *	-EMSGSIZE		more than BRI_AUTH_MOST bytes
 *	-EBADRQC		a challenge of less than 20 bytes
 *	-EPROTONOSUPPORT	a challenge or MAC without the name of a digest that we know
 *	-EPERM			MD5, which is not allowed
 *	-EBADMSG		a MAC that is not as long as its digest's
 *	-EBADE			the challenge is our own, sent back
 *	-EALREADY		it had ended before, well
 *
 * After one that failed, each further step fails in the same way, and says nothing. */
int bri_auth_step(struct bri_auth *auth, const void *message, size_t size, brood_fail *fail);

/* Wipes it; it may be in any state, or all-zero. The key is the caller's. */
void bri_auth_fini(struct bri_auth *auth);

#endif
