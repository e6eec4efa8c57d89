"""``make test`` itself: what a missing program leaves out is named, and apt is asked for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import run
from tests.run import Beside, beside, install_missing, steps
from tests.waiting import wait_until

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]

TESTS = """
import pytest

@pytest.mark.needs("no-such-program")
@pytest.mark.parametrize("number", [1, 2])
def test_needs_what_is_not_there(number):
    raise AssertionError

@pytest.mark.needs("sh")
def test_needs_what_is_there():
    pass
"""


def test_what_a_missing_program_leaves_out_is_named_and_the_rest_runs(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    named = tmp_path / "not_run"
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", "pyproject.toml"]
    environment = {"PYTHONPATH": str(ROOT), "GEORESTRICT_NOT_RUN": str(named)}
    done = subprocess.run(
        [*command, str(tmp_path / "test_it.py")],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 2 deselected" in done.stdout
    (line,) = named.read_text().splitlines()
    assert line.startswith("2 of ") and line.endswith("test_it.py (needs no-such-program)")
    assert f"NOT RUN: {line}\n" in done.stdout


def test_root_asks_apt_for_a_missing_program_and_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $@" >> {asked}\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    install_missing({"no-such-program": "its-package", "apt-get": "apt"})
    if os.geteuid() == 0:
        options = "--yes --quiet --no-install-recommends"
        assert asked.read_text() == f"noninteractive install {options} its-package\n"
    else:
        assert not asked.exists()


def test_the_soak_runs_beside_the_long_checks_and_only_there() -> None:
    [(name, command)] = beside("--all")
    assert beside("--slow") == beside("--all")
    assert beside(None) == []
    assert name.startswith("soak, 600 s")
    assert command[1:4] == ["-m", "tests.soak", "600"]
    assert "long checks" in [step for step, *_ in steps("--slow")]


def test_what_runs_beside_is_joined_and_its_failure_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for code in (0, 3):
        step = Beside("it", [sys.executable, "-c", f"import sys; print('said'); sys.exit({code})"])
        assert step.join() == code
        step.end()
    assert capsys.readouterr().out == "== it: passed\nsaid\n== it: FAILED\nsaid\n"


def test_a_failure_beside_the_long_checks_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "install_missing", lambda programs: None)
    monkeypatch.setattr(run, "steps", lambda wanted: [(run.LONG, [sys.executable, "-c", ""], {})])
    monkeypatch.setattr(sys, "argv", ["run", "--slow"])
    for code, said in ((0, "all passed"), (1, "FAILED: the soak")):
        command = [sys.executable, "-c", f"import sys; sys.exit({code})"]
        monkeypatch.setattr(run, "beside", lambda wanted, command=command: [("the soak", command)])
        assert run.main() == code
        assert capsys.readouterr().out.endswith(f" core: {said}\n")


INTERRUPTED = """
import sys
from tests import run
run.install_missing = lambda programs: None
run.steps = lambda wanted: [(run.LONG, [sys.executable, "-c", "import signal; signal.pause()"], {})]
sys.argv = ["run", "--slow"]
run.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tell", "begun"),
    [(os.killpg, "*/small/5"), (os.kill, "*/small/5"), (os.killpg, "*/full/now")],
    ids=["all of them hear it, as from a terminal", "kill", "while the workers start"],
)
def test_an_interrupted_run_leaves_no_process_and_no_file_of_the_soak(
    tmp_path: Path, tell: Callable[[int, int], None], begun: str
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: any(tmp_path.glob(begun)))
    tell(running.pid, signal.SIGINT)
    assert running.wait(120) != 0
    wait_until(lambda: not _runs(running.pid))
    assert [*tmp_path.iterdir()] == []


def _runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
