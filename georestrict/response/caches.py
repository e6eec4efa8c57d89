"""Keeping an app's responses out of shared caches, which would serve them to everybody.

A cache in front of the app answers without asking it, and so without a decision (RFC 9111 §3).
"""

from __future__ import annotations

from collections.abc import Iterable

# For caches alone, and stronger than cache-control there: RFC 9213 and its like by vendors.
_FOR_CACHES = frozenset({"edge-control", "surrogate-control", "x-accel-expires"})
_TARGETED = "cdn-cache-control"
# must-understand has caches that know it overlook no-store (RFC 9111 §5.2.2.3).
_OVERLOOKED = "must-understand"
_SHARED = frozenset({"public", "s-maxage", "proxy-revalidate", _OVERLOOKED})
_KEPT_OUT = frozenset({"private", "no-store"})


def kept_from_shared_caches(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return an app's headers so that only the client's own cache may keep the response.

    What is ``private`` or ``no-store`` stays as it is. Whatever else is said becomes ``private``,
    nothing at all, too: some caches then keep what they get.
    """
    given = [*headers]
    told = [value for name, value in given if name.lower() == "cache-control"]
    directives = [one for value in told for one in _directives(value)]
    others = [(name, value) for name, value in given if not is_for_caches(name.lower())]
    names = {one.lower() for one in directives}
    if names & _KEPT_OUT and _OVERLOOKED not in names:
        return others
    kept = [one for one in directives if one.partition("=")[0].lower() not in _SHARED]
    others = [pair for pair in others if pair[0].lower() != "cache-control"]
    return [*others, ("cache-control", ", ".join(["private", *kept]))]


def is_for_caches(name: str) -> bool:
    """Whether a header, in lower case, is for caches alone."""
    return name in _FOR_CACHES or name.endswith(_TARGETED)


def _directives(value: str) -> list[str]:
    """Split at the commas that are not in quotes."""
    found, quoted = [""], False
    for character in value:
        quoted ^= character == '"'
        if character == "," and not quoted:
            found.append("")
        else:
            found[-1] += character
    return [one.strip() for one in found if one.strip()]
