"""What of a request its refusal depends on."""

from __future__ import annotations

from typing import NamedTuple


class Caller(NamedTuple):
    """Who is refused, as far as the form of the refusal depends on it.

    It is text from outside: it chooses between responses, and is never repeated in one. ``paths``
    are those that the request may have had outside of a mount, percent-decoded.
    """

    method: str = "GET"
    paths: tuple[str, ...] = ()
    accept: str = ""
    accept_language: str = ""
    content_type: str = ""
    origin: str = ""
    host: str = ""
    forwarded_host: str = ""  #: what a proxy that rewrites the host says it was
    te: str = ""  #: whether it takes trailers (RFC 9110 §10.1.4)


#: The fields of a request that a caller is read from, by the name of their header.
HEADERS = {
    "accept": "accept",
    "accept-language": "accept_language",
    "content-type": "content_type",
    "origin": "origin",
    "te": "te",
    "host": "host",
    "x-forwarded-host": "forwarded_host",
}
