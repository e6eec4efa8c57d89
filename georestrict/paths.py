"""Paths in rules: patterns, and the many spellings of one path.

A pattern is ``/a`` (exactly that), ``/a/*`` (``/a`` and everything below, at segment boundaries),
or has other ``*``, each of which stands for any text within one segment.

What blocks matches broadly: if any spelling that some server or framework takes for the path
(encoded, doubled, dotted, back-slashed, with parameters) matches. What lets through matches
strictly: only a path in normal form, as it was written. So a strange spelling is never exempt and
always guarded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

_DECODINGS = 3
_LONGEST_ODD = 1024  # characters; longer paths that are not in normal form are not respelled
# Escapes that a path in normal form does not have: of characters that need none, of
# separators and of NUL (RFC 3986 §2.3, §6.2.2.2).
_NEEDLESS_ESCAPE = re.compile(
    rb"%(?:2[Dd]|2[Ee]|2[Ff]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFfCc]|6[1-9A-Fa-f]|7[0-9AaEe]|3[Bb]|25|00)"
)
# Escapes of unreserved characters, which some decode and leave the others as they are.
_UNRESERVED = re.compile(r"%(2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")
_MALFORMED_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class PathPatterns:
    """A set of patterns; tells for a path which of them match, as bit masks.

    Bit ``i`` of a mask stands for ``patterns[i]``. With ``ignore_case`` every spelling of a path is
    compared in lower case, after it was decoded: ``/%2541`` may be ``/a``.
    """

    def __init__(self, patterns: Sequence[str], *, ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        if ignore_case:
            patterns = [pattern.lower() for pattern in patterns]
        self._exact: dict[str, int] = {}
        self._below: dict[str, int] = {}
        self._globs: list[tuple[re.Pattern[str], int]] = []
        for number, pattern in enumerate(patterns):
            bit = 1 << number
            stem = pattern.removesuffix("/*")
            if "*" in stem:
                self._globs.append((_glob(pattern), bit))
            elif stem != pattern:
                self._below[stem] = self._below.get(stem, 0) | bit
            else:
                self._exact[pattern] = self._exact.get(pattern, 0) | bit
        self._all = (1 << len(patterns)) - 1
        self._deepest = max((stem.count("/") for stem in self._below), default=0)

    def match(self, path: str, raw: bytes | None) -> tuple[int, int]:
        """Return the masks of the patterns that match strictly, and broadly.

        ``path`` is what the app sees, percent-decoded; ``raw`` the same as it was sent, if known.
        A path that is both odd and long matches every pattern broadly: to try its spellings would
        cost more than its sender should get.
        """
        as_written = self._matches(path)
        if is_normal(path, raw):
            broad = as_written
            sent = path if raw is None else _decoded(raw.partition(b"?")[0].decode("latin-1"))
            for text in {path, sent}:  # two, where somebody on the way has rewritten the path
                broad |= self._matches(text)
                if text.endswith("/"):
                    broad |= self._matches(text.rstrip("/") or "/")
            return as_written, broad
        if len(path) > _LONGEST_ODD or (raw is not None and len(raw) > _LONGEST_ODD):
            return 0, self._all
        broad = as_written
        for spelling in spellings(path, raw):
            broad |= self._matches(spelling)
        return 0, broad

    def _matches(self, path: str) -> int:
        if self._ignore_case:
            path = path.lower()
        mask = self._exact.get(path, 0)
        if self._below:
            mask |= self._below.get(path, 0) | self._below.get("", 0)
            at = path.find("/", 1)
            depth = 1
            while at > 0 and depth <= self._deepest:
                mask |= self._below.get(path[:at], 0)
                at = path.find("/", at + 1)
                depth += 1
        for expression, bit in self._globs:
            if expression.fullmatch(path):
                mask |= bit
        return mask


def is_normal(path: str, raw: bytes | None) -> bool:
    """Return whether a path is in normal form, so that no two parties read it differently."""
    if "%" in path or not _is_plain(path):
        return False
    if raw is None:
        return True
    raw = raw.partition(b"?")[0]
    if _NEEDLESS_ESCAPE.search(raw) or _MALFORMED_ESCAPE.search(raw):
        return False
    return _is_plain(raw.decode("latin-1"))


def _is_plain(path: str) -> bool:
    """Whether a path has no empty or dot segments and none of the marks that servers dispute."""
    return (
        path.startswith("/")
        and not any(mark in path for mark in ("\\", ";", "\0", "//", "#", "?"))
        and not any(segment in (".", "..") for segment in path.split("/"))
    )


def spellings(path: str, raw: bytes | None) -> set[str]:
    """Return the other paths for which somebody on the way may take this one."""
    found: set[str] = set()
    waiting = [path] if raw is None else [path, raw.partition(b"?")[0].decode("latin-1")]
    for _ in range(_DECODINGS + 1):
        decoded = []
        for text in waiting:
            if text not in found:
                found.add(text)
                found |= _cleaned(text)
                if "%" in text:
                    decoded += [_decoded(text), _UNRESERVED.sub(_character, text)]
        waiting = decoded
    return found


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def _cleaned(text: str) -> set[str]:
    """Return a path as others tidy it up.

    With back slashes as slashes or not, cut at a mark or not, with parameters or without.
    """
    found = set()
    for slashed in {text, text.replace("\\", "/")}:
        for whole in {slashed, re.split("[\0#?]", slashed)[0]}:
            kept = whole.split("/")
            for segments in (kept, [segment.partition(";")[0] for segment in kept]):
                named = [segment for segment in segments if segment not in ("", ".")]
                found |= {
                    _joined(named),
                    _joined(_resolved(named)),
                    _joined(_resolved(segments[1:])),
                }
    return found


def _resolved(segments: list[str]) -> list[str]:
    """Remove dot segments by the letter of RFC 3986 §5.2.4: ``..`` takes an empty one away, too."""
    resolved: list[str] = []
    for segment in segments:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    return resolved


def _joined(segments: list[str]) -> str:
    return "/" + "/".join(segment for segment in segments if segment)


def as_sent(text: str) -> tuple[str, bytes | None]:
    """Return the path that an app sees, and how it was sent, of one as a person writes it.

    >>> as_sent("/caf%C3%A9"), as_sent("/café")
    (('/café', b'/caf%C3%A9'), ('/café', None))
    """
    return (_decoded(text), text.encode("utf-8", "surrogatepass")) if "%" in text else (text, None)


def checked_pattern(pattern: str) -> str:
    """Return a pattern, or say what is wrong with it.

    Raises:
        ValueError: with the reason and the fix.
    """
    if not pattern.startswith("/"):
        raise ValueError("a path begins with '/'")
    if "?" in pattern or "#" in pattern:
        raise ValueError("a path has no query and no fragment; leave '?' and '#' out")
    if "%" in pattern:
        raise ValueError("write the path decoded, without '%' escapes")
    if any(ord(character) < 32 or ord(character) == 127 for character in pattern):
        raise ValueError("a path has no control characters")
    if not is_normal(pattern, None):
        raise ValueError("not in normal form: leave out '//', '.', '..', ';' and '\\'")
    return pattern


def _glob(pattern: str) -> re.Pattern[str]:
    """Each ``*`` takes as little as it can and never gives back (atomic): linear time."""
    below = pattern.endswith("/*")
    segments = []
    for segment in pattern.removesuffix("/*").split("/"):
        first, *others = segment.split("*")
        text = re.escape(first)
        for number, other in enumerate(others, 1):
            if number == len(others):
                text += "[^/]*" + re.escape(other)
            else:
                text += f"(?>[^/]*?{re.escape(other)})" if other else ""
        segments.append(text)
    return re.compile("/".join(segments) + ("(?:/.*)?" if below else ""), re.DOTALL)
