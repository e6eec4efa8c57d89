"""What the readers of providers' feeds have in common: entries, selected and made rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from georestrict._core import parse_network
from georestrict.errors import ConfigurationError, FormatError
from georestrict.sources.row import Row

_SHOWN = 60  # characters of an entry in an error message
_OFFERED = 20  # values in an error message


class Entry(NamedTuple):
    """A network as a feed writes it."""

    network: str
    place: str  # file, and the line or the path in the document
    fields: Mapping[str, tuple[str, ...]]  # what a selection may ask for
    value: str = ""  # what the feed says of the network, for its layer
    line: int = 0  # where the format has no lines, entries are counted instead


class Selection(NamedTuple):
    """Which entries of a feed are wanted: those that have one of the texts in every field.

    Written ``service=EC2``; ``service=EC2,LIGHTSAIL`` takes both; ``service=EC2; region=eu-west-1``
    takes what is in both.
    """

    written: str
    wanted: Mapping[str, frozenset[str]]

    @classmethod
    def parse(cls, written: str, fields: Iterable[str]) -> Selection:
        """Read a selection from text.

        Raises:
            ValueError: with the reason and the fix; ``fields`` are those that the format has.
        """
        known = tuple(fields)
        if not known:
            raise ValueError("cannot be used with this format, which has nothing to select by")
        wanted: dict[str, frozenset[str]] = {}
        for part in written.split(";"):
            field, _, texts = part.partition("=")
            values = frozenset(text.strip() for text in texts.split(","))
            if field.strip() not in known or field.strip() in wanted or "" in values:
                raise ValueError(
                    f"cannot be read at {part.strip()!r}: write it like '{known[0]}=NAME', with "
                    f"each of {', '.join(known)} at most once; several names with commas, several "
                    "conditions with semicolons"
                )
            wanted[field.strip()] = values
        return cls(written, wanted)

    def takes(self, entry: Entry) -> bool:
        """Tell whether an entry is wanted."""
        return all(
            not values.isdisjoint(entry.fields.get(field, ()))
            for field, values in self.wanted.items()
        )


ALL = Selection("", {})


def rows(entries: Iterable[Entry], selection: Selection, name: str) -> Iterator[Row]:
    """Yield the rows of the selected entries, in the feed's order.

    Raises:
        FormatError: naming the place of an entry that is no network, whether selected or not.
        ConfigurationError: if the selection takes none of the entries there are.
    """
    number = taken = 0
    offered: dict[str, set[str]] = {field: set() for field in selection.wanted}
    for number, entry in enumerate(entries, 1):
        try:
            version, first, last = parse_network(entry.network)
        except ValueError as error:
            raise FormatError(f"{entry.place}: {shown(entry.network)}: {error}") from error
        for field, values in offered.items():
            values.update(entry.fields.get(field, ()))
        if selection.takes(entry):
            taken += 1
            yield Row(version, first, last, entry.value, entry.line or number)
    if number and not taken:
        told = "; ".join(f"{field} is one of {_some(offered[field])}" for field in offered)
        raise ConfigurationError(
            f"{name}: select = {selection.written!r} takes none of the {number:,} entries: {told}"
        )


def shown(value: object) -> str:
    """Return a value as an error message shows it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _some(values: set[str]) -> str:
    first = ", ".join(
        text if text.isprintable() and len(text) <= _SHOWN else shown(text)
        for text in sorted(values)[:_OFFERED]
    )
    return f"{first} …" if len(values) > _OFFERED else first or "none"
