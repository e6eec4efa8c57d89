"""``georestrict update``: fetch what a manifest names, and put a new image in force."""

from __future__ import annotations

from pathlib import Path

import click

from georestrict.errors import ConfigurationError


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The image in force."
)
@click.option("--force", is_flag=True, help="Publish what a gate refuses, or was rolled back.")
@click.option(
    "--keep",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="How many images before it stay.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 86_400),
    default=600,
    show_default=True,
    help="The most seconds that one file may take, with all attempts.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Fetch this source, not the others.")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched; ask nobody.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something changed or failed.")
def update(
    manifest: Path,
    output: Path,
    force: bool,
    keep: int,
    timeout: float,
    only: tuple[str, ...],
    dry_run: bool,
    quiet: bool,
) -> None:
    """Fetch what MANIFEST (sources.toml) names, compile it, and publish the image.

    What has not changed is not fetched again. The image in force stays if a source fails, or if a
    gate of the manifest refuses the new one; then the exit code is 1. Secrets come from the
    environment or from files. Needs the extra: pip install 'georestrict[update]'
    """
    try:
        from georestrict import renewal
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"update needs {error.name}; say pip install 'georestrict[update]'"
        ) from error
    if dry_run:
        for line in renewal.plan(manifest, only):
            click.echo(line)
        return

    unsaid: list[OSError] = []

    def tell(told: renewal.Told) -> None:
        if told.is_news or told.is_trouble or not quiet:
            try:
                click.echo(told.text, err=told.is_trouble)
            except OSError as error:  # nobody reads on: that is no reason to stop in the middle
                unsaid.append(error)

    wish = renewal.Wish(force=force, keep=keep, whole_seconds=timeout, only=only)
    renewal.renew(manifest, output, wish, tell)
    if unsaid:
        raise unsaid[0]
