"""Which of several representations a client prefers (RFC 9110 §12.5)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

JSON, PROBLEM, HTML = "application/json", "application/problem+json", "text/html"

_LONGEST = 1024  # more of a header is not looked at


def media_type(accept: str, usual: str) -> str:
    """Choose the body's media type: the usual one, unless the client prefers another.

    Of names and ranges (``text/*``, ``*/*``) the most specific counts.
    """
    return _media_type(accept[:_LONGEST], usual) if accept else usual


def language(accept_language: str, offered: tuple[str, ...]) -> str:
    """Choose a language by lookup (RFC 4647 §3.4); the first one offered is the usual one."""
    if len(offered) == 1 or not accept_language:
        return offered[0]
    return _language(accept_language[:_LONGEST], offered)


# Bounded: what clients send differs without end, what most send does not.
@lru_cache(maxsize=256)
def _media_type(accept: str, usual: str) -> str:
    asked = dict(_weighed(accept))
    wanted = {}
    for name in (JSON, PROBLEM, HTML):
        ranges = (name, f"{name.partition('/')[0]}/*", "*/*")
        wanted[name] = next((asked[one] for one in ranges if one in asked), 0.0)
    best = max(wanted, key=lambda name: (wanted[name], name == usual, name == JSON))
    if wanted[best] > 0:
        return best
    return JSON if usual in asked else usual


@lru_cache(maxsize=256)
def _language(accept_language: str, offered: tuple[str, ...]) -> str:
    tags = {tag.lower(): tag for tag in offered}
    asked = sorted(_weighed(accept_language), key=lambda pair: -pair[1])
    refused = {tag for tag, quality in asked if quality == 0}
    for tag, quality in asked:
        if quality == 0:
            continue
        if tag == "*":
            return next((one for one in offered if one.lower() not in refused), offered[0])
        while tag:
            if tag in tags and tag not in refused:
                return tags[tag]
            tag = tag.rpartition("-")[0]
            if tag[-2:-1] == "-":  # a single letter goes with what follows it
                tag = tag[:-2]
    return offered[0]


def _weighed(header: str) -> Iterator[tuple[str, float]]:
    """Yield the entries of a header with their weights, in lower case."""
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        yield name, _quality(parameters)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
