"""A wrong set-up says so, once, and names the setting; a right one says nothing."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from georestrict import asgi, wsgi
from georestrict.address import Peer, SingleHeader, Strategy, TrustedHops, TrustedProxies, platforms
from georestrict.testing import tiny_database
from tests.web import Request, environ_of, run_asgi, scope_of

BLOCK = {"default": "allow", "contact": "https://example.com/contact",
         "rules": [{"name": "cn", "action": "block", "countries": ["CN"]}]}  # fmt: skip
ALLOW = {"default": "block", "contact": "https://example.com/contact",
         "rules": [{"name": "gb", "action": "allow", "countries": ["GB"]}]}  # fmt: skip
DATABASE = tiny_database({"81.2.0.0/16": "GB", "175.16.199.0/24": "CN", "2001:218::/32": "JP"})
REQUESTS = 2000  # the gate shows one in eight of the first


def clients() -> Iterator[str]:
    for number in range(REQUESTS):
        yield f"81.2.{number // 200}.{number % 200 + 1}" if number % 4 else f"2001:218::{number:x}"


async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def wsgi_app(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return []


def told(
    caplog: pytest.LogCaptureFixture,
    strategy: Strategy,
    requests: list[Request],
    policy: Any,
    face: str,
) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "georestrict"):
        if face == "asgi":
            guarded = asgi.GeoRestrictMiddleware(
                app, policy=policy, database=DATABASE, client=strategy
            )
            for request in requests:
                run_asgi(guarded, scope_of(request))
        else:
            beside = wsgi.GeoRestrictMiddleware(
                wsgi_app, policy=policy, database=DATABASE, client=strategy
            )
            for request in requests:
                [*beside(environ_of(request), lambda *_: lambda data: None)]
    return [record.getMessage() for record in caplog.records]


def xff(peer: str, chain: str) -> Request:
    return Request(peer=peer, headers=(("X-Forwarded-For", chain),))


WRONG: dict[str, tuple[Strategy, list[Request], Any, str]] = {
    "a load balancer in front of Peer()": (
        Peer(), [xff("10.0.3.7", client) for client in clients()], BLOCK, "TrustedProxies('<its subnet>')",
    ),
    "a load balancer with a public address": (
        Peer(), [xff("81.2.255.9", client) for client in clients()], BLOCK, "TrustedProxies(…) with its network",
    ),
    "trusted ranges that never match": (
        TrustedProxies("10.0.3.0/24"), [xff("10.0.4.7", client) for client in clients()], BLOCK, "header come from 10.0.4.0/24",
    ),
    "trusted ranges that never match public peers": (
        TrustedHops(1, ["10.0.3.0/24"]), [xff("81.2.255.9", client) for client in clients()], BLOCK, "come from 81.2.255.0/24",
    ),
    "a hop count that is always too high": (
        TrustedHops(3), [xff("10.0.3.7", f"{client}, 9.9.9.9") for client in clients()], BLOCK, "set count=2",
    ),
    "a hop count that is always too low": (
        TrustedHops(1), [xff("10.0.3.7", f"{client}, 9.9.9.9") for client in clients()], BLOCK, "TrustedHops(2, …)",
    ),
    "every client resolving to one address": (
        TrustedProxies("10.0.3.0/24"), [xff("10.0.3.7", "9.9.9.9") for _ in clients()], BLOCK, "every client resolves to 9.9.9.0/24",
    ),
    "two proxies where one was declared": (
        TrustedProxies("10.0.3.0/24"), [xff("10.0.3.7", f"{client}, 9.9.9.9") for client in clients()], BLOCK,
        "with that network among the trusted ranges",
    ),
    "two private proxies where one was declared": (
        TrustedProxies("10.0.3.0/24"),
        [xff("10.0.3.7", f"{client}, 10.0.9.{number % 7}") for number, client in enumerate(clients())], BLOCK,
        "with that network among the trusted ranges",
    ),
    "IPv6 clients all unresolved": (
        TrustedProxies("10.0.3.0/24"), [xff("10.0.3.7", f"{client}:4711" if "." in client else f"[{client}:4711") for client in clients()],
        BLOCK, "no IPv6 client can be told",
    ),
    "a load balancer that sends no header": (
        Peer(), [Request(peer="172.17.0.1") for _ in clients()], BLOCK, "every request comes from 172.17.0.1",
    ),
    "a load balancer of three nodes": (
        Peer(), [xff(f"81.2.25{number % 3}.9", client) for number, client in enumerate(clients())], BLOCK, "platforms",
    ),
    "uvicorn's proxy headers, with ports": (
        TrustedProxies("127.0.0.1/32"), [xff(client, f"{client}:4711" if "." in client else f"[{client}]:4711") for client in clients()],
        BLOCK, "--no-proxy-headers",
    ),
    "loopback under an allow list": (Peer(), [Request(peer="127.0.0.1")], ALLOW, "fallback.private"),
    "a proxy that sends no header": (TrustedProxies("10.0.3.0/24"), [Request(peer="10.0.3.7")], BLOCK, "did not send the header"),
}  # fmt: skip


@pytest.mark.parametrize("face", ["asgi", "wsgi"])
@pytest.mark.parametrize(("strategy", "requests", "policy", "fix"), WRONG.values(), ids=WRONG)
def test_a_wrong_set_up_says_once_what_to_change(
    caplog: pytest.LogCaptureFixture,
    strategy: Strategy,
    requests: list[Request],
    policy: Any,
    fix: str,
    face: str,
) -> None:
    lines = told(caplog, strategy, requests, policy, face)
    assert sum(fix in line for line in lines) == 1, lines
    assert len(lines) == len(set(lines)) <= 3


def test_a_server_that_rewrites_the_peer_says_so_once_and_the_client_is_not_derived_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A23, with what uvicorn leaves: the header's client, and no port."""
    guarded = asgi.GeoRestrictMiddleware(
        app, policy=BLOCK, database=DATABASE, client=TrustedProxies("10.0.0.0/8"), annotate=True
    )
    with caplog.at_level(logging.WARNING, "georestrict"):
        for _ in range(30):
            scope = scope_of(xff("81.2.69.142", "175.16.199.1")) | {"client": ("81.2.69.142", 0)}
            run_asgi(guarded, scope)
            assert scope["georestrict"].country == "GB"
    assert sum("--no-proxy-headers" in record.getMessage() for record in caplog.records) == 1


def test_proxy_fix_says_so_too(caplog: pytest.LogCaptureFixture) -> None:
    guarded = wsgi.GeoRestrictMiddleware(
        wsgi_app, policy=BLOCK, database=DATABASE, client=TrustedProxies("10.0.0.0/8")
    )
    with caplog.at_level(logging.WARNING, "georestrict"):
        for _ in range(30):
            environ = environ_of(xff("81.2.69.142", "175.16.199.1")) | {
                "werkzeug.proxy_fix.orig": {}
            }
            [*guarded(environ, lambda *_: lambda data: None)]
    assert sum("ProxyFix" in record.getMessage() for record in caplog.records) == 1


RIGHT: dict[str, tuple[Strategy, list[Request]]] = {
    "clients that connect themselves": (Peer(), [Request(peer=client) for client in clients()]),
    "clients that connect themselves and lie": (Peer(), [xff(client, "9.9.9.9") for client in clients()]),
    "one proxy": (TrustedProxies("10.0.3.0/24"), [xff("10.0.3.7", client) for client in clients()]),
    "one proxy, and clients that lie": (TrustedProxies("10.0.3.0/24"), [xff("10.0.3.7", f"9.9.9.9, {client}") for client in clients()]),
    "clients that connect themselves, and one liar among them": (
        Peer(), [xff("81.2.255.9", f"9.9.9.{number % 250}") if number % 3 == 0 else Request(peer=client) for number, client in enumerate(clients())],
    ),
    "two proxies": (TrustedProxies("10.0.3.0/24", "9.9.9.9/32"), [xff("10.0.3.7", f"{client}, 9.9.9.9") for client in clients()]),
    "two hops": (TrustedHops(2), [xff("10.0.3.7", f"{client}, 9.9.9.9") for client in clients()]),
    "a single header": (
        SingleHeader("x-real-ip", ["10.0.3.0/24"]),
        [Request(peer="10.0.3.7", headers=(("X-Real-IP", client),)) for client in clients()],
    ),
    "Forwarded": (
        TrustedProxies("10.0.3.0/24", header="forwarded"),
        [Request(peer="10.0.3.7", headers=(("Forwarded", f'for="[{client}]"' if ":" in client else f"for={client}"),)) for client in clients()],
    ),
    "a few requests by one developer": (TrustedProxies("10.0.3.0/24"), [xff("10.0.3.7", "81.2.69.142")] * 90),
}  # fmt: skip


@pytest.mark.parametrize("face", ["asgi", "wsgi"])
@pytest.mark.parametrize(("strategy", "requests"), RIGHT.values(), ids=RIGHT)
def test_a_right_set_up_says_nothing(
    caplog: pytest.LogCaptureFixture, strategy: Strategy, requests: list[Request], face: str
) -> None:
    assert told(caplog, strategy, requests, BLOCK, face) == []


@pytest.mark.parametrize(
    "strategy", [TrustedProxies("10.0.3.0/24"), TrustedHops(1), Peer()], ids=repr
)
def test_a_liar_alone_cannot_make_the_log_say_that_he_is_to_be_trusted(
    caplog: pytest.LogCaptureFixture, strategy: Strategy
) -> None:
    peer = "175.16.199.9" if strategy == Peer() else "10.0.3.7"
    lies = [xff(peer, f"9.9.{number % 250}.1, 175.16.199.9") for number in range(REQUESTS)]
    for line in told(caplog, strategy, lies, BLOCK, "asgi"):
        assert "clients that lie, and nothing is wrong" in line or "--no-proxy-headers" in line


@pytest.mark.parametrize(
    ("strategy", "header"),
    [(SingleHeader("X-Client-Addr", ["10.0.3.0/24"]), "X-Client-Addr"),
     (platforms.azure_front_door("147.243.0.0/16"), "X-Azure-SocketIP"), (Peer(), "Via"), (Peer(), "Client-IP")],
    ids=repr,
)  # fmt: skip
def test_a16_a_private_peer_with_the_declared_header_is_a_proxy_whatever_its_name(
    strategy: Strategy, header: str
) -> None:
    client = strategy.resolve("10.0.4.7", [(header.lower().encode(), b"175.16.199.1")])
    assert client.reason == "undeclared_proxy"


def test_bytes_of_any_kind_are_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    guarded = asgi.GeoRestrictMiddleware(
        app, policy=BLOCK, database=DATABASE, client=TrustedProxies("10.0.3.0/24")
    )
    with caplog.at_level(logging.WARNING, "georestrict"):
        for _ in range(20):
            headers = [(bytearray(b"X-Forwarded-For"), bytearray(b"175.16.199.1"))]
            sent = run_asgi(guarded, scope_of(Request(peer="10.0.3.7")) | {"headers": headers})
            assert sent[0]["status"] == 403
    assert caplog.records == []


def test_a_defect_in_diagnosing_does_not_touch_requests(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr("georestrict.diagnose.Diagnosis.saw", fail)
    lines = told(
        caplog, TrustedProxies("10.0.3.0/24"), [xff("10.0.3.7", "175.16.199.1")] * 30, BLOCK, "asgi"
    )
    assert lines == ["the set-up is no longer looked at"]


# --- georestrict doctor ---------------------------------------------------------------------------

DOCTORED = """
from georestrict.address import *
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.wsgi import GeoRestrictMiddleware as Wsgi
from starlette.applications import Starlette
from starlette.middleware import Middleware

async def bare(scope, receive, send): ...

right = GeoRestrictMiddleware(bare, block=["CN"], client=TrustedProxies("10.0.3.0/24", "fd00:1::/48"))
broad = Wsgi(lambda environ, start_response: [], block=["CN"], client=TrustedProxies("10.0.3.0/24", "10.0.0.0/8"))
hops = GeoRestrictMiddleware(bare, block=["CN"], client=TrustedHops(2))
allow = GeoRestrictMiddleware(bare, allow=["GB"], client=TrustedProxies(unix=True))
starlette = Starlette(middleware=[Middleware(GeoRestrictMiddleware, block=["CN"], client=SingleHeader("x-real-ip", ["fd00::/8"]))])
"""


@pytest.mark.once
@pytest.mark.parametrize(
    ("target", "environment", "code", "told"),
    [
        ("doctored:right", {}, 0, "nothing wrong"),
        ("doctored:right", {"FORWARDED_ALLOW_IPS": "*"}, 1, "server_rewrites_peer"),
        ("doctored:broad", {}, 1, "the trusted range 10.0.0.0/8 is broad"),
        ("doctored:hops", {}, 1, "believes_every_peer"),
        ("doctored:allow", {}, 1, "set fallback.private"),
        ("doctored:starlette", {}, 1, "fd00::/8 is broad"),
        ("doctored:bare", {}, 2, "no GeoRestrictMiddleware"),
        ("doctored:missing", {}, 2, "no attribute 'missing'"),
        ("missing:app", {}, 2, "No module named 'missing'"),
        ("doctored", {}, 2, "write module:attribute"),
    ],
)  # fmt: skip
def test_doctor_looks_at_what_is_set(
    tmp_path: Path, target: str, environment: dict[str, str], code: int, told: str
) -> None:
    (tmp_path / "doctored.py").write_text(DOCTORED)
    done = subprocess.run(
        [sys.executable, "-m", "georestrict.cli", "doctor", "--app", target],
        cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
