"""AS numbers: what is one."""

from __future__ import annotations

import pytest

from georestrict import asns


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("64500", 64500),
        ("AS64500", 64500),
        ("as7", 7),
        ("0007", 7),
        ("4294967295", 4294967295),
        ("4294967296", None),
        ("0", None),
        ("AS0", None),
        ("AS", None),
        ("", None),
        ("-5", None),
        ("+5", None),
        ("1_000", None),
        (" 5", None),
        ("ASAS5", None),
        ("٥", None),
        ("²", None),
        ("1" * 11, None),
        ("1" * 5000, None),
    ],
)
def test_text_is_an_as_number_or_none(text: str, number: int | None) -> None:
    assert asns.parse(text) == number
