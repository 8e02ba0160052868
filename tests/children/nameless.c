/* nameless - a shared library that has no build id */
__attribute__((visibility("default"))) int nameless(void);

int nameless(void)
{
	return 1;
}
