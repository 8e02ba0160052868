/* os/authkey.h - the key of this process, which it has in common with those that it starts
 *
 * It is made when somebody asks for it first, or when the first process is started, so that parent and child agree
 * whoever asks later. It lies in a page of its own, which core dumps leave out, and is wiped when another takes its place and when the process ends. */
#ifndef OS_AUTHKEY_H
#define OS_AUTHKEY_H

#include <brood/process.h>

struct bri_authkey {
	uint32_t size;
	unsigned char bytes[BROOD_PROCESS_AUTHKEY_MOST];
};

/* Makes it, if there is none. Returns 0 or -errno. */
int bri_authkey_make(void);

/* A copy, to be sent to a child and wiped; when it was made. */
void bri_authkey_give(struct bri_authkey *ret_key);

/* In the child: takes it, unless it has the same already, and wipes `key`. Returns 0, -EBADMSG: that is none, or -errno. */
int bri_authkey_take(struct bri_authkey *key);

/* Before _exit(2). */
void bri_authkey_wipe(void);

#endif
