"""Reading a policy from a TOML file or a mapping. What its values mean, they check themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from georestrict.errors import ConfigurationError
from georestrict.networks import Category
from georestrict.policy import checks
from georestrict.policy.cases import checked_cases
from georestrict.policy.limits import CategoryLimit
from georestrict.policy.places import line_of, walked
from georestrict.policy.responses import checked_forms
from georestrict.policy.rules import Rule
from georestrict.policy.values import Credential, ListFile, Policy
from georestrict.policy.words import CHECKS
from georestrict.tomlfile import parsed_toml, read_text
from georestrict.tomllines import lines

POLICY_KEYS = (
    "default",
    "mode",
    "contact",
    "response",
    "stale_after",
    "stale_action",
    "warn_after",
    "paths_ignore_case",
    "emergency_file",
    "fallback",
    "categories",
    "lists",
    "credentials",
    "responses",
    "rules",
    "tests",
)
RULE_KEYS = ("name", "action", "warn_from", "block_from", "until", "response", *CHECKS, "unless")
LIST_KEYS = ("path", "allow_empty", "stale_after", "stale_action")
CATEGORY_KEYS = ("stale_after", "stale_action")
CREDENTIAL_KEYS = ("header", "sha256", "until")
MODES = ("enforce", "dry-run")

_Value = TypeVar("_Value")


def from_file(path: Path) -> Policy:
    """Read a TOML file; paths in it are relative to its folder."""
    text = read_text(path)
    document = parsed_toml(text, path)
    try:
        return from_mapping(document, str(path), path.parent)
    except ConfigurationError as error:
        message = str(error).removeprefix(f"{path}: ")
        line = line_of(walked(message, document)[0], lines(text))
        place = path if line is None else f"{path}:{line}"
        raise ConfigurationError(f"{place}: {message}") from None


def from_mapping(document: Mapping[str, Any], place: str, folder: Path) -> Policy:
    """Read a mapping with the keys of the TOML form; every error begins with the place."""
    try:
        checks.table(document, "the policy", POLICY_KEYS)
        if "default" not in document:
            checks.fail("default", 'is missing; write default = "allow" or default = "block"')
        given: dict[str, Any] = {
            key: document[key]
            for key in ("default", "contact", "response", "paths_ignore_case")
            if key in document
        }
        if "mode" in document:
            given["dry_run"] = checks.word(document["mode"], "mode", MODES) == "dry-run"
        if "contact" in document:
            checks.contact(document["contact"], "contact")
        if "response" in document:
            checks.name(document["response"], "response")
        for key in ("stale_after", "stale_action", "warn_after"):
            if key in document:
                checks.not_left_out(document[key], key)
                given[key] = document[key]
        if "emergency_file" in document:
            given["emergency_file"] = folder / _path(document["emergency_file"], "emergency_file")
        if "fallback" in document:
            checks.table(document["fallback"], "fallback")
            checks.not_empty(document["fallback"], "fallback", 'unknown = "block"')
            given["fallback"] = document["fallback"]
        if "categories" in document:
            given["categories"] = _categories(document["categories"])
        if "lists" in document:
            given["lists"] = _lists(document["lists"], folder)
        if "credentials" in document:
            given["credentials"] = _credentials(document["credentials"])
        if "responses" in document:
            given["responses"] = checked_forms(document["responses"], "responses")
        if "rules" in document:
            given["rules"] = _rules(document["rules"])
        if "tests" in document:
            given["tests"] = checked_cases(document["tests"], "tests")
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    return Policy(**given, place=place)


def _path(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        checks.fail(key, f"is {value!r}, must name a file")
    return value


def _lists(tables: Any, folder: Path) -> dict[str, ListFile]:
    lists = {}
    for name, key, entry in _named(tables, "lists", LIST_KEYS, "path"):
        path = entry["path"]
        if not isinstance(path, str) or not path:
            checks.fail(f"{key}.path", f"is {path!r}, must name the file with the networks")
        checks.flag(entry.get("allow_empty", False), f"{key}.allow_empty")
        lists[name] = _built(ListFile, {**entry, "path": folder / path}, key)
    return lists


def _categories(tables: Any) -> dict[Category, CategoryLimit]:
    checks.table(tables, "categories", tuple(Category))
    limits = {}
    for name, key, entry in _named(tables, "categories", CATEGORY_KEYS, "stale_after"):
        limits[Category(name)] = _built(CategoryLimit, entry, key)
    return limits


def _credentials(tables: Any) -> dict[str, Credential]:
    credentials = {}
    for name, key, entry in _named(tables, "credentials", CREDENTIAL_KEYS, "header", "sha256"):
        credentials[name] = _built(Credential, entry, key)
    return credentials


def _built(kind: Callable[..., _Value], entry: Mapping[str, Any], key: str) -> _Value:
    """Return a value of a table; an error names the key below the table's."""
    for word in ("stale_after", "stale_action"):
        if word in entry:
            checks.not_left_out(entry[word], f"{key}.{word}")
    try:
        return kind(**entry)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}.{error}") from None


_WHAT = {
    "stale_after": "say how old what is known of it may grow, such as '14d'",
    "path": "name the file with the networks",
    "header": "name the header that is shown",
    "sha256": "list the sums of its values",
}


def _named(
    tables: Any, kind: str, keys: Sequence[str], *required: str
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return the tables of one kind with their names and keys, each with what is required."""
    if not isinstance(tables, Mapping):
        given = "" if kind == "credentials" else f"is {tables!r}, "  # it may be a secret
        checks.fail(kind, f"{given}must be tables; write [{kind}.NAME] with a {required[0]}")
    checks.not_empty(tables, kind, f"[{kind}.NAME] with a {required[0]}")
    named = []
    for name, entry in tables.items():
        key = f"{kind}.{checks.name(name, kind)}"
        checks.table(entry, key, keys)
        for wanted in required:
            if wanted not in entry:
                checks.fail(f"{key}.{wanted}", f"is missing; {_WHAT[wanted]}")
        named.append((name, key, entry))
    return named


def _rules(entries: Any) -> tuple[Rule, ...]:
    if isinstance(entries, str | Mapping) or not isinstance(entries, Sequence):
        checks.fail("rules", f"is {entries!r}, must be an array of tables; write [[rules]]")
    checks.not_empty(entries, "rules", "[[rules]] with a name and an action")
    return tuple(_rule(entry, f"rules[{number}]") for number, entry in enumerate(entries, 1))


def _rule(entry: Any, key: str) -> Rule:
    checks.table(entry, key, RULE_KEYS)
    if "name" not in entry:
        checks.fail(f"{key}.name", "is missing; give the rule a unique name, it appears in logs")
    checks.name(entry["name"], f"{key}.name")
    key = f"{key} ({entry['name']})"
    for word in CHECKS:
        if word in entry:
            checks.not_left_out(entry[word], f"{key}.{word}")
    if "unless" in entry and entry["unless"] == ():
        checks.not_empty(entry["unless"], f"{key}.unless", '{ countries = ["DE"] }')
    try:
        return Rule(**entry)
    except ConfigurationError as error:
        joint = (
            "."
            if str(error).partition(":")[0].partition("[")[0].partition(".")[0] in RULE_KEYS
            else ": "
        )
        raise ConfigurationError(f"{key}{joint}{error}") from None
