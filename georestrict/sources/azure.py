"""Azure service tags (``ServiceTags_Public_DATE.json``, and those of the other clouds).

``values[]``, each a tag: its ``name`` (``AzureCloud``, ``AzureFrontDoor.Frontend``,
``Storage.WestEurope``), and its ``properties``: ``region`` (empty for all regions),
``systemService`` and ``addressPrefixes``. A prefix is in many tags; ``AzureCloud`` has all of the
machines for rent. Described in "Virtual network service tags".
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.sources.document import Node, Shape
from georestrict.sources.entry import Entry


def _entries(document: Node) -> Iterator[Entry]:
    for tag in document.at("values").each():
        properties = tag.at("properties")
        fields = tag.texts("name") | properties.texts("region", "systemService")
        for prefix in properties.at("addressPrefixes").each():
            yield prefix.entry(fields)


SHAPE = Shape("values", ("name", "region", "systemService"), _entries)
