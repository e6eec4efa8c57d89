"""Where in a TOML file its keys stand, which ``tomllib`` does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

#: The way to a value: the keys of tables, and places in arrays, which count from 0.
KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})'
    r"|'''[\s\S]*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")  # a number, a boolean, a date, which may have a space in it


def lines(text: str) -> dict[KeyPath, int]:
    """Return the line of every key and every entry of an array; lines count from 1.

    A table stands where it is first named. The text must be valid TOML; of other text the answer
    means nothing.
    """
    return _Scan(text).found


class _Scan:
    """One walk through a text, which ``at`` leads."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[KeyPath, int] = {}
        self._ends = [mark.start() for mark in re.finditer("\n", text)]
        self._counts: dict[KeyPath, int] = {}  # of arrays of tables
        self._document()

    def _document(self) -> None:
        table: KeyPath = ()
        self._skip()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _header(self) -> KeyPath:
        started = self.at
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        *parents, last = self._key()
        self.at += 2 if is_array else 1
        path: KeyPath = ()
        for part in parents:
            path = self._into(path, part, started)
        if not is_array:
            return self._into(path, last, started)
        path = (*path, last)
        self._note(path, started)
        self._counts[path] = self._counts.get(path, 0) + 1
        path = (*path, self._counts[path] - 1)
        self._note(path, started)
        return path

    def _into(self, path: KeyPath, part: str, at: int) -> KeyPath:
        """Step into a table, or the last table of an array of them."""
        path = (*path, part)
        self._note(path, at)
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: KeyPath) -> None:
        started = self.at
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, started)
        self.at += 1  # the equals sign
        self._value(path)

    def _key(self) -> list[str]:
        """Read a key with dots up to the mark behind it."""
        parts = []
        while True:
            self._skip()
            quoted = _STRING.match(self.text, self.at)
            if quoted is not None:
                parts.append(str(tomllib.loads(f"key = {quoted[0]}")["key"]))
                self.at = quoted.end()
            else:
                bare = _BARE_KEY.match(self.text, self.at)
                if bare is None:
                    raise ValueError(f"not valid TOML at character {self.at}")
                parts.append(bare[0])
                self.at = bare.end()
            self._skip()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        self._skip()
        opened = self.text[self.at : self.at + 1]
        if opened not in ("[", "{"):
            scalar = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
            if scalar is None:
                raise ValueError(f"not valid TOML at character {self.at}")
            self.at = scalar.end()
            return
        self.at += 1
        place = 0
        self._skip()
        while self.text[self.at] not in "]}":
            if opened == "{":
                self._pair(path)
            else:
                self._note((*path, place), self.at)
                self._value((*path, place))
                place += 1
            self._skip()
            if self.text[self.at] == ",":
                self.at += 1
                self._skip()
        self.at += 1

    def _skip(self) -> None:
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at

    def _note(self, path: KeyPath, at: int) -> None:
        self.found.setdefault(path, bisect_left(self._ends, at) + 1)
