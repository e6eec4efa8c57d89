"""CSV of every publisher: answers as a linear scan gives them, every damage, detection."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from heapq import heappop, heappush
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import ConfigurationError, Database, FormatError
from georestrict.errors import DatabaseError
from georestrict.manifest import Manifest
from georestrict.sources import (
    FOLDER_FORMATS,
    FORMATS,
    Content,
    check_format,
    date_of,
    detect_source,
    has_flags,
    needs_value,
    read_batches,
    tells,
)
from tests import csvfiles, gold, mmdb
from tests.csvfiles import Answers, Said, said, zipped

Writer = Callable[[Sequence[Said]], Content]


SOME = settings(max_examples=40, deadline=None)


def expected(rows: Sequence[Said], version: int, address: int) -> str:
    """What a linear scan over the rows says of an address, or nothing."""
    ranges = [(r.first, r.last, at) for at, r in enumerate(rows, 1) if r.version == version]
    found = gold.find(ranges, address)
    return rows[found - 1].value if found else ""


def check(form: str, content: Content, layer: str, rows: Sequence[Said]) -> None:
    """Compare a source's answers with the linear scan's at every boundary, and beside it."""
    assert detect_source(content, "it") == form
    check_format(form, content, "it")
    answers = Answers(read_batches(form, content, "it", layer))
    for row in rows:
        last = (1 << (32 if row.version == 4 else 128)) - 1
        for address in (row.first - 1, row.first, row.last, row.last + 1):
            if 0 <= address <= last:
                found = answers.at(row.version, address)
                assert found == expected(rows, row.version, address), (row, address)


@st.composite
def generated(draw: st.DrawFn, networks: bool, values: Sequence[str]) -> list[Said]:
    """Ranges that overlap, nest, touch, are equal, and lie at both ends of the address space."""
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        version = draw(st.sampled_from((4, 6)))
        width = 32 if version == 4 else 128
        end = (1 << width) - 1
        base = draw(st.sampled_from((0, 1 << (width - 3), 0x2001_0DB8 << (width - 32), end - 63)))
        if networks:
            bits = draw(st.integers(0, 6) | st.sampled_from((8, 20, width - 1)))
            first = (base | draw(st.integers(0, 63))) >> bits << bits
            last = first | (1 << bits) - 1
        else:
            first = base + draw(st.integers(0, 63))
            wide = draw(st.integers(0, 63) | st.sampled_from((1 << 20, 1 << 30)))
            last = min(end, first + wide)
        if version == 6 and last < 1 << 32:
            continue  # numbers below 2**32 are IPv4
        rows.append(Said(version, first, last, draw(st.sampled_from(values))))
    # at least one of both, for files of each IP version
    return [*rows, said("192.0.2.0/24", values[0]), said("2001:db8:ff::/48", values[0])]


def name_of(case: tuple[str, Writer, bool]) -> str:
    return case[1].__name__


@pytest.mark.parametrize("case", csvfiles.COUNTRY, ids=name_of)
@given(data=st.data())
@SOME
def test_g15_every_source_of_countries_answers_as_a_linear_scan_does(
    case: tuple[str, Writer, bool], data: st.DataObject
) -> None:
    form, write, networks = case
    rows = data.draw(generated(networks, ("DE", "FR", "ZZ", "GB")))
    check(form, write(rows), "country", rows)


@pytest.mark.parametrize("case", csvfiles.ASN, ids=name_of)
@given(data=st.data())
@SOME
def test_g15_every_source_of_as_numbers_answers_as_a_linear_scan_does(
    case: tuple[str, Writer, bool], data: st.DataObject
) -> None:
    form, write, networks = case
    rows = data.draw(generated(networks, ("64500", "4294967295", "1")))
    check(form, write(rows), "asn", rows)


@pytest.mark.parametrize("case", csvfiles.FLAGGED, ids=name_of)
@given(data=st.data())
@SOME
def test_g15_flags_answer_as_a_linear_scan_does(
    case: tuple[str, Writer, bool], data: st.DataObject
) -> None:
    form, write, networks = case
    anonymous = [claims for claims, flags in csvfiles.FLAGS.items() if not flags[-1]]
    values = anonymous if write is csvfiles.maxmind_anonymous else [*csvfiles.FLAGS]
    rows = data.draw(generated(networks, values))
    check(form, write(rows), "network", rows)


# What rows say


def rows_of(form: str, content: Content, layer: str = "country") -> list[tuple[Any, ...]]:
    """All rows of a source: both addresses as text, and the value."""
    found = []
    for version, columns, values in read_batches(form, content, "it", layer):
        shift = 96 if version == 4 else 0
        for fh, fl, lh, ll, value, _ in zip(*columns, strict=True):
            ends = ((fh << 64 | fl) >> shift, (lh << 64 | ll) >> shift)
            first, last = (str(ip_address(end.to_bytes(4 if version == 4 else 16))) for end in ends)
            found.append((first, last, values[value]))
    return found


@pytest.mark.parametrize(
    ("line", "expected_row"),
    [
        ("1.0.0.0,1.0.0.255,AU", ("1.0.0.0", "1.0.0.255", "AU")),
        ('"1.0.0.0","1.0.0.255","AU"', ("1.0.0.0", "1.0.0.255", "AU")),
        ("1.0.0.0, 1.0.0.255, au", ("1.0.0.0", "1.0.0.255", "AU")),
        ("16777216,16777471,AU", ("1.0.0.0", "1.0.0.255", "AU")),
        ("::ffff:1.0.0.0,::ffff:1.0.0.255,AU", ("1.0.0.0", "1.0.0.255", "AU")),
        ("281470698520576,281470698520831,AU", ("1.0.0.0", "1.0.0.255", "AU")),
        ("0.0.0.0,255.255.255.255,ZZ", ("0.0.0.0", "255.255.255.255", "ZZ")),
        ("::,1fff::,ZZ", ("::", "1fff::", "ZZ")),
        (
            "0,42535295865117307932921825928971026431,ZZ",
            ("::", "1fff:" + "ffff:" * 6 + "ffff", "ZZ"),
        ),
        ("::,::ffff:ffff:ffff,ZZ", ("::", "::ffff:255.255.255.255", "ZZ")),
        ("2001:db8::1,2001:db8::1,T1", ("2001:db8::1", "2001:db8::1", "T1")),
        ("1.0.0.7,1.0.1.9,??", ("1.0.0.7", "1.0.1.9", "??")),
    ],
)
def test_a_range_is_read_however_its_ends_are_written(line: str, expected_row: Any) -> None:
    found = [
        (first, "::ffff:255.255.255.255" if last == "::ffff:ffff:ffff" else last, value)
        for first, last, value in rows_of("csv-ranges", line.encode())
    ]
    assert found == [expected_row]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_end_of_a_line_and_a_byte_order_mark_make_no_difference(
    newline: str, mark: str
) -> None:
    lines = ["", "# a comment", "1.0.0.0,1.0.0.255,AU", "", "  ", "1.0.1.0,1.0.1.255,CN"]
    content = (mark + newline.join(lines)).encode()
    assert [row[2] for row in rows_of("csv-ranges", content)] == ["AU", "CN"]
    (batch, _) = read_batches("csv-ranges", content, "it", "country")
    assert [*batch.columns.line] == [3, 6]


def test_a_row_that_leaves_its_country_empty_says_nothing_and_zz_says_that_there_is_none() -> None:
    rows = ["1.0.0.0,1.0.0.255,AU", "1.0.0.0,1.0.0.127,", "1.0.0.128,1.0.0.255,ZZ"]
    answers = Answers(read_batches("csv-ranges", "\n".join(rows).encode(), "it", "country"))
    assert [answers.at(4, 0x0100_0000 + at) for at in (127, 128)] == ["AU", "ZZ"]


HEADED = {
    "older IPinfo": (
        "csv",
        "start_ip,end_ip,country,country_name,continent,continent_name,asn,as_name,as_domain\n"
        '1.0.0.0,1.0.0.255,AU,Australia,OC,Oceania,AS13335,"Cloudflare, Inc.",x.test\n',
        ("AU", "13335", "cdn:medium:Cloudflare"),
    ),
    "newer IPinfo, whose country is a name": (
        "csv",
        "network,country,country_code,continent,continent_code,asn,as_name,as_domain\n"
        "1.0.0.0/24,Australia,AU,Oceania,OC,AS64500,Example Hosting,x.test\n",
        ("AU", "64500", "hosting:low:Example Hosting"),
    ),
    "IPinfo location, with a region by name": (
        "csv",
        "start_ip,end_ip,join_key,city,region,country,latitude,longitude,postal_code,timezone\n"
        "1.0.0.0,1.0.0.255,1.0.0.0,Yalta,Crimea,RU,44.5,34.2,,\n",
        ("RU-CR", None, None),
    ),
    "columns in another order and in capitals": (
        "csv",
        "COUNTRY_CODE,REGION_CODE,Extra,End_IP,Start_IP\nUA,43,x,1.0.0.255,1.0.0.0\n",
        ("UA-43", None, None),
    ),
    "ip-location-db with a header": (
        "csv",
        "ip_range_start,ip_range_end,country_code,state1\n1.0.0.0,1.0.0.255,UA,Crimea\n",
        ("UA-43", None, None),
    ),
    "IPinfo privacy": (
        "csv",
        'network,vpn,proxy,tor,relay,hosting,service\n1.0.0.0/24,true,"false",,,true,Mullvad\n',
        (None, None, "vpn:medium:Mullvad|hosting:medium"),
    ),
    "IPinfo Plus, which has a geoname_id as MaxMind's blocks have": (
        "csv",
        "network,city,region,region_code,country,country_code,continent,continent_code,latitude,"
        "longitude,timezone,postal_code,dma_code,geoname_id,radius,asn,as_name,as_domain,as_type,"
        "carrier_name,mcc,mnc,as_changed,geo_changed,is_anonymous,is_anycast,is_hosting,is_mobile,"
        "is_satellite,is_proxy,is_relay,is_tor,is_vpn,privacy_name\n"
        "1.0.0.0/24,Weymouth,England,ENG,United Kingdom,GB,Europe,EU,50.6,-2.4,Europe/London,DT4,,"
        "2634202,5000,AS64500,Example,x.test,isp,,,,2021-05-01,,true,false,true,false,false,"
        "false,false,false,true,Mullvad\n",
        ("GB-ENG", "64500", "vpn:medium:Mullvad|hosting:medium"),
    ),
    "IPinfo's AS numbers, whose country is where the AS is registered": (
        "csv",
        "start_ip,end_ip,join_key,asn,domain,name,type,country\n"
        "1.0.0.0,1.0.0.255,1.0.0.0,AS64500,x.test,Example,isp,US\n",
        (None, "64500", ""),
    ),
    "MaxMind ASN": (
        "maxmind-csv",
        "network,autonomous_system_number,autonomous_system_organization\n"
        '1.0.0.0/24,64500,"Example Datacenter, Inc."\n',
        (None, "64500", "hosting:low:Example Datacenter, Inc."),
    ),
    "MaxMind Anonymous IP": (
        "maxmind-csv",
        "network,is_anonymous,is_anonymous_vpn,is_hosting_provider,is_public_proxy,"
        "is_residential_proxy,is_tor_exit_node\n1.0.0.0/24,1,1,0,0,0,1\n",
        (None, None, "vpn:medium|tor:medium"),
    ),
    "MaxMind's converter": (
        "maxmind-csv",
        "network_start_integer,network_last_integer,autonomous_system_number\n"
        "16777216,16777471,64500\n",
        (None, "64500", ""),
    ),
    "DB-IP location, with the code of the state": (
        "csv-ranges",
        "1.0.0.0,1.0.0.255,EU,UA,UA-43,Avtonomna Respublika Krym,,Yalta,,1,2,3,2,Europe/Kyiv,\n",
        ("UA-43", None, None),
    ),
    "DB-IP city lite, with the name of the state": (
        "csv-ranges",
        "1.0.0.0,1.0.0.255,EU,RU,Sevastopol City,Sevastopol,44.6,33.5\n",
        ("RU-SEV", None, None),
    ),
    "ip-location-db city": (
        "csv-ranges",
        "1.0.0.0,1.0.0.255,RU,Republic of Crimea,,Yalta,,44.5,34.2,Europe/Moscow\n",
        ("RU-CR", None, None),
    ),
    "an AS number of a company that is known": (
        "csv-ranges",
        '1.0.0.0,1.0.0.255,,""\n1.0.0.0,1.0.0.255,24940,"Hetzner Online GmbH"\n',
        (None, "24940", "hosting:medium:Hetzner"),
    ),
}


@pytest.mark.parametrize("what", HEADED)
def test_every_publishers_columns_are_understood(what: str) -> None:
    form, text, meanings = HEADED[what]
    content = text.encode()
    assert detect_source(content, "it") == form
    for layer, value in zip(("country", "asn", "network"), meanings, strict=True):
        if value is None:
            with pytest.raises(FormatError, match=f"^it:.*says nothing for the layer '{layer}'"):
                read_batches(form, content, "it", layer)
        else:
            assert rows_of(form, content, layer) == (
                [("1.0.0.0", "1.0.0.255", value)] if value else []
            )


@pytest.mark.parametrize("written", ["true", "True", "TRUE", "1", "yes", "t"])
def test_a_flag_is_true_however_that_is_written(written: str) -> None:
    text = f"network,vpn\n1.0.0.0/24,{written}\n1.0.1.0/24,false\n1.0.2.0/24,\n1.0.3.0/24,0\n"
    assert rows_of("csv", text.encode(), "network") == [("1.0.0.0", "1.0.0.255", "vpn:medium")]


def test_the_flags_of_a_file_are_trusted_as_it_is_stated() -> None:
    batches = read_batches(
        "csv", b"network,vpn\n1.0.0.0/24,true\n", "it", "network", confidence="high"
    )
    assert batches[0].values == ["vpn:high"]
    assert has_flags("csv", "network")
    assert has_flags("maxmind-csv", "network")
    assert not has_flags("csv", "country")
    assert not has_flags("csv-ranges", "network")


def test_where_an_as_is_registered_is_no_country_of_an_mmdb_either(tmp_path: Path) -> None:
    record = {"asn": "AS64500", "name": "Example", "domain": "x.test", "country": "US"}
    data = mmdb.write(tmp_path / "it.mmdb", [("1.0.0.0/24", record)]).read_bytes()
    assert rows_of("mmdb", data, "asn") == [("1.0.0.0", "1.0.0.255", "64500")]
    with pytest.raises(FormatError, match=r"^it: says nothing for the layer 'country'"):
        rows_of("mmdb", data)


# MaxMind: blocks and locations

LOCATIONS = (
    "geoname_id,locale_code,continent_code,continent_name,country_iso_code,country_name,"
    "subdivision_1_iso_code,subdivision_1_name,city_name\n"
    '1,en,EU,Europe,UA,Ukraine,43,"Crimea",Yalta\n2,en,EU,Europe,DE,Germany,,,\n3,en,EU,Europe,,,,,\n'
)
BLOCKS = "network,geoname_id,registered_country_geoname_id,represented_country_geoname_id\n"


def edition(blocks: str, locations: str | None = LOCATIONS) -> dict[str, bytes]:
    """A folder of GeoLite2 City."""
    files = {"GeoLite2-City-Blocks-IPv4.csv": (BLOCKS + blocks).encode(), "LICENSE.txt": b"x"}
    if locations is not None:
        files["GeoLite2-City-Locations-en.csv"] = locations.encode()
    return files


def test_where_a_network_is_registered_is_never_where_it_is() -> None:
    content = edition("1.0.0.0/24,1,2,2\n1.0.1.0/24,,2,\n1.0.2.0/24,3,2,\n1.0.3.0/24,2,,\n")
    assert rows_of("maxmind-csv", content) == [
        ("1.0.0.0", "1.0.0.255", "UA-43"),
        ("1.0.3.0", "1.0.3.255", "DE"),
    ]


def test_a_folder_an_archive_and_packed_files_say_the_same() -> None:
    content = edition("1.0.0.0/24,1,2,2\n")
    expected_rows = [("1.0.0.0", "1.0.0.255", "UA-43")]
    packed = {f"{name}.gz": gzip.compress(data) for name, data in content.items()}
    for each in (content, zipped(content), packed):
        assert detect_source(each, "it") == "maxmind-csv"
        assert rows_of("maxmind-csv", each) == expected_rows


def test_two_editions_in_a_folder_say_each_what_it_has() -> None:
    content = edition("1.0.0.0/24,1,2,2\n")
    content["GeoLite2-ASN-Blocks-IPv4.csv"] = HEADED["MaxMind ASN"][1].encode()
    assert rows_of("maxmind-csv", content) == [("1.0.0.0", "1.0.0.255", "UA-43")]
    assert rows_of("maxmind-csv", content, "asn") == [("1.0.0.0", "1.0.0.255", "64500")]
    with pytest.raises(FormatError, match="says nothing for the layer 'country'"):
        rows_of("maxmind-csv", {"a.csv": HEADED["MaxMind ASN"][1].encode()})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            edition("1.0.0.0/24,99,2,\n"),
            r"^it/GeoLite2-City-Blocks-IPv4.csv:2: '1.0.0.0/24,99,2,': the geoname_id '99' is not "
            r"in it/GeoLite2-City-Locations-en.csv: the files are of two releases",
        ),
        (
            edition("1.0.0.0/24,1,2,\n", None),
            "^it/GeoLite2-City-Blocks-IPv4.csv: the blocks refer to locations, which are missing; "
            "put the file '…-Locations-en.csv' beside them",
        ),
        (
            {"L-Locations-en.csv": LOCATIONS.encode()},
            "^it: locations without blocks; put the files",
        ),
        (
            edition("1.0.0.0/24,1\n"),
            "^it/GeoLite2-City-Blocks-IPv4.csv:2: '1.0.0.0/24,1': 2 columns, expected 4: 'network,",
        ),
        (
            edition("1.0.0.0/24,1,2,\n", LOCATIONS + "4,en\n"),
            "^it/GeoLite2-City-Locations-en.csv:5: '4,en': 2 columns, expected 9; fetch the file",
        ),
        (
            edition("1.0.0.0/24,1,2,\n", LOCATIONS.replace("DE,", "DEU,")),
            "^it/GeoLite2-City-Locations-en.csv:3: .*: country_code is 'DEU', expected a code of two",
        ),
        (
            {"a.csv": b"network,domain\n1.0.0.0/24,x\n"},
            "^it/a.csv:1: 'network,domain': expected the header of one of MaxMind's CSV files",
        ),
        ({"a.csv": b""}, "^it/a.csv:1: nothing: expected the header of one of MaxMind's CSV files"),
    ],
    ids=["unknown", "no locations", "no blocks", "cut", "cut locations", "code", "other", "empty"],
)
def test_what_is_wrong_with_blocks_or_locations_is_told(
    content: Mapping[str, bytes], says: str
) -> None:
    with pytest.raises(FormatError, match=says):
        rows_of("maxmind-csv", content)


# What is wrong

WRONG = [
    ("1.0.0.255,1.0.0.0,AU", "the range ends before it begins; swap its two addresses"),
    ("16777471,16777216,AU", "the range ends before it begins; swap its two numbers"),
    ("1.0.0.0,2001:db8::,AU", "the range mixes IPv4 and IPv6; write one range for each"),
    ("1.0.0.0,::ffff:2001:db8,AU,", "4 columns, expected 3: 'ip_start,ip_end,country_code'"),
    ("1.0.0.0,16777471,AU", "not an address: IPv4 needs four decimal numbers"),
    ("1.0.0.0,1.0.0.256,AU", "not an address: each number of an IPv4 address is at most 255"),
    ("1.0.0.00,1.0.0.255,AU", "not an address: remove the leading zeros"),
    (",1.0.0.255,AU", "an address is missing|not an IPv4 or IPv6 address"),
    (f"1,{1 << 128},AU", "an address as a number is at most 2"),
    (f"1,{'9' * 60},AU", "an address as a number is at most 2"),
    ("1,²,AU", "an address as a number is at most 2"),
    ("1.0.0.0,1.0.0.255", "2 columns, expected 3"),
    ("1.0.0.0,1.0.0.255,Australia", "country_code is 'Australia', expected a code of two letters"),
    ("1.0.0.0,1.0.0.255,A", "country_code is 'A', expected a code of two letters"),
    ('1.0.0.0,1.0.0.255,"A\x07"', r"country_code is 'A\\x07', expected a code of two letters"),
    ('1.0.0.0,1.0.0.255,"AU', "not valid CSV"),
    ('1.0.0.0,"1.0.0"255,AU', "not valid CSV"),
    ("1.0.0.0,1.0.0.255,\udcff", "not UTF-8 text"),
]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=[repr(line)[:40] for line, _ in WRONG])
def test_a_wrong_row_is_told_with_its_line_and_the_reason(line: str, says: str) -> None:
    content = f"9.0.0.0,9.0.0.255,US\n\n{line}\n".encode(errors="surrogateescape")
    with pytest.raises(FormatError, match=rf"^it:3: .*(?:{says})"):
        read_batches("csv-ranges", content, "it", "country")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("network,country_code\n1.0.0.1/24,AU\n", "it:2: .*host bits are set below /24"),
        ("network,country_code\n1.0.0.0/33,AU\n", "it:2: .*the prefix length is above 32"),
        ("network,country\n1.0.0.0/24,Australia\n", "it:2: .*country is 'Australia', expected a"),
        ("network,asn\n1.0.0.0/24,AS12x\n", "it:2: .*asn is 'AS12x', expected an AS number"),
        ("network,asn\n1.0.0.0/24,4294967296\n", "it:2: .*asn is '4294967296', expected an AS"),
        ("network,vpn\n1.0.0.0/24,maybe\n", "it:2: .*vpn is 'maybe', expected true or false"),
        ("network,vpn,vpn\n1.0.0.0/24,1,1\n", "it:1: two columns have the name 'vpn'; rename one"),
        ("first,last,country\n1.0.0.0,1.0.0.1,AU\n", "it:1: 'first,last,country': expected a hea"),
        ("network,city\n1.0.0.0/24,Bonn\n", r"it:1: says nothing for the layer '\w+': its columns "
         "are 'network', 'city'; expected one of"),
        ("1.0.0.0,1.0.0.255,AU\n", "it:1: '1.0.0.0,1.0.0.255,AU': expected a header with 'network'"
         ".*'csv-ranges'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_told(text: str, says: str) -> None:
    header = text.partition("\n")[0]
    layer = "network" if "vpn" in header else "asn" if "asn" in header else "country"
    with pytest.raises(FormatError, match=f"^{says}"):
        read_batches("csv", text.encode(), "it", layer)


@pytest.mark.parametrize(
    "line", ["network,country_code", "1.0.0.0/24,AU", "1.0.0.0,1.0.0.255,a,b,c,d", "Wrong"]
)
def test_what_has_no_known_layout_is_told_with_its_first_line(line: str) -> None:
    with pytest.raises(FormatError, match=f"^it:1: '{line}': expected two addresses and then"):
        read_batches("csv-ranges", line.encode(), "it", "country")


@pytest.mark.parametrize("form", ["csv", "csv-ranges"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\r\n", b"# nothing\n"])
def test_a_file_with_nothing_in_it_has_no_rows(form: str, content: bytes) -> None:
    assert rows_of(form, content) == []
    check_format(form, content, "it")
    with pytest.raises(FormatError, match=r"^it: has no data, so its format cannot be told"):
        detect_source(content, "it")


def test_an_as_number_of_zero_is_none() -> None:
    text = b"1.0.0.0,1.0.0.255,13335,x\n1.0.1.0,1.0.1.255,0,Not routed\n1.0.2.0,1.0.2.255,,\n"
    assert rows_of("csv-ranges", text, "asn") == [("1.0.0.0", "1.0.0.255", "13335")]


# Which format a file has

DETECTED = {
    "a list of networks": (b"# a comment, with a comma\n192.0.2.0/24 # one, two\n", "networks"),
    "a geofeed": (b"192.0.2.0/24,GB,GB-ENG,London,\n", "geofeed"),
    "a geofeed of addresses": (b"192.0.2.1,GB,,,\n", "geofeed"),
    "ranges as addresses": (b"1.0.0.0,1.0.0.255,AU\n", "csv-ranges"),
    "ranges in quotes": (b'"1.0.0.0","1.0.0.255","AU"\n', "csv-ranges"),
    "ranges as numbers": (b"16777216,16777471,AU\n", "csv-ranges"),
    "ranges of AS numbers, with a semicolon": (b'1.0.0.0,1.0.0.255,1,"A; # B"\n', "csv-ranges"),
    "Tor's file, which has comments": (b"# x\n16777216,16777471,AU\n", "tor-geoip"),
    "a table of IPinfo": (b"start_ip,end_ip,country\n", "csv"),
    "a table with a byte order mark": (b"\xef\xbb\xbfnetwork,country_code\r\n", "csv"),
    "MaxMind's blocks": (BLOCKS.encode(), "maxmind-csv"),
    "MaxMind's locations": (LOCATIONS.encode(), "maxmind-csv"),
    "a registry's file": (b"# APNIC\n2.3|apnic|20260926|0||20260925|+1000\n", "registries"),
    "Cloudflare's document": (b'{"result": {"ipv4_cidrs": [], "ipv6_cidrs": []}}', "cloudflare"),
    "Tor's exits": (b"ExitNode 00\n", "tor-exits"),
    "packed ranges": (b"georestrict-ranges 1\n", "packed"),
    "a compiled image": (b"GRDB\r\n\x1a\n", "image"),
    "an MMDB": (b"\0" * 9 + b"\xab\xcd\xefMaxMind.com", "mmdb"),
}


@pytest.mark.parametrize("what", DETECTED)
def test_the_format_is_told_by_content(what: str) -> None:
    content, form = DETECTED[what]
    assert detect_source(content, "it.csv") == form
    assert detect_source(gzip.compress(content), "it") == form
    check_format(form, content, "it")


def test_every_format_that_a_manifest_may_name_is_detected_or_a_feed() -> None:
    feeds = {"aws", "azure", "fastly", "github", "google", "oracle"}  # tests/test_feeds.py
    assert {*FORMATS} - feeds == {form for _, form in DETECTED.values()} - {"image"}
    assert {*FOLDER_FORMATS} < {*FORMATS}
    for form in ("csv", "csv-ranges", "maxmind-csv", "registries"):
        assert tells(form, "country")
        assert not needs_value(form, "country")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello, world\n", "it: of no format that is known: it begins with 'hello, world'; expec"),
        (b"ip;country\n", "it: of no format that is known: it begins with 'ip;country'"),
        (b"1.0.0.0;1.0.0.255;AU\n", "it: of no format that is known: it begins with '1.0.0.0;1.0"),
        (b"3|apnic|1|1|1|1|\n", "it: of no format that is known: it begins with '3.apnic"),
        (b"\x80\x81\x82", "it:1: not UTF-8 text"),
        (b"<html>404</html>", "it: HTML or XML, perhaps a page that reports an error"),
        (b'{"message": "no"}', "it: JSON, but no provider's that is known: it has the keys"),
        (b"\x1f\x8bnot gzip", "it: damaged gzip: .*; fetch the file again"),
        (gzip.compress(b"1.0.0.0,1.0.0.255,AU", mtime=0)[:-9], "it: damaged gzip: .*; fetch the file again"),
        (gzip.compress(bytes(257) + b"ustar", mtime=0), r"it: a tar archive, .*; unpack it \(tar -xf\)"),
        (b"PK\x03\x04not zip", "it: a damaged zip archive: .*; fetch the file again"),
        ({}, r"it: holds no file of data, only \[\]; name the folder"),
        ({"README.md": b"x", ".it": b"x"}, "it: holds no file of data, only .*'README.md'"),
        (
            {"a": b"1.0.0.0,1.0.0.255,AU", "b": b"192.0.2.0/24,GB,,,"},
            "it: holds files of several formats: it/a is 'csv-ranges', it/b is 'geofeed'",
        ),
        (
            {"x/it.mmdb": DETECTED["an MMDB"][0]},
            "it: a source of the format 'mmdb' is one file, not a folder or an archive; unpack it "
            "and name the file, such as it/x/it.mmdb",
        ),
        ({"a": zipped({"b": b""})}, "it/a: .*"),
        ({"a": b"hello, world"}, "it/a: of no format that is known: it begins with 'hello, world'"),
    ],
)  # fmt: skip
def test_a_format_that_is_not_known_is_told_with_what_was_found(
    content: Content, says: str
) -> None:
    with pytest.raises(FormatError, match=f"^{says}"):
        detect_source(content, "it")


@pytest.mark.parametrize(
    ("stated", "content", "says"),
    [
        (
            "mmdb",
            b"1.0.0.0,1.0.0.255,AU\n",
            "it: format = 'mmdb' is stated, but the content is of the format 'csv-ranges': it "
            "begins with '1.0.0.0,1.0.0.255,AU'; state that format, or name the file that is meant",
        ),
        ("csv-ranges", DETECTED["an MMDB"][0], "it: .* is of the format 'mmdb': it begins with b'"),
        ("tor-geoip", {"a": b"network,asn\n"}, "it: .*'csv': it/a begins with 'network,asn'"),
        ("registries", b"hello\n", "it: of no format that is known: it begins with 'hello'"),
        ("csv", b"192.0.2.0/24\n", "it: .* is of the format 'networks'"),
    ],
)
def test_a_stated_format_that_the_content_contradicts_is_refused(
    stated: str, content: Content, says: str
) -> None:
    with pytest.raises(FormatError, match=f"^{says}"):
        check_format(stated, content, "it")


def test_a_format_may_be_stated_that_reads_the_same_file_alike() -> None:
    ranges, networks = b"16777216,16777471,AU\n", b"192.0.2.0/24\n192.0.3.0/24,GB,,,\n"
    check_format("tor-geoip", ranges, "it")
    assert rows_of("tor-geoip", ranges) == rows_of("csv-ranges", ranges)
    check_format("csv-ranges", b"# x\n" + ranges, "it")
    check_format("geofeed", networks, "it")
    table_of_as = b"network,autonomous_system_number\n1.0.0.0/24,64500\n"
    for form in ("csv", "maxmind-csv"):
        check_format(form, table_of_as, "it")
        assert rows_of(form, table_of_as, "asn") == [("1.0.0.0", "1.0.0.255", "64500")]


# Folders, archives, gzip


def test_what_stands_beside_data_in_a_folder_is_left_out() -> None:
    files = {
        "it-ipv4.csv": b"1.0.0.0,1.0.0.255,AU\n",
        "it-ipv6.csv": b"2001:db8::,2001:db8::ff,GB\n",
        "empty.csv": b"",
        ".it.fetched.json": b"{}",
        "DBIP-LICENSE": b"text, with commas",
        "README.md": b"text",
        "it.csv.md5": b"0",
        "package.json": b"{}",
        "__MACOSX/it-ipv4.csv": b"\0",
    }
    assert detect_source(files, "it") == "csv-ranges"
    both = [("1.0.0.0", "1.0.0.255", "AU"), ("2001:db8::", "2001:db8::ff", "GB")]
    assert rows_of("csv-ranges", files) == both
    assert rows_of("csv-ranges", zipped(files)) == both


def test_a_table_that_says_nothing_for_a_layer_may_lie_beside_one_that_does() -> None:
    files = {"asn.csv": b"network,asn\n1.0.0.0/24,7\n", "country.csv": b"network,country_code\n"}
    assert rows_of("csv", files, "asn") == [("1.0.0.0", "1.0.0.255", "7")]
    with pytest.raises(FormatError, match=r"^it/country\.csv:1: says nothing for the layer 'asn'"):
        rows_of("csv", {"country.csv": files["country.csv"]}, "asn")


def test_a_format_of_one_file_is_not_read_from_a_folder() -> None:
    with pytest.raises(FormatError, match=r"^it: a source of the format 'mmdb' is one file"):
        read_batches("mmdb", {"it": b""}, "it", "country")
    with pytest.raises(FormatError, match=r"^it/a: a zip archive in a folder or an archive; "):
        read_batches("csv-ranges", {"a": zipped({"b": b""})}, "it", "country")
    with pytest.raises(FormatError, match=r"^it/a: a zip archive in a folder or an archive; "):
        read_batches("csv-ranges", zipped({"a": zipped({"b": b""})}), "it", "country")


def test_a_file_that_becomes_implausibly_large_is_refused_before_it_fills_the_memory() -> None:
    large = b"1.0.0.0,1.0.0.255,AU\n" * (1 << 20)  # 21 MiB; packed to less than a 200th
    assert 200 * len(gzip.compress(large)) < len(large)
    with pytest.raises(
        FormatError, match=r"^it: becomes more than 16,777,216 bytes when it is unp"
    ):
        read_batches("csv-ranges", gzip.compress(large), "it", "country")
    with pytest.raises(FormatError, match=r"^it/a: becomes more than 16,777,216 bytes when it is"):
        read_batches("csv-ranges", zipped({"a": large}), "it", "country")


def test_a_damaged_archive_is_told() -> None:
    data = bytearray(zipped({"a": b"1.0.0.0,1.0.0.255,AU\n" * 99}))
    data[40] ^= 0xFF
    with pytest.raises(FormatError, match=r"^it/a: damaged: .*; fetch the file again"):
        read_batches("csv-ranges", bytes(data), "it", "country")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"x")
    with pytest.raises(FormatError, match=r"^it/a: packed by method 14 of zip, which is not read"):
        read_batches("csv-ranges", file.getvalue(), "it", "country")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        nameless = zipfile.ZipInfo("a")
        nameless.filename = ""
        archive.writestr(nameless, b"x")
    with pytest.raises(FormatError, match=r"^it: a damaged zip archive: |^it: holds no file of d"):
        detect_source(file.getvalue(), "it")
    encrypted = bytearray(zipped({"a": b"x"}))
    at = encrypted.index(b"PK\x01\x02") + 8
    encrypted[at] |= 1
    with pytest.raises(FormatError, match=r"^it/a: encrypted; unpack the archive"):
        read_batches("csv-ranges", bytes(encrypted), "it", "country")


def test_a_compiled_image_is_told_from_a_file_of_rows() -> None:
    with pytest.raises(FormatError, match=r"^it: of the format 'image', which has no rows to rea"):
        read_batches("image", b"GRDB\r\n\x1a\n", "it", "country")


@pytest.mark.parametrize("form", ["registries", "tor-geoip"])
def test_what_tells_countries_tells_nothing_else(form: str) -> None:
    with pytest.raises(
        FormatError, match=r"^it: says nothing for the layer 'asn', only for 'count"
    ):
        read_batches(form, b"", "it", "asn")


# Of which day


@pytest.mark.parametrize(
    ("form", "content", "day"),
    [
        ("tor-geoip", b"# x\n# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n", date(2026, 6, 25)),
        ("tor-geoip", b"# Generated: yesterday\n", None),
        ("tor-geoip", b"1,2,AU\n", None),
        ("registries", b"# x\n2.3|apnic|20260926|1||20260925|+1000\n", date(2026, 9, 25)),
        ("registries", b"2|ripencc|1790287199|1|19700101|20260924|+0200\n", date(2026, 9, 24)),
        ("registries", b"2|ripencc|1790287199|1|19700101|20269924|+0200\n", None),
        (
            "registries",
            {"a": b"2|x|1|1||20260925|0\n", "b": b"2|y|1|1||20260103|0\n"},
            date(2026, 1, 3),
        ),
        ("maxmind-csv", {"GeoLite2-City-CSV_20260102/a.csv": b""}, date(2026, 1, 2)),
        ("maxmind-csv", edition(""), None),
        ("csv-ranges", b"1.0.0.0,1.0.0.255,AU", None),
        ("csv-ranges", {"a": b"1.0.0.0,1.0.0.255,AU"}, None),
        ("aws", b'{"createDate": "2026-01-02-03-04-05"}', date(2026, 1, 2)),
        ("google", b'{"creationTime": "2026-01-02T03:04:05.6"}', date(2026, 1, 2)),
        ("oracle", b'{"last_updated_timestamp": "2026-01-02T03:04:05"}', date(2026, 1, 2)),
        ("tor-exits", b"@type tordnsel 1.0\nDownloaded 2026-01-02 03:04:05\n", date(2026, 1, 2)),
    ],
)
def test_the_day_is_what_the_content_says_the_oldest_of_several_files(
    form: str, content: Content, day: date | None
) -> None:
    assert date_of(form, content) == day
    packed = gzip.compress(content) if isinstance(content, bytes) else zipped(content)
    assert date_of(form, packed) == day


def test_an_mmdb_tells_when_it_was_built(tmp_path: Path) -> None:
    path = mmdb.write(tmp_path / "it.mmdb", [("1.0.0.0/24", {"country_code": "AU"})])
    data = path.read_bytes()
    assert date_of("mmdb", data) == datetime.now(UTC).date()
    at = data.index(b"build_epoch") + len(b"build_epoch")
    for epoch, size in ((b"\xff" * 8, 8), (b"\xff" * 7, 7)):  # 2**64 - 1: G11
        damaged = data[:at] + bytes((size, 2)) + epoch + data[at + 6 :]
        with pytest.raises(FormatError, match=r"^it: says that it was built at \d+ s after"):
            date_of("mmdb", damaged, "it")


# Whatever the bytes


PIECES = [
    *(
        b",",
        b"\n",
        b'"',
        b"|",
        b"1.0.0.0",
        b"1.0.0.255",
        b"::",
        b"2001:db8::/32",
        b"AU",
        b"16777216",
    ),
    *(b"network", b"start_ip,end_ip", b"country_code", b"geoname_id", b"asn", b"\x80", b"\0", b"#"),
    *(b"2|apnic|1|1||20260925|\n", b"apnic|AU|ipv4|1.0.0.0|256|1|allocated\n", b"summary"),
    *(b"PK\x03\x04", b"\x1f\x8b", b"\xef\xbb\xbf", b"{", b"[", b"georestrict-ranges 1\n"),
]
CONTENTS = st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


@given(
    content=CONTENTS | st.dictionaries(st.text(max_size=5), CONTENTS, max_size=3),
    form=st.sampled_from(FORMATS),
    layer=st.sampled_from(("country", "network", "asn")),
)
@settings(max_examples=400, deadline=None)
def test_whatever_the_bytes_the_error_is_ours(content: Content, form: str, layer: str) -> None:
    for act in (
        lambda: detect_source(content, "it"),
        lambda: check_format(form, content, "it"),
        lambda: date_of(form, content, "it"),
        lambda: read_batches(form, content, "it", layer),
    ):
        with suppress(DatabaseError, ConfigurationError):
            act()


@given(
    case=st.sampled_from([*csvfiles.COUNTRY, *csvfiles.ASN]),
    at=st.integers(0, 4000),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_whatever_happened_to_a_file_the_error_is_ours(
    case: tuple[str, Writer, bool], at: int, byte: int, cut: bool
) -> None:
    form, write, _ = case
    rows = [said("1.0.0.0/24", "7"), said("2001:db8::/32", "8")]
    content = write([row._replace(value=f"{row.value}0") for row in rows])

    def damaged(data: bytes) -> bytes:
        here = at % len(data)
        return data[:here] if cut else data[:here] + bytes((byte,)) + data[here + 1 :]

    broken: Content = (
        damaged(content)
        if isinstance(content, bytes)
        else {name: damaged(data) for name, data in content.items()}
    )
    with suppress(DatabaseError, ConfigurationError):
        detect_source(broken, "it")
    with suppress(DatabaseError, ConfigurationError):
        read_batches(form, broken, "it", "asn" if case in csvfiles.ASN else "country")


# Through to an image


def test_g15_an_image_of_a_csv_file_answers_as_a_linear_scan_does(tmp_path: Path) -> None:
    rows = [
        said("1.0.0.0/8", "AU"),
        said("1.0.0.0/24", "CN"),
        said("1.0.0.128/25", "JP"),
        Said(4, 0x0100_0080, 0x0100_0083, "GB"),
        Said(6, 0x2001_0200 << 96, (0x2001_0201 << 96) + 5, "JP"),
        said("2001:200::/64", "KR"),
    ]
    (tmp_path / "it.csv").write_bytes(csvfiles.dbip_country(rows))  # type: ignore[arg-type]
    (tmp_path / "sources.toml").write_text(
        '[[source]]\nname = "it"\ntitle = "It"\nlayer = "country"\nformat = "csv-ranges"\n'
        'path = "it.csv"\ndate = 2026-01-02\nlicence = "x"\nattribution = "x"\n'
    )
    (tmp_path / "it.grdb").write_bytes(Manifest.load(tmp_path / "sources.toml").compile())
    database = Database.open(tmp_path / "it.grdb")
    for row in rows:
        for number in (row.first - 1, row.first, row.last, row.last + 1):
            address = ip_address(number.to_bytes(4 if row.version == 4 else 16))
            assert (database.lookup(str(address)).country or "") == expected(
                rows, row.version, number
            )


# The real thing: ranges that overlap by themselves


@pytest.mark.slow
@pytest.mark.needs("npm")
def test_g15_most_specific_rows_win_in_the_whole_of_a_file_that_overlaps_itself(
    tmp_path: Path,
) -> None:
    package = "@ip-location-db/geo-whois-asn-country@2.3.2026061719"
    subprocess.run(["npm", "pack", "--silent", package], cwd=tmp_path, check=True)
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    for version, overlapping in ((4, 568), (6, 83)):
        name = f"geo-whois-asn-country-ipv{version}"
        text, numbers = (
            (tmp_path / "package" / each).read_bytes()
            for each in (f"{name}.csv", f"{name}-num.csv")
        )
        ranges = [
            (int(first), int(last), country)
            for first, last, country in csv.reader(numbers.decode().splitlines())
        ]
        assert sum(row[0] <= before[1] for before, row in pairwise(ranges)) == overlapping
        batches = read_batches("csv-ranges", text, name, "country")
        assert batches == read_batches("csv-ranges", numbers, name, "country")
        answers = Answers(batches)
        for address, country in swept(ranges, 32 if version == 4 else 128):
            assert answers.at(version, address) == country, ip_address(address)


def swept(ranges: Sequence[tuple[int, int, str]], width: int) -> Iterator[tuple[int, str]]:
    """Yield every boundary of ranges, the addresses beside it, and what the narrowest one says.

    As the linear scan of the gold model, in one pass: of the ranges that have begun, the narrowest
    stands first; of equal ones the last.
    """
    order = sorted((first, -at, last, value) for at, (first, last, value) in enumerate(ranges))
    edges = {edge + by for first, last, _ in ranges for edge in (first, last) for by in (-1, 0, 1)}
    begun: list[tuple[int, int, int, str]] = []
    next_at = 0
    for address in sorted(edges):
        if 0 <= address < 1 << width:
            while next_at < len(order) and order[next_at][0] <= address:
                first, minus_at, last, value = order[next_at]
                heappush(begun, (last - first, minus_at, last, value))
                next_at += 1
            while begun and begun[0][2] < address:
                heappop(begun)
            yield address, begun[0][3] if begun else ""
