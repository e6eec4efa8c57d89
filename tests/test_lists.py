"""Lists, networks and AS numbers, painted over a database: what holds an address."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import ConfigurationError, Database, Engine, FormatError, Policy, lists
from georestrict._core import parse_address
from georestrict.labels import AsnLabel, Label, ListLabel, NetworksLabel
from georestrict.lists import Lists
from georestrict.sources import parse_list
from georestrict.table import Image, encode
from georestrict.testing import tiny_database
from tests import mmdb

DATABASE = tiny_database(
    {"8.8.8.0/24": "US-CA", "2001:218::/32": "JP"},
    asns={
        "8.0.0.0/9": "AS3356",
        "8.8.8.0/24": 15169,
        "8.8.9.0/24": 15169,
        "2001:218::/32": 2914,
        "9.9.9.0/24": 19281,
    },
)


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    named = [{"name": f"r{at}", "action": "block", **rule} for at, rule in enumerate(rules)]
    return Policy.from_mapping({"default": "allow", "rules": named, **more})


def labels_of(painted: Lists, text: str) -> frozenset[Label]:
    address = parse_address(text)
    assert address is not None
    return painted.sets[painted.held[painted.table.find_value(*address)]]


def test_an_address_has_the_label_of_the_as_number_that_announces_it() -> None:
    painted = Lists(policy({"asns": [15169, "AS2914"]}), DATABASE)
    google, ntt = AsnLabel(15169), AsnLabel(2914)
    assert {text: labels_of(painted, text) for text in ("8.8.8.8", "8.8.9.0", "8.8.10.0", "2001:218::1", "9.9.9.9")} == {
        "8.8.8.8": {google}, "8.8.9.0": {google}, "8.8.10.0": set(), "2001:218::1": {ntt}, "9.9.9.9": set(),
    }  # fmt: skip


def test_only_the_most_specific_announcement_counts() -> None:
    painted = Lists(policy({"asns": [3356]}), DATABASE)
    assert labels_of(painted, "8.8.8.8") == set()
    assert labels_of(painted, "8.8.10.0") == {AsnLabel(3356)}


def test_exceptions_are_painted_as_rules_are(tmp_path: Path) -> None:
    (tmp_path / "ours.txt").write_text("8.8.8.8\n")
    painted = Lists(
        policy(
            {"countries": ["US"], "unless": {"asns": [15169]}},
            {
                "networks": ["8.0.0.0/8"],
                "unless": [{"networks": ["8.8.8.0/24"]}, {"lists": ["ours"]}],
            },
            lists={"ours": {"path": str(tmp_path / "ours.txt")}},
        ),
        DATABASE,
    )
    assert labels_of(painted, "8.8.8.8") == {
        ListLabel("ours"),
        NetworksLabel(("8.0.0.0/8",)),
        NetworksLabel(("8.8.8.0/24",)),
        AsnLabel(15169),
    }


def test_networks_that_many_rules_repeat_are_painted_once() -> None:
    many = {"networks": ["8.0.0.0/8", "::/0"]}
    painted = Lists(policy(*[many] * 50, {"networks": ["8.8.8.0/24"]}), DATABASE)
    assert len(painted.sets) == 3  # none, the many, all
    assert labels_of(painted, "8.8.8.8") == {
        NetworksLabel(("8.0.0.0/8", "::/0")),
        NetworksLabel(("8.8.8.0/24",)),
    }


def test_all_networks_need_no_paint() -> None:
    everywhere = {"networks": ["0.0.0.0/0", "::/0"], "unless": {"countries": ["US"]}}
    asked = policy(*[everywhere] * 2)
    painted = Lists(asked, DATABASE)
    assert painted.table is DATABASE.table
    assert labels_of(painted, "8.8.8.8") == frozenset()
    assert Engine(asked, database=DATABASE).decide("9.9.9.9").rule == "r0"
    assert Engine(asked, database=DATABASE).decide("10.0.0.1").rule == "r0"
    assert Engine(asked, database=DATABASE).decide("8.8.8.8").rule is None
    assert Engine(asked, database=DATABASE).decide("").rule is None


def test_labels_of_equal_networks_are_equal_and_hash_equal() -> None:
    assert NetworksLabel(("8.0.0.0/8",)) == NetworksLabel(("8.0.0.0/8",))
    assert (
        len(
            {
                NetworksLabel(("8.0.0.0/8",)),
                NetworksLabel(("8.0.0.0/8",)),
                NetworksLabel(("9.0.0.0/8",)),
            }
        )
        == 2
    )
    assert repr(AsnLabel(5)) == "AsnLabel(number=5)"
    assert repr(NetworksLabel(("8.0.0.0/8",))) == "NetworksLabel(networks=('8.0.0.0/8',))"


NUMBERS = st.integers(1, 5)
NETWORKS = st.builds(
    lambda length, bits: (
        f"{ip_address((0x0800_0000 | bits << 16) >> (32 - length) << (32 - length))}/{length}"
    ),
    st.integers(8, 16),
    st.integers(0, 255),
)


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(NETWORKS, NUMBERS, max_size=10), st.sets(NUMBERS, min_size=1))
def test_painted_as_numbers_are_those_of_the_narrowest_range(
    announced: dict[str, int], asked: set[int]
) -> None:
    database = tiny_database({}, asns=announced | {"9.0.0.0/8": 5})
    painted = Lists(policy({"asns": sorted(asked)}), database)
    for at in range(256):
        address = ip_address(0x0800_0000 | at << 16)
        holding = [net for net in map(ip_network, announced) if address in net]
        narrowest = max(holding, key=lambda net: net.prefixlen, default=None)
        number = announced[str(narrowest)] if narrowest else None
        assert labels_of(painted, str(address)) == (
            {AsnLabel(number)} if number in asked else set()
        )


def test_a_file_of_as_numbers_serves_rules(tmp_path: Path) -> None:
    path = mmdb.write(
        tmp_path / "asn.mmdb",
        [
            ("47.74.0.0/16", {"autonomous_system_number": 45102}),
            ("2400:3200::/32", {"asn": "AS45102"}),
        ],
    )
    painted = Lists(policy({"asns": [45102]}), Database.open(path))
    assert (
        labels_of(painted, "47.74.1.1") == labels_of(painted, "2400:3200::1") == {AsnLabel(45102)}
    )
    assert labels_of(painted, "47.75.0.0") == set()


# The cache folder


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that takes images of any size."""
    monkeypatch.setenv("GEORESTRICT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(lists, "SHARED_FROM_BYTES", 0)
    return tmp_path / "cache"


def images(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.grdb")}


def test_an_image_is_shared_by_those_with_the_same_as_numbers_and_ranges(shared: Path) -> None:
    asked = policy({"asns": [15169]})
    for _ in range(2):
        assert labels_of(Lists(asked, DATABASE), "8.8.8.8") == {AsnLabel(15169)}
    assert len(images(shared)) == 1
    assert labels_of(Lists(policy({"asns": [3356]}), DATABASE), "8.8.8.8") == set()
    assert len(images(shared)) == 2
    moved = tiny_database(
        {"8.8.8.0/24": "US-CA", "2001:218::/32": "JP"},
        asns={
            "8.0.0.0/9": "AS3356",
            "8.8.8.0/25": 15169,
            "8.8.9.0/24": 15169,
            "2001:218::/32": 2914,
            "9.9.9.0/24": 19281,
        },
    )
    assert moved.digest() == DATABASE.digest()
    assert moved.digest(with_asns=True) != DATABASE.digest(with_asns=True)
    assert labels_of(Lists(asked, moved), "8.8.8.200") == set()
    assert len(images(shared)) == 3


def test_networks_and_as_numbers_do_not_share_a_key(shared: Path) -> None:
    Lists(policy({"networks": ["8.8.8.0/24"]}), DATABASE)
    Lists(policy({"networks": ["8.8.8.0/24"], "asns": [15169]}), DATABASE)
    Lists(policy({"networks": ["8.8.8.0/24"], "asns": [15169, 2914]}), DATABASE)
    assert len(images(shared)) == 3


# The record of AS numbers in an image


def test_a_database_tells_the_ranges_of_as_numbers() -> None:
    found = DATABASE.asn_networks([15169, 64500])
    assert [len(found[15169]), len(found[64500])] == [2, 0]
    assert set(found) == {15169, 64500}
    assert DATABASE.asn_networks([]) == {}
    assert DATABASE.asns == {3356, 15169, 2914, 19281}
    (match,) = (match for match in DATABASE.matches("8.8.8.8") if match.layer == "asn")
    assert (match.value, str(match.first), str(match.last), match.line) == (
        "15169",
        "8.8.8.0",
        "8.8.8.255",
        2,
    )
    DATABASE.verify()


def test_an_image_without_as_numbers_has_no_record_of_them() -> None:
    for database in (tiny_database({"8.8.8.0/24": "US"}), Database.open()):
        assert not database.has_asns
        assert database.asns == frozenset()
        assert len(database.asn_networks([15169])[15169]) == 0
        assert database.digest() == database.digest(with_asns=True)
        assert "asn" not in {match.layer for match in database.matches("8.8.8.8")}
    assert tiny_database({}, asns={}).has_asns


def test_a_damaged_record_of_as_numbers_is_a_format_error() -> None:
    sections = {
        name: bytes(DATABASE._image.section(name))
        for name in ("meta", "cells", "origin.country", "origin.asn")
    }
    sections["origin.asn"] = sections["origin.asn"].replace(b"asn 15169", b"asn 1516x")
    damaged = Database(Image(memoryview(encode(sections)), "damaged"))
    assert damaged.country("8.8.8.8") == "US"
    for ask in (damaged.verify, lambda: damaged.asns, lambda: damaged.asn_networks([2914])):
        with pytest.raises(FormatError, match="'1516x' is no AS number"):
            ask()


# Folders


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def listed(path: Path) -> Policy:
    return policy({"lists": ["it"]}, lists={"it": {"path": str(path)}})


def lines_of(painted: Lists, text: str) -> list[tuple[str, int]]:
    address = parse_address(text)
    assert address is not None
    return [(Path(match.source).name, match.line) for match in painted.matches([address])]


def test_a_folder_is_a_list_of_all_its_files_in_any_format(tmp_path: Path) -> None:
    path = folder_of(
        tmp_path / "it",
        b="# ours\n8.8.8.0/24\n",
        a="9.9.9.9\n8.8.8.8\n",
        c='{"addresses": ["7.7.7.0/24"], "ipv6_addresses": ["2001:db8::/32"]}',
        empty="",
    )
    painted = Lists(listed(path), DATABASE)
    for text in ("8.8.8.1", "9.9.9.9", "7.7.7.7", "2001:db8::1"):
        assert labels_of(painted, text) == {ListLabel("it")}
    assert labels_of(painted, "9.9.9.8") == labels_of(painted, "6.6.6.6") == set()
    assert lines_of(painted, "8.8.8.8") == [("a", 2), ("b", 2)]
    assert lines_of(painted, "2001:db8::1") == [("c", 2)]


def test_hidden_files_and_folders_below_are_left_out(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "it", a="8.8.8.8\n")
    (path / ".swp").write_text("no network\n")
    folder_of(path / "..data", b="no network\n")
    folder_of(path / "below", b="no network\n")
    (path / "b").symlink_to(path / "..data2")
    (path / "..data2").write_text("9.9.9.9\n")
    painted = Lists(listed(path), DATABASE)
    assert labels_of(painted, "8.8.8.8") == labels_of(painted, "9.9.9.9") == {ListLabel("it")}
    assert lines_of(painted, "9.9.9.9") == [("b", 1)]


def test_a_bad_line_in_a_folder_is_named_with_its_file(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "it", a="8.8.8.8\n", b="9.9.9.9\n8.8.8.0/20\n")
    with pytest.raises(ConfigurationError, match=r"lists\.it\.path: .*/it/b:2: '8\.8\.8\.0/20'"):
        Lists(listed(path), DATABASE)
    (path / "b").unlink()
    (path / "b").symlink_to(path / "gone")
    with pytest.raises(ConfigurationError, match=r"lists\.it\.path: .*/it/b' cannot be read"):
        Lists(listed(path), DATABASE)


def test_a_folder_without_networks_is_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="it has no networks"):
        Lists(listed(folder_of(tmp_path / "it")), DATABASE)
    with pytest.raises(ConfigurationError, match="that has no networks"):
        Lists(listed(folder_of(tmp_path / "that", a="# nothing\n")), DATABASE)


def test_a_folder_is_painted_once_and_again_when_a_file_changes(
    tmp_path: Path, shared: Path
) -> None:
    path = folder_of(tmp_path / "it", a="7.7.7.0/24\n", b="8.8.8.0/24\n")
    Lists(listed(path), DATABASE)
    painted = Lists(listed(path), DATABASE)
    assert len(images(shared)) == 1
    assert labels_of(painted, "8.8.8.8") == {ListLabel("it")}
    assert lines_of(painted, "8.8.8.8") == [("b", 1)]
    (path / "b").write_text("9.9.9.0/24\n")
    assert lines_of(painted, "8.8.8.8") == []
    assert labels_of(Lists(listed(path), DATABASE), "8.8.8.8") == set()
    (path / "c").write_text("8.8.8.0/24\n")
    assert labels_of(Lists(listed(path), DATABASE), "8.8.8.8") == {ListLabel("it")}
    assert len(images(shared)) == 3


# Entries that end

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
ENDING = """\
8.8.8.0/24 until 2026-11-22T12:00:00Z  # ticket 4711
8.8.8.8
9.9.9.0-9.9.9.9\tuntil  2026-11-22T14:00:00.5+01:00 ; an hour later
2001:db8::/32 until 2027-01-01T00:00:00+00:00
"""


@pytest.mark.parametrize(
    ("at", "held", "ended"),
    [
        (NOON - 1, {"8.8.8.1", "8.8.8.8", "9.9.9.9", "2001:db8::"}, 0),
        (NOON, {"8.8.8.8", "9.9.9.9", "2001:db8::"}, 1),
        (NOON + 3600, {"8.8.8.8", "9.9.9.9", "2001:db8::"}, 1),
        (NOON + 3601, {"8.8.8.8", "2001:db8::"}, 2),
        (NOON + 1e9, {"8.8.8.8"}, 3),
    ],
)
def test_an_entry_holds_until_its_end(
    tmp_path: Path, at: float, held: set[str], ended: int
) -> None:
    (tmp_path / "it").write_text(ENDING)
    painted = Lists(listed(tmp_path / "it"), DATABASE, lambda: at)
    assert {text for text in ("8.8.8.1", "8.8.8.8", "9.9.9.9", "2001:db8::") if labels_of(painted, text)} == held  # fmt: skip
    assert sorted(lines_of(painted, "8.8.8.8")) == [("it", line) for line in (1, 2)][ended > 0 :]
    parsed = parse_list(ENDING.encode(), "it", at)
    assert (parsed.ended, len(parsed)) == (ended, 4 - ended)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("8.8.8.0/24 until", "the end '' must be a time with its offset, such as 2026-12-31T00"),
        ("8.8.8.0/24 until tomorrow", "the end 'tomorrow' must be a time"),
        ("8.8.8.0/24 until 2026-12-31", "the end '2026-12-31' must be a time with its offset"),
        ("8.8.8.0/24 until 2026-12-31T00:00:00", "must be a time with its offset"),
        ("8.8.8.0/24 until 2026-12-31T00:00:00Z ticket", "must be a time with its offset"),
        ("8.8.8.0/20 until 2026-12-31T00:00:00Z", "host bits are set below /20"),
        ("until 2026-12-31T00:00:00Z", "not an IPv4 or IPv6 address"),
        ("8.8.8.0/24 Until 2026-12-31T00:00:00Z", "the prefix length after '/' must be"),
    ],
)
def test_a_wrong_end_is_an_error_with_its_line(line: str, says: str) -> None:
    text = f"{ENDING}{line}\n"
    with pytest.raises(FormatError) as caught:
        parse_list(text.encode(), "it")
    assert str(caught.value).startswith("it:5: '")
    assert says in str(caught.value)


def test_wrong_lines_are_told_in_their_order_among_those_that_end() -> None:
    text = "".join(f"8.8.8.{at}/24 until x\nno network\n" for at in range(1, 5))
    with pytest.raises(FormatError) as caught:
        parse_list(text.encode(), "it")
    told = str(caught.value).split("\n")
    assert [line.split(":")[1] for line in told[:5]] == ["1", "2", "3", "4", "5"]
    assert told[5] == "… and 3 more lines"


def test_a_list_whose_entries_have_all_ended_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("8.8.8.8 until 2020-01-01T00:00:00Z\n")
    painted = Lists(listed(tmp_path / "it"), DATABASE)
    assert labels_of(painted, "8.8.8.8") == set()


def test_an_image_is_painted_again_when_an_entry_ends(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "it").write_text(ENDING)
    asked = listed(tmp_path / "it")
    before = Lists(asked, DATABASE, lambda: NOON - 1)
    assert labels_of(Lists(asked, DATABASE, lambda: NOON), "8.8.8.1") == set()
    (image,) = shared.glob("*.grdb")
    written = image.stat().st_mtime_ns, image.stat().st_ino
    assert labels_of(Lists(asked, DATABASE, lambda: NOON + 1), "8.8.8.1") == set()
    assert image.stat().st_ino == written[1]  # nothing has ended: no worker paints
    assert labels_of(before, "8.8.8.1") == {ListLabel("it")}
    assert sorted(lines_of(before, "8.8.8.8")) == [("it", 1), ("it", 2)]
    assert labels_of(Lists(asked, DATABASE, lambda: NOON - 1), "8.8.8.1") == {ListLabel("it")}
    assert labels_of(Lists(asked, DATABASE, lambda: NOON + 1e9), "2001:db8::") == set()


def test_an_engine_leaves_out_what_has_ended_when_it_is_reloaded(tmp_path: Path) -> None:
    (tmp_path / "it").write_text(ENDING)
    now = [NOON - 1]
    engine = Engine(listed(tmp_path / "it"), database=DATABASE, clock=lambda: now[0])
    assert engine.decide("8.8.8.1").rule == "r0"
    now[0] = NOON
    engine.reload()
    assert engine.decide("8.8.8.1").rule is None
    assert engine.decide("8.8.8.8").rule == "r0"


def test_without_lists_no_clock_is_asked() -> None:
    Lists(policy({"networks": ["8.8.8.0/24"], "asns": [3356]}), DATABASE, lambda: 1 / 0)
