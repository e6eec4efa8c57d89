"""RFC 7239 ``Forwarded``: acceptance rows B20, B21, and A31 for it; and the cores' common grammar."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from georestrict._core import (
    FORWARDED,
    LIST,
    Trusted,
    _chain,
    find_client,
    parse_entry,
    parse_network,
)
from georestrict.address import AddressReason, ClientAddress, TrustedProxies

TRUSTED = ("10.0.0.0/8", "fd00::/8")
PROXIES = TrustedProxies(*TRUSTED, header="forwarded")
PROXY = "10.0.0.5"
CHINA, BRITAIN, JAPAN = "175.16.199.1", "81.2.69.142", "2001:218::1"


def resolved(*lines: bytes, name: bytes = b"forwarded") -> ClientAddress:
    return PROXIES.resolve(PROXY, [(name, line) for line in lines])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b'for="[2001:218::1]:4711";proto=https', JAPAN, id="B20 a bracketed address with a port"),
        pytest.param(b"FOR=81.2.69.142", BRITAIN, id="B20 the name in any case"),
        pytest.param(b"for=_hidden", AddressReason.HEADER_UNKNOWN, id="B20 obfuscated"),
        pytest.param(b"for=unknown", AddressReason.HEADER_UNKNOWN, id="B20 unknown"),
        pytest.param(b"for=UNKNOWN", AddressReason.HEADER_UNKNOWN, id="B20 unknown in any case"),
        pytest.param(b'for="unknown:_x"', AddressReason.HEADER_UNKNOWN, id="B20 unknown with a port"),
        pytest.param(b'for="_hidden"', AddressReason.HEADER_UNKNOWN, id="B20 obfuscated and quoted"),
        pytest.param(b"for=2001:218::1", AddressReason.HEADER_MALFORMED, id="B20 unquoted IPv6"),
        pytest.param(b"for=[2001:218::1]", AddressReason.HEADER_MALFORMED, id="B20 unquoted brackets"),
        pytest.param(b'for="2001:218::1"', AddressReason.HEADER_MALFORMED, id="B20 unbracketed IPv6"),
        pytest.param(b'for="[2001:218::1]"', JAPAN, id="B20 without a port"),
        pytest.param(b'for="[81.2.69.142]"', AddressReason.HEADER_MALFORMED, id="B20 bracketed IPv4"),
        pytest.param(b'for="81.2.69.142:80"', BRITAIN, id="B20 IPv4 with a port"),
        pytest.param(b"for=81.2.69.142:80", AddressReason.HEADER_MALFORMED, id="B20 an unquoted port"),
        pytest.param(b'for="81.2.69.142:_p-o.r_t"', BRITAIN, id="B20 an obfuscated port"),
        pytest.param(b'for="81.2.69.142:_"', AddressReason.HEADER_MALFORMED, id="B20 an empty obfuscated port"),
        pytest.param(b'for="81.2.69.142:_%"', AddressReason.HEADER_MALFORMED, id="B20 a port that is no name"),
        pytest.param(b'for="81.2.69.142:99999"', AddressReason.HEADER_MALFORMED, id="B20 a port above 65535"),
        pytest.param(b'for="81.2.69.142"', BRITAIN, id="B20 needlessly quoted"),
        pytest.param(b'for="81.2.69\\.14\\2"', BRITAIN, id="B20 needlessly escaped"),
        pytest.param(b'for="::ffff:175.16.199.1"', AddressReason.HEADER_MALFORMED, id="B20 mapped, unbracketed"),
        pytest.param(b'for="[::ffff:175.16.199.1]"', CHINA, id="B9 mapped"),
        pytest.param(b'for="[fe80::1%eth0]"', AddressReason.HEADER_MALFORMED, id="B20 a zone, which RFC 7239 has not"),
        pytest.param(b'for="1.1.1.1, for=175.16.199.1', CHINA, id="B21 a quote left open on the left"),
        pytest.param(b'host="a,b";for=175.16.199.1', CHINA, id="B21 a comma in quotes"),
        pytest.param(b"for=1.1.1.1;for=175.16.199.1", AddressReason.HEADER_MALFORMED, id="B21 two for"),
        pytest.param(b"for=1.1.1.1;FOR=175.16.199.1", AddressReason.HEADER_MALFORMED, id="B21 two for in other case"),
        pytest.param(b"by=a;for=1.1.1.1;By=b", AddressReason.HEADER_MALFORMED, id="B21 two by"),
        pytest.param(b'for=175.16.199.1;host="a\\"b,c"', CHINA, id="B21 an escaped quote"),
        pytest.param(b'for=175.16.199.1;host="a\\\\"', CHINA, id="B21 an escaped backslash"),
        pytest.param(b'for=175.16.199.1;host="a\\"', AddressReason.HEADER_MALFORMED, id="B21 the closing quote escaped"),
        pytest.param(b'for=175.16.199.1;host="a', AddressReason.HEADER_MALFORMED, id="B21 a quote left open on the right"),
        pytest.param(b'for=175.16.199.1;host=a"', AddressReason.HEADER_MALFORMED, id="B21 a lone quote"),
        pytest.param(b"for=6.6.6.6, for=81.2.69.142, for=10.1.1.1", BRITAIN, id="A3 trusted hops are passed"),
        pytest.param(b'for=81.2.69.142, for="[fd00::1]:443";by="_x,y"', BRITAIN, id="A3 trusted, bracketed, with a comma"),
        pytest.param(b"for=10.1.1.1,for=10.2.2.2", AddressReason.ALL_TRUSTED, id="A6 all trusted"),
        pytest.param(b'for="x, for=10.1.1.1', AddressReason.HEADER_MALFORMED, id="A10 no walk past an open quote"),
        pytest.param(b"for=81.2.69.142, garbage", AddressReason.HEADER_MALFORMED, id="A10 no walk past garbage"),
        pytest.param(b"for=81.2.69.142,", AddressReason.HEADER_EMPTY, id="A10 nor past an empty element"),
        pytest.param(b"for=81.2.69.142, ;", AddressReason.HEADER_UNKNOWN, id="A10 nor past one without a node"),
        pytest.param(b"for=81.2.69.142, proto=https", AddressReason.HEADER_UNKNOWN, id="A10 nor past one that says no for"),
        pytest.param(b"", AddressReason.HEADER_EMPTY, id="A9 empty"),
        pytest.param(b" , ", AddressReason.HEADER_EMPTY, id="A9 a comma"),
        pytest.param(b"garbage, for=81.2.69.142", BRITAIN, id="A11 garbage on the left"),
        pytest.param(b"81.2.69.142", AddressReason.HEADER_MALFORMED, id="a bare address is no pair"),
        pytest.param(b"for = 81.2.69.142", AddressReason.HEADER_MALFORMED, id="spaces around ="),
        pytest.param(b"for=", AddressReason.HEADER_MALFORMED, id="no value"),
        pytest.param(b'for=""', AddressReason.HEADER_MALFORMED, id="an empty value"),
        pytest.param(b"=81.2.69.142", AddressReason.HEADER_MALFORMED, id="no name"),
        pytest.param(b"\tfor=81.2.69.142 ; proto=https ;; by=x;", BRITAIN, id="white space and empty pairs"),
        pytest.param(b'for=81.2.69.142 proto="x"', AddressReason.HEADER_MALFORMED, id="no semicolon"),
        pytest.param(b"for=81.2.69.142;x=" + b"a" * 500, BRITAIN, id="a long value of another name"),
        pytest.param(b";".join(b"a%d=b" % i for i in range(15)) + b";for=81.2.69.142", BRITAIN, id="16 pairs"),
        pytest.param(b";".join(b"a%d=b" % i for i in range(16)) + b";for=81.2.69.142", AddressReason.HEADER_MALFORMED, id="17 pairs"),
        pytest.param(b'for="81.2.69.142:_' + b"a" * 60 + b'"', AddressReason.HEADER_MALFORMED, id="a node of over 64 characters"),
        pytest.param(b"for=081.2.69.142", AddressReason.HEADER_MALFORMED, id="B5 a leading zero"),
        pytest.param("for=８１.2.69.142".encode(), AddressReason.HEADER_MALFORMED, id="B6 full-width digits"),
        pytest.param(b"for=81.2.69.142\x00", AddressReason.HEADER_MALFORMED, id="B6 a NUL"),
        pytest.param(b'for="81.2.69.142\x00"', AddressReason.HEADER_MALFORMED, id="B6 a NUL in quotes"),
    ],
)  # fmt: skip
def test_the_deciding_element_has_one_node_or_none(
    value: bytes, expected: str | AddressReason
) -> None:
    client = resolved(value)
    if isinstance(expected, AddressReason):
        assert client == ClientAddress(None, expected)
    else:
        assert (str(client.address), client.reason) == (expected, AddressReason.FORWARDED)


def test_a4_lines_are_joined_in_order() -> None:
    assert str(resolved(b"for=81.2.69.142", b"for=175.16.199.1").address) == CHINA
    assert str(resolved(b"for=175.16.199.1", b"for=10.1.1.1, for=10.2.2.2").address) == CHINA


def test_a7_a_trusted_proxy_without_the_header() -> None:
    assert PROXIES.resolve(PROXY, []).reason is AddressReason.HEADER_MISSING


def test_a17_one_header_family_only() -> None:
    others = [(b"x-forwarded-for", b"81.2.69.142"), (b"x-real-ip", b"81.2.69.142")]
    assert PROXIES.resolve(PROXY, others).address is None
    assert (
        str(PROXIES.resolve(PROXY, [*others, (b"Forwarded", b"for=175.16.199.1")]).address) == CHINA
    )


# --- A31 ------------------------------------------------------------------------------------------

_HOPS = st.sampled_from(
    [b"for=10.1.1.1", b'for="10.255.0.9:443";proto=http', b'For="[fd00::7]:1";host="a,b"', b'host="\\"";for=10.0.0.9']
)  # fmt: skip
_DECIDING = st.one_of(
    st.sampled_from(
        [b"for=81.2.69.142", b'for="[2001:218::1]";by="x,\\"y"', b"for=unknown", b"for=_x", b"proto=http", b"garbage"]
    ),
    st.binary(min_size=1, max_size=30).filter(lambda raw: not set(raw) & set(b',"')),
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(
    prefix=st.lists(
        st.tuples(
            st.binary(max_size=30)
            | st.sampled_from(
                [b'"', b"\\", b'\\"', b'for="', b'host="a', b"for=81.2.69.142", b",", b";", b'","']
            ),
            st.sampled_from([1, 1, 2, 3, 64, 9000]),
        ).map(lambda pair: pair[0] * pair[1]),
        min_size=1,
        max_size=4,
    ),
    deciding=_DECIDING,
    hops=st.lists(_HOPS, max_size=4),
    joined=st.booleans(),
)
@example(prefix=[b'for="1.1.1.1'], deciding=b"for=175.16.199.1", hops=[], joined=True)
@example(
    prefix=[b'host="'], deciding=b"for=175.16.199.1", hops=[b'host="\\"";for=10.0.0.9'], joined=True
)
def test_a31_no_prefix_that_a_client_sends_changes_the_result(
    prefix: list[bytes], deciding: bytes, hops: list[bytes], joined: bool
) -> None:
    real = b", ".join([deciding, *hops])
    alone = resolved(real)
    assume(alone.reason is not AddressReason.ALL_TRUSTED)
    lines = [*prefix[:-1], prefix[-1] + b", " + real] if joined else [*prefix, real]
    assert resolved(*lines) == alone


# --- C1, and whatever the bytes -------------------------------------------------------------------


@pytest.mark.parametrize(
    "junk",
    [b"," * 65_536, b'"' * 65_536, b"\\" * 65_536, b'\\"' * 32_768, b"for=10.0.0.1," * 9000, b" " * 65_536, b";" * 65_536,
     b'x="' + b"a" * 65_536, b"=" * 65_536, b"a" * 65_536],
    ids=["commas", "quotes", "backslashes", "escaped quotes", "proxies", "spaces", "semicolons", "quoted", "equals", "name"],
)  # fmt: skip
def test_c1_junk_changes_nothing_on_the_left_and_decides_nothing_on_the_right(junk: bytes) -> None:
    assert str(resolved(junk + b", for=81.2.69.142").address) == BRITAIN
    assert resolved(b"for=81.2.69.142, " + junk).address is None


_SPANS = Trusted([parse_network(network) for network in TRUSTED])
_PIECES = st.lists(
    st.binary(max_size=4)
    | st.sampled_from(
        [b"for=", b"For", b'"', b"\\", b",", b";", b"=", b" ", b"\t", b"10.1.1.1", b"81.2.69.142", b"[2001:218::1]", b":80",
         b":_x", b"unknown", b"_", b"by=x", b"fd00::1", b';host="a,b"', b'by="x\\"y";', b'for="81.2.69.142:80"', b"for=10.1.1.1"]
    ),
    max_size=14,
).map(b"".join)  # fmt: skip


@pytest.mark.compiled
@settings(max_examples=4000, deadline=None)
@given(
    chain=_PIECES,
    whole=st.booleans(),
    grammar=st.sampled_from([LIST, FORWARDED]),
    count=st.integers(0, 3),
)
def test_both_cores_find_the_same_client(
    chain: bytes, whole: bool, grammar: int, count: int
) -> None:
    twin = _chain.Trusted(_SPANS.spans)
    for ours, theirs in ((_SPANS, twin), (None, None)):
        assert find_client(chain, whole, grammar, ours, count) == _chain.find_client(
            chain, whole, grammar, theirs, count
        )
    assert parse_entry(chain) == _chain.parse_entry(chain)


@settings(max_examples=1500, deadline=None)
@given(lines=st.lists(_PIECES, max_size=4))
def test_the_result_is_never_a_trusted_proxy_and_nothing_raises(lines: list[bytes]) -> None:
    client = resolved(*lines)
    if client.address is not None:
        assert not any(client.address in ip_network(network) for network in TRUSTED)
