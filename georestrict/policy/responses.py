"""Forms of a response: what an owner says about how blocked clients are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from georestrict.policy import checks

#: The forms that need no table.
BUILT_IN = ("json", "html")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseForm:
    """How blocked clients are told."""

    type: str = "json"


def checked_forms(tables: Any, key: str) -> dict[str, ResponseForm]:
    """Return the forms of the tables under ``[responses]``."""
    checks.table(tables, key)
    checks.not_empty(tables, key, "[responses.NAME] with a type")
    forms = {}
    for name, entry in tables.items():
        place = f"{key}.{checks.name(name, key)}"
        checks.table(entry, place, ("type",))
        kind = checks.word(entry.get("type", name), f"{place}.type", BUILT_IN)
        forms[name] = ResponseForm(type=kind)
    return forms
