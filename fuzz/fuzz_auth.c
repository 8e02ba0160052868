/* A handshake with a peer that says anything: who does not know the key is not let in. To get beyond
 * the first step, some of its messages are made good. The bytes are: one for the side and MD5; and for each
 * message its length, with the highest bit set if it shall be a good one, and its bytes. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "a key";
static const uint8_t ours[BRI_AUTH_RANDOM] = "what we ask",
		     theirs[BRI_AUTH_RANDOM] = "what they ask";

static void check(const struct bri_auth *auth, int r, const brood_fail *fail)
{
	static const char failure[] = "#FAILURE#";

	if (auth->out_size > sizeof(auth->out))
		abort();
	if ((r < 0) != (auth->state == BRI_AUTH_FAILED) ||
	    (r == 1) != (auth->state == BRI_AUTH_DONE))
		abort();
	if (r < 0 && (fail->error != -r || fail->text[0] == '\0' || auth->error != -r))
		abort();
	if (r < 0 && auth->out_size > 0 &&
	    (auth->out_size != strlen(failure) || memcmp(auth->out, failure, strlen(failure)) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool md5 = size > 0 && (data[0] & 2) != 0;
	enum bri_auth_side side =
		size > 0 && (data[0] & 1) != 0 ? BRI_AUTH_CLIENT : BRI_AUTH_LISTENER;
	enum bri_auth_side other = side == BRI_AUTH_CLIENT ? BRI_AUTH_LISTENER : BRI_AUTH_CLIENT;
	const struct bri_auth_opts opts = { key, strlen(key), ours, BRI_SHA256, md5 };
	const struct bri_auth_opts peer_opts = { key, strlen(key), theirs, BRI_SHA384, md5 };
	struct bri_auth auth, peer;
	bool proved = false; /* the peer's right MAC was handed over */
	size_t at = 1;
	int r;

	if (bri_auth_init(&auth, side, &opts, NULL) < 0 ||
	    bri_auth_init(&peer, other, &peer_opts, NULL) < 0)
		abort();
	while (at < size) {
		size_t n = data[at] & 0x7f;
		bool good = (data[at] & 0x80) != 0;
		brood_fail fail = { 0 };

		at++;
		n = n < size - at ? n : size - at;
		/* What we said is heard by a peer who knows the key; whether it is he who answers is another
		 * question. */
		if (auth.out_size > 0)
			bri_auth_step(&peer, auth.out, auth.out_size, NULL);
		if (good && auth.state == BRI_AUTH_WANTS_MAC)
			proved = true;
		r = good ? bri_auth_step(&auth, peer.out, peer.out_size, &fail) :
			   bri_auth_step(&auth, data + at, n, &fail);
		check(&auth, r, &fail);
		if (r == 1 && !proved)
			abort();
		if (r != 0)
			break;
		at += n;
	}
	bri_auth_fini(&auth);
	bri_auth_fini(&peer);
	return 0;
}
