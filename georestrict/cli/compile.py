"""``georestrict compile``: sources to an image."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from georestrict.errors import ConfigurationError
from georestrict.manifest import Manifest
from georestrict.record import Record, read_meta
from georestrict.table import Image, publish

_STEPS = 1000


@click.command("compile")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The image to write."
)
def compile_image(manifest: Path, output: Path) -> None:
    """Compile the sources that MANIFEST (sources.toml) names into one image.

    The image appears under its name only when it is complete.
    """
    loaded = Manifest.load(manifest)
    loaded.check_output(manifest, output)
    data = _compiled(loaded)
    try:
        publish(output, data)
    except OSError as error:
        raise ConfigurationError(f"{output}: cannot be written: {error.strerror}") from error
    compiled = Image(memoryview(data), str(output))
    about = Record(compiled, read_meta(compiled)).metadata
    click.echo(f"{output}: {len(data):,} bytes, {about.classes:,} classes")
    for source in about.sources:
        ipv4, ipv6 = source.rows
        click.echo(
            f"  {source.name}: {source.layer}, {source.date}: {ipv4:,} IPv4 and {ipv6:,} IPv6 rows"
        )
    latest = datetime.now(UTC) + timedelta(days=1)  # a date is one of its writer's calendar
    for source in about.sources:
        if source.date > latest.date():
            click.echo(
                f"{source.name}: is of {source.date}, in the future by this machine's clock: until "
                "then no limit of age finds it old; correct its 'date', or the clock",
                err=True,
            )


def _compiled(manifest: Manifest) -> bytes:
    """Compile a manifest; on a terminal a bar shows how far it is."""
    if sys.stderr is None or not sys.stderr.isatty():
        return manifest.compile()
    with click.progressbar(
        length=_STEPS, file=sys.stderr, show_eta=False, item_show_func=lambda what: what or ""
    ) as bar:

        def show(what: str, share: float) -> None:
            bar.current_item = what
            bar.update(round(share * _STEPS) - bar.pos, what)
            bar.render_progress()  # also where nothing is behind it yet

        return manifest.compile(progress=show)
