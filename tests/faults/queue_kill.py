#!/usr/bin/env python3
"""queue_kill.py KILL RANDOM - who uses a queue is killed, at every instruction and at random; and mutants are found

KILL is queue_kill.c, linked with objects of its own; RANDOM is queue_random.c. See killing.py.
"""
import os
import re
import sys

sys.dont_write_bytecode = True
import killing  # noqa: E402  (after the line above, on purpose)
from queue_mutants import MUTANTS  # noqa: E402

SOURCES = ['src/os/clock.c', 'src/os/fence.c', 'src/os/futex.c', 'src/os/self.c', 'src/os/fd.c', 'src/base/fail.c', 'src/shm/segment.c']

# They make queues, or only look at them; the rest of queue.c is not stepped through.
NOT_OPERATIONS = re.compile(r'brood_queue_(new|open|attach|fd|ref|unref|unlink|size|empty|full|is_closed|unfinished|describe)|fill|adopt|'
                            r'look|check_memory|power_of_two|init_side')
RACE = 'another changed the word between two looks'
REFUSED = 'nothing is shared yet, or touched any more'
INLINED = 'inlined in each operation; in some the path is gone through'
UNREACHED = (
    ('', '}', 'the end of a path that is named here'),
    ('', 'return NULL;', REFUSED),
    ('', 'return r;', REFUSED),
    ('', 'if (r < 0)', REFUSED),
    ('', 'if (r == 0', REFUSED),
    ('', 'return r < 0 ?', REFUSED),
    ('', 'return left > 0 ?', REFUSED),
    ('', 'return receive(', REFUSED),
    ('', 'return (int)perform(', REFUSED),
    ('', 'EBADMSG', 'memory that somebody wrote over'),
    ('', 'BRI_MOST_HELD', INLINED),
    ('', 'enter_slowly(call)', INLINED),
    ('', 'brood_lock *lock = &call->own->lock;', INLINED),
    ('', 'bri_lock_release', INLINED),
    ('', 'wait_for(call, step)', INLINED),
    ('', 'commit_and_wake(side);', INLINED),
    ('', 'for (n = 0; n < call->n; n++)', INLINED),
    ('', 'memcpy', INLINED),
    ('', 'bri_deadline(', 'BROOD_FOREVER and 0 are the short ways'),
    ('wait_for', '', 'the other side moves in time, which single steps do not let it'),
    ('bri_side_look', '', RACE),
    ('commit', '', RACE),
    ('', '__atomic_compare_exchange_n', RACE),
    ('', 'while (!(seen & BRI_QUEUE_ASLEEP))', RACE),
)


class Kill(killing.Kill):
    stride = killing.stride(197, 29)
    folder, not_operations, unreached, least = 'ipc', NOT_OPERATIONS, UNREACHED, 500


class Mutants(killing.Mutants):
    mutants, quick = MUTANTS, ('put', 'get many', 'close', 'task_done')
    folder, harness = 'ipc', 'queue_kill.c'

    @staticmethod
    def sources(copy):
        return [os.path.join(copy, name) for name in ('queue.c', 'queue_move.c')] + killing.sources_in('src/sync') + SOURCES


if __name__ == '__main__':
    sys.exit(killing.main())
