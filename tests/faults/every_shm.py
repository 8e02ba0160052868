#!/usr/bin/env python3
"""every_shm.py EVERY_SHM LIBRARY - who uses src/shm is killed after each instruction; which were reached

EVERY_SHM is every_shm.c, LIBRARY the libbrood that it uses. Shows what the former prints. With BROOD_TEST_LONG=all every
instruction of the operations' code in LIBRARY (objdump) must have been killed at, but for what UNREACHED gives a reason for.
"""
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from reached import compare  # noqa: E402  (after the line above, on purpose)

# No operations on what is shared: they make objects and handles, only look, or see nothing but their arguments.
NOT_OPERATIONS = re.compile(r'brood_array_(\w*bytes|init\w*|check|length|data|lock|get_\w+|read)|'
                            r'brood_heap_(size_of|offset|at|root|attach|ref|unref|segment|figures)|'
                            r'brood_segment_(of|open|attach|data|size|reserve|name|fd|ref|unref|close)|'
                            r'brood_value_(init|type|get_\w+|lock|pointer)|brood_type_size|load|bri_typed_get_\w+|'
                            r'brood_list_(new|open|attach|free|segment|length|layout_of|room|get|index|count|format)|'
                            r'bri_list_(bytes|write|look|forget|get|is)|fill_list|find|init|check|check_name|is_text|describe|fits|slot_of|random_name|'
                            r'make_handle|read_header|adopt|open_name|leave|free_segment|map|bri_segment_is_read_only')

# What no operation comes to: functions, part of the line, reason. A lone brace is the end of such a path. The lines are
# those of error exits, of one kind each, and single ones; no function is left out as a whole.
EXIT = 'an error exit; nothing was changed before it, and the unit tests take it'
FAILED = 'a system call or malloc() fails, which the unit tests make them do; what was begun is undone'
RACE = 'another changed the word between two looks; the meetings and heap_test come to it, but not always in each copy of it'
SPOILT = 'the tables contradict each other, or the lock is refused: by other means than a kill'
SHAPE = 'a heap of another shape, in one of the copies that the compiler made of it; heap_test kills at random in heaps of all shapes'
SAME = 'the same for another type'
NO_TYPE = 'no floating type has this size, but the compiler does not know'
HELD = 'the thread has the lock of the array already, or may not have it'
HUGE = 'where huge pages are reserved'
FRESH = 'a name that is made up, like one that is given'
UNREACHED = (
    ('', '}', 'the end of a path that is named here'),
    ('', 'return -E', EXIT),
    ('', 'return r < 0 ? r :', EXIT),
    ('', 'return -errno;', FAILED),
    ('', '? -errno : ', FAILED),
    ('', 'r = -errno;', FAILED),
    ('', 'bri_fail(', FAILED),
    ('', 'return errno == ', FAILED),
    ('extend', 'errno != EINTR', FAILED),
    ('brood_segment_(new|sweep|restore|remove|reap|unlink)|publish', 'if (r < 0)', FAILED),
    ('publish', 'unlinkat(folder, segment->name', FAILED),
    ('publish', 'random_name(', FRESH),
    ('publish', 'if (r == 0 && opts->guard)', FAILED),
    ('publish', 'i < TRIES', RACE),
    ('brood_segment_new', 'if (r == 0)', FAILED),
    ('brood_segment_new', "if (stand_in[0] != '\\0')", FAILED),
    ('brood_segment_new', 'if (*segment != NULL)', FAILED),
    ('brood_segment_new', 'segment->size = rounded;', HUGE),
    ('brood_segment_new', 'int seals = ', HUGE),
    ('brood_segment_new', '((opts->keep || opts->guard) && !named)', EXIT),
    ('brood_segment_restore', 'fstatat(', RACE),
    ('brood_segment_restore', 'now.st_ino', RACE),
    ('brood_segment_restore', 'r == -EEXIST', RACE),
    ('brood_segment_sweep', 'closedir(listing);', FAILED),
    ('alloc_small|alloc_large|brood_heap_(free|count)', 'brood_lock_release(&heap->t->lock);', SPOILT),
    ('alloc_small|alloc_large|brood_heap_(free|count)', 'if (r < 0)', SPOILT),
    ('alloc_large', 'if (r == 0)', SPOILT),
    ('alloc_large', 'r = -ENOMEM;', SPOILT),
    ('alloc_small', 'uint64_t n = (size + UNIT - 1) / UNIT;', SHAPE),
    ('alloc_small', 'uint64_t unit = take(', SHAPE),
    ('alloc_small', 'return unit == NONE ? NULL', SHAPE),
    ('alloc_small', '*block = take_large(', SHAPE),
    ('alloc_small', 'if (*block == NULL)', SHAPE),
    ('alloc_small', 'r = grown < 0 ? grown : -ENOMEM;', SHAPE),
    ('brood_heap_alloc_aligned', 'return n / 16;', SHAPE),
    ('brood_heap_alloc_aligned', 'classes[c].size % align', SHAPE),
    ('brood_heap_alloc_aligned', 'c++;', SHAPE),
    ('brood_heap_count', 'brood_heap_figures figures = ', SPOILT),
    ('brood_heap_count', '(KIND(last) == FREE || hint_find(', SPOILT),
    ('brood_heap_free', 'r = -EINVAL;', RACE),
    ('brood_heap_free', 'if (KIND(w) != SLAB + c', RACE),
    ('find_block', '*ret_', SPOILT),
    ('find_block', 'if (KIND(w) == LARGE)', SPOILT),
    ('claim|claim_any|reclaim', 'return KIND(w) == SLAB + c', RACE),
    ('claim|claim_any', 'hint_set(heap, c, unit);', RACE),
    ('claim_any', 'hint_clear(heap, c, unit);', RACE),
    ('claim_any', 'block = claim(', RACE),
    ('claim_any', 'if (block != NULL)', RACE),
    ('claim_any', 'atomic_store_explicit(&stripe->', RACE),
    ('claim_any', 'if (has_room(', RACE),
    ('claim_any', 'from = unit + 1;', RACE),
    ('hint_clear', 'atomic_fetch_or(summary, over);', RACE),
    ('hint_find', 'over &= over - 1', RACE),
    ('hint_find', 'return NONE;', SHAPE),
    ('bin_add', 'heap->t->filled |= ', SHAPE),
    ('bin_find', 'while (unit != NONE', SHAPE),
    ('bin_find', 'unit = hint_find(', SHAPE),
    ('give', 'hint_clear(heap, CLASSES + ', SHAPE),
    ('grow|repair', 'atomic_load_explicit(&heap->table[unit]', SHAPE),
    ('grow', 'return units < heap->t->most_units', SHAPE),
    ('grow', 'if (units > 0 && ', SHAPE),
    ('repair', 'atomic_store_explicit(&heap->table[unit]', SHAPE),
    ('repair', 'KIND(get(heap, unit + n)) == FREE', SHAPE),
    ('repair', 'n += COUNT(get(heap, next));', SHAPE),
    ('repair', 'if (n > units - unit)', SHAPE),
    ('repair', 'put(heap, unit, MAKE(FREE, n));', SHAPE),
    ('repair', 'bin_add(heap, unit, n);', SHAPE),
    ('take', 'return n > 1 ? ', SHAPE),
    ('take', 'return bin < BINS ? bin', SHAPE),
    ('take', 'bin < BINS && unit == NONE', SHAPE),
    ('take', 'unit = bin_find(', SHAPE),
    ('brood_heap_new', 'brood_segment_unref(heap->segment);', FAILED),
    ('brood_heap_new', 'free(heap);', FAILED),
    ('brood_heap_new', 'if (*heap != NULL)', FAILED),
    ('brood_heap_new', 'return r == -ENOMEM ? r', FAILED),
    ('bri_list_set', 'if (room < WORD', EXIT),
    ('bri_list_set', 'if (item->size > (exact', EXIT),
    ('bri_list_set', 'is_text(item->data', EXIT),
    ('brood_list_set', 'r = -EPERM;', EXIT),
    ('bri_typed_add_double', '__atomic_compare_exchange_n((uint8_t', NO_TYPE),
    ('bri_typed_add_double', '__atomic_compare_exchange_n((uint16_t', NO_TYPE),
    ('bri_typed_add_double', '*old = one;', NO_TYPE),
    ('bri_typed_add_double', '*old = two;', NO_TYPE),
    ('bri_typed_add_double', 'return done;', NO_TYPE),
    ('bri_typed_add_double', '*ret_sum = real_of(', SAME),
    ('set', 'bits = bits_of(known, negative', SAME),
    ('brood_value_\\w+', 'return value->stamp == STAMP', EXIT),
    ('brood_array_write', 'r != -EDEADLK', HELD),
    ('brood_array_write', 'return r == -EDEADLK ? 0 : r;', HELD),
    ('brood_array_write', 'return r < 0 || count == 0', EXIT),
)


def main(program, library):
    with tempfile.TemporaryDirectory() as folder:
        reached = os.path.join(folder, 'reached')
        status = subprocess.run([program, '--reached', reached], stdin=subprocess.DEVNULL, check=False,
                                env={**os.environ, 'LD_BIND_NOW': '1'}).returncode
        if status != 0 or os.environ.get('BROOD_TEST_LONG') != 'all':
            return status
        line, count, untold = compare(library, reached, 'src/shm', NOT_OPERATIONS, UNREACHED)
    print(line)
    for address in untold:
        print(f'not reached: {address}')
    right = count > 1000 and not untold
    print(f'{int(right)} passed, {int(not right)} failed')
    return int(not right)


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
