"""The examples of updating are what cron, systemd and Kubernetes take, and what the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from georestrict.cli import main
from georestrict.manifest import Manifest
from georestrict.update import orders

pytestmark = pytest.mark.once

FOLDER = Path(__file__).parents[1] / "examples/update"
COMMAND = "/opt/georestrict/bin/georestrict"
MANIFEST = "/etc/georestrict/sources.toml"


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What the command line makes of an example's arguments."""
    name, *rest = arguments
    command = main.commands[name]
    with command.make_context(name, rest) as context:
        return context.params


def check_command(arguments: list[str]) -> None:
    asked = parsed(arguments)
    assert str(asked["manifest"]) == MANIFEST
    assert str(asked["output"]) == "/var/lib/georestrict/geo.grdb"


def test_the_manifest_loads_and_a_dry_run_says_what_it_would_fetch() -> None:
    manifest = Manifest.load(FOLDER / "sources.toml")
    assert manifest.overrides and manifest.gates.canaries
    done = CliRunner().invoke(
        main, ["update", str(FOLDER / "sources.toml"), "-o", "geo.grdb", "--dry-run"]
    )
    assert done.exit_code == 0
    assert [line.partition(":")[0] for line in done.output.splitlines()] == [
        source.name for source in manifest.sources
    ]


def secrets_named() -> Iterator[str]:
    """The variables that name the files of the example's secrets."""
    for source in Manifest.load(FOLDER / "sources.toml").sources:
        order = orders.of(source.fetch or {}, "here")
        for secret in order.auth.secrets if order and order.auth else ():
            yield f"{secret.env}_FILE"


def test_the_crontab_has_a_line_that_cron_and_the_command_understand() -> None:
    lines = [
        line
        for line in (FOLDER / "crontab").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    *variables, line = lines
    assert {each.partition("=")[0] for each in variables} == {"MAILTO", *secrets_named()}
    *when, user, command = line.split(None, 6)
    assert len(when) == 5 and all(re.fullmatch(r"[\d*]+", each) for each in when)
    assert user == "georestrict"
    program, *arguments = command.split()
    assert program == COMMAND
    check_command(arguments)
    assert "%" not in command, "cron ends the command there"


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units, with a program that is there."""
    for path in FOLDER.glob("georestrict-update.*"):
        text = path.read_text().replace(COMMAND, sys.executable)
        (tmp_path / path.name).write_text(text)
    return [str(path) for path in sorted(tmp_path.glob("georestrict-update.*"))]


@pytest.mark.needs("systemd-analyze")
def test_systemd_takes_the_units(units: list[str]) -> None:
    assert len(units) == 2
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "georestrict" in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_the_service_hardened(units: list[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", units[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    told = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert told, done.stderr
    assert float(told[1]) <= 2.0  # systemd's word for that is "OK"


def test_the_service_runs_the_command_with_the_secrets_that_the_manifest_asks_for() -> None:
    text = (FOLDER / "georestrict-update.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *arguments = start.split()
    assert program == COMMAND
    check_command(arguments)
    (environment,) = re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
    loaded = re.findall(r"^LoadCredential=([\w-]+):", text, re.MULTILINE)
    given = dict(each.split("=") for each in environment.split())
    assert set(given) == {*secrets_named()}
    assert [*given.values()] == [f"%d/{name}" for name in loaded]


def test_the_job_runs_the_command_with_the_secrets_that_the_manifest_asks_for() -> None:
    claim, job = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    assert (claim["kind"], job["kind"]) == ("PersistentVolumeClaim", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    program, *arguments = container["command"] + container["args"]
    assert program == "georestrict"
    check_command(arguments)
    given = {each["name"]: each["value"] for each in container["env"]}
    assert set(given) == {*secrets_named()}
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert set(mounts) == set(volumes)
    assert all(path.startswith(mounts["maxmind"]["mountPath"]) for path in given.values())
    assert MANIFEST.startswith(mounts["manifest"]["mountPath"])
    assert "readOnly" not in mounts["data"] and "subPath" not in mounts["data"]
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volumes["maxmind"]["secret"]["defaultMode"] == 0o440
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["fsGroup"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_no_example_holds_a_secret() -> None:
    for path in FOLDER.iterdir():
        assert not re.search(r"(LICENSE_KEY|ACCOUNT_ID|TOKEN)=\w", path.read_text()), path.name
    assert shutil.which("georestrict", path=str(Path(sys.executable).parent))
