"""AWS ``ip-ranges.json``.

``prefixes[].ip_prefix`` and ``ipv6_prefixes[].ipv6_prefix``, each with ``service``, ``region`` and
``network_border_group``. The service ``AMAZON`` holds the others' ranges, too. Described in the
Amazon VPC user guide, "AWS IP address ranges".
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.sources.document import Node, Shape
from georestrict.sources.entry import Entry

_FIELDS = ("service", "region", "network_border_group")


def _entries(document: Node) -> Iterator[Entry]:
    for family, key in (("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")):
        for each in document.at(family).each():
            yield each.at(key).entry(each.texts(*_FIELDS))


SHAPE = Shape("ipv6_prefixes", _FIELDS, _entries)
