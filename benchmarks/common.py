"""What the benchmarks share: interleaved rounds, medians, and result files that say where."""

from __future__ import annotations

import json
import platform
import random
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median

from georestrict import BACKEND

RESULTS = Path(__file__).parent / "results"
ROUNDS = 15


def random_ipv4(count: int, seed: int) -> list[str]:
    """Addresses drawn uniformly."""
    spread = random.Random(seed)
    return [str(IPv4Address(spread.getrandbits(32))) for _ in range(count)]


def interleaved(
    candidates: dict[str, Callable[[], object]], calls: int
) -> dict[str, dict[str, float]]:
    """Run all candidates in turn, round by round; nanoseconds a call: median, lowest, highest."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            start = time.perf_counter_ns()
            run()
            times[name].append((time.perf_counter_ns() - start) / calls)
    return {
        name: {"median_ns": median(found), "lowest_ns": min(found), "highest_ns": max(found)}
        for name, found in times.items()
    }


def save(name: str, results: dict[str, object]) -> None:
    """Write a result file with the date, the machine, the versions and the commit."""
    packages = {}
    for package in ("georestrict", "iptocc", "maxminddb", "starlette"):
        try:
            packages[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    about = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": "make bench",
        "backend": BACKEND,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {_processor()}",
        "commit": commit.stdout.strip() or "unknown",
        "packages": packages,
        "rounds": ROUNDS,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"about": about, **results}, indent=2) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )
