"""Packed ranges: our compact form for rows that do not overlap.

Used for the committed data and, inside an image, for the cold record of where each range came
from. A file is one line ``georestrict-ranges 1``, one line of JSON (the values, and for each chunk
its IP version, first address and length in bytes), and the chunks. A chunk holds up to 4,096 rows
as five columns, deflated together (zlib, RFC 1950):

* gap to the row before (0: adjacent; else 1 + trailing zero bits, then the odd part halved);
* number of addresses, as trailing zero bits; and as the odd part halved;
* value, an index; line, the zigzag difference to the row before.

Numbers are varints, seven bits a byte, low bits first. Ranges are mostly powers of two side by
side, so most columns are nearly constant: 660,000 rows take 0.7 MB.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from georestrict.errors import FormatError
from georestrict.sources.row import Row

_MAGIC = b"georestrict-ranges 1\n"
_CHUNK_ROWS = 4096
_MOST_CHUNK_BYTES = 1 << 20
_MOST_ZEROS = 128
_WIDTHS = {4: 32, 6: 128}


class _Chunk(NamedTuple):
    version: int
    first: int
    offset: int
    length: int


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows, sorted by IP version and address and not overlapping, to a file."""
    path.write_bytes(encode(rows))


def read(path: Path) -> Iterator[Row]:
    """Yield all rows of a file."""
    return iter(PackedRanges(path.read_bytes(), str(path)))


def encode(rows: Iterable[Row]) -> bytes:
    """Return rows in packed form."""
    values: dict[str, int] = {}
    chunks: list[bytes] = []
    index: list[tuple[int, str, int]] = []
    iterator = iter(rows)
    held: list[Row] = []
    while True:
        held += islice(iterator, _CHUNK_ROWS - len(held))
        if not held:
            break
        of_one_version = [row for row in held if row.version == held[0].version]
        chunk = zlib.compress(_encode_chunk(of_one_version, values), 9)
        chunks.append(chunk)
        index.append((held[0].version, format(held[0].first, "x"), len(chunk)))
        held = held[len(of_one_version) :]
    header = json.dumps({"values": list(values), "chunks": index}, separators=(",", ":"))
    return b"".join([_MAGIC, header.encode(), b"\n", *chunks])


def _encode_chunk(rows: list[Row], values: dict[str, int]) -> bytes:
    gaps, exponents, mantissas, indexes, lines = (bytearray() for _ in range(5))
    expected, previous_line = rows[0].first, 0
    for row in rows:
        gap, count = row.first - expected, row.last - row.first + 1
        if gap < 0 or count < 1:
            raise ValueError(f"row {row} overlaps the one before, or ends before it begins")
        if gap:
            zeros = _trailing_zeros(gap)
            gaps.append(zeros + 1)
            _put(gaps, gap >> zeros >> 1)
        else:
            gaps.append(0)
        zeros = _trailing_zeros(count)
        exponents.append(zeros)
        _put(mantissas, count >> zeros >> 1)
        _put(indexes, values.setdefault(row.value, len(values)))
        step = row.line - previous_line
        _put(lines, step << 1 if step >= 0 else (-step << 1) - 1)
        expected, previous_line = row.last + 1, row.line
    columns = (gaps, exponents, mantissas, indexes, lines)
    head = bytearray()
    _put(head, len(rows))
    for column in columns:
        _put(head, len(column))
    return b"".join((head, *columns))


class PackedRanges:
    """Packed ranges in memory: all rows in order, or the one that holds an address.

    Raises:
        FormatError: if the data is not of this form; ``name`` says where it came from.
    """

    def __init__(self, data: bytes | memoryview, name: str) -> None:
        self._data, self._name = data, name
        head = bytes(data[: len(_MAGIC)])
        if head != _MAGIC:
            raise FormatError(f"{name}: expected packed ranges, got {head[:20]!r}")
        offset = len(_MAGIC)
        line = bytearray()
        while not line.endswith(b"\n"):
            piece = bytes(data[offset + len(line) : offset + len(line) + 65536])
            if not piece:
                raise FormatError(f"{name}: the header line does not end")
            cut = piece.find(b"\n") + 1
            line += piece[:cut] if cut else piece
        offset += len(line)
        self._chunks: list[_Chunk] = []
        try:
            header = json.loads(line)
            self.values: list[str] = [_checked(value) for value in header["values"]]
            for version, first, length in header["chunks"]:
                if version not in _WIDTHS or length < 0:
                    raise ValueError(f"a chunk of IP version {version!r}, {length!r} bytes long")
                self._chunks.append(_Chunk(version, int(first, 16), offset, length))
                offset += int(length)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(f"{name}: damaged header: {error!r}") from error
        if offset != len(data):
            raise FormatError(f"{name}: expected {offset} bytes, got {len(data)}")
        self._cached = lru_cache(maxsize=16)(self._decode)

    def __iter__(self) -> Iterator[Row]:
        for chunk in self._chunks:
            yield from self._decode(chunk)

    def find(self, version: int, value: int) -> Row | None:
        """Return the row that holds an address, or None."""
        holder = None
        for chunk in self._chunks:
            if chunk.version == version and chunk.first <= value:
                holder = chunk
        if holder is None:
            return None
        for row in self._cached(holder):
            if row.first <= value <= row.last:
                return row
        return None

    def _decode(self, chunk: _Chunk) -> list[Row]:
        inflate = zlib.decompressobj()
        packed = self._data[chunk.offset : chunk.offset + chunk.length]
        try:
            data = inflate.decompress(packed, _MOST_CHUNK_BYTES)
            count, at = _take(data, 0)
            sizes = []
            for _ in range(5):
                size, at = _take(data, at)
                sizes.append(size)
            columns = []
            for size in sizes:
                columns.append(data[at : at + size])
                at += size
            return list(self._rows(chunk, count, columns))
        except (zlib.error, LookupError, ValueError, RuntimeError) as error:
            raise FormatError(
                f"{self._name}: damaged chunk at byte {chunk.offset}: {error!r}"
            ) from error

    def _rows(self, chunk: _Chunk, count: int, columns: list[bytes]) -> Iterator[Row]:
        gaps, exponents, mantissas, indexes, lines = (_numbers(column) for column in columns)
        first, line = chunk.first, 0
        end = 1 << _WIDTHS[chunk.version]
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
                raise ValueError(f"range {first} to {last} in IPv{chunk.version}")
            step = next(lines)
            line += -(step + 1 >> 1) if step & 1 else step >> 1
            yield Row(chunk.version, first, last, self.values[next(indexes)], line)
            first = last + 1


def _checked(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"value {value!r} is not printable text")
    return value


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
