"""Who is where in the embedded data: the ranges that every peer is given, and traces over them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

from georestrict import Database

# All global unicast addresses (IANA, RFC 4291 §2.4). Outside it the formats differ on purpose: an
# MMDB has its IPv4 part in ::/96.
GLOBAL_IPV6 = (0x2000 << 112, (0x4000 << 112) - 1)


class Range(NamedTuple):
    """Neighbouring addresses with one answer."""

    first: int
    last: int
    country: str | None


def ranges(database: Database, version: int) -> list[Range]:
    """Return the ranges of one family, neighbours with the same country as one.

    Ranges that carry an IPv4 address (6to4, Teredo, NAT64) are left out: we look through to it, and
    peers do not. IPv6 ends where global unicast addresses do.
    """
    bits = 32 if version == 4 else 128
    runs = database.table.runs(version)
    starts = [start >> (128 - bits) for start in runs.starts()]
    ends = [start - 1 for start in starts[1:]] + [(1 << bits) - 1]
    found: list[Range] = []
    for first, last, number in zip(starts, ends, runs.value, strict=True):
        if database.looked_through[number]:
            continue
        if version == 6:
            first, last = max(first, GLOBAL_IPV6[0]), min(last, GLOBAL_IPV6[1])
            if first > last:
                continue
        country = database.classes[number].country
        if found and found[-1].last == first - 1 and found[-1].country == country:
            found[-1] = found[-1]._replace(last=last)
        else:
            found.append(Range(first, last, country))
    return found


def per_range(ranges: Sequence[Range], version: int, count: int, seed: int) -> list[str]:
    """One random address in each range, in random order; then again, until there are enough."""
    spread = random.Random(seed)
    order = list(ranges)
    found: list[str] = []
    while len(found) < count:
        spread.shuffle(order)
        drawn = (spread.randint(one.first, one.last) for one in order[: count - len(found)])
        found.extend(texts(drawn, version))
    return found


def uniform(ranges: Sequence[Range], version: int, count: int, seed: int) -> list[str]:
    """Random addresses, all those in the ranges being equally likely."""
    spread = random.Random(seed)
    sizes = list(accumulate(one.last - one.first + 1 for one in ranges))
    chosen = spread.choices(ranges, cum_weights=sizes, k=count)
    return list(texts((spread.randint(one.first, one.last) for one in chosen), version))


def texts(values: Iterator[int], version: int) -> Iterator[str]:
    """Write addresses as text (RFC 5952)."""
    family, size = (AF_INET, 4) if version == 4 else (AF_INET6, 16)
    return (inet_ntop(family, value.to_bytes(size, "big")) for value in values)
