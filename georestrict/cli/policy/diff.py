"""``georestrict policy diff``: what changes between two policies."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import datetime

import click

from georestrict.cli import options
from georestrict.cli.inputs import print_table, subnets
from georestrict.database import Database
from georestrict.policy import Policy
from georestrict.trial.difference import Change, differences

_MEANS = {
    "dry-run": "nothing is blocked or warned any more; what would be is only told",
    "enforce": "what was only told is done from now on",
}
_MOST = 20  # countries that are told one by one


@click.command()
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@options.at
@options.database
@options.as_json
def diff(old: str, new: str, at: datetime | None, database: str | None, as_json: bool) -> None:
    """Print which countries, networks and requests get another action from NEW than from OLD.

    A dry run is compared by what it would do; that the mode changes is told first.

    Addresses are counted in the data: IPv4 addresses, and IPv6 networks of 64 bits; "<1"
    is a smaller one.
    """
    now = time.time() if at is None else at.timestamp()
    before, after = Policy.load(old), Policy.load(new)
    changes, left = differences(before, after, Database.open(database), now)
    modes = _mode(before), _mode(after)
    if as_json:
        told = {
            "mode": {"before": modes[0], "after": modes[1]},
            "changes": [asdict(change) for change in changes],
            "not_compared": left,
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    if modes[0] != modes[1]:
        click.echo(f"mode: {modes[0]} becomes {modes[1]}: {_MEANS[modes[1]]}")
    if not changes:
        click.echo("nothing changes" if modes[0] == modes[1] else "nothing else changes")
    else:
        header = ("REQUEST", "FROM", "BEFORE", "AFTER", "IPV4", "IPV6 /64")
        print_table(header, [row for same in _alike(changes) for row in _rows(same)])
    if left:
        click.echo(
            f"not compared: {left:,} more combinations of what rules ask for (path, method, host, "
            "protocol, sender); there are too many to try"
        )


def _mode(policy: Policy) -> str:
    return "dry-run" if policy.dry_run else "enforce"


def _alike(changes: list[Change]) -> list[list[Change]]:
    """Return changes that differ only in where they are."""
    kinds: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        kinds.setdefault((change.asked, change.before, change.after), []).append(change)
    return list(kinds.values())


def _rows(changes: list[Change]) -> list[tuple[str, ...]]:
    if len(changes) > _MOST:
        countries = {change.country for change in changes}
        return [_row(changes, f"{len(countries)} countries")]
    return [
        _row([change], f"{change.country} ({change.part})" if change.part else change.country)
        for change in changes
    ]


def _row(changes: list[Change], where: str) -> tuple[str, ...]:
    change = changes[0]
    ipv4 = sum(each.ipv4 for each in changes)
    ipv6 = sum(each.ipv6 << 64 | each.ipv6_addresses for each in changes)
    return change.asked, where, change.before, change.after, f"{ipv4:,}", subnets(ipv6)
