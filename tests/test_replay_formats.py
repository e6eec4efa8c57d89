"""Access logs are read as their servers write them: by samples, by a plain reader, by servers."""

from __future__ import annotations

import gzip
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict.errors import ConfigurationError, FormatError
from georestrict.replay import reading
from georestrict.replay.formats import EVENTS, FRAME, NAMES, Format, detect, format_of
from georestrict.replay.formats.lines import LineFormat
from georestrict.replay.reading import LONGEST_LINE, blocks
from tests.logs import Traffic, combined

pytestmark = pytest.mark.once

AT = datetime(2026, 11, 23, 4, 38, 40, tzinfo=UTC)
PLAIN = '1.2.3.4 - - [23/Nov/2026:04:38:40 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "curl"'
Row = dict[str, Any]


def row(**known: Any) -> Row:
    """A row of a frame: what is not named is null, but an ordinary request."""
    usual = {"peer": "1.2.3.4", "time": AT, "method": "GET", "path": "/a", "status": 200}
    return dict.fromkeys(FRAME) | usual | {"protocol": "http"} | known


def read(form: str | Format, *lines: str | bytes) -> list[Row]:
    """Return the requests of a log that has only requests."""
    rows, others = read_all(form, *lines)
    assert not others
    return rows


def read_all(form: str | Format, *lines: str | bytes) -> tuple[list[Row], int]:
    """Return the requests of a log, and how many lines are none."""
    block = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    known = format_of(form) if isinstance(form, str) else form
    frame, others = known.begin(block).parse(block)
    assert frame.schema == FRAME
    return frame.to_dicts(), others


# What nginx and Apache write, read from their documentation, unit by unit.


def reference(line: str) -> Row | None:
    """Read a line of the Common Log Format plainly and slowly; None if it is no request."""
    peer, _, rest = line.partition(" ")
    _ident, space, rest = rest.partition(" ")
    units = re.findall(
        r"\\.|.", rest, re.DOTALL
    )  # an escape is one unit, so its quote ends nothing
    if not peer or not space or units.count('"') < 2:
        return None
    first = units.index('"')
    second = units.index('"', first + 1)
    shape = r"(.*) \[(../[A-Z][a-z]{2}/....:..:..:..) ([+-])([0-9]{2})([0-5][0-9])\] "
    head = re.fullmatch(shape, "".join(_shut(unit) for unit in units[:first]), re.DOTALL)
    status = re.match("([0-9]{3})(?: |$)", "".join(units[second + 1 :])[1:])
    if head is None or status is None or units[second + 1] != " ":
        return None
    try:
        local = datetime.strptime(head[2], "%d/%b/%Y:%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    if not (head[2][:2] + head[2][7:]).replace(":", "").isdecimal():
        return None
    offset = timedelta(hours=int(head[4]), minutes=int(head[5])) * (1 if head[3] == "+" else -1)
    words = "".join(units[first + 1 : second]).split(" ")
    method = target = None
    if not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", words[0], re.ASCII):
        pass  # a method is a token
    elif len(words) >= 3 and re.fullmatch("HTTP/[0-9.]+", words[-1]):
        method, target = words[0], " ".join(words[1:-1])
    elif len(words) == 2 and all(words):
        method, target = words
    user = _told("".join(units[: len(head[1])]))
    return row(
        peer=peer,
        time=local - offset,
        method=None if method is None else _told(method),
        path=None if target is None else _sent(target).partition("?")[0],
        account=None if user in ("", "-") else user,
        status=int(status[1]),
        protocol="websocket" if status[1] == "101" else "http",
    )


def _shut(unit: str) -> str:
    """Return a unit as one character, which for an escape is none that means something."""
    return unit if len(unit) == 1 else "\x00"


def _bytes(text: str) -> Iterator[tuple[bytes, bool]]:
    """Yield what was written, and whether it was escaped."""
    at = 0
    while at < len(text):
        if text[at] != "\\" or at + 1 == len(text):
            yield text[at].encode(), False
            at += 1
        elif re.match("x[0-9A-Fa-f]{2}", text[at + 1 :]):
            yield bytes([int(text[at + 2 : at + 4], 16)]), True
            at += 4
        elif re.match("u[0-9A-Fa-f]{4}", text[at + 1 :]):
            yield chr(int(text[at + 2 : at + 6], 16)).encode("utf-8", "replace"), True
            at += 6
        else:
            short = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
            yield short.get(text[at + 1], text[at + 1]).encode(), True
            at += 2


def _told(text: str) -> str:
    return b"".join(part for part, _ in _bytes(text)).decode("utf-8", "replace")


def _sent(text: str) -> str:
    def percent(byte: int) -> str:
        return chr(byte) if 0x20 < byte < 0x7F else f"%{byte:02X}"

    return "".join(
        "".join(map(percent, part)) if escaped else part.decode() for part, escaped in _bytes(text)
    )


TIMES = ["23/Nov/2026:04:38:40 +0000"] * 6 + [
    "23/Nov/2026:04:38:40 -0730",
    "31/Feb/2026:04:38:40 +0000",
    "23/nov/2026:04:38:40 +0000",
    "23/Nov/2026:24:38:40 +0000",
    "23/Nov/2026:04:38:60 +0000",
    "3/Nov/2026:04:38:40 +0000",
    " 3/Nov/2026:04:38:40 +0000",
    "23/Nov/2026:04:38:40 +00",
    "23/Nov/2026:04:38:40 0000",
]
USERS = ["-"] * 4 + [
    "",
    "fred",
    "a b",
    "[x] y",
    'o\\"brien',
    "j\\xC3\\xBCrgen",
    "jürgen",
    "\\\\",
    "\\",
    '"',
    "a [23/Nov/2026:04:38:40 +0000]",
    '[23/Nov/2026:04:38:40 +0000] "GET / HTTP/1.1" 200 ',
    '[23/Nov/2026:04:38:40 +0000] \\"GET / HTTP/1.1\\" 200 ',
    "\x00",
    "\u2028",
]
REQUESTS = ["GET /a?b HTTP/1.1"] * 4 + [
    "",
    "-",
    "GET /",
    "GET  HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /a HTTP/1.1 HTTP/1.1",
    "GET /\\x22\\xC3\\xA9\\x0A\\\\ HTTP/2.0",
    "GET /é HTTP/3",
    'GET /\\" HTTP/1.1',
    'GET /" HTTP/1.1',
    "get /%00?%3F HTTP/1.1",
    "GET http://example.com/a?b HTTP/1.1",
    "\\x16\\x03\\x01",
    "GET /\\u00e9\\n\\q HTTP/1.1",
    "PRI * HTTP/2.0",
    "GET\t/ HTTP/1.1",
]
STATUSES = ["200"] * 4 + ["101", "000", "999", "20", "2000", "-", "+12", " 200", "٢٠٠"]
PEERS = ["1.2.3.4"] * 4 + ["2001:db8::1", "unix:", "-", '"', "a\\b", "é", "\ufeff1.2.3.4", "x^", ""]
TAILS = [' 5 "-" "curl"'] * 4 + ["", " ", "\r", ' 5 "a \\" b" "', " 5 \\", '"']


@st.composite
def lines(draw: st.DrawFn) -> str:
    """Lines that are requests, or nearly."""
    pools = (PEERS, ["-"] * 4 + ["", "x y", '"'], USERS, TIMES, REQUESTS, STATUSES, TAILS)
    peer, ident, user, time, request, status, tail = (draw(st.sampled_from(pool)) for pool in pools)
    line = f'{peer} {ident} {user} [{time}] "{request}" {status}{tail}'
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):  # a byte was lost, or one came in
        at = draw(st.integers(0, len(line)))
        new = draw(st.sampled_from(["", '"', " ", "\\", "[", "]", "\x00", "\t", "?", "\r"]))
        line = line[:at] + new + line[at + draw(st.integers(0, 1)) :]
    return line


@settings(max_examples=60, deadline=None)
@given(st.lists(lines(), min_size=1, max_size=12), st.booleans())
def test_combined_lines_are_read_as_a_plain_reader_does(log: list[str], ended: bool) -> None:
    block = "\n".join(log).encode() + b"\n" * ended
    wanted = [reference(line.removesuffix("\r")) for line in log]
    frame, others = format_of("combined").parse(block)
    assert frame.to_dicts() == [found for found in wanted if found is not None]
    blank = sum(not line.strip(" \t\r") for line in log)
    assert others == wanted.count(None) - blank


@settings(max_examples=60, deadline=None)
@given(st.lists(lines(), min_size=1, max_size=12), st.sampled_from(["combined", "gunicorn", "alb"]))
def test_lines_split_at_spaces_are_what_the_format_means(log: list[str], name: str) -> None:
    quick = format_of(name)
    assert isinstance(quick, LineFormat)
    assert quick.tokens is not None
    alb = 'ws 2026-11-23T04:38:40.000000Z lb {0} 10.0.0.1:80 0 0 0 {1} 200 0 57 "{2}" "curl" - -'
    made = [
        alb.format(*line.split(" ")[:1], *line.split('"')[:2][::-1]) for line in log if '"' in line
    ]
    block = "\n".join(made if name == "alb" else log).encode()
    split, matched = quick.parse(block), replace(quick, tokens=None).parse(block)
    assert split[0].equals(matched[0])
    assert split[1] == matched[1]


def _spaced(requests: pl.DataFrame) -> pl.DataFrame:
    return requests.select(
        pl.lit(None, kind).alias(name) if name in ("forwarded", "host") else pl.col(name).cast(kind)
        for name, kind in FRAME.items()
    )


def test_generated_logs_are_read_as_what_they_were_made_of() -> None:
    requests = Traffic(odd=0.02, with_account=0.5).requests(5_000)
    block = "\n".join(combined(requests)).encode()
    frame, others = format_of("combined").parse(block)
    assert others == 0
    assert frame.equals(_spaced(requests))
    assert {"websocket", "http"} == {*frame["protocol"]}
    assert frame["path"].str.contains('["\\\\]').any()


# One real line each, or as the documentation has it; then what they must be read as.

UVICORN = 'INFO:     1.2.3.4:5678 - "GET /a?x="y" HTTP/1.1" 200 OK'
COLOURED = (
    '\x1b[32mINFO\x1b[0m:     1.2.3.4:5678 - "\x1b[1mGET /a HTTP/1.1\x1b[0m" \x1b[32m200 OK\x1b[0m'
)
ALB = (
    "https 2026-11-23T04:38:40.186641Z app/my-lb/50dc6c 1.2.3.4:2817 10.0.0.1:80 0.086 0.048 0.037 "
    '200 200 0 57 "GET https://www.example.com:443/a?b HTTP/1.1" "curl/7.46.0" ECDHE TLSv1.2 arn'
)
CADDY = (
    '{"level":"info","ts":1795408720.5,"logger":"http.log.access.log0","msg":"handled request",'
    '"request":{"remote_ip":"1.2.3.4","remote_port":"331","proto":"HTTP/1.1","method":"GET",'
    '"host":"example.com","uri":"/a?x=\\"y\\"","headers":{"Accept":["*/*"],'
    '"X-Forwarded-For":["5.6.7.8, 9.9.9.9","8.8.8.8"]}},"user_id":"","duration":0.1,"status":200}'
)
TRAEFIK = (
    '{"ClientAddr":"1.2.3.4:590","ClientHost":"5.6.7.8","ClientUsername":"-","DownstreamStatus":101,'
    '"RequestHost":"example.com","RequestMethod":"GET","RequestPath":"/a?x",'
    '"StartUTC":"2026-11-23T04:38:40.186641999Z","time":"2026-11-23T04:38:41Z"}'
)
TRAEFIK_LINE = (
    '1.2.3.4 - - [23/Nov/2026:04:38:40 +0000] "GET /a?q="b" HTTP/1.1" 200 5 "-" "c\\"d" 7 '
    '"router@file" "http://10.0.0.1:80" 3ms'
)
CLOUDFRONT = (
    "#Version: 1.0",
    "#Fields: date time c-ip cs-method cs-uri-stem sc-status x-host-header cs-protocol x-forwarded-for",
    "2026-11-23\t04:38:40\t1.2.3.4\tGET\t/a\t200\texample.com\twss\t-",
)
NGINX_MAIN = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" "$http_x_forwarded_for"'
)
LATER = AT + timedelta(microseconds=186641)


@pytest.mark.parametrize(
    ("form", "log", "wanted"),
    [
        ("common", [PLAIN.partition(' "-"')[0]], {}),
        ("combined", [PLAIN, "", "  \t", "\r"], {}),
        ("apache", [PLAIN + "\r"], {}),
        ("nginx", [PLAIN.replace("1.2.3.4", "unix:")], {"peer": "unix:"}),
        ("gunicorn", [PLAIN.replace("/a", '/a\\b\\"c')], {"path": '/a\\b"c'}),
        ("uvicorn", [UVICORN], {"time": None}),
        ("uvicorn", [COLOURED], {"time": None}),
        ("uvicorn", ["Nov 23 04:38:40 web[9]: " + UVICORN], {"time": None}),
        ("uvicorn", [UVICORN.replace("1.2.3.4", "::1")], {"time": None, "peer": "::1"}),
        (
            "uvicorn",
            ['INFO:     1.2.3.4:5678 - "WebSocket /a?b" [accepted]'],
            {"time": None, "method": None, "protocol": "websocket", "status": 101},
        ),
        (
            "uvicorn",
            ['INFO:     1.2.3.4:5678 - "WebSocket /a?b" 403'],
            {"time": None, "method": None, "protocol": "websocket", "status": 403},
        ),
        ("alb", [ALB], {"time": LATER, "host": "www.example.com:443"}),
        (
            "alb",
            [ALB.replace("https 2", "wss 2").replace("1.2.3.4:", "[2001:db8::1]:")],
            {"time": LATER, "host": "www.example.com:443", "peer": "2001:db8::1", "protocol": "websocket"},
        ),
        (
            "alb",
            [ALB.replace("200 200", "400 -").replace("GET https://www.example.com:443/a?b HTTP/1.1", "- http://www.example.com:80- -")],
            {"time": LATER, "host": "www.example.com:80-", "method": None, "path": None, "status": 400},
        ),
        ("cloudfront", CLOUDFRONT, {"host": "example.com", "protocol": "websocket"}),
        (
            "caddy",
            [CADDY],
            {
                "time": AT + timedelta(seconds=0.5),
                "host": "example.com",
                "forwarded": "5.6.7.8, 9.9.9.9, 8.8.8.8",
            },
        ),
        (
            "traefik",
            [TRAEFIK],
            {"time": LATER, "host": "example.com", "forwarded": "5.6.7.8", "status": 101, "protocol": "websocket"},
        ),
        ("traefik", [TRAEFIK_LINE], {}),
        (NGINX_MAIN, [PLAIN + ' "5.6.7.8, 9.9.9.9"'], {"forwarded": "5.6.7.8, 9.9.9.9"}),
        (NGINX_MAIN, [PLAIN + ' "-"'], {}),
        (
            '{"at":"$time_iso8601","ip":"$remote_addr","to":"$request_uri","m":"$request_method",'
            '"s":$status,"u":"$remote_user","h":"${host}"}',
            [
                '{"at":"2026-11-23T05:38:40+01:00","ip":"1.2.3.4","to":"/a\\"\\u00e9\\\\?b","m":"GET",'
                '"s":200,"u":"","h":"example.com"}'
            ],
            {"path": '/a"%C3%A9\\', "host": "example.com"},
        ),
        ("$msec $remote_addr $status $request", ["1795408720.186 1.2.3.4 200 GET /a?b HTTP/1.1"], {"time": AT + timedelta(milliseconds=186)}),
        (
            '%v:%p %h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{X-Forwarded-For}i\\"',
            ['example.com:443 1.2.3.4 - a\\"b [23/Nov/2026:04:38:40 +0000] "GET /a HTTP/1.1" 200 5 "\\"" "5.6.7.8"'],
            {"host": "example.com", "account": 'a"b', "forwarded": "5.6.7.8"},
        ),
        ("%{%Y-%m-%d %H:%M:%S %z}t %{c}a %a %m %U %s%%", ["2026-11-23 05:38:40 +0100 1.2.3.4 5.6.7.8 GET /a%b?c 200%"], {"path": "/a%25b%3Fc"}),
        ("%{usec}t %a %m %U %s", ["1795408720186641 1.2.3.4 GET /a 200"], {"time": LATER}),
    ],
)  # fmt: skip
def test_a_line_of_each_format_is_read(form: str, log: list[str], wanted: Row) -> None:
    assert read(form, *log) == [row(**wanted)]


@pytest.mark.parametrize(
    ("log", "name"),
    [
        ([PLAIN], "combined"),
        (["INFO:     Started server process [7]", UVICORN], "uvicorn"),
        ([ALB], "alb"),
        ([*CLOUDFRONT], "cloudfront"),
        ([CADDY], "caddy"),
        ([TRAEFIK], "traefik"),
        ([TRAEFIK_LINE], "traefik"),
        (['{"event": 1, "time": "2026-11-23T04:38:40.000000Z", "kind": "counts", "action": "allow", "reason": "default", "count": 7}'], "events"),
        (["", "half a line", PLAIN], "combined"),
        # Apache's vhost_combined on Debian, of which the host is not the address
        ([f"www.example.com:443 {PLAIN}"], '%v:%p %h %l %u %t "%r" %>s %O'),
    ],
)  # fmt: skip
def test_the_format_is_told_from_the_first_lines(log: list[str], name: str) -> None:
    assert detect("\n".join(log).encode()).name == name


@pytest.mark.parametrize("log", [b"", b"\n", b"no log at all\n", b"\xff\xfe\x00", b'{"a": 1}\n'])
def test_what_no_format_reads_is_an_error_that_names_the_choices(log: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"--format: combined, .* or the log_format"):
        detect(log)


def test_formats_that_are_none_are_errors() -> None:
    with pytest.raises(ConfigurationError, match=r"'iis': is no name that is known .combined, "):
        format_of("iis")
    with pytest.raises(ConfigurationError, match="nothing in it tells who is connected"):
        format_of("$status $request")
    with pytest.raises(FormatError, match="has no c-ip, without which"):
        format_of("cloudfront").begin(b"#Fields: date time cs-method\n")


def test_the_header_that_is_asked_for_is_the_one_that_is_told() -> None:
    two = '$remote_addr "$http_x_forwarded_for" "$http_cf_connecting_ip" $request'
    line = b'1.2.3.4 "5.6.7.8" "9.9.9.9" GET /a HTTP/1.1\n'
    for header, wanted in (("X-Forwarded-For", "5.6.7.8"), ("cf-connecting-ip", "9.9.9.9")):
        frame, _ = format_of(two, header).parse(line)
        assert frame["forwarded"].to_list() == [wanted]
    log = CADDY.replace("X-Forwarded-For", "Cf-Connecting-Ip").encode()
    frame, _ = format_of("caddy", "CF-Connecting-IP").parse(log)
    assert frame["forwarded"].to_list() == ["5.6.7.8, 9.9.9.9, 8.8.8.8"]


def test_events_are_read_with_the_requests_that_they_stand_for() -> None:
    log = (
        '{"event": 1, "time": "2026-11-23T04:38:40.186641Z", "kind": "decision", "action": "block", '
        '"reason": "rule", "count": 1, "categories": {"hosting": "high", "vpn": "low"}, "counted": ["a", "b"], "status": "known"}',
        '{"event": 1, "time": "2026-11-23T04:38:40.186641Z", "kind": "counts", "action": "allow", "reason": "default", "count": 17, "emergency": true}',
        '{"event": 2, "time": "2026-11-23T04:38:40.186641Z", "kind": "counts", "action": "allow", "reason": "default", "count": 17}',
        '{"event": 1, "kind": "decision"}',
        "damaged {",
    )  # fmt: skip
    frame, others = format_of("events").parse("\n".join(log).encode())
    assert others == 3
    assert frame.schema == EVENTS
    assert frame["count"].to_list() == [1, 17]
    assert frame["time"].to_list() == [LATER] * 2
    assert frame["emergency"].to_list() == [False, True]
    assert frame["categories"].to_list() == [["hosting", "vpn"], []]
    assert frame["counted"].to_list() == [["a", "b"], []]
    assert frame["status"].to_list() == ["known", None]


HOSTILE = [
    b"", b" ", b"\r", b"\x00\x00\x00", b"\xff\xfe", b"\x1f\x8b\x08", b"x^\x01", b"x\x01", b"BZh9", b"(\xb5/\xfd",
    b"{", b"{}", b"[]", b"null", b"1e999", b'{"ts":NaN}', b'{"ts":1e400,"request":{"remote_ip":"1.2.3.4"}}',
    b'{"ts":1,"request":[]}', b'{"request":{"remote_ip":7},"ts":"x","status":70000}', b'{"a":' + b"[" * 600, b"#Fields: x",
    b"#Fields: time date c-ip c-ip", b"a\tb\tc", b"\xef\xbb\xbf1.2.3.4", b'"', b'""', b"\\", b'{"event":1}', b"\xe2\x80\xa8",
    *(text.encode() for text in (PLAIN, UVICORN, COLOURED, ALB, CADDY, TRAEFIK, TRAEFIK_LINE, *CLOUDFRONT)),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(HOSTILE) | st.binary(max_size=20), max_size=8), st.sampled_from(NAMES)
)
def test_no_line_raises_and_none_is_lost(log: list[bytes], name: str) -> None:
    block = b"\n".join(log)
    frame, others = format_of(name).parse(block)
    assert frame.schema == (EVENTS if name == "events" else FRAME)
    texts = [line.decode("utf-8", "replace") for line in block.split(b"\n")]
    counted = [
        line
        for line in texts
        if line.strip(" \t\r") and not (name == "cloudfront" and line[0] == "#")
    ]
    assert frame.height + others == len(counted)


# Files.


def content(path: Path, size: int = reading.BLOCK) -> bytes:
    return b"".join(blocks(path, size))


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_blocks_end_where_lines_do_and_are_the_file(tmp_path: Path, size: int) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\n".join([PLAIN.encode()] * 5_000))
    read = [*blocks(log, size)]
    assert b"".join(read) == log.read_bytes()
    assert all(block.endswith(b"\n") for block in read[:-1])
    assert max(map(len, read)) <= size + (256 << 10)


def test_compressed_logs_are_read_whatever_they_are_called(tmp_path: Path) -> None:
    lines = b"".join(b"%d %s\n" % (number, PLAIN.encode()) for number in range(20_000))
    half = len(lines) // 2
    log = tmp_path / "access.log"
    zstd = zstandard.ZstdCompressor().compress
    for compress in (gzip.compress, zstd):
        for parts in ([lines], [lines[:half], lines[half:]], [lines, b""]):
            log.write_bytes(b"".join(map(compress, parts)))
            read = 0

            def count(more: int) -> None:
                nonlocal read
                read += more

            assert b"".join(blocks(log, 1 << 20, count)) == lines
            assert read == log.stat().st_size
    log.write_bytes(gzip.compress(lines) + bytes(512))  # padding, as tapes have it
    assert content(log) == lines


def test_compressed_logs_that_end_too_early_or_are_damaged_are_errors(tmp_path: Path) -> None:
    lines = b"".join(b"%d %s\n" % (number, PLAIN.encode()) for number in range(5_000))
    log = tmp_path / "access.log"
    for whole in (
        gzip.compress(lines),
        zstandard.ZstdCompressor(write_checksum=True).compress(lines),
    ):
        for end in (20, len(whole) // 2, len(whole) - 1):
            log.write_bytes(whole[:end])
            with pytest.raises(FormatError, match=f"{log}: byte {end}: .* data ends too early"):
                content(log)
        damaged = bytearray(whole)
        damaged[-2] ^= 0xFF
        log.write_bytes(damaged)
        with pytest.raises(FormatError, match=f"{log}: byte [0-9]+: its .* data is damaged"):
            content(log)


def test_lines_that_are_too_long_are_one_line_each_and_no_request(tmp_path: Path) -> None:
    long = PLAIN.encode() + b"x" * LONGEST_LINE
    fits = PLAIN.encode() + b"x" * (LONGEST_LINE - len(PLAIN) - 1)
    log = tmp_path / "log"
    for size in (1 << 16, 1 << 20, 8 << 20):
        log.write_bytes(b"\n".join([PLAIN.encode(), long, long * 5, fits, PLAIN.encode(), long]))
        frames, others = [], 0
        for block in blocks(log, size):
            assert len(block) <= max(size, LONGEST_LINE) + (512 << 10)
            frame, wrong = format_of("combined").parse(block)
            frames.append(frame)
            others += wrong
        assert (sum(frame.height for frame in frames), others) == (3, 3)


def test_the_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = f"{PLAIN}\n".encode() * 3

    class Input:
        buffer = BytesIO(gzip.compress(lines))

    monkeypatch.setattr(sys, "stdin", Input)
    assert b"".join(blocks("-")) == lines


def test_whoever_stops_reading_early_leaves_no_thread(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(f"{PLAIN}\n".encode() * 50_000)
    threads = threading.active_count()
    read = blocks(log, 1 << 16)
    next(read)
    assert threading.active_count() == threads + 1
    read.close()
    assert threading.active_count() == threads
    with pytest.raises(FileNotFoundError, match="missing"):
        next(blocks(tmp_path / "missing"))
    assert threading.active_count() == threads


def test_an_empty_log_has_no_blocks(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    assert [*blocks(log)] == []
