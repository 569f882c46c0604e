# `make serve` and `make test` do all the set-up that they need; `make` alone lists the rest.

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
WEB := appliance/web
CLIENTS := tests/e2e/clients
PYZ := dist/appliance.pyz

# The zipapp unpacks itself once per build: here, not in the home folder, so that `make clean` finds it.
export SHIV_ROOT := $(CURDIR)/build/unpacked

CORES := $(shell getconf _NPROCESSORS_ONLN)

# What is imported by thousands of tests, in many processes, is compiled once; and of what is installed, nothing else.
unexport PYTHONDONTWRITEBYTECODE
export PIP_COMPILE := 0

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

.PHONY: serve
serve: $(PYZ) ## Run the appliance; ARGS="--listen tls://127.0.0.1:9443" is passed on
	@exec $(BIN)/python $(PYZ) serve $(ARGS)

# Many tests mostly wait, so that more may run at once than there are cores. Those that hold thousands of clients to their
# intervals come when the others are done. The two that take longest wait for most of a minute, so that there is room for
# one more beside them. Each process is given two files at once: the second is the shorter, the longer the first.
CROWDS := $(addprefix tests/e2e/test_,many_clients.py four_families.py plugin_churn.py attacks.py resume_crowd.py postgres_load.py store_load.py)
PYTEST := $(BIN)/python -m pytest --quiet --timeout=300 --dist=loadfile --no-loadscope-reorder

.PHONY: test
test: ## Check and test everything
	@$(MAKE) --jobs=$$(($(CORES) + 1)) check
	@$(PYTEST) --numprocesses=$$(($(CORES) < 6 ? $(CORES) + 2 : 8)) $(addprefix --ignore=,$(CROWDS)) $(ARGS)
	@exec $(PYTEST) --numprocesses=$$(($(CORES) < 4 ? $(CORES) + 1 : 4)) $(CROWDS) $(ARGS)

# With `make --jobs=N`, as `make test` has it, N steps at once.
.PHONY: check
check: format lint types compiled page .venv/installed-system build/websockets-13/.installed ## Set all up, and check all that is checked before the tests

# What all processes of the tests import, and would each compile if they began at once.
.PHONY: compiled always
compiled: .venv/installed-test
	@mkdir -p build
	@$(BIN)/python -m pytest --collect-only -qq > build/collected 2>&1 || { cat build/collected >&2; exit 1; }

.PHONY: page
page: $(PYZ) ## Test the page that the appliance serves, apart from a browser
	@cd $(WEB) && npm test --silent > $(CURDIR)/build/web-tests 2>&1 || { cat $(CURDIR)/build/web-tests >&2; exit 1; }

.PHONY: pyz
pyz: $(PYZ) ## Build dist/appliance.pyz, the one file, with its checksum and its bill of materials

.PHONY: bench
bench: $(PYZ) .venv/installed-test ## Measure deliveries against the floor and the peers
	@exec $(BIN)/python -m tests.bench.run $(ARGS)

.PHONY: format
format: .venv/installed-test ## Check the format (`make fix` corrects it)
	@$(BIN)/ruff format --quiet --check .

.PHONY: lint
lint: .venv/installed-test $(WEB)/node_modules/.installed $(CLIENTS)/node_modules/.installed ## Check the rules of the linters
	@$(BIN)/ruff check --quiet .
	@cd $(WEB) && npm run --silent check

.PHONY: types
types: .venv/installed-test ## Check the types
	@$(BIN)/mypy --no-error-summary

.PHONY: fix
fix: .venv/installed-test ## Correct the format, and what the linter can
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

LOCK := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-options \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --annotation-style line

# With the lowest Python: what it needs more than a later one is then in the locks, too.
.PHONY: lock
lock: .venv/installed-test ## Lock the dependencies; ARGS=--upgrade takes the newest ones
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] > (3, 11) and "lock with: make clean lock PYTHON=python3.11")'
	@$(LOCK) $(ARGS) -o packaging/requirements.txt pyproject.toml
	@$(LOCK) $(ARGS) -o packaging/requirements-build.txt packaging/requirements-build.in
	@$(LOCK) $(ARGS) -c packaging/requirements.txt -c packaging/requirements-build.txt \
		-o packaging/requirements-test.txt pyproject.toml packaging/requirements-test.in
	@$(LOCK) $(ARGS) -o packaging/websockets-13.txt packaging/websockets-13.in

# One lock holds all packages of the others, but for a client that is tested in an older release. A package that the
# service does not know counts as a hole, too: so that nobody takes silence for an answer.
.PHONY: audit
audit: .venv/installed-test ## Look up known holes in what is locked; not a part of `make test`, for it asks the network
	@for lock in packaging/requirements-test.txt packaging/websockets-13.txt; do \
		$(BIN)/pip-audit --progress-spinner=off --strict --disable-pip --require-hashes --requirement $$lock $(ARGS); \
	done
	@cd $(WEB) && npm audit
	@cd $(CLIENTS) && npm audit

.PHONY: clean
clean: ## Remove all that was made here
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf $(WEB)/node_modules $(WEB)/build $(WEB)/static/*.js $(CLIENTS)/node_modules
	find appliance packaging plugins tests -name __pycache__ -prune -exec rm -rf {} +

# --- Set-up: each step leaves a file, so that it is done once, and again when its lock changes. ---

$(BIN)/python:
	@packaging/make-venv .venv

.venv/installed-test: | .venv/installed-build  # one after the other

.venv/installed-build .venv/installed-test: .venv/installed-%: packaging/requirements-%.txt | $(BIN)/python
	@echo "Installing $<" >&2
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@

.venv/installed-system: packaging/install-system-packages | .venv/installed-test
	@packaging/install-system-packages curl chromium postgresql:pg_ctlcluster systemd-container:systemd-nspawn \
		mmdebstrap debian-archive-keyring:/usr/share/keyrings/debian-archive-keyring.gpg
	@touch $@

# Apart from the environment, which has a later release: some clients in the documents are written for this one.
build/websockets-13/.installed: packaging/websockets-13.txt | .venv/installed-test
	@echo "Installing $<" >&2
	@rm -rf $(@D)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $< --target $(@D)
	@touch $@

%/node_modules/.installed: %/package-lock.json
	@echo "Installing $<" >&2
	@packaging/check-node
	@cd $* && npm ci --silent
	@touch $@

# --- The zipapp ---

# What the files of a folder are, by content: the list changes exactly when a file does, comes or goes.
define list
	@mkdir -p build
	@find $(1) \( -name __pycache__ -o -name node_modules -o -path '$(WEB)/build' -o -path '$(WEB)/static/*.js' \) \
		-prune -o -type f -exec cksum {} + | LC_ALL=C sort > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
endef

always:

build/web-files: always
	$(call list,$(WEB))

build/files: always
	$(call list,appliance plugins config README.md LICENSE pyproject.toml packaging/requirements.txt packaging/*.py packaging/_launch packaging/systemd)

build/web: build/web-files $(WEB)/node_modules/.installed
	@cd $(WEB) && npm run --silent build
	@touch $@

# One make at a time builds: two would write the same files. macOS has no flock, and builds unguarded.
ifdef BUILD_IS_MINE
$(PYZ): build/files build/web .venv/installed-build
	@echo "Building $@" >&2
	@$(BIN)/python packaging/build_zipapp.py
else
$(PYZ): always | $(WEB)/node_modules/.installed .venv/installed-build
	@mkdir -p build
	@$(shell command -v flock && echo build/lock) $(MAKE) BUILD_IS_MINE=yes $@
endif
