"""Counting: what was found in many frames becomes one summary, in bounded memory.

Counts of a dimension whose keys a log may choose (routes, networks) are kept for the busiest keys;
the others become ``other``. Hours become days when there are many. Distinct clients are counted
exactly up to a number, from then on by HyperLogLog. Only accounts are all kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import polars as pl

from georestrict.replay.judging import ACTIONS, CLIENTS, ROWS, Counted
from georestrict.replay.summary import File, Judged, Summary

OTHER = "other"
#: Keys that are kept of a dimension.
MOST_KEYS = 1 << 16
#: Hours, days or months that a timeline has: a quarter in hours, six years in days.
MOST_TIMES = 24 * 92
#: Clients that are counted exactly, and the registers for more (2**14: 0.8 % off, as a rule).
MOST_CLIENTS, _REGISTER_BITS = 1 << 18, 14
#: Rows that wait before they are added up.
_MOST_WAITING = 1 << 19
#: Dimensions of which a log may choose the keys.
_BOUNDED = ("route", "network")
_BEGIN = pl.col("key").str
#: An hour as it is, its day, its month, and its year.
_TIMES = (
    pl.col("key"),
    _BEGIN.head(10),
    pl.concat_str(_BEGIN.head(7), pl.lit("-01")),
    pl.concat_str(_BEGIN.head(4), pl.lit("-01-01")),
)
_KEY = ["policy", "dimension", "key", "action"]


class Counting:
    """Adds up what was found."""

    def __init__(self) -> None:
        self.requests = self.unparsed = 0
        #: requests that events only count, so that no policy can be asked about them
        self.unjudged = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.files: list[File] = []
        self._rows = pl.DataFrame(schema=ROWS)
        self._waiting: list[pl.DataFrame] = []
        self._number = 0
        self._unit = 0  # of times
        self._clients = Clients()

    def add(self, found: Counted) -> None:
        """Add what was found in a frame."""
        self.requests += found.requests
        times = [self.first, self.last, found.first, found.last]
        known = [time for time in times if time is not None]
        if known:
            self.first, self.last = min(known), max(known)
        self._waiting.append(found.rows)
        self._number += found.rows.height
        self._clients.add(found.clients)
        if self._number > _MOST_WAITING:
            self._settle()

    def _settle(self) -> None:
        """Add up what waits, and keep what there is room for."""
        every = pl.concat([self._rows, *self._waiting])
        rows = _added(every)
        self._waiting, self._number = [], 0
        is_time = pl.col("dimension") == "time"
        while True:
            key = pl.when(is_time).then(_TIMES[self._unit]).otherwise("key").alias("key")
            rows = _added(rows.with_columns(key))
            if rows.filter(is_time).get_column("key").n_unique() <= MOST_TIMES:
                break
            if self._unit == len(_TIMES) - 1:
                break
            self._unit += 1
        kinds = rows.group_by("policy", "dimension").agg(pl.col("key").n_unique())
        for policy, dimension, keys in kinds.iter_rows():
            if dimension in _BOUNDED and keys > MOST_KEYS:
                rows = _busiest(rows, policy, dimension)
        self._rows = rows

    def summary(self, places: Sequence[str], *, by_account: bool = False) -> Summary:
        """Return what was found so far; ``places`` name the policies."""
        self._settle()
        found: dict[tuple[int, str], dict[str, dict[str, int]]] = {}
        rows = self._rows.sort("requests", "key", "action", descending=[True, False, False])
        for policy, dimension, key, action, requests in rows.iter_rows():
            found.setdefault((policy, dimension), {}).setdefault(key, {})[action] = requests
        judged = [
            self._judged(place, number, found, by_account) for number, place in enumerate(places)
        ]
        changes: dict[tuple[str, str], dict[str, int]] = {}
        for country, pairs in found.get((len(places) - 1, "change"), {}).items():
            for pair, requests in pairs.items():
                before, _, after = pair.partition(" ")
                changes.setdefault((before, after), {})[country] = requests
        return Summary(
            requests=self.requests,
            unparsed=self.unparsed,
            clients=self._clients.count(0),
            first=self.first,
            last=self.last,
            files=tuple(self.files),
            policies=tuple(judged),
            changes=changes,
        )

    def _judged(
        self,
        place: str,
        number: int,
        by: Mapping[tuple[int, str], dict[str, dict[str, int]]],
        by_account: bool,
    ) -> Judged:
        def ordered(dimension: str) -> dict[str, dict[str, int]]:
            """Return what was found with the most requests first, and the others last."""
            counts = by.get((number, dimension), {})
            most = sorted(counts, key=lambda key: (key == OTHER, -sum(counts[key].values()), key))
            return {key: counts[key] for key in most}

        actions = by.get((number, "action"), {})
        return Judged(
            policy=place,
            by_action={action: actions.get(action, {}).get(action, 0) for action in ACTIONS},
            by_reason=ordered("reason"),
            by_rule=ordered("rule"),
            by_counted={rule: sum(each.values()) for rule, each in ordered("counted").items()},
            by_country=ordered("country"),
            by_category=ordered("category"),
            by_route=ordered("route"),
            by_network=ordered("network"),
            by_account=ordered("account") if by_account else None,
            timeline=dict(sorted(by.get((number, "time"), {}).items())),
            clients={action: self._clients.count(number, action) for action in ACTIONS},
        )


def _of(policy: int, dimension: str) -> pl.Expr:
    return (pl.col("policy") == policy) & (pl.col("dimension") == dimension)


def _added(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by(_KEY).agg(pl.sum("requests"))


def _busiest(rows: pl.DataFrame, policy: int, dimension: str) -> pl.DataFrame:
    """Return rows with the busiest keys of a dimension, half as many as there is room for.

    So it is long until it has to be done again.
    """
    sums = rows.filter(_of(policy, dimension) & (pl.col("key") != OTHER)).group_by("key")
    busiest = sums.agg(pl.sum("requests")).sort("requests", "key", descending=[True, False])
    kept = busiest.head(MOST_KEYS // 2).get_column("key").implode()
    named = pl.when(_of(policy, dimension) & ~pl.col("key").is_in(kept)).then(pl.lit(OTHER))
    return (
        rows.with_columns(named.otherwise("key").alias("key"))
        .group_by(_KEY)
        .agg(pl.sum("requests"))
    )


class Clients:
    """Counts distinct clients by policy and action."""

    def __init__(self) -> None:
        self._known = pl.DataFrame(schema=CLIENTS)
        self._waiting: list[pl.DataFrame] = []
        self._number = 0
        self._registers: pl.DataFrame | None = None  # None while all are known

    def add(self, found: pl.DataFrame) -> None:
        """Add clients as hashes of 64 bits."""
        if self._registers is not None:
            self._registers = _joined([self._registers, registers_of(found)])
            return
        self._waiting.append(found)
        self._number += found.height
        if self._number > _MOST_WAITING:
            self._settle()

    def _settle(self) -> None:
        self._known = pl.concat([self._known, *self._waiting]).unique()
        self._waiting, self._number = [], 0
        if self._known.height > MOST_CLIENTS:
            self._registers, self._known = registers_of(self._known), self._known.clear()

    def count(self, policy: int, action: str | None = None) -> int:
        """Return how many there are; an estimate where there are many."""
        self._settle()
        asked = pl.col("policy") == policy
        if action is not None:
            asked &= pl.col("action") == action
        if self._registers is None:
            return self._known.filter(asked).get_column("client").n_unique()
        ranks = self._registers.filter(asked).group_by("register").agg(pl.max("rank"))
        return estimate(Counter(ranks.get_column("rank").to_list()))


def registers_of(clients: pl.DataFrame) -> pl.DataFrame:
    """Return the registers of HyperLogLog that some clients fill."""
    rest = 64 - _REGISTER_BITS
    within = pl.col("client") & pl.lit((1 << rest) - 1, pl.UInt64)
    rank = within.bitwise_leading_zeros().cast(pl.Int64) - (_REGISTER_BITS - 1)
    register = pl.col("client") // pl.lit(1 << rest, pl.UInt64)
    return _joined(
        [clients.select("policy", "action", register.alias("register"), rank.alias("rank"))]
    )


def _joined(registers: Iterable[pl.DataFrame]) -> pl.DataFrame:
    every = pl.concat(registers)
    return every.group_by("policy", "action", "register").agg(pl.max("rank"))


def estimate(ranks: Mapping[int, int]) -> int:
    """Return how many clients fill so many registers up to each rank.

    O. Ertl, New cardinality estimation algorithms for HyperLogLog sketches (arXiv:1702.01284),
    algorithm 6, which is not biased for few either.
    """
    registers, most = 1 << _REGISTER_BITS, 64 - _REGISTER_BITS
    total = registers * _tau(1 - ranks.get(most + 1, 0) / registers)
    for rank in range(most, 0, -1):
        total = (total + ranks.get(rank, 0)) / 2
    total += registers * _sigma(1 - sum(ranks.values()) / registers)
    return round(registers * registers / (2 * math.log(2) * total))


def _sigma(share: float) -> float:
    if share == 1:
        return math.inf
    found, power, term = share, 1.0, share
    while True:
        term *= term
        before, found, power = found, found + term * power, power * 2
        if found == before:
            return found


def _tau(share: float) -> float:
    if share in (0, 1):
        return 0.0
    found, power, term = 1 - share, 1.0, share
    while True:
        term, power = math.sqrt(term), power / 2
        before, found = found, found - (1 - term) ** 2 * power
        if found == before:
            return found / 3
