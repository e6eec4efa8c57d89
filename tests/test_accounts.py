"""Accounts in one process: what is kept of them, for how long, and how much of it."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from benchmarks.accounts import MOST_MIB, fill
from georestrict import Accounts, ConfigurationError
from georestrict.accounts import Sighting
from georestrict.accounts.record import Record

pytestmark = pytest.mark.once

DAY = 86_400.0
NOW = 1_795_000_020.0  # on the minute
ANY: frozenset[str] = frozenset()
CHINA = frozenset({"CN"})


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def seen(accounts: Accounts, account: str, country: str = "CN", since: float = NOW - DAY) -> bool:
    return accounts.seen_in(account, frozenset({country}), ANY, since)


def noting(flags: list[Any], what: object) -> Callable[[], None]:
    return lambda: flags.append(what)


def test_an_account_is_seen_where_it_was_and_nowhere_else() -> None:
    accounts = Accounts()
    accounts.saw("alice", "CN", "", NOW)
    assert seen(accounts, "alice")
    assert not seen(accounts, "alice", "RU")
    assert not seen(accounts, "bob")


def test_all_that_is_kept_can_be_asked_for() -> None:
    accounts = Accounts(clock=Clock())
    accounts.saw("alice", "CN", "", NOW)
    assert seen(accounts, "alice", since=0)
    assert accounts.countries("alice", ANY, 0) == 1


def test_a_sighting_counts_from_its_minute_on() -> None:
    accounts = Accounts()
    accounts.saw("alice", "CN", "", NOW + 59)
    assert seen(accounts, "alice", since=NOW + 59)
    assert seen(accounts, "alice", since=NOW)
    assert not seen(accounts, "alice", since=NOW + 60)


@pytest.mark.parametrize(
    ("countries", "categories", "found"),
    [
        (set(), set(), True),
        ({"CN"}, set(), True),
        ({"CN", "RU"}, {"hosting", "vpn"}, True),
        (set(), {"hosting"}, True),
        (set(), {""}, True),
        ({"CN"}, {""}, False),
        ({"DE"}, {""}, True),
        ({"DE"}, {"hosting"}, False),
        ({"RU"}, set(), False),
        (set(), {"tor"}, False),
    ],
)
def test_country_and_category_must_be_of_one_sighting(
    countries: set[str], categories: set[str], found: bool
) -> None:
    accounts = Accounts()
    accounts.saw("alice", "CN", "hosting", NOW)
    accounts.saw("alice", "DE", "", NOW)
    asked = frozenset(countries), frozenset(categories)
    assert accounts.seen_in("alice", *asked, NOW - DAY) is found


def test_countries_are_counted_once_each_within_the_time_and_the_categories() -> None:
    accounts = Accounts()
    accounts.saw("alice", "CN", "hosting", NOW - 2 * DAY)
    for country, category in [("DE", ""), ("DE", "hosting"), ("FR", ""), ("FR", "tor")]:
        accounts.saw("alice", country, category, NOW)
    assert accounts.countries("alice", ANY, NOW - DAY) == 2
    assert accounts.countries("alice", ANY, NOW - 3 * DAY) == 3
    assert accounts.countries("alice", frozenset({"hosting"}), NOW - 3 * DAY) == 2
    assert accounts.countries("alice", frozenset({"vpn"}), NOW - 3 * DAY) == 0
    assert accounts.countries("bob", ANY, NOW - 3 * DAY) == 0


def test_what_is_kept_of_an_account_can_be_told_the_latest_first() -> None:
    accounts = Accounts(clock=Clock(NOW + 30))
    accounts.saw("alice", "CN", "hosting", NOW)
    accounts.saw("alice", "DE", "", NOW - 61)
    minute = datetime.fromtimestamp(NOW, UTC)
    assert accounts.sightings("alice") == (
        Sighting("CN", "hosting", minute),
        Sighting("DE", "", minute - timedelta(minutes=2)),
    )
    assert accounts.sightings("bob") == ()


def test_what_is_forgotten_is_gone_and_may_be_learnt_anew() -> None:
    clock = Clock()
    accounts = Accounts(clock=clock, flag_after=2)
    accounts.saw("alice", "CN", "", NOW)
    accounts.blocked("alice", NOW, lambda: None)
    accounts.forget("alice")
    assert accounts.sightings("alice") == ()
    assert accounts.stats["accounts"] == 0
    flags: list[str] = []
    accounts.blocked("alice", NOW, lambda: flags.append("alice"))
    assert flags == []
    accounts.saw("alice", "DE", "", NOW)
    assert [each.country for each in accounts.sightings("alice")] == ["DE"]


def test_at_most_64_sightings_are_kept_and_the_oldest_go() -> None:
    accounts = Accounts(clock=Clock(NOW + 80 * 60))
    codes = [f"{first}{second}" for first in "ABCDEFGH" for second in "ABCDEFGHIJ"]
    for number, code in enumerate(codes):
        accounts.saw("alice", code, "", NOW + number * 60)
    assert {each.country for each in accounts.sightings("alice")} == set(codes[-64:])


def test_everything_expires_after_keep() -> None:
    clock = Clock()
    accounts = Accounts(keep="2d", clock=clock, flag_after=2)
    accounts.saw("alice", "CN", "", NOW)
    accounts.blocked("alice", NOW, lambda: None)
    clock.now = NOW + 2 * DAY
    assert [each.country for each in accounts.sightings("alice")] == ["CN"]
    clock.now += 60
    assert accounts.sightings("alice") == ()
    flags: list[str] = []
    accounts.blocked("alice", clock.now, lambda: flags.append("alice"))
    assert flags == []
    accounts.blocked("alice", clock.now, lambda: flags.append("alice"))
    assert flags == ["alice"]


def test_accounts_that_never_come_back_are_deleted_after_keep() -> None:
    clock = Clock()
    accounts = Accounts(keep="1d", clock=clock)
    for number in range(1000):
        accounts.saw(f"gone {number}", "CN", "", NOW)
    accounts.saw("here", "CN", "", NOW)
    for number in range(1100):
        clock.now = NOW + 1.5 * DAY + 60 * number
        accounts.saw("here", "DE", "", clock.now)
    assert accounts.stats == {
        "accounts": 1, "evicted": 0, "unsynced": 0, "waiting": 0, "redis_failures": 0,
    }  # fmt: skip
    assert [country for country, _ in kept_of(accounts, "here")] == ["DE"]


def kept_of(accounts: Accounts, name: str) -> list[tuple[str, int]]:
    """Whether or not it is too old."""
    record = Record.unpack(accounts._memory.read(accounts._digest(name)))
    return [(each.country, int(each.seen.timestamp())) for each in record.whereabouts()]


def test_requests_may_be_tried_for_a_time_long_ago() -> None:
    accounts = Accounts(keep="1d")
    for number in range(10):
        accounts.saw(f"account {number}", "CN", "", 1e9 + 60 * number)
    assert all(seen(accounts, f"account {number}", since=1e9) for number in range(10))


def test_what_is_asked_for_another_time_deletes_nothing_of_others() -> None:
    accounts = Accounts(keep="1d", clock=Clock())
    accounts.saw("alice", "CN", "", NOW)
    for number in range(10):
        accounts.saw("bob", "CN", "", NOW + (365 + number) * DAY)
    assert seen(accounts, "alice")


@pytest.mark.parametrize("days", [-60, 60])
def test_what_is_asked_for_another_time_deletes_nothing_of_the_same_account(days: int) -> None:
    accounts = Accounts(keep="30d", clock=Clock())
    accounts.saw("alice", "CN", "", NOW)
    accounts.saw("alice", "IR", "", NOW + days * DAY)
    accounts.saw("alice", "DE", "", NOW)
    assert {("CN", int(NOW)), ("DE", int(NOW))} <= {*kept_of(accounts, "alice")}
    assert seen(accounts, "alice")


def test_of_too_many_accounts_those_least_recently_used_go() -> None:
    accounts = Accounts(max_accounts=3)
    for name in "abc":
        accounts.saw(name, "CN", "", NOW)
    assert seen(accounts, "a")
    accounts.saw("d", "CN", "", NOW)
    assert [seen(accounts, name) for name in "abcd"] == [True, False, True, True]
    assert accounts.stats["evicted"] == 1


def test_a_clock_that_jumps_back_loses_nothing() -> None:
    accounts = Accounts()
    accounts.saw("alice", "CN", "", NOW)
    accounts.saw("alice", "CN", "", NOW - 7 * DAY)
    accounts.saw("alice", "DE", "", NOW - 7 * DAY)
    assert seen(accounts, "alice", "CN", NOW)
    assert seen(accounts, "alice", "DE", NOW - 7 * DAY)
    assert not seen(accounts, "alice", "DE", NOW - 6 * DAY)


def test_a_sighting_in_the_future_is_neither_lost_nor_kept_for_ever() -> None:
    clock = Clock()
    accounts = Accounts(keep="2d", clock=clock)
    accounts.saw("alice", "CN", "", NOW + 3650 * DAY)
    accounts.saw("alice", "DE", "", NOW)
    assert [each.seen.timestamp() for each in accounts.sightings("alice")] == [NOW, NOW]
    assert seen(accounts, "alice", "CN", NOW - DAY)
    clock.now = NOW + 2 * DAY + 60
    assert accounts.sightings("alice") == ()


def test_a_sighting_in_the_future_at_the_same_place_is_brought_to_now() -> None:
    accounts = Accounts(keep="2d", clock=Clock())
    accounts.saw("alice", "CN", "", NOW + 3650 * DAY)
    assert not seen(accounts, "alice", since=NOW - DAY)
    accounts.saw("alice", "CN", "", NOW)
    assert kept_of(accounts, "alice") == [("CN", int(NOW))]


@pytest.mark.parametrize("now", [0.0, -1e9, 1e18, 2.0**32 * 60])
def test_no_time_is_too_early_or_too_late_to_be_kept(now: float) -> None:
    accounts = Accounts(clock=Clock(now))
    accounts.saw("alice", "CN", "", now)
    assert seen(accounts, "alice", since=now)
    assert [each.country for each in accounts.sightings("alice")] == ["CN"]


def test_after_so_many_blocks_an_account_is_flagged_once_for_keep() -> None:
    accounts = Accounts(keep="1d", flag_after=3)
    flags: list[int] = []
    for number in range(9):
        accounts.blocked("alice", NOW, noting(flags, number))
    assert flags == [2]
    later = NOW + DAY + 60
    for number in range(9, 18):
        accounts.blocked("alice", later, noting(flags, number))
    assert flags == [2, 11]


def test_blocks_of_different_accounts_do_not_add_up() -> None:
    accounts = Accounts(flag_after=2)
    flags: list[str] = []
    for name in "abc":
        accounts.blocked(name, NOW, noting(flags, name))
    assert flags == []
    accounts.blocked("b", NOW, lambda: flags.append("b"))
    assert flags == ["b"]


def test_what_fails_to_tell_of_a_flag_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("mail is down")

    accounts = Accounts(flag_after=1)
    accounts.blocked("alice", NOW, fail)
    assert "on_account_flagged failed" in caplog.text
    assert "mail is down" in caplog.text
    accounts.blocked("alice", NOW, fail)
    assert caplog.text.count("on_account_flagged failed") == 1


def test_a_flag_may_be_told_by_what_asks_the_store_again() -> None:
    accounts = Accounts(flag_after=1)
    accounts.saw("alice", "CN", "", NOW)
    told: list[bool] = []
    accounts.blocked("alice", NOW, lambda: told.append(seen(accounts, "alice")))
    assert told == [True]


def test_neither_names_nor_the_key_can_be_found_in_what_is_kept() -> None:
    accounts = Accounts(key=b"0123456789abcdef")
    accounts.saw("alice@example.com", "CN", "", NOW)
    accounts.blocked("alice@example.com", NOW, lambda: None)
    kept = repr(list(accounts._memory._records.items())) + repr(accounts)
    assert "alice" not in kept
    assert "0123456789abcdef" not in kept


def test_the_hash_of_an_account_depends_on_the_key_and_nothing_else() -> None:
    def digest(key: bytes | str, account: str = "alice") -> bytes:
        return Accounts(key=key)._digest(account)

    assert digest(b"0123456789abcdef") == digest("0123456789abcdef")
    assert digest(b"0123456789abcdef") != digest(b"0123456789abcdeg")
    assert digest(b"k" * 64) != digest(b"k" * 65) == digest("k" * 65)
    assert len(digest(b"0123456789abcdef")) == 16
    assert digest(b"0123456789abcdef", "\ud800") != digest(b"0123456789abcdef", "?")


def test_without_a_key_each_process_makes_its_own() -> None:
    assert Accounts()._digest("alice") != Accounts()._digest("alice")


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEORESTRICT_ACCOUNTS_KEY", "0123456789abcdef")
    named = Accounts(key="0123456789abcdef")._digest("alice")
    assert Accounts()._digest("alice") == named
    monkeypatch.setenv("GEORESTRICT_ACCOUNTS_KEY", "short")
    with pytest.raises(ConfigurationError, match=r"GEORESTRICT_ACCOUNTS_KEY: has 5 bytes; give"):
        Accounts()
    monkeypatch.setenv("GEORESTRICT_ACCOUNTS_KEY", "")
    Accounts()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": b"short"}, r"Accounts\.key: has 5 bytes; give a secret of 16 bytes or more"),
        ({"key": ""}, r"Accounts\.key: has 0 bytes; give"),
        ({"key": 7}, r"Accounts\.key: is of type int; give"),
        ({"keep": "0d"}, r"Accounts\.keep: is '0d', must be a number of hours, days or weeks"),
        ({"keep": timedelta()}, r"Accounts\.keep: is datetime\.timedelta\(0\), must be"),
        ({"keep": timedelta(days=-1)}, r"Accounts\.keep: .* must be"),
        ({"keep": 30}, r"Accounts\.keep: is 30, must be"),
        ({"max_accounts": 0}, r"Accounts\.max_accounts: is 0, must be a number from 1"),
        ({"max_accounts": 1.5}, r"Accounts\.max_accounts: is 1\.5, must be a number from 1"),
        ({"flag_after": 0}, r"Accounts\.flag_after: is 0, must be a number from 1"),
        ({"flag_after": True}, r"Accounts\.flag_after: is True, must be a number from 1"),
        ({"clock": 1.5}, r"Accounts\.clock: is 1\.5, must be callable"),
    ],
)
def test_a_wrong_option_is_told_with_its_place_and_what_to_do(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Accounts(**options)


def test_an_account_that_is_no_text_is_refused_without_being_shown() -> None:
    with pytest.raises(TypeError, match=r"^an account is of type int, must be text$"):
        Accounts().forget(7)  # type: ignore[arg-type]


def test_what_is_no_country_or_category_is_refused() -> None:
    accounts = Accounts()
    for place in [("China", ""), ("cn", ""), ("", ""), ("CN", "cloud")]:
        with pytest.raises(ValueError, match="is no c"):
            accounts.saw("alice", *place, NOW)
    assert accounts.stats["accounts"] == 0


def test_threads_that_record_ask_and_forget_at_once_lose_nothing() -> None:
    accounts = Accounts(max_accounts=10_000, flag_after=100)
    flags: list[str] = []
    errors: list[BaseException] = []

    def work(thread: int, each: Callable[[int], None]) -> None:
        try:
            for number in range(500):
                each(number)
                accounts.saw(f"own {thread}", f"A{number % 10}", "", NOW + number)
                accounts.seen_in(f"own {number % 8}", CHINA, ANY, NOW)
                accounts.saw(f"gone {number % 5}", "CN", "", NOW)
                accounts.forget(f"gone {number % 5}")
        except BaseException as error:
            errors.append(error)

    def block(number: int) -> None:
        name = f"shared {number % 20}"
        accounts.blocked(name, NOW, lambda: flags.append(name))

    threads = [threading.Thread(target=work, args=(number, block)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(flags) == sorted(f"shared {number}" for number in range(20))  # 200 blocks each
    for number in range(8):
        assert accounts.countries(f"own {number}", ANY, NOW) == 10


def test_what_is_kept_answers_as_a_plain_list_of_sightings_does() -> None:
    spread = random.Random(6)
    accounts, kept = Accounts(max_accounts=100), list[tuple[str, str, str, float]]()
    now = NOW
    for _ in range(3000):
        now += spread.choice([1, 30, 3600])
        place = spread.choice("ab"), spread.choice(["CN", "DE", "FR"]), spread.choice(["", "tor"])
        accounts.saw(*place, now)
        kept.append((*place, now // 60 * 60))
        name = spread.choice("ab")
        countries = frozenset(spread.sample(["CN", "DE", "FR"], spread.randrange(3)))
        categories = frozenset(spread.sample(["", "tor"], spread.randrange(2)))
        since = now - spread.choice([60, 3600, 5 * 3600])
        found = {
            country
            for account, country, category, at in kept
            if account == name
            and at >= since // 60 * 60
            and (not categories or category in categories)
        }
        wanted = bool(found & countries if countries else found)
        assert accounts.seen_in(name, countries, categories, since) is wanted
        assert accounts.countries(name, categories, since) == len(found)


@pytest.mark.slow
def test_a_million_accounts_stay_under_the_bound_that_is_stated() -> None:
    assert Accounts.__doc__ is not None
    stated = re.search(r"million accounts stay below (\d+) MiB", Accounts.__doc__)
    assert stated is not None and float(stated[1]) == MOST_MIB
    taken = fill(1_000_000, 2) / 2**20
    print(f"1,000,000 accounts: {taken:.0f} MiB")
    assert 150 < taken < MOST_MIB  # less would mean that it measures something else
