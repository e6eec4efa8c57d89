"""One file over HTTPS: bounded in time and size, asked for again only if it has changed.

Redirects lead to https only, and at most five times; credentials stay with the host and port that
the manifest names. What a server says is never believed for its length. RFC 9110 has the words:
conditional requests in section 13, ``Retry-After`` in 10.2.3.

httpx takes proxies and certificate authorities from the environment (``HTTPS_PROXY``,
``SSL_CERT_FILE``). It and httpcore log addresses and headers, in which secrets may be, so their
loggers are shut while a fetch runs.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from georestrict.update.failures import FetchError, NotThereError, TryAgainError
from georestrict.update.orders import is_loopback
from georestrict.update.secrets import CUT, Credentials
from georestrict.version import __version__

_USER_AGENT = f"georestrict/{__version__}"
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_MOST_ATTEMPTS = 5
_MOST_REDIRECTS = 5
_LONGEST_PAUSE_SECONDS = 60.0
_LONGEST_RETRY_AFTER_SECONDS = 300.0
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_VALIDATOR = 1024
_MARKUP = (b"<!doctype html", b"<html")
_TALKATIVE = (
    "httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.http2",
    "httpcore.proxy", "httpcore.socks",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Clock, pause and chance; tests have their own."""

    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a server said of the file that is here, to ask for it only if it has changed."""

    url: str
    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of a conditional request; servers look at the first they know."""
        headers = {}
        if self.etag is not None:
            headers["If-None-Match"] = self.etag
        if self.last_modified is not None:
            headers["If-Modified-Since"] = self.last_modified
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that came."""

    host: str
    size: int
    validators: Validators
    encoded: bool  #: by gzip, although nobody asked for that

    @property
    def modified(self) -> datetime | None:
        """When its content changed, as far as the server says."""
        said = self.validators.last_modified
        return _moment(said) if said is not None else None


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    most_bytes: int,
    whole_seconds: float,
    known: Validators | None = None,
    credentials: Credentials | None = None,
    home: str | None = None,
    timing: Timing | None = None,
) -> Fetched | None:
    """Write the first of these files that is there to a path; None: the known one is the newest.

    ``whole_seconds`` is for everything together: looking up, all attempts, and pauses. The
    credentials are for the host and port of ``home``, else for those of the file.

    Raises:
        FetchError: saying why, without secrets.
        OSError: if it cannot be written.
    """
    ask = _Asking(
        target=target,
        most_bytes=most_bytes,
        known=known,
        credentials=credentials,
        home=home,
        timing=timing or Timing(),
    )
    try:
        with _quiet():
            return asyncio.run(ask.within(urls, whole_seconds))
    except TimeoutError:
        said = f"took longer than {whole_seconds:g} s; see --timeout"
        _close_forgotten()
    except FetchError as error:
        said = str(error)
    # Not "from error": what httpx says may hold a secret, and tracebacks are logged.
    raise FetchError(credentials.cut(said) if credentials else said) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    target: Path
    most_bytes: int
    known: Validators | None
    credentials: Credentials | None
    home: str | None
    timing: Timing

    async def within(self, urls: Sequence[str], seconds: float) -> Fetched | None:
        deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout_at(deadline), _client() as client:
            return await self.first(client, urls, deadline)

    async def first(
        self, client: httpx.AsyncClient, urls: Sequence[str], deadline: float
    ) -> Fetched | None:
        for url in urls[:-1]:
            try:
                return await self.often(client, url, deadline)
            except NotThereError:
                continue
        try:
            return await self.often(client, urls[-1], deadline)
        except NotThereError as error:
            if len(urls) == 1:
                raise
            raise NotThereError(f"{error}, nor the {len(urls) - 1} before it") from None

    async def often(self, client: httpx.AsyncClient, url: str, deadline: float) -> Fetched | None:
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            try:
                return await self.once(client, url)
            except TryAgainError as error:
                wait = error.wait_seconds
                if wait is None:
                    longest = min(_LONGEST_PAUSE_SECONDS, 2.0 ** (attempt - 1))
                    wait = longest * (1 + self.timing.chance()) / 2
                if wait > _LONGEST_RETRY_AFTER_SECONDS:
                    raise FetchError(f"{error}; try again in {wait:.0f} s") from None
                if attempt == _MOST_ATTEMPTS:
                    raise FetchError(f"{error}; tried {attempt} times") from None
                if asyncio.get_running_loop().time() + wait > deadline:
                    raise FetchError(f"{error}; no time is left to try again") from None
            await self.timing.pause(wait)
        raise AssertionError("unreachable")

    async def once(self, client: httpx.AsyncClient, url: str) -> Fetched | None:
        """Ask for a file, follow redirects, and take what comes."""
        here = httpx.URL(url)
        home, at_home = httpx.URL(self.home or url), True
        known = self.known if self.known is not None and self.known.url == url else None
        for _ in range(_MOST_REDIRECTS + 1):
            headers = known.headers() if known is not None else {}
            at_home = at_home and _origin(here) == _origin(home)
            if at_home and self.credentials is not None:
                headers["Authorization"] = self.credentials.header
            with _told(here):
                async with client.stream("GET", here, headers=headers) as response:
                    if response.status_code in _REDIRECTS:
                        here = _followed(here, response)
                        continue
                    if response.status_code == 304:
                        if known is None or not known.headers():
                            raise FetchError(
                                f"{_shown(here)}: answered 304, though nothing was asked "
                                "conditionally"
                            )
                        return None
                    self.check(here, response)
                    return await self.take(url, here, response)
        raise FetchError(f"{_shown(httpx.URL(url))}: leads on more than {_MOST_REDIRECTS} times")

    def check(self, here: httpx.URL, response: httpx.Response) -> None:
        """Raise what an answer without the file means."""
        status = response.status_code
        answered = f"{_shown(here)}: answered {status}"
        if status in _PASSING:
            raise TryAgainError(answered, self.wait(response))
        if status in (404, 410):
            raise NotThereError(f"{answered}: there is no such file")
        if status in (401, 403):
            names = self.credentials.names if self.credentials else "'auth', which is not there"
            raise FetchError(f"{answered}: look at the credentials: {names}")
        if status == 407:
            raise FetchError(f"{answered}: look at the proxy's credentials")
        if status != 200:
            raise FetchError(f"{answered}, expected 200 or 304")
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise FetchError(f"{_shown(here)}: sent a web page instead of a file")

    def wait(self, response: httpx.Response) -> float | None:
        """Return the seconds to wait that an answer asks for."""
        said = response.headers.get("Retry-After", "").strip()
        if said.isascii() and said.isdigit():
            return float(said[:9])
        moment = _moment(said)
        if moment is None:
            return None
        return max(0.0, (moment - self.timing.now()).total_seconds())

    async def take(self, url: str, here: httpx.URL, response: httpx.Response) -> Fetched:
        """Write an answer's body to the target."""
        place = _shown(here)
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise FetchError(
                f"{place}: sent the content encoding {encoding[:20]!r}, which is not asked for"
            )
        stated = response.headers.get("Content-Length", "")
        length = int(stated) if stated.isascii() and stated.isdigit() else None
        if length is not None and length > self.most_bytes:
            raise FetchError(
                f"{place}: has {length:,} bytes, over {self.most_bytes:,} ('most_bytes')"
            )
        total, begun = 0, b""
        with self.target.open("wb") as file:
            async for chunk in response.aiter_raw():
                total += len(chunk)
                if total > self.most_bytes:
                    raise FetchError(
                        f"{place}: sent more than {self.most_bytes:,} bytes ('most_bytes')"
                    )
                begun += chunk[: 256 - len(begun)] if len(begun) < 256 else b""
                file.write(chunk)
        if length is not None and total != length:
            raise TryAgainError(f"{place}: sent {total:,} bytes of {length:,}")
        if not total:
            raise FetchError(f"{place}: sent an empty file")
        if begun.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
            raise FetchError(f"{place}: sent a web page instead of a file")
        return Fetched(
            host=here.host,
            size=total,
            encoded=encoding in ("gzip", "x-gzip"),
            validators=Validators(
                url=url,
                etag=_validator(response.headers.get("ETag")),
                last_modified=_validator(response.headers.get("Last-Modified")),
            ),
        )


@asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    try:
        client = httpx.AsyncClient(
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            follow_redirects=False,
        )
    except (ValueError, OSError) as error:  # a proxy's address holds its password
        what = "a proxy" if isinstance(error, ValueError) else "SSL_CERT_FILE or SSL_CERT_DIR"
        raise FetchError(f"the environment names {what} that cannot be used") from None
    async with client:
        yield client


def _followed(here: httpx.URL, response: httpx.Response) -> httpx.URL:
    """Return where an answer leads on to."""
    place = f"{_shown(here)}: answered {response.status_code}"
    if "Location" not in response.headers:
        raise FetchError(f"{place} without saying where to")
    target = here.join(response.headers["Location"])
    allowed = ("https",) if here.scheme == "https" else ("https", "http")
    if not target.host or target.scheme not in allowed:
        raise FetchError(f"{place} and leads to {_shown(target)}, which is not https")
    if target.scheme == "http" and not is_loopback(target.host):
        raise FetchError(f"{place} and leads to {_shown(target)}, which is not https")
    return target.copy_with(username=None, password=None, fragment=None)


@contextmanager
def _told(here: httpx.URL) -> Iterator[None]:
    """Turn httpx's exceptions into ours, without what they say of addresses and headers."""
    place = _shown(here)
    try:
        yield
    except httpx.TimeoutException as error:
        doing = "connected" if isinstance(error, httpx.ConnectTimeout) else "gone on"
        seconds = _CONNECT_SECONDS if isinstance(error, httpx.ConnectTimeout) else _READ_SECONDS
        raise TryAgainError(f"{place}: had not {doing} after {seconds:.0f} s") from None
    except httpx.UnsupportedProtocol:
        raise FetchError(f"{place}: cannot be asked for") from None
    except httpx.TransportError as error:
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise FetchError(
                    f"{place}: the certificate is refused: {cause.verify_message}; if it is of an "
                    "authority of your own, set SSL_CERT_FILE"
                ) from None
        raise TryAgainError(f"{place}: {_reason(error)}") from None
    except httpx.InvalidURL:
        raise FetchError(f"{place}: leads to an address that cannot be read") from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _reason(error: httpx.TransportError) -> str:
    """Say what went wrong on the way; the words are the system's, not the server's."""
    kinds = {
        httpx.ConnectError: "cannot be connected to",
        httpx.ProxyError: "the proxy refused",
        httpx.RemoteProtocolError: "broke off, or did not speak HTTP",
        httpx.ReadError: "broke off",
        httpx.WriteError: "broke off",
    }
    said = kinds.get(type(error), "failed on the way")
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            return f"{said}: {cause.strerror}"
    return said


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def _close_forgotten() -> None:
    """Close what httpcore forgets to, when a handshake is cancelled: a socket without an owner."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    port = url.port or {"https": 443, "http": 80}.get(url.scheme)
    return url.scheme, url.host, port


def _shown(url: httpx.URL) -> str:
    """What of an address may be told: a query may hold a signature."""
    mark = f"?{CUT}" if url.query else ""
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.host}{port}{url.path}{mark}"


def _validator(said: str | None) -> str | None:
    """Return a validator that can be sent back, as it came."""
    if said is None or not said.isascii() or not said.isprintable():
        return None
    return said if 0 < len(said) <= _LONGEST_VALIDATOR else None


def _moment(said: str) -> datetime | None:
    """Read a date of HTTP."""
    try:
        moment = parsedate_to_datetime(said)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
