"""The hot path: text to address to answer. Compiled by Cython where that was possible.

The compiled module and its twin in plain Python have the same names and give the same answers;
one test suite holds both against a gold model. Which one serves is decided here, once:

* ``GEORESTRICT_BACKEND=python`` or ``=compiled`` chooses;
* ``GEORESTRICT_REQUIRE_COMPILED=1`` turns a missing compiled core into an error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from georestrict._core._chain import (
    ALL_TRUSTED,
    EMPTY,
    FORWARDED,
    LIST,
    MALFORMED,
    MOST_BYTES,
    MOST_ENTRIES,
    TOO_FEW,
    UNKNOWN,
)
from georestrict._core._gate import (
    BY_CHAIN,
    BY_PATH,
    BY_PEER,
    BY_SINGLE,
    PLAIN,
    PLAIN_PRIVATE,
    SLOW,
    WEBSOCKET,
)
from georestrict._core._many import CARRIES, PRIVATE
from georestrict._core._paint import Runs
from georestrict._core._text import Columns, parse_network, strip_comment

_wanted = os.environ.get("GEORESTRICT_BACKEND", "")
if _wanted not in ("", "compiled", "python"):
    raise ImportError(f"GEORESTRICT_BACKEND is {_wanted!r}; it must be 'compiled' or 'python'")
_required = _wanted == "compiled" or os.environ.get("GEORESTRICT_REQUIRE_COMPILED", "") not in (
    "",
    "0",
)

BACKEND = "python"
if TYPE_CHECKING or _wanted == "python":
    from georestrict._core import _python as _core
else:
    try:
        from georestrict._core import _compiled as _core

        BACKEND = "compiled"
    except ImportError as error:
        if _required:
            raise ImportError(
                "georestrict's compiled core is missing but required; "
                "install a wheel for this platform, or a C compiler and reinstall"
            ) from error
        from georestrict._core import _python as _core

Answers = _core.Answers
AsgiGate = _core.AsgiGate
Current = _core.Current
Passes = _core.Passes
Table = _core.Table
Tally = _core.Tally
Tree = _core.Tree
Trusted = _core.Trusted
Way = _core.Way
WsgiGate = _core.WsgiGate
embedded_ipv4 = _core.embedded_ipv4
find_client = _core.find_client
find_many = _core.find_many
grow = _core.grow
merge = _core.merge
pack = _core.pack
parse_address = _core.parse_address
parse_entry = _core.parse_entry
parse_networks = _core.parse_networks
relabel = _core.relabel
resolve = _core.resolve
spans = _core.spans
unpack = _core.unpack

__all__ = [
    "ALL_TRUSTED",
    "BACKEND",
    "BY_CHAIN",
    "BY_PATH",
    "BY_PEER",
    "BY_SINGLE",
    "CARRIES",
    "EMPTY",
    "FORWARDED",
    "LIST",
    "MALFORMED",
    "MOST_BYTES",
    "MOST_ENTRIES",
    "PLAIN",
    "PLAIN_PRIVATE",
    "PRIVATE",
    "SLOW",
    "TOO_FEW",
    "UNKNOWN",
    "WEBSOCKET",
    "Answers",
    "AsgiGate",
    "Columns",
    "Current",
    "Passes",
    "Runs",
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
    "parse_network",
    "parse_networks",
    "relabel",
    "resolve",
    "spans",
    "strip_comment",
    "unpack",
]
