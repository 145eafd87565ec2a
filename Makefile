# make demo: the main job before your eyes.  make test: everything.  Both install what is missing.
.DEFAULT_GOAL := build
.PHONY: build demo test bench port docs clean clean-port deps swift-test ct dialyzer xref format lint

SHELL := /bin/sh
PORT := priv/procket
PORT_SOURCES := Package.swift $(shell find Sources -type f)
# Where ei is, when it is not on the default paths.
EI_FLAGS = $(shell scripts/ei-flags)
SWIFT_FLAGS = $(EI_FLAGS)

build: deps
	rebar3 compile

# The port program. rebar3's compile hook calls this.
$(PORT): $(PORT_SOURCES)
	@scripts/require swift ei
	swift build --quiet -c release --static-swift-stdlib --product procket $(SWIFT_FLAGS)
	@mkdir -p priv
	@cp "$$(swift build -c release --static-swift-stdlib --show-bin-path)/procket" $(PORT).new
	@mv $(PORT).new $(PORT)

port: $(PORT)

clean-port:
	rm -rf priv/procket .build

clean:
	rebar3 clean

# Debian's packages, where something is missing.
deps:
	@scripts/install-deps

demo: build
	@erlang/examples/demo

test: deps
	@scripts/test

# HTML into doc/: EDoc, and the pages in Markdown.
docs:
	rebar3 edoc
	scripts/docs

swift-test:
	swift test $(SWIFT_FLAGS)

lint:
	swift format lint --strict --recursive Sources Tests Package.swift

format:
	swift format -i --recursive Sources Tests Package.swift

ct:
	rebar3 ct

xref:
	rebar3 xref

dialyzer:
	rebar3 dialyzer

# 5,000,000 mutated inputs, or RUNS=…
fuzz: deps
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
	@erlang/bench/run
