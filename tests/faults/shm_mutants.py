"""How sharp is every-shm? Ten faults, put into the heap one by one, each of which it must find

Usage: shm_mutants.py SOURCE_ROOT CC. A fault is a text of src/shm/heap.c and what stands there instead; a text that is
not there exactly once is an error, so that the list follows the code. By default only every third, with
BROOD_TEST_LONG=1 every second, and all with BROOD_TEST_LONG=all.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

FLAGS = ['-std=gnu11', '-O2', '-g', '-w', '-D_GNU_SOURCE', '-fno-strict-aliasing', '-pthread', '-DBROOD_VERSION="0"',
         '-DBROOD_LIBEXEC_DIR=""']

# What is wrong; the operation that shows it; the text; what stands there instead.
MUTANTS = (
    ('a dead owner is not repaired', 'free, large between',
     '\tr = repair(heap);\n\tif (r < 0)', '\tr = 0;\n\tif (r < 0)'),
    ('the rest of a span gets its head after the commit', 'alloc, large',
     '\tput_end(heap, unit, n);\n\tput(heap, unit, w); /* commit */',
     '\tput_end(heap, unit, n);\n\tuint64_t rest = get(heap, unit + n);\n\tif (length > n)\n\t\tput(heap, unit + n, INSIDE);\n'
     '\tput(heap, unit, w);\n\tif (length > n)\n\t\tput(heap, unit + n, rest);'),
    ('the joined head is written after the others are wiped', 'free, large between',
     '\tput(heap, head, MAKE(FREE, n)); /* commit */\n\tif (head != unit)\n\t\tput(heap, unit, INSIDE);',
     '\tif (head != unit)\n\t\tput(heap, unit, INSIDE);\n\tput(heap, head, MAKE(FREE, n)); /* commit */'),
    ('a slab is dropped by a plain store', 'alloc and free meet dropping',
     '\t\tif (COUNT(w) == 0 && atomic_compare_exchange_strong(&heap->table[unit], &w,\n'
     '\t\t\t\t\t\t\t\t    MAKE(FREE, classes[c].units))) {',
     '\t\tif (COUNT(w) < 3) {\n\t\t\tput(heap, unit, MAKE(FREE, classes[c].units));'),
    ('a bit is set by a plain store', 'alloc of the last block meets',
     '\t\tif (!atomic_compare_exchange_strong(&heap->table[unit], &w,\n'
     '\t\t\t\t\t\t    w | MAKE(0, UINT64_C(1) << block))) {',
     '\t\tput(heap, unit, w | MAKE(0, UINT64_C(1) << block));\n\t\tif (0) {'),
    ('a bit is cleared by a plain store', 'free of a full slab meets',
     '\twhile (!atomic_compare_exchange_strong(&heap->table[unit], &w,\n'
     '\t\t\t\t\t       w & ~MAKE(0, UINT64_C(1) << number)))',
     '\tput(heap, unit, w & ~MAKE(0, UINT64_C(1) << number));\n\twhile (0)'),
    ('lost hints are not looked for', 'free, of a full slab',
     '\t\t} else if (has_room(w, c)) {\n\t\t\thint_set(heap, c, unit);\n\t\t}', '\t\t}'),
    ('repair does not wipe', 'free, large between',
     '\t\t\tfor (uint64_t i = 1; i < n; i++)\n\t\t\t\tput(heap, unit + i, INSIDE);', ''),
    ('repair forgets the bins', 'free, large between',
     '\t\t\tbin_add(heap, unit, n);\n\t\t}\n\t\tput_end', '\t\t}\n\t\tput_end'),
    ('repair leaves the ends of spans', 'free, large between',
     '\t\tput_end(heap, unit, n);\n\t}\n\tatomic_fetch_add(&heap->t->repaired, 1);',
     '\t}\n\tatomic_fetch_add(&heap->t->repaired, 1);'),
)


def sources(root):
    """Those of the library that the harness needs, as src/meson.build lists them."""
    with open(os.path.join(root, 'src/meson.build'), encoding='utf-8') as file:
        names = re.findall(r"'((?:base|os|sync|shm)/\w+\.c)'", file.read())
    return [os.path.join(root, 'src', name) for name in dict.fromkeys(names) if not name.endswith('_test.c')]


def compile_to(output, cc, root, *words):
    subprocess.run([*cc, *FLAGS, f'-I{root}/include', f'-I{root}/src', *words, '-o', output], check=True)


def main(root, cc):
    with open(os.path.join(root, 'src/shm/heap.c'), encoding='utf-8') as file:
        heap = file.read()
    found = 0
    chosen = {'all': MUTANTS, '1': MUTANTS[1::2]}.get(os.environ.get('BROOD_TEST_LONG'), MUTANTS[2::3])
    with tempfile.TemporaryDirectory() as folder:
        harness = os.path.join(folder, 'every-shm')
        mutant = os.path.join(folder, 'heap.c')
        objects = []
        for number, source in enumerate(sources(root) + [os.path.join(root, 'tests/faults/every_shm.c')]):
            if not source.endswith('shm/heap.c'):
                objects.append(os.path.join(folder, f'{number}.o'))
                compile_to(objects[-1], cc, root, '-c', source)
        for what, operation, old, new in chosen:
            if heap.count(old) != 1:
                print(f'FAIL {what}: its text is {heap.count(old)} times in heap.c')
                continue
            with open(mutant, 'w', encoding='utf-8') as file:
                file.write(heap.replace(old, new))
            compile_to(harness, cc, root, mutant, *objects)
            run = subprocess.run([harness, 'all', operation], env={**os.environ, 'LD_BIND_NOW': '1'}, timeout=600, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if run.returncode == 77:
                print(run.stdout)
                return 77
            caught = run.returncode == 1 and ' operations=1 ' in run.stdout
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
