"""Events: what they tell of a request, and what they leave out."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from georestrict import Accounts, Action, ConfigurationError, Engine, Reason, asgi, restrict, wsgi
from georestrict.address import ClientAddress, Headers, TrustedProxies
from georestrict.observe import Event, Events, JsonLines, Kind, keyed, log_events, route_of, schema
from georestrict.observe.observer import shown_place
from georestrict.testing import tiny_database
from tests.test_docs import EVENTS, read_table, words
from tests.web import Recorder, Request, environ_of, run_asgi, scope_of, through_asgi, through_wsgi
from tests.written import writing

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
KEY = b"sixteen bytes at least"
CHINA, BRITAIN, SWEDEN, CLOUD = "175.16.199.1", "81.2.69.142", "89.160.20.1", "52.95.110.1"
DATA = tiny_database(
    {
        "175.16.199.0/24": "CN",
        "81.2.69.0/24": "GB",
        "89.160.20.0/24": "SE",
        "52.95.110.0/24": "US-WA",
        "2001:218::/32": "JP",
    },
    {"52.95.110.0/25": "hosting:high:A Cloud"},
    date=date(2026, 6, 17),
)
POLICY: dict[str, Any] = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [
        {"name": "hosted", "action": "count", "categories": ["hosting"]},
        {"name": "no-cn", "action": "block", "countries": ["CN"]},
        {"name": "notice", "action": "warn", "countries": ["SE"]},
    ],
}
NOON = datetime(2026, 11, 23, 12, 0, 0, 250000, tzinfo=UTC)
VALIDATOR = Draft202012Validator(schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
FACES = {"asgi": through_asgi, "wsgi": through_wsgi}


def engine(policy: dict[str, Any] | None = None, **more: Any) -> Engine:
    given: dict[str, Any] = {"database": DATA, "clock": NOON.timestamp} | more
    return Engine({**(policy or POLICY)}, **given)


def as_header(where: dict[str, Any]) -> str | None:
    """The account that a request names."""
    if "headers" in where:
        return {key: value.decode() for key, value in where["headers"]}.get(b"account")
    return where.get("HTTP_ACCOUNT")


def told(request: Request, face: Callable[..., Any] = through_asgi, **options: Any) -> list[Event]:
    """The events of a request."""
    options.setdefault("engine", engine())
    with writing() as written:
        face(request, **options)
    for line in written.lines:
        VALIDATOR.validate(json.loads(line))
    return written.events


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_a_blocked_request_is_told_with_everything_that_is_known(face: Callable[..., Any]) -> None:
    request = Request(
        peer=CHINA, target="/v1/users/4711?secret=x", headers=(("Host", "API.example.com:443"),)
    )
    (event,) = told(request, face)
    assert event.request is None
    assert json.loads(event.as_json()) == {
        "event": 1,
        "time": "2026-11-23T12:00:00.250000Z",
        "kind": "decision",
        "action": "block",
        "reason": "country",
        "count": 1,
        "rule": "no-cn",
        "code": "unsupported_country_region_territory",
        "country": "CN",
        "status": "known",
        "address": "175.16.199.0/24",
        "client": "peer",
        "data": "2026-06-17",
        "policy": "policy",
        "snapshot": event.snapshot,
        "method": "GET",
        "host": "api.example.com",
        "path": "/v1/users/4711",
        "protocol": "http",
        "route": "/v1/users/{}",
    }


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_each_kind_of_decision_that_is_no_plain_allow_is_told_once(
    face: Callable[..., Any],
) -> None:
    for peer, action, rule, counted in (
        (CHINA, Action.BLOCK, "no-cn", ()),
        (SWEDEN, Action.WARN, "notice", ()),
        (CLOUD, Action.ALLOW, None, ("hosted",)),
    ):
        (event,) = told(Request(peer=peer), face)
        assert (event.action, event.rule, event.counted) == (action, rule, counted)
    assert told(Request(peer=BRITAIN), face) == []


def test_i3_an_address_of_a_cloud_that_no_rule_blocks_is_told_with_its_category() -> None:
    (event,) = told(Request(peer=CLOUD))
    assert (event.categories, event.subdivision) == ({"hosting": "high"}, "US-WA")
    assert event.action is Action.ALLOW


def test_i6_the_first_rule_that_matches_is_the_one_that_is_told() -> None:
    rules = [
        {"name": "ours", "action": "warn", "countries": ["US"]},
        {"name": "clouds", "action": "block", "categories": ["hosting"]},
    ]
    (event,) = told(Request(peer=CLOUD), engine=engine({"default": "allow", "rules": rules}))
    assert (event.rule, event.categories) == ("ours", {"hosting": "high"})


def test_i8_a_dry_run_tells_what_would_have_been() -> None:
    dry = engine(POLICY | {"mode": "dry-run"})
    (event,) = told(Request(peer=CHINA), engine=dry)
    assert (event.action, event.would) == (Action.ALLOW, Action.BLOCK)
    assert str(event).startswith("dry-run blocked country=CN reason=country")


def test_an_address_that_carries_another_is_told_with_how_it_does() -> None:
    (event,) = told(Request(peer="2002:af10:c701::1"))
    assert (event.country, event.via, event.address) == ("CN", "6to4", "2002:af10:c701::/48")


def test_lists_that_hold_the_address_are_told(tmp_path: Path) -> None:
    (tmp_path / "ours.txt").write_text("175.16.199.0/25\n")
    (tmp_path / "policy.toml").write_text(
        'default = "allow"\n[lists.ours]\npath = "ours.txt"\n[[rules]]\nname = "listed"\n'
        'action = "block"\nlists = ["ours"]\n'
    )
    (event,) = told(Request(peer=CHINA), engine=Engine(tmp_path / "policy.toml", database=DATA))
    assert (event.lists, event.reason) == (("ours",), Reason.NETWORK)
    assert event.policy == "policy.toml"  # and no folder of this machine


def test_a_client_that_cannot_be_told_has_no_address_and_a_reason() -> None:
    blocked = engine(POLICY | {"fallback": {"unresolved": "block"}})
    (event,) = told(Request(peer="10.0.3.7"), engine=blocked, client=TrustedProxies("10.0.3.0/24"))
    assert (event.address, event.client, event.status) == (None, "header_missing", "unresolved")


def test_a8_requests_without_an_address_are_counted_by_reason() -> None:
    guarded = wsgi.GeoRestrictMiddleware(
        Recorder().wsgi, engine=engine(), client=TrustedProxies("10.0.3.0/24")
    )
    for _ in range(3):
        run_wsgi(guarded, Request(peer="10.0.3.7"))
    assert guarded.observer.unresolved_counts == {"header_missing": 3}


def run_wsgi(guarded: wsgi.GeoRestrictMiddleware, request: Request) -> None:
    b"".join(guarded(environ_of(request), lambda *_: lambda data: None))


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("network", "175.16.199.0/24"),
        ("full", CHINA),
        ("keyed", keyed(CHINA, KEY, of="address")),
        ("none", None),
    ],
)
@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_the_address_is_told_as_the_option_says(
    face: Callable[..., Any], option: Any, shown: str | None
) -> None:
    (event,) = told(Request(peer=CHINA), face, events=Events(address=option, key=KEY))
    assert event.address == shown
    if option != "full":
        assert CHINA not in event.as_json() + str(event)


def test_an_ipv6_address_is_cut_to_48_bits() -> None:
    policy = {"default": "block"}
    (event,) = told(Request(peer="2001:218:5:7::1"), engine=engine(policy))
    assert event.address == "2001:218:5::/48"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, None),
        ({"key": KEY}, keyed("ann@example.com", KEY)),
        ({"account": "full"}, "ann@example.com"),
        ({"key": KEY, "account": "none"}, None),
    ],
)
@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_the_account_is_told_as_the_option_says(
    face: Callable[..., Any], options: dict[str, Any], shown: str | None
) -> None:
    request = Request(peer=CHINA, headers=(("Account", "ann@example.com"),))
    (event,) = told(request, face, events=Events(**options), identify=as_header)
    assert event.account == shown


def test_an_account_has_other_digits_than_an_address_of_the_same_text() -> None:
    assert keyed(CHINA, KEY) != keyed(CHINA, KEY, of="address")
    assert len(keyed(CHINA, KEY)) == 32


@pytest.mark.parametrize(
    ("option", "path", "route"),
    [(True, "/users/7", "/users/{}"), ("route", None, "/users/{}"), (False, None, None)],
)
def test_the_path_is_told_as_the_option_says(
    option: Any, path: str | None, route: str | None
) -> None:
    (event,) = told(Request(peer=CHINA, target="/users/7"), events=Events(path=option))
    assert (event.path, event.route) == (path, route)


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ((("X-Request-ID", "f058ebd6-02f7"),), "f058ebd6-02f7"),
        (
            (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),),
            "0af7651916cd43dd8448eb211c80319c",
        ),
        ((("X-Request-ID", "two words"),), None),
        ((("X-Request-ID", "a" * 200),), "a" * 128),
        ((("X-Request-ID", ""),), None),
        ((("X-Request-ID", CHINA),), None),  # F5
        ((("X-Request-ID", f"a1_{CHINA}:443_7"),), None),
        ((("X-Request-ID", "2001:db8::1"),), None),
        ((("X-Request-ID", "00:1f:2.5"),), "00:1f:2.5"),
    ],
)
@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_the_id_that_a_request_comes_with_is_told_if_it_is_one(
    face: Callable[..., Any], headers: tuple[tuple[str, str], ...], shown: str | None
) -> None:
    (event,) = told(Request(peer=CHINA, headers=headers), face)
    assert event.request == shown


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_the_id_that_the_client_is_told_goes_before_the_one_it_came_with(
    face: Callable[..., Any],
) -> None:
    page = Request(peer=CHINA, headers=(("Accept", "text/html"), ("X-Request-ID", "theirs")))
    with writing() as written:
        answer = face(page, engine=engine())
    (event,) = written.events
    assert event.request is not None
    assert event.request.encode() in answer.body


HOSTILE = (
    "\r\nINFO:georestrict.events:blocked country=GB\x1b[2J\u2028\u2029\x00\udcff\x85" + "x" * 5000
)


@pytest.mark.parametrize("option", ["none", "network"])
def test_f5_hostile_text_is_one_record_escaped_and_cut(option: Any) -> None:
    scope = {
        "type": "http", "method": HOSTILE, "path": f"/{HOSTILE}", "raw_path": None,
        "headers": [(b"host", HOSTILE.encode("utf-8", "surrogatepass")), (b"x-request-id", b"\r\nx")],
        "client": (CHINA, 1),
    }  # fmt: skip
    app = asgi.GeoRestrictMiddleware(
        Recorder().asgi, engine=engine(), events=Events(address=option), identify=lambda _: HOSTILE
    )
    with writing() as written:
        run_asgi(app, scope)
    (line,) = written.lines
    (event,) = written.events
    VALIDATOR.validate(json.loads(line))
    for text in (line, str(event)):
        assert text.isascii()
        assert text.isprintable()
    assert event.request is None
    for said in (event.path, event.method, event.host, event.route):
        assert said is not None
        assert len(said) <= 128
    assert json.loads(line)["path"].encode()  # no half of a character, which Polars refuses
    assert len(line) < 8192  # what a stream hands on in one write
    if option == "none":
        assert "175.16.199" not in line + str(event)


@given(st.text())
def test_any_text_survives_the_way_through_json(text: str) -> None:
    event = Event(
        time=NOON, kind=Kind.DECISION, action=Action.BLOCK, reason=Reason.COUNTRY, path=text or None
    )
    line = event.as_json()
    assert line.isascii()
    assert "\n" not in line
    assert Event.from_json(line) == event


def test_an_event_can_be_pickled() -> None:
    (event,) = told(Request(peer=CLOUD))
    assert pickle.loads(pickle.dumps(event)) == event


def test_a_time_of_another_zone_is_told_in_utc() -> None:
    time = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    event = Event(time=time, kind=Kind.DECISION, action=Action.BLOCK, reason=Reason.COUNTRY)
    assert '"2026-11-23T12:00:00.250000Z"' in event.as_json()
    assert Event.from_json(event.as_json()) == event


BASE = {
    "event": 1, "time": "2026-11-23T12:00:00Z", "kind": "decision", "action": "block",
    "reason": "country", "count": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no event"),
        ('{"level": "INFO"}', "is no event"),
        (json.dumps(BASE | {"event": 2}), "event is 2, must be 1"),
        (json.dumps(BASE | {"event": True}), "event is true, must be 1"),
        (
            json.dumps({key: value for key, value in BASE.items() if key != "time"}),
            "time is missing",
        ),
        (json.dumps(BASE | {"time": "2026-11-23T12:00:00"}), "time is"),
        (json.dumps(BASE | {"time": "yesterday"}), 'time is "yesterday", which it cannot be'),
        (json.dumps(BASE | {"action": "allowed"}), "action is"),
        (json.dumps(BASE | {"action": ["block"]}), "action is"),
        (json.dumps(BASE | {"kind": None}), "kind is"),
        (json.dumps(BASE | {"count": -1}), "count is"),
        (json.dumps(BASE | {"count": True}), "count is"),
        (json.dumps(BASE | {"emergency": 1}), "emergency is"),
        (json.dumps(BASE | {"rule": 1}), "rule is"),
        (json.dumps(BASE | {"counted": "a"}), "counted is"),
        (json.dumps(BASE | {"counted": [1]}), "counted is"),
        (json.dumps(BASE | {"categories": ["vpn"]}), "categories is"),
        (json.dumps(BASE | {"categories": {"vpn": "very"}}), "categories is"),
        (json.dumps(BASE | {"data": "2026-13-01"}), "data is"),
        (json.dumps(BASE | {"sampled": float("inf")}), "sampled is"),
        (json.dumps(BASE | {"sampled": float("nan")}), "sampled is"),
        (json.dumps(BASE | {"rule": ["x" * 1000]}), "…, which it cannot be"),
    ],
)
def test_what_is_no_event_is_refused_with_the_field(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        Event.from_json(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 300


def test_fields_of_later_versions_are_passed_by() -> None:
    event = Event.from_json(json.dumps(BASE | {"weather": "fair", "rule": None}))
    assert event.reason is Reason.COUNTRY


def test_the_committed_schema_is_the_one_that_the_code_makes() -> None:
    committed = json.loads((ROOT / "docs/event.schema.json").read_text(encoding="utf-8"))
    assert committed == schema()
    Draft202012Validator.check_schema(committed)


def test_the_schema_describes_every_field_and_no_other() -> None:
    assert list(schema()["properties"]) == ["event", *Event.__dataclass_fields__]


def test_the_page_has_every_field_and_every_option_with_its_default() -> None:
    rows = read_table(EVENTS, "## What is in an event")
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row["field"])]
    assert sorted(named) == sorted(["event", *Event.__dataclass_fields__])
    options = read_table(EVENTS, "## What they tell about people")
    defaults = {name: row["default"] for name, row in zip(words(options), options, strict=True)}
    assert list(defaults) == list(Events.__dataclass_fields__)
    for name, shown in defaults.items():
        value = getattr(Events(), name)
        expected = {"account": '`"keyed"` with a key, else `"none"`', "key": "none"}.get(name)
        assert shown == (expected or f"`{json.dumps(value) if isinstance(value, str) else value}`")


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": 2},
        {"kind": "x"},
        {"count": 0},
        {"time": "now"},
        {"country": "China"},
        {"lists": []},
    ],
)
def test_the_schema_refuses_what_is_no_event(wrong: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(BASE | {"time": "2026-11-23T12:00:00.000000Z"})
    assert not VALIDATOR.is_valid(BASE | {"time": "2026-11-23T12:00:00.000000Z"} | wrong)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"address": "half"},
            "address is 'half', must be one of 'network', 'full', 'keyed', 'none'",
        ),
        ({"address": "keyed"}, "address is 'keyed', and there is no key"),
        ({"account": "keyed"}, "account is 'keyed', and there is no key"),
        ({"account": ["full"]}, "account is"),
        ({"key": b"short"}, "key has 5 bytes"),
        ({"key": "text that is long enough"}, "key has no bytes"),
        ({"path": "none"}, "path is 'none'"),
        ({"path": 1}, "path is 1"),
        ({"allows": 1.5}, "allows is 1.5, must be from 0 to 1"),
        ({"allows": True}, "allows is True"),
        ({"per_second": -1}, "per_second is -1, must be 0 or more"),
        ({"per_second": float("nan")}, "per_second is nan"),
        ({"burst": "many"}, "burst is 'many'"),
        ({"burst": 0}, "burst is 0, so no event would ever be written; give 1 or more, or 0 with"),
        ({"burst": 0.5, "per_second": 0}, "burst is 0.5, so no event would ever be written"),
        ({"allows": 1e-320}, "allows is 1e-320, must be 0 or 1e-09 or more"),
        ({"counts_every": 0}, "counts_every is 0, must be 1 or more"),
    ],
)
def test_options_that_cannot_be_are_errors_that_name_the_fix(
    options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Events(**options)
    assert str(caught.value).startswith(f"events: {why}")


def test_a_key_is_not_shown() -> None:
    assert "bytes" not in repr(Events(key=KEY))


@pytest.mark.parametrize("face", [asgi, wsgi])
def test_the_middlewares_take_events_and_nothing_else(face: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"events is 'all', must be georestrict\.observe"):
        face.GeoRestrictMiddleware(print, engine=engine(), events="all")


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_an_account_that_is_flagged_is_told(face: Callable[..., Any]) -> None:
    flags: list[str] = []
    guarded = engine(accounts=Accounts(flag_after=1))
    events = told(
        Request(peer=CHINA, headers=(("Account", "ann"),)),
        face,
        engine=guarded,
        identify=as_header,
        on_account_flagged=lambda account, decision: flags.append(account),
        events=Events(key=KEY),
    )
    assert flags == ["ann"]
    (flagged,) = [event for event in events if event.kind is Kind.FLAGGED]
    assert flagged.account == keyed("ann", KEY)
    assert (flagged.count, flagged.rule, flagged.country) == (0, "no-cn", "CN")
    assert str(flagged) == (
        'flagged country=CN reason=country rule="no-cn" '
        f'code=unsupported_country_region_territory account="{flagged.account}"'
    )


def test_a_websocket_is_told_as_one() -> None:
    app = asgi.GeoRestrictMiddleware(Recorder().asgi, engine=engine())
    scope = scope_of(Request(peer=CHINA), type="websocket")
    del scope["method"]
    with writing() as written:
        run_asgi(app, scope, ({"type": "websocket.connect"},))
    (event,) = written.events
    assert (event.protocol, event.method) == ("websocket", "WEBSOCKET")


def test_endpoints_that_ask_a_policy_of_their_own_are_told_with_it() -> None:
    @restrict("strict")
    def endpoint(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("it is refused")

    strict = tiny_policy("block")
    with writing() as written:
        run_wsgi(
            wsgi.GeoRestrictMiddleware(endpoint, engine=engine(), policies={"strict": strict}),
            Request(peer=BRITAIN),
        )
    (event,) = written.events
    assert (event.action, event.rule) == (Action.BLOCK, "all")


def tiny_policy(action: str) -> dict[str, Any]:
    return {
        "default": "allow", "contact": "https://example.com/contact",
        "rules": [{"name": "all", "action": action, "countries": ["GB", "CN"]}],
    }  # fmt: skip


def test_the_logger_of_events_is_a_child_of_georestricts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "georestrict"):
        through_asgi(Request(peer=CHINA), engine=engine())
    (record,) = [each for each in caplog.records if isinstance(each.msg, Event)]
    assert (record.name, record.levelno) == ("georestrict.events", logging.INFO)
    assert record.getMessage().startswith('blocked country=CN reason=country rule="no-cn" code=')


def test_log_events_is_all_that_is_needed_for_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert log_events(path) is log_events(str(path))  # a second time is none
    through_asgi(Request(peer=CHINA), engine=engine())
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert Event.from_json(line).country == "CN"
    path.rename(tmp_path / "events.jsonl.1")  # logrotate
    through_asgi(Request(peer=SWEDEN), engine=engine())
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert Event.from_json(line).country == "SE"


def test_log_events_writes_to_a_stream_or_a_handler(capsys: pytest.CaptureFixture[str]) -> None:
    assert log_events(sys.stdout) is log_events(sys.stdout)
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    log_events(logging.handlers.QueueHandler(records))
    through_asgi(Request(peer=CHINA), engine=engine())
    assert Event.from_json(capsys.readouterr().out).country == "CN"
    # What comes out of the queue is the event still, for whatever handler listens there.
    assert Event.from_json(JsonLines().format(records.get_nowait())).country == "CN"


def test_log_events_says_what_it_cannot_write_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"events.jsonl: No such file.*; give a file in a"):
        log_events(tmp_path / "missing" / "events.jsonl")
    with pytest.raises(ConfigurationError, match="is given 7, must be a path, a stream or"):
        log_events(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="embedded null byte; give a file in a folder"):
        log_events("a\0b")
    with pytest.raises(ConfigurationError, match=r"takes no text: .*; give a stream that is open"):
        log_events(io.BytesIO())  # type: ignore[arg-type]
    closed = io.StringIO()
    closed.close()
    with pytest.raises(ConfigurationError, match="takes no text: I/O operation on closed file"):
        log_events(closed)


def test_log_events_undoes_that_a_dictconfig_before_it_has_disabled_the_logger() -> None:
    logger, lines = logging.getLogger("georestrict.events"), io.StringIO()
    logger.disabled = True  # what disable_existing_loggers does, the default of dictConfig
    log_events(lines)
    assert not logger.disabled
    through_asgi(Request(peer=CHINA), engine=engine())
    assert Event.from_json(lines.getvalue()).country == "CN"


def test_p1_the_name_of_a_policy_file_that_is_no_utf_8_is_told_as_what_can_be_written() -> None:
    assert shown_place("policies/\udcff.toml") == "policies/?.toml"


def test_dictconfig_can_set_the_lines_up(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"events": {"()": "georestrict.observe.JsonLines"}},
            "handlers": {
                "events": {
                    "class": "logging.handlers.WatchedFileHandler",
                    "filename": str(path),
                    "formatter": "events",
                }
            },
            "loggers": {
                "georestrict.events": {"handlers": ["events"], "level": "INFO", "propagate": False}
            },
        }
    )
    through_asgi(Request(peer=CHINA), engine=engine())
    assert Event.from_json(path.read_text(encoding="utf-8")).country == "CN"


def test_json_lines_makes_lines_of_other_records_too() -> None:
    try:
        raise ValueError("it broke")
    except ValueError as error:
        why = (type(error), error, error.__traceback__)
    record = logging.LogRecord("app", logging.ERROR, "app.py", 1, "a\n%s", ("b",), why)
    told_ = json.loads(JsonLines().format(record))
    assert told_["message"] == "a\nb"
    assert (told_["level"], told_["logger"]) == ("ERROR", "app")
    assert told_["traceback"].endswith("ValueError: it broke")
    assert "event" not in told_


ROUTES = {
    "/": "/",
    "": "",
    "/v1/models": "/v1/models",
    "/v1.0/models/gpt-4o": "/v1.0/models/gpt-4o",
    "/v1/users/4711/avatar": "/v1/users/{}/avatar",
    "/users/": "/users/",
    "//1//2": "//{}//{}",
    "/day/2026-11-23": "/day/{}",
    "/files/4711.png": "/files/{}",
    "/x/550e8400-e29b-41d4-a716-446655440000/y": "/x/{}/y",
    "/commit/deadbee5": "/commit/{}",
    "/facade": "/facade",
    "/hash/d41d8cd98f00b204e9800998ecf8427e": "/hash/{}",
    "/customers/cus_NffrFeUfNV2Hib": "/customers/{}",
    "/order-2049": "/{}",
    "/reset/ada@example.com": "/reset/{}",
    "/reset/ada%40example.com/x": "/reset/{}/x",
    "/@ada/posts": "/{}/posts",
    "/call/+491701234567": "/call/{}",
    "/ip/192.0.2.1": "/ip/{}",
    "/ip/2001:db8::1": "/ip/{}",
    "/search?q=ada": "/search",
    "/a/b/c/d/e/f/g/h/i/j": "/a/b/c/d/e/f/g/h/…",
    f"/{'w' * 65}": "/{}",
    f"/{'w' * 64}": f"/{'w' * 64}",
}


@pytest.mark.parametrize(("path", "route"), ROUTES.items())
def test_a_route_is_the_path_without_what_is_one_of_many(path: str, route: str) -> None:
    assert route_of(path) == route


@given(st.text())
def test_any_path_has_a_route_that_is_not_long_and_stays_one(path: str) -> None:
    route = route_of(path)
    assert len(route) <= 128
    assert route_of("/" + path).count("/") <= 9


class Owner:
    """A strategy that an owner wrote."""

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        return ClientAddress(ip_address(CHINA), "by token")  # type: ignore[arg-type]


def test_a_reason_of_the_owners_own_strategy_is_left_out() -> None:
    (event,) = told(Request(peer="10.0.0.1"), client=Owner())
    assert (event.client, event.country) == (None, "CN")


def test_a_mapped_address_is_told_as_the_ipv4_address_that_it_is() -> None:
    (event,) = told(Request(peer=f"::ffff:{CHINA}"))
    assert event.address == "175.16.199.0/24"
