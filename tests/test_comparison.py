"""What changes between two databases, measured over the whole of both address spaces."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import BACKEND, Database
from georestrict.cli import main
from georestrict.comparison import Comparison, compare
from georestrict.extent import Extent, sizes
from georestrict.manifest import Manifest
from georestrict.special import MEANINGS, RUNS
from georestrict.testing import tiny_database
from tests import mmdb
from tests.manifests import lay, source

# It counts what both cores paint alike.
pytestmark = pytest.mark.once


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["diff", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def moves(found: Comparison) -> dict[tuple[str, str], tuple[int, int]]:
    return {(move.before, move.after): (move.extent.ipv4, move.extent.ipv6) for move in found.moves}


def categories(found: Comparison) -> dict[tuple[str, str, str], tuple[int, int]]:
    return {
        (str(each.category), each.before, each.after): (each.extent.ipv4, each.extent.ipv6)
        for each in found.categories
    }


OLD = tiny_database(
    {"81.2.69.0/24": "GB", "175.16.199.0/24": "CN", "2001:218::/32": "JP", "5.1.0.0/16": "UA-43"},
    {"81.2.69.0/25": "hosting:medium:A Cloud", "81.2.69.7/32": "tor:high"},
)
NEW = tiny_database(
    {"81.2.69.0/25": "GB", "81.2.69.128/25": "FR", "2001:218::/33": "JP", "5.1.0.0/16": "UA",
     "8.8.8.8/32": "US", "2a00:1450::1/128": "DE"},
    {"81.2.69.0/25": "hosting:high:A Cloud", "2001:218::/34": "vpn:low:It"},
)  # fmt: skip


def test_every_move_is_told_with_its_addresses() -> None:
    found = compare(OLD, NEW)
    assert moves(found) == {
        ("CN", "unknown"): (256, 0),
        ("GB", "FR"): (128, 0),
        ("unknown", "US"): (1, 0),
        ("JP", "unknown"): (0, 1 << 95),
        ("unknown", "DE"): (0, 1),
    }
    assert [(move.before, move.after) for move in found.moves] == [*moves(found)]
    assert found.moved == Extent(385, (1 << 95) + 1)
    assert categories(found) == {
        ("tor", "high", ""): (1, 0),
        ("vpn", "", "low"): (0, 1 << 94),
        ("hosting", "medium", "high"): (128, 0),
    }
    assert found.recategorised == Extent(128, 1 << 94)


def test_each_country_is_told_with_what_it_had_gains_and_loses() -> None:
    told = {each.place: each for each in compare(OLD, NEW).balances}
    assert sorted(told) == ["CN", "DE", "FR", "GB", "JP", "US", "unknown"]
    britain, unknown = told["GB"], told["unknown"]
    assert (britain.before, britain.gained, britain.lost) == (Extent(256), Extent(), Extent(128))
    assert (unknown.gained, unknown.lost) == (Extent(256, 1 << 95), Extent(1, 1))
    back = {each.place: each for each in compare(NEW, OLD).balances}
    for place, each in told.items():
        assert (each.gained, each.lost) == (back[place].lost, back[place].gained)
        assert each.before + each.gained == back[place].before + each.lost


def test_nothing_changes_between_a_database_and_itself() -> None:
    found = compare(OLD, OLD)
    assert (found.moves, found.balances, found.categories) == ((), (), ())
    assert not found.moved
    assert not found.recategorised


def test_the_whole_space_moves_but_for_what_is_no_place() -> None:
    every = [tiny_database({"0.0.0.0/0": code, "::/0": code}) for code in ("DE", "FR")]
    reachable = [
        sum(sizes(RUNS[version], version)[MEANINGS.index(meaning)] for meaning in ("", "reachable"))
        for version in (4, 6)
    ]
    assert moves(compare(*every)) == {("DE", "FR"): tuple(reachable)}


def plainly(
    old: Database, new: Database, version: int, ends: Iterable[int]
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str, str]]]:
    """What changes, piece by piece between the ends of all ranges, each asked by a lookup."""
    kind = IPv4Address if version == 4 else IPv6Address
    moved: Counter[tuple[str, str]] = Counter()
    changed: Counter[tuple[str, str, str]] = Counter()
    for first, end in pairwise(sorted({*ends})):
        before, after = old.lookup(kind(first)), new.lookup(kind(first))
        places = before.country or str(before.status), after.country or str(after.status)
        if places[0] != places[1]:
            moved[places] += end - first
        for name in {*before.categories, *after.categories}:
            sure = str(before.categories.get(name, "")), str(after.categories.get(name, ""))
            if sure[0] != sure[1]:
                changed[(str(name), *sure)] += end - first
    return moved, changed


def ranges(
    base: int, step: int, values: list[str]
) -> st.SearchStrategy[dict[tuple[int, int], str]]:
    """Ranges that meet, from a base in public space."""
    ends = st.tuples(st.integers(0, 200), st.integers(0, 90)).map(
        lambda span: (base + span[0] * step, base + (span[0] + span[1]) * step + span[1] % 3)
    )
    return st.dictionaries(ends, st.sampled_from(values), max_size=8)


CLAIMS = [
    "hosting:low:A",
    "hosting:high:B",
    "tor:high:",
    "vpn:medium:C|hosting:medium:D",
    "relay:high:E",
]


@pytest.mark.parametrize(
    ("base", "step"),
    [("81.2.0.0", 1), ("81.2.0.0", 300), ("2a00:1450::", 1), ("2a00:1450::", 3 << 62)],
)
@given(data=st.data())
@settings(max_examples=40 if BACKEND == "compiled" else 4, deadline=None)
def test_what_a_comparison_tells_is_what_lookups_of_every_piece_tell(
    base: str, step: int, data: st.DataObject
) -> None:
    kind = IPv6Address if ":" in base else IPv4Address
    version, start = kind(base).version, int(kind(base))
    databases, ends = [], {start - 1}
    for _ in range(2):
        said = [
            data.draw(ranges(start, step, values)) for values in (["GB", "FR", "UA-43"], CLAIMS)
        ]
        ends |= {end for each in said for first, last in each for end in (first, last + 1)}
        written = [
            {f"{kind(first)}-{kind(last)}": value for (first, last), value in each.items()}
            for each in said
        ]
        databases.append(tiny_database(*written))
    moved, changed = plainly(databases[0], databases[1], version, ends)
    found = compare(*databases)
    at = 0 if version == 4 else 1
    assert {key: extent[at] for key, extent in moves(found).items()} == moved
    assert {key: extent[at] for key, extent in categories(found).items()} == changed
    assert not any(extent[1 - at] for extent in moves(found).values())


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    """Two images, as files."""
    lists = {"a.csv": "81.2.69.0,81.2.69.255,GB\n2001:218::,2001:218:ffff:ffff:ffff:ffff:ffff:ffff,JP\n",
             "b.csv": "81.2.69.0,81.2.69.127,GB\n81.2.69.128,81.2.69.255,FR\n2001:218::,2001:218::9,CN\n",
             "cloud.txt": "81.2.69.0/26\n"}  # fmt: skip
    paths = tmp_path / "a.grdb", tmp_path / "b.grdb"
    for path, sure in zip(paths, ("medium", "high"), strict=True):
        text = source("geo", f"{path.stem}.csv", "date = 2026-01-02") + source(
            "cloud",
            "cloud.txt",
            "date = 2026-02-03",
            f'value = "hosting:{sure}:X"',
            layer="network",
        )
        path.write_bytes(Manifest.load(lay(tmp_path, text, lists)).compile())
    return paths


def test_diff_prints_what_moves_by_country_and_by_category(images: tuple[Path, Path]) -> None:
    result = run(*images)
    assert result.exit_code == 0
    first, second, *rest = result.stdout.splitlines()
    assert first.startswith(f"A: {images[0]}, built 20")
    assert second.endswith("data of 2026-01-02 to 2026-02-03")
    assert (
        "\n".join(rest)
        == """\
FROM  TO       IPV4  IPV6 /64
GB    FR       128   0
JP    unknown  0     4,294,967,296
JP    CN       0     <1

COUNTRY  IPV4 BEFORE    GAINED  LOST  IPV6 /64 BEFORE             GAINED         LOST
FR       0              128     0     0                           0              0
GB       256            0       128   0                           0              0
JP       0              0       0     4,294,967,296               0              4,294,967,296
unknown  3,702,258,178  0       0     18,211,974,285,067,550,718  4,294,967,296  0
CN       0              0       0     0                           <1             0

CATEGORY  BEFORE  AFTER  IPV4  IPV6 /64
hosting   medium  high   64    0

another country: 128 IPv4 addresses and 4,294,967,296 IPv6 /64 networks
other categories: 64 IPv4 addresses and 0 IPv6 /64 networks"""
    )


def test_diff_prints_no_more_rows_than_it_is_asked_for(images: tuple[Path, Path]) -> None:
    result = run(*images, "--limit", "1")
    assert "JP    unknown" not in result.stdout
    assert "… 2 more rows; --limit 0 prints all\n" in result.stdout
    assert "… 4 more rows" in result.stdout
    assert run(*images, "--limit", "0").stdout == run(*images).stdout
    assert run(*images, "--limit", "-1").exit_code == 2


def test_diff_tells_programs_whole_subnets_and_the_addresses_beside_them(
    images: tuple[Path, Path],
) -> None:
    told = json.loads(run(*images, "--json").stdout)
    assert told["moves"][1:] == [
        {"from": "JP", "to": "unknown", "ipv4": 0, "ipv6": (1 << 32) - 1, "ipv6_addresses": (1 << 64) - 10},
        {"from": "JP", "to": "CN", "ipv4": 0, "ipv6": 0, "ipv6_addresses": 10},
    ]  # fmt: skip
    assert told["categories"] == [
        {"category": "hosting", "from": "medium", "to": "high", "ipv4": 64, "ipv6": 0, "ipv6_addresses": 0}
    ]  # fmt: skip
    (britain,) = [each for each in told["countries"] if each["country"] == "GB"]
    assert [britain[key]["ipv4"] for key in ("before", "gained", "lost")] == [256, 0, 128]
    assert told["moved"] == {"ipv4": 128, "ipv6": 1 << 32, "ipv6_addresses": 0}
    assert told["recategorised"]["ipv4"] == 64


def test_diff_of_the_packages_data_with_itself_says_that_nothing_changes() -> None:
    result = run("default", "default")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[2:] == ["no address changes its country or a category"]


def test_diff_takes_an_mmdb_on_either_side(images: tuple[Path, Path]) -> None:
    path = mmdb.write(images[0].with_name("c.mmdb"), [("81.2.69.0/24", mmdb.maxmind("GB"))])
    told = json.loads(run(images[0], path, "--json").stdout)
    assert [(each["from"], each["to"]) for each in told["moves"]] == [("JP", "unknown")]
    told = json.loads(run(path, images[0], "--json").stdout)
    assert [(each["from"], each["to"]) for each in told["moves"]] == [("unknown", "JP")]


def test_diff_of_what_is_missing_or_no_database_is_an_invalid_input(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    for path in (tmp_path / "gone.grdb", tmp_path / "a.csv"):
        result = run(images[0], path)
        assert (result.exit_code, result.stdout) == (1, "")
        assert str(path) in result.stderr
    assert run(images[0]).exit_code == 2
