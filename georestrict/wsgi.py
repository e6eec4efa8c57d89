"""The WSGI middleware: the same options, decisions and responses as the ASGI one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any

from georestrict._core import WsgiGate
from georestrict.address import UNIX_PEER
from georestrict.endpoints import Around, around, overrule
from georestrict.guard import Change, Guard, Judgement, Received
from georestrict.policy import Action
from georestrict.request import Request
from georestrict.response import Caller, Response
from georestrict.response.caller import HEADERS

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_AF_UNIX = getattr(socket, "AF_UNIX", None)  # Windows has none
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_ASKED = {
    "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}": field
    for name, field in HEADERS.items()
}


class GeoRestrictMiddleware(Guard, WsgiGate):
    """Enforce a policy on a WSGI app.

    The options are those of :class:`georestrict.guard.Guard`; ``identify`` and ``attributes`` get
    the environ, and the decision is left in ``environ["georestrict"]``.

    >>> from wsgiref.simple_server import demo_app
    >>> guarded = GeoRestrictMiddleware(demo_app, block=["CU", "IR", "KP"])
    """

    app: App

    def open(self) -> None:
        """Open the gate: a plainly allowed request is let through by the compiled core."""
        app = self._asked if self.policies else self.app
        way_in = None if self.guard_caches or self.unwatched else self.way_in
        sampling = None
        if self.observer.options.allows:
            looked, drawn = partial(self.guarded, drawn=False), partial(self.guarded, drawn=True)
            sampling = looked, drawn, self.observer.draw
        self.open_gate(app, self.guarded, self.engine.current, self.annotate, way_in, sampling)

    def guarded(
        self, environ: Environ, start_response: StartResponse, drawn: bool | None = None
    ) -> Iterable[bytes]:
        """Decide about one request, whatever it is.

        ``drawn`` is whether it is one of the sample that events tell of; None if nobody drew.
        """
        self.begin()
        judgement = self.judge(_request, environ, drawn=drawn)
        decision = judgement.decision
        plain = decision.plain_allow
        if self.annotate or not plain:
            environ["georestrict"] = decision
        if not plain:
            self._announce(judgement)
        if decision.action is Action.BLOCK:
            return self._refuse(judgement, environ, start_response)
        self._log(judgement, environ)
        if self.policies or self.change(judgement) is not None:
            return self._asked(environ, start_response, judgement)
        return self.app(environ, start_response)

    def _asked(
        self, environ: Environ, start_response: StartResponse, judgement: Judgement | None = None
    ) -> Iterable[bytes]:
        """Serve the app, changed as decided; its endpoints may ask policies, and be refused."""
        request = _Asked(self, environ, judgement)
        request.start_response = start_response
        body: Iterable[bytes] = ()
        request.token = around.set(request)
        try:
            body = self.app(environ, request.starting)
        except Exception as error:
            if error not in request.aborts:
                request.tell()
                raise
        finally:
            around.reset(request.token)
        refusal = request.refusal if request.judgements else None
        if refusal is None:
            if request.started:  # else starting tells
                request.tell()
            return body
        close = getattr(body, "close", None)
        if close is not None:  # PEP 3333: of an iterable that is not used up, too
            close()
        request.tell(refusal)
        return self._refuse(refusal, environ, request.refusing)

    def _announce(self, judgement: Judgement) -> None:
        """Tell the app of a decision; a defect there does not touch the request."""
        self.count_block(judgement)
        if self.on_decision is None:
            return
        try:
            self.on_decision(judgement.decision, judgement.request.account)
        except Exception:
            self.observer.defects.exception("on_decision failed; the request goes on")

    def _refuse(
        self, judgement: Judgement, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        overrule()
        response = self._response(judgement, environ)
        self._log(judgement, environ, response)
        return _refuse(environ, start_response, response)

    def _response(self, judgement: Judgement, environ: Environ) -> Response:
        """Return what a blocked client receives: the app's own response, or a shipped one."""
        caller = _caller(environ)
        hook = self.own_response(judgement)
        if hook is not None:
            try:
                return self.finished(hook(judgement.decision, environ), caller)
            except Exception:
                self.observer.defects.exception(
                    "the app's own response failed; the json form is sent"
                )
        return self.shipped(judgement, caller)

    def _log(
        self, judgement: Judgement, environ: Environ, response: Response | None = None
    ) -> None:
        if judgement.ticket is not None:
            method = str(environ.get("REQUEST_METHOD", "GET"))
            self.log(judgement, method, None if response is None else response.request_id)


class _Asked(Around):
    """A request on its way through an app whose endpoints may ask policies of their own."""

    _guard: GeoRestrictMiddleware
    start_response: StartResponse

    def read(self, where: Environ) -> Received:
        """Read what the middleware received."""
        return _request(self.received)

    def starting(
        self, status: str, headers: list[tuple[str, str]], *more: Any
    ) -> Callable[[bytes], object]:
        """Start the app's response, unless it was refused."""
        start_response = self.start_response
        if self.judgements or self.judgement is not None:
            if self.refusal is not None:
                return _unsent
            self.tell()
            change = self.change()
            start_response = start_response if change is None else _changing(start_response, change)
        self.begin()
        return start_response(status, headers, *more)

    def refusing(self, status: str, headers: list[tuple[str, str]]) -> Callable[[bytes], object]:
        """Start the refusal, in the place of what the app may have started."""
        if not self.started:
            return self.start_response(status, headers)
        abort = self.aborts[0]  # PEP 3333: with it, other headers may replace those given before
        why = type(abort), abort, abort.__traceback__
        return self.start_response(status, headers, why)

    def tell(self, logged: Judgement | None = None) -> None:
        """Tell the app and the log of the endpoints' judgements; one is logged elsewhere."""
        new = self.judgements[self._told :]
        self._told += len(new)
        for one in new:
            self._guard._announce(one)
            if one is not logged:
                self._guard._log(one, self.where)


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


def _caller(environ: Environ) -> Caller:
    """Read what a refusal depends on; nothing where the server's environ is malformed."""
    found = {
        field: value
        for variable, field in _ASKED.items()
        if isinstance(value := environ.get(variable), str)
    }
    try:
        path = str(environ.get("SCRIPT_NAME") or "") + str(environ.get("PATH_INFO") or "")
        decoded = path.encode("latin-1").decode("utf-8", "replace") or "/"
    except UnicodeEncodeError:
        decoded = "/"
    return Caller(str(environ.get("REQUEST_METHOD", "GET")), (decoded,), **found)


def _refuse(environ: Environ, start_response: StartResponse, response: Response) -> Iterable[bytes]:
    reason = _REASONS.get(response.status, "Refused")
    start_response(f"{response.status} {reason}", [*response.headers, *response.trailers])
    return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else response.body]


def _unsent(data: bytes) -> None:
    """Take what the app writes of a response that is not sent."""


def _changing(start_response: StartResponse, change: Change) -> StartResponse:
    """Change the headers of the app's response on their way."""

    def changed(
        status: str, headers: list[tuple[str, str]], *more: Any
    ) -> Callable[[bytes], object]:
        return start_response(status, change(headers), *more)

    return changed
