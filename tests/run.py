"""What ``make test`` and ``make test-all`` run, in order; ends with one line that sums it up.

The suite runs once on the compiled core, where it was built, and once on the plain Python one.
``--slow`` runs the long checks instead; ``--all`` runs both. Programs that tests start and pip
cannot bring are installed through apt where root runs this; what a missing one left out is named in
the last line.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from georestrict import BACKEND

ROOT = Path(__file__).parents[1]
LONG = "long checks"
FUZZ_SECONDS = "90"
SOAK_SECONDS = "600"
#: Set where the suite has run on the plain core already, in another clone: then only what a wrong
#: build would show in is asked.
SUITE_DONE = "GEORESTRICT_SUITE_DONE"
BUILT = [
    f"tests/test_{name}.py"
    for name in ("core", "database", "image", "middleware", "cli", "servers", "truth", "testing")
]
END_SECONDS = 60  #: for what was interrupted to end what it started
#: What tests start, by its Debian package.
PROGRAMS = {"nginx": "nginx", "redis-server": "redis-server"}
SLOW_PROGRAMS = {
    "caddy": "caddy",
    "chromium": "chromium",
    "java": "default-jre-headless",
    "prometheus": "prometheus",
    "valgrind": "valgrind",
}
#: Packages that only the long checks need, since they are large: of the extra ``spark``.
SLOW_PACKAGES = {"pandas": "pandas>=2.2,<3", "pyspark": "pyspark>=4"}


def steps(wanted: str | None) -> list[tuple[str, list[str], dict[str, str]]]:
    """The name, command and environment of each step."""
    pytest = [sys.executable, "-m", "pytest"]
    together = ["--dist", "worksteal", "-m"]
    # One more than there are cores: some tests wait for servers, for Redis, for the soak.
    spread = [*pytest, "-n", str(cores() + 1), *together]
    quick = [*spread, "not slow"]
    if os.environ.get(SUITE_DONE):
        quick = [*spread, "not slow and not once", *BUILT]
    slow = [*pytest, "-n", "auto", *together, "slow"]
    found: list[tuple[str, list[str], dict[str, str]]] = []
    if wanted != "--slow":
        if BACKEND == "compiled":
            found.append(("suite, compiled core", quick, {"GEORESTRICT_BACKEND": "compiled"}))
            quick = [*spread, "not slow and not once"]
        found.append(("suite, plain Python core", quick, {"GEORESTRICT_BACKEND": "python"}))
    if wanted is not None:
        found.append((LONG, slow, {}))
        found.append(
            (f"fuzzing, {FUZZ_SECONDS} s", [sys.executable, "tests/fuzz/run.py", FUZZ_SECONDS], {})
        )
        if BACKEND == "compiled":
            found.append(("instructions", [sys.executable, "benchmarks/instructions.py"], {}))
            found.append(("sanitizers", [sys.executable, "tests/sanitize.py"], {}))
            found.append(("wheel and sdist", [sys.executable, "tests/wheel.py"], {}))
            found.append(
                (
                    "fresh clone, no compiler",
                    [sys.executable, "tests/clone.py"],
                    {"CC": "false", "GEORESTRICT_REQUIRE_COMPILED": "0", SUITE_DONE: "1"},
                )
            )
    return found


def cores() -> int:
    """Return how many cores there are for this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def beside(wanted: str | None) -> list[tuple[str, list[str]]]:
    """The name and command of what runs beside the long steps, at a low priority: it only waits."""
    if wanted is None:
        return []
    # By hand it takes all that the machine has; beside others fewer requests come.
    soak = [sys.executable, "-m", "tests.soak", SOAK_SECONDS, "--burst", "20", "--pause", "0.05"]
    return [(f"soak, {SOAK_SECONDS} s, beside", soak)]


class Beside:
    """A step that runs beside others; what it says is shown when it is joined."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        with tempfile.NamedTemporaryFile(delete=False) as said:
            self._said = Path(said.name)
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT
            )

    def join(self) -> int:
        """Wait for its end, show what it said, and return its exit code."""
        code = self._process.wait()
        verdict = "passed" if code == 0 else "FAILED"
        print(f"== {self.name}: {verdict}\n{self._said.read_text()}", end="", flush=True)
        return code

    def end(self) -> None:
        """End it, wherever it is, and leave nothing: it may have processes and files of its own."""
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.unlink()


def install_missing(programs: Mapping[str, str]) -> None:
    """Install programs through apt, if root asks and this is Debian or its like."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    for program, package in programs.items():
        if shutil.which(program, path=path) or os.geteuid() != 0 or not shutil.which("apt-get"):
            continue
        print(f"== installing {package} through apt", flush=True)
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"== {package} could not be installed: {done.stderr.strip()}", flush=True)
        elif shutil.which("service"):  # Debian starts what it installs; the tests start their own
            subprocess.run(["service", package, "stop"], capture_output=True, check=False)


def install_packages(packages: Mapping[str, str]) -> None:
    """Install packages through pip; tests whose modules stay missing are named as not run."""
    for module, package in packages.items():
        if find_spec(module) is not None:
            continue
        print(f"== installing {package} through pip", flush=True)
        install = [sys.executable, "-m", "pip", "install", "--quiet", package]
        if subprocess.run(install, check=False).returncode:
            print(f"== {package} could not be installed", flush=True)


def main() -> int:
    """Run every step, even after one failed; return the exit code."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    install_missing(PROGRAMS if wanted is None else PROGRAMS | SLOW_PROGRAMS)
    if wanted is not None:
        install_packages(SLOW_PACKAGES)
    failed = []
    running: list[Beside] = []
    with ExitStack() as ended, tempfile.NamedTemporaryFile("r", encoding="utf-8") as not_run:
        for name, command, more in steps(wanted):
            if name == LONG:  # the first of those that take long
                for each in itertools.starmap(Beside, beside(wanted)):
                    ended.callback(each.end)
                    running.append(each)
            print(f"== {name}", flush=True)
            start = time.monotonic()
            environment = os.environ | more | {"GEORESTRICT_NOT_RUN": not_run.name}
            code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
            print(
                f"== {name}: {'passed' if code == 0 else 'FAILED'} "
                f"in {time.monotonic() - start:.0f} s",
                flush=True,
            )
            if code:
                failed.append(name)
        failed += [each.name for each in running if each.join()]
        left_out = dict.fromkeys(not_run.read().splitlines())
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all passed"
    if left_out:
        verdict += f"; NOT RUN: {'; '.join(left_out)}"
    print(f"georestrict, {BACKEND} core: {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
