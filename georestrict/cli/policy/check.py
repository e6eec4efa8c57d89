"""``georestrict policy check``: everything that is wrong with a policy, and advice."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from georestrict.cli import options
from georestrict.coverage import check_coverage
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.lists import Lists
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

        def located(error: ConfigurationError) -> list[Problem]:
            message = str(error).removeprefix(f"{file}: ")
            return [Problem(line_of(walked(message, document)[0], places), message)]

        try:
            data = Database.open(database)
            try:
                check_coverage(policy, data)
                snapshot = Snapshot(policy, data)
            except ConfigurationError as error:
                Lists(replace(policy, rules=(), tests=()), data)  # may be what is wrong
                if database is not None:
                    raise
                notes, snapshot = located(error), None  # other data may do
            warnings = advice(policy, snapshot, document, places, datetime.now(UTC))
        except ConfigurationError as error:
            problems = located(error)
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


def _told(file: str, problem: Problem, kind: str) -> str:
    place = file if problem.line is None else f"{file}:{problem.line}"
    return f"{place}: {kind}{problem.message}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
