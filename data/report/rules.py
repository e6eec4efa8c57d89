"""Rules tried: how a second country source could be laid over IPFire's, and what came of it.

DB-IP and GeoLite2 judge; no rule sees them, but for the last one, which says what a perfect choice
among the sources would reach. A rule is taken only if it is right far more often than wrong in both
halves of the AS numbers (even and odd) and in IPv6 too, and if no country loses by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from data.report.places import LEAST, figures
from data.report.space import Space, hosting
from data.second import CODES, NUMBERS, chosen, country, hong_kong, region
from data.spans import Answers, Where

_MOST = 0.8  # of what IPFire knows of an AS by more than the registry
_LOSS = 0.1  # points of recall


class Rule(NamedTuple):
    """A way to choose; it returns the country that is to win, or 0."""

    name: str
    choose: Callable[[Space], Answers]
    taken: bool = False


def measure(spaces: Mapping[int, Space]) -> list[dict[str, Any]]:
    """Return what each rule would change, on IPv4 by address and on IPv6 by /48."""
    return [_measure(rule, spaces) for rule in RULES]


def _measure(rule: Rule, spaces: Mapping[int, Space]) -> dict[str, Any]:
    four, six = spaces[4], spaces[6]
    row: dict[str, Any] = {"rule": rule.name, "taken": rule.taken}
    for space in (four, six):
        before = country(space["ipfire"])
        over = rule.choose(space)
        after = np.where(over > 0, over, before)
        changed = (space.truth > 0) & (after != before)
        odd = space["asn"] % 2 == 1
        name = f"ipv{space.family}"
        row[name] = _changes(space, before, after, changed)
        everywhere = np.ones(len(after), np.bool_)
        told = figures(space, after, everywhere)
        row[name]["recall"] = told[""]["recall"]
        if space is four:
            row["even"] = _changes(space, before, after, changed & ~odd)
            row["odd"] = _changes(space, before, after, changed & odd)
            first = figures(space, before, everywhere)
            row["HK"] = {key: told["HK"][key] for key in ("recall", "false")}
            row["SG"] = {key: told["SG"][key] for key in ("recall", "false")}
            row["losing"] = sorted(
                code
                for code, figure in told.items()
                if code
                and figure["there"] >= LEAST
                and figure["recall"] < first[code]["recall"] - _LOSS
            )
    return row


def _changes(space: Space, before: Answers, after: Answers, changed: Where) -> dict[str, int]:
    truth, weights = space.truth, space.weights
    right, wrong = changed & (after == truth), changed & (before == truth)
    return {
        "better": round(float(weights[right].sum())),
        "worse": round(float(weights[wrong].sum())),
        "neither": round(float(weights[changed & ~right & ~wrong].sum())),
    }


def _filled(name: str) -> Callable[[Space], Answers]:
    return lambda space: np.where(country(space["ipfire"]) == 0, country(space[name]), 0)


def _filled_alike(space: Space) -> Answers:
    registry, iptoasn = country(space["registry"]), country(space["iptoasn"])
    return np.where((country(space["ipfire"]) == 0) & (registry == iptoasn), registry, 0)


def _filled_most(space: Space) -> Answers:
    """The country in which IPFire puts most of what the AS announces."""
    ipfire = country(space["ipfire"])
    most = _most_of_as(space, (ipfire > 0) & (space["asn"] > 0))
    return np.where((ipfire == 0) & (space["asn"] > 0), most, 0)


def _alike_in_hosting(space: Space) -> Answers:
    registry, iptoasn = country(space["registry"]), country(space["iptoasn"])
    return np.where(space.of_class(hosting) & (registry == iptoasn), registry, 0)


def _repeats_in_hosting(space: Space) -> Answers:
    repeats = space["ipfire"] == space["registry"]
    return np.where(space.of_class(hosting) & repeats, country(space["iptoasn"]), 0)


def _leased(space: Space) -> Answers:
    """American by registration only, from an AS whose other networks IPFire knows to be abroad."""
    ipfire, registry = country(space["ipfire"]), country(space["registry"])
    informed = (ipfire > 0) & (ipfire != registry) & (registry > 0) & (space["asn"] > 0)
    most = _most_of_as(space, informed)
    repeats = (ipfire == NUMBERS["US"]) & (registry == ipfire)
    return np.where(repeats & (most == country(space["iptoasn"])), most, 0)


def _most_of_as(space: Space, where: Where) -> Answers:
    """Return for each piece the country of most of its AS's chosen space, or 0."""
    asns, of = np.unique(space["asn"], return_inverse=True)
    keys, inverse = np.unique(
        of[where] * len(CODES) + country(space["ipfire"])[where], return_inverse=True
    )
    held = np.bincount(inverse, space.sizes[where])
    owner = keys // len(CODES)
    order = np.lexsort((held, owner))
    owner, code, held = owner[order], (keys % len(CODES))[order], held[order]
    last = np.append(owner[1:] != owner[:-1], True)[: len(owner)]
    whole = np.bincount(owner, held, minlength=len(asns))
    most = np.zeros(len(asns), np.int64)
    sure = held[last] >= _MOST * whole[owner[last]]
    most[owner[last]] = np.where(sure, code[last], 0)
    return most[of]


def _perfect(space: Space) -> Answers:
    truth = space.truth
    known = np.zeros(len(truth), np.bool_)
    for name in ("ipfire", "registry", "iptoasn"):
        known |= space[name] == truth
    return np.where(known, truth, 0)


RULES = (
    Rule("IPFire alone", lambda space: np.zeros(len(space.sizes), np.int64)),
    Rule("IPFire has no country: the registry's", _filled("registry")),
    Rule("IPFire has no country: IPtoASN's", _filled("iptoasn")),
    Rule("IPFire has no country: registry and IPtoASN agree", _filled_alike),
    Rule("IPFire has no country: where it puts 80 % of the AS", _filled_most),
    Rule(
        "region: IPFire has EU or AP, the others a country there",
        lambda space: region(space.overlay),
        taken=True,
    ),
    Rule(
        "hong-kong: CN in IPFire only, HK in IPtoASN (IPv4)",
        lambda space: hong_kong(space.overlay),
        taken=True,
    ),
    Rule("both: the default", lambda space: chosen(space.overlay), taken=True),
    Rule("hosting: registry and IPtoASN agree against IPFire", _alike_in_hosting),
    Rule("hosting: IPFire repeats the registry, IPtoASN's instead", _repeats_in_hosting),
    Rule("leased: US by registration, AS and its other networks abroad", _leased),
    Rule("a perfect choice among the three (sees the judges)", _perfect),
)
