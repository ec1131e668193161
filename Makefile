# make help lists the commands.
GOFUMPT     = go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
LDFLAGS     = -s -w
FUZZTIME   ?= 10m
# The race detector needs cgo, and so a C compiler, where Go has found one.
RACE        = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: build
build: ## the three programs, into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: check
check: format vet lint house docs-check quick ## format, vet, staticcheck, import rules, generated pages, unit tests

.PHONY: format
format:
	@out=$$($(GOFUMPT) -l bench cmd docs internal test); test -z "$$out" || { echo "not formatted (make fmt):"; echo "$$out"; exit 1; }

.PHONY: fmt
fmt: ## format the code
	$(GOFUMPT) -w bench cmd docs internal test

.PHONY: vet
vet:
	go vet ./...
	go vet -tags peers ./test/...
	GOOS=darwin go build ./...

.PHONY: lint
lint:
	$(STATICCHECK) ./...

.PHONY: house
house:
	go test -count=1 ./test/house

.PHONY: docs
docs: ## write the generated pages of docs/
	go run ./docs/gen

.PHONY: docs-check
docs-check:
	go run ./docs/gen -check

.PHONY: quick
quick:
	go test -short ./...

.PHONY: test
test: ## all tests that need only Go
	go test $(RACE) ./...
	go test -tags poison ./internal/proxy/...
	go test -run xxx -bench . -benchtime 1x ./internal/... ./bench/... > /dev/null

.PHONY: golden
golden: ## write what the code gives into the golden files; read the diff
	go test ./internal/translate ./internal/source ./internal/observe -update

.PHONY: peers
peers: ## tests against nginx, HAProxy, curl and wrk, which must be installed
	go test -tags peers -count=1 -timeout 30m ./test/peers/...
	go test -count=1 -run TestSwapsUnderLoad ./internal/proxy -swap.for=30s

# TEST=HTTPRouteMatching narrows it. The log of the tests is beside the table.
CONFORMANCE = $(CURDIR)/.cache/conformance-fast
.PHONY: conformance-fast
conformance-fast: ## the Gateway API's conformance tests without a cluster, in seconds; needs root on Linux
	@mkdir -p .cache && rm -f $(CONFORMANCE).txt
	@cd test/conformance && if go test -count=1 -v -parallel 16 -timeout 15m -run 'TestConformance/suite/$(TEST)' . \
	  -args -table $(CONFORMANCE).txt -cache $(CURDIR)/.cache > $(CONFORMANCE).log 2>&1; \
	then cat $(CONFORMANCE).txt; \
	else cat $(CONFORMANCE).txt || tail -n 50 $(CONFORMANCE).log; echo "the log is $(CONFORMANCE).log"; exit 1; fi

.PHONY: bench
bench: ## measure beside nginx and HAProxy: about 20 minutes on two cores
	go run ./bench

.PHONY: bench-quick
bench-quick:
	go run ./bench -quick

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 10m each)
	@for pkg in $$(go list ./internal/...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; go test -run xxx -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$pkg || exit 1; \
	  done; \
	done
