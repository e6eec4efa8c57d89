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
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakSet

from georestrict._core import Current, Tally
from georestrict.accounts import Accounts
from georestrict.age import AgeLog
from georestrict.database import Database, Match
from georestrict.decision import Decision
from georestrict.emergency import VARIABLE, Emergency
from georestrict.errors import ConfigurationError
from georestrict.location import Location
from georestrict.policy import Action, Policy
from georestrict.request import Identity, Request
from georestrict.snapshot import Address, Snapshot

logger = logging.getLogger("georestrict")


class Engine:
    """Decides about addresses by one policy over one database.

    Args:
        policy: a ``Policy``, the path of a policy file, or a mapping.
        database: a ``Database``, the path of an image, or None for the default data.
        clock: seconds since the epoch, for policies with dates and for tests.
        accounts: where accounts have been, for rules that ask; kept in this process if left out.

    >>> from georestrict import Engine
    >>> engine = Engine({"default": "allow", "rules": [
    ...     {"name": "no-cn", "action": "block", "countries": ["CN"]}]})
    >>> engine.decide("175.16.199.1").action.value
    'block'

    Raises:
        ConfigurationError: if the policy, or a list that it names, is wrong, or asks for more than
            is kept of accounts.
        DatabaseError: if the database cannot be used.
    """

    def __init__(
        self,
        policy: Policy | str | Path | Mapping[str, Any],
        *,
        database: Database | str | Path | None = None,
        clock: Callable[[], float] = time.time,
        accounts: Accounts | None = None,
    ) -> None:
        if accounts is not None and not isinstance(accounts, Accounts):
            kind = type(accounts).__qualname__  # a URL or a client would show its password
            raise ConfigurationError(
                f"accounts is of type {kind}, must be Accounts; for a Redis: "
                'accounts=Accounts(redis="redis://…", key=…)'
            )
        self._given = policy, database
        self._clock = clock
        self._accounts = accounts
        self._opening = threading.Lock()
        self._leader: Engine | None = None
        self._followers: WeakSet[Engine] = WeakSet()
        self._reloading = threading.Lock()
        self._tallies: dict[Decision, Tally] = {}  # outlive a reload, and so do their counts
        self._age_log = AgeLog()
        self._switches: dict[Path | None, Emergency] = {}
        self.snapshot = self._build()
        self.current = Current(self.snapshot.passes)  # what the ASGI gate reads
        _tell_start(self.snapshot)

    @classmethod
    def from_options(
        cls,
        *,
        policy: Policy | str | Path | Mapping[str, Any] | None = None,
        engine: Engine | None = None,
        database: Database | str | Path | None = None,
        accounts: Accounts | None = None,
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
            return engine
        if policy is not None and short:
            raise ConfigurationError(f"options: give policy= or {', '.join(short)}=, not both")
        if policy is None:
            policy = Policy.short(block=block, warn=warn, allow=allow)
        return cls(policy, database=database, accounts=accounts)

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
        return (self._leader or self)._accounts

    def remember(self) -> Accounts:
        """Return ``accounts``; made in this process from now on, if there were none."""
        leader = self._leader or self
        with leader._opening:
            if leader._accounts is None:
                leader._accounts = Accounts(clock=self._clock)
            return leader._accounts

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
        tallies = tuple(self._tallies.values())
        return {tally.decision: tally.count for tally in tallies if tally.count}

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
        leader = self._leader or self
        with leader._reloading:
            engine = Engine(
                policy, database=leader.database, clock=self._clock, accounts=leader.accounts
            )
            leader._accounts = engine.accounts
            engine._leader = leader
            leader._followers.add(engine)
        return engine

    def reload(self) -> None:
        """Read the policy, its lists and the database again, and put them in force as one.

        With them the policies of all engines over the same data (``with_policy``), whichever of
        these is told to. Requests under way finish on what they began with. If anything is wrong,
        the error is raised and what was in force stays so.
        """
        if self._leader is not None:
            self._leader.reload()
            return
        with self._reloading:  # so that an older state never replaces a newer one
            snapshot = self._build()
            followers = [(one, one._build(snapshot.database)) for one in self._followers]
            for engine, built in ((self, snapshot), *followers):
                engine.snapshot = built
                engine.current.passes = built.passes

    def _build(self, database: Database | None = None) -> Snapshot:
        policy, given = self._given
        if isinstance(policy, str | Path):
            policy = Policy.load(policy)
        elif not isinstance(policy, Policy):
            policy = Policy.from_mapping(policy)
        if database is not None:
            given = database
        database = Database.open(given) if given is None or isinstance(given, str | Path) else given
        if not isinstance(database, Database):
            raise ConfigurationError(
                f"database is {database!r}, must be a Database, the path of an image, or None"
            )
        path = policy.emergency_file
        if path is None and os.environ.get(VARIABLE):
            path = Path(os.environ[VARIABLE])
        return Snapshot(
            policy,
            database,
            tallies=self._tallies,
            clock=self._clock,
            emergency=self._switches.setdefault(path, Emergency(path)),
            accounts=self._accounts_for(policy),
            age_log=self._age_log,
        )

    def _accounts_for(self, policy: Policy) -> Accounts | None:
        """Return the accounts, if a policy asks for them.

        Raises:
            ConfigurationError: if it asks for what is not kept any more.
        """
        asking = list(policy.account_words())
        if not asking:
            return None
        accounts = self.remember()
        for place, word in asking:
            if word.within > accounts.keep:
                days = -(-word.within // timedelta(days=1))
                raise ConfigurationError(
                    f"{policy.place}: {place}.within: is longer than what is kept of accounts "
                    f"({accounts.keep.days} days), so the rest of it would see nothing; shorten "
                    f'it, or give accounts=Accounts(keep="{days}d")'
                )
        return accounts

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
