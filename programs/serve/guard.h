/* serve/guard.h - what a request's head must be before anything acts on it, and how long a reply
 * may be taken: pure functions
 *
 * Refused is what two parsers might read differently, so that a proxy in front and the server see
 * two requests where there is one (RFC 9112 §11.2), and what is addressed to a name that is not
 * ours: a web page whose name was made to resolve to our address (DNS rebinding) can have a
 * browser send requests here, but it cannot have them say another Host than its own. */
#ifndef SERVE_GUARD_H
#define SERVE_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct guard_refusal {
	unsigned status;
	const char *code, *message;
};

/* What matters of the headers that were seen; all-zero to begin with. */
struct guard_head {
	int lengths, encodings, hosts;
	bool chunked;  /* the last Transfer-Encoding */
	bool bad_name; /* one that is no token, such as one with a space before the colon */
	const char *host;
};

/* Takes note of a header. `value` may be NULL; `host` keeps pointing to it. */
void guard_see(struct guard_head *head, const char *name, const char *value);

/* What is wrong with a head, all of whose headers were seen; NULL: nothing. `version` is as it was
 * sent, HTTP/1.1; `hosts` as for guard_is_ours(). */
const struct guard_refusal *guard_check(const struct guard_head *head, const char *version,
					char *const *hosts);

/* Whether the value of a Host header is a numeric address, localhost, or one of `hosts` (ended by
 * NULL; NULL: none), in any case. A port and a dot at the end do not matter. */
bool guard_is_ours(const char *host, char *const *hosts);

/* How long a client may take over a reply of `size` bytes: `base_ns`, and the time that it needs
 * at 64 KiB/s. */
int64_t guard_reply_ns(int64_t base_ns, uint64_t size);

#endif
