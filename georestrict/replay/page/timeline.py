"""The timeline: strips of bars by the hour, the day or the month, one below the other.

A strip has one quantity, a title in words and its own greatest value, so no colour has to be told
from another; the strips of several policies share one scale.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from georestrict.replay.summary import Summary

#: More bars than this are joined: hours to days, days to months. On a phone one is a pixel wide.
BARS = 340

UNITS = ("hour", "day", "month")
_CUT = {"hour": 13, "day": 10, "month": 7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One row of bars."""

    kind: str  #: the class of its style
    title: str
    most: int  #: the greatest value
    when: str  #: where it is
    path: str  #: in a plane of one unit a bar, 100 high


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A row of the table: what was decided in one hour, day or month."""

    label: str
    requests: int
    cells: tuple[tuple[int, int], ...]  #: warned and blocked, by each policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The strips, and the same in a table."""

    unit: str
    bars: int
    ticks: tuple[str, ...]
    strips: tuple[Strip, ...]
    rows: tuple[Moment, ...]

    @classmethod
    def of(cls, summary: Summary, names: Sequence[str]) -> Timeline | None:
        """Draw it; None if the logs tell no time."""
        every = [_parsed(judged.timeline) for judged in summary.policies]
        moments = sorted({at for each in every for at in each})
        if not moments:
            return None
        # what was only counted by the day cannot be told by the hour
        hourly = all("T" in key for judged in summary.policies for key in judged.timeline)
        unit = _unit(moments, hourly)
        joined = [_joined(each, unit) for each in every]
        keys = [*_steps(moments[0], moments[-1], unit)]
        last = joined[-1]
        total = [sum(last[key].values()) for key in keys]
        strips = [_strip("all", "All requests", keys, total, max(total), unit)]
        for action, word in (("warn", "Warned"), ("block", "Blocked")):
            series = [[each[key].get(action, 0) for key in keys] for each in joined]
            most = max(map(max, series))
            for name, values in zip(names, series, strict=True):
                title = f"{word} by {name}" if len(names) > 1 else word
                if most:
                    strips.append(_strip(action, title, keys, values, most, unit))
        rows = [
            Moment(
                label=_label(key, unit),
                requests=total[number],
                cells=tuple((each[key].get("warn", 0), each[key].get("block", 0))
                            for each in joined),
            )
            for number, key in enumerate(keys)
        ]  # fmt: skip
        ticks = [keys[0], *([keys[len(keys) // 2]] if len(keys) > 4 else []), keys[-1]]
        return cls(
            unit=unit,
            bars=len(keys),
            ticks=tuple(_label(key, unit) for key in ticks[: len(keys)]),
            strips=tuple(strips),
            rows=tuple(rows),
        )


Series = dict[datetime, dict[str, int]]


def _parsed(timeline: Mapping[str, Mapping[str, int]]) -> Series:
    found: Series = {}
    for key, actions in timeline.items():
        at = datetime.fromisoformat(key)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        found[at] = dict(actions)
    return found


def _unit(moments: Sequence[datetime], hourly: bool) -> str:
    for unit in UNITS if hourly else UNITS[1:]:
        first, last = _start(moments[0], unit), _start(moments[-1], unit)
        if unit == "month" or (last - first) < BARS * timedelta(**{f"{unit}s": 1}):
            break
    return unit


def _start(at: datetime, unit: str) -> datetime:
    at = at.replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return at
    return at.replace(hour=0) if unit == "day" else at.replace(hour=0, day=1)


def _joined(series: Series, unit: str) -> defaultdict[datetime, dict[str, int]]:
    found: defaultdict[datetime, dict[str, int]] = defaultdict(dict)
    for at, actions in series.items():
        joined = found[_start(at, unit)]
        for action, number in actions.items():
            joined[action] = joined.get(action, 0) + number
    return found


def _steps(first: datetime, last: datetime, unit: str) -> Iterator[datetime]:
    """Yield every hour, day or month, those without requests, too."""
    at = _start(first, unit)
    while at <= last:
        yield at
        step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
        at = _start(at + (timedelta(days=31) if unit == "month" else step), unit)


def _strip(
    kind: str, title: str, keys: Sequence[datetime], values: Sequence[int], most: int, unit: str
) -> Strip:
    highest = max(values)
    parts = []
    for number, value in enumerate(values):
        if value:
            height = max(round(100 * value / most, 1), 1)  # what is there must be seen
            parts.append(f"M{number} 100v{-height:g}h.86v{height:g}z")
    return Strip(
        kind=kind,
        title=title,
        most=highest,
        when=_label(keys[values.index(highest)], unit),
        path="".join(parts),
    )


def _label(at: datetime, unit: str) -> str:
    space = "\N{NO-BREAK SPACE}"
    if unit == "month":
        return f"{at:%B}{space}{at:%Y}"
    text = f"{at.day}{space}{at:%b}{space}{at:%Y}"
    return f"{text}, {at:%H:%M}" if unit == "hour" else text
