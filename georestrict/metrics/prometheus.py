"""Prometheus: what a meter has, when it scrapes.

With one process a collector reads the totals at each scrape. With several (the environment has
PROMETHEUS_MULTIPROC_DIR) every process writes what is new into ordinary counters of
prometheus_client, which keeps them in files and adds them up: from a thread, at a scrape that this
process answers, when an ASGI server shuts down, and when Python ends.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet, ref

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from georestrict.engine import Engine
from georestrict.errors import ConfigurationError
from georestrict.guard import Guard
from georestrict.metrics.counting import Meter, Point
from georestrict.metrics.kinds import BUCKETS, COUNTERS, GAUGES, LOOKUP
from georestrict.observe import logger

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Scraped(Collector):
    """What a registry shows of ours, while there is one process."""

    def __init__(
        self, targets: tuple[Engine | Guard, ...], at_end: Callable[[], None] | None = None
    ) -> None:
        self._histogram = Histogram(LOOKUP.prometheus, LOOKUP.what, buckets=BUCKETS, registry=None)
        # Around all that locks in prometheus_client: a fork waits for this one, and the child has
        # none of those that another thread held.
        self._using = threading.Lock()
        self.meter = Meter(targets, self.timed, at_end)
        _SCRAPED.add(self)

    def timed(self, seconds: float) -> None:
        """Take up how long a decision took."""
        with self._using:
            self._histogram.observe(seconds)

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values, for the registry to see that they are not taken."""
        yield from (CounterMetricFamily(kind.prometheus, kind.what) for kind in COUNTERS)
        yield from (GaugeMetricFamily(kind.prometheus, kind.what) for kind in GAUGES)
        yield from self._histogram.describe()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        totals = self.meter.totals()
        for kind in COUNTERS:
            family = CounterMetricFamily(kind.prometheus, kind.what, labels=kind.labels)
            for (of, labels), count in totals.items():
                if of is kind:
                    family.add_metric(labels, count)
            yield family
        yield from self.gauges()
        with self._using:
            timed = [*self._histogram.collect()]
        yield from timed

    def gauges(self) -> Iterator[Metric]:
        """Yield what is so now."""
        found = self.meter.gauges()
        for kind in GAUGES:
            family = GaugeMetricFamily(kind.prometheus, kind.what, labels=kind.labels)
            for (of, labels), value in found.items():
                if of is kind:
                    family.add_metric(labels, value)
            yield family

    def before_fork(self) -> None:
        """Wait until nobody uses prometheus_client."""
        self._using.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._using.release()

    def after_fork_in_child(self) -> None:
        """Go on in the forked process."""
        self._using = threading.Lock()


class Shared(Scraped):
    """The same where several processes share their counters; it shows what is so in this one.

    Files are only for what adds up. Those of a worker that has died stay and count on, as they
    have to, and none keeps an age or a snapshot that nothing has any more.
    """

    def __init__(self, targets: tuple[Engine | Guard, ...], every: float) -> None:
        self._counters = {
            kind: Counter(kind.prometheus, kind.what, kind.labels, registry=None)
            for kind in COUNTERS
        }
        self._written: dict[Point, int] = {}
        self._every, self._is_started = every, False
        super().__init__(targets, self.write)
        atexit.register(_write, ref(self))

    def timed(self, seconds: float) -> None:
        """Take up how long a decision took; the first one of a process starts its thread.

        Not earlier: a process that only forks those that serve needs none.
        """
        super().timed(seconds)
        self.start()

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics that it shows itself."""
        yield from (GaugeMetricFamily(kind.prometheus, kind.what) for kind in GAUGES)

    def collect(self) -> Iterator[Metric]:
        """Write what is new, and yield what is so in this process."""
        self.write()
        yield from self.gauges()

    def write(self) -> None:
        """Add to the counters what they do not have yet."""
        with self._using:
            for point, total in self.meter.totals().items():
                written = self._written.get(point)
                if total != written:
                    kind, labels = point
                    counter = self._counters[kind]
                    (counter.labels(*labels) if labels else counter).inc(total - (written or 0))
                    self._written[point] = total

    def start(self) -> None:
        """Write from a thread, as often as was asked for."""
        if self._is_started:
            return
        self._is_started = True
        threading.Thread(
            target=_run, args=(ref(self), self._every), name="georestrict-metrics", daemon=True
        ).start()

    def after_fork_in_child(self) -> None:
        """Go on with a thread of this process, if there was one."""
        super().after_fork_in_child()
        self._written = {}
        if self._is_started:
            self._is_started = False
            self.start()


def shown(
    targets: tuple[Engine | Guard, ...], registry: CollectorRegistry | None, every: float
) -> CollectorRegistry:
    """Show targets in a registry, and return it; see ``georestrict.metrics.instrument``."""
    is_shared = _is_shared()
    if registry is None:
        registry = _shared_registry() if is_shared else REGISTRY
    known = _KNOWN.get(registry)
    if known is not None:
        known.meter.add(targets)
        return registry
    if not is_shared:
        found = Scraped(targets)
    elif _WRITER:  # one for all registries: the files have each process once
        found = _WRITER[0]
        found.meter.add(targets)
    else:
        found = Shared(targets, every)
        _WRITER.append(found)
    registry.register(found)
    _KNOWN[registry] = found
    if is_shared and registry is _shared_registry():
        # After ours: that writes what is new before this one reads the files.
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _is_shared() -> bool:
    """Return whether several processes share their metrics.

    Raises:
        ConfigurationError: if prometheus_client was told otherwise, or there is no folder.
    """
    wanted = VARIABLE in os.environ
    if wanted is not bool(getattr(values.ValueClass, "_multiprocess", False)):
        raise ConfigurationError(
            f"metrics: {VARIABLE} was changed after prometheus_client was imported, which has "
            "settled by then whether processes share their metrics; set it before the server starts"
        )
    if wanted and not Path(os.environ[VARIABLE]).is_dir():
        raise ConfigurationError(
            f"metrics: {VARIABLE} is {os.environ[VARIABLE]!r}, which is no folder; make one that "
            "is empty whenever the server starts"
        )
    return wanted


@cache
def _shared_registry() -> CollectorRegistry:
    """Return the registry that shows the metrics of all processes."""
    return CollectorRegistry()


def _write(held: ref[Shared]) -> None:
    """Write what is left when the process ends."""
    shared = held()
    if shared is not None:
        shared.write()


def _run(held: ref[Shared], every: float) -> None:
    """Write for as long as there is somebody to write for."""
    pause, told = threading.Event(), ""
    while not pause.wait(every):
        shared = held()
        if shared is None:
            return
        try:
            shared.write()
            told = ""
        except Exception as error:  # a full disk, say: the next time writes it all
            if repr(error) != told:
                logger.exception("writing metrics failed; it goes on")
            told = repr(error)
        del shared


_KNOWN: WeakKeyDictionary[CollectorRegistry, Scraped] = WeakKeyDictionary()
_WRITER: list[Scraped] = []
_SCRAPED: WeakSet[Scraped] = WeakSet()
_HELD: list[Scraped] = []  # while this process forks
_FORKING = threading.Lock()  # one thread after another, else they let go what the other holds


def _before_fork() -> None:
    _FORKING.acquire()
    _HELD[:] = _SCRAPED
    for scraped in _HELD:
        scraped.before_fork()


def _after_fork_in_parent() -> None:
    while _HELD:
        _HELD.pop().after_fork_in_parent()
    _FORKING.release()


def _after_fork_in_child() -> None:
    global _FORKING
    while _HELD:
        _HELD.pop().after_fork_in_child()
    _FORKING = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
