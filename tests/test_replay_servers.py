"""Logs that real servers wrote are read as what was asked of them."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from georestrict.replay.formats import detect, format_of
from tests.proxies import Programs, connected, free_ports
from tests.waiting import wait_until

pytestmark = pytest.mark.once

OPENED = (
    b"GET /socket?x HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CLOSED = b"\x88\x80\x00\x00\x00\x00"  # a frame that closes it (RFC 6455 §5.5.1)


def request(
    target: bytes, *lines: bytes, user: bytes | None = None, method: bytes = b"GET"
) -> bytes:
    """A request, byte for byte, after which the connection is closed."""
    named = [] if user is None else [b"Authorization: Basic " + b64encode(user + b":secret")]
    head = [b"%s %s HTTP/1.1" % (method, target), b"Host: example.com", b"Connection: close"]
    return b"\r\n".join([*head, *named, *lines, b"", b""])


def send(port: int, *requests: bytes) -> None:
    """Send each over a connection of its own, and wait for its end."""
    for each in requests:
        with connected(port) as connection:
            connection.sendall(each)
            while told := connection.recv(65536):
                if told.startswith(b"HTTP/1.1 101 "):
                    connection.sendall(CLOSED)


def logged(log: Path, count: int) -> bytes:
    """Return a log when it has so many lines that are about requests."""
    wait_until(lambda: log.exists() and log.read_bytes().count(b"example") >= count)
    return log.read_bytes()


def column(frame: pl.DataFrame, name: str) -> Sequence[object]:
    return frame[name].to_list()


def assert_now(frame: pl.DataFrame) -> None:
    now = datetime.now(UTC)
    for time in frame["time"]:
        assert now - timedelta(minutes=5) < time < now + timedelta(seconds=1)


MAIN = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" "$http_x_forwarded_for"'
)
OBJECT = (
    '{"at":"$time_iso8601","peer":"$remote_addr","user":"$remote_user","host":"$http_host",'
    '"request":"$request","status":$status,"via":"$http_x_forwarded_for"}'
)


@pytest.mark.needs("nginx")
def test_what_nginx_writes_is_read(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with Programs(tmp_path) as programs:
        programs.start_nginx(
            f"""log_format main '{MAIN}';
            log_format object escape=json '{OBJECT}';
            server {{
                listen 127.0.0.1:{port};
                access_log {tmp_path}/combined.log combined;
                access_log {tmp_path}/main.log main;
                access_log {tmp_path}/object.log object;
                location / {{ return 200; }}
            }}
            """,
            port,
        )
        programs.wait()
        for name in ("combined", "main", "object"):
            (tmp_path / f"{name}.log").write_bytes(b"")  # waiting for nginx asked it something
        send(
            port,
            request(b"/example?q=1", b"X-Forwarded-For: 81.2.69.142, 10.0.0.1"),
            request(b'/example"\\?', user=b'a "b] \\', method=b"POST"),
            request(b"/example/\xc3\xa9\xff%C3", user="jürgen".encode()),
            request(b"/example", b'Referer: "] \\', b'User-Agent: x" 200 "', user=b"-"),
            b"\x16\x03\x01 example\r\n\r\n",
        )
        logs = {
            name: logged(tmp_path / f"{name}.log", 5) for name in ("combined", "main", "object")
        }
    for name, form in (("combined", detect(logs["combined"])), ("main", format_of(MAIN)), ("object", format_of(OBJECT))):  # fmt: skip
        frame, others = form.parse(logs[name])
        assert (others, {*column(frame, "peer")}) == (0, {"127.0.0.1"}), name
        assert column(frame, "method") == ["GET", "POST", "GET", "GET", None]
        raw = "é\ufffd" if name == "object" else "%C3%A9%FF"
        assert column(frame, "path") == [
            "/example",
            '/example"\\',
            f"/example/{raw}%C3",
            "/example",
            None,
        ]
        assert column(frame, "account") == [None, 'a "b] \\', "jürgen", None, None]
        assert column(frame, "status") == [200, 200, 200, 200, 400]
        assert_now(frame)
        if name != "combined":
            assert column(frame, "forwarded") == ["81.2.69.142, 10.0.0.1", None, None, None, None]
    assert detect(logs["combined"]).name == "combined"


def test_what_uvicorn_writes_is_read(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with Programs(tmp_path) as programs:
        app = "tests.logged_app:answer_asgi"
        command = [sys.executable, "-m", "uvicorn", app, "--port", str(port)]
        programs.start("uvicorn", command, port)
        programs.wait()
        send(port, request(b'/example%20%22?q="b"'), request(b"/example", method=b"DELETE"), OPENED)
        log = logged(programs.log("uvicorn"), 2)
    form = detect(log)
    frame, others = form.parse(log)
    assert form.name == "uvicorn"
    assert others >= 4  # that it started, and on which port
    assert column(frame, "peer") == ["127.0.0.1"] * 3
    assert column(frame, "method") == ["GET", "DELETE", None]
    assert column(frame, "path") == ["/example%20%22", "/example", "/socket"]
    assert column(frame, "protocol") == ["http", "http", "websocket"]
    assert column(frame, "status") == [200, 200, 101]
    assert column(frame, "time") == [None] * 3


@pytest.mark.slow
def test_what_gunicorn_writes_is_read(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    log = tmp_path / "access.log"
    with Programs(tmp_path) as programs:
        command = [sys.executable, "-m", "gunicorn", "tests.logged_app:answer_wsgi"]
        options = ["--bind", f"127.0.0.1:{port}", "--access-logfile", str(log)]
        programs.start("gunicorn", command + options, port)
        programs.wait()
        send(
            port,
            request(b'/example"\\n?', user=b'a "b] c'),
            request(b"/example", b'User-Agent: x\\" 200 "', method=b"PUT"),
        )
        written = logged(log, 2)
    frame, others = format_of("gunicorn").parse(written)
    assert (others, column(frame, "peer")) == (0, ["127.0.0.1"] * 2)
    assert column(frame, "method") == ["GET", "PUT"]
    assert column(frame, "path") == ['/example"\\n', "/example"]
    assert column(frame, "account") == ['a "b] c', None]
    assert column(frame, "status") == [200, 200]
    assert_now(frame)


@pytest.mark.slow
@pytest.mark.needs("caddy")
def test_what_caddy_writes_is_read(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config, log = tmp_path / "Caddyfile", tmp_path / "access.log"
    config.write_text(
        f"{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n bind 127.0.0.1\n"
        f' log {{\n  output file {log}\n }}\n respond "ok"\n}}\n'
    )
    with Programs(tmp_path) as programs:
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
        programs.start("caddy", command, port)
        programs.wait()
        send(
            port,
            request(
                b'/example"\\?q', b"X-Forwarded-For: 81.2.69.142, 10.0.0.1", b"X-Forwarded-For: x"
            ),
            request(b"/example/\xc3\xa9%C3", method=b"POST"),
        )
        written = logged(log, 2)
    form = detect(written)
    frame, others = form.parse(written)
    assert (form.name, others) == ("caddy", 0)
    assert column(frame, "peer") == ["127.0.0.1"] * 2
    assert column(frame, "forwarded") == ["81.2.69.142, 10.0.0.1, x", None]
    assert column(frame, "method") == ["GET", "POST"]
    assert column(frame, "path") == ['/example"\\', "/example/é%C3"]
    assert column(frame, "host") == ["example.com"] * 2
    assert column(frame, "status") == [200, 200]
    assert_now(frame)
