"""Ask the benchmarks' questions, one file each, then write what the result files say.

``python benchmarks/run.py`` asks all; ``python benchmarks/run.py lookup`` only those named, and
``python benchmarks/run.py report`` none: it draws and splices from the result files as they are.
"""

from __future__ import annotations

import sys
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
    "scale",
    "instructions",
    "endtoend",
    "worst_headers",
)


def main(names: list[str]) -> None:
    """Measure, then write the figures into the pages, and the charts."""
    known = [name for name in QUESTIONS if Path(__file__).with_name(f"{name}.py").exists()]
    unknown = sorted({*names} - {*known, "report"})
    if unknown:
        sys.exit(f"no such question: {', '.join(unknown)}; known are {', '.join(known)}, report")
    for name in known:
        if not names or name in names:
            import_module(f"benchmarks.{name}").main()
    report.write()


if __name__ == "__main__":
    main(sys.argv[1:])
