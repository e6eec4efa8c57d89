"""Policies and requests as Hypothesis makes them: the engine says what the plain evaluator says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from georestrict import BACKEND, Database, Engine, asgi
from tests import test_truth as truth
from tests import web
from tests.reference import EVERYWHERE, Answer, Asked, Seen, counted, decide


def examples(number: int) -> settings:
    """So many policies; on the plain core, which takes 25 times as long to paint one, fewer."""
    return settings(
        deadline=None,
        max_examples=number if BACKEND == "compiled" else number // 8,
        suppress_health_check=[HealthCheck.too_slow],
    )


WHERE: dict[str, list[Any]] = {
    "countries": ["CN", "hk", "GB", "@eu", "US", "UA"],
    "subdivisions": ["UA-43", "us-tx"],
    "continents": ["EU", "as", "NA"],
    "categories": ["tor", "vpn", "vpn:high", "vpn:low", "hosting:low", "relay"],
    "lists": ["partners", "wide", "narrow"],
    "networks": ["81.2.69.0/24", "175.16.199.1", "2001:218::/32", "10.0.0.0/8", "9.9.9.9", *EVERYWHERE],
    "asns": [45102, "AS16509"],
}  # fmt: skip
WHAT_FOR: dict[str, list[Any]] = {
    "hosts": ["api.example.com", "*.example.com"],
    "paths": ["/admin", "/v1/*", "/healthz", "/v*/x", "/*"],
    "methods": ["GET", "post"],
    "protocols": ["http", "websocket"],
    "credentials": ["partner", "staff"],
}
ATTRIBUTES = {"customer": ["eligible", "trial"], "plan": ["free", "paid"]}
DATES = [truth.JUNE_24, truth.JUNE_25, truth.NOW, truth.JULY_9]
ADDRESSES = [
    truth.GB, truth.CN, truth.SE, truth.JP, truth.US, truth.HK, truth.NO, truth.UA, truth.CRIMEA, truth.TEXAS,
    truth.HK_ELSEWHERE, truth.TOR, truth.VPN_LOW, truth.VPN_MEDIUM, truth.VPN_HIGH, truth.RELAY, truth.PROXY,
    truth.TOR_IN_A_CLOUD, truth.RELAY_IN_A_CLOUD, truth.HOSTED, truth.VPN_IN_A_CLOUD,
    truth.PROBE, truth.CN_PARTNER, truth.PRIVATE_PARTNER, truth.IR, truth.UNKNOWN, truth.PRIVATE, truth.NOBODY,
    "::ffff:175.16.199.1",
]  # fmt: skip
TARGETS = [
    "/", "/admin", "/admin/", "/admin/x", "//admin", "/x/../admin", "/%61dmin", "/v1/chat", "/v1", "/v1/../admin",
    "/healthz", "/healthz/", "/Admin", "/V1/chat", "/v2/x", "/v2//x",
]  # fmt: skip
HEADERS = [
    (b"x-partner-key", b"partner-1"),
    (b"x-partner-key", b"guess"),
    (b"authorization", b"Bearer staff"),
]
KEYS = {name: truth.KEYS[name] for name in ("partner", "staff")}


def some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def words_of(words: Mapping[str, list[Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.sampled_from(sorted(words)).flatmap(
        lambda word: some(words[word]).map(lambda values: (word, values))
    )


attributes = st.tuples(
    st.just("attributes"),
    st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)), st.just(["eligible", "paid"]), min_size=1),
)
within = st.sampled_from(["1h", "1d", "14d", "30d"])
through = {"categories": some(["vpn", "tor", "relay", "hosting"])}
places = some(["CN", "hk", "GB", "@eu", "US", "UA"])
pasts = st.one_of(
    st.tuples(
        st.just("account_seen_in"),
        st.fixed_dictionaries({"countries": places, "within": within}, optional=through)
        | st.fixed_dictionaries({"outside": places, "within": within}, optional=through)
        | st.fixed_dictionaries({"within": within, **through}),
    ),
    st.tuples(
        st.just("account_countries"),
        st.fixed_dictionaries({"more_than": st.integers(0, 4), "within": within}, optional=through),
    ),
)
any_words = words_of(WHERE | WHAT_FOR) | attributes | pasts
tables = st.lists(any_words, min_size=1, max_size=2).map(dict)
everyone_else = st.just(("networks", EVERYWHERE))


@st.composite
def schedules(draw: st.DrawFn) -> dict[str, Any]:
    first, second = sorted(
        draw(st.lists(st.sampled_from(DATES), min_size=2, max_size=2, unique=True))
    )
    both = {"warn_from": first, "block_from": second}
    return {
        key: both[key]
        for key in draw(st.sampled_from([("warn_from",), ("block_from",), tuple(both)]))
    }


@st.composite
def rules(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A rule of one to four words that says where from, or a rule that allows."""
    how: dict[str, Any] = draw(
        st.sampled_from(["allow", "warn", "block", "count"]).map(lambda action: {"action": action})
        | schedules()
    )
    words = dict(draw(st.lists(any_words, max_size=3)))
    if how.get("action") != "allow" or not words:
        words |= dict([draw(words_of(WHERE) | everyone_else)])
    rule = {"name": name, **how, **words}
    if draw(st.integers(0, 3)) == 0:
        rule["until"] = draw(st.sampled_from(DATES))
        if "block_from" in rule and rule["until"] <= rule["block_from"]:
            rule["until"] = rule["block_from"] + timedelta(days=30)
        if "warn_from" in rule and rule["until"] <= rule["warn_from"]:
            rule["until"] = rule["warn_from"] + timedelta(days=30)
    if draw(st.integers(0, 2)) == 0:
        rule["unless"] = draw(tables | st.lists(tables, min_size=1, max_size=3))
    return rule


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """A policy of one to twelve rules."""
    count = draw(st.integers(1, 12))
    document: dict[str, Any] = {
        "default": draw(st.sampled_from(["allow", "block"])),
        "rules": [draw(rules(f"rule-{number}")) for number in range(count)],
        "lists": truth.LISTS,
        "credentials": KEYS,
    }
    if draw(st.booleans()):
        cases = st.sampled_from(["unknown", "private", "unresolved", "no_data"])
        document["fallback"] = draw(
            st.dictionaries(cases, st.sampled_from(["allow", "warn", "block"]), min_size=1)
        )
    if draw(st.integers(0, 3)) == 0:
        document["mode"] = "dry-run"
    if draw(st.integers(0, 3)) == 0:
        document["paths_ignore_case"] = True
    return document


# Each is reached at one of the dates, or before them.
limits = st.sampled_from(["24d", "30d", "38d", "1w"])
other_limits = st.fixed_dictionaries(
    {"stale_after": limits}, optional={"stale_action": st.sampled_from(["keep", "ignore"])}
)
of_categories = st.dictionaries(
    st.sampled_from(["tor", "vpn", "hosting", "relay"]), other_limits, min_size=1
)


@st.composite
def aged_policies(draw: st.DrawFn) -> dict[str, Any]:
    """A policy that says how old something may grow."""
    document = draw(policies())
    if draw(st.booleans()):
        document["stale_after"] = draw(limits)
        document |= draw(
            st.fixed_dictionaries(
                {}, optional={"stale_action": st.sampled_from(["no_data", "warn", "keep"])}
            )
        )
    if draw(st.booleans()):
        document["categories"] = draw(of_categories)
    document["lists"] = {
        name: entry | draw(st.just({}) | other_limits) for name, entry in truth.LISTS.items()
    }
    return document


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """A request, most often for one of the interesting times, addresses and paths."""
    target = draw(st.sampled_from(TARGETS))
    protocol = draw(st.sampled_from(["http", "http", "websocket"]))
    return Asked(
        address=draw(st.sampled_from(ADDRESSES)),
        path=unquote(target),
        raw_path=draw(st.sampled_from([target.encode(), target.encode(), None])),
        method=draw(st.sampled_from(["GET", "POST", "HEAD"])) if protocol == "http" else "GET",
        host=draw(
            st.sampled_from(
                ["", "api.example.com", "API.example.com:443", "www.example.com", "a.example"]
            )
        ),
        protocol=protocol,
        headers=draw(st.lists(st.sampled_from(HEADERS), max_size=2)),
        attributes=draw(
            st.fixed_dictionaries(
                {}, optional={name: st.sampled_from(values) for name, values in ATTRIBUTES.items()}
            )
        ),
        account=draw(st.sampled_from([None, "", "ann", "ann", "bob"])),
        at=draw(st.sampled_from(DATES))
        - draw(st.sampled_from([timedelta(), timedelta(seconds=1)])),
    )


# One after the other, as accounts have a past.
stories = st.lists(requests(), min_size=1, max_size=12).map(
    lambda asked: sorted(asked, key=lambda one: one.at)
)


@dataclass(frozen=True)
class House:
    """Where the lists are written, and the database to judge over."""

    folder: Path
    database: Database

    def engine(self, policy: Mapping[str, Any], now: list[float] | None = None) -> Engine:
        """An engine whose clock stands at ``now[0]``."""
        places = {
            name: {**entry, "path": str(self.folder / f"{name}.txt")}
            for name, entry in policy["lists"].items()
        }
        moment = [0.0] if now is None else now
        return Engine({**policy, "lists": places}, database=self.database, clock=lambda: moment[0])


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("lists")
    for name in truth.WORLD.lists:
        truth.write_list(folder, name)
    return House(folder, truth.world_database())


def question(asked: Asked) -> dict[str, Any]:
    return {
        "path": asked.path,
        "raw_path": asked.raw_path,
        "method": asked.method,
        "host": asked.host,
        "protocol": asked.protocol,
        "headers": asked.headers,
        "attributes": asked.attributes,
        "account": asked.account,
    }


def answer(engine: Engine, asked: Asked) -> Answer:
    return truth.told(engine.decide(asked.address, **question(asked), at=asked.at))


def compare(house: House, policy: Mapping[str, Any], asked: list[Asked]) -> None:
    engine = house.engine(policy)
    history: list[Seen] = []
    for one in asked:
        assert answer(engine, one) == decide(policy, truth.WORLD, one, history)


@examples(100)
@given(policies(), stories)
def test_the_engine_says_what_the_plain_evaluator_says(
    house: House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    compare(house, policy, asked)


@examples(150)
@given(aged_policies(), stories)
def test_h8_and_i7_the_engine_says_what_the_plain_evaluator_says_of_data_that_grows_old(
    house: House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    compare(house, policy, asked)


@pytest.mark.slow
@examples(2000)
@given(policies(), stories)
def test_the_engine_says_what_the_plain_evaluator_says_thousands_of_times(
    house: House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    compare(house, policy, asked)


def scope_of(asked: Asked) -> dict[str, Any]:
    """The request as a server hands it to the ASGI middleware."""
    scope = web.scope_of(web.Request(peer=asked.address, method=asked.method), type=asked.protocol)
    host = [(b"host", asked.host.encode())] if asked.host else []
    scope |= {"path": asked.path, "raw_path": asked.raw_path, "headers": [*host, *asked.headers]}
    return scope


@examples(150)
@given(policies() | aged_policies(), stories)
def test_the_gate_does_each_time_what_the_engine_says_at_that_time_and_counts_it(
    house: House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    now = [0.0]
    engine = house.engine(policy, now)
    current: dict[str, Any] = {}
    app = web.Recorder()
    guarded = asgi.GeoRestrictMiddleware(
        app.asgi,
        engine=engine,
        annotate=True,
        attributes=lambda scope: current["attributes"],
        identify=lambda scope: current["account"],
    )
    history: list[Seen] = []
    expected: Counter[Answer] = Counter()
    for one in asked:
        now[0] = one.at.timestamp()
        current |= {"attributes": one.attributes, "account": one.account}
        wanted = decide(policy, truth.WORLD, one, history)
        for _ in range(2):  # the second time by what was remembered of the first
            app.served = False
            web.run_asgi(guarded, scope_of(one), ({"type": "websocket.connect"},))
            assert app.served is (wanted.action != "block")
            if app.served:
                assert truth.told(app.left["georestrict"]) == wanted
            expected[counted(wanted)] += 1
        assert answer(engine, one) == wanted  # at a time that is given, which is the clock's:
        assert truth.told(engine.decide(one.address, **question(one))) == wanted
    counts: Counter[Answer] = Counter()
    for decision, count in engine.counts.items():
        counts[counted(truth.told(decision))] += count
    assert counts == expected


def reversed_arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: reversed_arrays(inner) if key != "rules" else [reversed_arrays(rule) for rule in inner]
            for key, inner in reversed([*value.items()])
        }  # fmt: skip
    return (
        [reversed_arrays(inner) for inner in reversed(value)] if isinstance(value, list) else value
    )


@examples(100)
@given(policies(), stories)
def test_the_order_of_values_and_of_words_does_not_matter(
    house: House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    engine, other = house.engine(policy), house.engine(reversed_arrays(policy))
    for one in asked:
        assert answer(engine, one) == answer(other, one)


@examples(100)
@given(policies(), rules("added"), requests())
def test_a_rule_after_the_one_that_decided_changes_nothing(
    house: House, policy: dict[str, Any], added: dict[str, Any], asked: Asked
) -> None:
    before = answer(house.engine(policy), asked)
    if before.rule is None:
        return
    longer = {**policy, "rules": [*policy["rules"], added]}
    assert answer(house.engine(longer), asked) == before


@examples(100)
@given(policies(), stories)
def test_i8_a_dry_run_counts_what_enforcing_would_have_done(
    house: House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    enforcing = house.engine({**policy, "mode": "enforce"})
    dry = house.engine({**policy, "mode": "dry-run"})
    for one in asked:
        would, enforced = answer(dry, one), answer(enforcing, one)
        assert would == enforced._replace(action="allow", would=enforced.action)


@examples(100)
@given(policies(), stories)
def test_h10_in_an_emergency_only_blocks_change_and_become_warnings(
    house: House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    switch = house.folder / "emergency"
    switch.touch()
    emergency = house.engine({**policy, "mode": "enforce", "emergency_file": str(switch)})
    history: list[Seen] = []
    for one in asked:
        hurried = replace(one, emergency=True)
        wanted = decide({**policy, "mode": "enforce"}, truth.WORLD, hurried, history)
        assert answer(emergency, one) == wanted
