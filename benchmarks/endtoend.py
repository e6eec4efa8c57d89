"""What a client sees: a guarded app against a bare one behind uvicorn and granian, under wrk.

One worker, uvloop, an app that answers two bytes. wrk sends an ``X-Forwarded-For`` of a public
address that the policy allows, a new one for each request, and the guarded app trusts 127.0.0.1, so
each request is decided in full; the bare ones receive the same.

Four servers run at once. Two have the same bare app: how far *they* differ is the noise of this
machine (the A/A control). One has an empty middleware around it, so that what any middleware costs
can be told from what ours does. All four import the same and build the same engine. A block
measures each for one second, in random order; ratios are taken within a block. All servers are
started anew for every few blocks, because where a process happens to lie in memory makes it faster
or slower for as long as it lives. The median of all blocks stands, with the 95 % interval of a
bootstrap that draws starts, and blocks within them.

Besides what wrk tells there is the processor time that a server spent on a request, from the
kernel's ``schedstat``: it does not depend on when wrk was given its processor, and repeats best.
Servers and wrk have a processor each where there are two. Bias: on loopback a request costs less
than over a network, and the app does nothing, so that what a middleware adds weighs more.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from benchmarks import apps
from benchmarks.common import save
from georestrict import Database, Engine

STARTS, BLOCKS = 10, 3  # of the servers, and measured with each
CONNECTIONS = 32
FIGURES = ("requests a second", "p50 µs", "p99 µs", "processor µs a request")
ROLES = {"a": "bare", "b": "bare", "empty": "empty", "guarded": "guarded"}  # and their apps
COMPARED = {
    "guarded over bare": "guarded",
    "empty middleware over bare": "empty",
    "bare over bare (A/A)": "b",
}

APP = """
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}

async def bare(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send(START)
    await send(BODY)

class Empty:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

empty = Empty(bare)
guarded = GeoRestrictMiddleware(bare, block=["CN"], client=TrustedProxies("127.0.0.1"))
"""

# Requests are made beforehand, so that wrk has the same work as with one fixed request.
SCRIPT = """
local requests, at = {{}}, 0
function init(args)
  for line in io.lines("{addresses}") do
    requests[#requests + 1] = wrk.format("GET", "{path}", {{["X-Forwarded-For"] = line}})
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, rates)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("result %d %d %d %d %d\\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99)))
end
"""

SERVERS = {
    "uvicorn": [
        *("uvicorn", "--no-proxy-headers", "--no-access-log", "--log-level", "warning"),
        *("--http", "httptools", "--loop", "uvloop", "--port"),
    ],
    "granian": [
        *("granian", "--interface", "asgi", "--loop", "uvloop", "--no-ws"),
        *("--log-level", "warning", "--port"),
    ],
}


def main() -> None:
    """Measure both servers, and write the result."""
    wrk = found_wrk()
    if wrk is None:
        print("endtoend: not run: wrk is missing, and only root can install it through apt-get")
        return
    if not Path("/proc/self/schedstat").exists():
        print("endtoend: not run: this system does not tell processor times (schedstat)")
        return
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "served.py").write_text(APP)
        engine = Engine(apps.BLOCK_LIST, database=Database.open())
        addresses = folder / "addresses"
        addresses.write_text("\n".join(apps.plain_addresses(1000, engine)))
        script = folder / "script.lua"
        script.write_text(SCRIPT.format(addresses=addresses, path=apps.PATH))
        for server, command in SERVERS.items():
            measured: Measured = []
            for number in range(STARTS):
                with ExitStack() as running:
                    spread = random.Random(number)
                    roles = spread.sample(list(ROLES), len(ROLES))  # where each lies is chance
                    servers = {
                        role: running.enter_context(serving(folder, command, ROLES[role], role))
                        for role in roles
                    }
                    for role, running_one in servers.items():
                        check(running_one.port, guarded=role == "guarded")
                    measured.append(blocks(wrk, script, servers, spread))
            ratios = compared(measured)
            middle = numpy.median(figures_of(measured, "a"), axis=(0, 1))
            bare = {
                figure: round(float(value), 2)
                for figure, value in zip(FIGURES, middle, strict=True)
            }
            spent = {role: figures_of(measured, role)[:, :, -1] for role in ROLES}
            added = {
                role: round(float(numpy.median(spent[role] - spent["a"])), 2)
                for role in ("empty", "guarded")
            }
            results[server] = {"bare": bare, "added_processor_us": added, "ratios": ratios}
            print(f"endtoend, {server}: processor µs added to a request: {added}", flush=True)
            for name, found in ratios.items():
                for figure, (ratio, (low, high)) in found.items():
                    told = f"{ratio:.3f} ({low:.3f} to {high:.3f})"
                    print(f"endtoend, {server}, {name}, {figure}: {told}")
    save(
        "endtoend",
        {
            "starts": STARTS,
            "blocks_each": BLOCKS,
            "seconds_each": 1,
            "connections": CONNECTIONS,
            "processors": os.cpu_count(),
            "servers": results,
        },
    )


def found_wrk() -> str | None:
    """Return wrk, installed through apt-get if that is possible."""
    if shutil.which("wrk") is None and shutil.which("apt-get") and os.geteuid() == 0:
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "wrk"]):
            subprocess.run(["apt-get", "-qq", *arguments], check=False, stdout=subprocess.DEVNULL)
    return shutil.which("wrk")


class Server(NamedTuple):
    """A server that runs: its port, and the process that leads its session."""

    port: int
    process: int

    def processor_ns(self) -> int:
        """Return the processor time of all its threads and workers since they began."""
        spent = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                if os.getsid(int(folder.name)) == self.process:
                    threads = folder.glob("task/*/schedstat")
                    spent += sum(int(thread.read_text().split()[0]) for thread in threads)
        return spent


@contextmanager
def serving(folder: Path, command: list[str], app: str, role: str) -> Iterator[Server]:
    """Run a server with an app on a free port of loopback, and stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / f"{command[0]}-{role}.log"
    arguments = [sys.executable, "-m", *command, str(port), f"served:{app}"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            on_processor(0, arguments),
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield Server(port, server.pid)
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=20)
        with suppress(ProcessLookupError):  # its workers are of its session
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def on_processor(number: int, arguments: list[str]) -> list[str]:
    """Keep a program on one processor, if there are two and it can be said."""
    if (os.cpu_count() or 1) < 2 or shutil.which("taskset") is None:
        return arguments
    return ["taskset", "-c", str(number), *arguments]


def check(port: int, *, guarded: bool) -> None:
    """Hold a server to what it promises: GB is served, CN refused by the guarded one alone."""
    for address, status in ((apps.ALLOWED, 200), (apps.BLOCKED, 403 if guarded else 200)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", apps.PATH, headers={"X-Forwarded-For": address})
            answered = connection.getresponse().status
        finally:
            connection.close()
        assert answered == status, (port, address, answered)


# of each start, each role and each block: the figures
Measured = list[dict[str, list[tuple[float, ...]]]]


def blocks(
    wrk: str, script: Path, servers: dict[str, Server], spread: random.Random
) -> dict[str, list[tuple[float, ...]]]:
    """Measure every server once a block, in random order; before that, warm all up at once."""
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(lambda server: load(wrk, script, server), servers.values()))
    measured: dict[str, list[tuple[float, ...]]] = {role: [] for role in servers}
    order = list(servers)
    for _ in range(BLOCKS):
        spread.shuffle(order)
        for role in order:
            measured[role].append(load(wrk, script, servers[role]))
    return measured


def load(wrk: str, script: Path, server: Server) -> tuple[float, ...]:
    """Load a server for a second; return what ``FIGURES`` names."""
    before = server.processor_ns()
    url = f"http://127.0.0.1:{server.port}"
    arguments = [wrk, "-t1", f"-c{CONNECTIONS}", "-d1s", "-s", str(script), url]
    output = subprocess.run(
        on_processor(1, arguments), check=True, capture_output=True, text=True
    ).stdout
    line = next(line for line in output.splitlines() if line.startswith("result "))
    requests, microseconds, failed, p50, p99 = map(int, line.split()[1:])
    assert failed == 0 and requests > 0, output
    spent = (server.processor_ns() - before) / 1000 / requests
    return requests / microseconds * 1e6, float(p50), float(p99), spent


def figures_of(measured: Measured, role: str) -> Any:
    """Return the figures of a role as an array of starts, blocks and figures."""
    return numpy.array([start[role] for start in measured])


def compared(measured: Measured) -> dict[str, Any]:
    """Return the ratios to the first bare app, each with its interval."""
    base, random_draw = figures_of(measured, "a"), numpy.random.default_rng(1)
    starts = random_draw.integers(STARTS, size=(5000, STARTS, 1))
    within = random_draw.integers(BLOCKS, size=(5000, STARTS, BLOCKS))
    results: dict[str, Any] = {}
    for name, role in COMPARED.items():
        ratios = figures_of(measured, role) / base
        results[name] = {}
        for column, figure in enumerate(FIGURES):
            found = ratios[:, :, column]
            medians = numpy.median(found[starts, within], axis=(1, 2))
            interval = [round(float(end), 4) for end in numpy.quantile(medians, (0.025, 0.975))]
            results[name][figure] = [round(float(numpy.median(found)), 4), interval]
    return results


if __name__ == "__main__":
    main()
