"""Decisions: what happens to a request, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from georestrict.location import Location
from georestrict.policy import Action


class Reason(StrEnum):
    """What decided: stable codes for logs and metrics."""

    COUNTRY = "country"  #: a rule that names countries, subdivisions or continents
    CATEGORY = "category"  #: a rule that names categories
    NETWORK = "network"  #: a rule that names lists, networks or AS numbers
    ACCOUNT = "account"  #: a rule about where the account was seen lately
    REQUEST = "request"  #: a rule that says nothing about where from, such as a health path
    PREFLIGHT = "preflight"  #: a CORS preflight, let through by option
    DEFAULT = "default"  #: no rule matched a known country
    UNKNOWN = "unknown"  #: fallback: a public address in no country
    PRIVATE = "private"  #: fallback: an address that is not globally reachable
    UNRESOLVED = "unresolved"  #: fallback: no trustworthy client address
    NO_DATA = "no_data"  #: fallback: no database, or one past its hard limit
    ERROR = "error"  #: deciding failed: a defect, reported in the log


class Code(StrEnum):
    """What a blocked or warned client is told, for its software."""

    COUNTRY = "unsupported_country_region_territory"
    ANONYMOUS = "anonymous_network"
    NETWORK = "network_not_allowed"
    ACCOUNT = "account_location_restricted"
    UNRESOLVED = "client_address_unresolved"
    NO_LOCATION = "location_unavailable"


# Asked several times a request; CPython 3.11 takes 80 ns to find a member of an enumeration.
_ALLOW = Action.ALLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What happens to a request, and why. Made beforehand and shared, so it carries no address.

    ``action`` is what is enforced: ``allow``, ``warn`` or ``block``. In a dry run it is always
    ``allow``, and with the emergency switch on (``emergency``) it is ``warn`` instead of ``block``;
    then ``would`` says what would have been enforced; otherwise it is None. ``code`` is set unless
    it is an allow. ``warn_from`` and ``block_from`` are the schedule of the rule that decided,
    ``response`` names the form in which it has clients told, and ``counted`` are the ``count``
    rules that matched before. ``stale`` names what of the location is past the policy's limit:
    ``"country"``, a category, or a list (``"list NAME"``).
    """

    action: Action
    reason: Reason
    rule: str | None = None
    country: str | None = None
    code: Code | None = None
    would: Action | None = None
    response: str | None = None
    warn_from: datetime | None = None
    block_from: datetime | None = None
    counted: tuple[str, ...] = ()
    emergency: bool = False
    stale: tuple[str, ...] = ()
    location: Location = field(default_factory=Location, repr=False)

    @property
    def decided(self) -> Action:
        """What was decided, enforced or not."""
        return self.would or self.action

    @property
    def plain_allow(self) -> bool:
        """Whether there is nothing to tell about it."""
        return (self.would or self.action) is _ALLOW and not self.counted
