"""``georestrict policy check``: everything that is wrong with a policy, and advice."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from georestrict.cli import options
from georestrict.database import Database
from georestrict.errors import ConfigurationError
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

    Exit code 2 if the policy is invalid; advice leaves it 0.
    """
    path = Path(file)
    text = read_text(path)
    document = parsed_toml(text, path)
    places = lines(text)
    problems = find(document, path.parent, places)
    warnings: list[Problem] = []
    if not problems:
        policy = from_mapping(document, file, path.parent)
        try:
            snapshot = Snapshot(policy, Database.open(database))
            warnings = advice(snapshot, document, places, datetime.now(UTC))
        except ConfigurationError as error:
            message = str(error).removeprefix(f"{file}: ")
            problems = [Problem(line_of(walked(message, document)[0], places), message)]
    if as_json:
        told = {
            "file": file,
            "problems": [problem._asdict() for problem in problems],
            "warnings": [warning._asdict() for warning in warnings],
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        for problem in problems:
            click.echo(_told(file, problem, ""))
        for warning in warnings:
            click.echo(_told(file, warning, "warning: "))
        if len(problems) == MOST:
            click.echo(f"{file}: {MOST} problems are enough; mend these, and check again")
        if not problems:
            click.echo(
                f"{file}: valid, {_counted(len(policy.rules), 'rule')}, "
                f"{_counted(len(warnings), 'warning')}"
            )
    sys.exit(2 if problems else 0)


def _told(file: str, problem: Problem, kind: str) -> str:
    place = file if problem.line is None else f"{file}:{problem.line}"
    return f"{place}: {kind}{problem.message}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
