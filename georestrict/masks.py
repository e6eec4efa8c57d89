"""Bit masks over the conditions of a policy: bit ``i`` stands for ``policy.conditions[i]``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator


def bits(mask: int) -> Iterator[int]:
    """Yield the places of the bits that are set, from the lowest on."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


class Index:
    """Which conditions match a value of one word: those that ask for it, or for none.

    ``asked`` has for each condition the values that it asks for.
    """

    def __init__(self, asked: Iterable[Iterable[Hashable]]) -> None:
        self._asking: dict[Hashable, int] = {}
        self._without = 0
        for at, values in enumerate(asked):
            bit = 1 << at
            if not values:
                self._without |= bit
            for value in values:
                self._asking[value] = self._asking.get(value, 0) | bit

    @property
    def values(self) -> tuple[Hashable, ...]:
        """What is asked for."""
        return tuple(self._asking)

    @property
    def asking(self) -> int:
        """The conditions that have the word."""
        return self.of(self._asking) & ~self._without

    def of(self, values: Iterable[Hashable]) -> int:
        """Return the conditions that match any of some values."""
        mask = self._without
        for value in values:
            mask |= self._asking.get(value, 0)
        return mask
