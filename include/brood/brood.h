/* brood/brood.h - all of brood
 *
 * One header per noun; this one includes them all. Start with base.h for the conventions. */
#ifndef BROOD_BROOD_H
#define BROOD_BROOD_H

#include <brood/base.h>
#include <brood/spawn.h>

#endif
