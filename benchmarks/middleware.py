"""What guarding a request adds to a bare ASGI app, beside an empty middleware and beside peers.

Awaited in process, a fresh scope for each request, made just before, as in a server. Added latency
is guarded minus bare, medians over all rounds; the ratio is to what an empty ``async def __call__``
adds. What is read is the processor time of the thread: nothing here waits, and so other programs on
the machine count less.
Every set-up is first held to what it promises: that it serves GB and refuses CN.

*Busy* is the other way round: before each request a document and headers are parsed and the kernel
is asked four times, so that caches and branch predictors forget the middleware, as in a server.

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
import json
import logging
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.parser import HeaderParser
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import iptocc
import maxminddb
from guard import PureASGISecurityMiddleware, SecurityConfig, SecurityMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse

from benchmarks import apps
from benchmarks.common import save, target
from benchmarks.peers import mmdb_of
from georestrict import Database, Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

REQUESTS = 10_000
SLOW_REQUESTS = 200  # of what takes some hundred times as long
WARM = 1000
# issue 3: at most so many times what an empty middleware adds; and the stretch
WANTED = {
    "direct": (1.0, 0.8),
    "annotate": (1.5, 1.3),
    "proxied": (1.8, 1.4),
    "20 path rules": (2.0, 1.5),
}
SLOW_PEERS = ["BaseHTTPMiddleware and maxminddb", "fastapi-guard", "fastapi-guard, pure ASGI"]
# what is measured busy, too, and its bare app
BUSY = {
    "empty": "bare",
    "direct": "bare",
    "proxied": "bare, proxied",
    "20 path rules": "bare",
    "maxminddb": "bare",
    "iptocc": "bare",
}
BUSY_REQUESTS = 1000
ADMIN = {"path": "/admin7/users", "raw_path": b"/admin7/users"}  # of a path rule
Around = Callable[[Any], Any]
Pair = tuple[socket.socket, socket.socket]

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
        start = time.thread_time_ns()
        for address in addresses:
            await app(scope_of(address), receive, send)
    return (time.thread_time_ns() - start) / len(addresses)


async def serve_busy(
    app: Any, scope_of: Callable[[str], Any], addresses: Sequence[str], pair: Pair
) -> float:
    """Do other work before each request, as a server does; return the median request's time.

    The clock runs around the app alone, so it is the wall's: that of the thread takes too long to
    read. Whoever was interrupted is not the median.
    """
    client, server = pair
    took = []
    for address in addresses:
        for _ in range(2):
            client.send(REFUSAL)
            server.recv(len(REFUSAL))
        json.loads(REFUSAL)
        HeaderParser().parsestr("host: api.example.com\naccept: application/json\n\n")
        scope = scope_of(address)
        start = time.perf_counter_ns()
        await app(scope, receive, send)
        took.append(time.perf_counter_ns() - start)
    return median(took)


async def outcome(
    app_around: Around, scope: dict[str, Any]
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


async def check(around: Around, scope_of: Callable[[str], Any], action: str = "block") -> None:
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


def built_engines() -> dict[str, Engine]:
    """Return an engine for each policy, held to a sample of its lists."""
    database = Database.open()
    with tempfile.TemporaryDirectory() as folder:
        policies = {
            "default": apps.BLOCK_LIST,
            "20 path rules": apps.path_policy(20),
            "warning": apps.WARN_LIST,
            "10 networks": apps.listing_policy(Path(folder), 10),
            "1,000,000 networks": apps.listing_policy(Path(folder), 1_000_000),
        }
        engines = {name: Engine(policy, database=database) for name, policy in policies.items()}
    apps.check_listed(engines["10 networks"], 10)
    apps.check_listed(engines["1,000,000 networks"], 1_000_000)
    return engines


def peers_around(get: Callable[[str], Any]) -> dict[str, Around]:
    """Return what puts each peer around an app."""
    config = one_country_rule(get)
    return {
        "maxminddb": lambda app: ByMaxMind(app, get),
        "iptocc": ByIptocc,
        "iptocc, no coroutine": ByIptoccDirectly,
        "BaseHTTPMiddleware and maxminddb": lambda app: BaseHttpMaxMind(app, get),
        "fastapi-guard": lambda app: SecurityMiddleware(app, config=config),
        "fastapi-guard, pure ASGI": lambda app: PureASGISecurityMiddleware(app, config=config),
    }


def ours_around(engines: dict[str, Engine]) -> dict[str, Around]:
    """Return what puts each of our set-ups around an app."""

    def guarded(engine: str, **options: Any) -> Around:
        return lambda app: GeoRestrictMiddleware(app, engine=engines[engine], **options)

    return {
        "direct": guarded("default"),
        "annotate": guarded("default", annotate=True),
        "proxied": guarded("default", client=TrustedProxies("10.0.3.0/24")),
        **{name: guarded(name) for name in engines if name != "default"},
    }


async def check_all(around: dict[str, Around]) -> None:
    """Hold every set-up to what it promises."""
    for name, wrap in around.items():
        action = "warn" if name == "warning" else "block"
        await check(wrap, proxied if name == "proxied" else apps.direct, action)
    await check(around["20 path rules"], Elsewhere())
    noted = apps.direct(apps.ALLOWED)
    await outcome(around["annotate"], noted)
    assert noted["georestrict"].action.value == "allow"
    called, statuses, _ = await outcome(around["20 path rules"], apps.direct(apps.ALLOWED) | ADMIN)
    assert (called, statuses) == (False, [403])


class SetUp(NamedTuple):
    """An app that is served scopes of addresses; ``base`` is the bare app it is compared with."""

    app: Any
    scope_of: Callable[[str], Any]
    addresses: Sequence[str]
    base: str = ""


def set_ups(around: dict[str, Around], addresses: list[str]) -> dict[str, SetUp]:
    """Return everything that is timed."""
    warm = addresses[:WARM] * (REQUESTS // WARM)
    blocked, few = [apps.BLOCKED] * (REQUESTS // 10), addresses[:SLOW_REQUESTS]
    answered = "bare, answering"
    found = {
        "bare": SetUp(apps.bare, apps.direct, addresses),
        "bare, warm": SetUp(apps.bare, apps.direct, warm),
        "bare, proxied": SetUp(apps.bare, proxied, addresses),
        "bare, new paths": SetUp(apps.bare, Elsewhere(), addresses),
        answered: SetUp(answering, apps.direct, addresses),
        "empty": SetUp(Empty(apps.bare), apps.direct, addresses, "bare"),
    }
    for name, wrap in around.items():
        if name == "proxied":
            found[name] = SetUp(wrap(apps.bare), proxied, addresses, "bare, proxied")
        elif name == "warning":
            found[name] = SetUp(wrap(answering), apps.direct, blocked, answered)
        elif name in SLOW_PEERS:
            found[name] = SetUp(wrap(answering), apps.direct, few, answered)
        else:
            found[name] = SetUp(wrap(apps.bare), apps.direct, addresses, "bare")
    for name in ("10 networks", "1,000,000 networks"):
        app = around[name](apps.bare)
        found[f"{name}, warm"] = SetUp(app, apps.direct, warm, "bare, warm")
    by_path = around["20 path rules"](apps.bare)
    found["20 path rules, new paths"] = SetUp(by_path, Elsewhere(), addresses, "bare, new paths")
    for name in ("direct", "maxminddb", "iptocc"):
        found[f"{name}, blocking"] = SetUp(around[name](apps.bare), apps.direct, blocked)
    guard = around["fastapi-guard"](answering)
    found["fastapi-guard, blocking"] = SetUp(guard, apps.direct, blocked[:SLOW_REQUESTS])
    return found


def main() -> None:
    """Check every set-up, measure it, and write the result."""
    engines = built_engines()
    addresses = apps.plain_addresses(REQUESTS, *engines.values())
    path = mmdb_of(engines["default"].database)
    with maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT) as reader, asyncio.Runner() as loop:
        compared = apps.check_mmdb(reader.get)
        around = ours_around(engines) | peers_around(reader.get)
        loop.run(check_all(around))
        timed = set_ups(around, addresses)

        def candidate(set_up: SetUp) -> Callable[[], float]:
            return lambda: loop.run(serve(set_up.app, set_up.scope_of, set_up.addresses))

        def busy_candidate(set_up: SetUp, pair: Pair) -> Callable[[], float]:
            few = addresses[:BUSY_REQUESTS]
            return lambda: loop.run(serve_busy(set_up.app, set_up.scope_of, few, pair))

        candidates = {name: candidate(set_up) for name, set_up in timed.items()}
        client, server = socket.socketpair()
        with client, server:
            for name in dict.fromkeys([*BUSY.values(), *BUSY]):
                candidates[f"{name}, busy"] = busy_candidate(timed[name], (client, server))
            times = apps.in_rounds(candidates)
        with log_lines():
            refusing = candidate(timed["direct, blocking"])
            times |= apps.in_rounds({"direct, blocking, logged": refusing})
    results = {
        name: apps.added(times, name, set_up.base, "empty", "bare")
        for name, set_up in timed.items()
        if set_up.base
    }
    for name, found in results.items():
        print(f"middleware, {name}: {apps.said(found)}")
    busy = {
        name: apps.added(times, f"{name}, busy", f"{base}, busy", "empty, busy", "bare, busy")
        for name, base in BUSY.items()
    }
    for name, found in busy.items():
        print(f"middleware, {name}, busy: {apps.said(found)}")
    whole = {name: round(median(times[name]), 1) for name in times if "blocking" in name}
    for name, took in whole.items():
        print(f"middleware, {name}: {took:,.0f} ns, the whole request")
    lists = million_over_ten(times)
    guard_over_direct = apps.ratio_of_added(
        times, ("fastapi-guard", "bare, answering"), ("direct", "bare")
    )
    targets = [
        target(
            f"added latency, {name}, over that of an empty middleware",
            wanted,
            results[name]["over_empty"],
            results[name]["over_empty_95_percent"],
            stretch=stretch,
        )
        for name, (wanted, stretch) in WANTED.items()
    ]
    targets += [
        target("what fastapi-guard adds over what we do", 400, *guard_over_direct, at_least=True),
        target(
            "what 1,000,000 listed networks add over what 10 do, warm", 1.1, *lists["added, warm"]
        ),
    ]
    save(
        "middleware",
        {
            "rounds": apps.ROUNDS,
            "requests_a_round": REQUESTS,
            "answers_compared_with_mmdb": compared,
            "bare_ns": {name: median(times[name]) for name in times if name.startswith("bare")},
            "added": results,
            "added_busy": busy,
            "whole_request_ns": whole,
            "networks_1000000_over_10": lists,
            "targets": targets,
        },
    )


def million_over_ten(times: apps.Runs) -> dict[str, tuple[float, list[float]]]:
    """Return the ratio of 1,000,000 networks to 10: of what is added, and of whole requests."""
    found = {}
    for trace, suffix in (("warm", ", warm"), ("uniform", "")):
        many, few, base = f"1,000,000 networks{suffix}", f"10 networks{suffix}", f"bare{suffix}"
        found[f"added, {trace}"] = apps.ratio_of_added(times, (many, base), (few, base))
        found[f"whole, {trace}"] = apps.ratio_of_added(times, (many, ""), (few, ""))
    for name, (ratio, interval) in found.items():
        print(f"middleware, 1,000,000 over 10 networks, {name}: {ratio:.3f} {interval}")
    return found


@contextmanager
def log_lines() -> Iterator[None]:
    """Have our log lines made, and thrown away."""
    logger = logging.getLogger("georestrict")
    handler = logging.NullHandler()
    level, logger.propagate = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True


if __name__ == "__main__":
    main()
