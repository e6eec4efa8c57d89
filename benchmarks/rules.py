"""Whether a policy's size is felt: 1,000 rules on 100 routes against 20 rules on 20.

Each rule warns or blocks five countries on one path; the policies differ in nothing else. Requests
go to every route in turn, from addresses of countries that no rule names. *Gate*: a whole ASGI
request that is plainly allowed. *Decide*: ``Engine.decide``, the way of everything else, from a
country that half the rules name. *By method*: every rule names methods, too. Both policies are
asked in the same run, and their answers are held to the rules first.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import apps
from benchmarks.common import random_ipv4, save, target
from georestrict import Database, Engine, Policy
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.countries import NAMES

SIZES = {"20": (20, 20), "1,000": (1000, 100)}
REQUESTS = 10_000
# issue 5: the start of the larger one, and what a request of it takes over one of the smaller
WANTED_SECONDS, WANTED_RATIO = 1.0, 1.25
NAMED, NOT_NAMED = "CN", "GB"


def policy_of(rules: int, routes: int, by_method: bool) -> dict[str, Any]:
    """Return a policy of so many rules, which never name GB, and every other of which names CN."""
    spread = random.Random(rules)
    codes = sorted(set(NAMES) - {NAMED, NOT_NAMED})
    more = {"methods": ["GET", "POST"]} if by_method else {}
    return {
        "default": "allow",
        "contact": "https://example.com/contact",
        "rules": [
            {
                "name": f"rule {number}",
                "action": "warn" if number % 2 else "block",
                "countries": [*spread.sample(codes, 4), NAMED][: 5 - number % 2],
                "paths": [f"/v{number % routes}/*"],
                **more,
            }
            for number in range(rules)
        ],
    }


def start_seconds(mapping: dict[str, Any], database: Database) -> float:
    """Return how long it takes from a mapping to an engine."""
    started = time.perf_counter()
    Engine(Policy.from_mapping(mapping), database=database)
    return time.perf_counter() - started


def decide(engine: Engine, addresses: list[str], routes: int) -> Callable[[], float]:
    """Return a run of decisions about addresses on every route in turn; nanoseconds each."""
    paths = [f"/v{number}/x" for number in range(routes)]
    asked = [(address, paths[at % routes]) for at, address in enumerate(addresses)]

    def run() -> float:
        started = time.thread_time_ns()
        for address, path in asked:
            engine.decide(address, path=path, raw_path=path.encode())
        return (time.thread_time_ns() - started) / len(asked)

    return run


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """The app."""


def serve(engine: Engine, addresses: list[str], routes: int) -> Callable[[], float]:
    """Return a run of allowed requests through the middleware; nanoseconds each."""
    guarded: Any = GeoRestrictMiddleware(nothing, engine=engine)
    call = type(guarded).__call__
    scopes = []
    for at, address in enumerate(addresses):
        path = f"/v{at % routes}/x"
        scope = apps.direct(address) | {"path": path, "raw_path": path.encode()}
        scopes.append(scope)

    def run() -> float:
        started = time.thread_time_ns()
        for scope in scopes:
            coroutine = call(guarded, scope, None, None)
            try:
                coroutine.send(None)
            except StopIteration:
                continue
        return (time.thread_time_ns() - started) / len(scopes)

    return run


def check(engine: Engine, addresses: dict[str, list[str]], routes: int) -> None:
    """Hold the answers to the rules."""
    for number in range(routes):
        named = engine.decide(addresses[NAMED][0], path=f"/v{number}/x")
        assert named.action.value == "block" or number % 2, named
        assert engine.decide(addresses[NOT_NAMED][0], path=f"/v{number}/x").plain_allow
    assert engine.decide(addresses[NAMED][0], path="/elsewhere").plain_allow


def main() -> None:
    """Check the policies, measure them, and write the result."""
    logging.getLogger("georestrict").setLevel(logging.ERROR)
    database = Database.open()
    addresses = addresses_of(database)
    candidates: dict[str, Callable[[], float]] = {}
    starts: dict[str, float] = {}
    for kind, by_method in (("by path", False), ("by method", True)):
        for name, (rules, routes) in SIZES.items():
            mapping = policy_of(rules, routes, by_method)
            starts[f"{name} rules {kind}"] = min(start_seconds(mapping, database) for _ in range(5))
            engine = Engine(mapping, database=database)
            check(engine, addresses, routes)
            candidates[f"gate, {name} rules {kind}"] = serve(engine, addresses[NOT_NAMED], routes)
            candidates[f"decide, {name} rules {kind}"] = decide(engine, addresses[NAMED], routes)
    times = apps.in_rounds(candidates)
    targets = [
        target(
            "1,000 rules on 100 routes, from a mapping to an engine, seconds",
            WANTED_SECONDS,
            round(max(starts.values()), 4),
        )
    ]
    for way in ("gate", "decide"):
        for kind in ("by path", "by method"):
            few, many = (times[f"{way}, {name} rules {kind}"] for name in SIZES)
            ratios = [much / little for much, little in zip(many, few, strict=True)]
            targets.append(
                target(
                    f"a request under 1,000 rules {kind} over one under 20, {way}",
                    WANTED_RATIO,
                    round(median(many) / median(few), 3),
                    [round(min(ratios), 3), round(max(ratios), 3)],
                )
            )
    save(
        "rules",
        {
            "rounds": apps.ROUNDS,
            "requests_a_round": REQUESTS,
            "start_seconds": {name: round(seconds, 4) for name, seconds in starts.items()},
            "whole_request_ns": {name: round(median(runs), 1) for name, runs in times.items()},
            "targets": targets,
        },
    )


def addresses_of(database: Database) -> dict[str, list[str]]:
    """Return so many addresses of each of the two countries."""
    found: dict[str, list[str]] = {NAMED: [], NOT_NAMED: []}
    for address in random_ipv4(200 * REQUESTS, 5):
        country = database.country(address)
        if country in found and len(found[country]) < REQUESTS:
            found[country].append(address)
    return found


if __name__ == "__main__":
    main()
