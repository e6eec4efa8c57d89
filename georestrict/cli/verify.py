"""``georestrict verify``: whether an image is whole and holds what its sources say."""

from __future__ import annotations

import click

from georestrict.database import Database


@click.command()
@click.argument("image", required=False, type=click.Path())
def verify(image: str | None) -> None:
    """Check an image's sums and bounds, then derive its table anew and compare.

    Without IMAGE, the default data is checked.
    """
    db = Database.open(image)
    db.verify()
    ipv4, ipv6 = db.metadata.runs
    click.echo(
        f"{db.metadata.path}: good; built {db.metadata.built:%Y-%m-%d}, "
        f"{ipv4:,} IPv4 and {ipv6:,} IPv6 runs, {db.metadata.classes:,} classes"
    )
    told = (  # a file may be a source of several layers
        f"  {source.name}: {source.title}, {source.date}, {source.licence}"
        for source in db.metadata.sources
    )
    click.echo("\n".join(dict.fromkeys(told)))
