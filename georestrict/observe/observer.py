"""The observer of a middleware: what it tells the operator."""

from __future__ import annotations

import atexit
import logging
import math
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any
from weakref import WeakSet

from georestrict._core import Tally
from georestrict.address import AddressReason, ClientAddress, Headers, Strategy
from georestrict.decision import Decision, Reason
from georestrict.diagnose import Diagnosis
from georestrict.engine import Engine
from georestrict.observe.event import LONGEST_TEXT, Event, Kind, cut, keyed, whole
from georestrict.observe.ledger import Ledger, Outcome, Ticket, outcome_of
from georestrict.observe.limit import Limit
from georestrict.observe.lines import logger as events
from georestrict.observe.options import Events
from georestrict.observe.route import route_of
from georestrict.repeats import Repeats
from georestrict.request import Request

logger = logging.getLogger("georestrict")

_ALL, _SOME = 1000, 100
_FAR = 1 << 30  # requests: as far as a sample may be
_PREFIX = {4: 24, 6: 48}
_REASONS = {str(reason): reason for reason in AddressReason}
_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_DOTTED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

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
    """Tells the operator what one middleware decides.

    ``engines`` are those by which it decides.
    """

    def __init__(
        self, client: Strategy, events: Events | None = None, engines: Iterable[Engine] = ()
    ) -> None:
        self.options = Events() if events is None else events
        #: defects, which may come with every request
        self.defects = Repeats(logger)
        self._told: set[str] = set()
        self._diagnosis: Diagnosis | None = Diagnosis(client)
        self._requests = 0
        self._unresolved = {reason: Tally(reason) for reason in AddressReason}
        self._ledgers = {engine: Ledger.of(engine) for engine in engines}
        self._limit = Limit(self.options.per_second, self.options.burst)
        #: when the requests without an event are to be told next, by ``time.monotonic``
        self.due = time.monotonic() + self.options.counts_every
        _OBSERVERS.add(self)

    @property
    def unresolved_counts(self) -> Counter[str]:
        """How many requests had no client address, by reason, in this process."""
        return Counter(
            {str(key): each.count for key, each in self._unresolved.items() if each.count}
        )

    @property
    def suppressed(self) -> int:
        """How many events the limit has left out in this process."""
        return self._limit.left_out

    def count(
        self, engine: Engine, tally: Tally, decision: Decision, drawn: bool | None = False
    ) -> Ticket | None:
        """Count a request; return the ticket for its event, if it is to have one.

        ``drawn`` is whether it is one of the sample, should it be plainly allowed; None: perhaps.
        """
        ticket = None
        try:
            if not decision.plain_allow:
                if decision.reason is Reason.PRIVATE:
                    self.once(Reason.PRIVATE, _PRIVATE)
                ticket = self._ticket(engine, tally)
            elif drawn is None and self.options.allows:
                drawn = random.random() < self.options.allows  # noqa: S311 - no secret
            if drawn and decision.plain_allow:
                ticket = self._ticket(engine, tally, 1 / self.options.allows)
        except Exception:
            self.defects.exception("an event could not be prepared; the request is counted")
        tally.add()
        return ticket

    def _ticket(self, engine: Engine, tally: Tally, weight: float | None = None) -> Ticket | None:
        if not events.isEnabledFor(logging.INFO):
            return None
        # Half of the burst is not for samples: they must not push out what was decided.
        burst = self.options.burst
        spare = 0 if weight is None else min(burst / 2, max(burst - 1, 0))
        if not self._limit.take(spare=spare):
            return None
        return self._ledger(engine).take(tally.decision, engine.now(), weight)

    def draw(self) -> int:
        """Return after how many plainly allowed requests the next of the sample comes.

        So each of them has the same chance, whatever came before (a geometric distribution).
        """
        share = self.options.allows
        if share >= 1:
            return 1
        number = math.log(1 - random.random()) / math.log1p(-share)  # noqa: S311 - no secret
        return 1 + int(min(number, _FAR))

    def _ledger(self, engine: Engine) -> Ledger:
        found = self._ledgers.get(engine)
        if found is None:
            found = self._ledgers[engine] = Ledger.of(engine)
        return found

    def decided(
        self,
        engine: Engine,
        ticket: Ticket,
        decision: Decision,
        client: ClientAddress,
        request: Request,
        method: str,
        /,
        **told: Any,
    ) -> None:
        """Write the event of a decision. ``told`` is what else is known, by its field."""
        if not ticket.use():
            return
        said = self._limit.say()
        try:
            location = decision.location
            event = Event(
                time=_time(ticket.at),
                kind=Kind.DECISION,
                **ticket.outcome._asdict(),
                subdivision=location.subdivision,
                via=location.via,
                categories=dict(location.categories),
                lists=tuple(sorted(location.lists)),
                stale=decision.stale,
                client=_REASONS.get(client.reason),  # the owner's strategy may have its own
                method=cut(method),
                protocol=request.protocol,
                sampled=ticket.weight,
                suppressed=said,
                **_of_client(self.options, client),
                **self._of_request(request),
                **told,
            )
            events.info(event, extra={"event": event})
        except Exception:
            self._limit.unsay(said)
            self._ledger(engine).give_back(ticket.outcome)
            self.defects.exception("an event could not be written; its request is counted")

    def _of_request(self, request: Request) -> dict[str, Any]:
        """Return the fields that depend on what the request says, as far as that can be read."""
        told: dict[str, Any] = {}
        path = str(request.path)
        if self.options.path is True:
            told["path"] = cut(path)
        if self.options.path:
            told["route"] = cut(route_of(path))
        with suppress(Exception):
            told["host"] = cut(",".join(request.hosts)) or None
        if self.options.account != "none":
            with suppress(Exception):
                told["account"] = self._account(request.account)
        return told

    def _account(self, account: str | None) -> str | None:
        if account is None or self.options.account == "none":
            return None
        if self.options.account == "keyed" and self.options.key is not None:
            return keyed(account, self.options.key)
        return cut(account)

    def flagged(self, engine: Engine, account: str, decision: Decision, **told: Any) -> None:
        """Write the event of an account that the app is told of."""
        said = 0
        try:
            if not events.isEnabledFor(logging.INFO) or not self._limit.take():
                return
            said = self._limit.say()
            event = Event(
                time=_time(engine.now()),
                kind=Kind.FLAGGED,
                count=0,
                **outcome_of(decision)._asdict(),
                account=self._account(account),
                suppressed=said,
                **told,
            )
            events.info(event, extra={"event": event})
        except Exception:
            self._limit.unsay(said)
            self.defects.exception("the event of a flagged account could not be written")

    def flush(self, *, last: bool = False) -> None:
        """Tell, as numbers, the requests that have no event of their own.

        ``last``: no more will be written for requests under way.
        """
        self.due = time.monotonic() + self.options.counts_every
        if not events.isEnabledFor(logging.INFO):
            return
        for engine, ledger in [*self._ledgers.items()]:
            try:
                left = ledger.settle(last=last)
            except Exception:
                self.defects.exception("the requests without an event could not be counted")
                continue
            for outcome, number in left.items():
                self._write_counts(engine, ledger, outcome, number)

    def _write_counts(self, engine: Engine, ledger: Ledger, outcome: Outcome, number: int) -> None:
        said = self._limit.say()
        try:
            event = Event(
                time=_time(engine.now()),
                kind=Kind.COUNTS,
                count=number,
                **outcome._asdict(),
                policy=shown_place(engine.policy.place),
                snapshot=engine.snapshot.id,
                suppressed=said,
            )
            events.info(event, extra={"event": event})
        except Exception:
            self._limit.unsay(said)
            ledger.give_back(outcome, number)
            self.defects.exception("counts could not be written; they come with the next")

    def begin_anew(self) -> None:
        """Begin in a forked process."""
        self._limit.begin_anew()
        self.due = time.monotonic() + self.options.counts_every

    def unresolved(self, client: ClientAddress) -> None:
        """Count it, and say once, for each reason, what to change so that clients can be told."""
        tally = self._unresolved.get(client.reason)
        if tally is not None:  # else the owner's strategy has a reason of its own
            tally.add()
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
            self.defects.exception("the set-up is no longer looked at")

    def once(self, key: str, message: str) -> None:
        """Log a warning the first time."""
        if key not in self._told:
            self._told.add(key)
            with suppress(Exception):  # of a handler
                logger.warning("%s", message)


def _of_client(options: Events, client: ClientAddress) -> dict[str, Any]:
    address = client.address
    if address is None or options.address == "none":
        return {}
    if options.address == "network":
        return {"address": truncated(address)}
    if options.address == "keyed" and options.key is not None:
        return {"address": keyed(str(address), options.key, of="address")}
    return {"address": str(address)}


def id_of(request: Request) -> str | None:
    """Return the id that a request came with: that of ``X-Request-ID``, or of its trace.

    It is the client's word, unless a proxy writes it. What is no id is none (W3C Trace Context,
    §3.2.2, says what ``traceparent`` looks like), and neither is what tells an address.
    """
    with suppress(Exception):
        told = (request.header("x-request-id") or b"")[:LONGEST_TEXT].decode("ascii", "replace")
        if _ID.fullmatch(told) and not _tells_address(told):
            return told
        trace = _TRACE.fullmatch((request.header("traceparent") or b"").decode("ascii", "replace"))
        return trace[1] if trace else None
    return None


def _tells_address(told: str) -> bool:
    if _DOTTED.search(told):
        return True
    try:
        return ":" in told and bool(ip_address(told))
    except ValueError:
        return False


@lru_cache(256)
def shown_place(place: str) -> str:
    """Return where a policy is, without folders outside the one that the app runs in."""
    path = Path(place)
    if path.is_absolute():
        with suppress(OSError, ValueError):
            path = path.relative_to(Path.cwd())
    shown = path.name if path.is_absolute() or ".." in path.parts else path.as_posix()
    return whole(shown)


def truncated(address: IPv4Address | IPv6Address) -> str:
    """Return the /24 or /48 network of an address."""
    return str(ip_network(f"{address}/{_PREFIX[address.version]}", strict=False))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_OBSERVERS: WeakSet[Observer] = WeakSet()


def _after_fork_in_child() -> None:
    for observer in _OBSERVERS:
        observer.begin_anew()


@atexit.register
def _flush_all() -> None:
    for observer in [*_OBSERVERS]:
        observer.flush(last=True)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
