"""``georestrict diff``: what changes from one database to another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from georestrict.cli import options
from georestrict.cli.inputs import open_named, print_table, subnets
from georestrict.comparison import Comparison, compare
from georestrict.extent import SUBNET, Extent


@click.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Rows of a table that are printed, the largest first; 0: all.",
)
@options.as_json
def diff(old: str, new: str, limit: int, as_json: bool) -> None:
    """Print which addresses get another country, or other categories, from A to B.

    A and B are images or MMDB files; "default" is the data of the package.

    Every address counts, IPv6 in networks of 64 bits ("<1" is a smaller one). Those that carry an
    IPv4 address are left out: they are where that one is.
    """
    before, after = open_named(old), open_named(new)
    found = compare(before, after)
    if as_json:
        click.echo(json.dumps(_told(found), ensure_ascii=False, indent=1))
        return
    for letter, database in zip("AB", (before, after), strict=True):
        about = database.metadata
        dates = sorted(source.date for source in about.sources if source.ages)
        click.echo(
            f"{letter}: {about.path}, built {about.built:%Y-%m-%d}, data of "
            + " to ".join(dict.fromkeys(map(str, dates[:1] + dates[-1:])))
        )
    if not found.moved and not found.recategorised:
        click.echo("no address changes its country or a category")
        return
    _print_limited(
        ("FROM", "TO", "IPV4", "IPV6 /64"),
        [(move.before, move.after, *_shown(move.extent)) for move in found.moves],
        limit,
    )
    _print_limited(
        ("COUNTRY", "IPV4 BEFORE", "GAINED", "LOST", "IPV6 /64 BEFORE", "GAINED", "LOST"),
        [
            (
                each.place,
                *(f"{part.ipv4:,}" for part in (each.before, each.gained, each.lost)),
                *(subnets(part.ipv6) for part in (each.before, each.gained, each.lost)),
            )
            for each in found.balances
        ],
        limit,
    )
    _print_limited(
        ("CATEGORY", "BEFORE", "AFTER", "IPV4", "IPV6 /64"),
        [
            (each.category, each.before or "-", each.after or "-", *_shown(each.extent))
            for each in found.categories
        ],
        limit,
    )
    for what, extent in (
        ("another country", found.moved),
        ("other categories", found.recategorised),
    ):
        ipv4, ipv6 = _shown(extent)
        click.echo(f"{what}: {ipv4} IPv4 addresses and {ipv6} IPv6 /64 networks")


def _print_limited(header: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> None:
    """Print a table, if it has rows, and say how many are left out."""
    if not rows:
        return
    print_table(header, islice(rows, limit or None))
    if 0 < limit < len(rows):
        click.echo(f"… {len(rows) - limit:,} more rows; --limit 0 prints all")
    click.echo()


def _shown(extent: Extent) -> tuple[str, str]:
    return f"{extent.ipv4:,}", subnets(extent.ipv6)


def _told(found: Comparison) -> dict[str, Any]:
    return {
        "moves": [
            {"from": move.before, "to": move.after} | _numbers(move.extent) for move in found.moves
        ],
        "countries": [
            {
                "country": each.place,
                "before": _numbers(each.before),
                "gained": _numbers(each.gained),
                "lost": _numbers(each.lost),
            }
            for each in found.balances
        ],
        "categories": [
            {"category": each.category, "from": each.before or None, "to": each.after or None}
            | _numbers(each.extent)
            for each in found.categories
        ],
        "moved": _numbers(found.moved),
        "recategorised": _numbers(found.recategorised),
    }


def _numbers(extent: Extent) -> dict[str, int]:
    """Return an extent as JSON's readers can hold it: whole /64 networks, and addresses beside."""
    return {
        "ipv4": extent.ipv4,
        "ipv6": extent.ipv6 // SUBNET,
        "ipv6_addresses": extent.ipv6 % SUBNET,
    }
