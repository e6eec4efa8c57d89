"""The ASGI middleware on every common server, and around an app of every common framework.

The middleware's ``__call__`` is compiled and no coroutine function; servers and frameworks must take
it for an ASGI 3 app all the same.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.test_servers import ASGI_APP, serving

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


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_a_server_takes_the_middleware_for_asgi_3(tmp_path: Path, command: list[str]) -> None:
    with serving(tmp_path, ASGI_APP, command) as url:
        serves_warns_and_blocks(url)


@pytest.mark.parametrize("app", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_a_framework_takes_the_middleware(tmp_path: Path, app: str) -> None:
    with serving(
        tmp_path, GUARD + app, ["uvicorn", "app:app", "--no-proxy-headers", "--port"]
    ) as url:
        serves_warns_and_blocks(url)
