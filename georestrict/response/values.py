"""The response as a value, and the responses that an app makes itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from georestrict.response.caches import is_for_caches

Headers = tuple[tuple[str, str], ...]

#: Whatever a response says, it is kept by nobody and taken for nothing else.
FIXED: Headers = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))

# Of an app's own response: what we say ourselves, what would let it be kept or tell clients apart,
# and what belongs to the connection (RFC 9110 §7.6.1).
_TAKEN_OUT = frozenset(
    {
        "cache-control",
        "connection",
        "content-length",
        "etag",
        "expires",
        "keep-alive",
        "last-modified",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-content-type-options",
    }
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete response: status, headers in order, body.

    ``trailers`` are for after the body; a server that has none puts them into the header.
    """

    status: int
    headers: Headers
    body: bytes
    trailers: Headers = ()
    request_id: str | None = None  #: what a client can quote; the log line has it, too


def completed(given: Any, extra: Headers = (), vary: str | None = None) -> Response:
    """Return an app's own response with what every refusal has, and without what none may have.

    ``extra`` headers replace the response's own; ``vary`` is a name more that it depends on.

    Raises:
        TypeError: if it is no Response, or a part of it is something else than it should be.
        ValueError: if it could not be sent (its status has no body, a header breaks the line) or
            would pass for a defect: 404, 405, and nothing at all say nothing of a refusal.
    """
    if not isinstance(given, Response):
        raise TypeError(f"it is {given!r}, must be a georestrict.response.Response")
    if type(given.status) is not int or not isinstance(given.body, bytes):
        raise TypeError(f"status is {given.status!r}, body {type(given.body)}, must be int, bytes")
    if not 200 <= given.status <= 599 or given.status in (204, 205, 304):
        raise ValueError(f"status is {given.status}, must be one that has a body, 200 to 599")
    if given.status in (404, 405) or not (given.body or 300 <= given.status <= 399):
        raise ValueError(
            f"status is {given.status} with a body of {len(given.body)} bytes, must tell that the "
            "request is refused: any status but 404 and 405, and a body"
        )
    taken_out = _TAKEN_OUT | {"vary"} | {name for name, _ in extra}
    headers = [_checked(name, value) for name, value in given.headers]
    varied = [value for name, value in headers if name == "vary"]
    if vary is not None:
        varied.append(vary)
    return replace(
        given,
        trailers=(),
        headers=(
            *(
                (name, value)
                for name, value in headers
                if name not in taken_out and not is_for_caches(name)
            ),
            *((("vary", ", ".join(varied)),) if varied else ()),
            ("content-length", str(len(given.body))),
            *FIXED,
            *extra,
        ),
    )


def _checked(name: Any, value: Any) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"header {name!r}: {value!r}, must be text")
    sent = value.encode("latin-1").decode("latin-1")
    if not _TOKEN.fullmatch(name) or not sent.isprintable() or sent != sent.strip():
        raise ValueError(f"header {name!r}: {value!r} cannot be sent")
    return name.lower(), value
