"""Ranges to bytes and back, in plain Python. The twin of ``pack.pxi``.

One chunk of rows as five columns behind their sizes; ``sources/packed.py`` tells the form. What
cannot be a chunk is a ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict._core._paint import Runs
from georestrict._core._text import Columns

_WIDTHS = {4: 32, 6: 128}
_MOST_ZEROS = 128


def spans(runs: Runs) -> Columns:
    """Return runs as ranges, but for those with value 0; lines are 0."""
    columns = Columns.empty()
    starts = [*runs.starts(), 1 << 128]
    for at, value in enumerate(runs.value):
        if value:
            columns.append(starts[at], starts[at + 1] - 1, value, 0)
    return columns


def pack(columns: Columns, version: int, start: int, stop: int) -> bytes:
    """Pack rows ``start`` to ``stop - 1``, which must be sorted and must not overlap."""
    gaps, exponents, mantissas, indexes, lines = (bytearray() for _ in range(5))
    shift = 128 - _WIDTHS[version]
    expected, previous_line = -1, 0
    for at in range(start, stop):
        first = (columns.first_high[at] << 64 | columns.first_low[at]) >> shift
        last = (columns.last_high[at] << 64 | columns.last_low[at]) >> shift
        gap, count = first - (first if expected < 0 else expected), last - first + 1
        if gap < 0 or count < 1:
            raise ValueError(f"row {at} overlaps the one before, or ends before it begins")
        if gap:
            zeros = _trailing_zeros(gap)
            _put(gaps, zeros + 1)
            _put(gaps, gap >> zeros >> 1)
        else:
            gaps.append(0)
        zeros = _trailing_zeros(count)
        _put(exponents, zeros)
        _put(mantissas, count >> zeros >> 1)
        _put(indexes, columns.value[at])
        step = columns.line[at] - previous_line
        _put(lines, step << 1 if step >= 0 else (-step << 1) - 1)
        expected, previous_line = last + 1, columns.line[at]
    head = bytearray()
    _put(head, stop - start)
    parts = (gaps, exponents, mantissas, indexes, lines)
    for part in parts:
        _put(head, len(part))
    return b"".join((head, *parts))


def unpack(data: bytes, version: int, first: int) -> Columns:
    """Return the rows of a chunk whose first address is ``first``."""
    if version not in _WIDTHS:
        raise ValueError(f"IP version {version}")
    try:
        return _unpack(data, version, first)
    except (IndexError, StopIteration, OverflowError) as error:
        raise ValueError(f"a chunk of {len(data)} bytes ends too early: {error!r}") from error


def _unpack(data: bytes, version: int, first: int) -> Columns:
    count, at = _take(data, 0)
    sizes = []
    for _ in range(5):
        size, at = _take(data, at)
        sizes.append(size)
    if at + sum(sizes) != len(data):
        raise ValueError(f"a chunk of {len(data)} bytes, its columns say {at + sum(sizes)}")
    parts = []
    for size in sizes:
        parts.append(_numbers(data[at : at + size]))
        at += size
    gaps, exponents, mantissas, indexes, lines = parts
    columns = Columns.empty()
    end, line = 1 << _WIDTHS[version], 0
    if not 0 <= first < end:
        raise ValueError(f"address {first} in IPv{version}")
    for _ in range(count):
        gap = next(gaps)
        if gap > _MOST_ZEROS + 1:
            raise ValueError(f"a gap of 2**{gap - 1} addresses")
        if gap:
            first += (next(gaps) << 1 | 1) << (gap - 1)
        exponent = next(exponents)
        if exponent > _MOST_ZEROS:
            raise ValueError(f"a range of 2**{exponent} addresses")
        last = first + ((next(mantissas) << 1 | 1) << exponent) - 1
        if not 0 <= first <= last < end:
            raise ValueError(f"range {first} to {last} in IPv{version}")
        step = next(lines)
        line += -(step + 1 >> 1) if step & 1 else step >> 1
        columns.append_native(version, first, last, next(indexes), line)
        first = last + 1
    return columns


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


def _put(column: bytearray, number: int) -> None:
    while number >= 128:
        column.append(number & 127 | 128)
        number >>= 7
    column.append(number)


def _take(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def _numbers(column: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in column:
        if byte < 128:
            yield number | byte << shift
            number = shift = 0
        else:
            number |= (byte & 127) << shift
            shift += 7
