#!/usr/bin/env python3
"""documents_test.py ROOT COMPILER… - the C in the documents compiles

All pieces between ```c and ``` of README.md and docs/from-python.md, the examples in the first comment of each public
header (lines that a tab indents), and SYNOPSIS and EXAMPLE of each manual page of section 3, unless it only points to another.
A piece is a whole file if a function begins at its left edge, else the inside of one. "…" stands for what a caller does then.
All is C99, but for what has the macro BROOD_ARGS, which takes C11; and C++17 what is of brood.hpp, or between ```cpp and ```,
by the compiler $CXX; without one it is left out.
"""
import glob
import multiprocessing
import os
import re
import shlex
import subprocess
import sys
import unittest

LIMIT = 60
STANDARD = ''.join(f'#include <{name}.h>\n' for name in ('errno', 'poll', 'signal', 'stdio', 'stdlib', 'string', 'sys/mman',
                                                           'sys/wait', 'unistd'))
FLAGS = ['-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-Wno-unused', '-Wno-missing-field-initializers',
         '-fsyntax-only', '-']
FACE = '#include <brood/brood.hpp>\n'


def read(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def names(pattern):
    found = [os.path.relpath(path, ROOT) for path in sorted(glob.glob(os.path.join(ROOT, pattern)))]
    if not found:
        raise AssertionError(f'no {pattern}')
    return found


def errors_of(source, where):
    source = f'#line 1 "{where}"\n{source}'
    compiler, language = COMPILER, ['-x', 'c', '-std=c11' if 'BROOD_ARGS(' in source else '-std=c99']
    if FACE in source:
        compiler, language = CXX, ['-x', 'c++', '-std=c++17']
        if not CXX:
            return ''
    run = subprocess.run(compiler + language + ['-I', os.path.join(ROOT, 'include')] + FLAGS, input=source, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False)
    return run.stdout if run.returncode else ''


def whole(piece, includes):
    """The piece as a file."""
    if re.search(r'^#include', piece, re.MULTILINE):
        return piece
    piece = piece.replace('…', 'return -1;')
    if not re.search(r'^\w[^;=]*\)\n\{', piece, re.MULTILINE):
        piece = f'int piece(void);\nint piece(void)\n{{\n{piece}\nreturn 0;\n}}\n'
    return f'{STANDARD}{includes}{piece}'


def fenced(text, language='c'):
    return re.findall(rf'^```{language}\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)


def of_header(text):
    """The groups of lines with a tab in the first comment; without a statement it is no C."""
    comment = text[:text.index('*/')]
    groups = re.findall(r'(?:^ \*(?:\t.*)?\n)+', comment, re.MULTILINE)
    pieces = [re.sub(r'^ \*\t?', '', group, flags=re.MULTILINE) for group in groups]
    return [piece for piece in pieces if ';' in piece]


def of_page(text, section):
    """The text between .EX and .EE of a section, as a reader sees it."""
    part = re.search(rf'^\.SH {section}\n(.*?)(?=^\.SH|\Z)', text, re.DOTALL | re.MULTILINE)
    if not part:
        return ''
    shown = ''.join(re.findall(r'^\.EX\n(.*?)^\.EE$', part.group(1), re.DOTALL | re.MULTILINE))
    for roff, char in (('\\-', '-'), ('\\(aq', "'"), ('\\(dq', '"'), ('\\&', ''), ('\\~', ' '), ('\\e', '\\'), ('\\\\', '\\')):
        shown = shown.replace(roff, char)
    return shown


class DocumentsTest(unittest.TestCase):
    def compiles(self, piece, where):
        with self.subTest(where):
            errors = errors_of(piece, where)
            self.assertFalse(errors, f'\n{errors}\n{piece}')

    def test_a_mistake_is_found(self):
        good = 'brood_run_result ls;\nbrood_run(BROOD_ARGV("ls"), NULL, &ls);\n'
        face = 'brood::run_result ls;\nbrood_run(brood::argv{ "ls" }, nullptr, ls.ret());\n'
        for piece, right in ((face, True), (face.replace('.ret()', ''), not CXX)):
            self.assertEqual(not errors_of(whole(piece, FACE), 'x.cpp'), right, piece)
        for piece, right in ((good, True), (good.replace('NULL, ', ''), False), (good.replace('_run(', '_ran('), False),
                             (good.replace(';', '', 1), False)):
            self.assertEqual(not errors_of(whole(piece, '#include <brood/brood.h>\n'), 'x.c'), right, piece)

    def test_markdown(self):
        for name in ('README.md', 'docs/from-python.md'):
            pieces = fenced(read(name))
            self.assertTrue(pieces)
            for at, piece in enumerate(pieces):
                self.compiles(whole(piece, '#include <brood/brood.h>\n'), f'{name}-{at + 1}.c')
            for at, piece in enumerate(fenced(read(name), 'cpp')):
                self.compiles(whole(piece, FACE), f'{name}-{at + 1}.cpp')

    def test_each_name_of_the_module_is_there(self):
        text = read('docs', 'from-python.md')
        missing = [name for name in multiprocessing.__all__ if not re.search(rf'\b{name}\b', text)]
        self.assertFalse(missing)
        # What is said to be a function of brood is one.
        headers = ''.join(read(name) for name in names('include/brood/*.h'))
        told = set(re.findall(r'`(brood_\w+)\(', text))
        self.assertTrue(told)
        self.assertFalse([name for name in told if not re.search(rf'\b{name}\(', headers)])

    def test_each_header_is_in_the_matrix(self):
        rows = re.findall(r'^\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|$', read('docs', 'fork-and-signals.md'), re.MULTILINE)
        told = re.findall(r'\(\.\./include/(brood/\w+\.h)\)', '\n'.join(rows))
        self.assertEqual(sorted(told), [name[len('include/'):] for name in names('include/brood/*.h') if name != 'include/brood/brood.h'])

    def test_headers(self):
        with_examples = set()
        given = {'brood/jobs.h': 'static int n; static char **from, **to; static brood_run_opts opts;\n',
                 'brood/array.h': '#include <brood/segment.h>\n', 'brood/segment.h': '#include <brood/lock.h>\n',
                 'brood/args.h': '#include <brood/process.h>\nstatic brood_queue *tasks; static struct { brood_lock lock; } *s;\n'
                                 'static brood_process *p; int work(const brood_args *args);\n',
                 'brood/log.h': 'static int n;\n', 'brood/process.h': 'int work(const brood_args *args);\n',
                 'brood/wait.h': 'static brood_conn *first;\nstatic brood_queue *tasks;\n',
                 'brood/cond.h': 'static struct { brood_lock lock; brood_cond more; long count; } *s;\n'}
        for name in names('include/brood/*.h'):
            for at, piece in enumerate(of_header(read(name))):
                with_examples.add(os.path.basename(name))
                include = name[len('include/'):]
                self.compiles(whole(piece, f'#include <{include}>\n{given.get(include, "")}'), f'{include}-{at + 1}.c')
        pieces = of_header(read('include', 'brood', 'brood.hpp'))
        self.assertTrue(pieces)
        for piece in pieces:
            self.compiles(whole(piece, FACE), 'brood.hpp')
        self.assertTrue(with_examples >= {'spawn.h', 'popen.h', 'run.h', 'pipeline.h'}, with_examples)

    def test_manual(self):
        for name in names('man/*.3'):
            text = read(name)
            points_to = re.fullmatch(r'\.so man3/(\S+)\n', text)
            if points_to:
                self.assertIn('\n.SH SYNOPSIS\n', read('man', points_to.group(1)), name)
                continue
            synopsis, example = of_page(text, 'SYNOPSIS'), of_page(text, 'EXAMPLES?')
            includes = ''.join(re.findall(r'^#include.*\n', synopsis, re.MULTILINE))
            self.assertTrue(includes and example, f'{name}: no synopsis or no example')
            # Declared once more beside the header: a prototype that is not the header's is an error.
            self.compiles(synopsis, f'{name}-synopsis.c')
            headers = ''.join(read('include', header) for header in re.findall(r'<(brood/.*)>', includes))
            for function in re.findall(r'\b(brood_\w+)\(', synopsis):
                self.assertRegex(headers, rf'\b{function}\(')
            self.compiles(whole(example, includes), f'{name}-example.c')


if __name__ == '__main__':
    ROOT, *COMPILER = sys.argv[1:]
    CXX = shlex.split(os.environ.get('CXX', ''))
    del sys.argv[1:]
    unittest.main(verbosity=2)
