"""What ``make test`` and ``make test-all`` run, in order; ends with one line that sums it up.

The suite runs once on the compiled core, where it was built, and once on the plain Python one.
``--slow`` runs the long checks instead; ``--all`` runs both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from georestrict import BACKEND

ROOT = Path(__file__).parents[1]
FUZZ_SECONDS = "90"


def steps(wanted: str | None) -> list[tuple[str, list[str], dict[str, str]]]:
    """The name, command and environment of each step."""
    pytest = [sys.executable, "-m", "pytest"]
    quick, slow = [*pytest, "-m", "not slow"], [*pytest, "-m", "slow"]
    found: list[tuple[str, list[str], dict[str, str]]] = []
    if wanted != "--slow":
        if BACKEND == "compiled":
            found.append(("suite, compiled core", quick, {"GEORESTRICT_BACKEND": "compiled"}))
        found.append(("suite, plain Python core", quick, {"GEORESTRICT_BACKEND": "python"}))
    if wanted is not None:
        found.append(("long checks", slow, {}))
        found.append(
            (f"fuzzing, {FUZZ_SECONDS} s", [sys.executable, "tests/fuzz/run.py", FUZZ_SECONDS], {})
        )
        if BACKEND == "compiled":
            found.append(("instructions", [sys.executable, "benchmarks/instructions.py"], {}))
            found.append(("sanitizers", [sys.executable, "tests/sanitize.py"], {}))
            found.append(("wheel and sdist", [sys.executable, "tests/wheel.py"], {}))
            found.append(
                (
                    "fresh clone, no compiler",
                    [sys.executable, "tests/clone.py"],
                    {"CC": "false", "GEORESTRICT_REQUIRE_COMPILED": "0"},
                )
            )
    return found


def main() -> int:
    """Run every step, even after one failed; return the exit code."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    failed = []
    for name, command, environment in steps(wanted):
        print(f"== {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run(
            command, cwd=ROOT, env=os.environ | environment, check=False
        ).returncode
        print(
            f"== {name}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - start:.0f} s",
            flush=True,
        )
        if code:
            failed.append(name)
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all passed"
    print(f"georestrict, {BACKEND} core: {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
