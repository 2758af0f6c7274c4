# Two commands on a fresh machine: `make demo` and `make test`. Both make their own virtual environment in .venv.
#
#   make demo [VIDEO=clip.mp4]   anchor a video (or the bundled sample), train an agent in it, evaluate; see runs/demo/
#   make test                    the test suite
#   make check                   ruff format, ruff, and the type check of the installed package
#
# PYTHON picks the interpreter (3.11 to 3.13); TORCH the build of torch, e.g. TORCH="torch==2.13.0" (the tested one).

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

# It asks for old numpy and much that its networks do not need, and for no Python 3.13.x: what they need is in ".[depth]".
DEPTH_ANYTHING_3 := --no-deps --ignore-requires-python depth-anything-3==0.1.1

.PHONY: demo test check clean

demo: $(VENV)/.demo
	$(BIN)/inspatio-gym demo $(if $(VIDEO),--video "$(VIDEO)")

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf build $(VENV)/check
	$(PIP) install --no-deps --target $(VENV)/check .
	cd $(VENV)/check && MYPYPATH=. ../bin/mypy --config-file ../../pyproject.toml -p inspatio_gym

clean:
	rm -rf $(VENV) build dist *.egg-info runs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	    f"expected Python 3.11 to 3.13, got {v[0]}.{v[1]}: pass PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)

# torch first and by itself, so that the build named above is the one that everything else finds installed.
$(VENV)/.torch: $(VENV)/bin/python
	@echo "installing $(TORCH) and what it needs into $(VENV) ..."
	$(PIP) install $(TORCH)
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	@echo "installing inspatio-gym[agents] ..."
	$(PIP) install -e ".[agents]"
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@echo "installing inspatio-gym[dev] ..."
	$(PIP) install -e ".[dev]"
	$(PIP) install $(DEPTH_ANYTHING_3)
	@touch $@
