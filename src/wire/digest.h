/* wire/digest.h - the five digests that multiprocessing's handshake may use, and HMAC
 *
 * MD5 (RFC 1321) for CPython up to 3.11; SHA-256 and SHA-384 (FIPS 180-4), SHA3-256 and SHA3-384
 * (FIPS 202) from 3.12 on. HMAC is that of RFC 2104. Made for keys and challenges: small, without
 * tables that a secret indexes, and nothing of a key is left in memory of ours when it is finished. Bulk
 * data is better hashed by who has the processor's instructions for it.
 *
 * Whatever is begun must be finished, or wiped. Pure functions; nothing to free. */
#ifndef WIRE_DIGEST_H
#define WIRE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bri_digest {
	BRI_SHA256 = 0, /* what a modern peer uses unless told otherwise */
	BRI_SHA384,
	BRI_SHA3_256,
	BRI_SHA3_384,
	BRI_MD5,
	BRI_DIGESTS /* how many there are */
};

#define BRI_DIGEST_MOST 48 /* bytes of the longest result */
#define BRI_BLOCK_MOST 136 /* bytes of the longest block */

/* A digest on its way. */
struct bri_hash {
	enum bri_digest digest;
	size_t n_held;  /* bytes that wait for the rest of their block */
	uint64_t total; /* bytes that came */
	union {
		uint32_t words[8];
		uint64_t longs[25];
	} state;
	union {
		unsigned char bytes[BRI_BLOCK_MOST];
		uint32_t words[16];
		uint64_t longs[16];
	} block;
};

struct bri_hmac {
	struct bri_hash inner, outer;
};

/* The length of the result. */
size_t bri_digest_size(enum bri_digest digest);

/* Python's name of it, as hashlib.new() takes it. */
const char *bri_digest_name(enum bri_digest digest);

/* The digest of that name, which need not end in NUL; or -ENOENT. */
int bri_digest_find(const char *name, size_t size);

void bri_hash_init(struct bri_hash *hash, enum bri_digest digest);
void bri_hash_feed(struct bri_hash *hash, const void *data, size_t size);

/* Writes the result, wipes the rest, and returns the length of it. */
size_t bri_hash_finish(struct bri_hash *hash, unsigned char ret_digest[BRI_DIGEST_MOST]);

/* A key has any length. */
void bri_hmac_init(struct bri_hmac *hmac, enum bri_digest digest, const void *key, size_t key_size);
void bri_hmac_feed(struct bri_hmac *hmac, const void *data, size_t size);
size_t bri_hmac_finish(struct bri_hmac *hmac, unsigned char ret_mac[BRI_DIGEST_MOST]);

/* The three in one. */
size_t bri_hmac_of(enum bri_digest digest, const void *key, size_t key_size, const void *data,
		   size_t size, unsigned char ret_mac[BRI_DIGEST_MOST]);

/* Whether the bytes are the same, in a time that only `size` decides. */
bool bri_is_same(const void *one, const void *other, size_t size);

/* Zeroes what is not used again; no compiler leaves it out. */
void bri_wipe(void *secret, size_t size);

#endif
