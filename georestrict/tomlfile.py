"""Reading a TOML file, with errors that name the file and the fix."""

from __future__ import annotations

import hashlib
import os
import stat
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from georestrict.errors import ConfigurationError

_ATTEMPTS = 5
_CHANGING = "it was written to each time that it was read; replace it by renaming a whole file"


def _written(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def read_text(path: Path) -> str:
    """Return the text of a TOML file.

    Raises:
        ConfigurationError: if it cannot be read, or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: not valid TOML: not UTF-8 text at byte {error.start}; save it as UTF-8"
        ) from error


def parsed_toml(text: str, path: Path) -> dict[str, Any]:
    """Return the content of a TOML file of which the text is known.

    Raises:
        ConfigurationError: if it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}; correct that place") from error
    except RecursionError as error:
        raise ConfigurationError(
            f"{path}: not valid TOML: nested too deep; write it flat"
        ) from error
    except ValueError as error:  # such as a number of thousands of digits
        reason = str(error).partition(";")[0]
        raise ConfigurationError(f"{path}: not valid TOML: {reason}; correct it") from error


def read_bytes(path: Path, place: str = "") -> bytes:
    """Return the bytes of a file that the configuration names.

    What is written while it is read is read again: half a list would pass for a whole one.

    Raises:
        ConfigurationError: if it cannot be read, or is written to all the time; ``place`` says
            where it was named.
    """
    with _told(path, place):
        return read_whole(path)


def read_whole(path: Path, quiet: float = 0.0) -> bytes:
    """Return the bytes of a file, all of one moment; what is written meanwhile is read again.

    A writer may pause in the middle: with ``quiet``, nobody has written for so many seconds.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is written to all the time.
    """
    for _ in range(_ATTEMPTS):
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            data = file.read()
            after = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            return data
        fresh = 0 <= time.time() - after.st_mtime < quiet
        if _written(before) == _written(after) and not fresh:
            return data
        time.sleep(quiet)
    raise ValueError(_CHANGING)


def hash_file(path: Path, place: str = "") -> bytes:
    """Return the SHA-256 of a file that the configuration names, without holding it in memory.

    Raises:
        ConfigurationError: if it cannot be read; ``place`` says where it was named.
    """
    with _told(path, place), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def files_of(path: Path, place: str = "") -> list[Path]:
    """Return a path of the configuration, or what is in it if it is a folder.

    Of a folder these are the files in the order of their names, without hidden ones and without
    what is in folders below: ``..data`` is how Kubernetes replaces a mounted folder.

    Raises:
        ConfigurationError: if it is not there; ``place`` says where it was named.
    """
    with _told(path, place):
        if not path.is_dir():
            return [path]
        held = sorted(each for each in path.iterdir() if not each.name.startswith("."))
        return [each for each in held if not each.is_dir()]


@contextmanager
def _told(path: Path, place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # a ValueError for NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        where = f"{place}: " if place else ""
        raise ConfigurationError(
            f"{where}{str(path)!r} cannot be read: {reason}; check the path and its permissions"
        ) from error
