"""Checks of single values. Each returns what it was given in its final form.

An error begins with the key at which the value stands; who knows the file or the rule puts that in
front. Places in arrays count from 1, like lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from georestrict import countries
from georestrict._core import parse_network
from georestrict.errors import ConfigurationError
from georestrict.networks import Category, Confidence, parse_wanted
from georestrict.paths import checked_pattern

_T = TypeVar("_T")


def fail(key: str, message: str) -> NoReturn:
    """Refuse the value at a key."""
    raise ConfigurationError(f"{key}: {message}" if key else message)


def word(value: Any, key: str, words: Sequence[str]) -> str:
    """Return one of some words."""
    if not isinstance(value, str) or value not in words:
        close = get_close_matches(value.lower(), words, n=1) if isinstance(value, str) else []
        hint = f"did you mean {str(close[0])!r}?" if close else f"write one of {', '.join(words)}"
        fail(key, f"is {value!r}: {hint}")
    return value


def flag(value: Any, key: str) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        fail(key, f"is {value!r}, must be true or false")
    return value


def name(value: Any, key: str) -> str:
    """Return the name of a rule or a list, which appears in logs."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        fail(key, f"is {value!r}, give it a name that can be printed on one line")
    return value


def table(value: Any, key: str, known: Sequence[str] | None = None) -> None:
    """Check that a value is a table, and that each of its keys is known."""
    if not isinstance(value, Mapping):
        keys = f" with the keys {', '.join(known)}" if known else ""
        fail(key, f"is {value!r}, must be a table{keys}")
    for entry in value:
        if known and entry not in known:
            close = get_close_matches(str(entry), known, n=1)
            hint = f"did you mean {str(close[0])!r}?" if close else f"known are {', '.join(known)}"
            fail(key, f"unknown key {str(entry)!r}: {hint}")


def not_empty(value: Any, key: str, example: str) -> None:
    """Refuse an empty table or array: it looks as if it said something."""
    if not value:
        fail(key, f"is empty; write {example}, or remove it")


def contact(value: Any, key: str) -> str:
    """Return a link that clients are shown."""
    if (
        not isinstance(value, str)
        or not value.startswith(("https://", "mailto:"))
        or not value.isprintable()
        or " " in value
        or len(value) < 12
    ):
        fail(key, f"{value!r}: write a link that begins with https:// or mailto:")
    return value


def country_codes(value: Any, key: str) -> frozenset[str]:
    """Return assigned country codes in upper case."""
    return frozenset(_each(value, key, "CN", _country))


def wanted_categories(value: Any, key: str) -> tuple[tuple[Category, Confidence], ...]:
    """Return categories with the least confidence that is wanted."""
    given = [
        ":".join(entry) if isinstance(entry, tuple) and len(entry) == 2 else entry
        for entry in listed(value, key, "tor")
    ]
    return _each(given, key, "tor", _category)


def names(value: Any, key: str) -> tuple[str, ...]:
    """Return the names of lists."""
    return _each(value, key, "partners", lambda text: text)


def networks(value: Any, key: str) -> tuple[str, ...]:
    """Return networks as they were written."""
    return _each(value, key, "203.0.113.0/24", _network)


def paths(value: Any, key: str) -> tuple[str, ...]:
    """Return path patterns."""
    return _each(value, key, "/api/*", checked_pattern)


def _country(text: str) -> str:
    code = countries.normalise(text)
    if code is None:
        raise ValueError(f"is not a country: {countries.suggestion(text)}")
    return code


def _category(text: str) -> tuple[Category, Confidence]:
    try:
        return parse_wanted(text)
    except ValueError as error:
        raise ValueError(f"is not a category: {error}") from None


def _network(text: str) -> str:
    parse_network(text)
    return text


def _each(value: Any, key: str, example: str, check: Callable[[str], _T]) -> tuple[_T, ...]:
    """Check every entry of an array of text; an error names the entry's place."""
    checked = []
    for number, text in enumerate(listed(value, key, example), 1):
        if not isinstance(text, str):
            fail(f"{key}[{number}]", f"is {text!r}, must be text in quotes")
        try:
            checked.append(check(text))
        except ValueError as error:
            reason = str(error)
            fail(f"{key}[{number}]", f"{text!r}{' ' if reason.startswith('is ') else ': '}{reason}")
    return tuple(checked)


def listed(value: Any, key: str, example: str = "…") -> tuple[Any, ...]:
    """Return the entries of an array that is not empty; those of a set in a stable order."""
    if isinstance(value, str):
        fail(key, f"is the text {value!r}, must be an array; write [{value!r}]")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        fail(key, f"is {value!r}, must be an array of text, such as [{example!r}]")
    entries = tuple(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
    if not entries:
        fail(
            key,
            f"is empty and would match nothing; name at least one, such as [{example!r}], "
            "or remove it",
        )
    return entries
