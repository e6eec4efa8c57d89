"""Labels: what else of a policy holds an address, beside its place in the data."""

from __future__ import annotations

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
