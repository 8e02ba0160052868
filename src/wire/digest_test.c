/* The vectors are those of RFC 1321 (MD5), of NIST's examples to FIPS 180-4 and FIPS 202, of RFC
 * 2202 and RFC 4231 (HMAC), and of NIST's examples of HMAC with SHA-3. */
#include "wire/digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/leak.h"

/* clang-format off */
#define BITS_448 "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
#define BITS_896 "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn" \
		 "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
#define MD5_62 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define MD5_80 "12345678901234567890123456789012345678901234567890123456789012345678901234567890"

static const struct {
	enum bri_digest digest;
	const char *text, *result;
} texts[] = {
	{ BRI_MD5, "",
	  "d41d8cd98f00b204e9800998ecf8427e" },
	{ BRI_MD5, "a",
	  "0cc175b9c0f1b6a831c399e269772661" },
	{ BRI_MD5, "abc",
	  "900150983cd24fb0d6963f7d28e17f72" },
	{ BRI_MD5, "message digest",
	  "f96b697d7cb7938d525a2f31aaf161d0" },
	{ BRI_MD5, "abcdefghijklmnopqrstuvwxyz",
	  "c3fcd3d76192e4007dfb496cca67e13b" },
	{ BRI_MD5, MD5_62,
	  "d174ab98d277d9f5a5611c2c9f419d9f" },
	{ BRI_MD5, MD5_80,
	  "57edf4a22be3c955ac49da2e2107b67a" },
	{ BRI_SHA256, "",
	  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ BRI_SHA256, "abc",
	  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ BRI_SHA256, BITS_448,
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ BRI_SHA256, BITS_896,
	  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	{ BRI_SHA384, "",
	  "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b" },
	{ BRI_SHA384, "abc",
	  "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7" },
	{ BRI_SHA384, BITS_448,
	  "3391fdddfc8dc7393707a65b1b4709397cf8b1d162af05abfe8f450de5f36bc6b0455a8520bc4e6f5fe95b1fe3c8452b" },
	{ BRI_SHA384, BITS_896,
	  "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039" },
	{ BRI_SHA3_256, "",
	  "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a" },
	{ BRI_SHA3_256, "abc",
	  "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532" },
	{ BRI_SHA3_256, BITS_448,
	  "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d3376" },
	{ BRI_SHA3_256, BITS_896,
	  "916f6061fe879741ca6469b43971dfdb28b1a32dc36cb3254e812be27aad1d18" },
	{ BRI_SHA3_384, "",
	  "0c63a75b845e4f7d01107d852e4c2485c51a50aaaa94fc61995e71bbee983a2ac3713831264adb47fb6bd1e058d5f004" },
	{ BRI_SHA3_384, "abc",
	  "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25" },
	{ BRI_SHA3_384, BITS_448,
	  "991c665755eb3a4b6bbdfb75c78a492e8c56a22c5c4d7e429bfdbc32b9d4ad5aa04a1f076e62fea19eef51acd0657c22" },
	{ BRI_SHA3_384, BITS_896,
	  "79407d3b5916b59c3e30b09822974791c313fb9ecc849e406f23592d04f625dc8c709b98b43b3852b337216179aa7fc7" },
};

/* 200 bytes 0xa3; a million 'a'. */
static const char *const each_a3[BRI_DIGESTS] = {
	[BRI_SHA256] = "8edfea24cad8f0e6da7fb5ebde442300fdf913be8a3bdfce06557e34d8f4efa3",
	[BRI_SHA384] = "1607b79bac73da79748a48d9724762c0dd4fde5934eefee2a0d8da0f35ac8b7dca64c63d5ed5fdd5e7d347b074674bc7",
	[BRI_SHA3_256] = "79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787",
	[BRI_SHA3_384] = "1881de2ca7e41ef95dc4732b8f5f002b189cc1e42b74168ed1732649ce1dbcdd76197a31fd55ee989f2d7050dd473e8f",
	[BRI_MD5] = "154f59e5bb64e06eedbf0887965f679e",
};
static const char *const million[BRI_DIGESTS] = {
	[BRI_SHA256] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
	[BRI_SHA384] = "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985",
	[BRI_SHA3_256] = "5c8875ae474a3634ba4fd55ec85bffd661f32aca75c6d699d0cdcb6c115891c1",
	[BRI_SHA3_384] = "eee9e24d78c1855337983451df97c8ad9eedf256c6334f8e948d252d5e0e76847aa0774ddb90a842190d2c558b4b8340",
	[BRI_MD5] = "7707d6ae4e027c70eea2a935c2296f21",
};

/* The digest of the digests of all messages of 0 to 400 bytes 0, 7, 14, ...; of Python's hashlib. */
static const char *const lengths[BRI_DIGESTS] = {
	[BRI_SHA256] = "bc9bf3dfd37fb1d199e56f6df3c9bdce3a76fee366c007c2bad01c05188e2d9d",
	[BRI_SHA384] = "e41429876e6d2424023b75d74a49edd6d457cf9091dab943d5cbb8123d353675fae346f01804931adb9c472b743f5fd5",
	[BRI_SHA3_256] = "57466ed94184f18ad10cbc968d0afe501856495466d5287a177666bc78ced9dc",
	[BRI_SHA3_384] = "1836272f4734319da687216e1e1e716adda25e8207364bc215527a415bfcccafe4ab3f2e87e26a47ccff3c5f63c8c65e",
	[BRI_MD5] = "6ed16623256ccbea6ce842157f8431fc",
};

#define EACH_DD "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd" \
		"\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
#define EACH_CD "\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd" \
		"\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd"
#define HASH_KEY_FIRST "Test Using Larger Than Block-Size Key - Hash Key First"
#define LARGER_2202 "Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data"
#define LARGER_4231 "This is a test using a larger than block-size key and a larger than block-size data. " \
		    "The key needs to be hashed before being used by the HMAC algorithm."

/* The key is a text, or bytes of which each is the one before and a step. */
static const struct {
	enum bri_digest digest;
	const char *key;
	size_t key_size;
	unsigned first, step;
	const char *data, *result;
} macs[] = {
	{ BRI_MD5, NULL, 16, 0x0b, 0, "Hi There",
	  "9294727a3638bb1c13f48ef8158bfc9d" },
	{ BRI_MD5, "Jefe", 4, 0, 0, "what do ya want for nothing?",
	  "750c783e6ab0b503eaa86e310a5db738" },
	{ BRI_MD5, NULL, 16, 0xaa, 0, EACH_DD,
	  "56be34521d144c88dbb8c733f0e8b3f6" },
	{ BRI_MD5, NULL, 25, 0x01, 1, EACH_CD,
	  "697eaf0aca3a3aea3a75164746ffaa79" },
	{ BRI_MD5, NULL, 16, 0x0c, 0, "Test With Truncation",
	  "56461ef2342edc00f9bab995690efd4c" },
	{ BRI_MD5, NULL, 80, 0xaa, 0, HASH_KEY_FIRST,
	  "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd" },
	{ BRI_MD5, NULL, 80, 0xaa, 0, LARGER_2202,
	  "6f630fad67cda0ee1fb1f562db3aa53e" },
	{ BRI_SHA256, NULL, 20, 0x0b, 0, "Hi There",
	  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
	{ BRI_SHA256, "Jefe", 4, 0, 0, "what do ya want for nothing?",
	  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
	{ BRI_SHA256, NULL, 20, 0xaa, 0, EACH_DD,
	  "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
	{ BRI_SHA256, NULL, 25, 0x01, 1, EACH_CD,
	  "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
	{ BRI_SHA256, NULL, 20, 0x0c, 0, "Test With Truncation",
	  "a3b6167473100ee06e0c796c2955552bfa6f7c0a6a8aef8b93f860aab0cd20c5" },
	{ BRI_SHA256, NULL, 131, 0xaa, 0, HASH_KEY_FIRST,
	  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	{ BRI_SHA256, NULL, 131, 0xaa, 0, LARGER_4231,
	  "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
	{ BRI_SHA384, NULL, 20, 0x0b, 0, "Hi There",
	  "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6" },
	{ BRI_SHA384, "Jefe", 4, 0, 0, "what do ya want for nothing?",
	  "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649" },
	{ BRI_SHA384, NULL, 20, 0xaa, 0, EACH_DD,
	  "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27" },
	{ BRI_SHA384, NULL, 25, 0x01, 1, EACH_CD,
	  "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb" },
	{ BRI_SHA384, NULL, 20, 0x0c, 0, "Test With Truncation",
	  "3abf34c3503b2a23a46efc619baef897f4c8e42c934ce55ccbae9740fcbc1af4ca62269e2a37cd88ba926341efe4aeea" },
	{ BRI_SHA384, NULL, 131, 0xaa, 0, HASH_KEY_FIRST,
	  "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952" },
	{ BRI_SHA384, NULL, 131, 0xaa, 0, LARGER_4231,
	  "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e" },
	{ BRI_SHA3_256, NULL, 32, 0x00, 1, "Sample message for keylen<blocklen",
	  "4fe8e202c4f058e8dddc23d8c34e467343e23555e24fc2f025d598f558f67205" },
	{ BRI_SHA3_256, NULL, 136, 0x00, 1, "Sample message for keylen=blocklen",
	  "68b94e2e538a9be4103bebb5aa016d47961d4d1aa906061313b557f8af2c3faa" },
	{ BRI_SHA3_256, NULL, 168, 0x00, 1, "Sample message for keylen>blocklen",
	  "9bcf2c238e235c3ce88404e813bd2f3a97185ac6f238c63d6229a00b07974258" },
	{ BRI_SHA3_384, NULL, 48, 0x00, 1, "Sample message for keylen<blocklen",
	  "d588a3c51f3f2d906e8298c1199aa8ff6296218127f6b38a90b6afe2c5617725bc99987f79b22a557b6520db710b7f42" },
	{ BRI_SHA3_384, NULL, 104, 0x00, 1, "Sample message for keylen=blocklen",
	  "a27d24b592e8c8cbf6d4ce6fc5bf62d8fc98bf2d486640d9eb8099e24047837f5f3bffbe92dcce90b4ed5b1e7e44fa90" },
	{ BRI_SHA3_384, NULL, 152, 0x00, 1, "Sample message for keylen>blocklen",
	  "e5ae4c739f455279368ebf36d4f5354c95aa184c899d3870e460ebc288ef1f9470053f73f7c6da2a71bcaec38ce7d6ac" },
};
/* clang-format on */
#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

static const char *hex(const unsigned char *bytes, size_t size)
{
	static char text[2 * BRI_DIGEST_MOST + 1];

	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return text;
}

static const char *hash_of(enum bri_digest digest, const void *data, size_t size)
{
	unsigned char result[BRI_DIGEST_MOST];
	struct bri_hash hash;

	bri_hash_init(&hash, digest);
	bri_hash_feed(&hash, data, size);
	ck_assert_uint_eq(bri_hash_finish(&hash, result), bri_digest_size(digest));
	return hex(result, bri_digest_size(digest));
}

START_TEST(a_published_text_has_its_published_digest)
{
	ck_assert_str_eq(hash_of(texts[_i].digest, texts[_i].text, strlen(texts[_i].text)),
			 texts[_i].result);
}
END_TEST

START_TEST(whole_blocks_of_one_byte)
{
	enum bri_digest digest = (enum bri_digest)_i;
	unsigned char bytes[200];

	memset(bytes, 0xa3, sizeof(bytes));
	ck_assert_str_eq(hash_of(digest, bytes, sizeof(bytes)), each_a3[digest]);
}
END_TEST

START_TEST(a_million_times_a)
{
	enum bri_digest digest = (enum bri_digest)_i;
	char *bytes = malloc(1000000);

	ck_assert_ptr_nonnull(bytes);
	memset(bytes, 'a', 1000000);
	ck_assert_str_eq(hash_of(digest, bytes, 1000000), million[digest]);
	free(bytes);
}
END_TEST

/* Each length has its place in a block, and its padding. */
START_TEST(each_length_is_padded_right)
{
	enum bri_digest digest = (enum bri_digest)_i;
	unsigned char bytes[400], result[BRI_DIGEST_MOST];
	struct bri_hash all, one;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(7 * i);
	bri_hash_init(&all, digest);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		bri_hash_init(&one, digest);
		bri_hash_feed(&one, bytes, n);
		bri_hash_feed(&all, result, bri_hash_finish(&one, result));
	}
	ck_assert_str_eq(hex(result, bri_hash_finish(&all, result)), lengths[digest]);
}
END_TEST

/* In two pieces, cut at each place; in pieces of each size; some of them empty. */
START_TEST(it_does_not_matter_how_a_message_is_cut)
{
	enum bri_digest digest = (enum bri_digest)_i;
	unsigned char bytes[300], whole[BRI_DIGEST_MOST], parts[BRI_DIGEST_MOST];
	size_t size = bri_digest_size(digest);
	struct bri_hash hash;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * i);
	bri_hash_init(&hash, digest);
	bri_hash_feed(&hash, bytes, sizeof(bytes));
	bri_hash_finish(&hash, whole);
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		bri_hash_init(&hash, digest);
		bri_hash_feed(&hash, bytes, cut);
		bri_hash_feed(&hash, NULL, 0);
		bri_hash_feed(&hash, bytes + cut, sizeof(bytes) - cut);
		bri_hash_finish(&hash, parts);
		ck_assert_mem_eq(parts, whole, size);
	}
	for (size_t part = 1; part < sizeof(bytes); part++) {
		bri_hash_init(&hash, digest);
		for (size_t at = 0; at < sizeof(bytes); at += part)
			bri_hash_feed(&hash, bytes + at,
				      sizeof(bytes) - at < part ? sizeof(bytes) - at : part);
		bri_hash_finish(&hash, parts);
		ck_assert_mem_eq(parts, whole, size);
	}
}
END_TEST

START_TEST(a_published_key_and_text_have_their_published_mac)
{
	unsigned char key[200], mac[BRI_DIGEST_MOST];
	size_t data_size = strlen(macs[_i].data), cut = data_size / 3;
	struct bri_hmac hmac;

	for (size_t i = 0; i < macs[_i].key_size; i++)
		key[i] = macs[_i].key != NULL ? (unsigned char)macs[_i].key[i] :
						(unsigned char)(macs[_i].first + i * macs[_i].step);
	ck_assert_uint_eq(
		bri_hmac_of(macs[_i].digest, key, macs[_i].key_size, macs[_i].data, data_size, mac),
		bri_digest_size(macs[_i].digest));
	ck_assert_str_eq(hex(mac, bri_digest_size(macs[_i].digest)), macs[_i].result);
	bri_hmac_init(&hmac, macs[_i].digest, key, macs[_i].key_size);
	bri_hmac_feed(&hmac, macs[_i].data, cut);
	bri_hmac_feed(&hmac, macs[_i].data + cut, data_size - cut);
	ck_assert_str_eq(hex(mac, bri_hmac_finish(&hmac, mac)), macs[_i].result);
}
END_TEST

START_TEST(a_key_may_be_empty)
{
	unsigned char mac[BRI_DIGEST_MOST];
	size_t size = bri_hmac_of(BRI_SHA256, NULL, 0, "", 0, mac);

	ck_assert_str_eq(hex(mac, size),
			 "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}
END_TEST

START_TEST(a_digest_is_found_by_its_name_alone)
{
	for (int i = 0; i < BRI_DIGESTS; i++) {
		const char *name = bri_digest_name((enum bri_digest)i);

		ck_assert_int_eq(bri_digest_find(name, strlen(name)), i);
		ck_assert_int_eq(bri_digest_find(name, strlen(name) - 1), -ENOENT);
		ck_assert_int_eq(bri_digest_find(name, strlen(name) + 1), -ENOENT);
	}
	ck_assert_int_eq(bri_digest_find("", 0), -ENOENT);
	ck_assert_int_eq(bri_digest_find("sha1", 4), -ENOENT);
	ck_assert_int_eq(bri_digest_find("sha512", 6), -ENOENT);
	ck_assert_int_eq(bri_digest_find("SHA256", 6), -ENOENT);
	ck_assert_int_eq(bri_digest_find("sha256}", 6), BRI_SHA256);
}
END_TEST

START_TEST(bytes_are_compared_to_the_last_bit)
{
	unsigned char one[BRI_DIGEST_MOST], other[BRI_DIGEST_MOST];

	memset(one, 0x5a, sizeof(one));
	memset(other, 0x5a, sizeof(other));
	ck_assert(bri_is_same(one, other, sizeof(one)));
	ck_assert(bri_is_same(one, NULL, 0));
	for (unsigned bit = 0; bit < 8 * sizeof(one); bit++) {
		other[bit / 8] ^= (unsigned char)(1u << bit % 8);
		ck_assert(!bri_is_same(one, other, sizeof(one)));
		ck_assert(bri_is_same(one, other, bit / 8));
		other[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
}
END_TEST

/* ---- what is left of a secret */

static bool is_zero(const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < size; i++)
		if (at[i] != 0)
			return false;
	return true;
}

START_TEST(what_is_finished_is_zero)
{
	enum bri_digest digest = (enum bri_digest)_i;
	unsigned char result[BRI_DIGEST_MOST];
	struct bri_hash hash;
	struct bri_hmac hmac;

	bri_hash_init(&hash, digest);
	bri_hash_feed(&hash, "secret", 6);
	bri_hash_finish(&hash, result);
	ck_assert(is_zero(&hash, sizeof(hash)));
	bri_hmac_init(&hmac, digest, "secret", 6);
	bri_hmac_feed(&hmac, "text", 4);
	bri_hmac_finish(&hmac, result);
	ck_assert(is_zero(&hmac.inner, sizeof(hmac.inner)));
	ck_assert(is_zero(&hmac.outer, sizeof(hmac.outer)));
}
END_TEST

#define STACK_SIZE (256 * 1024)
static const char key_text[] = "A key whose bytes are all looked for on the stack of a thread.";

static void make_mac(enum bri_digest digest)
{
	unsigned char mac[BRI_DIGEST_MOST];

	bri_hmac_of(digest, key_text, strlen(key_text), "text", 4, mac);
}

/* What an author who knows no better does. */
static void forget_nothing(enum bri_digest digest)
{
	volatile char block[sizeof(key_text)];

	(void)digest;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = key_text[i] ^ 0x36;
}

struct call {
	void (*function)(enum bri_digest digest);
	enum bri_digest digest;
};

/* Calls it deep in the stack, where the end of the thread does not write any more. */
static void *call_deep(void *arg)
{
	const struct call *call = arg;
	volatile char room[STACK_SIZE / 4];

	room[0] = 1;
	call->function(call->digest);
	room[1] = room[0];
	return NULL;
}

/* Whether eight bytes of the key, or of it as HMAC uses it, are on the stack of a thread that made
 * the call. */
static bool leaves_some(void (*function)(enum bri_digest digest), enum bri_digest digest)
{
	static const char masks[] = { 0, 0x36, 0x5c };
	unsigned char *stack = aligned_alloc(4096, STACK_SIZE);
	struct call call = { function, digest };
	bool found = false;
	pthread_attr_t attr;
	pthread_t thread;

	ck_assert_ptr_nonnull(stack);
	memset(stack, 0, STACK_SIZE);
	ck_assert_int_eq(pthread_attr_init(&attr), 0);
	ck_assert_int_eq(pthread_attr_setstack(&attr, stack, STACK_SIZE), 0);
	ck_assert_int_eq(pthread_create(&thread, &attr, call_deep, &call), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(pthread_attr_destroy(&attr), 0);
	for (size_t m = 0; m < sizeof(masks); m++)
		for (size_t i = 0; i + 8 < sizeof(key_text); i += 8) {
			char part[8];

			for (size_t k = 0; k < sizeof(part); k++)
				part[k] = key_text[i + k] ^ masks[m];
			found |= memmem(stack, STACK_SIZE, part, sizeof(part)) != NULL;
		}
	free(stack);
	return found;
}

/* Where a function is called first, the dynamic linker saves registers, with what memcpy() moved: so
 * it is called once before. A sanitizer has frames elsewhere. */
START_TEST(no_key_is_left_on_the_stack)
{
	if (is_sanitized)
		return;
	make_mac((enum bri_digest)_i);
	if (_i == 0)
		ck_assert(leaves_some(forget_nothing, BRI_SHA256)); /* this test can find one */
	ck_assert(!leaves_some(make_mac, (enum bri_digest)_i));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("digest");
	TCase *vectors = leak_case(suite, "vectors", 60), *rest = leak_case(suite, "rest", 60);

	tcase_add_loop_test(vectors, a_published_text_has_its_published_digest, 0, COUNT(texts));
	tcase_add_loop_test(vectors, whole_blocks_of_one_byte, 0, BRI_DIGESTS);
	tcase_add_loop_test(vectors, a_million_times_a, 0, BRI_DIGESTS);
	tcase_add_loop_test(vectors, a_published_key_and_text_have_their_published_mac, 0,
			    COUNT(macs));
	tcase_add_test(vectors, a_key_may_be_empty);
	tcase_add_loop_test(rest, each_length_is_padded_right, 0, BRI_DIGESTS);
	tcase_add_loop_test(rest, it_does_not_matter_how_a_message_is_cut, 0, BRI_DIGESTS);
	tcase_add_test(rest, a_digest_is_found_by_its_name_alone);
	tcase_add_test(rest, bytes_are_compared_to_the_last_bit);
	tcase_add_loop_test(rest, what_is_finished_is_zero, 0, BRI_DIGESTS);
	tcase_add_loop_test(rest, no_key_is_left_on_the_stack, 0, BRI_DIGESTS);
	return leak_run(suite);
}
