"""The image file (``.grdb``): named sections behind a checked header.

All header numbers are little-endian::

    offset  size  field
         0     8  magic "GRDB", CR LF, 0x1a, LF: text-mode transfers damage it visibly
         8     2  format version
        10     1  byte order of the sections: 1 little, 2 big
        11     1  0
        12     4  number of sections
        16     8  length of the whole file
        24     4  CRC-32 of the header and section table, with this field as 0
        28     4  CRC-32 of everything behind them
        32   32n  section table: 16 bytes name, 8 offset, 8 length; offsets are multiples of 64

Reading proves the lengths and both checksums, so a truncated or damaged file is refused before
anything in it is believed. (CRC-32 finds accidents, not forgers: an image is as trusted as code.)
"""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from georestrict.errors import ChecksumError, FormatError, VersionError

try:
    import fcntl
except ImportError:  # Windows: an open file is neither removed nor replaced there
    fcntl = None  # type: ignore[assignment]

MAGIC = b"GRDB\r\n\x1a\n"
FORMAT_VERSION = 1
_HEADER = struct.Struct("<8sHBBIQII")
_SECTION = struct.Struct("<16sQQ")
_LONGEST_NAME = 16
_ALIGNMENT = 64
_MOST_SECTIONS = 64
_PART = ".part"  # ends the name of a file that is being written
_BYTE_ORDERS = {"little": 1, "big": 2}


class Image:
    """The sections of an image, as views into one buffer.

    Raises:
        FormatError: if the buffer is no image, is truncated, or is built for another byte order.
        ChecksumError: if its bytes are not those that were written.
        VersionError: if its format version is another one.
    """

    def __init__(self, buffer: memoryview, name: str) -> None:
        size = len(buffer)
        if size < _HEADER.size or bytes(buffer[:8]) != MAGIC:
            raise FormatError(
                f"{name}: not a georestrict image (its first bytes are {bytes(buffer[:8])!r}); "
                "name one that 'georestrict compile' made"
            )
        _, version, order, _, count, length, header_sum, body_sum = _HEADER.unpack_from(buffer)
        if version != FORMAT_VERSION:
            raise VersionError(
                f"{name}: image format {version}, this release reads {FORMAT_VERSION}; "
                "compile the image again with this release"
            )
        if length != size:
            raise FormatError(
                f"{name}: {size} bytes, expected {length}; the file was cut or appended to"
            )
        body = _aligned(_HEADER.size + count * _SECTION.size)
        if count > _MOST_SECTIONS or body > size:
            raise FormatError(f"{name}: {count} sections do not fit")
        header = bytearray(buffer[:body])
        header[24:28] = bytes(4)
        if zlib.crc32(header) != header_sum:
            raise ChecksumError(
                f"{name}: the header's checksum is wrong; fetch or compile the file again"
            )
        if zlib.crc32(buffer[body:]) != body_sum:
            raise ChecksumError(
                f"{name}: the content's checksum is wrong; fetch or compile the file again"
            )
        if order != _BYTE_ORDERS[sys.byteorder]:
            raise FormatError(
                f"{name}: built for the other byte order; "
                f"compile it again on a {sys.byteorder}-endian machine"
            )
        self._sections: dict[str, memoryview] = {}
        for number in range(count):
            raw, offset, length = _SECTION.unpack_from(
                buffer, _HEADER.size + number * _SECTION.size
            )
            if offset % _ALIGNMENT or offset < body or offset + length > size:
                raise FormatError(f"{name}: section {number} lies outside the file")
            self._sections[raw.rstrip(b"\0").decode("ascii", "replace")] = buffer[
                offset : offset + length
            ]
        self.name, self.size = name, size

    def section(self, name: str) -> memoryview:
        """Return a section's bytes.

        Raises:
            FormatError: if the image has no such section.
        """
        try:
            return self._sections[name]
        except KeyError:
            raise FormatError(f"{self.name}: section {name!r} is missing") from None

    def __contains__(self, name: str) -> bool:
        return name in self._sections


def encode(sections: Mapping[str, bytes | memoryview]) -> bytes:
    """Return the bytes of an image with these sections.

    Raises:
        ValueError: if a section's name has more than 16 bytes.
    """
    body = _aligned(_HEADER.size + len(sections) * _SECTION.size)
    offset, body_sum, table = body, 0, bytearray()
    parts: list[bytes | memoryview] = []
    for name, data in sections.items():
        if len(name.encode("ascii")) > _LONGEST_NAME:
            raise ValueError(f"section {name!r}: a name has at most {_LONGEST_NAME} bytes")
        table += _SECTION.pack(name.encode("ascii"), offset, len(data))
        for part in (data, bytes(_aligned(len(data)) - len(data))):
            parts.append(part)
            body_sum = zlib.crc32(part, body_sum)
        offset += _aligned(len(data))

    def header(header_sum: int) -> bytes:
        fields = (MAGIC, FORMAT_VERSION, _BYTE_ORDERS[sys.byteorder], 0, len(sections), offset)
        packed = _HEADER.pack(*fields, header_sum, body_sum) + table
        return packed.ljust(body, b"\0")

    return b"".join([header(zlib.crc32(header(0))), *parts])


def publish(path: Path, data: bytes) -> None:
    """Put a file in place so that a reader sees the old one or the new one, never a part.

    A power cut leaves one of both, too: the data is on disk before the name points to it. A process
    that is killed meanwhile leaves a hidden file, ``.NAME.xxxxxxxx.part``, beside; the next that
    publishes under this name removes it.

    Raises:
        OSError: if it cannot be done; what was there stays.
    """
    try:
        path = path.resolve()  # replace what a symbolic link points to, not the link
    except RuntimeError as error:  # Python 3.12 and older
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "exists and is not a regular file", str(path))
    if os.name != "posix":
        _put(path, data)
        return
    folder = os.open(path.parent, os.O_RDONLY)  # first: after the rename nothing should fail
    try:
        _tidy(path)
        _put(path, data)
        os.fsync(folder)
    finally:
        os.close(folder)


def _put(path: Path, data: bytes) -> None:
    """Write the data to a file beside, which is locked as long as it is ours, and rename that."""
    handle, temporary = _beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if os.name == "posix":
                os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            if os.name == "posix":
                temporary.replace(path)
        if os.name != "posix":  # there a file that is open is not renamed
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> tuple[int, Path]:
    """Make the file that will be renamed, and lock it."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PART, dir=path.parent)
        if fcntl is None:
            return handle, Path(name)
        with suppress(OSError):  # a file system without locks: then nobody tidies there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if Path(name).exists():
            return handle, Path(name)
        os.close(handle)  # another process tidied it away before it was locked


def _tidy(path: Path) -> None:
    """Remove what killed processes left of this name: such files are not locked any more."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(_PART)}")
    with suppress(OSError):
        for each in path.parent.iterdir():
            if ours.fullmatch(each.name):
                _remove_unlocked(each)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(file)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
