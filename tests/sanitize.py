"""The core under AddressSanitizer and UndefinedBehaviorSanitizer.

The package is copied to a temporary folder, its core built there with both sanitizers, and the
tests that reach the core run on it. The first report ends the process, and so fails the step.
``--plant`` builds an off-by-one into the copy, and passes only if that is found.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from build import ProjectBuilder
from build.env import DefaultIsolatedEnv

ROOT = Path(__file__).parents[1]
COPIED = ("georestrict", "tests", "data", "setup.py", "pyproject.toml")
# Two shares that take about as long, one for each of two processors.
SHARES = (
    ("core", "many", "gate", "database"),
    ("twins", "image", "hostile", "address", "forwarded", "special", "fuzz", "tree"),
)
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
# One byte past the text and its closing zero is read.
PLANTED = ("wide.h", "memcpy(buffer + GR_BEFORE, text, length)", "text, length + 2)")
REPORTED = 99  # an exit code that pytest does not use
PROBE = "from georestrict._core import BACKEND, _compiled; print(BACKEND, _compiled.__file__)"


def main() -> int:
    """Build, make sure that this build is what runs, and run the tests on it."""
    plant = "--plant" in sys.argv[1:]
    runtime = libasan()
    if runtime is None:
        print("NOT RUN: the core under sanitizers (needs gcc with libasan)")
        return 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        core = build(folder, plant)
        built = time.monotonic() - start
        environment = os.environ | {
            "PYTHONPATH": str(folder),
            "GEORESTRICT_BACKEND": "compiled",
            "GEORESTRICT_TEST_COMPILED_ONLY": "1",
            "LD_PRELOAD": runtime,
            "PYTHONMALLOC": "malloc",  # Python's own arenas would hide where an object ends
            # the interpreter leaves objects behind at its end, which are no leaks of ours
            "ASAN_OPTIONS": f"detect_leaks=0:exitcode={REPORTED}",
            "UBSAN_OPTIONS": f"print_stacktrace=1:exitcode={REPORTED}",
        }
        loaded = subprocess.run(
            [sys.executable, "-c", PROBE],
            cwd=folder, env=environment, check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        if loaded != ["compiled", str(core)]:
            sys.exit(f"what would be tested is {loaded}, expected the sanitized {core}")
        code = run(folder, environment)
    took = f"built in {built:.0f} s, {time.monotonic() - start:.0f} s in all"
    if plant:
        print(f"sanitizers, planted: {'found' if code == REPORTED else f'MISSED: {code}'} ({took})")
        return 0 if code == REPORTED else 1
    why = "a sanitizer reported, see above" if code == REPORTED else f"pytest's exit code {code}"
    print(
        f"sanitizers, address and undefined: {f'FAILED: {why}' if code else 'no report'} ({took})"
    )
    return 1 if code else 0


def run(folder: Path, environment: dict[str, str]) -> int:
    """Run the shares side by side, show what each said, and return the worst exit code."""
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow"]
    pytest.append("--capture=sys")  # a sanitizer reports to the process's own stderr
    running = []
    for number, share in enumerate(SHARES):
        log = (folder / f"share{number}.log").open("w+")
        command = [*pytest, *(f"tests/test_{subject}.py" for subject in share)]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        running.append((log, process))
    codes = []
    for log, process in running:
        codes.append(process.wait())
        log.seek(0)
        print(log.read(), end="", flush=True)
        log.close()
    return max(map(abs, codes))


def libasan() -> str | None:
    """The runtime that must be loaded before an interpreter that was not built with it."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return None
    said = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], check=False, capture_output=True, text=True
    ).stdout.strip()
    return said if Path(said).is_absolute() else None  # the bare name: not found


def build(folder: Path, plant: bool) -> Path:
    """Copy the package and build its core with the sanitizers; return the extension module."""
    skipped = shutil.ignore_patterns("__pycache__", "*.so", "_compiled.c")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=skipped)
        else:
            shutil.copy(ROOT / name, folder)
    if plant:
        name, right, wrong = PLANTED
        path = folder / "georestrict/_core" / name
        text = path.read_text()
        assert right in text, f"{name} has no {right!r} any more: plant something else"
        path.write_text(text.replace(right, right.replace("text, length)", wrong)))
    flags = {"CFLAGS": SANITIZE, "LDFLAGS": SANITIZE, "GEORESTRICT_REQUIRE_COMPILED": "1"}
    log = folder / "build.log"
    with DefaultIsolatedEnv() as tools, log.open("w") as out:
        tools.install(ProjectBuilder(folder).build_system_requires)
        code = subprocess.run(
            [tools.python_executable, "setup.py", "build_ext", "--inplace"],
            cwd=folder, env=os.environ | flags, stdout=out, stderr=out, check=False,
        ).returncode  # fmt: skip
    if code:
        sys.exit(f"{log.read_text()}\nthe core could not be built with sanitizers")
    (core,) = (folder / "georestrict/_core").glob("_compiled*.so")
    instrumented = core.read_bytes()
    assert b"__asan_report_load" in instrumented, "the core was built without AddressSanitizer"
    assert b"__ubsan_handle" in instrumented, "the core was built without the undefined one"
    return core


if __name__ == "__main__":
    sys.exit(main())
