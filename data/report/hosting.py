"""Hosting: how much of the providers' space the default image flags."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from data.report.space import DATA, Space, hosting, is_hosting_claim, share
from data.spans import Where
from georestrict.networks import Category, Confidence

TABLE = Path(__file__).with_name("providers.csv")
AS_TABLE = DATA / "hosting_asns.csv"
FEEDS, AS_LIST = "iporigin", "asn-hosting"  # sources of the default image


class Provider(NamedTuple):
    """A provider, its name in the feeds' source if it publishes one, and its AS numbers."""

    name: str
    feed: str
    asns: tuple[int, ...]


def providers() -> list[Provider]:
    """Read the table of providers."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Provider(row["provider"], row["feed"], tuple(map(int, row["asns"].split())))
            for row in csv.DictReader(file)
        ]


def names() -> dict[int, str]:
    """Return the names of the AS numbers that the default's own table has."""
    with AS_TABLE.open(encoding="utf-8", newline="") as file:
        return {int(row["number"]): row["name"] for row in csv.DictReader(file)}


def measure(space: Space) -> dict[str, Any]:
    """Return the recall by provider, and how much is flagged in all."""
    flagged = space.of_class(hosting)
    high = space.of_class(
        lambda location: location.categories.get(Category.HOSTING) is Confidence.HIGH
    )
    feeds = space.of_claims(FEEDS, is_hosting_claim)
    listed = space.of_claims(AS_LIST, is_hosting_claim)
    routed = space["asn"] > 0  # of other addresses a list of AS numbers says nothing
    rows = []
    for provider in providers():
        announced = space.asn_in(provider.asns)
        size = space.size(announced)
        if not size:  # gone since the table was written
            continue
        row: dict[str, Any] = {
            "provider": provider.name,
            "asns": list(provider.asns),
            "addresses": round(size),
            "flagged": share(space.size(announced & flagged), size),
            "high": share(space.size(announced & high), size),
            "feeds": share(space.size(announced & feeds), size),
            "list": share(space.size(announced & listed), size),
            "own": None,
        }
        if provider.feed:
            own = routed & space.of_claims(FEEDS, partial(_own, provider.feed))
            row["own"] = _listed(space, own, listed)
        rows.append(row)
    own = routed & space.of_claims(FEEDS, lambda claim: claim.startswith("hosting:high:"))
    return {
        "providers": rows,
        "mean": round(sum(row["flagged"] for row in rows) / len(rows), 2),
        "mean_feeds": round(sum(row["feeds"] for row in rows) / len(rows), 2),
        "own": _listed(space, own, listed),
        "total": round(space.size(flagged)),
        "total_feeds": round(space.size(feeds)),
        "ratio": round(space.size(flagged) / space.size(feeds), 2),
    }


def _own(feed: str, claim: str) -> bool:
    return claim in (f"hosting:high:{feed}", f"cdn:high:{feed}")


def _listed(space: Space, own: Where, listed: Where) -> dict[str, Any]:
    """Return how much of an operator's own feed the AS list flags by itself."""
    size = space.size(own)
    return {"addresses": round(size), "list": share(space.size(own & listed), size)}
