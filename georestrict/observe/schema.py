"""The JSON Schema of an event, for those who read them."""

from __future__ import annotations

from typing import Any

from georestrict.address import AddressReason
from georestrict.decision import Code, Reason
from georestrict.location import Status
from georestrict.networks import Category, Confidence
from georestrict.observe.event import VERSION, Kind
from georestrict.policy import Action

_Schema = dict[str, Any]

_DECIDED = [Action.ALLOW.value, Action.WARN.value, Action.BLOCK.value]


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what ``Event.as_json`` returns.

    It allows further fields: later versions may have them, and readers should pass them by.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of georestrict",
        "description": "One line of the logger georestrict.events, as JsonLines writes it.",
        "type": "object",
        "required": ["event", "time", "kind", "action", "reason", "count"],
        "properties": _properties(),
        "allOf": [
            _if("decision", {"count": {"const": 1}}),
            _if("flagged", {"count": {"const": 0}}),
            _if("counts", {"count": {"minimum": 1}}),
        ],
    }


def _if(kind: str, then: _Schema) -> _Schema:
    return {"if": {"properties": {"kind": {"const": kind}}}, "then": {"properties": then}}


def _properties() -> dict[str, _Schema]:
    properties: dict[str, tuple[_Schema, str]] = {
        "event": ({"const": VERSION}, "The version of this form."),
        "time": (_time(), "When it was decided, in UTC."),
        "kind": (
            _words(Kind),
            "decision: one request. flagged: an account of which so many requests were blocked "
            "that the app was told. counts: how many more requests got a decision, without an "
            "event of their own, since the last such event.",
        ),
        "action": ({"enum": _DECIDED}, "What was enforced."),
        "reason": (_words(Reason), "What decided."),
        "count": (
            {"type": "integer", "minimum": 0},
            "The requests that the event stands for: their sum over all events is exact.",
        ),
        "would": (
            {"enum": _DECIDED},
            "What would have been enforced, were it no dry run, or the emergency switch off.",
        ),
        "emergency": ({"type": "boolean"}, "Whether the emergency switch made a block a warning."),
        "rule": (_text(), "The rule that decided."),
        "code": (_words(Code), "What the client was told, for its software."),
        "counted": (_texts(), "The count rules that matched before."),
        "country": (
            {"type": "string", "pattern": "^[A-Z]{2}$"},
            "The country in which the address appears to be (ISO 3166-1 alpha-2).",
        ),
        "status": (_words(Status), "Whether the address has a country, and if not, why."),
        "subdivision": (_text(), "Where in the country it appears to be (ISO 3166-2)."),
        "via": (_text(), "How the IPv6 address carries the IPv4 address that was judged."),
        "categories": (
            {
                "type": "object",
                "propertyNames": _words(Category),
                "additionalProperties": _words(Confidence),
            },
            "What the network is known to be used for, and how sure that is.",
        ),
        "lists": (_texts(), "The owner's lists that hold the address."),
        "stale": (_texts(), "What of this is past the policy's limit of age."),
        "address": (
            _text(),
            "The client: its /24 or /48 network, its address, or 32 hexadecimal digits for it.",
        ),
        "client": (_words(AddressReason), "How the client's address was found, or why it was not."),
        "account": (_text(), "The account: 32 hexadecimal digits for it, or as the app names it."),
        "data": ({"type": "string", "format": "date"}, "The date of the data about countries."),
        "policy": (_text(), "The policy file."),
        "snapshot": (
            {"type": "string", "pattern": "^[0-9a-f]{12}$"},
            "Digits that are the same wherever policy, lists and data say the same.",
        ),
        "request": (_text(), "The id that the client was told, else the one it came with."),
        "method": (_text(), "The request's method."),
        "host": (_text(), "The host that it is for."),
        "path": (_text(), "Its path, without the query."),
        "protocol": ({"enum": ["http", "websocket"]}, "What it speaks."),
        "route": (_text(), "Its path, with {} for numbers, ids and e-mail addresses."),
        "sampled": (
            {"type": "number", "minimum": 1},
            "Of a sampled allowed request: for how many allowed requests it stands.",
        ),
        "suppressed": (
            {"type": "integer", "minimum": 1},
            "Events that the limit left out since the last one was written.",
        ),
    }
    return {name: {**what, "description": why} for name, (what, why) in properties.items()}


def _words(words: Any) -> _Schema:
    return {"enum": [str(word) for word in words]}


def _text() -> _Schema:
    return {"type": "string"}


def _texts() -> _Schema:
    return {"type": "array", "items": _text(), "minItems": 1}


def _time() -> _Schema:
    return {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
