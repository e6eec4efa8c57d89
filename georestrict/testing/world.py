"""The world in a small database, so that a test can ask as a client from anywhere.

Where an address lies can be read off it: the two letters of the country's code, by their place in
the alphabet, are its second and third part. In IPv4 it is ``11.3.14.1`` for CN (C is the third
letter, N the 14th), in IPv6 ``2e00:3:14::1``. Every country has the same 21 networks, one for each
category and confidence. The addresses must be public ones: those for documentation (RFC 5737) are
``private``, which has a case of its own in a policy. 11.0.0.0/8 is that of the US Department of
Defense, and 2e00::/16 has been given to nobody (IANA, "IPv6 Global Unicast Address Assignments").
Nothing is ever sent to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cache

from georestrict.countries import NAMES, normalise, suggestion
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.networks import Category, Confidence, parse_wanted
from georestrict.testing.tiny import tiny_database

#: No country: a public address that no source knows, and one that is not public at all.
NOWHERE = {
    "unknown": {4: "11.0.0.1", 6: "2e00::1"},
    "private": {4: "10.0.0.1", 6: "fd00::1"},
}
#: What the sources of the database say whose network it is.
PROVIDER = "Example"

# Addresses are an interface: a new category is added at the end.
_CATEGORIES = (
    Category.HOSTING,
    Category.VPN,
    Category.TOR,
    Category.RELAY,
    Category.PROXY,
    Category.CDN,
    Category.BOT,
)
_FIRST, _SIZE = 32, 8  # of the networks in the last part of an IPv4 address


def client_from(place: str, *, category: str | None = None, version: int = 4) -> str:
    """Return the address of a client that appears to be in a country, in the database ``world()``.

    ``place`` is an ISO 3166-1 code, ``"unknown"`` for a public address in no country, or
    ``"private"``. ``category`` puts the client into a network of that kind, known for sure
    (``"vpn"``) or as sure as is said (``"vpn:low"``). ``version`` is 4 or 6. The address is always
    the same one.

    >>> client_from("CN"), client_from("CN", version=6)
    ('11.3.14.1', '2e00:3:14::1')
    >>> world().lookup(client_from("DE", category="tor")).categories
    mappingproxy({<Category.TOR: 'tor'>: <Confidence.HIGH: 'high'>})

    Raises:
        ConfigurationError: for a place, category or version that there is not.
    """
    if version not in (4, 6):
        raise ConfigurationError(f"client_from: version is {version!r}, must be 4 or 6")
    if place in NOWHERE:
        if category is not None:
            raise ConfigurationError(
                f"client_from({place!r}): category is {category!r}, but only countries have "
                'networks; write a country, such as "CN"'
            )
        return NOWHERE[place][version]
    country = normalise(place) if isinstance(place, str) else None
    if country is None:
        told = suggestion(place) if isinstance(place, str) else "write a code of two letters"
        raise ConfigurationError(
            f'client_from: {place!r} is no country: {told}; or "unknown" or "private"'
        )
    if category is None:
        return _address(country, version, 0)
    try:
        kind, confidence = parse_wanted(category if ":" in category else f"{category}:high")
    except ValueError as error:
        raise ConfigurationError(f"client_from: category {category!r}: {error}") from None
    return _address(country, version, _network(kind, confidence))


def world(
    countries: Mapping[str, str] | None = None,
    networks: Mapping[str, str] | None = None,
    *,
    date: date | None = None,
) -> Database:
    """Return the database in which ``client_from`` has its addresses.

    ``countries`` and ``networks`` add ranges of your own, as in ``tiny_database``: regions, or what
    your own addresses are. ``date`` is that of all sources, today if left out, so that the data is
    not too old for any policy.

    >>> world({"198.35.26.0/24": "US-CA"}).lookup("198.35.26.1").subdivision
    'US-CA'
    """
    date = date or datetime.now(UTC).date()
    if not countries and not networks:
        return _world(date)
    return tiny_database(
        dict(_countries()) | {**(countries or {})},
        dict(_networks()) | {**(networks or {})},
        date=date,
    )


@cache
def _world(date: date) -> Database:
    return tiny_database(dict(_countries()), dict(_networks()), date=date)


def _countries() -> Iterator[tuple[str, str]]:
    for country in NAMES:
        first, second = _letters(country)
        yield f"11.{first}.{second}.0/24", country
        yield f"2e00:{first}:{second}::/48", country


def _networks() -> Iterator[tuple[str, str]]:
    for country in NAMES:
        first, second = _letters(country)
        for kind in _CATEGORIES:
            for confidence in Confidence:
                number, claim = _network(kind, confidence), f"{kind}:{confidence}:{PROVIDER}"
                yield f"11.{first}.{second}.{number}/29", claim
                yield f"2e00:{first}:{second}:{number}::/64", claim


def _network(kind: Category, confidence: Confidence) -> int:
    return _FIRST + _SIZE * (3 * _CATEGORIES.index(kind) + confidence.rank)


def _address(country: str, version: int, network: int) -> str:
    first, second = _letters(country)
    if version == 4:
        return f"11.{first}.{second}.{network + 1}"
    return f"2e00:{first}:{second}:{network}::1" if network else f"2e00:{first}:{second}::1"


def _letters(country: str) -> tuple[int, int]:
    first, second = (ord(letter) - ord("A") + 1 for letter in country)
    return first, second
