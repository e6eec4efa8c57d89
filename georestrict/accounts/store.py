"""``Accounts``: what the engine asks about an account, and what an owner may ask."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Set
from datetime import timedelta
from typing import TYPE_CHECKING
from weakref import WeakSet

from georestrict.accounts import record
from georestrict.accounts.memory import Memory, Tell
from georestrict.accounts.record import Record, Sighting, minute_of, place_of
from georestrict.accounts.sync import Sync, connection
from georestrict.errors import ConfigurationError
from georestrict.policy.checks import duration

if TYPE_CHECKING:
    from redis import Redis

#: The environment variable with the key, if none is given.
VARIABLE = "GEORESTRICT_ACCOUNTS_KEY"
_SHORTEST_KEY, _LONGEST_KEY = 16, 64  # bytes; the longest that BLAKE2b takes (RFC 7693)
_DIGEST_BYTES = 16


class Accounts:
    """Remember where accounts were lately seen, in memory that is bounded and expires.

    >>> accounts = Accounts()
    >>> accounts.saw("alice", "CN", "hosting", now=1_700_000_000.0)
    >>> accounts.seen_in("alice", frozenset({"CN"}), frozenset(), since=1_699_990_000.0)
    True
    >>> accounts.forget("alice")
    >>> accounts.seen_in("alice", frozenset({"CN"}), frozenset(), since=1_699_990_000.0)
    False

    Of an account is kept: for each country and category of network the minute when it was last seen
    there (at most 64), how often it was blocked, and whether it is flagged. Neither its name nor an
    address is: it goes by a keyed hash (BLAKE2b, RFC 7693, 16 bytes).

    A million accounts stay below 300 MiB in a process, if they were seen at two places each: 249
    MiB by ``benchmarks/accounts.py`` with CPython 3.11, and 311 MiB with ten places each.

    Args:
        key: of that hash, 16 bytes or more, the same for all workers: a secret, such as
            ``secrets.token_hex(32)`` makes one. Without Redis it may be left out. If it is, the
            environment's ``GEORESTRICT_ACCOUNTS_KEY`` is taken.
        redis: where workers and machines share what they know, as a URL or a ``redis.Redis``;
            without it each process knows its own requests only.
        keep: how long anything is kept, as hours, days or weeks (``"30d"``) or a ``timedelta``.
        max_accounts: how many are kept in this process; then those least recently used go.
        flag_after: the number of blocked requests after which an account is flagged.
        namespace: what the names of the keys in Redis begin with.
        clock: the time, in seconds since the epoch.

    All methods may be called from any thread; none of them waits for the network but ``sync`` and
    ``close``.

    Raises:
        ConfigurationError: if an option is wrong.
    """

    def __init__(
        self,
        *,
        key: bytes | str | None = None,
        redis: str | Redis | None = None,
        keep: str | timedelta = "30d",
        max_accounts: int = 100_000,
        flag_after: int = 10,
        namespace: str = "georestrict",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keep = duration(keep, "Accounts.keep")
        minutes = max(1, -(-self._keep // timedelta(minutes=1)))
        self._hash = hashlib.blake2b(
            digest_size=_DIGEST_BYTES, key=_key(key, shared=redis is not None)
        )
        self._memory = Memory(
            most=_count(max_accounts, "max_accounts"),
            keep=minutes,
            flag_after=_count(flag_after, "flag_after"),
            shared=redis is not None,
            clock=clock,
        )
        if not callable(clock):
            raise ConfigurationError(f"Accounts.clock: is {clock!r}, must be callable")
        self._clock = clock
        self._sync = None
        if redis is not None:
            self._sync = Sync(
                self._memory,
                connection(redis),
                _name(namespace),
                clock,
                owned=isinstance(redis, str),
            )
        _ALL.add(self)

    @property
    def keep(self) -> timedelta:
        """How long anything is kept."""
        return self._keep

    def saw(self, account: str, country: str, category: str, now: float) -> None:
        """Note where a request of an account came from, and through what (empty: nothing known).

        Raises:
            TypeError: if the account is no text, in all methods.
            ValueError: if these are no country code and no category.
        """
        self._memory.saw(self._digest(account), place_of(country, category), now)

    def seen_in(
        self, account: str, countries: Set[str], categories: Set[str], since: float
    ) -> bool:
        """Return whether it was seen in one of the countries, through one of the categories.

        An empty set stands for any; a plain address has the category ``""``. ``since`` is in
        seconds since the epoch, and counts by the minute.
        """
        packed = self._memory.read(self._digest(account))
        if not packed:  # most that are asked about were never seen where a rule asks
            return False
        first, last = self._minutes(since)
        return record.seen_in(packed, countries, categories, first, last)

    def countries(self, account: str, categories: Set[str], since: float) -> int:
        """Return how many countries it was seen in, through one of the categories."""
        first, last = self._minutes(since)
        packed = self._memory.read(self._digest(account))
        return record.countries_of(packed, categories, first, last)

    def blocked(self, account: str, now: float, tell: Tell) -> None:
        """Count a blocked request, and call ``tell`` once when there were ``flag_after`` of them.

        Without Redis it is called at once. With Redis one worker of all calls it, from the thread
        that synchronises; while Redis is away for longer than a minute, each decides by what it
        knows. A flag holds for ``keep``; blocks are not counted meanwhile.
        """
        self._memory.blocked(self._digest(account), now, tell)

    def forget(self, account: str) -> None:
        """Delete what is known of an account: here at once, elsewhere as soon as Redis is reached.

        For an hour it is remembered that (not what) something was deleted, so that no other worker
        brings it back.
        """
        self._memory.forget(self._digest(account), self._clock())

    def sightings(self, account: str) -> tuple[Sighting, ...]:
        """Return where an account was seen, the last first: all that is kept of its whereabouts."""
        found = Record.unpack(self._memory.read(self._digest(account)))
        found.tidy(minute_of(self._clock()), self._memory.keep)
        return found.whereabouts()

    @property
    def stats(self) -> dict[str, int]:
        """Return counts: ``accounts`` in memory, and those ``evicted`` as there were too many.

        With Redis: ``unsynced`` accounts, which others do not know yet, ``waiting`` flags, and
        ``redis_failures``.
        """
        return {
            "accounts": len(self._memory),
            "evicted": self._memory.evicted,
            "unsynced": self._memory.unsynced,
            "waiting": self._memory.waiting,
            "redis_failures": 0 if self._sync is None else self._sync.failures,
        }

    def start(self) -> None:
        """Begin to synchronise with Redis now, and not at the first request."""
        if self._sync is not None:
            self._sync.start()

    def sync(self) -> bool:
        """Synchronise with Redis now; False if it is away. Without Redis there is nothing to do."""
        return self._sync is None or self._sync.sync()

    def close(self) -> None:
        """Synchronise a last time and stop; what happens from now on stays in this process."""
        if self._sync is not None:
            self._sync.close()

    def __repr__(self) -> str:
        return f"Accounts({len(self._memory)} accounts, kept {self._keep})"

    def _digest(self, account: str) -> bytes:
        if not isinstance(account, str):  # its value is not told: it may be somebody's name
            raise TypeError(f"an account is of type {type(account).__name__}, must be text")
        if self._sync is not None:
            self._sync.start()
        hashed = self._hash.copy()
        hashed.update(account.encode("utf-8", "surrogatepass"))
        return hashed.digest()

    def _minutes(self, since: float) -> tuple[int, float]:
        """Return the minutes to look at.

        What is later than ``keep`` from now has a wrong time, whether now is what the clock says or
        what the caller takes for it; it counts again when the account is next seen.
        """
        first, keep = minute_of(since), self._memory.keep
        return first, max(self._clock() // 60 + keep, first + 2 * keep)


def _name(namespace: object) -> str:
    if not isinstance(namespace, str) or not namespace:
        raise ConfigurationError(
            f"Accounts.namespace: is {namespace!r}, must be a text such as 'georestrict'"
        )
    return namespace


def _key(key: bytes | str | None, *, shared: bool) -> bytes:
    place, advice = (
        "Accounts.key",
        "give a secret of 16 bytes or more, such as secrets.token_hex(32)",
    )
    if key is None:
        key, place = os.environ.get(VARIABLE) or None, VARIABLE
    if key is None:
        if shared:
            raise ConfigurationError(
                "Accounts.key: is missing; with redis= all workers need the same one: "
                f"{advice}, or set {VARIABLE}"
            )
        return os.urandom(_LONGEST_KEY)
    if not isinstance(key, bytes | str):
        raise ConfigurationError(f"{place}: is of type {type(key).__name__}; {advice}")
    found = key.encode() if isinstance(key, str) else key
    if len(found) < _SHORTEST_KEY:  # its value is not told: it is a secret
        raise ConfigurationError(f"{place}: has {len(found)} bytes; {advice}")
    return found if len(found) <= _LONGEST_KEY else hashlib.blake2b(found).digest()


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"Accounts.{name}: is {value!r}, must be a number from 1")
    return value


_ALL: WeakSet[Accounts] = WeakSet()
_held: list[Accounts] = []  # while the process forks


def _before_fork() -> None:
    """Wait until no thread is half way through a change: the child would find it like that."""
    every = list(_ALL)
    for accounts in every:
        accounts._memory.lock.acquire()
    _held[:] = every


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._memory.lock.release()


def _after_fork_in_child() -> None:
    while _held:
        accounts = _held.pop()
        accounts._memory.after_fork()
        if accounts._sync is not None:
            accounts._sync.after_fork()
        accounts._memory.lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
