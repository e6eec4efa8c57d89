"""What is in a file that was fetched: gzip, tar and zip are told by content, whatever the name.

Nothing is ever written under a name from an archive, and no more than a stated number of bytes.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from georestrict.update.failures import FetchError

_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TAR_MAGIC = (257, b"ustar")
_MOST_MEMBERS = 10_000
_MOST_HEADER_BYTES = 1 << 20  # tarfile reads a header at once, whatever length it says
_CHUNK_BYTES = 1 << 16
_BROKEN = (
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    ValueError,
)


def unpack(packed: Path, target: Path, member: str | None, most_bytes: int) -> None:
    """Write what is wanted of a file to another: its only content, or a member of an archive.

    Of a file whose new name says that it stays packed (``.gz``, ``.zip``) nothing is unpacked,
    unless a member is asked for. The first file is gone afterwards.

    Raises:
        FetchError: if it is damaged, holds more bytes than that, or has no such member.
        OSError: if there is no space.
    """
    start = _start(packed)
    if member is None and _stays_packed(target.name):
        packed.replace(target)
        return
    if start.startswith(_GZIP):
        inner = packed.with_name(f"{packed.name}.content")
        gunzip(packed, inner, most_bytes)
        packed.unlink()
        packed, start = inner, _start(inner)
        if not _is_tar(start) and not start.startswith(_ZIP):
            member = None  # one file, whose name gzip need not tell
    if start.startswith(_ZIP):
        _from_archive(packed, target, member, most_bytes, zipped=True)
    elif _is_tar(start):
        _from_archive(packed, target, member, most_bytes, zipped=False)
    elif member is not None:
        raise FetchError(f"is no archive, so has no member {member!r}; it begins {start[:16]!r}")
    else:
        packed.replace(target)


def gunzip(packed: Path, target: Path, most_bytes: int) -> None:
    """Write what gzip has packed to another file.

    Raises:
        FetchError: if it is damaged, or holds more bytes than that.
    """
    with _told(), gzip.open(packed) as source, target.open("xb") as file:
        copy(source, file, most_bytes)


def copy(source: IO[bytes] | gzip.GzipFile, target: IO[bytes], most_bytes: int) -> None:
    """Copy a file.

    Raises:
        FetchError: if it holds more bytes than that.
    """
    total = 0
    while chunk := source.read(_CHUNK_BYTES):
        total += len(chunk)
        if total > most_bytes:
            raise FetchError(f"holds more than {most_bytes:,} bytes unpacked ('most_bytes')")
        target.write(chunk)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _is_tar(start: bytes) -> bool:
    offset, magic = _TAR_MAGIC
    return start[offset:].startswith(magic)


def _stays_packed(name: str) -> bool:
    return re.search(r"\.(gz|tgz|zip)$", name) is not None


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except FetchError:
        raise
    except _BROKEN as error:
        raise FetchError(f"the archive is damaged: {error}") from error


def _from_archive(
    packed: Path, target: Path, member: str | None, most_bytes: int, *, zipped: bool
) -> None:
    if member is None:
        raise FetchError("is an archive; name the file in it, such as member = '*.mmdb'")
    with _told(), target.open("xb") as file:
        (_from_zip if zipped else _from_tar)(packed, file, member, most_bytes)


def _from_zip(packed: Path, target: IO[bytes], member: str, most_bytes: int) -> None:
    with zipfile.ZipFile(packed) as archive:
        infos = archive.infolist()
        files = [each for each in infos if not each.is_dir()]
        name = _chosen([each.filename for each in files], member)
        (info,) = [each for each in files if each.filename == name]
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FetchError(f"the member {name!r} is a link, not a file")
        with archive.open(info) as source:
            copy(source, target, most_bytes)


class _Headers(io.FileIO):
    """A file of which nothing long is read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_HEADER_BYTES:
            raise FetchError(f"the archive has a header of {size:,} bytes")
        return super().read(size) or b""


def _from_tar(packed: Path, target: IO[bytes], member: str, most_bytes: int) -> None:
    with (
        _Headers(packed, "rb") as file,
        tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive,
    ):
        members = []
        for each in archive:
            members.append(each)
            if len(members) > _MOST_MEMBERS:
                raise FetchError(f"the archive has more than {_MOST_MEMBERS:,} members")
        name = _chosen([each.name for each in members if not each.isdir()], member)
        (info,) = [each for each in members if each.name == name and not each.isdir()]
        source = archive.extractfile(info) if info.isreg() and not info.issparse() else None
        if source is None:
            raise FetchError(f"the member {name!r} is a link or a device, not a file")
        with source:
            copy(source, target, most_bytes)
            if target.tell() != info.size:
                raise FetchError(f"the archive is damaged: {name!r} is cut off")


def _chosen(names: list[str], member: str) -> str:
    """Return the one name that matches.

    Raises:
        FetchError: if none or several do, or if a name would lead out of the archive.
    """
    if len(names) > _MOST_MEMBERS:
        raise FetchError(f"the archive has more than {_MOST_MEMBERS:,} members")
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts:
            raise FetchError(f"the archive has a member {name!r}, which leads out of it")
    found = [name for name in names if fnmatchcase(PurePosixPath(name).name, member)]
    if len(found) != 1:
        held = ", ".join(map(repr, sorted(found or names)[:8]))
        raise FetchError(
            f"{len(found)} members of the archive match {member!r}; it has {held or 'none'}"
        )
    return found[0]
