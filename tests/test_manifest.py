"""The manifest: which sources make an image, which of them wins, and what the owner knows better."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import BACKEND, ConfigurationError, Database, FormatError
from georestrict.manifest import Gates, Manifest, Source
from georestrict.networks import Confidence
from georestrict.table import Image
from georestrict.update import orders
from tests import manifests, mmdb
from tests.gold_claims import Said, winner
from tests.manifests import NOW, opened, source

# What is read here both cores paint alike.
pytestmark = pytest.mark.once

GEOIP = """\
# Location Database Export
# Generated: Thu, 25 Jun 2026 04:33:59 GMT
1359103232,1359103487,GB
2937112320,2937112575,CN
"""
GEOIP6 = """\
# Generated: Wed, 24 Jun 2026 04:33:59 GMT
2001:218::,2001:218:ffff:ffff:ffff:ffff:ffff:ffff,JP
"""
HOSTING = "81.2.69.128/25\n81.2.69.7\n2001:218::-2001:218::ff\n"
SOURCES = """\
[[source]]
name = "geo"
title = "Test countries"
layer = "country"
format = "tor-geoip"
path = "geoip"
date = 2026-01-02
licence = "CC0-1.0"
attribution = "nobody"

[[source]]
name = "hosts"
layer = "network"
format = "networks"
path = "hosting.txt"
value = "hosting:high:Example Cloud"
licence = "CC0-1.0"
attribution = "nobody"
"""


def lay(folder: Path, text: str, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Write a manifest, and the files that it names or those of ``SOURCES``; return its path."""
    own = {"geoip": GEOIP, "hosting.txt": HOSTING}
    return manifests.lay(folder, text, own if files is None else files)


# What is wrong with a manifest

BAD = {
    "it is no TOML": ("[[source", "sources.toml: not valid TOML"),
    "it has no source": ("", r"sources.toml: has no \[\[source\]\]; name at least one"),
    "source is a table": ("[source]\nname = 'x'", r"write \[\[source\]\], in two pairs of brackets"),
    "source is a number": ("source = 1", r"has no \[\[source\]\]; name at least one"),
    "source is misspelt": ("[[sources]]", "unknown key 'sources': did you mean 'source'"),
    "a path has a NUL": (SOURCES.replace('path = "', 'path = "\\u0000', 1), "which no file can be called"),
    "source is an array of text": ("source = ['x']", "sources.toml: source 1: must be a table"),
    "it has a key that is misspelt": (SOURCES + "[override]\n", "unknown key 'override': did you mean 'overrides'"),
    "it has a key that is none": (SOURCES + "[frob]\n", "unknown key 'frob': known are source, overrides, gates"),
    "a source's key is misspelt": ('[[source]]\nsha265 = "0"\n', "source 1: unknown key 'sha265': did you mean 'sha256'"),
    "a source has no name": (SOURCES.replace('name = "geo"\n', ""), "source 1: 'name' is missing; add it"),
    "a source has no licence": (SOURCES.replace('licence = "CC0-1.0"\n', "", 1), "source 1: 'licence' is missing"),
    "a source has no attribution": (SOURCES.replace('attribution = "nobody"\n', "", 1), "'attribution' is missing"),
    "a source's licence has two lines": (SOURCES.replace('"CC0-1.0"', '"a\\nb"', 1), "licence is .*, must be one line"),
    "a source's title is a number": (SOURCES.replace('"Test countries"', "7"), "title is 7, must be text"),
    "a source's name has a space": (SOURCES.replace('"geo"', '"g eo"'), r"\(g eo\): the name must not contain a space"),
    "two sources have one name": (SOURCES.replace('"hosts"', '"geo"'), "two sources have the name 'geo'; rename one"),
    "a source's layer is unknown": (SOURCES.replace('"country"', '"place"'), r"\(geo\): layer 'place': write one of country"),
    "a source's format is unknown": (SOURCES.replace('"tor-geoip"', '"xls"'), "format 'xls': write one of mmdb, .*leave it out"),
    "a source's date is text": (SOURCES.replace("2026-01-02", '"2026-01-02"'), r"\(geo\): 'date' must be a date, .*without quotes"),
    "a source's date has a time": (SOURCES.replace("2026-01-02", "2026-01-02T00:00:00Z"), "'date' must be a date"),
    "a checksum is too short": (SOURCES.replace("date", 'sha256 = "0"\ndate', 1), "sha256 is '0', must be 64 hexadecimal"),
    "allow_empty is text": (SOURCES.replace("date", 'allow_empty = "yes"\ndate', 1), "allow_empty is 'yes', must be true or false"),
    "a list has no value": (SOURCES.replace('value = "hosting:high:Example Cloud"\n', ""), r"\(hosts\): the format 'networks' needs 'value'"),
    "a list's category is unknown": (SOURCES.replace("hosting:high", "housing:high"), r"\(hosts\): value 'housing:high.*hosting"),
    "a list's confidence is unknown": (SOURCES.replace("hosting:high", "hosting:sure"), r"\(hosts\): value 'hosting:sure.*high"),
    "a list's country is UK": (
        SOURCES.replace('"network"', '"country"').replace("hosting:high:Example Cloud", "UK"), r"\(hosts\): value 'UK': did you mean GB"
    ),
    "a precedence is a word": (SOURCES.replace("date", 'precedence = "1"\ndate', 1), "precedence is '1', must be a whole number"),
    "an image has a licence": (
        SOURCES.replace('"tor-geoip"', '"image"').replace('title = "Test countries"\n', ""), "'licence'|'date': an image tells that"
    ),
    "a fetch is of nobody": (SOURCES.replace("date", 'fetch = "nobody:x"\ndate', 1), r"source 1 \(geo\): fetch is 'nobody:x'"),
    "a secret is in a URL": (SOURCES.replace("date", 'fetch = "https://x.example/?token=hush"\ndate', 1), "looks like a secret"),
    "auth has nothing to fetch": (SOURCES.replace("date", 'auth = { token_env = "T" }\ndate', 1), "'auth' without 'fetch'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_manifest_is_refused_with_the_place_and_the_fix(tmp_path: Path, name: str) -> None:
    text, told = BAD[name]
    with pytest.raises(ConfigurationError, match=told) as caught:
        Manifest.load(lay(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path / 'sources.toml'}: ")
    assert "hush" not in str(caught.value)


BAD_FILES = {
    "a file is missing": (SOURCES.replace('"geoip"', '"gone"'), "source 'geo': '.*gone' cannot be read: No such file"),
    "a checksum is another": (
        SOURCES.replace("date", f'sha256 = "{"0" * 64}"\ndate', 1), f"source 'geo': .*geoip has SHA-256 [0-9a-f]{{64}}, the manifest says {'0' * 64}"
    ),
    "a folder has a checksum": (
        SOURCES.replace('"geoip"', '"."').replace("date", f'sha256 = "{"0" * 64}"\ndate', 1), "source 'geo': sha256 is the sum of one file, and .* is a folder"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_manifest_that_does_not_fit_its_files_is_refused(tmp_path: Path, name: str) -> None:
    text, told = BAD_FILES[name]
    made = Manifest.load(lay(tmp_path, text))
    with pytest.raises(ConfigurationError, match=told):
        made.compile()


# What may be left out


def test_a_source_needs_no_title_format_or_date(tmp_path: Path) -> None:
    database = opened(lay(tmp_path, source("geo", "geoip")))
    (told,) = database.metadata.sources
    assert (told.title, told.date, told.rows, told.ages) == ("geo", date(2026, 6, 25), (2, 0), True)
    assert database.country("81.2.69.142") == "GB"


REGISTRY = (
    b"2|ripencc|1782943199|1|19830705|20260630|+0200\n"
    b"ripencc|*|ipv4|*|1|summary\nripencc|GB|ipv4|81.2.64.0|4096|20020101|allocated|x\n"
)
SAMPLES: dict[str, tuple[bytes, str]] = {
    "tor-geoip": (GEOIP.encode(), ""),
    "csv-ranges": (b"81.2.69.0,81.2.69.255,GB\n", ""),
    "csv": (b"network,country_code\n81.2.69.0/24,GB\n", ""),
    "registries": (REGISTRY, ""),
    "geofeed": (b"81.2.69.0/24,GB,,,\n", ""),
    "networks": (b"81.2.69.0/24\n", 'value = "GB"'),
}


def sample(form: str, folder: Path) -> bytes:
    if form != "mmdb":
        return SAMPLES[form][0]
    records = [("81.2.69.0/24", mmdb.maxmind("GB"))]
    return mmdb.write(folder / "sample.mmdb", records).read_bytes()


@pytest.mark.parametrize("form", ["mmdb", *SAMPLES])
def test_a_format_that_is_left_out_is_told_by_the_content(tmp_path: Path, form: str) -> None:
    stated = SAMPLES.get(form, (b"", ""))[1]
    images = []
    for more in ("", f'format = "{form}"'):
        path = lay(tmp_path, source("geo", "data", stated, more), {"data": sample(form, tmp_path)})
        images.append(Manifest.load(path).compile(built=NOW))
    assert images[0] == images[1]
    assert Database(Image(memoryview(images[0]), "it")).country("81.2.69.142") == "GB"


@pytest.mark.parametrize(
    ("form", "stated"),
    [
        (form, stated)
        for form in ("mmdb", *SAMPLES)
        for stated in ("mmdb", "registries", "aws", "packed")
        if form != stated
    ],
)
def test_a_stated_format_that_the_content_contradicts_is_an_error_which_says_what_was_found(
    tmp_path: Path, form: str, stated: str
) -> None:
    value = ('value = "GB"',) if stated == "aws" else ()
    text = source("geo", "data", f'format = "{stated}"', *value)
    made = Manifest.load(lay(tmp_path, text, {"data": sample(form, tmp_path)}))
    with pytest.raises(FormatError, match=f"data: .*'{stated}' is stated, .*format '{form}'"):
        made.compile()


def test_what_a_told_format_needs_is_asked_for_when_it_is_known(tmp_path: Path) -> None:
    made = Manifest.load(lay(tmp_path, source("hosts", "hosting.txt", layer="network")))
    with pytest.raises(ConfigurationError, match=r"source 'hosts': .*'networks' needs 'value'"):
        made.compile()
    made = Manifest.load(lay(tmp_path, source("geo", "geoip", 'value = "DE"')))
    with pytest.raises(ConfigurationError, match="every row of a tor-geoip says its country"):
        made.compile()


def test_a_compiled_image_must_be_named_as_one(tmp_path: Path) -> None:
    path = lay(tmp_path, SOURCES)
    (tmp_path / "own.grdb").write_bytes(Manifest.load(path).compile())
    made = Manifest.load(lay(tmp_path, source("own", "own.grdb"), {}))
    with pytest.raises(FormatError, match=r'own.grdb is a compiled image; write format = "image"'):
        made.compile()


def test_a_date_that_is_left_out_is_the_contents_or_else_that_of_the_files_change(
    tmp_path: Path,
) -> None:
    epoch = datetime(2026, 5, 6, 23, 59, tzinfo=UTC)
    table = mmdb.write(tmp_path / "data", [("81.2.69.0/24", mmdb.maxmind("GB"))]).read_bytes()
    for name, content, expected in (
        ("mmdb", with_epoch(table, int(epoch.timestamp())), date(2026, 5, 6)),
        ("tor-geoip", GEOIP.encode(), date(2026, 6, 25)),
        ("registries", REGISTRY, date(2026, 6, 30)),
        ("csv", b"network,country_code\n81.2.69.0/24,GB\n", date(2024, 2, 29)),
    ):
        path = lay(tmp_path, source("geo", "data"), {"data": content})
        changed = datetime(2024, 2, 29, 23, 59, tzinfo=UTC).timestamp()
        os.utime(tmp_path / "data", (changed, changed))
        assert opened(path).metadata.sources[0].date == expected, name
        path = lay(tmp_path, source("geo", "data", "date = 2026-01-02"), {"data": content})
        assert opened(path).metadata.sources[0].date == date(2026, 1, 2), name


def with_epoch(data: bytes, seconds: int) -> bytes:
    """Give an MMDB, as the tests' writer makes it, another build time, as a 64-bit number."""
    at = data.rindex(b"build_epoch") + len(b"build_epoch")
    size, kind = data[at : at + 2]
    assert kind == 2, "an unsigned integer of 64 bits"
    return data[:at] + b"\x08\x02" + seconds.to_bytes(8, "big") + data[at + 2 + size :]


def test_g11_a_build_time_that_no_calendar_has_is_a_typed_error(tmp_path: Path) -> None:
    table = mmdb.write(tmp_path / "data", [("81.2.69.0/24", mmdb.maxmind("GB"))]).read_bytes()
    path = lay(tmp_path, source("geo", "data"), {"data": with_epoch(table, 2**64 - 1)})
    with pytest.raises(
        FormatError, match="data: says that it was built at 18446744073709551615 s after 1970"
    ):
        Manifest.load(path).compile()


# Several files


def zipped(path: Path, files: Mapping[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


MAXMIND = {
    "GeoLite2-Country-Blocks-IPv4.csv": (
        "network,geoname_id,registered_country_geoname_id,represented_country_geoname_id,"
        "is_anonymous_proxy,is_satellite_provider\n81.2.69.0/24,2635167,2635167,,0,0\n"
    ),
    "GeoLite2-Country-Blocks-IPv6.csv": (
        "network,geoname_id,registered_country_geoname_id,represented_country_geoname_id,"
        "is_anonymous_proxy,is_satellite_provider\n2001:218::/32,1861060,1861060,,0,0\n"
    ),
    "GeoLite2-Country-Locations-en.csv": (
        "geoname_id,locale_code,continent_code,continent_name,country_iso_code,country_name,"
        "is_in_european_union\n2635167,en,EU,Europe,GB,United Kingdom,0\n"
        "1861060,en,AS,Asia,JP,Japan,0\n"
    ),
    "LICENSE.txt": "of theirs\n",
}


@pytest.mark.parametrize(
    "files", [{"geoip": GEOIP, "geoip6": GEOIP6}, MAXMIND], ids=["tor", "maxmind"]
)
def test_a_folder_and_an_archive_of_several_files_are_one_source(
    tmp_path: Path, files: dict[str, str]
) -> None:
    folder = lay(tmp_path, source("geo", "files", "date = 2026-01-02"), {
        f"files/{name}": content for name, content in files.items()
    })  # fmt: skip
    zipped(tmp_path / "files.zip", {f"Edition_20260102/{name}": files[name] for name in files})
    databases = [opened(folder)]
    databases.append(opened(lay(tmp_path, source("geo", "files.zip", "date = 2026-01-02"), {})))
    for database in databases:
        assert [database.country(text) for text in ("81.2.69.142", "2001:218::1")] == ["GB", "JP"]


def test_several_files_are_as_old_as_the_oldest(tmp_path: Path) -> None:
    files = {"files/geoip": GEOIP, "files/geoip6": GEOIP6}
    database = opened(lay(tmp_path, source("geo", "files"), files))
    assert database.metadata.sources[0].date == date(2026, 6, 24)
    text = "81.2.69.0,81.2.69.255,GB\n"
    path = lay(tmp_path, source("geo", "plain"), {"plain/a.csv": text, "plain/b.csv": text})
    for name, day in (("a.csv", 3), ("b.csv", 2)):
        changed = datetime(2026, 2, day, tzinfo=UTC).timestamp()
        os.utime(tmp_path / "plain" / name, (changed, changed))
    assert opened(path).metadata.sources[0].date == date(2026, 2, 2)


# A source that says nothing


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("nothing.txt", ['format = "networks"', 'value = "DE"']),
        ("comments", ['format = "tor-geoip"']),
        ("own.grdb", ['format = "image"']),
    ],
)
def test_a_source_without_networks_is_an_error_unless_it_may_be_empty(
    tmp_path: Path, path: str, more: list[str]
) -> None:
    files: dict[str, str | bytes] = {"nothing.txt": "# nobody\n", "comments": "# GEOIP\n\n"}
    empty = source("e", "comments", 'format = "tor-geoip"', "allow_empty = true")
    made = Manifest.load(lay(tmp_path, empty, files))
    files["own.grdb"] = made.compile()
    text = "\n".join(["[[source]]", 'name = "it"', 'layer = "country"', f'path = "{path}"', *more])
    if "image" not in more[0]:
        text += '\nlicence = "-"\nattribution = "-"'
    with pytest.raises(FormatError, match=f"source 'it': .*{path}: has no networks; .*allow_empty"):
        Manifest.load(lay(tmp_path, text, files)).compile()
    database = opened(lay(tmp_path, f"{text}\nallow_empty = true\n", files))
    assert database.metadata.sources[0].rows == (0, 0)
    assert database.country("81.2.69.142") is None


# The owner's overrides


def test_an_override_beats_every_source_whatever_its_precedence(tmp_path: Path) -> None:
    text = SOURCES.replace("date", "precedence = 1000\ndate", 1) + (
        '[overrides]\n"81.2.0.0/16" = "DE"\n"81.2.69.142" = "ua-43"\n"2001:218::/33" = "FR"\n'
    )
    path = lay(tmp_path, text)
    database = opened(path)
    expected = {
        "81.2.69.1": "DE", "81.2.0.0": "DE", "81.2.69.142": "UA", "81.2.255.255": "DE", "81.3.0.0": None,
        "175.16.199.1": "CN", "2001:218::1": "FR", "2001:218:8000::": None,
    }  # fmt: skip
    assert {text: database.country(text) for text in expected} == expected
    assert database.lookup("81.2.69.142").subdivision == "UA-43"
    assert database.lookup("81.2.69.142").categories == {"hosting": Confidence.HIGH}
    told = database.metadata.sources[-1]
    assert (told.name, told.layer, told.title) == ("overrides", "country", "the owner's overrides")
    assert (told.date, told.ages, told.rows) == (NOW.date(), False, (2, 1))
    (match, _) = database.matches("81.2.69.142")
    line = text.splitlines().index('"81.2.69.142" = "ua-43"') + 1
    assert (match.source, match.line, match.value) == ("overrides", line, "UA-43")


def test_overrides_are_data_enough_for_a_layer_that_no_source_is_for(tmp_path: Path) -> None:
    hosts = SOURCES[SOURCES.index("[[source]]", 1) :]
    database = opened(lay(tmp_path, f'{hosts}[overrides]\n"81.2.69.0/24" = "DE"\n'))
    assert database.country("81.2.69.142") == "DE"


def test_overrides_of_an_image_do_not_age_in_another_one(tmp_path: Path) -> None:
    path = lay(tmp_path, f'{SOURCES}[overrides]\n"81.2.69.0/24" = "DE"\n')
    (tmp_path / "own.grdb").write_bytes(Manifest.load(path).compile(built=NOW))
    text = '[[source]]\nname = "own"\nlayer = "country"\nformat = "image"\npath = "own.grdb"\n'
    database = opened(lay(tmp_path, text, {}))
    assert {each.name: each.ages for each in database.metadata.sources} == {
        "own/geo": True,
        "own/overrides": False,
    }
    assert database.country("81.2.69.142") == "DE"


BAD_OVERRIDES = {
    "host bits": ('"81.2.69.1/24" = "DE"', r'overrides\."81.2.69.1/24": host bits are set below /24'),
    "no network": ('"example.com" = "DE"', r'overrides\."example.com": '),
    "no code": ('"81.2.69.0/24" = ""', r"'': write an assigned ISO 3166-1"),
    "a wrong code": ('"81.2.69.0/24" = "UK"', "'UK': did you mean GB"),
    "a pseudo code": ('"81.2.69.0/24" = "EU"', "'EU': "),
    "a region of no country": ('"81.2.69.0/24" = "QQ-1"', "'QQ-1': "),
    "a number": ('"81.2.69.0/24" = 7', "7 must be a code in quotes"),
    "one network in two spellings": (
        '"81.2.69.0/24" = "DE"\n"::ffff:81.2.69.0/120" = "FR"',
        r'overrides\."::ffff:81.2.69.0/120": the same network as "81.2.69.0/24"; leave one',
    ),
    "one IPv6 network in two spellings": (
        '"2001:218::/32" = "DE"\n"2001:0218::/32" = "DE"', 'the same network as "2001:218::/32"'
    ),
    "a private network": ('"10.1.0.0/16" = "DE"', "no address in it has a country of its own.*rule"),
    "what carries IPv4": ('"2002::/16" = "DE"', "no address in it has a country of its own"),
    "a control character": (r'"81.2.69.0/24\u0007" = "DE"', r'overrides\."81.2.69.0/24\\x07": '),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_OVERRIDES)
def test_a_wrong_override_is_refused_with_its_key_and_the_fix(tmp_path: Path, name: str) -> None:
    written, told = BAD_OVERRIDES[name]
    with pytest.raises(ConfigurationError, match=told) as caught:
        Manifest.load(lay(tmp_path, f"{SOURCES}[overrides]\n{written}\n"))
    assert str(caught.value).startswith(f"{tmp_path / 'sources.toml'}: overrides")


def test_the_name_of_the_overrides_is_theirs_where_there_are_some(tmp_path: Path) -> None:
    text = SOURCES.replace('"geo"', '"overrides"')
    better = source("better", "better.csv", "precedence = 1")
    files = {"geoip": GEOIP, "hosting.txt": HOSTING, "better.csv": "81.2.69.0,81.2.70.255,DE\n"}
    assert opened(lay(tmp_path, text + better, files)).country("81.2.69.142") == "DE"
    with pytest.raises(ConfigurationError, match="two sources have the name 'overrides'"):
        Manifest.load(lay(tmp_path, f'{text}[overrides]\n"81.2.69.0/24" = "DE"\n'))
    with pytest.raises(ConfigurationError, match="overrides: must be a table"):
        Manifest.load(lay(tmp_path, f'overrides = ["81.2.69.0/24"]\n{SOURCES}'))


class Network(NamedTuple):
    """An override of the plain model."""

    network: IPv4Network | IPv6Network
    code: str


def gold(overrides: Sequence[Network], rows: Sequence[Said], value: int) -> str | None:
    """The country of an address, plainly: the narrowest override, or else the row that wins."""
    held = [
        each
        for each in overrides
        if int(each.network[0]) <= value <= int(each.network[-1])
    ]  # fmt: skip
    if held:
        return max(held, key=lambda each: each.network.prefixlen).code
    found = [(at, row) for at, row in enumerate(rows) if row.first <= value <= row.last]
    return rows[winner(found)].value if found else None


CODES = st.sampled_from(["DE", "FR", "GB", "US", "CN"])


@pytest.mark.parametrize("base", ["81.2.64.0", "2a00:1450::"])
@given(data=st.data())
@settings(max_examples=40 if BACKEND == "compiled" else 4, deadline=None)
def test_sources_of_any_precedence_and_nested_overrides_are_what_a_plain_scan_tells(
    tmp_path_factory: pytest.TempPathFactory, base: str, data: st.DataObject
) -> None:
    kind = IPv6Address if ":" in base else IPv4Address
    start, width = int(kind(base)), kind(base).max_prefixlen
    spans = st.tuples(st.integers(0, 255), st.sampled_from([0, 1, 7, 63, 300]), CODES)
    rows: list[Said] = []
    files, text = {}, ""
    for number in range(data.draw(st.integers(1, 3))):
        precedence = data.draw(st.sampled_from([-1000, 0, 7, 1000]))
        said = [
            Said(start + at, start + at + count, code, precedence)
            for at, count, code in data.draw(st.lists(spans, min_size=1, max_size=6))
        ]
        rows += said
        files[f"{number}.csv"] = "".join(
            f"{kind(row.first)},{kind(row.last)},{row.value}\n" for row in said
        )
        text += source(f"s{number}", f"{number}.csv", f"precedence = {precedence}")
    drawn = data.draw(
        st.lists(st.tuples(st.integers(0, 255), st.integers(0, 8), CODES), max_size=8)
    )
    networks: dict[IPv4Network | IPv6Network, str] = {}
    for at, bits, code in drawn:
        networks[ip_network((start + (at >> bits << bits), width - bits))] = code
    text += "[overrides]\n" + "".join(f'"{net}" = "{networks[net]}"\n' for net in networks)
    database = opened(lay(tmp_path_factory.mktemp("gold"), text, files))
    overrides = [Network(*each) for each in networks.items()]
    ends = {end + step for row in rows for end in row[:2] for step in (-1, 0, 1)}
    ends |= {int(net[at]) + step for net in networks for at in (0, -1) for step in (-1, 0, 1)}
    for value in ends:
        assert database.country(str(kind(value))) == gold(overrides, rows, value), kind(value)


# Gates, which are only read here


def test_gates_are_read_with_their_canaries(tmp_path: Path) -> None:
    assert Manifest.load(lay(tmp_path, SOURCES)).gates == Gates()
    text = (
        "[gates]\nmost_loss = 0.1\n[gates.canaries]\n"
        '"81.2.69.142" = "gb"\n"5.1.0.0/16" = "UA-43"\n"9.9.9.9" = ""\n'
        '"81.2.69.200" = ["category:tor", "category:hosting:high"]\n'
    )
    gates = Manifest.load(lay(tmp_path, SOURCES + text)).gates
    assert gates.most_loss == 0.1
    assert [(canary.network, canary.expected) for canary in gates.canaries] == [
        ("81.2.69.142", "GB"),
        ("5.1.0.0/16", "UA-43"),
        ("9.9.9.9", "no country"),
        ("81.2.69.200", "tor:medium or surer"),
        ("81.2.69.200", "hosting:high or surer"),
    ]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("gates = 3", "gates: must be a table"),
        ("gates = { most_los = 0.5 }", "gates: unknown key 'most_los': known are most_loss, canaries"),
        ("gates = { most_loss = 0 }", "gates: most_loss is 0, must be a share above 0"),
        ("gates = { most_loss = 30 }", "gates: most_loss is 30, must be a share"),
        ("gates = { most_loss = true }", "gates: most_loss is True, must be a share"),
        ('gates = { most_loss = "30%" }', "gates: most_loss is '30%', must be a share"),
        ("gates = { most_loss = nan }", "gates: most_loss is nan, must be a share"),
        ('gates = { canaries = ["81.2.69.142"] }', "gates: canaries must be a table"),
        ('gates.canaries."81.2.69.1/24" = "GB"', r'gates\.canaries\."81.2.69.1/24": host bits'),
        ('gates.canaries."81.2.69.142" = "UK"', "'UK': did you mean GB"),
        ('gates.canaries."81.2.69.142" = "category:tour"', "'category:tour': write one of hosting"),
        ('gates.canaries."81.2.69.142" = "category:tor:sure"', "after the colon write one of low"),
        ('gates.canaries."81.2.69.142" = 7', '7 must be a code such as "GB" or "UA-43", ""'),
        ('gates.canaries."81.2.69.142" = []', r'\[\] must be a code'),
    ],
)  # fmt: skip
def test_wrong_gates_are_refused_with_their_key_and_the_fix(
    tmp_path: Path, written: str, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        Manifest.load(lay(tmp_path, f"{written}\n{SOURCES}"))
    assert str(caught.value).startswith(f"{tmp_path / 'sources.toml'}: gates")


# What is passed on, and what is not


def test_what_is_fetched_and_how_is_passed_on_and_never_in_the_image(tmp_path: Path) -> None:
    keys = (
        'fetch = "https://data.example/geoip.zip"', 'member = "geo*"', 'checksum = ".sha256"',
        'auth = { user_env = "HUSH_USER", password_file = "hush.key" }', "most_bytes = 100_000",
        "unchanged_is_fresh = false",
    )  # fmt: skip
    manifest = Manifest.load(lay(tmp_path, source("geo", "geoip", *keys)))
    (read,) = manifest.sources
    assert isinstance(read, Source)
    assert read.fetch is not None
    assert sorted(read.fetch) == sorted(orders.FETCH_KEYS)
    order = orders.of(read.fetch, "it")
    assert order is not None
    assert order.most_bytes == 100_000
    data = manifest.compile(built=NOW)
    assert b"HUSH" not in data
    assert data == Manifest.load(lay(tmp_path, source("geo", "geoip"))).compile(built=NOW)


def test_progress_names_what_is_done_and_only_grows(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    text = f'{SOURCES}[overrides]\n"81.2.69.0/24" = "DE"\n'
    Manifest.load(lay(tmp_path, text)).compile(progress=lambda *each: told.append(each))
    assert {"reading geo", "reading hosts"} < {what for what, _ in told}
    assert told[-1] == ("done", 1.0)
    assert all(before[1] <= after[1] for before, after in pairwise(told))
    assert told[0][1] == 0.0


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("geoip", "1,2\n", "geoip:1", id="a line of two fields"),
        pytest.param("geoip", "# x\n1,2,GB,x\n", "geoip:2", id="a line of four fields"),
        pytest.param("geoip", "2,1,GB\n", "geoip:1", id="a range that runs backwards"),
        pytest.param("hosting.txt", "81.2.69.0/24\nexample.com\n", "hosting.txt:2", id="a name"),
    ],
)
def test_a_damaged_file_of_a_stated_format_is_told_with_its_line(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    path = lay(tmp_path, SOURCES)
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match=re.escape(told)):
        Manifest.load(path).compile()
