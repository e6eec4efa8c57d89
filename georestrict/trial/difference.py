"""What changes between two policies: which addresses get another action, for which requests.

Nothing is asked address by address. The lists and networks of both policies are painted over the
data at once, so every class of the table has one answer of each; then the classes are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from georestrict.age import Ages, changed_at
from georestrict.coverage import check_coverage
from georestrict.database import Database
from georestrict.extent import SPACE, SUBNET, sizes
from georestrict.labels import AsnLabel, Label, ListLabel, NetworksLabel
from georestrict.lists import Lists
from georestrict.location import Location, Status
from georestrict.policy import Action, Fallback, ListFile, Policy, Rule
from georestrict.trial.judge import Asked, Judge, kinds_of
from georestrict.trial.past import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Addresses for which a request gets another action.

    ``part`` names what distinguishes them, where not all of the country's addresses change.
    ``ipv6`` counts whole /64 networks, and ``ipv6_addresses`` those beside them, in smaller ones.
    """

    asked: str
    country: str  #: or the case: unknown, private, unresolved, no_data
    part: str
    before: Action
    after: Action
    ipv4: int
    ipv6: int
    ipv6_addresses: int = 0


class Differences(NamedTuple):
    """What changes, and how many combinations of what rules ask were not compared."""

    changes: list[Change]
    left: int


def differences(old: Policy, new: Policy, database: Database, at: float) -> Differences:
    """Return what changes, at a time in seconds since the epoch.

    IPv6 addresses that carry an IPv4 address are left out: they are judged as that one.

    Raises:
        ConfigurationError: if a list cannot be read, or the data lacks what a policy asks for.
    """
    for policy in (old, new):
        check_coverage(policy, database)
    classes = _measured(old, new, database, at)
    judges = Judge(old), Judge(new)
    requests, left = kinds_of((old, new), judges)
    alike = _alike(classes, judges)
    told: list[Change] = []
    for asked in requests:
        told += _changes(asked, classes, alike, judges, at)
    told = _joined(told, len(requests))
    before, after = (policy.fallback[Fallback.NO_DATA] for policy in (old, new))
    if before is not after:
        told.append(_nowhere("any request", "no_data", before, after))
    return Differences(told, left)


class _Class(NamedTuple):
    location: Location
    judged: tuple[Location, Location]  #: as the rules of the old policy see it, and of the new
    labels: tuple[frozenset[Label], frozenset[Label]]  #: those of the old policy, and the new
    parts: tuple[str, ...]
    ipv4: int
    ipv6: int  #: addresses


def _measured(old: Policy, new: Policy, database: Database, at: float) -> list[_Class]:
    """Return the classes that the data and both policies' lists and networks tell apart."""
    both = Policy(
        default=Action.ALLOW,
        lists={
            f"{which} {name}": ListFile(path=file.path, allow_empty=True)
            for which, policy in (("old", old), ("new", new))
            for name, file in policy.lists.items()
        },
        rules=_painted(old, new),
        place=f"{old.place}, {new.place}",
    )
    painted = Lists(both, database)
    measured = {version: sizes(painted.table.runs(version), version) for version in SPACE}
    stale_old, stale_new = (
        Ages(policy, database, changed_at(policy)).at(at) for policy in (old, new)
    )
    nobody = Location(status=Status.UNRESOLVED)
    classes = [_Class(nobody, (nobody, nobody), (frozenset(), frozenset()), (), 0, 0)]
    for number, (base, held) in enumerate(zip(painted.bases, painted.held, strict=True)):
        size4, size6 = measured[4][number], measured[6][number]
        if database.looked_through[base] or not (size4 or size6):
            continue
        location, labels = database.classes[base], painted.sets[held]
        classes.append(
            _Class(
                location,
                (stale_old.judged(location), stale_new.judged(location)),
                (
                    stale_old.seen(_seen(labels, "old ")),
                    stale_new.seen(_seen(labels, "new ")),
                ),
                _parts(location, labels),
                size4,
                size6,
            )
        )
    return classes


def _painted(old: Policy, new: Policy) -> tuple[Rule, ...]:
    """Return rules that name what is painted: networks and AS numbers of both policies."""
    conditions = (*old.conditions, *new.conditions)
    networks = dict.fromkeys(words.networks for words in conditions if words.networks)
    rules = [
        Rule(name=str(number), action=Action.COUNT, networks=each)
        for number, each in enumerate(networks)
    ]
    asns = frozenset(number for words in conditions for number in words.asns)
    return (*rules, Rule(name="asns", action=Action.COUNT, asns=asns)) if asns else tuple(rules)


def _seen(labels: frozenset[Label], which: str) -> frozenset[Label]:
    """Return the labels that one of the policies knows."""
    seen: set[Label] = set()
    for label in labels:
        if not isinstance(label, ListLabel):
            seen.add(label)
        elif label.name.startswith(which):
            seen.add(ListLabel(label.name.removeprefix(which)))
    return frozenset(seen)


def _parts(location: Location, labels: frozenset[Label]) -> tuple[str, ...]:
    names: set[str] = {f"{kind}:{sure}" for kind, sure in location.categories.items()}
    if location.subdivision is not None:
        names.add(location.subdivision)
    for label in labels:
        if isinstance(label, ListLabel):
            names.add(f"list {label.name.partition(' ')[2]}")
        elif isinstance(label, AsnLabel):
            names.add(f"AS{label.number}")
        elif isinstance(label, NetworksLabel):
            more = "" if len(label.networks) == 1 else f" and {len(label.networks) - 1} more"
            names.add(f"{label.networks[0]}{more}")
    return tuple(sorted(names))


# What both policies' conditions match, whether they see a country, and what they keep of accounts.
_Alike = tuple[int, int, Status, Status, Place | None, Place | None]


def _alike(classes: Sequence[_Class], judges: tuple[Judge, Judge]) -> list[_Alike]:
    """Return for each class what decides about it: those that have it in common are judged once."""
    return [
        (
            judges[0].matching(each.judged[0], each.labels[0]),
            judges[1].matching(each.judged[1], each.labels[1]),
            each.judged[0].status,
            each.judged[1].status,
            judges[0].sighting(each.judged[0]),
            judges[1].sighting(each.judged[1]),
        )
        for each in classes
    ]


def _changes(
    asked: Asked,
    classes: Sequence[_Class],
    alike: Sequence[_Alike],
    judges: tuple[Judge, Judge],
    at: float,
) -> list[Change]:
    """Return what changes for one kind of request."""
    said: dict[_Alike, tuple[Action, Action]] = {}
    # of those that are alike, whichever: nothing else of a location matters
    for key, judged in {key: each.judged for key, each in zip(alike, classes, strict=True)}.items():
        said[key] = (
            judges[0].decide(key[0], judged[0], asked, at).decided,
            judges[1].decide(key[1], judged[1], asked, at).decided,
        )
    if all(before is after for before, after in said.values()):
        return []
    by_place: dict[str, dict[tuple[Action, Action], list[_Class]]] = {}
    for each, key in zip(classes, alike, strict=True):
        place = by_place.setdefault(each.location.country or str(each.location.status), {})
        place.setdefault(said[key], []).append(each)
    return [
        replace(
            _nowhere(str(asked), place, before, after),
            part=part,
            ipv4=sum(each.ipv4 for each in same),
            ipv6=sum(each.ipv6 for each in same) // SUBNET,
            ipv6_addresses=sum(each.ipv6 for each in same) % SUBNET,
        )
        for place, kinds in by_place.items()
        for (before, after), changed in kinds.items()
        if before is not after
        for part, same in _distinguished(changed, kinds)
    ]


def _distinguished(
    changed: list[_Class], kinds: Mapping[tuple[Action, Action], list[_Class]]
) -> list[tuple[str, list[_Class]]]:
    """Return the classes of a country that change alike under what tells them from the others."""
    if len(kinds) == 1:
        return [("", changed)]
    if any(not each.parts for each in changed):  # the country as such, so others are exceptions
        own = {name for each in changed for name in each.parts}
        others = {name for same in kinds.values() for each in same for name in each.parts} - own
        return [(f"except {', '.join(sorted(others))}" if others else "in part", changed)]
    parts: dict[str, list[_Class]] = {}
    for each in changed:
        parts.setdefault(", ".join(each.parts), []).append(each)
    return list(parts.items())


def _nowhere(asked: str, country: str, before: Action, after: Action) -> Change:
    """Return a change of no address."""
    return Change(asked=asked, country=country, part="", before=before, after=after, ipv4=0, ipv6=0)


def _joined(changes: Sequence[Change], requests: int) -> list[Change]:
    """Return the changes in order; those that every kind of request has, once."""
    kinds: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        key = (change.country, change.part, change.before, change.after)
        kinds.setdefault(key, []).append(change)
    told = []
    for same in kinds.values():
        if len(same) == requests:
            told.append(replace(same[0], asked="any request"))
        else:
            told += same
    return sorted(told, key=lambda change: (change.asked, change.country, change.part))
