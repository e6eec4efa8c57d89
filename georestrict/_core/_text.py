"""Addresses and networks from text, in plain Python: the twin of ``text.pxi``.

One grammar everywhere (RFC 4291 §2.2, RFC 6943 §3.1.1): dotted quads of four decimal octets
without leading zeros; IPv6 in every form of RFC 4291; no zone, no brackets, no port, no space.
``inet_pton`` implements exactly that grammar, but only on ASCII without NUL, so both are
checked first. IPv4-mapped IPv6 (``::ffff:0:0/96``) is IPv4 from here on.
"""

from __future__ import annotations

from array import array
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

_LONGEST_IPV6 = 45
_MAPPED = 0xFFFF << 32


class Columns(NamedTuple):
    """Ranges of one address family, one array a column.

    An address is a 128-bit number with its first bit at the left: IPv4 fills the upper 32 bits,
    so that one code serves both families. ``*_high`` and ``*_low`` are its two 64-bit halves.
    """

    first_high: array[int]
    first_low: array[int]
    last_high: array[int]
    last_low: array[int]
    value: array[int]
    line: array[int]

    @classmethod
    def empty(cls) -> Columns:
        return cls(array("Q"), array("Q"), array("Q"), array("Q"), array("I"), array("I"))

    def append(self, first: int, last: int, value: int, line: int) -> None:
        """Append one range; ``first`` and ``last`` are left-aligned 128-bit numbers."""
        self.first_high.append(first >> 64)
        self.first_low.append(first & 0xFFFF_FFFF_FFFF_FFFF)
        self.last_high.append(last >> 64)
        self.last_low.append(last & 0xFFFF_FFFF_FFFF_FFFF)
        self.value.append(value)
        self.line.append(line)

    def append_row(self, other: Columns, at: int, value: int) -> None:
        """Append a row of other columns, with a value of its own."""
        for column, of_other in zip(self, other, strict=True):
            column.append(of_other[at])
        self.value[-1] = value

    def append_native(self, version: int, first: int, last: int, value: int, line: int = 0) -> None:
        """Append one range whose ends are numbers of their own IP version."""
        shift = 96 if version == 4 else 0
        self.append(first << shift, ((last + 1) << shift) - 1, value, line)


def parse_address(text: str) -> tuple[int, int] | None:
    """Return ``(version, value)`` of an address in text, or None if it is not one."""
    if not isinstance(text, str):
        raise TypeError(f"an address is text, not {type(text).__name__}")
    if len(text) > _LONGEST_IPV6 or not text.isascii() or "\0" in text:
        return None
    try:
        if ":" not in text:
            return 4, int.from_bytes(inet_pton(AF_INET, text), "big")
        value = int.from_bytes(inet_pton(AF_INET6, text), "big")
    except OSError:
        return None
    if value >> 32 == 0xFFFF:
        return 4, value & 0xFFFF_FFFF
    return 6, value


def parse_network(text: str) -> tuple[int, int, int]:
    """Return ``(version, first, last)`` of an address, a CIDR network or a ``first-last`` range.

    Raises:
        ValueError: with the reason and the fix, but without the text, which the caller knows.
    """
    if "/" in text:
        return _parse_cidr(text)
    if "-" in text and text[0] in "0123456789abcdefABCDEF:" and ("." in text or ":" in text):
        left, _, right = text.partition("-")
        low, high = _parse_end(left.rstrip(" \t")), _parse_end(right.lstrip(" \t"))
        if low[0] != high[0]:
            raise ValueError("the range mixes IPv4 and IPv6; write one range for each")
        if low[1] > high[1]:
            raise ValueError("the range ends before it begins; swap its two addresses")
        return low[0], low[1], high[1]
    version, value = _parse_end(text)
    return version, value, value


def _parse_end(text: str) -> tuple[int, int]:
    parsed = parse_address(text)
    if parsed is None:
        raise ValueError(_why_not_an_address(text))
    return parsed


def _parse_cidr(text: str) -> tuple[int, int, int]:
    address, _, length_text = text.partition("/")
    version, value = _parse_end(address)
    if not (length_text.isascii() and length_text.isdigit() and len(length_text) <= 3):
        raise ValueError("the prefix length after '/' must be a decimal number")
    if len(length_text) > 1 and length_text[0] == "0":
        raise ValueError("the prefix length must not have a leading zero")
    length = int(length_text)
    width = 32 if version == 4 else 128
    if version == 4 and ":" in address:
        if not 96 <= length <= 128:
            raise ValueError("an IPv4-mapped network needs a prefix length of 96 to 128")
        length -= 96
    if length > width:
        raise ValueError(f"the prefix length is above {width}")
    host_bits = (1 << (width - length)) - 1
    if value & host_bits:
        raise ValueError(
            f"host bits are set below /{length}; "
            f"write {_format(version, value & ~host_bits)}/{length}, or the address alone"
        )
    return version, value, value | host_bits


def _why_not_an_address(text: str) -> str:
    if not text:
        return "an address is missing"
    if not text.isascii():
        return "not an address: it has characters outside ASCII"
    if "%" in text:
        return "not an address: remove the zone after '%'"
    octets = text.split(".")
    if ":" not in text and all(part.isdigit() for part in octets):
        if len(octets) != 4:
            return "not an address: IPv4 needs four decimal numbers with dots between"
        if any(len(part) > 1 and part[0] == "0" for part in octets):
            return "not an address: remove the leading zeros, which some systems read as octal"
        return "not an address: each number of an IPv4 address is at most 255"
    return "not an IPv4 or IPv6 address"


def _format(version: int, value: int) -> str:
    from ipaddress import IPv4Address, IPv6Address

    return str(IPv4Address(value) if version == 4 else IPv6Address(value))


def parse_networks(data: bytes) -> tuple[Columns, Columns, list[int]]:
    """Read a list of networks, one a line; every range gets value 1.

    Comments begin with ``#`` or ``;`` at the line's start or after a space. Returns the IPv4
    ranges, the IPv6 ranges, and the numbers (from 1) of the lines that are none of these; what
    is wrong with such a line, :func:`parse_network` tells.
    """
    families = {4: Columns.empty(), 6: Columns.empty()}
    bad: list[int] = []
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    for number, line in enumerate(text.split("\n"), 1):
        entry = strip_comment(line)
        if not entry:
            continue
        try:
            version, first, last = parse_network(entry)
        except ValueError:
            bad.append(number)
            continue
        families[version].append_native(version, first, last, 1, number)
    return families[4], families[6], bad


def strip_comment(line: str) -> str:
    """Return what a list line says, without its comment and outer white space."""
    line = line.strip(" \t\r")
    if not line or line[0] in "#;":
        return ""
    for mark in ("#", ";"):
        at = line.find(mark)
        while at > 0:
            if line[at - 1] in " \t":
                line = line[:at].rstrip(" \t")
                break
            at = line.find(mark, at + 1)
    return line
