"""Lists of networks as text: one CIDR network, address or ``first-last`` range a line.

Comments begin with ``#`` or ``;``, at the line's start or after a space. This covers CIDR lists,
FireHOL netsets and plain lists of addresses. An entry may end: in ``192.0.2.0/24 until
2026-12-31T00:00:00Z`` it is left out by what reads the list from then on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from datetime import datetime
from math import inf
from typing import NamedTuple

from georestrict._core import Columns, parse_network, parse_networks, strip_comment
from georestrict.errors import FormatError
from georestrict.sources.row import Row

_SHOWN = 5
_LONGEST_NOTE = 200  # characters: a note is for a line of output
_ENDING = re.compile(r"(\S.*?)[ \t]+until(?:[ \t]+(.*))?")


class NetworkList(NamedTuple):
    """A parsed list: its ranges by family."""

    ipv4: Columns
    ipv6: Columns
    ended: int = 0  #: entries that were left out, because their time has come
    since: float = -inf  #: when the last of these ended, in seconds since the epoch
    until: float = inf  #: when the first of the ranges ends

    def __len__(self) -> int:
        return len(self.ipv4.line) + len(self.ipv6.line)


class Remark(NamedTuple):
    """What a list says of an entry, beside its network."""

    note: str = ""  #: its comment, cut to 200 characters; in a feed its fields
    until: datetime | None = None  #: when it ends


def parse(data: bytes, name: str, at: float | None = None) -> NetworkList:
    """Parse a whole list; entries that have ended at a time, or else now, are left out.

    Raises:
        FormatError: naming the first wrong lines (``name:line``), the entry and the reason.
    """
    ipv4, ipv6, unread = parse_networks(data)
    if not unread:
        return NetworkList(ipv4, ipv6)
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    wrong = [number for number in unread if b"until" not in lines[number - 1]]
    ended, since, until = 0, -inf, inf
    now = time.time() if at is None else at
    for number in sorted({*unread} - {*wrong}):
        ending = _ending(lines[number - 1])
        if ending is None:
            wrong.append(number)
            continue
        version, first, last, end = ending
        if end <= now:
            ended, since = ended + 1, max(since, end)
        else:
            until = min(until, end)
            (ipv4 if version == 4 else ipv6).append_native(version, first, last, 1, number)
    if wrong:
        wrong.sort()
        told = [_what_is_wrong(lines[number - 1], name, number) for number in wrong[:_SHOWN]]
        if len(wrong) > _SHOWN:
            told.append(f"… and {len(wrong) - _SHOWN} more lines")
        raise FormatError("\n".join(told))
    return NetworkList(ipv4, ipv6, ended, since, until)


def remarks(data: bytes, lines: Collection[int]) -> dict[int, Remark]:
    """Return what a list that was parsed says of the entries in some lines."""
    texts = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return {number: _remark(texts[number - 1].decode(errors="replace")) for number in lines}


def _remark(line: str) -> Remark:
    line = line.strip(" \t\r")
    entry = strip_comment(line)
    note = line.removeprefix(entry).lstrip("#; \t")
    ending = _ENDING.fullmatch(entry)
    return Remark(cut(note), _moment(ending[2]) if ending else None)


def cut(note: str) -> str:
    """Return a note that fits a line of output."""
    return note if len(note) <= _LONGEST_NOTE else f"{note[: _LONGEST_NOTE - 1]}…"


def rows(data: bytes, name: str) -> Iterator[Row]:
    """Yield a list's rows, without a value."""
    parsed = parse(data, name)
    for version, columns in ((4, parsed.ipv4), (6, parsed.ipv6)):
        shift = 96 if version == 4 else 0
        for first_high, first_low, last_high, last_low, _, line in zip(*columns, strict=True):
            first, last = first_high << 64 | first_low, last_high << 64 | last_low
            yield Row(version, first >> shift, last >> shift, "", line)


def _ending(line: bytes) -> tuple[int, int, int, float] | None:
    """Return version, first and last address, and the end of an entry that has one, or None."""
    try:
        entry = _ENDING.fullmatch(strip_comment(line.decode()))
        return (*parse_network(entry[1]), _instant(entry[2] or "")) if entry else None
    except ValueError:
        return None


def _instant(text: str) -> float:
    return _moment(text).timestamp()


def _moment(text: str) -> datetime:
    """Return the time at which an entry ends.

    Raises:
        ValueError: with the fix.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        written = text if len(text) <= 40 else f"{text[:40]}…"
        raise ValueError(
            f"the end {written!r} must be a time with its offset, such as 2026-12-31T00:00:00Z"
        )
    return found


def _what_is_wrong(line: bytes, name: str, number: int) -> str:
    try:
        entry = strip_comment(line.decode())
    except UnicodeDecodeError:
        return f"{name}:{number}: not UTF-8 text; expected a list of networks"
    ending = _ENDING.fullmatch(entry)
    try:
        parse_network(ending[1] if ending else entry)
        if ending:
            _instant(ending[2] or "")
    except ValueError as error:
        shown = entry if len(entry) <= 60 else entry[:60] + "…"
        return f"{name}:{number}: {shown!r}: {error}"
    return f"{name}:{number}: {entry!r} cannot be read"
