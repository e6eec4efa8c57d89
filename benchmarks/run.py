"""Run every benchmark, one file a question, and splice the figures into the README."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import lists, lookup, middleware  # noqa: E402 the path above comes first
from benchmarks.common import RESULTS  # noqa: E402 likewise


def main() -> None:
    """Measure, then write the README's figures from the result files."""
    for question in (lookup, middleware, lists):
        question.main()
    readme = ROOT / "README.md"
    readme.write_text(spliced(readme.read_text(encoding="utf-8")), encoding="utf-8")


def spliced(text: str) -> str:
    """Return the README with the figures of the result files."""
    found = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    net = found["lookup"]["hot"]["net_ns"]["georestrict"]
    text = _between(text, "figure:lookup", "figure", f"about {net:.0f} ns for a lookup", "")
    return _between(text, "benchmarks", "benchmarks", _table(found), "\n")


def _table(found: dict[str, dict[str, Any]]) -> str:
    lookups, lists = found["lookup"], found["lists"]
    rows = ["| what | georestrict | beside it |", "|---|---|---|"]
    for trace, said in (("hot", "1,000 hot addresses"), ("uniform", "1,000,000 uniform addresses")):
        ours, peer = (lookups[trace]["net_ns"][name] for name in ("georestrict", "iptocc"))
        rows.append(f"| one lookup, {said} | {ours:.0f} ns | iptocc (Rust): {peer:.0f} ns |")
    added = found["middleware"]["added"]
    for name, said in (
        ("direct", "direct"),
        ("20 path rules", "20 path rules"),
        ("proxied", "behind a proxy, 12 headers"),
    ):
        rows.append(
            f"| added to an allowed request, {said} | {added[name]['added_ns']:.0f} ns "
            f"| a middleware that does nothing: {added['empty']['added_ns']:.0f} ns |"
        )
    listed, plain = (lists["request"][name]["median_ns"] for name in ("with", "without"))
    rows.append(
        f"| one ASGI request, 100,000 listed networks | {listed:.0f} ns | no list: {plain:.0f} ns |"
    )
    listed, plain = (lists["start_seconds"][name] for name in ("with", "without"))
    rows.append(f"| start, 100,000 listed networks | {listed:.2f} s | no list: {plain:.2f} s |")
    about = lookups["about"]
    where = f"Python {about['python']}, {about['machine']}"
    return "\n".join(
        [*rows, "", f"Measured on {about['date']} with `{about['command']}`: {where}."]
    )


def _between(text: str, begin: str, end: str, content: str, edge: str) -> str:
    pattern = re.compile(rf"(<!-- {begin} -->).*?(<!-- /{end} -->)", re.S)
    if not pattern.search(text):
        sys.exit(f"README.md has no <!-- {begin} --> … <!-- /{end} --> to write the figures into")
    return pattern.sub(lambda match: f"{match[1]}{edge}{content}{edge}{match[2]}", text)


if __name__ == "__main__":
    main()
