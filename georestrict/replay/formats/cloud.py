"""Formats of Amazon's load balancers and of CloudFront.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html,
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import polars as pl

from georestrict.errors import FormatError
from georestrict.replay.formats.escapes import RAW
from georestrict.replay.formats.frame import FRAME, Format, complete
from georestrict.replay.formats.lines import LineFormat, as_text, lines_of, split_lines, written
from georestrict.replay.formats.times import ISO, iso_times

_SKIPPED = "[^ ]* "
ALB = LineFormat(
    "alb",
    f"^(?P<kind>[^ ]*) (?P<iso>{ISO}) {_SKIPPED}(?P<address>[^ ]+) {_SKIPPED * 4}"
    f'(?P<status>[0-9]{{3}}|-) {_SKIPPED * 3}"(?P<method>[^ ]+) (?P<url>[^ ]*) [^ "]+"',
    (
        "kind",
        "iso",
        "",
        "address",
        "",
        "",
        "",
        "",
        "status",
        "",
        "",
        "",
        "method",
        "url",
        "version",
    ),
    RAW,
)

# In the order of all logs that are not configured otherwise; the fields behind them are not wanted.
_USUAL_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header "
    "cs-protocol cs-bytes time-taken x-forwarded-for"
)
_FIELDS = re.compile(rb"^#Fields:(.*)$", re.MULTILINE)
_BEFORE_FIELDS = re.compile(rb"^(?=#Fields:)", re.MULTILINE)
_NEEDED = ("date", "time", "c-ip")
_COLUMNS = {
    "date": "date",
    "time": "time",
    "c-ip": "peer",
    "cs-method": "method",
    "cs-uri-stem": "path",
    "sc-status": "status",
    "x-host-header": "host",
    "cs-protocol": "kind",
    "x-forwarded-for": "forwarded",
}


@dataclass(frozen=True)
class CloudFrontFormat:
    """CloudFront's standard log: fields between tabs, named by a line at its beginning."""

    name: str = "cloudfront"
    fields: tuple[str, ...] = tuple(_USUAL_FIELDS.split())

    def begin(self, block: bytes) -> Format:
        """Return the format with the fields that the log names.

        Raises:
            FormatError: if it has no date, time or address.
        """
        fields = _fields(block) or self.fields
        missing = [name for name in _NEEDED if name not in fields]
        if missing:
            raise FormatError(
                f"the log's line #Fields has no {' and no '.join(missing)}, without which no "
                "request can be judged; add it to what CloudFront logs"
            )
        return replace(self, fields=fields)

    def parse(self, block: bytes, *, in_order: bool = True) -> tuple[pl.DataFrame, int]:
        """Return the requests in a block, and how many lines are none."""
        parts = [self._part(part) for part in _BEFORE_FIELDS.split(as_text(block)) if part]
        frames = [FRAME.to_frame(), *(found for found, _ in parts)]
        return pl.concat(frames), sum(others for _, others in parts)

    def _part(self, block: bytes) -> tuple[pl.DataFrame, int]:
        """Read lines that have the same fields."""
        fields = _fields(block) or self.fields
        if not {*_NEEDED} <= {*fields}:
            lines = lines_of(block)
            return FRAME.to_frame(), written(lines.filter(~pl.col("line").str.starts_with("#")))
        split = split_lines(block, "\t", [str(at) for at in range(len(fields))]).collect()
        told = pl.any_horizontal(pl.all().str.strip_chars(" \t\r") != "")
        split = split.filter(told & ~pl.col("0").str.starts_with("#"))
        found = split.select(
            pl.col(str(fields.index(name))).alias(column)
            for name, column in _COLUMNS.items()
            if name in fields
        )
        texts = [name for name in ("method", "path", "host", "forwarded") if name in found.columns]
        found = found.with_columns(
            iso_times(found["date"] + "T" + found["time"] + "Z"),
            *(pl.when(~pl.col(name).is_in(["-", ""])).then(name).alias(name) for name in texts),
        )
        found = found.filter(pl.col("time").is_not_null() & ~pl.col("peer").is_in(["-", ""]))
        if "status" in found.columns:
            status = pl.when(pl.col("status").str.contains("^[0-9]{3}$")).then("status")
            found = found.with_columns(status.cast(pl.UInt16).alias("status"))
        kind = pl.col("kind") if "kind" in found.columns else pl.lit("")
        websocket = pl.when(kind.is_in(["ws", "wss"])).then(pl.lit("websocket"))
        found = found.with_columns(websocket.otherwise(pl.lit("http")).alias("protocol"))
        return complete(found), split.height - found.height


def _fields(block: bytes) -> tuple[str, ...]:
    found = _FIELDS.search(block)
    return tuple(found[1].decode("utf-8", "replace").split()) if found else ()
