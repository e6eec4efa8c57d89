"""A snapshot: one policy with its lists over one database, compiled into a table of decisions.

Every list and network of the policy is painted over the database's runs; each address then has a
class, and each class its decision, or a short program where the decision depends on the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from georestrict._core import BY_PATH, PLAIN, PLAIN_PRIVATE, SLOW, Answers, Passes, Tally
from georestrict.database import Database, Match, number_of, number_of_ip
from georestrict.decision import Code, Decision, Reason
from georestrict.lists import Label, ListLabel, Lists, RuleLabel
from georestrict.location import Location, Status
from georestrict.networks import ANONYMOUS
from georestrict.paths import PathPatterns
from georestrict.policy import Action, Fallback, Policy, Rule

Address = str | IPv4Address | IPv6Address


class Snapshot:
    """One policy with its lists over one database: everything that a decision needs."""

    def __init__(
        self, policy: Policy, database: Database, tallies: dict[Decision, Tally] | None = None
    ) -> None:
        self.policy, self.database = policy, database
        self._tallies = {} if tallies is None else tallies
        self._lists = Lists(policy, database)
        self._table, self._classes = self._lists.table, self._lists.classes
        patterns = list(dict.fromkeys(path for rule in policy.rules for path in rule.paths))
        self._paths = PathPatterns(patterns)
        self._masks = {
            rule.name: sum(1 << patterns.index(path) for path in set(rule.paths))
            for rule in policy.rules
        }
        # None: the class's IPv6 addresses carry an IPv4 address, and are decided by the pair
        entries = [
            None
            if database.looked_through[number]
            else self._entry(database.classes[number], labels)
            for number, labels in self._classes
        ]
        unresolved = self._entry(Location(status=Status.UNRESOLVED), frozenset())
        self._entries, self._unresolved = entries, unresolved
        self._at = Answers(self._table, entries, unresolved, bytes(len(entries))).at
        self.passes = self._passes(entries)
        self._pairs: dict[tuple[int, int | None], Tally | _Program] = {}
        self.failure = self._enforced(Action.BLOCK, Reason.ERROR, None, Location())

    def _passes(self, entries: Sequence[Tally | _Program | None]) -> Passes:
        """Return what the gate may let through without asking: plain allows.

        A private peer may be a proxy that nobody declared, which only its headers tell.
        """
        marks = bytearray()
        tallies: list[Tally | None] = []
        by_path: list[list[Tally | None] | None] = []
        for entry, (number, _) in zip(entries, self._classes, strict=True):
            private = self.database.classes[number].status is Status.PRIVATE
            if isinstance(entry, Tally) and entry.decision.plain_allow:
                marks.append(PLAIN_PRIVATE if private else PLAIN)
            else:
                marks.append(BY_PATH if isinstance(entry, _Program) and not private else SLOW)
            tallies.append(entry if isinstance(entry, Tally) else None)
            by_path.append(entry.plain_by_route if isinstance(entry, _Program) else None)
        return Passes(self._table, bytes(marks), tallies, by_path, self._paths.routes)

    def decide(self, address: Address | None, path: str, raw_path: bytes | None) -> Decision:
        """Return the decision for an address and a path."""
        decision: Decision = self.tally(address, path, raw_path).decision
        return decision

    def tally(self, address: Address | None, path: str, raw_path: bytes | None) -> Tally:
        """Return the decision for an address and a path, with its count."""
        entry = self._unresolved if address is None else self._find(address)
        if isinstance(entry, Tally):
            return entry
        route, masks = self._paths.route(path, raw_path)
        tally = entry.run(*masks)
        if route is not None and tally.decision.plain_allow:
            entry.remember(route, tally)
        return tally

    def _find(self, address: Address) -> Tally | _Program:
        """Return what was prepared for an address: one lookup, but for those that carry another."""
        entry: Tally | _Program | None
        if isinstance(address, str):
            entry = self._at(address)
        else:
            entry = self._entries[self._table.find_value(*number_of_ip(address))]
        return self._look_through(address) if entry is None else entry

    def lookup(self, address: Address) -> Location:
        """Return what is known of an address, with the lists that hold it."""
        location = self.database.lookup(address)
        number = number_of(address)
        if number is None:
            return location
        labels = self._classes[self._table.find_value(*number)][1]
        inner = self._inner(*number)
        if inner is not None:
            labels |= self._classes[inner][1]
        names = frozenset(label.name for label in labels if isinstance(label, ListLabel))
        return replace(location, lists=names) if names else location

    def list_matches(self, address: Address) -> tuple[Match, ...]:
        """Return the lines of the policy's lists that hold an address, or the one it carries."""
        number = number_of(address)
        if number is None:
            return ()
        numbers = [number]
        carried = self.database.carried(*number)
        if carried is not None:
            numbers.append((4, carried))
        return tuple(self._lists.matches(numbers))

    def _inner(self, version: int, value: int) -> int | None:
        """Return the class of the IPv4 address that an IPv6 address is looked through to."""
        carried = self.database.carried(version, value)
        return None if carried is None else self._table.find_value(4, carried)

    def _look_through(self, address: Address) -> Tally | _Program:
        """Decide for an address that carries another: its country, and the lists of both."""
        number = number_of(address)
        if number is None:
            return self._unresolved
        outer, inner = self._table.find_value(*number), self._inner(*number)
        entry = self._pairs.get((outer, inner))
        if entry is None:
            base, labels = self._classes[outer]
            if inner is not None:
                base, inner_labels = self._classes[inner]
                labels |= inner_labels
            entry = self._pairs[outer, inner] = self._entry(self.database.classes[base], labels)
        return entry

    def _entry(self, location: Location, labels: frozenset[Label]) -> Tally | _Program:
        """Evaluate the policy for one class: the first rule that matches decides."""
        names = frozenset(label.name for label in labels if isinstance(label, ListLabel))
        if names:
            location = replace(location, lists=names)
        steps: list[_Step] = []
        for rule in self.policy.rules:
            if not _matches(rule, location, labels):
                continue
            tally = self._enforced(rule.action, _reason(rule), rule, location)
            if not rule.paths:
                break
            steps.append(_Step(self._masks[rule.name], rule.action is Action.BLOCK, tally))
        else:
            tally = self._without_rule(location)
        return _Program(tuple(steps), tally) if steps else tally

    def _without_rule(self, location: Location) -> Tally:
        if location.status is Status.KNOWN:
            return self._enforced(self.policy.default, Reason.DEFAULT, None, location)
        action = self.policy.fallback[Fallback(location.status.value)]
        return self._enforced(action, Reason(location.status.value), None, location)

    def _enforced(
        self, action: Action, reason: Reason, rule: Rule | None, location: Location
    ) -> Tally:
        dry_run = self.policy.dry_run
        decision = Decision(
            action=Action.ALLOW if dry_run else action,
            reason=reason,
            rule=rule.name if rule else None,
            country=location.country,
            code=None if action is Action.ALLOW else _code(reason, rule),
            would=action if dry_run else None,
            location=location,
        )
        return self._tallies.setdefault(decision, Tally(decision))


def _matches(rule: Rule, location: Location, labels: frozenset[Label]) -> bool:
    """Whether every word of a rule about where from matches a class."""
    if rule.countries and location.country not in rule.countries:
        return False
    if rule.networks and RuleLabel(rule.name) not in labels:
        return False
    if rule.lists and not any(name in location.lists for name in rule.lists):
        return False
    return not rule.categories or any(
        category in location.categories and location.categories[category].rank >= confidence.rank
        for category, confidence in rule.categories
    )


def _reason(rule: Rule) -> Reason:
    if rule.categories:
        return Reason.CATEGORY
    if rule.countries:
        return Reason.COUNTRY
    return Reason.NETWORK if rule.says_where else Reason.REQUEST


def _code(reason: Reason, rule: Rule | None) -> Code:
    if reason is Reason.CATEGORY and rule is not None:
        anonymous = any(category in ANONYMOUS for category, _ in rule.categories)
        return Code.ANONYMOUS if anonymous else Code.NETWORK
    return {
        Reason.NETWORK: Code.NETWORK,
        Reason.PRIVATE: Code.NETWORK,
        Reason.UNRESOLVED: Code.UNRESOLVED,
        Reason.NO_DATA: Code.NO_LOCATION,
        Reason.ERROR: Code.NO_LOCATION,
    }.get(reason, Code.COUNTRY)


@dataclass(frozen=True, slots=True)
class _Step:
    """A rule that decides if the path matches."""

    mask: int
    broadly: bool
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Program:
    """For a class whose decision depends on the path: the rules to try, then what stands."""

    steps: tuple[_Step, ...]
    otherwise: Tally
    plain_by_route: list[Tally | None] = field(default_factory=list, compare=False)

    def run(self, strict: int, broad: int) -> Tally:
        for step in self.steps:
            if step.mask & (broad if step.broadly else strict):
                return step.tally
        return self.otherwise

    def remember(self, route: int, tally: Tally) -> None:
        """Keep a plain allow for the gate."""
        while len(self.plain_by_route) <= route:
            self.plain_by_route.append(None)
        self.plain_by_route[route] = tally
