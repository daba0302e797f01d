# make demo   environment, generated corpus, training, report
# make test   environment, quick tests (slow ones too: make test-all)
# make results DATA=folder   every results table of README.md and BENCHMARKS.md
# make lint   ruff, pyrefly, import-linter
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed

DATA ?= $(MER_DATA)

.PHONY: env demo test test-all results lint format clean

env: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: env
	$(RUN) -m experiments.train early_fusion_generated --name demo --overwrite
	@echo "open runs/demo/report.html in a browser (the data are generated)"

test: env
	$(RUN) -m pytest -m "not slow"

test-all: env
	$(RUN) -m pytest

results: env
	$(RUN) -m experiments.results $(if $(DATA),--data-dir "$(DATA)")

lint: env
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyrefly check --python-interpreter-path $(RUN)
	$(VENV)/bin/lint-imports

format: env
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

clean:
	rm -rf $(VENV) prepared runs build *.egg-info .pytest_cache .ruff_cache .import_linter_cache
