"""MMDB files (MaxMind DB format 2.0): country, subdivision, AS number, and what a network is for.

What a record means, ``meaning.py`` tells.

The tree is walked here, so that each record is decoded once, however many networks share it, and
what writers alias to the IPv4 addresses is not read again as IPv6. A row's line is the number of
its network in the file's order.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from georestrict.errors import FormatError
from georestrict.networks import Confidence
from georestrict.sources.meaning import Meaning, meaning_of
from georestrict.sources.row import Batch, Gathering

if TYPE_CHECKING:
    from maxminddb.reader import Metadata

_MARKER = b"\xab\xcd\xefMaxMind.com"
#: how far from the end the mark may be, says the format's specification
MARKER_WITHIN = 128 * 1024
# What is not read as IPv6, as length and first bits. IPv4 addresses lie at ::/96; the others are
# aliases of them in most files, and to us no IPv6 addresses: mapped ones are IPv4, the rest is
# looked through.
_NOT_IPV6 = frozenset(
    {
        (96, 0),
        (96, 0xFFFF),  # ::ffff:0:0/96, mapped
        (32, 0x2001_0000),  # 2001::/32, Teredo
        (16, 0x2002),  # 2002::/16, 6to4
        (96, 0x64_FF9B << 64),  # 64:ff9b::/96, NAT64
    }
)
_RECORD_SIZES = (24, 28, 32)


class Contents(NamedTuple):
    """What a file says, and what it says of itself."""

    kind: str  #: its type, such as ``GeoLite2-City``, fit for the name of a source
    title: str
    built: datetime
    layers: dict[str, list[Batch]]  #: ``country``, ``network`` and ``asn``, or some of them


def is_mmdb(data: bytes) -> bool:
    """Return whether bytes have the mark of an MMDB file."""
    return data.rfind(_MARKER, max(0, len(data) - MARKER_WITHIN)) >= 0


def read_batches(path: Path, layer: str, confidence: str = Confidence.MEDIUM) -> list[Batch]:
    """Return what a file says for a layer; its flags are trusted with this confidence.

    Raises:
        FormatError: if it is damaged, or says nothing for this layer.
    """
    return batches(path.read_bytes(), str(path), layer, confidence)


def batches(data: bytes, name: str, layer: str, confidence: str) -> list[Batch]:
    """Return what a file of which the content is known says for a layer.

    Raises:
        FormatError: if it is damaged, or says nothing for this layer.
    """
    layers = read(data, name, confidence).layers
    if layer not in layers:
        raise FormatError(f"{name}: says nothing for the layer {layer!r}, only for {[*layers]}")
    return layers[layer]


def read(data: bytes, name: str, confidence: str = Confidence.MEDIUM) -> Contents:
    """Read a whole file; its flags are trusted with this confidence.

    Raises:
        FormatError: if it is no MMDB, is damaged, or has neither country, AS number nor flags; what
            it has instead is told.
    """
    # imported here: it takes longer than the rest of the package, and most never read a MMDB
    from maxminddb import MODE_FD, InvalidDatabaseError, open_database

    try:
        with open_database(io.BytesIO(data), MODE_FD) as reader:
            about = reader.metadata()
        contents = _read(data, about, confidence)
    except (
        ArithmeticError,
        AttributeError,
        InvalidDatabaseError,
        LookupError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise FormatError(f"{name}: a damaged MMDB: {error}; fetch the file again") from error
    if isinstance(contents, str):
        raise FormatError(
            f"{name}: an MMDB of type {about.database_type!r}, but {contents}; expected "
            "country.iso_code, country_code, autonomous_system_number, asn, or flags such as "
            "is_anonymous_vpn, is_hosting_provider, vpn, hosting"
        )
    return contents


def _read(data: bytes, about: Metadata, confidence: str) -> Contents | str:
    """Return the contents of a file; or, if there is nothing that we can use, what there is."""
    from maxminddb.decoder import Decoder

    tree = _Tree(data, about.node_count, about.record_size, about.ip_version)
    decoder = Decoder(data, tree.data_at)
    meanings: dict[int, Meaning] = {}
    found = {layer: Gathering() for layer in Meaning._fields}
    told: set[str] = set()
    odd: object = None
    for line, (version, first, last, offset) in enumerate(tree.leaves(), 1):
        meaning = meanings.get(offset)
        if meaning is None:
            record = decoder.decode(offset)[0]
            odd = record if odd is None else odd
            meaning = meanings[offset] = meaning_of(record, confidence)
        for layer, value in zip(found, meaning, strict=True):
            if value:
                told.add(layer)
                found[layer].add(version, first, last, value, line)
    if not told:
        if isinstance(odd, Mapping):
            return f"its records have the keys {sorted(map(str, odd))}"
        return "it has no records" if odd is None else f"its records are such as {odd!r}"
    return Contents(
        "".join(each if each.isprintable() and each != " " else "-" for each in about.database_type)
        or "mmdb",
        str(about.description.get("en") or about.database_type),
        datetime.fromtimestamp(about.build_epoch, UTC),
        {layer: gathering.batches() for layer, gathering in found.items() if layer in told},
    )


class _Tree:
    """The search tree: nodes of two records, each a node, nothing, or where its data lies."""

    def __init__(self, data: bytes, nodes: int, record_size: int, ip_version: int) -> None:
        if record_size not in _RECORD_SIZES or ip_version not in (4, 6):
            raise ValueError(f"records of {record_size} bits for IPv{ip_version}")
        self._data, self._nodes, self._bits = data, nodes, record_size
        self._size = record_size // 4
        self._version = ip_version
        self.data_at = nodes * self._size + 16  #: where the data section begins

    def leaves(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield version, first and last address, and where in the file the record lies."""
        if self._version == 4:
            yield from self._below(0, 0, 0, 4, 32, frozenset())
            return
        node, depth = 0, 0
        while depth < 96 and node < self._nodes:
            node, depth = self._records(node)[0], depth + 1
        yield from self._below(node, 0, 0, 4, 32, frozenset())
        yield from self._below(0, 0, 0, 6, 128, _NOT_IPV6)

    def _below(
        self,
        node: int,
        depth: int,
        prefix: int,
        version: int,
        width: int,
        left_out: frozenset[tuple[int, int]],
    ) -> Iterator[tuple[int, int, int, int]]:
        # A tree has fewer visits than nodes, or nearly; one that leads back up would have no end.
        visits = 4 * self._nodes + 1000
        todo = [(node, depth, prefix)]
        while todo:
            node, depth, prefix = todo.pop()
            if node == self._nodes or (depth, prefix) in left_out:
                continue
            if node > self._nodes:
                first = prefix << (width - depth)
                last = first | (1 << (width - depth)) - 1
                yield version, first, last, node - self._nodes + self.data_at - 16
                continue
            visits -= 1
            if depth == width or visits < 0:
                raise ValueError("its tree leads back to itself")
            left, right = self._records(node)
            todo.append((right, depth + 1, prefix << 1 | 1))
            todo.append((left, depth + 1, prefix << 1))

    def _records(self, node: int) -> tuple[int, int]:
        at = node * self._size
        both = int.from_bytes(self._data[at : at + self._size], "big")
        if self._bits == 28:  # the middle byte holds the high bits of both, the left one's first
            return both >> 32 | (both >> 28 & 0xF) << 24, both & 0xFFF_FFFF
        return both >> self._bits, both & (1 << self._bits) - 1
