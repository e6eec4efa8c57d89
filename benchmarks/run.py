"""Ask the benchmarks' questions, one file each, then write what the result files say.

``python benchmarks/run.py`` asks all; ``python benchmarks/run.py lookup`` only those named, and
``python benchmarks/run.py report`` none: it draws and splices from the result files as they are.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402 the path above comes first

QUESTIONS = (
    "lookup",
    "middleware",
    "wsgi",
    "lists",
    "build",
    "imports",
    "scale",
    "rules",
    "pasts",
    "accounts",
    "reloads",
    "observing",
    "instructions",
    "endtoend",
    "worst_headers",
    "replay",
)


def main(names: list[str]) -> int:
    """Measure, then write the figures into the pages, and the charts; 1 if a question failed.

    Only ``instructions`` can fail: it compares with an accepted baseline, which is never replaced
    here.
    """
    unknown = sorted({*names} - {*QUESTIONS, "report"})
    if unknown:
        sys.exit(
            f"no such question: {', '.join(unknown)}; known are {', '.join(QUESTIONS)}, report"
        )
    failed = False
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GEORESTRICT_CACHE_DIR"] = cache  # not the user's own
        for name in QUESTIONS:
            if not names or name in names:
                start = time.monotonic()
                failed |= bool(import_module(f"benchmarks.{name}").main())
                print(f"{name}: asked in {time.monotonic() - start:.0f} s", flush=True)
    report.write()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
