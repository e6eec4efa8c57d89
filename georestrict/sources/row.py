"""What readers yield: rows one by one, or many at once as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, compress
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


def renamed(batch: Batch, values: Sequence[str | None]) -> Batch:
    """Return rows with other values, without those whose value becomes None."""
    kept = [value for value in values if value is not None]
    if len(kept) == len(values):
        return batch._replace(values=kept)
    chosen = [value is not None for value in values]
    numbers = [*accumulate(chosen, initial=0)]
    taken = bytes(map(chosen.__getitem__, batch.columns.value))
    columns = Columns(*(array(c.typecode, compress(c, taken)) for c in batch.columns))
    numbered = array("I", map(numbers.__getitem__, columns.value))
    return Batch(batch.version, columns._replace(value=numbered), kept)


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
