"""Readers: each yields the rows of one file format.

A row says that the addresses from ``first`` to ``last`` have a value: a country code, or what a
network is. What a value means, and which of two overlapping rows wins, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from georestrict.networks import Confidence
from georestrict.sources import feeds, mmdb, networks, packed, tor_geoip
from georestrict.sources.entry import ALL, Selection
from georestrict.sources.feeds import detect, parse_list, remarks
from georestrict.sources.networks import Remark
from georestrict.sources.row import Batch, Row, gathered, renamed

#: Readers of files whose rows are for any layer.
READERS: dict[str, Callable[[bytes, str], Iterable[Row]]] = {
    "networks": networks.rows,
    "packed": packed.PackedRanges,
    "tor-geoip": tor_geoip.parse,
}

#: File formats that a manifest may name.
FORMATS = ("mmdb", *READERS, *feeds.FIELDS)


def needs_value(form: str, layer: str) -> bool:
    """Tell whether a format says nothing of its networks for a layer, so that a manifest must."""
    return form == "networks" or (form in feeds.FIELDS and not tells(form, layer))


def tells(form: str, layer: str) -> bool:
    """Tell whether a format says of every network what a layer holds."""
    return form in ("mmdb", "tor-geoip") or (form, layer) == ("geofeed", "country")


def check_selection(written: str, form: str) -> None:
    """Check which entries of a feed a manifest wants.

    Raises:
        ValueError: with the reason and the fix.
    """
    Selection.parse(written, feeds.FIELDS.get(form, ()))


def read_batches(
    form: str,
    data: bytes,
    name: str,
    layer: str,
    select: str | None = None,
    confidence: str | None = None,
) -> list[Batch]:
    """Return what a file says for a layer, as columns.

    ``select`` was checked before; ``confidence`` is that in the flags of an MMDB, else medium.
    """
    if form == "mmdb":
        return mmdb.batches(data, name, layer, confidence or Confidence.MEDIUM)
    if form == "packed":
        return packed.PackedRanges(data, name).batches()
    if form in READERS:
        return gathered(READERS[form](data, name))
    wanted = Selection.parse(select, feeds.FIELDS[form]) if select is not None else ALL
    return gathered(feeds.read(form, data, name, layer, wanted))


__all__ = [
    "FORMATS",
    "READERS",
    "Batch",
    "Remark",
    "Row",
    "check_selection",
    "detect",
    "gathered",
    "needs_value",
    "parse_list",
    "read_batches",
    "remarks",
    "renamed",
    "tells",
]
