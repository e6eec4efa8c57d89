"""The reference of the policy language, made from its JSON Schema.

``python -m docs.policy_reference`` writes docs/policy-reference.md; a test holds the page against
the schema, and the schema is made from the words that the reader of policies knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_Schema = dict[str, Any]

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "docs/policy.schema.json"
PAGE = ROOT / "docs/policy-reference.md"

_HEAD = """\
# Policy reference

Every key of a policy file, what it takes, and whether it must be there. This page is made from
[policy.schema.json](policy.schema.json) by `python -m docs.policy_reference`;
[The policy](policy.md) says what the words mean, with examples. Where a table of TOML is meant, its
keys have a section of their own.

Which keys go together is told there, too. `georestrict policy check` finds what does not, and what
no schema can tell, such as whether a list that a rule names is defined.
"""

#: Where the page about the policy, or another, tells more of a section.
_MORE = {
    "[fallback]": "policy.md#where-there-is-no-country",
    "[categories.NAME]": "policy.md#how-old-the-data-may-grow",
    "[lists.NAME]": "policy.md#lists",
    "[credentials.NAME]": "policy.md#credentials",
    "[responses.NAME]": "responses.md#keys-of-a-response",
    "[responses.NAME.texts.LANGUAGE]": "responses.md#texts-and-languages",
    "[[rules]]": "policy.md#rules",
    "account_seen_in": "policy.md#accounts",
    "account_countries": "policy.md#accounts",
    "[[tests]]": "policy.md#tests-of-a-policy",
}

#: What patterns stand for; a pattern that is not here is an error, so that none is left unsaid.
_PATTERNS = {
    r"^(https://|mailto:)\S+$": "a link: `https://…` or `mailto:…`",
    r"^https://\S+$": "a link: `https://…`",
    "^[1-9][0-9]{0,5}[hdw]$": "a time span: hours, days or weeks, such as `36h`, `14d`, `12w`",
    r"^\d{4}-": "a time with its offset, such as `2026-12-01T00:00:00Z`",
    r"\S": "text",
    "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$": "the name of a header",
    "^[!#$%&'+.^_`|~0-9A-Za-z-]+$": "a method, such as `POST`",
    "^[0-9A-Fa-f]{64}$": "64 hexadecimal digits",
    "^[A-Za-z]{2}-[A-Za-z0-9]{1,3}$": "an ISO 3166-2 code, such as `US-CA`",
    "^([Aa][Ss])?[0-9]{1,10}$": "`AS64500`",
    r"^(?!.*//)": "a path, such as `/a`, `/a/*`",
    r"^/[^?]*$": "a path, as it is sent",
}
_COUNTRIES = "a country code (ISO 3166-1 alpha-2, or `XK`)"
_LONGEST_CHOICE = 12  # of words that are listed one by one


def page(schema: _Schema) -> str:
    """Return the page for a schema."""
    return "\n".join([_HEAD, _section("The file", schema, schema), *_tables(schema)])


def _tables(schema: _Schema) -> Iterator[str]:
    """Yield the sections of the tables below the top, in the order of their keys."""
    for key, value in schema["properties"].items():
        below = value.get("properties", {})
        shapes = [each for each in below.values() if "properties" in each]
        if shapes:  # all alike, under names that are given
            named = f"The name is {_choice([*below])}."
            yield _section(f"[{key}.NAME]", {**shapes[0], "description": named}, schema)
        elif below:
            yield _section(f"[{key}]", value, schema)
        elif "additionalProperties" in value:
            each = value["additionalProperties"]
            yield _section(f"[{key}.NAME]", {**value, **each}, schema)
            for name, inner in each["properties"].items():
                if "properties" in inner.get("additionalProperties", {}):
                    texts = {**inner, **inner["additionalProperties"]}
                    yield _section(f"[{key}.NAME.{name}.LANGUAGE]", texts, schema)
        elif value.get("type") == "array":
            yield _section(f"[[{key}]]", {**value, **value["items"]}, schema)
            for word, inner in value["items"]["properties"].items():
                if "properties" in inner:
                    yield _section(word, inner, schema, of=" of a rule")


def _section(title: str, table: _Schema, schema: _Schema, of: str = "") -> str:
    """Return a heading, what the table is for, and the rows of its keys."""
    top = table is schema
    lines = [f"## {title if top else f'`{title}`'}{of}", ""]
    more = [f"[More]({_MORE[title]})."] if title in _MORE else []
    if not top:
        lines += [" ".join([table["description"], *more]), ""]
    lines += ["| key | takes | meaning |", "|---|---|---|"]
    for key, value in table["properties"].items():
        needed = "**required**; " if key in table.get("required", ()) else ""
        lines.append(f"| `{key}` | {needed}{_takes(value, schema)} | {value['description']} |")
    return "\n".join([*lines, ""])


def _takes(value: _Schema, schema: _Schema) -> str:
    """Return in words which values a key takes.

    Raises:
        ValueError: if the schema says something that this page cannot tell.
    """
    if "$ref" in value:
        return _takes(schema["$defs"][value["$ref"].rpartition("/")[2]], schema)
    if "enum" in value:
        return _choice(value["enum"])
    if "anyOf" in value and "properties" not in value:
        return _any_of(value["anyOf"], schema)
    kind = value.get("type")
    if kind == "array":
        each = _takes(value["items"], schema)
        return "an array of tables" if each == "a table" else f"an array: {each}"
    if kind == "object":
        return _table(value, schema)
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "integer":
        return f"a whole number, {value['minimum']:,} to {value['maximum']:,}"
    if kind == "string":
        return _pattern(value["pattern"]) if "pattern" in value else "text"
    raise ValueError(f"{SCHEMA.name}: this page cannot tell {json.dumps(value)[:200]}")


def _table(value: _Schema, schema: _Schema) -> str:
    if "properties" in value:
        plain = all(each.get("type") == "string" for each in value["properties"].values())
        named = _choice([*value["properties"]]) if plain else ""
        return f"a table: {named} = text" if plain else "a table"
    each = value["additionalProperties"]
    if "properties" in each:
        return "tables under names of your choice"
    named = _pattern(value["propertyNames"]["pattern"]) if "propertyNames" in value else "a name"
    return f"a table: {named} = {_takes(each, schema)}"


def _any_of(each: list[_Schema], schema: _Schema) -> str:
    """Return a choice of values in words; that words may be in any case is not told again."""
    told = [_takes({"type": "string", **one}, schema) for one in each if not _any_case(one)]
    return ", or ".join(dict.fromkeys(told))


def _any_case(value: _Schema) -> bool:
    """Whether it is the pattern of words in any case, which are listed beside it."""
    return value.get("pattern", "").startswith("^([") and value["pattern"] not in _PATTERNS


def _choice(words: list[Any]) -> str:
    if {"FR", "KP", "US"} <= {*words}:
        return _COUNTRIES + (", or a group, such as `@eu`" if "@eu" in words else "")
    if len(words) > _LONGEST_CHOICE:
        plain = [word for word in words if ":" not in word]
        return _choice(plain) + ", each also with a confidence, such as `vpn:high`"
    spelled = [f'`"{word}"`' if isinstance(word, str) else f"`{word}`" for word in words]
    return " or ".join([", ".join(spelled[:-1]), spelled[-1]]) if spelled[1:] else spelled[0]


def _pattern(pattern: str) -> str:
    if "[Aa][Dd]" in pattern:
        return _COUNTRIES + (
            ", also with a category, such as `IR:hosting`" if ":" in pattern else ""
        )
    for known, told in _PATTERNS.items():
        if pattern == known or (len(known) > 3 and pattern.startswith(known)):
            return told
    raise ValueError(f"{SCHEMA.name}: this page cannot tell the pattern {pattern[:200]}")


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(SCHEMA.read_text(encoding="utf-8"))), encoding="utf-8")
