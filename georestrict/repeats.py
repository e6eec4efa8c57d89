"""Log lines that would come as often as requests do, and are written once a minute instead."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

#: Seconds between two lines that say the same.
PAUSE_SECONDS = 60.0


class Repeats:
    """Writes the first line of a kind at once, then at most one a minute, with how many were not.

    ``clock`` is in seconds and never goes back. Nothing is raised, whatever a handler does.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}  # when, and how many were left out since
        _ALL.add(self)

    def exception(self, message: str) -> None:
        """Log the exception that is being handled."""
        now = self._clock()
        with self._lock:
            last, left_out = self._said.get(message, (-PAUSE_SECONDS, 0))
            is_due = message not in self._said or now - last >= PAUSE_SECONDS
            self._said[message] = (now, 0) if is_due else (last, left_out + 1)
        if is_due:
            more = f" (and {left_out} times more since the last such line)" if left_out else ""
            with suppress(Exception):
                self._logger.exception("%s%s", message, more)


_ALL: WeakSet[Repeats] = WeakSet()


def _after_fork_in_child() -> None:
    """Free what threads held that this process does not have."""
    for each in _ALL:
        each._lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
