"""What files come in: gzip (RFC 1952), a zip archive, a folder.

Unpacking is bounded: a small file cannot fill the memory. A zip's members are unpacked when they
are asked for, and most never are.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from georestrict.errors import FormatError

#: The content of a file, or of the files of a folder or an archive by their name in it.
Content = bytes | Mapping[str, bytes]

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_BEGINNING = 1 << 16
_MOST_BYTES = 4 << 30  # IPinfo's largest file, about 3 GB as text, fits
_MOST_GROWTH = 200  # deflate reaches 1,032; CSV of ranges shrinks to a fifth or a twentieth
_ALWAYS_BYTES = 16 << 20
# what stands beside data: by a part of the name, or its end
_BESIDE = ("licence", "license", "copying", "copyright", "modifications", "notice", "readme")
_BESIDE_ENDS = (".asc", ".html", ".json", ".md", ".md5", ".sha256", ".sig")
_DAMAGES = (
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def unpacked(data: Content, name: str) -> Content:
    """Return what is in a file: its bytes, or the files of an archive by their name.

    Raises:
        FormatError: if it is damaged, or would become larger than is plausible.
    """
    if isinstance(data, Mapping):
        return data
    if data.startswith(_GZIP):
        return _gunzipped(data, name)
    if data.startswith(_ZIP):
        return _Archive(data, name)
    return data


def parts(files: Mapping[str, bytes], name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the place and the content of the files that are data, in the order of their names.

    Hidden files, and what stands beside data (licences, checksums), are left out.
    """
    for member in _data_names(files):
        yield f"{name}/{member}", part(files, name, f"{name}/{member}")


def part(files: Mapping[str, bytes], name: str, place: str) -> bytes:
    """Return the content of the file at a place."""
    data = unpacked(files[place.removeprefix(f"{name}/")], place)
    if isinstance(data, bytes):
        return data
    kind = "zip archive" if isinstance(files, _Archive) else "folder"
    raise FormatError(f"{place}: a zip archive in a {kind}; unpack it")


def beginnings(files: Mapping[str, bytes], name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the place and the first bytes of the files that are data: enough to tell the format."""
    for member in _data_names(files):
        place = f"{name}/{member}"
        data = files.begin(member, _BEGINNING) if isinstance(files, _Archive) else files[member]
        if data.startswith(_GZIP):
            data = _gunzipped(files[member], place)
        yield place, data[:_BEGINNING]


def _data_names(files: Mapping[str, bytes]) -> list[str]:
    """Return the names of the files that are data, sorted."""
    return sorted(member for member in files if _is_data(member))


def _is_data(member: str) -> bool:
    own = member.rpartition("/")[2].lower()
    return not (
        not own
        or own.startswith(".")
        or member.startswith("__MACOSX/")  # macOS' archiver adds it
        or own.endswith(_BESIDE_ENDS)
        or any(part in own for part in _BESIDE)
    )


class _Archive(Mapping[str, bytes]):
    """The files of a zip archive, unpacked when they are asked for."""

    def __init__(self, data: bytes, name: str) -> None:
        self._name, self._most = name, _most(len(data))
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGES as error:
            raise FormatError(
                f"{name}: a damaged zip archive: {error}; fetch the file again"
            ) from error
        self._members = {info.filename: info for info in self._file.infolist() if not info.is_dir()}

    def __getitem__(self, member: str) -> bytes:
        data = self.begin(member, self._most + 1)
        return _within(data, self._most, f"{self._name}/{member}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def begin(self, member: str, size: int) -> bytes:
        """Return the first bytes of a file."""
        info = self._members[member]
        place = f"{self._name}/{member}"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(
                f"{place}: packed by method {info.compress_type} of zip, which is not read here; "
                "pack it anew with deflate, or unpack it"
            )
        if info.flag_bits & 1:
            raise FormatError(f"{place}: encrypted; unpack the archive")
        try:
            with self._file.open(info) as stream:
                return stream.read(size)
        except _DAMAGES as error:
            raise FormatError(f"{place}: damaged: {error}; fetch the file again") from error


def _gunzipped(data: bytes, name: str) -> bytes:
    most = _most(len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return _within(stream.read(most + 1), most, name)
    except _DAMAGES as error:
        raise FormatError(f"{name}: damaged gzip: {error}; fetch the file again") from error


def _within(data: bytes, most: int, place: str) -> bytes:
    if len(data) > most:
        raise FormatError(
            f"{place}: becomes more than {most:,} bytes when it is unpacked, which no data of "
            "this kind does; if it is meant, unpack it yourself"
        )
    return data


def _most(packed: int) -> int:
    return min(_MOST_BYTES, max(_ALWAYS_BYTES, _MOST_GROWTH * packed))
