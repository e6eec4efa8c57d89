"""The words of a policy: what each becomes, and what is said of a wrong one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from georestrict import Action, Category, Confidence, ConfigurationError, Engine, Policy
from georestrict.countries import NAMES
from georestrict.policy import (
    CategoryLimit,
    ManyCountries,
    Rule,
    SeenIn,
    StaleAction,
    Words,
)
from georestrict.policy.values import Credential
from georestrict.testing import tiny_database

SUM = "0123456789abcdef" * 4
JULY, AUGUST = datetime(2024, 7, 9, tzinfo=UTC), datetime(2024, 8, 1, tzinfo=UTC)
NAIVE = datetime(2024, 7, 9)
BLOCK: dict[str, Any] = {"name": "r", "action": "block", "countries": ["CN"]}
DATED: dict[str, Any] = {"name": "r", "countries": ["CN"]}
EVERYWHERE = [*NAMES]


def SEEN(word: Any) -> dict[str, Any]:  # noqa: N802 a value, like those above
    return {"account_seen_in": word}


def MANY(**word: Any) -> dict[str, Any]:  # noqa: N802
    return {"account_countries": word}


def policy(rule: Mapping[str, Any], **more: Any) -> Policy:
    return Policy.from_mapping({"default": "allow", "rules": [rule], **more})


def only_rule(**words: Any) -> Rule:
    (rule,) = policy({"name": "r", "action": "block", **words}).rules
    return rule


# --- What is read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "given", "becomes"),
    [
        pytest.param("countries", ["cn", "HK"], {"CN", "HK"}, id="countries in upper case"),
        pytest.param("subdivisions", ["ua-43", "US-TX"], {"UA-43", "US-TX"}, id="subdivisions in upper case"),
        pytest.param("continents", ["eu", "AF"], {"EU", "AF"}, id="continents in upper case"),
        pytest.param("asns", [45102, "AS64500", "as7", "9"], {45102, 64500, 7, 9}, id="AS numbers in every spelling"),
        pytest.param("asns", [1, 4294967295], {1, 4294967295}, id="the first and the last AS number"),
    ],
)  # fmt: skip
def test_a_word_about_where_from_is_normalised(word: str, given: list[Any], becomes: Any) -> None:
    assert getattr(only_rule(**{word: given}), word) == becomes


@pytest.mark.parametrize(
    ("word", "given", "becomes"),
    [
        pytest.param("hosts", ["API.Example.com", "*.x.org"], ("api.example.com", "*.x.org"), id="hosts in lower case"),
        pytest.param("hosts", ["example.com."], ("example.com",), id="a host without the dot of the root"),
        pytest.param("hosts", ["[2001:db8::1]"], ("[2001:db8::1]",), id="a host that is an IPv6 address"),
        pytest.param("methods", ["get", "POST"], {"GET", "POST"}, id="methods in upper case"),
        pytest.param("protocols", ["http", "websocket"], {"http", "websocket"}, id="protocols"),
        pytest.param("paths", ["/a", "/b/*"], ("/a", "/b/*"), id="paths"),
        pytest.param(
            "attributes", {"plan": ["free"], "customer": ["new", "eligible"]},
            (("customer", {"new", "eligible"}), ("plan", {"free"})), id="attributes by name",
        ),
    ],
)  # fmt: skip
def test_a_word_about_the_request_is_normalised(word: str, given: Any, becomes: Any) -> None:
    assert getattr(only_rule(countries=["CN"], **{word: given}), word) == becomes


def test_words_about_accounts_are_normalised() -> None:
    rule = only_rule(
        countries=["CN"],
        **SEEN({"countries": ["cn", "@eu"], "categories": ["VPN"], "within": "2w"}),
        **MANY(more_than=0, within="36h"),
    )
    seen, many = rule.account_seen_in, rule.account_countries
    assert seen is not None and many is not None
    assert {"CN", "DE"} <= seen.countries == seen.asked
    assert seen.categories == {Category.VPN}
    assert seen.within == timedelta(days=14)
    assert many == ManyCountries(more_than=0, within=timedelta(hours=36))
    assert rule.about_accounts == (seen, many)
    assert "SeenIn(" in repr(rule) and "ManyCountries(" in repr(rule)
    (words,) = only_rule(countries=["CN"], unless=SEEN({"outside": ["de"], "within": "1h"})).unless
    assert words.account_seen_in == SeenIn(outside=frozenset({"DE"}), within=timedelta(hours=1))
    assert words.account_seen_in.asked == {*NAMES} - {"DE"}


def test_an_allow_rule_may_ask_for_the_account_alone() -> None:
    rule = {"name": "r", "action": "allow", **SEEN({"countries": ["DE"], "within": "1d"})}
    assert policy(rule).rules[0].says_anything


def test_a_group_becomes_its_members_beside_single_codes() -> None:
    countries = only_rule(countries=["@eea", "gb"]).countries
    assert {"SE", "NO", "GB"} <= countries
    assert not any(code.startswith("@") for code in countries)


def test_unless_may_be_a_table_or_several_or_values() -> None:
    one = only_rule(countries=["CN"], unless={"paths": ["/a"], "methods": ["get"]})
    several = only_rule(
        countries=["CN"], unless=[{"paths": ["/a"], "methods": ["GET"]}, {"hosts": ["a.example"]}]
    )
    words = Words(paths=("/a",), methods=frozenset({"GET"}))
    assert one.unless == (words,)
    assert several.unless == (words, Words(hosts=("a.example",)))
    assert Rule(name="r", action=Action.BLOCK, countries=frozenset({"CN"}), unless=(words,)) == one
    assert (
        Rule(name="r", action="block", countries=["CN"], unless=words)  # type: ignore[arg-type]
        == one
    )


def test_a_policy_knows_every_condition_in_order() -> None:
    one = only_rule(countries=["CN"], unless=[{"paths": ["/a"]}, {"methods": ["GET"]}])
    whole = Policy(default=Action.ALLOW, rules=(one, Rule(**{**BLOCK, "name": "s"})))
    assert whole.conditions == (one, *one.unless, whole.rules[1])


def test_times_are_kept_in_utc_however_they_are_given() -> None:
    rule = policy(
        DATED
        | {
            "warn_from": datetime.fromisoformat("2024-07-09T02:00:00+02:00"),
            "block_from": "2024-08-01T00:00:00Z",
            "until": AUGUST + timedelta(days=1),
        }
    ).rules[0]
    assert (rule.warn_from, rule.block_from) == (JULY, AUGUST)
    assert rule.warn_from is not None
    assert rule.warn_from.tzinfo is UTC
    assert rule.action is None
    assert rule.depends_on_time


@pytest.mark.parametrize(
    ("words", "actions", "over_time"),
    [
        pytest.param({"action": "block"}, ["block"], ["block"] * 3, id="an action"),
        pytest.param({"action": "block", "until": AUGUST}, ["block"], ["block", "block", None], id="an end"),
        pytest.param(
            {"warn_from": JULY, "block_from": AUGUST}, ["allow", "warn", "block"], ["allow", "warn", "block"],
            id="a warning and a block",
        ),
        pytest.param({"block_from": AUGUST}, ["allow", "block"], ["allow", "allow", "block"], id="a block alone"),
        pytest.param({"warn_from": AUGUST}, ["allow", "warn"], ["allow", "allow", "warn"], id="a warning alone"),
        pytest.param(
            {"warn_from": JULY, "until": AUGUST}, ["allow", "warn"], ["allow", "warn", None],
            id="a warning with an end",
        ),
    ],
)  # fmt: skip
def test_what_a_rule_does_before_between_and_after(
    words: Mapping[str, Any], actions: list[str], over_time: list[str | None]
) -> None:
    rule = policy({**DATED, **words}).rules[0]
    moments = JULY - timedelta(seconds=1), AUGUST - timedelta(seconds=1), AUGUST
    assert [rule.action_at(moment.timestamp()) for moment in moments] == over_time
    assert list(rule.actions) == actions


def test_credentials_are_normalised_and_the_policy_keeps_only_their_sums() -> None:
    keys = {
        "partner": {
            "header": "X-Partner-Key",
            "sha256": [SUM.upper()],
            "until": "2024-08-01T00:00:00Z",
        }
    }
    rule = {"name": "r", "action": "allow", "credentials": ["partner"]}
    assert policy(rule, credentials=keys).credentials == {
        "partner": Credential(header="x-partner-key", sha256=(SUM,), until=AUGUST)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "length"),
    [("12h", timedelta(hours=12)), ("90d", timedelta(days=90)), ("2w", timedelta(days=14))],
)
def test_stale_after_is_a_length_of_time(text: str, length: timedelta) -> None:
    assert policy(BLOCK, stale_after=text).stale_after == length
    assert Policy(default=Action.ALLOW, stale_after=length).stale_after == length


def test_a_limit_says_what_follows_although_nothing_is_written() -> None:
    given = policy(
        BLOCK,
        stale_after="90d",
        warn_after="45d",
        categories={"tor": {"stale_after": "14d"}, "vpn": {"stale_after": "1w", "stale_action": "ignore"}},
        lists={"a": {"path": "a", "stale_after": "36h"}, "b": {"path": "b"}},
    )  # fmt: skip
    assert (given.stale_action, given.warn_after) == ("no_data", timedelta(days=45))
    assert given.categories[Category.TOR] == CategoryLimit(stale_after=timedelta(days=14))
    assert given.categories[Category.TOR].stale_action == "keep"
    assert given.categories[Category.VPN].stale_action is StaleAction.IGNORE
    assert given.lists["a"].stale_action == "keep"
    assert (given.lists["b"].stale_after, given.lists["b"].stale_action) == (None, None)
    assert policy(BLOCK).stale_action is None
    with pytest.raises(ConfigurationError, match="'tr': did you mean 'tor'"):
        Policy(default=Action.ALLOW, categories={"tr": CategoryLimit(stale_after=timedelta(1))})  # type: ignore[dict-item]


def test_the_emergency_file_lies_beside_the_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('default = "allow"\nemergency_file = "switch"\n')
    assert Policy.load(path).emergency_file == tmp_path / "switch"
    assert policy(BLOCK, emergency_file="/run/switch").emergency_file == Path("/run/switch")


@pytest.mark.parametrize("name", ["json", "html"])
def test_a_response_that_is_built_in_needs_no_table(name: str) -> None:
    whole = policy(BLOCK | {"response": name}, response=name)
    assert (whole.response, whole.rules[0].response) == (name, name)


def test_a_rule_shows_what_it_says_and_nothing_else() -> None:
    shown = repr(only_rule(countries=["CN"], unless={"paths": ["/a"]}))
    assert shown == (
        "Rule(countries=frozenset({'CN'}), name='r', action=<Action.BLOCK: 'block'>, "
        "unless=(Words(paths=('/a',)),))"
    )


# --- What is wrong, and what is said --------------------------------------------------------------------

KEYS = {"partner": {"header": "X-Key", "sha256": [SUM]}}
R = r"rules\[1\] \(r\)"

#: A rule beside ``default = "allow"``, and what the one sentence about it must hold.
BAD_RULES: dict[str, tuple[Mapping[str, Any], list[str]]] = {
    # subdivisions, continents
    "a subdivision is a country": ({"subdivisions": ["UA"]}, [R + r"\.subdivisions\[1\]", "'UA'", "ISO 3166-2"]),
    "a subdivision is a name": ({"subdivisions": ["Crimea"]}, [r"subdivisions\[1\]", "'Crimea'", "ISO 3166-2"]),
    "a subdivision's country is none": ({"subdivisions": ["UK-ENG"]}, [r"subdivisions\[1\]", "'UK-ENG'", "GB"]),
    "a subdivision is a number": ({"subdivisions": [43]}, [r"subdivisions\[1\]", "43", "text"]),
    "subdivisions is bare text": ({"subdivisions": "UA-43"}, ["subdivisions", "'UA-43'", "array"]),
    "subdivisions is empty": ({"subdivisions": []}, ["subdivisions", "empty", "remove"]),
    "a continent is a name": ({"continents": ["Europe"]}, [r"continents\[1\]", "'Europe'", "write one of", "EU"]),
    "a continent is a number": ({"continents": [5]}, [r"continents\[1\]", "5", "text"]),
    "continents is bare text": ({"continents": "EU"}, ["continents", "'EU'", "array"]),
    "continents is empty": ({"continents": []}, ["continents", "empty", "remove"]),
    "a group is unknown": ({"countries": ["@europe"]}, [r"countries\[1\]", "'@europe'"]),
    "a group of sanctioned countries is asked for": ({"countries": ["@sanctioned"]}, [r"countries\[1\]"]),
    # asns
    "an AS number is 0": ({"asns": [0]}, [r"asns\[1\]", "0", "1 to 4294967295"]),
    "an AS number is negative": ({"asns": [-1]}, [r"asns\[1\]", "-1", "1 to 4294967295"]),
    "an AS number has 33 bits": ({"asns": [1, 4294967296]}, [r"asns\[2\]", "4294967296", "1 to 4294967295"]),
    "an AS number is a name": ({"asns": ["ALIBABA"]}, [r"asns\[1\]", "'ALIBABA'", "64500"]),
    "an AS number is in other digits": ({"asns": ["AS６４"]}, [r"asns\[1\]", "64500"]),
    "an AS number is true": ({"asns": [True]}, [r"asns\[1\]", "True", "64500"]),
    "an AS number is a fraction": ({"asns": [1.5]}, [r"asns\[1\]", "1.5", "64500"]),
    "asns is bare text": ({"asns": "AS64500"}, ["asns", "'AS64500'", "array"]),
    "asns is a number": ({"asns": 64500}, ["asns", "64500", "array"]),
    "asns is empty": ({"asns": []}, ["asns", "empty", "remove"]),
    # hosts
    "a host has a port": ({**BLOCK, "hosts": ["a.example:443"]}, [r"hosts\[1\]", "'a.example:443'", "name alone"]),
    "a host has a path": ({**BLOCK, "hosts": ["a.example/x"]}, [r"hosts\[1\]", "'a.example/x'", "name alone"]),
    "a host has a scheme": ({**BLOCK, "hosts": ["https://a.example"]}, [r"hosts\[1\]", "name alone"]),
    "a host's star is within a name": ({**BLOCK, "hosts": ["api*.example"]}, [r"hosts\[1\]", "name alone"]),
    "a host's star is in the middle": ({**BLOCK, "hosts": ["a.*.example"]}, [r"hosts\[1\]", "name alone"]),
    "a host is a star": ({**BLOCK, "hosts": ["*"]}, [r"hosts\[1\]", "name alone"]),
    "a host is empty": ({**BLOCK, "hosts": [""]}, [r"hosts\[1\]", "name alone"]),
    "hosts is bare text": ({**BLOCK, "hosts": "a.example"}, ["hosts", "'a.example'", "array"]),
    "hosts is empty": ({**BLOCK, "hosts": []}, ["hosts", "empty", "remove"]),
    # methods, protocols
    "a method has a space": ({**BLOCK, "methods": ["GET "]}, [r"methods\[1\]", "'GET '", "such as GET"]),
    "a method is empty": ({**BLOCK, "methods": [""]}, [r"methods\[1\]", "such as GET"]),
    "methods is bare text": ({**BLOCK, "methods": "GET"}, ["methods", "'GET'", "array"]),
    "methods is empty": ({**BLOCK, "methods": []}, ["methods", "empty", "remove"]),
    "a protocol is unknown": ({**BLOCK, "protocols": ["https"]}, [r"protocols\[1\]", "'https'", "http, websocket"]),
    "protocols is bare text": ({**BLOCK, "protocols": "http"}, ["protocols", "'http'", "array"]),
    "protocols is empty": ({**BLOCK, "protocols": []}, ["protocols", "empty", "remove"]),
    # credentials, attributes
    "a credential is not defined": (
        {"action": "allow", "credentials": ["staff"]}, [R + r"\.credentials\[1\]", "'staff'", r"\[credentials\.staff\]"],
    ),
    "a credential is misspelt": (
        {"action": "allow", "credentials": ["partnr"]}, [r"credentials\[1\]", "'partnr'", "did you mean 'partner'"],
    ),
    "an exception's credential is not defined": (
        {**BLOCK, "unless": [{"paths": ["/a"]}, {"credentials": ["staff"]}]},
        [R + r"\.unless\[2\]\.credentials\[1\]", "'staff'", "not defined"],
    ),
    "an exception's list is not defined": (
        {**BLOCK, "unless": {"lists": ["mine"]}}, [R + r"\.unless\[1\]\.lists\[1\]", "'mine'", "not defined"],
    ),
    "credentials is bare text": ({"action": "allow", "credentials": "partner"}, ["credentials", "'partner'", "array"]),
    "credentials is empty": ({"action": "allow", "credentials": []}, ["credentials", "empty", "remove"]),
    "attributes is an array": ({**BLOCK, "attributes": ["eligible"]}, ["attributes", "table"]),
    "attributes is empty": ({**BLOCK, "attributes": {}}, ["attributes", "empty"]),
    "an attribute's values are bare text": (
        {**BLOCK, "attributes": {"plan": "free"}}, [r"attributes\.plan", "'free'", "array"],
    ),
    "an attribute has no values": ({**BLOCK, "attributes": {"plan": []}}, [r"attributes\.plan", "empty"]),
    "an attribute's value is a number": ({**BLOCK, "attributes": {"plan": [5]}}, [r"attributes\.plan\[1\]", "5", "text"]),
    "an attribute has no name": ({**BLOCK, "attributes": {" ": ["x"]}}, ["attributes", "name"]),
    # account_seen_in, account_countries
    "account_seen_in is an array": ({**BLOCK, **SEEN(["CN"])}, [R + r"\.account_seen_in", r"\['CN'\]", "table with the keys countries, outside"]),
    "account_seen_in is text": ({**BLOCK, **SEEN("CN")}, [R + r"\.account_seen_in", "'CN'", "table"]),
    "account_seen_in is a number": ({**BLOCK, **SEEN(14)}, [R + r"\.account_seen_in", "14", "table"]),
    "account_seen_in is None": ({**BLOCK, **SEEN(None)}, [R + r"\.account_seen_in", "None", "remove"]),
    "account_seen_in is empty": ({**BLOCK, **SEEN({})}, [R + r"\.account_seen_in\.within", "missing", "14d"]),
    "account_seen_in does not say how far back": ({**BLOCK, **SEEN({"countries": ["CN"]})}, [R + r"\.account_seen_in\.within", "missing", "14d"]),
    "account_seen_in does not say where": ({**BLOCK, **SEEN({"within": "14d"})}, [R + r"\.account_seen_in\.countries", "missing", "outside or categories"]),
    "account_seen_in has an unknown key": (
        {**BLOCK, **SEEN({"country": ["CN"], "within": "14d"})}, [R + r"\.account_seen_in", "'country'", "did you mean 'countries'"],
    ),
    "account_seen_in has a bare country": ({**BLOCK, **SEEN({"countries": "CN", "within": "14d"})}, [r"\.account_seen_in\.countries", "'CN'", "array"]),
    "account_seen_in has no country": ({**BLOCK, **SEEN({"countries": [], "within": "14d"})}, [r"\.account_seen_in\.countries", "empty", "remove"]),
    "account_seen_in has no category": (
        {**BLOCK, **SEEN({"countries": ["CN"], "categories": [], "within": "14d"})}, [r"\.account_seen_in\.categories", "empty", "remove"],
    ),
    "account_seen_in has a wrong country": ({**BLOCK, **SEEN({"countries": ["CN", "UK"], "within": "14d"})}, [r"countries\[2\]", "'UK'", "did you mean GB"]),
    "account_seen_in has an unknown group": ({**BLOCK, **SEEN({"outside": ["@uno"], "within": "14d"})}, [r"outside\[1\]", "'@uno'", "group"]),
    "account_seen_in is inside and outside": (
        {**BLOCK, **SEEN({"countries": ["CN"], "outside": ["DE"], "within": "14d"})}, [r"\.outside", "beside countries", "keep one"],
    ),
    "account_seen_in is outside of everything": ({**BLOCK, **SEEN({"outside": EVERYWHERE, "within": "14d"})}, [r"\.outside", "every country", "fewer"]),
    "account_seen_in has an unknown category": ({**BLOCK, **SEEN({"categories": ["vpm"], "within": "14d"})}, [r"categories\[1\]", "'vpm'", "write one of"]),
    "account_seen_in has a category that is a number": ({**BLOCK, **SEEN({"categories": [7], "within": "14d"})}, [r"categories\[1\]", "7", "text"]),
    "account_seen_in has a confidence": (
        {**BLOCK, **SEEN({"categories": ["tor", "vpn:high"], "within": "14d"})}, [r"categories\[2\]", "'vpn:high'", "no confidence", "write 'vpn'"],
    ),
    "within is a number": ({**BLOCK, **SEEN({"countries": ["CN"], "within": 14})}, [r"\.account_seen_in\.within", "14", "'90d'"]),
    "within is nothing": ({**BLOCK, **SEEN({"countries": ["CN"], "within": "0d"})}, [r"\.account_seen_in\.within", "'0d'", "'90d'"]),
    "within is in minutes": ({**BLOCK, **SEEN({"countries": ["CN"], "within": "30m"})}, [r"\.account_seen_in\.within", "'30m'", "hours, days or weeks"]),
    "within is a negative time": ({**BLOCK, **SEEN({"countries": ["CN"], "within": -timedelta(days=1)})}, [r"\.account_seen_in\.within", "days=-1"]),
    "account_countries does not say how many": ({**BLOCK, **MANY(within="1d")}, [R + r"\.account_countries\.more_than", "missing", "more_than = 3"]),
    "account_countries does not say how far back": ({**BLOCK, **MANY(more_than=3)}, [R + r"\.account_countries\.within", "missing", "14d"]),
    "account_countries names countries": (
        {**BLOCK, **MANY(more_than=3, within="1d", countries=["CN"])}, [R + r"\.account_countries", "unknown key 'countries'"],
    ),
    "more_than is negative": ({**BLOCK, **MANY(more_than=-1, within="1d")}, [r"\.more_than", "-1", "0 to 63"]),
    "more_than is more than is kept": ({**BLOCK, **MANY(more_than=64, within="1d")}, [r"\.more_than", "64 sightings are kept"]),
    "more_than is text": ({**BLOCK, **MANY(more_than="3", within="1d")}, [r"\.more_than", "'3'", "such as 3"]),
    "more_than is true": ({**BLOCK, **MANY(more_than=True, within="1d")}, [r"\.more_than", "True", "such as 3"]),
    "more_than is a fraction": ({**BLOCK, **MANY(more_than=2.5, within="1d")}, [r"\.more_than", "2.5", "such as 3"]),
    "an exception's account_seen_in is wrong": (
        {**BLOCK, "unless": [{"paths": ["/a"]}, SEEN({"countries": ["UK"], "within": "1d"})]},
        [R + r"\.unless\[2\]\.account_seen_in\.countries\[1\]", "'UK'"],
    ),
    "an account alone says nothing about where from": (
        {"action": "block", **SEEN({"countries": ["CN"], "within": "1d"})}, [R, "where from", "add countries"],
    ),
    # action and schedule
    "an action beside a schedule": ({**BLOCK, "block_from": JULY}, [R + r"\.action", "schedule"]),
    "neither action nor schedule": (DATED, [R + r"\.action", "missing", "block_from"]),
    "neither, but an end": ({**DATED, "until": JULY}, [R + r"\.action", "missing", "block_from"]),
    "the warning comes with the block": (
        {**DATED, "warn_from": JULY, "block_from": JULY}, [R + r"\.warn_from", "2024-07-09", "warn earlier"],
    ),
    "the warning comes after the block": (
        {**DATED, "warn_from": AUGUST, "block_from": JULY}, [R + r"\.warn_from", "2024-08-01", "warn earlier"],
    ),
    "the rule ends before it begins": (
        {**DATED, "block_from": AUGUST, "until": JULY}, [R + r"\.until", "2024-07-09", "end the rule later"],
    ),
    "the rule ends as it begins": ({**DATED, "warn_from": JULY, "until": JULY}, [R + r"\.until", "later"]),
    "H9 block_from is naive": ({**DATED, "block_from": NAIVE}, [R + r"\.block_from", "without an offset", "Z"]),
    "warn_from is naive": ({**DATED, "warn_from": NAIVE}, [R + r"\.warn_from", "without an offset", "Z"]),
    "until is naive": ({**BLOCK, "until": NAIVE}, [R + r"\.until", "without an offset", "Z"]),
    "a time is a date": ({**DATED, "block_from": date(2024, 7, 9)}, ["block_from", "2024-07-09T00:00:00Z"]),
    "a time is a number": ({**DATED, "block_from": 1720483200}, ["block_from", "1720483200", "such as"]),
    "a time is words": ({**DATED, "block_from": "next week"}, ["block_from", "'next week'", "such as"]),
    # sense
    "a counting rule says nothing about where from": (
        {"action": "count", "paths": ["/a"]}, [R, "where from", "add countries"],
    ),
    "a schedule says nothing about where from": (
        {"paths": ["/a"], "block_from": JULY}, [R, "where from", "add countries"],
    ),
    "a block rule has exceptions alone": (
        {"action": "block", "unless": {"countries": ["GB"]}}, [R, "where from", "add countries"],
    ),
    "an allow rule has exceptions alone": (
        {"action": "allow", "unless": {"countries": ["GB"]}}, [R, "matches everything", "add a word"],
    ),
    # unless
    "unless is text": ({**BLOCK, "unless": "GB"}, [R + r"\.unless", "'GB'", "table"]),
    "unless is a number": ({**BLOCK, "unless": 5}, [R + r"\.unless", "5", "table"]),
    "unless is an empty table": ({**BLOCK, "unless": {}}, [R + r"\.unless", "empty"]),
    "unless is an empty array": ({**BLOCK, "unless": []}, [R + r"\.unless", "empty"]),
    "unless is an empty tuple": ({**BLOCK, "unless": ()}, [R + r"\.unless", "empty"]),
    "unless has an empty table": ({**BLOCK, "unless": [{"paths": ["/a"]}, {}]}, [R + r"\.unless\[2\]", "empty"]),
    "unless is an array of text": ({**BLOCK, "unless": ["GB"]}, [R + r"\.unless\[1\]", "'GB'", "table"]),
    "unless has an unknown word": (
        {**BLOCK, "unless": {"country": ["GB"]}}, [R + r"\.unless", "'country'", "did you mean 'countries'"],
    ),
    "unless has an action": ({**BLOCK, "unless": {"action": "allow"}}, [R + r"\.unless", "'action'", "known are"]),
    "unless has an empty word": ({**BLOCK, "unless": {"countries": []}}, [R + r"\.unless\.countries", "empty"]),
    "unless has a wrong value": (
        {**BLOCK, "unless": {"countries": ["GB", "UK"]}}, [R + r"\.unless\.countries\[2\]", "'UK'", "did you mean GB"],
    ),
    "one of several exceptions has a wrong value": (
        {**BLOCK, "unless": [{"countries": ["GB"]}, {"methods": ["a b"]}]}, [R + r"\.unless\[2\]\.methods\[1\]", "'a b'"],
    ),
    # response
    "a response is not defined": ({**BLOCK, "response": "page"}, [R + r"\.response", "'page'", r"\[responses\.page\]"]),
    "a response is misspelt": ({**BLOCK, "response": "htm"}, [R + r"\.response", "'htm'", "did you mean 'html'"]),
    "a response is a number": ({**BLOCK, "response": 451}, [R + r"\.response", "451"]),
    "an allow rule has a response": (
        {"action": "allow", "countries": ["CN"], "response": "html"}, [R + r"\.response", "allow"],
    ),
    "a counting rule has a response": (
        {"action": "count", "countries": ["CN"], "response": "html"}, [R + r"\.response", "count"],
    ),
}  # fmt: skip

#: Keys beside ``default`` and one rule, and what the one sentence about them must hold.
BAD_KEYS: dict[str, tuple[Mapping[str, Any], list[str]]] = {
    "a fallback counts": ({"fallback": {"unknown": "count"}}, [r"fallback\.unknown", "'count'", "allow, warn, block"]),
    "the default counts": ({"default": "count"}, ["default", "'count'", "allow, block"]),
    "credentials is an array": ({"credentials": ["partner"]}, ["credentials", r"\[credentials\.NAME\]"]),
    "credentials is an empty table": ({"credentials": {}}, ["credentials", "empty"]),
    "a credential has no header": ({"credentials": {"p": {"sha256": [SUM]}}}, [r"credentials\.p\.header", "missing"]),
    "a credential has no sums": ({"credentials": {"p": {"header": "X"}}}, [r"credentials\.p\.sha256", "missing"]),
    "a credential's header has a space": (
        {"credentials": {"p": {"header": "X Key", "sha256": [SUM]}}}, [r"credentials\.p\.header", "no name of a header", "X-Partner-Key"],
    ),
    "a credential's header has a colon": (
        {"credentials": {"p": {"header": "X-Key:", "sha256": [SUM]}}}, [r"credentials\.p\.header", "no name of a header"],
    ),
    "a credential's header is a number": (
        {"credentials": {"p": {"header": 5, "sha256": [SUM]}}}, [r"credentials\.p\.header", "no name of a header"],
    ),
    "a sum is the secret itself": (
        {"credentials": {"p": {"header": "X", "sha256": ["hunter2"]}}}, [r"credentials\.p\.sha256\[1\]", "64 hexa"],
    ),
    "a sum is too short": (
        {"credentials": {"p": {"header": "X", "sha256": [SUM, SUM[:-1]]}}}, [r"credentials\.p\.sha256\[2\]", "64 hexa"],
    ),
    "a sum is no hexadecimal": (
        {"credentials": {"p": {"header": "X", "sha256": ["g" * 64]}}}, [r"credentials\.p\.sha256\[1\]", "64 hexa"],
    ),
    "the sums are bare text": (
        {"credentials": {"p": {"header": "X", "sha256": SUM}}}, [r"credentials\.p\.sha256", "array"],
    ),
    "the sums are empty": (
        {"credentials": {"p": {"header": "X", "sha256": []}}}, [r"credentials\.p\.sha256", "empty"],
    ),
    "a credential's end is naive": (
        {"credentials": {"p": {"header": "X", "sha256": [SUM], "until": NAIVE}}},
        [r"credentials\.p\.until", "without an offset"],
    ),
    "a credential's key is misspelt": (
        {"credentials": {"p": {"header": "X", "sha265": [SUM]}}}, [r"credentials\.p", "did you mean 'sha256'"],
    ),
    "a credential is text": ({"credentials": {"p": "x"}}, [r"credentials\.p", "table with the keys header"]),
    "a credential's name is blank": (
        {"credentials": {" ": {"header": "X", "sha256": [SUM]}}}, ["credentials", "name"],
    ),
    "the response is not defined": ({"response": "page"}, ["response", "'page'", r"\[responses\.page\]"]),
    "the response is misspelt": ({"response": "jsn"}, ["response", "'jsn'", "did you mean 'json'"]),
    "the response is a number": ({"response": 451}, ["response", "451"]),
    "stale_after is a number": ({"stale_after": 90}, ["stale_after", "90", "'90d'"]),
    "stale_after has no unit": ({"stale_after": "90"}, ["stale_after", "'90'", "'90d'"]),
    "stale_after is nothing": ({"stale_after": "0d"}, ["stale_after", "'0d'", "'90d'"]),
    "stale_after is negative": ({"stale_after": timedelta(days=-1)}, ["stale_after", "'90d'"]),
    "stale_action is no action": ({"stale_after": "9d", "stale_action": "ignore"}, ["stale_action", "'ignore'", "no_data, warn, keep"]),
    "stale_action without a limit": ({"stale_action": "warn"}, ["stale_action", "'warn'", "no stale_after", "add stale_after"]),
    "stale_action is left out as a value": ({"stale_action": None}, ["stale_action", "None", "remove it"]),
    "warn_after is no length": ({"warn_after": "soon"}, ["warn_after", "'soon'", "'90d'"]),
    "warn_after comes too late": ({"warn_after": "90d", "stale_after": "90d"}, ["warn_after", "90d, not before stale_after 90d", "warn earlier"]),
    "categories are text": ({"categories": "tor"}, ["categories", "'tor'", "table"]),
    "categories are empty": ({"categories": {}}, ["categories", "empty", "remove it"]),
    "a category is misspelt": ({"categories": {"torr": {"stale_after": "9d"}}}, ["categories", "'torr'", "did you mean 'tor'"]),
    "a category without a limit": ({"categories": {"tor": {}}}, [r"categories\.tor\.stale_after", "missing", "'14d'"]),
    "a category's limit is None": ({"categories": {"tor": {"stale_after": None}}}, [r"categories\.tor\.stale_after", "None"]),
    "a category's limit is no length": ({"categories": {"tor": {"stale_after": 9}}}, [r"categories\.tor\.stale_after", "9", "'90d'"]),
    "a category's action": ({"categories": {"tor": {"stale_after": "9d", "stale_action": "no_data"}}}, [r"categories\.tor\.stale_action", "'no_data'", "keep, ignore"]),
    "a category's key is misspelt": ({"categories": {"tor": {"stale_after": "9d", "stale_acton": "keep"}}}, [r"categories\.tor", "did you mean 'stale_action'"]),
    "a list's action without a limit": ({"lists": {"a": {"path": "a", "stale_action": "keep"}}}, [r"lists\.a\.stale_action", "no stale_after"]),
    "a list's limit is no length": ({"lists": {"a": {"path": "a", "stale_after": "9"}}}, [r"lists\.a\.stale_after", "'9'", "'90d'"]),
    "a list's action": ({"lists": {"a": {"path": "a", "stale_after": "9d", "stale_action": "warn"}}}, [r"lists\.a\.stale_action", "'warn'", "keep, ignore"]),
    "emergency_file is empty": ({"emergency_file": ""}, ["emergency_file", "name a file"]),
    "emergency_file is a number": ({"emergency_file": 5}, ["emergency_file", "5", "name a file"]),
}  # fmt: skip


def refused(document: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_mapping(document)
    message = str(caught.value)
    assert message.startswith("policy: ")
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("name", BAD_RULES)
def test_a_wrong_rule_gives_one_sentence_with_place_word_and_fix(name: str) -> None:
    words, told = BAD_RULES[name]
    rule: dict[str, Any] = {"name": "r"} | ({} if words.keys() & {"action", "warn_from", "block_from", "until", "name"} else {"action": "block"})  # fmt: skip
    message = refused({"default": "allow", "rules": [{**rule, **words}], "credentials": KEYS})
    for said in told:
        assert re.search(said, message), (said, message)


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_wrong_key_gives_one_sentence_with_place_word_and_fix(name: str) -> None:
    keys, told = BAD_KEYS[name]
    message = refused({"default": "allow", "rules": [BLOCK], **keys})
    for said in told:
        assert re.search(said, message), (said, message)


@pytest.mark.parametrize("sums", [["hunter2"], [SUM, "hunter2"], "hunter2"])
def test_no_error_about_a_sum_shows_what_may_be_the_secret(sums: Any) -> None:
    message = refused({"default": "allow", "credentials": {"p": {"header": "X", "sha256": sums}}})
    assert "hunter2" not in message
    assert "credentials.p.sha256" in message


@pytest.mark.parametrize(
    "credentials",
    [
        "hunter2",
        [{"header": "X", "sha256": "hunter2"}],
        {"p": "hunter2"},
        {"p": {"header": "Authorization: Bearer hunter2", "sha256": [SUM]}},
        {"p": {"header": "X", "sha256": {"a": "hunter2"}}},
    ],
    ids=str,
)
def test_no_error_about_a_credential_shows_what_may_be_the_secret(credentials: Any) -> None:
    message = refused({"default": "allow", "credentials": credentials})
    assert "hunter2" not in message
    assert "credentials" in message


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("key", ["until", "block_from", "warn_from"])
def test_a_time_off_the_calendar_is_an_error_and_no_traceback(key: str, text: str) -> None:
    action = {"action": "block"} if key == "until" else {}
    rule = {"name": "r", "countries": ["CN"], key: text, **action}
    message = refused({"default": "allow", "rules": [rule]})
    assert re.search(rf"rules\[1\] \(r\)\.{key}: is .*no year of the calendar", message)


@pytest.mark.parametrize("word", ["subdivisions", "asns"])
def test_h13_what_the_data_cannot_answer_is_an_error_at_start(word: str) -> None:
    values: dict[str, list[Any]] = {"subdivisions": ["UA-43"], "asns": [64500]}
    rules = [{"name": "r", "action": "block", word: values[word]}]
    excepted = [BLOCK | {"unless": {word: values[word]}}]
    for given in (rules, excepted):
        with pytest.raises(ConfigurationError) as caught:
            Engine(
                {"default": "allow", "rules": given}, database=tiny_database({"81.2.69.0/24": "GB"})
            )
        assert {"subdivisions": "needs subdivision data", "asns": "AS"}[word] in str(caught.value)
        assert "r" in str(caught.value)


def test_values_given_in_python_are_checked_as_those_of_a_file_are() -> None:
    with pytest.raises(ConfigurationError, match=r"hosts\[1\]: 'a\.example:1' is not a host"):
        Rule(name="r", action=Action.ALLOW, hosts=("a.example:1",))
    with pytest.raises(ConfigurationError, match=r"countries\[1\]: 'UK' is not a country"):
        Words(countries=frozenset({"UK"}))
    with pytest.raises(ConfigurationError, match="header: is no name of a header"):
        Credential(header="a b", sha256=(SUM,))
    words = Words(categories=((Category.VPN, Confidence.HIGH),))
    assert words.categories == ((Category.VPN, Confidence.HIGH),)
    key = Credential(header="X-Key", sha256=(SUM,))
    with pytest.raises(ConfigurationError, match="policy: credentials: is ' ', give it a name"):
        Policy(default=Action.ALLOW, credentials={" ": key})
