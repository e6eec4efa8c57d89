"""The address space, with what the default image and every reference say of each piece."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.second import NUMBERS, country
from data.spans import Answers, Overlay, Sizes, Steps, Where, from_batch, from_runs
from georestrict import Database
from georestrict.location import Location
from georestrict.networks import Category, Confidence
from georestrict.sources import Batch, packed

DATA = Path(__file__).parents[1]
FAMILIES = (4, 6)
_SLASH32, _SLASH48 = 1 << 32, 1 << 16  # in networks of /64
#: References that tell countries; "asn" tells AS numbers.
JUDGES = ("dbip", "geolite")


@dataclass(frozen=True, slots=True)
class Space:
    """One family, cut into pieces on which nobody changes their mind."""

    family: int
    overlay: Overlay
    classes: tuple[Location, ...]  #: what the image's class of a piece means
    claims: Mapping[str, tuple[str, ...]]  #: by source of networks: what its answers mean
    pieces: Sizes  #: the size of the judges' agreed range that a piece is part of

    @property
    def sizes(self) -> Sizes:
        """Addresses of IPv4, networks of /64 of IPv6."""
        return self.overlay.sizes

    def __getitem__(self, name: str) -> Answers:
        """What a source says of each piece."""
        return self.overlay[name]

    def size(self, where: Where) -> float:
        """Return how much the chosen pieces hold."""
        return float(self.sizes[where].sum())

    def asn_in(self, numbers: Iterable[int]) -> Where:
        """Return the pieces that one of these AS numbers announces."""
        return np.isin(self["asn"], [*numbers])

    def of_class(self, told: Callable[[Location], bool]) -> Where:
        """Return the pieces for which the image says what is asked."""
        return np.array([told(location) for location in self.classes], np.bool_)[self["class"]]

    def of_claims(self, source: str, told: Callable[[str], bool]) -> Where:
        """Return the pieces of which a source of networks makes such a claim."""
        means = [any(told(claim) for claim in row.split("|")) for row in self.claims[source]]
        return np.array(means, np.bool_)[self[source]]

    @property
    def image(self) -> Answers:
        """The country that the image says, 0 for none."""
        codes = [NUMBERS.get(location.country or "", 0) for location in self.classes]
        return np.array(codes, np.int64)[self["class"]]

    @property
    def truth(self) -> Answers:
        """The country on which DB-IP and GeoLite2 agree, 0 where they do not."""
        dbip, geolite = (country(self[judge]) for judge in JUDGES)
        return np.where(dbip == geolite, dbip, 0)

    @property
    def weights(self) -> Sizes:
        """What a piece counts where countries are judged.

        IPv4 counts by address, IPv6 by /48, what a customer gets (RFC 6177). An agreed range of the
        judges that is larger than a /32, what a provider gets, counts as one: else a few large
        allocations, mostly empty, would decide.
        """
        if self.family == 4:
            return self.sizes
        return self.sizes * np.minimum(1, _SLASH32 / self.pieces) / _SLASH48


def hosting(location: Location) -> bool:
    """Tell whether the image flags an address as hosting, at medium confidence or better."""
    confidence = location.categories.get(Category.HOSTING)
    return confidence is not None and confidence is not Confidence.LOW


def is_hosting_claim(claim: str) -> bool:
    """Tell whether a row of a source says hosting, at medium confidence or better."""
    category, _, rest = claim.partition(":")
    return category == Category.HOSTING and not rest.startswith(Confidence.LOW)


def build(references: Mapping[str, list[Batch]], database: Database) -> dict[int, Space]:
    """Return the spaces of both families; ``references`` has the rows of each by its name."""
    manifest = tomllib.loads((DATA / "sources.toml").read_text(encoding="utf-8"))["source"]
    files = {
        source["name"]: packed.read_batches(DATA / source["path"])
        for source in manifest
        if source["format"] == "packed"
    }
    networks = [source["name"] for source in manifest if source["layer"] == "network"]
    return {family: _space(family, references, files, networks, database) for family in FAMILIES}


def _space(
    family: int,
    references: Mapping[str, list[Batch]],
    files: Mapping[str, list[Batch]],
    networks: list[str],
    database: Database,
) -> Space:
    steps: dict[str, Steps] = {}
    claims: dict[str, tuple[str, ...]] = {}
    for name, batches in {**references, "ipfire": files["ipfire"]}.items():
        batch = _of(family, batches)
        numbers = NUMBERS
        if name == "asn":
            numbers = {value: int(value) for value in batch.values}
        steps[name] = from_batch(batch, numbers)
    for name in networks:
        batch = _of(family, files[name])
        claims[name] = ("", *batch.values)
        steps[name] = from_batch(batch, {value: at for at, value in enumerate(claims[name])})
    runs = database.table.runs(family)
    steps["class"] = from_runs(runs, family, range(len(database.classes)))
    overlay = Overlay(family, steps)
    judged = Overlay(family, {judge: steps[judge] for judge in JUDGES})
    piece = np.searchsorted(judged.starts, overlay.starts, "right") - 1
    return Space(family, overlay, database.classes, claims, judged.sizes[piece])


def _of(family: int, batches: list[Batch]) -> Batch:
    (batch,) = [batch for batch in batches if batch.version == family]
    return batch


def share(part: float, whole: float) -> float | None:
    """Return a share in percent, or None of nothing."""
    return round(100 * part / whole, 3) if whole else None
