"""Cases: the ``[[tests]]`` of a policy, each a request and what the policy must say to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from georestrict import countries, subdivisions
from georestrict._core import parse_address
from georestrict.errors import ConfigurationError
from georestrict.networks import Category, Confidence
from georestrict.policy import checks

#: What may be expected.
EXPECTED = ("allow", "warn", "block")
#: What an address may be, besides one in a country.
WITHOUT_COUNTRY = ("unknown", "private", "unresolved", "no_data")
_ABOUT_A_PLACE = ("subdivision", "categories", "lists", "asn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request, and what the policy must say to it.

    It comes from an ``address``, of which the data tells where it is; or from a ``country``, with
    what else is supposed of its network; or from none, as ``case`` tells. An address and a country
    together also say where the data must have the address. Without ``at`` it is judged by now. Of
    what the data tells of an address the age counts; what is supposed has none.
    ``credentials`` are those that the request is supposed to show. ``account_seen_in`` gives it an
    account, and says how long ago that was seen in which country (``CN``, or ``CN:hosting`` for
    through a network of that category). ``rule``, ``reason``, ``code``
    and ``status`` are expected where they are given.

    Raises:
        ConfigurationError: naming the key and the fix.
    """

    expect: str
    name: str | None = None

    address: str | None = None
    country: str | None = None
    case: str | None = None
    subdivision: str | None = None
    categories: tuple[tuple[Category, Confidence], ...] = ()
    lists: tuple[str, ...] = ()
    asn: int | None = None

    path: str = "/"
    method: str = "GET"
    host: str | None = None
    protocol: str = "http"
    at: datetime | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    credentials: tuple[str, ...] = ()
    account_seen_in: tuple[tuple[str, timedelta], ...] = ()

    rule: str | None = None
    reason: str | None = None
    code: str | None = None
    status: int | None = None

    def __post_init__(self) -> None:
        """Check every key, and that together they tell one place."""
        checks.word(self.expect, "expect", EXPECTED)
        for key in ("name", "rule", "reason", "code"):
            if getattr(self, key) is not None:
                checks.name(getattr(self, key), key)
        self._check_place()
        self._check_request()
        if self.status is not None and (
            isinstance(self.status, bool)
            or not isinstance(self.status, int)
            or not 200 <= self.status <= 599
        ):
            checks.fail("status", f"is {self.status!r}, must be a status such as 403")
        if self.rule is not None and self.reason in ("default", *WITHOUT_COUNTRY):
            checks.fail("reason", f"is {self.reason!r}, which no rule decides; leave rule out")

    def _check_place(self) -> None:
        if self.address is not None and (
            not isinstance(self.address, str) or parse_address(self.address) is None
        ):
            checks.fail("address", f"is {self.address!r}, must be one address, such as 192.0.2.1")
        if self.case is not None:
            checks.word(self.case, "case", WITHOUT_COUNTRY)
        if self.subdivision is not None:
            self._set("subdivision", _subdivision(self.subdivision))
            if self.country is None and self.case is None:
                self._set("country", str(self.subdivision).partition("-")[0])
        if self.country is not None:
            self._set("country", _country(self.country))
        if self.case is not None and (self.address is not None or self.country is not None):
            other = "an address" if self.address is not None else "a country"
            checks.fail("case", f"is {self.case!r} beside {other}; keep one of them")
        if self.address is None and self.country is None and self.case is None:
            checks.fail("country", "is missing; say where from: a country, an address, or a case")
        given = [key for key in _ABOUT_A_PLACE if getattr(self, key) not in (None, ())]
        if given and self.address is not None:
            checks.fail(given[0], "stands beside an address, of which the data tells it; remove it")
        if given and self.case == "unresolved":
            checks.fail(given[0], "is supposed of an address that cannot be told; remove it")
        if self.subdivision is not None and self.case is not None:
            checks.fail("subdivision", f"lies in a country, but case is {self.case!r}; remove one")
        if self.subdivision is not None and not self.subdivision.startswith(f"{self.country}-"):
            checks.fail("subdivision", f"is {self.subdivision!r}, which is not in {self.country}")
        if self.categories != ():
            self._set("categories", checks.wanted_categories(self.categories, "categories"))
        if self.lists != ():
            self._set("lists", checks.names(self.lists, "lists"))
        if self.asn is not None:
            self._set("asn", _one(checks.asns, self.asn, "asn"))

    def _check_request(self) -> None:
        if not isinstance(self.path, str) or not self.path.startswith("/"):
            checks.fail("path", f"is {self.path!r}, must begin with '/'")
        if "?" in self.path:
            checks.fail("path", f"is {self.path!r}; rules ask for the path alone, leave '?' out")
        self._set("method", _one(checks.methods, self.method, "method"))
        checks.word(self.protocol, "protocol", checks.PROTOCOLS)
        if self.host is not None:
            self._set("host", _one(checks.hosts, self.host, "host"))
        if self.at is not None:
            self._set("at", checks.instant(self.at, "at"))
        headers = _pairs(self.headers, "headers", "X-Client = 'cli'")
        self._set("headers", tuple((checks.header_name(k, "headers"), v) for k, v in headers))
        self._set("attributes", _pairs(self.attributes, "attributes", "customer = 'eligible'"))
        if self.credentials != ():
            self._set("credentials", checks.names(self.credentials, "credentials"))
        if self.account_seen_in != ():
            self._set("account_seen_in", sightings(self.account_seen_in, "account_seen_in"))

    def _set(self, key: str, content: object) -> None:
        object.__setattr__(self, key, content)


#: The keys of a table under ``[[tests]]``.
CASE_KEYS = tuple(field.name for field in fields(Case))


def checked_cases(entries: Any, key: str) -> tuple[Case, ...]:
    """Return the cases of an array of tables; an error names the place below the key."""
    if isinstance(entries, str | Mapping) or not isinstance(entries, list | tuple):
        checks.fail(key, f"is {entries!r}, must be an array of tables; write [[{key}]]")
    checks.not_empty(entries, key, f"[[{key}]] with a country and what to expect")
    return tuple(_case(entry, f"{key}[{number}]") for number, entry in enumerate(entries, 1))


def _case(entry: Any, key: str) -> Case:
    checks.table(entry, key, CASE_KEYS)
    if "expect" not in entry:
        checks.fail(f"{key}.expect", f"is missing; write one of {', '.join(EXPECTED)}")
    for word in ("categories", "lists", "credentials"):
        if word in entry:
            checks.listed(entry[word], f"{key}.{word}")
    try:
        return Case(**entry)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}.{error}") from None


def _one(check: Callable[[Any, str], Iterable[Any]], value: Any, key: str) -> Any:
    """Check a value that stands alone where rules have an array."""
    try:
        (checked,) = check([value], key)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace(f"{key}[1]", key, 1)) from None
    return checked


def _country(text: Any) -> str:
    code = countries.normalise(text) if isinstance(text, str) else None
    if code is None:
        hint = countries.suggestion(text) if isinstance(text, str) else "write one code, such as DE"
        checks.fail("country", f"is {text!r}, not a country: {hint}")
    return code


def _subdivision(text: Any) -> str:
    try:
        return subdivisions.checked(text)
    except (AttributeError, ValueError) as error:
        hint = "write an ISO 3166-2 code" if isinstance(error, AttributeError) else str(error)
        checks.fail("subdivision", f"{text!r} {hint}")


def sightings(given: Any, key: str) -> tuple[tuple[str, timedelta], ...]:
    """Return where an account was seen, and how long ago."""
    if isinstance(given, tuple) and all(isinstance(pair, tuple) for pair in given):
        given = dict(given)
    checks.table(given, key)
    checks.not_empty(given, key, 'CN = "3d"')
    found = []
    for place, ago in given.items():
        country, colon, category = str(place).partition(":")
        code = countries.normalise(country)
        if code is None:
            checks.fail(key, f"{country!r} is not a country: {countries.suggestion(country)}")
        if colon:
            code += f":{checks.word(category.lower(), key, tuple(Category))}"
        found.append((code, checks.duration(ago, f"{key}.{place}")))
    return tuple(found)


def _pairs(given: Any, key: str, example: str) -> tuple[tuple[str, str], ...]:
    """Return a table of text as pairs."""
    if isinstance(given, tuple) and all(isinstance(pair, tuple) for pair in given):
        given = dict(given)
    checks.table(given, key)
    for name, value in given.items():
        checks.name(name, key)
        if not isinstance(value, str):
            checks.fail(
                f"{key}.{name}", f"is {value!r}, must be text; write {key} = {{ {example} }}"
            )
    return tuple(given.items())
