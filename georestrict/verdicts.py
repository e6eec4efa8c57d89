"""Verdicts: a policy, evaluated for whatever of an address it can tell apart.

Every rule, and every exception of one, is a condition with a bit of its own. Which conditions match
where an address is from is a mask, found before the first request for each location, and for the
lists and networks that hold it::

    where from ─► mask ─┬─► Tally: the decision, whatever the request
                        └─► Program ─ route ─┬─► Tally: the decision for this route
                                             └─► Steps: what depends on time or sender

A program is evaluated once for each route (``routes.py``). What is left for a request are the rules
with dates, credentials, attributes, or words about the account's past.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from georestrict._core import Tally
from georestrict.decision import Code, Decision, Reason
from georestrict.groups import continent_of
from georestrict.labels import AsnLabel, Label, LabelSets, ListLabel, NetworksLabel
from georestrict.location import Location, Status
from georestrict.masks import Index, bits
from georestrict.networks import ANONYMOUS, Confidence
from georestrict.policy import Action, Fallback, Policy, Rule, Words
from georestrict.policy.accounts import category_of
from georestrict.policy.words import whole_families
from georestrict.request import Request
from georestrict.routes import Route, Routes
from georestrict.subdivisions import spellings


class Verdicts:
    """A policy's verdicts; equal decisions share one of the ``tallies``, which outlive it."""

    def __init__(self, policy: Policy, tallies: dict[Decision, Tally]) -> None:
        self._policy, self._tallies = policy, tallies
        self._conditions = policy.conditions
        self._rules = {
            at: words for at, words in enumerate(self._conditions) if isinstance(words, Rule)
        }
        self._rule_bits = sum(1 << at for at in self._rules)
        self.routes = Routes(self._conditions, policy.paths_ignore_case)
        self._where = Where(self._conditions)
        self._about_accounts = [word for words in self._conditions for word in words.about_accounts]
        self._certain = sum(1 << at for at in self._rules if self._decides(at))
        self._known: dict[tuple[object, ...], Tally] = {}
        self.failure = self._tally(Judged(Location()), Reason.ERROR, Action.BLOCK)
        self.preflight = self._tally(Judged(Location()), Reason.PREFLIGHT, Action.ALLOW)

    def matching_location(self, location: Location) -> int:
        """Return the conditions whose words about the location match."""
        return self._where.location(location)

    def matching_labels(self, labels: frozenset[Label]) -> int:
        """Return the conditions whose words about lists, networks and AS numbers match."""
        return self._where.labels(labels)

    @property
    def asks_accounts(self) -> bool:
        """Whether a rule or an exception asks where accounts have been."""
        return bool(self._about_accounts)

    def sighting(self, location: Location) -> tuple[str, str] | None:
        """Return what a request from a location shows of its account: a country and a category.

        None if no rule asks for that: then it need not be kept.
        """
        if location.country is None or not self._about_accounts:
            return None
        seen = location.country, category_of(location.categories)
        return seen if any(word.asks_for(*seen) for word in self._about_accounts) else None

    def matching_each(self, sets: LabelSets) -> Iterator[int]:
        """Yield what ``matching_labels`` returns for each of many sets."""
        return self._where.each(sets)

    def telling(self, matching: int) -> int:
        """Return those of the matching conditions that can tell: up to a rule that decides.

        So 100 lists with a rule each give a hundred verdicts, and not one for each overlap.
        """
        first = matching & self._certain
        return matching & ((first & -first) << 1) - 1 if first else matching

    def _decides(self, at: int) -> bool:
        """Return whether a rule decides whenever it matches where from."""
        step = None if self._rules[at].unless else self._step(at, 1 << at, None)
        return step is not None and not step.depends and step.rule.action is not Action.COUNT

    def of(self, matching: int, location: Location, stale: tuple[str, ...] = ()) -> Verdict:
        """Return the verdict for a location and the conditions that match where from.

        ``stale`` names what of the location is too old; every decision tells it.
        """
        where = Judged(location, stale)
        counted: tuple[str, ...] = ()
        for at in bits(matching & self._rule_bits):
            step = self._step(at, matching, None)
            if step is None:
                continue
            if step.depends:
                return Program(matching, *where)
            if step.rule.action is Action.COUNT:
                counted = (*counted, step.rule.name)
                continue
            return self._decided(step.rule, step.rule.actions[0], where, counted)
        return self._without_rule(where, counted)

    def for_route(self, program: Program, route: Route) -> Tally | Steps:
        """Return what a program says to a route; found once, unless there are too many routes."""
        outcome = program.outcomes.get(route.number)
        if outcome is None:
            outcome = self._evaluated(program, route)
            if route.number is not None:
                program.outcomes[route.number] = outcome
        return outcome

    def _evaluated(self, program: Program, route: Route) -> Tally | Steps:
        steps: list[_Step] = []
        counted: tuple[str, ...] = ()
        candidates = program.matching & self._rule_bits & route.broad  # strictly implies broadly
        for at in bits(candidates):
            step = self._step(at, program.matching, route)
            if step is None:
                continue
            if not steps and not step.depends:
                if step.rule.action is not Action.COUNT:
                    action = step.rule.actions[0]
                    return self._decided(step.rule, action, program.where, counted)
                counted = (*counted, step.rule.name)
                continue
            steps.append(step)
            if not step.depends and step.rule.action is not Action.COUNT:
                break
        if not steps:
            return self._without_rule(program.where, counted)
        return Steps(tuple(steps), counted)

    def _step(self, at: int, matching: int, route: Route | None) -> _Step | None:
        """Return what is left to ask of a rule that matches where from; None if it cannot match.

        Without a route, what the request is for is left, too.
        """
        rule = self._rules[at]
        strict = route is None or bool(route.strict >> at & 1)
        if not strict and Action.BLOCK not in rule.actions:
            return None
        depends = rule.depends_on_time or rule.says_who
        depends = depends or (route is None and bool(self.routes.asking >> at & 1))
        exceptions = []
        for place, words in enumerate(rule.unless, at + 1):
            if not matching >> place & 1 or (route is not None and not route.strict >> place & 1):
                continue
            asks = route is None and self.routes.asking >> place & 1
            if not (asks or words.says_who):
                return None
            exceptions.append(words)
            depends = True
        return _Step(rule, strict, tuple(exceptions), depends)

    def run(self, program: Program, steps: Steps, request: Request, now: float) -> Tally:
        """Return what decides about a request at a time, by what is left to ask of it."""
        counted = steps.counted
        for step in steps.steps:
            rule = step.rule
            action = rule.action_at(now)
            if action is None or not (step.strict or action is Action.BLOCK):
                continue
            if not self.sent_by(rule, request, now):
                continue
            if any(self.sent_by(words, request, now) for words in step.exceptions):
                continue
            if action is Action.COUNT:
                counted = (*counted, rule.name)
                continue
            return self._decided(rule, action, program.where, counted)
        return self._without_rule(program.where, counted)

    def sent_by(self, words: Words, request: Request, now: float) -> bool:
        """Return whether words about who sends a request match."""
        credentials = self._policy.credentials
        if words.credentials and not any(
            request.shows(credentials[name], now) for name in words.credentials
        ):
            return False
        for attribute, values in words.attributes:
            if not request.says(attribute, values):
                return False
        seen, many = words.account_seen_in, words.account_countries
        return (seen is None or request.has_been(seen, now)) and (
            many is None or request.has_been(many, now)
        )

    @property
    def known(self) -> tuple[Tally, ...]:
        """The tallies that there are so far of this policy's decisions."""
        return tuple(self._known.values())

    def softened(self, decision: Decision) -> Tally:
        """Return a block as the warning that the emergency switch makes of it."""
        softened = replace(
            decision,
            action=Action.WARN,
            would=Action.BLOCK,
            emergency=True,
            location=Location(country=decision.country, status=decision.location.status),
        )
        return self._tallies.setdefault(softened, Tally(softened))

    def _decided(
        self, rule: Rule, action: Action, where: Judged, counted: tuple[str, ...]
    ) -> Tally:
        return self._tally(where, _reason(rule), action, rule, counted)

    def _without_rule(self, where: Judged, counted: tuple[str, ...]) -> Tally:
        status = where.location.status
        if status is Status.KNOWN:
            return self._tally(where, Reason.DEFAULT, self._policy.default, None, counted)
        action = self._policy.fallback[Fallback(status.value)]
        return self._tally(where, Reason(status.value), action, None, counted)

    def _tally(
        self,
        where: Judged,
        reason: Reason,
        action: Action,
        rule: Rule | None = None,
        counted: tuple[str, ...] = (),
    ) -> Tally:
        """Return what counts a decision, as the policy's mode has it; each is made once."""
        name = None if rule is None else rule.name
        location, stale = where
        key = location.country, location.status, reason, action, name, counted, stale
        tally = self._known.get(key)
        if tally is None:
            enforced = not self._policy.dry_run
            warning = rule if action is Action.WARN else None
            decision = Decision(
                action=action if enforced else Action.ALLOW,
                reason=reason,
                rule=name,
                country=location.country,
                code=None if action is Action.ALLOW else _code(reason, rule),
                would=None if enforced else action,
                response=None if rule is None or action is Action.ALLOW else rule.response,
                warn_from=None if warning is None else warning.warn_from,
                block_from=None if warning is None else warning.block_from,
                counted=counted,
                stale=stale,
                location=Location(country=location.country, status=location.status),
            )
            tally = self._tallies.setdefault(decision, Tally(decision))
            self._known[key] = tally
        return tally


class Where:
    """Which conditions match where an address is from, word by word."""

    def __init__(self, conditions: tuple[Words, ...]) -> None:
        self._countries = Index(words.countries for words in conditions)
        self._subdivisions = Index(
            [spelled for code in words.subdivisions for spelled in spellings(code)]
            for words in conditions
        )
        self._continents = Index(words.continents for words in conditions)
        self._categories = Index(words.categories for words in conditions)
        self._lists = Index([ListLabel(name) for name in words.lists] for words in conditions)
        self._networks = Index(
            [NetworksLabel(words.networks)] if words.networks and not words.anywhere else []
            for words in conditions
        )
        self._anywhere = Index([True] if words.anywhere else [] for words in conditions)
        self._asns = Index([AsnLabel(number) for number in words.asns] for words in conditions)
        self._count = len(conditions)

    def location(self, location: Location) -> int:
        """Return the conditions whose words about the location match."""
        country = location.country
        continent = continent_of(country) if country is not None else None
        had = [
            (category, least)
            for category, confidence in location.categories.items()
            for least in Confidence
            if least.rank <= confidence.rank
        ]
        return (
            self._countries.of((country,))
            & self._subdivisions.of((location.subdivision,))
            & self._continents.of((continent,))
            & self._categories.of(had)
            & self._anywhere.of([location.status is not Status.UNRESOLVED])
        )

    def labels(self, labels: frozenset[Label]) -> int:
        """Return the conditions whose words about lists, networks and AS numbers match."""
        return self._lists.of(labels) & self._networks.of(labels) & self._asns.of(labels)

    def each(self, sets: LabelSets) -> Iterator[int]:
        """Yield what ``labels`` returns for each of many sets: the three words side by side."""
        count, every = self._count, (1 << self._count) - 1

        def beside(labels: Iterable[Label]) -> int:
            words = self._lists, self._networks, self._asns
            return sum(word.of(labels) << count * at for at, word in enumerate(words))

        always = beside(())
        for union in sets.unions([beside((label,)) for label in sets.labels]):
            mask = union | always
            yield mask & mask >> count & mask >> 2 * count & every


class Judged(NamedTuple):
    """Where from, as rules see it, and the names of what of it is too old."""

    location: Location
    stale: tuple[str, ...] = ()


@dataclass(slots=True)
class Program:
    """For a class whose decision depends on the request: the conditions that match where from."""

    matching: int
    location: Location
    stale: tuple[str, ...] = ()
    outcomes: dict[int | None, Tally | Steps] = field(default_factory=dict)  #: by route

    @property
    def where(self) -> Judged:
        """Where from, and what of it is too old."""
        return Judged(self.location, self.stale)


@dataclass(frozen=True, slots=True)
class _Step:
    """A rule that decides if it matches; ``exceptions`` are those that the sender could meet."""

    rule: Rule
    strict: bool  #: whether it matches as what lets through does, too
    exceptions: tuple[Words, ...]
    depends: bool  #: on what is not known yet


@dataclass(frozen=True, slots=True)
class Steps:
    """For a program and a route: the rules to try in turn, and those that have counted before."""

    steps: tuple[_Step, ...]
    counted: tuple[str, ...]


Verdict = Tally | Program


def _reason(rule: Rule) -> Reason:
    if rule.about_accounts:
        return Reason.ACCOUNT
    if rule.categories:
        return Reason.CATEGORY
    if _names_countries(rule):
        return Reason.COUNTRY
    if rule.lists or rule.asns or (rule.networks and not whole_families(rule.networks)):
        return Reason.NETWORK
    # everywhere, but for what is excepted
    if any(_names_countries(words) for words in rule.unless):
        return Reason.COUNTRY
    return Reason.NETWORK if rule.networks else Reason.REQUEST


def _names_countries(words: Words) -> bool:
    return bool(words.countries or words.subdivisions or words.continents)


def _code(reason: Reason, rule: Rule | None) -> Code:
    if reason is Reason.CATEGORY and rule is not None:
        anonymous = any(category in ANONYMOUS for category, _ in rule.categories)
        return Code.ANONYMOUS if anonymous else Code.NETWORK
    return {
        Reason.NETWORK: Code.NETWORK,
        Reason.ACCOUNT: Code.ACCOUNT,
        Reason.PRIVATE: Code.NETWORK,
        Reason.UNRESOLVED: Code.UNRESOLVED,
        Reason.NO_DATA: Code.NO_LOCATION,
        Reason.ERROR: Code.NO_LOCATION,
    }.get(reason, Code.COUNTRY)
