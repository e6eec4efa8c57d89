"""Painting in plain Python: the twin of ``paint.pxi``.

A *layer* holds ranges that may overlap. :func:`resolve` turns it into *runs*: sorted starts, each
valid up to the next, that cover the whole address space without a gap. Where ranges overlap, the
one of the higher rank wins; of equal rank the narrower (for CIDR networks: the longest prefix), of
equally narrow ones the later. Value 0 means that no range covers the address. :func:`merge` lays
one layer over another and numbers the pairs of values that occur.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import repeat
from typing import NamedTuple

from georestrict._core._text import Columns

_LOW = 0xFFFF_FFFF_FFFF_FFFF
_END = 1 << 128


class Runs(NamedTuple):
    """Sorted runs over the whole space: where each begins (two 64-bit halves) and its value."""

    high: array[int]
    low: array[int]
    value: array[int]

    def starts(self) -> Iterator[int]:
        """Yield the left-aligned 128-bit number at which each run begins."""
        return (high << 64 | low for high, low in zip(self.high, self.low, strict=True))


def resolve(columns: Columns, ranks: array[int] | None = None) -> Runs:
    """Turn ranges, in any order and overlapping, into runs.

    ``ranks`` has a number (of type ``i``) for each range; without it all are of equal rank.
    """
    count = len(columns.value)
    if ranks is not None and len(ranks) != count:
        raise ValueError("the columns are not equally long")
    spans = sorted(
        (first_high << 64 | first_low, order, last_high << 64 | last_low, value, -rank)
        for order, (first_high, first_low, last_high, last_low, value, _, rank) in enumerate(
            zip(*columns, repeat(0, count) if ranks is None else ranks, strict=True)
        )
    )
    return collect(_sweep(spans))


def _sweep(spans: list[tuple[int, int, int, int, int]]) -> Iterator[tuple[int, int]]:
    """Walk sorted ranges from left to right; the heap's top is the range that wins here."""
    heap: list[tuple[int, int, int, int, int]] = []
    upcoming, count, at = 0, len(spans), 0
    if not spans or spans[0][0] > 0:
        yield 0, 0
    while heap or upcoming < count:
        if not heap:
            at = spans[upcoming][0]
        while upcoming < count and spans[upcoming][0] <= at:
            first, order, last, value, rank = spans[upcoming]
            heappush(heap, (rank, last - first, -order, last, value))
            upcoming += 1
        while heap and heap[0][3] < at:
            heappop(heap)
        if not heap:
            yield at, 0
            continue
        yield at, heap[0][4]
        at = heap[0][3] + 1
        if upcoming < count and spans[upcoming][0] < at:
            at = spans[upcoming][0]
        elif at == _END:
            break


def collect(steps: Iterable[tuple[int, int]]) -> Runs:
    """Gather ``(start, value)`` steps into runs; one that continues the one before is dropped."""
    runs = Runs(array("Q"), array("Q"), array("I"))
    previous = -1
    for start, value in steps:
        if value != previous:
            runs.high.append(start >> 64)
            runs.low.append(start & _LOW)
            runs.value.append(value)
            previous = value
    return runs


def merge(left: Runs, right: Runs) -> tuple[Runs, list[tuple[int, int]]]:
    """Return the runs of both layers together, and the pair of values that each new value means."""
    ids: dict[tuple[int, int], int] = {}

    def steps() -> Iterator[tuple[int, int]]:
        a_starts, b_starts = [*left.starts(), _END], [*right.starts(), _END]
        a = b = at = 0
        while at < _END:
            pair = left.value[a], right.value[b]
            yield at, ids.setdefault(pair, len(ids))
            at = min(a_starts[a + 1], b_starts[b + 1])
            a += a_starts[a + 1] == at
            b += b_starts[b + 1] == at

    return collect(steps()), list(ids)


def relabel(runs: Runs, labels: Sequence[int]) -> Runs:
    """Replace each value of runs by ``labels[value]``; equal neighbours become one."""
    return collect(zip(runs.starts(), map(labels.__getitem__, runs.value), strict=True))
