"""Explaining a decision: every rule that was tried, and why it did or did not match."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from georestrict.labels import Label
from georestrict.location import Location
from georestrict.paths import is_normal
from georestrict.policy import Action, Policy, Rule, Words
from georestrict.policy.accounts import KEYS, AccountWord, SeenIn
from georestrict.policy.checks import length
from georestrict.policy.words import CHECKS, WHERE
from georestrict.request import Request
from georestrict.routes import Routes
from georestrict.verdicts import Where

_ABOUT_THE_REQUEST = ("hosts", "paths", "methods", "protocols")
_MOST_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A rule that was tried. ``words`` tells of each of its words whether it matched, and why."""

    rule: str
    action: Action | None  #: at the time of the request; None when it has ended
    words: tuple[tuple[bool, str], ...]

    @property
    def matched(self) -> bool:
        """Whether every word matched."""
        return all(matched for matched, _ in self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A request, from where, when."""

    location: Location
    labels: frozenset[Label]
    request: Request
    now: float


def explained(policy: Policy, sender: Sender) -> tuple[Tried, ...]:
    """Return the rules that are tried for a request, up to the one that decides."""
    found = []
    for rule in policy.rules:
        tried = _tried(rule, policy, sender)
        found.append(tried)
        if tried.matched and tried.action is not Action.COUNT:
            break
    return tuple(found)


def _tried(rule: Rule, policy: Policy, sender: Sender) -> Tried:
    action = rule.action_at(sender.now)
    words = [*_times(rule, sender.now), *_said(rule, policy, sender, action is Action.BLOCK)]
    for place, exception in enumerate(rule.unless, 1):
        said = _said(exception, policy, sender, broad=False)
        excepted = all(matched for matched, _ in said)
        met = "; ".join(text for matched, text in said if matched or not excepted)
        holds = "holds" if excepted else "does not hold"
        words.append((not excepted, f"unless[{place}] {holds}: {met}"))
    return Tried(rule=rule.name, action=action, words=tuple(words))


def _times(rule: Rule, now: float) -> list[tuple[bool, str]]:
    at = _shown(datetime.fromtimestamp(now, UTC))
    told = []
    if rule.until is not None:
        ended = now >= rule.until.timestamp()
        before = "not before" if ended else "before"
        told.append((not ended, f"{at} is {before} until {_shown(rule.until)}"))
    for key, date in (("warn_from", rule.warn_from), ("block_from", rule.block_from)):
        if date is not None:
            when = "before" if now < date.timestamp() else "not before"
            told.append((True, f"{at} is {when} {key} {_shown(date)}"))
    return told


def _said(words: Words, policy: Policy, sender: Sender, broad: bool) -> list[tuple[bool, str]]:
    """Return for each word whether it matches, and what it was held against."""
    told = []
    for word in CHECKS:
        values = getattr(words, word)
        if not values:
            continue
        if word in WHERE:
            told.append(_where(word, words, sender))
        elif word in _ABOUT_THE_REQUEST:
            told.append(_what_for(word, words, sender.request, broad, policy.paths_ignore_case))
        elif word == "credentials":
            shown = [
                name
                for name in words.credentials
                if sender.request.shows(policy.credentials[name], sender.now)
            ]
            had = f"shows {', '.join(shown)}, one" if shown else "shows none"
            told.append((bool(shown), f"the request {had} of credentials {_listed(values)}"))
        elif word in KEYS:
            told.append(_been(values, sender))
        else:
            for name, wanted in words.attributes:
                said = sender.request.says(name, wanted)
                text = f"attribute {name} {'is' if said else 'is not'} one of {_listed(wanted)}"
                told.append((said, text))
    return told


def _where(word: str, words: Words, sender: Sender) -> tuple[bool, str]:
    only = Where((Words(**{word: getattr(words, word)}),))
    matched = bool(only.location(sender.location) & only.labels(sender.labels))
    location = sender.location
    had = {
        "countries": f"country {location.country or f'none ({location.status})'}",
        "subdivisions": f"subdivision {location.subdivision or 'none'}",
        "continents": f"country {location.country or f'none ({location.status})'}",
        "categories": "categories "
        + (", ".join(f"{kind}:{sure}" for kind, sure in location.categories.items()) or "none"),
    }.get(word, "the address")
    values = getattr(words, word)
    if word == "categories":
        values = tuple(f"{kind}:{sure}" for kind, sure in values)
    return matched, f"{had} {'is' if matched else 'is not'} in {word} {_listed(values)}"


def _what_for(
    word: str, words: Words, request: Request, broad: bool, ignore_case: bool
) -> tuple[bool, str]:
    only = Words(**{word: getattr(words, word)})
    route = Routes((only,), ignore_case).find(request)
    matched = bool((route.broad if broad else route.strict) & 1)
    had = {
        "hosts": f"host {', '.join(request.hosts) or 'none'}",
        "paths": f"path {request.path}",
        "methods": f"method {request.method}",
        "protocols": f"protocol {request.protocol}",
    }[word]
    text = f"{had} {'is' if matched else 'is not'} in {word} {_listed(getattr(words, word))}"
    if word == "paths" and not is_normal(request.path, request.raw_path):
        how = "so only what blocks looks through it" if not broad else "which is looked through"
        text += f" (not in normal form, {how})"
    return matched, text


def _been(word: AccountWord, sender: Sender) -> tuple[bool, str]:
    request = sender.request
    matched = request.has_been(word, sender.now)
    if request.account is None:
        return matched, f"nobody was seen {_past(word)}"
    return matched, f"the account {'was' if matched else 'was not'} seen {_past(word)}"


def _past(word: AccountWord) -> str:
    """Return what a word says of an account's past."""
    if not isinstance(word, SeenIn):
        where = f"in more than {word.more_than} {'country' if word.more_than == 1 else 'countries'}"
    elif word.outside:
        where = f"outside {_listed(word.outside)}"
    else:
        where = f"in {_listed(word.countries)}" if word.countries else "in any country"
    through = f" through {_listed(word.categories)}" if word.categories else ""
    return f"{where}{through} within {length(word.within)}"


def _listed(values: Collection[object]) -> str:
    """Return values in brackets, not more than anybody reads; those of a set in order."""
    texts = [str(value) for value in values]
    if isinstance(values, frozenset):
        texts.sort()
    more = len(texts) - _MOST_SHOWN
    return f"[{', '.join(texts[:_MOST_SHOWN])}{f', … {more} more' if more > 0 else ''}]"


def _shown(date: datetime) -> str:
    return date.isoformat().replace("+00:00", "Z")
