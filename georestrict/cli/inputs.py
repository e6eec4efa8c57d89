"""What subcommands have in common: addresses from arguments or standard input, and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from georestrict._core import parse_network
from georestrict.database import Database, Match
from georestrict.extent import SUBNET


def addresses(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments; ``-`` stands for the lines of standard input."""
    for argument in arguments:
        if argument != "-":
            yield argument
            continue
        if sys.stdin is None:
            raise click.UsageError("'-' reads standard input, which is closed")
        for line in sys.stdin.buffer:
            text = line.decode(errors="replace").strip()
            if text:
                yield text


def what_is_wrong(text: str) -> str:
    """Say why text is not an address."""
    try:
        parse_network(text)
    except ValueError as error:
        return str(error)
    return "give one address, not a network or a range"


def shown(text: str) -> str:
    """Return an input fit for a terminal: no control characters, and not longer than a line."""
    safe = printable(text)
    return safe if len(safe) <= 60 else f"{safe[:59]}…"


def printable(text: str) -> str:
    """Return text without control characters."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def told(match: Match) -> str:
    """One matched range as ``first-last (source:line, until when: note)``."""
    ends = str(match.first) if match.first == match.last else f"{match.first}-{match.last}"
    until = f", until {match.until.isoformat()}" if match.until is not None else ""
    note = f": {printable(match.note)}" if match.note else ""
    return f"{ends} ({match.source}:{match.line}{until}{note})"


def open_named(name: str) -> Database:
    """Open the image or MMDB of that path; ``default`` is the data of the package."""
    return Database.open(None if name == "default" else name)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns as wide as their widest cell."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def subnets(addresses: int) -> str:
    """Return how many /64 networks so many IPv6 addresses are, to the nearest; "<1" of a few."""
    if 0 < addresses < SUBNET:
        return "<1"
    return f"{(addresses + SUBNET // 2) // SUBNET:,}"


def end(invalid: int, total: int) -> None:
    """Exit with 1 if an input was invalid, and say how many were."""
    if invalid:
        click.echo(f"georestrict: {invalid} of {total} inputs: not an address", err=True)
        sys.exit(1)
