# What a person needs: Go (the version in go.mod or later), make and git.
# VNREPLAY_REQUIRE_TOOLS=1 makes a missing tool (a C compiler, tshark, QEMU) a
# failure instead of a printed skip.

GO       ?= go
FUZZTIME ?= 10s

.DEFAULT_GOAL := help

.PHONY: help build demo test race fuzz lint bench bench-peers test-peers clean replay-matrix mutation-matrix

help:
	@echo 'make build   the binary, bin/vnreplay (static, no cgo)'
	@echo 'make demo    record, break, verify and replay a conversation'
	@echo 'make test    all tests; those that need tshark or tcpdump are skipped without it'
	@echo 'make race    all tests but fixtures/ under the race detector (needs a C compiler)'
	@echo 'make fuzz    every fuzz target for FUZZTIME=$(FUZZTIME)'
	@echo 'make lint    gofmt, go vet, staticcheck, and who may import whom'
	@echo 'make bench   all benchmarks'
	@echo 'make bench-peers      vnreplay beside its peers; ARGS chooses: see docs/performance.md'
	@echo 'make test-peers       each of these measurements once, tiny'
	@echo 'make replay-matrix    replay every fixture with every side live, and print the outcome'
	@echo 'make mutation-matrix  replay against changed live sides, harmful and harmless, and print it'
	@echo 'make clean   remove what the others left in bin/ and out/'

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/vnreplay ./cmd/vnreplay

demo: build
	@mkdir -p out
	bin/vnreplay demo -w out/demo.pcapng

test:
	$(GO) test ./...

# The race detector is the one thing here that cannot be built without cgo. fixtures/ is
# left out: its tests hold whole runs in virtual time, of packages that are tested here
# anyway, against other tools, and take a quarter of an hour under it.
race:
	@if command -v "$$($(GO) env CC)" >/dev/null 2>&1; then \
	  packages=$$($(GO) list ./... | grep -v /fixtures) && \
	  echo 'CGO_ENABLED=1 $(GO) test -race' $$packages && \
	  CGO_ENABLED=1 $(GO) test -race $$packages; \
	elif [ "$$VNREPLAY_REQUIRE_TOOLS" = 1 ]; then \
	  echo "race: no C compiler ($$($(GO) env CC)): install gcc" >&2; exit 1; \
	else \
	  echo "race: skipped: no C compiler ($$($(GO) env CC)); install gcc to run it"; \
	fi

fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$pkg"; \
	  done; \
	done

lint: bin/staticcheck
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); if [ -n "$$unformatted" ]; then \
	  echo "not formatted (gofmt -w):" >&2; echo "$$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	cd tools && $(GO) vet ./... && $(GO) test ./...
	cd tools && $(GO) run ./imports
	bin/staticcheck ./...

bin/staticcheck: tools/go.mod tools/go.sum
	cd tools && CGO_ENABLED=0 $(GO) build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# ARGS: groups and flags of bench/main.go. As root, the kernel is among the peers.
ARGS ?=

bench-peers:
	cd bench && $(GO) run . $(ARGS)

test-peers:
	cd bench && $(GO) vet ./... && $(GO) test ./...

clean:
	rm -rf bin out

# Both check what they print; -update rewrites it: go test ./replay -run 'TestMatrix|TestMutationMatrix' -update
replay-matrix:
	$(GO) test ./replay -run '^TestMatrix$$' -count=1
	@cat replay/testdata/matrix.golden

mutation-matrix:
	$(GO) test ./replay -run '^TestMutationMatrix$$' -count=1
	@cat replay/testdata/mutations.golden
