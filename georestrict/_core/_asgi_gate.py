"""The gate of an ASGI app, in plain Python. The twin of ``asgi_gate.pxi``; see ``_gate.py``."""

from __future__ import annotations

from typing import Any

from georestrict._core._chain import MOST_BYTES
from georestrict._core._gate import BY_SINGLE, WEBSOCKET, Gate, Tally, Way


class AsgiGate(Gate):
    """An ASGI app that lets plainly allowed requests through to another."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Return the awaitable that serves one connection."""
        found = self._admit_scope(scope)
        if found is None:
            return self._slow(scope, receive, send)
        if self._is_sample():
            return self._sampled()(scope, receive, send)
        tally, decision = found
        tally.add()
        if self._annotate:
            scope["georestrict"] = decision
        return self._app(scope, receive, send)

    def admitted(self, scope: Any) -> Any:
        """Return the plain allow for a scope, or None to go the slow way."""
        found = self._admit_scope(scope)
        return None if found is None else found[1]

    def _admit_scope(self, scope: Any) -> tuple[Tally, Any] | None:
        way = self._way
        if way is None or type(scope) is not dict:
            return None
        kind = scope.get("type")
        if type(kind) is not str or kind not in ("http", "websocket"):
            return None
        client = scope.get("client")
        if client is None:
            return self._admit(way, None, scope)
        if type(client) not in (tuple, list) or not client or client[0] is None:
            return None
        return self._admit(way, client[0], scope)

    def _is_unix(self, request: dict[str, Any]) -> bool:
        server: Any = request.get("server")
        if type(server) not in (tuple, list) or len(server) != 2 or server[1] is not None:
            return False
        return type(server[0]) is str and server[0].isascii() and server[0].startswith("/")

    def _value(self, way: Way, request: dict[str, Any]) -> bytes | None:
        headers: Any = request.get("headers")
        if type(headers) not in (list, tuple):
            return None
        value: bytes | None = None
        for pair in headers:
            if type(pair) not in (tuple, list) or len(pair) != 2 or type(pair[0]) is not bytes:
                return None
            if len(pair[0]) == len(way.header) and pair[0].lower() == way.header:
                if type(pair[1]) is not bytes or (value is not None and way.kind == BY_SINGLE):
                    return None
                # several lines are one, joined in order (HAProxy writes its own)
                value = pair[1] if value is None else value + b"," + pair[1]
                if len(value) > MOST_BYTES:
                    return None
        return value

    def _path(self, request: dict[str, Any]) -> str | None:
        path, raw = request.get("path"), request.get("raw_path")
        root = request.get("root_path")
        if root is not None and (type(root) is not str or root):
            return None
        if type(path) is not str or type(raw) is not bytes or not path.isascii():
            return None
        return path if path.encode() == raw else None

    def _method(self, request: dict[str, Any]) -> Any:
        return request.get("method") if request["type"] == "http" else WEBSOCKET
