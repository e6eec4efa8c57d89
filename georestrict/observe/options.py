"""What of a request is told in events, and how many are."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from georestrict.errors import ConfigurationError

#: 128 bits: too many keys to try (NIST SP 800-131A rev. 2, §10: a key of HMAC has 112 or more)
LEAST_KEY_BYTES = 16

#: One request in so many is few enough to be none, and weights stay numbers.
LEAST_SHARE = 1e-9

_ADDRESSES = ("network", "full", "keyed", "none")
_ACCOUNTS = ("keyed", "full", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What of a request the events of a middleware tell, and how many it writes.

    Args:
        address: ``"network"`` tells the /24 or /48 network of the client, ``"full"`` its address,
            ``"keyed"`` 32 digits that stand for it (``keyed``), ``"none"`` nothing.
        account: ``"keyed"``, ``"full"`` or ``"none"``, as above, for the account that ``identify``
            names; if left out, ``"keyed"`` where there is a key, else ``"none"``.
        path: True tells the path and the route; ``"route"`` only the route, the path without what
            looks like an id or an e-mail address (``route_of``); False neither.
        key: what keyed digits are made with: 16 bytes or more, the same in all processes.
        allows: the share of plainly allowed requests that get an event, from 0 to 1.
        per_second: events that a process writes per second, on average; what is over that is
            counted.
        burst: events that it may write at once after a quiet time: 1 or more, or 0 with
            ``per_second=0``, for numbers only.
        counts_every: seconds after which those without an event of their own are told as numbers.

    >>> Events(address="keyed", key=b"sixteen bytes at least", allows=0.01).account
    'keyed'

    Raises:
        ConfigurationError: if a value is none of these, or a key is wanted and missing.
    """

    address: Literal["network", "full", "keyed", "none"] = "network"
    account: Literal["keyed", "full", "none"] | None = None
    path: bool | Literal["route"] = True
    key: bytes | None = field(default=None, repr=False)
    allows: float = 0.0
    per_second: float = 100
    burst: int = 1000
    counts_every: float = 60.0

    def __post_init__(self) -> None:
        if self.key is not None and (
            not isinstance(self.key, bytes) or len(self.key) < LEAST_KEY_BYTES
        ):
            what = f"{len(self.key)} bytes" if isinstance(self.key, bytes) else "no bytes"
            raise ConfigurationError(
                f"events: key has {what}, must have {LEAST_KEY_BYTES} or more; make one with "
                "secrets.token_bytes(32), and keep it where the app's secrets are"
            )
        if self.account is None:
            object.__setattr__(self, "account", "none" if self.key is None else "keyed")
        for name, words in (("address", _ADDRESSES), ("account", _ACCOUNTS)):
            value = getattr(self, name)
            if value not in words:
                known = ", ".join(map(repr, words))
                raise ConfigurationError(f"events: {name} is {value!r}, must be one of {known}")
            if value == "keyed" and self.key is None:
                raise ConfigurationError(
                    f"events: {name} is 'keyed', and there is no key; give key=, "
                    f"{LEAST_KEY_BYTES} bytes or more"
                )
        if not isinstance(self.path, bool) and self.path != "route":
            raise ConfigurationError(
                f"events: path is {self.path!r}, must be True, 'route' or False"
            )
        for name, least, most in (
            ("allows", 0, 1),
            ("per_second", 0, None),
            ("burst", 0, None),
            ("counts_every", 1, None),
        ):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not isfinite(value)
                or value < least
                or (most is not None and value > most)
            ):
                wanted = f"{least} or more" if most is None else f"from {least} to {most}"
                raise ConfigurationError(f"events: {name} is {value!r}, must be {wanted}")
        if 0 < self.allows < LEAST_SHARE:
            raise ConfigurationError(
                f"events: allows is {self.allows!r}, must be 0 or {LEAST_SHARE} or more"
            )
        if self.burst < 1 and (self.per_second or self.burst):
            raise ConfigurationError(
                f"events: burst is {self.burst!r}, so no event would ever be written; give 1 or "
                "more, or 0 with per_second=0 for counts only"
            )
