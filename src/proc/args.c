#include "proc/args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brood/pickle.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "ipc/conn.h"
#include "os/fd.h"
#include "shm/segment.h"
#include "wire/object.h"

#define SHARED UINT32_C(1)   /* of a connection */
#define READABLE UINT32_C(2) /* … */
#define WRITABLE UINT32_C(4) /* … */
#define RAW UINT32_C(8)      /* of a segment */
#define READ_ONLY UINT32_C(16)

struct record {
	uint32_t type, flags;
	int32_t fd, segment_fd; /* places in the list of descriptors */
	uint64_t offset;        /* of memory in its segment */
	uint64_t most, ahead;   /* of a connection */
};

struct brood_args {
	const brood_object *items;
	size_t n;
	bri_args_refuse *refuse;
	char **texts;         /* of those here: the copies with a NUL behind */
	brood_object *loaded; /* of those that were packed; with all below */
	struct handle {
		uint32_t type;
		void *pointer;          /* BROOD_ARG_FD: the descriptor */
		brood_segment *segment; /* a reference */
	} * handles;
	size_t n_handles;
};

/* ---- packing */

struct packer {
	struct record *records;
	size_t n_records, room;
	int *fds;
	size_t n_fds, fds_room;
};

static void packer_fini(struct packer *packer)
{
	free(packer->records);
	free(packer->fds);
}

static int grow(void *list, size_t item, size_t n, size_t *room)
{
	size_t more = *room == 0 ? 8 : 2 * *room;
	void *moved;

	if (n < *room)
		return 0;
	moved = reallocarray(*(void **)list, more, item);
	if (moved == NULL)
		return -ENOMEM;
	*(void **)list = moved;
	*room = more;
	return 0;
}

/* The place of a descriptor in the list: one of its own only when it is new. */
static int32_t pack_fd(struct packer *packer, int fd)
{
	int r;

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < packer->n_fds; i++)
		if (packer->fds[i] == fd)
			return (int32_t)i;
	r = grow(&packer->fds, sizeof(*packer->fds), packer->n_fds, &packer->fds_room);
	if (r < 0)
		return r;
	packer->fds[packer->n_fds++] = fd;
	return (int32_t)packer->n_fds - 1;
}

static int pack_segment(struct packer *packer, const brood_segment *segment, struct record *record)
{
	record->fd = pack_fd(packer, brood_segment_fd(segment));
	record->flags = (bri_segment_is_raw(segment) ? RAW : 0) |
			(bri_segment_is_read_only(segment) ? READ_ONLY : 0);
	return record->fd < 0 ? record->fd : 0;
}

static int pack_memory(struct packer *packer, const void *address, struct record *record)
{
	brood_segment *segment;
	size_t offset;
	int r = brood_segment_of(address, &segment, &offset);

	if (r < 0)
		return r;
	record->offset = offset;
	return pack_segment(packer, segment, record);
}

static int pack_conn(struct packer *packer, const brood_conn *conn, struct record *record)
{
	if (conn->out_owner != 0 || conn->in_owner != 0)
		return -EBUSY;
	record->fd = pack_fd(packer, brood_conn_fd(conn));
	if (record->fd < 0)
		return record->fd;
	record->flags = (conn->readable ? READABLE : 0) | (conn->writable ? WRITABLE : 0);
	record->most = conn->most;
	record->ahead = conn->ahead_room;
	if (conn->segment == NULL)
		return 0;
	record->flags |= SHARED;
	record->segment_fd = pack_fd(packer, brood_segment_fd(conn->segment));
	return record->segment_fd < 0 ? record->segment_fd : 0;
}

static int pack_handle(struct packer *packer, const brood_object *handle, struct record *record)
{
	const void *pointer = handle->as.data;

	*record = (struct record){ .type = handle->tag, .fd = -1, .segment_fd = -1 };
	if (handle->tag == BROOD_ARG_FD) {
		int fd = (int)(intptr_t)pointer;

		if (fd < 0 || !bri_is_open(fd))
			return -EBADF;
		record->fd = pack_fd(packer, fd);
		return record->fd < 0 ? record->fd : 0;
	}
	if (pointer == NULL || handle->tag <= BROOD_ARG_END || handle->tag > BROOD_ARG_ARRAY)
		return -EINVAL;
	switch (handle->tag) {
	case BROOD_ARG_QUEUE:
		record->fd = pack_fd(packer, brood_queue_fd(pointer));
		return record->fd < 0 ? record->fd : 0;
	case BROOD_ARG_CONN:
		return pack_conn(packer, pointer, record);
	case BROOD_ARG_SEGMENT:
		return pack_segment(packer, pointer, record);
	case BROOD_ARG_LIST:
		return pack_segment(packer, brood_list_segment((brood_list *)handle->as.handle),
				    record);
	default:
		return pack_memory(packer, pointer, record);
	}
}

static int pack_id(void *context, const brood_object *handle, brood_object *ret_id)
{
	struct packer *packer = context;
	struct record record;
	int r = pack_handle(packer, handle, &record);

	if (r == 0)
		r = grow(&packer->records, sizeof(record), packer->n_records, &packer->room);
	if (r < 0)
		return r;
	*ret_id = brood_object_of_int((int64_t)packer->n_records);
	packer->records[packer->n_records++] = record;
	return 0;
}

size_t bri_args_length(const brood_object *args)
{
	size_t n = 0;

	while (args != NULL &&
	       (args[n].kind != BROOD_OBJECT_HANDLE || args[n].tag != BROOD_ARG_END))
		n++;
	return n;
}

/* What the error of a handle means to who made the argument. */
static const char *words_of(const brood_object *arg, int error)
{
	if (arg->kind == BROOD_OBJECT_TEXT && arg->as.text == NULL)
		return "no string: a NULL";
	if (arg->kind != BROOD_OBJECT_HANDLE)
		return NULL;
	switch (error) {
	case -EFAULT:
		return "memory in no segment of brood's: see brood/segment.h";
	case -EBUSY:
		return "a connection that keeps part of a message";
	case -EBADF:
		return "closed, or no open descriptor";
	case -EINVAL:
		return arg->as.data == NULL ? "no handle: a NULL" : "a handle of no known type";
	default:
		return NULL;
	}
}

/* Each argument by itself, so that the words can say which. With nowhere to write to it only counts and checks. */
static int check_each(struct packer *packer, const brood_object *args, brood_fail *fail)
{
	for (size_t i = 0; i < bri_args_length(args); i++) {
		brood_fail why = { .step = NULL };
		const brood_pickle_opts opts = { .persistent_id = pack_id,
						 .context = packer,
						 .fail = &why };
		const char *words;
		ssize_t n = args[i].kind == BROOD_OBJECT_TEXT && args[i].as.text == NULL ?
				    -EINVAL :
				    brood_pickle_dump(&args[i], &opts, NULL, 0);

		if (n >= 0)
			continue;
		words = words_of(&args[i], (int)n);
		return bri_fail(fail, "args", (int)n, "argument %zu: %s", i,
				words != NULL ? words : why.text);
	}
	return 0;
}

int bri_args_check(const brood_object *args, brood_fail *fail)
{
	bri_cleanup(packer_fini) struct packer packer = { .n_records = 0 };

	return check_each(&packer, args, fail);
}

int bri_args_pack(const brood_object *args, brood_fail *fail, struct bri_packed *ret_packed)
{
	bri_cleanup(packer_fini) struct packer packer = { .n_records = 0 };
	const brood_pickle_opts opts = { .persistent_id = pack_id,
					 .context = &packer,
					 .fail = fail };
	const brood_object all =
		brood_object_of_items(BROOD_OBJECT_TUPLE, args, bri_args_length(args));
	bri_cleanup(bri_freep) void *pickle = NULL;
	uint64_t n;
	size_t size, head;
	char *data;
	int r = check_each(&packer, args, fail);

	if (r < 0)
		return r;
	/* So that nobody unpacks it. */
	if (all.size == 0) {
		*ret_packed = (struct bri_packed){ .data = NULL };
		return 0;
	}
	packer.n_records = packer.n_fds = 0;
	n = (uint64_t)brood_pickle_dump(&all, &opts, NULL, 0);
	if ((int64_t)n < 0)
		return (int)n;
	/* Each time that it is written a handle gets a record: only those of the last time count. */
	packer.n_records = packer.n_fds = 0;
	pickle = malloc(n);
	if (pickle == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	size = (size_t)brood_pickle_dump(&all, &opts, pickle, n);
	n = packer.n_records;
	head = sizeof(n) + n * sizeof(struct record);
	data = malloc(head + size);
	if (data == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	memcpy(data, &n, sizeof(n));
	if (n > 0)
		memcpy(data + sizeof(n), packer.records, n * sizeof(struct record));
	memcpy(data + head, pickle, size);
	*ret_packed = (struct bri_packed){
		.data = data, .size = head + size, .fds = packer.fds, .n_fds = packer.n_fds
	};
	packer.fds = NULL;
	return 0;
}

void bri_packed_fini(struct bri_packed *packed)
{
	free(packed->data);
	free(packed->fds);
	*packed = (struct bri_packed){ .data = NULL };
}

/* ---- unpacking */

struct loader {
	brood_args *args;
	const int *fds;
	size_t n_fds;
};

static int fd_at(const struct loader *loader, int32_t place)
{
	return place >= 0 && (size_t)place < loader->n_fds ? loader->fds[place] : -EBADMSG;
}

/* One mapping for all that lies in one segment. */
static int load_segment(const struct loader *loader, const struct record *records, size_t at,
			brood_segment **ret_segment)
{
	const struct record *record = &records[at];
	int fd = fd_at(loader, record->fd);

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < at; i++)
		if (loader->args->handles[i].segment != NULL && records[i].fd == record->fd &&
		    records[i].flags == record->flags) {
			*ret_segment = brood_segment_ref(loader->args->handles[i].segment);
			return 0;
		}
	return brood_segment_attach(
		fd,
		&(brood_segment_opts){ .raw = (record->flags & RAW) != 0,
				       .read_only = (record->flags & READ_ONLY) != 0 },
		ret_segment);
}

static int load_conn(const struct loader *loader, const struct record *record,
		     brood_conn **ret_conn)
{
	bool shared = (record->flags & SHARED) != 0;
	int fd = fd_at(loader, record->fd);
	int segment_fd = shared ? fd_at(loader, record->segment_fd) : -1;
	const brood_conn_opts opts = { .most = record->most, .read_ahead = (size_t)record->ahead };
	brood_conn *conn;
	int r;

	if (fd < 0 || (shared && segment_fd < 0))
		return -EBADMSG;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	r = bri_conn_new_take(fd, segment_fd, &opts, &conn);
	if (r < 0) {
		close(fd);
		return r;
	}
	if (!shared)
		bri_conn_limit(conn, conn->readable && (record->flags & READABLE),
			       conn->writable && (record->flags & WRITABLE));
	*ret_conn = conn;
	return 0;
}

static int load_fd(const struct loader *loader, const struct record *record, void **ret_fd)
{
	int fd = fd_at(loader, record->fd);

	if (fd < 0)
		return fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	*ret_fd = (void *)(intptr_t)fd;
	return 0;
}

static int load_handle(const struct loader *loader, const struct record *records, size_t at)
{
	const struct record *record = &records[at];
	struct handle *handle = &loader->args->handles[at];
	int fd, r;

	*handle = (struct handle){ .type = record->type };
	switch (record->type) {
	case BROOD_ARG_FD:
		return load_fd(loader, record, &handle->pointer);
	case BROOD_ARG_QUEUE:
		fd = fd_at(loader, record->fd);
		return fd < 0 ? fd : brood_queue_attach(fd, (brood_queue **)&handle->pointer);
	case BROOD_ARG_CONN:
		return load_conn(loader, record, (brood_conn **)&handle->pointer);
	}
	if (record->type <= BROOD_ARG_END || record->type > BROOD_ARG_ARRAY)
		return -EBADMSG;
	r = load_segment(loader, records, at, &handle->segment);
	if (r < 0)
		return r;
	if (record->type == BROOD_ARG_SEGMENT)
		handle->pointer = handle->segment;
	else if (record->type == BROOD_ARG_LIST)
		return brood_list_attach(handle->segment, (brood_list **)&handle->pointer);
	else if (record->offset >= brood_segment_size(handle->segment))
		return -EBADMSG;
	else
		handle->pointer = (char *)brood_segment_data(handle->segment) + record->offset;
	return 0;
}

static int load_id(void *context, const brood_object *id, brood_object *ret_object)
{
	const brood_args *args = context;
	uint64_t at;

	if (brood_object_uint(id, &at) < 0 || at >= args->n_handles)
		return -EBADMSG;
	*ret_object = brood_object_of_handle(args->handles[at].type, args->handles[at].pointer);
	return 0;
}

static void free_argsp(brood_args **args)
{
	bri_args_free(*args);
}

int bri_args_unpack(const void *data, size_t size, const int *fds, size_t n_fds,
		    bri_args_refuse *refuse, brood_fail *fail, brood_args **ret_args)
{
	bri_cleanup(free_argsp) brood_args *args = calloc(1, sizeof(*args));
	bri_cleanup(bri_freep) struct record *records = NULL;
	const brood_pickle_opts opts = { .persistent_load = load_id,
					 .context = args,
					 .fail = fail };
	const struct loader loader = { .args = args, .fds = fds, .n_fds = n_fds };
	uint64_t n;
	size_t head;
	int r;

	if (args == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	if (size == 0 && n_fds == 0) {
		args->refuse = refuse;
		*ret_args = bri_take(args);
		return 0;
	}
	if (size < sizeof(n))
		return bri_fail(fail, "args", EBADMSG, "cut short");
	memcpy(&n, data, sizeof(n));
	if (n > (size - sizeof(n)) / sizeof(*records))
		return bri_fail(fail, "args", EBADMSG, "cut short");
	head = sizeof(n) + (size_t)n * sizeof(*records);
	records = malloc(head);
	args->handles = calloc((size_t)n + 1, sizeof(*args->handles));
	if (records == NULL || args->handles == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	memcpy(records, (const char *)data + sizeof(n), head - sizeof(n));
	for (size_t i = 0; i < n; i++) {
		args->n_handles = i + 1;
		r = load_handle(&loader, records, i);
		if (r < 0)
			return bri_fail(fail, "args", r, "handle %zu", i);
	}
	r = brood_pickle_loads((const char *)data + head, size - head, &opts, &args->loaded);
	if (r < 0)
		return r;
	if (args->loaded->kind != BROOD_OBJECT_TUPLE)
		return bri_fail(fail, "args", EBADMSG, "no tuple");
	args->items = args->loaded->as.items;
	args->n = args->loaded->size;
	args->refuse = refuse;
	*ret_args = bri_take(args);
	return 0;
}

int bri_args_here(const brood_object *items, bri_args_refuse *refuse, brood_args **ret_args)
{
	bri_cleanup(free_argsp) brood_args *args = calloc(1, sizeof(*args));

	if (args == NULL)
		return -ENOMEM;
	args->n = bri_args_length(items);
	args->items = items;
	args->refuse = refuse;
	args->texts = calloc(args->n + 1, sizeof(*args->texts));
	if (args->texts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < args->n; i++) {
		if (items[i].kind != BROOD_OBJECT_TEXT)
			continue;
		args->texts[i] = malloc(items[i].size + 1);
		if (args->texts[i] == NULL)
			return -ENOMEM;
		memcpy(args->texts[i], items[i].as.text, items[i].size);
		args->texts[i][items[i].size] = '\0';
	}
	*ret_args = bri_take(args);
	return 0;
}

static void free_handle(const struct handle *handle)
{
	if (handle->type == BROOD_ARG_QUEUE)
		brood_queue_unref(handle->pointer);
	else if (handle->type == BROOD_ARG_CONN)
		brood_conn_free(handle->pointer);
	else if (handle->type == BROOD_ARG_LIST)
		brood_list_free(handle->pointer);
	else if (handle->type == BROOD_ARG_FD && handle->pointer != NULL)
		close((int)(intptr_t)handle->pointer);
	brood_segment_unref(handle->segment);
}

void bri_args_free(brood_args *args)
{
	if (args == NULL)
		return;
	for (size_t i = 0; i < args->n_handles; i++)
		free_handle(&args->handles[i]);
	for (size_t i = 0; args->texts != NULL && i < args->n; i++)
		free(args->texts[i]);
	free(args->texts);
	free(args->handles);
	brood_object_free(args->loaded);
	free(args);
}

/* ---- reading */

static const char *type_name(uint32_t type)
{
	static const char *const names[] = {
		"the end",      "a queue",       "a connection", "a segment", "a list of brood's",
		"a descriptor", "shared memory", "a lock",       "an rlock",  "an rwlock",
		"a semaphore",  "permits",       "a condition",  "an event",  "a barrier",
		"a latch",      "a once",        "a value",      "an array",
	};

	type -= BROOD_ARG_END;
	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "a handle";
}

static const char *kind_name(const brood_object *object)
{
	return object->kind == BROOD_OBJECT_HANDLE ? type_name(object->tag) :
						     bri_object_kind_name(object->kind);
}

size_t brood_args_count(const brood_args *args)
{
	return args->n;
}

const brood_object *brood_args_object(const brood_args *args, size_t index)
{
	return index < args->n ? &args->items[index] : NULL;
}

/* Ends the function. */
static void refuse(const brood_args *args, size_t index, int error, const char *wanted)
{
	brood_fail fail = { .step = NULL };

	if (index >= args->n)
		bri_fail(&fail, "args", ENOENT, "argument %zu: %s is wanted, and there are %zu",
			 index, wanted, args->n);
	else if (error == -ERANGE)
		bri_fail(&fail, "args", error, "argument %zu: %s is wanted, and it does not fit",
			 index, wanted);
	else
		bri_fail(&fail, "args", error, "argument %zu: %s is wanted, %s is there", index,
			 wanted, kind_name(&args->items[index]));
	args->refuse(&fail);
	abort(); /* it does not return */
}

/* The argument, if `r` says that it was what is wanted. */
static void check(const brood_args *args, size_t index, int r, const char *wanted)
{
	if (r < 0)
		refuse(args, index, r, wanted);
}

bool brood_args_is_none(const brood_args *args, size_t index)
{
	check(args, index, index < args->n ? 0 : -ENOENT, "an argument");
	return brood_object_is_none(&args->items[index]);
}

int64_t brood_args_int(const brood_args *args, size_t index)
{
	int64_t number = 0;

	check(args, index, brood_object_int(brood_args_object(args, index), &number), "an int");
	return number;
}

uint64_t brood_args_uint(const brood_args *args, size_t index)
{
	uint64_t number = 0;

	check(args, index, brood_object_uint(brood_args_object(args, index), &number),
	      "an unsigned int");
	return number;
}

double brood_args_double(const brood_args *args, size_t index)
{
	double number = 0;

	check(args, index, brood_object_float(brood_args_object(args, index), &number), "a float");
	return number;
}

bool brood_args_bool(const brood_args *args, size_t index)
{
	int64_t number = 0;
	int r = brood_object_int(brood_args_object(args, index), &number);

	check(args, index, r == 0 && number != 0 && number != 1 ? -ERANGE : r, "a bool");
	return number != 0;
}

const char *brood_args_str(const brood_args *args, size_t index)
{
	const char *text = NULL;
	size_t size;
	int r = brood_object_text(brood_args_object(args, index), &text, &size);

	if (r == 0 && args->texts != NULL)
		text = args->texts[index];
	if (r == 0 && strlen(text) != size)
		refuse(args, index, -ERANGE, "a text without NUL");
	check(args, index, r, "a text");
	return text;
}

const void *brood_args_bytes(const brood_args *args, size_t index, size_t *ret_size)
{
	const void *data = NULL;

	check(args, index, brood_object_bytes(brood_args_object(args, index), &data, ret_size),
	      "bytes");
	return data;
}

static void *handle_of(const brood_args *args, size_t index, brood_arg_type type)
{
	void *handle = NULL;

	check(args, index, brood_object_handle(brood_args_object(args, index), type, &handle),
	      type_name(type));
	return handle;
}

brood_queue *brood_args_queue(const brood_args *args, size_t index)
{
	return handle_of(args, index, BROOD_ARG_QUEUE);
}

brood_conn *brood_args_conn(const brood_args *args, size_t index)
{
	return handle_of(args, index, BROOD_ARG_CONN);
}

brood_segment *brood_args_segment(const brood_args *args, size_t index)
{
	return handle_of(args, index, BROOD_ARG_SEGMENT);
}

brood_list *brood_args_list(const brood_args *args, size_t index)
{
	return handle_of(args, index, BROOD_ARG_LIST);
}

int brood_args_fd(const brood_args *args, size_t index)
{
	return (int)(intptr_t)handle_of(args, index, BROOD_ARG_FD);
}

void *brood_args_memory(const brood_args *args, size_t index, brood_arg_type type)
{
	return handle_of(args, index, type);
}
