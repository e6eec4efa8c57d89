"""The frame of requests that every format is read into, and what a format is."""

from __future__ import annotations

from typing import Protocol

import polars as pl

#: What is known of requests, in the order of the log. A format always gives all columns; what it
#: does not have is null.
FRAME = pl.Schema(
    [
        ("peer", pl.String),  # the address as logged, without a port that the format adds
        ("forwarded", pl.String),  # the forwarding header's value, several joined by ", "
        ("time", pl.Datetime("us", "UTC")),
        ("method", pl.String),  # null where the server could not read the request line
        ("path", pl.String),  # as sent, still percent-encoded, without the query; null as above
        ("host", pl.String),  # with its port, if it was sent with one
        ("protocol", pl.String),  # "http" or "websocket"
        ("account", pl.String),  # the user that the server knows
        ("status", pl.UInt16),
    ]
)


#: What our own events tell: the fields of ``georestrict.observe.Event``.
EVENTS = pl.Schema(
    [
        ("time", pl.Datetime("us", "UTC")),
        ("kind", pl.String),  # "decision", "flagged" or "counts"
        ("count", pl.Int64),  # requests that it stands for
        ("action", pl.String),
        ("would", pl.String),
        ("emergency", pl.Boolean),
        ("reason", pl.String),
        ("rule", pl.String),
        ("code", pl.String),
        ("counted", pl.List(pl.String)),
        ("country", pl.String),
        ("status", pl.String),  # of the address: whether it has a country
        ("categories", pl.List(pl.String)),
        ("address", pl.String),  # a network, an address, or digits for it
        ("client", pl.String),
        ("account", pl.String),
        ("policy", pl.String),
        ("snapshot", pl.String),
        ("method", pl.String),
        ("host", pl.String),
        ("path", pl.String),
        ("protocol", pl.String),
        ("route", pl.String),
        ("sampled", pl.Float64),
        ("suppressed", pl.Int64),
    ]
)


class Format(Protocol):
    """How a log is written; tells requests from its lines."""

    @property
    def name(self) -> str:
        """What ``--format`` calls it, or the user's own format."""

    def begin(self, block: bytes) -> Format:
        """Return the format as a log's first block tells it: some logs name their columns."""

    def parse(self, block: bytes, *, in_order: bool = True) -> tuple[pl.DataFrame, int]:
        """Return the requests in a block of whole lines, and how many lines are none.

        Blank lines count as nothing. Nothing in a block raises. Without ``in_order`` the requests
        may come in another order than the lines, which takes a tenth less time.
        """


def complete(found: pl.DataFrame, schema: pl.Schema = FRAME) -> pl.DataFrame:
    """Return exactly the columns of a schema; those that are missing are null."""
    return found.select(
        pl.col(name).cast(kind) if name in found.columns else pl.lit(None, kind).alias(name)
        for name, kind in schema.items()
    )
