"""How much of the address space has which value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from georestrict._core import Runs

#: How many addresses there are, by IP version.
SPACE = {4: 1 << 32, 6: 1 << 128}
#: How many addresses a /64 has: one subnet (RFC 4291 §2.5.4), the unit in which IPv6 is counted.
SUBNET = 1 << 64


@dataclass(frozen=True, slots=True)
class Extent:
    """A number of addresses of either version."""

    ipv4: int = 0
    ipv6: int = 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(self.ipv4 + other.ipv4, self.ipv6 + other.ipv6)

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.ipv6)


def sizes(runs: Runs, version: int) -> Counter[int]:
    """Return how many addresses each value of runs has."""
    if version == 4:
        starts = [high >> 32 for high in runs.high]
    else:
        starts = [high << 64 | low for high, low in zip(runs.high, runs.low, strict=True)]
    found: Counter[int] = Counter()
    for (first, end), value in zip(pairwise([*starts, SPACE[version]]), runs.value, strict=True):
        found[value] += end - first
    return found
