"""The stopwatch of a middleware: how long deciding takes, for whoever wants to know.

Only requests that go the slow way are seen, and of these every so many; without a listener none is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

logger = logging.getLogger("georestrict")

#: Every so many decisions of the slow way are timed.
EVERY = 8


class Stopwatch:
    """Times every so many decisions, the first of all included."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[float], None], ...] = ()
        self._until = 1

    def add(self, listener: Callable[[float], None]) -> None:
        """Have a listener told the seconds of what is timed from now on; once is enough."""
        if listener not in self._listeners:
            self._listeners += (listener,)

    def start(self) -> float | None:
        """Return the moment at which a decision begins, or None if it is not timed."""
        if not self._listeners:
            return None
        self._until -= 1
        if self._until > 0:
            return None
        self._until = EVERY
        return perf_counter()

    def stop(self, started: float) -> None:
        """Tell how long a decision took; one that fails to listen is told no more."""
        took = perf_counter() - started
        for listener in self._listeners:
            try:
                listener(took)
            except Exception:  # what others do with a figure must not touch the request
                logger.exception("telling how long a decision took failed; it is told no more")
                self._listeners = tuple(one for one in self._listeners if one != listener)
