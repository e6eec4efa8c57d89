"""Packed ranges: our compact form for rows that do not overlap.

Used for the committed data and, inside an image, for the cold record of where each range came
from. A file is one line ``georestrict-ranges 1``, one line of JSON (the values, and for each chunk
its IP version, first address and length in bytes), and the chunks. A chunk is deflated (zlib, RFC
1950) and holds up to 4,096 rows: their number, the sizes of five columns in bytes, and the columns:

* gap to the row before (0: adjacent; else 1 + trailing zero bits, then the odd part halved);
* number of addresses, as trailing zero bits; and as the odd part halved;
* value, an index; line, the zigzag difference to the row before.

Numbers are varints, seven bits a byte, low bits first. Ranges are mostly powers of two side by
side, so most columns are nearly constant: 660,000 rows take 0.7 MB.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from georestrict._core import Columns, pack, unpack
from georestrict.errors import FormatError
from georestrict.sources.row import Batch, Row, gathered

_MAGIC = b"georestrict-ranges 1\n"
_CHUNK_ROWS = 4096
_MOST_CHUNK_BYTES = 1 << 20
_SHIFTS = {4: 96, 6: 0}


class _Chunk(NamedTuple):
    version: int
    first: int
    offset: int
    length: int


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows, sorted by address and not overlapping, to a file; IPv4 comes first."""
    path.write_bytes(encode(gathered(rows)))


def read(path: Path) -> Iterator[Row]:
    """Yield all rows of a file."""
    return iter(PackedRanges(path.read_bytes(), str(path)))


def read_batches(path: Path) -> list[Batch]:
    """Return all rows of a file, as columns."""
    return PackedRanges(path.read_bytes(), str(path)).batches()


def encode(batches: Iterable[Batch]) -> bytes:
    """Return rows in packed form; the batches share one list of values.

    Raises:
        ValueError: if the rows of a batch are not sorted, or overlap.
    """
    chunks: list[bytes] = []
    index: list[tuple[int, str, int]] = []
    values: list[str] = []
    for version, columns, shared in batches:
        if values and shared != values:
            raise ValueError("the batches have different lists of values")
        values = shared
        for start in range(0, len(columns.value), _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, len(columns.value))
            chunk = zlib.compress(pack(columns, version, start, stop), 9)
            first = (columns.first_high[start] << 64 | columns.first_low[start]) >> _SHIFTS[version]
            chunks.append(chunk)
            index.append((version, format(first, "x"), len(chunk)))
    header = json.dumps({"values": values, "chunks": index}, separators=(",", ":"))
    return b"".join([_MAGIC, header.encode(), b"\n", *chunks])


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
                if type(version) is not int or type(length) is not int:
                    raise TypeError(f"a chunk of IP version {version!r}, {length!r} bytes long")
                if version not in _SHIFTS or length < 0:
                    raise ValueError(f"a chunk of IP version {version!r}, {length!r} bytes long")
                self._chunks.append(_Chunk(version, int(first, 16), offset, length))
                offset += length
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(f"{name}: damaged header: {error!r}") from error
        if offset != len(data):
            raise FormatError(f"{name}: expected {offset} bytes, got {len(data)}")
        # Nothing of it leads back here: a cycle would keep the data of a replaced image in memory.
        self._unpacked = partial(_unpacked, data, name, len(self.values))
        self._cached = lru_cache(maxsize=16)(self._unpacked)

    def batches(self) -> list[Batch]:
        """Return all rows, as columns."""
        found = {version: Columns.empty() for version in _SHIFTS}
        for chunk in self._chunks:
            for column, more in zip(found[chunk.version], self._unpacked(chunk), strict=True):
                column.extend(more)
        return [Batch(version, columns, self.values) for version, columns in found.items()]

    def __iter__(self) -> Iterator[Row]:
        return chain.from_iterable(
            (self._row(chunk.version, columns, at) for at in range(len(columns.value)))
            for chunk in self._chunks
            for columns in (self._unpacked(chunk),)
        )

    def find(self, version: int, value: int) -> Row | None:
        """Return the row that holds an address, or None."""
        holder = None
        for chunk in self._chunks:
            if chunk.version == version and chunk.first <= value:
                holder = chunk
        if holder is None:
            return None
        columns = self._cached(holder)
        at = (
            bisect_right(
                range(len(columns.value)), value, key=lambda at: self._first(version, columns, at)
            )
            - 1
        )
        row = self._row(version, columns, at) if at >= 0 else None
        return row if row is not None and value <= row.last else None

    def _first(self, version: int, columns: Columns, at: int) -> int:
        return (columns.first_high[at] << 64 | columns.first_low[at]) >> _SHIFTS[version]

    def _row(self, version: int, columns: Columns, at: int) -> Row:
        last = (columns.last_high[at] << 64 | columns.last_low[at]) >> _SHIFTS[version]
        value = self.values[columns.value[at]]
        return Row(version, self._first(version, columns, at), last, value, columns.line[at])


def _unpacked(data: bytes | memoryview, name: str, values: int, chunk: _Chunk) -> Columns:
    packed = data[chunk.offset : chunk.offset + chunk.length]
    try:
        rows = zlib.decompressobj().decompress(packed, _MOST_CHUNK_BYTES)
        columns = unpack(rows, chunk.version, chunk.first)
        if columns.value and max(columns.value) >= values:
            raise ValueError(f"value {max(columns.value)} of {values}")
    except (zlib.error, ValueError) as error:
        raise FormatError(f"{name}: damaged chunk at byte {chunk.offset}: {error}") from error
    return columns


def _checked(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"value {value!r} is not printable text")
    return value
