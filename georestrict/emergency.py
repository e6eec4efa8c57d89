"""The emergency switch: a file that turns blocks into warnings while it exists.

It may hold the time until which (RFC 3339, such as ``2026-12-01T06:00:00Z``); else the switch is on
until the file is removed. Whether it is there is looked at when a request is to be blocked, at most
every half second: what is let through costs nothing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger("georestrict")

#: The environment variable that names the file if the policy does not.
VARIABLE = "GEORESTRICT_EMERGENCY_FILE"
_LOOK_SECONDS = 0.5
_LONGEST = 1024  # bytes that are read of it


class Emergency:
    """The switch; ``path`` None is one that is never on. ``moment`` is a steady clock."""

    def __init__(self, path: Path | None, moment: Callable[[], float] = time.monotonic) -> None:
        self._path, self._moment = path, moment
        self._next_look = -math.inf
        self._seen: tuple[int, int, int] | None = None  # of which file …
        self._until = -math.inf  # … until when it holds
        self._was_on = False
        self._trouble = ""

    def is_on(self, now: float) -> bool:
        """Return whether blocks are warnings now (seconds since the epoch); log a change."""
        on = self.holds(now)
        if on != self._was_on and self._path is not None:
            self._was_on = on
            _tell(self._path, on, self._until)
        return on

    def was_on(self, at: float) -> bool:
        """Return whether blocks are warnings at a time, by the file as it was last looked at."""
        return at < self._until

    def holds(self, at: float) -> bool:
        """Return whether blocks are warnings at a time, by the file as it is now."""
        if self._path is None:
            return False
        moment = self._moment()
        if moment >= self._next_look:
            self._next_look = moment + _LOOK_SECONDS
            self._look(self._path)
        return at < self._until

    def _look(self, path: Path) -> None:
        trouble = ""
        try:
            status = path.stat()
            seen = status.st_mtime_ns, status.st_size, status.st_ino
            if seen == self._seen:
                return
            self._until = _read(path)
            self._seen = seen
        except FileNotFoundError:
            self._seen, self._until = None, -math.inf
        except (OSError, OverflowError, ValueError) as error:
            # It holds if it is there, and is read again: it may become readable as it is.
            self._seen, self._until = None, math.inf if _is_there(path) else -math.inf
            trouble = str(error)
        if trouble and trouble != self._trouble:
            logger.error(
                "the emergency file %s: %s; the switch is %s: write a time such as "
                "2026-12-01T06:00:00Z into it, or nothing",
                path,
                trouble,
                "on until the file is removed" if self._until > 0 else "off",
            )
        self._trouble = trouble


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a folder that may not be entered
        return False


def _read(path: Path) -> float:
    """Return until when the file says.

    Raises:
        OSError, OverflowError, ValueError: if it says no time.
    """
    with path.open("rb") as file:
        text = file.read(_LONGEST).decode("utf-8-sig").partition("#")[0].strip()
    if not text:
        return math.inf
    until = datetime.fromisoformat(text)
    if until.utcoffset() is None:
        raise ValueError(f"{text!r} has no offset; add Z for UTC, or +02:00")
    return until.astimezone(UTC).timestamp()


def _tell(path: Path, on: bool, until: float) -> None:
    if not on:
        over = f"its time is over ({_shown(until)})" if until > -math.inf else "the file is gone"
        logger.warning("emergency switch off: %s; blocks are enforced (%s)", over, path)
    elif until < math.inf:
        logger.warning(
            "emergency switch on: blocks are warnings until %s (%s)", _shown(until), path
        )
    else:
        logger.warning("emergency switch on: blocks are warnings until %s is removed", path)


def _shown(time_: float) -> str:
    return datetime.fromtimestamp(time_, UTC).isoformat()
