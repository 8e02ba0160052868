/* Two halves, each the other's mirror: we ask, check, and say how it was; they ask, we answer, and hear
 * how it was. The listener asks first. Each step makes one message at most, and each way out but the
 * good ones goes through the state FAILED.
 *
 * What tells old peers from new is the length, before anything else: 20 bytes are an old challenge, 16 an
 * old MAC, whatever they begin with. So ours is never of such a length. */
#include "wire/auth.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"

#define CHALLENGE "#CHALLENGE#"
#define WELCOME "#WELCOME#"
#define FAILURE "#FAILURE#"

#define OLD_CHALLENGE 20 /* bytes of one that CPython up to 3.11 sends */
#define OLD_MAC 16       /* … and of its answer: MD5, no name in front */
#define LONGEST_NAME 8   /* "sha3_256" */
#define SHOWN 24         /* bytes of a wrong message that the text shows */

_Static_assert(BRI_AUTH_OUT_MOST >= sizeof(CHALLENGE) + LONGEST_NAME + 2 + BRI_AUTH_RANDOM,
	       "a challenge fits");
_Static_assert(BRI_AUTH_OUT_MOST >= LONGEST_NAME + 2 + BRI_DIGEST_MOST, "a MAC fits");

static int failed(brood_fail *fail, int error, const char *text)
{
	return bri_fail(fail, "auth", error, "%s", text);
}

static void say(struct bri_auth *auth, const char *words)
{
	auth->out_size = strlen(words);
	memcpy(auth->out, words, auth->out_size);
}

static bool is_just(const void *message, size_t size, const char *words)
{
	return size == strlen(words) && memcmp(message, words, size) == 0;
}

/* "{sha256}" in front: its digest, and its length to *ret_size; or -EPROTONOSUPPORT. */
static int prefix_of(const unsigned char *message, size_t size, size_t *ret_size)
{
	const unsigned char *end;
	int digest;

	if (size < 2 || message[0] != '{')
		return -EPROTONOSUPPORT;
	end = memchr(message + 1, '}', size - 1 < LONGEST_NAME + 1 ? size - 1 : LONGEST_NAME + 1);
	if (end == NULL)
		return -EPROTONOSUPPORT;
	digest = bri_digest_find((const char *)message + 1, (size_t)(end - message) - 1);
	if (digest < 0)
		return -EPROTONOSUPPORT;
	*ret_size = (size_t)(end - message) + 1;
	return digest;
}

/* Which digest a challenge asks for, or a MAC is of; *ret_prefix is 0 in the old form. A message of
 * an `old` length is one of MD5. */
static int digest_of(const struct bri_auth *auth, const unsigned char *message, size_t size,
		     bool old, const char *what, size_t *ret_prefix, brood_fail *fail)
{
	int digest = BRI_MD5;

	*ret_prefix = 0;
	if (!old)
		digest = prefix_of(message, size, ret_prefix);
	if (digest < 0)
		return bri_fail(fail, "auth", EPROTONOSUPPORT,
				"%s of %zu bytes that names no digest known here", what, size);
	if (digest == BRI_MD5 && !auth->opts.allow_md5)
		return bri_fail(fail, "auth", EPERM, "%s with MD5, which is not allowed here",
				what);
	return digest;
}

/* ---- what we ask */

static void ask(struct bri_auth *auth)
{
	memcpy(auth->out, CHALLENGE, strlen(CHALLENGE));
	memcpy(auth->out + strlen(CHALLENGE), auth->challenge, auth->challenge_size);
	auth->out_size = strlen(CHALLENGE) + auth->challenge_size;
	auth->state = BRI_AUTH_WANTS_MAC;
}

static int check_mac(const struct bri_auth *auth, const unsigned char *message, size_t size,
		     brood_fail *fail)
{
	unsigned char mac[BRI_DIGEST_MOST];
	size_t prefix, mac_size;
	bool old = size == OLD_MAC || size == OLD_CHALLENGE, good;
	int digest = digest_of(auth, message, size, old, "a MAC", &prefix, fail);

	if (digest < 0)
		return digest;
	mac_size = bri_digest_size((enum bri_digest)digest);
	if (size - prefix != mac_size)
		return bri_fail(fail, "auth", EBADMSG, "a MAC of %s with %zu bytes, not %zu",
				bri_digest_name((enum bri_digest)digest), size - prefix, mac_size);
	bri_hmac_of((enum bri_digest)digest, auth->opts.key, auth->opts.key_size, auth->challenge,
		    auth->challenge_size, mac);
	good = bri_is_same(mac, message + prefix, mac_size);
	bri_wipe(mac, sizeof(mac));
	return good ? 0 : failed(fail, EACCES, "the peer has another key");
}

static int take_mac(struct bri_auth *auth, const unsigned char *message, size_t size,
		    brood_fail *fail)
{
	int r = check_mac(auth, message, size, fail);

	say(auth, r < 0 ? FAILURE : WELCOME);
	if (r < 0)
		return r;
	auth->state = auth->side == BRI_AUTH_LISTENER ? BRI_AUTH_WANTS_CHALLENGE : BRI_AUTH_DONE;
	return auth->state == BRI_AUTH_DONE;
}

/* ---- what they ask */

/* What came where something else had to, as far as it can be shown. */
static int unexpected(const unsigned char *message, size_t size, const char *instead,
		      brood_fail *fail)
{
	char shown[SHOWN + 1] = "";

	for (size_t i = 0; i < size && i < SHOWN; i++)
		shown[i] = message[i] >= ' ' && message[i] <= '~' ? (char)message[i] : '?';
	return bri_fail(fail, "auth", EPROTO, "\"%s\"%s came, not %s", shown,
			size > SHOWN ? "..." : "", instead);
}

static int take_challenge(struct bri_auth *auth, const unsigned char *message, size_t size,
			  brood_fail *fail)
{
	unsigned char mac[BRI_DIGEST_MOST];
	size_t prefix, n;
	int digest;

	if (size < strlen(CHALLENGE) || memcmp(message, CHALLENGE, strlen(CHALLENGE)) != 0)
		return unexpected(message, size, "a challenge", fail);
	message += strlen(CHALLENGE);
	size -= strlen(CHALLENGE);
	if (size < OLD_CHALLENGE)
		return bri_fail(fail, "auth", EBADRQC, "a challenge of %zu bytes, not %d at least",
				size, OLD_CHALLENGE);
	if (size == auth->challenge_size && memcmp(message, auth->challenge, size) == 0)
		return failed(fail, EBADE, "our own challenge was sent back");
	digest =
		digest_of(auth, message, size, size == OLD_CHALLENGE, "a challenge", &prefix, fail);
	if (digest < 0)
		return digest;
	memcpy(auth->out, message, prefix);
	n = bri_hmac_of((enum bri_digest)digest, auth->opts.key, auth->opts.key_size, message, size,
			mac);
	memcpy(auth->out + prefix, mac, n);
	auth->out_size = prefix + n;
	auth->state = BRI_AUTH_WANTS_GREETING;
	return 0;
}

static int take_greeting(struct bri_auth *auth, const unsigned char *message, size_t size,
			 brood_fail *fail)
{
	if (is_just(message, size, FAILURE))
		return failed(fail, EKEYREJECTED, "the peer refused our key");
	if (!is_just(message, size, WELCOME))
		return unexpected(message, size, WELCOME, fail);
	if (auth->side == BRI_AUTH_LISTENER) {
		auth->state = BRI_AUTH_DONE;
		return 1;
	}
	ask(auth);
	return 0;
}

/* ---- the whole */

static int check_opts(const struct bri_auth_opts *opts, brood_fail *fail)
{
	if (opts->key == NULL || opts->key_size == 0)
		return failed(fail, ENOKEY, "the key is empty");
	if (opts->random == NULL)
		return failed(fail, EINVAL, "no random bytes");
	if (opts->digest >= BRI_DIGESTS)
		return failed(fail, EINVAL, "an unknown digest");
	if (opts->digest == BRI_MD5 && !opts->allow_md5)
		return failed(fail, EINVAL, "MD5 is asked for, and not allowed");
	return 0;
}

int bri_auth_init(struct bri_auth *auth, enum bri_auth_side side, const struct bri_auth_opts *opts,
		  brood_fail *fail)
{
	int r = check_opts(opts, fail), n;

	memset(auth, 0, sizeof(*auth));
	auth->error = -r;
	if (r < 0)
		return r;
	auth->side = side;
	auth->opts = *opts;
	n = snprintf((char *)auth->challenge, sizeof(auth->challenge), "{%s}",
		     bri_digest_name(opts->digest));
	memcpy(auth->challenge + n, opts->random, BRI_AUTH_RANDOM);
	auth->challenge_size = (size_t)n + BRI_AUTH_RANDOM;
	auth->opts.random = NULL; /* it need not stay */
	auth->state = BRI_AUTH_WANTS_CHALLENGE;
	if (side == BRI_AUTH_LISTENER)
		ask(auth);
	return 0;
}

static int take(struct bri_auth *auth, const void *message, size_t size, brood_fail *fail)
{
	switch (auth->state) {
	case BRI_AUTH_WANTS_CHALLENGE:
		return take_challenge(auth, message, size, fail);
	case BRI_AUTH_WANTS_MAC:
		return take_mac(auth, message, size, fail);
	case BRI_AUTH_WANTS_GREETING:
		return take_greeting(auth, message, size, fail);
	default:
		return auth->error == 0 ?
			       failed(fail, EINVAL, "the handshake has not begun") :
			       failed(fail, auth->error, "the handshake has failed before");
	}
}

int bri_auth_step(struct bri_auth *auth, const void *message, size_t size, brood_fail *fail)
{
	int r;

	auth->out_size = 0;
	if (auth->state == BRI_AUTH_DONE)
		return failed(fail, EALREADY, "the handshake is over");
	if (size > BRI_AUTH_MOST)
		r = bri_fail(fail, "auth", EMSGSIZE, "a message of %zu bytes, %d at most", size,
			     BRI_AUTH_MOST);
	else
		r = take(auth, message, size, fail);
	if (r < 0) {
		auth->state = BRI_AUTH_FAILED;
		auth->error = -r;
	}
	return r;
}

void bri_auth_fini(struct bri_auth *auth)
{
	bri_wipe(auth, sizeof(*auth));
}
