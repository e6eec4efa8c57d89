"""The curated AS numbers: networks that announce machines for rent and nothing else.

The table is ``data/hosting_asns.csv``; the build copies it beside this module. It has the columns
``number``, ``name`` (ours), ``kind`` and ``why``. A kind is a category, or several with ``+``
between them: of the first we are sure at medium confidence, of the others at low. Networks that
also give people access to the internet are not in it: their customers would be taken for machines.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from georestrict.networks.category import Confidence
from georestrict.networks.claim import SEPARATOR

TABLE = Path(__file__).with_name("hosting_asns.csv")


def read(path: Path) -> dict[int, str]:
    """Return what a table of AS numbers says of each: claims with ``|`` between them."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            int(row["number"]): _claims(row["name"], row["kind"]) for row in csv.DictReader(file)
        }


@cache
def known() -> dict[int, str]:
    """Return what the package's own table says of each AS number in it."""
    return read(TABLE)


def _claims(name: str, kind: str) -> str:
    first, *others = kind.split("+")
    levels = [(first, Confidence.MEDIUM), *((other, Confidence.LOW) for other in others)]
    return SEPARATOR.join(f"{category}:{confidence}:{name}" for category, confidence in levels)
