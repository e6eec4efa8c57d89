"""The policy: what an owner says about which addresses, as checked and frozen values.

A policy comes from a TOML file, a mapping, or the short form of the middlewares; all three pass
the same checks here. Everything that can be wrong is an error now, with the place and the fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from georestrict import countries
from georestrict._core import parse_network
from georestrict.errors import ConfigurationError
from georestrict.networks import Category, Confidence, parse_wanted
from georestrict.paths import check_patterns
from georestrict.tomlfile import read_toml


class Action(StrEnum):
    """What happens to a request."""

    ALLOW = "allow"
    WARN = "warn"
    BLOCK = "block"


class Fallback(StrEnum):
    """The four cases in which there is no country to judge by."""

    UNKNOWN = "unknown"  #: a public address in no country
    PRIVATE = "private"  #: an address that is not globally reachable
    UNRESOLVED = "unresolved"  #: no trustworthy client address
    NO_DATA = "no_data"  #: no database, or one past its hard limit


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile:
    """A list of networks in a file."""

    path: Path
    allow_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: it matches when each of its words does; a word, when one of its values does."""

    name: str
    action: Action
    countries: frozenset[str] = frozenset()
    categories: tuple[tuple[Category, Confidence], ...] = ()
    lists: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def says_where(self) -> bool:
        """Whether it has a word about where a request comes from."""
        return bool(self.countries or self.categories or self.lists or self.networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An ordered list of rules, what happens when none matches, and what clients are told.

    >>> from georestrict import Policy
    >>> policy = Policy.from_mapping({
    ...     "default": "allow",
    ...     "rules": [{"name": "embargo", "action": "block", "countries": ["CU"]}],
    ... })
    >>> policy.fallback["unresolved"]
    <Action.BLOCK: 'block'>
    """

    default: Action
    dry_run: bool = False
    contact: str | None = None
    fallback: Mapping[Fallback, Action] = field(default_factory=dict, hash=False)
    lists: Mapping[str, ListFile] = field(default_factory=dict, hash=False)
    rules: tuple[Rule, ...] = ()
    place: str = field(default="policy", compare=False)  #: where it came from, for messages

    def __post_init__(self) -> None:
        """Fill in the fallback cases that are not stated."""
        object.__setattr__(self, "fallback", _fallback(self.default, self.fallback))

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy from a TOML file; list paths in it are relative to its folder.

        Raises:
            ConfigurationError: naming the file, the key, the offending word and the fix.
        """
        path = Path(path)
        return _Reader(str(path), path.parent).policy(read_toml(path))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Policy:
        """Check a mapping with the keys of the TOML form; list paths start at the working folder.

        Raises:
            ConfigurationError: naming the key, the offending word and the fix.
        """
        return _Reader("policy", Path()).policy(mapping)

    @classmethod
    def short(
        cls, *, block: Sequence[str] = (), warn: Sequence[str] = (), allow: Sequence[str] = ()
    ) -> Policy:
        """Build the policy of the short form: lists of country codes.

        With ``allow`` everything else is blocked, except what ``warn`` names; without, everything
        else is allowed.
        """
        given = {"block": block, "warn": warn, "allow": allow}
        rules = []
        seen: dict[str, str] = {}
        reader = _Reader("options", Path())
        for action, codes in given.items():
            if codes == ():
                continue  # left out; an empty list is an error
            checked = reader.countries(codes, action)
            for code in sorted(checked):
                if seen.setdefault(code, action) != action:
                    raise ConfigurationError(
                        f"options: {code} is in both {seen[code]!r} and {action!r}; keep one"
                    )
            rules.append(Rule(name=action, action=Action(action), countries=checked))
        if not rules:
            raise ConfigurationError(
                "nothing to enforce: give a policy, an engine, or block=, warn= or allow="
            )
        default = Action.BLOCK if allow else Action.ALLOW
        return cls(
            default=default, fallback=_fallback(default, {}), rules=tuple(rules), place="options"
        )


def _fallback(default: Action, stated: Mapping[Fallback, Action]) -> Mapping[Fallback, Action]:
    """Fill in the cases that a policy does not state.

    A block list leaves open what has no country, an allow list does not. Both refuse clients that
    cannot be told, and requests that cannot be judged.
    """
    open_or_not = Action.ALLOW if default is Action.ALLOW else Action.BLOCK
    usual = {
        Fallback.UNKNOWN: open_or_not,
        Fallback.PRIVATE: open_or_not,
        Fallback.UNRESOLVED: Action.BLOCK,
        Fallback.NO_DATA: Action.BLOCK,
    }
    return MappingProxyType(usual | dict(stated))


_POLICY_KEYS = ("default", "mode", "contact", "fallback", "lists", "rules")
_RULE_KEYS = ("name", "action", "countries", "categories", "lists", "networks", "paths")
_LIST_KEYS = ("path", "allow_empty")
_MODES = ("enforce", "dry-run")


class _Reader:
    """Turns a mapping into a policy; every message begins with the place."""

    def __init__(self, place: str, folder: Path) -> None:
        self._place, self._folder = place, folder

    def policy(self, document: Mapping[str, Any]) -> Policy:
        self._table(document, "the policy", _POLICY_KEYS)
        if "default" not in document:
            self._fail("default", 'is missing; write default = "allow" or default = "block"')
        default = Action(self._word(document["default"], "default", ("allow", "block")))
        mode = self._word(document.get("mode", "enforce"), "mode", _MODES)
        lists = self._lists(document)
        return Policy(
            default=default,
            dry_run=mode == "dry-run",
            contact=self._contact(document.get("contact")),
            fallback=self._fallback(document),
            lists=MappingProxyType(lists),
            rules=self._rules(document, lists),
            place=self._place,
        )

    def _fallback(self, document: Mapping[str, Any]) -> dict[Fallback, Action]:
        if "fallback" not in document:
            return {}
        table = document["fallback"]
        self._table(table, "fallback", tuple(Fallback))
        self._not_empty(table, "fallback", 'unknown = "block"')
        return {
            Fallback(case): Action(self._word(action, f"fallback.{case}", tuple(Action)))
            for case, action in table.items()
        }

    def _not_empty(self, value: Any, key: str, example: str) -> None:
        if not value:
            self._fail(key, f"is empty; write {example}, or remove it")

    def _contact(self, value: Any) -> str | None:
        if value is None:
            return None
        if (
            not isinstance(value, str)
            or not value.startswith(("https://", "mailto:"))
            or not value.isprintable()
            or " " in value
            or len(value) < 12
        ):
            self._fail("contact", f"{value!r}: write a link that begins with https:// or mailto:")
        return str(value)

    def _lists(self, document: Mapping[str, Any]) -> dict[str, ListFile]:
        if "lists" not in document:
            return {}
        table = document["lists"]
        if not isinstance(table, Mapping):
            self._fail("lists", "must be tables; write [lists.NAME] with a path")
        self._not_empty(table, "lists", "[lists.NAME] with a path")
        lists = {}
        for name, entry in table.items():
            key = f"lists.{name}"
            self._table(entry, key, _LIST_KEYS)
            path = entry.get("path")
            if not isinstance(path, str) or not path:
                self._fail(f"{key}.path", "is missing; name the file with the networks")
            allow_empty = entry.get("allow_empty", False)
            if not isinstance(allow_empty, bool):
                self._fail(f"{key}.allow_empty", f"{allow_empty!r}: write true or false")
            lists[str(name)] = ListFile(path=self._folder / path, allow_empty=allow_empty)
        return lists

    def _rules(
        self, document: Mapping[str, Any], lists: Mapping[str, ListFile]
    ) -> tuple[Rule, ...]:
        if "rules" not in document:
            return ()
        entries = document["rules"]
        if isinstance(entries, str | Mapping) or not isinstance(entries, Sequence):
            self._fail("rules", "must be an array of tables; write [[rules]]")
        self._not_empty(entries, "rules", "[[rules]] with a name and an action")
        rules: list[Rule] = []
        names: dict[str, int] = {}
        for number, entry in enumerate(entries, 1):
            rule = self._rule(entry, number, lists)
            if rule.name in names:
                self._fail(
                    f"rules[{number}].name",
                    f"{rule.name!r} is the name of rule {names[rule.name]} too; rename one",
                )
            names[rule.name] = number
            rules.append(rule)
        return tuple(rules)

    def _rule(self, entry: Any, number: int, lists: Mapping[str, ListFile]) -> Rule:
        key = f"rules[{number}]"
        self._table(entry, key, _RULE_KEYS)
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            self._fail(f"{key}.name", "is missing; give the rule a unique name, it appears in logs")
        key = f"{key} ({name})"
        if "action" not in entry:
            self._fail(f"{key}.action", f"is missing; write one of {', '.join(Action)}")
        rule = Rule(
            name=str(name),
            action=Action(self._word(entry["action"], f"{key}.action", tuple(Action))),
            countries=self.countries(entry["countries"], f"{key}.countries")
            if "countries" in entry
            else frozenset(),
            categories=self._categories(entry, f"{key}.categories"),
            lists=self._list_names(entry, f"{key}.lists", lists),
            networks=self._networks(entry, f"{key}.networks"),
            paths=self._paths(entry, f"{key}.paths"),
        )
        if not rule.says_where:
            if rule.action is not Action.ALLOW:
                self._fail(
                    key,
                    "has no word that says where from; "
                    "add countries, categories, lists or networks",
                )
            if not rule.paths:
                self._fail(
                    key, "matches everything; add a word such as countries or paths, or use default"
                )
        return rule

    def countries(self, value: Any, key: str) -> frozenset[str]:
        codes = set()
        for number, text in enumerate(self._array(value, key, "CN")):
            code = countries.normalise(text)
            if code is None:
                self._fail(
                    f"{key}[{number}]", f"{text!r} is not a country: {countries.suggestion(text)}"
                )
            codes.add(str(code))
        return frozenset(codes)

    def _categories(
        self, entry: Mapping[str, Any], key: str
    ) -> tuple[tuple[Category, Confidence], ...]:
        if "categories" not in entry:
            return ()
        wanted = []
        for number, text in enumerate(self._array(entry["categories"], key, "tor")):
            try:
                wanted.append(parse_wanted(text))
            except ValueError as error:
                self._fail(f"{key}[{number}]", f"{text!r} is not a category: {error}")
        return tuple(wanted)

    def _list_names(
        self, entry: Mapping[str, Any], key: str, lists: Mapping[str, ListFile]
    ) -> tuple[str, ...]:
        if "lists" not in entry:
            return ()
        names = self._array(entry["lists"], key, "partners")
        for number, name in enumerate(names):
            if name not in lists:
                close = get_close_matches(name, lists, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"add [lists.{name}] with a path"
                self._fail(f"{key}[{number}]", f"list {name!r} is not defined: {hint}")
        return names

    def _networks(self, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
        if "networks" not in entry:
            return ()
        networks = self._array(entry["networks"], key, "203.0.113.0/24")
        for number, text in enumerate(networks):
            try:
                parse_network(text)
            except ValueError as error:
                self._fail(f"{key}[{number}]", f"{text!r}: {error}")
        return networks

    def _paths(self, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
        if "paths" not in entry:
            return ()
        return check_patterns(self._array(entry["paths"], key, "/api/*"), f"{self._place}: {key}")

    def _array(self, value: Any, key: str, example: str) -> tuple[str, ...]:
        if isinstance(value, str):
            self._fail(key, f"is the text {value!r}, must be an array; write [{value!r}]")
        if isinstance(value, Mapping) or not isinstance(value, Iterable):
            self._fail(key, f"is {value!r}, must be an array of text, such as [{example!r}]")
        entries = _listed(value)
        if not entries:
            self._fail(
                key,
                f"is empty and would match nothing; name at least one, such as [{example!r}], "
                "or remove it",
            )
        for number, item in enumerate(entries):
            if not isinstance(item, str):
                self._fail(f"{key}[{number}]", f"is {item!r}, must be text in quotes")
        return entries

    def _word(self, value: Any, key: str, words: Sequence[str]) -> str:
        if not isinstance(value, str) or value not in words:
            close = get_close_matches(value.lower(), words, n=1) if isinstance(value, str) else []
            hint = (
                f"did you mean {str(close[0])!r}?" if close else f"write one of {', '.join(words)}"
            )
            self._fail(key, f"is {value!r}: {hint}")
        return value

    def _table(self, value: Any, key: str, known: Sequence[str]) -> None:
        if not isinstance(value, Mapping):
            self._fail(key, f"is {value!r}, must be a table with the keys {', '.join(known)}")
        for name in value:
            if name not in known:
                close = get_close_matches(str(name), known, n=1)
                hint = (
                    f"did you mean {str(close[0])!r}?" if close else f"known are {', '.join(known)}"
                )
                self._fail(key, f"unknown key {str(name)!r}: {hint}")

    def _fail(self, key: str, message: str) -> NoReturn:
        raise ConfigurationError(f"{self._place}: {key}: {message}")


def _listed(value: Iterable[Any]) -> tuple[Any, ...]:
    """Give a set a stable order, so that messages and rules do not change from run to run."""
    return tuple(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
