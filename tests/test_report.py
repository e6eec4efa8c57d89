"""The report on the default data: its arithmetic, its tables, and the bounds that its figures keep."""

from __future__ import annotations

import json
import re
from array import array
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import second
from data.report import eyeballs, hosting, log, markdown, places, space
from data.second import CODES, NUMBERS
from data.spans import Overlay, from_batch, from_runs, sums
from georestrict import Database
from georestrict._core import resolve
from georestrict.groups import CONTINENTS, continent_of
from georestrict.networks.hosting import known
from georestrict.sources import Batch, Row, gathered, packed

pytestmark = pytest.mark.once

DATA = Path(__file__).parents[1] / "data"
WINDOW = 24  # cells that the naive reference walks through one by one
ANSWERS = {"A": 1, "B": 2, "C": 3}


@cache
def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "report.json").read_text(encoding="utf-8"))
    return found


# -- the arithmetic

cells = st.lists(st.sampled_from(["", *ANSWERS]), min_size=WINDOW, max_size=WINDOW)


def batch_of(family: int, said: list[str], base: int, step: int) -> Batch:
    """A row for each cell that has an answer, ``step`` addresses wide."""
    rows = (
        Row(family, base + at * step, base + (at + 1) * step - 1, value, at + 1)
        for at, value in enumerate(said)
        if value
    )
    (batch,) = [batch for batch in gathered(rows) if batch.version == family]
    return batch


@settings(deadline=None)
@given(left=cells, right=cells, base=st.sampled_from([0, 7, 2**32 - WINDOW]))
def test_an_overlay_counts_what_counting_address_by_address_counts(
    left: list[str], right: list[str], base: int
) -> None:
    overlay = Overlay(
        4,
        {
            name: from_batch(batch_of(4, said, base, 1), ANSWERS)
            for name, said in (("left", left), ("right", right))
        },
    )
    assert overlay.sizes.sum() == 2**32
    for one in range(4):
        for other in range(4):
            pieces = (overlay["left"] == one) & (overlay["right"] == other)
            naive = sum(
                ANSWERS.get(a, 0) == one and ANSWERS.get(b, 0) == other
                for a, b in zip(left, right, strict=True)
            )
            outside = (2**32 - WINDOW) * (one == other == 0)
            assert overlay.sizes[pieces].sum() == naive + outside
    where = overlay["right"] == 1
    assert sums(overlay["left"], overlay.sizes, where, 3).tolist() == [
        sum(ANSWERS.get(a, 0) == answer and b == "A" for a, b in zip(left, right, strict=True))
        for answer in range(4)
    ]


@settings(deadline=None)
@given(said=cells)
def test_a_network_of_64_bits_has_an_answer_if_all_of_it_has_the_same(said: list[str]) -> None:
    base, quarter = 0x2001_0DB8 << 96, 1 << 62
    batch = batch_of(6, said, base, quarter)
    expected = {
        base >> 64 | at: ANSWERS[four[0]]
        for at, four in enumerate(said[at : at + 4] for at in range(0, WINDOW, 4))
        if four[0] and four == four[:1] * 4
    }
    numbered = [0, *(ANSWERS[value] for value in batch.values)]
    above = array("I", (value + 1 for value in batch.columns.value))
    runs = resolve(batch.columns._replace(value=above))
    for steps in (from_batch(batch, ANSWERS), from_runs(runs, 6, numbered)):
        overlay = Overlay(6, {"it": steps})
        found = {
            unit: answer
            for start, end, answer in zip(
                overlay.starts.tolist(), overlay.ends.tolist(), overlay["it"].tolist(), strict=True
            )
            if answer
            for unit in range(start, end)
        }
        assert found == expected


# -- the second country source


@pytest.mark.parametrize(
    ("ipfire", "registry", "iptoasn", "chosen"),
    [
        ("EU", "GB", "", "GB"),
        ("EU", "GB", "GB", "GB"),
        ("EU", "GB", "NL", ""),
        ("EU", "GB", "US", "GB"),
        ("EU", "US", "US", ""),
        ("EU", "AE", "US", "AE"),
        ("EU", "CN", "", ""),
        ("AP", "US", "HK", "HK"),
        ("AP", "US", "US", ""),
        ("AP", "NZ", "", "NZ"),
        ("AP", "EU", "AP", ""),
        ("", "HK", "HK", ""),
        ("US", "HK", "HK", ""),
        ("CN", "SG", "HK", "HK"),
        ("CN", "", "HK", "HK"),
        ("CN", "CN", "HK", ""),
        ("CN", "SG", "SG", ""),
        ("RU", "SG", "HK", ""),
    ],
)
def test_the_second_source_wins_where_its_rules_say(
    ipfire: str, registry: str, iptoasn: str, chosen: str
) -> None:
    first = int(IPv4Address("203.0.112.0"))

    def says(code: str) -> list[Batch]:
        return gathered([Row(4, first, first + 255, code, 1)] if code else [])

    rows = [
        *second.rows({"ipfire": says(ipfire), "registry": says(registry), "iptoasn": says(iptoasn)})
    ]
    assert rows == ([Row(4, first, first + 255, chosen, 1)] if chosen else [])


def test_the_second_source_leaves_the_mainland_alone_in_ipv6() -> None:
    row = Row(6, 0x2400 << 112, (0x2401 << 112) - 1, "", 1)
    said = {"ipfire": "CN", "registry": "SG", "iptoasn": "HK"}
    rows = second.rows({name: gathered([row._replace(value=code)]) for name, code in said.items()})
    assert [*rows] == []


def test_the_committed_second_source_speaks_only_where_ipfire_names_a_region_or_the_mainland() -> (
    None
):
    ipfire = packed.read_batches(DATA / "country-ipfire.ranges")
    ours = packed.read_batches(DATA / "country-second.ranges")
    for family, (below, above) in zip((4, 6), zip(ipfire, ours, strict=True), strict=True):
        overlay = Overlay(
            family,
            {"ipfire": from_batch(below, NUMBERS), "second": from_batch(above, NUMBERS)},
        )
        spoken = overlay["second"] > 0
        overruled = {CODES[code] for code in np.unique(overlay["ipfire"][spoken]).tolist()}
        assert overruled == ({"EU", "AP", "CN"} if family == 4 else {"EU", "AP"})
        from_china = spoken & (overlay["ipfire"] == NUMBERS["CN"])
        assert set(overlay["second"][from_china].tolist()) <= {NUMBERS["HK"]}


def test_the_default_image_answers_what_the_second_source_says() -> None:
    database = Database.open()
    rows = [*packed.read(DATA / "country-second.ranges")]
    for row in rows[:: max(1, len(rows) // 500)]:
        for value in (row.first, row.last):
            address = IPv4Address(value) if row.version == 4 else IPv6Address(value)
            assert database.country(str(address)) == row.value


# -- the tables


def test_the_tables_have_enough_rows_in_order_and_no_as_number_twice() -> None:
    providers, networks = hosting.providers(), eyeballs.eyeballs()
    assert len(providers) >= 30
    assert len(networks) >= 60
    for names in ([each.name for each in providers], [each.name for each in networks]):
        assert len(names) == len(set(names))
    tables = [each.asns for each in providers] + [each.asns for each in networks]
    numbers = [number for asns in tables for number in asns]
    assert len(numbers) == len(set(numbers))
    assert {continent_of(each.country) for each in networks} == {*CONTINENTS} - {"AN"}


def test_no_internet_provider_is_in_the_list_of_hosting_as_numbers() -> None:
    listed = known()
    assert [each.name for each in eyeballs.eyeballs() if any(n in listed for n in each.asns)] == []


# -- the figures


def test_the_markdown_tells_the_figures_of_the_json() -> None:
    committed = (DATA / "REPORT.md").read_text(encoding="utf-8")
    assert committed == markdown.write(report()), "write it anew: python -m data.report --render"


def test_the_report_is_about_the_data_in_the_package() -> None:
    measured = [(row["name"], row["date"], row["rows"]) for row in report()["data"]]
    sources = Database.open().metadata.sources
    assert measured == [
        (source.name, source.date.isoformat(), [*source.rows]) for source in sources
    ], "the data has changed since it was measured: run 'make data-report'"


def test_the_report_says_when_and_how_it_was_made_and_from_what() -> None:
    made = report()["made"]
    assert made["command"] == "make data-report"
    assert made["date"] >= "2026-11-22"
    for reference in report()["references"]:
        assert reference["version"]
        assert reference["date"]
        assert reference["licence"]


def test_hosting_space_is_found() -> None:
    found = report()["hosting"]
    assert len(found["providers"]) >= 30
    assert found["mean"] >= 85
    assert min(row["flagged"] for row in found["providers"]) >= 60
    assert found["ratio"] >= 1.5
    assert found["total"] >= 1.5 * found["total_feeds"]
    assert found["own"]["list"] >= 85


def test_internet_providers_are_left_alone() -> None:
    networks = report()["eyeballs"]["networks"]
    assert len(networks) >= 60
    assert max(row["flagged"] for row in networks) <= 1
    assert report()["eyeballs"]["worst"] == max(row["flagged"] for row in networks)


def test_hong_kong_gains_and_no_country_loses() -> None:
    found = report()["places"]
    assert found["countries"]["HK"]["all"]["recall"] >= 86.9
    for code, before in found["before"]["countries"].items():
        assert found["countries"][code]["all"]["recall"] >= before["recall"] - 0.01
    assert found["total"]["all"]["recall"] >= found["before"]["ipv4"]
    assert found["total"]["ipv6"]["recall"] >= found["before"]["ipv6"]


def test_every_country_of_some_size_is_told_in_and_outside_hosting_space() -> None:
    countries = report()["places"]["countries"]
    assert len(countries) > 150
    for code, row in countries.items():
        assert row["all"]["there"] >= places.LEAST or code in places.NAMED
        assert {"all", "other", "ipv6"} <= {*row}
    assert {"HK", "SG", "IE", "UA"} <= {code for code in countries if "hosting" in countries[code]}
    assert {row["region"] for row in report()["crimea"]} == {"Crimea", "Sevastopol"}


def test_the_rules_that_were_taken_are_right_on_both_halves() -> None:
    rules = {row["rule"]: row for row in report()["rules"]}
    taken = [row for row in rules.values() if row["taken"]]
    assert len(taken) == 3
    assert len(rules) > len(taken) + 5
    for row in taken:
        assert row["losing"] == []
        for part in ("ipv4", "even", "odd"):
            assert row[part]["better"] > 10 * row[part]["worse"]
            assert row[part]["better"] > row[part]["neither"]


def test_no_request_from_a_cloud_is_refused_for_coming_from_a_cloud() -> None:
    found = report()["log"]
    assert found["requests"] == log.REQUESTS
    stands, lenient = (found["policies"][log.DIRECT + more] for more in ("", log.LENIENT))
    clouds = stands[0]
    assert clouds["requests"] == pytest.approx(0.7 * found["requests"], abs=2)
    assert {row["rule"] for row in clouds["refused_why"]} == {"unsupported"}  # a wrong country
    assert clouds["refused_share"] < 1
    assert lenient[0]["refused"] == 0


def test_accounts_that_come_back_through_clouds_are_refused_and_few_others() -> None:
    policies = report()["log"]["policies"]
    for more in ("", log.LENIENT):
        clouds, *_, tunnels = policies[log.TUNNEL + more]
        assert tunnels["part"] == log.TUNNELS
        assert tunnels["refused"] == tunnels["requests"] > 5_000
        assert clouds["refused_share"] < 1


# -- the sections, on a small world


@dataclass
class World:
    """Networks of 256 addresses around ones that the default image knows."""

    spaces: dict[int, space.Space]
    database: Database


TOLD = {  # network: AS number, DB-IP, GeoLite2
    "52.95.110.0": (16509, "US", "US"),
    "52.95.109.0": (16509, "US", "CA"),
    "81.2.69.0": (20712, "GB", "GB"),
    "175.16.199.0": (4837, "CN", "CN"),
    "89.160.20.0": (29518, "CN", "CN"),  # the image says SE
}


@pytest.fixture(scope="module")
def world() -> World:
    def says(column: int) -> list[Batch]:
        return gathered(
            Row(4, first, first + 255, str(TOLD[network][column]), 1)
            for network in sorted(TOLD, key=IPv4Address)
            for first in (int(IPv4Address(network)),)
        )

    database = Database.open()
    told = {"asn": says(0), "dbip": says(1), "geolite": says(2)}
    silent: list[Batch] = gathered(())
    return World(space.build({**told, "registry": silent, "iptoasn": silent}, database), database)


def test_countries_are_judged_where_both_references_agree(world: World) -> None:
    four = world.spaces[4]
    told = places.figures(four, four.image, np.ones(len(four.sizes), np.bool_))
    assert told[""] == {"there": 4 * 256, "recall": 75.0, "silent": 0.0}
    assert told["CN"] == {"there": 512, "recall": 50.0, "false": 0.0}
    assert told["SE"] == {"there": 0, "recall": None, "false": 100.0}
    assert told["US"] == {"there": 256, "recall": 100.0, "false": 0.0}


def test_what_a_provider_announces_is_hosting_and_what_people_use_is_not(world: World) -> None:
    four = world.spaces[4]
    aws = next(row for row in hosting.measure(four)["providers"] if row["provider"] == "Amazon AWS")
    assert (aws["addresses"], aws["flagged"], aws["list"]) == (512, 100.0, 100.0)
    unicom = next(
        row for row in eyeballs.measure(four)["networks"] if row["name"] == "China Unicom"
    )
    assert (unicom["addresses"], unicom["flagged"]) == (256, 0.0)


def test_what_is_missed_of_a_country_is_told_by_network(world: World) -> None:
    (row,) = places.missed(world.spaces[4], "CN", {29518: "Example"})
    assert row == {"asn": 29518, "name": "Example", "share": 50.0, "image": {"SE": 50.0}}


def test_the_log_is_the_same_each_time_and_each_part_from_where_it_says(world: World) -> None:
    spaces = {4: world.spaces[4], 6: world.spaces[4]}  # the small world has no IPv6
    drawn = log.draw(spaces, 400)
    assert drawn == log.draw(spaces, 400)
    assert {part: len(asked) for part, asked in drawn.items()} == {
        "clouds in supported countries": 280,
        "clouds elsewhere": 0,
        "eyeballs": 95,
        log.PEOPLE: 1,
        log.TUNNELS: 12,
    }
    for part, asked in drawn.items():
        for one in asked:
            told = TOLD[str(IPv4Address(int(one.address) & ~0xFF))]
            assert (one.asn, one.country) == told[:2]
            assert (one.asn == 16509) == (part not in ("eyeballs", log.PEOPLE))
            assert one.account.startswith("person 0" if part in (log.PEOPLE, log.TUNNELS) else part)


def test_the_readme_tells_the_figures_of_the_report() -> None:
    told = (DATA.parent / "README.md").read_text(encoding="utf-8")
    countries, total = report()["places"]["countries"], report()["places"]["total"]
    for code, name in (("HK", "Hong Kong"), ("SG", "Singapore"), ("VE", "Venezuela")):
        figures = countries[code]["all"]
        assert re.search(
            rf"^\| {name} \| {figures['recall']:.1f} %.*\| {figures['false']:.1f} % \|$", told, re.M
        )
    for part in ("all", "ipv6", "hosting"):
        assert f"{total[part]['recall']:.1f} %" in told
    assert f"networks of {len(report()['hosting']['providers'])} hosting companies" in told
    assert f"{len(report()['eyeballs']['networks'])} internet providers'" in told
    assert report()["eyeballs"]["worst"] < 0.05  # what the README says
