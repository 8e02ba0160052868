/* brood/brood.h - all of brood
 *
 * One header per noun; this one includes them all. Start with base.h for the conventions. */
#ifndef BROOD_BROOD_H
#define BROOD_BROOD_H

#include <brood/args.h>
#include <brood/array.h>
#include <brood/barrier.h>
#include <brood/base.h>
#include <brood/cond.h>
#include <brood/conn.h>
#include <brood/event.h>
#include <brood/heap.h>
#include <brood/jobs.h>
#include <brood/latch.h>
#include <brood/list.h>
#include <brood/listener.h>
#include <brood/lock.h>
#include <brood/log.h>
#include <brood/object.h>
#include <brood/once.h>
#include <brood/permits.h>
#include <brood/pickle.h>
#include <brood/pipeline.h>
#include <brood/popen.h>
#include <brood/process.h>
#include <brood/queue.h>
#include <brood/rlock.h>
#include <brood/run.h>
#include <brood/rwlock.h>
#include <brood/segment.h>
#include <brood/sem.h>
#include <brood/shell.h>
#include <brood/spawn.h>
#include <brood/supervisor.h>
#include <brood/value.h>
#include <brood/wait.h>

#endif
