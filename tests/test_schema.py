"""The JSON Schema of a policy file."""

from __future__ import annotations

import json
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from georestrict import ConfigurationError, Policy
from georestrict.cli import main
from georestrict.policy.schema import schema
from tests.test_cases import BASE, WRONG
from tests.test_docs import BLOCKS, LEFT_OUT
from tests.test_policy import BAD, FULL, document
from tests.test_problems import SLIPS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
VALIDATOR = Draft202012Validator(schema())
GOOD = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted(ROOT.glob("examples/**/*.toml"))
    if path.name not in ("sources.toml", "pyproject.toml")  # a manifest, and a project's own
} | {
    str(block): block.text if "\ndefault = " in f"\n{block.text}" else LEFT_OUT + block.text
    for block in BLOCKS
    if block.language == "toml" and "[[source]]" not in block.text
}
# What is wrong with these, no schema can say, or only with a table that is longer than the reader.
BEYOND = {
    "two rules have one name",
    "a list is not defined",
    "a list's name is misspelt",
    "a network has host bits",
    "an IPv6 network has host bits",
    "a network is a name",
    "a network has leading zeros",
    "a network is too short",
    "a range runs backwards",
    "a rule's name breaks the line",
    "a list's path has a NUL",
}


def as_json(value: Any) -> Any:
    """A TOML document as editors hand it to a validator."""
    if isinstance(value, dict):
        return {key: as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    return value.isoformat() if isinstance(value, date | datetime) else value


def errors(given: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(as_json(given))]


def test_it_is_a_schema_of_its_draft() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_committed_file_and_the_command_are_the_generated_schema() -> None:
    committed = (ROOT / "docs/policy.schema.json").read_text(encoding="utf-8")
    assert json.loads(committed) == schema(), (
        "say 'georestrict policy schema > docs/policy.schema.json'"
    )
    assert CliRunner().invoke(main, ["policy", "schema"]).output == committed


@pytest.mark.parametrize("name", GOOD)
def test_every_policy_that_we_show_is_valid(name: str) -> None:
    assert errors(tomllib.loads(GOOD[name])) == []


FULLER: dict[str, Any] = {
    "default": "block",
    "stale_after": "90d",
    "stale_action": "warn",
    "warn_after": "36h",
    "emergency_file": "off",
    "response": "html",
    "categories": {"tor": {"stale_after": "2w", "stale_action": "ignore"}, "vpn": {"stale_after": "9d"}},
    "lists": {"partners": {"path": "partners.txt", "stale_after": "7d", "stale_action": "keep"}},
    "credentials": {"staff": {"header": "X-Staff", "sha256": ["A" * 64], "until": "2027-01-01T00:00:00Z"}},
    "rules": [
        {
            "name": "all words",
            "warn_from": "2026-12-01T00:00:00Z",
            "block_from": "2027-01-01T00:00:00+01:00",
            "until": "2028-01-01T00:00:00Z",
            "response": "json",
            "countries": ["cu", "@EU"],
            "subdivisions": ["ua-43"],
            "continents": ["af"],
            "categories": ["tor", "vpn:high", "VPN", "vpn:HIGH"],
            "lists": ["partners"],
            "networks": ["192.0.2.0/24"],
            "asns": [64500, "AS64501"],
            "hosts": ["*.example.com"],
            "paths": ["/v1/*"],
            "methods": ["post"],
            "protocols": ["websocket"],
            "credentials": ["staff"],
            "attributes": {"customer": ["eligible"]},
            "account_seen_in": {"countries": ["cn", "@EU"], "categories": ["VPN"], "within": "14d"},
            "account_countries": {"more_than": 0, "categories": ["hosting"], "within": "36h"},
            "unless": [
                {"countries": ["DE"]},
                {"attributes": {"plan": ["free"]}},
                {"account_seen_in": {"outside": ["de"], "within": "2w"}},
            ],
        },
        {"name": "health", "action": "allow", "paths": ["/healthz"], "unless": {"methods": ["POST"]}},
    ],
    "tests": [
        {"country": "de", "expect": "block", "account_seen_in": {"cn": "3d", "IR:hosting": "1h"}},
        {"country": "de", "expect": "block", "at": "2026-12-01T00:00:00Z", "headers": {"X-A": "b"}},
        {"case": "unresolved", "expect": "block", "status": 403},
        {"address": "192.0.2.1", "expect": "warn"},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "given", [tomllib.loads(FULL), FULLER, BASE, {"default": "allow"}], ids=str
)
def test_whatever_a_policy_may_say_is_valid(given: dict[str, Any]) -> None:
    assert Policy.from_mapping(given)
    assert errors(given) == []


@pytest.mark.parametrize("name", [name for name in BAD if document(BAD[name].text) is not None])
def test_a_wrong_policy_is_refused_where_a_schema_can(name: str) -> None:
    assert bool(errors(document(BAD[name].text))) == (name not in BEYOND)


CASES_BEYOND = (
    "is not defined",
    "must be one address",
    "is not a host",
    "which is not in",
    "which no rule decides",
)


@pytest.mark.parametrize(("entry", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_case_is_refused_where_a_schema_can(entry: dict[str, Any], message: str) -> None:
    beyond = any(words in message for words in CASES_BEYOND) and entry.get("address") != 7
    beyond = (beyond and "asn" not in entry) or (beyond and entry.get("asn") != 0)
    assert bool(errors(BASE | {"tests": [entry]})) == (not beyond)


@pytest.mark.parametrize(
    "words",
    [
        {"rules": [{"name": "a", "action": "allow", "countries": ["CN"], "response": "json"}]},
        {"rules": [{"name": "a", "action": "count", "countries": ["CN"], "response": "json"}]},
        {"rules": [{"name": "a", "action": "allow", "paths": ["/a//b"]}]},
        {"rules": [{"name": "a", "action": "allow", "paths": ["/a;b"]}]},
        {"rules": [{"name": "a", "action": "allow", "paths": ["/a/."]}]},
        {"rules": [{"name": "a", "action": "allow", "methods": ["*"]}]},
        {"rules": [{"name": "a", "action": "allow", "account_seen_in": {"countries": ["CN"]}}]},
        {"rules": [{"name": "a", "action": "allow", "account_seen_in": {"within": "1d"}}]},
        {"rules": [{"name": "a", "action": "allow", "account_countries": {"within": "1d"}}]},
        {
            "rules": [
                {
                    "name": "a",
                    "action": "allow",
                    "account_seen_in": {"countries": ["CN"], "outside": ["DE"], "within": "1d"},
                }
            ]
        },
        {"stale_action": "warn"},
        {"stale_after": "90d", "stale_action": "ignore"},
        {"categories": {}},
        {"categories": {"tor": {}}},
        {"categories": {"tor": {"stale_after": "9d", "stale_action": "warn"}}},
        {"categories": {"any": {"stale_after": "9d"}}},
        {"lists": {"a": {"path": "a", "stale_action": "keep"}}},
        {"responses": {"a": {"type": "rfc7725"}}},
        {"responses": {"a": {"type": "html", "status": 451}}},
        {"responses": {"a": {"type": "redirect"}}},
        {"responses": {"a": {"type": "json", "location": "https://example.com/a"}}},
        {"responses": {"a": {"type": "redirect", "location": "https://a.example/", "status": 403}}},
        {"responses": {"a": {"type": "app", "status": 403}}},
        {"responses": {"a": {"type": "html", "status": 403, "blocked_by": "https://a.example/"}}},
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_by_reader_and_schema(words: dict[str, Any]) -> None:
    given = {"default": "block"} | words
    with pytest.raises(ConfigurationError):
        Policy.from_mapping(given)
    assert errors(given)


@pytest.mark.parametrize(
    "words",
    [
        {"rules": [{"name": "a", "action": "allow", "paths": ["/.well-known/*", "/a..b", "/..."]}]},
        {"responses": {"a": {"type": "rfc7725", "blocked_by": "https://a.example/"}}},
        {"responses": {"redirect": {"location": "https://a.example/", "status": 302}}},
        {"responses": {"html": {"status": 451, "blocked_by": "https://a.example/"}}},
    ],
    ids=str,
)
def test_what_goes_together_is_accepted_by_reader_and_schema(words: dict[str, Any]) -> None:
    given = {"default": "block"} | words
    assert Policy.from_mapping(given)
    assert errors(given) == []


def test_most_slips_of_a_file_are_told_by_an_editor_too() -> None:
    assert len(errors(tomllib.loads(SLIPS))) > 5


def test_every_key_is_described() -> None:
    def described(node: Any) -> int:
        count = 0
        for key, entry in node.get("properties", {}).items():
            if (
                isinstance(entry, dict)
                and "enum" not in entry
                and entry != {"type": "string", "minLength": 1}
            ):
                assert entry.get("description", "").endswith("."), key
                count += 1
        below = [
            *node.get("properties", {}).values(),
            node.get("items"),
            node.get("additionalProperties"),
        ]
        return count + sum(described(entry) for entry in below if isinstance(entry, dict))

    assert described(schema()) > 50
