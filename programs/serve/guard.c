#include "serve/guard.h"

#include <arpa/inet.h>
#include <brood/base.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REPLY_RATE (64 << 10)    /* bytes a second */
#define REPLY_SECONDS 1000000000 /* no deadline is further away; the sum must not overflow */

/* RFC 9110 §5.6.2 */
static bool is_token(const char *name)
{
	return *name != '\0' &&
	       name[strspn(name, "!#$%&'*+-.^_`|~0123456789"
				 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

void guard_see(struct guard_head *head, const char *name, const char *value)
{
	if (!is_token(name))
		head->bad_name = true;
	if (strcasecmp(name, "Content-Length") == 0) {
		head->lengths++;
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		head->encodings++;
		head->chunked = value != NULL && strcasecmp(value, "chunked") == 0;
	} else if (strcasecmp(name, "Host") == 0) {
		head->hosts++;
		head->host = value;
	}
}

const struct guard_refusal *guard_check(const struct guard_head *head, const char *version,
					char *const *hosts)
{
	static const struct guard_refusal
		framing = { 400, "bad_framing",
			    "one Content-Length, or Transfer-Encoding: chunked" },
		header = { 400, "bad_header", "a header's name has a forbidden character" },
		one_host = { 400, "bad_host", "a request needs one Host header" },
		not_ours = { 421, "bad_host",
			     "this server has no such name; see 'hosts' in brood-serve(1)" };
	bool is_old = strcmp(version, "HTTP/1.0") == 0;

	if (head->bad_name)
		return &header;
	if (head->lengths + head->encodings > 1)
		return &framing;
	if (head->encodings == 1 && (is_old || !head->chunked)) /* 1.0 knows no encodings */
		return &framing;
	if (head->hosts > 1 || (head->hosts == 0 && !is_old))
		return &one_host;
	if (head->hosts == 1 && !guard_is_ours(head->host, hosts))
		return &not_ours;
	return NULL;
}

/* Whether `host`, `n` bytes without a dot at the end, is `name`. */
static bool is_name(const char *host, size_t n, const char *name)
{
	size_t size = strlen(name);

	if (size > 1 && name[size - 1] == '.')
		size--;
	return size == n && strncasecmp(host, name, n) == 0;
}

static bool is_port(const char *text)
{
	return *text == '\0' || (*text == ':' && text[1 + strspn(text + 1, "0123456789")] == '\0');
}

/* [address], with a port or without. */
static bool is_six(const char *host)
{
	const char *end = strchr(host, ']');
	struct in6_addr six;
	char text[INET6_ADDRSTRLEN];

	return end != NULL && (size_t)(end - host) < sizeof(text) && is_port(end + 1) &&
	       snprintf(text, sizeof(text), "%.*s", (int)(end - host - 1), host + 1) > 0 &&
	       inet_pton(AF_INET6, text, &six) == 1;
}

bool guard_is_ours(const char *host, char *const *hosts)
{
	struct in_addr four;
	char text[INET_ADDRSTRLEN];
	size_t n;

	if (host == NULL)
		return false;
	if (*host == '[')
		return is_six(host);
	n = strcspn(host, ":");
	if (!is_port(host + n))
		return false;
	if (n > 1 && host[n - 1] == '.')
		n--;
	if (n < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s", (int)n, host);
		if (inet_pton(AF_INET, text, &four) == 1)
			return true;
	}
	if (is_name(host, n, "localhost"))
		return true;
	for (; hosts != NULL && *hosts != NULL; hosts++)
		if (is_name(host, n, *hosts))
			return true;
	return false;
}

int64_t guard_reply_ns(int64_t base_ns, uint64_t size)
{
	uint64_t seconds = size / REPLY_RATE;

	return base_ns + (int64_t)(seconds < REPLY_SECONDS ? seconds : REPLY_SECONDS) * BROOD_SEC;
}
