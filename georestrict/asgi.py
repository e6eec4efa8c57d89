"""The ASGI middleware: guards ``http`` and ``websocket`` connections, passes everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from inspect import isawaitable
from threading import Thread
from typing import Any

from georestrict._core import AsgiGate
from georestrict.address import UNIX_PEER
from georestrict.endpoints import Around, around, overrule
from georestrict.guard import Change, Guard, Judgement, Received
from georestrict.mounts import find_paths
from georestrict.policy import Action
from georestrict.request import Request
from georestrict.response import Caller, Response
from georestrict.response.caller import HEADERS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_TRAILERS = "http.response.trailers"
_POLICY_VIOLATION = 1008  # WebSocket close code, RFC 6455 §7.4.1
_ASKED = {name.encode(): field for name, field in HEADERS.items()}
_LENGTHS = frozenset(map(len, _ASKED))
_WITH_HEADERS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class GeoRestrictMiddleware(Guard, AsgiGate):
    """Enforce a policy on an ASGI app.

    The options are those of :class:`georestrict.guard.Guard`; ``identify`` and ``attributes`` get
    the scope, and the decision is left in ``scope["georestrict"]``.

    >>> async def app(scope, receive, send): ...
    >>> guarded = GeoRestrictMiddleware(app, block=["CU", "IR", "KP"])
    """

    app: App
    awaits = True

    def ready(self) -> None:
        """Open the gate: a plainly allowed request is let through by the compiled core.

        Calls go to the type's ``__call__``, the gate's, which returns the app's awaitable and is no
        coroutine function. Servers that ask what ``__call__`` is (uvicorn) look at the instance, so
        there it is one.
        """
        self._tasks: set[asyncio.Task[None]] = set()
        self.open()
        self.__dict__["__call__"] = self.guarded

    def open(self) -> None:
        """Tell the gate what it needs."""
        app = self._asked if self.policies else self.app
        way_in = None if self.guard_caches or self.unwatched else self.way_in
        sampling = None
        if self.observer.options.allows:
            looked, drawn = partial(self.guarded, drawn=False), partial(self.guarded, drawn=True)
            sampling = looked, drawn, self.observer.draw
        self.open_gate(app, self.guarded, self.engine.current, self.annotate, way_in, sampling)

    async def guarded(
        self, scope: Scope, receive: Receive, send: Send, drawn: bool | None = None
    ) -> None:
        """Decide about one connection, whatever it is.

        ``drawn`` is whether it is one of the sample that events tell of; None if nobody drew.
        """
        self.begin()
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            if kind == "lifespan":
                self.start_accounts()
                send = self._flushing(send)
            else:
                self.observer.once(
                    kind, f"scope type {kind!r} carries no client address: passed through unguarded"
                )
            await self.app(scope, receive, send)
            return
        judgement = self.judge(_request, scope, drawn=drawn)
        decision = judgement.decision
        plain = decision.plain_allow
        if self.annotate or not plain:
            scope["georestrict"] = decision
        if not plain:
            await self._announce(judgement)
        if decision.action is Action.BLOCK:
            await self._refuse(judgement, scope, receive, send)
            return
        self._log(judgement, scope)
        if self.policies or self.change(judgement, cached=kind == "http") is not None:
            await self._asked(scope, receive, send, judgement)
        else:
            await self.app(scope, receive, send)

    async def _asked(
        self, scope: Scope, receive: Receive, send: Send, judgement: Judgement | None = None
    ) -> None:
        """Serve the app, changed as decided; its endpoints may ask policies, and be refused."""
        request = _Asked(self, scope, judgement)
        request.receive, request.send = receive, send
        request.token = around.set(request)
        try:
            receiving = receive if scope["type"] == "http" else request.receiving
            await self.app(scope, receiving, request.sending)
        except Exception as error:
            await request.finish()
            # Where the app's response has begun, the server has to learn that it is broken off.
            if request.started or error not in request.aborts:
                raise
        else:
            if request.judgements:
                await request.finish()
        finally:
            around.reset(request.token)

    async def _announce(self, judgement: Judgement) -> None:
        """Tell the app of a decision; a defect there does not touch the request."""
        self.count_block(judgement)
        if self.on_decision is None:
            return
        try:
            told = self.on_decision(judgement.decision, judgement.request.account)
            if isawaitable(told):
                await told
        except Exception:
            self.observer.defects.exception("on_decision failed; the request goes on")

    def telling(self, account: str, judgement: Judgement) -> Callable[[], None]:
        """Return what tells the app from any thread, in the loop that serves the request.

        Where that is not asyncio's (but trio's), the hook has a thread and a loop of its own.
        """

        async def finish(told: Any) -> None:
            try:
                await told
            except Exception:
                self.observer.defects.exception("on_account_flagged failed")

        async def alone() -> None:
            told = self.flag(account, judgement)
            if isawaitable(told):
                await finish(told)

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return lambda: Thread(target=lambda: asyncio.run(alone())).start()

        def start() -> None:
            told = self.flag(account, judgement)
            if isawaitable(told):
                task = loop.create_task(finish(told))
                self._tasks.add(task)  # the loop itself keeps none (asyncio.create_task)
                task.add_done_callback(self._tasks.discard)

        def tell() -> None:
            try:
                loop.call_soon_threadsafe(start)
            except RuntimeError:  # the server has ended its loop
                self.observer.defects.exception("on_account_flagged was not called")

        return tell

    async def _refuse(
        self, judgement: Judgement, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send a response without reading the request; refuse a WebSocket before it is accepted."""
        overrule()
        prefix = "http"
        if scope["type"] == "websocket":
            if "websocket.http.response" not in (scope.get("extensions") or {}):
                self._log(judgement, scope)
                if await _is_connecting(receive):
                    await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})
                return
            prefix = "websocket.http"
        response = await self._response(judgement, scope)
        self._log(judgement, scope, response)
        if prefix != "http" and not await _is_connecting(receive):
            return
        # Where the server has trailers they have to be used: an HTTP/2 server that sends an empty
        # body of its own has grpcio take a status in the header for a broken stream.
        has_trailers = bool(response.trailers) and _TRAILERS in (scope.get("extensions") or {})
        headers = response.headers if has_trailers else response.headers + response.trailers
        start: Message = {
            "type": f"{prefix}.response.start",
            "status": response.status,
            "headers": _encoded(headers),
        }
        await send({**start, "trailers": True} if has_trailers else start)
        body = b"" if scope.get("method") == "HEAD" else response.body
        await send({"type": f"{prefix}.response.body", "body": body, "more_body": False})
        if has_trailers:
            await send({"type": _TRAILERS, "headers": _encoded(response.trailers)})

    async def _response(self, judgement: Judgement, scope: Scope) -> Response:
        """Return what a blocked client receives: the app's own response, or a shipped one."""
        caller = _caller(scope)
        hook = self.own_response(judgement)
        if hook is not None:
            try:
                given = hook(judgement.decision, scope)
                return self.finished(await given if isawaitable(given) else given, caller)
            except Exception:
                self.observer.defects.exception(
                    "the app's own response failed; the json form is sent"
                )
        return self.shipped(judgement, caller)

    def _log(self, judgement: Judgement, scope: Scope, response: Response | None = None) -> None:
        if judgement.ticket is not None:
            method = str(scope.get("method", "WEBSOCKET"))
            self.log(judgement, method, None if response is None else response.request_id)

    def _flushing(self, send: Send) -> Send:
        """Tell what was not told when the app has shut down, and before the server does."""

        async def flushed(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                self.end()
            await send(message)

        return flushed


class _Asked(Around):
    """A connection on its way through an app whose endpoints may ask policies of their own."""

    _guard: GeoRestrictMiddleware
    receive: Receive
    send: Send
    _refused = False
    _first: Message | None = None

    def read(self, where: Scope) -> Received:
        """Read what the middleware received."""
        return _request(self.received)

    async def receiving(self) -> Message:
        """Receive for a WebSocket's app; keep the first message, which a refusal asks for."""
        message = await self.receive()
        self._first = message if self._first is None else self._first
        return message

    def sending(self, message: Message) -> Awaitable[None]:
        """Send for the app; nothing is between while nothing was decided."""
        if self.judgements or self.judgement is not None:
            return self._sending(message)
        if message["type"] in _WITH_HEADERS:
            self.begin()
        return self.send(message)

    async def _sending(self, message: Message) -> None:
        if self._refused:
            return
        if not self.started and self.refusal is not None:
            await self.finish()
            return
        send = self.send
        if message["type"] in _WITH_HEADERS:
            self.begin()
            await self._tell()
            change = self.change(cached=self.where["type"] == "http")
            send = send if change is None else _changing(send, change)
        await send(message)

    async def finish(self) -> None:
        """Send the refusal, if there is one and no response yet, and tell what was not told."""
        refusal = self.refusal
        if refusal is None or self.started or self._refused:
            await self._tell()
            return
        self._refused = True
        await self._tell(refusal)
        await self._guard._refuse(refusal, self.where, self._receiving_again, self.send)

    async def _receiving_again(self) -> Message:
        return await self.receive() if self._first is None else self._first

    async def _tell(self, logged: Judgement | None = None) -> None:
        """Tell the app and the log of the endpoints' judgements; one is logged elsewhere."""
        new = self.judgements[self._told :]
        self._told += len(new)
        for one in new:
            await self._guard._announce(one)
            if one is not logged:
                self._guard._log(one, self.where)


def _request(scope: Scope) -> Received:
    """Read what is decided on from a scope."""
    headers = scope.get("headers") or ()  # ASGI: optional
    if not isinstance(headers, list | tuple):  # an iterator would be used up
        headers = scope["headers"] = [*headers]
    kind = scope["type"]
    method = scope.get("method", "GET") if kind == "http" else "GET"  # RFC 6455 §4.1
    path, raw_path, root = scope["path"], scope.get("raw_path"), scope.get("root_path", "")
    request = Request(path, raw_path, method, kind, headers)
    if root or not path.startswith("/"):
        find_paths(request, root)
    return Received(_peer(scope), _is_rewritten(scope.get("client")), headers, request)


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


def _caller(scope: Scope) -> Caller:
    """Read what a refusal depends on; nothing where the server's scope is malformed."""
    try:
        lines = [
            (field, value.decode("latin-1"))
            for name, value in scope.get("headers") or ()
            if len(name) in _LENGTHS and (field := _ASKED.get(name.lower())) is not None
        ]
        found = dict(lines)
        if len(found) < len(lines):
            found = {
                field: ",".join(text for name, text in lines if name == field) for field in found
            }
        path, root = str(scope["path"]), str(scope.get("root_path") or "")
        paths = (path, root + path) if root else (path,)
        return Caller(str(scope.get("method", "GET")), paths, **found)
    except (AttributeError, KeyError, TypeError, ValueError):
        return Caller()


async def _is_connecting(receive: Receive) -> bool:
    return bool((await receive())["type"] == "websocket.connect")


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _changing(send: Send, change: Change) -> Send:
    """Change the headers of the app's response on their way."""

    async def changed(message: Message) -> None:
        if message["type"] in _WITH_HEADERS:
            given = [
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in message.get("headers") or ()
            ]
            message = {**message, "headers": _encoded(change(given))}
        await send(message)

    return changed
