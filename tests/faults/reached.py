"""Which instructions of the code were killed at? What the programs that kill wrote, against objdump's list.

sync_kill.c and every_shm.c write the addresses at which something was killed (--reached). Held against them are all
instructions of the functions that come from one folder of the sources, but for functions that are no operations on
shared memory. What was not reached must have a reason: `unreached` is a tuple of (pattern of functions, or '' for any; part
of the source line; reason). A lone brace is the end of a path, and stands for a line that is nothing else.
"""
import os
import re
import subprocess

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
NOT_CODE = re.compile(r'(data16 |cs )*(nop|xchg\s+%ax,%ax)|int3')


def said_by(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def places_of(program, addresses):
    """{address: file:line}"""
    if not addresses:
        return {}
    return dict(zip(addresses, said_by('addr2line', '-e', program, *(hex(address) for address in addresses))))


def functions_of(program, folder, not_operations):
    """[(address, size, name)] of the functions that come from `folder`."""
    symbols = {}
    for line in said_by('nm', '-S', '--defined-only', program):
        words = line.split()
        if len(words) == 4 and words[2] in 'tT':
            symbols[int(words[0], 16)] = (int(words[0], 16), int(words[1], 16), words[3].split('.')[0])
    places = places_of(program, list(symbols))
    return [symbol for address, symbol in symbols.items()
            if f'/{folder}/' in places[address] and not not_operations.fullmatch(symbol[2])]


def instructions_of(program):
    """Addresses of the instructions, paddings aside."""
    found = set()
    for line in said_by('objdump', '-d', '--no-show-raw-insn', program):
        match = re.match(r'\s*([0-9a-f]+):\s+(.*)', line)
        if match and not NOT_CODE.match(match.group(2)):
            found.add(int(match.group(1), 16))
    return found


def source_line(place):
    path, _, number = place.split(' ')[0].rpartition(':')
    try:
        with open(path, encoding='utf-8') as file:
            return file.read().split('\n')[int(number) - 1].strip()
    except (OSError, ValueError, IndexError):
        return ''


def reason_of(function, line, unreached):
    for name, part, reason in unreached:
        if (name == '' or re.fullmatch(name, function)) and (line == '}' if part == '}' else part in line):
            return reason
    return None


def compare(program, reached_file, folder, not_operations, unreached):
    """(a line that sums up, how many instructions there are, those that were not reached and have no reason)"""
    with open(reached_file, encoding='ascii') as file:
        reached = {int(line, 16) for line in file}
    all_of_them = instructions_of(program)
    missed, count = [], 0
    for start, size, name in functions_of(program, folder, not_operations):
        mine = {address for address in all_of_them if start <= address < start + size}
        count += len(mine)
        missed += [(address, name) for address in sorted(mine - reached)]
    places = places_of(program, [address for address, _ in missed])
    # What is inlined from another folder is that folder's to go through.
    missed = [(address, name) for address, name in missed if f'/{folder}/' in places[address]]
    told = []
    for address, name in missed:
        line = source_line(places[address])
        if reason_of(name, line, unreached) is None:
            told.append(f'{name}+{address:#x} {os.path.relpath(places[address], ROOT)}: {line}')
    return (f'addresses: {count} in the operations, {len(missed)} not reached, {len(missed) - len(told)} of them for a reason',
            count, told)
