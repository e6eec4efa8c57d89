"""CSV (RFC 4180): records, the columns' names, and the addresses and values in them.

A column is found by its name. Which names there are, the publishers decide; where a file has no
header, ``csv_ranges.py`` knows them by the columns' number.

==============  ==================================================================================
addresses       ``network``; or ``start_ip`` and ``end_ip`` (IPinfo), ``ip_range_start`` and
                ``ip_range_end`` (ip-location-db), ``ip_start`` and ``ip_end`` (DB-IP),
                ``network_start_ip`` and ``network_last_ip``, ``network_start_integer`` and
                ``network_last_integer`` (MaxMind's converter)
country         ``country_code``, ``country_iso_code``, or ``country`` as two letters
subdivision     ``region_code``, ``subdivision_1_iso_code``, ``stateprov_code``; ``state1``,
                ``region``, ``stateprov``, ``subdivision_1_name``
AS number       ``autonomous_system_number``, ``asn``, ``as_number``
network         the flags of ``meaning.py``, as true or false, 1 or 0; and what an AS number tells
==============  ==================================================================================

Both ends of a range belong to it. They are addresses as text or as decimal numbers: below 2**32
both are IPv4, else both are IPv6. A row that leaves a value empty says nothing.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from georestrict import asns
from georestrict._core import parse_address, parse_network
from georestrict.errors import FormatError
from georestrict.sources import meaning
from georestrict.sources.document import decoded
from georestrict.sources.entry import shown
from georestrict.sources.meaning import FLAGS
from georestrict.sources.row import Row

#: A line's number and its fields.
Record = tuple[int, list[str]]

_ENDS = (
    ("start_ip", "end_ip"),
    ("ip_range_start", "ip_range_end"),
    ("ip_start", "ip_end"),
    ("network_start_ip", "network_last_ip"),
    ("network_start_integer", "network_last_integer"),
)
_COUNTRY = ("country_code", "country_iso_code", "country")
_ASN = ("autonomous_system_number", "asn", "as_number")
# What a layer's value is made of: the columns of a row, the first that is there.
_WANTED: dict[str, tuple[tuple[str, ...], ...]] = {
    "country": (
        _COUNTRY,
        ("region_code", "subdivision_1_iso_code", "stateprov_code"),
        ("state1", "region", "stateprov", "subdivision_1_name"),
    ),
    "asn": (_ASN,),
    "network": (
        _ASN,
        ("autonomous_system_organization",),
        ("as_name",),
        ("name",),
        ("provider_name",),
        ("service",),
        ("privacy_name",),
        *((flag,) for flag in FLAGS),
    ),
}
# Without one of these a file says nothing for a layer.
_NEEDED = {"country": _COUNTRY, "asn": _ASN, "network": (*_ASN, *FLAGS)}
# What a column is called in a record, where that differs.
_KEYS = {
    "country_iso_code": "country_code",
    "subdivision_1_iso_code": "region_code",
    "stateprov_code": "region_code",
    "stateprov": "region",
    "subdivision_1_name": "region",
    "as_number": "asn",
}
_TRUE, _FALSE = frozenset({"1", "true", "t", "yes"}), frozenset({"", "0", "false", "f", "no"})
_LAST = (1 << 128) - 1
_MAPPED = 0xFFFF << 32
_SHOWN = 30  # columns in an error message
_NO_NUMBER = "an address as a number is at most 2**128 - 1, in decimal digits"


class SilentError(FormatError):
    """A file says nothing for a layer."""


class Value(NamedTuple):
    """How a row's value is told: from which of its fields, and how."""

    fields: tuple[int, ...]
    told: Callable[[tuple[str, ...]], str]  #: raises ValueError for what cannot be meant


def records(data: bytes, name: str) -> Iterator[Record]:
    """Yield the records of a file, without empty lines and without comments (``#``).

    Raises:
        FormatError: naming the line, if it is not UTF-8 or not CSV.
    """
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""),
        strict=True,
        skipinitialspace=True,
    )
    line = 0
    try:
        for fields in reader:
            line = reader.line_num
            if fields and (len(fields) > 1 or fields[0].strip()) and fields[0][:1] != "#":
                yield line, fields
    except csv.Error as error:
        raise FormatError(
            f"{name}:{line + 1}: not valid CSV (RFC 4180): {error}; fetch the file again"
        ) from error
    except UnicodeDecodeError:
        decoded(data, name)  # tells the line
        raise


def header(record: Record, name: str) -> list[str]:
    """Return the names of the columns, in small letters.

    Raises:
        FormatError: if two columns have one name.
    """
    line, fields = record
    names = [field.strip().lower() for field in fields]
    for column, times in Counter(names).items():
        if column and times > 1:
            raise FormatError(
                f"{name}:{line}: two columns have the name {shown(column)}; rename one"
            )
    return names


def has_addresses(names: Sequence[str]) -> bool:
    """Tell whether columns of these names hold addresses."""
    return "network" in names or any(first in names and last in names for first, last in _ENDS)


def rows(rest: Iterable[Record], names: Sequence[str], name: str, value: Value) -> Iterator[Row]:
    """Yield the rows of the records below a header; those that say nothing are left out.

    Raises:
        FormatError: naming the line.
    """
    width = len(names)
    addresses = _addresses(names)
    fields_wanted, told = value
    known: dict[tuple[str, ...], str] = {}
    for line, fields in rest:
        try:
            if len(fields) != width:
                raise ValueError(
                    f"{len(fields)} columns, expected {width}: {shown(','.join(names))}"
                )
            version, first, last = addresses(fields)
            said = tuple([fields[at] for at in fields_wanted])
            meant = known.get(said)
            if meant is None:
                meant = known[said] = told(said)
        except ValueError as error:
            raise FormatError(
                f"{name}:{line}: {shown(','.join(fields))}: {error}; "
                "correct the line, or fetch the file again"
            ) from error
        if meant:
            yield Row(version, first, last, meant, line)


def value_of(names: Sequence[str], place: str, layer: str, confidence: str) -> Value:
    """Return how a row tells what it says for a layer; flags are trusted with this confidence.

    Raises:
        SilentError: if there is no column for the layer.
    """
    picked = [
        next(column for column in columns if column in names)
        for columns in _WANTED[layer]
        if any(column in names for column in columns)
    ]
    needed = [column for column in _NEEDED[layer] if column in picked]
    if needed == ["country"] and {*names} >= meaning.REGISTERED:
        needed = []
    if not needed:
        raise SilentError(
            f"{place}: says nothing for the layer {layer!r}: its columns are "
            f"{some(names)}; expected one of {', '.join(_NEEDED[layer])}"
        )
    keys = [_KEYS.get(column, column) for column in picked]

    def told(said: tuple[str, ...]) -> str:
        record = {key: _checked(key, text) for key, text in zip(keys, said, strict=True)}
        return meaning.told(record, layer, confidence)

    return Value(tuple(map(names.index, picked)), told)


def some(names: Sequence[str]) -> str:
    """Return the names of columns as an error message shows them."""
    told = ", ".join(map(shown, names[:_SHOWN]))
    return f"{told} …" if len(names) > _SHOWN else told


def _checked(key: str, text: str) -> object:
    """Return what a field says as a record has it.

    Raises:
        ValueError: if the field cannot hold it.
    """
    text = text.strip()
    if key in FLAGS:
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise ValueError(f"{key} is {shown(text)}, expected true or false, 1 or 0, or nothing")
    if key in ("country", "country_code"):
        if text and (len(text) != 2 or not text.isprintable() or " " in text):
            raise ValueError(f"{key} is {shown(text)}, expected a code of two letters")
    elif key in _ASN and text and asns.parse(text) is None and text.upper() not in ("0", "AS0"):
        raise ValueError(f"{key} is {shown(text)}, expected an AS number such as 64500 or AS64500")
    return text


def _addresses(names: Sequence[str]) -> Callable[[list[str]], tuple[int, int, int]]:
    """Return what reads version, first and last address of a record."""
    if "network" in names:
        at = names.index("network")
        return lambda fields: parse_network(fields[at].strip())
    first, last = next(pair for pair in _ENDS if pair[0] in names and pair[1] in names)
    at_first, at_last = names.index(first), names.index(last)
    return lambda fields: ends(fields[at_first], fields[at_last])


def ends(first: str, last: str) -> tuple[int, int, int]:
    """Return version, first and last address of a range.

    Raises:
        ValueError: with the reason and the fix.
    """
    if first.isdigit() and last.isdigit():
        return _numbered(first, last)
    low, high = parse_address(first), parse_address(last)
    if low is None or high is None:
        return parse_network(f"{first.strip()}-{last.strip()}")  # tells what is wrong
    if low[0] != high[0]:
        if ":" not in first or ":" not in last:
            raise ValueError("the range mixes IPv4 and IPv6; write one range for each")
        low, high = _unmapped(low), _unmapped(high)
    if low[1] > high[1]:
        raise ValueError("the range ends before it begins; swap its two addresses")
    return low[0], low[1], high[1]


def is_address(text: str) -> bool:
    """Tell whether text is an address, or could be one as a decimal number."""
    return text.isdigit() or parse_address(text) is not None


def _numbered(first: str, last: str) -> tuple[int, int, int]:
    if not (first.isascii() and last.isascii() and max(len(first), len(last)) <= 39):
        raise ValueError(_NO_NUMBER)
    low, high = int(first), int(last)
    if high > _LAST or low > _LAST:
        raise ValueError(_NO_NUMBER)
    if low > high:
        raise ValueError("the range ends before it begins; swap its two numbers")
    if high < 1 << 32:
        return 4, low, high
    if low >= _MAPPED and high < _MAPPED + (1 << 32):
        return 4, low - _MAPPED, high - _MAPPED
    return 6, low, high


def _unmapped(address: tuple[int, int]) -> tuple[int, int]:
    """Return an IPv4-mapped address as the IPv6 address that it was written as."""
    version, number = address
    return 6, number | _MAPPED if version == 4 else number
