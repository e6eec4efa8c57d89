"""Which format a file of data has.

A file is known by its content, never by its name. Where two publishers write the same, there is one
format for both: rows of ``first,last,country`` are ``csv-ranges``, whoever publishes them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from georestrict.errors import FormatError
from georestrict.sources import csv_ranges, csvfile, feeds, maxmind_csv, mmdb, networks, registries
from georestrict.sources.container import Content, beginnings, unpacked
from georestrict.sources.document import decoded
from georestrict.sources.entry import shown
from georestrict.table import MAGIC

#: The formats of which a source may have several files, in a folder or a zip archive.
FOLDER_FORMATS = ("csv", "csv-ranges", "maxmind-csv", "registries", "tor-geoip")

_PACKED = b"georestrict-ranges "
# Formats of which some files look like another's, and are read alike by both: a geofeed may have
# nothing but networks; Tor's files have the layout of csv-ranges; a table of MaxMind's that
# refers to no locations is a table with a header.
_ALIKE = frozenset(
    {
        ("geofeed", "networks"),
        ("tor-geoip", "csv-ranges"),
        ("csv-ranges", "tor-geoip"),
        ("csv", "maxmind-csv"),
        ("maxmind-csv", "csv"),
    }
)


def detect_source(content: Content, name: str = "the file") -> str:
    """Return the format of a file, or of the files of a folder or an archive by their name.

    ``image`` is a compiled image. gzip and zip are looked into.

    Raises:
        FormatError: if it is of no known format, or the files are of several; what was found is
            told.
    """
    content = unpacked(content, name)
    if isinstance(content, Mapping):
        return _of_files(content, name)
    if content.startswith(MAGIC):
        return "image"
    if content.startswith(_PACKED):
        return "packed"
    if mmdb.is_mmdb(content):
        return "mmdb"
    form = _of_text(content, name)
    if form is None:
        raise FormatError(f"{name}: has no data, so its format cannot be told; state its 'format'")
    return form


def check_format(stated: str, content: Content, name: str = "the file") -> None:
    """Check that a file may be of a stated format.

    Raises:
        FormatError: if its content is of another one; what was found is told.
    """
    if not _is_empty(unpacked(content, name)):
        found = detect_source(content, name)
        if found != stated and (stated, found) not in _ALIKE:
            raise FormatError(
                f"{name}: format = {stated!r} is stated, but the content is of the format "
                f"{found!r}: {_what_is_there(content, name)}; state that format, or name the file "
                "that is meant"
            )


def _of_files(files: Mapping[str, bytes], name: str) -> str:
    forms: dict[str, str] = {}
    for place, data in beginnings(files, name):
        try:
            form = _of_text(data, place)
        except FormatError:  # no text, or a document of which this is only a part
            form = detect_source(files[place.removeprefix(f"{name}/")], place)
        if form is not None:
            forms.setdefault(form, place)
    if not forms:
        raise FormatError(
            f"{name}: holds no file of data, only {shown(sorted(files))}; name the folder or the "
            "archive that was fetched"
        )
    if len(forms) > 1:
        told = ", ".join(f"{place} is {form!r}" for form, place in forms.items())
        raise FormatError(
            f"{name}: holds files of several formats: {told}; name one file, or a folder for each"
        )
    (form,) = forms
    if form not in FOLDER_FORMATS:
        raise FormatError(
            f"{name}: a source of the format {form!r} is one file, not a folder or an archive; "
            f"unpack it and name the file, such as {forms[form]}"
        )
    return form


def _of_text(data: bytes, name: str) -> str | None:
    """Return the format of a text, or None if it has nothing but comments."""
    form = feeds.detect(data, name)
    if form not in ("geofeed", "networks"):
        return form
    text = _first_text(data, name)
    if not text:
        return None
    if registries.HEADER.match(text):
        return "registries"
    try:
        (fields,) = csv.reader([text], skipinitialspace=True)
    except (csv.Error, ValueError):
        fields = [text]
    if csv_ranges.is_range(fields):
        return "tor-geoip" if data.lstrip(b"\xef\xbb\xbf").startswith(b"#") else "csv-ranges"
    names = [field.strip().lower() for field in fields]
    if maxmind_csv.is_header(names):
        return "maxmind-csv"
    if csvfile.has_addresses(names):
        return "csv"
    try:
        networks.parse((text if form == "networks" else fields[0]).encode(), name)
    except FormatError as error:
        raise FormatError(
            f"{name}: of no format that is known: it begins with {shown(text)}; expected an MMDB, "
            "a CSV of addresses, a registry's file, a provider's feed, or one network a line"
        ) from error
    return form


def _first_text(data: bytes, name: str) -> str:
    """Return the first line that says something, or nothing."""
    for line in io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")):
        text = line.strip()
        if text and text[:1] not in (b"#", b";"):
            return decoded(text, name)
    return ""


def _is_empty(content: Content) -> bool:
    return isinstance(content, bytes) and not feeds.first_line(content)


def _what_is_there(content: Content, name: str) -> str:
    content = unpacked(content, name)
    if isinstance(content, Mapping):
        place, content = next(beginnings(content, name))
        return f"{place} begins with {_beginning(content)}"
    return f"it begins with {_beginning(content)}"


def _beginning(data: bytes) -> str:
    try:
        return shown(feeds.first_line(data).decode())
    except UnicodeDecodeError:
        return shown(data[:16])
