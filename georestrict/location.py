"""Locations: what is known of an address, and of many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import overload

from georestrict.networks import Category, Confidence

_NO_CATEGORIES: Mapping[Category, Confidence] = MappingProxyType({})


class Status(StrEnum):
    """Whether an address has a country; the other four are the cases of ``[fallback]``."""

    KNOWN = "known"  #: the country is known
    UNKNOWN = "unknown"  #: a public address in no country
    PRIVATE = "private"  #: not globally reachable (IANA), or multicast
    UNRESOLVED = "unresolved"  #: not an address
    NO_DATA = "no_data"  #: a public address, and no data that could tell its country


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """What is known of an address. It *appears to be* there; an address proves nothing.

    ``country`` is an ISO 3166-1 alpha-2 code, or None; ``subdivision`` an ISO 3166-2 code, or
    None; it is as its source files it, so Crimea is ``UA-43`` or ``RU-CR``. ``categories`` tells
    what the network is for and how sure that is, the most telling first; ``provider`` whose it is,
    as the first of them that knows it says. ``lists`` are the
    owner's lists that hold the address (filled by ``Engine.lookup``). ``via`` is set when an IPv6
    address was looked through to the IPv4 address that it carries.
    """

    country: str | None = None
    subdivision: str | None = None
    categories: Mapping[Category, Confidence] = field(
        default_factory=lambda: _NO_CATEGORIES, hash=False
    )
    provider: str | None = None
    lists: frozenset[str] = frozenset()
    status: Status = Status.UNKNOWN
    via: str | None = None


class Locations(Sequence[Location]):
    """The locations of many addresses, in their order.

    They repeat, so they are kept as a dictionary-encoded column is: ``values`` has each one that
    the database knows, and ``indices`` tells which of them an address has (a buffer of ``uint32``;
    ``numpy.asarray`` takes it as it is).

    >>> from georestrict import Database
    >>> found = Database.open().lookup_many(["81.2.69.142", "10.0.0.1"])
    >>> [str(location.status) for location in found]
    ['known', 'private']
    """

    def __init__(self, indices: memoryview, values: tuple[Location, ...]) -> None:
        self.indices, self.values = indices, values

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, at: int) -> Location: ...

    @overload
    def __getitem__(self, at: slice) -> Locations: ...

    def __getitem__(self, at: int | slice) -> Location | Locations:
        if isinstance(at, slice):
            return Locations(self.indices[at], self.values)
        return self.values[self.indices[at]]

    def __repr__(self) -> str:
        return f"Locations({len(self)} addresses)"
