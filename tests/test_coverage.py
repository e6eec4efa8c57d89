"""Whether the data can answer what a policy asks: an error or a warning at start, never silence."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from georestrict import ConfigurationError, Database, Engine, Policy
from georestrict.coverage import check_coverage
from georestrict.testing import tiny_database

COUNTRIES = tiny_database({"91.210.0.0/24": "UA", "91.210.1.0/24": "RU", "8.8.8.0/24": "US"})
REGIONS = tiny_database(
    {"91.210.1.0/24": "RU-CR", "91.210.2.0/24": "RU", "8.8.8.0/24": "US-CA", "5.5.5.0/24": "DE"},
    asns={"8.8.8.0/24": 64500},
)


def policy(**words: Any) -> Policy:
    return Policy.from_mapping(
        {
            "default": "allow",
            "contact": "https://example.com/",
            "rules": [{"name": "here", "action": "block", **words}],
        }
    )


@pytest.mark.parametrize("code", ["UA-43", "UA-40", "RU-MOW", "US-CA", "GB-ENG"])
def test_h13_a_subdivision_over_data_of_countries_is_an_error_at_start(code: str) -> None:
    for database in (COUNTRIES, Database.open()):
        with pytest.raises(ConfigurationError) as caught:
            Engine(policy(subdivisions=[code]), database=database)
        assert f"policy: rules[1] (here).subdivisions: {code} needs subdivision data" in str(
            caught.value
        )
        assert database.metadata.path in str(caught.value)


def test_h13_subdivisions_of_another_country_do_not_help() -> None:
    with pytest.raises(
        ConfigurationError, match="DE-BY needs subdivision data, and tiny has none of DE"
    ):
        Engine(policy(subdivisions=["US-CA", "DE-BY"]), database=REGIONS)


def test_h13_an_exception_is_checked_as_a_rule_is() -> None:
    asked = policy(countries=["UA"], unless=[{"paths": ["/x"]}, {"subdivisions": ["UA-43"]}])
    with pytest.raises(
        ConfigurationError, match=r"\(here\)\.unless\[2\]\.subdivisions: UA-43 needs"
    ):
        Engine(asked, database=COUNTRIES)


@pytest.mark.parametrize("code", ["UA-43", "RU-CR", "US-CA"])
def test_a_subdivision_that_the_data_knows_under_either_code_is_silent(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    Engine(policy(subdivisions=[code]), database=REGIONS)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("US-NY", "tiny has no addresses of US-NY, so it matches nothing"),
        ("UA-40", "tiny has no addresses of UA-40, so it matches nothing"),
        ("CA-US", "tiny has no addresses of CA-US, so it matches nothing; did you mean US-CA?"),
    ],
)
def test_a_subdivision_that_the_data_does_not_know_is_a_warning(
    code: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = tiny_database({"8.8.8.0/24": "US-CA", "9.9.9.0/24": "CA-ON", "91.210.1.0/24": "RU-CR"})
    with caplog.at_level(logging.WARNING, "georestrict"):
        check_coverage(policy(subdivisions=[code]), known)
    assert caplog.messages == [f"policy: rules[1] (here).subdivisions: {said}"]


def test_an_as_number_over_data_without_any_is_an_error_at_start() -> None:
    for words in ({"asns": [64500, "AS45102"]}, {"countries": ["US"], "unless": {"asns": [45102]}}):
        with pytest.raises(ConfigurationError, match=r"asns: AS45102 needs data with AS numbers"):
            Engine(policy(**words), database=COUNTRIES)


def test_an_as_number_that_the_data_does_not_know_is_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Engine(policy(asns=[64500, 45102]), database=REGIONS)
    for _ in range(3):
        assert engine.decide("8.8.8.8").action == "block"
    assert caplog.messages == [
        "policy: rules[1] (here).asns: tiny has no addresses of AS45102, so it matches nothing"
    ]


@pytest.mark.parametrize("asked", ["UA-43", "RU-CR"])
def test_a_rule_about_crimea_matches_it_under_russia_and_under_ukraine(asked: str) -> None:
    database = tiny_database(
        {
            "91.210.0.0/24": "UA-43",
            "91.210.1.0/24": "RU-CR",
            "91.210.2.0/24": "UA-14",
            "91.210.3.0/24": "RU",
            "91.210.4.0/24": "RU-SEV",
        }
    )
    engine = Engine(policy(subdivisions=[asked]), database=database)
    decided = [engine.decide(f"91.210.{third}.1").action.value for third in range(5)]
    assert decided == ["block", "block", "allow", "allow", "allow"]
    assert engine.lookup("91.210.1.1").subdivision == "RU-CR"
