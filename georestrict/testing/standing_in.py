"""Data and time of a test, in the place of those of the apps that it asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from georestrict.accounts import Accounts
from georestrict.database import Database
from georestrict.engine import _ENGINES, _SWAPPING, Engine
from georestrict.errors import ConfigurationError
from georestrict.origin import Origin

Time = Callable[[], float]

# What of an engine is of its data and its time, and so put aside.
_HELD = ("_origin", "_clock", "_accounts", "_in_force", "snapshot")

_entered = False


def is_standing_in() -> bool:
    """Return whether there is such a block now: what a failed assertion advises depends on it."""
    return _entered


@contextmanager
def standing_in(
    database: Database, clock: Time | None = None, *, engines: Iterable[Engine] | None = None
) -> Iterator[None]:
    """Have every engine of this process decide over a test's data, within a ``with`` block.

    So an app is tested as it is imported, without the data that it has when it serves. With
    ``clock`` the engines read the time from there, too. What is known of accounts begins anew, in
    this process; policies and lists stay as they are. An engine that is made within the block and
    is given a ``Database`` or a clock keeps it. At the end of the block every engine gets back what
    it had. Of those that are there before the block, ``engines`` chooses some; engines over the
    same data belong together.

    Raises:
        ConfigurationError: within another such block, or if an app's policy cannot be used with
            the database.
    """
    global _entered
    if _entered:
        raise ConfigurationError(
            "standing_in: the engines of this process decide over a test's data already; leave "
            "that block first, or give the fixture georestrict_world other data by overriding "
            "georestrict_database"
        )
    changed: list[_Held] = []
    made: WeakKeyDictionary[Engine, tuple[Any, Time, Any]] = WeakKeyDictionary()
    make, own, read = Engine.__init__, database, clock

    def make_within(
        engine: Engine,
        policy: Any,
        *,
        database: Database | str | Path | None = None,
        clock: Time = time.time,
        accounts: Accounts | None = None,
        **others: Any,
    ) -> None:
        data = database if isinstance(database, Database) else own
        reading = read if clock is time.time and read is not None else clock
        make(engine, policy, database=data, clock=reading, accounts=accounts, **others)
        made[engine] = database, clock, accounts

    _entered = True
    Engine.__init__ = make_within  # type: ignore[assignment,method-assign]
    try:
        for engine in {each._root for each in (_ENGINES if engines is None else engines)}:
            changed.append(_Held(engine))
            _change(engine, database, clock)
        yield
    finally:
        Engine.__init__ = make  # type: ignore[method-assign]
        _entered = False
        for held in changed:
            held.put_back()
        for engine, given in [*made.items()]:
            if engine._leader is None:
                _give(engine, *given)


def _change(engine: Engine, database: Database, clock: Time | None) -> None:
    """Put other data in force in an engine and those over the same data."""
    engines = [engine, *engine._following]
    kept = engine._accounts
    for each in engines:
        each._clock = each._clock if clock is None else clock
    engine._accounts = kept and Accounts(
        keep=kept.keep, flag_after=kept._memory.flag_after, clock=engine._clock
    )
    # The policies in force: a relative path may lead elsewhere by now.
    built = [
        (each, _origin(each, each.policy, database).build(engine.remember)[0]) for each in engines
    ]
    with _SWAPPING:
        for each, snapshot in built:
            each._origin = _origin(each, each._origin._policy, database)
            each.snapshot, each.current.passes = snapshot, snapshot.passes
        engine._in_force = WeakKeyDictionary(dict(built))


def _give(engine: Engine, database: Any, clock: Time, accounts: Accounts | None) -> None:
    """Give an engine that a test has made, and that is still there, the data that it asked for."""
    if isinstance(database, Database) and clock is engine._clock:
        return
    for each in (engine, *engine._following):
        each._clock = clock
        each._origin = _origin(each, each._origin._policy, database)
    engine._accounts = accounts
    engine._tried()  # the log says if that fails


def _origin(engine: Engine, policy: Any, database: Any) -> Origin:
    return Origin(
        policy,
        database,
        clock=engine._clock,
        require_data=engine._require_data,
        tallies=engine._tallies,
    )


class _Held:
    """What an engine and those over the same data had before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._had = [
            (each, {name: getattr(each, name) for name in _HELD})
            for each in (engine, *engine._following)
        ]

    def put_back(self) -> None:
        """Put it back in force; make anew what a test has added."""
        with _SWAPPING:
            for engine, had in self._had:
                for name, value in had.items():
                    setattr(engine, name, value)
                engine.current.passes = engine.snapshot.passes
                for tally in engine.snapshot.tallies:  # a reload may have let go of them
                    engine._tallies.setdefault(tally.decision, tally)
        if {*self._engine._following} - {engine for engine, _ in self._had}:
            self._engine._tried()
