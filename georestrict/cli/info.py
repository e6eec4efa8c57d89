"""``georestrict info``: what a database holds, where that is from, and how old it is."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from georestrict.age import Ages, changed_at
from georestrict.cli import options
from georestrict.cli.inputs import print_table
from georestrict.database import Database
from georestrict.networks import Category
from georestrict.policy import Policy
from georestrict.policy.checks import length
from georestrict.record import SourceInfo
from georestrict.table import FORMAT_VERSION, MAGIC


@click.command()
@click.argument("file", required=False, type=click.Path())
@click.option("--policy", type=click.Path(), help="Say which data is too old for this policy.")
@options.as_json
def info(file: str | None, policy: str | None, as_json: bool) -> None:
    """Print what an image or an MMDB file holds, its sources, their dates and licences.

    Without FILE, it is the data of the package. Ages are counted in days, from today (UTC).
    """
    database, today = Database.open(file), datetime.now(UTC).date()
    told = _told(database, file, today)
    if policy is not None:
        told["stale"] = _stale(Policy.load(policy), database)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    about = database.metadata
    click.echo(
        f"{about.path}: {told['kind']}, built {about.built:%Y-%m-%d}, {about.size_bytes:,} bytes"
    )
    click.echo(
        f"{told['countries']:,} countries, {told['subdivisions']:,} subdivisions, "
        f"{about.classes:,} classes; "
        f"{'AS numbers' if told['asns'] else 'no AS numbers'}; "
        f"categories: {', '.join(told['categories']) or 'none'}"
    )
    print_table(
        ("SOURCE", "LAYER", "DATE", "AGE", "IPV4 ROWS", "IPV6 ROWS", "LICENCE"),
        [_row(source, today) for source in about.sources],
    )
    for line in dict.fromkeys(
        f"{source.name}: {source.title}; {source.attribution}" for source in about.sources
    ):
        click.echo(line)
    for line in told.get("stale", ()):
        click.echo(f"stale: {line}")


def _told(database: Database, file: str | None, today: date) -> dict[str, Any]:
    about = database.metadata
    claimed = {category for location in database.classes for category in location.categories}
    return {
        "path": about.path,
        "kind": "image" if _is_image(file) else "MMDB",
        "format_version": FORMAT_VERSION,
        "built": about.built.isoformat(),
        "size_bytes": about.size_bytes,
        "runs": {"ipv4": about.runs[0], "ipv6": about.runs[1]},
        "classes": about.classes,
        "countries": len({each.country for each in database.classes if each.country}),
        "subdivisions": len(database.subdivisions),
        "asns": database.has_asns,
        "categories": [category for category in Category if category in claimed],
        "sources": [
            {
                "name": source.name,
                "title": source.title,
                "layer": source.layer,
                "date": source.date.isoformat(),
                "age_days": (today - source.date).days if source.ages else None,
                "licence": source.licence,
                "attribution": source.attribution,
                "rows": {"ipv4": source.rows[0], "ipv6": source.rows[1]},
            }
            for source in about.sources
        ],
    }


def _is_image(file: str | None) -> bool:
    if file is None:
        return True
    with Path(file).open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def _row(source: SourceInfo, today: date) -> tuple[str, ...]:
    return (
        source.name,
        source.layer,
        str(source.date),
        f"{(today - source.date).days} days" if source.ages else "-",
        *(f"{count:,}" for count in source.rows),
        source.licence,
    )


def _stale(policy: Policy, database: Database) -> list[str]:
    """Return what is past a limit of the policy now, in words."""
    now = time.time()
    return [
        f"{aging.name}, {aging.days(now)} days old: {aging.key}stale_after is "
        f"{length(aging.stale_after)}, stale_action is {aging.action}"
        for aging in Ages(policy, database, changed_at(policy)).all
        if aging.stale_after is not None and aging.is_stale(now)
    ]
