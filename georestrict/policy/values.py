"""Policies as frozen values that check themselves when they are built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from georestrict.errors import ConfigurationError
from georestrict.networks import Category
from georestrict.policy import checks
from georestrict.policy.accounts import KEYS, AccountWord
from georestrict.policy.cases import Case
from georestrict.policy.limits import (
    OF_COUNTRIES,
    OF_OTHERS,
    CategoryLimit,
    StaleAction,
    settle_limit,
)
from georestrict.policy.responses import BUILT_IN, ResponseForm
from georestrict.policy.rules import DECIDED, Action, Rule
from georestrict.policy.words import Words, settle


class Fallback(StrEnum):
    """The four cases in which there is no country to judge by."""

    UNKNOWN = "unknown"  #: a public address in no country
    PRIVATE = "private"  #: an address that is not globally reachable
    UNRESOLVED = "unresolved"  #: no trustworthy client address
    NO_DATA = "no_data"  #: no database, or one past its hard limit


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile:
    """A list of networks in a file, or in a folder's files, and how old it may grow.

    Raises:
        ConfigurationError: naming the key and the fix.
    """

    path: Path
    allow_empty: bool = False
    stale_after: timedelta | None = None
    stale_action: StaleAction | None = None

    def __post_init__(self) -> None:
        """Check the limit."""
        settle_limit(self, OF_OTHERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a partner or member of staff shows: a header with one of some values, until a date.

    ``sha256`` are the sums of whole values, in hexadecimal; the values themselves are kept nowhere.

    Raises:
        ConfigurationError: naming the key and the fix.
    """

    header: str
    sha256: tuple[str, ...]
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Check every key."""
        settle(self, "header", checks.header_name(self.header, "header"))
        settle(self, "sha256", checks.digests(self.sha256, "sha256"))
        if self.until is not None:
            settle(self, "until", checks.instant(self.until, "until"))


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
    paths_ignore_case: bool = False
    contact: str | None = None
    response: str | None = None
    stale_after: timedelta | None = None
    stale_action: StaleAction | None = None
    warn_after: timedelta | None = None
    emergency_file: Path | None = None
    fallback: Mapping[Fallback, Action] = field(default_factory=dict, hash=False)
    categories: Mapping[Category, CategoryLimit] = field(default_factory=dict, hash=False)
    lists: Mapping[str, ListFile] = field(default_factory=dict, hash=False)
    credentials: Mapping[str, Credential] = field(default_factory=dict, hash=False)
    responses: Mapping[str, ResponseForm] = field(default_factory=dict, hash=False)
    rules: tuple[Rule, ...] = ()
    tests: tuple[Case, ...] = ()
    place: str = field(default="policy", compare=False)  #: where it came from, for messages

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy from a TOML file; paths in it are relative to its folder.

        Raises:
            ConfigurationError: naming the file, the key, the offending word and the fix.
        """
        from georestrict.policy.reader import from_file

        return from_file(Path(path))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Policy:
        """Check a mapping with the keys of the TOML form; paths start at the working folder.

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

    @property
    def conditions(self) -> tuple[Words, ...]:
        """Every rule, each followed by its exceptions."""
        return tuple(words for rule in self.rules for words in (rule, *rule.unless))

    def account_words(self) -> Iterator[tuple[str, AccountWord]]:
        """Yield every word about an account's past, with the place where it stands."""
        for number, rule in enumerate(self.rules, 1):
            for at, words in enumerate((rule, *rule.unless)):
                place = f"rules[{number}] ({rule.name}){f'.unless[{at}]' if at else ''}"
                for key in KEYS:
                    word = getattr(words, key)
                    if word is not None:
                        yield f"{place}.{key}", word

    def __post_init__(self) -> None:
        """Check every key, and that rules name what there is; fill in the fallback."""
        try:
            settle(self, "default", Action(checks.word(self.default, "default", _DEFAULTS)))
            checks.flag(self.dry_run, "dry_run")
            checks.flag(self.paths_ignore_case, "paths_ignore_case")
            if self.contact is not None:
                checks.contact(self.contact, "contact")
            self._check_limits()
            settle(self, "fallback", _filled(self.default, self.fallback))
            for tables in ("lists", "credentials", "responses"):
                for name in getattr(self, tables):
                    checks.name(name, tables)
                settle(self, tables, MappingProxyType(dict(getattr(self, tables))))
            settle(self, "rules", tuple(self.rules))
            settle(self, "tests", tuple(self.tests))
            self._check_rules()
            self._check_responses()
            self._check_tests()
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.place}: {error}") from None

    def _check_limits(self) -> None:
        settle_limit(self, OF_COUNTRIES)
        if self.warn_after is not None:
            settle(self, "warn_after", checks.duration(self.warn_after, "warn_after"))
            if self.stale_after is not None and self.warn_after >= self.stale_after:
                checks.fail(
                    "warn_after",
                    f"is {checks.length(self.warn_after)}, not before stale_after "
                    f"{checks.length(self.stale_after)}, so it would never be said; warn earlier",
                )
        checks.table(self.categories, "categories", tuple(Category))
        limits = {Category(name): limit for name, limit in self.categories.items()}
        settle(self, "categories", MappingProxyType(limits))

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
            key = f"{key} ({rule.name})"
            self._check_words(rule, key)
            for place, words in enumerate(rule.unless, 1):
                self._check_words(words, f"{key}.unless[{place}]")

    def _check_words(self, words: Words, key: str) -> None:
        """Check that what some words name is defined."""
        for table, kind, fix in (
            ("lists", "list", "a path"),
            ("credentials", "credential", "a header"),
        ):
            defined = getattr(self, table)
            for place, name in enumerate(getattr(words, table), 1):
                if name not in defined:
                    close = get_close_matches(name, defined, n=1)
                    hint = (
                        f"did you mean {close[0]!r}?"
                        if close
                        else f"add [{table}.{name}] with {fix}"
                    )
                    checks.fail(
                        f"{key}.{table}[{place}]", f"{kind} {name!r} is not defined: {hint}"
                    )

    def _check_responses(self) -> None:
        known = (*BUILT_IN, *self.responses)
        named = [("response", self.response)] + [
            (f"rules[{number}] ({rule.name}).response", rule.response)
            for number, rule in enumerate(self.rules, 1)
        ]
        for key, name in named:
            if name is not None and name not in known:
                close = get_close_matches(str(name), known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"add [responses.{name}]"
                checks.fail(key, f"response {name!r} is not defined: {hint}")

    def _check_tests(self) -> None:
        """Check that what the cases name is defined, so that none can pass by a slip of the pen."""
        kinds = (
            ("lists", "list", self.lists),
            ("credentials", "credential", self.credentials),
            ("rule", "rule", [rule.name for rule in self.rules]),
        )
        for number, case in enumerate(self.tests, 1):
            for key, kind, defined in kinds:
                given = getattr(case, key)
                for name in (given,) if isinstance(given, str) else given or ():
                    if name not in defined:
                        close = get_close_matches(name, defined, n=1)
                        hint = f"did you mean {close[0]!r}?" if close else "define it, or remove it"
                        checks.fail(
                            f"tests[{number}].{key}", f"{kind} {name!r} is not defined: {hint}"
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
        usual[Fallback(case)] = Action(checks.word(action, f"fallback.{case}", DECIDED))
    return MappingProxyType(usual)
