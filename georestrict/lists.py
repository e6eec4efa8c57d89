"""The policy's lists, networks and AS numbers, painted over a database.

Every list, every set of networks that a rule or an exception names, and every AS number that one
names is one more layer over the database's runs. The result is a table of its own, in which an
address's class tells its class in the database and the labels of what holds it.

Painting over the default data takes 70 ms and 49 MiB, however few the networks. So unless lists and
data are small, the painted image lies in the cache folder, where a second worker maps it instead of
painting: with 1,000,000 networks an engine starts in 0.17 s instead of 0.82 s. (2-core x86 server,
compiled core; benchmarks/results/build.json.)
"""

from __future__ import annotations

import hashlib
import json
import logging
import stat
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from georestrict import cache
from georestrict._core import Columns, Runs, Table, grow, merge, parse_network, relabel, resolve
from georestrict.coverage import check_coverage
from georestrict.database import Database, Match
from georestrict.errors import ConfigurationError, FormatError
from georestrict.labels import AsnLabel, Label, LabelSets, ListLabel, NetworksLabel
from georestrict.policy import Policy
from georestrict.sources import Remark, parse_list, remarks
from georestrict.sources.networks import NetworkList
from georestrict.table import Image, encode
from georestrict.tomlfile import files_of, hash_file, read_bytes

logger = logging.getLogger("georestrict")

#: From how many bytes of lists, or of the database's image, the painted image is kept for others.
#: A test's tiny database is painted faster than a file is written.
SHARED_FROM_BYTES = 16 * 1024
SHARED_FROM_IMAGE_BYTES = 1 << 20
#: How many different sets of lists may hold somewhere. Never more than there are ends of ranges:
#: 1,000,000 ranges of which each meets fifty others' lists make two million, and painting these
#: takes 1.1 GB and 20 s. Ordinary lists of that size make some thousands.
MOST_SETS = 1 << 22
_FORMAT = 4  # of the sections below


class LoadedFile(NamedTuple):
    """A file of a list as it was read."""

    path: Path
    networks: NetworkList
    text: bytes = b""  #: what it holds, if that is kept


class LoadedList(NamedTuple):
    """A list as it was read."""

    files: list[LoadedFile]
    digest: bytes  #: SHA-256 of its file, or of the digests of its folder's files

    @property
    def networks(self) -> NetworkList:
        """The networks of all files; their lines do not say of which."""
        if len(self.files) == 1:
            return self.files[0].networks
        joined = NetworkList(Columns.empty(), Columns.empty())
        for _, networks, _ in self.files:
            for columns, more in ((joined.ipv4, networks.ipv4), (joined.ipv6, networks.ipv6)):
                for column, values in zip(columns, more, strict=True):
                    column.extend(values)
        return joined

    @property
    def entries(self) -> int:
        """How many entries there are, with those that have ended."""
        return sum(len(networks) + networks.ended for _, networks, _ in self.files)


class Painting(NamedTuple):
    """A table, and what each of its classes means.

    A meaning is a class of the database and a set of members, which have a label each: an index of
    ``sets``. A set is a number whose bits say which members belong to it.
    """

    cells: array[int]
    root4: int
    root6: int
    classes: array[int]  #: class of the database
    held: array[int]  #: index of a set
    sets: list[int]


class Lists:
    """The lists, networks and AS numbers of a policy, painted over a database.

    Raises:
        ConfigurationError: if a list cannot be read, has a bad line, or is empty and must not be;
            if the database cannot answer what the policy asks.
    """

    table: Table
    bases: Sequence[int]  #: for each class of the table its class of the database …
    held: Sequence[int]  #: … and which of ``sets`` holds there
    sets: LabelSets
    since: float = -inf  #: when the last of their entries ended that have, and …
    until: float = inf  #: … when the first of the others ends, in seconds since the epoch

    def __init__(
        self, policy: Policy, database: Database, clock: Callable[[], float] = time.time
    ) -> None:
        check_coverage(policy, database)
        self._at = clock() if policy.lists else -inf  # when: it tells which entries have ended
        self._policy, self._database = policy, database
        conditions = policy.conditions
        # The same networks in several conditions are painted once; all of them need no paint.
        self._networks = [
            *dict.fromkeys(
                words.networks for words in conditions if words.networks and not words.anywhere
            )
        ]
        self._asns = sorted({number for words in conditions for number in words.asns})
        self._labels: list[Label] = [
            *map(ListLabel, policy.lists),
            *map(NetworksLabel, self._networks),
            *map(AsnLabel, self._asns),
        ]
        self._kept: dict[str, LoadedList] = {}
        self._digests: Sequence[bytes] = ()
        if not self._labels:
            self.table = database.table
            count = len(database.classes)
            self._name(array("I", range(count)), array("I", bytes(4 * count)), self._sets([0]))
        elif self._worth_sharing():
            digests = [self._digest(name) for name in policy.lists]
            cache.shared(
                "lists", self._key(digests), self._read, self._build, "the lists in memory"
            )
        else:
            self._kept = {name: self._load(name, keep=True) for name in policy.lists}
            self._digests = [loaded.digest for loaded in self._kept.values()]
            self.since, self.until = _since(self._kept.values()), _until(self._kept.values())
            painting = self._paint(self._kept.values())
            self.table = Table(*painting[:3], len(painting.classes))
            self._name(painting.classes, painting.held, self._sets(painting.sets))

    def matches(self, addresses: Sequence[tuple[int, int]]) -> Iterator[Match]:
        """Yield the lines of the lists that hold one of some addresses: slow, for people.

        Lists that are shared are not kept by each process: those that hold one are read again.
        """
        held = {
            label.name
            for address in addresses
            for label in self.sets[self.held[self.table.find_value(*address)]]
            if isinstance(label, ListLabel)
        }
        for number, (name, source) in enumerate(self._policy.lists.items()):
            if name not in held:
                continue
            loaded = self._kept.get(name)
            if loaded is None:
                try:
                    loaded = self._load(name, keep=True)
                except ConfigurationError as error:
                    logger.warning("the lines of list %r cannot be told: %s", name, error)
                    continue
                if loaded.digest != self._digests[number]:
                    logger.warning(
                        "%s has changed since it was put in force, so its lines cannot be told; "
                        "reload to put it in force as it is now",
                        source.path,
                    )
                    continue
            for file in loaded.files:
                yield from _matching(name, file, addresses)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what the lists hold."""
        return hashlib.sha256(b"".join(self._digests)).digest()

    def _place(self, name: str) -> str:
        return f"{self._policy.place}: lists.{name}.path"

    def _load(self, name: str, *, keep: bool = False) -> LoadedList:
        """Read one of the lists."""
        loaded = load(self._policy.lists[name].path, self._place(name), self._at, keep=keep)
        self._check_not_empty(name, loaded.entries)
        return loaded

    def _digest(self, name: str) -> bytes:
        """Return the digest that reading one of the lists would give."""
        place, path = self._place(name), self._policy.lists[name].path
        return _joined([hash_file(each, place) for each in files_of(path, place)])

    def _check_not_empty(self, name: str, count: int) -> None:
        source = self._policy.lists[name]
        if not count and not source.allow_empty:
            raise ConfigurationError(
                f"{self._place(name)}: {source.path} has no networks, so its rules would match "
                f"nothing; fill it, or set allow_empty = true under [lists.{name}]"
            )

    def _paint(self, lists: Iterable[LoadedList]) -> Painting:
        """Lay the lists, networks and AS numbers over the database's runs."""
        members = self._members(lists)
        try:
            return paint(self._database, members)
        except OverflowError as error:
            count = sum(len(networks) for networks in members)
            raise ConfigurationError(
                f"{self._policy.place}: its {len(members):,} lists and sets of networks, with "
                f"{count:,} ranges, do not fit into one table: {error}; leave out lists, or join "
                "those that the same rules name"
            ) from error

    def _members(self, lists: Iterable[LoadedList]) -> list[NetworkList]:
        """Return what is painted, in the order of the labels."""
        announced = self._database.asn_networks(self._asns)
        return [
            *(loaded.networks for loaded in lists),
            *map(parsed_networks, self._networks),
            *(announced[number] for number in self._asns),
        ]

    def _worth_sharing(self) -> bool:
        """Whether there is so much that others should not have to paint it again.

        What is no regular file can be read once only.
        """
        size = sum(len(text) + 1 for texts in self._networks for text in texts)
        for source in self._policy.lists.values():
            try:
                held = [path.stat() for path in files_of(source.path)]
            except (OSError, ValueError):
                return False  # reading it tells what is wrong
            if not all(stat.S_ISREG(status.st_mode) for status in held):
                return False
            size += sum(status.st_size for status in held)
        image_size = self._database.metadata.size_bytes
        return size >= SHARED_FROM_BYTES or image_size >= SHARED_FROM_IMAGE_BYTES

    def _key(self, digests: Iterable[bytes]) -> str:
        written = ("\n".join(texts).encode() for texts in self._networks)
        members = [*digests, *(hashlib.sha256(text).digest() for text in written)]
        counts = _FORMAT, len(self._policy.lists), len(self._networks)
        kinds = b"%d: %d lists, %d networks" % counts
        numbers = ",".join(map(str, self._asns)).encode()
        data = self._database.digest(with_asns=bool(self._asns))
        return cache.key_of([kinds, numbers, data, *members])

    def _build(self) -> tuple[str, bytes]:
        """Read and paint; return the key of what was read, and an image.

        A list without a bad line is not parsed again: the key proves that it was without one.
        """
        loaded = [self._load(name) for name in self._policy.lists]
        key = self._key(each.digest for each in loaded)
        painting = self._paint(loaded)
        meta = {
            "key": key,
            "roots": [painting.root4, painting.root6],
            "lists": [[each.entries, each.digest.hex()] for each in loaded],
            "since": None if (since := _since(loaded)) == -inf else since,
            "until": None if (until := _until(loaded)) == inf else until,
        }
        sections: dict[str, bytes | memoryview] = {
            "meta": json.dumps(meta).encode(),
            "classes": _bytes(painting.classes),
            "held": _bytes(painting.held),
            "sets": self._sets(painting.sets).packed,
            "cells": _bytes(painting.cells),
        }
        return key, encode(sections)

    def _read(self, image: Image) -> None:
        """Take the table from an image, and check everything that it says.

        Raises:
            FormatError: if it is damaged, or of a time when other entries had ended.
        """
        try:
            meta = json.loads(bytes(image.section("meta")))
            classes = image.section("classes").cast("I")
            held = image.section("held").cast("I")
            sets = LabelSets(self._labels, image.section("sets"))
            digests = [bytes.fromhex(digest) for _, digest in meta["lists"]]
            counts = [int(count) for count, _ in meta["lists"]]
            if meta["key"] != self._key(digests) or len(digests) != len(self._policy.lists):
                raise ValueError("it was painted from something else")
            since, until = meta["since"], meta["until"]
            holds = (since is None or since <= self._at) and (until is None or self._at < until)
            if len(classes) != len(held) or max(classes) >= len(self._database.classes):
                raise ValueError("its classes are not those of the database")
            if max(held) >= len(sets):
                raise ValueError("a class has a set of labels that there is not")
            root4, root6 = meta["roots"]
            table = Table(image.section("cells"), root4, root6, len(classes))
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise FormatError(f"{image.name}: damaged: {error}") from error
        if not holds:
            raise FormatError(f"{image.name}: an entry of a list has ended since it was painted")
        for name, count in zip(self._policy.lists, counts, strict=True):
            self._check_not_empty(name, count)
        self.table, self._digests = table, digests
        self.since, self.until = -inf if since is None else since, inf if until is None else until
        self._name(classes, held, sets)

    def _sets(self, sets: Iterable[int]) -> LabelSets:
        return LabelSets.of(self._labels, sets)

    def _name(self, bases: Sequence[int], held: Sequence[int], sets: LabelSets) -> None:
        self.bases, self.held, self.sets = bases, held, sets


def load(path: Path, place: str = "", at: float | None = None, *, keep: bool = False) -> LoadedList:
    """Read a list: a file, or the files of a folder; ``at`` says when, to leave out what ended.

    With ``keep`` the files' text is kept, which tells the remarks of their entries.

    Raises:
        ConfigurationError: if it or an entry cannot be read; ``place`` says where it is named.
    """
    files: list[LoadedFile] = []
    digests = []
    for each in files_of(path, place):
        data = read_bytes(each, place)
        digests.append(hashlib.sha256(data).digest())
        try:
            networks = parse_list(data, str(each), at)
        except FormatError as error:
            raise ConfigurationError(f"{place}: {error}" if place else str(error)) from error
        files.append(LoadedFile(each, networks, data if keep else b""))
    return LoadedList(files, _joined(digests))


def _since(lists: Iterable[LoadedList]) -> float:
    """Return when the last of the entries that have ended did."""
    return max((file.networks.since for each in lists for file in each.files), default=-inf)


def _until(lists: Iterable[LoadedList]) -> float:
    """Return when the first of the entries ends."""
    return min((file.networks.until for each in lists for file in each.files), default=inf)


def _joined(digests: list[bytes]) -> bytes:
    return digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()


def parsed_networks(texts: Iterable[str]) -> NetworkList:
    """Return the networks that a rule or an exception names, which were checked before."""
    networks = NetworkList(Columns.empty(), Columns.empty())
    for text in texts:
        version, first, last = parse_network(text)
        columns = networks.ipv4 if version == 4 else networks.ipv6
        columns.append_native(version, first, last, 1)
    return networks


def paint(database: Database, members: Sequence[NetworkList]) -> Painting:
    """Lay lists over the database's runs.

    Raises:
        OverflowError: if they make more sets, classes or cells than there may be.
    """
    sets: dict[int, int] = {0: 0}
    classes: dict[tuple[int, int], int] = {}
    painted: list[Runs] = []
    for version in (4, 6):
        layers = [
            (resolve(networks.ipv4 if version == 4 else networks.ipv6), [0, 1 << at])
            for at, networks in enumerate(members)
        ]
        while len(layers) > 1:  # in pairs: each network is merged log2(layers) times
            layers = [
                _merged(*layers[at], *layers[at + 1]) if at + 1 < len(layers) else layers[at]
                for at in range(0, len(layers), 2)
            ]
        above, meanings = layers[0]
        held = [sets.setdefault(meaning, len(sets)) for meaning in meanings]
        runs, pairs = merge(database.table.runs(version), above)
        numbers = [classes.setdefault((left, held[right]), len(classes)) for left, right in pairs]
        painted.append(relabel(runs, numbers))
    return Painting(
        *grow(*painted),
        array("I", (number for number, _ in classes)),
        array("I", (at for _, at in classes)),
        list(sets),
    )


def _merged(
    left: Runs, left_sets: Sequence[int], right: Runs, right_sets: Sequence[int]
) -> tuple[Runs, list[int]]:
    runs, pairs = merge(left, right)
    if len(pairs) > MOST_SETS:
        raise OverflowError(f"{len(pairs):,} different sets of them hold somewhere")
    return runs, [left_sets[a] | right_sets[b] for a, b in pairs]


def _bytes(numbers: array[int]) -> memoryview:
    return memoryview(numbers).cast("B")


def _matching(name: str, file: LoadedFile, addresses: Iterable[tuple[int, int]]) -> Iterator[Match]:
    """Yield the entries of a list's file that hold one of some addresses."""
    found = [
        (first, last, line)
        for version, value in addresses
        for first, last, line in _holding(
            file.networks.ipv4 if version == 4 else file.networks.ipv6, version, value
        )
    ]
    said = remarks(file.text, str(file.path), {line for _, _, line in found}) if found else {}
    for first, last, line in found:
        remark = said.get(line, Remark())
        match = Match("list", name, first, last, str(file.path), line)
        yield match._replace(note=remark.note, until=remark.until)


def _holding(columns: Columns, version: int, value: int) -> Iterable[tuple[Any, Any, int]]:
    """Yield the ends and the line of every range that holds an address."""
    kind, shift = (IPv4Address, 96) if version == 4 else (IPv6Address, 0)
    for first_high, first_low, last_high, last_low, _, line in zip(*columns, strict=True):
        first, last = (first_high << 64 | first_low) >> shift, (last_high << 64 | last_low) >> shift
        if first <= value <= last:
            yield kind(first), kind(last), line
