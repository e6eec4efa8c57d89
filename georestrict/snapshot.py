"""A snapshot: one policy with its lists over one database, compiled into a table of decisions.

Every list and network of the policy is painted over the database's runs::

    address ─► class of the table ─┬─► class of the database ─► location
                                   └─► set of labels: lists, networks of rules

Location and labels give the verdict (``verdicts.py``); classes that the policy does not tell apart
share one. A decision with its location is made when it is first told.

Where a rule asks where accounts have been, some classes are *watched*: what a request from there
shows of its account is kept, before the request is judged.

The tables are made for what of the data is too old at that time (``age.py``). Between two limits
that stays the same, and the gate decides by them. When a limit passes, the clock tells the first
request after it; from then on all go the slow way, which judges each class anew when it first
meets it: no request waits for new tables. The next reload makes them.
"""

from __future__ import annotations

import hashlib
import math
import time
from array import array
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, TypeVar, cast

from georestrict._core import BY_PATH, PLAIN, PLAIN_PRIVATE, SLOW, Passes, Tally, find_many
from georestrict.age import FRESH, AgeLog, Ages, Stale, changed_at
from georestrict.database import Database, Match, number_of, number_of_ip
from georestrict.decision import Decision
from georestrict.emergency import Emergency
from georestrict.labels import Label, ListLabel
from georestrict.lists import Lists
from georestrict.location import Location, Status
from georestrict.policy import Action, Policy
from georestrict.policy.accounts import History
from georestrict.request import Request
from georestrict.verdicts import Program, Verdict, Verdicts

Address = str | IPv4Address | IPv6Address

_Item = TypeVar("_Item")
_EVER = 1 << 62  # seconds
_UNRESOLVED = Location(status=Status.UNRESOLVED)

#: Decisions that are kept, with the lists of their class: 600 bytes each
MOST_DECISIONS = 1 << 16


class Snapshot:
    """One policy with its lists over one database: everything that a decision needs."""

    def __init__(
        self,
        policy: Policy,
        database: Database,
        *,
        tallies: dict[Decision, Tally] | None = None,
        clock: Callable[[], float] = time.time,
        emergency: Emergency | None = None,
        accounts: History | None = None,
        age_log: AgeLog | None = None,
    ) -> None:
        self.policy, self.database, self._accounts = policy, database, accounts
        self._clock, self._emergency, self._age_log = clock, emergency, age_log
        self._rules = Verdicts(policy, {} if tallies is None else tallies)
        changed = changed_at(policy)  # before they are read: a list must not pass for a newer one
        self._lists = Lists(policy, database, clock)
        self._table = self._lists.table
        self.ages = Ages(policy, database, changed)
        since = self.ages.country.date
        #: the date of the data about countries: of the oldest source that ages; None: none does
        self.data_date = None if since is None else since.date()
        # What is too old now, and by the tables; it holds from when and until when.
        self._by_tables = stale = self.ages.at(clock()) if self.ages.limited else FRESH
        self._period = math.inf, -math.inf, stale
        # Which rules match a class: those that match its class of the database, and its lists.
        self._seen = _for_each(database.classes, stale.judged)
        self._too_old = _for_each(database.classes, stale.of_location)
        self._by_base = _for_each(self._seen, self._rules.matching_location)
        self.asks_accounts = self._rules.asks_accounts
        # What a class of the database shows of an account; nothing where no rule asks.
        self._sightings = _for_each(self._seen, self._rules.sighting)
        by_set = self._matching_each(stale)
        # Classes that the policy does not tell apart share a verdict. Number 0 is none: what an
        # IPv6 address that carries an IPv4 address gets depends on both.
        self._verdicts: list[Verdict | None] = [None]
        self._watched: set[int] = set()  # numbers of verdicts
        self._numbers: dict[tuple[object, ...], int] = {}
        self._verdict_of = array(
            "I",
            (
                0 if database.looked_through[base] else self._number(base, by_set[held])
                for base, held in zip(self._lists.bases, self._lists.held, strict=True)
            ),
        )
        self._others: dict[tuple[object, ...], Verdict] = {}
        self._decisions: dict[tuple[int, Tally, Stale], Decision] = {}
        self.passes = self._passes()
        if self.ages.limited:
            self.passes.hold(0, 0)
            if age_log is not None:
                age_log.follow(self.ages)
        everywhere = self._rules.matching_location(_UNRESOLVED) & self._rules.matching_labels(
            frozenset()
        )
        self._unresolved = self._rules.of(everywhere, _UNRESOLVED)
        self.preflight = self._rules.preflight
        #: 12 hexadecimal digits for what policy, lists and data say: the same in every worker
        self.id = _identity(policy, database, self._lists, self.ages)

    def _matching_each(self, stale: Stale) -> list[int]:
        """Return which rules match each set of labels, by those that they see."""
        sets = self._lists.sets
        if not stale.lists:
            return [*self._rules.matching_each(sets)]
        return [self._rules.matching_labels(stale.seen(sets[at])) for at in range(len(sets))]

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """What counts the decisions of this snapshot, as far as they were made."""
        return self._rules.known

    def retire(self) -> None:
        """Let go of the decisions that are kept; requests under way make those that they need.

        It is done one by one: freed as a whole, as many as there may be would hold up every other
        thread. The lists stay as long as they are, since a gate may be about to read them.
        """
        for made in (self._decisions, self._others):
            with suppress(KeyError):
                while True:
                    made.popitem()
        for kept in (self._annotations, self._by_path):
            for at in range(len(kept)):
                kept[at] = None

    def _number(self, base: int, by_set: int) -> int:
        """Return the number of the verdict for a class of the database and some lists."""
        location, too_old = self._seen[base], self._too_old[base]
        is_watched = self._sightings[base] is not None
        matching = self._rules.telling(self._by_base[base] & by_set)
        key = matching, location.country, location.status, is_watched, too_old
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._verdicts)
            self._verdicts.append(self._rules.of(matching, location, too_old))
            if is_watched:
                self._watched.add(number)
        return number

    def _passes(self) -> Passes:
        """Return what the gate may let through without asking: plain allows.

        A private peer may be a proxy that nobody declared, which only its headers tell. What is
        watched has to be kept. The gate knows 16-bit verdicts; in a policy with more, the others
        go the slow way.
        """
        kinds = bytearray()
        routes = self._rules.routes
        for number, verdict in enumerate(self._verdicts[: 1 << 16]):
            if number in self._watched:
                kinds.append(SLOW)
            elif isinstance(verdict, Tally) and verdict.decision.plain_allow:
                private = verdict.decision.location.status is Status.PRIVATE
                kinds.append(PLAIN_PRIVATE if private else PLAIN)
            else:
                by_path = (
                    isinstance(verdict, Program)
                    and verdict.location.status is not Status.PRIVATE
                    and not verdict.matching & routes.by_host
                )
                kinds.append(BY_PATH if by_path else SLOW)
        narrow = array("H", (number if number < 1 << 16 else 0 for number in self._verdict_of))
        tallies = [
            verdict if isinstance(verdict, Tally) else None for verdict in self._verdicts[: 1 << 16]
        ]
        self._annotations: list[Decision | None] = []
        self._by_path: list[list[tuple[Tally, Decision] | None] | None] = []
        return Passes(
            self._table,
            narrow,
            bytes(kinds),
            tallies,
            self._annotations,
            self._by_path,
            routes.kept,
        )

    def judge(self, address: Address | None, request: Request) -> tuple[Tally, Decision]:
        """Return what counts the decision for an address and a request, and the decision."""
        where = self.where(address)
        stale = self._stale(request)
        verdict = self._verdict_at(where, stale)
        if self.asks_accounts:
            self._keep(self._sighting(where, stale), request)
        # what the gate may know of it
        is_known = isinstance(where, int) and stale is self._by_tables and self._keeps()
        if isinstance(verdict, Tally):
            tally, decision = self._enforced(where, verdict, request, stale)
            if is_known and decision.plain_allow:
                _put(self._annotations, cast(int, where), decision)
            return tally, decision
        route = self._rules.routes.find(request)
        outcome = self._rules.for_route(verdict, route)
        if not isinstance(outcome, Tally):
            tally = self._rules.run(verdict, outcome, request, self.time_of(request))
            return self._enforced(where, tally, request, stale)
        tally, decision = self._enforced(where, outcome, request, stale)
        if is_known and route.number is not None and decision.plain_allow:
            number = cast(int, where)
            known = self._by_path[number] if number < len(self._by_path) else None
            if known is None:
                known = []
                _put(self._by_path, number, known)
            _put(known, route.number, (tally, decision))
        return tally, decision

    def classes_of(self, addresses: Any) -> array[int]:
        """Return the class of each of many addresses, of what carries another as of what does not.

        Numbers from ``len(verdict_of)`` on are no address. ``addresses`` are as those of
        :meth:`georestrict.Database.lookup_many`.

        Raises:
            TypeError: if they are of another form.
        """
        found: array[int] = find_many(self._table, bytes(self._table.classes), addresses)
        return found

    @property
    def verdict_of(self) -> Sequence[int]:
        """For each class the number of its verdict, by what is too old in the tables.

        Addresses whose classes have the same are judged alike. It is 0 where an address carries
        another: what that gets depends on both (:meth:`where`).
        """
        return self._verdict_of

    @property
    def depends(self) -> Sequence[bool]:
        """For each number of a verdict, whether it depends on the request."""
        return [not isinstance(verdict, Tally) for verdict in self._verdicts]

    def location_of(self, number: int) -> Location:
        """Return what the database says of a class."""
        return self.database.classes[self._lists.bases[number]]

    def holds_around(self, now: float) -> tuple[float, float]:
        """Return between which times, the second not included, the tables are as those of a time.

        That is the time at which it was made: what of the data is too old, and which entries of
        lists have ended, is then the same.
        """
        since, until = self.ages.around(now)
        return max(since, self._lists.since), min(until, self._lists.until)

    def route(self, request: Request) -> tuple[int, int]:
        """Return what tells a request's route from others: requests of one are judged alike."""
        found = self._rules.routes.find(request)
        return found.strict, found.broad

    def decide_at(
        self,
        location: Location,
        labels: frozenset[Label],
        request: Request,
        *,
        aged: bool = False,
    ) -> tuple[Tally, Decision]:
        """Judge a request from a location, held by lists and networks, without an address.

        With ``aged`` the location is what the data says, whose age counts; else it is supposed.
        """
        stale = self.ages.at(self.time_of(request)) if aged else FRESH
        seen = stale.judged(location)
        verdict = self._verdict_of_place(location, labels, stale)
        self._keep(self._rules.sighting(seen), request)
        if isinstance(verdict, Program):
            outcome = self._rules.for_route(verdict, self._rules.routes.find(request))
            if not isinstance(outcome, Tally):
                now = self.time_of(request)
                outcome = self._rules.run(verdict, outcome, request, now)
            verdict = outcome
        return verdict, _told(verdict.decision, location, labels, stale)

    def time_of(self, request: Request) -> float:
        """Return the time by which a request is judged, in seconds since the epoch."""
        return self._clock() if request.at is None else request.at

    def stale_at(self, now: float) -> Stale:
        """Return what is too old now, by the engine's clock; say it if that has changed."""
        since, until, stale = self._period
        return stale if since <= now < until else self._turn(now)

    def look(self) -> Stale:
        """Return what is too old now, without asking the clock where nothing can be."""
        return self.stale_at(self._clock()) if self.ages.limited else FRESH

    def _stale(self, request: Request) -> Stale:
        """Return what is too old at the time by which a request is judged."""
        if request.at is not None:
            return self.ages.at(request.at)
        return self.look()

    def _turn(self, now: float) -> Stale:
        """Take up what is too old now, and let the gate decide while that is as in the tables.

        A clock that steps back makes data fresh again.
        """
        stale = self.ages.at(now)
        since, until = self.ages.around(now)
        if stale is not self._period[2]:
            self._others = {}
        if self._age_log is not None:
            until = min(until, self._age_log.say(self.policy, self.ages, now))
        self._period = since, until, stale
        if stale is self._by_tables and self._clock is time.time:
            # The C library's clock may be some milliseconds late, so a second is left out.
            last = _EVER if math.isinf(until) else math.floor(until) - 1
            self.passes.hold(0 if math.isinf(since) else math.ceil(since), last)
        else:
            self.passes.hold(0, 0)
        return stale

    def is_outdated(self) -> bool:
        """Return whether a reload would bring something new although no file has changed.

        So it is when an entry of a list has ended, and when a limit has passed: then the tables
        are not those of what is too old now, and the gate is closed.
        """
        return self._clock() >= self._lists.until or self.look() is not self._by_tables

    def _sighting(self, where: _Where, stale: Stale) -> tuple[str, str] | None:
        """Return what a request from a class shows of its account."""
        if where is None:
            return None
        base = self._base(where)
        if stale is self._by_tables:
            return self._sightings[base]
        return self._rules.sighting(stale.judged(self.database.classes[base]))

    def _keep(self, seen: tuple[str, str] | None, request: Request) -> None:
        """Keep what a request shows of its account, so that it counts when that is judged."""
        history = request.history
        if history is None:
            history = request.history = self._accounts
        if seen is None or history is None:
            return
        account = request.account
        if account is not None:
            history.saw(account, seen[0], seen[1], self.time_of(request))

    def in_emergency(self, at: float) -> bool:
        """Return whether the emergency switch is on, as far as was seen for the last block."""
        return self._emergency is not None and self._emergency.was_on(at)

    def failed(self) -> tuple[Tally, Decision]:
        """Return what holds where deciding failed: a block, unless the emergency switch is on."""
        tally = self._rules.failure
        try:
            return self._enforced(None, tally, None, FRESH)
        except Exception:  # the clock may be what failed
            return tally, tally.decision

    def _enforced(
        self, where: _Where, tally: Tally, request: Request | None, stale: Stale
    ) -> tuple[Tally, Decision]:
        """Return a decision as it is enforced: as a warning, if the emergency switch is on."""
        decision: Decision = tally.decision
        if decision.action is Action.BLOCK and self._emergency is not None:
            at = None if request is None else request.at
            if self._emergency.is_on(self._clock()) if at is None else self._emergency.holds(at):
                tally = self._rules.softened(decision)
        return tally, self._decision(where, tally, stale)

    def where(self, address: Address | None) -> _Where:
        """Return an address's class; for one that carries another, the classes of both."""
        if address is None:
            return None
        if isinstance(address, str):
            number: int = self._table.find(address)
            if number < 0:
                return None
        else:
            number = self._table.find_value(*number_of_ip(address))
        if self._verdict_of[number]:
            return number
        version, value = cast(tuple[int, int], number_of(address))  # it is an address: it was found
        inner = self._inner(version, value)
        return number, inner, None if inner is None else self.database.via(value)

    def _verdict_at(self, where: _Where, stale: Stale) -> Verdict:
        if where is None:
            return self._unresolved
        if isinstance(where, int) and stale is self._by_tables:
            return self._verdicts[self._verdict_of[where]] or self._unresolved
        key = (where if isinstance(where, int) else where[:2]), stale
        verdict = self._others.get(key)
        if verdict is None:
            base, labels = self._meaning(where)
            verdict = self._verdict_of_place(self.database.classes[base], labels, stale)
            if len(self._others) < MOST_DECISIONS:
                self._others[key] = verdict
        return verdict

    def _verdict_of_place(
        self, location: Location, labels: frozenset[Label], stale: Stale
    ) -> Verdict:
        rules, seen = self._rules, stale.judged(location)
        matching = rules.matching_location(seen) & rules.matching_labels(stale.seen(labels))
        return rules.of(rules.telling(matching), seen, stale.of_location(location))

    def _base(self, where: int | _Carried) -> int:
        """Return the class of the database; of a carried address that one's."""
        if isinstance(where, int):
            return self._lists.bases[where]
        outer, inner, _ = where
        return self._lists.bases[outer if inner is None else inner]

    def _meaning(self, where: int | _Carried) -> tuple[int, frozenset[Label]]:
        """Return the class of the database, and the labels; of a carried address and its bearer."""
        if isinstance(where, int):
            return self._lists.bases[where], self._lists.sets[self._lists.held[where]]
        outer, inner, _ = where
        labels = self._meaning(outer)[1]
        return self._base(where), labels if inner is None else labels | self._meaning(inner)[1]

    def _decision(self, where: _Where, tally: Tally, stale: Stale) -> Decision:
        """Return a decision as it is told: with the location of this class, and its lists.

        It is made once for each class, up to a number. For addresses that carry another it is
        made each time: they are rare, and their pairs of classes many.
        """
        decision: Decision = tally.decision
        if where is None:
            return decision
        known = self._decisions.get((where, tally, stale)) if isinstance(where, int) else None
        if known is not None:
            return known
        base, labels = self._meaning(where)
        decision = _told(decision, self.database.classes[base], labels, stale)
        if isinstance(where, int):
            if self._keeps():
                self._decisions[where, tally, stale] = decision
            return decision
        return replace(decision, location=replace(decision.location, via=where[2]))

    def _keeps(self) -> bool:
        """Whether decisions are still kept: lists that overlap freely make millions of classes."""
        return len(self._decisions) < MOST_DECISIONS

    def lookup(self, address: Address) -> Location:
        """Return what is known of an address, with the lists that hold it."""
        location = self.database.lookup(address)
        number = number_of(address)
        if number is None:
            return location
        where = self._table.find_value(*number), self._inner(*number), None
        labels = self._meaning(where)[1]
        return _with_lists(location, labels)

    def place(
        self, address: Address | None, stale: Stale = FRESH
    ) -> tuple[Location, frozenset[Label]]:
        """Return the location by which an address is judged, and the labels that hold it.

        As rules see them where something is too old.
        """
        where = self.where(address)
        if where is None:
            return _UNRESOLVED, frozenset()
        base, labels = self._meaning(where)
        return stale.judged(self.database.classes[base]), stale.seen(labels)

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


def _identity(policy: Policy, database: Database, lists: Lists, ages: Ages) -> str:
    digest = hashlib.sha256(repr(_said(policy)).encode("utf-8", "surrogatepass"))
    digest.update(database.digest() + lists.digest)
    # Where a list has a limit, its age decides, too, and that is not in what it holds.
    limited = (each for each in ages.lists.values() if each.stale_after is not None)
    digest.update(repr([(each.name, each.since) for each in limited]).encode())
    return digest.hexdigest()[:12]


def _said(value: object) -> object:
    """Return what a value of a policy says, in one form for all processes.

    Sets have an order of their own in each. Where files lie says nothing: what they hold does.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return [_said(getattr(value, each.name)) for each in fields(value) if each.compare]
    if isinstance(value, Mapping):
        return [(_said(key), _said(item)) for key, item in value.items()]
    if isinstance(value, Set):
        return sorted(repr(_said(item)) for item in value)
    if isinstance(value, tuple | list):
        return [_said(item) for item in value]
    return "" if isinstance(value, Path) else repr(value)


def _for_each(classes: Sequence[Location], tell: Callable[[Location], _Item]) -> list[_Item]:
    """Return what is told of each class; asked once for those that differ by their provider only.

    No rule asks for that, and there are several times as many classes as without it.
    """
    alike: dict[tuple[object, ...], _Item] = {}
    told = []
    for location in classes:
        categories = tuple(location.categories.items())
        key = location.country, location.subdivision, location.status, categories
        if key not in alike:
            alike[key] = tell(location)
        told.append(alike[key])
    return told


def _with_lists(location: Location, labels: frozenset[Label]) -> Location:
    names = frozenset(label.name for label in labels if isinstance(label, ListLabel))
    return replace(location, lists=names) if names else location


def _told(
    decision: Decision, location: Location, labels: frozenset[Label], stale: Stale
) -> Decision:
    """Return a decision with its location, and with the names of what of it is too old."""
    names = stale.of_labels(labels)
    return replace(
        decision,
        location=_with_lists(stale.told(location), labels),
        stale=(*decision.stale, *names) if names else decision.stale,
    )


def _put(items: list[_Item | None], at: int, item: _Item) -> None:
    """Put an item into a list that may have to grow for it."""
    if at >= len(items):
        items.extend([None] * (at + 1 - len(items)))
    items[at] = item


#: The class of an address that carries another, that one's class if it is looked at, and the way.
_Carried = tuple[int, int | None, str | None]
#: A class, or a carried one's, or no address.
_Where = int | _Carried | None
