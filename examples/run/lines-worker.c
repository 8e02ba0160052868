/* lines-worker - answers each line that it reads, at once; ends with its input */
#include <stdio.h>
#include <string.h>

int main(void)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		printf("%s has %zu letters\n", line, strlen(line));
		(void)fflush(stdout); /* into a pipe, stdio would wait for a full block */
	}
	return 0;
}
