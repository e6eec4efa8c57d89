"""The registries' delegated-extended files: every kind of record, and every damage."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import FormatError
from georestrict.errors import DatabaseError
from georestrict.sources import check_format, date_of, detect_source, read_batches
from tests import gold
from tests.csvfiles import Answers, Content, zipped

# What is read here both cores paint alike.
pytestmark = pytest.mark.once

NAMES = ("afrinic", "apnic", "arin", "lacnic", "ripencc")

# Lines as the registries write them: what stands in a field, differs between them.
APNIC = """\
# statement of the data's purpose
#
2.3|apnic|20260926|10||20260925|+1000
apnic|*|asn|*|1|summary
apnic|*|ipv4|*|6|summary
apnic|*|ipv6|*|3|summary
apnic|JP|asn|173|1|20020801|allocated|A91A7381
apnic|CN|ipv4|1.0.1.0|256|20110414|allocated|A92319D5
apnic|AU|ipv4|1.0.2.0|768|20110414|assigned|A92319D6
apnic|AP|ipv4|1.1.0.0|1|20110414|assigned|A92319D7
apnic||ipv4|1.2.0.0|65536||available|
apnic||ipv4|1.3.0.0|65536||reserved|
apnic|HK|ipv4|255.255.255.0|256|20110414|allocated|A92319D8
apnic|JP|ipv6|2001:200::|35|19990813|allocated|A91A560A
apnic|au|ipv6|2001:4:112::|48|19990813|assigned|A91A560B
apnic||ipv6|2001:800::|22||available|
"""
RIPE = """\
2|ripencc|1790287199|3|19700101|20260924|+0200
ripencc|*|ipv4|*|3|summary
ripencc|EU|ipv4|2.0.0.0|1536|20100712|allocated|6874477a
ripencc||ipv4|85.8.248.0|2048||available
ripencc|NL|ipv4|2.0.4.0|256|20100712|allocated|6874477a
"""
AFRINIC = """\
2|afrinic|20260924|2|00000000|20260924|00000
afrinic|ZZ|ipv4|102.192.0.0|524288||available|
afrinic|KE|ipv4|102.0.0.0|256|00000000|allocated|F36B9F4B
"""


def rows(content: Content) -> list[tuple[str, str]]:
    """The rows of a source, as networks or ranges of IPv4 and IPv6, and their countries."""
    found = []
    for version, columns, values in read_batches("registries", content, "it", "country"):
        for fh, fl, lh, ll, value, _ in zip(*columns, strict=True):
            first, last = fh << 64 | fl, lh << 64 | ll
            if version == 4:
                ends = (str(IPv4Address(end >> 96)) for end in (first, last))
                found.append(("-".join(ends), values[value]))
            else:
                length = 128 - (last - first).bit_length()
                found.append((str(ip_network((first, length))), values[value]))
    return found


OF_APNIC = [
    ("1.0.1.0-1.0.1.255", "CN"),
    ("1.0.2.0-1.0.4.255", "AU"),
    ("1.1.0.0-1.1.0.0", "AP"),
    ("255.255.255.0-255.255.255.255", "HK"),
    ("2001:200::/35", "JP"),
    ("2001:4:112::/48", "AU"),
]


def test_only_what_was_given_to_somebody_has_a_country() -> None:
    assert rows(APNIC.encode()) == OF_APNIC
    assert rows(AFRINIC.encode()) == [("102.0.0.0-102.0.0.255", "KE")]
    (ipv4, ipv6) = read_batches("registries", APNIC.encode(), "it", "country")
    assert [*ipv4.columns.line] == [8, 9, 10, 13]
    assert [*ipv6.columns.line] == [14, 15]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_end_of_a_line_and_a_byte_order_mark_make_no_difference(
    newline: str, mark: str
) -> None:
    content = (mark + APNIC.replace("\n", newline)).encode()
    assert detect_source(content, "it") == "registries"
    assert rows(content) == OF_APNIC


def test_the_files_of_several_registries_are_read_as_one() -> None:
    files = {
        "delegated-afrinic-extended-latest": AFRINIC.encode(),
        "delegated-apnic-extended-latest": gzip.compress(APNIC.encode()),
        "delegated-apnic-extended-latest.md5": b"MD5 (delegated-apnic-extended-latest) = 0\n",
        "delegated-ripencc-extended-latest": RIPE.encode(),
    }
    for each in (files, zipped(files)):
        assert detect_source(each, "it") == "registries"
        check_format("registries", each, "it")
        assert str(date_of("registries", each)) == "2026-09-24"
        assert [row for row in rows(each) if "." in row[0]] == [
            ("102.0.0.0-102.0.0.255", "KE"),
            *OF_APNIC[:4],
            ("2.0.0.0-2.0.5.255", "EU"),
            ("2.0.4.0-2.0.4.255", "NL"),
        ]


HEADER = "2|apnic|20260926|1||20260925|+1000\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("apnic|CN|ipv4|1.0.1.0|256|20110414", "expected 'registry|cc|kind|start|value|date|st"),
        ("apnic|CN|ipv4|1.0.1.0|0|1|allocated", "'0' is no number of addresses"),
        ("apnic|CN|ipv4|1.0.1.0|-1|1|allocated", "'-1' is no number of addresses"),
        ("apnic|CN|ipv4|1.0.1.0|²|1|allocated", "'²' is no number of addresses"),
        (f"apnic|CN|ipv4|1.0.1.0|{'9' * 40}|1|allocated", "is no number of addresses"),
        ("apnic|CN|ipv4|255.255.255.0|257|1|allocated", "257 addresses from 255.255.255.0 are m"),
        ("apnic|CN|ipv4|1.0.1|256|1|allocated", "'1.0.1' is no IPv4 address"),
        ("apnic|CN|ipv4|2001:db8::|256|1|allocated", "'2001:db8::' is no IPv4 address"),
        ("apnic|CN|ipv4|::ffff:1.0.1.0|256|1|allocated", "'::ffff:1.0.1.0' is no IPv4 address"),
        ("apnic|CN|ipv6|1.0.1.0|32|1|allocated", "'1.0.1.0' is no IPv6 address"),
        ("apnic|CN|ipv6|2001:db8::|129|1|allocated", "the prefix length is above 128"),
        ("apnic|CN|ipv6|2001:db8::1|32|1|allocated", "host bits are set below /32"),
        ("apnic|CN|ipv6|2001:dg8::|32|1|allocated", "not an IPv4 or IPv6 address"),
        ("apnic|CN|ipv5|1.0.1.0|256|1|allocated", "the kind 'ipv5' is not asn, ipv4 or ipv6"),
        ("apnic|CN|ipv4|1.0.1.0|256|1|lent", "the status 'lent' is not one of allocated, assi"),
        ("apnic|CHN|ipv4|1.0.1.0|256|1|allocated", "'CHN' is no country of two letters"),
        ("apnic|C\x07|ipv4|1.0.1.0|256|1|allocated", r"'C\x07' is no country of two letters"),
    ],
)
def test_a_wrong_record_is_told_with_its_line_and_the_reason(line: str, says: str) -> None:
    with pytest.raises(FormatError) as caught:
        rows((HEADER + line).encode())
    assert str(caught.value).startswith("it:2: '")
    assert says in str(caught.value)
    assert str(caught.value).endswith("; fetch the file again")


@pytest.mark.parametrize(
    "line",
    [
        "apnic|CN|ipv4|1.0.1.0|256|20110414|allocated|A92319D5",
        "3|apnic|20260926|1||20260925|+1000",
        "2|apnic|20260926",
        "2|apnic|20260926|many||20260925|+1000",
        "1.0.0.0,1.0.0.255,AU",
    ],
)
def test_a_file_without_a_header_is_refused(line: str) -> None:
    with pytest.raises(FormatError, match=r"^it:2: '.*': expected the header of a registry's file"):
        rows(f"# comment\n{line}\n".encode())


def test_a_file_that_was_cut_off_is_refused() -> None:
    whole = APNIC.encode()
    for length in range(whole.index(b"apnic|JP|ipv6"), len(whole) - 40):
        with pytest.raises(FormatError, match=r"^it(:\d+)?: .*fetch (the file|it) again$"):
            rows(whole[:length])
    with pytest.raises(FormatError, match=r"^it: has 9 records, its header says 10: it was cut o"):
        rows(APNIC[: APNIC.index("apnic||ipv6")].encode())


def test_a_file_that_is_no_text_is_refused_with_the_line() -> None:
    with pytest.raises(FormatError, match=r"^it:2: not UTF-8 text"):
        rows(HEADER.encode() + b"\xff")


def test_an_empty_file_has_no_rows() -> None:
    assert rows(b"") == []
    assert date_of("registries", b"") is None


@given(
    given_rows=st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(("DE", "FR", "EU", "")),
            st.booleans(),
            st.integers(0, 255) | st.sampled_from(((1 << 32) - 300, 1 << 24)),
            st.integers(1, 300),
            st.sampled_from(("allocated", "assigned", "available", "reserved")),
        ),
        max_size=15,
    )
)
@settings(max_examples=60, deadline=None)
def test_g15_all_registries_together_answer_as_a_linear_scan_does(
    given_rows: Sequence[tuple[str, str, bool, int, int, str]],
) -> None:
    lines: dict[str, list[str]] = {name: [] for name in NAMES}
    ranges: dict[str, list[tuple[int, int, int, str]]] = {name: [] for name in NAMES}
    for name, country, is_ipv4, start, count, status in given_rows:
        if is_ipv4:
            count = min(count, (1 << 32) - start)
            record = f"ipv4|{IPv4Address(start)}|{count}"
            version, first, last = 4, start, start + count - 1
        else:
            network = ip_network(((0x2001_0DB8 << 96) + start, 119 + count % 10), strict=False)
            record = f"ipv6|{network.network_address}|{network.prefixlen}"
            version, first, last = 6, int(network[0]), int(network[-1])
        lines[name].append(f"{name}|{country}|{record}|20260101|{status}|x")
        if country and status in ("allocated", "assigned"):
            ranges[name].append((version, first, last, country))
    files = {
        f"delegated-{name}-extended-latest": "\n".join(
            [f"2|{name}|1|{len(some)}||20260101|0", *some]
        ).encode()
        for name, some in lines.items()
    }
    answers = Answers(read_batches("registries", files, "it", "country"))
    told = [each for name in NAMES for each in ranges[name]]
    for version, edge in ((4, 1 << 32), (6, 1 << 128)):
        of_version = [(row[1], row[2], at) for at, row in enumerate(told, 1) if row[0] == version]
        for first, last, _ in of_version:
            for address in (first - 1, first, last, last + 1):
                if 0 <= address < edge:
                    at = gold.find(of_version, address)
                    assert answers.at(version, address) == (told[at - 1][3] if at else "")


@given(at=st.integers(0, 2000), byte=st.integers(0, 255), source=st.sampled_from((APNIC, RIPE)))
@settings(max_examples=300, deadline=None)
def test_whatever_happened_to_a_file_the_error_is_ours(at: int, byte: int, source: str) -> None:
    data = bytearray(source.encode())
    data[at % len(data)] = byte
    for act in (
        lambda: detect_source(bytes(data), "it"),
        lambda: date_of("registries", bytes(data)),
        lambda: read_batches("registries", bytes(data), "it", "country"),
    ):
        with suppress(DatabaseError):
            act()
