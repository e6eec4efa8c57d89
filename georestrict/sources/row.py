"""What readers yield: rows one by one, or many at once as columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from georestrict._core import Columns


class Row(NamedTuple):
    """Addresses ``first`` to ``last``, both included, as numbers of one IP version."""

    version: int  # 4 or 6
    first: int
    last: int
    value: str  # empty where the format has none
    line: int  # where the row stands in its file, from 1


class Batch(NamedTuple):
    """Rows of one IP version; the columns' values are indexes of ``values``."""

    version: int
    columns: Columns
    values: list[str]


class Gathering:
    """Rows on their way into batches."""

    def __init__(self) -> None:
        self._columns = {4: Columns.empty(), 6: Columns.empty()}
        self._numbers: dict[str, int] = {}

    def add(self, version: int, first: int, last: int, value: str, line: int) -> None:
        """Add a row."""
        number = self._numbers.setdefault(value, len(self._numbers))
        self._columns[version].append_native(version, first, last, number, line)

    def batches(self) -> list[Batch]:
        """Return a batch for each IP version, in the rows' order, with one list of values."""
        values = list(self._numbers)
        return [Batch(version, columns, values) for version, columns in self._columns.items()]


def gathered(rows: Iterable[Row]) -> list[Batch]:
    """Return rows as a batch for each IP version, in their order, with one list of values."""
    gathering = Gathering()
    for row in rows:
        gathering.add(*row)
    return gathering.batches()
