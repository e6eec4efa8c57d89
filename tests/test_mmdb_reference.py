"""G15 and P8: an imported MMDB answers what ``maxminddb`` answers, at every boundary and at random.

What a record means is worked out here anew, from ``data-sources.md``. Three differences are by
design, and are asserted: special-purpose addresses are private whatever a file says of them; IPv4
inside IPv6 is looked through; and of the IPv6 addresses at which a file keeps IPv4 nothing is known.
"""

from __future__ import annotations

import random
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import maxminddb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from maxminddb.decoder import Decoder

from georestrict import Database, FormatError, Status
from georestrict.countries import NAMES
from georestrict.manifest import compile_mmdb
from georestrict.sources import mmdb as reader
from georestrict.special import is_private
from georestrict.table import Image
from tests import mmdb, sdist

Address: TypeAlias = IPv4Address | IPv6Address

ALIASES = [f"{0xFFFF:096b}", f"{0x2002:016b}", f"{0x20010000:032b}", f"{0x64FF9B << 64:096b}"]
CARRYING = {
    "6to4": (IPv6Network("2002::/16"), 80, 0),
    "teredo": (IPv6Network("2001::/32"), 0, 0xFFFF_FFFF),
    "nat64": (IPv6Network("64:ff9b::/96"), 0, 0),
}  # the network, where in it the IPv4 address ends, and what it is mixed with


class Meaning(NamedTuple):
    """What a record says, or what is to be answered."""

    country: str | None = None
    subdivision: str | None = None
    asn: int | None = None
    flags: frozenset[str] = frozenset()
    status: Status = Status.UNKNOWN
    via: str | None = None


def opened(data: bytes) -> maxminddb.Reader:
    """The reference reader, the one in C where there is one; it maps the file, which then may go."""
    with tempfile.NamedTemporaryFile(suffix=".mmdb") as file:
        file.write(data)
        file.flush()
        return maxminddb.open_database(file.name)


FLAGS = {
    "is_anonymous_vpn": "vpn", "is_hosting_provider": "hosting", "is_public_proxy": "proxy",
    "is_residential_proxy": "proxy", "is_tor_exit_node": "tor",
    "vpn": "vpn", "proxy": "proxy", "tor": "tor", "relay": "relay", "hosting": "hosting",
    "is_vpn": "vpn", "is_proxy": "proxy", "is_tor": "tor", "is_relay": "relay",
    "is_hosting": "hosting",
}  # fmt: skip
CRIMEA = {"Krym": "CR", "Republic of Crimea": "CR", "Sebastopol City": "SEV"}


def meaning(record: Any) -> Meaning:
    """What a record says, by the words of data-sources.md."""
    if not isinstance(record, dict):
        return Meaning()
    said = record | record.get("traits", {})
    if isinstance(record.get("country"), dict):
        code = record["country"].get("iso_code")
    else:
        code = record.get("country_code") or record.get("country")
    country = code.upper() if isinstance(code, str) and code.upper() in NAMES else None
    region = record.get("subdivisions", [{}])[0].get("iso_code") or record.get("region_code")
    named = record.get("state1") or record.get("subdivisions", [{}])[0].get("names", {}).get("en")
    if country == "RU" and named in CRIMEA:
        region = CRIMEA[named]
    flags = {FLAGS[key] for key in FLAGS.keys() & said if said[key] in (True, "true")}
    if "relay" in flags:
        flags.discard("hosting")  # what runs a relay's machines is not told
    number = said.get("autonomous_system_number") or said.get("asn")
    if isinstance(number, str):
        number = int(number.removeprefix("AS") or 0)
    return Meaning(
        country,
        f"{country}-{region}" if country and region else None,
        number or None,
        frozenset(flags),
        Status.KNOWN if country else Status.UNKNOWN,
    )


def expected(reference: maxminddb.Reader, address: Address) -> Meaning:
    """What we are to answer: the reference's record, but for what differs by design."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return expected(reference, address.ipv4_mapped)
    for name, (network, shift, mixed) in CARRYING.items():
        if address in network:
            inner = IPv4Address((int(address) >> shift & 0xFFFF_FFFF) ^ mixed)
            if is_private(4, int(inner)):
                return Meaning(asn=wider(reference, address, network).asn, status=Status.PRIVATE)
            return expected(reference, inner)._replace(via=name)
    found = Meaning()
    if address.version == 4 or reference.metadata().ip_version == 6:
        record, length = reference.get_with_prefix_len(address)
        if address.version == 4 or int(address) >> 32 or length < 96:
            found = meaning(record)
    if is_private(address.version, int(address)):
        return found._replace(country=None, subdivision=None, status=Status.PRIVATE)
    return found


def wider(reference: maxminddb.Reader, address: Address, network: IPv6Network) -> Meaning:
    """What is said of a network that holds another whole one: what is said inside is left out."""
    if reference.metadata().ip_version == 4:
        return Meaning()
    record, length = reference.get_with_prefix_len(address)
    return meaning(record) if length < network.prefixlen else Meaning()


def answered(database: Database, address: Address, *, named: bool = False) -> Meaning:
    """What we answer; ``named``: without what an AS number or a name suggests."""
    location = database.lookup(address)
    said = [match for match in database.matches(address) if match.layer == "asn"]
    return Meaning(
        location.country,
        location.subdivision,
        int(said[0].value) if said else None,
        frozenset() if named else frozenset(map(str, location.categories)),
        location.status,
        location.via,
    )


def compare(data: bytes, *, probes: Iterable[Address] = (), named: bool = False) -> int:
    """Compare the answers at every boundary of both readers, and at some more; how many there were."""
    reference = opened(data)
    database = Database(Image(memoryview(compile_mmdb(data, "x")), "x"))
    count = 0
    for address in {*boundaries(reference), *of_ours(database), *probes}:
        wanted = expected(reference, address)
        if named:
            wanted = wanted._replace(flags=frozenset())
        assert answered(database, address, named=named) == wanted, address
        count += 1
    return count


def boundaries(reference: maxminddb.Reader) -> Iterator[Address]:
    """The first and the last address of every network of a file, and those beside them."""
    kinds: tuple[tuple[int, Callable[[int], Address]], ...] = (
        (32, IPv4Address),
        (128, IPv6Address),
    )
    for width, kind in kinds:
        if width == 128 and reference.metadata().ip_version == 4:
            yield from map(
                IPv6Address, ("::", "::1", "2600::", "2002:808:808::1", "::ffff:8.8.8.8")
            )
            return
        at = 0
        while at < 1 << width:
            length = reference.get_with_prefix_len(kind(at))[1]
            size = 1 << width - min(length, width)
            for value in (at - 1, at, at + size - 1, at + size):
                if 0 <= value < 1 << width:
                    yield kind(value)
            at += size


def of_ours(database: Database) -> Iterator[Address]:
    """The same of every run of our table: what we divide and the file does not."""
    for version, kind in (4, IPv4Address), (6, IPv6Address):
        shift = 96 if version == 4 else 0
        for start in database.table.runs(version).starts():
            yield kind(start >> shift)
            if start:
                yield kind((start >> shift) - 1)


COUNTRY = mmdb.maxmind("GB") | {"registered_country": {"iso_code": "US"}}
NESTED = {
    "country": {"iso_code": "FR", "names": {"en": "France", "de": "Frankreich"}},
    "location": {"a": {"b": {"c": [{"d": "x"}, ["y", {"e": 1.5}]]}}},
    "subdivisions": [{"iso_code": "IDF", "names": {"en": "Île-de-France"}}],
}
IPV4 = [
    ("0.0.0.0/0", mmdb.maxmind("US", "CA")),
    ("8.8.0.0/16", COUNTRY),
    ("8.8.8.0/24", NESTED),
    ("8.8.8.8/32", mmdb.maxmind("FR", "IDF")),
    ("10.0.0.0/8", mmdb.maxmind("DE")),
    ("91.210.0.0/22", mmdb.dbip("RU", "Republic of Crimea")),
    ("91.210.2.0/24", {"country_code": "RU", "state1": "Krym"}),
    ("91.210.3.0/24", {"country": "Australia", "country_code": "AU"}),
    ("192.0.2.0/23", {"country": "us", "asn": "AS64500"}),
    ("203.0.113.0/24", {"city": "nothing that we read"}),
    ("223.255.255.255/32", {"autonomous_system_number": 64501, "is_hosting_provider": True}),
    ("255.255.255.255/32", mmdb.maxmind("GB")),
]
IPV6 = [
    ("2000::/3", mmdb.maxmind("SE")),
    ("2001:218::/32", {"vpn": "true", "tor": "false", "proxy": "", "country": "JP"}),
    ("2001:db8::/31", NESTED),
    ("2002::/15", mmdb.maxmind("NO")),
    ("2600::/128", mmdb.maxmind("US", "TX")),
    ("fe00::/7", mmdb.maxmind("CN")),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", mmdb.maxmind("CN")),
]
FORMS = {
    "IPv4 only": ({"ip_version": 4}, IPV4),
    "IPv4 in an IPv6 tree": ({}, [(f"::{text.partition('/')[0]}/{96 + int(text.partition('/')[2])}", record) for text, record in IPV4]),
    "IPv6 only": ({}, IPV6),
    "mixed": ({}, IPV4 + IPV6),
    "mixed, with aliases": ({"aliases": ALIASES}, IPV4 + IPV6),
    "one record for all of IPv6": ({}, [("::/0", NESTED)]),
    "one record for a quarter": ({}, [("::/2", NESTED), ("2600::/32", COUNTRY)]),
    "one network of IPv4": ({"ip_version": 4}, IPV4[2:3]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "pointers"),
    [(24, True), (28, True), (32, True), (28, False)],
    ids=["24 bits", "28 bits", "32 bits", "28 bits, no pointers"],
)
@pytest.mark.parametrize("form", FORMS)
def test_g15_every_form_of_file_answers_as_the_reference_at_every_boundary(
    form: str, size: int, pointers: bool
) -> None:
    options, networks = FORMS[form]
    data = mmdb.image(networks, record_size=size, pointers=pointers, **options)  # type: ignore[arg-type]
    assert compare(data) > 10


CODES = st.sampled_from(["GB", "US", "DE", "XK", "EU", "xx", "??", "us"])
RECORDS = st.one_of(
    st.builds(mmdb.maxmind, CODES, st.sampled_from([None, "CA", "1"])),
    st.builds(lambda code: {"country_code": code, "state1": "Krym"}, CODES),
    st.fixed_dictionaries(
        {"asn": st.sampled_from(["AS64500", "64501", ""])},
        optional={
            "hosting": st.sampled_from(["true", "false", "", True, False]),
            "relay": st.booleans(),
        },
    ),
    st.just({"traits": {"is_tor_exit_node": True, "autonomous_system_number": 64502}}),
    st.just("no map"),
)


def networks(width: int, base: int, draw: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    kind = IPv4Address if width == 32 else IPv6Address

    def built(length: int, bits: int) -> str:
        value = (base | bits << (width - 24)) >> (width - length) << (width - length)
        return f"{kind(value)}/{length}"

    return st.builds(built, st.integers(8, 24) | st.just(width), draw)


BOTH = networks(32, 0xC000_0000, st.integers(0, 0x2FF)) | networks(
    128, 0x2001 << 112, st.sampled_from([0, 1, 0x21, 0x0D, 0x1FF, 0x100])
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # making an example smaller takes minutes
)
@given(
    st.lists(st.tuples(BOTH, RECORDS), min_size=1, max_size=10),
    st.sampled_from([24, 28, 32]),
    st.sampled_from([[], ALIASES, ALIASES[:2]]),
)
def test_g15_generated_files_answer_as_the_reference_at_every_boundary(
    given: list[tuple[str, Any]], size: int, aliases: list[str]
) -> None:
    wide_first = sorted(given, key=lambda pair: int(pair[0].partition("/")[2]))
    data = mmdb.image(wide_first, record_size=size, aliases=aliases)
    try:
        reader.read(data, "x")
    except FormatError:  # nothing is to be known of any address
        reference = opened(data)
        found = {expected(reference, address)[:4] for address in boundaries(reference)}
        assert found == {Meaning()[:4]}
    else:
        compare(data)


SAID = {  # the layers for which MaxMind's test databases say something
    "GeoIP-Anonymous-Plus-Test": {"network"},
    "GeoIP2-Anonymous-IP-Test": {"network"},
    "GeoIP2-City-Shield-Test": {"country"},
    "GeoIP2-City-Test": {"country"},
    "GeoIP2-Country-Shield-Test": {"country"},
    "GeoIP2-Country-Test": {"country"},
    "GeoIP2-Enterprise-Shield-Test": {"country", "network", "asn"},
    "GeoIP2-Enterprise-Test": {"country", "network", "asn"},
    "GeoIP2-IP-Risk-Test": {"network"},
    "GeoIP2-ISP-Test": {"network", "asn"},
    "GeoIP2-Precision-Enterprise-Shield-Test": {"country", "network", "asn"},
    "GeoIP2-Precision-Enterprise-Test": {"country", "network", "asn"},
    "GeoLite2-ASN-Test": {"network", "asn"},
    "GeoLite2-City-Test": {"country"},
    "GeoLite2-Country-Test": {"country"},
}


def databases() -> Path:
    found = sdist.folder()
    assert found is not None
    return found / "test-data"


@pytest.mark.needs(sdist.NAME)
@pytest.mark.parametrize("name", SAID)
def test_g15_maxminds_test_databases_answer_as_the_reference_at_every_boundary(name: str) -> None:
    data = (databases() / f"{name}.mmdb").read_bytes()
    layers = reader.read(data, name).layers
    assert set(layers) == SAID[name]
    # of AS numbers our table and the names say more than the file; tests/test_mmdb.py says what
    assert compare(data, named="asn" in layers) > 100


NOT_FOR_US = {
    "GeoIP-Residential-Proxy-Test": r"keys \['anonymizer_confidence', 'network_last_seen', 'provider_name'\]",
    "GeoIP2-Connection-Type-Test": r"keys \['connection_type'\]",
    "GeoIP2-DensityIncome-Test": r"keys \['average_income', 'population_density'\]",
    "GeoIP2-Domain-Test": r"keys \['domain'\]",
    "GeoIP2-Static-IP-Score-Test": r"keys \['score'\]",
    "GeoIP2-User-Count-Test": r"keys \['ipv4_24', 'ipv4_32'\]",
    "MaxMind-DB-no-ipv4-search-tree": "records are such as '::/64'",
    "MaxMind-DB-string-value-entries": "records are such as '1.1.1.1/32'",
    "MaxMind-DB-test-decoder": r"keys \['array', 'boolean'",
    "MaxMind-DB-test-metadata-pointers": "type 'Lots of pointers in metadata'",
    "MaxMind-DB-test-nested": r"keys \['map1'\]",
    "MaxMind-DB-test-pointer-decoder": r"keys \['array', 'arrayX'",
    **{
        f"MaxMind-DB-test-{kind}-{size}": r"keys \['ip'\]"
        for kind in ("ipv4", "ipv6", "mixed")
        for size in (24, 28, 32)
    },
}


@pytest.mark.needs(sdist.NAME)
@pytest.mark.parametrize("name", NOT_FOR_US)
def test_a_test_database_without_anything_for_us_is_refused_with_what_it_has(name: str) -> None:
    data = (databases() / f"{name}.mmdb").read_bytes()
    with pytest.raises(FormatError, match=NOT_FOR_US[name]):
        reader.read(data, name)


@pytest.mark.once  # the fixture has both cores
@pytest.mark.needs(sdist.NAME)
@pytest.mark.parametrize("name", [*SAID, *NOT_FOR_US])
def test_g15_the_walk_finds_the_references_record_at_every_boundary(name: str, core: Any) -> None:
    """Whatever a record is: each is a label of its own, so no two networks become one."""
    data = (databases() / f"{name}.mmdb").read_bytes()
    reference = opened(data)
    about = reference.metadata()
    tree = core.Tree(data, about.node_count, about.record_size, about.ip_version)
    decoder = Decoder(data, tree.data_at)
    records = [decoder.decode(place)[0] for place in tree.records()]
    found = {}
    for version, columns in zip((4, 6), tree.ranges(range(1, 1 + len(records))), strict=True):
        shift = 96 if version == 4 else 0
        for high, low, last_high, last_low, value, _ in zip(*columns, strict=True):
            found[version, (high << 64 | low) >> shift] = (
                (last_high << 64 | last_low) >> shift,
                value,
            )
    starts = {version: sorted(first for of, first in found if of == version) for version in (4, 6)}
    for address in boundaries(reference):
        if address.version > about.ip_version or left_out(address, reference):
            continue
        at = bisect_right(starts[address.version], int(address)) - 1
        last, value = found[address.version, starts[address.version][at]] if at >= 0 else (-1, 0)
        record = records[value] if int(address) <= last else None
        assert record == reference.get(address), address


def left_out(address: Address, reference: maxminddb.Reader) -> bool:
    """Is this where the file keeps IPv4, or an alias of that? It is not read as IPv6."""
    if isinstance(address, IPv4Address):
        return False
    if any(address in network for network, _, _ in CARRYING.values()) or address.ipv4_mapped:
        return True
    return int(address) >> 32 == 0 and reference.get_with_prefix_len(address)[1] >= 96


def disjoint(count: int, seed: int) -> Iterator[mmdb.Network]:
    """Networks side by side and with gaps, two thirds of them IPv4."""
    spread = random.Random(seed)
    for version, start, lengths, many in (
        (4, 1 << 24, (16, 20, 22, 23, 24, 24, 24, 29, 32), 2 * count // 3),
        (6, 0x2000 << 112, (24, 29, 32, 32, 40, 44, 48, 56, 64, 128), count // 3),
    ):
        width, at = 32 if version == 4 else 128, start
        for _ in range(many):
            size = 1 << width - spread.choice(lengths)
            at = (at + size - 1) // size * size + spread.choice((0, 0, 0, size))
            if at + size > (0xDF << 24 if version == 4 else 0x4000 << 112):
                break
            yield mmdb.Network(version, at, width + 1 - size.bit_length(), spread.randrange(300))
            at += size


def random_addresses(count: int, seed: int) -> Iterator[Address]:
    spread = random.Random(seed)
    for _ in range(count // 2):
        yield IPv4Address(spread.getrandbits(32))
        yield IPv6Address(0x2000 << 112 | spread.getrandbits(spread.choice((90, 100, 110, 125))))


def same_countries(data: bytes, addresses: list[Address]) -> None:
    database = Database(Image(memoryview(compile_mmdb(data, "x")), "x"))
    reference = opened(data)
    answers = database.lookup_many(map(str, addresses))
    for address, location in zip(addresses, answers, strict=True):
        wanted = expected(reference, address)
        assert (location.country, location.status, location.via) == (
            wanted.country,
            wanted.status,
            wanted.via,
        ), address


RANDOM_RECORDS = [mmdb.maxmind(code) for code in [*sorted(NAMES), *(["EU"] * 60)][:300]]


def test_p8_random_addresses_are_where_the_reference_puts_them() -> None:
    tree = mmdb.Tree(disjoint(3_000, 1), aliases=ALIASES)
    data = mmdb.assemble(tree, RANDOM_RECORDS, 24)
    same_countries(data, [*random_addresses(20_000, 2)])


@pytest.mark.slow
def test_p8_a_million_random_addresses_and_every_boundary_are_as_the_reference_has_them() -> None:
    networks = [*disjoint(100_000, 3)]
    data = mmdb.assemble(mmdb.Tree(networks, aliases=ALIASES), RANDOM_RECORDS, 28)
    ends: set[Address] = set()
    for version, first, length, _ in networks:
        last = first + (1 << (32 if version == 4 else 128) - length) - 1
        kind = IPv4Address if version == 4 else IPv6Address
        ends |= {kind(value) for value in (first - 1, first, last, last + 1)}
    same_countries(data, [*ends, *random_addresses(1_000_000, 4)])


def test_what_differs_from_the_reference_by_design() -> None:
    data = mmdb.image(
        [("8.8.8.0/24", mmdb.maxmind("US")), ("10.0.0.0/8", mmdb.maxmind("DE")), ("2000::/3", mmdb.maxmind("SE"))],
        aliases=ALIASES,
    )  # fmt: skip
    reference = opened(data)
    database = Database(Image(memoryview(compile_mmdb(data, "x")), "x"))
    told = [
        # address, the reference's country, ours, our status, through
        ("10.1.2.3", "DE", None, Status.PRIVATE, None),
        ("2001:db8::1", "SE", None, Status.PRIVATE, None),
        ("::8.8.8.8", "US", None, Status.UNKNOWN, None),
        ("::ffff:8.8.8.8", "US", "US", Status.KNOWN, None),
        ("2002:808:808::1", "US", "US", Status.KNOWN, "6to4"),
        ("2002:a01:203::1", "DE", None, Status.PRIVATE, None),
        ("64:ff9b::808:808", "US", "US", Status.KNOWN, "nat64"),
        # the alias at 2001::/32 is of the server's address, which comes first; ours of the client's
        ("2001:0:808:808::f7f7:f7f7", "US", "US", Status.KNOWN, "teredo"),
        ("2001:0:808:808::f5fe:fdfc", "US", None, Status.PRIVATE, None),
    ]
    for text, theirs, country, status, via in told:
        record: Any = reference.get(ip_address(text))
        assert record["country"]["iso_code"] == theirs, text
        location = database.lookup(text)
        assert (location.country, location.status, location.via) == (country, status, via), text
