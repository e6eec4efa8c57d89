"""Layers: what each kind of source says about the address space, laid over each other.

Three layers make an image: ``country``, ``network`` and the special-purpose ranges. Within a
layer the narrower range wins; together they give every address one *class*, a distinct
combination of status, country and network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from georestrict import countries, special
from georestrict._core import Columns, Runs, merge, relabel, resolve
from georestrict.sources import Row, packed

_VERSIONS = (4, 6)
_HIDING = tuple("" if meaning == "reachable" else meaning for meaning in special.MEANINGS)


class Painting(NamedTuple):
    """Runs of class ids for both families, and what each class id means."""

    ipv4: Runs
    ipv6: Runs
    classes: list[tuple[str, str, str]]  #: status, country code or "", network or ""


class Layer:
    """The rows of one layer, resolved: where they overlap, the winner stays."""

    def __init__(self, name: str, rows: Iterable[tuple[str, Row]]) -> None:
        self.name = name
        self.values = [""]  # what the runs' values mean; 0: nothing
        self._counts: dict[tuple[str, int], int] = {}
        self._rows = [*rows]
        labels, numbers = [0], {"": 0}
        columns = {version: Columns.empty() for version in _VERSIONS}
        for number, (source, row) in enumerate(self._rows, 1):
            columns[row.version].append_native(row.version, row.first, row.last, number)
            label = numbers.setdefault(row.value, len(numbers))
            if label == len(self.values):
                self.values.append(row.value)
            labels.append(label)
            self._counts[source, row.version] = self._counts.get((source, row.version), 0) + 1
        self._pieces = {version: resolve(columns[version]) for version in _VERSIONS}
        self.runs = {version: relabel(self._pieces[version], labels) for version in _VERSIONS}

    def counts(self, source: str) -> list[int]:
        """Return how many IPv4 and how many IPv6 rows a source gave."""
        return [self._counts.get((source, version), 0) for version in _VERSIONS]

    def origin(self) -> bytes:
        """Return, packed, which row of which source each piece came from."""
        return packed.encode(row for version in _VERSIONS for row in self._origin(version))

    def _origin(self, version: int) -> Iterator[Row]:
        pieces = self._pieces[version]
        shift = 96 if version == 4 else 0
        starts = [start >> shift for start in pieces.starts()]
        ends = [*starts[1:], 1 << (128 - shift)]
        for first, end, number in zip(starts, ends, pieces.value, strict=True):
            if number:
                source, row = self._rows[number - 1]
                yield Row(version, first, end - 1, f"{source} {row.value}", row.line)


def paint(country: Layer, network: Layer) -> Painting:
    """Lay both layers and the special-purpose ranges over each other."""
    classes: dict[tuple[str, str, str], int] = {}
    painted = []
    for version in _VERSIONS:
        runs, below = merge(country.runs[version], network.runs[version])
        runs, above = merge(runs, special.RUNS[version])
        meanings = [
            _class(country.values[below[left][0]], network.values[below[left][1]], _HIDING[right])
            for left, right in above
        ]
        painted.append(
            relabel(runs, [classes.setdefault(meaning, len(classes)) for meaning in meanings])
        )
    return Painting(painted[0], painted[1], list(classes))


def _class(country: str, network: str, hiding: str) -> tuple[str, str, str]:
    """A special-purpose address has no country; a pseudo code is none.

    What a source says of a whole looked-through network says nothing of a client in it.
    """
    if hiding:
        return hiding, "", "" if hiding == "looked-through" else network
    code = countries.normalise(country)
    return ("known" if code else "unknown"), code or "", network
