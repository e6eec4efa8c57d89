"""What the questions share: rounds, medians, targets, and result files that say where.

What is read is the processor time of the thread, not the wall's: nothing that is timed waits, and
so what else runs on the machine counts less.
"""

from __future__ import annotations

import json
import platform
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median
from types import FunctionType
from typing import Any

from georestrict import BACKEND

RESULTS = Path(__file__).parent / "results"
ROUNDS = 15


def random_ipv4(count: int, seed: int) -> list[str]:
    """Addresses drawn uniformly."""
    spread = random.Random(seed)
    return [str(IPv4Address(spread.getrandbits(32))) for _ in range(count)]


def time_round(
    candidates: Mapping[str, Callable[[], object]],
    calls: int,
    first: int,
    warm: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, float]:
    """Run all candidates once, beginning with the ``first``; return nanoseconds a call.

    Whoever comes behind another over the same addresses finds them warm. So each round begins with
    another candidate. ``warm`` is run before a candidate, untimed.
    """
    names = list(candidates)
    first %= len(names)
    times = {}
    for name in names[first:] + names[:first]:
        if warm:
            warm[name]()
        run = candidates[name]
        start = time.thread_time_ns()
        run()
        times[name] = (time.thread_time_ns() - start) / calls
    return times


def interleaved(
    candidates: dict[str, Callable[[], object]], calls: int
) -> dict[str, dict[str, float]]:
    """Run all candidates in turn, round by round; nanoseconds a call: median, lowest, highest."""
    rounds = [time_round(candidates, calls, number) for number in range(ROUNDS)]
    return {
        name: {f"{of}_ns": value for of, value in spread(one[name] for one in rounds).items()}
        for name in candidates
    }


def spread(values: Iterable[float], digits: int = 6) -> dict[str, float]:
    """Return median, lowest and highest."""
    found = list(values)
    named = {"median": median(found), "lowest": min(found), "highest": max(found)}
    return {name: round(value, digits) for name, value in named.items()}


def target(
    what: str,
    wanted: float,
    measured: float | None,
    between: Sequence[float] = (),
    *,
    stretch: float | None = None,
    at_least: bool = False,
) -> dict[str, Any]:
    """Return one line of issue 3's table: what was wanted, and whether it was met.

    ``between`` is how sure the measured number is: an interval, or the lowest and highest round.
    Without a measured number it was not run.
    """

    def reaches(limit: float | None) -> bool | None:
        if limit is None or measured is None:
            return None
        return measured >= limit if at_least else measured <= limit

    sign, met = (">=" if at_least else "<="), reaches(wanted)
    said = {True: "met", False: "NOT met", None: "not run"}[met]
    print(f"target: {what} {sign} {wanted:g}: {measured}, {said}", flush=True)
    return {
        "what": what,
        "wanted": f"{sign} {wanted:g}",
        "stretch": None if stretch is None else f"{sign} {stretch:g}",
        "measured": measured,
        "between": list(between),
        "met": met,
        "stretch_met": reaches(stretch),
    }


def loop(call: Callable[[str], object] | None, texts: Sequence[str]) -> Callable[[], None]:
    """Return a loop that calls with each text; without a call, the loop alone.

    Each loop has a code object of its own: CPython specialises a call in the code, so a shared one
    would be slow for all callables but one kind.
    """

    def calling() -> None:
        ask = call
        for text in texts:
            ask(text)  # type: ignore[misc] # the other loop is for no call

    def empty() -> None:
        for _ in texts:
            pass

    made = empty if call is None else calling
    return FunctionType(made.__code__.replace(), made.__globals__, closure=made.__closure__)


def save(name: str, results: Mapping[str, object]) -> None:
    """Write a result file with the date, the machine, the versions and the commit."""
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
        "packages": _versions(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"about": about, **results}, indent=2) + "\n")


def _versions() -> dict[str, str]:
    """The versions of ours, and of what the extra ``bench`` installs."""
    required = metadata.requires("georestrict") or []
    peers = [one for one in required if re.search(r"extra == ['\"]bench['\"]", one)]
    names = ["georestrict", "starlette", *(re.split(r"[\s\[<>=!~;]", one)[0] for one in peers)]
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )
