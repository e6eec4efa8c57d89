"""The cache folder: images that one process builds and all of them map.

A file is named by a key, which tells its whole content, so it is never out of date. It is
built under a lock: of several workers that start at once one works, the others wait, and all
map the same pages. The folder is ``GEORESTRICT_CACHE_DIR`` (empty: no cache), else ``georestrict``
in ``XDG_CACHE_HOME`` or ``~/.cache``.

A file that someone may shorten under a map kills the process, and one that someone may write can
say anything. So folder and files must belong to this user or to root and be writable by nobody
else. Where that is not so, or something is in the way (no space, no permission, an odd file), the
image serves from this process's memory, and the log says so once: never an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import mmap
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from georestrict.errors import DatabaseError
from georestrict.table import FORMAT_VERSION, Image, publish
from georestrict.version import __version__

try:
    import fcntl
except ImportError:  # Windows has neither this lock nor owners as we check them: no cache there
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("georestrict")

T = TypeVar("T")

#: files that stay, the last used ones: policies of one machine, before and after their last edits
MOST_FILES = 8
#: how long to wait for another process: a list of ten million networks takes ten seconds
_PATIENCE_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 0.02
_OUR_NAME = re.compile(r"\.?[0-9a-f]{64}\.grdb(\..*)?")  # the folder may be somebody's home
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


#: Has another process build what is missing, in this cache folder or, with None, in the usual one.
#: Raises GeoRestrictError if the files that it is built from are wrong.
Build = Callable[[Path | None], None]


class _UnusableError(Exception):
    """The cache cannot serve; the message says why."""


def key_of(parts: Iterable[bytes]) -> str:
    """Return the key for what is made from these parts, in this order, by this release."""
    digest = hashlib.sha256()
    for part in (__version__.encode(), b"%d" % FORMAT_VERSION, *parts):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def shared(key: str, read: Callable[[Image], T], build: Callable[[], tuple[str, bytes]]) -> T:
    """Return what ``read`` makes of the image with a key; build it if no process has yet.

    ``build`` returns the image and the key that it turned out to have: another one if its sources
    changed meanwhile, and then it is used, but not kept. ``read`` raises DatabaseError if the
    image is not what it should be; such a file is built again.
    """
    helper = _helper.get()
    for result in () if helper is None else helper.found(f"{key}.grdb", read):
        return result
    built: list[tuple[str, bytes]] = []

    try:
        folder = _folder()
        path = folder / f"{key}.grdb"
        with contextlib.suppress(FileNotFoundError, DatabaseError):
            return read(_mapped(path))
        with _locked(folder):
            with contextlib.suppress(FileNotFoundError):
                try:
                    return read(_mapped(path))
                except DatabaseError as error:
                    logger.warning("%s; it is built again", error)
                    path.unlink()
            built.append(build())
            found, data = built[0]
            if found == key:
                publish(path, data)
                logger.info("%s: built for all workers, %d bytes", path, len(data))
                _tidy(folder)
                return read(_mapped(path))
    except (_UnusableError, OSError, DatabaseError) as error:
        if str(error):
            _tell_once(str(error))
    _, data = built[0] if built else build()
    return read(Image(memoryview(data), "the policy's lists in memory"))


@contextlib.contextmanager
def elsewhere(build: Build) -> Iterator[None]:
    """Have what is missing built by another process from here on, in this thread.

    What the usual folder cannot take comes from a temporary one. What that process does not build
    either, this one does.
    """
    helper = _Helper(build)
    token = _helper.set(helper)
    try:
        yield
    finally:
        _helper.reset(token)
        if helper.spare is not None:
            shutil.rmtree(helper.spare, ignore_errors=True)


class _Helper:
    """Another process that builds, and the folder in which it hands images over."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self.spare: Path | None = None

    def found(self, name: str, read: Callable[[Image], T]) -> Iterator[T]:
        """Yield what ``read`` makes of an image as soon as there is one; nothing if there is none.

        Raises:
            GeoRestrictError: if the files that it is built from are wrong.
        """
        try:
            folder = _folder()
        except (_UnusableError, OSError) as error:
            if str(error):
                _tell_once(str(error))
        else:
            yield from _read(folder / name, read)
            self._build(None)
            yield from _read(folder / name, read)
        try:
            if self.spare is None:
                self.spare = Path(tempfile.mkdtemp(prefix="georestrict-"))
        except OSError:
            return
        yield from _read(self.spare / name, read)
        self._build(self.spare)
        yield from _read(self.spare / name, read)


_helper: ContextVar[_Helper | None] = ContextVar("_helper", default=None)


def _read(path: Path, read: Callable[[Image], T]) -> Iterator[T]:
    """Yield what ``read`` makes of a file of the cache, if it is there and whole."""
    with contextlib.suppress(_UnusableError, OSError, DatabaseError):
        yield read(_mapped(path))


def _folder() -> Path:
    """Return the cache folder, made if need be, if nobody else can write there."""
    if fcntl is None:
        raise _UnusableError("this system has no file locks")
    named = os.environ.get("GEORESTRICT_CACHE_DIR")
    if named == "":
        raise _UnusableError
    if named is not None:
        folder = Path(named)
        if not folder.is_absolute():
            raise _UnusableError(f"GEORESTRICT_CACHE_DIR is {named!r}, must be an absolute path")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # the specification: such a value is to be ignored
            try:
                base = Path.home() / ".cache"
            except RuntimeError as error:
                raise _UnusableError("this user has no home folder") from error
        folder = base / "georestrict"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(folder.stat(), f"folder {folder}")
    return folder


def _check_owner(status: os.stat_result, name: str) -> None:
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_MAY_WRITE:
        raise _UnusableError(f"{name} belongs to another user, or others may write to it")


def _mapped(path: Path) -> Image:
    """Map a file of the cache, and note that it is in use."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(path, flags)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _UnusableError(f"{path} is not a regular file")
        _check_owner(status, str(path))
        with contextlib.suppress(OSError):  # a read-only folder: the file's age does not matter
            os.utime(file)
        data = mmap.mmap(file, 0, access=mmap.ACCESS_READ) if status.st_size else b""
    finally:
        os.close(file)
    return Image(memoryview(data), str(path))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel frees it if this process is killed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(folder / "lock", flags, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise _UnusableError(
                    f"another process has held {folder / 'lock'} for {_PATIENCE_SECONDS:.0f} s"
                )
            time.sleep(_LOOK_AGAIN_SECONDS)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing would not do, if a child inherited it
    finally:
        os.close(file)


def _tidy(folder: Path) -> None:
    """Keep the files last used, and nothing that a killed process left half written.

    Under the lock, so nobody else is writing. Whoever has mapped a file keeps it.
    """
    with contextlib.suppress(OSError):
        ours = [path for path in folder.iterdir() if _OUR_NAME.fullmatch(path.name)]
        half_written = [path for path in ours if path.suffix != ".grdb"]
        files = sorted(set(ours) - set(half_written), key=lambda path: -path.lstat().st_mtime_ns)
        for path in (*files[MOST_FILES:], *half_written):
            path.unlink()


def _tell_once(reason: str) -> None:
    warn_once(
        f"the cache cannot be used: {reason}; lists are compiled and kept in each process's "
        "memory. Set GEORESTRICT_CACHE_DIR to a folder of your own, or to nothing if this is meant"
    )


@lru_cache(maxsize=64)
def warn_once(message: str) -> None:
    """Log a warning, unless it was logged before."""
    logger.warning("%s", message)
