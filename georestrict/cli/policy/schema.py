"""``georestrict policy schema``: the JSON Schema of a policy file, for editors."""

from __future__ import annotations

import json

import click

from georestrict.policy.schema import schema as generated


@click.command()
def schema() -> None:
    """Print the JSON Schema of a policy file."""
    click.echo(json.dumps(generated(), ensure_ascii=False, indent=1))
