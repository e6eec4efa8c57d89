"""Layers: what each kind of source says about the address space, laid over each other.

Three layers are painted: ``country``, ``network`` and the special-purpose ranges. Within a layer
the narrower range wins; together they give every address one *class*, a distinct combination of
status, country or subdivision, and network. A fourth, ``asn``, is only recorded: AS numbers would
make 100,000 classes, and a policy names a few of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple

from georestrict import countries, special, subdivisions
from georestrict._core import Columns, Runs, merge, relabel, resolve, spans
from georestrict.sources import Batch, packed

#: Every image has these; ``asn`` only if a source tells AS numbers.
PAINTED = ("country", "network")
LAYERS = (*PAINTED, "asn")
_VERSIONS = (4, 6)
_HIDING = tuple("" if meaning == "reachable" else meaning for meaning in special.MEANINGS)


class Painting(NamedTuple):
    """Runs of class ids for both families, and what each class id means."""

    ipv4: Runs
    ipv6: Runs
    classes: list[tuple[str, str, str]]  #: status, code of country or subdivision, network


class Layer:
    """The rows of one layer, resolved: where they overlap, the winner stays.

    Each row keeps a number of its own, so that a piece of the result tells which row it came from.
    """

    def __init__(self, name: str, batches: Iterable[tuple[str, Batch]]) -> None:
        self.name = name
        self.values = [""]  # what the runs' values mean; 0: nothing
        self._origins: list[str] = []  # what the pieces' origins mean: source and value
        self._counts: dict[tuple[str, int], int] = {}
        numbers = {"": 0}
        columns = {version: Columns.empty() for version in _VERSIONS}
        labels = {version: array("I", [0]) for version in _VERSIONS}
        self._origin_of = {version: array("I", [0]) for version in _VERSIONS}
        self._line_of = {version: array("I", [0]) for version in _VERSIONS}
        for source, (version, rows, values) in batches:
            for value in values:
                if numbers.setdefault(value, len(numbers)) == len(self.values):
                    self.values.append(value)
            label = [numbers[value] for value in values]
            labels[version].extend(map(label.__getitem__, rows.value))
            offset = len(self._origins)
            self._origins += [f"{source} {value}" for value in values]
            self._origin_of[version].extend(offset + value for value in rows.value)
            self._line_of[version].extend(rows.line)
            for column, more in zip(columns[version], rows, strict=True):
                column.extend(more)
            key = source, version
            self._counts[key] = self._counts.get(key, 0) + len(rows.value)
        self._pieces: dict[int, Runs] = {}
        self.runs: dict[int, Runs] = {}
        for version in _VERSIONS:
            own_numbers = array("I", range(1, len(labels[version])))
            self._pieces[version] = resolve(columns[version]._replace(value=own_numbers))
            self.runs[version] = relabel(self._pieces[version], labels[version])

    def counts(self, source: str) -> list[int]:
        """Return how many IPv4 and how many IPv6 rows a source gave."""
        return [self._counts.get((source, version), 0) for version in _VERSIONS]

    def origin(self) -> bytes:
        """Return, packed, which row of which source each piece came from."""
        return packed.encode(self._origin(version) for version in _VERSIONS)

    def _origin(self, version: int) -> Batch:
        pieces = spans(self._pieces[version])
        columns = pieces._replace(
            value=array("I", map(self._origin_of[version].__getitem__, pieces.value)),
            line=array("I", map(self._line_of[version].__getitem__, pieces.value)),
        )
        return Batch(version, columns, self._origins)


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
    code = countries.normalise(country) or subdivisions.normalise(country)
    return ("known" if code else "unknown"), code or "", network
