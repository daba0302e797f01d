# make demo   environment, generated corpus, training, report
# make test   environment, quick tests (slow ones too: make test-all)
# make results DATA=folder   every results table of README.md and BENCHMARKS.md
# make lint   ruff, pyrefly, import-linter
# make kernels-aot   the Pallas kernels compiled for an H100 and a TPU v5e, without having one
# make native   the CPU's kernels, in C++ (part of the environment where there is a compiler)
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed

DATA ?= $(MER_DATA)
WORKERS ?= --numprocesses auto --maxprocesses 8 --dist loadfile

.PHONY: env native kernels-aot demo test test-all results lint format clean

env: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt $(wildcard kernels/native/source/* kernels/*/native/source/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(RUN) -m kernels.native || echo "the kernels run through XLA"
	@touch $@

native: env
	$(RUN) -m kernels.native

# In environments of their own: with libtpu or the CUDA plugin at hand plain jax would look for a device.
kernels-aot:
	$(PYTHON) -m venv .venv-aot-gpu
	.venv-aot-gpu/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt jax jaxlib jaxtyping absl-py
	.venv-aot-gpu/bin/pip install --quiet --disable-pip-version-check $$(.venv-aot-gpu/bin/python -c \
	  'import jaxlib; print(*(f"jax-cuda13-{p}=={jaxlib.__version__}" for p in ("plugin", "pjrt")))')
	JAX_PLATFORMS=cpu .venv-aot-gpu/bin/python -m tests.kernels.attention.aot_gpu
	JAX_PLATFORMS=cpu .venv-aot-gpu/bin/python -m tests.kernels.tsne.aot_gpu
	$(PYTHON) -m venv .venv-aot-tpu
	.venv-aot-tpu/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt jax jaxlib jaxtyping absl-py libtpu
	JAX_PLATFORMS=cpu .venv-aot-tpu/bin/python -m tests.kernels.attention.aot_tpu
	JAX_PLATFORMS=cpu .venv-aot-tpu/bin/python -m tests.kernels.tsne.aot_tpu

demo: env
	$(RUN) -m experiments.train early_fusion_generated --name demo --overwrite
	@echo "open runs/demo/report.html in a browser (the data are generated)"

test: env
	$(RUN) -m pytest -m "not slow" $(WORKERS)

test-all: env
	$(RUN) -m pytest $(WORKERS)

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
	rm -rf $(VENV) .venv-aot-gpu .venv-aot-tpu prepared runs build *.egg-info .pytest_cache .ruff_cache .import_linter_cache
