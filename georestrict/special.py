"""Special-purpose addresses: what is `private` here, the same on every Python version.

The rows are those of the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its
updates; read on 2026-11-22, last registry change 2025-10-09) and the multicast blocks (RFC 5771,
RFC 4291 §2.7). An address is ``private`` when the most specific row that holds it is not marked
globally reachable. ``ipaddress.is_private`` is not used: its tables differ between Python versions.

IPv4-mapped IPv6 (``::ffff:0:0/96``) does not appear: it is IPv4 before any table is asked.
"""

from __future__ import annotations

from bisect import bisect_right

from georestrict._core import Columns, Runs, embedded_ipv4, parse_network, resolve

SPECIAL_PURPOSE: tuple[tuple[str, bool], ...] = (
    # network, globally reachable
    ("0.0.0.0/8", False),  # "this network", RFC 791
    ("10.0.0.0/8", False),  # private use, RFC 1918
    ("100.64.0.0/10", False),  # shared address space (CGNAT), RFC 6598
    ("127.0.0.0/8", False),  # loopback, RFC 1122
    ("169.254.0.0/16", False),  # link local, RFC 3927
    ("172.16.0.0/12", False),  # private use, RFC 1918
    ("192.0.0.0/24", False),  # IETF protocol assignments, RFC 6890
    ("192.0.0.9/32", True),  # Port Control Protocol anycast, RFC 7723
    ("192.0.0.10/32", True),  # TURN anycast, RFC 8155
    ("192.0.2.0/24", False),  # documentation, RFC 5737
    ("192.31.196.0/24", True),  # AS112-v4, RFC 7535
    ("192.52.193.0/24", True),  # AMT, RFC 7450
    ("192.88.99.0/24", False),  # 6to4 relay anycast, deprecated: "N/A", RFC 7526
    ("192.168.0.0/16", False),  # private use, RFC 1918
    ("192.175.48.0/24", True),  # direct delegation AS112 service, RFC 7534
    ("198.18.0.0/15", False),  # benchmarking, RFC 2544
    ("198.51.100.0/24", False),  # documentation, RFC 5737
    ("203.0.113.0/24", False),  # documentation, RFC 5737
    ("224.0.0.0/4", False),  # multicast, RFC 5771
    ("240.0.0.0/4", False),  # reserved, RFC 1112, with limited broadcast
    ("::/128", False),  # unspecified, RFC 4291
    ("::1/128", False),  # loopback, RFC 4291
    ("64:ff9b:1::/48", False),  # local-use translation, RFC 8215
    ("100::/64", False),  # discard only, RFC 6666
    ("100:0:0:1::/64", False),  # dummy prefix, RFC 9780
    ("2001::/23", False),  # IETF protocol assignments, RFC 2928
    ("2001:1::1/128", True),  # Port Control Protocol anycast, RFC 7723
    ("2001:1::2/128", True),  # TURN anycast, RFC 8155
    ("2001:1::3/128", True),  # DNS-SD service registration anycast, RFC 9665
    ("2001:2::/48", False),  # benchmarking, RFC 5180
    ("2001:3::/32", True),  # AMT, RFC 7450
    ("2001:4:112::/48", True),  # AS112-v6, RFC 7535
    ("2001:10::/28", False),  # ORCHID, deprecated, RFC 4843
    ("2001:20::/28", True),  # ORCHIDv2, RFC 7343
    ("2001:30::/28", True),  # drone remote identification, RFC 9374
    ("2001:db8::/32", False),  # documentation, RFC 3849
    ("2620:4f:8000::/48", True),  # direct delegation AS112 service, RFC 7534
    ("3fff::/20", False),  # documentation, RFC 9637
    ("5f00::/16", False),  # segment routing SIDs, RFC 9602
    ("fc00::/7", False),  # unique local, RFC 4193
    ("fe80::/10", False),  # link local, RFC 4291
    ("ff00::/8", False),  # multicast, RFC 4291
)

#: IPv6 networks whose addresses carry their client's IPv4 address. They are looked through to a
#: globally reachable one; with any other inside, they are ``private``.
LOOKED_THROUGH: tuple[tuple[str, str], ...] = (
    ("2002::/16", "6to4"),  # RFC 3056
    ("2001::/32", "teredo"),  # RFC 4380
    ("64:ff9b::/96", "nat64"),  # RFC 6052
)

#: What the values of :data:`RUNS` mean.
MEANINGS = ("", "reachable", "private", "looked-through")


def _runs(version: int) -> Runs:
    columns = Columns.empty()
    rows = [(text, 1 if reachable else 2) for text, reachable in SPECIAL_PURPOSE]
    for text, value in [*rows, *((text, 3) for text, _ in LOOKED_THROUGH)]:
        of_version, first, last = parse_network(text)
        if of_version == version:
            columns.append_native(version, first, last, value)
    return resolve(columns)


#: The special-purpose ranges of each IP version as runs over the whole space.
RUNS: dict[int, Runs] = {4: _runs(4), 6: _runs(6)}
_STARTS = {version: [*runs.starts()] for version, runs in RUNS.items()}


def is_private(version: int, value: int) -> bool:
    """Return whether an address is ``private``; one that is looked through is what it carries."""
    start = value << (96 if version == 4 else 0)
    meaning = RUNS[version].value[bisect_right(_STARTS[version], start) - 1]
    if meaning == 3:
        inner = embedded_ipv4(value)
        return inner is None or is_private(4, inner)
    return meaning == 2


def is_nowhere(version: int, first: int, last: int) -> bool:
    """Return whether no address of a range has a country: each is private, or carries another."""
    shift = 96 if version == 4 else 0
    began = bisect_right(_STARTS[version], first << shift) - 1
    ended = bisect_right(_STARTS[version], last << shift)
    return min(RUNS[version].value[began:ended]) >= 2
