"""Letting browser apps of other origins read what they are told (the Fetch standard, CORS)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from georestrict.errors import ConfigurationError

_PORTS = {"http": 80, "https": 443}
# Pages of these have the origin null, or that of another page.
_NO_ORIGINS = frozenset({"blob", "data", "file", "ftp", "ws", "wss"})
_EXPOSED = "Link, Retry-After, Grpc-Status, Grpc-Message"


def checked_origins(value: Any) -> frozenset[str]:
    """Return origins as browsers write them, and web views, which have schemes of their own.

    Raises:
        ConfigurationError: naming the entry and the fix.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(
            f"options: cors_origins is {value!r}, must be several; write [{value!r}]"
        )
    return frozenset(_origin(entry) for entry in value)


def _origin(entry: Any) -> str:
    wrong = ConfigurationError(
        f"options: cors_origins: {entry!r} is no origin; write one such as https://app.example.com "
        "(scheme, host, and the port if it is not the usual one; no path, no *)"
    )
    if not isinstance(entry, str) or not entry.isascii() or not entry.isprintable():
        raise wrong
    try:
        parts = urlsplit(entry)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not parts.scheme or parts.scheme in _NO_ORIGINS or not host or "*" in host or " " in host:
        raise wrong
    if entry.lower() != f"{parts.scheme}://{parts.netloc}".lower() or "@" in parts.netloc:
        raise wrong
    if ":" in host:
        host = f"[{host}]"
    usual = port in (None, _PORTS.get(parts.scheme))
    return f"{parts.scheme}://{host}" + ("" if usual else f":{port}")


def readable(origin: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that let an app of a configured origin read a refusal.

    With credentials, too: there is nothing in it that only its receiver may know.
    """
    return (
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", _EXPOSED),
    )


def is_preflight(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request is a browser's question whether it may send another one."""
    if method != "OPTIONS":
        return False
    names = {bytes(name).lower() for name, _ in headers}
    return {b"origin", b"access-control-request-method"} <= names
