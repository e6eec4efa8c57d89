"""Counting: what engines and middlewares have counted, read when somebody asks.

Nothing is done on a request: engines count in native memory anyway. A meter reads how far they are,
and keeps totals of its own by what is new, so that these never fall: neither when a reload drops a
rule, nor when an engine is let go.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from weakref import WeakKeyDictionary, WeakSet

from georestrict.decision import Decision, Reason
from georestrict.engine import Engine
from georestrict.guard import Guard, introduce
from georestrict.healthcheck import Part, health
from georestrict.metrics.kinds import (
    AGE,
    COUNTED,
    COUNTRIES,
    DECISIONS,
    EMERGENCY,
    FALLBACK,
    MOST_COUNTRIES,
    MOST_POLICIES,
    MOST_RULES,
    OTHER,
    RELOADS,
    SNAPSHOT,
    STALE,
    SUPPRESSED,
    UNRESOLVED,
    Kind,
)
from georestrict.observe.event import whole
from georestrict.observe.observer import shown_place
from georestrict.policy import Action

#: A metric and the values of its labels.
Point = tuple[Kind, tuple[str, ...]]

_CASES = (Reason.UNKNOWN, Reason.PRIVATE, Reason.UNRESOLVED, Reason.NO_DATA, Reason.ERROR)


class Names:
    """The first so many names that come; whatever comes then is ``other``, for good."""

    def __init__(self, most: int) -> None:
        self._most, self._known = most, set[str]()

    def __call__(self, name: str) -> str:
        """Return the name that is told."""
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class _Labels:
    """What an engine is called, and its names that are told."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.rule, self.country = Names(MOST_RULES), Names(MOST_COUNTRIES)
        self._points: dict[Decision, tuple[Point, ...]] = {}

    def points(self, decision: Decision) -> tuple[Point, ...]:
        """Return where a decision is counted."""
        found = self._points.get(decision)
        if found is None:
            found = self._points[decision] = tuple(self._made(decision))
        return found

    def _made(self, decision: Decision) -> Iterator[Point]:
        does = str(decision.action), "" if decision.would is None else str(decision.would)
        rule = "" if decision.rule is None else self.rule(decision.rule)
        country = self.country(decision.country or str(decision.location.status))
        yield DECISIONS, (self.policy, *does, str(decision.reason), rule)
        yield COUNTRIES, (self.policy, country, *does)
        if decision.reason in _CASES:
            yield FALLBACK, (self.policy, str(decision.reason), *does)
        for name in decision.counted:
            yield COUNTED, (self.policy, self.rule(name))


class Meter:
    """The totals of what was counted by the middlewares and engines that somebody asked for.

    Without ``targets`` these are all middlewares of this process, those to come included. Of an
    engine they are its middlewares. Whatever is not in use elsewhere any more is let go. The
    ``listener`` is told how long decisions take, and ``at_end`` is called before the server ends.
    """

    def __init__(
        self,
        targets: tuple[Engine | Guard, ...],
        listener: Callable[[float], None] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._everything = False
        self._wanted: WeakSet[Engine | Guard] = WeakSet()
        self._listener, self._at_end = listener, at_end
        self._lock = threading.Lock()
        self._engines: WeakKeyDictionary[Engine, _Labels] = WeakKeyDictionary()
        self._guards: WeakSet[Guard] = WeakSet()
        self._policies: dict[str, _Labels] = {}
        self._policy = Names(MOST_POLICIES)
        self._read: WeakKeyDictionary[Engine | Guard, Counter[Point]] = WeakKeyDictionary()
        self._totals: Counter[Point] = Counter()
        self._begin()
        _METERS.add(self)
        self.add(targets)

    def add(self, targets: tuple[Engine | Guard, ...]) -> None:
        """Read these, too."""
        with self._lock:
            self._everything |= not targets
            self._wanted.update(targets)
            for target in targets:
                if isinstance(target, Engine):
                    self._add(target, shown_place(target.policy.place))
        introduce(self)

    def meet(self, guard: Guard) -> None:
        """Take up a middleware, if it was asked for; it may come more than once."""
        if not (self._everything or guard in self._wanted or guard.engine in self._wanted):
            return
        with self._lock:
            self._guards.add(guard)
            self._add(guard.engine, shown_place(guard.engine.policy.place))
            for name, engine in guard.policies.items():
                self._add(engine, whole(name))
        if self._listener is not None:
            guard.stopwatch.add(self._listener)

    def end(self) -> None:
        """Have what is left told, as the server shuts down."""
        if self._at_end is not None:
            self._at_end()

    def _add(self, engine: Engine, policy: str) -> None:
        if engine in self._engines:
            return
        policy = self._policy(policy)
        labels = self._engines[engine] = self._policies.setdefault(policy, _Labels(policy))
        for rule in engine.policy.rules:  # in their order, so that workers tell the same ones
            labels.rule(rule.name)
        self._begin_failures(policy)

    def totals(self) -> Counter[Point]:
        """Read how far everything is, and return it."""
        with self._lock:
            self._read_all()
            return self._totals.copy()

    def _read_all(self) -> None:
        for source, now in self._counted():
            read = self._read.setdefault(source, Counter())
            for point, count in now.items():
                # A reload that joins two tallies may for a moment count some requests twice.
                if count > read[point]:
                    self._totals[point] += count - read[point]
                    read[point] = count

    def _counted(self) -> Iterator[tuple[Engine | Guard, Counter[Point]]]:
        """Yield how far each engine and middleware is."""
        leaders: dict[Engine, None] = {}
        for engine, labels in [*self._engines.items()]:
            now = Counter[Point]()
            for decision, count in engine.counts.items():
                for point in labels.points(decision):
                    now[point] += count
            yield engine, now
            leaders[next(iter(engine.in_force), engine)] = None  # reloaded as one
        for leader in leaders:
            reloads = leader.reloads
            yield (
                leader,
                Counter(
                    {(RELOADS, ("done",)): reloads.done, (RELOADS, ("failed",)): reloads.failed}
                ),
            )
        for guard in [*self._guards]:
            observer = guard.observer
            unresolved = observer.unresolved_counts.items()
            now = Counter[Point]({(UNRESOLVED, (reason,)): count for reason, count in unresolved})
            now[SUPPRESSED, ()] = observer.suppressed
            yield guard, now

    def gauges(self) -> dict[Point, float]:
        """Return how everything is now; of several that differ, the older and the worse."""
        found: dict[Point, float] = {}
        with self._lock:
            engines = [*self._engines.items()]
        for engine, labels in engines:
            now, told = engine.now(), health(engine)
            for layer, part in (*told.data.items(), *_of_lists(told.lists)):
                if part.date is not None:
                    age = AGE, (layer,)
                    found[age] = max(found.get(age, 0.0), now - part.date.timestamp())
                stale = STALE, (layer,)
                found[stale] = max(found.get(stale, 0.0), float(part.stale))
            emergency = EMERGENCY, (labels.policy,)
            found[emergency] = max(found.get(emergency, 0.0), float(told.emergency))
            found[SNAPSHOT, (told.snapshot, labels.policy)] = 1.0
        return found

    def _begin(self) -> None:
        """Begin with what is shown before anything has happened."""
        self._totals.clear()
        for point in ((RELOADS, ("done",)), (RELOADS, ("failed",)), (SUPPRESSED, ())):
            self._totals[point] = 0
        for policy in self._policies:
            self._begin_failures(policy)

    def _begin_failures(self, policy: str) -> None:
        """Show that deciding has not failed: where a series begins with 1, nobody sees it rise."""
        for does in ((str(Action.BLOCK), ""), (str(Action.ALLOW), str(Action.BLOCK))):
            self._totals[FALLBACK, (policy, str(Reason.ERROR), *does)] += 0

    def before_fork(self) -> None:
        """Wait until nobody reads: the child would find it half done."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Begin anew: what was counted before, the parent tells."""
        self._lock = threading.Lock()
        self._read_all()
        self._begin()


def _of_lists(lists: Mapping[str, Part]) -> Iterator[tuple[str, Part]]:
    return ((f"list {name}", part) for name, part in lists.items())


_METERS: WeakSet[Meter] = WeakSet()
_HELD: list[Meter] = []  # while this process forks
_FORKING = threading.Lock()  # one thread after another, else they let go what the other holds


def _before_fork() -> None:
    _FORKING.acquire()
    _HELD[:] = _METERS
    for meter in _HELD:
        meter.before_fork()


def _after_fork_in_parent() -> None:
    while _HELD:
        _HELD.pop().after_fork_in_parent()
    _FORKING.release()


def _after_fork_in_child() -> None:
    global _FORKING
    while _HELD:
        _HELD.pop().after_fork_in_child()
    _FORKING = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
