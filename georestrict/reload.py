"""Reload: a new policy, its lists and data come into force as one, or the old stay."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from georestrict.engine import Engine


def try_reload(engine: Engine) -> bool:
    """Reload an engine; on an error keep what is in force, log the error, and return False."""
    return engine.try_reload()


def reload_on_signal(
    engine: Engine, number: int = signal.SIGHUP if hasattr(signal, "SIGHUP") else 0
) -> None:
    """Reload in a thread of its own whenever the process receives a signal.

    To be called in the main thread of each worker, after it was forked.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=try_reload, args=(engine,), name="georestrict-reload").start()

    signal.signal(number, handle)
