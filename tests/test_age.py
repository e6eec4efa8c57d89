"""Age: what is too old, from which second on, what follows, and what is said of it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from georestrict import (
    Action,
    Category,
    ConfigurationError,
    Database,
    DatabaseError,
    Engine,
    Policy,
    Status,
    asgi,
    wsgi,
)
from georestrict.age import WARN_SECONDS, changed_at
from georestrict.layers import Layers
from georestrict.manifest import Source, encode
from georestrict.request import Request
from georestrict.snapshot import Snapshot
from georestrict.sources import Row, gathered
from georestrict.table import Image
from georestrict.testing import tiny_database
from tests import web

DAY = 86400.0
MADE = date(2026, 1, 1)
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
COUNTRIES = {"81.2.69.0/24": "GB", "175.16.199.0/24": "CN"}
NETWORKS = {"81.2.69.200/32": "tor:high:Tor", "81.2.69.201/32": "vpn:high:A VPN"}
GB, CN, TOR, PRIVATE = "81.2.69.142", "175.16.199.1", "81.2.69.200", "10.0.0.1"
NO_CN = {"name": "no-cn", "action": "block", "countries": ["CN"]}
NO_TOR = {"name": "no-tor", "action": "block", "categories": ["tor"]}
POLICY: dict[str, Any] = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [NO_TOR, NO_CN],
}


def data(made: date = MADE) -> Database:
    return tiny_database(COUNTRIES, NETWORKS, date=made)


class Clock:
    """A clock that stands where it is put, in days since the data's date."""

    def __init__(self, days: float) -> None:
        self.days = days

    def __call__(self) -> float:
        return MIDNIGHT + self.days * DAY


def engine_at(days: float, **keys: Any) -> tuple[Engine, Clock]:
    clock = Clock(days)
    return Engine(POLICY | keys, database=data(), clock=clock), clock


SECOND = 1 / DAY
LIMIT = {"stale_after": "90d"}


def test_h8_the_limit_holds_from_its_second_on_and_a_clock_that_steps_back_makes_data_fresh() -> (
    None
):
    engine, clock = engine_at(0, **LIMIT)
    for days, reason in (
        (0, "default"),
        (90 - SECOND, "default"),
        (90, "no_data"),
        (90 + SECOND, "no_data"),
        (4000, "no_data"),
        (90 - SECOND, "default"),
        (-4000, "default"),
        (90, "no_data"),
    ):
        clock.days = days
        decision = engine.decide(GB)
        assert (decision.reason, decision.stale) == (
            reason,
            ("country",) if reason == "no_data" else (),
        )


def test_h8_a_time_that_is_given_is_judged_by_the_age_at_that_time_and_changes_nothing() -> None:
    engine, _ = engine_at(0, **LIMIT)
    later = datetime.fromtimestamp(MIDNIGHT, UTC) + timedelta(days=90)
    assert engine.decide(GB, at=later).reason == "no_data"
    assert engine.decide(GB, at=later - timedelta(seconds=1)).reason == "default"
    assert engine.decide(GB).reason == "default"


def test_h8_without_data_an_address_has_no_country_and_keeps_what_else_is_known() -> None:
    engine, _ = engine_at(90, **LIMIT, rules=[NO_CN])
    location = engine.decide(TOR).location
    assert (location.status, location.country, location.subdivision) == (Status.NO_DATA, None, None)
    assert set(location.categories) == {Category.TOR}
    assert engine.decide(PRIVATE).location.status is Status.PRIVATE
    through = engine.decide("2002:5102:458e::1")
    assert (through.reason, through.location.status) == ("no_data", Status.NO_DATA)
    assert through.location.via == "6to4"


@pytest.mark.parametrize("through", [web.through_asgi, web.through_wsgi])
def test_h8_who_is_refused_for_want_of_data_is_told_to_come_again(
    through: Callable[..., web.Answer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="georestrict")
    engine, _ = engine_at(90, **LIMIT)
    answer = through(web.Request(peer=GB), engine=engine)
    assert (answer.status, answer.served) == (503, False)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert int(headers["retry-after"]) > 0
    assert headers["cache-control"] == "no-store"
    assert b"location_unavailable" in answer.body
    ((decision, count),) = engine.counts.items()
    assert (decision.reason, decision.stale, count) == ("no_data", ("country",), 1)
    (line,) = [line for line in caplog.messages if line.startswith("blocked ")]
    assert ' data=2026-01-01 stale="country" ' in line
    assert "reason=no_data" in line


def test_h8_a_websocket_is_closed_for_want_of_data() -> None:
    engine, _ = engine_at(90, **LIMIT)
    app = asgi.GeoRestrictMiddleware(web.Recorder().asgi, engine=engine)
    scope = web.scope_of(web.Request(peer=GB), type="websocket")
    (sent,) = web.run_asgi(app, scope, ({"type": "websocket.connect"},))
    assert sent == {"type": "websocket.close", "code": 1008, "reason": ""}
    scope["extensions"] = {"websocket.http.response": {}}
    start, *_ = web.run_asgi(app, scope, ({"type": "websocket.connect"},))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert b"retry-after" in dict(start["headers"])


@pytest.mark.parametrize("action", ["warn", "keep"])
def test_h8_data_that_is_kept_decides_and_every_decision_says_that_it_is_old(action: str) -> None:
    engine, clock = engine_at(89, **LIMIT, stale_action=action)
    assert engine.decide(CN).stale == ()
    clock.days = 90
    blocked = engine.decide(CN)
    assert (blocked.rule, blocked.country, blocked.stale) == ("no-cn", "CN", ("country",))
    assert engine.decide(GB).stale == ("country",)
    assert engine.decide(PRIVATE).stale == ()


def test_i7_a_category_past_its_limit_is_told_with_its_mark_and_ignored_where_that_is_wanted() -> (
    None
):
    for action, rule in (("ignore", None), ("keep", "no-tor")):
        limit = {"stale_after": "14d", "stale_action": action}
        engine, clock = engine_at(14 - SECOND, categories={"tor": limit})
        assert (engine.decide(TOR).rule, engine.decide(TOR).stale) == ("no-tor", ())
        clock.days = 14
        decision = engine.decide(TOR)
        assert (decision.rule, decision.stale) == (rule, ("tor",))
        assert decision.country == "GB"
        assert set(decision.location.categories) == {Category.TOR}
        assert engine.decide("81.2.69.201").stale == ()


def test_i7_a_list_past_its_limit_is_ignored_where_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "abuse.txt"
    path.write_text(f"{GB}\n")
    os.utime(path, (MIDNIGHT + 0.5, MIDNIGHT + 0.5))
    rule = {"name": "abuse", "action": "block", "lists": ["abuse"]}
    for action, decided in (("ignore", None), ("keep", "abuse")):
        lists = {"abuse": {"path": str(path), "stale_after": "7d", "stale_action": action}}
        engine, clock = engine_at(7, lists=lists, rules=[rule])
        assert (engine.decide(GB).rule, engine.decide(GB).stale) == ("abuse", ())
        clock.days = 7 + 0.5 * SECOND
        decision = engine.decide(GB)
        assert (decision.rule, decision.stale) == (decided, ("list abuse",))
        assert decision.location.lists == {"abuse"}


def test_of_a_folder_the_oldest_file_tells_how_old_a_list_is(tmp_path: Path) -> None:
    for name, age in (("new.txt", 5), ("old.txt", 3), (".hidden", 1)):
        (tmp_path / name).write_text(f"{GB}\n")
        os.utime(tmp_path / name, (age, age))
    engine, _ = engine_at(0, lists={"all": {"path": str(tmp_path)}})
    assert changed_at(engine.policy) == {"all": 3.0}
    assert engine.snapshot.ages.lists["all"].since == 3.0


def test_a_list_that_cannot_be_looked_at_is_no_list_of_any_age(tmp_path: Path) -> None:
    policy = Engine(POLICY, database=data()).policy.from_mapping(
        POLICY | {"lists": {"gone": {"path": str(tmp_path / "gone")}, "x": {"path": str(tmp_path)}}}
    )
    assert changed_at(policy) == {}


def sourced(**dates: date | None) -> Database:
    """A database of countries from several sources; of None is what its owner states."""
    rows = {
        name: gathered([Row(4, at << 8, at << 8 | 255, "GB", 1)])
        for at, name in enumerate(dates, 0x510245)
    }
    sources = [
        Source(
            name=name, title=name, layer="country", format="networks", path="-", date=dated or MADE,
            licence="-", attribution="-",
        )
        for name, dated in dates.items()
    ]  # fmt: skip
    layers = Layers.of({"country": [(name, batch) for name in rows for batch in rows[name]]})
    image = Image(memoryview(encode(layers, sources, datetime(2026, 1, 1, tzinfo=UTC))), "sourced")
    return Database(_not_aging(image, {name for name, dated in dates.items() if dated is None}))


def _not_aging(image: Image, names: set[str]) -> Image:
    """The image as one that has the owner's statements among its sources."""
    import json

    from georestrict.table import encode as packed

    meta = json.loads(bytes(image.section("meta")))
    for source in meta["sources"]:
        if source["name"] in names:
            source["ages"] = False
    sections = {"meta": json.dumps(meta).encode()}
    for name in ("cells", "origin.country"):
        sections[name] = bytes(image.section(name))
    return Image(memoryview(packed(sections)), "sourced")


def test_the_oldest_source_that_ages_tells_how_old_the_countries_are() -> None:
    database = sourced(new=date(2026, 3, 1), old=date(2026, 2, 1), overrides=None)
    engine = Engine(POLICY | LIMIT | {"rules": [NO_CN]}, database=database, clock=Clock(0))
    assert engine.snapshot.data_date == date(2026, 2, 1)
    assert [source.ages for source in database.metadata.sources] == [True, True, False]


def test_what_its_owner_states_does_not_age() -> None:
    database = sourced(overrides=None)
    engine = Engine(POLICY | LIMIT | {"rules": [NO_CN]}, database=database, clock=Clock(4000))
    assert engine.snapshot.data_date is None
    assert engine.decide("81.2.69.1").reason == "default"
    assert not engine.snapshot.ages.limited


def test_an_image_that_does_not_say_whether_a_source_ages_is_one_whose_sources_do() -> None:
    assert all(source.ages for source in data().metadata.sources)


def test_a_limit_for_a_category_that_the_data_does_not_tell_is_an_error_with_the_fix() -> None:
    with pytest.raises(ConfigurationError, match=r"categories\.bot: tiny tells nothing of bot.*re"):
        engine_at(0, categories={"bot": {"stale_after": "14d"}})


# ---- the gate


def gated(engine: Engine, face: str) -> tuple[Any, Callable[[str], bool]]:
    """A middleware, and a way to ask whether its gate lets a peer through by itself."""
    if face == "asgi":
        app = asgi.GeoRestrictMiddleware(web.Recorder().asgi, engine=engine)
        return (
            app,
            lambda peer: cast(Any, app).admitted(web.scope_of(web.Request(peer=peer))) is not None,
        )
    app2 = wsgi.GeoRestrictMiddleware(web.Recorder().wsgi, engine=engine)
    return (
        app2,
        lambda peer: cast(Any, app2).admitted(web.environ_of(web.Request(peer=peer))) is not None,
    )


def today(days_ago: float) -> date:
    return datetime.fromtimestamp(time.time() - days_ago * DAY, UTC).date()


@pytest.mark.parametrize("face", ["asgi", "wsgi"])
def test_the_gate_decides_until_a_limit_by_the_systems_clock(face: str) -> None:
    engine = Engine(POLICY | LIMIT, database=data(today(10)))
    _, admits = gated(engine, face)
    assert (admits(GB), admits(CN)) == (True, False)
    old = Engine(POLICY | LIMIT, database=data(today(100)))
    assert not gated(old, face)[1](GB)
    allowed = Engine(POLICY | LIMIT | {"fallback": {"no_data": "allow"}}, database=data(today(100)))
    _, admits = gated(allowed, face)
    assert (admits(GB), admits(CN), admits(TOR)) == (True, True, False)


@pytest.mark.parametrize("face", ["asgi", "wsgi"])
def test_the_gate_is_closed_under_another_clock_while_there_is_a_limit(face: str) -> None:
    limited, _ = engine_at(0, **LIMIT)
    assert not gated(limited, face)[1](GB)
    unlimited, _ = engine_at(0)
    assert gated(unlimited, face)[1](GB)


@pytest.mark.parametrize("face", ["asgi", "wsgi"])
def test_passes_hold_from_their_first_second_to_before_their_last(face: str) -> None:
    engine = Engine(POLICY, database=data())
    _, admits = gated(engine, face)
    now = int(time.time())
    for since, until, expected in (
        (now - 9, now + 999, True),
        (now - 9, now - 1, False),
        (now + 999, now + 9999, False),
        (0, 0, False),
        (0, 1 << 62, True),
    ):
        engine.snapshot.passes.hold(since, until)
        assert engine.snapshot.passes.holds() is expected
        assert admits(GB) is expected


def test_the_gate_is_held_to_whole_seconds_within_the_limits() -> None:
    """One second before the limit it asks the clock already: the C library's may be late."""
    engine = Engine(POLICY | LIMIT, database=data(today(10)))
    snapshot = engine.snapshot
    limit = snapshot.ages.country.stale_from
    assert snapshot.passes.period == (0, int(limit) - 1)
    for now, period in ((limit, (0, 0)), (limit - 1, (0, int(limit) - 1))):
        snapshot.stale_at(now)
        assert snapshot.passes.period == period
    engine = Engine(POLICY | LIMIT, database=data(today(100)))
    assert engine.snapshot.passes.period == (engine.snapshot.ages.country.stale_from, 1 << 62)
    assert Engine(POLICY, database=data()).snapshot.passes.period is None


def test_a_limit_that_passes_closes_the_gate_until_a_reload_makes_new_tables() -> None:
    engine, clock = engine_at(89, **LIMIT, stale_action="keep")
    assert not engine.is_due()
    clock.days = 90
    assert engine.is_due()
    before = engine.snapshot
    engine.reload()
    assert engine.snapshot is not before
    assert not engine.is_due()
    assert engine.decide(CN).stale == ("country",)
    clock.days = 89
    assert engine.decide(CN).stale == ()


def test_what_is_asked_after_a_limit_is_the_same_with_old_tables_and_new_ones(
    tmp_path: Path,
) -> None:
    path = tmp_path / "abuse.txt"
    path.write_text(f"{GB}\n{TOR}\n")
    os.utime(path, (MIDNIGHT, MIDNIGHT))
    ignored = {"stale_after": "30d", "stale_action": "ignore"}
    keys: dict[str, Any] = {
        "stale_after": "40d",
        "categories": {"tor": ignored},
        "lists": {"abuse": {"path": str(path), **ignored}},
        "rules": [{"name": "abuse", "action": "block", "lists": ["abuse"]}, NO_TOR, NO_CN],
    }
    turning, clock = engine_at(0, **keys)
    assert turning.decide(GB).rule == "abuse"
    for days in (30, 40, 35, 0):
        clock.days = days
        fresh, _ = engine_at(days, **keys)
        for address in (GB, CN, TOR, PRIVATE, "9.9.9.9", "2002:5102:458e::1", "x", None):
            for _ in range(2):
                assert turning.decide(address) == fresh.decide(address), (days, address)


def test_threads_that_pass_a_limit_together_say_it_once(caplog: pytest.LogCaptureFixture) -> None:
    engine, clock = engine_at(89, **LIMIT)
    caplog.clear()
    clock.days = 90
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        for _ in range(50):
            assert engine.decide(GB).reason == "no_data"

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([line for line in caplog.messages if "older than stale_after" in line]) == 1


def test_who_asks_while_it_is_being_said_says_nothing_and_is_answered() -> None:
    engine, clock = engine_at(89, **LIMIT)
    answers: list[str] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            answers.append(engine.decide(GB).reason)

    handler = Asking()
    logging.getLogger("georestrict").addHandler(handler)
    try:
        clock.days = 90
        assert engine.decide(GB).reason == "no_data"
    finally:
        logging.getLogger("georestrict").removeHandler(handler)
    assert answers == ["no_data"]


# ---- what is said


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if " of 2026-" in record.getMessage() or "last changed" in record.getMessage()
    ]
    caplog.clear()
    return found


def test_h8_a_limit_that_passes_is_said_once_with_the_fix_and_so_are_fresh_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="georestrict")
    engine, clock = engine_at(44, **LIMIT, warn_after="45d")
    assert said(caplog) == []
    for days, expected in (
        (45 - SECOND, []),
        (
            45,
            [("WARNING", "policy: the country data, of 2026-01-01, is older than warn_after (45d); fetch newer data with 'georestrict update'")],
        ),
        (89, []),
        (
            90,
            [("ERROR", "policy: the country data, of 2026-01-01, is older than stale_after (90d): no address has a country any more, and fallback.no_data (block) applies; fetch newer data with 'georestrict update'")],
        ),
        (95, []),
        (0, [("INFO", "policy: the country data, of 2026-01-01, is within its limits again")]),
    ):  # fmt: skip
        clock.days = days
        for _ in range(3):
            engine.decide(GB)
        assert said(caplog) == expected


def test_fresh_data_that_a_reload_brings_is_said(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, logger="georestrict")
    path = tmp_path / "data.grdb"
    path.write_bytes(image_of(MADE))
    clock = Clock(90)
    engine = Engine(POLICY | LIMIT, database=path, clock=clock)
    assert [level for level, _ in said(caplog)] == ["ERROR"]
    engine.reload()
    assert said(caplog) == []  # the same data again is nothing new
    path.write_bytes(image_of(date(2026, 3, 1)))
    engine.reload()
    assert said(caplog) == [
        ("INFO", "policy: the country data, of 2026-03-01, is within its limits again")
    ]
    assert engine.decide(GB).reason == "default"


def image_of(made: date) -> bytes:
    """The bytes of an image with a source of a date."""
    sources = [
        Source(
            name=layer, title="-", layer=layer, format="networks", path="-", date=made,
            licence="-", attribution="-",
        )
        for layer in ("country", "network")
    ]  # fmt: skip
    batches = {
        "country": gathered([Row(4, 0x5102_4500, 0x5102_45FF, "GB", 1)]),
        "network": gathered([Row(4, 0x5102_45C8, 0x5102_45C8, "tor:high:Tor", 1)]),
    }
    layers = Layers.of(
        {layer: [(layer, batch) for batch in found] for layer, found in batches.items()}
    )
    return encode(layers, sources, datetime(2026, 1, 1, tzinfo=UTC))


def test_what_is_warned_of_is_said_every_hour_at_most(caplog: pytest.LogCaptureFixture) -> None:
    engine, clock = engine_at(90, **LIMIT, stale_action="warn")
    hour = WARN_SECONDS / DAY
    assert [level for level, _ in said(caplog)] == ["WARNING"]
    for days, times in (
        (90, 0),
        (90 + hour - SECOND, 0),
        (90 + hour, 1),
        (90 + 1.5 * hour, 0),
        (91, 1),
    ):
        clock.days = days
        for _ in range(3):
            engine.decide(GB)
        found = said(caplog)
        assert len(found) == times
        assert all(text.endswith("it is used all the same; fetch newer data with 'georestrict update'") for _, text in found)  # fmt: skip


def test_of_categories_and_lists_it_is_said_what_follows(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "abuse.txt"
    path.write_text(f"{GB}\n")
    os.utime(path, (MIDNIGHT, MIDNIGHT))
    engine_at(
        50,
        categories={"tor": {"stale_after": "2w", "stale_action": "ignore"}},
        lists={"abuse": {"path": str(path), "stale_after": "36h"}},
    )
    assert said(caplog) == [
        ("WARNING", "policy: what is known of tor, of 2026-01-01, is older than categories.tor.stale_after (14d): rules do not see it any more; fetch newer data with 'georestrict update'"),
        ("WARNING", "policy: list abuse, last changed 2026-01-01, is older than lists.abuse.stale_after (36h): it is used all the same; bring a newer list"),
    ]  # fmt: skip


def test_a_time_that_is_tried_is_not_said(caplog: pytest.LogCaptureFixture) -> None:
    engine, _ = engine_at(0, **LIMIT)
    engine.decide(GB, at=datetime.fromtimestamp(MIDNIGHT + 100 * DAY, UTC))
    assert said(caplog) == []


# ---- no data at all


@pytest.mark.parametrize("content", [None, b"", b"no image", image_of(MADE)[:-50]])
def test_g13_a_database_that_is_missing_or_unusable_is_an_error_at_start_unless_asked_for(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "data.grdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatabaseError):
        Engine(POLICY, database=path)
    engine = Engine(POLICY, database=path, require_data=False)
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "there is no data" in error.getMessage()
    assert str(path) in error.getMessage()
    for address in (GB, "9.9.9.9", "2600::1"):
        decision = engine.decide(address)
        assert (decision.reason, decision.action) == ("no_data", "block")
        assert decision.location.status is Status.NO_DATA
    for address in (PRIVATE, "::1", "2002:a00:1::1"):
        assert engine.decide(address).reason == "private"
    assert engine.decide("x").reason == "unresolved"
    assert engine.lookup(GB).status is Status.NO_DATA
    assert engine.matches(GB) == ()
    assert repr(engine.database) == f"Database({str(path)!r}, no data)"


def test_g13_a_reload_finds_the_data_and_then_never_loses_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "data.grdb"
    engine = Engine(POLICY | {"rules": [NO_TOR]}, database=path, require_data=False)
    assert engine.is_due()
    assert not engine.take_up()  # so that the watcher comes again
    engine.reload()
    assert engine.database.is_missing
    assert len([line for line in caplog.messages if "there is no data" in line]) == 1
    path.write_bytes(image_of(MADE))
    assert engine.take_up()
    assert not engine.is_due()
    assert engine.decide(GB).reason == "default"
    path.unlink()
    with pytest.raises(DatabaseError):
        engine.reload()
    assert engine.decide(GB).reason == "default"


def test_g13_a_policy_that_asks_for_what_data_would_tell_starts_without(tmp_path: Path) -> None:
    asking = {
        "categories": {"tor": {"stale_after": "14d"}},
        "stale_after": "90d",
        "rules": [
            {"name": "regions", "action": "block", "subdivisions": ["UA-43"]},
            {"name": "cloud", "action": "block", "asns": [64500]},
        ],
    }
    engine = Engine(POLICY | asking, database=tmp_path / "none", require_data=False)
    assert (engine.decide(GB).reason, engine.decide(GB).stale) == ("no_data", ())


@pytest.mark.parametrize("through", [web.through_asgi, web.through_wsgi])
def test_g13_a_middleware_starts_without_data_where_that_is_allowed(
    through: Callable[..., web.Answer], tmp_path: Path
) -> None:
    answer = through(
        web.Request(peer=GB), policy=POLICY, database=tmp_path / "none", require_data=False
    )
    assert (answer.status, answer.served) == (503, False)


def test_g13_without_data_the_policy_and_its_long_lists_are_reloaded_all_the_same(
    tmp_path: Path,
) -> None:
    listed, path = tmp_path / "list.txt", tmp_path / "policy.toml"
    listed.write_text("".join(f"198.18.{n // 256}.{n % 256}\n" for n in range(2000)))
    rule = '[[rules]]\nname = "listed"\naction = "block"\nlists = ["long"]\n'
    path.write_text(f'default = "allow"\n[lists.long]\npath = "list.txt"\n{rule}')
    (tmp_path / "data.grdb").write_bytes(b"damaged")
    for database in ("none.grdb", "data.grdb"):
        engine = Engine(path, database=tmp_path / database, require_data=False)
        assert engine.decide("9.9.9.9").rule is None
        before = listed.read_text()
        listed.write_text(before + "9.9.9.9\n")
        engine.reload()
        assert engine.decide("9.9.9.9").rule == "listed"
        listed.write_text(before)


@pytest.mark.parametrize("given", ["no", None, 0])
def test_require_data_is_true_or_false(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"require_data is .*must be True or False"):
        Engine(POLICY, database=data(), require_data=given)


def test_require_data_belongs_to_the_engine_where_one_is_given() -> None:
    with pytest.raises(ConfigurationError, match="require_data= to the Engine"):
        Engine.from_options(engine=Engine(POLICY, database=data()), require_data=False)


def test_a_limit_of_minutes_is_told_as_it_is() -> None:
    hard, soft = timedelta(minutes=90), timedelta(minutes=150)
    with pytest.raises(ConfigurationError, match=r"is 2:30:00, not before stale_after 1:30:00"):
        Policy(default=Action.ALLOW, stale_after=hard, warn_after=soft)


def test_a_snapshot_without_a_log_of_ages_and_with_all_kept_decides_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("georestrict.snapshot.MOST_DECISIONS", 0)
    clock = Clock(0)
    snapshot = Snapshot(Policy.from_mapping(POLICY | LIMIT), data(), clock=clock)
    for days, reason in ((0, "default"), (90, "no_data"), (90, "no_data"), (0, "default")):
        clock.days = days
        assert snapshot.judge(GB, Request("/"))[1].reason == reason
