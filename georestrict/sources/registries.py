"""The registries' ``delegated-extended`` files: to which country an address was given.

AFRINIC, APNIC, ARIN, LACNIC and RIPE NCC publish one each, in the RIR statistics exchange format
of the NRO: a header ``2|apnic|serial|records|startdate|enddate|UTCoffset``, a summary for each kind
of record, and records ``registry|cc|kind|start|value|date|status|…``. Of ``ipv4`` the value is a
number of addresses, any number; of ``ipv6`` the length of a prefix. Records of the kind ``asn`` are
not read; ``available`` and ``reserved`` addresses have no country, whatever stands there (AFRINIC
writes ``ZZ``). The header tells how many records there are: a file that has fewer was cut off.

Where a network is registered says less of where it is than other data: see the README.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from georestrict._core import parse_address, parse_network
from georestrict.errors import FormatError
from georestrict.sources.document import decoded
from georestrict.sources.entry import shown
from georestrict.sources.row import Row

#: How a file begins, after comments.
HEADER = re.compile(r"2(\.\d{1,4})?\|[a-z]{1,16}\|")

_GIVEN = frozenset({"allocated", "assigned"})
_FREE = frozenset({"available", "reserved", "ianapool"})  # the last in the NRO's joined file


def read(data: bytes, name: str) -> Iterator[Row]:
    """Yield the rows of one registry's file.

    Raises:
        FormatError: naming the line.
    """
    stated = found = number = 0
    headed = False
    try:
        for number, line in enumerate(_lines(data), 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            fields = text.split("|")
            if not headed:
                stated, headed = _records_stated(text, f"{name}:{number}"), True
            elif fields[-1] == "summary":
                continue
            else:
                found += 1
                row = _row(fields, f"{name}:{number}", number)
                if row is not None:
                    yield row
    except UnicodeDecodeError:
        decoded(data, name)  # tells the line
        raise
    if found < stated:
        raise FormatError(
            f"{name}: has {found:,} records, its header says {stated:,}: it was cut off; fetch it "
            "again"
        )


def _lines(data: bytes) -> Iterator[str]:
    return io.TextIOWrapper(io.BytesIO(data), "utf-8-sig")


def _records_stated(text: str, place: str) -> int:
    fields = text.split("|")
    if (
        not HEADER.match(text)
        or len(fields) < 6
        or not (fields[3].isascii() and fields[3].isdigit())
    ):
        raise FormatError(
            f"{place}: {shown(text)}: expected the header of a registry's file, such as "
            "'2|apnic|20260622|190190|19830613|20260621|+1000'; fetch the file again"
        )
    return int(fields[3][:18])


def _row(fields: list[str], place: str, line: int) -> Row | None:
    """Return the row of a record, or None if it says nothing of a country."""
    try:
        if len(fields) < 7:
            raise ValueError(
                "expected 'registry|cc|kind|start|value|date|status', as one record a line"
            )
        _, country, kind, start, value, _, status = fields[:7]
        if kind not in ("asn", "ipv4", "ipv6"):
            raise ValueError(f"the kind {shown(kind)} is not asn, ipv4 or ipv6")
        if status not in _GIVEN and status not in _FREE:
            known = ", ".join(sorted(_GIVEN | _FREE))
            raise ValueError(f"the status {shown(status)} is not one of {known}")
        if kind == "asn":
            return None
        version, first, last = _counted(start, value) if kind == "ipv4" else _prefix(start, value)
        if status in _FREE or not country:
            return None
        if len(country) != 2 or not country.isprintable() or " " in country:
            raise ValueError(f"{shown(country)} is no country of two letters")
    except ValueError as error:
        raise FormatError(
            f"{place}: {shown('|'.join(fields))}: {error}; fetch the file again"
        ) from error
    return Row(version, first, last, country.upper(), line)


def _counted(start: str, count: str) -> tuple[int, int, int]:
    """Return version, first and last address of so many IPv4 addresses."""
    address = parse_address(start)
    if address is None or address[0] != 4 or ":" in start:
        raise ValueError(f"{shown(start)} is no IPv4 address")
    if not (count.isascii() and count.isdigit() and len(count) <= 10 and int(count)):
        raise ValueError(f"{shown(count)} is no number of addresses")
    last = address[1] + int(count) - 1
    if last >= 1 << 32:
        raise ValueError(f"{count} addresses from {start} are more than there are")
    return 4, address[1], last


def _prefix(start: str, length: str) -> tuple[int, int, int]:
    """Return version, first and last address of an IPv6 network."""
    if ":" not in start:
        raise ValueError(f"{shown(start)} is no IPv6 address")
    return parse_network(f"{start}/{length}")
