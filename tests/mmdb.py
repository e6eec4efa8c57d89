"""MMDB files for tests, as their publishers shape them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

from mmdb_writer import MMDBWriter, SearchTreeNode
from netaddr import IPSet


def write(
    path: Path,
    records: Iterable[tuple[str, Any]],
    *,
    ip_version: int = 6,
    kind: str = "Test-City",
    aliases: Iterable[str] = (),
) -> Path:
    """Write networks and their records, the wider ones first; return the path."""
    writer = MMDBWriter(
        ip_version=ip_version,
        ipv4_compatible=ip_version == 6,
        database_type=kind,
        languages=["en"],
        description={"en": f"{kind} for tests"},
        int_type="u32",
    )
    for network, record in records:
        writer.insert_network(IPSet([network]), record)
    for bits in aliases:
        _alias(writer.tree, bits)
    writer.to_db_file(str(path))
    return path


def _alias(root: SearchTreeNode, bits: str) -> None:
    """Let a prefix, given in bits, lead to the IPv4 addresses, as MaxMind's writer does."""
    ipv4: Any = root
    for _ in range(96):
        ipv4 = ipv4[0]
    node: Any = root
    for bit in bits[:-1]:
        node = node.get_or_create(int(bit))
    node[int(bits[-1])] = ipv4


def maxmind(
    country: str | None, region: str | None = None, *, registered: str | None = None
) -> dict[str, Any]:
    """A record as MaxMind has it."""
    record: dict[str, Any] = {"continent": {"code": "EU"}}
    if country:
        record["country"] = {"iso_code": country, "names": {"en": "…"}}
    if region:
        record["subdivisions"] = [{"iso_code": region, "names": {"en": "…"}}, {"iso_code": "X"}]
    if registered:
        record["registered_country"] = {"iso_code": registered}
    return record


def dbip(country: str, region: str) -> dict[str, Any]:
    """A record as DB-IP has it: regions have names only."""
    return {
        "country": {"iso_code": country},
        "subdivisions": [{"names": {"en": region}}],
        "city": {"names": {"en": "Sevastopol"}},
    }


MARKER = b"\xab\xcd\xefMaxMind.com"
EPOCH = 1_782_000_000  # June 2026
_NOTHING = -1  # in a tree that is built; a record n is -2 - n
_EXTENDED = 7
_UINT16, _UINT32, _MAP, _UINT64, _ARRAY, _BOOLEAN, _DOUBLE, _TEXT = 5, 6, 7, 9, 11, 14, 3, 2


class Raw(NamedTuple):
    """Bytes that stand in a data section as they are."""

    data: bytes


class Network(NamedTuple):
    """A network that has a record; ``first`` is a number of its version."""

    version: int
    first: int
    length: int
    record: int  #: an index

    @classmethod
    def of(cls, text: str, record: int) -> Network:
        """Read a network."""
        net = ip_network(text)
        return cls(net.version, int(net.network_address), net.prefixlen, record)


def image(
    networks: Iterable[tuple[str, Any]],
    *,
    aliases: Iterable[str] = (),
    ip_version: int = 6,
    record_size: int = 28,
    pointers: bool = True,
    about: Mapping[str, Any] | None = None,
) -> bytes:
    """Return an MMDB file; the wider networks come first. What ``write`` cannot do, this can."""
    given = [*networks]
    numbered = [Network.of(text, at) for at, (text, _) in enumerate(given)]
    tree = Tree(numbered, ip_version, aliases)
    return assemble(tree, [record for _, record in given], record_size, pointers, about)


class Tree:
    """A search tree on its way into a file: half a million networks take seconds."""

    def __init__(
        self, networks: Iterable[Network], ip_version: int = 6, aliases: Iterable[str] = ()
    ) -> None:
        self.ip_version = ip_version
        self.children: list[list[int]] = [[_NOTHING, _NOTHING]]
        self._path = [0]  # the nodes towards the network before, whose bits these are
        self._bits, self._depth = 0, 0
        width = 128 if ip_version == 6 else 32
        for version, first, length, record in networks:
            self._insert(first >> (32 if version == 4 else 128) - length, length + width - 32 if version == 4 else length, -2 - record)  # fmt: skip
        for prefix in aliases:
            self._insert(int(prefix, 2), len(prefix), self._node("0" * 96))

    def _node(self, prefix: str) -> int:
        at = 0
        for bit in prefix:
            at = self.children[at][int(bit)]
        return at

    def _insert(self, bits: int, depth: int, value: int) -> None:
        shared = min(depth, self._depth) - 1
        differing = (bits >> max(0, depth - self._depth)) ^ (
            self._bits >> max(0, self._depth - depth)
        )
        shared = max(0, min(shared, min(depth, self._depth) - differing.bit_length()))
        path, children = self._path[: shared + 1], self.children
        at = path[-1]
        for place in range(depth - shared - 1, 0, -1):
            pair, bit = children[at], bits >> place & 1
            if pair[bit] < 0:  # a wider network, or nothing, goes on in both halves
                children.append([pair[bit], pair[bit]])
                pair[bit] = len(children) - 1
            at = pair[bit]
            path.append(at)
        children[at][bits & 1] = value
        self._path, self._bits, self._depth = path, bits, depth


def assemble(
    tree: Tree,
    records: Iterable[Any],
    record_size: int = 28,
    pointers: bool = True,
    about: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the file of a tree and what its records are; ``about`` says otherwise of itself."""
    section = Section(pointers)
    places = [section.add(record) for record in records]
    nodes = len(tree.children)

    def numbered(child: int) -> int:
        if child >= 0:
            return child
        return nodes if child == _NOTHING else nodes + 16 + places[-2 - child]

    return b"".join(
        (
            packed(
                [(numbered(left), numbered(right)) for left, right in tree.children], record_size
            ),
            bytes(16),
            section.data,
            metadata(nodes, record_size, tree.ip_version, about),
        )
    )


def packed(pairs: Iterable[tuple[int, int]], record_size: int) -> bytes:
    """Return nodes as a file has them."""
    if record_size == 24:
        return b"".join(
            struct.pack(">I", left)[1:] + struct.pack(">I", right)[1:] for left, right in pairs
        )
    if record_size == 32:
        return b"".join(struct.pack(">II", left, right) for left, right in pairs)
    return b"".join(
        (left & 0xFFFFFF).to_bytes(3)
        + (left >> 24 << 4 | right >> 24).to_bytes(1)
        + (right & 0xFFFFFF).to_bytes(3)
        for left, right in pairs
    )


def metadata(
    nodes: int, record_size: int, ip_version: int, about: Mapping[str, Any] | None = None
) -> bytes:
    """Return the end of a file, with its marker."""
    said: dict[str, Any] = {
        "node_count": nodes,
        "record_size": Raw(number(_UINT16, record_size)),
        "ip_version": Raw(number(_UINT16, ip_version)),
        "database_type": "Test-City",
        "languages": ["en"],
        "binary_format_major_version": Raw(number(_UINT16, 2)),
        "binary_format_minor_version": Raw(number(_UINT16, 0)),
        "build_epoch": Raw(number(_UINT64, EPOCH)),
        "description": {"en": "for tests"},
    }
    return MARKER + Section(pointers=False).added(said | dict(about or {}))


class Section:
    """A data section that grows; what it holds already is pointed to."""

    def __init__(self, pointers: bool = True) -> None:
        self.data = bytearray()
        self._pointers = pointers
        self._seen: dict[str, int] = {}

    def added(self, value: Any) -> bytes:
        """Add a value; return the whole section."""
        self.add(value)
        return bytes(self.data)

    def add(self, value: Any) -> int:
        """Add a value, or find it; return where it lies."""
        at = self._seen.get(repr(value)) if self._pointers else None
        if at is not None:
            return at
        at = len(self.data)
        self._put(value, outer=True)
        return at

    def _put(self, value: Any, *, outer: bool = False) -> None:
        if self._pointers and isinstance(value, str | dict | list) and len(value) > 1:
            at = self._seen.setdefault(repr(value), len(self.data))
            if at < len(self.data) and not outer:
                self.data += pointer(at)
                return
        match value:
            case Raw():
                self.data += value.data
            case bool():
                self.data += header(_BOOLEAN, int(value))
            case int():
                self.data += number(_UINT32 if value < 1 << 32 else _UINT64, value)
            case float():
                self.data += header(_DOUBLE, 8) + struct.pack(">d", value)
            case str():
                text = value.encode()
                self.data += header(_TEXT, len(text)) + text
            case dict():
                self.data += header(_MAP, len(value))
                for key, item in value.items():
                    self._put(key)
                    self._put(item)
            case list():
                self.data += header(_ARRAY, len(value))
                for item in value:
                    self._put(item)
            case _:
                raise TypeError(value)


def number(kind: int, value: int) -> bytes:
    """Return a number of a type."""
    digits = value.to_bytes((value.bit_length() + 7) // 8)
    return header(kind, len(digits)) + digits


def header(kind: int, size: int) -> bytes:
    """Return how a value of a type and size begins."""
    size, more = (
        (size, b"") if size < 29
        else (29, (size - 29).to_bytes(1)) if size < 285
        else (30, (size - 285).to_bytes(2)) if size < 65821
        else (31, (size - 65821).to_bytes(3))
    )  # fmt: skip
    if kind > _EXTENDED:
        return bytes((size, kind - _EXTENDED)) + more
    return bytes((kind << 5 | size,)) + more


def pointer(at: int) -> bytes:
    """Return a pointer to a place in the data section, in the fewest bytes."""
    if at < 2048:
        return (1 << 13 | at).to_bytes(2)
    if at < 526336:
        return (0x28 << 16 | at - 2048).to_bytes(3)
    if at < 134744064:
        return (0x30 << 24 | at - 526336).to_bytes(4)
    return b"\x38" + at.to_bytes(4)
