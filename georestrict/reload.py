"""Reload: a new policy, its lists and data come into force as one, or the old stay."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

from georestrict.engine import Engine
from georestrict.errors import ConfigurationError

logger = logging.getLogger("georestrict")


def try_reload(engine: Engine) -> bool:
    """Reload an engine; on an error keep what is in force, log the error, and return False."""
    return engine.try_reload()


def reload_on_signal(
    engine: Engine, number: int = signal.SIGHUP if hasattr(signal, "SIGHUP") else 0
) -> None:
    """Reload in a thread of its own whenever the process receives a signal.

    To be called in the main thread of each worker, after it was forked; for several engines, once
    for each.

    Raises:
        ConfigurationError: if it is given no engine.
        ValueError: if it is called in another thread, or there is no such signal.
    """
    if not isinstance(engine, Engine):
        raise ConfigurationError(f"reload_on_signal is given {engine!r}, must be an Engine")
    known = signal.getsignal(number)
    engines = known.engines if isinstance(known, _OnSignal) else ()
    signal.signal(number, _OnSignal(tuple(dict.fromkeys((*engines, engine)))))


class _OnSignal:
    """What is called for a signal: it only starts a thread, since it runs amidst anything."""

    def __init__(self, engines: tuple[Engine, ...]) -> None:
        self.engines = engines

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            threading.Thread(target=self._reload, name="georestrict-reload").start()
        except RuntimeError as error:
            logger.error("nothing is reloaded: %s", error)

    def _reload(self) -> None:
        for engine in self.engines:
            try_reload(engine)
