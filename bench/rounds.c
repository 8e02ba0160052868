#include "rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MOST_ROUNDS 1000

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

double rounds_median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void measure(const struct rounds_figure *figure, int rounds)
{
	static double ours[MOST_ROUNDS], theirs[MOST_ROUNDS], ratios[MOST_ROUNDS];

	for (int i = 0; i < rounds; i++) {
		if (i % 2 == 0)
			ours[i] = figure->take(true);
		theirs[i] = figure->take(false);
		if (i % 2 != 0)
			ours[i] = figure->take(true);
		ratios[i] = figure->more_is_better ? ours[i] / theirs[i] : theirs[i] / ours[i];
	}
	printf("%s\t%g\t%s\t%s\t%g\t%g\n", figure->name, rounds_median(ours, rounds), figure->unit,
	       figure->peer, rounds_median(theirs, rounds), rounds_median(ratios, rounds));
	(void)fflush(stdout);
}

bool rounds_take(const char *rounds, const struct rounds_figure *figures, size_t n)
{
	long wanted = strtol(rounds, NULL, 10);

	if (wanted < 1 || wanted > MOST_ROUNDS)
		return false;
	for (size_t i = 0; i < n; i++)
		measure(&figures[i], (int)wanted);
	return true;
}

void *rounds_touched(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, size, MADV_NOHUGEPAGE);
	memset(memory, 1, size);
	return memory;
}

long rounds_available_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[200];
	long kib = -1;

	if (file == NULL)
		return -1;
	while (kib < 0 && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "MemAvailable:", 13) == 0)
			kib = strtol(line + 13, NULL, 10);
	(void)fclose(file);
	return kib < 0 ? -1 : kib << 10;
}
