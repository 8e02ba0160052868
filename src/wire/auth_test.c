#include "wire/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/leak.h"

#define KEY "secret-key"
#define CHALLENGE "#CHALLENGE#"
#define SHA256_PREFIX "7b7368613235367d" /* {sha256} */

struct text {
	unsigned char bytes[BRI_AUTH_MOST + 1];
	size_t size;
};

static struct text from_hex(const char *word, const char *digits)
{
	struct text text = { .size = strlen(word) };

	memcpy(text.bytes, word, text.size);
	for (; *digits != '\0'; digits += 2) {
		const char pair[] = { digits[0], digits[1], '\0' };

		text.bytes[text.size++] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return text;
}

static struct text from(const char *word)
{
	return from_hex(word, "");
}

static struct text out_of(const struct bri_auth *auth)
{
	struct text text = { .size = auth->out_size };

	ck_assert_uint_le(auth->out_size, sizeof(auth->out));
	memcpy(text.bytes, auth->out, auth->out_size);
	return text;
}

static void ck_out(const struct bri_auth *auth, struct text text)
{
	ck_assert_uint_eq(auth->out_size, text.size);
	ck_assert_mem_eq(auth->out, text.bytes, text.size);
}

static int step(struct bri_auth *auth, struct text text)
{
	return bri_auth_step(auth, text.bytes, text.size, NULL);
}

/* A machine with the key, and with random bytes that are all `byte`. */
static struct bri_auth machine(enum bri_auth_side side, char byte, enum bri_digest digest,
			       bool allow_md5)
{
	unsigned char bytes[BRI_AUTH_RANDOM];
	const struct bri_auth_opts opts = { KEY, strlen(KEY), bytes, digest, allow_md5 };
	struct bri_auth auth;

	memset(bytes, byte, sizeof(bytes));
	ck_assert_int_eq(bri_auth_init(&auth, side, &opts, NULL), 0);
	return auth;
}

/* ---- as it was seen between CPythons */

/* Of each, M1 and M2 are the challenges of the server and of the client, R1 and R2 the answers. We
 * play those that are 3.12 or newer. */
static const struct {
	bool server, client; /* whom we can play */
	const char *m1, *r1, *m2, *r2;
} captured[] = {
	{ false, false, "f47268baaa5e0db41869a8cc932cd2f649d408e0",
	  "66ea6048d1ad4623d3fb8fc37e0fd31e", "803015f92abe5140ae12119e2fcdda1257066ebd",
	  "481da7e8ab16d4d10b2bf82e29e61187" },
	{ true, true,
	  SHA256_PREFIX
	  "daaca64b1ac16ffc684875be0e85f295f8ad086371bf75edbf6ca7369e603aea7f623e4dd8f103a8",
	  SHA256_PREFIX "97161e7089e9cc1ac0fbe88b239b68e73335c95382d2fb687e014f83f9c22ae2",
	  SHA256_PREFIX
	  "4cab495fa74b2b3d389898d0448bb581495a21f0c8fb79aba0fdbac4fddea4d41f7cd7d27944d17c",
	  SHA256_PREFIX "40791f3296e32c429de834976aeb946b60acf8bf7eb9c92681a025d7195fee4b" },
	{ false, true, "133c549977b459bc02fa9125672856565582d019",
	  "f46f27331b6a183e90eff3a3aaa2921a",
	  SHA256_PREFIX
	  "0d82b1df6057a8f0f997b56d1a1419393cea2efda5fcf837f9b2ace3939c39d07198f90fc8b4512c",
	  "219c83339faeabaf3602d9341b3bf2ba" },
	{ true, false,
	  SHA256_PREFIX
	  "f76be9164153f6e9619d36fdefac20c1e6d27e61ab1b06e9ec90f0e674e8d2415e1ad747a1e3fb5e",
	  "a0ac15ebef1d404d03db6fd6d92e0bb8", "0a1a405a8f83b3bb94f28d297c37e51c09598530",
	  "1f49f66b825b0bec7b0a38a6870aece8" },
};

static struct bri_auth with_challenge(enum bri_auth_side side, const char *challenge)
{
	struct text nonce = from_hex("", challenge + strlen(SHA256_PREFIX));
	const struct bri_auth_opts opts = { KEY, strlen(KEY), nonce.bytes, BRI_SHA256, true };
	struct bri_auth auth;

	ck_assert_uint_eq(nonce.size, BRI_AUTH_RANDOM);
	ck_assert_int_eq(bri_auth_init(&auth, side, &opts, NULL), 0);
	return auth;
}

START_TEST(the_listener_says_what_cpython_said)
{
	struct bri_auth auth;

	if (!captured[_i].server)
		return;
	auth = with_challenge(BRI_AUTH_LISTENER, captured[_i].m1);
	ck_out(&auth, from_hex(CHALLENGE, captured[_i].m1));
	ck_assert_int_eq(step(&auth, from_hex("", captured[_i].r1)), 0);
	ck_out(&auth, from("#WELCOME#"));
	ck_assert_int_eq(step(&auth, from_hex(CHALLENGE, captured[_i].m2)), 0);
	ck_out(&auth, from_hex("", captured[_i].r2));
	ck_assert_int_eq(step(&auth, from("#WELCOME#")), 1);
	ck_out(&auth, from(""));
	bri_auth_fini(&auth);
}
END_TEST

START_TEST(the_client_says_what_cpython_said)
{
	struct bri_auth auth;

	if (!captured[_i].client)
		return;
	auth = with_challenge(BRI_AUTH_CLIENT, captured[_i].m2);
	ck_out(&auth, from(""));
	ck_assert_int_eq(step(&auth, from_hex(CHALLENGE, captured[_i].m1)), 0);
	ck_out(&auth, from_hex("", captured[_i].r1));
	ck_assert_int_eq(step(&auth, from("#WELCOME#")), 0);
	ck_out(&auth, from_hex(CHALLENGE, captured[_i].m2));
	ck_assert_int_eq(step(&auth, from_hex("", captured[_i].r2)), 1);
	ck_out(&auth, from("#WELCOME#"));
	bri_auth_fini(&auth);
}
END_TEST

/* Two that are old talk to each other without us; but we answer as either did. */
START_TEST(an_old_challenge_is_answered_as_cpython_did)
{
	const char *const m[] = { captured[0].m1, captured[0].m2 };
	const char *const r[] = { captured[0].r1, captured[0].r2 };

	for (int i = 0; i < 2; i++) {
		struct bri_auth auth = machine(BRI_AUTH_CLIENT, 1, BRI_SHA256, true);

		ck_assert_int_eq(step(&auth, from_hex(CHALLENGE, m[i])), 0);
		ck_out(&auth, from_hex("", r[i]));
	}
}
END_TEST

/* ---- between two of ours */

/* Passes messages on until both have ended; message `at` (0: the first) with bit `bit` turned, unless
 * bit is negative. Gives both results. */
static void meet(struct bri_auth *listener, struct bri_auth *client, int at, int bit,
		 int results[2])
{
	struct bri_auth *from_whom = listener, *to = client;

	results[0] = results[1] = 0;
	for (int i = 0; from_whom->out_size > 0; i++) {
		struct text text = out_of(from_whom);
		struct bri_auth *next = from_whom;

		if (i == at && bit >= 0)
			text.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		from_whom->out_size = 0;
		results[to == client] = step(to, text);
		from_whom = to;
		to = next;
	}
}

START_TEST(two_of_ours_agree_on_each_pair_of_digests)
{
	for (int i = 0; i < BRI_DIGESTS; i++)
		for (int k = 0; k < BRI_DIGESTS; k++) {
			bool md5 = i == BRI_MD5 || k == BRI_MD5;
			struct bri_auth listener =
				machine(BRI_AUTH_LISTENER, 1, (enum bri_digest)i, md5);
			struct bri_auth client =
				machine(BRI_AUTH_CLIENT, 2, (enum bri_digest)k, md5);
			int results[2];

			meet(&listener, &client, 0, -1, results);
			ck_assert_int_eq(results[0], 1);
			ck_assert_int_eq(results[1], 1);
			ck_assert_int_eq(listener.state, BRI_AUTH_DONE);
			ck_assert_int_eq(client.state, BRI_AUTH_DONE);
		}
}
END_TEST

/* Whichever bit of whichever message is turned, one of the two notices. */
START_TEST(no_bit_may_be_changed_on_the_way)
{
	static const int sizes[] = { 11 + 48, 40, 9, 11 + 48, 40, 9 };

	for (int bit = 0; bit < 8 * sizes[_i]; bit++) {
		struct bri_auth listener = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, true);
		struct bri_auth client = machine(BRI_AUTH_CLIENT, 2, BRI_SHA256, true);
		int results[2];

		meet(&listener, &client, _i, bit, results);
		ck_assert_msg(results[0] != 1 || results[1] != 1, "bit %d of message %d", bit, _i);
		ck_assert(results[0] < 0 || results[1] < 0);
	}
}
END_TEST

/* ---- what is refused */

static void ck_not_begun(const struct bri_auth_opts *opts, int error, const char *text)
{
	for (int side = BRI_AUTH_LISTENER; side <= BRI_AUTH_CLIENT; side++) {
		struct bri_auth auth;
		brood_fail fail = { 0 };

		ck_assert_int_eq(bri_auth_init(&auth, (enum bri_auth_side)side, opts, &fail),
				 -error);
		ck_assert_str_eq(fail.step, "auth");
		ck_assert_str_eq(fail.text, text);
		ck_assert_uint_eq(auth.out_size, 0);
		ck_assert_int_eq(step(&auth, from("#WELCOME#")), -error);
		bri_auth_fini(&auth);
	}
}

START_TEST(nothing_begins_without_a_key_and_random_bytes)
{
	const unsigned char nonce[BRI_AUTH_RANDOM] = { 1 };
	struct bri_auth nothing = { .out_size = 0 };

	ck_not_begun(&(struct bri_auth_opts){ NULL, 0, nonce, BRI_SHA256, true }, ENOKEY,
		     "the key is empty");
	ck_not_begun(&(struct bri_auth_opts){ KEY, 0, nonce, BRI_SHA256, true }, ENOKEY,
		     "the key is empty");
	ck_not_begun(&(struct bri_auth_opts){ KEY, 1, NULL, BRI_SHA256, true }, EINVAL,
		     "no random bytes");
	ck_not_begun(&(struct bri_auth_opts){ KEY, 1, nonce, BRI_DIGESTS, true }, EINVAL,
		     "an unknown digest");
	ck_not_begun(&(struct bri_auth_opts){ KEY, 1, nonce, BRI_MD5, false }, EINVAL,
		     "MD5 is asked for, and not allowed");
	ck_assert_int_eq(step(&nothing, from("#WELCOME#")), -EINVAL);
}
END_TEST

#define X10 "0123456789"
#define X20 X10 X10
#define X40 X20 X20
#define X256 X40 X40 X40 X40 X40 X40 "0123456789abcdef"

/* A state, what comes in it, and what is said of that. */
static const struct {
	enum bri_auth_state state;
	bool allow_md5;
	const char *message;
	int error;
	const char *text;
} refusals[] = {
	{ BRI_AUTH_WANTS_CHALLENGE, true, "", EPROTO, "\"\" came, not a challenge" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, "#CHALLENGE", EPROTO,
	  "\"#CHALLENGE\" came, not a challenge" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, "something bogus\n\x80", EPROTO,
	  "\"something bogus?\?\" came, not a challenge" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, "#WELCOME#", EPROTO,
	  "\"#WELCOME#\" came, not a challenge" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, "#FAILURE#", EPROTO,
	  "\"#FAILURE#\" came, not a challenge" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, "#challenge#{sha256}" X40, EPROTO,
	  "\"#challenge#{sha256}01234\"... came, not a challenge" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, X256 "0", EMSGSIZE,
	  "a message of 257 bytes, 256 at most" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE, EBADRQC,
	  "a challenge of 0 bytes, not 20 at least" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE "0123456789abcdef", EBADRQC,
	  "a challenge of 16 bytes, not 20 at least" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE "{sha256}0123456789a", EBADRQC,
	  "a challenge of 19 bytes, not 20 at least" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE X20 "0", EPROTONOSUPPORT,
	  "a challenge of 21 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE X40, EPROTONOSUPPORT,
	  "a challenge of 40 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE "{sha1}" X40, EPROTONOSUPPORT,
	  "a challenge of 46 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE "{}" X40, EPROTONOSUPPORT,
	  "a challenge of 42 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE "{SHA256}" X40, EPROTONOSUPPORT,
	  "a challenge of 48 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE "{sha256" X40, EPROTONOSUPPORT,
	  "a challenge of 47 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE "{sha256 }" X40, EPROTONOSUPPORT,
	  "a challenge of 49 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true, CHALLENGE " {sha256}" X40, EPROTONOSUPPORT,
	  "a challenge of 49 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_CHALLENGE, false, CHALLENGE X20, EPERM,
	  "a challenge with MD5, which is not allowed here" },
	{ BRI_AUTH_WANTS_CHALLENGE, false, CHALLENGE "{sha256}0123456789ab", EPERM,
	  "a challenge with MD5, which is not allowed here" },
	{ BRI_AUTH_WANTS_CHALLENGE, false, CHALLENGE "{md5}" X40, EPERM,
	  "a challenge with MD5, which is not allowed here" },
	{ BRI_AUTH_WANTS_CHALLENGE, true,
	  CHALLENGE "{sha256}\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
		    "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1",
	  EBADE, "our own challenge was sent back" },

	{ BRI_AUTH_WANTS_MAC, true, "", EPROTONOSUPPORT,
	  "a MAC of 0 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_MAC, true, X256 "0", EMSGSIZE, "a message of 257 bytes, 256 at most" },
	{ BRI_AUTH_WANTS_MAC, true, "{", EPROTONOSUPPORT,
	  "a MAC of 1 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_MAC, true, "{sha1}" X20, EPROTONOSUPPORT,
	  "a MAC of 26 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_MAC, true, X10 X20 "01", EPROTONOSUPPORT,
	  "a MAC of 32 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_MAC, true, "#CHALLENGE#{sha256}" X40, EPROTONOSUPPORT,
	  "a MAC of 59 bytes that names no digest known here" },
	{ BRI_AUTH_WANTS_MAC, true, "{sha256}", EBADMSG, "a MAC of sha256 with 0 bytes, not 32" },
	{ BRI_AUTH_WANTS_MAC, true, "{sha256}" X20 X10 "0", EBADMSG,
	  "a MAC of sha256 with 31 bytes, not 32" },
	{ BRI_AUTH_WANTS_MAC, true, "{sha256}" X20 X10 "012", EBADMSG,
	  "a MAC of sha256 with 33 bytes, not 32" },
	{ BRI_AUTH_WANTS_MAC, true, "{sha3_384}" X40 "01234567890", EBADMSG,
	  "a MAC of sha3_384 with 51 bytes, not 48" },
	{ BRI_AUTH_WANTS_MAC, true, X20, EBADMSG, "a MAC of md5 with 20 bytes, not 16" },
	{ BRI_AUTH_WANTS_MAC, true, "{sha256}0123456789ab", EBADMSG,
	  "a MAC of md5 with 20 bytes, not 16" },
	{ BRI_AUTH_WANTS_MAC, true, "{md5}0123456789abcdefg", EBADMSG,
	  "a MAC of md5 with 17 bytes, not 16" },
	{ BRI_AUTH_WANTS_MAC, false, "0123456789abcdef", EPERM,
	  "a MAC with MD5, which is not allowed here" },
	{ BRI_AUTH_WANTS_MAC, false, "{md5}0123456789abcdef", EPERM,
	  "a MAC with MD5, which is not allowed here" },
	{ BRI_AUTH_WANTS_MAC, true, "0123456789abcdef", EACCES, "the peer has another key" },
	{ BRI_AUTH_WANTS_MAC, true, "{sha256}" X20 X10 "01", EACCES, "the peer has another key" },
	{ BRI_AUTH_WANTS_MAC, false, "{sha384}" X40 "01234567", EACCES,
	  "the peer has another key" },

	{ BRI_AUTH_WANTS_GREETING, true, "#FAILURE#", EKEYREJECTED, "the peer refused our key" },
	{ BRI_AUTH_WANTS_GREETING, true, "", EPROTO, "\"\" came, not #WELCOME#" },
	{ BRI_AUTH_WANTS_GREETING, true, "#WELCOME", EPROTO, "\"#WELCOME\" came, not #WELCOME#" },
	{ BRI_AUTH_WANTS_GREETING, true, "#WELCOME# ", EPROTO,
	  "\"#WELCOME# \" came, not #WELCOME#" },
	{ BRI_AUTH_WANTS_GREETING, true, "something bogus", EPROTO,
	  "\"something bogus\" came, not #WELCOME#" },
	{ BRI_AUTH_WANTS_GREETING, true, X256 "0", EMSGSIZE,
	  "a message of 257 bytes, 256 at most" },
};
#define N_REFUSALS (int)(sizeof(refusals) / sizeof(refusals[0]))

/* A machine in that state; the other one's random bytes are 3. */
static struct bri_auth machine_in(enum bri_auth_state state, enum bri_auth_side side,
				  bool allow_md5)
{
	enum bri_auth_side other = side == BRI_AUTH_CLIENT ? BRI_AUTH_LISTENER : BRI_AUTH_CLIENT;
	struct bri_auth auth = machine(side, 1, BRI_SHA256, allow_md5);
	struct bri_auth peer = machine(other, 3, BRI_SHA256, allow_md5);
	struct bri_auth *speaker = side == BRI_AUTH_LISTENER ? &auth : &peer;

	while (auth.state != state) {
		struct bri_auth *hearer = speaker == &auth ? &peer : &auth;

		ck_assert_int_eq(step(hearer, out_of(speaker)), 0);
		speaker = hearer;
	}
	return auth;
}

static void ck_refused(int i, enum bri_auth_side side)
{
	struct bri_auth auth = machine_in(refusals[i].state, side, refusals[i].allow_md5);
	struct text text = from(refusals[i].message);
	brood_fail fail = { 0 };
	bool told;

	ck_assert_int_eq(bri_auth_step(&auth, text.bytes, text.size, &fail), -refusals[i].error);
	ck_assert_str_eq(fail.step, "auth");
	ck_assert_int_eq(fail.error, refusals[i].error);
	ck_assert_str_eq(fail.text, refusals[i].text);
	told = refusals[i].state == BRI_AUTH_WANTS_MAC && refusals[i].error != EMSGSIZE;
	ck_out(&auth, from(told ? "#FAILURE#" : ""));
	/* For good, whatever comes. */
	for (int k = 0; k < 2; k++) {
		ck_assert_int_eq(step(&auth, from(k == 0 ? "#WELCOME#" : CHALLENGE "{sha256}" X40)),
				 -refusals[i].error);
		ck_out(&auth, from(""));
	}
	bri_auth_fini(&auth);
}

START_TEST(each_wrong_message_has_its_error)
{
	ck_refused(_i, BRI_AUTH_LISTENER);
	ck_refused(_i, BRI_AUTH_CLIENT);
}
END_TEST

START_TEST(another_key_is_noticed_by_who_asks_first)
{
	const unsigned char nonce[BRI_AUTH_RANDOM] = { 9 };
	const struct bri_auth_opts opts = { KEY "2", strlen(KEY "2"), nonce, BRI_SHA256, false };
	struct bri_auth listener = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, false), client;
	int results[2];

	ck_assert_int_eq(bri_auth_init(&client, BRI_AUTH_CLIENT, &opts, NULL), 0);
	meet(&listener, &client, 0, -1, results);
	ck_assert_int_eq(results[0], -EACCES);
	ck_assert_int_eq(results[1], -EKEYREJECTED);
}
END_TEST

/* The right MAC, but cut or lengthened to each other length. */
START_TEST(no_other_length_of_a_right_mac_is_taken)
{
	struct bri_auth asker = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, true);
	struct bri_auth peer = machine(BRI_AUTH_CLIENT, 3, BRI_SHA256, true);
	struct text mac;

	ck_assert_int_eq(step(&peer, out_of(&asker)), 0);
	mac = out_of(&peer);
	for (size_t size = 0; size <= BRI_AUTH_MOST; size++) {
		struct bri_auth auth = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, true);
		int r = bri_auth_step(&auth, mac.bytes, size, NULL);

		ck_assert_msg(size == mac.size ? r == 0 : r < 0, "%zu bytes: %d", size, r);
	}
}
END_TEST

/* A MAC over what is behind the name is of no use: the name is covered, too. */
START_TEST(the_mac_covers_the_name_of_the_digest)
{
	struct bri_auth auth = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, true);
	struct text right = from("{sha256}"), without = right, other = from("{sha384}");
	struct text challenge = out_of(&auth);
	const unsigned char *m = challenge.bytes + strlen(CHALLENGE);
	size_t size = challenge.size - strlen(CHALLENGE);

	right.size += bri_hmac_of(BRI_SHA256, KEY, strlen(KEY), m, size, right.bytes + right.size);
	without.size += bri_hmac_of(BRI_SHA256, KEY, strlen(KEY), m + 8, size - 8,
				    without.bytes + without.size);
	other.size += bri_hmac_of(BRI_SHA384, KEY, strlen(KEY), m, size, other.bytes + other.size);
	ck_assert_int_eq(step(&auth, right), 0);
	auth = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, true);
	ck_assert_int_eq(step(&auth, without), -EACCES);
	/* A peer may choose another digest. */
	auth = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, true);
	ck_assert_int_eq(step(&auth, other), 0);
}
END_TEST

START_TEST(it_ends_once)
{
	struct bri_auth listener = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, false);
	struct bri_auth client = machine(BRI_AUTH_CLIENT, 2, BRI_SHA256, false);
	int results[2];

	meet(&listener, &client, 0, -1, results);
	ck_assert_int_eq(step(&listener, from("#WELCOME#")), -EALREADY);
	ck_assert_int_eq(step(&client, from("#FAILURE#")), -EALREADY);
	ck_assert_int_eq(listener.state, BRI_AUTH_DONE);
	ck_out(&client, from(""));
}
END_TEST

START_TEST(nothing_is_left_of_it)
{
	static const struct bri_auth zero;
	struct bri_auth auth = machine(BRI_AUTH_LISTENER, 1, BRI_SHA256, false);

	bri_auth_fini(&auth);
	ck_assert_mem_eq(&auth, &zero, sizeof(auth));
	bri_auth_fini(&auth);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth");
	TCase *good = leak_case(suite, "good", 60), *bad = leak_case(suite, "bad", 60);
	int n = (int)(sizeof(captured) / sizeof(captured[0]));

	tcase_add_loop_test(good, the_listener_says_what_cpython_said, 0, n);
	tcase_add_loop_test(good, the_client_says_what_cpython_said, 0, n);
	tcase_add_test(good, an_old_challenge_is_answered_as_cpython_did);
	tcase_add_test(good, two_of_ours_agree_on_each_pair_of_digests);
	tcase_add_test(good, it_ends_once);
	tcase_add_test(good, nothing_is_left_of_it);
	tcase_add_loop_test(bad, no_bit_may_be_changed_on_the_way, 0, 6);
	tcase_add_test(bad, nothing_begins_without_a_key_and_random_bytes);
	tcase_add_loop_test(bad, each_wrong_message_has_its_error, 0, N_REFUSALS);
	tcase_add_test(bad, another_key_is_noticed_by_who_asks_first);
	tcase_add_test(bad, no_other_length_of_a_right_mac_is_taken);
	tcase_add_test(bad, the_mac_covers_the_name_of_the_digest);
	return leak_run(suite);
}
