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
               ``vpn``, ``proxy``, ``tor``, ``relay``, ``hosting`` (IPinfo; in older files "true");
               ``provider_name`` or ``service`` names who runs a VPN, proxy or relay
=============  ===================================================================================

Of a network with an AS number it is also said what our table says of that number or, if that has
not got it, what its organisation's name suggests: ``autonomous_system_organization``, ``as_name``,
or ``name``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
}
#: The keys of IPinfo's table of AS numbers, whose ``country`` is where the AS is registered.
REGISTERED = frozenset({"asn", "domain", "name"})
_NAMED = frozenset({Category.VPN, Category.PROXY, Category.RELAY})  # what the provider runs


class Meaning(NamedTuple):
    """What a record says."""

    country: str  #: code of the country or the subdivision, or empty
    network: str  #: claims with ``|`` between them, or empty
    asn: str  #: decimal, or empty


def meaning_of(record: object, confidence: str) -> Meaning:
    """Return what a record says; its flags are trusted with this confidence."""
    if not isinstance(record, Mapping):
        return Meaning("", "", "")
    return Meaning(*(told(record, layer, confidence) for layer in Meaning._fields))


def told(record: Mapping[str, Any], layer: str, confidence: str) -> str:
    """Return what a record says for a layer, or nothing."""
    if layer == "country":
        return _place(record)
    number = _asn(record)
    return number if layer == "asn" else _network(record, number, confidence)


def _place(record: Mapping[str, Any]) -> str:
    country = record.get("country")
    if isinstance(country, Mapping):
        code = country.get("iso_code")
    else:
        code = record.get("country_code", None if record.keys() >= REGISTERED else country)
    if not isinstance(code, str) or len(code) != 2 or not code.isprintable():
        return ""
    listed = record.get("subdivisions")
    if isinstance(listed, list) and listed and isinstance(listed[0], Mapping):
        names = listed[0].get("names")
        region = listed[0].get("iso_code")
        called = names.get("en") if isinstance(names, Mapping) else None
    else:
        region = record.get("region_code")
        called = record.get("state1", record.get("region"))
    return subdivisions.code_of(code, _text(region), _text(called)) or code.upper()


def _asn(record: Mapping[str, Any]) -> str:
    for keys in _flat(record):
        for key in ("autonomous_system_number", "asn"):
            number = asns.parse(str(keys.get(key, "")))
            if number is not None:
                return str(number)
    return ""


def _network(record: Mapping[str, Any], number: str, confidence: str) -> str:
    """Return the claims of a record: its flags, then what its AS number adds."""
    claims: dict[str, str] = {}
    for keys in _flat(record):
        provider = _name(keys, "provider_name", "service")
        for flag, category in FLAGS.items():
            if keys.get(flag) in (True, "true"):
                named = provider if category in _NAMED else ""
                said = filter(None, (category, confidence, named))
                claims.setdefault(category, ":".join(said))
    for claim in _of_asn(record, int(number)) if number else ():
        claims.setdefault(claim.partition(":")[0], claim)
    return SEPARATOR.join(claims.values())


def _of_asn(record: Mapping[str, Any], number: int) -> Iterable[str]:
    """Return what our table says of an AS number, or else what its organisation's name suggests."""
    known = hosting.known().get(number)
    if known is not None:
        return known.split(SEPARATOR)
    for keys in _flat(record):
        name = _name(keys, "autonomous_system_organization", "as_name", "name")
        suggested = classify(name)
        if suggested is not None:
            return (":".join((*suggested, name)),)
    return ()


def _flat(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the maps of a record that say something of its network."""
    yield record
    traits = record.get("traits")
    if isinstance(traits, Mapping):
        yield traits


def _name(keys: Mapping[str, Any], *wanted: str) -> str:
    """Return the first of these texts, fit for a claim; or empty."""
    for key in wanted:
        text = _text(keys.get(key))
        if text:
            return "".join(
                each if each.isprintable() and each != SEPARATOR else " " for each in text
            )
    return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
