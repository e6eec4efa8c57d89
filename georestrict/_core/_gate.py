"""The gate: the way of a plainly allowed ASGI request, in plain Python. The twin of ``gate.pxi``.

What a request costs is its call path, not the lookup. So the gate is the app that the server calls:
it reads the peer, looks its class up, and, when that is plainly allowed, returns the app's own
awaitable. Everything else, whatever is odd or rare, goes the slow way, which decides the same and
tells it. For a scope that ASGI allows, the gate never decides otherwise than the slow way would.
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


class Passes:
    """What the gate needs of a snapshot: a mark and a decision for each class.

    ``by_path`` has for each class with the mark ``BY_PATH`` a list of plain allows by route (None:
    not known, or no plain allow); ``routes`` the route of each path that was seen lately, as it was
    sent. The slow way fills both.
    """

    def __init__(
        self,
        table: Table,
        marks: bytes,
        decisions: Sequence[Any],
        by_path: Sequence[list[Any] | None],
        routes: dict[str, int],
    ) -> None:
        if not len(marks) == len(decisions) == len(by_path) == table.classes:
            raise ValueError("there must be one mark and one decision for each class")
        self.table, self.marks, self.decisions = table, marks, tuple(decisions)
        self.by_path, self.routes = tuple(by_path), routes
        if not all(known is None or type(known) is list for known in self.by_path):
            raise TypeError("what is known by path is a list for each class, or None")


class Current:
    """The passes in force: replaced as one, read once a request."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes


class Gate:
    """An ASGI app that lets plainly allowed requests through to another; see above."""

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

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Return the awaitable that serves one connection."""
        decision = self.admitted(scope)
        if decision is None:
            return self._slow(scope, receive, send)
        if self._annotate:
            scope["georestrict"] = decision
        return self._app(scope, receive, send)

    def admitted(self, scope: Any) -> Any:
        """Return the plain allow for a scope, or None to go the slow way."""
        if (
            not self._way
            or type(scope) is not dict
            or scope.get("type") not in ("http", "websocket")
        ):
            return None
        client = scope.get("client")
        if type(client) not in (tuple, list) or not client or type(client[0]) is not str:
            return None
        found = parse_address(client[0])
        if self._way == BY_FORWARDED_FOR and found is not None:
            found = self._forwarded(found, scope.get("headers"))
        if found is None:
            return None
        passes = self._current.passes
        number = passes.table.find_value(*found)
        mark = passes.marks[number]
        if mark == PLAIN or (mark == PLAIN_PRIVATE and self._way == BY_FORWARDED_FOR):
            return passes.decisions[number]
        return _by_path(passes, number, scope) if mark == BY_PATH else None

    def _forwarded(self, peer: tuple[int, int], headers: Any) -> tuple[int, int] | None:
        """Return the right-most untrusted entry of the one X-Forwarded-For, if all is plain."""
        if not self._is_trusted(peer) or type(headers) not in (list, tuple):
            return None
        chain = None
        for pair in headers:
            if type(pair) not in (tuple, list) or len(pair) != 2 or type(pair[0]) is not bytes:
                return None
            if len(pair[0]) == 15 and pair[0].lower() == b"x-forwarded-for":
                if chain is not None or type(pair[1]) is not bytes:
                    return None
                chain = pair[1]
        if chain is None or len(chain) > _MOST_BYTES:
            return None
        for entry in reversed(chain.rsplit(b",", _MOST_ENTRIES)[-_MOST_ENTRIES:]):
            parsed = parse_address(entry.strip(b" \t").decode("latin-1"))
            if parsed is None or not self._is_trusted(parsed):
                return parsed
        return None

    def _is_trusted(self, parsed: tuple[int, int]) -> bool:
        version, value = parsed
        return any(of == version and first <= value <= last for of, first, last in self._trusted)


def _by_path(passes: Passes, number: int, scope: dict[str, Any]) -> Any:
    """Return the plain allow for a path that was seen before, sent just as the app sees it."""
    path, raw = scope.get("path"), scope.get("raw_path")
    root = scope.get("root_path")
    if root is not None and (type(root) is not str or root):
        return None
    if type(path) is not str or type(raw) is not bytes:
        return None
    if not path.isascii() or path.encode() != raw:
        return None
    route = passes.routes.get(path)
    known = passes.by_path[number]
    if route is None or known is None or not 0 <= route < len(known):
        return None
    return known[route]
