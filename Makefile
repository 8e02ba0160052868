# A few words in front of Meson. `make help` lists them.
.POSIX:
.PHONY: help build run check check-all faults interop bench scan install clean
.NOTPARALLEL:

PREFIX = /usr/local
BENCH =
# For `make build`, `make run`, `make install`: what a user needs, and no more packages than that.
BUILD_OPTIONS = -Dtests=false -Dbench=false

help:
	@echo 'make build      compile; leaves the command at build/brood'
	@echo 'make run        build, then serve the sample route on 127.0.0.1:8600'
	@echo 'make check      build with warnings as errors, run all tests and checks (minutes)'
	@echo 'make check-all  what CI adds: clang, sanitizers, musl, aarch64, faults, fuzz, scan'
	@echo 'make faults     kill the users of shared locks, memory, queues at every instruction (half an hour)'
	@echo 'make interop    each CPython that is there beside brood: a line for each version, direction, case'
	@echo 'make bench      the figures, beside the peers; BENCH=spawn,serve for some of them'
	@echo 'make scan       the security scan; its report is build-scan/report.txt'
	@echo 'make install    to PREFIX (/usr/local), under DESTDIR if given'
	@echo 'make clean      remove all build directories'

build:
	@tools/install-packages build
	@tools/make-build build $(BUILD_OPTIONS)

run: build
	@tools/how-to-ask
	@exec build/brood serve --config examples/subway-report/brood.yaml

check:
	@tools/install-packages check
	@tools/run-checks check

check-all:
	@tools/install-packages check-all
	@tools/run-checks all

faults:
	@tools/install-packages check
	@tools/make-build build-faults -Dtests=true -Dbench=false -Dprograms=false -Dexamples=false
	@tools/run-faults build-faults

interop:
	@tools/install-packages check
	@tools/make-build build-faults -Dtests=true -Dbench=false -Dprograms=false -Dexamples=false
	@BROOD_TEST_LONG=1 meson test -C build-faults --suite interop --num-processes 1 --timeout-multiplier 10 --verbose

bench:
	@tools/install-packages bench
	@tools/make-build build-bench -Dtests=false -Dbench=true -Dbuildtype=release
	@BENCH='$(BENCH)' bench/run build-bench

scan:
	@tools/install-packages scan
	@tools/scan

install:
	@tools/install-packages install
	@tools/make-build build $(BUILD_OPTIONS) -Dprefix='$(PREFIX)'
	@DESTDIR='$(DESTDIR)' meson install -C build --no-rebuild --quiet
	@test -n '$(DESTDIR)' || /sbin/ldconfig 2>/dev/null || true

clean:
	rm -rf build build-*
