"""``georestrict explain-event``: events in plain words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from georestrict.observe import Event, sentences

_LONGEST_LINE = 1 << 20  # bytes; an event of ours has a few hundred


@click.command("explain-event")
@click.argument("file", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def explain_event(file: tuple[str, ...]) -> None:
    """Turn events, as JSON lines, into sentences.

    FILE may be '-', or left out: standard input. A line that is no event is named, and the exit
    code is 1 then.
    """
    wrong = 0
    for name in file or ("-",):
        if name != "-":
            with Path(name).open("rb") as lines:
                wrong += _explain(name, lines)
        elif sys.stdin is None:
            raise click.UsageError("'-' reads standard input, which is closed")
        else:
            wrong += _explain("-", sys.stdin.buffer)
    if wrong:
        sys.exit(1)


def _explain(name: str, lines: BinaryIO) -> int:
    """Print the events of a file; return how many lines are none."""
    wrong = 0
    for number, line in enumerate(_lines(lines), 1):
        if not line.strip():
            continue
        try:
            if len(line) > _LONGEST_LINE:
                raise ValueError(f"is longer than {_LONGEST_LINE:,} bytes, and no event")
            event = Event.from_json(line)
        except ValueError as error:
            click.echo(f"georestrict: {name}:{number}: {error}", err=True)
            wrong += 1
        else:
            click.echo(sentences(event))
    return wrong


def _lines(lines: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, of those that are too long only so much that it shows."""
    while line := lines.readline(_LONGEST_LINE + 1):
        yield line
        while len(line) > _LONGEST_LINE and not line.endswith(b"\n"):
            line = lines.readline(_LONGEST_LINE + 1) or b"\n"
