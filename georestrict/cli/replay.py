"""``georestrict replay``: who would have been hit, by access logs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import click

from georestrict.address import SingleHeader, Strategy, TrustedProxies
from georestrict.cli import options
from georestrict.cli.inputs import print_table, shown
from georestrict.cli.outputs import check_outputs, write_outputs
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.policy import Policy

if TYPE_CHECKING:
    from georestrict.replay.summary import Actions, Judged, Summary

_CHAINS = ("x-forwarded-for", "forwarded")
_UNKNOWN = ("credentials", "attributes")
_DIMENSIONS = ("reason", "rule", "country", "category", "route", "network")


@click.command()
@click.argument("log", nargs=-1, required=True)
@click.option("--policy", multiple=True, type=click.Path(), help="The policy; twice to compare.")
@click.option("--format", "format_", help="How the logs are written, if that cannot be told.")
@options.as_json
@click.option("--csv", type=click.Path(), help="Write all counts into a CSV file.")
@click.option("--parquet", type=click.Path(), help="Write all counts into a Parquet file.")
@click.option("--html", type=click.Path(), help="Write a report for people: one file.")
@click.option("--by", type=click.Choice(["account"]), help="Count by account, too.")
@options.database
@click.option("--trusted", multiple=True, metavar="CIDR", help="A proxy's network.")
@click.option("--header", default="X-Forwarded-For", show_default=True, help="What it writes to.")
@options.at
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows a table."
)
def replay(
    log: tuple[str, ...],
    policy: tuple[str, ...],
    format_: str | None,
    as_json: bool,
    csv: str | None,
    parquet: str | None,
    html: str | None,
    by: str | None,
    database: str | None,
    trusted: tuple[str, ...],
    header: str,
    at: datetime | None,
    limit: int,
) -> None:
    """Say who would have been hit, had the policy been in force when LOG was written.

    LOG may be compressed (gzip, zstd), or '-': standard input. Nothing is enforced, and a policy in
    a dry run is taken at its word. Exit code 1 if a log cannot be read to its end: then nothing is
    told. Needs the extra: pip install 'georestrict[replay]'
    """
    # Polars' allocator gives memory back at once, and fetching pages again costs a tenth of the
    # time. It asks when it is loaded (jemalloc's MALLOC_CONF).
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:60000,muzzy_decay_ms:60000")
    try:
        from georestrict.replay.events import RECORDED
        from georestrict.replay.formats import format_of
        from georestrict.replay.judging import Judge
        from georestrict.replay.logs import Logs
        from georestrict.replay.page import render
        from georestrict.replay.tables import table
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"replay needs {error.name}; say pip install 'georestrict[replay]'"
        ) from error
    named = {"--csv": csv, "--parquet": parquet, "--html": html}
    outputs = {option: name for option, name in named.items() if name is not None}
    check_outputs(outputs, (*log, *policy, *((database,) if database else ())))
    policies = [Policy.load(name) for name in policy]
    _check_places([each.place for each in policies])
    logs = Logs(log, None if format_ is None else format_of(format_, header), header)
    judge = None
    if policies:
        judge = Judge(
            policies,
            Database.open(database),
            client=_client(trusted, header),
            header=header,
            by_account=by is not None,
            at=at,
        )
    unknown = _unknown_words(policies)
    for words in unknown:
        click.echo(f"georestrict: {words}: no log tells that, so it never matches here", err=True)
    with click.progressbar(
        length=logs.size or 0, label="reading", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        counting = logs.replay(judge, bar.update)
    places = [each.place for each in policies] or [RECORDED]
    summary = counting.summary(places, by_account=by is not None)
    if counting.unjudged:
        click.echo(
            f"georestrict: {counting.unjudged:,} more requests are only counted in the events, "
            "without an address: they are not judged",
            err=True,
        )
    if summary.unparsed:
        total = summary.requests + summary.unparsed
        click.echo(
            f"georestrict: {summary.unparsed:,} of {total:,} lines are no request in the log's "
            f"format, and are not counted; the first is {counting.other}",
            err=True,
        )
    if policies:
        _warn_of_proxies(summary, trusted, header)
    contents: dict[str, bytes] = {}
    if csv is not None:
        contents[csv] = table(summary).write_csv().encode()
    if parquet is not None:
        columns = BytesIO()
        table(summary).write_parquet(columns)
        contents[parquet] = columns.getvalue()
    if html is not None:
        contents[html] = render(summary, made=datetime.now(UTC)).encode()
    write_outputs(contents)
    if as_json:
        click.echo(
            json.dumps(_document(summary, unknown, counting.unjudged), ensure_ascii=False, indent=1)
        )
    elif not contents:
        _print(summary, limit)


def _client(trusted: tuple[str, ...], header: str) -> Strategy | None:
    if not trusted:
        return None
    if header.lower() in _CHAINS:
        return TrustedProxies(*trusted, header=header)
    return SingleHeader(header, trusted)


def _check_places(places: list[str]) -> None:
    for place in places:
        if places.count(place) > 1:
            raise ConfigurationError(
                f"--policy {place}: is named twice, so nothing could differ; name another one"
            )


def _warn_of_proxies(summary: Summary, trusted: tuple[str, ...], header: str) -> None:
    """Warn if a policy could say little, since most addresses are perhaps not the clients'."""
    by_country = summary.policies[-1].by_country
    nowhere = sum(sum(by_country.get(status, {}).values()) for status in ("private", "unresolved"))
    if 2 * nowhere < summary.requests:
        return
    fix = (
        f"is {header} in the log, and does --trusted name every proxy?"
        if trusted
        else "if they are a proxy's, log its forwarding header, and name the proxy with --trusted"
    )
    click.echo(
        f"georestrict: {nowhere:,} of {summary.requests:,} requests are of private addresses, or "
        f"of none, so that no country is known; {fix}",
        err=True,
    )


def _unknown_words(policies: list[Policy]) -> list[str]:
    """Return the words of rules that no log can answer."""
    return [
        f"{policy.place}: rules[{number}] ({rule.name}){f'.unless[{at}]' if at else ''}.{word}"
        for policy in policies
        for number, rule in enumerate(policy.rules, 1)
        for at, words in enumerate((rule, *rule.unless))
        for word in _UNKNOWN
        if getattr(words, word)
    ]


def _document(summary: Summary, unknown: list[str], unjudged: int) -> dict[str, Any]:
    policies = [_judged(each) for each in summary.policies]
    return {
        "requests": summary.requests,
        "unparsed": summary.unparsed,
        "unjudged": unjudged,
        "clients": summary.clients,
        "first": None if summary.first is None else options.shown(summary.first),
        "last": None if summary.last is None else options.shown(summary.last),
        **{key: value for key, value in policies[-1].items() if key not in ("policy", "clients")},
        "policies": policies,
        "changes": [
            {"from": before, "to": after, "by_country": dict(countries)}
            for (before, after), countries in summary.changes.items()
        ],
        "files": [
            {
                "name": file.name,
                "format": file.format,
                "requests": file.requests,
                "unparsed": file.unparsed,
            }
            for file in summary.files
        ],
        "unknown_words": unknown,
    }


def _judged(judged: Judged) -> dict[str, Any]:
    told: dict[str, Any] = {"policy": judged.policy, "by_action": dict(judged.by_action)}
    for name in _DIMENSIONS:
        by: Mapping[str, Actions] = getattr(judged, f"by_{name}")
        told[f"by_{name}"] = {key: sum(actions.values()) for key, actions in by.items()}
        told[f"by_{name}_action"] = {key: dict(actions) for key, actions in by.items()}
    told["by_counted"] = dict(judged.by_counted)
    if judged.by_account is not None:
        told["by_account"] = {key: sum(each.values()) for key, each in judged.by_account.items()}
        told["by_account_action"] = {key: dict(each) for key, each in judged.by_account.items()}
    told["timeline"] = {key: dict(actions) for key, actions in judged.timeline.items()}
    told["clients"] = dict(judged.clients)
    return told


def _print(summary: Summary, limit: int) -> None:
    """Print tables for people."""
    between = ""
    if summary.first is not None and summary.last is not None:
        between = f" between {options.shown(summary.first)} and {options.shown(summary.last)}"
    click.echo(f"{summary.requests:,} requests from {summary.clients:,} addresses{between}")
    for judged in summary.policies:
        click.echo(f"\n{judged.policy}:")
        total = max(1, summary.requests)
        print_table(
            ("DECISION", "REQUESTS", "SHARE", "ADDRESSES"),
            (
                (action, f"{requests:,}", f"{requests / total:.2%}", f"{judged.clients[action]:,}")
                for action, requests in judged.by_action.items()
            ),
        )
        tables = {name: getattr(judged, f"by_{name}") for name in _DIMENSIONS if name != "reason"}
        tables["account"] = judged.by_account or {}
        for name, by in tables.items():
            _print_by(name, by, limit)
    for (before, after), countries in summary.changes.items():
        click.echo(f"\n{before} becomes {after}: {sum(countries.values()):,} requests")
        print_table(
            ("COUNTRY", "REQUESTS"),
            ((country, f"{requests:,}") for country, requests in _first(countries, limit)),
        )


def _print_by(name: str, by: Mapping[str, Actions], limit: int) -> None:
    """Print the keys of a dimension that are hit, those with the most requests first."""
    hit = {
        key: (actions.get("block", 0), actions.get("warn", 0), sum(actions.values()))
        for key, actions in by.items()
        if actions.keys() & {"block", "warn"}
    }
    if not hit:
        return
    click.echo()
    most = sorted(hit.items(), key=lambda each: (-each[1][0], -each[1][1], each[0]))
    print_table(
        (name.upper(), "BLOCK", "WARN", "OF"),
        ((shown(key), *(f"{number:,}" for number in numbers)) for key, numbers in most[:limit]),
    )
    if len(most) > limit:
        click.echo(f"… and {len(most) - limit:,} more")


def _first(countries: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    return sorted(countries.items(), key=lambda each: (-each[1], each[0]))[:limit]
