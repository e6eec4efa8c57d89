"""What files come in: gzip (RFC 1952), a zip archive, a folder.

Unpacking is bounded: a small file cannot fill the memory. A zip's members are unpacked when they
are asked for, and most never are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from georestrict.errors import FormatError

#: The content of a file, or of the files of a folder or an archive by their name in it.
Content = bytes | Mapping[str, bytes]

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_TAR_AT, _TAR = 257, b"ustar"
_BEGINNING = 1 << 16
# what stands beside data: by a part of the name, or its end
_BESIDE = ("licence", "license", "copying", "copyright", "modifications", "notice", "readme")
_BESIDE_ENDS = (".asc", ".html", ".json", ".md", ".md5", ".sha256", ".sig")


def unpacked(data: Content, name: str) -> Content:
    """Return what is in a file: its bytes, or the files of an archive by their name.

    Raises:
        FormatError: if it is damaged, or would become larger than is plausible.
    """
    if isinstance(data, Mapping):
        return data
    if data.startswith((_GZIP, _ZIP)):
        from georestrict.sources.archive import Archive, gunzipped

        if data.startswith(_ZIP):
            return Archive(data, name)
        data = gunzipped(data, name)
    if data.startswith(_TAR, _TAR_AT):
        raise FormatError(
            f"{name}: a tar archive, as MaxMind's MMDBs come; unpack it (tar -xf) and name the "
            "file in it"
        )
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
    raise FormatError(f"{place}: a zip archive in a folder or an archive; unpack it")


def beginnings(files: Mapping[str, bytes], name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the place and the first bytes of the files that are data: enough to tell the format."""
    from georestrict.sources.archive import Archive, gunzipped

    for member in _data_names(files):
        place = f"{name}/{member}"
        data = files.begin(member, _BEGINNING) if isinstance(files, Archive) else files[member]
        if data.startswith(_GZIP):
            data = gunzipped(files[member], place)
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
