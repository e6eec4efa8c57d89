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


def gathered(rows: Iterable[Row]) -> list[Batch]:
    """Return rows as a batch for each IP version, in their order, with one list of values."""
    columns = {4: Columns.empty(), 6: Columns.empty()}
    numbers: dict[str, int] = {}
    for row in rows:
        number = numbers.setdefault(row.value, len(numbers))
        columns[row.version].append_native(row.version, row.first, row.last, number, row.line)
    values = list(numbers)
    return [Batch(version, columns[version], values) for version in columns]
