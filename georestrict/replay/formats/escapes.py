r"""Escapes in logs: what servers write for characters that could end a field or a line.

nginx writes ``\xHH`` (https://nginx.org/en/docs/http/ngx_http_log_module.html, ``escape=default``)
or JSON's escapes (``escape=json``), Apache ``\"``, ``\\``, C's escapes and ``\xhh``
(https://httpd.apache.org/docs/2.4/mod/mod_log_config.html), gunicorn ``\"``. None means two
things, so one reader serves them all.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescape_text(text: str) -> str:
    """Return the text that was escaped; bytes that are no UTF-8 become U+FFFD."""
    parts, end = [], 0
    for found in _ESCAPE.finditer(text):
        parts += [text[end : found.start()].encode(), _meant(found)]
        end = found.end()
    parts.append(text[end:].encode())
    return b"".join(parts).decode("utf-8", "replace")


def unescape_path(text: str) -> str:
    """Return a path with what was escaped; bytes that no path may have come percent-encoded.

    So a byte that the client sent raw and the server escaped is not lost, and means the same.
    """
    return _ESCAPE.sub(
        lambda found: "".join(
            chr(byte) if 0x20 < byte < 0x7F else f"%{byte:02X}" for byte in _meant(found)
        ),
        text,
    )


def _meant(found: re.Match[str]) -> bytes:
    byte, point, short = found.groups()
    if byte:
        return bytes.fromhex(byte)
    if point:
        return chr(int(point, 16)).encode("utf-8", "replace")
    return _SHORT.get(short, short).encode()
