"""Make the world's outlines for the report of ``georestrict replay``: ``make outlines``.

Fetches Natural Earth at 1:50m from the npm package ``world-atlas``, checks the SHA-256 of the file
and writes ``georestrict/replay/page/world.json``: one path a country in the plane of Equal Earth
(Šavrič, Patterson, Jenny 2018), which keeps areas true, simplified so that neighbours still share
their borders. Exit code 0: the same as the committed file; 1: another one, which ``--accept``
writes. Needs npm, and ``pip install shapely pycountry``.

Whose view the borders are: those of control on the ground, as Natural Earth draws them; but where
ISO 3166 says to which code a territory belongs, it does here, as the codes in the table beside the
map do (``REGIONS`` and ``JOINED`` below). No view of ours of any border is meant.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pycountry
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from data.recipe import fetch_npm
from georestrict.countries import NAMES

TARGET = Path(__file__).parents[1] / "georestrict/replay/page/world.json"
FILE = "countries-50m.json"
SOURCE = {
    "package": "world-atlas",
    "version": "2.0.2",  # Natural Earth 4.1.0, as its README says
    "sha256": {FILE: "04342cdc1e3016bcd7db1630de95684d67b79fe3c8c460321e87aef469502394"},
}

#: How many units the map is wide.
WIDTH = 4000
#: The middle of the map: at 10° east no coast is cut, as it runs along 170° west.
MIDDLE = 10
#: What is simplified away: corners of triangles smaller than a square of this side, in units.
DETAIL = 3.5
#: Islands smaller than that, in square units, go, if the country has larger parts.
SMALLEST = 12
#: A country that covers less, in square units, gets a dot.
DOT_BELOW = 90

#: Of what Natural Earth has under no number of ISO 3166-1: whose it is under ISO 3166.
JOINED = {"N. Cyprus": "CY", "Somaliland": "SO", "Kosovo": "XK", "Indian Ocean Ter.": "AU"}
#: Parts that have another code in ISO 3166 than their whole in Natural Earth: west, south, east,
#: north. ISO 3166-2 lists Crimea (43) and Sevastopol (40) under UA.
REGIONS = {
    ("FRA", "GF"): (-56, 1, -51, 7),
    ("FRA", "GP"): (-62, 15.8, -60.9, 16.6),
    ("FRA", "MQ"): (-61.3, 14.3, -60.7, 15),
    ("FRA", "RE"): (55, -22, 56, -20),
    ("FRA", "YT"): (45, -13.1, 45.4, -12.5),
    ("NOR", "SJ"): (-10, 70.5, 35, 82),
    ("NLD", "BQ"): (-69, 11.5, -62, 18),
    ("AUS", "CX"): (105, -11, 106, -10),
    ("AUS", "CC"): (96, -13, 97.5, -11.5),
    ("RUS", "UA"): (32, 44, 36.7, 46.3),
}
#: Of Morocco in Natural Earth, what lies south of 27°40' north has the code EH in ISO 3166-1.
SAHARA = shapely.box(-18, 20, -8, 27 + 2 / 3)
#: Where those are that are too small for 1:50m: east, north (the capitals, or the middle).
POINTS = {
    "BQ": (-68.27, 12.15),
    "BV": (3.41, -54.42),
    "CC": (96.83, -12.19),
    "CX": (105.63, -10.49),
    "GI": (-5.35, 36.14),
    "TK": (-171.8, -9.2),
    "TV": (179.2, -8.52),
    "UM": (166.62, 19.28),
}


def main() -> int:
    """Make the outlines and compare them with the committed ones; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="store_true", help="write the file")
    accept = parser.parse_args().accept
    with tempfile.TemporaryDirectory() as folder:
        _, files = fetch_npm(SOURCE, Path(folder) / "npm", str(SOURCE["version"]))
        content = files[FILE].read_bytes()
    if hashlib.sha256(content).hexdigest() != SOURCE["sha256"][FILE]:  # type: ignore[index]
        print(f"{FILE} of {SOURCE['package']} {SOURCE['version']} has not the stated SHA-256")
        return 1
    made = world(json.loads(content))
    same = TARGET.exists() and TARGET.read_text(encoding="utf-8") == made
    if accept:
        TARGET.write_text(made, encoding="utf-8")
    sums = hashlib.sha256(made.encode()).hexdigest()
    print(f"{TARGET.name}: {len(made):,} bytes, {'the same' if same else 'NOT the same'}, {sums}")
    return 0 if same or accept else 1


def world(topology: dict[str, Any]) -> str:
    """Return the file: size, the path of each country, and where its label may stand."""
    parts: dict[str, list[Polygon]] = defaultdict(list)
    for code, polygon in polygons(topology):
        if code == "MA":
            parts["EH"] += shapely.get_parts(polygon & SAHARA).tolist()
            polygon -= SAHARA
        parts[code].append(polygon)
    del parts["AQ"]  # it would take a quarter of the map
    codes = sorted(parts)
    # degrees come rounded, which makes a few rings touch themselves
    whole = [shapely.union_all(shapely.make_valid([*map(project, parts[code])])) for code in codes]
    # a corner between neighbours stays one for both
    simple = shapely.coverage_simplify(whole, DETAIL)
    areas = {}
    for code, shape, before in zip(codes, simple, whole, strict=True):
        kept = [part for part in shapely.get_parts(shape) if part.area >= SMALLEST]
        areas[code] = shapely.union_all(kept) if kept else before
    west, south, east, north = shapely.total_bounds([*areas.values()])
    places: dict[str, dict[str, Any]] = {}
    for code in sorted(areas.keys() | POINTS):
        if code not in areas:
            point = project(shapely.Point(POINTS[code]))
            places[code] = {"at": [round(point.x - west), round(north - point.y)], "dot": True}
            continue
        largest = max(shapely.get_parts(areas[code]), key=lambda part: part.area)
        point = shapely.maximum_inscribed_circle(largest).coords[0]
        places[code] = {"at": [round(point[0] - west), round(north - point[1])]}
        if drawn := path(areas[code], west, north):
            places[code]["path"] = drawn
        if code and areas[code].area < DOT_BELOW:
            places[code]["dot"] = True
    if {"", "AQ", *places} != {"", *NAMES}:
        sys.exit(f"without a place on the map: {NAMES.keys() - places.keys()}")
    rows = ",\n".join(
        f"{json.dumps(code)}: {json.dumps(place, separators=(',', ':'))}"
        for code, place in places.items()
    )
    size = f'"width": {math.ceil(east - west)}, "height": {math.ceil(north - south)}'
    return f'{{{size}, "places": {{\n{rows}\n}}}}\n'


def polygons(topology: dict[str, Any]) -> Iterator[tuple[str, Polygon]]:
    """Yield every polygon of a TopoJSON file in degrees, with its code; "" is nobody's.

    https://github.com/topojson/topojson-specification
    """
    scale, shift = topology["transform"]["scale"], topology["transform"]["translate"]
    lines = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * scale[0] + shift[0], y * scale[1] + shift[1]))
        lines.append(line)

    def ring(arcs: list[int]) -> list[tuple[float, float]]:
        points: list[tuple[float, float]] = []
        for number in arcs:
            line = lines[number] if number >= 0 else lines[~number][::-1]
            for x, y in line[1:] if points else line:
                # a ring that crosses 180° goes on, instead of round the world
                turns = round((points[-1][0] - x) / 360) if points else 0
                points.append((x + 360 * turns, y))
        return points

    for geometry in topology["objects"]["countries"]["geometries"]:
        every = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for shell, *holes in every:
            polygon = Polygon(ring(shell), [ring(hole) for hole in holes])
            yield code_of(geometry, polygon), polygon


def code_of(geometry: dict[str, Any], polygon: Polygon) -> str:
    """Return the country that a polygon belongs to under ISO 3166, "" if to none alone."""
    if "id" not in geometry:
        return JOINED.get(geometry["properties"]["name"], "")
    found = pycountry.countries.get(numeric=geometry["id"])
    middle = polygon.representative_point()
    for (whole, part), (west, south, east, north) in REGIONS.items():
        if found.alpha_3 == whole and west < middle.x < east and south < middle.y < north:
            return part
    return str(found.alpha_2)


def project(shape: BaseGeometry) -> BaseGeometry:
    """Put a shape into the plane of Equal Earth, in units.

    What lies whole beyond 170° west comes to the right of Asia, where the rest of it is.
    """
    turn = 360 if shape.bounds[2] < MIDDLE - 178.5 else 0
    return shapely.transform(shape, lambda points: [equal_earth(x + turn, y) for x, y in points])


def equal_earth(longitude: float, latitude: float) -> tuple[float, float]:
    """Project one point; formula and constants of https://doi.org/10.1080/13658816.2018.1504949."""
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    theta = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(latitude)))
    square = theta * theta
    sixth = square**3
    x = (
        2 * math.sqrt(3) * math.radians(longitude - MIDDLE) * math.cos(theta)
        / (3 * (9 * a4 * square * sixth + 7 * a3 * sixth + 3 * a2 * square + a1))
    )  # fmt: skip
    y = theta * (a4 * square * sixth + a3 * sixth + a2 * square + a1)
    unit = WIDTH / (2 * 2.70663)  # the equator's half is 2.70663 long
    return x * unit, y * unit


def path(shape: BaseGeometry, west: float, north: float) -> str:
    """Return a shape as an SVG path with whole, relative coordinates."""
    text = []
    for polygon in shapely.orient_polygons(shapely.get_parts(shape)):  # holes the other way
        for ring in (polygon.exterior, *polygon.interiors):
            points = [(round(x - west), round(north - y)) for x, y in ring.coords[:-1]]
            if len(set(points)) < 3:
                continue
            steps = [(x - was[0], y - was[1]) for was, (x, y) in pairwise(points)]
            moves = " ".join(f"{x} {y}" for x, y in steps if (x, y) != (0, 0))
            text.append(f"M{points[0][0]} {points[0][1]}l{moves}z".replace(" -", "-"))
    return "".join(text)


if __name__ == "__main__":
    sys.exit(main())
