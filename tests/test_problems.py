"""Everything that is wrong with a policy file, each with its line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import ConfigurationError, Policy
from georestrict.policy import problems as room
from georestrict.policy.problems import MOST, find
from georestrict.tomllines import KeyPath, lines

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent

ODD = '''\
a = 1 # = [x]
"b.c" = "x\\"]\\\\" # "
'd' . "e" . f = [ 1, # one, ]
  "two]", [ 3,
  ], { x = 1, "y" . z = [ "#", 1979-05-27 07:32:00Z ] }, ]

g = """ # no comment
[h]
i = \\"""1
""\\
"""""
j = \'\'\'
"""' [[k]] \'\'\'\'\'
l = ""
m = \'\'
[n . o]
p = {}
[[q.r]]
s = 1
[[q.r]]
[q.r.t]
u = 0x_1
[[q.r.v]]
w = []
[x]
[x.y]
[q.z]
'''.replace("0x_1", "0xF_1")


def paths_of(node: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Every way in a document."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    below = [paths_of(value, (*path, key)) for key, value in items]
    return ({path} if path else set()).union(*below)


def test_every_key_and_entry_of_an_odd_document_has_the_line_where_it_stands() -> None:
    found = lines(ODD)
    assert set(found) == paths_of(tomllib.loads(ODD))
    at = {".".join(map(str, path)): line for path, line in found.items()}
    assert [at[key] for key in ("a", "b.c", "d", "d.e.f", "d.e.f.0", "d.e.f.1")] == [
        1,
        2,
        3,
        3,
        3,
        4,
    ]
    assert [at[key] for key in ("d.e.f.2", "d.e.f.2.0", "d.e.f.3", "d.e.f.3.y.z.1")] == [4, 4, 5, 5]
    assert [at[key] for key in ("g", "j", "l", "m", "n", "n.o", "n.o.p")] == [
        7,
        12,
        14,
        15,
        16,
        16,
        17,
    ]
    assert [at[key] for key in ("q.r", "q.r.0", "q.r.0.s", "q.r.1", "q.r.1.t.u")] == [
        18,
        18,
        19,
        20,
        22,
    ]
    assert [at[key] for key in ("q.r.1.v.0.w", "x.y", "q.z")] == [24, 26, 27]


@pytest.mark.parametrize("text", ["= 1", "a = ", "a = [", "[", "a = {"])
def test_a_text_that_is_no_toml_ends_the_search(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        lines(text)


def test_lines_count_alike_with_line_ends_of_windows() -> None:
    assert lines(ODD.replace("\n", "\r\n")) == lines(ODD)


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.toml"), *ROOT.glob("*/*.toml"), *ROOT.glob("*/*/*.toml")], ids=str
)
def test_every_key_of_our_own_files_is_found(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(lines(text)) == paths_of(tomllib.loads(text))


KEYS = st.text("ab.-_ \"'#[]=é\\\n", min_size=1, max_size=4)
SCALARS = (
    st.integers(-(2**40), 2**40)
    | st.booleans()
    | st.text("ab\"'#[]{}=,.\\\n\t é", max_size=8)
    | st.datetimes()
    | st.floats(allow_nan=False)
)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3)
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.integers(0, 3))
def test_every_key_of_any_document_is_found_in_the_order_of_its_lines(
    document: dict[str, Any], blank: int
) -> None:
    text = "\n" * blank + tomlkit.dumps(document)
    found = lines(text)
    assert set(found) == paths_of(tomllib.loads(text))
    assert all(blank < line <= text.count("\n") + 1 for line in found.values())
    for path, line in found.items():
        if len(path) > 1:
            assert found[path[:-1]] <= line


SLIPS = """\
# a policy with many slips
default = "alow"
contact = "example.com"
colour = "red"

[fallback]
unknwon = "block"
private = "count"

[lists.partners]
pth = "partners.txt"

[credentials.staff]
header = "X-Staff"
sha256 = ["123"]

[[rules]]
name = "embargo"
action = "blok"
countries = [
  "CU",
  "UK",   # not a code
  "IR",
  "@sanctioned",
]
paths = ["v1"]

[[rules]]
action = "block"
countries = ["XX"]
lists = ["partnrs"]
unless = [{ countries = ["DE"] }, { countries = ["YY"], paths = ["/a//b"] }]

[[rules]]
name = "embargo"
action = "block"
paths = ["/admin/*"]

[[tests]]
country = "UK"
expect = "blocked"
"""
FOUND = [
    (2, "default: is 'alow': did you mean 'allow'?"),
    (3, "contact: 'example.com': write a link"),
    (4, "the policy: unknown key 'colour': known are default, "),
    (7, "fallback: unknown key 'unknwon': did you mean 'unknown'?"),
    (8, "fallback.private: is 'count': write one of allow, warn, block"),
    (10, "lists.partners.path: is missing"),
    (11, "lists.partners: unknown key 'pth': did you mean 'path'?"),
    (15, "credentials.staff.sha256[1]: is not a SHA-256 sum"),
    (19, "rules[1] (embargo).action: is 'blok': did you mean 'block'?"),
    (22, "rules[1] (embargo).countries[2]: 'UK' is not a country: did you mean GB?"),
    (24, "rules[1] (embargo).countries[4]: '@sanctioned' is not a group: there is none"),
    (26, "rules[1] (embargo).paths[1]: 'v1': a path begins with '/'"),
    (28, "rules[2].name: is missing"),
    (30, "rules[2].countries[1]: 'XX' is not a country"),
    (31, "rules[2].lists[1]: list 'partnrs' is not defined: did you mean 'partners'?"),
    (32, "rules[2].unless[2].countries[1]: 'YY' is not a country"),
    (32, "rules[2].unless[2].paths[1]: '/a//b': not in normal form"),
    (34, "rules[3] (embargo): has no word that says where from"),
    (35, "rules[3] (embargo).name: 'embargo' is the name of rule 1 too"),
    (40, "tests[1].country: is 'UK', not a country"),
    (41, "tests[1].expect: is 'blocked': did you mean 'block'?"),
]


def problems(text: str) -> list[tuple[int | None, str]]:
    return [tuple(problem) for problem in find(tomllib.loads(text), Path(), lines(text))]  # type: ignore[misc]


def test_every_slip_of_a_file_is_told_once_with_its_line() -> None:
    found = problems(SLIPS)
    assert [line for line, _ in found] == [line for line, _ in FOUND]
    for (_, message), (_, beginning) in zip(found, FOUND, strict=True):
        assert message.startswith(beginning)


FOLLOWING: dict[str, tuple[str, list[tuple[int | None, str]]]] = {
    "a list's table": (
        'lists = 1\ndefault = "allow"\n[[rules]]\nname = "a"\naction = "block"\nlists = ["x"]\n',
        [(1, "lists: is 1")],
    ),
    "the only word": (
        'default = "allow"\n[[rules]]\nname = "a"\naction = "block"\ncountries = ["UK"]\n',
        [(5, "rules[1] (a).countries[1]: 'UK'")],
    ),
    "the only fallback": (
        'default = "allow"\n[fallback]\nunknown = "no"\n',
        [(3, "fallback.unknown: is 'no'")],
    ),
    "the only date": (
        'default = "allow"\n[[rules]]\nname = "a"\nblock_from = 2027-01-01T00:00:00\ncountries = ["CU"]\n',
        [(4, "rules[1] (a).block_from: is 2027-01-01T00:00:00, a time without an offset")],
    ),
    "both dates": (
        'default = "allow"\n[[rules]]\nname = "a"\nwarn_from = 2026-12-01\nblock_from = 2027-01-01\ncountries = ["CU"]\n',
        [(4, "rules[1] (a).warn_from: is the date"), (5, "rules[1] (a).block_from: is the date")],
    ),
    "where a test comes from": (
        'default = "allow"\n[[tests]]\naddress = "junk"\nexpect = "allow"\n',
        [(3, "tests[1].address: is 'junk'")],
    ),
    "a wrong action beside a schedule": (
        'default = "allow"\n[[rules]]\nname = "a"\naction = "no"\nblock_from = 2026-01-01T00:00:00Z\npaths = ["/a"]\n',
        [(4, "rules[1] (a).action: is 'no'")],
    ),
    "a rule that is text": (
        'rules = ["a", "b"]\ndefault = "allow"\n',
        [(1, "rules[1]: is 'a', must be a table"), (1, "rules[2]: is 'b', must be a table")],
    ),
    "nothing at all": ("", [(None, "default: is missing")]),
    "a name with marks of our own": (
        'default = "allow"\n[[rules]]\nname = "a).b[1]: c ("\naction = "block"\ncountries = ["UK"]\n',
        [(5, "rules[1] (a).b[1]: c ().countries[1]: 'UK'")],
    ),
    "a key with a dot": (
        'default = "allow"\n[lists."a.b"]\npath = 1\n',
        [(3, "lists.a.b.path: is 1")],
    ),
    "what an account's word lacks": (
        'default = "allow"\n[[rules]]\nname = "a"\naction = "block"\ncountries = ["DE"]\naccount_countries = { within = "1d" }\n'
        'account_seen_in = { countries = ["UK", "CN"], categories = ["vpn:high"] }\n',
        [
            (6, "rules[1] (a).account_countries.more_than: is missing"),
            (7, "rules[1] (a).account_seen_in.within: is missing"),
            (7, "rules[1] (a).account_seen_in.countries[1]: 'UK'"),
            (7, "rules[1] (a).account_seen_in.categories[1]: is 'vpn:high'"),
        ],
    ),
    "what follows from a limit": (
        'default = "allow"\nstale_after = "soon"\nstale_action = "warn"\nwarn_after = "9d"\n'
        '[categories.tor]\nstale_after = 9\nstale_action = "ignore"\n[lists.a]\npath = "a"\nstale_after = ""\nstale_action = "keep"\n',
        [
            (2, "stale_after: is 'soon'"),
            (6, "categories.tor.stale_after: is 9"),
            (10, "lists.a.stale_after: is ''"),
        ],
    ),
    "a category's table": (
        'default = "allow"\n[categories]\ntor = 1\n[categories.vpn]\n',
        [(3, "categories.tor: is 1"), (4, "categories.vpn.stale_after: is missing")],
    ),
    "a test's rule": (
        'default = "allow"\n[[rules]]\nname = "a"\naction = "no"\ncountries = ["DE"]\n[[tests]]\ncountry = "DE"\nexpect = "block"\nrule = "b"\n',
        [(4, "rules[1] (a).action: is 'no'"), (9, "tests[1].rule: rule 'b' is not defined")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLLOWING)
def test_what_is_only_wrong_because_of_something_else_is_not_told(name: str) -> None:
    text, expected = FOLLOWING[name]
    found = problems(text)
    assert [line for line, _ in found] == [line for line, _ in expected]
    for (_, message), (_, beginning) in zip(found, expected, strict=True):
        assert message.startswith(beginning)


def test_a_valid_policy_has_no_problem() -> None:
    assert problems('default = "allow"\n') == []


def test_the_search_ends_where_nobody_reads_on() -> None:
    rules = "".join(f'[[rules]]\nname = "{n}"\naction = "x"\n' for n in range(MOST))
    assert len(problems(f'default = "allow"\n{rules}')) == MOST


WORDS = st.sampled_from(
    [
        "default",
        "rules",
        "lists",
        "name",
        "action",
        "countries",
        "unless",
        "path",
        "paths",
        "tests",
        "expect",
        "fallback",
    ]
)
ANY = st.recursive(
    st.sampled_from(["block", "allow", "DE", "UK", "/a", "a", "", 1, True]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(WORDS, below, max_size=4),
)


@settings(deadline=None)
@given(st.dictionaries(WORDS, ANY, max_size=5))
def test_the_first_problem_is_the_one_with_which_reading_stops(document: dict[str, Any]) -> None:
    try:
        Policy.from_mapping(document)
    except ConfigurationError as error:
        messages = [problem.message for problem in find(document, Path(), {})]
        assert str(error).removeprefix("policy: ") in messages
        assert len(messages) == len(set(messages))
    else:
        assert find(document, Path(), {}) == []


def test_loading_a_file_names_the_line_too(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    rule = '[[rules]]\nname = "r"\naction = "block"\ncountries = [\n"DE",\n"UK"\n]\n'
    path.write_text(rule, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"^{re.escape(str(path))}: default: is missing"):
        Policy.load(path)
    path.write_text(f'default = "allow"\n{rule}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"^{re.escape(str(path))}:7: rules\[1\] \(r\)"):
        Policy.load(path)


def test_a_policy_is_read_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"default": "never", "mode": "never", "contact": "never"}
    assert len(find(document, Path(), {})) == 3
    monkeypatch.setattr(room, "_MOST_READINGS", 2)
    assert len(find(document, Path(), {})) == 2


def test_what_has_no_place_cannot_be_put_out_of_the_way() -> None:
    assert room._mended({"default": "never"}, (), None) is False
