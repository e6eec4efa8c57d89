"""Reading and checking one ``[[source]]`` of a manifest."""

from __future__ import annotations

import re
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any

from georestrict.errors import ConfigurationError
from georestrict.layers import LAYERS
from georestrict.manifest.source import ImageSource, Source
from georestrict.manifest.values import check_stated
from georestrict.networks import Confidence
from georestrict.sources import FORMATS as FILE_FORMATS
from georestrict.sources import check_selection, needs_value, tells

_TEXT_KEYS = ("name", "title", "layer", "format", "path", "licence", "attribution")
# the last two are for the recipe that fetches the file
_KEYS = (
    *_TEXT_KEYS, "date", "sha256", "value", "select", "confidence", "precedence", "upstream",
    "selection",
)  # fmt: skip
_IMAGE_KEYS = ("name", "layer", "format", "path", "sha256", "precedence")
_MOST_PRECEDENCE = 1000  # more than anybody has sources; a rank must fit in 32 bits

#: The formats that a manifest may name.
FORMATS = (*FILE_FORMATS, "image")


def read_entry(entry: Any, place: str) -> Source | ImageSource:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{place}: must be a table")
    for key in entry:
        if key not in _KEYS:
            close = get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KEYS)}"
            raise ConfigurationError(f"{place}: unknown key {key!r}: {hint}")
    of_image = entry.get("format") == "image"
    for key in _TEXT_KEYS:
        if of_image and key not in _IMAGE_KEYS:
            continue
        if key not in entry:
            raise ConfigurationError(f"{place}: {key!r} is missing; add it")
        if not isinstance(entry[key], str) or not entry[key]:
            raise ConfigurationError(f"{place}: {key} is {entry[key]!r}, must be text")
    checksum = entry.get("sha256")
    if checksum is not None and not re.fullmatch("[0-9a-f]{64}", str(checksum)):
        raise ConfigurationError(
            f"{place}: sha256 is {checksum!r}, must be 64 hexadecimal digits in lower case"
        )
    place = f"{place} ({entry['name'] if entry['name'].isprintable() else ascii(entry['name'])})"
    if entry["layer"] not in LAYERS:
        raise ConfigurationError(
            f"{place}: layer {entry['layer']!r}: write one of {', '.join(LAYERS)}"
        )
    if entry["format"] not in FORMATS:
        raise ConfigurationError(
            f"{place}: format {entry['format']!r}: write one of {', '.join(FORMATS)}"
        )
    if " " in entry["name"] or "/" in entry["name"] or not entry["name"].isprintable():
        raise ConfigurationError(
            f"{place}: the name must not contain a space or a slash, nor a control character"
        )
    precedence = _precedence(entry.get("precedence", 0), place)
    if of_image:
        for key in entry:
            if key not in _IMAGE_KEYS:
                raise ConfigurationError(
                    f"{place}: {key!r}: an image tells that of its sources; leave it out"
                )
        return ImageSource(
            name=entry["name"],
            layer=entry["layer"],
            path=entry["path"],
            sha256=checksum,
            precedence=precedence,
        )
    dated = entry.get("date")
    if not isinstance(dated, date) or isinstance(dated, datetime):
        raise ConfigurationError(f"{place}: 'date' must be a date, such as 2026-06-25")
    value = entry.get("value")
    if needs_value(entry["format"], entry["layer"]) and not isinstance(value, str):
        raise ConfigurationError(
            f"{place}: the format {entry['format']!r} needs 'value', such as 'hosting:high:Example'"
        )
    if value is not None:
        if tells(entry["format"], entry["layer"]):
            what = "country" if entry["layer"] == "country" else "value"
            raise ConfigurationError(
                f"{place}: value {value!r}: every row of a {entry['format']} says its {what}; "
                "leave 'value' out"
            )
        check_stated(value, entry["layer"], place)
    select = entry.get("select")
    if select is not None:
        _check_selection(select, entry["format"], place)
    return Source(
        **{key: entry[key] for key in _TEXT_KEYS},
        date=dated,
        sha256=entry.get("sha256"),
        value=value,
        select=select,
        confidence=_confidence(entry, place),
        precedence=precedence,
    )


def _confidence(entry: Any, place: str) -> str | None:
    stated = entry.get("confidence")
    if stated is None:
        return None
    if (entry["format"], entry["layer"]) != ("mmdb", "network"):
        raise ConfigurationError(
            f"{place}: 'confidence' is for the flags of an MMDB, in the layer 'network'; "
            "leave it out"
        )
    if stated not in list(Confidence):
        raise ConfigurationError(
            f"{place}: confidence {stated!r}: write one of {', '.join(Confidence)}"
        )
    return str(stated)


def _precedence(written: Any, place: str) -> int:
    if type(written) is not int or abs(written) > _MOST_PRECEDENCE:
        raise ConfigurationError(
            f"{place}: precedence is {written!r}, must be a whole number from "
            f"-{_MOST_PRECEDENCE} to {_MOST_PRECEDENCE}; 0 if it is left out"
        )
    return written


def _check_selection(written: Any, form: str, place: str) -> None:
    if not isinstance(written, str):
        raise ConfigurationError(f"{place}: 'select' must be text, got {written!r}")
    try:
        check_selection(written, form)
    except ValueError as error:
        raise ConfigurationError(f"{place}: select {written!r} {error}") from error
