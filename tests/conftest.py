"""What several files of tests share."""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from georestrict import BACKEND, Database
from georestrict._core import _python
from georestrict.testing import tiny_database
from tests import sdist

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


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """Frameworks set levels for the whole process, which changes what other tests are told.

    So does what writes events.
    """
    events = logging.getLogger("georestrict.events")
    loggers = logging.getLogger(), logging.getLogger("georestrict"), events
    levels, handlers = [logger.level for logger in loggers], [*events.handlers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    events.propagate = True
    for handler in {*events.handlers} - {*handlers}:
        events.removeHandler(handler)
        handler.close()


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


# Where distributions keep servers such as nginx; only root has it on the path.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

_NOT_RUN: Counter[tuple[str, str]] = Counter()


@pytest.hookimpl(trylast=True)  # what ``-m`` leaves out would not run anyway
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the other core, and what needs something that is not here.

    Of the latter the name is remembered; the former runs in the suite on the compiled core.
    """
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        if BACKEND == "python" and item.get_closest_marker("compiled"):
            left_out.append(item)
            continue
        missing = [
            name for mark in item.iter_markers("needs") for name in mark.args if not _is_here(name)
        ]
        (left_out if missing else kept).append(item)
        if missing:
            _NOT_RUN[item.path.name, ", ".join(missing)] += 1
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _is_here(name: str) -> bool:
    if name == sdist.NAME:
        return sdist.folder() is not None
    return shutil.which(name) is not None or find_spec(name) is not None


def _named() -> list[str]:
    return [f"{count} of {file} (needs {of})" for (file, of), count in _NOT_RUN.items()]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out."""
    for line in _named():
        terminalreporter.write_line(f"NOT RUN: {line}")


def pytest_sessionfinish() -> None:
    """Tell ``tests/run.py``, which says it in its last line; of workers each tells the same."""
    named = _named()
    if named and "GEORESTRICT_NOT_RUN" in os.environ:
        with Path(os.environ["GEORESTRICT_NOT_RUN"]).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in named)
