"""Subdivisions: ISO 3166-2 codes, and the other codes under which sources file the same region."""

from __future__ import annotations

import re

from georestrict import countries

_CODE = re.compile(r"([A-Z]{2})-([A-Z0-9]{1,3})")
_SPELLINGS = {"UA-43": frozenset({"UA-43", "RU-CR"}), "UA-40": frozenset({"UA-40", "RU-SEV"})}


def checked(text: str) -> str:
    """Return a code in upper case.

    Raises:
        ValueError: with the reason and the fix.
    """
    code = text.upper()
    matched = _CODE.fullmatch(code)
    if matched is None:
        raise ValueError("is not a subdivision: write an ISO 3166-2 code, such as UA-43")
    if countries.normalise(matched[1]) is None:
        raise ValueError(
            f"is not a subdivision: {matched[1]} is no country: {countries.suggestion(matched[1])}"
        )
    return code


def spellings(code: str) -> frozenset[str]:
    """Return the codes under which sources file the region of a code."""
    return _SPELLINGS.get(code, frozenset({code}))
