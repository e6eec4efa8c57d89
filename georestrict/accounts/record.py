"""What is kept of one account, as bytes in memory and as fields in Redis.

Times are whole minutes since the epoch, rounded down. Two records of one account merge field by
field: the later wins. So it does not matter in which order they arrive, or how often; ``merge.lua``
does the same in Redis.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from georestrict.networks import Category

#: sightings that are kept of an account; the oldest are dropped
MOST_SIGHTINGS = 64
#: how long it is remembered that an account was forgotten: old sightings that another worker has
#: not synchronised yet may arrive for so long
FORGOTTEN_MINUTES = 60
LATEST = 4_223_371_679  # the last minute of the year 9999; it fits four bytes

_CATEGORIES = ("", *Category)  # one byte each; these bytes never leave the process
_COUNTRY = re.compile(r"[A-Z0-9]{2}")
_SIGHTING = struct.Struct(">3sI")  # a place, when
_OTHER = struct.Struct(">c8sII")  # what; by which worker, when, how many (or until when)
_BLOCKS, _FLAG, _FORGOTTEN = b"b", b"f", b"x"
_NOBODY = bytes(8)

T = TypeVar("T")
Worker = bytes  # eight random ones

_places: dict[tuple[str, str], bytes] = {}
_names: dict[bytes, tuple[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Sighting:
    """That an account was seen: from which country, through what, and when last.

    ``category`` is empty for a plain address; ``seen`` is in UTC, rounded down to the minute.
    """

    country: str
    category: str
    seen: datetime


def minute_of(time: float) -> int:
    """Return the minute of a time in seconds since the epoch, within what can be packed."""
    minute = int(time // 60)
    return minute if 0 <= minute <= LATEST else min(max(minute, 0), LATEST)


def place_of(country: str, category: str) -> bytes:
    """Return a country and a category in three bytes.

    Raises:
        ValueError: if one of them is none.
    """
    known = _places.get((country, category))
    if known is not None:
        return known
    if not _COUNTRY.fullmatch(country):
        raise ValueError(f"{country!r} is no country code; give two capital letters")
    if category not in _CATEGORIES:
        raise ValueError(f"{category!r} is no category; give '' or one of {', '.join(Category)}")
    place = country.encode("ascii") + bytes([_CATEGORIES.index(category)])
    _names[place] = country, str(category)
    _places[country, str(category)] = place
    return place


def later(packed: bytes, place: bytes, minute: int) -> bytes | None:
    """Return a record with a later minute for the sighting recorded last, if it was there.

    It is the whole of most changes: people stay where they are. Else, and for a minute that is no
    later, return None, or the record as it is.
    """
    if not packed.startswith(place, 1):
        return None
    last = int.from_bytes(packed[4:8])
    if last > minute:
        return None
    return packed[:4] + minute.to_bytes(4) + packed[8:] if last < minute else packed


def stale(packed: bytes, oldest: int) -> bool:
    """Return whether something in a record is older than that."""
    for _, minute in _sightings(packed):
        if minute < oldest:
            return True
    return any(minute < oldest for _, _, minute, _ in _others(packed))


def seen_in(
    packed: bytes, countries: Set[str], categories: Set[str], first: float, last: float
) -> bool:
    """Return whether there is such a sighting in these minutes; an empty set is any."""
    for place, minute in _sightings(packed):
        if first <= minute <= last:
            country, category = _names[place]
            if (not countries or country in countries) and (
                not categories or category in categories
            ):
                return True
    return False


def countries_of(packed: bytes, categories: Set[str], first: float, last: float) -> int:
    """Return from how many countries there are sightings in these minutes."""
    found = set()
    for place, minute in _sightings(packed):
        if first <= minute <= last:
            country, category = _names[place]
            if not categories or category in categories:
                found.add(country)
    return len(found)


def _sightings(packed: bytes) -> Iterator[tuple[bytes, int]]:
    if not packed:
        return iter(())
    return _SIGHTING.iter_unpack(packed[1 : 1 + packed[0] * _SIGHTING.size])


def _others(packed: bytes) -> Iterator[tuple[bytes, Worker, int, int]]:
    if not packed:
        return iter(())
    return _OTHER.iter_unpack(packed[1 + packed[0] * _SIGHTING.size :])


@dataclass(slots=True)
class Record:
    """What is kept of an account, to be changed and packed again."""

    #: when it was last seen at a place; the one recorded last comes first
    sightings: dict[bytes, int] = field(default_factory=dict)
    #: by worker, the minute of its last block, and how many; empty once flagged
    blocks: dict[Worker, tuple[int, int]] = field(default_factory=dict)
    #: since when it is flagged, and which worker may tell
    flag: tuple[int, Worker] | None = None
    #: up to which minute everything is to be forgotten, and until when that is remembered
    forgotten: tuple[int, int] | None = None

    @classmethod
    def unpack(cls, packed: bytes) -> Record:
        """Return what was packed; nothing, for no bytes."""
        record = cls()
        if packed:
            record.sightings = dict(_sightings(packed))
            for what, worker, minute, number in _others(packed):
                if what == _BLOCKS:
                    record.blocks[worker] = minute, number
                elif what == _FLAG:
                    record.flag = minute, worker
                else:
                    record.forgotten = minute, number
        return record

    def pack(self) -> bytes:
        """Return it as bytes; none, if nothing is kept."""
        others = [(_BLOCKS, worker, *blocks) for worker, blocks in self.blocks.items()]
        if self.flag is not None:
            minute, worker = self.flag
            others.append((_FLAG, worker, minute, 0))
        if self.forgotten is not None:
            others.append((_FORGOTTEN, _NOBODY, *self.forgotten))
        if not self.sightings and not others:
            return b""
        parts = [bytes([len(self.sightings)])]
        parts += [_SIGHTING.pack(place, minute) for place, minute in self.sightings.items()]
        parts += [_OTHER.pack(*other) for other in others]
        return b"".join(parts)

    def see(self, place: bytes, minute: int) -> bool:
        """Note a sighting, and return whether that is news."""
        if self.forgotten is not None:  # what comes after forgetting is not what was forgotten
            minute = max(minute, self.forgotten[0] + 1)
        if self.sightings.get(place, -1) >= minute:
            return False
        self.sightings.pop(place, None)
        self.sightings = {place: minute, **self.sightings}
        return True

    def block(self, worker: Worker, minute: int) -> None:
        """Count a block."""
        if self.forgotten is not None:
            minute = max(minute, self.forgotten[0] + 1)
        last, count = self.blocks.get(worker, (0, 0))
        self.blocks[worker] = max(minute, last), min(count + 1, LATEST)

    @property
    def count(self) -> int:
        """How many blocks all workers have counted."""
        return sum(count for _, count in self.blocks.values())

    def merge(self, other: Record) -> None:
        """Take over what the other knows later."""
        for place, minute in other.sightings.items():
            self.sightings[place] = max(minute, self.sightings.get(place, 0))
        for worker, blocks in other.blocks.items():
            self.blocks[worker] = max(blocks, self.blocks.get(worker, (0, 0)))
        self.flag = _later(self.flag, other.flag)
        self.forgotten = _later(self.forgotten, other.forgotten)

    def tidy(self, now: int, keep: int, ahead: int = 0) -> None:
        """Drop what is forgotten, older than ``keep`` or too many.

        A time further ahead than ``keep`` was told by a wrong clock: it is taken for now, so that
        it is neither lost nor kept for ever. ``ahead`` is a later time that may be the right one.
        """
        ahead = max(now, ahead)
        forgotten = -1
        if self.forgotten is not None:
            forgotten, until = self.forgotten
            if until < now:
                self.forgotten, forgotten = None, -1
            else:
                self.forgotten = min(forgotten, ahead + keep), min(until, ahead + keep)
                forgotten = self.forgotten[0]
        oldest, latest = max(now - keep, forgotten + 1), ahead + keep
        self.sightings = {
            place: minute if minute <= latest else max(ahead, oldest)
            for place, minute in self.sightings.items()
            if minute >= oldest
        }
        for place in sorted(self.sightings, key=self.sightings.__getitem__)[:-MOST_SIGHTINGS]:
            del self.sightings[place]
        if self.flag is not None:
            minute, worker = self.flag
            self.flag = None
            if minute >= oldest:
                self.flag = minute if minute <= latest else max(ahead, oldest), worker
        self.blocks = {
            worker: (minute if minute <= latest else max(ahead, oldest), count)
            for worker, (minute, count) in self.blocks.items()
            if minute >= oldest and self.flag is None
        }

    def fields(self) -> dict[str, str]:
        """Return it as the fields of a hash in Redis: greater values are later ones."""
        found = {}
        for place, minute in self.sightings.items():
            country, category = _names[place]
            found[f"seen:{country}:{category}"] = f"{minute:010d}"
        for worker, (minute, count) in self.blocks.items():
            found[f"blocks:{worker.hex()}"] = f"{minute:010d}:{count:010d}"
        if self.flag is not None:
            minute, worker = self.flag
            found["flag"] = f"{minute:010d}:{worker.hex()}"
        if self.forgotten is not None:
            found["forgotten"] = "{:010d}:{:010d}".format(*self.forgotten)
        return found

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Record:
        """Return what the fields of a hash in Redis say.

        What cannot be read was written by another release, and is left where it is.
        """
        record = cls()
        for name, value in fields.items():
            try:
                record._take(name, value)
            except ValueError:
                continue
        return record

    def _take(self, name: str, value: str) -> None:
        what, _, rest = name.partition(":")
        minute, _, more = value.partition(":")
        when = _number(minute)
        if what == "seen":
            country, _, category = rest.partition(":")
            self.sightings[place_of(country, category)] = when
        elif what == "blocks":
            self.blocks[_worker(rest)] = when, _number(more)
        elif what == "flag":
            self.flag = when, _worker(more)
        elif what == "forgotten":
            self.forgotten = when, _number(more)

    def whereabouts(self) -> tuple[Sighting, ...]:
        """Return the sightings, the latest first."""
        return tuple(
            Sighting(*_names[place], datetime.fromtimestamp(minute * 60, UTC))
            for place, minute in sorted(self.sightings.items(), key=lambda one: -one[1])
        )


def _later(one: tuple[int, T] | None, other: tuple[int, T] | None) -> tuple[int, T] | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _number(text: str) -> int:
    number = int(text)
    if not 0 <= number <= LATEST:
        raise ValueError(text)
    return number


def _worker(text: str) -> Worker:
    worker = bytes.fromhex(text)
    if len(worker) != len(_NOBODY):
        raise ValueError(text)
    return worker
