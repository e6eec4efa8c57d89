"""``georestrict policy groups``: the groups that ``countries`` may name."""

from __future__ import annotations

import json

import click

from georestrict.cli import options
from georestrict.groups import GROUPS


@click.command()
@options.as_json
def groups(as_json: bool) -> None:
    """Print every group of countries, with its members, its date and its source."""
    if as_json:
        told = {
            name: {
                "members": sorted(group.members),
                "as_of": group.as_of.isoformat(),
                "source": group.source,
                "note": group.note,
            }
            for name, group in GROUPS.items()
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for name, group in GROUPS.items():
        click.echo(f"{name}  {len(group.members)} members, as of {group.as_of}")
        click.echo(f"  {' '.join(sorted(group.members))}")
        click.echo(f"  {group.note}")
        click.echo(f"  {group.source}")
