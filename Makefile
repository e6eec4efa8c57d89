# The doors. `make demo` and `make test` need Python >= 3.11 and nothing else; a C compiler makes it fast.
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$name && break; done)
endif
VENV ?= .venv
BIN := $(VENV)/bin
# What the compiled core and the default image are made from.
SOURCES := pyproject.toml setup.py $(wildcard data/*.toml data/*.ranges data/*.csv georestrict/_core/*.[ph]* georestrict/networks/*.py \
           georestrict/manifest/*.py georestrict/sources/*.py georestrict/table/*.py) \
           $(addprefix georestrict/,countries.py layers.py record.py special.py)
# One stamp for each interpreter and compiler: `CC=false make ...` builds again, without the core.
VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)
STAMP := $(VENV)/installed-$(VERSION)-$(subst /,_,$(firstword $(CC)))
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-slow test-all coverage bench check lint type format docs site data data-report outlines wheel clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP)
	$(BIN)/python tests/run.py

test-slow: $(STAMP)
	$(BIN)/python tests/run.py --slow

test-all: $(STAMP)
	$(BIN)/python tests/run.py --all

# Every branch of what decides and of what clients are told must be run by a test.
coverage: $(STAMP)
	$(BIN)/pytest -n auto --dist worksteal -m "not slow" --cov

# QUESTION=lookup asks only that one.
bench: $(STAMP)
	$(BIN)/pip install --quiet -e '.[bench]'
	$(BIN)/python benchmarks/run.py $(QUESTION)

check: lint type docs site

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

type: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/pytest -m "not slow" tests/test_docs.py tests/test_site.py

# The documentation in build/site, made afresh: what Sphinx has kept, it does not warn of again.
site: $(STAMP)
	rm -rf build/site
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --fresh-env \
	    --conf-dir docs --doctree-dir build/doctrees . build/site

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Fetches the upstream packages and compares; ACCEPT=1 takes new data over.
data: $(STAMP)
	$(BIN)/python -m data.recipe $(if $(ACCEPT),--accept)

# Measures the default data against references that are fetched and not committed; four to five minutes.
data-report: $(STAMP)
	$(BIN)/python -m data.report

# The world map of the replay's report, from Natural Earth; ACCEPT=1 writes it.
outlines: $(STAMP)
	$(BIN)/pip install --quiet pycountry==26.2.16 shapely==2.2.0
	$(BIN)/python -m data.outlines $(if $(ACCEPT),--accept)

wheel: $(STAMP)
	$(BIN)/python tests/wheel.py

clean:
	rm -rf $(VENV) build dist wheelhouse *.egg-info georestrict/_core/*.c georestrict/_core/*.so georestrict/default.grdb

$(STAMP): $(SOURCES)
	@test -n "$(PYTHON)" || { echo "georestrict needs Python 3.11 or newer; none was found"; exit 1; }
	@test -e $(VENV)/installed-$(VERSION)-* 2>/dev/null || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/installed-*
	$(BIN)/pip install --quiet --no-compile -e '.[dev]'
	touch $@
