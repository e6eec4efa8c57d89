"""Growing the radix trie from runs, in plain Python. The twin of ``grow.pxi``.

The shape is told in ``_trie.py``. A piece of the address space becomes, whichever fits first:
a leaf, if one run covers it; a NARROW or WIDE node, if at most 16 keys tell its runs apart at
16 bits; else a DENSE node, with as many bits as give its children about eight runs each.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from georestrict._core._paint import Runs
from georestrict._core._trie import (
    BASE_MASK,
    DENSE,
    NARROW,
    ROOT_BITS,
    VALUE_LIMIT,
    WIDE,
    filled,
    key_bits,
    pack_narrow,
    pack_wide,
)

_MOST_KEYS = 16
_RUNS_PER_CHILD = 8


def grow(runs4: Runs, runs6: Runs) -> tuple[array[int], int, int]:
    """Return the cells of a trie over both families, and where their roots lie.

    Raises:
        OverflowError: if a class id or the number of cells does not fit its width.
    """
    cells = array("I")
    root4 = _Grower(cells, runs4, 32).root()
    root6 = _Grower(cells, runs6, 128).root()
    return cells, root4, root6


class _Grower:
    """Grows one family's trie, children first."""

    def __init__(self, cells: array[int], runs: Runs, width: int) -> None:
        self._cells, self._width = cells, width
        self._starts: list[int] = list(runs.starts())
        self._values: Sequence[int] = runs.value
        self._stored: dict[tuple[int, int, bytes], int] = {}
        if max(runs.value) >= VALUE_LIMIT:
            raise OverflowError(f"a class id of {max(runs.value)} does not fit in 30 bits")

    def root(self) -> int:
        cell = self._dense(0, 0, len(self._starts), 0, ROOT_BITS)
        return cell & BASE_MASK

    def _node(self, depth: int, first: int, last: int, prefix: int) -> int:
        """Return the cell for the piece at ``prefix`` that runs ``first`` to ``last - 1`` cover."""
        if last - first == 1:
            return self._values[first]
        keyed = self._keyed(depth, first, last, prefix)
        if keyed is not None:
            return keyed
        wanted = max(1, ((last - first - 1) // _RUNS_PER_CHILD).bit_length())
        return self._dense(
            depth, first, last, prefix, min(wanted, key_bits(depth), self._width - depth)
        )

    def _dense(self, depth: int, first: int, last: int, prefix: int, bits: int) -> int:
        node = array("I")
        shift = 128 - depth - bits
        run = first
        for slot in range(1 << bits):
            start = prefix | slot << shift
            end = start + (1 << shift)
            while run + 1 < last and self._starts[run + 1] <= start:
                run += 1
            stop = run + 1
            while stop < last and self._starts[stop] < end:
                stop += 1
            node.append(self._node(depth + bits, run, stop, start))
            run = stop - 1
        return self._store(DENSE, bits - 1, depth, node)

    def _keyed(self, depth: int, first: int, last: int, prefix: int) -> int | None:
        """Return a NARROW or WIDE node, or None if more than 16 keys would be needed."""
        bits = key_bits(depth)
        shift = 128 - depth - bits
        pieces: list[tuple[int, int, int]] = []  # slot, first run, last run
        slot, run = 0, first
        while True:
            if len(pieces) == _MOST_KEYS:
                return None
            end = prefix + (slot + 1 << shift)
            stop = run + 1
            while stop < last and self._starts[stop] < end:
                stop += 1
            pieces.append((slot, run, stop))
            if stop - run == 1:
                if stop == last:
                    break
                slot = self._starts[stop] - prefix >> shift
            else:
                run = stop - 1
                slot += 1
                if slot == 1 << bits:
                    break
            if stop < last and self._starts[stop] == prefix + (slot << shift):
                run = stop
        keys = [slot << (16 - bits) for slot, _, _ in pieces]
        if all(stop - run == 1 and self._values[run] <= 0xFFFF for _, run, stop in pieces):
            values = [self._values[run] for _, run, _ in pieces]
            return self._store(
                NARROW, filled(len(keys)).bit_length() - 1, depth, pack_narrow(keys, values)
            )
        children = [
            self._node(depth + bits, run, stop, prefix + (slot << shift))
            for slot, run, stop in pieces
        ]
        return self._store(
            WIDE, filled(len(keys)).bit_length() - 1, depth, pack_wide(keys, children)
        )

    def _store(self, kind: int, size: int, depth: int, node: array[int]) -> int:
        """Append a node, or find the equal one; return the cell that names it."""
        identity = (kind << 4 | size, depth, node.tobytes())
        base = self._stored.get(identity)
        if base is None:
            step = min(len(node), 16) if kind != WIDE else 2
            self._cells.extend([0] * (-len(self._cells) % step))
            base = len(self._cells)
            if base + len(node) > BASE_MASK:
                raise OverflowError(f"the table needs more than {BASE_MASK} cells")
            self._cells.extend(node)
            self._stored[identity] = base
        return kind << 30 | size << 26 | base
