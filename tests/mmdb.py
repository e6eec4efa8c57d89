"""MMDB files for tests, as their publishers shape them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter, SearchTreeNode
from netaddr import IPSet


def write(
    path: Path,
    records: Iterable[tuple[str, Any]],
    *,
    ip_version: int = 6,
    kind: str = "Test-City",
    aliases: Iterable[str] = (),
) -> Path:
    """Write networks and their records, the wider ones first; return the path."""
    writer = MMDBWriter(
        ip_version=ip_version,
        ipv4_compatible=ip_version == 6,
        database_type=kind,
        languages=["en"],
        description={"en": f"{kind} for tests"},
        int_type="u32",
    )
    for network, record in records:
        writer.insert_network(IPSet([network]), record)
    for bits in aliases:
        _alias(writer.tree, bits)
    writer.to_db_file(str(path))
    return path


def _alias(root: SearchTreeNode, bits: str) -> None:
    """Let a prefix, given in bits, lead to the IPv4 addresses, as MaxMind's writer does."""
    ipv4: Any = root
    for _ in range(96):
        ipv4 = ipv4[0]
    node: Any = root
    for bit in bits[:-1]:
        node = node.get_or_create(int(bit))
    node[int(bits[-1])] = ipv4


def maxmind(
    country: str | None, region: str | None = None, *, registered: str | None = None
) -> dict[str, Any]:
    """A record as MaxMind has it."""
    record: dict[str, Any] = {"continent": {"code": "EU"}}
    if country:
        record["country"] = {"iso_code": country, "names": {"en": "…"}}
    if region:
        record["subdivisions"] = [{"iso_code": region, "names": {"en": "…"}}, {"iso_code": "X"}]
    if registered:
        record["registered_country"] = {"iso_code": registered}
    return record


def dbip(country: str, region: str) -> dict[str, Any]:
    """A record as DB-IP has it: regions have names only."""
    return {
        "country": {"iso_code": country},
        "subdivisions": [{"names": {"en": region}}],
        "city": {"names": {"en": "Sevastopol"}},
    }
