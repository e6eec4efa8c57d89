"""The policy as text: what is read from it, and what is said of a wrong one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from georestrict import Action, Category, Confidence, ConfigurationError, Engine, Policy
from georestrict.cli import main
from georestrict.policy import Fallback, ListFile
from georestrict.testing import tiny_database

NOWHERE = tiny_database({})

FULL = """
default = "block"
mode = "dry-run"
contact = "https://example.com/access"

[fallback]
unknown = "warn"
private = "allow"

[lists.partners]
path = "lists/partners.txt"

[lists.abuse]
path = "/srv/abuse.txt"
allow_empty = true

[[rules]]
name = "health"
action = "allow"
paths = ["/healthz", "/status/*"]

[[rules]]
name = "anonymous"
action = "block"
categories = ["tor", "vpn:high", "proxy:low"]

[[rules]]
name = "mixed"
action = "warn"
countries = ["hk", "MO", "xk"]
lists = ["partners"]
networks = ["192.0.2.0/24", "2001:db8::1", "10.0.0.1-10.0.0.9"]

[[rules]]
name = "supported"
action = "allow"
countries = ["GB", "SE"]
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "policy.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- What is read ---------------------------------------------------------------------------------------


def test_every_word_of_a_policy_file_is_read(tmp_path: Path) -> None:
    policy = Policy.load(written(tmp_path, FULL))
    assert policy.default is Action.BLOCK
    assert policy.dry_run
    assert policy.contact == "https://example.com/access"
    assert policy.lists == {
        "partners": ListFile(path=tmp_path / "lists/partners.txt"),
        "abuse": ListFile(path=Path("/srv/abuse.txt"), allow_empty=True),
    }
    health, anonymous, mixed, supported = policy.rules
    assert (health.name, health.action, health.paths) == (
        "health",
        Action.ALLOW,
        ("/healthz", "/status/*"),
    )
    assert anonymous.categories == (
        (Category.TOR, Confidence.MEDIUM),
        (Category.VPN, Confidence.HIGH),
        (Category.PROXY, Confidence.LOW),
    )
    assert mixed.countries == {"HK", "MO", "XK"}
    assert mixed.lists == ("partners",)
    assert mixed.networks == ("192.0.2.0/24", "2001:db8::1", "10.0.0.1-10.0.0.9")
    assert [rule.says_where for rule in policy.rules] == [False, True, True, True]
    assert supported.action is Action.ALLOW


def test_a_file_and_a_mapping_give_equal_policies(tmp_path: Path) -> None:
    mapping = tomllib.loads(FULL)
    mapping["lists"]["partners"]["path"] = str(tmp_path / "lists/partners.txt")
    loaded, mapped = Policy.load(written(tmp_path, FULL)), Policy.from_mapping(mapping)
    assert replace(loaded, place="") == replace(mapped, place="")
    assert str(tmp_path / "policy.toml") in loaded.place
    assert replace(mapped, default=Action.ALLOW) != mapped
    assert hash(mapped) == hash(Policy.from_mapping(mapping))


def test_a_policy_may_be_given_by_path_as_text_or_as_a_path_and_with_a_byte_order_mark(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert Policy.load(str(path)) == Policy.load(path)
    assert len(Policy.load(path).rules) == 4


def test_tuples_sets_and_lists_are_all_arrays_in_a_mapping() -> None:
    def policy(codes: object) -> Policy:
        rule = {"name": "r", "action": "block", "countries": codes}
        return Policy.from_mapping({"default": "allow", "rules": (rule,)})

    assert (
        policy(["CN", "HK"])
        == policy(("HK", "CN"))
        == policy({"cn", "hk"})
        == policy(frozenset(["CN", "HK"]))
    )


@pytest.mark.parametrize("mode", [None, "enforce", "dry-run"])
def test_the_mode_is_enforce_unless_stated(mode: str | None) -> None:
    document = {"default": "allow"} | ({} if mode is None else {"mode": mode})
    assert Policy.from_mapping(document).dry_run is (mode == "dry-run")


@pytest.mark.parametrize("contact", ["https://example.com/x", "mailto:help@example.com"])
def test_a_contact_is_a_secure_link_or_a_mail_address(contact: str) -> None:
    assert Policy.from_mapping({"default": "allow", "contact": contact}).contact == contact


# --- Fallbacks: the table of design §7 -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "case", "action"),
    [
        pytest.param(
            "allow", "unknown", "allow", id="a block list lets a public address in no country in"
        ),
        pytest.param("allow", "private", "allow", id="a block list lets a private address in"),
        pytest.param(
            "allow", "unresolved", "block", id="a block list blocks a client that cannot be known"
        ),
        pytest.param("allow", "no_data", "block", id="a block list blocks without data"),
        pytest.param(
            "block", "unknown", "block", id="an allow list blocks a public address in no country"
        ),
        pytest.param("block", "private", "block", id="an allow list blocks a private address"),
        pytest.param(
            "block", "unresolved", "block", id="an allow list blocks a client that cannot be known"
        ),
        pytest.param("block", "no_data", "block", id="an allow list blocks without data"),
    ],
)
def test_the_fallback_table(default: str, case: str, action: str) -> None:
    fallback = Policy.from_mapping({"default": default}).fallback
    assert set(fallback) == set(Fallback)
    assert fallback[Fallback(case)].value == action


@pytest.mark.parametrize("default", ["allow", "block"])
@pytest.mark.parametrize("case", list(Fallback))
@pytest.mark.parametrize("action", [Action.ALLOW, Action.WARN, Action.BLOCK])
def test_a_stated_fallback_replaces_only_its_own_case(
    default: str, case: Fallback, action: Action
) -> None:
    usual = Policy.from_mapping({"default": default}).fallback
    stated = Policy.from_mapping(
        {"default": default, "fallback": {case.value: action.value}}
    ).fallback
    assert stated == {**usual, case: action}


# --- The short form ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "default", "rules"),
    [
        pytest.param({"block": ["CN"]}, "allow", {"block": {"CN"}}, id="block alone lets everyone else in"),
        pytest.param({"warn": ["hk"]}, "allow", {"warn": {"HK"}}, id="warn alone lets everyone in"),
        pytest.param({"allow": ["GB", "SE"]}, "block", {"allow": {"GB", "SE"}}, id="allow alone blocks the rest"),
        pytest.param(
            {"allow": ["GB"], "warn": ["HK"]}, "block", {"warn": {"HK"}, "allow": {"GB"}},
            id="allow and warn block the rest",
        ),
        pytest.param(
            {"block": ("CN",), "warn": {"HK"}}, "allow", {"block": {"CN"}, "warn": {"HK"}},
            id="block and warn let the rest in",
        ),
    ],
)  # fmt: skip
def test_the_short_form(
    options: dict[str, Any], default: str, rules: Mapping[str, set[str]]
) -> None:
    policy = Policy.short(**options)
    assert policy.default.value == default
    assert {str(rule.action): set(rule.countries) for rule in policy.rules} == rules
    assert policy.fallback == Policy.from_mapping({"default": default}).fallback


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param({}, ["nothing to enforce", "block="], id="nothing at all"),
        pytest.param({"block": []}, ["block", "empty", "name at least one"], id="an empty array"),
        pytest.param({"block": ["UK"]}, ["block", "'UK'", "GB"], id="UK"),
        pytest.param({"block": "CN"}, ["block", "'CN'", "array"], id="a bare string"),
        pytest.param({"block": ""}, ["block"], id="an empty string"),
        pytest.param(
            {"block": ["CN"], "allow": ["CN"]},
            ["'block'", "'allow'", "CN"],
            id="one code in two words",
        ),
        pytest.param({"warn": [86]}, ["warn", "86", "text"], id="a number"),
    ],
)
def test_a_wrong_short_form_is_refused(options: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy.short(**options)
    for words in told:
        assert words in str(caught.value)


# --- What is wrong, and what is said --------------------------------------------------------------------


class Bad(NamedTuple):
    """A wrong policy file, and what the one sentence about it must hold, as regular expressions."""

    text: str | bytes
    told: list[str]


def rule(words: str, *, name: str = "r", action: str = "block") -> str:
    return f'default = "allow"\n[[rules]]\nname = "{name}"\naction = "{action}"\n{words}\n'


def with_list(words: str) -> str:
    return rule('lists = ["mine"]') + f"[lists.mine]\n{words}\n"


def country(word: str, fix: str) -> Bad:
    return Bad(
        rule(f'countries = ["CN", "{word}"]'), [r"rules\[1\].*countries\[2\]", f"'{word}'", fix]
    )


BAD = {
    # the document
    "the file is not TOML": Bad('default = "allow"\n???', [r"not valid TOML", r"line 2"]),
    "the file repeats a key": Bad('default = "allow"\ndefault = "block"\n', [r"not valid TOML", r"line 2"]),
    "the file is not UTF-8": Bad(b'default = "allow"\n# \xff\n', [r"UTF-8", r"byte 20", r"save"]),
    "the file is UTF-16": Bad('default = "allow"'.encode("utf-16"), [r"UTF-8", r"byte 0", r"save"]),
    "a number in the file has 5,000 digits": Bad("x = " + "1" * 5000, [r"not valid TOML"]),
    "the file nests 100,000 arrays": Bad("x = " + "[" * 100_000, [r"not valid TOML"]),
    "the file is empty": Bad("", [r"default", r"missing", r'default = "allow"']),
    "default is missing": Bad(rule('countries = ["CN"]').split("\n", 1)[1], [r"default", r'default = "allow"']),
    "default is a wrong word": Bad('default = "deny"', [r"default", r"'deny'", r"allow, block"]),
    "default is warn": Bad('default = "warn"', [r"default", r"'warn'", r"allow, block"]),
    "default has another case": Bad('default = "Allow"', [r"default", r"'Allow'", r"did you mean 'allow'"]),
    "default is a boolean": Bad("default = true", [r"default", r"True", r"allow, block"]),
    "mode is a wrong word": Bad('default = "allow"\nmode = "dryrun"', [r"mode", r"'dryrun'", r"'dry-run'"]),
    "a key is unknown": Bad('default = "allow"\ncolour = "red"', [r"'colour'", r"known are .*rules"]),
    "a key is misspelt": Bad('default = "allow"\ncontct = "x"', [r"'contct'", r"did you mean 'contact'"]),
    "a key is in the wrong case": Bad('Default = "allow"', [r"'Default'", r"did you mean 'default'"]),
    # contact
    "the contact is not secure": Bad(
        'default = "allow"\ncontact = "http://example.com"', [r"contact", r"'http://example.com'", r"https://"]
    ),
    "the contact is a script": Bad(
        'default = "allow"\ncontact = "javascript:alert(1)"', [r"contact", r"javascript", r"https://"]
    ),
    "the contact breaks the line": Bad(
        'default = "allow"\ncontact = "https://example.com/\\r\\nX: y"', [r"contact", r"\\r\\n", r"https://"]
    ),
    "the contact is a number": Bad('default = "allow"\ncontact = 5', [r"contact", r"5", r"https://"]),
    # fallback
    "a fallback is unknown": Bad(
        'default = "allow"\n[fallback]\nprivat = "allow"', [r"fallback", r"'privat'", r"'private'"]
    ),
    "a fallback has no action": Bad(
        'default = "allow"\n[fallback]\nprivate = "ignore"', [r"fallback\.private", r"'ignore'", r"allow, warn, block"]
    ),
    "the fallback is no table": Bad('default = "allow"\nfallback = "allow"', [r"fallback", r"'allow'", r"table"]),
    "the fallback is an empty table": Bad('default = "allow"\n[fallback]\n', [r"fallback", r"empty"]),
    # rules
    "rules is one table": Bad(
        'default = "allow"\n[rules]\nname = "r"\n', [r"rules", r"array of tables", r"\[\[rules\]\]"]
    ),
    "rules is text": Bad('default = "allow"\nrules = "CN"', [r"rules", r"array of tables", r"\[\[rules\]\]"]),
    "rules is an empty array": Bad('default = "allow"\nrules = []', [r"rules", r"empty"]),
    "a rule is no table": Bad('default = "allow"\nrules = ["CN"]', [r"rules\[1\]", r"'CN'", r"table"]),
    "a rule's key is misspelt": Bad(rule('country = ["CN"]'), [r"rules\[1\]", r"'country'", r"'countries'"]),
    "a rule's key is unknown": Bad(rule('browser = ["x"]'), [r"rules\[1\]", r"'browser'", r"known are"]),
    "a rule has no name": Bad(
        'default = "allow"\n[[rules]]\naction = "block"\ncountries = ["CN"]', [r"rules\[1\]\.name", r"missing", r"give"]
    ),
    "a rule's name is blank": Bad(rule('countries = ["CN"]', name="  "), [r"rules\[1\]\.name", r"give"]),
    "a rule's name breaks the line": Bad(rule('countries = ["CN"]', name="a\\nb"), [r"rules\[1\]\.name", r"give"]),
    "two rules have one name": Bad(
        rule('countries = ["CN"]') + '[[rules]]\nname = "r"\naction = "warn"\ncountries = ["HK"]',
        [r"rules\[2\]\.name", r"'r'", r"rule 1", r"rename"],
    ),
    "a rule has no action": Bad(
        'default = "allow"\n[[rules]]\nname = "r"\ncountries = ["CN"]', [r"rules\[1\].*action", r"missing", r"write"]
    ),
    "a rule has a wrong action": Bad(
        rule('countries = ["CN"]', action="deny"), [r"rules\[1\].*action", r"'deny'", r"allow, warn, block"]
    ),
    "a rule's action is misspelt": Bad(
        rule('countries = ["CN"]', action="blok"), [r"rules\[1\].*action", r"'blok'", r"did you mean 'block'"]
    ),
    "a block rule says nothing about where from": Bad(rule('paths = ["/x"]'), [r"rules\[1\].*\(r\)", r"where", r"add"]),
    "a warn rule says nothing about where from": Bad(
        rule('paths = ["/x"]', action="warn"), [r"rules\[1\].*\(r\)", r"where", r"add"]
    ),
    "an allow rule matches everything": Bad(rule("", action="allow"), [r"rules\[1\].*\(r\)", r"everything", r"add"]),
    # countries
    "H1 a country is UK": country("UK", "did you mean GB"),
    "H1 a country is EL": country("EL", "did you mean GR"),
    "H1 a country is AN": country("AN", "CW, SX and BQ"),
    "H1 a country is EU": country("EU", "member states"),
    "H1 a country is GBR": country("GBR", "did you mean GB"),
    "H1 a country is Great Britain": country("Great Britain", "did you mean GB"),
    "a country is ZZ": country("ZZ", "ISO 3166-1"),
    "a country is ??": Bad(rule('countries = ["??"]'), [r"countries\[1\]", r"'\?\?'", "ISO 3166-1"]),
    "a country is empty": Bad(rule('countries = [""]'), [r"countries\[1\]", r"''", "ISO 3166-1"]),
    "a country has a space": Bad(rule('countries = ["CN "]'), [r"countries\[1\]", r"'CN '", "ISO 3166-1|CN"]),
    "a country is no text": Bad(rule("countries = [86]"), [r"countries\[1\]", r"86", r"text"]),
    "countries is bare text": Bad(rule('countries = "CN"'), [r"countries", r"'CN'", r"array", r"\['CN'\]"]),
    "countries is an empty array": Bad(rule("countries = []"), [r"countries", r"empty", r"name at least one|remove"]),
    "countries is a table": Bad(rule("countries = { CN = true }"), [r"countries", r"array"]),
    "countries is a boolean": Bad(rule("countries = true"), [r"countries", r"True", r"array"]),
    # categories
    "a category is unknown": Bad(rule('categories = ["darknet"]'), [r"categories\[1\]", r"'darknet'", r"tor"]),
    "a confidence is unknown": Bad(rule('categories = ["vpn:sure"]'), [r"categories\[1\]", r"'vpn:sure'", r"high"]),
    "a confidence is missing": Bad(rule('categories = ["vpn:"]'), [r"categories\[1\]", r"'vpn:'", r"medium"]),
    "categories is empty": Bad(rule("categories = []"), [r"categories", r"empty", r"name at least one|remove"]),
    "categories is bare text": Bad(rule('categories = "tor"'), [r"categories", r"'tor'", r"array", r"\['tor'\]"]),
    # networks
    "a network has host bits": Bad(
        rule('networks = ["203.0.113.5/24"]'), [r"networks\[1\]", r"'203\.0\.113\.5/24'", r"203\.0\.113\.0/24"]
    ),
    "an IPv6 network has host bits": Bad(
        rule('networks = ["2001:db8::5/32"]'), [r"networks\[1\]", r"'2001:db8::5/32'", r"2001:db8::/32"]
    ),
    "a network is a name": Bad(rule('networks = ["localhost"]'), [r"networks\[1\]", r"'localhost'", r"address"]),
    "a network has leading zeros": Bad(
        rule('networks = ["010.0.0.0/8"]'), [r"networks\[1\]", r"'010\.0\.0\.0/8'", r"zero"]
    ),
    "a network is too short": Bad(rule('networks = ["10.0.0.0/33"]'), [r"networks\[1\]", r"/33'", r"32"]),
    "a range runs backwards": Bad(rule('networks = ["10.0.0.9-10.0.0.1"]'), [r"networks\[1\]", r"swap"]),
    "networks is empty": Bad(rule("networks = []"), [r"networks", r"empty", r"name at least one|remove"]),
    # paths
    "a path has no slash": Bad(rule('countries = ["CN"]\npaths = ["admin"]'), [r"paths\[1\]", r"'admin'", r"'/'"]),
    "a path has a query": Bad(rule('countries = ["CN"]\npaths = ["/a?b"]'), [r"paths\[1\]", r"'/a\?b'", r"leave"]),
    "a path is encoded": Bad(rule('countries = ["CN"]\npaths = ["/%61"]'), [r"paths\[1\]", r"'/%61'", r"decoded"]),
    "a path is not in normal form": Bad(
        rule('countries = ["CN"]\npaths = ["/a", "/a/../b"]'), [r"paths\[2\]", r"'/a/\.\./b'", r"leave out"]
    ),
    "paths is empty": Bad(rule('countries = ["CN"]\npaths = []'), [r"paths", r"empty", r"name at least one|remove"]),
    "paths is bare text": Bad(rule('countries = ["CN"]\npaths = "/a"'), [r"paths", r"'/a'", r"\['/a'\]"]),
    # lists
    "a list is not defined": Bad(rule('lists = ["partners"]'), [r"lists\[1\]", r"'partners'", r"\[lists\.partners\]"]),
    "a list's name is misspelt": Bad(
        rule('lists = ["mien"]') + '[lists.mine]\npath = "good.txt"', [r"lists\[1\]", r"'mien'", r"did you mean 'mine'"]
    ),
    "lists is an empty array in a rule": Bad(rule("lists = []"), [r"lists", r"empty", r"name at least one|remove"]),
    "lists is an array": Bad('default = "allow"\nlists = ["mine.txt"]', [r"lists", r"\[lists\.NAME\]"]),
    "lists is an empty table": Bad('default = "allow"\n[lists]\n', [r"lists", r"empty"]),
    "a list has no path": Bad(with_list("allow_empty = true"), [r"lists\.mine\.path", r"missing", r"name the file"]),
    "a list has an empty path": Bad(with_list('path = ""'), [r"lists\.mine\.path", r"name the file"]),
    "a list's key is misspelt": Bad(with_list('pth = "good.txt"'), [r"lists\.mine", r"'pth'", r"did you mean 'path'"]),
    "a list's path is a number": Bad(with_list("path = 5"), [r"lists\.mine\.path", r"name the file"]),
    "a list's allow_empty is text": Bad(
        with_list('path = "good.txt"\nallow_empty = "yes"'), [r"lists\.mine\.allow_empty", r"'yes'", r"true or false"]
    ),
    "a list's path has a NUL": Bad(with_list(r'path = "a\u0000b"'), [r"mine"]),
}  # fmt: skip

#: Wrong lists: the message names the list, its file, and in it the line.
BAD_LISTS = {
    "the list file is missing": Bad(
        with_list('path = "gone.txt"'), [r"mine", r"gone\.txt", r"No such file"]
    ),
    "a file of the list's folder is no list": Bad(
        with_list('path = "."'), [r"mine", r"binary\.txt: UTF-16 text", r"save it as UTF-8"]
    ),
    "the list file is empty": Bad(
        with_list('path = "empty.txt"'), [r"mine", r"empty\.txt", r"allow_empty = true"]
    ),
    "the list file has comments only": Bad(
        with_list('path = "comments.txt"'), [r"mine", r"comments\.txt", r"allow_empty = true"]
    ),
    "a list line is a name": Bad(
        with_list('path = "names.txt"'), [r"mine", r"names\.txt:3", r"'example\.com'"]
    ),
    "a list line has host bits": Bad(
        with_list('path = "host-bits.txt"'),
        [r"mine", r"host-bits\.txt:2", r"'203\.0\.113\.5/24'", r"203\.0\.113\.0/24"],
    ),
    "the list file is not text": Bad(
        with_list('path = "binary.txt"'),
        [r"mine", r"binary\.txt: UTF-16 text", r"save it as UTF-8"],
    ),
}
LIST_FILES = {
    "good.txt": b"192.0.2.0/24\n",
    "empty.txt": b"",
    "comments.txt": b"# nothing yet\n\n; nor here\n",
    "names.txt": b"# ours\n192.0.2.0/24\nexample.com # not an address\n",
    "host-bits.txt": b"192.0.2.0/24\r\n203.0.113.5/24\r\n",
    "binary.txt": b"\xff\xfe\x00\x01\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in LIST_FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def checked(*arguments: str | Path) -> tuple[int, str]:
    """Run ``georestrict check`` and return its exit code and standard error; it prints nothing else."""
    result = CliRunner().invoke(main, ["check", "--policy", *map(str, arguments), "81.2.69.142"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.exit_code, result.stderr


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_policy_gives_one_sentence_with_place_word_and_fix(folder: Path, name: str) -> None:
    path = written(folder, BAD[name].text)
    with pytest.raises(ConfigurationError) as caught:
        Engine(path, database=NOWHERE)
    message = str(caught.value)
    assert message.startswith(f"{path}:") or "list 'mine'" in message
    assert "\n" not in message
    assert len(message) < 600
    for words in BAD[name].told:
        assert re.search(words, message), (words, message)


@pytest.mark.parametrize("name", BAD_LISTS)
def test_a_wrong_list_gives_one_sentence_with_list_file_and_line(folder: Path, name: str) -> None:
    path = written(folder, BAD_LISTS[name].text)
    with pytest.raises(ConfigurationError) as caught:
        Engine(path, database=NOWHERE)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    for words in BAD_LISTS[name].told:
        assert re.search(words, message), (words, message)


@pytest.mark.parametrize("name", [*BAD, *BAD_LISTS])
def test_the_command_line_says_the_same_without_a_traceback(folder: Path, name: str) -> None:
    bad = (BAD | BAD_LISTS)[name]
    code, message = checked(written(folder, bad.text))
    assert code == 2
    assert message.startswith("georestrict: ")
    for words in bad.told:
        assert re.search(words, message), (words, message)


@pytest.mark.once
def test_at_least_thirty_kinds_of_wrong_policies_are_told_apart(folder: Path) -> None:
    messages = set()
    for bad in (*BAD.values(), *BAD_LISTS.values()):
        messages.add(checked(written(folder, bad.text))[1])
    assert len(messages) >= 60


def test_many_wrong_lines_of_a_list_are_told_up_to_a_bound(folder: Path) -> None:
    (folder / "good.txt").write_text("".join(f"name-{number}\n" for number in range(1, 1001)))
    with pytest.raises(ConfigurationError) as caught:
        Engine(written(folder, with_list('path = "good.txt"')), database=NOWHERE)
    assert "good.txt:1: 'name-1'" in str(caught.value)
    assert "995 more" in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("name", "told"),
    [("gone.toml", "No such file"), ("", "directory"), ("policy.toml/x", "Not a directory")],
)
def test_a_policy_file_that_cannot_be_read_is_named(folder: Path, name: str, told: str) -> None:
    path = written(folder, FULL).parent / name
    with pytest.raises(ConfigurationError) as caught:
        Policy.load(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    assert isinstance(caught.value, ValueError)
    code, message = checked(path)
    assert code == 2
    assert str(path) in message


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda folder: Policy.load(folder / "gone.toml"), id="no policy file"),
        pytest.param(lambda folder: Policy.load(folder), id="a directory as policy file"),
        pytest.param(
            lambda folder: Engine(
                written(folder, with_list('path = "gone.txt"')), database=NOWHERE
            ),
            id="no list file",
        ),
    ],
)
def test_a_file_that_cannot_be_read_comes_with_a_fix(folder: Path, build: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(folder)
    assert re.search(
        r"\b(check|correct|create|fix|give|make|name|point|set|write)\b", str(caught.value)
    )


def test_a_wrong_list_names_the_key_that_names_the_file(folder: Path) -> None:
    path = written(folder, with_list('path = "gone.txt"'))
    with pytest.raises(ConfigurationError) as caught:
        Engine(path, database=NOWHERE)
    assert str(path) in str(caught.value)
    assert re.search(r"lists\.mine", str(caught.value))


def document(text: str | bytes) -> dict[str, Any] | None:
    """What TOML reads from a text, or None."""
    try:
        return tomllib.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        return None


@pytest.mark.parametrize(
    "name", [name for name, bad in BAD.items() if document(bad.text) is not None]
)
def test_a_wrong_mapping_is_refused_in_the_words_for_a_wrong_file(folder: Path, name: str) -> None:
    path = written(folder, BAD[name].text)
    said = []
    for given, place in (
        (path, rf"{re.escape(str(path))}:(\d+:)? "),
        (document(BAD[name].text), "policy: "),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Engine(given, database=NOWHERE)  # type: ignore[arg-type]  # never None here
        said.append(re.sub(f"^{place}", "", str(caught.value)))
    assert said[0].replace(f"{folder}/", "") == said[1]


def test_list_paths_of_a_mapping_are_relative_to_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    mapping = document(with_list('path = "good.txt"'))
    assert mapping is not None
    engine = Engine(mapping, database=NOWHERE)
    assert engine.decide("192.0.2.9").rule == "r"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([], id="an array"),
        pytest.param({1: 2}, id="a number as key"),
        pytest.param({"default": None}, id="None as default"),
        pytest.param({"default": "allow", "rules": None}, id="None as rules"),
        pytest.param({"default": "allow", "rules": 5}, id="a number as rules"),
        pytest.param({"default": "allow", "rules": [None]}, id="None as a rule"),
        pytest.param({"default": "allow", "fallback": None}, id="None as fallback"),
        pytest.param({"default": "allow", "lists": {"a": None}}, id="None as a list"),
        pytest.param(
            {"default": "allow", "rules": [{"name": "r", "action": "block", "countries": b"CN"}]}, id="bytes as countries"
        ),
        pytest.param(
            {"default": "allow", "rules": [{"name": "r", "action": "block", "countries": None}]}, id="None as countries"
        ),
        pytest.param(
            {"default": "allow", "rules": [{"name": "r", "action": ["block"], "countries": ["CN"]}]},
            id="an array as action",
        ),
        pytest.param(
            {"default": "allow", "rules": [{"name": "r", "action": "block", "countries": [None]}]}, id="None as a country"
        ),
        pytest.param(
            {"default": "allow", "rules": [{"name": 5, "action": "block", "countries": ["CN"]}]}, id="a number as name"
        ),
    ],
)  # fmt: skip
def test_a_mapping_of_wrong_types_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_mapping(given)
    assert str(caught.value).startswith("policy: ")


def test_a_good_policy_passes_the_command_line(folder: Path) -> None:
    path = written(
        folder,
        with_list('path = "good.txt"').replace(
            "[[rules]]", 'contact = "https://a.example"\n[[rules]]'
        ),
    )
    Engine(path, database=NOWHERE)
    path = written(folder, 'contact = "https://a.example"\n' + rule('countries = ["cn", "XK"]'))
    result = CliRunner().invoke(main, ["check", "--policy", str(path), "81.2.69.142"])
    assert result.exit_code == 0
