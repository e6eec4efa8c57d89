"""Reload under load: the short form of ``tests/soak.py``, and what it rests on, one by one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from georestrict import Database, Decision, Engine, asgi, wsgi
from georestrict.table import Image
from georestrict.testing import tiny_database
from tests import soak, web

ROOT = Path(__file__).parents[1]


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it, with about as much work for the machine as one other test makes."""
    command = [sys.executable, "-m", "tests.soak", *arguments, "--burst", "20", "--pause", "0.1"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.once
def test_g6_twenty_seconds_of_reloads_under_load_give_no_error_no_mixture_and_no_growth() -> None:
    done = ran("20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "soak: passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "says"), [("mix", "between the generations"), ("leak", "memory grew")]
)
def test_the_soak_finds_what_is_planted(plant: str, says: str) -> None:
    done = ran("12", "--plant", plant)
    assert f"planted {plant}: found" in done.stdout, done.stdout + done.stderr
    assert says in done.stdout


# What is between the hands of one request when the snapshot is replaced (G7, G8).

POLICIES = {
    code: f"""
        default = "allow"
        contact = "https://x.example"
        [[rules]]
        name = "{code}-of-plan"
        action = "block"
        countries = ["{code}"]
        attributes = {{ plan = ["{code}"] }}
        [[rules]]
        name = "{code}-other"
        action = "warn"
        countries = ["GB", "CN"]
    """
    for code in ("GB", "CN")
}
BLOCK = 'default = "allow"\ncontact = "https://x.example"\n[[rules]]\nname = "no-cn"\naction = "block"\ncountries = ["CN"]\n'


def put(folder: Path, policy: str, code: str) -> tuple[Path, Path]:
    """Write a policy, and data in which the address of the tests has a country."""
    paths = folder / "policy.toml", folder / "data.grdb"
    paths[0].write_text(policy)
    paths[1].write_bytes(soak.image_of(tiny_database({"81.2.69.0/24": code})))
    return paths


Through = Callable[..., web.Answer]
FACES = pytest.mark.parametrize(
    "through", [web.through_asgi, web.through_wsgi], ids=["asgi", "wsgi"]
)


@FACES
def test_g7_p3_a_request_that_is_parked_while_it_is_decided_finishes_on_the_old_snapshot(
    tmp_path: Path, through: Through
) -> None:
    policy, data = put(tmp_path, POLICIES["GB"], "GB")
    engine = Engine(policy, database=data)
    parked, replaced = threading.Event(), threading.Event()
    found: list[web.Answer] = []

    def attributes(_: Any) -> dict[str, str]:
        parked.set()
        assert replaced.wait(30)
        return {"plan": "GB"}

    def ask() -> None:
        found.append(through(web.Request(), engine=engine, attributes=attributes, annotate=True))

    thread = threading.Thread(target=ask)
    thread.start()
    assert parked.wait(30)
    put(tmp_path, POLICIES["CN"], "CN")
    engine.reload()
    replaced.set()
    thread.join()
    told: list[Decision] = []
    new = through(
        web.Request(),
        engine=engine,
        attributes=lambda _: {"plan": "GB"},
        on_decision=lambda decision, _: told.append(decision),
    )
    [old] = found
    assert (old.status, old.served) == (403, False)
    assert (new.status, new.served) == (200, True)
    [decision] = told
    assert (decision.rule, decision.location.country) == ("CN-other", "CN")


def test_g8_the_same_address_has_its_new_country_with_the_first_request_after_the_swap(
    tmp_path: Path,
) -> None:
    """Whatever the gates and the decisions keep of an address belongs to the snapshot."""
    policy, data = put(tmp_path, BLOCK, "GB")
    engine = Engine(policy, database=data)
    app = web.Recorder()
    asked = asgi.GeoRestrictMiddleware(app.asgi, engine=engine, annotate=True)
    called = wsgi.GeoRestrictMiddleware(app.wsgi, engine=engine, annotate=True)
    seen: list[int] = []

    def start_response(status: str, *_: Any) -> Callable[[bytes], object]:
        seen.append(int(status[:3]))
        return lambda data: None

    for code, status in (("GB", 200), ("CN", 403), ("FR", 200), ("CN", 403), ("GB", 200)) * 3:
        put(tmp_path, BLOCK, code)
        engine.reload()
        for _ in range(3):
            scope, environ = web.scope_of(web.Request()), web.environ_of(web.Request())
            assert web.run_asgi(asked, scope)[0]["status"] == status
            called(environ, start_response)
            assert seen.pop() == status
            for left in (scope, environ):
                assert left["georestrict"].location.country == code
            assert engine.decide("81.2.69.142").location.country == code
            assert engine.database.country("81.2.69.142") == code


def test_the_soaks_oracle_tells_neighbouring_generations_apart() -> None:
    addresses = [f"11.{part}.{half}.7" for part in range(len(soak.CODES)) for half in (1, 200)]
    for generation in range(soak.RING):
        now = [soak.small_answer(generation, each) for each in addresses]
        after = [soak.small_answer(generation + 1, each) for each in addresses]
        for one, other in zip(now, after, strict=True):
            assert one.rule != other.rule
            assert one.country != other.country
        assert {one.listed for one in now} == {True, False}


@pytest.mark.once
def test_an_exchanged_image_differs_from_the_default_in_two_countries_only(
    database: Database,
) -> None:
    same, exchanged = (
        Database(Image(memoryview(data), "variant")) for data in soak.full_variants()
    )
    assert same.country("81.2.69.142") == exchanged.country("2.3.4.5") == "GB"
    assert same.country("2.3.4.5") == exchanged.country("81.2.69.142") == "FR"
    assert same.country("8.8.8.8") == exchanged.country("8.8.8.8") == database.country("8.8.8.8")
