"""``georestrict policy``: try a policy before it bites."""

from __future__ import annotations

import click

from georestrict.cli.policy.check import check
from georestrict.cli.policy.diff import diff
from georestrict.cli.policy.explain import explain
from georestrict.cli.policy.groups import groups
from georestrict.cli.policy.schema import schema
from georestrict.cli.policy.test import test


@click.group()
def policy() -> None:
    """Try a policy before it bites: check it, explain it, test it, compare it with another."""


for command in (check, explain, test, diff, groups, schema):
    policy.add_command(command)
