"""Reload and the watcher: what changes is taken up whole, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from georestrict import Action, ConfigurationError, DatabaseError, Engine, prepare, restrict
from georestrict import engine as engine_module
from georestrict.asgi import GeoRestrictMiddleware as Asgi
from georestrict.manifest import Manifest
from georestrict.reload import try_reload
from georestrict.request import Request as InternalRequest
from georestrict.testing import tiny_database
from georestrict.watch import Watch
from georestrict.wsgi import GeoRestrictMiddleware as Wsgi
from tests.waiting import wait_until
from tests.web import Recorder, Request, environ_of, run_asgi, scope_of

CHINA, LISTED, OTHER = "175.16.199.1", "9.9.9.9", "8.8.8.8"
POLICY = """
default = "allow"
[lists.mine]
path = "mine.txt"
[[rules]]
name = "{name}"
action = "block"
lists = ["mine"]
[[rules]]
name = "country {name}"
action = "warn"
countries = ["CN", "GB"]
"""
MANIFEST = """
[[source]]
name = "one"
title = "One range"
layer = "country"
format = "networks"
path = "one.txt"
value = "{country}"
date = 2026-01-01
licence = "CC0-1.0"
attribution = "-"
"""
EVERY = 0.01  # seconds between looks
PATIENCE = 30.0


def lay(folder: Path, name: str = "old", listed: str = LISTED, country: str = "CN") -> Path:
    """Write a policy, its list and an image into a folder, one after the other, in place."""
    folder.mkdir(exist_ok=True)
    (folder / "policy.toml").write_text(POLICY.format(name=name))
    (folder / "mine.txt").write_text(listed)
    (folder / "one.txt").write_text("175.16.199.0/24")
    (folder / "sources.toml").write_text(MANIFEST.format(country=country))
    (folder / "one.grdb").write_bytes(Manifest.load(folder / "sources.toml").compile())
    return folder


def engine_of(folder: Path, **more: Any) -> Engine:
    return Engine(folder / "policy.toml", database=folder / "one.grdb", **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay(tmp_path / "laid")


@pytest.fixture
def watched(folder: Path) -> Iterator[Engine]:
    engine = engine_of(folder)
    engine.watch(EVERY)
    yield engine
    engine.unwatch()


def middleware(kind: str, **options: Any) -> Asgi | Wsgi:
    if kind == "ASGI":
        return Asgi(Recorder().asgi, **options)
    return Wsgi(Recorder().wsgi, **options)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- what became of reloads, and what is in force ---------------------------------------------------


def test_reloads_are_counted_and_the_last_error_is_told_until_one_succeeds(folder: Path) -> None:
    engine = engine_of(folder)
    start = engine.reloads
    assert (start.done, start.failed, start.last_error, start.last_failure) == (0, 0, None, None)
    (folder / "mine.txt").write_text("9.9.9.x")
    for times in (1, 2):
        with pytest.raises(ConfigurationError) as raised:
            engine.reload()
        failed = engine.reloads
        assert (failed.done, failed.failed, failed.last_error) == (0, times, str(raised.value))
        assert failed.since == start.since
        assert failed.last_failure is not None
        assert failed.last_failure >= start.since
    (folder / "mine.txt").write_text(OTHER)
    engine.reload()
    done = engine.reloads
    assert (done.done, done.failed, done.last_error) == (1, 2, None)
    assert done.since > start.since
    assert done.last_failure == failed.last_failure


def test_counts_are_exact_and_names_that_change_with_each_reload_do_not_pile_up(
    folder: Path,
) -> None:
    engine = engine_of(folder)
    gate = Wsgi(Recorder().wsgi, engine=engine)
    request = Request(peer=LISTED)
    gate(environ_of(request), lambda *_: print)
    parked = []
    kept = []
    for name in ("a", "b", "c", "a", "d", "e"):
        lay(folder, name)
        engine.reload()
        kept.append(len(engine._tallies) + len(engine._fading))
        if name == "a":
            parked.append(engine.snapshot.judge(CHINA, InternalRequest("/"))[0])
        if name == "c":
            parked[0].add()  # a request that began two reloads ago; then its policy comes back
    assert kept[-1] == kept[-2]
    gate(environ_of(request), lambda *_: print)
    assert {(each.rule, n) for each, n in engine.counts.items()} == {
        ("old", 1),
        ("country a", 1),
        ("e", 1),
    }
    lay(folder, "old")
    engine.reload()
    gate(environ_of(request), lambda *_: print)
    assert sorted(engine.counts.values()) == [1, 1, 2]


@pytest.mark.once
def test_the_id_of_a_snapshot_tells_policy_lists_and_data_and_nothing_of_the_process(
    tmp_path: Path,
) -> None:
    engine = engine_of(lay(tmp_path / "a"))
    here = engine.snapshot.id
    assert len(here) == 12
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert engine_of(tmp_path / "b").snapshot.id == here  # wherever the files lie
    code = (
        "import sys; from georestrict import Engine; "
        "print(Engine(sys.argv[1] + '/policy.toml', database=sys.argv[1] + '/one.grdb').snapshot.id)"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        told = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a")],
            env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert told.stdout.strip() == here
    for change in ({"name": "new"}, {"listed": OTHER}, {"country": "GB"}):
        engine = engine_of(lay(tmp_path / "a", **change))
        assert engine.snapshot.id != here, change
    for path in (tmp_path / "b").iterdir():
        shutil.copy(path, tmp_path / "a" / path.name)
    engine.reload()
    assert engine.snapshot.id == here


@pytest.mark.once
def test_i7_the_id_of_a_snapshot_tells_when_a_list_was_changed_only_where_its_age_decides(
    folder: Path,
) -> None:
    engine = engine_of(folder)
    here = engine.snapshot.id
    os.utime(folder / "mine.txt", (1.0, 1.0))
    engine.reload()
    assert engine.snapshot.id == here
    policy = POLICY.format(name="old").replace('txt"', 'txt"\nstale_after = "30d"')
    (folder / "policy.toml").write_text(policy)
    engine.reload()
    old = engine.snapshot.id
    os.utime(folder / "mine.txt")
    engine.reload()
    assert engine.snapshot.id != old


def test_the_files_of_all_engines_over_the_same_data_are_watched(folder: Path) -> None:
    (folder / "many").mkdir()
    (folder / "strict.toml").write_text(
        'default = "block"\n[lists.more]\npath = "many"\nallow_empty = true\n'
    )
    engine = engine_of(folder)
    own = [folder / name for name in ("policy.toml", "mine.txt", "one.grdb")]
    assert [*engine.watched_files()] == own
    strict = engine.with_policy(folder / "strict.toml")
    both = [*own, folder / "strict.toml", folder / "many"]
    assert [*engine.watched_files()] == [*strict.watched_files()] == both
    assert Engine({"default": "allow"}).watched_files() == ()


def test_an_engine_without_files_says_that_there_is_nothing_to_watch(
    tiny: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine({"default": "allow"}, database=tiny)
    engine.watch(EVERY)
    assert any("nothing to watch" in record.getMessage() for record in caplog.records)
    engine.unwatch()
    assert engine.watching is None


@pytest.mark.once
def test_an_engine_that_is_hardly_ever_looked_at_keeps_no_other_from_it(
    folder: Path, watched: Engine
) -> None:
    engine = engine_of(folder)
    watched.unwatch()
    engine.watch(1e300)
    wait_until(lambda: engine_module._WATCHER._watches[engine].next_look > 0)
    watched.watch(EVERY)
    lay(folder, "new")
    wait_until(lambda: watched.decide(LISTED).rule == "new")
    engine.unwatch()


@pytest.mark.once
def test_an_engine_that_nobody_holds_is_watched_no_longer(folder: Path) -> None:
    engine = engine_of(folder)
    engine.watch(EVERY)
    (folder / "mine.txt").write_text(OTHER)
    wait_until(lambda engine=engine: engine.reloads.done)  # type: ignore[misc]
    gone = weakref.ref(engine)
    del engine
    wait_until(lambda: gc.collect() >= 0 and gone() is None)


@pytest.mark.parametrize("wrong", [0, -1, "1", None, float("inf"), float("nan")])
def test_a_wrong_interval_is_an_error(wrong: Any, tiny: Any) -> None:
    with pytest.raises(ConfigurationError, match="watch is"):
        Engine({"default": "allow"}, database=tiny).watch(wrong)
    with pytest.raises(ConfigurationError, match="watch is"):
        Wsgi(Recorder().wsgi, block=["CN"], database=tiny, watch=wrong)


# --- ways in which files change ---------------------------------------------------------------------


def replaced(path: Path, data: bytes) -> None:
    """A rename over the file."""
    aside = path.with_name("aside")
    aside.write_bytes(data)
    aside.replace(path)


def in_place(path: Path, data: bytes) -> None:
    """As ``cp`` does it."""
    path.write_bytes(data)


def dated_back(path: Path, data: bytes) -> None:
    """As ``wget -N`` does it: in place, of the same size, with the old time."""
    before = path.stat()
    assert len(data) == before.st_size
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def linked(path: Path, data: bytes) -> None:
    """A symbolic link in the place of the file."""
    target = path.with_suffix(".target")
    target.write_bytes(data)
    aside = path.with_name("aside")
    aside.symlink_to(target)
    aside.replace(path)


def other_system(path: Path, data: bytes) -> None:
    """``mv`` from another file system: away first, then written anew."""
    path.unlink()
    path.write_bytes(data)


@pytest.mark.once
@pytest.mark.parametrize(
    "change", [replaced, in_place, dated_back, linked, other_system], ids=lambda way: way.__doc__
)
def test_g5_every_way_of_replacing_a_file_is_seen(
    change: Callable[[Path, bytes], None], watched: Engine, folder: Path
) -> None:
    watched.watch(0.1)  # a busy machine may keep a writer waiting for two looks of 10 ms
    assert watched.decide(OTHER).action is Action.ALLOW
    change(folder / "mine.txt", OTHER.encode())
    wait_until(lambda: watched.decide(OTHER).action is Action.BLOCK)
    assert watched.decide(LISTED).action is Action.ALLOW
    lay(folder.parent / "new", country="GB")
    change(folder / "one.grdb", (folder.parent / "new/one.grdb").read_bytes())
    wait_until(lambda: watched.decide(CHINA).country == "GB")
    assert watched.reloads.failed == 0


def config_map(folder: Path, version: str, **content: str) -> None:
    """Lay files out as Kubernetes mounts a ConfigMap, and swap them as it does."""
    lay(folder / f"..{version}", **content)
    for name in ("policy.toml", "mine.txt", "one.grdb"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(f"..{version}")
    (folder / "..data_tmp").replace(folder / "..data")


@pytest.mark.once
def test_g5_the_swapped_link_of_a_config_map_is_seen(tmp_path: Path) -> None:
    config_map(tmp_path, "one")
    engine = engine_of(tmp_path)
    engine.watch(EVERY)
    try:
        for version, name, country in (("two", "new", "GB"), ("three", "old", "CN")):
            config_map(tmp_path, version, name=name, country=country)
            wait_until(lambda name=name: engine.decide(LISTED).rule == name)  # type: ignore[misc]
            assert engine.decide(CHINA).country == country
            before = {"two": "one", "three": "two"}[version]
            shutil.rmtree(tmp_path / f"..{before}")  # as Kubernetes does
        assert engine.reloads.failed == 0
    finally:
        engine.unwatch()


@pytest.mark.once
def test_a_file_that_comes_goes_or_changes_in_a_list_that_is_a_folder_is_seen(
    tmp_path: Path,
) -> None:
    folder = lay(tmp_path / "laid")
    (folder / "mine.txt").unlink()
    (folder / "mine.txt").mkdir()
    (folder / "mine.txt/one").write_text(LISTED)
    engine = engine_of(folder)
    engine.watch(EVERY)
    try:
        (folder / "mine.txt/two").write_text(OTHER)
        wait_until(lambda: engine.decide(OTHER).action is Action.BLOCK)
        (folder / "mine.txt/one").write_text("7.7.7.7")
        wait_until(lambda: engine.decide("7.7.7.7").action is Action.BLOCK)
        (folder / "mine.txt/two").unlink()
        wait_until(lambda: engine.decide(OTHER).action is Action.ALLOW)
        done = engine.reloads.done
        (folder / "mine.txt/.hidden").write_text("junk")
        (folder / "mine.txt/below").mkdir()
        (folder / "mine.txt/below/three").write_text("junk")
        (folder / "mine.txt/last").write_text("6.6.6.6")
        wait_until(lambda: engine.decide("6.6.6.6").action is Action.BLOCK)
        assert engine.reloads.failed == 0
        assert engine.reloads.done > done
    finally:
        engine.unwatch()


class Steps:
    """A watch of which each look is a call, and whose clock stands still."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.now = engine, 0.0
        self._watch = Watch(1.0, lambda: self.now)

    def look(self) -> tuple[int, int]:
        """Look once; return how many reloads were done and failed."""
        self._watch.step(self.engine)
        return self.engine.reloads.done, self.engine.reloads.failed


def test_g5_a_file_that_is_still_being_written_is_left_alone(folder: Path) -> None:
    steps = Steps(engine_of(folder))
    assert [steps.look(), steps.look()] == [(0, 0), (0, 0)]
    with (folder / "mine.txt").open("w") as file:
        for part in (OTHER, "\n7.7.7", ".7\n"):  # half of it would be an error, or half a list
            file.write(part)
            file.flush()
            assert steps.look() == (0, 0)
    assert [steps.look(), steps.look(), steps.look()] == [(1, 0), (1, 0), (1, 0)]
    assert steps.engine.decide("7.7.7.7").action is Action.BLOCK


def test_what_changes_while_it_is_read_is_not_put_in_force(folder: Path) -> None:
    """The policy is read, then its list is replaced, then the list is read."""
    now = [1.0]

    def clock() -> float:  # asked between the two
        if now[0] == 2.0:
            now[0] = 3.0
            replaced(folder / "mine.txt", b"7.7.7.7")
        return now[0]

    steps = Steps(engine_of(folder, clock=clock))
    lay(folder, name="new", listed=OTHER)
    assert steps.look() == (0, 0)
    now[0] = 2.0
    assert steps.look() == (0, 0)
    assert now == [3.0]
    assert steps.engine.decide(LISTED).rule == "old"
    assert [steps.look(), steps.look()] == [(0, 0), (1, 0)]
    assert steps.engine.decide("7.7.7.7").rule == "new"


def test_files_that_never_rest_are_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps(engine_of(folder))
    for second in range(130):
        steps.now = float(second)
        (folder / "mine.txt").write_text(f"9.9.9.{second}")
        assert steps.look() == (0, 0)
    assert [r.getMessage() for r in caplog.records if "change at every look" in r.getMessage()] == [
        "the watched files change at every look, so nothing is taken up until they rest; "
        "replace them by renaming whole files"
    ]
    assert steps.look() == (1, 0)


@pytest.mark.once
def test_a_defect_in_the_watching_itself_is_told_once_and_does_not_end_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []

    def clock() -> float:
        asked.append(1)
        if broken:
            raise OSError("the clock is broken")
        return time.time()

    broken = False
    engine = engine_of(folder, clock=clock)
    broken = True
    engine.watch(EVERY)
    try:
        before = len(asked)
        wait_until(lambda: len(asked) > before + 5)
        assert [line for line in errors(caplog) if "watching failed" in line] == [
            "watching failed; it goes on"
        ]
        broken = False
        lay(folder, "new", OTHER)
        wait_until(lambda: engine.decide(OTHER).rule == "new")
    finally:
        engine.unwatch()


def test_g9_what_fails_is_tried_again_after_1_2_4_up_to_60_seconds_and_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps(engine_of(folder))
    (folder / "mine.txt").write_text("9.9.9.x")
    attempts = []
    for second in range(200):
        steps.now = float(second)
        failed = steps.engine.reloads.failed
        steps.look()
        if steps.engine.reloads.failed > failed:
            attempts.append(second)
    assert attempts == [1, 2, 4, 8, 16, 32, 64, 124, 184]
    assert len(errors(caplog)) == 1
    assert "mine.txt:1: '9.9.9.x'" in errors(caplog)[0]
    (folder / "mine.txt").write_text("9.9.9.y")  # another mistake is tried at once, and told
    failed = steps.engine.reloads.failed
    assert [steps.look()[1], steps.look()[1], steps.look()[1]] == [failed, failed + 1, failed + 1]
    assert len(errors(caplog)) == 2
    (folder / "mine.txt").write_text(OTHER)
    assert [steps.look()[0], steps.look()[0], steps.look()[0]] == [0, 1, 1]
    assert steps.engine.reloads.last_error is None


def test_a_list_that_the_new_policy_names_is_looked_for_where_it_will_be(folder: Path) -> None:
    steps = Steps(engine_of(folder))
    policy = POLICY.format(name="new").replace("mine.txt", "other.txt")
    (folder / "policy.toml").write_text(policy)
    assert [steps.look(), steps.look()] == [(0, 0), (0, 1)]
    (folder / "other.txt").write_text(OTHER)
    assert [steps.look(), steps.look()] == [(0, 1), (1, 1)]
    assert steps.engine.decide(OTHER).rule == "new"


def test_an_entry_that_ends_makes_a_reload(folder: Path) -> None:
    now = [1_700_000_000.0]
    (folder / "mine.txt").write_text(f"{OTHER}\n9.9.9.9 until 2026-12-01T00:00:00Z\n")
    steps = Steps(engine_of(folder, clock=lambda: now[0]))
    assert [steps.look(), steps.look()] == [(0, 0), (0, 0)]
    assert steps.engine.decide(LISTED).action is Action.BLOCK
    now[0] = 1_796_083_200.0  # 2026-12-01
    assert [steps.look(), steps.look()] == [(1, 0), (1, 0)]
    assert steps.engine.decide(LISTED).action is Action.ALLOW
    assert steps.engine.decide(OTHER).action is Action.BLOCK


# --- what is wrong changes nothing -------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("policy.toml", b'default = "deny"', id="H11 an invalid policy"),
        pytest.param("mine.txt", b"203.0.113.5/24", id="G9 an invalid list"),
        pytest.param("one.grdb", b"junk", id="G9 an invalid image"),
        pytest.param("policy.toml", None, id="the policy is gone"),
        pytest.param("mine.txt", None, id="the list is gone"),
        pytest.param("one.grdb", None, id="the image is gone"),
    ],
)
def test_g9_h11_what_is_wrong_keeps_the_old_is_told_once_and_mended_without_a_restart(
    name: str,
    content: bytes | None,
    watched: Engine,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = watched.snapshot
    whole = (folder / name).read_bytes()
    if content is None:
        (folder / name).unlink()
    else:
        replaced(folder / name, content)
    wait_until(lambda: watched.reloads.failed >= 2)  # the second is a retry
    assert watched.snapshot is before
    assert (watched.decide(LISTED).rule, watched.decide(CHINA).country) == ("old", "CN")
    assert watched.reloads.last_error is not None
    assert name in watched.reloads.last_error
    assert len(errors(caplog)) == 1
    replaced(folder / name, whole)
    wait_until(lambda: watched.reloads.done == 1)
    assert watched.reloads.last_error is None
    assert len(errors(caplog)) == 1


TROUBLE = """
import json, logging, os, resource, sys, time
from pathlib import Path
import georestrict.prepare
from georestrict import Engine
records = []
class Keep(logging.Handler):
    def emit(self, record):
        records.append((record.levelno, record.getMessage()))
logging.getLogger("georestrict").addHandler(Keep())
folder, trouble, again = Path(sys.argv[1]), sys.argv[2], 0
engine = Engine(folder / "policy.toml", database=folder / "one.grdb")
before, started = engine.snapshot, len(records)
def wait(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, (engine.reloads, records)
        engine.decide("9.9.9.9")
        time.sleep(0.01)
engine.watch(0.02)
(folder / "mine.txt").write_text("8.8.8.8")
if trouble == "EMFILE":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = os.dup(0); os.close(last)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last, hard))
else:
    os.seteuid(65534)
wait(lambda: engine.reloads.failed >= 2)
assert engine.snapshot is before and engine.decide("9.9.9.9").rule == "old"
told = [said for level, said in records[started:] if level >= logging.WARNING]
assert len(told) == 1, told
if trouble == "EMFILE":
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
else:
    os.seteuid(0)
wait(lambda: engine.reloads.done >= 1)
assert engine.decide("8.8.8.8").rule == "old" and engine.reloads.last_error is None
print(told[0])
"""


@pytest.mark.once
@pytest.mark.parametrize(("trouble", "said"), [("EMFILE", "Too many open files"), ("EACCES", "Permission denied")])  # fmt: skip
def test_g14_a_process_out_of_files_or_permission_keeps_the_old_and_recovers(
    trouble: str, said: str, folder: Path
) -> None:
    if trouble == "EACCES":
        folder.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", TROUBLE, str(folder), trouble],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_g14_a_read_that_takes_for_ever_holds_up_no_request(folder: Path) -> None:
    """As on a network file system that does not answer: opening a pipe waits for who writes."""
    engine = engine_of(folder)
    guarded = Asgi(Recorder().asgi, engine=engine)
    policy = folder / "policy.toml"
    policy.unlink()
    os.mkfifo(policy)

    async def ask() -> None:
        reload = asyncio.create_task(asyncio.to_thread(try_reload, engine))
        gaps, last = [], time.monotonic()
        while engine._reloading.locked() is False:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0.001)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
            assert engine.decide(LISTED).rule == "old"
        assert not reload.done()
        await asyncio.to_thread(policy.write_text, POLICY.format(name="new"))
        assert await reload
        assert sorted(gaps)[100] < 0.02  # the median: single ones are the machine's

    asyncio.run(ask())
    assert guarded.engine.decide(LISTED).rule == "new"


# --- one snapshot a request --------------------------------------------------------------------------


def test_h12_p3_policy_and_data_that_change_together_are_seen_together(tmp_path: Path) -> None:
    """Both are swapped by one link while four threads ask, by the engine and by the middleware."""
    config_map(tmp_path, "v0")
    engine = engine_of(tmp_path)
    guarded = Wsgi(Recorder().wsgi, engine=engine)
    seen: set[tuple[str | None, str | None]] = set()
    stop = threading.Event()

    def by_engine() -> None:
        while not stop.is_set():
            decision = engine.decide(CHINA)
            seen.add((decision.rule, decision.country))

    def by_middleware() -> None:
        while not stop.is_set():
            environ = environ_of(Request(peer=CHINA))
            guarded(environ, lambda *_: print)
            decision = environ["georestrict"]
            seen.add((decision.rule, decision.country))

    engine.watch(EVERY)
    try:
        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(each) for each in (by_engine, by_middleware) * 2]
            for number in range(1, 7):
                name, country = (("old", "CN"), ("new", "GB"))[number % 2]
                config_map(tmp_path, f"v{number}", name=name, country=country)
                wait_until(lambda number=number: engine.reloads.done >= number)  # type: ignore[misc]
            stop.set()
            for done in asking:
                done.result()
    finally:
        stop.set()
        engine.unwatch()
    assert seen == {("country old", "CN"), ("country new", "GB")}
    assert engine.reloads.failed == 0


def test_g7_a_request_that_is_parked_while_the_swap_happens_finishes_on_the_old(
    folder: Path,
) -> None:
    asks = 'attributes = { plan = ["free"] }'
    policy = folder / "policy.toml"
    policy.write_text(
        POLICY.format(name="old").replace('lists = ["mine"]', f'lists = ["mine"]\n{asks}')
    )
    engine = engine_of(folder)
    parked, go_on = threading.Event(), threading.Event()

    def attributes(environ: Any) -> dict[str, str]:
        if environ.get("test.park"):
            parked.set()
            assert go_on.wait(PATIENCE)
        return {"plan": "free"}

    guarded = Wsgi(Recorder().wsgi, engine=engine, attributes=attributes)

    def request(**more: Any) -> str | None:
        environ = {**environ_of(Request(peer=LISTED)), **more}
        guarded(environ, lambda *_: print)
        decision = environ.get("georestrict")
        return None if decision is None else decision.rule

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(request, **{"test.park": True})
        assert parked.wait(PATIENCE)
        lay(folder, name="new", listed=OTHER)
        engine.reload()
        assert request() is None
        go_on.set()
        assert first.result() == "old"


@pytest.mark.once
@pytest.mark.parametrize("kind", ["ASGI", "WSGI"])
def test_p3_an_endpoint_is_judged_by_what_was_in_force_when_the_request_came(
    kind: str, folder: Path
) -> None:
    """Until the response begins: a connection that stays for days must not keep it in memory."""
    rules: list[str | None] = []

    @restrict("strict")
    def endpoint() -> None:
        """Stand for a handler that changes nothing."""

    def ask(where: Any) -> None:
        endpoint()
        rules.append(where["georestrict"].rule)

    def change(where: Any) -> None:
        rules.append(where["georestrict"].rule)
        lay(folder, "new")
        guarded.engine.reload()
        ask(where)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        change(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        ask(scope)
        await send({"type": "http.response.body", "body": b""})

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        change(environ)
        start_response("200 OK", [])
        ask(environ)
        return [b""]

    given: dict[str, Any] = {
        "engine": engine_of(folder),
        "policies": {"strict": folder / "policy.toml"},
    }
    request = Request(peer=CHINA)
    guarded: Any
    if kind == "ASGI":
        guarded = Asgi(asgi, **given)
        run_asgi(guarded, scope_of(request))
    else:
        guarded = Wsgi(wsgi, **given)
        guarded(environ_of(request), lambda *_: print)
    assert rules == ["country old", "country old", "country new"]


@pytest.mark.parametrize("kind", ["ASGI", "WSGI"])
@pytest.mark.parametrize("annotate", [False, True], ids=["plain", "annotated"])
def test_g8_the_same_address_has_the_new_answer_right_after_the_swap(
    kind: str, annotate: bool, folder: Path
) -> None:
    """What gates and snapshots keep of an address, a class and a path goes with the snapshot."""
    policy = folder / "policy.toml"
    text = 'default = "allow"\n[[rules]]\nname = "r"\naction = "block"\ncountries = ["{}"]\npaths = ["/a"]\n'
    policy.write_text(text.format("GB"))
    engine = engine_of(folder)
    asked = Request(peer=CHINA, target="/a")
    guarded = middleware(kind, engine=engine, annotate=annotate)

    def told() -> tuple[str, str | None]:
        if isinstance(guarded, Asgi):
            where = scope_of(asked)
            run_asgi(guarded, where)
        else:
            where = environ_of(asked)
            guarded(where, lambda *_: print)
        decision: Any = where.get("georestrict")
        return ("allow", None) if decision is None else (decision.action.value, decision.country)

    allowed = ("allow", "CN" if annotate else None)
    assert {told() for _ in range(40)} == {allowed}  # from the gate, too
    lay(folder.parent / "new", country="GB")
    replaced(folder / "one.grdb", (folder.parent / "new/one.grdb").read_bytes())
    engine.reload()
    assert [told() for _ in range(40)] == [("block", "GB")] * 40
    policy.write_text(text.format("FR"))
    engine.reload()
    assert [told()[0] for _ in range(40)] == ["allow"] * 40


@pytest.mark.compiled
def test_g8_what_a_large_table_keeps_of_addresses_goes_with_it(
    tmp_path: Path, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(tmp_path / "cache"))
    numbers = range(0x0B000000, 0xDF000000, 24_000)
    spread = [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in numbers]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(spread))
    mapping = {
        "default": "allow",
        "lists": {"listed": {"path": str(listed)}},
        "rules": [{"name": "r", "action": "block", "lists": ["listed"]}],
    }
    engine = Engine(mapping, database=database)
    painted = max(path.stat().st_size for path in (tmp_path / "cache").glob("*.grdb"))
    assert painted > 4 * (3 << 19)  # HOT_FROM_CELLS
    assert all(engine.decide(each).rule == "r" for each in spread[:1000])
    listed.write_text("\n".join(spread[1000:]))
    engine.reload()
    assert {engine.decide(each).rule for each in spread[:1000]} == {None}


def test_followers_are_watched_and_reloaded_with_their_leader(folder: Path) -> None:
    strict = folder / "strict.toml"
    strict.write_text(POLICY.format(name="strict"))
    engine = engine_of(folder)
    guarded = Wsgi(Recorder().wsgi, engine=engine, policies={"strict": strict}, watch=EVERY)
    follower = guarded.policies["strict"]
    try:
        assert guarded(environ_of(Request(peer=LISTED)), lambda *_: print)
        assert engine.watching == follower.watching == EVERY
        strict.write_text(POLICY.format(name="stricter"))
        wait_until(lambda: follower.decide(LISTED).rule == "stricter")
        lay(folder.parent / "new", country="GB")
        replaced(folder / "one.grdb", (folder.parent / "new/one.grdb").read_bytes())
        wait_until(lambda: engine.decide(CHINA).country == "GB")
        assert follower.decide(CHINA).country == "GB"
        assert follower.database is engine.database
        done = engine.reloads
        strict.write_text('default = "deny"')
        wait_until(lambda: engine.reloads.failed == 1)
        assert follower.reloads is engine.reloads
        assert engine.reloads.done == done.done
        assert follower.decide(LISTED).rule == "stricter"
    finally:
        follower.unwatch()
    assert engine.watching is None


@pytest.mark.parametrize("kind", ["ASGI", "WSGI"])
def test_the_option_watch_begins_with_the_first_request_and_shuts_no_gate(
    kind: str, folder: Path
) -> None:
    engine = engine_of(folder)
    threads = threading.active_count()
    guarded = middleware(kind, engine=engine, watch=EVERY)
    try:
        assert threading.active_count() == threads  # who only forks needs none
        for _ in range(5):
            if isinstance(guarded, Asgi):
                run_asgi(guarded, scope_of(Request(peer="7.7.7.7")))
            else:
                guarded(environ_of(Request(peer="7.7.7.7")), lambda *_: print)
        assert sum(engine.counts.values()) == 5
        replaced(folder / "mine.txt", b"7.7.7.7")
        wait_until(lambda: engine.decide("7.7.7.7").action is Action.BLOCK)
    finally:
        engine.unwatch()


def test_what_failed_is_tried_again_where_files_look_as_those_in_force(folder: Path) -> None:
    steps = Steps(engine_of(folder))
    assert [steps.look(), steps.look()] == [(0, 0), (0, 0)]
    away = folder.rename(folder.with_name("away"))  # of the files nothing changes
    assert not try_reload(steps.engine)
    away.rename(folder)
    assert [steps.look(), steps.look()] == [(1, 1), (1, 1)]
    assert steps.engine.reloads.last_error is None


def test_g12_what_a_fork_does_frees_the_locks_that_threads_hold(folder: Path) -> None:
    """What is registered for forks, in this process: the one that holds the lock is no more."""
    engine = engine_of(folder)
    engine._reloading.acquire()
    engine_module._before_fork()
    engine_module._after_fork_in_parent()
    engine_module._before_fork()
    engine_module._after_fork_in_child()
    engine.reload()
    assert engine.reloads.done == 1
    engine_module._tell_forks(None)


# --- built in another process -----------------------------------------------------------------------


def large(folder: Path, name: str, country: str = "CN") -> Path:
    """Lay out files of which the list is large enough to be painted aside."""
    listed = "\n".join(f"10.{n >> 8 & 255}.{n & 255}.0/24" for n in range(3000))
    return lay(folder, name, f"{listed}\n{LISTED if name == 'old' else OTHER}", country)


@pytest.mark.parametrize("kept", [True, False], ids=["with a cache", "without a cache"])
def test_what_a_reload_has_to_paint_is_painted_by_another_process(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(cache) if kept else "")
    folder = large(tmp_path / "laid", "old")
    engine = engine_of(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/nowhere")])  # no text, as some have it
    painted: list[object] = []
    monkeypatch.setattr("georestrict.lists.paint", lambda *_: painted.append(1))  # fails, if called
    large(folder, "new", "GB")
    engine.reload()
    assert not painted
    assert (engine.decide(OTHER).rule, engine.decide(LISTED).rule) == ("new", None)
    assert engine.decide("10.9.9.9").rule == "new"
    assert len([*cache.glob("*.grdb")]) == (2 if kept else 0)
    assert engine.snapshot.id == engine_of(folder).snapshot.id if kept else True


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_reload_starts_no_collection_of_garbage_and_leaves_the_collector_as_it_was(
    on: bool, folder: Path
) -> None:
    states: list[bool] = []

    def clock() -> float:
        states.append(gc.isenabled())
        return 1.0

    engine = engine_of(folder, clock=clock)
    was_on = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        states.clear()
        engine.reload()
        assert gc.isenabled() is on
        (folder / "policy.toml").write_text("junk")
        assert not try_reload(engine)
        assert gc.isenabled() is on
    finally:
        (gc.enable if was_on else gc.disable)()
    assert states
    assert not any(states)


def test_the_collector_goes_on_after_two_engines_have_reloaded_at_once() -> None:
    """The one that waits for its other process outlives the one that had paused it."""
    was_on = gc.isenabled()
    gc.enable()
    try:
        one, other, waiting = prepare.uncollected(), prepare.uncollected(), prepare._waiting()
        one.__enter__()
        other.__enter__()
        waiting.__enter__()
        assert not gc.isenabled()  # one is at work
        one.__exit__(None, None, None)
        assert gc.isenabled()
        waiting.__exit__(None, None, None)
        assert not gc.isenabled()
        other.__exit__(None, None, None)
        assert gc.isenabled()
    finally:
        (gc.enable if was_on else gc.disable)()


def test_an_error_of_the_other_process_is_raised_here(tmp_path: Path) -> None:
    folder = large(tmp_path / "laid", "old")
    engine = engine_of(folder)
    with (folder / "mine.txt").open("a") as file:
        file.write("\n1.2.3.x\n")
    with pytest.raises(
        ConfigurationError, match=r"policy\.toml: lists\.mine\.path: .*'1\.2\.3\.x'"
    ):
        engine.reload()
    assert engine.decide(LISTED).rule == "old"


@pytest.mark.once
@pytest.mark.parametrize("executable", ["", "/usr/bin/true", "/nowhere/python3"])
def test_where_no_other_process_can_be_started_it_is_painted_here(
    executable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = large(tmp_path / "laid", "old")
    engine = engine_of(folder)
    monkeypatch.setattr(sys, "executable", executable)
    large(folder, "new")
    engine.reload()
    assert engine.decide(OTHER).rule == "new"


@pytest.mark.once
def test_another_process_that_is_stuck_is_killed_and_it_is_painted_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = large(tmp_path / "laid", "old")
    engine = engine_of(folder)
    stuck = tmp_path / "python-stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 1000\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    monkeypatch.setattr(prepare, "_PATIENCE_SECONDS", 0.05)
    large(folder, "new")
    engine.reload()
    assert engine.decide(OTHER).rule == "new"
    assert "and was killed; this one builds in its place" in caplog.text


def test_a_frozen_app_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = large(tmp_path / "laid", "old")
    engine = engine_of(folder)
    monkeypatch.setattr(sys, "frozen", True, raising=False)  # as PyInstaller sets it
    monkeypatch.setattr("subprocess.Popen", None)  # fails, if called
    large(folder, "new")
    engine.reload()
    assert engine.decide(OTHER).rule == "new"


def test_over_a_database_without_a_file_it_is_painted_here(tmp_path: Path) -> None:
    folder = large(tmp_path / "laid", "old")
    engine = Engine(folder / "policy.toml", database=tiny_database({"175.16.199.0/24": "CN"}))
    large(folder, "new")
    engine.reload()
    assert engine.decide(OTHER).rule == "new"


LIMITED = """
import json, logging, resource, sys
from pathlib import Path
from georestrict import Engine
from tests.test_reload import large
said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("georestrict").addHandler(Keep())
folder = Path(sys.argv[1])
engine = Engine(folder / "policy.toml", database=folder / "one.grdb")
large(folder, "new")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
engine.reload()
assert engine.decide("8.8.8.8").rule == "new", engine.reloads
engine.reload()
print(json.dumps([line for line in said if "cache cannot be used" in line]))
"""


@pytest.mark.once
def test_g14_a_cache_folder_without_room_is_told_once_and_costs_nothing_else(
    tmp_path: Path,
) -> None:
    folder = large(tmp_path / "laid", "old")
    environment = {**os.environ, "GEORESTRICT_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder)],
        cwd=Path(__file__).parents[1],
        env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said) == 1
    assert "File too large" in said[0]


def test_a_missing_image_is_still_an_error_of_the_database(folder: Path) -> None:
    engine = engine_of(folder)
    (folder / "one.grdb").unlink()
    with pytest.raises(DatabaseError, match=r"one\.grdb: no such file"):
        engine.reload()
