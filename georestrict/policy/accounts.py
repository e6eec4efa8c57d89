"""Words about accounts: where one was seen lately, and in how many countries.

What is kept of an account are *sightings*: a country, what the network there was (a category, or
nothing), and when that was last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from georestrict.countries import NAMES
from georestrict.errors import ConfigurationError
from georestrict.networks import TELLING, Category, Confidence
from georestrict.policy import checks

#: Through what a sighting proves a country: an ordinary network, or a relay, which keeps the
#: country of its users. Behind an exit, or on a machine for rent, somebody can be anywhere.
PROVING = frozenset({"", str(Category.RELAY)})
#: As many sightings are kept of an account (georestrict.accounts).
MOST_SIGHTINGS = 64


class History(Protocol):
    """What is kept of accounts."""

    def saw(self, account: str, country: str, category: str, now: float) -> None:
        """Keep that an account was seen in a country, through a category of network or none."""

    def seen_in(
        self, account: str, countries: frozenset[str], categories: frozenset[str], since: float
    ) -> bool:
        """Return whether an account was seen in one of some countries (empty: in any)."""

    def countries(self, account: str, categories: frozenset[str], since: float) -> int:
        """Return in how many countries an account was seen."""


def category_of(categories: Mapping[Category, Confidence]) -> str:
    """Return the category that a sighting keeps: the most telling of medium confidence or better.

    It is empty if there is none.
    """
    for category in TELLING:
        confidence = categories.get(category)
        if confidence is not None and confidence is not Confidence.LOW:
            return str(category)
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenIn:
    """The account was seen in one of some ``countries`` (or ``outside`` of some), lately.

    With ``categories`` only sightings through such networks count; without, those that prove a
    country: in ordinary networks, and through relays. ``within`` says how far back (``"14d"``).

    Raises:
        ConfigurationError: naming the key and the fix.
    """

    within: timedelta
    countries: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()
    categories: frozenset[Category] = frozenset()
    asked: frozenset[str] = field(init=False, repr=False, compare=False)  #: empty: any country
    through: frozenset[str] = field(init=False, repr=False, compare=False)
    seconds: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every key."""
        _settle(self)
        if self.countries and self.outside:
            checks.fail("outside", "stands beside countries; keep one of them")
        if not (self.countries or self.outside or self.categories):
            checks.fail("countries", 'is missing; write countries = ["CN"], outside or categories')
        asked = frozenset(NAMES) - self.outside if self.outside else self.countries
        if self.outside and not asked:
            checks.fail("outside", "holds every country, so there is none outside; name fewer")
        object.__setattr__(self, "asked", asked)

    def asks_for(self, country: str, category: str) -> bool:
        """Return whether a sighting can count."""
        return category in self.through and (not self.asked or country in self.asked)

    def holds(self, history: History, account: str, now: float) -> bool:
        """Return whether that is so of an account at a time (seconds since the epoch)."""
        return history.seen_in(account, self.asked, self.through, now - self.seconds)

    def covers(self, other: object) -> bool:
        """Return whether it holds wherever another word does."""
        return (
            isinstance(other, SeenIn)
            and self.within >= other.within
            and self.through >= other.through
            and (not self.asked or (bool(other.asked) and self.asked >= other.asked))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyCountries:
    """The account was seen in ``more_than`` so many different countries, lately.

    ``categories`` and ``within`` are as those of ``SeenIn``.

    Raises:
        ConfigurationError: naming the key and the fix.
    """

    more_than: int
    within: timedelta
    categories: frozenset[Category] = frozenset()
    through: frozenset[str] = field(init=False, repr=False, compare=False)
    seconds: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every key."""
        _settle(self)
        if type(self.more_than) is not int or not 0 <= self.more_than < MOST_SIGHTINGS:
            checks.fail(
                "more_than",
                f"is {self.more_than!r}, must be a number of countries, such as 3; they are 0 to "
                f"{MOST_SIGHTINGS - 1}, since {MOST_SIGHTINGS} sightings are kept of an account",
            )

    def asks_for(self, country: str, category: str) -> bool:
        """Return whether a sighting can count."""
        return category in self.through

    def holds(self, history: History, account: str, now: float) -> bool:
        """Return whether that is so of an account at a time (seconds since the epoch)."""
        return history.countries(account, self.through, now - self.seconds) > self.more_than

    def covers(self, other: object) -> bool:
        """Return whether it holds wherever another word does."""
        return (
            isinstance(other, ManyCountries)
            and self.within >= other.within
            and self.through >= other.through
            and self.more_than <= other.more_than
        )


AccountWord = SeenIn | ManyCountries
_Word = TypeVar("_Word", SeenIn, ManyCountries)

#: The keys of each word's table, in the order in which they are described.
KEYS = {
    "account_seen_in": ("countries", "outside", "categories", "within"),
    "account_countries": ("more_than", "categories", "within"),
}
_EXAMPLES = {"within": 'how far back: within = "14d"', "more_than": "how many: more_than = 3"}


def seen_in(value: Any, key: str) -> SeenIn:
    """Return the word ``account_seen_in``."""
    return _word(value, key, SeenIn, KEYS["account_seen_in"], ("within",))


def many_countries(value: Any, key: str) -> ManyCountries:
    """Return the word ``account_countries``."""
    return _word(value, key, ManyCountries, KEYS["account_countries"], ("more_than", "within"))


def _word(
    value: Any,
    key: str,
    kind: type[_Word],
    keys: tuple[str, ...],
    required: tuple[str, ...],
) -> _Word:
    if isinstance(value, kind):
        return value
    checks.table(value, key, keys)
    for wanted in required:
        if wanted not in value:
            checks.fail(f"{key}.{wanted}", f"is missing; say {_EXAMPLES[wanted]}")
    for array in _ARRAYS:
        if array in value:
            checks.listed(value[array], f"{key}.{array}")
    try:
        return kind(**value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}.{error}") from None


def _settle(word: SeenIn | ManyCountries) -> None:
    """Check what both words have, and bring it into its final form."""
    settled: dict[str, Any] = {"within": checks.duration(word.within, "within")}
    for name, check in _ARRAYS.items():
        given: Any = getattr(word, name, frozenset())  # one of the words has no countries
        if given or type(given) is not frozenset:
            settled[name] = check(given, name)
    wanted = settled.get("categories")
    settled["through"] = frozenset(map(str, wanted)) if wanted else PROVING
    settled["seconds"] = settled["within"].total_seconds()
    for key, content in settled.items():
        object.__setattr__(word, key, content)


def _categories(value: Any, key: str) -> frozenset[Category]:
    """Return categories without a confidence, of which nothing is kept."""
    for place, text in enumerate(checks.listed(value, key, "vpn"), 1):
        if isinstance(text, str) and ":" in text:
            checks.fail(
                f"{key}[{place}]",
                f"is {text!r}: of what was seen no confidence is kept (all was medium or better); "
                f"write {text.partition(':')[0]!r}",
            )
    return frozenset(category for category, _ in checks.wanted_categories(value, key))


_ARRAYS: dict[str, Callable[[Any, str], frozenset[Any]]] = {
    "countries": checks.country_codes,
    "outside": checks.country_codes,
    "categories": _categories,
}
