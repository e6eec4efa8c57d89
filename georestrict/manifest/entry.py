"""Reading and checking one ``[[source]]`` of a manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any

from georestrict.errors import ConfigurationError
from georestrict.layers import LAYERS
from georestrict.manifest.source import ImageSource, Source
from georestrict.manifest.values import check_stated
from georestrict.networks import Confidence
from georestrict.sources import FORMATS as FILE_FORMATS
from georestrict.sources import check_selection, has_flags, needs_value, tells
from georestrict.update import orders

#: The formats that a manifest may name.
FORMATS = (*FILE_FORMATS, "image")
#: What ``data/recipe.py`` reads.
RECIPE_KEYS = ("upstream", "selection")
NEEDED = ("name", "layer", "path", "licence", "attribution")
_IMAGE_KEYS = (
    "name", "layer", "format", "path", "sha256", "precedence", "allow_empty", *orders.FETCH_KEYS,
)  # fmt: skip
#: The keys of a ``[[source]]``.
KEYS = (
    "name", "title", "layer", "format", "path", "date", "licence", "attribution", "sha256", "value",
    "select", "confidence", "precedence", "allow_empty", *orders.FETCH_KEYS, *RECIPE_KEYS,
)  # fmt: skip
MOST_PRECEDENCE = 1000  # more than anybody has sources; a rank must fit in 32 bits


def read_entry(entry: Any, place: str) -> Source | ImageSource:
    """Check a ``[[source]]``; what depends on a format that it leaves out is checked later.

    Raises:
        ConfigurationError: naming the place, the key and the fix.
    """
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{place}: must be a table")
    for key in entry:
        if key not in KEYS:
            close = get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(KEYS)}"
            raise ConfigurationError(f"{place}: unknown key {key!r}: {hint}")
    of_image = entry.get("format") == "image"
    for key in NEEDED:
        if key not in entry and not (of_image and key not in _IMAGE_KEYS):
            raise ConfigurationError(f"{place}: {key!r} is missing; add it")
    for key in (*NEEDED, "title", "format"):
        if key in entry and (not isinstance(entry[key], str) or not entry[key]):
            raise ConfigurationError(f"{place}: {key} is {entry[key]!r}, must be text")
    if "\0" in entry["path"]:
        raise ConfigurationError(f"{place}: path is {entry['path']!r}, which no file can be called")
    for key in ("title", "licence", "attribution"):
        if not entry.get(key, "").isprintable():
            raise ConfigurationError(
                f"{place}: {key} is {entry[key]!r}, must be one line without control characters"
            )
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
    if entry.get("format", FORMATS[0]) not in FORMATS:
        raise ConfigurationError(
            f"{place}: format {entry['format']!r}: write one of {', '.join(FORMATS)}, or leave it "
            "out: the content tells it"
        )
    if " " in entry["name"] or "/" in entry["name"] or not entry["name"].isprintable():
        raise ConfigurationError(
            f"{place}: the name must not contain a space or a slash, nor a control character"
        )
    allow_empty = entry.get("allow_empty", False)
    if not isinstance(allow_empty, bool):
        raise ConfigurationError(f"{place}: allow_empty is {allow_empty!r}, must be true or false")
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
            precedence=_precedence(entry, place),
            allow_empty=allow_empty,
            fetch=_fetch(entry, place),
        )
    source = Source(
        name=entry["name"],
        title=entry["title"] if "title" in entry else entry["name"],
        layer=entry["layer"],
        format=entry.get("format"),
        path=entry["path"],
        date=_date(entry, place),
        licence=entry["licence"],
        attribution=entry["attribution"],
        sha256=checksum,
        value=entry.get("value"),
        select=entry.get("select"),
        confidence=entry.get("confidence"),
        precedence=_precedence(entry, place),
        allow_empty=allow_empty,
        fetch=_fetch(entry, place),
    )
    if source.value is not None:
        check_stated(source.value, source.layer, place)
    if source.format is not None:
        check_fit(source, source.format, place)
    return source


def check_fit(source: Source, form: str, place: str) -> None:
    """Check what a source states against its format.

    Raises:
        ConfigurationError: naming the place, the key and the fix.
    """
    if source.value is None:
        if needs_value(form, source.layer):
            raise ConfigurationError(
                f"{place}: the format {form!r} needs 'value', such as 'hosting:high:Example'"
            )
    elif tells(form, source.layer):
        what = "country" if source.layer == "country" else "value"
        raise ConfigurationError(
            f"{place}: value {source.value!r}: every row of a {form} says its {what}; "
            "leave 'value' out"
        )
    if source.select is not None:
        _check_selection(source.select, form, place)
    if source.confidence is not None:
        _check_confidence(source.confidence, form, source.layer, place)


def _date(entry: Mapping[str, Any], place: str) -> date | None:
    dated = entry.get("date")
    if dated is not None and (not isinstance(dated, date) or isinstance(dated, datetime)):
        raise ConfigurationError(
            f"{place}: 'date' must be a date, such as 2026-06-25, without quotes; leave it out to "
            "take the content's, or else the file's"
        )
    return dated


def _fetch(entry: Mapping[str, Any], place: str) -> Mapping[str, Any] | None:
    orders.of(entry, place)
    return {key: entry[key] for key in orders.FETCH_KEYS if key in entry} or None


def _check_confidence(stated: Any, form: str, layer: str, place: str) -> None:
    if not has_flags(form, layer):
        raise ConfigurationError(
            f"{place}: 'confidence' is for the flags of an MMDB or a CSV table, in the layer "
            "'network'; leave it out"
        )
    if stated not in list(Confidence):
        raise ConfigurationError(
            f"{place}: confidence {stated!r}: write one of {', '.join(Confidence)}"
        )


def _precedence(entry: Mapping[str, Any], place: str) -> int:
    written = entry.get("precedence", 0)
    if type(written) is not int or abs(written) > MOST_PRECEDENCE:
        raise ConfigurationError(
            f"{place}: precedence is {written!r}, must be a whole number from "
            f"-{MOST_PRECEDENCE} to {MOST_PRECEDENCE}; 0 if it is left out"
        )
    return written


def _check_selection(written: Any, form: str, place: str) -> None:
    if not isinstance(written, str):
        raise ConfigurationError(f"{place}: 'select' must be text, got {written!r}")
    try:
        check_selection(written, form)
    except ValueError as error:
        raise ConfigurationError(f"{place}: select {written!r} {error}") from error
