"""Judging kinds of requests instead of single ones: what some rule asks for, and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import combinations, islice, product
from math import comb, inf
from typing import Any, NamedTuple

from georestrict._core import Tally
from georestrict.decision import Decision
from georestrict.labels import Label
from georestrict.location import Location
from georestrict.policy import Policy, Rule, Words
from georestrict.policy.checks import PROTOCOLS
from georestrict.request import Request
from georestrict.routes import Route
from georestrict.verdicts import Program, Steps, Verdicts

_FAR = "/…"  # a path that no pattern of a policy names
_OTHER = "…"  # a method that no rule names
_MOST_TRIED = 20_000  # combinations of what rules ask
_MOST_KINDS = 1_000  # combinations that some rule tells apart from the others


class Asked(NamedTuple):
    """A kind of request: what some rule asks for, and one that no rule does."""

    path: str = _FAR
    method: str = "GET"
    host: str = ""
    protocol: str = "http"
    credentials: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return it as a line of a request, with who sends it."""
        method = "any other method" if self.method == _OTHER else self.method
        words = ["" if self.protocol == "http" else self.protocol, method]
        words.append(f"{self.host}{'any other path' if self.path == _FAR else self.path}")
        words += [f"with {name}" for name in self.credentials]
        words += [f"{name}={value}" for name, value in self.attributes]
        return " ".join(filter(None, words))


class Judge:
    """One policy, asked by location and labels; classes that it does not tell apart share."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._verdicts = Verdicts(policy, {})
        self._known: dict[tuple[object, ...], Tally | Program] = {}
        self._requests: dict[Asked, tuple[Request, Route]] = {}
        self._by_sender = [
            words for words in policy.conditions if words.credentials or words.attributes
        ]

    def matching(self, location: Location, labels: frozenset[Label]) -> int:
        """Return the conditions that match where from, as a mask."""
        verdicts = self._verdicts
        return verdicts.matching_location(location) & verdicts.matching_labels(labels)

    def decide(self, matching: int, location: Location, asked: Asked, at: float) -> Decision:
        """Return what the policy says at a time to a request from where some conditions match."""
        verdict = self._verdict(matching, location)
        if not isinstance(verdict, Tally):
            request, route = self._sent(asked)
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
        sent = sum(
            self._verdicts.sent_by(words, request, -inf) << at
            for at, words in enumerate(self._by_sender)
        )
        return route.strict, route.broad, sent

    def _verdict(self, matching: int, location: Location) -> Tally | Program:
        key = (matching, location.country, location.status)
        verdict = self._known.get(key)
        if verdict is None:
            self._known[key] = verdict = self._verdicts.of(matching, location)
        return verdict

    def _sent(self, asked: Asked) -> tuple[Request, Route]:
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
    """A request of a kind."""

    __slots__ = ("_shown",)

    def __init__(self, asked: Asked, policy: Policy) -> None:
        attributes = dict(asked.attributes)
        super().__init__(
            asked.path, None, asked.method, asked.protocol, (), asked.host, lambda: attributes
        )
        self._shown = [
            policy.credentials[name] for name in asked.credentials if name in policy.credentials
        ]

    def shows(self, credential: object, now: float) -> bool:
        return any(
            credential == one and (one.until is None or now < one.until.timestamp())
            for one in self._shown
        )


def asked_by(policy: Policy) -> Iterator[Asked]:
    """Yield a request for every path, method, host, protocol and sender that a rule asks for."""
    for words in policy.conditions:
        for stated in _stated(words):
            yield Asked(**stated)


class Kinds(NamedTuple):
    """Kinds of requests that policies tell apart, and how many combinations were not tried."""

    asked: list[Asked]
    left: int


def kinds_of(policies: Sequence[Policy], judges: Sequence[Judge]) -> Kinds:
    """Return what rules ask for alone, and what they ask for together where that differs.

    A rule's words are combined with those of its exceptions first, then what any two words ask for,
    then what all do; that ends where there are too many.
    """
    single = (asked for policy in policies for asked in asked_by(policy))
    kinds = list(dict.fromkeys([Asked(), *single]))
    known = {tuple(judge.told_apart(asked) for judge in judges) for asked in kinds}
    tried, most = set(kinds), len(kinds) + _MOST_KINDS
    every, total, cut = _combined(policies)
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


def _combined(policies: Sequence[Policy]) -> tuple[Iterator[Asked], int, int]:
    """Return what rules ask for together, how many that is, and how many senders are left out."""
    values: dict[str, dict[Any, None]] = {
        word: {usual: None} for word, usual in Asked()._asdict().items() if word in _WHAT_FOR
    }
    senders: dict[tuple[Any, Any], None] = {((), ()): None}
    for policy in policies:
        for words in policy.conditions:
            for stated in _stated(words):
                for word in stated.keys() & values.keys():
                    values[word][stated[word]] = None
                senders[stated.get("credentials", ()), stated.get("attributes", ())] = None
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
                    for first, second in product(_stated(rule), _stated(exception)):
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
    credentials, attributes = choice.pop("sender", ((), ()))
    return Asked(**choice, credentials=credentials, attributes=attributes)


def _merged(one: dict[str, Any], two: dict[str, Any]) -> Asked:
    """Return what both ask for; where they differ, what the first does."""
    senders = [(each.get("credentials", ()), each.get("attributes", ())) for each in (one, two)]
    credentials, attributes = _both(*senders)
    return Asked(**(two | one | {"credentials": credentials, "attributes": attributes}))


def _both(one: tuple[Any, Any], two: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return a sender who shows and is what two senders do; where they differ, the first."""
    credentials = tuple(dict.fromkeys((*one[0], *two[0])))
    return credentials, tuple(sorted((dict(two[1]) | dict(one[1])).items()))


def _stated(words: Words | Rule) -> Iterator[dict[str, Any]]:
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
    if words.credentials or attributes:
        shown = words.credentials[:1]
        senders.append({"credentials": shown, "attributes": attributes})
        for name in words.credentials[1:]:
            senders.append({"credentials": (name,), "attributes": attributes})
        for name, values in words.attributes:
            for value in sorted(values)[1:]:
                other = tuple((key, value if key == name else had) for key, had in attributes)
                senders.append({"credentials": shown, "attributes": other})
    for sender in senders:
        yield first | sender
        for word, each in what_for.items():
            for value in each[1:]:
                yield first | sender | {word: value}
