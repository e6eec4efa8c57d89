"""Judging kinds of requests instead of single ones: what some rule asks for, and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import combinations, islice, product
from math import comb, inf
from typing import Any, NamedTuple

from georestrict._core import Tally
from georestrict.countries import NAMES
from georestrict.decision import Decision
from georestrict.labels import Label
from georestrict.location import Location
from georestrict.policy import Policy, Rule, Words
from georestrict.policy.accounts import AccountWord
from georestrict.policy.checks import PROTOCOLS, length
from georestrict.request import Request
from georestrict.routes import Route
from georestrict.trial.past import SOMEBODY, Place, supposed
from georestrict.verdicts import Program, Steps, Verdicts

_FAR = "/…"  # a path that no pattern of a policy names
_OTHER = "…"  # a method that no rule names
_MOST_TRIED = 20_000  # combinations of what rules ask
_MOST_SHOWN = 4  # places of a past
_MOST_KINDS = 1_000  # combinations that some rule tells apart from the others


#: Where an account was, and how long ago: ``(("CN", 14 days), ("IR:hosting", 1 day))``.
Seen = tuple[tuple[str, timedelta], ...]


class Asked(NamedTuple):
    """A kind of request: what some rule asks for, and one that no rule does."""

    path: str = _FAR
    method: str = "GET"
    host: str = ""
    protocol: str = "http"
    credentials: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    seen: Seen | None = None  #: where its account was; None if nobody sends it

    def __str__(self) -> str:
        """Return it as a line of a request, with who sends it."""
        method = "any other method" if self.method == _OTHER else self.method
        words = ["" if self.protocol == "http" else self.protocol, method]
        words.append(f"{self.host}{'any other path' if self.path == _FAR else self.path}")
        words += [f"with {name}" for name in self.credentials]
        words += [f"{name}={value}" for name, value in self.attributes]
        if self.seen is not None:
            words.append(f"of an account{_written(self.seen)}")
        return " ".join(filter(None, words))


class Judge:
    """One policy, asked by location and labels; classes that it does not tell apart share."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._verdicts = Verdicts(policy, {})
        self._known: dict[tuple[object, ...], Tally | Program] = {}
        self._requests: dict[Asked, tuple[_Sent, Route]] = {}
        self._by_sender = [words for words in policy.conditions if words.says_who]

    def matching(self, location: Location, labels: frozenset[Label]) -> int:
        """Return the conditions that match where from, as a mask."""
        verdicts = self._verdicts
        return verdicts.matching_location(location) & verdicts.matching_labels(labels)

    def sighting(self, location: Location) -> tuple[str, str] | None:
        """Return what a request from there shows of its account, if a rule asks for that."""
        return self._verdicts.sighting(location)

    def decide(self, matching: int, location: Location, asked: Asked, at: float) -> Decision:
        """Return what the policy says at a time to a request from where some conditions match."""
        verdict = self._verdict(matching, location)
        if not isinstance(verdict, Tally):
            request, route = self._sent(asked)
            request.here = self._verdicts.sighting(location)
            outcome = self._verdicts.for_route(verdict, route)
            if not isinstance(outcome, Tally):
                outcome = self._verdicts.run(verdict, outcome, request, at)
            verdict = outcome
        decision: Decision = verdict.decision
        return decision

    def dates(self, matching: int, location: Location, asked: Asked | Request) -> set[datetime]:
        """Return the times at which what it says to such a request may change."""
        verdict = self._verdict(matching, location)
        if isinstance(verdict, Tally):
            return set()
        if isinstance(asked, Request):
            route = self._verdicts.routes.find(asked)
        else:
            route = self._sent(asked)[1]
        outcome = self._verdicts.for_route(verdict, route)
        return _dates(outcome, self._policy) if isinstance(outcome, Steps) else set()

    def told_apart(self, asked: Asked) -> tuple[int, ...]:
        """Return which conditions such a request meets; nothing else of it decides."""
        request, route = self._sent(asked)
        request.here = None
        sent = sum(
            self._verdicts.sent_by(words, request, -inf) << at
            for at, words in enumerate(self._by_sender)
        )
        return route.strict, route.broad, sent, asked.seen is not None

    def _verdict(self, matching: int, location: Location) -> Tally | Program:
        key = (matching, location.country, location.status)
        verdict = self._known.get(key)
        if verdict is None:
            self._known[key] = verdict = self._verdicts.of(matching, location)
        return verdict

    def _sent(self, asked: Asked) -> tuple[_Sent, Route]:
        sent = self._requests.get(asked)
        if sent is None:
            request = _Sent(asked, self._policy)
            self._requests[asked] = sent = request, self._verdicts.routes.find(request)
        return sent


def _dates(steps: Steps, policy: Policy) -> set[datetime]:
    """Return the times at which what is left to ask of a request may be answered otherwise."""
    dates = set()
    for step in steps.steps:
        rule = step.rule
        names = {name for words in (rule, *step.exceptions) for name in words.credentials}
        ends = (policy.credentials[name].until for name in names)
        dates |= {rule.warn_from, rule.block_from, rule.until, *ends}
    return {date for date in dates if date is not None}


class _Sent(Request):
    """A request of a kind; ``here`` is what it shows of its account."""

    __slots__ = ("_seen", "_shown", "here")

    def __init__(self, asked: Asked, policy: Policy) -> None:
        attributes = dict(asked.attributes)
        super().__init__(
            asked.path, None, asked.method, asked.protocol, (), asked.host, lambda: attributes
        )
        self._shown = [
            policy.credentials[name] for name in asked.credentials if name in policy.credentials
        ]
        self._seen = asked.seen
        self.here: Place | None = None

    def has_been(self, word: AccountWord, now: float) -> bool:
        if self._seen is None:
            return False
        now = max(now, 0.0)  # its past is told by how long ago, also before every date
        past = supposed(self._seen, now)
        if self.here is not None:
            past.saw(SOMEBODY, *self.here, now)
        return word.holds(past, SOMEBODY, now)

    def shows(self, credential: object, now: float) -> bool:
        return any(
            credential == one and (one.until is None or now < one.until.timestamp())
            for one in self._shown
        )


def asked_by(policy: Policy, countries: Sequence[str] | None = None) -> Iterator[Asked]:
    """Yield a request for every path, method, host, protocol and sender that a rule asks for.

    ``countries`` are where accounts may have been; those that the policy tells apart if left out.
    """
    if countries is None:
        countries = _countries_apart((policy,))
    for words in policy.conditions:
        for stated in _stated(words, countries):
            yield Asked(**stated)


def _countries_apart(policies: Sequence[Policy]) -> list[str]:
    """Return a country of each kind that words about accounts tell apart."""
    asked = [
        words.account_seen_in.asked
        for policy in policies
        for words in policy.conditions
        if words.account_seen_in is not None
    ]
    kinds: dict[tuple[bool, ...], str] = {}
    for country in sorted(NAMES):
        kinds.setdefault(tuple(country in each for each in asked), country)
    return list(kinds.values())


class Kinds(NamedTuple):
    """Kinds of requests that policies tell apart, and how many combinations were not tried."""

    asked: list[Asked]
    left: int


def kinds_of(policies: Sequence[Policy], judges: Sequence[Judge]) -> Kinds:
    """Return what rules ask for alone, and what they ask for together where that differs.

    A rule's words are combined with those of its exceptions first, then what any two words ask for,
    then what all do; that ends where there are too many.
    """
    countries = _countries_apart(policies)
    single = (asked for policy in policies for asked in asked_by(policy, countries))
    kinds = list(dict.fromkeys([Asked(), *single]))
    known = {tuple(judge.told_apart(asked) for judge in judges) for asked in kinds}
    tried, most = set(kinds), len(kinds) + _MOST_KINDS
    every, total, cut = _combined(policies, countries)
    for asked in every:
        if len(tried) >= _MOST_TRIED or len(kinds) >= most:
            return Kinds(kinds, max(total - len(tried), 1) + cut)
        if asked in tried:
            continue
        tried.add(asked)
        met = tuple(judge.told_apart(asked) for judge in judges)
        if met not in known:
            known.add(met)
            kinds.append(asked)
    return Kinds(kinds, cut)


def _combined(
    policies: Sequence[Policy], countries: Sequence[str]
) -> tuple[Iterator[Asked], int, int]:
    """Return what rules ask for together, how many that is, and how many senders are left out."""
    values: dict[str, dict[Any, None]] = {
        word: {usual: None} for word, usual in Asked()._asdict().items() if word in _WHAT_FOR
    }
    senders: dict[_Sender, None] = {_sender({}): None}
    for policy in policies:
        for words in policy.conditions:
            for stated in _stated(words, countries):
                for word in stated.keys() & values.keys():
                    values[word][stated[word]] = None
                senders[_sender(stated)] = None
    if any(words.methods for policy in policies for words in policy.conditions):
        values["method"][_OTHER] = None
    if any(words.protocols for policy in policies for words in policy.conditions):
        values["protocol"] |= dict.fromkeys(sorted(PROTOCOLS))
    choices: dict[str, list[Any]] = {word: list(each) for word, each in values.items()}
    pairs = islice(combinations(senders, 2), _MOST_KINDS)
    choices["sender"] = [*senders, *(_both(one, two) for one, two in pairs)]
    total = 1
    for each in choices.values():
        total *= len(each)
    cut = max(comb(len(senders), 2) - _MOST_KINDS, 0)

    def every() -> Iterator[Asked]:
        for policy in policies:
            for rule in policy.rules:
                for exception in rule.unless:
                    for first, second in product(
                        _stated(rule, countries), _stated(exception, countries)
                    ):
                        yield _merged(first, second)
                        yield _merged(second, first)
        for one, two in combinations(choices, 2):
            for first, second in product(choices[one], choices[two]):
                yield _asked({one: first, two: second})
        for each in product(*choices.values()):
            yield _asked(dict(zip(choices, each, strict=True)))

    return every(), total, cut


_WHAT_FOR = ("path", "method", "host", "protocol")


def _asked(choice: dict[str, Any]) -> Asked:
    sender: _Sender = choice.pop("sender", _sender({}))
    return Asked(**choice, **sender._asdict())


def _merged(one: dict[str, Any], two: dict[str, Any]) -> Asked:
    """Return what both ask for; where they differ, what the first does."""
    return Asked(**(two | one | _both(_sender(one), _sender(two))._asdict()))


class _Sender(NamedTuple):
    credentials: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    seen: Seen | None


def _sender(stated: dict[str, Any]) -> _Sender:
    return _Sender(stated.get("credentials", ()), stated.get("attributes", ()), stated.get("seen"))


def _both(one: _Sender, two: _Sender) -> _Sender:
    """Return a sender who shows, is and was what two senders do; where they differ, the first."""
    pasts = [sender.seen for sender in (two, one) if sender.seen is not None]
    return _Sender(
        tuple(dict.fromkeys((*one.credentials, *two.credentials))),
        tuple(sorted((dict(two.attributes) | dict(one.attributes)).items())),
        tuple(dict(pair for past in pasts for pair in past).items()) if pasts else None,
    )


def _pasts(words: Words, countries: Sequence[str]) -> list[Seen]:
    """Return pasts that meet some words, by each of their values; and one without a sighting."""
    many = words.account_countries
    crowd: Seen = ()
    if many is not None:
        through = min(many.categories, default="")
        everywhere = sorted(NAMES)[: many.more_than + 1]
        crowd = tuple((_place(country, through), many.within) for country in everywhere)
    seen = words.account_seen_in
    if seen is None:
        return [crowd, ()] if crowd else []
    asked = [country for country in countries if not seen.asked or country in seen.asked]
    places = product(asked, sorted(map(str, seen.categories)) or [""])
    return [*(((_place(*place), seen.within), *crowd) for place in places), ()]


def _place(country: str, category: str) -> str:
    return f"{country}:{category}" if category else country


def _written(seen: Seen) -> str:
    """Write a past as a line of a request does."""
    if not seen:
        return " seen nowhere before"
    places = [place for place, _ in seen]
    shown = ", ".join(places) if len(places) <= _MOST_SHOWN else f"{len(places)} countries"
    ages = sorted({ago for _, ago in seen})
    return f" seen in {shown} {' and '.join(map(length, ages))} ago"


def _stated(words: Words | Rule, countries: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what some words ask of a request: each of their values, with a sender and without."""
    what_for = {
        "path": [pattern.replace("*", "…") for pattern in words.paths],
        "method": sorted(words.methods),
        "host": [host.replace("*", "…") for host in words.hosts],
        "protocol": sorted(words.protocols),
    }
    first = {word: each[0] for word, each in what_for.items() if each}
    senders: list[dict[str, Any]] = [{}]
    attributes = tuple((name, min(values)) for name, values in words.attributes)
    pasts = _pasts(words, countries)
    if words.says_who:
        usual = _Sender(words.credentials[:1], attributes, pasts[0] if pasts else None)
        found = [usual]
        found += [usual._replace(credentials=(name,)) for name in words.credentials[1:]]
        for name, values in words.attributes:
            for value in sorted(values)[1:]:
                other = tuple((key, value if key == name else had) for key, had in attributes)
                found.append(usual._replace(attributes=other))
        found += [usual._replace(seen=past) for past in pasts[1:]]
        senders += [sender._asdict() for sender in found]
    for sender in senders:
        yield first | sender
        for word, each in what_for.items():
            for value in each[1:]:
                yield first | sender | {word: value}
