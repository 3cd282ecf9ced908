# Every verb works from a bare clone: Python 3.11 or newer and make are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := $(VENV)/.bench

.PHONY: demo test check bench slurm faults fuzz mutants format lock clean

$(READY): setup.py setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[test]'
	touch $@

demo: $(READY)  ## synthesise a small data set, extract it, train on it, show the result
	$(BIN)/avsc-prep synth --out demo/TAU2021 --clips-per-scene 12 --pictures-out demo/pictures --pictures-per-class 100
	$(BIN)/avsc-prep extract --dataset TAU2021 --root demo/TAU2021 --out demo/store
	$(BIN)/avsc-fit places --config docs/demo.toml --data demo/pictures --out demo/places
	$(BIN)/avsc-fit joint --config docs/demo.toml --store demo/store --out demo/joint
	$(BIN)/avsc-fit evaluate demo/joint
	@echo "The report, with its pictures, is demo/joint/evaluation-test/report.md"

test: $(READY)  ## run the tests against the installed package
	$(BIN)/python -m pytest

slurm: $(READY)  ## extraction in the jobs of a real Slurm, the walltime of a minute too
	AVSC_REQUIRE_SLURM=1 $(BIN)/python -m pytest tests/slurm -m slurm

faults: $(READY)  ## inject every fault into extraction, in full (half an hour); print the table
	PYTHONPATH=tests $(BIN)/python -m faults.table

fuzz: $(READY)  ## 20,000 damaged recordings, lists and store files
	PYTHONPATH=tests $(BIN)/python -m fuzz.table

mutants: $(READY)  ## put small faults into the program, one at a time; the tests must find them
	PYTHONPATH=tests $(BIN)/python -m mutants.table

check: $(READY)  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BENCH): $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[test,bench]'
	touch $@

bench: $(BENCH)  ## tables of speed, beside what one would otherwise write
	$(BIN)/python benchmarks

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)  ## renew constraints.txt, the versions that development and CI use
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --upgrade --extra test -o constraints.txt setup.cfg

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache demo
