"""Every example of a framework does what its README says: its table, its commands, its server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from georestrict import Database
from tests import framework_examples as examples
from tests.framework_examples import ROOT, check, check_who, claims

pytestmark = pytest.mark.once

NAMES = examples.NAMES
IN_PROCESS = [name for name in NAMES if not name.startswith("django")]


def test_there_is_an_example_of_each_framework() -> None:
    assert NAMES == [
        "django_asgi",
        "django_wsgi",
        "fastapi",
        "flask",
        "litestar",
        "mounted",
        "per_route",
        "quart",
        "starlette",
    ]


@pytest.mark.parametrize("name", IN_PROCESS)
def test_an_app_answers_each_client_as_its_readme_says(name: str) -> None:
    app = examples.loaded(f"example_of_{name}", examples.FOLDER / name / "app.py").app
    examples.check_all(name, app)


@pytest.mark.slow  # tests/test_django.py has the quick ones
@pytest.mark.parametrize("name", ["django_asgi", "django_wsgi"])
def test_a_django_project_answers_each_client_as_its_readme_says(name: str) -> None:
    # In a process of its own, since a process has one project.
    subprocess.run([sys.executable, "-m", "tests.framework_examples", name], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_tells_of_clients_that_are_let_in_warned_and_blocked(
    name: str, database: Database
) -> None:
    told = claims(name)
    for claim in told:
        check_who(claim, database)
    assert {200, 403} <= {claim.status for claim in told}
    assert any("GeoRestrict-Warning" in claim.has for claim in told)
    assert any("," in claim.forwarded and claim.status == 403 for claim in told), "nobody pretends"
    assert any(not claim.forwarded and claim.status == 403 for claim in told), "all can be told"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_server_of_a_readme_answers_as_it_says_and_its_commands_print_what_it_shows(
    name: str, tmp_path: Path
) -> None:
    folder = examples.copied(name, tmp_path)
    command = examples.server_of(name)
    with examples.serving(folder, command) as port:
        for claim in claims(name):
            check(claim, examples.asked(claim, port))
        for line, shown in examples.consoles(name):
            if line.split()[0] in ("pip", command[0]):
                assert not shown
                continue
            examples.run(line, shown, folder, port)
