"""``georestrict rollback``: put the image before in force again."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from georestrict.errors import DatabaseError, UpdateError
from georestrict.update import keep


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
def rollback(image: Path) -> None:
    """Put the newest kept image in the place of IMAGE.

    The image that was in force lies beside it as IMAGE.refused, and the next update does not bring
    its data back, unless it is told to (--force) or the data has changed.
    """
    if not image.parent.is_dir():
        raise DatabaseError(f"{image}: no such folder; name an image that 'update' published")
    image = Path(os.path.realpath(image))  # unlike resolve(), also of a link to itself
    try:
        with keep.locked(image):
            chosen, known = keep.roll_back(image, datetime.now(UTC))
    except OSError as error:
        raise UpdateError(f"{image}: cannot be rolled back: {error.strerror}") from error
    click.echo(f"{image}: {chosen.name} is in force again")
    if not known:
        click.echo(
            "what the other was made from is not known: the next update may bring it back",
            err=True,
        )
