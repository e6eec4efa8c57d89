"""Making an image of sources: which range wins, and what is recorded of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from georestrict._core import grow
from georestrict.errors import FormatError
from georestrict.layers import Layers, paint
from georestrict.manifest import overrides
from georestrict.manifest.entry import MOST_PRECEDENCE, check_fit
from georestrict.manifest.files import changed, read_content, read_file
from georestrict.manifest.overrides import Override
from georestrict.manifest.source import ImageSource, Source, recorded
from georestrict.manifest.values import checked
from georestrict.record import DEFAULT_IMAGE, Record, read_meta
from georestrict.sources import (
    Batch,
    Content,
    check_format,
    date_of,
    detect_source,
    gathered,
    mmdb,
    read_batches,
)
from georestrict.sources.container import unpacked
from georestrict.table import image

#: Is called with what is being done, and how much of the whole is behind it, from 0 to 1.
Progress = Callable[[str, float], None]

_DEFAULT = "default"


def compile_sources(
    sources: Sequence[Source | ImageSource],
    folder: Path,
    *,
    owners: tuple[Override, ...] = (),
    built: datetime | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Read every source, its path relative to a folder, and return the bytes of an image.

    Raises:
        ConfigurationError: if a file is missing or its checksum is not the stated one.
        FormatError: if a file is not of its format, or has no networks.
    """
    return _Making(sources, folder, owners, progress).image(built or datetime.now(UTC))


class _Making:
    """One image in the making; what sources say of themselves is known when they are read."""

    def __init__(
        self,
        sources: Sequence[Source | ImageSource],
        folder: Path,
        owners: tuple[Override, ...],
        progress: Progress | None,
    ) -> None:
        self._sources, self._folder, self._owners = sources, folder, owners
        self._progress = progress or (lambda what, share: None)
        self._records = {
            source.name: _record(source, folder)
            for source in sources
            if isinstance(source, ImageSource)
        }
        self._told = {
            source.name: [source]
            if isinstance(source, Source)
            else [*source.sources(self._records[source.name])]
            for source in sources
        }
        self._read = 0

    def image(self, built: datetime) -> bytes:
        """Return the bytes of the image."""
        layers = {source.layer for source in self._sources}
        precedence = {each.name: each.precedence for same in self._told.values() for each in same}
        if self._owners:
            layers.add(overrides.SOURCE.layer)
            precedence[overrides.NAME] = MOST_PRECEDENCE + 1
        laid = Layers.of({layer: self._batches(layer) for layer in layers}, precedence)
        told = [each for same in self._told.values() for each in same]
        self._tell("painting")
        data = encode(laid, told + [overrides.SOURCE] * bool(self._owners), built)
        self._progress("done", 1.0)
        return data

    def _tell(self, what: str) -> None:
        self._progress(what, self._read / (2 * len(self._sources)))  # painting takes the other half

    def _batches(self, layer: str) -> Iterator[tuple[str, Batch]]:
        for source in self._sources:
            if source.layer == layer:
                self._tell(f"reading {source.name}")
                yield from self._said(source)
                self._read += 1
        if layer == overrides.SOURCE.layer:
            for batch in gathered(overrides.rows(self._owners)):
                yield overrides.NAME, batch

    def _said(self, source: Source | ImageSource) -> Iterator[tuple[str, Batch]]:
        place = f"source {source.name!r}: {self._folder / source.path}"
        if isinstance(source, ImageSource):
            place = f"source {source.name!r}: {source.path}"
            batches = self._records[source.name].batches(source.layer)
            said = ((source.within(name), batch) for name, batch in batches)
        else:
            told, found = _read(source, self._folder / source.path)
            self._told[source.name] = [told]
            said = ((source.name, batch) for batch in found)
        empty = True
        for name, batch in said:
            empty = empty and not batch.columns.value
            yield name, checked(batch, source.layer, place)
        if empty and not source.allow_empty:
            raise FormatError(
                f"{place}: has no networks; fetch the file again, or set allow_empty = true if it "
                "may have none"
            )


def _read(source: Source, path: Path) -> tuple[Source, list[Batch]]:
    """Return a source with its format and its date, and what it says for its layer."""
    place, name = f"source {source.name!r}", str(path)
    content = unpacked(read_content(path, source.sha256, place), name)
    if source.format is not None:
        form = source.format
        _check_stated(form, content, name)
    else:
        form = detect_source(content, name)
        if form == "image":
            raise FormatError(f'{place}: {path} is a compiled image; write format = "image"')
        check_fit(source, form, f"{place}: {path}")
    stated = [
        batch._replace(values=[value or source.value or "" for value in batch.values])
        for batch in read_batches(
            form, content, name, source.layer, source.select, source.confidence
        )
    ]
    dated = source.date or date_of(form, content, name) or changed(path, place)
    return replace(source, format=form, date=dated), stated


def _check_stated(form: str, content: Content, name: str) -> None:
    """Refuse content of another format; of what is of none, its reader tells the line."""
    try:
        detect_source(content, name)
    except FormatError:
        return
    check_format(form, content, name)


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
            recorded(source, built.date())
            | {"rows": [layers.rows[source.layer, source.name, version] for version in (4, 6)]}
            for source in sources
        ],
    }
    sections = {"meta": json.dumps(meta, separators=(",", ":")).encode(), "cells": cells.tobytes()}
    return image.encode(sections | layers.origins())


def _record(source: ImageSource, folder: Path) -> Record:
    """Open the image of a source.

    Raises:
        DatabaseError: if it is no image, is damaged, or says nothing of the layer.
    """
    path = DEFAULT_IMAGE if source.path == _DEFAULT else folder / source.path
    place = f"source {source.name!r}"
    opened = image.Image(memoryview(read_file(path, source.sha256, place)), str(path))
    record = Record(opened, read_meta(opened))
    layers = dict.fromkeys(told.layer for told in record.metadata.sources)
    if source.layer not in layers:
        raise FormatError(
            f"{place}: {path}: says nothing for the layer {source.layer!r}, only for {[*layers]}"
        )
    return record
