"""The accounts of one process: bounded, expiring, and quick to ask.

Nothing here waits: the lock is held for one account at a time, and never while anybody talks to
Redis.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from cachetools import Cache, LRUCache

from georestrict.accounts.record import FORGOTTEN_MINUTES, Record, Worker, later, minute_of, stale

logger = logging.getLogger("georestrict")

#: how long a claim to tell of a flag waits for Redis before this process decides by itself
PATIENCE_SECONDS = 60.0
# accounts that are looked at for what is too old: whenever one is written, and a few times a second
_SWEPT, _SWEPT_AT_ONCE = 2, 256
_SWEEPS = 30  # rounds over all accounts while one sighting is kept: daily, if it is kept 30 days

Digest = bytes  # the keyed hash of an account
Tell = Callable[[], None]


class Claim(NamedTuple):
    """A block that may have been the one too many; ``since`` when, by the steady clock."""

    tell: Tell
    since: float


class _Records(LRUCache[Digest, bytes]):
    """Packed records; tells what it drops because there are too many."""

    def __init__(self, most: int, dropped: Callable[[Digest], None]) -> None:
        super().__init__(most)
        self._dropped = dropped

    def popitem(self) -> tuple[Digest, bytes]:
        digest, packed = super().popitem()
        self._dropped(digest)
        return digest, packed

    def find(self, digest: Digest) -> bytes:
        """Return a record, or no bytes."""
        return self.get(digest, b"")

    def peek(self, digest: Digest) -> bytes:
        """Return a record without making it the one last used."""
        return Cache.__getitem__(self, digest) if digest in self else b""

    def replace(self, digest: Digest, packed: bytes) -> None:
        """Change a record without making it the one last used."""
        Cache.__setitem__(self, digest, packed)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What others are to know of an account, and who is to be told if it is flagged."""

    digest: Digest
    record: Record
    claim: Claim | None = None
    forgets: int | None = None  #: the minute up to which others have not forgotten yet


class Memory:
    """The records of accounts by digest. ``keep`` is in minutes.

    With ``shared`` it remembers which accounts have changed, for others to be told, and leaves it
    to them who tells of a flag.
    """

    def __init__(
        self,
        *,
        most: int,
        keep: int,
        flag_after: int,
        shared: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keep, self.flag_after, self.shared = keep, flag_after, shared
        # Reentrant, so that a signal handler in the thread that holds it cannot hang the process.
        self.lock = threading.RLock()
        self.worker: Worker = os.urandom(8)
        self.most, self.evicted = most, 0
        self.patience = PATIENCE_SECONDS
        self.partial = False  # whether others may know accounts that are not in memory
        self._records = _Records(most, self._forget_evicted)
        self._unsynced: dict[Digest, None] = {}  # in the order of their changes
        self._claims: dict[Digest, Claim] = {}
        self._forgotten: dict[Digest, int] = {}  # up to when, of those that others do not know of
        self._flagged: set[Digest] = set()  # others must know of these first
        self._clock = clock
        self._to_sweep: list[Digest] = []
        self._swept = -keep  # the minute of the last round's beginning

    def __len__(self) -> int:
        return len(self._records)

    @property
    def unsynced(self) -> int:
        """How many accounts others are to be told of."""
        return len(self._unsynced)

    @property
    def waiting(self) -> int:
        """How many claims to tell of a flag wait for Redis."""
        return len(self._claims)

    def read(self, digest: Digest) -> bytes:
        """Return a packed record, as it is."""
        with self.lock:
            packed = self._records.find(digest)
            if not packed and self.partial and len(self._unsynced) < 2 * self.most:
                self._unsynced[digest] = None  # others may know it: they are asked
            return packed

    def saw(self, digest: Digest, place: bytes, now: float) -> None:
        """Note a sighting; of others, whatever time a request is tried for, nothing is lost."""
        minute = minute_of(now)
        with self.lock:
            packed = self._records.find(digest)
            changed = later(packed, place, minute)
            if changed == packed:
                return
            if changed is not None:
                self._records[digest] = changed
            else:
                clock = minute_of(self._clock())
                record = Record.unpack(packed)
                record.tidy(min(minute, clock), self.keep, max(minute, clock))
                record.see(place, minute)
                if record.pack() == packed:
                    return
                self._write(digest, record)
            if self.shared:
                self._unsynced[digest] = None
            self._sweep(_SWEPT, min(minute, minute_of(self._clock())))

    def blocked(self, digest: Digest, now: float, tell: Tell) -> None:
        """Count a block; once, ``tell`` that it was one too many."""
        minute = minute_of(now)
        with self.lock:
            record = self._open(self._records.find(digest), minute)
            if record.flag is not None:
                return
            record.block(self.worker, minute)
            if self.shared:
                waiting = self._claims.get(digest)
                since = time.monotonic() if waiting is None else waiting.since
                self._claims[digest] = Claim(tell, since)
            flags = not self.shared and record.count >= self.flag_after
            if flags:
                record.flag = minute, self.worker
                record.tidy(minute, self.keep)
            self._changed(digest, record)
        if flags:
            told(tell)

    def forget(self, digest: Digest, now: float) -> None:
        """Drop what is known of an account; if others know it too, remember to tell them."""
        minute = minute_of(now)
        with self.lock:
            self._claims.pop(digest, None)
            self._write(digest, Record())
            if self.shared:
                self._forgotten[digest] = minute
                self._changed(digest, Record(forgotten=(minute, minute + FORGOTTEN_MINUTES)))

    def digests(self) -> list[Digest]:
        """Return all accounts; those that are flagged come last."""
        with self.lock:
            return [*self._records, *self._flagged]

    def copy(self, digest: Digest) -> Record:
        """Return what is known of an account."""
        with self.lock:
            return Record.unpack(self._records.peek(digest))

    def take(self, count: int, minute: int) -> list[Outgoing]:
        """Return so many accounts that others are to be told of, the longest waiting first."""
        with self.lock:
            digests = list(islice(self._unsynced, count))
        return [self._taken(digest, minute) for digest in digests]

    def _taken(self, digest: Digest, minute: int) -> Outgoing:
        with self.lock:
            self._unsynced.pop(digest, None)
            record = Record.unpack(self._records.peek(digest))
            forgets = self._forgotten.pop(digest, None)
            if forgets is not None:  # it counts from when others can know of it
                record.forgotten = forgets, minute + FORGOTTEN_MINUTES
            return Outgoing(digest, record, self._claims.pop(digest, None), forgets)

    def give_back(self, outgoing: Outgoing) -> None:
        """Take back what could not be sent."""
        digest = outgoing.digest
        with self.lock:
            self._unsynced[digest] = None
            if outgoing.claim is not None:
                newer = self._claims.get(digest, outgoing.claim)
                self._claims[digest] = Claim(newer.tell, outgoing.claim.since)
            if outgoing.forgets is not None:
                self._forgotten.setdefault(digest, outgoing.forgets)

    def claim_again(self, outgoing: Outgoing) -> None:
        """Take back a claim that could not be decided, unless that is no longer needed.

        It is, if this worker was told to flag the account, and the answer was lost: others know of
        the flag and leave it to this one to tell.
        """
        with self.lock:
            packed = self._records.peek(outgoing.digest)
            flag = Record.unpack(packed).flag
            if packed and (flag is None or flag[1] == self.worker):
                self.give_back(outgoing)

    def learn(
        self, digest: Digest, fields: Mapping[str, str], minute: int, *, granted: bool = False
    ) -> None:
        """Take over what others know of an account; no fields: nobody knows it any longer.

        ``granted`` says that this process was just asked to tell that it is flagged.
        """
        with self.lock:
            if not fields and digest not in self._unsynced:
                self._write(digest, Record())
                return
            record = Record.unpack(self._records.peek(digest))
            record.merge(Record.of(fields))
            record.tidy(minute, self.keep)
            self._write(digest, record)
            if record.flag is not None and (granted or record.flag[1] != self.worker):
                self._claims.pop(digest, None)

    def grant_overdue(self, now: float) -> list[Tell]:
        """Flag what has waited too long for others to agree; return who is to be told."""
        with self.lock:
            claims = list(self._claims.items())
        limit = time.monotonic() - self.patience
        granted = [
            self._grant(digest, minute_of(now)) for digest, one in claims if one.since <= limit
        ]
        return [tell for tell in granted if tell is not None]

    def _grant(self, digest: Digest, minute: int) -> Tell | None:
        with self.lock:
            record = self._open(self._records.peek(digest), minute)
            claim = self._claims.get(digest)
            if claim is None or record.flag is not None or record.count < self.flag_after:
                return None
            del self._claims[digest]
            record.flag = minute, self.worker
            record.tidy(minute, self.keep)
            self._changed(digest, record)
            return claim.tell

    def after_fork(self) -> None:
        """Become another worker; claims are left to the parent, who will tell."""
        self.worker = os.urandom(8)
        self._claims.clear()

    def _open(self, packed: bytes, minute: int) -> Record:
        record = Record.unpack(packed)
        record.tidy(minute, self.keep)
        return record

    def _changed(self, digest: Digest, record: Record) -> None:
        self._write(digest, record)
        if self.shared:
            self._unsynced[digest] = None

    def _write(self, digest: Digest, record: Record) -> None:
        packed = record.pack()
        if packed:
            self._records[digest] = packed
        else:
            self._records.pop(digest, None)
        self._note_flag(digest, record)

    def _note_flag(self, digest: Digest, record: Record) -> None:
        if record.flag is None:
            self._flagged.discard(digest)
        else:
            self._flagged.add(digest)

    def _forget_evicted(self, digest: Digest) -> None:
        self.evicted += 1
        self.partial = self.shared
        if digest not in self._forgotten:
            self._unsynced.pop(digest, None)
        self._claims.pop(digest, None)
        self._flagged.discard(digest)

    def sweep(self) -> None:
        """Look at some accounts for what is too old."""
        with self.lock:
            self._sweep(_SWEPT_AT_ONCE, minute_of(self._clock()))

    def _sweep(self, count: int, now: int) -> None:
        """Look at so many of the accounts; each comes round ``_SWEEPS`` times while it is kept.

        ``now`` is not later than what the clock says, whatever time a request is tried for.
        """
        pause = max(self.keep // _SWEEPS, 1)
        if not self._to_sweep and not 0 <= now - self._swept < pause:
            self._to_sweep, self._swept = list(self._records), now
        for _ in range(min(count, len(self._to_sweep))):
            digest = self._to_sweep.pop()
            packed = self._records.peek(digest)
            if stale(packed, now - self.keep):
                record = self._open(packed, now)
                left = record.pack()
                if left:
                    self._records.replace(digest, left)
                    self._note_flag(digest, record)
                else:
                    self._write(digest, record)


def told(tell: Tell) -> None:
    """Call what tells the owner; a request must not fail because that does."""
    try:
        tell()
    except Exception:
        logger.exception("on_account_flagged failed")
