"""Reload where processes fork: real servers with workers, and forks at the worst moments (G12)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from georestrict import ConfigurationError, Engine
from georestrict.reload import reload_on_signal
from tests.test_reload import OTHER, lay, replaced
from tests.waiting import wait_until

pytestmark = pytest.mark.once

ASGI_APP = """
import os
from georestrict.address import TrustedHops
from georestrict.asgi import GeoRestrictMiddleware

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = f"{os.getpid()} {scope['georestrict'].rule}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

app = GeoRestrictMiddleware(
    app, policy="policy.toml", database="one.grdb", client=TrustedHops(1), annotate=True, watch=0.05
)
"""
WSGI_APP = """
import os, threading, warnings
from georestrict.address import TrustedHops
from georestrict.wsgi import GeoRestrictMiddleware

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {environ['georestrict'].rule}".encode()]

app = GeoRestrictMiddleware(
    app, policy="policy.toml", database="one.grdb", client=TrustedHops(1), annotate=True, watch=0.05
)
print("threads before the fork:", threading.active_count(), flush=True)
"""
SERVERS = {
    "gunicorn --preload, 4 workers": (
        WSGI_APP, 4, ["gunicorn", "app:app", "--preload", "--workers", "4", "--bind", "127.0.0.1:{}"],
    ),
    "gunicorn --preload, 2 workers with threads": (
        WSGI_APP, 2,
        ["gunicorn", "app:app", "--preload", "--workers", "2", "--threads", "4", "--bind", "127.0.0.1:{}"],
    ),
    "uvicorn --workers 2": (
        ASGI_APP, 2, ["uvicorn", "app:app", "--no-proxy-headers", "--workers", "2", "--port", "{}"],
    ),
    "granian --workers 2": (
        ASGI_APP, 2, ["granian", "app:app", "--interface", "asgi", "--workers", "2", "--port", "{}"],
    ),
}  # fmt: skip


@contextmanager
def serving(folder: Path, app: str, command: list[str]) -> Iterator[str]:
    """Run a server with a policy in its working folder."""
    (folder / "app.py").write_text(app)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *(word.format(port) for word in command)],
            cwd=folder, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            finally:
                if server.poll() is None:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait()


def answers(url: str) -> tuple[int, str] | None:
    """Return which worker answers, and by which rule; None while there is no server."""
    try:
        answer = httpx.get(url, headers={"x-forwarded-for": "175.16.199.1"}, timeout=10)
    except httpx.TransportError:
        return None
    worker, _, rule = answer.text.partition(" ")
    return int(worker), rule


@pytest.mark.parametrize(("app", "count", "command"), SERVERS.values(), ids=SERVERS)
def test_g12_every_worker_takes_up_what_changes_and_survives_what_is_wrong(
    app: str, count: int, command: list[str], tmp_path: Path
) -> None:
    folder = lay(tmp_path / "laid")
    with serving(folder, app, command) as url:
        last: dict[int, str] = {}

        def all_by(rule: str) -> bool:
            answer = answers(url)
            if answer is not None:
                last[answer[0]] = answer[1]
            return len(last) == count and set(last.values()) == {rule}

        wait_until(lambda: all_by("country old"))
        policy = (folder / "policy.toml").read_text()
        replaced(folder / "policy.toml", b'default = "deny"')
        wait_until(lambda: (folder / "log").read_text().count("reload failed") == count)
        assert all_by("country old")
        replaced(folder / "policy.toml", policy.replace("old", "new").encode())
        wait_until(lambda: all_by("country new"))
    log = (folder / "log").read_text()
    assert log.count("reload failed") == count  # one clear line each
    assert "Traceback" not in log
    assert set(re.findall("threads before the fork: (.*)", log)) <= {"1"}


FORKS = """
import gc, os, sys, threading, time, signal, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # these forks are with threads on purpose
from pathlib import Path
from georestrict import Engine
from tests.test_reload import LISTED, OTHER, lay
folder = Path(sys.argv[1])
engine = Engine(folder / "policy.toml", database=folder / "one.grdb")
follower = engine.with_policy(folder / "policy.toml")
engine.watch(0.005)
stop = threading.Event()
def reloading():
    while not stop.is_set():
        engine.reload()
threads = [threading.Thread(target=reloading, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for number in range(40):
    child = os.fork()
    if not child:
        signal.alarm(30)  # a lock that nobody frees ends the child
        done = engine.reloads.done
        assert engine.snapshot.passes is engine.current.passes
        assert follower.snapshot.database is engine.snapshot.database
        engine.reload()
        assert engine.reloads.done > done
        assert gc.isenabled()
        assert engine.with_policy(folder / "policy.toml").decide(LISTED).rule == "old"
        engine.remember().saw("a", "GB", "", time.time())
        if number % 10 == 0:  # its own watcher
            mine = lay(folder.parent / str(number))
            own = Engine(mine / "policy.toml", database=mine / "one.grdb")
            own.watch(0.005)
            (mine / "mine.txt").write_text(OTHER)
            while own.decide(OTHER).rule != "old":
                time.sleep(0.005)
            while engine.watching is None or threading.active_count() < 2:
                time.sleep(0.005)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, (number, status)
stop.set()
for thread in threads:
    thread.join()
engine.unwatch()
print("forked", engine.reloads.failed)
"""


def test_g12_a_fork_while_threads_reload_leaves_the_child_no_lock_and_no_half_a_swap(
    tmp_path: Path,
) -> None:
    folder = lay(tmp_path / "laid")
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(folder)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "forked 0\n"


def test_a_reload_by_signal_in_a_process_that_serves(tmp_path: Path) -> None:
    folder = lay(tmp_path / "laid")
    code = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "from georestrict import Engine\n"
        "from georestrict.reload import reload_on_signal\n"
        "folder = Path(sys.argv[1])\n"
        "engine = Engine(folder / 'policy.toml', database=folder / 'one.grdb')\n"
        "reload_on_signal(engine)\n"
        "print('ready', flush=True)\n"
        "while engine.reloads.done + engine.reloads.failed < 2: time.sleep(0.005)\n"
        f"print(engine.decide({OTHER!r}).rule, engine.reloads.done, engine.reloads.failed)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        replaced(folder / "mine.txt", b"junk")
        process.send_signal(signal.SIGHUP)
        while "reload failed" not in process.stderr.readline():
            assert process.poll() is None
        replaced(folder / "mine.txt", OTHER.encode())
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "old 1 1\n"
        assert process.wait(timeout=20) == 0


def test_a_signal_reloads_every_engine_that_asked_and_never_raises_into_what_it_interrupts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engines = []
    for name in ("one", "other"):
        folder = lay(tmp_path / name)
        engines.append(Engine(folder / "policy.toml", database=folder / "one.grdb"))
    number = signal.SIGUSR1
    before = signal.getsignal(number)
    try:
        for engine in (*engines, engines[0]):
            reload_on_signal(engine, number)
        signal.raise_signal(number)
        wait_until(lambda: [engine.reloads.done for engine in engines] == [1, 1])
        monkeypatch.setattr(threading.Thread, "start", _start_no_thread)
        signal.raise_signal(number)
        assert "nothing is reloaded: can't start new thread" in caplog.text
    finally:
        signal.signal(number, before)
    with pytest.raises(ConfigurationError, match=r"'policy\.toml', must be an Engine"):
        reload_on_signal("policy.toml")  # type: ignore[arg-type]


def _start_no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")  # as Python says it at a limit of the system
