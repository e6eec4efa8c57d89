"""How cost and memory grow: with networks, rules, countries and workers.

A request is the whole ASGI middleware around an app that does nothing, with a fresh scope; what is
told is guarded minus bare, medians of the thread's processor time. *Warm*: 1,000 addresses served
again and again. *Cold*: before each small batch, a buffer larger than the last-level cache is
walked, one write to each line; then requests of one address bring the code back, the text of the
batch's addresses is made anew, as a server does, and the batch, random addresses, finds the table
in memory but for what its own requests share.

Start and memory are measured in fresh processes: the seconds that ``Engine`` takes, and what the
process has more of after it, from ``/proc/self/smaps_rollup``; without a cache folder, and as a
second worker that finds the painted lists there. Workers are processes that each open the policy of
1,000,000 networks with one cache folder; private memory is what one worker would give back, and the
total of PSS is what all take together, shared pages counted once. What is private of the images is
told from ``smaps``, from the lines of their maps.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy

from benchmarks import apps
from benchmarks.common import save, target
from georestrict import Database, Engine
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.countries import NAMES

NETWORKS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
RULES = (1, 10, 100, 1_000)
LISTED_COUNTRIES = (1, 10, 100, 200)
WORKERS = (1, 2, 4, 8)
WARM, REQUESTS = 1_000, 5_000
COLD_REQUESTS, COLD_ROUNDS = 64, 31
CODE_REQUESTS = 32  # bring the code back after the caches were emptied
STARTS = 3
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure every growth, and write the result."""
    results: dict[str, Any] = {}
    database = Database.open()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by_networks: dict[str, Any] = {}
        for count in NETWORKS:
            policy = apps.listing_policy(folder, count)
            (folder / f"{count}.json").write_text(json.dumps(policy))
            by_networks[f"{count:,}"] = policy
        results["networks"] = grown(by_networks, database, "networks", cold=True)
        for count in NETWORKS:
            results["networks"][f"{count:,}"] |= started(folder, count)
        results["import_and_default_start_seconds"] = import_seconds()
        (folder / "none.json").write_text(json.dumps(apps.BLOCK_LIST))
        cache = str(folder / "cache")
        results["workers, no list"] = {"2": workers(folder / "none.json", 2, cache)}
        results["workers"] = {
            str(count): workers(folder / f"{NETWORKS[-1]}.json", count, cache) for count in WORKERS
        }
    of_images = results["workers"]["2"]["private_of_images_each_mib"]
    results["rules, by network"] = grown(
        {f"{count:,}": network_rules(count) for count in RULES}, database, "network rules"
    )
    results["rules, by path"] = grown(
        {f"{count:,}": apps.path_policy(count) for count in RULES}, database, "path rules"
    )
    results["countries"] = grown(
        {f"{count:,}": country_policy(count) for count in LISTED_COUNTRIES},
        database,
        "countries",
    )
    save(
        "scale",
        {
            "rounds": apps.ROUNDS,
            "cold_rounds": COLD_ROUNDS,
            "walked_bytes": len(_buffer()),
            **results,
            "targets": [
                target(
                    "private of the images in each of two workers, 1M networks, MiB", 1, of_images
                )
            ],
        },
    )


def network_rules(count: int) -> dict[str, Any]:
    """Return a policy of so many rules with a network each."""
    rules = [
        {"name": f"network {number}", "action": "block", "networks": [network]}
        for number, network in enumerate(apps.networks(count))
    ]
    return apps.BLOCK_LIST | {"rules": [*rules, apps.COUNTRY_RULE]}


def country_policy(count: int) -> dict[str, Any]:
    """Return a policy that blocks so many countries, and never GB, whose clients are measured."""
    countries = [code for code in sorted(NAMES) if code != "GB"][:count]
    return apps.BLOCK_LIST | {"rules": [apps.COUNTRY_RULE | {"countries": countries}]}


def grown(
    policies: dict[str, dict[str, Any]], database: Database, what: str, *, cold: bool = False
) -> dict[str, dict[str, Any]]:
    """Return what each policy adds to a request that all of them allow."""
    engines = {name: Engine(policy, database=database) for name, policy in policies.items()}
    if what == "networks":
        for name, engine in engines.items():
            apps.check_listed(engine, int(name.replace(",", "")))
    if what == "countries":
        addresses = british(database, *engines.values())
    else:
        addresses = apps.plain_addresses(20_000, *engines.values())
    served = {
        name: GeoRestrictMiddleware(apps.bare, engine=engine) for name, engine in engines.items()
    }
    with asyncio.Runner() as loop:
        trace = addresses[:WARM] * (REQUESTS // WARM)
        candidates = {
            name: warm_run(loop, app, trace) for name, app in {"bare": apps.bare, **served}.items()
        }
        times = {"warm": apps.in_rounds(candidates)}
        if cold:
            spread = random.Random(2)
            runs = {
                name: cold_run(loop, app, addresses, spread)
                for name, app in {"bare": apps.bare, **served}.items()
            }
            times["cold"] = apps.in_rounds(runs, COLD_ROUNDS)
    results: dict[str, dict[str, Any]] = {}
    for name in policies:
        results[name] = {
            f"added_{kind}_ns": round(median(found[name]) - median(found["bare"]), 1)
            for kind, found in times.items()
        }
        print(f"scale, {name} {what}: {results[name]}")
    return results


def british(database: Database, *engines: Engine) -> list[str]:
    """Return addresses that appear to be in GB, and that every engine plainly allows."""
    found: list[str] = []
    for seed in range(9, 99):
        found += (
            address
            for address in apps.plain_addresses(20_000, *engines, seed=seed)
            if database.country(address) == "GB"
        )
        if len(found) >= WARM:
            return found
    raise AssertionError(f"only {len(found)} addresses")


def warm_run(loop: asyncio.Runner, app: Any, trace: Sequence[str]) -> Callable[[], float]:
    """Return a measurement of a trace, whose second pass counts."""

    async def serve() -> float:
        started = 0
        for _ in range(2):
            started = time.thread_time_ns()
            for address in trace:
                await app(apps.direct(address), None, None)
        return (time.thread_time_ns() - started) / len(trace)

    return lambda: loop.run(serve())


def cold_run(
    loop: asyncio.Runner, app: Any, addresses: Sequence[str], spread: random.Random
) -> Callable[[], float]:
    """Return a measurement of a batch that finds nothing of the table in a cache."""
    buffer = _buffer()

    async def serve() -> float:
        chosen = spread.sample(addresses, COLD_REQUESTS)
        buffer[::64] += 1  # one write to each cache line
        for _ in range(CODE_REQUESTS):
            await app(apps.direct(apps.ALLOWED), None, None)
        # made anew, as a server does: only the table is cold, not the text
        batch = [address.encode().decode() for address in chosen]
        started = time.thread_time_ns()
        for address in batch:
            await app(apps.direct(address), None, None)
        return (time.thread_time_ns() - started) / len(batch)

    return lambda: loop.run(serve())


_kept: list[Any] = []


def _buffer() -> Any:
    """Return a buffer a quarter larger than the last-level cache, or 64 MiB where none is told."""
    if not _kept:
        sizes = [
            int(path.read_text().strip().removesuffix("K")) << 10
            for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        ]
        _kept.append(numpy.zeros(max([*sizes, 48 << 20]) * 5 // 4, dtype=numpy.uint8))
    return _kept[0]


def process(code: str, *arguments: str, cache: str = "") -> subprocess.Popen[str]:
    """Start a fresh Python on some code, with a cache folder or without."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | {"GEORESTRICT_CACHE_DIR": cache},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


OPEN = """
import json, sys, time
from pathlib import Path

def memory():
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    kib = {words[0]: int(words[1]) for words in lines}
    return kib["Pss:"], kib["Private_Clean:"] + kib["Private_Dirty:"]

from georestrict import Engine
policy = json.loads(Path(sys.argv[1]).read_text())
before = memory()
began = time.perf_counter()
engine = Engine(policy)
seconds = time.perf_counter() - began
after = memory()
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM"))
print(json.dumps({
    "start_seconds": seconds,
    "more_pss_mib": (after[0] - before[0]) / 1024,
    "more_private_mib": (after[1] - before[1]) / 1024,
    "peak_resident_mib": int(peak) / 1024,
}), flush=True)
for address in sys.stdin:
    print(engine.decide(address.strip()).action.value, flush=True)
"""

IMPORT = """
import time
began = time.perf_counter()
from georestrict.asgi import GeoRestrictMiddleware
imported = time.perf_counter()
async def app(scope, receive, send): ...
GeoRestrictMiddleware(app, policy={"default": "allow", "contact": "https://example.com/contact",
    "rules": [{"name": "cn", "action": "block", "countries": ["CN"]}]})
print(imported - began, time.perf_counter() - imported)
"""


def started(folder: Path, count: int) -> dict[str, float]:
    """Return what a policy takes at start: medians without a cache, then of a second worker."""
    policy, cache = folder / f"{count}.json", str(folder / "cache")
    alone = [start(policy) for _ in range(STARTS)]
    found = {key: round(median(each[key] for each in alone), 3) for key in alone[0]}
    start(policy, cache)  # the first worker
    second = [start(policy, cache) for _ in range(STARTS)]
    found |= {
        f"second_worker_{key}": round(median(each[key] for each in second), 3) for key in second[0]
    }
    print(f"scale, {count:,} networks: {found}", flush=True)
    return found


def start(policy: Path, cache: str = "") -> dict[str, float]:
    """Open a policy in a fresh process, and return what it told."""
    with process(OPEN, str(policy), cache=cache) as child:
        output, _ = child.communicate(apps.BLOCKED + "\n")
    told, answer = output.splitlines()
    assert answer == "block", output
    found: dict[str, float] = json.loads(told)
    return found


def import_seconds() -> dict[str, float]:
    """Return the seconds of importing the middleware, and of building it over the default data."""
    found = []
    for _ in range(5):
        with process(IMPORT) as child:
            output, _ = child.communicate()
        found.append([float(word) for word in output.split()])
    imported, built = (round(median(column), 4) for column in zip(*found, strict=True))
    print(f"scale, start: import {imported:.3f} s, default middleware {built:.3f} s")
    return {"import": imported, "middleware": built}


def workers(policy: Path, count: int, cache: str) -> dict[str, float]:
    """Start so many workers on a policy, and return the memory that they take."""
    with ExitStack() as running:
        children = [
            running.enter_context(process(OPEN, str(policy), cache=cache)) for _ in range(count)
        ]
        for child in children:
            assert child.stdin is not None and child.stdout is not None
            running.callback(child.terminate)
            json.loads(child.stdout.readline())
            child.stdin.write(apps.BLOCKED + "\n")
            child.stdin.flush()
            assert child.stdout.readline() == "block\n"
        memory = [rollup(child.pid) for child in children]
        of_images = [private_of_images(child.pid) for child in children]
    found = {
        "total_pss_mib": round(sum(pss for pss, _ in memory), 1),
        "pss_each_mib": round(sum(pss for pss, _ in memory) / count, 1),
        "private_each_mib": round(median(private for _, private in memory), 2),
        "private_of_images_each_mib": round(max(of_images), 2),
    }
    print(f"scale, {count} workers: {found}")
    return found


def rollup(pid: int) -> tuple[float, float]:
    """Return PSS and private memory of a process, in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {words[0]: int(words[1]) for words in map(str.split, lines)}
    return kib["Pss:"] / 1024, (kib["Private_Clean:"] + kib["Private_Dirty:"]) / 1024


def private_of_images(pid: int) -> float:
    """Return how much of the mapped images a process has for itself alone, in MiB."""
    kib, images, is_image = 0, 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):  # the head of a map: addresses, rights, ..., the file
            is_image = line.endswith(".grdb")
            images += is_image
        elif is_image and first in ("Private_Clean:", "Private_Dirty:"):
            kib += int(rest[0])
    assert images, "no image is mapped"
    return kib / 1024


if __name__ == "__main__":
    main()
