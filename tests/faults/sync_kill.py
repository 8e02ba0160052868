#!/usr/bin/env python3
"""sync_kill.py KILL RANDOM - who uses src/sync is killed, at every instruction and at random; and mutants are found

KILL is sync_kill.c, linked with objects of src/sync of its own; RANDOM is sync_random.c. See killing.py.
"""
import re
import sys

sys.dont_write_bytecode = True
import killing  # noqa: E402  (after the line above, on purpose)
from sync_mutants import MUTANTS  # noqa: E402

SOURCES = ['src/os/clock.c', 'src/os/fence.c', 'src/os/futex.c', 'src/os/self.c']

# No operations on shared words: they make objects, or only look at them.
NOT_OPERATIONS = re.compile(r'brood_.*_(init\w*|describe|owner|dead_owner|waiters|value|holder|readers|writer|broken|'
                            r'waiting|parties|size|is_done|is_set)|brood_latch_count|brood_event_fd_\w+|result_of|check|append|init|bri_lock_init|bri_stampable')

# What no scenario comes to, or only by a race that single steps do not win each time: function ('' is any), part of the
# line, reason. A lone brace is the end of such a path.
RACE = 'another changed the word between two looks'
REFUSED = 'nothing is shared yet'
ONE = 'on a machine of one processor; robust_test.c has it'
HANDLER = 'in a signal handler that comes in between; safe_test.c has it'
UNREACHED = (
    ('', '}', 'the end of a path that is named here'),
    ('', 'bri_self_is(self->generation)', "a thread's first use, which `lock first use` goes through for all"),
    ('', 'return NULL;', REFUSED),
    ('', 'return -ENOTSUP;', REFUSED),
    ('', 'object != NULL && (uintptr_t)object % 8 == 0', 'one check, inlined; each branch is taken in some function'),
    ('', 'bri_deadline(timeout_ns)', 'BROOD_FOREVER and 0 are the short ways'),
    ('acquire_slow', '', RACE),
    ('add_asleep', 'return -EAGAIN;', RACE),
    ('release_slow', '', RACE),
    ('has_company', 'size / (long)sizeof', ONE),
    ('has_company', 'seen |= ', ONE),
    ('has_company', 'return size < 0;', ONE),
    ('bri_slots_take', 'r != -ETIMEDOUT', RACE),
    ('bri_slots_take', 'left--', RACE),
    ('bri_slots_mine', 'BRI_SOME :', HANDLER),
    ('brood_permits_acquire', 'return -EDEADLK;', HANDLER),
    ('brood_rwlock_read', 'deadline == 0', HANDLER),
    ('brood_rwlock_write', 'if (r < 0)', 'a refusal'),
    ('bri_slot_watch', 'return false;', RACE),
    ('wait_for_any', '', RACE),
    ('sit_out', '', RACE),
    ('joined_seat', 'for_each_seat', RACE),
    ('brood_event_wait', 'at_first', RACE),
    ('brood_latch_wait', 'seen & ~BRI_WAITERS', RACE),
    ('wait_until', 'cond->waiting--;', RACE),
    ('wait_until', 'is_before(number, load(&cond->bound))', RACE),
    ('wait_until', 'r == -EAGAIN', RACE),
    ('wait_until', 'aside', 'beside a busy lock; the unit test has it'),
    ('brood_cond_wait_for', '', 'let go, and not true: a second round of the loop'),
    ('bri_lock_acquire_timed', 'next', 'another lock is held; `lock second held` has it for the inlined twin'),
    ('brood_lock_acquire', 'acquire_any', 'the jump to what `lock wait` goes through'),
    ('brood_rwlock_write', 'deadline == 0', 'a refusal'),
    ('brood_barrier_wait_action', 'barrier->timeout_ns', "the barrier's own timeout; the unit test has it"),
    ('sit', 'return -EBUSY;', 'a refusal'),
)


class Kill(killing.Kill):
    stride = killing.stride(193, 23)
    folder, not_operations, unreached, least = 'sync', NOT_OPERATIONS, UNREACHED, 1000


class Mutants(killing.Mutants):
    mutants, quick = MUTANTS, ('lock', 'sem', 'event')
    folder, harness = 'sync', 'sync_kill.c'

    @staticmethod
    def sources(copy):
        return killing.sources_in(copy) + SOURCES


if __name__ == '__main__':
    sys.exit(killing.main())
