"""Limits of the data's age: how old it may grow, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from georestrict.policy import checks
from georestrict.policy.words import settle


class StaleAction(StrEnum):
    """What follows when data is older than ``stale_after``."""

    NO_DATA = "no_data"  #: of the countries: no address has one, and ``fallback.no_data`` applies
    WARN = "warn"  #: of the countries: they hold, and the log says so every hour
    IGNORE = "ignore"  #: of a category or a list: rules do not see it
    KEEP = "keep"  #: it holds; said once, and by the health


#: What may follow for the countries, and for a category or a list; the first if nothing is said.
OF_COUNTRIES = (StaleAction.NO_DATA, StaleAction.WARN, StaleAction.KEEP)
OF_OTHERS = (StaleAction.KEEP, StaleAction.IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryLimit:
    """How old what is known of a category may grow.

    Raises:
        ConfigurationError: naming the key and the fix.
    """

    stale_after: timedelta
    stale_action: StaleAction | None = None

    def __post_init__(self) -> None:
        """Check both keys."""
        checks.duration(self.stale_after, "stale_after")
        settle_limit(self, OF_OTHERS)


def settle_limit(value: Any, actions: Sequence[StaleAction]) -> None:
    """Check the two keys of a limit that is still being built; fill in what follows.

    Raises:
        ConfigurationError: naming the key and the fix.
    """
    if value.stale_after is not None:
        settle(value, "stale_after", checks.duration(value.stale_after, "stale_after"))
    if value.stale_action is not None:
        known = checks.word(value.stale_action, "stale_action", actions)
        if value.stale_after is None:
            checks.fail(
                "stale_action",
                f"is {known!r}, and no stale_after says when; add stale_after = '90d', or remove "
                "it",
            )
        settle(value, "stale_action", StaleAction(known))
    elif value.stale_after is not None:
        settle(value, "stale_action", actions[0])
