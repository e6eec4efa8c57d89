"""The engine: policy and database become one table of decisions, made before the first request.

What belongs together lies in one snapshot, so a request sees the policy, lists and data of one
moment, and is one lookup in its table.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from georestrict import prepare
from georestrict._core import Current, Tally
from georestrict.accounts import Accounts
from georestrict.database import Database, Match
from georestrict.decision import Decision
from georestrict.emergency import VARIABLE
from georestrict.errors import ConfigurationError, GeoRestrictError
from georestrict.location import Location
from georestrict.origin import Origin
from georestrict.policy import Action, Policy
from georestrict.request import Identity, Request
from georestrict.snapshot import Address, Snapshot
from georestrict.watch import Look, Watcher, look

logger = logging.getLogger("georestrict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """What became of an engine's reloads in this process."""

    since: datetime  #: when what is in force came into force
    done: int = 0
    failed: int = 0
    last_error: str | None = None  #: why the last one failed; None if it did not
    last_failure: datetime | None = None


class Engine:
    """Decides about addresses by one policy over one database.

    Args:
        policy: a ``Policy``, the path of a policy file, or a mapping.
        database: a ``Database``, the path of an image or an MMDB, or None for the default data.
        clock: seconds since the epoch, for policies with dates and for tests.
        accounts: where accounts have been, for rules that ask; kept in this process if left out.
        require_data: whether a database that is missing or unusable is an error at start. With
            False, every public address is ``no_data`` until a reload finds the database.

    >>> from georestrict import Engine
    >>> engine = Engine({"default": "allow", "rules": [
    ...     {"name": "no-cn", "action": "block", "countries": ["CN"]}]})
    >>> engine.decide("175.16.199.1").action.value
    'block'

    Raises:
        ConfigurationError: if the policy, or a list that it names, is wrong, or asks for more than
            is kept of accounts.
        DatabaseError: if the database cannot be used, and ``require_data`` is not False.
    """

    def __init__(
        self,
        policy: Policy | str | Path | Mapping[str, Any],
        *,
        database: Database | str | Path | None = None,
        clock: Callable[[], float] = time.time,
        accounts: Accounts | None = None,
        require_data: bool = True,
    ) -> None:
        if not isinstance(require_data, bool):
            raise ConfigurationError(f"require_data is {require_data!r}, must be True or False")
        if accounts is not None and not isinstance(accounts, Accounts):
            kind = type(accounts).__qualname__  # a URL or a client would show its password
            raise ConfigurationError(
                f"accounts is of type {kind}, must be Accounts; for a Redis: "
                'accounts=Accounts(redis="redis://…", key=…)'
            )
        self._clock = clock
        self._accounts = accounts
        self._opening = threading.Lock()
        self._leader: Engine | None = None
        self._followers: tuple[ref[Engine], ...] = ()
        self._reloading = threading.Lock()
        self._looked: Look = ()  # how the files looked before what is in force was read
        self._told = ""  # the last failure in the log
        self._tallies: dict[Decision, Tally] = {}  # outlive a reload, and so do their counts
        self._fading: tuple[Tally, ...] = ()  # let go by the last reload; a request may hold one
        self._require_data = require_data
        self._origin = Origin(
            policy,
            database,
            clock=clock,
            require_data=require_data,
            tallies=self._tallies,
        )
        self.snapshot, self._looked = self._origin.build(self.remember, may_lack=True)
        self._origin.missed = ()
        self._in_force = WeakKeyDictionary({self: self.snapshot})
        self.current = Current(self.snapshot.passes)  # what the gates read
        self._reloads = Reloads(since=datetime.now(UTC))
        _ENGINES.add(self)
        _tell_start(self.snapshot)
        self.snapshot.look()

    @classmethod
    def from_options(
        cls,
        *,
        policy: Policy | str | Path | Mapping[str, Any] | None = None,
        engine: Engine | None = None,
        database: Database | str | Path | None = None,
        accounts: Accounts | None = None,
        require_data: bool = True,
        block: Sequence[str] = (),
        warn: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> Engine:
        """Return the engine that a middleware's options describe.

        Raises:
            ConfigurationError: if they describe none, or more than one.
        """
        short = {
            name: codes
            for name, codes in (("block", block), ("warn", warn), ("allow", allow))
            if codes != ()
        }
        if engine is not None:
            if not isinstance(engine, Engine):
                raise ConfigurationError(f"options: engine is {engine!r}, must be an Engine")
            if any(given is not None for given in (policy, database, accounts)) or short:
                raise ConfigurationError(
                    "options: engine= comes alone; it has its policy, database and accounts already"
                )
            if require_data is not True:
                raise ConfigurationError(
                    "options: engine= comes alone; give require_data= to the Engine"
                )
            return engine
        if policy is not None and short:
            raise ConfigurationError(f"options: give policy= or {', '.join(short)}=, not both")
        if policy is None:
            policy = Policy.short(block=block, warn=warn, allow=allow)
        return cls(policy, database=database, accounts=accounts, require_data=require_data)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.snapshot.policy

    @property
    def database(self) -> Database:
        """The database in use."""
        return self.snapshot.database

    @property
    def accounts(self) -> Accounts | None:
        """Where accounts have been; None while nobody asks.

        Engines over the same data share it (``with_policy``), and a reload leaves it as it is.
        """
        return self._root._accounts

    def remember(self) -> Accounts:
        """Return ``accounts``; made in this process from now on, if there were none."""
        leader = self._root
        with leader._opening:
            if leader._accounts is None:
                leader._accounts = Accounts(clock=self._clock)
            return leader._accounts

    @property
    def in_force(self) -> Mapping[Engine, Snapshot]:
        """What this engine and those over the same data decide by, of one moment."""
        return self._root._in_force

    def now(self) -> float:
        """Return the time by the engine's clock, in seconds since the epoch."""
        return self._clock()

    def decide(
        self,
        address: Address | None,
        *,
        path: str = "/",
        raw_path: bytes | None = None,
        method: str = "GET",
        host: str = "",
        protocol: str = "http",
        headers: Iterable[tuple[bytes, bytes]] = (),
        account: str | None = None,
        attributes: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> Decision:
        """Return the decision for a request.

        None and text that is no address are ``unresolved``. ``path`` is what the app sees,
        percent-decoded; ``raw_path`` the same as it was sent, where the server tells. ``host`` is
        that of the request, else its ``Host`` header's. ``attributes`` is what the app knows of
        the request, and ``at`` a time to judge by instead of now. Where a rule asks where accounts
        have been, that ``account`` is here at that time is kept, so try other times on an engine
        with ``accounts`` of its own. What no rule of the policy asks about is not looked at. Never
        raises on an address, a path or a header.

        Raises:
            ValueError: if ``at`` has no offset from UTC.
        """
        if at is not None and at.utcoffset() is None:
            raise ValueError(f"at is {at.isoformat()}, a time without an offset; add tzinfo=UTC")
        request = Request(
            path,
            raw_path,
            method,
            protocol,
            headers,
            host or None,
            None if attributes is None else lambda: attributes,
            None if at is None else at.timestamp(),
            identity=None if account is None else Identity(lambda _: account),
        )
        return self.snapshot.judge(address, request)[1]

    @property
    def counts(self) -> dict[Decision, int]:
        """How many requests got each decision from the middlewares of this engine, since its start.

        Exact, reloads included; what ``decide`` answers is not counted.
        """
        found: dict[Decision, int] = {}
        with _SWAPPING:  # else a reload may be moving what one tally has counted to another
            tallies = dict.fromkeys((*self._tallies.values(), *self._fading))
            for tally in tallies:
                if tally.count:
                    found[tally.decision] = found.get(tally.decision, 0) + tally.count
        return found

    def lookup(self, address: Address) -> Location:
        """Return what is known of an address, with the policy's lists that hold it."""
        return self.snapshot.lookup(address)

    def matches(self, address: Address) -> tuple[Match, ...]:
        """Return the ranges and list lines that hold an address: slow, for people."""
        return (*self.database.matches(address), *self.snapshot.list_matches(address))

    def with_policy(self, policy: Policy | str | Path | Mapping[str, Any]) -> Engine:
        """Return an engine for another policy over the same data; the two are reloaded as one.

        Raises:
            ConfigurationError: if the policy, or a list that it names, is wrong.
        """
        leader = self._root
        with leader._reloading:
            engine = Engine(
                policy,
                database=leader.database,
                clock=self._clock,
                accounts=leader.accounts,
                require_data=leader._require_data,
            )
            leader._accounts = engine.accounts
            engine._leader, engine._in_force = leader, WeakKeyDictionary()
            leader._in_force = WeakKeyDictionary({**leader._in_force, engine: engine.snapshot})
            leader._looked += tuple(
                state for state in engine._looked if state not in leader._looked
            )
            leader._followers = tuple(ref(each) for each in (*leader._following, engine))
        return engine

    def reload(self) -> None:
        """Read the policy, its lists and the database again, and put them in force as one.

        With them the policies of all engines over the same data (``with_policy``), whichever of
        these is told to. Requests under way finish on what they began with. If anything is wrong,
        the error is raised and what was in force stays so.

        It takes as long as reading and painting everything does. So in a coroutine, wait for it
        in a thread: ``await asyncio.to_thread(engine.reload)``.
        """
        self._root._reload()

    def try_reload(self) -> bool:
        """Reload; on an error keep what is in force, log the error, and return False."""
        return self._root._tried() is True

    @property
    def reloads(self) -> Reloads:
        """What became of the reloads; engines over the same data have them in common."""
        return self._root._reloads

    def watched_files(self) -> tuple[Path, ...]:
        """Return the files and folders that ``watch`` looks at.

        They are the policy's, its lists' and the database's, as far as these were given as paths,
        and those of the other engines over the same data.
        """
        root = self._root
        every = [(engine._origin, engine.policy) for engine in (root, *root._following)]
        files = [path for origin, policy in every for path in origin.files(policy)]
        missed = [path for origin, _ in every for path in origin.missed]
        return tuple(dict.fromkeys([*files, *missed]))

    def watch(self, every: float = 1.0, *, start: bool = True) -> None:
        """Reload whenever a watched file has changed, from a thread that looks at them.

        ``every`` is in seconds. Two looks in a row must see the same, so that a file which is still
        being written to is left alone, and what changes meanwhile comes into force as one. A reload
        that fails keeps what is in force, is logged, and is tried again at the next change and
        after 1, 2, 4 … 60 seconds. Entries of lists that end make a reload, too. All engines of a
        process are watched by one thread, and those that a process forks have one of their own.
        Without ``start`` only these begin: it is for a process that serves nothing but forks.

        Raises:
            ConfigurationError: if ``every`` is not above 0.
        """
        if isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < inf:
            raise ConfigurationError(f"watch is {every!r}, must be seconds, more than 0")
        if self.watching is None and not self.watched_files():
            logger.warning(
                "%s: there is nothing to watch; give the policy or the database as a path",
                self.policy.place,
            )
        _WATCHER.add(self._root, every, start=start)

    def unwatch(self) -> None:
        """Look at the files no longer."""
        _WATCHER.remove(self._root)

    @property
    def watching(self) -> float | None:
        """How often the files are looked at, in seconds; None if they are not."""
        return _WATCHER.every(self._root)

    @property
    def looked(self) -> Look:
        """How the watched files looked just before what is in force was read from them."""
        return self._looked

    def is_due(self) -> bool:
        """Return whether a reload is due although no file has changed.

        So it is after one that failed, when an entry of a list has ended, and when data has grown
        too old.
        """
        if self._reloads.last_error is not None or self.database.is_missing:
            return True
        return any(engine.snapshot.is_outdated() for engine in (self, *self._following))

    def take_up(self) -> bool:
        """Reload for the watcher; what fails again in the same way is not logged again.

        What has changed while it was read is not put in force: the watcher comes again.
        """
        done = self._tried(again=False, at_rest=True)
        return done is not False and not self.database.is_missing

    @property
    def _root(self) -> Engine:
        """The engine whose data this one decides by."""
        return self._leader or self

    @property
    def _following(self) -> list[Engine]:
        """The engines that are reloaded with this one."""
        return [engine for each in self._followers if (engine := each()) is not None]

    def _tried(self, *, again: bool = True, at_rest: bool = False) -> bool | None:
        """Reload; log a failure, once or each time; None if nothing was put in force."""
        try:
            done = self._reload(at_rest=at_rest)
        except Exception as error:
            told = str(error)
            if again or told != self._told:
                defect = None if isinstance(error, GeoRestrictError | OSError) else error
                logger.error(
                    "reload failed, the policy and data in force stay: %s", told, exc_info=defect
                )
            self._told = told
            return False
        if done:
            self._told = ""
            logger.info("reloaded, snapshot %s: %r", self.snapshot.id, self)
        return done or None

    def _reload(self, *, at_rest: bool = False) -> bool:
        """Reload, and note what became of it.

        With ``at_rest`` nothing is put in force if files have changed while they were read.
        """
        with self._reloading:  # so that an older state never replaces a newer one
            try:
                with prepare.uncollected():
                    built = self._rebuilt()
            except Exception as error:
                self._reloads = replace(
                    self._reloads,
                    failed=self._reloads.failed + 1,
                    last_error=str(error) or repr(error),
                    last_failure=datetime.now(UTC),
                )
                raise
            looked = tuple(dict.fromkeys(state for *_, seen in built for state in seen))
            if at_rest and look(Path(str(path)) for path, *_ in looked) != looked:
                return False
            replaced = [(engine, engine.snapshot) for engine, *_ in built]
            with _SWAPPING:
                for engine, snapshot, _ in built:
                    engine.snapshot = snapshot
                    engine.current.passes = snapshot.passes
                    engine._origin.missed = ()
                self._in_force = WeakKeyDictionary({each: snapshot for each, snapshot, _ in built})
                self._looked = looked
                self._reloads = Reloads(
                    since=datetime.now(UTC),
                    done=self._reloads.done + 1,
                    failed=self._reloads.failed,
                    last_failure=self._reloads.last_failure,
                )
            for engine, snapshot in replaced:
                snapshot.retire()
                engine._forget(snapshot)
            for _, snapshot, _ in built:
                snapshot.look()  # says what has changed
        return True

    def _forget(self, replaced: Snapshot) -> None:
        """Let go of what has counted nothing and is of no policy in force.

        Else policies whose rules have other names each time would fill the memory. What a request
        under way may still count by is kept until the next reload, and for good if it did.
        """
        with _SWAPPING:
            for tally in self._fading:
                if not tally.count:
                    continue
                kept = self._tallies.setdefault(tally.decision, tally)
                for _ in range(0 if kept is tally else tally.count):
                    kept.add()
            self._fading = ()
        used = {*replaced.tallies, *self.snapshot.tallies}
        fading = [each for each in [*self._tallies.values()] if not (each.count or each in used)]
        self._fading = tuple(fading)
        for tally in fading:
            del self._tallies[tally.decision]

    def _rebuilt(self) -> list[tuple[Engine, Snapshot, Look]]:
        """Return new snapshots of this engine and those that follow it, and what was looked at."""
        followers = self._following
        for engine in (self, *followers):
            engine._origin.missed = ()
        missing = self.database.is_missing
        snapshot, looked = self._origin.build(self.remember, aside=True, may_lack=missing)
        built = [(self, snapshot, looked)]
        for each in followers:
            built.append((each, *each._origin.build(each.remember, snapshot.database, aside=True)))
        return built

    def __repr__(self) -> str:
        return f"Engine({self.policy.place!r}, {self.database!r})"


def _tell_start(snapshot: Snapshot) -> None:
    """Say once what holds where there is no country, and what is missing."""
    policy = snapshot.policy
    cases = ", ".join(f"{case}: {action}" for case, action in policy.fallback.items())
    logger.info(
        "%s: %d rules, default %s; %s", policy.place, len(policy.rules), policy.default, cases
    )
    blocks = policy.default is Action.BLOCK or any(
        Action.BLOCK in rule.actions for rule in policy.rules
    )
    if blocks and policy.contact is None:
        logger.warning(
            '%s: no contact: blocked clients are not told whom to ask; set contact = "https://…"',
            policy.place,
        )
    if policy.emergency_file is not None and os.environ.get(VARIABLE):
        logger.warning(
            "%s: names the emergency file %s, so that of %s is not looked at; keep one of them",
            policy.place,
            policy.emergency_file,
            VARIABLE,
        )


_WATCHER = Watcher()
_ENGINES: WeakSet[Engine] = WeakSet()
_SWAPPING = threading.Lock()  # while snapshots are replaced, which takes microseconds


def _before_fork() -> None:
    """Wait until no snapshots are half replaced: the child would find them like that."""
    _SWAPPING.acquire()


def _after_fork_in_parent() -> None:
    _SWAPPING.release()


def _after_fork_in_child() -> None:
    """Free what threads held that this process does not have; a reload of theirs never ends."""
    _SWAPPING.release()
    prepare.resume()
    for engine in _ENGINES:
        engine._reloading, engine._opening = threading.Lock(), threading.Lock()
    _WATCHER.after_fork()


def _tell_forks(register: Callable[..., None] | None) -> None:
    """Have the functions above called; without fork (Windows) there is nothing to do."""
    if register is not None:
        register(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )


_tell_forks(getattr(os, "register_at_fork", None))
