"""What a record means: country, subdivision, AS number, and what a network is for.

A record is a map; which keys it has, each publisher decides:

=============  ===================================================================================
country        ``country.iso_code`` (MaxMind, DB-IP); ``country_code`` (ip-location-db, IPinfo);
               ``country`` as two letters (older IPinfo). ``registered_country`` tells where a
               network is registered, not where it is, and is never read; the same is
               ``country`` beside ``asn``, ``name`` and ``domain`` (IPinfo's table of AS numbers)
subdivision    ``subdivisions[0]``, the largest: ``iso_code``, or ``names.en`` where there is no
               code (DB-IP); ``region_code``, ``region``, ``state1``
AS number      ``autonomous_system_number`` (in ``traits``, too); ``asn``, as 13335 or "AS13335"
network        the flags ``is_anonymous_vpn``, ``is_hosting_provider``, ``is_public_proxy``,
               ``is_residential_proxy``, ``is_tor_exit_node`` (MaxMind; in ``traits``, too);
               ``vpn``, ``proxy``, ``tor``, ``relay``, ``hosting`` (IPinfo; in older files "true"),
               or the same with ``is_`` before it (IPinfo Core and Plus);
               ``provider_name``, ``service`` or ``privacy_name`` names who runs a VPN, proxy or
               relay
=============  ===================================================================================

Of a network with an AS number it is also said what our table says of that number or, if that has
not got it, what its organisation's name suggests: ``autonomous_system_organization``, ``as_name``,
or ``name``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from georestrict import asns, subdivisions
from georestrict.networks import SEPARATOR, Category, classify, hosting

#: The keys that say what a network is.
FLAGS = {
    "is_anonymous_vpn": Category.VPN,
    "is_hosting_provider": Category.HOSTING,
    "is_public_proxy": Category.PROXY,
    "is_residential_proxy": Category.PROXY,
    "is_tor_exit_node": Category.TOR,
    "vpn": Category.VPN,
    "proxy": Category.PROXY,
    "tor": Category.TOR,
    "relay": Category.RELAY,
    "hosting": Category.HOSTING,
    "is_vpn": Category.VPN,
    "is_proxy": Category.PROXY,
    "is_tor": Category.TOR,
    "is_relay": Category.RELAY,
    "is_hosting": Category.HOSTING,
}
#: The keys of IPinfo's table of AS numbers, whose ``country`` is where the AS is registered.
REGISTERED = frozenset({"asn", "domain", "name"})
_NUMBERS = ("autonomous_system_number", "asn")
_ORGANISATIONS = ("autonomous_system_organization", "as_name", "name")
_PROVIDERS = ("provider_name", "service", "privacy_name")
_NAMED = frozenset({Category.VPN, Category.PROXY, Category.RELAY})  # what the provider runs


class Meaning(NamedTuple):
    """What a record says."""

    country: str  #: code of the country or the subdivision, or empty
    network: str  #: claims with ``|`` between them, or empty
    asn: str  #: decimal, or empty


class Reading:
    """What to look for in records that have the same keys: most of a file's records do.

    Flags are trusted with a confidence.
    """

    def __init__(self, keys: Sequence[object], confidence: str) -> None:
        have = frozenset(keys)
        self._confidence = confidence
        self._has_place = bool(have & {"country", "country_code"})
        self._has_traits = "traits" in have
        self._sought = _Sought(
            tuple(pair for pair in FLAGS.items() if pair[0] in have),
            tuple(key for key in _NUMBERS if key in have),
        )
        self._code: Callable[[str, str, str], str] = cache(_code)

    def meaning(self, record: Mapping[str, Any]) -> Meaning:
        """Return what such a record says."""
        asked = _place(record) if self._has_place else None
        said = [(record, self._sought)]
        if self._has_traits and isinstance(record["traits"], Mapping):
            said.append((record["traits"], _ALL))
        number = _asn(said)
        return Meaning(
            self._code(*asked) if asked else "",
            _network(said, number, self._confidence),
            number,
        )


def told(record: Mapping[str, Any], layer: str, confidence: str) -> str:
    """Return what a record says for a layer, or nothing."""
    if layer == "country":
        asked = _place(record)
        return _code(*asked) if asked else ""
    said = [(record, _ALL)]
    number = _asn(said)
    return number if layer == "asn" else _network(said, number, confidence)


def fit(text: str) -> str:
    """Return a text without what stands between claims, or cannot be printed."""
    if text.isprintable() and SEPARATOR not in text:
        return text
    return "".join(each if each.isprintable() and each != SEPARATOR else " " for each in text)


class _Sought(NamedTuple):
    """The keys that are looked for in a map."""

    flags: tuple[tuple[str, Category], ...]
    numbers: tuple[str, ...]


_ALL = _Sought(tuple(FLAGS.items()), _NUMBERS)
# The maps of a record that say something of its network: itself, and its traits.
_Said = list[tuple[Mapping[str, Any], _Sought]]


def _place(record: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return a country's code, and the code and the name of the region; None without a country."""
    country = record.get("country")
    if isinstance(country, Mapping):
        code = country.get("iso_code")
    else:
        code = record.get("country_code", None if record.keys() >= REGISTERED else country)
    if not isinstance(code, str) or len(code) != 2 or not code.isprintable():
        return None
    listed = record.get("subdivisions")
    if isinstance(listed, list) and listed and isinstance(listed[0], Mapping):
        names = listed[0].get("names")
        region = listed[0].get("iso_code")
        called = names.get("en") if isinstance(names, Mapping) else None
    else:
        region = record.get("region_code")
        called = record.get("state1", record.get("region"))
    return code, _text(region), _text(called)


def _code(country: str, region: str, called: str) -> str:
    return subdivisions.code_of(country, region, called) or country.upper()


def _asn(said: _Said) -> str:
    for keys, (_, numbers) in said:
        for key in numbers:
            number = asns.parse(str(keys.get(key, "")))
            if number is not None:
                return str(number)
    return ""


def _network(said: _Said, number: str, confidence: str) -> str:
    """Return the claims of a record: its flags, then what its AS number adds."""
    claims: dict[str, str] = {}
    for keys, (flags, _) in said:
        for flag, category in flags:
            if keys.get(flag) in (True, "true"):
                named = _name(keys, *_PROVIDERS) if category in _NAMED else ""
                claim = ":".join(filter(None, (category, confidence, named)))
                claims.setdefault(category, claim)
    for claim in _of_asn(said, int(number)) if number else ():
        claims.setdefault(claim.partition(":")[0], claim)
    return SEPARATOR.join(claims.values())


def _of_asn(said: _Said, number: int) -> Iterable[str]:
    """Return what our table says of an AS number, or else what its organisation's name suggests."""
    known = hosting.known().get(number)
    if known is not None:
        return known.split(SEPARATOR)
    for keys, _ in said:
        name = _name(keys, *_ORGANISATIONS)
        suggested = classify(name) if name else None
        if suggested is not None:
            return (":".join((*suggested, name)),)
    return ()


def _name(keys: Mapping[str, Any], *wanted: str) -> str:
    """Return the first of these texts, fit for a claim; or empty."""
    return next((fit(text) for key in wanted if (text := _text(keys.get(key)))), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
