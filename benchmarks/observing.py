"""What being watched adds to a guarded request: events, Prometheus and OpenTelemetry, all on.

Two middlewares over the same policy and data, one watched and one not, each in turn, in process, as
in middleware.py; what is told is what they add to the bare app, and the ratio of the two. *Watched*
is as much as anybody would switch on: events as JSON lines to a file; Prometheus as in one of
several workers, with the thread that writes what is new every second; OpenTelemetry with an SDK
that collects every second. *sampled* makes events of every hundredth allowed request, too, as far
as their limit goes (100 a second).

Clocks are those of middleware.py: the thread's processor time, so the other threads' work is not in
it. That does not grow with the requests, and is told for itself: how long reading everything takes,
once a second. So is a blocked request, whose events are limited to 100 a second by default.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from benchmarks import apps
from benchmarks.common import save, target
from georestrict import Database, Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.metrics import instrument, opentelemetry
from georestrict.observe import Events, log_events

REQUESTS = 10_000
WANTED = 1.10  # issue 8: at most so many times what an unwatched one adds
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BLOCKED_SHARE = 10  # so many times fewer requests of what takes longer
READS = 200

OPTIONS: dict[str, dict[str, Any]] = {
    "direct": {},
    "proxied": {"client": TrustedProxies("10.0.3.0/24")},
}


def proxied(address: str) -> dict[str, Any]:
    """The scope of a client behind a trusted proxy, with 12 headers and a chain of three."""
    chain = (b"x-forwarded-for", f"8.8.8.8, {address}, 10.0.3.9".encode())
    return apps.direct("10.0.3.7") | {"headers": [*apps.HEADERS, chain]}


SCOPES: dict[str, Callable[[str], dict[str, Any]]] = {"direct": apps.direct, "proxied": proxied}


class Counting(MetricExporter):
    """Takes what the SDK has collected, and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.points = 0

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any
    ) -> MetricExportResult:
        """Count the points."""
        self.points += sum(
            len(metric.data.data_points)
            for resource in metrics_data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        """Nothing is kept."""
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        """Nothing is open."""


async def receive() -> dict[str, Any]:
    """There is no body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    """Nobody listens."""


async def serve(app: Any, scope_of: Callable[[str], Any], addresses: Sequence[str]) -> float:
    """Return nanoseconds a request; the second pass counts, as in middleware.py."""
    start = 0
    for _ in range(2):
        start = time.thread_time_ns()
        for address in addresses:
            await app(scope_of(address), receive, send)
    return (time.thread_time_ns() - start) / len(addresses)


def watched(name: str, guarded: GeoRestrictMiddleware, seen: Callable[[], Any]) -> None:
    """Hold a middleware to being watched, or not: a block shows in the metrics, or does not."""
    before = seen()
    asyncio.run(serve(guarded, apps.direct, [apps.BLOCKED]))
    told = seen() - before
    assert told == (0 if name.startswith("off") else 2), (name, told)


def main() -> None:
    """Measure in a process whose environment has the folder from the start; write the result."""
    if VARIABLE not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {VARIABLE: folder}
            command = [sys.executable, "-m", "benchmarks.observing"]
            subprocess.run(command, env=environment, cwd=Path(__file__).parents[1], check=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))


def measure(folder: Path) -> None:
    """Check every set-up, measure it, and write the result."""
    database = Database.open()
    engines = {
        name: Engine(apps.BLOCK_LIST, database=database) for name in ("off", "on", "sampled")
    }
    addresses = apps.plain_addresses(REQUESTS, engines["off"])
    guards: dict[str, GeoRestrictMiddleware] = {}
    for kind, options in OPTIONS.items():
        for name, engine in engines.items():
            events = Events(allows=0.01) if name == "sampled" else None
            guards[f"{name}, {kind}"] = GeoRestrictMiddleware(
                apps.bare, engine=engine, events=events, **options
            )
    registry = instrument(engines["on"], engines["sampled"])
    exporter = Counting()
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 1000)])
    opentelemetry(engines["on"], engines["sampled"], meter_provider=provider)
    handler = log_events(folder / "events")
    logger = logging.getLogger("georestrict.events")

    def seen() -> float:
        return sum(
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "georestrict_decisions_total" and sample.labels["action"] == "block"
        )

    for name, guarded in guards.items():
        if name.endswith("direct"):
            watched(name, guarded, seen)
    times = rounds(guards, addresses, logger)
    took = reads(registry, provider)
    provider.shutdown()
    written = (folder / "events").read_text().count("\n")
    logger.removeHandler(handler)
    handler.close()
    assert written > 100, written  # of the samples
    assert exporter.points > 1000
    report(times, took, written)


def rounds(
    guards: dict[str, GeoRestrictMiddleware], addresses: list[str], logger: logging.Logger
) -> apps.Runs:
    """Run all candidates in rounds; events are on only while watched ones run."""
    blocked = [apps.BLOCKED] * (REQUESTS // BLOCKED_SHARE)
    with asyncio.Runner() as loop:

        def candidate(name: str, app: Any, kind: str, trace: list[str]) -> Callable[[], float]:
            def run() -> float:
                logger.disabled = not name.startswith(("on", "sampled"))
                return loop.run(serve(app, SCOPES[kind], trace))

            return run

        candidates = {
            f"bare, {kind}": candidate("bare", apps.bare, kind, addresses) for kind in OPTIONS
        }
        for name, guarded in guards.items():
            candidates[name] = candidate(name, guarded, name.split(", ")[1], addresses)
        for name in ("off", "on"):
            app = guards[f"{name}, direct"]
            candidates[f"{name}, blocking"] = candidate(name, app, "direct", blocked)
        return apps.in_rounds(candidates)


def reads(registry: Any, provider: Any) -> dict[str, float]:
    """Return milliseconds of processor time that reading and handing on everything takes."""
    (ours,) = [one for one in registry._collector_to_names if hasattr(one, "write")]
    found: dict[str, float] = {"series": len(ours.meter.totals())}
    for name, read in (("Prometheus", ours.write), ("OpenTelemetry", provider.force_flush)):
        took = []
        for _ in range(READS):
            start = time.process_time_ns()
            read()
            took.append((time.process_time_ns() - start) / 1e6)
        found[name] = round(median(took), 3)
    return found


def report(times: apps.Runs, took: dict[str, float], written: int) -> None:
    """Print and write the result."""
    results, targets = {}, []
    for kind in OPTIONS:
        base = f"bare, {kind}"
        for name in ("on", "sampled"):
            ratio, interval = apps.ratio_of_added(
                times, (f"{name}, {kind}", base), (f"off, {kind}", base)
            )
            results[f"{name}, {kind}"] = {
                "added_ns": round(median(times[f"{name}, {kind}"]) - median(times[base]), 1),
                "unwatched_added_ns": round(median(times[f"off, {kind}"]) - median(times[base]), 1),
                "over_unwatched": ratio,
                "over_unwatched_95_percent": interval,
            }
            if name == "on":
                what = f"added latency watched by everything, {kind}, over that unwatched"
                targets.append(target(what, WANTED, ratio, interval))
    for name, found in results.items():
        print(f"observing, {name}: {found}")
    blocking = {name: round(median(times[name]), 1) for name in times if name.endswith("blocking")}
    print(f"observing, a blocked request, ns: {blocking}")
    print(f"observing, ms of a read of everything: {took}")
    save(
        "observing",
        {
            "rounds": apps.ROUNDS,
            "requests_a_round": REQUESTS,
            "events_written": written,
            "added": results,
            "blocked_request_ns": blocking,
            "read_ms": took,
            "targets": targets,
        },
    )


if __name__ == "__main__":
    main()
