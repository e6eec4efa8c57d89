"""Files of data, whatever happens to them: while they are written, read, kept and served from."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from georestrict import Database, DatabaseError, Engine, FormatError, cache
from georestrict.networks import hosting
from georestrict.record import DEFAULT_IMAGE
from georestrict.table import Image, encode, publish
from georestrict.testing import tiny_database
from tests import crash, mmdb

ROOT = Path(__file__).parents[1]
RECORDS = [
    ("81.2.69.0/24", mmdb.maxmind("GB")),
    ("175.16.199.0/24", mmdb.maxmind("CN")),
    ("2001:218::/32", mmdb.maxmind("JP")),
]
PROBES = ["81.2.69.142", "175.16.199.1", "2001:218::1", "2002:5102:458e::1", "8.8.8.8", "x"]
TOLD = ["GB", "CN", "JP", "GB", None, None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of a test, not made yet."""
    found = tmp_path / "cache"
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(found))
    cache.warn_once.cache_clear()
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An MMDB of a user."""
    return mmdb.write(tmp_path / "GeoLite2-Country.mmdb", RECORDS)


def answers(database: Database) -> list[str | None]:
    return [database.country(address) for address in PROBES]


def kept(folder: Path, kind: str = "data") -> list[Path]:
    return sorted(folder.glob(f"{kind}-*.grdb")) if folder.is_dir() else []


def builds(caplog: pytest.LogCaptureFixture) -> int:
    return sum("built for all workers" in each.getMessage() for each in caplog.records)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_an_mmdb_is_compiled_once_and_then_mapped(
    source: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    opened = [Database.open(source) for _ in range(3)]
    assert [answers(database) for database in opened] == [TOLD] * 3
    [path] = kept(folder)
    assert builds(caplog) == 1
    assert Path("/proc/self/maps").read_text().count(str(path)) == len(opened)
    assert not warnings(caplog)


def test_the_database_names_the_users_file_and_not_the_caches(source: Path, folder: Path) -> None:
    for database in (Database.open(source), Database.open(source)):
        assert database.metadata.path == str(source)
        assert repr(database).startswith(f"Database({str(source)!r}")
        database.verify()
        [match] = database.matches("81.2.69.142")
        assert match.source == "Test-City"


def test_it_says_and_digests_the_same_from_the_cache_and_from_memory(
    source: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that workers on machines with and without a folder show the same snapshot."""
    other = tmp_path / "renamed.mmdb"
    other.write_bytes(source.read_bytes())
    cached = [Database.open(source), Database.open(source), Database.open(other)]
    assert len(kept(folder)) == 1
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", "")
    for path in (source, other):
        in_memory = Database.open(path)
        assert {each.digest() for each in cached} == {in_memory.digest()}
        assert in_memory.metadata.path == str(path)
        assert in_memory.metadata.sources == cached[0].metadata.sources


def test_another_content_or_table_of_as_numbers_is_compiled_anew(
    source: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Database.open(source)
    mmdb.write(source, [("81.2.69.0/24", mmdb.maxmind("FR"))])
    assert Database.open(source).country("81.2.69.142") == "FR"
    assert len(kept(folder)) == 2
    table = tmp_path / "hosting.csv"
    table.write_bytes(hosting.TABLE.read_bytes() + b"\n")
    monkeypatch.setattr(hosting, "TABLE", table)
    Database.open(source)
    assert len(kept(folder)) == 3


OPENING = """
import logging, sys
from georestrict import Database
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
print("ready", flush=True)
sys.stdin.readline()
database = Database.open(sys.argv[1])
maps = [line.split() for line in open("/proc/self/maps")]
inodes = {words[4] for words in maps if words[-1].endswith(".grdb")}
print("told", database.country("81.2.69.142"), *inodes, flush=True)
"""


def test_of_eight_processes_that_open_at_once_one_builds_and_all_map_the_same_pages(
    source: Path, folder: Path
) -> None:
    command = [sys.executable, "-c", OPENING, str(source)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0].splitlines() for process in processes]
    assert sum("built for all workers" in line for lines in said for line in lines) == 1
    [path] = kept(folder)
    assert [lines[-1] for lines in said] == [f"told GB {path.stat().st_ino}"] * 8
    assert not any("cannot be used" in line for lines in said for line in lines)


def _damaged(damage: str, path: Path) -> bytes:
    good = path.read_bytes()
    if damage == "flipped":
        return good[:-100] + bytes([good[-100] ^ 1]) + good[-99:]
    return {
        "cut": good[:-64],
        "empty": b"",
        "zeroed": bytes(len(good)),
        "another kind of image": encode({"meta": b"{}", "cells": b""}),
    }[damage]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "zeroed", "another kind of image"])
def test_g2_a_damaged_image_in_the_cache_is_built_again(
    source: Path, folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    Database.open(source)
    [path] = kept(folder)
    good = path.read_bytes()
    publish(path, _damaged(damage, path))
    assert answers(Database.open(source)) == TOLD
    [line] = warnings(caplog)
    assert str(path) in line
    assert line.endswith("it is built again")
    assert path.read_bytes() == good


@pytest.mark.parametrize("place", ["/proc/self/task", "/proc/nowhere/deep"])
def test_without_a_folder_it_works_from_memory_and_says_so_once(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", place)
    assert [answers(Database.open(source)) for _ in range(3)] == [TOLD] * 3
    [line] = warnings(caplog)
    assert line.startswith("the cache cannot be used: ")
    assert "/proc/" in line
    assert "each process compiles its data and lists for itself" in line


def test_data_and_lists_do_not_push_each_other_out(
    source: Path, tmp_path: Path, folder: Path
) -> None:
    policy = {
        "default": "allow",
        "lists": {"mine": {"path": str(tmp_path / "mine.txt")}},
        "rules": [{"name": "r", "action": "block", "lists": ["mine"]}],
    }
    database = Database.open(source)
    [data] = kept(folder)
    for number in range(cache.MOST_FILES + 3):
        lines = (f"100.{number}.{each >> 4}.{(each & 15) << 4}/28\n" for each in range(1200))
        (tmp_path / "mine.txt").write_text("".join(lines))
        Engine(policy, database=database)
    assert len(kept(folder, "lists")) == cache.MOST_FILES
    assert kept(folder) == [data]
    newest = max(kept(folder, "lists"), key=lambda path: path.stat().st_mtime_ns)
    for number in range(cache.MOST_FILES + 3):
        Database.open(mmdb.write(source, [(f"81.2.{number}.0/24", mmdb.maxmind("GB"))]))
    assert len(kept(folder)) == cache.MOST_FILES
    assert newest in kept(folder, "lists")


def test_what_is_wrong_with_the_file_is_told_once_and_not_as_something_wrong_with_the_cache(
    source: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = source.read_bytes()
    source.write_bytes(data[len(data) // 2 :])
    with pytest.raises(FormatError, match=r"GeoLite2-Country\.mmdb: a damaged MMDB"):
        Database.open(source)
    assert not warnings(caplog)
    assert not kept(folder)


def test_a_pipe_is_read_once(source: Path, tmp_path: Path, folder: Path) -> None:
    """As a shell's ``<(…)`` gives it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for content in (source.read_bytes(), DEFAULT_IMAGE.read_bytes()):
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        assert Database.open(pipe).country("81.2.69.142") == "GB"
        writer.join()
    assert not kept(folder)


WRITING = """
import sys
path, *contents = sys.argv[1:]
contents = [open(each, "rb").read() for each in contents]
told = False
while True:
    for content in contents:
        with open(path, "r+b", buffering=0) as file:
            for start in range(0, len(content), 4096):
                file.write(content[start : start + 4096])
    if not told:
        print("ready", flush=True)
        told = True
"""


@pytest.mark.once
def test_g4_of_an_mmdb_that_is_written_over_in_place_all_the_time_no_mixture_is_used(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are of one length, and differ from their beginning to their end."""
    # A busy machine may keep the writer waiting for longer than the usual 50 ms.
    monkeypatch.setattr("georestrict.database._QUIET_SECONDS", 0.3)
    networks = [f"{first}.{second}.0.0/16" for first in range(1, 60) for second in range(0, 256, 4)]
    files = {}
    for code in ("GB", "CN"):
        path = tmp_path / f"{code}.mmdb"
        shift = networks if code == "GB" else [net.replace(".0.0/", ".128.0/") for net in networks]
        shift = [each.replace("128.0/16", "128.0/17") for each in shift]
        mmdb.write(path, [(each, mmdb.maxmind(code)) for each in shift])
        files[code] = path
    sizes = {path.stat().st_size for path in files.values()}
    for path in files.values():  # what is behind the metadata is not read
        path.write_bytes(path.read_bytes().ljust(max(sizes), b"\0"))
    target = tmp_path / "used.mmdb"
    target.write_bytes(files["GB"].read_bytes())
    command = [sys.executable, "-c", WRITING, str(target), *map(str, files.values())]
    probes = [(f"{each.partition('/')[0].rpartition('.')[0]}.1", each) for each in networks[::7]]
    whole: set[tuple[str | None, ...]] = {
        tuple(Database.open(path).country(address) for address, _ in probes)
        for path in files.values()
    }
    refused = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        try:
            for _ in range(500):  # it may be whole now and then, and then it is used
                try:
                    database = Database.open(target)
                except DatabaseError as error:
                    assert re.search("written to each time|not a georestrict image", str(error))
                    refused += 1
                    if refused == 2:
                        break
                else:
                    assert tuple(database.country(address) for address, _ in probes) in whole
        finally:
            writer.kill()
    assert refused
    target.write_bytes(files["CN"].read_bytes())
    assert tuple(Database.open(target).country(address) for address, _ in probes) in whole


FORKING = """
import os, sys
from pathlib import Path
from georestrict import cache
with cache._locked(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        print("forked", flush=True)
        sys.stdin.read()
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_g12_a_child_does_not_hold_on_to_the_lock_of_a_parent_that_is_killed(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(cache, "_PATIENCE_SECONDS", 20.0)
    command = [sys.executable, "-c", FORKING, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "forked\n"
        parent.send_signal(signal.SIGKILL)
        assert parent.wait() == -signal.SIGKILL
        assert answers(Database.open(source)) == TOLD
        assert len(kept(folder)) == 1
    assert not warnings(caplog)


# Writers that are killed, and disks that fail (G10, G14).


def crashed(*arguments: object) -> list[dict[str, Any]]:
    """What tests/crash.py tells."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _steps(told: list[dict[str, Any]]) -> set[str]:
    return {each["step"].partition(" ")[2] for each in told}


WRITING_STEPS = {"open", "flock", "write", "flush", "fchmod", "fsync", "replace", "close"}


@pytest.mark.once
def test_g10_a_publisher_killed_at_any_step_leaves_the_old_file_or_the_new_one(
    tmp_path: Path,
) -> None:
    told = crashed("kill", "publish", tmp_path)
    assert _steps(told) >= WRITING_STEPS
    assert {each["visible"] for each in told} == {"old", "new"}
    order = [each["visible"] for each in told]
    assert order == sorted(order, reverse=True)  # first the old one, then the new one
    at = {each["step"]: each["visible"] for each in told}
    assert (at["c_call replace"], at["c_return replace"]) == ("old", "new")
    assert all(each["next"] for each in told)


@pytest.mark.once
def test_g10_what_a_killed_publisher_left_is_removed_by_the_next(tmp_path: Path) -> None:
    told = crashed("kill", "publish", tmp_path)
    assert sum(len(each["left"]) == 1 for each in told) > 10
    assert all(each["tidied"] for each in told)


@pytest.mark.once
def test_g10_an_opener_killed_at_any_step_leaves_nothing_in_the_cache_that_is_not_whole(
    source: Path, folder: Path
) -> None:
    source.rename(source.with_name("data.mmdb"))
    told = crashed("kill", "open", source.parent)
    assert _steps(told) >= WRITING_STEPS | {"mkdir", "utime"}
    assert {each["visible"] for each in told} == {"old", "new"}
    assert sum(len(each["left"]) for each in told) > 10
    assert all(each["next"] and each["tidied"] for each in told)


@pytest.mark.once
def test_g10_a_power_cut_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    told = crashed("power", tmp_path)
    assert [each["after"] for each in told] == [
        "nothing", "name", "write", "sync", "name", "sync names",
    ]  # fmt: skip
    assert [each["visible"] for each in told] == [*[["old"]] * 4, ["new", "old"], ["new"]]


@pytest.mark.once
def test_the_simulated_power_cut_finds_a_part_where_nothing_is_synced(tmp_path: Path) -> None:
    assert crashed("power", tmp_path, "--no-sync")[-1]["visible"] == ["a part", "new", "old"]


@pytest.mark.once
def test_a_publisher_leaves_alone_what_another_one_is_writing(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from georestrict.table import image;"
        "handle, path = image._beside(Path(sys.argv[1])); print(path, flush=True); sys.stdin.read()"
    )
    target = tmp_path / "image.grdb"
    others = [tmp_path / name for name in (".image.grdb.fetched.json", ".other.grdb.abcdefgh.part")]
    for other in others:
        other.touch()
    command = [sys.executable, "-c", code, str(target)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        theirs = Path(writer.stdout.readline().rstrip())
        publish(target, b"ours")
        assert theirs.exists()
        writer.kill()
        writer.wait()
        publish(target, b"ours")
    assert {*tmp_path.iterdir()} == {target, *others}


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    """Lower one of this process's limits."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@contextmanager
def forbidden(folder: Path) -> Iterator[None]:
    """Have no permission to write to a folder; root, whom nothing is forbidden, becomes nobody."""
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(mode)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Have no space in a folder; a limit of a file's size stands for it."""
    with limited(resource.RLIMIT_FSIZE, 2000):
        yield


@contextmanager
def no_handles(folder: Path) -> Iterator[None]:
    """Open as many files as a process may."""
    with limited(resource.RLIMIT_NOFILE, 3):
        yield


FAILURES: dict[str, Callable[[Path], Any]] = {
    "ENOSPC": full_disk,
    "EMFILE": no_handles,
    "EACCES": forbidden,
}


@pytest.mark.once
@pytest.mark.parametrize("failure", FAILURES)
def test_g14_what_cannot_be_published_leaves_the_old_file_alone_and_one_clear_error(
    tmp_path: Path, failure: str
) -> None:
    target = tmp_path / "image.grdb"
    publish(target, crash.OLD)
    expected = errno.EFBIG if failure == "ENOSPC" else getattr(errno, failure)
    with FAILURES[failure](tmp_path), pytest.raises(OSError, match=os.strerror(expected)):
        publish(target, crash.NEW)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == crash.OLD
    publish(target, crash.NEW)
    assert target.read_bytes() == crash.NEW


@pytest.mark.once
@pytest.mark.needs("mount", "umount")
def test_g14_a_disk_that_is_really_full_keeps_the_old_file(tmp_path: Path) -> None:
    """Only root can make a disk of its own, and not in every container; elsewhere a limit is."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    made = subprocess.run(options, capture_output=True, check=False).returncode == 0
    limit = nullcontext if made else lambda: full_disk(disk)
    try:
        target = disk / "image.grdb"
        publish(target, b"old")
        expected = errno.ENOSPC if made else errno.EFBIG
        with limit(), pytest.raises(OSError, match=os.strerror(expected)):
            publish(target, bytes(100_000))
        assert [path.read_bytes() for path in disk.iterdir()] == [b"old"]
        publish(target, b"new")
        assert target.read_bytes() == b"new"
    finally:
        if made:
            subprocess.run(["umount", str(disk)], check=True)


def test_g14_a_full_disk_under_the_cache_is_no_error_and_is_told_once(
    source: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = mmdb.write(source.with_name("other.mmdb"), [*RECORDS, ("9.9.9.0/24", {})])
    with full_disk(folder):
        assert [answers(Database.open(source)) for _ in range(3)] == [TOLD] * 3
        assert answers(Database.open(other)) == TOLD
    [line] = warnings(caplog)
    assert line.startswith("the cache cannot be used: File too large; each process")
    assert [path.name for path in folder.iterdir()] == ["lock"]
    assert answers(Database.open(source)) == TOLD
    assert len(kept(folder)) == 1


POLICY = {"default": "allow", "rules": [{"name": "no-gb", "action": "block", "countries": ["GB"]}]}


@pytest.fixture(params=["mmdb", "image"])
def served(request: pytest.FixtureRequest, tmp_path: Path, source: Path) -> Path:
    """A file that an engine serves from; where it lies, nobody's rights matter."""
    if request.param == "mmdb":
        return source
    path = tmp_path / "image.grdb"
    database = tiny_database({n: record["country"]["iso_code"] for n, record in RECORDS})
    sections = ("meta", "cells", "origin.country")
    small = encode({name: database._image.section(name) for name in sections})
    path.write_bytes(small)
    return path


def decided(engine: Engine) -> list[tuple[str | None, str | None]]:
    decisions = [engine.decide(address) for address in PROBES[:3]]
    return [(each.rule, each.location.country) for each in decisions]


DECIDED = [("no-gb", "GB"), (None, "CN"), (None, "JP")]


@pytest.mark.parametrize(
    ("failure", "says"), [("EMFILE", "Too many open files"), ("EACCES", "Permission denied")]
)
def test_g14_where_a_reload_cannot_read_the_data_the_old_stays_and_it_recovers(
    served: Path, failure: str, says: str
) -> None:
    engine = Engine(POLICY, database=served)
    mode = served.stat().st_mode
    for _ in range(3):
        served.chmod(0)
        told = f"{served.name}: cannot be read: {says}; name"
        with FAILURES[failure](served.parent), pytest.raises(DatabaseError, match=told):
            engine.reload()
        served.chmod(mode)
        assert decided(engine) == DECIDED
    engine.reload()
    assert decided(engine) == DECIDED


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)


def _replace(path: Path) -> None:
    publish(path, b"nonsense")


IN_PLACE = [_truncate, _cut, _overwrite, Path.unlink, _replace]


@pytest.mark.parametrize("damage", IN_PLACE, ids=[each.__name__ for each in IN_PLACE])
def test_g4_whatever_is_done_to_the_source_while_it_serves_the_answers_stay_the_same(
    served: Path, damage: Callable[[Path], None]
) -> None:
    """Lookups go on in threads meanwhile; a SIGBUS would end this process."""
    engine = Engine(POLICY, database=served)
    spread = random.Random(1)
    probes = [f"{spread.choice([81, 175])}.{spread.randrange(256)}.69.1" for _ in range(500)]
    before = [engine.database.country(address) for address in probes]
    over = threading.Event()
    seen: list[bool] = []

    def look() -> None:
        while True:
            last = over.is_set()
            same = [engine.database.country(address) for address in probes] == before
            seen.append(same and decided(engine) == DECIDED)
            if last:
                return

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    damage(served)
    with pytest.raises(DatabaseError, match=served.name):
        engine.reload()
    over.set()
    for thread in threads:
        thread.join()
    assert len(seen) >= 2
    assert all(seen)


def test_g4_the_default_image_as_a_users_file_may_be_cut_while_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "image.grdb"
    path.write_bytes(DEFAULT_IMAGE.read_bytes())
    database = Database.open(path)
    mapped = Database.open()
    os.truncate(path, 4096)
    spread = random.Random(3)
    addresses = [str(IPv4Address(spread.getrandbits(32))) for _ in range(2000)]
    found = [database.country(address) for address in addresses]
    assert found == [mapped.country(address) for address in addresses]


def test_g13_where_the_file_is_missing_at_start_it_is_refused_with_the_fix(tmp_path: Path) -> None:
    for name in ("none.grdb", "GeoLite2-Country.mmdb", "no/folder/image.grdb"):
        path = tmp_path / name
        with pytest.raises(
            DatabaseError, match=rf"^{path}: no such file; name an image that exists$"
        ):
            Engine(POLICY, database=path)


@pytest.mark.once
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_nothing_is_published_over_what_is_no_file(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    target = tmp_path / "image.grdb"
    make(target)
    before = target.stat()
    with pytest.raises(FileExistsError, match="exists and is not a regular file"):
        publish(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["image.grdb"]
    assert target.stat().st_mode == before.st_mode


@pytest.mark.once
def test_g5_a_link_is_followed_to_another_file_system_and_stays_a_link(tmp_path: Path) -> None:
    """The file is written beside its target, so that no rename crosses file systems."""
    elsewhere = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=elsewhere) as name:
        target = Path(name) / "image.grdb"
        target.write_bytes(b"old")
        link = tmp_path / "image.grdb"
        link.symlink_to(target)
        publish(link, b"new")
        assert link.is_symlink()
        assert [path.read_bytes() for path in Path(name).iterdir()] == [b"new"]
        target.unlink()
        publish(link, b"newer")  # a link to nothing yet
        assert target.read_bytes() == b"newer"
    assert [*tmp_path.iterdir()] == [link]


@pytest.mark.once
def test_a_link_to_itself_is_an_error_of_the_system(tmp_path: Path) -> None:
    link = tmp_path / "image.grdb"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic link"):
        publish(link, b"new")
    assert link.is_symlink()


# The default image, for the small one of tests/test_image.py (G2).


@pytest.fixture(scope="module")
def whole() -> bytes:
    return DEFAULT_IMAGE.read_bytes()


def _refused(data: bytes | bytearray) -> None:
    with pytest.raises(DatabaseError):
        Database(Image(memoryview(data), "damaged"))


@pytest.mark.once
def test_g2_the_default_image_is_refused_at_any_other_length(whole: bytes, tmp_path: Path) -> None:
    spread = random.Random(1)
    ends = [*range(0, 700, 7), *(spread.randrange(len(whole)) for _ in range(200)), len(whole) - 1]
    for end in ends:
        with pytest.raises(DatabaseError):
            Image(memoryview(whole)[:end], "cut")
    cut = tmp_path / "cut.grdb"
    for end in ends[::30]:
        cut.write_bytes(whole[:end])
        with pytest.raises(DatabaseError, match=r"cut\.grdb"):
            Database.open(cut)


@pytest.mark.once
def test_g2_the_default_image_is_refused_with_any_byte_of_its_header_flipped(whole: bytes) -> None:
    damaged = bytearray(whole)
    sections = int.from_bytes(whole[12:16], "little")
    for at in range(32 + 32 * sections):
        damaged[at] ^= 0xFF
        _refused(damaged)
        damaged[at] ^= 0xFF
    assert damaged == whole


@pytest.mark.once
def test_g2_the_default_image_is_refused_with_a_page_zeroed(whole: bytes) -> None:
    damaged = bytearray(whole)
    pages = [at for at in range(0, len(whole), 4096) if any(whole[at : at + 4096])]
    for at in (pages[0], *random.Random(2).sample(pages, 60), pages[-1]):
        page = whole[at : at + 4096]
        damaged[at : at + 4096] = bytes(len(page))
        _refused(damaged)
        damaged[at : at + 4096] = page
    assert damaged == whole
