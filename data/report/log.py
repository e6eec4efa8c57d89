"""A request log: what an API vendor's policies do to customers of whom most live in clouds.

The log is made up, but of real addresses, by a seeded generator: 70 % of the requests come from
hosting space in countries that the vendor supports, 3 % from hosting space elsewhere, 24 % from
other networks in all countries, each drawn by the number of addresses. The rest are 600 accounts
that ask once from a country that is not supported, and then ten times each from clouds in supported
ones. Every seventh request is IPv6. Of the others, twenty requests in turn from the same AS number
and country make one account. The country in which DB-IP and GeoLite2 agree is taken for the true
one; where they do not agree, no request comes from.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.report.space import Space, hosting, share
from data.second import CODES, NUMBERS
from data.spans import Where
from georestrict import Action, Database, Engine
from georestrict.networks import Category, Confidence

_EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
DIRECT, TUNNEL = "ai-vendor-direct.toml", "ai-vendor-tunnel.toml"
LENIENT = " with an allow rule for clouds"  # after one of these names
REQUESTS = 200_000
SEED = 2024_07_09
AT = datetime(2026, 11, 22, tzinfo=UTC)  # after the policy's block_from
_IPV6 = 1 / 7
_SHOWN = 12


_OF_ACCOUNT = 20
#: Accounts of people elsewhere, who come back through tunnels.
PEOPLE, TUNNELS = "people elsewhere", "the same accounts through clouds"


class Source(NamedTuple):
    """Where a part of the requests comes from."""

    name: str
    part: float
    hosting: bool
    supported: bool | None  #: None: supported or not


SOURCES = (
    Source("clouds in supported countries", 0.70, True, True),
    Source("clouds elsewhere", 0.03, True, False),
    Source("eyeballs", 0.237, False, None),
    Source(PEOPLE, 0.003, False, False),
    Source(TUNNELS, 0.03, True, True),
)


class Asked(NamedTuple):
    """One request."""

    address: IPv4Address | IPv6Address
    country: str
    asn: int
    account: str = ""


def supported() -> frozenset[str]:
    """Return the countries that the policy serves."""
    rules = tomllib.loads((_EXAMPLES / DIRECT).read_text(encoding="utf-8"))["rules"]
    (rule,) = [rule for rule in rules if rule["name"] == "unsupported"]
    return frozenset(rule["unless"]["countries"])


def draw(spaces: Mapping[int, Space], count: int = REQUESTS) -> dict[str, list[Asked]]:
    """Draw the requests; the same ones from the same data."""
    random = np.random.default_rng(SEED)
    served = np.zeros(len(CODES), np.bool_)
    served[[NUMBERS[code] for code in supported()]] = True
    log: dict[str, list[Asked]] = {}
    for source in SOURCES:
        asked: list[Asked] = []
        for family, part in ((4, 1 - _IPV6), (6, _IPV6)):
            space = spaces[family]
            where = _from(space, source, served)
            asked += _drawn(space, where, round(count * source.part * part), random)
        asked = [asked[at] for at in random.permutation(len(asked)).tolist()]
        if source.name in (PEOPLE, TUNNELS):
            people = max(1, round(count * _part(PEOPLE)))
            named = [one._replace(account=f"person {at % people}") for at, one in enumerate(asked)]
        else:
            named = _customers(asked, source.name)
        log[source.name] = named
    return log


def _part(name: str) -> float:
    return next(source.part for source in SOURCES if source.name == name)


def _customers(log: list[Asked], name: str) -> list[Asked]:
    """Give each request an account: one AS number, one country, a number of requests."""
    seen: Counter[tuple[int, str]] = Counter()
    named = []
    for asked in log:
        key = asked.asn, asked.country
        account = f"{name} {asked.asn} {asked.country} {seen[key] // _OF_ACCOUNT}"
        named.append(asked._replace(account=account))
        seen[key] += 1
    return named


def _from(space: Space, source: Source, served: Where) -> Where:
    # An exit that its operator, or Tor, lists is no customer's machine.
    exits = space.of_class(
        lambda location: any(
            location.categories.get(category) is Confidence.HIGH
            for category in (Category.TOR, Category.VPN)
        )
    )
    where = (space.truth > 0) & (space["asn"] > 0) & ~exits
    where &= space.of_class(hosting) == source.hosting
    if source.supported is not None:
        where &= served[space.truth] == source.supported
    return where


def _drawn(space: Space, where: Where, count: int, random: np.random.Generator) -> list[Asked]:
    chosen = np.nonzero(where)[0]
    if not len(chosen):
        return []
    weights = space.weights[chosen]
    pieces = chosen[random.choice(len(chosen), count, p=weights / weights.sum())]
    starts = space.overlay.starts[pieces]
    units = starts + (random.random(count) * space.sizes[pieces]).astype(np.uint64)
    countries, asns = space.truth[pieces], space["asn"][pieces]
    made = IPv4Address if space.family == 4 else (lambda unit: IPv6Address(unit << 64 | 1))
    return [
        Asked(made(unit), CODES[country], asn)
        for unit, country, asn in zip(
            units.tolist(), countries.tolist(), asns.tolist(), strict=True
        )
    ]


def measure(spaces: Mapping[int, Space], database: Database) -> dict[str, Any]:
    """Return what the policies do to each part of the log, and why."""
    log = draw(spaces)
    served = supported()
    return {
        "requests": sum(map(len, log.values())),
        "seed": SEED,
        "at": AT.isoformat(),
        "policies": {
            name: [_judge(part, asked, engine, served) for part, asked in log.items()]
            for name, policy in policies().items()
            for engine in (Engine(policy, database=database),)  # each with accounts of its own
        },
    }


def policies() -> dict[str, Mapping[str, Any]]:
    """Return the examples as they stand, and such that judge no cloud by its country.

    An allow rule is needed: an exception of the rule "unsupported" would leave clouds in no
    country to the fallback.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name in (DIRECT, TUNNEL):
        stands = tomllib.loads((_EXAMPLES / name).read_text(encoding="utf-8"))
        del stands["tests"]
        at = [rule["name"] for rule in stands["rules"]].index("unsupported")
        clouds = {"name": "clouds", "action": "allow", "categories": ["hosting"]}
        found[name] = stands
        found[name + LENIENT] = stands | {
            "rules": [*stands["rules"][:at], clouds, *stands["rules"][at:]]
        }
    return found


def _judge(name: str, log: list[Asked], engine: Engine, served: frozenset[str]) -> dict[str, Any]:
    wrongly: Counter[tuple[str, str]] = Counter()
    networks: Counter[tuple[int, str, str]] = Counter()
    by_country: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    unsupported: Counter[str] = Counter()
    allowed = 0
    for asked in log:
        decision = engine.decide(
            asked.address,
            at=AT,
            path="/v1/chat/completions",
            method="POST",
            account=asked.account,
        )
        passes = decision.action is Action.ALLOW
        allowed += passes
        if asked.country not in served:
            unsupported[asked.country] += 1
            missed[asked.country] += passes
        elif not passes:
            said = decision.country or "no country"
            why = {"anonymous": "the network", "tunnel": "the account"}.get(
                decision.rule or "", said
            )
            wrongly[decision.rule or "", why] += 1
            networks[asked.asn, asked.country, why] += 1
            by_country[asked.country] += 1
    refused = sum(wrongly.values())
    right = len(log) - sum(unsupported.values())
    return {
        "part": name,
        "requests": len(log),
        "allowed": allowed,
        "supported": right,
        "refused": refused,
        "refused_share": share(refused, right),
        "refused_why": [
            {"rule": rule, "image": why, "requests": count}
            for (rule, why), count in wrongly.most_common(_SHOWN)
        ],
        "refused_networks": [
            {"asn": asn, "country": country, "image": why, "requests": count}
            for (asn, country, why), count in networks.most_common(_SHOWN)
        ],
        "refused_countries": dict(by_country.most_common(_SHOWN)),
        "unsupported": sum(unsupported.values()),
        "missed": sum(missed.values()),
        "missed_share": share(sum(missed.values()), sum(unsupported.values())),
        "missed_countries": {
            country: {"requests": unsupported[country], "passed": count}
            for country, count in missed.most_common(_SHOWN)
            if count
        },
    }
