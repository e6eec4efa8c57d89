"""Numbers, dates, names and reasons in words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from georestrict.countries import NAMES

#: Where a request has no country: what is said of its address.
CASES = {
    "unknown": "no known country",
    "private": "private or reserved addresses",
    "unresolved": "client address not known",
    "no_data": "no data to look in",
}

#: What decided, for people (:class:`georestrict.decision.Reason`).
REASONS = {
    "country": "a rule about countries or regions",
    "category": "a rule about kinds of networks, such as VPNs",
    "network": "a rule about lists, networks or providers",
    "account": "a rule about where the account was seen",
    "request": "a rule about the request alone, such as its path",
    "preflight": "a browser's question beforehand (CORS preflight)",
    "default": "no rule matched: the policy's default",
    "unknown": "no known country: the policy's fallback",
    "private": "a private or reserved address: the policy's fallback",
    "unresolved": "no client address: the policy's fallback",
    "no_data": "no data to look in: the policy's fallback",
    "error": "deciding failed",
}

#: What networks are used for (:class:`georestrict.networks.Category`).
CATEGORIES = {
    "hosting": "machines for rent",
    "vpn": "VPN exits",
    "tor": "Tor exits",
    "relay": "privacy relays",
    "proxy": "proxies",
    "cdn": "content delivery networks",
    "bot": "declared crawlers",
}

#: How long a name in a sentence may be.
NAME = 60
#: How many accents a letter may bear; Vietnamese and Hebrew have two or three.
ACCENTS = 4

_SPACE = "\N{NO-BREAK SPACE}"


def visible(value: Any) -> Any:
    r"""Write out the characters of a text that cannot be seen, or that turn its direction.

    Controls, marks such as U+202E, line and paragraph separators, lone surrogates, which no UTF-8
    file can hold, and accents that pile up over the lines around: ``"\x1b"`` becomes ``"\\x1b"``.
    Markup of the template is left alone.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if value.isascii() and value.isprintable():
        return value
    parts, accents = [], 0
    for char in value:
        kind = unicodedata.category(char)
        accents = accents + 1 if kind in ("Mn", "Me") else 0
        hidden = kind[0] == "C" or kind in ("Zl", "Zp") or accents > ACCENTS
        parts.append(char.encode("unicode_escape").decode() if hidden else char)
    return "".join(parts)


def cut(text: str, to: int) -> str:
    """Return a name that is not too long to be shown, and not nothing."""
    if not text:
        return "(empty)"
    return text if len(text) <= to else f"{text[: to - 1]}\N{HORIZONTAL ELLIPSIS}"


def count(number: int) -> str:
    """Return a number with its thousands marked: ``"1,204,331"``."""
    return f"{number:,}"


def several(number: int, one: str) -> str:
    """Return a number of things: ``"1 request"``, ``"2 requests"``, ``"2 addresses"``."""
    plural = f"{one}{'es' if one.endswith('s') else 's'}"
    return f"{number:,} {one if number == 1 else plural}"


def signed(number: int) -> str:
    """Return a difference with its sign: ``"+12"``, ``"0"``, or with a true minus."""
    return f"{number:+,}".replace("-", "\N{MINUS SIGN}") if number else "0"


def share(part: int, whole: int) -> str:
    """Return a part in percent, never rounded to none or to all: ``"3.1 %"``, ``"under 0.1 %"``."""
    if not part:
        return f"0{_SPACE}%"
    percent = 100 * part / whole
    if percent < 0.1:
        return f"under{_SPACE}0.1{_SPACE}%"
    if percent > 99.9 and part < whole:
        return f"over{_SPACE}99.9{_SPACE}%"
    return f"100{_SPACE}%" if part == whole else f"{percent:.1f}{_SPACE}%"


def day(at: datetime) -> str:
    """Return a day in UTC: ``"1 November 2026"``."""
    at = at.astimezone(UTC)
    return f"{at.day}{_SPACE}{at:%B}{_SPACE}{at:%Y}"


def period(first: datetime, last: datetime) -> str:
    """Return when it was: ``"on 9 November 2026"``, ``"from 9 to 22 November 2026"``."""
    one, other = day(first), day(last)
    if one == other:
        return f"on {one}"
    date, month, year = one.split(_SPACE)
    if other.endswith(f"{_SPACE}{month}{_SPACE}{year}"):
        one = date
    elif other.endswith(year):
        one = f"{date}{_SPACE}{month}"
    return f"from {one} to {other}"


def moment(at: datetime) -> str:
    """Return a moment in UTC to the minute: ``"1 November 2026, 04:26 UTC"``."""
    return f"{day(at)}, {at.astimezone(UTC):%H:%M}{_SPACE}UTC"


def listed(parts: Sequence[str]) -> str:
    """Join parts as a sentence does: ``"a, b and c"``."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def place(key: str) -> str:
    """Name a country with its code, or say why there is none."""
    if key in NAMES:
        return f"{NAMES[key]} ({key})"
    return CASES.get(key) or cut(key, NAME)


def reason(key: str) -> str:
    """Say in words what decided."""
    return REASONS.get(key, key)


def category(key: str) -> str:
    """Say in words what a network is used for."""
    return CATEGORIES.get(key, key)


def told_apart(policies: Sequence[str]) -> list[str]:
    """Name policies by their places; two with one place are numbered."""
    names = [cut(policy, 80) for policy in policies]
    twice: Mapping[str, int] = Counter(names)
    return [
        f"{name} ({number})" if twice[name] > 1 else name for number, name in enumerate(names, 1)
    ]
