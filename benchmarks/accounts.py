"""What the store of accounts takes: memory for each, time for each question, and to share them.

Memory is what a fresh process has for itself alone, after minus before, over the number of accounts
that it then keeps. Times are a thread's processor time over accounts in random order, in a process
that keeps 100,000 of them, the store's default; what is asked was checked first. Sharing is the
wall's time, through a real Redis on loopback that runs on the same processors.

*any* are accounts drawn from all that are kept, *busy* ones from 1,000 that come again and again:
the difference is what the processor's caches do not hold.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import interleaved, save, spread, target
from georestrict import Accounts
from tests.redis_server import RedisServer
from tests.waiting import wait_until

ACCOUNTS = 1_000_000
SIGHTINGS = (1, 2, 10)
CALLS = 20_000
KEPT = 100_000  # the default of max_accounts
SHARED = 20_000
NEWS = 20  # sightings whose way to another worker is timed
NOW = 1_795_000_020.0
CHINA, ANY = frozenset({"CN"}), frozenset[str]()
# What the docstring of Accounts promises, for accounts that were seen at two places.
MOST_MIB = 300.0

FILL = """
import gc, json, sys
from pathlib import Path
from georestrict import Accounts

def private():
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    kib = {words[0]: int(words[1]) for words in lines}
    return (kib["Private_Clean:"] + kib["Private_Dirty:"]) * 1024

count, sightings, now = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
countries = [first + second for first in "CDEFG" for second in "NERU"]
accounts = Accounts(max_accounts=count, clock=lambda: now)
accounts.saw("warm", "CN", "", now)
accounts.forget("warm")
gc.collect()
before = private()
for number in range(count + count // 10):  # some more, so that others must go
    for place in range(sightings):
        accounts.saw(f"user-{number}@example.com", countries[place], "", now - 3600 * place)
gc.collect()
assert accounts.stats["accounts"] == count
assert accounts.countries(f"user-{number}@example.com", frozenset(), 0) == sightings
print(json.dumps(private() - before))
"""


def main() -> None:
    """Ask, and write the results."""
    memory = {str(sightings): fill(ACCOUNTS, sightings) for sightings in SIGHTINGS}
    for sightings, taken in memory.items():
        print(f"accounts, {sightings} sightings: {taken / ACCOUNTS:.0f} bytes each", flush=True)
    times = calls()
    mebibytes = round(memory["2"] / 2**20, 1)
    path = [times[f"busy: {name}"] for name in ("saw, next minute", "seen_in", "countries")]
    save(
        "accounts",
        {
            "accounts": ACCOUNTS,
            "bytes_of_all": memory,
            "bytes_of_one": {each: round(taken / ACCOUNTS, 1) for each, taken in memory.items()},
            "calls": times,
            "shared": shared(),
            "targets": [
                target("MiB of 1,000,000 accounts, two sightings each", MOST_MIB, mebibytes),
                target(
                    "microseconds of a sighting and two questions, busy accounts",
                    10.0,
                    round(sum(each["median_ns"] for each in path) / 1000, 3),
                    [
                        round(sum(each[f"{end}_ns"] for each in path) / 1000, 3)
                        for end in ("lowest", "highest")
                    ],
                ),
            ],
        },
    )


def fill(count: int, sightings: int) -> int:
    """Return the bytes that so many accounts with so many sightings take in a fresh process."""
    command = [sys.executable, "-c", FILL, str(count), str(sightings), str(NOW)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    taken: int = json.loads(told)
    return taken


def calls() -> dict[str, dict[str, float]]:
    """Return the nanoseconds of each question, and of the loop alone."""
    draw = random.Random(6)
    accounts = Accounts(max_accounts=KEPT, clock=lambda: NOW)
    names = [f"user-{number}@example.com" for number in range(KEPT)]
    for name in names:
        accounts.saw(name, "DE", "hosting", NOW)
        accounts.saw(name, "CN", "", NOW)
    drawn = {"any": draw.sample(names, CALLS), "busy": draw.choices(names[:1000], k=CALLS)}
    assert accounts.stats["accounts"] == KEPT
    minute = itertools.count(1)

    def each(some: list[str], ask: Callable[[str], object]) -> Callable[[], None]:
        def run() -> None:
            for name in some:
                ask(name)

        return run

    def later(some: list[str], times: int) -> Callable[[], None]:
        def run() -> None:
            now = NOW + 60 * next(minute)
            for name in some:
                accounts.saw(name, "CN", "", now)
                if times == 2:
                    accounts.saw(name, "CN", "", now)

        return run

    candidates: dict[str, Callable[[], object]] = {"the loop": each(names[:CALLS], bool)}
    for which, some in drawn.items():
        assert all(accounts.seen_in(name, CHINA, ANY, NOW) for name in some)
        assert {accounts.countries(name, ANY, NOW) for name in some} == {2}
        candidates |= {
            f"{which}: saw, next minute": later(some, 1),
            f"{which}: saw, next minute and again": later(some, 2),
            f"{which}: seen_in": each(some, lambda name: accounts.seen_in(name, CHINA, ANY, NOW)),
            f"{which}: countries": each(some, lambda name: accounts.countries(name, ANY, NOW)),
        }
    found = interleaved(candidates, CALLS)
    for name, one in found.items():
        print(f"accounts, {name}: {one['median_ns']:.0f} ns", flush=True)
    return found


def shared() -> dict[str, Any]:
    """Return how many accounts a second go to Redis and come from there, and how long news take."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:

        def worker() -> Accounts:
            return Accounts(key=b"a key of this question", redis=server.url)

        one, other = worker(), worker()
        assert one.sync()
        for number in range(SHARED):
            one.saw(f"user-{number}@example.com", "CN", "", time.time())
        start = time.perf_counter()
        assert one.sync()
        sent = time.perf_counter() - start
        start = time.perf_counter()
        assert other.sync()
        read = time.perf_counter() - start
        assert other.stats["accounts"] == SHARED
        news = []
        other.start()
        for number in range(NEWS):
            start = time.perf_counter()
            one.saw(f"news {number}", "CN", "", time.time())
            wait_until(lambda name=f"news {number}": other.seen_in(name, CHINA, ANY, 0))  # type: ignore[misc]
            news.append(time.perf_counter() - start)
        one.close()
        other.close()
    found = {
        "sent_per_second": round(SHARED / sent),
        "read_per_second": round(SHARED / read),
        "news_seconds": spread(news, 3),
    }
    print(f"accounts, shared: {found}", flush=True)
    return found
