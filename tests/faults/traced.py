"""A path under strace: run tests/children/spawner or popener, read what their processes call

Each call is known by its process and its purpose. The processes: "parent", the spawner; "child", from
its clone to its exec; "image", a program that takes a function over a channel, from its first look at that on;
in contained modes "helper", after that exec, while "loading" its C library; and
"grandchild", from the helper's clone to the program's exec. In the mode that looks a name up, what the
C library asks for that in the parent is "database". The program itself is not looked at, nor
the helper once it has told of the start, but for the modes that stop it.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile

DEADLINE = 30  # seconds
OLD = ' on an old engine'             # modes that end so run where these are refused:
FALLBACK = ('clone3', 'close_range')

# Calls that have no error, end the process, or fail in no way that strace can play (brk stays where it
# is); sysinfo is asked by qsort, for long lists, and no answer is as good.
NEVER_FAIL = {'brk', 'exit_group', 'getegid', 'geteuid', 'getgid', 'getpgrp', 'getpid', 'getppid', 'gettid',
              'getuid', 'restart_syscall', 'rt_sigreturn', 'sysinfo'}
# Modules of the user database end the process where these fail, which they cannot.
NEVER_FAIL_THERE = {'futex', 'rt_sigprocmask'}


def can_trace():
    """Whether strace is there and may trace; says so when not."""
    if shutil.which('strace') and subprocess.run(['strace', '-o', '/dev/null', 'true'], check=False,
                                                 stderr=subprocess.DEVNULL).returncode == 0:
        return True
    print('strace is missing, or may not trace')
    return False


class Call:
    def __init__(self, process, name, number):
        self.process, self.purpose, self.name, self.number = process, name, name, number
        self.injected = self.own_failure = False

    def key(self):
        return self.process, self.purpose


def purpose_of(name, arguments):
    """The name, with the argument that tells what the call is for."""
    if name in ('fcntl', 'prctl', 'ioctl', 'epoll_ctl'):
        word = re.search(r'\b(F_[A-Z_]+|PR_[A-Z_]+|EPOLL_CTL_[A-Z]+|FIONREAD|T[CI][A-Z]+)', arguments)
        purpose = f'{name} {word.group(1)}' if word else name
        return purpose + ' stdout' if purpose == 'fcntl F_GETFD' and arguments.startswith('1,') else purpose
    if name == 'mmap' and 'MAP_SHARED' in arguments:
        return 'mmap shared'
    if name == 'mmap' and 'MAP_STACK' in arguments:
        return 'mmap stack'
    if name == 'openat' and '"/proc' in arguments:
        return 'openat /proc'
    if name == 'write' and re.match(r'\d{1,3}, "\\0", 1\)', arguments):
        return name + ' group'
    if name == 'rt_sigprocmask' and re.match(r'SIG_(SETMASK|UNBLOCK), ~?\[[^]]*\], +NULL', arguments):
        return 'rt_sigprocmask restore'
    if name == 'recvfrom' and 'MSG_DONTWAIT' in arguments or name == 'sendto' and arguments.startswith('3, "\\3'):
        return name + ' last'
    if name == 'sendto' and re.match(r'\d+, "\\[01]", 1,', arguments):
        return name + ' next'
    return name


class Trace:
    """The calls of the path, in their order; the marks seen; and whether an injection hit the spawner
    where it is neither on the path nor counting up."""

    def __init__(self, text, main, stopping, naming):
        self.stopping, self.naming = stopping, naming
        self.calls, self.marks, self.astray, self.groups = [], [], False, set()
        self.order, self.loaded, self.counts, self.open = [main], {}, {}, {}
        for line in text.split('\n'):
            match = re.match(r'(\d+)\s+(.*)', line)
            if match:
                self.read_line(match.group(1), match.group(2))

    def process_of(self, pid):
        if pid not in self.order:
            self.order.append(pid)
        place = self.order.index(pid)
        if place == 0:
            return 'parent'
        state = self.loaded.get(pid)
        return state or ('child' if place == 1 else 'grandchild')

    def read_line(self, pid, rest):
        process = self.process_of(pid)
        resumed = re.match(r'<\.\.\. (\w+) resumed>(.*)', rest)
        if resumed:
            self.finish(pid, resumed.group(2))
            return
        started = re.match(r'(\w+)\((.*)', rest)
        if not started:
            return
        name, arguments = started.groups()
        counts = self.counts.setdefault(pid, {})
        counts[name] = counts.get(name, 0) + 1
        if name == 'write' and pid == self.order[0] and re.match(r'9999, "(counted|begin|end)"', arguments):
            self.marks.append(re.match(r'9999, "(\w+)"', arguments).group(1))
            return
        if process == 'loading' and name == 'fcntl':
            process = self.loaded[pid] = 'helper'
        if process == 'program' and name == 'getsockopt':
            process = self.loaded[pid] = 'image'
        if process == 'keeping':
            process = 'helper' if self.stopping else 'program'
        if process == 'helper' and name == 'sendto' and '"\\1\\0' in arguments:
            self.loaded[pid] = 'keeping'
        if process == 'parent' and self.marks == ['counted', 'begin']:
            self.naming &= name != 'madvise'  # the first call of ours after the look-up
            process = 'database' if self.naming else process
        call = Call(process, name, counts[name])
        self.open[pid] = (call, arguments if '<unfinished' in arguments else '')
        if self.marks == ['counted', 'begin'] and process != 'program' and name not in NEVER_FAIL and not (
                process == 'database' and name in NEVER_FAIL_THERE):
            self.calls.append(call)
        if '<unfinished' not in arguments:
            self.finish(pid, arguments)

    def group_of(self, pid, name, arguments):
        """Whether it is for a descriptor that has been aimed at a process group."""
        aimed = re.match(r'(\d+), F_SETOWN, -\d+\)', arguments) if name == 'fcntl' else None
        if aimed:
            self.groups.add((pid, aimed.group(1)))
        elif name == 'close':
            self.groups.discard((pid, arguments.split(')')[0]))
        elif name == 'fcntl' and (pid, arguments.split(',')[0]) in self.groups:
            return ' group'
        return ''

    def finish(self, pid, text):
        call, arguments = self.open.pop(pid, (None, ''))
        if call is None:
            return
        arguments = arguments.replace(' <unfinished ...>', '') + text
        call.purpose = purpose_of(call.name, arguments) + self.group_of(pid, call.name, arguments)
        result = re.findall(r'\)\s+= (-?\w+)', text)
        call.injected = '(INJECTED)' in text
        self.astray |= call.injected and call.process == 'parent' and self.marks in (
            ['counted'], ['counted', 'begin', 'end'])
        call.own_failure = bool(result) and result[-1].startswith('-')
        if call.name == 'execve' and result and result[-1] == '0' and pid != self.order[0]:
            self.loaded[pid] = 'loading' if 'brood-container"' in arguments + text else 'program'


class Run:
    """One run under strace of `command`, with the mode behind it."""
    command = []

    def __init__(self, mode, injections=(), far=False):
        self.words = ['far'] if far else []
        self.said, self.hung, self.status = '', False, None
        mode, old = (mode[:-len(OLD)], True) if mode.endswith(OLD) else (mode, False)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'trace')
            command = ['strace', '-f', '-e', 'signal=none', '-o', path]
            for injection in injections:
                command += ['-e', 'inject=' + injection]
            if old:
                for name in FALLBACK:
                    command += ['-e', f'inject={name}:error=ENOSYS']
            main = self.execute(mode, command)
            with open(path, encoding='utf-8', errors='replace') as file:
                self.trace = Trace(file.read(), main, mode.startswith('stop'), mode.startswith('named'))

    def execute(self, mode, command):
        """Starts the spawner, which stops itself; attaches strace; lets it go."""
        spawner = subprocess.Popen([*self.command, mode, *self.words], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True)
        os.waitid(os.P_PID, spawner.pid, os.WSTOPPED)
        strace = subprocess.Popen([*command, '-p', str(spawner.pid)], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, start_new_session=True)
        attached = strace.stderr.readline()
        os.kill(spawner.pid, signal.SIGCONT)
        try:
            if 'attached' not in attached:
                raise RuntimeError(attached)
            self.said, _ = spawner.communicate(timeout=DEADLINE)
            self.status = spawner.returncode
            strace.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.hung = True
        finally:
            for process in (spawner, strace):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            spawner.stdout.close()
            strace.stderr.close()
        return str(spawner.pid)
