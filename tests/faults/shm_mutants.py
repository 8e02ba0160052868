"""How sharp is every-shm? Faults, put into src/shm one by one, each of which it must find

Usage: shm_mutants.py SOURCE_ROOT CC. A fault is a text of one file and what stands there instead; a text that is
not there exactly once is an error, so that the list follows the code. By default only every eighth, with
BROOD_TEST_LONG=1 every third, and all with BROOD_TEST_LONG=all.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

FLAGS = ['-std=gnu11', '-O2', '-g', '-w', '-D_GNU_SOURCE', '-fno-strict-aliasing', '-pthread', '-DBROOD_VERSION="0"',
         '-DBROOD_LIBEXEC_DIR=""']

# The file; what is wrong; the operation that shows it; the text; what stands there instead; perhaps another text, and so on.
MUTANTS = (
    ('heap.c', 'a dead owner is not repaired', 'free, large between',
     '\tr = repair(heap);\n\tif (r < 0)', '\tr = 0;\n\tif (r < 0)'),
    ('heap.c', 'the rest of a span gets its head after the commit', 'alloc, large',
     '\tput_end(heap, unit, n);\n\tput(heap, unit, w); /* commit */',
     '\tput_end(heap, unit, n);\n\tuint64_t rest = get(heap, unit + n);\n\tif (length > n)\n\t\tput(heap, unit + n, INSIDE);\n'
     '\tput(heap, unit, w);\n\tif (length > n)\n\t\tput(heap, unit + n, rest);'),
    ('heap.c', 'the joined head is written after the others are wiped', 'free, large between',
     '\tput(heap, head, MAKE(FREE, n)); /* commit */\n\tif (head != unit)\n\t\tput(heap, unit, INSIDE);',
     '\tif (head != unit)\n\t\tput(heap, unit, INSIDE);\n\tput(heap, head, MAKE(FREE, n)); /* commit */'),
    ('heap.c', 'a slab is dropped by a plain store', 'alloc and free meet dropping',
     '\t\tif (COUNT(w) == 0 && atomic_compare_exchange_strong(&heap->table[unit], &w,\n'
     '\t\t\t\t\t\t\t\t    MAKE(FREE, classes[c].units))) {',
     '\t\tif (COUNT(w) < 3) {\n\t\t\tput(heap, unit, MAKE(FREE, classes[c].units));'),
    ('heap.c', 'a bit is set by a plain store', 'alloc of the last block meets',
     '\t\tif (!atomic_compare_exchange_strong(&heap->table[unit], &w,\n'
     '\t\t\t\t\t\t    w | MAKE(0, UINT64_C(1) << block))) {',
     '\t\tput(heap, unit, w | MAKE(0, UINT64_C(1) << block));\n\t\tif (0) {'),
    ('heap.c', 'a bit is cleared by a plain store', 'free of a full slab meets',
     '\twhile (!atomic_compare_exchange_strong(&heap->table[unit], &w,\n'
     '\t\t\t\t\t       w & ~MAKE(0, UINT64_C(1) << number)))',
     '\tput(heap, unit, w & ~MAKE(0, UINT64_C(1) << number));\n\twhile (0)'),
    ('heap.c', 'lost hints are not looked for', 'free, of a full slab',
     '\t\t} else if (has_room(w, c)) {\n\t\t\thint_set(heap, c, unit);\n\t\t}', '\t\t}'),
    ('heap.c', 'repair does not wipe', 'free, large between',
     '\t\t\tfor (uint64_t i = 1; i < n; i++)\n\t\t\t\tput(heap, unit + i, INSIDE);', ''),
    ('heap.c', 'repair forgets the bins', 'free, large between',
     '\t\t\tbin_add(heap, unit, n);\n\t\t}\n\t\tput_end', '\t\t}\n\t\tput_end'),
    ('heap.c', 'repair leaves the ends of spans', 'free, large between',
     '\t\tput_end(heap, unit, n);\n\t}\n\tatomic_fetch_add(&heap->t->repaired, 1);',
     '\t}\n\tatomic_fetch_add(&heap->t->repaired, 1);'),
    ('heap.c', 'growth is counted before the memory is there', 'growth, for a large',
     '\tr = brood_segment_grow(heap->segment, heap->t->space + wanted * UNIT);',
     '\tput_end(heap, units, wanted - units);\n\tput(heap, units, MAKE(FREE, wanted - units));\n'
     '\tatomic_store(&heap->t->units, wanted);\n'
     '\tr = brood_segment_grow(heap->segment, heap->t->space + wanted * UNIT);'),
    ('heap.c', 'growth is counted before it has its head', 'growth, for a large',
     '\tput(heap, units, MAKE(FREE, wanted - units));\n\tatomic_store(&heap->t->units, wanted); /* commit */',
     '\tatomic_store(&heap->t->units, wanted); /* commit */\n\tput(heap, units, MAKE(FREE, wanted - units));'),
    ('heap.c', 'the magic of the old heap stays', 'heap, made anew',
     '\tmemset(heap->t->magic, 0, sizeof(magic));\n', ''),
    ('typed.c', 'a wide number is stored by halves', 'values, set',
     '\t\t__atomic_store_n((uint64_t *)at, bits, __ATOMIC_SEQ_CST);',
     '\t\t__atomic_store_n((uint32_t *)at, (uint32_t)bits, __ATOMIC_SEQ_CST);\n'
     '\t\t__atomic_store_n((uint32_t *)at + 1, (uint32_t)(bits >> 32), __ATOMIC_SEQ_CST);'),
    ('array.c', 'a range is written without the lock', 'array, write',
     'int r = brood_lock_acquire(&array->lock, BROOD_FOREVER);', 'int r = -EDEADLK;'),
    ('layout.c', 'a number is wiped before it is written', 'list, exact',
     '\tmemcpy(at, word, WORD);', '\t*(volatile uint64_t *)(void *)at = 0;\n\tmemcpy(at, word, WORD);'),
    ('segment.c', 'a sweep asks for no lease', 'name, sweep',
     'if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)', 'if (0)', 'if (fcntl(fd, F_GETLEASE) != F_WRLCK)', 'if (0)'),
    ('segment.c', 'a name appears before its content', 'name, a new one, guarded',
     "\t\tr = fill(segment, opts);\n\t}\n\tif (r == 0)\n\t\tr = publish(segment, folder, stand_in[0] != '\\0' ? stand_in : NULL, opts);",
     "\t\tr = publish(segment, folder, stand_in[0] != '\\0' ? stand_in : NULL, opts);\n\t}\n\tif (r == 0)\n\t\tr = fill(segment, opts);"),
    ('segment.c', 'growth says how long the file is', 'segment growth, allocated, meets',
     'if (fallocate(fd, 0, (off_t)at, (off_t)n) == 0)', 'if (ftruncate(fd, (off_t)(at + n)) == 0)'),
    ('segment.c', 'seals are put on one after the other', 'segment, seal',
     'if (fcntl(segment->fd, F_ADD_SEALS, wanted) == 0)',
     'if (fcntl(segment->fd, F_ADD_SEALS, F_SEAL_GROW) == 0 && fcntl(segment->fd, F_ADD_SEALS, wanted) == 0)'),
    ('segment.c', 'a sweep leaves what stood in for a name', 'name, a new one behind',
     'if (!begins_with(name, prefix) && !begins_with(name, STAND_IN))', 'if (!begins_with(name, prefix))'),
    ('segment.c', 'unlink leaves the guard', 'name, unlink',
     'if (remove_guard(folder, segment->name, &file) == 0)', 'if (0)'),
    ('segment.c', 'a sweep takes what is to be kept', 'name, sweep',
     '\tif ((header.flags & KEEP) != 0)', '\tif (0)'),
)


def sources(root):
    """Those of the library that the harness needs, as src/meson.build lists them."""
    with open(os.path.join(root, 'src/meson.build'), encoding='utf-8') as file:
        names = re.findall(r"'((?:base|os|sync|shm)/\w+\.c)'", file.read())
    return [os.path.join(root, 'src', name) for name in dict.fromkeys(names) if not name.endswith('_test.c')]


def compile_to(output, cc, root, *words):
    subprocess.run([*cc, *FLAGS, f'-I{root}/include', f'-I{root}/src', *words, '-o', output], check=True)


def mutated(root, file_name, changes):
    """The file's text with the changes in it. ValueError: one of the texts is not there, or more than once."""
    with open(os.path.join(root, 'src/shm', file_name), encoding='utf-8') as file:
        text = file.read()
    for old, new in zip(changes[::2], changes[1::2]):
        if text.count(old) != 1:
            raise ValueError(f'its text is {text.count(old)} times in {file_name}: {old!r}')
        text = text.replace(old, new)
    return text


def main(root, cc):
    found = 0
    chosen = {'all': MUTANTS, '1': MUTANTS[1::3]}.get(os.environ.get('BROOD_TEST_LONG'), MUTANTS[2::8])
    with tempfile.TemporaryDirectory() as folder:
        harness = os.path.join(folder, 'every-shm')
        mutant = os.path.join(folder, 'mutant.c')
        objects = {}
        for number, source in enumerate(sources(root) + [os.path.join(root, 'tests/faults/every_shm.c')]):
            objects[source] = os.path.join(folder, f'{number}.o')
            compile_to(objects[source], cc, root, '-c', source)
        for file_name, what, operation, *changes in chosen:
            with open(mutant, 'w', encoding='utf-8') as file:
                file.write(mutated(root, file_name, changes))
            others = [object_file for source, object_file in objects.items() if not source.endswith('shm/' + file_name)]
            compile_to(harness, cc, root, mutant, *others)
            run = subprocess.run([harness, 'all', operation], env={**os.environ, 'LD_BIND_NOW': '1'}, timeout=600, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if run.returncode == 77:
                print(run.stdout)
                return 77
            caught = run.returncode == 1 and re.search(r' operations=\d+ ', run.stdout) is not None
            found += caught
            print(f'{"ok  " if caught else "FAIL"} {what}: {"found" if caught else "not found"} by "{operation}"', flush=True)
            if not caught:
                print(run.stdout)
    print(f'{found} passed, {len(chosen) - found} failed')
    return found != len(chosen)


if __name__ == '__main__':
    if shutil.which(sys.argv[2].split()[0]) is None:
        sys.exit(77)
    sys.exit(main(sys.argv[1], sys.argv[2].split()))
