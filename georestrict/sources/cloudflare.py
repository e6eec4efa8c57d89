"""The answer of Cloudflare's API at ``/client/v4/ips``.

``result.ipv4_cidrs``, ``result.ipv6_cidrs``, and ``result.jdcloud_cidrs`` where it was asked for.
Cloudflare's files ``ips-v4`` and ``ips-v6`` are plain lists of networks.
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.sources.document import Node, Shape
from georestrict.sources.entry import Entry

_ON_REQUEST = "jdcloud_cidrs"


def _entries(document: Node) -> Iterator[Entry]:
    result = document.at("result")
    asked = (_ON_REQUEST,) if result.has(_ON_REQUEST) else ()
    for key in ("ipv4_cidrs", "ipv6_cidrs", *asked):
        for network in result.at(key).each():
            yield network.entry({})


SHAPE = Shape("result.ipv4_cidrs", (), _entries)
