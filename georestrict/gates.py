"""Gates: why a new image must not take the place of the one in force without being looked at.

A feed that was cut off, a mirror that fell behind, a file of the wrong kind: each makes an image
that is whole and wrong. What a reader of a file finds damaged never comes this far.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address

from georestrict.database import Database
from georestrict.location import Location
from georestrict.manifest import Canary, Gates
from georestrict.subdivisions import spellings

_CLOCKS_DIFFER = timedelta(days=1)  # also by time zone: a date is one of its writer's calendar
_FORCE = (
    "compile it to another file, look at it with 'georestrict diff', and publish it with --force "
    "if it is right"
)


def refusals(old: Database | None, new: Database, gates: Gates, now: datetime) -> list[str]:
    """Return why an image should not be published; nothing if it may be.

    Without an old image, the first one, it is only asked for canaries and dates in the future.
    Each text says what was found, what was expected, and how to publish it all the same.
    """
    told = [*_in_the_future(new, now), *_wrong_canaries(new, gates)]
    if old is not None:
        told = [*_losses(old, new, gates), *_older(old, new), *told]
    return [f"{text}; {_FORCE}" for text in told]


def _losses(old: Database, new: Database, gates: Gates) -> Iterator[str]:
    before, after = _rows(old), _rows(new)
    for (layer, version), count in before.items():
        left = after[layer, version]
        if left < count and (count - left) / count >= gates.most_loss:
            yield (
                f"the layer {layer!r} has {left:,} IPv{version} rows, {count:,} before: "
                f"{(count - left) / count:.0%} fewer, where gates.most_loss is "
                f"{gates.most_loss:.0%}"
            )


def _rows(database: Database) -> Counter[tuple[str, int]]:
    """Return how many rows each layer has of each IP version, without what the owner states."""
    counts: Counter[tuple[str, int]] = Counter()
    for source in database.metadata.sources:
        if source.ages:
            for version, count in zip((4, 6), source.rows, strict=True):
                counts[source.layer, version] += count
    return counts


def _older(old: Database, new: Database) -> Iterator[str]:
    if new.metadata.built < old.metadata.built:
        yield (
            f"it was built at {_shown(new.metadata.built)}, before the one in force "
            f"({_shown(old.metadata.built)})"
        )
    dates = _dates(old)
    for (name, layer), dated in _dates(new).items():
        before = dates.get((name, layer), dated)
        if dated < before:
            yield (
                f"source {name!r} (layer {layer!r}) is of {dated}, older than in the image in "
                f"force ({before})"
            )


def _dates(database: Database) -> dict[tuple[str, str], date]:
    return {
        (source.name, source.layer): source.date
        for source in database.metadata.sources
        if source.ages
    }


def _in_the_future(new: Database, now: datetime) -> Iterator[str]:
    latest = now + _CLOCKS_DIFFER
    if new.metadata.built > latest:
        yield (
            f"it was built at {_shown(new.metadata.built)}, in the future (it is {_shown(now)} by "
            "this machine's clock)"
        )
    for (name, layer), dated in _dates(new).items():
        if dated > latest.date():
            yield (
                f"source {name!r} (layer {layer!r}) is of {dated}, in the future (it is "
                f"{now.date()} by this machine's clock)"
            )


def _wrong_canaries(new: Database, gates: Gates) -> Iterator[str]:
    for canary in gates.canaries:
        for first, location in _said(new, canary):
            if not _fits(canary, location):
                address = (IPv4Address if canary.version == 4 else IPv6Address)(first)
                yield (
                    f"canary {canary.network}: {address} appears to be {_found(canary, location)}, "
                    f"expected {canary.expected}"
                )
                break


def _said(database: Database, canary: Canary) -> Iterator[tuple[int, Location]]:
    """Yield what is said in a canary's network, with the first address of each piece."""
    version, first, last = canary.version, canary.first, canary.last
    if first == last:
        yield first, database.lookup((IPv4Address if version == 4 else IPv6Address)(first))
        return
    shift = 96 if version == 4 else 0
    runs = database.table.runs(version)
    starts = [start >> shift for start in runs.starts()]
    for at in range(bisect_right(starts, first) - 1, bisect_right(starts, last)):
        yield max(starts[at], first), database.classes[runs.value[at]]


def _fits(canary: Canary, location: Location) -> bool:
    if canary.category is not None:
        sure = location.categories.get(canary.category)
        return sure is not None and sure.rank >= canary.confidence.rank
    if "-" in canary.code:
        return location.subdivision in spellings(canary.code)
    return (location.country or "") == canary.code


def _found(canary: Canary, location: Location) -> str:
    if canary.category is not None:
        told = [f"{category}:{sure}" for category, sure in location.categories.items()]
        return ", ".join(told) or "of no category"
    return location.subdivision or location.country or f"in no country ({location.status})"


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
