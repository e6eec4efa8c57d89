"""The answer of Fastly's API at ``/public-ip-list``: ``addresses`` and ``ipv6_addresses``."""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.sources.document import Node, Shape
from georestrict.sources.entry import Entry


def _entries(document: Node) -> Iterator[Entry]:
    for key in ("addresses", "ipv6_addresses"):
        for network in document.at(key).each():
            yield network.entry({})


SHAPE = Shape("addresses", (), _entries)
