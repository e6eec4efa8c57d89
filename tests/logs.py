"""Access logs to replay: any number of requests, the same on every machine, and what they are.

``Traffic`` makes frames of requests out of small pools (clients, paths, accounts, ...), some of
them much more often than others; ``combined`` writes them as nginx does. So a test has a log and
the truth about it. By hand: ``python -m tests.logs 20000000 access.log``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

#: Lines that are made and written at once.
CHUNK = 500_000

_METHODS = ("GET",) * 12 + ("POST",) * 6 + ("HEAD", "PUT", "DELETE", "OPTIONS")
_STATUSES = (200,) * 15 + (201, 204, 301, 304, 304, 401, 403, 404, 404, 500)
_VERSIONS = ("HTTP/1.1",) * 5 + ("HTTP/2.0",) * 4 + ("HTTP/1.0",)
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "python-httpx/0.28.1",
    "curl/8.11.0",
)
_REFERRERS = ("-", "-", "-", "https://example.com/", "https://example.com/docs?from=search")
# What formats escape, or what looks like an end of something.
_ODD_TARGETS = ('/search?q="a b"', "/a\\b", '/"quoted"', "/%22%5C?x=%0A", "//", "/?", "*", "/a b")
_ODD_ACCOUNTS = ("a b", 'o"brien', "back\\slash", "[x] y", "jürgen")

Numbers = npt.NDArray[np.uint64]


def _mixed(numbers: Numbers, salt: int) -> Numbers:
    """Return numbers that look drawn, one for each (the finaliser of splitmix64)."""
    value = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt * 0xD1B54A32D192ED03 % 2**64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _clients() -> tuple[str, ...]:
    """Addresses all over what is assigned: a country comes as often as it has networks."""
    clients = []
    for number in _mixed(np.arange(60_000, dtype=np.uint64), 99).tolist():
        a, b, c, d = (number >> shift & 0xFF for shift in (0, 8, 16, 24))
        if number >> 60 < 4:
            block = ("2600", "2a02", "2409", "2804", "2c0f")[a % 5]
            clients.append(f"{block}:{b:x}{c:02x}:{d:x}::{(number >> 32 & 0xFFFF) + 1:x}")
        else:
            clients.append(f"{1 + a % 223}.{b}.{c}.{d}")
    return tuple(clients)


def _paths() -> tuple[str, ...]:
    busy = ("/", "/v1/models", "/v1/chat/completions", "/login", "/static/app.js", "/health")
    return busy * 200 + tuple(f"/items/{number}?page={number % 7}" for number in range(7_000))


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Requests by their number; of most pools the first come more often than the last."""

    seed: int = 1
    start: datetime = datetime(2026, 11, 23, tzinfo=UTC)
    per_second: int = 200
    clients: Sequence[str] = field(default_factory=_clients)
    targets: Sequence[str] = field(default_factory=_paths)
    accounts: Sequence[str] = tuple(f"customer-{number}" for number in range(5_000))
    hosts: Sequence[str] = ("api.example.com", "www.example.com", "example.com:8443")
    methods: Sequence[str] = _METHODS
    statuses: Sequence[int] = _STATUSES
    with_account: float = 0.3  #: share of requests that have an account
    websockets: float = 0.02  #: share of requests that open one
    odd: float = 0.001  #: share of requests with characters in target and account that are escaped

    def requests(self, count: int, first: int = 0) -> pl.DataFrame:
        """Return requests from the ``first`` on: columns of ``FRAME``, and what logs tell besides."""
        numbers = np.arange(first, first + count, dtype=np.uint64)

        def share(salt: int) -> npt.NDArray[np.float64]:
            drawn = _mixed(numbers, self.seed * 100 + salt) >> np.uint64(11)
            return drawn.astype(np.float64) * 2.0**-53

        def draw(salt: int, pool: Sequence[str], power: int = 1) -> pl.Series:
            at = (share(salt) ** power * len(pool)).astype(np.uint32)
            return pl.Series(pool, dtype=pl.String).gather(pl.Series(at))

        seconds = int(self.start.timestamp()) + numbers.astype(np.int64) // self.per_second
        drawn = pl.DataFrame(
            {
                "peer": draw(1, self.clients, 3),
                "time": pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC")),
                "method": draw(2, self.methods),
                "target": draw(3, self.targets),
                "odd_target": draw(4, _ODD_TARGETS),
                "version": draw(5, _VERSIONS),
                "host": draw(6, self.hosts),
                "account": draw(7, self.accounts, 2),
                "odd_account": draw(8, _ODD_ACCOUNTS),
                "status": draw(9, [str(status) for status in self.statuses]),
                "bytes": draw(10, [str(37 * n * n + 5) for n in range(200)]),
                "referrer": draw(11, _REFERRERS),
                "agent": draw(12, _AGENTS),
                "named": share(13) < self.with_account,
                "switched": share(14) < self.websockets,
                "odd": share(15) < self.odd,
            }
        )
        odd, switched = pl.col("odd"), pl.col("switched")
        made = drawn.with_columns(
            target=pl.when(odd).then("odd_target").otherwise("target"),
            account=pl.when(odd).then("odd_account").when("named").then("account"),
            method=pl.when(switched).then(pl.lit("GET")).otherwise("method"),
            version=pl.when(switched).then(pl.lit("HTTP/1.1")).otherwise("version"),
            status=pl.when(switched).then(pl.lit("101")).otherwise("status").cast(pl.UInt16),
            protocol=pl.when(switched).then(pl.lit("websocket")).otherwise(pl.lit("http")),
        )
        path = pl.col("target").str.splitn("?", 2).struct.field("field_0").alias("path")
        return made.with_columns(path).drop("named", "switched", "odd", "odd_target", "odd_account")

    def write(self, path: Path, count: int) -> None:
        """Write a combined log."""
        with path.open("wb") as file:
            for first in range(0, count, CHUNK):
                lines = combined(self.requests(min(CHUNK, count - first), first))
                file.write("\n".join([*lines.to_list(), ""]).encode())


def combined(requests: pl.DataFrame) -> pl.Series:
    """Return the lines that nginx writes of requests with ``log_format combined``."""
    return requests.select(
        pl.concat_str(
            "peer",
            pl.lit(" - "),
            _escaped("account"),
            pl.col("time").dt.strftime(' [%d/%b/%Y:%H:%M:%S +0000] "'),
            "method",
            pl.lit(" "),
            _escaped("target"),
            pl.lit(" "),
            "version",
            pl.lit('" '),
            "status",
            pl.lit(" "),
            "bytes",
            pl.lit(' "'),
            "referrer",
            pl.lit('" "'),
            "agent",
            pl.lit('"'),
        )
    ).to_series()


def _escaped(name: str) -> pl.Expr:
    """Return a column as nginx escapes it; what is absent is a hyphen."""
    column = pl.col(name)
    return (
        pl.when(column.str.contains(r'["\\]|[^ -~]'))
        .then(column.map_elements(escape, return_dtype=pl.String))
        .otherwise(column.fill_null("-"))
    )


def escape(text: str) -> str:
    r"""Escape text as nginx does: ``\xHH`` for each byte that is special, none for spaces."""
    return re.sub(
        r'["\\]|[^ -~]',
        lambda found: "".join(f"\\x{byte:02X}" for byte in found[0].encode()),
        text,
    )


if __name__ == "__main__":
    Traffic().write(Path(sys.argv[2]), int(sys.argv[1]))
