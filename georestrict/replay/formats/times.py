"""Times as logs have them, as instants in UTC; null for what is no time."""

from __future__ import annotations

import re

import polars as pl

#: ``23/Nov/2026:04:38:40``, of the Common Log Format of NCSA httpd.
DAY = r"[0-9]{2}/[A-Z][a-z]{2}/[1-9][0-9]{3}:[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
ZONE = "[+-][0-9]{4}"
#: RFC 3339, and without the colon in its zone, as Apache's ``%z`` has it.
ISO = (
    "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
    r"(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
)
_ZONE = re.compile(r"([+-])([0-9]{2})([0-5][0-9])")
_INSTANT = pl.Datetime("us", "UTC")
_MICROSECONDS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}


def local_times(days: pl.Series, zones: pl.Series) -> pl.Series:
    """Read days with their zones: ``[23/Nov/2026:04:38:40`` and ``+0000]``, or without brackets.

    A log's zones are few, and of its seconds many come together: each is read once.
    """
    runs = days.rle().struct.field("value")
    bracket = r"\[" if runs.str.starts_with("[").any() else ""
    read = runs.str.to_datetime(f"{bracket[-1:]}%d/%b/%Y:%H:%M:%S", time_unit="us", strict=False)
    read = _where(runs.str.contains(f"^{bracket}{DAY}$"), read.dt.replace_time_zone("UTC"))
    read = read.gather(days.rle_id())
    texts = zones.unique().drop_nulls()
    offsets = pl.Series([_offset(text) for text in texts], dtype=pl.Duration("us"))
    if len(texts) == 1 and not zones.null_count():
        shift = offsets
    else:
        shift = zones.replace_strict(texts, offsets, default=None, return_dtype=offsets.dtype)
    return (read - shift).alias("time")


def iso_times(texts: pl.Series) -> pl.Series:
    """Read times of RFC 3339."""
    zoned = texts.str.replace("Z$", "+0000")
    read = zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False, cache=True)
    return _where(texts.str.contains(f"^{ISO}$"), read)


def epoch_times(texts: pl.Series, unit: str) -> pl.Series:
    """Read seconds, milliseconds or microseconds since 1970, fractions too."""
    number = texts.cast(pl.Float64, strict=False)
    shaped = texts.str.contains("^[0-9]{1,17}(?:[.][0-9]{1,9})?$")
    microseconds = (number * _MICROSECONDS[unit]).round()
    return _where(shaped, microseconds.cast(pl.Int64, strict=False).cast(_INSTANT))


def written_times(texts: pl.Series, pattern: str) -> pl.Series:
    """Read times of an own ``strftime`` pattern; without a zone they are UTC."""
    read = texts.str.to_datetime(pattern, time_unit="us", strict=False, cache=True)
    if read.dtype != _INSTANT:
        read = read.dt.replace_time_zone("UTC")
    return _where(read.is_not_null(), read)


def _where(valid: pl.Series, times: pl.Series) -> pl.Series:
    return times.zip_with(valid.fill_null(False), pl.Series([None], dtype=_INSTANT)).alias("time")


def _offset(zone: str) -> int | None:
    found = _ZONE.fullmatch(zone.removesuffix("]"))
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    return (int(hours) * 60 + int(minutes)) * (-60_000_000 if sign == "-" else 60_000_000)
