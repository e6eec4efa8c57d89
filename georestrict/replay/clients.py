"""The clients of many requests: who is asking, by the peer and by what a proxy wrote."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import polars as pl

from georestrict.address import Peer, Strategy

_PREFIX = {4: 24, 6: 48}
# An IPv6 address of which three groups are written out, without zeros in front: so is its network.
_PLAIN_GROUPS = r"^((?:[1-9a-f][0-9a-f]{0,3}:){3})[0-9a-f:]*$"


def clients_of(frame: pl.DataFrame, client: Strategy, header: bytes) -> pl.Series:
    """Return each request's client as text; null, or text that is no address, if it is unresolved.

    ``header`` is the name of the header of which the log has the value as ``forwarded``.
    """
    asked = frame.select("peer", "forwarded")
    if type(client) is not Peer:
        return _resolved(asked, client, header)
    # It is the peer itself, but for two cases: a peer with a zone, and a private one that says by
    # a header, whatever its value, that it is a proxy.
    peer, forwarded = pl.col("peer"), pl.col("forwarded")
    unclear = asked.select(forwarded.is_not_null() | peer.str.contains("%", literal=True))
    if not unclear.to_series().any():
        return asked.get_column("peer")
    asked = asked.with_columns(pl.when(forwarded.is_not_null()).then(pl.lit("")).alias("forwarded"))
    return _resolved(asked, client, header)


def _resolved(asked: pl.DataFrame, client: Strategy, header: bytes) -> pl.Series:
    """Return what a strategy says to peers and headers; it is asked once for each pair."""
    pairs = asked.unique()
    found = []
    for peer, forwarded in pairs.iter_rows():
        lines = [] if forwarded is None else [(header, forwarded.encode("utf-8", "surrogatepass"))]
        address = client.resolve(peer, lines).address
        found.append(None if address is None else str(address))
    told = pairs.with_columns(pl.Series("client", found, dtype=pl.String))
    keys = ["peer", "forwarded"]
    joined = asked.join(told, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined.get_column("client")


def networks_of(clients: pl.Series) -> pl.Series:
    """Return the /24 or /48 network of each address, as a middleware's log lines tell it."""
    client = pl.col("client")
    frame = clients.alias("client").to_frame().with_row_index()
    start = client.str.strip_chars_end("0123456789")
    is_ipv4 = start.str.ends_with(".") & ~client.str.contains(":", literal=True)
    told = frame.select(pl.when(is_ipv4).then(pl.concat_str(start, pl.lit("0/24")))).to_series()
    # the others apart, since expressions are costly
    others = frame.filter(told.is_null() & clients.is_not_null())
    plain = pl.concat_str(client.str.extract(_PLAIN_GROUPS), pl.lit(":/48"))
    others = others.with_columns(plain.alias("network"))
    odd = others.filter(pl.col("network").is_null()).get_column("client").unique()
    networks = pl.Series([_network_of(text) for text in odd], dtype=pl.String)
    asked = client.replace_strict(odd, networks, default=None, return_dtype=pl.String)
    found = others.select(pl.coalesce("network", asked)).to_series()
    return told.scatter(others.get_column("index"), found).alias("network")


def _network_of(text: str) -> str | None:
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return str(ip_network(f"{address}/{_PREFIX[address.version]}", strict=False))
