"""Eyeball networks: how much of ordinary people's internet access the default image flags."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

from data.report.space import Space, share
from georestrict.groups import continent_of
from georestrict.location import Location
from georestrict.networks import Category, Confidence

TABLE = Path(__file__).with_name("eyeballs.csv")
FLAGS = (Category.HOSTING, Category.VPN, Category.PROXY, Category.TOR)
# An operator's own feed; the exact list of Tor's exits is nobody's own.
_FED = (Category.HOSTING, Category.VPN, Category.PROXY)


class Eyeballs(NamedTuple):
    """An internet provider of homes and phones."""

    name: str
    country: str
    asns: tuple[int, ...]


def eyeballs() -> list[Eyeballs]:
    """Read the table of internet providers."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Eyeballs(row["name"], row["country"], tuple(map(int, row["asns"].split())))
            for row in csv.DictReader(file)
        ]


def measure(space: Space) -> dict[str, Any]:
    """Return the share of each that is flagged, at any confidence."""
    flagged = space.of_class(lambda location: any(flag in location.categories for flag in FLAGS))
    fed = space.of_class(_fed)
    rows: list[dict[str, Any]] = []
    for network in eyeballs():
        announced = space.asn_in(network.asns)
        size = space.size(announced)
        if not size:  # gone since the table was written
            continue
        rows.append(
            {
                "name": network.name,
                "country": network.country,
                "continent": continent_of(network.country),
                "asns": list(network.asns),
                "addresses": round(size),
                "flagged": share(space.size(announced & flagged & ~fed), size),
                "fed": share(space.size(announced & fed), size),
            }
        )
    return {"networks": rows, "worst": max(row["flagged"] for row in rows)}


def _fed(location: Location) -> bool:
    """Tell whether all that is said against an address comes from an operator's own feed."""
    said = {flag: location.categories[flag] for flag in FLAGS if flag in location.categories}
    return bool(said) and all(
        flag in _FED and confidence is Confidence.HIGH for flag, confidence in said.items()
    )
