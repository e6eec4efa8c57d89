"""Policies and rules as frozen values that check themselves when they are built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from georestrict.errors import ConfigurationError
from georestrict.networks import Category, Confidence
from georestrict.policy import checks


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
    """One rule: it matches when each of its words does; a word, when one of its values does.

    Words may be given as in a policy file (``countries=["cu"]``, ``categories=["vpn:high"]``).

    Raises:
        ConfigurationError: naming the word and the fix.
    """

    name: str
    action: Action
    countries: frozenset[str] = frozenset()
    categories: tuple[tuple[Category, Confidence], ...] = ()
    lists: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every word, and that together they make sense."""
        checks.name(self.name, "name")
        _set(self, "action", Action(checks.word(self.action, "action", tuple(Action))))
        for word, left_out, check in _RULE_WORDS:
            given = getattr(self, word)
            if given != left_out or type(given) is not type(left_out):
                _set(self, word, check(given, word))
        if self.says_where:
            return
        if self.action is not Action.ALLOW:
            raise ConfigurationError(
                "has no word that says where from; add countries, categories, lists or networks"
            )
        if not self.paths:
            raise ConfigurationError(
                "matches everything; add a word such as countries or paths, or use default"
            )

    @property
    def says_where(self) -> bool:
        """Whether it has a word about where a request comes from."""
        return bool(self.countries or self.categories or self.lists or self.networks)


_RULE_WORDS: tuple[tuple[str, Any, Any], ...] = (
    ("countries", frozenset(), checks.country_codes),
    ("categories", (), checks.wanted_categories),
    ("lists", (), checks.names),
    ("networks", (), checks.networks),
    ("paths", (), checks.paths),
)


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

    Raises:
        ConfigurationError: naming the key, the offending word and the fix.
    """

    default: Action
    dry_run: bool = False
    contact: str | None = None
    fallback: Mapping[Fallback, Action] = field(default_factory=dict, hash=False)
    lists: Mapping[str, ListFile] = field(default_factory=dict, hash=False)
    rules: tuple[Rule, ...] = ()
    place: str = field(default="policy", compare=False)  #: where it came from, for messages

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy from a TOML file; list paths in it are relative to its folder.

        Raises:
            ConfigurationError: naming the file, the key, the offending word and the fix.
        """
        from georestrict.policy.reader import from_file

        return from_file(Path(path))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Policy:
        """Check a mapping with the keys of the TOML form; list paths start at the working folder.

        Raises:
            ConfigurationError: naming the key, the offending word and the fix.
        """
        from georestrict.policy.reader import from_mapping

        return from_mapping(mapping, "policy", Path())

    @classmethod
    def short(
        cls, *, block: Sequence[str] = (), warn: Sequence[str] = (), allow: Sequence[str] = ()
    ) -> Policy:
        """Build the policy of the short form: lists of country codes.

        With ``allow`` everything else is blocked, except what ``warn`` names; without, everything
        else is allowed.
        """
        rules = []
        seen: dict[str, str] = {}
        for action, codes in (("block", block), ("warn", warn), ("allow", allow)):
            if codes == ():
                continue  # left out; an empty list is an error
            checked = checks.country_codes(codes, f"options: {action}")
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
        return cls(default=default, rules=tuple(rules), place="options")

    def __post_init__(self) -> None:
        """Check every key, and that rules name each other's lists; fill in the fallback."""
        try:
            _set(self, "default", Action(checks.word(self.default, "default", _DEFAULTS)))
            checks.flag(self.dry_run, "dry_run")
            if self.contact is not None:
                checks.contact(self.contact, "contact")
            _set(self, "fallback", _filled(self.default, self.fallback))
            for name in self.lists:
                checks.name(name, "lists")
            _set(self, "lists", MappingProxyType(dict(self.lists)))
            _set(self, "rules", tuple(self.rules))
            self._check_rules()
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.place}: {error}") from None

    def _check_rules(self) -> None:
        names: dict[str, int] = {}
        for number, rule in enumerate(self.rules, 1):
            key = f"rules[{number}]"
            if not isinstance(rule, Rule):
                checks.fail(key, f"is {rule!r}, must be a Rule")
            if rule.name in names:
                checks.fail(
                    f"{key}.name",
                    f"{rule.name!r} is the name of rule {names[rule.name]} too; rename one",
                )
            names[rule.name] = number
            for place, name in enumerate(rule.lists, 1):
                if name not in self.lists:
                    close = get_close_matches(name, self.lists, n=1)
                    hint = (
                        f"did you mean {close[0]!r}?"
                        if close
                        else f"add [lists.{name}] with a path"
                    )
                    checks.fail(
                        f"{key} ({rule.name}).lists[{place}]",
                        f"list {name!r} is not defined: {hint}",
                    )


_DEFAULTS = ("allow", "block")


def _filled(default: Action, stated: Mapping[Any, Any]) -> Mapping[Fallback, Action]:
    """Fill in the cases that a policy does not state.

    A block list leaves open what has no country, an allow list does not. Both refuse clients that
    cannot be told, and requests that cannot be judged.
    """
    checks.table(stated, "fallback", tuple(Fallback))
    usual = {
        Fallback.UNKNOWN: default,
        Fallback.PRIVATE: default,
        Fallback.UNRESOLVED: Action.BLOCK,
        Fallback.NO_DATA: Action.BLOCK,
    }
    for case, action in stated.items():
        usual[Fallback(case)] = Action(checks.word(action, f"fallback.{case}", tuple(Action)))
    return MappingProxyType(usual)


def _set(value: Rule | Policy, name: str, content: object) -> None:
    """Set a field of a value that is still being built."""
    object.__setattr__(value, name, content)
