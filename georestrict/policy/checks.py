"""Checks of single values. Each returns what it was given in its final form.

An error begins with the key at which the value stands; who knows the file or the rule puts that in
front. Places in arrays count from 1, like lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from ipaddress import IPv6Address
from typing import Any, NoReturn, TypeVar

from georestrict import countries, groups, subdivisions
from georestrict._core import parse_network
from georestrict.asns import LAST as LAST_ASN
from georestrict.asns import parse as parse_asn
from georestrict.errors import ConfigurationError
from georestrict.networks import Category, Confidence, parse_wanted
from georestrict.paths import checked_pattern

_T = TypeVar("_T")

PROTOCOLS = ("http", "websocket")
# RFC 9110 §5.6.2, of which methods and the names of fields are made
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DURATION = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


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
        fail(key, f"is {_shown(value, key)}, must be a table{keys}")
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
    """Return assigned country codes in upper case, with the members of groups."""
    return frozenset().union(*_each(value, key, "CN", _country))


def subdivision_codes(value: Any, key: str) -> frozenset[str]:
    """Return ISO 3166-2 codes in upper case."""
    return frozenset(_each(value, key, "UA-43", subdivisions.checked))


def continent_codes(value: Any, key: str) -> frozenset[str]:
    """Return codes of continents in upper case."""
    return frozenset(_each(value, key, "EU", _continent))


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


def asns(value: Any, key: str) -> frozenset[int]:
    """Return AS numbers, written as ``64500`` or ``"AS64500"``."""
    numbers = set()
    for place, entry in enumerate(listed(value, key, "AS64500"), 1):
        number = parse_asn(entry) if isinstance(entry, str) else entry
        if type(number) is not int or not 0 < number <= LAST_ASN:
            fail(
                f"{key}[{place}]",
                f"is {entry!r}, must be an AS number such as 64500; they are 1 to {LAST_ASN}",
            )
        numbers.add(number)
    return frozenset(numbers)


def hosts(value: Any, key: str) -> tuple[str, ...]:
    """Return host names in lower case; ``*.example.com`` stands for everything below."""
    return _each(value, key, "api.example.com", _host)


def methods(value: Any, key: str) -> frozenset[str]:
    """Return request methods in upper case."""
    return frozenset(_each(value, key, "POST", _method))


def protocols(value: Any, key: str) -> frozenset[str]:
    """Return protocols: ``http``, ``websocket``."""
    return frozenset(_each(value, key, "http", _protocol))


def attributes(value: Any, key: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return what the app must say of a request: for each name the values that will do."""
    if isinstance(value, tuple) and all(isinstance(pair, tuple) for pair in value):
        value = dict(value)
    table(value, key)
    not_empty(value, key, 'customer = ["eligible"]')
    return tuple(
        (
            name(attribute, key),
            frozenset(_each(values, f"{key}.{attribute}", "eligible", lambda text: text)),
        )
        for attribute, values in sorted(value.items(), key=lambda pair: str(pair[0]))
    )


def header_name(value: Any, key: str) -> str:
    """Return the name of a header field in lower case (RFC 9110 §5.1)."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        fail(key, "is no name of a header; write the name alone, such as X-Partner-Key")
    return value.lower()


def digests(value: Any, key: str) -> tuple[str, ...]:
    """Return SHA-256 sums in hexadecimal; errors do not show what may be the secret itself."""
    if isinstance(value, str):
        fail(key, "is text, must be an array of SHA-256 sums")
    sums = []
    for place, text in enumerate(listed(value, key, "9f86d081…"), 1):
        digest = text.lower() if isinstance(text, str) else ""
        if not _SHA256.fullmatch(digest):
            fail(f"{key}[{place}]", "is not a SHA-256 sum: write its 64 hexadecimal digits")
        sums.append(digest)
    return tuple(sums)


def instant(value: Any, key: str) -> datetime:
    """Return a point in time: aware, or as text with an offset (RFC 3339)."""
    given = value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            fail(key, f"is {given!r}, must be a time such as 2026-12-01T00:00:00Z")
    if isinstance(value, date) and not isinstance(value, datetime):
        fail(key, f"is the date {value}; say from when on it: {value}T00:00:00Z")
    if not isinstance(value, datetime):
        fail(key, f"is {given!r}, must be a time such as 2026-12-01T00:00:00Z")
    if value.utcoffset() is None:
        fail(key, f"is {value.isoformat()}, a time without an offset; add Z for UTC, or +02:00")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        fail(key, f"is {value.isoformat()}, which is no year of the calendar in UTC; leave it out")


def duration(value: Any, key: str) -> timedelta:
    """Return a length of time: hours, days or weeks, such as ``90d``."""
    if isinstance(value, timedelta) and value > timedelta():
        return value
    matched = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        fail(key, f"is {value!r}, must be a number of hours, days or weeks, such as '90d'")
    return int(matched[1]) * _UNITS[matched[2]]


def length(time: timedelta) -> str:
    """Return a length of time as policies have it."""
    hours, rest = divmod(time, timedelta(hours=1))
    if rest:
        return str(time)
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def _country(text: str) -> frozenset[str]:
    if text.startswith("@"):
        return groups.expand(text)
    code = countries.normalise(text)
    if code is None:
        raise ValueError(f"is not a country: {countries.suggestion(text)}")
    return frozenset({code})


def _continent(text: str) -> str:
    code = text.upper()
    if code not in groups.CONTINENTS:
        raise ValueError(f"is not a continent: write one of {', '.join(groups.CONTINENTS)}")
    return code


def _host(text: str) -> str:
    host = text.lower().removesuffix(".")
    labels = host.removeprefix("*.").split(".")
    if host.startswith("["):  # an IPv6 address, as it stands in a Host field
        try:
            return f"[{IPv6Address(host[1:-1] if host.endswith(']') else '')}]"
        except ValueError:
            raise ValueError("is not a host: in brackets stands an IPv6 address") from None
    if not host.isascii():
        raise ValueError("is not a host as it is sent: write its ASCII form, which begins xn--")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("is not a host: write its name alone, such as api.example.com")
    return host


def _method(text: str) -> str:
    if "*" in text or not _TOKEN.fullmatch(text):
        raise ValueError("is not a method, such as GET; for every method leave the word out")
    return text.upper()


def _protocol(text: str) -> str:
    if text not in PROTOCOLS:
        raise ValueError(f"is not a protocol: write one of {', '.join(PROTOCOLS)}")
    return text


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


def _shown(value: Any, key: str) -> str:
    """Return a wrong value as an error shows it; none that may be a secret out of place."""
    return "…" if key.startswith(("credentials.", "sha256")) else repr(value)


def not_left_out(value: Any, key: str) -> None:
    """Refuse a word that is there and empty, which values take for one that is left out."""
    if value is None:
        fail(key, "is None; give it a value, or remove it")
    if isinstance(value, Collection) and not isinstance(value, str | Mapping):
        listed(value, key)


def listed(value: Any, key: str, example: str = "…") -> tuple[Any, ...]:
    """Return the entries of an array that is not empty; those of a set in a stable order."""
    if isinstance(value, str):
        text = _shown(value, key)
        fail(key, f"is the text {text}, must be an array; write [{text}]")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        fail(key, f"is {_shown(value, key)}, must be an array of text, such as [{example!r}]")
    entries = tuple(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
    if not entries:
        fail(
            key,
            f"is empty and would match nothing; name at least one, such as [{example!r}], "
            "or remove it",
        )
    return entries
