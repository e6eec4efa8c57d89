"""The gate: the way of a plainly allowed request, in plain Python. The twin of ``gate.pxi``.

What a request costs is its call path, not the lookup. So the gate is the app that the server calls:
it reads the peer, looks its class up, and, when that is plainly allowed, counts it and returns what
the app returns (the app's own awaitable, in ASGI). Everything else, whatever is odd or rare, goes
the slow way, which decides the same and tells it. For a request that ASGI or WSGI allows, the gate
never decides otherwise than the slow way would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from georestrict._core._text import parse_address
from georestrict._core._trie import Table

# What a class means to the gate.
SLOW, PLAIN, PLAIN_PRIVATE, BY_PATH = range(4)

# How the gate finds the client.
NO_WAY, BY_PEER, BY_FORWARDED_FOR = range(3)

Span = tuple[int, int, int]  # IP version, first and last address as numbers

_MOST_ENTRIES = 64
_MOST_BYTES = 8192


class Tally:
    """A decision, and how many requests got it.

    Counting is exact under threads, too: the interpreter's lock is not given up in between.
    """

    __slots__ = ("count", "decision")

    def __init__(self, decision: Any) -> None:
        self.decision, self.count = decision, 0

    def add(self) -> None:
        """Count one request."""
        self.count += 1


class Passes:
    """What the gate needs of a snapshot: a mark and a tally for each class.

    ``by_path`` has for each class with the mark ``BY_PATH`` a list of plain allows by route (None:
    not known, or no plain allow); ``routes`` the route of each path that was seen lately, as it was
    sent. The slow way fills both.
    """

    def __init__(
        self,
        table: Table,
        marks: bytes,
        tallies: Sequence[Tally | None],
        by_path: Sequence[list[Tally | None] | None],
        routes: dict[str, int],
    ) -> None:
        if not len(marks) == len(tallies) == len(by_path) == table.classes:
            raise ValueError("there must be one mark and one tally for each class")
        self.table, self.marks, self.tallies = table, marks, tuple(tallies)
        self.by_path, self.routes = tuple(by_path), routes
        for mark, tally in zip(marks, self.tallies, strict=True):
            if mark in (PLAIN, PLAIN_PRIVATE) and type(tally) is not Tally:
                raise TypeError("what is let through has a tally")
        if not all(known is None or type(known) is list for known in self.by_path):
            raise TypeError("what is known by path is a list for each class, or None")


class Current:
    """The passes in force: replaced as one, read once a request."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes


class Gate:
    """What both gates share: how the client is found, and what its class is let through with."""

    _way = NO_WAY

    def open_gate(
        self,
        app: Callable[..., Any],
        slow: Callable[..., Any],
        current: Current,
        annotate: bool,
        way: int,
        trusted: Sequence[Span],
    ) -> None:
        """Set everything that a request needs; until then, and with ``NO_WAY``, all goes slow."""
        if way not in (NO_WAY, BY_PEER, BY_FORWARDED_FOR):
            raise ValueError(f"there is no way {way}")
        self._app, self._slow, self._current = app, slow, current
        self._trusted = tuple((version, first, last) for version, first, last in trusted)
        self._annotate, self._way = annotate, way

    def _admit(self, host: str, request: dict[str, Any]) -> Tally | None:
        """Return the tally of the plain allow for a request by its peer; None to go slow."""
        found = parse_address(host)
        if self._way == BY_FORWARDED_FOR and found is not None:
            chain = self._chain(request) if self._is_trusted(found) else None
            found = None if chain is None else self._walk(chain)
        if found is None:
            return None
        passes = self._current.passes
        number = passes.table.find_value(*found)
        mark = passes.marks[number]
        if mark == PLAIN or (mark == PLAIN_PRIVATE and self._way == BY_FORWARDED_FOR):
            return passes.tallies[number]
        if mark != BY_PATH:
            return None
        path = self._path(request)
        route = None if path is None else passes.routes.get(path)
        known = passes.by_path[number]
        if route is None or known is None or not 0 <= route < len(known):
            return None
        return known[route]

    def _chain(self, request: dict[str, Any]) -> bytes | None:
        """Return the request's one X-Forwarded-For; None if there is none, or anything is odd."""
        raise NotImplementedError

    def _path(self, request: dict[str, Any]) -> str | None:
        """Return the path, if it was sent just as the app sees it."""
        raise NotImplementedError

    def _walk(self, chain: bytes) -> tuple[int, int] | None:
        """Return the right-most untrusted entry of a chain."""
        if len(chain) > _MOST_BYTES:
            return None
        for entry in reversed(chain.rsplit(b",", _MOST_ENTRIES)[-_MOST_ENTRIES:]):
            parsed = parse_address(entry.strip(b" \t").decode("latin-1"))
            if parsed is None or not self._is_trusted(parsed):
                return parsed
        return None

    def _is_trusted(self, parsed: tuple[int, int]) -> bool:
        version, value = parsed
        return any(of == version and first <= value <= last for of, first, last in self._trusted)


class AsgiGate(Gate):
    """An ASGI app that lets plainly allowed requests through to another."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Return the awaitable that serves one connection."""
        tally = self._admit_scope(scope)
        if tally is None:
            return self._slow(scope, receive, send)
        tally.add()
        if self._annotate:
            scope["georestrict"] = tally.decision
        return self._app(scope, receive, send)

    def admitted(self, scope: Any) -> Any:
        """Return the plain allow for a scope, or None to go the slow way."""
        tally = self._admit_scope(scope)
        return None if tally is None else tally.decision

    def _admit_scope(self, scope: Any) -> Tally | None:
        if (
            not self._way
            or type(scope) is not dict
            or scope.get("type") not in ("http", "websocket")
        ):
            return None
        client = scope.get("client")
        if type(client) not in (tuple, list) or not client or type(client[0]) is not str:
            return None
        return self._admit(client[0], scope)

    def _chain(self, request: dict[str, Any]) -> bytes | None:
        headers: Any = request.get("headers")
        if type(headers) not in (list, tuple):
            return None
        chain: bytes | None = None
        for pair in headers:
            if type(pair) not in (tuple, list) or len(pair) != 2 or type(pair[0]) is not bytes:
                return None
            if len(pair[0]) == 15 and pair[0].lower() == b"x-forwarded-for":
                if chain is not None or type(pair[1]) is not bytes:
                    return None
                chain = pair[1]
        return chain

    def _path(self, request: dict[str, Any]) -> str | None:
        path, raw = request.get("path"), request.get("raw_path")
        root = request.get("root_path")
        if root is not None and (type(root) is not str or root):
            return None
        if type(path) is not str or type(raw) is not bytes or not path.isascii():
            return None
        return path if path.encode() == raw else None


class WsgiGate(Gate):
    """A WSGI app that lets plainly allowed requests through to another."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Return the iterable that answers one request."""
        tally = self._admit_environ(environ)
        if tally is None:
            return self._slow(environ, start_response)
        tally.add()
        if self._annotate:
            environ["georestrict"] = tally.decision
        return self._app(environ, start_response)

    def admitted(self, environ: Any) -> Any:
        """Return the plain allow for an environ, or None to go the slow way."""
        tally = self._admit_environ(environ)
        return None if tally is None else tally.decision

    def _admit_environ(self, environ: Any) -> Tally | None:
        if not self._way or type(environ) is not dict:
            return None
        host = environ.get("REMOTE_ADDR")
        return self._admit(host, environ) if type(host) is str else None

    def _chain(self, request: dict[str, Any]) -> bytes | None:
        chain = request.get("HTTP_X_FORWARDED_FOR")
        return chain.encode() if type(chain) is str and chain.isascii() else None

    def _path(self, request: dict[str, Any]) -> str | None:
        path = request.get("PATH_INFO")
        sent = request.get("RAW_URI")
        if sent is None or sent == "":
            sent = request.get("REQUEST_URI")
        root = request.get("SCRIPT_NAME")
        if root is not None and (type(root) is not str or root):
            return None
        if type(path) is not str or type(sent) is not str:
            return None
        if not path.isascii() or not sent.isascii() or not sent.startswith(path):
            return None
        return path if sent[len(path) : len(path) + 1] in ("", "?") else None
