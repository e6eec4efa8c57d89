"""Kill a writer at every step that it takes, and cut the power after each of its writes.

``python tests/crash.py kill publish|open FOLDER`` forks a writer again and again. The n-th is killed
by SIGKILL at its n-th call of the system: before it, and when it has returned. What is then in the
folder, and what the next writer leaves there, is told as JSON, a line for each.

``python tests/crash.py power FOLDER`` records what a writer does, and tells what may be on the disk
after a power cut at any moment: of what was not synced any prefix, of names that were not synced
the old or the new. ``--no-sync`` leaves the syncs out, as a check of the check.
"""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from georestrict import Database
from georestrict.table import publish

OLD, NEW = b"old " * 5000, b"new " * 7000
_SYSTEM = ("posix", "fcntl", "mmap", "_io")
_PURE = ("fspath", "_path_normpath", "getpid", "fileno")  # these change nothing


def _is_step(function: Any) -> bool:
    """Whether a built-in function asks the system for something; a buffer in memory does not."""
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or type(owner).__module__
    if isinstance(owner, io.BytesIO | io.StringIO) or function.__name__ in _PURE:
        return False
    return module in _SYSTEM


def killed_at(number: int, work: Callable[[], object]) -> str | None:
    """Do some work in a child that is killed at a step; return its name, or None if it came to an end."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        left = number

        def count(frame: object, event: str, function: Any) -> None:
            nonlocal left
            if event in ("c_call", "c_return") and _is_step(function):
                left -= 1
                if left == 0:
                    sys.setprofile(None)
                    os.write(theirs, f"{event} {function.__name__}".encode())
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        sys.setprofile(None)
        os._exit(0)
    os.close(theirs)
    status = os.waitpid(child, 0)[1]
    with os.fdopen(ours) as told:
        step = told.read()
    if os.WIFSIGNALED(status):
        return step
    assert status == 0, f"the writer failed by itself: {status}"
    return None


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def kill_publish(folder: Path) -> Iterator[dict[str, Any]]:
    """Publish a file over another one."""
    target = folder / "image.grdb"
    publish(target, OLD)
    number = 0
    while True:
        number += 1
        step = killed_at(number, lambda: publish(target, NEW))
        if step is None:
            return
        found = target.read_bytes()
        left = [name for name in names(folder) if name != target.name]
        assert killed_at(-1, lambda: publish(target, OLD)) is None
        yield {
            "step": step,
            "visible": {OLD: "old", NEW: "new"}.get(found, "a part"),
            "left": left,
            "next": target.read_bytes() == OLD,
            "tidied": names(folder) == [target.name],
        }


def kill_open(folder: Path) -> Iterator[dict[str, Any]]:
    """Open an MMDB through a cache folder that is empty."""
    source, kept = folder / "data.mmdb", folder / "cache"

    def opens() -> None:
        assert Database.open(source).country("81.2.69.142") == "GB"

    opens()  # loads the modules, and answers as it should
    number = 0
    while True:
        number += 1
        for path in kept.iterdir():
            path.unlink()
        kept.rmdir()
        step = killed_at(number, opens)
        if step is None:
            return
        left = [] if not kept.exists() else names(kept)
        visible = [kept / name for name in left if not name.startswith(".") and name != "lock"]
        parts = [path for path in visible if not _opens(path)]
        assert killed_at(-1, opens) is None
        after = names(kept)
        yield {
            "step": step,
            "visible": "a part" if parts else "new" if visible else "old",
            "left": [name for name in left if name.startswith(".")],
            "next": [name[:5] for name in after] == ["data-", "lock"],
            "tidied": not any(name.startswith(".") for name in after),
        }


def _opens(path: Path) -> bool:
    return Database.open(path).country("81.2.69.142") == "GB"


class _Recorder(io.FileIO):
    """A file of which the writes are noted, as they reach the system."""

    events: list[tuple[Any, ...]]

    def write(self, data: Any) -> int:
        """Write, and note what."""
        self.events.append(("write", os.fstat(self.fileno()).st_ino, bytes(data)))
        return super().write(data)


def recorded(work: Callable[[], object], *, syncs: bool) -> list[tuple[Any, ...]]:
    """Return what some work does to files, in its order."""
    events: list[tuple[Any, ...]] = []
    _Recorder.events = events
    real_open, real_sync, real_replace = os.open, os.fsync, os.replace

    def opened(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        handle = real_open(path, flags, mode, **more)
        if flags & os.O_CREAT:
            events.append(("name", Path(path).name, os.fstat(handle).st_ino))
        return handle

    def synced(handle: int) -> None:
        status = os.fstat(handle)
        if syncs:
            events.append(
                ("sync names",) if stat.S_ISDIR(status.st_mode) else ("sync", status.st_ino)
            )
        real_sync(handle)

    def replaced(source: Any, target: Any) -> None:
        events.append(("name", Path(target).name, Path(source).stat().st_ino))
        real_replace(source, target)

    def buffered(handle: int, mode: str) -> io.BufferedWriter:
        return io.BufferedWriter(_Recorder(handle, mode))

    os.open, os.fsync, os.replace, os.fdopen = opened, synced, replaced, buffered  # type: ignore[assignment]
    work()
    return events


def after_power_cut(events: list[tuple[Any, ...]], name: str) -> set[bytes]:
    """Return what may be under a name when the power is cut after these events.

    ``events`` begins with what was there and was synced.
    """
    written: dict[int, bytes] = {}
    safe: dict[int, int] = {}  # how much of a file is on the disk for sure
    names: list[int] = []  # what the name pointed to, from the last that is on the disk
    for kind, *about in events:
        if kind == "write":
            written[about[0]] = written.get(about[0], b"") + about[1]
        elif kind == "sync":
            safe[about[0]] = len(written.get(about[0], b""))
        elif kind == "sync names":
            names = names[-1:]
        elif about[0] == name:
            names.append(about[1])
    found = set()
    for file in names:
        data, least = written.get(file, b""), safe.get(file, 0)
        ends = {least, len(data), *range(least, len(data), 997)}
        found |= {data[:end] for end in ends}
    return found


def power(folder: Path, *, syncs: bool) -> Iterator[dict[str, Any]]:
    """Tell what a power cut after each event may leave."""
    target = folder / "image.grdb"
    publish(target, OLD)
    before = target.stat().st_ino
    there = [
        ("write", before, OLD),
        ("sync", before),
        ("name", target.name, before),
        ("sync names",),
    ]
    events = recorded(lambda: publish(target, NEW), syncs=syncs)
    for count in range(len(events) + 1):
        found = after_power_cut([*there, *events[:count]], target.name)
        yield {
            "after": events[count - 1][0] if count else "nothing",
            "visible": sorted({{OLD: "old", NEW: "new"}.get(each, "a part") for each in found}),
        }


def main() -> None:
    """Do what the command line asks for."""
    match sys.argv[1:]:
        case ["kill", "publish", folder]:
            found = kill_publish(Path(folder))
        case ["kill", "open", folder]:
            found = kill_open(Path(folder))
        case ["power", folder, *more]:
            found = power(Path(folder), syncs="--no-sync" not in more)
        case _:
            sys.exit(__doc__)
    for each in found:
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
