"""What requests ask for, told apart as far as a policy's rules can tell it apart.

Of a million paths, rules tell some dozen apart. So that not every path is held against every
pattern in Python, paths in normal form are grouped here: by the longest beginning that some pattern
has, by what follows it, and by the patterns with ``*`` within. All paths of a group match the same
patterns, so the policy is asked about the first of them. A path in any other form is its own group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import polars as pl

from georestrict.mounts import find_paths
from georestrict.observe import route_of
from georestrict.policy import Policy
from georestrict.request import Request

# Where one stands in a path, somebody may read it in another way (georestrict/paths.py).
_MARKS = ["%", "\\", ";", "#", "?", "\0", "//", "/./", "/../"]
_URL = r"(?s)^[A-Za-z][A-Za-z0-9+.-]*://[^/]*(.*)$"


class Target(NamedTuple):
    """What a request asks for, as a log tells it; None is what it does not tell."""

    path: str | None = None
    method: str | None = None
    host: str | None = None
    protocol: str | None = None

    def request(self, at: float) -> Request:
        """Return the request as a middleware would have read it at a time.

        The path is decoded as servers do that, and they take it out of a whole URL.
        """
        sent = "/" if self.path is None else self.path
        raw = sent.encode("utf-8", "surrogatepass")
        protocol = self.protocol or "http"
        method = self.method if self.method is not None and protocol == "http" else "GET"
        hosts = [] if self.host is None else [(b"host", self.host.encode("utf-8", "replace"))]
        path = _decoded(sent)
        request = Request(path, raw, method, protocol, hosts, at=at)
        if not path.startswith("/"):
            find_paths(request, "")
        return request


def _decoded(sent: str) -> str:
    return unquote_to_bytes(sent.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")


class Targets:
    """Groups requests by what a policy's rules ask about what they are for."""

    def __init__(self, policy: Policy) -> None:
        conditions = policy.conditions
        patterns = sorted({path for words in conditions for path in words.paths})
        #: the columns of a frame that rules ask about
        self.columns: list[str] = []
        self._keys: list[pl.Expr] = []
        if patterns:
            self.columns.append("path")
            self._keys += _path_keys(patterns, pl.col("path"), "")
            if policy.paths_ignore_case:
                lower = [pattern.lower() for pattern in patterns]
                self._keys += _path_keys(lower, pl.col("path").str.to_lowercase(), "lower ")
            self._keys.append(pl.when(_is_odd()).then("path").alias("odd"))
        if any(words.methods for words in conditions):
            self.columns += ["method", "protocol"]
        elif any(words.protocols for words in conditions):
            self.columns.append("protocol")
        if any(words.hosts for words in conditions):
            self.columns.append("host")
        self._keys += [pl.col(name).alias(f"the {name}") for name in self.columns if name != "path"]

    def group(self, frame: pl.DataFrame) -> tuple[pl.Series, list[Target]]:
        """Return each request's group, and of each group the target of one of its requests."""
        keyed = frame.select(*self.columns, *self._keys)
        names = keyed.columns[len(self.columns) :]
        groups = keyed.group_by(names).agg(pl.first(*self.columns)).with_row_index("group")
        told = [
            Target(row.get("path"), row.get("method"), row.get("host"), row.get("protocol"))
            for row in groups.iter_rows(named=True)
        ]
        joined = keyed.join(
            groups.select(*names, "group"),
            on=names,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        return joined.get_column("group"), told


def without_url(path: pl.Expr) -> pl.Expr:
    """Return paths as servers tell them: what was sent may be a whole URL (RFC 9112 §3.2.2)."""
    found = path.str.extract(_URL)
    return (
        pl.when(path.str.starts_with("/") | found.is_null())
        .then(path)
        .when(found.str.starts_with("/"))
        .then(found)
        .otherwise(pl.lit("/"))
    )


def _is_odd() -> pl.Expr:
    """Whether a path is not in normal form, or beyond ASCII, which servers read in several ways."""
    path = pl.col("path")
    return (
        ~path.str.starts_with("/")
        | path.str.contains_any(_MARKS)
        | path.str.ends_with("/.")
        | path.str.ends_with("/..")
        | (path.str.len_bytes() != path.str.len_chars())
    )


def _path_keys(patterns: Sequence[str], path: pl.Expr, name: str) -> list[pl.Expr]:
    """Return what tells apart which of some patterns paths in normal form match."""
    plain = {stem for pattern in patterns if "*" not in (stem := pattern.removesuffix("/*"))}
    keys = []
    beginnings = {
        "/".join(segments[:length])
        for segments in (stem.split("/") for stem in plain)
        for length in range(2, len(segments) + 1)
    } - {"/"}
    if beginnings:
        longest = sorted(beginnings, key=len, reverse=True)
        expression = f"^({'|'.join(map(pl.escape_regex, longest))})(?:/|$)"
        beginning = path.str.extract(expression)
        keys.append(beginning.alias(f"{name}beginning"))
        rest = path.str.len_bytes() - beginning.str.len_bytes().fill_null(0)
    else:
        rest = path.str.len_bytes()
    # nothing, a slash (which rules overlook, or which is the root), or more
    keys.append(rest.clip(0, 2).alias(f"{name}rest"))
    for number, pattern in enumerate(
        pattern for pattern in patterns if "*" in pattern.removesuffix("/*")
    ):
        expression = _expression(pattern)
        keys.append(path.str.contains(expression).alias(f"{name}{number}"))
        shorter = path.str.strip_suffix("/")
        keys.append(shorter.str.contains(expression).alias(f"{name}{number} without slash"))
    return keys


def _expression(pattern: str) -> str:
    """Return a pattern with ``*`` within as a regular expression of Polars."""
    stem = pattern.removesuffix("/*")
    text = "[^/]*".join(map(pl.escape_regex, stem.split("*")))
    return rf"(?s)^{text}{'(?:/.*)?' if stem != pattern else ''}\z"


# Segments that a route has no other name for than the number 0 has: most of what differs.
_SHORT = 128
#: Paths whose routes are remembered.
_MOST_KNOWN = 1 << 15
_ALIKE = "/(?:[0-9]+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{12,64})(/|$)"


class KnownRoutes:
    """The routes of paths that were seen lately: most logs ask for the same ones all the time."""

    def __init__(self) -> None:
        empty = pl.Series(dtype=pl.String)
        self._known = empty, empty  # replaced as one, since several threads ask

    def of(self, paths: pl.Series) -> pl.Series:
        """Return the route of each path."""
        known, told = self._known
        found = paths.replace_strict(known, told, default=None, return_dtype=pl.String)
        places = (found.is_null() & paths.is_not_null()).arg_true()
        if not len(places):
            return found
        routes = routes_of(paths.gather(places))
        found = found.scatter(places, routes)
        new = pl.DataFrame({"path": paths.gather(places), "route": routes}).unique("path")
        if new.height <= _MOST_KNOWN:
            if len(known) + new.height > _MOST_KNOWN:
                known, told = known.clear(), told.clear()
            self._known = pl.concat([known, new["path"]]), pl.concat([told, new["route"]])
        return found


def routes_of(paths: pl.Series) -> pl.Series:
    """Return the route of each path, as events tell it; asked once for those that are alike."""
    path = pl.col("path")
    decoded = paths.alias("path").to_frame()
    if paths.str.contains("%", literal=True).any():
        escaped = pl.when(path.str.contains("%", literal=True)).then(path)
        sent = decoded.select(escaped).to_series().drop_nulls().unique()
        told = {text: _decoded(text) for text in sent}
        decoded = decoded.with_columns(path.replace(told))
    # Where there is no digit but in letters, nothing is one of many by its number.
    numbered = path.str.contains("/[0-9]|[0-9a-fA-F]{12}") & (path.str.len_bytes() <= _SHORT)
    reduced = decoded.get_column("path")
    places = decoded.select(numbered.fill_null(value=False)).to_series().arg_true()
    alike = reduced.gather(places)
    for _ in range(2):  # neighbours have a slash in common
        alike = alike.str.replace_all(_ALIKE, "/0$1")
    column = reduced.scatter(places, alike)
    distinct = column.drop_nulls().unique()
    routes = [route_of(text) for text in distinct]
    return column.replace_strict(
        distinct, pl.Series(routes, dtype=pl.String), default=None, return_dtype=pl.String
    ).alias(paths.name)
