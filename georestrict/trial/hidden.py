"""Hidden rules: those that an earlier, broader rule leaves nothing to decide (H7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from georestrict import countries, groups
from georestrict.lists import load, parsed_networks
from georestrict.networks import Category, Confidence
from georestrict.paths import PathPatterns
from georestrict.policy import Action, Policy, Rule, Words
from georestrict.sources.networks import NetworkList
from georestrict.subdivisions import spellings
from georestrict.tomllines import KeyPath

_SOME = 6


def hidden(policy: Policy) -> Iterator[tuple[KeyPath, str]]:
    """Yield the place of each rule that never decides, or only about odd spellings, and why.

    Raises:
        ConfigurationError: if a list cannot be read.
    """
    networks = _Networks(policy)
    reaches = [reach(rule) for rule in policy.rules]
    for number, later in enumerate(policy.rules):
        if reaches[number] == frozenset():
            continue  # it matches nothing, whatever stands before it
        for place, earlier in enumerate(policy.rules[:number], 1):
            odd = _hides(earlier, later, reaches[number], networks)
            if odd is None:
                continue
            never = (
                f"only odd spellings of {some(list(odd))} reach it" if odd else "is never reached"
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
        and all(
            any(word.covers(other) for other in later.about_accounts)
            for word in earlier.about_accounts
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


def reach(words: Words) -> frozenset[str] | None:
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
            name: _ranges(load(file.path).networks) for name, file in policy.lists.items()
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


def some(codes: list[str]) -> str:
    """Return the first of some codes, and how many more there are."""
    more = len(codes) - _SOME
    return ", ".join(codes[:_SOME]) + (f" and {more} more" if more > 0 else "")
