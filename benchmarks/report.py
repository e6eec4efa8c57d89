"""What the result files say: the figures in the pages, and the charts beside the files.

Nothing here measures. A test holds the pages and the charts against the result files.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS

ROOT = Path(__file__).parents[1]
README, METHOD = ROOT / "README.md", ROOT / "benchmarks" / "README.md"
CHARTS = {name: RESULTS / f"{name}.svg" for name in ("lookup", "middleware", "scale")}

Found = dict[str, dict[str, Any]]  # the result files, by name

OURS, IPTOCC, MAXMINDDB = "georestrict", "iptocc", "maxminddb C"
FAMILIES, TRACES = ("IPv4", "IPv6"), ("hot", "uniform", "per range", "miss")
# of the questions about middlewares, what is not ours
PEERS = (
    *("maxminddb", "iptocc", "iptocc, no coroutine", "BaseHTTPMiddleware and maxminddb"),
    *("fastapi-guard", "fastapi-guard, pure ASGI"),
)
MILLION = "1,000,000 networks"


def write() -> None:
    """Splice the figures into the pages, and draw the charts."""
    found = read()
    for page in (README, METHOD):
        text = page.read_text(encoding="utf-8")
        page.write_text(spliced(page, text, found), encoding="utf-8")
    with chart_style():
        draw_lookup(found["lookup"])
        draw_middleware(found["middleware"], found["wsgi"])
        draw_scale(found["scale"])


def read() -> Found:
    """Read all result files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def spliced(page: Path, text: str, found: Found) -> str:
    """Return the text of a page with the figures of the result files."""
    if page == METHOD:
        parts = {
            "machine": _where(found["lookup"]),
            "targets": _targets(found),
            "answers": _answers(found["lookup"]),
            "busy": _busy(found["middleware"]),
            "instructions": _instructions(found["instructions"]),
            "load": _load(found["build"], found["lists"]),
            "hundred": _hundred(found["lists"]["hundred"]),
            "workers": _workers(found["scale"]),
            "endtoend": _endtoend(found["endtoend"]),
            "losses": _losses(found),
        }
        for name, content in parts.items():
            text = _between(text, name, name, content, "\n")
        return text
    ours = net_ns(found["lookup"], "IPv4", "hot", OURS)
    text = _between(text, "figure:lookup", "figure", f"about {ours:.0f} ns for a lookup", "")
    return _between(text, "benchmarks", "benchmarks", _table(found), "\n")


def _table(found: Found) -> str:
    rows = ["| what | georestrict | beside it |", "|---|---|---|"]
    rows += _lookup_rows(found["lookup"])
    rows += _middleware_rows(found["middleware"], found["wsgi"])
    rows.append(_start_row(found["build"]))
    rows += _endtoend_rows(found["endtoend"])
    return "\n".join([*rows, "", f"Measured with `make bench`: {_where(found['lookup'])}"])


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


def _middleware_rows(asgi: dict[str, Any], wsgi: dict[str, Any]) -> Iterator[str]:
    adds = {name: found["added_ns"] for name, found in asgi["added"].items()}
    empty = f"a middleware that does nothing: {label(adds['empty'])}"
    peers = f"maxminddb: {label(adds['maxminddb'])}; fastapi-guard: {label(adds['fastapi-guard'])}"
    yield f"| added to an allowed ASGI request | {label(adds['direct'])} | {empty}; {peers} |"
    for name, said in (
        ("proxied", "behind a proxy, 12 headers"),
        ("20 path rules", "20 path rules"),
    ):
        yield f"| the same, {said} | {label(adds[name])} | {empty} |"
    many, few = (label(adds[f"{name}, warm"]) for name in (MILLION, "10 networks"))
    yield f"| the same, 1,000,000 listed networks, warm | {many} | 10 networks: {few} |"
    adds = {name: found["added_ns"] for name, found in wsgi["added"].items()}
    yield (
        f"| added to an allowed WSGI request | {label(adds['direct'])} "
        f"| a middleware that does nothing: {label(adds['empty'])}; "
        f"maxminddb: {label(adds['maxminddb'])} |"
    )


def _start_row(build: dict[str, Any]) -> str:
    opened, loaded = build["open_ms"]["median"], build["load_seconds"]
    first, second = (loaded[name]["median"] for name in ("first worker", "second worker"))
    return (
        f"| start with 1,000,000 listed networks | {first:.2f} s; the next worker {second:.2f} s "
        f"| opening the data alone: {opened:.0f} ms |"
    )


def _endtoend_rows(endtoend: dict[str, Any]) -> Iterator[str]:
    ratios = endtoend["servers"]["uvicorn"]["ratios"]
    ours, empty, control = (
        ratios[name]["requests a second"][0]
        for name in ("guarded over bare", "empty middleware over bare", "bare over bare (A/A)")
    )
    yield (
        f"| requests a second behind uvicorn, of the bare app's | {ours:.1%} "
        f"| a middleware that does nothing: {empty:.1%}; the bare app again: {control:.1%} |"
    )


def _where(results: dict[str, Any]) -> str:
    about = results["about"]
    return (
        f"{about['date']}, Python {about['python']}, {about['machine']}, "
        f"{results['rounds']} rounds."
    )


def targets(found: Found) -> list[dict[str, Any]]:
    """Return what the issues demand, and what was measured."""
    return [
        one
        for name in (
            "lookup",
            "middleware",
            "lists",
            "build",
            "imports",
            "reloads",
            "scale",
            "rules",
            "pasts",
            "accounts",
            "observing",
            "replay",
        )
        for one in found[name]["targets"]
    ]


def _targets(found: Found) -> str:
    rows = ["| what | wanted | stretch | measured | between | met |", "|---|---|---|---|---|---|"]
    for one in targets(found):
        between = " to ".join(f"{end:.4g}" for end in one["between"])
        measured = "not run" if one["measured"] is None else f"{one['measured']:.4g}"
        met = {True: "yes", False: "**no**", None: ""}[one["met"]]
        if one["stretch_met"]:
            met = "stretch"
        rows.append(
            f"| {one['what']} | {one['wanted']} | {one['stretch'] or ''} "
            f"| {measured} | {between} | {met} |"
        )
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


def _load(build: dict[str, Any], lists: dict[str, Any]) -> str:
    rows = ["| start of an engine | 100,000 lines | 1,000,000 networks |", "|---|---|---|"]
    for name in ("no cache", "first worker", "second worker"):
        few, many = lists["start_seconds"][name], build["load_seconds"][name]["median"]
        rows.append(f"| {name} | {few:.3f} s | {many:.3f} s |")
    return "\n".join(rows)


def _hundred(many: dict[str, Any]) -> str:
    rows = ["| a lookup | no list | a hundred lists | of that without |", "|---|---|---|---|"]
    for trace, one in many["lookup"].items():
        none, hundred = (one["ns"][name]["median_ns"] for name in ("none", "hundred"))
        rows.append(f"| {trace} | {none:.0f} ns | {hundred:.0f} ns | {one['ratio']:.2f} |")
    none, hundred = (many["request"][name] for name in ("none", "hundred"))
    for kind in ("warm", "cold"):
        few, more = (one[f"added_{kind}_ns"] for one in (none, hundred))
        ratio = f"{more / few:.2f}"
        rows.append(f"| added to a request, {kind} | {few:.0f} ns | {more:.0f} ns | {ratio} |")
    rows += ["", "| start | seconds | memory of its own, MiB | at most, MiB |", "|---|---|---|---|"]
    for state, one in many["start"].items():
        memory = f"{one['more_private_mib']:.0f} | {one['peak_resident_mib']:.0f}"
        rows.append(f"| {state} | {one['start_seconds']:.2f} | {memory} |")
    rows += ["", f"{many['sets']:,} different sets of lists hold somewhere."]
    return "\n".join(rows)


def _workers(scale: dict[str, Any]) -> str:
    rows = ["| workers | all together (PSS), MiB | private of each, MiB |", "|---|---|---|"]
    none = scale["workers, no list"]["2"]
    rows.append(f"| 2, no list | {none['total_pss_mib']} | {none['private_each_mib']} |")
    for count, one in scale["workers"].items():
        rows.append(f"| {count} | {one['total_pss_mib']} | {one['private_each_mib']} |")
    return "\n".join(rows)


def _endtoend(endtoend: dict[str, Any]) -> str:
    figures = ("requests a second", "p50 µs", "p99 µs", "processor µs a request")
    rows = [f"| over the bare app | {' | '.join(figures)} |", "|---|---|---|---|---|"]
    for server, measured in endtoend["servers"].items():
        for name, ratios in measured["ratios"].items():
            told = (f"{ratios[one][0]:.3f} ({_span(ratios[one][1])})" for one in figures)
            rows.append(f"| {server}: {name} | {' | '.join(told)} |")
    pairs = endtoend["starts"] * endtoend["blocks_each"]
    rows += ["", f"{endtoend['starts']} starts, {pairs} pairs."]
    for server, measured in endtoend["servers"].items():
        added, bare = measured["added_processor_us"], measured["bare"]
        rows.append(
            f"Behind {server} a bare request takes {bare['processor µs a request']:.1f} µs of its "
            f"processor, ours {added['guarded']:.2f} µs more, an empty middleware "
            f"{added['empty']:.2f} µs more."
        )
    return "\n".join(rows)


def _busy(middleware: dict[str, Any]) -> str:
    tight, busy = middleware["added"], middleware["added_busy"]
    rows = ["| added to a request | in a tight loop | busy | of an empty one, busy |"]
    rows.append("|---|---|---|---|")
    for name, found in busy.items():
        rows.append(
            f"| {name} | {label(tight[name]['added_ns'])} | {label(found['added_ns'])} "
            f"| {found['over_empty']:.2f} ({_span(found['over_empty_95_percent'])}) |"
        )
    return "\n".join(rows)


def _instructions(counted: dict[str, Any]) -> str:
    rows = ["| instructions of one call | core | total |", "|---|---|---|"]
    for name, found in counted["figures"].items():
        rows.append(f"| {name} | {found['core']:,.0f} | {found['total']:,.0f} |")
    return "\n".join(rows)


def _span(ends: Sequence[float]) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def _losses(found: Found) -> str:
    """Every demand that is not met, and everything that is slower than what it is compared with."""
    rows = [
        f"- Demanded and not met: {one['what']} {one['wanted']}; measured {one['measured']:.4g}."
        for one in targets(found)
        if one["met"] is False
    ]
    rows += _lookup_losses(found["lookup"])
    for name in ("middleware", "wsgi"):
        rows += _middleware_losses("ASGI" if name == "middleware" else "WSGI", found[name])
    rows += _growth_losses(found["scale"])
    for server, measured in found["endtoend"]["servers"].items():
        ratio, ends = measured["ratios"]["guarded over bare"]["processor µs a request"]
        added = measured["added_processor_us"]
        if ends[0] > 1:
            rows.append(
                f"- Behind {server} a guarded request takes {ratio:.3f} of the processor time of a "
                f"bare one: {added['guarded']:.1f} µs more, an empty middleware "
                f"{added['empty']:.1f} µs more."
            )
    return "\n".join(rows)


def _lookup_losses(lookups: dict[str, Any]) -> Iterator[str]:
    for family in FAMILIES:
        for trace in TRACES:
            for name in candidates(lookups, family, trace):
                faster = entry(lookups, family, trace, name)["over_georestrict"]["net"]["median"]
                if faster < 1:
                    yield f"- {name} takes {faster:.2f} of our time, {family} {trace}."


def _middleware_losses(kind: str, results: dict[str, Any]) -> Iterator[str]:
    added, whole = results["added"], results["whole_request_ns"]
    adds = {name: one["added_ns"] for name, one in added.items()}
    for name, one in added.items():
        if name not in PEERS and one["over_empty_95_percent"][0] > 1:
            peers = {peer: adds[peer] for peer in PEERS if adds.get(peer, adds[name]) < adds[name]}
            peers = {"an empty middleware": adds["empty"], **peers}
            yield f"- {kind}, {name}: {label(adds[name])} added; {_listed(peers)}."
    for name, one in results.get("added_busy", {}).items():
        if name not in PEERS and one["over_empty_95_percent"][0] > 1:
            empty = results["added_busy"]["empty"]["added_ns"]
            yield (
                f"- {kind}, {name}, busy: {label(one['added_ns'])} added; "
                f"an empty middleware {label(empty)}."
            )
    ours = whole["direct, blocking"]
    peers = {
        name.removesuffix(", blocking"): took
        for name, took in whole.items()
        if name.partition(", ")[0] in PEERS and took < ours
    }
    if peers:
        yield f"- {kind}, a blocked request, all of it: {label(ours)}; {_listed(peers)}."


def _growth_losses(scale: dict[str, Any]) -> Iterator[str]:
    few, many = scale["networks"]["10"], scale["networks"]["1,000,000"]
    for kind, said in (("warm", "warm"), ("cold", "caches evicted before each batch")):
        one, other = few[f"added_{kind}_ns"], many[f"added_{kind}_ns"]
        if other > one:
            yield (
                f"- 1,000,000 listed networks, {said}: {label(other)} added; "
                f"10 networks {label(one)}."
            )


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {label(took)}" for name, took in figures.items())


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


GREY = "#797979"  # as far from white as from black, so it reads on either
COLOURS = ("#3b8ed6", "#2f9e62", "#d9742b", "#9b6bd0")


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw on nothing, in colours that read on white and on black, the same file every time."""
    import matplotlib

    settings = {
        "svg.hashsalt": "georestrict",
        "svg.fonttype": "none",
        "text.color": GREY,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": GREY,
        "grid.alpha": 0.25,
    }
    with matplotlib.rc_context(settings):
        yield


def _keep(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    # matplotlib leaves blanks at the ends of lines
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


def draw_lookup(lookups: dict[str, Any]) -> None:
    """Draw all candidates on all traces: a point for the median, a line from lowest to highest."""
    from matplotlib import pyplot

    colours = dict(zip(TRACES, COLOURS, strict=True))
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
        panel.grid(visible=False, axis="y")
    points = [
        pyplot.Line2D([], [], marker="o", linestyle="", color=colours[trace], label=trace)
        for trace in TRACES
    ]
    figure.legend(handles=points, loc="outside lower center", ncols=len(TRACES), frameon=False)
    _keep(figure, CHARTS["lookup"])


def draw_middleware(asgi: dict[str, Any], wsgi: dict[str, Any]) -> None:
    """Draw what every middleware adds to a request, ours and the others in their colours."""
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    kinds = {"georestrict": COLOURS[0], "a middleware that does nothing": GREY, "peers": COLOURS[2]}
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 5.4), layout="constrained")
    for panel, (title, results) in zip(panels, {"ASGI": asgi, "WSGI": wsgi}.items(), strict=True):
        adds = {name: found["added_ns"] for name, found in results["added"].items()}
        names = sorted(adds, key=lambda name: -adds[name])
        for row, name in enumerate(names):
            kind = "peers" if name in PEERS else "georestrict"
            colour = kinds["a middleware that does nothing" if name == "empty" else kind]
            panel.plot((adds["empty"], adds[name]), (row, row), color=colour, linewidth=3)
            panel.plot(adds[name], row, "o", color=colour, markersize=8)
            panel.text(
                1.02, row, label(adds[name]), va="center", transform=panel.get_yaxis_transform()
            )
        panel.axvline(adds["empty"], color=GREY, linewidth=1)
        panel.set(xscale="log", title=f"{title}, added to a request", xlabel="nanoseconds")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_yticks(range(len(names)), names)
        panel.grid(visible=False, axis="y")
    points = [
        pyplot.Line2D([], [], marker="o", linestyle="", color=colour, label=kind)
        for kind, colour in kinds.items()
    ]
    figure.legend(handles=points, loc="outside lower center", ncols=len(kinds), frameon=False)
    _keep(figure, CHARTS["middleware"])


def growth(scale: dict[str, Any]) -> dict[str, tuple[str, dict[str, list[float]]]]:
    """Return what the chart of the growths shows: title, unit, and lines of one point each size."""
    sizes = scale["networks"].values()

    def line(key: str) -> list[float]:
        return [one[key] for one in sizes]

    counts = scale["workers"].values()
    return {
        "added to a request": (
            "nanoseconds",
            {"warm": line("added_warm_ns"), "caches evicted": line("added_cold_ns")},
        ),
        "start of an engine": (
            "seconds",
            {
                "no cache": line("start_seconds"),
                "second worker": line("second_worker_start_seconds"),
            },
        ),
        "memory of the workers": (
            "MiB",
            {
                "all together": [one["total_pss_mib"] for one in counts],
                "private of each": [one["private_each_mib"] for one in counts],
            },
        ),
    }


def draw_scale(scale: dict[str, Any]) -> None:
    """Draw what a request costs and how long a start takes, over the networks; and the workers."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(11, 4), layout="constrained")
    for panel, (title, (unit, lines)) in zip(panels, growth(scale).items(), strict=True):
        along = scale["workers" if "workers" in title else "networks"]
        places = [int(name.replace(",", "")) for name in along]
        for colour, (name, values) in zip(COLOURS, lines.items(), strict=False):
            told = f"{name}: {values[-1]:,.4g}"
            panel.plot(places, values, "o-", color=colour, markersize=5, label=told)
        panel.legend(loc="upper left", title="at the right end", frameon=False)
        networks = title != "memory of the workers"
        panel.set(
            title=title,
            ylabel=unit,
            xlabel="listed networks" if networks else f"workers, {MILLION}",
            xscale="log" if networks else "linear",
            ylim=(0, 1.35 * max(max(values) for values in lines.values())),
        )
        if not networks:
            panel.set_xticks(places)
    _keep(figure, CHARTS["scale"])


def _between(text: str, begin: str, end: str, content: str, edge: str) -> str:
    pattern = re.compile(rf"(<!-- {begin} -->).*?(<!-- /{end} -->)", re.S)
    if not pattern.search(text):
        sys.exit(f"there is no <!-- {begin} --> … <!-- /{end} --> to write the figures into")
    return pattern.sub(lambda match: f"{match[1]}{edge}{content}{edge}{match[2]}", text)
