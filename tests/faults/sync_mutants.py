"""Faults that are put into src/sync on purpose; the fault tests must find each of them.

A mutant is a change of the text of one file, compiled beside the others. The text must be there exactly once, so
that this list stays true when the code changes. `scenarios` are those of sync_kill.c that find it.
"""
from typing import NamedTuple


class Mutant(NamedTuple):
    what: str
    file: str
    changes: tuple   # (text, other text), …
    scenario: str


MUTANTS = (
    Mutant('lock: the next owner is not told of a death', 'lock.c',
           (('return BROOD_OWNER_DIED;\n}', 'return 0;\n}'),), 'lock alone'),
    Mutant('lock: nothing is insured', 'robust.h',
           (('head->pending = entry;', '(void)entry;'),), 'lock alone'),
    Mutant('lock: in the list before it leads on', 'robust.h',
           (('\t*next = first;\n', '\thead->next = next;\n\tatomic_signal_fence(memory_order_seq_cst);\n\t*next = first;\n'),),
           'lock second held'),
    Mutant('lock: who takes it drops WAITERS', 'lock.c',
           (('self->tid | (seen & BRI_WAITERS), false', 'self->tid, false'),), 'lock wait, a third barges'),
    Mutant('lock: the wake of a release is dropped', 'lock.c',
           (('bri_futex_change(word, BRI_SET | BRI_BIT, BRI_WAITERS_BIT, 1);',
             '__atomic_store_n(word, BRI_WAITERS, __ATOMIC_SEQ_CST);'),), 'lock release, one waits'),
    Mutant('lock: free first and wake later, uninsured', 'lock.c',
           (('bri_futex_change(word, BRI_SET | BRI_BIT, BRI_WAITERS_BIT, 1);',
             'bri_insure(self, before);\n__atomic_store_n(word, BRI_WAITERS, __ATOMIC_SEQ_CST);\nbri_futex_wake(word, 1);'),),
           'lock release, one waits'),
    Mutant('lock: WAITERS goes and one is woken', 'lock.c',
           (('bri_futex_change(word, BRI_SET, 0, BRI_EVERYBODY);', 'bri_futex_change(word, BRI_SET, 0, 1);'),
            ('self->tid | (seen & BRI_WAITERS), false', 'self->tid, false')), 'lock release, two wait unnoticed'),
    Mutant('lock: left without a word', 'robust.h',
           (('\t__atomic_store_n(&lock->turn, lock->turn | 1, __ATOMIC_RELAXED);\n', ''),), 'lock release, one comes'),
    Mutant('lock: the owner looks before it says that it leaves', 'robust.h',
           (('\t__atomic_store_n(&lock->turn, lock->turn | 1, __ATOMIC_RELAXED);\n', ''),
            ('\t__atomic_store_n(bri_lock_word(lock), 0, __ATOMIC_RELEASE);\n\treturn true;',
             '\t__atomic_store_n(&lock->turn, lock->turn | 1, __ATOMIC_RELAXED);\n'
             '\t__atomic_store_n(bri_lock_word(lock), 0, __ATOMIC_RELEASE);\n\treturn true;')), 'lock release, one comes'),
    Mutant('lock: who sleeps does not mind that the owner leaves', 'lock.c',
           (('sleeper->sure && turn % 2 == 0 && bri_fence_others() == 0', 'sleeper->sure || turn'),
            ('bri_futex_wait_any(both, 2, deadline)', 'bri_futex_wait_any(both, 1, deadline)')), 'lock release, one comes'),
    Mutant('sem: a permit first and the wake later', 'sem.c',
           (('bri_futex_change(&sem->word, BRI_ADD, 1, 1);',
             '__atomic_fetch_add(&sem->word, 1, __ATOMIC_SEQ_CST);\nbri_futex_wake(&sem->word, 1);'),),
           'sem release, one waits'),
    Mutant('sem: all sleep on the word, without a gate', 'sem.c',
           (('r = bri_lock_acquire(self, &sem->gate, deadline);', 'r = 0;'),
            ('bri_lock_release(self, &sem->gate);', ';')), 'sem wait, another behind'),
    Mutant('event: set first and wake later', 'event.c',
           (('bri_futex_change(&event->word, BRI_OR, SET, BRI_EVERYBODY);',
             '__atomic_fetch_or(&event->word, SET, __ATOMIC_SEQ_CST);\nbri_futex_wake(&event->word, BRI_EVERYBODY);'),),
           'event set, two wait'),
    Mutant('event: set wakes one of all', 'event.c',
           (('BRI_OR, SET, BRI_EVERYBODY', 'BRI_OR, SET, 1'),), 'event set, two wait'),
    Mutant('latch: zero first and wake later', 'latch.c',
           (('bri_futex_change(&latch->word, BRI_SET, 0, BRI_EVERYBODY);',
             '__atomic_store_n(&latch->word, 0, __ATOMIC_SEQ_CST);\nbri_futex_wake(&latch->word, BRI_EVERYBODY);'),),
           'latch to zero, two wait'),
    Mutant('latch: a count-down forgets who sleeps', 'latch.c',
           (('&latch->word, &seen, seen - n, false', '&latch->word, &seen, (seen - n) & ~BRI_WAITERS, false'),),
           'latch to zero, two wait'),
    Mutant('cond: rings before it says who may go', 'cond.c',
           (('\tstore(&cond->bound, cond->next);', '\tring(cond);\n\tstore(&cond->bound, cond->next);'),
            ('(uint32_t)n));\n\tring(cond);', '(uint32_t)n));'),), 'cond notify, one waits'),
    Mutant('cond: the death of the owner does not ring', 'lock.c',
           (('self->tid | BRI_WAITERS, __ATOMIC_RELAXED', 'self->tid, __ATOMIC_RELAXED'),), 'cond notify, one waits'),
    Mutant('barrier: the dead are not missed', 'barrier.c',
           (('missed |= is_awaited(seat);', ';'),), 'barrier middle'),
    Mutant('barrier: the leader does not hear of newcomers', 'barrier.c',
           (('bri_futex_change(&barrier->arrival, BRI_ADD, 1, 1);', ';'),), 'barrier middle'),
    Mutant('barrier: an end that was begun is not finished', 'barrier.c',
           (('end_round(barrier, barrier->ending);', 'barrier->ending = OPEN;'),), 'barrier last'),
    Mutant('rwlock: what a dead writer left is not told', 'rwlock.c',
           (('if (r == BROOD_OWNER_DIED && rwlock->writing)', 'if (r < 0 && rwlock->writing)'),), 'rwlock write alone'),
    Mutant('slots: who sleeps does not say so', 'slots.c',
           (('bri_lock_word(slot), seen | BRI_WAITERS };', 'bri_lock_word(slot), seen };'),
            ('__atomic_compare_exchange_n(bri_lock_word(slot), &seen, seen | BRI_WAITERS,',
             '__atomic_compare_exchange_n(bri_lock_word(slot), &seen, seen,')), 'permits wait, another behind'),
    Mutant('once: done before it is', 'once.c',
           (('once->begun = 1;', 'once->begun = 1;\n\tonce->done = 1;'),), 'once'),
)
