"""The radix trie in plain Python: its shape, its proof, its lookup. The twin of ``trie.pxi``.

The trie is one array of 32-bit *cells*. An address is read from its first bit on; a cell tells
what its remaining bits mean::

    31 30 | 29 .. 26 | 25 .......... 0
    kind  |   size   |      base           kinds 1 to 3: where the node begins, in cells
    0 0   |          value                 kind 0: the answer, a class id

* ``DENSE``: the next ``size + 1`` bits index an array of cells.
* ``NARROW``: ``1 << size`` sorted 16-bit keys, then as many 16-bit class ids. The next 16 bits
  are compared with the keys; the last key that is not greater has the answer.
* ``WIDE``: the same with a cell for each key, for what is deeper or does not fit in 16 bits.

So a node that holds few runs takes at most one cache line instead of a table, and where runs
stand close together a table divides them at once. No node reads across the middle of the address
(bit 64), so a lookup works on one machine word. Keys are left-aligned: where fewer than 16 bits
remain, zeros follow. Keys that fill a node up repeat the last answer.

A node lies behind its children, and equal nodes are stored once. That makes the proof
one pass: from the last cell down, every node's size is known before it is met, its children lie
before it and are strictly deeper, and no two nodes overlap. What passes cannot read out of
bounds nor run in circles, so the lookup checks nothing.

Why this shape: candidates were built in C++ over the runs of the default image (409,792 IPv4,
317,159 IPv6) and called from Python: ``str`` in, the core's parser, the table, a ready object out.
The figures are nanoseconds a call, the loop's 4 to 15 included: 10^6 addresses, medians of 15
interleaved rounds of CPU time. Behind the stroke: 40 calls a round, each after every line of the
table was flushed (``clflushopt``) and 16,384 other pages were touched (TLB); these move by a tenth
from run to run. 2026-11-22, Intel Xeon at 2.6 GHz, 2 MiB L2 a core, gcc 12.2::

    IPv4                              MiB  build ms   1,000 hot     uniform     per range
    kept: 16-bit root, 16 keys        3.0        50   24 /  870   37 /  820    59 / 1,110
    the same, 18-bit root             3.6        50   24 /  870   42 /  780    59 / 1,060
    two runs inline in a 16-bit root  3.2        40   25 /  900   40 /  770    62 / 1,120
    DXR-16                            2.0         7   24 /  830   36 /  770    59 / 1,270
    DXR-18                            3.5        17   23 /  880   44 /  740    60 / 1,140
    poptrie, 18-bit root, strides 6   3.5       190   24 /  870   45 /  790    64 / 1,200
    strides 18-6-8, 16-bit cells     14.2       180   23 / 1,320  46 / 1,040  100 / 1,380
    IPv6
    kept: 16-bit root, 16 keys        2.0        30   46 / 1,380  26 /  680    71 / 1,340
    13-bit root below 2000::/3        2.8        60   47 / 1,390  26 /  650    72 / 1,350
    18-bit root below 2000::/3        3.8        70   46 / 1,330  35 /  640    73 / 1,260
    binary search below 20 bits       9.4         5   62 / 2,250  50 /  960   122 / 2,240
    17-8-4 below 2000::/3, then runs  6.9        20   63 / 2,370  31 /  730   133 / 2,270

Uniform IPv6 addresses are below 2000::/3. Builds are the harness's own; ``grow`` takes 25 ms for
both families. Hot addresses tell the shapes apart by two nanoseconds at most. A wider root is a
little better when cold and costs an eighth on uniform addresses. DXR-16 is smaller and equal when
warm, but its search waits for one line after another: 14 % slower cold per range, and on plain
numbers, without Python, 11 to 24 % slower cold. Searches over IPv6 lose on every trace.
On plain numbers whose lookups overlap, a poptrie takes 13 ns per range and this shape 17; where
each waits for the last, 45 and 41. There, nodes of 8 or 32 keys took a tenth more per range for
IPv4 and the same for IPv6. So nothing won everywhere, and what was ahead somewhere lost more
elsewhere.

Above a large table (3 * 2**19 cells: some 50,000 networks over the default data) the compiled core
keeps the answers for addresses asked for lately, 16,384 of IPv4 and 8,192 of IPv6. With 100 lists
of 1,000,000 networks 1,000 hot IPv4 addresses take 26 ns instead of 40, and 100,000 uniform ones
the same with and without. Over the default data alone 1,000 hot addresses of its ranges would take
25 ns instead of 41, but uniform ones 41 instead of 38. This twin has none: its time goes into
bytecode.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from socket import AF_INET, inet_pton
from typing import Any

from georestrict._core._paint import Runs, collect
from georestrict._core._text import parse_address

LEAF, DENSE, NARROW, WIDE = 0, 1, 2, 3
ROOT_BITS = 16
BASE_BITS = 26
BASE_MASK = (1 << BASE_BITS) - 1
VALUE_LIMIT = 1 << 30
_NARROW_LIMIT, _WIDE_LIMIT = NARROW << 30, WIDE << 30  # where the kinds of cells begin
_WORD = 0xFFFF_FFFF_FFFF_FFFF

_SIX_TO_FOUR = 0x2002
_TEREDO = 0x2001_0000
_NAT64 = 0x0064_FF9B << 64


def embedded_ipv4(value: int) -> int | None:
    """Return the IPv4 address that an IPv6 address carries for its client, if any.

    6to4 (RFC 3056 §2), Teredo (RFC 4380 §4: the client, inverted, in the last 32 bits) and the
    well-known NAT64 prefix (RFC 6052 §2.1).
    """
    if value >> 112 == _SIX_TO_FOUR:
        return value >> 80 & 0xFFFF_FFFF
    if value >> 96 == _TEREDO:
        return ~value & 0xFFFF_FFFF
    if value >> 32 == _NAT64:
        return value & 0xFFFF_FFFF
    return None


def key_bits(depth: int) -> int:
    """How many bits a NARROW or WIDE node at this depth decides on."""
    return min(16, 64 - (depth & 63))


class Table:
    """A proved trie over a buffer of cells, immutable.

    Raises:
        ValueError: if the cells are no valid trie; the message names the cell.
    """

    def __init__(self, cells: Any, root4: int, root6: int, classes: int) -> None:
        self.cells: Sequence[int] = memoryview(cells).cast("B").cast("I")
        self.halves: Sequence[int] = memoryview(cells).cast("B").cast("H")
        self.root4, self.root6, self.classes = root4, root6, classes
        _prove(self.cells, self.halves, root4, root6, classes)

    def find(self, text: str) -> int:
        """Return the class id of an address in text, or -1 if it is none."""
        parsed = parse_address(text)
        return -1 if parsed is None else self.find_value(*parsed)

    def find_value(self, version: int, value: int) -> int:
        """Return the class id of an address given as a number."""
        if version == 4:
            return self._walk(self.cells[self.root4 + (value >> 16)], value << 32, 0)
        high = value >> 64
        return self._walk(self.cells[self.root6 + (high >> 48)], high, value & _WORD)

    def _walk(self, cell: int, word: int, low: int) -> int:
        depth = ROOT_BITS
        while cell >= VALUE_LIMIT:
            kind, size, base = cell >> 30, cell >> 26 & 15, cell & BASE_MASK
            if depth == 64:
                word = low
            if kind == DENSE:
                shift = 63 - size - (depth & 63)
                cell = self.cells[base + (word >> shift & (2 << size) - 1)]
                depth += size + 1
                continue
            count = 1 << size
            key = (word << (depth & 63) & _WORD) >> 48
            at = bisect_right(self.halves, key, 2 * base, 2 * base + count) - 2 * base - 1
            if kind == NARROW:
                return self.halves[2 * base + count + at]
            cell = self.cells[base + count // 2 + at]
            depth += key_bits(depth)
        return cell

    def runs(self, version: int) -> Runs:
        """Read the runs of one family back out of the trie, in order."""
        root = self.root4 if version == 4 else self.root6
        return collect(self._descend(DENSE << 30 | 15 << 26 | root, 0, 0))

    def _descend(self, cell: int, depth: int, prefix: int) -> Iterator[tuple[int, int]]:
        kind, size, base = cell >> 30, cell >> 26 & 15, cell & BASE_MASK
        if kind == LEAF:
            yield prefix, cell
        elif kind == DENSE:
            depth += size + 1
            for slot in range(2 << size):
                yield from self._descend(
                    self.cells[base + slot], depth, prefix | slot << (128 - depth)
                )
        else:
            count = 1 << size
            keys = self.halves[2 * base : 2 * base + count]
            bits = key_bits(depth)
            previous = -1
            for at, key in enumerate(keys):
                slot = key >> (16 - bits)
                if slot == previous:  # a key that only fills the node up
                    continue
                previous = slot
                start = prefix | slot << (128 - depth - bits)
                if kind == NARROW:
                    yield start, self.halves[2 * base + count + at]
                else:
                    yield from self._descend(
                        self.cells[base + count // 2 + at], depth + bits, start
                    )


class Answers:
    """One ready object for each class of a table: what a lookup returns.

    ``missed`` is the answer for text that is no address. Classes marked in ``looked_through``
    stand for IPv6 addresses that carry an IPv4 address: the answer is then that address's.
    """

    def __init__(
        self, table: Table, objects: Sequence[Any], missed: Any, looked_through: bytes
    ) -> None:
        if not len(objects) == len(looked_through) == table.classes:
            raise ValueError("there must be one answer for each class")
        #: Return the answer for an address in text.
        self.at: Callable[[str], Any] = _answering(table, tuple(objects), missed, looked_through)


def _answering(
    table: Table, objects: tuple[Any, ...], missed: Any, looked_through: bytes
) -> Callable[[str], Any]:
    """Return the lookup of :class:`Answers`, with the way of most IPv4 addresses written out.

    Parsing and walking by calls takes twice as long; maxminddb's C extension lies in between.
    """
    cells, halves, root4, find_value = table.cells, table.halves, table.root4, table.find_value
    from_bytes = int.from_bytes

    def at(text: str) -> Any:
        if text.__class__ is not str or ":" in text:
            return through(text)
        try:
            value = from_bytes(inet_pton(AF_INET, text))
        except (OSError, ValueError):  # ValueError: NUL, or what UTF-8 cannot write
            return missed
        cell = cells[root4 + (value >> 16)]
        if cell < VALUE_LIMIT:
            return objects[cell]
        rest = value & 0xFFFF
        while cell < _NARROW_LIMIT:
            bits = (cell >> 26) - (DENSE << 4) + 1
            cell = cells[(cell & BASE_MASK) + (rest >> 16 - bits)]
            if cell < VALUE_LIMIT:
                return objects[cell]
            rest = rest << bits & 0xFFFF
        if cell < _WIDE_LIMIT:
            first = (cell & BASE_MASK) << 1
            count = 1 << (cell >> 26 & 15)
            return objects[halves[bisect_right(halves, rest, first, first + count) - 1 + count]]
        return through(text)

    def through(text: str) -> Any:
        parsed = parse_address(text)
        if parsed is None:
            return missed
        found = find_value(*parsed)
        if looked_through[found]:
            inner = embedded_ipv4(parsed[1])
            if inner is not None:
                found = find_value(4, inner)
        return objects[found]

    return at


def _prove(
    cells: Sequence[int], halves: Sequence[int], root4: int, root6: int, classes: int
) -> None:
    """Prove every bound; see the module's docstring."""
    nodes: dict[int, tuple[int, int, int]] = {}  # base -> (width, depth, cell)
    total = len(cells)

    def expect(cell: int, width: int, depth: int, limit: int, where: int) -> None:
        if cell < VALUE_LIMIT:
            if cell >= classes:
                raise ValueError(f"cell {where}: class {cell} of {classes}")
            return
        kind, size, base = cell >> 30, cell >> 26 & 15, cell & BASE_MASK
        if depth >= width or (kind == DENSE and (depth & 63) + size + 1 > min(64, width)):
            raise ValueError(f"cell {where}: node is deeper than an address")
        if kind != DENSE and not 2 <= size <= 4:
            raise ValueError(f"cell {where}: a node of {1 << size} keys")
        if base + _node_cells(cell) > limit:
            raise ValueError(f"cell {where}: node does not lie before the one that names it")
        if base not in nodes:
            heappush(pending, -base)
        if nodes.setdefault(base, (width, depth, cell)) != (width, depth, cell):
            raise ValueError(f"cell {where}: cell {base} is claimed twice")

    pending: list[int] = []
    root = DENSE << 30 | (ROOT_BITS - 1) << 26
    for base, width in ((root4, 32), (root6, 128)):
        if not 0 <= base <= BASE_MASK:
            raise ValueError(f"a root lies at {base}")
        expect(root | base, width, 0, total, total)
    limit = total
    while pending:
        base = -heappop(pending)
        width, depth, cell = nodes.pop(base)  # nobody names it from here on
        if base + _node_cells(cell) > limit:
            raise ValueError(f"cell {base}: nodes overlap")
        limit = base
        kind, size = cell >> 30, cell >> 26 & 15
        if kind == DENSE:
            for child in set(cells[base : base + (2 << size)]):
                expect(child, width, depth + size + 1, base, base)
            continue
        count = 1 << size
        keys = list(halves[2 * base : 2 * base + count])
        if keys[0] != 0 or keys != sorted(keys):
            raise ValueError(f"cell {base}: keys are not in order")
        if kind == NARROW:
            if max(halves[2 * base + count : 2 * base + 2 * count]) >= classes:
                raise ValueError(f"cell {base}: a class above {classes}")
        else:
            for child in set(cells[base + count // 2 : base + count // 2 + count]):
                expect(child, width, depth + key_bits(depth), base, base)


def _node_cells(cell: int) -> int:
    kind, size = cell >> 30, cell >> 26 & 15
    if kind == DENSE:
        return 2 << size
    return 1 << size if kind == NARROW else 3 << size >> 1


def pack_narrow(keys: Sequence[int], values: Sequence[int]) -> array[int]:
    """Lay out a NARROW node: the keys, then the class ids, filled up to a power of two."""
    count = filled(len(keys))
    more = count - len(keys)
    halves = array("H", keys)
    halves.extend([0xFFFF] * more)
    halves.extend(values)
    halves.extend([values[-1]] * more)
    return array("I", halves.tobytes())


def pack_wide(keys: Sequence[int], cells: Sequence[int]) -> array[int]:
    """Lay out a WIDE node: the keys, then a cell for each."""
    count = filled(len(keys))
    more = count - len(keys)
    packed = array("I", array("H", [*keys, *[0xFFFF] * more]).tobytes())
    packed.extend(cells)
    packed.extend([cells[-1]] * more)
    return packed


def filled(count: int) -> int:
    """The number of keys that a node for ``count`` runs has room for: 4, 8 or 16."""
    return 4 if count <= 4 else 8 if count <= 8 else 16
