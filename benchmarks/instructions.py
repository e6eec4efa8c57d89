"""How many instructions one lookup and one request take, held against a committed baseline.

A noisy machine disturbs times; it does not disturb a count. Everything runs in one process under
valgrind's callgrind, which counts between two marks only, so that start-up does not. Each figure is
one a call: ``core`` counts what ran in the compiled core itself; ``total`` counts everything, the
interpreter and libc, too, less the loop alone, or the same loop around the app without us.

    python benchmarks/instructions.py            compares; fails when a figure grew by over 5 %
    python benchmarks/instructions.py --accept   makes what it finds the new baseline

The core's count depends on the compiler, the Python it was built for and the kind of machine; the
total also on how the interpreter itself was built. So those stand in the baseline, and where they
differ nothing is compared, and the last line says so.
Bias: an instruction is not a time. A cache miss or a wrongly guessed branch costs as much as a
hundred, and is counted as one.
"""

from __future__ import annotations

import ctypes
import gc
import json
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BASELINE = Path(__file__).parent / "results" / "instructions.json"
DUMPS = Path(__file__).parent / "dumps"
LIMIT = 1.05  # issue 3: a check that fails on a regression over 5 %
CALLS = 1000
Figures = dict[str, dict[str, float]]

# What the cases of a kind are measured around.
AROUND = {"country": "loop", "lookup_many": "", "ASGI": "ASGI app", "WSGI": "WSGI app"}

# callgrind is told where to begin and end by instructions that do nothing elsewhere.
MARKS = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""

JUNK = ("", "junk", "unknown", "1.2.3", "256.1.1.1", "01.2.3.4", "1.2.3.4.5", "::g", "1::2::3", "[")
CHAIN = "203.0.113.7, {address}, 10.0.3.9"
HEADERS = (
    ("Host", "api.example.com"),
    ("User-Agent", "client/1.2.3"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Content-Type", "application/json"),
    ("Authorization", "Bearer 0123456789abcdef0123456789abcdef"),
    ("X-Request-Id", "7b0f0c8e-5f57-4a1c-9d6e-1f4a5c2b7e11"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "api.example.com"),
    ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("Content-Length", "0"),
)
COUNTRY_RULE: dict[str, Any] = {"name": "cn", "action": "block", "countries": ["CN"]}
POLICY = {"default": "allow", "contact": "https://example.com", "rules": [COUNTRY_RULE]}
EVERYWHERE = {"action": "block", "networks": ["0.0.0.0/0", "::/0"]}
PATH_RULES = [
    EVERYWHERE | {"name": f"path {number}", "paths": [f"/admin{number}/*"]} for number in range(20)
]


def main(*, accept: bool = False) -> int:
    """Count, and compare with the baseline, or replace it if that is said."""
    missing = [name for name in ("valgrind", "gcc") if shutil.which(name) is None]
    if missing:
        print(f"NOT RUN: instructions: nothing was compared (needs {' and '.join(missing)})")
        return 0
    start = time.monotonic()
    dumps = count()
    figures = per_call({name: read(path) for name, path in dumps.items()})
    about = toolchain()
    print(f"{'instructions a call':<24}{'core':>10}{'total':>10}")
    for name, found in figures.items():
        print(f"{name:<24}{found['core']:>10.1f}{found['total']:>10.1f}")
    if accept:
        text = json.dumps({"about": about, "calls": CALLS, "figures": figures}, indent=2)
        BASELINE.write_text(text + "\n", encoding="utf-8")
        print(f"instructions: {BASELINE.relative_to(ROOT)} is the baseline now; commit it")
        return 0
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    kinds, told = comparable(baseline["about"], about)
    for line in told:
        print(line)
    worse = [line for kind in kinds for line in compare(baseline["figures"], figures, kind)]
    for line in worse:
        print(line)
    if worse:
        print("see what they are spent on, for each name above:")
        for name in sorted({line.split(":")[0] for line in worse}):
            print(f"  callgrind_annotate --auto=no {dumps[name].relative_to(ROOT)}  # {name}")
        print("if it is worth it: python benchmarks/instructions.py --accept, and commit")
    verdict = f"FAILED, {len(worse)} figures grew by over 5 %" if worse else "no figure grew by 5 %"
    if not kinds:
        verdict = "compared nothing"
    compared = f" (compared: {', '.join(kinds)})" if kinds else ""
    print(f"instructions: {verdict}{compared}, {time.monotonic() - start:.0f} s")
    return 1 if worse else 0


def compare(baseline: Figures, found: Figures, kind: str) -> list[str]:
    """Return a line for each figure of a kind that grew by more than the limit, or has no twin."""
    worse = []
    for name in sorted(baseline.keys() | found.keys()):
        if name not in baseline or name not in found:
            where = "found now" if name not in found else "in the baseline"
            worse.append(f"{name}: not {where}; accept a new baseline")
            continue
        old, new = baseline[name][kind], found[name][kind]
        if new > old * LIMIT:
            grown = f"+{100 * (new / old - 1):.1f} %" if old else "from nothing"
            worse.append(f"{name}: {kind} {old} -> {new} instructions a call, {grown}")
    return worse


def comparable(baseline: dict[str, str], now: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the kinds of figures that may be compared, and what to say of the differences."""
    differing = [key for key in baseline if baseline[key] != now[key]]
    told = [f"differs: {key}: baseline {baseline[key]}, here {now[key]}" for key in differing]
    for key in ("machine", "python", "compiler"):
        if key in differing:
            return [], [*told, f"instructions depend on the {key}: nothing is compared"]
    if "interpreter" in differing:
        return ["core"], [
            *told,
            "totals depend on the interpreter's build: only cores are compared",
        ]
    return ["core", "total"], told


def toolchain() -> dict[str, str]:
    """What the counts depend on; ``cython`` is told, but compared all the same."""
    from georestrict._core import _compiled  # type: ignore[attr-defined]

    core = Path(_compiled.__file__).read_bytes()
    compiler = re.search(rb"(GCC|clang)[^\0]*? (\d+)\.\d+", core)
    cython = re.search(rb"_cython_(\d+_\d+)", core)
    return {
        "machine": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "compiler": f"{compiler[1].decode()} {compiler[2].decode()}" if compiler else "unknown",
        "cython": cython[1].decode().replace("_", ".") if cython else "unknown",
        "interpreter": " ".join([sys.version.partition("(")[0].strip(), *platform.python_build()]),
    }


def count() -> dict[str, Path]:
    """Run the measurements under callgrind; return the dump of each."""
    shutil.rmtree(DUMPS, ignore_errors=True)
    DUMPS.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks.so"
        gcc = ["gcc", "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", str(marks)]
        subprocess.run(gcc, input=MARKS, text=True, check=True)
        valgrind = [
            str(shutil.which("valgrind")),
            "--tool=callgrind",
            "--instr-atstart=no",
            "--quiet",
        ]
        out = f"--callgrind-out-file={DUMPS}/dump"
        environment = {  # nothing else: what lies before the stack moves it
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GEORESTRICT_BACKEND": "compiled",
            # libc chooses its string functions by processor; here always the same ones
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX2,-ERMS",
        }
        subprocess.run(
            [*valgrind, out, sys.executable, __file__, "--inside", str(marks)],
            env=environment, cwd=ROOT, check=True,
        )  # fmt: skip
    found = {}
    for path in sorted(DUMPS.glob("dump.*"), key=lambda path: int(path.suffix[1:])):
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", path.read_text(), re.M)
        if name:
            found[name[1]] = path
    return found


def read(path: Path) -> dict[str, int]:
    """Return the instructions of each shared object from a dump of callgrind.

    A line ``ob=`` says whose lines follow; a line after ``calls=`` tells of the called function,
    which is told of again under its own name.
    """
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    owner, called = "", False
    for line in path.read_text().splitlines():
        if line.startswith("ob="):
            number, _, name = line[3:].partition(" ")
            owner = names.setdefault(number, name)
        elif line.startswith("cob="):
            number, _, name = line[4:].partition(" ")
            names.setdefault(number, name)
        elif line.startswith("calls="):
            called = True
        elif re.match(r"[\d+*-]", line):
            if not called:
                spent = sum(map(int, line.split()[1:2]))  # a count of zero is left out
                counts[owner] = counts.get(owner, 0) + spent
            called = False
    return counts


def per_call(counts: dict[str, dict[str, int]]) -> Figures:
    """Return what one call takes in the core, and in all without what it was measured around."""
    figures = {}
    for name, found in counts.items():
        if name in AROUND.values():
            continue
        around = AROUND[name.partition(",")[0]]
        core = sum(spent for owner, spent in found.items() if "/_compiled." in owner)
        total = sum(found.values()) - sum(counts.get(around, {}).values())
        figures[name] = {"core": round(core / CALLS, 1), "total": round(total / CALLS, 1)}
    return figures


def measure(marks: ctypes.CDLL) -> None:
    """Run every case between marks, each first once without."""
    gc.disable()
    for name, run in cases():
        run()
        marks.begin()
        run()
        marks.end(name.encode())


def cases() -> Iterable[tuple[str, Callable[[], object]]]:
    """Yield the name of each case, and what calls it so often."""
    from georestrict import Database, Engine, Status, asgi, wsgi
    from georestrict.address import TrustedProxies
    from tests.web import Request, environ_of, scope_of

    database = Database.open()
    engine = Engine(POLICY, database=database)
    by_path = Engine(POLICY | {"rules": [*PATH_RULES, COUNTRY_RULE]}, database=database)
    spread = random.Random(3)
    uniform = (str(IPv4Address(spread.getrandbits(32))) for _ in range(100 * CALLS))
    european = (  # 2a00::/12, of which most is given out
        str(IPv6Address(0x2A0 << 116 | spread.getrandbits(116))) for _ in range(1000 * CALLS)
    )

    def first(addresses: Iterable[str], is_wanted: Callable[[str], bool]) -> list[str]:
        found = (address for address in addresses if is_wanted(address))
        return [next(found) for _ in range(CALLS)]

    def is_plain(address: str) -> bool:
        known = database.lookup(address).status is Status.KNOWN
        return known and engine.decide(address).plain_allow

    def is_blocked(address: str) -> bool:
        return database.country(address) == "CN"

    ipv4 = first(uniform, is_plain)
    blocked = first(uniform, is_blocked)
    ipv6 = first(european, is_plain)

    def loop() -> None:
        for _ in ipv4:
            pass

    def look_up(texts: list[str]) -> Callable[[], None]:
        country = database.country

        def run() -> None:
            for text in texts:
                country(text)

        return run

    yield "loop", loop
    yield "country, IPv4", look_up(ipv4)
    yield "country, IPv6", look_up(ipv6)
    yield "country, junk", look_up([*JUNK] * (CALLS // len(JUNK)))

    yield "lookup_many, IPv4", lambda: database.lookup_many(ipv4)

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    async def send(message: Any) -> None: ...

    def serve(guarded: Any, addresses: list[str], proxied: bool = False) -> Callable[[], None]:
        requests = [
            Request(
                peer="10.0.3.7" if proxied else address,
                headers=(*HEADERS, ("X-Forwarded-For", CHAIN.format(address=address)))
                if proxied
                else HEADERS,
                target="/v1/models",
            )
            for address in addresses
        ]
        fresh = iter([scope_of(request) for _ in range(2) for request in requests])

        async def through() -> None:
            for _, scope in zip(addresses, fresh, strict=False):
                await guarded(scope, None, send)

        def run() -> None:
            try:
                through().send(None)
            except StopIteration:
                return
            raise AssertionError("the app waits for something")

        return run

    guard = asgi.GeoRestrictMiddleware
    proxy = TrustedProxies("10.0.3.0/24")
    yield "ASGI app", serve(app, ipv4)
    yield "ASGI, direct", serve(guard(app, engine=engine), ipv4)
    yield "ASGI, annotate", serve(guard(app, engine=engine, annotate=True), ipv4)
    yield "ASGI, proxied", serve(guard(app, engine=engine, client=proxy), ipv4, proxied=True)
    yield "ASGI, 20 path rules", serve(guard(app, engine=by_path), ipv4)
    yield "ASGI, blocked", serve(guard(app, engine=engine), blocked)

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        return []

    def start_response(status: str, headers: Any, *more: Any) -> Callable[[bytes], object]:
        return bytes

    def answer(guarded: Any, addresses: list[str]) -> Callable[[], None]:
        requests = [
            Request(peer=address, headers=HEADERS, target="/v1/models") for address in addresses
        ]
        fresh = iter([environ_of(request) for _ in range(2) for request in requests])

        def run() -> None:
            for _, environ in zip(addresses, fresh, strict=False):
                guarded(environ, start_response)

        return run

    guard_wsgi = wsgi.GeoRestrictMiddleware
    yield "WSGI app", answer(wsgi_app, ipv4)
    yield "WSGI, direct", answer(guard_wsgi(wsgi_app, engine=engine), ipv4)
    yield "WSGI, blocked", answer(guard_wsgi(wsgi_app, engine=engine), blocked)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        measure(ctypes.CDLL(sys.argv[2]))
    else:
        sys.exit(main(accept=sys.argv[1:] == ["--accept"]))
