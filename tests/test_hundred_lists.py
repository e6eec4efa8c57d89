"""A hundred lists: what holds where, notes, sets without end, and what is no list at all."""

from __future__ import annotations

import gzip
import os
import random
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import hundred
from georestrict import ConfigurationError, Database, Engine, lists, snapshot
from georestrict._core import Table, Tally
from georestrict.cli import main
from georestrict.labels import AsnLabel, Label, LabelSets, ListLabel, NetworksLabel
from georestrict.policy import Policy
from georestrict.request import Request
from georestrict.testing import tiny_database
from georestrict.verdicts import Verdicts
from tests import mmdb

DATABASE = tiny_database({"8.8.8.0/24": "US", "9.0.0.0/8": "CN", "2001:db8::/32": "JP"})
NOTED = """\
9.9.9.9 until 2099-01-01T00:00:00Z  # ticket 4711
9.9.9.0/24 ; the neighbours
9.9.9.8-9.9.9.10
8.8.8.8 # \x1b[2Jcleared
"""


def policy(paths: Mapping[str, Path], **more: Any) -> dict[str, Any]:
    return {
        "default": "allow",
        "contact": "https://example.com/contact",
        "lists": {name: {"path": str(path)} for name, path in paths.items()},
        "rules": [
            {"name": f"in {name}", "action": "block", "lists": [name]} for name in paths
        ],
        **more,
    }  # fmt: skip


def written(folder: Path, **texts: str) -> dict[str, Path]:
    paths = {name: folder / name for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
    return paths


class Scan:
    """Which lists hold an address: networks by their length, each looked up plainly."""

    def __init__(self, networks: Sequence[Sequence[str]]) -> None:
        self._by_length: dict[tuple[int, int], dict[int, set[str]]] = {}
        self.edges: list[tuple[int, int]] = []
        for number, listed in enumerate(networks):
            for each in map(ip_network, listed):
                first, width = int(each.network_address), each.max_prefixlen
                held = self._by_length.setdefault(
                    (each.version, width - each.prefixlen), defaultdict(set)
                )
                held[first >> width - each.prefixlen].add(f"list {number}")
                self.edges.append((each.version, first))
                self.edges.append((each.version, int(each.broadcast_address)))

    def holding(self, version: int, value: int) -> set[str]:
        found: set[str] = set()
        for (family, shift), held in self._by_length.items():
            if family == version:
                found |= held.get(value >> shift, set())
        return found

    def probes(self, count: int) -> Iterator[tuple[int, int]]:
        """Addresses at both ends of networks, and beside them."""
        for version, value in random.Random(4).sample(self.edges, min(count, len(self.edges))):
            for at in (value - 1, value, value + 1):
                if 0 <= at < 1 << (32 if version == 4 else 128):
                    yield version, at


def compare(engine: Engine, scan: Scan, count: int) -> int:
    compared = 0
    for version, value in scan.probes(count):
        text = str(ip_address(value) if version == 4 else IPv6Address(value))
        assert engine.lookup(text).lists == scan.holding(version, value), text
        compared += 1
    return compared


def lookup_agrees(folder: Path, database: Database, entries: int, probes: int) -> None:
    networks = hundred.dealt(100, entries)
    (folder / "lists").mkdir()
    named = hundred.policy(folder / "lists", networks)
    scan = Scan(networks)
    for _ in range(2):  # painted, and as another worker finds it in the cache folder
        engine = Engine(named, database=database)
        assert compare(engine, scan, probes) > 2 * probes
    listed = networks[11][1].partition("/")[0]
    (noted,) = (
        match
        for match in engine.matches(listed)
        if match.value == "list 11" and match.line == 2
    )  # fmt: skip
    assert noted.note == "ticket 1"
    assert noted.source == str(folder / "lists" / "list11")


def test_a_hundred_lists_tell_what_a_plain_scan_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(lists, "SHARED_FROM_BYTES", 0)
    lookup_agrees(tmp_path, DATABASE, 2_000, 500)


@pytest.mark.slow
@pytest.mark.compiled
def test_a_hundred_lists_of_a_million_entries_tell_what_a_plain_scan_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(tmp_path / "cache"))
    lookup_agrees(tmp_path, Database.open(), 1_000_000, 20_000)


# Notes


def test_a_match_tells_the_note_and_the_end_of_its_entry(tmp_path: Path) -> None:
    feed = '{"prefixes": [{"ip_prefix": "9.9.9.0/24", "service": "EC2", "region": "eu-west-1"}], "ipv6_prefixes": []}'  # fmt: skip
    paths = written(
        tmp_path, text=NOTED, aws=feed, geo="9.9.9.0/24,US,US-CA,Fremont,\n8.8.8.0/24,,,,\n"
    )
    found = {
        (match.value, match.line): (match.note, match.until)
        for match in Engine(policy(paths), database=DATABASE).matches("9.9.9.9")
        if match.layer == "list"
    }
    assert found == {
        ("text", 1): ("ticket 4711", datetime(2099, 1, 1, tzinfo=UTC)),
        ("text", 2): ("the neighbours", None),
        ("text", 3): ("", None),
        ("aws", 1): ("service=EC2; region=eu-west-1", None),
        ("geo", 1): ("country=US; region=US-CA", None),
    }


def test_a_note_is_told_with_a_mark_at_its_beginning_and_cut_when_long(tmp_path: Path) -> None:
    text = f"\ufeff9.9.9.9 #  ## two, marks\r\n9.9.9.0/24 # {'x' * 1000}\r\n"
    engine = Engine(policy(written(tmp_path, it=text)), database=DATABASE)
    short, long = (match.note for match in engine.matches("9.9.9.9") if match.layer == "list")
    assert short == "two, marks"
    assert long == "x" * 199 + "…"


def test_a_note_that_is_not_utf_8_does_not_keep_its_entry_out(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes("9.9.9.9 # Zürich\n".encode("latin-1"))
    engine = Engine(policy({"it": tmp_path / "it"}), database=DATABASE)
    assert engine.decide("9.9.9.9").rule == "in it"
    assert [match.note for match in engine.matches("9.9.9.9")][-1] == "Z\ufffdrich"


def test_the_command_line_tells_notes_and_shows_no_control_characters(tmp_path: Path) -> None:
    written(tmp_path, it=NOTED)
    file = tmp_path / "policy.toml"
    file.write_text(
        'default = "allow"\ncontact = "https://example.com/contact"\n[lists.it]\npath = "it"\n'
        '[[rules]]\nname = "listed"\naction = "block"\nlists = ["it"]\n'
    )
    place = f"({tmp_path / 'it'}:1, until 2099-01-01T00:00:00+00:00: ticket 4711)"
    rows = [("8.0.0.0/7", {"country": {"iso_code": "US"}})]
    data = "--database", str(mmdb.write(tmp_path / "countries.mmdb", rows))
    explained = CliRunner().invoke(main, ["policy", "explain", str(file), "9.9.9.9", *data]).output
    assert f"\nin list it: 9.9.9.9 {place}\n" in explained
    asked = "--policy", str(file), "9.9.9.9", "8.8.8.8"
    checked = CliRunner().invoke(main, ["check", *asked, *data])
    assert f"; it 9.9.9.9 {place}" in checked.output
    assert f"; it 9.9.9.0-9.9.9.255 ({tmp_path / 'it'}:2: the neighbours)" in checked.output
    assert r": \x1b[2Jcleared)" in checked.output
    assert "\x1b" not in checked.output


def test_only_lists_that_hold_an_address_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(lists, "SHARED_FROM_BYTES", 0)
    paths = written(tmp_path, held="9.9.9.9 # here\n", other="8.8.8.8\n")
    engine = Engine(policy(paths), database=DATABASE)
    paths["other"].unlink()
    assert [match.note for match in engine.matches("9.9.9.9")][-1] == "here"
    assert not caplog.records


# Sets of lists


LABELS: list[Label] = [
    *(ListLabel(f"list {number}") for number in range(7)),
    NetworksLabel(("8.0.0.0/8",)),
    AsnLabel(64500),
    AsnLabel(64501),
]


@settings(deadline=None)
@given(st.lists(st.sets(st.sampled_from(LABELS)), min_size=1, max_size=8))
def test_packed_sets_are_the_sets_they_were_made_of(sets: list[set[Label]]) -> None:
    numbers = [sum(1 << LABELS.index(label) for label in each) for each in sets]
    packed = LabelSets.of(LABELS, numbers)
    assert [packed[at] for at in range(len(packed))] == sets
    again = LabelSets(LABELS, memoryview(bytes(packed.packed)))
    assert [again[at] for at in range(len(again))] == sets
    masks = [1 << 3 * at for at in range(len(LABELS))]
    expected = [sum(masks[LABELS.index(label)] for label in each) for each in sets]
    assert list(packed.unions(masks)) == expected


@pytest.mark.parametrize("packed", [b"", b"\0", b"\0\0\0", b"\0\x04"])
def test_bytes_that_are_no_packed_sets_are_an_error(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"sets of 2 bytes|label that there is not"):
        LabelSets(LABELS, packed)


RULES: list[dict[str, Any]] = [
    {"lists": ["a"], "action": "count"},
    {"lists": ["a", "b"], "networks": ["8.0.0.0/8"], "action": "allow"},
    {"lists": ["b"], "action": "block", "unless": {"lists": ["c"]}},
    {"networks": ["9.0.0.0/8"], "action": "warn", "paths": ["/api/*"]},
    {"asns": [64500], "action": "block"},
    {"lists": ["c"], "countries": ["US"], "action": "block"},
    {"lists": ["c"], "action": "allow"},
]


@settings(deadline=None)
@given(st.permutations(RULES), st.sets(st.integers(0, 5)))
def test_masks_of_packed_sets_and_of_what_can_tell_are_those_of_each_set(
    rules: list[dict[str, Any]], held: set[int]
) -> None:
    named = [{"name": f"r{at}", **rule} for at, rule in enumerate(rules)]
    parsed = Policy.from_mapping(
        {
            "default": "block",
            "rules": named,
            "lists": {name: {"path": f"{name}.txt"} for name in "abc"},
        }
    )
    labels: list[Label] = [
        *map(ListLabel, "abc"), NetworksLabel(("8.0.0.0/8",)), NetworksLabel(("9.0.0.0/8",)), AsnLabel(64500),
    ]  # fmt: skip
    verdicts = Verdicts(parsed, {})
    sets = LabelSets.of(labels, [sum(1 << at for at in held), 0])
    (mask, none) = verdicts.matching_each(sets)
    assert mask == verdicts.matching_labels(frozenset(labels[at] for at in held))
    assert none == verdicts.matching_labels(frozenset())
    location = DATABASE.lookup("8.8.8.8")
    matching = mask & verdicts.matching_location(location)
    assert verdicts.telling(matching) & matching == verdicts.telling(matching)
    for path in ("/", "/api/x"):
        route = verdicts.routes.find(Request(path))
        all_, telling = (
            verdict if isinstance(verdict, Tally) else verdicts.for_route(verdict, route)
            for verdict in (
                verdicts.of(each, location) for each in (matching, verdicts.telling(matching))
            )
        )
        assert telling == all_


def test_lists_that_overlap_freely_make_a_verdict_for_each_rule_and_not_for_each_overlap() -> None:
    names = [f"list {number}" for number in range(12)]
    rules = [{"name": name, "action": "block", "lists": [name]} for name in names]
    verdicts = Verdicts(
        Policy.from_mapping(
            {
                "default": "allow",
                "rules": rules,
                "lists": {name: {"path": f"{name}.txt"} for name in names},
            }
        ),
        {},
    )
    labels: list[Label] = [ListLabel(name) for name in names]
    masks = verdicts.matching_each(LabelSets.of(labels, range(1 << 12)))
    assert len({verdicts.telling(mask) for mask in masks}) == 13


def test_more_sets_than_there_may_be_are_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        f"l{bit}": "".join(f"9.0.0.{at}\n" for at in range(32) if at >> bit & 1) for bit in range(5)
    }
    paths = written(tmp_path, **texts)
    assert Engine(policy(paths), database=DATABASE).lookup("9.0.0.31").lists == set(paths)
    monkeypatch.setattr(lists, "MOST_SETS", 20)
    with pytest.raises(ConfigurationError) as caught:
        Engine(policy(paths), database=DATABASE)
    assert str(caught.value) == (
        "policy: its 5 lists and sets of networks, with 80 ranges, do not fit into one table: 32 "
        "different sets of them hold somewhere; leave out lists, or join those that the same rules name"
    )


def test_decisions_are_right_when_no_more_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MOST_DECISIONS", 2)
    texts = {f"l{bit}": "".join(f"9.0.0.{at}\n" for at in range(8) if at >> bit & 1) for bit in range(3)}  # fmt: skip
    paths = written(tmp_path, **texts)
    engine = Engine(policy(paths), database=DATABASE)
    for _ in range(2):
        for at in range(8):
            decision = engine.decide(f"9.0.0.{at}")
            assert decision.location.lists == {f"l{bit}" for bit in range(3) if at >> bit & 1}
            assert (decision.rule is None) == (at == 0)
    assert len(engine.snapshot._decisions) == 2


# A large table


def test_a_large_table_answers_hot_addresses_as_all_others() -> None:
    """From 3 * 2**19 cells on the compiled core keeps answers, of which some share a place."""
    count = 1 << 21
    cells = array("I", bytes(4 * count))
    cells[: 1 << 16] = array("I", (1 + at % 5000 for at in range(1 << 16)))
    cells[1 << 16 : 1 << 17] = array("I", (1 + at % 4999 for at in range(1 << 16)))
    table = Table(cells, 0, 1 << 16, 5001)
    assert table.find("0.0.0.0") == table.find("::") == 1
    spread = random.Random(6)
    values = [*(spread.getrandbits(32) for _ in range(30_000)), 0, 1, 0xFFFF_FFFF]
    wide = [spread.getrandbits(128) for _ in range(15_000)]
    texts = [*(str(ip_address(value)) for value in values), *(str(IPv6Address(at)) for at in wide)]
    expected = [1 + (value >> 16) % 5000 for value in values]
    expected += [1 + (value >> 112) % 4999 for value in wide]
    for _ in range(2):
        assert [table.find(text) for text in texts] == expected
        assert [table.find(text) for text in texts[:5] * 3] == expected[:5] * 3


# What is no list


Make = Callable[[Path], object]


def _folder(**files: bytes) -> Make:
    def make(path: Path) -> None:
        path.mkdir()
        for name, data in files.items():
            (path / name).write_bytes(data)

    return make


def _loop(path: Path) -> None:
    _folder(a=b"9.9.9.9\n")(path)
    (path / "b").symlink_to(path / "b")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(gzip.compress(b"9.9.9.9")), "it: compressed by gzip, not a list of networks; unpack it"),
        (lambda path: path.write_bytes(b"PK\x03\x04..."), "it: a ZIP archive, not a list of networks; unpack it"),
        (lambda path: path.write_bytes("9.9.9.9\n".encode("utf-16")), "it: UTF-16 text, not a list of networks; save it as UTF-8"),
        (lambda path: path.write_bytes(b"\xfe\xff\x009"), "it: UTF-16 text"),
        (lambda path: path.write_bytes(b"\n<HTML><HEAD><TITLE>Error"), "it: HTML or XML, perhaps a page that reports an error"),
        (lambda path: path.write_bytes(b"9.9.9.9\n\0\1\n"), r"it:2: '\x00\x01': not an IPv4 or IPv6 address"),
        (lambda path: path.write_bytes(b"9.9.9.9\r8.8.8.8\r"), r"it:1: '9.9.9.9\r8.8.8.8': not an IPv4"),
        (lambda path: path.write_bytes(b"9" * 10_000_000), f"it:1: '{'9' * 60}…': not an address: IPv4 needs four"),
        (lambda path: path.write_bytes(b"9.9.9.9 until " + b"x" * 10_000_000), f"the end '{'x' * 40}…' must be a time"),
        (lambda path: path.write_bytes(b"prefix,country\n9.9.9.0/24,US\n"), "it:1: 'country' is no country; expected"),
        (_folder(a=b"9.9.9.9\n", b=b"\0"), r"b:1: '\x00': not an IPv4 or IPv6 address"),
        (_folder(a=b"", b=b"# nothing\n"), "it has no networks, so its rules would match nothing; fill it, or set allow"),
        (_loop, "b' cannot be read: Too many levels of symbolic links; check the path"),
        (lambda path: path.symlink_to(path), "it' cannot be read: Too many levels of symbolic links"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_named_with_its_place_and_the_fix(
    tmp_path: Path, make: Make, says: str
) -> None:
    make(tmp_path / "it")
    with pytest.raises(ConfigurationError) as caught:
        Engine(policy({"it": tmp_path / "it"}), database=DATABASE)
    assert str(caught.value).startswith("policy: lists.it.path: ")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_odd_lists_lose_nothing(tmp_path: Path) -> None:
    """A folder in a loop, CRLF with a byte order mark, doubles within and across lists."""
    _folder(a=b"9.9.9.9\n9.9.9.9 # twice\n", b=b"\xef\xbb\xbf9.9.9.9\r\n\r\n2001:DB8::/33\r\n")(
        tmp_path / "one"
    )
    (tmp_path / "one" / "again").symlink_to(tmp_path / "one")
    _folder(empty=b"", long=b"9.9.9.9 # " + b"x" * 1_000_000)(tmp_path / "two")
    names = "one", "two"
    engine = Engine(policy({name: tmp_path / name for name in names}), database=DATABASE)
    assert engine.lookup("9.9.9.9").lists == {"one", "two"}
    assert engine.lookup("2001:db8::1").lists == {"one"}
    lines = [
        (Path(match.source).name, match.line)
        for match in engine.matches("9.9.9.9")
        if match.layer == "list"
    ]
    assert lines == [("a", 1), ("a", 2), ("b", 1), ("long", 1)]


@pytest.mark.parametrize("writes", [1, 9])
def test_a_list_that_is_written_to_is_read_again_or_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Another process writes while the file is open: at each look at its status, so many times."""
    path = tmp_path / "it"
    path.write_bytes(b"9.9.9.9\n")
    looks, fstat = iter(range(writes + 1)), os.fstat

    def look(file: int) -> os.stat_result:
        status = fstat(file)
        if next(looks, writes) < writes:
            with path.open("ab") as more:
                more.write(b"8.8.8.8\n")
        return status

    monkeypatch.setattr(os, "fstat", look)
    if writes == 1:
        assert lists.load(path).entries == 2
        return
    with pytest.raises(
        ConfigurationError, match=r"it' cannot be read: it was written to each time"
    ):
        lists.load(path, "lists.it.path")
