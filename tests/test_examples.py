"""The example policies say what their own cases say that they say."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from georestrict import Action, ConfigurationError, Database, Engine, Policy
from georestrict.cli import main
from georestrict.policy import Fallback, reader
from georestrict.policy.cases import CASE_KEYS, EXPECTED
from georestrict.policy.responses import FORM_KEYS, TEXT_KEYS
from georestrict.testing import tiny_database
from georestrict.trial.cases import tried

pytestmark = pytest.mark.once

FOLDER = Path(__file__).parents[1] / "examples/policies"
FILES = sorted(FOLDER.glob("*.toml"))
# What the default data cannot answer; these files say so.
NEED_REGIONS = ("annotated", "us-states")
NAMES = [file.stem for file in FILES]


@pytest.fixture(scope="module")
def regions() -> Database:
    """Data that tells subdivisions and AS numbers."""
    return tiny_database(
        {
            "81.2.69.0/24": "GB",
            "73.10.0.0/24": "US-NJ",
            "73.10.1.0/24": "US-OH",
            "91.207.56.0/24": "UA-43",
        },
        {"81.2.69.200": "tor:high:Tor"},
        asns={"73.10.0.0/24": 64500},
        date=datetime.now(UTC).date(),  # what is too old would answer otherwise
    )


def engine_of(name: str, database: Database, regions: Database) -> Engine:
    """The engine of an example over the default data, or over ours where that does not do."""
    return Engine(FOLDER / f"{name}.toml", database=regions if name in NEED_REGIONS else database)


def test_there_is_an_example_of_each_kind() -> None:
    assert {
        "ai-vendor-cloud",
        "ai-vendor-direct",
        "ai-vendor-tunnel",
        "internal-tool",
        "licensed-media",
        "sanctions-2024",
        "us-states",
    } <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_passes_its_own_cases_and_no_other_expectation_would(
    name: str, database: Database, regions: Database
) -> None:
    snapshot = engine_of(name, database, regions).snapshot
    cases = snapshot.policy.tests
    assert len(cases) >= 9
    decided: set[str | None] = set()
    for case in cases:
        trial = tried(snapshot, case)
        assert trial.passed, (case.name, trial.failures)
        decided |= {trial.decision.rule, *trial.decision.counted}
        for expect in {*EXPECTED} - {case.expect}:
            assert not tried(snapshot, replace(case, expect=expect)).passed, case.name
    untried = {rule.name for rule in snapshot.policy.rules} - decided
    shown_only = {"networks", "one-carrier", "incident"} if name == "annotated" else set()
    assert untried == shown_only, "each rule of an example has a case"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_tells_whoever_it_refuses_whom_to_ask(name: str) -> None:
    policy = Policy.load(FOLDER / f"{name}.toml")
    assert policy.contact and "example.com" in policy.contact
    assert all(case.name for case in policy.tests)


@pytest.mark.parametrize("name", NAMES)
def test_an_editor_finds_the_schema_of_an_example_and_nothing_to_say(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    schema = FOLDER / text.partition("\n")[0].removeprefix("#:schema ")
    validator = Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    # JSON has no times: an editor sees the text
    document = json.loads(json.dumps(tomllib.loads(text), default=str))
    assert not [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEED_REGIONS])
def test_policy_check_has_no_advice_for_an_example(name: str) -> None:
    done = CliRunner().invoke(main, ["policy", "check", str(FOLDER / f"{name}.toml")])
    assert done.exit_code == 0, done.output
    warnings = [line for line in done.output.splitlines() if " warning: " in line]
    if name == "licensed-media":  # which says so beside the rule
        assert "2018/302" in warnings.pop()
    assert not warnings


@pytest.mark.parametrize("name", NEED_REGIONS)
def test_an_example_about_regions_is_an_error_with_data_that_ends_at_the_country(
    name: str, database: Database
) -> None:
    """Acceptance H13."""
    with pytest.raises(ConfigurationError, match=r"needs (subdivision data|data with AS numbers)"):
        Engine(FOLDER / f"{name}.toml", database=database)


def test_the_regions_of_the_sanctions_example_work_once_they_are_no_comment(
    tmp_path: Path, database: Database, regions: Database
) -> None:
    """Acceptance H13."""
    text = (FOLDER / "sanctions-2024.toml").read_text(encoding="utf-8")
    whole = re.sub(r"^#:( |$)", "", text, flags=re.MULTILINE)
    assert whole.count("subdivisions = ") == 2
    file = tmp_path / "sanctions.toml"
    file.write_text(whole, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="subdivision"):
        Engine(file, database=database)
    snapshot = Engine(file, database=regions).snapshot
    told = [case for case in snapshot.policy.tests if case.subdivision]
    assert len(told) == 3
    assert [tried(snapshot, case).failures for case in told] == [()] * 3
    (donetsk,) = (case for case in told if case.subdivision == "UA-14")
    assert tried(snapshot, donetsk).decision.counted == ("donetsk-luhansk",)


def test_the_vendors_list_has_163_countries_and_none_of_those_that_it_closed() -> None:
    policy = Policy.load(FOLDER / "ai-vendor-direct.toml")
    (supported,) = policy.rules[-1].unless
    assert len(supported.countries) == 163
    closed = {"BY", "CN", "CU", "HK", "IR", "KP", "MO", "RU", "SY", "VE"}
    assert not supported.countries & closed


def test_the_tunnel_is_an_account_seen_outside_of_the_same_countries() -> None:
    tunnel, *_, unsupported = Policy.load(FOLDER / "ai-vendor-tunnel.toml").rules[1:]
    direct = Policy.load(FOLDER / "ai-vendor-direct.toml").rules[-1]
    assert tunnel.account_seen_in is not None
    (supported,) = unsupported.unless
    assert tunnel.account_seen_in.outside == supported.countries
    assert unsupported == direct


def keys_of(tables: Any) -> set[str]:
    return {key for table in tables for key in table}


def test_the_annotated_example_shows_every_word_of_the_language() -> None:
    shown = tomllib.loads((FOLDER / "annotated.toml").read_text(encoding="utf-8"))
    assert list(shown) == list(reader.POLICY_KEYS)
    assert keys_of(shown["lists"].values()) == {*reader.LIST_KEYS}
    assert keys_of(shown["credentials"].values()) == {*reader.CREDENTIAL_KEYS}
    assert keys_of(shown["responses"].values()) == {*FORM_KEYS, *TEXT_KEYS}
    assert keys_of(shown["rules"]) == {*reader.RULE_KEYS}
    assert keys_of(shown["tests"]) == {*CASE_KEYS}
    assert list(shown["fallback"]) == [*Fallback]
    assert {rule["action"] for rule in shown["rules"] if "action" in rule} == {*Action}
