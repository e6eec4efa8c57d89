"""Arithmetic over the address space: what several sources say of the same addresses.

:class:`Steps` is what one source says of all addresses of a family. An :class:`Overlay` cuts the
space wherever one of several sources changes its mind; each piece then has one answer of each, and
a size. IPv4 is counted in addresses, IPv6 in networks of /64: a row that is finer tells nothing
about a whole /64, and is left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from georestrict._core import Runs, resolve
from georestrict.sources import Batch

Units = npt.NDArray[np.uint64]
Answers = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.float64]
Where = npt.NDArray[np.bool_]

#: How many units a family has. The last /64 is multicast; it is left out, so that every number
#: fits into 64 bits.
SIZES = {4: 1 << 32, 6: (1 << 64) - 1}


class Steps(NamedTuple):
    """An answer for every unit: ``answers[i]`` from ``starts[i]`` up to the next start."""

    starts: Units  #: sorted, the first is 0
    answers: Answers  #: 0: says nothing


class Overlay:
    """Pieces of a family's space on which none of the sources changes its mind."""

    def __init__(self, family: int, sources: Mapping[str, Steps]) -> None:
        self.family = family
        self.starts = np.unique(np.concatenate([steps.starts for steps in sources.values()]))
        self.ends = np.append(self.starts[1:], np.uint64(SIZES[family]))  #: excluded
        self.sizes: Sizes = (self.ends - self.starts).astype(np.float64)
        self._answers = {name: at(steps, self.starts) for name, steps in sources.items()}

    def __getitem__(self, name: str) -> Answers:
        """What a source says of each piece."""
        return self._answers[name]


def at(steps: Steps, units: Units) -> Answers:
    """Return what a source says of each unit."""
    return steps.answers[np.searchsorted(steps.starts, units, "right") - 1]


def sums(answers: Answers, sizes: Sizes, where: Where, most: int) -> Sizes:
    """Return the size of the chosen pieces by their answer, from 0 to ``most``."""
    found = np.bincount(answers[where], sizes[where], minlength=most + 1)
    return found.astype(np.float64)


def from_batch(batch: Batch, numbers: Mapping[str, int]) -> Steps:
    """Return what a reader's rows say; of two that overlap the narrower counts, as in an image.

    ``numbers`` tells the answer that a value stands for; a value that it has not is none.
    """
    above = array("I", (value + 1 for value in batch.columns.value))  # 0: no row
    runs = resolve(batch.columns._replace(value=above))
    return from_runs(runs, batch.version, [0, *(numbers.get(value, 0) for value in batch.values)])


def from_runs(runs: Runs, family: int, numbers: Sequence[int]) -> Steps:
    """Return what a painted table says; ``numbers`` has the answer for each of its values."""
    answers = np.array(numbers, np.int64)[np.array(runs.value, np.int64)]
    news = np.append(True, answers[1:] != answers[:-1])
    answers = answers[news]
    starts = np.array(runs.high, np.uint64)[news]
    if family == 4:  # left-aligned in 128 bits
        return Steps(starts >> np.uint64(32), answers)
    # A run that begins inside a /64 leaves that /64 without an answer, and has the next.
    inside = np.array(runs.low, np.uint64)[news] != 0
    starts = np.concatenate([starts[inside] + np.uint64(1), starts])
    answers = np.concatenate([answers[inside], np.where(inside, 0, answers)])
    order = np.argsort(starts, kind="stable")
    starts, answers = starts[order], answers[order]
    last = np.append(starts[1:] != starts[:-1], True) & (starts < np.uint64(SIZES[6]))
    return joined(starts[last], answers[last])


def joined(starts: Units, answers: Answers) -> Steps:
    """Return steps without those that repeat the answer before."""
    kept = np.append(True, answers[1:] != answers[:-1])
    return Steps(starts[kept], answers[kept])
