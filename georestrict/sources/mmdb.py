"""MMDB files (MaxMind DB format 2.0): country, subdivision, AS number, and what a network is for.

What a record means, ``meaning.py`` tells.

The core walks the tree, so that each record is decoded once, however many networks share it, and
neighbouring networks that mean the same are one row: a tree cuts a publisher's range where the bits
change. A row's line is the number of its first network in the file's order, IPv4 before IPv6.

Two things differ from what ``maxminddb`` answers, on purpose. Of the IPv6 addresses at ``::/96``,
where files keep IPv4, nothing is known. And IPv4 addresses inside IPv6 ones (mapped, 6to4, Teredo,
NAT64) are not taken from the file's aliases: they are looked through by us.
"""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from georestrict._core import Tree
from georestrict.errors import FormatError
from georestrict.networks import Confidence
from georestrict.sources.meaning import Meaning, Reading, fit
from georestrict.sources.row import Batch

if TYPE_CHECKING:
    from maxminddb.reader import Metadata

_MARKER = b"\xab\xcd\xefMaxMind.com"
#: how far from the end the mark may be, says the format's specification
MARKER_WITHIN = 128 * 1024
# Built before this, a file is older than the format (2.0 came in 2013): its writer set no time.
_FIRST_BUILT = datetime(2013, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)  # by which clocks, and what they take for today, may differ
# A record may decode to 65,536 values (maxminddb's limit), and each of many networks may have such
# a one of its own. All of DB-IP's City edition takes 0.4 reads for each byte of the file.
_READS_PER_BYTE, _READS = 8, 500_000
_SLOW_NS = 200_000  # to decode a record; one of a City edition takes 14,000
_LONGEST_TITLE = 200
# What reading damaged bytes may raise.
_DAMAGES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class Contents(NamedTuple):
    """What a file says, and what it says of itself."""

    kind: str  #: its type, such as ``GeoLite2-City``, fit for the name of a source
    title: str
    built: datetime
    layers: dict[str, list[Batch]]  #: ``country``, ``network`` and ``asn``, or some of them


def is_mmdb(data: bytes) -> bool:
    """Return whether bytes have the mark of an MMDB file."""
    return data.rfind(_MARKER, max(0, len(data) - MARKER_WITHIN)) >= 0


def read_batches(path: Path, layer: str, confidence: str = Confidence.MEDIUM) -> list[Batch]:
    """Return what a file says for a layer; its flags are trusted with this confidence.

    Raises:
        FormatError: if it is damaged, or says nothing for this layer.
    """
    return batches(path.read_bytes(), str(path), layer, confidence)


def batches(data: bytes, name: str, layer: str, confidence: str) -> list[Batch]:
    """Return what a file of which the content is known says for a layer, whenever it was built.

    Raises:
        FormatError: if it is damaged, or says nothing for this layer.
    """
    layers = _layers(data, name, _metadata(data, name), confidence)
    if layer not in layers:
        raise FormatError(f"{name}: says nothing for the layer {layer!r}, only for {[*layers]}")
    return layers[layer]


def read(data: bytes, name: str, confidence: str = Confidence.MEDIUM) -> Contents:
    """Read a whole file; its flags are trusted with this confidence.

    Raises:
        FormatError: if it is no MMDB, is damaged, was built at no possible time, or has neither
            country, AS number nor flags; what it has instead is told.
    """
    about = _metadata(data, name)
    kind = "".join(
        each if each.isprintable() and each not in " /" else "-" for each in about.database_type
    )
    layers = _layers(data, name, about, confidence)
    return Contents(kind or "mmdb", _title(about) or kind or "mmdb", _built(about, name), layers)


def built(data: bytes, name: str) -> datetime:
    """Return when a file says that it was built; the rest of it is not read.

    Raises:
        FormatError: if it is no MMDB, is damaged, or was built before there were any, or after now.
    """
    return _built(_metadata(data, name), name)


def _metadata(data: bytes, name: str) -> Metadata:
    # imported here: it takes longer than the rest of the package, and most never read a MMDB
    from maxminddb import MODE_FD, InvalidDatabaseError, open_database

    try:
        with open_database(_Named(data, name), MODE_FD) as reader:
            about = reader.metadata()
        for key in ("node_count", "record_size", "ip_version", "build_epoch"):
            if type(getattr(about, key)) is not int:
                raise TypeError(f"its {key} is {getattr(about, key)!r:.60}")
        if not isinstance(about.database_type, str):
            raise TypeError(f"its database_type is {about.database_type!r:.60}")
    except (*_DAMAGES, InvalidDatabaseError) as error:
        raise _damaged(name, error) from error
    return about


class _Named(io.BytesIO):
    """Bytes as a file that has a name, which errors tell."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def _damaged(name: str, error: Exception) -> FormatError:
    return FormatError(f"{name}: a damaged MMDB: {error}; fetch the file again")


def _built(about: Metadata, name: str) -> datetime:
    try:
        when = datetime.fromtimestamp(about.build_epoch, UTC)
    except (OSError, OverflowError, ValueError):
        when = None
    now = datetime.now(UTC)
    if when is not None and _FIRST_BUILT <= when <= now + _AHEAD:
        return when
    said = f"{about.build_epoch} s after 1970" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"
    raise FormatError(
        f"{name}: says that it was built at {said}; expected a time from {_FIRST_BUILT:%Y} to now, "
        f"which is {now:%Y-%m-%d %H:%M} UTC by this machine's clock; set the clock, fetch the file "
        "again, or compile it with a manifest that states its date"
    )


def _title(about: Metadata) -> str:
    told = about.description
    title = told.get("en") if isinstance(told, Mapping) else None
    return fit(title if isinstance(title, str) else about.database_type)[:_LONGEST_TITLE]


def _layers(data: bytes, name: str, about: Metadata, confidence: str) -> dict[str, list[Batch]]:
    """Return what a file says for each layer that it says something for."""
    from maxminddb import InvalidDatabaseError

    try:
        tree = Tree(data, about.node_count, about.record_size, about.ip_version)
        places = tree.records()
        meanings, odd = _meanings(_Records(data, tree.data_at), places, confidence)
        found = {}
        for layer, values in zip(Meaning._fields, meanings, strict=True):
            numbers = {"": 0}
            labels = [numbers.setdefault(value, len(numbers)) for value in values]
            if len(numbers) > 1:
                told = [*numbers][1:]
                found[layer] = [
                    Batch(version, columns, told)
                    for version, columns in zip((4, 6), tree.ranges(labels), strict=True)
                ]
    except (*_DAMAGES, InvalidDatabaseError) as error:
        raise _damaged(name, error) from error
    if not found:
        raise FormatError(
            f"{name}: an MMDB of type {about.database_type!r:.60}, but {odd}; expected "
            "country.iso_code, country_code, autonomous_system_number, asn, or flags such as "
            "is_anonymous_vpn, is_hosting_provider, is_vpn, vpn, hosting"
        )
    return found


def _meanings(
    records: _Records, places: Sequence[int], confidence: str
) -> tuple[tuple[list[str], list[str], list[str]], str]:
    """Return what the records say for each layer, and what the first is like."""
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    odd = "it has no records"
    readings: dict[tuple[object, ...], Reading] = {}
    for number, place in enumerate(places):
        record = records.decode(place)
        if number == 0:
            odd = f"its records are such as {record!r:.200}"
            if isinstance(record, Mapping):
                keys = sorted(map(str, record))
                more = f" and {len(keys) - 20} more" if len(keys) > 20 else ""
                odd = f"its records have the keys {keys[:20]!r:.500}{more}"
        if not isinstance(record, Mapping):
            for values in found:
                values.append("")
            continue
        shape = tuple(record)
        reading = readings.get(shape) or readings.setdefault(shape, Reading(shape, confidence))
        for values, value in zip(found, reading.meaning(record), strict=True):
            values.append(value)
    return found, odd


class _Records:
    """The records of a file, decoded one by one; all together are of a size fit for the file's.

    Many networks may each have a record of their own that leads to the same, large data: a small
    file that would take hours. Whose decoding takes long is decoded again with its reads counted.
    """

    def __init__(self, data: bytes, data_at: int) -> None:
        from maxminddb.decoder import Decoder

        self._decoder = Decoder(data, data_at)
        self._data, self._data_at = data, data_at
        self._counted: _Counted | None = None
        self._most = _READS_PER_BYTE * len(data) + _READS

    def decode(self, place: int) -> Any:
        """Return a record.

        Raises:
            ValueError: if those decoded so far read the file too often.
        """
        start = time.perf_counter_ns()
        record = self._decoder.decode(place)[0]
        if time.perf_counter_ns() - start > _SLOW_NS:
            self._count(place)
        return record

    def _count(self, place: int) -> None:
        from maxminddb.decoder import Decoder

        if self._counted is None:
            self._counted = _Counted(self._data)
        Decoder(self._counted, self._data_at).decode(place)
        if self._counted.reads > self._most:
            raise ValueError("its records share so much data that they cannot all be read")


class _Counted(bytes):
    """Bytes that count what is read of them: each time, and each 64 bytes."""

    reads = 0

    def __getitem__(self, at: Any) -> Any:
        found = bytes.__getitem__(self, at)
        self.reads += 1 if isinstance(found, int) else 1 + len(found) // 64
        return found
