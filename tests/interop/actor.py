#!/usr/bin/env python3
"""actor.py --oracle - acts out scenarios with Python's subprocess; tests/children/actor.c does with brood

Any CPython from 3.8 on. The words are explained in tests/conformance/scenes.py; the answers are those of
the C program, wherever the two are to agree: errors by their errno names, with the path concerned.
"""
import errno
import fcntl
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
import zlib

import peers

LIMIT = 60  # seconds, for one scenario
LONG_BYTES = 120
ERRORS = (OSError, ValueError, TypeError, LookupError, subprocess.SubprocessError)


def pattern(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def bytes_of(text):
    return text[1:] if text[:1] == b'=' else pattern(int(text[1:]))


def seconds(text):
    return float(text) if text else None


def shown(name, data):
    if isinstance(data, str):
        data = data.encode()
    if data is None:
        return name + b' none'
    if len(data) > LONG_BYTES:
        data = b'<%d bytes, %08x>' % (len(data), zlib.crc32(data))
    return name + b'=' + data


def error_name(error):
    if isinstance(error, subprocess.TimeoutExpired):
        return b'ETIMEDOUT'
    if isinstance(error, subprocess.CalledProcessError):
        return b'EREMOTEIO'
    if isinstance(error, subprocess.SubprocessError):
        return b'SubprocessError'
    if isinstance(error, KeyError):
        return b'KeyError'
    if isinstance(error, OSError):
        name = errno.errorcode[error.errno].encode()
        return name if error.filename is None else name + b' ' + os.fsencode(error.filename)
    if isinstance(error, UnicodeDecodeError):
        return b'EILSEQ'
    return b'EINVAL'


def fail_in_child():
    raise OSError(errno.EXDEV, 'no')


class Stage:
    """One scenario's handles."""

    def __init__(self):
        self.popens = []
        self.popen = None
        self.since = 0

    def options(self, words):
        """(the program's words, what is for Popen, what is for run)."""
        named, run = {'bufsize': 0}, {}
        end = words.index(b'--')
        for word in words[:end]:
            name, _, value = word.partition(b'=')
            name = name.decode()
            if name in ('in', 'out', 'err'):
                known = {b'pipe': subprocess.PIPE, b'null': subprocess.DEVNULL, b'stdout': subprocess.STDOUT}
                named['std' + name] = known[value] if value in known else int(value)
            elif name == 'pass':
                named['pass_fds'] = named.get('pass_fds', ()) + (int(value),)
            elif name == 'env':
                env = named.setdefault('env', {})
                if value:
                    key, equals, content = value.partition(b'=')
                    env[key if equals else key + b'='] = content
            elif name in ('user', 'group', 'join', 'pipe-size'):
                key = {'join': 'process_group', 'pipe-size': 'pipesize'}.get(name, name)
                named[key] = int(value) if value.isdigit() else value.decode()
                if name == 'join':
                    named[key] = self.popens[named[key]].pid
            elif name == 'groups':
                named['extra_groups'] = [int(group) for group in value.split(b',') if group]
            elif name == 'umask':
                named['umask'] = int(value, 8)
            elif name == 'setup':
                named['preexec_fn'] = fail_in_child if value == b'fail' else lambda: os.umask(0o123)
            elif name == 'text':
                named.update(text=True, encoding='utf-8', bufsize=-1)
            elif name in ('capture', 'check'):
                run[{'capture': 'capture_output'}.get(name, name)] = True
            elif name == 'input':
                run['input'] = bytes_of(value)
            elif name == 'timeout':
                run['timeout'] = seconds(value)
            else:
                key, content = {'cwd': ('cwd', value), 'exe': ('executable', value), 'shell': ('shell', True),
                                'session': ('start_new_session', True), 'new-group': ('process_group', 0),
                                'keep-signals': ('restore_signals', False), 'keep-fds': ('close_fds', False)}[name]
                named[key] = content
        argv = words[end + 1:]
        return argv, named, run

    def act_popen(self, *words):
        argv, named, _ = self.options(words)
        popen = subprocess.Popen(argv, **named)
        self.popens.append(popen)
        self.popen = popen
        return b'ok'

    def act_failures(self, times, program):
        pipe = subprocess.PIPE
        for _ in range(int(times) // 10):  # it is not CPython that is on trial
            try:
                subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe)
            except FileNotFoundError:
                continue
            return b'it was started'
        return b'ok'

    def act_communicate(self, data, timeout):
        out, err = self.popen.communicate(bytes_of(data) if data else None, seconds(timeout))
        return shown(b'out', out) + b' ' + shown(b'err', err)

    def act_write(self, data):
        data = bytes_of(data)
        return b'ok' if self.popen.stdin.write(data) == len(data) else b'a part'

    def act_read(self, which):
        return shown(b'read', os.read((None, self.popen.stdout, self.popen.stderr)[int(which)].fileno(), LONG_BYTES))

    def code(self):
        return b'runs' if self.popen.returncode is None else b'%d' % self.popen.returncode

    def act_wait(self, timeout):
        self.popen.wait(seconds(timeout))
        return self.code()

    def act_wait_twice(self):
        codes = []
        thread = threading.Thread(target=lambda: codes.append(self.popen.wait(60)))
        thread.start()
        here = self.popen.wait(60)
        thread.join()
        while len(os.listdir('/proc/self/task')) > 1:
            # It is joined, but not at its end: the first pthread_exit() opens libgcc_s.so to load it.
            time.sleep(0.001)
        return b'%d %d' % (here, codes[0])

    def act_poll(self):
        self.popen.poll()
        return self.code()

    def act_signal(self, number):
        self.popen.send_signal(int(number))
        return b'ok'

    def act_terminate(self):
        self.popen.terminate()
        return b'ok'

    def act_kill(self):
        self.popen.kill()
        return b'ok'

    def act_close_input(self):
        self.popen.stdin.close()
        return b'ok'

    def act_use(self, at):
        self.popen = self.popens[int(at)]
        return b'ok'

    def act_step(self):
        return b'*'  # there is none

    def act_ended(self):
        os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT)
        return b'ok'

    def act_steal(self):
        os.waitpid(self.popen.pid, 0)
        return b'ok'

    def act_pipe_size(self):
        return b'%d' % fcntl.fcntl(self.popen.stdin, 1032)

    def act_message(self):
        self.popen.wait(60)
        return str(subprocess.CalledProcessError(self.popen.returncode, 'it')).encode()

    def act_run(self, *words):
        argv, named, run = self.options(words)
        wants = [name for name in ('out', 'err') if 'capture_output' in run or named.get('std' + name) == subprocess.PIPE]

        def result(word, end, code):
            words = [word] + ([] if code is None else [b'%d' % code])
            if word != b'EILSEQ':
                words += [shown(name.encode(), getattr(end, 'std' + name)) for name in wants]
            return b' '.join(words)

        try:
            end = subprocess.run(argv, **named, **run)
        except subprocess.CalledProcessError as error:
            return result(b'EREMOTEIO', error, error.returncode)
        except subprocess.TimeoutExpired as error:
            # What was read by then, or None for "nothing".
            error.stdout, error.stderr = error.stdout or b'', error.stderr or b''
            return result(b'ETIMEDOUT', error, None)
        return result(b'ok', end, end.returncode)

    def act_getstatusoutput(self, line):
        code, text = subprocess.getstatusoutput(os.fsdecode(line))
        return b'%d ' % code + shown(b'out', os.fsencode(text))

    def act_quote(self, word):
        import shlex
        return os.fsencode(shlex.quote(os.fsdecode(word)))

    # -- the host --

    def place(self, fd, at):
        if fd == at:
            os.set_inheritable(fd, True)
        else:
            os.dup2(fd, at)
            os.close(fd)

    def act_file(self, at, path, content):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        self.place(fd, int(at))
        return b'ok'

    def act_content(self, fd):
        return shown(b'is', os.pread(int(fd), LONG_BYTES, 0))

    def act_pipe(self, reads, writes):
        ends = os.pipe()
        self.place(ends[0], int(reads))
        self.place(ends[1], int(writes))
        return b'ok'

    def act_close(self, *fds):
        for fd in fds:
            os.close(int(fd))
        return b'ok'

    def act_inheritable(self, fd, value=None):
        if value is not None:
            os.set_inheritable(int(fd), value != b'0')
        return b'yes' if os.get_inheritable(int(fd)) else b'no'

    def act_limit_files(self, soft):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        return b'ok'

    def act_ignore(self, number):
        signal.signal(int(number), signal.SIG_IGN)
        return b'ok'

    def act_block(self, number):
        signal.pthread_sigmask(signal.SIG_BLOCK, [int(number)])
        return b'ok'

    def act_interrupt(self):
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
        return b'ok'

    def act_nap(self, length):
        time.sleep(float(length))
        return b'ok'

    def act_clock(self):
        self.since = time.monotonic()
        return b'ok'

    def act_took(self, least, most):
        took = time.monotonic() - self.since
        return b'yes' if float(least) <= took <= float(most) else b'%d ms' % (1000 * took)

    def act_alive(self, path):
        with open(path, encoding='ascii') as file:
            pid = int(file.readline())
        for _ in range(30):
            try:
                with open(f'/proc/{pid}/stat', encoding='ascii') as file:
                    if file.read().rpartition(')')[2].split()[0] in 'ZX':
                        return b'gone'
            except FileNotFoundError:
                return b'gone'
            time.sleep(0.01)
        return b'alive'

    # -- all of it --

    def act(self, words):
        try:
            return getattr(self, 'act_' + words[0].decode().replace('-', '_'))(*words[1:])
        except ERRORS as error:
            return error_name(error)


def count_descriptors():
    fds = [int(fd) for fd in os.listdir('/proc/self/fd')]
    # The one that the list was read by is closed by now.
    return sum(fd >= 3 and (fd < 20 or fd >= 60) and os.path.exists(f'/proc/self/fd/{fd}') for fd in fds)


def act_all(strings):
    stage, answers, words, descriptors = Stage(), [], [], count_descriptors()
    for string in strings:
        if string == b';':
            answers.append(stage.act(words))
            words = []
        else:
            words.append(string)
    for popen in stage.popens:
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
    left = count_descriptors() - descriptors
    if left:
        answers.append(b'left %d descriptors' % left)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        answers.append(b'left a child')
    except ChildProcessError:
        pass
    return answers


def drain(fd):
    until, data = time.monotonic() + LIMIT, b''
    while time.monotonic() < until:
        if select.select([fd], [], [], 0.1)[0]:
            piece = os.read(fd, 1 << 16)
            if not piece:
                break
            data += piece
    return data


def answer(_, strings):
    """Acts in a process of its own, as the C program does."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        to = fcntl.fcntl(writes, fcntl.F_DUPFD_CLOEXEC, 200)
        os.close(reads)
        os.close(writes)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)  # cases and answers are not for the programs
        os.dup2(null, 1)
        os.close(null)
        os.setpgid(0, 0)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        answers = act_all(strings)
        with open(to, 'wb') as file:
            file.write(peers.pack(answers))
        os._exit(0)
    os.close(writes)
    data = drain(reads)
    os.close(reads)
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    _, status = os.waitpid(pid, 0)
    return peers.unpack(data, 0)[0] if data else [b'died, status %#x' % status]


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    peers.be_oracle(answer)
