"""Age: how old each part of the data is, and what of it is past the policy's limits.

Countries, categories and lists age apart from each other. Each is as old as the oldest of what it
is made of. What is past its limit at a time is a :class:`Stale`, which tells what of it rules still
see; between two limits that is always the same one.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from datetime import date as day
from types import MappingProxyType

from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.labels import Label, ListLabel
from georestrict.location import Location, Status
from georestrict.networks import Category
from georestrict.policy import Fallback, Policy, StaleAction
from georestrict.policy.checks import length
from georestrict.tomlfile import files_of

logger = logging.getLogger("georestrict")

#: How often ``stale_action = "warn"`` says so.
WARN_SECONDS = 3600.0
COUNTRY = "country"
_PUBLIC = (Status.KNOWN, Status.UNKNOWN)
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # that a datetime can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Aging:
    """One part of the data, since when it ages, and its limits."""

    name: str  #: ``country``, a category, or ``list NAME``
    since: float | None  #: seconds since the epoch; None of what does not age
    warn_after: timedelta | None = None
    stale_after: timedelta | None = None
    action: StaleAction | None = None
    key: str = ""  #: of its limit in the policy, before ``stale_after``

    @property
    def date(self) -> datetime | None:
        """Since when it ages."""
        return None if self.since is None else datetime.fromtimestamp(self.since, UTC)

    @property
    def warns_from(self) -> float:
        """From when on it is past the soft limit, in seconds since the epoch."""
        return _moment(self.since, self.warn_after)

    @property
    def stale_from(self) -> float:
        """From when on it is past the hard limit, in seconds since the epoch."""
        return _moment(self.since, self.stale_after)

    def is_stale(self, now: float) -> bool:
        """Return whether it is past the hard limit."""
        return now >= self.stale_from

    def days(self, now: float) -> int | None:
        """Return its age in whole days; None of what does not age."""
        return None if self.since is None else math.floor((now - self.since) / 86400)


def _moment(since: float | None, limit: timedelta | None) -> float:
    return math.inf if since is None or limit is None else since + limit.total_seconds()


@dataclass(frozen=True, eq=False)
class Stale:
    """What is past its hard limit, and what of the data rules still see."""

    past: frozenset[str] = frozenset()  #: names, whatever follows
    no_country: bool = False
    categories: frozenset[Category] = frozenset()  #: that rules do not see
    lists: frozenset[Label] = frozenset()  #: that rules do not see

    def judged(self, location: Location) -> Location:
        """Return a location as rules see it."""
        if not self.categories & location.categories.keys():
            return self.told(location)
        left = {
            category: sure
            for category, sure in location.categories.items()
            if category not in self.categories
        }
        return replace(self.told(location), categories=MappingProxyType(left))

    def told(self, location: Location) -> Location:
        """Return a location as decisions tell it: with every category, ignored or not."""
        if not self.no_country or location.status not in _PUBLIC:
            return location
        return replace(location, country=None, subdivision=None, status=Status.NO_DATA)

    def seen(self, labels: frozenset[Label]) -> frozenset[Label]:
        """Return the labels that rules see."""
        return labels - self.lists

    def of_location(self, location: Location) -> tuple[str, ...]:
        """Return the names of what a location of the database rests on and is past its limit."""
        if not self.past:
            return ()
        names = [COUNTRY] if location.status in _PUBLIC else []
        names += map(str, location.categories)
        return tuple(name for name in names if name in self.past)

    def of_labels(self, labels: frozenset[Label]) -> tuple[str, ...]:
        """Return the names of lists that are past their limit."""
        if not self.past:
            return ()
        names = (_list_name(label.name) for label in labels if isinstance(label, ListLabel))
        return tuple(sorted(name for name in names if name in self.past))


FRESH = Stale()


class Ages:
    """How old the parts of the data are that a policy sets limits for, and the countries.

    Raises:
        FormatError: if the data's record of its sources is damaged.
    """

    def __init__(self, policy: Policy, database: Database, lists: Mapping[str, float]) -> None:
        sources = database.metadata.sources
        self.country = Aging(
            name=COUNTRY,
            since=_oldest(each.date for each in sources if each.layer == COUNTRY and each.ages),
            warn_after=policy.warn_after,
            stale_after=policy.stale_after,
            action=policy.stale_action,
        )
        #: each layer of the data, without its limits
        self.layers = {
            layer: Aging(
                name=layer,
                since=_oldest(each.date for each in sources if each.layer == layer and each.ages),
            )
            for layer in dict.fromkeys(each.layer for each in sources)
        }
        dates = {each.name: each.date for each in sources if each.layer == "network" and each.ages}
        claimants = database.claimants if policy.categories else {}
        self.categories = {
            category: Aging(
                name=str(category),
                since=_oldest(dates[name] for name in claimants.get(category, ()) if name in dates),
                stale_after=limit.stale_after,
                action=limit.stale_action,
                key=f"categories.{category}.",
            )
            for category, limit in policy.categories.items()
        }
        self.lists = {
            name: Aging(
                name=_list_name(name),
                since=lists.get(name),
                stale_after=source.stale_after,
                action=source.stale_action,
                key=f"lists.{name}.",
            )
            for name, source in policy.lists.items()
        }
        self.all = (self.country, *self.categories.values(), *self.lists.values())
        moments = {each.stale_from for each in self.all} | {self.country.warns_from}
        self._moments = sorted(moments - {math.inf})
        self._known = {FRESH.past: FRESH}

    @property
    def limited(self) -> bool:
        """Whether anything changes at any time."""
        return bool(self._moments)

    def at(self, now: float) -> Stale:
        """Return what is past its hard limit at a time; equal ones are the same object."""
        if not self._moments:
            return FRESH
        past = frozenset(each.name for each in self.all if each.is_stale(now))
        stale = self._known.get(past)
        if stale is None:
            stale = self._known.setdefault(past, self._stale(past))
        return stale

    def around(self, now: float) -> tuple[float, float]:
        """Return between which times, the second not included, nothing passes a limit."""
        at = bisect_right(self._moments, now)
        since = self._moments[at - 1] if at else -math.inf
        return since, self._moments[at] if at < len(self._moments) else math.inf

    def _stale(self, past: frozenset[str]) -> Stale:
        def ignored(aging: Aging) -> bool:
            return aging.name in past and aging.action is StaleAction.IGNORE

        return Stale(
            past,
            COUNTRY in past and self.country.action is StaleAction.NO_DATA,
            frozenset(name for name, aging in self.categories.items() if ignored(aging)),
            frozenset(ListLabel(name) for name, aging in self.lists.items() if ignored(aging)),
        )


def _oldest(dates: Iterator[day]) -> float | None:
    """Return when the oldest of some days began, in UTC."""
    oldest = min(dates, default=None)
    if oldest is None:
        return None
    return datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC).timestamp()


def _list_name(name: str) -> str:
    return f"list {name}"


def changed_at(policy: Policy) -> dict[str, float]:
    """Return when the files of a policy's lists were last changed: of a folder's, the oldest.

    One that cannot be looked at is left out; reading it tells what is wrong.
    """
    found = {}
    for name, source in policy.lists.items():
        try:
            times = [path.stat().st_mtime for path in files_of(source.path)]
        except (ConfigurationError, OSError, ValueError):
            continue
        if times:
            found[name] = min(*times, _LAST)
    return found


class AgeLog:
    """Says once when something passes a limit, and when it is fresh again.

    It outlives the snapshots: a reload of the same data is nothing new.
    """

    def __init__(self) -> None:
        # By name: how far it was when that was last said, and when that is to be said again.
        # Whoever says something takes the entry out, so that no other thread says it, too.
        self._said: dict[str, tuple[str, float]] = {}

    def follow(self, ages: Ages) -> None:
        """Take up what there is to say something about."""
        for aging in ages.all:
            self._said.setdefault(aging.name, (_FRESH, math.inf))

    def say(self, policy: Policy, ages: Ages, now: float) -> float:
        """Say what has changed; return when there may be something to say without a change."""
        return min(self._say(policy, aging, now) for aging in ages.all)

    def _say(self, policy: Policy, aging: Aging, now: float) -> float:
        level = _level(aging, now)
        known = self._said.pop(aging.name, None)
        if known is None:
            return now  # another thread is about to say it
        said, again = known
        repeats = level == f"{_HARD} {StaleAction.WARN}"
        if level != said or (repeats and not again - WARN_SECONDS <= now < again):
            again = now + WARN_SECONDS if repeats else math.inf
            _tell(policy, aging, level)
        self._said[aging.name] = level, again
        return again


_FRESH, _SOFT, _HARD = "fresh", "soft", "hard"


def _level(aging: Aging, now: float) -> str:
    """Return which limit something is past, and what follows."""
    if aging.is_stale(now):
        return f"{_HARD} {aging.action}"
    return _SOFT if now >= aging.warns_from else _FRESH


def _tell(policy: Policy, aging: Aging, level: str) -> None:
    what = f"{policy.place}: {_described(aging)}"
    key = f"{aging.key}stale_after"
    if level == _FRESH:
        logger.info("%s is within its limits again", what)
        return
    if level == _SOFT and aging.warn_after is not None:
        logger.warning(
            "%s is older than warn_after (%s); fetch newer data with 'georestrict update'",
            what,
            length(aging.warn_after),
        )
    if level.startswith(_HARD) and aging.stale_after is not None:
        is_list = aging.key.startswith("lists.")
        fix = "bring a newer list" if is_list else "fetch newer data with 'georestrict update'"
        gone = aging.action is StaleAction.NO_DATA
        logger.log(
            logging.ERROR if gone else logging.WARNING,
            "%s is older than %s (%s): %s; %s",
            what,
            key,
            length(aging.stale_after),
            _consequence(policy, aging),
            fix,
        )


def _described(aging: Aging) -> str:
    date = "no date" if aging.date is None else f"{aging.date:%Y-%m-%d}"
    if aging.key.startswith("lists."):
        return f"{aging.name}, last changed {date},"
    of = "the country data" if aging.name == COUNTRY else f"what is known of {aging.name}"
    return f"{of}, of {date},"


def _consequence(policy: Policy, aging: Aging) -> str:
    if aging.action is StaleAction.NO_DATA:
        action = policy.fallback[Fallback.NO_DATA]
        return f"no address has a country any more, and fallback.no_data ({action}) applies"
    if aging.action is StaleAction.IGNORE:
        return "rules do not see it any more"
    return "it is used all the same"
