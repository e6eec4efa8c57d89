"""The ASGI middleware on every common server, and around an app of every common framework.

The middleware's ``__call__`` is compiled and no coroutine function; servers and frameworks must take
it for an ASGI 3 app all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from georestrict import Database
from georestrict.asgi import GeoRestrictMiddleware
from tests.test_servers import ASGI_APP, serving
from tests.web import Recorder, Request, scope_of

SERVERS = {
    "uvicorn, auto": ["uvicorn", "app:app", "--no-proxy-headers", "--port"],
    "uvicorn, two workers": [
        "uvicorn",
        "app:app",
        "--no-proxy-headers",
        "--workers",
        "2",
        "--port",
    ],
    "hypercorn": ["hypercorn", "app:app", "--bind"],
    "granian": ["granian", "--interface", "asgi", "app:app", "--port"],
    "daphne": ["daphne", "app:app", "--port"],
}

GUARD = """
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

OPTIONS = {"block": ["CN"], "warn": ["SE"], "client": TrustedProxies("127.0.0.1")}
"""

FRAMEWORKS = {
    "Starlette": """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def home(request):
    return PlainTextResponse("served")

app = Starlette(routes=[Route("/", home)], middleware=[Middleware(GeoRestrictMiddleware, **OPTIONS)])
""",
    "FastAPI": """
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()
app.add_middleware(GeoRestrictMiddleware, **OPTIONS)

@app.get("/", response_class=PlainTextResponse)
async def home():
    return "served"
""",
    "Litestar": """
from litestar import Litestar, MediaType, get
from litestar.middleware import DefineMiddleware

@get("/", media_type=MediaType.TEXT)
async def home() -> str:
    return "served"

app = Litestar(route_handlers=[home], middleware=[DefineMiddleware(GeoRestrictMiddleware, **OPTIONS)])
""",
    "Quart": """
from quart import Quart

app = Quart(__name__)

@app.get("/")
async def home():
    return "served"

app.asgi_app = GeoRestrictMiddleware(app.asgi_app, **OPTIONS)
""",
    "Django": """
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="-", DEBUG=False)

async def home(request):
    return HttpResponse("served", content_type="text/plain")

urlpatterns = [path("", home)]
app = GeoRestrictMiddleware(get_asgi_application(), **OPTIONS)
""",
}


def serves_warns_and_blocks(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        for address, status, warned in (
            ("81.2.69.142", 200, False),
            ("2001:218::1", 200, False),
            ("89.160.20.112", 200, True),
            ("175.16.199.1", 403, False),
            ("81.2.69.142, 175.16.199.1", 403, False),
            ("unknown", 403, False),
        ):
            response = client.get("/", headers={"X-Forwarded-For": address})
            assert response.status_code == status, address
            assert ("georestrict-warning" in response.headers) == warned, address
            assert (response.text == "served") == (status == 200)
        assert client.get("/").json()["error"]["code"] == "client_address_unresolved"


@pytest.mark.once  # what a server sniffs at is the compiled core's
@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_a_server_takes_the_middleware_for_asgi_3(tmp_path: Path, command: list[str]) -> None:
    with serving(tmp_path, ASGI_APP, command) as url:
        serves_warns_and_blocks(url)


@pytest.mark.slow  # the quick ones are in tests/test_framework_examples.py
@pytest.mark.parametrize("app", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_a_framework_takes_the_middleware(tmp_path: Path, app: str) -> None:
    with serving(
        tmp_path, GUARD + app, ["uvicorn", "app:app", "--no-proxy-headers", "--port"]
    ) as url:
        serves_warns_and_blocks(url)


CN = "175.16.199.1"  # in the data of the tests
GUARDED: dict[str, Any] = {
    "default": "allow",
    "rules": [{"name": "a", "action": "block", "countries": ["CN"], "paths": ["/admin/*"]}],
}
EXEMPT: dict[str, Any] = {
    "default": "block",
    "rules": [{"name": "p", "action": "allow", "paths": ["/public/*"]}],
}


def quart_app() -> Any:
    from quart import Quart

    app = Quart("mounted")
    for path in ("/admin/x", "/public/x"):

        @app.get(path, endpoint=path)
        async def below(path: str = path) -> str:
            return path

    return app


def litestar_app() -> Any:
    from litestar import Litestar, get

    @get("/admin/x")
    async def admin() -> str:
        return "/admin/x"

    @get("/public/x")
    async def public() -> str:
        return "/public/x"

    return Litestar([admin, public])


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request as StarletteRequest
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def below(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(f"/{request.path_params['first']}/x")

    return Starlette(routes=[Route("/{first}/x", below)])


# Paths under the mount /api, each of which some framework takes for /admin/x.
TAKEN_FOR_ADMIN = (
    "/api/admin/x",
    "/admin/x",
    "/apiadmin/x",
    "//api/admin/x",
    "/api//admin/x",
    "/x/api/admin/x",
    "/xapi/admin/x",
    "/public/api/admin/x",
    "http://h/api/admin/x",
    "http://h/admin/x",
    "h:/api/admin/x",
)


def served(app: Any, database: Database, path: str, root: str, **policy: Any) -> bytes:
    """What a client in CN gets to see of an app; empty if nothing."""
    guarded = GeoRestrictMiddleware(app, policy=policy, database=database)
    scope = scope_of(Request(peer=CN, headers=(("host", "h"),)), root_path=root)
    waiting = iter([{"type": "http.request", "body": b"", "more_body": False}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(waiting, None) or await asyncio.Event().wait()  # the client stays

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guarded(scope | {"path": path, "raw_path": path.encode()}, receive, send))
    return b"".join(message.get("body", b"") for message in sent if sent[0]["status"] == 200)


@pytest.mark.parametrize("make", [quart_app, litestar_app, starlette_app])
def test_however_a_framework_reads_a_path_under_a_mount_it_is_guarded_as_that(
    tiny: Database, make: Callable[[], Any]
) -> None:
    app = make()
    reached = 0
    for root, path in product(("/api", "/api/", "/", "api", ""), TAKEN_FOR_ADMIN):
        reached += served(app, tiny, path, root, default="allow") == b"/admin/x"
        assert served(app, tiny, path, root, **GUARDED) != b"/admin/x", (root, path)
        assert served(app, tiny, path, root, **EXEMPT) != b"/admin/x", (root, path)
    assert reached


@pytest.mark.parametrize("make", [quart_app, litestar_app, starlette_app])
def test_what_is_exempt_is_so_under_a_mount_as_well(
    tiny: Database, make: Callable[[], Any]
) -> None:
    assert served(make(), tiny, "/api/public/x", "/api", **EXEMPT) == b"/public/x"
    assert served(make(), tiny, "/public/x", "", **EXEMPT) == b"/public/x"


def test_what_a_whole_url_is_about_that_cannot_be_read_is_guarded_as_it_is(tiny: Database) -> None:
    app = Recorder()
    served(app.asgi, tiny, "http://[/admin/x", "", **EXEMPT)
    assert not app.served
    served(app.asgi, tiny, "http://[/admin/x", "", **GUARDED)
    assert app.served
