"""Checking a policy file: everything that is wrong with it, and advice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from georestrict.coverage import lacking
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.lists import Lists
from georestrict.policy import Policy
from georestrict.policy.places import line_of, walked
from georestrict.policy.problems import Problem, find
from georestrict.policy.reader import from_mapping
from georestrict.snapshot import Snapshot
from georestrict.tomlfile import parsed_toml, read_text
from georestrict.tomllines import lines
from georestrict.trial.advice import advice


class Findings(NamedTuple):
    """What was found in a policy file, in the order of its lines."""

    rules: int
    problems: list[Problem]  #: with any of these it does not come into force
    warnings: list[Problem]  #: what is most likely not meant
    notes: list[Problem]  #: what the default data does not know; other data may do


def checked(file: str, database: str | Path | None = None) -> Findings:
    """Find everything that is wrong with a policy file, and what is most likely not meant.

    What the data does not know is a note, or a problem with the data that ``database`` names.

    Raises:
        ConfigurationError: if the file cannot be read, or is no TOML.
        DatabaseError: if the database cannot be used.
    """
    path = Path(file)
    text = read_text(path)
    document = parsed_toml(text, path)
    places = lines(text)
    problems = find(document, path.parent, places)
    if problems:
        return Findings(0, problems, [], [])
    policy = from_mapping(document, file, path.parent)
    warnings: list[Problem] = []
    notes: list[Problem] = []

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
    return Findings(len(policy.rules), problems, warnings, notes)


def _wrong_lists(policy: Policy, data: Database) -> Iterator[str]:
    """Yield what is wrong with each of a policy's lists."""
    for name, source in policy.lists.items():
        try:
            Lists(replace(policy, lists={name: source}, rules=(), tests=()), data)
        except ConfigurationError as error:
            yield str(error)
