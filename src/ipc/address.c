#include "ipc/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

static int parse_local(const char *text, brood_fail *fail, struct bri_address *ret)
{
	struct sockaddr_un *local = &ret->at.local;
	size_t size = strlen(text);

	if (size >= sizeof(local->sun_path))
		return bri_fail(fail, "address", ENAMETOOLONG, "%s", text);
	local->sun_family = AF_UNIX;
	memcpy(local->sun_path, text, size);
	if (text[0] == '@')
		local->sun_path[0] = '\0';
	/* A path has a NUL behind it, an abstract name all its bytes and no more. */
	ret->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (text[0] != '@'));
	return 0;
}

/* The colon before the port; NULL: there is none. */
static const char *colon_of(const char *text)
{
	const char *colon = strrchr(text, ':');

	if (colon == NULL || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
		return NULL;
	return colon;
}

static brood_family guess(const char *text)
{
	const char *colon = colon_of(text);

	if (text[0] == '@' || strchr(text, '/') != NULL || colon == NULL)
		return BROOD_FAMILY_UNIX;
	return text[0] == '[' ? BROOD_FAMILY_INET6 : BROOD_FAMILY_INET;
}

static int error_of(int gai)
{
	switch (gai) {
	case EAI_MEMORY:
		return ENOMEM;
	case EAI_AGAIN:
		return EAGAIN;
	case EAI_SYSTEM:
		return errno;
	default:
		return ENOENT;
	}
}

static int look_up(const char *host, int domain, brood_fail *fail, struct bri_address *ret)
{
	const struct addrinfo hints = { .ai_family = domain, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	int r = getaddrinfo(host, NULL, &hints, &found);

	if (r != 0)
		return bri_fail(fail, "address", error_of(r), "%s: %s", host, gai_strerror(r));
	memcpy(&ret->at, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

static int parse_inet(const char *host, bool listens, brood_fail *fail, struct bri_address *ret)
{
	struct sockaddr_in *inet = &ret->at.inet;

	ret->size = sizeof(*inet);
	inet->sin_family = AF_INET;
	inet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (strcmp(host, "*") == 0 && listens)
		inet->sin_addr.s_addr = htonl(INADDR_ANY);
	else if (*host != '\0' && inet_pton(AF_INET, host, &inet->sin_addr) != 1)
		return look_up(host, AF_INET, fail, ret);
	return 0;
}

static int parse_inet6(const char *host, bool listens, brood_fail *fail, struct bri_address *ret)
{
	struct sockaddr_in6 *inet6 = &ret->at.inet6;

	ret->size = sizeof(*inet6);
	inet6->sin6_family = AF_INET6;
	inet6->sin6_addr = in6addr_loopback;
	if (strcmp(host, "*") == 0 && listens)
		inet6->sin6_addr = in6addr_any;
	else if (*host != '\0' && inet_pton(AF_INET6, host, &inet6->sin6_addr) != 1)
		return look_up(host, AF_INET6, fail, ret);
	return 0;
}

static int parse_host(const char *text, bool six, bool listens, brood_fail *fail,
		      struct bri_address *ret)
{
	const char *colon = colon_of(text), *begin = text, *end = colon;
	char host[256];
	unsigned long port;
	int r;

	if (colon == NULL)
		return bri_fail(fail, "address", EINVAL, "%s: no port", text);
	port = strtoul(colon + 1, NULL, 10);
	if (port > UINT16_MAX)
		return bri_fail(fail, "address", EINVAL, "%s: no port", text);
	if (six && (*begin++ != '[' || end < begin + 1 || *--end != ']'))
		return bri_fail(fail, "address", EINVAL, "%s: not [host]:port", text);
	if ((size_t)(end - begin) >= sizeof(host))
		return bri_fail(fail, "address", ENAMETOOLONG, "%s", text);
	memcpy(host, begin, (size_t)(end - begin));
	host[end - begin] = '\0';
	if (strcmp(host, "*") == 0 && !listens)
		return bri_fail(fail, "address", EINVAL, "%s: only to listen", text);
	r = six ? parse_inet6(host, listens, fail, ret) : parse_inet(host, listens, fail, ret);
	if (r < 0)
		return r;
	if (six)
		ret->at.inet6.sin6_port = htons((uint16_t)port);
	else
		ret->at.inet.sin_port = htons((uint16_t)port);
	return 0;
}

int bri_address_parse(const char *text, brood_family family, bool listens, brood_fail *fail,
		      struct bri_address *ret_address)
{
	struct bri_address address;
	int r;

	memset(&address, 0, sizeof(address));
	if (text == NULL || *text == '\0' || strcmp(text, "@") == 0)
		return bri_fail(fail, "address", EINVAL, "none");
	if (family == BROOD_FAMILY_ANY)
		family = guess(text);
	if (family == BROOD_FAMILY_UNIX)
		r = parse_local(text, fail, &address);
	else if (family == BROOD_FAMILY_INET || family == BROOD_FAMILY_INET6)
		r = parse_host(text, family == BROOD_FAMILY_INET6, listens, fail, &address);
	else
		return bri_fail(fail, "address", EINVAL, "family %d", (int)family);
	if (r == 0)
		*ret_address = address;
	return r;
}

static void format_local(const struct bri_address *address, char text[BRI_ADDRESS_TEXT])
{
	size_t size = address->size > offsetof(struct sockaddr_un, sun_path) ?
			      address->size - offsetof(struct sockaddr_un, sun_path) :
			      0;

	if (size > sizeof(address->at.local.sun_path))
		size = sizeof(address->at.local.sun_path);
	memcpy(text, address->at.local.sun_path, size);
	text[size] = '\0';
	if (size > 0 && text[0] == '\0')
		text[0] = '@';
}

void bri_address_format(const struct bri_address *address, char text[BRI_ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	*text = '\0';
	if (address->at.any.sa_family == AF_UNIX)
		format_local(address, text);
	else if (address->at.any.sa_family == AF_INET &&
		 inet_ntop(AF_INET, &address->at.inet.sin_addr, host, sizeof(host)) != NULL)
		snprintf(text, BRI_ADDRESS_TEXT, "%s:%u", host, ntohs(address->at.inet.sin_port));
	else if (address->at.any.sa_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &address->at.inet6.sin6_addr, host, sizeof(host)) != NULL)
		snprintf(text, BRI_ADDRESS_TEXT, "[%s]:%u", host,
			 ntohs(address->at.inet6.sin6_port));
}
