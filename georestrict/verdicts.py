"""Verdicts: a policy, evaluated for whatever of an address it can tell apart.

The rules that match where an address is from are a bit mask, bit ``i`` for ``policy.rules[i]``: of
the address's location, and of the lists and networks that hold it. Both are found before the first
request. A verdict is then the decision, or a short program where that depends on the path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from georestrict._core import Tally
from georestrict.decision import Code, Decision, Reason
from georestrict.lists import Label, ListLabel, RuleLabel
from georestrict.location import Location, Status
from georestrict.networks import ANONYMOUS
from georestrict.paths import PathPatterns
from georestrict.policy import Action, Fallback, Policy, Rule


class Verdicts:
    """A policy's verdicts; equal decisions share one of the ``tallies``, which outlive it."""

    def __init__(self, policy: Policy, tallies: dict[Decision, Tally]) -> None:
        self._policy, self._tallies = policy, tallies
        patterns = list(dict.fromkeys(path for rule in policy.rules for path in rule.paths))
        self.paths = PathPatterns(patterns)  #: of all rules
        self._masks = {
            rule.name: sum(1 << patterns.index(path) for path in set(rule.paths))
            for rule in policy.rules
        }
        self._asking_lists = _masks_by(
            (ListLabel(name), at) for at, rule in enumerate(policy.rules) for name in rule.lists
        )
        self._asking_networks = _masks_by(
            (RuleLabel(rule.name), at) for at, rule in enumerate(policy.rules) if rule.networks
        )
        self._without_lists = _mask(at for at, rule in enumerate(policy.rules) if not rule.lists)
        self._without_networks = _mask(
            at for at, rule in enumerate(policy.rules) if not rule.networks
        )
        self.failure = self._enforced(Action.BLOCK, Reason.ERROR, None, Location())

    def of(self, matching: int, location: Location) -> Verdict:
        """Evaluate the policy: of the rules that match where from, the first one decides."""
        steps: list[_Step] = []
        for at, rule in enumerate(self._policy.rules):
            if not matching >> at & 1:
                continue
            tally = self._enforced(rule.action, _reason(rule), rule, location)
            if not rule.paths:
                break
            steps.append(_Step(self._masks[rule.name], rule.action is Action.BLOCK, tally))
        else:
            tally = self._without_rule(location)
        return Program(tuple(steps), tally) if steps else tally

    def matching_location(self, location: Location) -> int:
        """Return the rules whose words about the location match, as a bit mask."""
        rules = enumerate(self._policy.rules)
        return _mask(at for at, rule in rules if _matches_location(rule, location))

    def matching_labels(self, labels: frozenset[Label]) -> int:
        """Return the rules whose words about lists and networks match, as a bit mask."""
        by_lists, by_networks = self._without_lists, self._without_networks
        for label in labels:
            by_lists |= self._asking_lists.get(label, 0)
            by_networks |= self._asking_networks.get(label, 0)
        return by_lists & by_networks

    def _without_rule(self, location: Location) -> Tally:
        if location.status is Status.KNOWN:
            return self._enforced(self._policy.default, Reason.DEFAULT, None, location)
        action = self._policy.fallback[Fallback(location.status.value)]
        return self._enforced(action, Reason(location.status.value), None, location)

    def _enforced(
        self, action: Action, reason: Reason, rule: Rule | None, location: Location
    ) -> Tally:
        dry_run = self._policy.dry_run
        decision = Decision(
            action=Action.ALLOW if dry_run else action,
            reason=reason,
            rule=rule.name if rule else None,
            country=location.country,
            code=None if action is Action.ALLOW else _code(reason, rule),
            would=action if dry_run else None,
            location=Location(country=location.country, status=location.status),
        )
        return self._tallies.setdefault(decision, Tally(decision))


def _matches_location(rule: Rule, location: Location) -> bool:
    if rule.countries and location.country not in rule.countries:
        return False
    return not rule.categories or any(
        category in location.categories and location.categories[category].rank >= confidence.rank
        for category, confidence in rule.categories
    )


def _mask(places: Iterable[int]) -> int:
    return sum(1 << at for at in places)


def _masks_by(pairs: Iterable[tuple[Label, int]]) -> dict[Label, int]:
    masks: dict[Label, int] = {}
    for label, at in pairs:
        masks[label] = masks.get(label, 0) | 1 << at
    return masks


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
class Program:
    """For a class whose decision depends on the path: the rules to try, then what stands."""

    steps: tuple[_Step, ...]
    otherwise: Tally

    @property
    def is_private(self) -> bool:
        """Whether it is for addresses that are not globally reachable."""
        status: Status = self.otherwise.decision.location.status
        return status is Status.PRIVATE

    def run(self, strict: int, broad: int) -> Tally:
        """Return what decides for a path, by the masks of the patterns that it matches."""
        for step in self.steps:
            if step.mask & (broad if step.broadly else strict):
                return step.tally
        return self.otherwise


Verdict = Tally | Program
