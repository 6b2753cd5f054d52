# A thin face over CMake. Every target first installs the Debian packages that it lacks; see scripts/install-dependencies.

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 30
JOBS ?= $(shell nproc)
export FUZZ_SECONDS JOBS

# The summary of dev, the build without sanitizers, closes the run.
TEST_PRESETS := tsan asan dev
TEST_TARGETS := $(TEST_PRESETS:%=test-%)

.DEFAULT_GOAL := build
.PHONY: build demo demo-phoenix demo-fleet test $(TEST_TARGETS) test-platforms test-kernel amalgamation bench soak lint fuzz install deb clean help
.NOTPARALLEL:

build:
	@scripts/install-dependencies build
	@cmake --preset release
	@cmake --build --preset release -j $(JOBS)

demo: build
	@scripts/demo build/release/bin/paddock

demo-fleet: build
	@scripts/demo-fleet build/release/bin/paddock

demo-phoenix: build
	@scripts/demo-phoenix build/release/bin/paddock

test:
	@scripts/install-dependencies test
	@scripts/test $(TEST_PRESETS)

$(TEST_TARGETS): test-%:
	@scripts/install-dependencies test
	@scripts/test $*

test-platforms: build
	@scripts/test-platforms $(PLATFORMS)

test-kernel:
	@scripts/install-dependencies test
	@cmake --preset dev
	@cmake --build --preset dev -j $(JOBS)
	@scripts/try-kernel

amalgamation:
	@scripts/amalgamate build/amalgamation
	@echo 'build/amalgamation/qcmp.c and qcmp.h'

bench: build
	@scripts/install-dependencies bench
	@scripts/bench build/release/bin

soak: build
	@PADDOCK=$(CURDIR)/build/release/bin/paddock python3 tests/soak/soak.py $(SOAK_MINUTES)

lint:
	@scripts/install-dependencies lint
	@cmake --preset dev
	@cmake --build --preset dev --target paddock_generated
	@scripts/lint build/dev

fuzz:
	@scripts/install-dependencies fuzz
	@cmake --preset fuzz
	@scripts/fuzz build/fuzz

install:
	@scripts/install-dependencies install
	@$(MAKE) --no-print-directory build
	@DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

deb:
	@scripts/install-dependencies deb
	@scripts/make-deb
	@scripts/try-deb || [ $$? -eq 77 ]

clean:
	@rm -rf build

help:
	@echo 'make            build libqcmp and the programs into build/release/ (programs in build/release/bin/)'
	@echo 'make demo       two game servers, a proxy before them, two players, and pings; all on loopback'
	@echo 'make demo-fleet      an agent, a relay, two proxies and a player, and a server that is added; all on loopback'
	@echo 'make demo-phoenix    three data centres, a proxy that measures them, and what a player sees; all on loopback'
	@echo 'make test       build and run every test: ThreadSanitizer, AddressSanitizer, then without'
	@echo '                (one alone: make test-tsan, make test-asan, make test-dev)'
	@echo 'make test-platforms  build and run libqcmp and its tests for Windows, macOS, the BSDs and other processors'
	@echo 'make test-kernel     run the tests of XDP under the kernel of Debian 12, in a virtual machine'
	@echo 'make amalgamation    write libqcmp as two files, build/amalgamation/qcmp.c and qcmp.h'
	@echo 'make bench      measure the responder and write docs/performance.md (about 15 minutes, best on an idle machine)'
	@echo 'make soak       load, reload and disturb a service for SOAK_MINUTES=30 minutes, and see what is left of it'
	@echo 'make lint       layout, static analysis, the layer, registration and link checks'
	@echo 'make fuzz       run each fuzz harness for FUZZ_SECONDS=60 seconds'
	@echo 'make install    install below PREFIX=/usr/local, inside DESTDIR where that is set'
	@echo 'make deb        build Debian packages into build/deb/, and try them in a new Debian 12 where that can be made'
	@echo 'make clean      remove build/'
