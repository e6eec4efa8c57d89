"""Reading a policy from a TOML file or a mapping. What its values mean, they check themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from georestrict.errors import ConfigurationError
from georestrict.policy import checks
from georestrict.policy.values import Action, ListFile, Policy, Rule
from georestrict.tomlfile import read_toml

_POLICY_KEYS = ("default", "mode", "contact", "fallback", "lists", "rules")
_RULE_KEYS = ("name", "action", "countries", "categories", "lists", "networks", "paths")
_LIST_KEYS = ("path", "allow_empty")
_MODES = ("enforce", "dry-run")


def from_file(path: Path) -> Policy:
    """Read a TOML file; list paths in it are relative to its folder."""
    return from_mapping(read_toml(path), str(path), path.parent)


def from_mapping(document: Mapping[str, Any], place: str, folder: Path) -> Policy:
    """Read a mapping with the keys of the TOML form; every error begins with the place."""
    try:
        checks.table(document, "the policy", _POLICY_KEYS)
        if "default" not in document:
            checks.fail("default", 'is missing; write default = "allow" or default = "block"')
        mode = checks.word(document.get("mode", "enforce"), "mode", _MODES)
        if "fallback" in document:
            checks.table(document["fallback"], "fallback")
            checks.not_empty(document["fallback"], "fallback", 'unknown = "block"')
        lists = _lists(document["lists"], folder) if "lists" in document else {}
        rules = _rules(document["rules"]) if "rules" in document else ()
        if "contact" in document:
            checks.contact(document["contact"], "contact")
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    return Policy(
        default=document["default"],
        dry_run=mode == "dry-run",
        contact=document.get("contact"),
        fallback=document.get("fallback", {}),
        lists=lists,
        rules=rules,
        place=place,
    )


def _lists(tables: Any, folder: Path) -> dict[str, ListFile]:
    if not isinstance(tables, Mapping):
        checks.fail("lists", f"is {tables!r}, must be tables; write [lists.NAME] with a path")
    checks.not_empty(tables, "lists", "[lists.NAME] with a path")
    lists = {}
    for name, entry in tables.items():
        key = f"lists.{checks.name(name, 'lists')}"
        checks.table(entry, key, _LIST_KEYS)
        if "path" not in entry:
            checks.fail(f"{key}.path", "is missing; name the file with the networks")
        path = entry["path"]
        if not isinstance(path, str) or not path:
            checks.fail(f"{key}.path", f"is {path!r}, must name the file with the networks")
        allow_empty = checks.flag(entry.get("allow_empty", False), f"{key}.allow_empty")
        lists[name] = ListFile(path=folder / path, allow_empty=allow_empty)
    return lists


def _rules(entries: Any) -> tuple[Rule, ...]:
    if isinstance(entries, str | Mapping) or not isinstance(entries, Sequence):
        checks.fail("rules", f"is {entries!r}, must be an array of tables; write [[rules]]")
    checks.not_empty(entries, "rules", "[[rules]] with a name and an action")
    return tuple(_rule(entry, f"rules[{number}]") for number, entry in enumerate(entries, 1))


def _rule(entry: Any, key: str) -> Rule:
    checks.table(entry, key, _RULE_KEYS)
    if "name" not in entry:
        checks.fail(f"{key}.name", "is missing; give the rule a unique name, it appears in logs")
    checks.name(entry["name"], f"{key}.name")
    key = f"{key} ({entry['name']})"
    if "action" not in entry:
        checks.fail(f"{key}.action", f"is missing; write one of {', '.join(Action)}")
    for word in _RULE_KEYS[2:]:
        if word in entry and not isinstance(entry[word], str):
            checks.listed(entry[word], f"{key}.{word}")
    try:
        return Rule(**entry)
    except ConfigurationError as error:
        joint = "." if str(error).partition(":")[0].partition("[")[0] in _RULE_KEYS else ": "
        raise ConfigurationError(f"{key}{joint}{error}") from None
