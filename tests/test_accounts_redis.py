"""Accounts that workers share through a real Redis, which goes away, forgets, hangs and refuses."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from georestrict import Accounts, ConfigurationError
from georestrict.accounts.record import MOST_SIGHTINGS, Record, place_of
from georestrict.asgi import GeoRestrictMiddleware
from tests.redis_server import RedisServer
from tests.test_accounts import ANY, DAY, NOW, Clock, noting, seen
from tests.waiting import wait_until

pytestmark = [pytest.mark.once, pytest.mark.needs("redis-server")]

KEY = b"0123456789abcdef"
MINUTE = int(NOW // 60)
Make = Callable[..., Accounts]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """For tests that do it no harm; each has a namespace of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that the test may kill."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def closing() -> Iterator[list[Accounts]]:
    opened: list[Accounts] = []
    yield opened
    for each in opened:
        each.close()


@pytest.fixture
def worker(shared_server: RedisServer, closing: list[Accounts], request: Any) -> Make:
    """Makes what a worker has; those of one test share a namespace."""
    return maker(shared_server, closing, namespace=request.node.nodeid)


@pytest.fixture
def own_worker(server: RedisServer, closing: list[Accounts]) -> Make:
    """Makes what a worker has, over the Redis that may be killed."""
    return maker(server, closing)


def maker(server: RedisServer, closing: list[Accounts], **fixed: Any) -> Make:
    def make(**options: Any) -> Accounts:
        made = Accounts(**{"key": KEY, "redis": server.url, "clock": Clock(), **fixed, **options})
        closing.append(made)
        return made

    return make


def sync(*workers: Accounts) -> None:
    """Let every worker send, and then every one read."""
    for each in (*workers, *workers):
        assert each.sync()


def block(accounts: Accounts, times: int, flags: list[Any], name: str = "alice") -> None:
    for _ in range(times):
        accounts.blocked(name, NOW, noting(flags, name))


def test_what_one_worker_saw_another_knows_without_being_asked(worker: Make) -> None:
    one, other = worker(), worker()
    other.start()
    one.saw("alice", "CN", "hosting", NOW)
    wait_until(lambda: seen(other, "alice"))
    other.saw("alice", "DE", "", NOW)
    wait_until(lambda: one.countries("alice", ANY, NOW - DAY) == 2)


def test_a_middleware_learns_what_others_know_when_its_server_starts(worker: Make) -> None:
    one, late = worker(), worker()
    one.saw("alice", "CN", "", NOW)
    sync(one)

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    async def unused(*_: Any) -> Any: ...

    rule = {
        "name": "tunnel",
        "action": "block",
        "categories": ["hosting"],
        "account_seen_in": {"countries": ["CN"], "within": "7d"},
    }
    guarded = GeoRestrictMiddleware(
        app,
        policy={"default": "allow", "contact": "https://example.com/contact", "rules": [rule]},
        identify=lambda scope: None,
        accounts=late,
    )
    asyncio.run(guarded({"type": "lifespan"}, unused, unused))
    wait_until(lambda: late.stats["accounts"] == 1)


def test_what_both_saw_is_joined_and_the_later_time_wins(worker: Make) -> None:
    one, other = worker(), worker()
    one.saw("alice", "CN", "", NOW - 3600)
    other.saw("alice", "CN", "", NOW)
    one.saw("alice", "DE", "hosting", NOW - 60)
    sync(one, other)
    assert one.sightings("alice") == other.sightings("alice")
    assert [(each.country, each.seen.timestamp()) for each in one.sightings("alice")] == [
        ("CN", NOW),
        ("DE", NOW - 60),
    ]


def test_a_worker_that_starts_later_learns_what_the_others_know(worker: Make) -> None:
    one = worker()
    for number in range(700):  # more than are read at once
        one.saw(f"account {number}", "CN", "", NOW)
    sync(one)
    late = worker()
    sync(late)
    assert late.stats["accounts"] == 700
    assert seen(late, "account 0") and seen(late, "account 699")


def test_a_worker_that_keeps_fewer_learns_those_last_changed_and_asks_for_the_others(
    worker: Make,
) -> None:
    one, small = worker(), worker(max_accounts=10)
    for number in range(50):
        one.saw(f"account {number}", "CN", "", NOW)
        one.sync()
    sync(small)
    assert small.stats["accounts"] == 10
    assert all(seen(small, f"account {number}") for number in range(40, 50))
    assert not seen(small, "account 7")
    sync(small)
    assert seen(small, "account 7")
    assert small.stats["accounts"] == 10


def test_an_account_that_was_evicted_is_known_again_when_it_comes_back(worker: Make) -> None:
    small = worker(max_accounts=2)
    small.saw("alice", "CN", "", NOW)
    sync(small)
    small.saw("bob", "DE", "", NOW)
    small.saw("carol", "DE", "", NOW)
    sync(small)
    assert small.stats["evicted"] == 1
    small.saw("alice", "DE", "", NOW)
    sync(small)
    assert seen(small, "alice", "CN")


def test_blocks_of_all_workers_add_up_and_one_of_them_tells(worker: Make) -> None:
    flags: list[Any] = []
    one, other = worker(flag_after=10), worker(flag_after=10)
    block(one, 5, flags)
    block(other, 4, flags)
    sync(one, other)
    assert flags == []
    block(one, 1, flags)
    sync(one, other)
    assert flags == ["alice"]
    block(one, 20, flags)
    block(other, 20, flags)
    sync(one, other)
    assert flags == ["alice"]


def test_the_last_block_need_not_come_after_the_others_are_known(worker: Make) -> None:
    flags: list[Any] = []
    one, other = worker(flag_after=10), worker(flag_after=10)
    block(one, 5, flags)
    block(other, 5, flags)
    sync(one, other)
    assert flags == ["alice"]


def test_of_many_workers_that_find_the_last_block_at_once_one_tells(worker: Make) -> None:
    flags: list[Any] = []
    workers = [worker(flag_after=3) for _ in range(6)]
    for each in workers:
        block(each, 5, flags)
    threads = [threading.Thread(target=each.sync) for each in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sync(*workers)
    assert flags == ["alice"]


def test_a_flag_holds_in_a_worker_that_starts_later_and_ends_with_keep(worker: Make) -> None:
    flags: list[Any] = []
    one = worker(flag_after=2, keep="1d")
    block(one, 2, flags)
    sync(one)
    clock = Clock()
    late = worker(flag_after=2, keep="1d", clock=clock)
    sync(late)
    block(late, 5, flags)
    sync(late)
    assert flags == ["alice"]
    clock.now = NOW + DAY + 60
    for _ in range(2):
        late.blocked("alice", clock.now, noting(flags, "again"))
    sync(late)
    assert flags == ["alice", "again"]


def test_what_tells_may_ask_the_store_and_even_synchronise(worker: Make) -> None:
    one, told = worker(flag_after=1), []
    one.blocked("alice", NOW, lambda: told.append(one.sync()))
    sync(one)
    assert told == [True]


def test_redis_holds_neither_names_nor_keys_and_everything_in_it_expires(
    shared_server: RedisServer, worker: Make
) -> None:
    flags: list[Any] = []
    one = worker(flag_after=2, namespace="private", keep="1d")
    one.saw("alice@example.com", "CN", "hosting", NOW)
    one.blocked("alice@example.com", NOW, noting(flags, 1))
    one.forget("bob@example.com")
    sync(one)
    with shared_server.client() as client:
        names = sorted(client.scan_iter("private*"))
        assert len(names) == 5  # two accounts, those changed, the last change, the worker's mark
        kept = b" ".join([*names, *(client.dump(name) for name in names)])
        assert not [word for word in (b"alice", b"bob", b"example", KEY) if word in kept]
        assert all(0 < client.ttl(name) <= DAY for name in names)
        (forgotten,) = [
            name for name in names if client.type(name) == b"hash" and client.hlen(name) == 1
        ]
        assert client.ttl(forgotten) <= 3660


def test_the_list_of_changes_does_not_outgrow_the_accounts(
    shared_server: RedisServer, worker: Make
) -> None:
    one = worker(namespace="trimmed")
    with shared_server.client() as client:
        for number in range(200):
            one.saw(f"account {number}", "CN", "", NOW)
            one.sync()
            for name in client.scan_iter("trimmed:a:*", count=1000):
                client.delete(name)  # as if its time were over
        assert client.zcard("trimmed:changed") <= 3


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 2}, {"protocol": 3}])
def test_a_client_of_ones_own_does_as_well(
    shared_server: RedisServer, worker: Make, options: dict[str, Any]
) -> None:
    flags: list[Any] = []
    with shared_server.client(**options) as client:
        one, other = worker(redis=client, flag_after=2), worker(redis=client, flag_after=2)
        one.saw("alice", "CN", "", NOW)
        block(one, 1, flags)
        block(other, 1, flags)
        sync(one, other)
        assert seen(other, "alice")
        assert flags == ["alice"]
        one.close()
        other.close()


@pytest.mark.parametrize(("seconds", "told"), [(None, True), (1, False)])
def test_a_client_that_waits_without_end_is_told_at_start(
    shared_server: RedisServer,
    closing: list[Accounts],
    caplog: pytest.LogCaptureFixture,
    seconds: float | None,
    told: bool,
) -> None:
    with shared_server.client(socket_timeout=seconds) as client:
        maker(shared_server, closing, redis=client)()
    assert ("make it with socket_timeout=1" in caplog.text) is told


def test_a_unix_socket_does_as_well(tmp_path: Path, closing: list[Accounts]) -> None:
    with RedisServer(tmp_path, "--unixsocket", str(tmp_path / "socket")) as server:
        make = maker(server, closing, redis=f"unix://{tmp_path}/socket")
        one, other = make(), make()
        one.saw("alice", "CN", "", NOW)
        sync(one, other)
        assert seen(other, "alice")


def test_scripts_that_redis_has_lost_are_sent_again(
    shared_server: RedisServer, worker: Make
) -> None:
    one, other = worker(), worker()
    one.saw("alice", "CN", "", NOW)
    sync(one)
    with shared_server.client() as client:
        client.script_flush()
    one.saw("alice", "DE", "", NOW)
    sync(one, other)
    assert other.countries("alice", ANY, NOW - DAY) == 2
    assert one.stats["redis_failures"] == 0


def test_what_another_release_wrote_is_left_alone_and_does_no_harm(
    shared_server: RedisServer, worker: Make
) -> None:
    one, other = worker(namespace="newer"), worker(namespace="newer")
    one.saw("alice", "CN", "", NOW)
    sync(one)
    with shared_server.client() as client:
        (name,) = client.scan_iter("newer:a:*")
        later = f"{MINUTE:010d}"
        client.hset(name, mapping={"seen:FR:quantum": later, "mood": later, "flag": f"{later}:x"})
    one.saw("alice", "DE", "", NOW)
    sync(one, other)
    assert other.countries("alice", ANY, NOW - DAY) == 2
    with shared_server.client() as client:
        assert client.hget(name, "seen:FR:quantum") == later.encode()


def test_what_is_no_account_among_the_changes_is_passed_over(
    shared_server: RedisServer, worker: Make, request: Any
) -> None:
    one, late = worker(), worker()
    one.saw("alice", "CN", "", NOW)
    sync(one)
    with shared_server.client() as client:
        client.zadd(
            f"{request.node.nodeid}:changed", {"no digest": 2, b"\xff": 3.5, "endless": math.inf}
        )
    one.saw("bob", "CN", "", NOW)
    sync(one, late)
    assert seen(late, "alice") and seen(late, "bob")


def test_one_account_that_redis_refuses_does_not_hold_up_the_others(
    shared_server: RedisServer, worker: Make
) -> None:
    one, other = worker(namespace="odd"), worker(namespace="odd")
    with shared_server.client() as client:
        client.set(f"odd:a:{one._digest('alice').hex()}", "a text")
        one.saw("alice", "CN", "", NOW)
        one.saw("bob", "CN", "", NOW)
        assert not one.sync()
        assert one.stats["unsynced"] == 1
        assert other.sync()
        assert seen(other, "bob") and not seen(other, "alice")
        client.delete(f"odd:a:{one._digest('alice').hex()}")
        sync(one, other)
        assert seen(other, "alice")


def await_flags(flags: list[Any], wanted: list[Any], *workers: Accounts) -> None:
    """After Redis has lost data nobody tells of a flag for a moment."""

    def told() -> bool:
        sync(*workers)
        return flags == wanted

    wait_until(told)


# Away, and back


def test_while_redis_is_away_memory_serves_and_later_nothing_is_missing(
    server: RedisServer, own_worker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "georestrict")
    one, other = own_worker(), own_worker()
    one.saw("alice", "CN", "", NOW)
    sync(one, other)
    server.kill()
    for _ in range(3):
        assert not one.sync()
    one.saw("alice", "DE", "", NOW)
    other.saw("alice", "FR", "", NOW)
    other.saw("bob", "CN", "", NOW)
    assert one.countries("alice", ANY, NOW - DAY) == 2
    assert one.stats["redis_failures"] >= 3
    assert one.stats["unsynced"] == 1
    server.start()
    sync(one, other)
    for each in (one, other):
        assert each.countries("alice", ANY, NOW - DAY) == 3
        assert seen(each, "bob")
        assert each.stats["unsynced"] == 0
    assert caplog.text.count("Redis cannot be used") == 2  # once for each of the two
    assert caplog.text.count("Redis is back, and") == 2


def test_workers_whose_redis_comes_back_find_each_other_by_themselves(
    server: RedisServer, own_worker: Make
) -> None:
    one, other = own_worker(), own_worker()
    one.start()
    other.start()
    server.kill()
    one.saw("alice", "CN", "", NOW)
    wait_until(lambda: one.stats["redis_failures"] > 0)
    server.start()
    wait_until(lambda: seen(other, "alice"))


def test_a_redis_that_restarts_empty_is_given_back_all_that_any_worker_knows(
    server: RedisServer, own_worker: Make
) -> None:
    flags: list[Any] = []
    one, other = own_worker(flag_after=10), own_worker(flag_after=10)
    for number in range(300):
        one.saw(f"account {number}", "CN", "", NOW)
    block(one, 6, flags)
    block(other, 10, flags, "bob")
    sync(one, other)
    assert flags == ["bob"]
    server.kill()
    block(other, 3, flags)
    block(one, 20, flags, "bob")
    server.start()
    sync(one, other)
    late = own_worker(flag_after=10)
    sync(late)
    assert late.stats["accounts"] == 302
    assert all(seen(late, f"account {number}") for number in range(300))
    assert flags == ["bob"]
    block(late, 20, flags, "bob")  # its flag holds
    block(late, 1, flags)  # the tenth
    sync(late, one, other)
    assert flags == ["bob", "alice"]


def test_a_redis_that_restarts_from_an_older_copy_is_given_the_rest(
    tmp_path: Path, closing: list[Accounts]
) -> None:
    with RedisServer(tmp_path) as server:
        make = maker(server, closing)
        one, other = make(), make()
        one.saw("alice", "CN", "", NOW)
        sync(one, other)
        server.save()
        one.saw("bob", "CN", "", NOW)
        one.forget("alice")
        sync(one)
        server.kill()
        server.start()
        other.saw("carol", "CN", "", NOW)  # the count of changes is the same again
        other.saw("dave", "CN", "", NOW)
        sync(other, one)
        late = make()
        sync(late)
        assert [seen(late, name) for name in ("alice", "bob", "carol", "dave")] == [
            False, True, True, True,
        ]  # fmt: skip
        assert not seen(other, "alice")


def test_what_was_sent_in_a_round_that_failed_is_missed_as_well(
    server: RedisServer, own_worker: Make
) -> None:
    one = own_worker()
    sync(one)
    one._sync.close()  # type: ignore[union-attr] # its thread: the test says when
    server.save()
    with server.client() as client:
        client.set(f"georestrict:a:{one._digest('alice').hex()}", "not what it should be")
    one.saw("alice", "CN", "", NOW)
    one.saw("bob", "CN", "", NOW)
    assert not one.sync()
    server.kill()
    server.start()
    sync(one)
    late = own_worker()
    sync(late)
    assert seen(late, "alice") and seen(late, "bob")


def test_data_that_somebody_flushes_comes_back(shared_server: RedisServer, worker: Make) -> None:
    one = worker(namespace="flushed")
    one.saw("alice", "CN", "", NOW)
    sync(one)
    with shared_server.client() as client:
        client.delete(*client.scan_iter("flushed*"))
    sync(one)
    late = worker(namespace="flushed")
    sync(late)
    assert seen(late, "alice")


def test_claims_wait_for_redis_and_then_one_worker_tells(
    server: RedisServer, own_worker: Make
) -> None:
    flags: list[Any] = []
    one, other = own_worker(flag_after=3), own_worker(flag_after=3)
    sync(one, other)
    server.kill()
    block(one, 5, flags)
    block(other, 5, flags)
    assert not one.sync() and not other.sync()
    assert flags == []
    assert one.stats["waiting"] == 1
    server.start()
    await_flags(flags, ["alice"], one, other)
    sync(one, other)
    assert one.stats["waiting"] == other.stats["waiting"] == 0
    assert flags == ["alice"]


def test_claims_that_wait_too_long_are_granted_by_each_process_once(
    server: RedisServer, own_worker: Make
) -> None:
    flags: list[Any] = []
    one, other = own_worker(flag_after=3), own_worker(flag_after=3)
    sync(one, other)
    server.kill()
    for each in (one, other):
        each._memory.patience = 0
        block(each, 5, flags)
        block(each, 2, flags, "bob")
        assert not each.sync()
        block(each, 5, flags)
        assert not each.sync()
    assert flags == ["alice", "alice"]
    server.start()
    await_flags(flags, ["alice", "alice", "bob"], one, other)  # two blocks of bob in either
    block(one, 5, flags)
    sync(one, other)
    assert flags == ["alice", "alice", "bob"]


def test_an_answer_that_is_lost_loses_no_flag_and_tells_it_once(
    shared_server: RedisServer, worker: Make
) -> None:
    """The script has run, but the worker does not know."""
    flags: list[Any] = []
    one = worker(flag_after=2, namespace="lost")
    sync(one)
    block(one, 2, flags)
    memory = one._memory
    (taken,) = memory.take(1, MINUTE)
    with shared_server.client() as client:
        script = client.register_script(one._sync._script)  # type: ignore[union-attr]
        sent = one._sync  # what it would have sent
        assert sent is not None
        arguments = [*sent._arguments(taken.record, MINUTE, claims=True)]
        answer = script(sent._keys(taken.digest), arguments)
    assert answer[0] == 1
    memory.give_back(taken)
    sync(one)
    assert flags == ["alice"]
    sync(one)
    assert flags == ["alice"]


def test_a_redis_that_hangs_delays_no_request(server: RedisServer, own_worker: Make) -> None:
    flags: list[Any] = []
    with server.client(socket_timeout=None) as client:
        one = own_worker(redis=client, flag_after=3)
        one.saw("alice", "CN", "", NOW)
        sync(one)
        server.freeze()
        hanging = threading.Thread(target=one.sync)
        hanging.start()
        for number in range(2000):
            one.saw(f"account {number}", "CN", "", NOW)
            assert seen(one, f"account {number}")
            assert one.countries("alice", ANY, NOW - DAY) == 1
            one.blocked("bob", NOW, noting(flags, "bob"))
            one.forget(f"account {number}")
        assert hanging.is_alive()  # and still nobody waited for it
        server.thaw()
        hanging.join()
        sync(one)
        assert flags == ["bob"]
        one.close()


def test_a_redis_that_hangs_is_given_up_and_asked_again(
    server: RedisServer, own_worker: Make
) -> None:
    one = own_worker()
    sync(one)
    server.freeze()
    one.saw("alice", "CN", "", NOW)
    assert not one.sync()
    server.thaw()
    sync(one)
    assert one.stats["unsynced"] == 0


@pytest.mark.parametrize("said", ["wrong", "none"])
def test_a_wrong_password_is_counted_told_once_and_not_shown(
    tmp_path: Path, closing: list[Accounts], caplog: pytest.LogCaptureFixture, said: str
) -> None:
    with RedisServer(tmp_path, "--requirepass", "right-secret") as server:
        password = ":wrong-secret@" if said == "wrong" else ""
        make = maker(server, closing)
        one = make(redis=f"redis://{password}127.0.0.1:{server.port}/0")
        one.saw("alice", "CN", "", NOW)
        assert not one.sync()
        assert not one.sync()
        assert seen(one, "alice")
        assert one.stats["redis_failures"] >= 2
        assert caplog.text.count("Redis cannot be used (AuthenticationError") == 1
        assert "secret" not in caplog.text + repr(one)
        one.close()


def test_a_replica_that_takes_no_writes_is_read_and_what_it_refused_is_kept(
    server: RedisServer, own_worker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = own_worker(), own_worker()
    other.saw("bob", "CN", "", NOW)
    sync(other)
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)  # nobody is there, so it stays as it is
        one.saw("alice", "CN", "", NOW)
        assert not one.sync()
        assert not one.sync()
        assert caplog.text.count("Redis cannot be used (ReadOnlyError") == 1
        assert seen(one, "alice") and seen(one, "bob")
        client.replicaof("NO", "ONE")
    sync(one, other)
    assert seen(other, "alice")


def test_a_full_redis_is_read_and_gets_the_rest_when_there_is_room(
    server: RedisServer, own_worker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    flags: list[Any] = []
    one, other = own_worker(flag_after=4), own_worker(flag_after=4)
    other.saw("bob", "CN", "", NOW)
    other.saw("carol", "CN", "", NOW)
    block(other, 3, flags)
    sync(one, other)
    with server.client() as client:
        client.config_set("maxmemory", "1")
        one.saw("bob", "DE", "", NOW)
        block(one, 3, flags)
        assert not one.sync()
        assert not one.sync()
        assert caplog.text.count("Redis cannot be used (OutOfMemoryError") == 1
        assert one.countries("bob", ANY, NOW - DAY) == 2
        one.forget("carol")
        assert not one.sync()
        carol = one._digest("carol").hex()
        assert client.hkeys(f"georestrict:a:{carol}") == [b"forgotten"]  # deleting needs no room
        client.config_set("maxmemory", "0")
    sync(one, other)
    assert other.countries("bob", ANY, NOW - DAY) == 2
    assert not seen(other, "carol")
    assert flags == ["alice"]


# Forgetting


def test_what_one_worker_forgets_all_forget(worker: Make) -> None:
    one, other = worker(), worker()
    one.saw("alice", "CN", "", NOW)
    sync(one, other)
    assert seen(other, "alice")
    one.forget("alice")
    assert not seen(one, "alice")
    sync(one, other)
    assert other.sightings("alice") == ()


def test_what_another_worker_had_not_sent_yet_does_not_come_back(worker: Make) -> None:
    flags: list[Any] = []
    one, other = worker(flag_after=3), worker(flag_after=3)
    other.saw("alice", "CN", "", NOW - 60)
    block(other, 2, flags)
    one.forget("alice")
    assert one.sync()
    assert other.sync()
    sync(one, other)
    assert one.sightings("alice") == other.sightings("alice") == ()
    block(one, 2, flags)
    sync(one, other)
    assert flags == []


def test_what_another_worker_sends_first_is_deleted_as_well(worker: Make) -> None:
    one, other = worker(), worker()
    one.forget("alice")
    other.saw("alice", "CN", "", NOW - 60)
    sync(other, one)
    assert one.sightings("alice") == other.sightings("alice") == ()


def test_what_is_seen_after_forgetting_is_known_everywhere(worker: Make) -> None:
    one, other = worker(), worker()
    one.saw("alice", "CN", "", NOW)
    one.forget("alice")
    one.saw("alice", "DE", "", NOW)  # in the same minute
    sync(one, other)
    assert [each.country for each in other.sightings("alice")] == ["DE"]
    other.saw("alice", "FR", "", NOW + 60)
    sync(other, one)
    assert {each.country for each in one.sightings("alice")} == {"DE", "FR"}


def test_forgetting_while_redis_is_away_is_made_up_for_even_hours_later(
    tmp_path: Path, closing: list[Accounts]
) -> None:
    with RedisServer(tmp_path) as server:
        make, clock = maker(server, closing), Clock()
        one, other = make(clock=clock), make(clock=clock)
        one.saw("alice", "CN", "", NOW)
        sync(one, other)
        server.save()
        server.kill()
        other.saw("alice", "RU", "", NOW)  # not sent
        one.forget("alice")
        assert not one.sync()
        assert not seen(one, "alice")
        clock.now += 5 * 3600
        server.start()
        sync(other)
        sync(one, other)
        assert one.sightings("alice") == other.sightings("alice") == ()
        late = make(clock=clock)
        sync(late)
        assert late.sightings("alice") == ()


def test_a_redis_that_restarts_empty_does_not_bring_back_what_was_forgotten(
    server: RedisServer, own_worker: Make
) -> None:
    one, other = own_worker(), own_worker()
    one.saw("alice", "CN", "", NOW)
    sync(one, other)
    one.forget("alice")
    assert one.sync()
    server.kill()
    server.start()
    sync(other)  # it has not heard of it
    sync(one, other)
    assert one.sightings("alice") == other.sightings("alice") == ()


def test_what_was_forgotten_longer_than_an_hour_ago_leaves_nothing_behind(
    shared_server: RedisServer, worker: Make
) -> None:
    clock = Clock()
    one = worker(namespace="hour", clock=clock)
    one.saw("alice", "CN", "", NOW)
    one.forget("alice")
    sync(one)
    clock.now += 3660
    one.saw("alice", "DE", "", clock.now)
    sync(one)
    with shared_server.client() as client:
        (name,) = client.scan_iter("hour:a:*")
        assert client.hkeys(name) == [b"seen:DE:"]


# One rule, two languages

WORKERS = [bytes(8), b"\xff" * 8]
PLACES = [place_of(country, category) for country in ("CN", "DE") for category in ("", "tor")]
MANY = [place_of(f"{one}{two}", "") for one in "ABCDEFGHIJ" for two in "ABCDEFGHIJ"]
MINUTES = st.sampled_from([MINUTE + more for more in (-3000, -1441, -1440, -61, -60, -1, 0, 1, 1440, 1441, 9**8)])  # fmt: skip
RECORDS = st.builds(
    Record,
    sightings=st.one_of(
        st.dictionaries(st.sampled_from(PLACES), MINUTES),
        st.fixed_dictionaries(dict.fromkeys(MANY, MINUTES)),
    ),
    blocks=st.dictionaries(st.sampled_from(WORKERS), st.tuples(MINUTES, st.integers(1, 9))),
    flag=st.one_of(st.none(), st.tuples(MINUTES, st.sampled_from(WORKERS))),
    forgotten=st.one_of(st.none(), st.tuples(MINUTES, MINUTES)),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_redis_merges_as_memory_does(shared_server: RedisServer, records: list[Record]) -> None:
    mine = Record()
    with shared_server.client() as client:
        client.delete("lua:a:" + "0" * 32)
        script = client.register_script(
            (
                Path(sys.modules[Accounts.__module__].__file__ or "").with_name("merge.lua")
            ).read_text()
        )
        for record in records:
            record = Record.unpack(record.pack())
            mine.merge(record)
            mine.tidy(MINUTE, 1440)
            flat = [each for field in record.fields().items() for each in field]
            keys = ["lua:a:" + "0" * 32, "lua:changed", "lua:sequence", "lua:mark"]
            _, _, *answer = script(keys, ["00" * 8, 1, MINUTE, 1440, 0, MOST_SIGHTINGS, *flat])
            fields = dict(zip(answer[::2], answer[1::2], strict=True))
            assert client.hgetall(keys[0]) == fields
            theirs = {field.decode(): value.decode() for field, value in fields.items()}
            assert len(theirs) == len(mine.fields())
            if len(mine.sightings) < MOST_SIGHTINGS:  # else those of one minute may differ
                assert theirs == mine.fields()
            mine = Record.of(theirs)


# Threads and processes


def test_threads_record_while_the_store_synchronises_and_redis_is_killed(
    server: RedisServer, own_worker: Make
) -> None:
    flags: list[Any] = []
    workers = [own_worker(flag_after=50) for _ in range(3)]
    codes = [f"{one}{two}" for one in "ABCDE" for two in "ABCDEFGHIJ"]

    def work(each: Accounts, first: int) -> None:
        for number in range(first, len(codes), 6):
            for name in range(20):
                each.saw(f"account {name}", codes[number], "", NOW)
                each.blocked("alice", NOW, noting(flags, "alice"))

    threads = [
        threading.Thread(target=work, args=(workers[first % 3], first)) for first in range(6)
    ]
    for each in workers:
        each.start()
    for thread in threads:
        thread.start()
    server.kill()
    server.start()
    for thread in threads:
        thread.join()
    sync(*workers)
    sync(*workers)
    for each in workers:
        assert [each.countries(f"account {name}", ANY, NOW) for name in range(20)] == [50] * 20
    await_flags(flags, ["alice"], *workers)
    sync(*workers)
    assert [each.stats["unsynced"] + each.stats["waiting"] for each in workers] == [0, 0, 0]


def test_a_flag_that_redis_has_lost_is_not_told_again(
    server: RedisServer, own_worker: Make
) -> None:
    """Even where only one of the workers knows of it, and is the last to find out."""
    flags: list[Any] = []
    one, other = own_worker(flag_after=3), own_worker(flag_after=3)
    sync(one, other)
    one._sync.close()  # type: ignore[union-attr] # its thread: the test says when
    other._sync.close()  # type: ignore[union-attr]
    block(one, 3, flags)
    block(other, 3, flags)
    assert one.sync()
    assert flags == ["alice"]
    server.kill()
    server.start()
    assert other.sync() and other.sync()
    assert flags == ["alice"] and other.stats["waiting"] == 1
    assert one.sync() and other.sync()
    assert flags == ["alice"] and other.stats["waiting"] == 0


def test_a_worker_that_never_heard_that_it_may_tell_of_a_flag_tells_of_it_later(
    server: RedisServer, own_worker: Make
) -> None:
    """Redis dies between granting the flag and saying so; only others have seen whose it is."""
    flags: list[Any] = []
    one, other = own_worker(flag_after=3), own_worker(flag_after=3)
    sync(one, other)
    one._sync.close()  # type: ignore[union-attr] # its thread: the test says when
    other._sync.close()  # type: ignore[union-attr]
    block(one, 3, flags)
    digest = one._digest("alice").hex()
    with server.client() as client:  # what the script does, whose answer does not arrive
        granted = f"{int(NOW // 60):010d}:{one._memory.worker.hex()}"
        client.hset(f"georestrict:a:{digest}", "flag", granted)
        client.zadd("georestrict:changed", {digest: client.incr("georestrict:sequence")})
    assert other.sync()
    server.kill()
    server.start()
    assert other.sync() and other.sync()
    assert one.sync()
    assert flags == []
    await_flags(flags, ["alice"], one, other)
    sync(one, other)
    assert flags == ["alice"]


CHILD = """
import os, sys, threading
from georestrict import Accounts

url, = sys.argv[1:]
accounts = Accounts(key=b"0123456789abcdef", redis=url)
accounts.saw("parent", "CN", "", {now})
assert accounts.sync()
stop = threading.Event()

def hammer():
    while not stop.is_set():
        accounts.saw("parent", "CN", "", {now})

threads = [threading.Thread(target=hammer) for _ in range(3)]
for thread in threads:
    thread.start()
children = []
for number in range(5):
    child = os.fork()
    if not child:
        accounts.saw(f"child {{number}}", "CN", "", {now})
        accounts.blocked("alice", {now}, lambda: None)
        reader, writer = os.pipe()  # nothing is ever written: the parent kills what is done
        os.read(reader, 1)
    children.append(child)
print("ready", flush=True)
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""


def test_children_that_a_process_forks_synchronise_by_themselves(
    shared_server: RedisServer, closing: list[Accounts]
) -> None:
    """While other threads of the parent hold its lock most of the time."""
    code = CHILD.format(now=NOW)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, shared_server.url]
    accounts = Accounts(key=KEY, redis=shared_server.url, clock=Clock(), flag_after=5)
    closing.append(accounts)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
        accounts.start()
        wait_until(lambda: all(seen(accounts, f"child {number}") for number in range(5)))
        parent.communicate(b"")
    assert parent.returncode == 0
    assert seen(accounts, "parent")
    with shared_server.client() as client:  # each child counted as a worker of its own
        counted = client.hgetall(f"georestrict:a:{accounts._digest('alice').hex()}")
        assert len(counted) == 5


def test_a_fork_keeps_no_store_alive() -> None:
    code = (
        "import os, weakref; from georestrict import Accounts\n"
        "accounts = Accounts()\n"
        "gone = weakref.ref(accounts)\n"
        "child = os.fork()\n"
        "del accounts\n"
        "assert gone() is None\n"
        "if child: assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_what_is_not_sent_yet_is_sent_when_the_process_ends(
    shared_server: RedisServer, worker: Make
) -> None:
    code = (
        "import sys; from georestrict import Accounts\n"
        "accounts = Accounts(key=b'0123456789abcdef', redis=sys.argv[1], namespace='ended')\n"
        "accounts.start()\n"
        "for number in range(5000):\n"
        f"    accounts.saw(f'account {{number}}', 'CN', '', {NOW})\n"
    )
    subprocess.run([sys.executable, "-c", code, shared_server.url], check=True, env=os.environ)
    late = worker(namespace="ended")
    sync(late)
    assert late.stats["accounts"] == 5000


def test_a_store_that_is_closed_has_sent_all_and_goes_on_in_memory(worker: Make) -> None:
    one, other = worker(), worker()
    one.saw("alice", "CN", "", NOW)
    one.close()
    one.close()
    sync(other)
    assert seen(other, "alice")
    one.saw("alice", "DE", "", NOW)
    assert one.countries("alice", ANY, NOW - DAY) == 2
    assert one._sync is not None and not one._sync._thread.is_alive()  # type: ignore[union-attr]


# Options


def test_with_redis_a_key_is_needed() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"Accounts\.key: is missing; with redis= all workers need the same one: give a "
        r"secret .*, or set GEORESTRICT_ACCOUNTS_KEY",
    ):
        Accounts(redis="redis://127.0.0.1:1/0")


def test_the_key_for_redis_may_come_from_the_environment(
    shared_server: RedisServer, closing: list[Accounts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEORESTRICT_ACCOUNTS_KEY", KEY.decode())
    closing += [accounts := Accounts(redis=shared_server.url)]
    assert accounts.sync()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"redis": 6379}, r"Accounts\.redis: is of type builtins\.int; give a URL such as"),
        ({"redis": ""}, r"Accounts\.redis: is no URL of a Redis .*write it as redis://"),
        ({"redis": "localhost:6379"}, r"Accounts\.redis: is no URL of a Redis .*rediss://"),
        ({"redis": "redis://h:port"}, r"Accounts\.redis: is no URL of a Redis .*'port'"),
        ({"redis": "redis://h?sokcet_timeout=1"}, r"Accounts\.redis: is no URL .*sokcet_timeout"),
        ({"namespace": ""}, r"Accounts\.namespace: is '', must be a text such as"),
        ({"namespace": 7}, r"Accounts\.namespace: is 7, must be a text such as"),
    ],
)
def test_a_wrong_option_is_told_with_its_place_and_what_to_do(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Accounts(**{"key": KEY, "redis": "redis://127.0.0.1:1/0", **options})


def test_a_client_of_asyncio_is_refused() -> None:
    from redis import asyncio

    with pytest.raises(ConfigurationError, match=r"redis\.asyncio.*; give a URL"):
        Accounts(key=KEY, redis=asyncio.Redis())  # type: ignore[arg-type]


def test_a_url_that_is_refused_does_not_show_its_password() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Accounts(key=KEY, redis="http://user:secret@localhost")
    assert "secret" not in str(refused.value)


def test_without_the_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'georestrict\[redis\]'"):
        Accounts(key=KEY, redis="redis://localhost")
    Accounts()
