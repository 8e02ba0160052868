"""`brood serve` under load while somebody does it harm, and what must be true at the end.

Load is the clients: threads that post jobs of all KINDS to a Server of tests/integration/server.py, and
remember what each was answered. Every job carries a token, its body; by it a job whose answer was lost on
the way is found in the store all the same. A job writes its id to the file `starts` before anything else,
and its output is known from its body: so the end can be compared with what was promised.

audit() holds the clients' memory against the store, the file `starts` and the state directory:

  202                 the job is in the store, of that id and token, and over
  429, 503, 507       it is not in the store, and has not run
  500                 it may be in the store as failed; it has not run
  no answer           it may be there or not; if it is, all that follows holds for it too
  nothing ran twice, no id was given twice
  succeeded, failed   as its kind ends, with all its output (or marked truncated, where that is allowed)
  lost                only where a test allows it; what it wrote is the beginning of what it would have written

The seed of all that is random is printed; BROOD_SEED repeats it (not the machine's own timing).
"""
import collections
import contextlib
import http.client
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'integration'))
from server import FINAL, TREE, Server, eventually, may_be_gone, zombies_of

LONG = os.environ.get('BROOD_TEST_LONG') == '1'
SEED = int(os.environ.get('BROOD_SEED') or random.SystemRandom().randrange(1 << 32))
SETTLE = 60  # seconds for all that was accepted to be over

ONCE = 'echo "$BROOD_JOB_ID" >> starts; '
LOUD = 300000  # bytes: more than a pipe holds


class Kind:
    """A sort of job: its script, how it ends, and what it writes after its body."""

    def __init__(self, script, state='succeeded', exit_code=0, signal=None, stdout=b'', stderr=b'', **route):
        self.script, self.route = script, route
        self.end = state, exit_code, signal
        self.stdout, self.stderr = stdout, stderr


KINDS = {
    'fast': Kind('cat'),
    'failing': Kind('cat; echo broke >&2; exit 3', 'failed', 3, stderr=b'broke\n'),
    'slow': Kind('cat; sleep 0.3; echo; echo end', stdout=b'\nend\n'),
    'loud': Kind(f'cat; head -c {LOUD} /dev/zero', stdout=bytes(LOUD)),
    'tree': Kind('cat; ' + TREE + 'sleep 0.2', stdout=b''),
    'queued': Kind('cat; sleep 0.02', max_concurrent=1, queue=40),
    'file': Kind('cat "$BROOD_INPUT"', input='file'),
    'limited': Kind('cat; sleep 300', 'timed_out', None, 15, timeout='300ms'),
}


def routes(kinds=None, **settings):
    """The routes of these kinds; `settings` are for all that do not say otherwise."""
    return [{'name': name, 'command': ['/bin/sh', '-c', ONCE + KINDS[name].script], 'timeout': '30s',
             **settings, **KINDS[name].route} for name in kinds or KINDS]


def serve(test, kinds=None, server=Server, route=None, **settings):
    """A server of these kinds, which must leave nothing behind at the test's end."""
    served = server(*routes(kinds, **(route or {})), log_fields=['token'], **settings)
    test.addCleanup(served.finish)
    return served


class Answer:
    """What a client was told: status None when the connection broke."""

    def __init__(self, kind, token):
        self.kind, self.token = kind, token
        self.status = self.id = None
        self.error = ''

    def body(self):
        return f'{{"token": "{self.token}"}}'.encode()

    def __repr__(self):
        return f'{self.kind} {self.token}: {self.status} {self.id or ""} {self.error}'


class Load:
    """Clients that post until they are told to stop."""

    def __init__(self, server, kinds=None, clients=4, pause=0.05):
        self.server, self.kinds, self.pause = server, list(kinds or KINDS), pause
        self.answers = []
        self.over = threading.Event()
        self.tokens = iter(range(1 << 40))
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(SEED + n,)) for n in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def client(self, seed):
        chance = random.Random(seed)
        while not self.over.is_set():
            self.post(chance.choice(self.kinds))
            self.over.wait(chance.uniform(0, self.pause))

    def post(self, kind):
        """Posts a job of the kind, whatever comes of it; the Answer."""
        with self.lock:
            answer = Answer(kind, f't{next(self.tokens)}')
            self.answers.append(answer)
        try:
            reply = self.server.post(answer.body(), kind)
        except TimeoutError:
            answer.error = 'no answer in time'
            return answer
        except (OSError, http.client.HTTPException) as error:  # refused, or broken off
            answer.error = type(error).__name__
            return answer
        answer.status, answer.error = reply.status, reply.body.decode(errors='replace')
        if reply.status == 202:
            answer.id = reply.json()['id']
        return answer


def all_jobs(server):
    """Every job of the store."""
    found, after = [], ''
    while True:
        reply = server.get('/v1/jobs?limit=1000' + after)
        if reply.status != 200:
            raise AssertionError(f'no list: {reply}')
        page = reply.json()
        found += page['jobs']
        if page['next'] is None:
            return found
        after = '&after=' + page['next']


def settled(server, patience=SETTLE):
    """Every job of the store once all of them are over."""
    eventually(lambda: not server.jobs('?state=queued&limit=1') and not server.jobs('?state=running&limit=1'),
               'the end of all jobs', patience)
    return all_jobs(server)


def recovered(server, kind='fast', patience=SETTLE):
    """Whoever did harm is gone: a new job must succeed soon. Its id."""
    def accepted():
        with contextlib.suppress(OSError, http.client.HTTPException):
            reply = server.post(b'{"token": "after"}', kind)
            return reply.status == 202 and reply.json()['id']
        return None
    job = eventually(accepted, 'a job that is accepted', patience)
    facts = eventually(lambda: (lambda found: found['state'] in FINAL and found)(server.job(job, '?wait=5s')),
                       f'end of {job}', patience)
    if facts['state'] != 'succeeded':
        raise AssertionError(f'the service does not recover: {facts}')
    return job


def zombies(server):
    """Those of the server and its keeper."""
    owners = [server.process.pid, server.keeper()]
    return [pid for owner in owners if owner is not None for pid in zombies_of(owner)]


class Tracer:
    """strace on all threads of a process, not on its children; each of `injections` as in strace(1). `injected`
    is how often they took place, known when it is over."""

    def __init__(self, pid, *injections):
        self.pid, self.injections = pid, injections
        self.injected = 0

    def __enter__(self):
        self.trace = tempfile.NamedTemporaryFile('r', encoding='utf-8', errors='replace')
        tasks = os.listdir(f'/proc/{self.pid}/task')
        command = ['strace', '-o', self.trace.name]
        for injection in self.injections:
            command += ['-e', f'inject={injection}']
        for task in tasks:
            command += ['-p', task]
        self.strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in tasks:
            said = self.strace.stderr.readline()
            if 'attached' not in said:
                raise RuntimeError(said)
        return self

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGINT)
        self.strace.communicate()
        self.injected = self.trace.read().count('(INJECTED)')
        self.trace.close()


class Audit:
    """See the head of this file. `lost`: states of jobs whose keeper was killed are allowed; `cut`: output
    may be marked truncated; `unstartable`: a job may fail because it could not be started; `zombies`: some
    may stay; `harmed`: jobs that need not end as their kind does."""

    def __init__(self, server, answers, lost=False, cut=False, unstartable=False, zombies=False, harmed=()):
        self.server, self.answers = server, answers
        self.lost, self.cut, self.unstartable, self.zombies = lost, cut, unstartable, zombies
        self.harmed, self.faults = set(harmed), []
        self.jobs = settled(server)
        self.starts = collections.Counter(server.read('starts').split())
        self.by_token = collections.defaultdict(list)
        for job in self.jobs:
            self.by_token[job['fields'].get('token')].append(job)

    def check(self, true, *words):
        if not true:
            self.faults.append(' '.join(map(str, words)))
        return true

    def run(self):
        """A list of what is wrong."""
        for answer in self.answers:
            self.check_answer(answer)
        given = collections.Counter(answer.id for answer in self.answers if answer.id)
        self.check(set(given.values()) <= {1}, 'ids given twice:', [id_ for id_, n in given.items() if n > 1])
        self.check(set(self.starts.values()) <= {1}, 'run twice:', [id_ for id_, n in self.starts.items() if n > 1])
        known = {job['id'] for job in self.jobs}
        self.check(set(self.starts) <= known, 'run, and not stored:', set(self.starts) - known)
        self.check_folders(known)
        self.check_processes()
        return self.faults

    def check_answer(self, answer):
        found = self.by_token[answer.token]
        self.check(len(found) < 2, answer, 'is stored twice')
        self.check(answer.error != 'no answer in time', answer)
        if answer.status == 202:
            self.check([job['id'] for job in found] == [answer.id], answer, 'is not stored so:', found)
        elif answer.status == 500:
            self.check(self.unstartable, answer)
            self.check(all(job['state'] == 'failed' and self.never_started(job) for job in found), answer, found)
        elif answer.status is not None:
            self.check(answer.status in (429, 503, 507), answer)
            self.check(found == [], answer, 'was refused, and is stored:', found)
        for job in found:
            self.check_job(answer, job)

    @staticmethod
    def never_started(job):
        return (job['reason'] or '').startswith('cannot be started') and job['exit_code'] is None

    def check_job(self, answer, job):
        kind, starts = KINDS[answer.kind], self.starts[job['id']]
        self.check(job['route'] == answer.kind, answer, job)
        if job['state'] == 'lost':
            self.check(self.lost, 'lost', job)
            self.check_output(answer, job, whole=False)
        elif self.never_started(job):
            self.check(self.unstartable and starts == 0, 'not to be started, and', starts, 'starts:', job)
        elif job['id'] in self.harmed:
            self.check_output(answer, job, whole=False)
        else:
            self.check((job['state'], job['exit_code'], job['signal']) == kind.end, answer, 'ended otherwise:', job)
            in_time = job['state'] != 'timed_out'  # else a busy machine may not have let it say anything
            self.check(starts == 1 or starts == 0 and not in_time, starts, 'starts:', job)
            self.check(self.cut or not job['truncated'], 'truncated:', job)
            self.check_output(answer, job, whole=in_time and not job['truncated'])

    def check_output(self, answer, job, whole):
        kind = KINDS[answer.kind]
        for name, wanted in (('stdout', answer.body() + kind.stdout), ('stderr', kind.stderr)):
            got = self.server.output(job['id'], name)
            self.check(len(got) == job[f'{name}_bytes'], len(got), f'bytes of {name}:', job)
            # What was cut for want of space may have a hole where the space was missing.
            good = got == wanted if whole else wanted.startswith(got) or self.cut and len(got) < len(wanted)
            self.check(good, f'{name} of {job["id"]} ({answer.kind}) is {got[:80]!r}, {len(got)} bytes')

    def check_folders(self, known):
        """Nothing lies in output/ or input/ that belongs to no job, and no input of a job that is over."""
        folder = os.path.join(self.server.state, 'output')
        for _, _, names in os.walk(folder):
            strange = {name for name in names if name.partition('.')[0] not in known}
            self.check(not strange, 'output of no job:', strange)
        with may_be_gone():
            left = set(os.listdir(os.path.join(self.server.state, 'input')))
            self.check(not left, 'input files left:', left)

    def check_processes(self):
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self.server.job_processes(), 'no process of a job')
            eventually(lambda: self.zombies or not zombies(self.server), 'no zombie')
        self.check(not self.server.job_processes(), 'alive:', self.server.job_processes())
        self.check(self.zombies or not zombies(self.server), 'zombies:', zombies(self.server))


def audit(test, server, answers, **allowed):
    """Fails the test with all that is wrong."""
    found = Audit(server, answers, **allowed)
    faults = found.run()
    print(f'{test.id()}: answers {dict(collections.Counter(answer.status for answer in answers))}, '
          f'jobs {dict(collections.Counter(job["state"] for job in found.jobs))}', file=sys.stderr)
    test.assertEqual(faults[:20], [], f'{len(faults)} faults, BROOD_SEED={SEED}')


def main():
    """What the file of a test ends with."""
    print(f'BROOD_SEED={SEED}', file=sys.stderr, flush=True)
    unittest.main()
