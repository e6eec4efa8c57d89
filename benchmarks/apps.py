"""What the questions about middlewares share: policies, lists, rounds."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path
from statistics import median
from typing import Any

import numpy

from benchmarks.common import random_ipv4
from georestrict import Database, Engine, Status

ROUNDS = 61
LISTS = 10
CONTACT = "https://example.com/contact"
COUNTRY_RULE: dict[str, Any] = {"name": "cn", "action": "block", "countries": ["CN"]}
BLOCK_LIST: dict[str, Any] = {"default": "allow", "contact": CONTACT, "rules": [COUNTRY_RULE]}
WARN_LIST: dict[str, Any] = BLOCK_LIST | {"rules": [COUNTRY_RULE | {"action": "warn"}]}

ALLOWED, BLOCKED = "81.2.69.142", "175.16.199.1"  # appear to be in GB and CN
PATH = "/v1/models"

# Most lines of real lists are narrow. Of 10,000 lines: prefix length, lines.
_IPV4_LENGTHS = dict(
    zip(
        range(16, 29), (20, 20, 40, 60, 100, 150, 400, 600, 4000, 600, 800, 1000, 2210), strict=True
    )
)
_IPV6_LENGTHS = {32: 500, 36: 500, 40: 1000, 44: 1500, 48: 4500, 52: 500, 56: 1500}
_IPV6_BLOCKS = (0x240, 0x260, 0x280, 0x2A0)  # /12s that registries give out
_IPV6_SHARE = 0.3

HEADERS = [
    (b"host", b"api.example.com"),
    (b"user-agent", b"client/1.2.3"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer 0123456789abcdef0123456789abcdef"),
    (b"x-request-id", b"7b0f0c8e-5f57-4a1c-9d6e-1f4a5c2b7e11"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"api.example.com"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"content-length", b"0"),
]


def path_policy(rules: int) -> dict[str, Any]:
    """Return a policy with so many path rules that hold everywhere: every request asks them all."""
    by_path = [
        {
            "name": f"path {number}",
            "action": "block",
            "networks": ["0.0.0.0/0", "::/0"],
            "paths": [f"/admin{number}/*"],
        }
        for number in range(rules)
    ]
    return BLOCK_LIST | {"rules": [*by_path, COUNTRY_RULE]}


def plain_addresses(count: int, *engines: Engine, seed: int = 9) -> list[str]:
    """Return uniform addresses of a known country that every engine plainly allows."""
    return [
        address
        for address in random_ipv4(3 * count, seed)
        if all(engine.decide(address, path=PATH).plain_allow for engine in engines)
        and engines[0].database.lookup(address).status is Status.KNOWN
    ][:count]


def networks(count: int) -> list[str]:
    """Return distinct networks, IPv4 /16 to /28 and IPv6 /32 to /56, the same ones every time."""
    spread = random.Random(f"{count} networks")
    found: dict[str, None] = {}
    ipv6_lengths, ipv4_lengths = list(_IPV6_LENGTHS), list(_IPV4_LENGTHS)
    ipv6_weights, ipv4_weights = list(_IPV6_LENGTHS.values()), list(_IPV4_LENGTHS.values())
    while len(found) < count:
        if spread.random() < _IPV6_SHARE:
            (length,) = spread.choices(ipv6_lengths, ipv6_weights)
            value = spread.choice(_IPV6_BLOCKS) << length - 12 | spread.getrandbits(length - 12)
            found[f"{IPv6Address(value << 128 - length)}/{length}"] = None
        else:
            (length,) = spread.choices(ipv4_lengths, ipv4_weights)
            value = spread.getrandbits(length) << 32 - length
            octets = ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
            found[f"{octets}/{length}"] = None
    return list(found)


def listing_policy(folder: Path, count: int) -> dict[str, Any]:
    """Write so many networks into ten lists, and return a policy that blocks each by a rule."""
    lines = networks(count)
    lists = {}
    for number in range(LISTS):
        path = folder / f"{count}-{number}.txt"
        path.write_text("\n".join(lines[number::LISTS]))
        lists[f"list {number}"] = {"path": str(path)}
    rules = [{"name": f"in {name}", "action": "block", "lists": [name]} for name in lists]
    return BLOCK_LIST | {"lists": lists, "rules": [*rules, COUNTRY_RULE]}


def check_listed(engine: Engine, count: int) -> None:
    """Hold an engine of :func:`listing_policy` to a sample of its lines."""
    for line in networks(count)[:: max(1, count // 1000)]:
        decision = engine.decide(line.partition("/")[0])
        assert decision.action.value == "block", (line, decision)
        assert (decision.rule or "").startswith("in list"), (line, decision)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The app: nothing."""


def direct(address: str) -> dict[str, Any]:
    """The scope of a client that connects by itself, as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": HEADERS,
        "client": (address, 40000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def check_mmdb(get: Callable[[str], Any]) -> int:
    """Hold an MMDB reader to our answers, and return how many were compared."""
    database = Database.open()
    addresses = random_ipv4(20_000, 5)
    for address in addresses:
        record = get(address)
        country = record and record["country"]["iso_code"]
        assert country == database.country(address), (address, country)
    return len(addresses)


Runs = dict[str, list[float]]


def in_rounds(candidates: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> Runs:
    """Run all candidates once a round, in a new order each; a candidate returns what it measured.

    The order is shuffled because each candidate finds the caches as the one before left them.
    """
    times: Runs = {name: [] for name in candidates}
    order, spread = list(candidates), random.Random(1)
    for number in range(rounds + 1):
        spread.shuffle(order)
        for name in order:
            took = candidates[name]()
            if number:  # the first round only warms up
                times[name].append(took)
    return times


def added(times: Runs, name: str, base: str, over: str, over_base: str) -> dict[str, Any]:
    """Return what a middleware adds to its bare app, and its ratio to what another adds to its."""
    ratio, interval = ratio_of_added(times, (name, base), (over, over_base))
    return {
        "added_ns": round(median(times[name]) - median(times[base]), 1),
        "over_empty": ratio,
        "over_empty_95_percent": interval,
    }


def said(found: dict[str, Any]) -> str:
    """Return a result of :func:`added` for people."""
    low, high = found["over_empty_95_percent"]
    return (
        f"+{found['added_ns']:,.0f} ns, {found['over_empty']:.2f} of an empty one "
        f"({low:.2f} to {high:.2f})"
    )


def ratio_of_added(
    times: Runs, first: tuple[str, str], second: tuple[str, str]
) -> tuple[float, list[float]]:
    """Return the ratio of what one middleware adds to what another adds, and its 95 % interval.

    Each is a candidate and its bare app, or "" to subtract nothing. Medians over all rounds are
    subtracted and divided; the interval is that of a bootstrap which draws whole rounds, since a
    slow moment of the machine hits all candidates of a round.
    """
    nothing = [0.0] * len(times[first[0]])
    rounds = numpy.array([times[name] if name else nothing for name in (*first, *second)])
    drawn = numpy.random.default_rng(1).integers(rounds.shape[1], size=(2000, rounds.shape[1]))

    def ratio(medians: Any) -> Any:
        return (medians[0] - medians[1]) / (medians[2] - medians[3])

    low, high = numpy.quantile(ratio(numpy.median(rounds[:, drawn], axis=2)), (0.025, 0.975))
    found = ratio(numpy.median(rounds, axis=1))
    return round(float(found), 3), [round(float(low), 3), round(float(high), 3)]
