"""The content of a source: of one file, or of those in a folder; and how old it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from georestrict.errors import ConfigurationError
from georestrict.sources import Content
from georestrict.tomlfile import files_of, read_bytes


class _Folder(Mapping[str, bytes]):
    """The files of a folder by their names, each read when it is asked for."""

    def __init__(self, path: Path, place: str) -> None:
        self._paths, self._place = {each.name: each for each in files_of(path, place)}, place

    def __getitem__(self, name: str) -> bytes:
        return read_bytes(self._paths[name], self._place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def read_content(path: Path, sha256: str | None, place: str) -> Content:
    """Return the content of a file, which must have the checksum if one is stated; or a folder's.

    Raises:
        ConfigurationError: if it cannot be read, or its checksum is another.
    """
    if path.is_dir():
        if sha256 is not None:
            raise ConfigurationError(
                f"{place}: sha256 is the sum of one file, and {path} is a folder; leave it out, or "
                "name the archive that the folder came from"
            )
        return _Folder(path, place)
    return read_file(path, sha256, place)


def read_file(path: Path, sha256: str | None, place: str) -> bytes:
    """Return the bytes of a file, which must have the checksum if one is stated.

    Raises:
        ConfigurationError: if it cannot be read, or its checksum is another.
    """
    data = read_bytes(path, place)  # once: it may be a pipe
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise ConfigurationError(
            f"{place}: {path} has SHA-256 {found}, the manifest says {sha256}; "
            "restore the file, or state the new sum if the change is meant"
        )
    return data


def changed(path: Path, place: str) -> date:
    """Return when a file was changed, in UTC; of a folder the file that was so the longest ago.

    Raises:
        ConfigurationError: if the file system does not tell.
    """
    try:
        times = [each.stat().st_mtime for each in files_of(path, place)]
        return datetime.fromtimestamp(min(times), UTC).date()
    except (OSError, OverflowError, ValueError) as error:
        raise ConfigurationError(
            f"{place}: {path} does not tell when it was changed: {error}; state its 'date'"
        ) from error
