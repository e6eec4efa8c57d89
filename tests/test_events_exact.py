"""C4: however many events are cut, what events tell adds up to what the engines count."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from georestrict import Action, Engine, asgi, restrict, wsgi
from georestrict._core import Tally
from georestrict.decision import Decision
from georestrict.observe import Event, Events, Kind
from georestrict.observe.ledger import Ledger
from georestrict.observe.limit import Limit
from georestrict.repeats import Repeats
from georestrict.testing import tiny_database
from tests.test_reload_servers import serving
from tests.waiting import wait_until
from tests.web import APP_BODY, Recorder, Request, environ_of, run_asgi, scope_of
from tests.written import LOGGER, counted, summed, writing

CHINA, BRITAIN, SWEDEN, CLOUD = "175.16.199.1", "81.2.69.142", "89.160.20.1", "52.95.110.1"
DATA = tiny_database(
    {
        "175.16.199.0/24": "CN",
        "81.2.69.0/24": "GB",
        "89.160.20.0/24": "SE",
        "52.95.110.0/24": "US",
    },
    {"52.95.110.0/25": "hosting:high:A Cloud"},
)
POLICY: dict[str, Any] = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [
        {"name": "hosted", "action": "count", "categories": ["hosting"]},
        {"name": "no-cn", "action": "block", "countries": ["CN"]},
        {"name": "notice", "action": "warn", "countries": ["SE"], "paths": ["/v1/*"]},
    ],
}
PEERS = (CHINA, BRITAIN, SWEDEN, CLOUD, "9.9.9.9", "10.0.0.1", None)
FEW = Events(per_second=0, burst=5)


def engine(policy: Any = None) -> Engine:
    return Engine(policy or POLICY, database=DATA)


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [APP_BODY]


def guard(policy: Any = None, **options: Any) -> wsgi.GeoRestrictMiddleware:
    options.setdefault("engine", engine(policy))
    return wsgi.GeoRestrictMiddleware(options.pop("app", app), **options)


def ask(guarded: Any, peer: str | None, target: str = "/") -> None:
    b"".join(guarded(environ_of(Request(peer=peer, target=target)), lambda *_, **__: print))


@pytest.mark.once
def test_c4_a_hundred_thousand_blocked_requests_write_few_lines_and_are_counted_exactly() -> None:
    guarded = guard(events=Events(per_second=100, burst=50))
    environ = environ_of(Request(peer=CHINA))
    with writing() as written:
        for _ in range(100_000):
            guarded({**environ}, lambda *_: print)
        guarded.flush_events()
    told = written.of(Kind.DECISION)
    assert 50 <= len(told) < 100_000 / 2
    assert len(told) + guarded.observer.suppressed == 100_000
    assert sum(event.count for event in written.events) == 100_000
    assert summed(written.events) == counted(guarded.engine)
    assert sum(event.suppressed for event in written.events) == guarded.observer.suppressed


@pytest.mark.parametrize("mode", ["enforce", "dry-run"])
def test_i8_decisions_of_all_kinds_add_up_over_both_middlewares(mode: str) -> None:
    shared = engine(POLICY | {"mode": mode})
    first = guard(engine=shared, events=FEW)
    second = asgi.GeoRestrictMiddleware(Recorder().asgi, engine=shared, events=FEW)
    draw = random.Random(8)
    with writing() as written:
        for number in range(600):
            peer = draw.choice(PEERS)
            target = draw.choice(("/", "/v1/models"))
            if draw.random() < 0.5:
                ask(first, peer, target)
            else:
                run_asgi(second, scope_of(Request(peer=peer, target=target)))
            if number % 100 == 0:
                draw.choice((first, second)).flush_events()
        first.flush_events()
        second.flush_events()  # has nothing left to tell
        lines = len(written.lines)
        second.flush_events()
        first.flush_events()
        assert len(written.lines) == lines
    assert len(written.of(Kind.DECISION)) == 10  # five of each
    assert summed(written.events) == counted(shared)
    assert sum(event.count for event in written.events) == 600


@pytest.mark.parametrize("action", ["allow", "warn", "block"])
def test_p5_every_fallback_case_is_told_by_its_name_and_counted(action: str) -> None:
    cases = {"unknown": "9.9.9.9", "private": "10.0.0.1", "unresolved": None}
    policy = {"default": "allow", "fallback": dict.fromkeys((*cases, "no_data"), action)}
    missing = Engine(policy, database="missing.grdb", require_data=False)
    guarded = guard(policy)
    with writing() as written:
        for number, peer in enumerate(cases.values(), 1):
            for _ in range(number):
                ask(guarded, peer)
        guarded.flush_events()
        assert {each.reason: each.count for each in written.events if each.count > 1} == (
            {"private": 2, "unresolved": 3} if action == "allow" else {}
        )
        without_data = guard(engine=missing)
        for _ in range(4):
            ask(without_data, BRITAIN)
        without_data.flush_events()
    told: Counter[str] = Counter()
    for event in written.events:
        assert event.action == action
        assert str(event.status) == str(event.reason)
        told[event.reason] += event.count
    assert told == {"unknown": 1, "private": 2, "unresolved": 3, "no_data": 4}


def test_engines_of_endpoints_are_told_once() -> None:
    @restrict("strict")
    def endpoint(environ: Any, start_response: Any) -> list[bytes]:
        return app(environ, start_response)

    strict = {"default": "block", "rules": [{"name": "gb", "action": "warn", "countries": ["GB"]}]}
    guarded = guard(app=endpoint, policies={"strict": strict}, events=FEW)
    again = guard(
        app=endpoint, engine=guarded.engine, policies={"strict": guarded.policies["strict"]}
    )
    with writing() as written:
        for peer in PEERS * 5:
            ask(guarded, peer)
            ask(again, peer)
        guarded.flush_events()
        again.flush_events()
    assert summed(written.events) == counted(guarded.engine, guarded.policies["strict"])


def test_what_was_counted_while_nobody_wrote_events_is_told_later() -> None:
    guarded = guard()
    for peer in PEERS:
        ask(guarded, peer)
    with writing() as written:
        ask(guarded, CHINA)
        guarded.flush_events()
    assert summed(written.events) == counted(guarded.engine)
    assert len(written.of(Kind.DECISION)) == 1


def test_counts_are_told_with_a_slow_request_once_their_time_has_come() -> None:
    guarded = guard(events=Events(per_second=0, burst=0))
    with writing() as written:
        ask(guarded, CHINA)
        assert written.lines == []
        guarded.observer.due = 0.0  # long ago, by a clock that only goes on
        ask(guarded, SWEDEN)
        ask(guarded, CHINA)
    assert {event.country: event.count for event in written.events} == {"CN": 1, "SE": 1}
    assert {event.kind for event in written.events} == {Kind.COUNTS}


def test_a_lifespan_that_shuts_down_tells_the_counts_before_the_server_ends() -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    guarded = asgi.GeoRestrictMiddleware(serve, engine=engine(), events=Events(burst=0))
    with writing() as written:
        run_asgi(guarded, scope_of(Request(peer=CHINA)))
        messages = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        seen: list[tuple[str, int]] = []

        async def send(message: Any) -> None:
            seen.append((message["type"], len(written.lines)))

        waiting = iter(messages)

        async def receive() -> Any:
            return next(waiting)

        asyncio.run(guarded({"type": "lifespan"}, receive, send))
    assert seen == [("lifespan.startup.complete", 0), ("lifespan.shutdown.complete", 1)]
    assert summed(written.events) == counted(guarded.engine)


def test_threads_lose_no_event_and_tell_none_twice() -> None:
    guarded = guard(events=Events(per_second=2000, burst=200, allows=0.2))
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            guarded.flush_events()

    def serve(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(800):
            ask(guarded, draw.choice(PEERS), draw.choice(("/", "/v1/x")))

    flushing = threading.Thread(target=flush)
    with writing() as written:
        flushing.start()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(serve, range(6)))
        done.set()
        flushing.join()
        guarded.flush_events()
    assert sum(event.count for event in written.events) == 4800
    assert summed(written.events) == counted(guarded.engine)


def test_a_request_that_is_cancelled_before_its_event_is_counted() -> None:
    async def hook(decision: Decision, account: str | None) -> None:
        raise asyncio.CancelledError

    guarded = asgi.GeoRestrictMiddleware(Recorder().asgi, engine=engine(), on_decision=hook)

    async def serve() -> None:
        with pytest.raises(asyncio.CancelledError):
            await guarded(scope_of(Request(peer=CHINA)), None, None)

    with writing() as written:
        asyncio.run(serve())
        gc.collect()  # the exception holds the frame that holds the ticket
        guarded.flush_events()
    (event,) = written.events
    assert (event.kind, event.count) == (Kind.COUNTS, 1)


def test_an_endpoint_whose_warning_no_response_carries_is_told() -> None:
    @restrict("strict")
    def ask_policy() -> None: ...

    def late(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        ask_policy()
        return [b""]

    strict = {"default": "allow", "rules": [{"name": "gb", "action": "warn", "countries": ["GB"]}]}
    told: list[Decision] = []
    guarded = guard(
        app=late, policies={"strict": strict}, on_decision=lambda decision, _: told.append(decision)
    )
    with writing() as written:
        ask(guarded, BRITAIN)
        guarded.flush_events()
    assert [each.rule for each in told] == ["gb"]
    assert [event.rule for event in written.of(Kind.DECISION)] == ["gb"]
    assert summed(written.events) == counted(guarded.engine, guarded.policies["strict"])


class Failing(logging.Handler):
    """A handler that raises, as none should."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = True

    def emit(self, record: logging.LogRecord) -> None:
        if self.fails:
            raise OSError("the disk is full")


@pytest.mark.parametrize("logger", ["georestrict", "georestrict.events"])
def test_a_handler_that_raises_touches_no_request_and_loses_nothing(logger: str) -> None:
    failing = Failing()
    shared = engine(POLICY | {"fallback": {"unresolved": "block", "private": "block"}})
    guarded = guard(engine=shared)
    LOGGER.setLevel(logging.INFO)
    logging.getLogger(logger).addHandler(failing)
    LOGGER.propagate = logger == "georestrict"
    try:
        for peer in PEERS:
            ask(guarded, peer)
        run_asgi(
            asgi.GeoRestrictMiddleware(Recorder().asgi, engine=shared),
            scope_of(Request(peer=CHINA)),
        )
        guarded.flush_events()
    finally:
        logging.getLogger(logger).removeHandler(failing)
        LOGGER.setLevel(logging.NOTSET)
        LOGGER.propagate = True
    with writing() as written:
        guarded.flush_events()
    assert {event.kind for event in written.events} == {Kind.COUNTS}
    assert summed(written.events) == counted(shared)


def test_reloads_that_forget_decisions_change_no_sum(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"

    def write(name: str) -> None:
        path.write_text(
            f'default = "allow"\ncontact = "https://example.com"\n[[rules]]\nname = "{name}"\n'
            'action = "block"\ncountries = ["CN"]\n'
        )

    write("first")
    guarded = guard(engine=Engine(path, database=DATA), events=Events(burst=2, per_second=0))
    with writing() as written:
        for number in range(8):
            for peer in (CHINA, BRITAIN, SWEDEN)[: number % 4]:
                ask(guarded, peer)
            write(f"rule-{number}")
            guarded.engine.reload()
            if number % 3 == 0:
                guarded.flush_events()
        guarded.flush_events()
    assert summed(written.events) == counted(guarded.engine)
    assert len({event.rule for event in written.events if event.rule}) > 2


@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("watched", [True, False], ids=["through the gate", "the slow way"])
def test_a_sample_of_allowed_requests_has_the_share_that_is_asked_for(
    share: float, watched: bool
) -> None:
    total = 5_000 if share < 1 else 500
    options = Events(allows=share, per_second=1e9, burst=10**9)
    guarded = guard(events=options, guard_caches=not watched)
    environs = [environ_of(Request(peer=peer)) for peer in (BRITAIN, SWEDEN)]
    with writing() as written:
        for number in range(total):
            guarded({**environs[number % 10 == 0]}, lambda *_: print)
        guarded.flush_events()
    drawn = written.of(Kind.DECISION)
    # Binomial: six standard deviations, which is once in 500 million.
    for country, number in (("GB", total * 9 // 10), ("SE", total // 10)):
        found = sum(event.country == country for event in drawn)
        assert abs(found - share * number) <= 6 * (number * share * (1 - share)) ** 0.5
    assert {event.sampled for event in drawn} == {1 / share}
    assert {event.action for event in drawn} == {Action.ALLOW}
    assert summed(written.events) == counted(guarded.engine)


def test_sampled_requests_leave_half_of_the_burst_to_what_was_decided() -> None:
    guarded = guard(events=Events(allows=1.0, per_second=0, burst=10))
    with writing() as written:
        for _ in range(50):
            ask(guarded, BRITAIN)
        for _ in range(50):
            ask(guarded, CHINA)
    told = Counter(event.country for event in written.events)
    assert told == {"GB": 5, "CN": 5}


def test_without_a_sample_no_plain_allow_has_an_event() -> None:
    guarded = guard()
    with writing() as written:
        for _ in range(300):
            ask(guarded, BRITAIN)
    assert written.lines == []


def test_a_limit_lets_a_burst_and_then_so_many_a_second_through() -> None:
    now = [0.0]
    limit = Limit(10, 5, clock=lambda: now[0])
    assert [limit.take() for _ in range(7)] == [True] * 5 + [False] * 2
    assert (limit.left_out, limit.say(), limit.say()) == (2, 2, 0)
    now[0] = 0.2
    assert [limit.take() for _ in range(3)] == [True, True, False]
    now[0] = 1000.0
    assert sum(limit.take() for _ in range(20)) == 5


def test_a_ticket_holds_once_and_not_after_the_last_settling() -> None:
    ours = engine()
    decision = ours.decide(CHINA)
    tally: Any = Tally(decision)
    ledger = Ledger(ours)
    first, second, third = (ledger.take(tally.decision, 0.0) for _ in range(3))
    assert (first.use(), first.use()) == (True, False)
    ledger.settle(last=True)
    assert second.use() is False
    del third
    assert ledger.settle() == {}


def test_lines_about_defects_come_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    repeats = Repeats(logging.getLogger("georestrict"), clock=lambda: now[0])
    for second in range(150):
        now[0] = float(second)
        for message in ("a hook failed", "another failed")[: 1 + (second == 5)]:
            try:
                raise ValueError("it broke")
            except ValueError:
                repeats.exception(message)
    assert [record.message for record in caplog.records] == [
        "a hook failed",
        "another failed",
        "a hook failed (and 59 times more since the last such line)",
        "a hook failed (and 59 times more since the last such line)",
    ]
    assert "it broke" in caplog.text


def test_a_hook_that_fails_with_every_request_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def hook(decision: Decision, account: str | None) -> None:
        raise ValueError("it broke")

    guarded = guard(on_decision=hook)
    for _ in range(20):
        ask(guarded, CHINA)
    assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == [
        "on_decision failed; the request goes on"
    ]


FORKED = """
import os, sys
sys.path.insert(0, {root!r})
from georestrict.observe import Events, log_events
from tests.test_events_exact import BRITAIN, CHINA, ask, guard

log_events({path!r})
guarded = guard(events=Events(per_second=0, burst=2))
for _ in range(5):
    ask(guarded, CHINA)
children = []
for number in range(3):
    child = os.fork()
    if not child:
        for _ in range(10 + number):
            ask(guarded, CHINA)
            ask(guarded, BRITAIN)
        sys.exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.once
def test_processes_that_fork_tell_each_their_own_when_they_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    code = FORKED.format(root=str(Path(__file__).parent.parent), path=str(path))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    events = [Event.from_json(line) for line in path.read_text().splitlines()]
    told: Counter[str | None] = Counter()
    for event in events:
        told[event.country] += event.count
    assert told == {"CN": 5 + 33, "GB": 33}


SERVED = """
from georestrict.address import TrustedHops
from georestrict.observe import Events, log_events
from georestrict.testing import tiny_database
from tests.test_events_exact import POLICY

log_events("events.jsonl")
options = {
    "policy": POLICY,
    "database": tiny_database({"175.16.199.0/24": "CN", "81.2.69.0/24": "GB"}),
    "client": TrustedHops(1),
    "events": Events(per_second=0, burst=2),
}
"""
WSGI_APP = """
from georestrict.wsgi import GeoRestrictMiddleware

def bare(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

app = GeoRestrictMiddleware(bare, **options)
"""
ASGI_APP = """
from georestrict.asgi import GeoRestrictMiddleware

async def bare(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})

app = GeoRestrictMiddleware(bare, **options)
"""
SERVERS = {
    "gunicorn --preload": (
        WSGI_APP,
        "gunicorn app:app --preload --workers 2 --threads 4 --bind 127.0.0.1:{}",
    ),
    "uvicorn": (ASGI_APP, "uvicorn app:app --no-proxy-headers --workers 2 --port {}"),
}


@pytest.mark.once
@pytest.mark.parametrize(
    "server", ["gunicorn --preload", pytest.param("uvicorn", marks=pytest.mark.slow)]
)
def test_c4_workers_of_a_server_write_one_file_that_adds_up(server: str, tmp_path: Path) -> None:
    app, command = SERVERS[server]
    root = str(Path(__file__).parent.parent)
    text = f"import sys\nsys.path.insert(0, {root!r})\n{SERVED}{app}"
    with serving(tmp_path, text, command.split()) as url, httpx.Client(timeout=20) as client:
        statuses: Counter[int] = Counter()

        def answers(address: str) -> bool:
            headers = {"x-forwarded-for": address, "connection": "close"}
            try:
                statuses[client.get(f"{url}/v1/x", headers=headers).status_code] += 1
            except httpx.ConnectError:
                return False
            return True

        wait_until(lambda: answers(CHINA))
        for number in range(120):
            assert answers(CHINA if number % 3 else BRITAIN)
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    told: Counter[int] = Counter()
    for event in map(Event.from_json, lines):
        told[403 if event.action is Action.BLOCK else 200] += event.count
    assert told == statuses == {403: 81, 200: 40}
    assert len(lines) < 20
