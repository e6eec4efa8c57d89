"""The demo: a real server, real data, clients of many kinds. ``make demo`` runs it.

Starts uvicorn with the example app on loopback, sends each request as a trusted proxy would
(the client's address at the end of X-Forwarded-For), and prints what came back. Ends with 0 if
every outcome is the expected one.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import websockets

from georestrict import BACKEND, Database, Engine

FOLDER = Path(__file__).parent
STARTUP_SECONDS = 30
TIMED_CALLS = 2000


@dataclass(frozen=True)
class Client:
    """Who asks, and what must come of it."""

    who: str
    address: str | None
    status: int
    rule: str = "-"
    path: str = "/v1/models"
    websocket: bool = False


CLIENTS = [
    Client("United Kingdom", "81.2.69.142", 200, "supported"),
    Client("United States", "73.0.0.1", 200, "supported"),
    Client("Japan, IPv6", "2001:218::1", 200, "supported"),
    Client("Germany, IPv6", "2a02:8100::1", 200, "supported"),
    Client("Taiwan", "1.160.0.1", 200, "supported"),
    Client("China", "175.16.199.1", 403),
    Client("China, IPv6", "240e::1", 403),
    Client("China inside 6to4", "2002:af10:c701::1", 403),
    Client("Hong Kong", "1.64.0.1", 403),
    Client("Cuba", "152.206.0.1", 403),
    Client("Iran", "2.144.0.1", 403),
    Client("Russia", "5.136.0.1", 403),
    Client("North Korea", "175.45.176.1", 403),
    Client("Syria", "5.0.0.1", 403),
    Client("Venezuela", "186.88.0.1", 403),
    Client("customer in a cloud", "52.95.110.1", 200, "supported"),
    Client("Tor exit", "2.26.97.42", 403, "tor"),
    Client("on the abuse list", "89.160.20.112", 403, "abuse"),
    Client("private address", "10.1.2.3", 403),
    Client("client unknown", None, 403),
    Client("Cuba, takes data out", "152.206.0.1", 200, "everywhere", "/account/export"),
    Client("Tor, contact page", "2.26.97.42", 200, "everywhere", "/contact"),
    Client("Cuba, odd spelling", "152.206.0.1", 403, "-", "/account/export/../../v1/models"),
    Client("WebSocket from Japan", "2001:218::1", 101, "supported", "/v1/chat", websocket=True),
    Client("WebSocket from Iran", "2.144.0.1", 403, "-", "/v1/chat", websocket=True),
]


def main() -> int:
    """Run the demo; return the exit code."""
    database = Database.open()
    engine = Engine(FOLDER / "policy.toml", database=database)
    dates = ", ".join(f"{source.name} {source.date}" for source in database.metadata.sources)
    print(
        f"georestrict, {BACKEND} core, data: {dates}\n"
        f"policy: {FOLDER.name}/policy.toml, an allow list\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "starlette_app:app", "--app-dir", str(FOLDER),
               "--port", str(port), "--no-proxy-headers", "--log-level", "error"]  # fmt: skip
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stderr=log) as server:
        try:
            wait_until_up(server, port)
            code = asyncio.run(ask_all(engine, port))
        finally:
            server.terminate()
            server.wait()
            log.seek(0)
            print("\nWhat the server's log says, once each:")
            for line in log.read().decode().splitlines():
                if not line.startswith("ERROR:"):  # uvicorn's own, for every refused handshake
                    print(f"  {line}")
        return code


async def ask_all(engine: Engine, port: int) -> int:
    """Send every client's request, print the table, and compare with what must come out."""
    form = "{:<21} {:<18} {:<12} {:<10} {:<12} {:<8} {:>6} {:>10}  {}"
    print(
        form.format(
            "CLIENT",
            "ADDRESS",
            "COUNTRY",
            "CATEGORIES",
            "RULE",
            "DECISION",
            "STATUS",
            "DECIDED IN",
            "",
        )
    )
    failures = 0
    for client in CLIENTS:
        address = client.address or ""
        decision = engine.decide(address, path=client.path)
        status = await (ask_websocket if client.websocket else ask)(client, port)
        expected = "allow" if client.status < 400 else "block"
        good = (status, decision.rule or "-", decision.action.value) == (
            client.status,
            client.rule,
            expected,
        )
        failures += not good
        location = engine.lookup(address)
        print(form.format(
            client.who, client.address or "-", location.country or f"({location.status})",
            ",".join(location.categories) or "-", decision.rule or f"({decision.reason})",
            decision.action, status, f"{decide_ns(engine, client):,.0f} ns",
            "" if good else f"<- expected {client.status} by {client.rule}",
        ))  # fmt: skip
    async with httpx.AsyncClient() as http:
        response = await http.get(
            f"http://127.0.0.1:{port}/v1/models", headers=forwarded("175.16.199.1")
        )
    print(f"\nWhat the client in China receives, status {response.status_code}:")
    for name in ("content-type", "cache-control", "vary", "x-content-type-options"):
        print(f"  {name}: {response.headers[name]}")
    print(f"  {response.text}")
    print(f"\n{len(CLIENTS) - failures} of {len(CLIENTS)} outcomes as expected")
    return 1 if failures else 0


async def ask(client: Client, port: int) -> int:
    """Send an HTTP request; return the status."""
    request = httpx.Request("GET", f"http://127.0.0.1:{port}/", headers=forwarded(client.address))
    request.url = request.url.copy_with(raw_path=client.path.encode())  # as written, not tidied up
    async with httpx.AsyncClient() as http:
        return (await http.send(request)).status_code


async def ask_websocket(client: Client, port: int) -> int:
    """Open a WebSocket; return 101 if it was accepted, else the status of the refusal."""
    url = f"ws://127.0.0.1:{port}{client.path}"
    try:
        async with websockets.connect(
            url, additional_headers=forwarded(client.address), proxy=None
        ) as connection:
            await connection.recv()
            return 101
    except websockets.InvalidStatus as refused:
        return refused.response.status_code


def forwarded(address: str | None) -> dict[str, str]:
    """The header that a proxy adds: the client's own claim on the left, the truth on the right."""
    return {} if address is None else {"X-Forwarded-For": f"8.8.8.8, {address}"}


def decide_ns(engine: Engine, client: Client) -> float:
    """The median time of one decision, in nanoseconds."""
    times = []
    for _ in range(TIMED_CALLS):
        start = time.perf_counter_ns()
        engine.decide(client.address or "", path=client.path)
        times.append(time.perf_counter_ns() - start)
    return median(times)


def wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server takes connections."""
    end = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None:
                sys.exit(f"the server ended with {server.returncode} before it took a connection")
            if time.monotonic() > end:
                sys.exit(f"the server took no connection within {STARTUP_SECONDS} s")
            time.sleep(0.05)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
