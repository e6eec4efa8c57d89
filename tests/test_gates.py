"""Gates: which images are not put in force by themselves (acceptance row G11)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from georestrict import Database
from georestrict.gates import refusals
from georestrict.manifest import Gates, Manifest
from tests.manifests import NOW, lay, opened, source

pytestmark = pytest.mark.once

FORCE = (
    "; compile it to another file, look at it with 'georestrict diff', and publish it with --force "
    "if it is right"
)
DAY = "date = 2026-11-20"


def rows(count: int, base: str = "81.2", code: str = "GB") -> str:
    """So many rows of CSV, one /24 each."""
    return "".join(f"{base}.{at}.0,{base}.{at}.255,{code}\n" for at in range(count))


IPV6 = "2001:218::,2001:218:ffff:ffff:ffff:ffff:ffff:ffff,JP\n"
FILES = {
    "c.csv": rows(100) + IPV6,
    "n.txt": "81.2.69.0/24\n81.2.7.0/24\n",
    "tor.txt": "81.2.69.200\n",
}
SOURCES = (
    source("places", "c.csv", DAY)
    + source("hosts", "n.txt", DAY, 'value = "hosting:medium:A Cloud"', layer="network")
    + source("exits", "tor.txt", DAY, 'value = "tor:high"', layer="network")
)


def image(
    folder: Path,
    changed: Mapping[str, str] | None = None,
    text: str = SOURCES,
    built: datetime = NOW,
) -> Database:
    return opened(lay(folder, text, {**FILES, **(changed or {})}), built)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return image(tmp_path_factory.mktemp("old"))


def gates(folder: Path, text: str) -> Gates:
    return Manifest.load(lay(folder, text + SOURCES, FILES)).gates


def test_g11_the_same_data_is_published_again(old: Database, tmp_path: Path) -> None:
    assert refusals(old, image(tmp_path), Gates(), NOW) == []
    later = NOW + timedelta(days=30)
    assert refusals(old, image(tmp_path, built=later), Gates(), later) == []
    assert refusals(old, image(tmp_path, {"c.csv": rows(255) + IPV6}), Gates(), NOW) == []


def test_g11_30_percent_fewer_rows_of_a_layer_are_refused_and_29_are_not(
    old: Database, tmp_path: Path
) -> None:
    fewer = image(tmp_path, {"c.csv": rows(71) + IPV6})
    assert refusals(old, fewer, Gates(), NOW) == []
    fewer = image(tmp_path, {"c.csv": rows(70) + IPV6})
    assert refusals(old, fewer, Gates(), NOW) == [
        "the layer 'country' has 70 IPv4 rows, 100 before: 30% fewer, where gates.most_loss is 30%"
        + FORCE
    ]


def test_g11_each_layer_and_ip_version_counts_for_itself(old: Database, tmp_path: Path) -> None:
    (told,) = refusals(old, image(tmp_path, {"c.csv": rows(200)}), Gates(), NOW)
    assert told.startswith("the layer 'country' has 0 IPv6 rows, 1 before: 100% fewer")
    lost = {"n.txt": "81.2.69.0/24\n", "c.csv": rows(255) + IPV6}
    (told,) = refusals(old, image(tmp_path, lost), Gates(), NOW)
    assert told.startswith("the layer 'network' has 2 IPv4 rows, 3 before: 33% fewer")


def test_g11_a_layer_that_is_gone_is_refused(old: Database, tmp_path: Path) -> None:
    (told,) = refusals(old, image(tmp_path, text=source("places", "c.csv", DAY)), Gates(), NOW)
    assert told.startswith("the layer 'network' has 0 IPv4 rows, 3 before: 100% fewer")


def test_g11_an_owner_may_allow_less_or_more(old: Database, tmp_path: Path) -> None:
    fewer = image(tmp_path, {"c.csv": rows(70) + IPV6})
    assert refusals(old, fewer, gates(tmp_path, "gates.most_loss = 0.31\n"), NOW) == []
    fewer = image(tmp_path, {"c.csv": rows(95) + IPV6})
    (told,) = refusals(old, fewer, gates(tmp_path, "gates.most_loss = 0.05\n"), NOW)
    assert "95 IPv4 rows, 100 before: 5% fewer, where gates.most_loss is 5%" in told


def test_overrides_that_an_owner_takes_back_are_no_loss(tmp_path: Path) -> None:
    own = "[overrides]\n" + "".join(f'"9.{at}.0.0/16" = "DE"\n' for at in range(200))
    overridden = image(tmp_path, text=SOURCES + own)
    assert refusals(overridden, image(tmp_path), Gates(), NOW) == []


def test_g11_a_build_time_before_that_of_the_image_in_force_is_refused(
    old: Database, tmp_path: Path
) -> None:
    earlier = image(tmp_path, built=NOW - timedelta(seconds=1))
    assert refusals(old, earlier, Gates(), NOW) == [
        "it was built at 2026-11-23T01:29:59Z, before the one in force (2026-11-23T01:30:00Z)"
        + FORCE
    ]


def test_g11_a_source_that_is_older_than_in_the_image_in_force_is_refused(
    old: Database, tmp_path: Path
) -> None:
    text = SOURCES.replace(DAY, "date = 2026-11-19", 1)
    assert refusals(old, image(tmp_path, text=text), Gates(), NOW) == [
        "source 'places' (layer 'country') is of 2026-11-19, older than in the image in force "
        "(2026-11-20)" + FORCE
    ]
    other = text.replace('"places"', '"others"')  # nothing is known of how old it was
    assert refusals(old, image(tmp_path, text=other), Gates(), NOW) == []


@pytest.mark.parametrize("first", [False, True], ids=["beside an old image", "as the first image"])
def test_g11_a_time_in_the_future_is_refused_also_of_a_first_image(
    old: Database, tmp_path: Path, first: bool
) -> None:
    before = None if first else old
    tomorrow = image(tmp_path, built=NOW + timedelta(hours=23))
    assert refusals(before, tomorrow, Gates(), NOW) == []
    (told,) = refusals(before, image(tmp_path, built=NOW + timedelta(hours=25)), Gates(), NOW)
    assert told == (
        "it was built at 2026-11-24T02:30:00Z, in the future (it is 2026-11-23T01:30:00Z by this "
        "machine's clock)" + FORCE
    )
    text = SOURCES.replace(DAY, "date = 2026-11-24", 1)
    assert refusals(before, image(tmp_path, text=text), Gates(), NOW) == []
    text = SOURCES.replace(DAY, "date = 2026-11-25", 1)
    (told,) = refusals(before, image(tmp_path, text=text), Gates(), NOW)
    assert told.startswith("source 'places' (layer 'country') is of 2026-11-25, in the future")


CANARIES = {
    '"81.2.69.142" = "GB"': None,
    '"81.2.69.142" = "FR"': "canary 81.2.69.142: 81.2.69.142 appears to be GB, expected FR",
    '"81.2.69.142" = ""': "canary 81.2.69.142: 81.2.69.142 appears to be GB, expected no country",
    '"9.9.9.9" = ""': None,
    '"9.9.9.9" = "US"': "canary 9.9.9.9: 9.9.9.9 appears to be in no country (unknown), expected US",
    '"81.2.0.0/18" = "GB"': None,
    '"81.2.64.0/18" = "GB"': (
        "canary 81.2.64.0/18: 81.2.100.0 appears to be in no country (unknown), expected GB"
    ),
    '"81.2.101.0-81.2.102.9" = ""': None,
    '"2001:218::/32" = "JP"': None,
    '"2001:218::1" = "UA-43"': "canary 2001:218::1: 2001:218::1 appears to be JP, expected UA-43",
    '"81.2.69.200" = "category:tor"': None,
    '"81.2.69.200" = ["GB", "category:tor:high", "category:hosting"]': None,
    '"81.2.69.201" = "category:tor"': (
        "canary 81.2.69.201: 81.2.69.201 appears to be hosting:medium, expected tor:medium or surer"
    ),
    '"81.2.69.201" = "category:hosting:high"': (
        "canary 81.2.69.201: 81.2.69.201 appears to be hosting:medium, "
        "expected hosting:high or surer"
    ),
    '"81.2.69.0/24" = "category:hosting:low"': None,
    '"81.2.68.0/23" = "category:hosting"': (
        "canary 81.2.68.0/23: 81.2.68.0 appears to be of no category, expected hosting:medium or surer"
    ),
}  # fmt: skip


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("first", [False, True], ids=["beside an old image", "as the first image"])
def test_g11_a_wrong_canary_is_refused_also_of_a_first_image(
    old: Database, tmp_path: Path, canary: str, first: bool
) -> None:
    told = CANARIES[canary]
    found = refusals(
        None if first else old,
        image(tmp_path),
        gates(tmp_path, f"[gates.canaries]\n{canary}\n"),
        NOW,
    )
    assert found == ([] if told is None else [told + FORCE])


def test_g11_the_region_of_a_canary_is_matched_under_every_code_that_sources_use(
    tmp_path: Path,
) -> None:
    files = {"c.csv": "network,country_code,region_code\n5.1.0.0/16,RU,CR\n"}
    new = opened(lay(tmp_path, source("places", "c.csv", DAY), files))
    assert new.lookup("5.1.0.1").subdivision == "RU-CR"
    wanted = gates(tmp_path, '[gates.canaries]\n"5.1.0.0/16" = "UA-43"\n')
    assert refusals(None, new, wanted, NOW) == []


def test_g11_everything_that_is_wrong_is_told_at_once(old: Database, tmp_path: Path) -> None:
    bad = image(
        tmp_path,
        {"c.csv": rows(10)},
        SOURCES.replace(DAY, "date = 2026-11-01"),
        datetime(2026, 11, 1, tzinfo=UTC),
    )
    wanted = gates(tmp_path, '[gates.canaries]\n"81.2.69.142" = "GB"\n')
    told = refusals(old, bad, wanted, NOW)
    assert [text.split(" ")[0] for text in told] == ["the", "the", "it", *["source"] * 3, "canary"]
    assert all(text.endswith("--force if it is right") for text in told)
