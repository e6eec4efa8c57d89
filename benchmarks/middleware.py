"""What guarding an allowed request adds to a bare app, beside a middleware that does nothing.

Awaited in process, a fresh scope for each request. Added latency is guarded minus bare; the ratio
is to the added latency of an empty ``async def __call__`` in the same round. Bias: the app does
nothing, and everything stays in the processor's caches, which favours all candidates alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.common import ROUNDS, random_ipv4, save
from georestrict import Database, Engine, Status
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

REQUESTS = 20_000
HEADERS = [
    (b"host", b"api.example.com"),
    (b"user-agent", b"client/1.2.3"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer 0123456789abcdef0123456789abcdef"),
    (b"x-request-id", b"7b0f0c8e-5f57-4a1c-9d6e-1f4a5c2b7e11"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"api.example.com"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"content-length", b"0"),
]
RULES = [{"name": "cn", "action": "block", "countries": ["CN"]}]
BLOCK_LIST = {"default": "allow", "contact": "https://example.com/contact", "rules": RULES}
PATH_RULES = [
    {
        "name": f"path {number}",
        "action": "block",
        "countries": ["CN", "US"],
        "paths": [f"/admin{number}/*"],
    }
    for number in range(20)
]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The app: nothing."""


class Empty:
    """The middleware to compare with: it only calls on."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call on."""
        await self.app(scope, receive, send)


def direct(address: str) -> dict[str, Any]:
    """The scope of a client that connects by itself, as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/models",
        "raw_path": b"/v1/models",
        "query_string": b"",
        "root_path": "",
        "headers": HEADERS,
        "client": (address, 40000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def proxied(address: str) -> dict[str, Any]:
    """The same behind a trusted proxy, with 12 headers and a chain of three."""
    chain = (b"x-forwarded-for", f"8.8.8.8, {address}, 10.0.3.9".encode())
    return direct("10.0.3.7") | {"headers": [*HEADERS, chain]}


def main() -> None:
    """Measure every set-up, and write the result."""
    engine = Engine(BLOCK_LIST, database=Database.open())
    by_path = Engine(BLOCK_LIST | {"rules": [*PATH_RULES, *RULES]}, database=engine.database)
    addresses = [
        address
        for address in random_ipv4(REQUESTS, 9)
        if engine.decide(address).plain_allow and engine.lookup(address).status is Status.KNOWN
    ][:10_000]
    set_ups: dict[str, tuple[Any, Callable[[str], dict[str, Any]]]] = {
        "bare": (bare, direct),
        "empty": (Empty(bare), direct),
        "direct": (GeoRestrictMiddleware(bare, engine=engine), direct),
        "annotate": (GeoRestrictMiddleware(bare, engine=engine, annotate=True), direct),
        "20 path rules": (GeoRestrictMiddleware(bare, engine=by_path), direct),
        "bare, proxied": (bare, proxied),
        "proxied": (
            GeoRestrictMiddleware(bare, engine=engine, client=TrustedProxies("10.0.3.0/24")),
            proxied,
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in set_ups}
    for _ in range(ROUNDS):
        for name, (app, scope_of) in set_ups.items():
            times[name].append(asyncio.run(serve(app, scope_of, addresses)) / len(addresses))
    results: dict[str, Any] = {}
    for name in ("empty", "direct", "annotate", "20 path rules", "proxied"):
        base = times["bare, proxied" if name == "proxied" else "bare"]
        added = [guarded - plain for guarded, plain in zip(times[name], base, strict=True)]
        empty = [
            through - plain for through, plain in zip(times["empty"], times["bare"], strict=True)
        ]
        ratios = [ours / nothing for ours, nothing in zip(added, empty, strict=True)]
        results[name] = {
            "added_ns": round(median(added), 1),
            "over_empty": round(median(ratios), 2),
            "over_empty_lowest": round(min(ratios), 2),
            "over_empty_highest": round(max(ratios), 2),
        }
        added_ns, ratio = results[name]["added_ns"], results[name]["over_empty"]
        print(f"middleware, {name}: +{added_ns} ns, {ratio} of an empty one")
    save("middleware", {"bare_ns": round(median(times["bare"]), 1), "added": results})


async def serve(app: Any, scope_of: Callable[[str], dict[str, Any]], addresses: list[str]) -> float:
    """Make a scope and await the app on it, for each address; return the nanoseconds that took.

    As in a server, the scope was made just before: it is fresh, and in the processor's caches.
    """
    start = time.perf_counter_ns()
    for address in addresses:
        await app(scope_of(address), None, None)
    return time.perf_counter_ns() - start


if __name__ == "__main__":
    main()
