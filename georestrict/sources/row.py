"""The row that every reader yields."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """Addresses ``first`` to ``last``, both included, as numbers of one IP version."""

    version: int  # 4 or 6
    first: int
    last: int
    value: str  # empty where the format has none
    line: int  # where the row stands in its file, from 1
