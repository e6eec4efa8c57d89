"""``georestrict.testing``: addresses from everywhere, a clock, assertions, data that stands in."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from werkzeug.test import Client as WerkzeugClient

from georestrict import Accounts, Category, Confidence, ConfigurationError, Engine
from georestrict.address import Peer
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.countries import NAMES
from georestrict.testing import (
    Clock,
    assert_allowed,
    assert_blocked,
    assert_warned,
    client_from,
    standing_in,
    tiny_database,
    world,
)
from georestrict.wsgi import GeoRestrictMiddleware as WsgiMiddleware
from tests.test_docs import commands, matches, read_blocks, read_table, words
from tests.test_endpoints import django_urls

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]

CONTACT = "https://example.com/contact"
POLICY: dict[str, Any] = {
    "default": "allow",
    "contact": CONTACT,
    "rules": [
        {"name": "embargo", "action": "block", "countries": ["CU", "CN"]},
        {"name": "watched", "action": "warn", "countries": ["VE"]},
        {"name": "tor", "action": "block", "categories": ["tor:high"]},
    ],
}


# --- the world ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_every_country_has_an_address_that_appears_to_be_there(version: int) -> None:
    found = {code: world().lookup(client_from(code, version=version)) for code in NAMES}
    assert {code: each.country for code, each in found.items()} == {code: code for code in NAMES}
    assert not any(each.categories for each in found.values())
    assert len({client_from(code, version=version) for code in NAMES}) == len(NAMES)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("confidence", Confidence)
@pytest.mark.parametrize("category", Category)
def test_every_country_has_a_network_of_each_category_and_confidence(
    category: Category, confidence: Confidence, version: int
) -> None:
    for country in ("AD", "CN", "ZW"):
        address = client_from(country, category=f"{category}:{confidence}", version=version)
        location = world().lookup(address)
        assert (location.country, dict(location.categories)) == (country, {category: confidence})


def test_a_category_without_a_confidence_is_known_for_sure() -> None:
    assert client_from("CN", category="vpn") == client_from("CN", category="vpn:high")


@pytest.mark.parametrize("version", [4, 6])
def test_some_clients_are_in_no_country(version: int) -> None:
    for place in ("unknown", "private"):
        assert world().lookup(client_from(place, version=version)).status == place


def test_addresses_are_an_interface() -> None:
    assert client_from("CN") == "11.3.14.1"
    assert client_from("cn", version=6) == "2e00:3:14::1"
    assert client_from("ZW", category="bot:high") == "11.26.23.193"
    assert client_from("ZW", category="hosting:low", version=6) == "2e00:26:23:32::1"


@pytest.mark.parametrize(
    ("place", "options", "said"),
    [
        ("UK", {}, "client_from: 'UK' is no country: did you mean GB"),
        ("CHN", {}, "did you mean CN?"),
        (7, {}, "write a code of two letters"),
        ("CN", {"version": 5}, "version is 5, must be 4 or 6"),
        ("CN", {"category": "dark"}, "category 'dark': write one of hosting"),
        ("CN", {"category": "vpn:sure"}, "after the colon write one of low"),
        ("unknown", {"category": "vpn"}, "only countries have networks"),
    ],
)
def test_who_asks_for_a_place_that_there_is_not_is_told_what_to_write(
    place: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        client_from(place, **options)


def test_the_world_takes_ranges_of_ones_own_and_a_date() -> None:
    own = world(
        {"198.35.26.0/24": "US-CA"}, {"198.35.26.8/29": "cdn:low:Ours"}, date=date(2020, 2, 2)
    )
    location = own.lookup("198.35.26.9")
    assert (location.subdivision, location.provider) == ("US-CA", "Ours")
    assert own.lookup(client_from("CN")).country == "CN"
    assert {source.date for source in own.metadata.sources} == {date(2020, 2, 2)}


def test_the_world_is_made_once_and_as_new_as_today() -> None:
    made = world()
    assert made is world()
    (told,) = {source.date for source in made.metadata.sources}
    assert abs((datetime.now(UTC).date() - told).days) <= 1


# --- the clock ----------------------------------------------------------------------------------


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = Clock("2027-01-01")
    assert clock() == clock() == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    clock.pass_(days=1, hours=2, minutes=3, seconds=4)
    assert clock.now == datetime(2027, 1, 2, 2, 3, 4, tzinfo=UTC)
    clock.move_to(date(2020, 2, 29))
    assert repr(clock) == "Clock('2020-02-29T00:00:00+00:00')"
    clock.move_to("2020-02-29T12:00:00+02:00")
    assert clock.now.hour == 10


def test_a_clock_begins_at_the_moment_when_it_is_made() -> None:
    before = datetime.now(UTC)
    assert before <= Clock().now <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("tomorrow", "'tomorrow' is no moment; write 2027-01-01"),
        ("2027-01-01T12:00:00", "a time without an offset; add Z"),
        (datetime(2027, 1, 1), "a time without an offset"),
    ],
)
def test_a_moment_that_is_none_is_an_error(moment: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Clock(moment)


def test_time_does_not_pass_backwards() -> None:
    with pytest.raises(ConfigurationError, match="to go back, use move_to"):
        Clock().pass_(days=-1)


# --- assertions about decisions -----------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(POLICY, database=world())


def failure(check: Callable[..., None], answer: Any, **wanted: Any) -> str:
    """What an assertion that does not hold says."""
    with pytest.raises(AssertionError) as raised:
        check(answer, **wanted)
    return str(raised.value)


def test_each_assertion_holds_for_its_decision_and_fails_for_the_others(engine: Engine) -> None:
    checks = {"CU": assert_blocked, "VE": assert_warned, "FR": assert_allowed}
    for country in checks:
        for of, check in checks.items():
            decision = engine.decide(client_from(country))
            if of == country:
                check(decision, country=country)
            else:
                assert failure(check, decision).startswith("expected a")


def test_a_failed_assertion_about_a_decision_tells_what_was_decided_and_why(engine: Engine) -> None:
    decision = engine.decide(client_from("FR", category="vpn:low"))
    assert failure(assert_blocked, decision, rule="embargo") == (
        "expected a block, but the decision is an allow:\n"
        "  Decision(action=allow, reason=default, rule=None, country=FR, code=None, would=None)\n"
        "  of an address that appears to be in FR (France), network vpn:low"
    )
    assert "is in no country (private)" in failure(assert_blocked, engine.decide("10.0.0.1"))


def test_a_failed_assertion_names_every_field_that_differs(engine: Engine) -> None:
    decision = engine.decide(client_from("CU"))
    assert_blocked(
        decision, rule="embargo", reason="country", code="unsupported_country_region_territory"
    )
    said = failure(assert_blocked, decision, rule="tor", reason="category", country="CU")
    assert said.startswith("it is a block, but rule is embargo, not tor and reason is country, not")


def test_a_dry_run_is_an_allow_unless_what_would_be_is_asked_for() -> None:
    engine = Engine({**POLICY, "mode": "dry-run"}, database=world())
    decision = engine.decide(client_from("CU"))
    assert_allowed(decision)
    assert_blocked(decision, enforced=False, rule="embargo")
    assert "the policy is a dry run: enforced=False" in failure(assert_blocked, decision)


def test_with_the_emergency_switch_on_a_block_is_a_warning(tmp_path: Path) -> None:
    switch = tmp_path / "emergency"
    switch.touch()
    engine = Engine({**POLICY, "emergency_file": str(switch)}, database=world())
    decision = engine.decide(client_from("CU"))
    assert_warned(decision)
    assert "the emergency switch is on" in failure(assert_blocked, decision)


def test_lists_counts_and_stale_data_are_told(tmp_path: Path) -> None:
    listed = tmp_path / "partners.txt"
    listed.write_text("11.6.18.0/24\n")
    engine = Engine(
        {
            **POLICY,
            "stale_after": "90d",
            "lists": {"partners": {"path": str(listed)}},
            "rules": [{"name": "seen", "action": "count", "lists": ["partners"]}],
        },
        database=world(date=date(2020, 1, 1)),
    )
    said = failure(assert_warned, engine.decide(client_from("FR")))
    assert "on partners" in said
    assert "counted before by seen" in said
    assert "too old, and so not judged by: country" in said


def test_what_is_neither_a_decision_nor_a_response_is_a_mistake_of_the_test(engine: Engine) -> None:
    decision = engine.decide(client_from("CU"))

    async def forgotten() -> None: ...

    for answer, options, said in (
        (forgotten(), {}, "await it"),
        (decision, {"status": 403}, "a Decision has no status"),
        ("blocked", {}, "of type str, and neither"),
        (httpx.Response(403), {"enforced": False}, "give the Decision"),
        (httpx.Response(403), {"rule": "embargo"}, "does not tell its rule"),
    ):
        with pytest.raises(TypeError, match=said):
            assert_blocked(answer, **options)


# --- assertions about responses -----------------------------------------------------------------


async def _hello(request: Any) -> PlainTextResponse:
    return PlainTextResponse("hello")


@cache
def _asgi() -> Any:
    app = Starlette(routes=[Route("/", _hello, methods=["GET", "POST"])])
    return GeoRestrictMiddleware(app, engine=Engine(POLICY, database=world()))


@cache
def _flask_app() -> flask.Flask:
    app = flask.Flask("tests", root_path=str(Path(__file__).parent))

    @app.get("/")
    def hello() -> str:
        return "hello"

    app.wsgi_app = WsgiMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, engine=Engine(POLICY, database=world())
    )
    return app


def _through_httpx(place: str, **headers: str) -> Any:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(_asgi(), client=(client_from(place), 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(get())


def _through_starlette(place: str) -> Any:
    return TestClient(_asgi(), client=(client_from(place), 40000)).get("/")


def _through_flask(place: str) -> Any:
    overrides = {"REMOTE_ADDR": client_from(place)}
    return _flask_app().test_client().get("/", environ_overrides=overrides)


def _through_werkzeug(place: str) -> Any:
    overrides = {"REMOTE_ADDR": client_from(place)}
    return WerkzeugClient(_flask_app()).get("/", environ_overrides=overrides)


def _through_httpx_wsgi(place: str) -> Any:
    transport = httpx.WSGITransport(_flask_app(), remote_addr=client_from(place))
    with httpx.Client(transport=transport, base_url="http://test") as client:
        return client.get("/")


def _through_django(place: str) -> Any:
    """Django's own test client leaves the WSGI app out, so only its response's shape is tried."""
    from django.http import HttpResponse

    django_urls()
    found = _through_httpx(place)
    return HttpResponse(found.content, status=found.status_code, headers=dict(found.headers))


@pytest.mark.parametrize(
    "through",
    [
        _through_httpx,
        _through_starlette,
        _through_flask,
        _through_werkzeug,
        _through_httpx_wsgi,
        _through_django,
    ],
)
def test_the_responses_of_every_test_client_are_understood(through: Callable[[str], Any]) -> None:
    blocked, warned, allowed = through("CU"), through("VE"), through("FR")
    code = "unsupported_country_region_territory"
    assert_blocked(blocked, code=code, country="CU", status=403)
    assert_warned(warned, code=code, country="VE", status=200)
    assert_allowed(allowed, status=200)
    for check, others in (
        (assert_blocked, (warned, allowed)),
        (assert_warned, (blocked, allowed)),
        (assert_allowed, (blocked, warned)),
    ):
        for other in others:
            assert failure(check, other).startswith("expected a")


def test_a_failed_assertion_about_a_response_says_what_came_and_what_to_look_at() -> None:
    assert failure(assert_blocked, _through_httpx("FR")) == (
        "expected a block, but the response is an allow:\n"
        "  status 200: hello\n"
        "  is the app's data that of the test? client_from() tells addresses of world(): have the "
        "test ask for the fixture georestrict_world"
    )
    with standing_in(world(), engines=[]):
        assert "georestrict_world" not in failure(assert_blocked, _through_httpx("FR"))
    assert "GeoRestrict-Warning: code=" in failure(assert_blocked, _through_httpx("VE"))
    assert "status is 403, not 451" in failure(assert_blocked, _through_httpx("CU"), status=451)


def test_a_page_is_a_refusal_that_tells_no_code() -> None:
    page = _through_httpx("CU", accept="text/html")
    assert_blocked(page, status=403)
    with pytest.raises(TypeError, match="does not tell its code"):
        assert_blocked(page, code="anonymous_network")


def test_an_unresolved_client_is_told_of() -> None:
    with TestClient(_asgi(), client=("10.0.0.1", 1)) as client:
        answer = client.get("/", headers={"X-Forwarded-For": client_from("FR")})
    assert "where its client= reads a header" in failure(assert_allowed, answer)


def test_refusals_in_forms_of_ones_own_are_recognised_by_their_status() -> None:
    policy = {
        **POLICY,
        "responses": {
            "moved": {"type": "redirect", "location": "https://help.example.com/"},
            "legal": {"type": "rfc7725", "blocked_by": "https://example.com/"},
            "ours": {"type": "app"},
        },
        "rules": [
            {"name": name, "action": "block", "countries": [country], "response": name}
            for name, country in (("moved", "CH"), ("legal", "GB"), ("ours", "NO"))
        ],
    }
    app = GeoRestrictMiddleware(
        Starlette(routes=[Route("/", _hello)]),
        engine=Engine(policy, database=world()),
        responses={"ours": lambda decision, scope: _own_response()},
    )

    def ask(country: str) -> Any:
        client = TestClient(app, client=(client_from(country), 1), follow_redirects=False)
        return client.get("/", headers={"accept": "text/html"})

    assert_blocked(ask("GB"), status=451)
    assert_blocked(ask("CH"), status=303)
    assert_blocked(ask("NO"), status=418)
    assert "say so with status=303" in failure(assert_blocked, ask("CH"))
    assert_allowed(ask("FR"))


def _own_response() -> Any:
    from georestrict.response import Response

    return Response(status=418, headers=(("content-type", "text/plain"),), body=b"no")


def test_a_refusal_of_the_app_itself_is_no_block() -> None:
    async def refusing(request: Any) -> JSONResponse:
        return JSONResponse({"error": {"code": "not_yours"}}, 403)

    app = GeoRestrictMiddleware(
        Starlette(routes=[Route("/", refusing)]), engine=Engine(POLICY, database=world())
    )
    answer = TestClient(app, client=(client_from("FR"), 1)).get("/")
    assert_allowed(answer, status=403)
    failure(assert_blocked, answer)
    failure(assert_blocked, answer, status=403)


def test_a_head_request_and_a_grpc_call_are_refused_without_a_body() -> None:
    client = TestClient(_asgi(), client=(client_from("CU"), 1))
    assert_blocked(client.head("/"), status=403)
    assert_blocked(client.post("/", headers={"content-type": "application/grpc"}))


# --- data that stands in ------------------------------------------------------------------------


def test_an_app_as_it_is_imported_decides_over_the_tests_data_and_time() -> None:
    rules = [
        {
            "name": "soon",
            "countries": ["VE"],
            "warn_from": "2027-01-01T00:00:00Z",
            "block_from": "2028-01-01T00:00:00Z",
        }
    ]
    own = tiny_database({"81.2.69.0/24": "VE"})
    app = GeoRestrictMiddleware(
        Starlette(routes=[Route("/", _hello)]),
        engine=Engine({**POLICY, "rules": rules}, database=own),
        client=Peer(),
    )
    client = TestClient(app, client=(client_from("VE"), 1))
    assert_allowed(client.get("/"))
    clock = Clock("2026-12-31")
    with standing_in(world(), clock, engines=[app.engine]):
        assert_allowed(client.get("/"))
        clock.pass_(days=1)
        assert_warned(client.get("/"), country="VE")
        clock.move_to("2028-01-01")
        assert_blocked(client.get("/"), country="VE")
    assert app.engine.database is own
    assert_allowed(client.get("/"))
    assert sum(app.engine.counts.values()) == 5, (
        "what was asked before, within and after is counted"
    )


def test_endpoints_policies_stand_in_together() -> None:
    own = tiny_database({})
    engine = Engine(POLICY, database=own)
    strict = engine.with_policy({**POLICY, "default": "block"})
    before = dict(engine.in_force)
    with standing_in(world(), engines=[strict]):
        assert_allowed(engine.decide(client_from("FR")))
        assert_blocked(strict.decide(client_from("FR")), reason="default")
        assert {engine, strict} == {*strict.in_force}
        assert strict.in_force[strict] is strict.snapshot
        engine.reload()
        assert_blocked(engine.decide(client_from("CU")), rule="embargo")
        later = strict.with_policy({**POLICY, "mode": "dry-run"})
    assert dict(engine.in_force).keys() == {engine, strict, later}
    assert engine.database is strict.database is later.database is own
    del later
    gc.collect()
    with standing_in(world(), engines=[engine]):
        assert engine.decide(client_from("CU")).country == "CU"
    assert engine.database is own
    assert {*before} == {engine, strict}


def test_an_engine_that_is_made_within_has_the_tests_data_and_later_its_own(tmp_path: Path) -> None:
    tiny = tiny_database({"81.2.69.0/24": "CU"})
    clock = Clock("2027-01-01")
    with standing_in(world(), clock, engines=[]):
        app = Starlette(
            routes=[Route("/", _hello)],
            middleware=[Middleware(GeoRestrictMiddleware, policy=POLICY)],  # made when it is asked
        )
        assert_blocked(TestClient(app, client=(client_from("CU"), 1)).get("/"))
        missing = Engine(POLICY, database=tmp_path / "bought.mmdb", require_data=False)
        assert_blocked(missing.decide(client_from("CU")))
        lasting, chosen = Engine(POLICY), Engine(POLICY, database=tiny)
        assert lasting.now() == chosen.now() == clock()
        assert_blocked(chosen.decide("81.2.69.1"))
        strict = lasting.with_policy(POLICY)
    assert lasting.database.country("81.2.69.142") == "GB"
    assert strict.database is lasting.database
    assert chosen.database is tiny
    assert chosen.now() > 0 and chosen.now() != clock()
    assert missing.database is not None
    assert Engine(POLICY).database.country("81.2.69.142") == "GB"


def test_what_is_known_of_accounts_begins_anew_and_comes_back() -> None:
    rules = [
        {
            "name": "was-there",
            "action": "block",
            "countries": ["FR"],
            "account_seen_in": {"countries": ["CU"], "within": "40d"},
        }
    ]
    engine = Engine(
        {**POLICY, "rules": rules}, database=world(), accounts=Accounts(keep="60d", flag_after=3)
    )
    engine.decide(client_from("CU"), account="alice")
    assert_blocked(engine.decide(client_from("FR"), account="alice"), reason="account")
    clock = Clock()
    with standing_in(world(), clock, engines=[engine]):
        assert_allowed(engine.decide(client_from("FR"), account="alice"))
        engine.decide(client_from("CU"), account="bob")
        assert_blocked(engine.decide(client_from("FR"), account="bob"))
        clock.pass_(days=41)
        assert_allowed(engine.decide(client_from("FR"), account="bob"))
    assert_allowed(engine.decide(client_from("FR"), account="bob"))
    assert_blocked(engine.decide(client_from("FR"), account="alice"))


def test_the_emergency_switch_is_seen_whichever_way_the_clock_was_moved(tmp_path: Path) -> None:
    switch = tmp_path / "emergency"
    engine = Engine({**POLICY, "emergency_file": str(switch)}, database=world())
    clock = Clock("2090-01-01")
    with standing_in(world(), clock, engines=[engine]):
        assert_blocked(engine.decide(client_from("CU")))
    switch.touch()
    clock.move_to("2030-01-01")
    with standing_in(world(), clock, engines=[engine]):
        assert_warned(engine.decide(client_from("CU")))


def test_one_block_within_another_is_an_error() -> None:
    with (
        standing_in(world(), engines=[]),
        pytest.raises(ConfigurationError, match="georestrict_database"),
    ):
        standing_in(world()).__enter__()


def test_an_app_that_cannot_stand_the_data_is_named_and_nothing_stays_changed() -> None:
    first = Engine(POLICY, database=tiny_database({}))
    regions = [{"name": "region", "action": "block", "subdivisions": ["UA-43"]}]
    picky = Engine({**POLICY, "rules": regions}, database=world({"198.35.26.0/24": "UA-43"}))
    before = {engine: engine.snapshot for engine in (first, picky)}
    both = standing_in(world(), engines=[first, picky])
    with pytest.raises(ConfigurationError, match="subdivisions"), both:
        raise AssertionError("it must not begin")
    assert {engine: engine.snapshot for engine in before} == before
    with standing_in(world({"198.35.26.0/24": "UA-43"}), engines=[picky]):
        assert_blocked(picky.decide("198.35.26.1"), rule="region")


# --- the pytest plugin --------------------------------------------------------------------------

UNASKED = """
import sys

def test_nothing_is_imported_before_it_is_asked_for():
    assert "georestrict" not in sys.modules
"""
ASKED = (
    UNASKED
    + """
import pytest
from georestrict import Engine
from georestrict.testing import assert_blocked

POLICY = {"default": "allow", "contact": "https://example.com/", "rules": [
    {"name": "embargo", "action": "block", "countries": ["CU"]}]}
engine = Engine(POLICY)
before = engine.database

@pytest.mark.parametrize("number", range(2))
def test_every_engine_stands_in(
    number, client_from, georestrict_world, georestrict_database, georestrict_clock
):
    later = Engine(POLICY)
    assert georestrict_world is georestrict_database is engine.database is later.database
    assert engine.now() == later.now() == georestrict_clock()
    georestrict_clock.pass_(days=1)
    assert engine.now() == georestrict_clock()
    assert_blocked(engine.decide(client_from("CU")))

def test_and_none_where_nobody_asks():
    assert engine.database is before

def test_a_failure_shows_the_line_of_the_test(client_from):
    assert_blocked(engine.decide("81.2.69.142"), rule="embargo")
"""
)


# They come with the tests' environment, and take longer than what is tested.
OTHERS = ("hypothesispytest", "faker", "anyio", "xdist", "xdist.looponfail", "pytest_cov")


def run_pytest(
    folder: Path, *options: str, before: str = "pass", path: Path | None = None, alone: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user does, with the installed package, away from our configuration."""
    code = f"import sys, pytest; {before}; sys.exit(pytest.main(sys.argv[1:]))"
    environment = {name: value for name, value in os.environ.items() if "COV" not in name}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    left_out = [word for name in OTHERS if alone for word in ("-p", f"no:{name}")]
    options = ("-q", "-W", "error", "-p", "no:cacheprovider", *left_out, *options)
    return subprocess.run(
        [sys.executable, "-c", code, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_plugin_imports_nothing_before_a_test_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "test_unasked.py").write_text(UNASKED)
    assert "1 passed" in run_pytest(tmp_path).stdout


def test_the_fixtures_put_data_and_time_in_force_for_their_test_alone(tmp_path: Path) -> None:
    text = ASKED.replace(UNASKED, "")
    (tmp_path / "test_asked.py").write_text(text)
    done = run_pytest(tmp_path)
    assert "1 failed, 3 passed" in done.stdout, done.stdout
    (shown,) = [line for line in done.stdout.splitlines() if line.startswith(">")]
    assert (
        shown.split(maxsplit=1)[1] == 'assert_blocked(engine.decide("81.2.69.142"), rule="embargo")'
    )
    assert "appears to be in GB" in done.stdout
    assert "asserting.py" not in done.stdout, "the frames of the assertion itself are hidden"


@pytest.mark.slow
def test_the_plugin_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_unasked.py").write_text(
        f"{UNASKED}\ndef test_asking(client_from): raise AssertionError('not reached')\n"
    )
    done = run_pytest(tmp_path, "-p", "no:georestrict")
    assert "1 passed, 1 error" in done.stdout
    assert "fixture 'client_from' not found" in done.stdout


@pytest.mark.slow
def test_an_installed_package_that_was_imported_before_pytest_is_no_warning(
    tmp_path: Path,
) -> None:
    """pytest marks the files of a distribution with a plugin; an editable one tells none."""
    about = tmp_path / "georestrict-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: georestrict\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text("[pytest11]\ngeorestrict = pytest_georestrict\n")
    (about / "RECORD").write_text("georestrict/__init__.py,,\npytest_georestrict.py,,\n")
    for name in ("georestrict", "pytest_georestrict.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "test_asked.py").write_text(
        "def test_it(client_from): assert client_from('CN') == '11.3.14.1'\n"
    )
    done = run_pytest(tmp_path, before="import georestrict", path=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_example_project_passes_as_its_page_says() -> None:
    done = run_pytest(ROOT / "examples/testing")
    assert "9 passed" in done.stdout, done.stdout


@pytest.mark.slow
def test_the_example_project_passes_beside_xdist_and_coverage(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples/testing", project)
    coverage = ("--cov=shop", "--cov=georestrict.testing", "--cov-report=term")
    done = run_pytest(project, *coverage, "-n", "2", alone=False)
    assert "9 passed" in done.stdout, done.stdout
    (whole,) = re.findall(r"^shop\.py .* (\d+)%$", done.stdout, re.MULTILINE)
    assert whole == "100"
    (measured,) = re.findall(r"testing.world\.py .* (\d+)%$", done.stdout, re.MULTILINE)
    assert int(measured) > 50, "coverage had begun before the package was imported"


# --- the page -----------------------------------------------------------------------------------

PAGE = ROOT / "docs/testing.md"
READER = """
import doctest, json, sys

for blocks in json.load(sys.stdin):
    names = {"__name__": "reader"}
    for language, text in blocks:
        if language == "python":
            exec(text, names)
        else:
            examples = doctest.DocTestParser().get_doctest(text, names, "page", "page", 0)
            failed = doctest.DocTestRunner().run(examples, clear_globs=False).failed
            assert not failed, text
"""


@pytest.fixture
def reader_folder(tmp_path: Path) -> Path:
    """A folder with the files that the page shows."""
    shown = [block for block in read_blocks(PAGE) if block.file]
    assert [block.file for block in shown] == [
        "test_shop.py",
        "policy.toml",
        "shop.py",
        "conftest.py",
    ]
    for block in shown:
        (tmp_path / str(block.file)).write_text(block.text)
    return tmp_path


@pytest.mark.slow
def test_the_tests_of_the_page_pass_as_it_shows(reader_folder: Path) -> None:
    ((command, shown),) = [
        pair
        for block in read_blocks(PAGE)
        if block.language == "console"
        for pair in commands(block)
    ]
    assert command == "pytest -q test_shop.py"
    done = run_pytest(reader_folder, "test_shop.py", path=reader_folder)
    assert matches(shown, done.stdout), done.stdout


def test_the_code_of_the_page_runs_and_gives_what_it_shows(reader_folder: Path) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for block in read_blocks(PAGE):
        if block.language in ("python", "pycon") and not block.file:
            sections.setdefault(block.section, []).append((block.language, block.text))
    assert [*sections] == ["Where clients are", "What is asserted", "Without pytest, and in WSGI"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READER],
        cwd=reader_folder,
        input=json.dumps([*sections.values()]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_lists_every_fixture() -> None:
    plugin = (ROOT / "pytest_georestrict.py").read_text()
    fixtures = re.findall(r"^@pytest\.fixture.*\ndef (\w+)\(", plugin, re.MULTILINE)
    assert sorted(words(read_table(PAGE, "## With pytest"))) == sorted(fixtures)
