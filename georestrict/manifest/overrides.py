"""The owner's overrides: networks whose country the owner knows better than every source.

They beat all sources, whatever the precedence; of overrides that hold an address the narrowest
wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from georestrict import countries, subdivisions
from georestrict._core import parse_network
from georestrict.errors import ConfigurationError
from georestrict.manifest.source import Source
from georestrict.sources import Row
from georestrict.special import is_nowhere

#: The name of the source that overrides appear as.
NAME = "overrides"
#: As a source: without a date, it is as old as the image.
SOURCE = Source(
    name=NAME,
    title="the owner's overrides",
    layer="country",
    format=NAME,
    path="-",
    date=None,
    licence="the owner's",
    attribution="-",
    ages=False,
)


class Override(NamedTuple):
    """A network, and the code of the country or subdivision that it is to have."""

    version: int
    first: int
    last: int
    code: str
    line: int  #: in the manifest


def read(
    written: Any, lines: Mapping[tuple[str | int, ...], int], place: str
) -> tuple[Override, ...]:
    """Check the table ``[overrides]``; ``lines`` tells where its keys stand.

    Raises:
        ConfigurationError: naming the place and the fix.
    """
    if not isinstance(written, dict):
        raise ConfigurationError(
            f'{place}: must be a table, such as [overrides] with "9.9.9.0/24" = "DE" below it'
        )
    found: dict[tuple[int, int, int], str] = {}
    overrides = []
    for text, value in written.items():
        shown = text if text.isprintable() else ascii(text)[1:-1]
        where = f'{place}."{shown}"'
        try:
            network = parse_network(text)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        if network in found:
            raise ConfigurationError(
                f'{where}: the same network as "{found[network]}"; leave one of them out'
            )
        if is_nowhere(*network):
            raise ConfigurationError(
                f"{where}: no address in it has a country of its own (it is a special-purpose "
                "network); leave it out, and name it in a rule of the policy"
            )
        found[network] = text
        overrides.append(Override(*network, _code(value, where), lines[NAME, text]))
    return tuple(overrides)


def rows(overrides: tuple[Override, ...]) -> Iterator[Row]:
    """Yield the overrides as rows of a source."""
    for override in overrides:
        yield Row(*override)


def _code(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(
            f'{where}: {value!r} must be a code in quotes, such as "DE" or "UA-43"'
        )
    code = countries.normalise(value) or subdivisions.normalise(value)
    if not code:
        raise ConfigurationError(f"{where}: {value!r}: {countries.suggestion(value)}")
    return code
