# make train, make test, make eval [SIZE=24] [RUN=runs/latest], make export, make bench-*, make results-*
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
RUN ?= runs/latest
OUT ?= exported
ARGS ?=

.PHONY: train test lint eval export docs bench-quant bench-train bench-data bench-san bench-mutualnet bench-ranet bench-scalenas bench-server bench-deploy \
	results-cifar10 results-flowers5 results-san results-mutualnet results-ranet results-scalenas results-pose \
	lock clean

# Everything below runs in .venv, made from the lock file and remade when it changes.
$(VENV)/installed: requirements.lock setup.py setup.cfg
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --progress-bar off -r requirements.lock
	$(PY) -m pip install --quiet --no-deps --editable .
	touch $@

train: $(VENV)/installed
	$(PY) -m tfres.train --mode preact --qw 2 --qa 2 $(ARGS)

test: lint
	$(if $(TORCH),$(PY) -m pip install --quiet --progress-bar off -r requirements-torch.txt)
	$(if $(RUNTIMES),$(PY) -m pip install --quiet --progress-bar off -r requirements-runtimes.txt)
	$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

eval: $(VENV)/installed
	$(PY) -m tfres.evaluate --run $(RUN) $(if $(SIZE),--size $(SIZE)) $(ARGS)

export: $(VENV)/installed
	$(PY) -m tfres.export --run $(RUN) --out $(OUT) $(ARGS)

bench-quant: $(VENV)/installed
	$(PY) -m experiments.benchmarks.quantizer $(ARGS)

bench-train: $(VENV)/installed
	$(PY) -m experiments.benchmarks.training_step $(ARGS)
	$(PY) -m experiments.benchmarks.resolutions_step $(ARGS)

bench-data: $(VENV)/installed
	$(PY) -m experiments.benchmarks.pipeline $(ARGS)

bench-san: $(VENV)/installed
	$(PY) -m experiments.benchmarks.generated_kernels $(ARGS)

bench-mutualnet: $(VENV)/installed
	$(PY) -m experiments.benchmarks.widths_step $(ARGS)

bench-ranet: $(VENV)/installed
	$(PY) -m experiments.benchmarks.early_exit $(ARGS)

bench-scalenas: $(VENV)/installed
	$(PY) -m experiments.benchmarks.supernet_step $(ARGS)

bench-server: $(VENV)/installed
	$(PY) -m experiments.benchmarks.server $(ARGS)

bench-deploy: $(VENV)/installed
	$(PY) -m experiments.benchmarks.deployment $(ARGS)

results-cifar10: $(VENV)/installed
	$(PY) -m experiments.rsnet.results_cifar10 $(ARGS)

results-flowers5: $(VENV)/installed
	$(PY) -m experiments.rsnet.results_flowers5 --data $(FLOWERS) $(ARGS)

results-mutualnet: $(VENV)/installed
	$(PY) -m experiments.mutualnet.results_cifar10 $(ARGS)

results-ranet: $(VENV)/installed
	$(PY) -m experiments.ranet.results_cifar10 $(ARGS)

results-san: $(VENV)/installed
	$(PY) -m experiments.san.results_flowers5 --data $(FLOWERS) $(ARGS)

results-scalenas: $(VENV)/installed
	$(PY) -m experiments.scalenas.results_camvid --data $(CAMVID) $(ARGS)

results-pose: $(VENV)/installed
	$(PY) -m experiments.pose.results_overfit --data $(COCO) $(ARGS)

docs: $(VENV)/installed
	$(PY) -m experiments.docs

lock: $(VENV)/installed
	$(PY) -m pip install --quiet uv
	$(PY) -m uv pip compile setup.py --extra dev --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --upgrade --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info
