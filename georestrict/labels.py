"""Labels: what else of a policy holds an address, beside its place in the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ListLabel:
    """An address is in a named list of the policy."""

    name: str


@dataclass(frozen=True, slots=True)
class NetworksLabel:
    """An address is in networks that a rule or an exception names.

    Conditions that name the same networks in the same order share a label: 1,000 rules may repeat
    ``0.0.0.0/0``.
    """

    networks: tuple[str, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once: labels are in many sets, and networks may be thousands."""
        object.__setattr__(self, "_hash", hash(self.networks))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class AsnLabel:
    """An address is announced by an AS number that a rule or an exception names."""

    number: int


Label = ListLabel | NetworksLabel | AsnLabel


class LabelSets:
    """Sets of labels by their number, each made when it is asked for.

    100 lists that overlap freely make a set for every second network: as objects, a hundred bytes
    and more each, in every process. So they are kept packed, a bit for each label and whole bytes
    for each set, which processes can share in a mapped image.

    Raises:
        ValueError: if the bytes are no such sets.
    """

    def __init__(self, labels: Sequence[Label], packed: bytes | memoryview) -> None:
        self.labels, self.packed = tuple(labels), packed
        self._width = _width(len(self.labels))
        spare = 8 * self._width - len(self.labels)
        if not packed or len(packed) % self._width:
            raise ValueError(f"{len(packed)} bytes of sets of {self._width} bytes each")
        if max(packed[self._width - 1 :: self._width]) >> (8 - spare):
            raise ValueError("a set has a label that there is not")

    @classmethod
    def of(cls, labels: Sequence[Label], sets: Iterable[int]) -> LabelSets:
        """Return sets that are given as numbers whose bits say which labels belong to them."""
        width = _width(len(labels))
        return cls(labels, b"".join(bits.to_bytes(width, "little") for bits in sets))

    def __len__(self) -> int:
        return len(self.packed) // self._width

    def __getitem__(self, number: int) -> frozenset[Label]:
        row = self.packed[number * self._width : (number + 1) * self._width]
        bits = int.from_bytes(row, "little")
        return frozenset(label for at, label in enumerate(self.labels) if bits >> at & 1)

    def unions(self, masks: Sequence[int]) -> Iterator[int]:
        """Yield for each set the union of its labels' masks, in the order of their numbers."""
        tables = []
        for first in range(0, 8 * self._width, 8):
            table = [0]
            for at in range(first, first + 8):
                mask = masks[at] if at < len(masks) else 0
                table += [known | mask for known in table]
            tables.append(table)
        columns = [self.packed[at :: self._width] for at in range(self._width)]
        for row in zip(*columns, strict=True):
            union = 0
            for table, byte in zip(tables, row, strict=True):
                union |= table[byte]
            yield union


def _width(labels: int) -> int:
    return (labels + 7) // 8 or 1
