"""The image in force and those before it: publish, keep, roll back, one run at a time.

Beside ``IMAGE`` lie ``IMAGE.YYYYMMDDTHHMMSSZ``, the images before it by the time of their
replacement; ``IMAGE.refused``, the last that was rolled back; ``.IMAGE.update.json``, what they
were made from; and ``.IMAGE.lock``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from georestrict.errors import DatabaseError, UpdateError
from georestrict.table import Image, publish

_STAMP = "%Y%m%dT%H%M%SZ"
_MOST_REFUSED = 20


@dataclass(slots=True, kw_only=True)
class Memory:
    """What is known of the images beside a path: a file that may be lost, and then little is."""

    #: the SHA-256 of an image, and a digest of what it was made from
    made_from: dict[str, str] = field(default_factory=dict)
    #: digests of what was rolled back, and when
    refused: dict[str, str] = field(default_factory=dict)
    #: the SHA-256 of the image of the last whole run, and what that run saw
    seen: tuple[str, str] | None = None

    @classmethod
    def load(cls, image: Path) -> Memory:
        """Read what is remembered; what cannot be read is forgotten."""
        try:
            held = json.loads(_memory(image).read_bytes())
            texts = [held["made_from"], held["refused"]]
            if not all(
                isinstance(key, str) and isinstance(value, str)
                for table in texts
                for key, value in table.items()
            ):
                return cls()
            seen = held["seen"]
            return cls(
                made_from=dict(texts[0]),
                refused=dict(texts[1]),
                seen=(str(seen[0]), str(seen[1])) if seen else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            return cls()

    def save(self, image: Path) -> None:
        """Write it down."""
        newest = sorted(self.refused.items(), key=lambda each: each[1])[-_MOST_REFUSED:]
        held = {"made_from": self.made_from, "refused": dict(newest), "seen": self.seen}
        publish(_memory(image), json.dumps(held, indent=1).encode())


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None if it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def kept(image: Path) -> list[Path]:
    """Return the images before the one in force, the newest last."""
    stamped = re.compile(re.escape(image.name) + r"\.\d{8}T\d{6}Z")
    return sorted(path for path in image.parent.iterdir() if stamped.fullmatch(path.name))


def put_in_force(
    image: Path, data: bytes, now: datetime, keep: int, *, is_other: bool = True
) -> Path | None:
    """Publish an image, and keep the one before it; return where that is now.

    One of the same data, only of another day (not ``is_other``), is no image to go back to: a list
    that is confirmed every day would push those out.

    Whenever this is cut off, a whole image is in force: the old one, or the new one.
    """
    had = kept(image)
    before = _set_aside(image, now) if keep and is_other else None
    try:
        publish(image, data)
    except OSError:
        if before is not None and before not in had:
            before.unlink()
        raise
    prune(image, keep)
    return before


def prune(image: Path, keep: int) -> None:
    """Remove the oldest images, so that as many stay; a run that was cut off did not."""
    for path in kept(image)[:-keep] if keep else kept(image):
        path.unlink()


def roll_back(image: Path, now: datetime) -> tuple[Path, bool]:
    """Put the newest kept image in force again; return which, and whether the other is known.

    What the other was made from is remembered, if it is known, so that the next update does not
    bring it back; it lies beside as ``IMAGE.refused``.

    Raises:
        UpdateError: if there is none to go back to, or the newest is damaged; nothing has changed.
    """
    current = digest(image)
    candidates = [path for path in kept(image) if digest(path) != current]
    if not candidates:
        raise UpdateError(f"{image}: there is no older image beside it to go back to")
    chosen = candidates[-1]
    data = chosen.read_bytes()
    try:
        Image(memoryview(data), str(chosen))
    except DatabaseError as error:
        raise UpdateError(f"{error}; remove it to go back to an older one") from error
    memory = Memory.load(image)
    made_from = memory.made_from.get(current or "")
    if made_from is not None:
        memory.refused[made_from] = now.astimezone(UTC).isoformat(timespec="seconds")
    memory.seen = None
    memory.save(image)
    if current is not None:
        refused = image.with_name(f"{image.name}.refused")
        refused.unlink(missing_ok=True)
        _link(image, refused)
    publish(image, data)
    for path in kept(image):  # of it, and of a run that was cut off
        if path >= chosen:
            path.unlink()
    return chosen, made_from is not None


@contextmanager
def locked(image: Path) -> Iterator[None]:
    """Hold the lock of an image; the system frees it when this process ends, however it does.

    Raises:
        UpdateError: if another run holds it.
    """
    path = image.with_name(f".{image.name}.lock")
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        try:
            _lock(file)
        except OSError:
            raise UpdateError(f"{image}: another update of it is running; wait for it") from None
        yield
    finally:
        os.close(file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _memory(image: Path) -> Path:
    return image.with_name(f".{image.name}.update.json")


def _set_aside(image: Path, now: datetime) -> Path | None:
    """Give the image in force a second name, unless it has one."""
    current = digest(image)
    if current is None:
        return None
    for path in kept(image)[-1:]:
        if digest(path) == current:  # a run was cut off after this step
            return path
    moment = now.astimezone(UTC).replace(microsecond=0)
    for path in kept(image)[-1:]:  # names are in the order of time, even if the clock goes back
        last = datetime.strptime(path.name.rpartition(".")[2], _STAMP).replace(tzinfo=UTC)
        moment = max(moment, last + timedelta(seconds=1))
    path = image.with_name(f"{image.name}.{moment:{_STAMP}}")
    _link(image, path)
    return path


def _link(image: Path, path: Path) -> None:
    """Give a file a second name, or where the file system has no links, a copy."""
    with suppress(OSError):
        os.link(image, path)
        return
    temporary = path.with_name(f".{path.name}.part")
    shutil.copyfile(image, temporary)
    temporary.replace(path)
