"""Which format a file of data has, and of which day it says that it is.

A file is known by its content, never by its name. Where two publishers write the same, there is one
format for both: rows of ``first,last,country`` are ``csv-ranges``, whoever publishes them.
"""

from __future__ import annotations

import csv
import io
import re
import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

from georestrict.errors import FormatError
from georestrict.sources import csv_ranges, csvfile, feeds, maxmind_csv, mmdb, networks, registries
from georestrict.sources.container import Content, beginnings, parts, unpacked
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
_GENERATED = re.compile(r"#\s*Generated:\s*(.+)")
_EDITION_DAY = re.compile(r"CSV_(\d{8})/")  # MaxMind's archives have a folder with the day


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


def date_of(form: str, content: Content, name: str = "the file") -> date | None:
    """Return the day of the data, as the content says it, or None.

    An MMDB says when it was built, Tor's files when they were generated, a registry's file the last
    day that it tells of, the folder in MaxMind's archive the day of the release. Of several files
    the oldest counts.

    Raises:
        FormatError: if it is damaged.
    """
    content = unpacked(content, name)
    if form == "mmdb" and isinstance(content, bytes):
        return _built(content, name)
    if form == "maxmind-csv" and isinstance(content, Mapping):
        days = [_day(found[1]) for found in map(_EDITION_DAY.search, content) if found]
    elif form in ("registries", "tor-geoip"):
        told = registries.date_of if form == "registries" else _generated
        files = [content] if isinstance(content, bytes) else [d for _, d in parts(content, name)]
        days = [told(data) for data in files]
    else:
        days = []
    return min((day for day in days if day is not None), default=None)


def _of_files(files: Mapping[str, bytes], name: str) -> str:
    forms: dict[str, str] = {}
    for member, data in beginnings(files, name):
        place = f"{name}/{member}"
        try:
            form = _of_text(data, place)
        except FormatError:  # no text, or a document of which this is only a part
            form = detect_source(files[member], place)
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
        member, content = next(beginnings(content, name))
        return f"{member} begins with {_beginning(content)}"
    return f"it begins with {_beginning(content)}"


def _beginning(data: bytes) -> str:
    try:
        return shown(feeds.first_line(data).decode())
    except UnicodeDecodeError:
        return shown(data[:16])


def _built(data: bytes, name: str) -> date:
    from maxminddb import MODE_FD, InvalidDatabaseError, open_database

    try:
        with open_database(io.BytesIO(data), MODE_FD) as reader:
            return datetime.fromtimestamp(reader.metadata().build_epoch, UTC).date()
    except (
        ArithmeticError,
        AttributeError,
        InvalidDatabaseError,
        LookupError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise FormatError(f"{name}: a damaged MMDB: {error}; fetch the file again") from error


def _generated(data: bytes) -> date | None:
    """Return the day in the comments of one of Tor's files."""
    for line in io.TextIOWrapper(io.BytesIO(data), "ascii", errors="replace"):
        if not line.startswith("#"):
            break
        found = _GENERATED.match(line)
        if found:
            try:
                return parsedate_to_datetime(found[1].strip()).date()
            except ValueError:
                break
    return None


def _day(digits: str) -> date | None:
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None
