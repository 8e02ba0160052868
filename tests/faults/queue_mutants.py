"""Faults that are put into the queue on purpose; queue_kill.c must find each. See sync_mutants.py."""
from sync_mutants import Mutant

MUTANTS = (
    Mutant('a commit first and the wake later', 'queue_move.c',
           (('bri_futex_change(&side->word, BRI_ADD, BRI_QUEUE_COMMIT - BRI_QUEUE_ASLEEP, 1);',
             '__atomic_fetch_add(&side->word, 1, __ATOMIC_SEQ_CST);\nbri_futex_wake(&side->word, 1);'),),
           'put, one waits'),
    Mutant('a commit without its wake', 'queue_move.c',
           (('bri_futex_change(&side->word, BRI_ADD, BRI_QUEUE_COMMIT - BRI_QUEUE_ASLEEP, 1);',
             '__atomic_fetch_add(&side->word, 1, __ATOMIC_SEQ_CST);'),), 'get, two wait for room'),
    Mutant('all sleep on the word, without a gate', 'queue_move.c',
           (('int r = bri_lock_acquire(call->self, &call->own->gate, deadline_of(call));', 'int r = 0;'),
            ('bri_lock_release(call->self, &call->own->gate);', ';')), 'get, none, another behind'),
    Mutant('the commit comes before the message is copied', 'queue_move.c',
           (('\t\t*head_at(queue, bytes) = size;', '\t\tprepare(call->own, items + 1, bytes + needed, 0);\n\t\tcommit(call->own);\n'
             '\t\t*head_at(queue, bytes) = size;'),
            ('\tprepare(call->own, items, bytes, 0);\n\tcommit(call->own);\n\treturn (ssize_t)n;', '\treturn (ssize_t)n;')),
           'put alone'),
    Mutant('the state that counts is written over', 'queue_move.c',
           (('now(side) == side->at ? side->at + 1 : side->at;', 'now(side);'),
            ('static inline void commit(struct bri_side *side)\n{', 'static inline void commit(struct bri_side *side)\n{\n'
             '\tside->at[now(side) == side->at] = *now(side);')), 'put alone'),
    Mutant('each message of many is a step of its own', 'queue_move.c',
           (('\t\tused += (size + 7) & ~UINT64_C(7);', '\t\tused += (size + 7) & ~UINT64_C(7);\n'
             '\t\tprepare(call->own, items + 1, bytes + bri_record_size(size), 0);\n\t\tcommit(call->own);'),
            ('\tprepare(call->own, items, bytes, mark->stop);\n\tcommit(call->own);', '')), 'get many'),
    Mutant('the end is told to getters first', 'queue_move.c',
           (('\t\tr = stop(self, &queue->memory->get);\n\tif (r == 0)\n\t\tr = stop(self, &queue->memory->put);',
             '\t\tr = stop(self, &queue->memory->put);\n\tif (r == 0)\n\t\tr = stop(self, &queue->memory->get);'),),
           'close, two wait to put'),
    Mutant('nobody finishes what a closer began', 'queue_move.c',
           (('return stop ? finish_close(call->own) : -EAGAIN;', 'return -EAGAIN;'),), 'put finishes the end'),
    Mutant('the last task wakes nobody', 'queue_move.c',
           (('\t\tif (left == 1)', '\t\tif (left == 0)'),), 'task_done, two join'),
)
