"""The record of an image: its sources, and which range of which source won where.

It is cold: no lookup needs it. It tells people where an answer comes from, lets the table be
derived anew, and lets other images be made of its ranges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from georestrict.errors import FormatError
from georestrict.networks import TELLING, Category, parse_claims
from georestrict.sources import Batch, renamed
from georestrict.sources.packed import PackedRanges
from georestrict.table import Image

#: The data of the package.
DEFAULT_IMAGE = Path(__file__).with_name("default.grdb")
#: What reading damaged metadata may raise.
DAMAGES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """One source of an image: what it is, how old, and under which licence."""

    name: str
    title: str
    layer: str
    date: date
    licence: str
    attribution: str
    rows: tuple[int, int]  #: IPv4, IPv6
    ages: bool = True  #: False of what an owner states: it holds until it is taken back


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What an image says of itself."""

    path: str
    built: datetime
    sources: tuple[SourceInfo, ...]
    runs: tuple[int, int]  #: distinct neighbouring ranges, IPv4 and IPv6
    classes: int
    size_bytes: int


class Found(NamedTuple):
    """A recorded range that holds an address; its ends are numbers of the address's version."""

    source: str
    said: str
    first: int
    last: int
    line: int


class Record:
    """The record of an image; ``meta`` is what :func:`read_meta` returns, and is not kept.

    Raises:
        FormatError: if what the image says of itself is damaged.
    """

    def __init__(self, image: Image, meta: dict[str, Any]) -> None:
        self._image = image
        try:
            self.metadata = _metadata(meta, image)
        except DAMAGES as error:
            raise FormatError(f"{image.name}: damaged: {error}") from error
        self.dates = {source.name: source.date for source in self.metadata.sources}
        self._opened: dict[str, PackedRanges] = {}

    def sections(self, layer: str) -> list[str]:
        """Return the names of the sections that record a layer.

        The layer ``network`` has one for each category that there is; in images from before a
        network could have several claims there is one for all of them.
        """
        if layer == "country":
            return [section_of(layer)]
        names = (layer, *TELLING) if layer == "network" else (layer,)
        return [section for section in map(section_of, names) if section in self._image]

    def values(self, layer: str) -> Iterator[str]:
        """Yield everything that is said in a layer."""
        for packed in self._packed(layer):
            for value in packed.values:
                yield _parted(value)[1]

    def claimants(self) -> dict[Category, frozenset[str]]:
        """Return the categories that are told of networks, with the names of who tells them."""
        found: dict[Category, set[str]] = {}
        for packed in self._packed("network"):
            for source, said in map(_parted, packed.values):
                for claim in parse_claims(said) if said else ():
                    found.setdefault(claim.category, set()).add(source)
        return {category: frozenset(names) for category, names in found.items()}

    def batches(self, layer: str) -> Iterator[tuple[str, Batch]]:
        """Yield the ranges of a layer by the name of their source, with what it said."""
        for packed in self._packed(layer):
            for batch in packed.batches():
                origins = [_parted(value) for value in batch.values]
                for name in dict.fromkeys(source for source, _ in origins):
                    yield (
                        name,
                        renamed(
                            batch, [said if source == name else None for source, said in origins]
                        ),
                    )

    def find(self, layer: str, version: int, value: int) -> Iterator[Found]:
        """Yield the ranges of a layer that hold an address."""
        for packed in self._packed(layer):
            row = packed.find(version, value)
            if row is not None:
                yield Found(*_parted(row.value), row.first, row.last, row.line)

    def _packed(self, layer: str) -> Iterator[PackedRanges]:
        for name in self.sections(layer):
            packed = self._opened.get(name)
            if packed is None:
                packed = PackedRanges(self._image.section(name), f"{self._image.name}:{name}")
                self._opened[name] = packed
            yield packed


def read_meta(image: Image) -> dict[str, Any]:
    """Return what an image says of itself, as it was written.

    Raises:
        FormatError: if it is no JSON, or no object.
    """
    try:
        meta = json.loads(bytes(image.section("meta")))
    except (RecursionError, ValueError) as error:
        raise FormatError(f"{image.name}: damaged: {error}") from error
    if not isinstance(meta, dict):
        raise FormatError(f"{image.name}: damaged: its metadata is {meta!r:.60}")
    return meta


def section_of(name: str) -> str:
    """Return the name of the section that records a layer, or a category of ``network``."""
    return f"origin.{name}"


def _parted(recorded: str) -> tuple[str, str]:
    """Return the name of a source, and what it said."""
    source, _, said = recorded.partition(" ")
    return source, said


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.60} is neither true nor false")
    return value


def _metadata(meta: dict[str, Any], image: Image) -> Metadata:
    sources = tuple(
        SourceInfo(
            name=str(source["name"]),
            title=str(source["title"]),
            layer=str(source["layer"]),
            date=date.fromisoformat(source["date"]),
            licence=str(source["licence"]),
            attribution=str(source["attribution"]),
            rows=(int(source["rows"][0]), int(source["rows"][1])),
            ages=_flag(source.get("ages", True)),
        )
        for source in meta["sources"]
    )
    if not sources:
        raise ValueError("it names no source")
    return Metadata(
        path=image.name,
        built=datetime.fromisoformat(meta["built"]),
        sources=sources,
        runs=(int(meta["runs"][0]), int(meta["runs"][1])),
        classes=len(meta["classes"]),
        size_bytes=image.size,
    )
