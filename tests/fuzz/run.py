"""Fuzz the header and address parsers for a while, guided by the coverage of the Python code.

``python tests/fuzz/run.py [seconds] [corpus folder] [seed]``, 90 seconds if not said; needs atheris.
The seed is 1 if not said, so that a change fails the tests, not luck; by hand, take others. What
guides is the coverage of the plain Python core and of everything around it; the compiled core
answers each input, too, and must say the same. An input that fails is written to ``tests/fuzz/seeds``:
mend what it shows, give it a telling name, commit it, and every ``make test`` replays it.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEDS = ROOT / "tests/fuzz/seeds"
sys.path.insert(0, str(ROOT))


def main() -> None:
    """Run libFuzzer over the target; it ends the process, with an error if an input failed."""
    try:
        import atheris
    except ImportError:
        sys.exit(
            "NOT RUN: the fuzzer needs atheris, which has no wheel for this Python or platform"
        )
    seconds = sys.argv[1] if len(sys.argv) > 1 else "90"
    found = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="georestrict-fuzz-")
    logging.disable()  # refused requests are logged, and there are many
    with atheris.instrument_imports(include=["georestrict"]):
        from tests.fuzz.target import SIDES, check

    def run(data: bytes) -> int:
        return 0 if check(data) else -1  # -1: not worth keeping

    print(f"fuzzing for {seconds} s, {len(SIDES)} core(s), {len(list(SEEDS.iterdir()))} seeds")
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-seed={sys.argv[3] if len(sys.argv) > 3 else 1}",
            f"-artifact_prefix={SEEDS}/new-",
            f"-dict={SEEDS.parent / 'words.dict'}",
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            found,
            str(SEEDS),
        ],
        run,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
