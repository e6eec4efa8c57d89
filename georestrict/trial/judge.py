"""Judging kinds of requests instead of single ones: what some rule asks for, and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from georestrict._core import Tally
from georestrict.decision import Decision
from georestrict.lists import Label
from georestrict.location import Location
from georestrict.policy import Policy
from georestrict.request import Request
from georestrict.verdicts import Verdicts

_FAR = "/…"  # a path that no pattern of a policy names


class Asked(NamedTuple):
    """A kind of request: what some rule asks for, and one that no rule does."""

    path: str = _FAR
    method: str = "GET"
    host: str = ""
    protocol: str = "http"
    credentials: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return it as a line of a request, with who sends it."""
        words = ["" if self.protocol == "http" else self.protocol, self.method]
        words.append(f"{self.host}{'any other path' if self.path == _FAR else self.path}")
        words += [f"with {name}" for name in self.credentials]
        words += [f"{name}={value}" for name, value in self.attributes]
        return " ".join(filter(None, words))


class Judge:
    """One policy, asked by location and labels; classes that it does not tell apart share."""

    def __init__(self, policy: Policy, at: float) -> None:
        self._policy, self._at = policy, at
        self._verdicts = Verdicts(policy, {})
        self._known: dict[tuple[object, ...], Decision] = {}

    def decide(self, location: Location, labels: frozenset[Label], asked: Asked) -> Decision:
        """Return what the policy says to a request from a location."""
        verdicts = self._verdicts
        matching = verdicts.matching_location(location) & verdicts.matching_labels(labels)
        key = (asked, matching, location.country, location.status)
        if key not in self._known:
            verdict = verdicts.of(matching, location)
            if not isinstance(verdict, Tally):
                request = _Sent(asked, self._policy, self._at)
                outcome = verdicts.for_route(verdict, verdicts.routes.find(request))
                if not isinstance(outcome, Tally):
                    outcome = verdicts.run(verdict, outcome, request, self._at)
                verdict = outcome
            self._known[key] = verdict.decision
        return self._known[key]


class _Sent(Request):
    """A request of a kind."""

    __slots__ = ("_shown",)

    def __init__(self, asked: Asked, policy: Policy, at: float) -> None:
        attributes = dict(asked.attributes)
        super().__init__(
            asked.path, None, asked.method, asked.protocol, (), asked.host, lambda: attributes, at
        )
        self._shown = [
            policy.credentials[name] for name in asked.credentials if name in policy.credentials
        ]

    def shows(self, credential: object, now: float) -> bool:
        return any(
            credential == one and (one.until is None or now < one.until.timestamp())
            for one in self._shown
        )


def asked_by(policy: Policy) -> Iterator[Asked]:
    """Yield a request for every path, method, host, protocol and sender that a rule asks for."""
    for words in policy.conditions:
        senders = (
            [((), ())]
            if not (words.credentials or words.attributes)
            else [
                ((), ()),
                (
                    words.credentials[:1],
                    tuple((name, min(values)) for name, values in words.attributes),
                ),
            ]
        )
        for credentials, attributes in senders:
            first = Asked(
                path=_sample(words.paths[0]) if words.paths else _FAR,
                method=min(words.methods) if words.methods else "GET",
                host=words.hosts[0].replace("*", "…") if words.hosts else "",
                protocol=min(words.protocols) if words.protocols else "http",
                credentials=credentials,
                attributes=attributes,
            )
            yield first
            for path in words.paths[1:]:
                yield first._replace(path=_sample(path))
            for method in sorted(words.methods)[1:]:
                yield first._replace(method=method)
            for host in words.hosts[1:]:
                yield first._replace(host=host.replace("*", "…"))
            for protocol in sorted(words.protocols)[1:]:
                yield first._replace(protocol=protocol)


def _sample(pattern: str) -> str:
    return pattern.replace("*", "…")
