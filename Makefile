# make setup | demo | test | test-all | check | bench | bench-memory | bench-loading | bench-prediction
#
# An active environment (or PYTHON=/path/to/python) is used as it is, and its torch (>= 2.10, CPU or CUDA) is kept.
# Otherwise .venv is created from the first Python >= 3.11 that is found.

.DELETE_ON_ERROR:
.PHONY: setup demo test test-all check bench bench-memory bench-loading bench-prediction clean

SEED ?= 0
ACTIVE := $(or $(VIRTUAL_ENV),$(CONDA_PREFIX))
PYTHON ?= $(if $(ACTIVE),$(ACTIVE)/bin/python)
PY := $(or $(PYTHON),.venv/bin/python)
PREFIX := $(if $(PYTHON),$(shell $(PYTHON) -c 'import sys; print(sys.prefix)'),.venv)
STAMP := $(PREFIX)/.torchio-seg-$(shell pwd | cksum | cut -d ' ' -f 1)

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt | $(if $(PYTHON),,.venv/bin/python)
	@mkdir -p build
	$(PY) tools/constraints.py constraints.txt > build/constraints.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -c build/constraints.txt -e '.[dev]'
	@touch $@

.venv/bin/python:
	@for python in python3 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then $$python -m venv .venv && exit 0; fi; \
	done; echo 'torchio-seg needs Python 3.11 or later with venv; make PYTHON=/path/to/python names one' >&2; exit 1

demo: setup
	$(PY) -P -m torchio_seg demo --seed $(SEED)

test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile -m "not slow"

test-all: setup
	$(PY) -m pytest -q

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

QUICK := bench_memory memory_accuracy bench_prediction bench_long_volume bench_step bench_check bench_metrics bench_writing bench_dicom \
  bench_loading loading_parts tracking scoring_beside augmentation_accuracy bench_accuracy phantom_difficulty coarser_grids

bench: setup
	@for name in $(QUICK); do echo "== $$name" && $(PY) benchmarks/$$name.py --quick || exit 1; done
	$(PY) benchmarks/write_docs.py --check

bench-memory: setup
	$(PY) benchmarks/bench_memory.py

bench-loading: setup
	$(PY) -m pip install --quiet --disable-pip-version-check -c build/constraints.txt -e '.[bench]'
	$(PY) benchmarks/bench_loading.py
	$(PY) benchmarks/loading_parts.py

bench-prediction: setup
	$(PY) benchmarks/bench_prediction.py

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
