"""Archives and packed files: zip, and gzip (RFC 1952).

Apart from ``container.py``, because most processes never need what is imported here.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from georestrict.errors import FormatError

_MOST_BYTES = 4 << 30  # IPinfo's largest file, about 3 GB as text, fits
_MOST_GROWTH = 200  # deflate reaches 1,032; CSV of ranges shrinks to a fifth or a twentieth
_ALWAYS_BYTES = 16 << 20
_DAMAGES = (
    ArithmeticError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class Archive(Mapping[str, bytes]):
    """The files of a zip archive, unpacked when they are asked for."""

    def __init__(self, data: bytes, name: str) -> None:
        self._name, self._most = name, _most(len(data))
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
            members = [info for info in self._file.infolist() if not info.is_dir()]
        except _DAMAGES as error:
            raise FormatError(
                f"{name}: a damaged zip archive: {error}; fetch the file again"
            ) from error
        self._members = {info.filename: info for info in members}

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


def gunzipped(data: bytes, name: str) -> bytes:
    """Return what is in a file packed by gzip.

    Raises:
        FormatError: if it is damaged, or would become larger than is plausible.
    """
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
