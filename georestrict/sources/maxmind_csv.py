"""MaxMind's CSV editions: blocks for IPv4 and IPv6, and the locations that they refer to.

GeoLite2 and GeoIP2 Country, City and Enterprise have ``…-Blocks-IPv4.csv``, ``…-Blocks-IPv6.csv``
and ``…-Locations-xx.csv``, joined by ``geoname_id``. ``registered_country_geoname_id`` tells where
a network is registered and ``represented_country_geoname_id`` whose embassy or base it serves, not
where it is; neither is ever read. The editions ASN, ISP and Anonymous IP say all in their blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from georestrict.errors import FormatError
from georestrict.sources import csvfile
from georestrict.sources.container import Content, beginnings, part
from georestrict.sources.entry import shown
from georestrict.sources.row import Row

_ID = "geoname_id"
_MARKS = frozenset(
    {
        *(_ID, "autonomous_system_number", "isp"),
        *("is_anonymous_vpn", "is_hosting_provider", "is_public_proxy"),
        *("is_residential_proxy", "is_tor_exit_node"),
    }
)
# MaxMind's blocks refer to a country. What names one beside its own ``geoname_id`` is IPinfo's.
_OTHERS = frozenset({"country", "country_code"})


def is_header(names: list[str]) -> bool:
    """Tell whether columns of these names are MaxMind's."""
    return _is_locations(names) or (
        csvfile.has_addresses(names) and not _MARKS.isdisjoint(names) and _OTHERS.isdisjoint(names)
    )


def read(content: Content, name: str, layer: str, confidence: str) -> Iterator[Row]:
    """Yield what an edition says for a layer; its flags are trusted with this confidence.

    Raises:
        FormatError: naming the file and the line.
    """
    heads = {name: content} if isinstance(content, bytes) else dict(beginnings(content, name))

    def whole(place: str) -> bytes:
        return content if isinstance(content, bytes) else part(content, name, place)

    blocks: list[str] = []
    locations: list[str] = []
    for place, head in heads.items():
        first = next(csvfile.records(head, place), None)
        names = csvfile.header(first, place) if first else []
        if not is_header(names):
            found = shown(",".join(names)) if names else "nothing"
            raise FormatError(
                f"{place}:1: {found}: expected the header of one of MaxMind's CSV files, with "
                "'network' or 'geoname_id'"
            )
        (locations if _is_locations(names) else blocks).append(place)
    if not blocks:
        raise FormatError(
            f"{name}: locations without blocks; put the files '…-Blocks-IPv4.csv' and "
            "'…-Blocks-IPv6.csv' beside them, or name the archive as it was fetched"
        )
    read = _one_of_each(locations) if layer == "country" else []
    places: dict[str, str] = {}
    for place in read:
        places |= _located(whole(place), place)
    silent: list[csvfile.SilentError] = []
    for place in blocks:
        try:
            yield from _rows(whole(place), place, layer, confidence, places, read)
        except csvfile.SilentError as error:
            silent.append(error)
    if len(silent) == len(blocks):
        raise silent[0]


def _rows(
    data: bytes,
    place: str,
    layer: str,
    confidence: str,
    places: Mapping[str, str],
    locations: list[str],
) -> Iterator[Row]:
    records = csvfile.records(data, place)
    first = next(records)
    names = csvfile.header(first, place)
    if layer != "country":
        value = csvfile.value_of(names, f"{place}:{first[0]}", layer, confidence)
    elif _ID not in names:
        raise csvfile.SilentError(
            f"{place}:{first[0]}: says nothing for the layer 'country': it has no {_ID!r}, only "
            f"{csvfile.some(names)}"
        )
    elif not locations:
        raise FormatError(
            f"{place}: the blocks refer to locations, which are missing; put the file "
            "'…-Locations-en.csv' beside them, or name the archive as it was fetched"
        )
    else:

        def told(said: tuple[str, ...]) -> str:
            if not said[0]:
                return ""
            try:
                return places[said[0]]
            except KeyError:
                raise ValueError(
                    f"the {_ID} {shown(said[0])} is not in {', '.join(locations)}: the files are "
                    "of two releases"
                ) from None

        value = csvfile.Value((names.index(_ID),), told)
    yield from csvfile.rows(records, names, place, value)


def _one_of_each(locations: list[str]) -> list[str]:
    """Return one file of locations of each edition, the English one if it is there.

    All have the same codes, and names in other languages.
    """
    chosen: dict[str, str] = {}
    for place in sorted(locations, key=lambda place: ("-en." not in place, place)):
        chosen.setdefault(place.rpartition("-Locations-")[0] or place, place)
    return [*chosen.values()]


def _located(data: bytes, place: str) -> dict[str, str]:
    records = csvfile.records(data, place)
    first = next(records)
    names = csvfile.header(first, place)
    value = csvfile.value_of(names, f"{place}:{first[0]}", "country", "")
    at, width, found = names.index(_ID), len(names), {}
    for line, fields in records:
        try:
            if len(fields) != width:
                raise ValueError(f"{len(fields)} columns, expected {width}")
            found[fields[at]] = value.told(tuple([fields[each] for each in value.fields]))
        except ValueError as error:
            raise FormatError(
                f"{place}:{line}: {shown(','.join(fields))}: {error}; fetch the file again"
            ) from error
    return found


def _is_locations(names: list[str]) -> bool:
    return _ID in names and "country_iso_code" in names and not csvfile.has_addresses(names)
