"""What a rule about accounts costs: a request that it touches, and one that it does not.

The rule is the tunnel's: seen in China within 14 days, and now in a hosting range. The same
requests go through the middleware under a policy without it. *Untouched*: a country that no rule
names. *Asked*: a hosting range, where the rule asks, of accounts that were not in China. *Kept*:
China, from where each request is kept, in the minute of the account's last one, and in a *new
minute*. *In many countries*: the same for ``account_countries``, which keeps and asks for every
request. A request without the rule passes the gate, so what is told is all that the slow way costs,
with ``identify`` and the store. Those who were in China go through ``Engine.decide`` instead:
through the middleware they would get a refusal. 10,000 accounts of each kind, in memory. What the
slow way costs without an account tells a rule on an attribute, about the same hosting ranges.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import apps
from benchmarks.common import random_ipv4, save, target
from georestrict import Database, Engine
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.networks import Category

REQUESTS = 2_000
ACCOUNTS = 10_000
# issue 6: what a request costs more that the rule touches, and one that it does not, of itself
WANTED_NS, WANTED_RATIO = 10_000.0, 1.05
UNTOUCHED, SEEN = "GB", "CN"
START = 1_780_000_000.0  # seconds since the epoch, when the accounts' first requests are
IN_CLOUDS = {"action": "block", "categories": ["hosting", "vpn", "tor"]}
BARE: dict[str, Any] = {"default": "allow", "contact": apps.CONTACT}
TUNNEL: dict[str, Any] = BARE | {
    "rules": [
        {
            "name": "tunnel",
            **IN_CLOUDS,
            "account_seen_in": {"countries": [SEEN], "within": "14d"},
        }
    ]
}
ATTRIBUTE: dict[str, Any] = BARE | {
    "rules": [{"name": "told", **IN_CLOUDS, "attributes": {"plan": ["free"]}}]
}
MANY: dict[str, Any] = BARE | {
    "rules": [
        {
            "name": "hopping",
            "action": "block",
            "networks": ["0.0.0.0/0", "::/0"],
            "account_countries": {"more_than": 3, "within": "1d"},
        }
    ]
}


class Clock:
    """The engines' time."""

    now = START

    def __call__(self) -> float:
        """Return it."""
        return self.now


def serve(
    engine: Engine, addresses: list[str], accounts: list[str], clock: Clock, later: int
) -> Callable[[], float]:
    """Return a run of allowed requests of accounts in turn, so many seconds later.

    It returns nanoseconds each. Before, untimed, each account has sent a request.
    """
    guarded: Any = GeoRestrictMiddleware(
        nothing, engine=engine, identify=lambda scope: scope["account"]
    )
    call = type(guarded).__call__
    scopes = [
        apps.direct(address) | {"account": accounts[at % len(accounts)]}
        for at, address in enumerate(addresses)
    ]

    def run() -> float:
        send()
        clock.now += later
        started = time.thread_time_ns()
        send()
        return (time.thread_time_ns() - started) / len(scopes)

    def send() -> None:
        for scope in scopes:
            coroutine = call(guarded, scope, None, None)
            try:
                coroutine.send(None)
            except StopIteration:
                continue

    return run


def decide(engine: Engine, addresses: list[str], accounts: list[str]) -> Callable[[], float]:
    """Return a run of decisions about accounts in turn; nanoseconds each."""
    asked = [(each, accounts[at % len(accounts)]) for at, each in enumerate(addresses)]

    def run() -> float:
        started = time.thread_time_ns()
        for address, account in asked:
            engine.decide(address, account=account)
        return (time.thread_time_ns() - started) / len(asked)

    return run


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """The app."""


def addresses_of(database: Database) -> dict[str, list[str]]:
    """Return addresses of the two countries, and some in hosting ranges elsewhere."""
    found: dict[str, list[str]] = {UNTOUCHED: [], SEEN: [], "hosting": []}
    for address in random_ipv4(400 * REQUESTS, 6):
        location = database.lookup(address)
        hosts = Category.HOSTING in location.categories
        kind = "hosting" if hosts and location.country not in (None, SEEN) else location.country
        if kind in found and (not location.categories or kind == "hosting"):
            found[kind] += [address] * (len(found[kind]) < REQUESTS)
    return found


def check(engine: Engine, addresses: dict[str, list[str]]) -> None:
    """Hold the answers to the rule."""
    cloud, seen = addresses["hosting"][0], addresses[SEEN][0]
    assert engine.decide(cloud, account="checked").plain_allow
    assert engine.decide(seen, account="checked").plain_allow
    assert engine.decide(cloud, account="checked").rule == "tunnel"
    assert engine.decide(cloud, account="another").plain_allow
    assert engine.decide(addresses[UNTOUCHED][0], account="checked").plain_allow


def main() -> None:
    """Check the policy, measure it, and write the result."""
    logging.getLogger("georestrict").setLevel(logging.ERROR)
    database, clock = Database.open(), Clock()
    addresses = addresses_of(database)
    bare = Engine(BARE, database=database, clock=clock)
    tunnel = Engine(TUNNEL, database=database, clock=clock)
    many = Engine(MANY, database=database, clock=clock)
    told = Engine(ATTRIBUTE, database=database, clock=clock)
    check(tunnel, addresses)
    strangers = [f"stranger {number}" for number in range(ACCOUNTS)]
    travellers = [f"traveller {number}" for number in range(ACCOUNTS)]
    for account in travellers:
        tunnel.decide(addresses[SEEN][0], account=account)
    candidates: dict[str, Callable[[], float]] = {}
    for what, kind, engine, accounts, later in (
        ("untouched", UNTOUCHED, tunnel, strangers, 0),
        ("asked", "hosting", tunnel, strangers, 0),
        ("kept", SEEN, tunnel, travellers, 0),
        ("kept in a new minute", SEEN, tunnel, travellers, 60),
        ("in many countries", UNTOUCHED, many, strangers, 0),
        ("in many countries in a new minute", UNTOUCHED, many, strangers, 60),
    ):
        for name, one in ((f"{what}, no rule", bare), (what, engine)):
            candidates[name] = serve(one, addresses[kind], accounts, clock, later)
    candidates["asked for an attribute"] = serve(told, addresses["hosting"], strangers, clock, 0)
    for what, accounts in (("was not there", strangers), ("was there", travellers)):
        for name, engine in ((f"decide, {what}, no rule", bare), (f"decide, {what}", tunnel)):
            candidates[name] = decide(engine, addresses["hosting"], accounts)
    times = apps.in_rounds(candidates)
    targets = [ratio("a request that the rule does not touch", times, "untouched")]
    for name in candidates:
        if not name.startswith(("untouched", "decide")) and f"{name}, no rule" in candidates:
            what = f"a request through the middleware: {name}"
            targets.append(added(what, times, name))
            targets.append(added(what, times, name, "asked for an attribute"))
    for name in ("decide, was not there", "decide, was there"):
        targets.append(added(f"a decision: {name.partition(', ')[2]}", times, name))
    save(
        "pasts",
        {
            "rounds": apps.ROUNDS,
            "requests_a_round": REQUESTS,
            "accounts": ACCOUNTS,
            "whole_request_ns": {name: round(median(runs), 1) for name, runs in times.items()},
            "targets": targets,
        },
    )


def ratio(what: str, times: dict[str, list[float]], name: str) -> dict[str, Any]:
    """Return how long something takes with the rule over without it, in the quickest rounds.

    A round takes less than a millisecond, so that medians of two equal engines differ by 7 %.
    """
    much, little = (min(times[each]) for each in (name, f"{name}, no rule"))
    return target(f"{what}, over one without it", WANTED_RATIO, round(much / little, 3))


def added(
    what: str, times: dict[str, list[float]], name: str, base: str | None = None
) -> dict[str, Any]:
    """Return what something takes with the rule more than without it, or than something else."""
    pairs = zip(times[name], times[base or f"{name}, no rule"], strict=True)
    more = [round(much - little, 1) for much, little in pairs]
    return target(
        f"{what}, over {base or 'no rule'}, nanoseconds",
        WANTED_NS,
        round(median(more), 1),
        [min(more), max(more)],
    )


if __name__ == "__main__":
    main()
