"""Formats of access logs: their names, and which one a log has."""

from __future__ import annotations

from georestrict.errors import ConfigurationError
from georestrict.replay.formats.frame import FRAME, Format
from georestrict.replay.formats.lines import Field, LineFormat

__all__ = ["FRAME", "FORMATS", "Format", "detect", "format_of"]

_COMBINED = (
    *(Field("peer"), " ", Field(), " ", Field("user"), " [", Field("local"), '] "'),
    *(Field("request"), '" ', Field("status"), " ", Field()),
)
#: By the names that ``--format`` knows.
FORMATS: dict[str, Format] = {
    name: LineFormat(name, _COMBINED)
    for name in ("combined", "common", "nginx", "apache", "gunicorn")
}


def format_of(text: str) -> Format:
    """Return the format of that name, or an own one."""
    known = FORMATS.get(text)
    if known is None:
        raise ConfigurationError(
            f"format {text!r} is not known; expected one of {', '.join(FORMATS)}"
        )
    return known


def detect(block: bytes) -> Format:
    """Return the format that the lines at a log's beginning have."""
    return FORMATS["combined"]
