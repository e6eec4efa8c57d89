"""The refusal that a gRPC client understands: a status after a body that is empty."""

from __future__ import annotations

from urllib.parse import quote

PERMISSION_DENIED, UNAVAILABLE = 7, 14  # google.rpc.Code

# What a client says, and what it is answered in: the longest that fits.
_TYPES = {
    "application/grpc-web-text": "application/grpc-web-text+proto",
    "application/grpc-web": "application/grpc-web+proto",
    "application/grpc": "application/grpc",
}
# Of printable ASCII only the percent sign is encoded ("gRPC over HTTP2", Percent-Byte-Unencoded).
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if code != ord("%"))


def answered_in(method: str, content_type: str) -> str | None:
    """Return the type of a gRPC answer; None if this is no gRPC request, which are all POSTs."""
    if method != "POST":
        return None
    given = content_type.lower()
    return next((answer for asked, answer in _TYPES.items() if _is(given, asked)), None)


def trailers(status: int, message: str) -> tuple[tuple[str, str], ...]:
    """Return the trailers; without a body they may stand in the header ("Trailers-Only")."""
    return ("grpc-status", str(status)), ("grpc-message", quote(message, safe=_PLAIN))


def takes_trailers(answer: str, te: str) -> bool:
    """Whether a client reads the status after the body.

    Those of gRPC-Web have no trailers of HTTP, and servers send none to who did not ask for them.
    """
    asked = {part.partition(";")[0].strip() for part in te.lower().split(",")}
    return answer == _TYPES["application/grpc"] and "trailers" in asked


def _is(given: str, asked: str) -> bool:
    return given.startswith(asked) and given[len(asked) :][:1] in ("", "+", ";", " ")
