"""What several files of tests share."""

from __future__ import annotations

import os
import shutil
from types import ModuleType
from typing import Any

import pytest

from georestrict import BACKEND, Database
from georestrict._core import _python
from georestrict.testing import tiny_database

os.environ["GEORESTRICT_CACHE_DIR"] = ""  # no test writes to the home of who runs it

# tests/sanitize.py leaves the plain one out: nothing in it is instrumented, and it takes the time.
CORES: list[ModuleType] = [] if os.environ.get("GEORESTRICT_TEST_COMPILED_ONLY") else [_python]
if BACKEND == "compiled":
    from georestrict._core import _compiled  # type: ignore[attr-defined]

    CORES.append(_compiled)


@pytest.fixture(params=CORES, ids=lambda core: core.__name__.rpartition("_")[2])
def core(request: pytest.FixtureRequest) -> Any:
    """Each core that is there: the plain one always, the compiled one where it was built."""
    return request.param


@pytest.fixture(scope="session")
def database() -> Database:
    """The default data."""
    return Database.open()


@pytest.fixture(scope="session")
def tiny() -> Database:
    """The addresses that the acceptance table uses, and nothing else."""
    return tiny_database(
        {
            "81.2.69.0/24": "GB",
            "175.16.199.0/24": "CN",
            "89.160.20.0/24": "SE",
            "2001:218::/32": "JP",
            "52.95.110.0/24": "US",
        },
        {"52.95.110.0/24": "hosting:high:Example Cloud", "81.2.69.200/32": "tor:high:Tor"},
    )


_NOT_RUN: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a program that this machine does not have, and remember its name."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        missing = [
            name
            for mark in item.iter_markers("needs")
            for name in mark.args
            if shutil.which(name) is None
        ]
        (left_out if missing else kept).append(item)
        if missing:
            _NOT_RUN.append(f"{item.nodeid} (needs {', '.join(missing)})")
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out."""
    for name in _NOT_RUN:
        terminalreporter.write_line(f"NOT RUN: {name}")
