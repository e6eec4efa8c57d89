"""The documentation is true: its code runs, its output is what comes out, its tables are complete.

The ``python`` and ``pycon`` blocks of one second-level section of a page share a namespace and run in
order. All blocks run in a folder that holds the files which the page shows (a block whose first line
is ``# NAME``) and those that its reader is told to bring.
"""

from __future__ import annotations

import asyncio
import doctest
import json
import logging
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from benchmarks import report
from georestrict import (
    Category,
    Code,
    Database,
    Decision,
    Engine,
    Policy,
    Reason,
)
from georestrict.address import AddressReason
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.layers import LAYERS
from georestrict.manifest import FORMATS, Manifest, document, entry, gates
from georestrict.policy import Action, Fallback, reader
from georestrict.policy.cases import CASE_KEYS
from georestrict.policy.responses import FORM_KEYS, TEXT_KEYS, ResponseType
from georestrict.policy.words import WHERE
from georestrict.response import blocked
from georestrict.sources import FOLDER_FORMATS, feeds
from georestrict.testing import tiny_database
from tests import mmdb

# What pages show does not depend on the core: what both answer is compared elsewhere.
pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
POLICY = ROOT / "docs/policy.md"
TUNNELS = ROOT / "docs/tunnels.md"
REPLAY = ROOT / "docs/replay.md"
DATA = ROOT / "docs/data.md"
OPERATING = ROOT / "docs/operating.md"
EVENTS = ROOT / "docs/events.md"
# the pages whose blocks run here
RUN = [
    README,
    POLICY,
    TUNNELS,
    DATA,
    OPERATING,
    ROOT / "docs/concepts.md",
    EVENTS,
    ROOT / "docs/metrics.md",
    ROOT / "docs/privacy.md",
    ROOT / "docs/quickstart.md",
    REPLAY,
]
RESPONSES = ROOT / "docs/responses.md"
PAGES = sorted(
    {
        page
        for pattern in ("*.md", "*/*.md", "docs/**/*.md", "examples/**/*.md")
        for page in ROOT.glob(pattern)
        if not page.relative_to(ROOT).parts[0].startswith(".")
    }
)
PUBLIC_MODULES = [
    "accounts.store",
    "address",
    "address.strategies",
    "location",
    "asgi",
    "wsgi",
    "database",
    "engine",
    "healthcheck",
    "observe.event",
    "observe.options",
    "observe.route",
    "policy.values",
    *(f"testing.{name}" for name in ("asserting", "clock", "tiny", "world")),
]
# What the pages tell their reader to bring: a file of Tor's, and lists.
BROUGHT = {
    "access.log": (
        '81.2.69.142 - - [23/Nov/2026:04:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8.11"\n'
        '81.2.69.142 - ann [23/Nov/2026:04:00:01 +0000] "GET /admin/users HTTP/1.1" 200 512 "-" "curl/8.11"\n'
        '175.16.199.1 - bob [23/Nov/2026:04:00:02 +0000] "GET /users/17 HTTP/1.1" 200 512 "-" "curl/8.11"\n'
        '175.16.199.1 - bob [23/Nov/2026:05:00:03 +0000] "POST /users/18 HTTP/1.1" 201 64 "-" "curl/8.11"\n'
        '10.0.0.7 - - [23/Nov/2026:05:00:04 +0000] "GET /health HTTP/1.1" 200 2 "-" "probe"\n'
        '2001:218::1 - carol [23/Nov/2026:05:00:05 +0000] "GET /users/19 HTTP/1.1" 200 512 "-" "curl/8.11"\n'
    ),
    "geoip": "1359101952,1359118335,GB\n",
    "our-cloud.txt": "81.2.69.128/26\n",
    "abuse.txt": "",
    "partners.txt": "198.51.100.0/24\n",
    "ip-ranges.json": json.dumps(
        {
            "prefixes": [
                {"ip_prefix": "192.0.2.0/24", "service": "EC2"},
                {"ip_prefix": "198.51.100.0/24", "service": "CLOUDFRONT"},
            ],
            "ipv6_prefixes": [],
        }
    ),
    "egress-ip-ranges.csv": "81.2.69.0/27,DE,DE-BE,Berlin,\n",
}
# The page about the policy leaves these keys out where they say nothing new.
LEFT_OUT = 'default = "allow"\ncontact = "https://example.com/contact"\n'
# Doors and servers: `make test` runs this test, pip needs a registry, uvicorn does not end.
NOT_RUN = ("make ", "pip ", "uvicorn ")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    section: str
    line: int  #: of the fence
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it shows, if it does."""
        shown = re.match(r"# ([\w.-]+\.\w+)\n", self.text)
        return shown[1] if shown else None

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.line}"


def read_blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    section, opened, held = "", None, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.fullmatch(r"```(\w*)", line)
        if opened is not None and fence:
            yield Block(page, opened[0], section, opened[1], "".join(f"{text}\n" for text in held))
            opened, held = None, []
        elif fence:
            opened = (fence[1], number)
        elif opened is not None:
            held.append(line)
        elif line.startswith("## "):
            section = line.removeprefix("## ")
    assert opened is None, f"{page.name}: the block of line {opened} does not end"


BLOCKS = [block for page in RUN for block in read_blocks(page)]
CODE_SECTIONS = list(
    dict.fromkeys(
        (block.page, block.section) for block in BLOCKS if block.language in ("python", "pycon")
    )
)


def blocks_of(*languages: str) -> list[Block]:
    """The blocks in these languages; an empty list would mean that nothing is tested."""
    found = [block for block in BLOCKS if block.language in languages]
    assert found, f"no page has a block in {languages}"
    return found


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield a console block's commands, each with the output that is shown below it."""
    for piece in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = piece.partition("\n")
        yield command, output


CONSOLES = blocks_of("console")
# A section's commands build on each other, so they run in order, in one test.
CONSOLE_SECTIONS = list(dict.fromkeys((block.page, block.section) for block in CONSOLES))


def read_table(page: Path, heading: str) -> list[dict[str, str]]:
    """The rows of the first table below a heading, by column."""
    text = "\n" + page.read_text(encoding="utf-8")
    assert text.count(f"\n{heading}\n") == 1, f"{page.name}: {heading!r} must be there once"
    lines = iter(text.partition(f"\n{heading}\n")[2].splitlines())
    table: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table or line.startswith("#"):
            break
    assert len(table) > 2, f"{page.name}: no table below {heading!r}"
    return [dict(zip(table[0], row, strict=True)) for row in table[2:]]


def words(rows: list[dict[str, str]]) -> list[str]:
    """The code spans in the first column of a table."""
    first = [next(iter(row.values())) for row in rows]
    return [cell.strip("`") for cell in first]


def matches(shown: str, output: str) -> bool:
    """Whether output is what is shown; ``…`` stands for anything within a line."""
    pattern = "[^\n]*".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, output) is not None


def run_code(block: Block, names: dict[str, Any]) -> dict[str, Any]:
    """Run a ``python`` or ``pycon`` block in a namespace; return the namespace after it."""
    if block.language == "python":
        code = compile("\n" * block.line + block.text, str(block.page), "exec", dont_inherit=True)
        exec(code, names)
        return names
    test = doctest.DocTestParser().get_doctest(
        block.text, names, str(block), str(block.page), block.line
    )
    assert test.examples
    told: list[str] = []
    failed = (
        doctest.DocTestRunner(verbose=False).run(test, out=told.append, clear_globs=False).failed
    )
    assert not failed, "".join(told)
    return test.globs


def ask(app: Any, address: str) -> tuple[str, str, str]:
    """Send ``GET /`` to an ASGI app from an address; return status, header lines and body."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": (address, 50000),
        "server": ("testserver", 80),
    }
    asyncio.run(app(scope, receive, send))
    headers = "".join(f"{name.decode()}: {value.decode()}\n" for name, value in sent[0]["headers"])
    body = b"".join(message["body"] for message in sent[1:])
    return str(sent[0]["status"]), headers, body.decode()


@pytest.fixture(scope="module")
def reader_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """For each page a folder with the files that it shows and asks for."""
    folders = {page: tmp_path_factory.mktemp(page.stem) for page in RUN}
    for page, folder in folders.items():
        shown = {block.file: block.text for block in BLOCKS if block.file and block.page == page}
        for name, text in (BROUGHT | shown).items():
            (folder / str(name)).write_text(text, encoding="utf-8")
    bought = [("2.125.160.216/29", {"is_anonymous": True, "is_anonymous_vpn": True})]
    mmdb.write(folders[TUNNELS] / "anonymous.mmdb", bought, kind="GeoIP2-Anonymous-IP")
    mmdb.write(folders[README] / "GeoLite2-Country.mmdb", [("81.2.69.0/24", mmdb.maxmind("GB"))])
    return folders


@pytest.fixture
def in_reader_folder(
    request: pytest.FixtureRequest,
    reader_folders: dict[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The folder of the page that a test is about: the README, unless it names another."""
    asked = getattr(request.node, "callspec", None)
    page = asked.params.get("page", README) if asked else README
    monkeypatch.chdir(reader_folders[page])
    return reader_folders[page]


@pytest.mark.parametrize(
    ("page", "section"), CODE_SECTIONS, ids=lambda part: getattr(part, "stem", part)
)
@pytest.mark.usefixtures("in_reader_folder")
def test_the_code_blocks_of_a_section_run_and_give_what_they_show(page: Path, section: str) -> None:
    names: dict[str, Any] = {"__name__": "reader"}
    for block in blocks_of("python", "pycon"):
        if (block.page, block.section) == (page, section):
            names = run_code(block, names)


@pytest.mark.parametrize(
    ("page", "block"), [(block.page, block) for block in blocks_of("toml")], ids=str
)
def test_a_toml_block_is_a_policy_or_a_manifest_that_loads(
    page: Path, block: Block, in_reader_folder: Path
) -> None:
    text = block.text
    if page == POLICY and not re.search("^default", text, re.MULTILINE):
        text = LEFT_OUT + text
    path = in_reader_folder / f"block-{block.line}.toml"
    path.write_text(text, encoding="utf-8")
    if "[[source]]" in text:
        assert Manifest.load(path).compile()
    else:
        data = tiny_database({"81.2.69.0/24": "GB"}, {"81.2.69.200": "tor:high:Tor"})
        engine = Engine(path, database=data)
        assert engine.policy.contact, "an example without a contact would teach the wrong thing"
        assert engine.policy.rules


@pytest.mark.parametrize(
    ("page", "section"), CONSOLE_SECTIONS, ids=lambda part: getattr(part, "stem", part)
)
def test_the_commands_of_a_section_print_what_their_page_shows(
    page: Path, section: str, in_reader_folder: Path
) -> None:
    folder = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": os.pathsep.join([folder, os.environ["PATH"]]),
        "PYTHONIOENCODING": "utf-8",
    }
    blocks = [block for block in CONSOLES if (block.page, block.section) == (page, section)]
    for command, shown in (pair for block in blocks for pair in commands(block)):
        if command.startswith(NOT_RUN):
            assert not shown, "nobody compares this output"
            continue
        done = subprocess.run(
            command,
            shell=True,
            cwd=in_reader_folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert matches(shown, done.stdout), f"{command}\nshown:\n{shown}\nprinted:\n{done.stdout}"


@pytest.mark.usefixtures("in_reader_folder")
def test_the_refusal_and_its_log_line_are_those_of_the_asgi_example(
    caplog: pytest.LogCaptureFixture,
) -> None:
    section = "What a blocked client gets"
    (response,) = [block for block in blocks_of("http") if block.section == section]
    (log,) = blocks_of("log")
    (example,) = [block for block in blocks_of("python") if block.section == "ASGI"]
    app = run_code(example, {"__name__": "readme"})["app"]
    caplog.clear()  # of what is said at start
    with caplog.at_level(logging.INFO, logger="georestrict"):
        status, headers, body = ask(app, "175.45.176.1")
    assert response.text == f"HTTP/1.1 {status} Forbidden\n{headers}\n{body}\n"
    assert caplog.messages == [log.text.rstrip("\n")]


@pytest.mark.usefixtures("in_reader_folder")
def test_the_warning_header_is_that_of_the_policy_file() -> None:
    (example,) = [block for block in blocks_of("python") if block.section == "ASGI"]
    guarded = run_code(example, {"__name__": "readme"})["app"].app
    (warning,) = [block for block in blocks_of("http") if block.section == "Warnings"]
    status, headers, body = ask(GeoRestrictMiddleware(guarded, policy="policy.toml"), "1.64.0.1")
    name, _, value = warning.text.partition(": ")
    assert (status, body) == ("200", "hello")
    assert f"{name.lower()}: {value}" in headers.splitlines(keepends=True)


def test_the_tables_list_every_reason_and_code_in_order() -> None:
    decided = read_table(README, "### `Decision.reason`: what decided")
    assert words(decided) == [str(reason) for reason in Reason]
    found = read_table(README, "### `ClientAddress.reason`: how the client was found")
    assert words(found) == [str(reason) for reason in AddressReason]
    assert [row["reason"].strip("`") for row in found if row["resolved"] == "yes"] == [
        "peer",
        "forwarded",
    ]
    told = read_table(README, "### Error codes: what a client is told")
    assert words(told) == [str(code) for code in Code]


@pytest.mark.parametrize("code", Code)
def test_the_status_of_each_error_code_is_the_one_in_the_table(code: Code) -> None:
    rows = read_table(README, "### Error codes: what a client is told")
    (row,) = [row for row in rows if row["code"] == f"`{code}`"]
    decision = Decision(action=Action.BLOCK, reason=Reason.DEFAULT, code=code)
    response = blocked(decision, Policy.short(block=["CU"]))
    assert row["status"] == str(response.status)
    assert ("Retry-After" in row["cause"]) == ("retry-after" in dict(response.headers))


@pytest.mark.parametrize("default", ["allow", "block"])
def test_the_fallback_table_is_what_a_policy_does_by_itself(default: str) -> None:
    rows = read_table(POLICY, "## Where there is no country")
    assert words(rows) == [str(case) for case in Fallback]
    policy = Policy.from_mapping({"default": default})
    assert [row[f'`default = "{default}"`'] for row in rows] == [
        policy.fallback[case] for case in Fallback
    ]


def test_the_fallback_table_names_the_codes_that_blocked_clients_get() -> None:
    rows = read_table(POLICY, "## Where there is no country")
    policy = {"default": "block", "contact": "https://example.com/"}
    engine = Engine(policy, database=tiny_database({}))
    without = Engine(policy, database=Database.missing())
    asked = {
        "unknown": (engine, "81.2.69.142"),
        "private": (engine, "10.0.0.1"),
        "unresolved": (engine, None),
        "no_data": (without, "81.2.69.142"),
    }
    for case, row in zip(words(rows), rows, strict=True):
        if case in asked:
            decision = asked[case][0].decide(asked[case][1])
            assert (decision.reason, decision.code) == (
                case,
                row["a blocked client gets"].rpartition(", ")[2].strip("`"),
            )


def test_the_tables_list_every_key_of_a_policy_and_every_word_of_a_rule() -> None:
    keys = [
        span.strip("[]").removesuffix(".NAME")
        for span in words(read_table(POLICY, "## Keys of the file"))
    ]
    assert keys == list(reader.POLICY_KEYS)
    section = POLICY.read_text(encoding="utf-8").partition("\n## Rules\n")[2].partition("\n### ")[0]
    spans = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert spans == list(reader.RULE_KEYS)
    assert spans[6 : 6 + len(WHERE)] == list(WHERE)
    assert "one of the first seven words" in section and len(WHERE) == 7
    assert sorted(words(read_table(POLICY, "### Network categories"))) == sorted(Category)


def test_the_table_of_formats_lists_every_format_and_what_can_be_selected_by() -> None:
    rows = read_table(DATA, "## Formats of files")
    assert sorted(words(rows)) == sorted(FORMATS)
    for row in rows:
        fields = feeds.FIELDS.get(row["format"].strip("`"), ())
        assert row["what can be selected by"] == ", ".join(f"`{field}`" for field in fields)


def test_the_page_about_data_lists_every_part_and_key_of_a_manifest_and_every_layer() -> None:
    assert words(read_table(DATA, "## The manifest")) == [*document.KEYS]
    keys = [key for key in entry.KEYS if key not in entry.RECIPE_KEYS]
    assert sorted(words(read_table(DATA, "### Keys of a source"))) == sorted(keys)
    needed = [row["key"] for row in read_table(DATA, "### Keys of a source") if row["needed"]]
    assert [key.strip("`") for key in needed] == [*entry.NEEDED]
    assert words(read_table(DATA, "### Keys of the gates")) == [*gates.KEYS]
    assert words(read_table(DATA, "### Layers")) == [*LAYERS]
    (sentence,) = [
        line
        for line in DATA.read_text(encoding="utf-8").split("\n\n")
        if "may have several files" in line
    ]
    named = re.findall("`([a-z-]+)`", sentence.partition("The formats")[2])
    assert named == [*FOLDER_FORMATS]


def test_the_table_of_cases_lists_every_key() -> None:
    rows = read_table(POLICY, "## Tests of a policy")
    named = [key for row in rows for key in re.findall("`([a-z_]+)`", row["key"])]
    assert sorted(named) == sorted(CASE_KEYS)


def test_the_words_that_the_readme_names_are_those_of_a_rule() -> None:
    rows = read_table(README, "### What a rule can say")
    named = {word for row in rows for word in re.findall("`([a-z_]+)`", row["with these words"])}
    assert named == set(reader.RULE_KEYS) - {"name"}


def test_the_policies_and_the_code_of_the_page_about_responses_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "responses"}
    ran = []
    for block in read_blocks(RESPONSES):
        ran.append(block.language)
        if block.language == "toml":
            (tmp_path / "ours.toml").write_text(block.text, encoding="utf-8")
            assert Policy.load("ours.toml").contact
        else:
            names = run_code(block, names)
    assert ran == ["toml", "toml", "python", "toml", "python"]
    assert ask(names["guarded"], "152.206.0.1")[0] == "403"


def test_the_page_about_responses_lists_every_type_key_and_word() -> None:
    assert words(read_table(RESPONSES, "### Types of response")) == [*ResponseType]
    assert words(read_table(RESPONSES, "### Keys of a response")) == [*FORM_KEYS]
    assert words(read_table(RESPONSES, "### Words of a text")) == [*TEXT_KEYS]


@pytest.mark.parametrize("name", PUBLIC_MODULES)
@pytest.mark.usefixtures("in_reader_folder")
def test_the_examples_in_the_docstrings_of_a_public_module_run(name: str) -> None:
    result = doctest.testmod(import_module(f"georestrict.{name}"))
    assert result.attempted, "no example was found"
    assert not result.failed


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{page.name}: {target} does not exist"
        assert linked.is_relative_to(ROOT.resolve()), (
            f"{page.name}: {target} lies outside the repository"
        )
        assert not anchor or anchor in anchors(linked), f"{page.name}: {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_every_door_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    rooms = r"`((?:georestrict|tests|data|examples|benchmarks|docs)/[\w./-]*)"
    for path in re.findall(rooms, text):
        assert (ROOT / path).exists(), f"{page.name}: {path} does not exist"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    doors = re.findall(r"(?:`|^\$ |^    |=false )make ([a-z-]+)", text, flags=re.MULTILINE)
    for door in doors:
        assert re.search(rf"^{door}:", makefile, flags=re.MULTILINE), (
            f"{page.name}: no 'make {door}'"
        )


def test_the_example_app_that_the_readme_starts_can_be_imported() -> None:
    every = [command for block in CONSOLES for command, _ in commands(block)]
    (command,) = [command for command in every if command.startswith("uvicorn ")]
    module, _, name = command.split()[1].partition(":")
    assert "--no-proxy-headers" in command
    code = f"from {module} import {name}; assert callable({name})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_dates_licences_and_checksums_of_the_data_are_those_of_the_manifest() -> None:
    sources = tomllib.loads((ROOT / "data/sources.toml").read_text(encoding="utf-8"))["source"]
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    told = read_table(README, "## The data")
    rows = read_table(ROOT / "data/README.md", "# The default data")
    for source, short, row in zip(sources, told, rows, strict=True):
        assert short["date"] == row["date"] == str(source["date"])
        assert row["SHA-256"] == f"`{source['sha256']}`"
        assert row["file"] == f"[{source['path']}]({source['path']})"
        assert f"Date:         {source['date']}\n" in notice
        assert f"data/{source['path']}\n" in notice


def test_the_image_holds_the_data_that_is_documented() -> None:
    rows = read_table(ROOT / "data/README.md", "# The default data")
    for source, row in zip(Database.open().metadata.sources, rows, strict=True):
        assert str(source.date) == row["date"], (
            "the image was built from other data: build it again"
        )
        assert f"{source.rows[0]:,} IPv4 and {source.rows[1]:,} IPv6" in row["what"]


@pytest.mark.parametrize("page", [report.README, report.METHOD], ids=["README", "method"])
def test_the_figures_of_a_page_are_those_of_the_result_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fresh = report.spliced(page, text, report.read())
    assert text == fresh, "say 'make bench QUESTION=report'"


def texts_of_chart(name: str) -> list[str]:
    chart = ElementTree.parse(report.CHARTS[name])
    return [text.text or "" for text in chart.iter("{http://www.w3.org/2000/svg}text")]


def test_the_table_of_targets_has_every_target_of_every_result_file() -> None:
    found = report.read()
    told = [target["what"] for target in report.targets(found)]
    kept = [one["what"] for results in found.values() for one in results.get("targets", ())]
    assert sorted(told) == sorted(kept)
    assert len(told) == len({*told}) > 15


def test_the_chart_of_the_middlewares_shows_the_result_files() -> None:
    found, shown = report.read(), texts_of_chart("middleware")
    for name in ("middleware", "wsgi"):
        for middleware, measured in found[name]["added"].items():
            assert middleware in shown
            assert report.label(measured["added_ns"]) in shown


def test_the_chart_of_the_growths_shows_the_result_file() -> None:
    shown = texts_of_chart("scale")
    for title, (unit, lines) in report.growth(report.read()["scale"]).items():
        assert title in shown and unit in shown
        for name, values in lines.items():
            assert f"{name}: {values[-1]:,.4g}" in shown


def test_the_chart_of_the_lookups_shows_the_result_file() -> None:
    lookups, shown = report.read()["lookup"], texts_of_chart("lookup")
    for family in report.FAMILIES:
        for name in report.candidates(lookups, family, "per range"):
            assert name in shown
            assert report.label(report.net_ns(lookups, family, "per range", name)) in shown
