"""Metrics of several processes: gunicorn's workers, forks, processes that end and that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.proxies import (
    ROOT,
    Programs,
    accepts,
    free_ports,
    listening,
    passing_to,
    read_recipes,
)
from tests.proxies import ask as proxied
from tests.waiting import wait_until

pytestmark = pytest.mark.once

GB, CN = "81.2.69.142", "175.16.199.1"
APP = """
import os
from prometheus_client import make_wsgi_app
from georestrict.address import TrustedProxies
from georestrict.metrics import instrument
from georestrict.testing import tiny_database
from georestrict.wsgi import GeoRestrictMiddleware


def inner(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


guarded = GeoRestrictMiddleware(
    inner,
    policy={"default": "allow", "contact": "mailto:a@b.example",
            "rules": [{"name": "no-cn", "action": "block", "countries": ["CN"]}]},
    database=tiny_database({"81.2.69.0/24": "GB", "175.16.199.0/24": "CN"}),
    client=TrustedProxies("127.0.0.1"),
)
metrics = make_wsgi_app(registry=instrument(every=EVERY))


def app(environ, start_response):
    served = metrics if environ["PATH_INFO"] == "/metrics" else guarded
    return served(environ, start_response)
"""
CONFIG = """
from prometheus_client import multiprocess


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""


@contextmanager
def serving(folder: Path, *options: str, every: float = 0.05) -> Iterator[httpx.Client]:
    """Three real workers, and a client whose requests each go over a connection of their own."""
    (folder / "app.py").write_text(APP.replace("EVERY", str(every)))
    (folder / "conf.py").write_text(CONFIG)
    shared = folder / "metrics"
    shared.mkdir()
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "gunicorn", "app:app", "--workers", "3", "--config", "conf.py",
               "--bind", f"127.0.0.1:{port}", "--pid", "pid", *options]  # fmt: skip
    environment = os.environ | {
        "PROMETHEUS_MULTIPROC_DIR": str(shared),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::DeprecationWarning:gunicorn",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: server.poll() is not None or accepts(port))
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=30,
        ) as client:
            yield client
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert "Traceback" not in (folder / "log").read_text()


def ask(client: httpx.Client, address: str) -> str:
    return client.get("/", headers={"X-Forwarded-For": address}).text


def told(client: httpx.Client, name: str) -> dict[tuple[str, ...], float]:
    text = client.get("/metrics").text
    return {
        tuple(sample.labels[key] for key in ("action", "reason", "country", "result") if key in sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }  # fmt: skip


def tells(client: httpx.Client, allowed: int, blocked: int) -> None:
    wanted = {("allow", "default"): allowed, ("block", "country"): blocked}
    wait_until(lambda: told(client, "georestrict_decisions_total") == wanted)
    countries = {("allow", "GB"): allowed, ("block", "CN"): blocked}
    assert told(client, "georestrict_countries_total") == countries


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="each imports", marks=pytest.mark.slow),
        pytest.param(("--preload",), id="preload"),
    ],
)
def test_the_workers_of_gunicorn_add_up_exactly_when_some_die_and_others_come(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with serving(tmp_path, *options) as client:
        workers: Counter[str] = Counter()
        while len(workers) < 3 or workers.total() < 90:
            workers[ask(client, GB)] += 1
        for _ in range(10):
            ask(client, CN)
        allowed = workers.total()
        tells(client, allowed, 10)
        assert told(client, "georestrict_snapshot_info") == {(): 1}
        assert told(client, "georestrict_data_stale") == {(): 0}
        assert told(client, "georestrict_lookup_seconds_count")[()] >= 3
        assert told(client, "georestrict_reloads_total") == {("done",): 0, ("failed",): 0}
        os.kill(int(next(iter(workers))), signal.SIGKILL)  # what it has written stays
        after: Counter[str] = Counter()
        while len({*after} - {*workers}) < 1:
            after[ask(client, GB)] += 1
        allowed += after.total()
        tells(client, allowed, 10)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)  # all workers anew
        new: Counter[str] = Counter()
        while len({*new} - {*after} - {*workers}) < 2:
            new[ask(client, GB)] += 1
        tells(client, allowed + new.total(), 10)


@pytest.mark.slow
def test_a_worker_that_ends_by_itself_writes_what_is_left(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-requests", "7", every=3600) as client:
        workers: Counter[str] = Counter()
        while len(workers) < 6:
            workers[ask(client, GB)] += 1
        ended = {pid for pid, _ in workers.most_common()[:-3]}
        assert ended
    assert left_in(tmp_path / "metrics") == workers.total()


ASGI_APP = """
import os
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.metrics import instrument
from georestrict.testing import tiny_database


async def inner(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


app = GeoRestrictMiddleware(inner, block=["CN"], client=TrustedProxies("127.0.0.1"),
                            database=tiny_database({"81.2.69.0/24": "GB"}))
instrument(every=3600)
"""


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["uvicorn", "app:app", "--no-proxy-headers"], id="uvicorn"),
        pytest.param(
            ["granian", "app:app", "--interface", "asgi"], id="granian", marks=pytest.mark.slow
        ),
    ],
)
def test_an_asgi_server_that_kills_its_workers_lets_them_write_what_is_left_before(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "app.py").write_text(ASGI_APP)
    shared = tmp_path / "metrics"
    shared.mkdir()
    (port,) = free_ports(1)
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(shared), "PYTHONPATH": str(ROOT)}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, "--workers", "2", "--port", str(port)],
            cwd=tmp_path, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    workers: Counter[str] = Counter()
    try:
        wait_until(lambda: server.poll() is not None or accepts(port))
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30) as client:
            while len(workers) < 2:
                workers[ask(client, GB)] += 1
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert left_in(shared) == workers.total(), (tmp_path / "log").read_text()


def left_in(folder: Path) -> float:
    """How many requests the files of processes that have ended count."""
    code = textwrap.dedent(f"""
        from prometheus_client import CollectorRegistry, multiprocess
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, {str(folder)!r})
        found = [s.value for m in registry.collect() for s in m.samples if s.name == "georestrict_decisions_total"]
        print(sum(found))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


FORKS = """
import os, sys, threading
from prometheus_client import CollectorRegistry
from georestrict.metrics import instrument
from georestrict.testing import tiny_database
from georestrict.wsgi import GeoRestrictMiddleware

def inner(environ, start_response):
    return []

guarded = GeoRestrictMiddleware(inner, block=["CN"], database=tiny_database({"81.2.69.0/24": "GB", "175.16.199.0/24": "CN"}))
given = CollectorRegistry()
registry = instrument(guarded, **({"registry": given} if MULTI is None else {"every": 0.001}))

def ask(address, times):
    for _ in range(times):
        list(guarded({"REMOTE_ADDR": address, "REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None))

def blocked():
    return sum(s.value for m in registry.collect() for s in m.samples
               if s.name == "georestrict_decisions_total" and s.labels["action"] == "block")

ask("175.16.199.1", 5)
busy = True
def read():
    while busy:
        blocked()
threads = [threading.Thread(target=read) for _ in range(2)]
for thread in threads:
    thread.start()
for turn in range(20):
    child = os.fork()
    if child == 0:
        ask("175.16.199.1", 20)
        os._exit(0 if blocked() == (20 if MULTI is None else 5 + 20 * (turn + 1)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, turn
busy = False
for thread in threads:
    thread.join()
assert blocked() == (5 if MULTI is None else 405), blocked()
"""


@pytest.mark.parametrize("multi", [False, True], ids=["one registry each", "shared"])
def test_a_fork_while_others_read_finds_nothing_held_and_counts_what_is_its_own(
    tmp_path: Path, multi: bool
) -> None:
    environment = {**os.environ}
    if multi:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path)
    code = FORKS.replace("MULTI", repr("shared" if multi else None))
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env=environment,
        check=True,
        timeout=120,
        cwd=ROOT,
    )


def test_where_processes_share_metrics_a_missing_folder_is_an_error_that_says_so(
    tmp_path: Path,
) -> None:
    code = "from georestrict.metrics import instrument; instrument()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "which is no folder; make one that is empty whenever the server starts" in done.stderr


@pytest.mark.needs("nginx")
def test_a8_behind_a_real_nginx_that_drops_the_header_the_counter_says_that_it_is_missing(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(APP.replace("EVERY", "1"))
    app, edge = free_ports(2)
    recipe = read_recipes()["one-nginx"].nginx[0]
    # A client's own "Connection: X-Forwarded-For" has such a proxy take the header for its own hop's.
    kept = "map $http_connection $kept { default $proxy_add_x_forwarded_for; ~*forwarded ''; }"
    location = passing_to(app, recipe.replace("$proxy_add_x_forwarded_for", "$kept"))
    with Programs(tmp_path) as programs:
        command = [sys.executable, "-m", "gunicorn", "app:app", "--bind", f"127.0.0.1:{app}"]
        programs.start("gunicorn", [*command, "--chdir", str(tmp_path)], app)
        programs.start_nginx(f"{kept}\n{listening(edge, location)}", edge)
        programs.wait()
        for lines in ([], [b"X-Forwarded-For: 81.2.69.142"]):
            dropping = [b"Connection: close, X-Forwarded-For", *lines]
            assert proxied(edge, "", *dropping, address=CN).status == 403
        assert proxied(edge, "", address=GB).status == 200
        with httpx.Client(base_url=f"http://127.0.0.1:{app}", timeout=30) as client:
            assert told(client, "georestrict_client_unresolved_total") == {("header_missing",): 2}
            assert told(client, "georestrict_decisions_total") == {
                ("allow", "default"): 1,
                ("block", "unresolved"): 2,
            }


def test_threads_that_fork_at_once_leave_nothing_held() -> None:
    code = """
import os, threading
from prometheus_client import CollectorRegistry
from georestrict.metrics import instrument

registries = [instrument(registry=CollectorRegistry()) for _ in range(3)]
busy = True
def read():
    while busy:
        for registry in registries:
            list(registry.collect())
def fork():
    for _ in range(25):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
threads = [threading.Thread(target=fork) for _ in range(4)]
for thread in threads:
    thread.start()
reader = threading.Thread(target=read)
reader.start()
for thread in threads:
    thread.join()
busy = False
reader.join()
"""
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        check=True,
        timeout=60,
        cwd=ROOT,
    )


def test_several_registries_of_processes_that_share_count_each_request_once(tmp_path: Path) -> None:
    code = """
from prometheus_client import CollectorRegistry
from georestrict.metrics import instrument
from georestrict.wsgi import GeoRestrictMiddleware

guards = [GeoRestrictMiddleware(lambda *_: [], block=["KP"]) for _ in range(2)]
others = [instrument(guarded, registry=CollectorRegistry()) for guarded in guards]
registry = instrument(*guards)
for guarded in guards:
    guarded({"REMOTE_ADDR": "175.45.176.1", "REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
for other in others:
    list(other.collect())
found = [s.value for m in registry.collect() for s in m.samples if s.name == "georestrict_decisions_total"]
assert sum(found) == 2, found
"""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=ROOT, timeout=60)
