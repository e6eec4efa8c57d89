"""What a reader should know first: how many are hit, where from, by which rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from georestrict.countries import NAMES
from georestrict.replay.page import wording
from georestrict.replay.summary import Actions, Judged, Summary

#: How many countries and rules a sentence names.
NAMED = 3
#: The name of a policy whose decisions were read from events.
RECORDED = "as recorded"


def hits(actions: Actions) -> int:
    """Return how many requests are warned or blocked."""
    return actions.get("warn", 0) + actions.get("block", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Requests that the last policy decides otherwise than the first, of one kind."""

    before: str
    after: str
    requests: int
    countries: Mapping[str, int]

    def told(self) -> str:
        """Name the countries that most of them appear to come from."""
        rows = sorted(self.countries.items(), key=lambda row: (-row[1], row[0]))
        parts = [f"{wording.place(key)} {number:,}" for key, number in rows[:NAMED]]
        if rows[NAMED:]:
            parts.append(f"elsewhere {sum(number for _, number in rows[NAMED:]):,}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the first lines say; they are about the last policy, the one that is tried."""

    judged: Judged | None
    recorded: bool  #: events told what was decided; else it *would* be
    hits: int
    countries: tuple[tuple[str, int], ...]  #: most hit first
    rules: tuple[tuple[str, int], ...]
    changes: tuple[Change, ...]
    changed: int

    @classmethod
    def of(cls, summary: Summary) -> Finding:
        """Find it."""
        last = summary.policies[-1] if summary.policies else None
        changes = tuple(
            Change(before=before, after=after, requests=sum(by.values()), countries=by)
            for (before, after), by in summary.changes.items()
        )
        return cls(
            judged=last,
            recorded=last is not None and last.policy == RECORDED,
            hits=hits(last.by_action) if last else 0,
            countries=_most_hit(last.by_country) if last else (),
            rules=_most_hit(last.by_rule) if last else (),
            changes=tuple(sorted(changes, key=lambda change: -change.requests)),
            changed=sum(change.requests for change in changes),
        )

    def where_from(self) -> str:
        """Name the countries that are most hit, each with its share of all hits."""
        named = [
            (NAMES.get(key) or wording.place(key), number) for key, number in self.countries[:NAMED]
        ]
        return self._shares([*named, ("elsewhere", self.hits - sum(by for _, by in named))])

    def by_rules(self) -> str:
        """Name the rules that hit most, each with its share of all hits."""
        first, others = self.rules[:NAMED], self.rules[NAMED:]
        rest = self.hits - sum(number for _, number in self.rules)
        return self._shares(
            [
                *((f"“{wording.cut(key, wording.NAME)}”", number) for key, number in first),
                (wording.several(len(others), "other rule"), sum(number for _, number in others)),
                ("no rule, but the policy's default or a fallback", rest),
            ]
        )  # fmt: skip

    def _shares(self, named: list[tuple[str, int]]) -> str:
        return wording.listed(
            [f"{name} ({wording.share(by, self.hits)})" for name, by in named if by > 0]
        )


def _most_hit(by: Mapping[str, Actions]) -> tuple[tuple[str, int], ...]:
    found = [(key, hits(actions)) for key, actions in by.items()]
    return tuple(sorted([row for row in found if row[1]], key=lambda row: (-row[1], row[0])))
