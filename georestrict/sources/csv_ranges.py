"""CSV without a header: ranges of addresses, as DB-IP and ip-location-db publish them.

What the columns are, their number tells; a third column of digits is an AS number:

=======  ============================================================  =========================
columns  what they are                                                 published as
=======  ============================================================  =========================
3        first, last, country                                          DB-IP country lite;
                                                                       ip-location-db country
4        first, last, continent, country                               DB-IP country
3, 4     first, last, AS number, organisation                          DB-IP ASN lite;
                                                                       ip-location-db asn
8        first, last, continent, country, state, city, latitude,       DB-IP city lite
         longitude
10       first, last, country, state, state, city, postcode,           ip-location-db city
         latitude, longitude, timezone
15       first, last, continent, country, code of the state, state,    DB-IP location
         district, city, postcode, …
=======  ============================================================  =========================

ip-location-db's ``-num`` files have decimal numbers instead of addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from georestrict.errors import FormatError
from georestrict.sources import csvfile
from georestrict.sources.entry import shown
from georestrict.sources.row import Row

_ENDS = ["ip_start", "ip_end"]
_NUMBERED = [*_ENDS, "asn", "as_name"]
_PLACED = {
    3: [*_ENDS, "country_code"],
    4: [*_ENDS, "continent_code", "country_code"],
    8: [*_ENDS, "continent_code", "country_code", "stateprov", "city", "latitude", "longitude"],
    10: [
        *(*_ENDS, "country_code", "state1", "state2"),
        *("city", "postcode", "latitude", "longitude", "timezone"),
    ],
    15: [
        *(*_ENDS, "continent_code", "country_code", "stateprov_code", "stateprov", "district"),
        *("city", "zipcode", "latitude", "longitude", "geoname_id"),
        *("timezone_offset", "timezone_name", "weather_code"),
    ],
}


def read(data: bytes, name: str, layer: str, confidence: str) -> Iterator[Row]:
    """Yield what a file says for a layer.

    Raises:
        FormatError: naming the line.
    """
    records = csvfile.records(data, name)
    begun = _begun(records)
    if not begun:
        return
    line, fields = begun[-1]
    names = _names(fields)
    if names is None or not is_range(fields):
        raise FormatError(
            f"{name}:{line}: {shown(','.join(fields))}: expected two addresses and then a country, "
            "an AS number, or another layout of DB-IP or ip-location-db; a file with a header is "
            "of the format 'csv'"
        )
    value = csvfile.value_of(names, f"{name}:{line}", layer, confidence)
    yield from csvfile.rows(chain(begun, records), names, name, value)


def _begun(records: Iterator[csvfile.Record]) -> list[csvfile.Record]:
    """Return the first records, up to one that tells what the third column is."""
    begun = []
    for record in records:
        begun.append(record)
        if len(record[1]) < 3 or record[1][2]:
            break
    return begun


def is_range(fields: list[str]) -> bool:
    """Tell whether a record begins with two addresses."""
    return len(fields) > 2 and all(map(csvfile.is_address, fields[:2]))


def _names(fields: list[str]) -> list[str] | None:
    """Return the names of the columns of a record, or None if there is no such layout."""
    width = len(fields)
    if width in (3, 4) and fields[2].strip().upper().removeprefix("AS").isdigit():
        return _NUMBERED[:width]
    return _PLACED.get(width)
