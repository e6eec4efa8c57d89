"""Providers' feeds: every format as documented, every kind of damage, and as lists and sources."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from georestrict import ConfigurationError, Database, FormatError, Policy
from georestrict._core import parse_address
from georestrict.lists import Lists
from georestrict.manifest import Manifest
from georestrict.sources import Row, detect, feeds, gathered, networks, packed, parse_list
from georestrict.sources.entry import Selection
from georestrict.testing import tiny_database

AWS = {
    "syncToken": "1",
    "createDate": "2026-01-02-03-04-05",
    "prefixes": [
        {"ip_prefix": "192.0.2.0/24", "region": "eu-west-1", "service": "AMAZON", "network_border_group": "eu-west-1"},
        {"ip_prefix": "192.0.2.0/25", "region": "eu-west-1", "service": "EC2", "network_border_group": "eu-west-1"},
        {"ip_prefix": "198.51.100.0/24", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"},
    ],
    "ipv6_prefixes": [
        {"ipv6_prefix": "2001:db8::/40", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"},
    ],
}  # fmt: skip
GOOGLE = {
    "syncToken": "1",
    "creationTime": "2026-01-02T03:04:05.6",
    "prefixes": [
        {"ipv4Prefix": "192.0.2.0/24", "service": "Google Cloud", "scope": "europe-west1"},
        {"ipv6Prefix": "2001:db8:1::/48", "service": "Google Cloud", "scope": "us-east1"},
    ],
}
AZURE = {
    "changeNumber": 1,
    "cloud": "Public",
    "values": [
        {
            "name": "AzureCloud",
            "id": "AzureCloud",
            "properties": {
                "changeNumber": 1,
                "region": "",
                "regionId": 0,
                "platform": "Azure",
                "systemService": "",
                "addressPrefixes": ["192.0.2.0/24", "2001:db8:2::/48"],
                "networkFeatures": None,
            },
        },
        {
            "name": "AzureFrontDoor.Frontend",
            "id": "AzureFrontDoor.Frontend",
            "properties": {
                "region": "westeurope",
                "systemService": "AzureFrontDoor",
                "addressPrefixes": ["192.0.2.128/25"],
            },
        },
    ],
}
ORACLE = {
    "last_updated_timestamp": "2026-01-02T03:04:05.678",
    "regions": [
        {
            "region": "uk-london-1",
            "cidrs": [
                {"cidr": "203.0.113.0/25", "tags": ["OCI"]},
                {"cidr": "203.0.113.128/25", "tags": ["OSN", "OBJECT_STORAGE"]},
            ],
        },
        {"region": "us-ashburn-1", "cidrs": [{"cidr": "198.51.100.0/24", "tags": ["OCI"]}]},
    ],
}
CLOUDFLARE = {
    "result": {"ipv4_cidrs": ["192.0.2.0/24"], "ipv6_cidrs": ["2001:db8::/32"], "etag": "1"},
    "success": True,
    "errors": [],
    "messages": [],
}
FASTLY = {"addresses": ["192.0.2.0/24"], "ipv6_addresses": ["2001:db8::/32"]}
GITHUB = {
    "verifiable_password_authentication": False,
    "ssh_key_fingerprints": {"SHA256_RSA": "192.0.2.77"},
    "ssh_keys": ["ssh-ed25519 AAAA"],
    "hooks": ["192.0.2.0/24", "2001:db8::/32"],
    "web": ["192.0.2.0/24"],
    "actions": ["198.51.100.7/32", "198.51.100.9"],
    "domains": {"website": ["*.example.com"]},
    "a_new_service": ["203.0.113.0/24"],
    "a_new_kind_of_keys": ["AAAA"],
    "empty": [],
}
GEOFEED = """\
# Geofeed of nobody; prefix,country,region,city,postal code

192.0.2.0/25,GB,GB-ENG,London,
192.0.2.128/25,ua,UA-43,"Yalta, city",  # of Crimea
198.51.100.0/24,DE,US-CA,Berlin,10115
203.0.113.7,FR,,
203.0.113.128/25,,,,
2001:db8::/45,US,US-CA,Los Angeles,
"""
EXITS = """\
@type tordnsel 1.0
Downloaded 2026-01-02 03:04:05
ExitNode 0011223344556677889900112233445566778899
Published 2026-01-01 01:01:01
LastStatus 2026-01-01 02:00:00
ExitAddress 192.0.2.1 2026-01-01 02:03:04
ExitAddress 192.0.2.2 2026-01-01 02:03:04
ExitNode 9911223344556677889900112233445566778899
Published 2026-01-01 01:01:01
LastStatus 2026-01-01 02:00:00
ExitAddress 2001:db8::5 2026-01-01 02:03:04
"""
NETSET = """\
#
# some_netset
#
# ipv4 hash:net ipset
#
# Maintainer      : nobody
# Entries         : 2 subnets, 300 unique IPs
#
192.0.2.0/24
198.51.100.7
203.0.113.0-203.0.113.9
"""

DOCUMENTS: dict[str, Any] = {
    "aws": AWS,
    "google": GOOGLE,
    "azure": AZURE,
    "oracle": ORACLE,
    "cloudflare": CLOUDFLARE,
    "fastly": FASTLY,
    "github": GITHUB,
}
FILES = {form: json.dumps(document, indent=2).encode() for form, document in DOCUMENTS.items()} | {
    "geofeed": GEOFEED.encode(),
    "tor-exits": EXITS.encode(),
    "networks": NETSET.encode(),
}
TOLD = {
    "aws": ["192.0.2.0/24", "192.0.2.0/25", "198.51.100.0/24", "2001:db8::/40"],
    "google": ["192.0.2.0/24", "2001:db8:1::/48"],
    "azure": ["192.0.2.0/24", "2001:db8:2::/48", "192.0.2.128/25"],
    "oracle": ["203.0.113.0/25", "203.0.113.128/25", "198.51.100.0/24"],
    "cloudflare": ["192.0.2.0/24", "2001:db8::/32"],
    "fastly": ["192.0.2.0/24", "2001:db8::/32"],
    "github": [
        "192.0.2.0/24", "2001:db8::/32", "192.0.2.0/24", "198.51.100.7/32", "198.51.100.9/32", "203.0.113.0/24",
    ],
    "geofeed": [
        "192.0.2.0/25", "192.0.2.128/25", "198.51.100.0/24", "203.0.113.7/32", "203.0.113.128/25", "2001:db8::/45",
    ],
    "tor-exits": ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::5/128"],
}  # fmt: skip


def row(network: str, line: int, value: str = "") -> Row:
    parsed = ip_network(network)
    return Row(
        parsed.version,
        int(parsed.network_address),
        int(parsed.broadcast_address),
        value,
        line,
    )


def rows(form: str, data: bytes, layer: str = "network", select: str = "") -> list[Row]:
    fields = feeds.FIELDS[form]
    wanted = [Selection.parse(select, fields)] if select else []
    return list(feeds.read(form, data, "file", layer, *wanted))


@pytest.mark.parametrize("form", TOLD)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a BOM"])
def test_a_feed_is_read_in_its_order(form: str, mark: bytes) -> None:
    found = rows(form, mark + FILES[form])
    assert [each._replace(line=0) for each in found] == [row(text, 0) for text in TOLD[form]]


def test_a_row_has_its_line_or_else_its_number() -> None:
    assert [each.line for each in rows("geofeed", FILES["geofeed"])] == [3, 4, 5, 6, 7, 8]
    assert [each.line for each in rows("tor-exits", FILES["tor-exits"])] == [6, 7, 11]
    assert [each.line for each in rows("azure", FILES["azure"])] == [1, 2, 3]
    assert [each.line for each in rows("azure", FILES["azure"], select="region=westeurope")] == [3]


def test_a_geofeed_tells_countries_and_regions_to_the_country_layer_only() -> None:
    told = rows("geofeed", FILES["geofeed"], "country")
    assert [each.value for each in told] == ["GB-ENG", "UA-43", "DE", "FR", "ZZ", "US-CA"]
    assert {each.value for each in rows("geofeed", FILES["geofeed"])} == {""}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\r\n \n", b"# a, comment\n; another\n"])
def test_a_format_is_told_by_the_content(form: str, mark: bytes) -> None:
    if form in DOCUMENTS and b"#" in mark:
        mark = b"\xef\xbb\xbf\n\t"
    assert detect(mark + FILES[form]) == form


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"", "networks"),
        (b"# only, comments", "networks"),
        (b"192.0.2.0/24 # with, a note", "networks"),
        (b"192.0.2.0/24 ; with, a note", "networks"),
        (b"192.0.2.1\n192.0.2.2\n", "networks"),
        (b"192.0.2.0/24,DE", "geofeed"),
        (b"ExitNode", "tor-exits"),
        (b"\xff{", "networks"),
    ],
)
def test_what_looks_like_nothing_else_is_plain_text(data: bytes, form: str) -> None:
    assert detect(data) == form


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a": 1, "b": []}', r"it has the keys \['a', 'b'\]; expected the file of one of aws,"),
        (b'["192.0.2.0/24"]', "it has no keys"),
        (b"{}", r"it has the keys \[\]"),
        (b'{"result": null, "success": false}', r"the keys \['result', 'success'\]"),
        (b'{"addresses": ', "x:1: not valid JSON: Expecting value at column 15; fetch"),
        (b'\n\n{"addresses" 5}', "x:3: not valid JSON: Expecting ':'"),
        (b"[" * 200_000, "x: not valid JSON for us: nested too deep"),
        (b'{"a":' * 200_000, "x: not valid JSON for us: nested too deep"),
        (b'{"addresses": ' + b"9" * 5000 + b"}", "x: not valid JSON for us: Exceeds the limit"),
        (b'{"addresses": [\n"\xff"]}', "x:2: not UTF-8 text; save it as UTF-8"),
    ],
)  # fmt: skip
def test_json_that_is_no_known_feed_says_what_it_is(data: bytes, says: str) -> None:
    for ask in (detect, parse_list):
        with pytest.raises(FormatError, match=says):
            ask(data, "x")


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value in a document."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def changed(document: Any, path: tuple[str | int, ...], value: object) -> bytes:
    """A document with another value at a path; with none there, if that is Ellipsis."""
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(document).encode()


# What a reader reads without fail: the rest of a document may be anything.
_NEEDED = {
    "aws": {"prefixes", "ipv6_prefixes", "ip_prefix", "ipv6_prefix"},
    "google": {"prefixes", "ipv4Prefix", "ipv6Prefix"},
    "azure": {"values", "properties", "addressPrefixes"},
    "oracle": {"regions", "cidrs", "cidr"},
    "cloudflare": {"result", "ipv4_cidrs", "ipv6_cidrs"},
    "fastly": {"addresses", "ipv6_addresses"},
    "github": {"hooks"},
}


@pytest.mark.parametrize("form", DOCUMENTS)
def test_a_needed_key_that_is_missing_is_named_with_its_place(form: str) -> None:
    tried = 0
    for path in paths(DOCUMENTS[form]):
        if path[-1] in _NEEDED[form]:
            tried += 1
            with pytest.raises(FormatError, match=r"^file.*is missing, there is .*fetch the file"):
                rows(form, changed(DOCUMENTS[form], path, ...))
    assert tried >= len(_NEEDED[form])


@pytest.mark.parametrize("form", DOCUMENTS)
@pytest.mark.parametrize("value", [None, 5, True, "x", [5], [None], {"x": 1}, [[]]], ids=repr)
def test_a_needed_key_of_another_type_is_named_with_its_place(form: str, value: object) -> None:
    for path in paths(DOCUMENTS[form]):
        if path[-1] in _NEEDED[form]:
            place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
            with pytest.raises(FormatError) as caught:
                rows(form, changed(DOCUMENTS[form], path, value))
            message = str(caught.value)
            missing = form == "google" and value is None  # null is as good as no key
            assert missing or f"file: {place[1:]}" in message


@pytest.mark.parametrize("form", DOCUMENTS)
@pytest.mark.parametrize("value", [..., None, 5, "x", [], {}, ["192.0.2.0/24"], "\ud800"], ids=repr)
def test_any_change_of_a_document_is_read_or_is_a_format_error(form: str, value: object) -> None:
    for path in paths(DOCUMENTS[form]):
        data = changed(DOCUMENTS[form], path, value)
        for read in (lambda data: rows(form, data), lambda data: parse_list(data, "file")):
            try:
                read(data)
            except FormatError as error:
                assert str(error).startswith("file")
                assert str(error).isprintable()


@pytest.mark.parametrize("form", DOCUMENTS)
@pytest.mark.parametrize(
    "data", [b"", b"192.0.2.0/24\n", b"[]", b"null", b"5", b"{}", b"\xff\xfe{\x00}\x00"]
)
def test_a_file_of_another_format_is_a_format_error(form: str, data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^file"):
        rows(form, data)


@pytest.mark.parametrize("form", DOCUMENTS)
def test_a_truncated_document_is_a_format_error(form: str) -> None:
    data = FILES[form]
    for end in range(1, len(data)):
        with pytest.raises(FormatError, match=r"^file:\d+: not valid JSON"):
            rows(form, data[:end])


@pytest.mark.parametrize("form", TOLD)
@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("192.0.2.1/24", "'192.0.2.1/24': host bits are set below /24; write 192.0.2.0/24"),
        ("192.0.2.0/33", "'192.0.2.0/33': the prefix length is above 32"),
        ("example.com", "'example.com': not an IPv4 or IPv6 address"),
        ("x" * 500, "'" + "x" * 59 + "…: not an IPv4"),
    ],
)
def test_an_entry_that_is_no_network_is_named(form: str, entry: str, says: str) -> None:
    text = FILES[form].decode()
    # a key that GitHub adds has networks only if its first entry is one
    replaced = "198.51.100.7/32" if form == "github" else TOLD[form][-1].removesuffix("/128")
    damaged = text.replace(replaced, entry)
    assert damaged != text
    for read in (
        lambda: rows(form, damaged.encode()),
        lambda: parse_list(damaged.encode(), "file"),
    ):
        with pytest.raises(FormatError) as caught:
            read()
        assert says in str(caught.value)
        assert str(caught.value).startswith("file:")


def test_the_place_of_an_entry_is_told() -> None:
    for form, path, place in (
        ("aws", ("ipv6_prefixes", 0, "ipv6_prefix"), "file: ipv6_prefixes[0].ipv6_prefix: 'x'"),
        ("azure", ("values", 1, "properties", "addressPrefixes", 0), "file: values[1].properties.addressPrefixes[0]: 'x'"),
        ("oracle", ("regions", 0, "cidrs", 1, "cidr"), "file: regions[0].cidrs[1].cidr: 'x'"),
        ("cloudflare", ("result", "ipv4_cidrs", 0), "file: result.ipv4_cidrs[0]: 'x'"),
        ("github", ("actions", 1), "file: actions[1]: 'x'"),
    ):  # fmt: skip
        with pytest.raises(FormatError) as caught:
            rows(form, changed(DOCUMENTS[form], path, "x"))
        assert str(caught.value).startswith(place)


@pytest.mark.parametrize(
    ("form", "line", "says"),
    [
        ("geofeed", b"203.0.113.0/24,DEU,,", "'DEU' is no country; expected 'prefix,country"),
        ("geofeed", b"203.0.113.0/24,198.51.100.0/24", "'198.51.100.0/24' is no country"),
        ("geofeed", b"203.0.113.0/24,\xc3\x9cb", "is no country"),
        ("geofeed", b",DE,,", "'': an address is missing"),
        ("geofeed", b"prefix,country,region", "'country' is no country"),
        ("geofeed", b'203.0.113.0/24,DE,,"Ber', "not valid CSV: unexpected end of data"),
        ("geofeed", b"203.0.113.0/24,DE,\xff", "not UTF-8 text"),
        ("tor-exits", b"ExitAddress 192.0.2.9", "expected 'ExitAddress', an address, a date"),
        ("tor-exits", b"ExitAdress 192.0.2.9 2026-01-01 02:03:04", "'ExitAdress': expected one of"),
        ("tor-exits", b"192.0.2.9", "'192.0.2.9': expected one of @type"),
        ("tor-exits", b"\xff", "not UTF-8 text"),
        ("networks", b"192.0.2.0/24 DE", "'192.0.2.0/24 DE'"),
        ("networks", b"192.0.2.1/24", "host bits are set"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(form: str, line: bytes, says: str) -> None:
    number = FILES[form].count(b"\n") + 1
    with pytest.raises(FormatError) as caught:
        parse_list(FILES[form] + line + b"\n", "file")
    assert str(caught.value).startswith(f"file:{number}: ")
    assert says in str(caught.value)


def test_windows_line_ends_are_read() -> None:
    for form in ("geofeed", "tor-exits"):
        data = FILES[form]
        assert rows(form, data.replace(b"\n", b"\r\n"), "country") == rows(form, data, "country")


def test_jd_clouds_networks_are_read_where_they_were_asked_for() -> None:
    result: dict[str, Any] = {**CLOUDFLARE["result"], "jdcloud_cidrs": ["203.0.113.0/24"]}  # type: ignore[dict-item]
    data = json.dumps({**CLOUDFLARE, "result": result}).encode()
    assert rows("cloudflare", data)[-1] == row("203.0.113.0/24", 3)


# Selections


@pytest.mark.parametrize(
    ("form", "select", "lines"),
    [
        ("aws", "service=EC2", [2, 4]),
        ("aws", "service=EC2,CLOUDFRONT", [2, 3, 4]),
        ("aws", " service = EC2 ; region = us-east-1, eu-north-1 ", [4]),
        ("aws", "network_border_group=GLOBAL", [3]),
        ("google", "service=Google Cloud", [1, 2]),
        ("google", "scope=us-east1", [2]),
        ("azure", "name=AzureCloud", [1, 2]),
        ("azure", "systemService=AzureFrontDoor", [3]),
        ("oracle", "tags=OBJECT_STORAGE", [2]),
        ("oracle", "tags=OCI; region=us-ashburn-1", [3]),
        ("github", "service=actions", [4, 5]),
        ("geofeed", "country=GB,UA", [3, 4]),
        ("geofeed", "region=US-CA", [5, 8]),
    ],
)
def test_a_selection_takes_the_entries_that_have_what_it_says(
    form: str, select: str, lines: list[int]
) -> None:
    assert [each.line for each in rows(form, FILES[form], select=select)] == lines


def test_a_selection_that_takes_nothing_says_what_there_is() -> None:
    with pytest.raises(ConfigurationError) as caught:
        rows("aws", FILES["aws"], select="service=EC3; region=GLOBAL")
    assert str(caught.value) == (
        "file: select = 'service=EC3; region=GLOBAL' takes none of the 4 entries: "
        "service is one of AMAZON, CLOUDFRONT, EC2; region is one of GLOBAL, eu-west-1, us-east-1"
    )
    assert rows("google", b'{"prefixes": []}', select="scope=us-east1") == []
    for scope, told in (
        ("\x1b[2J", r"'\x1b[2J'"),
        ("\ud800", r"'\ud800'"),
        ("x" * 99, f"'{'x' * 59}…"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            rows("google", changed(GOOGLE, ("prefixes", 0, "scope"), scope), select="scope=here")
        assert str(caught.value).partition("scope is one of ")[2] in (
            f"us-east1, {told}",
            f"{told}, us-east1",
        )


def test_an_entry_that_is_not_selected_must_be_a_network_too() -> None:
    with pytest.raises(FormatError, match=r"prefixes\[0\]"):
        rows("aws", changed(AWS, ("prefixes", 0, "ip_prefix"), "x"), select="service=EC2")


@pytest.mark.parametrize(
    ("form", "select", "says"),
    [
        ("aws", "EC2", "'EC2': write it like 'service=NAME', with each of service, region"),
        ("aws", "", "write it like"),
        ("aws", "servic=EC2", "'servic=EC2'"),
        ("aws", "service=", "'service='"),
        ("aws", "service=EC2,,S3", "'service=EC2,,S3'"),
        ("aws", "service=EC2; service=S3", "'service=S3'"),
        ("fastly", "service=EC2", "nothing to select by"),
        ("networks", "service=EC2", "nothing to select by"),
        ("mmdb", "service=EC2", "nothing to select by"),
        ("aws", 5, "'select' must be text, got 5"),
    ],
)
def test_a_wrong_selection_is_an_error_of_the_manifest(
    tmp_path: Path, form: str, select: object, says: str
) -> None:
    layer = "country" if form == "mmdb" else "network"
    with pytest.raises(ConfigurationError) as caught:
        manifest(tmp_path, form, layer, b"", f"select = {json.dumps(select)}")
    assert says in str(caught.value)
    assert "source 1 (it)" in str(caught.value)


# As sources of an image


def manifest(folder: Path, form: str, layer: str, data: bytes, *more: str) -> Manifest:
    (folder / "data").write_bytes(data)
    value = () if layer == "country" or form == "mmdb" else ('value = "hosting:high:Example"',)
    lines = ("[[source]]", 'name = "it"', 'title = "It"', f'layer = "{layer}"', f'format = "{form}"',
             'path = "data"', "date = 2026-01-02", 'licence = "x"', 'attribution = "x"', *value, *more)  # fmt: skip
    (folder / "sources.toml").write_text("\n".join(lines))
    return Manifest.load(folder / "sources.toml")


def compiled(made: Manifest) -> Database:
    path = made.folder / "image.grdb"
    path.write_bytes(made.compile(built=datetime(2026, 1, 2, tzinfo=UTC)))
    return Database.open(path)


# Lines as they are published: long IPv6 groups, regions that are no ISO codes, postal codes, headers
APPLE = b"""172.224.224.0/27,GB,GB-EN,London,
192.47.114.0/32,US,US-CA,"San Jose",
2a04:4e41:0030:0007::/64,JP,JP-13,Tokyo,
"""
DIGITALOCEAN = b"""165.22.192.0/20,NL,NL-NH,Amsterdam,1098 XH
192.241.192.0/24,US,US-SF,San Francisco,94124
165.227.224.0/20,GB,GB-SLG,London,SL1 4AX
"""
LINODE = b"""# This file contains a self-published geofeed as defined in https://datatracker.ietf.org/doc/html/rfc8805
# Last modified: 2024-04-13 10:00:04.672665
# ip_prefix, alpha2code, region, city, postal_code
2600:3c00::/32,US,US-TX,Richardson,
97.107.128.0/24,US,US-NJ,Cedar Knolls,
"""


@pytest.mark.parametrize(
    ("feed", "told"),
    [
        (APPLE, {"172.224.224.31": "GB-EN", "192.47.114.0": "US-CA", "2a04:4e41:30:7::1": "JP-13", "172.224.224.32": None}),
        (DIGITALOCEAN, {"165.22.207.255": "NL-NH", "192.241.192.1": "US-SF", "165.227.224.0": "GB-SLG"}),
        (LINODE, {"2600:3c00::1": "US-TX", "97.107.128.255": "US-NJ", "97.107.129.0": None}),
    ],
    ids=["Apple", "DigitalOcean", "Linode"],
)  # fmt: skip
def test_a_published_geofeed_tells_its_users_countries_and_is_a_list_and_a_category(
    tmp_path: Path, feed: bytes, told: dict[str, str | None]
) -> None:
    assert detect(feed) == "geofeed"
    countries = compiled(manifest(tmp_path, "geofeed", "country", feed))
    found = {text: countries.lookup(text) for text in told}
    assert {text: each.subdivision for text, each in found.items()} == told
    assert {text: each.country for text, each in found.items()} == {
        text: said and said[:2] for text, said in told.items()
    }
    database = compiled(manifest(tmp_path, "geofeed", "network", feed))
    lists = painted(tmp_path, feed)
    for text, said in told.items():
        parsed = parse_address(text)
        assert parsed is not None
        assert bool(lists.sets[lists.held[lists.table.find_value(*parsed)]]) is bool(said)
        assert bool(database.lookup(text).categories) is bool(said)


@pytest.mark.parametrize("form", FILES)
def test_a_feed_is_a_source_of_network_categories(tmp_path: Path, form: str) -> None:
    database = compiled(manifest(tmp_path, form, "network", FILES[form]))
    (source,) = database.metadata.sources
    for network in TOLD.get(form, ["192.0.2.0/24"]):
        first = str(ip_network(network)[0])
        assert {match.value for match in database.matches(first)} == {"hosting:high:Example"}
        assert [*database.lookup(first).categories] == ["hosting"]
    assert sum(source.rows) == len(TOLD.get(form, [0] * 3))
    assert not database.lookup("8.8.8.8").categories


def test_two_selections_of_one_feed_are_two_categories(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(FILES["aws"])
    (tmp_path / "sources.toml").write_text(
        "".join(
            f'[[source]]\nname = "{name}"\ntitle = "It"\nlayer = "network"\nformat = "aws"\n'
            f'path = "data"\ndate = 2026-01-02\nlicence = "x"\nattribution = "x"\n'
            f'value = "{value}:high:Amazon AWS"\nselect = "service={service}"\n'
            for name, value, service in (("ec2", "hosting", "EC2"), ("cdn", "cdn", "CLOUDFRONT"))
        )
    )
    database = compiled(Manifest.load(tmp_path / "sources.toml"))
    assert [*database.lookup("192.0.2.1").categories] == ["hosting"]
    assert [*database.lookup("198.51.100.1").categories] == ["cdn"]
    assert not database.lookup("192.0.2.200").categories  # AMAZON only
    assert [source.rows for source in database.metadata.sources] == [(1, 1), (1, 0)]


def test_a_geofeed_is_a_source_of_countries(tmp_path: Path) -> None:
    # Documentation networks are in no country, whatever a source says.
    feed = b"81.2.64.0/18,GB,GB-ENG,London,\n81.2.69.0/24,UA,UA-43,,\n81.2.70.0/24,,,,\n8.8.8.0/24,US,,,\n"
    database = compiled(manifest(tmp_path, "geofeed", "country", feed))
    found = {text: database.lookup(text) for text in ("81.2.64.1", "81.2.69.1", "81.2.70.1", "8.8.8.8")}  # fmt: skip
    assert [(each.country, each.subdivision) for each in found.values()] == [
        ("GB", "GB-ENG"),
        ("UA", "UA-43"),
        (None, None),
        ("US", None),
    ]
    (match,) = database.matches("81.2.69.1")
    assert (match.value, match.line) == ("UA-43", 2)


@pytest.mark.parametrize("form", [form for form in FILES if form != "geofeed"])
def test_a_feed_without_countries_needs_the_value_of_its_layer(tmp_path: Path, form: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the format '{form}' needs 'value'"):
        manifest(tmp_path, form, "country", b"")
    made = manifest(tmp_path, form, "country", FILES[form], 'value = "DE"')
    assert {match.value for match in compiled(made).matches("192.0.2.1")} <= {"DE"}


def test_a_value_beside_the_countries_of_a_geofeed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="every row of a geofeed says its country"):
        manifest(tmp_path, "geofeed", "country", b"", 'value = "DE"')


@pytest.mark.parametrize(("form", "layer"), [("mmdb", "network"), ("tor-geoip", "country")])
def test_a_value_that_no_row_would_take_is_an_error(tmp_path: Path, form: str, layer: str) -> None:
    stated = 'value = "GB"' if layer == "country" else 'value = "vpn:high:Example"'
    with pytest.raises(ConfigurationError, match=f"every row of a {form} says its"):
        manifest(tmp_path, form, layer, b"", stated)


@pytest.mark.parametrize("form", ["aws", "geofeed", "networks", "packed", "tor-geoip"])
def test_a_source_is_read_once_so_it_may_be_a_pipe(tmp_path: Path, form: str) -> None:
    data = {
        **FILES,
        "networks": b"192.0.2.0/24\n",
        "packed": packed.encode(gathered([Row(4, 1 << 24, 1 << 24, "tor:high:Tor", 1)])),
        "tor-geoip": b"16777216,16777471,AU\n",
    }[form]
    made = manifest(tmp_path, form, "country" if form == "tor-geoip" else "network", data)
    expected = compiled(made).metadata.sources[0].rows
    assert sum(expected) > 0
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    path = tmp_path / "sources.toml"
    path.write_text(path.read_text().replace('"data"', f'"/dev/fd/{reading}"'))
    assert compiled(Manifest.load(path)).metadata.sources[0].rows == expected
    os.close(reading)


def test_a_row_whose_value_is_wrong_for_its_layer_is_named_with_its_line(tmp_path: Path) -> None:
    made = manifest(
        tmp_path, "tor-geoip", "country", b"# geoip\n1,2,GB\n2001:db8::,2001:db8::1,GBR\n"
    )
    with pytest.raises(ConfigurationError, match="data:3: value 'GBR' is neither"):
        made.compile()


@pytest.mark.parametrize("odd", ["\\n", "\\u001b", "\\u2028"])
def test_what_an_image_could_not_say_again_is_refused_before_it_is_written(
    tmp_path: Path, odd: str
) -> None:
    manifest(tmp_path, "networks", "network", b"")
    path = tmp_path / "sources.toml"
    text = path.read_text()
    for old, new, says in (
        (":Example", f":Exam{odd}ple", r"value .* cannot be printed"),
        ('name = "', f'name = "{odd}', "nor a control character"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(ConfigurationError, match=says):
            Manifest.load(path)


def test_a_damaged_feed_names_the_source_file_and_place(tmp_path: Path) -> None:
    made = manifest(tmp_path, "aws", "network", changed(AWS, ("prefixes", 1, "ip_prefix"), "x"))
    with pytest.raises(FormatError, match=r"data: prefixes\[1\]\.ip_prefix: 'x': not an IPv4"):
        made.compile()
    made = manifest(tmp_path, "aws", "network", FILES["aws"], 'select = "service=ec2"')
    with pytest.raises(ConfigurationError, match="service is one of AMAZON, CLOUDFRONT, EC2"):
        made.compile()


# As lists of a policy


def painted(folder: Path, data: bytes) -> Lists:
    (folder / "list").write_bytes(data)
    policy = Policy.from_mapping(
        {
            "default": "allow",
            "lists": {"it": {"path": str(folder / "list")}},
            "rules": [{"name": "it", "action": "block", "lists": ["it"]}],
        }
    )
    return Lists(policy, tiny_database({}))


@pytest.mark.parametrize("form", FILES)
def test_a_list_may_be_a_file_of_any_format(tmp_path: Path, form: str) -> None:
    lists = painted(tmp_path, FILES[form])
    told = [ip_network(text) for text in TOLD.get(form, ["192.0.2.0/24", "198.51.100.7/32"])]
    for network in told:
        for address in (network[0], network[-1], network[0] - 1, network[-1] + 1):
            parsed = parse_address(str(address))
            assert parsed is not None
            held = lists.sets[lists.held[lists.table.find_value(*parsed)]]
            assert bool(held) is any(address in each for each in told)
    parsed = parse_address(str(told[0][0]))
    assert parsed is not None
    matches = [*lists.matches([parsed])]
    assert {match.value for match in matches} == {"it"}


def test_a_damaged_list_is_an_error_that_names_list_file_and_place(tmp_path: Path) -> None:
    for data, says in (
        (b'{"a": 1}', r"lists\.it\.path: .*list: JSON, but no provider's that is known"),
        (b'{"addresses": ["x"]}', r"lists\.it\.path: .*list: addresses\[0\]: 'x': not an IPv4"),
        (b"192.0.2.0/24,DE\n192.0.2.0/2,DE\n", r"lists\.it\.path: .*list:2: '192.0.2.0/2': host"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            painted(tmp_path, data)


def test_a_feed_without_networks_is_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no networks"):
        painted(tmp_path, b'{"prefixes": []}')


# Whatever is written is read again

_NETWORKS = st.one_of(
    st.builds(
        lambda value, length: ip_network((value >> (32 - length) << (32 - length), length)),
        st.integers(0, (1 << 32) - 1),
        st.integers(0, 32),
    ),
    st.builds(
        # not below ::/64, where mapped IPv4 addresses are
        lambda value, length: ip_network(
            ((value | 1 << 127) >> (128 - length) << (128 - length), length)
        ),
        st.integers(0, (1 << 128) - 1),
        st.integers(1, 128),
    ),
)


def written(form: str, texts: list[str]) -> bytes:
    """A file of a format, with IPv4 networks before IPv6 ones where the format asks for that."""
    of = {
        4: [text for text in texts if ":" not in text],
        6: [text for text in texts if ":" in text],
    }
    documents: dict[str, Any] = {
        "aws": {"prefixes": [{"ip_prefix": text} for text in of[4]], "ipv6_prefixes": [{"ipv6_prefix": text} for text in of[6]]},
        "google": {"prefixes": [{"ipv6Prefix" if ":" in text else "ipv4Prefix": text} for text in texts]},
        "azure": {"values": [{"properties": {"addressPrefixes": texts}}]},
        "oracle": {"regions": [{"cidrs": [{"cidr": text}]} for text in texts]},
        "cloudflare": {"result": {"ipv4_cidrs": of[4], "ipv6_cidrs": of[6]}},
        "fastly": {"addresses": of[4], "ipv6_addresses": of[6]},
        "github": {"hooks": texts},
    }  # fmt: skip
    if form in documents:
        return json.dumps(documents[form]).encode()
    line = {"geofeed": "{},DE,,,", "networks": "{}", "tor-exits": "ExitAddress {} 2026-01-01 00:00:00"}[form]  # fmt: skip
    return "".join(line.format(text) + "\n" for text in texts).encode()


@pytest.mark.parametrize("form", FILES)
@given(found=st.lists(_NETWORKS, min_size=1, max_size=8))
def test_every_network_that_is_written_is_read(form: str, found: list[Any]) -> None:
    texts = [str(network) for network in found]
    data = written(form, texts)
    assert detect(data) == form
    read = parse_list(data, "file")
    plain = networks.parse("\n".join(texts).encode(), "file")
    assert [column[:-1] for column in zip(*read.ipv4, strict=True)] == [
        column[:-1] for column in zip(*plain.ipv4, strict=True)
    ]
    assert [column[:-1] for column in zip(*read.ipv6, strict=True)] == [
        column[:-1] for column in zip(*plain.ipv6, strict=True)
    ]


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_format_error(data: bytes) -> None:
    for each in (data, b"{" + data, b"192.0.2.0/24," + data, b"ExitNode " + data):
        try:
            parse_list(each, "file")
        except FormatError as error:
            assert str(error).startswith("file")
