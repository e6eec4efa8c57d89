"""The same log, replayed and, request by request, through the real middleware: the same counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from georestrict import BACKEND, Engine, Policy, asgi
from georestrict.address import Strategy, TrustedHops, TrustedProxies
from georestrict.replay.counting import Counting
from georestrict.replay.formats import FRAME
from georestrict.replay.judging import Judge, Outcome
from tests import test_truth as truth
from tests import web
from tests.test_generated_policies import (
    ADDRESSES,
    DATES,
    House,
    aged_policies,
    house,
    policies,
)

__all__ = ["house"]  # a fixture

# 6to4, NAT64 and Teredo, each with CN's 175.16.199.1 or, inverted, a client of its own
CARRYING = ("2002:af10:c701::1", "64:ff9b::af10:c701", "2001::50ef:38fe", "2002:a00:1::1")


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a log tells of a request."""

    peer: str = truth.GB
    forwarded: str | None = None
    time: datetime = truth.NOW
    method: str = "GET"
    path: str = "/"
    host: str | None = None
    protocol: str = "http"
    account: str | None = None


def frame_of(lines: Iterable[Line]) -> pl.DataFrame:
    told = [(*vars_of(line), 200) for line in lines]
    return pl.DataFrame(told, FRAME, orient="row")


def vars_of(line: Line) -> tuple[Any, ...]:
    return tuple(getattr(line, name) for name in FRAME.names()[:-1])


def scope_of(line: Line) -> dict[str, Any]:
    """The request as a server hands it to the middleware."""
    headers = {"host": line.host, "x-forwarded-for": line.forwarded}
    request = web.Request(
        peer=line.peer,
        method=line.method,
        target=line.path,
        headers=tuple((name, value) for name, value in headers.items() if value is not None),
    )
    scope = web.scope_of(request, type=line.protocol)
    if line.peer == "unix:":  # as nginx logs it
        scope |= {"client": None, "server": ("/run/app.sock", None)}
    return {**scope, "account": line.account}


def enforced(
    engine: Engine, lines: Sequence[Line], now: list[float], **options: Any
) -> Counter[Outcome]:
    """What the middleware counts, the clock standing at each line's time; ended entries go."""
    app = web.Recorder()
    guarded = asgi.GeoRestrictMiddleware(
        app.asgi, engine=engine, identify=lambda scope: scope["account"], **options
    )
    for line in lines:
        now[0] = line.time.timestamp()
        if engine.is_due():
            engine.reload()
        web.run_asgi(guarded, scope_of(line), ({"type": "websocket.connect"},))
    return Counter(
        {Outcome.of(decision): count for decision, count in added(engine.counts).items()}
    )


def added(counts: Mapping[Any, int]) -> Counter[Any]:
    """Counts of decisions that are one outcome."""
    found: Counter[Any] = Counter()
    told: dict[Outcome, Any] = {}
    for decision, count in counts.items():
        found[told.setdefault(Outcome.of(decision), decision)] += count
    return found


def compare(
    house: House, policy: Mapping[str, Any], lines: Sequence[Line], client: Strategy | None = None
) -> Counter[Outcome]:
    now = [lines[0].time.timestamp()]
    engine = house.engine(policy, now)
    options = {} if client is None else {"client": client}
    wanted = enforced(engine, lines, now, **options)
    judge = Judge([engine.policy], house.database, client=client)
    found = judge.outcomes(frame_of(lines))[0]
    assert Counter(found) == wanted
    # in the blocks that a file comes in, and as what is told of it
    judge = Judge([engine.policy], house.database, client=client, by_account=True)
    counting = Counting()
    for at in range(0, len(lines), 5):
        counting.add(judge.judge(frame_of(lines[at : at + 5])))
    told = counting.summary(["policy"], by_account=True).policies[0]
    assert_told(told, wanted)
    return wanted


def assert_told(told: Any, wanted: Counter[Outcome]) -> None:
    by: dict[str, Counter[tuple[str, str]]] = {
        name: Counter() for name in ("reason", "rule", "country")
    }
    counted: Counter[str] = Counter()
    actions: Counter[str] = Counter({"allow": 0, "warn": 0, "block": 0})
    for one, count in wanted.items():
        actions[one.action] += count
        counted.update(dict.fromkeys(one.counted, count))
        for name, counts in by.items():
            if getattr(one, name) is not None:
                counts[getattr(one, name), one.action] += count
    assert told.by_action == actions
    assert told.by_counted == counted
    for name, counts in by.items():
        assert {
            (key, action): count
            for key, each in getattr(told, f"by_{name}").items()
            for action, count in each.items()
        } == counts


def examples(number: int) -> settings:
    return settings(
        deadline=None,
        max_examples=number if BACKEND == "compiled" else max(3, number // 8),
        suppress_health_check=[HealthCheck.too_slow],
    )


TARGETS = [
    "/", "/admin", "/admin/", "/admin/x", "//admin", "/x/../admin", "/%61dmin", "/v1/chat", "/v1", "/v1/../admin",
    "/healthz", "/healthz/", "/Admin", "/V1/chat", "/v2/x", "/v2//x", "/v2/x/", "/adm", "/admin;x", "/caf%C3%A9",
    "/v1%2Fchat", "/café", "/v1/", "/v1/a/b/c", "/.", "/..", "/admin/..", "/v2/%78",
]  # fmt: skip
lines_of = st.builds(
    Line,
    peer=st.sampled_from(
        [*filter(None, ADDRESSES), *CARRYING, "fe80::1%eth0", "-", "unix:", "10.0.0.1"]
    ),
    forwarded=st.sampled_from([None, None, None, truth.CN, "unknown"]),
    time=st.tuples(
        st.sampled_from(DATES), st.sampled_from([timedelta(), timedelta(seconds=1)])
    ).map(lambda pair: pair[0] - pair[1]),
    method=st.sampled_from(["GET", "POST", "HEAD", "get"]),
    path=st.sampled_from(TARGETS),
    host=st.sampled_from([None, "api.example.com", "API.example.com:443", "www.example.com"]),
    protocol=st.sampled_from(["http", "http", "websocket"]),
    account=st.sampled_from([None, "", "ann", "ann", "bob"]),
)
logs = st.lists(lines_of, min_size=1, max_size=14).map(
    lambda lines: sorted(lines, key=lambda line: line.time)
)


@examples(50)
@given(policies() | aged_policies(), logs)
def test_replay_counts_what_the_middleware_counts_request_by_request(
    house: House, policy: dict[str, Any], lines: list[Line]
) -> None:
    compare(house, policy, lines)


@pytest.mark.parametrize(
    "client",
    [
        TrustedProxies("10.0.0.0/8", "52.95.110.0/24"),
        TrustedHops(1, ["10.0.0.0/8"]),
        TrustedProxies("10.0.0.0/8", unix=True),
    ],
    ids=repr,
)
def test_replay_finds_the_clients_that_the_middleware_finds(house: House, client: Strategy) -> None:
    lines = [
        Line(peer=peer, forwarded=forwarded)
        for peer in ("10.0.0.1", truth.US, truth.GB, "unix:", "-")
        for forwarded in (
            None,
            truth.CN,
            f"{truth.GB}, {truth.CN}",
            f"{truth.CN}, {truth.US}",
            "",
            "x",
        )
    ]
    policy = {
        "default": "allow",
        "lists": truth.LISTS,
        "rules": [{"name": "no-cn", "action": "block", "countries": ["CN"]}],
    }
    wanted = compare(house, policy, lines, client)
    assert {outcome.country for outcome in wanted} >= {"CN", "GB", "unresolved"}


def test_replay_lets_entries_of_lists_end_when_the_log_says_so(
    house: House, tmp_path: Path
) -> None:
    path = tmp_path / "exempt.txt"
    path.write_text(
        f"{truth.CN} until 2024-06-25T00:00:00Z\n{truth.JP} until 2024-07-01T00:00:00Z\n"
    )
    rules = [
        {"name": "exempt", "action": "allow", "lists": ["exempt"]},
        {"name": "no-cn", "action": "block", "countries": ["CN", "JP"]},
    ]
    policy = Policy.from_mapping(
        {
            "default": "allow",
            "lists": {"exempt": {"path": str(path), "allow_empty": True}},
            "rules": rules,
        }
    )
    lines = [
        Line(peer=peer, time=datetime(2024, 6, 20, tzinfo=UTC) + timedelta(days=day))
        for day in range(15)
        for peer in (truth.CN, truth.JP)
    ]
    now = [lines[0].time.timestamp()]
    engine = Engine(policy, database=house.database, clock=lambda: now[0])
    wanted = enforced(engine, lines, now)
    judge = Judge([policy], house.database)
    backwards = judge.outcomes(frame_of(lines[::-1]))[0]
    assert Counter(judge.outcomes(frame_of(lines))[0]) == Counter(backwards) == wanted
    assert {(one.rule, one.country): count for one, count in wanted.items()} == {
        ("exempt", "CN"): 5, ("exempt", "JP"): 11, ("no-cn", "CN"): 10, ("no-cn", "JP"): 4,
    }  # fmt: skip


def test_twenty_rules_by_path_say_what_the_middleware_says(house: House) -> None:
    rules = [
        {"name": f"rule-{number}", "action": "block", "countries": ["CN", "GB"], "paths": paths}
        for number, paths in enumerate(
            [[f"/v{n % 3}/part{n}/*", f"/users/*/part{n}", f"/x{n}"] for n in range(20)]
        )
    ]
    targets = [
        f"/{start}{sep}{end}"
        for start in ("v1/part1", "v2/part11", "users/7", "users/7/part3", "x4", "", "v1/part1x")
        for sep, end in (("", ""), ("/", ""), ("/", "part3"), ("//", "y"), ("/", "%70art5"), ("/", "a/b"))
    ]  # fmt: skip
    lines = [Line(peer=peer, path=path) for peer in (truth.CN, truth.SE) for path in targets]
    wanted = compare(house, {"default": "allow", "lists": truth.LISTS, "rules": rules}, lines)
    assert len({outcome.rule for outcome in wanted}) > 3


@pytest.mark.slow
@examples(800)
@given(policies() | aged_policies(), logs)
def test_replay_counts_what_the_middleware_counts_hundreds_of_times(
    house: House, policy: dict[str, Any], lines: list[Line]
) -> None:
    compare(house, policy, lines)
