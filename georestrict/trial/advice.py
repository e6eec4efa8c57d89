"""Advice about a valid policy: what its owner has most likely not meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from georestrict import groups
from georestrict.labels import Label, NetworksLabel
from georestrict.location import Location, Status
from georestrict.policy import Action, Fallback, Policy, Words
from georestrict.policy.accounts import KEYS, PROVING, AccountWord, SeenIn
from georestrict.policy.checks import length
from georestrict.policy.places import line_of
from georestrict.policy.problems import Problem
from georestrict.policy.words import whole_families
from georestrict.snapshot import Snapshot
from georestrict.tomllines import KeyPath
from georestrict.trial.cases import place_of, request_of, tried
from georestrict.trial.hidden import hidden, reach, some
from georestrict.trial.judge import Asked, Judge, asked_by

#: How long sightings are kept, unless the app says otherwise (``Accounts``).
USUALLY_KEPT = timedelta(days=30)
_WITHOUT_TERRITORIES = ("@eu", "@eea", "@schengen", "@eurozone")


def advice(
    policy: Policy,
    snapshot: Snapshot | None,
    document: Mapping[str, Any],
    lines: Mapping[KeyPath, int],
    now: datetime,
) -> list[Problem]:
    """Return advice in the order of its lines; the document is what the policy was read from.

    Without a snapshot, since the data lacks what the policy asks for, its tests are not looked at.

    Raises:
        ConfigurationError: if a list cannot be read.
    """
    told = [
        Problem(line_of(path, lines), message)
        for path, message in (
            *hidden(policy),
            *_ended(policy, now),
            *_empty(policy),
            *_pasts(policy),
            *_open(policy, document),
            *_separated(policy, now),
            *_without_territories(policy, document),
            *_unused(policy),
            *(_undated(snapshot, now) if snapshot is not None else ()),
            *(_too_old(snapshot, now) if snapshot is not None else ()),
            *_without_contact(policy),
        )
    ]
    return sorted(told, key=lambda problem: problem.line or 0)


_Told = Iterator[tuple[KeyPath, str]]


def _too_old(snapshot: Snapshot, now: datetime) -> _Told:
    for aging in snapshot.ages.all:
        for word, limit, moment in (
            ("stale_after", aging.stale_after, aging.stale_from),
            ("warn_after", aging.warn_after, aging.warns_from),
        ):
            if limit is None:
                continue
            key = f"{aging.key}{word}"
            if aging.date is None:
                told = "nothing that it is about grows old, so it is never reached; remove it"
            elif now.timestamp() >= moment:
                days, date = aging.days(now.timestamp()), f"{aging.date:%Y-%m-%d}"
                told = (
                    f"is {length(limit)}, and the data in use is older: of {date}, {days} days; "
                    "bring newer data, or allow more"
                )
            else:
                continue
            kind, _, name = aging.key.rstrip(".").partition(".")
            yield (kind, name, word) if kind else (word,), f"{key}: {told}"


def _ended(policy: Policy, now: datetime) -> _Told:
    for number, rule in enumerate(policy.rules):
        if rule.until is not None and rule.until <= now:
            yield (
                ("rules", number, "until"),
                f"rules[{number + 1}] ({rule.name}).until: was {rule.until.date()}, so the rule "
                "matches nothing any more; remove it",
            )

    for name, credential in policy.credentials.items():
        if credential.until is not None and credential.until <= now:
            yield (
                ("credentials", name, "until"),
                f"credentials.{name}.until: was {credential.until.date()}, so nobody can show it "
                "any more; remove it, or let it end later",
            )


def _empty(policy: Policy) -> _Told:
    """Tell of words that match nothing, whatever the request."""
    for number, rule in enumerate(policy.rules):
        key = f"rules[{number + 1}] ({rule.name})"
        for place, words in enumerate((rule, *rule.unless)):
            path: KeyPath = ("rules", number, *(("unless", place - 1) if place else ()))
            at = f"{key}.unless[{place}]" if place else key
            if reach(words) == frozenset():
                yield (
                    path,
                    f"{at}: matches nothing: no country is in its countries, subdivisions and "
                    "continents alike; remove one of these words, or write two rules",
                )


def _pasts(policy: Policy) -> _Told:
    """Tell of words about accounts that hold always, or that see less than they say."""
    for number, rule in enumerate(policy.rules):
        for place, words in enumerate((rule, *rule.unless)):
            path: KeyPath = ("rules", number, *(("unless", place - 1) if place else ()))
            key = f"rules[{number + 1}] ({rule.name}){f'.unless[{place}]' if place else ''}"
            for name in KEYS:
                word: AccountWord | None = getattr(words, name)
                if word is None:
                    continue
                if word.within > USUALLY_KEPT:
                    yield (
                        (*path, name, "within"),
                        f"{key}.{name}.within: is {length(word.within)}, and accounts are kept "
                        f"for {length(USUALLY_KEPT)}, unless the app says otherwise; give it "
                        f'accounts=Accounts(keep="{length(word.within)}"), or shorten it',
                    )
                proves = not rule.categories or any(one in PROVING for one, _ in rule.categories)
                if proves and _always(word, reach(rule)):
                    yield (
                        (*path, name),
                        f"{key}.{name}: holds for every account that comes from there, unless "
                        "through an exit or a machine for rent: the request at hand counts, too; "
                        "name other places",
                    )


def _always(word: AccountWord, reach: frozenset[str] | None) -> bool:
    """Whether a request that a rule matches shows by itself what a word about accounts asks."""
    if reach is None or word.categories:
        return False
    if isinstance(word, SeenIn):
        return reach <= word.asked
    return word.more_than == 0


def _open(policy: Policy, document: Mapping[str, Any]) -> _Told:
    blocks = any(Action.BLOCK in rule.actions and _names_places(rule) for rule in policy.rules)
    stated = "unknown" in document.get("fallback", {})
    if blocks and not stated and policy.fallback[Fallback.UNKNOWN] is Action.ALLOW:
        yield (
            ("default",),
            "fallback.unknown: is not stated, so a block list lets in every address of which the "
            'data does not know the country; set it to "block", or to "allow" if you mean that',
        )


def _names_places(words: Words) -> bool:
    return bool(words.countries or words.subdivisions or words.continents)


def _separated(policy: Policy, now: datetime) -> _Told:
    """Tell where some members of the EEA are refused what others get."""
    members = sorted(groups.expand("@eea"))
    everywhere: set[Label] = {
        NetworksLabel(words.networks)
        for words in policy.conditions
        if whole_families(words.networks)
    }
    judge = Judge(policy)
    places = [Location(country=code, status=Status.KNOWN) for code in members]
    apart = [
        (judge.matching(place, frozenset(everywhere)), judge.sighting(place)) for place in places
    ]
    several = dict(zip(apart, places, strict=True))  # members that the policy tells apart
    found: list[tuple[datetime, int, Asked]] = []
    kinds = dict.fromkeys([Asked(), *asked_by(policy)])
    for number, asked in enumerate(kinds if len(several) > 1 else ()):
        dates = {
            date for one, place in several.items() for date in judge.dates(one[0], place, asked)
        }
        found += [(at, number, asked) for at in (now, *dates) if at >= now]
    told: set[str] = set()
    for at, _, asked in sorted(found):
        said = {
            one: judge.decide(one[0], place, asked, at.timestamp())
            for one, place in several.items()
        }
        decisions = {code: said[one] for code, one in zip(members, apart, strict=True)}
        refused = [code for code in members if decisions[code].decided is not Action.ALLOW]
        if not refused or len(refused) == len(members):
            continue
        names = list(dict.fromkeys(decisions[code].rule for code in refused))
        by = names[0] if names[0] is not None else "default"
        if by in told:
            continue
        told.add(by)
        rules = [rule.name for rule in policy.rules]
        key: KeyPath = ("default",) if names[0] is None else ("rules", rules.index(names[0]))
        when = "" if at == now else f"from {_shown(at)} on, "
        yield (
            key,
            f"{_key(key, by)}: {when}separates members of the EEA from one another: "
            f"{decisions[refused[0]].decided} for {some(refused)}, not for "
            f"{some([code for code in members if code not in refused])}; Regulation (EU) "
            "2018/302 forbids that unless a law or a licence demands it",
        )


def _key(place: KeyPath, name: str) -> str:
    return "default" if place == ("default",) else f"rules[{int(place[1]) + 1}] ({name})"


def _without_territories(policy: Policy, document: Mapping[str, Any]) -> _Told:
    territories = groups.expand("@eu-territories")
    rules = zip(policy.rules, document.get("rules", ()), strict=True)
    for number, (rule, entry) in enumerate(rules):
        named = [text.lower() for text in entry.get("countries", ()) if isinstance(text, str)]
        group = next((name for name in named if name in _WITHOUT_TERRITORIES), None)
        if group is not None and not rule.countries & territories:
            yield (
                ("rules", number, "countries"),
                f"rules[{number + 1}] ({rule.name}).countries: {group} does not hold those parts "
                f"of the EU that have a code of their own ({', '.join(sorted(territories))}); add "
                "@eu-territories, or name those that you mean",
            )


def _unused(policy: Policy) -> _Told:
    for table in ("lists", "credentials"):
        used = {name for words in policy.conditions for name in getattr(words, table)}
        for name in getattr(policy, table):
            if name not in used:
                yield (table, name), f"{table}.{name}: no rule names it; remove it, or add a rule"
    forms = {policy.response, *(rule.response for rule in policy.rules)}
    for name in policy.responses:
        if name not in forms:
            yield ("responses", name), f"responses.{name}: nothing names it; remove it, or name it"


def _undated(snapshot: Snapshot, now: datetime) -> _Told:
    """Tell of tests without a time whose answer changes by itself."""
    judge = Judge(snapshot.policy)
    for number, case in enumerate(snapshot.policy.tests):
        if case.at is not None:
            continue
        location, labels = place_of(snapshot, case)
        request = request_of(case, snapshot)
        dates = judge.dates(judge.matching(location, labels), location, request)
        moments = [now, *sorted(date for date in dates if date > now)]
        said = [tried(snapshot, replace(case, at=at)).decision for at in moments]
        for at, decision in zip(moments, said, strict=True):
            if (decision.decided, decision.rule) != (said[0].decided, said[0].rule):
                yield (
                    ("tests", number),
                    f"tests[{number + 1}].at: is missing, and the answer changes by itself on "
                    f"{_shown(at)}; say when",
                )
                break


def _without_contact(policy: Policy) -> _Told:
    blocks = policy.default is Action.BLOCK or any(
        Action.BLOCK in rule.actions for rule in policy.rules
    )
    if blocks and policy.contact is None:
        yield (
            (),
            'contact: is missing: blocked clients are not told whom to ask; set contact = "https://…"',
        )


def _shown(date: datetime) -> str:
    return date.astimezone(UTC).isoformat().replace("+00:00", "Z")
