"""Trying the cases of a policy (``[[tests]]``). The emergency switch is not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from georestrict.decision import Decision
from georestrict.labels import AsnLabel, Label, ListLabel, NetworksLabel
from georestrict.location import Location, Status
from georestrict.paths import as_sent
from georestrict.policy import Action, Credential, Policy
from georestrict.policy.cases import Case
from georestrict.policy.words import whole_families
from georestrict.request import Request
from georestrict.response.block import blocked, form_of
from georestrict.response.caller import HEADERS, Caller
from georestrict.snapshot import Snapshot
from georestrict.trial.past import somebody, supposed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the policy said to a case, and what of it was expected otherwise."""

    case: Case
    decision: Decision
    location: Location
    status: int | None  #: of our response; None where the app answers
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures


def tried(snapshot: Snapshot, case: Case) -> Trial:
    """Return what a policy says to one of its cases."""
    policy = snapshot.policy
    request = request_of(case, snapshot)
    location, labels = place_of(snapshot, case)
    aged = case.address is not None
    decision = snapshot.decide_at(location, labels, request, aged=aged)[1]
    status = _status(decision, policy, case)
    got = {
        "expect": str(decision.decided),
        "rule": decision.rule,
        "reason": str(decision.reason),
        "code": None if decision.code is None else str(decision.code),
        "status": status,
    }
    if case.address is not None:
        got["country"] = location.country
    failures = [
        f"{key} is {_shown(value)}, expected {_shown(getattr(case, key))}"
        for key, value in got.items()
        if getattr(case, key) is not None and getattr(case, key) != value
    ]
    return Trial(
        case=case,
        decision=decision,
        location=location,
        status=status,
        failures=tuple(failures),
    )


def place_of(snapshot: Snapshot, case: Case) -> tuple[Location, frozenset[Label]]:
    """Return where a case's request comes from, and the lists and networks that hold it.

    Without an address it is in no network, except in those that hold every IPv4 address: it is
    supposed to be one.
    """
    if case.address is not None:
        return snapshot.place(case.address)
    if case.case == Status.UNRESOLVED:
        return Location(status=Status.UNRESOLVED), frozenset()
    location = Location(
        country=case.country,
        subdivision=case.subdivision,
        categories=MappingProxyType(dict(case.categories)),
        status=Status.KNOWN if case.case is None else Status(case.case),
    )
    labels: set[Label] = {ListLabel(name) for name in case.lists}
    if case.asn is not None:
        labels.add(AsnLabel(case.asn))
    for words in snapshot.policy.conditions:
        if 4 in whole_families(words.networks):
            labels.add(NetworksLabel(words.networks))
    return location, frozenset(labels)


def request_of(case: Case, snapshot: Snapshot) -> Request:
    """Return the request of a case, which shows the credentials that it is supposed to show.

    It is to be judged once: the account that it may have has been here then.
    """
    attributes = dict(case.attributes)
    path, raw_path = as_sent(case.path)
    request = _Supposed(
        path,
        raw_path,
        case.method,
        case.protocol,
        [(name.encode("latin-1"), value.encode("utf-8")) for name, value in case.headers],
        case.host,
        lambda: attributes,
        None if case.at is None else case.at.timestamp(),
    )
    credentials = snapshot.policy.credentials
    request.supposed = tuple(credentials[name] for name in case.credentials)
    if case.account_seen_in:
        request.identity = somebody()
        request.history = supposed(case.account_seen_in, snapshot.time_of(request))
    return request


class _Supposed(Request):
    """A request that is supposed to show some credentials."""

    __slots__ = ("supposed",)

    supposed: tuple[Credential, ...]

    def shows(self, credential: Credential, now: float) -> bool:
        held = credential.until is None or now < credential.until.timestamp()
        return (held and credential in self.supposed) or super().shows(credential, now)


def _status(decision: Decision, policy: Policy, case: Case) -> int | None:
    """Return the status of the response that a blocked client gets, unless the app makes it."""
    if decision.decided is not Action.BLOCK or form_of(decision, policy).status is None:
        return None
    given = {HEADERS[name]: value for name, value in case.headers if name in HEADERS}
    return blocked(
        decision, policy, Caller(method=case.method, paths=(as_sent(case.path)[0],), **given)
    ).status


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
