"""The gold model of claims: what is told of an address, as a linear scan over every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

ORDER = ["tor", "vpn", "proxy", "relay", "bot", "cdn", "hosting"]
SURE = ["low", "medium", "high"]


class Said(NamedTuple):
    """A row of a source: a place, or a network as ``category:confidence:provider``."""

    first: int
    last: int
    value: str
    precedence: int = 0


def winner(rows: Iterable[tuple[int, Said]]) -> int:
    """The number of the row that wins: by precedence, confidence, narrowness, then the later."""

    def strength(numbered: tuple[int, Said]) -> tuple[int, int, int, int]:
        number, row = numbered
        sure = SURE.index(row.value.split(":")[1]) if ":" in row.value else 0
        return row.precedence, sure, row.first - row.last, number

    return max(rows, key=strength)[0]


def winners(rows: Sequence[Said], value: int) -> dict[str, int]:
    """For each category that a row claims of an address, in the order of telling, the winner."""
    held = [(at, row) for at, row in enumerate(rows) if row.first <= value <= row.last]
    said = {each: [row for row in held if row[1].value.startswith(f"{each}:")] for each in ORDER}
    return {category: winner(found) for category, found in said.items() if found}


def told(found: Sequence[str], relay: str) -> list[str]:
    """The categories that are told; what a relay that is not of low confidence runs on is not."""
    return [each for each in found if relay in ("", "low") or each in ("relay", "tor", "bot")]
