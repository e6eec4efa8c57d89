"""How fast a log is replayed: the whole command, from a combined log to its JSON.

The log is that of ``tests/logs.py``: clients all over IPv4 and IPv6, 7,000 targets, accounts, one
line in a thousand with escapes or spaces where none are expected. The policy is an allow list of
countries. Times are the wall's, as both cores are used; memory is the most that the process had.

First the command must count as a plain loop does: a regular expression and one decision for each
line. That loop, written as one would by hand, is also a peer; GoAccess, if it is here, is another,
which judges nothing: it reads the same lines and counts addresses, paths and the like.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import save, spread, target
from georestrict import Database, Engine
from tests.logs import Traffic

LINES = 20_000_000
FEW = 2_000_000
CHECKED = 200_000  #: lines that the loop reads, too
ROUNDS = 3
#: Lines a second, of the whole command on two cores: issue 8.
WANTED = 1_000_000
#: Memory for ten times as many lines, over that for one: flat, but for the allocator's moods.
FLAT = 1.25
POLICY = """\
default = "block"
contact = "https://example.com/help"

[fallback]
unknown = "block"
private = "allow"
unresolved = "block"
no_data = "block"

[[rules]]
name = "sold-here"
action = "allow"
countries = ["US", "CA", "GB", "DE", "FR", "NL", "SE", "JP"]
"""
BETWEEN = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
told = {"processor_seconds": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024}
print(json.dumps(told), file=sys.stderr)
sys.exit(code)
"""
LINE = re.compile(r'(\S+) \S+ (.+?) \[([^]]+)\] "(\S+) ([^"]*) (HTTP/[\d.]+)" (\d{3}) ')


def main() -> None:
    """Generate the logs, check, measure, and write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder))
    save("replay", results)


def measure(folder: Path) -> dict[str, Any]:
    """Return what was measured with logs in a folder."""
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    logs = {count: folder / f"{count}.log" for count in (CHECKED, FEW, LINES)}
    for count, log in logs.items():
        Traffic().write(log, count)
        print(f"{count:,} lines: {log.stat().st_size / 1e6:,.0f} MB", flush=True)
    answer, *_ = replay(logs[CHECKED], policy)
    by_action, _ = loop(logs[CHECKED], policy)
    assert {action: count for action, count in answer["by_action"].items() if count} == by_action
    assert (answer["requests"], answer["unparsed"]) == (CHECKED, 0)
    rates: dict[str, list[float]] = {"georestrict replay": [], "loop": []}
    counters = ["goaccess"] if shutil.which("goaccess") else []
    rates |= {name: [] for name in counters}
    memory_few = []
    for number in range(ROUNDS):
        order = [*rates][number % len(rates) :] + [*rates][: number % len(rates)]
        for name in order:
            if name == "loop":
                by_action, looped = loop(logs[CHECKED], policy)
                rates[name].append(CHECKED / looped)
            elif name == "goaccess":
                rates[name].append(FEW / goaccess(logs[FEW]))
            else:
                answer, seconds, _, memory = replay(logs[FEW], policy)
                assert answer["requests"] == FEW
                rates[name].append(FEW / seconds)
                memory_few.append(memory)
    answer, seconds, processors, memory = replay(logs[LINES], policy)
    assert (answer["requests"], sum(answer["by_action"].values())) == (LINES, LINES)
    rate = LINES / seconds
    many = {"lines": LINES, "bytes": logs[LINES].stat().st_size, "seconds": round(seconds, 2)}
    many["processor_seconds"] = round(processors, 2)
    return {
        "lines_per_second": {name: spread(found, 0) for name, found in rates.items()},
        "lines_in_a_round": {"georestrict replay": FEW, "loop": CHECKED, "goaccess": FEW},
        "all_lines": {**many, "lines_per_second": round(rate), "peak_mib": round(memory, 1)},
        "peak_mib": {str(FEW): spread(memory_few, 1)},
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "targets": [
            target(f"lines a second of {LINES:,}", WANTED, round(rate), at_least=True),
            target(
                "memory for ten times the lines, times",
                FLAT,
                round(memory / spread(memory_few)["median"], 3),
            ),
        ],
    }


def replay(log: Path, policy: Path) -> tuple[dict[str, Any], float, float, float]:
    """Run the command; return its answer, its seconds, those of processors, and its MiB."""
    command = [sys.executable, "-m", "georestrict", "replay", str(log)]
    command += ["--policy", str(policy), "--format", "combined", "--json"]
    output, *used = run(command)
    answer: dict[str, Any] = json.loads(output)
    return answer, used[0], used[1], used[2]


def goaccess(log: Path) -> float:
    """Return the seconds that GoAccess takes to count the same lines."""
    options = ["--no-global-config", "--log-format=COMBINED", "--no-progress", "--jobs=2"]
    help_text = subprocess.run(
        ["goaccess", "--help"], capture_output=True, text=True, check=False
    ).stdout
    if "--jobs" not in help_text:  # those before 1.8 read with one thread
        options.remove("--jobs=2")
    output, seconds, *_ = run(["goaccess", str(log), *options, "--output-format=json"])
    assert json.loads(output)["general"]["valid_requests"] >= 0.99 * FEW
    return seconds


def run(command: Sequence[str]) -> tuple[bytes, float, float, float]:
    """Run a program; return its output, its seconds by the wall and of processors, and its MiB.

    Between it and this process is a small one, since what a program has at most includes what it
    was forked from.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, *command], capture_output=True, check=False
    )
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr.decode()
    used = json.loads(done.stderr.splitlines()[-1])
    return done.stdout, seconds, used["processor_seconds"], used["mib"]


def loop(log: Path, policy: Path) -> tuple[Counter[str], float]:
    """Count what is decided as one would by hand; return it, and the seconds that it took."""
    engine = Engine(policy, database=Database.open())
    counted: Counter[str] = Counter()
    start = time.perf_counter()
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            found = LINE.match(line)
            assert found is not None, line
            counted[str(engine.decide(found[1]).action)] += 1
    return counted, time.perf_counter() - start
