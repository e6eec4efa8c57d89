"""Words: what a rule, or an exception of it, matches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from georestrict._core import parse_network
from georestrict.networks import Category, Confidence
from georestrict.policy import accounts, checks
from georestrict.policy.accounts import AccountWord, ManyCountries, SeenIn


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Words:
    """What matches: each word that is given, by one of its values.

    The words of the first group say where a request comes from, those of the second what it is for,
    those of the third who sends it. They may be given as in a policy file (``countries=["cu"]``,
    ``categories=["vpn:high"]``, ``attributes={"plan": ["free"]}``).

    Raises:
        ConfigurationError: naming the word and the fix.
    """

    countries: frozenset[str] = frozenset()
    subdivisions: frozenset[str] = frozenset()
    continents: frozenset[str] = frozenset()
    categories: tuple[tuple[Category, Confidence], ...] = ()
    lists: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    asns: frozenset[int] = frozenset()

    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    protocols: frozenset[str] = frozenset()

    credentials: tuple[str, ...] = ()
    attributes: tuple[tuple[str, frozenset[str]], ...] = ()
    account_seen_in: SeenIn | None = None
    account_countries: ManyCountries | None = None

    def __repr__(self) -> str:
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        said = (f"{name}={value!r}" for name, value in given if value not in _NOTHING)
        return f"{type(self).__name__}({', '.join(said)})"

    def __post_init__(self) -> None:
        """Check every word."""
        for word, check in CHECKS.items():
            given = getattr(self, word)
            if word in accounts.KEYS:
                left_out = given is None
            else:
                left_out = not given and type(given) in (tuple, frozenset)
            if not left_out:
                settle(self, word, check(given, word))

    @property
    def says_where(self) -> bool:
        """Whether it has a word about where a request comes from."""
        return any(getattr(self, word) for word in WHERE)

    @property
    def about_accounts(self) -> tuple[AccountWord, ...]:
        """Its words about the account's past."""
        words = self.account_seen_in, self.account_countries
        return tuple(word for word in words if word is not None)

    @property
    def says_who(self) -> bool:
        """Whether it has a word about who sends a request."""
        return bool(self.credentials or self.attributes or self.about_accounts)

    @property
    def anywhere(self) -> bool:
        """Whether its networks hold every address, of both families."""
        return len(whole_families(self.networks)) == len(_LAST)

    @property
    def says_anything(self) -> bool:
        """Whether it has a word at all."""
        return any(getattr(self, word) for word in CHECKS)


_LAST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}  # addresses


@lru_cache
def whole_families(networks: tuple[str, ...]) -> frozenset[int]:
    """Return the families (4, 6) of which some networks hold every address, in whatever parts."""
    parsed = sorted(parse_network(network) for network in networks)
    following = dict.fromkeys(_LAST, 0)
    for version, first, last in parsed:
        if first <= following[version]:
            following[version] = max(following[version], last + 1)
    return frozenset(version for version, last in _LAST.items() if following[version] > last)


CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "countries": checks.country_codes,
    "subdivisions": checks.subdivision_codes,
    "continents": checks.continent_codes,
    "categories": checks.wanted_categories,
    "lists": checks.names,
    "networks": checks.networks,
    "asns": checks.asns,
    "hosts": checks.hosts,
    "paths": checks.paths,
    "methods": checks.methods,
    "protocols": checks.protocols,
    "credentials": checks.names,
    "attributes": checks.attributes,
    "account_seen_in": accounts.seen_in,
    "account_countries": accounts.many_countries,
}
#: The words that say where a request comes from.
WHERE = ("countries", "subdivisions", "continents", "categories", "lists", "networks", "asns")
_NOTHING: tuple[Any, ...] = (None, (), frozenset())


def settle(value: object, name: str, content: object) -> None:
    """Set a field of a value that is still being built."""
    object.__setattr__(value, name, content)
