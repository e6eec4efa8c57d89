r"""Writings: how servers write text of clients, so that it does not end a field or a line.

nginx writes ``\xHH`` (https://nginx.org/en/docs/http/ngx_http_log_module.html, ``escape=default``)
or JSON's escapes (``escape=json``), Apache ``\"``, ``\\``, C's escapes and ``\xhh``
(https://httpd.apache.org/docs/2.4/mod/mod_log_config.html): none of these means two things, so one
reader serves them all. gunicorn writes ``\"`` and leaves backslashes alone (``SafeAtoms`` in
gunicorn/glogging.py). Others escape nothing, and rely on what can be in a request line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Writing:
    """How text of clients is written: as regular expressions, and how it is read back."""

    quoted: str  #: within quotes
    user: str  #: a user's name without quotes, which may have spaces and brackets
    request: str  #: a request line
    odd: str | None  #: what plain text does not have
    text: Callable[[pl.Expr], pl.Expr]
    path: Callable[[pl.Expr], pl.Expr]


def _meant(found: re.Match[str]) -> bytes:
    byte, point, short = found.groups()
    if byte:
        return bytes.fromhex(byte)
    if point:
        return chr(int(point, 16)).encode("utf-8", "replace")
    return _SHORT.get(short, short).encode()


def _unescape_text(text: str) -> str:
    """Return the text that was escaped; bytes that are no UTF-8 become U+FFFD."""
    parts, end = [], 0
    for found in _ESCAPE.finditer(text):
        parts += [text[end : found.start()].encode(), _meant(found)]
        end = found.end()
    parts.append(text[end:].encode())
    return b"".join(parts).decode("utf-8", "replace")


def _unescape_path(text: str) -> str:
    """Return a path with what was escaped; bytes that no path may have come percent-encoded.

    So a byte that the client sent raw and the server escaped is not lost, and means the same.
    """
    return _ESCAPE.sub(
        lambda found: "".join(
            chr(byte) if 0x20 < byte < 0x7F else f"%{byte:02X}" for byte in _meant(found)
        ),
        text,
    )


def _texts(column: pl.Expr) -> pl.Expr:
    return column.map_elements(_unescape_text, return_dtype=pl.String)


def _paths(column: pl.Expr) -> pl.Expr:
    return column.map_elements(_unescape_path, return_dtype=pl.String)


def _with_quotes(column: pl.Expr) -> pl.Expr:
    return column.str.replace_all('\\"', '"', literal=True)


def _as_is(column: pl.Expr) -> pl.Expr:
    return column


_C = r'(?:[^"\\]|\\.)*'
_GUNICORN = r'(?:[^"\\]|\\"?)*'

#: nginx, Apache. A user's name ends at the first time with a quote behind it: its own are escaped.
ESCAPED = Writing(_C, _C + "?", _C, r'["\\]', _texts, _paths)
GUNICORN = Writing(_GUNICORN, _GUNICORN + "?", _GUNICORN, r'["\\]', _with_quotes, _with_quotes)
#: uvicorn, Traefik, AWS: targets have no spaces. Traefik escapes quotes of what follows the request
#: line, so that the last time with a quote behind it is the log's own.
RAW = Writing('[^"]*', ".*", '[^ "]+ [^ ]* [^ "]+', None, _as_is, _as_is)
