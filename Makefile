# Two commands matter: `go run ./cmd/merakid -sandbox` and `make test`.

# Where the vendor's OpenAPI document lies. It is not part of this repository;
# proto/SPEC says which version is meant, and its sha256.
SPEC ?= $(firstword $(wildcard ../shared/meraki/openapi-*.json.gz) .bin/openapi.json)

# Where older releases of it lie, for the test that a contract lives through them.
SPEC_OLDER ?= $(firstword $(wildcard ../shared/meraki/older) .bin/older)

# What the protos must not break: the contract as the lock began, and the main
# branch as last published, where that began with the same.
BASELINE := proto/baseline.binpb.gz
AGAINST ?= $(shell git diff --quiet origin/main -- $(BASELINE) 2>/dev/null && git rev-parse -q --verify origin/main)

# How long each fuzz target runs in `make test`.
FUZZTIME ?= 3s

# How long `make soak` runs.
SOAKTIME ?= 5m

# How many changes `make mutants` makes, and which sample of them.
MUTANTS ?= 400
MUTANTS_SEED ?= 1

BUF_VERSION := v1.59.0
BIN := $(CURDIR)/.bin
BUF := $(BIN)/buf-$(BUF_VERSION)

# Ours: everything but the generated packages, which hold nothing to test.
OURS := ./cmd/... ./service/... ./ratelimit/... ./examples/... ./deploy/...

.PHONY: run test soak setup check unit document mutations fuzz generate configuration generated breaking baseline stubs examples manifests mesh clients page screenshots profile cpp rust

run:
	go run ./cmd/merakid -sandbox

# Helm is compiled, a minute and a half, while the proxies and the clients wait for one
# another.
test: setup check unit document fuzz
	nice -n 19 sh deploy/helm-tool .bin >/dev/null & helm=$$!; $(MAKE) mesh clients page && wait $$helm
	$(MAKE) examples manifests

setup: $(BUF) $(SPEC)
	sh .ci/setup

$(BUF): Makefile
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)
	mv $(BIN)/buf $(BUF)

.bin/openapi.json:
	sh .ci/spec $@

.bin/older:
	sh .ci/spec $@ 1.42.0 1.72.0

check: $(BUF) generated breaking
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -pgo=off -tags openapi,mesh,soak,clients,page,screenshots $(OURS)
	go vet -pgo=off -tags xds ./cmd/merakid
	go tool preprofile -i cmd/merakid/default.pgo -o /dev/null # what every build of the daemon begins with; the tests' builds do without
	go tool staticcheck -tags openapi,mesh,soak,clients,page,screenshots $(OURS)
	$(BUF) lint

# The generator has no goroutines: its tests, which take a minute and a half with the
# race detector, run in document, all of them.
unit:
	go test -race -pgo=off $$(go list $(OURS) | grep -v /cmd/merakigen) # the race detector and the profile together compile everything once more
	go test -pgo=off -tags xds -run Wrong ./cmd/merakid

# Where the daemon's time goes, for the compiler, which takes default.pgo from there
# by itself: 4 to 5 % of a call. To be made anew when the way of a call has changed.
profile:
	go run ./cmd/merakibench -scenario small-calls -profile cmd/merakid/default.pgo

# The vendor's document is the judge of the contract.
document: $(BUF) $(SPEC) $(SPEC_OLDER)
	BUF=$(BUF) MERAKI_OPENAPI_OLDER=$(abspath $(SPEC_OLDER)) MERAKI_OPENAPI=$(abspath $(SPEC)) go test -tags openapi ./cmd/merakigen/... ./service/transcode/...
	MERAKI_OPENAPI=$(abspath $(SPEC)) go test -tags openapi -run TestEveryRPC ./service

# The document's examples, each changed a hundred times at random, have to come back
# from the wire as they were, and so have as many documents of any shape and spelling
# for each RPC. `make document` makes a few of each.
mutations: $(SPEC)
	MERAKI_OPENAPI=$(abspath $(SPEC)) go test -tags openapi -count=1 -run TestMutated ./service/transcode -v -args -mutations 100

fuzz:
	sh .ci/fuzz $(FUZZTIME)

# A list of 5,000 writes, a Dashboard that fails one request in ten, and a replica that is
# killed in the middle, LISTRUNS times. A run takes minutes; test makes it with few writes.
LISTRUNS ?= 30
.PHONY: lists
lists:
	go test -pgo=off -count=$(LISTRUNS) -timeout 0 -run TestAListIsTakenOver ./cmd/merakid -v -args -list-writes 5000

# Random calls, deadlines, callers who leave, and a Dashboard that fails, for SOAKTIME:
# nothing may grow, and nothing may end as a failure of the broker's own. Not part of test.
soak:
	go test -race -pgo=off -count=1 -tags soak -timeout 0 -run TestSoak ./service -v -args -soak $(SOAKTIME)

# Changes the code in MUTANTS places, one at a time, and wants a test to notice 85 % of
# the changes. It takes hours, so it is not part of test; a run in parts is made with
# `go run ./cmd/internal/mutants -skip`.
.PHONY: mutants
mutants:
	nice -n 19 go run ./cmd/internal/mutants -n $(MUTANTS) -seed $(MUTANTS_SEED)

# Wipes and rebuilds everything that a machine writes: the sections' protos from
# the document, gen/ from the protos, and what docs/ count of them.
generate: $(BUF) $(SPEC)
	go run ./cmd/merakigen -spec $(SPEC)
	$(BUF) generate
	go run ./cmd/merakigen -descriptors gen/descriptors
	go run ./cmd/merakigen -docs docs

# Writes what is made of the fields of merakid's configuration: its schema, the chart's,
# docs/configuration.md. A test of the generator's says whether they are current.
configuration:
	go generate ./cmd/internal/config

# Says whether what is committed is what would be generated.
generated: $(BUF) $(SPEC)
	$(MAKE) generate
	test -z "$$(git status --porcelain -- proto gen)" || { git status --porcelain -- proto gen | head; echo "generated code is out of date: run make generate and commit"; exit 1; }

breaking: $(BUF)
	$(BUF) breaking --exclude-imports --against $(BASELINE)
	test -z "$(AGAINST)" || $(BUF) breaking --exclude-imports --against '.git#ref=$(AGAINST)'

# Begins the lock anew. Until the first release, and then never again.
baseline: $(BUF)
	$(BUF) build -o $(BASELINE) --exclude-source-info

# Packages of the stubs, into dist/.
stubs: stubs-python stubs-typescript stubs-java

stubs-%: $(BUF)
	BUF=$(BUF) sh deploy/stubs/$*/build dist .bin/stubs

# The programs in examples/ against the broker, each with the package as built and
# nothing else.
examples: stubs $(BUF)
	BUF=$(BUF) sh examples/run dist .bin go cpp python typescript java

# Is every package C++, for Debian's g++? Not part of test: it takes minutes.
cpp: $(BUF)
	BUF=$(BUF) sh examples/cpp/build check .bin/cpp

# Does every package compile for tonic? Not part of test: it takes minutes.
rust: $(BUF)
	BUF=$(BUF) sh examples/rust/build .bin/rust

# Holds the chart and the manifests against the tools that read them.
manifests:
	sh deploy/check .bin

# Real Envoys on both sides of the broker, and proxies that unescape behind it.
mesh:
	sh deploy/tools .bin
	go build -pgo=off -o .bin/deploy/merakid ./cmd/merakid
	ENVOY=$(BIN)/deploy/venv/bin/envoy NGINX_BINARY=$$(PATH=$$PATH:/usr/sbin command -v nginx) MERAKID=$(BIN)/deploy/merakid go test -tags mesh -count=1 ./deploy/mesh

# The clients that users have, against the REST face.
clients:
	sh deploy/rest/tools .bin
	mkdir -p .bin/deploy
	go build -pgo=off -o .bin/deploy/merakid ./cmd/merakid
	CLIENTS=$(BIN)/rest MERAKID=$(BIN)/deploy/merakid go test -tags clients -count=1 ./deploy/rest

# The page for operators, in a real Chromium.
page: .bin/deploy/merakid-page
	AXE=$(BIN)/page/node_modules/axe-core MERAKID=$(BIN)/deploy/merakid go test -pgo=off -tags page -count=1 ./deploy/page

# Takes the screenshots of docs/. Not part of test: a picture is never the same twice.
screenshots: .bin/deploy/merakid-page
	SCREENSHOTS=$(CURDIR)/docs MERAKID=$(BIN)/deploy/merakid go test -pgo=off -tags screenshots -count=1 ./deploy/page

.PHONY: .bin/deploy/merakid-page
.bin/deploy/merakid-page:
	sh .ci/setup
	sh deploy/page/tools .bin
	mkdir -p .bin/deploy
	go build -pgo=off -o .bin/deploy/merakid ./cmd/merakid
