"""Cases: the ``[[tests]]`` of a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from georestrict.policy import checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request, and what the policy must say to it."""

    expect: str


def checked_cases(entries: Any, key: str) -> tuple[Case, ...]:
    """Return the cases of an array of tables."""
    return tuple(Case(expect=entry["expect"]) for entry in checks.listed(entries, key))
