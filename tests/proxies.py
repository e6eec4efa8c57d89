"""Real proxies and servers on loopback, and clients that send just the bytes they are told to."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from georestrict.address import Strategy

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/proxies.md"
STARTUP_SECONDS = 60

Place = int | Path  # a port on 127.0.0.1, or a unix socket


@dataclass(frozen=True)
class Recipe:
    """What a section of docs/proxies.md tells its reader to write."""

    nginx: tuple[str, ...]
    clients: tuple[Strategy, ...]


def read_recipes() -> dict[str, Recipe]:
    """The recipes by the name of their section; the page's private addresses become loopback's."""
    recipes = {}
    text = PAGE.read_text(encoding="utf-8").replace("10.0.3.", "127.0.0.")
    for section in text.split("\n## ")[1:]:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        nginx = tuple(block for language, block in blocks if language == "nginx")
        if nginx:
            clients = tuple(_client(block) for language, block in blocks if language == "python")
            recipes[section.partition("\n")[0].lower().replace(" ", "-")] = Recipe(nginx, clients)
    return recipes


def _client(block: str) -> Strategy:
    names: dict[str, Any] = {}
    exec(block, names)
    client: Strategy = names["client"]
    return client


def passing_to(place: Place, block: str) -> str:
    """A block of a recipe with the one place that it passes requests to put in for its own."""
    to = f"unix:{place}" if isinstance(place, Path) else f"127.0.0.1:{place}"
    block, replaced = re.subn(
        r"(proxy_pass http://|server )(unix:[^;]+|[\d.:]+);", rf"\g<1>{to};", block
    )
    assert replaced == 1, block
    return block


def listening(port: int, block: str) -> str:
    """A ``server`` whose clients have public addresses: they begin with a PROXY protocol line."""
    return f"""
server {{
    listen 127.0.0.1:{port} proxy_protocol;
    set_real_ip_from 127.0.0.1;
    real_ip_header proxy_protocol;
    {block}
}}
"""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Programs:
    """Programs that run on loopback until the end of a ``with`` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[tuple[str, subprocess.Popen[bytes], tuple[Place, ...]]] = []

    def start(self, name: str, command: Sequence[str], *places: Place) -> None:
        """Start a program that will listen at these places."""
        with self.log(name).open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        self._started.append((name, process, places))

    def start_nginx(self, blocks: str, *places: Place) -> None:
        """Start nginx with these blocks of ``http``, as one process of whoever runs the tests."""
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off;\nmaster_process off;\npid {self.folder}/nginx.pid;\n"
            "events { worker_connections 256; }\n"
            f"http {{\naccess_log off;\n{temporary}{blocks}}}\n"
        )
        self.start("nginx", ["nginx", "-e", "stderr", "-c", str(config)], *places)

    def log(self, name: str) -> Path:
        """Where a program writes."""
        return self.folder / f"{name}.log"

    def wait(self) -> None:
        """Return when all that was started accepts connections; fail when one of it has ended."""
        end = time.monotonic() + STARTUP_SECONDS
        for name, process, places in self._started:
            while not all(map(accepts, places)):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)  # returns at once when the program ends
                told = self.log(name).read_text(errors="replace")
                assert process.poll() is None, f"{name} ended: {told}"
                assert time.monotonic() < end, f"{name} does not listen: {told}"

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *_: object) -> None:
        for _name, process, _places in self._started:
            process.terminate()
        for _name, process, _places in self._started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def accepts(place: Place) -> bool:
    """Is somebody listening there?"""
    with suppress(OSError), connected(place):
        return True
    return False


def connected(place: Place, source: str | None = None) -> socket.socket:
    """A connection to a place, from a given address of loopback."""
    if isinstance(place, int):
        address = None if source is None else (source, 0)
        return socket.create_connection(("127.0.0.1", place), 20, address)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(20)
        connection.connect(str(place))
    except OSError:
        connection.close()
        raise
    return connection


@dataclass(frozen=True)
class Answer:
    """What comes back."""

    status: int
    body: bytes

    @property
    def told(self) -> Any:
        """The body of an answer in JSON."""
        return json.loads(self.body)

    @property
    def outcome(self) -> str:
        """The country that was derived, ``blocked`` before it if it was; or why there is none."""
        if self.status == 200:
            return str(self.told["country"] or self.told["reason"])
        if self.status != 403:
            return f"status {self.status}"
        told = self.told
        if told["error"]["code"] == "client_address_unresolved":
            return "unresolved"
        return f"blocked {told['country']}"


class Client:
    """One connection: to an app, or, with an ``address``, to an nginx that takes it for one's own."""

    def __init__(
        self, place: Place, address: str | None = None, *, source: str | None = None
    ) -> None:
        self._connection = connected(place, source)
        if address is not None:
            kind, local = ("TCP6", "::1") if ":" in address else ("TCP4", "127.0.0.1")
            self._connection.sendall(f"PROXY {kind} {address} {local} 40000 80\r\n".encode())

    def ask(self, recipe: str, *lines: bytes, host: bytes = b"example.com") -> Answer:
        """Send a request with these header lines, byte for byte."""
        head = [b"GET /%s HTTP/1.1" % recipe.encode(), b"Host: " + host, *lines, b"", b""]
        self._connection.sendall(b"\r\n".join(head))
        response = HTTPResponse(self._connection)
        response.begin()
        return Answer(response.status, response.read())

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def ask(place: Place, recipe: str, *lines: bytes, address: str | None = None) -> Answer:
    """Send one request over a connection of its own."""
    with Client(place, address) as client:
        return client.ask(recipe, *lines)
