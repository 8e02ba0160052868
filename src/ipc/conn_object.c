/* Objects over a connection: one pickle is one message. */
#include <brood/conn.h>

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define SMALL 1024

int brood_conn_send(brood_conn *conn, const brood_object *object, const brood_pickle_opts *opts,
		    int64_t timeout_ns)
{
	bri_cleanup(bri_freep) void *large = NULL;
	char small[SMALL];
	ssize_t n = brood_pickle_dump(object, opts, small, sizeof(small));
	size_t size = (size_t)n;
	int r;

	if (n < 0)
		return (int)n;
	if (size > sizeof(small)) {
		r = brood_pickle_dumps(object, opts, &large, &size);
		if (r < 0)
			return r;
	}
	return brood_conn_send_bytes(conn, large != NULL ? large : small, size, timeout_ns);
}

int brood_conn_recv(brood_conn *conn, const brood_pickle_opts *opts, int64_t timeout_ns,
		    brood_object **ret_object)
{
	bri_cleanup(bri_freep) void *data = NULL;
	size_t size;
	int r = brood_conn_recv_bytes(conn, timeout_ns, &data, &size);

	return r < 0 ? r : brood_pickle_loads(data, size, opts, ret_object);
}
