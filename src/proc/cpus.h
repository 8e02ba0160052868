/* proc/cpus.h - the share of the processors that control groups leave to this process */
#ifndef PROC_CPUS_H
#define PROC_CPUS_H

/* The smallest quota, in processors; 0: there is none. `root` stands before /proc and /sys: "" is the machine's. */
double bri_cpus_quota(const char *root);

#endif
