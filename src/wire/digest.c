/* A block is read into words where it lies, and the message schedule goes round in the same sixteen
 * words: what was made of a key is all in the struct, which is wiped, but for the working variables,
 * which each block wipes itself. (Copies that a compiler keeps in registers are beyond C.) */
#include "wire/digest.h"

#include <errno.h>
#include <string.h>

void bri_wipe(void *secret, size_t size)
{
	explicit_bzero(secret, size);
}

bool bri_is_same(const void *one, const void *other, size_t size)
{
	const unsigned char *a = one, *b = other;
	unsigned differ = 0;

	for (size_t i = 0; i < size; i++) {
		differ |= a[i] ^ b[i];
		__asm__("" : "+r"(differ)); /* it might be anything: no way out before the end */
	}
	return differ == 0;
}

/* ---- words in bytes */

static uint32_t get_le32(const unsigned char *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static uint64_t get_le64(const unsigned char *at)
{
	return get_le32(at) | (uint64_t)get_le32(at + 4) << 32;
}

static uint32_t get_be32(const unsigned char *at)
{
	return __builtin_bswap32(get_le32(at));
}

static uint64_t get_be64(const unsigned char *at)
{
	return __builtin_bswap64(get_le64(at));
}

static uint32_t left32(uint32_t word, unsigned n)
{
	return word << n | word >> (32 - n);
}

static uint32_t right32(uint32_t word, unsigned n)
{
	return word >> n | word << (32 - n);
}

/* n > 0 */
static uint64_t left64(uint64_t word, unsigned n)
{
	return word << n | word >> (64 - n);
}

static uint64_t right64(uint64_t word, unsigned n)
{
	return word >> n | word << (64 - n);
}

/* ---- MD5 */

/* clang-format off */
/* |sin(i + 1)|, its first 32 bits behind the point; four to a line, as the rounds go */
static const uint32_t sines[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee,
	0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
	0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
	0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
	0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
	0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
	0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
	0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05,
	0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039,
	0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
	0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};
/* clang-format on */

static void md5_block(struct bri_hash *hash)
{
	static const unsigned char turns[4][4] = {
		{ 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 }
	};
	static const unsigned char step[4] = { 1, 5, 3, 7 }, first[4] = { 0, 1, 5, 0 };
	uint32_t *w = hash->block.words, *state = hash->state.words, v[4];

	for (size_t i = 0; i < 16; i++)
		w[i] = get_le32(hash->block.bytes + 4 * i);
	memcpy(v, state, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		unsigned round = i / 16;
		uint32_t b = v[1], c = v[2], d = v[3], mixed;

		mixed = round == 0 ? (b & c) | (~b & d) :
			round == 1 ? (d & b) | (~d & c) :
			round == 2 ? b ^ c ^ d :
				     c ^ (b | ~d);
		mixed += v[0] + sines[i] + w[(first[round] + step[round] * i) % 16];
		v[0] = d;
		v[3] = c;
		v[2] = b;
		v[1] = b + left32(mixed, turns[round][i % 4]);
	}
	for (size_t i = 0; i < 4; i++)
		state[i] += v[i];
	bri_wipe(v, sizeof(v));
}

/* ---- SHA-2 */

/* The cube roots of the first 80 primes, their first 64 bits behind the point; SHA-256 takes 32 of
 * the first 64. */
static const uint64_t cube_roots[80] = {
	0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
	0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
	0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
	0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
	0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
	0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
	0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
	0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
	0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
	0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
	0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
	0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
	0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
	0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
	0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
	0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
	0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
	0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
	0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
	0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

/* The working variables a to h of round i. They stay where they are, and their names go round: what
 * was a is b in the next round, and what was h makes room for the new a. */
#define NAMED(letter) v[((letter) - 'a' + 80 - i) % 8]

static void sha256_block(struct bri_hash *hash)
{
	uint32_t *w = hash->block.words, *state = hash->state.words, v[8];

	for (size_t i = 0; i < 16; i++)
		w[i] = get_be32(hash->block.bytes + 4 * i);
	memcpy(v, state, sizeof(v));
	for (size_t i = 0; i < 64; i++) {
		uint32_t a = NAMED('a'), b = NAMED('b'), c = NAMED('c');
		uint32_t e = NAMED('e'), one, two;

		if (i >= 16) {
			uint32_t x = w[(i + 1) % 16], y = w[(i + 14) % 16];

			w[i % 16] += w[(i + 9) % 16] + (right32(x, 7) ^ right32(x, 18) ^ x >> 3) +
				     (right32(y, 17) ^ right32(y, 19) ^ y >> 10);
		}
		one = NAMED('h') + (right32(e, 6) ^ right32(e, 11) ^ right32(e, 25)) +
		      ((e & NAMED('f')) ^ (~e & NAMED('g'))) + (uint32_t)(cube_roots[i] >> 32) +
		      w[i % 16];
		two = (right32(a, 2) ^ right32(a, 13) ^ right32(a, 22)) +
		      ((a & b) ^ (a & c) ^ (b & c));
		NAMED('d') += one;
		NAMED('h') = one + two;
	}
	for (size_t i = 0; i < 8; i++)
		state[i] += v[i];
	bri_wipe(v, sizeof(v));
}

static void sha384_block(struct bri_hash *hash)
{
	uint64_t *w = hash->block.longs, *state = hash->state.longs, v[8];

	for (size_t i = 0; i < 16; i++)
		w[i] = get_be64(hash->block.bytes + 8 * i);
	memcpy(v, state, sizeof(v));
	for (size_t i = 0; i < 80; i++) {
		uint64_t a = NAMED('a'), b = NAMED('b'), c = NAMED('c');
		uint64_t e = NAMED('e'), one, two;

		if (i >= 16) {
			uint64_t x = w[(i + 1) % 16], y = w[(i + 14) % 16];

			w[i % 16] += w[(i + 9) % 16] + (right64(x, 1) ^ right64(x, 8) ^ x >> 7) +
				     (right64(y, 19) ^ right64(y, 61) ^ y >> 6);
		}
		one = NAMED('h') + (right64(e, 14) ^ right64(e, 18) ^ right64(e, 41)) +
		      ((e & NAMED('f')) ^ (~e & NAMED('g'))) + cube_roots[i] + w[i % 16];
		two = (right64(a, 28) ^ right64(a, 34) ^ right64(a, 39)) +
		      ((a & b) ^ (a & c) ^ (b & c));
		NAMED('d') += one;
		NAMED('h') = one + two;
	}
	for (size_t i = 0; i < 8; i++)
		state[i] += v[i];
	bri_wipe(v, sizeof(v));
}

/* ---- SHA-3 */

/* iota: what each round adds to the first lane */
static const uint64_t round_bits[24] = {
	0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
	0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
	0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
	0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
	0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
	0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

static void keccak_round(uint64_t lanes[25], uint64_t spare[5], uint64_t bits)
{
	/* rho and pi: the lanes in the order in which each takes the place of the next, and how far each
	 * is turned on its way */
	static const unsigned char to[24] = { 10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
					      15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1 };
	static const unsigned char turn[24] = { 1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
						27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44 };
	uint64_t moved;

	for (size_t x = 0; x < 5; x++) /* theta */
		spare[x] = lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20];
	for (size_t i = 0; i < 25; i++)
		lanes[i] ^= spare[(i + 4) % 5] ^ left64(spare[(i + 1) % 5], 1);
	moved = lanes[1];
	for (size_t i = 0; i < 24; i++) {
		uint64_t next = lanes[to[i]];

		lanes[to[i]] = left64(moved, turn[i]);
		moved = next;
	}
	for (size_t y = 0; y < 25; y += 5) { /* chi */
		memcpy(spare, lanes + y, 5 * sizeof(spare[0]));
		for (size_t x = 0; x < 5; x++)
			lanes[y + x] = spare[x] ^ (~spare[(x + 1) % 5] & spare[(x + 2) % 5]);
	}
	lanes[0] ^= bits;
}

static void sha3_block(struct bri_hash *hash)
{
	size_t n = hash->digest == BRI_SHA3_256 ? 17 : 13; /* longs of a block */
	uint64_t *lanes = hash->state.longs, spare[5];

	for (size_t i = 0; i < n; i++)
		lanes[i] ^= get_le64(hash->block.bytes + 8 * i);
	for (size_t i = 0; i < 24; i++)
		keccak_round(lanes, spare, round_bits[i]);
	bri_wipe(spare, sizeof(spare));
}

/* ---- what they have in common */

static const uint32_t md5_start[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };

/* The square roots of the first 8 primes, and of the 8 behind them. */
static const uint32_t sha256_start[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint64_t sha384_start[8] = {
	0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17, 0x152fecd8f70e5939,
	0x67332667ffc00b31, 0x8eb44a8768581511, 0xdb0c2e0d64f98fa7, 0x47b5481dbefa4fa4,
};

static const struct {
	const char *name;
	size_t size, block;
	size_t word;     /* bytes of a word of the state */
	bool big;        /* words are big-endian */
	bool has_length; /* the message's length is at its end, in two words */
	void (*take_block)(struct bri_hash *hash);
	const void *start;
	size_t start_size;
} digests[BRI_DIGESTS] = {
	[BRI_SHA256] = { "sha256", 32, 64, 4, true, true, sha256_block, sha256_start,
			 sizeof(sha256_start) },
	[BRI_SHA384] = { "sha384", 48, 128, 8, true, true, sha384_block, sha384_start,
			 sizeof(sha384_start) },
	[BRI_SHA3_256] = { "sha3_256", 32, 136, 8, false, false, sha3_block, "", 0 },
	[BRI_SHA3_384] = { "sha3_384", 48, 104, 8, false, false, sha3_block, "", 0 },
	[BRI_MD5] = { "md5", 16, 64, 4, false, true, md5_block, md5_start, sizeof(md5_start) },
};

size_t bri_digest_size(enum bri_digest digest)
{
	return digests[digest].size;
}

const char *bri_digest_name(enum bri_digest digest)
{
	return digests[digest].name;
}

int bri_digest_find(const char *name, size_t size)
{
	for (int i = 0; i < BRI_DIGESTS; i++)
		if (strlen(digests[i].name) == size && memcmp(digests[i].name, name, size) == 0)
			return i;
	return -ENOENT;
}

void bri_hash_init(struct bri_hash *hash, enum bri_digest digest)
{
	memset(hash, 0, sizeof(*hash));
	hash->digest = digest;
	memcpy(&hash->state, digests[digest].start, digests[digest].start_size);
}

void bri_hash_feed(struct bri_hash *hash, const void *data, size_t size)
{
	const unsigned char *at = data;
	size_t block = digests[hash->digest].block;

	hash->total += size;
	while (size > 0) {
		size_t n = size < block - hash->n_held ? size : block - hash->n_held;

		memcpy(hash->block.bytes + hash->n_held, at, n);
		hash->n_held += n;
		at += n;
		size -= n;
		if (hash->n_held == block) {
			digests[hash->digest].take_block(hash);
			hash->n_held = 0;
		}
	}
}

/* The length of the message, in bits, to the end of the block. */
static void put_length(struct bri_hash *hash)
{
	size_t block = digests[hash->digest].block, size = 2 * digests[hash->digest].word;

	for (size_t i = 0; i < size && i < 9; i++) {
		size_t at = digests[hash->digest].big ? block - 1 - i : block - size + i;

		hash->block.bytes[at] =
			(unsigned char)(i == 8 ? hash->total >> 61 : hash->total << 3 >> (8 * i));
	}
}

/* Behind the message: a bit, zeros, its length; with SHA-3 three bits, zeros, and a bit. */
static void pad(struct bri_hash *hash)
{
	size_t block = digests[hash->digest].block;
	bool has_length = digests[hash->digest].has_length;
	size_t length = has_length ? 2 * digests[hash->digest].word : 0;
	unsigned char *bytes = hash->block.bytes;

	memset(bytes + hash->n_held, 0, block - hash->n_held);
	bytes[hash->n_held] = has_length ? 0x80 : 0x06;
	if (hash->n_held + 1 + length > block) {
		digests[hash->digest].take_block(hash);
		memset(bytes, 0, block);
	}
	if (has_length)
		put_length(hash);
	else
		bytes[block - 1] |= 0x80;
	digests[hash->digest].take_block(hash);
}

size_t bri_hash_finish(struct bri_hash *hash, unsigned char ret_digest[BRI_DIGEST_MOST])
{
	size_t size = digests[hash->digest].size, word = digests[hash->digest].word;

	pad(hash);
	for (size_t i = 0; i < size; i++) {
		size_t n = digests[hash->digest].big ? word - 1 - i % word : i % word;
		uint64_t from = word == 4 ? hash->state.words[i / 4] : hash->state.longs[i / 8];

		ret_digest[i] = (unsigned char)(from >> (8 * n));
	}
	bri_wipe(hash, sizeof(*hash));
	return size;
}

/* ---- HMAC */

void bri_hmac_init(struct bri_hmac *hmac, enum bri_digest digest, const void *key, size_t key_size)
{
	unsigned char block[BRI_BLOCK_MOST] = { 0 };
	size_t size = digests[digest].block;

	bri_hash_init(&hmac->inner, digest);
	bri_hash_init(&hmac->outer, digest);
	if (key_size > size) {
		bri_hash_feed(&hmac->inner, key, key_size);
		bri_hash_finish(&hmac->inner, block);
		bri_hash_init(&hmac->inner, digest);
	} else if (key_size > 0) {
		memcpy(block, key, key_size);
	}
	for (size_t i = 0; i < size; i++)
		block[i] ^= 0x36;
	bri_hash_feed(&hmac->inner, block, size);
	for (size_t i = 0; i < size; i++)
		block[i] ^= 0x36 ^ 0x5c;
	bri_hash_feed(&hmac->outer, block, size);
	bri_wipe(block, sizeof(block));
}

void bri_hmac_feed(struct bri_hmac *hmac, const void *data, size_t size)
{
	bri_hash_feed(&hmac->inner, data, size);
}

size_t bri_hmac_finish(struct bri_hmac *hmac, unsigned char ret_mac[BRI_DIGEST_MOST])
{
	unsigned char inner[BRI_DIGEST_MOST];
	size_t size = bri_hash_finish(&hmac->inner, inner);

	bri_hash_feed(&hmac->outer, inner, size);
	bri_wipe(inner, sizeof(inner));
	return bri_hash_finish(&hmac->outer, ret_mac);
}

size_t bri_hmac_of(enum bri_digest digest, const void *key, size_t key_size, const void *data,
		   size_t size, unsigned char ret_mac[BRI_DIGEST_MOST])
{
	struct bri_hmac hmac;

	bri_hmac_init(&hmac, digest, key, key_size);
	bri_hmac_feed(&hmac, data, size);
	return bri_hmac_finish(&hmac, ret_mac);
}
