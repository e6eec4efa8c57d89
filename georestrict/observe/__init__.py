"""What the operator sees: an event for each request that is not plainly allowed, and log lines.

Events go to the logger ``georestrict.events`` at INFO, as objects that are lines for people, or of
JSON with ``JsonLines``. Set-up problems go to ``georestrict``, once each, at WARNING. An address is
cut to its /24 or /48 network unless the options say otherwise. Text from the request is escaped and
cut to 128 characters.
"""

from __future__ import annotations

from georestrict.observe.event import Event, Kind, keyed
from georestrict.observe.lines import JsonLines, log_events
from georestrict.observe.observer import Observer, logger
from georestrict.observe.options import Events
from georestrict.observe.route import route_of
from georestrict.observe.schema import schema
from georestrict.observe.sentence import sentences

__all__ = [
    "Event",
    "Events",
    "JsonLines",
    "Kind",
    "Observer",
    "keyed",
    "log_events",
    "logger",
    "route_of",
    "schema",
    "sentences",
]
