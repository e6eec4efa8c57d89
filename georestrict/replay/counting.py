"""Counting: what was found in many frames becomes one summary, in bounded memory.

Counts of a dimension whose keys a log may choose (routes, networks) are kept for the busiest keys;
the others become ``other``. Hours become days when there are many. Distinct clients are counted
exactly up to a number, from then on by HyperLogLog. Only accounts are all kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import polars as pl

from georestrict.replay.judging import ACTIONS, CLIENTS, DIMENSIONS, ROWS, Counted, Outcome
from georestrict.replay.summary import File, Judged, Summary

OTHER = "other"
#: Keys that are kept of a dimension, and that are told in the end.
MOST_KEYS, MOST_TOLD = 1 << 16, 1000
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
        self.other = ""  #: the first line that is no request, with its place
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
        rows = _added(pl.concat([self._rows, *self._waiting]))
        self._waiting, self._number = [], 0
        rows = self._within_times(rows)
        for name in _BOUNDED:
            dimension = DIMENSIONS.index(name)
            keys = rows.filter(pl.col("dimension") == dimension).group_by("policy")
            for policy, number in keys.agg(pl.col("key").n_unique()).iter_rows():
                if number > MOST_KEYS:  # half as many, so that it is not done each time
                    rows = _busiest(rows, policy, dimension, MOST_KEYS // 2)
        self._rows = rows

    def _within_times(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with hours as long as there are not too many, then days, months, years."""
        is_time = pl.col("dimension") == DIMENSIONS.index("time")
        times = rows.filter(is_time).select("key")
        while (
            self._unit < len(_TIMES) - 1
            and times.select(_TIMES[self._unit].n_unique()).item() > MOST_TIMES
        ):
            self._unit += 1
        if self._unit == 0:
            return rows
        key = pl.when(is_time).then(_TIMES[self._unit]).otherwise("key")
        return _added(rows.with_columns(key.alias("key")))

    def summary(self, places: Sequence[str], *, by_account: bool = False) -> Summary:
        """Return what was found so far; ``places`` name the policies."""
        self._settle()
        rows = self._rows
        for policy in range(len(places)):
            for name in _BOUNDED:
                rows = _busiest(rows, policy, DIMENSIONS.index(name), MOST_TOLD)
        found: list[_By] = [{name: {} for name in _DIMENSIONS} for _ in places]
        changes: dict[tuple[str, str], Counter[str]] = {}
        for policy, dimension, key, action, requests in rows.iter_rows():
            name = DIMENSIONS[dimension]
            if name == "change":
                before, after = divmod(action, len(ACTIONS))
                pair = ACTIONS[before], ACTIONS[after]
                changes.setdefault(pair, Counter())[key] += requests
                continue
            for dimension, word in _keys(name, key):
                found[policy][dimension].setdefault(word, Counter())[ACTIONS[action]] += requests
        return Summary(
            requests=self.requests,
            unparsed=self.unparsed,
            clients=min(self._clients.count(0), self.requests),
            first=self.first,
            last=self.last,
            files=tuple(self.files),
            policies=tuple(
                self._judged(place, number, found[number], by_account)
                for number, place in enumerate(places)
            ),
            changes={pair: dict(counts.most_common()) for pair, counts in sorted(changes.items())},
        )

    def _judged(self, place: str, number: int, by: _By, by_account: bool) -> Judged:
        def ordered(dimension: str) -> dict[str, dict[str, int]]:
            """Return what was found with the most requests first, and the others last."""
            counts = by[dimension]
            most = sorted(counts, key=lambda key: (key == OTHER, -counts[key].total(), key))
            return {key: dict(counts[key]) for key in most}

        actions = Counter[str]()
        for counts in by["reason"].values():
            actions.update(counts)
        return Judged(
            policy=place,
            by_action={action: actions[action] for action in ACTIONS},
            by_reason=ordered("reason"),
            by_rule=ordered("rule"),
            by_counted={rule: sum(each.values()) for rule, each in ordered("counted").items()},
            by_country=ordered("country"),
            by_category=ordered("category"),
            by_route=ordered("route"),
            by_network=ordered("network"),
            by_account=ordered("account") if by_account else None,
            timeline={key: dict(counts) for key, counts in sorted(by["time"].items())},
            clients={  # an estimate may be too high, but nobody is there without a request
                action: min(self._clients.count(number, at), actions[action])
                for at, action in enumerate(ACTIONS)
            },
        )


_By = dict[str, dict[str, Counter[str]]]
_DIMENSIONS = (
    *("reason", "rule", "counted", "country", "category"),
    *("route", "network", "account", "time"),
)


def _keys(name: str, key: str) -> Iterator[tuple[str, str]]:
    """Yield what a row is counted by."""
    if name == "outcome":
        outcome = Outcome.from_text(key)
        yield "reason", outcome.reason
        yield "country", outcome.country
        if outcome.rule is not None:
            yield "rule", outcome.rule
        for rule in outcome.counted:
            yield "counted", rule
    elif name == "categories":
        for category in key.split(","):
            yield "category", category
    else:
        yield name, key


def _added(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by(_KEY).agg(pl.sum("requests"))


def _busiest(rows: pl.DataFrame, policy: int, dimension: int, most: int) -> pl.DataFrame:
    """Return rows with so many keys of a dimension, the busiest; the others are one."""
    asked = (pl.col("policy") == policy) & (pl.col("dimension") == dimension)
    sums = rows.filter(asked & (pl.col("key") != OTHER)).group_by("key").agg(pl.sum("requests"))
    if sums.height <= most:
        return rows
    busiest = sums.sort("requests", "key", descending=[True, False]).head(most)
    kept = pl.col("key").is_in(busiest.get_column("key").implode())
    key = pl.when(asked & ~kept).then(pl.lit(OTHER)).otherwise("key")
    return _added(rows.with_columns(key.alias("key")))


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

    def count(self, policy: int, action: int | None = None) -> int:
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
