"""The app behind the proxies: guarded by each recipe of docs/proxies.md, it tells what it saw.

The first part of the path chooses the guard: ``/<recipe>`` and ``/<recipe>/<number>``, where a
recipe has several; ``/peer`` has ``Peer()``; ``/seen`` has none. :func:`guard_asgi` knows the rest.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from importlib import import_module
from typing import Any

from georestrict import Decision, Engine, asgi, wsgi
from georestrict.address import FORWARDING_HEADERS, Peer, Strategy, TrustedProxies
from georestrict.testing import tiny_database
from tests.proxies import read_recipes

ENGINE = Engine(
    {
        "default": "allow",
        "contact": "https://example.com/",
        "rules": [{"name": "china", "action": "block", "countries": ["CN"]}],
    },
    database=tiny_database(
        {
            "81.2.69.0/24": "GB",
            "89.160.20.0/24": "SE",
            "175.16.199.0/24": "CN",
            "2001:218::/32": "JP",
            "2001:250::/32": "CN",
        }
    ),
)
STRATEGIES: dict[str, Strategy] = {"peer": Peer(), "inner-only": TrustedProxies("127.0.0.8/32")}
for _name, _recipe in read_recipes().items():
    for _number, _client in enumerate(_recipe.clients):
        STRATEGIES[f"{_name}/{_number}" if _number else _name] = _client


def told(decision: Decision | None, seen: dict[str, Any]) -> bytes:
    """What the app answers."""
    if decision is None:
        return json.dumps(seen).encode()
    return json.dumps({"country": decision.country, "reason": decision.reason, **seen}).encode()


async def open_asgi(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """Tell what an ASGI server reports."""
    headers = [[name.decode("latin-1"), len(value)] for name, value in scope["headers"]]
    seen = {"client": scope.get("client"), "server": scope.get("server"), "headers": headers}
    body = told(scope.get("georestrict"), seen)
    head = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def open_wsgi(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> list[bytes]:
    """Tell what a WSGI server reports."""
    names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT")
    seen: dict[str, Any] = {name: environ[name] for name in names if name in environ}
    variables = {"HTTP_" + name.decode().upper().replace("-", "_") for name in FORWARDING_HEADERS}
    seen["headers"] = [[name, len(environ[name])] for name in sorted(variables & {*environ})]
    body = told(environ.get("georestrict"), seen)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@cache
def guard_asgi(name: str) -> Any:
    """The ASGI app of a path, made when it is first asked for."""
    if name == "seen":
        return open_asgi
    if name == "inside-asgiref":  # a WSGI app on an ASGI server, guarded inside the bridge
        return import_module("asgiref.wsgi").WsgiToAsgi(guard_wsgi("one-nginx"))
    if name == "inside-uvicorn-bridge":
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            return import_module("uvicorn.middleware.wsgi").WSGIMiddleware(guard_wsgi("one-nginx"))
    if name == "rewritten-by-hypercorn":  # the peer, before the guard sees it
        return import_module("hypercorn.middleware").ProxyFixMiddleware(guard_asgi("one-nginx"))
    if name == "rewritten-by-granian":
        proxies = import_module("granian.utils.proxies")
        return proxies.wrap_asgi_with_proxy_headers(guard_asgi("one-nginx"))
    app = open_asgi
    if name == "outside-asgiref":  # guarded outside of the bridge
        name, app = "one-nginx", import_module("asgiref.wsgi").WsgiToAsgi(open_wsgi)
    return asgi.GeoRestrictMiddleware(app, engine=ENGINE, client=STRATEGIES[name], annotate=True)


@cache
def guard_wsgi(name: str) -> Any:
    """The WSGI app of a path, made when it is first asked for."""
    if name == "seen":
        return open_wsgi
    if name == "rewritten-by-granian":
        proxies = import_module("granian.utils.proxies")
        return proxies.wrap_wsgi_with_proxy_headers(guard_wsgi("one-nginx"))
    if name == "rewritten-by-werkzeug":
        return import_module("werkzeug.middleware.proxy_fix").ProxyFix(guard_wsgi("one-nginx"))
    return wsgi.GeoRestrictMiddleware(
        open_wsgi, engine=ENGINE, client=STRATEGIES[name], annotate=True
    )


async def asgi_app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """The app for an ASGI server."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await guard_asgi(scope["path"].strip("/"))(scope, receive, send)


def wsgi_app(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Any:
    """The app for a WSGI server."""
    return guard_wsgi(environ["PATH_INFO"].strip("/"))(environ, start_response)
