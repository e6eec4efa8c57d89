"""Health: how old the data in force is, what became of reloads, and what is wrong, in words.

Nothing is read from disk for it, so that it can be asked as often as anybody likes. It tells no
secrets, and nothing of a request.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from georestrict.age import COUNTRY, Ages, Aging
from georestrict.engine import Engine, Reloads
from georestrict.errors import ConfigurationError
from georestrict.policy import StaleAction
from georestrict.policy.checks import length

_HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))
_METHODS = ("GET", "HEAD")


class State(StrEnum):
    """How an engine is."""

    OK = "ok"
    DEGRADED = "degraded"  #: it decides, and somebody should look at it
    FAILING = "failing"  #: there is no data to tell countries by


_STATUS_LINES = {200: "200 OK", 405: "405 Method Not Allowed", 503: "503 Service Unavailable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the data: its date, its age in days, its limit, and whether it is past that."""

    date: datetime | None  #: None of what does not age
    age_days: int | None
    stale_after: str | None = None
    stale_action: str | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an engine is, and what it decides by.

    ``snapshot`` is the same in all workers that have the same in force, ``policy`` where it came
    from. ``data`` has the parts of the data: its layers, and categories with limits; ``lists`` the
    policy's lists. ``watching`` is how often the files are looked at, in seconds. ``emergency`` is
    what was seen of the switch when a request was last to be blocked. ``problems`` are in words.
    """

    status: State
    snapshot: str
    policy: str
    data: Mapping[str, Part]
    lists: Mapping[str, Part]
    reloads: Reloads
    watching: float | None
    emergency: bool
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as values of JSON; times are text in UTC (RFC 3339)."""
        told: dict[str, Any] = _plain(asdict(replace(self, data={}, lists={})))
        for name, parts in (("data", self.data), ("lists", self.lists)):
            told[name] = {each: _plain(asdict(part)) for each, part in parts.items()}
        return told


def health(engine: Engine) -> Health:
    """Return how an engine is.

    It is ``degraded`` when the last reload failed, when data is past a limit and used all the same,
    or when the emergency switch is on; ``failing`` when no address has a country.

    >>> from georestrict import Engine, health
    >>> health(Engine({"default": "allow"})).status.value
    'ok'
    """
    snapshot, now = engine.snapshot, engine.now()
    ages, reloads = snapshot.ages, engine.reloads
    stale = snapshot.look()
    emergency = snapshot.in_emergency(now)
    no_data = stale.no_country or snapshot.database.is_missing
    problems = [*_problems(ages, now)]
    if snapshot.database.is_missing:
        problems.insert(0, "there is no database that can be used: no public address has a country")
    if reloads.last_error is not None:
        problems.append(f"the last reload failed: {reloads.last_error}")
    if emergency:
        problems.append("the emergency switch is on: blocks are warnings")
    return Health(
        status=State.FAILING if no_data else State.DEGRADED if problems else State.OK,
        snapshot=snapshot.id,
        policy=snapshot.policy.place,
        data={name: _part(aging, now) for name, aging in _data(ages).items()},
        lists={name: _part(aging, now) for name, aging in ages.lists.items()},
        reloads=reloads,
        watching=engine.watching,
        emergency=emergency,
        problems=tuple(problems),
    )


def _data(ages: Ages) -> dict[str, Aging]:
    categories = {str(category): aging for category, aging in ages.categories.items()}
    return ages.layers | {COUNTRY: ages.country} | categories


def _part(aging: Aging, now: float) -> Part:
    return Part(
        date=aging.date,
        age_days=aging.days(now),
        stale_after=None if aging.stale_after is None else length(aging.stale_after),
        stale_action=None if aging.action is None else str(aging.action),
        stale=aging.is_stale(now),
    )


def _problems(ages: Ages, now: float) -> Iterator[str]:
    for aging in ages.all:
        if aging.is_stale(now) and aging.stale_after is not None:
            follows = {
                StaleAction.NO_DATA: "no address has a country any more",
                StaleAction.IGNORE: "rules do not see it",
            }.get(aging.action or StaleAction.KEEP, "it is used all the same")
            key = f"{aging.key}stale_after ({length(aging.stale_after)})"
            yield f"{aging.name} is {aging.days(now)} days old, more than {key}: {follows}"
        elif now >= aging.warns_from and aging.warn_after is not None:
            key = f"warn_after ({length(aging.warn_after)})"
            yield f"{aging.name} is {aging.days(now)} days old, more than {key}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value


def _check(engine: object, name: str) -> None:
    if not isinstance(engine, Engine):
        raise ConfigurationError(
            f"{name} is given {engine!r}, must be an Engine; a middleware has its own as .engine"
        )


def _answer(engine: Engine, method: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body; the body of HEAD is what GET would have."""
    if method not in _METHODS:
        return 405, [("allow", ", ".join(_METHODS)), ("content-length", "0"), *_HEADERS[1:]], b""
    found = health(engine)
    body = json.dumps(found.as_dict()).encode()
    status = 503 if found.status is State.FAILING else 200
    return status, [*_HEADERS, ("content-length", str(len(body)))], body


Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def asgi_health(engine: Engine) -> Callable[[Any, Receive, Send], Awaitable[None]]:
    """Return an ASGI app that answers with the health of an engine, for monitors.

    Status 200 for ``ok`` and ``degraded``, 503 for ``failing``. It answers at whatever path it is
    mounted, and asks nobody who they are: do not mount it where everybody comes.

    Raises:
        ConfigurationError: if it is given no engine.
    """
    _check(engine, "asgi_health")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # RFC 6455 §7.4.1
            return
        if scope["type"] != "http":
            raise ValueError(f"scope type {scope['type']!r}: it answers http only")
        status, headers, body = _answer(engine, scope["method"])
        start = {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }
        await send(start)
        is_head = scope["method"] == "HEAD"
        await send({"type": "http.response.body", "body": b"" if is_head else body})

    return app


def wsgi_health(engine: Engine) -> Callable[[Any, Callable[..., Any]], Iterable[bytes]]:
    """Return a WSGI app that answers with the health of an engine, as ``asgi_health`` does.

    Raises:
        ConfigurationError: if it is given no engine.
    """
    _check(engine, "wsgi_health")

    def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, headers, body = _answer(engine, environ["REQUEST_METHOD"])
        start_response(_STATUS_LINES[status], [(name.title(), value) for name, value in headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return app
