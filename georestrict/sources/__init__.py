"""Readers: each yields the rows of one file format.

A row says that the addresses from ``first`` to ``last`` have a value: a country code, or what a
network is. What a value means, and which of two overlapping rows wins, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from georestrict.errors import FormatError
from georestrict.networks import Confidence
from georestrict.sources import (
    csv_named,
    csv_ranges,
    feeds,
    maxmind_csv,
    mmdb,
    networks,
    packed,
    registries,
    tor_geoip,
)
from georestrict.sources.container import Content, parts, unpacked
from georestrict.sources.csvfile import SilentError
from georestrict.sources.dated import date_of
from georestrict.sources.detection import FOLDER_FORMATS, check_format, detect_source
from georestrict.sources.entry import ALL, Selection
from georestrict.sources.feeds import detect, parse_list, remarks
from georestrict.sources.networks import Remark
from georestrict.sources.row import Batch, Row, gathered, renamed

#: Readers of files whose rows are for any layer.
READERS: dict[str, Callable[[bytes, str], Iterable[Row]]] = {
    "networks": networks.rows,
    "packed": packed.PackedRanges,
    "registries": registries.read,
    "tor-geoip": tor_geoip.parse,
}
# Readers of files whose columns are for one layer or another.
_TABLES: dict[str, Callable[[bytes, str, str, str], Iterator[Row]]] = {
    "csv": csv_named.read,
    "csv-ranges": csv_ranges.read,
}
_COUNTRY_ONLY = ("registries", "tor-geoip")

#: File formats that a manifest may name.
FORMATS = ("mmdb", *READERS, *_TABLES, "maxmind-csv", *feeds.FIELDS)


def needs_value(form: str, layer: str) -> bool:
    """Tell whether a format says nothing of its networks for a layer, so that a manifest must."""
    return form == "networks" or (form in feeds.FIELDS and not tells(form, layer))


def tells(form: str, layer: str) -> bool:
    """Tell whether a format says of every network what a layer holds."""
    if form in ("mmdb", "maxmind-csv", "registries", "tor-geoip", *_TABLES):
        return True
    return (form, layer) == ("geofeed", "country")


def has_flags(form: str, layer: str) -> bool:
    """Tell whether a format has flags for a layer, of which a manifest may state how sure it is."""
    return form in ("mmdb", "maxmind-csv", "csv") and layer == "network"


def check_selection(written: str, form: str) -> None:
    """Check which entries of a feed a manifest wants.

    Raises:
        ValueError: with the reason and the fix.
    """
    Selection.parse(written, feeds.FIELDS.get(form, ()))


def read_batches(
    form: str,
    data: Content,
    name: str,
    layer: str,
    select: str | None = None,
    confidence: str | None = None,
) -> list[Batch]:
    """Return what a file says for a layer, as columns.

    The formats in ``FOLDER_FORMATS`` take several files, by their name, or an archive of them;
    every format takes a file packed by gzip. ``select`` was checked before; ``confidence`` is that
    in the flags of a database, else medium.

    Raises:
        FormatError: if it is damaged, or says nothing for the layer.
        ConfigurationError: if the selection takes nothing.
    """
    if form not in FORMATS:
        raise FormatError(
            f"{name}: of the format {form!r}, which has no rows to read; expected one of "
            f"{', '.join(FORMATS)} (of a compiled image a manifest states format = 'image')"
        )
    if form in _COUNTRY_ONLY and layer != "country":
        raise FormatError(f"{name}: says nothing for the layer {layer!r}, only for 'country'")
    content, sure = unpacked(data, name), confidence or Confidence.MEDIUM
    if form == "maxmind-csv":
        return gathered(maxmind_csv.read(content, name, layer, sure))
    if isinstance(content, Mapping):
        if form not in FOLDER_FORMATS:
            raise FormatError(
                f"{name}: a source of the format {form!r} is one file, not a folder or an archive; "
                "unpack it and name the file"
            )
        return gathered(_of_files(form, content, name, layer, sure))
    if form == "mmdb":
        return mmdb.batches(content, name, layer, sure)
    if form == "packed":
        return packed.PackedRanges(content, name).batches()
    if form in READERS or form in _TABLES:
        return gathered(_rows(form, content, name, layer, sure))
    wanted = Selection.parse(select, feeds.FIELDS[form]) if select is not None else ALL
    return gathered(feeds.read(form, content, name, layer, wanted))


def _rows(form: str, data: bytes, name: str, layer: str, sure: str) -> Iterable[Row]:
    if form in _TABLES:
        return _TABLES[form](data, name, layer, sure)
    return READERS[form](data, name)


def _of_files(
    form: str, files: Mapping[str, bytes], name: str, layer: str, sure: str
) -> Iterator[Row]:
    """Yield the rows of several files; one that says nothing for the layer may be among them."""
    silent: SilentError | None = None
    told = False
    for place, data in parts(files, name):
        try:
            yield from _rows(form, data, place, layer, sure)
            told = True
        except SilentError as error:
            silent = silent or error
    if silent is not None and not told:
        raise silent


__all__ = [
    "FOLDER_FORMATS",
    "FORMATS",
    "READERS",
    "Batch",
    "Content",
    "Remark",
    "Row",
    "check_format",
    "check_selection",
    "date_of",
    "detect",
    "detect_source",
    "gathered",
    "has_flags",
    "needs_value",
    "parse_list",
    "read_batches",
    "remarks",
    "renamed",
    "tells",
]
