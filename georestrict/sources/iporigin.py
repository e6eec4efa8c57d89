"""The range table of the ``iporigin`` package, read as data.

Layout (little-endian, version 1): a header ``8s magic, u16 version, u64 build time, u16 number of
labels, u32 IPv4 ranges, u32 IPv6 ranges``; each label a ``u16`` length and UTF-8 text
``provider TAB kind``; each IPv4 range ``u32 first, u32 last, u16 label``; each IPv6 range the
same with 16-byte big-endian addresses. Ranges are sorted and do not overlap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from georestrict.errors import FormatError
from georestrict.sources.row import Row

_HEADER = struct.Struct("<8sHQHII")
_LENGTH = struct.Struct("<H")
_IPV4 = struct.Struct("<IIH")
_IPV6 = struct.Struct("<16s16sH")


def build_time(path: Path) -> datetime:
    """Return when the table was built."""
    return datetime.fromtimestamp(_header(path, path.read_bytes())[0], UTC)


def read(path: Path) -> Iterator[Row]:
    """Yield the table's rows; a row's value is its label, its line its number among the rows."""
    data = path.read_bytes()
    _, labels_count, ipv4_count, ipv6_count = _header(path, data)
    try:
        at, labels = _HEADER.size, []
        for _ in range(labels_count):
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            labels.append(data[at : at + length].decode())
            at += length
        number = 0
        for _ in range(ipv4_count):
            number += 1
            first, last, label = _IPV4.unpack_from(data, at)
            at += _IPV4.size
            yield Row(4, first, last, labels[label], number)
        for _ in range(ipv6_count):
            number += 1
            low, high, label = _IPV6.unpack_from(data, at)
            at += _IPV6.size
            yield Row(
                6, int.from_bytes(low, "big"), int.from_bytes(high, "big"), labels[label], number
            )
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: damaged at byte {at}: {error}") from error


def _header(path: Path, data: bytes) -> tuple[int, int, int, int]:
    if len(data) < _HEADER.size:
        raise FormatError(f"{path}: {len(data)} bytes are too few for an iporigin table")
    magic, version, built, labels, ipv4, ipv6 = _HEADER.unpack_from(data)
    if magic != b"IPORIGIN" or version != 1:
        raise FormatError(
            f"{path}: expected an iporigin table of version 1, got {magic!r} version {version}"
        )
    return built, labels, ipv4, ipv6
