"""The strategies: each names the peers and the header that it trusts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from georestrict._core import (
    ALL_TRUSTED,
    BY_CHAIN,
    BY_PEER,
    BY_SINGLE,
    EMPTY,
    FORWARDED,
    LIST,
    MALFORMED,
    MOST_BYTES,
    MOST_ENTRIES,
    TOO_FEW,
    UNKNOWN,
    Way,
    find_client,
    parse_address,
    parse_entry,
)
from georestrict.address.client import (
    UNIX_PEER,
    AddressReason,
    ClientAddress,
    Headers,
    Strategy,
)
from georestrict.address.header import FORWARDING_HEADERS, lines, right_end
from georestrict.address.ranges import Ranges
from georestrict.errors import ConfigurationError
from georestrict.special import is_private

_GRAMMARS = {"x-forwarded-for": LIST, "forwarded": FORWARDED}
_TOLD = {
    EMPTY: AddressReason.HEADER_EMPTY,
    MALFORMED: AddressReason.HEADER_MALFORMED,
    UNKNOWN: AddressReason.HEADER_UNKNOWN,
    ALL_TRUSTED: AddressReason.ALL_TRUSTED,
    TOO_FEW: AddressReason.TOO_FEW_HOPS,
}
_HEADER_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


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


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TrustedProxies:
    """Walk a chain of hops from the right, past every trusted proxy, to the client.

    ``ranges`` are the proxies' networks, as narrow as can be: who is inside them can be believed
    to write the header truthfully. ``header`` is ``x-forwarded-for``, or ``forwarded`` (RFC 7239);
    the other one is not looked at. ``unix=True`` trusts a peer on a unix socket, and needs no
    ranges if there is no other proxy.

    >>> proxies = TrustedProxies("10.0.3.0/24")
    >>> header = (b"x-forwarded-for", b"1.2.3.4, 81.2.69.142")
    >>> proxies.resolve("10.0.3.7", [header]).address  # the left entry is the client's own text
    IPv4Address('81.2.69.142')

    Raises:
        ConfigurationError: for a range that is none or has host bits set, or if nobody is trusted.
    """

    header: str
    unix: bool
    _ranges: Ranges

    def __init__(self, *ranges: str, header: str = "x-forwarded-for", unix: bool = False) -> None:
        if not isinstance(unix, bool):
            raise ConfigurationError(f"TrustedProxies: unix is {unix!r}, must be True or False")
        if not isinstance(header, str) or header.lower() not in _GRAMMARS:
            raise ConfigurationError(
                f"TrustedProxies: header {header!r} is no chain of hops; write 'x-forwarded-for' "
                "or 'forwarded', or take SingleHeader for a header with one address"
            )
        object.__setattr__(self, "header", header.lower())
        object.__setattr__(self, "unix", unix)
        object.__setattr__(self, "_ranges", Ranges(ranges, "TrustedProxies", may_be_none=unix))

    @property
    def ranges(self) -> tuple[str, ...]:
        """The trusted ranges, as they were written."""
        return self._ranges.text

    @property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """The trusted ranges as IP version, first and last address."""
        return self._ranges.spans

    @property
    def way(self) -> Way:
        """How the gate may find the same client."""
        header, grammar = self.header.encode(), _GRAMMARS[self.header]
        return Way(BY_CHAIN, header, grammar, self._ranges.trusted, 0, self.unix)

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the right-most entry that is not a trusted proxy, if the peer is one."""
        headers = [*headers]
        refused = _refused_peer(peer, headers, self._ranges, self.unix, self.header.encode())
        if refused is not None:
            return refused
        values = lines(headers, self.header.encode())
        if not values:
            return ClientAddress(None, AddressReason.HEADER_MISSING)
        grammar = _GRAMMARS[self.header]
        return _found(find_client(*right_end(values, grammar), grammar, self._ranges.trusted, 0))

    def __repr__(self) -> str:
        ranges = "".join(f"{text!r}, " for text in self._ranges.text)
        return f"TrustedProxies({ranges}header={self.header!r}, unix={self.unix})"


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
    _ranges: Ranges | None

    def __init__(self, count: int, ranges: Iterable[str] | None = None) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigurationError(
                f"TrustedHops: count must be a whole number from 1, got {count!r}"
            )
        if count > MOST_ENTRIES:
            raise ConfigurationError(
                f"TrustedHops: count must be at most {MOST_ENTRIES}, got {count}"
            )
        object.__setattr__(self, "count", count)
        object.__setattr__(
            self, "_ranges", None if ranges is None else Ranges(ranges, "TrustedHops")
        )

    @property
    def ranges(self) -> tuple[str, ...]:
        """The trusted ranges, as they were written; none: every peer is trusted."""
        return () if self._ranges is None else self._ranges.text

    @property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """The trusted ranges as IP version, first and last address."""
        return () if self._ranges is None else self._ranges.spans

    @property
    def way(self) -> Way:
        """How the gate may find the same client."""
        trusted = None if self._ranges is None else self._ranges.trusted
        return Way(BY_CHAIN, b"x-forwarded-for", LIST, trusted, self.count)

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the entry, if the peer is trusted."""
        headers = [*headers]
        if self._ranges is not None:
            refused = _refused_peer(peer, headers, self._ranges, False, b"x-forwarded-for")
            if refused is not None:
                return refused
        values = lines(headers, b"x-forwarded-for")
        if not values:
            return ClientAddress(None, AddressReason.HEADER_MISSING)
        return _found(find_client(*right_end(values, LIST), LIST, None, self.count))

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
    _ranges: Ranges

    def __init__(self, name: str, proxies: Iterable[str]) -> None:
        if not isinstance(name, str) or not name or not set(name.lower()) <= _HEADER_NAME:
            raise ConfigurationError(
                f"SingleHeader: {name!r} is no header name of letters, digits and '-'"
            )
        object.__setattr__(self, "name", name.lower())
        object.__setattr__(self, "_ranges", Ranges(proxies, "SingleHeader"))

    @property
    def ranges(self) -> tuple[str, ...]:
        """The networks of the trusted proxies, as they were written."""
        return self._ranges.text

    @property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """The same as IP version, first and last address."""
        return self._ranges.spans

    @property
    def way(self) -> Way:
        """How the gate may find the same client."""
        return Way(BY_SINGLE, self.name.encode(), LIST, self._ranges.trusted)

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Return the header's address, if the peer is a trusted proxy."""
        headers = [*headers]
        refused = _refused_peer(peer, headers, self._ranges, False, self.name.encode())
        if refused is not None:
            return refused
        values = lines(headers, self.name.encode())
        if not values:
            return ClientAddress(None, AddressReason.HEADER_MISSING)
        if len(values) > 1:
            return ClientAddress(None, AddressReason.HEADER_REPEATED)
        return _found(parse_entry(values[0][: MOST_BYTES + 1]))

    def __repr__(self) -> str:
        return f"SingleHeader({self.name!r}, proxies={list(self._ranges.text)})"


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


def way_of(client: Strategy) -> Way | None:
    """Return how the gate may find the client that a strategy finds; None if only it can."""
    if type(client) is Peer:
        return Way(BY_PEER)
    if type(client) in (TrustedProxies, TrustedHops, SingleHeader):
        way: Way = client.way  # type: ignore[attr-defined]  # these three have one
        return way
    return None


def entries_of(client: Strategy, headers: Headers) -> list[bytes]:
    """Return the entries that a strategy's header has, for telling people about it."""
    way = way_of(client)
    if way is None or way.kind == BY_PEER:
        return []
    values = lines(headers, way.header)
    return right_end(values, way.grammar)[0].split(b",") if values else []


def place_of(client: Strategy, entries: list[bytes], found: ClientAddress) -> int:
    """Return which of these entries tells the client that was found: the right-most; 0 if none."""
    way = way_of(client)
    if way is None or found.address is None:
        return 0
    wanted = found.address.version, int(found.address)
    told = (find_client(entry, True, way.grammar, None, 1) == wanted for entry in entries)
    return max((at for at, same in enumerate(told) if same), default=0)


def _parse_peer(peer: str | None) -> tuple[int, int] | AddressReason:
    if not peer or not isinstance(peer, str):
        return AddressReason.NO_PEER
    if peer == UNIX_PEER:
        return AddressReason.UNIX_UNTRUSTED
    parsed: tuple[int, int] | None = parse_address(peer)
    if parsed is None and peer[:4].lower() == "fe80":
        parsed = parse_address(peer.partition("%")[0])  # a link-local peer's zone (RFC 4007)
    return AddressReason.PEER_MALFORMED if parsed is None else parsed


def _refused_peer(
    peer: str | None, headers: Headers, ranges: Ranges, unix: bool, header: bytes
) -> ClientAddress | None:
    """Return what a request from an untrusted peer is, or None if the peer is trusted."""
    parsed = _parse_peer(peer)
    if parsed is AddressReason.UNIX_UNTRUSTED and unix:
        return None
    if isinstance(parsed, AddressReason):
        return ClientAddress(None, parsed)
    return None if parsed in ranges else _peer_as_client(parsed, headers, header)


def _peer_as_client(
    parsed: tuple[int, int], headers: Headers, header: bytes = b"x-forwarded-for"
) -> ClientAddress:
    """Return the peer, unless it is private and its headers say that it is a proxy.

    ``header`` is the one that a strategy reads from others: it tells a proxy, whatever its name.
    """
    if is_private(*parsed):
        names = {bytes(name).lower() for name, _ in headers}
        if header in names or not names.isdisjoint(FORWARDING_HEADERS):
            return ClientAddress(None, AddressReason.UNDECLARED_PROXY)
    return ClientAddress(_address(parsed), AddressReason.PEER)


def _found(client: tuple[int, int] | int) -> ClientAddress:
    if isinstance(client, int):
        return ClientAddress(None, _TOLD[client])
    return ClientAddress(_address(client), AddressReason.FORWARDED)


def _address(parsed: tuple[int, int]) -> IPv4Address | IPv6Address:
    version, value = parsed
    return IPv4Address(value) if version == 4 else IPv6Address(value)
