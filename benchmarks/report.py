"""What the result files say: the figures in the pages, and the charts beside the files.

Nothing here measures. A test holds the pages and the charts against the result files.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS

ROOT = Path(__file__).parents[1]
README, METHOD = ROOT / "README.md", ROOT / "benchmarks" / "README.md"
LOOKUP_CHART = RESULTS / "lookup.svg"

Found = dict[str, dict[str, Any]]  # the result files, by name

OURS, IPTOCC, MAXMINDDB = "georestrict", "iptocc", "maxminddb C"
FAMILIES, TRACES = ("IPv4", "IPv6"), ("hot", "uniform", "per range", "miss")


def write() -> None:
    """Splice the figures into the pages, and draw the charts."""
    found = read()
    for page in (README, METHOD):
        text = page.read_text(encoding="utf-8")
        page.write_text(spliced(page, text, found), encoding="utf-8")
    draw_lookup(found["lookup"])


def read() -> Found:
    """Read all result files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def spliced(page: Path, text: str, found: Found) -> str:
    """Return the text of a page with the figures of the result files."""
    if page == METHOD:
        text = _between(text, "machine", "machine", _where(found["lookup"]["about"]), "\n")
        text = _between(text, "targets", "targets", _targets(found["lookup"]), "\n")
        text = _between(text, "answers", "answers", _answers(found["lookup"]), "\n")
        return _between(text, "losses:lookup", "losses:lookup", _losses(found["lookup"]), "\n")
    ours = net_ns(found["lookup"], "IPv4", "hot", OURS)
    text = _between(text, "figure:lookup", "figure", f"about {ours:.0f} ns for a lookup", "")
    return _between(text, "benchmarks", "benchmarks", _table(found), "\n")


def _table(found: Found) -> str:
    rows = ["| what | georestrict | beside it |", "|---|---|---|"]
    rows += _lookup_rows(found["lookup"])
    rows += _middleware_rows(found["middleware"])
    rows += _lists_rows(found["lists"])
    return "\n".join([*rows, "", f"Measured with `make bench`: {_where(found['lookup']['about'])}"])


def _lookup_rows(lookups: dict[str, Any]) -> Iterator[str]:
    for family, trace, said in (
        ("IPv4", "hot", "1,000 hot addresses"),
        ("IPv4", "uniform", "1,000,000 random addresses"),
        ("IPv4", "per range", "1,000,000 addresses, one in each range"),
        ("IPv6", "per range", "the same, IPv6"),
    ):
        ours, iptocc, maxminddb = (
            net_ns(lookups, family, trace, name) for name in (OURS, IPTOCC, MAXMINDDB)
        )
        yield (
            f"| one lookup, {said} | {ours:.0f} ns "
            f"| iptocc (Rust): {iptocc:.0f} ns; maxminddb (C): {maxminddb:.0f} ns |"
        )


def _middleware_rows(middleware: dict[str, Any]) -> Iterator[str]:
    added = middleware["added"]
    for name, said in (
        ("direct", "direct"),
        ("20 path rules", "20 path rules"),
        ("proxied", "behind a proxy, 12 headers"),
    ):
        yield (
            f"| added to an allowed request, {said} | {added[name]['added_ns']:.0f} ns "
            f"| a middleware that does nothing: {added['empty']['added_ns']:.0f} ns |"
        )


def _lists_rows(lists: dict[str, Any]) -> Iterator[str]:
    said = "100,000 listed networks"
    listed, plain = (lists["request"][name]["median_ns"] for name in ("with", "without"))
    yield f"| one ASGI request, {said} | {listed:.0f} ns | no list: {plain:.0f} ns |"
    listed, plain = (lists["start_seconds"][name] for name in ("with", "without"))
    yield f"| start, {said} | {listed:.2f} s | no list: {plain:.2f} s |"


def _where(about: dict[str, Any]) -> str:
    return (
        f"{about['date']}, Python {about['python']}, {about['machine']}, {about['rounds']} rounds."
    )


def _targets(lookups: dict[str, Any]) -> str:
    rows = ["| times faster | at least | stretch | median | lowest to highest | with the loop |"]
    rows.append("|---|---|---|---|---|---|")
    for target in lookups["targets"]:
        net, looped = target["net"], target["with_loop"]
        measured = "not run | | |"
        if net:
            median = f"{net['median']:.2f}" if target["met"] else f"**{net['median']:.2f}**"
            measured = f"{median} | {net['lowest']:.2f} to {net['highest']:.2f} | "
            measured += f"{looped['median']:.2f} |"
        stretch = target["stretch"] or ""
        rows.append(f"| {target['what']} | {target['wanted']} | {stretch} | {measured}")
    return "\n".join(rows)


def _answers(lookups: dict[str, Any]) -> str:
    rows = [
        "| trace | iptocc says otherwise | of which it has no country | of which we have none |"
    ]
    rows.append("|---|---|---|---|")
    for family in FAMILIES:
        for trace in TRACES:
            differs = lookups[family][trace]["iptocc_differs"]
            shares = (
                differs[which] / lookups[family][trace]["addresses"]
                for which in ("all", "only_theirs_none", "only_ours_none")
            )
            rows.append(f"| {family} {trace} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    return "\n".join(rows)


def _losses(lookups: dict[str, Any]) -> str:
    """Every demand that is not met, and every peer that is faster on some trace."""
    rows = [
        f"- {target['what']}: {target['net']['median']:.2f} times as fast, "
        f"{target['wanted']} demanded."
        for target in lookups["targets"]
        if target["met"] is False
    ]
    for family in FAMILIES:
        for trace in TRACES:
            for name in candidates(lookups, family, trace):
                faster = entry(lookups, family, trace, name)["over_georestrict"]["net"]["median"]
                if faster < 1:
                    rows.append(f"- {name} takes {faster:.2f} of our time, {family} {trace}.")
    return "\n".join(rows) or "- No demand is missed, and no peer is faster on any trace."


def candidates(lookups: dict[str, Any], family: str, trace: str) -> list[str]:
    """Return all that were timed on a trace, the empty loop aside."""
    groups = lookups[family][trace]["by_addresses_a_round"].values()
    return list(dict.fromkeys(name for group in groups for name in group if "loop" not in name))


def entry(lookups: dict[str, Any], family: str, trace: str, name: str) -> dict[str, Any]:
    """Return what was measured of a candidate, over as many addresses as there are."""
    groups = lookups[family][trace]["by_addresses_a_round"]
    size = max((int(size) for size, group in groups.items() if name in group), default=0)
    found: dict[str, Any] = groups[str(size)][name]
    return found


def net_ns(lookups: dict[str, Any], family: str, trace: str, name: str) -> float:
    """Return the median nanoseconds of one lookup, without the loop around it."""
    found: float = entry(lookups, family, trace, name)["net_ns"]["median"]
    return found


def label(nanoseconds: float) -> str:
    """Write a duration as the chart does."""
    if nanoseconds < 1000:
        return f"{nanoseconds:.0f} ns"
    return f"{nanoseconds / 1000:.1f} µs"


def draw_lookup(lookups: dict[str, Any]) -> None:
    """Draw all candidates on all traces: a point for the median, a line from lowest to highest."""
    import matplotlib
    from matplotlib import pyplot

    grey = "#797979"  # as far from white as from black, so it reads on either
    settings = {
        "svg.hashsalt": "georestrict",  # the same file from the same figures
        "svg.fonttype": "none",
        "text.color": grey,
        "axes.edgecolor": grey,
        "axes.labelcolor": grey,
        "xtick.color": grey,
        "ytick.color": grey,
    }
    colours = dict(zip(TRACES, ("#3b8ed6", "#2f9e62", "#d9742b", "#9b6bd0"), strict=True))
    with matplotlib.rc_context(settings):
        figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
        for panel, family in zip(panels, FAMILIES, strict=True):
            names = candidates(lookups, family, "per range")
            names.sort(key=lambda name: -net_ns(lookups, family, "per range", name))
            beside = panel.get_yaxis_transform()
            for row, name in enumerate(names):
                for trace in TRACES:
                    found, colour = entry(lookups, family, trace, name)["net_ns"], colours[trace]
                    panel.plot((found["lowest"], found["highest"]), (row, row), color=colour)
                    panel.plot(found["median"], row, "o", color=colour, markersize=5)
                told = label(net_ns(lookups, family, "per range", name))
                panel.text(1.02, row, told, va="center", transform=beside)
            panel.set(xscale="log", title=f"{family}, one lookup", xlabel="nanoseconds")
            panel.set_yticks(range(len(names)), names)
            panel.text(1.02, len(names) - 0.3, "per range", fontsize=9, transform=beside)
            panel.grid(axis="x", color=grey, alpha=0.25)
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)
        points = [
            pyplot.Line2D([], [], marker="o", linestyle="", color=colours[trace], label=trace)
            for trace in TRACES
        ]
        figure.legend(handles=points, loc="outside lower center", ncols=len(TRACES), frameon=False)
        figure.savefig(LOOKUP_CHART, transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _between(text: str, begin: str, end: str, content: str, edge: str) -> str:
    pattern = re.compile(rf"(<!-- {begin} -->).*?(<!-- /{end} -->)", re.S)
    if not pattern.search(text):
        sys.exit(f"there is no <!-- {begin} --> … <!-- /{end} --> to write the figures into")
    return pattern.sub(lambda match: f"{match[1]}{edge}{content}{edge}{match[2]}", text)
