"""Rules: what an owner says about some requests, and from when on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from georestrict.errors import ConfigurationError
from georestrict.policy import checks
from georestrict.policy.words import CHECKS, Words, settle


class Action(StrEnum):
    """What happens to a request."""

    ALLOW = "allow"
    WARN = "warn"
    BLOCK = "block"
    COUNT = "count"  #: only of rules: the request is counted, and the next rule is tried


#: What can be decided.
DECIDED = (Action.ALLOW, Action.WARN, Action.BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Rule(Words):
    """One rule: it matches when each of its words does, and none of its exceptions (``unless``).

    It has an ``action``, or a schedule: allow before the first of its dates, warn from
    ``warn_from``, block from ``block_from``. From ``until`` on it does not match.

    Raises:
        ConfigurationError: naming the word and the fix.
    """

    name: str
    action: Action | None = None
    warn_from: datetime | None = None
    block_from: datetime | None = None
    until: datetime | None = None
    response: str | None = None
    unless: tuple[Words, ...] = ()

    def __post_init__(self) -> None:
        """Check every word, and that together they make sense."""
        checks.name(self.name, "name")
        if self.action is not None:
            settle(self, "action", Action(checks.word(self.action, "action", tuple(Action))))
        for key in ("warn_from", "block_from", "until"):
            if getattr(self, key) is not None:
                settle(self, key, checks.instant(getattr(self, key), key))
        if self.response is not None:
            checks.name(self.response, "response")
        settle(self, "unless", _exceptions(self.unless))
        Words.__post_init__(self)
        self._check_times()
        self._check_sense()

    def _check_times(self) -> None:
        dates = [date for date in (self.warn_from, self.block_from) if date is not None]
        if self.action is None and not dates:
            checks.fail("action", f"is missing; write one of {', '.join(Action)}, or block_from")
        if self.action is not None and dates:
            checks.fail("action", "stands beside a schedule; keep it, or warn_from and block_from")
        if len(dates) == 2 and dates[0] >= dates[1]:
            checks.fail(
                "warn_from", f"is {dates[0]}, not before block_from {dates[1]}; warn earlier"
            )
        if self.until is not None and any(date >= self.until for date in dates):
            checks.fail("until", f"is {self.until}, not after the schedule; end the rule later")

    def _check_sense(self) -> None:
        if self.response is not None and self.action in (Action.ALLOW, Action.COUNT):
            checks.fail(
                "response", f"is for what is blocked or warned; the rule says {self.action}"
            )
        if self.says_where:
            return
        if self.action is not Action.ALLOW:
            raise ConfigurationError(
                "has no word that says where from; add countries, categories, lists or networks"
            )
        if not self.says_anything:
            raise ConfigurationError(
                "matches everything; add a word such as countries or paths, or use default"
            )

    def action_at(self, now: float) -> Action | None:
        """Return what the rule does at a time (seconds since the epoch); None when it has ended."""
        if self.until is not None and now >= self.until.timestamp():
            return None
        if self.action is not None:
            return self.action
        if self.block_from is not None and now >= self.block_from.timestamp():
            return Action.BLOCK
        if self.warn_from is not None and now >= self.warn_from.timestamp():
            return Action.WARN
        return Action.ALLOW

    @property
    def actions(self) -> tuple[Action, ...]:
        """What the rule may do at one time or another."""
        if self.action is not None:
            return (self.action,)
        warns = () if self.warn_from is None else (Action.WARN,)
        blocks = () if self.block_from is None else (Action.BLOCK,)
        return (Action.ALLOW, *warns, *blocks)

    @property
    def depends_on_time(self) -> bool:
        """Whether the rule has a date."""
        return self.action is None or self.until is not None


def _exceptions(given: Any) -> tuple[Words, ...]:
    """Return the exceptions of a rule: a table of words, or several of them."""
    tables = (given,) if isinstance(given, Words | Mapping) else given
    if isinstance(tables, str) or not isinstance(tables, Iterable):
        checks.fail("unless", f"is {given!r}, must be a table such as {{ countries = ['DE'] }}")
    tables = tuple(tables)
    if not tables and given != ():
        checks.fail("unless", "is empty; name at least one word, or remove it")
    exceptions = []
    for place, entry in enumerate(tables, 1):
        key = "unless" if isinstance(given, Words | Mapping) else f"unless[{place}]"
        if not isinstance(entry, Words):
            checks.table(entry, key, tuple(CHECKS))
            for word in entry:
                checks.not_left_out(entry[word], f"{key}.{word}")
            try:
                entry = Words(**entry)
            except ConfigurationError as error:
                raise ConfigurationError(f"{key}.{error}") from None
        if not entry.says_anything:
            checks.fail(key, "is empty; name at least one word, or remove it")
        exceptions.append(entry)
    return tuple(exceptions)
