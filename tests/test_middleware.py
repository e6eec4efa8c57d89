"""Both middlewares: the same request gives the same status, headers, body and decision."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from starlette.staticfiles import StaticFiles

from georestrict import ConfigurationError, Database, Decision, Engine, Policy, Rule, asgi, wsgi
from georestrict.address import ClientAddress, Headers, SingleHeader, TrustedProxies
from tests.web import (
    APP_BODY,
    APP_HEADERS,
    Answer,
    Recorder,
    Request,
    environ_of,
    run_asgi,
    scope_of,
    through_asgi,
    through_wsgi,
    without_id,
)

Through = Callable[..., Answer]
POLICY = {
    "default": "block",
    "contact": "https://example.com/contact",
    "rules": [
        {"name": "health", "action": "allow", "paths": ["/healthz", "/export/*"]},
        {"name": "tor", "action": "block", "categories": ["tor"]},
        {"name": "hosting", "action": "block", "categories": ["hosting"], "paths": ["/admin/*"]},
        {"name": "sweden", "action": "warn", "countries": ["SE"]},
        {"name": "served", "action": "allow", "countries": ["GB", "JP", "US"]},
    ],
}
PROXIES = TrustedProxies("10.0.0.0/8", "fd00::/8")

REQUESTS = {
    "allowed": Request(),
    "allowed over IPv6": Request(peer="2001:218::1"),
    "warned": Request(peer="89.160.20.112"),
    "blocked": Request(peer="175.16.199.1"),
    "blocked, mapped": Request(peer="::ffff:175.16.199.1"),
    "blocked HEAD": Request(peer="175.16.199.1", method="HEAD"),
    "blocked POST": Request(peer="175.16.199.1", method="POST"),
    "blocked, wants a page": Request(
        peer="175.16.199.1", headers=(("Accept", "text/html,*/*;q=0.8"),)
    ),
    "blocked, wants a problem": Request(
        peer="175.16.199.1", headers=(("Accept", "application/problem+json"),)
    ),
    "blocked, accepts anything": Request(peer="175.16.199.1", headers=(("Accept", "*/*"),)),
    "blocked by category": Request(peer="81.2.69.200"),
    "blocked by category and path": Request(peer="52.95.110.1", target="/admin/x"),
    "not blocked on another path": Request(peer="52.95.110.1", target="/adminx"),
    "exempt path": Request(peer="175.16.199.1", target="/healthz"),
    "exempt path with a query": Request(peer="175.16.199.1", target="/export/a?next=/x"),
    "E2 exempt path, odd spelling": Request(peer="175.16.199.1", target="/healthz%2f..%2fsecret"),
    "E2 exempt path, dotted": Request(peer="175.16.199.1", target="/healthz/../secret"),
    "E2 exempt path, doubled": Request(peer="175.16.199.1", target="//healthz"),
    "E3 guarded path, encoded": Request(peer="52.95.110.1", target="/%61dmin/x"),
    "E3 guarded path, encoded slash": Request(peer="52.95.110.1", target="/admin%2Fx"),
    "D13 mounted": Request(peer="175.16.199.1", target="/healthz", root="/api"),
    "E9 overriding headers": Request(
        peer="175.16.199.1",
        headers=(("X-Original-URL", "/healthz"), ("X-HTTP-Method-Override", "GET")),
    ),
    "private": Request(peer="10.1.2.3"),
    "A30 no peer": Request(peer=None),
    "A30 empty peer": Request(peer=""),
    "A30 peer None": Request(peer="None"),
    "I5 language and agent": Request(
        peer="175.16.199.1",
        headers=(("Accept-Language", "en-GB"), ("User-Agent", "x"), ("Via", "1.1 x")),
    ),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_both_middlewares_answer_alike(tiny: Database, request_: Request) -> None:
    options: dict[str, Any] = {"policy": POLICY, "database": tiny, "annotate": True}
    over_asgi, over_wsgi = through_asgi(request_, **options), through_wsgi(request_, **options)
    assert over_asgi.status == over_wsgi.status
    assert over_asgi.headers == over_wsgi.headers
    assert without_id(over_asgi.body) == without_id(over_wsgi.body)
    assert (over_asgi.served, _told(over_asgi.decision)) == (
        over_wsgi.served,
        _told(over_wsgi.decision),
    )


def _told(decision: Decision | None) -> object:
    return decision and (
        decision.action,
        decision.reason,
        decision.rule,
        decision.country,
        decision.code,
    )


FORWARDED = {
    "A2 the left-most entry is a claim": ("10.0.0.5", "81.2.69.142, 175.16.199.1", 403),
    "A3 trusted hops are passed": ("10.0.0.5", "175.16.199.1, 81.2.69.142, 10.1.1.1", 200),
    "A1 a stranger's header is ignored": ("175.16.199.1", "81.2.69.142", 403),
    "A7 a proxy without a header": ("10.0.0.5", None, 403),
    "A6 all trusted": ("10.0.0.5", "10.1.1.1, 10.2.2.2", 403),
    "A10 garbage at the deciding place": ("10.0.0.5", "81.2.69.142, unknown", 403),
    "A20 a mapped proxy": ("::ffff:10.0.0.5", "81.2.69.142", 200),
    "A29 no space after the comma": ("10.0.0.5", "81.2.69.142,175.16.199.1", 403),
}


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(("peer", "chain", "status"), FORWARDED.values(), ids=FORWARDED)
def test_behind_a_proxy_the_client_is_who_the_proxy_saw(
    tiny: Database, through: Through, peer: str, chain: str | None, status: int
) -> None:
    headers = () if chain is None else (("X-Forwarded-For", chain),)
    answer = through(
        Request(peer=peer, headers=headers), policy=POLICY, database=tiny, client=PROXIES
    )
    assert answer.status == status


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_a4_two_header_lines_are_one_chain(tiny: Database, through: Through) -> None:
    headers = (("X-Forwarded-For", "81.2.69.142"), ("X-Forwarded-For", "175.16.199.1"))
    answer = through(
        Request(peer="10.0.0.5", headers=headers), policy=POLICY, database=tiny, client=PROXIES
    )
    assert answer.status == 403


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_a17_other_forwarding_headers_are_not_looked_at(tiny: Database, through: Through) -> None:
    claims = ("Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP")
    headers = (("X-Forwarded-For", "175.16.199.1"), *((name, "81.2.69.142") for name in claims))
    answer = through(
        Request(peer="10.0.0.5", headers=headers), policy=POLICY, database=tiny, client=PROXIES
    )
    assert answer.status == 403


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_a18_a_repeated_single_header_is_unresolved(tiny: Database, through: Through) -> None:
    headers = (("CF-Connecting-IP", "81.2.69.142"), ("CF-Connecting-IP", "81.2.69.142"))
    client = SingleHeader("CF-Connecting-IP", proxies=["10.0.0.0/8"])
    answer = through(
        Request(peer="10.0.0.5", headers=headers), policy=POLICY, database=tiny, client=client
    )
    assert json.loads(answer.body)["error"]["code"] == "client_address_unresolved"


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_a16_an_undeclared_balancer_is_unresolved_and_one_log_line_names_the_fix(
    tiny: Database, through: Through, caplog: pytest.LogCaptureFixture
) -> None:
    request = Request(peer="10.0.0.5", headers=(("X-Forwarded-For", "81.2.69.142"),))
    answer = through(request, block=["CN"], database=tiny)
    assert json.loads(answer.body)["error"]["code"] == "client_address_unresolved"
    lines = [
        record.getMessage()
        for record in caplog.records
        if "undeclared_proxy" in record.getMessage()
    ]
    assert len(lines) == 1
    assert "client=TrustedProxies(" in lines[0]


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_an_allowed_response_is_the_apps_own_byte_for_byte(
    tiny: Database, through: Through
) -> None:
    answer = through(Request(), policy=POLICY, database=tiny)
    assert answer.status == 200
    assert answer.headers == {name.decode(): value.decode() for name, value in APP_HEADERS}
    assert answer.body == APP_BODY
    assert answer.decision is None


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_annotate_leaves_plain_allows_too(tiny: Database, through: Through) -> None:
    answer = through(Request(), policy=POLICY, database=tiny, annotate=True)
    assert answer.decision is not None
    assert (answer.decision.rule, answer.decision.country) == ("served", "GB")


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_f8_a_warned_request_is_served_with_a_header_that_is_only_ever_ours(
    tiny: Database, through: Through, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "georestrict")
    request = Request(peer="89.160.20.112", headers=(("GeoRestrict-Warning", "forged"),))
    answer = through(request, policy=POLICY, database=tiny)
    assert (answer.status, answer.body) == (200, APP_BODY)
    assert answer.headers["georestrict-warning"] == (
        'code="unsupported_country_region_territory", country="SE", contact="https://example.com/contact"'
    )
    assert answer.decision is not None
    assert answer.decision.action.value == "warn"
    assert [record for record in caplog.messages if record.startswith("warned ")] == [
        'warned country=SE reason=country rule="sweden" code=unsupported_country_region_territory '
        'network=89.160.20.0/24 client=peer data=2026-01-01 method="GET" path="/"'
    ]


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_f1_a_block_is_small_complete_and_never_cached(tiny: Database, through: Through) -> None:
    answer = through(Request(peer="175.16.199.1"), policy=POLICY, database=tiny)
    assert (answer.status, answer.served) == (403, False)
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
        "vary": "Accept",
        "x-content-type-options": "nosniff",
    }
    assert len(answer.body) < 1000


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/problem+json", "application/problem+json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json;q=0.5, text/html;q=0.4", "application/json"),
        ("text/html;q=0", "application/json"),
        ("image/png", "application/json"),
        (";;;,,q=,text/html;q=x", "application/json"),
    ],
)
def test_f3_the_body_follows_accept(
    tiny: Database, through: Through, accept: str | None, media: str
) -> None:
    headers = () if accept is None else (("Accept", accept),)
    answer = through(Request(peer="175.16.199.1", headers=headers), policy=POLICY, database=tiny)
    assert answer.headers["content-type"] == media
    if "json" in media:
        document = json.loads(answer.body)
        assert {"type", "title", "status", "detail", "error", "country", "contact"} == set(document)
        assert document["status"] == 403
        assert document["error"] == {
            "code": "unsupported_country_region_territory",
            "message": "Country, region, or territory not supported: your address appears to be in China (CN).",
            "param": None,
            "type": "request_forbidden",
        }
    else:
        assert b"appears to be in China (CN)" in answer.body
        assert b'href="https://example.com/contact"' in answer.body


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_d6_a_blocked_head_has_the_length_and_no_body(tiny: Database, through: Through) -> None:
    get = through(Request(peer="175.16.199.1"), policy=POLICY, database=tiny)
    head = through(Request(peer="175.16.199.1", method="HEAD"), policy=POLICY, database=tiny)
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


CAUSES = {
    "tor": ("81.2.69.200", "anonymous_network", 403),
    "hosting": ("52.95.110.1", "network_not_allowed", 403),
    "country": ("175.16.199.1", "unsupported_country_region_territory", 403),
    "no country": ("1.1.1.1", "unsupported_country_region_territory", 403),
    "private": ("192.168.1.1", "network_not_allowed", 403),
    "unresolved": (None, "client_address_unresolved", 403),
}


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(("peer", "code", "status"), CAUSES.values(), ids=CAUSES)
def test_the_code_tells_the_cause(
    tiny: Database, through: Through, peer: str | None, code: str, status: int
) -> None:
    answer = through(Request(peer=peer, target="/admin/"), policy=POLICY, database=tiny)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)


class Failing:
    """A strategy with a defect, until it is mended."""

    def __init__(self) -> None:
        self.broken = True

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Fail, or say what the declared proxies would."""
        if self.broken:
            raise RuntimeError("defect")
        return PROXIES.resolve(peer, headers)


def test_d12_a_defect_blocks_one_request_says_so_and_spares_the_next(
    tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    client = Failing()
    answers = []
    for through in (through_asgi, through_wsgi):
        client.broken = True
        answers.append(through(Request(), policy=POLICY, database=tiny, client=client))
        client.broken = False
        assert through(Request(), policy=POLICY, database=tiny, client=client).status == 200
    for answer in answers:
        assert (answer.status, answer.served, answer.headers["retry-after"]) == (503, False, "300")
        assert json.loads(answer.body)["error"]["code"] == "location_unavailable"
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_f5_text_from_the_request_is_escaped_and_cut_in_the_log(
    tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "georestrict")
    request = Request(peer="175.16.199.1", target="/a%0d%0ab%1b%e2%80%a8" + "x" * 300, method="G")
    through_asgi(request, policy=POLICY, database=tiny)
    (message,) = [text for text in caplog.messages if text.startswith("blocked ")]
    assert message.isascii()
    assert message.isprintable()
    assert r'path="/a\r\nb\u001b\u2028xxx' in message
    assert len(message) < 400
    assert "175.16.199.1" not in message


@pytest.mark.parametrize("mode", ["enforce", "dry-run"])
@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_i8_a_dry_run_serves_everybody_and_tells_what_it_would_have_done(
    tiny: Database, through: Through, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "georestrict")
    policy = POLICY | {"mode": mode}
    answers = [
        through(Request(peer=peer), policy=policy, database=tiny)
        for peer in ("81.2.69.142", "175.16.199.1", "89.160.20.112", None)
    ]
    logged = [text.split(" country=")[0] for text in caplog.messages if " country=" in text]
    if mode == "enforce":
        assert [answer.status for answer in answers] == [200, 403, 200, 403]
        assert logged == ["blocked", "warned", "blocked"]
    else:
        assert [answer.status for answer in answers] == [200, 200, 200, 200]
        assert [answer.body for answer in answers] == [APP_BODY] * 4
        assert all("georestrict-warning" not in answer.headers for answer in answers)
        assert [answer.decision and str(answer.decision.would) for answer in answers] == [
            None, "block", "warn", "block",
        ]  # fmt: skip
        assert logged == ["dry-run blocked", "dry-run warned", "dry-run blocked"]


# ASGI by itself


def websocket_scope(**more: Any) -> dict[str, Any]:
    scope = scope_of(Request(peer="175.16.199.1"), type="websocket", subprotocols=[], **more)
    del scope["method"]
    return scope


def guarded(app: asgi.App, database: Database, **options: Any) -> asgi.GeoRestrictMiddleware:
    return asgi.GeoRestrictMiddleware(app, policy=POLICY, database=database, **options)


async def never(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """An app that must not be called."""
    raise AssertionError("the app was called")


def test_d1_a_blocked_websocket_is_closed_once_before_it_is_accepted(tiny: Database) -> None:
    sent = run_asgi(guarded(never, tiny), websocket_scope(), ({"type": "websocket.connect"},))
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


def test_d2_where_the_server_offers_it_a_blocked_websocket_gets_the_http_response(
    tiny: Database,
) -> None:
    scope = websocket_scope(extensions={"websocket.http.response": {}})
    start, body = run_asgi(guarded(never, tiny), scope, ({"type": "websocket.connect"},))
    over_http = through_asgi(Request(peer="175.16.199.1"), policy=POLICY, database=tiny)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert {name.decode(): value.decode() for name, value in start["headers"]} == over_http.headers
    assert (body["type"], body["body"], body["more_body"]) == (
        "websocket.http.response.body", over_http.body, False,
    )  # fmt: skip


def test_a_websocket_that_is_gone_before_it_connected_is_left_alone(tiny: Database) -> None:
    assert (
        run_asgi(guarded(never, tiny), websocket_scope(), ({"type": "websocket.disconnect"},)) == []
    )


def test_d3_an_allowed_websocket_passes_unmodified(tiny: Database) -> None:
    frames: list[asgi.Message] = [
        {"type": "websocket.accept", "headers": [(b"x", b"y")]},
        {"type": "websocket.send", "text": "hello"},
        {"type": "websocket.close", "code": 1000},
    ]
    received: list[asgi.Message] = []

    async def chat(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        received.append(await receive())
        for frame in frames:
            await send(frame)

    scope = websocket_scope(client=("81.2.69.142", 1))
    assert run_asgi(guarded(chat, tiny), scope, ({"type": "websocket.connect"},)) == frames
    assert received == [{"type": "websocket.connect"}]


def test_a_warned_websocket_is_accepted_with_the_header(tiny: Database) -> None:
    async def chat(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "websocket.accept"})

    (accept,) = run_asgi(guarded(chat, tiny), websocket_scope(client=("89.160.20.112", 1)))
    assert [name for name, _ in accept["headers"]] == [b"georestrict-warning"]


@pytest.mark.parametrize("kind", ["lifespan", "foo"])
def test_d4_d5_other_scopes_are_passed_through_untouched(
    tiny: Database, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    scopes = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        scopes.append(scope)
        if kind == "lifespan":
            raise RuntimeError("startup failed")

    scope = {"type": kind}
    middleware = guarded(app, tiny)
    caplog.clear()
    if kind == "lifespan":
        with pytest.raises(RuntimeError, match="startup failed"):
            run_asgi(middleware, scope)
        assert caplog.messages == []
    else:
        run_asgi(middleware, scope)
        run_asgi(middleware, scope)
        assert len(caplog.messages) == 1
    assert all(seen is scope for seen in scopes)
    assert scope == {"type": kind}


def test_d8_a_blocked_upload_is_answered_without_reading_it(tiny: Database) -> None:
    async def receive() -> asgi.Message:
        raise AssertionError("the body was read")

    sent: list[asgi.Message] = []

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    asyncio.run(
        guarded(never, tiny)(scope_of(Request(peer="175.16.199.1", method="POST")), receive, send)
    )
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("peer", ["81.2.69.142", "89.160.20.112"], ids=["allowed", "warned"])
def test_d9_an_apps_exception_propagates_and_nothing_is_added(tiny: Database, peer: str) -> None:
    sent: list[asgi.Message] = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("half way")

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    with pytest.raises(ValueError, match="half way"):
        asyncio.run(guarded(app, tiny)(scope_of(Request(peer=peer)), None, send))
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_d10_a_stream_is_not_held_back(tiny: Database) -> None:
    steps: list[str] = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(10_000):
            steps.append(f"made {number}")
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: asgi.Message) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            steps.append(f"sent {len(steps) // 2}")

    asyncio.run(guarded(app, tiny)(scope_of(Request(peer="89.160.20.112")), None, send))
    assert steps[:4] == ["made 0", "sent 0", "made 1", "sent 1"]
    assert len(steps) == 20_000


@pytest.mark.parametrize(
    "told",
    [
        {"server": ("/run/app.sock", None)},
        {"server": ["/run/app.sock", "0"], "client": ["", "0"]},
    ],
    ids=["as ASGI says", "as granian says"],
)
def test_a21_a_unix_socket_is_trusted_only_where_it_is_declared(
    tiny: Database, told: dict[str, Any]
) -> None:
    request = Request(peer=None, headers=(("X-Forwarded-For", "81.2.69.142"),))
    scope = scope_of(request, **told)
    for unix, status in ((True, 200), (False, 403)):
        client = TrustedProxies("10.0.0.0/8", unix=unix)
        sent = run_asgi(guarded(Recorder().asgi, tiny, client=client), dict(scope))
        assert sent[0]["status"] == status


@pytest.mark.parametrize("peer", [None, ("", 0), ("", "0"), ["", "0"], ("unix:", "0"), (0, "0")])
@pytest.mark.parametrize(
    "server",
    [("127.0.0.1", 80), None, (), ("x", None), ("127.0.0.1", "0"), ("", "0"), ("/x", 80), ("/x",)],
)
def test_a22_a_missing_peer_is_no_unix_socket(tiny: Database, server: Any, peer: Any) -> None:
    scope = scope_of(
        Request(headers=(("X-Forwarded-For", "81.2.69.142"),)), server=server, client=peer
    )
    client = TrustedProxies("10.0.0.0/8", unix=True)
    assert run_asgi(guarded(never, tiny, client=client), scope)[0]["status"] == 403


@pytest.mark.parametrize("peer", ["", None])
@pytest.mark.parametrize("unix", [True, False])
def test_a21_a30_a_wsgi_peer_is_on_a_unix_socket_if_gunicorns_socket_is_one(
    tiny: Database, unix: bool, peer: str | None
) -> None:
    request = Request(peer=peer, headers=(("X-Forwarded-For", "81.2.69.142"),))
    app = Recorder()
    client = TrustedProxies("10.0.0.0/8", unix=unix)
    guard = wsgi.GeoRestrictMiddleware(app.wsgi, policy=POLICY, database=tiny, client=client)
    with socket.socket(socket.AF_UNIX) as on_unix, socket.socket() as on_tcp:
        for handed, served in ((on_unix, unix), (on_tcp, False), (None, False), ("AF_UNIX", False)):
            app.served = False
            guard(environ_of(request, **{"gunicorn.socket": handed}), lambda *_: print)
            assert app.served == served, handed


def test_a26_an_underscore_spelling_is_another_header(tiny: Database) -> None:
    scope = scope_of(Request(peer="10.0.0.5"))
    scope["headers"] = [(b"X-Forwarded-For", b"175.16.199.1"), (b"x_forwarded_for", b"81.2.69.142")]
    assert run_asgi(guarded(never, tiny, client=PROXIES), scope)[0]["status"] == 403


@pytest.mark.parametrize("client", [("81.2.69.142",), ["81.2.69.142", 1], (None, 1), (7, 1), ()])
def test_odd_client_tuples_never_raise(tiny: Database, client: Any) -> None:
    scope = scope_of(Request(), client=client)
    status = run_asgi(guarded(Recorder().asgi, tiny), scope)[0]["status"]
    assert status == (200 if client and client[0] == "81.2.69.142" else 403)


def test_d13_servers_that_leave_the_mount_out_of_the_path_get_the_same_rule(tiny: Database) -> None:
    included = scope_of(Request(peer="175.16.199.1", target="/healthz", root="/api"))
    left_out = included | {"path": "/healthz", "raw_path": b"/healthz"}
    for scope in (included, left_out):
        assert run_asgi(guarded(Recorder().asgi, tiny), dict(scope))[0]["status"] == 200


def test_e1_a_bad_host_header_exempts_nothing(tiny: Database) -> None:
    request = Request(peer="175.16.199.1", target="/secret", headers=(("Host", "x/healthz?"),))
    assert through_asgi(request, policy=POLICY, database=tiny).status == 403


def test_e5_without_a_raw_path_the_decoded_one_decides_strictly(tiny: Database) -> None:
    for path, status in (("/healthz", 200), ("/healthz/../x", 403), ("/export/%2e", 403)):
        scope = scope_of(Request(peer="175.16.199.1")) | {"path": path, "raw_path": None}
        assert run_asgi(guarded(Recorder().asgi, tiny), scope)[0]["status"] == status


# WSGI by itself


@pytest.mark.parametrize("peer", ["81.2.69.142", "89.160.20.112", "175.16.199.1"])
def test_d15_the_wsgi_protocol_is_kept(tiny: Database, peer: str) -> None:
    closed = []

    class Body:
        def __iter__(self) -> Any:
            return iter([APP_BODY])

        def close(self) -> None:
            closed.append(True)

    def app(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Any:
        start_response("200 OK", [("Content-Type", "application/json")])
        return Body()

    class Errors:
        def write(self, text: str) -> None: ...
        def writelines(self, lines: Any) -> None: ...
        def flush(self) -> None: ...

    # inside, the validator refuses environ["georestrict"], which is no text (a warned request)
    inner = validator(app) if peer == "81.2.69.142" else app
    checked = validator(wsgi.GeoRestrictMiddleware(inner, policy=POLICY, database=tiny))
    started = []

    def start_response(status: str, headers: Any, *_: Any) -> Callable[[bytes], object]:
        started.append(status)
        return lambda data: None

    environ = environ_of(Request(peer=peer), **{"wsgi.errors": Errors()})
    body = checked(environ, start_response)
    assert b"".join(body)
    body.close()  # type: ignore[attr-defined]
    assert len(started) == 1
    assert closed == ([] if peer == "175.16.199.1" else [True])


def test_d15_a_blocked_request_leaves_its_input_unread(tiny: Database) -> None:
    class Input:
        def read(self, *_: int) -> bytes:
            raise AssertionError("the body was read")

    environ = environ_of(Request(peer="175.16.199.1", method="POST"), **{"wsgi.input": Input()})
    app = wsgi.GeoRestrictMiddleware(Recorder().wsgi, policy=POLICY, database=tiny)
    assert b"unsupported_country" in b"".join(app(environ, lambda *_: lambda data: None))


# Options


@pytest.mark.parametrize("middleware", [asgi.GeoRestrictMiddleware, wsgi.GeoRestrictMiddleware])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "nothing to enforce"),
        ({"policy": POLICY, "block": ["CN"]}, "not both"),
        ({"block": ["UK"]}, "did you mean GB"),
        ({"block": "CN"}, r"write \['CN'\]"),
        ({"block": ["CN"], "allow": ["CN"]}, "CN is in both"),
        ({"policy": "missing.toml"}, "'missing.toml' cannot be read: .*; check the path"),
        ({"policy": POLICY, "client": "10.0.3.0/24"}, r"such as TrustedProxies\('10.0.3.0/24'\)"),
        ({"policy": POLICY, "client": TrustedProxies}, "must be a strategy"),
        ({"policy": POLICY, "database": 5}, "database is 5, must be a Database"),
        ({"block": ["CN"], "allow": []}, "allow: is empty"),
    ],
    ids=[
        "nothing",
        "both forms",
        "wrong code",
        "bare text",
        "contradiction",
        "missing file",
        "client is text",
        "client is a class",
        "database is a number",
        "empty allow list",
    ],
)
def test_options_that_make_no_sense_are_errors_at_start(
    middleware: Any, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        middleware(Recorder().wsgi, **options)


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def test_the_short_form_blocks_warns_and_lets_pass(tiny: Database, through: Through) -> None:
    peers = ("175.16.199.1", "89.160.20.112", "81.2.69.142")
    block = [
        through(Request(peer=peer), block=["cn"], warn=["SE"], database=tiny) for peer in peers
    ]
    assert [answer.status for answer in block] == [403, 200, 200]
    assert ["georestrict-warning" in answer.headers for answer in block] == [False, True, False]
    allow = [
        through(Request(peer=peer), allow=["GB"], warn=["SE"], database=tiny) for peer in peers
    ]
    assert [answer.status for answer in allow] == [403, 200, 200]


def test_an_engine_is_taken_as_it_is_and_comes_alone(tiny: Database) -> None:
    engine = Engine(POLICY, database=tiny)
    assert asgi.GeoRestrictMiddleware(never, engine=engine).engine is engine
    with pytest.raises(ConfigurationError, match="engine= comes alone"):
        wsgi.GeoRestrictMiddleware(Recorder().wsgi, engine=engine, database=tiny)


def test_a_missing_contact_is_said_once_at_start(
    tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    asgi.GeoRestrictMiddleware(never, block=["CN"], database=tiny)
    assert [text for text in caplog.messages if "no contact" in text] == [
        'options: no contact: blocked clients are not told whom to ask; set contact = "https://…"'
    ]


# What is odd in a scope or an environ never gets past the middleware, and never raises from it

ODD_SCOPES: dict[str, dict[str, Any]] = {
    "no path": {"path": None},
    "headers None": {"headers": None},
    "headers of three": {"headers": [(b"a", b"b", b"c")]},
    "an accept that is None": {"headers": [(b"accept", None)]},
    "a client that says unix": {
        "client": ("unix:", 0),
        "headers": [(b"x-forwarded-for", b"81.2.69.142")],
    },
    "method None": {"method": None},
}


@pytest.mark.parametrize("odd", ODD_SCOPES.values(), ids=ODD_SCOPES)
def test_d12_an_odd_scope_is_refused(tiny: Database, odd: dict[str, Any]) -> None:
    client = TrustedProxies("10.0.0.0/8", unix=True)
    scope = scope_of(Request(peer="175.16.199.1"), **odd)
    assert run_asgi(guarded(never, tiny, client=client), scope)[0]["status"] in (403, 503)


@pytest.mark.parametrize("key", ["path", "headers", "client", "method"])
def test_d12_a_scope_without_a_key_is_refused(tiny: Database, key: str) -> None:
    scope = scope_of(Request(peer="175.16.199.1"))
    del scope[key]
    assert run_asgi(guarded(never, tiny), scope)[0]["status"] in (403, 503)


@pytest.mark.parametrize(
    "odd",
    [
        {"PATH_INFO": None},
        {"PATH_INFO": b"/"},
        {"SCRIPT_NAME": None},
        {"HTTP_ACCEPT": b"text/html"},
    ],
    ids=str,
)
def test_d12_an_odd_environ_is_refused(tiny: Database, odd: dict[str, Any]) -> None:
    app = wsgi.GeoRestrictMiddleware(Recorder().wsgi, policy=POLICY, database=tiny)
    environ = environ_of(Request(peer="175.16.199.1"), **odd)
    assert b"error" in b"".join(app(environ, lambda *_: lambda data: None))


def test_headers_that_can_be_read_once_reach_the_app(tiny: Database) -> None:
    app = Recorder()
    scope = scope_of(Request(headers=(("X-Any", "1"),)))
    scope["headers"] = iter(scope["headers"])
    run_asgi(guarded(app.asgi, tiny), scope)
    assert app.left["headers"] == [(b"x-any", b"1")]


def test_a_guarded_folder_stays_guarded_behind_an_encoded_back_slash(
    tiny: Database, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.txt").write_text("secret")
    files = StaticFiles(directory=tmp_path)
    policy = {"default": "allow", "rules": [
        {"name": "secret", "action": "block", "countries": ["CN"], "paths": ["/secret/*"]}]}  # fmt: skip
    app = asgi.GeoRestrictMiddleware(files, policy=policy, database=tiny)
    for target in ("/secret/x.txt", "/a%5cb/%2e%2e/secret/x.txt", "/a%5c%5cb/%2e%2e/secret/x.txt",
                   "/a%5cb%2f%2e%2e%2fsecret%2fx.txt", "/b%5cc%3fd/%2e%2e/secret/x.txt"):  # fmt: skip
        incoming = ({"type": "http.request"}, {"type": "http.disconnect"})
        home = run_asgi(app, scope_of(Request(target=target)), incoming)[0]["status"]
        away = run_asgi(app, scope_of(Request(peer="175.16.199.1", target=target)))[0]["status"]
        assert (home, away) == (200, 403), target


def test_a_value_that_only_looks_like_an_action_is_one_or_an_error(tiny: Database) -> None:
    policy = Policy(default="block", rules=(Rule(name="r", action="allow", countries=["gb"]),))  # type: ignore[arg-type]
    for peer, status in (("81.2.69.142", 200), ("175.16.199.1", 403)):
        assert through_asgi(Request(peer=peer), policy=policy, database=tiny).status == status
    with pytest.raises(ConfigurationError, match="did you mean GB"):
        Rule(name="r", action="block", countries=["UK"])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="did you mean 'block'"):
        Policy(default="blok")  # type: ignore[arg-type]


def test_a_header_name_in_upper_case_beyond_latin_1_is_only_another_header(tiny: Database) -> None:
    """wsgiref reads names as Latin-1 and puts them into upper case, where µ and ÿ leave Latin-1."""
    request = Request(
        peer="10.0.0.5", headers=(("X-\u00b5", "1"), ("X-Forwarded-For", "81.2.69.142"))
    )
    assert "HTTP_X_\u039c" in environ_of(request)
    client = TrustedProxies("10.0.0.0/8")
    assert through_wsgi(request, block=["CN"], database=tiny, client=client).served
