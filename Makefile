# What a person does with this repository. `make` alone prints this list.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test

.PHONY: help demo run test test-needs test-crash bench score lint fmt types clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml config/constraints.txt admin_ui/frontend/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Merpati needs Python 3.11 or newer; run make PYTHON=python3.11")'
	@echo "Installing Merpati into $(VENV): once, one to four minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "A virtual environment could not be made. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c config/constraints.txt -e .
	@touch $@

$(INSTALLED_TEST): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c config/constraints.txt -e '.[test]'
	@touch $@

demo: $(INSTALLED) ## the whole road of a mail, on this machine alone, in about two minutes
	$(BIN)/merpati demo

run: $(INSTALLED) ## start the real thing, empty, with its data in ./data
	$(BIN)/merpati serve

test-needs: ## install what the tests talk to: PostgreSQL, Redis, Chromium, Postfix's tools, swaks
	sh tests/needs.sh

test: test-needs $(INSTALLED_TEST) ## everything that .ci/run checks: lint, types and all suites
	$(MAKE) --no-print-directory lint types
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST)

test-crash: test-needs $(INSTALLED_TEST) ## the long crash suite: kill -9 again and again
	$(BIN)/python -m pytest tests/e2e -s -m "slow or not slow" -k "crash or killed"

bench: $(INSTALLED) ## messages a second and where the microseconds go, beside this machine's own RSA speed
	$(BIN)/merpati bench broadcast --json

score: $(INSTALLED) ## how well incoming mail is judged, on the corpus beside this folder
	@test -f ../shared/corpus/score.py || { echo "The corpus of real mail is not here: ../shared/corpus/score.py is missing, so nothing was measured."; exit 1; }
	$(BIN)/python ../shared/corpus/score.py -- $(BIN)/python -m esp classify
	$(BIN)/python ../shared/corpus/score_replies.py -- $(BIN)/python -m esp classify --replies

lint: $(INSTALLED_TEST) ## ruff
	$(BIN)/ruff check .

fmt: $(INSTALLED_TEST) ## let ruff lay out the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: $(INSTALLED_TEST) ## mypy, strict
	$(BIN)/mypy

clean: ## remove what was built
	rm -rf $(VENV) admin_ui/static/dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
