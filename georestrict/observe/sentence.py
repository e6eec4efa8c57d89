"""Events in plain words, for those who are asked why."""

from __future__ import annotations

from datetime import UTC

from georestrict.address import AddressReason
from georestrict.countries import NAMES
from georestrict.decision import Reason
from georestrict.location import Status
from georestrict.observe.event import LONGEST_TEXT, Event, Kind, is_network
from georestrict.policy import Action

# Of one request, and of several.
_PLACES = {
    Status.UNKNOWN: (
        "the address is a public one, and the data knows no country of it",
        "the addresses are public ones, and the data knows no country of them",
    ),
    Status.PRIVATE: ("the address is not a public one", "the addresses are not public ones"),
    Status.UNRESOLVED: (
        "the client's address could not be told",
        "the clients' addresses could not be told",
    ),
    Status.NO_DATA: (
        "there was no data that could tell the address's country",
        "there was no data that could tell the addresses' countries",
    ),
}
_FOUND = {
    AddressReason.PEER: "it is that of the connection",
    AddressReason.FORWARDED: "a trusted proxy told it",
    AddressReason.NO_PEER: "the server did not know it",
    AddressReason.PEER_MALFORMED: "what the server gave was no address",
    AddressReason.UNIX_UNTRUSTED: "the request came over a unix socket that is not declared",
    AddressReason.UNDECLARED_PROXY: "a proxy that is not declared seems to be in front",
    AddressReason.HEADER_MISSING: "a trusted proxy did not send it",
    AddressReason.HEADER_EMPTY: "the forwarding header was empty",
    AddressReason.HEADER_MALFORMED: "what the forwarding header had was no address",
    AddressReason.HEADER_UNKNOWN: "the forwarding header hid it",
    AddressReason.HEADER_REPEATED: "the forwarding header came more than once",
    AddressReason.ALL_TRUSTED: "the forwarding header named trusted proxies only",
    AddressReason.TOO_FEW_HOPS: "the forwarding header had too few entries",
    AddressReason.ERROR: "looking for it failed",
}
_CAUSES = {
    Reason.COUNTRY: "the country",
    Reason.CATEGORY: "what the network is used for",
    Reason.NETWORK: "the network",
    Reason.ACCOUNT: "where the account was seen lately",
    Reason.REQUEST: "what was asked for",
}
_CASES = (Reason.UNKNOWN, Reason.PRIVATE, Reason.UNRESOLVED, Reason.NO_DATA)


def sentences(event: Event) -> str:
    """Return an event in plain English: what happened, why, and what is known of the address.

    An address proves nothing, so it only ever *appears to be* somewhere. What came with the request
    is escaped, and fit for a terminal.
    """
    time = event.time.astimezone(UTC)
    when = f"{time:%Y-%m-%d} at {time:%H:%M:%S} UTC"
    if event.kind is Kind.COUNTS:
        requests = "request" if event.count == 1 else "requests"
        told = [
            f"Until {when}, {event.count:,} more {requests} {_done(event, event.count != 1)}, "
            f"without an event of {'its' if event.count == 1 else 'their'} own: {_place(event)}",
            _why(event),
        ]
    elif event.kind is Kind.FLAGGED:
        account = f"the account {_shown(event.account)}" if event.account else "an account"
        told = [
            f"On {when} {account} was flagged, since as many of its requests were blocked as the "
            f"app had asked to be told of; of the last, {_place(event)}",
            _why(event),
        ]
    else:
        told = [
            f"On {when} {_request(event)} {_done(event)}: {_place(event)}",
            _why(event),
            *_known(event),
        ]
    if event.data is not None:
        told.append(f"the data about countries is of {event.data}")
    if event.stale:
        told.append(f"past the policy's limit of age: {_listed(event.stale)}")
    found = [f"{_upper('; '.join(told))}."]
    if event.sampled is not None:
        found.append(f"It is one of a sample, and stands for {event.sampled:g} allowed requests.")
    if event.request is not None:
        found.append(f"Its id is {_shown(event.request)}.")
    if event.account is not None and event.kind is Kind.DECISION:
        found.append(f"The account is {_shown(event.account)}.")
    if event.policy is not None:
        snapshot = f" (snapshot {_shown(event.snapshot)})" if event.snapshot else ""
        found.append(f"The policy was {_shown(event.policy)}{snapshot}.")
    if event.suppressed:
        events = "event was" if event.suppressed == 1 else "events were"
        found.append(f"Before it, {event.suppressed:,} {events} left out by the limit.")
    return " ".join(found)


def _request(event: Event) -> str:
    path = event.path or event.route
    if event.protocol == "websocket":
        what = "a WebSocket"
    else:
        what = "a request" if event.method is None else f"a {_shown(event.method)}"
    what += f" of {_shown(path)}" if path else ""
    return what + (f" at {_shown(event.host)}" if event.host else "")


def _done(event: Event, many: bool = False) -> str:
    was = "were" if many else "was"
    if event.emergency:
        return f"{was} let through with a warning, by the emergency switch, instead of blocked"
    if event.would is not None:
        would = "blocked" if event.would is Action.BLOCK else "let through with a warning"
        if event.would is Action.ALLOW:
            return f"{was} let through"
        return f"{was} let through in a dry run, and would have been {would}"
    if event.action is Action.BLOCK:
        return f"{was} blocked"
    if event.action is Action.WARN:
        return f"{was} let through with a warning"
    return f"{was} let through and counted" if event.counted else f"{was} let through"


def _place(event: Event) -> str:
    many = event.kind is Kind.COUNTS and event.count > 1
    if event.country is not None:
        name, code = NAMES.get(event.country), _shown(event.subdivision or event.country)
        appears = "the addresses appear" if many else "the address appears"
        return f"{appears} to be in {f'{name} ({code})' if name else code}"
    if event.status not in _PLACES:
        return "nothing was told of the address"
    return _PLACES[event.status][many]


def _why(event: Event) -> str:
    if event.rule is not None:
        cause = _CAUSES.get(event.reason)
        why = f"the rule {_quoted(event.rule)} decided" + (f", by {cause}" if cause else "")
    elif event.reason is Reason.ERROR:
        why = "deciding failed, which is a defect that the log has at the same time"
    elif event.reason is Reason.PREFLIGHT:
        why = "it was a browser's question (a CORS preflight), which the app lets through"
    elif event.reason in _CASES:
        why = f"the policy's fallback for such addresses ({event.reason}) decided"
    else:
        why = "no rule matched, and the policy's default decided"
    if event.counted:
        rules = "rule" if len(event.counted) == 1 else "rules"
        why += f"; counted by the {rules} {', '.join(map(_quoted, event.counted))}"
    return why


def _known(event: Event) -> list[str]:
    """Return what else is known of the address."""
    known = []
    if event.categories:
        kinds = ", ".join(f"{kind} ({sure} confidence)" for kind, sure in event.categories.items())
        known.append(f"its network is known for {kinds}")
    if event.lists:
        known.append(f"it is on the list{'s' * (len(event.lists) > 1)} {_listed(event.lists)}")
    if event.via is not None:
        known.append(f"as IPv6, it carries the IPv4 address that was judged ({_shown(event.via)})")
    found = "" if event.client is None else _FOUND[event.client]
    if event.address is not None:
        what = "the network is" if is_network(event.address) else "the address is"
        if "." not in event.address and ":" not in event.address:
            what = "the address has the digits"
        known.append(f"{what} {_shown(event.address)}" + (f", and {found}" if found else ""))
    elif found:
        known.append(found)
    return known


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(_shown, names))


def _quoted(text: str) -> str:
    return f'"{_shown(text)}"'


def _shown(text: str | None) -> str:
    """Return text without control characters, and not longer than events have it."""
    kept = (text or "")[:LONGEST_TEXT]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in kept)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
