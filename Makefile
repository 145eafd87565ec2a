# make demo: the main job before your eyes.  make test: everything.  Both install what is missing.
.DEFAULT_GOAL := build
.PHONY: build port system-header clean-port clean demo test clean-room docs swift-test lint format ct xref dialyzer fuzz install-setuid install-caps uninstall bench soak sanitize

SHELL := /bin/sh
PORT := priv/procket
PORT_SOURCES := Package.swift $(shell find Sources -type f)
# Where ei is, when it is not on the default paths.
EI_FLAGS = $(shell scripts/ei-flags)
SWIFT_FLAGS = $(EI_FLAGS)
LINK_FLAGS = $(shell scripts/link-flags)
# The compiler of filter expressions is built where libpcap is, unless PROCKET_WITHOUT_PCAP says otherwise. A target that installs
# packages finds it afterwards: so the variable goes to each run of Swift, and not to every process.
HASH := \#
FILTER = $(if $(PROCKET_WITHOUT_PCAP),,$(shell echo '$(HASH)include <pcap.h>' | cc -E - >/dev/null 2>&1 && echo priv/procket-filter))
SWIFT = $(if $(FILTER),,PROCKET_WITHOUT_PCAP=1 )swift
SWIFT_BUILD = $(SWIFT) build --quiet -c release --static-swift-stdlib $(LINK_FLAGS) $(SWIFT_FLAGS)
# Debian's Swift has no library of Testing's for Foundation, which the generated runner of the tests imports; none of them needs it.
SWIFT_TEST = $(SWIFT) test -Xswiftc -Xfrontend -Xswiftc -disable-cross-import-overlays $(SWIFT_FLAGS)

build: deps-build
	rebar3 compile

# The port program. rebar3's compile hook calls this.
$(PORT): $(PORT_SOURCES)
	@scripts/require swift ei
	$(SWIFT_BUILD) --product procket
	@$(call install,$(PORT))

priv/procket-filter: $(PORT_SOURCES) | $(PORT)
	$(SWIFT_BUILD) --product procket-filter
	@$(call install,$@)

# Puts an executable where Erlang finds it, without a moment in which it is half there.
install = mkdir -p priv && \
  cp "$$($(SWIFT) build -c release --static-swift-stdlib --show-bin-path)/$(notdir $(1))" $(1).new && mv $(1).new $(1)

port: system-header $(PORT) $(FILTER)

# The system that the Erlang headers are for. As they stand that is Linux, where nothing is written.
SYSTEM = $(shell uname -s | tr A-Z a-z)
system-header:
	@for header in include/procket_system.hrl erlang/include/procket_system.hrl; do \
	  grep -q '(PROCKET_SYSTEM, $(SYSTEM))' $$header || { \
	    sed 's/(PROCKET_SYSTEM, .*)/(PROCKET_SYSTEM, $(SYSTEM))/' $$header >$$header.new && mv $$header.new $$header; } || exit 1; \
	done

clean-port:
	rm -rf priv/procket priv/procket-filter .build

clean:
	rebar3 clean

# Debian's packages, where something is missing for the purpose: deps-build, deps-demo, deps-test, deps-fuzz, deps-docs, deps-clean-room.
deps-%:
	@scripts/install-deps $*

# With what OTP brings: rebar3 is not needed for it.
demo: deps-demo
	@$(MAKE) -s $(PORT)
	@erlang/examples/demo

test: deps-test
	@scripts/test

# Both commands on a bare Debian: SUITE=bookworm, trixie or sid. As root.
SUITE = bookworm
clean-room: deps-clean-room
	@scripts/clean-room $(SUITE)

# HTML into doc/: EDoc, and the pages in Markdown. And what h/1 of the shell shows.
docs: deps-docs
	rebar3 edoc
	rebar3 as chunks edoc
	scripts/docs

swift-test:
	$(SWIFT_TEST)

lint:
	swift format lint --strict --recursive Sources Tests Benchmarks Package.swift

format:
	swift format -i --recursive Sources Tests Benchmarks Package.swift

ct:
	rebar3 ct

xref:
	rebar3 xref

dialyzer:
	rebar3 dialyzer

# Mutated inputs for each of TARGETS: RUNS of them, of the slower targets less, or for MINUTES.
fuzz: deps-fuzz
	@scripts/fuzz $(RUNS)

# A copy of the port program that has rights: docs/security.md. PREFIX, DESTDIR, GROUP, CAPS.
export PREFIX DESTDIR CAPS
install-setuid: $(PORT)
	@scripts/install setuid $(GROUP)

install-caps: $(PORT)
	@scripts/install caps $(GROUP)

uninstall:
	@scripts/install remove

bench: build
	$(SWIFT_BUILD) --product procket-echo
	$(SWIFT_BUILD) --product procket-flood
	@erlang/bench/run "$$($(SWIFT) build -c release --static-swift-stdlib --show-bin-path)"

# Everything at full speed, with a fault each second.
MINUTES = 10
soak: build
	@erlang/bench/soak $(MINUTES)

# The Swift tests and the fuzzer with the address and the undefined behaviour sanitizer. The latter is for what is in C: Swift stops at
# undefined behaviour by itself, and has no such sanitizer on Linux. Its runtime is part of the other's. There are no threads.
# Leaks are not looked for: XCTest and the Swift runtime have some at exit.
sanitize: deps-test
	ASAN_OPTIONS=detect_leaks=0 $(SWIFT_TEST) --sanitize address -Xcc -fsanitize=undefined -Xcc -fno-sanitize-recover=all \
	  --scratch-path .build/sanitize
	$(MAKE) fuzz
