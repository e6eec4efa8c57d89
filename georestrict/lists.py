"""The policy's lists and networks: read from files and painted over a database.

Every list, and the networks of every rule, is one more layer over the database's runs. The result
is a table of its own, in which an address's class tells its class in the database and the labels
of the lists that hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from georestrict._core import Columns, Runs, Table, grow, merge, parse_network, relabel, resolve
from georestrict.database import Database
from georestrict.errors import ConfigurationError, FormatError
from georestrict.policy import ListFile, Policy
from georestrict.sources.networks import NetworkList, parse
from georestrict.tomlfile import read_bytes


@dataclass(frozen=True, slots=True)
class ListLabel:
    """An address is in a named list of the policy."""

    name: str


@dataclass(frozen=True, slots=True)
class RuleLabel:
    """An address is in the networks of a rule."""

    name: str


Label = ListLabel | RuleLabel


def load_list(policy: Policy, name: str, source: ListFile) -> NetworkList:
    """Read one of a policy's lists.

    Raises:
        ConfigurationError: if it cannot be read, has a bad line, or is empty and must not be.
    """
    place = f"{policy.place}: lists.{name}.path"
    data = read_bytes(source.path, place)
    try:
        networks = parse(data, str(source.path))
    except FormatError as error:
        raise ConfigurationError(f"{place}: {error}") from error
    if not len(networks) and not source.allow_empty:
        raise ConfigurationError(
            f"{place}: {source.path} has no networks, so its rules would match nothing; "
            f"fill it, or set allow_empty = true under [lists.{name}]"
        )
    return networks


def parsed_networks(texts: Iterable[str]) -> NetworkList:
    """Return the networks of a rule, which were checked before."""
    networks = NetworkList(Columns.empty(), Columns.empty())
    for text in texts:
        version, first, last = parse_network(text)
        columns = networks.ipv4 if version == 4 else networks.ipv6
        columns.append_native(version, first, last, 1)
    return networks


def paint_lists(
    database: Database, members: Sequence[tuple[Label, NetworkList]]
) -> tuple[Table, list[tuple[int, frozenset[Label]]]]:
    """Lay lists over the database's runs.

    Return a table, and what each of its classes means: a class of the database, and the labels
    that hold there.
    """
    nothing: frozenset[Label] = frozenset()
    if not members:
        return database.table, [(number, nothing) for number in range(len(database.classes))]
    classes: dict[tuple[int, frozenset[Label]], int] = {}
    painted: list[Runs] = []
    for version in (4, 6):
        above: Runs = resolve(Columns.empty())
        meanings = [nothing]
        for label, networks in members:
            columns = networks.ipv4 if version == 4 else networks.ipv6
            above, pairs = merge(above, resolve(columns))
            meanings = [
                meanings[left] | {label} if right else meanings[left] for left, right in pairs
            ]
        runs, pairs = merge(database.table.runs(version), above)
        numbers = [
            classes.setdefault((left, meanings[right]), len(classes)) for left, right in pairs
        ]
        painted.append(relabel(runs, numbers))
    cells, root4, root6 = grow(*painted)
    return Table(cells, root4, root6, len(classes)), list(classes)


def holding(columns: Columns, version: int, value: int) -> Iterable[tuple[Any, Any, int]]:
    """Yield the ends and the line of every range that holds an address."""
    kind, shift = (IPv4Address, 96) if version == 4 else (IPv6Address, 0)
    for first_high, first_low, last_high, last_low, _, line in zip(*columns, strict=True):
        first, last = (first_high << 64 | first_low) >> shift, (last_high << 64 | last_low) >> shift
        if first <= value <= last:
            yield kind(first), kind(last), line
