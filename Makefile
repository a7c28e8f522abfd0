# The verbs of this repository. Everything else is a flag of one of these.
.PHONY: help demo image test nightly soak bench machines lint build verify release sign

SHELL := bash
GO ?= go
# One way to compile everything but the race tests, so that Go's cache serves
# the lab, the checks and what is shipped alike. Static programs run on any
# Linux image.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false $(GOFLAGS)
# Packages that boot real machines run one after another and without the race
# detector: two clusters at once on two cores measure each other.
MACHINES := ./lab/machine/... ./lab/cluster/... ./lab/demo/... ./lab/masters/... ./lab/attack/... ./lab/lifecycle/... ./lab/storm/... ./lab/bakery/... ./lab/packer/... ./lab/account/...

# What is run a second time with a simulated AWS that does all that real AWS does
# at its worst.
HARSH := ./agent/... ./autoscaler/act ./autoscaler/asg ./cmd/joinery-controller ./controlplane/adopt ./controlplane/attest ./controlplane/awscalls ./controlplane/bundle ./controlplane/csr ./controlplane/doctor ./controlplane/hooks/... ./controlplane/images ./controlplane/labels ./controlplane/nodes ./controlplane/release ./controlplane/token ./deploy/iam ./internal/binding/binder ./internal/fleet/... ./lab/soak/invariant

help: ## show this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 10

demo: ## run the whole story on this machine; KEEP=1 leaves the cluster up
	@$(GO) run ./cmd/joinery-lab demo $(if $(KEEP),--keep)

image: ## bake an image with the real packer in the simulated AWS, and boot it
	$(GO) run ./cmd/joinery-lab prepare --packer
	$(GO) test -count=1 -v -timeout 20m ./lab/packer

test: verify ## everything: checks, unit tests, simulated AWS, real machines
	@# OpenTofu compiles for minutes where it is not cached: not in a test's time.
	cd deploy/terraform/check && $(GO) tool -n tofu >/dev/null && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) test ./...
	@# verify has vetted everything: tests do it again for each way to compile.
	CGO_ENABLED=1 $(GO) test -race -vet=off -timeout 20m $$($(GO) list ./... | grep -vE '/lab/(machine|cluster|demo|masters|attack|lifecycle|storm|bakery|packer|account|companions)(/|$$)|/lab/soak$$')
	JOINERY_HARSH=1 $(GO) test -vet=off -timeout 20m $(HARSH)
	$(GO) test -run Alloc ./autoscaler/...
	$(GO) test -timeout 20m -run 'Test(Random|Liar)Worlds' ./autoscaler/loop -seeds 200
	@# Helm, too, takes minutes. -count=1: Go's cache of test results does not see files
	@# outside of a module.
	cd deploy/render && $(GO) tool -n helm >/dev/null && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) test -count=1 ./...
	cd packer/packer-plugin-joinery && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) test -count=1 ./...
	cd bench && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) test ./...
	cd release && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) test -count=1 $$($(GO) list ./... | grep -vE '/(install|guide)$$')
	@if why=$$($(GO) run ./cmd/joinery-lab ready); then $(MAKE) --no-print-directory machines; \
	else echo "LEFT OUT: the tests on real machines: $$why"; test "$$CI" != true; fi

nightly: ## the long forms of what test does briefly: a thousand months of rotation, ten thousand random worlds, the stories of the lab under a harsh AWS, attacks to their end, images of every release, Kubernetes upgraded and etcd restored, load with HPA and VPA, a storm of faults, a release from nothing
	$(GO) test -timeout 60m -run TestRotationDays ./controlplane/token -seeds 1000
	JOINERY_HARSH=1 $(GO) test -count=1 -timeout 20m ./autoscaler/loop
	$(GO) run ./cmd/joinery-lab prepare
	JOINERY_HARSH=1 $(GO) test -count=1 -p 1 -timeout 60m ./lab/demo ./lab/lifecycle ./lab/storm ./lab/masters
	$(GO) test -timeout 180m -run TestRandomWorlds ./autoscaler/loop -seeds 10000
	$(GO) test -timeout 60m -run TestWorldsFindMutants ./autoscaler/loop -mutants
	$(GO) test -count=1 -timeout 20m ./lab/attack -patient
	$(GO) test -count=1 -timeout 40m ./lab/bakery -releases
	$(GO) run ./cmd/joinery-lab prepare --maintenance
	cd release && $(GO) test -count=1 -timeout 40m ./guide -run TestMaintenance -maintain
	$(GO) run ./cmd/joinery-lab prepare --companions
	$(GO) test -count=1 -v -timeout 25m ./lab/companions
	$(MAKE) --no-print-directory soak
	cd release && $(GO) test -count=1 -timeout 60m . -cold

soak: ## half an hour of faults of 78 kinds on a real cluster; SEED=n repeats a run, FOR=5m shortens it
	$(GO) run ./cmd/joinery-lab prepare
	$(GO) test -count=1 -v -timeout 90m ./lab/soak $(if $(SEED),-seed $(SEED)) $(if $(FOR),-for $(FOR))

bench: ## the planners beside Karpenter's: one table, and _out/bench.json (15 min)
	cd bench && $(GO) run . -out ../_out/bench.json

machines: # the part of test that boots machines
	$(GO) run ./cmd/joinery-lab prepare --packer
	$(GO) test -count=1 -p 1 -timeout 40m $(MACHINES)
	cd release && $(GO) test -count=1 -p 1 -timeout 20m ./install ./guide

lint: ## static analysis, with the tools that go.mod pins
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

build: ## bin/: what is shipped
	$(GO) build -buildvcs=auto -ldflags "-s -w" -o bin/ ./cmd/joinery ./cmd/joinery-agent ./cmd/joinery-controller

release: ## dist/: packages, archives, bills of materials, checksums; the same bytes for everyone
	cd release && $(GO) run . build

sign: ## sign dist/ with KEY, a file with an armored OpenPGP private key
	@test -n "$(KEY)" || { echo "make sign KEY=file"; exit 1; }
	cd release && $(GO) run . sign --key $(abspath $(KEY))

verify: lint ## formatting, pinned modules, generated files
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(GO) mod tidy -diff
