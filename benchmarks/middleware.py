"""What guarding a request adds to a bare ASGI app, beside an empty middleware and beside peers.

Awaited in process, a fresh scope for each request, made just before, as in a server. Added latency
is guarded minus bare in the same round; the ratio is to what an empty ``async def __call__`` adds.
Every set-up is first held to what it promises: that it serves GB and refuses CN.

Two traces: 10,000 uniform addresses of known countries, and 1,000 of them again and again (*warm*).
Nothing is configured to read log lines, so none are written, but for "blocking, logged".

A blocked request is compared with no request at all to the app: the figure is all that it costs.
What wraps or makes responses (warning, ``BaseHTTPMiddleware``, fastapi-guard) is compared with an
app that answers. Bias: an app that does nothing keeps all of the processor's caches for the
middleware, which favours the larger; peers are as short as they can be written, without a proxy's
header, a WebSocket, an unknown country or a malformed address in mind.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import iptocc
import maxminddb
from guard import PureASGISecurityMiddleware, SecurityConfig, SecurityMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse

from benchmarks import apps
from benchmarks.common import save
from georestrict import Database, Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

REQUESTS = 10_000
SLOW_REQUESTS = 200  # of what takes some hundred times as long
WARM = 1000
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok", "more_body": False}
REFUSAL = b'{"error":{"code":"unsupported_country_region_territory"}}'
REFUSED_START = {
    "type": "http.response.start",
    "status": 403,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(REFUSAL)).encode()),
    ],
}
REFUSED_BODY = {"type": "http.response.body", "body": REFUSAL, "more_body": False}


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers."""
    await send(START)
    await send(BODY)


class Empty:
    """The middleware to compare with: it only calls on."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call on."""
        await self.app(scope, receive, send)


class ByMaxMind:
    """A country check in pure ASGI, as teams write it."""

    def __init__(self, app: Any, get: Callable[[str], Any]) -> None:
        self.app, self.get, self.blocked = app, get, frozenset({"CN"})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse the blocked countries, and call on."""
        if scope["type"] == "http":
            record = self.get(scope["client"][0])
            if record is not None and record["country"]["iso_code"] in self.blocked:
                await send(REFUSED_START)
                await send(REFUSED_BODY)
                return
        await self.app(scope, receive, send)


class ByIptocc:
    """The same with iptocc."""

    def __init__(self, app: Any) -> None:
        self.app, self.get, self.blocked = app, iptocc.country_code, frozenset({"CN"})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse the blocked countries, and call on."""
        if scope["type"] == "http" and self.get(scope["client"][0]) in self.blocked:
            await send(REFUSED_START)
            await send(REFUSED_BODY)
            return
        await self.app(scope, receive, send)


class ByIptoccDirectly(ByIptocc):
    """The same without a coroutine of its own: what Python can do at best.

    uvicorn would take it for an ASGI 2 app.
    """

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Refuse the blocked countries, or hand back the app's awaitable."""
        if scope["type"] == "http" and self.get(scope["client"][0]) in self.blocked:
            return super().__call__(scope, receive, send)
        return self.app(scope, receive, send)


class BaseHttpMaxMind(BaseHTTPMiddleware):
    """The same on Starlette's base class, as its documentation suggests."""

    def __init__(self, app: Any, get: Callable[[str], Any]) -> None:
        super().__init__(app)
        self.get, self.blocked = get, frozenset({"CN"})

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        """Refuse the blocked countries, and call on."""
        record = self.get(request.client.host)
        if record is not None and record["country"]["iso_code"] in self.blocked:
            return JSONResponse({"error": "unsupported country"}, 403)
        return await call_next(request)


class Countries:
    """What fastapi-guard asks for a country: our MMDB."""

    is_initialized = True

    def __init__(self, get: Callable[[str], Any]) -> None:
        self.get = get

    def get_country(self, ip: str) -> str | None:
        """Return the country of an address."""
        record = self.get(ip)
        return None if record is None else str(record["country"]["iso_code"])

    async def initialize(self) -> None:
        """Nothing is left to do: it is open."""

    async def initialize_redis(self, redis_handler: Any) -> None:
        """There is no Redis."""

    async def initialize_agent(self, agent_handler: Any) -> None:
        """There is no agent."""

    async def refresh(self) -> None:
        """It stays as it is."""

    def close(self) -> None:
        """Whoever opened it closes it."""


def one_country_rule(get: Callable[[str], Any]) -> SecurityConfig:
    """Return fastapi-guard's configuration with one country rule and the rest off."""
    return SecurityConfig(
        blocked_countries=frozenset({"CN"}),
        geo_ip_handler=Countries(get),
        enable_redis=False,
        enable_rate_limiting=False,
        enable_ip_banning=False,
        enable_penetration_detection=False,
        security_headers=None,
        log_country_check_level=None,
        log_suspicious_level=None,
        log_request_level=None,
    )


def proxied(address: str) -> dict[str, Any]:
    """The same behind a trusted proxy, with 12 headers and a chain of three."""
    chain = (b"x-forwarded-for", f"8.8.8.8, {address}, 10.0.3.9".encode())
    return apps.direct("10.0.3.7") | {"headers": [*apps.HEADERS, chain]}


class Elsewhere:
    """Scopes whose path was never seen before."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, address: str) -> dict[str, Any]:
        """The scope of the next path."""
        self.number += 1
        path = f"/v1/files/{self.number}"
        return apps.direct(address) | {"path": path, "raw_path": path.encode()}


async def receive() -> dict[str, Any]:
    """There is no body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    """Nobody listens."""


async def serve(app: Any, scope_of: Callable[[str], Any], addresses: Sequence[str]) -> float:
    """Make a scope and await the app on it, for each address; return nanoseconds a request.

    The second pass counts: the first one brings back what other candidates drove from the caches.
    """
    start = 0
    for _ in range(2):
        start = time.perf_counter_ns()
        for address in addresses:
            await app(scope_of(address), receive, send)
    return (time.perf_counter_ns() - start) / len(addresses)


async def outcome(
    app_around: Callable[[Any], Any], scope: dict[str, Any]
) -> tuple[bool, list[int], dict[str, str]]:
    """Return whether the app was called, the statuses sent, and the headers sent."""
    called: list[object] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope.get("georestrict"))
        await answering(scope, receive, send)

    async def keep(message: Any) -> None:
        sent.append(message)

    await app_around(app)(scope, receive, keep)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    headers = {key.decode(): value.decode() for start in starts for key, value in start["headers"]}
    return len(called) == 1, [start["status"] for start in starts], headers


async def check(
    around: Callable[[Any], Any], scope_of: Callable[[str], Any], action: str = "block"
) -> None:
    """Hold a set-up to what it promises: GB is served, CN is refused or warned."""
    called, statuses, headers = await outcome(around, scope_of(apps.ALLOWED))
    assert (called, statuses) == (True, [200]), (around, called, statuses)
    assert "georestrict-warning" not in headers
    called, statuses, headers = await outcome(around, scope_of(apps.BLOCKED))
    if action == "warn":
        assert (called, statuses) == (True, [200]), (around, called, statuses)
        assert "georestrict-warning" in headers, headers
    else:
        assert (called, statuses) == (False, [403]), (around, called, statuses)


def main() -> None:
    """Check every set-up, measure it, and write the result."""
    for chatty in ("guard_core", "georestrict"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    database = Database.open()
    engine = Engine(apps.BLOCK_LIST, database=database)
    by_path = Engine(apps.path_policy(20), database=database)
    warns = Engine(apps.WARN_LIST, database=database)
    with tempfile.TemporaryDirectory() as folder:
        few, many = (
            Engine(apps.listing_policy(Path(folder), count), database=database)
            for count in (10, 1_000_000)
        )
    apps.check_listed(few, 10)
    apps.check_listed(many, 1_000_000)
    addresses = apps.plain_addresses(REQUESTS, engine, by_path, warns, few, many)
    warm = addresses[:WARM] * (REQUESTS // WARM)
    blocked = [apps.BLOCKED] * (REQUESTS // 10)
    few_addresses, few_blocked = addresses[:SLOW_REQUESTS], blocked[:SLOW_REQUESTS]
    path = apps.countries_mmdb()

    def ours(engine: Engine, **options: Any) -> Callable[[Any], Any]:
        return lambda app: GeoRestrictMiddleware(app, engine=engine, **options)

    behind = ours(engine, client=TrustedProxies("10.0.3.0/24"))
    with maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT) as reader, asyncio.Runner() as loop:
        get = reader.get
        compared = apps.check_mmdb(get)
        config = one_country_rule(get)

        def guard(app: Any) -> Any:
            return SecurityMiddleware(app, config=config)

        def pure_guard(app: Any) -> Any:
            return PureASGISecurityMiddleware(app, config=config)

        def around_maxmind(app: Any) -> Any:
            return ByMaxMind(app, get)

        def base_http(app: Any) -> Any:
            return BaseHttpMaxMind(app, get)

        for around in (ours(engine), ours(engine, annotate=True), ours(by_path), ours(few)):
            loop.run(check(around, apps.direct))
        for around in (ours(many), guard, pure_guard, around_maxmind, base_http):
            loop.run(check(around, apps.direct))
        for around in (ByIptocc, ByIptoccDirectly):
            loop.run(check(around, apps.direct))
        loop.run(check(behind, proxied))
        loop.run(check(ours(by_path), Elsewhere()))
        loop.run(check(ours(warns), apps.direct, "warn"))
        noted = apps.direct(apps.ALLOWED)
        loop.run(outcome(ours(engine, annotate=True), noted))
        assert noted["georestrict"].action.value == "allow"

        # name: app, scopes, addresses, and the bare app that it is compared with
        empty, nothing = ("empty", "bare"), ""
        set_ups: dict[str, tuple[Any, Callable[[str], Any], Sequence[str], str]] = {
            "bare": (apps.bare, apps.direct, addresses, nothing),
            "bare, warm": (apps.bare, apps.direct, warm, nothing),
            "bare, proxied": (apps.bare, proxied, addresses, nothing),
            "bare, new paths": (apps.bare, Elsewhere(), addresses, nothing),
            "bare, answering": (answering, apps.direct, addresses, nothing),
            "empty": (Empty(apps.bare), apps.direct, addresses, "bare"),
            "direct": (ours(engine)(apps.bare), apps.direct, addresses, "bare"),
            "annotate": (ours(engine, annotate=True)(apps.bare), apps.direct, addresses, "bare"),
            "proxied": (behind(apps.bare), proxied, addresses, "bare, proxied"),
            "20 path rules": (ours(by_path)(apps.bare), apps.direct, addresses, "bare"),
            "20 path rules, new paths": (
                *(ours(by_path)(apps.bare), Elsewhere(), addresses, "bare, new paths"),
            ),
            "10 networks": (ours(few)(apps.bare), apps.direct, addresses, "bare"),
            "1,000,000 networks": (ours(many)(apps.bare), apps.direct, addresses, "bare"),
            "10 networks, warm": (ours(few)(apps.bare), apps.direct, warm, "bare, warm"),
            "1,000,000 networks, warm": (ours(many)(apps.bare), apps.direct, warm, "bare, warm"),
            "warning": (ours(warns)(answering), apps.direct, blocked, "bare, answering"),
            "blocking": (ours(engine)(apps.bare), apps.direct, blocked, nothing),
            "maxminddb": (around_maxmind(apps.bare), apps.direct, addresses, "bare"),
            "maxminddb, blocking": (around_maxmind(apps.bare), apps.direct, blocked, nothing),
            "iptocc": (ByIptocc(apps.bare), apps.direct, addresses, "bare"),
            "iptocc, blocking": (ByIptocc(apps.bare), apps.direct, blocked, nothing),
            "iptocc, no coroutine": (ByIptoccDirectly(apps.bare), apps.direct, addresses, "bare"),
            "BaseHTTPMiddleware and maxminddb": (
                *(base_http(answering), apps.direct, few_addresses, "bare, answering"),
            ),
            "fastapi-guard": (guard(answering), apps.direct, few_addresses, "bare, answering"),
            "fastapi-guard, pure ASGI": (
                *(pure_guard(answering), apps.direct, few_addresses, "bare, answering"),
            ),
            "fastapi-guard, blocking": (guard(answering), apps.direct, few_blocked, nothing),
        }

        def timed(app: Any, scope_of: Callable[[str], Any], trace: Sequence[str]) -> Any:
            return lambda: loop.run(serve(app, scope_of, trace))

        candidates = {
            name: timed(app, scope_of, trace) for name, (app, scope_of, trace, _) in set_ups.items()
        }
        times = apps.in_rounds(candidates)
        logged = blocking_with_log(
            lambda: loop.run(serve(ours(engine)(apps.bare), apps.direct, blocked))
        )

    results: dict[str, dict[str, Any]] = {}
    for name, (_, _, _, base) in set_ups.items():
        if base:
            results[name] = apps.added(times, name, base, *empty)
            print(f"middleware, {name}: {apps.said(results[name])}")
    whole = {name: round(median(times[name]), 1) for name in times if "blocking" in name}
    whole["blocking, logged"] = logged
    for name, took in whole.items():
        print(f"middleware, {name}: {took:,.0f} ns, the whole request")
    lists = [
        apps.ratio_of_added(
            times, (f"1,000,000 networks{trace}", base), (f"10 networks{trace}", base)
        )
        for trace, base in ((", warm", "bare, warm"), ("", "bare"))
    ]
    for trace, (ratio, interval) in zip(("warm", "uniform"), lists, strict=True):
        print(f"middleware, 1,000,000 over 10 networks, {trace}: {ratio:.2f}, {interval}")
    guard_ratio, _ = apps.ratio_of_added(
        times, ("fastapi-guard", "bare, answering"), ("direct", "bare")
    )
    targets = [
        apps.target("direct over empty", 1.0, results["direct"]["over_empty"]),
        apps.target("annotate over empty", 1.5, results["annotate"]["over_empty"]),
        apps.target("proxied over empty", 1.8, results["proxied"]["over_empty"]),
        apps.target("20 path rules over empty", 2.0, results["20 path rules"]["over_empty"]),
        apps.target("fastapi-guard over direct", 400, guard_ratio, at_least=True),
        apps.target("1,000,000 over 10 networks, warm", 1.1, lists[0][0]),
    ]
    added = {name: found["added_ns"] for name, found in results.items()}
    save(
        "middleware",
        {
            "rounds": apps.ROUNDS,
            "requests_a_round": REQUESTS,
            "answers_compared_with_mmdb": compared,
            "bare_ns": {name: median(times[name]) for name in times if name.startswith("bare")},
            "added": results,
            "whole_request_ns": whole,
            "networks_1000000_over_10": dict(zip(("warm", "uniform"), lists, strict=True)),
            "targets": targets,
            "where_we_lose": [
                *apps.losses(added, OURS, PEERS),
                *apps.losses(
                    whole,
                    ["blocking"],
                    ["maxminddb, blocking", "iptocc, blocking", "fastapi-guard, blocking"],
                ),
            ],
        },
    )


OURS = ["direct", "annotate", "proxied", "20 path rules", "20 path rules, new paths"]
PEERS = [
    *("maxminddb", "iptocc", "iptocc, no coroutine", "BaseHTTPMiddleware and maxminddb"),
    *("fastapi-guard", "fastapi-guard, pure ASGI"),
]


def blocking_with_log(measure: Callable[[], float]) -> float:
    """Return what a measurement finds while log lines are made, and thrown away."""
    logger = logging.getLogger("georestrict")
    handler = logging.NullHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        return round(median(measure() for _ in range(apps.ROUNDS)), 1)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.WARNING)
        logger.propagate = True


if __name__ == "__main__":
    main()
