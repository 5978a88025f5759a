# The few commands that everybody needs. `make help` lists them.

CARGO ?= cargo
PYTHON ?= python3
NPM ?= npm
VENV ?= .venv
JAVASCRIPT := tests/blackbox/javascript

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: tools ## Build Claviger and serve a deployment for development; ARGS="--listen 127.0.0.1:PORT" adds options
	@$(CARGO) run --release --locked --package claviger -- dev $(ARGS)

.PHONY: test
test: tools softhsm postgres ## Run all tests: unit, contract and property tests, then the black-box tests and a short run on a cluster
	$(CARGO) test --workspace --locked
	@$(MAKE) --no-print-directory test-blackbox test-harness

.PHONY: test-blackbox
test-blackbox: tools softhsm $(VENV)/.installed $(JAVASCRIPT)/node_modules/.installed ## Drive the real binary with boto3 and the AWS CLI; ARGS="-k encrypt" adds pytest's options
	$(CARGO) build --locked --package claviger
	CLAVIGER_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/claviger" $(VENV)/bin/python -m pytest tests/blackbox $(ARGS)

.PHONY: test-harness
test-harness: tools postgres $(VENV)/.installed
	$(CARGO) build --locked --package claviger
	CLAVIGER_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/claviger" $(VENV)/bin/python -m pytest tests/cluster

.PHONY: test-cluster
test-cluster: tools postgres $(VENV)/.installed ## Break a cluster while clients use it, and check it (docs/reliability.md); ARGS="--rounds 200 --seed 5"
	$(CARGO) build --release --locked --package claviger
	cd tests && CLAVIGER_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-../target}")/release/claviger" ../$(VENV)/bin/python -m cluster $(ARGS)

# A virtual environment of its own, made anew when the pinned versions change.
$(VENV)/.installed: tests/requirements.txt
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "The black-box tests need Python 3.10 or newer with its venv module, as '$(PYTHON)'." >&2; \
	    echo "Install it ('apt install python3-venv', 'dnf install python3'), or name another one with PYTHON=..." >&2; \
	    exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@

# AWS's JavaScript clients, as package-lock.json pins them; nothing of theirs is run while they are installed.
$(JAVASCRIPT)/node_modules/.installed: $(JAVASCRIPT)/package.json $(JAVASCRIPT)/package-lock.json
	@command -v $(NPM) >/dev/null && node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' || { \
	    echo "The black-box tests also drive AWS's JavaScript clients, which need Node.js 20 or newer with npm." >&2; \
	    echo "Install it ('apt install nodejs npm', 'dnf install nodejs'), or name another npm with NPM=..." >&2; \
	    exit 1; }
	$(NPM) ci --prefix $(JAVASCRIPT) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: bench
bench: tools ## Measure this machine: every figure of docs/performance.md; ARGS="--quick" for a short run
	@$(CARGO) build --release --locked --package claviger --package claviger-bench
	@"$${CARGO_TARGET_DIR:-target}/release/claviger-bench" $(ARGS)

.PHONY: bench-cluster
bench-cluster: tools ## Measure nodes on PostgreSQL beside one on SQLite, and a million keys in both; ARGS="--keys 0" for the nodes alone
	@$(CARGO) build --release --locked --package claviger --package claviger-bench
	@"$${CARGO_TARGET_DIR:-target}/release/claviger-bench" cluster $(ARGS)

.PHONY: lint
lint: tools ## Check formatting, lints and the tree's own rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	$(CARGO) test --locked --package claviger-tests

.PHONY: fmt
fmt: tools ## Format the code
	$(CARGO) fmt --all

# Says what is missing on a fresh machine, before a compiler says it less clearly.
.PHONY: tools
tools:
	@command -v $(CARGO) >/dev/null || { \
	    echo "Claviger is written in Rust, and 'cargo' is not installed (or not in PATH)." >&2; \
	    echo "Install Rust 1.95 or newer from https://rustup.rs, open a new terminal, and try again." >&2; \
	    exit 1; }
	@command -v "$${CC:-cc}" >/dev/null || command -v clang >/dev/null || command -v gcc >/dev/null || { \
	    echo "A C compiler is needed for AWS-LC and SQLite, and there is none." >&2; \
	    echo "Install one: 'apt install build-essential', 'dnf install gcc', or 'xcode-select --install'." >&2; \
	    exit 1; }

# The store of clusters is tested with servers of the tests' own; only the programs have to be there.
.PHONY: postgres
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { \
	    echo "The tests of the cluster store need PostgreSQL's server, 13 or newer." >&2; \
	    echo "Install it ('apt install postgresql', 'dnf install postgresql-server')." >&2; \
	    exit 1; }

# PKCS#11 is tested with a software token, and looked at with a program that is not ours.
.PHONY: softhsm
softhsm:
	@command -v softhsm2-util >/dev/null && command -v pkcs11-tool >/dev/null || { \
	    echo "The tests of PKCS#11 tokens need SoftHSM2 and OpenSC's pkcs11-tool." >&2; \
	    echo "Install them ('apt install softhsm2 opensc', 'dnf install softhsm opensc')." >&2; \
	    exit 1; }
