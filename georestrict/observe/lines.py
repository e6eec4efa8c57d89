"""Events as JSON lines, through ``logging``."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TextIO

from georestrict.errors import ConfigurationError
from georestrict.observe.event import Event, as_text

#: What events are written to, at INFO.
logger = logging.getLogger("georestrict.events")


class JsonLines(logging.Formatter):
    """Formats an event as one line of JSON.

    Another record becomes an object with its time, level, logger, message and traceback: where all
    logs go to one place, each line is JSON. It has no ``"event"``, so readers of events pass it by.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of JSON."""
        # A QueueHandler makes text of the message; what else a record has, it leaves as it is.
        event = record.__dict__.get("event")
        if isinstance(event, Event):
            return event.as_json()
        if isinstance(record.msg, Event):
            return record.msg.as_json()
        told = {
            "time": as_text(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            told["traceback"] = record.exc_text
        return json.dumps(told)


def log_events(to: str | PathLike[str] | TextIO | logging.Handler) -> logging.Handler:
    """Write events as JSON lines to a file, to a stream such as ``sys.stdout``, or to a handler.

    This is all that is needed: nothing else of ``logging`` has to be set up, and events appear in
    no other log. A file is appended to, by several processes if need be, and opened anew once it
    was moved away (logrotate). The same place twice is once. Returns the handler, which
    ``logging.getLogger("georestrict.events").removeHandler`` takes.

    Raises:
        ConfigurationError: if it is none of these, or the file cannot be opened.
    """
    handler = _handler(to)
    if handler.formatter is None:
        handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.disabled = False  # a dictConfig before has done that, unless it was told not to
    return handler


def _handler(to: Any) -> logging.Handler:
    if isinstance(to, logging.Handler):
        return to
    if isinstance(to, str | PathLike):
        path = str(Path(fspath(to)).absolute())
        for known in logger.handlers:
            if isinstance(known, WatchedFileHandler) and known.baseFilename == path:
                return known
        try:
            return WatchedFileHandler(path, encoding="utf-8")
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            why = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"log_events: {path}: {why}; give a file in a folder that is "
                "there and that this process may write to"
            ) from None
    if not callable(getattr(to, "write", None)):
        raise ConfigurationError(
            f"log_events is given {to!r}, must be a path, a stream or a logging.Handler"
        )
    try:
        to.write("")
    except Exception as error:  # a handler would find out with each event, and lose it
        raise ConfigurationError(
            f"log_events: {to!r} takes no text: {error}; give a stream that is open for text"
        ) from None
    for known in logger.handlers:
        if isinstance(known, logging.StreamHandler) and known.stream is to:
            return known
    return logging.StreamHandler(to)
