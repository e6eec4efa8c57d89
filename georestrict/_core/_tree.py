"""The search tree of an MMDB file, in plain Python: the twin of ``tree.pxi``.

A node holds two records of 24, 28 or 32 bits, one for each next bit of an address (MaxMind DB
format 2.0, "Binary Search Tree Section"). A record below the number of nodes is a node, one equal
to it is nothing, one above it says where data lies. Two readings are of use: which data there is,
each told once however many networks share it; and then, when it is known what the data means, the
ranges of addresses that mean something, neighbours that mean the same as one.

IPv4 addresses lie at ``::/96`` of a tree for IPv6. There, and where writers alias them, nothing is
read as IPv6: mapped addresses are IPv4, and 6to4, Teredo and NAT64 are looked through.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from georestrict._core._text import Columns

_SEPARATOR = 16  # zero bytes between the tree and the data
_NOT_IPV6 = frozenset(  # length, first bits
    {
        (96, 0),
        (96, 0xFFFF),  # ::ffff:0:0/96, mapped
        (32, 0x2001_0000),  # 2001::/32, Teredo
        (16, 0x2002),  # 2002::/16, 6to4
        (96, 0x64_FF9B << 64),  # 64:ff9b::/96, NAT64
    }
)


class Tree:
    """A search tree at the beginning of some bytes.

    Raises:
        ValueError: if there is none of this size.
    """

    def __init__(self, data: bytes, nodes: int, record_size: int, ip_version: int) -> None:
        if record_size not in (24, 28, 32) or ip_version not in (4, 6):
            raise ValueError(f"records of {record_size} bits for IPv{ip_version}")
        size = record_size // 4
        if nodes < 0 or nodes * size + _SEPARATOR > len(data):
            raise ValueError(f"a tree of {nodes} nodes in {len(data)} bytes")
        self._data, self._nodes, self._bits, self._size = data, nodes, record_size, size
        self._version = ip_version
        self._numbers: dict[int, int] = {}
        self.networks = 0  #: how many hold data; known when the records are
        self.data_at = nodes * size + _SEPARATOR  #: where the data begins

    def records(self) -> array[int]:
        """Return where in the bytes each record lies, in the order of the first address.

        Raises:
            ValueError: if the tree leads back to itself, or out of the bytes.
        """
        self.networks = 0
        numbers: dict[int, int] = {}
        for _, _, _, record in self._leaves():
            self.networks += 1
            numbers.setdefault(record, len(numbers))
        self._numbers = numbers
        return array("Q", (record - self._nodes + self.data_at - _SEPARATOR for record in numbers))

    def ranges(self, labels: Sequence[int]) -> tuple[Columns, Columns]:
        """Return the ranges of IPv4 and of IPv6 addresses whose record has a label that is not 0.

        There is one label for each of :meth:`records`. A value is a label less one; a line the
        number, from 1, of the first network in the range, IPv4 before IPv6.
        """
        if len(labels) != len(self._numbers):
            raise ValueError(f"{len(labels)} labels for {len(self._numbers)} records")
        found = {4: Columns.empty(), 6: Columns.empty()}
        held: tuple[int, int, int, int, int] | None = None
        for line, (version, first, last, record) in enumerate(self._leaves(), 1):
            label = labels[self._numbers[record]]
            if held is not None:
                if (version, first - 1, label) == (held[0], held[2], held[3]):
                    held = (version, held[1], last, label, held[4])
                    continue
                found[held[0]].append(held[1], held[2], held[3] - 1, held[4])
            held = (version, first, last, label, line) if label else None
        if held is not None:
            found[held[0]].append(held[1], held[2], held[3] - 1, held[4])
        return found[4], found[6]

    def _leaves(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield version, first and last address, left-aligned, and the record's number."""
        if self._version == 4:
            yield from self._below(0, 4)
            return
        node, depth = 0, 0
        while depth < 96 and node < self._nodes:
            node, depth = self._children(node)[0], depth + 1
        yield from self._below(node, 4)
        yield from self._below(0, 6)

    def _below(self, root: int, version: int) -> Iterator[tuple[int, int, int, int]]:
        width, left_out = (32, frozenset()) if version == 4 else (128, _NOT_IPV6)
        # A tree has fewer visits than nodes, or nearly; one that leads back up would have no end.
        visits = 4 * self._nodes + 1000
        todo = [(root, 0, 0)]
        while todo:
            node, depth, prefix = todo.pop()
            if node == self._nodes or (depth, prefix) in left_out:
                continue
            if node > self._nodes:
                offset = node - self._nodes - _SEPARATOR
                if offset < 0 or self.data_at + offset >= len(self._data):
                    raise ValueError("its tree leads out of the data")
                first = prefix << (128 - depth)
                yield version, first, first | (1 << (128 - depth)) - 1, node
                continue
            visits -= 1
            if depth == width or visits < 0:
                raise ValueError("its tree leads back to itself")
            left, right = self._children(node)
            todo.append((right, depth + 1, prefix << 1 | 1))
            todo.append((left, depth + 1, prefix << 1))

    def _children(self, node: int) -> tuple[int, int]:
        at = node * self._size
        both = int.from_bytes(self._data[at : at + self._size], "big")
        if self._bits == 28:  # the middle byte holds the high bits of both, the left one's first
            return both >> 32 | (both >> 28 & 0xF) << 24, both & 0xFFF_FFFF
        return both >> self._bits, both & (1 << self._bits) - 1
