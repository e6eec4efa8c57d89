"""A summary as one long table, for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from georestrict.replay.summary import Actions, Judged, Summary

_COLUMNS = {
    "policy": pl.String,
    "dimension": pl.String,
    "key": pl.String,
    "action": pl.String,
    "requests": pl.Int64,
}
_DIMENSIONS = ("reason", "rule", "country", "category", "route", "network")


def table(summary: Summary) -> pl.DataFrame:
    """Return every count as a row of policy, dimension, key, action and requests.

    In the dimension ``clients`` it is distinct addresses that are counted.
    """
    return pl.DataFrame(list(_rows(summary)), _COLUMNS, orient="row")


def _rows(summary: Summary) -> Iterator[tuple[str, str, str, str, int]]:
    for judged in summary.policies:
        for dimension, by in _dimensions(judged).items():
            for key, actions in by.items():
                for action, requests in actions.items():
                    yield judged.policy, dimension, key, action, requests
        for rule, requests in judged.by_counted.items():
            yield judged.policy, "counted", rule, "", requests


def _dimensions(judged: Judged) -> dict[str, Mapping[str, Actions]]:
    named: dict[str, Mapping[str, Actions]] = {
        "action": {action: {action: count} for action, count in judged.by_action.items()},
        "clients": {action: {action: count} for action, count in judged.clients.items()},
        "account": judged.by_account or {},
        "time": judged.timeline,
    }
    return named | {name: getattr(judged, f"by_{name}") for name in _DIMENSIONS}
