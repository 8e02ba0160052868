#!/usr/bin/env python3
"""lease_kill.py KILL RANDOM - who takes, acks and reserves is killed, at every instruction and at random; and mutants are found

KILL is lease_kill.c, linked with objects of its own; RANDOM is lease_random.c. See killing.py.
"""
import os
import sys

sys.dont_write_bytecode = True
import killing  # noqa: E402  (after the line above, on purpose)
import queue_kill  # noqa: E402
from lease_mutants import MUTANTS  # noqa: E402

INLINED, RACE, REFUSED = queue_kill.INLINED, queue_kill.RACE, queue_kill.REFUSED
TESTED = 'queue_lease_test.c has it'
UNREACHED = queue_kill.UNREACHED + (
    ('bri_entry_claim', 'return -EPERM', TESTED),
    ('bri_entry_take', '', 'under the side nobody else takes it'),
    ('check', '', REFUSED),
    ('take_step', 'r == -EPIPE', 'memory that somebody wrote over'),
    ('brood_queue_ack|brood_queue_give_back', 'check(', INLINED),
    ('brood_queue_ack', 'entry->claim', TESTED),
    ('brood_queue_ack', '*lease =', INLINED),
    ('get_kept|take_step', 'bri_queue_give_back(', 'the ring is small here; queue_kill.c has it'),
    ('brood_queue_ack', 'get.items > done->items', INLINED),
    ('leave', 'bri_futex_wake', RACE),
    ('take_step', 'static int check', INLINED),
    ('bri_lease_note|bri_row_note', 'row->n', INLINED),
    ('bri_lease_note', 'bri_row_note', INLINED),
    ('get_kept', 'bri_message_copy(', INLINED),
    ('reserve_step', 'is_free(', INLINED),
    ('bri_row_note', 'size_t n', INLINED),
    ('bri_row_note', 'return n', INLINED),
)


class Kill(killing.Kill):
    stride = killing.stride(197, 29)
    folder, not_operations, unreached, least = 'ipc', queue_kill.NOT_LEASES, UNREACHED, 500


class Mutants(killing.Mutants):
    mutants, quick = MUTANTS, ('take alone', 'take two', 'ack', 'give_back', 'get', 'reserve', 'cancel')
    folder, harness, sources = 'ipc', 'lease_kill.c', staticmethod(queue_kill.Mutants.sources)


if __name__ == '__main__':
    sys.exit(killing.main())
