"""Lists of networks as text: one CIDR network, address or ``first-last`` range a line.

Comments begin with ``#`` or ``;``, at the line's start or after a space. This covers CIDR lists,
FireHOL netsets and plain lists of addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from georestrict._core import Columns, parse_network, parse_networks, strip_comment
from georestrict.errors import FormatError
from georestrict.sources.row import Row

_SHOWN = 5


class NetworkList(NamedTuple):
    """A parsed list: its ranges by family."""

    ipv4: Columns
    ipv6: Columns

    def __len__(self) -> int:
        return len(self.ipv4.line) + len(self.ipv6.line)


def parse(data: bytes, name: str) -> NetworkList:
    """Parse a whole list.

    Raises:
        FormatError: naming the first wrong lines (``name:line``), the entry and the reason.
    """
    ipv4, ipv6, wrong = parse_networks(data)
    if wrong:
        lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        told = [_what_is_wrong(lines[number - 1], name, number) for number in wrong[:_SHOWN]]
        if len(wrong) > _SHOWN:
            told.append(f"… and {len(wrong) - _SHOWN} more lines")
        raise FormatError("\n".join(told))
    return NetworkList(ipv4, ipv6)


def read(path: Path) -> Iterator[Row]:
    """Yield a list's rows, without a value."""
    parsed = parse(path.read_bytes(), str(path))
    for version, columns in ((4, parsed.ipv4), (6, parsed.ipv6)):
        shift = 96 if version == 4 else 0
        for first_high, first_low, last_high, last_low, _, line in zip(*columns, strict=True):
            first, last = first_high << 64 | first_low, last_high << 64 | last_low
            yield Row(version, first >> shift, last >> shift, "", line)


def _what_is_wrong(line: bytes, name: str, number: int) -> str:
    try:
        entry = strip_comment(line.decode())
    except UnicodeDecodeError:
        return f"{name}:{number}: not UTF-8 text; expected a list of networks"
    try:
        parse_network(entry)
    except ValueError as error:
        shown = entry if len(entry) <= 60 else entry[:60] + "…"
        return f"{name}:{number}: {shown!r}: {error}"
    return f"{name}:{number}: {entry!r} cannot be read"
