"""Files for tests, as their publishers shape them, written from plain rows; and what they say."""

from __future__ import annotations

import csv
import io
import zipfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network, summarize_address_range
from typing import NamedTuple

from georestrict.layers import Layer
from georestrict.sources import Batch

Content = bytes | Mapping[str, bytes]


class Said(NamedTuple):
    """Addresses from first to last, as numbers of one IP version, and what is said of them."""

    version: int
    first: int
    last: int
    value: str

    @property
    def ends(self) -> tuple[str, str]:
        """Both addresses as text."""
        kind = IPv4Address if self.version == 4 else IPv6Address
        return str(kind(self.first)), str(kind(self.last))

    @property
    def network(self) -> str:
        """The network, which it must be."""
        kind = IPv4Address if self.version == 4 else IPv6Address
        (network,) = summarize_address_range(kind(self.first), kind(self.last))
        return str(network)


class Answers:
    """What the batches of a source say of an address, once it is painted."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        layer = Layer(("it", batch) for batch in batches)
        self._values = layer.values
        self._runs = {version: [*runs.starts()] for version, runs in layer.runs.items()}
        self._numbers = {version: runs.value for version, runs in layer.runs.items()}

    def at(self, version: int, address: int) -> str:
        """What is said of an address, or nothing."""
        left_aligned = address << (96 if version == 4 else 0)
        run = bisect_right(self._runs[version], left_aligned) - 1
        return self._values[self._numbers[version][run]]


def said(network: str, value: str) -> Said:
    """What is said of a network."""
    parsed = ip_network(network)
    ends = int(parsed.network_address), int(parsed.broadcast_address)
    return Said(parsed.version, *ends, value)


def table(header: str, rows: Iterable[Sequence[object]], newline: str = "\n") -> bytes:
    """A table with a header, or without one if it is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator=newline)
    if header:
        writer.writerow(header.split(","))
    writer.writerows(rows)
    return file.getvalue().encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def by_version(write: Callable[[Sequence[Said]], bytes], rows: Sequence[Said]) -> dict[str, bytes]:
    """A file for each IP version."""
    return {
        f"it-ipv{version}.csv": write([row for row in rows if row.version == version])
        for version in (4, 6)
    }


def dbip_country(rows: Sequence[Said]) -> Content:
    """DB-IP country lite."""
    return table("", ((*row.ends, row.value) for row in rows))


def dbip_country_continent(rows: Sequence[Said]) -> Content:
    """DB-IP country."""
    return table("", ((*row.ends, "EU", row.value) for row in rows))


def dbip_city(rows: Sequence[Said]) -> Content:
    """DB-IP city lite."""
    return table(
        "", ((*row.ends, "EU", row.value, "A, state", "A city", "1.5", "-2") for row in rows)
    )


def dbip_location(rows: Sequence[Said]) -> Content:
    """DB-IP location."""
    more = ["", "A state", "", "A city", "", "1.5", "-2", "7", "1", "Etc/UTC", ""]
    return table("", ((*row.ends, "EU", row.value, *more) for row in rows))


def iplocation_country(rows: Sequence[Said]) -> Content:
    """ip-location-db, a file for each IP version."""
    return by_version(lambda some: table("", ((*row.ends, row.value) for row in some)), rows)


def iplocation_numbers(rows: Sequence[Said]) -> Content:
    """ip-location-db's files of numbers."""
    return by_version(lambda some: table("", (row[1:] for row in some)), rows)


def iplocation_city(rows: Sequence[Said]) -> Content:
    """ip-location-db city."""
    more = ["A state", "", "A city", "", "1.5", "-2", "Etc/UTC"]
    return table("", ((*row.ends, row.value, *more) for row in rows))


def ipinfo_country(rows: Sequence[Said]) -> Content:
    """IPinfo's older files."""
    return table(
        "start_ip,end_ip,country,country_name,continent,continent_name",
        ((*row.ends, row.value, "A country", "EU", "Europe") for row in rows),
        "\r\n",
    )


def ipinfo_location(rows: Sequence[Said]) -> Content:
    """IPinfo's older files of cities."""
    return table(
        "start_ip,end_ip,join_key,city,region,country,latitude,longitude,postal_code,timezone",
        ((*row.ends, "", "A city", "A state", row.value, "1.5", "-2", "", "") for row in rows),
    )


def ipinfo_lite(rows: Sequence[Said]) -> Content:
    """IPinfo lite."""
    return table(
        "network,country,country_code,continent,continent_code,asn,as_name,as_domain",
        (
            (row.network, "A country", row.value, "Europe", "EU", "AS64500", "Example", "x.test")
            for row in rows
        ),
    )


def maxmind_country(rows: Sequence[Said]) -> Content:
    """GeoLite2 Country, as the archive that MaxMind has; registered elsewhere every time."""
    codes = [*dict.fromkeys(row.value for row in rows)]
    registered = 6252001
    places = [(registered, "en", "NA", "North America", "US", "United States", 0)]
    places += [
        (7 + at, "en", "EU", "Europe", code, "A country", 0) for at, code in enumerate(codes)
    ]
    folder = "GeoLite2-Country-CSV_20260102"
    header = (
        "geoname_id,locale_code,continent_code,continent_name,country_iso_code,country_name,"
        "is_in_european_union"
    )
    blocks = by_version(
        lambda some: table(
            "network,geoname_id,registered_country_geoname_id,represented_country_geoname_id,"
            "is_anonymous_proxy,is_satellite_provider,is_anycast",
            (
                (row.network, 7 + codes.index(row.value), registered, registered, 0, 0, "")
                for row in some
            ),
        ),
        rows,
    )
    return zipped(
        {
            f"{folder}/COPYRIGHT.txt": b"Nobody's",
            f"{folder}/GeoLite2-Country-Blocks-IPv4.csv": blocks["it-ipv4.csv"],
            f"{folder}/GeoLite2-Country-Blocks-IPv6.csv": blocks["it-ipv6.csv"],
            f"{folder}/GeoLite2-Country-Locations-de.csv": table(header, [[1, "de"]]),
            f"{folder}/GeoLite2-Country-Locations-en.csv": table(header, places),
        }
    )


def tor(rows: Sequence[Said]) -> Content:
    """Tor's two files."""
    comment = "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n"
    numbers = "".join(f"{r.first},{r.last},{r.value}\n" for r in rows if r.version == 4)
    texts = "".join(f"{','.join(r.ends)},{r.value}\n" for r in rows if r.version == 6)
    return {"geoip": (comment + numbers).encode(), "geoip6": (comment + texts).encode()}


def dbip_asn(rows: Sequence[Said]) -> Content:
    """DB-IP ASN lite, and ip-location-db asn."""
    return table("", ((*row.ends, row.value, "Example, Inc.") for row in rows))


def bare_asn(rows: Sequence[Said]) -> Content:
    """Ranges with an AS number and nothing else."""
    return table("", ((*row.ends, row.value) for row in rows))


def ipinfo_asn(rows: Sequence[Said]) -> Content:
    """IPinfo's table of AS numbers; the country is where the AS is registered."""
    return table(
        "start_ip,end_ip,join_key,asn,domain,name,type,country",
        ((*row.ends, "", f"AS{row.value}", "x.test", "Example", "isp", "US") for row in rows),
    )


def maxmind_asn(rows: Sequence[Said]) -> Content:
    """GeoLite2 ASN."""
    header = "network,autonomous_system_number,autonomous_system_organization"
    return by_version(
        lambda some: table(header, ((row.network, row.value, "Example, Inc.") for row in some)),
        rows,
    )


# What flags say of a network, as the columns vpn, proxy, tor, relay, hosting, and the service.
FLAGS = {
    "vpn:medium:Example VPN": ("1", "0", "0", "0", "0", "Example VPN"),
    "tor:medium": ("0", "0", "1", "0", "0", ""),
    "vpn:medium|hosting:medium": ("1", "0", "0", "0", "1", ""),
    "relay:medium:Relay": ("0", "0", "0", "1", "0", "Relay"),
    "hosting:medium": ("0", "0", "0", "0", "1", "Named, but not a hoster"),
}


def ipinfo_privacy(rows: Sequence[Said]) -> Content:
    """IPinfo privacy: true, false, or nothing."""

    def line(row: Said) -> list[str]:
        vpn, proxy, tor, relay, hosting, service = FLAGS[row.value]
        flags = [{"1": "true", "0": ""}[flag] for flag in (hosting, proxy, tor, vpn, relay)]
        return [*row.ends, "", *flags, service]

    header = "start_ip,end_ip,join_key,hosting,proxy,tor,vpn,relay,service"
    return table(header, map(line, rows))


def maxmind_anonymous(rows: Sequence[Said]) -> Content:
    """GeoIP2 Anonymous IP, which names nobody."""

    def line(row: Said) -> list[object]:
        vpn, proxy, tor, _, hosting, _ = FLAGS[row.value]
        return [row.network, 1, vpn, hosting, proxy, 0, tor]

    header = (
        "network,is_anonymous,is_anonymous_vpn,is_hosting_provider,is_public_proxy,"
        "is_residential_proxy,is_tor_exit_node"
    )
    return by_version(lambda some: table(header, map(line, some)), rows)


def geofeed(rows: Sequence[Said]) -> Content:
    """RFC 8805."""
    return table("", ((row.network, row.value, "", "A city", "") for row in rows))


#: Writers of what is said of a country: format, writer, and whether rows must be networks.
COUNTRY: list[tuple[str, Callable[[Sequence[Said]], Content], bool]] = [
    ("csv-ranges", dbip_country, False),
    ("csv-ranges", dbip_country_continent, False),
    ("csv-ranges", dbip_city, False),
    ("csv-ranges", dbip_location, False),
    ("csv-ranges", iplocation_country, False),
    ("csv-ranges", iplocation_numbers, False),
    ("csv-ranges", iplocation_city, False),
    ("csv", ipinfo_country, False),
    ("csv", ipinfo_location, False),
    ("csv", ipinfo_lite, True),
    ("maxmind-csv", maxmind_country, True),
    ("tor-geoip", tor, False),
    ("geofeed", geofeed, True),
]
ASN: list[tuple[str, Callable[[Sequence[Said]], Content], bool]] = [
    ("csv-ranges", dbip_asn, False),
    ("csv-ranges", bare_asn, False),
    ("csv", ipinfo_asn, False),
    ("maxmind-csv", maxmind_asn, True),
]
FLAGGED: list[tuple[str, Callable[[Sequence[Said]], Content], bool]] = [
    ("csv", ipinfo_privacy, False),
    ("maxmind-csv", maxmind_anonymous, True),
]
