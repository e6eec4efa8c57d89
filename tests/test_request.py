"""What rules ask of a request: the app, once and only where it can matter; routes without end."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import pytest

from georestrict import Action, ConfigurationError, Engine, Policy, asgi
from georestrict.decision import Reason
from georestrict.emergency import Emergency
from georestrict.policy import Rule, Words
from georestrict.request import Request, normalised_host
from georestrict.testing import tiny_database
from tests import web

CHINA, BRITAIN = "175.16.199.1", "81.2.69.142"
DATA = tiny_database({"175.16.199.0/24": "CN", "81.2.69.0/24": "GB"})
THROUGH = [
    pytest.param(web.through_asgi, id="ASGI"),
    pytest.param(web.through_wsgi, id="WSGI"),
]
Send = Callable[..., web.Answer]


def engine(*rules: dict[str, Any], **more: Any) -> Engine:
    contact = "https://example.com/access"
    document = {"default": "allow", "contact": contact, "rules": [*rules], **more}
    return Engine(document, database=DATA)


ELIGIBLE = {
    "name": "eligible",
    "action": "allow",
    "countries": ["CN"],
    "paths": ["/v1/*"],
    "attributes": {"customer": ["eligible"], "region": ["eu"]},
}
NO_CN = {
    "name": "no-cn",
    "action": "block",
    "countries": ["CN"],
    "unless": {"attributes": {"customer": ["friend"]}},
}


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize(
    ("who", "target", "asked"),
    [
        pytest.param(CHINA, "/v1/chat", 1, id="two rules ask, the app is asked once"),
        pytest.param(CHINA, "/about", 1, id="an exception asks"),
        pytest.param(BRITAIN, "/v1/chat", 0, id="no rule about the country asks"),
    ],
)
def test_the_app_is_asked_once_and_only_if_a_rule_that_could_match_asks(
    through: Send, who: str, target: str, asked: int
) -> None:
    calls: list[Mapping[str, Any]] = []

    def attributes(where: Mapping[str, Any]) -> dict[str, str]:
        calls.append(where)
        return {"customer": "eligible"}

    judge = engine(ELIGIBLE, NO_CN)
    answer = through(web.Request(peer=who, target=target), engine=judge, attributes=attributes)
    assert len(calls) == asked
    assert answer.served is (who == BRITAIN)


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize(
    "told", [None, {}, {"customer": None}, {"customer": ["eligible"]}, {"region": "eu"}]
)
def test_an_app_that_says_nothing_of_a_request_says_nothing_for_it(
    through: Send, told: Any
) -> None:
    judge = engine(ELIGIBLE, NO_CN)
    answer = through(
        web.Request(peer=CHINA, target="/v1/x"), engine=judge, attributes=lambda where: told
    )
    assert not answer.served
    assert [decision.rule for decision in judge.counts] == ["no-cn"]


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize("told", ["eligible", ["customer"], 5])
def test_an_app_that_returns_no_mapping_is_a_defect_that_blocks_and_is_logged(
    through: Send, told: Any, caplog: pytest.LogCaptureFixture
) -> None:
    judge = engine(ELIGIBLE, NO_CN)
    answer = through(
        web.Request(peer=CHINA, target="/v1/x"), engine=judge, attributes=lambda where: told
    )
    assert (answer.status, answer.served) == (503, False)
    assert [decision.reason for decision in judge.counts] == [Reason.ERROR]
    assert f"attributes returned {told!r}, must be a mapping" in caplog.text


def test_a_credential_without_its_header_is_compared_with_nothing() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of b""
    key = {"key": {"header": "X-Key", "sha256": [empty]}}
    rule = {"name": "key", "action": "allow", "credentials": ["key"]}
    judge = engine(rule, default="block", credentials=key)
    assert judge.decide(CHINA).action is Action.BLOCK
    assert judge.decide(CHINA, headers=[(b"x-key", b"")]).action is Action.ALLOW


def test_decisions_are_right_beyond_the_number_of_routes_that_are_kept() -> None:
    letters = "abcdefghijk"  # 2 ** 11 routes
    rules = [
        {"name": letter, "action": "block", "countries": ["CN"], "paths": [f"/*{letter}*"]}
        for letter in letters
    ]
    judge = engine(*rules)
    subsets = [
        "".join(chosen)
        for size in range(len(letters) + 1)
        for chosen in itertools.combinations(letters, size)
    ]
    assert len(subsets) == 2048
    for _ in range(2):
        for text in subsets:
            path = f"/{text}"
            assert judge.decide(CHINA, path=path).rule == (text[0] if text else None)
    assert judge.decide(BRITAIN, path="/abc").action is Action.ALLOW


@pytest.mark.parametrize(
    ("hosts", "blocked", "exempt"),
    [
        pytest.param([b"a.example"], True, True, id="one host"),
        pytest.param([b"a.example", b"A.example:443"], True, True, id="the same twice"),
        pytest.param([b"a.example", b"b.example"], True, False, id="two: any blocks, none exempts"),
        pytest.param([b"b.example"], False, False, id="another"),
        pytest.param([], False, False, id="none"),
        pytest.param([b"a.example"] * 20, True, True, id="the same many times"),
        pytest.param(
            [b"%d.example" % number for number in range(8)],
            False,
            False,
            id="as many as are told apart",
        ),
        pytest.param(
            [b"%d.example" % number for number in range(9)],
            True,
            False,
            id="more: any may be meant",
        ),
    ],
)
def test_a_request_with_two_hosts_is_guarded_as_both_and_exempt_as_neither(
    hosts: list[bytes], blocked: bool, exempt: bool
) -> None:
    headers = [(b"host", host) for host in hosts]
    words = {"countries": ["CN"], "hosts": ["a.example"]}
    guarded = engine({"name": "r", "action": "block", **words})
    opened = engine({"name": "r", "action": "allow", **words}, default="block")
    for judge, expected in ((guarded, blocked), (opened, exempt)):
        app = web.Recorder()
        middleware = asgi.GeoRestrictMiddleware(app.asgi, engine=judge)
        web.run_asgi(middleware, web.scope_of(web.Request(peer=CHINA)) | {"headers": headers})
        assert app.served is (not expected if judge is guarded else expected)


def test_a_host_too_long_for_a_name_is_below_the_domains_it_ends_in() -> None:
    judge = engine({"name": "r", "action": "block", "countries": ["CN"], "hosts": ["*.a.example"]})
    for host, served in ((b"x." * 4000 + b"a.example", False), (b"x." * 4000 + b"b.example", True)):
        app = web.Recorder()
        guarded = asgi.GeoRestrictMiddleware(app.asgi, engine=judge)
        scope = web.scope_of(web.Request(peer=CHINA)) | {"headers": [(b"host", host)]}
        web.run_asgi(guarded, scope)
        assert app.served is served


def test_only_the_host_field_tells_the_host() -> None:
    words = {"countries": ["CN"], "hosts": ["a.example"]}
    judge = engine({"name": "r", "action": "allow", **words}, default="block")
    others = [(b"accept", b"a.example"), (b"x-forwarded-host", b"b.example")]
    for headers, served in (([*others, (b"Host", b"a.example")], True), (others, False)):
        app = web.Recorder()
        guarded = asgi.GeoRestrictMiddleware(app.asgi, engine=judge)
        web.run_asgi(guarded, web.scope_of(web.Request(peer=CHINA)) | {"headers": headers})
        assert app.served is served


def test_an_address_may_be_text_or_a_value() -> None:
    judge = engine(NO_CN)
    for text in (CHINA, BRITAIN, "::ffff:175.16.199.1", "2002:af10:c701::1", "2001:db8::1"):
        assert judge.decide(ip_address(text)) == judge.decide(text)
    assert judge.matches("nobody") == ()


def test_a_time_to_judge_by_needs_an_offset() -> None:
    with pytest.raises(ValueError, match="2024-07-09T00:00:00, a time without an offset"):
        engine(NO_CN).decide(CHINA, at=datetime(2024, 7, 9))


def test_an_engine_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="engine is 'x', must be an Engine"):
        Engine.from_options(engine="x")  # type: ignore[arg-type]


def test_rules_given_in_python_are_rules() -> None:
    with pytest.raises(ConfigurationError, match=r"rules\[1\]: is 'r', must be a Rule"):
        Policy(default=Action.ALLOW, rules=("r",))  # type: ignore[arg-type]
    words = Words(attributes=(("plan", frozenset({"free"})),))
    assert Rule(name="r", action=Action.ALLOW, attributes=words.attributes) == Rule(
        name="r",
        action=Action.ALLOW,
        attributes={"plan": ["free"]},  # type: ignore[arg-type]
    )


def test_a_switch_file_that_did_not_change_is_not_read_again(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "on").write_text("tomorrow")
    steady = [0.0]
    emergency = Emergency(tmp_path / "on", lambda: steady[0])
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            steady[0] += 1
            assert emergency.holds(0.0)
    assert len(caplog.records) == 1


def test_a_request_knows_its_hosts_without_port_and_dot() -> None:
    def hosts(host: str) -> tuple[str, ...]:
        return Request(host=host).hosts

    assert hosts("API.example.com.:8443") == hosts("api.example.com") == ("api.example.com",)
    assert hosts("[2001:DB8::1]:443") == hosts("[2001:db8::1]") == ("[2001:db8::1]",)
    assert hosts("") == ()


def test_an_ipv6_host_is_compared_as_an_address() -> None:
    (wanted,) = Words(hosts=("[2001:db8:0::1]",)).hosts
    assert wanted == "[2001:db8::1]"
    assert normalised_host("[2001:DB8:0:0::1]:8443") == wanted
    assert normalised_host("[2001:db8::g]") == "[2001:db8::g]"


@pytest.mark.parametrize(
    ("host", "told"),
    [("[zz:q]", "IPv6"), ("[::1", "IPv6"), ("bücher.example", "xn--"), ("a b", "name alone")],
)
def test_a_host_that_no_request_can_name_is_an_error(host: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Words(hosts=(host,))


@pytest.mark.parametrize("method", ["*", "GET*", "G T", ""])
def test_a_method_that_no_request_can_have_is_an_error(method: str) -> None:
    with pytest.raises(ConfigurationError, match="leave the word out"):
        Words(methods=frozenset({method}))
