"""Where accounts have been: what is kept for rules that ask, who is asked, and who is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from georestrict import Accounts, ConfigurationError, Engine, asgi, restrict, wsgi
from georestrict.accounts import record
from georestrict.decision import Code, Decision, Reason
from georestrict.networks import Category, Confidence
from georestrict.policy import ManyCountries, SeenIn
from georestrict.policy.accounts import MOST_SIGHTINGS, category_of
from georestrict.reload import try_reload
from georestrict.request import Identity
from georestrict.testing import tiny_database
from tests import web

DATA = tiny_database(
    {
        "175.16.199.0/24": "CN",
        "81.2.69.0/24": "GB",
        "52.95.110.0/24": "US",
        "89.160.20.0/24": "SE",
        "5.160.0.0/24": "IR",
    },
    {"52.95.110.0/25": "hosting:high:A Cloud", "5.160.0.128/25": "vpn:medium:A List"},
)
CHINA, BRITAIN, CLOUD, SWEDEN, VPN = (
    "175.16.199.1",
    "81.2.69.142",
    "52.95.110.1",
    "89.160.20.1",
    "5.160.0.200",
)
UNKNOWN = "9.9.9.9"
MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
NO_CN: dict[str, Any] = {"name": "no-cn", "action": "block", "countries": ["CN"]}
TUNNEL: dict[str, Any] = {
    "name": "tunnel",
    "action": "block",
    "categories": ["hosting", "vpn", "tor"],
    "account_seen_in": {"countries": ["CN", "IR"], "within": "14d"},
}
NOT_HERE = TUNNEL | {"name": "not-here", "countries": ["GB"]}
del NOT_HERE["categories"]
HOPPING: dict[str, Any] = {
    "name": "hopping",
    "action": "warn",
    "countries": ["GB", "SE"],
    "account_countries": {"more_than": 1, "within": "1d"},
}
THROUGH = [
    pytest.param(web.through_asgi, id="ASGI"),
    pytest.param(web.through_wsgi, id="WSGI"),
]
Send = Callable[..., web.Answer]


def policy(*rules: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    contact = "https://example.com/access"
    rules_ = {"rules": [dict(rule) for rule in rules]} if rules else {}
    return {"default": "allow", "contact": contact, **rules_, **more}


def engine(*rules: Mapping[str, Any], **options: Any) -> Engine:
    return Engine(policy(*rules), database=DATA, **options)


def rule_of(judge: Engine, who: str, account: str | None = "ann", **more: Any) -> str | None:
    return judge.decide(who, account=account, **more).rule


# --- what is kept ---------------------------------------------------------------------------------------


def test_the_tunnel_story_in_the_engine() -> None:
    judge = engine(NO_CN, TUNNEL)
    assert rule_of(judge, CLOUD, at=MONDAY) is None
    assert rule_of(judge, CHINA, at=MONDAY) == "no-cn"
    decision = judge.decide(CLOUD, account="ann", at=MONDAY + DAY)
    assert (decision.rule, decision.reason, decision.code) == ("tunnel", "account", Code.ACCOUNT)
    assert rule_of(judge, CLOUD, "bob", at=MONDAY + DAY) is None
    assert rule_of(judge, BRITAIN, at=MONDAY + DAY) is None
    assert rule_of(judge, CLOUD, at=MONDAY + 14 * DAY) == "tunnel"
    assert rule_of(judge, CLOUD, at=MONDAY + 14 * DAY + timedelta(minutes=1)) is None


def test_only_what_a_rule_could_ask_for_is_kept() -> None:
    judge = engine(NO_CN, TUNNEL)
    assert judge.accounts is not None
    for who in (BRITAIN, CLOUD, SWEDEN, UNKNOWN, "10.0.0.1", "nonsense"):
        judge.decide(who, account="ann")
    assert judge.accounts.sightings("ann") == ()
    judge.decide(VPN, account="ann")  # it proves no country, and the rule does not name it
    assert judge.accounts.sightings("ann") == ()
    judge.decide(f"::ffff:{CHINA}", account="ann", path="/healthz")
    assert [(one.country, one.category) for one in judge.accounts.sightings("ann")] == [("CN", "")]


def test_every_country_is_kept_where_a_rule_names_none() -> None:
    judge = engine(HOPPING)
    assert judge.accounts is not None
    for who in (CHINA, SWEDEN, CLOUD, VPN, UNKNOWN):
        judge.decide(who, account="ann")
    kept = {(one.country, one.category) for one in judge.accounts.sightings("ann")}
    assert kept == {("CN", ""), ("SE", "")}


def test_a_customer_with_servers_in_many_countries_has_been_in_none_of_them() -> None:
    world = {"52.95.110.0/25": "CN", "52.95.110.128/25": "IR", "89.160.20.0/24": "SE"}
    clouds = {"52.95.110.0/24": "hosting:high:A Cloud", "89.160.20.0/24": "cdn:medium:A CDN"}
    hopping = HOPPING | {"networks": ["0.0.0.0/0"]}
    del hopping["countries"]
    policy = {"default": "allow", "rules": [TUNNEL, hopping]}
    judge = Engine(policy, database=tiny_database(world, clouds))
    for who in ("52.95.110.1", "52.95.110.200", "89.160.20.1", "52.95.110.1"):
        assert judge.decide(who, account="ann").action == "allow"
    assert judge.accounts is not None
    assert judge.accounts.sightings("ann") == ()


def test_what_an_exception_asks_for_is_kept() -> None:
    home = {"account_seen_in": {"countries": ["GB"], "within": "30d"}}
    judge = engine(NO_CN | {"unless": home})
    assert rule_of(judge, CHINA) == "no-cn"
    assert rule_of(judge, BRITAIN) is None
    assert judge.decide(CHINA, account="ann").reason is Reason.DEFAULT


@pytest.mark.parametrize(
    ("had", "kept"),
    [
        ({}, ""),
        ({"hosting": "medium"}, "hosting"),
        ({"hosting": "high", "cdn": "medium"}, "cdn"),
        ({"hosting": "high", "bot": "medium", "cdn": "high"}, "bot"),
        ({"relay": "high", "bot": "high"}, "relay"),
        ({"proxy": "medium", "relay": "high"}, "proxy"),
        ({"proxy": "high", "vpn": "medium"}, "vpn"),
        ({"vpn": "high", "tor": "medium", "hosting": "high"}, "tor"),
        ({"vpn": "low", "hosting": "medium"}, "hosting"),
        ({"tor": "low"}, ""),
    ],
    ids=str,
)
def test_a_sighting_keeps_the_most_telling_category_that_is_sure_enough(
    had: Mapping[str, str], kept: str
) -> None:
    assert category_of({Category(key): Confidence(sure) for key, sure in had.items()}) == kept


def test_the_policy_and_the_store_agree_on_how_much_is_kept() -> None:
    assert record.MOST_SIGHTINGS == MOST_SIGHTINGS


def test_an_account_of_another_type_is_a_mistake_of_the_caller() -> None:
    judge = engine(NO_CN, TUNNEL)
    with pytest.raises(TypeError, match="identify returned a value of int"):
        judge.decide(CHINA, account=5)  # type: ignore[arg-type]
    assert judge.decide(BRITAIN, account=5).rule is None  # type: ignore[arg-type]  # nobody asks


def test_an_account_is_asked_for_once_even_if_that_fails() -> None:
    calls: list[int] = []

    def identify(where: object) -> str:
        calls.append(1)
        raise KeyError("user")

    identity = Identity(identify)
    with pytest.raises(KeyError):
        _ = identity.account
    assert identity.account is None
    assert len(calls) == 1


# --- accounts of an engine ------------------------------------------------------------------------------


def test_an_engine_keeps_accounts_only_if_a_rule_asks() -> None:
    assert engine(NO_CN).accounts is None
    assert isinstance(engine(TUNNEL).accounts, Accounts)
    given = Accounts()
    assert engine(NO_CN, accounts=given).accounts is given
    assert engine(TUNNEL, accounts=given).accounts is given
    with pytest.raises(
        ConfigurationError, match=r"type str, must .* accounts=Accounts\(redis="
    ) as error:
        engine(TUNNEL, accounts="redis://:secret@localhost")
    assert "secret" not in str(error.value)
    with pytest.raises(ConfigurationError, match="engine= comes alone"):
        asgi.GeoRestrictMiddleware(web.Recorder().asgi, engine=engine(NO_CN), accounts=given)


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        (TUNNEL | {"account_seen_in": {"countries": ["CN"], "within": "31d"}}, r"rules\[2\] \(tunnel\)\.account_seen_in\.within"),
        (HOPPING | {"account_countries": {"more_than": 2, "within": "9w"}}, r"rules\[2\] \(hopping\)\.account_countries\.within"),
        (
            {**HOPPING, "unless": [{"paths": ["/"]}, {"account_seen_in": {"countries": ["CN"], "within": "800h"}}]},
            r"rules\[2\] \(hopping\)\.unless\[2\]\.account_seen_in\.within",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_looks_further_back_than_anything_is_kept_ends_the_start(
    rule: dict[str, Any], place: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^policy: {place}: .*30 days.*keep="):
        engine(NO_CN, rule)
    assert engine(NO_CN, rule, accounts=Accounts(keep="90d")).policy.rules[1].name == rule["name"]


def test_what_is_kept_survives_a_reload_and_a_wrong_one(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"

    def write(within: str, action: str) -> None:
        file.write_text(
            'default = "allow"\ncontact = "https://a.example/"\n[[rules]]\nname = "tunnel"\n'
            f'action = "{action}"\ncategories = ["hosting"]\n'
            f'account_seen_in = {{ countries = ["CN"], within = "{within}" }}\n'
        )

    write("14d", "block")
    judge = Engine(file, database=DATA)
    rule_of(judge, CHINA)
    before = judge.accounts
    write("7d", "warn")
    judge.reload()
    assert judge.accounts is before
    assert judge.decide(CLOUD, account="ann").action == "warn"
    write("60d", "block")
    assert not try_reload(judge)
    assert judge.decide(CLOUD, account="ann").action == "warn"


def test_engines_over_the_same_data_share_what_is_kept() -> None:
    leader = engine(NO_CN)
    first = leader.with_policy(policy(TUNNEL))
    second = leader.with_policy(policy(TUNNEL | {"action": "warn"}))
    assert leader.accounts is first.accounts is second.accounts is not None
    rule_of(first, CHINA)
    assert second.decide(CLOUD, account="ann").action == "warn"
    leader.reload()
    assert second.decide(CLOUD, account="ann").action == "warn"
    assert first.remember() is leader.remember() is leader.accounts


# --- the gate -------------------------------------------------------------------------------------------


def admits(judge: Engine, who: str, target: str = "/") -> bool:
    """Whether the gate lets such a request through, once the slow way has seen one."""
    app = web.Recorder().asgi
    guarded = asgi.GeoRestrictMiddleware(app, engine=judge, identify=lambda scope: "ann")
    scope = web.scope_of(web.Request(peer=who, target=target))
    for _ in range(4):  # of some the gate takes a sample
        web.run_asgi(guarded, dict(scope))
    return guarded.admitted(dict(scope)) is not None


def test_requests_that_no_account_rule_touches_keep_their_way_through_the_gate() -> None:
    admin = {"name": "admin", "action": "block", "countries": ["SE"], "paths": ["/admin"]}
    upload = NOT_HERE | {"name": "upload", "countries": ["US"], "paths": ["/upload"]}
    bare, asking = engine(admin), engine(admin, NOT_HERE, upload)
    for who in (SWEDEN, CLOUD, UNKNOWN, VPN):  # of the last no rule would ask
        assert admits(bare, who)
        assert admits(asking, who)
    assert admits(bare, CHINA)
    assert not admits(asking, CHINA)  # what is seen there is kept
    assert admits(bare, BRITAIN)
    assert not admits(asking, BRITAIN)  # the rule asks, on every path
    assert not admits(asking, CLOUD, "/upload")  # and this one on that


def test_an_account_rule_costs_requests_that_it_does_not_touch_no_call_of_the_app() -> None:
    calls: list[str] = []
    guarded = asgi.GeoRestrictMiddleware(
        web.Recorder().asgi,
        engine=engine(NO_CN, TUNNEL),
        identify=lambda scope: calls.append("asked"),
        annotate=True,
    )
    for _ in range(200):
        web.run_asgi(guarded, web.scope_of(web.Request(peer=BRITAIN)))
    assert calls == []


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize(
    ("who", "asked"),
    [
        pytest.param(CHINA, 1, id="what is seen there is kept, a rule asks, on_decision is told"),
        pytest.param(BRITAIN, 1, id="a rule asks"),
        pytest.param(SWEDEN, 0, id="no rule asks"),
        pytest.param(UNKNOWN, 0, id="no country is known"),
    ],
)
def test_the_app_is_asked_for_the_account_once_and_only_if_it_matters(
    through: Send, who: str, asked: int
) -> None:
    calls: list[Mapping[str, Any]] = []
    told: list[str | None] = []

    def identify(where: Mapping[str, Any]) -> str:
        calls.append(where)
        return "ann"

    both = NOT_HERE | {"name": "both", "countries": ["CN", "GB"], "paths": ["/x"]}
    judge = engine(both, NOT_HERE | {"name": "again"}, NO_CN)
    for _ in range(3):
        calls.clear()
        through(
            web.Request(peer=who),
            engine=judge,
            identify=identify,
            on_decision=lambda decision, account: told.append(account),
            on_account_flagged=lambda account, decision: None,
        )
        assert len(calls) == asked
    assert told == (["ann"] * 3 if who == CHINA else [])


# --- the middlewares ------------------------------------------------------------------------------------


def as_header(where: Mapping[str, Any]) -> str | None:
    """The account, from a header, of a scope or environ."""
    if "headers" in where:
        return dict(where["headers"]).get(b"x-account", b"").decode() or None
    return where.get("HTTP_X_ACCOUNT")


def sent(who: str, account: str | None = "ann") -> web.Request:
    return web.Request(peer=who, headers=() if account is None else (("X-Account", account),))


@pytest.mark.parametrize("through", THROUGH)
def test_the_tunnel_story_through_a_middleware(
    through: Send, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    now = [MONDAY.timestamp()]
    judge = engine(NO_CN, TUNNEL, clock=lambda: now[0])

    def ask(who: str, account: str | None = "ann@example.com") -> tuple[int, bool]:
        answer = through(sent(who, account), engine=judge, identify=as_header)
        return answer.status, b"account_location_restricted" in answer.body

    assert ask(CHINA) == (403, False)
    now[0] += DAY.total_seconds()
    assert ask(CLOUD) == (403, True)
    assert ask(CLOUD, "bob") == ask(CLOUD, None) == (200, False)
    assert ask(BRITAIN) == (200, False)
    now[0] += 14 * DAY.total_seconds()
    assert ask(CLOUD) == (200, False)
    assert 'reason=account rule="tunnel" code=account_location_restricted' in caplog.text
    assert "ann@example.com" not in caplog.text


@pytest.mark.parametrize("face", [asgi, wsgi], ids=["ASGI", "WSGI"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": policy(NO_CN, TUNNEL)}, r"rules\[2\] \(tunnel\)\.account_seen_in asks .* identify="),
        ({"policy": policy(HOPPING)}, r"rules\[1\] \(hopping\)\.account_countries asks .* identify="),
        (
            {"policy": policy(NO_CN), "policies": {"strict": policy(TUNNEL)}},
            r"rules\[1\] \(tunnel\)\.account_seen_in asks .* identify=",
        ),
        ({"policy": policy(NO_CN), "on_account_flagged": print}, r"on_account_flagged comes without identify"),
        (
            {"policy": policy(NO_CN), "on_account_flagged": "me", "identify": as_header},
            r"on_account_flagged is 'me', must be callable",
        ),
        ({"policy": policy(NO_CN), "accounts": {}}, r"accounts is of type dict, must be Accounts"),
    ],
)  # fmt: skip
def test_an_app_that_names_no_accounts_where_they_are_asked_for_does_not_start(
    face: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        face.GeoRestrictMiddleware(web.Recorder().asgi, database=DATA, **options)


@pytest.mark.parametrize("face", [asgi, wsgi], ids=["ASGI", "WSGI"])
def test_accounts_that_nobody_asks_are_told_at_start(
    face: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def start(rule: Any, **options: Any) -> str:
        caplog.clear()
        given = {
            "policy": policy(rule),
            "database": DATA,
            "accounts": Accounts(),
            "identify": as_header,
        }
        face.GeoRestrictMiddleware(web.Recorder().asgi, **given, **options)
        return caplog.text

    assert "policy: no rule asks where accounts have been, so accounts= keeps nothing" in start(
        NO_CN
    )
    assert "keeps nothing" not in start(TUNNEL)
    assert "keeps nothing" not in start(NO_CN, on_account_flagged=print)
    assert "keeps nothing" not in start(NO_CN, policies={"strict": policy(TUNNEL)})


@pytest.mark.parametrize("through", THROUGH)
def test_a_reload_that_asks_for_accounts_nobody_names_warns_once_and_goes_on(
    through: Send, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('default = "allow"\ncontact = "https://a.example/"\n')
    judge = Engine(file, database=DATA)
    app = web.Recorder()
    if through is web.through_asgi:
        guarded: Any = asgi.GeoRestrictMiddleware(app.asgi, engine=judge)
    else:
        guarded = wsgi.GeoRestrictMiddleware(app.wsgi, engine=judge)
    file.write_text(
        'default = "allow"\ncontact = "https://a.example/"\n[[rules]]\nname = "tunnel"\n'
        'action = "block"\ncountries = ["CN"]\n'
        'account_seen_in = { countries = ["CN"], within = "7d" }\n'
    )
    judge.reload()
    for _ in range(3):
        app.served = False
        if through is web.through_asgi:
            web.run_asgi(guarded, web.scope_of(sent(CHINA)))
        else:
            guarded(web.environ_of(sent(CHINA)), lambda *_: print)
        assert app.served
    warned = [each.getMessage() for each in caplog.records if "asks where" in each.getMessage()]
    assert len(warned) == 1
    assert "rules[1] (tunnel).account_seen_in" in warned[0]


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize("told", [5, b"ann@example.com", ["ann@example.com"]], ids=repr)
def test_an_account_that_is_no_text_is_a_defect_that_blocks_and_is_logged_without_it(
    through: Send, told: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []
    told_of: list[str | None] = []

    def identify(where: Any) -> Any:
        calls.append(where)
        return told

    judge = engine(TUNNEL)
    answer = through(
        web.Request(peer=CHINA),
        engine=judge,
        identify=identify,
        on_decision=lambda decision, account: told_of.append(account),
    )
    assert (answer.status, answer.served) == (503, False)
    assert [decision.reason for decision in judge.counts] == [Reason.ERROR]
    assert (
        f"identify returned a value of {type(told).__name__}, must be text or None" in caplog.text
    )
    assert "ann@example.com" not in caplog.text
    assert (len(calls), told_of) == (1, [None])


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize("nobody", [None, ""])
def test_requests_of_nobody_are_judged_without_a_past_and_leave_none(
    through: Send, nobody: str | None
) -> None:
    judge = engine(TUNNEL)
    assert judge.accounts is not None
    for who in (CHINA, CLOUD):
        answer = through(web.Request(peer=who), engine=judge, identify=lambda where: nobody)
        assert answer.served
    assert judge.accounts.stats["accounts"] == 0


def test_an_endpoint_shares_the_accounts_and_asks_for_the_account_no_second_time() -> None:
    calls: list[Any] = []

    def identify(scope: Any) -> str:
        calls.append(scope)
        return "ann"

    served: list[str] = []

    @restrict("strict")
    async def train(scope: Any, receive: Any, send: Any) -> None:
        served.append("train")
        await web.Recorder().asgi(scope, receive, send)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (train if scope["path"] == "/train" else web.Recorder().asgi)(scope, receive, send)

    guarded = asgi.GeoRestrictMiddleware(
        app,
        policy=policy(TUNNEL | {"action": "warn"}),
        policies={"strict": policy(TUNNEL, NOT_HERE)},
        database=DATA,
        identify=identify,
    )

    def ask(who: str) -> int:
        calls.clear()
        request = web.Request(peer=who, target="/train")
        return int(web.run_asgi(guarded, web.scope_of(request))[0]["status"])

    assert (ask(CLOUD), len(calls)) == (200, 1)
    assert (ask(BRITAIN), len(calls)) == (200, 1)  # only the endpoint's policy asks
    assert (ask(CHINA), len(calls)) == (200, 1)
    served.clear()
    assert (ask(CLOUD), len(calls), served) == (403, 1, [])
    assert (ask(BRITAIN), len(calls), served) == (403, 1, [])


# --- flags ----------------------------------------------------------------------------------------------


class Flags:
    """What ``on_account_flagged`` was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Decision]] = []

    def __call__(self, account: str, decision: Decision) -> None:
        self.told.append((account, decision))


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize(
    ("who", "rules", "reason"),
    [
        pytest.param(CHINA, [NO_CN], "country", id="a country"),
        pytest.param(VPN, [TUNNEL | {"account_seen_in": {"countries": ["IR"], "categories": ["vpn"], "within": "1d"}}], "account", id="the account's past"),
        pytest.param(VPN, [{"name": "vpn", "action": "block", "categories": ["vpn"]}], "category", id="a category"),
        pytest.param(CHINA, [{"name": "net", "action": "block", "networks": ["175.16.199.0/24"]}], "network", id="a network"),
    ],
)  # fmt: skip
def test_an_account_is_flagged_once_after_so_many_blocks(
    through: Send, who: str, rules: list[dict[str, Any]], reason: str
) -> None:
    flags, accounts = Flags(), Accounts(flag_after=3)
    judge = engine(*rules, accounts=accounts)
    for count in range(1, 6):
        for account in ("ann", "bob") if count < 3 else ("ann",):
            answer = through(
                sent(who, account), engine=judge, identify=as_header, on_account_flagged=flags
            )
            assert answer.status == 403
        assert [account for account, _ in flags.told] == ([] if count < 3 else ["ann"])
    ((_, decision),) = flags.told
    assert (decision.reason, decision.action) == (reason, "block")


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize(
    ("who", "document", "flagged"),
    [
        pytest.param(CHINA, policy(default="block"), True, id="an allow list's default, in a country"),
        pytest.param(UNKNOWN, policy(default="block"), False, id="in no country"),
        pytest.param("10.0.0.1", policy(default="block"), False, id="a private address"),
        pytest.param("nonsense", policy(default="block"), False, id="an address that cannot be told"),
        pytest.param(CHINA, policy(NO_CN, mode="dry-run"), False, id="a dry run"),
        pytest.param(CHINA, policy(NO_CN | {"action": "warn"}), False, id="a warning"),
        pytest.param(CHINA, policy(), False, id="a plain allow"),
        pytest.param(
            UNKNOWN,
            policy({"name": "else", "action": "block", "networks": ["0.0.0.0/0"], "unless": {"countries": ["GB"]}}),
            False, id="an address in no country, by a rule on everywhere else",
        ),
        pytest.param(
            CHINA,
            policy({"name": "else", "action": "block", "networks": ["0.0.0.0/0"], "unless": {"countries": ["GB"]}}),
            True, id="a country, by a rule on everywhere else",
        ),
    ],
)  # fmt: skip
def test_only_blocks_that_tell_of_the_account_count(
    through: Send, who: str, document: dict[str, Any], flagged: bool
) -> None:
    flags = Flags()
    judge = Engine(document, database=DATA, accounts=Accounts(flag_after=1))
    through(sent(who), engine=judge, identify=as_header, on_account_flagged=flags)
    assert bool(flags.told) is flagged
    flags.told.clear()
    through(sent(who, None), engine=judge, identify=as_header, on_account_flagged=flags)
    assert flags.told == []


@pytest.mark.parametrize("through", THROUGH)
def test_nobody_is_flagged_in_an_emergency(through: Send, tmp_path: Path) -> None:
    (tmp_path / "off").touch()
    flags, document = Flags(), policy(NO_CN, emergency_file=str(tmp_path / "off"))
    judge = Engine(document, database=DATA, accounts=Accounts(flag_after=1))
    answer = through(sent(CHINA), engine=judge, identify=as_header, on_account_flagged=flags)
    assert (answer.status, flags.told) == (200, [])


@pytest.mark.parametrize("through", THROUGH)
def test_a_hook_that_fails_is_logged_and_the_request_goes_on(
    through: Send, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(account: str, decision: Decision) -> None:
        raise RuntimeError("no mail server")

    judge = engine(NO_CN, accounts=Accounts(flag_after=1))
    answer = through(sent(CHINA), engine=judge, identify=as_header, on_account_flagged=fail)
    assert answer.status == 403
    assert "on_account_flagged failed" in caplog.text
    assert "no mail server" in caplog.text


@pytest.mark.parametrize("through", THROUGH)
def test_an_app_that_fails_to_name_a_blocked_account_does_not_touch_the_block(
    through: Send, caplog: pytest.LogCaptureFixture
) -> None:
    flags = Flags()

    def identify(where: Any) -> str:
        raise LookupError("no session")

    judge = engine(NO_CN, accounts=Accounts(flag_after=1))
    answer = through(sent(CHINA), engine=judge, identify=identify, on_account_flagged=flags)
    assert (answer.status, flags.told) == (403, [])
    assert "counting an account's blocks failed; the request goes on" in caplog.text


def test_a_coroutine_function_is_awaited_in_the_loop_of_the_server_but_not_by_the_request() -> None:
    answered: list[int] = []

    async def serve() -> str:
        began, flagged = asyncio.Event(), asyncio.Event()
        told: list[str] = []

        async def hook(account: str, decision: Decision) -> None:
            await began.wait()  # until the request has been answered
            told.append(account)
            flagged.set()

        guarded = asgi.GeoRestrictMiddleware(
            web.Recorder().asgi,
            engine=engine(NO_CN, accounts=Accounts(flag_after=1)),
            identify=as_header,
            on_account_flagged=hook,
        )

        async def send(message: Any) -> None:
            answered.append(message.get("status", 0))

        await guarded(web.scope_of(sent(CHINA)), None, send)
        began.set()
        await asyncio.wait_for(flagged.wait(), 10)
        return told[0]

    assert asyncio.run(serve()) == "ann"
    assert answered[0] == 403


def test_a_coroutine_function_is_refused_where_nobody_can_await_it() -> None:
    async def hook(account: str, decision: Decision) -> None: ...

    with pytest.raises(ConfigurationError, match="on_account_flagged is a coroutine function"):
        wsgi.GeoRestrictMiddleware(
            web.Recorder().wsgi, engine=engine(NO_CN), identify=as_header, on_account_flagged=hook
        )


def test_a_flag_that_comes_when_the_server_has_ended_its_loop_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flags = Flags()
    guarded = asgi.GeoRestrictMiddleware(
        web.Recorder().asgi, engine=engine(NO_CN), identify=as_header, on_account_flagged=flags
    )

    async def serve() -> Callable[[], None]:
        return guarded.telling("ann", guarded.judge(asgi._request, web.scope_of(sent(CHINA))))

    tell = asyncio.run(serve())
    tell()
    assert flags.told == []
    assert "on_account_flagged was not called" in caplog.text


def test_without_a_loop_of_asyncio_the_hook_has_one_of_its_own() -> None:
    called = threading.Event()

    async def hook(account: str, decision: Decision) -> None:
        called.set()

    guarded = asgi.GeoRestrictMiddleware(
        web.Recorder().asgi,
        engine=engine(NO_CN, accounts=Accounts(flag_after=1)),
        identify=as_header,
        on_account_flagged=hook,
    )
    sent_: list[Any] = []

    async def send(message: Any) -> None:
        sent_.append(message)

    with pytest.raises(StopIteration):  # a loop that is not asyncio's, in one step
        guarded(web.scope_of(sent(CHINA)), None, send).send(None)
    assert sent_[0]["status"] == 403
    assert called.wait(10)


def test_a_middleware_without_account_rules_counts_blocks_in_memory_of_its_own() -> None:
    flags = Flags()
    guarded = wsgi.GeoRestrictMiddleware(
        web.Recorder().wsgi,
        block=["CN"],
        database=DATA,
        identify=as_header,
        on_account_flagged=flags,
    )
    for _ in range(10):
        assert flags.told == []
        guarded(web.environ_of(sent(CHINA)), lambda *_: print)
    assert [account for account, _ in flags.told] == ["ann"]


def test_threads_flag_an_account_once_and_judge_every_request_by_its_past() -> None:
    flags, accounts = Flags(), Accounts(flag_after=50)
    app = web.Recorder()
    guarded = wsgi.GeoRestrictMiddleware(
        app.wsgi,
        policy=policy(NO_CN, TUNNEL),
        database=DATA,
        accounts=accounts,
        identify=as_header,
        on_account_flagged=flags,
    )
    statuses: list[str] = []

    def ask(number: int) -> None:
        for who in (CHINA, CLOUD):
            request = sent(who, f"account {number % 4}")
            guarded(web.environ_of(request), lambda status, headers: statuses.append(status))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(400)))
    assert statuses == ["403 Forbidden"] * 800
    assert sorted(account for account, _ in flags.told) == [f"account {n}" for n in range(4)]


# --- values ---------------------------------------------------------------------------------------------


def test_words_as_values_are_those_of_a_file() -> None:
    seen = SeenIn(countries=["cn", "@eu"], within="14d")  # type: ignore[arg-type]
    assert {"CN", "DE"} <= seen.countries
    assert seen.within == timedelta(days=14)
    assert seen == SeenIn(countries=seen.countries, within=timedelta(days=14))
    many = ManyCountries(more_than=3, within="1d", categories=["VPN"])  # type: ignore[arg-type]
    assert many.categories == {Category.VPN}
    file = policy(TUNNEL | {"account_seen_in": seen}, HOPPING | {"account_countries": many})
    rules = Engine(file, database=DATA).policy.rules
    assert (rules[0].account_seen_in, rules[1].account_countries) == (seen, many)
