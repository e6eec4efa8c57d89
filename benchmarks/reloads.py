"""How long a reload keeps an event loop waiting that serves in the same process.

A coroutine sleeps a millisecond again and again while ``engine.reload()`` runs in a thread; a *gap*
is by how much more than that it was kept waiting. What a machine that others use, too, adds to it
is told apart: *own* is the gap without the time in which a thread of the process could run and was
not let (``/proc/self/task/*/schedstat``), and *wall* is the whole. The peer is the same process
before it has loaded anything, for as long as a reload takes at least.

Each case runs in fresh processes: compiled and plain core; the default data with a policy, lists of
1,000,000 networks, and an MMDB of 550,000 networks; with a cache folder in which what is to be
painted is missing each time (the list or the MMDB has changed), and without one.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import apps  # noqa: E402 the path above comes first
from benchmarks.common import save, spread, target  # noqa: E402
from georestrict import Engine  # noqa: E402
from georestrict.countries import NAMES  # noqa: E402

NETWORKS, RECORDS = 1_000_000, 550_000
RELOADS = {"compiled": 5, "python": 2}
CASES = ("default data", "lists of 1,000,000", "MMDB of 550,000")
MOST_MS = 20
_REST = 0.001


def main() -> None:
    """Measure every case, and write the result."""
    found: dict[str, dict[str, Any]] = {}
    worst = {"compiled": 0.0, "python": 0.0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_mmdb(folder / "large.mmdb")
        for backend in RELOADS:
            for case in CASES:
                for kept in (True, False):
                    told = _run(folder, case, backend, kept=kept)
                    which = f"{backend}, {case}, {'cache' if kept else 'no cache'}"
                    found[which] = told
                    worst[backend] = max(worst[backend], told["own_ms"]["median"])
                    print(f"reloads: {which}: {told}", flush=True)
    targets = [
        target(f"the largest gap of an event loop during a reload, {backend}, ms", MOST_MS, most)
        for backend, most in worst.items()
    ]
    save("reloads", {"reloads": RELOADS, "gaps": found, "targets": targets})


def _run(folder: Path, case: str, backend: str, *, kept: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "GEORESTRICT_CACHE_DIR": cache if kept else "",
            "GEORESTRICT_BACKEND": backend,
        }
        done = subprocess.run(
            [sys.executable, __file__, str(folder), case, str(RELOADS[backend])],
            cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
    runs = json.loads(done.stdout)
    return {name: spread((run[name] for run in runs), 2) for name in runs[0]}


async def measure(folder: Path, case: str, reloads: int) -> list[dict[str, float]]:
    """Return for each reload its seconds, the largest gap, and that of the idle process before."""
    beat = Beat()
    beating = asyncio.create_task(beat.run())
    await asyncio.sleep(0.5)
    idle = beat.largest()
    policy, database = apps.BLOCK_LIST, None
    if case == CASES[1]:
        policy = await asyncio.to_thread(apps.listing_policy, folder, NETWORKS)
    elif case == CASES[2]:
        database = folder / "large.mmdb"
    engine = await asyncio.to_thread(Engine, policy, database=database)
    runs: list[dict[str, float]] = []
    for number in range(reloads):
        for entry in policy.get("lists", {}).values():
            with Path(entry["path"]).open("a") as file:
                file.write(f"\n10.0.{number}.{len(runs)}")
        if database is not None:  # what is behind the metadata says nothing
            with database.open("ab") as file:
                file.write(b"\0")
        await asyncio.sleep(0.1)
        beat.largest()
        began = time.perf_counter()
        await asyncio.to_thread(engine.reload)
        took = time.perf_counter() - began
        await asyncio.sleep(0.05)
        own, wall = beat.largest()
        runs.append(
            {
                "seconds": took,
                "own_ms": own,
                "wall_ms": wall,
                "idle_own_ms": idle[0],
                "idle_wall_ms": idle[1],
            }
        )
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating
    return runs


class Beat:
    """A coroutine that sleeps again and again, and how long it was kept waiting at most."""

    def __init__(self) -> None:
        self._own = self._wall = 0.0

    async def run(self) -> None:
        """Sleep until it is cancelled."""
        last, waited = time.perf_counter(), _kept_from_running()
        while True:
            await asyncio.sleep(_REST)
            now, so_far = time.perf_counter(), _kept_from_running()
            gap = now - last - _REST
            self._wall = max(self._wall, gap)
            self._own = max(self._own, gap - (so_far - waited))
            last, waited = time.perf_counter(), so_far

    def largest(self) -> tuple[float, float]:
        """Return the largest gaps since the last call, own and wall, in milliseconds."""
        told = 1000 * self._own, 1000 * self._wall
        self._own = self._wall = 0.0
        return told


def _kept_from_running() -> float:
    """Return for how long threads of this process could run and were not let, in seconds."""
    waited = 0
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            waited += int((task / "schedstat").read_text().split()[1])
    return waited / 1e9


def _write_mmdb(path: Path) -> None:
    """Write /24 networks of which no two neighbours are in one country."""
    from mmdb_writer import MMDBWriter
    from netaddr import IPNetwork, IPSet

    codes = sorted(NAMES)
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Bench-Country")
    by_code: dict[str, list[Any]] = {}
    for number in range(RECORDS):
        network = IPNetwork(f"{IPv4Address((0x0B0000 + number) << 8)}/24")  # from 11.0.0.0 on
        by_code.setdefault(codes[number % len(codes)], []).append(network)
    for code, networks in by_code.items():
        writer.insert_network(IPSet(networks), {"country": {"iso_code": code}})
    writer.to_db_file(str(path))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))))
