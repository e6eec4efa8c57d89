"""What the workers know of accounts, shared through Redis.

Redis holds for each account a hash whose fields are those of ``record.py``, the changed accounts by
the number of their last change, and that number. A background thread of each process reads, a few
times a second, what has changed since it last looked, and sends what has changed here; a script in
Redis merges it (``merge.lua``). As the later of two values always wins, it does no harm to send
something twice, and what failed is sent again.

A worker leaves a mark in Redis behind everything that it sent or read. Redis has lost data if it is
not there: it was restarted empty or from an older copy, or another machine has taken over. Then the
worker sends all it knows. Requests never wait for any of this.
"""

from __future__ import annotations

import atexit
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from georestrict.accounts.memory import Digest, Memory, Outgoing, told
from georestrict.accounts.record import MOST_SIGHTINGS, Record, minute_of
from georestrict.errors import ConfigurationError
from georestrict.repeats import Repeats

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger("georestrict")

INTERVAL_SECONDS = 0.3  # so that other workers know within a second
_TIMEOUT_SECONDS = 1.0
#: when Redis has lost data, nobody may tell of a flag for so long: another worker may know that it
#: has been told, and has to find out that it must say so again
HOLD_SECONDS = 2.0
_PAUSE_SECONDS = 60.0  # until a thread that could not be started is tried again
_BATCH = 256  # accounts that are sent or read at once
_MARK_SECONDS = 86_400  # a mark that is gone only means that all is sent again
_DIGEST = re.compile(r"[0-9a-f]{32}")
_SCRIPT = Path(__file__).with_name("merge.lua")


def connection(redis: str | Redis) -> Callable[[], Redis]:
    """Return what makes a client of Redis for a process, from a URL or a client.

    Raises:
        ConfigurationError: if it is neither, or the package ``redis`` is not installed.
    """
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
        from redis.retry import Retry
    except ImportError as error:
        raise ConfigurationError(
            "Accounts.redis: the package redis is not installed; "
            "say pip install 'georestrict[redis]'"
        ) from error

    if isinstance(redis, Redis):
        if redis.connection_pool.connection_kwargs.get("socket_timeout") is None:
            logger.warning(
                "accounts: the redis.Redis that is given waits without end for one that hangs, and "
                "then this process cannot end: make it with socket_timeout=1"
            )
        return lambda: redis
    if not isinstance(redis, str):
        raise ConfigurationError(
            f"Accounts.redis: is of type {type(redis).__module__}.{type(redis).__qualname__}; "
            "give a URL such as 'redis://localhost:6379/0', or a redis.Redis (not of redis.asyncio)"
        )

    def connect() -> Redis:
        # No retries: the next round is one, and it comes soon.
        return Redis.from_url(
            redis,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    try:
        connect().connection_pool.make_connection()  # which does not connect yet
    except (ValueError, TypeError, RedisError) as error:  # its value is not told: it has a password
        raise ConfigurationError(
            f"Accounts.redis: is no URL of a Redis ({error}); write it as "
            "redis://[[user]:password@]host:port/database, rediss:// for TLS, or unix:///path"
        ) from error
    return connect


class Sync:
    """Synchronises the memory of this process with Redis.

    The client is ``owned`` if it was made here; then it is closed here, too.
    """

    def __init__(
        self,
        memory: Memory,
        connect: Callable[[], Redis],
        namespace: str,
        clock: Callable[[], float],
        *,
        owned: bool,
    ) -> None:
        self.failures, self._owned = 0, owned
        self._defects = Repeats(logger)
        self._memory, self._connect, self._clock = memory, connect, clock
        self._account = f"{namespace}:a:"
        self._changed, self._sequence = f"{namespace}:changed", f"{namespace}:sequence"
        self._mark_of = f"{namespace}:mark:"
        self._script = _SCRIPT.read_text(encoding="utf-8")
        self._away = self._closed = False
        self.hold = HOLD_SECONDS
        self._begin()

    def _begin(self) -> None:
        """Begin in this process, knowing nothing of what Redis knows."""
        self._client = self._connect()
        self._merge = self._client.register_script(self._script)
        # Held by who talks to Redis; no request takes it. Reentrant, for a tell that synchronises.
        self._turn = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._not_before = -math.inf
        self._cursor = 0  # the last change that was read
        self._mark, self._marked = (
            0,
            True,
        )  # the mark that was left, and whether behind what was read
        self._held_until = -math.inf
        self._resend: list[Digest] = []

    def after_fork(self) -> None:
        """Begin anew in a child: threads, locks and connections are those of the parent."""
        self._begin()

    def start(self) -> None:
        """Start the thread, if it does not run in this process yet."""
        if self._thread is not None or self._closed:
            return
        with self._memory.lock:
            if self._thread is not None or time.monotonic() < self._not_before:
                return
            self._thread = threading.Thread(
                target=self._run, name="georestrict accounts", daemon=True
            )
            thread = self._thread
        atexit.unregister(self.close)  # a parent may have registered it
        atexit.register(self.close)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads for this process
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            self._thread = None
            self.failures += 1
            logger.warning("accounts: not synchronised with Redis for now: %s", error)

    def close(self) -> None:
        """Stop the thread, synchronise a last time, and leave no connection open."""
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            self._stop.set()
            if self._thread not in (None, threading.current_thread()):
                self._thread.join(_TIMEOUT_SECONDS)
            self.sync()
        if self._owned:
            self._client.close()

    def sync(self) -> bool:
        """Synchronise now; False if Redis is away or refuses."""
        from redis.exceptions import RedisError

        tells: list[Callable[[], None]] = []
        with self._turn:
            try:
                self._round(tells)
            except (RedisError, OSError) as error:
                self._failed(error)
                tells += self._memory.grant_overdue(self._clock())
                reached = False
            else:
                self._succeeded()
                reached = True
            self._memory.sweep()
            for tell in tells:  # in turn, so that whoever has synchronised knows that all are told
                told(tell)
        return reached

    def _run(self) -> None:
        stop = self._stop
        while True:
            try:
                self.sync()
            except Exception:  # a defect here must not end the thread
                self.failures += 1
                self._defects.exception("accounts could not be synchronised")
            if stop.wait(INTERVAL_SECONDS):
                return

    def _round(self, tells: list[Callable[[], None]]) -> None:
        last = self._look()
        if last != self._cursor:
            self._read_changes()
        if not self._mark or not self._marked:
            self._client.set(self._mark_key, self._mark + 1, ex=_MARK_SECONDS)
            self._mark, self._marked = self._mark + 1, True
        self._send(tells)

    @property
    def _mark_key(self) -> str:
        return self._mark_of + self._memory.worker.hex()

    def _look(self) -> int:
        """Return the number of the last change; begin anew if Redis has lost data."""
        values: Any = self._client.mget(self._sequence, self._mark_key)
        last, mark = (int(value or 0) for value in values)
        if mark == self._mark + 1:  # it was left, but the answer was lost
            self._mark = mark
        if mark != self._mark or last < self._cursor:
            self._mark, self._marked, self._cursor = mark, False, 0
            self._resend = self._memory.digests()
            self._held_until = time.monotonic() + self.hold
            logger.info(
                "accounts: Redis does not know what was sent to it; accounts to be sent again: %d",
                len(self._resend),
            )
        return last

    def _read_changes(self) -> None:
        client, most = self._client, self._memory.most
        if not self._cursor:
            first: Any = client.zrange(self._changed, -most - 1, -most - 1, withscores=True)
            if first:  # more than are kept here: take the last ones
                self._cursor, self._memory.partial = math.ceil(first[0][1]), True
        while True:
            changes: Any = client.zrangebyscore(
                self._changed, f"({self._cursor}", "(+inf", start=0, num=_BATCH, withscores=True
            )
            if not changes:
                return
            # What is none was not written by us; it is passed over.
            digests = [each for digest, _ in changes if _DIGEST.fullmatch(each := _text(digest))]
            with client.pipeline(transaction=False) as pipe:
                for digest in digests:
                    pipe.hgetall(self._account + digest)
                for digest, fields in zip(digests, pipe.execute(), strict=True):
                    self._learn(bytes.fromhex(digest), fields)
            self._cursor, self._marked = math.ceil(changes[-1][1]), False

    def _send(self, tells: list[Callable[[], None]]) -> None:
        """Send what has changed until now, and what Redis has lost."""
        memory, left = self._memory, self._memory.unsynced + len(self._resend)
        sent_at: set[int] = set()
        while left > 0:
            batch = memory.take(min(_BATCH, left), minute_of(self._clock()))
            again = self._resend[-(_BATCH - len(batch)) :] if len(batch) < _BATCH else []
            del self._resend[len(self._resend) - len(again) :]
            batch += [Outgoing(digest, memory.copy(digest)) for digest in again]
            left -= _BATCH
            self._send_batch(batch, tells, sent_at)
        while self._cursor + 1 in sent_at:  # our own need not be read again
            self._cursor += 1

    def _send_batch(
        self, batch: list[Outgoing], tells: list[Callable[[], None]], sent_at: set[int]
    ) -> None:
        memory, now = self._memory, minute_of(self._clock())
        held = time.monotonic() < self._held_until
        answers: list[Any] = []
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for each in batch:
                    claims = each.claim is not None and not held
                    arguments = self._arguments(each.record, now, claims=claims)
                    self._merge(self._keys(each.digest), arguments, client=pipe)
                pipe.set(self._mark_key, self._mark + 1, ex=_MARK_SECONDS)
                *answers, marked = pipe.execute(raise_on_error=False)
        finally:
            for each in batch[len(answers) :]:
                memory.give_back(each)
        failed = marked if isinstance(marked, Exception) else None
        self._mark += failed is None
        for each, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                memory.give_back(each)
                failed = answer
                continue
            granted, number, *flat = answer
            sent_at.add(number)
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            self._learn(each.digest, fields, granted=granted == 1)
            if granted == 1 and each.claim is not None:
                tells.append(each.claim.tell)
            elif (granted == -1 or held) and each.claim is not None:
                memory.claim_again(each)
        if failed is not None:
            raise failed

    def _keys(self, digest: Digest) -> list[str]:
        return [self._account + digest.hex(), self._changed, self._sequence, self._mark_key]

    def _arguments(self, record: Record, now: int, *, claims: bool) -> Iterable[str | int]:
        memory = self._memory
        yield from (memory.worker.hex(), self._mark, now, memory.keep)
        yield from (memory.flag_after if claims else 0, MOST_SIGHTINGS)
        for field, value in record.fields().items():
            yield from (field, value)

    def _learn(self, digest: Digest, fields: Mapping[Any, Any], *, granted: bool = False) -> None:
        read = {_text(field): _text(value) for field, value in fields.items()}
        self._memory.learn(digest, read, minute_of(self._clock()), granted=granted)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self._away:
            self._away = True
            logger.warning(
                "accounts: Redis cannot be used (%s: %s); this process goes by what it knows, and "
                "sends what changes when Redis is back",
                type(error).__name__,
                error,
            )

    def _succeeded(self) -> None:
        if self._away:
            self._away = False
            logger.warning("accounts: Redis is back, and knows what has changed meanwhile")


def _text(value: str | bytes) -> str:
    """Return text of a client that decodes, or does not."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
