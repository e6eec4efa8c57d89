"""CSV with a header, as IPinfo publishes it: columns are found by their names.

``csvfile.py`` tells which names are known. IPinfo's ``country`` is a name in newer files, which
have ``country_code``, and a code in older ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.errors import FormatError
from georestrict.sources import csvfile
from georestrict.sources.entry import shown
from georestrict.sources.row import Row


def read(data: bytes, name: str, layer: str, confidence: str) -> Iterator[Row]:
    """Yield what a file says for a layer; its flags are trusted with this confidence.

    Raises:
        FormatError: naming the line.
    """
    records = csvfile.records(data, name)
    first = next(records, None)
    if first is None:
        return
    names = csvfile.header(first, name)
    place = f"{name}:{first[0]}"
    if not csvfile.has_addresses(names):
        raise FormatError(
            f"{place}: {shown(','.join(first[1]))}: expected a header with 'network', or with "
            "'start_ip' and 'end_ip'; a file without a header is of the format 'csv-ranges'"
        )
    value = csvfile.value_of(names, place, layer, confidence)
    yield from csvfile.rows(records, names, name, value)
