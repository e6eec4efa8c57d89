"""JSON documents (RFC 8259), read with errors that name the place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from georestrict.errors import FormatError
from georestrict.sources.entry import Entry, shown


class Node(NamedTuple):
    """A value in a document, and where it stands."""

    value: object
    file: str
    path: str = ""

    @property
    def place(self) -> str:
        """The file, and the path in it."""
        return f"{self.file}: {self.path}" if self.path else self.file

    def names(self) -> list[str]:
        """Return the keys of an object."""
        return [*self._object()]

    def has(self, key: str) -> bool:
        """Tell whether this is an object with such a key that is not null."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def at(self, key: str) -> Node:
        """Return what an object has under a key, which must be there."""
        found = self._object()
        if key not in found:
            raise FormatError(
                f"{self.place}: {key!r} is missing, there is {shown([*found])}; "
                "fetch the file again"
            )
        return Node(found[key], self.file, f"{self.path}.{key}" if self.path else key)

    def each(self) -> Iterator[Node]:
        """Yield the items of a list."""
        if not isinstance(self.value, list):
            raise self._wrong("a list")
        for number, item in enumerate(self.value):
            yield Node(item, self.file, f"{self.path}[{number}]")

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.value, str):
            raise self._wrong("text")
        return self.value

    def texts(self, *keys: str) -> dict[str, tuple[str, ...]]:
        """Return what an object says in fields that it may leave out: a text each, or a list."""
        found = {}
        for key in keys:
            if self.has(key):
                node = self.at(key)
                listed = node.each() if isinstance(node.value, list) else (node,)
                found[key] = tuple(item.text() for item in listed)
        return found

    def entry(self, fields: dict[str, tuple[str, ...]]) -> Entry:
        """Return the entry whose network is this text."""
        return Entry(self.text(), self.place, fields)

    def _object(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        return self.value

    def _wrong(self, expected: str) -> FormatError:
        return FormatError(f"{self.place}: must be {expected}, is {shown(self.value)}")


class Shape(NamedTuple):
    """One provider's document: how it is known, what can be selected by, and how it is read."""

    mark: str  #: the path of what only this document has
    fields: tuple[str, ...]
    entries: Callable[[Node], Iterator[Entry]]

    def fits(self, document: Node) -> bool:
        """Tell whether a document is this provider's."""
        node = document
        for key in self.mark.split("."):
            if not node.has(key):
                return False
            node = node.at(key)
        return True


def load(data: bytes, name: str) -> Node:
    """Read a document.

    Raises:
        FormatError: if it is not UTF-8 or not JSON, naming the line; if it is nested too deep.
    """
    try:
        return Node(json.loads(decoded(data, name)), name)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{name}:{error.lineno}: not valid JSON: {error.msg} at column {error.colno}; "
            "fetch the file again"
        ) from error
    except RecursionError as error:
        raise FormatError(f"{name}: not valid JSON for us: nested too deep") from error
    except ValueError as error:  # a number of thousands of digits
        raise FormatError(f"{name}: not valid JSON for us: {error}") from error


def decoded(data: bytes, name: str) -> str:
    """Return the text of a file; a byte order mark is no part of it.

    Raises:
        FormatError: naming the line that is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{name}:{line}: not UTF-8 text; save it as UTF-8") from error
