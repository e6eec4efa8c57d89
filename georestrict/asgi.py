"""The ASGI middleware: guards ``http`` and ``websocket`` connections, passes everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from georestrict._core import AsgiGate
from georestrict.address import UNIX_PEER
from georestrict.guard import Guard, Received
from georestrict.policy import Action
from georestrict.request import Request
from georestrict.response import WARNING_HEADER, Response, blocked, warning

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008  # WebSocket close code, RFC 6455 §7.4.1
_WARNING_NAME = WARNING_HEADER.lower().encode()


class GeoRestrictMiddleware(Guard, AsgiGate):
    """Enforce a policy on an ASGI app.

    The options are those of :class:`georestrict.guard.Guard`; ``identify`` and ``attributes`` get
    the scope, and the decision is left in ``scope["georestrict"]``.

    >>> async def app(scope, receive, send): ...
    >>> guarded = GeoRestrictMiddleware(app, block=["CU", "IR", "KP"])
    """

    app: App

    def ready(self) -> None:
        """Open the gate: a plainly allowed request is let through by the compiled core.

        Calls go to the type's ``__call__``, the gate's, which returns the app's awaitable and is no
        coroutine function. Servers that ask what ``__call__`` is (uvicorn) look at the instance, so
        there it is one.
        """
        self.open_gate(self.app, self.guarded, self.engine.current, self.annotate, self.way_in)
        self.__dict__["__call__"] = self.guarded

    async def guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide about one connection, whatever it is."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            if kind != "lifespan":
                self.observer.once(
                    kind, f"scope type {kind!r} carries no client address: passed through unguarded"
                )
            await self.app(scope, receive, send)
            return
        decision, client, request, policy = self.judge(_request, scope)
        if decision.plain_allow:
            if self.annotate:
                scope["georestrict"] = decision
            await self.app(scope, receive, send)
            return
        scope["georestrict"] = decision
        self.observer.decided(decision, client, str(scope.get("method", "WEBSOCKET")), request.path)
        if decision.action is Action.ALLOW:  # a dry run
            await self.app(scope, receive, send)
        elif decision.action is Action.WARN:
            await self.app(scope, receive, _warning(send, *warning(decision, policy)))
        else:
            response = blocked(decision, policy, _accept(scope))
            await _refuse(scope, receive, send, response)


def _request(scope: Scope) -> Received:
    """Read what is decided on from a scope."""
    headers = scope.get("headers") or ()  # ASGI: optional
    if not isinstance(headers, list | tuple):  # an iterator would be used up
        headers = scope["headers"] = [*headers]
    path, raw_path = _paths(scope)
    kind = scope["type"]
    method = scope.get("method", "GET") if kind == "http" else "GET"  # RFC 6455 §4.1
    rewritten = _is_rewritten(scope.get("client"))
    return Received(
        _peer(scope), rewritten, headers, Request(path, raw_path, method, kind, headers)
    )


def _is_rewritten(client: Any) -> bool:
    """Whether the server took the client from a header: such a client has no port (uvicorn)."""
    return isinstance(client, tuple | list) and len(client) == 2 and client[1] == 0


def _peer(scope: Scope) -> str | None:
    """The peer's address; a unix socket is known by the server's own address.

    ASGI says that its port is None, and the client, too. granian 2.8 has ``("", "0")`` for a client
    and the port "0". The path comes from the server, never from a request.
    """
    client = scope.get("client")
    if client is not None and not isinstance(client, tuple | list):
        return None
    host = client[0] if client else ""
    if not isinstance(host, str) or host:
        return host if isinstance(host, str) and host != UNIX_PEER else None
    server = scope.get("server")
    if (
        isinstance(server, tuple | list)
        and len(server) == 2
        and server[1] == ("0" if client else None)
        and isinstance(server[0], str)
        and server[0].startswith("/")
    ):
        return UNIX_PEER
    return None


def _paths(scope: Scope) -> tuple[str, bytes | None]:
    """The path that the app routes on, without the mount's, and the same as it was sent."""
    path, raw_path, root = scope["path"], scope.get("raw_path"), scope.get("root_path", "")
    if not root:
        return path, raw_path
    raw_root = root.encode("utf-8", "surrogateescape")
    if raw_path is not None and raw_path.startswith(raw_root + b"/"):
        raw_path = raw_path[len(raw_root) :]
    if path == root:
        return "/", raw_path
    return (path[len(root) :] if path.startswith(root + "/") else path), raw_path


def _accept(scope: Scope) -> str | None:
    """The request's ``Accept``; None as well where the server's headers are malformed."""
    try:
        headers = scope.get("headers") or ()
        values = [value for name, value in headers if len(name) == 6 and name.lower() == b"accept"]
        return b",".join(values).decode("latin-1") if values else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


async def _refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    """Send a response without reading the request; refuse a WebSocket before it is accepted."""
    prefix = "http"
    if scope["type"] == "websocket":
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})
            return
        prefix = "websocket.http"
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    await send({"type": f"{prefix}.response.start", "status": response.status, "headers": headers})
    body = b"" if scope.get("method") == "HEAD" else response.body
    await send({"type": f"{prefix}.response.body", "body": body, "more_body": False})


def _warning(send: Send, name: str, value: str) -> Send:
    """Add the warning header to the app's response; a header of that name is only ever ours."""
    header = (name.lower().encode(), value.encode())

    async def warned(message: Message) -> None:
        if message["type"] in (
            "http.response.start",
            "websocket.accept",
            "websocket.http.response.start",
        ):
            others = [
                pair
                for pair in message.get("headers") or ()
                if bytes(pair[0]).lower() != _WARNING_NAME
            ]
            message = {**message, "headers": [*others, header]}
        await send(message)

    return warned
