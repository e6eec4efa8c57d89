r"""Finding the client in a chain of hops, in plain Python. The twin of ``chain.pxi``.

Each proxy appends to the right of a header what it saw itself, so the right end is read first, and
nothing to the left of the entry that decides can change the answer. Two grammars:

``LIST``
    ``X-Forwarded-For``, which has no standard: entries between commas, each ``address``,
    ``IPv4:port``, ``[IPv6]`` or ``[IPv6]:port``, with spaces and tabs around.
``FORWARDED``
    RFC 7239: elements between commas, each of ``name=value`` pairs between semicolons, where a
    value is a token or a quoted string. A quoted string is recognised from its end, too, so that a
    quote that a client left open joins nothing to what a proxy appended. The one pair ``for`` is
    the node: ``IPv4``, ``IPv4:port`` (quoted), ``"[IPv6]"``, ``"[IPv6]:port"``, ``unknown`` or an
    obfuscated ``_name``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from georestrict._core._text import parse_address

LIST, FORWARDED = range(2)

# What is told of a chain in which no client was found.
EMPTY, MALFORMED, UNKNOWN, ALL_TRUSTED, TOO_FEW = range(5)

MOST_ENTRIES = 64
MOST_BYTES = 8192

Span = tuple[int, int, int]  # IP version, first and last address as numbers

_COMMA, _QUOTE, _BACKSLASH = b',"\\'
_MOST_PAIRS = 16  # in an element
_LONGEST_NODE = 64
_PAIR = re.compile(  # possessive throughout, so that no text makes it backtrack
    rb"""[ \t]*+
    (?: ([!#$%&'*+\-.^_`|~0-9A-Za-z]++)                                     # name
        = (?: ([!#$%&'*+\-.^_`|~0-9A-Za-z]++)                               # token
            | " ((?: [\t \x21\x23-\x5b\x5d-\x7e\x80-\xff] | \\[\t \x20-\x7e\x80-\xff] )*+) " ) )?+
    [ \t]*+ (?: ; | \Z )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


class Trusted:
    """The networks of trusted proxies."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = tuple((version, first, last) for version, first, last in spans)

    def holds(self, version: int, value: int) -> bool:
        """Return whether an address is in one of them."""
        return any(of == version and first <= value <= last for of, first, last in self.spans)


def find_client(
    chain: bytes, whole: bool, grammar: int, trusted: Trusted | None, count: int
) -> tuple[int, int] | int:
    """Return ``(version, value)`` of the client, or what is told of a chain that has none.

    ``chain`` is at most the last 8 KiB of a header, and ``whole`` whether an entry begins with it.
    The client is the right-most entry that is not ``trusted``; if ``count`` is not 0, the
    ``count``-th entry from the right.
    """
    end = len(chain)
    for number in range(1, MOST_ENTRIES + 1):
        start = _begin(chain, end, grammar)
        if start == 0 and not whole:  # a piece of an entry
            return MALFORMED if number == 1 else _none_left(count)
        if count in (0, number):
            entry = chain[start:end].strip(b" \t")
            found = parse_entry(entry) if grammar == LIST else _parse_element(entry)
            if isinstance(found, int) or trusted is None or count or not trusted.holds(*found):
                return found
        if start == 0:
            break
        end = start - 1
    return _none_left(count)


def _none_left(count: int) -> int:
    return TOO_FEW if count else ALL_TRUSTED


def _begin(chain: bytes, end: int, grammar: int) -> int:
    """Return where the entry that ends at ``end`` begins: behind a comma, or at 0."""
    if grammar == LIST:
        return chain.rfind(b",", 0, end) + 1
    quoted = False
    for at in range(end - 1, -1, -1):
        if chain[at] == _QUOTE:
            quoted = not quoted or _is_escaped(chain, at)
        elif not quoted and chain[at] == _COMMA:
            return at + 1
    return 0


def _is_escaped(chain: bytes, at: int) -> bool:
    """Return whether an odd number of backslashes stands before a place."""
    first = at
    while first and chain[first - 1] == _BACKSLASH:
        first -= 1
    return (at - first) % 2 == 1


def parse_entry(entry: bytes) -> tuple[int, int] | int:
    """Parse an entry of the grammar ``LIST``; what it may be instead of an address is told."""
    entry = entry.strip(b" \t")
    if not entry:
        return EMPTY
    if entry.lower() == b"unknown" or entry.startswith(b"_"):
        return UNKNOWN
    text = entry.decode("latin-1")
    parsed = parse_address(text)
    if parsed is None:
        parsed = _with_port(text, obfuscated=False)
    return MALFORMED if parsed is None else parsed


def _parse_element(element: bytes) -> tuple[int, int] | int:
    """Parse an element of ``Forwarded`` down to its node."""
    if not element:
        return EMPTY
    values: dict[bytes, bytes] = {}
    at = 0
    while at < len(element):
        match = _PAIR.match(element, at)
        if match is None or match.end() == at:
            return MALFORMED
        at = match.end()
        name, token, quoted = match.groups()
        if name is None:
            continue
        if name.lower() in values or len(values) == _MOST_PAIRS:
            return MALFORMED
        values[name.lower()] = _ESCAPE.sub(rb"\1", quoted) if token is None else token
    node = values.get(b"for")
    return UNKNOWN if node is None else _parse_node(node.decode("latin-1"))


def _parse_node(node: str) -> tuple[int, int] | int:
    """Parse ``for``'s value: RFC 7239 §6."""
    if node.partition(":")[0].lower() == "unknown" or node.startswith("_"):
        return UNKNOWN
    if len(node) > _LONGEST_NODE:
        return MALFORMED
    parsed = None if ":" in node else parse_address(node)
    if parsed is None:
        parsed = _with_port(node, obfuscated=True)
    return MALFORMED if parsed is None else parsed


def _with_port(text: str, *, obfuscated: bool) -> tuple[int, int] | None:
    """Parse ``IPv4:port``, ``[IPv6]`` or ``[IPv6]:port``."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host:
            return None
        if rest and (rest[0] != ":" or not _is_port(rest[1:], obfuscated)):
            return None
        return parse_address(host)
    host, colon, port = text.partition(":")
    if not colon or not _is_port(port, obfuscated):
        return None
    return parse_address(host)


def _is_port(text: str, obfuscated: bool) -> bool:
    if obfuscated and len(text) > 1 and text[0] == "_":
        return all(c.isascii() and (c.isalnum() or c in "._-") for c in text[1:])
    return 1 <= len(text) <= 5 and text.isascii() and text.isdigit() and int(text) <= 65535
