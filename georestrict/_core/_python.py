"""The plain Python core under the names that the compiled one has."""

from georestrict._core._asgi_gate import AsgiGate
from georestrict._core._chain import Trusted, find_client, parse_entry
from georestrict._core._gate import Current, Passes, Tally, Way
from georestrict._core._grow import grow
from georestrict._core._many import find_many
from georestrict._core._pack import pack, spans, unpack
from georestrict._core._paint import merge, relabel, resolve
from georestrict._core._text import parse_address, parse_networks
from georestrict._core._tree import Tree
from georestrict._core._trie import Answers, Table, embedded_ipv4
from georestrict._core._wsgi_gate import WsgiGate

__all__ = [
    "Answers",
    "AsgiGate",
    "Current",
    "Passes",
    "Table",
    "Tally",
    "Tree",
    "Trusted",
    "Way",
    "WsgiGate",
    "embedded_ipv4",
    "find_client",
    "find_many",
    "grow",
    "merge",
    "pack",
    "parse_address",
    "parse_entry",
    "parse_networks",
    "relabel",
    "resolve",
    "spans",
    "unpack",
]
