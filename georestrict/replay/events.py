"""Our own events: summed as they were recorded, or turned into requests that are judged anew."""

from __future__ import annotations

import polars as pl

from georestrict.errors import ConfigurationError
from georestrict.location import Status
from georestrict.observe import Kind
from georestrict.replay.clients import networks_of
from georestrict.replay.formats import FRAME
from georestrict.replay.judging import (
    ACTIONS,
    HOUR,
    Counted,
    Outcome,
    clients_of_rows,
    rows_of,
)

#: What stands for a policy where events tell what was decided.
RECORDED = "as recorded"
_NUMBERS = {action: number for number, action in enumerate(ACTIONS)}


def is_events(frame: pl.DataFrame) -> bool:
    """Return whether a frame is of events, and not of requests."""
    return "kind" in frame.columns


def recorded(events: pl.DataFrame) -> Counted:
    """Return what was decided, just as the events tell it.

    Requests that have no event of their own are known by their decision only, not by address,
    category, route or account.
    """
    told = events.filter(pl.col("kind") != str(Kind.FLAGGED)).with_columns(
        pl.coalesce("would", "action")
        .replace_strict(_NUMBERS, return_dtype=pl.UInt8)
        .alias("action"),
        pl.coalesce("country", "status").alias("country"),
        pl.col("categories").list.join(",").replace("", None),
        pl.when(pl.col("address").is_not_null()).then(pl.col("address").hash()).alias("hash"),
    )
    words = "action", "reason", "rule", "counted", "country"
    outcomes = told.group_by(words).agg(pl.sum("count"))
    texts = [
        Outcome(ACTIONS[action], reason, rule, tuple(counted), country).text
        for action, reason, rule, counted, country, _ in outcomes.iter_rows()
    ]
    hit = told.filter(pl.col("action") > 0)
    addresses = hit.get_column("address")
    networks = networks_of(addresses)
    known = networks.zip_with(networks.is_not_null(), addresses)  # they may be networks already
    found = {
        "outcome": outcomes.with_columns(pl.Series("key", texts, dtype=pl.String)),
        "categories": told.with_columns(pl.col("categories").alias("key")),
        "route": told.with_columns(pl.col("route").alias("key")),
        "network": hit.with_columns(known.alias("key")),
        "account": hit.with_columns(pl.col("account").alias("key")),
        "time": told.with_columns(HOUR.alias("key")),
    }
    rows = [
        rows_of(frame.group_by("key", "action").agg(pl.sum("count")), 0, dimension)
        for dimension, frame in found.items()
    ]
    first, last = told.select(pl.min("time"), pl.max("time").alias("last")).row(0)
    requests = int(told.get_column("count").sum())
    return Counted(requests, first, last, pl.concat(rows), clients_of_rows(told, 0))


def requests_of(events: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the requests that have events of their own, and how many others there were.

    Raises:
        ConfigurationError: if an event has no whole address.
    """
    own = events.filter(pl.col("kind") == str(Kind.DECISION))
    address = pl.col("address")
    whole = address.str.contains(r"^[0-9.]+$|^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$")
    whole |= address.is_null() & (pl.col("status") == str(Status.UNRESOLVED))
    cut = own.filter(~whole.fill_null(value=False))
    if cut.height:
        shown = cut.get_column("address")[0]
        raise ConfigurationError(
            f"events: have no whole addresses (but {shown!r}), so no policy can be asked about "
            'them; leave out --policy to sum what was decided, or record Events(address="full")'
        )
    told = {
        "peer": address,
        # it was decoded before
        "path": pl.col("path").str.replace_all("%", "%25", literal=True),
        "forwarded": pl.lit(None),
        "status": pl.lit(None),
    }
    frame = own.select(
        told.get(name, pl.col(name)).cast(kind).alias(name) for name, kind in FRAME.items()
    )
    others = events.filter(pl.col("kind") == str(Kind.COUNTS)).get_column("count").sum()
    return frame, int(others)
