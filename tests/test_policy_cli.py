"""``georestrict policy``: what it prints, and how it exits."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import georestrict
from georestrict import Action, ConfigurationError, Database, Policy
from georestrict.cli import main
from georestrict.coverage import lacking
from georestrict.groups import GROUPS
from georestrict.policy.cases import Case
from georestrict.policy.problems import MOST
from georestrict.policy.words import WHERE
from georestrict.request import Request
from georestrict.snapshot import Snapshot
from georestrict.testing import tiny_database
from georestrict.tomllines import lines
from georestrict.trial.advice import advice
from georestrict.trial.cases import tried
from georestrict.trial.difference import Change, differences
from georestrict.trial.explanation import Sender, explained
from georestrict.trial.past import somebody, supposed
from tests.test_problems import FOUND, SLIPS

pytestmark = pytest.mark.once

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DIGEST = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"
START = (
    'default = "allow"\ncontact = "https://example.com/access"\nfallback = { unknown = "allow" }\n'
)
RULE = '[[rules]]\nname = "{}"\naction = "{}"\n{}\n'


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["policy", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def rule(name: str, action: str, words: str) -> str:
    return RULE.format(name, action, words)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


# check


def test_check_tells_every_problem_with_its_line_and_exits_with_2(file: Path) -> None:
    file.write_text(SLIPS, encoding="utf-8")
    result = run("check", file)
    assert result.exit_code == 2
    told = result.output.splitlines()
    assert len(told) == len(FOUND)
    for sentence, (line, beginning) in zip(told, FOUND, strict=True):
        assert sentence.startswith(f"{file}:{line}: {beginning}")
    machine = json.loads(run("check", "--json", file).output)
    assert [problem["line"] for problem in machine["problems"]] == [line for line, _ in FOUND]
    assert machine["warnings"] == []


def test_check_says_when_there_are_too_many_problems_to_tell(file: Path) -> None:
    rules = "".join(rule(str(number), "blok", 'countries = ["CU"]') for number in range(MOST + 1))
    file.write_text('default = "allow"\n' + rules, encoding="utf-8")
    result = run("check", file)
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == MOST + 1
    assert result.output.endswith(f"{MOST} problems are enough; mend these, and check again\n")


def test_check_of_a_valid_policy_exits_with_0_and_warns(file: Path) -> None:
    file.write_text(START + rule("a", "block", 'countries = ["CU"]'), encoding="utf-8")
    result = run("check", file)
    assert (result.exit_code, result.output) == (0, f"{file}: valid, 1 rule, 0 warnings\n")
    file.write_text(
        'default = "allow"\n' + rule("a", "block", 'countries = ["CU"]'), encoding="utf-8"
    )
    result = run("check", file)
    assert result.exit_code == 0
    assert f"\n{file}:1: warning: fallback.unknown: is not stated" in f"\n{result.output}"
    assert f"\n{file}: warning: contact: is missing" in f"\n{result.output}"
    assert result.output.endswith("valid, 1 rule, 2 warnings\n")
    assert [
        found["line"] for found in json.loads(run("check", "--json", file).output)["warnings"]
    ] == [None, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read: No such file"),
        ("default = ", "not valid TOML: Invalid value (at end of document)"),
        ('default = "allow"\n[lists.a]\npath = "gone.txt"\n', "lists.a.path: "),
        (
            'default = "allow"\n[lists.a]\npath = "policy.toml"\n',
            "'default = \"allow\"'",
        ),
    ],
    ids=["no file", "no TOML", "a list is not there", "a list with bad lines"],
)
def test_what_cannot_be_used_is_one_problem(file: Path, text: str | None, told: str) -> None:
    if text is not None:
        file.write_text(text, encoding="utf-8")
    result = run("check", file)
    assert result.exit_code == 2
    assert told in result.output
    assert str(file) in result.output
    if text is not None and "lists" in text:
        assert result.output.startswith(f"{file}:3: lists.a.path: ")


def test_what_only_other_data_knows_is_a_note_and_with_stated_data_a_problem(file: Path) -> None:
    asks = rule("a", "block", 'subdivisions = ["US-NJ"]')
    file.write_text(START + asks, encoding="utf-8")
    result = run("check", file)
    assert result.exit_code == 0
    assert result.output.startswith(f"{file}:7: note: rules[1] (a).subdivisions: US-NJ needs")
    assert result.output.endswith("valid, 1 rule, 0 warnings\n")
    told = json.loads(run("check", "--json", file).output)
    assert ([note["line"] for note in told["notes"]], told["problems"]) == ([7], [])
    image = Path(georestrict.__file__).with_name("default.grdb")
    stated = run("check", "--database", image, file)
    assert stated.exit_code == 2
    assert stated.output.startswith(f"{file}:7: rules[1] (a).subdivisions: US-NJ needs")
    file.write_text(f'{START}[lists.b]\npath = "gone.txt"\n{asks}', encoding="utf-8")
    assert run("check", file).output.startswith(f"{file}:5: lists.b.path: ")


def test_everything_that_is_wrong_with_lists_and_data_is_told_at_once(file: Path) -> None:
    file.write_text(
        START
        + '[lists.b]\npath = "gone.txt"\n[lists.c]\npath = "lost.txt"\n'
        + rule("a", "block", 'subdivisions = ["US-NJ", "US-NY"]')
        + rule("b", "block", "asns = [64500]"),
        encoding="utf-8",
    )
    result = run("check", file)
    assert result.exit_code == 2
    beginnings = [
        f"{file}:5: lists.b.path: ",
        f"{file}:7: lists.c.path: ",
        f"{file}:11: note: rules[1] (a).subdivisions: US-NJ needs",
        f"{file}:11: note: rules[1] (a).subdivisions: US-NY needs",
        f"{file}:15: note: rules[2] (b).asns: AS64500 needs",
    ]
    told = result.output.splitlines()
    assert len(told) == len(beginnings)
    for sentence, beginning in zip(told, beginnings, strict=True):
        assert sentence.startswith(beginning)
    image = Path(georestrict.__file__).with_name("default.grdb")
    stated = run("check", "--database", image, file).output
    assert stated.splitlines() == [line.replace(" note:", "") for line in told]


# advice


def advised(text: str, folder: Path | None = None) -> list[tuple[int | None, str]]:
    policy_file = None if folder is None else folder / "advised.toml"
    if policy_file is None:
        policy = Policy.from_mapping(tomllib.loads(text))
    else:
        policy_file.write_text(text, encoding="utf-8")
        policy = Policy.load(policy_file)
    found = advice(policy, Snapshot(policy, DATA), tomllib.loads(text), lines(text), NOW)
    return [(advised.line, advised.message) for advised in found]


HIDDEN = {
    "the same words": ('countries = ["CU", "IR"]', 'countries = ["IR"]'),
    "a continent hides its countries": ('continents = ["AF"]', 'countries = ["EG", "ZA"]'),
    "a country hides its subdivisions": ('countries = ["UA"]', 'subdivisions = ["UA-14"]'),
    "both countries hide a subdivision that sources file under either": (
        'countries = ["UA", "RU"]',
        'subdivisions = ["UA-43"]',
    ),
    "a subdivision under its other name": ('subdivisions = ["UA-43"]', 'subdivisions = ["RU-CR"]'),
    "the countries of a continent": (
        'continents = ["AF"]',
        'countries = ["EG", "DE"]\ncontinents = ["AF"]',
    ),
    "without a path hides with one": ('countries = ["CU"]', 'countries = ["CU"]\npaths = ["/a"]'),
    "a path hides those below": (
        'countries = ["CU"]\npaths = ["/v1/*"]',
        'countries = ["CU"]\npaths = ["/v1/a", "/v1/b/*", "/v1/*"]',
    ),
    "all networks hide everything": (
        'networks = ["0.0.0.0/0", "::/0"]',
        'countries = ["CU"]\ncategories = ["tor"]',
    ),
    "all networks as ranges": (
        'networks = ["0.0.0.0-255.255.255.255", "::/0"]',
        'countries = ["CU"]',
    ),
    "all networks in parts": (
        'networks = ["128.0.0.0/1", "0.0.0.0/1", "8000::/1", "::/1"]',
        'countries = ["CU"]',
    ),
    "a network hides its part": (
        'networks = ["81.2.69.0/25", "81.2.69.128/25"]',
        'networks = ["81.2.69.64-81.2.69.200"]',
    ),
    "less sure hides surer": ('categories = ["vpn:low"]', 'categories = ["vpn:high", "vpn"]'),
    "a host hides those below": (
        'countries = ["CU"]\nhosts = ["*.example.com"]',
        'countries = ["CU"]\nhosts = ["api.example.com"]',
    ),
    "an AS number": ("asns = [64500, 64501]", "asns = [64501]"),
    "an exception that both have": (
        'countries = ["CU"]\nunless = { paths = ["/a"] }',
        'countries = ["CU"]\nunless = [{ methods = ["GET"] }, { paths = ["/a"] }]',
    ),
    "attributes": (
        'countries = ["CU"]\nattributes = { plan = ["free", "paid"] }',
        'countries = ["CU"]\nattributes = { plan = ["free"], team = ["a"] }',
    ),
    "accounts that were there, or longer ago": (
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR", "KP"], within = "14d" }',
        'countries = ["CU"]\naccount_seen_in = { countries = ["KP"], within = "7d" }',
    ),
    "accounts that were anywhere through such networks": (
        'countries = ["CU"]\naccount_seen_in = { categories = ["vpn", "tor"], within = "14d" }',
        'countries = ["CU"]\naccount_seen_in = { countries = ["KP"], categories = ["vpn"], within = "14d" }',
    ),
    "accounts outside": (
        'countries = ["CU"]\naccount_seen_in = { outside = ["DE"], within = "14d" }',
        'countries = ["CU"]\naccount_seen_in = { outside = ["DE", "FR"], within = "14d" }',
    ),
    "accounts in fewer countries": (
        'countries = ["CU"]\naccount_countries = { more_than = 2, within = "14d" }',
        'countries = ["CU"]\naccount_countries = { more_than = 3, within = "1d" }\npaths = ["/a"]',
    ),
    "a schedule": (
        'countries = ["CU"]\nuntil = 2027-02-01T00:00:00Z',
        'countries = ["CU"]\nuntil = 2027-01-01T00:00:00Z',
    ),
}
REACHED = {
    "a subdivision that sources file under another country, too": (
        'countries = ["UA"]',
        'subdivisions = ["UA-43"]',
    ),
    "more countries": ('countries = ["CU"]', 'countries = ["CU", "IR"]'),
    "another word": ('countries = ["CU"]', 'categories = ["tor"]'),
    "one more word before": ('countries = ["CU"]\ncategories = ["tor"]', 'countries = ["CU"]'),
    "other paths": ('countries = ["CU"]\npaths = ["/a"]', 'countries = ["CU"]\npaths = ["/a/*"]'),
    "a glob": ('countries = ["CU"]\npaths = ["/a/*/b"]', 'countries = ["CU"]\npaths = ["/a/*"]'),
    "an exception before": (
        'countries = ["CU"]\nunless = { paths = ["/a"] }',
        'countries = ["CU"]',
    ),
    "it ends": ('countries = ["CU"]\nuntil = 2027-01-01T00:00:00Z', 'countries = ["CU"]'),
    "one address more": ('networks = ["81.2.69.0/25"]', 'networks = ["81.2.69.0-81.2.69.128"]'),
    "a method before": ('countries = ["CU"]\nmethods = ["GET"]', 'countries = ["CU"]'),
    "another method": (
        'countries = ["CU"]\nmethods = ["GET"]',
        'countries = ["CU"]\nmethods = ["POST"]',
    ),
    "another protocol": (
        'countries = ["CU"]\nprotocols = ["websocket"]',
        'countries = ["CU"]\nprotocols = ["http"]',
    ),
    "surer before": ('categories = ["vpn:high"]', 'categories = ["vpn:low"]'),
    "all but one address": (
        'networks = ["0.0.0.0-255.255.255.254", "::/0"]',
        'countries = ["CU"]',
    ),
    "one family": ('networks = ["0.0.0.0/0"]', 'countries = ["CU"]'),
    "a country in another continent": ('continents = ["AF"]', 'countries = ["EG", "DE"]'),
    "another host": (
        'countries = ["CU"]\nhosts = ["*.example.com"]',
        'countries = ["CU"]\nhosts = ["example.com"]',
    ),
    "accounts before": (
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "14d" }',
        'countries = ["CU"]',
    ),
    "accounts that were elsewhere": (
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "14d" }',
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR", "KP"], within = "14d" }',
    ),
    "accounts that were there earlier": (
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "14d" }',
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "15d" }',
    ),
    "accounts that were there through other networks": (
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "14d" }',
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], categories = ["vpn"], within = "14d" }',
    ),
    "accounts in more countries": (
        'countries = ["CU"]\naccount_countries = { more_than = 3, within = "14d" }',
        'countries = ["CU"]\naccount_countries = { more_than = 2, within = "14d" }',
    ),
    "accounts by another word": (
        'countries = ["CU"]\naccount_countries = { more_than = 3, within = "14d" }',
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "14d" }',
    ),
    "accounts by a word and another": (
        'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "14d" }',
        'countries = ["CU"]\naccount_countries = { more_than = 3, within = "14d" }',
    ),
    "another attribute": (
        'countries = ["CU"]\nattributes = { plan = ["free"] }',
        'countries = ["CU"]\nattributes = { team = ["a"] }',
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_rule_that_an_earlier_one_hides_is_told_h7(name: str) -> None:
    earlier, later = HIDDEN[name]
    text = START + rule("first", "block", earlier) + rule("second", "block", later)
    told = [message for _, message in advised(text) if "never reached" in message]
    assert told == [
        "rules[2] (second): is never reached: rule 1 (first) matches everything that it does; "
        "move it up, or remove it"
    ]


@pytest.mark.parametrize("name", REACHED)
def test_a_rule_that_can_be_reached_is_not_told(name: str) -> None:
    earlier, later = REACHED[name]
    text = START + rule("first", "block", earlier) + rule("second", "block", later)
    assert not [message for _, message in advised(text) if "never reached" in message]


def test_counting_hides_nothing_and_letting_through_hides_no_stranger_spelling() -> None:
    cuba = 'countries = ["CU"]'
    counting = START + rule("first", "count", cuba) + rule("second", "block", cuba)
    path = f'{cuba}\npaths = ["/a"]'
    strict = START + rule("first", "allow", path) + rule("second", "block", path)
    open_path = START + rule("first", "allow", 'paths = ["/a"]') + rule("second", "allow", path)
    assert not [message for _, message in advised(counting) if "never reached" in message]
    assert not [message for _, message in advised(strict) if "never reached" in message]
    assert [message for _, message in advised(strict) if "odd spellings" in message]
    assert [message for _, message in advised(open_path) if "never reached" in message]
    networks = 'networks = ["0.0.0.0-255.255.255.255", "::/0"]'
    everyone = START + rule("first", "allow", networks) + rule("second", "block", cuba)
    assert [message for _, message in advised(everyone) if "never reached" in message]


@pytest.mark.parametrize(
    ("earlier", "later", "odd"),
    [
        ('paths = ["/v1/*"]', 'paths = ["/v1/admin"]', "/v1/admin"),
        ('methods = ["GET", "POST"]', 'methods = ["POST"]', "POST"),
        ('hosts = ["*.a.example"]', 'hosts = ["b.a.example"]', "b.a.example"),
        (
            'paths = ["/v1/*"]\nmethods = ["POST"]',
            'paths = ["/v1/a"]\nmethods = ["POST"]',
            "/v1/a, POST",
        ),
    ],
)
def test_a_block_that_only_odd_spellings_reach_is_told_h7(
    earlier: str, later: str, odd: str
) -> None:
    china = 'countries = ["CN"]\n'
    text = START + rule("first", "allow", china + earlier) + rule("second", "block", china + later)
    assert advised(text) == [
        (
            8 + earlier.count("\n") + 1,
            f"rules[2] (second): only odd spellings of {odd} reach it: rule 1 (first) matches "
            "everything else that it does; move it up, or remove it",
        )
    ]


def test_a_list_that_holds_all_of_a_later_one_hides_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("81.2.69.0/24\n2a02:db8::/32\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("81.2.69.7\n2a02:db8:1::/48\n", encoding="utf-8")
    lists = '[lists.a]\npath = "a.txt"\n[lists.b]\npath = "b.txt"\n'
    a, b = 'lists = ["a"]', 'lists = ["b"]'
    network = 'networks = ["81.2.69.8/29"]'
    hidden = (
        START + lists + rule("a", "block", a) + rule("b", "block", b) + rule("c", "block", network)
    )
    told = [message[:12] for _, message in advised(hidden, tmp_path) if "never reached" in message]
    assert told == ["rules[2] (b)", "rules[3] (c)"]
    reached = START + lists + rule("b", "block", b) + rule("a", "block", a)
    assert not [message for _, message in advised(reached, tmp_path) if "never reached" in message]


UNWISE: dict[str, tuple[str, list[tuple[int | None, str]]]] = {
    "members of the EEA are separated": (
        START + rule("a", "block", 'countries = ["DK", "CU"]'),
        [(4, "rules[1] (a): separates members of the EEA from one another: block for DK, not for AT, BE, BG, CY, CZ, DE and 23 more; Regulation (EU) 2018/302")],
    ),
    "from a date on": (
        START + '[[rules]]\nname = "a"\nblock_from = 2027-01-01T00:00:00Z\ncountries = ["DK"]\n',
        [(4, "rules[1] (a): from 2027-01-01T00:00:00Z on, separates members of the EEA")],
    ),
    "on one path, by everyone else": (
        START + rule("a", "block", 'networks = ["0.0.0.0/0", "::/0"]\npaths = ["/shop/*"]\nunless = { countries = ["SE"] }'),
        [(4, "rules[1] (a): separates members of the EEA")],
    ),
    "by default": (
        'default = "block"\ncontact = "https://example.com/a"\n' + rule("a", "allow", 'countries = ["SE"]'),
        [(1, "default: separates members of the EEA from one another: block for AT, BE")],
    ),
    "a group without its territories": (
        START + rule("a", "warn", 'countries = [\n"@eea",\n]'),
        [(7, "rules[1] (a).countries: @eea does not hold those parts of the EU that have a code")],
    ),
    "a rule has ended": (
        START + rule("a", "block", 'countries = ["CU"]\nuntil = 2026-11-22T00:00:00Z'),
        [(8, "rules[1] (a).until: was 2026-11-22, so the rule matches nothing any more")],
    ),
    "a credential has ended": (
        START + '[credentials.staff]\nheader = "X"\nsha256 = ["' + "0" * 64 + '"]\nuntil = 2026-11-01T00:00:00Z\n' + rule("a", "allow", 'credentials = ["staff"]'),
        [(7, "credentials.staff.until: was 2026-11-01, so nobody can show it any more")],
    ),
    "a continent that holds none of the countries": (
        START + rule("a", "block", 'countries = ["CU"]\ncontinents = ["AF"]'),
        [(4, "rules[1] (a): matches nothing: no country is in its")],
    ),
    "an exception for a subdivision of another country": (
        START + rule("a", "block", 'countries = ["CU"]\nunless = { countries = ["DE"], subdivisions = ["UA-43"] }'),
        [(8, "rules[1] (a).unless[1]: matches nothing")],
    ),
    "an account further back than is kept": (
        START + rule("a", "block", 'countries = ["CU"]\naccount_seen_in = { countries = ["IR"], within = "9w" }'),
        [(8, "rules[1] (a).account_seen_in.within: is 63d, and accounts are kept for 30d, unless the app says otherwise; give it accounts=Accounts(keep=\"63d\")")],
    ),
    "an account that was where it is": (
        START + rule("a", "block", 'countries = ["CU"]\naccount_seen_in = { countries = ["CU", "IR"], within = "1d" }'),
        [(8, "rules[1] (a).account_seen_in: holds for every account that comes from there")],
    ),
    "an account that was anywhere": (
        START + rule("a", "block", 'countries = ["CU"]\nunless = { account_countries = { more_than = 0, within = "1d" } }'),
        [(8, "rules[1] (a).unless[1].account_countries: holds for every account")],
    ),
    "things that nothing names": (
        START + '[credentials.staff]\nheader = "X"\nsha256 = ["' + "0" * 64 + '"]\n[responses.page]\ntype = "html"\n',
        [(4, "credentials.staff: no rule names it"), (7, "responses.page: nothing names it")],
    ),
    "a test without a time": (
        START + rule("a", "block", 'countries = ["CU"]\nuntil = 2027-01-01T00:00:00Z') + '[[tests]]\ncountry = "CU"\nexpect = "block"\n',
        [(9, "tests[1].at: is missing, and the answer changes by itself on 2027-01-01T00:00:00Z; say when")],
    ),
    "an unknown country is let in": (
        'default = "allow"\ncontact = "https://example.com/a"\n' + rule("a", "block", 'continents = ["AF"]'),
        [(1, "fallback.unknown: is not stated, so a block list lets in")],
    ),
    "nobody to ask": (
        'default = "block"\n',
        [(None, "contact: is missing")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNWISE)
def test_what_an_owner_has_most_likely_not_meant_is_told(name: str) -> None:
    text, expected = UNWISE[name]
    found = advised(text)
    assert [line for line, _ in found] == [line for line, _ in expected]
    for (_, message), (_, beginning) in zip(found, expected, strict=True):
        assert message.startswith(beginning)


def test_a_credential_that_ends_is_a_time_at_which_answers_change() -> None:
    staff = (
        f'[credentials.staff]\nheader = "X"\nsha256 = ["{DIGEST}"]\nuntil = 2027-03-01T00:00:00Z\n'
    )
    words = 'countries = ["DK"]\nunless = { credentials = ["staff"] }'
    case = '[[tests]]\ncountry = "DK"\nheaders = { X = "secret" }\nexpect = "allow"\n'
    first, second = [
        message for _, message in advised(START + staff + rule("a", "block", words) + case)
    ]
    assert first.startswith("rules[1] (a): separates members of the EEA")
    assert second.startswith(
        "tests[1].at: is missing, and the answer changes by itself on 2027-03-01"
    )


def test_advice_about_four_times_the_dated_rules_takes_no_more_than_pairs_of_them_would() -> None:
    """Moments, requests and members multiply: 1,000 rules once took 44 s."""
    countries = sorted(GROUPS["@eea"].members)
    took = {}
    for count in (250, 1000):
        rules = "".join(
            f'[[rules]]\nname = "r{n}"\nblock_from = 2027-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:{n % 60:02}:00Z\n'
            f'countries = ["{countries[n % 30]}"]\npaths = ["/v{n % 100}/*"]\n'
            for n in range(count)
        )
        cases = "".join(
            f'[[tests]]\ncountry = "DE"\npath = "/v{n}/a"\nexpect = "allow"\n' for n in range(100)
        )
        start = time.process_time()
        found = [message for _, message in advised(START + rules + cases)]
        took[count] = time.process_time() - start
        separated = [message for message in found if "separates" in message]
        assert any("rules[1] (r0): from 2027-01-01T00:00:00Z on, separates" in m for m in separated)
    assert took[1000] < 32 * took[250], took


@pytest.mark.parametrize(
    "text",
    [
        START + rule("a", "block", 'countries = ["@eea", "@eu-territories"]'),
        START + rule("a", "count", 'countries = ["DK"]'),
        START + rule("a", "block", 'countries = ["CU"]\nuntil = 2027-01-01T00:00:00Z'),
        'default = "allow"\n' + rule("a", "warn", 'countries = ["CU"]'),
        'default = "block"\ncontact = "mailto:help@example.com"\n',
        # what comes from a machine for rent proves no country, so it does not count itself
        START + rule("a", "block", 'countries = ["CU"]\ncategories = ["hosting"]\naccount_seen_in = { countries = ["CU"], within = "1d" }'),
    ],
)  # fmt: skip
def test_a_policy_that_says_what_it_means_gets_no_advice(text: str) -> None:
    assert advised(text) == []


# explain


def test_explain_tells_every_rule_word_by_word_and_the_decision(file: Path) -> None:
    file.write_text(
        START
        + rule("health", "allow", 'paths = ["/healthz"]')
        + rule("seen", "count", 'countries = ["GB"]')
        + rule("tor", "block", 'categories = ["tor"]\ncountries = ["GB"]')
        + '[[rules]]\nname = "soon"\nwarn_from = 2026-01-01T00:00:00Z\nblock_from = 2027-01-01T00:00:00Z\n'
        + 'countries = ["GB"]\nunless = { attributes = { plan = ["paid"] } }\n'
        + rule("never", "block", 'countries = ["CU"]'),
        encoding="utf-8",
    )
    at = ("--at", "2026-11-22T00:00:00Z", "--path", "/v1")
    result = run("explain", file, "81.2.69.142", *at)
    assert result.exit_code == 0
    assert (
        result.output
        == """\
81.2.69.142 appears to be in GB
GET /v1, 2026-11-22T00:00:00Z

  1  health (allow) does not match
       no   path /v1 is not in paths [/healthz]
  2  seen (count) matches
       yes  country GB is in countries [GB]
  3  tor (block) does not match
       yes  country GB is in countries [GB]
       no   categories none is not in categories [tor:medium]
  4  soon (warn) matches
       yes  2026-11-22T00:00:00Z is not before warn_from 2026-01-01T00:00:00Z
       yes  2026-11-22T00:00:00Z is before block_from 2027-01-01T00:00:00Z
       yes  country GB is in countries [GB]
       yes  unless[1] does not hold: attribute plan is not one of [paid]
   … 1 more not tried

warn by rule soon (reason country); counted by seen; the app answers, with a warning: unsupported_country_region_territory
"""
    )
    paid = run("explain", file, "81.2.69.142", *at, "--attribute", "plan=paid").output
    assert "no   unless[1] holds: attribute plan is one of [paid]" in paid
    assert paid.endswith("allow by default (reason default); counted by seen\n")
    blocked = run("explain", file, "81.2.69.142", "--at", "2027-01-01T00:00:00Z", "--json")
    told = json.loads(blocked.output)
    assert (told["decided"], told["rule"], told["response_status"]) == ("block", "soon", 403)
    assert [rule["matched"] for rule in told["tried"]] == [False, True, False, True]


def test_explain_tells_of_clients_without_a_country(file: Path) -> None:
    file.write_text(START + rule("a", "block", 'continents = ["AF"]'), encoding="utf-8")
    lost = run("explain", file, "-").output
    assert lost.startswith("a client whose address cannot be told\n")
    assert "no   country none (unresolved) is not in continents [AF]" in lost
    assert "block by fallback.unresolved (reason unresolved); the client gets status 403" in lost
    private = run("explain", file, "10.0.0.1").output
    assert private.startswith("10.0.0.1 is private: it has no country\n")
    assert "allow by fallback.private" in private


def test_explain_tells_when_a_path_is_no_normal_one(file: Path) -> None:
    words = 'countries = ["GB"]\npaths = ["/a/b"]'
    file.write_text(START + rule("a", "warn", words) + rule("b", "block", words), encoding="utf-8")
    output = run("explain", file, "81.2.69.142", "--path", "/a//b").output
    assert (
        "is not in paths [/a/b] (not in normal form, so only what blocks looks through it)"
        in output
    )
    assert "is in paths [/a/b] (not in normal form, which is looked through)" in output
    assert "block by rule b" in output


def test_explain_reads_headers_and_says_when_a_credential_has_been_shown(file: Path) -> None:
    file.write_text(
        'default = "block"\n[credentials.staff]\nheader = "X-Staff"\n'
        f'sha256 = ["{DIGEST}"]\n' + rule("staff", "allow", 'credentials = ["staff"]'),
        encoding="utf-8",
    )
    shown = run("explain", file, "81.2.69.142", "--header", "X-Staff: secret").output
    assert "yes  the request shows staff, one of credentials [staff]" in shown
    hidden = run("explain", file, "81.2.69.142").output
    assert "no   the request shows none of credentials [staff]" in hidden


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["81.2.69.0/24"], "give one address, not a network or a range"),
        (["81.2.69.142", "--at", "2026-11-22"], "a time without an offset; add Z"),
        (["81.2.69.142", "--at", "soon"], "must be a time such as"),
        (["81.2.69.142", "--path", "/status?x=1"], "leave '?' out"),
        (["81.2.69.142", "--path", "status"], "'status' must begin with '/'"),
        (
            ["81.2.69.142", "--header", "X-Staff"],
            "it has no name before a ':'; write 'Accept: text/html'",
        ),
        (
            ["81.2.69.142", "--attribute", "paid"],
            "it has no name before a '='; write customer=eligible",
        ),
        (["81.2.69.142", "--database", "gone.grdb"], "gone.grdb"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_bad_input_gives_one_sentence(file: Path, arguments: list[str], told: str) -> None:
    file.write_text(START, encoding="utf-8")
    result = run("explain", file, *arguments)
    assert result.exit_code in (1, 2)
    assert told in result.output
    assert "Traceback" not in result.output


def test_junk_instead_of_an_address_exits_with_1(file: Path) -> None:
    file.write_text(START, encoding="utf-8")
    result = run("explain", file, "junk")
    assert result.exit_code == 1
    assert result.output.startswith("georestrict: ADDRESS: ")


def test_a_path_is_taken_as_it_is_sent(file: Path) -> None:
    words = 'countries = ["GB"]\npaths = ["/café/*"]'
    cases = "".join(
        f'[[tests]]\ncountry = "GB"\npath = "{path}"\nexpect = "{expected}"\n'
        for path, expected in (
            ("/caf%C3%A9", "warn"),
            ("/café/a", "warn"),
            ("/caf%C3%A9/%61", "block"),
            ("/tea", "allow"),
        )
    )
    rules = rule("a", "warn", words) + rule("b", "block", words)
    file.write_text(START + rules + cases, encoding="utf-8")
    assert run("test", file).output == "4 passed, 0 failed\n"
    explained = run("explain", file, "81.2.69.142", "--path", "/caf%C3%A9").output
    assert "yes  path /café is in paths [/café/*]" in explained
    arguments = ["check", "--policy", str(file), "81.2.69.142", "--json", "--path"]
    for path, rule_name in (("/caf%C3%A9", "a"), ("/caf%C3%A9/%61", "b")):
        found = CliRunner().invoke(main, [*arguments, path])
        assert json.loads(found.output)["rule"] == rule_name
    assert CliRunner().invoke(main, [*arguments, "/a?b"]).exit_code == 2


def test_the_check_of_addresses_takes_a_protocol(file: Path) -> None:
    words = 'countries = ["GB"]\nprotocols = ["websocket"]'
    file.write_text(START + rule("a", "block", words), encoding="utf-8")
    arguments = ["check", "--policy", str(file), "81.2.69.142", "--json"]
    assert json.loads(CliRunner().invoke(main, arguments).output)["action"] == "allow"
    arguments += ["--protocol", "websocket"]
    assert json.loads(CliRunner().invoke(main, arguments).output)["action"] == "block"


def test_an_error_does_not_show_what_a_header_or_an_attribute_holds(file: Path) -> None:
    file.write_text('default = "allow"\n', encoding="utf-8")
    for option, good in (("--header", "A: b"), ("--attribute", "a=b")):
        result = run("explain", file, "81.2.69.142", option, good, option, "X-Key sekret")
        assert result.exit_code == 2
        assert "number 2 has no name before" in result.output
        assert "sekret" not in result.output


def test_the_check_of_addresses_takes_time_host_header_and_attribute_too(file: Path) -> None:
    soon = "block_from = 2027-01-01T00:00:00Z"
    file.write_text(
        f'default = "block"\n[credentials.staff]\nheader = "X-Staff"\nsha256 = ["{DIGEST}"]\n'
        + rule("staff", "allow", 'credentials = ["staff"]')
        + rule("paid", "warn", 'countries = ["GB"]\nattributes = { plan = ["paid"] }')
        + rule("host", "allow", 'countries = ["GB"]\nhosts = ["api.example.com"]')
        + f'[[rules]]\nname = "soon"\n{soon}\ncountries = ["GB"]\n',
        encoding="utf-8",
    )
    early = ["--at", "2026-12-31T23:59:59Z"]
    for options, by in (
        ([*early], ("allow", "soon")),
        (["--at", "2027-01-01T00:00:00Z"], ("block", "soon")),
        ([*early, "--header", "X-Staff: secret"], ("allow", "staff")),
        ([*early, "--attribute", "plan=paid"], ("warn", "paid")),
        ([*early, "--host", "api.example.com:443"], ("allow", "host")),
        ([*early, "--header", "Host: API.example.com"], ("allow", "host")),
    ):
        arguments = ["check", "--policy", str(file), "--json", "81.2.69.142", *options]
        told = json.loads(CliRunner().invoke(main, arguments).output)
        assert (told["action"], told["rule"]) == by


DATA = tiny_database(
    {
        "81.2.69.0/25": "DE",
        "81.2.69.128/25": "CU",
        "89.160.20.0/24": "US",
        "91.207.56.0/24": "UA-43",
        "2a02:db8::/32": "EG",
    },
    {
        "81.2.69.64/26": "vpn:high:X",
        "81.2.69.192/26": "tor:high:T",
        "89.160.20.0/25": "hosting:low:H",
    },
    {"81.2.69.32/27": 64500, "91.207.56.0/25": 64501},
)
TIMES = [
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 6, 1, tzinfo=UTC),
    datetime(2027, 1, 1, tzinfo=UTC),
]


def some(*values: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


WORDS: dict[str, st.SearchStrategy[Any]] = {
    "countries": some("DE", "CU", "US"),
    "continents": some("EU", "NA", "AF"),
    "categories": some("vpn", "tor", "hosting", "hosting:low"),
    "networks": some("81.2.69.0/26", "81.2.69.192/26", "0.0.0.0/0", "::/0"),
    "paths": some("/a", "/a/*", "/*/b"),
    "methods": some("GET", "POST"),
    "hosts": some("api.example.com", "*.example.com"),
    "protocols": some("http", "websocket"),
    "asns": some(64500, 64501),
    "subdivisions": some("UA-43"),
    "credentials": some("staff", "old"),
    "attributes": st.fixed_dictionaries({"plan": some("free", "paid")}),
    "account_seen_in": st.fixed_dictionaries(
        {"countries": some("DE", "CU", "US"), "within": st.sampled_from(["1d", "14d"])},
        optional={"categories": some("vpn", "hosting")},
    ),
    "account_countries": st.fixed_dictionaries(
        {"more_than": st.integers(0, 2), "within": st.sampled_from(["1d", "14d"])}
    ),
}
CONDITIONS = st.fixed_dictionaries({}, optional=WORDS)
EXCEPTIONS = st.lists(CONDITIONS.filter(bool), max_size=2)
SCHEDULES = st.one_of(
    st.fixed_dictionaries({"action": st.sampled_from(list(Action))}),
    st.just({"warn_from": TIMES[0], "block_from": TIMES[1]}),
    st.fixed_dictionaries({"block_from": st.sampled_from(TIMES[:2])}),
    st.just({"action": Action.BLOCK, "until": TIMES[1]}),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    rules = []
    for number in range(draw(st.integers(1, 6))):
        words = draw(CONDITIONS)
        schedule = draw(SCHEDULES)
        if not words.keys() & {*WHERE}:
            words["countries"] = draw(WORDS["countries"])
        unless = draw(EXCEPTIONS)
        rules.append(
            {"name": f"r{number}", **words, **schedule} | ({"unless": unless} if unless else {})
        )
    return Policy.from_mapping(
        {
            "default": draw(st.sampled_from(["allow", "block"])),
            "paths_ignore_case": draw(st.booleans()),
            "credentials": {
                "staff": {"header": "X-Staff", "sha256": [DIGEST]},
                "old": {"header": "X-Staff", "sha256": [DIGEST], "until": TIMES[1]},
            },
            "rules": rules,
        }
    )


ADDRESSES = [
    "81.2.69.1",
    "81.2.69.33",
    "91.207.56.1",
    "81.2.69.65",
    "81.2.69.130",
    "81.2.69.200",
    "89.160.20.1",
    "2a02:db8::1",
    "203.0.113.1",
    "8.8.8.8",
    "10.0.0.1",
    None,
]
REQUESTS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    path=st.sampled_from(["/", "/a", "/a/b", "/a//b", "/A", "/x/b", "/%61"]),
    method=st.sampled_from(["GET", "POST", "get"]),
    protocol=st.sampled_from(["http", "websocket"]),
    host=st.sampled_from([None, "api.example.com", "example.com", "X.Example.com:443"]),
    headers=st.sampled_from([(), ((b"x-staff", b"secret"),), ((b"X-Staff", b"other"),)]),
    attributes=st.sampled_from([{}, {"plan": "free"}, {"plan": "paid"}]),
    at=st.sampled_from([datetime(2025, 1, 1, tzinfo=UTC), *TIMES]),
    seen=st.none()
    | st.dictionaries(
        st.sampled_from(["DE", "CU", "CU:vpn", "US:hosting", "IR"]),
        st.sampled_from([timedelta(hours=1), timedelta(days=2), timedelta(days=20)]),
    ),
)


def with_past(request: Request, asked: dict[str, Any]) -> Request:
    if asked["seen"] is not None:
        request.identity = somebody()
        request.history = supposed(asked["seen"].items(), asked["at"].timestamp())
    return request


@settings(max_examples=300, deadline=None)
@given(policies(), st.sampled_from(ADDRESSES), REQUESTS)
def test_an_explanation_agrees_with_the_engine(
    policy: Policy, address: str | None, asked: dict[str, Any]
) -> None:
    attributes = asked["attributes"]
    now = asked["at"].timestamp()
    request = Request(
        asked["path"], None, asked["method"], asked["protocol"], asked["headers"], asked["host"], lambda: attributes, now,
    )  # fmt: skip
    with_past(request, asked)
    snapshot = Snapshot(policy, DATA)
    location, labels = snapshot.place(address)
    decision = snapshot.judge(address, request)[1]
    tried = explained(policy, Sender(location=location, labels=labels, request=request, now=now))
    matched = [each for each in tried if each.matched and each.action is not None]
    counted = tuple(each.rule for each in matched if each.action is Action.COUNT)
    decided = [each for each in matched if each.action is not Action.COUNT]
    assert counted == decision.counted
    assert [each.rule for each in decided] == ([] if decision.rule is None else [decision.rule])
    if decided:
        assert decided[0] is tried[-1]
        assert decided[0].action == decision.decided
    else:
        assert len(tried) == len(policy.rules)
    assert all(each.matched is False for each in tried if each.action is None)


@settings(max_examples=300, deadline=None)
@given(st.data(), policies())
def test_a_rule_that_is_called_hidden_never_decides_and_never_counts(
    data: st.DataObject, policy: Policy
) -> None:
    found = advice(policy, None, {"rules": [{}] * len(policy.rules)}, {}, NOW)
    hidden = {
        policy.rules[int(each.message[6:].partition("]")[0]) - 1].name
        for each in found
        if "never reached" in each.message
    }
    if not hidden:
        return
    snapshot = Snapshot(policy, DATA)
    for address in ADDRESSES:
        asked = data.draw(REQUESTS)
        now = asked["at"].timestamp()
        request = Request(
            asked["path"], None, asked["method"], asked["protocol"], asked["headers"],
            asked["host"], partial(dict, asked["attributes"]), now,
        )  # fmt: skip
        decision = snapshot.judge(address, with_past(request, asked))[1]
        assert not hidden & {decision.rule, *decision.counted}


# test

TESTED = (
    START
    + '[credentials.staff]\nheader = "X-Staff"\nsha256 = ["'
    + "0" * 64
    + '"]\nuntil = 2027-01-01T00:00:00Z\n'
    + rule("staff", "allow", 'credentials = ["staff"]')
    + rule("cuba", "block", 'countries = ["CU"]')
)


def case(words: str, expect: str) -> str:
    return f'[[tests]]\n{words}\nexpect = "{expect}"\n'


def test_tests_that_pass_exit_with_0(file: Path) -> None:
    file.write_text(
        TESTED + case('country = "CU"', "block") + case('country = "DE"', "allow"), encoding="utf-8"
    )
    result = run("test", file, file)
    assert (result.exit_code, result.output) == (0, "4 passed, 0 failed\n")


def test_a_test_that_fails_is_told_with_place_and_rule_and_exits_with_1(file: Path) -> None:
    text = (
        TESTED
        + case('name = "Havana"\ncountry = "CU"\nrule = "staff"', "allow")
        + case('country = "DE"', "allow")
    )
    file.write_text(text, encoding="utf-8")
    line = text.splitlines().index("[[tests]]") + 1
    result = run("test", file)
    assert result.exit_code == 1
    assert result.output == (
        f"{file}:{line}: tests[1] (Havana): expect is block, expected allow; "
        "rule is cuba, expected staff; decided by rule cuba\n1 passed, 1 failed\n"
    )
    told = json.loads(run("test", "--json", file).output)
    assert [entry["passed"] for entry in told] == [False, True]
    assert told[0]["line"] == line


def test_a_policy_without_tests_is_an_error_since_nothing_could_fail(file: Path) -> None:
    file.write_text(START, encoding="utf-8")
    result = run("test", file)
    assert result.exit_code == 2
    assert "has no tests, so nothing could fail; add [[tests]]" in result.output


def test_an_invalid_policy_is_told_with_its_line(file: Path) -> None:
    file.write_text(START + case('country = "UK"', "block"), encoding="utf-8")
    result = run("test", file)
    assert result.exit_code == 2
    assert f"{file}:5: tests[1].country: is 'UK'" in result.output


def outcome(policy: dict[str, Any], **given: Any) -> tuple[str, str | None, tuple[str, ...]]:
    found = tried(Snapshot(Policy.from_mapping(policy), DATA), Case(**{"expect": "block"} | given))
    return str(found.decision.decided), found.decision.rule, found.failures


POLICY: dict[str, Any] = {
    "default": "allow",
    "fallback": {"unknown": "warn", "private": "block"},
    "credentials": {"staff": {"header": "X-Staff", "sha256": [DIGEST], "until": "2027-01-01T00:00:00Z"}},
    "rules": [
        {"name": "staff", "action": "allow", "credentials": ["staff"]},
        {"name": "vpn", "action": "block", "categories": ["vpn:high"]},
        {"name": "as", "action": "block", "asns": [64500]},
        {"name": "some", "action": "block", "networks": ["81.2.69.0/26"]},
        {"name": "rest", "action": "block", "networks": ["0.0.0.0/0", "::/0"], "unless": {"countries": ["DE"]}, "hosts": ["shop.example.com"]},
        {"name": "paid", "action": "warn", "countries": ["DE"], "attributes": {"plan": ["free"]}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "action", "rule"),
    [
        ({"country": "DE"}, "allow", None),
        ({"country": "DE", "categories": ["vpn:high"]}, "block", "vpn"),
        ({"country": "DE", "categories": ["vpn:low"]}, "allow", None),
        ({"country": "DE", "asn": 64500}, "block", "as"),
        ({"country": "FR", "host": "shop.example.com"}, "block", "rest"),
        ({"country": "DE", "host": "shop.example.com"}, "allow", None),
        ({"country": "DE", "attributes": {"plan": "free"}}, "warn", "paid"),
        ({"case": "unknown"}, "warn", None),
        ({"case": "unknown", "host": "shop.example.com"}, "block", "rest"),
        ({"case": "private"}, "block", None),
        ({"case": "unresolved"}, "block", None),
        ({"case": "unresolved", "host": "shop.example.com"}, "block", None),
        ({"address": "81.2.69.1"}, "block", "some"),
        ({"address": "81.2.69.70"}, "block", "vpn"),
        ({"address": "10.0.0.1"}, "block", None),
        ({"case": "unresolved", "credentials": ["staff"], "at": TIMES[0]}, "allow", "staff"),
        ({"case": "unresolved", "credentials": ["staff"], "at": TIMES[2]}, "block", None),
        (
            {"case": "unresolved", "headers": {"X-Staff": "secret"}, "at": TIMES[0]},
            "allow",
            "staff",
        ),
    ],
    ids=str,
)
def test_a_case_is_judged_from_where_it_says(
    given: dict[str, Any], action: str, rule: str | None
) -> None:
    assert outcome(POLICY, **given)[:2] == (action, rule)


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (["0.0.0.0-255.255.255.255"], "block"),
        (["0.0.0.0/1", "128.0.0.0/1", "::/0"], "block"),
        (["::/0"], "allow"),
        (["0.0.0.0/1"], "allow"),
    ],
)
def test_a_country_is_in_networks_that_hold_every_ipv4_address(
    networks: list[str], expected: str
) -> None:
    rules = [{"name": "a", "action": "block", "networks": networks}]
    policy = Policy.from_mapping({"default": "allow", "rules": rules})
    case = Case(country="DE", expect=expected)
    assert tried(Snapshot(policy, DATA), case).passed


def test_everything_that_is_expected_is_compared() -> None:
    wanted = {"country": "DE", "categories": ["vpn:high"]}
    got: dict[str, Any] = {
        "rule": "vpn",
        "reason": "category",
        "code": "anonymous_network",
        "status": 403,
    }
    assert outcome(POLICY, **wanted, **got)[2] == ()
    wrong: dict[str, Any] = {
        "rule": "as",
        "reason": "country",
        "code": "network_not_allowed",
        "status": 451,
    }
    for key, value in wrong.items():
        assert outcome(POLICY, **wanted, **{key: value})[2] == (
            f"{key} is {got[key]}, expected {value}",
        )
    assert outcome(POLICY, address="81.2.69.130", country="DE", expect="allow")[2] == (
        "country is CU, expected DE",
    )
    assert outcome(POLICY, country="DE", expect="allow", status=403)[2] == (
        "status is none, expected 403",
    )


def test_a_dry_run_is_tested_as_if_it_were_none() -> None:
    assert outcome(POLICY | {"mode": "dry-run"}, country="DE", asn=64500)[2] == ()


def test_the_status_is_that_of_the_form_of_the_response() -> None:
    forms = {
        "legal": {"type": "rfc7725", "blocked_by": "https://example.com/"},
        "own": {"type": "app"},
    }
    policy = POLICY | {"responses": forms, "response": "legal"}
    assert outcome(policy, country="DE", asn=64500, status=451)[2] == ()
    assert outcome(policy | {"response": "own"}, country="DE", asn=64500, status=403)[2] == (
        "status is none, expected 403",
    )


def test_tests_do_not_look_at_the_emergency_switch(file: Path) -> None:
    (file.parent / "off").touch()
    text = 'emergency_file = "off"\n' + TESTED
    file.write_text(text + case('address = "152.206.0.1"', "block"), encoding="utf-8")
    assert run("test", file).output == "1 passed, 0 failed\n"


# diff


def told(changes: list[Change]) -> list[tuple[str, str, str, str, str, int, int]]:
    return [
        (c.asked, c.country, c.part, str(c.before), str(c.after), c.ipv4, c.ipv6) for c in changes
    ]


def changed(old: dict[str, Any], new: dict[str, Any], at: datetime = NOW) -> list[Change]:
    policies = Policy.from_mapping(old), Policy.from_mapping(new)
    return differences(*policies, DATA, at.timestamp()).changes


def test_a_country_that_is_blocked_now_is_told_with_its_addresses() -> None:
    new = {
        "default": "allow",
        "rules": [{"name": "a", "action": "block", "countries": ["CU", "EG"]}],
    }
    assert told(changed({"default": "allow"}, new)) == [
        ("any request", "CU", "", "allow", "block", 128, 0),
        ("any request", "EG", "", "allow", "block", 0, 1 << 32),
    ]
    assert changed(new, new) == []


def test_a_part_of_a_country_is_named_by_what_it_is() -> None:
    new = {"default": "allow", "rules": [{"name": "a", "action": "warn", "categories": ["tor"]}]}
    assert told(changed({"default": "allow"}, new)) == [
        ("any request", "CU", "tor:high", "allow", "warn", 64, 0)
    ]
    networks = {
        "default": "allow",
        "rules": [{"name": "a", "action": "warn", "networks": ["81.2.69.0/28", "89.160.20.7"]}],
    }
    assert told(changed({"default": "allow"}, networks)) == [
        ("any request", "DE", "81.2.69.0/28 and 1 more", "allow", "warn", 16, 0),
        ("any request", "US", "81.2.69.0/28 and 1 more, hosting:low", "allow", "warn", 1, 0),
    ]


def test_a_country_that_changes_but_for_a_part_names_the_part() -> None:
    country = {"name": "a", "action": "block", "countries": ["CU", "US"]}
    tor = {"name": "tor", "action": "allow", "categories": ["tor"]}
    new = {"default": "allow", "rules": [tor, country]}
    assert told(changed({"default": "allow"}, new)) == [
        ("any request", "CU", "except tor:high", "allow", "block", 64, 0),
        ("any request", "US", "", "allow", "block", 256, 0),
    ]


def test_subdivisions_and_as_numbers_are_told() -> None:
    rules = [
        {"name": "a", "action": "block", "asns": [64500, 64501]},
        {"name": "s", "action": "warn", "subdivisions": ["UA-43"]},
    ]
    assert told(changed({"default": "allow"}, {"default": "allow", "rules": rules})) == [
        ("any request", "DE", "AS64500", "allow", "block", 32, 0),
        ("any request", "UA", "AS64501, UA-43", "allow", "block", 128, 0),
        ("any request", "UA", "UA-43", "allow", "warn", 128, 0),
    ]


def test_a_policy_that_the_data_cannot_answer_is_an_error_of_that_policy() -> None:
    new = {
        "default": "allow",
        "rules": [{"name": "a", "action": "block", "subdivisions": ["US-NJ"]}],
    }
    with pytest.raises(ConfigurationError, match=r"rules\[1\] \(a\).subdivisions: US-NJ needs"):
        changed({"default": "allow"}, new)


def test_a_route_that_changes_is_told_alone() -> None:
    blocked = {
        "name": "a",
        "action": "block",
        "countries": ["CU"],
        "paths": ["/v1/*"],
        "methods": ["POST"],
    }
    new = {"default": "allow", "rules": [blocked]}
    assert told(changed({"default": "allow"}, new)) == [
        ("POST /v1/…", "CU", "", "allow", "block", 128, 0)
    ]


def test_who_sends_it_is_told_too() -> None:
    rules = [
        {
            "name": "a",
            "action": "block",
            "countries": ["CU"],
            "unless": {"attributes": {"plan": ["paid"]}},
        }
    ]
    assert told(changed({"default": "allow"}, {"default": "allow", "rules": rules})) == [
        ("GET any other path", "CU", "", "allow", "block", 128, 0)
    ]


def account_rules(**seen: Any) -> dict[str, Any]:
    """A rule on what the account did, in Germany."""
    rule = {"name": "a", "action": "block", "countries": ["DE"], **seen}
    return {"default": "allow", "rules": [rule]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            {},
            account_rules(account_seen_in={"countries": ["CU", "IR"], "within": "14d"}),
            ["GET any other path of an account seen in CU 14d ago"],
            id="a rule is added",
        ),
        pytest.param(
            account_rules(account_seen_in={"countries": ["CU"], "within": "14d"}),
            account_rules(account_seen_in={"countries": ["CU", "IR"], "within": "14d"}),
            ["GET any other path of an account seen in IR 14d ago"],
            id="a country is added",
        ),
        pytest.param(
            account_rules(account_seen_in={"countries": ["CU"], "within": "7d"}),
            account_rules(account_seen_in={"countries": ["CU"], "within": "36h"}),
            ["GET any other path of an account seen in CU 7d ago"],
            id="it looks less far back",
        ),
        pytest.param(
            account_rules(account_seen_in={"countries": ["CU"], "within": "7d"}),
            account_rules(
                account_seen_in={"countries": ["CU"], "categories": ["vpn"], "within": "7d"}
            ),
            [
                "GET any other path of an account seen in CU 7d ago",
                "GET any other path of an account seen in CU:vpn 7d ago",
            ],
            id="through other networks",
        ),
        pytest.param(
            account_rules(account_countries={"more_than": 5, "within": "1d"}),
            account_rules(account_countries={"more_than": 2, "within": "1d"}),
            ["GET any other path of an account seen in AD, AE, AF 1d ago"],
            id="fewer countries are too many",
        ),
        pytest.param(
            {},
            account_rules(account_countries={"more_than": 5, "within": "1d"}),
            ["GET any other path of an account seen in 6 countries 1d ago"],
            id="more countries than anybody reads",
        ),
        pytest.param(
            {},
            account_rules(account_seen_in={"countries": ["DE"], "within": "1d"}),
            [
                "GET any other path of an account seen in DE 1d ago",
                "GET any other path of an account seen nowhere before",
            ],
            id="the request at hand counts",
        ),
    ],
)
def test_where_an_account_was_is_told_too(
    old: dict[str, Any], new: dict[str, Any], expected: list[str]
) -> None:
    changes = changed({"default": "allow"} | old, new)
    assert list(dict.fromkeys(change.asked for change in changes)) == expected
    assert {change.country for change in changes} == {"DE"}


def test_explain_and_check_suppose_where_an_account_was(file: Path) -> None:
    past = 'account_seen_in = { countries = ["CU"], within = "14d" }'
    hop = 'account_countries = { more_than = 1, categories = ["vpn"], within = "36h" }'
    far = 'account_seen_in = { outside = ["@eu"], categories = ["tor"], within = "60d" }'
    any_ = 'account_seen_in = { categories = ["tor"], within = "60d" }'
    file.write_text(
        'default = "allow"\n'
        + rule("far", "block", f'countries = ["GB"]\n{far}')
        + rule("any", "block", f'countries = ["GB"]\n{any_}')
        + rule("hop", "block", f'countries = ["GB"]\n{hop}')
        + rule("tunnel", "block", f'countries = ["GB"]\n{past}'),
        encoding="utf-8",
    )
    seen = ["--account-seen", "cu=3d", "--account-seen", "IR:vpn=1h"]
    output = run("explain", file, "81.2.69.142", *seen).output
    assert "no   the account was not seen outside [AT, BE" in output
    assert "no   the account was not seen in any country through [tor] within 60d" in output
    assert "no   the account was not seen in more than 1 country through [vpn] within 36h" in output
    assert "yes  the account was seen in [CU] within 14d" in output
    assert "block by rule tunnel (reason account)" in output
    output = run("explain", file, "81.2.69.142").output
    assert "no   nobody was seen in [CU] within 14d" in output
    arguments = ["check", "--policy", str(file), "--json", "81.2.69.142", "81.2.69.142"]
    for options, decided in ((seen, "tunnel"), (seen[2:], None), ([], None)):
        lines = CliRunner().invoke(main, [*arguments, *options]).output.splitlines()
        assert [json.loads(line)["rule"] for line in lines] == [decided] * 2
    for wrong, message in (
        ("CU", "has no name before a '='"),
        ("UK=3d", "'UK' is not a country"),
        ("CU=3", "CU: is '3', must be a number of hours, days or weeks"),
    ):
        result = run("explain", file, "81.2.69.142", "--account-seen", wrong)
        assert result.exit_code == 2
        assert message in result.output


CUBA = {"name": "a", "action": "block", "countries": ["CU"], "paths": ["/v1/*"]}
PARTNER = {"partner": {"header": "X-Key", "sha256": [DIGEST]}}
POSTS: dict[str, Any] = {
    "name": "posts",
    "action": "allow",
    "countries": ["CU"],
    "methods": ["POST"],
}
PARTNERS = {"name": "partners", "action": "allow", "credentials": ["partner"]}


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        ([CUBA | {"unless": {"methods": ["POST"]}}], "POST /v1/…"),
        ([CUBA | {"unless": {"credentials": ["partner"]}}], "GET /v1/… with partner"),
        ([POSTS, CUBA], "POST /v1/…"),
        ([PARTNERS, CUBA], "GET /v1/… with partner"),
        ([POSTS | {"methods": ["GET"]}, CUBA], "GET /v1/…"),
        (
            [CUBA | {"unless": {"methods": ["POST"], "hosts": ["a.example"]}}],
            "POST a.example/v1/…",
        ),
        (
            [{"name": "h", "action": "allow", "hosts": ["a.example"]} | PARTNERS | POSTS, CUBA],
            "POST a.example/v1/… with partner",
        ),
    ],
)
def test_what_two_rules_or_a_rule_and_its_exception_ask_for_together_is_compared(
    rules: list[dict[str, Any]], asked: str
) -> None:
    old = {"default": "allow", "credentials": PARTNER, "rules": [CUBA]}
    new = old | {"rules": rules}
    assert (asked, "CU", "", "block", "allow", 128, 0) in told(changed(old, new))
    assert {change.asked for change in changed(old, new)} & {"any request"} == set()


def test_a_method_that_no_rule_names_is_compared() -> None:
    old = {"default": "allow", "rules": [{"name": "a", "action": "block", "countries": ["CU"]}]}
    new = {"default": "allow", "rules": [POSTS | {"methods": ["GET"]}, *old["rules"]]}
    assert [change.asked for change in changed(old, new)] == ["GET any other path"]


def test_what_is_too_much_to_combine_is_said(tmp_path: Path) -> None:
    words = "".join(
        rule(f"r{n}", "block", f'countries = ["CU"]\npaths = ["/{n}"]')
        + rule(
            f"m{n}", "allow", f'countries = ["EG"]\nmethods = ["M{n}"]\nhosts = ["h{n}.example"]'
        )
        for n in range(40)
    )
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(START + words, encoding="utf-8")
    new.write_text(START + words, encoding="utf-8")
    result = run("diff", old, new)
    assert result.exit_code == 0
    assert re.fullmatch(
        r"nothing changes\nnot compared: [\d,]+ more combinations of what rules ask for .*\n",
        result.output,
    )
    assert json.loads(run("diff", "--json", old, new).output)["not_compared"] > 1000


def test_pairs_of_senders_beyond_those_that_are_tried_are_counted() -> None:
    partners = {f"p{n}": {"header": "X-Key", "sha256": [f"{n:064x}"]} for n in range(60)}
    rules = [{"name": n, "action": "allow", "credentials": [n]} for n in partners]
    policy = Policy.from_mapping({"default": "block", "credentials": partners, "rules": rules})
    assert differences(policy, policy, DATA, 0.0) == ([], 60 * 61 // 2 - 1000)


def test_the_time_decides_about_dates() -> None:
    new = {
        "default": "allow",
        "rules": [
            {"name": "a", "countries": ["CU"], "warn_from": TIMES[0], "block_from": TIMES[2]}
        ],
    }
    for at, action in ((TIMES[1], "warn"), (TIMES[2], "block")):
        assert [change.after for change in changed({"default": "allow"}, new, at)] == [action]
    assert changed({"default": "allow"}, new, datetime(2025, 1, 1, tzinfo=UTC)) == []


def test_what_has_no_country_is_told() -> None:
    old = {"default": "allow"}
    new = {
        "default": "allow",
        "fallback": {
            "unknown": "block",
            "private": "warn",
            "unresolved": "allow",
            "no_data": "warn",
        },
    }
    found = {
        change.country: (change.before, change.after, change.ipv4 > 0)
        for change in changed(old, new)
    }
    assert found == {
        "no_data": ("block", "warn", False),
        "private": ("allow", "warn", True),
        "unknown": ("allow", "block", True),
        "unresolved": ("block", "allow", False),
    }


def test_addresses_in_ipv6_networks_smaller_than_a_64_are_counted_and_shown(tmp_path: Path) -> None:
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text('default = "allow"\n', encoding="utf-8")
    for networks, addresses, subnets, shown in (
        (["2001:218::1"], 1, 0, "<1"),
        (["2001:218::/65"], 1 << 63, 0, "<1"),
        (["2001:218::/65", "2001:218:0:0:8000::/65"], 0, 1, "1"),
        (["2001:218::/63", "2001:218:1::7"], 1, 2, "2"),
    ):
        words = f"networks = {json.dumps(networks)}"
        new.write_text('default = "allow"\n' + rule("a", "block", words), encoding="utf-8")
        (told,) = json.loads(run("diff", "--json", old, new).output)["changes"]
        assert (told["ipv4"], told["ipv6"], told["ipv6_addresses"]) == (0, subnets, addresses)
        assert run("diff", old, new).output.splitlines()[1].split()[-1] == shown


def test_lists_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("81.2.69.0/30\n", encoding="utf-8")
    (tmp_path / "new.txt").write_text("81.2.69.0/29\n", encoding="utf-8")
    old, new = (
        {
            "default": "allow",
            "lists": {"partners": {"path": str(tmp_path / name)}},
            "rules": [{"name": "a", "action": "block", "lists": ["partners"]}],
        }
        for name in ("old.txt", "new.txt")
    )
    assert told(changed(old, new)) == [
        ("any request", "DE", "list partners", "allow", "block", 4, 0)
    ]


def compare_address_by_address(old: Policy, new: Policy, at: datetime) -> None:
    told = differences(old, new, DATA, at.timestamp()).changes
    first, second = Snapshot(old, DATA), Snapshot(new, DATA)
    counted = {"81.2.69.0/24": 0, "89.160.20.0/24": 0}
    for network in counted:
        for address in ip_network(network):
            asked = Request("/…", None, host="", at=at.timestamp())
            before, after = (
                snapshot.judge(ip_address(address), asked)[1].decided
                for snapshot in (first, second)
            )
            counted[network] += before is not after
    general = [change for change in told if change.asked in ("any request", "GET any other path")]
    assert sum(counted.values()) == sum(
        change.ipv4 for change in general if change.country in ("DE", "CU", "US")
    )


TWO_POLICIES = policies(), policies(), st.sampled_from(TIMES)
test_a_difference_is_what_the_engine_says_address_by_address = settings(
    max_examples=10, deadline=None
)(given(*TWO_POLICIES)(compare_address_by_address))
test_many_differences_are_what_the_engine_says_address_by_address = pytest.mark.slow(
    settings(max_examples=60, deadline=None)(given(*TWO_POLICIES)(compare_address_by_address))
)


def test_diff_prints_a_table_and_counts_the_default_data(tmp_path: Path) -> None:
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text('default = "allow"\n', encoding="utf-8")
    new.write_text(
        'default = "allow"\n' + rule("a", "block", 'countries = ["KP"]'), encoding="utf-8"
    )
    result = run("diff", old, new)
    assert result.exit_code == 0
    header, row = result.output.splitlines()
    assert header.split() == ["REQUEST", "FROM", "BEFORE", "AFTER", "IPV4", "IPV6", "/64"]
    assert re.fullmatch(r"any request +KP +allow +block +1,\d\d\d +[\d,]+", row)
    (told,) = json.loads(run("diff", "--json", old, new).output)["changes"]
    assert (told["country"], told["before"], told["after"]) == ("KP", "allow", "block")
    assert run("diff", old, old).output == "nothing changes\n"
    new.write_text('default = "block"\n', encoding="utf-8")
    assert re.search(r"any request +2\d\d countries +allow +block", run("diff", old, new).output)


def test_diff_tells_first_that_the_mode_changes(tmp_path: Path) -> None:
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    block = rule("a", "block", 'countries = ["KP"]')
    old.write_text('default = "allow"\n' + block, encoding="utf-8")
    new.write_text('default = "allow"\nmode = "dry-run"\n' + block, encoding="utf-8")
    assert run("diff", old, new).output == (
        "mode: enforce becomes dry-run: nothing is blocked or warned any more; what would be is "
        "only told\nnothing else changes\n"
    )
    assert run("diff", new, old).output.startswith("mode: dry-run becomes enforce: what was only")
    mode = json.loads(run("diff", "--json", old, new).output)["mode"]
    assert mode == {"before": "enforce", "after": "dry-run"}
    new.write_text('default = "allow"\nmode = "dry-run"\n', encoding="utf-8")
    assert len(run("diff", old, new).output.splitlines()) == 3


def test_diff_of_a_wrong_policy_names_it(tmp_path: Path) -> None:
    old = tmp_path / "old.toml"
    old.write_text('default = "allow"\n', encoding="utf-8")
    result = run("diff", old, tmp_path / "gone.toml")
    assert result.exit_code == 2
    assert "gone.toml" in result.output


# groups


def test_groups_are_printed_with_members_date_and_source() -> None:
    result = run("groups")
    assert result.exit_code == 0
    assert "@eu  27 members, as of 2020-02-01\n  AT BE BG CY CZ DE" in result.output
    assert list(json.loads(run("groups", "--json").output)) == list(GROUPS)
    assert json.loads(run("groups", "--json").output)["@efta"]["members"] == [
        "CH",
        "IS",
        "LI",
        "NO",
    ]


# age

AGED = START + 'stale_after = "90d"\nwarn_after = "45d"\n'
OLD_TOR = '[categories.tor]\nstale_after = "14d"\nstale_action = "ignore"\n'
NO_TOR = rule("no-tor", "block", 'categories = ["tor"]')


def test_check_warns_of_data_that_is_too_old_already(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("81.2.69.0/29\n", encoding="utf-8")
    os.utime(tmp_path / "list.txt", (NOW.timestamp() - 8 * 86400,) * 2)
    lists = '[lists.abuse]\npath = "list.txt"\nstale_after = "7d"\n'
    used = rule("abuse", "block", 'lists = ["abuse"]')
    assert advised(AGED + OLD_TOR + lists + NO_TOR + used, tmp_path) == [
        (4, "stale_after: is 90d, and the data in use is older: of 2026-01-01, 325 days; bring newer data, or allow more"),
        (5, "warn_after: is 45d, and the data in use is older: of 2026-01-01, 325 days; bring newer data, or allow more"),
        (7, "categories.tor.stale_after: is 14d, and the data in use is older: of 2026-01-01, 325 days; bring newer data, or allow more"),
        (11, "lists.abuse.stale_after: is 7d, and the data in use is older: of 2026-11-14, 8 days; bring newer data, or allow more"),
    ]  # fmt: skip
    assert advised(AGED.replace("90d", "900d").replace("45d", "800d")) == []


def test_check_warns_of_a_limit_that_is_never_reached(file: Path) -> None:
    text = START + 'stale_after = "90d"\n'
    policy = Policy.from_mapping(tomllib.loads(text))
    snapshot = Snapshot(policy, Database.missing())
    assert advice(policy, snapshot, tomllib.loads(text), lines(text), NOW) == [
        (4, "stale_after: nothing that it is about grows old, so it is never reached; remove it")
    ]


def test_check_names_a_category_that_the_data_does_not_tell(file: Path) -> None:
    # the default data tells it; an image of these countries alone does not
    file.write_text(START + '[categories.tor]\nstale_after = "900w"\n', encoding="utf-8")
    assert run("check", file).exit_code == 0
    policy = Policy.load(file)
    (lack,) = lacking(policy, tiny_database({"81.2.69.0/24": "GB"}))
    assert lack.startswith(f"{file}: categories.tor: tiny tells nothing of tor")


def test_explain_and_check_tell_what_is_too_old(file: Path) -> None:
    file.write_text(AGED + OLD_TOR + NO_TOR, encoding="utf-8")
    asked = ("explain", file, "2.26.97.42", "--at", "2036-01-01T00:00:00Z")
    result = run(*asked)
    assert result.exit_code == 0
    assert "2.26.97.42 is no_data: it has no country\n" in result.output
    assert re.search(r"\nstale: country, of \d{4}-\d\d-\d\d, is older than stale_after \(90d\): no_data\n", result.output)  # fmt: skip
    assert re.search(r"\nstale: tor, of \d{4}-\d\d-\d\d, is older than categories.tor.stale_after \(14d\): ignore\n", result.output)  # fmt: skip
    assert "no   categories none is not in categories [tor:medium]" in result.output
    assert "block by fallback.no_data (reason no_data); the client gets status 503" in result.output
    assert json.loads(run(*asked, "--json").output)["stale"] == ["country", "tor"]
    before = run("explain", file, "2.26.97.42", "--at", "2026-10-06T00:00:00Z").output
    assert "block by rule no-tor" in before

    question = ("check", "2.26.97.42", "--policy", str(file), "--at", "2036-01-01T00:00:00Z")
    table = CliRunner().invoke(main, [*question])
    assert "no_data (stale: country, tor)" in table.output
    machine = CliRunner().invoke(main, [*question, "--json"])
    assert json.loads(machine.stdout)["stale"] == ["country", "tor"]


def test_a_case_with_an_address_asks_data_of_an_age_and_what_is_supposed_has_none() -> None:
    text = AGED + "".join(
        f"[[tests]]\n{place}\nat = {at}T00:00:00Z\nexpect = {expect!r}\nreason = {reason!r}\n"
        for place, at, expect, reason in (
            ('address = "81.2.69.1"', "2026-03-31", "allow", "default"),
            ('address = "81.2.69.1"', "2026-04-01", "block", "no_data"),
            ('address = "81.2.69.1"\ncountry = "DE"', "2026-04-01", "block", "no_data"),
            ('address = "10.0.0.1"', "2026-04-01", "allow", "private"),
            ('country = "DE"', "2036-01-01", "allow", "default"),
            ('case = "no_data"', "2026-01-01", "block", "no_data"),
        )
    )
    policy = Policy.from_mapping(tomllib.loads(text))
    snapshot = Snapshot(policy, DATA)
    trials = [tried(snapshot, case) for case in policy.tests]
    assert [trial.failures for trial in trials] == [()] * 6
    assert [trial.decision.stale for trial in trials] == [
        (),
        ("country",),
        ("country",),
        (),
        (),
        (),
    ]
    assert [trial.status for trial in trials] == [None, 503, 503, None, None, 503]


def test_a_case_that_fails_for_old_data_says_so(file: Path) -> None:
    case = '[[tests]]\naddress = "81.2.69.142"\nat = 2036-01-01T00:00:00Z\nexpect = "allow"\n'
    file.write_text(AGED + case, encoding="utf-8")
    result = run("test", file)
    assert result.exit_code == 1
    assert "decided by no rule (no_data); stale: country" in result.output
    assert json.loads(run("test", "--json", file).output)[0]["stale"] == ["country"]


def test_a_limit_is_a_difference_once_the_data_is_older() -> None:
    old: dict[str, Any] = {"default": "allow"}
    new = old | {"stale_after": "90d", "fallback": {"no_data": "warn"}}
    same = old | {"fallback": {"no_data": "warn"}}
    assert changed(same, new, datetime(2026, 3, 31, tzinfo=UTC)) == []
    found = changed(same, new, datetime(2026, 4, 1, tzinfo=UTC))
    assert {(change.country, change.before, change.after) for change in found} == {
        (place, "allow", "warn") for place in ("DE", "CU", "US", "UA", "EG", "unknown")
    }
    ignoring = {"categories": {"tor": {"stale_after": "14d", "stale_action": "ignore"}}}
    rules = {"rules": [{"name": "t", "action": "block", "categories": ["tor"]}]}
    found = changed(old | rules, old | rules | ignoring, datetime(2026, 4, 1, tzinfo=UTC))
    assert [(change.country, change.part, change.before, change.after) for change in found] == [
        ("CU", "tor:high", "block", "allow")
    ]
