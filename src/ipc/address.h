/* ipc/address.h - socket addresses as text; <brood/listener.h> says how they look */
#ifndef IPC_ADDRESS_H
#define IPC_ADDRESS_H

#include <brood/listener.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Bytes of the longest text, with its NUL: a path or name of 108, or "[IPv6%scope]:port". */
#define BRI_ADDRESS_TEXT 128

struct bri_address {
	union {
		struct sockaddr any;
		struct sockaddr_un local;
		struct sockaddr_in inet;
		struct sockaddr_in6 inet6;
		struct sockaddr_storage storage;
	} at;
	socklen_t size;
};

/* Reads `text`; `listens`: "*" is allowed. Returns 0; -EINVAL, -ENAMETOOLONG, -ENOENT: an unknown host, or another
 * -errno; with the step "address". */
int bri_address_parse(const char *text, brood_family family, bool listens, brood_fail *fail,
		      struct bri_address *ret_address);

/* Writes it; "" for one that has no name. */
void bri_address_format(const struct bri_address *address, char text[BRI_ADDRESS_TEXT]);

#endif
