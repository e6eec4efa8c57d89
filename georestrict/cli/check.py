"""``georestrict check``: what a policy says to addresses, and why."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta

import click

from georestrict.accounts import Accounts
from georestrict.cli import options
from georestrict.cli.inputs import addresses, end, print_table, shown, told, what_is_wrong
from georestrict.database import number_of
from georestrict.decision import Decision
from georestrict.engine import Engine
from georestrict.location import Status
from georestrict.paths import as_sent

_EVER = timedelta(days=36500)


@click.command()
@click.argument("address", nargs=-1, required=True)
@click.option("--policy", type=click.Path(), required=True, help="The policy file (TOML).")
@click.option("--database", type=click.Path(), help="A compiled image instead of the default data.")
@options.path
@click.option("--method", default="GET", show_default=True, help="The request's method.")
@click.option("--host", default="", help="The request's host.")
@options.protocol
@options.at
@options.header
@options.attribute
@options.account_seen
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object for each address, a line each."
)
def check(
    address: tuple[str, ...],
    policy: str,
    database: str | None,
    path: str,
    method: str,
    host: str,
    protocol: str,
    at: datetime | None,
    header: options.Pairs,
    attribute: options.Pairs,
    account_seen: tuple[tuple[str, timedelta], ...],
    as_json: bool,
) -> None:
    """Print the decision for each address, and why. A block is an answer: the exit code stays 0.

    ADDRESS may be '-': one address a line from standard input.
    """
    accounts = Accounts(keep=_EVER)  # how long they are kept is said where the app is
    engine = Engine(policy, database=database, accounts=accounts)
    now = time.time() if at is None else at.timestamp()
    seen, raw_path = as_sent(path)
    total = invalid = 0
    rows = []
    for text in addresses(address):
        total += 1
        if number_of(text) is None:
            invalid += 1
            wrong = what_is_wrong(text)
            if as_json:
                click.echo(json.dumps({"address": text, "error": wrong}, ensure_ascii=False))
            else:
                rows.append((shown(text), "-", "-", "-", "-", f"error: {wrong}"))
            continue
        account = f"of address {total}" if account_seen else None
        for place, ago in account_seen:
            country, _, category = place.partition(":")
            accounts.saw(f"of address {total}", country, category, now - ago.total_seconds())
        decision = engine.decide(
            text,
            path=seen,
            raw_path=raw_path,
            method=method,
            host=host,
            protocol=protocol,
            headers=options.header_lines(header),
            account=account,
            attributes=dict(attribute),
            at=at,
        )
        location, matches = engine.lookup(text), engine.matches(text)
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "address": text,
                        "action": decision.action,
                        "would": decision.would,
                        "emergency": decision.emergency,
                        "reason": decision.reason,
                        "rule": decision.rule,
                        "code": decision.code,
                        "stale": decision.stale,
                        "country": location.country,
                        "status": location.status,
                        "categories": dict(location.categories),
                        "lists": sorted(location.lists),
                        "matches": [told(match) for match in matches],
                    },
                    ensure_ascii=False,
                )
            )
        else:
            action = _action(decision)
            where = location.country or (
                location.status if location.status is not Status.KNOWN else "-"
            )
            rows.append(
                (
                    text,
                    where,
                    action,
                    _reason(decision),
                    decision.rule or "-",
                    "; ".join(f"{match.value} {told(match)}" for match in matches) or "-",
                )
            )
    if not as_json:
        print_table(("ADDRESS", "COUNTRY", "ACTION", "REASON", "RULE", "MATCHED"), rows)
    end(invalid, total)


def _reason(decision: Decision) -> str:
    stale = f" (stale: {', '.join(decision.stale)})" if decision.stale else ""
    return f"{decision.reason}{stale}"


def _action(decision: Decision) -> str:
    """Return what is enforced, and what would be without a dry run or the emergency switch."""
    if decision.emergency:
        return f"emergency: {decision.action} ({decision.would})"
    return str(decision.action) if decision.would is None else f"dry-run: {decision.would}"
