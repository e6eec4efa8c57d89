"""The default data: what it answers, and that it answers what its sources say."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tomllib
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

import pytest

from georestrict import Category, Confidence, Database, Status
from georestrict.countries import NAMES
from georestrict.sources.packed import PackedRanges
from georestrict.special import SPECIAL_PURPOSE

ROOT = Path(__file__).parents[1]
KINDS: dict[int, type[IPv4Address] | type[IPv6Address]] = {4: IPv4Address, 6: IPv6Address}
Rows = tuple[list[int], list[int], list[str]]


@pytest.mark.parametrize(
    ("address", "country", "status", "via"),
    [
        ("81.2.69.142", "GB", Status.KNOWN, None),
        ("175.16.199.1", "CN", Status.KNOWN, None),
        ("89.160.20.112", "SE", Status.KNOWN, None),
        ("2001:218::1", "JP", Status.KNOWN, None),
        ("::ffff:175.16.199.1", "CN", Status.KNOWN, None),
        ("2002:af10:c701::1", "CN", Status.KNOWN, "6to4"),
        ("2001:0:5102:458e:0:0:50ef:38fe", "CN", Status.KNOWN, "teredo"),
        ("64:ff9b::af10:c701", "CN", Status.KNOWN, "nat64"),
        ("64:ff9b::a00:1", None, Status.PRIVATE, None),
        ("2002:a00:1::1", None, Status.PRIVATE, None),
        ("::175.16.199.1", None, Status.UNKNOWN, None),
        ("10.0.0.1", None, Status.PRIVATE, None),
        ("ff02::1", None, Status.PRIVATE, None),
        ("2001:db8::1", None, Status.PRIVATE, None),
        ("junk", None, Status.UNRESOLVED, None),
        ("", None, Status.UNRESOLVED, None),
    ],
)
def test_a_lookup_tells_country_status_and_what_was_looked_through(
    database: Database, address: str, country: str | None, status: Status, via: str | None
) -> None:
    location = database.lookup(address)
    assert (location.country, location.status, location.via) == (country, status, via)
    assert database.country(address) == country


def test_address_objects_are_looked_up_like_text(database: Database) -> None:
    for text in ("81.2.69.142", "2001:218::1", "2002:af10:c701::1"):
        kind = IPv6Address if ":" in text else IPv4Address
        assert database.lookup(kind(text)) == database.lookup(text)
    assert database.lookup(IPv6Address("::ffff:81.2.69.142")).country == "GB"


def test_something_that_is_neither_text_nor_address_is_a_type_error(database: Database) -> None:
    with pytest.raises(TypeError):
        database.lookup(17)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        database.country(b"1.2.3.4")  # type: ignore[arg-type]


def test_countries_are_interned_text(database: Database) -> None:
    assert database.country("81.2.69.142") is database.country("81.2.69.143")


def test_i3_a_cloud_address_is_hosting_with_its_provider(database: Database) -> None:
    location = database.lookup("52.95.110.1")
    assert location.categories == {Category.HOSTING: Confidence.HIGH}
    assert location.provider == "Amazon AWS"


def test_i2_a_privacy_relay_is_relay_and_neither_vpn_nor_hosting(database: Database) -> None:
    assert database.lookup("104.28.28.0").categories == {Category.RELAY: Confidence.HIGH}


@pytest.mark.parametrize(
    "left_out",
    ["Cogent", "DataCamp", "Contabo", "Vercel", "CDN77", "GleSYS", "Scalaxy", "GTHost", "Melbicom", "BuyVM",
     "BunnyCDN", "Akamai"],
)  # fmt: skip
def test_iporigin_lists_without_written_permission_are_left_out(left_out: str) -> None:
    data = (ROOT / "data/network-iporigin.ranges").read_bytes()
    providers = {value.split(":")[2] for value in PackedRanges(data, "iporigin").values}
    assert left_out not in providers
    assert {"Amazon AWS", "Google Cloud", "Tor", "Mullvad"} <= providers


def test_matches_tell_range_source_and_line(database: Database) -> None:
    country, network = database.matches("52.95.110.1")
    assert (country.layer, country.value, country.source) == ("country", "US", "ipfire")
    assert int(country.first) <= int(IPv4Address("52.95.110.1")) <= int(country.last)
    assert country.line > 20
    assert (network.layer, network.value, network.source) == (
        "network",
        "hosting:high:Amazon AWS",
        "iporigin",
    )
    assert [match.value for match in database.matches("2002:af10:c701::1")] == ["CN"]
    assert database.matches("junk") == ()


def test_the_metadata_names_sources_dates_and_licences(database: Database) -> None:
    stated = tomllib.loads((ROOT / "data/sources.toml").read_text())["source"]
    assert [
        (source.name, source.date, source.licence, source.title)
        for source in database.metadata.sources
    ] == [(source["name"], source["date"], source["licence"], source["title"]) for source in stated]
    assert sum(database.metadata.sources[0].rows) > 600_000


def test_the_image_holds_what_its_recorded_sources_give(database: Database) -> None:
    database.verify()


def test_all_assigned_codes_are_countries_and_no_pseudo_code_is() -> None:
    assert len(NAMES) == 250
    assert not {"UK", "EU", "AP", "AN", "CS", "SU", "ZZ", "A1", "T1", "OS", "AB", "UN"} & set(NAMES)


# The oracle: reads the data by the published description of its form, apart from the package.


def unpacked(path: Path) -> Iterator[tuple[int, int, int, str]]:
    """Rows of a file in packed form: see ``georestrict/sources/packed.py`` for the form."""
    data = path.read_bytes()
    magic, header, chunks = data.split(b"\n", 2)
    assert magic == b"georestrict-ranges 1"
    about = json.loads(header)
    for version, first_hex, length in about["chunks"]:
        plain = zlib.decompress(chunks[:length])
        chunks = chunks[length:]
        numbers = varints(plain)
        count = next(numbers)
        sizes = [next(numbers) for _ in range(5)]
        start = len(plain) - sum(sizes)
        columns = []
        for size in sizes:
            columns.append(varints(plain[start : start + size]))
            start += size
        gaps, zeros, odds, values, _ = columns
        first = int(first_hex, 16)
        for _ in range(count):
            step = next(gaps)
            first += (2 * next(gaps) + 1) * 2 ** (step - 1) if step else 0
            size = (2 * next(odds) + 1) * 2 ** next(zeros)
            yield version, first, first + size - 1, about["values"][next(values)]
            first += size


def varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number = shift = 0
        while data[at] & 128:
            number += (data[at] & 127) << shift
            shift += 7
            at += 1
        yield number + (data[at] << shift)
        at += 1


def sorted_rows(rows: Iterator[tuple[int, int, int, str]]) -> dict[int, Rows]:
    found: dict[int, Rows] = {4: ([], [], []), 6: ([], [], [])}
    for version, first, last, value in rows:
        firsts, lasts, values = found[version]
        firsts.append(first)
        lasts.append(last)
        values.append(value)
    return found


SPECIAL = [(ip_network(network), reachable) for network, reachable in SPECIAL_PURPOSE]
CARRIERS = [("2002::/16", 80, 0), ("2001::/32", 0, 0xFFFF_FFFF), ("64:ff9b::/96", 0, 0)]


def is_private(address: IPv4Address | IPv6Address) -> bool:
    holding = [
        (network.prefixlen, not reachable) for network, reachable in SPECIAL if address in network
    ]
    return max(holding, default=(0, False))[1]


Sources = list[dict[int, Rows]]  # the first that has a row for an address is asked


def expected(sources: Sources, address: IPv4Address | IPv6Address) -> str | None:
    """Design §4's definition of ``country``, by bisection over the sources' rows."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return expected(sources, address.ipv4_mapped)
        for network, shift, inverted in CARRIERS:
            if address in IPv6Network(network):
                return expected(
                    sources, IPv4Address((int(address) >> shift & 0xFFFF_FFFF) ^ inverted)
                )
    if is_private(address):
        return None
    for rows in sources:
        firsts, lasts, values = rows[address.version]
        at = bisect_right(firsts, int(address)) - 1
        if at >= 0 and int(address) <= lasts[at]:
            return values[at] if values[at] in NAMES else None
    return None


def compare(database: Database, sources: Sources, version: int, values: Iterator[int]) -> int:
    compared = 0
    for value in values:
        address = KINDS[version](value)
        answer = database.country(str(address))
        if answer != expected(sources, address):
            pytest.fail(f"{address}: {answer}, the sources say {expected(sources, address)}")
        compared += 1
    return compared


def boundaries(rows: Rows, version: int, every: int) -> Iterator[int]:
    top = (1 << (32 if version == 4 else 128)) - 1
    for first, last in list(zip(rows[0], rows[1], strict=True))[::every]:
        yield from (value for value in (first - 1, first, last, last + 1) if 0 <= value <= top)


def randoms(version: int, count: int, seed: int) -> Iterator[int]:
    """Half anywhere, half (for IPv6) where addresses are in use."""
    spread = random.Random(seed)
    for number in range(count):
        if version == 4:
            yield spread.getrandbits(32)
        else:
            yield spread.getrandbits(128) if number % 2 else (1 << 125) | spread.getrandbits(125)


@pytest.fixture(scope="module")
def rows() -> dict[int, Rows]:
    return sorted_rows(unpacked(ROOT / "data/country-ipfire.ranges"))


@pytest.fixture(scope="module")
def second() -> dict[int, Rows]:
    """What wins over it."""
    return sorted_rows(unpacked(ROOT / "data/country-second.ranges"))


@pytest.mark.parametrize("version", [4, 6])
def test_g15_a_sample_of_boundaries_and_random_addresses_is_as_the_sources_say(
    database: Database, rows: dict[int, Rows], second: dict[int, Rows], version: int
) -> None:
    sources = [second, rows]
    assert compare(database, sources, version, boundaries(rows[version], version, 97)) > 10_000
    assert compare(database, sources, version, boundaries(second[version], version, 7)) > 1_000
    assert compare(database, sources, version, randoms(version, 20_000, 5)) == 20_000


@pytest.mark.slow
@pytest.mark.needs("apt-get", "dpkg-deb")
@pytest.mark.parametrize("version", [4, 6])
def test_g15_p8_all_boundaries_and_a_million_random_addresses_are_as_upstream_says(
    database: Database,
    rows: dict[int, Rows],
    second: dict[int, Rows],
    version: int,
    upstream: dict[int, Rows],
) -> None:
    assert rows[version] == upstream[version]
    sources = [second, upstream]
    for each, least in ((upstream, 1_000_000), (second, 5_000)):
        assert compare(database, sources, version, boundaries(each[version], version, 1)) > least
    assert compare(database, sources, version, randoms(version, 1_000_000, 6)) == 1_000_000


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Rows]:
    """The text files of the Debian package, read line by line."""
    folder = tmp_path_factory.mktemp("upstream")
    subprocess.run(
        ["apt-get", "download", "tor-geoipdb"], cwd=folder, check=True, capture_output=True
    )
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package.name, "."], cwd=folder, check=True)

    def lines() -> Iterator[tuple[int, int, int, str]]:
        for version, name in ((4, "geoip"), (6, "geoip6")):
            for line in (folder / "usr/share/tor" / name).read_text().splitlines():
                if not line.startswith("#"):
                    first, last, code = line.split(",")
                    if version == 4:
                        yield version, int(first), int(last), code
                    else:
                        yield version, int(IPv6Address(first)), int(IPv6Address(last)), code

    return sorted_rows(lines())


def test_the_default_data_opens_without_network_account_or_writable_folder(tmp_path: Path) -> None:
    code = "from georestrict import Database; print(Database.open().country('81.2.69.142'))"
    tmp_path.chmod(0o500)
    environment = {"HOME": str(tmp_path / "none"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "GB\n"


def test_networks_of_the_special_purpose_table_are_written_without_host_bits() -> None:
    assert all(isinstance(network, IPv4Network | IPv6Network) for network, _ in SPECIAL)
