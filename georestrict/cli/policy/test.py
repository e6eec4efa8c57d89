"""``georestrict policy test``: the ``[[tests]]`` of policies."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from georestrict.cli import options
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.policy import Policy
from georestrict.snapshot import Snapshot
from georestrict.tomlfile import read_text
from georestrict.tomllines import KeyPath, lines
from georestrict.trial.cases import Trial, tried


@click.command()
@click.argument("file", type=click.Path(), nargs=-1, required=True)
@options.database
@options.as_json
def test(file: tuple[str, ...], database: str | None, as_json: bool) -> None:
    """Try the [[tests]] of policy FILEs and print those that fail.

    Exit code 1 if one fails, 2 if a policy is invalid or has no tests. The emergency switch is not
    looked at.
    """
    data = Database.open(database)
    told: list[dict[str, object]] = []
    failed = total = 0
    for name in file:
        path = Path(name)
        policy = Policy.load(path)
        if not policy.tests:
            raise ConfigurationError(
                f"{name}: has no tests, so nothing could fail; add [[tests]] with a country and "
                "what to expect"
            )
        snapshot = Snapshot(policy, data)
        places = lines(read_text(path))
        for number, case in enumerate(policy.tests):
            trial = tried(snapshot, case)
            total += 1
            failed += not trial.passed
            if as_json:
                told.append(_document(name, number, trial, places))
            elif not trial.passed:
                click.echo(_sentence(name, number, trial, places))
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        click.echo(f"{total - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def _sentence(file: str, number: int, trial: Trial, places: dict[KeyPath, int]) -> str:
    line = places[("tests", number)]
    title = f" ({trial.case.name})" if trial.case.name else ""
    rule, reason = trial.decision.rule, trial.decision.reason
    by = f"rule {rule}" if rule else f"no rule ({reason})"
    too_old = f"stale: {', '.join(trial.decision.stale)}"
    told = "; ".join(
        (*trial.failures, f"decided by {by}", *([too_old] if trial.decision.stale else []))
    )
    return f"{file}:{line}: tests[{number + 1}]{title}: {told}"


def _document(
    file: str, number: int, trial: Trial, places: dict[KeyPath, int]
) -> dict[str, object]:
    return {
        "file": file,
        "line": places[("tests", number)],
        "test": number + 1,
        "name": trial.case.name,
        "passed": trial.passed,
        "failures": trial.failures,
        "decided": trial.decision.decided,
        "rule": trial.decision.rule,
        "reason": trial.decision.reason,
        "code": trial.decision.code,
        "stale": trial.decision.stale,
        "status": trial.status,
    }
