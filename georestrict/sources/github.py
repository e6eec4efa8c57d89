"""The answer of GitHub's API at ``/meta``.

Lists of networks under one key a service: ``hooks``, ``web``, ``api``, ``git``, ``packages``,
``pages``, ``importer``, ``github_enterprise_importer``, ``actions``, ``actions_macos``,
``codespaces``, ``dependabot``, ``copilot``. A network may be in several. ``actions``,
``codespaces`` and what else GitHub rents from Azure are its users' machines. Described in the
GitHub REST API, "Get GitHub meta information".
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict._core import parse_network
from georestrict.sources.document import Node, Shape
from georestrict.sources.entry import Entry

_SERVICES = frozenset(
    {
        "actions",
        "actions_macos",
        "api",
        "codespaces",
        "copilot",
        "dependabot",
        "git",
        "github_enterprise_importer",
        "hooks",
        "importer",
        "packages",
        "pages",
        "web",
    }
)


def _entries(document: Node) -> Iterator[Entry]:
    document.at("hooks")
    for key in document.names():
        node = document.at(key)
        if key in _SERVICES or _lists_networks(node):
            for network in node.each():
                yield network.entry({"service": (key,)})


def _lists_networks(node: Node) -> bool:
    """Tell whether what a new key has are networks; SSH keys, for one, are none."""
    if not isinstance(node.value, list) or not node.value:
        return False
    try:
        parse_network(next(node.each()).text())
    except ValueError:
        return False
    return True


SHAPE = Shape("hooks", ("service",), _entries)
