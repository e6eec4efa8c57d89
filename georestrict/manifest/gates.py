"""The gates of a manifest: what a new image must not be, if it is to be published by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from georestrict import countries, subdivisions
from georestrict._core import parse_network
from georestrict.errors import ConfigurationError
from georestrict.networks import Category, Confidence, parse_wanted

#: The share of its rows that a layer may not lose from one image to the next (acceptance row G11).
MOST_LOSS = 0.30
KEYS = ("most_loss", "canaries")
_CATEGORY = "category:"
_FORMS = 'a code such as "GB" or "UA-43", "" for no country, or "category:tor"'


class Canary(NamedTuple):
    """What every address of a network must appear to be: a country, none, or of a category."""

    network: str  #: as it was written
    version: int
    first: int
    last: int
    code: str  #: of a country or subdivision; empty: in no country, unless a category is asked for
    category: Category | None = None
    confidence: Confidence = Confidence.MEDIUM  #: at least

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        if self.category is not None:
            return f"{self.category}:{self.confidence} or surer"
        return self.code or "no country"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What ``georestrict update`` asks of a new image before it publishes it."""

    most_loss: float = MOST_LOSS  #: a layer that loses this share of its rows, or more, is refused
    canaries: tuple[Canary, ...] = ()


DEFAULT_GATES = Gates()


def read_gates(written: Any, place: str) -> Gates:
    """Check the table ``[gates]``.

    Raises:
        ConfigurationError: naming the place and the fix.
    """
    if not isinstance(written, dict):
        raise ConfigurationError(f"{place}: must be a table, such as [gates] with most_loss = 0.30")
    for key in written:
        if key not in KEYS:
            raise ConfigurationError(f"{place}: unknown key {key!r}: known are {', '.join(KEYS)}")
    loss = written.get("most_loss", MOST_LOSS)
    if isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 < loss <= 1:
        raise ConfigurationError(
            f"{place}: most_loss is {loss!r}, must be a share above 0 and up to 1, such as 0.30"
        )
    canaries = written.get("canaries", {})
    if not isinstance(canaries, dict):
        raise ConfigurationError(
            f"{place}: canaries must be a table, such as [gates.canaries] with "
            '"81.2.69.142" = "GB" below it'
        )
    return Gates(most_loss=loss, canaries=_canaries(canaries, f"{place}.canaries"))


def _canaries(written: Mapping[str, Any], place: str) -> tuple[Canary, ...]:
    found = []
    for text, value in written.items():
        where = f'{place}."{text if text.isprintable() else ascii(text)[1:-1]}"'
        try:
            network = parse_network(text)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        for each in value if isinstance(value, list) and value else [value]:
            found.append(_canary(text, network, each, where))
    return tuple(found)


def _canary(text: str, network: tuple[int, int, int], value: Any, where: str) -> Canary:
    if not isinstance(value, str):
        raise ConfigurationError(f"{where}: {value!r} must be {_FORMS}, or an array of these")
    if value.startswith(_CATEGORY):
        try:
            category, sure = parse_wanted(value.removeprefix(_CATEGORY))
        except ValueError as error:
            raise ConfigurationError(f"{where}: {value!r}: {error}") from error
        return Canary(text, *network, "", category, sure)
    code = countries.normalise(value) or subdivisions.normalise(value)
    if value and not code:
        raise ConfigurationError(
            f"{where}: {value!r}: {countries.suggestion(value)}; it may be {_FORMS}"
        )
    return Canary(text, *network, code or "")
