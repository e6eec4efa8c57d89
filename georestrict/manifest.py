"""The manifest (``sources.toml``): which data goes into an image, and which of it wins.

Each ``[[source]]`` names a file, its format, and its layer: ``country`` (values are codes of
countries or subdivisions), ``network`` (``category:confidence:provider``) or ``asn`` (AS numbers).
Within a layer the source of the higher ``precedence`` wins; of equal ones the narrower range; of
equally narrow ones the later, and a source further down comes later. The layer ``network`` keeps a
claim of each category, and among claims of one the higher confidence comes before the narrower
range.

A source of the format ``image`` takes a layer out of a compiled image, with all that its sources
say there; ``path = "default"`` is the data of the package.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from georestrict import asns, countries, subdivisions
from georestrict._core import grow
from georestrict.errors import ConfigurationError, FormatError
from georestrict.layers import LAYERS, Layers, paint
from georestrict.networks import Confidence, parse_claims
from georestrict.record import DEFAULT_IMAGE, Record, read_meta
from georestrict.sources import FORMATS as FILE_FORMATS
from georestrict.sources import (
    Batch,
    check_selection,
    mmdb,
    needs_value,
    read_batches,
    tells,
)
from georestrict.table import image
from georestrict.tomlfile import read_bytes, read_toml

_TEXT_KEYS = ("name", "title", "layer", "format", "path", "licence", "attribution")
# the last two are for the recipe that fetches the file
_KEYS = (
    *_TEXT_KEYS, "date", "sha256", "value", "select", "confidence", "precedence", "upstream",
    "selection",
)  # fmt: skip
_IMAGE_KEYS = ("name", "layer", "format", "path", "sha256", "precedence")
_DEFAULT = "default"
_MOST_PRECEDENCE = 1000  # more than anybody has sources; a rank must fit in 32 bits

#: The formats that a manifest may name.
FORMATS = (*FILE_FORMATS, "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of data, with what must be known about it to use and to pass it on."""

    name: str
    title: str
    layer: str
    format: str
    path: str
    date: date
    licence: str
    attribution: str
    sha256: str | None = None
    value: str | None = None  #: for formats whose rows have none
    select: str | None = None  #: which entries of a provider's feed are wanted
    confidence: str | None = None  #: in the flags of an MMDB; medium if it is left out
    precedence: int = 0  #: the higher wins within its layer, whatever the ranges' widths


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """A layer of a compiled image, which knows the sources that it was made of."""

    name: str
    layer: str
    path: str
    sha256: str | None = None
    precedence: int = 0

    def sources(self, record: Record) -> Iterator[Source]:
        """Yield the image's own sources of the layer, each with its name behind this one's."""
        for told in record.metadata.sources:
            if told.layer == self.layer:
                yield Source(
                    name=self.within(told.name),
                    title=told.title,
                    layer=self.layer,
                    format="image",
                    path=self.path,
                    date=told.date,
                    licence=told.licence,
                    attribution=told.attribution,
                    precedence=self.precedence,
                )

    def within(self, name: str) -> str:
        """Return what a source of the image is called in a new one."""
        return f"{self.name}/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The sources of an image, in their order: of equal precedence and width the last wins."""

    sources: tuple[Source | ImageSource, ...]
    folder: Path

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest; paths in it are relative to its folder.

        Raises:
            ConfigurationError: naming the file, the source and the key.
        """
        document = read_toml(path)
        entries = document.get("source")
        if not isinstance(entries, list) or not entries:
            raise ConfigurationError(f"{path}: has no [[source]]; name at least one file of data")
        sources = tuple(
            _source(entry, f"{path}: source {at}") for at, entry in enumerate(entries, 1)
        )
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"{path}: two sources have the name {name!r}; rename one")
        return cls(sources=sources, folder=path.parent)

    def compile(self, *, built: datetime | None = None) -> bytes:
        """Read every source and return the bytes of an image.

        Raises:
            ConfigurationError: if a file is missing or its checksum is not the stated one.
            FormatError: if a file is not of its format.
        """
        records = {
            source.name: self._record(source)
            for source in self.sources
            if isinstance(source, ImageSource)
        }
        told: list[Source] = []
        for source in self.sources:
            if isinstance(source, Source):
                told.append(source)
            else:
                told += source.sources(records[source.name])
        said = {
            layer: self._batches(layer, records) for layer in {each.layer for each in self.sources}
        }
        layers = Layers.of(said, {source.name: source.precedence for source in told})
        return encode(layers, told, built or datetime.now(UTC))

    def _batches(self, layer: str, records: Mapping[str, Record]) -> Iterator[tuple[str, Batch]]:
        for source in self.sources:
            if source.layer != layer:
                continue
            place = f"source {source.name!r}: {source.path}"
            if isinstance(source, ImageSource):
                for name, batch in records[source.name].batches(layer):
                    yield source.within(name), _checked(batch, layer, place)
                continue
            path = self.folder / source.path
            data = self._read(source, path)  # once: it may be a pipe, and has the stated checksum
            for batch in read_batches(
                source.format, data, str(path), layer, source.select, source.confidence
            ):
                values = [value or source.value or "" for value in batch.values]
                checked = _checked(
                    batch._replace(values=values), layer, f"source {source.name!r}: {path}"
                )
                yield source.name, checked

    def _record(self, source: ImageSource) -> Record:
        """Open the image of a source.

        Raises:
            DatabaseError: if it is no image, is damaged, or says nothing of the layer.
        """
        path = DEFAULT_IMAGE if source.path == _DEFAULT else self.folder / source.path
        opened = image.Image(memoryview(self._read(source, path)), str(path))
        record = Record(opened, read_meta(opened))
        layers = dict.fromkeys(told.layer for told in record.metadata.sources)
        if source.layer not in layers:
            raise FormatError(
                f"source {source.name!r}: {path}: says nothing for the layer {source.layer!r}, "
                f"only for {[*layers]}"
            )
        return record

    def _read(self, source: Source | ImageSource, path: Path) -> bytes:
        """Return the bytes of a source's file, which must have the stated checksum."""
        data = read_bytes(path, f"source {source.name!r}")
        found = hashlib.sha256(data).hexdigest()
        if source.sha256 is not None and found != source.sha256:
            raise ConfigurationError(
                f"source {source.name!r}: {path} has SHA-256 {found}, "
                f"the manifest says {source.sha256}; "
                "restore the file, or state the new sum if the change is meant"
            )
        return data


def compile_mmdb(data: bytes, name: str) -> bytes:
    """Return the bytes of an image that holds what an MMDB file says.

    Raises:
        FormatError: if it is damaged, or says nothing that an image holds.
    """
    contents = mmdb.read(data, name)
    layers = Layers.of(
        {
            layer: [(contents.kind, batch) for batch in batches]
            for layer, batches in contents.layers.items()
        }
    )
    sources = [
        Source(
            name=contents.kind,
            title=contents.title,
            layer=layer,
            format="mmdb",
            path="-",  # an image for everybody who has this file, wherever it lies
            date=contents.built.date(),
            licence="that of the file's publisher",
            attribution="as its licence asks",
        )
        for layer in contents.layers
    ]
    return encode(layers, sources, contents.built)


def encode(layers: Layers, sources: Sequence[Source], built: datetime) -> bytes:
    """Return the bytes of an image that these layers give."""
    painting = paint(layers.country, layers.network)
    cells, root4, root6 = grow(painting.ipv4, painting.ipv6)
    meta = {
        "built": built.isoformat(timespec="seconds"),
        "roots": [root4, root6],
        "runs": [len(painting.ipv4.value), len(painting.ipv6.value)],
        "classes": painting.classes,
        "sources": [
            asdict(source)
            | {
                "date": source.date.isoformat(),
                "rows": [layers.rows[source.layer, source.name, version] for version in (4, 6)],
            }
            for source in sources
        ],
    }
    sections = {"meta": json.dumps(meta, separators=(",", ":")).encode(), "cells": cells.tobytes()}
    return image.encode(sections | layers.origins())


def _source(entry: Any, place: str) -> Source | ImageSource:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{place}: must be a table")
    for key in entry:
        if key not in _KEYS:
            close = get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KEYS)}"
            raise ConfigurationError(f"{place}: unknown key {key!r}: {hint}")
    of_image = entry.get("format") == "image"
    for key in _TEXT_KEYS:
        if of_image and key not in _IMAGE_KEYS:
            continue
        if key not in entry:
            raise ConfigurationError(f"{place}: {key!r} is missing; add it")
        if not isinstance(entry[key], str) or not entry[key]:
            raise ConfigurationError(f"{place}: {key} is {entry[key]!r}, must be text")
    checksum = entry.get("sha256")
    if checksum is not None and not re.fullmatch("[0-9a-f]{64}", str(checksum)):
        raise ConfigurationError(
            f"{place}: sha256 is {checksum!r}, must be 64 hexadecimal digits in lower case"
        )
    place = f"{place} ({entry['name'] if entry['name'].isprintable() else ascii(entry['name'])})"
    if entry["layer"] not in LAYERS:
        raise ConfigurationError(
            f"{place}: layer {entry['layer']!r}: write one of {', '.join(LAYERS)}"
        )
    if entry["format"] not in FORMATS:
        raise ConfigurationError(
            f"{place}: format {entry['format']!r}: write one of {', '.join(FORMATS)}"
        )
    if " " in entry["name"] or "/" in entry["name"] or not entry["name"].isprintable():
        raise ConfigurationError(
            f"{place}: the name must not contain a space or a slash, nor a control character"
        )
    precedence = _precedence(entry.get("precedence", 0), place)
    if of_image:
        for key in entry:
            if key not in _IMAGE_KEYS:
                raise ConfigurationError(
                    f"{place}: {key!r}: an image tells that of its sources; leave it out"
                )
        return ImageSource(
            name=entry["name"],
            layer=entry["layer"],
            path=entry["path"],
            sha256=checksum,
            precedence=precedence,
        )
    dated = entry.get("date")
    if not isinstance(dated, date) or isinstance(dated, datetime):
        raise ConfigurationError(f"{place}: 'date' must be a date, such as 2026-06-25")
    value = entry.get("value")
    if needs_value(entry["format"], entry["layer"]) and not isinstance(value, str):
        raise ConfigurationError(
            f"{place}: the format {entry['format']!r} needs 'value', such as 'hosting:high:Example'"
        )
    if value is not None:
        if tells(entry["format"], entry["layer"]):
            what = "country" if entry["layer"] == "country" else "value"
            raise ConfigurationError(
                f"{place}: value {value!r}: every row of a {entry['format']} says its {what}; "
                "leave 'value' out"
            )
        _check_stated(value, entry["layer"], place)
    select = entry.get("select")
    if select is not None:
        _check_selection(select, entry["format"], place)
    return Source(
        **{key: entry[key] for key in _TEXT_KEYS},
        date=dated,
        sha256=entry.get("sha256"),
        value=value,
        select=select,
        confidence=_confidence(entry, place),
        precedence=precedence,
    )


def _confidence(entry: Any, place: str) -> str | None:
    stated = entry.get("confidence")
    if stated is None:
        return None
    if (entry["format"], entry["layer"]) != ("mmdb", "network"):
        raise ConfigurationError(
            f"{place}: 'confidence' is for the flags of an MMDB, in the layer 'network'; "
            "leave it out"
        )
    if stated not in list(Confidence):
        raise ConfigurationError(
            f"{place}: confidence {stated!r}: write one of {', '.join(Confidence)}"
        )
    return str(stated)


def _precedence(written: Any, place: str) -> int:
    if type(written) is not int or abs(written) > _MOST_PRECEDENCE:
        raise ConfigurationError(
            f"{place}: precedence is {written!r}, must be a whole number from "
            f"-{_MOST_PRECEDENCE} to {_MOST_PRECEDENCE}; 0 if it is left out"
        )
    return written


def _checked(batch: Batch, layer: str, place: str) -> Batch:
    for number, value in enumerate(batch.values):
        try:
            _check_value(value, layer, place)
        except ConfigurationError:
            rows = zip(batch.columns.value, batch.columns.line, strict=True)
            for line in (line for each, line in rows if each == number):
                _check_value(value, layer, f"{place}:{line}")
    return batch


def _check_selection(written: Any, form: str, place: str) -> None:
    if not isinstance(written, str):
        raise ConfigurationError(f"{place}: 'select' must be text, got {written!r}")
    try:
        check_selection(written, form)
    except ValueError as error:
        raise ConfigurationError(f"{place}: select {written!r} {error}") from error


def _check_stated(value: Any, layer: str, place: str) -> None:
    """Check the value that a manifest states for every row of a source."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{place}: 'value' must be text, got {value!r}")
    if layer == "country" and not (countries.normalise(value) or subdivisions.normalise(value)):
        raise ConfigurationError(f"{place}: value {value!r}: {countries.suggestion(value)}")
    _check_value(value, layer, place)


def _check_value(value: str, layer: str, place: str) -> None:
    """Check what a row says. A country layer may hold pseudo codes, which are no country."""
    if not value.isprintable():  # the record of an image could not be read again
        raise ConfigurationError(
            f"{place}: value {value!r} has a character that cannot be printed; leave it out"
        )
    if layer == "country":
        if len(value) != 2 and subdivisions.normalise(value) is None:
            raise ConfigurationError(
                f"{place}: value {value!r} is neither a two-letter country code nor an "
                "ISO 3166-2 code such as UA-43"
            )
        return
    if layer == "asn":
        if not asns.parse(value):
            raise ConfigurationError(
                f"{place}: value {value!r}: write an AS number in digits, such as 64500"
            )
        return
    try:
        parse_claims(value)
    except ValueError as error:
        raise ConfigurationError(f"{place}: value {value!r}: {error}") from error
