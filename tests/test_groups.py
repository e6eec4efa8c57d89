"""Groups of countries, and continents."""

from __future__ import annotations

from datetime import date

import pytest

from georestrict.countries import NAMES
from georestrict.groups import CONTINENTS, GROUPS, Group, continent_of, expand

pytestmark = pytest.mark.once

SIZES = {
    "@asean": 11,
    "@british-overseas-territories": 12,
    "@crown-dependencies": 3,
    "@eea": 30,
    "@efta": 4,
    "@eu": 27,
    "@eu-overseas": 11,
    "@eu-territories": 7,
    "@eurozone": 21,
    "@g7": 7,
    "@gcc": 6,
    "@schengen": 29,
    "@us-territories": 6,
}


def test_every_group_has_as_many_members_as_its_source() -> None:
    assert {name: len(group.members) for name, group in GROUPS.items()} == SIZES


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_every_member_is_an_assigned_country_and_no_other_is_meant(group: Group) -> None:
    assert group.members <= NAMES.keys()
    assert not group.members & {"HK", "MO", "TW", "XK"}  # they stand for themselves (H5)


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_every_group_tells_its_date_its_source_and_what_it_means(group: Group) -> None:
    assert group.name.startswith("@") and group.name == group.name.lower()
    assert date(1957, 1, 1) < group.as_of < date(2026, 11, 23)
    assert len(group.source) > 20
    assert group.note.endswith(".")


def test_groups_lie_within_each_other_as_their_treaties_say() -> None:
    assert expand("@eu") < expand("@eea")
    assert expand("@eurozone") < expand("@eu")
    assert expand("@eea") - expand("@eu") == {"IS", "LI", "NO"} == expand("@efta") - {"CH"}
    assert expand("@schengen") - expand("@eu") == expand("@efta")
    assert expand("@eu") - expand("@schengen") == {"CY", "IE"}
    assert expand("@eu") - expand("@eurozone") == {"CZ", "DK", "HU", "PL", "RO", "SE"}


def test_territories_with_a_code_of_their_own_are_in_no_group_of_states() -> None:
    apart = ("@eu-territories", "@eu-overseas", "@crown-dependencies", "@us-territories")
    territories = frozenset().union(*map(expand, apart))
    assert len(territories) == sum(SIZES[name] for name in apart)
    for name in ("@eu", "@eea", "@schengen", "@eurozone", "@g7"):
        assert not expand(name) & territories


def test_bulgaria_and_croatia_are_where_they_are_in_2026() -> None:
    for name in ("@eu", "@eea", "@schengen", "@eurozone"):
        assert {"BG", "HR"} <= expand(name)
    assert "GB" not in expand("@eea")


def test_a_group_may_be_written_in_capitals() -> None:
    assert expand("@EU") == expand("@eu")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("@sanctioned", "out of date within days"),
        ("@sanctions", "name the countries, with the date and the source"),
        ("@embargoed", "differ by programme"),
        ("@ofac", "there is none"),
        ("@euro-zone", 'did you mean "@eurozone"?'),
        ("@shengen", 'did you mean "@schengen"?'),
        ("@europe", '"@eu" or "@eea"'),
        ("@uk", 'write "GB"'),
        ("@", "known are @asean, "),
    ],
)
def test_an_unknown_group_says_what_was_meant_or_why_there_is_none(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a group: ") as raised:
        expand(text)
    assert meant in str(raised.value)


def test_every_country_lies_in_one_continent() -> None:
    assert {continent_of(code) for code in NAMES} == set(CONTINENTS)
    with pytest.raises(KeyError):
        continent_of("EU")


@pytest.mark.parametrize(
    ("code", "continent"),
    [
        ("RU", "EU"),
        ("TR", "AS"),
        ("CY", "EU"),
        ("EG", "AF"),
        ("GE", "AS"),
        ("KZ", "AS"),
        ("MX", "NA"),
        ("PA", "NA"),
        ("GF", "SA"),
        ("RE", "AF"),
        ("GL", "NA"),
        ("TL", "OC"),
        ("AQ", "AN"),
        ("GS", "AN"),
        ("HK", "AS"),
        ("TW", "AS"),
        ("XK", "EU"),
    ],
)
def test_countries_at_the_edges_lie_where_geonames_puts_them(code: str, continent: str) -> None:
    assert continent_of(code) == continent
