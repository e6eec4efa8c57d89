"""What lists cost: one of 100,000 lines, and a hundred with 1,000,000 entries together.

Start is told without a cache folder, as the first worker with an empty one, and as the second
worker, which maps what the first has painted. The request is the whole ASGI middleware around an
app that does nothing, with a fresh scope each time; the same addresses with and without the list,
none of them on it.

With the hundred lists (``hundred.py``) a lookup is told, too: text in, the parser, the table, the
class's object out, as ``Database.country`` does it, on the database's own table and on the painted
one. *Hot* is 1,000 addresses again and again, *few and many* 100,000 drawn with the odds of a
Pareto distribution, a few often and most once, *uniform* 100,000 that come once a round.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from ipaddress import IPv4Network
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import apps, hundred, scale
from benchmarks.common import ROUNDS, interleaved, loop, random_ipv4, save, target
from georestrict import Database, Engine, Status
from georestrict._core import Answers
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.lists import Lists
from georestrict.policy import Policy

LINES = 100_000
REQUESTS = 20_000
STARTS = 5
HOT, HOT_PASSES, UNIFORM = 1_000, 10, 100_000


def main() -> None:
    """Measure loading and serving, and write the result."""
    database = Database.open()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        networks = listed()
        path.write_text("\n".join(str(network) for network in networks))
        policies: dict[str, dict[str, Any]] = {
            "without": {
                "default": "allow",
                "rules": [{"name": "cn", "action": "block", "countries": ["CN"]}],
            },
            "with": {
                "default": "allow",
                "lists": {"blocked": {"path": str(path)}},
                "rules": [
                    {"name": "listed", "action": "block", "lists": ["blocked"]},
                    {"name": "cn", "action": "block", "countries": ["CN"]},
                ],
            },
        }
        seconds: dict[str, list[float]] = {}
        engines: dict[str, Engine] = {}
        for number in range(STARTS):
            cache = str(Path(folder) / f"cache {number}")
            for name, which, kept in (
                ("without", "without", ""),
                ("no cache", "with", ""),
                ("first worker", "with", cache),
                ("second worker", "with", cache),
            ):
                os.environ["GEORESTRICT_CACHE_DIR"] = kept
                start = time.perf_counter()
                engines[which] = Engine(policies[which], database=database)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
        probes = [str(network.network_address) for network in networks[:1000]]
        assert all(engines["with"].decide(address).rule == "listed" for address in probes)
        addresses = [
            address
            for address in random_ipv4(4 * REQUESTS, 4)
            if database.lookup(address).status is Status.KNOWN
            and all(engine.decide(address).plain_allow for engine in engines.values())
        ][:REQUESTS]
    timed = interleaved(
        {name: serve(engine, addresses) for name, engine in engines.items()}, len(addresses)
    )
    many = measure_hundred(database)
    ratio = timed["with"]["median_ns"] / timed["without"]["median_ns"]
    loading = {name: round(median(found), 4) for name, found in seconds.items()}
    save(
        "lists",
        {
            "rounds": ROUNDS,
            "lines": LINES,
            "start_seconds": loading,
            "request": timed,
            "with_over_without": round(ratio, 3),
            "hundred": many,
            "targets": [
                target(
                    "a lookup with 100 lists of 1,000,000 entries over one with none, hot",
                    1.05,
                    many["lookup"]["IPv4 hot"]["ratio"],
                    many["lookup"]["IPv4 hot"]["between"],
                )
            ],
        },
    )
    print(f"lists: {LINES:,} lines, start: {loading}")
    print(
        f"lists: a request {timed['with']['median_ns']:.0f} ns with, "
        f"{timed['without']['median_ns']:.0f} ns without"
    )


def measure_hundred(database: Database) -> dict[str, Any]:
    """Return what a hundred lists cost at start, for a lookup and for a request."""
    networks = hundred.dealt()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lists").mkdir()
        policy = hundred.policy(folder / "lists", networks)
        (folder / "hundred.json").write_text(json.dumps(policy))
        started = {
            which: {key: round(median(each[key] for each in runs), 2) for key in runs[0]}
            for which, runs in _started(folder).items()
        }
        os.environ["GEORESTRICT_CACHE_DIR"] = str(folder / "cache 0")
        painted = Lists(Policy.from_mapping(policy), database)
        lookup = _lookup(database, painted, networks)
        request = scale.grown(
            {"none": apps.BLOCK_LIST, "hundred": policy}, database, "lists of 100", cold=True
        )
    print(f"lists: a hundred, start: {started}")
    return {
        "entries": hundred.ENTRIES,
        "classes": len(painted.bases),
        "sets": len(painted.sets),
        "start": started,
        "lookup": lookup,
        "request": request,
    }


def _started(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Return seconds and memory of engines that start, by the state of the cache."""
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(STARTS):
        cache = str(folder / f"cache {number}")
        for which, kept in (("no cache", ""), ("first worker", cache), ("second worker", cache)):
            with scale.process(scale.OPEN, str(folder / "hundred.json"), cache=kept) as process:
                answer, _ = process.communicate("")
            found.setdefault(which, []).append(json.loads(answer))
    return found


def _lookup(
    database: Database, painted: Lists, networks: list[list[str]]
) -> dict[str, dict[str, Any]]:
    codes = [location.country for location in database.classes]
    without = Answers(database.table, codes, None, database.looked_through).at
    within = Answers(
        painted.table,
        [codes[base] for base in painted.bases],
        None,
        bytes(database.looked_through[base] for base in painted.bases),
    ).at
    spread = random.Random(7)
    ipv4 = [each for each in random_ipv4(2 * UNIFORM, 5) if without(each)][:UNIFORM]
    often = [ipv4[min(int(spread.paretovariate(1)) - 1, UNIFORM - 1)] for _ in range(UNIFORM)]
    entries = [each.partition("/")[0] for listed in networks[:10] for each in listed[:1000]]
    ipv6 = [each for each in entries if ":" in each][:HOT]
    traces = {
        "IPv4 hot": ipv4[:HOT] * HOT_PASSES,
        "IPv4 hot, listed": [each for each in entries if "." in each][:HOT] * HOT_PASSES,
        "IPv4 few and many": often,
        "IPv4 uniform": ipv4,
        "IPv6 hot, listed": ipv6 * HOT_PASSES,
    }
    found = {}
    for name, texts in traces.items():
        assert [without(text) for text in texts[:HOT]] == [within(text) for text in texts[:HOT]]
        timed = interleaved(
            {"none": loop(without, texts), "hundred": loop(within, texts)}, len(texts)
        )
        none = timed["none"]["median_ns"]
        ends = (timed["hundred"][f"{end}_ns"] / none for end in ("median", "lowest", "highest"))
        ratio, *between = (round(end, 3) for end in ends)
        found[name] = {"ns": timed, "ratio": ratio, "between": between}
        print(f"lists: a lookup with a hundred, {name}: {ratio} of one with none")
    return found


def listed() -> list[IPv4Network]:
    """Networks from /16 to /32, most of them narrow."""
    spread = random.Random(3)
    lengths = spread.choices((16, 20, 24, 28, 32), (1, 5, 40, 20, 34), k=LINES)
    return [
        IPv4Network((spread.getrandbits(32) >> (32 - length) << (32 - length), length))
        for length in lengths
    ]


def serve(engine: Engine, addresses: list[str]) -> Any:
    """Return a call that sends one request for each address through the middleware."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    guarded = GeoRestrictMiddleware(app, engine=engine)

    async def all_requests() -> None:
        for address in addresses:
            scope = {
                "type": "http",
                "path": "/",
                "method": "GET",
                "headers": [],
                "client": (address, 1),
            }
            await guarded(scope, None, None)

    return lambda: asyncio.run(all_requests())


if __name__ == "__main__":
    main()
