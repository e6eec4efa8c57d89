"""The ``geoip`` and ``geoip6`` files of the Tor distribution.

Lines ``first,last,CC``: IPv4 addresses as decimal numbers, IPv6 addresses as text. Lines that
begin with ``#`` are comments; in one of them the data's licence and date stand. Made by Tor's
``geoip-db-tool`` from IPFire's location export.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from georestrict._core import parse_address
from georestrict.errors import FormatError
from georestrict.sources.row import Row


def read(path: Path) -> Iterator[Row]:
    """Yield the file's rows in its own order."""
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, name: str) -> Iterator[Row]:
    """Yield the rows of a file of which the content is known."""
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.rstrip("\r\n").split(",")
        if len(fields) != 3:
            raise FormatError(
                f"{name}:{number}: expected 'first,last,country', got {line.strip()!r}"
            )
        first, last = _address(fields[0]), _address(fields[1])
        if first is None or last is None or first[0] != last[0] or first[1] > last[1]:
            raise FormatError(
                f"{name}:{number}: {fields[0]!r} to {fields[1]!r} is no address range"
            )
        yield Row(first[0], first[1], last[1], fields[2], number)


def _address(text: str) -> tuple[int, int] | None:
    if text.isascii() and text.isdigit() and len(text) <= 10:
        value = int(text)
        return (4, value) if value < 1 << 32 else None
    return parse_address(text)
