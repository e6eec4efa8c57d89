"""`private` addresses: the registries, held against a copy that this file states on its own."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import Status
from georestrict.special import LOOKED_THROUGH, SPECIAL_PURPOSE, is_private
from georestrict.testing import tiny_database

Address = IPv4Address | IPv6Address

#: The IANA registries row by row, with the rows that say no more than a wider one, and multicast.
#: True: marked globally reachable. "N/A" is not marked so.
REGISTRY = {
    "0.0.0.0/8": False, "0.0.0.0/32": False, "10.0.0.0/8": False, "100.64.0.0/10": False,
    "127.0.0.0/8": False, "169.254.0.0/16": False, "172.16.0.0/12": False, "192.0.0.0/24": False,
    "192.0.0.0/29": False, "192.0.0.8/32": False, "192.0.0.9/32": True, "192.0.0.10/32": True,
    "192.0.0.170/32": False, "192.0.0.171/32": False, "192.0.2.0/24": False, "192.31.196.0/24": True,
    "192.52.193.0/24": True, "192.88.99.0/24": False, "192.168.0.0/16": False, "192.175.48.0/24": True,
    "198.18.0.0/15": False, "198.51.100.0/24": False, "203.0.113.0/24": False, "240.0.0.0/4": False,
    "255.255.255.255/32": False, "224.0.0.0/4": False,
    "::1/128": False, "::/128": False, "64:ff9b:1::/48": False, "100::/64": False, "100:0:0:1::/64": False,
    "2001::/23": False, "2001:1::1/128": True, "2001:1::2/128": True, "2001:1::3/128": True,
    "2001:2::/48": False, "2001:3::/32": True, "2001:4:112::/48": True, "2001:10::/28": False,
    "2001:20::/28": True, "2001:30::/28": True, "2001:db8::/32": False, "2620:4f:8000::/48": True,
    "3fff::/20": False, "5f00::/16": False, "fc00::/7": False, "fe80::/10": False, "ff00::/8": False,
}  # fmt: skip
NETWORKS = {ip_network(text): reachable for text, reachable in REGISTRY.items()}
CARRIERS = [IPv6Network("2002::/16"), IPv6Network("2001::/32"), IPv6Network("64:ff9b::/96")]


def carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a 6to4, Teredo or NAT64 address carries."""
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in CARRIERS[2] else None


def expected_private(address: Address) -> bool:
    """The most specific row decides; an address that carries another is what that one is."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or carried(address)
        if inner is not None:
            return expected_private(inner)
    rows = [
        network for network in NETWORKS if network.version == address.version and address in network
    ]
    return bool(rows) and not NETWORKS[max(rows, key=lambda network: network.prefixlen)]


def edges(text: str) -> list[Address]:
    """The addresses first-1, first, last and last+1 of a network."""
    network = ip_network(text)
    kind: type[Address] = type(network.network_address)
    first, last = int(network.network_address), int(network.broadcast_address)
    top = (1 << network.max_prefixlen) - 1
    return [kind(number) for number in (first - 1, first, last, last + 1) if 0 <= number <= top]


EVERY_ROW = sorted(
    {*REGISTRY, *(text for text, _ in SPECIAL_PURPOSE), *(text for text, _ in LOOKED_THROUGH)}
)
NOWHERE = tiny_database({})


@pytest.mark.parametrize("row", EVERY_ROW)
def test_the_edges_of_every_row_are_as_the_registry_says(row: str) -> None:
    for address in edges(row):
        expected = expected_private(address)
        assert is_private(address.version, int(address)) is expected, address
        assert NOWHERE.lookup(str(address)).status is (
            Status.PRIVATE if expected else Status.UNKNOWN
        ), address


def test_the_table_has_every_row_of_the_registry_that_says_anything() -> None:
    ours = {ip_network(text): reachable for text, reachable in SPECIAL_PURPOSE}
    assert len(ours) == len(SPECIAL_PURPOSE)
    for network, reachable in NETWORKS.items():
        wider = [
            other for other in NETWORKS if other != network and other.version == network.version
            and int(other.network_address) <= int(network.network_address)
            and int(other.broadcast_address) >= int(network.broadcast_address)
        ]  # fmt: skip
        says_no_more = (
            wider and NETWORKS[max(wider, key=lambda other: other.prefixlen)] == reachable
        )
        assert ours.get(network) is reachable or (network not in ours and says_no_more), network
    assert set(ours) <= set(NETWORKS)


@pytest.mark.parametrize(
    "text",
    [
        "100.64.0.1", "192.0.0.8", "198.18.0.1", "198.51.100.1", "240.0.0.1", "3fff::1", "5f00::1", "2001:db8::1",
        "64:ff9b:1::1", "127.0.0.1", "::1", "::", "0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "fe80::1",
        "192.88.99.1", "2001:10::1", "::ffff:10.0.0.1",
    ],
    ids=lambda text: f"B14 {text}",
)  # fmt: skip
def test_b14_special_purpose_addresses_are_private(text: str) -> None:
    assert NOWHERE.lookup(text).status is Status.PRIVATE
    assert NOWHERE.country(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "192.18.5.5", "172.32.0.1", "100.128.0.1", "2001:1::1", "100.63.255.255", "192.0.0.9", "192.31.196.1",
        "172.15.255.255", "11.0.0.0", "9.255.255.255", "2001:200::1", "2001:20::1", "4000::1", "::2", "fe00::1",
        "fec0::1", "::ffff:81.2.69.142", "64:ff9b:2::1", "100:0:0:2::1",
    ],
    ids=lambda text: f"B15 {text}",
)  # fmt: skip
def test_b15_their_neighbours_and_reachable_exceptions_are_not_private(text: str) -> None:
    assert NOWHERE.lookup(text).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("2002:af10:c701::1", Status.UNKNOWN, id="B10 6to4 of a public address"),
        pytest.param("2002:a00:1::1", Status.PRIVATE, id="B10 6to4 of a private address"),
        pytest.param(
            "2001:0:5102:458e:0:ffff:50ef:38fe", Status.UNKNOWN, id="B11 Teredo of a public address"
        ),
        pytest.param(
            "2001:0:5102:458e:0:ffff:f5ff:fffe",
            Status.PRIVATE,
            id="B11 Teredo of a private address",
        ),
        pytest.param("64:ff9b::af10:c701", Status.UNKNOWN, id="B12 NAT64 of a public address"),
        pytest.param("64:ff9b::a00:1", Status.PRIVATE, id="B12 NAT64 of a private address"),
        pytest.param("64:ff9b::c000:9", Status.UNKNOWN, id="B12 NAT64 of a reachable exception"),
    ],
)
def test_an_address_that_carries_another_is_private_when_that_one_is(
    text: str, status: Status
) -> None:
    assert NOWHERE.lookup(text).status is status
    assert is_private(6, int(IPv6Address(text))) is (status is Status.PRIVATE)


_NEAR = st.sampled_from([address for row in EVERY_ROW for address in edges(row)])
_CARRYING = st.builds(
    lambda prefix, inner: IPv6Address(prefix | inner),
    st.just(int(IPv6Address("64:ff9b::"))), st.sampled_from([int(a) for row in REGISTRY for a in edges(row)]).filter(
        lambda number: number < 1 << 32),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.one_of(_NEAR, _CARRYING, st.ip_addresses()))
def test_any_address_is_as_a_scan_of_the_registry_says(address: Address) -> None:
    expected = expected_private(address)
    assert (NOWHERE.lookup(address).status is Status.PRIVATE) is expected
    assert (NOWHERE.lookup(str(address)).status is Status.PRIVATE) is expected
    if not (isinstance(address, IPv6Address) and address.ipv4_mapped):
        assert is_private(address.version, int(address)) is expected


def test_the_oracle_reads_the_carried_address_as_the_standards_say() -> None:
    for text in ("2002:af10:c701::1", "2001:0:5102:458e:0:ffff:50ef:38fe", "64:ff9b::af10:c701"):
        assert carried(IPv6Address(text)) == ip_address("175.16.199.1")
