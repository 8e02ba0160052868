/* Large bodies without a copy: what goes through the socket is the segment's descriptor, and the receiver maps it. On
 * the wire it is brood_conn_send_fd(), so that CPython's recv_handle() can take it, too.
 *
 * The receiver trusts the sealed size and nothing else. Unsealed, a sender that shrinks it at any later time would be the
 * receiver's SIGBUS, so it is refused before it is mapped. */
#include "ipc/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "os/fd.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Returns the seals; -EPERM: it can be shrunk, as all can that are no memfd. */
static int seals_of(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) ? seals : -EPERM;
}

int brood_conn_send_segment(brood_conn *conn, const brood_segment *segment, int64_t timeout_ns)
{
	int fd = brood_segment_fd(segment), r = fd < 0 ? fd : seals_of(fd);

	return r < 0 ? r : brood_conn_send_fds(conn, &fd, 1, timeout_ns);
}

int brood_conn_recv_segment(brood_conn *conn, const brood_segment_opts *opts, int64_t timeout_ns,
			    brood_segment **ret_segment)
{
	brood_segment_opts with = opts != NULL ? *opts : (brood_segment_opts){ .raw = false };
	bri_cleanup(bri_closep) int fd = brood_conn_recv_fd(conn, timeout_ns);
	brood_segment *segment;
	int seals, r;

	if (fd < 0)
		return fd;
	seals = seals_of(fd);
	if (seals < 0)
		return bri_fail(with.fail, "seals", seals, NULL);
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		with.read_only = true;
	r = brood_segment_attach(fd, &with, &segment);
	if (r < 0)
		return r;
	if (brood_segment_reserve(segment) > conn->most) {
		brood_segment_unref(segment);
		return bri_fail(with.fail, "size", EFBIG, NULL);
	}
	*ret_segment = segment;
	return 0;
}
