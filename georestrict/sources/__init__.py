"""Readers: each yields the rows of one file format.

A row says that the addresses from ``first`` to ``last`` have a value: a country code, or what a
network is. What a value means, and which of two overlapping rows wins, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from georestrict.sources import mmdb, networks, packed, tor_geoip
from georestrict.sources.row import Batch, Row, gathered

#: Readers of files whose rows are for any layer.
READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "networks": networks.read,
    "packed": packed.read,
    "tor-geoip": tor_geoip.read,
}


#: File formats that a manifest may name.
FORMATS = ("mmdb", *READERS)


def read_batches(form: str, path: Path, layer: str) -> list[Batch]:
    """Return what a file says for a layer, as columns."""
    if form == "mmdb":
        return mmdb.read_batches(path, layer)
    return packed.read_batches(path) if form == "packed" else gathered(READERS[form](path))


__all__ = ["FORMATS", "READERS", "Batch", "Row", "gathered", "read_batches"]
