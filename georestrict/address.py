"""Who is asking: the client's address, from the socket peer and, if declared, from a header.

A strategy is a small frozen value that says whom it trusts. It is built by a constructor that can
fail and used by :meth:`resolve`, which cannot: what it cannot decide is *unresolved*, with a
reason, never a guess. Only the right end of a header is read, since each trusted proxy appends
there what it saw itself; everything further left is the client's own text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from georestrict._core import parse_address, parse_network
from georestrict.errors import ConfigurationError
from georestrict.special import is_private

Headers = Iterable[tuple[bytes, bytes]]

#: The peer that adapters report for a connection over a unix socket.
UNIX_PEER = "unix:"

_TAIL_BYTES = 8192
_TAIL_ENTRIES = 64

#: Headers by which proxies pass a client's address on. One of them on a request from a private
#: peer means that a proxy stands in front, whatever the set-up says.
FORWARDING_HEADERS = frozenset(
    {
        b"cf-connecting-ip",
        b"cloudfront-viewer-address",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"true-client-ip",
        b"x-azure-clientip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded",
        b"x-forwarded-for",
        b"x-original-forwarded-for",
        b"x-real-ip",
    }
)


class AddressReason(StrEnum):
    """How a client address was found, or why it was not: stable codes for logs and metrics."""

    PEER = "peer"  #: the socket peer is the client
    FORWARDED = "forwarded"  #: taken from the declared header of a trusted proxy
    NO_PEER = "no_peer"  #: unresolved: the server does not know the peer
    PEER_MALFORMED = "peer_malformed"  #: unresolved: the server's peer is not an address
    UNIX_UNTRUSTED = "unix_untrusted"  #: unresolved: a unix socket that is not declared
    UNDECLARED_PROXY = "undeclared_proxy"  #: unresolved: private peer, undeclared forwarding header
    HEADER_MISSING = "header_missing"  #: unresolved: trusted proxy, no forwarding header
    HEADER_EMPTY = "header_empty"  #: unresolved: the header holds no entry
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


@dataclass(frozen=True, slots=True)
class Peer:
    """The socket peer is the client: for servers that clients reach directly.

    A private peer that sends a forwarding header is a proxy that nobody declared: unresolved.

    >>> Peer().resolve("81.2.69.142", []).address
    IPv4Address('81.2.69.142')
    """

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the peer."""
        parsed = _parse_peer(peer)
        if isinstance(parsed, AddressReason):
            return ClientAddress(None, parsed)
        return _peer_as_client(parsed, headers)


def checked_strategy(client: Strategy | None) -> Strategy:
    """Return the strategy of a middleware's ``client`` option: ``Peer()`` if it was left out.

    Raises:
        ConfigurationError: if it is no strategy, such as the text of a network.
    """
    if client is None:
        return Peer()
    if isinstance(client, type) or not callable(getattr(client, "resolve", None)):
        ranges = client if isinstance(client, str) else "10.0.3.0/24"
        raise ConfigurationError(
            f"options: client is {client!r}, must be a strategy from georestrict.address, "
            f"such as TrustedProxies({ranges!r})"
        )
    return client


class _Ranges:
    """Networks to test addresses against; IPv4-mapped ones are IPv4."""

    __slots__ = ("spans", "text")

    def __init__(self, ranges: Iterable[str], owner: str) -> None:
        if isinstance(ranges, str) or not isinstance(ranges, Iterable):
            raise ConfigurationError(f"{owner}: ranges must be a list of networks, got {ranges!r}")
        self.text = tuple(ranges)
        if not self.text:
            raise ConfigurationError(
                f"{owner}: name at least one trusted range, such as '10.0.3.0/24'"
            )
        spans = []
        for entry in self.text:
            if not isinstance(entry, str):
                raise ConfigurationError(f"{owner}: range {entry!r} must be text")
            try:
                spans.append(parse_network(entry))
            except ValueError as error:
                raise ConfigurationError(f"{owner}: trusted range {entry!r}: {error}") from None
        self.spans = tuple(spans)

    def __contains__(self, parsed: tuple[int, int]) -> bool:
        version, value = parsed
        return any(of == version and first <= value <= last for of, first, last in self.spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ranges) and self.spans == other.spans

    def __hash__(self) -> int:
        return hash(self.spans)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TrustedProxies:
    """Walk ``X-Forwarded-For`` from the right, past every trusted proxy, to the client.

    ``ranges`` are the proxies' networks, as narrow as can be: who is inside them can be believed
    to write the header truthfully. ``unix=True`` trusts a peer on a unix socket.

    >>> proxies = TrustedProxies("10.0.3.0/24")
    >>> header = (b"x-forwarded-for", b"1.2.3.4, 81.2.69.142")
    >>> proxies.resolve("10.0.3.7", [header]).address  # the left entry is the client's own text
    IPv4Address('81.2.69.142')

    Raises:
        ConfigurationError: for a range that is none, has host bits set, or for no range at all.
    """

    header: str
    unix: bool
    _ranges: _Ranges

    def __init__(self, *ranges: str, header: str = "x-forwarded-for", unix: bool = False) -> None:
        if not isinstance(unix, bool):
            raise ConfigurationError(f"TrustedProxies: unix is {unix!r}, must be True or False")
        if not isinstance(header, str) or header.lower() != "x-forwarded-for":
            raise ConfigurationError(
                f"TrustedProxies: header {header!r} is not read; write 'x-forwarded-for'"
            )
        object.__setattr__(self, "header", header.lower())
        object.__setattr__(self, "unix", unix)
        object.__setattr__(self, "_ranges", _Ranges(ranges, "TrustedProxies"))

    @property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """The trusted ranges as IP version, first and last address."""
        return self._ranges.spans

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the right-most entry that is not a trusted proxy, if the peer is one."""
        refused = _refused_peer(peer, headers, self._ranges, self.unix)
        if refused is not None:
            return refused
        entries = _entries(headers, self.header.encode())
        if isinstance(entries, AddressReason):
            return ClientAddress(None, entries)
        for entry in reversed(entries):
            parsed = _parse_entry(entry)
            if isinstance(parsed, AddressReason):
                return ClientAddress(None, parsed)
            if parsed not in self._ranges:
                return ClientAddress(_address(parsed), AddressReason.FORWARDED)
        return ClientAddress(None, AddressReason.ALL_TRUSTED)

    def __repr__(self) -> str:
        return f"TrustedProxies({', '.join(map(repr, self._ranges.text))}, unix={self.unix})"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TrustedHops:
    """Take the ``count``-th entry of ``X-Forwarded-For`` from the right.

    For chains whose length is fixed and whose addresses are not: ``count`` is the number of proxies
    of yours that append an entry. Without ``ranges`` every peer is trusted: use that only where
    clients cannot reach the server except through the proxies.

    Raises:
        ConfigurationError: for a count below 1, or a range that is none.
    """

    count: int
    _ranges: _Ranges | None

    def __init__(self, count: int, ranges: Iterable[str] | None = None) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigurationError(
                f"TrustedHops: count must be a whole number from 1, got {count!r}"
            )
        if count > _TAIL_ENTRIES:
            raise ConfigurationError(
                f"TrustedHops: count must be at most {_TAIL_ENTRIES}, got {count}"
            )
        object.__setattr__(self, "count", count)
        object.__setattr__(
            self, "_ranges", None if ranges is None else _Ranges(ranges, "TrustedHops")
        )

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the entry, if the peer is trusted."""
        if self._ranges is not None:
            refused = _refused_peer(peer, headers, self._ranges, unix=False)
            if refused is not None:
                return refused
        entries = _entries(headers, b"x-forwarded-for")
        if isinstance(entries, AddressReason):
            return ClientAddress(None, entries)
        if len(entries) < self.count:
            return ClientAddress(None, AddressReason.TOO_FEW_HOPS)
        return _entry_as_client(entries[-self.count])

    def __repr__(self) -> str:
        ranges = "" if self._ranges is None else f", ranges={list(self._ranges.text)}"
        return f"TrustedHops({self.count}{ranges})"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SingleHeader:
    """Take the one address in a header that a trusted proxy sets, such as ``CF-Connecting-IP``.

    ``proxies`` are the networks of the proxies that set it, and remove it from clients' requests.

    Raises:
        ConfigurationError: for a name that is no header name, or a range that is none.
    """

    name: str
    _ranges: _Ranges

    def __init__(self, name: str, proxies: Iterable[str]) -> None:
        allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
        if not isinstance(name, str) or not name or not set(name.lower()) <= allowed:
            raise ConfigurationError(
                f"SingleHeader: {name!r} is no header name of letters, digits and '-'"
            )
        object.__setattr__(self, "name", name.lower())
        object.__setattr__(self, "_ranges", _Ranges(proxies, "SingleHeader"))

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the header's address, if the peer is a trusted proxy."""
        headers = [*headers]
        refused = _refused_peer(peer, headers, self._ranges, unix=False)
        if refused is not None:
            return refused
        name = self.name.encode()
        values = [value for key, value in headers if key.lower() == name]
        if not values:
            return ClientAddress(None, AddressReason.HEADER_MISSING)
        if len(values) > 1:
            return ClientAddress(None, AddressReason.HEADER_REPEATED)
        return _entry_as_client(values[0][: _TAIL_BYTES + 1])

    def __repr__(self) -> str:
        return f"SingleHeader({self.name!r}, proxies={list(self._ranges.text)})"


def _parse_peer(peer: str | None) -> tuple[int, int] | AddressReason:
    if not peer or not isinstance(peer, str):
        return AddressReason.NO_PEER
    if peer == UNIX_PEER:
        return AddressReason.UNIX_UNTRUSTED
    parsed = parse_address(peer)
    if parsed is None and "%" in peer:
        parsed = parse_address(peer.partition("%")[0])  # a link-local peer's zone (RFC 4007)
    return AddressReason.PEER_MALFORMED if parsed is None else parsed


def _refused_peer(
    peer: str | None, headers: Headers, ranges: _Ranges, unix: bool
) -> ClientAddress | None:
    """Return what a request from an untrusted peer is, or None if the peer is trusted."""
    parsed = _parse_peer(peer)
    if parsed is AddressReason.UNIX_UNTRUSTED and unix:
        return None
    if isinstance(parsed, AddressReason):
        return ClientAddress(None, parsed)
    return None if parsed in ranges else _peer_as_client(parsed, headers)


def _peer_as_client(parsed: tuple[int, int], headers: Headers) -> ClientAddress:
    if is_private(*parsed) and any(name.lower() in FORWARDING_HEADERS for name, _ in headers):
        return ClientAddress(None, AddressReason.UNDECLARED_PROXY)
    return ClientAddress(_address(parsed), AddressReason.PEER)


def _entries(headers: Headers, wanted: bytes) -> list[bytes] | AddressReason:
    """Return the right tail of a list header, its lines joined in order, as entries."""
    lines = [value for name, value in headers if name.lower() == wanted]
    if not lines:
        return AddressReason.HEADER_MISSING
    pieces: list[bytes] = []
    room, whole = _TAIL_BYTES, True
    for line in reversed(lines):
        if len(line) > room:
            cut = len(line) - max(room, 0)
            if room > 0:
                pieces.append(line[cut:])
                whole = _entry_begins(line, cut)
            break
        pieces.append(line)
        room -= len(line) + 1
    entries = b",".join(reversed(pieces)).rsplit(b",", _TAIL_ENTRIES)
    if len(entries) > _TAIL_ENTRIES or not whole:
        del entries[0]  # the client's own text, or a piece of an entry
    if not entries:
        return AddressReason.HEADER_MALFORMED
    if not any(entry.strip(b" \t") for entry in entries):
        return AddressReason.HEADER_EMPTY
    return entries


def _entry_begins(line: bytes, at: int) -> bool:
    """Return whether nothing but a comma and white space stands before a place in a line."""
    before = line[max(0, at - _TAIL_BYTES) : at].rstrip(b" \t")
    return before.endswith(b",") or (not before and at <= _TAIL_BYTES)


def _entry_as_client(entry: bytes) -> ClientAddress:
    parsed = _parse_entry(entry)
    if isinstance(parsed, AddressReason):
        return ClientAddress(None, parsed)
    return ClientAddress(_address(parsed), AddressReason.FORWARDED)


def _parse_entry(entry: bytes) -> tuple[int, int] | AddressReason:
    """Parse ``address``, ``IPv4:port``, ``[IPv6]`` or ``[IPv6]:port``, with spaces around."""
    text = entry.strip(b" \t").decode("latin-1")
    if text.lower() == "unknown" or text.startswith("_"):
        return AddressReason.HEADER_UNKNOWN
    parsed = parse_address(text)
    if parsed is not None:
        return parsed
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if bracket and ":" in host and (not rest or (rest[0] == ":" and _is_port(rest[1:]))):
            parsed = parse_address(host)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if _is_port(port):
            parsed = parse_address(host)
    return AddressReason.HEADER_MALFORMED if parsed is None else parsed


def _is_port(text: str) -> bool:
    return 1 <= len(text) <= 5 and text.isascii() and text.isdigit() and int(text) <= 65535


def _address(parsed: tuple[int, int]) -> IPv4Address | IPv6Address:
    version, value = parsed
    return IPv4Address(value) if version == 4 else IPv6Address(value)
