"""Events: what was decided about a request, or how many requests got a decision."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from math import inf
from typing import Any, Literal

from georestrict.address import AddressReason
from georestrict.decision import Code, Reason
from georestrict.location import Status
from georestrict.networks import Category, Confidence
from georestrict.policy import Action

#: The version of the JSON form. Fields may be added to it; another meaning gets another number.
VERSION = 1

#: Characters of a request's text that are kept.
LONGEST_TEXT = 128

_KEYED_LENGTH = 32  # hexadecimal digits: 128 bits


class Kind(StrEnum):
    """What an event tells."""

    DECISION = "decision"  #: one request
    FLAGGED = "flagged"  #: an account of which so many requests were blocked that the app is told
    COUNTS = "counts"  #: how many requests got a decision and have no event of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What the logger ``georestrict.events`` writes, one a record.

    ``kind`` says what it tells. ``decision`` is one request that was warned, blocked, counted or
    tried in a dry run, or one of a sample of the allowed ones. ``flagged`` is an account that the
    app was told of. What is over the limit of events, and what was plainly allowed, has no event of
    its own: ``counts`` tells of one decision how many more requests got it since the last time.

    So the sum of ``count`` is the number of requests: it is 1 for ``decision``, 0 for ``flagged``.
    Summed by ``action``, ``would``, ``emergency``, ``reason``, ``rule``, ``code``, ``counted``,
    ``country`` and ``status``, which all kinds have, it is ``Engine.counts``. All kinds have
    ``policy``, ``snapshot`` and ``suppressed``, too, and ``flagged`` has ``account``; the other
    fields are of ``decision`` alone.

    ``as_json`` is one flat object in one line: ``"event": 1``, which is the version, then the
    fields by name, in this order. Those that say nothing (None, empty, False, nothing suppressed)
    are left out. ``time`` is RFC 3339 in UTC with microseconds, ``data`` a date; ``categories`` is
    an object such as ``{"hosting": "high"}``; ``counted``, ``lists`` and ``stale`` are arrays of
    text. ``str()`` is a line for people.
    """

    time: datetime  #: by the engine's clock, in UTC
    kind: Kind
    action: Action  #: what was enforced
    reason: Reason
    count: int = 1  #: requests that it stands for
    would: Action | None = None  #: what would have been enforced, in a dry run or an emergency
    emergency: bool = False
    rule: str | None = None
    code: Code | None = None
    counted: tuple[str, ...] = ()  #: ``count`` rules that matched before
    country: str | None = None
    status: Status | None = None  #: whether the address has a country
    subdivision: str | None = None
    via: str | None = None  #: how an IPv6 address carries the IPv4 address that was judged
    categories: Mapping[Category, Confidence] = field(default_factory=dict, hash=False)
    lists: tuple[str, ...] = ()  #: the owner's lists that hold the address
    stale: tuple[str, ...] = ()  #: what of that is past the policy's limit of age
    address: str | None = None  #: a /24 or /48 network, the address, or 32 digits for it
    client: AddressReason | None = None  #: how the address was found
    account: str | None = None  #: 32 digits for it, or as the app names it
    data: date | None = None  #: of the data about countries
    policy: str | None = None  #: the policy file
    snapshot: str | None = None  #: 12 digits for what policy, lists and data say
    request: str | None = None  #: the id that the client was told, else the one that it came with
    method: str | None = None
    host: str | None = None
    path: str | None = None
    protocol: str | None = None  #: ``"http"`` or ``"websocket"``
    route: str | None = None  #: the path without what is one of many (``route_of``)
    sampled: float | None = None  #: allowed requests for which this one stands
    suppressed: int = 0  #: events left out by the limit since the last one

    def as_json(self) -> str:
        """Return it as a JSON object in one line of ASCII."""
        told: dict[str, Any] = {"event": VERSION}
        for name in _NAMES:
            value = getattr(self, name)
            if name == "time":
                value = as_text(value)
            elif name == "data" and value is not None:
                value = value.isoformat()
            if name in _ALWAYS or value:
                told[name] = value
        return json.dumps(told)

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """Read what ``as_json`` returns; fields that are not known are left out.

        Raises:
            ValueError: if it is none, or of another version; it names the field.
        """
        try:
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is no JSON: {error}") from None
        if not isinstance(told, dict) or "event" not in told:
            raise ValueError('is no event: an object with "event" is expected')
        version = told["event"]
        if type(version) is not int or version != VERSION:
            raise ValueError(
                f"event is {_short(version)}, must be {VERSION}; another version wrote it"
            )
        for name in _ALWAYS:
            if name not in told:
                raise ValueError(f"{name} is missing")
        given = {}
        for name, read in _READERS.items():
            if name in _ALWAYS or told.get(name) is not None:
                try:
                    given[name] = read(told[name])
                except (ValueError, TypeError, AttributeError, OverflowError):
                    raise ValueError(
                        f"{name} is {_short(told[name])}, which it cannot be"
                    ) from None
        return cls(**given)

    def __str__(self) -> str:
        if self.kind is Kind.DECISION:
            return self._line(
                decision_word(self),
                [
                    ("country", self.country),
                    ("reason", self.reason),
                    ("rule", self.rule and escaped(self.rule)),
                    *_listed("counted", self.counted),
                    ("code", self.code),
                    ("network" if is_network(self.address) else "address", self.address),
                    ("client", self.client),
                    ("data", self.data),
                    *_listed("stale", self.stale),
                    ("method", None if self.method is None else escaped(self.method)),
                    ("path", None if self.path is None else escaped(self.path)),
                    *(() if self.request is None else (("request", self.request),)),
                    *(() if self.sampled is None else (("sampled", f"{self.sampled:g}"),)),
                ],
            )
        return self._line(
            "flagged" if self.kind is Kind.FLAGGED else f"{self.count} {decision_word(self)}",
            [
                ("country", self.country),
                ("reason", self.reason),
                ("rule", self.rule and escaped(self.rule)),
                *_listed("counted", self.counted),
                ("code", self.code),
                *(() if self.account is None else (("account", escaped(self.account)),)),
            ],
        )

    def _line(self, word: str, told: list[tuple[str, object]]) -> str:
        if self.suppressed:
            told = [*told, ("suppressed", self.suppressed)]
        return " ".join(
            [word, *(f"{name}={'-' if value is None else value}" for name, value in told)]
        )


def decision_word(event: Event) -> str:
    """Return what was decided, as a participle, such as ``"dry-run blocked"``."""
    word = {"block": "blocked", "warn": "warned", "allow": "allowed"}[event.would or event.action]
    if event.emergency:
        return f"emergency {word}"
    if event.would is not None:
        return f"dry-run {word}"
    return "counted" if event.counted and event.action is Action.ALLOW else word


def keyed(text: str, key: bytes, *, of: Literal["account", "address"] = "account") -> str:
    """Return the 32 hexadecimal digits that stand for an account, or an address, in events.

    They are of HMAC-SHA-256 (RFC 2104), so that nobody without the key can find out whose they are,
    or try. Of an address, give the text that ``str`` of an ``ipaddress`` object returns. The same
    text has other digits as an account than as an address.

    >>> keyed("ada@example.com", b"sixteen bytes at least")
    '30552af984494a10f7e69268e4fb1737'
    """
    message = f"georestrict {of}\0{text}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_KEYED_LENGTH]


def escaped(text: str) -> str:
    """Return text from outside as a quoted ASCII string of bounded length."""
    return json.dumps(text[:LONGEST_TEXT])


def cut(text: str) -> str:
    """Return text from outside of bounded length, in which each character is one.

    Halves of a character (lone surrogates), which servers make of broken bytes, are ``?``: many
    readers of JSON refuse the whole line for one.
    """
    return whole(text[:LONGEST_TEXT])


def whole(text: str) -> str:
    """Return text in which halves of a character are ``?``, for those who write UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def as_text(time: datetime) -> str:
    """Return a time as RFC 3339 writes it, in UTC and with microseconds."""
    told = time.astimezone(UTC).isoformat(timespec="microseconds")
    return told.removesuffix("+00:00") + "Z"


def is_network(address: str | None) -> bool:
    """Return whether what an event tells of an address is a network, or nothing."""
    return address is None or "/" in address


def _listed(name: str, values: tuple[str, ...]) -> list[tuple[str, object]]:
    return [(name, escaped(",".join(values)))] if values else []


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(item) for item in value)


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < inf:
        raise TypeError
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.utcoffset() is None:
        raise ValueError
    return time.astimezone(UTC)


def _categories(value: Any) -> dict[Category, Confidence]:
    return {Category(name): Confidence(sure) for name, sure in value.items()}


_READERS: dict[str, Callable[[Any], Any]] = {
    "time": _time,
    "kind": Kind,
    "action": Action,
    "reason": Reason,
    "count": _number,
    "would": Action,
    "emergency": _flag,
    "code": Code,
    "counted": _texts,
    "status": Status,
    "categories": _categories,
    "lists": _texts,
    "stale": _texts,
    "client": AddressReason,
    "data": lambda value: date.fromisoformat(_text(value)),
    "sampled": _weight,
    "suppressed": _number,
}
_NAMES = [each.name for each in fields(Event)]
_READERS |= {name: _text for name in _NAMES if name not in _READERS}
_ALWAYS = ("time", "kind", "action", "reason", "count")
