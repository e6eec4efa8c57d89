"""How many events a process writes: a token bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Limit:
    """Lets ``per_second`` events through on average, and ``burst`` at once after a quiet time.

    ``clock`` is in seconds and never goes back. Exact under threads.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._burst, self._clock = per_second, float(burst), clock
        self._left, self._at = self._burst, clock()
        self._unsaid = 0
        self.left_out = 0  #: events that it did not let through
        self._lock = threading.Lock()

    def take(self, *, spare: float = 0.0) -> bool:
        """Return whether an event may be written; ``spare`` of the burst are left to others."""
        with self._lock:
            now = self._clock()
            grown = self._left + (now - self._at) * self._per_second
            self._left, self._at = min(grown, self._burst), now
            if self._left >= 1 + spare:
                self._left -= 1
                return True
            self.left_out += 1
            self._unsaid += 1
            return False

    def say(self) -> int:
        """Return how many were left out since this was asked."""
        if not self._unsaid:  # nearly always
            return 0
        with self._lock:
            unsaid, self._unsaid = self._unsaid, 0
            return unsaid

    def unsay(self, number: int) -> None:
        """Take back what was to be said, and was not."""
        with self._lock:
            self._unsaid += number

    def begin_anew(self) -> None:
        """Begin in a forked process: what its parent left out, that one tells."""
        self._lock = threading.Lock()
        self._unsaid = 0
