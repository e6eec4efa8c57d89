"""The tables: by country, rule, reason, category, route, network and account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest

from georestrict.replay.page import wording
from georestrict.replay.page.finding import hits
from georestrict.replay.summary import Actions, Judged, Summary

#: How many rows are shown at once; more have to be opened.
SHOWN = 10
#: How many rows a table has at most: a browser must still be quick with them.
MOST = 1000
#: How long the name of a row may be.
LABEL = 300
#: The key of what is not told one by one.
REST = "other"

By = Callable[[Judged], Mapping[str, Actions] | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one policy decides about the requests of a row."""

    requests: int
    warned: int
    blocked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One country, rule …, by each policy."""

    key: str
    label: str
    code: bool  #: whether the label is for machines: a route, a network
    cells: tuple[Cell, ...]

    @property
    def last(self) -> Cell:
        """What the last policy decides, the one that is tried."""
        return self.cells[-1]

    @property
    def change(self) -> int:
        """How many requests more are blocked by the last policy than by the first."""
        return self.last.blocked - self.cells[0].blocked

    @property
    def warned_change(self) -> int:
        """How many more are warned."""
        return self.last.warned - self.cells[0].warned


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows, those that are hit most first."""

    name: str  #: the key of it, as in the JSON
    head: str  #: of the first column
    many: str  #: what its rows are
    rows: tuple[Row, ...]
    left_out: int

    @property
    def shown(self) -> tuple[Row, ...]:
        """The rows that are always shown."""
        return self.rows if len(self.rows) <= SHOWN + 2 else self.rows[:SHOWN]

    @property
    def more(self) -> tuple[Row, ...]:
        """The rows that have to be opened."""
        return self.rows[len(self.shown) :]

    @property
    def most(self) -> int:
        """The most hits of a row; at least 1."""
        return max((row.last.warned + row.last.blocked for row in self.rows), default=0) or 1


def of(summary: Summary) -> dict[str, Table]:
    """Return the tables that have rows, by the name of their dimension."""
    same = str
    wanted: list[tuple[str, str, str, By, Callable[[str], str], bool]] = [
        ("country", "Country", "countries", lambda it: it.by_country, _place, False),
        ("rule", "Rule", "rules", lambda it: it.by_rule, same, False),
        ("reason", "Reason", "reasons", lambda it: it.by_reason, _reason, False),
        ("category", "Kind of network", "kinds", lambda it: it.by_category, _category, False),
        ("route", "Route", "routes", lambda it: it.by_route, _rest, True),
        ("network", "Network", "networks", lambda it: it.by_network, _rest, True),
        ("account", "Account", "accounts", lambda it: it.by_account, same, False),
    ]
    found = {}
    for name, head, many, by, label, code in wanted:
        every = [by(judged) or {} for judged in summary.policies]
        keys = {key for each in every for key in each}
        # of accounts there may be a million
        first = nsmallest(MOST, keys, key=partial(_order, every))
        rows = [
            Row(
                key=key,
                label=wording.cut(label(key), LABEL),
                code=code,
                cells=tuple(_cell(each.get(key, {})) for each in every),
            )
            for key in first
        ]
        if rows:
            found[name] = Table(
                name=name, head=head, many=many, rows=tuple(rows), left_out=len(keys) - len(rows)
            )
    return found


def _cell(actions: Actions) -> Cell:
    return Cell(sum(actions.values()), actions.get("warn", 0), actions.get("block", 0))


def _order(every: Sequence[Mapping[str, Actions]], key: str) -> tuple[bool, int, int, int, str]:
    actions = [each.get(key, {}) for each in every]
    return (
        key == REST,
        -hits(actions[-1]),
        -max(map(hits, actions)),
        -sum(actions[-1].values()),
        key,
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _place(key: str) -> str:
    return _sentence(wording.place(key))


def _reason(key: str) -> str:
    return _sentence(wording.reason(key))


def _category(key: str) -> str:
    return _sentence(wording.category(key))


def _rest(key: str) -> str:
    return "all others" if key == REST else key
