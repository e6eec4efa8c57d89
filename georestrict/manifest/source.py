"""The sources of an image: what a manifest says of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from georestrict.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of data, with what must be known about it to use and to pass it on."""

    name: str
    title: str
    layer: str
    format: str | None  #: None: told by the content
    path: str
    date: date | None  #: None: the content's, or the file's; else the image's
    licence: str
    attribution: str
    sha256: str | None = None
    value: str | None = None  #: for formats whose rows have none
    select: str | None = None  #: which entries of a provider's feed are wanted
    confidence: str | None = None  #: in the flags of an MMDB; medium if it is left out
    precedence: int = 0  #: the higher wins within its layer, whatever the ranges' widths
    allow_empty: bool = False  #: whether it may say nothing
    fetch: Mapping[str, Any] | None = None  #: where ``georestrict update`` has the file from
    ages: bool = True  #: False of what an owner states: it holds until it is taken back


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """A layer of a compiled image, which knows the sources that it was made of."""

    name: str
    layer: str
    path: str
    sha256: str | None = None
    precedence: int = 0
    allow_empty: bool = False
    fetch: Mapping[str, Any] | None = None

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
                    ages=told.ages,
                )

    def within(self, name: str) -> str:
        """Return what a source of the image is called in a new one."""
        return f"{self.name}/{name}"


def recorded(source: Source, built: date) -> dict[str, Any]:
    """Return what an image that was built then keeps of a source: nothing of how it is fetched."""
    told = {
        "name": source.name,
        "title": source.title,
        "layer": source.layer,
        "format": source.format,
        "path": source.path,
        "date": (source.date or built).isoformat(),
        "licence": source.licence,
        "attribution": source.attribution,
        "sha256": source.sha256,
        "value": source.value,
        "select": source.select,
        "confidence": source.confidence,
        "precedence": source.precedence,
    }
    return told if source.ages else told | {"ages": False}
