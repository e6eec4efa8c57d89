"""Set-ups in which clients cannot be told, or not told apart: recognised from the requests.

Nobody reads a strategy's reason codes until something is wrong. So a sample of the requests is
looked at as a whole (each one tells little), and what is wrong is said once, with the setting to
change. Nothing is kept of a client: only counts, and the first two addresses of a kind.
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
    place_of,
)
from georestrict.special import is_private

ENOUGH = 20  # requests of a kind, before anything is said of all of them
MANY = 60  # from one address, before that is worth a word: it may be only one client


class Finding(NamedTuple):
    """Something wrong with a set-up: a stable code, and a sentence that names what to change."""

    code: str
    message: str


def review(
    strategy: Strategy, private_is_blocked: bool, environment: Mapping[str, str]
) -> list[Finding]:
    """Return what is wrong with a set-up as it is written, before any request."""
    found = []
    for text in _declared(strategy):
        network = ip_network(text.partition("-")[0], strict=False) if "-" not in text else None
        narrowest = 16 if network is not None and network.version == 4 else 48
        if network is not None and network.is_private and network.prefixlen < narrowest:
            found.append(Finding("broad_range", _broad(text)))
    if isinstance(strategy, TrustedHops) and not _declared(strategy):
        found.append(Finding("believes_every_peer", _BELIEVES))
    if environment.get("FORWARDED_ALLOW_IPS"):
        found.append(Finding("server_rewrites_peer", _REWRITES))
    if private_is_blocked:
        found.append(Finding("private_is_blocked", _PRIVATE))
    return found


def _declared(strategy: Strategy) -> tuple[str, ...]:
    if isinstance(strategy, TrustedProxies | TrustedHops | SingleHeader):
        return strategy.ranges
    return ()


class _Kind:
    """How many requests of a kind were seen, and whether they came from one address or several."""

    def __init__(self) -> None:
        self.count = 0
        self.first: object = None
        self.several = False

    def add(self, value: object) -> None:
        self.count += 1
        if self.count == 1:
            self.first = value
        elif value != self.first:
            self.several = True

    def is_one(self, enough: int = ENOUGH) -> bool:
        """Whether there were enough, all from one address."""
        return self.count >= enough and not self.several


class Diagnosis:
    """What a sample of requests tells of a strategy's set-up."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._told: set[str] = set()
        self._trusted = 0  # requests whose peer was a trusted proxy
        self._too_few, self._hops_seen = 0, 0
        self._clients = _Kind()  # found in a header
        self._behind = _Kind()  # the entry to the left of the client, where there is one
        self._private_behind = 0  # private clients with an entry to the left
        self._untrusted = _Kind()  # peers that were not trusted, with the declared header
        self._forwarding_peers = _Kind()  # public peers of Peer() that send a forwarding header
        self._forwarded = _Kind()  # what they send
        self._families = {4: [0, 0], 6: [0, 0]}  # resolved and unresolved, by the family claimed

    def saw(
        self, peer: str | None, rewritten: bool, headers: Headers, client: ClientAddress
    ) -> list[Finding]:
        """Look at one request; return what is now known to be wrong and was not told before.

        ``rewritten``: the server gave the peer an address of its own finding.
        """
        headers = [*headers]
        entries = entries_of(self._strategy, headers)
        claimed = [value for name, value in headers if name.lower() in FORWARDING_HEADERS]
        self._count(peer, entries, claimed, client)
        found = [finding for finding in self._findings() if finding.code not in self._told]
        if claimed and rewritten and "server_rewrites_peer" not in self._told:
            found.append(Finding("server_rewrites_peer", _REWRITES))
        self._told |= {finding.code for finding in found}
        return found

    def _count(
        self,
        peer: str | None,
        entries: list[bytes],
        claimed: list[bytes],
        client: ClientAddress,
    ) -> None:
        reason = client.reason
        through_proxy = reason not in (AddressReason.PEER, AddressReason.UNDECLARED_PROXY)
        self._trusted += through_proxy and peer is not None
        if entries and not through_proxy:
            self._untrusted.add(_network(peer))
        if reason is AddressReason.TOO_FEW_HOPS:
            self._too_few += 1
            self._hops_seen = max(self._hops_seen, len(entries))
        if reason is AddressReason.FORWARDED:
            self._clients.add(client.address)
            place = place_of(self._strategy, entries, client)
            if place > 0:
                self._behind.add(entries[place - 1])
                self._private_behind += _is_private(client)
        if type(self._strategy) is Peer and claimed and reason is AddressReason.PEER:
            self._forwarding_peers.add(peer)
            self._forwarded.add(hash(tuple(claimed)))
        told = entries[-3:] or [str(peer or "").encode("ascii", "replace")]
        family = 6 if any(entry.count(b":") > 1 for entry in told) else 4
        self._families[family][client.address is None] += 1

    def _findings(self) -> list[Finding]:
        found = []
        strategy, clients = self._strategy, self._clients
        if isinstance(strategy, TrustedProxies | TrustedHops | SingleHeader):
            if self._untrusted.count >= ENOUGH and not self._trusted:
                found.append(Finding("ranges_never_match", _never_match(strategy, self._untrusted)))
            if self._behind.several and (clients.is_one() or self._private_behind >= ENOUGH):
                found.append(Finding("another_proxy", _another_proxy(strategy, clients.first)))
            elif clients.is_one(MANY) and not self._behind.several:
                found.append(Finding("one_client", _one_client(clients.first)))
        if isinstance(strategy, TrustedHops) and self._too_few >= ENOUGH and not clients.count:
            found.append(Finding("hop_count_too_high", _fewer(strategy, self._hops_seen)))
        if self._forwarding_peers.is_one() and self._forwarded.several:
            found.append(Finding("public_proxy", _public_proxy(self._forwarding_peers.first)))
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
    "the server has already put the header's client in the peer's place (uvicorn does that by "
    "default for peers on 127.0.0.1), so it is not derived again; let one party do it: start "
    "uvicorn with --no-proxy-headers, or leave out ProxyFix, and keep client="
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
    where = "several networks" if peers.several else str(peers.first)
    return (
        f"no peer was ever in the trusted ranges of {strategy!r}, but requests with the forwarding "
        f"header come from {where}: if your proxies are there, name that network instead"
    )


def _another_proxy(strategy: Strategy, client: object) -> str:
    fix = (
        f"TrustedHops({strategy.count + 1}, …)"
        if isinstance(strategy, TrustedHops)
        else "add its network to the trusted ranges"
    )
    return (
        f"clients resolve to {_shown(client)}, with other addresses to the left of it: another "
        f"proxy stands in front of the declared one, and every client looks like it; {fix}"
    )


def _one_client(client: object) -> str:
    return (
        f"every client resolves to {_shown(client)}: if clients are several, the proxy does not "
        "pass their addresses on; make it append to the header what it sees (nginx: "
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for), or look for another proxy "
        "in front of it"
    )


def _fewer(strategy: TrustedHops, hops: int) -> str:
    return (
        f"TrustedHops({strategy.count}) finds too few entries in every request; the chains have "
        f"at most {hops}, so set count={hops} if that many proxies of yours append to it"
    )


def _public_proxy(peer: object) -> str:
    return (
        f"every request comes from {_shown(peer)} with a forwarding header that differs: a proxy "
        "or load balancer stands in front, and all its clients look like it; set "
        "client=TrustedProxies(…) with its network, or one of georestrict.address.platforms"
    )


def _shown(address: object) -> str:
    """An address cut to its network, as in the log."""
    return _network(str(address)) or "one address"


def _network(peer: str | None) -> str | None:
    try:
        length = 48 if ":" in (peer or "") else 24
        return str(ip_network(f"{peer}/{length}", strict=False))
    except ValueError:
        return None


def _is_private(client: ClientAddress) -> bool:
    address = client.address
    return address is not None and is_private(address.version, int(address))
