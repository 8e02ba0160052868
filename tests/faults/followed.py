"""A program and all processes that it starts, by a tracer of our own: one call of one of them fails, or is its last

strace (traced.py) has one number for the calls of all processes. Where several are at work, and what is looked at is the path of
one, that is told here by its place in the order of their beginnings; 0 is the program.
"""
import ctypes
import os
import re
import signal
import subprocess
import threading

from traced import DEADLINE, NEVER_FAIL, Call

TRACEME, CONT, GETREGS, SETREGS, SYSCALL, SETOPTIONS = 0, 7, 12, 13, 24, 0x4200
OPTIONS = 1 | 2 | 4 | 8 | 16 | 1 << 20  # calls are told apart; fork, vfork, clone, exec are followed; nobody outlives us
CALL = signal.SIGTRAP | 0x80
EXEC = 4
WALL = 0x40000000 | 0x20000000  # and of those whom this thread traces
LIBC = ctypes.CDLL(None)
HEADER = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'
COMMANDS = {  # second arguments, and prctl's first one
    'fcntl': {1: 'F_GETFD', 2: 'F_SETFD', 3: 'F_GETFL', 4: 'F_SETFL', 8: 'F_SETOWN', 10: 'F_SETSIG', 1030: 'F_DUPFD_CLOEXEC',
              1033: 'F_ADD_SEALS'},
    'prctl': {15: 'PR_SET_NAME'},
}


def ptrace(request, pid, data=0):
    """Whether it is there; who was killed meanwhile is not."""
    return LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, data if isinstance(data, ctypes.Array) else ctypes.c_void_p(data)) == 0


class Followed:
    """One run of a command, stopped at the entry to and exit from each call of those who are looked at."""

    def __init__(self, command):
        self.order, self.inside, self.status, self.hung, self.said = [], set(), None, False, ''
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   preexec_fn=lambda: ptrace(TRACEME, 0), start_new_session=True)
        with process:
            os.waitpid(process.pid, 0)
            self.order.append(process.pid)
            ptrace(SETOPTIONS, process.pid, OPTIONS)
            self.resume(process.pid)
            watch = threading.Timer(DEADLINE, self.give_up)
            watch.start()
            while self.follow(process):
                pass
            watch.cancel()
            if not self.hung:
                self.said = process.stdout.read()

    def give_up(self):
        self.hung = True
        for pid in self.order:
            self.kill(pid)

    def follow(self, process):
        """Up to the next stop; whether there is more to come."""
        try:
            pid, status = os.waitpid(-1, WALL)
        except ChildProcessError:
            return False
        if os.WIFSTOPPED(status):
            self.stopped(pid, os.WSTOPSIG(status), status >> 16)
        elif pid == process.pid:
            self.status = process.returncode = os.waitstatus_to_exitcode(status)
        return True

    def stopped(self, pid, signum, event):
        new = pid not in self.order
        if new:
            self.order.append(pid)
        place = self.order.index(pid)
        if event == EXEC:
            self.exec(place)
        if signum == CALL and pid in self.inside:
            self.inside.remove(pid)
            self.leave(place, pid)
        elif signum == CALL:
            self.inside.add(pid)
            self.enter(place, pid)
        self.resume(pid, 0 if event or new or signum in (CALL, signal.SIGSTOP) else signum)

    def resume(self, pid, signum=0):
        ptrace(SYSCALL if self.looks_at(self.order.index(pid)) else CONT, pid, signum)

    @staticmethod
    def kill(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    # What the kinds of runs are.

    def looks_at(self, place):
        raise NotImplementedError

    def enter(self, place, pid):
        pass

    def leave(self, place, pid):
        pass

    def exec(self, place):
        pass


class Killed(Followed):
    """The process of this place is killed at the entry to its call of this number, if there are so many."""

    def __init__(self, command, place, number):
        self.place, self.number, self.entries, self.happened = place, number, 0, False
        super().__init__(command)

    def looks_at(self, place):
        return place == self.place

    def enter(self, place, pid):
        self.entries += 1
        if self.entries == self.number:
            self.happened = True
            self.kill(pid)


def names_of_calls():
    """By their numbers; empty where it is not known how to have them fail."""
    if os.uname().machine != 'x86_64' or not os.path.exists(HEADER):
        return {}
    with open(HEADER, encoding='utf-8') as file:
        return {int(number): name for name, number in re.findall(r'#define __NR_(\w+) (\d+)', file.read())}


class Failed(Followed):
    """A run of a program of tests/children that makes marks (counted.h), with what Failing asks of one. The calls between "begin" and "end" of all
    processes are in trace.calls, whose process is what role(place, has it exec'ed, has it begun) says, None: is not looked at. The
    one like `call` fails with `error`, if told so. Begun: it has come to its getsockopt(), with which a program that takes orders begins."""
    names = names_of_calls()
    WORDS = 27  # of user_regs_struct; those of the arguments, the result, and the number
    ARGUMENTS, RAX, NUMBER = (14, 13, 12, 7, 9, 8), 10, 15

    class Trace:
        def __init__(self):
            self.calls, self.marks, self.astray = [], [], False

    def __init__(self, command, role, call=None, error=0):
        self.role, self.wanted, self.error, self.trace = role, call, error, self.Trace()
        self.states, self.counts, self.failing, self.loading = {}, {}, {}, set()
        super().__init__(command)

    def looks_at(self, place):
        return True

    def exec(self, place):
        self.states[place] = 'program'

    def enter(self, place, pid):
        registers = (ctypes.c_ulong * self.WORDS)()
        ptrace(GETREGS, pid, registers)
        name = self.names.get(registers[self.NUMBER], '?')
        arguments = [registers[i] for i in self.ARGUMENTS]
        if place == 0 and name == 'write' and arguments[0] == 9999:
            word = self.read(pid, arguments[1], arguments[2])
            self.trace.marks += [word] if word in ('counted', 'begin', 'end') else []
            return
        if name == 'getsockopt' and self.states.get(place) == 'program':
            self.states[place] = 'begun'
        process = self.role(place, self.states.get(place))
        if self.trace.marks != ['counted', 'begin'] or process is None or name in NEVER_FAIL:
            return
        purpose = self.purpose(name, arguments)
        if name == 'openat' and self.read(pid, arguments[1], 4096).split('\0')[0].endswith('guest.so'):
            self.loading.add(place)
        if place in self.loading:
            purpose += ' of the library'
        if name == 'close':
            self.loading.discard(place)
        number = self.counts[place, purpose] = self.counts.get((place, purpose), 0) + 1
        call = Call(process, name, number)
        call.purpose, call.place = purpose, place
        self.trace.calls.append(call)
        if self.wanted and (place, purpose, number) == (self.wanted.place, self.wanted.purpose, self.wanted.number):
            registers[self.NUMBER] = ctypes.c_ulong(-1).value
            ptrace(SETREGS, pid, registers)
            self.failing[pid] = call

    def leave(self, place, pid):
        call = self.failing.pop(pid, None)
        if call:
            registers = (ctypes.c_ulong * self.WORDS)()
            ptrace(GETREGS, pid, registers)
            registers[self.RAX] = ctypes.c_ulong(-self.error).value
            call.injected = ptrace(SETREGS, pid, registers)

    @staticmethod
    def read(pid, address, size):
        with open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
            memory.seek(address)
            return memory.read(size).decode(errors='replace')

    @staticmethod
    def purpose(name, arguments):
        if name in COMMANDS:
            word = arguments[name == 'fcntl']
            return f'{name} {COMMANDS[name].get(word, word)}'
        if name == 'mmap' and arguments[3] & 1:
            return 'mmap shared'
        if name == 'mmap' and arguments[3] & 0x20000:
            return 'mmap stack'
        if name == 'rt_sigprocmask' and arguments[0] == 2 and not arguments[2]:
            return 'rt_sigprocmask restore'
        return name
