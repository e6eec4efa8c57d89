"""Options that describe a request, or that several subcommands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from georestrict.errors import ConfigurationError
from georestrict.policy import checks
from georestrict.policy.cases import sightings

database = click.option(
    "--database", type=click.Path(), help="A compiled image instead of the default data."
)
as_json = click.option("--json", "as_json", is_flag=True, help="JSON, for other programs.")


class _Time(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: Any, param: Any, context: Any) -> datetime:
        try:
            return checks.instant(value, "time")
        except ConfigurationError as error:
            self.fail(str(error).removeprefix("time: "), param, context)


at = click.option(
    "--at", type=_Time(), help="The time to judge by, such as 2026-12-01T00:00:00Z; else now."
)


class _Path(click.ParamType[str]):
    name = "PATH"

    def convert(self, value: Any, param: Any, context: Any) -> str:
        text = str(value)
        if not text.startswith("/"):
            self.fail(f"{text!r} must begin with '/'", param, context)
        if "?" in text:
            self.fail(f"{text!r}: rules ask for the path alone, leave '?' out", param, context)
        return text


path = click.option(
    "--path",
    type=_Path(),
    default="/",
    show_default=True,
    help="The request's path, as it is sent: %2F is an escape.",
)
protocol = click.option(
    "--protocol",
    type=click.Choice(checks.PROTOCOLS),
    default="http",
    show_default=True,
    help="The request's protocol.",
)

#: Names with values, as they were given.
Pairs = tuple[tuple[str, str], ...]


def _pairs(
    mark: str, example: str
) -> Callable[[click.Context, click.Parameter, Sequence[str]], Pairs]:
    """Return a check of options that are a name, a mark, and a value."""

    def split(context: Any, parameter: Any, given: Sequence[str]) -> Pairs:
        found = []
        for number, text in enumerate(given, 1):
            name, marked, value = text.partition(mark)
            if not marked or not name.strip():
                # not shown: it may be a secret
                which = "it" if len(given) == 1 else f"number {number}"
                raise click.BadParameter(f"{which} has no name before a {mark!r}; write {example}")
            found.append((name.strip(), value.strip() if mark == ":" else value))
        return tuple(found)

    return split


header = click.option(
    "--header",
    multiple=True,
    callback=_pairs(":", "'Accept: text/html'"),
    help="A header, as 'Name: value'.",
)
attribute = click.option(
    "--attribute",
    multiple=True,
    callback=_pairs("=", "customer=eligible"),
    help="What the app says of the request, as name=value.",
)


def _sightings(context: Any, parameter: Any, given: Sequence[str]) -> Any:
    pairs = _pairs("=", "CN=3d")(context, parameter, given)
    try:
        return sightings(dict(pairs), "it") if pairs else ()
    except ConfigurationError as error:
        raise click.BadParameter(str(error).removeprefix("it").lstrip(".: ")) from None


account_seen = click.option(
    "--account-seen",
    multiple=True,
    callback=_sightings,
    help="That its account was seen in a country so long ago, as CN=3d, or CN:hosting=3d for "
    "through a network of that category.",
)


def header_lines(pairs: Pairs) -> list[tuple[bytes, bytes]]:
    """Return headers as a server hands them on."""
    return [
        (name.lower().encode("latin-1", "replace"), value.encode("utf-8", "surrogateescape"))
        for name, value in pairs
    ]


def shown(time: datetime) -> str:
    """Return a time as people write it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
