"""Making an image of sources: which range wins, and what is recorded of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from georestrict._core import grow
from georestrict.errors import ConfigurationError, FormatError
from georestrict.layers import Layers, paint
from georestrict.manifest.source import ImageSource, Source
from georestrict.manifest.values import checked
from georestrict.record import DEFAULT_IMAGE, Record, read_meta
from georestrict.sources import Batch, mmdb, read_batches
from georestrict.table import image
from georestrict.tomlfile import read_bytes

_DEFAULT = "default"


def compile_sources(
    sources: Sequence[Source | ImageSource], folder: Path, built: datetime | None
) -> bytes:
    """Read every source, its path relative to a folder, and return the bytes of an image.

    Raises:
        ConfigurationError: if a file is missing or its checksum is not the stated one.
        FormatError: if a file is not of its format.
    """
    records = {
        source.name: _record(source, folder)
        for source in sources
        if isinstance(source, ImageSource)
    }
    told: list[Source] = []
    for source in sources:
        if isinstance(source, Source):
            told.append(source)
        else:
            told += source.sources(records[source.name])
    said = {
        layer: _batches([each for each in sources if each.layer == layer], folder, records)
        for layer in {each.layer for each in sources}
    }
    layers = Layers.of(said, {source.name: source.precedence for source in told})
    return encode(layers, told, built or datetime.now(UTC))


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
            path=name,
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


def _batches(
    sources: Iterable[Source | ImageSource], folder: Path, records: Mapping[str, Record]
) -> Iterator[tuple[str, Batch]]:
    for source in sources:
        if isinstance(source, ImageSource):
            place = f"source {source.name!r}: {source.path}"
            for name, batch in records[source.name].batches(source.layer):
                yield source.within(name), checked(batch, source.layer, place)
            continue
        path = folder / source.path
        place = f"source {source.name!r}: {path}"
        data = _read(source, path)  # once: it may be a pipe, and has the stated checksum
        for batch in read_batches(
            source.format, data, str(path), source.layer, source.select, source.confidence
        ):
            values = [value or source.value or "" for value in batch.values]
            yield source.name, checked(batch._replace(values=values), source.layer, place)


def _record(source: ImageSource, folder: Path) -> Record:
    """Open the image of a source.

    Raises:
        DatabaseError: if it is no image, is damaged, or says nothing of the layer.
    """
    path = DEFAULT_IMAGE if source.path == _DEFAULT else folder / source.path
    opened = image.Image(memoryview(_read(source, path)), str(path))
    record = Record(opened, read_meta(opened))
    layers = dict.fromkeys(told.layer for told in record.metadata.sources)
    if source.layer not in layers:
        raise FormatError(
            f"source {source.name!r}: {path}: says nothing for the layer {source.layer!r}, "
            f"only for {[*layers]}"
        )
    return record


def _read(source: Source | ImageSource, path: Path) -> bytes:
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
