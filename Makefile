# Every target works from a bare clone with only Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := $(VENV)/.bench
PEERS := $(VENV)/peers

.PHONY: demo test check bench bench-peers gpu slurm faults fuzz mutants format lock clean

$(READY): setup.py setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[test]'
	touch $@

demo: $(READY)  ## synthesise a small data set, extract it, train on it, evaluate
	$(BIN)/avsc-prep synth --out demo/TAU2021 --clips-per-scene 12 --pictures-out demo/pictures --pictures-per-class 100
	$(BIN)/avsc-prep extract --dataset TAU2021 --root demo/TAU2021 --out demo/store
	$(BIN)/avsc-fit places --config docs/demo.toml --data demo/pictures --out demo/places
	$(BIN)/avsc-fit joint --config docs/demo.toml --store demo/store --out demo/joint
	$(BIN)/avsc-fit evaluate demo/joint
	@echo "Open demo/joint/evaluation-test/report.html in a browser, or read report.md beside it."

test: $(READY)  ## run the tests against the installed package
	$(BIN)/python -m pytest $(TEST_OPTIONS)

gpu: $(READY)  ## on a machine with a GPU: the tests of training, speed, and a run stopped and resumed
	$(BIN)/python -c 'from avsc.train.fit.device import choose_device; print(choose_device("cuda")[1])'
	$(BIN)/python -m pytest tests/train
	$(BIN)/python benchmarks/train_gpu.py
	$(BIN)/python benchmarks/train_gpu.py --compile no
	$(BIN)/python benchmarks/resume.py

slurm: $(READY)  ## extraction and training in jobs of a real Slurm, including one-minute jobs
	AVSC_REQUIRE_SLURM=1 $(BIN)/python -m pytest tests/slurm -m slurm

faults: $(READY)  ## inject every fault into extraction, in full (half an hour); print the table
	PYTHONPATH=tests $(BIN)/python -m faults.table

fuzz: $(READY)  ## 20,000 damaged recordings, manifests and store files
	PYTHONPATH=tests $(BIN)/python -m fuzz.table

mutants: $(READY)  ## introduce small faults, one at a time; the tests must find them
	PYTHONPATH=tests $(BIN)/python -m mutants.table

check: $(READY)  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BENCH): $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[test,bench]'
	touch $@

bench: $(BENCH)  ## speed tables, against the alternatives
	$(BIN)/python benchmarks

$(PEERS)/.ready: $(READY)  # not by constraints.txt, which datachain does not go with
	$(PYTHON) -m venv $(PEERS)
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python -e '.[peers]'
	touch $@

bench-peers: $(PEERS)/.ready  ## the same extraction and streaming by other tools, and killed
	cd benchmarks && ../$(PEERS)/bin/python -m peers

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)  ## renew constraints.txt, the versions that development and CI use
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --upgrade --extra test -o constraints.txt setup.cfg

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache demo
