"""A plain, slow evaluator of a policy, written from the text of the design, not from the code.

It reads the policy as it stands in a file and scans everything from the first line to the last. It
knows the spellings of a path that the tests send, and a few countries; what it is asked beyond
that, it does not answer wrongly: it raises.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import unquote

EU = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip
GROUPS = {"@EU": EU, "@EEA": EU | {"IS", "LI", "NO"}}
CONTINENTS = {
    "AU": "OC", "BR": "SA", "CN": "AS", "GB": "EU", "HK": "AS", "IR": "AS", "JP": "AS", "MO": "AS", "NO": "EU",
    "SE": "EU", "TW": "AS", "UA": "EU", "US": "NA", "XK": "EU", "ZA": "AF",
}  # fmt: skip
CONFIDENCE = ("low", "medium", "high")
ANONYMOUS = ("vpn", "tor", "relay", "proxy")
ABOUT_COUNTRIES = {"countries", "subdivisions", "continents"}
EVERYWHERE = ["0.0.0.0/0", "::/0"]
MEDIUM = CONFIDENCE.index("medium")
MOST_TELLING = ("tor", "vpn", "proxy", "relay", "bot", "cdn", "hosting")
PROVING = ("", "relay")  # who comes through anything else can be anywhere
PRIVATE = [
    "10.0.0.0/8",
    "127.0.0.0/8",
    "192.168.0.0/16",
    "::1",
    "fc00::/7",
]  # of those the tests send
FALLBACK = {
    "allow": {"unknown": "allow", "private": "allow", "unresolved": "block", "no_data": "block"},
    "block": {"unknown": "block", "private": "block", "unresolved": "block", "no_data": "block"},
}


class Answer(NamedTuple):
    """What is decided; ``rule`` is None where the default or a fallback did."""

    action: str
    rule: str | None
    reason: str
    code: str | None
    would: str | None = None
    counted: tuple[str, ...] = ()
    emergency: bool = False
    stale: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class World:
    """What is known of networks: the data, and the owner's lists; all of it is of one date."""

    date: datetime

    countries: Mapping[str, str] = field(default_factory=dict)
    subdivisions: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)  #: ``"vpn:high:whose|cdn:low:whose"``
    asns: Mapping[str, int] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: who (None: nobody can tell), what for, and when."""

    at: datetime
    address: str | None = None
    path: str = "/"
    raw_path: bytes | None = None
    method: str = "GET"
    host: str = ""
    protocol: str = "http"
    headers: Sequence[tuple[bytes, bytes]] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    emergency: bool = False


class Seen(NamedTuple):
    """That an account sent a request from a country, through a category of network or none."""

    account: str
    country: str
    category: str
    at: datetime


class Place(NamedTuple):
    """What the world says of an address."""

    address: IPv4Address | IPv6Address | None
    status: str
    country: str | None = None
    subdivision: str | None = None
    categories: Mapping[str, int] = {}
    asn: int | None = None
    lists: frozenset[str] = frozenset()


def counted(answer: Answer) -> Answer:
    """What tells a decision apart in the counts: not the lists that are too old."""
    return answer._replace(
        stale=frozenset(name for name in answer.stale if not name.startswith("list "))
    )


def decide(
    policy: Mapping[str, Any], world: World, asked: Asked, history: list[Seen] | None = None
) -> Answer:
    """Try the rules in their order: the first one that matches decides, a counting one goes on.

    The history has every request of an account before this one; this one is added, and counts.
    """
    found = located(world, asked.address)
    old = too_old(policy, world, asked.at)
    place = still_seen(found, old)
    held = [*found.categories, *(f"list {name}" for name in found.lists)]
    held += ["country"] if found.status in ("known", "unknown") else []
    stale = frozenset(held) & old.keys()
    history = [] if history is None else history
    if asked.account and place.country is not None:
        sure = [name for name, rank in place.categories.items() if rank >= MEDIUM]
        category = next((name for name in MOST_TELLING if name in sure), "")
        history.append(Seen(asked.account, place.country, category, asked.at))
    counted: list[str] = []
    for rule in policy.get("rules", ()):
        action = action_at(rule, asked.at)
        if not rule_matches(rule, action, policy, place, asked, history):
            continue
        if action == "count":
            counted.append(rule["name"])
            continue
        said = enforced(policy, asked, action, rule, reason_of(rule), tuple(counted))
        return said._replace(stale=stale)
    if place.status == "known":
        said = enforced(policy, asked, policy["default"], None, "default", tuple(counted))
        return said._replace(stale=stale)
    usual = FALLBACK[policy["default"]][place.status]
    action = policy.get("fallback", {}).get(place.status, usual)
    said = enforced(policy, asked, action, None, place.status, tuple(counted))
    return said._replace(stale=stale)


def too_old(policy: Mapping[str, Any], world: World, at: datetime) -> dict[str, str]:
    """What has reached its limit, and what follows."""
    limits = {"country": (policy, "no_data")}
    limits |= {name: (limit, "keep") for name, limit in policy.get("categories", {}).items()}
    limits |= {f"list {name}": (entry, "keep") for name, entry in policy.get("lists", {}).items()}
    return {
        name: limit.get("stale_action", usual)
        for name, (limit, usual) in limits.items()
        if "stale_after" in limit and at - world.date >= duration(limit["stale_after"])
    }


def still_seen(place: Place, old: Mapping[str, str]) -> Place:
    """What rules see of a place: no country without data, and nothing that is ignored."""
    categories = {
        name: rank for name, rank in place.categories.items() if old.get(name) != "ignore"
    }
    lists = frozenset(name for name in place.lists if old.get(f"list {name}") != "ignore")
    place = place._replace(categories=categories, lists=lists)
    if old.get("country") == "no_data" and place.status in ("known", "unknown"):
        return place._replace(status="no_data", country=None, subdivision=None)
    return place


def action_at(rule: Mapping[str, Any], at: datetime) -> str:
    """A schedule: allow before its first date, warn between, block after."""
    if "action" in rule:
        return str(rule["action"])
    if "block_from" in rule and at >= rule["block_from"]:
        return "block"
    return "warn" if "warn_from" in rule and at >= rule["warn_from"] else "allow"


def rule_matches(
    rule: Mapping[str, Any], action: str, policy: Mapping[str, Any], place: Place, asked: Asked,
    history: Sequence[Seen],
) -> bool:  # fmt: skip
    """A rule that has not ended matches when all its words do and none of its exceptions."""
    if "until" in rule and asked.at >= rule["until"]:
        return False
    unless = rule.get("unless", [])
    exceptions = [unless] if isinstance(unless, Mapping) else unless
    return words_match(rule, policy, place, asked, history, broad=action == "block") and not any(
        words_match(words, policy, place, asked, history, broad=False) for words in exceptions
    )


def words_match(
    words: Mapping[str, Any], policy: Mapping[str, Any], place: Place, asked: Asked,
    history: Sequence[Seen], *, broad: bool,
) -> bool:  # fmt: skip
    """Different words are and-ed, the values of one word or-ed."""
    credentials = policy.get("credentials", {})
    tests: dict[str, Callable[[Any], bool]] = {
        "countries": lambda code: place.country in members(code),
        "subdivisions": lambda code: place.subdivision == code.upper(),
        "continents": lambda code: (
            place.country is not None and CONTINENTS[place.country] == code.upper()
        ),
        "categories": lambda wanted: in_category(place, wanted),
        "lists": lambda name: name in place.lists,
        "networks": lambda network: holds(network, place.address),
        "asns": lambda asn: place.asn == int(str(asn).upper().removeprefix("AS")),
        "hosts": lambda host: is_host(host, asked.host),
        "paths": lambda pattern: is_path(
            pattern, asked, broad, policy.get("paths_ignore_case", False)
        ),
        "methods": lambda method: asked.method == method.upper(),
        "protocols": lambda protocol: asked.protocol == protocol,
        "credentials": lambda name: has_credential(credentials[name], asked),
    }
    return all(any(tests[word](value) for value in words[word]) for word in tests if word in words) and all(
        asked.attributes.get(name) in values for name, values in words.get("attributes", {}).items()
    ) and account_matches(words, asked, history)  # fmt: skip


def account_matches(words: Mapping[str, Any], asked: Asked, history: Sequence[Seen]) -> bool:
    """Where the account of a request was lately; nobody was anywhere."""
    if "account_seen_in" in words:
        word = words["account_seen_in"]
        seen = countries_seen(word, asked, history)
        if "countries" in word:
            seen &= frozenset().union(*(members(code) for code in word["countries"]))
        if "outside" in word:
            seen -= frozenset().union(*(members(code) for code in word["outside"]))
        if not seen:
            return False
    if "account_countries" in words:
        word = words["account_countries"]
        return len(countries_seen(word, asked, history)) > word["more_than"] and bool(asked.account)
    return True


def countries_seen(
    word: Mapping[str, Any], asked: Asked, history: Sequence[Seen]
) -> frozenset[str]:
    """The countries of the account's requests, counted by the minute, that the word looks at."""
    since = asked.at - duration(word["within"])
    return frozenset(
        seen.country for seen in history
        if seen.account == asked.account and seen.at >= since.replace(second=0, microsecond=0)
        and (seen.category in word["categories"] if "categories" in word else seen.category in PROVING)
    )  # fmt: skip


def duration(text: str) -> timedelta:
    """Hours, days or weeks."""
    unit = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
    return int(text[:-1]) * unit[text[-1]]


def members(code: str) -> frozenset[str]:
    """A country, or those of a group."""
    return frozenset(GROUPS.get(code.upper(), {code.upper()}))


def in_category(place: Place, wanted: str) -> bool:
    """Without a suffix, medium confidence or better."""
    category, _, least = wanted.partition(":")
    return place.categories.get(category, -1) >= CONFIDENCE.index(least or "medium")


def holds(network: str, address: IPv4Address | IPv6Address | None) -> bool:
    """An address of the other family is not in a network."""
    return address is not None and address in ip_network(network)


def is_host(pattern: str, host: str) -> bool:
    """Ignore case and port; ``*.example.com`` is every name below."""
    name, pattern = host.lower().partition(":")[0], pattern.lower()
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def has_credential(credential: Mapping[str, Any], asked: Asked) -> bool:
    """The header's whole value has one of the sums; several lines are joined by commas."""
    if "until" in credential and asked.at >= credential["until"]:
        return False
    name = credential["header"].lower().encode()
    lines = [value for key, value in asked.headers if key.lower() == name]
    return bool(lines) and hashlib.sha256(b",".join(lines)).hexdigest() in credential["sha256"]


def is_path(pattern: str, asked: Asked, broad: bool, ignore_case: bool) -> bool:
    """Broadly: some way to read the path matches. Strictly: it is in normal form and matches."""
    sent = asked.path if asked.raw_path is None else asked.raw_path.decode()
    if not broad:
        odd = re.search(r"//|[\\;%\0]|/\.\.?(/|$)", sent) or "\\" in asked.path
        return not odd and path_fits(pattern, asked.path)
    readings = {asked.path, tidy(asked.path), tidy(unquote(sent)), tidy(unquote(unquote(sent)))}
    if ignore_case:
        pattern, readings = pattern.lower(), {path.lower() for path in readings}
    return any(path_fits(pattern, path) for path in readings)


def path_fits(pattern: str, path: str) -> bool:
    """``/a`` exactly that; ``/a/*`` also everything below; other stars within a segment."""
    stem = pattern.removesuffix("/*")
    expression = "[^/]*".join(re.escape(text) for text in stem.split("*"))
    below = "(/.*)?" if stem != pattern else ""
    return re.fullmatch(expression + below, path) is not None


def tidy(path: str) -> str:
    """Slashes for back slashes, no parameters, no empty or dot segments."""
    kept: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            del kept[-1:]
        elif name not in ("", "."):
            kept.append(name)
    return "/" + "/".join(kept)


def located(world: World, address: str | None) -> Place:
    """Look every table through; the narrowest network that holds the address tells."""
    if address is None:
        return Place(None, "unresolved")
    ip = carried(ip_address(address))
    lists = frozenset(
        name for name, networks in world.lists.items() if any(holds(network, ip) for network in networks)
    )  # fmt: skip
    about = categories_of(world, ip), narrowest(world.asns, ip), lists
    if any(holds(network, ip) for network in PRIVATE):
        return Place(ip, "private", None, None, *about)
    country = narrowest(world.countries, ip)
    status = "unknown" if country is None else "known"
    return Place(ip, status, country, narrowest(world.subdivisions, ip), *about)


def categories_of(world: World, ip: IPv4Address | IPv6Address) -> Mapping[str, int]:
    """The surest claim of each category; a relay is no VPN, no proxy and nobody's machine."""
    said = [
        claim.split(":")
        for at in world.networks
        if holds(at, ip)
        for claim in world.networks[at].split("|")
    ]
    found = {
        category: max(CONFIDENCE.index(sure) for of, sure, _ in said if of == category)
        for category, _, _ in said
    }
    behind = {"hosting", "vpn", "proxy", "cdn"} if found.get("relay", 0) >= MEDIUM else set()
    return {category: found[category] for category in found.keys() - behind}


def carried(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address in an IPv6 one: mapped, or 6to4."""
    return (ip.ipv4_mapped or ip.sixtofour or ip) if isinstance(ip, IPv6Address) else ip


def narrowest(table: Mapping[str, Any], ip: IPv4Address | IPv6Address) -> Any:
    """The value of the narrowest network that holds an address."""
    found = [network for network in table if holds(network, ip)]
    return table[max(found, key=lambda network: ip_network(network).prefixlen)] if found else None


def reason_of(rule: Mapping[str, Any]) -> str:
    """What a rule goes by: the account first, categories, then the country, then the network.

    A rule on everywhere goes by the countries that it excepts.
    """
    unless = rule.get("unless", [])
    exceptions = [unless] if isinstance(unless, Mapping) else unless
    everywhere = set(rule.get("networks", EVERYWHERE)) & set(EVERYWHERE) and not rule.keys() & {
        "lists",
        "asns",
    }
    if rule.keys() & {"account_seen_in", "account_countries"}:
        return "account"
    if "categories" in rule:
        return "category"
    if rule.keys() & ABOUT_COUNTRIES or (
        everywhere and any(words.keys() & ABOUT_COUNTRIES for words in exceptions)
    ):
        return "country"
    return "network" if rule.keys() & {"lists", "networks", "asns"} else "request"


def code_of(rule: Mapping[str, Any] | None, reason: str) -> str:
    """What a client is told that is warned or blocked."""
    if reason == "category" and rule is not None:
        names = {wanted.partition(":")[0] for wanted in rule["categories"]}
        return "anonymous_network" if names & set(ANONYMOUS) else "network_not_allowed"
    return {
        "network": "network_not_allowed",
        "account": "account_location_restricted",
        "private": "network_not_allowed",
        "unresolved": "client_address_unresolved",
        "no_data": "location_unavailable",
    }.get(reason, "unsupported_country_region_territory")


def enforced(
    policy: Mapping[str, Any], asked: Asked, action: str, rule: Mapping[str, Any] | None, reason: str,
    counted: tuple[str, ...],
) -> Answer:  # fmt: skip
    """A dry run allows and tells what would have been; in an emergency blocks become warnings."""
    name = None if rule is None else str(rule["name"])
    code = None if action == "allow" else code_of(rule, reason)
    if policy.get("mode") == "dry-run":
        return Answer("allow", name, reason, code, action, counted)
    if asked.emergency and action == "block":
        return Answer("warn", name, reason, code, "block", counted, emergency=True)
    return Answer(action, name, reason, code, None, counted)
