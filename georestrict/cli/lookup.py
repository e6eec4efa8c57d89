"""``georestrict lookup``: what is known of addresses."""

from __future__ import annotations

import json

import click

from georestrict.cli.inputs import addresses, end, print_table, shown, told, what_is_wrong
from georestrict.database import Database
from georestrict.location import Status


@click.command()
@click.argument("address", nargs=-1, required=True)
@click.option("--database", type=click.Path(), help="An image or MMDB instead of the default data.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object for each address, a line each."
)
def lookup(address: tuple[str, ...], database: str | None, as_json: bool) -> None:
    """Print country, network categories, matched ranges and their sources.

    ADDRESS may be '-': one address a line from standard input.
    """
    db = Database.open(database)
    total = invalid = 0
    rows = []
    for text in addresses(address):
        total += 1
        location, matches = db.lookup(text), db.matches(text)
        wrong = what_is_wrong(text) if location.status is Status.UNRESOLVED else None
        invalid += wrong is not None
        if as_json:
            described: dict[str, object] = {"address": text}
            if wrong is not None:
                described["error"] = wrong
            else:
                described |= {
                    "country": location.country,
                    "subdivision": location.subdivision,
                    "status": location.status,
                    "categories": dict(location.categories),
                    "provider": location.provider,
                    "via": location.via,
                    "matches": [
                        {
                            "layer": match.layer,
                            "value": match.value,
                            "first": str(match.first),
                            "last": str(match.last),
                            "source": match.source,
                            "line": match.line,
                            "date": match.date and match.date.isoformat(),
                        }
                        for match in matches
                    ],
                }
            click.echo(json.dumps(described, ensure_ascii=False))
        elif wrong is not None:
            rows.append((shown(text), "-", "invalid", "-", f"error: {wrong}"))
        else:
            categories = ", ".join(f"{name}:{sure}" for name, sure in location.categories.items())
            if location.provider:
                categories += f" ({location.provider})"
            status = (
                location.status if location.via is None else f"{location.status} via {location.via}"
            )
            rows.append(
                (
                    text,
                    location.subdivision or location.country or "-",
                    status,
                    categories or "-",
                    "; ".join(f"{match.value} {told(match)}" for match in matches) or "-",
                )
            )
    if not as_json:
        print_table(
            ("ADDRESS", "COUNTRY", "STATUS", "CATEGORIES", "MATCHED RANGE (SOURCE:LINE)"), rows
        )
        for source in db.metadata.sources:
            click.echo(f"{source.name}: {source.title}, {source.date}, {source.licence}")
    end(invalid, total)
