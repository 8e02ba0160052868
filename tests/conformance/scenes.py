"""What a library that starts programs must do, scene by scene, in a language of its own.

The scenes are those of CPython's test_subprocess, told anew; a scene's `of` names the methods (without
"test_"). Whoever implements the acts can be held against them: tests/children/actor.c does for brood,
tests/interop/actor.py for CPython.

A scene is a list of steps, a step is (words, the answer). The words are split as by a shell; "@/" is an
empty folder with the files of stage() in it, REPORT is tests/children/report. Where CPython is to answer
otherwise than brood, on purpose, the answer is Differs(brood's, CPython's, why). `seen` is what the last REPORT
into @/r saw in the place where it was started.

Acts. Each takes the options that are given before "--"; an act that fails answers with the error's name, and
the path it is about.
  popen OPTION… -- WORD…     start a program; in/out/err = pipe, null, stdout, or a descriptor's number; cwd, env
                             (the whole, repeated), exe, shell, session, new-group, join=HANDLE, umask, user, group, groups, pass=FD,
                             keep-fds, keep-signals, pipe-size, text, setup=umask|fail (what runs before the exec)
  run OPTION… -- WORD…       to its end; also input, capture, check, timeout: "ok CODE out=… err=…"
  communicate INPUT SECONDS  INPUT: "=text", "*BYTES" of a pattern, "" none; SECONDS "" is for ever
  write INPUT, read 1|2      by hand, on the pipes
  wait SECONDS, wait-twice (from two threads), poll, signal N, terminate, kill, close-input, use HANDLE
  ended, steal               wait without taking the program's status; somebody else takes it
  failures N PROGRAM         start what cannot be started, N times
  step                       which step failed (CPython has none: "*" agrees with all)
  file FD PATH TEXT, content FD, pipe FD FD, close FD…, inheritable FD [0|1], limit-files N, ignore SIGNAL,
  block SIGNAL, interrupt (by SIGALRM, from now on), nap, clock, took LEAST MOST, alive FILE (that holds a pid),
  message, pipe-size, getstatusoutput LINE, quote WORD
"""
import itertools
import os
import shlex
import zlib

BIG = 1 << 20


class Differs:
    """Two answers, and why there are two."""

    def __init__(self, brood, python, why):
        self.brood, self.python, self.why = brood, python, why


class Scene:
    def __init__(self, group, of, steps, *, seen=None, since=(3, 8), root=False, name=''):
        self.group, self.of, self.steps, self.seen = group, of, steps, seen or {}
        self.since, self.root = since, root  # from which CPython on; whether only root can
        self.name = f'{group} {name or of}'

    def words(self, folder, report):
        """The steps, as the actors read them."""
        out = []
        for line, _ in self.steps:
            for word in shlex.split(line):
                out.append(word.replace('@/', folder + '/').replace('REPORT', report).encode())
            out.append(b';')
        return out

    def judge(self, who, answers, folder):
        """What is wrong with the answers of 'brood' or 'python', or None."""
        answers = [answer.decode('utf-8', 'backslashreplace').replace(folder + '/', '@/') for answer in answers]
        for at, (line, wanted) in enumerate(self.steps):
            wanted = getattr(wanted, who, wanted)
            got = answers[at] if at < len(answers) else 'nothing'
            if got not in (wanted, '*'):
                return f'{line}: {got}, not {wanted}'
        if len(answers) > len(self.steps):
            return '; '.join(answers[len(self.steps):])
        if self.seen:
            seen = facts(os.path.join(folder, 'r'))
            for what, wanted in self.seen.items():
                wanted = getattr(wanted, who, wanted).replace('@', folder)
                if seen.get(what) != wanted:
                    return f'the program saw {what} {seen.get(what)}, not {wanted}'
        return None


def stage(folder):
    """What a scene finds in its folder."""
    os.chmod(folder, 0o777)
    for name, mode, text in (('plain', 0o666, 'text\n'), ('noexec', 0o777, '\1 no program'),
                             ('orphan', 0o777, '#!/nosuch/interpreter\n'), ('tool', 0o777, '#!/bin/sh\necho tool "$@"\n')):
        path = os.path.join(folder, name)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        os.chmod(path, mode)
    os.mkdir(os.path.join(folder, 'sub'))
    with open(os.path.join(folder, 'sub', 'inner'), 'w', encoding='ascii') as file:
        file.write('#!/bin/sh\npwd\n')
    os.chmod(os.path.join(folder, 'sub', 'inner'), 0o777)


def facts(path):
    """What REPORT wrote, in the words of `seen`."""
    lines = []
    try:
        with open(path, encoding='utf-8', errors='backslashreplace') as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    found, words = {}, {'fd': [], 'arg': [], 'env': []}
    for line in lines:
        key, _, rest = line.partition(' ')
        if key in words:
            words[key].append(rest.split(' ')[0] if key == 'fd' else rest.partition(' ')[2])
        elif key.startswith('Sig'):
            mask = int(line.split()[1], 16)
            # 32 and 33 are the C library's own.
            found[key[:6]] = ' '.join(str(n) for n in range(1, 65) if mask >> (n - 1) & 1 and n not in (32, 33))
        else:
            found[key] = rest
    found['fds'] = ' '.join(sorted(words['fd'], key=int))
    found['args'] = '|'.join(words['arg'][2:])
    found['env'] = '|'.join(sorted(words['env']))
    found['groups'] = ' '.join(sorted(set(found['groups'].split())))
    found['leads'] = ' '.join(what for what in ('pgid', 'sid') if found[what] == found['pid'])
    leader = os.path.join(os.path.dirname(path), 'pid')
    if os.path.exists(leader):
        with open(leader, encoding='ascii') as file:
            found['joined'] = 'yes' if file.read().strip() == found['pgid'] else 'no'
    return found


def bulk(*pieces):
    """How an actor shows much output."""
    data = b''.join(pieces)
    return f'<{len(data)} bytes, {zlib.crc32(data):08x}>'


def pattern(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


SCENES = []


def scene(*args, **named):
    SCENES.append(Scene(*args, **named))


PIPES = 'in=pipe out=pipe err=pipe'
ENDED = ('wait 10', '0')
# The program waits for a file, the host makes it: no guess at how fast either is.
WAIT_FOR_GO = 'until test -e @/go; do sleep 0.02; done'
GO = ('file 59 @/go ""', 'ok')
SEE = 'popen {} -- REPORT @/r'


def sees(group, of, options, before=(), after=(), **named):
    """A scene of one REPORT."""
    scene(group, of, [*before, (SEE.format(options), 'ok'), ENDED, *after], **named)


# -- H01: what cannot be started --

def refused(of, options, answer, step, **named):
    scene('H01', of, [(f'popen {PIPES} {options}', answer), ('step', step)], **named)


refused('exception_cwd', 'cwd=/nosuch/folder -- true', 'ENOENT /nosuch/folder', 'chdir')
refused('exception_bad_executable', 'exe=/nosuch/program -- true', 'ENOENT /nosuch/program', 'exec')
refused('exception_bad_args_0', '-- /nosuch/program word', 'ENOENT /nosuch/program', 'exec')
refused('file_not_found_includes_filename', '-- nosuch-program', 'ENOENT nosuch-program', 'exec')
refused('file_not_found_with_bad_cwd', 'cwd=/nosuch/folder -- /nosuch/program', 'ENOENT /nosuch/folder', 'chdir')
refused('exception_cwd', 'cwd=@/plain -- true', 'ENOTDIR @/plain', 'chdir', name='a directory that is a file')
refused('exception_bad_args_0', '-- @/plain', 'EACCES @/plain', 'exec', name='no permission to execute')
refused('exception_bad_args_0', '-- @/sub', 'EACCES @/sub', 'exec', name='a folder as program')
refused('exception_errpipe_normal', '-- @/noexec', 'ENOEXEC @/noexec', 'exec', name='of no known format')
refused('exception_bad_args_0', '-- @/orphan', Differs(
    'ENOENT @/orphan: the interpreter that it names is missing', 'ENOENT @/orphan',
    'the file is there; a person who is told that it is not has to guess'), 'interpreter', name='no interpreter')
refused('invalid_args', '--', 'EINVAL', 'argv', name='no words at all')
scene('H01', 'leaking_fds_on_error, failed_child_execute_fd_leak, nonexisting_with_pipes',
      [('failures 1000 /nosuch/program', 'ok')])
scene('H01', 'double_close_on_error, handles_closed_on_exception, issue8780',
      [('pipe 20 21', 'ok'), ('popen in=20 out=pipe -- /nosuch/program', 'ENOENT /nosuch/program'), ('inheritable 20', 'yes'),
       ('popen out=pipe -- echo next', 'ok'), ('communicate "" 10', 'out=next\n err none'), ENDED])

# -- H02: where the three streams go --

scene('H02', 'stdin_pipe', [('popen in=pipe out=pipe -- cat', 'ok'), ('communicate =pear 10', 'out=pear err none'), ENDED])
scene('H02', 'stdin_filedes, stdin_fileobj', [('file 20 @/in pear', 'ok'), ('popen in=20 out=pipe -- cat', 'ok'),
                                              ('communicate "" 10', 'out=pear err none'), ENDED])
scene('H02', 'stdin_none', [('file 0 @/in pear', 'ok'), ('popen out=pipe -- cat', 'ok'), ('communicate "" 10', 'out=pear err none'), ENDED])
scene('H02', 'stdin_devnull', [('file 0 @/in pear', 'ok'), ('popen in=null out=pipe -- cat', 'ok'),
                               ('communicate "" 10', 'out= err none'), ENDED])
for number, stream, where in ((1, 'out', 'stdout'), (2, 'err', 'stderr')):
    say_it = f'sh -c "printf orange >&{number}"'
    scene('H02', f'{where}_pipe', [(f'popen {stream}=pipe -- {say_it}', 'ok'),
                                   ('communicate "" 10', 'out=orange err none' if number == 1 else 'out none err=orange'), ENDED])
    scene('H02', f'{where}_filedes, {where}_fileobj', [('file 20 @/f ""', 'ok'), (f'popen {stream}=20 -- {say_it}', 'ok'), ENDED,
                                                       ('content 20', 'is=orange')])
    scene('H02', f'{where}_none', [(f'file {number} @/f ""', 'ok'), (f'popen -- {say_it}', 'ok'), ENDED,
                                   (f'content {number}', 'is=orange')])
    scene('H02', f'{where}_devnull', [(f'file {number} @/f ""', 'ok'), (f'popen {stream}=null -- {say_it}', 'ok'), ENDED,
                                      (f'content {number}', 'is=')])
BOTH = 'sh -c "printf apple; printf orange >&2"'
scene('H02', 'stdout_stderr_pipe', [(f'popen out=pipe err=stdout -- {BOTH}', 'ok'),
                                    ('communicate "" 10', 'out=appleorange err none'), ENDED])
scene('H02', 'stdout_stderr_file', [('file 20 @/f ""', 'ok'), (f'popen out=20 err=20 -- {BOTH}', 'ok'), ENDED,
                                    ('content 20', 'is=appleorange')])
scene('H02', 'stdout_stderr_file', [('file 20 @/f ""', 'ok'), (f'popen out=20 err=stdout -- {BOTH}', 'ok'), ENDED,
                                    ('content 20', 'is=appleorange')], name='stderr to where a file is stdout')
scene('H02', 'stderr_redirect_with_no_stdout_redirect', [
    ('file 1 @/out ""', 'ok'), ('file 2 @/err ""', 'ok'), (f'popen err=stdout -- {BOTH}', 'ok'), ENDED,
    ('content 1', 'is=appleorange'), ('content 2', 'is=')])
scene('H02', 'stdout_filedes_of_stdout', [('file 1 @/f ""', 'ok'), ('popen out=1 -- sh -c "printf apple"', 'ok'), ENDED,
                                          ('content 1', 'is=apple')])
scene('H02', 'stdout_filedes_of_stdout', [('file 1 @/out ""', 'ok'), ('file 2 @/err ""', 'ok'), (f'popen out=2 err=1 -- {BOTH}', 'ok'),
                                          ENDED, ('content 1', 'is=orange'), ('content 2', 'is=apple')], name='stdout and stderr change places')

# Reads its input, then says one thing on each output.
SWAP = 'sh -c "cat >@/read; printf apple; printf orange >&2"'
for theirs in itertools.permutations(range(3)):
    # Our descriptor theirs[N] becomes the program's N.
    scene('H02', 'swap_fds, remapping_std_fds', [
        *((f'file {fd} @/f{fd} ""' if fd != theirs[0] else f'file {fd} @/f{fd} pear', 'ok') for fd in range(3)),
        ('popen in={} out={} err={} -- '.format(*theirs) + SWAP, 'ok'), ENDED, ('file 20 @/other ""', 'ok'),
        (f'content {theirs[0]}', 'is=pear'), (f'content {theirs[1]}', 'is=apple'), (f'content {theirs[2]}', 'is=orange'),
        ('run capture -- cat @/read', 'ok 0 out=pear err='),
    ], name='the order {}{}{} of 0, 1 and 2'.format(*theirs))
for open_here in itertools.combinations(range(3), 2):
    closed = 3 - sum(open_here)
    for there in itertools.permutations(range(3), 2):
        # Two of ours are open; they become two of theirs.
        options = ' '.join(f'{("in", "out", "err")[to]}={fd}' for to, fd in zip(there, open_here))
        steps = [(f'file {fd} @/f{fd} ""', 'ok') for fd in open_here] + [(f'close {closed}', 'ok')]
        # The third one of theirs is what has its number here, and may be closed.
        fds = '0 1 2' if closed in there else ' '.join(map(str, sorted(there)))
        steps.append((f'popen {options} -- REPORT @/r', 'ok'))
        steps.append(ENDED)
        scene('H02', 'swap_std_fds_with_one_closed', steps, seen={'fds': fds},
              name=f'{open_here[0]}, {open_here[1]} to {there[0]}, {there[1]}')
for n in (1, 2, 3):
    for closed in itertools.combinations(range(3), n):
        scene('H02', 'close_fd_0, close_fd_1, close_fd_2, close_fds_0_1, …', [
            ('close ' + ' '.join(map(str, closed)), 'ok'), (f'popen {PIPES} -- sh -c "cat; printf orange >&2"', 'ok'),
            ('communicate =apple 10', 'out=apple err=orange'), ENDED,
        ], name='closed here: ' + ', '.join(map(str, closed)))
        sees('H02', 'small_errpipe_write_fd', '', [('close ' + ' '.join(map(str, closed)), 'ok')],
             seen={'fds': ' '.join(str(fd) for fd in range(3) if fd not in closed)},
             name='closed here and there: ' + ', '.join(map(str, closed)))
for first, second in (('in', 'out'), ('out', 'err'), ('in', 'err')):
    program = {'inout': '"read x; printf $x >&1"', 'outerr': '"printf apple; printf orange >&2"',
               'inerr': '"read x; printf $x >&2"'}[first + second]
    scene('H02', 'stdout_stdin_are_single_inout_fd, stdout_stderr_…, stderr_stdin_…', [
        ("file 20 @/f 'pear\n'" if first == 'in' else 'file 20 @/f ""', 'ok'),
        (f'popen {first}=20 {second}=20 -- sh -c ' + program, 'ok'), ENDED,
        ('content 20', 'is=appleorange' if first == 'out' else 'is=pear\npear'),
    ], name=f'one descriptor for {first} and {second}')

# -- H03: which descriptors are there --

NINE = [(f'pipe {fd} {fd + 1}', 'ok') for fd in range(20, 38, 2)]
ALL = ' '.join(map(str, range(20, 38)))
sees('H03', 'close_fds', '', NINE, seen={'fds': '0 1 2'})
sees('H03', 'close_fds', 'keep-fds', NINE, seen={'fds': f'0 1 2 {ALL}'}, name='close_fds=False: all are there')
sees('H03', 'close_fds', 'keep-fds in=pipe out=pipe', NINE + [('inheritable 25 0', 'no')],
     seen={'fds': '0 1 2 ' + ALL.replace('25 ', '')}, name='close_fds=False, one is not inheritable')
sees('H03', 'close_fds', 'pass=23 pass=24 pass=30', NINE, seen={'fds': '0 1 2 23 24 30'}, name='all but three')
sees('H03', 'close_fds_when_max_fd_is_lowered', '', NINE + [('limit-files 16', 'ok')], seen={'fds': '0 1 2'})
sees('H03', 'close_fds_when_max_fd_is_lowered', 'pass=37', NINE + [('limit-files 16', 'ok')], seen={'fds': '0 1 2 37'},
     name='a passed one is above the limit')
for fd in (20, 24, 28):
    sees('H03', 'pass_fds', f'pass={fd}', NINE[::2] + [(f'inheritable {fd} 0', 'no')], [(f'inheritable {fd}', 'no')],
         seen={'fds': f'0 1 2 {fd}'}, name=f'{fd}, which stays close-on-exec here')
sees('H03', 'pass_fds_inheritable', 'pass=20 pass=21', [('pipe 20 21', 'ok'), ('inheritable 21 0', 'no')],
     [('inheritable 20', 'yes'), ('inheritable 21', 'no')], seen={'fds': '0 1 2 20 21'})
sees('H03', 'pass_fds_redirected', 'pass=20 in=20 out=21 err=23', [('pipe 20 21', 'ok'), ('pipe 22 23', 'ok')], seen={'fds': '0 1 2 20'})
scene('H03', 'pass_fds', [('pipe 20 21', 'ok'), ('close 21', 'ok'), ('popen pass=21 -- true', 'EBADF'), ('step', 'pass')],
      name='one that is not open')
sees('H03', 'pass_fds', 'keep-fds pass=20', NINE, seen={'fds': Differs(
    f'0 1 2 {ALL}', '0 1 2 20', 'CPython warns and takes close_fds=True; brood does both things that it was told')},
    name='pass_fds beside close_fds=False')
scene('H03', 'pipe_cloexec, pipe_cloexec_real_tools', [
    (f'popen {PIPES} -- cat', 'ok'), ('popen out=pipe -- REPORT @/r', 'ok'), ENDED, ('use 0', 'ok'),
    ('communicate =pear 10', 'out=pear err='), ENDED], seen={'fds': '0 1 2'})
scene('H03', 'close_fds_after_preexec', [('pipe 20 21', 'ok'), ('popen setup=umask -- REPORT @/r', 'ok'), ENDED],
      seen={'fds': '0 1 2', 'umask': '0123'})

# -- H04: to and fro --

scene('H04', 'communicate_stdin', [('popen in=pipe -- sh -c "read x; test $x = pear"', 'ok'),
                                   ("communicate '=pear\n' 10", 'out none err none'), ENDED])
scene('H04', 'communicate_stdout', [('popen out=pipe -- printf pineapple', 'ok'), ('communicate "" ""', 'out=pineapple err none'), ENDED])
scene('H04', 'communicate_stderr', [('popen err=pipe -- sh -c "printf pineapple >&2"', 'ok'),
                                    ('communicate "" ""', 'out none err=pineapple'), ENDED])
scene('H04', 'communicate', [(f'popen {PIPES} -- sh -c "printf pineapple >&2; cat"', 'ok'),
                             ('communicate =banana ""', 'out=banana err=pineapple'), ENDED])
scene('H04', 'communicate_returns', [('popen -- true', 'ok'), ('communicate "" 10', 'out none err none'), ENDED])
scene('H04', 'communicate_returns', [('popen in=pipe out=pipe -- cat', 'ok'), ('communicate "" 10', 'out= err none'), ENDED],
      name='no input: the program meets its end')
for timeout in ('""', '20'):
    scene('H04', 'communicate_pipe_buf', [
        (f'popen {PIPES} -- sh -c "head -c 300000 /dev/zero; cat; head -c 200000 /dev/zero >&2"', 'ok'),
        (f'communicate *{BIG} {timeout}', f'out={bulk(bytes(300000), pattern(BIG))} err={bulk(bytes(200000))}'), ENDED,
    ], name='much at once each way' + (', with a deadline' if timeout == '20' else ''))
scene('H04', 'communicate_timeout', [
    (f'popen {PIPES} -- sh -c "printf pineapple >&2; {WAIT_FOR_GO}; printf pear >&2; cat"', 'ok'),
    ('communicate =banana 0.5', 'ETIMEDOUT'), GO, ('communicate "" 10', 'out=banana err=pineapplepear'), ENDED])
scene('H04', 'communicate_timeout_large_output', [
    (f'popen out=pipe -- sh -c "head -c {BIG} /dev/zero; {WAIT_FOR_GO}; for i in 1 2 3; do head -c {BIG} /dev/zero; sleep 0.05; done"',
     'ok'), ('communicate "" 0.15', 'ETIMEDOUT'), GO, ('communicate "" 10', f'out={bulk(bytes(4 * BIG))} err none'), ENDED])
scene('H04', 'communicate_timeout', [
    (f'popen in=pipe out=pipe -- sh -c "{WAIT_FOR_GO}; cat"', 'ok'), (f'communicate *{BIG} 0.1', 'ETIMEDOUT'), GO,
    ('communicate "" 4', Differs(f'out={bulk(pattern(BIG))} err none', 'ETIMEDOUT',
    'CPython forgets what was not yet written: it waits for ever')),
    ('kill', 'ok'), ('wait 10', Differs('0', '-9', 'as above'))], name='timeout in the middle of the input')
scene('H04', 'communicate_timeout', [
    (f'popen in=pipe out=pipe -- sh -c "{WAIT_FOR_GO}; cat"', 'ok'), ('communicate =one 0.5', 'ETIMEDOUT'),
    ('communicate =two 10', Differs('EALREADY', 'EINVAL',
    'all mistakes of a caller are a ValueError there; here this one has its own number')),
    GO, ('communicate "" 10', 'out=one err none'), ENDED], name='input twice')
scene('H04', 'communicate_epipe', [(f'popen {PIPES} -- true', 'ok'), (f'communicate *{BIG} ""', 'out= err='), ENDED])
scene('H04', 'communicate_epipe', [(f'popen {PIPES} -- true', 'ok'), (f'communicate *{BIG} 10', 'out= err='), ENDED],
      name='a program that does not read, with a deadline')
scene('H04', 'communicate_epipe_only_stdin', [('popen in=pipe -- true', 'ok'), ('ended', 'ok'),
                                              (f'communicate *{BIG} ""', 'out none err none'), ENDED])
scene('H04', 'communicate_BrokenPipeError_stdin_close, _write, _flush', [
    ('popen in=pipe -- true', 'ok'), ('ended', 'ok'), ('communicate "" ""', 'out none err none'), ENDED],
    name='closing towards who is gone')
scene('H04', 'communicate_BrokenPipeError_stdin_close_with_timeout', [
    (f'popen {PIPES} -- true', 'ok'), ('ended', 'ok'), ('communicate =pear 10', 'out= err='), ENDED])
scene('H04', 'communicate_eintr', [
    ('interrupt', 'ok'), (f'popen {PIPES} -- sh -c "sleep 0.2; cat; sleep 0.1"', 'ok'),
    (f'communicate *{BIG} ""', f'out={bulk(pattern(BIG))} err='), ENDED])
scene('H04', 'communicate_repeated_call_after_stdout_close', [
    (f'popen {PIPES} -- sh -c "printf x; exec >&- 2>&-; {WAIT_FOR_GO}"', 'ok'), ('communicate "" 0.1', 'ETIMEDOUT'),
    ('communicate "" 0.1', 'ETIMEDOUT'), GO, ('communicate "" 10', 'out=x err='), ENDED])
scene('H04', 'writes_before_communicate', [('popen in=pipe out=pipe -- cat', 'ok'), ('write =banana', 'ok'),
                                           ('communicate =split 10', 'out=bananasplit err none'), ENDED])
scene('H04', 'communicate_pipe_fd_leak', [step for _ in range(3) for step in (
    (f'popen {PIPES} -- cat', 'ok'), ('communicate =pear 10', 'out=pear err='), ENDED)])
scene('H04', 'communicate_errors', [('popen out=pipe -- cat /dev/null', 'ok'), ('communicate =pear 10', Differs(
    'EINVAL', 'out= err none', 'CPython drops input for which there is no pipe; brood says so')), ('communicate "" 10',
    'out= err none'), ENDED],
      name='input without a pipe')
scene('H04', 'select_unbuffered', [('popen in=pipe out=pipe -- sh -c "printf apple; read x; printf pear"', 'ok'), ('read 1', 'read=apple'),
                                   ("write '=go\n'", 'ok'), ('read 1', 'read=pear'), ('wait 10', '0'), ('close-input', 'ok')])
scene('H04', 'universal_newlines_and_text, universal_newlines_communicate', [
    (r'popen out=pipe text -- printf "a\r\nb\rc\n\303\244\r"', 'ok'), ('communicate "" 10', 'out=a\nb\nc\n\u00e4\n err none'), ENDED])

# -- H06: its end --

scene('H06', 'poll', [('popen in=pipe -- cat', 'ok'), ('poll', 'runs'), ('poll', 'runs'), ('close-input', 'ok'), ENDED, ('poll', '0'),
      ('poll', '0')])
scene('H06', 'wait', [('popen -- sh -c "exit 47"', 'ok'), ('wait ""', '47'), ('wait ""', '47'), ('poll', '47')])
for number in (1, 9, 15, 40):
    scene('H06', 'run_abort', [(f'popen -- sh -c "kill -{number} $$; sleep 9"', 'ok'), ('wait 10', f'-{number}')],
          name=f'ended by signal {number}')
scene('H06', 'threadsafe_wait', [('popen -- sh -c "sleep 0.2; exit 37"', 'ok'), ('wait-twice', '37 37'), ('poll', '37')])
scene('H06', 'wait_timeout', [('popen in=pipe -- cat', 'ok'), ('clock', 'ok'), ('wait 0.2', 'ETIMEDOUT'), ('took 0.19 10', 'yes'),
                              ('close-input', 'ok'), ENDED])
scene('H06', 'wait_negative_timeout', [('popen in=pipe -- cat', 'ok'), ('clock', 'ok'), ('wait -1', 'ETIMEDOUT'), ('wait 0', 'ETIMEDOUT'),
                                       ('took 0 5', 'yes'), ('close-input', 'ok'), ENDED])
GUESSED = 'the status went to somebody else: CPython takes 0, which would be success; brood does not guess'
scene('H06', 'wait_when_sigchild_ignored', [('ignore 17', 'ok'), ('popen -- sh -c "exit 3"', 'ok'), ('wait 10', Differs('lost',
      '0', GUESSED))])
scene('H06', 'stopped', [('popen in=pipe -- cat', 'ok'), ('signal 19', 'ok'), ('nap 0.1', 'ok'), ('poll', 'runs'), ('wait 0.1',
      'ETIMEDOUT'),
                         ('signal 18', 'ok'), ('nap 0.05', 'ok'), ('poll', 'runs'), ('close-input', 'ok'), ENDED])
scene('H06', 'send_signal', [('popen -- sleep 30', 'ok'), ('signal 2', 'ok'), ('wait 10', '-2')])
scene('H06', 'kill', [('popen -- sleep 30', 'ok'), ('kill', 'ok'), ('wait 10', '-9')])
scene('H06', 'terminate', [('popen -- sleep 30', 'ok'), ('terminate', 'ok'), ('wait 10', '-15')])
for how in ('signal 2', 'kill', 'terminate'):
    scene('H06', {'signal 2': 'send_signal'}.get(how, how) + '_dead', [('popen -- true', 'ok'), ('ended', 'ok'),
    (how, 'ok'), ENDED, (how, 'ok')])
scene('H06', 'send_signal_race, send_signal_race2', [('popen -- true', 'ok'), ('steal', 'ok'), ('signal 15', 'ok'), ('terminate', 'ok'),
                                                     ('wait 10', Differs('lost', '0', GUESSED))], since=(3, 9))

# -- H08: what else the program is given --

sees('H08', 'env', 'env=FRUIT=orange env=COLOUR=blue=green', seen={'env': 'COLOUR=blue=green|FRUIT=orange'})
sees('H08', 'empty_env', 'env=', seen={'env': ''})
sees('H08', 'one_environment_variable', 'env=FRUIT=', seen={'env': 'FRUIT='})
scene('H08', 'invalid_env', [('popen env=FRUIT -- true', 'EINVAL'), ('step', 'env')])
sees('H08', 'undecodable_env', "env=FRUIT='\u00e4\u20ac'", seen={'env': 'FRUIT=\u00e4\u20ac'})
sees('H08', 'cwd, cwd_with_bytes, cwd_with_pathlike', 'cwd=@/sub', seen={'cwd': '@/sub'})
scene('H08', 'cwd_with_relative_arg', [('popen cwd=@/sub out=pipe -- ./inner', 'ok'), ('communicate "" 10', 'out=@/sub\n err none'), ENDED])
scene('H08', 'cwd_with_relative_arg', [('popen cwd=@/sub -- sub/inner', 'ENOENT sub/inner')], name='not from where we are')
scene('H08', 'cwd_with_relative_executable', [('popen cwd=@/sub exe=../sub/inner out=pipe -- somename', 'ok'),
                                              ('communicate "" 10', 'out=@/sub\n err none'), ENDED])
scene('H08', 'cwd_with_absolute_arg', [('popen cwd=/ out=pipe -- @/sub/inner', 'ok'), ('communicate "" 10', 'out=/\n err none'), ENDED])
scene('H08', 'executable_with_cwd', [('popen cwd=/ exe=@/sub/inner out=pipe -- somename', 'ok'), ('communicate "" 10',
      'out=/\n err none'), ENDED])
scene('H08', 'executable_without_cwd', [('popen exe=REPORT -- somename @/r word', 'ok'), ENDED], seen={'args': 'word'})
scene('H08', 'executable, bytes_executable, executable_takes_precedence', [
    ('popen exe=/bin/sh out=pipe -- /nosuch/name -c "echo $0 $1" zero one', 'ok'), ('communicate "" 10', 'out=zero one\n err none'), ENDED])
scene('H08', 'executable_replaces_shell, specific_shell', [
        ('popen shell exe=/bin/bash out=pipe -- "echo ${BASH_VERSION:+bash}"', 'ok'), ('communicate "" 10', 'out=bash\n err none'), ENDED])
scene('H08', 'args_string, noshell_sequence_with_spaces', [('popen out=pipe -- @/tool "two words" "" "*"', 'ok'),
                                                            ('communicate "" 10', 'out=tool two words  *\n err none'), ENDED])
scene('H08', 'call_string, shell_string', [('popen shell out=pipe env=FRUIT=apple -- "echo $FRUIT; exit 7"', 'ok'),
                                           ('communicate "" 10', 'out=apple\n err none'), ('wait 10', '7')])
scene('H08', 'shell_sequence', [('popen shell out=pipe -- "echo $0-$1-$2" zero one "two words"', 'ok'),
                                ('communicate "" 10', 'out=zero-one-two words\n err none'), ENDED])
scene('H08', 'invalid_cmd', [('popen shell out=pipe err=null -- "nosuch-program"', 'ok'), ('communicate "" 10', 'out= err none'),
      ('wait 10', '127')],
      name='a shell finds nothing')
scene('H08', 'bytes_program', [('popen env=PATH=/nosuch:@/sub cwd=/ out=pipe -- inner', 'ok'), ('communicate "" 10',
      'out=/\n err none'), ENDED],
          name="found in the program's own PATH")
scene('H08', 'bytes_program', [('popen env=FRUIT=apple out=null -- ls /', 'ok'), ENDED], name='no PATH there: the default one')
scene('H08', 'bytes_program', [('popen env=PATH=/nosuch -- ls', 'ENOENT ls')], name='not in its PATH')
sees('H08', 'start_new_session', 'session', seen={'leads': 'pgid sid'})
sees('H08', 'start_new_session', '', seen={'leads': ''}, name='without: no group, no session of its own')
sees('H08', 'process_group_0', 'new-group', seen={'leads': 'pgid'}, since=(3, 11))
scene('H08', 'process_group_0', [('popen new-group in=pipe out=pipe -- sh -c "echo $$ >@/pid; echo; exec cat"', 'ok'),
                                 ('read 1', 'read=\n'), ('popen join=0 -- REPORT @/r', 'ok'), ENDED,
                                 ('use 0', 'ok'), ('close-input', 'ok'), ENDED], seen={'leads': '', 'joined': 'yes'}, since=(3, 11),
      name="another program's group")
AS_USER = Differs('65534 65534 65534', '0 0 0', "with a user's name come that user's group and groups, as with sudo; "
                  "CPython changes the uid alone, and the program keeps root's group")
sees('H08', 'user', 'user=nobody', seen={'uid': '65534 65534 65534', 'gid': AS_USER}, since=(3, 9), root=True, name='user by name')
sees('H08', 'user', 'user=65534', seen={'uid': '65534 65534 65534', 'gid': '0 0 0'}, since=(3, 9), root=True, name='user by number')
sees('H08', 'user', 'user=65534 group=65534 groups=7', seen={'uid': '65534 65534 65534', 'groups': '7'}, since=(3, 9), root=True,
     name='user, group and groups')
UNKNOWN = 'CPython lets the KeyError of its pwd or grp module through'
scene('H08', 'user_error', [('popen user=nosuch-user -- true', Differs('ENOENT nosuch-user', 'KeyError', UNKNOWN)), ('step',
      'user')], since=(3, 9))
sees('H08', 'group', 'group=65534', seen={'gid': '65534 65534 65534'}, since=(3, 9), root=True, name='group by number')
sees('H08', 'group', 'group=nogroup', seen={'gid': '65534 65534 65534'}, since=(3, 9), root=True, name='group by name')
scene('H08', 'group_error', [('popen group=nosuch-group -- true', Differs('ENOENT nosuch-group', 'KeyError', UNKNOWN)), ('step', 'group')],
      since=(3, 9))
sees('H08', 'extra_groups', 'groups=7,65534', seen={'groups': '65534 7'}, since=(3, 9), root=True)
sees('H08', 'extra_groups_empty_list', 'groups=', seen={'groups': ''}, since=(3, 9), root=True)
sees('H08', 'umask', 'umask=0053', seen={'umask': '0053'}, since=(3, 9))
sees('H08', 'umask', 'umask=0', seen={'umask': '0000'}, since=(3, 9), name='umask 0')
sees('H08', 'restore_signals', '', [('ignore 13', 'ok'), ('ignore 25', 'ok')], seen={'SigIgn': ''})
sees('H08', 'restore_signals', 'keep-signals', [('ignore 13', 'ok'), ('ignore 25', 'ok')], seen={'SigIgn': '13 25'},
      name='restore_signals=False')
STARTS_CLEAN = 'CPython undoes its own settings of SIGPIPE, SIGXFZ and SIGXFSZ; a program of brood starts clean'
sees('H08', 'restore_signals', '', [('ignore 10', 'ok'), ('block 12', 'ok')],
     seen={'SigIgn': Differs('', '10', STARTS_CLEAN), 'SigBlk': Differs('', '12', STARTS_CLEAN)},
     name='signals that the host ignores or blocks')
sees('H08', 'restore_signals', 'keep-signals', [('ignore 10', 'ok'), ('block 12', 'ok')],
     seen={'SigIgn': Differs('10', '10 13 25', 'CPython itself ignores SIGPIPE and SIGXFSZ'), 'SigBlk': '12'},
     name='… and are to be inherited')
sees('H08', 'preexec', 'setup=umask', seen={'umask': '0123'})
scene('H08', 'preexec_exception, preexec_errpipe_does_not_double_close_pipes', [
    (f'popen {PIPES} setup=fail -- true', Differs('EXDEV', 'SubprocessError',
    'what the function returned is told, not only that it failed')), ('step', 'setup')])
scene('H08', 'pipesizes', [(f'popen {PIPES} pipe-size=8192 -- cat', 'ok'), ('pipe-size', '8192'), ('communicate =pear 10',
      'out=pear err='), ENDED],
      since=(3, 10))
scene('H08', 'pipesize_default', [(f'popen {PIPES} -- cat', 'ok'), ('pipe-size', '65536'), ('communicate "" 10', 'out= err='), ENDED])

# -- H09: in one call --

scene('H09', 'returncode, call_seq', [('run -- sh -c "exit 47"', 'ok 47')])
scene('H09', 'check, check_call_nonzero', [('run check -- sh -c "exit 47"', 'EREMOTEIO 47')])
scene('H09', 'check_zero, check_call_zero', [('run check -- true', 'ok 0')])
scene('H09', 'check', [('run check -- sh -c "kill -9 $$"', 'EREMOTEIO -9')], name='check: a signal')
scene('H09', 'timeout, call_timeout', [('clock', 'ok'), ('run timeout=0.1 -- sleep 30', 'ETIMEDOUT'), ('took 0.09 10', 'yes')])
scene('H09', 'check_output_timeout', [('run timeout=2 capture -- sh -c "printf BDFL; exec sleep 30"', 'ETIMEDOUT out=BDFL err=')])
scene('H09', 'capture_stdout, check_output', [('run out=pipe check -- printf BDFL', 'ok 0 out=BDFL')])
scene('H09', 'capture_stderr, check_output_stderr', [('run err=pipe -- sh -c "printf BDFL >&2"', 'ok 0 err=BDFL')])
scene('H09', 'capture_output', [(f'run capture -- {BOTH}', 'ok 0 out=apple err=orange')])
scene('H09', 'check_output_stderr', [(f'run out=pipe err=stdout -- {BOTH}', 'ok 0 out=appleorange')], name='merged')
scene('H09', 'check_output_nonzero', [('run capture check -- sh -c "printf kept; exit 5"', 'EREMOTEIO 5 out=kept err=')])
scene('H09', 'check_output_stdin_arg', [('file 20 @/in pear', 'ok'), ('run in=20 capture -- cat', 'ok 0 out=pear err=')])
scene('H09', 'check_output_input_arg', [('run input==pear capture -- cat', 'ok 0 out=pear err=')])
scene('H09', 'check_output_input_arg', [(f'run input=*{BIG} capture -- cat', f'ok 0 out={bulk(pattern(BIG))} err=')], name='much input')
scene('H09', 'check_output_input_none', [('run input== capture -- cat', 'ok 0 out= err=')])
scene('H09', 'check_output_stdin_with_input_arg', [('file 20 @/in pear', 'ok'), ('run in=20 input==apple -- cat', 'EINVAL'), ('step',
      'input')])
for stream in ('out', 'err'):
    other = 'err' if stream == 'out' else 'out'
    scene('H09', f'std{stream}_with_capture_output_arg', [
        ('file 20 @/f ""', 'ok'), (f'run {stream}=20 capture -- {BOTH}', Differs(
            'ok 0 out=apple err=orange', 'EINVAL', 'the short options win over those of .popen, as the header says'))])
scene('H09', 'run_kwargs, call_kwargs', [('run env=FRUIT=banana shell check capture -- "echo $FRUIT"', 'ok 0 out=banana\n err=')])
scene('H09', 'run_with_an_empty_env', [('run env= check -- /bin/true', 'ok 0')])
scene('H09', 'run_with_pathlike_path, run_with_bytes_path_and_arguments', [('run capture -- @/tool a "b c"', 'ok 0 out=tool a b c\n err=')])
scene('H09', 'run_with_shell_timeout_and_capture_output', [
    ('clock', 'ok'), ('run shell capture timeout=1.5 -- "sleep 30 & echo $! >@/pid; sleep 30"', 'ETIMEDOUT out= err='), ('took 1.49 20',
    'yes'),
    ('alive @/pid', Differs('gone', 'alive', 'CPython kills the shell alone, and its children stay; brood ends all that belongs to it'))])
scene('H09', 'run_with_shell_timeout_and_capture_output', [
    ('clock', 'ok'), ('run shell capture timeout=1.5 input==pear -- "sleep 30 & echo $! >@/pid; wait"', 'ETIMEDOUT out= err='),
    ('took 1.49 20', 'yes'),
    ('alive @/pid', Differs('gone', 'alive', 'as above'))], name='the same with input')
scene('H09', 'timeout', [('run -- /nosuch/program', 'ENOENT /nosuch/program')], name='what cannot be started')

# -- H10: texts --

SAME_FACTS = 'the same facts, in words for a line of a log'
for number, name in ((6, 'SIGABRT'), (11, 'SIGSEGV'), (15, 'SIGTERM')):
    scene('H10', 'CalledProcessError_str_signal', [
        (f'popen -- sh -c "ulimit -c 0; kill -{number} $$; sleep 9"', 'ok'),
        ('message', Differs(f'killed by {name}', f"Command 'it' died with <Signals.{name}: {number}>.", SAME_FACTS))],
        name=f'killed by {name}')
scene('H10', 'CalledProcessError_str_unknown_signal', [
    ('popen -- sh -c "kill -50 $$; sleep 9"', 'ok'),
    ('message', Differs('killed by signal 50', "Command 'it' died with unknown signal 50.", SAME_FACTS))])
scene('H10', 'CalledProcessError_str_non_zero', [
    ('popen -- sh -c "exit 2"', 'ok'),
    ('message', Differs('exit status 2', "Command 'it' returned non-zero exit status 2.", SAME_FACTS))])
for line, answer in (('echo xyzzy', '0 out=xyzzy'), ('cat /nosuch/f 2>/dev/null; echo; exit 3', '3 out='), ('printf "a\\n\\n"',
      '0 out=a\n'),
                     ('printf err >&2', '0 out=err'), ('kill -15 $$', '-15 out='), ('printf apple; printf orange >&2; exit 255',
                     '255 out=appleorange')):
    scene('H10', 'getoutput', [('getstatusoutput ' + shlex.quote(line), answer)], name=f'getstatusoutput: {line}')
for word, answer in (('', "''"), ('a-b_c.txt', 'a-b_c.txt'), ('two words', "'two words'"), ("it's", "'it'\"'\"'s'"), ('$HOME', "'$HOME'"),
                     ('\u00e4', "'\u00e4'"), ('@%_-+=:,./', '@%_-+=:,./')):
    scene('H10', 'shlex.quote', [('quote ' + shlex.quote(word), answer)], name=f'quote: {word}')
