"""How long it takes to be ready: to open the data, to compile it, and to load 1,000,000 networks.

Everything runs in a fresh process, and is told in seconds of the wall, without the import. *Open*
is ``Database.open()`` with its proof of bounds; *compile* is ``data/sources.toml`` to the bytes of
the default image, reading and checking of the files included; *load* is ``Engine(policy)`` with ten
lists: without a cache folder, as the first worker with an empty one, and as the second worker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import apps
from benchmarks.common import save, spread, target
from georestrict import BACKEND

ROOT = Path(__file__).parents[1]
OPENS, COMPILES, LOADS = 15, 5, 5
NETWORKS = 1_000_000

OPEN = """
import time
from georestrict import Database
began = time.perf_counter()
database = Database.open()
print(time.perf_counter() - began)
assert database.country("81.2.69.142") == "GB"
"""

COMPILE = """
import sys, time
from pathlib import Path
from georestrict.manifest import Manifest
began = time.perf_counter()
Manifest.load(Path(sys.argv[1])).compile()
print(time.perf_counter() - began)
"""

LOAD = """
import json, sys, time
from pathlib import Path
from georestrict import Engine
policy = json.loads(Path(sys.argv[1]).read_text())
began = time.perf_counter()
engine = Engine(policy)
print(time.perf_counter() - began)
for line in sys.argv[2:]:
    assert engine.decide(line).action.value == "block", line
"""


def main() -> None:
    """Measure, and write the result."""
    opened = spread(run(OPEN) for _ in range(OPENS))
    print(f"build: open {1000 * opened['median']:.1f} ms", flush=True)
    sources = str(ROOT / "data" / "sources.toml")
    compiled = spread(run(COMPILE, sources, GEORESTRICT_BACKEND=BACKEND) for _ in range(COMPILES))
    plain = run(COMPILE, sources, GEORESTRICT_BACKEND="python")
    print(f"build: compile {compiled['median']:.2f} s, plain Python {plain:.1f} s", flush=True)
    loaded = load()
    for name, took in loaded.items():
        print(f"build: {NETWORKS:,} networks, {name}: {took['median']:.3f} s", flush=True)
    milliseconds = {name: round(1000 * took, 2) for name, took in opened.items()}
    targets = [
        target("Database.open, ms", 20, milliseconds["median"], _ends(milliseconds)),
        target("compiling the default data, s", 1, compiled["median"], _ends(compiled)),
        target("the same in plain Python, s", 30, round(plain, 2)),
    ]
    without = loaded["no cache"]
    what = f"{NETWORKS:,} networks in ten lists to a ready engine, s"
    targets.append(target(what, 5, without["median"], _ends(without)))
    save(
        "build",
        {
            "rounds": LOADS,
            "open_ms": milliseconds,
            "compile_seconds": {"compiled": compiled, "plain Python": round(plain, 3)},
            "load_seconds": loaded,
            "targets": targets,
        },
    )


def run(code: str, *arguments: str, **environment: str) -> float:
    """Run some code in a fresh Python, and return the seconds that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, check=True, stdout=subprocess.PIPE
    )
    return float(process.stdout)


def load() -> dict[str, dict[str, float]]:
    """Return the seconds of loading the networks, in every state of the cache."""
    found: dict[str, list[float]] = {"no cache": [], "first worker": [], "second worker": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy = folder / "policy.json"
        policy.write_text(json.dumps(apps.listing_policy(folder, NETWORKS)))
        listed = apps.networks(NETWORKS)[:: NETWORKS // 100]
        arguments = [str(policy), *(line.partition("/")[0] for line in listed)]
        for number in range(LOADS):
            cache = str(folder / f"cache {number}")
            found["no cache"].append(run(LOAD, *arguments, GEORESTRICT_CACHE_DIR=""))
            found["first worker"].append(run(LOAD, *arguments, GEORESTRICT_CACHE_DIR=cache))
            assert any(Path(cache).glob("*.grdb")), "nothing was kept"
            found["second worker"].append(run(LOAD, *arguments, GEORESTRICT_CACHE_DIR=cache))
    return {name: spread(seconds, 4) for name, seconds in found.items()}


def _ends(found: dict[str, Any]) -> tuple[float, float]:
    return found["lowest"], found["highest"]


if __name__ == "__main__":
    main()
