"""Pasts: where an account is supposed to have been, for rules that ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from georestrict.request import Identity

#: The name of a supposed account.
SOMEBODY = "somebody"

#: Where, as a country and a category of network or none.
Place = tuple[str, str]


class Past:
    """When an account was last seen where, in seconds since the epoch; to be judged by once."""

    def __init__(self, seen: Mapping[Place, float]) -> None:
        self._seen = dict(seen)

    def saw(self, account: str, country: str, category: str, now: float) -> None:
        """Add the request at hand."""
        self._seen[country, category] = now

    def seen_in(
        self, account: str, countries: frozenset[str], categories: frozenset[str], since: float
    ) -> bool:
        """Return whether the account was in one of some countries (empty: in any)."""
        been = self._been(categories, since)
        return bool(been & countries if countries else been)

    def countries(self, account: str, categories: frozenset[str], since: float) -> int:
        """Return in how many countries the account was."""
        return len(self._been(categories, since))

    def _been(self, categories: frozenset[str], since: float) -> set[str]:
        return {
            country
            for (country, category), at in self._seen.items()
            if category in categories and at // 60 >= since // 60  # it is kept by the minute
        }


def supposed(seen: Iterable[tuple[str, timedelta]], now: float) -> Past:
    """Return the past of a case: ``("CN", 3 days)`` or ``("CN:hosting", 3 days)`` ago."""
    past = {}
    for place, ago in seen:
        country, _, category = place.partition(":")
        past[country, category] = now - ago.total_seconds()
    return Past(past)


def somebody() -> Identity:
    """Return who sends a request with a past."""
    return Identity(lambda _: SOMEBODY)
