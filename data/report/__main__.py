"""Measure the default data and write ``data/report.json`` and ``data/REPORT.md``.

``make data-report`` runs this. It takes four to five minutes, and the first time as long as the
registry needs for 130 MB.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from data.report import eyeballs, hosting, log, markdown, places, references, rules, space
from georestrict import Database, __version__
from georestrict.sources import Batch

DATA = Path(__file__).parents[1]
JSON, MARKDOWN = DATA / "report.json", DATA / "REPORT.md"
COMMAND = "make data-report"
_CITIES = ("dbip-city", "geolite-city")


def main() -> None:
    """Run the measurements, or write the markdown anew from those of before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="only write REPORT.md anew")
    if not parser.parse_args().render:
        found = measure()
        JSON.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    told = markdown.write(json.loads(JSON.read_text(encoding="utf-8")))
    MARKDOWN.write_text(told, encoding="utf-8")
    print(f"wrote {JSON.name} and {MARKDOWN.name}")


def measure() -> dict[str, Any]:
    """Fetch the references and return every figure of the report."""
    database = Database.open()
    with fetched() as rows:
        cities = {name: rows.pop(name) for name in _CITIES}
        spaces = space.build(rows, database)
        return {
            "made": {
                "date": datetime.now(UTC).date().isoformat(),
                "command": COMMAND,
                "georestrict": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
            },
            "references": [reference.told() for reference in references.REFERENCES],
            "data": [
                {
                    "name": source.name,
                    "layer": source.layer,
                    "date": source.date.isoformat(),
                    "licence": source.licence,
                    "rows": list(source.rows),
                }
                for source in database.metadata.sources
            ],
            "hosting": hosting.measure(spaces[4]),
            "eyeballs": eyeballs.measure(spaces[4]),
            "places": places.measure(spaces),
            "crimea": places.crimea(spaces[4], cities),
            "missed": {"HK": places.missed(spaces[4], "HK", hosting.names())},
            "rules": rules.measure(spaces),
            "log": log.measure(spaces, database),
        }


@contextmanager
def fetched() -> Iterator[dict[str, list[Batch]]]:
    """Fetch and read every reference; what may not be kept is deleted on the way out."""
    with tempfile.TemporaryDirectory(prefix="georestrict-report-") as folder:
        yield {
            reference.name: references.read(reference, references.fetch(reference, Path(folder)))
            for reference in references.REFERENCES
        }


if __name__ == "__main__":
    main()
