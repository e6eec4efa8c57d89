"""What a ``[[source]]`` of a manifest asks to fetch.

::

    fetch = "https://example.com/list-{month}.tar.gz"  # or a name of the catalogue, or
    fetch = { "geoip" = "https://…", "geoip6" = "https://…" }  # the files of the folder `path`
    member = "*.mmdb"            # which file of an archive
    checksum = ".sha256"         # a URL, or what is appended to that of the file
    auth = { user_env = "ACCOUNT", password_file = "key.txt" }  # or token_env, token_file
    most_bytes = 200_000_000     # of the file as it comes, and of what is unpacked

A manifest holds no secrets, only where they are. Addresses are https; http is for this machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from georestrict.errors import ConfigurationError
from georestrict.update import catalogue

#: The keys of a ``[[source]]`` that say how it is fetched.
FETCH_KEYS = ("fetch", "member", "auth", "checksum", "most_bytes", "unchanged_is_fresh")

#: More than the largest file that a provider publishes: the largest MMDBs have about 1 GB.
MOST_BYTES = 2 << 30
_LEAST_BYTES = 1024
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_AUTH_KEYS = ("user_env", "user_file", "password_env", "password_file", "token_env", "token_file")
_SECRET_WORDS = re.compile(r"token|key|secret|passw|auth|signature|credential", re.IGNORECASE)
_FILE_NAME = re.compile(r"[\w][\w.+-]*", re.ASCII)


def _month(now: datetime) -> Iterator[str]:
    yield f"{now:%Y-%m}"
    yield f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"


def _day(now: datetime) -> Iterator[str]:
    for days in range(15):  # a weekly file that comes a week late
        yield f"{now - timedelta(days=days):%Y%m%d}"


def _hour(now: datetime) -> Iterator[str]:
    for hours in range(6):
        yield f"{now - timedelta(hours=hours):%Y-%m-%d-%H}"


#: Words of an address that stand for the time, the latest first: what is not there yet, was before.
MOMENTS: dict[str, Callable[[datetime], Iterator[str]]] = {
    "month": _month,
    "day": _day,
    "hour": _hour,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret is; never the secret itself."""

    env: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"${self.env}" if self.env is not None else f"the file {self.file!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """What a provider asks for: a user with a password (Basic), or a token (Bearer)."""

    user: Secret | None = None
    password: Secret | None = None
    token: Secret | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All of them."""
        return tuple(each for each in (self.user, self.password, self.token) if each is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file to fetch."""

    name: str | None  #: in the folder of the source; None: it is what ``path`` names
    url: str
    checksum: str | None = None  #: a URL, or what is appended to that of the file

    def urls(self, now: datetime) -> tuple[str, ...]:
        """Return the addresses to try, in their order; ``now`` is in UTC."""
        for word, moments in MOMENTS.items():
            if f"{{{word}}}" in self.url:
                return tuple(self.url.replace(f"{{{word}}}", said) for said in moments(now))
        return (self.url,)

    def checksum_url(self, url: str) -> str | None:
        """Return where the checksum is of what is at this address."""
        if self.checksum is None or "://" in self.checksum:
            return self.checksum
        return url + self.checksum


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be fetched for one source, and what may come."""

    pieces: tuple[Piece, ...]
    member: str | None = None
    auth: Auth | None = None
    most_bytes: int = MOST_BYTES
    unchanged_is_fresh: bool = False  #: whether the day of the data is that of the last answer


def of(entry: Mapping[str, Any], place: str) -> Order | None:
    """Return what a ``[[source]]`` asks to fetch, or None if it asks for nothing.

    Only the keys in :data:`FETCH_KEYS` are looked at.

    Raises:
        ConfigurationError: beginning with ``place``.
    """
    written = entry.get("fetch")
    if written is None:
        for key in FETCH_KEYS:
            if key in entry:
                raise ConfigurationError(f"{place}: {key!r} without 'fetch'; add it, or leave out")
        return None
    offer = _offer(written, place)
    member = entry.get("member", offer.member)
    if member is not None and (not isinstance(member, str) or not member or "/" in member):
        raise ConfigurationError(
            f"{place}: member is {member!r}, must be a file's name or a pattern such as '*.mmdb'"
        )
    checksum = entry.get("checksum", offer.checksum)
    if checksum is not None:
        _check_checksum(checksum, place)
    addresses = {None: offer.url} if offer.url is not None else dict(offer.files)
    if member is not None and None not in addresses:
        raise ConfigurationError(
            f"{place}: 'member' is for one archive, 'fetch' names several files; leave it out"
        )
    auth = _auth(entry.get("auth", offer.auth), place)
    if auth is not None and len({urlsplit(url)[:2] for url in addresses.values()}) > 1:
        raise ConfigurationError(
            f"{place}: auth is for one host, 'fetch' names several; make a source of each"
        )
    return Order(
        pieces=tuple(
            Piece(name=name, url=url, checksum=checksum) for name, url in addresses.items() if url
        ),
        member=member,
        auth=auth,
        most_bytes=_most_bytes(entry.get("most_bytes", MOST_BYTES), place),
        unchanged_is_fresh=_switch(entry, "unchanged_is_fresh", place),
    )


def is_loopback(host: str | None) -> bool:
    """Tell whether a host of an address is this machine."""
    return host in _LOOPBACK


def _offer(written: Any, place: str) -> catalogue.Offer:
    if isinstance(written, Mapping) and written:
        for name, url in written.items():
            if not _FILE_NAME.fullmatch(name):
                raise ConfigurationError(
                    f"{place}: fetch names the file {name!r}; "
                    "write letters, digits, '.', '-', '_' and '+' only"
                )
            check_url(url, f"{place}: fetch.{name}")
        return catalogue.Offer(files=dict(written))
    if not isinstance(written, str) or not written:
        raise ConfigurationError(
            f"{place}: fetch is {written!r}, must be a URL, a name such as "
            "'maxmind:GeoLite2-Country', or a table of file names and URLs"
        )
    if "://" in written:
        check_url(written, f"{place}: fetch")
        return catalogue.Offer(url=written)
    offer = catalogue.find(written)
    if offer is None:
        close = get_close_matches(written, catalogue.NAMES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(catalogue.NAMES)}"
        raise ConfigurationError(f"{place}: fetch is {written!r}, which nobody is known by: {hint}")
    return offer


def check_url(url: Any, place: str) -> None:
    """Check an address that a manifest names.

    Raises:
        ConfigurationError: if it is not https, or holds a secret, which is not repeated.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{place}: must be the text of a URL in ASCII without spaces")
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
    if not port_is_valid or not parts.hostname:
        raise ConfigurationError(f"{place}: {_shown(url)!r} is not a URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{place}: the URL holds a user or a password; take them out, and name with 'auth' "
            "where they are"
        )
    for key, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SECRET_WORDS.search(key):
            raise ConfigurationError(
                f"{place}: the URL holds {key!r}, which looks like a secret; take it out, and name "
                "with 'auth' where it is"
            )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ConfigurationError(
            f"{place}: {_shown(url)!r} is not https; http is only for this machine (127.0.0.1)"
        )
    words = re.findall(r"\{([^}]*)\}", url)
    if len(words) > 1 or any(word not in MOMENTS for word in words):
        raise ConfigurationError(
            f"{place}: {_shown(url)!r}: of {', '.join(f'{{{word}}}' for word in MOMENTS)} "
            "an address may have one"
        )


def _shown(url: str) -> str:
    """What of an address may be told: without what stands behind a question mark."""
    address, mark, _ = url.partition("?")
    return f"{address}{mark}…" if mark else address


def _check_checksum(written: Any, place: str) -> None:
    if isinstance(written, str) and "://" in written:
        check_url(written, f"{place}: checksum")
        if "{" in written:
            raise ConfigurationError(
                f"{place}: checksum: where the address changes, write what is appended to that of "
                "the file, such as '.sha256'"
            )
        return
    if not isinstance(written, str) or not re.fullmatch(r"[./][\w.-]+", written, re.ASCII):
        raise ConfigurationError(
            f"{place}: checksum is {written!r}, must be a URL, or what is appended to that of the "
            "file, such as '.sha256'; the sum itself is the key 'sha256'"
        )


def _most_bytes(written: Any, place: str) -> int:
    if type(written) is not int or not _LEAST_BYTES <= written <= MOST_BYTES:
        raise ConfigurationError(
            f"{place}: most_bytes is {written!r}, must be a whole number from {_LEAST_BYTES} to "
            f"{MOST_BYTES}"
        )
    return written


def _switch(entry: Mapping[str, Any], key: str, place: str) -> bool:
    written = entry.get(key, False)
    if not isinstance(written, bool):
        raise ConfigurationError(f"{place}: {key} is {written!r}, must be true or false")
    return written


def _auth(written: Any, place: str) -> Auth | None:
    if not isinstance(written, Mapping):
        raise ConfigurationError(
            f"{place}: auth must be a table such as "
            '{ user_env = "ACCOUNT", password_env = "KEY" }, which says where the secrets are'
        )
    for key in written:
        if key not in _AUTH_KEYS:  # its value may be the secret
            raise ConfigurationError(
                f"{place}: auth: unknown key {key!r}: known are {', '.join(_AUTH_KEYS)}; "
                "a manifest holds no secrets, only where they are"
            )
        if not isinstance(written[key], str) or not written[key]:
            raise ConfigurationError(f"{place}: auth.{key} must be text")
        if key.endswith("_env") and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", written[key]):
            raise ConfigurationError(
                f"{place}: auth.{key} must be the name of a variable in the environment, "
                "such as MAXMIND_LICENSE_KEY, in capitals; not its value"
            )
    found = {who: _secret(written, who, place) for who in ("user", "password", "token")}
    if not any(found.values()):
        return None
    if found["token"] is not None and (found["user"] or found["password"]):
        raise ConfigurationError(f"{place}: auth has a token and a user; write one of them")
    if found["password"] is not None and found["user"] is None:
        raise ConfigurationError(f"{place}: auth has a password and no user; add user_env")
    return Auth(**found)


def _secret(written: Mapping[str, str], who: str, place: str) -> Secret | None:
    env, file = written.get(f"{who}_env"), written.get(f"{who}_file")
    if env is None and file is None:
        return None
    if env is not None and file is not None:
        raise ConfigurationError(f"{place}: auth has {who}_env and {who}_file; write one of them")
    return Secret(env=env, file=file)
