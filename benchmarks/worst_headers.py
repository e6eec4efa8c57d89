"""What the worst headers that a server lets through cost it, against a plain request.

Processor time of the server's process (not of the client, and not elapsed), a request, through real
servers on loopback: each once bare, and guarded by each strategy that reads a chain. The answers
are checked first. A server that itself takes long over large headers does so without us, too, so
guarded is also set against bare on the same request. Bias: the app does nothing.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROUNDS, save

REQUESTS = 200  # of each kind in a round; of very large ones, fewer
BYTES = 4 * 1024 * 1024  # of one kind in a round
MOST = 5  # acceptance C5: below so many times a plain request
MOST_OVER_BARE = 2  # where the server by itself needs almost that

APP = """
from georestrict import Engine, asgi, wsgi
from georestrict.address import TrustedProxies

ENGINE = Engine({"default": "allow", "contact": "https://example.com/contact", "rules": [
    {"name": "cn", "action": "block", "countries": ["CN"]},
    {"name": "admin", "action": "block", "countries": ["SE", "GB"], "paths": ["/admin/*"]}]})
LIST = TrustedProxies("127.0.0.1", "10.0.0.0/8")
FORWARDED = TrustedProxies("127.0.0.1", "10.0.0.0/8", header="forwarded")
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"6")]

async def bare_asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"served"})

def bare_wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"served"]

list_asgi = asgi.GeoRestrictMiddleware(bare_asgi, engine=ENGINE, client=LIST)
list_wsgi = wsgi.GeoRestrictMiddleware(bare_wsgi, engine=ENGINE, client=LIST)
forwarded_asgi = asgi.GeoRestrictMiddleware(bare_asgi, engine=ENGINE, client=FORWARDED)
forwarded_wsgi = wsgi.GeoRestrictMiddleware(bare_wsgi, engine=ENGINE, client=FORWARDED)
"""


@dataclass(frozen=True)
class Server:
    """A server, how its app is called, and the largest line and most lines that it lets through."""

    command: tuple[str, ...]
    face: str
    line_bytes: int
    lines: int


_UVICORN = ("uvicorn", "--lifespan", "off", "--no-proxy-headers", "--log-level", "warning",
            "--no-access-log", "--timeout-keep-alive", "300")  # fmt: skip
SERVERS = {
    # h11: 16 KiB for the head of a request
    "uvicorn, h11": Server((*_UVICORN, "--http", "h11"), "asgi", 15_000, 700),
    # httptools: no limit of its own
    "uvicorn, httptools": Server((*_UVICORN, "--http", "httptools"), "asgi", 1_048_576, 10_000),
    # gunicorn: 100 lines, each of at most 8,190 bytes
    "gunicorn": Server(
        ("gunicorn", "--worker-class", "gthread", "--keep-alive", "300"), "wsgi", 8_100, 90
    ),
}
PLAIN = (
    b"GET /v1/models HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: client/1.2.3\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n"
    b"X-Request-Id: 7b0f0c8e-5f57-4a1c-9d6e-1f4a5c2b7e11\r\nX-Forwarded-Proto: https\r\n"
    b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
)


@dataclass(frozen=True)
class Kind:
    """A request, the strategy that it is meant for, and the status of its guarded answer."""

    strategy: str
    text: bytes
    status: int


def kinds(server: Server) -> dict[str, Kind]:
    """The requests: a plain one for each strategy, and the worst for a server's limits."""
    size, lines = server.line_bytes, server.lines

    def chain(value: bytes, times: int = 1) -> bytes:
        return PLAIN + (b"X-Forwarded-For: " + value + b"\r\n") * times + b"\r\n"

    def forwarded(value: bytes) -> bytes:
        return PLAIN + b"Forwarded: " + value + b"\r\n\r\n"

    def filled(piece: bytes, end: bytes = b"") -> bytes:
        return piece * ((size - len(end)) // len(piece)) + end

    others = b"".join(b"X-%d: a\r\n" % number for number in range(lines))
    return {
        "plain": Kind("list", chain(b"81.2.69.142"), 200),
        "junk before the client": Kind("list", chain(filled(b"x,", b"81.2.69.142")), 200),
        "proxies only": Kind("list", chain(filled(b"10.1.1.1,", b"10.1.1.1")), 403),
        "IPv6 proxies only": Kind("list", chain(filled(b"::ffff:10.0.0.1,", b"10.1.1.1")), 403),
        "spaces": Kind("list", chain(b"x" + b" " * (size - 3) + b",")[:-4] + b"\r\n\r\n", 403),
        "lines of proxies": Kind("list", chain(b"10.1.1.1", lines // 2), 403),
        "empty lines": Kind("list", chain(b"", lines // 2) , 403),
        "lines of other headers": Kind(
            "list", PLAIN + others + b"X-Forwarded-For: 81.2.69.142\r\n\r\n", 200
        ),
        "plain, forwarded": Kind("forwarded", forwarded(b"for=81.2.69.142"), 200),
        "quotes": Kind("forwarded", forwarded(filled(b'"')), 403),
        "backslashes": Kind("forwarded", forwarded(filled(b"\\") + b'"'), 403),
        "escaped quotes": Kind("forwarded", forwarded(b'x="' + filled(b'\\"')), 403),
        "elements of proxies": Kind(
            "forwarded", forwarded(filled(b'for="[::ffff:a00:1]:80";by=_x,', b"for=10.1.1.1")), 403
        ),
    }  # fmt: skip


def is_plain(name: str) -> bool:
    """Whether a kind is what the others are set against."""
    return name.startswith("plain")


@contextmanager
def serving(folder: Path, server: Server, app: str) -> Iterator[tuple[int, int]]:
    """Start a server; give its port and its process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    where = ("--bind", f"127.0.0.1:{port}") if server.face == "wsgi" else ("--port", str(port))
    command = [sys.executable, "-m", *server.command, f"app:{app}_{server.face}", *where]
    log = folder / f"{app}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        yield port, process.pid
                        return
                if process.poll() is not None:
                    break
            raise SystemExit(f"no server: {log.read_text()}")
        finally:
            process.terminate()
            process.wait(timeout=20)


def processor_ns(process: int) -> int:
    """Processor time of a process, its threads and its children (proc(5), schedstat)."""
    total = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
        for child in (thread / "children").read_text().split():
            total += processor_ns(int(child))
    return total


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._file = self._socket.makefile("rb")

    def send(self, text: bytes) -> int:
        """Send a request and read its answer; return the status."""
        self._socket.sendall(text)
        status, length, close = int(self._file.readline().split()[1]), 0, False
        while (line := self._file.readline().strip().lower()) != b"":
            name, _, value = line.partition(b":")
            length = int(value) if name == b"content-length" else length
            close = close or (name == b"connection" and value.strip() == b"close")
        self._file.read(length)
        if close:
            self._socket.close()
            self._connect()
        return status


def main() -> None:
    """Measure every server, write the result, and hold acceptance C5 against it."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(APP)
        for name, server in SERVERS.items():
            results[name] = measure(Path(folder), server)
    for name, found in results.items():
        for kind, figures in found.items():
            print(
                f"worst headers, {name}, {kind}: {figures['over_plain']} plain requests, "
                f"{figures['guarded_over_bare']} of the bare server's {figures['bare_us']} us"
            )
    save("worst_headers", {"requests": REQUESTS, "servers": results})
    for name, found in results.items():
        for kind, figures in found.items():
            if figures["bare_over_plain"] < MOST - 1:
                assert figures["over_plain"] < MOST, (name, kind)
            else:
                assert figures["guarded_over_bare"] < MOST_OVER_BARE, (name, kind)


def measure(folder: Path, server: Server) -> dict[str, Any]:
    """Return the figures of one server: medians of rounds in which all kinds take turns."""
    requests = kinds(server)
    times: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        running = {}
        # Garbage of large requests is collected during later ones: plain ones get own processes.
        for app in ("bare", "list", "forwarded"):
            for plain in (True, False):
                port, process = stack.enter_context(serving(folder, server, app))
                running[app, plain] = Client(port), process
        for name, kind in requests.items():
            for app in ("bare", kind.strategy):
                status = running[app, is_plain(name)][0].send(kind.text)
                assert status == (200 if app == "bare" else kind.status), (name, app, status)
        for _ in range(ROUNDS):
            for name, kind in requests.items():
                for app in ("bare", kind.strategy):
                    client, process = running[app, is_plain(name)]
                    count = min(REQUESTS, BYTES // len(kind.text) + 20)
                    for _ in range(5):  # so that what another kind left behind is gone
                        client.send(kind.text)
                    start = processor_ns(process)
                    for _ in range(count):
                        client.send(kind.text)
                    spent = (processor_ns(process) - start) / count
                    times.setdefault((name, "bare" if app == "bare" else "guarded"), []).append(
                        spent
                    )
    return {name: _figures(times, name, len(kind.text)) for name, kind in requests.items()}


def _figures(times: dict[tuple[str, str], list[float]], name: str, size: int) -> dict[str, float]:
    """Ratios are taken within each round."""
    bare, guarded = times[name, "bare"], times[name, "guarded"]
    plain, plain_bare = times["plain", "guarded"], times["plain", "bare"]
    over = [worst / one for worst, one in zip(guarded, plain, strict=True)]
    added = [
        (worst - without) / one for worst, without, one in zip(guarded, bare, plain, strict=True)
    ]
    return {
        "bytes": size,
        "guarded_us": round(median(guarded) / 1000, 1),
        "bare_us": round(median(bare) / 1000, 1),
        "over_plain": round(median(over), 2),
        "over_plain_highest": round(max(over), 2),
        "bare_over_plain": round(median(b / p for b, p in zip(bare, plain_bare, strict=True)), 2),
        "added_over_plain": round(median(added), 2),
        "guarded_over_bare": round(median(g / b for g, b in zip(guarded, bare, strict=True)), 2),
    }


if __name__ == "__main__":
    main()
