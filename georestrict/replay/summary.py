"""What a replay found: of the logs, and of each policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

#: Requests by what was decided about them: ``"allow"``, ``"warn"``, ``"block"``.
Actions = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one policy decides, in requests; a policy in a dry run is taken at its word.

    Where a request has no country, ``by_country`` has its case: ``"unknown"``, ``"private"``,
    ``"unresolved"`` or ``"no_data"``.
    """

    policy: str  #: its place; ``"as recorded"`` for events that tell what was decided
    by_action: Actions
    by_reason: Mapping[str, Actions]
    by_rule: Mapping[str, Actions]  #: of the rule that decided; requests without one are left out
    by_counted: Mapping[str, int]  #: of ``count`` rules
    by_country: Mapping[str, Actions]
    by_category: Mapping[str, Actions]  #: a request counts in each category of its address
    by_route: Mapping[str, Actions]  #: the busiest, then ``"other"``
    by_network: Mapping[str, Actions]  #: /24 and /48 networks, those most hit
    by_account: Mapping[str, Actions] | None  #: all accounts that are hit; None if not asked for
    timeline: Mapping[str, Actions]  #: by the hour or the day, ISO 8601 in UTC
    clients: Mapping[str, int]  #: distinct addresses, by action; estimates where there are many


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What was read of one log."""

    name: str
    format: str
    requests: int
    unparsed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was found in all logs, by one policy, or by several side by side."""

    requests: int
    unparsed: int  #: lines that are no request in the format
    clients: int  #: distinct addresses; an estimate where there are many
    first: datetime | None
    last: datetime | None
    files: tuple[File, ...]
    policies: tuple[Judged, ...]
    #: from what the first policy decides to what the last does, where these differ: by country
    changes: Mapping[tuple[str, str], Mapping[str, int]]
