"""Geofeeds (RFC 8805): ``prefix,country,region,city,postal code``.

Apple's ``egress-ip-ranges.csv`` of iCloud Private Relay, DigitalOcean's ``google.csv`` and Linode's
feed are geofeeds. In the layer ``country`` a row says its country, or the region where that is an
ISO 3166-2 code of this country; one that leaves the country empty says that there is none (RFC
8805 section 2.1.2), as ``ZZ``. In other layers only the prefix counts. Text from ``#`` to the end
of its line is a comment.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from georestrict import subdivisions
from georestrict.errors import FormatError
from georestrict.sources.document import decoded
from georestrict.sources.entry import Entry, shown

FIELDS = ("country", "region")
_NOWHERE = "ZZ"


def entries(data: bytes, name: str, layer: str) -> Iterator[Entry]:
    """Yield a feed's entries.

    Raises:
        FormatError: naming the line.
    """
    for number, line in enumerate(decoded(data, name).split("\n"), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        place = f"{name}:{number}"
        prefix, country, region, *_ = (*_columns(text, place), "", "")
        if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
            raise FormatError(
                f"{place}: {shown(country)} is no country; expected 'prefix,country,region,city' "
                "(RFC 8805) with a country of two letters; a header needs a '#' before it"
            )
        country = country.upper() or _NOWHERE
        value = (subdivisions.code_of(country, region) or country) if layer == "country" else ""
        fields = {"country": (country,), "region": (region,)}
        yield Entry(prefix, place, fields, value, number)


def _columns(text: str, place: str) -> list[str]:
    columns = text.split(",")
    if '"' in text:
        try:
            (columns,) = csv.reader([text], strict=True)
        except (csv.Error, ValueError) as error:
            raise FormatError(f"{place}: not valid CSV: {error}; expected RFC 8805") from error
    return [column.strip() for column in columns]
