"""An HTTP server on loopback that does what it is told, wrong as that may be."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import trustme

#: Writes an answer, or does worse.
Behaviour = Callable[["Handler"], None]


class Request(NamedTuple):
    """What a client asked."""

    path: str
    headers: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append(
                Request(self.path, {name.lower(): value for name, value in self.headers.items()})
            )
            script = self.server.scripts.get(self.path, [sends(b"no such file", 404)])
            behave = script.pop(0) if len(script) > 1 else script[0]
        self.close_connection = True
        behave(self)

    def do_CONNECT(self) -> None:
        """Be a proxy, and every server behind it: paths are whole addresses then."""
        host = self.path.rpartition(":")[0]
        if self.server.authority is None:
            self.send_error(405)
            return
        self.send_response(200)
        self.end_headers()
        tls = certified(self.server.authority, host)
        self.request = tls.wrap_socket(self.connection, server_side=True)
        self.setup()
        self.raw_requestline = self.rfile.readline(65537)
        assert self.parse_request()
        self.path = f"https://{host}{self.path}"
        self.do_GET()
        self.wfile.flush()
        self.request.close()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Answers each path by its script; the last behaviour of a script stays."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, tls: ssl.SSLContext | None = None, authority: trustme.CA | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[Request] = []
        self.scripts: dict[str, list[Behaviour]] = {}
        self.lock = threading.Lock()
        self.done = threading.Event()  # what waits for the end of a test, waits for this
        self.authority = authority
        self._tls = tls
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_address[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def on(self, path: str, *script: Behaviour) -> str:
        """Say how a path behaves, one request after the other; return its address."""
        self.scripts[path] = list(script)
        return self.url(path)

    def asked(self, path: str) -> list[Request]:
        """What was asked of a path."""
        return [request for request in self.requests if request.path == path]


def certified(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """A server's TLS with a certificate for these names."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(made)
    return made


def sends(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer with a body; its length is told, unless the headers tell another."""

    def behave(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def conditional(body: bytes, etag: str, modified: str = "") -> Behaviour:
    """Answer 304 to who knows the entity tag, or the date, as RFC 9110 says."""
    headers = {"ETag": etag} | ({"Last-Modified": modified} if modified else {})

    def behave(handler: Handler) -> None:
        known = handler.headers.get("If-None-Match")
        since = handler.headers.get("If-Modified-Since")
        same = known == etag if known is not None else modified and since == modified
        (sends(b"", 304, headers) if same else sends(body, headers=headers))(handler)

    return behave


def redirects(to: str, status: int = 302) -> Behaviour:
    """Lead elsewhere."""
    return sends(b"", status, {"Location": to})


def drops(sent: bytes = b"") -> Behaviour:
    """Send some bytes as they are, and hang up."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(sent)

    return behave


def hangs(sent: bytes = b"") -> Behaviour:
    """Send some bytes as they are, and then nothing until the test is over."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(sent)
        handler.wfile.flush()
        handler.server.done.wait(60)

    return behave


def drips(head: bytes, byte: bytes = b"x") -> Behaviour:
    """Send a byte every hundredth of a second, for ever."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(head)
        while not handler.server.done.wait(0.01):
            handler.wfile.write(byte)

    return behave


def pours(head: bytes, chunk: bytes = bytes(1 << 16)) -> Behaviour:
    """Send as much as is taken."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(head)
        while not handler.server.done.is_set():
            handler.wfile.write(chunk)

    return behave
