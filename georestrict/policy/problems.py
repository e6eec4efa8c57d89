"""Everything that is wrong with a policy file at once, each with its line.

Reading a policy stops at what is wrong first. Here that is noted and put out of the way, and the
rest is read again, until nothing is left. What is only wrong because something else has been put
out of the way is not told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from georestrict.errors import ConfigurationError
from georestrict.policy.places import line_of, walked, written
from georestrict.policy.reader import from_mapping
from georestrict.tomllines import KeyPath

#: As many as anybody reads; a file with more is of another kind.
MOST = 100
_MOST_READINGS = 10 * MOST
_MISSING = re.compile(r"\.?([a-z0-9_]+): is missing")
_UNDEFINED = re.compile(r": (list|credential|response) .* is not defined")
# What may stand there instead of a key that is missing.
_INSTEAD = {
    "action": ("warn_from", "block_from"),
    "country": ("address", "case", "subdivision"),
}
# What stands in for what was wrong, so that the rest can be read.
_VALUES: dict[str, Any] = {
    "default": "block",
    "action": "warn",
    "header": "X",
    "sha256": ["0" * 64],
    "path": "-",
    "expect": "block",
    "country": "DE",
    "within": "14d",
    "more_than": 3,
    "stale_after": "90d",
}
_TABLES: dict[str, dict[str, Any]] = {
    "categories": {"stale_after": "90d"},
    "lists": {"path": "-"},
    "credentials": {"header": "X", "sha256": ["0" * 64]},
    "responses": {"type": "json"},
    "rules": {"action": "allow", "paths": ["/"]},
    "tests": {"country": "DE", "expect": "block"},
}


class Problem(NamedTuple):
    """What is wrong, and where."""

    line: int | None  #: None if it is nowhere, as a key that is missing
    message: str  #: begins with the key


class _Entries(list[Any]):
    """An array that keeps the places of its entries when one is taken out."""

    def __init__(self, entries: list[Any]) -> None:
        super().__init__(entries)
        self.places = list(range(len(entries)))

    def take_out(self, at: int) -> None:
        del self[at], self.places[at]


def find(document: Mapping[str, Any], folder: Path, lines: Mapping[KeyPath, int]) -> list[Problem]:
    """Return what is wrong with a policy, in the order of its lines; nothing if it is valid.

    ``lines`` tells where the keys of the document stand, and ``folder`` where its paths start.
    """
    rest = _copied(document)
    problems: list[Problem] = []
    removed: set[KeyPath] = set()
    for _ in range(_MOST_READINGS):
        try:
            from_mapping(rest, "", folder)
        except ConfigurationError as error:
            message = str(error).removeprefix(": ")
        else:
            break
        at, end = walked(message, rest)
        path, tail = _original(rest, at), message[end:]
        missing = _MISSING.match(tail)
        wrong = (*path, missing[1]) if missing else path
        if not _follows(wrong, tail, removed):
            shown = path[:-1] if tail.startswith(": unknown key ") else path
            told = written(shown, document) + tail if shown else message
            problems.append(Problem(line_of(path, lines), told))
        removed.add(wrong)
        if len(problems) == MOST or not _mended(rest, at, missing[1] if missing else None):
            break
    return sorted(problems, key=lambda problem: problem.line or 0)


def _follows(wrong: KeyPath, tail: str, removed: Set[KeyPath]) -> bool:
    """Whether something is only wrong because of what has been put out of the way."""
    undefined = _UNDEFINED.match(tail)
    instead = _INSTEAD.get(str(wrong[-1]), ()) if wrong and _MISSING.match(tail) else ()
    return (
        any(gone[: len(wrong)] == wrong for gone in removed)
        or any((*wrong[:-1], key) in removed for key in instead)
        or (wrong[-1:] == ("stale_action",) and (*wrong[:-1], "stale_after") in removed)
        or (undefined is not None and (f"{undefined[1]}s",) in removed)
    )


def _mended(document: dict[str, Any], at: KeyPath, missing: str | None) -> bool:
    """Put what is wrong out of the way, or what is missing there; return whether that is done."""
    if missing in _VALUES:
        _at(document, at)[missing] = _VALUES[missing]
    elif missing == "name" or at[0:1] + at[2:] == ("rules", "name"):
        _at(document, at[:2])["name"] = f"rules[{int(at[1]) + 1}]"  # no other rule is called so
    elif len(at) == 2 and at[0] in _TABLES:
        named = _at(document, at)
        stand_in = dict(_TABLES[str(at[0])])
        if at[0] == "rules":
            unnamed = f"rules[{int(at[1]) + 1}]"
            stand_in["name"] = named.get("name", unnamed) if isinstance(named, Mapping) else unnamed
        _at(document, at[:1])[at[1]] = stand_in
    elif at:
        parent = _at(document, at[:-1])
        if isinstance(parent, _Entries):
            parent.take_out(int(at[-1]))
            if not parent:
                return _mended(document, at[:-1], None)
        else:
            del parent[at[-1]]
    return bool(at or missing)


def _copied(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    return _Entries([_copied(value) for value in node]) if isinstance(node, list) else node


def _at(document: Any, path: KeyPath) -> Any:
    for step in path:
        document = document[step]
    return document


def _original(document: Any, path: KeyPath) -> KeyPath:
    """Return a way with the places that entries had in the file."""
    original: KeyPath = ()
    for step in path:
        place = document.places[int(step)] if isinstance(document, _Entries) else step
        original, document = (*original, place), document[step]
    return original
