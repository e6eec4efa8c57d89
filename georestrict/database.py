"""The database: where an address appears to be, what its network is for, and whose it is."""

from __future__ import annotations

import hashlib
import json
import mmap
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from georestrict import asns, countries, subdivisions
from georestrict._core import (
    CARRIES,
    PRIVATE,
    Answers,
    Columns,
    Table,
    embedded_ipv4,
    find_many,
    grow,
    parse_address,
    relabel,
)
from georestrict.errors import DatabaseError, FormatError
from georestrict.layers import LAYERS, Claims, Layer, Layers, paint
from georestrict.location import Location, Locations, Status
from georestrict.manifest import compile_mmdb
from georestrict.networks import Category, Confidence, parse_claims
from georestrict.record import DAMAGES, DEFAULT_IMAGE, Record, read_meta
from georestrict.sources import mmdb
from georestrict.sources.networks import NetworkList
from georestrict.special import LOOKED_THROUGH, is_private
from georestrict.table import MAGIC, Image, encode

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Match(NamedTuple):
    """A range that says something about an address, and where that came from."""

    layer: str  #: ``country``, ``network`` or ``asn``; in an engine also ``list``
    value: str  #: what the range says, as its source writes it
    first: IPv4Address | IPv6Address
    last: IPv4Address | IPv6Address
    source: str  #: name of the source, or path of the list
    line: int  #: line or row in it, from 1
    date: date | None = None  #: of the source; None of a list
    note: str = ""  #: what a list says of the entry: its comment, or the fields of a feed
    until: datetime | None = None  #: when the entry of a list ends


class Database:
    """Country and network data for every address, read-only and safe to share between threads.

    >>> from georestrict import Database
    >>> db = Database.open()
    >>> db.country("81.2.69.142")
    'GB'
    """

    #: Return the ISO 3166-1 code (or XK) of the country in which an address appears to be, or
    #: None if it is private, in no country, or not an address. Never raises on text.
    country: Callable[[str], str | None]

    def __init__(self, image: Image) -> None:
        self._image = image
        meta = read_meta(image)
        self._record = Record(image, meta)
        self.metadata = self._record.metadata
        try:
            self._locations = _locations(meta["classes"])
            looked_through = [described[0] == "looked-through" for described in meta["classes"]]
            root4, root6 = meta["roots"]
            self.table = Table(image.section("cells"), root4, root6, len(self._locations))
        except DAMAGES as error:
            raise FormatError(f"{image.name}: damaged: {error}") from error
        self.looked_through = bytes(looked_through)
        self._marks = bytes(
            looked_through[number] * CARRIES + (location.status is Status.PRIVATE) * PRIVATE
            for number, location in enumerate(self._locations)
        )
        #: ISO 3166-2 codes that the data knows; none if it only tells countries
        self.subdivisions = frozenset(
            location.subdivision for location in self._locations if location.subdivision
        )
        self.has_asns = bool(self._record.sections("asn"))  #: whether the data tells AS numbers
        codes = [location.country for location in self._locations]
        self._asns: frozenset[int] | None = None
        self._claimants: Mapping[Category, frozenset[str]] | None = None
        self._found: tuple[Location, ...] | None = None
        self.country = Answers(self.table, codes, None, self.looked_through).at

    @classmethod
    def open(cls, path: str | Path | None = None) -> Database:
        """Open a compiled image or an MMDB file; without a path, the data of the package.

        The package's own file is mapped, so that processes share its pages; any other is read into
        memory, since a file that someone truncates under a map kills the process. An MMDB is
        compiled then, into this process's memory.

        Raises:
            DatabaseError: if the file is missing, unreadable, damaged or of another version.
        """
        if path == "":
            raise DatabaseError("the database's path is empty; name an image")
        chosen = DEFAULT_IMAGE if path is None else Path(path)
        try:
            with chosen.open("rb") as file:
                if path is None:
                    data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                else:
                    data = file.read()
        except FileNotFoundError as error:
            fix = "install georestrict from a wheel, or build it with 'pip install .'"
            raise DatabaseError(
                f"{chosen}: no such file; {fix if path is None else 'name an image that exists'}"
            ) from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DatabaseError(
                f"{chosen}: cannot be read: {reason}; name an image file that may be read"
            ) from error
        if path is not None and not data.startswith(MAGIC) and mmdb.is_mmdb(data):
            data = compile_mmdb(data, str(chosen))
        return cls(Image(memoryview(data), str(chosen)))

    @classmethod
    def missing(cls, path: str | Path | None = None) -> Database:
        """Return what stands in for a database that cannot be used.

        A public address has the status ``no_data`` in it; a private one is private all the same.
        """
        layers = Layers.of({})
        painting = paint(layers.country, layers.network)
        cells, root4, root6 = grow(painting.ipv4, painting.ipv6)
        told = {str(Status.UNKNOWN): str(Status.NO_DATA)}
        meta = {
            "built": _NEVER.isoformat(),
            "roots": [root4, root6],
            "runs": [len(painting.ipv4.value), len(painting.ipv6.value)],
            "classes": [(told.get(status, status), *rest) for status, *rest in painting.classes],
            "sources": [
                {
                    "name": "none",
                    "title": "no data",
                    "layer": "country",
                    "date": _NEVER.date().isoformat(),
                    "licence": "-",
                    "attribution": "-",
                    "rows": [0, 0],
                    "ages": False,
                }
            ],
        }
        sections = {"meta": json.dumps(meta).encode(), "cells": cells.tobytes()}
        data = encode(sections | layers.origins())
        return cls(Image(memoryview(data), str(DEFAULT_IMAGE if path is None else path)))

    @property
    def is_missing(self) -> bool:
        """Whether this only stands in for a database that cannot be used."""
        return any(location.status is Status.NO_DATA for location in self._locations)

    @property
    def classes(self) -> tuple[Location, ...]:
        """What each class id of the table means."""
        return self._locations

    def digest(self, *, with_asns: bool = False) -> bytes:
        """Return the SHA-256 of what the table holds and what it means: what lookups depend on.

        What :meth:`asn_networks` depends on is in it only if asked for.
        """
        digest = hashlib.sha256(self._image.section("meta"))
        digest.update(self._image.section("cells"))
        for section in self._record.sections("asn") if with_asns else ():
            digest.update(self._image.section(section))
        return digest.digest()

    @property
    def asns(self) -> frozenset[int]:
        """The AS numbers that the data knows.

        Raises:
            FormatError: if the record of them is damaged.
        """
        if self._asns is None:  # no cached_property: in 3.11 that has a lock, which a fork inherits
            self._asns = frozenset(map(self._as_number, self._record.values("asn")))
        return self._asns

    @property
    def claimants(self) -> Mapping[Category, frozenset[str]]:
        """The categories that the data tells of networks, with the names of their sources.

        Raises:
            FormatError: if the record of them is damaged.
        """
        if self._claimants is None:
            try:
                self._claimants = self._record.claimants()
            except ValueError as error:
                raise FormatError(f"{self._image.name}: damaged record: {error}") from error
        return self._claimants

    def asn_networks(self, numbers: Iterable[int]) -> dict[int, NetworkList]:
        """Return the ranges of some AS numbers, in one pass; one that is not known has none.

        Raises:
            FormatError: if the record of AS numbers is damaged.
        """
        found = {number: NetworkList(Columns.empty(), Columns.empty()) for number in numbers}
        for _, (version, columns, values) in self._record.batches("asn") if found else ():
            wanted = [found.get(self._as_number(value)) for value in values]
            for at, value in enumerate(columns.value):
                networks = wanted[value]
                if networks is not None:
                    into = networks.ipv4 if version == 4 else networks.ipv6
                    into.append_row(columns, at, 1)
        return found

    def _as_number(self, said: str) -> int:
        number = asns.parse(said)
        if number is None:
            raise FormatError(f"{self._image.name}: damaged: {said!r} is no AS number")
        return number

    def lookup(self, address: str | IPv4Address | IPv6Address) -> Location:
        """Return all that is known of an address; text that is none has status ``unresolved``."""
        number = number_of(address)
        if number is None:
            return Location(status=Status.UNRESOLVED)
        carried = self.carried(*number)
        if carried is None:
            return self._locations[self.table.find_value(*number)]
        location = self._locations[self.table.find_value(4, carried)]
        return replace(location, via=self.via(number[1]))

    def lookup_many(self, addresses: Any) -> Locations:
        """Return what is known of many addresses: the same as ``lookup`` of each, and faster.

        ``addresses`` is an iterable of ``str``, a NumPy array (or another buffer) of text of fixed
        width, of ``uint32`` (IPv4) or of rows of 4 or 16 ``uint8`` (packed addresses), or an Arrow
        column of text, ``uint32`` or fixed-size binary; null is no address. Neither library is
        needed. The compiled core gives up the interpreter's lock meanwhile.

        Raises:
            TypeError: if an item is not text, or a buffer or column is of another form.
        """
        indices = find_many(self.table, self._marks, addresses)
        return Locations(memoryview(indices).toreadonly(), self._many())

    def _many(self) -> tuple[Location, ...]:
        """What :func:`georestrict._core.find_many` answers: as it is, through each way, unknown."""
        if self._found is not None:
            return self._found
        through = (
            replace(location, via=via)
            for via in (None, *(name for _, name in LOOKED_THROUGH))
            for location in self._locations
        )
        self._found = (*through, Location(status=Status.UNRESOLVED))
        return self._found

    def via(self, value: int) -> str | None:
        """Return the name of the looked-through network that an IPv6 address is in, if any."""
        address = IPv6Address(value)
        names = (name for network, name in LOOKED_THROUGH if address in IPv6Network(network))
        return next(names, None)

    def carried(self, version: int, value: int) -> int | None:
        """Return the IPv4 address that an IPv6 address is looked through to, if it is.

        One that is not globally reachable is not looked at: the outer address stands, as private.
        """
        if version == 4 or not self.looked_through[self.table.find_value(version, value)]:
            return None
        inner = embedded_ipv4(value)
        return None if inner is None or is_private(4, inner) else inner

    def matches(self, address: str | IPv4Address | IPv6Address) -> tuple[Match, ...]:
        """Return the ranges that hold an address, with their sources: slow, for people.

        There may be one for each layer, and in ``network`` one for each category: also for those
        that are not told of a relay.
        """
        number = number_of(address)
        if number is None:
            return ()
        version, value = number
        carried = self.carried(version, value)
        if carried is not None:
            version, value = 4, carried
        kind = IPv4Address if version == 4 else IPv6Address
        return tuple(
            Match(
                layer,
                row.said,
                kind(row.first),
                kind(row.last),
                row.source,
                row.line,
                self._record.dates.get(row.source),
            )
            for layer in LAYERS
            for row in self._record.find(layer, version, value)
        )

    def verify(self) -> None:
        """Derive the table anew from the recorded ranges and compare it with the stored one.

        Opening has checked the checksums and the bounds already.

        Raises:
            FormatError: if the table does not hold what the recorded ranges say.
        """
        self.asn_networks(self.asns)
        try:
            claims = Claims(self._record.batches("network"))
        except ValueError as error:
            raise FormatError(f"{self._image.name}: damaged record: {error}") from error
        painting = paint(Layer(self._record.batches("country")), claims)
        described = read_meta(self._image)["classes"]
        known = {tuple(meaning): number for number, meaning in enumerate(described)}
        try:
            labels = [known[meaning] for meaning in painting.classes]
        except KeyError as error:
            raise FormatError(f"{self._image.name}: no class means {error.args[0]}") from error
        derived = [relabel(runs, labels) for runs in (painting.ipv4, painting.ipv6)]
        for version, runs in zip((4, 6), derived, strict=True):
            if self.table.runs(version) != runs:
                raise FormatError(
                    f"{self._image.name}: the IPv{version} table is not what the recorded "
                    "ranges give"
                )
        if grow(*derived)[0].tobytes() != bytes(self._image.section("cells")):
            raise FormatError(f"{self._image.name}: the cells are not those that the ranges give")

    def __repr__(self) -> str:
        if self.is_missing:
            return f"Database({self.metadata.path!r}, no data)"
        newest = max(source.date for source in self.metadata.sources)
        return f"Database({self.metadata.path!r}, data of {newest})"


def number_of(address: str | IPv4Address | IPv6Address) -> tuple[int, int] | None:
    """Return ``(version, value)``, IPv4-mapped IPv6 being IPv4; None for other text."""
    return parse_address(address) if isinstance(address, str) else number_of_ip(address)


def number_of_ip(address: IPv4Address | IPv6Address) -> tuple[int, int]:
    """Return ``(version, value)`` of an address object, IPv4-mapped IPv6 being IPv4."""
    if not isinstance(address, IPv4Address | IPv6Address):
        raise TypeError(
            f"an address is text, IPv4Address or IPv6Address, not {type(address).__name__}"
        )
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


def _locations(classes: Iterable[tuple[str, str, str]]) -> tuple[Location, ...]:
    """Read the classes of an image's metadata; few places and claims make thousands of them."""
    status_of, place_of, said_of = cache(_status), cache(_place), cache(_said)
    return tuple(
        Location(
            country=place_of(place)[0],
            subdivision=place_of(place)[1],
            categories=said_of(network)[0],
            provider=said_of(network)[1],
            status=status_of(status),
        )
        for status, place, network in classes
    )


def _status(told: str) -> Status:
    return Status.PRIVATE if told == "looked-through" else Status(told)


def _place(code: str) -> tuple[str | None, str | None]:
    subdivision = subdivisions.normalise(code)
    country = countries.normalise(code[:2] if subdivision else code)
    return (
        sys.intern(country) if country else None,
        sys.intern(subdivision) if subdivision else None,
    )


def _said(network: str) -> tuple[Mapping[Category, Confidence], str | None]:
    claims = parse_claims(network) if network else ()
    provider = next((claim.provider for claim in claims if claim.provider), None)
    return (
        _categories(tuple((claim.category, claim.confidence) for claim in claims)),
        sys.intern(provider) if provider else None,
    )


@cache  # one for each set of claims that there is, whoever the providers are
def _categories(said: tuple[tuple[Category, Confidence], ...]) -> Mapping[Category, Confidence]:
    return MappingProxyType(dict(said))
