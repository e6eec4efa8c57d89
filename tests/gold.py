"""The gold model: what a lookup must answer, as a linear scan with the standard library.

Slow, short, and written apart from the code that it judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """The address in a text; IPv4-mapped IPv6 is IPv4, a zone makes it none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def find(ranges: Sequence[tuple[int, int, int]], value: int) -> int:
    """The value of the narrowest range that holds an address; of equal ones the last; else 0."""
    best, found = None, 0
    for first, last, meaning in ranges:
        if first <= value <= last and (best is None or last - first <= best):
            best, found = last - first, meaning
    return found
