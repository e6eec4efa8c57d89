"""Who is asking: the client's address, from the socket peer and, if declared, from a header.

A strategy is a small frozen value that says whom it trusts. It is built by a constructor that can
fail and used by ``resolve``, which cannot: what it cannot decide is *unresolved*, with a reason,
never a guess. Only the right end of a header is read, since each trusted proxy appends there what
it saw itself; everything further left is the client's own text.

>>> proxies = TrustedProxies("10.0.3.0/24")
>>> proxies.resolve("10.0.3.7", [(b"x-forwarded-for", b"1.2.3.4, 81.2.69.142")])
ClientAddress(address=IPv4Address('81.2.69.142'), reason=<AddressReason.FORWARDED: 'forwarded'>)
"""

from georestrict._core import parse_entry
from georestrict.address import platforms
from georestrict.address.client import (
    FAILED,
    UNIX_PEER,
    AddressReason,
    ClientAddress,
    Headers,
    Strategy,
)
from georestrict.address.header import FORWARDING_HEADERS
from georestrict.address.strategies import (
    Peer,
    SingleHeader,
    TrustedHops,
    TrustedProxies,
    checked_strategy,
    entries_of,
    place_of,
    way_of,
)

__all__ = [
    "FAILED",
    "FORWARDING_HEADERS",
    "UNIX_PEER",
    "AddressReason",
    "ClientAddress",
    "Headers",
    "Peer",
    "SingleHeader",
    "Strategy",
    "TrustedHops",
    "TrustedProxies",
    "checked_strategy",
    "entries_of",
    "parse_entry",
    "place_of",
    "platforms",
    "way_of",
]
