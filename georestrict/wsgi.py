"""The WSGI middleware: the same options, decisions and responses as the ASGI one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from georestrict._core import WsgiGate
from georestrict.address import UNIX_PEER
from georestrict.guard import Guard, Received
from georestrict.policy import Action
from georestrict.request import Request
from georestrict.response import Response, blocked, warning

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_AF_UNIX = getattr(socket, "AF_UNIX", None)  # Windows has none
_REASONS = {403: "Forbidden", 503: "Service Unavailable"}


class GeoRestrictMiddleware(Guard, WsgiGate):
    """Enforce a policy on a WSGI app.

    The options are those of :class:`georestrict.guard.Guard`; ``identify`` and ``attributes`` get
    the environ, and the decision is left in ``environ["georestrict"]``.

    >>> from wsgiref.simple_server import demo_app
    >>> guarded = GeoRestrictMiddleware(demo_app, block=["CU", "IR", "KP"])
    """

    app: App

    def ready(self) -> None:
        """Open the gate: a plainly allowed request is let through by the compiled core."""
        self.open_gate(self.app, self.guarded, self.engine.current, self.annotate, self.way_in)

    def guarded(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Decide about one request, whatever it is."""
        decision, client, request, policy = self.judge(_request, environ)
        if decision.plain_allow:
            if self.annotate:
                environ["georestrict"] = decision
            return self.app(environ, start_response)
        environ["georestrict"] = decision
        self.observer.decided(
            decision, client, str(environ.get("REQUEST_METHOD", "GET")), request.path
        )
        if decision.action is Action.ALLOW:  # a dry run
            return self.app(environ, start_response)
        if decision.action is Action.WARN:
            header = warning(decision, policy)
            return self.app(environ, _warning(start_response, *header))
        accept = environ.get("HTTP_ACCEPT")
        response = blocked(decision, policy, accept if isinstance(accept, str) else None)
        return _refuse(environ, start_response, response)


def _request(environ: Environ) -> Received:
    """Read what is decided on from an environ."""
    path, raw_path = _paths(environ)
    method = environ.get("REQUEST_METHOD", "GET")
    rewritten = "werkzeug.proxy_fix.orig" in environ
    headers = _Headers(environ)
    return Received(
        _peer(environ), rewritten, headers, Request(path, raw_path, method, "http", headers)
    )


def _peer(environ: Environ) -> str | None:
    """The peer's address.

    WSGI has no word for a unix socket, so no text may pass for one: a peer without an address is on
    one only if gunicorn hands over its socket and that says so.
    """
    peer = environ.get("REMOTE_ADDR")
    if peer:
        return None if peer == UNIX_PEER else peer
    family = getattr(environ.get("gunicorn.socket"), "family", None)
    return UNIX_PEER if family is not None and family == _AF_UNIX else None


class _Headers:
    """The request's headers as bytes, read when somebody asks.

    WSGI has joined repeated lines with commas already.
    """

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._environ.items():
            if key.startswith("HTTP_") and isinstance(value, str):
                name = key[5:].replace("_", "-").lower()
                yield name.encode("latin-1", "replace"), value.encode("latin-1", "replace")


def _paths(environ: Environ) -> tuple[str, bytes | None]:
    """The path that the app routes on, and the same as it was sent, where the server tells."""
    path = (environ.get("PATH_INFO") or "").encode("latin-1", "replace").decode(
        "utf-8", "replace"
    ) or "/"
    sent = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not isinstance(sent, str) or not sent.startswith("/"):
        return path, None
    raw = sent.encode("latin-1", "replace").partition(b"?")[0]
    root = (environ.get("SCRIPT_NAME") or "").encode("latin-1", "replace")
    return path, raw[len(root) :] if root and raw.startswith(root + b"/") else raw


def _refuse(environ: Environ, start_response: StartResponse, response: Response) -> Iterable[bytes]:
    start_response(f"{response.status} {_REASONS[response.status]}", list(response.headers))
    return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else response.body]


def _warning(start_response: StartResponse, name: str, value: str) -> StartResponse:
    """Add the warning header to the app's response; a header of that name is only ever ours."""

    def warned(
        status: str, headers: list[tuple[str, str]], *more: Any
    ) -> Callable[[bytes], object]:
        others = [pair for pair in headers if pair[0].lower() != name.lower()]
        return start_response(status, [*others, (name.lower(), value)], *more)

    return warned
