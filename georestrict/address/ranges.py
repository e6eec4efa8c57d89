"""The networks of trusted proxies, as an owner names them."""

from __future__ import annotations

from collections.abc import Iterable

from georestrict._core import Trusted, parse_network
from georestrict.errors import ConfigurationError


class Ranges:
    """Networks to test addresses against; IPv4-mapped ones are IPv4.

    Raises:
        ConfigurationError: for an entry that is no network, or if there is none.
    """

    __slots__ = ("text", "trusted")

    def __init__(self, ranges: Iterable[str], owner: str, *, may_be_none: bool = False) -> None:
        if isinstance(ranges, str) or not isinstance(ranges, Iterable):
            raise ConfigurationError(f"{owner}: ranges must be a list of networks, got {ranges!r}")
        self.text = tuple(ranges)
        if not self.text and not may_be_none:
            raise ConfigurationError(
                f"{owner}: name at least one trusted range, such as '10.0.3.0/24'"
            )
        spans = []
        for entry in self.text:
            if not isinstance(entry, str):
                raise ConfigurationError(f"{owner}: range {entry!r} must be text")
            try:
                spans.append(parse_network(entry))
            except ValueError as error:
                raise ConfigurationError(f"{owner}: trusted range {entry!r}: {error}") from None
        self.trusted = Trusted(spans)

    @property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """IP version, first and last address of each."""
        return self.trusted.spans

    def __contains__(self, parsed: tuple[int, int]) -> bool:
        return self.trusted.holds(*parsed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.trusted.spans == other.trusted.spans

    def __hash__(self) -> int:
        return hash(self.trusted.spans)
