"""How long a database of one's own takes to come into use: an MMDB to the bytes of an image.

Two files of 550,000 networks are generated, of countries and of AS numbers with their companies'
names. Everything runs in a fresh process: seconds of the wall from the file's bytes to the image's,
without the import of the package; and by how much the process's peak of memory lies above what it
had before, when it had read the file. The peer is ``maxminddb``, which comes with an iterator:
what is timed is to go through all networks and keep none.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import save, spread, target
from georestrict.countries import NAMES
from tests import mmdb

ROOT = Path(__file__).parents[1]
NETWORKS = 550_000
ORGANISATIONS = 90_000
ROUNDS = 5

IMPORT = """
import json, re, sys, time
from pathlib import Path
import maxminddb, maxminddb.decoder
from georestrict import BACKEND, Database
from georestrict.manifest import compile_mmdb
from georestrict.table import Image
def kib(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
data = Path(sys.argv[1]).read_bytes()
before = kib("VmRSS")
began = time.perf_counter()
image = compile_mmdb(data, "x")
took = time.perf_counter() - began
peak = kib("VmHWM")
database = Database(Image(memoryview(image), "x"))
for address, country, number in json.loads(sys.argv[2]):
    assert database.country(address) == country, address
    told = [match.value for match in database.matches(address) if match.layer == "asn"]
    assert told == ([] if number is None else [str(number)]), address
assert BACKEND == sys.argv[3], BACKEND
print(json.dumps({"seconds": took, "mib": (peak - before) / 1024}))
"""

ITERATE = """
import json, sys, time, maxminddb
with maxminddb.open_database(sys.argv[1], getattr(maxminddb, sys.argv[2])) as reader:
    began = time.perf_counter()
    count = sum(1 for _ in reader)
    took = time.perf_counter() - began
print(json.dumps({"seconds": took, "networks": count}))
"""


def main() -> None:
    """Measure, and write the result."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for kind, records in (("countries", countries()), ("AS numbers", as_numbers())):
            path = Path(name) / f"{kind}.mmdb"
            path.write_bytes(mmdb.assemble(mmdb.Tree(networks(len(records))), records, 24))
            results[kind] = {"file_bytes": path.stat().st_size} | measured(path)
            print(f"imports: {kind}: {results[kind]}", flush=True)
    found = results["countries"]
    compiled, plain = found["compiled"]["seconds"], found["plain Python"]["seconds"]
    what = f"an MMDB of {NETWORKS:,} networks to an image, s"
    targets = [
        target(what, 3, compiled["median"], (compiled["lowest"], compiled["highest"])),
        target(f"{what}, plain Python", 40, plain["median"]),
    ]
    save("imports", {"networks": NETWORKS, "rounds": ROUNDS, "files": results, "targets": targets})


def measured(path: Path) -> dict[str, Any]:
    """Return what importing a file takes on both cores, and what its peers take to go through."""
    asked = json.dumps(answers(path))
    found: dict[str, Any] = {}
    for name, backend, rounds in (("compiled", "compiled", ROUNDS), ("plain Python", "python", 1)):
        runs = [
            run(IMPORT, str(path), asked, backend, GEORESTRICT_BACKEND=backend)
            for _ in range(rounds)
        ]
        found[name] = {
            "seconds": spread((one["seconds"] for one in runs), 3),
            "peak_mib": round(max(one["mib"] for one in runs), 1),
        }
    for name, mode in (("maxminddb C", "MODE_MMAP_EXT"), ("maxminddb pure", "MODE_MEMORY")):
        runs = [run(ITERATE, str(path), mode) for _ in range(ROUNDS if "EXT" in mode else 1)]
        assert all(one["networks"] == NETWORKS for one in runs), runs
        found[f"{name}, iterating"] = {"seconds": spread((one["seconds"] for one in runs), 3)}
    return found


def run(code: str, *arguments: str, **environment: str) -> dict[str, float]:
    """Run some code in a fresh Python, and return the JSON that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, check=True, stdout=subprocess.PIPE
    )
    measured: dict[str, float] = json.loads(process.stdout)
    return measured


def answers(path: Path) -> list[tuple[str, str | None, int | None]]:
    """Return addresses, and what ``maxminddb`` says of them."""
    import maxminddb

    chosen = random.Random(7)
    found = []
    with maxminddb.open_database(str(path)) as reader:
        for _ in range(500):
            address = ".".join(str(chosen.randrange(1, 10)) for _ in range(4))
            record: Any = reader.get(address) or {}
            code = record.get("country", {}).get("iso_code")
            private = address.startswith("10.")
            number = record.get("autonomous_system_number")
            found.append((address, None if private else code, number))
    return found


def countries() -> list[Any]:
    """Return a record for each country, as MaxMind has it."""
    return [
        mmdb.maxmind(code, registered=code) | {"continent": {"code": "EU"}}
        for code in sorted(NAMES)
    ]


def as_numbers() -> list[Any]:
    """Return a record for each AS number; one in ten has a name such as hosters have."""
    words = ("Net", "Telecom", "Data", "Broadband", "University", "Systems", "Gmbh", "Hosting")
    chosen = random.Random(8)
    return [
        {
            "autonomous_system_number": number,
            "autonomous_system_organization": f"Company {number} {chosen.choice(words)} "
            f"{chosen.choice(words)} Ltd.",
        }
        for number in range(100_000, 100_000 + ORGANISATIONS)
    ]


def networks(records: int) -> Iterator[mmdb.Network]:
    """Yield disjoint networks, two thirds of them IPv4, as long as real ones are."""
    chosen = random.Random(9)
    for version, at, lengths, count in (
        (4, 1 << 24, (21, 22, 22, 23, 23, 24, 24, 24, 24), 2 * NETWORKS // 3),
        (6, 0x2000 << 112, (29, 32, 32, 32, 36, 40, 44, 48, 48, 48), NETWORKS - 2 * NETWORKS // 3),
    ):
        width = 32 if version == 4 else 128
        for _ in range(count):
            length = chosen.choice(lengths)
            size = 1 << width - length
            at = (at + size - 1) // size * size
            yield mmdb.Network(version, at, length, chosen.randrange(records))
            at += size


if __name__ == "__main__":
    main()
