"""The gate: the way of a plainly allowed request, in plain Python. The twin of ``gate.pxi``.

What a request costs is its call path, not the lookup. So the gate is the app that the server calls:
it reads the peer, looks its class up, and, when that is plainly allowed, counts it and returns what
the app returns (the app's own awaitable, in ASGI). Everything else, whatever is odd or rare, goes
the slow way, which decides the same and tells it. For a request that ASGI or WSGI allows, the gate
never decides otherwise than the slow way would.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from georestrict._core._chain import LIST, MOST_BYTES, Trusted, find_client, parse_entry
from georestrict._core._text import parse_address
from georestrict._core._trie import Table

# What a class means to the gate.
SLOW, PLAIN, PLAIN_PRIVATE, BY_PATH = range(4)

# How the gate finds the client.
BY_PEER, BY_CHAIN, BY_SINGLE = range(3)

# Where the routes of WebSockets are kept, beside those of methods: no method has a space (RFC 9110
# §9.1), so no request can pass for one.
WEBSOCKET = "web socket"

# Which plain requests go the slow way all the same, to be looked at (georestrict.diagnose): every
# other, until there are 64, then every 1,024th.
_SAMPLES, _SOON, _LATER = 64, 2, 1024


class Way:
    """How a strategy finds the client, for the gate.

    ``BY_PEER``: it is the socket peer. ``BY_CHAIN``: :func:`find_client` tells, from ``header``,
    by ``grammar``, ``trusted`` and ``count``. ``BY_SINGLE``: it is all of ``header``. Unless
    ``trusted`` is None, the peer must be in it, or, with ``over_unix``, come over a unix socket.
    """

    def __init__(
        self,
        kind: int,
        header: bytes = b"",
        grammar: int = LIST,
        trusted: Trusted | None = None,
        count: int = 0,
        over_unix: bool = False,
    ) -> None:
        if kind not in (BY_PEER, BY_CHAIN, BY_SINGLE):
            raise ValueError(f"there is no way {kind}")
        self.kind, self.header, self.grammar = kind, header.lower(), grammar
        self.trusted, self.count, self.over_unix = trusted, count, over_unix
        self._variable = "HTTP_" + self.header.decode("ascii").upper().replace("-", "_")

    @property
    def variable(self) -> str:
        """The header's name in a WSGI environ."""
        return self._variable


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
    """What the gate needs of a snapshot.

    Many classes share a *verdict*: ``verdict_of`` has each class's, as 16-bit numbers. ``kinds``
    tells what a verdict means to the gate, ``tallies`` what counts it.

    The rest the slow way fills, as it meets requests. ``decisions`` has the decision of each class
    with its location (for annotating), and ``by_path`` for each class a list by route of ``(tally,
    decision)``, or None for what is not known or no plain allow; both may end early. ``routes``
    has the route of each path that was seen lately, as it was sent: all under ``""`` or, where that
    is missing, by the request's method, and under ``WEBSOCKET``.

    Where data grows too old at some time, that holds for a while only (:meth:`hold`).
    """

    def __init__(
        self,
        table: Table,
        verdict_of: array[int],
        kinds: bytes,
        tallies: Sequence[Tally | None],
        decisions: list[Any],
        by_path: list[list[tuple[Tally, Any] | None] | None],
        routes: dict[str, dict[str, int]],
    ) -> None:
        if verdict_of.typecode != "H" or len(verdict_of) != table.classes:
            raise ValueError("there must be a 16-bit verdict for each class")
        if len(kinds) != len(tallies) or max(verdict_of) >= len(kinds):
            raise ValueError("there must be a kind and a tally for each verdict")
        for kind, tally in zip(kinds, tallies, strict=True):
            if kind in (PLAIN, PLAIN_PRIVATE) and type(tally) is not Tally:
                raise TypeError("what is let through has a tally")
        if type(decisions) is not list or type(by_path) is not list:
            raise TypeError("what is known is in lists")
        self.table, self.verdict_of, self.kinds = table, verdict_of, kinds
        self.tallies, self.decisions, self.by_path = tuple(tallies), decisions, by_path
        self.routes = routes
        #: from when on and until when the gate decides; None: always
        self.period: tuple[int, int] | None = None

    def hold(self, since: int, until: int) -> None:
        """Let the gate decide from ``since`` on and before ``until`` only, else all goes slow.

        Both are whole seconds since the epoch, by the system's clock.
        """
        self.period = int(since), int(until)

    def holds(self) -> bool:
        """Return whether the gate may decide now."""
        period = self.period
        return period is None or period[0] <= time.time() < period[1]


class Current:
    """The passes in force: replaced as one, read once a request."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes


class Gate:
    """What both gates share: how the client is found, and what its class is let through with."""

    _way: Way | None = None

    def open_gate(
        self,
        app: Callable[..., Any],
        slow: Callable[..., Any],
        current: Current,
        annotate: bool,
        way: Way | None,
        sampling: tuple[Callable[..., Any], Callable[..., Any], Callable[[], int]] | None = None,
    ) -> None:
        """Set everything that a request needs; until then, and without a way, all goes slow.

        With ``sampling`` requests are drawn: of its three, those that are only looked at go the
        first way, those that are drawn the second, and the third tells how many further ones to
        count to the next. It must not raise.
        """
        if way is not None and not isinstance(way, Way):
            raise TypeError(f"way is {way!r}, must be a Way")
        self._app, self._slow, self._current = app, slow, current
        self._annotate, self._way = annotate, way
        self._looked = self._drawn = slow
        self._draw: Callable[[], int] | None = None
        if sampling is not None:
            self._looked, self._drawn, self._draw = sampling
        self._samples, self._until_look = _SAMPLES, _SOON
        self._until_draw = _SOON if self._draw is None else self._draw()
        self._gap = self._until_sample = min(self._until_look, self._until_draw)

    def _is_sample(self) -> bool:
        """Return whether this request goes the slow way although it is plainly allowed."""
        self._until_sample -= 1
        return self._until_sample <= 0

    def _sampled(self) -> Callable[..., Any]:
        """Return the way that a sample goes, and begin to count to the next."""
        self._until_look -= self._gap
        if self._until_look <= 0:
            self._samples -= self._samples > 0
            self._until_look = _SOON if self._samples else _LATER
        way = self._looked
        if self._draw is None:
            self._until_draw = self._until_look
        else:
            self._until_draw -= self._gap
            if self._until_draw <= 0:
                way, self._until_draw = self._drawn, self._draw()
        self._gap = self._until_sample = min(self._until_look, self._until_draw)
        return way

    def _admit(self, way: Way, host: Any, request: dict[str, Any]) -> tuple[Tally, Any] | None:
        """Return the tally and decision of the plain allow for a request; None to go slow.

        Without ``annotate`` the decision is the tally's, which may be of another location.
        """
        found: Any = parse_address(host) if type(host) is str else None
        if way.kind != BY_PEER:
            if way.trusted is not None:
                if host is None:
                    if not way.over_unix or not self._is_unix(request):
                        return None
                elif found is None or not way.trusted.holds(*found):
                    return None
            found = self._forwarded(way, request)
        if not isinstance(found, tuple):
            return None
        passes = self._current.passes
        if not passes.holds():
            return None
        number = passes.table.find_value(*found)
        verdict = passes.verdict_of[number]
        kind = passes.kinds[verdict]
        if kind == PLAIN or (kind == PLAIN_PRIVATE and way.kind != BY_PEER):
            tally = passes.tallies[verdict]
            if not self._annotate:
                return None if tally is None else (tally, tally.decision)
            decision = passes.decisions[number] if number < len(passes.decisions) else None
            return None if tally is None or decision is None else (tally, decision)
        if kind != BY_PATH or number >= len(passes.by_path):
            return None
        path = self._path(request)
        routes = passes.routes.get("")
        if routes is None:
            method = self._method(request)
            routes = passes.routes.get(method) if type(method) is str else None
        route = None if path is None or routes is None else routes.get(path)
        known = passes.by_path[number]
        if route is None or known is None or not 0 <= route < len(known):
            return None
        return known[route]

    def _forwarded(self, way: Way, request: dict[str, Any]) -> tuple[int, int] | int | None:
        """Read the client from the one header of the way; None if anything is odd."""
        value = self._value(way, request)
        if value is None or len(value) > MOST_BYTES:
            return None
        if way.kind == BY_SINGLE:
            return parse_entry(value)
        return find_client(value, True, way.grammar, way.trusted, way.count)

    def _value(self, way: Way, request: dict[str, Any]) -> bytes | None:
        """Return the value of the way's header, its lines joined; None if anything is odd."""
        raise NotImplementedError

    def _path(self, request: dict[str, Any]) -> str | None:
        """Return the path, if it was sent just as the app sees it."""
        raise NotImplementedError

    def _method(self, request: dict[str, Any]) -> Any:
        """Return the request's method, or ``WEBSOCKET``."""
        raise NotImplementedError

    def _is_unix(self, request: dict[str, Any]) -> bool:
        """Return whether a request without a peer comes over a unix socket."""
        return False
