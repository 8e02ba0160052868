#!/usr/bin/env python3
"""queue_kill.py KILL RANDOM - who uses a queue is killed, at every instruction and at random; and mutants are found

KILL is queue_kill.c, linked with objects of its own; RANDOM is queue_random.c. See killing.py.
"""
import glob
import os
import re
import sys

sys.dont_write_bytecode = True
import killing  # noqa: E402  (after the line above, on purpose)
from queue_mutants import MUTANTS  # noqa: E402

SOURCES = ['src/os/clock.c', 'src/os/fence.c', 'src/os/futex.c', 'src/os/self.c', 'src/os/fd.c', 'src/base/fail.c', 'src/shm/segment.c']

# What only queues with leases or reservations come to, lease_kill.c goes through; and it through nothing else.
LEASES = (r'brood_queue_(take|ack|give_back|reserve|commit|cancel)|take_(step|next|orphan)|get_kept|hand_over|ack_step|reserve_step|commit_step|is_free|leave|let_go|'
          r'claim|check|note|raise_to|acked_of|all_held|bri_(entry|lease|orphan|apart)_\w+|bri_row_note|bri_queue_settle_entry')
NOT_LEASES = re.compile(f'(?!({LEASES})$).*')
LEASED = 'of a queue with leases; lease_kill.c has it'
# They make queues and their descriptors, or only look at them; the rest of queue.c is not stepped through.
NOT_OPERATIONS = re.compile(r'brood_queue_(new|open|attach|fd|ref|unref|unlink|size|empty|full|is_closed|unfinished|leased|describe)|fill|adopt|'
                            r'look|read_memory|lay_out|fill_rows|takes|power_of_two|init_side|bri_bias_init|bri_row_init|bri_queue_ready|'
                            r'brood_queue_poll_fd|bri_watcher_new|bri_queue_unwatch|start_thread|stop_thread|run|drop|make|bri_producers_leave|' + LEASES)
RACE = 'another changed the word between two looks'
REFUSED = 'nothing is shared yet, or touched any more'
REFUSED_FENCE = 'where membarrier is refused; queue_bias_test.c has it'
INLINED = 'inlined in each operation; in some the path is gone through'
BIASED = 'inlined in each operation, twice; gone through in put and get, some of it where they meet another'
UNREACHED = (
    ('', '}', 'the end of a path that is named here'),
    ('', 'return NULL;', REFUSED),
    ('', 'return r;', REFUSED),
    ('', 'if (r < 0)', REFUSED),
    ('', 'if (r == 0', REFUSED),
    ('', 'return r < 0 ?', REFUSED),
    ('', 'return receive(', REFUSED),
    ('', 'bri_side_perform(', REFUSED),
    ('', 'EBADMSG', 'memory that somebody wrote over'),
    ('', 'BRI_MOST_HELD', INLINED),
    ('', 'bri_lock_release', INLINED),
    ('', 'bri_side_wait(call, step)', INLINED),
    ('', 'bri_side_commit_and_wake(side);', INLINED),
    ('', 'memcpy', INLINED),
    ('', 'bri_deadline(', 'BROOD_FOREVER and 0 are the short ways'),
    ('bri_bias_enter|another_is_busy|be_biased_to', '', "the harness's own copy"),
    ('', '!bri_bias_names(self', BIASED),
    ('', 'BRI_BIAS_REVOKE | BRI_BIAS_NAME', BIASED),
    ('', 'side->bias', BIASED),
    ('', 'side->slots[bias', BIASED),
    ('', 'bri_slot_word(slot)', BIASED),
    ('', 'bri_insure(self', BIASED),
    ('', 'bri_bias_leave(', BIASED),
    ('', 'bri_bias_grant(self, side)', BIASED),
    ('', 'side->turns', BIASED),
    ('', 'side->last', BIASED),
    ('', 'if (slot', BIASED),
    ('', 'bri_side_end_bias(call, side)', BIASED),
    ('', 'bri_side_lock_slowly(call, side)', INLINED),
    ('', 'result = step(call)', INLINED),
    ('lead', 'call->other->word', RACE),
    ('lead', 'BRI_GLANCES', RACE),
    ('lead', '__ATOMIC_ACQUIRE', RACE),
    ('lead', 'if (!patient', RACE),
    ('lead', '{', INLINED),
    ('bri_call_deadline', '', INLINED),
    ('add_stop', 'call', 'made up where the lock is not to be had at once; gone through in put and get'),
    ('bri_producers_end', 'r = 0;', 'one came between two looks'),
    ('bri_producers_end', 'bri_lock_load(&queue->memory->producers[i])', 'one came between two looks'),
    ('add_stop', 'if (stop != mark->stop)', LEASED),
    ('brood_queue_produce', 'if (r < 0 && bri_slots_unmark', 'a handler that interrupts a put by its bias'),
    ('brood_queue_produce', 'return (struct bri_slots)', INLINED),
    ('bri_watcher_look', 'r == -ETIMEDOUT', 'somebody is stopped in a put; queue_watch_test.c has it'),
    ('brood_queue_get', 'put.stop &', INLINED),
    ('brood_queue_get', 'struct iovec message', INLINED),
    ('brood_queue_get|get_step', 'return -EPIPE;', INLINED),
    ('get_step', 'return get_some(', INLINED),
    ('done_step', 'if (left == 0)', INLINED),
    ('brood_queue_put', 'return -EPIPE;', INLINED),
    ('brood_queue_get', 'struct bri_side *get', INLINED),
    ('brood_queue_peek|finish_close', '{', INLINED),
    ('peek_step', 'put.stop &', INLINED),
    ('get_step', 'for (n', INLINED),
    ('done_step', 'BRI_QUEUE_COMMIT', INLINED),
    ('done_step', 'return -EINVAL', REFUSED),
    ('bri_side_at_once', 'call', INLINED),
    ('brood_queue_join', 'BRI_QUEUE_COMMIT & 1', INLINED),
    ('brood_queue_join', 'bri_side_look', INLINED),
    ('brood_queue_join', 'call->queue->memory', INLINED),
    ('bri_side_lock_slowly', '', 'who has waited for a lock long enough has it'),
    ('', 'if (queue == NULL)', REFUSED),
    ('bri_bias_yield', '-EDEADLK', 'a handler; queue_bias_test.c has it'),
    ('bri_bias_end', 'side->barred', REFUSED_FENCE),
    ('bri_bias_end', 'nanosleep', REFUSED_FENCE),
    ('bri_bias_end', 'LEAST_TURNS', 'more operations than a run has'),
    ('bri_bias_grant', 'side->barred', REFUSED_FENCE),
    ('bri_bias_grant', 'bri_fence_join()', REFUSED_FENCE),
    ('bri_bias_grant', 'BRI_NAMELESS', REFUSED_FENCE),
    ('bri_side_wait', '', 'the other side moves in time, which single steps do not let it'),
    ('bri_side_look', '', RACE),
    ('bri_side_commit', '', RACE),
    ('', 'bri_queue_keeps(', LEASED),
    ('', 'get_kept(', LEASED),
    ('', 'call->note', LEASED),
    ('bri_call_deadline', '', INLINED),
    ('lead', 'moves(', RACE),
    ('brood_queue_join', 'bri_side_perform(', INLINED),
    ('put_step', 'return put_some(', INLINED),
    ('peek_step', 'bri_message_copy(', INLINED),
    ('peek_step', 'size < call->size', INLINED),
    ('', 'bri_queue_settle', LEASED),
    ('', 'bri_orphan_get', LEASED),
    ('', 'bri_apart_find', LEASED),
    ('', 'bri_lease_', LEASED),
    ('', 'found.', LEASED),
    ('', '__atomic_compare_exchange_n', RACE),
)


class Kill(killing.Kill):
    stride = killing.stride(197, 29)
    folder, not_operations, unreached, least = 'ipc', NOT_OPERATIONS, UNREACHED, 500


class Mutants(killing.Mutants):
    mutants, quick = MUTANTS, ('put', 'get many', 'close', 'task_done', 'biased', 'take', 'discard', 'produce', 'retire')
    folder, harness = 'ipc', 'queue_kill.c'

    @staticmethod
    def sources(copy):
        return sorted(glob.glob(os.path.join(copy, 'queue*.c'))) + killing.sources_in('src/sync') + SOURCES


if __name__ == '__main__':
    sys.exit(killing.main())
