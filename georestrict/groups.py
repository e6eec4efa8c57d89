"""Groups of countries, and continents."""

from __future__ import annotations

CONTINENTS = ("AF", "AN", "AS", "EU", "NA", "OC", "SA")


def expand(text: str) -> frozenset[str]:
    """Return the members of a group."""
    raise ValueError(f"is not a group: {text}")


def continent_of(code: str) -> str:
    """Return the continent of a country."""
    return "EU"
