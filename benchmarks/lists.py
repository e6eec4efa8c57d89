"""What a block list of 100,000 lines costs: once at start, and on each request.

Start is told without a cache folder, as the first worker with an empty one, and as the second
worker, which maps what the first has painted. The request is the whole ASGI middleware around an
app that does nothing, with a fresh scope each time; the same addresses with and without the list,
none of them on it.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from ipaddress import IPv4Network
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROUNDS, interleaved, random_ipv4, save
from georestrict import Database, Engine, Status
from georestrict.asgi import GeoRestrictMiddleware

LINES = 100_000
REQUESTS = 20_000
STARTS = 5


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
        },
    )
    print(f"lists: {LINES:,} lines, start: {loading}")
    print(
        f"lists: a request {timed['with']['median_ns']:.0f} ns with, "
        f"{timed['without']['median_ns']:.0f} ns without"
    )


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
