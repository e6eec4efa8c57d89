"""Sections A, B and C1 of the acceptance table, row by row, through both middlewares."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from georestrict.address import Peer, SingleHeader, Strategy, TrustedHops, TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.testing import tiny_database
from tests.web import Answer, Request, run_asgi, scope_of, through_asgi, through_wsgi

DATABASE = tiny_database(
    {"81.2.69.0/24": "GB", "175.16.199.0/24": "CN", "89.160.20.0/24": "SE", "2001:218::/32": "JP"}
)
POLICY = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [
        {"name": "listed", "action": "block", "networks": ["89.160.20.0/24"]},
        {"name": "cn", "action": "block", "countries": ["CN"]},
    ],
}
T = TrustedProxies("10.0.0.0/8", "fd00::/8")
F = TrustedProxies("10.0.0.0/8", "fd00::/8", header="forwarded")
CF = SingleHeader("CF-Connecting-IP", ["10.0.0.0/8"])
PROXY, GB, CN, JP = "10.0.0.5", "81.2.69.142", "175.16.199.1", "2001:218::1"
UNRES = "unresolved"


def xff(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple(("X-Forwarded-For", value) for value in values)


def teredo(client: str, server: str) -> str:
    value = (
        0x20010000 << 96 | int(ip_address(server)) << 64 | (~int(ip_address(client)) & 0xFFFFFFFF)
    )
    return str(ip_address(value))


Row = tuple[Strategy, str | None, tuple[tuple[str, str], ...], str]
ROWS: dict[str, Row] = {
    "A1": (T, CN, xff(GB), "CN"),
    "A2": (T, PROXY, xff(f"{GB}, {CN}"), "CN"),
    "A3": (T, PROXY, xff(f"{CN}, {GB}, 10.1.1.1"), "GB"),
    "A4": (T, PROXY, xff(GB, CN), "CN"),
    "A6": (T, PROXY, xff("10.1.1.1, 10.2.2.2"), UNRES),
    "A7": (T, PROXY, (), UNRES),
    "A9 empty": (T, PROXY, xff(""), UNRES),
    "A9 spaces": (T, PROXY, xff("   "), UNRES),
    "A9 commas": (T, PROXY, xff(", ,"), UNRES),
    "A10": (T, PROXY, xff(f"{GB}, unknown"), UNRES),
    "A11": (T, PROXY, xff(f"garbage, {GB}"), "GB"),
    "A13": (TrustedHops(2), PROXY, xff(f"x, {GB}, 35.1.1.1"), "GB"),
    "A14": (TrustedHops(2), PROXY, xff(GB), UNRES),
    "A15 any peer": (TrustedHops(1), CN, xff(GB), "GB"),
    "A15 a peer outside": (TrustedHops(1, ["10.0.0.0/8"]), CN, xff(GB), "CN"),
    "A16 private": (Peer(), "192.168.1.1", xff(GB), UNRES),
    "A16 loopback": (Peer(), "127.0.0.1", (("X-Real-IP", GB),), UNRES),
    "A16 public": (Peer(), CN, (*xff(GB), ("Forwarded", f"for={GB}")), "CN"),
    "A17": (
        T, PROXY,
        (*xff(CN), ("Forwarded", f"for={GB}"), ("X-Real-IP", GB), ("CF-Connecting-IP", GB), ("True-Client-IP", GB), ("X-Client-IP", GB)),
        "CN",
    ),
    "A18": (CF, PROXY, (("CF-Connecting-IP", GB), ("CF-Connecting-IP", GB)), UNRES),
    "A19": (CF, CN, (("CF-Connecting-IP", GB),), "CN"),
    "A20": (T, "::ffff:10.0.0.5", xff(GB), "GB"),
    "A22": (TrustedProxies("10.0.0.0/8", unix=True), None, xff(GB), UNRES),
    "A25": (T, PROXY, (("X-FORWARDED-FOR", GB),), "GB"),
    "A29": (T, PROXY, xff(f"{GB},{CN}"), "CN"),
    "A30 missing": (T, None, xff(GB), UNRES),
    "A30 empty": (T, "", xff(GB), UNRES),
    "A30 unix:": (T, "unix:", xff(GB), UNRES),
    "A30 None": (T, "None", xff(GB), UNRES),
    "B1 port": (T, PROXY, xff(f"{GB}:55220"), "GB"),
    "B1 brackets, port": (T, PROXY, xff(f"[{JP}]:443"), "JP"),
    "B1 brackets": (T, PROXY, xff(f"[{JP}]"), "JP"),
    "B2": (T, PROXY, xff(JP), "JP"),
    "B3": (T, PROXY, xff(f"{JP}:8080"), "JP"),
    **{f"B4 {port[:9]}": (T, PROXY, xff(f"{GB}{port}"), UNRES) for port in (":99999", ":+80", ":8_0", ":", ":80:80", ":" + "8" * 5000)},
    **{f"B5 {text}": (T, PROXY, xff(text), UNRES) for text in ("081.2.69.142", "0251.2.69.142", "81.2.69", "1359103374", "0x5102458e")},
    "B6 full width": (T, PROXY, xff("８１.2.69.142".encode().decode("latin-1")), UNRES),
    "B6 NUL": (T, PROXY, xff(f"{GB}\0"), UNRES),
    "B6 zero width": (T, PROXY, xff(f"{GB}\u200b".encode().decode("latin-1")), UNRES),
    "B6 spaces and tabs": (T, PROXY, xff(f"\t {GB} \t"), "GB"),
    "B7 four bytes": (T, PROXY, xff("abcd"), UNRES),
    "B7 sixteen bytes": (T, PROXY, xff("abcdefghijklmnop"), UNRES),
    **{f"B9 {text}": (T, PROXY, xff(text), "CN") for text in ("::ffff:175.16.199.1", "::ffff:af10:c701", "0:0:0:0:0:ffff:af10:c701", "::FFFF:AF10:C701")},
    "B10": (T, PROXY, xff("2002:af10:c701::1"), "CN"),
    "B11": (T, PROXY, xff(teredo(CN, GB)), "CN"),
    "B12": (T, PROXY, xff("64:ff9b::af10:c701"), "CN"),
    "B12 private": (T, PROXY, xff("64:ff9b::a00:1"), "private"),
    **{f"B14 {text}": (Peer(), text, (), "private") for text in (
        "100.64.0.1", "192.0.0.8", "198.18.0.1", "198.51.100.1", "240.0.0.1", "3fff::1", "5f00::1", "2001:db8::1", "64:ff9b:1::1")},
    **{f"B15 {text}": (Peer(), text, (), "unknown") for text in ("192.18.5.5", "172.32.0.1", "100.128.0.1")},
    "B15 2001:1::1": (Peer(), "2001:1::1", (), "unknown"),
    "B18": (T, PROXY, xff("::ffff:89.160.20.112"), "listed"),
    "B18 6to4": (T, PROXY, xff("2002:59a0:1470::1"), "listed"),
    "B20 brackets": (F, PROXY, (("Forwarded", f'for="[{JP}]:4711";proto=https'),), "JP"),
    "B20 case": (F, PROXY, (("Forwarded", f"FOR={GB}"),), "GB"),
    **{f"B20 {text}": (F, PROXY, (("Forwarded", text),), UNRES) for text in ("for=_hidden", "for=unknown", f"for={JP}", f'for="{JP}"', f"for=[{JP}]")},
    "B21 open quote": (F, PROXY, (("Forwarded", f'for="1.1.1.1, for={CN}'),), "CN"),
    "B21 comma in quotes": (F, PROXY, (("Forwarded", f'host="a,b";for={CN}'),), "CN"),
    "B21 two for": (F, PROXY, (("Forwarded", f"for=1.1.1.1;for={CN}"),), UNRES),
    "C1 64 KiB of commas": (T, PROXY, xff("," * 65_536 + CN), "CN"),
    "C1 1 MiB": (T, PROXY, xff("a" * 1_048_576 + "," + CN), "CN"),
    "C1 10,000 lines": (T, PROXY, xff(*["x"] * 10_000, CN), "CN"),
    "C1 a tail of proxies": (T, PROXY, xff(f"{GB}," + ",".join(["10.0.0.9"] * 5000)), UNRES),
}  # fmt: skip


def outcome(answer: Answer) -> str:
    """The country that decided, the name of the fallback case, or of the rule about networks."""
    if answer.served:
        assert answer.decision is not None
        return answer.decision.country or str(answer.decision.reason)
    told: dict[str, Any] = json.loads(answer.body)
    if told["error"]["code"] == "client_address_unresolved":
        return UNRES
    if told["error"]["code"] == "network_not_allowed":
        return "listed"
    return str(told["country"])


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["ASGI", "WSGI"])
@pytest.mark.parametrize(("strategy", "peer", "headers", "expected"), ROWS.values(), ids=ROWS)
def test_a_row_of_the_acceptance_table(
    through: Any, strategy: Strategy, peer: str | None, headers: Any, expected: str
) -> None:
    request = Request(peer=peer, headers=headers)
    answer = through(request, policy=POLICY, database=DATABASE, client=strategy, annotate=True)
    assert outcome(answer) == expected


def test_a26_underscores_are_another_header_in_asgi() -> None:
    request = Request(peer=PROXY, headers=(*xff(CN), ("x_forwarded_for", GB)))
    assert (
        outcome(through_asgi(request, policy=POLICY, database=DATABASE, client=T, annotate=True))
        == "CN"
    )


@pytest.mark.parametrize(
    "client", [7, {"host": GB}, GB, (), [], (None, 1), (b"81.2.69.142", 1), ((), ())], ids=repr
)
@pytest.mark.parametrize("strategy", [Peer(), T, F, CF, TrustedProxies(unix=True)], ids=repr)
def test_a22_an_odd_client_is_unresolved_and_no_defect(strategy: Strategy, client: Any) -> None:
    async def app(*_: Any) -> None:
        raise AssertionError("served")

    guarded = GeoRestrictMiddleware(app, policy=POLICY, database=DATABASE, client=strategy)
    sent = run_asgi(guarded, scope_of(Request(headers=xff(GB))) | {"client": client})
    assert json.loads(sent[1]["body"])["error"]["code"] == "client_address_unresolved"
