/* Segments and lists on the command line, for the tests that have another program at the other end.
 *
 *	share segment NAME OPTIONS SIZE   makes one; OPTIONS: g guarded, k kept, b brood's header
 *	share open NAME OPTIONS
 *	share list NAME LAYOUT ITEM...    makes one: LAYOUT 0, 1, 2 as brood_list_layout
 *	share look NAME                   opens a list
 *
 * Then commands from standard input, a line each, each answered by a line:
 *
 *	read OFFSET COUNT (hexadecimal)   write OFFSET HEX   size   name
 *	restore   unlink   sweep PREFIX
 *	all (the layout and the items)   format   set INDEX ITEM   count ITEM
 *
 * An item is n, b0, b1, iNUMBER, fHEXFLOAT, sHEX or yHEX (text and bytes). A failure answers "error
 * NAME". The end of the input ends the program, which unlinks nothing. */
#include <brood/list.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static brood_segment *segment;
static brood_list *list;
static char line[1 << 20];

static size_t from_hex(const char *text, unsigned char *bytes)
{
	size_t n = strcspn(text, " \n") / 2;

	for (size_t i = 0; i < n; i++) {
		char pair[3] = { text[2 * i], text[2 * i + 1], '\0' };

		bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return n;
}

static void put_hex(const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
}

static brood_item item_of(const char *word)
{
	static unsigned char places[65][1 << 16];
	static unsigned next;
	unsigned char *bytes = places[next++ % 65];
	brood_item item = { .kind = BROOD_ITEM_NONE };

	if (strlen(word) >= sizeof(places[0]))
		exit(3);
	switch (word[0]) {
	case 'b':
		item.kind = BROOD_ITEM_BOOL;
		item.boolean = word[1] == '1';
		break;
	case 'i':
		item.kind = BROOD_ITEM_INT;
		item.integer = strtoll(word + 1, NULL, 10);
		break;
	case 'f':
		item.kind = BROOD_ITEM_FLOAT;
		item.real = strtod(word + 1, NULL);
		break;
	case 's':
	case 'y':
		item.kind = word[0] == 's' ? BROOD_ITEM_STR : BROOD_ITEM_BYTES;
		item.size = from_hex(word + 1, bytes);
		item.data = bytes;
		break;
	default:
		break;
	}
	return item;
}

static void put_item(size_t i)
{
	static unsigned char buf[1 << 16];
	brood_item item;
	int r = brood_list_get(list, (ssize_t)i, buf, sizeof(buf), &item);

	if (r < 0) {
		printf(" !%s", strerrorname_np(-r));
		return;
	}
	switch (item.kind) {
	case BROOD_ITEM_BOOL:
		printf(" b%d", item.boolean);
		break;
	case BROOD_ITEM_INT:
		printf(" i%" PRId64, item.integer);
		break;
	case BROOD_ITEM_FLOAT:
		printf(" f%a", item.real);
		break;
	case BROOD_ITEM_STR:
	case BROOD_ITEM_BYTES:
		printf(" %c", item.kind == BROOD_ITEM_STR ? 's' : 'y');
		put_hex(buf, item.size);
		break;
	default:
		printf(" n");
	}
}

static int answer(char *text)
{
	unsigned char *data = brood_segment_data(segment);
	char *rest = NULL, *word = strtok_r(text, " \n", &rest);
	char *first = strtok_r(NULL, " \n", &rest), *second = strtok_r(NULL, " \n", &rest);
	size_t at = first != NULL ? strtoul(first, NULL, 10) : 0;
	brood_item item;

	if (word == NULL || data == NULL)
		return -EINVAL;
	if (strcmp(word, "read") == 0 && second != NULL) {
		put_hex(data + at, strtoul(second, NULL, 10));
	} else if (strcmp(word, "write") == 0 && second != NULL) {
		from_hex(second, data + at);
	} else if (strcmp(word, "size") == 0) {
		printf("%zu", brood_segment_size(segment));
	} else if (strcmp(word, "name") == 0) {
		printf("%s", brood_segment_name(segment));
	} else if (strcmp(word, "restore") == 0) {
		return brood_segment_restore(segment);
	} else if (strcmp(word, "unlink") == 0) {
		return brood_segment_unlink(segment);
	} else if (strcmp(word, "sweep") == 0 && first != NULL) {
		int n = brood_segment_sweep(first);

		printf("%d", n);
		return n < 0 ? n : 0;
	} else if (strcmp(word, "all") == 0) {
		printf("%d", brood_list_layout_of(list));
		for (size_t i = 0; i < brood_list_length(list); i++)
			put_item(i);
	} else if (strcmp(word, "format") == 0) {
		char format[4096];

		brood_list_format(list, format, sizeof(format));
		printf("%s", format);
	} else if (strcmp(word, "set") == 0 && first != NULL && second != NULL) {
		item = item_of(second);
		return brood_list_set(list, strtol(first, NULL, 10), &item);
	} else if (strcmp(word, "count") == 0 && first != NULL) {
		item = item_of(first);
		printf("%zu", brood_list_count(list, &item));
	} else {
		return -EINVAL;
	}
	return 0;
}

static int begin(int argc, char **argv)
{
	const char *letters = argc > 3 ? argv[3] : "";
	brood_segment_opts opts = { .raw = strchr(letters, 'b') == NULL };
	brood_list_opts how = { .name = argc > 2 ? argv[2] : NULL };
	brood_item items[64];
	size_t n = 0;
	int r = -EINVAL;

	if (argc > 4 && strcmp(argv[1], "segment") == 0) {
		opts.name = argv[2];
		opts.guard = strchr(letters, 'g') != NULL;
		opts.keep = strchr(letters, 'k') != NULL;
		return brood_segment_new(strtoul(argv[4], NULL, 10), &opts, &segment);
	}
	if (argc > 3 && strcmp(argv[1], "open") == 0)
		return brood_segment_open(argv[2], &opts, &segment);
	if (argc > 3 && strcmp(argv[1], "list") == 0) {
		how.layout = (brood_list_layout)(argv[3][0] - '0');
		for (int i = 4; i < argc && n < 64; i++)
			items[n++] = item_of(argv[i]);
		r = brood_list_new(items, n, &how, &list);
	} else if (argc > 2 && strcmp(argv[1], "look") == 0) {
		r = brood_list_open(argv[2], NULL, &list);
	}
	if (r == 0)
		segment = brood_list_segment(list);
	return r;
}

static void put_error(int r)
{
	if (r < 0)
		printf("error %s", strerrorname_np(-r));
	printf("\n");
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	int r = begin(argc, argv);

	put_error(r);
	if (r < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin) != NULL)
		put_error(answer(line));
	if (list != NULL)
		brood_list_free(list);
	else
		brood_segment_unref(segment);
	return 0;
}
