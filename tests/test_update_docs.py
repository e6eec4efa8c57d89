"""docs/updating.md is true: its commands print what it shows, against a server that plays its part."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from georestrict.cli import main
from georestrict.manifest import Manifest
from georestrict.renewal import plan
from georestrict.update import catalogue
from georestrict.update.orders import FETCH_KEYS
from tests.misbehaving import Server, conditional
from tests.test_docs import ROOT, commands, matches, read_blocks, read_table, words

pytestmark = pytest.mark.once

PAGE = ROOT / "docs/updating.md"
HOST = "https://data.example.com"
ROWS = b"1359101952,1359118335,GB\n2937112320,2937112575,CN\n16777216,16777471,AU\n50331648,50331903,US\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.on(
            "/machines.txt",
            conditional(b"81.2.69.128/26\n", '"1"', "Sat, 21 Nov 2026 08:00:00 GMT"),
        )
        has_countries(running, ROWS, 20)
        yield running


def has_countries(server: Server, rows: bytes, day: int) -> None:
    packed = gzip.compress(rows, mtime=0)
    said = conditional(packed, f'"{day}"', f"Fri, {day} Nov 2026 08:00:00 GMT")
    server.on("/countries.txt.gz", said)
    total = f"{hashlib.sha256(packed).hexdigest()}  countries.txt.gz\n"
    server.on("/countries.txt.gz.sha256", conditional(total.encode(), f'"{day}"'))


def test_the_commands_of_the_page_print_what_it_shows(server: Server, tmp_path: Path) -> None:
    address = server.url("")
    manifest, _ = [block for block in read_blocks(PAGE) if block.language == "toml"]
    (tmp_path / str(manifest.file)).write_text(manifest.text.replace(HOST, address))
    program = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": os.pathsep.join([program, os.environ["PATH"]]),
        "PYTHONIOENCODING": "utf-8",
        "EXAMPLE_TOKEN": "abc",
        "NO_PROXY": "127.0.0.1",
    }
    sections = []
    for block in read_blocks(PAGE):
        if block.language != "console":
            continue
        sections.append(block.section)
        if block.section == "What is refused":
            has_countries(server, ROWS[: ROWS.index(b"16777216")], 22)
        for command, shown in commands(block):
            done = subprocess.run(
                command,
                shell=True,
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                check=False,
            )
            told = done.stdout.replace(address, HOST).replace("127.0.0.1", "data.example.com")
            refused = "the new image was not published" in shown
            assert matches(shown, told), f"{command}\nshown:\n{shown}\nprinted:\n{told}"
            assert done.returncode == (1 if refused else 0), told
    assert sections == ["A run", "What is refused", "Going back"]


def test_every_manifest_of_the_page_loads(tmp_path: Path) -> None:
    blocks = [block for block in read_blocks(PAGE) if block.language == "toml"]
    for block in blocks:
        path = tmp_path / str(block.file)
        path.write_text(block.text)
        assert len(plan(path)) == len(Manifest.load(path).sources)
    assert len(blocks) == 2


def test_the_table_of_names_is_the_catalogue() -> None:
    assert words(read_table(PAGE, "### Names")) == [*catalogue.NAMES]


def test_the_table_of_keys_lists_every_key() -> None:
    named = words(read_table(PAGE, "## What a source may say"))
    assert sorted(named) == sorted(FETCH_KEYS)


def test_the_table_of_options_lists_every_option() -> None:
    rows = read_table(PAGE, "### Options")
    named = [re.findall(r"`(--?[a-z-]+)`", row["option"]) for row in rows]
    options = [
        [*parameter.opts]
        for parameter in main.commands["update"].params
        if parameter.param_type_name == "option"
    ]
    assert named == options
