"""``georestrict policy check``: everything that is wrong with a policy, and advice."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from georestrict.cli import options
from georestrict.coverage import lacking
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.lists import Lists
from georestrict.policy import Policy
from georestrict.policy.places import line_of, walked
from georestrict.policy.problems import MOST, Problem, find
from georestrict.policy.reader import from_mapping
from georestrict.snapshot import Snapshot
from georestrict.tomlfile import parsed_toml, read_text
from georestrict.tomllines import lines
from georestrict.trial.advice import advice


@click.command()
@click.argument("file", type=click.Path())
@options.database
@options.as_json
def check(file: str, database: str | None, as_json: bool) -> None:
    """Print everything that is wrong with a policy FILE, with line numbers, and advice.

    Exit code 2 if the policy is invalid; advice leaves it 0. What the data does not know is told
    with a note, or is a problem with the data that --database names.
    """
    path = Path(file)
    text = read_text(path)
    document = parsed_toml(text, path)
    places = lines(text)
    problems = find(document, path.parent, places)
    warnings: list[Problem] = []
    notes: list[Problem] = []
    if not problems:
        policy = from_mapping(document, file, path.parent)

        def located(message: str) -> Problem:
            message = message.removeprefix(f"{file}: ")
            return Problem(line_of(walked(message, document)[0], places), message)

        try:
            data = Database.open(database)
            try:
                snapshot = Snapshot(policy, data)
            except ConfigurationError:
                snapshot = None
                problems = [located(message) for message in _wrong_lists(policy, data)]
                lacks = [located(message) for message in lacking(policy, data)]
                if database is not None:
                    problems += lacks
                else:
                    notes = lacks  # other data may do
                if not problems + notes:
                    raise
            if not problems:
                warnings = advice(policy, snapshot, document, places, datetime.now(UTC))
        except ConfigurationError as error:
            problems = [located(str(error))]
        problems.sort(key=lambda problem: problem.line or 0)
    if as_json:
        told = {
            "file": file,
            "problems": [problem._asdict() for problem in problems],
            "warnings": [warning._asdict() for warning in warnings],
            "notes": [note._asdict() for note in notes],
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        for kind, found in (("", problems), ("warning: ", warnings), ("note: ", notes)):
            for problem in found:
                click.echo(_told(file, problem, kind))
        if len(problems) == MOST:
            click.echo(f"{file}: {MOST} problems are enough; mend these, and check again")
        if not problems:
            rules, advised = len(policy.rules), len(warnings)
            click.echo(f"{file}: valid, {_counted(rules, 'rule')}, {_counted(advised, 'warning')}")
    sys.exit(2 if problems else 0)


def _wrong_lists(policy: Policy, data: Database) -> Iterator[str]:
    """Yield what is wrong with each of a policy's lists."""
    for name, source in policy.lists.items():
        try:
            Lists(replace(policy, lists={name: source}, rules=(), tests=()), data)
        except ConfigurationError as error:
            yield str(error)


def _told(file: str, problem: Problem, kind: str) -> str:
    place = file if problem.line is None else f"{file}:{problem.line}"
    return f"{place}: {kind}{problem.message}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
