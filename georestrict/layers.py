"""Layers: what each kind of source says about the address space, laid over each other.

Three layers are painted: ``country``, ``network`` and the special-purpose ranges. Within a layer
the source of the higher precedence wins, of equal ones the narrower range; ``network`` has such a
layer for each category, in which a higher confidence comes before the narrower range. Together they
give every address one *class*, a distinct combination of status, country or subdivision, and
claims. A fourth, ``asn``, is only recorded: AS numbers would make 100,000 classes, and a policy
names a few of them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from georestrict import countries, special, subdivisions
from georestrict._core import Columns, Runs, merge, relabel, resolve, spans
from georestrict.networks import SEPARATOR, TELLING, Category, Claim, Confidence, told
from georestrict.record import section_of
from georestrict.sources import Batch, packed, renamed

LAYERS = ("country", "network", "asn")
_VERSIONS = (4, 6)
_HIDING = tuple("" if meaning == "reachable" else meaning for meaning in special.MEANINGS)


class Painting(NamedTuple):
    """Runs of class ids for both families, and what each class id means."""

    ipv4: Runs
    ipv6: Runs
    classes: list[tuple[str, str, str]]  #: status, code of country or subdivision, claims


class Layer:
    """The rows of one layer, resolved: where they overlap, the winner stays.

    ``rank`` tells how high a value of a source ranks. Each row keeps a number of its own, so that a
    piece of the result tells which row it came from.
    """

    def __init__(
        self,
        batches: Iterable[tuple[str, Batch]],
        rank: Callable[[str, str], int] = lambda source, value: 0,
    ) -> None:
        self.values = [""]  # what the runs' values mean; 0: nothing
        self._origins: list[str] = []  # what the pieces' origins mean: source and value
        numbers = {"": 0}
        columns = {version: Columns.empty() for version in _VERSIONS}
        ranks = {version: array("i") for version in _VERSIONS}
        labels = {version: array("I", [0]) for version in _VERSIONS}
        self._origin_of = {version: array("I", [0]) for version in _VERSIONS}
        self._line_of = {version: array("I", [0]) for version in _VERSIONS}
        for source, (version, rows, values) in batches:
            for value in values:
                if numbers.setdefault(value, len(numbers)) == len(self.values):
                    self.values.append(value)
            label = [numbers[value] for value in values]
            labels[version].extend(map(label.__getitem__, rows.value))
            ranking = [rank(source, value) for value in values]
            if len(set(ranking)) == 1:
                ranks[version].extend(array("i", ranking[:1]) * len(rows.value))
            else:
                ranks[version].extend(map(ranking.__getitem__, rows.value))
            offset = len(self._origins)
            self._origins += [f"{source} {value}" for value in values]
            self._origin_of[version].extend(offset + value for value in rows.value)
            self._line_of[version].extend(rows.line)
            for column, more in zip(columns[version], rows, strict=True):
                column.extend(more)
        self._pieces: dict[int, Runs] = {}
        self.runs: dict[int, Runs] = {}
        for version in _VERSIONS:
            own_numbers = array("I", range(1, len(labels[version])))
            numbered = columns[version]._replace(value=own_numbers)
            self._pieces[version] = resolve(numbered, ranks[version])
            self.runs[version] = relabel(self._pieces[version], labels[version])

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


class Claims:
    """The network layer: a layer for each category, laid over each other.

    A row may hold several claims. Where claims of one category overlap, the source of the higher
    precedence wins, of equal ones the higher confidence; then the narrower range, then the later.
    """

    def __init__(
        self, batches: Iterable[tuple[str, Batch]], precedence: Mapping[str, int] | None = None
    ) -> None:
        parts: dict[Category, list[tuple[str, Batch]]] = {}
        for source, batch in batches:
            for category, part in _by_category(batch):
                parts.setdefault(category, []).append((source, part))
        higher = precedence or {}

        def rank(source: str, value: str) -> int:
            return higher.get(source, 0) * len(Confidence) + Claim.parse(value).confidence.rank

        #: in the order of telling
        self.categories: dict[str, Layer] = {
            category: Layer(parts[category], rank) for category in TELLING if category in parts
        }
        numbers = {"": 0}
        self.runs = {version: self._joined(version, numbers) for version in _VERSIONS}
        self.values = list(numbers)  #: what the runs' values mean: claims, as they are told

    def _joined(self, version: int, numbers: dict[str, int]) -> Runs:
        """Return the runs of all categories; their values are numbered as they appear."""
        runs, meanings = resolve(Columns.empty()), [[""]]
        for layer in self.categories.values():
            runs, pairs = merge(runs, layer.runs[version])
            meanings = [[*meanings[left], layer.values[right]] for left, right in pairs]
        joined = [told(filter(None, claims)) for claims in meanings]
        return relabel(runs, [numbers.setdefault(text, len(numbers)) for text in joined])


class Layers(NamedTuple):
    """The layers of an image."""

    country: Layer
    network: Claims
    asn: Layer | None  #: None if no source tells AS numbers
    rows: Mapping[tuple[str, str, int], int]  #: how many a layer has of a source and IP version

    @classmethod
    def of(
        cls,
        said: Mapping[str, Iterable[tuple[str, Batch]]],
        precedence: Mapping[str, int] | None = None,
    ) -> Layers:
        """Lay what sources say for each layer, with their names and, where not 0, precedence.

        Raises:
            ValueError: if a row of the network layer is no claim.
        """
        higher = precedence or {}
        counts: Counter[tuple[str, str, int]] = Counter()

        def rank(source: str, value: str) -> int:
            return higher.get(source, 0)

        def counted(layer: str) -> Iterator[tuple[str, Batch]]:
            for source, batch in said.get(layer, ()):
                counts[layer, source, batch.version] += len(batch.columns.value)
                yield source, batch

        return cls(
            Layer(counted("country"), rank),
            Claims(counted("network"), higher),
            Layer(counted("asn"), rank) if "asn" in said else None,
            counts,
        )

    def origins(self) -> dict[str, bytes]:
        """Return the cold record: the sections of an image that tell where its pieces came from."""
        layers = {"country": self.country, **self.network.categories}
        if self.asn is not None:
            layers["asn"] = self.asn
        return {section_of(name): layer.origin() for name, layer in layers.items()}


def paint(country: Layer, network: Claims) -> Painting:
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


def _by_category(batch: Batch) -> Iterator[tuple[Category, Batch]]:
    """Yield the rows of each category, with their claim of it."""
    claims = [
        {Claim.parse(claim).category: claim for claim in value.split(SEPARATOR)}
        for value in batch.values
    ]
    for category in TELLING:
        if any(category in said for said in claims):
            yield category, renamed(batch, [said.get(category) for said in claims])


def _class(country: str, network: str, hiding: str) -> tuple[str, str, str]:
    """A special-purpose address has no country; a pseudo code is none.

    What a source says of a whole looked-through network says nothing of a client in it.
    """
    if hiding:
        return hiding, "", "" if hiding == "looked-through" else network
    code = countries.normalise(country) or subdivisions.normalise(country)
    return ("known" if code else "unknown"), code or "", network
