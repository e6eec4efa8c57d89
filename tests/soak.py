"""Reload under load for a long time: no error, no mixture, nothing that grows (G6).

``python -m tests.soak SECONDS`` starts four workers. In each, eight threads send requests through
the ASGI and the WSGI middleware, over two engines that are watched: one over a small data set, which
changes together with its list and policy every 100 ms, and one over the full default data, which
changes every 10 s. Some of what is put there is wrong or half written, and must not come into force.

Every generation gives each address another country, lists other networks, and has other names for
its rules, so an answer tells of which generation each part of it is. It must be one that was in
force while the request was under way.

``--plant mix|leak|handles|error`` does in the workers what must be found, and passes if it is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from georestrict import BACKEND, ConfigurationError, Database, Decision, Engine, asgi, wsgi
from georestrict.record import DEFAULT_IMAGE
from georestrict.snapshot import Snapshot
from georestrict.table import Image, encode
from georestrict.testing import tiny_database
from tests import mmdb, web

ROOT = Path(__file__).parents[1]
WORKERS, THREADS = 4, 8
SMALL_SECONDS, FULL_SECONDS = 0.1, 10.0
LOOK_SECONDS = 0.02
#: How often the changes stop until the last is in force in every worker.
REST_SECONDS = 2.0
#: A set of files that is left in peace must be in force everywhere after this long, on a machine
#: that has much else to do.
PATIENCE_SECONDS = 240.0
#: What may be between the medians of the first and the last third of the time. Memory is what is a
#: worker's own. In a third there are moments with two snapshots, and so two copies of the full data.
MOST_GROWTH_MIB, MOST_MORE_HANDLES = 10.0, 1
#: Have the C library give back at once what is freed, so that what stays is in use. Otherwise of a
#: painting of the full data 45 MiB stay with the worker whose turn it was, until its next turn.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
#: The part of the time in which caches fill and the allocator finds its size.
WARM_UP = 0.25

CODES = ("GB", "CN", "SE", "JP", "US", "FR", "DE")
PARTS = 4
RING = len(CODES) * PARTS  #: after so many generations everything is as it was
FULL_RING = 4
#: As many networks as make a list worth keeping for other processes.
PADDING = "".join(f"100.64.{each >> 4}.{(each & 15) << 4}/28\n" for each in range(1400))
#: An address of the default data for each of two countries, which every generation exchanges.
EXCHANGED = {"81.2.69.142": "GB", "2.3.4.5": "FR"}


class Answer(NamedTuple):
    """What is told of a request, and what a generation gives."""

    rule: str | None
    country: str | None
    listed: bool


def small_answer(generation: int, address: str) -> Answer:
    """Return the oracle's answer over the small data set."""
    _, part, half, _ = map(int, address.split("."))
    country = CODES[(generation + part) % len(CODES)]
    listed = half >= 128 and part % PARTS == generation % PARTS
    kind = "listed" if listed else "warned" if country in CODES[:3] else "let"
    return Answer(f"g{generation % RING}-{kind}", country, listed)


def full_answer(generation: int, address: str) -> Answer:
    """Return the oracle's answer over the full data."""
    country = EXCHANGED[address]
    if generation % 2:
        (country,) = {*EXCHANGED.values()} - {country}
    kind = "warned" if country == "GB" else "let"
    return Answer(f"h{generation % FULL_RING}-{kind}", country, False)


class Traffic(NamedTuple):
    """An engine that is under load, and what is asked of it."""

    engine: Engine
    ring: int
    answer: Callable[[int, str], Answer]
    addresses: Sequence[str]

    def generation(self) -> int:
        """Return the generation that is in force, by the names of its rules."""
        return int(self.engine.policy.rules[0].name.partition("-")[0][1:])

    def wrong(self, address: str, decision: Decision, before: int, after: int) -> str | None:
        """Say what is wrong with an answer that was asked for between two generations."""
        found = Answer(decision.rule, decision.location.country, bool(decision.location.lists))
        passed = range((after - before) % self.ring + 1)
        if any(found == self.answer(before + each, address) for each in passed):
            return None
        return f"{address}: {found}, between the generations {before} and {after}"


# The files that change


class Files:
    """Writes generations into folders, and points a link at the one that is to be in force."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder, self.now = folder, folder / "now"
        folder.mkdir()
        self.generation = 0
        self.written = 0
        self.spread = random.Random(seed)
        self._old: deque[Path] = deque()

    def put(self, contents: dict[str, bytes]) -> None:
        """Replace all files at once, as Kubernetes does it."""
        self.written += 1
        made = self.folder / f"{self.written}"
        made.mkdir()
        for name, content in contents.items():
            (made / name).write_bytes(content)
        link = self.folder / "next"
        link.symlink_to(made.name)
        link.replace(self.now)
        self._old.append(made)
        if len(self._old) > 20:
            gone = self._old.popleft()
            for path in gone.iterdir():
                path.unlink()
            gone.rmdir()

    def half_write(self, contents: dict[str, bytes]) -> None:
        """Begin to write over one of the files in place, and stop in the middle."""
        name = self.spread.choice([*contents])
        content = contents[name]
        (self.now / name).write_bytes(content[: len(content) // 2] + b'"')


def small_variants(folder: Path) -> list[list[bytes]]:
    """Return the data of each generation of countries: as an image, and as an MMDB."""
    found = []
    for shift in range(len(CODES)):
        countries = {
            f"11.{part}.0.0/16": CODES[(shift + part) % len(CODES)] for part in range(len(CODES))
        }
        records = [(network, mmdb.maxmind(code)) for network, code in countries.items()]
        written = mmdb.write(folder / f"{shift}.mmdb", records)
        found.append([image_of(tiny_database(countries)), written.read_bytes()])
    return found


def image_of(database: Database) -> bytes:
    """Return the bytes of a database's image."""
    names = ("meta", "cells", "origin.country")
    return encode({name: database._image.section(name) for name in names})


def policy_of(name: str, warned: Sequence[str], let: Sequence[str]) -> bytes:
    """Return a policy whose rules have a generation in their names."""
    return f"""
        default = "allow"
        contact = "https://x.example"
        [lists.mine]
        path = "mine.txt"
        [[rules]]
        name = "{name}-listed"
        action = "block"
        lists = ["mine"]
        [[rules]]
        name = "{name}-warned"
        action = "warn"
        countries = {json.dumps(warned)}
        [[rules]]
        name = "{name}-let"
        action = "allow"
        countries = {json.dumps(let)}
    """.encode()


def small_files(
    variants: list[list[bytes]], generation: int, *, large: float = 0.0
) -> dict[str, bytes]:
    """Return the policy, the list and the data of a generation.

    With ``large`` above a half the list is so long, with less the data is an MMDB: either lies in the
    cache, and is built by another process.
    """
    parts = range(generation % PARTS, len(CODES), PARTS)
    listed = "".join(f"11.{part}.128.0/17\n" for part in parts)
    if large > 0.5:
        listed += PADDING
    return {
        "policy.toml": policy_of(f"g{generation % RING}", CODES[:3], CODES[3:]),
        "mine.txt": listed.encode(),
        "data": variants[generation % len(CODES)][0 < large <= 0.5],
    }


def wrong_files(files: dict[str, bytes], spread: random.Random) -> dict[str, bytes]:
    """Return a set of files that must not come into force: one is cut, wrong or missing."""
    wrong = {
        "policy.toml": [b'default = "block"\nrules = [', b'default = "blok"', b"\xff\xfe"],
        "mine.txt": [b"11.0.0.0/8\n11.0.0.1/8\n", b"0.0.0.0/0 x y z\n", b"\n"],
        "data": [files["data"][: len(files["data"]) // 2], bytes(len(files["data"])), b""],
    }
    name = spread.choice([*files])
    changed = spread.choice([*wrong[name], None])
    renamed = {
        each: content.replace(b'name = "g', b'name = "wrong-g')
        if each == "policy.toml"
        else content
        for each, content in files.items()
        if each != name
    }
    return renamed if changed is None else renamed | {name: changed}


def full_variants() -> list[bytes]:
    """Return the default image, and one in which two countries are exchanged."""
    data = DEFAULT_IMAGE.read_bytes()
    database = Database(Image(memoryview(data), "default"))
    sections: dict[str, bytes | memoryview] = {**database._image._sections}
    meta = json.loads(bytes(sections["meta"]))
    exchanged = dict(zip(EXCHANGED.values(), reversed(EXCHANGED.values()), strict=True))
    for meaning in meta["classes"]:
        meaning[1] = exchanged.get(meaning[1], meaning[1])
    return [data, encode(sections | {"meta": json.dumps(meta).encode()})]


def full_files(variants: list[bytes], generation: int) -> dict[str, bytes]:
    """Return the policy, the list and the data of a generation of the full data."""
    return {
        "policy.toml": policy_of(f"h{generation % FULL_RING}", ["GB"], ["FR"]),
        "mine.txt": f"100.64.{generation % FULL_RING}.0/24\n".encode(),
        "data": variants[generation % 2],
    }


# A worker


class Ended(logging.Handler):
    """Keeps what the log says at the level of errors, but for what a wrong file is to give."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.refused = 0
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Count a refusal, or keep an error."""
        if record.exc_info is None and record.getMessage().startswith("reload failed, the policy"):
            self.refused += 1
        else:
            self.errors.append(self.format(record)[-800:])


class Worker:
    """Serves requests in threads, and tells how it fares, a line of JSON at a time."""

    def __init__(self, folder: Path, seed: int, burst: int, pause: float) -> None:
        self.log = Ended()
        logging.getLogger("georestrict").addHandler(self.log)
        logging.getLogger("georestrict").propagate = False
        self.stop = threading.Event()
        self.burst, self.pause, self.seed = burst, pause, seed
        self.requests: Counter[str] = Counter()
        self.wrong: list[str] = []
        small = [f"11.{part}.{half}.7" for part in range(len(CODES)) for half in (1, 200)]
        self.traffic = [
            Traffic(engine_of(folder / "small"), RING, small_answer, small),
            Traffic(engine_of(folder / "full"), FULL_RING, full_answer, [*EXCHANGED]),
        ]
        for each in self.traffic:
            each.engine.watch(LOOK_SECONDS)

    def run(self, plant: str | None) -> None:
        """Serve until standard input ends."""
        threads = [
            threading.Thread(target=self._guarded, args=(number,)) for number in range(THREADS)
        ]
        if plant is not None:
            threads.append(threading.Thread(target=PLANTS[plant], args=(self,)))
        for thread in threads:
            thread.start()
        threading.Thread(target=self._await_end, daemon=True).start()
        while not self.stop.wait(0.25):
            self.tell()
        for thread in threads:
            thread.join()
        self.tell()

    def _await_end(self) -> None:
        sys.stdin.read()
        self.stop.set()

    def tell(self) -> None:
        """Print how it fares."""
        engines = [each.engine for each in self.traffic]
        state = {
            "at": time.monotonic(),
            "requests": self.requests.total(),
            "allowed": self.requests["200"],
            "generations": [each.generation() for each in self.traffic],
            "reloads": [engine.reloads.done for engine in engines],
            "failed": sum(engine.reloads.failed for engine in engines),
            "refused": self.log.refused,
            "wrong": [*self.wrong[:5], *self.log.errors[:5]],
            "memory": own_memory(),
            "handles": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
            "threads": threading.active_count(),
        }
        print(json.dumps(state), flush=True)

    def _guarded(self, number: int) -> None:
        try:
            spread = random.Random(100 * self.seed + number)
            if number % 2:
                asyncio.run(self._asgi(spread))
                return
            for _ in self._wsgi(spread):
                if self.stop.wait(self.pause):
                    return
        except BaseException as error:
            self.wrong.append(f"a thread ended: {error!r}")
            raise

    def _wsgi(self, spread: random.Random) -> Iterator[None]:
        app = web.Recorder()
        told: list[Decision] = []
        faces = [
            wsgi.GeoRestrictMiddleware(
                app.wsgi,
                engine=each.engine,
                annotate=True,
                on_decision=lambda one, _: told.append(one),
            )
            for each in self.traffic
        ]
        status: list[str] = []

        def start_response(line: str, *more: Any) -> Callable[[bytes], object]:
            status.append(line[:3])
            return lambda data: None

        while True:
            for number, address in self._asked(spread):
                traffic = self.traffic[number]
                environ = web.environ_of(web.Request(peer=address))
                told.clear()
                status.clear()
                before = traffic.generation()
                b"".join(faces[number](environ, start_response))
                self._check(traffic, address, environ, told, status, before)
            yield

    async def _asgi(self, spread: random.Random) -> None:
        app = web.Recorder()
        told: list[Decision] = []
        faces = [
            asgi.GeoRestrictMiddleware(
                app.asgi,
                engine=each.engine,
                annotate=True,
                on_decision=lambda one, _: told.append(one),
            )
            for each in self.traffic
        ]
        status: list[str] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status.append(str(message["status"]))

        while not self.stop.is_set():
            for number, address in self._asked(spread):
                traffic = self.traffic[number]
                scope = web.scope_of(web.Request(peer=address))
                told.clear()
                status.clear()
                before = traffic.generation()
                await faces[number](scope, receive, send)
                self._check(traffic, address, scope, told, status, before)
            await asyncio.sleep(self.pause)

    def _asked(self, spread: random.Random) -> Iterator[tuple[int, str]]:
        for _ in range(self.burst):
            number = int(spread.random() < 0.1)
            yield number, spread.choice(self.traffic[number].addresses)

    def _check(
        self,
        traffic: Traffic,
        address: str,
        left: dict[str, Any],
        told: list[Decision],
        status: list[str],
        before: int,
    ) -> None:
        after = traffic.generation()
        decisions = [*told, left["georestrict"]] if "georestrict" in left else told
        self.requests[status[0] if len(status) == 1 else "odd"] += 1
        wrong = None if decisions else f"{address}: no decision"
        for decision in decisions:
            wrong = wrong or traffic.wrong(address, decision, before, after)
            blocked = str(decision.action) == "block"
            if len(status) != 1 or (status[0] == "200") is blocked:
                wrong = wrong or f"{address}: answered {status}, decided {decision}"
        if wrong:
            self.wrong.append(wrong)


def engine_of(folder: Path) -> Engine:
    """Return the engine over a folder."""
    return Engine(folder / "now/policy.toml", database=folder / "now/data")


def own_memory() -> float:
    """Return how much memory is this process's own, in MiB: what is mapped from files is not."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


# What must be found


def plant_mix(worker: Worker) -> None:
    """Put a new policy over the old data in force, now and then."""
    engine = worker.traffic[0].engine
    while not worker.stop.is_set():
        old = engine.database
        while engine.database is old and not worker.stop.wait(0.005):
            pass
        with contextlib.suppress(ConfigurationError):  # a list that is wrong just now
            mixed = Snapshot(engine.policy, old)
            engine.snapshot, engine.current.passes = mixed, mixed.passes


def plant_leak(worker: Worker) -> None:
    """Keep what was in force, with as much memory as a small painting has, at every change."""
    kept: list[tuple[Snapshot, bytes]] = []
    while not worker.stop.wait(SMALL_SECONDS):
        kept.append((worker.traffic[0].engine.snapshot, os.urandom(300_000)))


def plant_handles(worker: Worker) -> None:
    """Leave a file open now and then."""
    kept = []
    while not worker.stop.wait(0.5):
        kept.append(DEFAULT_IMAGE.open("rb"))


def plant_error(worker: Worker) -> None:
    """Let a reload fail by a defect."""
    worker.stop.wait(1.0)
    worker.traffic[0].engine._origin._switches = None  # type: ignore[assignment]


PLANTS = {"mix": plant_mix, "leak": plant_leak, "handles": plant_handles, "error": plant_error}


# The one who starts them


class Watching:
    """A worker as seen from outside: what it told."""

    def __init__(self, folder: Path, seed: int, arguments: Sequence[str]) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.soak",
            "--worker",
            str(folder),
            str(seed),
            *arguments,
        ]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | ALLOCATOR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told: list[dict[str, Any]] = []
        self.more = threading.Condition()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.more:
                self.told.append(json.loads(line))
                self.more.notify_all()
        with self.more:
            self.more.notify_all()

    @property
    def failed(self) -> int:
        """How many reloads have failed there."""
        return int(self.told[-1]["failed"]) if self.told else 0

    def has(self, number: int, generation: int, patience: float) -> bool:
        """Wait until a generation is in force."""
        return self._reaches(lambda last: last["generations"][number] == generation, patience)

    def has_failed(self, before: int, patience: float) -> bool:
        """Wait until one more reload has failed."""
        return self._reaches(lambda last: last["failed"] > before, patience)

    def _reaches(self, holds: Callable[[dict[str, Any]], bool], patience: float) -> bool:
        """Wait until something holds; not for one that has ended, or has found what is wrong."""

        def reached() -> bool:
            return bool(self.told) and holds(self.told[-1])

        def over() -> bool:
            wrong = bool(self.told and self.told[-1]["wrong"])
            return reached() or wrong or self.process.poll() is not None

        with self.more:
            self.more.wait_for(over, patience)
            return reached()

    def end(self) -> int:
        """Have it end, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait()
        self.thread.join()
        return code


def soak(seconds: float, plant: str | None, arguments: Sequence[str]) -> tuple[list[str], str]:
    """Run it; return what was found, and a summary."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ended:
        folder = Path(name)
        os.environ["GEORESTRICT_CACHE_DIR"] = str(folder / "cache")
        small, full = Files(folder / "small"), Files(folder / "full", 2)
        variants, images = small_variants(folder), full_variants()
        small.put(small_files(variants, 0))
        full.put(full_files(images, 0))
        workers = []
        for seed in range(WORKERS):
            workers.append(Watching(folder, seed, arguments))
            ended.callback(workers[-1].end)
        for worker in workers:
            if not worker.has(0, 0, PATIENCE_SECONDS):
                found.append("a worker did not start")
        counts: Counter[str] = Counter()
        start = time.monotonic()
        rested = changed = start
        # On a busy machine it goes on until there was something of every kind.
        while not found and (
            time.monotonic() - start < seconds or not counts["full"] or counts["rests"] < 2
        ):
            tick = time.monotonic()
            if tick - changed >= min(FULL_SECONDS, seconds / 4):
                changed = tick
                full.generation += 1
                full.put(full_files(images, full.generation))
                counts["full"] += 1
            if tick - rested < REST_SECONDS:
                counts[change(small, variants)] += 1
            else:
                found += rest(small, variants, workers, wrong=counts["rests"] % 4 == 1)
                counts["rests"] += 1
                rested = time.monotonic()
            time.sleep(max(0.0, tick + SMALL_SECONDS - time.monotonic()))
        small.put(small_files(variants, small.generation))
        if not found:
            found += late(workers, 0, small.generation % RING)
            found += late(workers, 1, full.generation % FULL_RING)
        for worker in workers:
            code = worker.end()
            if code:
                found.append(f"a worker ended with {code}")
        found = [*judged([worker.told for worker in workers], start, time.monotonic()), *found]
        return found, summary([worker.told for worker in workers], counts, start)


def change(small: Files, variants: list[list[bytes]]) -> str:
    """Replace the small files by a generation, or by what is wrong or half written; say which."""
    kind = small.spread.random()
    if kind < 0.7:
        small.generation += 1
        small.put(small_files(variants, small.generation))
        return "small"
    files = small_files(variants, small.generation + 1)
    if kind < 0.85:
        small.put(wrong_files(files, small.spread))
        return "wrong"
    small.half_write(files)
    return "half"


def rest(
    small: Files, variants: list[list[bytes]], workers: Sequence[Watching], *, wrong: bool
) -> list[str]:
    """Leave files in peace until they are in force everywhere or, if they are wrong, refused."""
    if not wrong:
        small.generation += 1
        large = small.spread.random()
        small.put(small_files(variants, small.generation, large=large))
        return late(workers, 0, small.generation % RING)
    before = [worker.failed for worker in workers]
    small.put(wrong_files(small_files(variants, small.generation + 1), small.spread))
    return [
        f"worker {at}: what is wrong was not refused after {PATIENCE_SECONDS:.0f} s at most"
        for at, worker in enumerate(workers)
        if not worker.has_failed(before[at], PATIENCE_SECONDS)
    ]


def late(workers: Sequence[Watching], number: int, generation: int) -> list[str]:
    """Wait until a generation is in force everywhere; say where it is not."""
    return [
        f"worker {at}: generation {generation} of engine {number} is not in force after "
        f"{PATIENCE_SECONDS:.0f} s at most; it told {worker.told[-1:]}"
        for at, worker in enumerate(workers)
        if not worker.has(number, generation, PATIENCE_SECONDS)
    ]


def judged(told: list[list[dict[str, Any]]], start: float, end: float) -> list[str]:
    """Say what is wrong with what the workers told."""
    found = []
    for at, states in enumerate(told):
        if not states:
            continue
        last = states[-1]
        found += [f"worker {at}: {text}" for text in last["wrong"]]
        if not (last["failed"] and last["allowed"] and all(last["reloads"])):
            found.append(f"worker {at}: hardly anything happened: {last}")
        warm = start + (end - start) * WARM_UP
        kept = [state for state in states if state["at"] >= warm]
        third = len(kept) // 3
        if not third:
            continue
        for what, most in (("memory", MOST_GROWTH_MIB), ("handles", MOST_MORE_HANDLES)):
            first, final = (
                statistics.median(state[what] for state in part)
                for part in (kept[:third], kept[-third:])
            )
            if final - first > most:
                found.append(f"worker {at}: {what} grew from {first:.1f} to {final:.1f}")
        # the last two may have been told while the threads were ending
        if len({state["threads"] for state in kept[:-2]}) > 1:
            found.append(f"worker {at}: threads: {Counter(state['threads'] for state in kept)}")
    return found


def summary(told: list[list[dict[str, Any]]], counts: Counter[str], start: float) -> str:
    """Return one line about the whole run."""
    told = [states for states in told if states]
    firsts = [next((one for one in states if one["at"] >= start), states[-1]) for states in told]
    ends = [states[-2:][0] for states in told]  # before the threads were ended
    lasts = [states[-1] for states in told]
    each = {
        what: f"{'/'.join(f'{state[what]:.0f}' for state in firsts)} → "
        f"{'/'.join(f'{state[what]:.0f}' for state in ends)}"
        for what in ("memory", "handles", "threads")
    }
    return (
        f"{sum(last['requests'] for last in lasts):,} requests; "
        f"{counts['small']} small and {counts['full']} full changes, {counts['wrong']} wrong, "
        f"{counts['half']} half written, {counts['rests']} rests; {sum(sum(last['reloads']) for last in lasts)} reloads, "
        f"{sum(last['failed'] for last in lasts)} refused; own memory {each['memory']} MiB, "
        f"handles {each['handles']}, threads {each['threads']}"
    )


def interrupt(*_: object) -> None:
    """Have the workers ended and the files removed; what asks for that again is not heard."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--plant", choices=PLANTS)
    parser.add_argument("--burst", type=int, default=50, help="requests between pauses")
    parser.add_argument("--pause", type=float, default=0.01, help="seconds")
    given = parser.parse_args()
    os.nice(10)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, interrupt)
    start = time.monotonic()
    arguments = [str(given.burst), str(given.pause), *([given.plant] if given.plant else [])]
    found, told = soak(given.seconds, given.plant, arguments)
    for text in found[:12]:
        print(text if len(text) < 1000 else f"{text[:500]} … {text[-500:]}")
    print(f"soak, {BACKEND} core, {time.monotonic() - start:.0f} s: {told}")
    if given.plant:
        print(f"soak, planted {given.plant}: {'found' if found else 'MISSED'}")
        return 0 if found else 1
    print(f"soak: {f'FAILED: {len(found)} found, see above' if found else 'passed'}")
    return 1 if found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started it ends it
        folder, seed, burst, pause, *plant = sys.argv[2:]
        Worker(Path(folder), int(seed), int(burst), float(pause)).run(plant[0] if plant else None)
    else:
        sys.exit(main())
