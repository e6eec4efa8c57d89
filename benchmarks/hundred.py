"""A hundred lists with 1,000,000 entries together, in the formats that owners have.

Of ten lists one is a folder of two files (a netset, and one with CRLF), one has notes and ends,
one is AWS JSON, one a geofeed, one has ranges, and five are plain. Every fifth entry is one that
another list has, too, and networks lie in each other as they happen to.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from benchmarks import apps

LISTS = 100
ENTRIES = 1_000_000
END = "2099-01-01T00:00:00Z"


def dealt(lists: int = LISTS, entries: int = ENTRIES) -> list[list[str]]:
    """Return the networks of each list, the same ones every time."""
    spread = random.Random(f"{entries} entries in {lists} lists")
    distinct = apps.networks(entries * 4 // 5)
    found = distinct + spread.choices(distinct, k=entries - len(distinct))
    spread.shuffle(found)
    return [found[number::lists] for number in range(lists)]


def policy(folder: Path, lists: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Write lists, and return a policy that blocks each by a rule and counts every category."""
    named: dict[str, Any] = {}
    for number, networks in enumerate(lists):
        write = _WRITERS.get(number % 10, _plain)
        write(folder / f"list{number}", networks)
        named[f"list {number}"] = {"path": str(folder / f"list{number}")}
    rules: list[dict[str, Any]] = [
        {"name": f"in {name}", "action": "block", "lists": [name]} for name in named
    ]
    kinds = ["hosting:low", "vpn:low", "tor:low", "relay:low", "proxy:low", "cdn:low", "bot:low"]
    categories = {"name": "categories", "action": "count", "categories": kinds}
    return apps.BLOCK_LIST | {
        "lists": named,
        "rules": [*rules, categories, apps.COUNTRY_RULE],
    }


def _folder(path: Path, networks: Sequence[str]) -> None:
    path.mkdir()
    half = len(networks) // 2
    (path / "a.netset").write_text("#\n# netset\n#\n" + "\n".join(networks[:half]) + "\n")
    (path / "b.txt").write_text("\r\n".join(networks[half:]) + "\r\n")


def _noted(path: Path, networks: Sequence[str]) -> None:
    path.write_text(
        "".join(
            f"{network}{f' until {END}' if at % 10 == 0 else ''}  # ticket {at}\n"
            for at, network in enumerate(networks)
        )
    )


def _aws(path: Path, networks: Sequence[str]) -> None:
    said = {"region": "eu-west-1", "service": "EC2", "network_border_group": "eu-west-1"}
    document = {
        "prefixes": [{"ip_prefix": each, **said} for each in networks if ":" not in each],
        "ipv6_prefixes": [{"ipv6_prefix": each, **said} for each in networks if ":" in each],
    }
    path.write_text(json.dumps(document))


def _geofeed(path: Path, networks: Sequence[str]) -> None:
    path.write_text("".join(f"{network},US,US-CA,Fremont,\n" for network in networks))


def _ranges(path: Path, networks: Sequence[str]) -> None:
    parsed = map(ip_network, networks)
    path.write_text("".join(f"{each[0]} - {each[-1]}\n" for each in parsed))


def _plain(path: Path, networks: Sequence[str]) -> None:
    path.write_text("\n".join(networks))


_WRITERS: dict[int, Callable[[Path, Sequence[str]], None]] = {
    0: _folder,
    1: _noted,
    2: _aws,
    3: _geofeed,
    4: _ranges,
}
