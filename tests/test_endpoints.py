"""A policy of its own for one endpoint, in every framework: ``@georestrict.restrict``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from litestar.di import NamedDependency
from starlette.requests import Request as StarletteRequest
from starlette.websockets import WebSocket as StarletteSocket

import georestrict
from georestrict import ConfigurationError, Database, Engine, asgi, wsgi
from tests.test_servers import serving
from tests.web import Request, environ_of, run_asgi, scope_of

pytestmark = pytest.mark.once

# The app's policy blocks CN; the strict one lets in GB only, and warns SE.
OPEN: dict[str, Any] = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [{"name": "open", "action": "block", "countries": ["CN"]}],
}
STRICT: dict[str, Any] = {
    "default": "block",
    "contact": "https://example.com/strict",
    "rules": [
        {"name": "warned", "action": "warn", "countries": ["SE"]},
        {"name": "served", "action": "allow", "countries": ["GB"]},
    ],
}
GB, SE, US, CN = "81.2.69.142", "89.160.20.112", "52.95.110.1", "175.16.199.1"
restrict = georestrict.restrict


def options(database: Database) -> dict[str, Any]:
    return {"policy": OPEN, "policies": {"strict": STRICT}, "database": database}


def starlette_app(database: Database) -> Any:
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served")

    @restrict("strict")
    async def strict(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served")

    @restrict("strict")
    def threaded(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served")

    class Endpoint(HTTPEndpoint):
        @restrict("strict")
        async def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse("served")

    return Starlette(
        routes=[
            Route("/", home),
            Route("/strict", strict),
            Route("/threaded", threaded),
            Route("/class", Endpoint),
            Mount("/mounted", routes=[Route("/strict", strict)]),
        ],
        middleware=[Middleware(asgi.GeoRestrictMiddleware, **options(database))],
    )


def fastapi_app(database: Database) -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()
    app.add_middleware(asgi.GeoRestrictMiddleware, **options(database))

    @app.get("/", response_class=PlainTextResponse)
    async def home() -> str:
        return "served"

    both = ["GET", "HEAD"]

    @app.api_route("/strict", response_class=PlainTextResponse, methods=both)
    @restrict("strict")
    async def strict(word: str = "served") -> str:
        return word

    @app.api_route("/threaded", response_class=PlainTextResponse, methods=both)
    @restrict("strict")
    def threaded() -> str:
        return "served"

    return app


def litestar_app(database: Database) -> Any:
    from litestar import HttpMethod, Litestar, MediaType, get, route
    from litestar.middleware import DefineMiddleware

    both = [HttpMethod.GET, HttpMethod.HEAD]

    @get("/", media_type=MediaType.TEXT)
    async def home() -> str:
        return "served"

    @route("/strict", media_type=MediaType.TEXT, http_method=both)
    @restrict("strict")
    async def strict() -> str:
        return "served"

    @route("/threaded", media_type=MediaType.TEXT, http_method=both, sync_to_thread=True)
    @restrict("strict")
    def threaded() -> str:
        return "served"

    return Litestar(
        route_handlers=[home, strict, threaded],
        logging_config=None,  # the default one leaves the root logger at another level
        middleware=[DefineMiddleware(asgi.GeoRestrictMiddleware, **options(database))],
    )


def quart_app(database: Database) -> Any:
    from quart import Quart

    app = Quart("quart")

    @app.get("/")
    async def home() -> str:
        return "served"

    @app.get("/strict")
    @restrict("strict")
    async def strict() -> str:
        return "served"

    @app.get("/threaded")
    @restrict("strict")
    def threaded() -> str:
        return "served"

    app.asgi_app = asgi.GeoRestrictMiddleware(  # type: ignore[method-assign]
        app.asgi_app, **options(database)
    )
    return app


def flask_app(database: Database) -> Any:
    from flask import Flask

    app = Flask("flask")

    @app.get("/")
    def home() -> str:
        return "served"

    @app.get("/strict")
    @restrict("strict")
    def strict() -> str:
        return "served"

    app.wsgi_app = wsgi.GeoRestrictMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, **options(database)
    )
    return app


def django_urls() -> ModuleType:
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.urls import path
    from django.utils.decorators import method_decorator
    from django.views import View

    async def home(request: HttpRequest) -> HttpResponse:
        return HttpResponse("served")

    @restrict("strict")
    async def strict(request: HttpRequest) -> HttpResponse:
        return HttpResponse("served")

    @restrict("strict")
    def threaded(request: HttpRequest) -> HttpResponse:
        return HttpResponse("served")

    class Class(View):  # type: ignore[misc]
        async def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("served")

    class ThreadedClass(View):  # type: ignore[misc]
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("served")

    dispatched = method_decorator(restrict("strict"), name="dispatch")
    got = method_decorator(restrict("strict"), name="get")
    classes = {
        "dispatch": dispatched(type("A", (Class,), {})).as_view(),
        "threaded-dispatch": dispatched(type("B", (ThreadedClass,), {})).as_view(),
        "get": got(type("D", (Class,), {})).as_view(),
        "threaded-get": got(type("C", (ThreadedClass,), {})).as_view(),
        "view": restrict("strict")(Class.as_view()),
        "threaded-view": restrict("strict")(ThreadedClass.as_view()),
    }

    if not settings.configured:
        urls = ModuleType("urls")
        urls.urlpatterns = [  # type: ignore[attr-defined]
            path("", home),
            path("strict", strict),
            path("threaded", threaded),
            *(path(f"class/{name}", view) for name, view in classes.items()),
        ]
        settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], SECRET_KEY="-")
    configured: ModuleType = settings.ROOT_URLCONF
    return configured


def django_asgi(database: Database) -> Any:
    from django.core.asgi import get_asgi_application

    django_urls()
    return asgi.GeoRestrictMiddleware(get_asgi_application(), **options(database))


def django_wsgi(database: Database) -> Any:
    from django.core.wsgi import get_wsgi_application

    django_urls()
    return wsgi.GeoRestrictMiddleware(get_wsgi_application(), **options(database))


DJANGO_CLASSES = (
    "/class/dispatch",
    "/class/threaded-dispatch",
    "/class/get",
    "/class/threaded-get",
    "/class/view",
    "/class/threaded-view",
)
ASGI: dict[str, tuple[Callable[[Database], Any], tuple[str, ...]]] = {
    "Starlette": (starlette_app, ("/strict", "/threaded", "/class", "/mounted/strict")),
    "FastAPI": (fastapi_app, ("/strict", "/threaded")),
    "Litestar": (litestar_app, ("/strict", "/threaded")),
    "Quart": (quart_app, ("/strict", "/threaded")),
    "Django": (django_asgi, ("/strict", "/threaded", *DJANGO_CLASSES)),
}
WSGI: dict[str, tuple[Callable[[Database], Any], tuple[str, ...]]] = {
    "Flask": (flask_app, ("/strict",)),
    "Django": (django_wsgi, ("/strict", "/threaded", *DJANGO_CLASSES)),
}

APPS = [
    pytest.param(make, path, interface, id=f"{name} {path}, {interface}")
    for interface, apps in (("asgi", ASGI), ("wsgi", WSGI))
    for name, (make, paths) in apps.items()
    for path in paths
]


@pytest.fixture(scope="module")
def made(tiny: Database) -> Callable[[Callable[[Database], Any]], Any]:
    """Make each app once."""
    apps: dict[Any, Any] = {}

    def make(maker: Callable[[Database], Any]) -> Any:
        if maker not in apps:
            apps[maker] = maker(tiny)
        return apps[maker]

    return make


def ask(app: Any, interface: str, address: str, path: str, method: str = "GET") -> httpx.Response:
    """Send a request from an address to an app in this process."""
    if interface == "wsgi":
        with httpx.Client(
            transport=httpx.WSGITransport(app, remote_addr=address), base_url="http://test"
        ) as client:
            return client.request(method, path)

    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.run(sent())


@pytest.mark.parametrize(("maker", "path", "interface"), APPS)
def test_an_endpoint_asks_its_own_policy_and_the_others_do_not(
    maker: Callable[[Database], Any], path: str, interface: str, made: Any
) -> None:
    app = made(maker)
    for address, home, strict in ((GB, 200, 200), (SE, 200, 200), (US, 200, 403), (CN, 403, 403)):
        for asked, status in (("/", home), (path, strict)):
            answer = ask(app, interface, address, asked)
            assert answer.status_code == status, (address, asked, answer.text)
            assert (answer.text == "served") == (status == 200)
            warned = "georestrict-warning" in answer.headers
            assert warned == (address == SE and asked == path)


@pytest.mark.parametrize(("maker", "path", "interface"), APPS)
def test_the_refusal_is_byte_for_byte_that_of_a_middleware_with_the_same_policy(
    maker: Callable[[Database], Any], path: str, interface: str, made: Any, tiny: Database
) -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it is refused")

    guarded = asgi.GeoRestrictMiddleware(never, policy=STRICT, database=tiny)
    for method in ("GET", "HEAD"):
        wanted = ask(guarded, "asgi", US, path, method)
        answer = ask(made(maker), interface, US, path, method)
        assert (answer.status_code, answer.content) == (403, wanted.content)
        assert answer.headers.raw == wanted.headers.raw
        assert b"strict" in answer.content or method == "HEAD"


def starlette_with(endpoint: Any, tiny: Database, **more: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    guards = [Middleware(asgi.GeoRestrictMiddleware, **options(tiny) | more)]
    return Starlette(routes=[Route("/", endpoint)], middleware=guards)


def served(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("served")


def test_a_refused_endpoint_is_not_called(tiny: Database) -> None:
    called = []

    @restrict("strict")
    def endpoint(request: Any) -> Any:
        called.append(request)
        return served(request)

    app = starlette_with(endpoint, tiny)
    assert ask(app, "asgi", US, "/").status_code == 403
    assert not called
    assert ask(app, "asgi", GB, "/").status_code == 200
    assert len(called) == 1


def test_the_policies_of_an_endpoint_are_asked_in_turn(tiny: Database) -> None:
    only_us = {
        "default": "block",
        "contact": "https://example.com/us",
        "rules": [{"name": "us", "action": "allow", "countries": ["US"]}],
    }
    endpoint = restrict("strict")(restrict("us")(served))
    app = starlette_with(endpoint, tiny, policies={"strict": STRICT, "us": only_us})
    assert "example.com/us" in ask(app, "asgi", GB, "/").text
    assert "example.com/us" in ask(app, "asgi", SE, "/").text
    assert "example.com/strict" in ask(app, "asgi", US, "/").text


def test_a_policy_may_come_as_an_engine_and_counts_for_itself(tiny: Database) -> None:
    strict = Engine(STRICT, database=tiny)
    app = starlette_with(restrict("strict")(served), tiny, policies={"strict": strict})
    for address in (GB, US, US):
        ask(app, "asgi", address, "/")
    assert sorted((str(one.action), count) for one, count in strict.counts.items()) == [
        ("allow", 1),
        ("block", 2),
    ]


def test_h12_the_policy_of_an_endpoint_is_reloaded_with_the_apps(
    tiny: Database, tmp_path: Path
) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Route

    def lay(country: str) -> None:
        for name in ("open", "strict"):
            (tmp_path / f"{name}.toml").write_text(
                f'default = "allow"\ncontact = "https://example.com/{name}"\n[[rules]]\n'
                f'name = "{name}"\naction = "block"\ncountries = ["{country}"]\n'
                + ("" if name == "strict" else 'paths = ["/other"]\n')
            )

    lay("US")
    engine = Engine(tmp_path / "open.toml", database=tiny)
    routes = [Route("/", restrict("strict")(served))]
    app = asgi.GeoRestrictMiddleware(
        Starlette(routes=routes), engine=engine, policies={"strict": tmp_path / "strict.toml"}
    )
    assert [ask(app, "asgi", one, "/").status_code for one in (US, GB)] == [403, 200]
    lay("GB")
    engine.reload()
    assert [ask(app, "asgi", one, "/").status_code for one in (US, GB)] == [200, 403]
    assert [ask(app, "asgi", one, "/other").status_code for one in (US, GB)] == [404, 403]


def test_a_dry_run_of_an_endpoints_policy_lets_in_and_tells_the_app(tiny: Database) -> None:
    told: list[tuple[str, str | None]] = []
    app = starlette_with(
        restrict("strict")(served),
        tiny,
        policies={"strict": STRICT | {"mode": "dry-run"}},
        identify=lambda scope: "account 7",
        on_decision=lambda decision, account: told.append((str(decision.would), account)),
    )
    assert ask(app, "asgi", US, "/").status_code == 200
    assert told == [("block", "account 7")]


def warning_of(place: str, country: str, block_from: datetime | None) -> dict[str, Any]:
    """A policy that warns of a country, from long ago until a date, or for ever."""
    dates = {} if block_from is None else {"warn_from": datetime(2024, 1, 1, tzinfo=UTC)}
    action = {"action": "warn"} if block_from is None else {"block_from": block_from}
    rule = {"name": "warned", "countries": [country], **dates, **action}
    return {"default": "allow", "contact": f"https://example.com/{place}", "rules": [rule]}


def test_a_refusal_carries_no_warning_of_the_apps_policy(tiny: Database) -> None:
    policy = warning_of("app", "US", datetime(2090, 1, 1, tzinfo=UTC))
    app = starlette_with(restrict("strict")(served), tiny, policy=policy)
    answer = ask(app, "asgi", US, "/")
    assert (answer.status_code, "example.com/strict" in answer.text) == (403, True)
    assert not {"georestrict-warning", "deprecation", "sunset"} & {*answer.headers}
    flask = flask_app(tiny)
    flask.wsgi_app = wsgi.GeoRestrictMiddleware(
        flask.wsgi_app.app, **options(tiny) | {"policy": policy}
    )
    again = ask(flask, "wsgi", US, "/strict")
    assert again.content == answer.content
    assert [*again.headers] == [*answer.headers]
    assert "example.com/app" in ask(flask, "wsgi", US, "/").headers["georestrict-warning"]


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    "inner",
    [
        pytest.param({"policy": STRICT}, id="a middleware"),
        pytest.param({"policy": OPEN, "policies": {"strict": STRICT}}, id="an endpoint"),
    ],
)
def test_a_refusal_further_in_carries_no_warning_either(
    inner: dict[str, Any], interface: str, tiny: Database
) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Route

    policy = warning_of("app", "US", datetime(2090, 1, 1, tzinfo=UTC))
    outer: Any
    if interface == "asgi":
        route = Route("/strict", restrict("strict")(served))
        within = asgi.GeoRestrictMiddleware(Starlette(routes=[route]), database=tiny, **inner)
        outer = asgi.GeoRestrictMiddleware(within, policy=policy, database=tiny)
    else:
        app = wsgi.GeoRestrictMiddleware(flask_app(tiny).wsgi_app.app, database=tiny, **inner)
        outer = wsgi.GeoRestrictMiddleware(app, policy=policy, database=tiny)
    answer = ask(outer, interface, US, "/strict")
    assert (answer.status_code, "example.com/strict" in answer.text) == (403, True)
    assert not {"georestrict-warning", "deprecation", "sunset"} & {*answer.headers}


@pytest.mark.parametrize(
    ("app_year", "endpoint_year", "told"),
    [
        (2090, 2080, "endpoint"),
        (2080, 2090, "app"),
        (2080, 2080, "app"),
        (None, 2080, "endpoint"),
        (None, None, "app"),
    ],
)
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_of_two_warnings_the_client_gets_the_one_that_blocks_first(
    interface: str, app_year: int | None, endpoint_year: int | None, told: str, tiny: Database
) -> None:
    def policy(place: str, year: int | None) -> dict[str, Any]:
        return warning_of(place, "US", None if year is None else datetime(year, 1, 1, tzinfo=UTC))

    more: dict[str, Any] = {
        "policy": policy("app", app_year),
        "policies": {"strict": policy("endpoint", endpoint_year)},
        "database": tiny,
    }
    if interface == "asgi":
        app = starlette_with(restrict("strict")(served), tiny, **more)
    else:
        app = flask_app(tiny)
        app.wsgi_app = wsgi.GeoRestrictMiddleware(app.wsgi_app.app, **more)
    answer = ask(app, interface, US, "/" if interface == "asgi" else "/strict")
    assert answer.status_code == 200
    (warning,) = answer.headers.get_list("georestrict-warning")
    assert f"example.com/{told}" in warning
    years = [year for year in (app_year, endpoint_year) if year is not None]
    assert ("sunset" in answer.headers) == bool(years)
    assert not years or f"{min(years)}-01-01" in warning


@pytest.mark.parametrize("address", [SE, US])
def test_the_app_is_told_of_a_decision_once(tiny: Database, address: str) -> None:
    told = []

    async def on_decision(decision: Any, account: str | None) -> None:
        told.append(str(decision.action))

    app = starlette_with(restrict("strict")(served), tiny, on_decision=on_decision)
    ask(app, "asgi", address, "/")
    assert told == ["warn" if address == SE else "block"]


def test_the_client_is_the_one_that_the_middleware_received_whatever_the_app_writes(
    tiny: Database,
) -> None:
    inner = restrict("strict")(served)

    def rewriting(request: Any) -> Any:
        request.scope["client"] = (GB, 1)
        return inner(request)

    app = starlette_with(rewriting, tiny)
    assert ask(app, "asgi", US, "/").status_code == 403


def test_attributes_may_come_from_what_the_app_has_found_out(tiny: Database) -> None:
    by_plan = {
        "default": "block",
        "contact": "https://example.com/",
        "rules": [{"name": "paid", "action": "allow", "attributes": {"plan": ["paid"]}}],
    }
    inner = restrict("plan")(served)

    def found_out(request: Any) -> Any:
        request.scope["plan"] = request.query_params["plan"]
        return inner(request)

    app = starlette_with(
        found_out,
        tiny,
        policies={"plan": by_plan},
        attributes=lambda scope: {"plan": scope["plan"]},
    )
    assert ask(app, "asgi", US, "/?plan=paid").status_code == 200
    assert ask(app, "asgi", US, "/?plan=free").status_code == 403


def test_an_inner_middleware_leaves_the_policies_of_the_outer_one_in_reach(tiny: Database) -> None:
    app = starlette_with(restrict("strict")(served), tiny, policies={"other": OPEN})
    around = asgi.GeoRestrictMiddleware(app, **options(tiny))
    assert ask(around, "asgi", US, "/").status_code == 403
    assert ask(around, "asgi", GB, "/").status_code == 200


def test_the_endpoint_finds_what_was_decided_about_it_in_the_scope(tiny: Database) -> None:
    @restrict("strict")
    def endpoint(request: Any) -> Any:
        found.append(request.scope["georestrict"].rule)
        return served(request)

    found: list[str] = []
    app = starlette_with(endpoint, tiny)
    assert ask(app, "asgi", SE, "/").status_code == 200
    assert found == ["warned"]


def test_a_lifespan_passes_through_an_app_whose_endpoints_have_policies(tiny: Database) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    run_asgi(asgi.GeoRestrictMiddleware(app, **options(tiny)), {"type": "lifespan"})
    assert seen == ["lifespan"]


def test_an_app_that_answers_nothing_after_a_refusal_is_answered_for(tiny: Database) -> None:
    @restrict("strict")
    async def endpoint(request: StarletteRequest) -> str:
        return "served"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await endpoint(StarletteRequest(scope, receive))

    guarded = asgi.GeoRestrictMiddleware(app, **options(tiny))
    assert ask(guarded, "asgi", US, "/").status_code == 403


class Body(list[bytes]):
    """A body that remembers that it was closed."""

    closed = False

    def close(self) -> None:
        """As PEP 3333 wants it."""
        self.closed = True


@pytest.mark.parametrize("kind", [Body, list])
def test_the_body_of_a_refused_wsgi_endpoint_is_closed_and_not_sent(
    kind: Any, tiny: Database
) -> None:
    @restrict("strict")
    def endpoint() -> str:
        return "served"

    bodies = []

    def app(environ: Any, start_response: Any) -> Any:
        with contextlib.suppress(Exception):
            endpoint()
        start_response("200 OK", [])(b"written")
        bodies.append(kind([b"sent"]))
        return bodies[-1]

    guarded = wsgi.GeoRestrictMiddleware(app, **options(tiny))
    answer = ask(guarded, "wsgi", US, "/")
    assert answer.status_code == 403
    assert b"written" not in answer.content and b"sent" not in answer.content
    assert kind is list or bodies[0].closed


def socket_apps(tiny: Database) -> dict[str, Any]:
    from fastapi import Depends, FastAPI
    from litestar import Litestar, WebSocket, websocket
    from litestar.middleware import DefineMiddleware
    from quart import Quart
    from quart import websocket as quart_socket
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import WebSocketRoute

    @restrict("strict")
    async def chat(websocket: StarletteSocket) -> None:
        await websocket.accept()
        await websocket.close()

    plain = Starlette(
        routes=[WebSocketRoute("/", chat)],
        middleware=[Middleware(asgi.GeoRestrictMiddleware, **options(tiny))],
    )
    fast = FastAPI()
    fast.add_middleware(asgi.GeoRestrictMiddleware, **options(tiny))
    fast.websocket("/")(chat)

    @websocket("/")
    @restrict("strict")
    async def star(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    lite = Litestar(
        route_handlers=[star],
        logging_config=None,
        middleware=[DefineMiddleware(asgi.GeoRestrictMiddleware, **options(tiny))],
    )
    quart = Quart("quart-socket")

    @quart.websocket("/")
    @restrict("strict")
    async def talk() -> None:
        await quart_socket.accept()
        await quart_socket.close(1000)

    quart.asgi_app = asgi.GeoRestrictMiddleware(  # type: ignore[method-assign]
        quart.asgi_app, **options(tiny)
    )
    behind = FastAPI()
    behind.add_middleware(asgi.GeoRestrictMiddleware, **options(tiny))

    @behind.websocket("/", dependencies=[Depends(restrict("strict")(lambda: None))])
    async def unrestricted(websocket: StarletteSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return {
        "Starlette": plain,
        "FastAPI": fast,
        "FastAPI, depending": behind,
        "Litestar": lite,
        "Quart": quart,
    }


@pytest.mark.parametrize(
    "framework", ["Starlette", "FastAPI", "FastAPI, depending", "Litestar", "Quart"]
)
def test_a_websocket_endpoint_is_refused_before_it_is_accepted(
    framework: str, tiny: Database
) -> None:
    app = socket_apps(tiny)[framework]

    def connect(address: str, **more: Any) -> list[dict[str, Any]]:
        scope = scope_of(Request(peer=address), type="websocket", subprotocols=[], **more)
        scope["scheme"] = "ws"
        del scope["method"]
        incoming = ({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001})
        return run_asgi(app, scope, incoming)

    assert [one["type"] for one in connect(GB)][:1] == ["websocket.accept"]
    accepted = connect(SE)[0]
    assert accepted["type"] == "websocket.accept"
    assert b"georestrict-warning" in dict(accepted["headers"])
    (closed,) = connect(US)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    start, body = connect(US, extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert b"example.com/strict" in body["body"]


def test_without_a_middleware_around_it_the_endpoint_is_not_called(tiny: Database) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Route

    bare = Starlette(routes=[Route("/", restrict("strict")(served))])
    with pytest.raises(ConfigurationError, match=r"restrict\('strict'\) of served: no middleware"):
        ask(bare, "asgi", GB, "/")
    without = asgi.GeoRestrictMiddleware(bare, policy=OPEN, database=tiny)
    with pytest.raises(ConfigurationError, match="no middleware with policies="):
        ask(without, "asgi", GB, "/")
    warning = asgi.GeoRestrictMiddleware(bare, policy=warning_of("app", "GB", None), database=tiny)
    with pytest.raises(ConfigurationError, match="no middleware with policies="):
        ask(warning, "asgi", GB, "/")


def test_a_policy_that_nobody_has_is_an_error_that_names_the_known_ones(tiny: Database) -> None:
    app = starlette_with(restrict("strikt")(served), tiny)
    with pytest.raises(ConfigurationError, match="no policy of that name, known are strict"):
        ask(app, "asgi", GB, "/")


@pytest.mark.parametrize("order", [("strict", "notice"), ("notice", "strict")])
def test_the_first_refusal_stands_whatever_is_asked_after_it(
    order: tuple[str, str], tiny: Database
) -> None:
    from fastapi import Depends, FastAPI

    notice = {"default": "allow", "rules": [{"name": "us", "action": "warn", "countries": ["US"]}]}
    refusing = OPEN | {"default": "block"}
    app = FastAPI()
    app.add_middleware(
        asgi.GeoRestrictMiddleware,
        policy=OPEN,
        policies={"strict": STRICT, "notice": notice, "later": refusing},
        database=tiny,
    )
    first, second = (restrict(name)(lambda: None) for name in order)

    @restrict("strict")
    async def part() -> str:
        return "part"

    @restrict("notice")
    async def page() -> str:
        return "page"

    @app.get("/depends", dependencies=[Depends(first), Depends(second)])
    async def endpoint() -> str:
        return "served"

    @app.get("/gathered")
    async def gathered() -> list[str]:
        return await asyncio.gather(*({"strict": part, "notice": page}[name]() for name in order))

    @app.get("/survived")
    async def survived() -> list[Any]:
        both = await asyncio.gather(part(), page(), return_exceptions=True)
        with contextlib.suppress(Exception):
            await restrict("later")(page)()
        return [str(one) for one in both]

    for path in ("/depends", "/gathered", "/survived"):
        answer = ask(app, "asgi", US, path)
        assert (answer.status_code, "example.com/strict" in answer.text) == (403, True), path
        assert "georestrict-warning" not in answer.headers
    for path in ("/depends", "/gathered"):
        assert ask(app, "asgi", GB, path).status_code == 200


def helped_apps(tiny: Database, did: list[str]) -> dict[str, tuple[Any, str]]:
    """Apps whose endpoint has a restricted helper or dependency before what it does."""
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path
    from fastapi import Depends, FastAPI
    from flask import Flask
    from litestar import Litestar, get
    from litestar.di import Provide
    from quart import Quart

    @restrict("strict")
    def helper() -> None:
        did.append("helped")

    @restrict("strict")
    async def depended() -> None:
        did.append("helped")

    def does() -> str:
        did.append("did")
        return "served"

    fast = FastAPI()
    for number, one in enumerate((helper, depended)):
        fast.get(f"/{number}", dependencies=[Depends(one)])(does)

    def starlette(request: Any) -> Any:
        helper()
        does()
        return served(request)

    @get("/", dependencies={"needed": Provide(depended)})
    async def star(needed: NamedDependency[None]) -> str:
        return does()

    quart, flask = Quart("quart-helped"), Flask("flask-helped")

    async def waiting() -> str:
        await depended()
        return does()

    def plain() -> str:
        helper()
        return does()

    quart.get("/0")(waiting)
    quart.get("/1")(plain)
    flask.get("/")(plain)

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(plain())

    async def async_view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(await waiting())

    django_urls()
    settings.ROOT_URLCONF.urlpatterns[:0] = [path("0", view), path("1", async_view)]
    from django.urls import clear_url_caches

    clear_url_caches()
    guard = {"asgi": asgi.GeoRestrictMiddleware, "wsgi": wsgi.GeoRestrictMiddleware}

    def guarded(app: Any, interface: str) -> tuple[Any, str]:
        return guard[interface](app, **options(tiny)), interface

    django = guarded(get_asgi_application(), "asgi")
    django_wsgi = guarded(get_wsgi_application(), "wsgi")
    return {
        "Starlette /": (starlette_with(starlette, tiny), "asgi"),
        "FastAPI /0": guarded(fast, "asgi"),
        "FastAPI /1": guarded(fast, "asgi"),
        "Litestar /": guarded(Litestar([star], logging_config=None), "asgi"),
        "Quart /0": guarded(quart, "asgi"),
        "Quart /1": guarded(quart, "asgi"),
        "Flask /": guarded(flask, "wsgi"),
        "Django /0": django,
        "Django /1": django,
        "Django, WSGI /0": django_wsgi,
        "Django, WSGI /1": django_wsgi,
    }


HELPED = [
    "Starlette /", "FastAPI /0", "FastAPI /1", "Litestar /", "Quart /0", "Quart /1", "Flask /",
    "Django /0", "Django /1", "Django, WSGI /0", "Django, WSGI /1",
]  # fmt: skip


@pytest.mark.parametrize("name", HELPED)
def test_what_is_behind_a_refused_helper_or_dependency_is_not_reached_and_no_error_logged(
    name: str, tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    did: list[str] = []
    app, interface = helped_apps(tiny, did)[name]
    path = name.rpartition(" ")[2]
    answer = ask(app, interface, US, path)
    assert (answer.status_code, "example.com/strict" in answer.text) == (403, True)
    assert did == []
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
    assert "served" in ask(app, interface, GB, path).text
    assert did == ["helped", "did"]


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_an_app_without_a_framework_is_answered_for(interface: str, tiny: Database) -> None:
    @restrict("strict")
    def endpoint() -> str:
        return "served"

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        body = endpoint().encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        body = endpoint().encode()
        start_response("200 OK", [])
        return [body]

    guarded: Any = (
        asgi.GeoRestrictMiddleware(asgi_app, **options(tiny))
        if interface == "asgi"
        else wsgi.GeoRestrictMiddleware(wsgi_app, **options(tiny))
    )
    assert ask(guarded, interface, GB, "/").text == "served"
    answer = ask(guarded, interface, US, "/")
    assert (answer.status_code, "example.com/strict" in answer.text) == (403, True)


WITHOUT = """
import sys
from georestrict import restrict
from georestrict.wsgi import GeoRestrictMiddleware

@restrict("strict")
def endpoint():
    raise AssertionError("it is refused")

def app(environ, start_response):
    return [endpoint()]

strict = {"default": "block", "contact": "https://example.com/strict"}
guarded = GeoRestrictMiddleware(app, block=["CN"], policies={"strict": strict})
environ = {"REMOTE_ADDR": "81.2.69.142", "REQUEST_METHOD": "GET", "PATH_INFO": "/"}
body = b"".join(guarded(environ, lambda status, headers: print(status)))
assert b"example.com/strict" in body
assert not {"django", "flask", "quart", "starlette", "litestar"} & {*sys.modules}
"""


def test_a_process_without_any_framework_is_answered_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "403 Forbidden\n"


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_defect_after_a_refusal_stays_an_error_of_the_app(interface: str, tiny: Database) -> None:
    @restrict("strict")
    def endpoint() -> str:
        return "served"

    def fail() -> list[bytes]:
        with contextlib.suppress(Exception):
            endpoint()
        raise RuntimeError("the app's own")

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        fail()

    guarded: Any = (
        asgi.GeoRestrictMiddleware(asgi_app, **options(tiny))
        if interface == "asgi"
        else wsgi.GeoRestrictMiddleware(lambda environ, start: fail(), **options(tiny))
    )
    with pytest.raises(RuntimeError, match="the app's own"):
        ask(guarded, interface, US, "/")


def test_a_refusal_replaces_the_headers_that_a_wsgi_app_gave_before_it(tiny: Database) -> None:
    @restrict("strict")
    def endpoint() -> str:
        return "served"

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [endpoint().encode()]

    started: list[tuple[str, bool]] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started.append((status, exc_info is not None))

    guarded = wsgi.GeoRestrictMiddleware(app, **options(tiny))
    body = b"".join(guarded(environ_of(Request(peer=US)), start_response))
    assert started == [("200 OK", False), ("403 Forbidden", True)]  # PEP 3333: replaced
    assert b"example.com/strict" in body


def test_a_refusal_after_the_response_has_begun_breaks_it_off(tiny: Database) -> None:
    @restrict("strict")
    def rest() -> bytes:
        return b"rest"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await send({"type": "http.response.body", "body": rest()})

    guarded = asgi.GeoRestrictMiddleware(app, **options(tiny))
    assert ask(guarded, "asgi", GB, "/").text == "begunrest"
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    with pytest.raises(Exception):  # noqa: B017 — any: the server has to see one
        asyncio.run(guarded(scope_of(Request(peer=US)), receive, send))
    assert [one.get("body") for one in sent] == [None, b"begun"]


def test_restrict_in_the_wrong_place_or_without_a_name_is_an_error_at_once() -> None:
    from litestar import get

    @get("/")
    async def handler() -> str:
        return "served"

    with pytest.raises(ConfigurationError, match="below the route's decorator"):
        restrict("strict")(handler)

    class Endpoint:
        async def __call__(self) -> str:
            return "served"

    with pytest.raises(ConfigurationError, match="which is no function"):
        restrict("strict")(Endpoint())
    with pytest.raises(ConfigurationError, match="which is no function"):
        restrict("strict")(Endpoint)
    with pytest.raises(ConfigurationError, match="must be the name of a policy"):
        restrict(served)  # type: ignore[arg-type]


def test_a_cache_of_the_framework_inside_restrict_serves_nobody_who_is_refused(
    tiny: Database,
) -> None:
    from litestar import Litestar, get

    called: list[None] = []

    @restrict("strict")
    async def served_there(connection: Any, handler: Any) -> None: ...

    @get("/", cache=60, guards=[served_there])
    async def report() -> str:
        called.append(None)
        return "served"

    app = asgi.GeoRestrictMiddleware(Litestar([report], logging_config=None), **options(tiny))
    asked = [ask(app, "asgi", one, "/") for one in (US, GB, US, GB)]
    assert [one.status_code for one in asked] == [403, 200, 403, 200]
    assert len(called) == 1


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_django_caches_inside_restrict(interface: str, tiny: Database) -> None:
    made = (django_asgi if interface == "asgi" else django_wsgi)(tiny)

    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.urls import clear_url_caches, path
    from django.views.decorators.cache import cache_page

    called: list[None] = []

    @restrict("strict")
    @cache_page(60, key_prefix=interface)  # type: ignore[untyped-decorator]
    def report(request: HttpRequest) -> HttpResponse:
        called.append(None)
        return HttpResponse("served")

    settings.ROOT_URLCONF.urlpatterns[:0] = [path(f"cached/{interface}", report)]
    clear_url_caches()
    asked = [ask(made, interface, one, f"/cached/{interface}") for one in (US, GB, US, GB)]
    assert [one.status_code for one in asked] == [403, 200, 403, 200]
    assert len(called) == 1


def test_restrict_on_a_generator_is_an_error_at_once() -> None:
    def lines() -> Iterator[bytes]:
        yield b"served"

    async def session() -> AsyncIterator[None]:
        yield

    for generator in (lines, session, functools.partial(session)):
        with pytest.raises(ConfigurationError, match="stands on the generator"):
            restrict("strict")(generator)


def test_a_partial_is_asked_for_and_named_if_nobody_has_the_policy(tiny: Database) -> None:
    def say(word: str, request: Any) -> Any:
        return served(request)

    endpoint = restrict("strict")(functools.partial(say, "word"))
    app = starlette_with(endpoint, tiny)
    assert [ask(app, "asgi", one, "/").status_code for one in (GB, US)] == [200, 403]
    with pytest.raises(ConfigurationError, match="no middleware with policies"):
        endpoint(None)


@pytest.mark.parametrize("given", [["strict"], {1: STRICT}, "strict.toml"])
def test_policies_that_are_no_mapping_of_names_are_an_error(given: Any, tiny: Database) -> None:
    with pytest.raises(ConfigurationError, match="must map names to policies"):
        starlette_with(served, tiny, policies=given).build_middleware_stack()


def test_an_endpoint_keeps_its_name_and_its_signature() -> None:
    @restrict("strict")
    async def train(steps: int = 3) -> str:
        """Train."""
        return str(steps)

    import inspect

    assert (train.__name__, train.__doc__) == ("train", "Train.")
    assert list(inspect.signature(train).parameters) == ["steps"]
    assert inspect.iscoroutinefunction(train)


BEHIND_UVICORN = """
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

import georestrict
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

app = FastAPI()
app.add_middleware(
    GeoRestrictMiddleware,
    block=["CN"],
    policies={"strict": {"default": "block", "contact": "https://example.com/strict", "rules": [
        {"name": "served", "action": "allow", "countries": ["GB"]}]}},
    client=TrustedProxies("127.0.0.1/32"),
)

@app.get("/", response_class=PlainTextResponse)
async def home():
    return "served"

@app.post("/strict", response_class=PlainTextResponse)
@georestrict.restrict("strict")
def strict(word: str = "served"):
    return word
"""


def test_an_endpoint_behind_a_real_server_asks_its_own_policy(tmp_path: Path) -> None:
    command = ["uvicorn", "app:app", "--no-proxy-headers", "--port"]
    with serving(tmp_path, BEHIND_UVICORN, command) as url, httpx.Client(base_url=url) as client:
        for address, home, strict in ((GB, 200, 200), (US, 200, 403), (CN, 403, 403)):
            headers = {"X-Forwarded-For": address}
            assert client.get("/", headers=headers).status_code == home
            answer = client.post("/strict?word=said", headers=headers, content=b"x" * 100_000)
            assert answer.status_code == strict
            assert (answer.text == "said") == (strict == 200)
            assert ("example.com/strict" in answer.text) == (address == US)
        again = client.get("/", headers={"X-Forwarded-For": GB})
        assert again.text == "served"  # the connection is as it was
