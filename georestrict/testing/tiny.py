"""A small database in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

from georestrict._core import parse_network
from georestrict.database import Database
from georestrict.layers import Layers
from georestrict.manifest import Source, encode
from georestrict.sources import Row, gathered
from georestrict.table import Image

_DATE = date(2026, 1, 1)


def tiny_database(
    countries: Mapping[str, str],
    networks: Mapping[str, str] | None = None,
    asns: Mapping[str, int | str] | None = None,
    *,
    date: date = _DATE,
) -> Database:
    """Return a database that holds just these ranges.

    ``countries`` maps networks to codes of countries or subdivisions (``"UA-43"``), ``networks``
    maps networks to what they are, as ``"category:confidence:provider"`` (several with ``|``
    between them), and ``asns`` maps them to AS numbers; without it, the database knows none.
    ``date`` is that of all sources: how old the data is.

    >>> from georestrict.testing import tiny_database
    >>> db = tiny_database({"175.16.199.0/24": "CN"}, {"175.16.199.128/25": "vpn:high:Example"})
    >>> db.lookup("175.16.199.200").categories
    mappingproxy({<Category.VPN: 'vpn'>: <Confidence.HIGH: 'high'>})
    """
    given: dict[str, Mapping[str, int | str]] = {
        "country": {**countries},
        "network": {**(networks or {})},
    }
    if asns is not None:
        given["asn"] = asns
    sources = [
        Source(
            name=layer,
            title="for tests",
            layer=layer,
            format="networks",
            path="-",
            date=date,
            licence="CC0-1.0",
            attribution="-",
        )
        for layer in given
    ]
    layers = Layers.of(
        {
            layer: [(layer, batch) for batch in gathered(_rows(ranges))]
            for layer, ranges in given.items()
        }
    )
    data = encode(layers, sources, datetime(2026, 1, 1, tzinfo=UTC))
    return Database(Image(memoryview(data), "tiny"))


def _rows(ranges: Mapping[str, int | str]) -> Iterator[Row]:
    for line, (text, value) in enumerate(ranges.items(), 1):
        version, first, last = parse_network(text)
        yield Row(version, first, last, str(value), line)
