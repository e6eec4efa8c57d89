"""Formats of a line with fixed text between its fields, as nginx and Apache write them.

A format is read in two ways that give the same. Most lines are split at spaces, which Polars' CSV
reader does several times as fast as any regular expression; each field is then checked to be as
simple as it looks. What is not (a space in a user's name, an escape, a request line that is none,
a damaged line) is read again by the regular expression, which is what the format means.

What stands behind the last field that is wanted is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from georestrict.replay.formats.escapes import unescape_path, unescape_text
from georestrict.replay.formats.frame import Format, complete
from georestrict.replay.formats.times import DAY, ZONE, local_times

# What a field looks like. What clients send has its quotes and backslashes escaped.
_QUOTED = r'(?:[^"\\]|\\.)*'
_PATTERNS = {
    "peer": "[^ ]+",
    "user": _QUOTED + "?",
    "forwarded": _QUOTED + "?",
    "day": DAY,
    "zone": ZONE,
    "request": _QUOTED,
    "status": "[0-9]{3}",
}
_REQUEST_LINE = r"^(?P<method>[^ ]+) (?:(?P<target>.*) HTTP/[0-9.]+|(?P<bare>[^ ]+))$"
# Fields that hold others, with spaces between them.
_PARTS = {"request": ("method", "target", "version"), "local": ("day", "zone")}
# What may stand around a field in a token of plain lines; nothing around the others.
_AROUND = {"method": ('"', ""), "version": ("", '"'), "day": ("[", ""), "zone": ("", "]")}
_PLAIN = {"peer", "user", "target", "status", "host", ""} | _AROUND.keys()


@dataclass(frozen=True, slots=True)
class Field:
    """A variable of a format; one that is not wanted has no name."""

    name: str = ""


@dataclass(frozen=True)
class LineFormat:
    """A format of fixed text and fields, in order."""

    name: str
    pieces: tuple[str | Field, ...]

    def begin(self, block: bytes) -> Format:
        """Return itself: no line of the log tells more."""
        return self

    def parse(self, block: bytes) -> tuple[pl.DataFrame, int]:
        """Return the requests in a block, and how many lines are none."""
        if not block.isascii():
            block = block.decode("utf-8", "replace").encode()
        if self._tokens is None:
            lines = _lines(block)
            found = self._match(lines)
            return complete(found), _written(lines) - found.height
        plain, odd = self._take(block, self._tokens)
        if not len(odd):
            return complete(plain), 0
        lines = _lines(block)[odd]
        found = self._match(lines)
        both = plain.merge_sorted(found.select(plain.columns), "row") if found.height else plain
        return complete(both), _written(lines) - found.height

    @cached_property
    def _tokens(self) -> tuple[str | Field, ...] | None:
        """What stands between spaces in plain lines, up to the last wanted field.

        None if the format has no such form: then every line is matched.
        """
        tokens: list[list[str | Field]] = [[]]
        for piece in _expanded(self.pieces):
            first, *more = piece.split(" ") if isinstance(piece, str) else [piece]
            if first != "":
                tokens[-1].append(first)
            tokens += [[text] if text else [] for text in more]
        found: list[str | Field] = []
        for token in tokens:
            fields = [part for part in token if isinstance(part, Field)]
            around = "".join("\0" if isinstance(part, Field) else part for part in token)
            if not fields:
                found.append(around)
            elif around == "\0".join(_AROUND.get(fields[0].name, ("", ""))):
                found.append(fields[0])
            else:
                found.append(Field("?"))
        wanted = [at for at, token in enumerate(found) if isinstance(token, Field) and token.name]
        found = found[: wanted[-1] + 1]
        names = [token.name for token in found if isinstance(token, Field)]
        # A name may have spaces; that it has none is told by the quote that comes behind it.
        told = "user" not in names or "method" in names[names.index("user") :]
        return tuple(found) if told and {*names} <= _PLAIN else None

    @cached_property
    def _pattern(self) -> str:
        """The regular expression of a line, up to the last wanted field."""
        wanted = [at for at, piece in enumerate(self.pieces) if piece != Field()]
        last = max(at for at in wanted if isinstance(self.pieces[at], Field))
        pattern = "^"
        for at, piece in enumerate(self.pieces[: last + 1]):
            if isinstance(piece, str):
                pattern += re.escape(piece)
                continue
            behind = "".join(part for part in self.pieces[at + 1 : at + 2] if isinstance(part, str))
            before = "".join(part for part in self.pieces[:at][-1:] if isinstance(part, str))
            if piece.name == "local":
                pattern += f"(?P<day>{DAY}) (?P<zone>{ZONE})"
            elif before.endswith('"') and behind.startswith('"') and piece.name != "status":
                pattern += f"(?P<{piece.name}>{_QUOTED})" if piece.name else _QUOTED
            else:
                shape = _PATTERNS.get(piece.name) or f"[^{re.escape(behind[:1])}]*"
                pattern += f"(?P<{piece.name}>{shape})" if piece.name else shape
        behind = "".join(part for part in self.pieces[last + 1 : last + 2] if isinstance(part, str))
        if behind[:1] in {"", '"'}:
            return pattern + (behind[:1] or "$")
        return f"{pattern}(?:{re.escape(behind[0])}|$)"

    def _take(
        self, block: bytes, tokens: tuple[str | Field, ...]
    ) -> tuple[pl.DataFrame, pl.Series]:
        """Return the requests of plain lines, and the numbers of the other lines."""
        split = pl.scan_csv(
            b"-\n" + block,  # a first line of ours: nothing else is taken for a mark of a file type
            schema={str(at): pl.String for at in range(len(tokens))},
            separator=" ",
            quote_char=None,
            has_header=False,
            skip_lines=1,
            truncate_ragged_lines=True,
            extra_columns="ignore",
            empty_string_is_null=False,
            glob=False,
        )
        columns, checks = {}, []
        for at, token in enumerate(tokens):
            column = pl.col(str(at))
            if isinstance(token, str):
                checks.append(column == token)
            elif token.name:
                column, check = _plain(token.name, column)
                checks.append(check)
                columns[token.name] = column
        found = split.select(plain=pl.all_horizontal(checks), **columns).collect()
        if {"day", "zone"} <= columns.keys():
            found = found.with_columns(local_times(found["day"], found["zone"])).drop("day", "zone")
            found = found.with_columns(pl.col("plain") & pl.col("time").is_not_null())
        found = found.with_row_index("row")
        odd = found["row"].filter(~found["plain"])
        plain = found.filter("plain") if len(odd) else found
        return _finish(plain.drop("plain", "version", strict=False)), odd

    def _match(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Return the requests of lines that the regular expression matches, with their rows."""
        found = lines.select(
            "row", pl.col("line").str.extract_groups(self._pattern).alias("found")
        ).unnest("found")
        found = found.filter(pl.any_horizontal(pl.exclude("row").is_not_null()))
        if "day" in found.columns:
            found = found.with_columns(local_times(found["day"], found["zone"])).drop("day", "zone")
        if "request" in found.columns:
            request = pl.col("request").str.extract_groups(_REQUEST_LINE).struct
            found = found.with_columns(
                method=request.field("method"),
                target=pl.coalesce(request.field("target"), request.field("bare")),
            ).drop("request")
        if "time" in found.columns:
            found = found.filter(pl.col("time").is_not_null())
        return _finish(
            found.with_columns(
                pl.col(name).map_elements(unescape, return_dtype=pl.String)
                for name, unescape in _ESCAPED.items()
                if name in found.columns and found[name].str.contains("\\", literal=True).any()
            )
        )


#: Fields of which clients can choose the text, and how it is told.
_ESCAPED = {
    "method": unescape_text,
    "target": unescape_path,
    "user": unescape_text,
    "host": unescape_text,
    "forwarded": unescape_text,
}


def _expanded(pieces: Iterable[str | Field]) -> Iterator[str | Field]:
    """Yield pieces, and for a field that holds others these, with the spaces between them."""
    for piece in pieces:
        parts = _PARTS.get(piece.name) if isinstance(piece, Field) else None
        if parts is None:
            yield piece
            continue
        for at, name in enumerate(parts):
            yield from ([" "] if at else [])
            yield Field(name)


def _plain(name: str, column: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return a plain line's field without what stands around it, and whether it is as it must be.

    What passes, the regular expression takes for the same.
    """
    no_escape = ~column.str.contains(r'["\\]')
    if name == "peer":
        return column, column != ""
    if name == "method":
        return column.str.slice(1), column.str.contains('^"[A-Z]+$')
    if name == "version":
        return pl.lit(None, pl.String), column.str.contains('^HTTP/[0-9.]+"$')
    if name == "day":
        return column.str.slice(1), column.str.starts_with("[")
    if name == "zone":
        return column.str.head(5), column.str.contains(r"^[+-][0-9]{4}\]$")
    if name == "status":
        return column, column.str.contains("^[0-9]{3}$")
    return column, no_escape


def _finish(found: pl.DataFrame) -> pl.DataFrame:
    """Return a frame's columns from texts: what is absent is null, the query is cut off."""
    made: dict[str, pl.Expr] = {}
    columns = set(found.columns)
    if "target" in columns:
        made["path"] = pl.col("target").str.splitn("?", 2).struct.field("field_0")
    if "status" in columns:
        made["status"] = pl.col("status").cast(pl.UInt16)
        switched = pl.col("status") == "101"
        made["protocol"] = pl.when(switched).then(pl.lit("websocket")).otherwise(pl.lit("http"))
    else:
        made["protocol"] = pl.lit("http")
    for name, column in (("user", "account"), ("host", "host"), ("forwarded", "forwarded")):
        if name in columns:
            made[column] = pl.when(~pl.col(name).is_in(["-", ""])).then(pl.col(name))
    return found.with_columns(**made)


def _lines(block: bytes) -> pl.DataFrame:
    """Return the lines of a block, with their numbers; rows are those of the CSV reader."""
    lines = pl.read_lines(b"-\n" + block, name="line", glob=False).slice(1)
    return lines.with_row_index("row")


def _written(lines: pl.DataFrame) -> int:
    """Return how many lines are not blank."""
    return int((lines["line"].str.strip_chars() != "").sum())
