"""Times as logs have them."""

from __future__ import annotations

import re

import polars as pl

#: ``23/Nov/2026:04:38:40``, in the Common Log Format of NCSA httpd.
DAY = r"\d{2}/[A-Z][a-z]{2}/\d{4}:[0-2]\d:[0-5]\d:[0-5]\d"
ZONE = r"[+-]\d{4}"
_ZONE = re.compile(r"([+-])(\d{2})([0-5]\d)")


def local_times(days: pl.Series, zones: pl.Series) -> pl.Series:
    """Return instants in UTC of days with their zones; null for what is no time.

    A log's zones are few, so each is read once, and each of the repeated seconds.
    """
    read = days.str.to_datetime("%d/%b/%Y:%H:%M:%S", time_unit="us", strict=False, cache=True)
    read = read.zip_with(
        days.str.contains(f"^{DAY}$").fill_null(False), pl.Series([None], dtype=read.dtype)
    )
    texts = zones.unique().drop_nulls().to_list()
    offsets = pl.Series([_offset_us(text) for text in texts], dtype=pl.Duration("us"))
    if len(texts) == 1 and not zones.null_count():
        shift = offsets
    else:
        shift = zones.replace_strict(
            pl.Series(texts, dtype=pl.String), offsets, default=None, return_dtype=pl.Duration("us")
        )
    return (read - shift).dt.replace_time_zone("UTC").alias("time")


def _offset_us(zone: str) -> int | None:
    found = _ZONE.fullmatch(zone)
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    return (int(hours) * 60 + int(minutes)) * 60_000_000 * (-1 if sign == "-" else 1)
