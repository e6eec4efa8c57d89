"""Routes: what a request is for, as far as rules tell that apart.

A route is all requests that match the same rules by path, method, host and protocol. What a policy
says to a class of addresses is found once for each route.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

from georestrict._core import WEBSOCKET
from georestrict.masks import Index, bits
from georestrict.paths import PathPatterns
from georestrict.policy import Words
from georestrict.request import MOST_HOSTS, Request

_MOST_ROUTES = 1024
_MOST_KEPT = 1024  # paths whose route is kept, for each method
_LONGEST_KEPT = 128  # characters
_LONGEST_NAME = 255  # of a domain, RFC 1035 §2.3.4
#: RFC 9110 §9 and RFC 5789. Others are whatever a client makes up, so nothing is kept for them.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Route(NamedTuple):
    """Which conditions a request matches by what it is for, as masks.

    ``strict`` is for what lets through, ``broad`` for what blocks (see ``paths.py``). ``number`` is
    None if there are too many.
    """

    number: int | None
    strict: int
    broad: int


class Routes:
    """The routes of a policy's conditions, numbered as requests meet them."""

    def __init__(self, conditions: Sequence[Words], ignore_case: bool = False) -> None:
        self._names = list(dict.fromkeys(path for words in conditions for path in words.paths))
        self._patterns = PathPatterns(self._names)
        self._in_any_case = PathPatterns(self._names, ignore_case=True) if ignore_case else None
        self._paths = Index(words.paths for words in conditions)
        self._methods = Index(words.methods for words in conditions)
        self._protocols = Index(words.protocols for words in conditions)
        self._hosts = Index(words.hosts for words in conditions)
        #: Whether a path alone does not tell the route.
        self.by_method = bool(self._methods.asking | self._protocols.asking)
        #: The conditions that ask for the host.
        self.by_host = self._hosts.asking
        #: The conditions that ask what a request is for.
        self.asking = (
            self._paths.asking | self._methods.asking | self._protocols.asking | self.by_host
        )
        self._numbers: dict[tuple[int, int], Route] = {}
        self._routes: dict[int, Route] = {}
        self._next_number = count()  # threads may number a route at once: two never get the same
        #: The numbers of paths seen lately that were sent just as the app sees them: all under "",
        #: or, where a path alone does not tell, by method and under ``WEBSOCKET``.
        self.kept: dict[str, dict[str, int]] = {"": {}}
        if self.by_method:
            self.kept = {key: {} for key in (*_METHODS, *map(str, self._methods.values), WEBSOCKET)}

    def find(self, request: Request) -> Route:
        """Return the route of a request."""
        kept = self._kept_for(request)
        number = None if kept is None else kept.get(request.path)
        if number is not None:
            return self._routes[number]
        route = self._match(request)
        if kept is not None and route.number is not None:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[request.path] = route.number
        return route

    def _kept_for(self, request: Request) -> dict[str, int] | None:
        """Return where the number of such a request is kept, if the path was sent as it is seen."""
        path = request.path
        if (
            self.by_host
            or request.other_paths
            or len(path) > _LONGEST_KEPT
            or not path.isascii()
            or path.encode() != request.raw_path
        ):
            return None
        if not self.by_method:
            return self.kept[""]
        return self.kept.get(request.method if request.protocol == "http" else WEBSOCKET)

    def _match(self, request: Request) -> Route:
        strict, broad = (
            self._paths.of(self._names[at] for at in bits(mask)) for mask in self._matches(request)
        )
        if self.by_method:
            protocols = self._protocols.of((request.protocol,))
            strict &= protocols & self._methods.of((request.method,))
            broad &= protocols & self._methods.of((request.method, request.method.upper()))
        if self.by_host:
            hosts = request.hosts
            strict &= self._hosts.of(_spelled(hosts[0]) if len(hosts) == 1 else ())
            broad &= self._hosts.of(
                (name for host in hosts for name in _spelled(host))
                if len(hosts) <= MOST_HOSTS
                else self._hosts.values
            )
        known = self._numbers.get((strict, broad))
        if known is not None:
            return known
        if len(self._numbers) >= _MOST_ROUTES:
            return Route(None, strict, broad)
        number = next(self._next_number)
        self._routes[number] = route = Route(number, strict, broad)
        return self._numbers.setdefault((strict, broad), route)

    def _matches(self, request: Request) -> tuple[int, int]:
        strict, broad = self._matches_path(request.path, request.raw_path)
        for path in request.other_paths:
            broad |= self._matches_path(path, None)[1]
        return 0 if request.disputed else strict, broad

    def _matches_path(self, path: str, raw_path: bytes | None) -> tuple[int, int]:
        strict, broad = self._patterns.match(path, raw_path)
        if self._in_any_case is not None:
            broad |= self._in_any_case.match(path, raw_path)[1]
        return strict, broad


def _spelled(host: str) -> Iterator[str]:
    """Yield the patterns that match a host: itself, and ``*.`` before every domain above it.

    Domains too long for a name are in no pattern.
    """
    yield host
    at = host.find(".", max(0, len(host) - _LONGEST_NAME))
    while at >= 0:
        yield f"*{host[at:]}"
        at = host.find(".", at + 1)
