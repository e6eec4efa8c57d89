"""The JSON Schema of a policy file, with which editors complete and check it.

It is made from the words that the reader knows; a word without a description here is an error. It
accepts every valid policy. What no schema can say, such as that a list is defined, only
``georestrict policy check`` finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from georestrict.countries import NAMES
from georestrict.groups import CONTINENTS, GROUPS
from georestrict.networks import Category, Confidence
from georestrict.policy import reader
from georestrict.policy.accounts import KEYS, MOST_SIGHTINGS
from georestrict.policy.cases import CASE_KEYS, EXPECTED, WITHOUT_COUNTRY
from georestrict.policy.checks import PROTOCOLS
from georestrict.policy.limits import OF_COUNTRIES, OF_OTHERS
from georestrict.policy.responses import FORM_KEYS, SUBJECTS, TEXT_KEYS, ResponseType
from georestrict.policy.rules import DECIDED, Action
from georestrict.policy.values import Fallback
from georestrict.policy.words import CHECKS, WHERE

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string", "minLength": 1}
_FLAG: _Schema = {"type": "boolean"}
_NAME: _Schema = {"type": "string", "pattern": r"\S"}
_TIME: _Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)$",
}
_CONTACT: _Schema = {"type": "string", "pattern": r"^(https://|mailto:)\S+$", "minLength": 12}
_LINK: _Schema = {"type": "string", "pattern": r"^https://\S+$"}
_PATH: _Schema = {
    "type": "string",
    "pattern": r"^(?!.*//)(?!.*/\.\.?(/|$))/[^?#%;\\\x00-\x1f\x7f]*$",
}
_TOKEN: _Schema = {"type": "string", "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
_METHOD: _Schema = {"type": "string", "pattern": _TOKEN["pattern"].replace("*", "", 1)}


def _any_case(codes: Any) -> str:
    """Return an expression for codes in capitals or not."""
    spelled = (
        "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in code) for code in codes
    )
    return f"^({'|'.join(spelled)})$"


def _words(codes: Any, *, any_case: bool = False) -> _Schema:
    """Return one of some words, which an editor offers in the spelling that is given."""
    offered: _Schema = {"enum": [str(code) for code in codes]}
    spelled: _Schema = {"type": "string", "pattern": _any_case(codes)}
    return {"anyOf": [offered, spelled]} if any_case else offered


def _array(entry: _Schema) -> _Schema:
    return {"type": "array", "items": entry, "minItems": 1}


def _table(properties: dict[str, _Schema], *required: str) -> _Schema:
    table: _Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return table | {"required": list(required)} if required else table


def _named(entry: _Schema) -> _Schema:
    """Return tables under names of their owner's choice."""
    return {"type": "object", "additionalProperties": entry, "minProperties": 1}


def _if(key: str, values: Sequence[str | int], then: _Schema) -> _Schema:
    """Return what holds where a key is there with one of some values."""
    return {
        "if": {"properties": {key: {"enum": [*values]}}, "required": [key]},
        "then": then,
    }


def _without(*keys: str) -> _Schema:
    return {"properties": dict.fromkeys(keys, False)}


def _told(schema: _Schema, description: str) -> _Schema:
    return {"description": description, **schema}


_COUNTRY = _words(NAMES, any_case=True)
_COUNTRY_OR_GROUP: _Schema = {
    "type": "string",
    "anyOf": [{"enum": [*NAMES, *GROUPS]}, {"pattern": _any_case([*NAMES, *GROUPS])}],
}
_SUBDIVISION: _Schema = {"type": "string", "pattern": r"^[A-Za-z]{2}-[A-Za-z0-9]{1,3}$"}
_CATEGORY = _words(
    [
        *map(str, Category),
        *(f"{category}:{confidence}" for category in Category for confidence in Confidence),
    ],
    any_case=True,
)
_CATEGORY_ALONE = _words(Category, any_case=True)
_DURATION: _Schema = {"type": "string", "pattern": "^[1-9][0-9]{0,5}[hdw]$"}
_PLACE: _Schema = {"$ref": "#/$defs/country_or_group"}
_ACCOUNT: dict[str, _Schema] = {
    "countries": _told(_array(_PLACE), "In one of these countries, or groups."),
    "outside": _told(_array(_PLACE), "In any country but these."),
    "more_than": _told(
        {"type": "integer", "minimum": 0, "maximum": MOST_SIGHTINGS - 1}, "How many countries."
    ),
    "categories": _told(
        _array(_CATEGORY_ALONE),
        "Only what was seen through such networks; else only what was seen in ordinary networks, "
        "and through relays.",
    ),
    "within": _told(_DURATION, "How far back, such as 14d."),
}
_SEEN_IN = _table({key: _ACCOUNT[key] for key in KEYS["account_seen_in"]}, "within") | {
    "anyOf": [{"required": [key]} for key in ("countries", "outside", "categories")],
    "not": {"required": ["countries", "outside"]},
}
_MANY_COUNTRIES = _table(
    {key: _ACCOUNT[key] for key in KEYS["account_countries"]}, "more_than", "within"
)
_ASN: _Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": (1 << 32) - 1},
        {"type": "string", "pattern": "^([Aa][Ss])?[0-9]{1,10}$"},
    ]
}
_WORDS: dict[str, _Schema] = {
    "countries": _told(
        _array(_COUNTRY_OR_GROUP), "Countries (ISO 3166-1 alpha-2, XK), and groups such as @eu."
    ),
    "subdivisions": _told(_array(_SUBDIVISION), "Subdivisions (ISO 3166-2), such as UA-43."),
    "continents": _told(_array(_words(CONTINENTS, any_case=True)), "Continents, as GeoNames has."),
    "categories": _told(
        _array(_CATEGORY),
        "What the network is for; medium confidence or better, if none is stated.",
    ),
    "lists": _told(_array(_NAME), "Lists that are defined under [lists.NAME]."),
    "networks": _told(_array(_TEXT), "Networks: CIDR, one address, or first-last."),
    "asns": _told(_array(_ASN), "AS numbers: 64500 or AS64500."),
    "hosts": _told(_array(_TEXT), "Hosts without port; *.example.com is everything below."),
    "paths": _told(
        _array(_PATH), "Paths: /a is exactly that, /a/* that and all below; any other * globs."
    ),
    "methods": _told(_array(_METHOD), "Request methods."),
    "protocols": _told(_array(_words(PROTOCOLS)), "Protocols."),
    "credentials": _told(_array(_NAME), "Credentials defined under [credentials.NAME]."),
    "attributes": _told(
        _named(_array({"type": "string"})),
        'What the app says of the request: customer = ["eligible"].',
    ),
    "account_seen_in": _told(_SEEN_IN, "The account was seen there lately."),
    "account_countries": _told(_MANY_COUNTRIES, "The account was in so many countries lately."),
}
_EXCEPTION = _table({word: _WORDS[word] for word in CHECKS}) | {"minProperties": 1}
_RULE: dict[str, _Schema] = {
    "name": _told(_NAME, "A unique name, which appears in logs."),
    "action": _told(_words(Action), "What happens; count tells it and tries the next rule."),
    "warn_from": _told(_TIME, "From when on it warns; before, it allows."),
    "block_from": _told(_TIME, "From when on it blocks."),
    "until": _told(_TIME, "From then on the rule does not match."),
    "response": _told(_NAME, "The form of the response: a built-in, or one of [responses.NAME]."),
    **_WORDS,
    "unless": _told(
        {"anyOf": [_EXCEPTION, _array(_EXCEPTION)]}, "Exceptions: a table of words, or several."
    ),
}
_LIST: dict[str, _Schema] = {
    "path": _told(
        _TEXT, "The file with the networks, or a folder of such files, from the policy's folder."
    ),
    "allow_empty": _told(_FLAG, "Whether it may have no network."),
    "stale_after": _told(_DURATION, "How old its oldest file may grow, such as 7d."),
    "stale_action": _told(_words(OF_OTHERS), "What follows: rules ignore it, or it is kept."),
}
_CATEGORY_LIMIT: dict[str, _Schema] = {
    "stale_after": _told(_DURATION, "How old what is known of it may grow, such as 14d."),
    "stale_action": _told(_words(OF_OTHERS), "What follows: rules ignore it, or it is kept."),
}
_LIMIT: _Schema = {
    "if": {"required": ["stale_action"]},
    "then": {"required": ["stale_after"]},
}
_CREDENTIAL: dict[str, _Schema] = {
    "header": _told(_TOKEN, "The header in which it is shown."),
    "sha256": _told(
        _array({"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}), "SHA-256 of its whole values."
    ),
    "until": _told(_TIME, "From then on it does not hold."),
}
_BY_SUBJECT: _Schema = {
    "anyOf": [_TEXT, _table(dict.fromkeys(SUBJECTS, _TEXT)) | {"minProperties": 1}]
}
_TEXTS: dict[str, _Schema] = {
    "title": _told(_TEXT, "The page's heading."),
    "title_unavailable": _told(
        _TEXT, "The same, for 503 and for account_location_restricted: not about where it is now."
    ),
    "notice": _told(_TEXT, "A text of your own, such as what becomes of the client's data."),
    "legal": _told(_TEXT, "The explanation of a 451."),
    "heading_why": _told(_TEXT, "The heading over why."),
    "heading_code": _told(_TEXT, "The heading over status and code."),
    "heading_request": _told(_TEXT, "The heading over the request's id."),
    "contact_us": _told(_TEXT, "The link to contact."),
    "go_elsewhere": _told(_TEXT, "The link to alternate."),
    "who_blocks": _told(_TEXT, "The link to blocked_by."),
    "message": _told(_BY_SUBJECT, "What happened; {country} stands for the country."),
    "why": _told(_BY_SUBJECT, "Why; {country} stands for the country."),
    "countries": _told(
        {
            "type": "object",
            "propertyNames": {"pattern": _any_case(NAMES)},
            "additionalProperties": _TEXT,
            "minProperties": 1,
        },
        "Names of countries in this language.",
    ),
}
_FORM: dict[str, _Schema] = {
    "type": _told(_words(ResponseType), "What kind of response."),
    "status": _told({"enum": [302, 303, 403, 451]}, "The status, if not the usual one."),
    "location": _told(_LINK, "Where a redirect leads."),
    "blocked_by": _told(_LINK, "Who implements the block, for status 451 (RFC 7725)."),
    "alternate": _told(_LINK, "Where to go instead."),
    "contact": _told(_CONTACT, "A link that this response shows."),
    "show_country": _told(_FLAG, "Whether the country is shown."),
    "request_id": _told(_FLAG, "Whether an id of the request is shown."),
    "language": _told(_TEXT, "The language for clients who prefer none of the texts."),
    "texts": _told(
        _named(_table({key: _TEXTS[key] for key in TEXT_KEYS}) | {"minProperties": 1}),
        "Texts by language.",
    ),
}
_JOINT_FORM = [
    _if("type", ["redirect"], {"required": ["location"]}),
    _if(
        "type",
        [each for each in map(str, ResponseType) if each != "redirect"],
        _without("location"),
    ),
    _if("type", ["rfc7725"], {"required": ["blocked_by"]}),
    _if("status", [451], {"required": ["blocked_by"]}),
    _if("type", ["json", "html"], {"properties": {"status": {"enum": [403, 451]}}}),
    _if("type", ["rfc7725"], {"properties": {"status": {"enum": [451]}}}),
    _if("type", ["redirect"], {"properties": {"status": {"enum": [302, 303]}}}),
    _if("type", ["app"], _without("status")),
    _if("status", [302, 303, 403], _without("blocked_by")),
]
_FORM_TABLE = _table(
    {key: _FORM[key] for key in FORM_KEYS} | {key: _TEXTS[key] for key in TEXT_KEYS}
) | {"allOf": _JOINT_FORM}
# a country, and the category through which
_SIGHTING = f"{_any_case(NAMES)[:-1]}(:{_any_case(map(str, Category))[1:-1]})?$"
_CASE: dict[str, _Schema] = {
    "expect": _told(_words(EXPECTED), "What the policy must say."),
    "name": _told(_NAME, "What the case is about."),
    "address": _told(_TEXT, "Where from: an address, of which the data tells the rest."),
    "country": _told(_COUNTRY, "Where from: a country; beside an address, what the data must say."),
    "case": _told(_words(WITHOUT_COUNTRY), "Where from: an address without a country."),
    "subdivision": _told(_SUBDIVISION, "Where from: a subdivision of the country."),
    "categories": _told(_array(_CATEGORY), "What the network is for."),
    "lists": _told(_array(_NAME), "The lists that hold the address."),
    "asn": _told(_ASN, "The AS number that announces the address."),
    "path": _told({"type": "string", "pattern": r"^/[^?]*$"}, "The path; without, /."),
    "method": _told(_METHOD, "The method; without, GET."),
    "host": _told(_TEXT, "The host."),
    "protocol": _told(_words(PROTOCOLS), "The protocol; without, http."),
    "at": _told(_TIME, "The time to judge by; without, now."),
    "headers": _told(
        {
            "type": "object",
            "propertyNames": _TOKEN,
            "additionalProperties": {"type": "string"},
        },
        "Headers.",
    ),
    "attributes": _told(
        {"type": "object", "additionalProperties": {"type": "string"}}, "What the app says."
    ),
    "credentials": _told(_array(_NAME), "Credentials that the request is supposed to show."),
    "account_seen_in": _told(
        {
            "type": "object",
            "propertyNames": {"pattern": _SIGHTING},
            "additionalProperties": _DURATION,
            "minProperties": 1,
        },
        'How long ago the account was seen where: { CN = "3d", "IR:hosting" = "2w" }.',
    ),
    "rule": _told(_NAME, "The rule that must decide."),
    "reason": _told(_NAME, "The reason that must be given."),
    "code": _told(_NAME, "The code that the client must be told."),
    "status": _told({"type": "integer", "minimum": 200, "maximum": 599}, "The status."),
}
_CASES = {
    Fallback.UNKNOWN: "For a public address in no country.",
    Fallback.PRIVATE: "For an address that is not globally reachable.",
    Fallback.UNRESOLVED: "Where there is no trustworthy client address.",
    Fallback.NO_DATA: "Where there is no usable database, or it is past stale_after.",
}
_POLICY: dict[str, _Schema] = {
    "default": _told(_words(("allow", "block")), "What happens when no rule matches."),
    "mode": _told(_words(reader.MODES), "dry-run decides and tells, and enforces nothing."),
    "contact": _told(_CONTACT, "A link that blocked clients are shown."),
    "response": _RULE["response"],
    "paths_ignore_case": _told(
        _FLAG, "Whether blocking rules match paths in any case, as the app's routes do."
    ),
    "stale_after": _told(_DURATION, "The hard limit of the country data's age, such as 90d."),
    "stale_action": _told(
        _words(OF_COUNTRIES), "What follows: no address has a country, a warning, or it is kept."
    ),
    "warn_after": _told(_DURATION, "The age from which on the log warns, such as 45d."),
    "emergency_file": _told(_TEXT, "While this file exists, blocks are warnings."),
    "fallback": _told(
        _table({str(case): _told(_words(DECIDED), _CASES[case]) for case in Fallback})
        | {"minProperties": 1},
        "What happens where there is no country to judge by.",
    ),
    "categories": _told(
        _table(
            {
                str(category): _told(
                    _table(
                        {key: _CATEGORY_LIMIT[key] for key in reader.CATEGORY_KEYS}, "stale_after"
                    ),
                    f"How old what is known of {category} may grow.",
                )
                for category in Category
            }
        )
        | {"minProperties": 1},
        "How old what is known of a category may grow.",
    ),
    "lists": _told(
        _named(_table({key: _LIST[key] for key in reader.LIST_KEYS}, "path") | _LIMIT),
        "Lists of networks.",
    ),
    "credentials": _told(
        _named(_table({k: _CREDENTIAL[k] for k in reader.CREDENTIAL_KEYS}, "header", "sha256")),
        "What partners and staff show.",
    ),
    "responses": _told(
        _named(_FORM_TABLE),
        "Forms of the response to blocked clients.",
    ),
    "rules": _told(
        _array(
            _table({key: _RULE[key] for key in reader.RULE_KEYS}, "name")
            | {
                "allOf": [
                    _if("action", ["allow", "count"], _without("response")),
                    {
                        "if": {"required": ["action"]},
                        "then": {"properties": {"warn_from": False, "block_from": False}},
                        "else": {
                            "anyOf": [{"required": ["warn_from"]}, {"required": ["block_from"]}]
                        },
                    },
                    {
                        "if": {
                            "properties": {"action": {"const": "allow"}},
                            "required": ["action"],
                        },
                        "then": {"anyOf": [{"required": [word]} for word in CHECKS]},
                        "else": {"anyOf": [{"required": [word]} for word in WHERE]},
                    },
                ]
            }
        ),
        "Rules; the first that matches decides.",
    ),
    "tests": _told(
        _array(
            _table({key: _CASE[key] for key in CASE_KEYS}, "expect")
            | {
                "anyOf": [
                    {"required": [key]} for key in ("address", "country", "case", "subdivision")
                ],
                "allOf": [
                    _if("case", WITHOUT_COUNTRY, _without("address", "country", "subdivision")),
                    _if("case", ["unresolved"], _without("categories", "lists", "asn")),
                    {
                        "if": {"required": ["address"]},
                        "then": _without("subdivision", "categories", "lists", "asn"),
                    },
                ],
            }
        ),
        "Cases that georestrict policy test tries.",
    ),
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a policy file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "georestrict policy",
        "description": "Which requests are allowed, warned or blocked, by where they come from.",
        **_table({key: _POLICY[key] for key in reader.POLICY_KEYS}, "default"),
        **_LIMIT,
        "$defs": {"country_or_group": _COUNTRY_OR_GROUP},
    }
