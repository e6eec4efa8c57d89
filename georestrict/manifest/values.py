"""What a row may say, and what a manifest may state for every row of a source."""

from __future__ import annotations

from typing import Any

from georestrict import asns, countries, subdivisions
from georestrict.errors import ConfigurationError
from georestrict.networks import parse_claims
from georestrict.sources import Batch


def checked(batch: Batch, layer: str, place: str) -> Batch:
    """Return rows of which every value may stand in a layer.

    Raises:
        ConfigurationError: naming the line, and what may stand there.
    """
    for number, value in enumerate(batch.values):
        try:
            _check_value(value, layer, place)
        except ConfigurationError:
            rows = zip(batch.columns.value, batch.columns.line, strict=True)
            for line in (line for each, line in rows if each == number):
                _check_value(value, layer, f"{place}:{line}")
    return batch


def check_stated(value: Any, layer: str, place: str) -> None:
    """Check the value that a manifest states for every row of a source."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{place}: 'value' must be text, got {value!r}")
    if layer == "country" and not (countries.normalise(value) or subdivisions.normalise(value)):
        raise ConfigurationError(f"{place}: value {value!r}: {countries.suggestion(value)}")
    _check_value(value, layer, place)


def _check_value(value: str, layer: str, place: str) -> None:
    """Check what a row says. A country layer may hold pseudo codes, which are no country."""
    if not value.isprintable():  # the record of an image could not be read again
        raise ConfigurationError(
            f"{place}: value {value!r} has a character that cannot be printed; leave it out"
        )
    if layer == "country":
        if len(value) != 2 and subdivisions.normalise(value) is None:
            raise ConfigurationError(
                f"{place}: value {value!r} is neither a two-letter country code nor an "
                "ISO 3166-2 code such as UA-43"
            )
        return
    if layer == "asn":
        if not asns.parse(value):
            raise ConfigurationError(
                f"{place}: value {value!r}: write an AS number in digits, such as 64500"
            )
        return
    try:
        parse_claims(value)
    except ValueError as error:
        raise ConfigurationError(f"{place}: value {value!r}: {error}") from error
