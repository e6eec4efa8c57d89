"""Verdicts: what is left for a request, and what a decision tells of its rule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from georestrict import Action, Decision, Engine
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.masks import Index, bits
from georestrict.testing import tiny_database
from tests.web import Recorder, Request, scope_of

DATABASE = tiny_database({"175.16.199.0/24": "CN", "81.2.69.0/24": "GB", "91.210.0.0/24": "UA-43"})
CHINA, CRIMEA = "175.16.199.1", "91.210.0.1"
JUNE, JULY, AUGUST = (datetime(2024, month, 1, tzinfo=UTC) for month in (6, 7, 8))
CN = {"countries": ["CN"]}


def decide(*rules: dict[str, Any], address: str = CHINA, **request: Any) -> Decision:
    named = [{"name": f"r{at}", **rule} for at, rule in enumerate(rules)]
    policy = {"default": "allow", "contact": "https://example.com/x", "rules": named}
    return Engine(policy, database=DATABASE).decide(address, **request)


def said(decision: Decision) -> tuple[str, str | None, tuple[str, ...]]:
    return decision.action.value, decision.rule, decision.counted


def test_the_bits_of_a_mask_come_in_order() -> None:
    assert list(bits(0)) == []
    assert list(bits(0b1011 << 70)) == [70, 71, 73]


def test_a_condition_that_asks_for_a_value_twice_asks_for_it_once() -> None:
    index = Index([["a", "a"], [], ["b", "a"]])
    assert (index.of(["a"]), index.of(["b"]), index.of([]), index.asking) == (7, 6, 2, 5)


def test_two_spellings_of_one_region_in_a_rule_are_one() -> None:
    both = {"action": "block", "subdivisions": ["UA-43", "RU-CR"]}
    assert said(decide(both, CN | {"action": "warn"}, address=CRIMEA)) == ("block", "r0", ())
    assert said(decide(both, CN | {"action": "warn"})) == ("warn", "r1", ())


def test_a_rule_that_its_exception_takes_away_gives_way_to_the_next() -> None:
    everywhere = {"networks": ["0.0.0.0/0", "::/0"], "unless": {"countries": ["CN"]}}
    rules = everywhere | {"action": "block"}, CN | {"action": "warn"}
    assert said(decide(*rules)) == ("warn", "r1", ())
    assert said(decide(*rules, address=CRIMEA)) == ("block", "r0", ())


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(
            [CN | {"action": "block", "paths": ["/a"]}, {"action": "allow", "countries": ["GB"]}],
            id="others' rules ask for paths",
        ),
        pytest.param(
            [
                CN | {"action": "block", "paths": ["/a"]},
                {
                    "action": "block",
                    "networks": ["0.0.0.0/0", "::/0"],
                    "unless": [{"countries": ["GB"]}, {"countries": ["CN"], "paths": ["/b"]}],
                },
            ],
            id="an exception that asks for nothing holds",
        ),
    ],
)
def test_what_is_plain_without_the_request_passes_the_gate_at_once(
    rules: list[dict[str, Any]],
) -> None:
    named = [{"name": f"r{at}", **rule} for at, rule in enumerate(rules)]
    policy = {"default": "allow", "contact": "https://example.com/x", "rules": named}
    guarded = GeoRestrictMiddleware(Recorder().asgi, policy=policy, database=DATABASE)
    assert guarded.admitted(scope_of(Request(peer="81.2.69.1", target="/never/seen"))) is not None
    assert guarded.admitted(scope_of(Request(peer=CHINA, target="/never/seen"))) is None


LATER = CN | {"block_from": AUGUST, "warn_from": JULY}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param([{"until": JULY}], ("block", "r2", ("r1",)), id="a rule that has ended"),
        pytest.param([{"credentials": ["key"]}], ("block", "r2", ("r1",)), id="a key not shown"),
    ],
)
def test_behind_a_rule_that_the_request_decides_on_others_are_tried_and_count(
    before: list[dict[str, Any]], expected: tuple[str, str, tuple[str, ...]]
) -> None:
    rules = [
        {"name": "r0", "action": "allow", **CN, **before[0]},
        {"name": "r1", "action": "count", **CN},
        {"name": "r2", "action": "block", **CN},
        {"name": "r3", "action": "warn", **CN},
    ]
    policy = {
        "default": "allow",
        "contact": "https://example.com/x",
        "credentials": {"key": {"header": "X-Key", "sha256": ["0" * 64]}},
        "rules": rules,
    }
    engine = Engine(policy, database=DATABASE)
    assert said(engine.decide(CHINA, at=JULY)) == expected


def test_a_rule_whose_exception_the_sender_meets_gives_way_to_the_next() -> None:
    rules = (
        CN | {"action": "block", "unless": {"attributes": {"plan": ["paid"]}}},
        CN | {"action": "count"},
        CN | {"action": "warn"},
    )
    assert said(decide(*rules, attributes={"plan": "free"})) == ("block", "r0", ())
    assert said(decide(*rules, attributes={"plan": "paid"})) == ("warn", "r2", ("r1",))


@pytest.mark.parametrize("exceptions", [0, 1, 2])
@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("path", ["/a", "/b", "/c"])
def test_wherever_a_rule_stands_its_words_and_exceptions_are_its_own(
    exceptions: int, place: int, path: str
) -> None:
    other: dict[str, Any] = {"action": "warn", "countries": ["GB"]}
    if exceptions:
        other["unless"] = [{"paths": ["/b"]}] * exceptions
    mine = CN | {"action": "block", "paths": ["/a", "/b"], "unless": [{"paths": ["/b"]}]}
    rules = [other] * place + [mine] + [other] * 2
    expected = ("block", f"r{place}", ()) if path == "/a" else ("allow", None, ())
    assert said(decide(*rules, path=path)) == expected


@pytest.mark.parametrize("place", range(5))
def test_wherever_a_rule_stands_a_path_that_it_asks_for_is_asked(place: int) -> None:
    other = {"action": "block", "countries": ["GB"]}
    rules = [other] * place + [CN | {"action": "block", "paths": ["/a"]}]
    assert said(decide(*rules, path="/a")) == ("block", f"r{place}", ())
    assert said(decide(*rules, path="/z")) == ("allow", None, ())


@pytest.mark.parametrize(
    ("at", "action", "dates"),
    [
        (JUNE, "allow", (None, None)),
        (JULY, "warn", (JULY, AUGUST)),
        (AUGUST, "block", (None, None)),
    ],
    ids=["before", "between", "after"],
)
def test_a_warning_tells_its_schedule_and_only_a_warning(
    at: datetime, action: str, dates: tuple[datetime | None, datetime | None]
) -> None:
    decision = decide(LATER | {"response": "html"}, at=at)
    assert decision.action.value == action
    assert (decision.warn_from, decision.block_from) == dates
    assert decision.response == (None if action == "allow" else "html")
    assert (decision.code is None) is (action == "allow")


def test_a_fixed_action_tells_no_schedule() -> None:
    for action in (Action.WARN, Action.BLOCK):
        decision = decide(CN | {"action": action, "response": "html"})
        assert (decision.warn_from, decision.block_from) == (None, None)
        assert decision.response == "html"
    assert decide(CN | {"action": "allow"}).response is None


def test_a_schedule_matches_odd_paths_only_from_its_block_on() -> None:
    rule = LATER | {"paths": ["/a"]}
    assert [said(decide(rule, path="//a", at=at))[0] for at in (JUNE, JULY, AUGUST)] == [
        "allow", "allow", "block",
    ]  # fmt: skip
    assert said(decide(rule, path="//a", at=JULY)) == ("allow", None, ())
    assert said(decide(rule, path="/a", at=JULY)) == ("warn", "r0", ())
