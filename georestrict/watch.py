"""The watcher: one thread of a process that looks at files, and has what has changed taken up.

It looks by ``stat`` and believes no events: those of network file systems, of overlays and of what
Kubernetes mounts are late, or do not come. A file's state is its device, inode, size and times of
change of content and of status, of whatever it resolves to. So a file that is renamed over the old
one, a symbolic link that points elsewhere, and one that is given its old date back are all seen.

A file that is still being written to is left alone: a change is taken up when two looks in a row
have seen the same. What fails is tried again at the next change, and after 1, 2, 4 … 60 seconds.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

logger = logging.getLogger("georestrict")

#: How files look: for each path its state, or what is in the way of knowing it.
Look = tuple[tuple[object, ...], ...]

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 60.0
#: After how long of changing at every look the log says so.
_RESTLESS_SECONDS = 60.0


class Watched(Protocol):
    """What is watched: an engine."""

    @property
    def looked(self) -> Look:
        """How its files looked just before what is in force was read from them."""

    def watched_files(self) -> Iterable[Path]:
        """Return the files and folders to look at."""

    def is_due(self) -> bool:
        """Return whether there is something to take up although no file has changed."""

    def take_up(self) -> bool:
        """Take up what the files say now; False if that failed. Must not raise."""


class Watch:
    """How often one is watched, and what was seen last; ``moment`` is a steady clock."""

    def __init__(self, every: float, moment: Callable[[], float] = time.monotonic) -> None:
        self.every, self._moment = every, moment
        self.next_look = 0.0
        self.seen: Look | None = None
        self.restless_since: float | None = None
        self.told_restless = False
        self.delay = 0.0
        self.retry_at = 0.0
        self.told = ""  # the last defect in the log

    def step(self, target: Watched) -> None:
        """Look once, and have a change taken up if it is time."""
        now = self._moment()
        seen = look(target.watched_files())
        if seen != self.seen:
            self.seen, self.delay = seen, 0.0
            self._is_restless(now)
            return
        self.restless_since, self.told_restless = None, False
        if {*seen} == {*target.looked} and not target.is_due():
            self.delay = 0.0
        elif (not self.delay or now >= self.retry_at) and not target.take_up():
            self.delay = min(_LAST_RETRY_SECONDS, 2 * self.delay or _FIRST_RETRY_SECONDS)
            self.retry_at = self._moment() + self.delay

    def _is_restless(self, now: float) -> None:
        """Say once if the files have changed at every look for a long time."""
        if self.restless_since is None:
            self.restless_since = now
        elif now - self.restless_since >= _RESTLESS_SECONDS and not self.told_restless:
            self.told_restless = True
            logger.warning(
                "the watched files change at every look, so nothing is taken up until they rest; "
                "replace them by renaming whole files"
            )


class Watcher:
    """Watches for a whole process; its thread ends with the last that is watched."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._watches: WeakKeyDictionary[Watched, Watch] = WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def add(self, target: Watched, every: float, *, start: bool = True) -> None:
        """Watch, or look from now on at another interval.

        Without ``start`` it begins in the processes that this one forks, or with the next call.
        """
        with self._changed:
            watch = self._watches.get(target)
            if watch is None:
                self._watches[target] = Watch(every)
            else:
                watch.every, watch.next_look = every, 0.0
            if start:
                self._start()
            self._changed.notify()

    def remove(self, target: Watched) -> None:
        """Watch no longer. A change that is being taken up still comes into force."""
        with self._changed:
            self._watches.pop(target, None)
            self._changed.notify()

    def every(self, target: Watched) -> float | None:
        """Return how often one is looked at, in seconds; None if it is not watched."""
        with self._changed:
            watch = self._watches.get(target)
            return None if watch is None else watch.every

    def after_fork(self) -> None:
        """Begin anew in a process that was just forked: it has none of the other threads."""
        watches = list(self._watches.items())
        self._changed, self._thread = threading.Condition(threading.Lock()), None
        self._watches = WeakKeyDictionary({each: Watch(watch.every) for each, watch in watches})
        if watches:
            self._start()

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="georestrict-watch", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            with self._changed:
                watches = list(self._watches.items())  # held: what is watched may go at any time
                if not watches:
                    self._thread = None
                    return
                due = [each for each in watches if each[1].next_look <= now]
                wanted = min(watch.next_look for _, watch in watches)
                del watches  # only what is in use elsewhere is watched
                if not due:
                    self._changed.wait(min(max(0.0, wanted - now), threading.TIMEOUT_MAX))
                    continue
            while due:
                target, watch = due.pop()
                watch.next_look = now + watch.every
                try:
                    watch.step(target)
                    watch.told = ""
                except Exception as error:  # a defect here must not end the watching
                    if repr(error) != watch.told:
                        logger.exception("watching failed; it goes on")
                    watch.told = repr(error)
                del target


def look(paths: Iterable[Path]) -> Look:
    """Return how files look, and what is in folders."""
    return tuple((str(path), *_state(path)) for path in paths)


def _state(path: Path) -> tuple[object, ...]:
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            return _told(found)
        held = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        return (repr(error),)
    return tuple((each.name, *_held(each)) for each in held)


def _held(path: Path) -> tuple[object, ...]:
    """Return the state of what is in a folder; what is in folders below is not read."""
    try:
        found = path.stat()
    except OSError as error:
        return (repr(error),)
    return ("a folder",) if stat.S_ISDIR(found.st_mode) else _told(found)


def _told(found: os.stat_result) -> tuple[object, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
