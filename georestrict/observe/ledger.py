"""Which requests of an engine were told one by one, so that the others are told as numbers.

An engine counts each request in native memory, most of them where no Python runs. The ledger knows
which of these had an event; what is left is the difference::

    Engine.counts - told - open = what a ``counts`` event is about

A request that is to have an event gets a *ticket* before it is counted. Until its event is written
it is *open*; it is *told* from when its ticket is used. A ticket that is thrown away, because the
request was cancelled or the app raised, makes it one of the others again. So nothing is told twice
and nothing is lost, however threads take turns.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

from georestrict.decision import Code, Decision, Reason
from georestrict.engine import Engine
from georestrict.location import Status
from georestrict.policy import Action


class Outcome(NamedTuple):
    """What requests that are counted together have in common; fields of an ``Event``."""

    action: Action
    would: Action | None
    emergency: bool
    reason: Reason
    rule: str | None
    code: Code | None
    counted: tuple[str, ...]
    country: str | None
    status: Status


def outcome_of(decision: Decision) -> Outcome:
    """Return what is counted of a decision."""
    return Outcome(
        decision.action,
        decision.would,
        decision.emergency,
        decision.reason,
        decision.rule,
        decision.code,
        decision.counted,
        decision.country,
        decision.location.status,
    )


class Ticket:
    """The right of one request to an event."""

    __slots__ = ("_epoch", "_ledger", "at", "outcome", "weight")

    def __init__(
        self, ledger: Ledger, epoch: object, outcome: Outcome, at: float, weight: float | None
    ) -> None:
        self._ledger: Ledger | None = ledger
        self._epoch, self.outcome, self.at, self.weight = epoch, outcome, at, weight

    def use(self) -> bool:
        """Return whether the event may be written: once, and in the process that took it."""
        ledger, self._ledger = self._ledger, None
        return ledger is not None and ledger.use(self._epoch, self.outcome)

    def __del__(self) -> None:
        # It may run anywhere, so it takes no lock.
        if self._ledger is not None:
            self._ledger.dropped.append((self._epoch, self.outcome))


class Ledger:
    """What was told of the requests of an engine in this process, whichever middlewares tell it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = ref(engine)
        self._lock = threading.Lock()
        self._epoch = object()
        self._told: Counter[Outcome] = Counter()
        self._open: Counter[Outcome] = Counter()
        self.dropped: deque[tuple[object, Outcome]] = deque()  #: tickets that were thrown away

    @classmethod
    def of(cls, engine: Engine) -> Ledger:
        """Return the ledger of an engine: all its middlewares have one."""
        with _MAKING:
            found = _LEDGERS.get(engine)
            if found is None:
                found = _LEDGERS[engine] = cls(engine)
            return found

    def take(self, decision: Decision, at: float, weight: float | None = None) -> Ticket:
        """Return a ticket for a request that is about to be counted."""
        outcome = outcome_of(decision)
        with self._lock:
            self._open[outcome] += 1
            return Ticket(self, self._epoch, outcome, at, weight)

    def use(self, epoch: object, outcome: Outcome) -> bool:
        """Note that a request is told; False if its ticket does not hold any more."""
        with self._lock:
            if epoch is not self._epoch:
                return False
            self._open[outcome] -= 1
            self._told[outcome] += 1
            return True

    def give_back(self, outcome: Outcome, number: int = 1) -> None:
        """Note that requests were not told after all."""
        with self._lock:
            self._told[outcome] -= number

    def settle(self, *, last: bool = False) -> dict[Outcome, int]:
        """Return how many requests got which outcome without being told, and note that they are.

        With ``last`` the tickets that are still open hold no more: no event will be written.
        """
        with self._lock:
            counts = self._counts()  # first: what it has and is told, was noted before
            while self.dropped:
                epoch, outcome = self.dropped.popleft()
                if epoch is self._epoch:
                    self._open[outcome] -= 1
            if last:
                self._open.clear()
                self._epoch = object()
            left = {
                outcome: number - self._told[outcome] - self._open[outcome]
                for outcome, number in counts.items()
            }
            found = {outcome: number for outcome, number in left.items() if number > 0}
            self._told.update(found)
        return found

    def begin_anew(self) -> None:
        """Begin in a forked process: what was counted before, its parent tells."""
        self._lock = threading.Lock()
        self._epoch = object()
        self._told, self._open = self._counts(), Counter()
        self.dropped = deque()

    def _counts(self) -> Counter[Outcome]:
        engine = self._engine()
        found: Counter[Outcome] = Counter()
        if engine is not None:
            for decision, number in engine.counts.items():
                found[outcome_of(decision)] += number
        return found


_LEDGERS: WeakKeyDictionary[Engine, Ledger] = WeakKeyDictionary()
_MAKING = threading.Lock()


def _after_fork_in_child() -> None:
    global _MAKING
    _MAKING = threading.Lock()
    for ledger in [*_LEDGERS.values()]:
        ledger.begin_anew()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
