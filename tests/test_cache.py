"""The painted lists lie in a folder for all workers; whatever happens there is never an error."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from georestrict import BACKEND, ConfigurationError, Database, Engine, cache
from georestrict.lists import SHARED_FROM_BYTES
from georestrict.table import Image, encode
from georestrict.testing import tiny_database
from tests import gold

Mapped = dict[str, Any]

COUNT = SHARED_FROM_BYTES // 12 + 100
LISTED = [f"100.{number >> 8}.{number & 255}.0/28" for number in range(COUNT)]
TEXT = "\n".join(LISTED) + "\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of a test, not made yet."""
    found = tmp_path / "cache"
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(found))
    cache.warn_once.cache_clear()
    return found


def policy_of(path: Path, text: str = TEXT, **more: str) -> Mapped:
    """A policy that blocks a list; further lists are only told."""
    path.mkdir(exist_ok=True)
    lists = {}
    for name, content in {"mine": text, **more}.items():
        (path / f"{name}.txt").write_text(content)
        lists[name] = {"path": str(path / f"{name}.txt")}
    return {
        "default": "allow",
        "contact": "https://x.example",
        "lists": lists,
        "rules": [{"name": "listed", "action": "block", "lists": ["mine"]}],
    }


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.grdb")) if folder.is_dir() else []


def answers(engine: Engine) -> bool:
    """Whether an engine decides by the list, and knows its lines."""
    listed, other = engine.decide("100.1.2.9"), engine.decide("100.1.2.16")
    [match] = engine.snapshot.list_matches("100.1.2.9")
    return (listed.rule, other.rule, match.line, match.value) == ("listed", None, 259, "mine")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


def test_a_large_list_is_painted_once_and_then_mapped(
    tmp_path: Path, folder: Path, tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    policy = policy_of(tmp_path)
    with caplog.at_level(logging.INFO):
        engines = [Engine(policy, database=tiny) for _ in range(3)]
    assert all(answers(engine) for engine in engines)
    assert [entry.getMessage() for entry in caplog.records if "built for" in entry.getMessage()]
    assert len(kept(folder)) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    text = Path("/proc/self/maps").read_text()
    assert text.count(str(kept(folder)[0])) == len(engines)
    assert not warnings(caplog)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_mapped_answers_as_the_linear_scan(
    tmp_path: Path, folder: Path, tiny: Database, seed: int
) -> None:
    spread = random.Random(seed)
    rows: dict[str, list[tuple[int, int, int]]] = {"mine": [], "other": [], "third": []}
    texts = {}
    for name, found in rows.items():
        for _ in range(600):
            length = spread.randint(8, 32)
            first = (100 << 24 | spread.getrandbits(14) << 10) >> (32 - length) << (32 - length)
            found.append((first, first | (1 << (32 - length)) - 1, 1))
        texts[name] = "\n".join(f"{IPv4Address(low)}-{IPv4Address(high)}" for low, high, _ in found)
    policy = policy_of(tmp_path, texts["mine"], other=texts["other"], third=texts["third"])
    policy["rules"].append({"name": "own", "action": "block", "networks": ["100.64.0.0/10"]})
    for engine in (Engine(policy, database=tiny), Engine(policy, database=tiny)):
        for first, last, _ in spread.sample([row for found in rows.values() for row in found], 200):
            for value in (first, last, last + 1):
                told = {name for name, found in rows.items() if gold.find(found, value)}
                address = str(IPv4Address(value))
                assert engine.lookup(address).lists == told
                rule = "listed" if "mine" in told else "own" if value >> 22 == 401 else None
                assert engine.decide(address).rule == rule
    assert len(kept(folder)) == 1


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([{"countries": ["CN"]}], id="countries"),
        pytest.param([{"networks": ["9.9.9.0/24", "2001:db8::/32"]}], id="a few networks"),
        pytest.param([{"lists": ["mine"]}], id="a short list"),
    ],
)
def test_a_small_policy_makes_no_folder(
    tmp_path: Path, folder: Path, tiny: Database, rules: list[Mapped]
) -> None:
    policy = policy_of(tmp_path, "".join(f"{line}\n" for line in LISTED[:500]))
    Engine({**policy, "rules": [{"name": "r", "action": "block", **rules[0]}]}, database=tiny)
    assert not folder.exists()


def test_many_networks_of_a_rule_are_shared_too(folder: Path, tiny: Database) -> None:
    rule = {"name": "r", "action": "block", "networks": LISTED}
    for _ in range(2):
        engine = Engine({"default": "allow", "rules": [rule]}, database=tiny)
        assert engine.decide("100.1.2.9").rule == "r"
    assert len(kept(folder)) == 1


def test_the_key_tells_every_content_and_its_place(
    tmp_path: Path, folder: Path, tiny: Database
) -> None:
    """Renamed lists share an image; another content, order or database does not."""
    other = tiny_database({"100.0.0.0/8": "GB"})
    policies: list[tuple[Mapped, Database]] = [
        (policy_of(tmp_path / "a"), tiny),
        (policy_of(tmp_path / "b", TEXT + "200.1.1.1\n"), tiny),
        (policy_of(tmp_path / "c", more="9.9.9.9\n"), tiny),
        (policy_of(tmp_path / "d", "9.9.9.9\n", more=TEXT), tiny),
        (policy_of(tmp_path / "a"), other),
    ]
    same = policy_of(tmp_path / "e")
    same["lists"] = {"renamed": same["lists"]["mine"]}
    same["rules"][0]["lists"] = ["renamed"]
    for number, (policy, database) in enumerate(policies, 1):
        Engine(policy, database=database)
        assert len(kept(folder)) == number
    assert Engine(same, database=tiny).lookup("100.1.2.9").lists == {"renamed"}
    assert len(kept(folder)) == len(policies)


def reread(path: Path) -> dict[str, bytes]:
    image = Image(memoryview(path.read_bytes()), "kept")
    return {name: bytes(image.section(name)) for name in ("meta", "classes", "held", "cells")}


def changed(**meta: object) -> Callable[[dict[str, bytes]], None]:
    def change(sections: dict[str, bytes]) -> None:
        sections["meta"] = json.dumps({**json.loads(sections["meta"]), **meta}).encode()

    return change


def replaced(name: str, value: int) -> Callable[[dict[str, bytes]], None]:
    def change(sections: dict[str, bytes]) -> None:
        sections[name] = struct.pack("=I", value) + sections[name][4:]

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed(key="0" * 64), id="another key"),
        pytest.param(changed(roots=[0, 1 << 30]), id="roots outside"),
        pytest.param(changed(roots=None), id="no roots"),
        pytest.param(changed(sets=["0", "ff"]), id="a list that is not there"),
        pytest.param(changed(sets=["-1", "1"]), id="less than no list"),
        pytest.param(changed(sets=[]), id="no sets"),
        pytest.param(changed(lists=[]), id="no lists"),
        pytest.param(changed(lists=[[1, "00"]]), id="another list"),
        pytest.param(replaced("classes", 999), id="a class that is not there"),
        pytest.param(replaced("held", 999), id="a set that is not there"),
        pytest.param(lambda sections: sections.pop("held"), id="no held"),
        pytest.param(lambda sections: sections.update(classes=b""), id="no classes"),
        pytest.param(lambda sections: sections.update(cells=b"x" * 64), id="no trie"),
        pytest.param(lambda sections: sections.update(meta=b"[]"), id="no meta"),
    ],
)
def test_a_file_that_says_nonsense_is_built_again(
    tmp_path: Path,
    folder: Path,
    tiny: Database,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[dict[str, bytes]], None],
) -> None:
    policy = policy_of(tmp_path)
    Engine(policy, database=tiny)
    [path] = kept(folder)
    good = path.read_bytes()
    sections = reread(path)
    change(sections)
    path.write_bytes(encode(sections))
    assert answers(Engine(policy, database=tiny))
    assert ["built again" in line for line in warnings(caplog)] == [True]
    assert path.read_bytes() == good


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_built_again(
    tmp_path: Path, folder: Path, tiny: Database, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    policy = policy_of(tmp_path)
    Engine(policy, database=tiny)
    [path] = kept(folder)
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-100] ^= 1
    path.write_bytes({"flip": bytes(flipped), "cut": good[:-64], "empty": b""}[damage])
    assert answers(Engine(policy, database=tiny))
    assert ["built again" in line for line in warnings(caplog)] == [True]
    assert path.read_bytes() == good


def _symlinked(path: Path) -> None:
    target = path.with_name("precious")
    target.write_bytes(b"precious")
    path.symlink_to(target)


def _written_by_all(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


def _file_instead_of_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


IN_THE_WAY: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "a symlink at the file": (_symlinked, ""),
    "a folder at the file": (Path.mkdir, "regular file"),
    "a pipe at the file": (os.mkfifo, "regular file"),
    "a file that others may write": (
        _written_by_all,
        "others may write",
    ),
    "a folder at the lock": (lambda path: path.with_name("lock").mkdir(), ""),
    "a symlink at the lock": (lambda path: _symlinked(path.with_name("lock")), ""),
    "a folder that others may write": (
        lambda path: path.parent.chmod(0o777),
        "others may write",
    ),
    "a file at the folder": (
        _file_instead_of_folder,
        "",
    ),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_whatever_is_in_the_way_the_lists_serve_from_memory_and_the_log_says_so_once(
    tmp_path: Path, folder: Path, tiny: Database, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    policy = policy_of(tmp_path)
    Engine(policy, database=tiny)
    [path] = kept(folder)
    path.unlink()
    (folder / "lock").unlink()
    put, says = IN_THE_WAY[case]
    put(path)
    assert all(answers(Engine(policy, database=tiny)) for _ in range(2))
    [line] = warnings(caplog)
    assert line.startswith("the cache cannot be used: ")
    assert says in line
    precious = folder / "precious"
    assert not precious.exists() or precious.read_bytes() == b"precious"


@pytest.mark.parametrize("named", ["/proc/self/task", "/proc/nowhere/deep"])
def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny: Database,
    caplog: pytest.LogCaptureFixture,
    named: str,
) -> None:
    """Even root cannot write there."""
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", named)
    assert answers(Engine(policy_of(tmp_path), database=tiny))
    assert len(warnings(caplog)) == 1


def test_a_folder_of_another_user_is_not_trusted(
    tmp_path: Path, folder: Path, tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    policy = policy_of(tmp_path)
    Engine(policy, database=tiny)
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    else:  # only root can give a folder away; this user's folder, seen as root's would be, is not
        folder.chmod(0o770)
    assert answers(Engine(policy, database=tiny))
    assert ["another user" in line for line in warnings(caplog)] == [True]
    assert str(kept(folder)[0]) not in Path("/proc/self/maps").read_text().splitlines()[-1]


def test_an_empty_variable_means_no_cache_and_no_word(
    tmp_path: Path,
    folder: Path,
    tiny: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert answers(Engine(policy_of(tmp_path), database=tiny))
    assert not (tmp_path / "georestrict").exists()
    assert not warnings(caplog)


@pytest.mark.parametrize(
    ("home", "made"), [("absolute", "absolute/georestrict"), ("", "home/.cache/georestrict")]
)
def test_the_folder_is_where_the_system_keeps_caches(
    tmp_path: Path, tiny: Database, monkeypatch: pytest.MonkeyPatch, home: str, made: str
) -> None:
    monkeypatch.delenv("GEORESTRICT_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home) if home else "relative")
    Engine(policy_of(tmp_path), database=tiny)
    assert len(kept(tmp_path / made)) == 1


def test_what_is_wrong_with_a_list_is_told_as_without_a_cache(
    tmp_path: Path, folder: Path, tiny: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = policy_of(tmp_path / "a", TEXT + "203.0.113.5/24\n")
    hollow = policy_of(tmp_path / "b", more="# nothing\n")
    said = []
    for place in (str(folder), ""):
        monkeypatch.setenv("GEORESTRICT_CACHE_DIR", place)
        for policy in (wrong, hollow):
            with pytest.raises(ConfigurationError) as caught:
                Engine(policy, database=tiny)
            said.append(str(caught.value))
    assert said[:2] == said[2:]
    assert "mine.txt:" in said[0]
    assert "host bits" in said[0]
    assert not kept(folder)


def test_h2_a_list_that_must_not_be_empty_is_refused_from_the_cache_too(
    tmp_path: Path, folder: Path, tiny: Database
) -> None:
    policy = policy_of(tmp_path, hollow="# nothing\n")
    lists = policy["lists"]
    allowed = {**lists, "hollow": {**lists["hollow"], "allow_empty": True}}
    Engine({**policy, "lists": allowed}, database=tiny)
    assert len(kept(folder)) == 1
    with pytest.raises(ConfigurationError, match=r"hollow\.txt has no networks"):
        Engine(policy, database=tiny)


def test_the_lines_of_a_list_that_changed_meanwhile_are_not_told(
    tmp_path: Path, tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(policy_of(tmp_path, more="100.1.0.0/16\n"), database=tiny)
    assert [match.value for match in engine.snapshot.list_matches("100.1.2.9")] == ["mine", "more"]
    policy_of(tmp_path, "9.9.9.9\n" + TEXT)
    assert [match.value for match in engine.snapshot.list_matches("100.1.2.9")] == ["more"]
    assert ["mine.txt has changed" in line for line in warnings(caplog)] == [True]
    engine.reload()
    assert [match.line for match in engine.snapshot.list_matches("100.1.2.9")] == [260, 1]


def test_a_list_that_went_bad_or_away_meanwhile_is_told_in_the_log_and_raises_nothing(
    tmp_path: Path, tiny: Database, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(policy_of(tmp_path, more="100.1.0.0/16\n"), database=tiny)
    (tmp_path / "mine.txt").write_text("junk\n")
    assert [match.value for match in engine.matches("100.1.2.9")] == ["more"]
    (tmp_path / "mine.txt").unlink()
    assert [match.value for match in engine.matches("100.1.2.9")] == ["more"]
    bad, away = warnings(caplog)
    assert "the lines of list 'mine' cannot be told" in bad
    assert "mine.txt:1: 'junk'" in bad
    assert "No such file" in away


def test_only_the_files_last_used_stay_and_no_file_of_others_is_touched(
    tmp_path: Path, folder: Path, tiny: Database
) -> None:
    folder.mkdir(mode=0o700)
    (folder / ".bashrc").write_text("mine")
    (folder / "mine.grdb").write_text("mine")
    (folder / f".{'0' * 64}.grdb.x1y2").write_text("left by a process that was killed")
    first = policy_of(tmp_path / "first")
    engine = Engine(first, database=tiny)
    for number in range(cache.MOST_FILES + 2):
        Engine(policy_of(tmp_path / "more", TEXT + f"200.1.1.{number}\n"), database=tiny)
        if number < 3:
            Engine(first, database=tiny)  # in use, so not the oldest
    names = {path.name for path in folder.iterdir()}
    assert len(names) == cache.MOST_FILES + 3
    assert {".bashrc", "mine.grdb", "lock"} < names
    assert answers(engine)


def test_a_mapped_image_answers_when_its_file_is_gone(
    tmp_path: Path, folder: Path, tiny: Database
) -> None:
    policy = policy_of(tmp_path)
    Engine(policy, database=tiny)
    engine = Engine(policy, database=tiny)
    kept(folder)[0].unlink()
    assert answers(engine)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock, as another process would."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_who_waits_too_long_for_another_paints_for_itself(
    tmp_path: Path,
    folder: Path,
    tiny: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cache, "_PATIENCE_SECONDS", 0.0)
    with held(folder):
        assert answers(Engine(policy_of(tmp_path), database=tiny))
    assert ["another process has held" in line for line in warnings(caplog)] == [True]
    assert not kept(folder)


WORKER = """
import json, logging, os, resource, sys
from georestrict import Database, Engine
from georestrict.testing import tiny_database
given = json.loads(sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
if given.get("limit"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (given["limit"], given["limit"]))
database = Database.open() if given.get("default") else tiny_database({"81.2.69.0/24": "GB"})
def private(mapped=None):
    total = chosen = 0
    for line in open("/proc/self/smaps" if mapped else "/proc/self/smaps_rollup"):
        words = line.split()
        if "-" in words[0]:
            chosen = mapped is None or line.rstrip().endswith(mapped)
        elif chosen and words[0] in ("Private_Clean:", "Private_Dirty:"):
            total += int(words[1]) * 1024
    return total
print("ready", flush=True)
sys.stdin.readline()
before = private()
if given.get("policy"):
    engine = Engine(given["policy"], database=database)
    print("rule", engine.decide("100.1.2.9").rule, engine.decide("8.8.8.8").rule)
else:
    database = Database.open()
grown = private() - before
print("private", grown, private(given.get("mapped")), flush=True)
sys.stdin.readline()
"""


class Worker:
    """A process of its own that prepares, waits, builds an engine, and waits again."""

    def __init__(self, **given: Any) -> None:
        command = [sys.executable, "-c", WORKER, json.dumps(given)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.read_until("ready")

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def read_until(self, word: str) -> list[str]:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip())
            if line.startswith(word):
                return lines
        raise AssertionError("\n".join(lines))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_of_eight_workers_that_start_at_once_one_builds(tmp_path: Path, folder: Path) -> None:
    policy = policy_of(tmp_path)
    workers = [Worker(policy=policy) for _ in range(8)]
    try:
        for worker in workers:
            worker.go()
        said = [worker.read_until("private") for worker in workers]
    finally:
        for worker in workers:
            worker.__exit__()
    assert [lines[-2] for lines in said] == ["rule listed None"] * 8
    assert sum("built for all workers" in line for lines in said for line in lines) == 1
    assert not any("cannot be used" in line for lines in said for line in lines)
    assert len(kept(folder)) == 1


def test_a_lock_whose_holder_was_killed_is_free(tmp_path: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    holding = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holding, str(folder / "lock")]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder,
        Worker(policy=policy_of(tmp_path)) as worker,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        worker.go()
        holder.send_signal(signal.SIGKILL)
        assert any("built for all workers" in line for line in worker.read_until("private"))


def test_g14_a_disk_that_is_full_is_no_error_and_leaves_nothing(
    tmp_path: Path, folder: Path
) -> None:
    """A limit of the file's size stands for it: the write ends with an error after some bytes."""
    with Worker(policy=policy_of(tmp_path), limit=100_000) as worker:
        worker.go()
        said = worker.read_until("private")
    assert said[-2] == "rule listed None"
    assert sum("the cache cannot be used" in line for line in said) == 1
    assert [path.name for path in folder.iterdir()] == ["lock"]


MIB = 1 << 20


def test_the_default_data_is_shared_between_processes() -> None:
    """A second process has none of the file's pages for itself, and keeps no more than 4 MiB.

    That is an object for each of the data's 7,000 classes, and what reading them leaves behind.
    """
    with Worker(mapped="default.grdb") as first, Worker(mapped="default.grdb") as second:
        for worker in (first, second):
            worker.go()
            _, grown, mapped = worker.read_until("private")[-1].split()
        assert int(mapped) < 64 * 1024
        assert BACKEND == "python" or int(grown) < 4 * MIB, grown


def test_forked_workers_share_the_default_data(database: Database) -> None:
    """What a child reads stays the parent's: gunicorn with preload."""
    addresses = [str(IPv4Address(random.Random(1).getrandbits(32))) for _ in range(1000)]
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for address in addresses:
                database.country(address)
            before = _private()
            for address in addresses:
                database.lookup(address)
            os.write(theirs, b"%d" % (_private() - before))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    grown = int(os.read(ours, 100))
    os.close(ours)
    assert grown < MIB


def _private() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    found = {line.split()[0]: int(line.split()[1]) for line in lines}
    return 1024 * (found["Private_Clean:"] + found["Private_Dirty:"])


def test_painted_lists_are_shared_between_processes(tmp_path: Path, folder: Path) -> None:
    """Ten lists, none of which overlap, over the default data (over a few ranges in plain Python)."""
    compiled = BACKEND == "compiled"
    many = 20_000 if compiled else 500
    texts = [
        "".join(f"{100 + part}.{n >> 8 & 255}.{n & 255}.{n >> 16 << 4}/28\n" for n in range(many))
        for part in range(10)
    ]
    policy = policy_of(tmp_path, texts[0], **{f"l{n}": texts[n] for n in range(1, 10)})
    Engine(policy, database=None if compiled else tiny_database({"81.2.69.0/24": "GB"}))
    given = {"policy": policy, "default": compiled, "mapped": str(kept(folder)[0])}
    with Worker(**given) as first, Worker(**given) as second:
        for worker in (first, second):
            worker.go()
            said = worker.read_until("private")
            assert said[-2] == "rule listed None"
            assert not any("built for" in line for line in said)
        _, grown, mapped = said[-1].split()
        assert int(mapped) < 64 * 1024
        assert not compiled or int(grown) < 4 * MIB, grown


def test_an_image_whose_sums_are_forged_is_still_checked(
    tmp_path: Path, folder: Path, tiny: Database
) -> None:
    """Bytes at random with right checksums: built again or, where nothing reads them, used."""
    policy = policy_of(tmp_path)
    Engine(policy, database=tiny)
    [path] = kept(folder)
    good = path.read_bytes()
    spread = random.Random(4)
    for _ in range(40):
        damaged = bytearray(good)
        for _ in range(spread.choice([1, 8, 64])):
            damaged[spread.randrange(192, len(damaged))] = spread.randrange(256)
        struct.pack_into("<I", damaged, 28, zlib.crc32(damaged[192:]))
        struct.pack_into("<I", damaged, 24, 0)
        struct.pack_into("<I", damaged, 24, zlib.crc32(damaged[:192]))
        path.write_bytes(damaged)
        Engine(policy, database=tiny).decide("100.1.2.9")
        path.write_bytes(good)
    assert answers(Engine(policy, database=tiny))
