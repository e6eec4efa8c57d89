"""Places: the keys at which error messages begin, and where in a file they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from georestrict.tomllines import KeyPath

_ENTRY = re.compile(r"\[([0-9]+)\]")


def walked(message: str, document: Mapping[str, Any]) -> tuple[KeyPath, int]:
    """Follow the key at the beginning of a message through a document.

    Return the way that there is, and where in the message it ends.
    """
    path: KeyPath = ()
    node: Any = document
    at = len("the policy") if message.startswith("the policy:") else 0
    while True:
        step: str | int | None = None
        if isinstance(node, Mapping):
            dot = 1 if path and message.startswith(".", at) else 0
            if dot or not path:
                keys = [
                    key
                    for key in node
                    if message.startswith(key, at + dot)
                    and message[at + dot + len(key) :][:1] in (".", ":", "[", " ")
                ]
                step = max(keys, key=len, default=None)
                end = at + dot + len(step or "")
            for key in node:
                if message.startswith(f": unknown key {key!r}: ", at):
                    return (*path, key), at
        elif isinstance(node, list) and (entry := _ENTRY.match(message, at)):
            place = int(entry[1]) - 1
            step = place if place < len(node) else None
            end = entry.end()
        if step is None:
            return path, at
        path, node, at = (*path, step), node[step], end
        if isinstance(step, int) and isinstance(node, Mapping):
            title = f" ({node.get('name')})"
            at += len(title) if message.startswith(title, at) else 0


def written(path: KeyPath, document: Any) -> str:
    """Write a way as messages do."""
    text = ""
    for step in path:
        document = document[step]
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
        if path[0] == "rules" and text.count("[") == 1 and isinstance(step, int):
            name = document.get("name") if isinstance(document, Mapping) else None
            text += f" ({name})" if isinstance(name, str) and name.isprintable() else ""
    return text


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of a way, or of the nearest that stands above it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)
