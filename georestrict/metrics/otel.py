"""OpenTelemetry: what a meter has, as instruments that are asked when the app's SDK collects.

Only the API is used. Without an SDK nothing is ever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from opentelemetry import metrics as api

from georestrict.engine import Engine
from georestrict.guard import Guard
from georestrict.metrics.counting import Meter, Point
from georestrict.metrics.kinds import BUCKETS, COUNTERS, GAUGES, LOOKUP, Kind
from georestrict.version import __version__


class Observed:
    """The instruments of one provider."""

    def __init__(
        self, targets: tuple[Engine | Guard, ...], provider: api.MeterProvider | None
    ) -> None:
        made = api.get_meter("georestrict", __version__, provider)
        self._histogram = made.create_histogram(
            LOOKUP.opentelemetry,
            LOOKUP.unit,
            LOOKUP.what,
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self.meter = Meter(targets, self.timed)
        for kind in COUNTERS:
            made.create_observable_counter(
                kind.opentelemetry,
                [partial(_observed, self.meter.totals, kind)],
                kind.unit,
                kind.what,
            )
        for kind in GAUGES:
            made.create_observable_gauge(
                kind.opentelemetry,
                [partial(_observed, self.meter.gauges, kind)],
                kind.unit,
                kind.what,
            )

    def timed(self, seconds: float) -> None:
        """Take up how long a decision took."""
        self._histogram.record(seconds)


def observe(targets: tuple[Engine | Guard, ...], provider: api.MeterProvider | None) -> None:
    """Show targets to a provider; see ``georestrict.metrics.opentelemetry``."""
    known = _KNOWN.get(id(provider))
    if known is None:
        _KNOWN[id(provider)] = provider, Observed(targets, provider)
    else:
        known[1].meter.add(targets)


def _observed(
    read: Callable[[], dict[Point, int] | dict[Point, float]],
    kind: Kind,
    options: api.CallbackOptions,
) -> Iterable[api.Observation]:
    """Tell all values of one metric."""
    return [
        api.Observation(
            value,
            {name: label for name, label in zip(kind.labels, labels, strict=True) if label},
        )
        for (of, labels), value in read().items()
        if of is kind
    ]


# The SDK keeps its instruments for as long as the provider is there.
_KNOWN: dict[int, tuple[api.MeterProvider | None, Observed]] = {}
