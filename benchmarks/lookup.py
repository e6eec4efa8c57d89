"""How long one lookup of a country takes.

Ours, compiled and in plain Python, and nine other ways to ask. All but iptocc are given the data of
our own image, and must give the same answers before anything is timed; how many of iptocc's
differ is part of the result. What is timed is each peer's own call, without taking the code out of
the record that it returns.

The traces have 1,000,000 addresses. Three of ranges that have a country: one random address in
each range (*per range*: whatever is asked is cold), addresses drawn from all alike (*uniform*), and
1,000 of those again and again (*hot*). And one in each range that has none (*miss*).

The candidates that a demand is about run over the whole trace in each round; the others, to keep
the time within minutes, over a part of it, another one in each round. A short run would find in the
caches what the candidate before it left there, so each runs over the part before, untimed. In each
group georestrict and the empty loop run over the same addresses, and ratios are formed within a
group, round by round.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from operator import ne
from typing import Any, NamedTuple

from benchmarks.common import ROUNDS, loop, save, spread, target, time_round
from benchmarks.peers import InC, Peer, in_c, mmdb, own_data, plain_python, same_data
from benchmarks.ranges import Range, per_range, ranges, uniform
from georestrict import Database

ADDRESSES = 1_000_000
OURS, PLAIN, IPTOCC = "georestrict", "georestrict, plain Python", "iptocc"
MAXMINDDB, IN_C, EMPTY = "maxminddb C", "libmaxminddb in C", "empty loop"
FAMILIES = {"IPv4": 4, "IPv6": 6}
# Addresses a round, and who runs over them.
WHOLE = {"IPv4": (OURS, IPTOCC, MAXMINDDB, IN_C), "IPv6": (OURS, IPTOCC)}
OTHERS = ("maxminddb-rust", "pytricia", "py-radix", "ipaddress + bisect")
PARTS = {
    20_000: (OURS, PLAIN, MAXMINDDB, IN_C, *OTHERS),
    2_000: (OURS, "geoip2", "maxminddb pure"),
}


class Target(NamedTuple):
    """What issue 3 demands: so many times faster than a peer."""

    family: str
    trace: str
    peer: str
    wanted: float
    stretch: float | None = None
    ours: str = OURS


TARGETS = [
    Target("IPv4", "hot", IPTOCC, 2.0, 2.5),
    Target("IPv4", "uniform", IPTOCC, 1.4, 1.8),
    Target("IPv4", "per range", IPTOCC, 1.05, 1.4),
    Target("IPv6", "per range", IPTOCC, 2.0, 3.0),
    Target("IPv4", "hot", MAXMINDDB, 15.0),
    Target("IPv4", "uniform", MAXMINDDB, 10.0),
    Target("IPv4", "per range", MAXMINDDB, 8.0),
    Target("IPv4", "per range", IN_C, 3.0),
    Target("IPv4", "hot", MAXMINDDB, 1.0, ours=PLAIN),
    Target("IPv4", "uniform", MAXMINDDB, 1.0, ours=PLAIN),
    Target("IPv4", "per range", MAXMINDDB, 1.0, ours=PLAIN),
]

Rounds = list[dict[str, float]]  # of one group: nanoseconds a call, by candidate


def main() -> None:
    """Measure both families on all traces, and write the result."""
    database = Database.open()
    by_version = {version: ranges(database, version) for version in FAMILIES.values()}
    compiled = mmdb(by_version)
    peers = same_data(by_version)
    c_program = in_c(compiled)
    ours = {OURS: Peer(database.country, database.country), PLAIN: plain_python()}
    results: dict[str, Any] = {
        "rounds": ROUNDS,
        "ranges": {family: len(by_version[version]) for family, version in FAMILIES.items()},
        "mmdb_bytes": compiled.stat().st_size,
        "not_run": {IN_C: c_program} if isinstance(c_program, str) else {},
    }
    measured: dict[tuple[str, str, int], Rounds] = {}
    for family, version in FAMILIES.items():
        asked = ours | peers[version] | own_data()
        groups = groups_of(family)
        results[family] = {}
        for trace, draw in TRACES.items():
            addresses = draw(by_version[version], version)
            differ = check(addresses, groups, asked, c_program, known=trace != "miss")
            found = measure(addresses, groups, asked, c_program)
            measured |= {(family, trace, size): rounds for size, rounds in found.items()}
            results[family][trace] = {
                "addresses": len(addresses),
                "iptocc_differs": differ,
                "by_addresses_a_round": {str(size): told(rounds) for size, rounds in found.items()},
            }
            whole = results[family][trace]["by_addresses_a_round"][str(ADDRESSES)]
            print(
                f"lookup, {family} {trace}: georestrict {whole[OURS]['net_ns']['median']:.0f} ns, "
                f"iptocc {whole[IPTOCC]['net_ns']['median']:.0f} ns",
                flush=True,
            )
    results["targets"] = [judge(one, measured) for one in TARGETS]
    save("lookup", results)


def draw_per_range(ranges: list[Range], version: int) -> list[str]:
    """One address in each range that has a country."""
    return per_range([one for one in ranges if one.country], version, ADDRESSES, 1)


def draw_uniform(ranges: list[Range], version: int) -> list[str]:
    """Addresses of all that have a country."""
    return uniform([one for one in ranges if one.country], version, ADDRESSES, 2)


def draw_hot(ranges: list[Range], version: int) -> list[str]:
    """A thousand addresses, again and again."""
    known = [one for one in ranges if one.country]
    return uniform(known, version, 1000, 2) * (ADDRESSES // 1000)


def draw_miss(ranges: list[Range], version: int) -> list[str]:
    """One address in each range that has no country."""
    return per_range([one for one in ranges if not one.country], version, ADDRESSES, 3)


TRACES: dict[str, Callable[[list[Range], int], list[str]]] = {
    "hot": draw_hot,
    "uniform": draw_uniform,
    "per range": draw_per_range,
    "miss": draw_miss,
}


def groups_of(family: str) -> dict[int, tuple[str, ...]]:
    """Return who runs over how many addresses a round."""
    return {ADDRESSES: WHOLE[family], **PARTS}


def check(
    addresses: list[str],
    groups: dict[int, tuple[str, ...]],
    asked: dict[str, Peer],
    c_program: InC | str,
    *,
    known: bool,
) -> dict[str, int]:
    """Compare all answers that will be timed; return how iptocc's differ."""
    right = [asked[OURS].country(address) for address in addresses]
    assert all((answer is not None) is known for answer in right)
    if isinstance(c_program, InC):
        assert c_program.countries(addresses) == right, f"{IN_C} gives other answers"
    for size, names in groups.items():
        asked_for = addresses[: size * (ROUNDS + 1)]
        for name in {*names} - {IN_C, IPTOCC}:
            answers = map(asked[name].country, asked_for)
            wrong = sum(map(ne, answers, right))
            assert not wrong, f"{name} gives {wrong} other answers"
    pairs = Counter(zip(right, map(asked[IPTOCC].country, addresses), strict=True))
    unlike = {(ours, theirs): count for (ours, theirs), count in pairs.items() if ours != theirs}
    return {
        "all": sum(unlike.values()),
        "only_ours_none": sum(count for (ours, _), count in unlike.items() if ours is None),
        "only_theirs_none": sum(count for (_, theirs), count in unlike.items() if theirs is None),
    }


def measure(
    addresses: list[str],
    groups: dict[int, tuple[str, ...]],
    asked: dict[str, Peer],
    c_program: InC | str,
) -> dict[int, Rounds]:
    """Time the groups in turn, round by round."""

    def runs(names: tuple[str, ...], part: list[str]) -> dict[str, Callable[[], object]]:
        found: dict[str, Callable[[], object]] = {EMPTY: loop(None, part)}
        for name in names:
            if name != IN_C:
                found[name] = loop(asked[name].call, part)
            elif isinstance(c_program, InC):
                found[name] = c_program.prepare(part)
        return found

    timed: dict[int, Rounds] = {size: [] for size in groups}
    gc.collect()
    gc.freeze()  # a million texts and tree nodes, which a collection would count as a peer's time
    gc.disable()
    for number in range(ROUNDS):
        for size, names in groups.items():
            if size == len(addresses):
                timed[size].append(time_round(runs(names, addresses), size, number))
                continue
            before, part = (addresses[at * size : (at + 1) * size] for at in (number, number + 1))
            timed[size].append(time_round(runs(names, part), size, number, runs(names, before)))
    gc.enable()
    gc.unfreeze()
    return timed


def net(one: dict[str, float], name: str) -> float:
    """A lookup without the loop around it; that of C is in C, and stays in."""
    return one[name] if name == IN_C else one[name] - one[EMPTY]


def told(rounds: Rounds) -> dict[str, Any]:
    """What a group's rounds come to, by candidate."""
    found: dict[str, Any] = {}
    for name in rounds[0]:
        found[name] = {"ns": spread((one[name] for one in rounds), 1)}
        if name != EMPTY:
            found[name]["net_ns"] = spread((net(one, name) for one in rounds), 1)
            found[name]["over_georestrict"] = ratios(rounds, name, OURS)
    return found


def ratios(rounds: Rounds, name: str, base: str) -> dict[str, dict[str, float]]:
    """How many times the base's time a candidate takes, round by round."""
    return {
        "net": spread((net(one, name) / net(one, base) for one in rounds), 3),
        "with_loop": spread((one[name] / one[base] for one in rounds), 3),
    }


def judge(demand: Target, measured: dict[tuple[str, str, int], Rounds]) -> dict[str, Any]:
    """Say whether a target is met; it is when the median is, net of the empty loop."""
    groups = groups_of(demand.family)
    size = next(size for size, names in groups.items() if {demand.ours, demand.peer} <= {*names})
    rounds = measured[demand.family, demand.trace, size]
    what = f"{demand.ours} against {demand.peer}, {demand.family} {demand.trace}: times faster"
    if demand.peer not in rounds[0]:
        return target(what, demand.wanted, None, stretch=demand.stretch, at_least=True)
    found = ratios(rounds, demand.peer, demand.ours)
    net = found["net"]
    said = target(
        what,
        demand.wanted,
        net["median"],
        (net["lowest"], net["highest"]),
        stretch=demand.stretch,
        at_least=True,
    )
    return said | {"addresses_a_round": size, "with_loop": found["with_loop"]}


if __name__ == "__main__":
    main()
