"""Forwarding headers: the right end of one, its lines joined in order."""

from __future__ import annotations

from georestrict._core import LIST, MOST_BYTES, MOST_ENTRIES
from georestrict.address.client import Headers

#: Headers by which proxies tell that they are there, most of them with a client's address. One of
#: them on a request from a private peer means that a proxy stands in front, whatever is declared.
FORWARDING_HEADERS = frozenset(
    {
        b"ali-cdn-real-ip",
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"client-ip",
        b"cloudfront-viewer-address",
        b"do-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"incap-client-ip",
        b"proxy-client-ip",
        b"true-client-ip",
        b"via",
        b"wl-proxy-client-ip",
        b"x-appengine-user-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-nf-client-connection-ip",
        b"x-original-forwarded-for",
        b"x-real-ip",
        b"x-vercel-forwarded-for",
    }
)


def lines(headers: Headers, name: bytes) -> list[bytes]:
    """Return the values of a header; names are compared without regard to case."""
    size = len(name)  # compared first: there may be thousands
    return [value for key, value in headers if len(key) == size and key.lower() == name]


def right_end(values: list[bytes], grammar: int) -> tuple[bytes, bool]:
    """Return at most the last 8 KiB of a header's lines, and whether an entry begins there.

    Only these bytes are copied, however much a client sends.
    """
    if grammar == LIST:  # every line ends an entry, and no more entries are read
        values = values[-MOST_ENTRIES - 1 :]
    pieces: list[bytes] = []
    room, whole = MOST_BYTES, True
    for line in reversed(values):
        if len(line) > room:
            cut = len(line) - max(room, 0)
            if room > 0:
                pieces.append(line[cut:])
                whole = _entry_begins(line, cut)
            break
        pieces.append(line)
        room -= len(line) + 1
    return b",".join(reversed(pieces)), whole


def _entry_begins(line: bytes, at: int) -> bool:
    """Return whether nothing but a comma and white space stands before a place in a line."""
    before = line[max(0, at - MOST_BYTES) : at].rstrip(b" \t")
    return before.endswith(b",") or (not before and at <= MOST_BYTES)
