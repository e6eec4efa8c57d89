"""Replaying on a cluster: the same judging, in partitions of Apache Spark.

Lines of logs become counts by ``DataFrame.mapInArrow``, in whatever partitions Spark has them, and
Spark adds those up. Each Python worker opens policy and database once, so they have to lie at the
same place on all machines. See docs/replay.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from georestrict.address import Strategy
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.policy import Policy
from georestrict.replay.counting import Counting
from georestrict.replay.formats import format_of
from georestrict.replay.judging import CLIENTS, ROWS, Counted, Judge
from georestrict.replay.summary import Summary

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame

#: The columns of what :func:`replay_lines` yields, as Spark writes a schema.
SCHEMA = (
    "kind string, policy int, dimension int, key string, action int, requests long, "
    "first timestamp, last timestamp"
)
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "policy": pl.Int32,
    "dimension": pl.Int32,
    "key": pl.String,
    "action": pl.Int32,
    "requests": pl.Int64,
    "first": pl.Datetime("us", "UTC"),
    "last": pl.Datetime("us", "UTC"),
}
_GROUP = ("kind", "policy", "dimension", "key", "action")


def replay_lines(
    policies: Sequence[str | Path],
    format: str,  # noqa: A002 it is that of the command line
    *,
    database: str | Path | None = None,
    client: Strategy | None = None,
    header: str = "X-Forwarded-For",
    by_account: bool = False,
    at: datetime | None = None,
) -> Callable[[Iterable[pyarrow.RecordBatch]], Iterator[pyarrow.RecordBatch]]:
    """Return a function for ``DataFrame.mapInArrow`` over lines of logs, with ``SCHEMA``.

    ``policies`` and ``database`` are paths, the same on every machine; the other arguments are
    those of :class:`~georestrict.replay.judging.Judge`. The lines are the first column, as
    ``spark.read.text`` has them.

    Raises:
        ConfigurationError: if a policy asks where accounts have been: partitions have no order.
    """
    for policy in policies:
        for place, _ in Policy.load(policy).account_words():
            raise ConfigurationError(
                f"{policy}: {place} asks where accounts have been, which takes all requests in "
                "their order; replay the logs on one machine: georestrict replay"
            )
    format_of(format, header)  # so that what is wrong is told here
    named = tuple(map(str, policies))
    image = None if database is None else str(database)

    def judged(batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        written = format_of(format, header)
        judge = _judge(named, image, client, header, by_account, at)  # type: ignore[arg-type]
        for batch in batches:
            lines = pl.Series(batch.column(0))
            block = "\n".join(line or "" for line in lines).encode("utf-8", "surrogatepass")
            frame, unparsed = written.parse(block + b"\n")
            found = judge.judge(frame)
            yield from _batches(found, unparsed)

    return judged


@lru_cache(maxsize=4)
def _judge(
    policies: tuple[str, ...],
    database: str | None,
    client: Strategy | None,
    header: str,
    by_account: bool,
    at: datetime | None,
) -> Judge:
    """Return a judge; each Python worker makes one."""
    loaded = [Policy.load(path) for path in policies]
    opened = Database.open(database)
    return Judge(loaded, opened, client=client, header=header, by_account=by_account, at=at)


def _batches(found: Counted, unparsed: int) -> Iterator[pyarrow.RecordBatch]:
    rows = found.rows.with_columns(kind=pl.lit("rows"))
    clients = found.clients.select(
        "policy", "action", kind=pl.lit("clients"), key=pl.col("client").cast(pl.String)
    )
    lines = {
        "kind": ["lines", "unparsed"],
        "requests": [found.requests, unparsed],
        "first": [found.first, None],
        "last": [found.last, None],
    }
    total = pl.DataFrame(lines, {name: _COLUMNS[name] for name in lines})
    every = pl.concat([_completed(each) for each in (rows, clients, total)])
    yield from every.to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches()


def _completed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name)
        for name, kind in _COLUMNS.items()
    )


def summarize(counted: DataFrame, places: Sequence[str], *, by_account: bool = False) -> Summary:
    """Add up what ``mapInArrow`` gave, on the cluster, and return the summary.

    ``places`` name the policies. Distinct clients are collected here as numbers of 64 bits.
    """
    from pyspark.sql import functions

    added = counted.groupBy(*_GROUP).agg(
        functions.sum("requests").alias("requests"),
        functions.min("first").alias("first"),
        functions.max("last").alias("last"),
    )
    found = pl.DataFrame(pl.from_arrow(added.toArrow()))
    by = {kind: found.filter(pl.col("kind") == kind) for kind in ("rows", "clients", "lines")}
    rows = by["rows"].select(pl.col(name).cast(kind) for name, kind in ROWS.items())
    clients = by["clients"].rename({"key": "client"})
    counting = Counting()
    lines = by["lines"].select(
        pl.sum("requests"),
        pl.min("first").dt.convert_time_zone("UTC"),
        pl.max("last").dt.convert_time_zone("UTC"),
    )
    requests, first, last = lines.row(0)
    counting.add(
        Counted(
            requests,
            first,
            last,
            rows,
            clients.select(pl.col(name).cast(kind) for name, kind in CLIENTS.items()),
        )
    )
    unparsed = found.filter(pl.col("kind") == "unparsed").get_column("requests").sum()
    counting.unparsed = int(unparsed)
    return counting.summary(places, by_account=by_account)
