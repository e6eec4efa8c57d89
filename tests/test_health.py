"""Health: what an engine says of itself, in Python and to monitors."""

from __future__ import annotations

import builtins
import io
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from georestrict import ConfigurationError, Engine, Health, asgi, health
from georestrict.healthcheck import State, asgi_health, wsgi_health
from georestrict.testing import tiny_database
from tests import web
from tests.test_age import CN, DAY, GB, MADE, MIDNIGHT, POLICY, Clock, data, image_of

ALLOWED = {"default": "allow", "contact": "https://example.com/contact"}


def engine_at(days: float, **keys: Any) -> Engine:
    return Engine(POLICY | keys, database=data(), clock=Clock(days))


def test_an_engine_over_fresh_data_is_well() -> None:
    found = health(engine_at(12.5, stale_after="90d", warn_after="45d"))
    assert isinstance(found, Health)
    assert (found.status, found.problems) == (State.OK, ())
    country = found.data["country"]
    assert country.date == datetime(2026, 1, 1, tzinfo=UTC)
    assert (country.age_days, country.stale_after, country.stale_action) == (12, "90d", "no_data")
    assert not country.stale
    assert found.data["network"].age_days == 12
    assert len(found.snapshot) == 12
    assert found.policy == "policy"
    assert (found.watching, found.emergency, found.reloads.done) == (None, False, 0)


@pytest.mark.parametrize(
    ("days", "keys", "status", "problem"),
    [
        (45, {"warn_after": "45d"}, "degraded", "country is 45 days old, more than warn_after (45d)"),
        (90, {"stale_after": "90d"}, "failing", "country is 90 days old, more than stale_after (90d): no address has a country any more"),
        (90, {"stale_after": "90d", "stale_action": "keep"}, "degraded", "country is 90 days old, more than stale_after (90d): it is used all the same"),
        (90, {"stale_after": "90d", "stale_action": "warn"}, "degraded", "country is 90 days old, more than stale_after (90d): it is used all the same"),
        (20, {"categories": {"tor": {"stale_after": "14d"}}}, "degraded", "tor is 20 days old, more than categories.tor.stale_after (14d): it is used all the same"),
        (20, {"categories": {"tor": {"stale_after": "14d", "stale_action": "ignore"}}}, "degraded", "tor is 20 days old, more than categories.tor.stale_after (14d): rules do not see it"),
    ],
)  # fmt: skip
def test_h8_and_i7_what_is_past_a_limit_shows_in_the_health(
    days: int, keys: dict[str, Any], status: str, problem: str
) -> None:
    found = health(engine_at(days, **keys))
    assert (found.status, found.problems) == (status, (problem,))
    assert all(part.stale == ("stale_after" in problem) for name, part in found.data.items() if name == problem.split()[0])  # fmt: skip
    assert health(engine_at(days - 1 if days > 20 else 13, **keys)).status == "ok"


def test_a_list_is_told_by_its_name_with_its_date(tmp_path: Path) -> None:
    path = tmp_path / "abuse.txt"
    path.write_text(f"{GB}\n")
    changed = path.stat().st_mtime
    lists = {"abuse": {"path": str(path), "stale_after": "7d", "stale_action": "ignore"}}
    engine = Engine(POLICY | {"lists": lists}, database=data(), clock=lambda: changed + 8 * DAY)
    found = health(engine)
    part = found.lists["abuse"]
    assert (part.age_days, part.stale, part.stale_after) == (8, True, "7d")
    assert found.problems == (
        "list abuse is 8 days old, more than lists.abuse.stale_after (7d): rules do not see it",
    )
    assert str(tmp_path) not in json.dumps(found.as_dict())


def test_g9_a_reload_that_failed_degrades_until_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('default = "allow"\n')
    engine = Engine(path, database=data())
    before = health(engine)
    path.write_text("default = 1\n")
    with pytest.raises(ConfigurationError):
        engine.reload()
    found = health(engine)
    assert (found.status, found.snapshot) == ("degraded", before.snapshot)
    assert found.reloads.failed == 1
    (problem,) = found.problems
    assert problem.startswith("the last reload failed: ")
    path.write_text('default = "block"\n')
    engine.reload()
    after = health(engine)
    assert (after.status, after.reloads.done) == ("ok", 1)
    assert after.snapshot != before.snapshot


def test_the_emergency_switch_degrades_once_a_block_has_met_it(tmp_path: Path) -> None:
    switch = tmp_path / "emergency"
    switch.touch()
    engine = Engine(POLICY | {"emergency_file": str(switch)}, database=data())
    assert engine.decide(CN).emergency
    found = health(engine)
    assert (found.status, found.emergency) == ("degraded", True)
    assert found.problems == ("the emergency switch is on: blocks are warnings",)


def test_g13_without_a_database_the_health_fails_until_a_reload_finds_it(tmp_path: Path) -> None:
    path = tmp_path / "data.grdb"
    engine = Engine(ALLOWED, database=path, require_data=False)
    found = health(engine)
    assert found.status == "failing"
    assert found.problems == (
        "there is no database that can be used: no public address has a country",
    )
    assert found.data["country"].date is None
    path.write_bytes(image_of(MADE))
    engine.reload()
    assert health(engine).status == "ok"


def test_what_watching_does_is_told(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('default = "allow"\n')
    engine = Engine(path, database=data())
    engine.watch(30.0)
    try:
        assert health(engine).watching == 30.0
    finally:
        engine.unwatch()
    assert health(engine).watching is None


def test_it_is_values_of_json_with_times_in_utc() -> None:
    told = json.loads(json.dumps(health(engine_at(1, stale_after="90d")).as_dict()))
    assert list(told) == [
        "status", "snapshot", "policy", "data", "lists", "reloads", "watching", "emergency", "problems",
    ]  # fmt: skip
    assert told["data"]["country"] == {
        "date": "2026-01-01T00:00:00Z",
        "age_days": 1,
        "stale_after": "90d",
        "stale_action": "no_data",
        "stale": False,
    }
    assert told["reloads"]["since"].endswith("Z")


def test_it_tells_no_secret(tmp_path: Path) -> None:
    credentials = {"partner": {"header": "X-Partner", "sha256": ["5c" * 32]}}
    text = json.dumps(health(engine_at(0, credentials=credentials)).as_dict())
    assert "5c5c" not in text
    assert "X-Partner" not in text


def test_asking_reads_nothing_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'default = "allow"\nemergency_file = "{tmp_path}/emergency"\n')
    engine = Engine(policy, database=data())
    health(engine)

    def refuse(*arguments: Any, **more: Any) -> Any:
        raise AssertionError(f"the disk was asked for {arguments}")

    with monkeypatch.context() as patched:
        for module, name in ((os, "stat"), (os, "scandir"), (builtins, "open"), (io, "open")):
            patched.setattr(module, name, refuse)
        found = health(engine)
    assert found.status == "ok"


def asked(engine: Engine, face: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    request = web.Request(method=method, target="/secret?key=1", headers=(("X-Key", "hidden"),))
    if face == "asgi":
        start, last = web.run_asgi(asgi_health(engine), web.scope_of(request))
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, last["body"]
    started: list[Any] = []
    body = b"".join(wsgi_health(engine)(web.environ_of(request), lambda *a: started.append(a)))
    ((status, lines),) = started
    return int(status[:3]), {name.lower(): value for name, value in lines}, body


FACES = pytest.mark.parametrize("face", ["asgi", "wsgi"])


@FACES
@pytest.mark.parametrize(
    ("days", "status", "said"), [(0, 200, "ok"), (45, 200, "degraded"), (90, 503, "failing")]
)
def test_a_monitor_is_told_by_status_and_in_json(
    face: str, days: int, status: int, said: str
) -> None:
    engine = engine_at(days, stale_after="90d", warn_after="45d")
    got, headers, body = asked(engine, face)
    assert got == status
    assert headers == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "content-length": str(len(body)),
    }
    assert json.loads(body) == json.loads(json.dumps(health(engine).as_dict()))
    assert json.loads(body)["status"] == said
    assert b"secret" not in body
    assert b"hidden" not in body


@FACES
def test_head_is_answered_without_a_body(face: str) -> None:
    engine = engine_at(0)
    status, headers, body = asked(engine, face, "HEAD")
    assert (status, body) == (200, b"")
    assert headers == asked(engine, face)[1]


@FACES
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", ""])
def test_other_methods_are_told_which_there_are(face: str, method: str) -> None:
    status, headers, body = asked(engine_at(0), face, method)
    assert (status, body) == (405, b"")
    assert headers == {"allow": "GET, HEAD", "content-length": "0", "cache-control": "no-store"}


def test_a_websocket_is_closed_and_another_scope_is_an_error() -> None:
    app = asgi_health(engine_at(0))
    scope = web.scope_of(web.Request(), type="websocket")
    assert web.run_asgi(app, scope, ({"type": "websocket.connect"},)) == [
        {"type": "websocket.close", "code": 1008}
    ]
    with pytest.raises(ValueError, match="answers http only"):
        web.run_asgi(app, {"type": "lifespan"})


@pytest.mark.once
@pytest.mark.parametrize("app", [asgi_health, wsgi_health])
def test_what_is_no_engine_is_an_error_at_start(app: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"must be an Engine; .* has its own as \.engine"):
        app(asgi.GeoRestrictMiddleware(app, policy=ALLOWED, database=data()))


def test_it_can_be_mounted_beside_the_middleware_and_behind_it() -> None:
    engine = Engine(POLICY | {"default": "block"}, database=tiny_database({}, date=MADE))
    mounted = Starlette(routes=[Mount("/health", app=asgi_health(engine))])
    with TestClient(mounted) as client:
        answer = client.get("/health/")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        assert client.post("/health/").status_code == 405
    guarded = Starlette(
        routes=[Route("/", lambda request: None)],
        middleware=[Middleware(asgi.GeoRestrictMiddleware, engine=engine)],
    )
    beside = Starlette(routes=[Mount("/health", app=asgi_health(engine)), Mount("/", app=guarded)])
    with TestClient(beside, client=("81.2.69.142", 1)) as client:
        assert client.get("/health/").status_code == 200
        assert client.get("/").status_code == 403


def test_followers_tell_of_their_own_policy_over_the_same_data() -> None:
    engine = Engine(ALLOWED, database=data(date(2026, 1, 1)), clock=lambda: MIDNIGHT + 10 * DAY)
    strict = engine.with_policy(ALLOWED | {"stale_after": "7d"})
    assert (health(engine).status, health(strict).status) == ("ok", "failing")
