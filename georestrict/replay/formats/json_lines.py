"""Formats of a JSON object in each line: Caddy's, Traefik's, and our own events.

https://caddyserver.com/docs/logging, https://caddyserver.com/docs/caddyfile/directives/log,
https://doc.traefik.io/traefik/observability/access-logs/#json-format.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from polars.exceptions import ComputeError

from georestrict.replay.formats.frame import EVENTS, Format, complete
from georestrict.replay.formats.lines import ADDRESS, as_text, lines_of, written
from georestrict.replay.formats.times import epoch_times, iso_times


@dataclass(frozen=True)
class JsonFormat:
    """A format of JSON objects; ``read`` makes requests of what ``schema`` takes out of them."""

    name: str
    schema: pl.Schema
    read: Callable[[pl.DataFrame], pl.DataFrame]

    def begin(self, block: bytes) -> Format:
        """Return itself: no line of the log tells more."""
        return self

    def parse(self, block: bytes, *, in_order: bool = True) -> tuple[pl.DataFrame, int]:
        """Return the requests in a block, and how many lines are none."""
        block = as_text(block)
        lines = written(lines_of(block))
        try:
            objects = self._objects(block)
        except ComputeError:  # one bad line is enough, and it is not told which
            objects = self._objects(self._sound(block))
        found = self.read(objects)
        return found, lines - found.height

    def _objects(self, block: bytes) -> pl.DataFrame:
        if not block.strip():
            return self.schema.to_frame()
        return pl.read_ndjson(b"{}\n" + block, schema=self.schema, ignore_errors=True).slice(1)

    def _sound(self, block: bytes) -> bytes:
        """Return what is wanted of the lines that hold a JSON object."""
        sound = []
        for line in block.split(b"\n"):
            try:
                found = json.loads(line)
                if isinstance(found, dict):
                    wanted = {name: found[name] for name in self.schema if name in found}
                    sound.append(json.dumps(wanted, allow_nan=False).encode())
            except (ValueError, RecursionError):  # NaN and Infinity are no JSON
                continue
        return b"\n".join([*sound, b""])


def caddy_format(header: str) -> JsonFormat:
    """Return the format of Caddy's access logs; ``header`` is the forwarding header."""
    name = "-".join(part.capitalize() for part in header.split("-"))  # Go's canonical form
    request = {
        **dict.fromkeys(("remote_ip", "remote_addr", "method", "host", "uri"), pl.String()),
        "headers": pl.Struct({name: pl.List(pl.String)}),
    }
    schema = pl.Schema(
        {
            "logger": pl.String(),
            "ts": pl.String(),
            "request": pl.Struct(request),
            "user_id": pl.String(),
            "status": pl.Int64(),
        }
    )

    def read(objects: pl.DataFrame) -> pl.DataFrame:
        # An error that a request met has a line of its own, beside its line as a request.
        access = pl.col("logger").is_null() | pl.col("logger").str.starts_with("http.log.access")
        found = objects.filter(access).unnest("request")
        return _requests(
            found.with_columns(
                _caddy_times(found["ts"]),
                peer=pl.coalesce("remote_ip", pl.col("remote_addr").str.extract(ADDRESS)),
                target=pl.col("uri"),
                account=pl.col("user_id"),
                forwarded=pl.col("headers").struct.field(name).list.join(", "),
            )
        )

    return JsonFormat("caddy", schema, read)


def _caddy_times(texts: pl.Series) -> pl.Series:
    """Read Caddy's times: seconds as a rule, by its options milliseconds or text."""
    seconds = epoch_times(texts, "seconds")
    if not seconds.null_count():
        return seconds
    return seconds.zip_with(seconds.is_not_null(), iso_times(texts))


def traefik_format(header: str) -> JsonFormat:
    """Return the format of Traefik's access logs in JSON.

    ``header`` is the forwarding header; without it in the log, the client that Traefik took from it
    counts as its value.
    """
    name = "request_" + "-".join(part.capitalize() for part in header.split("-"))
    texts = (
        "ClientAddr ClientHost ClientUsername RequestMethod RequestPath RequestHost StartUTC time"
    )
    schema = pl.Schema(
        {**dict.fromkeys([*texts.split(), name], pl.String()), "DownstreamStatus": pl.Int64()}
    )

    def read(objects: pl.DataFrame) -> pl.DataFrame:
        time = objects["StartUTC"].zip_with(objects["StartUTC"].is_not_null(), objects["time"])
        peer = pl.col("ClientAddr").str.extract(ADDRESS)
        told = pl.when(pl.col("ClientHost") != peer).then("ClientHost")
        return _requests(
            objects.with_columns(
                iso_times(time),
                peer=pl.coalesce(peer, "ClientHost"),
                method=pl.col("RequestMethod"),
                target=pl.col("RequestPath"),
                host=pl.col("RequestHost"),
                account=pl.col("ClientUsername"),
                status=pl.col("DownstreamStatus"),
                forwarded=pl.coalesce(name, told),
            )
        )

    return JsonFormat("traefik", schema, read)


def _requests(found: pl.DataFrame) -> pl.DataFrame:
    """Return the frame of those objects that are requests: with a peer and a time."""
    status = pl.col("status")
    valid = status.is_between(0, 999)
    switched = status == 101
    return complete(
        found.filter(pl.col("peer").is_not_null() & pl.col("time").is_not_null()).with_columns(
            pl.when(pl.col("account").is_in(["", "-"]).not_()).then("account").alias("account"),
            path=pl.col("target").str.splitn("?", 2).struct.field("field_0"),
            status=pl.when(valid).then(status),
            protocol=pl.when(switched).then(pl.lit("websocket")).otherwise(pl.lit("http")),
        )
    )


def _read_events(objects: pl.DataFrame) -> pl.DataFrame:
    """Return the events of this version among objects."""
    found = objects.with_columns(
        iso_times(objects["time"]),
        emergency=pl.col("emergency").fill_null(value=False),
        counted=pl.col("counted").fill_null([]),
        suppressed=pl.col("suppressed").fill_null(0),
        categories=pl.col("categories").fill_null("").str.extract_all('"[a-z_]+":'),
    ).with_columns(pl.col("categories").list.eval(pl.element().str.strip_chars('":')))
    always = pl.all_horizontal(
        pl.col(name).is_not_null() for name in ("time", "kind", "action", "reason", "count")
    )
    return complete(found.filter((pl.col("event") == _EVENTS_VERSION) & always), EVENTS)


_EVENTS_VERSION = 1
_TOLD = {"event": pl.Int64(), "time": pl.String(), "categories": pl.String()}
#: Our own events, one a line, as ``georestrict.observe`` writes them.
EVENTS_FORMAT = JsonFormat("events", pl.Schema({**EVENTS, **_TOLD}), _read_events)
