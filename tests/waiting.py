"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.01


def wait_until(holds: Callable[[], object]) -> None:
    """Return when a condition holds; fail if it never does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(_LOOK_SECONDS)
