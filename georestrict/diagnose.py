"""Set-ups in which clients cannot be told, or not told apart: recognised from the requests.

Nobody reads a strategy's reason codes until something is wrong. So a sample of the requests is
looked at as a whole (each one tells little), and what is wrong is said once, with the setting to
change. Counts are kept, and of each kind of address the first eight, in memory only.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import NamedTuple

from georestrict.address import (
    FORWARDING_HEADERS,
    AddressReason,
    ClientAddress,
    Headers,
    Peer,
    SingleHeader,
    Strategy,
    TrustedHops,
    TrustedProxies,
    entries_of,
    parse_entry,
    place_of,
    platforms,
    way_of,
)
from georestrict.special import is_private

ENOUGH = 20  # requests of a kind, before anything is said of all of them
MANY = 40  # the same where it may be only one client
ALL_BUT_ONE = 60  # the same where nothing else tells that there are several
FEW = 8  # addresses: the nodes of a proxy, rather than its clients
_LONGEST = 1024  # bytes of a header's end that are compared with the peer


class Finding(NamedTuple):
    """Something wrong with a set-up: a stable code, and a sentence that names what to change."""

    code: str
    message: str


def review(
    strategy: Strategy, private_is_blocked: bool, environment: Mapping[str, str]
) -> list[Finding]:
    """Return what is wrong with a set-up as it is written, before any request."""
    found = []
    if isinstance(strategy, TrustedProxies | TrustedHops | SingleHeader) and strategy not in _KNOWN:
        for text, span in zip(strategy.ranges, strategy.spans, strict=True):
            if _is_broad(*span):
                found.append(Finding("broad_range", _broad(text)))
        if not strategy.ranges and isinstance(strategy, TrustedHops):
            found.append(Finding("believes_every_peer", _BELIEVES))
    if environment.get("FORWARDED_ALLOW_IPS"):
        found.append(Finding("server_rewrites_peer", _REWRITES))
    if private_is_blocked:
        found.append(Finding("private_is_blocked", _PRIVATE))
    return found


#: Platforms on which every peer, or every private one, is the platform's proxy.
_KNOWN: tuple[Strategy, ...] = (platforms.heroku(), platforms.fly())


def _is_broad(version: int, first: int, last: int) -> bool:
    """Whether a range is wider than proxies need: private /16 and /48, public /9 and /28."""
    size = (last - first + 1).bit_length() - 1
    private = is_private(version, first)
    return size > ({4: 16, 6: 80} if private else {4: 23, 6: 100})[version]


class _Kind:
    """How many requests of a kind were seen, and which first few values they had."""

    def __init__(self) -> None:
        self.count = 0
        self.values: list[object] = []
        self.more = False

    def add(self, value: object) -> None:
        self.count += 1
        if value not in self.values:
            if len(self.values) < FEW:
                self.values.append(value)
            else:
                self.more = True

    @property
    def several(self) -> bool:
        """Whether they had more than one value."""
        return len(self.values) > 1

    def are_few(self, enough: int) -> bool:
        """Whether there were enough, and all had one of a few values."""
        return self.count >= enough and not self.more


class Diagnosis:
    """What a sample of requests tells of a strategy's set-up."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._told: set[str] = set()
        self._trusted = 0  # requests whose peer was a trusted proxy
        self._too_few, self._hops_seen = 0, 0
        self._clients = _Kind()  # clients that were found in a header
        self._behind = _Kind()  # the address to the left of the client, where there is one
        self._untrusted = _Kind()  # peers that were not trusted, with the header
        self._peers = _Kind()  # of Peer(): public peers
        self._private_peers = _Kind()  # of Peer(): private peers, whose requests tell no proxy
        self._rewritten = False  # the server said so
        self._claims, self._echoes = 0, 0  # forwarding headers, and those that tell the peer
        self._claimed = _Kind()  # what public peers of Peer() say in them
        self._families = {4: [0, 0], 6: [0, 0]}  # resolved and unresolved, by the family claimed

    def saw(
        self, peer: str | None, rewritten: bool, headers: Headers, client: ClientAddress
    ) -> list[Finding]:
        """Look at one request; return what is now known to be wrong and was not told before.

        ``rewritten``: the server gave the peer an address of its own finding.
        """
        headers = [(bytes(name).lower(), bytes(value)) for name, value in headers]
        entries = entries_of(self._strategy, headers)
        claimed = [value for name, value in headers if name in FORWARDING_HEADERS]
        self._count(peer, entries, claimed, rewritten, client)
        found = [finding for finding in self._findings() if finding.code not in self._told]
        self._told |= {finding.code for finding in found}
        return found

    def _count(
        self,
        peer: str | None,
        entries: list[bytes],
        claimed: list[bytes],
        rewritten: bool,
        client: ClientAddress,
    ) -> None:
        reason = client.reason
        through_proxy = reason not in (AddressReason.PEER, AddressReason.UNDECLARED_PROXY)
        self._trusted += through_proxy and peer is not None
        if entries and not through_proxy:
            self._untrusted.add(peer)
        if reason is AddressReason.TOO_FEW_HOPS:
            self._too_few += 1
            self._hops_seen = max(self._hops_seen, len(entries))
        if reason is AddressReason.FORWARDED:
            self._clients.add(client.address)
            place = place_of(self._strategy, entries, client)
            if place > 0 and isinstance(parse_entry(entries[place - 1]), tuple):
                self._behind.add(entries[place - 1])
        if claimed:
            self._claims += 1
            told = {entry.strip() for value in claimed for entry in value[-_LONGEST:].split(b",")}
            address = str(client.address).encode()
            self._rewritten = self._rewritten or rewritten
            self._echoes += any(_is_address(entry, address) for entry in told)
        if type(self._strategy) is Peer and reason is AddressReason.PEER:
            if _is_private(client):
                self._private_peers.add(peer)
            else:
                self._peers.add(peer)
                self._claimed.add(hash(tuple(claimed)))
        told_last = entries[-3:] or [str(peer or "").encode("ascii", "replace")]
        family = 6 if any(entry.count(b":") > 1 for entry in told_last) else 4
        self._families[family][client.address is None] += 1

    def _findings(self) -> list[Finding]:
        found = []
        strategy, clients = self._strategy, self._clients
        # the peer stands in the header: some server put it there (or a client says its own address)
        echoes = self._echoes >= ENOUGH and self._echoes >= 0.9 * self._claims
        rewrites = self._rewritten or (echoes and not self._trusted)
        if rewrites:
            found.append(Finding("server_rewrites_peer", _REWRITES))
        if isinstance(strategy, TrustedProxies | TrustedHops | SingleHeader):
            if self._untrusted.count >= ENOUGH and not self._trusted and not rewrites:
                found.append(Finding("ranges_never_match", _never_match(strategy, self._untrusted)))
            if clients.are_few(MANY):
                if self._behind.more:
                    found.append(Finding("another_proxy", _another_proxy(strategy, clients)))
                elif (
                    not self._behind.several
                    and not clients.several
                    and clients.count >= ALL_BUT_ONE
                ):
                    found.append(Finding("one_client", _one_client(strategy, clients)))
        if isinstance(strategy, TrustedHops) and self._too_few >= ENOUGH and not clients.count:
            found.append(Finding("hop_count_too_high", _fewer(strategy, self._hops_seen)))
        if self._peers.are_few(MANY) and self._claimed.more and not rewrites:
            found.append(Finding("public_proxy", _public_proxy(self._peers)))
        if self._private_peers.are_few(ALL_BUT_ONE) and not self._private_peers.several:
            found.append(Finding("one_private_peer", _private_peer(self._private_peers)))
        resolved, unresolved = self._families[6]
        if unresolved >= ENOUGH and not resolved and self._families[4][0] >= ENOUGH:
            found.append(Finding("ipv6_unresolved", _IPV6))
        return found


_BELIEVES = (
    "TrustedHops without ranges believes every peer: if anybody can reach the server except "
    "through the proxies, they choose their own address; give ranges=[…]"
)
_PRIVATE = (
    "loopback and private addresses are blocked: so are health checks and tests from this "
    "machine, unless a rule allows them; set fallback.private, or name their networks"
)
_REWRITES = (
    "the server seems to put the header's client in the peer's place before georestrict sees it "
    "(uvicorn does that by default for peers on 127.0.0.1); let one party find the client: start "
    "uvicorn with --no-proxy-headers, or leave out ProxyFix, and say with client= whom you trust"
)
_IPV6 = (
    "no IPv6 client can be told, though IPv4 clients can: see which reason their requests are "
    "unresolved for; a proxy that writes IPv6 with a port must put it in brackets, and proxies "
    "that connect over IPv6 must be in the trusted ranges, too"
)


def _broad(text: str) -> str:
    return (
        f"the trusted range {text} is broad: whoever is in it can claim to be any client; name "
        "the one subnet in which the proxies are"
    )


def _never_match(strategy: Strategy, peers: _Kind) -> str:
    return (
        f"no peer was ever in the trusted ranges of {strategy!r}, but requests with its header "
        f"come from {_named(peers)}: if your proxies are there, name their network instead; if "
        "not, clients reach the server past the proxies"
    )


def _another_proxy(strategy: Strategy, clients: _Kind) -> str:
    fix = (
        f"TrustedHops({strategy.count + 1}, …)"
        if isinstance(strategy, TrustedHops)
        else "with that network among the trusted ranges"
    )
    return (
        f"clients resolve to {_named(clients)} only, with ever other addresses to the left. If a "
        "proxy of yours, or a CDN that you use, is there, every client looks like it, and it must "
        f"be declared, too ({fix}); if not, these are clients that lie, and nothing is wrong"
    )


def _one_client(strategy: Strategy, clients: _Kind) -> str:
    way = way_of(strategy)
    header = way.header.decode() if way is not None else "x-forwarded-for"
    return (
        f"every client resolves to {_named(clients)}: if clients are several, the proxy does not "
        f"pass their addresses on in {header}, or another proxy stands in front of it; make it "
        "append (for one address: set) what it sees, and declare every proxy"
    )


def _fewer(strategy: TrustedHops, hops: int) -> str:
    return (
        f"TrustedHops({strategy.count}) finds too few entries in every request; the chains have "
        f"at most {hops}, so set count={hops} if that many proxies of yours append to it"
    )


def _public_proxy(peers: _Kind) -> str:
    return (
        f"every request comes from {_named(peers)}, with a forwarding header. If that is a proxy, "
        "a load balancer or a CDN that you use, all its clients look like it: set client= to "
        "TrustedProxies(…) with its network, or to one of georestrict.address.platforms; if not, "
        "these are clients that lie, and nothing is wrong"
    )


def _private_peer(peers: _Kind) -> str:
    return (
        f"every request comes from {peers.values[0]}, with no forwarding header: if that is not "
        "your only client, a load balancer or a container network stands in front that does not "
        "tell its clients, so all are taken for it; let it send X-Forwarded-For, and declare it "
        "with client=TrustedProxies(…)"
    )


def _named(addresses: _Kind) -> str:
    """Say where addresses are, cut to networks as in the log."""
    shown = list(dict.fromkeys(_network(str(value)) or "?" for value in addresses.values))
    return ", ".join(shown[:3]) + (" …" if addresses.more or len(shown) > 3 else "")


def _network(peer: str | None) -> str | None:
    try:
        length = 48 if ":" in (peer or "") else 24
        return str(ip_network(f"{peer}/{length}", strict=False))
    except ValueError:
        return None


def _is_address(entry: bytes, address: bytes) -> bool:
    """Whether an entry is an address, with or without a port."""
    return entry == address or entry.startswith((address + b":", b"[" + address + b"]"))


def _is_private(client: ClientAddress) -> bool:
    address = client.address
    return address is not None and is_private(address.version, int(address))
