"""Oracle Cloud ``public_ip_ranges.json``.

``regions[].region`` and ``regions[].cidrs[]``, each with ``cidr`` and ``tags`` (``OCI``, ``OSN``,
``OBJECT_STORAGE``). Described in the OCI documentation, "IP Address Ranges".
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.sources.document import Node, Shape
from georestrict.sources.entry import Entry


def _entries(document: Node) -> Iterator[Entry]:
    for region in document.at("regions").each():
        fields = region.texts("region")
        for each in region.at("cidrs").each():
            yield each.at("cidr").entry(fields | each.texts("tags"))


SHAPE = Shape("regions", ("region", "tags"), _entries)
