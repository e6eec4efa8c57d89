"""Tor's ``exit-addresses``, as TorDNSEL and CollecTor publish it.

Lines of a keyword and what it says: ``ExitNode``, ``Published``, ``LastStatus``, and
``ExitAddress`` with an address and the time at which a test came from it. Described in "TorDNSEL
Exit List Format".
The bulk exit list, one address a line, is a plain list of networks.
"""

from __future__ import annotations

from collections.abc import Iterator

from georestrict.errors import FormatError
from georestrict.sources.document import decoded
from georestrict.sources.entry import Entry, shown

#: How a line begins; the first two stand before the nodes in CollecTor's files.
KEYWORDS = ("@type", "Downloaded", "ExitNode", "Published", "LastStatus", "ExitAddress")


def entries(data: bytes, name: str) -> Iterator[Entry]:
    """Yield the exit addresses.

    Raises:
        FormatError: naming the line.
    """
    for number, line in enumerate(decoded(data, name).split("\n"), 1):
        words = line.split()
        if not words:
            continue
        if words[0] not in KEYWORDS:
            raise FormatError(
                f"{name}:{number}: {shown(words[0])}: expected one of {', '.join(KEYWORDS)}"
            )
        if words[0] == "ExitAddress":
            if len(words) != 4:
                raise FormatError(
                    f"{name}:{number}: {shown(line.strip())}: expected 'ExitAddress', an address, "
                    "a date and a time"
                )
            yield Entry(words[1], f"{name}:{number}", {}, line=number)
