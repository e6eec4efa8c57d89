"""The events that are written meanwhile, as the JSON lines that a log has."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from georestrict import Engine
from georestrict.observe import Event, JsonLines, Kind
from georestrict.observe.ledger import Outcome, outcome_of

LOGGER = logging.getLogger("georestrict.events")


class Written:
    """A stream of JSON lines, and the events that they are."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[str]:
        """The lines, each without its end."""
        text = self.stream.getvalue()
        assert not text or text.endswith("\n")
        return text.split("\n")[:-1]

    @property
    def events(self) -> list[Event]:
        """The events."""
        return [Event.from_json(line) for line in self.lines]

    def of(self, kind: Kind) -> list[Event]:
        """The events of a kind."""
        return [event for event in self.events if event.kind is kind]


@contextmanager
def writing() -> Iterator[Written]:
    """Write events to a stream, and nowhere else."""
    written = Written()
    handler = logging.StreamHandler(written.stream)
    handler.setFormatter(JsonLines())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        yield written
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(logging.NOTSET)
        LOGGER.propagate = True


def summed(events: list[Event]) -> Counter[Outcome]:
    """How many requests got what, as events tell."""
    found: Counter[Outcome] = Counter()
    for event in events:
        assert event.status is not None
        found[
            Outcome(
                event.action,
                event.would,
                event.emergency,
                event.reason,
                event.rule,
                event.code,
                event.counted,
                event.country,
                event.status,
            )
        ] += event.count
    return +found


def counted(*engines: Engine) -> Counter[Outcome]:
    """How many requests got what, as engines count."""
    found: Counter[Outcome] = Counter()
    for engine in engines:
        for decision, number in engine.counts.items():
            found[outcome_of(decision)] += number
    return found
