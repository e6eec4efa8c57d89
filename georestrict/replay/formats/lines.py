"""Formats of one line a request, read by a regular expression, or by splitting at spaces.

Most lines of most formats can be split at spaces, which Polars' CSV reader does several times as
fast as any regular expression matches; each field is then checked to be as simple as it looks. What
is not (a space in a user's name, an escape, a request line that is none, a damaged line) is read
again by the regular expression, which is what the format means. So both give the same.

What stands behind the last field that is wanted is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

import polars as pl

from georestrict.replay.formats.escapes import ESCAPED, Writing
from georestrict.replay.formats.frame import Format, complete
from georestrict.replay.formats.times import (
    epoch_times,
    iso_times,
    local_times,
    written_times,
)

# RFC 9112 §3; a method is a token (RFC 9110 §5.6.2). HTTP/0.9 had no version.
_METHOD = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = rf"^(?P<method>{_METHOD}) (?:(?P<target>.*) HTTP/[0-9.]+|(?P<bare>[^ ]+))$"
_URL = r"^[a-z]+://(?P<host>[^/?]+)(?P<path>[^?]*)"
#: An address with its port; one of IPv6 may be in brackets.
ADDRESS = r"^\[?(?P<peer>[^\]]*)\]?:[0-9-]*$"
_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")

_TIMES = {"day", "zone", "iso"}  # of plain lines
# Others are matched by the regular expression.
_METHODS = [f'"{name}' for name in ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")]
_VERSIONS = [f'HTTP/{number}"' for number in ("1.0", "1.1", "2.0", "3.0")]

#: Whether a plain field is as it must be, and the field without what stands around it.
_PLAIN: Mapping[str, tuple[Callable[[pl.Expr], pl.Expr], Callable[[pl.Expr], pl.Expr]]] = {
    "peer": (lambda field: field != "", lambda field: field),
    "address": (lambda field: field != "", lambda field: field),
    "day": (lambda field: field.str.starts_with("["), lambda field: field),
    "zone": (lambda field: field.str.ends_with("]"), lambda field: field),
    "iso": (lambda field: field != "", lambda field: field),
    "method": (lambda field: field.is_in(_METHODS), lambda field: field.str.slice(1)),
    "version": (lambda field: field.is_in(_VERSIONS), lambda field: pl.lit(None, pl.String)),
    "status": (
        # As a regular expression would have it, in a third of its time; "+12" is a number, too.
        lambda field: (
            (field.str.len_bytes() == 3)
            & field.cast(pl.UInt16, strict=False).is_not_null()
            & (field >= "0")
        ),
        lambda field: field,
    ),
}


@dataclass(frozen=True)
class LineFormat:
    """A format whose lines a regular expression matches; its groups are the fields.

    Fields are ``peer`` or ``address`` (with a port); ``day`` and ``zone``, ``iso``, ``seconds``,
    ``milliseconds``, ``microseconds`` or ``written`` (as ``time_pattern`` says); ``request``, or
    ``method`` and one of ``target``, ``decoded`` (a path without escapes) and ``url``; ``host``,
    ``forwarded``, ``user``, ``status`` and ``kind`` (``ws`` and ``wss`` are websockets), or
    ``socket`` for the target of a websocket that was accepted or has a status. ``tokens``
    are the fields of plain lines between spaces; one that begins with ``=`` is fixed text.
    """

    name: str
    pattern: str
    tokens: tuple[str, ...] | None = None
    writing: Writing = ESCAPED
    time_pattern: str | None = None
    coloured: bool = False  #: for terminals, as uvicorn may

    def begin(self, block: bytes) -> Format:
        """Return itself: no line of the log tells more."""
        return self

    def parse(self, block: bytes, *, in_order: bool = True) -> tuple[pl.DataFrame, int]:
        """Return the requests in a block, and how many lines are none."""
        block = as_text(block)
        if self.coloured and b"\x1b" in block:
            block = _COLOURS.sub(b"", block)
        if self.tokens is None:
            lines = lines_of(block)
            found = self._match(lines)
            return complete(found), written(lines) - found.height
        split, plain = self._split(block, self.tokens)
        odd = (~plain).arg_true()
        if not len(odd):
            return split, 0
        lines = lines_of(block, odd)
        found = self._match(lines)
        both = pl.concat([split.filter(plain), complete(found)])
        if in_order:
            both = both[pl.concat([plain.arg_true(), found["row"]]).arg_sort()]
        return both, written(lines) - found.height

    def _split(self, block: bytes, tokens: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
        """Return what lines are split into, one row each, and whether that can be relied on."""
        columns, checks = dict[str, pl.Expr](), [pl.lit(True)]
        for at, name in enumerate(tokens):
            field = pl.col(str(at))
            if name.startswith("="):
                checks.append(field == name[1:])
            elif name:
                check, bare = _PLAIN.get(name, (self._is_plain, lambda field: field))
                checks.append(check(field))
                columns[name] = bare(field)
        split = split_lines(block, " ", [str(at) for at in range(len(tokens))])
        times = _TIMES & columns.keys()
        found = (
            split.select(plain=pl.all_horizontal(checks), **columns)
            .select("plain", *times, **_told(columns.keys()))
            .collect()
        )
        time = self._time(found)
        if time is None:
            return complete(found), found["plain"]
        return complete(found.with_columns(time)), found["plain"] & time.is_not_null()

    def _is_plain(self, field: pl.Expr) -> pl.Expr:
        return pl.lit(True) if self.writing.odd is None else ~field.str.contains(self.writing.odd)

    def _match(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Return the requests of lines that the regular expression matches, with their numbers."""
        fields = pl.col("line").str.extract_groups(self.pattern).alias("fields")
        found = lines.select("row", fields).unnest("fields")
        found = found.filter(pl.any_horizontal(pl.exclude("row").is_not_null()))
        time = self._time(found)
        if time is not None:
            found = found.with_columns(time).filter(time.is_not_null())
        if "socket" in found.columns:
            opened = pl.col("socket").is_not_null()
            found = found.with_columns(
                target=pl.coalesce("target", "socket"),
                kind=pl.when(opened).then(pl.lit("ws")),
                status=pl.when(opened).then(pl.col("status").fill_null("101")).otherwise("status"),
            ).drop("socket")
        if "request" in found.columns:
            line = pl.col("request").str.extract_groups(_REQUEST_LINE).struct
            found = found.with_columns(
                method=line.field("method"),
                target=pl.coalesce(line.field("target"), line.field("bare")),
            ).drop("request")
        text, path = self.writing.text, self.writing.path
        readers = {
            "method": text,
            "target": path,
            "decoded": path,
            "user": text,
            "host": text,
            "forwarded": text,
        }
        found = found.with_columns(
            read(pl.col(name))
            for name, read in readers.items()
            if name in found.columns and found[name].str.contains("\\", literal=True).any()
        )
        return found.with_columns(**_told({*found.columns}))

    def _time(self, found: pl.DataFrame) -> pl.Series | None:
        """Return the times that fields tell, null where they are none; None if no field does."""
        if "day" in found.columns:
            return local_times(found["day"], found["zone"])
        if "iso" in found.columns:
            return iso_times(found["iso"])
        if "written" in found.columns and self.time_pattern is not None:
            return written_times(found["written"], self.time_pattern)
        for unit in ("seconds", "milliseconds", "microseconds"):
            if unit in found.columns:
                return epoch_times(found[unit], unit)
        return None


def _told(names: Set[str]) -> dict[str, pl.Expr]:
    """Return what fields tell, by a frame's columns: what is absent is null, no query."""
    made = {name: pl.col(name) for name in ("peer", "method") if name in names}
    if "address" in names:
        made["peer"] = pl.coalesce(pl.col("address").str.extract(ADDRESS), "address")
    if "url" in names:
        parts = pl.col("url").str.extract_groups(_URL).struct
        # What could not be read has a method that is none, and no path.
        made["method"] = pl.when(pl.col("method") != "-").then("method")
        made["path"] = pl.when(pl.col("method") != "-").then(parts.field("path"))
        made["host"] = parts.field("host")
    if "target" in names:
        made["path"] = pl.col("target").str.splitn("?", 2).struct.field("field_0")
    if "decoded" in names:
        path = pl.col("decoded").str.replace_all("%", "%25", literal=True)
        made["path"] = path.str.replace_all("?", "%3F", literal=True)
    for name, column in (("user", "account"), ("host", "host"), ("forwarded", "forwarded")):
        if name in names:
            made[column] = pl.when((pl.col(name) != "-") & (pl.col(name) != "")).then(name)
    switched = [pl.lit(False)]
    if "status" in names:
        made["status"] = pl.col("status").cast(pl.UInt16, strict=False)
        switched.append(pl.col("status") == "101")
    if "kind" in names:
        switched.append(pl.col("kind").is_in(["ws", "wss"]))
    websocket = pl.any_horizontal(switched)
    made["protocol"] = pl.when(websocket).then(pl.lit("websocket")).otherwise(pl.lit("http"))
    return made


def as_text(block: bytes) -> bytes:
    """Return a block as UTF-8; bytes that are none become U+FFFD."""
    return block if block.isascii() else block.decode("utf-8", "replace").encode()


def split_lines(block: bytes, separator: str, names: Sequence[str]) -> pl.LazyFrame:
    """Return what a block's lines have between separators, as texts; a row for each line."""
    # A first line of ours has all columns, and nothing of the log is taken for a mark of its type.
    ours = separator.join("-" for _ in names).encode()
    return pl.scan_csv(
        ours + b"\n" + block,
        schema=dict.fromkeys(names, pl.String),
        separator=separator,
        quote_char=None,
        has_header=False,
        truncate_ragged_lines=True,
        extra_columns="ignore",
        empty_string_is_null=False,
        glob=False,
    ).slice(1)


def lines_of(block: bytes, rows: pl.Series | None = None) -> pl.DataFrame:
    """Return the lines of a block, or some of them, with their numbers: the CSV reader's rows."""
    lines = pl.read_lines(b"-\n" + block, name="line", glob=False)["line"]
    if rows is None:
        rows = pl.int_range(len(lines) - 1, dtype=pl.UInt32, eager=True)
    return pl.DataFrame({"row": rows, "line": lines.gather(rows + 1)})


def written(lines: pl.DataFrame) -> int:
    """Return how many lines are not blank."""
    return int((lines["line"].str.strip_chars(" \t\r") != "").sum())
