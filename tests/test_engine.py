"""Decisions: sections H and I of the acceptance rows, and a plain evaluator to compare with."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import (
    Action,
    Category,
    Code,
    Confidence,
    ConfigurationError,
    Database,
    DatabaseError,
    Engine,
    Policy,
    Reason,
    Status,
)
from georestrict.manifest import Manifest
from georestrict.reload import try_reload
from georestrict.request import Request
from georestrict.testing import tiny_database

COUNTRIES = {
    "175.16.199.0/24": "CN", "175.16.199.128/25": "HK", "81.2.69.0/24": "GB", "89.160.20.0/24": "SE",
    "2001:218::/32": "JP", "45.0.0.0/8": "US", "6.0.0.0/8": "EU", "122.100.0.0/16": "MO", "114.32.0.0/16": "TW",
}  # fmt: skip
NETWORKS = {
    "45.1.0.0/16": "hosting:high:Example Cloud",
    "45.1.2.0/24": "relay:medium:Example Relay",
    "81.2.69.64/26": "vpn:low:Example VPN",
    "89.160.20.0/25": "vpn:medium:Example VPN",
    "5.5.5.0/24": "tor:high:Tor",
    "175.16.199.7/32": "tor:high:Tor",
}
DATA = tiny_database(COUNTRIES, NETWORKS)

CHINA, BRITAIN, SWEDEN, JAPAN, HONG_KONG = (
    "175.16.199.1",
    "81.2.69.142",
    "89.160.20.200",
    "2001:218::1",
    "175.16.199.200",
)
NOWHERE, PRIVATE, CLOUD, RELAY, TOR = "9.9.9.9", "10.0.0.1", "45.1.9.9", "45.1.2.3", "5.5.5.5"

Mapped = dict[str, Any]


def rule(action: str, *, name: str = "r", **words: list[str]) -> Mapped:
    return {"name": name, "action": action, **words}


def engine(*rules: Mapped, default: str = "allow", data: Database = DATA, **more: Any) -> Engine:
    numbered = [
        {**words, "name": f"{number} {words['name']}"} for number, words in enumerate(rules, 1)
    ]
    return Engine(
        {"default": default, "rules": numbered, **more} if rules else {"default": default, **more},
        database=data,
    )


def listed(folder: Path, **lists: str) -> Mapping[str, Mapped]:
    """Write lists, and return the policy's table of them."""
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    return {name: {"path": str(folder / f"{name}.txt")} for name in lists}


BLOCK_CN = engine(rule("block", countries=["CN"]))
ALLOW_GB_SE = engine(rule("allow", countries=["GB", "SE"]), default="block")

# --- H: rules and fallbacks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "block_list", "allow_list"),
    [
        pytest.param(CHINA, "block", "block", id="a blocked country"),
        pytest.param(BRITAIN, "allow", "allow", id="an allowed country"),
        pytest.param(JAPAN, "allow", "block", id="a country that neither names"),
        pytest.param(NOWHERE, "allow", "block", id="H3 a public address in no country"),
        pytest.param("6.1.1.1", "allow", "block", id="H3 a public address with a pseudo code"),
        pytest.param(PRIVATE, "allow", "block", id="a private address"),
        pytest.param("::1", "allow", "block", id="loopback"),
        pytest.param("", "block", "block", id="an empty address"),
        pytest.param("junk", "block", "block", id="text that is no address"),
        pytest.param("175.16.199.1 ", "block", "block", id="an address with a space"),
        pytest.param(None, "block", "block", id="no address"),
    ],
)
def test_a_block_list_and_an_allow_list_decide(
    address: str | None, block_list: str, allow_list: str
) -> None:
    assert BLOCK_CN.decide(address).action.value == block_list
    assert ALLOW_GB_SE.decide(address).action.value == allow_list


@pytest.mark.parametrize("default", ["allow", "block"])
@pytest.mark.parametrize("action", ["allow", "warn", "block"])
@pytest.mark.parametrize(
    ("case", "address"),
    [("unknown", NOWHERE), ("private", PRIVATE), ("unresolved", ""), ("unresolved", None)],
)
def test_h3_a_stated_fallback_is_obeyed(
    default: str, action: str, case: str, address: str | None
) -> None:
    decision = engine(default=default, fallback={case: action}).decide(address)
    assert decision.action.value == action
    assert decision.reason.value == case
    assert decision.rule is None
    assert decision.country is None


def test_h3_the_fallbacks_are_told_once_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="georestrict"):
        started = engine(rule("block", countries=["CN"]), fallback={"private": "warn"})
        for address in (CHINA, NOWHERE, PRIVATE, ""):
            started.decide(address)
    told = [record.getMessage() for record in caplog.records if "unresolved" in record.getMessage()]
    assert len(told) == 1
    for words in ("unknown: allow", "private: warn", "unresolved: block", "no_data: block"):
        assert words in told[0]


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        pytest.param([rule("block", countries=["CN"])], True, id="a block rule"),
        pytest.param([rule("warn", countries=["CN"])], False, id="a warn rule"),
    ],
)
def test_a_policy_that_blocks_without_a_contact_is_warned_about(
    rules: list[Mapped], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine(*rules)
    assert any("contact" in record.getMessage() for record in caplog.records) is warned
    caplog.clear()
    engine(*rules, contact="https://example.com/access")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "address", [HONG_KONG, "122.100.0.1", "114.32.0.1"], ids=["HK", "MO", "TW"]
)
def test_h5_blocking_cn_does_not_block_hong_kong_macao_or_taiwan(address: str) -> None:
    assert BLOCK_CN.decide(address).action is Action.ALLOW
    group = engine(rule("block", countries=["CN", "HK", "MO", "TW"]))
    assert group.decide(address).action is Action.BLOCK


def test_h6_the_first_rule_that_matches_decides() -> None:
    exempted = engine(rule("allow", networks=["175.16.199.1/32"]), rule("block", countries=["CN"]))
    assert exempted.decide(CHINA).rule == "1 r"
    assert exempted.decide(CHINA).action is Action.ALLOW
    assert exempted.decide("175.16.199.2").action is Action.BLOCK
    blocked = engine(
        rule("block", networks=["81.2.69.0/24"]), rule("allow", countries=["GB"]), default="block"
    )
    assert blocked.decide(BRITAIN).action is Action.BLOCK
    assert blocked.decide(BRITAIN).rule == "1 r"
    late = engine(rule("block", countries=["CN"]), rule("allow", networks=["175.16.199.1/32"]))
    assert late.decide(CHINA).action is Action.BLOCK


def test_h7_an_address_is_in_every_list_that_contains_it(tmp_path: Path) -> None:
    lists = listed(
        tmp_path,
        wide="45.1.0.0/16\n",
        narrow="45.1.2.0/24 # a comment\n45.1.9.9\n",
        other="2001:218::/48\n",
    )
    found = engine(rule("warn", lists=["wide"]), rule("block", lists=["narrow"]), lists=lists)
    expected = {"45.1.2.3": {"wide", "narrow"}, "45.1.9.9": {"wide", "narrow"}, "45.1.9.8": {"wide"}, "45.2.0.0": set(),
                JAPAN: {"other"}, "2001:218:1::": set()}  # fmt: skip
    for address, names in expected.items():
        assert found.lookup(address).lists == names, address
        assert found.lookup(ip_address(address)).lists == names, address
    assert found.decide("45.1.2.3").rule == "1 r"
    narrow_first = engine(
        rule("block", lists=["narrow"]), rule("warn", lists=["wide"]), lists=lists
    )
    assert [narrow_first.decide(a).action.value for a in ("45.1.2.3", "45.1.9.9", "45.1.9.8", "45.2.0.0")] == [
        "block", "block", "warn", "allow",
    ]  # fmt: skip


def test_h7_a_list_that_no_rule_names_is_still_told(tmp_path: Path) -> None:
    idle = engine(lists=listed(tmp_path, idle="45.1.0.0/16\n"))
    assert idle.lookup(CLOUD).lists == {"idle"}
    assert idle.lookup(CLOUD).country == "US"
    assert [(match.layer, match.value, match.line) for match in idle.matches(CLOUD)][-1] == (
        "list",
        "idle",
        1,
    )
    assert idle.decide(CLOUD).action is Action.ALLOW


def test_a_declared_empty_list_matches_nothing(tmp_path: Path) -> None:
    lists = {"none": {**listed(tmp_path, none="# nothing yet\n")["none"], "allow_empty": True}}
    empty = engine(rule("block", lists=["none"]), lists=lists)
    assert {empty.decide(a).action for a in (CHINA, JAPAN, NOWHERE, PRIVATE)} == {Action.ALLOW}


def test_list_lines_may_be_networks_addresses_and_ranges_of_both_families(tmp_path: Path) -> None:
    text = "\ufeff# ours\r\n45.1.2.0/24\r\n9.9.9.9\r\n; more\r\n8.8.8.8-8.8.8.9\t# two\r\n2001:218::/48\r\n\r\n"
    blocked = engine(rule("block", lists=["mine"]), lists=listed(tmp_path, mine=text))
    for address in (
        "45.1.2.0",
        "45.1.2.255",
        "9.9.9.9",
        "8.8.8.8",
        "8.8.8.9",
        "2001:218::",
        "::ffff:9.9.9.9",
    ):
        assert blocked.decide(address).action is Action.BLOCK, address
    for address in (
        "45.1.1.255",
        "45.1.3.0",
        "9.9.9.8",
        "9.9.9.10",
        "8.8.8.7",
        "8.8.8.10",
        "2001:218:1::",
    ):
        assert blocked.decide(address).action is Action.ALLOW, address


def test_networks_of_a_rule_match_private_and_unknown_addresses_too() -> None:
    office = engine(
        rule("allow", networks=["10.0.0.0/8", "9.9.9.0-9.9.9.9", "fd00::/8"]), default="block"
    )
    assert {
        office.decide(a).action for a in (PRIVATE, "9.9.9.9", "fd00::5", "::ffff:10.9.9.9")
    } == {Action.ALLOW}
    assert {office.decide(a).action for a in ("9.9.9.10", "11.0.0.0", "fc00::5", BRITAIN, "")} == {
        Action.BLOCK
    }
    assert office.decide(PRIVATE).reason is Reason.NETWORK


def test_the_whole_address_space_as_networks_matches_every_address_but_not_an_unresolved_client() -> (
    None
):
    everyone = engine(rule("warn", networks=["0.0.0.0/0", "::/0"]))
    for address in (CHINA, JAPAN, NOWHERE, PRIVATE, "::1", "255.255.255.255", "2002:af10:c701::1"):
        assert everyone.decide(address).action is Action.WARN, address
    assert everyone.decide(None).reason is Reason.UNRESOLVED


def test_different_words_of_a_rule_are_anded_and_the_values_of_one_are_ored(tmp_path: Path) -> None:
    lists = listed(tmp_path, cloud="45.1.0.0/16\n", other="81.2.69.142\n")
    both = engine(rule("block", countries=["US", "CN"], lists=["cloud", "other"]), lists=lists)
    assert both.decide(CLOUD).action is Action.BLOCK
    for address in (CHINA, BRITAIN, "45.2.0.1"):
        assert both.decide(address).action is Action.ALLOW, address
    three = engine(rule("block", countries=["US"], categories=["relay"], networks=["45.1.2.0/25"]))
    assert three.decide("45.1.2.3").action is Action.BLOCK
    for address in ("45.1.2.200", "45.1.9.9", "45.2.0.1"):
        assert three.decide(address).action is Action.ALLOW, address


# --- I: categories ------------------------------------------------------------------------------------


def test_i1_a_tor_exit_is_of_category_tor_with_high_confidence() -> None:
    assert BLOCK_CN.lookup(TOR).categories == {Category.TOR: Confidence.HIGH}
    for wanted in ("tor", "tor:low", "tor:medium", "tor:high", "TOR:High"):
        assert engine(rule("block", categories=[wanted])).decide(TOR).action is Action.BLOCK, wanted
    assert engine(rule("warn", categories=["tor"])).decide(TOR).action is Action.WARN
    assert (
        engine(rule("block", categories=["vpn", "proxy", "relay"])).decide(TOR).action
        is Action.ALLOW
    )


def test_i2_a_relay_inside_a_hosting_range_is_a_relay_and_only_that() -> None:
    location = BLOCK_CN.lookup(RELAY)
    assert location.categories == {Category.RELAY: Confidence.MEDIUM}
    assert location.country == "US"
    assert (
        engine(rule("block", categories=["hosting", "vpn", "tor", "proxy"])).decide(RELAY).action
        is Action.ALLOW
    )
    assert engine(rule("block", categories=["relay"])).decide(RELAY).action is Action.BLOCK
    same = tiny_database(
        {"45.0.0.0/8": "US"},
        {"45.1.2.0/24": "hosting:high:A", "45.1.2.0-45.1.2.255": "relay:high:B"},
    )
    assert same.lookup(RELAY).categories == {Category.RELAY: Confidence.HIGH}


def test_i3_hosting_without_a_rule_is_annotated_and_has_no_effect() -> None:
    assert BLOCK_CN.lookup(CLOUD).categories == {Category.HOSTING: Confidence.HIGH}
    assert BLOCK_CN.lookup(CLOUD).provider == "Example Cloud"
    decision = BLOCK_CN.decide(CLOUD)
    assert decision.plain_allow
    assert decision.reason is Reason.DEFAULT
    assert decision.location.categories == {Category.HOSTING: Confidence.HIGH}


@pytest.mark.parametrize(
    ("wanted", "low", "medium"),
    [
        ("vpn", False, True),
        ("vpn:medium", False, True),
        ("vpn:low", True, True),
        ("vpn:high", False, False),
    ],
)
def test_i4_low_confidence_matches_only_a_rule_that_asks_for_it(
    wanted: str, low: bool, medium: bool
) -> None:
    asked = engine(rule("block", categories=[wanted]))
    assert (asked.decide("81.2.69.70").action is Action.BLOCK) is low
    assert (asked.decide("89.160.20.5").action is Action.BLOCK) is medium


def test_i5_what_a_client_says_of_itself_has_no_effect() -> None:
    said = [
        (b"accept-language", b"zh-CN"),
        (b"via", b"1.1 vpn"),
        (b"user-agent", b"Tor"),
        (b"x-forwarded-for", b"5.5.5.5"),
    ]
    for address in (CHINA, BRITAIN, TOR, "", None):
        plain = BLOCK_CN.decide(address)
        assert (
            BLOCK_CN.decide(address, headers=said, host="x.cn", protocol="websocket", method="POST")
            == plain
        )


def test_i6_an_allow_rule_before_a_category_decides() -> None:
    partner = engine(rule("allow", networks=["5.5.5.5"]), rule("block", categories=["tor"]))
    assert partner.decide(TOR).action is Action.ALLOW
    assert partner.decide("5.5.5.6").action is Action.BLOCK
    behind = engine(rule("block", categories=["tor"]), rule("allow", networks=["5.5.5.5"]))
    assert behind.decide(TOR).action is Action.BLOCK


# --- B: addresses that carry another ------------------------------------------------------------------


def teredo(server: str, client: str) -> str:
    number = (
        0x20010000 << 96 | int(IPv4Address(server)) << 64 | int(IPv4Address(client)) ^ 0xFFFF_FFFF
    )
    return str(IPv6Address(number))


def six_to_four(client: str) -> str:
    return str(IPv6Address(0x2002 << 112 | int(IPv4Address(client)) << 80 | 1))


def nat64(client: str) -> str:
    return str(IPv6Address(int(IPv6Address("64:ff9b::")) | int(IPv4Address(client))))


CARRYING = [
    pytest.param("::ffff:175.16.199.1", id="B9 IPv4-mapped"),
    pytest.param("::FFFF:AF10:C701", id="B9 IPv4-mapped in hexadecimal"),
    pytest.param("2002:af10:c701::1", id="B10 6to4"),
    pytest.param("2002:af10:c701:ffff:ffff:ffff:ffff:ffff", id="B10 6to4, its last address"),
    pytest.param(teredo(BRITAIN, CHINA), id="B11 Teredo"),
    pytest.param("64:ff9b::af10:c701", id="B12 NAT64"),
]


@pytest.mark.parametrize("address", CARRYING)
def test_a_carried_address_decides_by_its_country(address: str) -> None:
    for given_as in (address, ip_address(address)):
        decision = BLOCK_CN.decide(given_as)
        assert decision.action is Action.BLOCK
        assert decision.country == "CN"
        assert decision.reason is Reason.COUNTRY
        assert ALLOW_GB_SE.decide(given_as).action is Action.BLOCK
        assert BLOCK_CN.lookup(given_as).country == "CN"
    assert (BLOCK_CN.lookup(address).via is None) is address.lower().startswith("::ffff")


def test_b10_b11_b12_the_location_says_that_it_looked_through() -> None:
    vias = [
        BLOCK_CN.lookup(address).via
        for address in (six_to_four(CHINA), teredo(BRITAIN, CHINA), nat64(CHINA), CHINA)
    ]
    assert vias == ["6to4", "teredo", "nat64", None]


def test_b11_a_teredo_server_says_nothing() -> None:
    assert BLOCK_CN.decide(teredo(CHINA, BRITAIN)).action is Action.ALLOW
    assert BLOCK_CN.decide(teredo(CHINA, BRITAIN)).country == "GB"


@pytest.mark.parametrize(
    "address", [six_to_four(PRIVATE), teredo(BRITAIN, PRIVATE), nat64(PRIVATE), "64:ff9b::a00:1"]
)
def test_b12_an_address_that_carries_a_private_one_is_private(address: str) -> None:
    assert BLOCK_CN.lookup(address).status is Status.PRIVATE
    assert ALLOW_GB_SE.decide(address).reason is Reason.PRIVATE
    assert ALLOW_GB_SE.decide(address).action is Action.BLOCK


@pytest.mark.parametrize("address", [CHINA, *CARRYING])
def test_b18_a_block_list_is_seen_through_every_spelling(address: str, tmp_path: Path) -> None:
    from_list = engine(
        rule("block", lists=["bad"]), lists=listed(tmp_path, bad="175.16.199.0/24\n")
    )
    from_rule = engine(rule("block", networks=["175.16.199.0/24"]))
    for blocking in (from_list, from_rule):
        for given_as in (address, ip_address(address)):
            decision = blocking.decide(given_as)
            assert decision.action is Action.BLOCK
            assert decision.reason is Reason.NETWORK
            assert decision.country == "CN"
        assert blocking.decide(six_to_four("175.16.198.255")).action is Action.ALLOW
    assert from_list.lookup(address).lists == {"bad"}
    assert any(match.layer == "list" for match in from_list.matches(address))


def test_b18_the_outer_address_is_looked_for_in_lists_too(tmp_path: Path) -> None:
    lists = listed(tmp_path, tunnels="2002::/16\n", bad="175.16.199.1\n")
    both = engine(rule("block", lists=["tunnels"]), lists=lists)
    assert both.lookup(six_to_four(CHINA)).lists == {"tunnels", "bad"}
    assert both.decide(six_to_four(BRITAIN)).action is Action.BLOCK
    assert both.decide(six_to_four(PRIVATE)).action is Action.BLOCK
    assert both.decide(CHINA).action is Action.ALLOW
    assert both.decide(six_to_four(BRITAIN)).country == "GB"


def test_categories_are_seen_through_a_carried_address() -> None:
    blocking = engine(rule("block", categories=["tor"]))
    for address in (six_to_four(TOR), teredo(CHINA, TOR), nat64(TOR), f"::ffff:{TOR}"):
        assert blocking.decide(address).reason is Reason.CATEGORY


# --- Dry run -------------------------------------------------------------------------------------------

MANY = [
    CHINA,
    BRITAIN,
    SWEDEN,
    JAPAN,
    HONG_KONG,
    NOWHERE,
    PRIVATE,
    CLOUD,
    RELAY,
    TOR,
    "",
    "junk",
    six_to_four(CHINA),
]
MIXED = [
    rule("allow", paths=["/healthz"]),
    rule("block", categories=["tor", "relay"]),
    rule("block", countries=["JP"], paths=["/admin/*"]),
    rule("warn", countries=["HK", "JP"]),
    rule("block", countries=["CN"]),
]


@pytest.mark.parametrize("default", ["allow", "block"])
def test_i8_a_dry_run_enforces_nothing_and_counts_the_same(default: str) -> None:
    enforcing, trying = (
        engine(*MIXED, default=default),
        engine(*MIXED, default=default, mode="dry-run"),
    )
    enforced: Counter[tuple[object, ...]] = Counter()
    tried: Counter[tuple[object, ...]] = Counter()
    for address in MANY:
        for path in ("/", "/healthz", "/admin/x", "//admin/x"):
            one, other = enforcing.decide(address, path=path), trying.decide(address, path=path)
            assert other.action is Action.ALLOW
            assert one.would is None
            assert other.would is one.action
            assert other.decided is one.decided
            assert other.plain_allow is one.plain_allow
            enforced[one.action, one.reason, one.rule, one.code] += 1
            tried[other.would, other.reason, other.rule, other.code] += 1
    assert enforced == tried
    assert sum(count for (action, *_), count in enforced.items() if action is Action.BLOCK) > 0


# --- What a decision says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "default", "address", "reason", "code"),
    [
        pytest.param([rule("block", countries=["CN"])], "allow", CHINA, "country",
                     "unsupported_country_region_territory", id="a rule about countries"),
        pytest.param([rule("warn", countries=["CN"])], "allow", CHINA, "country",
                     "unsupported_country_region_territory", id="a warning about countries"),
        pytest.param([], "block", JAPAN, "default",
                     "unsupported_country_region_territory", id="a country that no rule allows"),
        pytest.param([], "block", NOWHERE, "unknown",
                     "unsupported_country_region_territory", id="no country on an allow list"),
        pytest.param([rule("block", categories=["tor"])], "allow", TOR, "category", "anonymous_network", id="tor"),
        pytest.param([rule("block", categories=["relay"])], "allow", RELAY, "category", "anonymous_network", id="relay"),
        pytest.param([rule("block", categories=["vpn"])], "allow", "89.160.20.5", "category", "anonymous_network", id="vpn"),
        pytest.param([rule("block", categories=["hosting"])], "allow", CLOUD, "category", "network_not_allowed", id="hosting"),
        pytest.param([rule("block", networks=["9.9.9.9"])], "allow", NOWHERE, "network", "network_not_allowed", id="networks"),
        pytest.param([], "block", PRIVATE, "private", "network_not_allowed", id="a private address on an allow list"),
        pytest.param([], "allow", "junk", "unresolved", "client_address_unresolved", id="text that is no address"),
        pytest.param([], "block", None, "unresolved", "client_address_unresolved", id="no address"),
    ],
)  # fmt: skip
def test_reason_and_code_say_the_cause(
    rules: list[Mapped], default: str, address: str | None, reason: str, code: str
) -> None:
    decision = engine(*rules, default=default).decide(address)
    assert decision.reason.value == reason
    assert decision.code is not None
    assert decision.code.value == code
    assert decision.rule == ("1 r" if rules else None)
    assert decision.would is None
    assert not decision.plain_allow


def test_the_code_of_a_rule_on_a_list_is_about_the_network(tmp_path: Path) -> None:
    decision = engine(rule("block", lists=["bad"]), lists=listed(tmp_path, bad="9.9.9.9")).decide(
        NOWHERE
    )
    assert (decision.reason, decision.code) == (Reason.NETWORK, Code.NETWORK)


def test_an_allow_has_no_code_and_says_its_rule() -> None:
    named = ALLOW_GB_SE.decide(BRITAIN)
    assert (named.action, named.reason, named.rule, named.country, named.code) == (
        Action.ALLOW, Reason.COUNTRY, "1 r", "GB", None,
    )  # fmt: skip
    default = BLOCK_CN.decide(BRITAIN)
    assert (default.reason, default.rule, default.country, default.code) == (
        Reason.DEFAULT,
        None,
        "GB",
        None,
    )
    health = engine(rule("allow", paths=["/healthz"]), default="block").decide(
        CHINA, path="/healthz"
    )
    assert (health.reason, health.rule, health.code) == (Reason.REQUEST, "1 r", None)


def test_decisions_are_made_beforehand_shared_and_carry_no_address() -> None:
    one, other = BLOCK_CN.decide("175.16.199.1"), BLOCK_CN.decide("175.16.199.2")
    assert one is other
    assert "175.16.199" not in repr(one)
    assert "\n" not in repr(one)
    with pytest.raises(AttributeError):
        one.action = Action.ALLOW  # type: ignore[misc]  # that is the point


# --- Paths ---------------------------------------------------------------------------------------------


def test_an_allow_rule_for_a_path_holds_in_every_case_and_nowhere_else() -> None:
    health = engine(
        rule("allow", paths=["/healthz"]), rule("block", countries=["CN"]), default="block"
    )
    for address in (CHINA, BRITAIN, NOWHERE, PRIVATE, TOR, "", "junk", None, six_to_four(CHINA)):
        assert health.decide(address, path="/healthz").rule == "1 r", address
        for path in (
            "/",
            "/healthz/",
            "//healthz",
            "/healthz;x",
            "/x/../healthz",
            "/HEALTHZ",
            "/healthz/../secret",
        ):
            assert health.decide(address, path=path).action is Action.BLOCK, (address, path)
        assert (
            health.decide(address, path="/healthz", raw_path=b"/%68ealthz").action is Action.BLOCK
        )
        assert (
            health.decide(address, path="/healthz", raw_path=b"/healthz?q").action is Action.ALLOW
        )


def test_a_block_rule_for_a_path_holds_for_every_spelling_and_only_where_it_says() -> None:
    admin = engine(rule("block", countries=["CN"], paths=["/admin/*"]))
    for path in ("/admin", "/admin/x", "//admin", "/x/../admin", "/admin;p", "\\admin", "/%61dmin"):
        assert admin.decide(CHINA, path=path).action is Action.BLOCK, path
        assert admin.decide(BRITAIN, path=path).action is Action.ALLOW, path
    for path in ("/", "/adminfoo", "/public"):
        assert admin.decide(CHINA, path=path).action is Action.ALLOW, path
    assert admin.decide(CHINA, path="/", raw_path=b"/admin/..").action is Action.BLOCK


def test_a_warn_rule_for_a_path_matches_strictly() -> None:
    warning = engine(
        rule("warn", countries=["CN"], paths=["/admin/*"]), rule("block", countries=["CN"])
    )
    assert warning.decide(CHINA, path="/admin/x").action is Action.WARN
    assert warning.decide(CHINA, path="//admin/x").action is Action.BLOCK


def test_rules_with_and_without_paths_are_tried_in_order() -> None:
    layered = engine(
        rule("allow", countries=["CN"], paths=["/export"]),
        rule("block", countries=["CN"], paths=["/admin/*", "/export/*"]),
        rule("warn", countries=["CN", "HK"]),
        rule("block", countries=["CN", "HK"]),
    )
    expected = {
        "/export": "1 r",
        "/export/x": "2 r",
        "/export/": "2 r",
        "/admin": "2 r",
        "/": "3 r",
    }
    for path, name in expected.items():
        assert layered.decide(CHINA, path=path).rule == name, path
    assert layered.decide(HONG_KONG, path="/export").rule == "3 r"
    assert layered.decide(BRITAIN, path="/export").rule is None


# --- Any input -----------------------------------------------------------------------------------------

_CHARACTERS = st.characters(categories=["L", "N", "P", "Z", "S", "Cc", "Cs"])
_BOTH = [BLOCK_CN, engine(*MIXED, default="block")]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.none(), st.text(_CHARACTERS, max_size=60), st.ip_addresses(), st.ip_addresses().map(str)
    ),
    st.one_of(st.text(_CHARACTERS, max_size=20), st.text("/%.\\;abc\ud800\0", max_size=20)),
    st.one_of(st.none(), st.binary(max_size=20)),
)
def test_no_address_and_no_path_raises(address: Any, path: str, raw_path: bytes | None) -> None:
    for made in _BOTH:
        decision = made.decide(address, path=path, raw_path=raw_path)
        assert decision.action in Action
        known = address is not None and made.lookup(address).status is not Status.UNRESOLVED
        assert (decision.location.status is Status.UNRESOLVED) is not known


# --- The plain evaluator -------------------------------------------------------------------------------

#: Which patterns a path matches as a rule that allows or warns sees it, and as one that blocks does.
PATHS: dict[str, tuple[set[str], set[str]]] = {
    "/": (set(), set()),
    "/healthz": ({"/healthz"}, {"/healthz"}),
    "//healthz": (set(), {"/healthz"}),
    "/admin": ({"/admin/*"}, {"/admin/*"}),
    "/admin/x": ({"/admin/*", "/*/x"}, {"/admin/*", "/*/x"}),
    "/%61dmin/x": (set(), {"/admin/*", "/*/x"}),
    "/a;p/x": (set(), {"/*/x"}),
    "/adminfoo": (set(), set()),
}
IS_PRIVATE = ["10.0.0.0/8", "127.0.0.0/8", "::1/128", "fc00::/7"]
LISTS = {
    "one": ["45.1.0.0/16", "2001:218::/48", "9.9.9.9/32"],
    "two": ["45.1.2.0/24", "175.16.199.0/26", "2002::/16"],
}


def holds(networks: Iterable[str], address: IPv4Address | IPv6Address) -> bool:
    return any(
        address in ip_network(text)
        for text in networks
        if ip_network(text).version == address.version
    )


def narrowest(table: Mapping[str, str], address: IPv4Address | IPv6Address) -> str:
    found = [text for text in table if holds([text], address)]
    return table[max(found, key=lambda text: ip_network(text).prefixlen)] if found else ""


def evaluate(
    policy: Mapped, text: str, path: str
) -> tuple[str, str | None, str | None, str | None]:
    """The action, the rule, the fallback case if one decided, and the country: slow and plain."""
    try:
        outer: Any = ip_address(text)
    except ValueError:
        outer = None
    carried = None
    if isinstance(outer, IPv6Address):
        outer = outer.ipv4_mapped or outer
    if isinstance(outer, IPv6Address):
        carried = outer.sixtofour or (outer.teredo or (None, None))[1]
        if carried is None and outer in ip_network("64:ff9b::/96"):
            carried = IPv4Address(int(outer) & 0xFFFF_FFFF)
    private = outer is not None and holds(IS_PRIVATE, carried or outer)
    where = [] if outer is None else [outer] if carried is None or private else [outer, carried]
    code = narrowest(COUNTRIES, where[-1]) if where and not private else ""
    country = code if code not in ("", "EU") else None
    category, _, rest = (narrowest(NETWORKS, where[-1]) if where else "").partition(":")
    levels = ["low", "medium", "high"]
    for words in policy["rules"]:
        strict, broad = PATHS[path]
        asked = [wanted.partition(":") for wanted in words.get("categories", [])]
        if (
            ("countries" not in words or country in words["countries"])
            and ("networks" not in words or any(holds(words["networks"], one) for one in where))
            and ("lists" not in words or any(holds(LISTS[name], one) for name in words["lists"] for one in where))
            and ("paths" not in words or (broad if words["action"] == "block" else strict) & set(words["paths"]))
            and ("categories" not in words or any(
                name == category and levels.index(rest.partition(":")[0]) >= levels.index(level or "medium")
                for name, _, level in asked
            ))
        ):  # fmt: skip
            return words["action"], words["name"], None, country
    if country is not None:
        return policy["default"], None, None, country
    case = "unresolved" if outer is None else "private" if private else "unknown"
    usual = "block" if case == "unresolved" else policy["default"]
    return policy["fallback"].get(case, usual), None, case, None


_WORDS = {
    "countries": st.sampled_from(["CN", "HK", "GB", "SE", "JP", "US", "MO"]),
    "categories": st.sampled_from(["tor", "vpn", "vpn:low", "vpn:high", "relay", "relay:high", "hosting", "hosting:low"]),
    "lists": st.sampled_from(list(LISTS)),
    "networks": st.sampled_from(
        ["175.16.199.0/25", "45.1.2.0/23", "127.0.0.0/8", "9.0.0.0/8", "2001:218::/33", "2002::/16", "0.0.0.0/0", "::/0",
         "81.2.69.142/32"]
    ),
    "paths": st.sampled_from(["/healthz", "/admin/*", "/*/x"]),
}  # fmt: skip


@st.composite
def rules(draw: st.DrawFn) -> Mapped:
    action = draw(st.sampled_from(["allow", "warn", "block"]))
    names = draw(st.sets(st.sampled_from(list(_WORDS)), min_size=1, max_size=3))
    if names == {"paths"} and action != "allow":
        names = {"paths", "countries"}
    chosen = {
        name: draw(st.lists(_WORDS[name], min_size=1, max_size=3, unique=True))
        for name in sorted(names)
    }
    return {"name": "drawn", "action": action, **chosen}


@st.composite
def policies(draw: st.DrawFn) -> Mapped:
    actions = st.sampled_from(["allow", "warn", "block"])
    fallback = draw(
        st.dictionaries(st.sampled_from(["unknown", "private", "unresolved"]), actions, max_size=2)
    )
    drawn = draw(st.lists(rules(), min_size=1, max_size=5))
    return {
        "default": draw(st.sampled_from(["allow", "block"])),
        "fallback": fallback,
        "rules": [{**words, "name": f"rule {number}"} for number, words in enumerate(drawn, 1)],
    }


_IPV4 = [
    CHINA, HONG_KONG, BRITAIN, SWEDEN, NOWHERE, PRIVATE, CLOUD, RELAY, TOR, "175.16.199.7", "175.16.199.64", "45.0.0.0",
    "6.1.1.1", "81.2.69.70", "89.160.20.5", "45.1.3.255", "127.0.0.1",
]  # fmt: skip
ADDRESSES = [
    *_IPV4, JAPAN, "2001:218:0:ffff:ffff::", "2001:218:8000::", "2a00::1", "::1", "fd00::1", "", "junk", f"::ffff:{CHINA}",
    *(six_to_four(text) for text in (CHINA, CLOUD, RELAY, TOR, PRIVATE, NOWHERE, BRITAIN, "6.1.1.1")),
    *(teredo(server, client) for server, client in ((BRITAIN, CHINA), (CHINA, RELAY), (CHINA, PRIVATE))),
    *(nat64(text) for text in (CHINA, CLOUD, NOWHERE, PRIVATE)),
]  # fmt: skip


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapped]:
    return listed(
        tmp_path_factory.mktemp("lists"),
        **{name: "\n".join(lines) for name, lines in LISTS.items()},
    )


@settings(max_examples=60, deadline=None)
@given(policies(), st.booleans())
def test_any_policy_decides_any_address_as_the_plain_evaluator_does(
    lists: Mapping[str, Mapped], policy: Mapped, dry_run: bool
) -> None:
    whole = {**policy, "lists": lists, "mode": "dry-run" if dry_run else "enforce"}
    if not whole["fallback"]:
        del whole["fallback"]
    made = Engine(whole, database=DATA)
    for address in ADDRESSES:
        for path in PATHS:
            decision = made.decide(address, path=path)
            case = (
                decision.reason.value
                if decision.rule is None and decision.reason is not Reason.DEFAULT
                else None
            )
            found = decision.decided.value, decision.rule, case, decision.country
            assert found == evaluate(policy, address, path), (address, path)
            assert (decision.would is not None) is dry_run


# --- Reload --------------------------------------------------------------------------------------------

POLICY = """
default = "allow"
contact = "https://example.com/access"
[lists.mine]
path = "mine.txt"
[[rules]]
name = "listed"
action = "block"
lists = ["mine"]
[[rules]]
name = "country"
action = "{action}"
countries = ["CN"]
"""
MANIFEST = """
[[source]]
name = "one"
title = "One range"
layer = "country"
format = "networks"
path = "one.txt"
value = "{country}"
date = 2026-01-01
licence = "CC0-1.0"
attribution = "-"
"""


def lay(
    folder: Path, *, action: str = "block", mine: str = "9.9.9.9", country: str = "CN"
) -> tuple[Path, Path]:
    """Write a policy, its list and an image; return the paths of the policy and the image."""
    (folder / "policy.toml").write_text(POLICY.format(action=action))
    (folder / "mine.txt").write_text(mine)
    (folder / "one.txt").write_text("175.16.199.0/24")
    (folder / "sources.toml").write_text(MANIFEST.format(country=country))
    (folder / "one.grdb").write_bytes(Manifest.load(folder / "sources.toml").compile())
    return folder / "policy.toml", folder / "one.grdb"


def test_a_reload_puts_policy_lists_and_data_in_force_as_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy, image = lay(tmp_path)
    served = Engine(policy, database=image)
    assert [served.decide(a).action.value for a in (CHINA, "9.9.9.9", "8.8.8.8")] == [
        "block",
        "block",
        "allow",
    ]
    lay(tmp_path, action="warn", mine="8.8.8.8", country="GB")
    assert [served.decide(a).action.value for a in (CHINA, "9.9.9.9", "8.8.8.8")] == [
        "block",
        "block",
        "allow",
    ]
    before = served.snapshot
    with caplog.at_level(logging.INFO, logger="georestrict"):
        assert try_reload(served) is True
    assert served.snapshot is not before
    assert [served.decide(a).action.value for a in (CHINA, "9.9.9.9", "8.8.8.8")] == [
        "allow",
        "allow",
        "block",
    ]
    assert served.decide(CHINA).country == "GB"
    assert any("reloaded" in record.getMessage() for record in caplog.records)
    lay(tmp_path, action="warn")
    served.reload()
    assert served.decide(CHINA).action is Action.WARN


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        pytest.param(
            "policy.toml", b"default = ", ConfigurationError, id="H11 the policy is no TOML"
        ),
        pytest.param(
            "policy.toml", b'default = "deny"', ConfigurationError, id="H11 the policy is wrong"
        ),
        pytest.param(
            "policy.toml",
            b"x = " + b"[" * 100_000,
            ConfigurationError,
            id="H11 the policy nests too deep",
        ),
        pytest.param(
            "policy.toml",
            b"x = " + b"1" * 5000,
            ConfigurationError,
            id="H11 the policy has a huge number",
        ),
        pytest.param("policy.toml", b"\xff", ConfigurationError, id="H11 the policy is no text"),
        pytest.param("policy.toml", None, ConfigurationError, id="H11 the policy is gone"),
        pytest.param("mine.txt", b"203.0.113.5/24", ConfigurationError, id="H11 the list is wrong"),
        pytest.param("mine.txt", b"", ConfigurationError, id="H2 the list is empty"),
        pytest.param("mine.txt", None, ConfigurationError, id="H11 the list is gone"),
        pytest.param("one.grdb", b"junk", DatabaseError, id="G9 the image is junk"),
        pytest.param("one.grdb", b"", DatabaseError, id="G9 the image is empty"),
        pytest.param("one.grdb", None, DatabaseError, id="G9 the image is gone"),
    ],
)
def test_a_reload_that_fails_keeps_everything_and_the_next_one_recovers(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: bytes | None,
    error: type[Exception],
) -> None:
    policy, image = lay(tmp_path)
    served = Engine(policy, database=image)
    lay(tmp_path, action="warn", mine="8.8.8.8", country="GB")
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    before = served.snapshot
    with pytest.raises(error):
        served.reload()
    assert try_reload(served) is False
    assert served.snapshot is before
    assert [served.decide(a).action.value for a in (CHINA, "9.9.9.9", "8.8.8.8")] == [
        "block",
        "block",
        "allow",
    ]
    assert any(
        record.levelno == logging.ERROR and name in record.getMessage() for record in caplog.records
    )
    lay(tmp_path, action="warn")
    assert try_reload(served) is True
    assert served.decide(CHINA).action is Action.WARN


def test_h12_a_snapshot_taken_before_a_reload_stays_whole(tmp_path: Path) -> None:
    policy, image = lay(tmp_path)
    served = Engine(policy, database=image)
    old = served.snapshot
    lay(tmp_path, action="warn", mine="8.8.8.8", country="GB")
    served.reload()
    assert old.judge(CHINA, Request())[1].action is Action.BLOCK
    assert old.judge("9.9.9.9", Request())[1].action is Action.BLOCK
    assert served.snapshot.judge(CHINA, Request())[1].country == "GB"


@pytest.mark.parametrize("told", ["app", "strict", "stricter"])
def test_h12_policies_over_the_same_data_are_reloaded_as_one(tmp_path: Path, told: str) -> None:
    policy, image = lay(tmp_path)
    strict = tmp_path / "strict.toml"
    strict.write_text(policy.read_text())
    app = Engine(policy, database=image)
    engines = {"app": app, "strict": app.with_policy(strict)}
    engines["stricter"] = engines["strict"].with_policy({"default": "block"})
    before = {name: engine.snapshot for name, engine in engines.items()}
    lay(tmp_path, action="warn", country="GB")
    strict.write_text("default = ")
    with pytest.raises(ConfigurationError, match=r"strict\.toml"):
        engines[told].reload()
    assert {name: engine.snapshot for name, engine in engines.items()} == before
    strict.write_text(policy.read_text().replace('"CN"', '"GB"'))
    engines[told].reload()
    assert {engine.database for engine in engines.values()} == {app.database}
    assert [engine.decide(CHINA).country for engine in engines.values()] == ["GB"] * 3
    assert [str(engine.decide(CHINA).action) for engine in engines.values()] == [
        "allow",
        "warn",
        "block",
    ]


def test_an_engine_over_the_same_data_is_let_go_with_whoever_asked_for_it(tmp_path: Path) -> None:
    policy, image = lay(tmp_path)
    app = Engine(policy, database=image)
    gone = weakref.ref(app.with_policy(policy))
    gc.collect()
    assert gone() is None
    app.reload()
    assert app.decide(CHINA).action is Action.BLOCK


# --- Options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param({}, "nothing to enforce", id="nothing"),
        pytest.param({"block": []}, "block: is empty", id="an empty block list"),
        pytest.param(
            {"policy": {"default": "allow"}, "block": ["CN"]},
            "not both",
            id="a policy and the short form",
        ),
        pytest.param(
            {"engine": BLOCK_CN, "policy": {"default": "allow"}},
            "alone",
            id="an engine and a policy",
        ),
        pytest.param(
            {"engine": BLOCK_CN, "database": DATA}, "alone", id="an engine and a database"
        ),
        pytest.param(
            {"engine": BLOCK_CN, "warn": ["CN"]}, "alone", id="an engine and the short form"
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Engine.from_options(**options)


def test_a_policy_may_come_in_every_form(tmp_path: Path) -> None:
    text = 'default = "allow"\n[[rules]]\nname = "block"\naction = "block"\ncountries = ["CN"]\n'
    path = tmp_path / "policy.toml"
    path.write_text(text)
    mapping = {"default": "allow", "rules": [rule("block", name="block", countries=["CN"])]}
    for given_as in (path, str(path), mapping, Policy.load(path), Policy.from_mapping(mapping)):
        decision = Engine.from_options(policy=given_as, database=DATA).decide(CHINA)
        assert (decision.action, decision.rule) == (Action.BLOCK, "block")
    assert Engine.from_options(block=["CN"], database=DATA).decide(CHINA).rule == "block"
    assert Engine.from_options(engine=BLOCK_CN) is BLOCK_CN


def test_a_missing_database_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"gone\.grdb"):
        Engine({"default": "allow"}, database=tmp_path / "gone.grdb")


def test_an_older_reload_never_replaces_a_newer_one(tmp_path: Path) -> None:
    """Two threads reload at once: the second waits, so it reads what is newest."""
    listed = tmp_path / "list.txt"
    listed.write_text("81.2.69.1\n")
    mapping = {
        "default": "allow",
        "lists": {"listed": {"path": str(listed)}},
        "rules": [{"name": "listed", "action": "block", "lists": ["listed"]}],
    }
    engine = Engine(mapping, database=tiny_database({"81.2.69.0/24": "GB"}))
    with ThreadPoolExecutor(4) as pool:
        for number in range(2, 30):
            listed.write_text(f"81.2.69.{number}\n")
            for done in [pool.submit(engine.reload) for _ in range(4)]:
                done.result()
            assert engine.decide(f"81.2.69.{number}").action is Action.BLOCK
            assert engine.decide(f"81.2.69.{number - 1}").action is Action.ALLOW


def test_a_text_of_a_subclass_of_str_is_text() -> None:
    class Text(str):
        __slots__ = ()

    database = tiny_database({"81.2.69.0/24": "GB"})
    assert database.country(Text("81.2.69.142")) == "GB"
    assert database.lookup(Text("81.2.69.142")).country == "GB"


def test_p3_a_request_during_a_reload_is_decided_by_the_old_snapshot_or_the_new_one(
    tmp_path: Path,
) -> None:
    """The list and the rule that blocks by it change together; no request sees one without the other."""
    policy, listed = tmp_path / "policy.toml", tmp_path / "list.txt"

    def write(name: str, address: str) -> None:
        listed.write_text(f"{address}\n")
        policy.write_text(
            f'default = "allow"\n[lists.l]\npath = "list.txt"\n'
            f'[[rules]]\nname = "{name}"\naction = "block"\nlists = ["l"]\n'
        )

    states = {"old": "81.2.69.1", "new": "81.2.69.2"}
    write("old", states["old"])
    engine = Engine(policy, database=tiny_database({"81.2.69.0/24": "GB"}))
    seen: Counter[tuple[str, str | None]] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            snapshot = engine.snapshot
            rules = [snapshot.judge(address, Request())[1].rule for address in states.values()]
            assert rules in (["old", None], [None, "new"])
            decision = engine.decide(states["old"])
            seen["old", decision.rule] += 1

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for number in range(40):
            name = ("new", "old")[number % 2]
            write(name, states[name])
            engine.reload()
        stop.set()
        for done in asking:
            done.result()
    assert set(seen) == {("old", "old"), ("old", None)}
