"""Rebuild the committed data from the registries: ``make data``.

Fetches each source's package by name, checks the SHA-256 of what is in it against
``sources.toml``, packs the rows, and compares them with the committed file. Exit code 0: the
committed rows are those of the stated upstream. 1: upstream has moved on, or something differs;
nothing is changed, unless ``--accept`` is given, which takes the new data over.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import tomlkit

from data import second
from georestrict._core import parse_network
from georestrict.networks import hosting
from georestrict.sources import Row, iporigin, mmdb, packed, tor_geoip

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
    name, upstreams = source["name"], upstreams_of(source)
    packages = " and ".join(f"{each['package']} {each['version']}" for each in upstreams)
    sums = {file: found for each in upstreams for file, found in each["sha256"].items()}
    newest = fetch(upstreams, folder / "newest", stated=False)
    data_date = DATES[name](newest)
    if newest.sums() != sums:
        print(
            f"{name}: upstream has moved on: the committed data is of {source['date']} "
            f"({packages}), {newest.version} has data of {data_date}"
        )
        if accept:
            return take_over(source, newest, data_date)
        if any(each["registry"] == "debian" for each in upstreams):  # keeps no old versions
            print(
                f"{name}: the committed rows cannot be rebuilt any more; "
                "'make data ACCEPT=1' takes the new ones"
            )
            return 1
        stated = fetch(upstreams, folder / "stated", stated=True)
        if stated.sums() != sums:
            print(f"{name}: {packages} has not the stated SHA-256")
            return 1
        newest, data_date = stated, DATES[name](stated)
    same = [*packed.read(FOLDER / source["path"])] == [*ROWS[name](source, newest.files)]
    verdict = "the same rows as committed" if same else "NOT the rows that are committed"
    print(f"{name}: {newest.version} of {data_date}: {verdict}")
    if same:
        return 0
    if accept:  # what we do with the data has changed
        return take_over(source, newest, data_date)
    print(f"{name}: 'make data ACCEPT=1' writes them")
    return 1


def take_over(source: dict[str, Any], fetched: Fetched, data_date: date) -> int:
    """Write the new rows, and their date, version and sums into the manifest."""
    name, target = source["name"], FOLDER / source["path"]
    packed.write(target, ROWS[name](source, fetched.files))
    document = tomlkit.parse(MANIFEST.read_text(encoding="utf-8"))
    (entry,) = [entry for entry in document["source"] if entry["name"] == name]
    entry["date"], entry["sha256"] = data_date, digest(target)
    sums = fetched.sums()
    for upstream, version in zip(upstreams_of(entry), fetched.versions, strict=True):
        upstream["version"] = version
        upstream["sha256"].update({file: sums[file] for file in upstream["sha256"]})
    MANIFEST.write_text(tomlkit.dumps(document), encoding="utf-8")
    print(f"{name}: wrote {target.name}, {target.stat().st_size:,} bytes, and {MANIFEST.name}")
    return 0


def upstreams_of(source: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the packages that a source is made from: most have one, ``second`` has two."""
    upstream = source["upstream"]
    return [*upstream] if isinstance(upstream, list) else [upstream]


@dataclass(frozen=True)
class Fetched:
    """What came out of the packages."""

    packages: tuple[str, ...]
    versions: tuple[str, ...]
    files: dict[str, Path]  #: by their name in the package

    @property
    def version(self) -> str:
        """The packages and their versions, as they are told."""
        return " and ".join(map(" ".join, zip(self.packages, self.versions, strict=True)))

    def sums(self) -> dict[str, str]:
        """The files' SHA-256."""
        return {name: digest(path) for name, path in self.files.items()}


def fetch(upstreams: list[dict[str, Any]], folder: Path, *, stated: bool) -> Fetched:
    """Download and unpack packages: the stated versions of them, or the newest."""
    folder.mkdir()
    fetchers = {"debian": fetch_debian, "npm": fetch_npm, "pypi": fetch_wheel}
    versions, files = [], {}
    for number, upstream in enumerate(upstreams):
        wanted = upstream["version"] if stated else None
        version, found = fetchers[upstream["registry"]](upstream, folder / str(number), wanted)
        versions.append(version)
        files.update(found)
    return Fetched(tuple(each["package"] for each in upstreams), tuple(versions), files)


#: The version of a package, and the files in it that are wanted, by their name.
Unpacked = tuple[str, dict[str, Path]]


def fetch_debian(upstream: dict[str, Any], folder: Path, version: str | None) -> Unpacked:
    """Download and unpack a Debian package; the archive keeps only its newest version."""
    folder.mkdir()
    need = "needs Debian's apt-get and current package lists ('apt-get update')"
    run(["apt-get", "download", upstream["package"]], folder, need)
    (package,) = folder.glob("*.deb")
    run(["dpkg-deb", "--extract", package.name, "."], folder, "needs dpkg-deb")
    found = run(["dpkg-deb", "--field", package.name, "Version"], folder, "needs dpkg-deb")
    return found.strip(), {name: folder / name for name in upstream["sha256"]}


def fetch_wheel(upstream: dict[str, Any], folder: Path, version: str | None) -> Unpacked:
    """Download and unpack a wheel: a stated version, or the newest one."""
    folder.mkdir()
    wanted = upstream["package"] if version is None else f"{upstream['package']}=={version}"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    run([*pip, "--dest", ".", wanted], folder, "needs pip and its registry")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return wheel.name.split("-")[1], {name: folder / name for name in upstream["sha256"]}


def fetch_npm(upstream: dict[str, Any], folder: Path, version: str | None) -> Unpacked:
    """Download and unpack an npm package: a stated version, or the newest one."""
    folder.mkdir()
    wanted = upstream["package"] if version is None else f"{upstream['package']}@{version}"
    told = run(["npm", "pack", "--json", "--silent", wanted], folder, "needs npm and its registry")
    (package,) = json.loads(told)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return package["version"], {name: folder / "package" / name for name in upstream["sha256"]}


def run(command: list[str], folder: Path, need: str) -> str:
    """Run a command and return its output, or end with what it said and what it needs."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit(f"{command[0]}: not found; make data {need}")
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed; make data {need}\n{done.stderr.strip()[-500:]}")
    return done.stdout


def country_rows(source: dict[str, Any], files: dict[str, Path]) -> Iterator[Row]:
    """The rows of both files, as they are."""
    for path in files.values():
        yield from tor_geoip.read(path)


def network_rows(source: dict[str, Any], files: dict[str, Path]) -> Iterator[Row]:
    """The rows that may be passed on, with our category and confidence."""
    (path,) = files.values()
    rule = source["selection"]
    wrong = [parse_network(network) for network in rule["wrong"]]
    for row in iporigin.read(path):
        provider, kind = row.value.split("\t")
        if provider in rule["leave_out"] or (row.version, row.first, row.last) in wrong:
            continue
        confidence = "high" if provider in rule["high"] or kind in rule["high_kinds"] else "medium"
        category = rule["category"].get(provider, kind)
        yield row._replace(value=f"{category}:{confidence}:{provider}")


def asn_rows(source: dict[str, Any], files: dict[str, Path]) -> Iterator[Row]:
    """The IPv4 ranges of the AS numbers in our table, joined where they touch.

    The file's columns are first and last address as numbers, AS number, and a name that is not
    read. A row's line is that of the first of its ranges.
    """
    claims = hosting.read(FOLDER / source["selection"]["numbers"])
    (path,) = files.values()
    joined: Row | None = None
    with path.open(encoding="utf-8", newline="") as file:
        for line, (first, last, number, _) in enumerate(csv.reader(file), 1):
            value = claims.get(int(number))
            if value is None:
                continue
            if joined and (joined.last + 1, joined.value) == (int(first), value):
                joined = joined._replace(last=int(last))
                continue
            if joined:
                yield joined
            joined = Row(4, int(first), int(last), value, line)
    if joined:
        yield joined


def second_rows(source: dict[str, Any], files: dict[str, Path]) -> Iterator[Row]:
    """What two more sources say where IPFire says less (:mod:`data.second` has the rules)."""
    *registry, iptoasn = files.values()
    return second.rows(
        {
            "ipfire": packed.read_batches(FOLDER / "country-ipfire.ranges"),
            "registry": second.read_registry(registry),
            "iptoasn": mmdb.read_batches(iptoasn, "country"),
        }
    )


def country_date(fetched: Fetched) -> date:
    """The date in the files' own header; both must have the same."""
    dates = set()
    for path in fetched.files.values():
        with path.open(encoding="ascii") as lines:
            line = next(line for line in lines if line.startswith("# Generated:"))
        dates.add(parsedate_to_datetime(line.partition(":")[2].strip()).date())
    (only,) = dates
    return only


def network_date(fetched: Fetched) -> date:
    """The build date in the table."""
    (path,) = fetched.files.values()
    return iporigin.build_time(path).date()


def npm_date(fetched: Fetched) -> date:
    """The oldest date in the packages' versions, such as 2.3.2026061719: year to hour."""
    numbers = [version.rpartition(".")[2] for version in fetched.versions]
    return min(datetime.strptime(number, "%Y%m%d%H").date() for number in numbers)


ROWS = {
    "ipfire": country_rows,
    "second": second_rows,
    "asn-hosting": asn_rows,
    "iporigin": network_rows,
}
DATES = {
    "ipfire": country_date,
    "second": npm_date,
    "asn-hosting": npm_date,
    "iporigin": network_date,
}


def digest(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
