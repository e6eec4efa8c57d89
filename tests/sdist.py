"""MaxMind's test databases, out of the source distribution of ``maxminddb`` on PyPI.

It is fetched once and kept in ``tests/.cache``. Where that fails, :func:`folder` is None, and the
tests that are marked ``needs(sdist.NAME)`` are named as not run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path

#: What a test's mark says.
NAME = "maxminddb's source distribution"

VERSION = "3.2.0"  # the tests name its files
_SHA256 = "d28e0073fd1dd637c8b95947bc864b5625eca9f8f2db1538145e33b2a1cd4b92"
_CACHE = Path(__file__).with_name(".cache")
_FETCH = (
    "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:",
    "--timeout", "10", "--retries", "1", f"maxminddb=={VERSION}", "--dest",
)  # fmt: skip
_DATA = f"maxminddb-{VERSION}/tests/data"


@cache
def folder() -> Path | None:
    """Return the folder that has ``bad-data`` and ``test-data``, or None.

    Workers of one run come to the same answer: the first fetches, the others wait for it.
    """
    kept = _CACHE / f"maxminddb-{VERSION}"
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_dir():
            run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
            failed = _CACHE / f"failed-{run}"
            if run and failed.exists():
                return None
            if not _fetched(kept):
                if run:
                    failed.touch()
                return None
    return kept


def _fetched(kept: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        command = [sys.executable, *_FETCH, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        archive = Path(name) / f"maxminddb-{VERSION}.tar.gz"
        if done.returncode or not archive.exists():
            print(f"{NAME} could not be fetched: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return False
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != _SHA256:
            raise ValueError(f"{archive.name} has SHA-256 {found}, expected {_SHA256}")
        with tarfile.open(archive) as tar:
            kinds = (".mmdb", "LICENSE-APACHE", "LICENSE-MIT")
            members = [
                one for one in tar if one.name.startswith(_DATA) and one.name.endswith(kinds)
            ]
            tar.extractall(name, members, filter="data")
        shutil.move(Path(name) / _DATA, kept)
    return True
