"""The command line: one file a subcommand.

Exit codes: 0 answered (a block is an answer), 1 an input was invalid (an address, an image),
2 usage or configuration.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from georestrict import BACKEND, __version__
from georestrict.cli.check import check
from georestrict.cli.compile import compile_image
from georestrict.cli.diff import diff
from georestrict.cli.doctor import doctor
from georestrict.cli.explain_event import explain_event
from georestrict.cli.info import info
from georestrict.cli.lookup import lookup
from georestrict.cli.policy import policy
from georestrict.cli.replay import replay
from georestrict.cli.rollback import rollback
from georestrict.cli.update import update
from georestrict.cli.verify import verify
from georestrict.errors import ConfigurationError, GeoRestrictError


class _Group(click.Group):
    """Turns our errors into one sentence and the right exit code, without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GeoRestrictError as error:
            click.echo(f"georestrict: {error}", err=True)
            sys.exit(2 if isinstance(error, ConfigurationError) else 1)
        except BrokenPipeError:
            raise  # click ends quietly when nobody reads on
        except OSError as error:
            place = f"{error.filename}: " if error.filename is not None else ""
            click.echo(f"georestrict: {place}{error.strerror or error}; check the output", err=True)
            sys.exit(2)
        except MemoryError:
            click.echo("georestrict: not enough memory for this data; see 'ulimit -v'", err=True)
            sys.exit(1)


@click.group(cls=_Group)
@click.version_option(__version__, message=f"georestrict %(version)s ({BACKEND} core)")
def main() -> None:
    """Where an address appears to be, and what a policy says to it."""


for command in (
    lookup, check, policy, replay, explain_event, doctor, compile_image, info, diff, update,
    rollback, verify,
):  # fmt: skip
    main.add_command(command)
