"""MMDB files of several publishers, opened as a database, and compiled by a manifest."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from georestrict import (
    Action,
    Category,
    Confidence,
    ConfigurationError,
    Database,
    DatabaseError,
    Engine,
    FormatError,
    Status,
)
from georestrict.manifest import Manifest
from georestrict.sources import mmdb as reader
from georestrict.table import Image
from tests import gold, mmdb

CITY = [
    ("91.210.0.0/24", mmdb.maxmind("UA", "43")),
    ("91.210.1.0/24", mmdb.maxmind("RU", "CR")),
    ("91.210.2.0/24", mmdb.maxmind("RU", "SEV")),
    ("91.210.3.0/24", mmdb.maxmind("RU", "MOW")),
    ("8.8.8.0/24", mmdb.maxmind("US", "CA")),
    ("8.8.4.0/24", mmdb.maxmind("US", "NY")),
    ("8.8.5.0/24", mmdb.maxmind("US")),
    ("2600::/32", mmdb.maxmind("US", "TX")),
    ("5.5.5.0/24", mmdb.maxmind(None, registered="DE")),
    ("5.5.6.0/24", mmdb.maxmind("EU")),
]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mmdb.write(tmp_path_factory.mktemp("mmdb") / "city.mmdb", CITY)


@pytest.mark.parametrize(
    ("address", "country", "subdivision", "status"),
    [
        ("91.210.0.1", "UA", "UA-43", Status.KNOWN),
        ("91.210.1.1", "RU", "RU-CR", Status.KNOWN),
        ("91.210.2.255", "RU", "RU-SEV", Status.KNOWN),
        ("91.210.3.1", "RU", "RU-MOW", Status.KNOWN),
        ("8.8.8.8", "US", "US-CA", Status.KNOWN),
        ("8.8.4.4", "US", "US-NY", Status.KNOWN),
        ("8.8.5.1", "US", None, Status.KNOWN),
        ("2600::1", "US", "US-TX", Status.KNOWN),
        ("::ffff:8.8.8.8", "US", "US-CA", Status.KNOWN),
        ("2002:808:808::1", "US", "US-CA", Status.KNOWN),
        ("::8.8.8.8", None, None, Status.UNKNOWN),
        ("5.5.5.1", None, None, Status.UNKNOWN),
        ("5.5.6.1", None, None, Status.UNKNOWN),
        ("9.9.9.9", None, None, Status.UNKNOWN),
        ("10.0.0.1", None, None, Status.PRIVATE),
    ],
)
def test_a_file_with_subdivisions_tells_them(
    city: Path, address: str, country: str | None, subdivision: str | None, status: Status
) -> None:
    database = Database.open(city)
    location = database.lookup(address)
    assert (location.country, location.subdivision, location.status) == (
        country,
        subdivision,
        status,
    )
    assert database.country(address) == country


def test_a_compiled_file_says_what_it_is_and_where_an_answer_came_from(city: Path) -> None:
    database = Database.open(city)
    assert database.subdivisions == {
        "UA-43",
        "RU-CR",
        "RU-SEV",
        "RU-MOW",
        "US-CA",
        "US-NY",
        "US-TX",
    }
    assert not database.has_asns
    (source,) = database.metadata.sources
    assert (source.name, source.title, source.layer) == (
        "Test-City",
        "Test-City for tests",
        "country",
    )
    assert source.date == database.metadata.built.date()
    assert source.rows == (8, 1)
    (match,) = database.matches("91.210.1.7")
    assert (match.value, str(match.first), str(match.last)) == (
        "RU-CR",
        "91.210.1.0",
        "91.210.1.255",
    )
    database.verify()


def test_workers_that_compile_the_same_file_get_the_same_image(city: Path) -> None:
    assert Database.open(city).digest() == Database.open(city).digest()


@pytest.mark.parametrize(
    ("record", "country", "subdivision", "asn"),
    [
        (mmdb.dbip("RU", "Republic of Crimea"), "RU", "RU-CR", None),
        (mmdb.dbip("RU", "Sebastopol City"), "RU", "RU-SEV", None),
        (mmdb.dbip("UA", "Krym"), "UA", "UA-43", None),
        (mmdb.dbip("RU", "Kaluga"), "RU", None, None),
        ({"country_code": "RU", "state1": "Krym", "city": "x"}, "RU", "RU-CR", None),
        ({"country_code": "US", "state1": "California"}, "US", None, None),
        ({"country": "Australia", "country_code": "AU", "region": "Queensland"}, "AU", None, None),
        ({"country": "US", "country_name": "United States", "region_code": "CA"}, "US", "US-CA", None),
        ({"country": "AU", "asn": "AS13335"}, "AU", None, 13335),
        ({"country": "us"}, "US", None, None),
        ({"country": {"iso_code": "XK"}}, "XK", None, None),
        ({"country": "DE", "asn": ""}, "DE", None, None),
        ({"autonomous_system_number": 64500}, None, None, 64500),
        ({"autonomous_system_number": 4294967295}, None, None, 4294967295),
        ({"asn": "64500"}, None, None, 64500),
        ({"country": {"iso_code": "DE"}, "traits": {"autonomous_system_number": 64500}}, "DE", None, 64500),
        ({"country": {"iso_code": "DE"}, "autonomous_system_number": 0}, "DE", None, None),
        ({"country": {"iso_code": "DE"}, "asn": True, "traits": 5}, "DE", None, None),
        ({"country": {"iso_code": "DE"}, "subdivisions": []}, "DE", None, None),
        ({"country": {"iso_code": "DE"}, "subdivisions": ["BY"]}, "DE", None, None),
        ({"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": 7, "names": "x"}]}, "DE", None, None),
        # whole records, as publishers have them: IPinfo Lite, country and AS number, location, AS numbers
        (
            {
                "asn": "AS64500", "as_domain": "a.example", "as_name": "A", "continent": "Oceania",
                "continent_code": "OC", "country": "Australia", "country_code": "AU",
            },
            "AU", None, 64500,
        ),
        (
            {
                "as_domain": "a.example", "as_name": "A", "asn": "AS64500", "continent": "OC",
                "continent_name": "Oceania", "country": "AU", "country_name": "Australia",
            },
            "AU", None, 64500,
        ),
        (
            {
                "city": "Sevastopol", "country": "RU", "country_name": "Russia", "latitude": "44.6",
                "region": "Sevastopol", "region_code": "SEV", "postal_code": "", "timezone": "x",
            },
            "RU", "RU-SEV", None,
        ),
        ({"asn": "AS64500", "domain": "a.example", "name": "A", "country": "AU", "type": "isp"}, None, None, 64500),
        # ip-location-db: city, AS numbers; MaxMind: ISP, Enterprise
        (
            {"country_code": "UA", "state1": "Krym", "state2": "", "city": "x", "postcode": "", "timezone": "", "latitude": 1.5},
            "UA", "UA-43", None,
        ),
        ({"autonomous_system_number": 64500, "autonomous_system_organization": "A"}, None, None, 64500),
        (
            {"isp": "A", "organization": "A", "autonomous_system_number": 64500, "mobile_country_code": "1"},
            None, None, 64500,
        ),
        (
            {
                "country": {"iso_code": "GB", "confidence": 99}, "registered_country": {"iso_code": "US"},
                "represented_country": {"iso_code": "US", "type": "military"},
                "subdivisions": [{"iso_code": "ENG", "confidence": 40}, {"iso_code": "WBK"}],
                "traits": {"autonomous_system_number": 64500, "isp": "A", "user_type": "residential"},
            },
            "GB", "GB-ENG", 64500,
        ),
    ],
)  # fmt: skip
def test_every_publishers_shape_is_understood(
    tmp_path: Path, record: Any, country: str | None, subdivision: str | None, asn: int | None
) -> None:
    database = Database.open(mmdb.write(tmp_path / "x.mmdb", [("81.2.69.0/24", record)]))
    location = database.lookup("81.2.69.7")
    assert (location.country, location.subdivision) == (country, subdivision)
    assert database.asns == (frozenset() if asn is None else {asn})
    assert database.has_asns is (asn is not None)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([("81.2.69.0/24", {"city": "x", "geoname_id": 5})], "the keys ['city', 'geoname_id']"),
        ([("81.2.69.0/24", {"country": "Australia"})], "the keys ['country']"),
        ([("81.2.69.0/24", {"country": {"iso_code": "DEU"}})], "the keys ['country']"),
        ([("81.2.69.0/24", mmdb.maxmind(None, registered="DE"))], "'registered_country'"),
        ([("81.2.69.0/24", "DE")], "its records are such as 'DE'"),
        ([], "it has no records"),
    ],
)
def test_a_file_that_has_nothing_for_us_is_refused_with_what_it_has(
    tmp_path: Path, records: Any, says: str
) -> None:
    path = mmdb.write(tmp_path / "x.mmdb", records, kind="Odd")
    with pytest.raises(FormatError, match=r"x\.mmdb: an MMDB of type 'Odd', but ") as caught:
        Database.open(path)
    assert says in str(caught.value)
    assert "expected country.iso_code" in str(caught.value)


def test_a_file_for_ipv4_only_knows_no_ipv6(tmp_path: Path) -> None:
    path = mmdb.write(tmp_path / "x.mmdb", [("81.2.69.0/24", mmdb.maxmind("GB"))], ip_version=4)
    database = Database.open(path)
    assert database.country("81.2.69.1") == "GB"
    assert database.lookup("2001:218::1").status is Status.UNKNOWN
    assert database.country("2002:5102:4501::1") == "GB"


def test_one_record_for_all_addresses_is_one_for_ipv4_too(tmp_path: Path) -> None:
    records = [("::/1", mmdb.maxmind("GB")), ("8000::/1", mmdb.maxmind("CN"))]
    database = Database.open(mmdb.write(tmp_path / "x.mmdb", records))
    assert [database.country(text) for text in ("8.8.8.8", "2600::1", "9000::1", "::1.2.3.4")] == [
        "GB", "GB", "CN", "GB",
    ]  # fmt: skip


def test_what_is_aliased_to_ipv4_is_not_read_again_as_ipv6(tmp_path: Path) -> None:
    aliases = [f"{0xFFFF:096b}", f"{0x2002:016b}", f"{0x20010000:032b}", f"{0x64FF9B << 64:096b}"]
    path = mmdb.write(tmp_path / "x.mmdb", CITY, aliases=aliases)
    with maxminddb.open_database(str(path)) as opened:
        assert opened.get("2002:808:808::")["subdivisions"][0]["iso_code"] == "CA"  # type: ignore[index, call-overload]
    database = Database.open(path)
    assert database.metadata.sources[0].rows == (8, 1)
    assert database.lookup("2002:808:808::").via == "6to4"
    assert database.lookup("64:ff9b::808:808").subdivision == "US-CA"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


def networks(version: int) -> st.SearchStrategy[str]:
    """Networks that share a few bits, so that they nest and touch."""
    kind, width, base = (
        (IPv4Address, 32, 0x5100_0000) if version == 4 else (IPv6Address, 128, 0x2600 << 112)
    )

    def built(length: int, bits: int) -> str:
        value = (base | bits << (width - 16)) >> (width - length) << (width - length)
        return f"{kind(value)}/{length}"

    return st.builds(built, st.integers(7, 16) | st.just(width), st.integers(0, 255))


RECORDS = st.sampled_from([("GB", None), ("RU", "CR"), ("UA", "43"), ("US", "CA"), ("US", "NY")])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(networks(4) | networks(6), RECORDS), min_size=1, max_size=12))
def test_every_address_is_where_the_most_specific_network_puts_it(
    folder: Path, given: list[tuple[str, tuple[str, str | None]]]
) -> None:
    given = sorted(given, key=lambda pair: ip_network(pair[0]).prefixlen)
    path = mmdb.write(folder / "x.mmdb", [(text, mmdb.maxmind(*record)) for text, record in given])
    database = Database.open(path)
    for version, text, value in probes([text for text, _ in given]):
        ranges = [
            (int(net.network_address), int(net.broadcast_address), at)
            for at, net in enumerate((ip_network(each) for each, _ in given), 1)
            if net.version == version
        ]
        found = gold.find(ranges, value)
        country, region = given[found - 1][1] if found else (None, None)
        location = database.lookup(text)
        expected = f"{country}-{region}" if region else None
        assert (location.country, location.subdivision) == (country, expected), text


def probes(texts: list[str]) -> Iterator[tuple[int, str, int]]:
    """The addresses at and beside the ends of networks."""
    for net in map(ip_network, texts):
        first, last = int(net.network_address), int(net.broadcast_address)
        for value in (first - 1, first, last, last + 1):
            yield net.version, str(type(net.network_address)(value)), value


@pytest.mark.parametrize("size", [24, 28, 32])
def test_records_of_every_size_are_read(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmdb_writer

    def adjust(self: Any) -> None:
        self.record_size = size
        self.data_offset = size * 2 / 8 * self._node_counter

    monkeypatch.setattr(mmdb_writer.TreeWriter, "_adjust_record_size", adjust)
    path = mmdb.write(tmp_path / "x.mmdb", CITY)
    with maxminddb.open_database(str(path)) as opened:
        assert opened.metadata().record_size == size
    database = Database.open(path)
    assert [database.lookup(each).subdivision for each in ("91.210.1.1", "8.8.4.4", "2600::9")] == [
        "RU-CR", "US-NY", "US-TX",
    ]  # fmt: skip


def test_a_tree_that_leads_back_to_itself_is_refused(city: Path) -> None:
    data = bytearray(city.read_bytes())
    data[0:6] = bytes(6)  # both records of the first node name the first node
    with pytest.raises(FormatError, match="its tree leads back to itself"):
        reader.read(bytes(data), "x")


def test_g1_whatever_happened_to_the_bytes_the_error_is_ours(city: Path) -> None:
    whole, spread = city.read_bytes(), random.Random(7)
    refused = 0
    for trial in range(1500):
        data = bytearray(whole)
        if trial % 3 == 0:
            data = data[: spread.randrange(len(data))] + whole[whole.rfind(b"\xab\xcd\xef") :]
        for _ in range(spread.choice([1, 2, 16])):
            data[spread.randrange(len(data))] = spread.randrange(256)
        try:
            reader.read(bytes(data), "x")
        except FormatError as error:
            refused += 1
            assert str(error).startswith("x: ")
    assert refused > 500


def test_g1_a_damaged_file_is_a_database_error(tmp_path: Path, city: Path) -> None:
    whole = city.read_bytes()
    marker = whole.rfind(b"\xab\xcd\xefMaxMind.com")
    damaged = {
        "no metadata": whole[: marker + 14],
        "only the end": whole[marker:],
        "no text": whole.replace(b"iso_code", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe"),
        "epoch": whole.replace(b"build_epoch\x04\x02", b"build_epoch\x08\x02\xff\xff\xff\xff"),
    }
    for name, data in damaged.items():
        assert data != whole, name
        (tmp_path / "x.mmdb").write_bytes(data)
        with pytest.raises(DatabaseError, match=r"x\.mmdb"):
            Database.open(tmp_path / "x.mmdb")


MANIFEST = """
[[source]]
name = "city"
title = "cities"
layer = "country"
format = "mmdb"
path = "city.mmdb"
date = 2026-01-01
licence = "CC0-1.0"
attribution = "-"

[[source]]
name = "as"
title = "AS numbers"
layer = "asn"
format = "mmdb"
path = "asn.mmdb"
date = 2026-01-01
licence = "CC0-1.0"
attribution = "-"
"""


def test_two_files_are_compiled_together_by_a_manifest(tmp_path: Path) -> None:
    mmdb.write(tmp_path / "city.mmdb", CITY)
    mmdb.write(
        tmp_path / "asn.mmdb",
        [("8.8.0.0/16", {"autonomous_system_number": 15169}), ("2600::/32", {"asn": "AS7018"})],
        kind="Test-ASN",
    )
    (tmp_path / "sources.toml").write_text(MANIFEST)
    image = Manifest.load(tmp_path / "sources.toml").compile()
    database = Database(Image(memoryview(image), "both"))
    database.verify()
    assert database.lookup("8.8.8.8").subdivision == "US-CA"
    assert database.asns == {15169, 7018}
    assert [(match.layer, match.value, match.source) for match in database.matches("8.8.8.8")] == [
        ("country", "US-CA", "city"),
        ("asn", "15169", "as"),
    ]


def test_a_manifest_that_wants_of_a_file_what_it_has_not_is_refused(tmp_path: Path) -> None:
    mmdb.write(tmp_path / "city.mmdb", CITY)
    mmdb.write(tmp_path / "asn.mmdb", CITY)
    (tmp_path / "sources.toml").write_text(MANIFEST)
    with pytest.raises(
        FormatError, match=r"says nothing for the layer 'asn', only for \['country'\]"
    ):
        Manifest.load(tmp_path / "sources.toml").compile()
    (tmp_path / "sources.toml").write_text(MANIFEST.replace('"country"', '"network"'))
    with pytest.raises(FormatError, match=r"for the layer 'network', only for \['country'\]"):
        Manifest.load(tmp_path / "sources.toml").compile()


@pytest.mark.once
@pytest.mark.parametrize(
    ("record", "claims"),
    [
        # MaxMind: Anonymous IP, Anonymous Plus, and the traits of Enterprise
        ({"is_anonymous": True, "is_anonymous_vpn": True}, "vpn:medium"),
        ({"is_anonymous": True, "is_hosting_provider": True}, "hosting:medium"),
        ({"is_public_proxy": True}, "proxy:medium"),
        ({"is_residential_proxy": True}, "proxy:medium"),
        ({"is_tor_exit_node": True}, "tor:medium"),
        (
            {"is_anonymous_vpn": True, "is_hosting_provider": True, "provider_name": "NordVPN"},
            "vpn:medium:NordVPN|hosting:medium",
        ),
        ({"traits": {"is_anonymous_vpn": True, "is_public_proxy": False}}, "vpn:medium"),
        ({"is_public_proxy": True, "is_residential_proxy": True}, "proxy:medium"),
        # IPinfo, newer and older
        (
            {"vpn": True, "proxy": False, "tor": False, "relay": False, "hosting": True, "service": "X|Y"},
            "vpn:medium:X Y|hosting:medium",
        ),
        (
            {"vpn": "", "proxy": "true", "tor": "false", "relay": "", "hosting": "false", "service": ""},
            "proxy:medium",
        ),
        ({"relay": "true", "service": "iCloud Private Relay"}, "relay:medium:iCloud Private Relay"),
        # IPinfo Core and Plus
        (
            {"is_anonymous": True, "is_vpn": True, "is_hosting": True, "privacy_name": "Mullvad"},
            "vpn:medium:Mullvad|hosting:medium",
        ),
        ({"is_proxy": "true", "is_relay": False, "is_tor": ""}, "proxy:medium"),
        ({"is_tor": True, "is_relay": "true", "is_vpn": "false"}, "tor:medium|relay:medium"),
        # AS numbers: the number comes before the name
        ({"autonomous_system_number": 24940, "autonomous_system_organization": "x"}, "hosting:medium:Hetzner"),
        ({"autonomous_system_number": 9009}, "hosting:medium:M247|vpn:low:M247"),
        ({"asn": "AS13335", "name": "Any Hosting"}, "cdn:medium:Cloudflare"),
        (
            {"autonomous_system_number": 64500, "autonomous_system_organization": "Any Hosting Ltd."},
            "hosting:low:Any Hosting Ltd.",
        ),
        ({"asn": "AS64500", "as_name": "Example CDN", "country": "DE"}, "cdn:low:Example CDN"),
        ({"asn": "AS64500", "name": "Any VPS", "domain": "a.example"}, "hosting:low:Any VPS"),
        ({"traits": {"autonomous_system_number": 24940}}, "hosting:medium:Hetzner"),
        (
            {"traits": {"autonomous_system_number": 64500, "autonomous_system_organization": "Any Cloud"}},
            "hosting:low:Any Cloud",
        ),
        # both: what the file itself says comes first, and the number adds to it
        (
            {"is_hosting_provider": True, "autonomous_system_number": 9009},
            "hosting:medium|vpn:low:M247",
        ),
        # nothing
        ({"autonomous_system_number": 3320, "autonomous_system_organization": "Deutsche Telekom AG"}, None),
        ({"country": "DE", "name": "Any Hosting"}, None),
        ({"country": "DE", "vpn": "false", "is_hosting_provider": False, "hosting": []}, None),
    ],
)  # fmt: skip
def test_the_flags_and_as_numbers_of_every_publisher_say_what_a_network_is(
    tmp_path: Path, record: Any, claims: str | None
) -> None:
    path = mmdb.write(tmp_path / "x.mmdb", [("81.2.69.0/24", record), ("81.2.70.0/24", "-")])
    layers = reader.read(path.read_bytes(), "x").layers
    values = [batch.values for batch in layers.get("network", []) if batch.version == 4]
    assert values == ([[claims]] if claims else [])


NETWORKS = [
    ("185.220.101.0/24", {"is_anonymous": True, "is_tor_exit_node": True}),
    ("88.198.0.0/16", {"is_hosting_provider": True}),
]


def network_manifest(folder: Path, more: str = "") -> Path:
    mmdb.write(folder / "city.mmdb", NETWORKS, kind="Test-Anonymous-IP")
    whole = MANIFEST.partition('[[source]]\nname = "as"')[0].replace('"country"', '"network"')
    (folder / "sources.toml").write_text(f"{whole}{more}\n")
    return folder / "sources.toml"


@pytest.mark.parametrize(
    ("more", "confidence"),
    [("", Confidence.MEDIUM), ('confidence = "high"', Confidence.HIGH), ('confidence = "low"', Confidence.LOW)],
)  # fmt: skip
def test_a_manifest_says_how_far_the_flags_of_a_file_are_trusted(
    tmp_path: Path, more: str, confidence: Confidence
) -> None:
    image = Manifest.load(network_manifest(tmp_path, more)).compile()
    database = Database(Image(memoryview(image), "networks"))
    database.verify()
    assert database.lookup("185.220.101.7").categories == {Category.TOR: confidence}
    assert database.lookup("88.198.1.1").categories == {Category.HOSTING: confidence}
    assert database.lookup("8.8.8.8").categories == {}


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ('"high"', '"sure"'),
            r"\(city\): confidence 'sure': write one of low, medium, high",
        ),
        (('"network"', '"country"'), r"\(city\): 'confidence' is for the flags of an MMDB"),
        (('"mmdb"', '"packed"'), r"\(city\): 'confidence' is for the flags of an MMDB"),
    ],
)
def test_a_confidence_that_cannot_be_used_is_refused(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = network_manifest(tmp_path, 'confidence = "high"')
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ConfigurationError, match=says):
        Manifest.load(path)


@pytest.mark.parametrize(
    ("address", "asked", "matched"),
    [
        ("81.2.69.7", "hosting", False),
        ("81.2.69.7", "hosting:low", True),
        ("81.2.69.7", "hosting:medium", False),
        ("88.198.1.1", "hosting", True),
        ("88.198.1.1", "hosting:low", True),
        ("88.198.1.1", "hosting:high", False),
    ],
)
def test_i4_what_only_a_name_suggests_matches_only_a_rule_that_asks_for_low(
    tmp_path: Path, address: str, asked: str, matched: bool
) -> None:
    records = [
        ("81.2.69.0/24", {"autonomous_system_number": 64500, "autonomous_system_organization": "Any Hosting"}),
        ("88.198.0.0/16", {"autonomous_system_number": 24940, "autonomous_system_organization": "Hetzner"}),
    ]  # fmt: skip
    path = mmdb.write(tmp_path / "asn.mmdb", records, kind="Test-ASN")
    rule = {"name": "machines", "action": "block", "categories": [asked]}
    engine = Engine({"default": "allow", "rules": [rule]}, database=path)
    decision = engine.decide(address)
    assert (decision.action is Action.BLOCK) is matched
    assert engine.database.lookup("81.2.69.7").categories == {Category.HOSTING: Confidence.LOW}
    assert engine.database.lookup("81.2.69.7").provider == "Any Hosting"
