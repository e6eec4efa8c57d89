"""``georestrict policy check``: everything that is wrong with a policy, and advice."""

from __future__ import annotations

import json
import sys

import click

from georestrict.cli import options
from georestrict.policy.problems import MOST, Problem
from georestrict.trial.checking import checked


@click.command()
@click.argument("file", type=click.Path())
@options.database
@options.as_json
def check(file: str, database: str | None, as_json: bool) -> None:
    """Print everything that is wrong with a policy FILE, with line numbers, and advice.

    Exit code 2 if the policy is invalid; advice leaves it 0. What the data does not know is told
    with a note, or is a problem with the data that --database names.
    """
    rules, problems, warnings, notes = checked(file, database)
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
            told_rules, advised = _counted(rules, "rule"), _counted(len(warnings), "warning")
            click.echo(f"{file}: valid, {told_rules}, {advised}")
    sys.exit(2 if problems else 0)


def _told(file: str, problem: Problem, kind: str) -> str:
    place = file if problem.line is None else f"{file}:{problem.line}"
    return f"{place}: {kind}{problem.message}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
