"""Build the sdist and the wheel, repair it to manylinux, and install it where no compiler is.

``make wheel`` runs it; the results stay in ``wheelhouse/``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "wheelhouse"
LICENCES = ("LICENSE", "NOTICE", "CC-BY-4.0.txt", "CC-BY-SA-4.0.txt", "CC0-1.0.txt", "ISC.txt")
PROBE = """
import georestrict
from georestrict import Database
assert georestrict.BACKEND == "compiled", georestrict.BACKEND
db = Database.open()
db.verify()
assert db.country("81.2.69.142") == "GB"
print(georestrict.__file__)
"""


def main() -> int:
    """Build, repair, look inside, install and try."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([sys.executable, "-m", "build", "--outdir", str(folder / "built"), str(ROOT)])
        (sdist,) = (folder / "built").glob("*.tar.gz")
        (linux,) = (folder / "built").glob("*.whl")
        search = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        repair = [
            sys.executable,
            "-m",
            "auditwheel",
            "repair",
            "--wheel-dir",
            str(folder / "repaired"),
        ]
        run([*repair, str(linux)], env=search)
        (wheel,) = (folder / "repaired").glob("*manylinux*.whl")
        inside = zipfile.ZipFile(wheel).namelist()
        for licence in LICENCES:
            assert any(path.endswith(f"/{licence}") for path in inside), (
                f"{licence} is not in the wheel"
            )
        assert "georestrict/default.grdb" in inside, "the default image is not in the wheel"
        assert "georestrict/networks/hosting_asns.csv" in inside, "the AS numbers are not in it"
        assert "pytest_georestrict.py" in inside, "the pytest plugin is not in the wheel"
        assert "georestrict/accounts/merge.lua" in inside, (
            "the script for Redis is not in the wheel"
        )
        for name in ("report.css", "report.html.jinja", "world.json"):
            assert f"georestrict/replay/page/{name}" in inside, f"{name} is not in the wheel"
        assert not any(path.endswith((".c", ".pxi", ".pyx")) for path in inside), (
            "sources of the core are in it"
        )
        install(wheel, folder)
        OUT.mkdir(exist_ok=True)
        for result in (sdist, wheel):
            shutil.copy(result, OUT)
            print(f"wheelhouse/{result.name}: {result.stat().st_size:,} bytes")
    return 0


def install(wheel: Path, folder: Path) -> None:
    """Install into a new environment with a compiler that fails, away from the sources."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv/bin/python")
    no_compiler = os.environ | {"CC": "false", "GEORESTRICT_BACKEND": ""}
    run([python, "-m", "pip", "install", "--quiet", str(wheel)], env=no_compiler)
    run([python, "-c", PROBE], env=no_compiler, cwd=folder)
    run(
        [str(folder / "venv/bin/georestrict"), "lookup", "81.2.69.142"], env=no_compiler, cwd=folder
    )


def run(command: list[str], *, env: dict[str, str] | None = None, cwd: Path = ROOT) -> None:
    """Run a command, or end with it."""
    subprocess.run(command, check=True, env=env, cwd=cwd)


if __name__ == "__main__":
    sys.exit(main())
