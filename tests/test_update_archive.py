"""What was fetched: archives that are damaged, bombs or traps, and sums in every spelling."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from georestrict.update import archive, checksum
from georestrict.update.failures import FetchError

pytestmark = pytest.mark.once

MOST = 100_000
DATA = b"data of the member\n" * 50
Unpack = Callable[..., bytes]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """Unpack bytes, and return what came out; nothing else may be anywhere."""

    def run(packed: bytes, member: str | None = None, name: str = "out", most: int = MOST) -> bytes:
        folder = tmp_path / "work"
        folder.mkdir()
        (folder / "part").write_bytes(packed)
        archive.unpack(folder / "part", folder / name, member, most)
        assert {path.name for path in tmp_path.iterdir()} == {"work"}
        return (folder / name).read_bytes()

    return run


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = "/etc/passwd"
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes], packed: bool = True) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as made:
        for info, data in members:
            made.addfile(info, io.BytesIO(data))
    return gzip.compress(held.getvalue(), mtime=0) if packed else held.getvalue()


def zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name.replace("__", "/").replace("_", "."), data)
    return held.getvalue()


@pytest.mark.parametrize(
    "packed",
    [
        tar(member("Geo_2026/LICENSE.txt", b"text"), member("Geo_2026/Geo.mmdb", DATA)),
        tar(
            member("Geo_2026", kind=tarfile.DIRTYPE),
            member("Geo_2026/Geo.mmdb", DATA),
            packed=False,
        ),
        zipped(Geo__Geo_mmdb=DATA, Geo__LICENSE_txt=b"text"),
        gzip.compress(zipped(Geo_mmdb=DATA), mtime=0),
        gzip.compress(DATA, mtime=0),
    ],
    ids=["tar.gz", "tar", "zip", "zip.gz", "gz"],
)
def test_a_member_is_found_by_its_name_in_every_kind_of_archive(
    packed: bytes, unpack: Unpack
) -> None:
    assert unpack(packed, "*.mmdb") == DATA


def test_what_is_no_archive_stays_as_it_is_and_gzip_is_unpacked(tmp_path: Path) -> None:
    for number, (packed, name, expected) in enumerate(
        [
            (DATA, "out.txt", DATA),
            (gzip.compress(DATA, mtime=0), "out.txt", DATA),
            (gzip.compress(DATA[:9], mtime=0) + gzip.compress(DATA[9:], mtime=0), "out.txt", DATA),
            (gzip.compress(DATA, mtime=0), "out.csv.gz", gzip.compress(DATA, mtime=0)),
            (zipped(a_csv=DATA), "out.zip", zipped(a_csv=DATA)),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "part").write_bytes(packed)
        archive.unpack(folder / "part", folder / name, None, MOST)
        assert (folder / name).read_bytes()[10:] == expected[10:]  # gzip has the time in it


TRAPS = {
    "up": (tar(member("../../etc/x.mmdb", DATA)), "leads out of it"),
    "root": (tar(member("/etc/x.mmdb", DATA)), "leads out of it"),
    "up beside": (tar(member("a/../x", DATA), member("x.mmdb", DATA)), "leads out of it"),
    "up in a zip": (zipped(**{"..__x_mmdb": DATA}), "leads out of it"),
    "symlink": (tar(member("x.mmdb", kind=tarfile.SYMTYPE)), "is a link or a device"),
    "hard link": (tar(member("x.mmdb", kind=tarfile.LNKTYPE)), "is a link or a device"),
    "device": (tar(member("x.mmdb", kind=tarfile.CHRTYPE)), "is a link or a device"),
    "pipe": (tar(member("x.mmdb", kind=tarfile.FIFOTYPE)), "is a link or a device"),
    "others": (tar(member("x.csv", DATA)), "0 members of the archive match '\\*.mmdb'; it has 'x.csv'"),
    "two": (tar(member("a/x.mmdb", DATA), member("b/y.mmdb", DATA)), "2 members of the archive"),
    "one twice": (tar(member("x.mmdb", DATA), member("x.mmdb", DATA)), "2 members of the archive"),
    "text": (DATA, "is no archive"),
    "bomb in tar": (tar(member("x.mmdb", bytes(MOST * 3))), "holds more than 100,000 bytes"),
    "bomb in zip": (zipped(x_mmdb=bytes(MOST * 3)), "holds more than 100,000 bytes unpacked"),
    "bomb": (gzip.compress(bytes(MOST * 3), mtime=0), "holds more than 100,000 bytes unpacked"),
    "cut tar.gz": (tar(member("x.mmdb", DATA))[:-30], "the archive is damaged"),
    "cut tar": (tar(member("x.mmdb", DATA * 9), packed=False)[:900], "the archive is damaged"),
    "cut zip": (zipped(x_mmdb=DATA)[:-30], "the archive is damaged"),
    "two names": (zipped(x_mmdb=DATA).replace(b"x.mmdb", b"y.mmdb", 1), "the archive is damaged"),
    "cut gzip": (gzip.compress(DATA, mtime=0)[:-4], "the archive is damaged"),
    "wrong sum": (gzip.compress(DATA, mtime=0)[:-8] + bytes(8), "the archive is damaged"),
    "more behind": (gzip.compress(DATA, mtime=0) + b"junk", "the archive is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_refused(trap: str, unpack: Unpack) -> None:
    packed, why = TRAPS[trap]
    with pytest.raises(FetchError, match=why):
        unpack(packed, "*.mmdb")


def test_gzip_in_gzip_is_unpacked_once(unpack: Unpack) -> None:
    inner = gzip.compress(bytes(30 << 20))
    assert unpack(gzip.compress(inner), "*.mmdb") == inner


def test_an_archive_needs_a_member(unpack: Unpack) -> None:
    with pytest.raises(FetchError, match="is an archive; name the file in it"):
        unpack(tar(member("x.mmdb", DATA)))


def test_a_zip_member_that_is_a_link_or_locked_is_refused(unpack: Unpack, tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        info = zipfile.ZipInfo("x.mmdb")
        info.external_attr = 0o120777 << 16
        made.writestr(info, "/etc/passwd")
    with pytest.raises(FetchError, match="is a link, not a file"):
        unpack(held.getvalue(), "*.mmdb")
    (tmp_path / "work").rename(tmp_path / "before")
    locked = bytearray(zipped(x_mmdb=DATA))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    folder = tmp_path / "before"
    (folder / "part").write_bytes(locked)
    (folder / "out").unlink(missing_ok=True)
    with pytest.raises(FetchError, match=r"the archive is damaged: .*encrypted"):
        archive.unpack(folder / "part", folder / "out", "*.mmdb", MOST)


def test_a_header_that_claims_to_be_long_is_not_read_at_once(unpack: Unpack) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 50 << 20
    bomb = gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(60 << 20))
    with pytest.raises(FetchError, match="has a header of 52,428,800 bytes"):
        unpack(bomb, "*.mmdb", most=100 << 20)


def test_a_sparse_member_is_refused(unpack: Unpack) -> None:
    info = tarfile.TarInfo("x.mmdb")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(FetchError, match="is a link or a device"):
        unpack(gzip.compress(bytes(block) + bytes(1024)), "*.mmdb")


def test_an_archive_of_very_many_members_is_refused(unpack: Unpack) -> None:
    many = [member(f"{number}") for number in range(10_001)]
    with pytest.raises(FetchError, match="more than 10,000 members"):
        unpack(tar(*many), "*.mmdb", most=100 << 20)


SHA256, MD5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SHA256, ("sha256", SHA256)),
        (f"{SHA256}  f.tar.gz\n", ("sha256", SHA256)),
        (f"{SHA256.upper()} *another_20261120.tar.gz\r\n", ("sha256", SHA256)),
        (f"MD5 (f.tar.gz) = {MD5}\n", ("md5", MD5)),
        (f"{'0' * 64}  e.tar.gz\n{SHA256}  f.tar.gz\n", ("sha256", SHA256)),
        (f"{'0' * 64}  xf.tar.gz\n{SHA256}  f.tar.gz\n", ("sha256", SHA256)),
        (f'{{"checksums": {{"md5": "{MD5}", "sha1": "{"1" * 40}", "sha256": "{SHA256}"}}}}', ("sha256", SHA256)),
    ],
)  # fmt: skip
def test_sums_are_read_in_every_spelling(text: str, found: tuple[str, str], tmp_path: Path) -> None:
    assert checksum.told(text, "f.tar.gz") == found
    (tmp_path / "f").write_bytes(DATA)
    assert checksum.has(tmp_path / "f", *found)
    (tmp_path / "f").write_bytes(DATA[1:])
    assert not checksum.has(tmp_path / "f", *found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "tells no MD5"),
        ("<html>not found</html>", "tells no MD5"),
        ("abc123", "tells no MD5"),
        ("0" * 50, "tells no MD5"),
        (f"{'0' * 64}  a\n{'1' * 64}  b\n", "tells 2 sums, none of them of 'f.tar.gz'"),
    ],
)
def test_a_file_that_tells_no_sum_is_a_failure(text: str, why: str) -> None:
    with pytest.raises(FetchError, match=why):
        checksum.told(text, "f.tar.gz")
