"""Summaries of replays that never were, for the tests of the report and its pictures."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from georestrict.countries import NAMES
from georestrict.replay.summary import File, Judged, Summary

MADE = datetime(2026, 11, 23, 4, 43, tzinfo=UTC)
FIRST = datetime(2026, 11, 9, 0, 0, 4, tzinfo=UTC)
LAST = datetime(2026, 11, 22, 23, 59, 58, tzinfo=UTC)

By = dict[str, dict[str, int]]

#: How many of 10,000 requests each country makes; the rest is spread over all others.
SHARES = {
    "US": 2600, "DE": 1500, "GB": 980, "FR": 720, "IN": 610, "NL": 420, "JP": 390, "CN": 310,
    "BR": 300, "CA": 280, "PL": 210, "SE": 170, "SG": 150, "IR": 96, "RU": 88, "HK": 70, "BY": 31,
    "CU": 9, "SY": 7, "KP": 2, "unknown": 40, "private": 12, "unresolved": 3,
}  # fmt: skip
BLOCKED = ("CN", "IR", "KP", "CU", "SY")
WARNED = ("RU", "BY")

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "{{ 7 * 7 }}{% for x in y %}",
    "</style><style>body{display:none}</style>",
    "</title></svg><!--",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "\u202egnp.exe\u202c",
    "\x00\x1b[31m\x7f\x85\u2028",
    "\udcff\ud800",
    "a" * 3000,
    "ﷺ" * 40 + "e" + "\u0301" * 60,
    "",
)


def requests_of(total: int, shares: Mapping[str, int] = SHARES) -> dict[str, int]:
    """Return how many requests come from where."""
    found = {key: total * share // 10_000 for key, share in shares.items()}
    others = [code for code in NAMES if code not in found]
    rest = total - sum(found.values())
    weights = random.Random(8).choices(range(1, 400), k=len(others))
    for code, weight in zip(others, weights, strict=True):
        found[code] = rest * weight // sum(weights)
    found = {key: number for key, number in found.items() if key in shares or number > 400}
    found["US"] += total - sum(found.values())
    return found


def split(total: int, action: str, of: float = 1.0) -> dict[str, int]:
    """Return what is decided of some requests: a share of them is hit, the others allowed."""
    hit = round(total * of)
    return {name: number for name, number in (("allow", total - hit), (action, hit)) if number}


def judged(
    policy: str,
    requests: Mapping[str, int],
    *,
    blocked: Sequence[str] = BLOCKED,
    warned: Sequence[str] = WARNED,
    accounts: bool = False,
) -> Judged:
    """Return what a policy decides that blocks and warns by countries and blocks half of Tor."""
    chance = random.Random(policy)
    by_country = {
        key: split(number, "block")
        if key in blocked
        else split(number, "warn")
        if key in warned
        else split(number, "block", 0.004 if number > 2500 else 0)
        for key, number in requests.items()
    }
    every: dict[str, int] = {}
    for actions in by_country.values():
        for action, number in actions.items():
            every[action] = every.get(action, 0) + number
    sanctioned = sum(by_country.get(code, {}).get("block", 0) for code in blocked)
    rest = every.get("block", 0) - sanctioned
    hours = int((LAST - FIRST) / timedelta(hours=1)) + 1
    busy = {
        action: [
            (1.6 + (hour % 24 in range(*day)))
            * chance.uniform(0.8, 1.2)
            * (4 if action == "block" and hour in range(200, 206) else 1)
            * (hour not in (70, 71))
            for hour in range(hours)
        ]
        for action, day in (("allow", (7, 21)), ("warn", (4, 16)), ("block", (1, 11)))
    }
    timeline = {
        f"{FIRST + timedelta(hours=hour):%Y-%m-%dT%H}:00:00+00:00": {
            action: round(number * busy[action][hour] / sum(busy[action]))
            for action, number in every.items()
        }
        for hour in range(hours)
        if hour not in (70, 71)
    }  # fmt: skip
    return Judged(
        policy=policy,
        by_action={"allow": 0, "warn": 0, "block": 0} | every,
        by_reason={
            "default": {"allow": every.get("allow", 0)},
            "country": {"block": sanctioned, "warn": every.get("warn", 0)},
            "category": {"block": rest},
        },
        by_rule={
            "sanctioned countries": {"block": sanctioned},
            "countries we leave on 1 March": {"warn": every.get("warn", 0)},
            "anonymous networks": {"block": rest},
            "health checks": {"allow": 2016},
        },
        by_counted={"partners' networks": sum(requests.values()) // 90},
        by_country=by_country,
        by_category={
            "hosting": {"allow": sum(requests.values()) // 11, "block": rest // 2},
            "vpn": {"allow": sum(requests.values()) // 60},
            "tor": {"block": rest},
            "relay": {"allow": sum(requests.values()) // 40},
        },
        by_route={
            path: spread(every, share)
            for path, share in (
                ("/v1/chat/completions", 0.61), ("/v1/models", 0.14), ("/login", 0.07),
                ("/v1/files/{}", 0.05), ("/v1/files/{}/content", 0.04), ("/", 0.03),
                ("/docs/getting-started", 0.02), ("other", 0.04),
            )
        },
        by_network={
            network: {"block": number}
            for network, number in (
                ("175.16.199.0/24", 4812), ("5.160.44.0/24", 2903), ("2001:250:4000::/48", 1777),
                ("185.220.101.0/24", 1204), ("222.186.30.0/24", 998), ("91.108.4.0/24", 611),
            )
        },
        by_account={
            f"customer-{number:04}@example.{chance.choice(('com', 'net', 'org'))}": {
                "block": 4000 // number, "allow": 900 // number,
            }
            for number in range(1, 41)
        }
        if accounts
        else None,
        timeline=timeline,
        clients={"block": every.get("block", 0) // 61, "warn": every.get("warn", 0) // 44,
                 "allow": every.get("allow", 0) // 53},
    )  # fmt: skip


def spread(actions: Mapping[str, int], share: float) -> dict[str, int]:
    """Return a share of each."""
    return {action: round(number * share) for action, number in actions.items()}


def summary(*policies: Judged, requests: int, unparsed: int = 0, **more: object) -> Summary:
    """Put policies together."""
    values: dict[str, object] = {
        "requests": requests,
        "unparsed": unparsed,
        "clients": requests // 54,
        "first": FIRST,
        "last": LAST,
        "files": (
            File(name="/var/log/nginx/access.log", format="combined", requests=requests // 3,
                 unparsed=unparsed),
            File(name="/var/log/nginx/access.log.1.gz", format="combined",
                 requests=requests - requests // 3, unparsed=0),
        ),
        "policies": policies,
        "changes": {},
    }  # fmt: skip
    return Summary(**(values | more))  # type: ignore[arg-type]


def one() -> Summary:
    """Return two weeks of a service that has customers in most countries, by one policy."""
    return summary(
        judged("policy.toml", requests_of(1_204_331), accounts=True),
        requests=1_204_331, unparsed=118,
    )  # fmt: skip


def two() -> Summary:
    """Return the same by the policy in force and the next one, which blocks more."""
    requests = requests_of(1_204_331)
    live = judged("live.toml", requests)
    following = judged(
        "next.toml", requests, blocked=(*BLOCKED, "RU", "HK"), warned=("BY", "VE", "MM")
    )
    return summary(
        live, following, requests=1_204_331,
        changes={
            ("allow", "block"): {"HK": requests["HK"] - 34},
            ("allow", "warn"): {"VE": requests["VE"], "MM": requests["MM"]},
            ("warn", "block"): {"RU": requests["RU"]},
        },
    )  # fmt: skip


def nothing() -> Summary:
    """Return what there is of logs without a line."""
    empty = Judged(
        policy="policy.toml", by_action={"allow": 0, "warn": 0, "block": 0}, by_reason={},
        by_rule={}, by_counted={}, by_country={}, by_category={}, by_route={}, by_network={},
        by_account=None, timeline={}, clients={},
    )  # fmt: skip
    return summary(empty, requests=0, clients=0, first=None, last=None,
                   files=(File(name="access.log", format="combined", requests=0, unparsed=0),))  # fmt: skip


def hostile() -> Summary:
    """Return names that somebody chose who means harm."""
    by: By = {text: {"allow": 3, "warn": 2, "block": number}
              for number, text in enumerate(HOSTILE, 1)}  # fmt: skip
    total = {"allow": 45, "warn": 30, "block": sum(range(1, 16))}
    whole = Judged(
        policy=HOSTILE[0], by_action=total, by_reason=by, by_rule=by,
        by_counted=dict.fromkeys(HOSTILE, 1), by_country=by, by_category=by, by_route=by,
        by_network=by, by_account=by, timeline={"2026-11-23T04": total}, clients=total,
    )  # fmt: skip
    return summary(
        whole, requests=195, unparsed=1,
        files=tuple(File(name=text, format=text, requests=1, unparsed=0) for text in HOSTILE),
    )  # fmt: skip


def everywhere(accounts: int = 30) -> Summary:
    """Return hits in every country there is, by rules with very long names."""
    by_country: By = {
        code: {"allow": 900, "block": 7**(number % 9)}
        for number, code in enumerate(sorted(NAMES))
    }  # fmt: skip
    blocked = sum(actions["block"] for actions in by_country.values())
    name = "customers-of-the-subsidiary-that-was-sold-in-2019-and-of-its-successors-"
    by_rule: By = {
        f"{name * 3}{number}": {"block": blocked // 25} for number in range(25)
    }  # fmt: skip
    total = {"allow": 900 * len(NAMES), "warn": 0, "block": blocked}
    whole = Judged(
        policy="/etc/georestrict/policies/of/the/whole/group/of/companies/policy.toml",
        by_action=total, by_reason={"country": {"block": blocked}, "default": {"allow": 1}},
        by_rule=by_rule, by_counted={}, by_country=by_country, by_category={},
        by_route={f"/{'long/' * 20}{number}": {"block": 9} for number in range(60)},
        by_network={}, by_account={f"account-{number}": {"block": 1} for number in range(accounts)},
        timeline={f"{2020 + month // 12}-{month % 12 + 1:02}-{day:02}": {"allow": 9, "block": day}
                  for month in range(24) for day in range(1, 29)},
        clients={"block": 12_345_678},
    )  # fmt: skip
    return summary(whole, requests=total["allow"] + blocked)
