"""One request, through the ASGI or the WSGI middleware, to an app that says what it saw."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from georestrict import Decision, asgi, wsgi

APP_BODY = b'{"served": true}'
APP_HEADERS = ((b"content-type", b"application/json"), (b"x-app", b"1"), (b"set-cookie", b"a=b"))


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sends; ``peer`` is the socket peer."""

    peer: str | None = "81.2.69.142"
    method: str = "GET"
    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    root: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What comes back, and what was left for the app."""

    status: int
    headers: dict[str, str]
    body: bytes
    decision: Decision | None
    served: bool


@dataclass
class Recorder:
    """An app that serves one fixed response and remembers that it did."""

    headers: tuple[tuple[bytes, bytes], ...] = APP_HEADERS
    served: bool = False
    left: Mapping[str, Any] = field(default_factory=dict)

    async def asgi(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """The ASGI form."""
        self.served, self.left = True, scope
        await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
        body = b"" if scope["method"] == "HEAD" else APP_BODY
        await send({"type": "http.response.body", "body": body})

    def wsgi(self, environ: wsgi.Environ, start_response: wsgi.StartResponse) -> list[bytes]:
        """The WSGI form."""
        self.served, self.left = True, environ
        start_response("200 OK", [(name.decode(), value.decode()) for name, value in self.headers])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else APP_BODY]


def without_id(body: bytes) -> bytes:
    """A body without the id by which a client can quote a refusal: each has its own."""
    return re.sub(rb"\b[0-9a-f]{16}\b", b"", body)


def scope_of(request: Request, **more: Any) -> dict[str, Any]:
    """A request as a server puts it into an ASGI scope."""
    raw_path, _, query = request.target.encode().partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.root + unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": request.root.encode() + raw_path,
        "root_path": request.root,
        "query_string": query,
        "headers": [
            (name.lower().encode(), value.encode("latin-1")) for name, value in request.headers
        ],
        "client": None if request.peer is None else (request.peer, 12345),
        "server": ("127.0.0.1", 80),
        **more,
    }


def environ_of(request: Request, **more: Any) -> dict[str, Any]:
    """A request as a server (gunicorn) puts it into a WSGI environ."""
    raw_path, _, query = request.target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": request.root,
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
        "RAW_URI": request.root + request.target,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **more,
    }
    if request.peer is not None:
        environ["REMOTE_ADDR"] = request.peer
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def through_asgi(request: Request, app: Recorder | None = None, **options: Any) -> Answer:
    """Send a request through the ASGI middleware."""
    app = Recorder() if app is None else app
    guarded = asgi.GeoRestrictMiddleware(app.asgi, **options)
    sent = run_asgi(guarded, scope_of(request))
    start, *bodies = sent
    return Answer(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        body=b"".join(message.get("body", b"") for message in bodies),
        decision=app.left.get("georestrict"),
        served=app.served,
    )


def run_asgi(
    app: Callable[..., Any], scope: dict[str, Any], incoming: tuple[dict[str, Any], ...] = ()
) -> list[dict[str, Any]]:
    """Run an ASGI app over one scope; return the messages that it sent."""
    sent: list[dict[str, Any]] = []
    waiting = iter(incoming)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def through_wsgi(request: Request, app: Recorder | None = None, **options: Any) -> Answer:
    """Send a request through the WSGI middleware."""
    app = Recorder() if app is None else app
    guarded = wsgi.GeoRestrictMiddleware(app.wsgi, **options)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], *_: Any
    ) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda data: None

    body = b"".join(guarded(environ_of(request), start_response))
    ((status, headers),) = started
    return Answer(
        status=int(status.split(" ")[0]),
        headers=dict(headers),
        body=body,
        decision=app.left.get("georestrict"),
        served=app.served,
    )
