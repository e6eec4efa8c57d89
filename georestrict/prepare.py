"""Building images in another process, while this one goes on serving.

Reading a large database and painting large lists takes seconds, in which the interpreter's lock is
held for tens of milliseconds at a time; in the plain core, of which nothing gives it up, much
longer. An event loop in the same process would wait. So a reload has what it does not find in the
cache built by a process of low priority, and then only maps it. Without a usable cache the image
is handed over in a temporary folder. Where no process can be started, it is built here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from georestrict import cache, errors
from georestrict._core import BACKEND
from georestrict.database import Database
from georestrict.errors import DatabaseError, GeoRestrictError
from georestrict.lists import Lists
from georestrict.policy import Policy
from georestrict.policy.reader import from_mapping
from georestrict.record import DEFAULT_IMAGE

logger = logging.getLogger("georestrict")

# Isolated (-I): neither the working folder nor PYTHONPATH comes before what this process imports.
_COMMAND = (
    "import json, sys; order = json.loads(sys.stdin.buffer.readline()); "
    "sys.path[:] = order['path']; from georestrict import prepare; prepare.serve(order)"
)
_NICENESS = 5
#: How long to wait for it: plain Python needs forty seconds for an MMDB of 550,000 networks, and
#: may wait for another process's lock before (``cache.py``). One that is stopped or stuck would
#: end all reloading, and nothing would tell.
_PATIENCE_SECONDS = 900.0
_MOST_BYTES = 1 << 16  # of an answer: what a pipe holds (Linux); with the next two it fits
_MOST_CHARACTERS, _MOST_SAID = 1000, 4


@contextlib.contextmanager
def aside(
    policy: Policy,
    database: Database | str | Path | None,
    at: float,
    *,
    require_data: bool = True,
) -> Iterator[None]:
    """Have another process build the images that are missing from here on, and only them.

    ``at`` says when, in seconds since the epoch: it tells which entries of lists have ended. Over a
    ``Database`` that no file has any more, nothing can be painted elsewhere. Without
    ``require_data`` a file that cannot be used is stood in for, as in the engine.
    """
    path, digest = database, None
    if isinstance(database, Database):
        path, digest = database.metadata.path, database.digest().hex()
        if not Path(path).is_file():
            yield
            return
    order = {
        # What is no text (a Path that somebody appended) is not looked at by imports either.
        "path": [each for each in sys.path if isinstance(each, str)],
        "backend": BACKEND,
        "database": None if path in (None, str(DEFAULT_IMAGE)) else str(path),
        "digest": digest,
        "require_data": require_data,
        "policy": _reduced(policy),
        "place": policy.place,
        "at": at,
    }
    with cache.elsewhere(partial(_build, order)):
        yield


_pausing = threading.Lock()
_busy = 0  # how many threads build something now
_paused = False  # the garbage collector, by us


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Leave cycles of garbage alone meanwhile, in whichever threads this is said.

    What a snapshot is made of would have the collector walk over every object of the process, with
    the interpreter's lock held: 12 ms over 34,000 objects, and an app has several times as many.
    """
    _begin()
    try:
        yield
    finally:
        _end()


@contextlib.contextmanager
def _waiting() -> Iterator[None]:
    """Let the garbage collector go on while this thread only waits."""
    _end()
    try:
        yield
    finally:
        _begin()


def _begin() -> None:
    global _busy, _paused
    with _pausing:
        _busy += 1
        if gc.isenabled():
            gc.disable()
            _paused = True


def _end() -> None:
    global _busy, _paused
    with _pausing:
        _busy = max(0, _busy - 1)  # 0 if this thread itself has forked
        if _paused and not _busy:
            _paused = False
            gc.enable()


def resume() -> None:
    """Let the garbage collector go on in a process just forked: who paused it is not in there."""
    global _busy, _paused, _pausing
    _busy, _pausing = 0, threading.Lock()
    if _paused:
        _paused = False
        gc.enable()


def _build(order: Mapping[str, Any], folder: Path | None) -> None:
    """Have another process carry out an order, in a cache folder of its own if one is given.

    If that cannot do it, no image will be there.

    Raises:
        GeoRestrictError: if the files are wrong.
    """
    if not _is_python(sys.executable):
        return  # a server that embeds Python, or a frozen app: starting it again would serve
    environment = {**os.environ, "GEORESTRICT_BACKEND": order["backend"]}
    if folder is not None:
        environment["GEORESTRICT_CACHE_DIR"] = str(folder)
    try:
        with subprocess.Popen(  # noqa: S603 it is this interpreter, and our code
            [sys.executable, "-I", "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as process:
            if process.stdin is None or process.stdout is None:
                return
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            with _waiting():
                _wait(process)
            # Not up to the end: a worker that was forked meanwhile may have inherited the pipe.
            os.set_blocking(process.stdout.fileno(), False)
            answer = json.loads(os.read(process.stdout.fileno(), _MOST_BYTES))
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: at the interpreter's end
        logger.debug("no other process could build: %r", error)
        return
    for said in answer["said"]:
        cache.warn_once(said)
    if answer["wrong"] is not None:
        kind, said = answer["wrong"]
        raise _ERRORS[kind](said)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for another process, but not for ever.

    Raises:
        OSError: if it was killed for that.
    """
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        cache.warn_once(
            f"the process that builds for a reload has not ended within {_PATIENCE_SECONDS:.0f} s "
            "and was killed; this one builds in its place"
        )
        raise TimeoutError("it was stuck") from error


def _is_python(executable: str | None) -> bool:
    """Return whether an executable is an interpreter, by its name."""
    name = Path(executable or "").name.lower()
    return name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


_ERRORS: dict[str, type[GeoRestrictError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, GeoRestrictError)
}


def serve(order: Mapping[str, Any]) -> None:
    """Carry out an order, and print what is wrong with the files: for the process started above."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    wrong, handler = None, _Said(logging.WARNING)
    logger.addHandler(handler)
    try:
        database = _opened(order["database"], order["require_data"])
        if order["digest"] in (None, database.digest().hex()):
            policy = from_mapping(order["policy"], order["place"], Path())
            Lists(policy, database, lambda: float(order["at"]))
    except GeoRestrictError as error:
        wrong = type(error).__name__, str(error)[:_MOST_CHARACTERS]
    sys.stdout.write(json.dumps({"wrong": wrong, "said": handler.said[:_MOST_SAID]}))


def _opened(path: str | None, require_data: bool) -> Database:
    try:
        return Database.open(path)
    except DatabaseError:
        if require_data:
            raise
        return Database.missing(path)


class _Said(logging.Handler):
    """What is to be logged, for the log of another process."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.said.append(record.getMessage()[:_MOST_CHARACTERS])


def _reduced(policy: Policy) -> dict[str, Any]:
    """Return a policy with the same lists, networks and AS numbers, and nothing else of it."""
    rules: list[dict[str, Any]] = []
    for words in policy.conditions:
        for key in ("networks", "asns"):
            if getattr(words, key):
                rules.append(
                    {"name": str(len(rules)), "action": "count", key: [*getattr(words, key)]}
                )
    lists = {
        name: {"path": str(source.path), "allow_empty": source.allow_empty}
        for name, source in policy.lists.items()
    }
    given = {"lists": lists, "rules": rules}
    return {"default": "allow"} | {key: value for key, value in given.items() if value}
