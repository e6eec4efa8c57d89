"""Advice about a valid policy: what its owner has most likely not meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from georestrict import countries, groups
from georestrict.lists import Label, NetworksLabel, parsed_networks
from georestrict.location import Location, Status
from georestrict.networks import Category, Confidence
from georestrict.paths import PathPatterns
from georestrict.policy import Action, Fallback, Policy, Rule, Words
from georestrict.policy.places import line_of
from georestrict.policy.problems import Problem
from georestrict.policy.words import whole_families
from georestrict.snapshot import Snapshot
from georestrict.sources.networks import NetworkList, parse
from georestrict.subdivisions import spellings
from georestrict.tomlfile import read_bytes
from georestrict.tomllines import KeyPath
from georestrict.trial.cases import place_of, request_of, tried
from georestrict.trial.judge import Asked, Judge, asked_by

_SOME = 6
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
            *_hidden(policy),
            *_ended(policy, now),
            *_empty(policy),
            *_open(policy, document),
            *_separated(policy, now),
            *_without_territories(policy, document),
            *_unused(policy),
            *(_undated(snapshot, now) if snapshot is not None else ()),
            *_without_contact(policy),
        )
    ]
    return sorted(told, key=lambda problem: problem.line or 0)


_Told = Iterator[tuple[KeyPath, str]]


def _hidden(policy: Policy) -> _Told:
    networks = _Networks(policy)
    reaches = [_reach(rule) for rule in policy.rules]
    for number, later in enumerate(policy.rules):
        if reaches[number] == frozenset():
            continue  # it matches nothing, whatever stands before it
        for place, earlier in enumerate(policy.rules[:number], 1):
            odd = _hides(earlier, later, reaches[number], networks)
            if odd is None:
                continue
            never = (
                f"only odd spellings of {_some(list(odd))} reach it" if odd else "is never reached"
            )
            else_ = "else " if odd else ""
            yield (
                ("rules", number),
                f"rules[{number + 1}] ({later.name}): {never}: rule {place} ({earlier.name}) "
                f"matches everything {else_}that it does; move it up, or remove it",
            )
            break


def _hides(
    earlier: Rule, later: Rule, reach: frozenset[str] | None, networks: _Networks
) -> tuple[str, ...] | None:
    """Return, where an earlier rule decides wherever a later one would, of what it does not.

    That is what the later one blocks in spellings that the earlier one does not let through. It is
    None where the later rule is not hidden. ``reach`` are the countries that the later can match.
    """
    if earlier.action is Action.COUNT or not set(earlier.unless) <= set(later.unless):
        return None
    if earlier.until is not None and (later.until is None or later.until > earlier.until):
        return None
    if not (
        _covers_places(earlier, later, reach)
        and networks.cover(earlier, later)
        and _covers(earlier.asns, later.asns)
        and _covers(earlier.methods, later.methods)
        and _covers(earlier.protocols, later.protocols)
        and _covers(earlier.credentials, later.credentials)
        and (not earlier.paths or _each_in(later.paths, earlier.paths, _path_contains))
        and (not earlier.hosts or _each_in(later.hosts, earlier.hosts, _host_contains))
        and all(
            any(name == other and values >= wanted for other, wanted in later.attributes)
            for name, values in earlier.attributes
        )
    ):
        return None
    if Action.BLOCK not in later.actions or set(earlier.actions) == {Action.BLOCK}:
        return ()
    return (
        *(later.paths if earlier.paths else ()),
        *(sorted(later.methods) if earlier.methods else ()),
        *(later.hosts if earlier.hosts else ()),
    )


def _reach(words: Words) -> frozenset[str] | None:
    """Return the countries that words can match; None if they do not say."""
    said = [words.countries, frozenset(code[:2] for code in _spelled(words)), _members(words)]
    given = [each for each in said if each]
    return frozenset.intersection(*given) if given else None


def _members(words: Words) -> frozenset[str]:
    """Return the countries of some continents."""
    if not words.continents:
        return frozenset()
    return frozenset(
        code for code in countries.NAMES if groups.continent_of(code) in words.continents
    )


def _spelled(words: Words) -> frozenset[str]:
    return frozenset(each for code in words.subdivisions for each in spellings(code))


def _covers(earlier: Iterable[object], later: Iterable[object]) -> bool:
    """Whether a word that is and-ed asks for no more than that of a later rule."""
    return not earlier or (bool(later) and set(later) <= set(earlier))


def _each_in(later: tuple[Any, ...], earlier: tuple[Any, ...], holds: Any) -> bool:
    return bool(later) and all(any(holds(one, other) for one in earlier) for other in later)


def _path_contains(one: str, other: str) -> bool:
    if "*" not in other:
        return bool(PathPatterns((one,)).match(other, None)[0])
    stem = one.removesuffix("/*")
    below = stem != one and "*" not in stem and other.startswith(f"{stem}/")
    return one == other or below


def _host_contains(one: str, other: str) -> bool:
    return one == other or (one.startswith("*.") and other.removeprefix("*").endswith(one[1:]))


def _covers_places(earlier: Words, later: Words, reach: frozenset[str] | None) -> bool:
    continents = map(groups.continent_of, reach or ())
    within = [code for code in _spelled(later) if reach is None or code[:2] in reach]
    return (
        _covers(earlier.countries, reach or ())
        and _covers(_spelled(earlier), within)
        and _covers(earlier.continents, tuple(continents))
        and (not earlier.categories or _each_in(later.categories, earlier.categories, _is_surer))
    )


def _is_surer(one: tuple[Category, Confidence], other: tuple[Category, Confidence]) -> bool:
    return one[0] is other[0] and one[1].rank <= other[1].rank


class _Networks:
    """The networks of a policy's lists and rules as ranges."""

    def __init__(self, policy: Policy) -> None:
        self._lists = {
            name: _ranges(parse(read_bytes(file.path), str(file.path)))
            for name, file in policy.lists.items()
        }

    def cover(self, earlier: Words, later: Words) -> bool:
        """Whether what an earlier rule says of lists and networks holds all of a later one's."""
        if earlier.anywhere and later.says_where:
            earlier_networks: tuple[str, ...] = ()
        else:
            earlier_networks = earlier.networks
        return self._holds(earlier.lists, self._of_lists(earlier.lists), later) and self._holds(
            earlier_networks, _ranges_of(earlier_networks), later
        )

    def _holds(self, word: tuple[str, ...], ranges: list[tuple[int, int]], later: Words) -> bool:
        if not word:
            return True
        held = (self._of_lists(later.lists), _ranges_of(later.networks))
        return any(bool(each) and _within(each, ranges) for each in held)

    def _of_lists(self, names: tuple[str, ...]) -> list[tuple[int, int]]:
        return _merged([each for name in names for each in self._lists[name]])


def _ranges_of(networks: tuple[str, ...]) -> list[tuple[int, int]]:
    return _merged(_ranges(parsed_networks(networks)))


def _ranges(networks: NetworkList) -> list[tuple[int, int]]:
    """Return ranges of left-aligned numbers; those of IPv6 lie above those of IPv4."""
    found = []
    for above, columns in ((0, networks.ipv4), (1 << 128, networks.ipv6)):
        for first_high, first_low, last_high, last_low, _, _ in zip(*columns, strict=True):
            first, last = first_high << 64 | first_low, last_high << 64 | last_low
            found.append((above + first, above + last))
    return found


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged


def _within(inner: list[tuple[int, int]], outer: list[tuple[int, int]]) -> bool:
    """Whether merged ranges lie within other merged ranges."""
    at = 0
    for first, last in inner:
        while at < len(outer) and outer[at][1] < first:
            at += 1
        if at == len(outer) or outer[at][0] > first or outer[at][1] < last:
            return False
    return True


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
            if _reach(words) == frozenset():
                yield (
                    path,
                    f"{at}: matches nothing: no country is in its countries, subdivisions and "
                    "continents alike; remove one of these words, or write two rules",
                )


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
    matching = [judge.matching(place, frozenset(everywhere)) for place in places]
    several = dict(zip(matching, places, strict=True))  # members that the policy tells apart
    found: list[tuple[datetime, int, Asked]] = []
    kinds = dict.fromkeys([Asked(), *asked_by(policy)])
    for number, asked in enumerate(kinds if len(several) > 1 else ()):
        dates = {date for one, place in several.items() for date in judge.dates(one, place, asked)}
        found += [(at, number, asked) for at in (now, *dates) if at >= now]
    told: set[str] = set()
    for at, _, asked in sorted(found):
        said = {
            one: judge.decide(one, place, asked, at.timestamp()) for one, place in several.items()
        }
        decisions = {code: said[one] for code, one in zip(members, matching, strict=True)}
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
            f"{decisions[refused[0]].decided} for {_some(refused)}, not for "
            f"{_some([code for code in members if code not in refused])}; Regulation (EU) "
            "2018/302 forbids that unless a law or a licence demands it",
        )


def _key(place: KeyPath, name: str) -> str:
    return "default" if place == ("default",) else f"rules[{int(place[1]) + 1}] ({name})"


def _some(codes: list[str]) -> str:
    more = len(codes) - _SOME
    return ", ".join(codes[:_SOME]) + (f" and {more} more" if more > 0 else "")


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
        request = request_of(case, snapshot.policy)
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
