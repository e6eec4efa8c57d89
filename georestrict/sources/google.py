"""Google ``cloud.json`` (its customers' machines) and ``goog.json`` (everything of Google).

``prefixes[]``, each with ``ipv4Prefix`` or ``ipv6Prefix``; in ``cloud.json`` with ``service`` and
``scope``, the region. Described in "Obtain Google IP address ranges". Google's crawlers
(``googlebot.json``) and those of others have the same form.
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.sources.document import Node, Shape
from georestrict.sources.entry import Entry

_FIELDS = ("service", "scope")


def _entries(document: Node) -> Iterator[Entry]:
    for each in document.at("prefixes").each():
        key = "ipv6Prefix" if each.has("ipv6Prefix") else "ipv4Prefix"
        yield each.at(key).entry(each.texts(*_FIELDS))


SHAPE = Shape("prefixes", _FIELDS, _entries)
