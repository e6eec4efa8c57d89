"""Real servers on loopback: what the middlewares promise holds behind them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest

ROOT = Path(__file__).parents[1]

ASGI_APP = """
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"served"})

app = GeoRestrictMiddleware(app, block=["CN"], warn=["SE"], client=TrustedProxies("127.0.0.1"))
"""

WSGI_APP = """
from georestrict.address import TrustedProxies
from georestrict.wsgi import GeoRestrictMiddleware

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]

app = GeoRestrictMiddleware(app, block=["CN"], warn=["SE"], client=TrustedProxies("127.0.0.1"))
"""

SERVERS = {
    "uvicorn, h11": (
        ASGI_APP,
        ["uvicorn", "app:app", "--no-proxy-headers", "--http", "h11", "--port"],
    ),
    "uvicorn, httptools": (
        ASGI_APP,
        ["uvicorn", "app:app", "--no-proxy-headers", "--http", "httptools", "--port"],
    ),
    "gunicorn": (WSGI_APP, ["gunicorn", "app:app", "--bind"]),
}


# The servers with HTTP/2.
GRPC_SERVERS = {
    "hypercorn": ["hypercorn", "app:app", "--bind"],
    "granian": ["granian", "app:app", "--interface", "asgi", "--port"],
}


@contextmanager
def serving(folder: Path, app: str, command: list[str]) -> Iterator[str]:
    (folder / "app.py").write_text(app)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    where = f"127.0.0.1:{port}" if command[-1] == "--bind" else str(port)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, where], cwd=folder, stdout=log, stderr=log
        )
        try:
            wait_for(port, server, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError(f"no connection: {log.read_text()}")


@pytest.mark.parametrize(("app", "command"), SERVERS.values(), ids=SERVERS)
def test_a_real_server_serves_warns_and_blocks(
    tmp_path: Path, app: str, command: list[str]
) -> None:
    with serving(tmp_path, app, command) as url, httpx.Client(base_url=url) as client:
        for address, status, warned in (
            ("81.2.69.142", 200, False),
            ("89.160.20.112", 200, True),
            ("175.16.199.1", 403, False),
            ("2001:218::1", 200, False),
            ("81.2.69.142, 175.16.199.1", 403, False),
            ("175.16.199.1, 81.2.69.142", 200, False),
            ("unknown", 403, False),
        ):
            response = client.get("/", headers={"X-Forwarded-For": address})
            assert (response.status_code, "geoRestrict-warning" in response.headers) == (
                status,
                warned,
            ), address
        assert client.get("/").json()["error"]["code"] == "client_address_unresolved"
        upload = client.post(
            "/", headers={"X-Forwarded-For": "175.16.199.1"}, content=b"x" * 5_000_000
        )
        assert upload.status_code == 403
        again = client.get("/", headers={"X-Forwarded-For": "81.2.69.142"})
        assert (again.status_code, again.text) == (200, "served")


@pytest.mark.once  # without a compiler the demo runs in a clone of its own (tests/clone.py)
def test_the_demo_ends_well_and_shows_every_kind_of_client() -> None:
    done = subprocess.run(
        [sys.executable, "examples/demo.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "25 of 25 outcomes as expected" in done.stdout
    for word in ("GB", "CN", "HK", "CU", "IR", "RU", "KP", "SY", "VE", "hosting", "tor", "abuse", "(private)",
                 "(unresolved)", "WebSocket", '"code": "unsupported_country_region_territory"'):  # fmt: skip
        assert word in done.stdout


@pytest.mark.slow
def test_without_a_compiler_the_package_builds_and_the_python_core_serves(tmp_path: Path) -> None:
    environment = os.environ | {
        "CC": "false",
        "GEORESTRICT_REQUIRE_COMPILED": "",
        "GEORESTRICT_BACKEND": "",
    }
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(pip, check=True, env=environment, capture_output=True)
    code = "import georestrict as g; print(g.BACKEND, g.Database.open().country('81.2.69.142'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "python GB\n"


@pytest.mark.slow
def test_where_the_compiled_core_is_required_a_missing_compiler_is_an_error(tmp_path: Path) -> None:
    environment = os.environ | {"CC": "false", "GEORESTRICT_REQUIRE_COMPILED": "1"}
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path),
        str(ROOT),
    ]
    assert subprocess.run(pip, check=False, env=environment, capture_output=True).returncode != 0


@pytest.mark.parametrize("command", GRPC_SERVERS.values(), ids=GRPC_SERVERS)
def test_a_real_grpc_client_is_told_that_it_is_not_permitted(
    tmp_path: Path, command: list[str]
) -> None:
    with serving(tmp_path, ASGI_APP, command) as url:
        with grpc.insecure_channel(url.removeprefix("http://")) as channel:
            call = channel.unary_unary("/package.Service/Method")
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=20, metadata=[("x-forwarded-for", "175.16.199.1")])
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "appears to be in China (CN)" in caught.value.details()
