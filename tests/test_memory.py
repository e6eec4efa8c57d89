"""Acceptance C3: memory stays flat, whatever number of addresses, chains and paths clients make up.

Counted are the interpreter's live blocks, which would grow with any state kept for an address or a
path, and the process's resident pages, for what the compiled core holds. Both are taken after a
first round, in which everything that is bounded has filled up.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from georestrict import Database, Engine, asgi, wsgi
from georestrict.address import Peer, SingleHeader, Strategy, TrustedHops, TrustedProxies
from georestrict.record import DEFAULT_IMAGE
from georestrict.request import Request as Asked
from georestrict.routes import Routes
from georestrict.snapshot import Snapshot
from georestrict.sources.packed import PackedRanges
from georestrict.table import Image
from tests.web import Request, environ_of, scope_of

POLICY = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [
        {"name": "health", "action": "allow", "paths": ["/healthz"]},
        {"name": "admin", "action": "block", "countries": ["US", "CN"], "paths": ["/admin/*"]},
        {"name": "files", "action": "warn", "countries": ["SE"], "paths": ["/f/*/x", "/*/y"]},
        {"name": "hosting", "action": "warn", "categories": ["hosting"]},
        {"name": "net", "action": "block", "networks": ["81.2.69.128/30", "2002:5100::/24"]},
        {"name": "cn", "action": "block", "countries": ["CN"]},
    ],
}
FIRST = 10_000  # requests until every bounded store is full, several times over
# What may come and go: at most 1,024 paths whose routes are kept, the decisions on those of the
# data's 7,000 classes that the first round did not meet, and the garbage collector's own.
MOST_BLOCKS = 16_000
MOST_PAGES_BYTES = 8 * 1024 * 1024
Send = Callable[[int], None]


async def _served(scope: Any, receive: Any, send: Any) -> None:
    """An app."""


def _wsgi_served(environ: Any, start_response: Any) -> list[bytes]:
    return []


def _addresses(spread: random.Random) -> Iterator[str]:
    """Distinct addresses: IPv4, IPv6, and the kinds that carry another."""
    for number in range(sys.maxsize):
        low = spread.getrandbits(32)
        yield str(IPv6Address((0x2001 << 112) | spread.getrandbits(112)))  # Teredo among them
        yield str(IPv6Address((0x2001_0000 << 96) | spread.getrandbits(96)))
        yield str(IPv6Address((0x2002 << 112) | (low << 80) | number))
        yield str(IPv6Address((0x64_FF9B << 96) | low))
        yield ".".join(str(byte) for byte in low.to_bytes(4))


def _requests() -> Iterator[Request]:
    """Distinct chains, distinct paths, distinct everything."""
    spread = random.Random(4)
    spellings = (
        "/admin/{}",
        "//admin/./{}",
        "/%61dmin/{}",
        "/f/{}/x",
        "/{}/y",
        "/{};p/../x",
        "/é{}",
    )
    for number, address in enumerate(_addresses(spread)):
        chain = f"{number}, {spread.getrandbits(64)}, {address}, 10.0.0.{number % 256}"
        names = (("X-Forwarded-For", chain), ("Forwarded", f'for="[{address}]";by=_{number}'),
                 ("X-Real-IP", address), (f"X-{number}", str(number)))  # fmt: skip
        yield Request(
            peer=address if number % 3 == 0 else "10.0.0.5",
            method=f"M{number}" if number % 5 == 0 else "GET",
            target=spellings[number % len(spellings)].format(number) + f"?{number}",
            headers=names,
        )


class Guarded:
    """Both middlewares with every strategy, over one engine with the default data."""

    def __init__(self, database: Database) -> None:
        self.engine = Engine(POLICY, database=database)
        strategies: list[Strategy] = [
            Peer(),
            TrustedProxies("10.0.0.0/8"),
            TrustedProxies("10.0.0.0/8", header="forwarded"),
            TrustedHops(2, ["10.0.0.0/8"]),
            SingleHeader("x-real-ip", ["10.0.0.0/8"]),
        ]
        self.on_asgi = [
            asgi.GeoRestrictMiddleware(_served, engine=self.engine, client=each)
            for each in strategies
        ]
        self.on_wsgi = [
            wsgi.GeoRestrictMiddleware(_wsgi_served, engine=self.engine, client=each)
            for each in strategies
        ]

    async def send(self, requests: Iterator[Request], count: int) -> None:
        """Send so many requests, in turn through one middleware or the other."""
        for number in range(count):
            request, which = next(requests), number // 2 % len(self.on_asgi)
            if number % 2:
                await self.on_asgi[which](scope_of(request), _received, _sent)
            else:
                list(self.on_wsgi[which](environ_of(request), lambda *_: lambda data: None))


async def _received() -> Any:
    return {"type": "http.request"}


async def _sent(message: Any) -> None:
    """A client that takes everything."""


def _resident_bytes() -> int:
    """The process's own pages, without the files that it maps; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    _, resident, shared, *_ = (int(field) for field in statm.read_text().split())
    return (resident - shared) * mmap.PAGESIZE


def _held() -> tuple[int, int]:
    gc.collect()
    return sys.getallocatedblocks(), _resident_bytes()


def _growth(send: Callable[[int], Awaitable[None]], count: int) -> tuple[int, int]:
    """Send a first round and then ``count`` requests; return the growth in blocks and bytes."""

    async def run() -> tuple[int, int]:
        await send(FIRST)
        blocks, resident = _held()
        await send(count)
        more_blocks, more_resident = _held()
        return more_blocks - blocks, more_resident - resident

    return asyncio.run(run())


def _assert_flat(database: Database, count: int) -> None:
    guarded, requests = Guarded(database), _requests()
    blocks, resident = _growth(lambda more: guarded.send(requests, more), count)
    print(f"{count} requests: {blocks:+} blocks, {resident / 1024:+.0f} KiB")
    assert blocks < MOST_BLOCKS
    assert resident < MOST_PAGES_BYTES
    reasons = {decision.reason.value for decision in guarded.engine.counts}
    assert {"default", "country", "network", "category", "private", "unresolved"} <= reasons
    assert sum(guarded.engine.counts.values()) == FIRST + count


@pytest.mark.usefixtures("without_log")
def test_c3_memory_is_flat_under_100_000_spoofed_addresses(database: Database) -> None:
    _assert_flat(database, 100_000)


@pytest.mark.slow
@pytest.mark.usefixtures("without_log")
def test_c3_memory_is_flat_under_a_million_spoofed_addresses(database: Database) -> None:
    _assert_flat(database, 1_000_000)


@pytest.fixture
def without_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The test would keep every log line."""
    with caplog.at_level(logging.CRITICAL, logger="georestrict"):
        yield


def test_c3_what_is_measured_would_show_one_small_object_for_each_address() -> None:
    kept: list[str] = []
    requests = _requests()

    async def send(count: int) -> None:
        kept.extend(str(next(requests).peer) for _ in range(count))

    blocks, _ = _growth(send, 200_000)
    assert blocks > 3 * MOST_BLOCKS


def test_c3_every_store_that_requests_fill_is_bounded(tiny: Database) -> None:
    """By the number of classes, or by 1,024, never by what clients send."""
    engine = Engine(POLICY, database=tiny)
    snapshot: Snapshot = engine.snapshot
    routes: Routes = snapshot._rules.routes
    for number in range(5_000):
        for prefix in ("2002:{:x}:{:x}::{:x}", "2001:0:{:x}:{:x}::{:x}", "64:ff9b:{:x}:{:x}::{:x}"):
            address = prefix.format(number * 13 & 0xFFFF, number, number)
            snapshot.judge(address, Asked(f"/{number}", f"/{number}".encode()))
            path = f"/admin/{number}"
            snapshot.judge("175.16.199.1", Asked(path, path.encode()))
    assert [len(kept) <= 1024 for kept in routes.kept.values()] == [True]
    assert len(routes._numbers) == len(routes._routes) <= 1024
    classes = len(snapshot._lists.bases)
    carrying = sum(tiny.looked_through[base] for base in snapshot._lists.bases)
    pairs = carrying * (classes + 1)
    assert 0 < len(snapshot._others) <= pairs
    tallies = len(engine._tallies)
    assert tallies <= (len(snapshot.policy.rules) + 1) * (classes + pairs + 2)
    assert len(snapshot._decisions) <= classes * tallies
    assert max(len(snapshot._annotations), len(snapshot._by_path)) <= classes
    assert all(len(known or ()) <= 1024 for known in snapshot._by_path)


def test_what_is_let_go_is_freed_at_once_not_when_the_collector_comes(tmp_path: Path) -> None:
    """Else each reload would leave the data of the one before, for as long as that takes."""
    path = tmp_path / "data.grdb"
    path.write_bytes(DEFAULT_IMAGE.read_bytes())

    def held() -> list[int]:
        kinds = Database, Image, PackedRanges, Snapshot
        return [sum(issubclass(type(each), kind) for each in gc.get_objects()) for kind in kinds]

    gc.collect()
    gc.disable()
    try:
        before = held()
        engine = Engine({"default": "allow"}, database=path)
        assert engine.matches("81.2.69.142")  # the record of sources is opened
        with_one = held()
        assert all(more > less for less, more in zip(before, with_one, strict=True))
        engine.reload()
        assert engine.matches("81.2.69.142")
        assert held() == with_one
        del engine
        assert held() == before
    finally:
        gc.enable()
