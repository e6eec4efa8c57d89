"""The client's address: what a strategy finds, or why it finds none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

Headers = Iterable[tuple[bytes, bytes]]

#: The peer that adapters report for a connection over a unix socket.
UNIX_PEER = "unix:"


class AddressReason(StrEnum):
    """How a client address was found, or why it was not: stable codes for logs and metrics."""

    PEER = "peer"  #: the socket peer is the client
    FORWARDED = "forwarded"  #: taken from the declared header of a trusted proxy
    NO_PEER = "no_peer"  #: unresolved: the server does not know the peer
    PEER_MALFORMED = "peer_malformed"  #: unresolved: the server's peer is not an address
    UNIX_UNTRUSTED = "unix_untrusted"  #: unresolved: a unix socket that is not declared
    UNDECLARED_PROXY = "undeclared_proxy"  #: unresolved: private peer, undeclared forwarding header
    HEADER_MISSING = "header_missing"  #: unresolved: trusted proxy, no forwarding header
    HEADER_EMPTY = "header_empty"  #: unresolved: the header, or its deciding entry, is empty
    HEADER_MALFORMED = "header_malformed"  #: unresolved: the deciding entry is not an address
    HEADER_UNKNOWN = "header_unknown"  #: unresolved: the deciding entry is "unknown" or obfuscated
    HEADER_REPEATED = "header_repeated"  #: unresolved: a header that must be single is not
    ALL_TRUSTED = "all_trusted"  #: unresolved: every entry is a trusted proxy
    TOO_FEW_HOPS = "too_few_hops"  #: unresolved: fewer entries than declared hops
    ERROR = "error"  #: unresolved: the strategy failed: a defect, reported in the log


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """The client's address, or None if it is unresolved, and the reason."""

    address: IPv4Address | IPv6Address | None
    reason: AddressReason


#: The client of a request whose strategy failed.
FAILED = ClientAddress(None, AddressReason.ERROR)


class Strategy(Protocol):
    """What the middlewares' ``client`` option takes."""

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the client of a request; must not raise.

        ``peer`` is the socket peer's address, ``"unix:"`` for a unix socket, or None where the
        server does not know it. ``headers`` are names and values as bytes.
        """
        ...
