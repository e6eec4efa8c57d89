"""Subdivisions: ISO 3166-2 codes, and how sources call the same region.

A code is checked for its form and its country; which codes there are, the data tells. Some regions
are filed under two countries (98 % of Crimea's addresses under Russia in DB-IP and IPFire, most of
them under Ukraine in GeoLite2), and some sources have names instead of codes.
"""

from __future__ import annotations

import re
import unicodedata

from georestrict import countries

_CODE = re.compile(r"([A-Z]{2})-([A-Z0-9]{1,3})")
# a code as people write it, too: UA43, ua_43, UA 43
_NEARLY = re.compile(r"([A-Z]{2})(?:[^A-Z0-9]+([A-Z0-9]{1,3})|([0-9]{1,3}))")

_SOFT_SIGNS = re.compile("['`\u02b9\u02bc\u2019]")  # as transliterations write them

# One region each: the code under which sources file it, by the country that they put it in.
# ISO 3166-2 knows the Ukrainian ones; the Russian ones are MaxMind's and Russia's own.
_FILED = (
    {"UA": "UA-43", "RU": "RU-CR"},  # Crimea
    {"UA": "UA-40", "RU": "RU-SEV"},  # Sevastopol
)
_SPELLINGS = {code: frozenset(filed.values()) for filed in _FILED for code in filed.values()}

# Names of regions, folded; by the ISO 3166-2 code. Names of cities do not belong here: there is a
# village Sevastopol' near Kaluga, and a town Donetsk near Rostov.
_NAMES = {
    "UA-43": """
        crimea|republic of crimea|crimea republic|autonomous republic of crimea
        krym|respublika krym|krym respublika|avtonomna respublika krym|ar krym|krim
        крым|республика крым|крим|автономна республіка крим
    """,
    "UA-40": """
        sevastopol|sevastopol city|city of sevastopol|federal city of sevastopol|sebastopol
        sebastopol city|gorod sevastopol|misto sevastopol|gorod federalnogo znacheniya sevastopol
        севастополь|город севастополь|город федерального значения севастополь|місто севастополь
    """,
    "UA-14": """
        donetsk|donetsk oblast|donetska|donetska oblast|donetskaya oblast
        донецька область|донецкая область
    """,
    "UA-09": """
        luhansk|luhansk oblast|luhanska|luhanska oblast|lugansk|lugansk oblast|luganskaya oblast
        луганська область|луганская область
    """,
}


def checked(text: str) -> str:
    """Return a code in upper case.

    Raises:
        ValueError: with the reason and the fix.
    """
    code = text.strip().upper()
    matched = _CODE.fullmatch(code)
    if matched is None:
        nearly = _NEARLY.fullmatch(code)
        if nearly and countries.normalise(nearly[1]):
            raise ValueError(
                f"is not a subdivision: did you mean {nearly[1]}-{nearly[2] or nearly[3]}?"
            )
        raise ValueError(
            "is not a subdivision: write an ISO 3166-2 code, the country in front, such as UA-43"
        )
    if countries.normalise(matched[1]) is None:
        raise ValueError(
            f"is not a subdivision: {matched[1]} is no country: {countries.suggestion(matched[1])}"
        )
    return code


def normalise(text: str) -> str | None:
    """Return a code in upper case, or None if it has another form or no assigned country."""
    matched = _CODE.fullmatch(text.upper())
    return matched[0] if matched and countries.normalise(matched[1]) else None


def spellings(code: str) -> frozenset[str]:
    """Return the codes under which sources file the region of a code: what a rule must match."""
    return _SPELLINGS.get(code, frozenset({code}))


def code_of(country: str, code: str = "", name: str = "") -> str | None:
    """Return the full code of a region that a source puts in a country, or None.

    ``code`` may come with its country (``UA-43``) or without (``43``, ``CR``); ``name`` is that of
    the region, never of a city. Of the two the name is believed first: older files have codes of
    other systems.

    >>> code_of("RU", name="Republic of Crimea"), code_of("UA", "43"), code_of("US", "CA")
    ('RU-CR', 'UA-43', 'US-CA')
    """
    country = country.upper()
    named = _BY_NAME.get(_folded(name)) if name else None
    if named is None:
        named = normalise(code) or normalise(f"{country}-{code}")
    if named is None:
        return None
    return next((each for each in spellings(named) if each.startswith(f"{country}-")), None)


def _folded(name: str) -> str:
    """Return a name in small letters, without accents, soft signs and punctuation."""
    plain = unicodedata.normalize("NFKD", _SOFT_SIGNS.sub("", name.casefold()))
    letters = "".join(each for each in plain if not unicodedata.combining(each))
    return " ".join(re.sub(r"[\W_]+", " ", letters).split())


_BY_NAME = {
    _folded(name): code
    for code, names in _NAMES.items()
    for line in names.split("\n")
    for name in line.split("|")
    if name.strip()
}
