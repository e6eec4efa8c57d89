"""Image files: whatever happened to the bytes, a typed error or the right answer, never a crash."""

from __future__ import annotations

import gzip
import random
import struct
import sys
import zlib
from pathlib import Path

import pytest

from georestrict import ChecksumError, Database, DatabaseError, FormatError, VersionError
from georestrict.table import image, publish
from georestrict.testing import tiny_database


@pytest.fixture(scope="module")
def small() -> bytes:
    """The bytes of a small image."""
    database = tiny_database(
        {"175.16.199.0/24": "CN", "81.2.69.0/24": "GB", "2001:218::/32": "JP"},
        {"81.2.69.128/25": "hosting:high:Example"},
    )
    sections = {name: bytes(database._image.section(name)) for name in SECTIONS}
    return image.encode(sections)


SECTIONS = ("meta", "cells", "origin.country", "origin.hosting")


def opened(data: bytes) -> Database:
    return Database(image.Image(memoryview(data), "small"))


def test_an_image_answers_what_was_put_in(small: bytes) -> None:
    database = opened(small)
    assert [database.country(text) for text in ("175.16.199.9", "81.2.69.1", "2001:218::9", "1.1.1.1", "x")] == [
        "CN", "GB", "JP", None, None,
    ]  # fmt: skip
    database.verify()


def test_g2_every_truncation_is_refused(small: bytes) -> None:
    for length in [*range(600), *range(600, len(small), 997)]:
        with pytest.raises(DatabaseError):
            opened(small[:length])


def test_g2_every_flipped_header_byte_is_refused(small: bytes) -> None:
    for at in range(32 + 32 * len(SECTIONS)):
        damaged = bytearray(small)
        damaged[at] ^= 0xFF
        with pytest.raises(DatabaseError):
            opened(bytes(damaged))


def test_g2_every_zeroed_page_that_was_not_zero_is_refused(small: bytes) -> None:
    refused = 0
    for start in range(0, len(small), 4096):
        damaged = small[:start] + bytes(len(small[start : start + 4096])) + small[start + 4096 :]
        if damaged != small:
            refused += 1
            with pytest.raises(DatabaseError):
                opened(damaged)
    assert refused >= 3


def test_every_flipped_bit_of_a_sample_is_refused(small: bytes) -> None:
    spread = random.Random(2)
    for _ in range(400):
        damaged = bytearray(small)
        damaged[spread.randrange(len(small))] ^= 1 << spread.randrange(8)
        with pytest.raises(DatabaseError):
            opened(bytes(damaged))


def resummed(data: bytearray) -> bytes:
    """The same bytes with checksums that fit them."""
    count = struct.unpack_from("<I", data, 12)[0]
    body = -(-(32 + 32 * count) // 64) * 64
    struct.pack_into("<I", data, 28, zlib.crc32(data[body:]))
    struct.pack_into("<I", data, 24, 0)
    struct.pack_into("<I", data, 24, zlib.crc32(data[:body]))
    return bytes(data)


def test_g3_nonsense_with_right_checksums_is_refused_or_answers_a_country_or_none(
    small: bytes,
) -> None:
    spread = random.Random(3)
    refused = answered = 0
    addresses = [f"{spread.randrange(256)}.2.69.{spread.randrange(256)}" for _ in range(20)] + [
        "2001:218::1"
    ]
    for trial in range(1500):
        damaged, mild = bytearray(small), trial % 2
        for _ in range(spread.choice([1, 1, 2, 8, 64])):
            at = spread.randrange(192, len(small))
            damaged[at - at % 4 if mild else at] = spread.randrange(5 if mild else 256)
        try:
            database = opened(resummed(damaged))
        except DatabaseError:
            refused += 1
            continue
        answered += 1
        assert {database.country(address) for address in addresses} <= {
            "CN",
            "GB",
            "JP",
            None,
            *_codes(database),
        }
    assert refused > 50
    assert answered > 50


def _codes(database: Database) -> set[str | None]:
    return {location.country for location in database.classes}


@pytest.mark.parametrize(
    ("at", "value", "error", "says"),
    [
        (0, b"MMDB", FormatError, "not a georestrict image"),
        (8, b"\x02\x00", VersionError, "image format 2, this release reads 1"),
        (16, b"\x01", FormatError, "was cut or appended to"),
        (24, b"\x00\x00\x00\x01", ChecksumError, "header's checksum"),
        (28, b"\x00\x00\x00\x01", ChecksumError, "checksum"),
    ],
    ids=["magic", "version", "length", "header sum", "content sum"],
)
def test_the_error_says_what_is_wrong(
    small: bytes, at: int, value: bytes, error: type[DatabaseError], says: str
) -> None:
    damaged = bytearray(small)
    damaged[at : at + len(value)] = value
    with pytest.raises(error, match=says):
        opened(bytes(damaged))


SAMPLE = gzip.decompress((Path(__file__).parent / "samples/format-1.grdb.gz").read_bytes())


@pytest.mark.parametrize(
    ("address", "country", "categories", "status"),
    [
        ("81.2.69.0", "GB", {}, "known"),
        ("81.2.69.200", "GB", {"tor": "high"}, "known"),
        ("81.2.70.0", None, {}, "unknown"),
        ("175.16.199.255", "CN", {}, "known"),
        ("89.160.20.1", "SE", {}, "known"),
        ("203.0.114.7", "FR", {}, "known"),
        ("203.0.114.8", None, {}, "unknown"),
        ("52.95.110.9", None, {"hosting": "high"}, "unknown"),
        ("2001:218::53", "JP", {"vpn": "medium"}, "known"),
        ("2001:218:8000::", "KR", {}, "known"),
        ("2002:5102:45c8::1", "GB", {"tor": "high"}, "known"),
        ("10.0.0.1", None, {}, "private"),
        ("nonsense", None, {}, "unresolved"),
    ],
)
def test_an_image_of_format_1_opens_and_answers(
    address: str, country: str | None, categories: dict[str, str], status: str
) -> None:
    """As it was written once; see samples/README.md."""
    database = opened(SAMPLE)
    location = database.lookup(address)
    assert (location.country, location.categories, location.status) == (country, categories, status)


def test_an_image_of_format_1_is_what_its_ranges_give_today() -> None:
    database = opened(SAMPLE)
    database.verify()
    assert [source.name for source in database.metadata.sources] == ["country", "network"]


@pytest.mark.parametrize("version", [0, 2, 65535])
def test_an_image_of_another_format_is_refused_with_the_fix(version: int) -> None:
    other = bytearray(SAMPLE)
    struct.pack_into("<H", other, 8, version)
    for data in (bytes(other), resummed(other), bytes(other[:32])):
        with pytest.raises(
            VersionError,
            match=f"^small: image format {version}, this release reads 1; compile the image again",
        ):
            opened(data)


def test_an_image_of_the_other_byte_order_is_refused(small: bytes) -> None:
    damaged = bytearray(small)
    damaged[10] = 2 if sys.byteorder == "little" else 1
    with pytest.raises(FormatError, match="byte order"):
        opened(resummed(damaged))


def test_a_missing_section_is_named() -> None:
    data = image.encode({"meta": b"{}"})
    with pytest.raises(FormatError, match=r"'cells'|damaged"):
        opened(data)


def test_a_sections_name_is_never_cut() -> None:
    assert image.encode({"a" * 16: b""})
    with pytest.raises(ValueError, match="at most 16 bytes"):
        image.encode({"a" * 17: b""})


def test_verify_finds_a_table_that_its_sources_do_not_give(small: bytes) -> None:
    other = tiny_database({"175.16.199.0/24": "CN", "81.2.69.0/25": "GB", "2001:218::/32": "JP"})
    wanted = tiny_database({"175.16.199.0/24": "CN", "81.2.69.0/24": "GB", "2001:218::/32": "JP"})
    sections = {name: bytes(wanted._image.section(name)) for name in SECTIONS[:3]}
    sections["origin.country"] = bytes(other._image.section("origin.country"))
    with pytest.raises(FormatError, match="IPv4 table is not what the recorded ranges give"):
        opened(image.encode(sections)).verify()


def test_publish_replaces_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "image.grdb"
    target.write_bytes(b"old")
    publish(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["image.grdb"]


def test_publish_keeps_the_old_file_when_it_cannot_put_the_new_one_in_place(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError, match=r"folder"):
        publish(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "not a georestrict image"),
        (b"GRDB\r\n\x1a\n", "not a georestrict image"),
    ],
    ids=["missing", "empty", "only magic"],
)
def test_opening_a_file_that_is_no_image_says_so(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "x.grdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatabaseError, match=says):
        Database.open(path)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be read"):
        Database.open(tmp_path)


def test_g4_a_foreign_file_is_read_so_that_truncating_it_changes_nothing(
    tmp_path: Path, small: bytes
) -> None:
    path = tmp_path / "x.grdb"
    path.write_bytes(small)
    database = Database.open(path)
    path.write_bytes(b"")
    assert database.country("81.2.69.1") == "GB"
    database.verify()
