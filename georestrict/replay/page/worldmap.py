"""The world map: each country shaded by how many of its requests are hit.

The shades are one hue that gets darker (in the dark scheme lighter), so that they keep their order
for colour-blind readers and on paper; hatching tells countries without hits from those without
requests; and the countries that are hit most have numbers, which the list beside the map explains.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from georestrict.countries import NAMES
from georestrict.replay.page import wording
from georestrict.replay.page.finding import hits
from georestrict.replay.summary import Actions, Summary

#: How many shades there are: more are hard to tell apart (Brewer 2003 advises 5 to 7).
SHADES = 5
#: How many countries get a number.
NUMBERED = 5
#: How far apart two numbers must be, in units of the map; their circles are 90 wide on a phone.
APART = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """One country on the map."""

    code: str
    told: str  #: what is said of it; empty where it has no requests
    shade: str  #: the class of its style
    path: str
    dot: tuple[int, int] | None  #: where its dot is, if it has requests and is too small


@dataclass(frozen=True, slots=True)
class Number:
    """A country's number on the map, and which point of it is meant."""

    rank: int
    x: int
    y: int
    of: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A country in the list beside the map."""

    rank: int
    label: str
    hits: int


@dataclass(frozen=True, slots=True)
class Shade:
    """A line of the legend."""

    name: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldMap:
    """What is drawn."""

    width: int
    height: int
    countries: tuple[Country, ...]
    numbers: tuple[Number, ...]
    ranked: tuple[Ranked, ...]
    legend: tuple[Shade, ...]
    undrawn: tuple[tuple[str, Actions], ...]  #: countries with requests that have no place on it
    placeless: tuple[tuple[str, Actions], ...]  #: requests without a country

    @classmethod
    def of(cls, summary: Summary) -> WorldMap:
        """Draw what the last policy decides."""
        by = summary.policies[-1].by_country if summary.policies else {}
        world = outlines()
        places: dict[str, dict[str, Any]] = world["places"]
        hit = {code: hits(actions) for code, actions in by.items() if code in NAMES}
        floors = shades(max(hit.values(), default=0))
        order = sorted((code for code in hit if hit[code]), key=lambda code: (-hit[code], code))
        top = order[:NUMBERED]
        return cls(
            width=world["width"],
            height=world["height"],
            countries=tuple(
                Country(
                    code=code,
                    told=_told(code, by[code]) if code in by else "",
                    shade=_shade(hit[code], floors) if code in hit else "none",
                    path=place.get("path", ""),
                    dot=tuple(place["at"]) if place.get("dot") and code in hit else None,
                )
                for code, place in places.items()
            ),
            numbers=tuple(_numbers((rank, *places[code]["at"])
                                   for rank, code in enumerate(top, 1) if code in places)),
            ranked=tuple(Ranked(rank, wording.place(code), hit[code])
                         for rank, code in enumerate(top, 1)),
            legend=_legend(floors),
            undrawn=tuple((wording.place(code), by[code]) for code in hit if code not in places),
            placeless=tuple((wording.place(key), by[key]) for key in by if key not in NAMES),
        )  # fmt: skip

    def left_out(self) -> str:
        """Name what has no place on the map, with how many requests and hits."""
        return "; ".join(
            f"{label}: {wording.several(sum(actions.values()), 'request')}, "
            f"{hits(actions):,} of them hit"
            for label, actions in (*self.undrawn, *self.placeless)
        )


@cache
def outlines() -> dict[str, Any]:
    """Return the outlines of the world; ``data/outlines.py`` makes the file."""
    text = resources.files(__package__).joinpath("world.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def shades(most: int) -> list[int]:
    """Return from how many hits on each shade is used: 1, and powers of ten.

    The last one has ``most`` in it; where there are too many powers, the first shade has several.
    """
    powers = [10**power for power in range(len(str(most)))] if most else []
    return [1, *powers[-SHADES + 1 :]] if len(powers) > SHADES else powers


def _shade(hit: int, floors: list[int]) -> str:
    if not hit:
        return "spared"
    steps = sum(hit >= floor for floor in floors)
    return f"s{SHADES - len(floors) + steps}"


def _legend(floors: list[int]) -> tuple[Shade, ...]:
    found = [Shade("none", "no requests"), Shade("spared", "requests, none of them hit")]
    for step, floor in enumerate(floors):
        name = f"s{SHADES - len(floors) + step + 1}"
        if step + 1 == len(floors):
            found.append(Shade(name, f"{floor:,} or more"))
        else:
            found.append(Shade(name, f"{floor:,} to {floors[step + 1] - 1:,}"))
    return tuple(found)


def _told(code: str, actions: Actions) -> str:
    total = sum(actions.values())
    return (
        f"{wording.place(code)}: {wording.several(total, 'request')}, "
        f"{actions.get('warn', 0):,} warned, {actions.get('block', 0):,} blocked"
    )


def _numbers(wanted: Iterable[tuple[int, int, int]]) -> Iterable[Number]:
    """Yield the numbers; one that would cover another moves aside."""
    taken: list[tuple[int, int]] = []
    sides = [(0, 0), (0, -1), (1, 0), (-1, 0), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)]
    for rank, x, y in wanted:
        spots = [(x + dx * APART, y + dy * APART) for dx, dy in sides]
        free = (
            (left, top) for left, top in spots
            if all(abs(left - a) >= APART or abs(top - b) >= APART for a, b in taken)
        )  # fmt: skip
        spot = next(free, (x, y))
        taken.append(spot)
        yield Number(rank, *spot, of=(x, y))
