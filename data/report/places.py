"""Countries: how often the default image names the right one, and how often a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.report.space import Space, hosting, share
from data.second import CODES, COUNTRIES, NUMBERS, country
from data.spans import Answers, Steps, Where, at, from_batch, sums
from georestrict.sources import Batch

#: A country with fewer agreed IPv4 addresses than a /16 is not told: one company's network would
#: decide its figures. They are counted in the total.
LEAST = 65_536
NAMED = ("HK", "SG", "IE", "UA", "CN", "RU", "IR", "KP", "VE", "SY", "CU", "BY")
_CRIMEA = {"UA-43": "Crimea", "RU-CR": "Crimea", "UA-40": "Sevastopol", "RU-SEV": "Sevastopol"}


def measure(spaces: Mapping[int, Space]) -> dict[str, Any]:
    """Return the figures of every country: IPv4 in and outside hosting space, and IPv6."""
    four, six = spaces[4], spaces[6]
    inside = four.of_class(hosting)
    everywhere = np.ones_like(inside)
    parts = {
        "all": figures(four, four.image, everywhere),
        "hosting": figures(four, four.image, inside),
        "other": figures(four, four.image, ~inside),
        "ipv6": figures(six, six.image, np.ones(len(six.sizes), np.bool_)),
    }
    codes = [code for code in CODES[1:] if parts["all"].get(code, {}).get("there", 0) >= LEAST]
    return {
        "countries": {
            code: {name: part[code] for name, part in parts.items() if code in part}
            for code in sorted({*codes, *NAMED})
        },
        "left_out": COUNTRIES - len({*codes, *NAMED}),
        "total": {name: part[""] for name, part in parts.items()},
        "before": {
            "ipv4": total(four, country(four["ipfire"])),
            "ipv6": total(six, country(six["ipfire"])),
            "countries": {
                code: figures(four, country(four["ipfire"]), everywhere)[code] for code in NAMED
            },
        },
    }


def figures(space: Space, answers: Answers, where: Where) -> dict[str, dict[str, Any]]:
    """Return by country: how much is there, the recall, and the share that is elsewhere."""
    truth = space.truth
    judged = where & (truth > 0)
    right = judged & (answers == truth)
    there = sums(truth, space.weights, judged, COUNTRIES)
    said = sums(answers, space.weights, judged, COUNTRIES)
    hits = sums(truth, space.weights, right, COUNTRIES)
    found: dict[str, dict[str, Any]] = {
        CODES[number]: {
            "there": round(float(there[number])),
            "recall": share(hits[number], there[number]),
            "false": share(said[number] - hits[number], said[number]),
        }
        for number in range(1, COUNTRIES + 1)
        if there[number] or said[number]
    }
    return found | {
        "": {
            "there": round(float(there.sum())),
            "recall": share(hits.sum(), there.sum()),
            "silent": share(said[0], there.sum()),
        }
    }


def total(space: Space, answers: Answers) -> float | None:
    """Return the share of all judged space that has the right country."""
    everywhere = np.ones(len(answers), np.bool_)
    recall: float | None = figures(space, answers, everywhere)[""]["recall"]
    return recall


def crimea(space: Space, cities: Mapping[str, list[Batch]]) -> list[dict[str, Any]]:
    """Return in which country the image puts what each city database puts in Crimea."""
    rows = []
    for name, batches in cities.items():
        (batch,) = [batch for batch in batches if batch.version == 4]
        regions = ("Crimea", "Sevastopol")
        steps = from_batch(
            batch,
            {code: 1 + regions.index(_CRIMEA[code]) for code in batch.values if code in _CRIMEA},
        )
        for number, region in enumerate(regions, 1):
            counts = _answers_inside(space, steps, number)
            size = sum(counts.values())
            most = sorted(counts.items(), key=lambda pair: -pair[1])
            rows.append(
                {
                    "reference": name,
                    "region": region,
                    "addresses": round(size),
                    "filed_as": sorted(
                        {code for code in batch.values if _CRIMEA.get(code) == region}
                    ),
                    "image": {code or "none": share(part, size) for code, part in most[:3]},
                }
            )
    return rows


def _answers_inside(space: Space, steps: Steps, number: int) -> dict[str, float]:
    starts = np.unique(np.concatenate([steps.starts, space.overlay.starts]))
    sizes = (np.append(starts[1:], space.overlay.ends[-1]) - starts).astype(np.float64)
    inside = at(steps, starts) == number
    answers = space.image[np.searchsorted(space.overlay.starts, starts, "right") - 1]
    found = sums(answers, sizes, inside, COUNTRIES)
    return {CODES[code]: float(size) for code, size in enumerate(found) if size}


def missed(
    space: Space, code: str, names: Mapping[int, str], most: int = 12
) -> list[dict[str, Any]]:
    """Return the networks whose addresses in a country the image puts elsewhere, most first."""
    here = space.truth == NUMBERS[code]
    lost = here & (space.image != NUMBERS[code])
    asns, of = np.unique(space["asn"][lost], return_inverse=True)
    held = np.bincount(of, space.sizes[lost])
    whole = space.size(here)
    rows = []
    for at_most in np.argsort(-held)[:most]:
        asn = int(asns[at_most])
        said = sums(space.image, space.sizes, lost & (space["asn"] == asn), COUNTRIES)
        rows.append(
            {
                "asn": asn,
                "name": names.get(asn, ""),
                "share": share(held[at_most], whole),
                "image": {
                    CODES[number]: share(said[number], whole)
                    for number in np.argsort(-said)[:3].tolist()
                    if said[number]
                },
            }
        )
    return rows
