"""Requests: what rules may ask of one, besides where it comes from."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from itertools import islice
from typing import Any

from georestrict.policy import Credential
from georestrict.policy.accounts import AccountWord, History

Headers = Iterable[tuple[bytes, bytes]]

#: More hosts than anybody has a reason to name in one request are not told apart.
MOST_HOSTS = 8


class Identity:
    """Who sends a request: the account that the app names, asked for when it matters, and once.

    ``ask`` gets ``where``, the scope or environ.
    """

    __slots__ = ("_account", "_ask", "_where")

    def __init__(self, ask: Callable[[Any], str | None], where: Any = None) -> None:
        self._ask: Callable[[Any], str | None] | None = ask
        self._where = where
        self._account: str | None = None

    @property
    def account(self) -> str | None:
        """The account; None if the app names none.

        Raises:
            TypeError: the first time, if what the app returns is no text.
        """
        ask = self._ask
        if ask is not None:
            self._ask = None  # it is not asked again if it fails
            told = ask(self._where)
            if told is not None and not isinstance(told, str):
                kind = type(told).__name__  # the value may be somebody's name
                raise TypeError(f"identify returned a value of {kind}, must be text or None")
            self._account = told or None
        return self._account


class Request:
    """What is asked of a request. What costs something is found when a rule asks, and once.

    ``path`` is what the app sees, percent-decoded; ``raw_path`` the same as it was sent, where the
    server tells. ``other_paths`` are what other apps would take it for, and guarded as well; where
    apps do not agree on what they route on, it is ``disputed``, and exempt as nothing. ``host`` is
    None where the headers say it. ``attributes`` is called when a rule asks what the app knows of
    the request. ``at`` is the time to judge by, in seconds since the epoch, instead of now.
    ``identity`` tells who sends it, and ``history`` what is kept of accounts.
    """

    __slots__ = (
        "_attributes",
        "_digests",
        "at",
        "disputed",
        "headers",
        "history",
        "host",
        "identity",
        "method",
        "other_paths",
        "path",
        "protocol",
        "raw_path",
        "tell",
    )

    def __init__(
        self,
        path: str = "/",
        raw_path: bytes | None = None,
        method: str = "GET",
        protocol: str = "http",
        headers: Headers = (),
        host: str | None = None,
        attributes: Callable[[], Mapping[str, str] | None] | None = None,
        at: float | None = None,
        other_paths: tuple[str, ...] = (),
        disputed: bool = False,
        identity: Identity | None = None,
    ) -> None:
        self.path, self.raw_path, self.method, self.protocol = path, raw_path, method, protocol
        self.headers, self.host, self.tell, self.at = headers, host, attributes, at
        self.other_paths, self.disputed = other_paths, disputed
        self.identity = identity
        self.history: History | None = None
        self._attributes: Mapping[str, str] | None = None
        self._digests: dict[str, str] | None = None

    @property
    def account(self) -> str | None:
        """The account that sends the request, if the app names one."""
        return None if self.identity is None else self.identity.account

    def header(self, name: str) -> bytes | None:
        """Return the value of a header field; several lines are joined, as WSGI does."""
        wanted = name.encode()
        values = [value for key, value in self.headers if key.lower() == wanted]
        return b",".join(values) if values else None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that the request says it is for, without ports: one, unless it is malformed.

        Where there are more than ``MOST_HOSTS``, the others are left out.
        """
        if self.host is not None:
            return (normalised_host(self.host),) if self.host else ()
        lines = dict.fromkeys(value for key, value in self.headers if key.lower() == b"host")
        values = islice(lines, MOST_HOSTS + 1)
        return tuple(dict.fromkeys(normalised_host(value.decode("latin-1")) for value in values))

    def says(self, attribute: str, values: frozenset[str]) -> bool:
        """Return whether the app says one of some values of the request.

        Raises:
            TypeError: if what the app returns is no mapping.
        """
        if self._attributes is None:
            told = self.tell() if self.tell is not None else None
            if told is not None and not isinstance(told, Mapping):
                raise TypeError(f"attributes returned {told!r}, must be a mapping")
            self._attributes = told or {}
        value = self._attributes.get(attribute)
        return isinstance(value, str) and value in values

    def has_been(self, word: AccountWord, now: float) -> bool:
        """Return whether what a word says of an account's past is so of this one's."""
        history, account = self.history, self.account
        return history is not None and account is not None and word.holds(history, account, now)

    def shows(self, credential: Credential, now: float) -> bool:
        """Return whether the request shows a credential that holds at a time.

        All its sums are compared, each in constant time.
        """
        if credential.until is not None and now >= credential.until.timestamp():
            return False
        if self._digests is None:
            self._digests = {}
        digest = self._digests.get(credential.header)
        if digest is None:
            value = self.header(credential.header)
            digest = "" if value is None else hashlib.sha256(value).hexdigest()
            self._digests[credential.header] = digest
        equal = [hmac.compare_digest(digest, wanted) for wanted in credential.sha256]
        return any(equal)


def normalised_host(host: str) -> str:
    """Return a host in lower case, without port and without the dot of the root."""
    name, colon, port = host.strip().lower().rpartition(":")
    if colon and not port.strip("0123456789") and "]" not in port:
        host = name
    host = host.strip().lower().removesuffix(".")
    if host.startswith("[") and host.endswith("]"):
        try:
            return f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            return host
    return host
