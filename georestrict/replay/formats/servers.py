"""Formats of nginx, Apache and gunicorn, as their own words for them tell.

https://nginx.org/en/docs/http/ngx_http_log_module.html,
https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats,
https://docs.gunicorn.org/en/stable/settings.html#access-log-format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from georestrict.errors import ConfigurationError
from georestrict.replay.formats.escapes import ESCAPED, Writing
from georestrict.replay.formats.lines import LineFormat
from georestrict.replay.formats.times import DAY, ISO, ZONE

#: What a field looks like, where the words around it do not tell.
_SHAPES = {
    "iso": ISO,
    "seconds": r"[0-9]+(?:\.[0-9]+)?",
    "milliseconds": "[0-9]+",
    "microseconds": "[0-9]+",
    "status": "[0-9]{3}",
}
_LOCAL = f"(?P<day>{DAY}) (?P<zone>{ZONE})"
# Fields of which plain lines have several tokens.
_PARTS = {"request": ("method", "target", "version"), "local": ("day", "zone")}
# What stands around a field in a token of plain lines; nothing around others.
_AROUND = {"method": '"\0', "version": '\0"', "day": "[\0", "zone": "\0]"}
_SPLITTABLE = {"peer", "user", "target", "status", "host", "iso", "", *_AROUND}

_NGINX = {
    "remote_addr": "peer",
    "realip_remote_addr": "peer",
    "remote_user": "user",
    "time_local": "local",
    "time_iso8601": "iso",
    "msec": "seconds",
    "request": "request",
    "request_method": "method",
    "request_uri": "target",
    "uri": "decoded",
    "document_uri": "decoded",
    "status": "status",
    "host": "host",
    "http_host": "host",
    "server_name": "host",
}
_NGINX_WORD = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

_APACHE = {
    "h": "peer",
    "a": "peer",
    "{c}a": "peer",
    "u": "user",
    "t": "[local]",
    "{sec}t": "seconds",
    "{msec}t": "milliseconds",
    "{usec}t": "microseconds",
    "r": "request",
    "m": "method",
    "U": "decoded",
    "s": "status",
    "v": "host",
    "V": "host",
    "{host}i": "host",
}
_APACHE_WORD = re.compile(r"%[!0-9,]*[<>]?(?:\{([^}]*)\})?(\^?[a-zA-Z]{1,3}|%)")
# Of words that tell the same, those that are taken before others: what the client sent, and whoever
# is connected, before what the server made of it.
_FIRST = {"realip_remote_addr", "{c}a", "request_uri", "http_host", "{host}i"}
_TIMES = {"local", "iso", "seconds", "milliseconds", "microseconds", "written"}


@dataclass(frozen=True, slots=True)
class Field:
    """A variable of a format: what it tells, if that is wanted, and the word for it."""

    name: str = ""
    word: str = ""


Pieces = Sequence[str | Field]


def named_format(name: str, text: str, writing: Writing = ESCAPED) -> LineFormat:
    """Return a format from fixed text and ``{fields}``; ``{}`` is one that is not wanted."""
    parts = re.split(r"\{(\w*)\}", text)
    pieces = [Field(part) if at % 2 else part for at, part in enumerate(parts) if part or at % 2]
    return LineFormat(name, _pattern(pieces, writing), _tokens(pieces), writing)


def nginx_format(text: str, header: str) -> LineFormat:
    """Return the format of a ``log_format`` of nginx; ``header`` is the forwarding header."""
    forwarded = "http_" + header.lower().replace("-", "_")
    pieces: list[str | Field] = []
    end = 0
    for found in _NGINX_WORD.finditer(text):
        word = found[1] or found[2]
        name = "forwarded" if word == forwarded else _NGINX.get(word, "")
        pieces += [text[end : found.start()], Field(name, word)]
        end = found.end()
    return _own_format(text, [*pieces, text[end:]])


def apache_format(text: str, header: str) -> LineFormat:
    """Return the format of a ``LogFormat`` of Apache; ``header`` is the forwarding header."""
    bare = text.replace('\\"', '"')
    pieces: list[str | Field] = []
    time_pattern, end = None, 0
    for found in _APACHE_WORD.finditer(bare):
        pieces.append(bare[end : found.start()])
        end = found.end()
        argument, letter = found[1], found[2]
        word = letter if argument is None else f"{{{argument.lower()}}}{letter}"
        if word == "%":
            pieces.append("%")
        elif word == "t":
            pieces += ["[", Field("local", word), "]"]
        elif word == f"{{{header.lower()}}}i":
            pieces.append(Field("forwarded", word))
        elif letter == "t" and argument and "%" in argument:
            time_pattern = argument.removeprefix("begin:").removeprefix("end:")
            pieces.append(Field("written", word))
        else:
            pieces.append(Field(_APACHE.get(word, ""), word))
    return _own_format(text, [*pieces, bare[end:]], time_pattern)


def _own_format(text: str, pieces: Pieces, time_pattern: str | None = None) -> LineFormat:
    """Return an own format; of several words that tell the same one is wanted."""
    chosen: dict[str, Field] = {}
    for piece in pieces:
        if isinstance(piece, Field) and piece.name:
            about = _about(piece)
            if about not in chosen or (piece.word in _FIRST and chosen[about].word not in _FIRST):
                chosen[about] = piece
    if "peer" not in chosen:
        raise ConfigurationError(
            f"log format {text!r}: nothing in it tells who is connected; "
            "expected $remote_addr (nginx), %h or %a (Apache) in it"
        )
    if "request" in chosen:
        chosen = {about: piece for about, piece in chosen.items() if about not in _PARTS["request"]}
    joined: list[str | Field] = []
    for piece in pieces:
        if isinstance(piece, Field):
            wanted = chosen.get(_about(piece)) == piece
            joined.append(piece if wanted else Field())
            if wanted:
                del chosen[_about(piece)]  # if it comes again, it tells nothing new
        elif joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece:
            joined.append(piece)
    return LineFormat(text, _pattern(joined, ESCAPED), _tokens(joined), time_pattern=time_pattern)


def _about(field: Field) -> str:
    """Return what of a request a field tells; a format needs one for each."""
    if field.name in _TIMES:
        return "time"
    return "target" if field.name == "decoded" else field.name


def _last_wanted(pieces: Pieces) -> int:
    return max(at for at, piece in enumerate(pieces) if isinstance(piece, Field) and piece.name)


def _pattern(pieces: Pieces, writing: Writing) -> str:
    """Return the regular expression of a line, up to the last wanted field."""
    last = _last_wanted(pieces)
    pattern = "^"
    for at, piece in enumerate(pieces[: last + 1]):
        if isinstance(piece, str):
            pattern += re.escape(piece)
        elif piece.name == "local":
            pattern += _LOCAL
        else:
            shape = _shape(piece.name, _text(pieces, at - 1), _text(pieces, at + 1), writing)
            pattern += f"(?P<{piece.name}>{shape})" if piece.name else shape
    behind = _text(pieces, last + 1)[:1]
    if behind in {"", '"'}:  # text in quotes that do not end was cut off
        return pattern + (behind or "$")
    return f"{pattern}(?:{re.escape(behind)}|$)"


def _text(pieces: Pieces, at: int) -> str:
    piece = pieces[at] if 0 <= at < len(pieces) else ""
    return piece if isinstance(piece, str) else ""


def _shape(name: str, before: str, behind: str, writing: Writing) -> str:
    """Return what a field looks like between two texts."""
    if name in _SHAPES:
        return _SHAPES[name]
    if name == "peer":
        return f"[^ {re.escape(behind[:1])}]+"
    if name == "request":
        return writing.request
    if before.endswith('"') and behind.startswith('"'):
        return writing.quoted
    if name in {"user", "forwarded", "written"}:
        return writing.user
    return f"[^{re.escape(behind[:1])}]*" if behind else ".*"


def _tokens(pieces: Pieces) -> tuple[str, ...] | None:
    """Return what plain lines have between spaces, up to the last wanted field.

    None if lines have no such form, or if a client's text could shift what comes behind it.
    """
    line = ""
    for piece in pieces:
        names = _PARTS.get(piece.name, (piece.name,)) if isinstance(piece, Field) else ()
        line += piece if isinstance(piece, str) else " ".join(f"\0{name}\0" for name in names)
    tokens = [_token(*re.split("\0(\\w*)\0", part)) for part in line.split(" ")]
    wanted = [at for at, token in enumerate(tokens) if token.lstrip("!") and token[0] != "="]
    tokens = tokens[: max(wanted) + 1]
    # A user's name may have spaces; that it has none is told by the quote behind the time.
    shifts = "user" in tokens and "method" not in tokens[tokens.index("user") :]
    return None if shifts or any(token[:1] == "!" for token in tokens) else tuple(tokens)


def _token(before: str, name: str | None = None, *behind: str) -> str:
    """Return how plain lines are split at a token; with ``!`` where they cannot be."""
    if name is None:
        return f"={before}"
    around = f"{before}\0{behind[0]}"
    plain = name in _SPLITTABLE and around == _AROUND.get(name, "\0") and len(behind) == 1
    return name if plain else f"!{name}"
