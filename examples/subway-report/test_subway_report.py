"""Tests of subway-report: what it measures, what it refuses, and each way it ends.

The worker's path is in the environment variable SUBWAY_REPORT. Pictures with known measures are
built here byte by byte; the committed samples are read from pictures/. The web is a server of
this process on a free port of the loopback address.
"""
import contextlib
import http.server
import json
import os
import resource
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import zlib

WORKER = os.path.abspath(os.environ.get('SUBWAY_REPORT', 'build/examples/subway-report'))
HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = os.path.join(HERE, 'pictures')
TEXT_FIELDS = ('requestId', 'systemId', 'inspectionStartTime', 'inspectionEndTime', 'trainId',
               'lineCode', 'yardName', 'direction')
MIB = 1024 * 1024


# ---- pictures

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # of each pass: first x, first y, step of x, step of y


def chunk(name, data=b''):
    return (struct.pack('>I', len(data)) + name + data +
            struct.pack('>I', zlib.crc32(name + data)))


def png(rows, kind=GREY, depth=8, interlaced=False, before=b'', size=None):
    """A PNG of `rows`, each the bytes of a row; `size` lies about width and height."""
    width = size[0] if size else len(rows[0]) * 8 // (CHANNELS[kind] * depth)
    height = size[1] if size else len(rows)
    lines = rows
    if interlaced:  # of one byte a pixel
        lines = [rows[y][x0::step_x] for x0, y0, step_x, step_y in ADAM7
                 for y in range(y0, height, step_y) if x0 < width]
    header = struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, int(interlaced))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + before +
            chunk(b'IDAT', zlib.compress(b''.join(b'\0' + bytes(line) for line in lines))) +
            chunk(b'IEND'))


def segment(marker, data):
    return struct.pack('>BBH', 0xff, marker, len(data) + 2) + data


def jpeg(n_components=1, progressive=False, n_scans=1, size=(8, 8)):
    """A JPEG of blocks that are all zero, that is of luma 128; each code is one bit, 0."""
    ids = range(1, n_components + 1)
    frame = struct.pack('>BHHB', 8, size[1], size[0], n_components)
    frame += b''.join(bytes((i, 0x11, 0)) for i in ids)
    scan = bytes((n_components,)) + b''.join(bytes((i, 0)) for i in ids)
    scan += bytes((0, 0 if progressive else 63, 0))
    n_bits = n_components * (1 if progressive else 2)
    codes = bytes((1,) + 15 * (0,) + (0,))
    return (b'\xff\xd8' + segment(0xdb, bytes(1) + bytes(64 * (1,))) +
            segment(0xc2 if progressive else 0xc0, frame) +
            segment(0xc4, b'\x00' + codes) + segment(0xc4, b'\x10' + codes) +
            n_scans * (segment(0xda, scan) + bytes((0xff >> n_bits,))) + b'\xff\xd9')


CHECKS = [bytes(255 * ((x + y) % 2) for x in range(16)) for y in range(12)]
RAMP = [bytes(10 * x + y for x in range(20)) for y in range(13)]


def sample(name):
    with open(os.path.join(SAMPLES, name), 'rb') as file:
        return file.read()


# ---- the worker

def request(*urls):
    document = {name: name + '?' for name in TEXT_FIELDS}
    document['imageUrls'] = [{'imageUrl': url, 'location': f'place {i}'}
                             for i, url in enumerate(urls)]
    return document


def work(document, *options, **more):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    more.setdefault('stdout', subprocess.PIPE)
    return subprocess.run([WORKER, *options], input=text, stderr=subprocess.PIPE, timeout=30,
                          check=False, **more)


class Worker(unittest.TestCase):
    def report(self, document, *options, **more):
        done = work(document, *options, **more)
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        return json.loads(done.stdout)

    def pictures(self, *urls, options=(), **more):
        return self.report(request(*urls), *options, **more)['pictures']

    def assert_refused(self, entry, why):
        self.assertEqual((entry['ok'], entry.get('error')), (False, why))

    def assert_ends(self, done, status, error):
        self.assertEqual((done.returncode, done.stdout or b''), (status, b''))
        self.assertIn(error, done.stderr.decode())


class Folder(Worker):
    """Tests with a directory of their own for --pictures."""

    def setUp(self):
        root = tempfile.TemporaryDirectory()
        self.addCleanup(root.cleanup)
        self.root = os.path.realpath(root.name)
        self.folder = os.path.join(self.root, 'pictures')
        os.mkdir(self.folder)

    def put(self, name, data):
        with open(os.path.join(self.folder, name), 'wb') as file:
            file.write(data)

    def local(self, *urls, options=()):
        return self.pictures(*urls, options=('--pictures', self.folder, *options))

    def measure(self, data):
        self.put('one', data)
        return self.local('file:one')[0]


# ---- what is measured

class Samples(Worker):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(HERE, 'request.json'), 'rb') as file:
            cls.request = file.read()
        with open(os.path.join(HERE, 'report.json'), encoding='utf-8') as file:
            cls.kept = json.load(file)

    def test_report_of_the_request_is_the_one_that_is_kept(self):
        """Numbers within a percent, as other versions of libjpeg may round otherwise."""
        self.same(self.report(self.request, '--pictures', SAMPLES), self.kept, 'report')

    def same(self, is_, was, where):
        if isinstance(was, dict):
            self.assertEqual(list(is_), list(was), where)
            for name in was:
                if name != 'error':  # libcurl's words
                    self.same(is_[name], was[name], f'{where}.{name}')
        elif isinstance(was, list):
            self.assertEqual(len(is_), len(was), where)
            for i, entry in enumerate(was):
                self.same(is_[i], entry, f'{where}[{i}]')
        elif isinstance(was, float):
            self.assertAlmostEqual(is_, was, delta=abs(was) / 100, msg=where)
        else:
            self.assertEqual(is_, was, where)

    def test_pictures_are_what_they_are_named(self):
        report = self.report(self.request, '--pictures', SAMPLES)
        by_name = {entry['imageUrl']: entry for entry in report['pictures']}
        left, dark = by_name['file:roof-left.jpg'], by_name['file:roof-dark.jpg']
        blurred, cut = by_name['file:roof-blurred.jpg'], by_name['file:roof-cut.jpg']

        self.assertLess(dark['brightness'], left['brightness'] / 4)
        self.assertLess(blurred['sharpness'], left['sharpness'] / 20)
        self.assertEqual([e['flags'] for e in (left, dark, blurred, cut)],
                         [[], ['dark'], ['blurred'], ['damaged']])
        self.assertGreater(cut['warnings'], 0)
        self.assertEqual(cut['firstWarning'], 'Premature end of JPEG file')
        for name, entry in by_name.items():
            if entry['ok']:
                data = sample(name.removeprefix('file:'))
                self.assertEqual((entry['width'], entry['height'], entry['bytes']),
                                 (640, 400, len(data)))
                self.assertEqual(entry['format'], 'png' if name.endswith('png') else 'jpeg')
        self.assertFalse(by_name['http://127.0.0.1:9/roof-left.jpg']['ok'])

    def test_summary_can_be_computed_from_the_pictures(self):
        report = self.report(self.request, '--pictures', SAMPLES)
        good = [entry for entry in report['pictures'] if entry['ok']]
        summary = report['summary']

        self.assertEqual((summary['pictures'], summary['measured'], summary['failed']),
                         (7, len(good), 7 - len(good)))
        self.assertEqual(summary['flagged'], sum(bool(entry['flags']) for entry in good))
        for measure in ('brightness', 'contrast', 'sharpness'):
            mean = sum(entry[measure] for entry in good) / len(good)
            self.assertAlmostEqual(summary['mean' + measure.capitalize()], mean, delta=0.006)
        worst = min(good, key=lambda entry: entry['sharpness'])
        self.assertEqual((summary['worstSharpness'], summary['worstSharpnessLocation']),
                         (worst['sharpness'], worst['location']))

    def test_no_pictures_is_a_report_without_means(self):
        report = self.report(request())
        self.assertEqual(report['pictures'], [])
        self.assertEqual(report['summary'], {
            'pictures': 0, 'measured': 0, 'failed': 0, 'flagged': 0, 'meanBrightness': None,
            'meanContrast': None, 'meanSharpness': None, 'worstSharpness': None,
            'worstSharpnessLocation': None})


class Measures(Folder):
    def assert_measures(self, data, **expected):
        entry = self.measure(data)
        self.assertTrue(entry['ok'], entry)
        self.assertEqual({name: entry[name] for name in expected}, expected)

    def test_known_pictures(self):
        self.assert_measures(png(8 * [16 * b'\x64']), format='png', width=16, height=8,
                             brightness=100, contrast=0, sharpness=0, flags=['blurred'],
                             warnings=0)
        self.assert_measures(png(CHECKS), width=16, height=12, brightness=127.5, contrast=127.5,
                             sharpness=1020 ** 2, flags=[])
        # A plane has no edges at all: its Laplacian is zero.
        self.assert_measures(png(RAMP), brightness=95 + 6, sharpness=0)
        self.assert_measures(png([b'\x00\x00\x00', b'\x00\xff\x00', b'\x00\x00\x00']),
                             brightness=28.33, contrast=80.14, sharpness=0)
        self.assert_measures(png([b'\xf0']), width=1, height=1, brightness=240, contrast=0,
                             sharpness=0, flags=['overexposed', 'blurred'])
        self.assert_measures(png([b'\x10\x20', b'\x30\x40']), brightness=40, flags=['dark'])
        self.assert_measures(jpeg(), format='jpeg', width=8, height=8, brightness=128,
                             contrast=0, warnings=0)
        self.assert_measures(jpeg(n_components=3), brightness=128)
        self.assert_measures(jpeg(progressive=True), brightness=128, warnings=0)

    def test_luma_is_that_of_jpeg_whatever_the_gamma(self):
        gamma = chunk(b'gAMA', struct.pack('>I', 100000))
        for colour, luma in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
            self.assert_measures(png([bytes(colour)], RGB), brightness=luma)
            self.assert_measures(png([bytes(colour)], RGB, before=gamma), brightness=luma)

    def test_every_kind_of_png(self):
        colours = chunk(b'PLTE', bytes((0, 0, 0, 200, 200, 200)))
        clear = chunk(b'tRNS', bytes((0, 0)))
        self.assert_measures(png([b'\x0f'], GREY, 1), width=8, brightness=127.5)
        self.assert_measures(png([b'\x1b'], GREY, 2), width=4, brightness=127.5)
        self.assert_measures(png([b'\x80\x80\x80\x80'], GREY, 16), width=2, brightness=128)
        self.assert_measures(png([b'\x50\x00'], GREY_ALPHA), width=1, brightness=80)
        self.assert_measures(png([b'\x50\x50\x50\x00'], RGB_ALPHA), width=1, brightness=80)
        self.assert_measures(png([b'\x55'], PALETTE, 1, before=colours), width=8, brightness=100)
        self.assert_measures(png([b'\x01\x01'], PALETTE, before=colours + clear), brightness=200)

    def test_interlaced_measures_as_not_interlaced(self):
        for rows in (CHECKS, RAMP, [b'\x50'], [b'\x50\x60\x70']):
            plain, interlaced = (self.measure(png(rows, interlaced=i)) for i in (False, True))
            for entry in plain, interlaced:
                entry.pop('bytes')
            self.assertEqual(interlaced, plain)

    def test_harmless_warnings_of_png_are_counted_and_no_damage(self):
        entry = self.measure(png(CHECKS, before=chunk(b'gAMA', b'short')))
        self.assertEqual((entry['ok'], entry['warnings'], entry['flags']), (True, 1, []))
        self.assertIn('gAMA', entry['firstWarning'])


class Broken(Folder):
    def assert_broken(self, data, why):
        entry = self.measure(data)
        self.assertFalse(entry['ok'], entry)
        self.assertRegex(entry['error'], why)

    def test_not_a_picture(self):
        for data in (b'', b'\xff', b'\xff\xd8', b'<html>', b'GIF89a' + bytes(20)):
            self.assert_broken(data, '^neither a JPEG nor a PNG picture$')

    def test_png_is_whole_or_refused(self):
        whole = png(CHECKS)
        self.assert_broken(whole[:8], '^broken png: Premature end of PNG file$')
        self.assert_broken(whole[:40], '^broken png: Premature end of PNG file$')
        self.assert_broken(whole[:-12], '^broken png: Premature end of PNG file$')
        self.assert_broken(whole[:50] + b'?' + whole[51:], '^broken png: ')
        self.assert_broken(png([], size=(0, 0)), '^broken png: Invalid IHDR data$')

    def test_jpeg_without_a_picture(self):
        self.assert_broken(b'\xff\xd8\xff\xd9', '^broken jpeg: JPEG datastream contains no image$')
        self.assert_broken(b'\xff\xd8\xff' + bytes(100), '^broken jpeg: ')
        self.assert_broken(jpeg(n_components=4), '^broken jpeg: Unsupported color conversion')

    def test_jpeg_cut_off_is_measured_and_damaged(self):
        data = sample('roof-left.jpg')
        for size in len(data) // 4, len(data) // 2, len(data) - 2:
            entry = self.measure(data[:size])
            self.assertEqual((entry['ok'], entry['flags']), (True, ['damaged']))
            self.assertGreater(entry['warnings'], 0)

    def test_bombs(self):
        self.assert_broken(png([b''], size=(20000, 20000)),
                           '^broken png: 20000 x 20000 pixels are more than the limit of 100 meg')
        self.assert_broken(jpeg(size=(65500, 65500)),
                           '^broken jpeg: 65500 x 65500 pixels are more than the limit')
        self.assert_broken(jpeg(3, progressive=True, size=(10000, 10000)),
                           '^broken jpeg: too large to be decoded in memory$')
        self.assert_broken(jpeg(progressive=True, n_scans=101), '^broken jpeg: too many scans$')


# ---- what is fetched

class Files(Folder):
    def setUp(self):
        super().setUp()
        os.mkdir(os.path.join(self.folder, 'sub'))
        self.put('a b.png', png(CHECKS))
        self.put('sub/in.png', png(CHECKS))
        self.put('../outside.png', png(CHECKS))

    def link(self, name, target):
        os.symlink(target, os.path.join(self.folder, name))

    def test_every_spelling_below_the_directory(self):
        self.link('link.png', 'sub/../a b.png')
        for entry in self.local('file:a%20b.png', 'file:a b.png', 'FILE:sub/in.png',
                                f'file://{self.folder}/sub/in.png', 'file:link.png',
                                f'file:{self.folder}//sub/in.png', 'file:sub/../sub/in.png'):
            self.assertTrue(entry['ok'], entry)

    def test_nothing_outside(self):
        self.link('up', '..')
        self.link('absolute.png', self.folder + '/a b.png')
        self.link('out.png', '../outside.png')
        self.link('self', '/proc/self/cwd')
        for entry in self.local('file:../outside.png', 'file:%2e%2e/outside.png',
                                'file:sub/../../outside.png', 'file:up/outside.png',
                                'file:out.png', 'file:absolute.png', 'file:self/outside.png',
                                f'file://{self.root}/outside.png', 'file:///etc/passwd',
                                f'file://{self.folder}/../outside.png',
                                f'file://{self.folder}-2/in.png', f'file://{self.folder}'):
            self.assert_refused(entry, 'outside the pictures directory')

    def test_what_is_no_file(self):
        os.mkfifo(os.path.join(self.folder, 'fifo'))
        for url, why in (('file:fifo', 'not a regular file'),
                         ('file:sub', 'not a regular file'),
                         ('file:none.png', 'No such file or directory'),
                         ('file:', 'not a file: URL of this machine'),
                         ('file://host/a.png', 'not a file: URL of this machine'),
                         ('file:a%00.png', 'not a file: URL of this machine')):
            self.assert_refused(self.local(url)[0], why)

    def test_size_limit(self):
        self.put('exact', bytes(MIB))
        self.put('more', bytes(MIB + 1))
        exact, more = self.local('file:exact', 'file:more', options=('--max-size', '1'))
        self.assert_refused(exact, 'neither a JPEG nor a PNG picture')
        self.assert_refused(more, 'larger than the limit of 1048576 bytes')

    def test_refused_without_a_directory(self):
        self.assert_refused(self.pictures('file:a b.png')[0], 'file: URLs need --pictures')


class Handler(http.server.BaseHTTPRequestHandler):
    """/status/N, /to/LOCATION, /slow, /endless, /announced, /gate, else a picture."""

    def do_GET(self):
        name, _, rest = self.path[1:].partition('/')
        answer = getattr(self, 'get_' + name, None)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if answer:
                answer(rest)
            else:
                self.give(200, png(CHECKS))

    def give(self, status, body=b'', **headers):
        self.send_response(status)
        for name, value in {'Content-Length': str(len(body)), **headers}.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(body)

    def get_status(self, rest):
        self.give(int(rest), png(CHECKS))

    def get_to(self, rest):
        self.give(302, Location=rest)

    def get_loop(self, rest):
        self.give(302, Location=f'/loop/{int(rest) - 1}' if rest != '0' else '/picture')

    def get_slow(self, _):
        self.server.over.wait(10)

    def get_text(self, _):
        self.give(200, b'<html>', Content_Type='image/jpeg')

    def get_announced(self, _):
        self.give(200, Content_Length=str(10 * MIB))

    def get_endless(self, _):
        self.send_response(200)
        self.end_headers()
        while not self.server.over.is_set():
            self.wfile.write(bytes(65536))

    def get_gate(self, rest):
        """Open for a moment, and count how many are in it at a time."""
        with self.server.lock:
            self.server.inside += 1
            self.server.most = max(self.server.most, self.server.inside)
        time.sleep(float(rest))
        with self.server.lock:
            self.server.inside -= 1
        self.give(200, png(CHECKS))

    def log_message(self, format, *args):
        pass


class Web(Folder):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.over, self.server.lock = threading.Event(), threading.Lock()
        self.server.inside = self.server.most = 0
        self.server.daemon_threads = False  # server_close() waits for all of them
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        for step in (self.server.server_close, thread.join, self.server.shutdown,
                     self.server.over.set):  # taken from the last
            self.addCleanup(step)
        self.host = f'127.0.0.1:{self.server.server_port}'

    def web(self, *paths, options=()):
        proxies = {'http_proxy': 'http://127.0.0.1:9', 'ALL_PROXY': 'http://127.0.0.1:9'}
        return self.pictures(*(f'http://{self.host}/{path}' for path in paths), options=options,
                             env={**os.environ, **proxies})

    def test_picture_and_redirects_and_no_proxy(self):
        for entry in self.web('picture', f'to/http://{self.host}/picture', 'loop/4'):
            self.assertEqual((entry['ok'], entry.get('brightness')), (True, 127.5), entry)

    def test_what_cannot_be_had(self):
        self.put('in.png', png(CHECKS))
        self.assert_refused(self.web('status/404')[0], 'the server answered with status 404')
        self.assert_refused(self.web('status/500')[0], 'the server answered with status 500')
        self.assert_refused(self.web('text')[0], 'neither a JPEG nor a PNG picture')
        self.assertRegex(self.web('loop/5')[0]['error'], 'redirects')
        for target in f'file://{self.folder}/in.png', 'ftp://127.0.0.1/in.png':
            entry = self.web('to/' + target, options=('--pictures', self.folder))[0]
            self.assertRegex(entry['error'], '[Pp]rotocol')

    def test_other_schemes(self):
        for url in 'ftp://127.0.0.1/a.png', 'gopher://127.0.0.1/', self.host, 'picture.png', ' ':
            self.assert_refused(self.pictures(url)[0], 'not an http:, https: or file: URL')
        for url in 'http://', 'http://127.0.0.1:99999/', 'http://' + 8010000 * 'a':
            self.assertFalse(self.pictures(url)[0]['ok'])

    def test_size_limit(self):
        for entry in self.web('endless', 'announced', options=('--max-size', '1')):
            self.assert_refused(entry, 'larger than the limit of 1048576 bytes')

    def test_time_limit_is_of_each_picture(self):
        begin = time.monotonic()
        slow, endless, good = self.web('slow', 'endless', 'picture',
                                       options=('--timeout', '1', '--max-size', '1024'))
        self.assertLess(time.monotonic() - begin, 5)
        self.assert_refused(slow, 'Timeout was reached')
        self.assertFalse(endless['ok'])
        self.assertTrue(good['ok'])

    def test_some_at_a_time(self):
        for options, most in ((), 4), (('--parallel', '2'), 2):
            self.server.most = 0
            self.web(*(8 * ['gate/0.1']), options=options)
            self.assertEqual(self.server.most, most)

    def test_order_is_that_of_the_request(self):
        urls = [f'http://{self.host}/gate/0.3', 'file:one', f'http://{self.host}/status/404',
                f'http://{self.host}/gate/0.1', 'nothing', f'http://{self.host}/picture']
        entries = self.pictures(*urls)
        self.assertEqual([entry['imageUrl'] for entry in entries], urls)
        self.assertEqual([entry['location'] for entry in entries],
                         [f'place {i}' for i in range(6)])
        self.assertEqual([entry['ok'] for entry in entries],
                         [True, False, False, True, False, True])


# ---- how it ends

class Requests(Worker):
    def assert_bad(self, document, why):
        self.assert_ends(work(document), 2, f'subway-report: request: {why}')

    def test_not_json(self):
        self.assert_bad(b'', 'line 1, column 0: ')
        self.assert_bad(b'{"a": 1,\n "b": }', 'line 2, column 7: ')
        self.assert_bad(b'{"a": 1, "a": 2}', 'line 1, column 12: duplicate object key')
        self.assert_bad(b'{} {}', 'line 1, column 4: end of file expected')
        self.assert_bad(b'{"a": "\xff"}', 'line 1, column 7: unable to decode byte 0xff')
        self.assert_bad(5000 * b'[', 'line 1, column 2049: maximum parsing depth reached')

    def test_not_an_object(self):
        self.assert_bad(b'[]', 'the document must be an object, not an array')

    def test_each_text_field(self):
        for name in TEXT_FIELDS:
            document = request()
            document[name] = ''
            self.assert_bad(document, f'field "{name}" is empty')
            document[name] = 7
            self.assert_bad(document, f'field "{name}" must be a string, not a number')
            del document[name]
            self.assert_bad(document, f'field "{name}" is missing')

    def test_pictures(self):
        document = request()
        for value, why in ((None, '"imageUrls" must be an array, not null'),
                           ({}, '"imageUrls" must be an array, not an object'),
                           (['a'], '"imageUrls[0]" must be an object, not a string'),
                           ([{}], '"imageUrls[0].imageUrl" is missing'),
                           ([{'imageUrl': True, 'location': 'a'}],
                            '"imageUrls[0].imageUrl" must be a string, not a boolean'),
                           ([{'imageUrl': 'a', 'location': 'b'}, {'imageUrl': 'a'}],
                            '"imageUrls[1].location" is missing')):
            document['imageUrls'] = value
            self.assert_bad(document, 'field ' + why)
        del document['imageUrls']
        self.assert_bad(document, 'field "imageUrls" is missing')

    def test_size(self):
        text = json.dumps(request()).encode()
        self.assertEqual(work(text.ljust(8 * MIB)).returncode, 0)
        self.assert_bad(text.ljust(8 * MIB + 1), 'larger than 8 MiB')

    def test_fields_are_given_back(self):
        document = request('none') | {'trainId': 'Zug \u00e4\u96fb\U0001f687 "1"', 'other': [1]}
        report = self.report(document)
        self.assertEqual({name: report[name] for name in TEXT_FIELDS},
                         {name: document[name] for name in TEXT_FIELDS})
        self.assertEqual(set(report), {*TEXT_FIELDS, 'pictures', 'summary'})


class Ends(Worker):
    def test_help(self):
        done = work(b'', '--help')
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        for option in '--pictures', '--parallel', '--timeout', '--max-size', '--help':
            self.assertIn(option.encode(), done.stdout)

    def test_usage(self):
        for options, why in ((('--unknown',), '--unknown'),
                             (('--pictures',), 'requires an argument'),
                             (('file.json',), 'file.json: the request comes on standard input'),
                             (('--parallel', '0'), '"0" is not a number from 1 to 64'),
                             (('--parallel', '65'), '"65" is not a number from 1 to 64'),
                             (('--timeout', '-1'), '"-1" is not a number from 1 to 86400'),
                             (('--timeout', '1s'), '"1s" is not a number'),
                             (('--max-size', ''), '"" is not a number from 1 to 1024'),
                             (('--max-size', 30 * '9'), 'is not a number from 1 to 1024')):
            self.assert_ends(work(request(), *options), 2, why)

    def test_no_pictures_directory(self):
        for path, why in ('/none', 'No such file or directory'), (__file__, 'Not a directory'):
            self.assert_ends(work(request(), '--pictures', path), 1, f'{path}: {why}')

    def test_input_cannot_be_read(self):
        with open_folder(HERE) as folder:
            done = subprocess.run([WORKER], stdin=folder, capture_output=True, check=False)
        self.assert_ends(done, 1, 'cannot read the request: Is a directory')

    def test_output_is_full(self):
        with open('/dev/full', 'wb') as full:
            self.assert_ends(work(request(), stdout=full), 1, 'cannot write the report: No space')
            done = work(b'', '--help', stdout=full)
            self.assert_ends(done, 1, 'cannot write this help: No space')

    def test_output_is_gone(self):
        ours, theirs = os.pipe()
        os.close(ours)
        with open(theirs, 'wb') as pipe:
            done = work(request(), stdout=pipe)
        self.assert_ends(done, 1, 'cannot write the report: Broken pipe')

    def test_output_is_closed(self):
        done = work(request(), preexec_fn=lambda: os.close(1))
        self.assert_ends(done, 1, 'cannot write the report: Bad file descriptor')


@contextlib.contextmanager
def open_folder(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


class Memory(Folder):
    """A process with little address space. Under a sanitizer, which wants all, there is none."""

    @staticmethod
    def limited(document, size, *options):
        return work(document, *options,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))

    @classmethod
    def setUpClass(cls):
        """Find in what the worker just starts."""
        low, cls.least = 0, 256 * MIB
        if cls.limited(b'', cls.least, '--help').returncode != 0:
            raise unittest.SkipTest('the worker does not start in 256 MiB of address space')
        while cls.least - low > MIB // 4:
            size = (low + cls.least) // 2
            if cls.limited(b'', size, '--help').returncode == 0:
                cls.least = size
            else:
                low = size

    def test_request(self):
        done = self.limited(b'{"a": [' + 2 * MIB * b'[],' + b'0]}', self.least + 64 * MIB)
        self.assert_ends(done, 1, 'cannot parse the request: Cannot allocate memory')

    def test_picture(self):
        size = (9000, 9000)
        self.put('one', png([b''], RGB, interlaced=False, size=size))
        self.put('two', jpeg(3, progressive=True, size=size))
        interlaced = bytearray(png([b''], RGB, size=size))
        interlaced[28] = 1
        interlaced[29:33] = struct.pack('>I', zlib.crc32(interlaced[12:29]))
        self.put('three', interlaced)
        done = self.limited(request('file:one', 'file:two', 'file:three'), self.least + 64 * MIB,
                            '--pictures', self.folder)
        errors = [entry['error'] for entry in json.loads(done.stdout)['pictures']]
        self.assertEqual(done.returncode, 0)
        self.assertNotIn('memory', errors[0])
        self.assertIn('memory', errors[1])
        self.assertEqual(errors[2], 'broken png: Cannot allocate memory')

    def test_report(self):
        """From too little for anything to enough, there is a report, or a reason and status 1."""
        document = request(*(4000 * ['none']))
        reasons = set()
        for size in range(self.least, self.least + 64 * MIB, MIB // 2):
            done = self.limited(document, size)
            if done.returncode == 0:
                break
            self.assertEqual((done.returncode, done.stdout), (1, b''))
            reasons.add(done.stderr.decode())
        self.assertEqual(done.returncode, 0)
        self.assertIn('subway-report: cannot make the report: Cannot allocate memory\n', reasons)


if __name__ == '__main__':
    unittest.main()
