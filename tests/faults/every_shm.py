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

# No operations on what is shared: they make objects and handles, only look, or (lists) promise nothing.
NOT_OPERATIONS = re.compile(r'brood_array_(\w*bytes|init\w*|check|length|data|lock|get_\w+|read)|'
                            r'brood_heap_(size_of|offset|at|root|new|attach|ref|unref|segment|figures)|'
                            r'brood_segment_(of|open|attach|data|size|reserve|name|fd|ref|unref|close)|'
                            r'brood_value_(init|type|get_\w+|lock|pointer)|brood_type_size|load|bri_typed_get_\w+|fits|'
                            r'(bri|brood)_list_\w+|fill_list|is_text|put_data|slot_of|describe|find|init|check|check_name|'
                            r'make_handle|read_header|adopt|open_name|leave|free_segment|map|random_name|bri_segment_is_read_only')

# What no operation comes to: functions, part of the line, reason. A lone brace is the end of such a path.
RACE = 'another changed the word between two looks'
REFUSED = 'refused, nothing is changed'
SHAPE = 'a heap of another shape; heap_test kills at random where processes allocate and free all sizes'
SAMPLED = 'a second death within the repair comes at a hundred places of it behind each of twenty first ones'
KERNEL = 'what it changes is one system call'
MISSING = 'no operation of every_shm.c goes there'
UNREACHED = (
    ('', '}', 'the end of a path that is named here'),
    ('', 'return -E', REFUSED),
    ('claim|claim_any|reclaim|hint_find|hint_clear', '', RACE),
    ('take|take_slab|give|bin_find|bin_add|place|find_block|alloc_small|alloc_large|brood_heap_alloc|brood_heap_alloc_aligned|'
     'brood_heap_(free|set_root)', '', SHAPE),
    ('brood_heap_count|repair', '', SAMPLED),
    ('remove_guard|remove_unused|restore|fill|extend|publish|brood_segment_new', '', 'a name that is there, or ' + REFUSED),
    ('brood_segment_(grow|seal|unlink|restore|remove|reap|sweep)', '', KERNEL),
    ('set|store|bri_typed_(add|add_double)|brood_value_(set_int|add|add_double)', '', 'the same for another type, or ' + REFUSED),
    ('bri_typed_(set_uint|set_double|replace)|brood_value_(set_uint|set_double|replace)|brood_array_(set_\\w+|add)', '',
     'a number is one atomic access'),
    ('brood_array_write', '', REFUSED),
    ('grow|bri_segment_zero', '', MISSING),
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
