"""Subdivisions: what a code is, and under which codes and names sources file a region."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from georestrict import subdivisions
from georestrict.countries import NAMES


@pytest.mark.parametrize(
    ("text", "code"),
    [("UA-43", "UA-43"), ("ua-43", "UA-43"), (" us-ca ", "US-CA"), ("GB-ENG", "GB-ENG"), ("AD-02", "AD-02")],
)  # fmt: skip
def test_a_code_is_returned_in_upper_case(text: str, code: str) -> None:
    assert subdivisions.checked(text) == code


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("UK-ENG", "UK is no country: did you mean GB?"),
        ("EU-1", "EU is no country: write @eu for the member states"),
        ("UA43", "did you mean UA-43?"),
        ("ua_43", "did you mean UA-43?"),
        ("us ca", "did you mean US-CA?"),
        ("UK43", "write an ISO 3166-2 code, the country in front, such as UA-43"),
        ("43", "write an ISO 3166-2 code"),
        ("California", "write an ISO 3166-2 code"),
        ("UA-4300", "write an ISO 3166-2 code"),
        ("UA-", "write an ISO 3166-2 code"),
        ("UA", "write an ISO 3166-2 code"),
        ("", "write an ISO 3166-2 code"),
        ("UA-43\n-", "write an ISO 3166-2 code"),
        ("UÄ-43", "write an ISO 3166-2 code"),
        ("UA-\u0664", "write an ISO 3166-2 code"),
    ],
)
def test_what_is_no_code_is_refused_with_the_fix(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a subdivision: ") as caught:
        subdivisions.checked(text)
    assert says in str(caught.value)


@given(st.text(max_size=8) | st.from_regex(r"\A[A-Za-z]{2}-[A-Za-z0-9]{1,3}\Z"))
def test_data_and_policy_agree_on_what_is_a_code(text: str) -> None:
    try:
        code: str | None = subdivisions.checked(text)
    except ValueError:
        code = None
    assert subdivisions.normalise(text.strip()) == code
    assert code is None or code[:2] in NAMES


@pytest.mark.parametrize(
    ("code", "filed"),
    [
        ("UA-43", {"UA-43", "RU-CR"}),
        ("RU-CR", {"UA-43", "RU-CR"}),
        ("UA-40", {"UA-40", "RU-SEV"}),
        ("RU-SEV", {"UA-40", "RU-SEV"}),
        ("UA-14", {"UA-14"}),
        ("US-CA", {"US-CA"}),
    ],
)
def test_a_region_is_matched_under_every_code_that_sources_file_it_under(
    code: str, filed: set[str]
) -> None:
    assert subdivisions.spellings(code) == filed


CRIMEA = ["Crimea", "Krym", "Republic of Crimea", "Autonomous Republic of Crimea", "Respublika Krym",
          "Avtonomna Respublika Krym", "KRYM", "Республика Крым", "Автономна Республіка Крим"]  # fmt: skip
SEVASTOPOL = ["Sevastopol", "Sevastopol’", "Sevastopol' City", "Sebastopol City", "Gorod Sevastopol",
              "Misto Sevastopol'", "gorod federal'nogo znacheniya Sevastopol'", "Севастополь", "місто Севастополь"]  # fmt: skip


@pytest.mark.parametrize("country", ["UA", "RU", "ru"])
def test_crimea_and_sevastopol_are_found_by_name_under_either_country(country: str) -> None:
    by_country = {"UA": ("UA-43", "UA-40"), "RU": ("RU-CR", "RU-SEV")}
    crimea, sevastopol = by_country[country.upper()]
    assert {subdivisions.code_of(country, name=name) for name in CRIMEA} == {crimea}
    assert {subdivisions.code_of(country, name=name) for name in SEVASTOPOL} == {sevastopol}


@pytest.mark.parametrize(
    ("country", "code", "name", "found"),
    [
        ("UA", "43", "", "UA-43"),
        ("RU", "CR", "", "RU-CR"),
        ("RU", "SEV", "", "RU-SEV"),
        ("RU", "UA-43", "", "RU-CR"),
        ("UA", "RU-SEV", "", "UA-40"),
        ("UA", "11", "Krym", "UA-43"),  # FIPS 10-4, of older files
        ("us", "ca", "California", "US-CA"),
        ("US", "US-CA", "", "US-CA"),
        ("GB", "ENG", "England", "GB-ENG"),
        ("UA", "", "Donets'ka Oblast'", "UA-14"),
        ("UA", "", "Luhansk", "UA-09"),
        ("RU", "ROS", "Donetsk", None),  # the town near Rostov is no region
        ("US", "", "Crimea", None),
        ("US", "UA-43", "", None),
        ("US", "", "California", None),
        ("US", "CALIF", "", None),
        ("EU", "1", "", None),
        ("", "", "", None),
    ],
)
def test_a_region_of_a_source_has_a_code_or_none(
    country: str, code: str, name: str, found: str | None
) -> None:
    assert subdivisions.code_of(country, code, name) == found


@given(st.sampled_from(["UA", "RU", "US", "", "EU"]), st.text(max_size=8), st.text(max_size=30))
def test_a_code_that_is_found_is_of_the_country_and_well_formed(
    country: str, code: str, name: str
) -> None:
    found = subdivisions.code_of(country, code, name)
    assert found is None or (
        found.startswith(f"{country}-") and subdivisions.checked(found) == found
    )
