/* base/together.h - what a forked process writes before its function lies in one page
 *
 * Each page that it writes is copied when it does, which costs more than most system calls; and words among the large
 * objects of their files would have a page each. */
#ifndef BASE_TOGETHER_H
#define BASE_TOGETHER_H

#define BRI_TOGETHER __attribute__((section("bri_together")))

#define BRI_PAGE 4096 /* bytes, or more */

#endif
