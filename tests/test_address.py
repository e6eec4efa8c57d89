"""Who is asking: sections A, B and C1 of the acceptance rows, and what holds for any bytes at all."""

from __future__ import annotations

import string
import tracemalloc
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from georestrict.address import (
    UNIX_PEER,
    AddressReason,
    ClientAddress,
    Peer,
    SingleHeader,
    Strategy,
    TrustedHops,
    TrustedProxies,
)
from georestrict.errors import ConfigurationError

Headers = list[tuple[bytes, bytes]]

TRUSTED = ("10.0.0.0/8", "fd00::/8")
TRUSTED_NETWORKS: list[IPv4Network | IPv6Network] = [
    IPv4Network("10.0.0.0/8"),
    IPv6Network("fd00::/8"),
]
PROXIES = TrustedProxies(*TRUSTED)
PROXY = "10.0.0.5"
CHINA, BRITAIN, JAPAN = "175.16.199.1", "81.2.69.142", "2001:218::1"


def xff(*lines: bytes) -> Headers:
    return [(b"x-forwarded-for", line) for line in lines]


def found(client: ClientAddress) -> str | None:
    """The client's address as text; the reason must fit it."""
    if client.address is None:
        assert client.reason not in (AddressReason.PEER, AddressReason.FORWARDED)
        return None
    assert client.reason in (AddressReason.PEER, AddressReason.FORWARDED)
    return str(client.address)


def is_trusted(address: IPv4Address | IPv6Address) -> bool:
    return any(
        address in network for network in TRUSTED_NETWORKS if network.version == address.version
    )


# --- A: trust, and walking the chain -------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        pytest.param(
            CHINA, xff(b"81.2.69.142"), CHINA, id="A1 an untrusted peer's header is ignored"
        ),
        pytest.param(
            PROXY, xff(b"81.2.69.142, 175.16.199.1"), CHINA, id="A2 a leftmost spoof fails"
        ),
        pytest.param(
            PROXY,
            xff(b"175.16.199.1, 81.2.69.142, 10.1.1.1"),
            BRITAIN,
            id="A3 trusted entries are passed",
        ),
        pytest.param(
            PROXY, xff(b"81.2.69.142", b"175.16.199.1"), CHINA, id="A4 lines are joined in order"
        ),
        pytest.param(PROXY, xff(b"10.1.1.1, 10.2.2.2"), None, id="A6 all entries trusted"),
        pytest.param(PROXY, [], None, id="A7 a trusted proxy without the header"),
        pytest.param(PROXY, xff(b""), None, id="A9 an empty header"),
        pytest.param(PROXY, xff(b"   "), None, id="A9 only spaces"),
        pytest.param(PROXY, xff(b", ,"), None, id="A9 only commas"),
        pytest.param(PROXY, xff(b"", b""), None, id="A9 two empty lines"),
        pytest.param(PROXY, xff(b"81.2.69.142, unknown"), None, id="A10 no walk past unknown"),
        pytest.param(PROXY, xff(b"81.2.69.142, garbage"), None, id="A10 no walk past garbage"),
        pytest.param(PROXY, xff(b"81.2.69.142,"), None, id="A10 no walk past an empty entry"),
        pytest.param(
            PROXY, xff(b"81.2.69.142, , 10.1.1.1"), None, id="A10 nor past one in the middle"
        ),
        pytest.param(
            PROXY, xff(b"81.2.69.142, _hidden"), None, id="A10 no walk past an obfuscated name"
        ),
        pytest.param(
            PROXY, xff(b"garbage, 81.2.69.142"), BRITAIN, id="A11 garbage left of the decision"
        ),
        pytest.param(
            "::ffff:10.0.0.5", xff(b"81.2.69.142"), BRITAIN, id="A20 an IPv4-mapped peer is trusted"
        ),
        pytest.param(
            "::FFFF:0A00:0005", xff(b"81.2.69.142"), BRITAIN, id="A20 the same in hexadecimal"
        ),
        pytest.param("fd00::5", xff(b"81.2.69.142"), BRITAIN, id="A3 an IPv6 proxy"),
        pytest.param(
            PROXY,
            xff(b"81.2.69.142, ::ffff:10.1.1.1"),
            BRITAIN,
            id="A20 a mapped proxy in the header",
        ),
        pytest.param(
            PROXY, xff(b"81.2.69.142, 10.1.1.1:4711"), BRITAIN, id="A3 a trusted entry with a port"
        ),
        pytest.param(
            PROXY, xff(b"81.2.69.142, [fd00::1]:443"), BRITAIN, id="A3 a trusted bracketed entry"
        ),
        pytest.param(
            PROXY, xff(b"81.2.69.142,175.16.199.1"), CHINA, id="A29 no space after the comma"
        ),
        pytest.param(None, xff(b"81.2.69.142"), None, id="A22 A30 no peer"),
        pytest.param("", xff(b"81.2.69.142"), None, id="A30 an empty peer"),
        pytest.param("None", xff(b"81.2.69.142"), None, id="A30 a peer that says None"),
        pytest.param(
            UNIX_PEER, xff(b"81.2.69.142"), None, id="A30 a unix socket that nobody declared"
        ),
        pytest.param("/run/app.sock", xff(b"81.2.69.142"), None, id="A30 a peer that is a path"),
        pytest.param("testclient", xff(b"81.2.69.142"), None, id="A30 a peer that is a name"),
    ],
)
def test_trusted_proxies_walk_from_the_right(
    peer: str | None, headers: Headers, expected: str | None
) -> None:
    assert found(PROXIES.resolve(peer, headers)) == expected


@pytest.mark.parametrize(
    ("peer", "headers", "reason"),
    [
        (CHINA, xff(b"81.2.69.142"), AddressReason.PEER),
        (PROXY, xff(b"81.2.69.142"), AddressReason.FORWARDED),
        (PROXY, [], AddressReason.HEADER_MISSING),
        (PROXY, xff(b" , "), AddressReason.HEADER_EMPTY),
        (PROXY, xff(b"81.2.69.142, garbage"), AddressReason.HEADER_MALFORMED),
        (PROXY, xff(b"81.2.69.142, unknown"), AddressReason.HEADER_UNKNOWN),
        (PROXY, xff(b"81.2.69.142, Unknown"), AddressReason.HEADER_UNKNOWN),
        (PROXY, xff(b"81.2.69.142, _x"), AddressReason.HEADER_UNKNOWN),
        (PROXY, xff(b"10.1.1.1"), AddressReason.ALL_TRUSTED),
        (None, xff(b"81.2.69.142"), AddressReason.NO_PEER),
        ("localhost", xff(b"81.2.69.142"), AddressReason.PEER_MALFORMED),
        (UNIX_PEER, xff(b"81.2.69.142"), AddressReason.UNIX_UNTRUSTED),
        ("192.168.1.1", xff(b"81.2.69.142"), AddressReason.UNDECLARED_PROXY),
        ("192.168.1.1", [], AddressReason.PEER),
    ],
)
def test_the_reason_says_how_the_client_was_found_or_why_not(
    peer: str | None, headers: Headers, reason: AddressReason
) -> None:
    assert PROXIES.resolve(peer, headers).reason is reason


@pytest.mark.parametrize(
    ("count", "header", "expected"),
    [
        pytest.param(2, b"x, 81.2.69.142, 35.1.1.1", BRITAIN, id="A13 the second from the right"),
        pytest.param(2, b"81.2.69.142", None, id="A14 fewer entries than hops"),
        pytest.param(1, b"81.2.69.142", BRITAIN, id="A13 the last entry"),
        pytest.param(
            2, b"81.2.69.142, unknown, 35.1.1.1", None, id="A10 no walk left past garbage"
        ),
        pytest.param(3, b"81.2.69.142, 35.1.1.1", None, id="A14 one entry short"),
        pytest.param(1, b" , ", None, id="A9 only a comma"),
        pytest.param(2, b"81.2.69.142:80, x", BRITAIN, id="B1 a port at the deciding place"),
    ],
)
def test_trusted_hops_count_from_the_right(count: int, header: bytes, expected: str | None) -> None:
    assert found(TrustedHops(count).resolve("35.191.0.7", xff(header))) == expected


@pytest.mark.parametrize("count", [0, -1, 1.0, 1.5, "2", None, True, 65], ids=repr)
def test_a15_a_count_that_is_no_whole_number_from_one_is_refused_at_construction(
    count: object,
) -> None:
    with pytest.raises(ConfigurationError, match=r"TrustedHops: count must be") as caught:
        TrustedHops(count)  # type: ignore[arg-type]  # that is the point
    assert str(count) in str(caught.value)


def test_a15_hops_without_ranges_trust_every_peer() -> None:
    for peer in (PROXY, "35.191.0.7", "2001:218::9", None, UNIX_PEER, "testclient"):
        assert found(TrustedHops(1).resolve(peer, xff(b"81.2.69.142"))) == BRITAIN


def test_a15_hops_with_ranges_trust_only_peers_inside() -> None:
    hops = TrustedHops(1, ["10.0.0.0/8"])
    assert found(hops.resolve(PROXY, xff(b"81.2.69.142"))) == BRITAIN
    assert found(hops.resolve("::ffff:10.0.0.5", xff(b"81.2.69.142"))) == BRITAIN
    assert found(hops.resolve(CHINA, xff(b"81.2.69.142"))) == CHINA
    for peer in (None, "", UNIX_PEER, "None", "192.168.1.1", "fd00::5"):
        assert found(hops.resolve(peer, xff(b"81.2.69.142"))) is None


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "::1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "100.64.0.1", "fd00::1"]
)
@pytest.mark.parametrize(
    "header",
    [
        b"x-forwarded-for", b"forwarded", b"x-real-ip", b"cf-connecting-ip", b"true-client-ip", b"x-client-ip",
        b"fastly-client-ip", b"x-cluster-client-ip", b"X-FORWARDED-FOR", b"X-Real-Ip",
    ],
    ids=bytes.decode,
)  # fmt: skip
def test_a16_a_private_peer_with_a_forwarding_header_is_unresolved(
    peer: str, header: bytes
) -> None:
    client = Peer().resolve(peer, [(b"host", b"a"), (header, b"81.2.69.142")])
    assert client == ClientAddress(None, AddressReason.UNDECLARED_PROXY)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.0.0.5", "fd00::1"])
def test_a16_a_private_peer_without_a_forwarding_header_is_the_client(peer: str) -> None:
    headers = [
        (b"host", b"a"),
        (b"user-agent", b"x-forwarded-for"),
        (b"x_forwarded_for", b"81.2.69.142"),
    ]
    assert Peer().resolve(peer, headers) == ClientAddress(ip_address(peer), AddressReason.PEER)


@pytest.mark.parametrize("peer", [CHINA, JAPAN])
def test_a16_a_public_peers_headers_are_not_looked_at(peer: str) -> None:
    headers = [
        *xff(b"81.2.69.142"),
        (b"forwarded", b"for=81.2.69.142"),
        (b"x-real-ip", b"81.2.69.142"),
    ]
    assert found(Peer().resolve(peer, headers)) == peer


@pytest.mark.parametrize(
    "peer", [None, "", "None", UNIX_PEER, "testclient", "81.2.69", "/run/app.sock", "10.0.0.5:80"]
)
def test_a30_a_peer_that_is_no_address_is_unresolved_for_every_strategy(peer: str | None) -> None:
    single = SingleHeader("cf-connecting-ip", ["10.0.0.0/8"])
    headers = [*xff(b"81.2.69.142"), (b"cf-connecting-ip", b"81.2.69.142")]
    for strategy in (Peer(), PROXIES, single, TrustedHops(1, TRUSTED)):
        assert found(strategy.resolve(peer, headers)) is None


def test_a_link_local_peer_may_have_a_zone() -> None:
    assert found(Peer().resolve("fe80::1%eth0", [])) == "fe80::1"


def test_a17_other_forwarding_headers_are_ignored() -> None:
    spoofed = [
        (name, b"81.2.69.142")
        for name in (
            b"x-real-ip",
            b"cf-connecting-ip",
            b"true-client-ip",
            b"x-client-ip",
            b"x-forwarded",
        )
    ]
    headers = [(b"forwarded", b"for=81.2.69.142"), *spoofed, *xff(b"175.16.199.1"), *spoofed]
    assert found(PROXIES.resolve(PROXY, headers)) == CHINA
    assert found(PROXIES.resolve(PROXY, [(b"forwarded", b"for=81.2.69.142"), *spoofed])) is None
    assert found(TrustedHops(1).resolve(PROXY, headers)) == CHINA


@pytest.mark.parametrize(
    ("peer", "values", "expected"),
    [
        pytest.param(PROXY, [b"81.2.69.142"], BRITAIN, id="A18 present once"),
        pytest.param(PROXY, [b"81.2.69.142", b"81.2.69.142"], None, id="A18 present twice"),
        pytest.param(PROXY, [b"81.2.69.142, 175.16.199.1"], None, id="A18 two in one line"),
        pytest.param(PROXY, [], None, id="A7 missing"),
        pytest.param(PROXY, [b""], None, id="A9 empty"),
        pytest.param(PROXY, [b"unknown"], None, id="A10 unknown"),
        pytest.param(PROXY, [b" 2001:218::1\t"], JAPAN, id="B6 spaces around"),
        pytest.param(CHINA, [b"81.2.69.142"], CHINA, id="A19 the peer is not a declared proxy"),
        pytest.param("192.168.1.1", [b"81.2.69.142"], None, id="A19 nor is a private peer"),
        pytest.param(UNIX_PEER, [b"81.2.69.142"], None, id="A30 a unix socket"),
        pytest.param(PROXY, [b"81.2.69.142" + b"0" * 100_000], None, id="C1 a very long value"),
    ],
)
def test_a_single_header_is_believed_only_once_and_from_a_declared_proxy(
    peer: str, values: list[bytes], expected: str | None
) -> None:
    single = SingleHeader("CF-Connecting-IP", ["10.0.0.0/8"])
    assert (
        found(single.resolve(peer, [(b"Cf-Connecting-Ip", value) for value in values])) == expected
    )


def test_a18_a_single_header_does_not_fall_back_to_another() -> None:
    single = SingleHeader("cf-connecting-ip", ["10.0.0.0/8"])
    assert (
        found(single.resolve(PROXY, [*xff(b"81.2.69.142"), (b"cf_connecting_ip", b"81.2.69.142")]))
        is None
    )


def test_a21_a_declared_unix_socket_is_a_trusted_peer() -> None:
    proxies = TrustedProxies(*TRUSTED, unix=True)
    assert found(proxies.resolve(UNIX_PEER, xff(b"175.16.199.1, 81.2.69.142"))) == BRITAIN
    assert found(proxies.resolve(UNIX_PEER, [])) is None


def test_a21_a_unix_socket_alone_may_be_trusted() -> None:
    proxies = TrustedProxies(unix=True)
    assert found(proxies.resolve(UNIX_PEER, xff(b"175.16.199.1, 81.2.69.142"))) == BRITAIN
    assert found(proxies.resolve(CHINA, xff(b"81.2.69.142"))) == CHINA
    assert found(proxies.resolve(PROXY, xff(b"81.2.69.142"))) is None
    assert repr(proxies) == "TrustedProxies(header='x-forwarded-for', unix=True)"


def test_a22_an_unknown_peer_is_unresolved_even_where_unix_sockets_are_trusted() -> None:
    proxies = TrustedProxies(*TRUSTED, unix=True)
    assert proxies.resolve(None, xff(b"81.2.69.142")) == ClientAddress(None, AddressReason.NO_PEER)


@pytest.mark.parametrize(
    "name", [b"x-forwarded-for", b"X-FORWARDED-FOR", b"X-Forwarded-For"], ids=bytes.decode
)
def test_a25_the_headers_name_is_recognised_in_any_case(name: bytes) -> None:
    assert found(PROXIES.resolve(PROXY, [(name, b"81.2.69.142")])) == BRITAIN
    assert found(TrustedHops(1).resolve(PROXY, [(name, b"81.2.69.142")])) == BRITAIN


def test_a26_a_name_with_underscores_is_another_header() -> None:
    spoof = (b"x_forwarded_for", b"81.2.69.142")
    assert found(PROXIES.resolve(PROXY, [*xff(b"175.16.199.1"), spoof])) == CHINA
    assert found(PROXIES.resolve(PROXY, [spoof, *xff(b"175.16.199.1"), spoof])) == CHINA
    assert found(PROXIES.resolve(PROXY, [spoof])) is None


def test_headers_may_come_from_an_iterator() -> None:
    single = SingleHeader("x-forwarded-for", TRUSTED)
    behind_a_proxy: list[Strategy] = [PROXIES, TrustedHops(1), TrustedHops(1, TRUSTED), single]
    for strategy in behind_a_proxy:
        assert found(strategy.resolve(PROXY, iter(xff(b"81.2.69.142")))) == BRITAIN
    undeclared: list[Strategy] = [Peer(), PROXIES, single]
    for strategy in undeclared:
        assert found(strategy.resolve("192.168.1.1", iter(xff(b"81.2.69.142")))) is None


# --- A31: who cannot write to a trusted hop's slot cannot change the result ----------------------

_SPACE = st.sampled_from([b"", b" ", b"\t", b"  "])
_HOPS = st.sampled_from(
    [b"10.1.1.1", b"10.255.0.9:443", b"[fd00::7]:1", b"fd00::1", b"::ffff:10.3.3.3"]
)
_DECIDING = st.one_of(
    st.sampled_from(
        [
            b"81.2.69.142",
            b"2001:218::1",
            b"[2001:218::1]:99",
            b"unknown",
            b"_x",
            b"1.2.3.4:",
            b"0.0.0",
        ]
    ),
    st.binary(min_size=1, max_size=30).filter(
        lambda raw: b"," not in raw and raw.strip(b" \t") != b""
    ),
)


@st.composite
def real_lines(draw: st.DrawFn) -> list[bytes]:
    """What the proxies wrote: an entry that decides, then trusted ones, on one line or more."""
    entries = [draw(_DECIDING), *draw(st.lists(_HOPS, max_size=6))]
    padded = [draw(_SPACE) + entry + draw(_SPACE) for entry in entries]
    lines = [padded[:1]]
    for entry in padded[1:]:
        if draw(st.booleans()):
            lines.append([entry])
        else:
            lines[-1].append(entry)
    return [b",".join(line) for line in lines]


_PREFIX = st.lists(
    st.tuples(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b",", b"81.2.69.142", b"10.1.1.1, ", b'"', b"\\", b" ", b"175.16.199.1,"]
            ),
        ),
        st.sampled_from([1, 1, 2, 63, 64, 65, 9000]),
    ).map(lambda pair: pair[0] * pair[1]),
    min_size=1,
    max_size=4,
)


@settings(max_examples=2000, deadline=None)
@given(prefix=_PREFIX, real=real_lines(), joined=st.booleans())
@example(prefix=[b'"'], real=[b"175.16.199.1"], joined=True)
@example(
    prefix=[b"81.2.69.142"] * 4,
    real=[b"175.16.199.1, " + b", ".join([b"10.0.0.1"] * 63)],
    joined=True,
)
def test_a31_no_prefix_that_a_client_sends_changes_the_result(
    prefix: list[bytes], real: list[bytes], joined: bool
) -> None:
    alone = PROXIES.resolve(PROXY, xff(*real))
    assume(alone.reason is not AddressReason.ALL_TRUSTED)
    lines = [*prefix[:-1], prefix[-1] + b", " + real[0], *real[1:]] if joined else [*prefix, *real]
    assert PROXIES.resolve(PROXY, xff(*lines)) == alone
    hops = TrustedHops(sum(line.count(b",") + 1 for line in real))
    assert hops.resolve(PROXY, xff(*lines)) == hops.resolve(PROXY, xff(*real))


@pytest.mark.parametrize("joined", [True, False], ids=["on the same line", "on a line of its own"])
@pytest.mark.parametrize("size", range(8186, 8198))
def test_a31_holds_where_the_deciding_entry_lies_at_the_edge_of_the_inspected_tail(
    size: int, joined: bool
) -> None:
    real = b"81.2.69.142,".ljust(size - 8) + b"10.1.1.1"
    assert len(real) == size
    alone = PROXIES.resolve(PROXY, xff(real))
    lines = [b"175.16.199.1, " + real] if joined else [b"175.16.199.1", real]
    assert PROXIES.resolve(PROXY, xff(*lines)) == alone


# --- What holds for any bytes ---------------------------------------------------------------------

_STRATEGIES: list[Strategy] = [
    Peer(),
    PROXIES,
    TrustedProxies(*TRUSTED, unix=True),
    TrustedHops(1),
    TrustedHops(2, TRUSTED),
    SingleHeader("x-real-ip", TRUSTED),
]
_ANY_TEXT = st.text(st.characters(categories=["L", "N", "P", "Z", "Cc", "Cs"]), max_size=60)
_PEERS = st.one_of(
    st.none(),
    _ANY_TEXT,
    st.sampled_from([PROXY, "fd00::1", CHINA, UNIX_PEER, "fe80::1%eth0", "10.0.0.5%"]),
)
_FRAGMENTS = st.sampled_from(
    [
        b"10.1.1.1",
        b"81.2.69.142",
        b"2001:218::1",
        b"[",
        b"]",
        b":",
        b"80",
        b",",
        b" ",
        b"::ffff:10.0.0.1",
        b"fd00::1",
    ]
)
_VALUES = st.one_of(
    st.binary(max_size=60),
    st.lists(st.one_of(_FRAGMENTS, st.binary(max_size=3)), max_size=12).map(b"".join),
)
_NAMES = st.one_of(
    st.sampled_from([b"x-forwarded-for", b"X-Forwarded-For", b"x-real-ip"]), st.binary(max_size=20)
)


@settings(max_examples=2000, deadline=None)
@given(peer=_PEERS, headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=6))
def test_no_peer_and_no_header_raises_and_the_walk_never_ends_at_a_proxy(
    peer: str | None, headers: Headers
) -> None:
    for strategy in _STRATEGIES:
        client = strategy.resolve(peer, headers)
        assert (client.address is None) == (
            client.reason not in (AddressReason.PEER, AddressReason.FORWARDED)
        )
        if isinstance(strategy, TrustedProxies) and client.address is not None:
            assert not is_trusted(client.address)
        if isinstance(client.address, IPv6Address):
            assert client.address.ipv4_mapped is None


# --- B: address syntax at the deciding place ------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"81.2.69.142:55220", BRITAIN, id="B1 a port"),
        pytest.param(b"81.2.69.142:0", BRITAIN, id="B1 port zero"),
        pytest.param(b"[2001:218::1]:443", JAPAN, id="B1 brackets and a port"),
        pytest.param(b"[2001:218::1]", JAPAN, id="B1 brackets"),
        pytest.param(b"2001:218::1", JAPAN, id="B2 bare IPv6 that ends in digits"),
        pytest.param(b"2001:218:0:0:0:0:0:1", JAPAN, id="B2 bare IPv6 in full"),
        pytest.param(b"2001:218::1:8080", "2001:218::1:8080", id="B3 never a port"),
        pytest.param(b"81.2.69.142:99999", None, id="B4 a port above 65535"),
        pytest.param(b"81.2.69.142:65536", None, id="B4 a port just above 65535"),
        pytest.param(b"81.2.69.142:65535", BRITAIN, id="B4 the highest port"),
        pytest.param(b"81.2.69.142:+80", None, id="B4 a signed port"),
        pytest.param(b"81.2.69.142:-1", None, id="B4 a negative port"),
        pytest.param(b"81.2.69.142:8_0", None, id="B4 an underscore in the port"),
        pytest.param(b"81.2.69.142:", None, id="B4 an empty port"),
        pytest.param(b"81.2.69.142: 80", None, id="B4 a space before the port"),
        pytest.param(b"81.2.69.142:80:80", None, id="B4 two ports"),
        pytest.param(b"81.2.69.142:" + b"8" * 5000, None, id="B4 a port of 5000 digits"),
        pytest.param("81.2.69.142:８０".encode(), None, id="B4 a port in full-width digits"),
        pytest.param(b"81.2.69.142:\xb2", None, id="B4 a superscript port"),
        pytest.param(b"[2001:218::1]:99999", None, id="B4 a port above 65535 behind brackets"),
        pytest.param(b"[2001:218::1]:", None, id="B4 an empty port behind brackets"),
        pytest.param(b"[2001:218::1]80", None, id="B4 a port without a colon"),
        pytest.param(b"[2001:218::1", None, id="B4 an open bracket"),
        pytest.param(b"2001:218::1]", None, id="B4 a lone closing bracket"),
        pytest.param(b"[[2001:218::1]]", None, id="B4 doubled brackets"),
        pytest.param(b"[81.2.69.142]", None, id="B4 brackets around IPv4"),
        pytest.param(b"[]", None, id="B4 empty brackets"),
        pytest.param(b"081.2.69.142", None, id="B5 a leading zero"),
        pytest.param(b"0251.2.69.142", None, id="B5 octal"),
        pytest.param(b"81.2.69", None, id="B5 three octets"),
        pytest.param(b"81.2.69.142.1", None, id="B5 five octets"),
        pytest.param(b"81.2.69.256", None, id="B5 an octet above 255"),
        pytest.param(b"81.2.69.142.", None, id="B5 a trailing dot"),
        pytest.param(b"1359103374", None, id="B5 one number"),
        pytest.param(b"0x5102458e", None, id="B5 hexadecimal"),
        pytest.param(b"0x51.2.69.142", None, id="B5 a hexadecimal octet"),
        pytest.param("８１.2.69.142".encode(), None, id="B6 full-width digits"),
        pytest.param(b"81.2.69.142\x00", None, id="B6 a NUL"),
        pytest.param(b"\x0081.2.69.142", None, id="B6 a NUL before"),
        pytest.param("81.2.69.142\u200b".encode(), None, id="B6 a zero-width space"),
        pytest.param(b"81.2.69.142\xa0", None, id="B6 a no-break space in Latin-1"),
        pytest.param(b"81.2.69.142\x85", None, id="B6 a next-line character in Latin-1"),
        pytest.param(b"81.2.69.142\r", None, id="B6 a carriage return"),
        pytest.param(b"81.2.69.142\x0b", None, id="B6 a vertical tab"),
        pytest.param(b"81.2.69. 142", None, id="B6 a space inside"),
        pytest.param(b"\t81.2.69.142 \t", BRITAIN, id="B6 spaces and tabs around are trimmed"),
        pytest.param(b"abcd", None, id="B7 four bytes"),
        pytest.param(IPv4Address(BRITAIN).packed, None, id="B7 a packed IPv4 address"),
        pytest.param(IPv6Address(JAPAN).packed, None, id="B7 a packed IPv6 address"),
        pytest.param(b"sixteen bytes !!", None, id="B7 sixteen bytes"),
        pytest.param(b"::ffff:175.16.199.1", CHINA, id="B9 mapped"),
        pytest.param(b"::ffff:af10:c701", CHINA, id="B9 mapped in hexadecimal"),
        pytest.param(b"0:0:0:0:0:ffff:af10:c701", CHINA, id="B9 mapped in full"),
        pytest.param(b"::FFFF:AF10:C701", CHINA, id="B9 mapped in upper case"),
        pytest.param(b"[::ffff:175.16.199.1]:443", CHINA, id="B9 mapped in brackets"),
        pytest.param(b"::ffff:175.16.199.1:443", None, id="B9 mapped with a bare port"),
        pytest.param(
            b"2002:af10:c701::1", "2002:af10:c701::1", id="B10 6to4 stays the outer address"
        ),
        pytest.param(b"2002:a00:1::1", "2002:a00:1::1", id="B10 6to4 of a proxy is no proxy"),
        pytest.param(b"64:ff9b::a00:1", "64:ff9b::a00:1", id="B12 NAT64 of a proxy is no proxy"),
        pytest.param(b"fe80::1%eth0", None, id="B16 a zone"),
        pytest.param(b"81.2.69.0/24", None, id="B16 a network"),
        pytest.param(b"localhost", None, id="B16 a name"),
        pytest.param(b'"81.2.69.142"', None, id="B20 quotes"),
    ],
)
def test_the_deciding_entry_is_an_address_or_nothing(value: bytes, expected: str | None) -> None:
    assert found(PROXIES.resolve(PROXY, xff(value))) == expected
    assert found(PROXIES.resolve(PROXY, xff(b"175.16.199.9, " + value + b", 10.1.1.1"))) == expected
    assert found(TrustedHops(1).resolve(None, xff(b"175.16.199.9, " + value))) == expected
    assert (
        found(SingleHeader("x-real-ip", TRUSTED).resolve(PROXY, [(b"x-real-ip", value)]))
        == expected
    )


@pytest.mark.parametrize("peer", ["2002:a00:5::1", "64:ff9b::a00:5"])
def test_b10_trust_is_never_looked_through(peer: str) -> None:
    assert found(PROXIES.resolve(peer, [])) == peer
    assert found(PROXIES.resolve(peer, xff(b"81.2.69.142"))) is None


_REFUSED_ENTRIES = [
    "10.0.0.1/8", "10.0.0/8", "010.0.0.0/8", "fe80::%eth0/10", "localhost", "10.0.0.0/33", "*", "",
    "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "::/129", "10.0.0.0/255.0.0.0", " 10.0.0.0/8", "fd00::1/8",
    "::ffff:10.0.0.0/8", "１０.0.0.0/8", "10.0.0.9-10.0.0.1", "0x0a000000/8",
]  # fmt: skip


@pytest.mark.parametrize("entry", _REFUSED_ENTRIES, ids=lambda entry: f"B16 {entry!r}")
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda entry: TrustedProxies("10.0.0.0/8", entry), id="TrustedProxies"),
        pytest.param(lambda entry: TrustedHops(1, ["10.0.0.0/8", entry]), id="TrustedHops"),
        pytest.param(lambda entry: SingleHeader("x-real-ip", [entry]), id="SingleHeader"),
    ],
)
def test_b16_a_trusted_range_that_is_none_is_refused_by_name(
    build: Callable[[str], Strategy], entry: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(entry)
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: TrustedProxies(), "at least one trusted range"),
        (lambda: TrustedHops(1, []), "at least one trusted range"),
        (lambda: SingleHeader("x-real-ip", []), "at least one trusted range"),
        (lambda: TrustedHops(1, "10.0.0.0/8"), "10.0.0.0/8"),
        (lambda: SingleHeader("x-real-ip", "10.0.0.0/8"), "10.0.0.0/8"),
        (lambda: TrustedProxies(["10.0.0.0/8"]), "must be text"),  # type: ignore[arg-type]  # a likely slip
        (lambda: TrustedProxies("10.0.0.0/8", header="x-real-ip"), "x-real-ip"),
        (lambda: SingleHeader("", TRUSTED), "''"),
        (lambda: SingleHeader("x_real_ip", TRUSTED), "'x_real_ip'"),
        (lambda: SingleHeader("x real ip", TRUSTED), "'x real ip'"),
        (lambda: SingleHeader("X-Real-IP:", TRUSTED), "'X-Real-IP:'"),
    ],
)
def test_other_wrong_options_are_refused_with_the_word(
    build: Callable[[], Strategy], told: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "entry", ["::ffff:10.0.0.0/104", "::ffff:a00:0/104", "10.0.0.0-10.255.255.255"]
)
def test_b17_a_range_in_another_spelling_is_the_same_range(entry: str) -> None:
    proxies = TrustedProxies(entry)
    for peer in ("10.0.0.5", "::ffff:10.0.0.5", "10.255.255.255"):
        assert found(proxies.resolve(peer, xff(b"81.2.69.142, ::ffff:10.9.9.9"))) == BRITAIN
    assert found(proxies.resolve("11.0.0.0", xff(b"81.2.69.142"))) == "11.0.0.0"
    assert proxies == TrustedProxies("10.0.0.0/8")


@st.composite
def spelled_addresses(draw: st.DrawFn) -> tuple[IPv4Address | IPv6Address, str]:
    """An address, and one of its spellings."""
    address = draw(st.ip_addresses())
    text = draw(st.sampled_from([str(address), address.exploded, address.compressed]))
    if isinstance(address, IPv4Address):
        mapped = f"::ffff:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
        text = draw(st.sampled_from([text, f"::ffff:{address}", mapped]))
    elif address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address, draw(st.sampled_from([text, text.upper()]))


@settings(max_examples=1000, deadline=None)
@given(spelled_addresses())
def test_b19_an_address_is_read_from_every_spelling_and_from_its_own_text(
    spelled: tuple[IPv4Address | IPv6Address, str],
) -> None:
    address, text = spelled
    for spelling in (
        text,
        str(address),
        f"[{address}]:80" if address.version == 6 else f"{address}:80",
    ):
        assert TrustedHops(1).resolve(None, xff(spelling.encode())).address == address
    assert Peer().resolve(text, []).address == address


@settings(max_examples=1000, deadline=None)
@given(st.text(string.hexdigits + ".:", max_size=45))
@example("1.2.3.4")
@example("::ffff:1.2.3.4")
@example("1::2::3")
@example(":::")
def test_b19_exactly_what_the_standard_library_reads_is_an_address(text: str) -> None:
    try:
        expected: IPv4Address | IPv6Address | None = ip_address(text)
    except ValueError:
        expected = None
    if isinstance(expected, IPv6Address) and expected.ipv4_mapped is not None:
        expected = expected.ipv4_mapped
    assert Peer().resolve(text, []).address == expected


# --- C1: size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([b"," * 65_536 + b"81.2.69.142"], id="64 KiB of commas"),
        pytest.param([b"," * 65_536, b"81.2.69.142"], id="64 KiB of commas on a line before"),
        pytest.param([b"a" * 1_048_576 + b", 81.2.69.142"], id="1 MiB"),
        pytest.param([b"81.2.69.142, " * 80_000 + b"81.2.69.142"], id="80,000 entries"),
        pytest.param([*[b"175.16.199.1"] * 10_000, b"81.2.69.142"], id="10,000 lines"),
        pytest.param([*[b""] * 10_000, b"81.2.69.142"], id="10,000 empty lines"),
        pytest.param(
            [b"x," * 50_000 + b"81.2.69.142, 10.1.1.1, 10.2.2.2"], id="junk before real hops"
        ),
        pytest.param([b"81.2.69.142" + b" " * 8000], id="8,000 spaces behind"),
    ],
)
def test_c1_junk_to_the_left_changes_nothing(lines: list[bytes]) -> None:
    assert found(PROXIES.resolve(PROXY, xff(*lines))) == BRITAIN


def test_c1_junk_to_the_right_is_never_walked_past() -> None:
    for junk in (b"," * 65_536, b"a" * 1_048_576, b" " * 1_048_576, b",".join([b"x"] * 80_000)):
        assert found(PROXIES.resolve(PROXY, xff(b"81.2.69.142, " + junk))) is None


@pytest.mark.parametrize("proxies", [64, 65, 1000])
def test_c1_a_tail_of_proxies_only_is_unresolved(proxies: int) -> None:
    header = b"81.2.69.142, " + b", ".join([b"10.1.1.1"] * proxies)
    assert PROXIES.resolve(PROXY, xff(header)) == ClientAddress(None, AddressReason.ALL_TRUSTED)
    assert PROXIES.resolve(PROXY, xff(*header.split(b", "))) == ClientAddress(
        None, AddressReason.ALL_TRUSTED
    )


def test_c1_an_entry_that_the_cap_cuts_is_not_believed() -> None:
    """The tail begins inside ``181.2.69.142``, behind its first digit."""
    header = (
        b"181.2.69.142," + b" " * (8192 - len(b"81.2.69.142,") - len(b"10.1.1.1")) + b"10.1.1.1"
    )
    assert header[-8192:].startswith(b"81.2.69.142,")
    assert found(PROXIES.resolve(PROXY, xff(header))) != BRITAIN


def test_c1_the_64th_hop_can_be_counted() -> None:
    header = b"junk, 81.2.69.142, " + b", ".join([b"35.1.1.1"] * 63)
    assert found(TrustedHops(64).resolve(PROXY, xff(header))) == BRITAIN


@pytest.mark.parametrize(
    "strategy", [PROXIES, TrustedHops(1), SingleHeader("x-forwarded-for", TRUSTED)], ids=repr
)
def test_c1_a_long_value_is_not_copied(strategy: Strategy) -> None:
    headers = xff(b"," * 8_388_608 + b"81.2.69.142")
    tracemalloc.start()
    try:
        strategy.resolve(PROXY, headers)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 131_072


# --- Values -------------------------------------------------------------------------------------------


def test_strategies_are_values_with_a_telling_repr() -> None:
    def built() -> Iterable[Strategy]:
        return (
            Peer(),
            TrustedProxies("10.0.0.0/8", unix=True),
            TrustedHops(2, ["10.0.0.0/8"]),
            SingleHeader("A-b", TRUSTED),
        )

    for one, same in zip(built(), built(), strict=True):
        assert one == same
        assert hash(one) == hash(same)
        assert repr(one).startswith(type(one).__name__ + "(")
    assert "10.0.0.0/8" in repr(PROXIES)
    assert TrustedProxies("10.0.0.0/8") != TrustedProxies("10.0.0.0/9")
    assert TrustedProxies("10.0.0.0/8") != TrustedProxies("10.0.0.0/8", unix=True)
