"""The tunnel, end to end: two servers, one Redis that dies half way, customers who move.

An account is blocked in a country that is not supported, and comes back through machines for rent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.redis_server import RedisServer
from tests.test_servers import serving

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.once]

DAY = 86_400.0
MONDAY = 1_795_420_800.0  # 2026-11-23T08:00:00Z
FLAG_AFTER = 3
WITHIN_SECONDS = 14 * DAY
#: The other worker knows within a second; the rest is for a busy machine.
PATIENCE_SECONDS = 20.0

CHINA, CLOUD, HOME = "175.16.199.1", "52.95.110.1", "81.2.69.142"

ASGI = """
from pathlib import Path
from georestrict import Accounts, Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

HERE = Path({folder!r})
POLICY = {{
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [
        {{"name": "closed", "action": "block", "countries": ["CN"]}},
        {{
            "name": "tunnel",
            "action": "block",
            "categories": ["hosting", "vpn", "tor"],
            "account_seen_in": {{"countries": ["CN"], "within": "14d"}},
        }},
    ],
}}


def clock():
    return float((HERE / "now").read_text())


async def served(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"served"}})


def account(scope):
    return dict(scope["headers"]).get(b"x-account", b"").decode() or None


def flagged(account, decision):
    with (HERE / "flagged").open("a") as told:
        told.write(f"{{account}}\\n")


app = GeoRestrictMiddleware(
    served,
    engine=Engine(
        POLICY,
        clock=clock,
        accounts=Accounts(
            key="a key of the test's own", redis={redis!r}, flag_after={flag_after}, clock=clock
        ),
    ),
    client=TrustedProxies("127.0.0.1/32"),
    identify=account,
    on_account_flagged=flagged,
)
"""


class Vendor:
    """Two servers of one vendor, and the time of their clocks."""

    def __init__(self, folder: Path, redis: RedisServer, servers: list[httpx.Client]) -> None:
        self._folder, self.redis, self._servers = folder, redis, servers

    def turn(self, now: float) -> None:
        """Set the time."""
        new = self._folder / "now.new"
        new.write_text(str(now))
        new.replace(self._folder / "now")

    def ask(self, account: str, address: str, server: int = 0) -> httpx.Response:
        """Send a request of an account from an address."""
        headers = {"X-Account": account, "X-Forwarded-For": address}
        return self._servers[server].get("/v1/models", headers=headers)

    def status(self, account: str, address: str, server: int = 0) -> int:
        """What a request of an account from an address gets."""
        return self.ask(account, address, server).status_code

    def flags(self) -> list[str]:
        """Who was flagged, in order."""
        path = self._folder / "flagged"
        return path.read_text().splitlines() if path.exists() else []


def until(expected: Any, ask: Callable[[], Any]) -> None:
    """Ask until the answer is the expected one; fail when it does not come."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := ask()) != expected:
        assert time.monotonic() < end, f"still {found!r}, not {expected!r}"


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with ExitStack() as open_now:
        redis = RedisServer(tmp_path).start()
        open_now.callback(redis.kill)
        (tmp_path / "now").write_text(str(MONDAY))
        app = ASGI.format(folder=str(tmp_path), redis=redis.url, flag_after=FLAG_AFTER)
        servers = []
        for name in ("first", "second"):
            folder = tmp_path / name
            folder.mkdir()
            command = ["uvicorn", "app:app", "--no-proxy-headers", "--lifespan", "off", "--port"]
            url = open_now.enter_context(serving(folder, app, command))
            servers.append(open_now.enter_context(httpx.Client(base_url=url)))
        yield Vendor(tmp_path, redis, servers)


def test_the_tunnel_from_monday_to_the_end_of_the_window(vendor: Vendor) -> None:
    for _ in range(FLAG_AFTER + 2):
        assert vendor.status("lin", CHINA) == 403
    until(["lin"], vendor.flags)

    vendor.turn(MONDAY + DAY)  # Tuesday, on the other machine
    until(403, lambda: vendor.status("lin", CLOUD, 1))
    refusal = json.loads(vendor.ask("lin", CLOUD, 1).content)
    assert refusal["error"]["code"] == "account_location_restricted"
    assert refusal["contact"] == "https://example.com/contact"
    assert vendor.status("ada", CLOUD, 1) == 200, "a customer who lives in the cloud"
    assert vendor.ask("", CLOUD, 1).status_code == 200, "nobody has said who that is"
    assert vendor.status("lin", HOME, 1) == 200, "only the tunnel is closed"

    vendor.redis.kill()
    assert vendor.status("lin", CLOUD, 0) == 403, "served from memory"
    assert vendor.status("lin", CLOUD, 1) == 403
    assert vendor.status("ada", CLOUD, 0) == 200
    for _ in range(FLAG_AFTER):
        assert vendor.status("wei", CHINA, 0) == 403, "seen by the first machine alone"
    assert vendor.status("wei", CLOUD, 1) == 200, "which the second cannot know yet"

    vendor.redis.start()  # empty: it kept nothing
    until(403, lambda: vendor.status("wei", CLOUD, 1))
    until(["lin", "wei"], vendor.flags)
    assert vendor.status("lin", CLOUD, 0) == 403
    assert vendor.status("lin", CLOUD, 1) == 403

    vendor.turn(MONDAY + WITHIN_SECONDS + DAY)
    for server in (0, 1):
        assert vendor.status("lin", HOME, server) == 200
        assert vendor.status("lin", CLOUD, server) == 200, "what was seen is too long ago"
    assert vendor.flags() == ["lin", "wei"], "each once"
