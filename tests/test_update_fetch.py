"""One file over HTTPS, from a server that misbehaves in every way."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from georestrict.update.failures import FetchError
from georestrict.update.fetch import Fetched, Timing, Validators, fetch
from georestrict.update.secrets import Credentials
from georestrict.version import __version__
from tests.misbehaving import (
    Server,
    certified,
    conditional,
    drips,
    drops,
    hangs,
    pours,
    redirects,
    sends,
)

pytestmark = pytest.mark.once

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\n"
BASIC = Credentials(header="Basic c2VjcmV0", words=("c2VjcmV0",), names="$ACCOUNT and $KEY")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def _environment(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the authority of the tests, and no proxy."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    with Server(certified(authority, "127.0.0.1", "localhost")) as running:
        yield running


@pytest.fixture
def plain() -> Iterator[Server]:
    with Server() as running:
        yield running


class Pauses(list[float]):
    """What was waited for between attempts, without waiting."""

    def timing(self) -> Timing:
        async def pause(seconds: float) -> None:
            self.append(seconds)

        return Timing(now=lambda: NOW, pause=pause, chance=lambda: 0.5)


Get = Callable[..., Fetched | None]


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "part"


@pytest.fixture
def get(target: Path, pauses: Pauses) -> Get:
    def ask(*urls: str, **options: Any) -> Fetched | None:
        defaults: dict[str, Any] = {
            "most_bytes": 1 << 20,
            "whole_seconds": 20.0,
            "timing": pauses.timing(),
        }
        return fetch(urls, target, **defaults | options)

    return ask


def test_a_file_comes_with_what_the_server_says_of_it(
    server: Server, get: Get, target: Path
) -> None:
    url = server.on("/f", conditional(b"data\n", '"1"', "Sun, 22 Nov 2026 08:00:00 GMT"))
    fetched = get(url)
    assert fetched is not None
    assert target.read_bytes() == b"data\n"
    assert (fetched.size, fetched.host, fetched.encoded) == (5, "127.0.0.1", False)
    assert fetched.modified == datetime(2026, 11, 22, 8, tzinfo=UTC)
    (asked,) = server.requests
    assert asked.headers["user-agent"] == f"georestrict/{__version__}"
    assert asked.headers["accept-encoding"] == "identity"
    assert "authorization" not in asked.headers and "if-none-match" not in asked.headers


@pytest.mark.parametrize("etag", ['"strong"', 'W/"weak"'])
def test_what_is_known_is_asked_for_conditionally(server: Server, get: Get, etag: str) -> None:
    url = server.on("/f", conditional(b"data", etag, "Sun, 22 Nov 2026 08:00:00 GMT"))
    fetched = get(url)
    assert fetched is not None
    assert get(url, known=fetched.validators) is None
    asked = server.requests[-1].headers
    assert asked["if-none-match"] == etag
    assert asked["if-modified-since"] == "Sun, 22 Nov 2026 08:00:00 GMT"


def test_validators_are_only_for_the_address_that_they_came_from(server: Server, get: Get) -> None:
    server.on("/new", conditional(b"data", '"1"'))
    known = Validators(url=server.url("/old"), etag='"1"')
    assert get(server.url("/new"), known=known) is not None
    assert "if-none-match" not in server.requests[0].headers


def test_a_304_that_was_not_asked_for_is_a_failure(server: Server, get: Get) -> None:
    url = server.on("/f", sends(b"", 304))
    with pytest.raises(FetchError, match="answered 304, though nothing was asked conditionally"):
        get(url)
    with pytest.raises(FetchError, match="answered 304"):
        get(url, known=Validators(url=url))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_asked_again_after_a_pause_that_grows(
    server: Server, get: Get, pauses: Pauses, status: int
) -> None:
    url = server.on("/f", *[sends(b"later", status)] * 3, sends(b"data"))
    assert get(url) is not None
    assert pauses == [0.75, 1.5, 3.0]  # 1, 2 and 4 s, of which chance takes up to a half


def test_after_five_attempts_it_is_a_failure(server: Server, get: Get, pauses: Pauses) -> None:
    url = server.on("/f", sends(b"", 503))
    with pytest.raises(FetchError, match="answered 503; tried 5 times"):
        get(url)
    assert len(server.requests) == 5 and len(pauses) == 4


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("Mon, 23 Nov 2026 01:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0),
        ("soon", 0.75),
        ("-5", 0.75),
    ],
)
def test_retry_after_is_honoured(
    server: Server, get: Get, pauses: Pauses, said: str, seconds: float
) -> None:
    limit = sends(b"", 429, {"Retry-After": said})
    assert get(server.on("/f", limit, sends(b"data")), whole_seconds=600) is not None
    assert pauses == [seconds]


def test_nobody_waits_longer_than_five_minutes(server: Server, get: Get, pauses: Pauses) -> None:
    url = server.on("/f", sends(b"", 429, {"Retry-After": "86400"}))
    with pytest.raises(FetchError, match="answered 429; try again in 86400 s"):
        get(url, whole_seconds=100_000)
    assert not pauses and len(server.requests) == 1


def test_a_pause_that_would_end_after_the_time_is_not_made(
    server: Server, get: Get, pauses: Pauses
) -> None:
    url = server.on("/f", sends(b"", 503, {"Retry-After": "100"}))
    with pytest.raises(FetchError, match="answered 503; no time is left to try again"):
        get(url)
    assert not pauses


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_named_by_where_they_are(
    server: Server, get: Get, status: int
) -> None:
    url = server.on("/f", sends(b"", status))
    with pytest.raises(
        FetchError, match=rf"answered {status}: look at the credentials: \$ACCOUNT and \$KEY"
    ):
        get(url, credentials=BASIC)
    with pytest.raises(FetchError, match="'auth', which is not there"):
        get(url)


@pytest.mark.parametrize("status", [204, 206, 300, 400, 418, 501, 599])
def test_other_answers_are_failures_at_once(
    server: Server, get: Get, pauses: Pauses, status: int
) -> None:
    with pytest.raises(FetchError, match=f"answered {status}, expected 200 or 304"):
        get(server.on("/f", sends(b"", status)))
    assert not pauses


def test_a_file_that_is_not_there_yet_is_looked_for_under_the_name_before(
    server: Server, get: Get
) -> None:
    server.on("/2026-10", sends(b"october"))
    fetched = get(server.url("/2026-11"), server.url("/2026-10"))
    assert fetched is not None
    assert fetched.validators.url == server.url("/2026-10")
    with pytest.raises(FetchError, match=r"answered 404.*nor the 1 before it"):
        get(server.url("/2026-08"), server.url("/2026-07"))


@pytest.mark.parametrize(
    "page",
    [
        sends(b"data", headers={"Content-Type": "text/html; charset=utf-8"}),
        sends(b"  \r\n<!DOCTYPE html><title>Sign in</title>"),
        sends(b"\xef\xbb\xbf<HTML>"),
    ],
)
def test_a_web_page_is_no_file(server: Server, get: Get, page: Any) -> None:
    with pytest.raises(FetchError, match="sent a web page instead of a file"):
        get(server.on("/f", page))


def test_an_empty_file_is_a_failure(server: Server, get: Get) -> None:
    with pytest.raises(FetchError, match="sent an empty file"):
        get(server.on("/f", sends(b"")))


@pytest.mark.parametrize(
    "broken",
    [
        drops(),
        drops(b"HTTP/1.1 200 O"),
        drops(OK + b"Content-Length: 9\r\n\r\nhalf"),
        drops(OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        drops(b"SSH-2.0-OpenSSH\r\n"),
        drops(OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\ndata"),
        drops(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ],
    ids=["nothing", "status", "body", "chunks", "not HTTP", "two lengths", "chunk"],
)
def test_what_breaks_off_is_asked_for_again(
    server: Server, get: Get, target: Path, broken: Any
) -> None:
    assert get(server.on("/f", broken, sends(b"data"))) is not None
    assert target.read_bytes() == b"data"
    with pytest.raises(FetchError, match=r"broke off.*tried 5 times"):
        get(server.on("/g", broken))


def test_a_body_longer_than_its_length_is_cut_there(server: Server, get: Get, target: Path) -> None:
    assert get(server.on("/f", drops(OK + b"Content-Length: 4\r\n\r\ndata and more"))) is not None
    assert target.read_bytes() == b"data"


def test_a_length_over_the_limit_is_refused_before_the_body(server: Server, get: Get) -> None:
    url = server.on("/f", hangs(OK + b"Content-Length: 99999999999\r\n\r\n"))
    with pytest.raises(FetchError, match="has 99,999,999,999 bytes, over 1,048,576"):
        get(url)


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"Content-Length: 9999\r\n\r\n"])
def test_an_endless_body_is_refused_at_the_limit(
    server: Server, get: Get, target: Path, head: bytes
) -> None:
    with pytest.raises(FetchError, match=r"sent more than 9,000 bytes|has 9,999 bytes"):
        get(server.on("/f", pours(head)), most_bytes=9000)
    assert not target.exists() or target.stat().st_size <= 9000


def test_endless_headers_are_refused(server: Server, get: Get) -> None:
    with pytest.raises(FetchError, match="broke off, or did not speak HTTP"):
        get(server.on("/f", pours(OK + b"X: ", b"x" * 65536)))


@pytest.mark.parametrize(
    "slow",
    [
        hangs(),
        hangs(OK + b"Content-Length: 5\r\n\r\nab"),
        drips(OK + b"X: "),
        drips(OK + b"Content-Length: 99999\r\n\r\n"),
    ],
    ids=["no answer", "half a body", "slow headers", "slow body"],
)
def test_what_is_slow_ends_with_the_time_for_the_whole(server: Server, get: Get, slow: Any) -> None:
    with pytest.raises(FetchError, match=r"took longer than 0.3 s; see --timeout"):
        get(server.on("/f", slow), whole_seconds=0.3)


def test_redirects_are_followed_and_the_first_address_is_remembered(
    server: Server, get: Get, target: Path
) -> None:
    server.on("/c", conditional(b"data", '"1"'))
    server.on("/b", redirects("c?signature=abc", 307))
    server.on("/c?signature=abc", conditional(b"data", '"1"'))
    url = server.on("/a", redirects("/b", 301))
    fetched = get(url)
    assert fetched is not None
    assert fetched.validators.url == url
    assert get(url, known=fetched.validators) is None


def test_credentials_never_reach_another_host_nor_another_port(
    server: Server, get: Get, authority: trustme.CA
) -> None:
    with Server(certified(authority, "127.0.0.1")) as other:
        other.on("/f", redirects(server.url("/back")))
        server.on("/back", sends(b"data"))
        url = server.on("/f", redirects("/here"))
        server.on("/here", redirects(other.url("/f")))
        assert get(url, credentials=BASIC) is not None
        sent = {one.path: one.headers.get("authorization") for one in server.requests}
        assert sent == {"/f": BASIC.header, "/here": BASIC.header, "/back": None}
        assert [one.headers.get("authorization") for one in other.requests] == [None]
    server.on("/f", redirects(server.url("/name", host="localhost")))
    server.on("/name", sends(b"data"))
    assert get(server.url("/f"), credentials=BASIC) is not None
    assert "authorization" not in server.requests[-1].headers


def test_a_redirect_with_a_user_in_it_does_not_send_that_user(server: Server, get: Get) -> None:
    to = server.url("/g").replace("https://", "https://user:pass@")
    server.on("/g", sends(b"data"))
    assert get(server.on("/f", redirects(to))) is not None
    assert "authorization" not in server.requests[-1].headers


def test_redirects_that_never_end_are_left_after_five(server: Server, get: Get) -> None:
    with pytest.raises(FetchError, match="leads on more than 5 times"):
        get(server.on("/f", redirects("/f")))
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("to", "shown"),
    [
        ("http://example.com/f?key=abc", "http://example.com/f?…, which is not https"),
        ("http://127.0.0.1/f", "http://127.0.0.1/f, which is not https"),
        ("file:///etc/passwd", "which is not https"),
        ("ftp://example.com/", "which is not https"),
        ("https://[::1", "broke off, or did not speak HTTP"),
    ],
)
def test_redirects_lead_to_https_only(server: Server, get: Get, to: str, shown: str) -> None:
    with pytest.raises(FetchError) as caught:
        get(server.on("/f", redirects(to)))
    assert shown in str(caught.value)
    with pytest.raises(FetchError, match="without saying where to"):
        get(server.on("/f", sends(b"", 302)))


def test_http_on_this_machine_may_lead_to_this_machine_only(plain: Server, get: Get) -> None:
    plain.on("/g", sends(b"data"))
    assert get(plain.on("/f", redirects("/g"))) is not None
    with pytest.raises(FetchError, match=r"http://192.0.2.1/, which is not https"):
        get(plain.on("/f", redirects("http://192.0.2.1/")))


@pytest.mark.parametrize(
    ("names", "options", "trusted", "why"),
    [
        (("wrong.example",), {}, True, "IP address mismatch"),
        (
            ("127.0.0.1",),
            {
                "not_before": datetime(2020, 1, 1, tzinfo=UTC),
                "not_after": datetime(2020, 1, 2, tzinfo=UTC),
            },
            True,
            "certificate has expired",
        ),
        (("127.0.0.1",), {}, False, "unable to get local issuer|self.signed"),
    ],
    ids=["another name", "expired", "nobody's"],
)
def test_a_wrong_certificate_is_refused_at_once(
    authority: trustme.CA,
    get: Get,
    pauses: Pauses,
    names: tuple[str, ...],
    options: Any,
    trusted: bool,
    why: str,
) -> None:
    issuer = authority if trusted else trustme.CA()
    with Server(certified(issuer, *names, **options)) as wrong:
        with pytest.raises(FetchError, match=f"the certificate is refused: .*({why})"):
            get(wrong.on("/f", sends(b"data")), credentials=BASIC)
        assert not wrong.requests and not pauses


def test_a_server_without_tls_is_no_https_server(plain: Server, get: Get) -> None:
    url = plain.on("/f", sends(b"data")).replace("http:", "https:")
    with pytest.raises(FetchError, match="tried 5 times"):
        get(url)


def test_a_refused_connection_is_tried_again_and_told(get: Get, pauses: Pauses) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else gets the port
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(FetchError, match=r"cannot be connected to.*tried 5 times"):
            get(f"https://127.0.0.1:{port}/f")
    assert len(pauses) == 4


def test_a_server_that_never_shakes_hands_is_left_without_a_trace(get: Get) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(FetchError, match=r"took longer than 0\.3 s"):
            get(f"https://127.0.0.1:{port}/f", whole_seconds=0.3)


def test_a_name_that_nobody_knows_is_told(get: Get) -> None:
    with pytest.raises(FetchError, match=r"cannot be connected to.*tried 5 times"):
        get("https://data.invalid/f")


def test_gzip_that_nobody_asked_for_is_noticed_and_other_encodings_are_refused(
    server: Server, get: Get, target: Path
) -> None:
    packed = gzip.compress(b"data")
    fetched = get(server.on("/f", sends(packed, headers={"Content-Encoding": "gzip"})))
    assert fetched is not None and fetched.encoded
    assert target.read_bytes() == packed
    with pytest.raises(FetchError, match="sent the content encoding 'br'"):
        get(server.on("/f", sends(b"data", headers={"Content-Encoding": "br"})))


@pytest.mark.parametrize("odd", ["x" * 5000, "a\tb", "caf\xe9"])
def test_a_validator_that_could_not_be_sent_back_is_not_kept(
    server: Server, get: Get, odd: str
) -> None:
    fetched = get(server.on("/f", drops(OK + f"ETag: {odd}\r\n\r\ndata".encode("latin-1"))))
    assert fetched is not None and fetched.validators.etag is None


@pytest.mark.parametrize(
    "said", ["yesterday", "Sun, 99 Nov 2026 08:00:00 GMT", "Sun, 22 Nov 99999 08:00:00 GMT"]
)
def test_a_date_that_is_none_is_no_date(server: Server, get: Get, said: str) -> None:
    fetched = get(server.on("/f", sends(b"data", headers={"Last-Modified": said})))
    assert fetched is not None and fetched.modified is None


def test_a_proxy_of_the_environment_is_used_and_its_password_is_not_told(
    get: Get, plain: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{plain.port}")
    with pytest.raises(FetchError) as caught:  # the server knows no CONNECT
        get("https://example.com/f")
    assert "the proxy refused" in str(caught.value) and "hunter2" not in str(caught.value)
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:hunter2@127.0.0.1")
    with pytest.raises(FetchError, match="the environment names a proxy") as caught:
        get("https://example.com/f")
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_of_authorities_is_told(
    get: Get, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(FetchError, match="SSL_CERT_FILE"):
        get("https://example.com/f")


def test_the_time_is_for_a_redirect_and_what_follows_together(server: Server, get: Get) -> None:
    server.on("/g", hangs())
    began = datetime.now(UTC)
    with pytest.raises(FetchError, match="took longer than"):
        get(server.on("/f", redirects("/g")), whole_seconds=0.2)
    assert datetime.now(UTC) - began < timedelta(seconds=10)
