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

from georestrict.manifest.document import Manifest
from georestrict.manifest.entry import FORMATS
from georestrict.manifest.gates import Canary, Gates
from georestrict.manifest.making import compile_mmdb, encode
from georestrict.manifest.overrides import Override
from georestrict.manifest.source import ImageSource, Source

__all__ = [
    "FORMATS",
    "Canary",
    "Gates",
    "ImageSource",
    "Manifest",
    "Override",
    "Source",
    "compile_mmdb",
    "encode",
]
