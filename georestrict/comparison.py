"""What changes between two databases: which addresses get another country, or other categories.

Nothing is asked address by address, and nothing is sampled: the tables of both are laid over each
other, and what differs is measured, over the whole of both address spaces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from georestrict._core import merge
from georestrict.database import Database
from georestrict.extent import SPACE, Extent, sizes
from georestrict.location import Location
from georestrict.networks import TELLING, Category, Confidence

_SURE = ("", *Confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Addresses that appear to be in another country."""

    before: str  #: a country's code; or the status, where there is none: unknown, private
    after: str
    extent: Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Recategorised:
    """Addresses that are in a category for one of the databases only, or less surely."""

    category: Category
    before: str  #: the confidence; empty if they were not in it
    after: str
    extent: Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What moves into a country, or status, and out of it."""

    place: str
    before: Extent  #: all addresses that appear to be in it
    gained: Extent
    lost: Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What changes."""

    moves: tuple[Move, ...]  #: the largest first: by IPv4 addresses, then by IPv6
    balances: tuple[Balance, ...]  #: of the places that gain or lose; the largest first
    categories: tuple[Recategorised, ...]  #: in the order of telling
    moved: Extent  #: all that appear to be elsewhere
    recategorised: Extent  #: all of which any category changes


def compare(old: Database, new: Database) -> Comparison:
    """Return what changes from one database to another.

    IPv6 addresses that carry an IPv4 address are left out: they are where that one is.
    """
    moves: defaultdict[tuple[str, str], Extent] = defaultdict(Extent)
    categories: defaultdict[tuple[Category, str, str], Extent] = defaultdict(Extent)
    held: defaultdict[str, Extent] = defaultdict(Extent)
    recategorised = Extent()
    for left, right, extent in _pairs(old, new):
        places = _place(left), _place(right)
        held[places[0]] += extent
        if places[0] != places[1]:
            moves[places] += extent
        if left.categories != right.categories:
            recategorised += extent
        for category in left.categories.keys() | right.categories.keys():
            sure = left.categories.get(category, ""), right.categories.get(category, "")
            if sure[0] != sure[1]:
                categories[category, *sure] += extent
    told = _largest(
        Move(before=before, after=after, extent=extent) for (before, after), extent in moves.items()
    )
    return Comparison(
        moves=told,
        balances=_balances(told, held),
        categories=tuple(
            Recategorised(category=category, before=before, after=after, extent=extent)
            for (category, before, after), extent in sorted(categories.items(), key=_order)
        ),
        moved=sum((move.extent for move in told), Extent()),
        recategorised=recategorised,
    )


def _pairs(old: Database, new: Database) -> Iterable[tuple[Location, Location, Extent]]:
    """Yield what both say of addresses that they do not tell apart, and how many those are."""
    for version in SPACE:
        runs, pairs = merge(old.table.runs(version), new.table.runs(version))
        for number, count in sizes(runs, version).items():
            left, right = pairs[number]
            extent = Extent(ipv4=count) if version == 4 else Extent(ipv6=count)
            yield old.classes[left], new.classes[right], extent


def _place(location: Location) -> str:
    return location.country or str(location.status)


def _balances(moves: Iterable[Move], held: dict[str, Extent]) -> tuple[Balance, ...]:
    gained: defaultdict[str, Extent] = defaultdict(Extent)
    lost: defaultdict[str, Extent] = defaultdict(Extent)
    for move in moves:
        lost[move.before] += move.extent
        gained[move.after] += move.extent
    found = [
        Balance(
            place=place,
            before=held.get(place, Extent()),
            gained=gained[place],
            lost=lost[place],
        )
        for place in gained.keys() | lost.keys()
    ]
    return tuple(sorted(found, key=lambda each: (*_size(each.gained + each.lost), each.place)))


def _order(item: tuple[tuple[Category, str, str], Extent]) -> tuple[int, int, int]:
    category, before, after = item[0]
    return TELLING.index(category), _SURE.index(before), _SURE.index(after)


def _largest(moves: Iterable[Move]) -> tuple[Move, ...]:
    return tuple(sorted(moves, key=lambda each: (*_size(each.extent), each.before, each.after)))


def _size(extent: Extent) -> tuple[int, int]:
    return -extent.ipv4, -extent.ipv6
