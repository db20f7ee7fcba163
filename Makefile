# Each target does the set-up that it needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
SAM := .tools/sam/bin/sam
CHECKOV := .tools/checkov/bin/checkov
export SAM_CLI_TELEMETRY := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Empty is off: what many processes import in turn is compiled once.
export PYTHONDONTWRITEBYTECODE :=
# One set of locked requirements, installed with uv where there is one and with pip where there is none. What is started
# often is compiled once, as pip does by itself: PYTHONDONTWRITEBYTECODE may be set.
define install
	@python=$$(.ci/find-python) || exit 2; \
	if command -v uv >/dev/null 2>&1; then \
	  uv venv -q --clear --python "$$python" $(1) && VIRTUAL_ENV=$(1) uv pip sync -q $(3) --python $(1)/bin/python --require-hashes $(2); \
	else \
	  "$$python" -m venv --clear $(1) && $(1)/bin/python -m pip install -q --no-deps --require-hashes -r $(2); \
	fi
endef

.PHONY: help setup check check-types check-templates check-tests test test-deploy rehearse rehearse-all record build release diagrams clean lock

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

setup: $(BIN)/relight ## the environment that everything else uses (done by itself where needed)

# The real runtime emulator comes with SAM CLI, which `--lambda sam` needs, too; the runtime client from a set of its own.
RIE := $(if $(findstring rie,$(ARGS)),$(SAM) .tools/lambda-runtime/.installed)$(if $(findstring sam,$(ARGS)),$(SAM))

rehearse: $(BIN)/relight $(RIE) ## lose a Region on this machine and watch the other one come up; ARGS="--help" for more
	@$(BIN)/relight rehearse $(ARGS)

# One function in a container, by SAM CLI, against a rehearsal that is kept running in another terminal.
local-invoke: $(BIN)/relight $(SAM) ## one function against a kept rehearsal, in a container; FN=assess EVENT=events/alarm-primary-down.json, REGION=primary for the other side
	@$(BIN)/python -m lab.local_invoke "$(FN)" "$(EVENT)" $(if $(REGION),--region "$(REGION)")

local-env: $(BIN)/relight $(SAM) ## env.json of a kept rehearsal for `sam local` by hand, and the way there until Ctrl-C; REGION=primary
	@$(BIN)/python -m lab.environment_file $(if $(REGION),--region "$(REGION)")

rehearse-all: $(BIN)/relight ## every fault once (three quarters of an hour, a third of it 20 switchovers), and docs/rehearsals.md from it; ARGS="--only a,b" for some
	@$(BIN)/python -m lab.rehearsals $(ARGS)

record: $(BIN)/relight ## a rehearsal, recorded as docs/rehearsal.svg
	@$(BIN)/python -m lab.recording $(ARGS)

check: check-types check-templates check-tests ## format, lint, types, templates, permissions, definitions (with -j2 in half the time)

check-types: $(BIN)/relight
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check-templates: $(BIN)/relight $(SAM) $(CHECKOV)
	$(BIN)/cfn-lint
	$(SAM) validate --lint --template template.yaml --region eu-west-1
	$(CHECKOV) --config-file .checkov.yaml --file template.yaml stacks/*.yaml

check-tests: $(BIN)/relight $(SAM)
	$(BIN)/pytest -n 2 -m "not deploy" tests/template tests/permissions tests/statemachine/test_definition.py

test: $(BIN)/relight $(SAM) .tools/lambda-runtime/.installed ## the tests but the long ones (`make rehearse-all` has those); ARGS="-k name" for some
	$(BIN)/pytest -n 2 -m "not deploy and not long and not sam_local" $(ARGS)

test-deploy: $(BIN)/relight $(SAM) ## the tests that deploy in the lab, with the real SAM CLI (minutes)
	$(BIN)/pytest -n 2 -m deploy $(ARGS) $$(grep -rlE "mark\.deploy" tests)

test-sam-local: $(BIN)/relight $(SAM) ## the tests of the packaging, in containers by `sam local` (Docker); skipped without, and in CI that fails
	$(BIN)/pytest -n 0 -m sam_local $(ARGS) tests/sam_local

build: $(SAM) ## the deployable artefacts, as `sam deploy` takes them
	$(SAM) build

release: $(BIN)/relight ## what the instances run, as one archive for S3; ARCH=x86_64 (default: arm64)
	$(BIN)/python -m app.release.build $(if $(ARCH),--arch $(ARCH)) $(ARGS)

diagrams: $(BIN)/relight ## draw the diagrams of the docs from what they show
	@$(BIN)/python -m lab.drawing

clean: ## what make and sam have built
	rm -rf $(VENV) .tools .aws-sam build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## compile requirements/*.in anew (needs uv)
	@for name in runtime dev app sam checkov lambda-runtime; do \
	  uv pip compile -q --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-header \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	cp requirements/runtime.txt layers/relight/requirements.txt

$(BIN)/relight: requirements/dev.txt pyproject.toml
	$(call install,$(VENV),requirements/dev.txt,--compile-bytecode)
	@if command -v uv >/dev/null 2>&1; then uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else $(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .; fi
	@touch $(BIN)/relight

$(SAM): requirements/sam.txt
	@mkdir -p .tools
	$(call install,.tools/sam,requirements/sam.txt,--compile-bytecode)
	@touch $(SAM)

$(CHECKOV): requirements/checkov.txt
	@mkdir -p .tools
	$(call install,.tools/checkov,requirements/checkov.txt)
	@touch $(CHECKOV)

.tools/lambda-runtime/.installed: requirements/lambda-runtime.txt
	@mkdir -p .tools
	$(call install,.tools/lambda-runtime,requirements/lambda-runtime.txt)
	@touch $@
