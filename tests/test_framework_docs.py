"""The page about frameworks: its short forms block, warn and allow, and its tables are complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from flask import Flask
from starlette.testclient import TestClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from georestrict import Database, wsgi
from georestrict.django import checks
from georestrict.policy import Policy
from tests import framework_examples as examples
from tests.test_docs import Block, read_blocks, read_table, run_code, words

pytestmark = pytest.mark.once

PAGE = examples.ROOT / "docs/frameworks.md"
BLOCKS = [*read_blocks(PAGE)]
DJANGO = "Django"
SECTIONS = list(
    dict.fromkeys(
        block.section for block in BLOCKS if block.language == "python" and block.section != DJANGO
    )
)
PROXY = "10.0.3.7"
KP, VE, SE, GB = "175.45.176.1", "186.88.0.1", "89.160.20.112", "81.2.69.142"
CN = "175.16.199.1"
BLOCK_CN = {
    "default": "allow",
    "contact": "https://example.com/",
    "rules": [{"name": "closed", "action": "block", "countries": ["CN"]}],
}


def blocks(section: str, language: str = "python") -> list[Block]:
    return [block for block in BLOCKS if (block.section, block.language) == (section, language)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader, with every file that the page shows."""
    for block in BLOCKS:
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(app: Any, address: str, path: str = "/") -> tuple[int, bool, str]:
    """Ask through the proxy; return the status, whether there is a warning, and the text."""
    headers = {"X-Forwarded-For": address}
    answer: Any
    if isinstance(app, Flask):
        transport = httpx.WSGITransport(app, remote_addr=PROXY)
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            answer = client.get(path, headers=headers)
    else:
        with TestClient(app, client=(PROXY, 1)) as visitor:
            answer = visitor.get(path, headers=headers)
    return answer.status_code, "georestrict-warning" in answer.headers, answer.text


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("section", SECTIONS)
def test_the_app_of_a_section_blocks_warns_and_allows(
    section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("reader")  # frameworks look the types of endpoints up in their module
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = module.__dict__
    for block in blocks(section):
        names = run_code(block, names)
    app = names["app"]
    assert ask(app, KP)[0] == 403
    assert ask(app, KP, "/nothing")[0] == 403
    assert ask(app, VE)[:2] == (200, True)
    status, warned, text = ask(app, SE)
    assert (status, warned) == (200, False)
    if "country" in text:
        assert '"SE"' in text
    below = {"Mounted apps": "/club/hall", "Single routes": "/club"}.get(section)
    if below is not None:
        assert [ask(app, address, below)[0] for address in (GB, SE, KP)] == [200, 403, 403]


def test_an_app_that_werkzeug_mounts_may_have_a_guard_of_its_own(tiny: Database) -> None:
    def club(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"club"]

    def only_british(path: str) -> Any:
        rule = {"name": "here", "action": "allow", "countries": ["GB"], "paths": [path]}
        policy = {"default": "block", "contact": "https://example.com/", "rules": [rule]}
        return wsgi.GeoRestrictMiddleware(club, policy=policy, database=tiny)

    site = DispatcherMiddleware(
        club, {"/club": only_british("/hall"), "/x": only_british("/x/hall")}
    )
    app = wsgi.GeoRestrictMiddleware(site, policy=BLOCK_CN, database=tiny)

    def status(address: str, path: str) -> int:
        transport = httpx.WSGITransport(app, remote_addr=address)
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            return client.get(path).status_code

    assert [status(address, "/club/hall") for address in (GB, SE, CN)] == [200, 403, 403]
    assert [status(address, "/") for address in (GB, SE, CN)] == [200, 200, 403]
    assert status(GB, "/x/hall") == 403  # it sees the path below the mount


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a Django project in a process of its own."""
    environment = examples.environment() | {"DJANGO_SETTINGS_MODULE": "settings"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(folder), str(examples.ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_project_of_the_section_about_django_blocks_warns_and_allows(folder: Path) -> None:
    told = """
import json
import httpx
from starlette.testclient import TestClient
import asgi, wsgi

for address in ("175.45.176.1", "186.88.0.1", "89.160.20.112"):
    headers = {"X-Forwarded-For": address}
    asked = TestClient(asgi.application, client=("10.0.3.7", 1)).get("/", headers=headers)
    with httpx.Client(transport=httpx.WSGITransport(wsgi.application, remote_addr="10.0.3.7")) as client:
        for answer in (asked, client.get("http://localhost/", headers=headers)):
            print(answer.status_code, "georestrict-warning" in answer.headers, answer.json()["country"])
"""
    done = run(folder, "-c", told)
    assert done.returncode == 0, done.stderr
    blocked, warned, allowed = "403 False KP", "200 True VE", "200 False SE"
    assert done.stdout.splitlines() == [blocked, blocked, warned, warned, allowed, allowed]


def test_the_error_that_the_page_shows_is_what_the_check_says(folder: Path) -> None:
    (shown,) = blocks(DJANGO, "text")
    policy = folder / "policy.toml"
    policy.write_text(policy.read_text().replace('"CU"', '"UK"'))
    done = run(folder, "-m", "django", "check")
    assert done.returncode == 1
    wanted = shown.text.replace("/srv/shop/policy.toml", str(policy.resolve()))
    assert wanted.splitlines()[:4] == done.stderr.splitlines()[:4]


def test_the_page_lists_every_check() -> None:
    rows = read_table(PAGE, "### What `manage.py check` tells")
    source = Path(str(checks.__file__)).read_text(encoding="utf-8")
    assert [word.removeprefix("georestrict.") for word in words(rows)] == re.findall(
        r"^    ([EW]00\d)  ", source, flags=re.MULTILINE
    )


def test_the_page_lists_every_example_with_its_server() -> None:
    rows = read_table(PAGE, "# Frameworks")
    named = {}
    for row in rows:
        found = re.fullmatch(r"\[(\w+)\]\(\.\./examples/frameworks/\1/README\.md\)", row["example"])
        assert found is not None
        named[found[1]] = row["served there by"]
    assert named == {name: examples.server_of(name)[0] for name in examples.NAMES}


def test_the_policy_of_the_page_loads(folder: Path) -> None:
    assert Policy.load(folder / "policy.toml").contact
