/* proc/method.h - by which means processes are started that do not say it */
#ifndef PROC_METHOD_H
#define PROC_METHOD_H

#include <brood/process.h>

/* What brood_set_start_method() has set; BROOD_START_DEFAULT: nothing. */
brood_start_method bri_method_set(void);

/* In a new process: that of its parent. */
void bri_method_inherit(brood_start_method method);

#endif
