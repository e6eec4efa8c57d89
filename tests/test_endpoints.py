"""A policy of its own for one endpoint, in every framework: ``@georestrict.restrict``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

import georestrict
from georestrict import ConfigurationError, Database, Engine, asgi, wsgi
from georestrict.address import TrustedProxies
from tests.test_servers import serving
from tests.web import Request, run_asgi, scope_of

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
    from starlette.requests import Request
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

    @app.get("/strict", response_class=PlainTextResponse)
    @restrict("strict")
    async def strict(word: str = "served") -> str:
        return word

    @app.get("/threaded", response_class=PlainTextResponse)
    @restrict("strict")
    def threaded() -> str:
        return "served"

    return app


def litestar_app(database: Database) -> Any:
    from litestar import Litestar, MediaType, get
    from litestar.middleware import DefineMiddleware

    @get("/", media_type=MediaType.TEXT)
    async def home() -> str:
        return "served"

    @get("/strict", media_type=MediaType.TEXT)
    @restrict("strict")
    async def strict() -> str:
        return "served"

    @get("/threaded", media_type=MediaType.TEXT, sync_to_thread=True)
    @restrict("strict")
    def threaded() -> str:
        return "served"

    return Litestar(
        route_handlers=[home, strict, threaded],
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

    async def home(request: HttpRequest) -> HttpResponse:
        return HttpResponse("served")

    @restrict("strict")
    async def strict(request: HttpRequest) -> HttpResponse:
        return HttpResponse("served")

    @restrict("strict")
    def threaded(request: HttpRequest) -> HttpResponse:
        return HttpResponse("served")

    if not settings.configured:
        urls = ModuleType("urls")
        urls.urlpatterns = [  # type: ignore[attr-defined]
            path("", home),
            path("strict", strict),
            path("threaded", threaded),
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


ASGI: dict[str, tuple[Callable[[Database], Any], tuple[str, ...]]] = {
    "Starlette": (starlette_app, ("/strict", "/threaded", "/class", "/mounted/strict")),
    "FastAPI": (fastapi_app, ("/strict", "/threaded")),
    "Litestar": (litestar_app, ("/strict", "/threaded")),
    "Quart": (quart_app, ("/strict", "/threaded")),
    "Django": (django_asgi, ("/strict", "/threaded")),
}
WSGI: dict[str, tuple[Callable[[Database], Any], tuple[str, ...]]] = {
    "Flask": (flask_app, ("/strict",)),
    "Django": (django_wsgi, ("/strict", "/threaded")),
}
