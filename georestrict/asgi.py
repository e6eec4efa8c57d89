"""The ASGI middleware: guards ``http`` and ``websocket`` connections, passes everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from georestrict.address import FAILED, UNIX_PEER, ClientAddress, Strategy, checked_strategy
from georestrict.database import Database
from georestrict.decision import Decision
from georestrict.engine import Engine
from georestrict.errors import ConfigurationError
from georestrict.observe import Observer, logger
from georestrict.policy import Action, Policy
from georestrict.response import WARNING_HEADER, Response, blocked, warning

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008  # WebSocket close code, RFC 6455 §7.4.1
_WARNING_NAME = WARNING_HEADER.lower().encode()


class GeoRestrictMiddleware:
    """Enforce a policy on an ASGI app.

    Args:
        app: the app to guard.
        policy: a ``Policy``, the path of a policy file, or a mapping.
        engine: a ready ``Engine``, instead of policy and database.
        database: a ``Database`` or the path of an image; the default data if left out.
        client: who is asking; ``Peer()`` if left out, ``TrustedProxies("10.0.3.0/24")`` behind
            a proxy.
        identify: ``identify(scope)`` names the account; called only when a rule asks for it,
            and no rule word of this release does.
        attributes: ``attributes(scope)`` tells what the app knows; likewise.
        annotate: leave the decision in ``scope["georestrict"]`` for plainly allowed requests, too.
        block, warn, allow: the short form of a policy: country codes.

    Raises:
        ConfigurationError: if the options contradict each other, or the policy is wrong.
        DatabaseError: if the database cannot be used.
    """

    def __init__(
        self,
        app: App,
        *,
        policy: Policy | str | Path | Mapping[str, Any] | None = None,
        engine: Engine | None = None,
        database: Database | str | Path | None = None,
        client: Strategy | None = None,
        identify: Callable[[Scope], str | None] | None = None,
        attributes: Callable[[Scope], Mapping[str, str]] | None = None,
        annotate: bool = False,
        block: Sequence[str] = (),
        warn: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"options: app is {app!r}, must be callable")
        for name, hook in (("identify", identify), ("attributes", attributes)):
            if hook is not None and not callable(hook):
                raise ConfigurationError(f"options: {name} is {hook!r}, must be callable")
        if not isinstance(annotate, bool):
            raise ConfigurationError(f"options: annotate is {annotate!r}, must be True or False")
        self.app = app
        self.engine = Engine.from_options(
            policy=policy, engine=engine, database=database, block=block, warn=warn, allow=allow
        )
        self.client = checked_strategy(client)
        self.identify, self.attributes, self.annotate = identify, attributes, annotate
        self._observer = Observer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide about one connection."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            if kind != "lifespan":
                self._observer.once(
                    kind, f"scope type {kind!r} carries no client address: passed through unguarded"
                )
            await self.app(scope, receive, send)
            return
        client, decision, path = self._decide(scope)
        if client.address is None:
            self._observer.unresolved(client)
        if decision.plain_allow:
            if self.annotate:
                scope["georestrict"] = decision
            await self.app(scope, receive, send)
            return
        scope["georestrict"] = decision
        self._observer.decided(decision, client, str(scope.get("method", "WEBSOCKET")), path)
        if decision.action is Action.ALLOW:  # a dry run
            await self.app(scope, receive, send)
        elif decision.action is Action.WARN:
            await self.app(scope, receive, _warning(send, *warning(decision, self.engine.policy)))
        else:
            await _refuse(
                scope, receive, send, blocked(decision, self.engine.policy, _accept(scope))
            )

    def _decide(self, scope: Scope) -> tuple[ClientAddress, Decision, str]:
        """Decide; a defect of ours or of a strategy blocks the request, and says so in the log."""
        client, path = FAILED, ""
        try:
            headers = scope["headers"]
            if not isinstance(headers, list | tuple):  # an iterator would be used up
                headers = scope["headers"] = [*headers]
            client = self.client.resolve(_peer(scope), headers)
            path, raw_path = _paths(scope)
            decision = self.engine.decide(
                client.address,
                path=path,
                raw_path=raw_path,
                method=scope.get("method", "GET"),
                protocol=scope["type"],
                headers=headers,
            )
        except Exception:
            logger.exception("deciding failed; the request is refused")
            decision = self.engine.snapshot.failure
        return client, decision, path


def _peer(scope: Scope) -> str | None:
    """The peer's address; a unix socket is known by the server's own address."""
    client = scope.get("client")
    if client:
        host = client[0]
        return host if isinstance(host, str) and host and host != UNIX_PEER else None
    server = scope.get("server")
    if (
        server
        and len(server) == 2
        and server[1] is None
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
        values = [value for name, value in scope["headers"] if name.lower() == b"accept"]
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
