"""The sources of an image: what a manifest says of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from georestrict.record import Record


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
