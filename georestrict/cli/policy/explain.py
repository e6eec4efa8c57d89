"""``georestrict policy explain``: every rule that was tried, and why it did or did not match."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta

import click

from georestrict.age import Ages
from georestrict.cli import options
from georestrict.cli.inputs import told, what_is_wrong
from georestrict.database import Database, number_of
from georestrict.decision import Decision
from georestrict.location import Location, Status
from georestrict.paths import as_sent
from georestrict.policy import Action, Policy
from georestrict.policy.checks import length
from georestrict.request import Request
from georestrict.response.block import blocked, form_of
from georestrict.snapshot import Snapshot
from georestrict.trial.explanation import Sender, Tried, explained
from georestrict.trial.past import somebody, supposed


@click.command()
@click.argument("file", type=click.Path())
@click.argument("address")
@options.path
@click.option("--method", default="GET", show_default=True, help="The request's method.")
@click.option("--host", help="The request's host.")
@options.protocol
@options.at
@options.header
@options.attribute
@options.account_seen
@options.database
@options.as_json
def explain(
    file: str,
    address: str,
    path: str,
    method: str,
    host: str | None,
    protocol: str,
    at: datetime | None,
    header: options.Pairs,
    attribute: options.Pairs,
    account_seen: tuple[tuple[str, timedelta], ...],
    database: str | None,
    as_json: bool,
) -> None:
    """Print every rule of a policy FILE that is tried for a request from ADDRESS, and why.

    ADDRESS '-' is a client whose address cannot be told. The emergency switch is not looked at.
    """
    if address != "-" and number_of(address) is None:
        click.echo(f"georestrict: ADDRESS: {what_is_wrong(address)}", err=True)
        sys.exit(1)
    policy = Policy.load(file)
    snapshot = Snapshot(policy, Database.open(database))
    now = time.time() if at is None else at.timestamp()
    attributes = dict(attribute)
    seen, raw_path = as_sent(path)
    request = Request(
        seen,
        raw_path,
        method,
        protocol,
        options.header_lines(header),
        host,
        lambda: attributes,
        now,
    )
    if account_seen:
        request.identity, request.history = somebody(), supposed(account_seen, now)
    given = None if address == "-" else address
    stale = snapshot.ages.at(now)
    location, labels = snapshot.place(given, stale)
    decision = snapshot.judge(given, request)[1]  # first: it counts that the account is here
    tried = explained(policy, Sender(location=location, labels=labels, request=request, now=now))
    entries = [f"{match.value}: {told(match)}" for match in snapshot.list_matches(given or "")]
    if as_json:
        document = _document(decision, tried, policy) | {"in_lists": entries}
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    moment = options.shown(datetime.fromtimestamp(now, UTC).replace(microsecond=0))
    in_lists = "".join(f"in list {entry}\n" for entry in entries)
    where = f"{_where(address, location)}\n{_too_old(decision, snapshot.ages)}{in_lists}"
    click.echo(f"{where}{method} {path}, {moment}\n")
    for number, each in enumerate(tried, 1):
        _print(number, each)
    left = len(policy.rules) - len(tried)
    if left:
        click.echo(f"   … {left} more not tried")
    click.echo(f"\n{_decided(decision, policy)}")


def _where(address: str, location: Location) -> str:
    if address == "-":
        return "a client whose address cannot be told"
    if location.country is not None:
        text = f"{address} appears to be in {location.subdivision or location.country}"
    else:
        text = f"{address} is {location.status}: it has no country"
    kinds = ", ".join(f"{kind}:{sure}" for kind, sure in location.categories.items())
    return f"{text}; {kinds}" if kinds else text


def _too_old(decision: Decision, ages: Ages) -> str:
    """Return a line for each part of the data that is past its limit."""
    return "".join(
        f"stale: {aging.name}, of {aging.date:%Y-%m-%d}, is older than {aging.key}stale_after "
        f"({length(aging.stale_after)}): {aging.action}\n"
        for aging in ages.all
        if aging.name in decision.stale and aging.date is not None and aging.stale_after is not None
    )


def _print(number: int, tried: Tried) -> None:
    action = "ended" if tried.action is None else str(tried.action)
    matched = "matches" if tried.matched else "does not match"
    click.echo(f"{number:>3}  {tried.rule} ({action}) {matched}")
    for yes, text in tried.words:
        click.echo(f"       {'yes' if yes else 'no '}  {text}")


def _status(decision: Decision, policy: Policy) -> int | None:
    """Return the status of the response to a block; None where the app answers."""
    if decision.decided is not Action.BLOCK or form_of(decision, policy).status is None:
        return None
    return blocked(decision, policy).status


def _decided(decision: Decision, policy: Policy) -> str:
    if decision.rule is not None:
        by = f"rule {decision.rule}"
    elif decision.location.status is Status.KNOWN:
        by = "default"
    else:
        by = f"fallback.{decision.location.status}"
    text = f"{decision.decided} by {by} (reason {decision.reason})"
    if decision.counted:
        text += f"; counted by {', '.join(decision.counted)}"
    status = _status(decision, policy)
    if status is not None:
        text += f"; the client gets status {status}, code {decision.code}"
    elif decision.decided is Action.WARN:
        text += f"; the app answers, with a warning: {decision.code}"
    return f"{text}; in a dry run nothing is enforced" if policy.dry_run else text


def _document(decision: Decision, tried: tuple[Tried, ...], policy: Policy) -> dict[str, object]:
    return {
        "country": decision.country,
        "status_of_address": decision.location.status,
        "tried": [
            {
                "rule": each.rule,
                "action": each.action,
                "matched": each.matched,
                "words": [{"matched": yes, "text": text} for yes, text in each.words],
            }
            for each in tried
        ],
        "decided": decision.decided,
        "enforced": decision.action,
        "rule": decision.rule,
        "reason": decision.reason,
        "code": decision.code,
        "counted": decision.counted,
        "stale": decision.stale,
        "response_status": _status(decision, policy),
    }
