"""The observer of a middleware: what it tells the operator."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import date
from ipaddress import IPv4Address, IPv6Address, ip_network

from georestrict.address import AddressReason, ClientAddress, Headers, Strategy
from georestrict.decision import Decision, Reason
from georestrict.diagnose import Diagnosis
from georestrict.policy import Action

logger = logging.getLogger("georestrict")

_LONGEST_TEXT = 128
_ALL, _SOME = 1000, 100
_PREFIX = {4: 24, 6: 48}

_FIXES = {
    AddressReason.UNDECLARED_PROXY: (
        "a private peer sent a forwarding header: a proxy or load balancer stands in front, and "
        "nobody declared it, so clients cannot be told; set client=TrustedProxies('<its subnet>') "
        "from georestrict.address"
    ),
    AddressReason.UNIX_UNTRUSTED: (
        "requests come over a unix socket that is not declared; "
        "set client=TrustedProxies(..., unix=True)"
    ),
    AddressReason.HEADER_MISSING: (
        "a trusted proxy did not send the header that client= reads, so its clients cannot be "
        "told; make it send that one (for X-Forwarded-For in nginx: proxy_set_header "
        "X-Forwarded-For $proxy_add_x_forwarded_for), or take it out of the trusted ranges"
    ),
    AddressReason.HEADER_MALFORMED: (
        "the entry of the forwarding header that decides is no address; see what the proxy "
        "writes there, and that it appends to the right (an IPv6 address with a port needs "
        "brackets)"
    ),
    AddressReason.TOO_FEW_HOPS: (
        "the forwarding header has fewer entries than declared hops; if that is so for every "
        "request, lower the count of TrustedHops, else a client has come past a proxy"
    ),
    AddressReason.ALL_TRUSTED: (
        "every entry of the forwarding header is a trusted proxy: the request comes from a proxy's "
        "own machine, or the ranges hold clients, too; then declare narrower ones"
    ),
    AddressReason.NO_PEER: (
        "the server does not tell the peer's address; check how it is started "
        "(a unix socket must be declared)"
    ),
}

_PRIVATE = (
    "a loopback or private address is not let through by this policy; if such clients are yours, "
    'set fallback.private = "allow", or name their networks in an allow rule'
)


class Observer:
    """Writes the log lines of one middleware."""

    def __init__(self, client: Strategy) -> None:
        self._told: set[str] = set()
        self._diagnosis: Diagnosis | None = Diagnosis(client)
        self._requests = 0

    def decided(
        self,
        decision: Decision,
        client: ClientAddress,
        method: str,
        path: str,
        request_id: str | None = None,
        data: date | None = None,
    ) -> None:
        """Log a decision that is not a plain allow; the client was told ``request_id``.

        ``data`` is the date of the data about countries.
        """
        if decision.reason is Reason.PRIVATE:
            self.once(Reason.PRIVATE, _PRIVATE)
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", line(decision, client, method, path, request_id, data))

    def unresolved(self, client: ClientAddress) -> None:
        """Say once, for each reason, what to change so that clients can be told."""
        fix = _FIXES.get(client.reason)
        if fix is not None:
            self.once(client.reason, f"client address unresolved ({client.reason}): {fix}")

    def saw(
        self, peer: str | None, rewritten: bool, headers: Headers, client: ClientAddress
    ) -> None:
        """Look at a request, or at every hundredth when there were many; say once what is wrong."""
        self._requests += 1
        if self._diagnosis is None or (self._requests > _ALL and self._requests % _SOME):
            return
        try:
            for finding in self._diagnosis.saw(peer, rewritten, headers, client):
                self.once(finding.code, finding.message)
        except Exception:  # a defect here must not touch the request
            self._diagnosis = None
            logger.exception("the set-up is no longer looked at")

    def once(self, key: str, message: str) -> None:
        """Log a warning the first time."""
        if key not in self._told:
            self._told.add(key)
            logger.warning("%s", message)


def line(
    decision: Decision,
    client: ClientAddress,
    method: str,
    path: str,
    request_id: str | None = None,
    data: date | None = None,
) -> str:
    """Return a decision as one log line of ``key=value`` fields."""
    verb = {"block": "blocked", "warn": "warned", "allow": "allowed"}[decision.decided]
    if decision.emergency:
        verb = f"emergency {verb}"
    elif decision.would is not None:
        verb = f"dry-run {verb}"
    elif decision.counted and decision.action is Action.ALLOW:
        verb = "counted"
    fields: Sequence[tuple[str, object]] = (
        ("country", decision.country),
        ("reason", decision.reason),
        ("rule", decision.rule and escaped(decision.rule)),
        *[("counted", escaped(",".join(decision.counted)))][: len(decision.counted)],
        ("code", decision.code),
        ("network", truncated(client.address)),
        ("client", client.reason),
        ("data", data),
        *[("stale", escaped(",".join(decision.stale)))][: len(decision.stale)],
        ("method", escaped(method)),
        ("path", escaped(path)),
        *(() if request_id is None else (("request", request_id),)),
    )
    return " ".join([verb, *(f"{key}={'-' if value is None else value}" for key, value in fields)])


def truncated(address: IPv4Address | IPv6Address | None) -> str | None:
    """Return the /24 or /48 network of an address."""
    if address is None:
        return None
    return str(ip_network(f"{address}/{_PREFIX[address.version]}", strict=False))


def escaped(text: str) -> str:
    """Return text from outside as a quoted ASCII string of bounded length."""
    return json.dumps(text[:_LONGEST_TEXT])
