"""The examples of frameworks, and what their READMEs say about them: commands, requests, answers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, nullcontext
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from click.testing import CliRunner
from starlette.testclient import TestClient, WebSocketDenialResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from georestrict import Database
from georestrict.cli import main as cli
from tests.test_docs import Block, commands, matches, read_blocks, read_table
from tests.test_servers import wait_for
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples/frameworks"
NAMES = sorted(path.name for path in FOLDER.iterdir() if (path / "README.md").exists())
SHOWN = "127.0.0.1:8000"  # where READMEs ask; the tests ask a free port instead
#: How each server is told where to listen.
LISTEN = {
    "uvicorn": ["--port", "{port}"],
    "granian": ["--port", "{port}"],
    "gunicorn": ["--bind", "127.0.0.1:{port}"],
    "hypercorn": ["--bind", "127.0.0.1:{port}"],
}
WARNING = "georestrict-warning"
OVER_WSGI = ("django_wsgi", "flask")


class Claim(NamedTuple):
    """A row of a README: a request, and what comes back."""

    client: str
    forwarded: str
    method: str
    path: str
    status: int
    has: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.client}: {self.method} {self.path}"

    @property
    def headers(self) -> dict[str, str]:
        """What the proxy in front adds."""
        return {"X-Forwarded-For": self.forwarded} if self.forwarded else {}


class Answer(NamedTuple):
    """What a client received."""

    status: int
    headers: dict[str, str]
    text: str


def readme(name: str) -> Path:
    """The README of an example."""
    return FOLDER / name / "README.md"


def claims(name: str) -> list[Claim]:
    """The rows of a README's table."""
    return [claim_of(row) for row in read_table(readme(name), "## What clients get")]


def claim_of(row: dict[str, str]) -> Claim:
    client, forwarded, request, status, has = row.values()
    method, path = request.strip("`").split()
    return Claim(
        client, forwarded.strip("`"), method, path, int(status), tuple(re.findall("`([^`]+)`", has))
    )


def check_who(claim: Claim, database: Database) -> None:
    """The client is where the README says that it is."""
    named = re.search(r"\(([A-Z]{2})\)$", claim.client)
    address = claim.forwarded.rpartition(",")[2].strip()
    assert database.country(address) == (named[1] if named else None), claim


def check(claim: Claim, answer: Answer) -> None:
    """A response is what the README says."""
    told = "\n".join(f"{key}: {value}" for key, value in answer.headers.items())
    seen = f"{told}\n{answer.text}"
    assert answer.status == claim.status, (claim, seen)
    for piece in claim.has:
        assert piece.lower() in seen.lower(), (claim, piece, seen)
    named = WARNING in (piece.lower() for piece in claim.has)
    assert (WARNING in answer.headers) == named, (claim, seen)
    if claim.status == 403:
        assert answer.headers["cache-control"] == "no-store", claim


def asked(claim: Claim, port: int) -> Answer:
    """Send the request to a server on loopback, as the proxy in front of it would."""
    if claim.method == "WebSocket":
        return opened(claim, port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
        answer = client.request(claim.method, claim.path, headers=claim.headers)
    return Answer(answer.status_code, dict(answer.headers), answer.text)


def opened(claim: Claim, port: int) -> Answer:
    """Open a WebSocket; the text is the first message, or the refusal's."""
    url = f"ws://127.0.0.1:{port}{claim.path}"
    try:
        with connect(
            url, additional_headers=claim.headers, proxy=None, open_timeout=PATIENCE_SECONDS
        ) as socket:
            response = socket.response
            assert response is not None
            headers = {key.lower(): value for key, value in response.headers.raw_items()}
            return Answer(response.status_code, headers, str(socket.recv(timeout=PATIENCE_SECONDS)))
    except InvalidStatus as refused:
        answer = refused.response
        headers = {key.lower(): value for key, value in answer.headers.raw_items()}
        return Answer(answer.status_code, headers, (answer.body or b"").decode())


def consoles(name: str) -> list[tuple[str, str]]:
    """The commands of a README, each with the output that it shows."""
    blocks: list[Block] = [*read_blocks(readme(name))]
    return [pair for block in blocks if block.language == "console" for pair in commands(block)]


def server_of(name: str) -> list[str]:
    """The command that starts the server."""
    (command,) = [line for line, _ in consoles(name) if line.split()[0] in LISTEN]
    return shlex.split(command)


def environment() -> dict[str, str]:
    """What commands find: the programs that are installed beside this Python."""
    folder = str(Path(sys.executable).parent)
    return os.environ | {
        "PATH": os.pathsep.join([folder, os.environ["PATH"]]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "error",
    }


def copied(name: str, to: Path) -> Path:
    """Copy an example to where nothing of the repository is, as its reader does."""
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
    return Path(shutil.copytree(FOLDER / name, to / name, ignore=ignored))


@contextmanager
def serving(folder: Path, command: list[str]) -> Iterator[int]:
    """Start a README's server in a folder, on a free port; yield the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    listen = [word.format(port=port) for word in LISTEN[command[0]]]
    log = folder / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, *listen],
            cwd=folder,
            env=environment() | {"PYTHONWARNINGS": ""},
            stdout=out,
            stderr=out,
        )
        try:
            wait_for(port, server, log)
            yield port
        finally:
            server.terminate()
            server.wait(timeout=20)


def run(command: str, shown: str, folder: Path, port: int) -> None:
    """Run a README's command, and compare what it prints with what is shown."""
    if command.startswith("georestrict "):
        with chdir(folder):  # in this process, since there are many, and a start takes longest
            result = CliRunner().invoke(cli, shlex.split(command)[1:])
        assert (result.exit_code, result.output) == (0, shown), command
        return
    done = subprocess.run(
        command.replace(SHOWN, f"127.0.0.1:{port}"),
        shell=True,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    printed = done.stdout.replace(str(folder), "…")
    assert done.returncode == 0, f"{command}\n{printed}"
    assert matches(shown.rstrip("\n"), printed.rstrip("\n")), (
        f"{command}\nshown:\n{shown}\nprinted:\n{printed}"
    )


def loaded(name: str, file: Path) -> Any:
    """Import a file under a name of its own, since every example calls its module app."""
    spec = spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_all(name: str, app: Any) -> None:
    """Ask an app what its README claims, without a server."""
    ask = wsgi(app) if name in OVER_WSGI else asgi(app, has_lifespan=not name.startswith("django"))
    for claim in claims(name):
        check(claim, ask(claim))


def asgi(app: Any, *, has_lifespan: bool) -> Callable[[Claim], Answer]:
    """Ask an ASGI app without a server."""

    def ask(claim: Claim) -> Answer:
        client = TestClient(
            app, "http://127.0.0.1", client=("127.0.0.1", 50000), follow_redirects=False
        )
        with client if has_lifespan else nullcontext(client):
            if claim.method != "WebSocket":
                answer = client.request(claim.method, claim.path, headers=claim.headers)
                return Answer(answer.status_code, dict(answer.headers), answer.text)
            try:
                with client.websocket_connect(claim.path, headers=claim.headers) as socket:
                    raw: list[tuple[bytes, bytes]] = [*(socket.extra_headers or ())]
                    headers = {key.decode(): value.decode() for key, value in raw}
                    return Answer(101, headers, socket.receive_text())
            except WebSocketDenialResponse as refused:
                return Answer(refused.status_code, dict(refused.headers), refused.text)

    return ask


def wsgi(app: Any) -> Callable[[Claim], Answer]:
    """Ask a WSGI app without a server."""

    def ask(claim: Claim) -> Answer:
        transport = httpx.WSGITransport(app, remote_addr="127.0.0.1")
        with httpx.Client(transport=transport, base_url="http://127.0.0.1") as client:
            answer = client.request(claim.method, claim.path, headers=claim.headers)
        return Answer(answer.status_code, dict(answer.headers), answer.text)

    return ask


def main(name: str) -> None:
    """Check a Django project without a server."""
    os.chdir(FOLDER / name)
    sys.path.insert(0, str(FOLDER / name))
    module = next(word for word in server_of(name) if "." in word).partition(":")[0]
    check_all(name, import_module(module).application)


if __name__ == "__main__":
    main(sys.argv[1])
