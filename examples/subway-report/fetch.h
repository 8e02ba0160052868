/* fetch.h - many URLs, a few at a time
 *
 * http and https by libcurl on one thread, file: by local.h. What cannot be had is told to the
 * caller like what can: one call of `done` for every URL, in the order in which they end. */
#ifndef SUBWAY_REPORT_FETCH_H
#define SUBWAY_REPORT_FETCH_H
#include <stddef.h>

struct local_dir;

#define FETCH_PARALLEL_MAX 64

struct fetch_opts {
	const struct local_dir *pictures; /* for file: URLs; NULL refuses them */
	size_t parallel;                  /* transfers at a time, 1 to FETCH_PARALLEL_MAX */
	long timeout_s;                   /* for one transfer with all its redirects */
	size_t max_size;                  /* of one body, in bytes */
};

struct fetched {
	size_t index;      /* in the array of URLs */
	const char *error; /* why there is no body, or NULL */
	const unsigned char *data;
	size_t size;
};

/* `fetched` and all it points to are valid during the call only. */
typedef void fetch_done(void *context, const struct fetched *fetched);

/** Fetch all of `urls`. While `done` works no transfer goes on; their time limits do.
 * Returns: 0, and `done` was called once for each URL. Errors: -ENOMEM; -EIO, libcurl failed.
 * Safe:    one thread at a time (curl_global_init). SIGPIPE must be ignored: TLS may raise it. */
int fetch_all(const char *const urls[], size_t n_urls, const struct fetch_opts *opts,
	      fetch_done *done, void *context);

#endif
