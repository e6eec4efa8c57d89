"""The ``[[tests]]`` of a policy, as text and as values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from georestrict import Category, Confidence, ConfigurationError, Policy
from georestrict.policy.cases import CASE_KEYS, Case

pytestmark = pytest.mark.once

BASE: dict[str, Any] = {
    "default": "allow",
    "lists": {"partners": {"path": "partners.txt"}},
    "credentials": {"staff": {"header": "X-Staff", "sha256": ["0" * 64]}},
    "rules": [{"name": "embargo", "action": "block", "countries": ["CU"]}],
}


def load(*entries: dict[str, Any]) -> tuple[Case, ...]:
    return Policy.from_mapping(BASE | {"tests": list(entries)}).tests


def test_a_case_has_every_key_in_its_final_form() -> None:
    (case,) = load(
        {
            "name": "a partner in Havana",
            "country": "cu",
            "subdivision": "cu-03",
            "categories": ["vpn:high", "tor"],
            "lists": ["partners"],
            "asn": "AS64500",
            "path": "/v1/models",
            "method": "post",
            "host": "API.example.com",
            "protocol": "websocket",
            "at": "2026-12-01T02:00:00+02:00",
            "headers": {"X-Client": "cli"},
            "attributes": {"customer": "eligible"},
            "account_seen_in": {"cn": "3d", "IR:Hosting": "2w"},
            "credentials": ["staff"],
            "expect": "block",
            "rule": "embargo",
            "reason": "country",
            "code": "unsupported_country_region_territory",
            "status": 403,
        }
    )
    assert case == Case(
        expect="block",
        name="a partner in Havana",
        country="CU",
        subdivision="CU-03",
        categories=((Category.VPN, Confidence.HIGH), (Category.TOR, Confidence.MEDIUM)),
        lists=("partners",),
        asn=64500,
        path="/v1/models",
        method="POST",
        host="api.example.com",
        protocol="websocket",
        at=datetime(2026, 12, 1, tzinfo=UTC),
        headers=(("x-client", "cli"),),
        attributes=(("customer", "eligible"),),
        account_seen_in=(("CN", timedelta(days=3)), ("IR:hosting", timedelta(weeks=2))),
        credentials=("staff",),
        rule="embargo",
        reason="country",
        code="unsupported_country_region_territory",
        status=403,
    )


def test_a_case_needs_a_place_and_an_expectation_and_nothing_more() -> None:
    first, second, third, fourth = load(
        {"country": "DE", "expect": "allow"},
        {"address": "192.0.2.1", "country": "DE", "expect": "allow"},
        {"case": "unresolved", "expect": "block"},
        {"subdivision": "UA-43", "expect": "allow"},
    )
    assert (first.path, first.method, first.protocol, first.at) == ("/", "GET", "http", None)
    assert (second.address, second.country) == ("192.0.2.1", "DE")
    assert third.case == "unresolved"
    assert (fourth.country, fourth.subdivision) == ("UA", "UA-43")


WRONG = [
    ({"country": "DE"}, "tests[1].expect: is missing; write one of allow, warn, block"),
    ({"country": "DE", "expect": "count"}, "tests[1].expect: is 'count'"),
    ({"expect": "block"}, "tests[1].country: is missing; say where from"),
    ({"country": "UK", "expect": "block"}, "tests[1].country: is 'UK', not a country: did you mean GB?"),
    ({"country": 1, "expect": "block"}, "tests[1].country: is 1, not a country"),
    ({"case": "lost", "expect": "block"}, "tests[1].case: is 'lost': write one of unknown, private"),
    ({"case": "private", "country": "DE", "expect": "block"}, "tests[1].case: is 'private' beside a country"),
    ({"case": "private", "address": "10.0.0.1", "expect": "block"}, "tests[1].case: is 'private' beside an address"),
    ({"address": "192.0.2.0/24", "expect": "block"}, "tests[1].address: is '192.0.2.0/24', must be one address"),
    ({"address": 7, "expect": "block"}, "tests[1].address: is 7, must be one address"),
    ({"address": "192.0.2.1", "lists": ["partners"], "expect": "block"}, "tests[1].lists: stands beside an address"),
    ({"case": "unresolved", "asn": 1, "expect": "block"}, "tests[1].asn: is supposed of an address that cannot be told"),
    ({"case": "unknown", "subdivision": "UA-43", "expect": "block"}, "tests[1].subdivision: lies in a country"),
    ({"country": "RU", "subdivision": "UA-43", "expect": "block"}, "tests[1].subdivision: is 'UA-43', which is not in RU"),
    ({"country": "UA", "subdivision": "Crimea", "expect": "block"}, "tests[1].subdivision: 'Crimea' is not a subdivision"),
    ({"country": "UA", "subdivision": 43, "expect": "block"}, "tests[1].subdivision: 43 write an ISO 3166-2 code"),
    ({"country": "DE", "categories": ["vpm"], "expect": "block"}, "tests[1].categories[1]: 'vpm' is not a category"),
    ({"country": "DE", "categories": [], "expect": "block"}, "tests[1].categories: is empty"),
    ({"country": "DE", "asn": 0, "expect": "block"}, "tests[1].asn: is 0"),
    ({"country": "DE", "path": "v1", "expect": "block"}, "tests[1].path: is 'v1', must begin with '/'"),
    ({"country": "DE", "path": "/v1?a=b", "expect": "block"}, "tests[1].path: is '/v1?a=b'; rules ask for the path alone"),
    ({"country": "DE", "method": "G E T", "expect": "block"}, "tests[1].method: 'G E T' is not a method"),
    ({"country": "DE", "protocol": "ftp", "expect": "block"}, "tests[1].protocol: is 'ftp'"),
    ({"country": "DE", "host": "https://example.com/", "expect": "block"}, "tests[1].host: 'https://example.com/' is not a host"),
    ({"country": "DE", "at": "2026-12-01T00:00:00", "expect": "block"}, "tests[1].at: is 2026-12-01T00:00:00, a time without an offset"),
    ({"country": "DE", "headers": ["X-A: b"], "expect": "block"}, "tests[1].headers: is ['X-A: b'], must be a table"),
    ({"country": "DE", "headers": {"X A": "b"}, "expect": "block"}, "tests[1].headers: is no name of a header"),
    ({"country": "DE", "attributes": {"plan": ["free"]}, "expect": "block"}, "tests[1].attributes.plan: is ['free'], must be text"),
    ({"country": "DE", "credentials": ["stuff"], "expect": "block"}, "tests[1].credentials: credential 'stuff' is not defined: did you mean 'staff'?"),
    ({"country": "DE", "account_seen_in": ["CN"], "expect": "block"}, "tests[1].account_seen_in: is ['CN'], must be a table"),
    ({"country": "DE", "account_seen_in": {}, "expect": "block"}, "tests[1].account_seen_in: is empty; write CN = \"3d\""),
    ({"country": "DE", "account_seen_in": {"UK": "3d"}, "expect": "block"}, "tests[1].account_seen_in: 'UK' is not a country: did you mean GB?"),
    ({"country": "DE", "account_seen_in": {"CN": 3}, "expect": "block"}, "tests[1].account_seen_in.CN: is 3, must be a number of hours, days or weeks"),
    ({"country": "DE", "account_seen_in": {"CN:vpm": "3d"}, "expect": "block"}, "tests[1].account_seen_in: is 'vpm': did you mean 'vpn'?"),
    ({"country": "DE", "lists": ["friends"], "expect": "block"}, "tests[1].lists: list 'friends' is not defined: define it"),
    ({"country": "DE", "rule": "embarge", "expect": "block"}, "tests[1].rule: rule 'embarge' is not defined: did you mean 'embargo'?"),
    ({"country": "DE", "rule": "embargo", "reason": "default", "expect": "block"}, "tests[1].reason: is 'default', which no rule decides"),
    ({"country": "DE", "status": "403", "expect": "block"}, "tests[1].status: is '403', must be a status"),
    ({"country": "DE", "status": True, "expect": "block"}, "tests[1].status: is True, must be a status"),
    ({"country": "DE", "status": 42, "expect": "block"}, "tests[1].status: is 42, must be a status"),
    ({"country": "DE", "name": "", "expect": "block"}, "tests[1].name: is ''"),
    ({"country": "DE", "expct": "block"}, "tests[1]: unknown key 'expct': did you mean 'expect'?"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_case_is_an_error_with_place_value_and_fix(
    entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(entry)
    assert str(raised.value).startswith(f"policy: {message}")


@pytest.mark.parametrize("entries", [{"country": "DE"}, "tests", 1])
def test_tests_that_are_no_array_of_tables_are_an_error(entries: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tests: is .* write \[\[tests\]\]"):
        Policy.from_mapping(BASE | {"tests": entries})


def test_an_empty_array_of_tests_is_an_error_since_it_looks_as_if_something_was_tested() -> None:
    with pytest.raises(ConfigurationError, match=r"tests: is empty"):
        Policy.from_mapping(BASE | {"tests": []})


def test_a_case_of_python_values_is_checked_as_one_of_a_file() -> None:
    case = Case(expect="block", country="cu", attributes=(("plan", "free"),))
    assert Policy(default="allow", tests=(case,)).tests[0].country == "CU"  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="which is not in"):
        Case(expect="block", country="RU", subdivision="UA-43")


def test_the_keys_of_a_case_are_its_fields() -> None:
    assert CASE_KEYS[:5] == ("expect", "name", "address", "country", "case")
    assert len(CASE_KEYS) == 22
