"""What an engine is built from: policy and database as they were given, and what they say now."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from georestrict import prepare
from georestrict._core import Tally
from georestrict.accounts import Accounts
from georestrict.age import AgeLog
from georestrict.database import Database
from georestrict.decision import Decision
from georestrict.emergency import VARIABLE, Emergency
from georestrict.errors import ConfigurationError, DatabaseError
from georestrict.policy import Policy
from georestrict.snapshot import Snapshot
from georestrict.watch import Look, look

logger = logging.getLogger("georestrict")


class Origin:
    """A policy and a database as they were given to an engine; builds snapshots of them.

    The ``tallies``, what was said of the data's age, and the emergency switches outlive a snapshot.
    """

    def __init__(
        self,
        policy: Policy | str | Path | Mapping[str, Any],
        database: Database | str | Path | None,
        *,
        clock: Callable[[], float],
        require_data: bool,
        tallies: dict[Decision, Tally],
    ) -> None:
        self._policy, self._database = policy, database
        self._clock, self._tallies, self._require_data = clock, tallies, require_data
        self._lacking = ""  # why there is no data, as the log was told
        self._age_log = AgeLog()
        self._switches: dict[Path | None, Emergency] = {}
        #: what the policy of a build named, until it is in force: it may be mended there
        self.missed: tuple[Path, ...] = ()

    def files(self, policy: Policy) -> list[Path]:
        """Return the files and folders that a build reads, for a policy that it has read."""
        files = [Path(self._policy)] if isinstance(self._policy, str | Path) else []
        files += [source.path for source in policy.lists.values()]
        database = self._database
        return [*files, Path(database)] if isinstance(database, str | Path) else files

    def build(
        self,
        remember: Callable[[], Accounts],
        database: Database | None = None,
        *,
        aside: bool = False,
        may_lack: bool = False,
    ) -> tuple[Snapshot, Look]:
        """Return a snapshot of what the files say now, and how they looked before they were read.

        ``remember`` returns where accounts have been, and is called only if the policy asks. The
        snapshot is over another ``database``, if one is given. What takes long is done ``aside``,
        in another process. With ``may_lack`` a missing database is no error, if none is required.

        Raises:
            ConfigurationError: if the policy, or a list that it names, is wrong, or asks for more
                than is kept of accounts.
            DatabaseError: if the database cannot be used.
        """
        policy = self._policy
        looked = look([Path(policy)]) if isinstance(policy, str | Path) else ()
        if isinstance(policy, str | Path):
            policy = Policy.load(policy)
        elif not isinstance(policy, Policy):
            policy = Policy.from_mapping(policy)
        files = self.files(policy)
        self.missed = tuple(files)
        looked += look(files[len(looked) :])
        given = self._database if database is None else database
        if not aside:
            return self._snapshot(policy, given, remember, may_lack), looked
        with prepare.aside(policy, given, self._clock(), require_data=self._require_data):
            return self._snapshot(policy, given, remember, may_lack), looked

    def _snapshot(
        self, policy: Policy, given: Any, remember: Callable[[], Accounts], may_lack: bool
    ) -> Snapshot:
        is_opened = given is not None and not isinstance(given, str | Path)
        database = given if is_opened else self._opened(given, may_lack)
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
            accounts=_accounts_for(policy, remember),
            age_log=self._age_log,
        )

    def _opened(self, path: str | Path | None, may_lack: bool) -> Database:
        """Open the database; or, if it may be missing and none is in force, what stands in for it.

        Raises:
            DatabaseError: if it cannot be used.
        """
        try:
            database = Database.open(path)
        except DatabaseError as error:
            if self._require_data or not may_lack:
                raise
            if str(error) != self._lacking:
                logger.error(
                    "there is no data, so no public address has a country until a reload finds "
                    "it: %s",
                    error,
                )
            self._lacking = str(error)
            return Database.missing(path)
        self._lacking = ""
        return database


def _accounts_for(policy: Policy, remember: Callable[[], Accounts]) -> Accounts | None:
    """Return the accounts, if a policy asks for them.

    Raises:
        ConfigurationError: if it asks for what is not kept any more.
    """
    asking = list(policy.account_words())
    if not asking:
        return None
    accounts = remember()
    for place, word in asking:
        if word.within > accounts.keep:
            days = -(-word.within // timedelta(days=1))
            raise ConfigurationError(
                f"{policy.place}: {place}.within: is longer than what is kept of accounts "
                f"({accounts.keep.days} days), so the rest of it would see nothing; shorten "
                f'it, or give accounts=Accounts(keep="{days}d")'
            )
    return accounts
