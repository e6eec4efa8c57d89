"""The gate lets through only what the slow way lets through, and never raises."""

from __future__ import annotations

import asyncio
import inspect
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import Database, Decision, Engine, asgi, wsgi
from georestrict._core import Trusted, Way
from georestrict.address import (
    ClientAddress,
    Headers,
    Peer,
    SingleHeader,
    Strategy,
    TrustedHops,
    TrustedProxies,
)
from georestrict.asgi import GeoRestrictMiddleware, _request
from georestrict.testing import tiny_database
from tests.web import Recorder, Request, environ_of, run_asgi, scope_of

POLICY = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [
        {"name": "health", "action": "allow", "paths": ["/healthz"]},
        {"name": "admin", "action": "block", "countries": ["SE"], "paths": ["/admin/*"]},
        {"name": "tor", "action": "block", "categories": ["tor"]},
        {"name": "cn", "action": "block", "countries": ["CN"]},
        {"name": "jp", "action": "warn", "countries": ["JP"]},
    ],
}
TINY = tiny_database(
    {"81.2.69.0/24": "GB", "175.16.199.0/24": "CN", "89.160.20.0/24": "SE", "2001:218::/32": "JP"},
    {"81.2.69.200/32": "tor:high:Tor"},
)
ENGINE = Engine(POLICY, database=TINY)
PROXIES = TrustedProxies("10.0.0.0/8", "fd00::/8")


async def nothing(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """An app."""


def guarded(client: Strategy, **options: Any) -> GeoRestrictMiddleware:
    return GeoRestrictMiddleware(nothing, engine=ENGINE, client=client, **options)


def nothing_wsgi(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> list[bytes]:
    start_response("204 No Content", [])
    return []


def guarded_wsgi(client: Strategy, **options: Any) -> wsgi.GeoRestrictMiddleware:
    return wsgi.GeoRestrictMiddleware(nothing_wsgi, engine=ENGINE, client=client, **options)


ADDRESSES = st.sampled_from(
    ["81.2.69.142", "175.16.199.1", "89.160.20.112", "81.2.69.200", "2001:218::1", "10.0.0.5", "fd00::7",
     "::ffff:10.0.0.5", "::ffff:175.16.199.1", "2002:af10:c701::1", "64:ff9b::5102:458e", "127.0.0.1", "1.1.1.1",
     "fe80::1%eth0", "unix:", "", "junk", "81.2.69.142:80"]
)  # fmt: skip
ENTRIES = ADDRESSES | st.sampled_from(
    ["unknown", "_x", " 81.2.69.142 ", "[2001:218::1]:4", "\t10.1.1.1"]
)
NAMES = st.sampled_from(
    [
        b"x-forwarded-for",
        b"X-Forwarded-For",
        b"x_forwarded_for",
        b"forwarded",
        b"host",
        b"x-real-ip",
        b"",
    ]
)
ELEMENTS = (
    ENTRIES
    | ENTRIES.map(lambda each: f'for="{each}"')
    | ADDRESSES.map(lambda each: f"FOR={each};by=x")
)
HEADERS = st.lists(
    st.tuples(NAMES, st.lists(ELEMENTS, max_size=5).map(lambda each: ",".join(each).encode()))
)
PATHS = st.sampled_from(
    [("/", b"/"), ("/healthz", b"/healthz"), ("/admin/x", b"/admin/x"), ("/admin/x", b"/%61dmin/x"),
     ("//admin/x", b"//admin/x"), ("/healthz", b"/x/../healthz"), ("/healthz", None), ("/é", "/é".encode())]
)  # fmt: skip
CLIENTS = st.one_of(
    st.none(),
    st.tuples(ADDRESSES, st.just(1)),
    st.tuples(ADDRESSES, st.just(1)).map(list),
    st.sampled_from([(), [], (None, 1), (b"81.2.69.142", 1), "81.2.69.142", 7]),
)


class Own:
    """A strategy of the owner's."""

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        return Peer().resolve(peer, ())


STRATEGIES: list[Strategy] = [
    Peer(),
    PROXIES,
    TrustedProxies("10.0.0.0/8", unix=True),
    TrustedProxies("10.0.0.0/8", header="forwarded", unix=True),
    TrustedHops(1),
    TrustedHops(2, ["10.0.0.0/8"]),
    SingleHeader("x-real-ip", ["10.0.0.0/8"]),
    Own(),
]


@settings(max_examples=1500, deadline=None)
@given(
    client=CLIENTS,
    headers=HEADERS,
    path=PATHS,
    kind=st.sampled_from(["http", "websocket"]),
    root=st.sampled_from(["", "/admin"]),
    server=st.sampled_from(
        [("/run/app.sock", None), ("127.0.0.1", 80), None, ["/run/app.sock", None], ("x", None)]
    ),
    strategy=st.sampled_from(STRATEGIES),
)
def test_what_the_gate_lets_through_the_slow_way_lets_through(
    client: Any, headers: Any, path: Any, kind: str, root: str, server: Any, strategy: Strategy
) -> None:
    scope = scope_of(Request()) | {
        "type": kind, "client": client, "headers": headers, "path": path[0], "raw_path": path[1], "root_path": root,
        "server": server,
    }  # fmt: skip
    middleware = guarded(strategy)
    for _ in range(2):  # the second time its route is known
        admitted = middleware.admitted(dict(scope))
        slow = middleware.judge(_request, dict(scope)).decision
        assert admitted is None or (slow.plain_allow and alike(admitted, slow))


def alike(admitted: Decision, slow: Decision) -> bool:
    """Without annotate the gate counts a decision and hands none out: it has no lists, no provider."""
    return replace(admitted, location=slow.location) == slow


ENVIRON_NAMES = st.sampled_from(
    ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_HOST", "X_FORWARDED_FOR"]
)
ENVIRON_PATHS = st.sampled_from(
    [("/", "/"), ("/healthz", "/healthz?x=/admin/x"), ("/admin/x", "/admin/x"), ("/admin/x", "/%61dmin/x"),
     ("/admin/x", "/admin/xy"), ("//admin/x", "//admin/x"), ("/healthz", "/x/../healthz"), ("/healthz", None),
     ("", ""), ("/healthz", ""), ("/healthz", "http://h/healthz"), ("/a?b", "/a?b"), ("/Ã©", "/%C3%A9"), ("/é", "/é")]
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(
    peer=ADDRESSES | st.sampled_from([None, 7, "None", b"81.2.69.142"]),
    headers=st.dictionaries(ENVIRON_NAMES, st.lists(ENTRIES | st.just("é"), max_size=70).map(",".join)),
    path=ENVIRON_PATHS,
    key=st.sampled_from(["RAW_URI", "REQUEST_URI"]),
    root=st.sampled_from(["", "/admin", None]),
    strategy=st.sampled_from(STRATEGIES),
)  # fmt: skip
def test_what_the_wsgi_gate_lets_through_the_slow_way_lets_through(
    peer: Any, headers: dict[str, str], path: Any, key: str, root: str | None, strategy: Strategy
) -> None:
    environ = environ_of(Request()) | headers | {"PATH_INFO": path[0]}
    for name, value in {"REMOTE_ADDR": peer, "SCRIPT_NAME": root}.items():
        environ[name] = value
        if value is None:
            del environ[name]
    del environ["RAW_URI"]
    if path[1] is not None:
        environ[key] = path[1]
    middleware = guarded_wsgi(strategy)
    for _ in range(2):  # the second time its route is known
        admitted = middleware.admitted(dict(environ))
        slow = middleware.judge(wsgi._request, dict(environ)).decision
        assert admitted is None or (slow.plain_allow and alike(admitted, slow))


@pytest.mark.parametrize(
    ("strategy", "request_"),
    [
        (Peer(), Request(peer="81.2.69.142")),
        (Peer(), Request(peer="81.2.69.142", headers=(("X-Forwarded-For", "175.16.199.1"),))),
        (Peer(), Request(peer="89.160.20.112", target="/v1/models")),
        (
            PROXIES,
            Request(peer="10.0.0.5", headers=(("X-Forwarded-For", "175.16.199.1, 81.2.69.142"),)),
        ),
        (PROXIES, Request(peer="fd00::5", headers=(("X-Forwarded-For", "81.2.69.142, 10.9.9.9"),))),
        (PROXIES, Request(peer="fd00::5", headers=(("X-Forwarded-For", "81.2.69.142:4711"),))),
        (
            PROXIES,
            Request(
                peer="10.0.0.5",
                headers=(("X-Forwarded-For", "175.16.199.1"), ("X-Forwarded-For", "81.2.69.142")),
            ),
        ),
        (TrustedHops(1), Request(peer="81.2.69.1", headers=(("X-Forwarded-For", "81.2.69.142"),))),
        (
            TrustedHops(2, ["10.0.0.0/8"]),
            Request(peer="10.0.0.5", headers=(("X-Forwarded-For", "x, 81.2.69.142, junk"),)),
        ),
        (
            SingleHeader("CF-Connecting-IP", ["10.0.0.0/8"]),
            Request(peer="10.0.0.5", headers=(("CF-Connecting-IP", " 81.2.69.142"),)),
        ),
        (
            TrustedProxies("10.0.0.0/8", header="Forwarded"),
            Request(
                peer="10.0.0.5",
                headers=(
                    ("Forwarded", 'for=6.6.6.6, FOR="81.2.69.142:80";proto=https, for=10.1.1.1'),
                ),
            ),
        ),
    ],
    ids=[
        "peer",
        "peer with a claim",
        "by path",
        "behind a proxy",
        "behind two proxies",
        "with a port",
        "on two lines",
        "a hop",
        "two hops",
        "a single header",
        "RFC 7239",
    ],
)
def test_the_gate_lets_plain_requests_through(strategy: Strategy, request_: Request) -> None:
    middleware = guarded(strategy)
    scope = scope_of(request_)
    slow = middleware.judge(_request, dict(scope)).decision
    assert alike(middleware.admitted(scope), slow)
    beside = guarded_wsgi(strategy)
    environ = environ_of(request_)
    assert beside.judge(wsgi._request, dict(environ)).decision is slow
    assert alike(beside.admitted(environ), slow)


@pytest.mark.parametrize(
    ("strategy", "request_"),
    [
        (Peer(), Request(peer="175.16.199.1")),
        (Peer(), Request(peer="2001:218::1")),
        (Peer(), Request(peer="10.0.0.5")),
        (Peer(), Request(peer="2002:5102:458e::1")),
        (PROXIES, Request(peer="10.0.0.5")),
        (PROXIES, Request(peer="10.0.0.5", headers=(("X-Forwarded-For", "10.1.1.1"),))),
        (
            TrustedProxies("10.0.0.0/8", unix=True),
            Request(peer=None, headers=(("X-Forwarded-For", "81.2.69.142"),)),
        ),
        (Own(), Request(peer="81.2.69.142")),
    ],
    ids=[
        "blocked",
        "warned",
        "private",
        "carried",
        "no header",
        "all trusted",
        "no peer",
        "another strategy",
    ],
)
def test_everything_else_goes_the_slow_way(strategy: Strategy, request_: Request) -> None:
    assert guarded(strategy).admitted(scope_of(request_)) is None
    assert guarded_wsgi(strategy).admitted(environ_of(request_)) is None


@given(scope=st.dictionaries(
    st.sampled_from(["type", "client", "headers", "path", "raw_path", "root_path"]),
    st.one_of(st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=5), st.lists(st.none(), max_size=3),
              st.just("http"), st.tuples(ADDRESSES), st.just([(b"x-forwarded-for", None)]), st.just([(b"x-forwarded-for",)])),
))  # fmt: skip
@settings(max_examples=800, deadline=None)
def test_no_scope_makes_the_gate_raise(scope: dict[str, Any]) -> None:
    for strategy in STRATEGIES:
        admitted = guarded(strategy).admitted(scope)
        assert admitted is None or admitted.plain_allow


@given(environ=st.dictionaries(
    st.sampled_from(["REMOTE_ADDR", "HTTP_X_FORWARDED_FOR", "PATH_INFO", "SCRIPT_NAME", "RAW_URI", "REQUEST_URI"]),
    st.one_of(st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=5), ADDRESSES),
))  # fmt: skip
@settings(max_examples=800, deadline=None)
def test_no_environ_makes_the_gate_raise(environ: dict[str, Any]) -> None:
    for strategy in STRATEGIES:
        admitted = guarded_wsgi(strategy).admitted(environ)
        assert admitted is None or admitted.plain_allow


def test_the_gate_returns_the_apps_own_awaitable() -> None:
    middleware = guarded(Peer())
    middleware.judge(_request, scope_of(Request()))  # whose route is known from then on
    awaitable: Any = middleware(scope_of(Request()), None, None)
    assert awaitable.cr_code is nothing.__code__
    asyncio.run(awaitable)


def test_servers_take_the_middleware_for_asgi_3() -> None:
    assert inspect.iscoroutinefunction(guarded(Peer()).__call__)


@pytest.mark.parametrize("headers", [None, (), []])
def test_a_scope_without_headers_is_decided_alike(headers: Any) -> None:
    scope = scope_of(Request()) | {"headers": headers}
    middleware = guarded(Peer())
    slow = middleware.judge(_request, dict(scope)).decision
    assert alike(middleware.admitted(dict(scope)), slow)
    del scope["headers"]
    assert middleware.judge(_request, dict(scope)).decision is slow
    assert alike(middleware.admitted(dict(scope)), slow)


def test_an_odd_root_path_goes_the_slow_way() -> None:
    class Root:
        def __bool__(self) -> bool:
            raise RuntimeError("asked")

    middleware = guarded(Peer())
    scope = scope_of(Request(peer="89.160.20.112", target="/v1/models"))
    middleware.judge(_request, dict(scope))
    assert middleware.admitted(scope) is not None
    assert middleware.admitted(scope | {"root_path": Root()}) is None


def test_a_gate_is_opened_with_what_makes_sense() -> None:
    # of an engine of its own: which paths that of the others knows depends on what ran before
    middleware = GeoRestrictMiddleware(nothing, block=["CN"], database=TINY)
    with pytest.raises(ValueError, match="no way 9"):
        Way(9)
    with pytest.raises(TypeError):
        middleware.open_gate(nothing, nothing, ENGINE.current, False, 7)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)):
        Trusted([None])  # type: ignore[list-item]
    assert middleware.admitted(scope_of(Request())) is not None


def test_a_reload_reaches_the_gate(tmp_path: Any) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("9.9.9.9\n")
    engine = Engine(
        {"default": "allow", "lists": {"l": {"path": str(listed)}},
         "rules": [{"name": "l", "action": "block", "lists": ["l"]}]},
        database=TINY,
    )  # fmt: skip
    middleware = GeoRestrictMiddleware(nothing, engine=engine)
    assert middleware.admitted(scope_of(Request())) is not None
    listed.write_text("81.2.69.142\n")
    engine.reload()
    assert middleware.admitted(scope_of(Request())) is None


def test_the_routes_that_are_kept_are_bounded(tiny: Database) -> None:
    app = Recorder()
    engine = Engine(POLICY, database=tiny)
    middleware = GeoRestrictMiddleware(app.asgi, engine=engine)
    for number in range(3000):
        middleware.judge(_request, scope_of(Request(peer="89.160.20.112", target=f"/{number}")))
    assert 0 < len(engine.snapshot._rules.routes.kept[""]) <= 1024


def test_every_request_is_counted_once_at_the_gate_and_on_the_slow_way(tiny: Database) -> None:
    engine = Engine(POLICY, database=tiny)
    app = Recorder()
    first = GeoRestrictMiddleware(app.asgi, engine=engine)
    second = wsgi.GeoRestrictMiddleware(app.wsgi, engine=engine, client=PROXIES)
    sent = {
        "81.2.69.142": 5,
        "175.16.199.1": 3,
        "2001:218::1": 2,
        "89.160.20.112": 4,
        "10.0.0.9": 1,
    }
    for peer, times in sent.items():
        for _ in range(times):
            run_asgi(first, scope_of(Request(peer=peer)))
            chain = (("X-Forwarded-For", peer),)
            [
                *second(
                    environ_of(Request(peer="10.0.0.5", headers=chain)),
                    lambda *_: lambda data: None,
                )
            ]
        engine.reload()  # the counts go on
    engine.decide("81.2.69.142")  # asking is not a request
    told: dict[tuple[str, str | None], int] = {}
    for decision, count in engine.counts.items():
        key = decision.reason.value, decision.country
        told[key] = told.get(key, 0) + count
    assert told == {
        ("default", "GB"): 10, ("country", "CN"): 6, ("country", "JP"): 4, ("default", "SE"): 8,
        ("private", None): 1, ("unresolved", None): 1,
    }  # fmt: skip


def test_counts_are_exact_under_threads(tiny: Database) -> None:
    engine = Engine(POLICY, database=tiny)
    middleware = wsgi.GeoRestrictMiddleware(nothing_wsgi, engine=engine)
    plain, blocked = (environ_of(Request(peer=peer)) for peer in ("81.2.69.142", "175.16.199.1"))

    def serve() -> None:
        for _ in range(2000):
            for environ in (plain, blocked):
                middleware(dict(environ), lambda *_: lambda data: None)

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(engine.counts.values()) == [16_000, 16_000]


@pytest.mark.parametrize("target", ["/v1", "/healthz"])
def test_annotate_leaves_at_the_gate_what_the_slow_way_leaves(target: str) -> None:
    """The first request of a class goes the slow way, which makes its decision; then the gate."""
    for peer in ("81.2.69.142", "89.160.20.112", "1.1.1.1"):
        request = Request(peer=peer, target=target)
        middleware, beside = guarded(Peer(), annotate=True), guarded_wsgi(Peer(), annotate=True)
        slow = middleware.judge(_request, scope_of(request)).decision
        assert middleware.admitted(scope_of(request)) is slow
        assert beside.admitted(environ_of(request)) is slow
        left = scope_of(request)
        asyncio.run(middleware(left, None, None))
        assert left["georestrict"] is slow


def test_a_decision_tells_the_same_location_as_a_lookup() -> None:
    for address in (
        "2002:5102:458e::1",
        "64:ff9b::5102:458e",
        "2001:0:5102:458e:0:0:aefd:ba71",
        "2001:218::1",
        "10.0.0.1",
    ):
        assert ENGINE.decide(address).location == ENGINE.lookup(address)
    assert ENGINE.decide("2002:5102:458e::1").location.via == "6to4"


def test_annotate_leaves_the_decision_at_the_gate_too() -> None:
    environ = environ_of(Request())
    guarded_wsgi(Peer(), annotate=True)(environ, lambda *_: lambda data: None)
    assert environ["georestrict"].country == "GB"
    scope = scope_of(Request())
    asyncio.run(guarded(Peer(), annotate=True)(scope, None, None))
    assert scope["georestrict"].country == "GB"
    plain = scope_of(Request())
    asyncio.run(guarded(Peer())(plain, None, None))
    assert "georestrict" not in plain


@pytest.mark.parametrize("order", [1, -1], ids=["the WebSocket first", "the odd method first"])
def test_a_method_of_the_name_websocket_never_passes_for_a_websocket(
    tiny: Database, order: int
) -> None:
    """h11, granian and daphne take any token for a method."""
    policy = {
        "default": "block",
        "contact": "https://example.com/contact",
        "rules": [
            {"name": "ws", "action": "allow", "protocols": ["websocket"], "paths": ["/ws"]},
        ],
    }
    app = Recorder()
    middleware = GeoRestrictMiddleware(app.asgi, policy=policy, database=tiny)
    asked = scope_of(Request(peer="175.16.199.1", target="/ws", method="websocket"))
    websocket = scope_of(Request(peer="175.16.199.1", target="/ws"), type="websocket")
    del websocket["method"]
    for _ in range(3):
        for scope in [websocket, asked][::order]:
            passed = middleware.judge(_request, dict(scope)).decision.plain_allow
            assert passed is (scope is websocket)
    assert middleware.admitted(dict(websocket)) is not None
    assert middleware.admitted(dict(asked)) is None
