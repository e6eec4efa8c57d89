"""Readers: each yields the rows of one file format.

A row says that the addresses from ``first`` to ``last`` have a value: a country code, or what a
network is. What a value means, and which of two overlapping rows wins, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from georestrict.sources import networks, packed, tor_geoip
from georestrict.sources.row import Batch, Row, gathered

#: File formats that a manifest may name.
READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "networks": networks.read,
    "packed": packed.read,
    "tor-geoip": tor_geoip.read,
}


def read_batches(form: str, path: Path) -> list[Batch]:
    """Return all rows of a file, as columns."""
    return packed.read_batches(path) if form == "packed" else gathered(READERS[form](path))


__all__ = ["READERS", "Batch", "Row", "gathered", "read_batches"]
