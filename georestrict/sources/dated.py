"""Of which day a file of data says that it is.

===================  =============================================================================
an MMDB              when it was built
Tor's files          ``Generated`` in their comments, which is IPFire's
a registry's file    the last day that its header tells of
MaxMind's archive    the folder in it, such as ``GeoLite2-Country-CSV_20260102``
AWS, Google, Oracle  ``createDate``, ``creationTime``, ``last_updated_timestamp``
Tor's exits          ``Downloaded``, in CollecTor's files
===================  =============================================================================

Other formats do not tell. Of several files the oldest counts.
"""

from __future__ import annotations

import re
from datetime import date

from georestrict.sources import mmdb
from georestrict.sources.container import Content, beginnings, unpacked

_BEGINNING = 1 << 16  # bytes: a day stands at the beginning, or near it
_GENERATED = re.compile(rb"^#\s*Generated:\s*([ -~]+)", re.MULTILINE)
_DAY = rb"(\d{4})-?(\d\d)-?(\d\d)"
_DAYS = {
    "aws": re.compile(rb'"createDate"\s*:\s*"' + _DAY),
    "google": re.compile(rb'"creationTime"\s*:\s*"' + _DAY),
    "oracle": re.compile(rb'"last_updated_timestamp"\s*:\s*"' + _DAY),
    "registries": re.compile(
        rb"^[\d.]{1,8}\|[a-z]+\|\d*\|\d*\|\d*\|" + _DAY + rb"(?:\||\s)", re.MULTILINE
    ),
    "tor-exits": re.compile(rb"^Downloaded " + _DAY, re.MULTILINE),
}
_RELEASE = re.compile(rb"CSV_" + _DAY + rb"/")


def date_of(form: str, content: Content, name: str = "the file") -> date | None:
    """Return the day of the data, as the content says it, or None.

    Raises:
        FormatError: if the content is damaged so that it cannot be told, or an MMDB tells of an
            impossible day.
    """
    content = unpacked(content, name)
    if form == "mmdb" and isinstance(content, bytes):
        return mmdb.built(content, name).date()
    if isinstance(content, bytes):
        days = [_day(form, content[:_BEGINNING])]
    elif form == "maxmind-csv":
        days = [_first(_RELEASE, member.encode()) for member in content]
    else:
        days = [_day(form, data) for _, data in beginnings(content, name)]
    return min((day for day in days if day is not None), default=None)


def _day(form: str, data: bytes) -> date | None:
    if form != "tor-geoip":
        return _first(_DAYS[form], data) if form in _DAYS else None
    from email.utils import parsedate_to_datetime  # it brings half of what reads mail

    generated = _GENERATED.search(data)
    try:
        return parsedate_to_datetime(generated[1].decode()).date() if generated else None
    except ValueError:
        return None


def _first(pattern: re.Pattern[bytes], data: bytes) -> date | None:
    found = pattern.search(data)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None
