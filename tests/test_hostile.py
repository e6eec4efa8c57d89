"""Hostile images: right checksums over nonsense, aimed at what opening believes (G3, P2).

``tests/sanitize.py`` runs these with every section in a block of its own, so that a read behind it
is reported. Damage goes where it tells: to cells that differ from their neighbour, to the numbers
of the metadata, to the section table, and to the packed rows.
"""

from __future__ import annotations

import json
import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import pytest

from georestrict import Database, DatabaseError
from georestrict.table import image
from georestrict.testing import tiny_database
from tests.conftest import CORES
from tests.test_image import SECTIONS, resummed

Sections = dict[str, bytes]


def _networks() -> list[str]:
    """Networks of every length, crowded so that all kinds of nodes are there."""
    spread = random.Random(1)
    found = []
    for length in [*range(8, 33)] * 4:
        base = spread.choice([0x5102, 0xAF10, spread.getrandbits(16)]) << 16
        found.append(str(IPv4Network((base | spread.getrandbits(16), length), strict=False)))
    for length in [*range(20, 129)] * 2:
        base = 0x2001_0218 << 96 | spread.choice([0, 5 << 64, spread.getrandbits(96)])
        found.append(str(IPv6Network((base | spread.getrandbits(24), length), strict=False)))
    return [*dict.fromkeys(found)]


NETWORKS = _networks()
PROBES = [
    (network.version, value)
    for network in map(ip_network, NETWORKS)
    for end in (int(network[0]), int(network[-1]))
    for value in (end - 1, end, end + 1)
    if 0 <= value < 1 << network.max_prefixlen
]


def sound_database() -> Database:
    """A database in which every kind of node and of claim is."""
    codes = ("GB", "CN", "SE", "JP", "US")
    return tiny_database(
        {network: codes[number % 5] for number, network in enumerate(NETWORKS)},
        dict.fromkeys(NETWORKS[::7], "tor:high:Tor|hosting:low:Tor")
        | dict.fromkeys(NETWORKS[3::7], "hosting:high:Example"),
    )


def sections_of(database: Database) -> Sections:
    """The bytes of each section."""
    return {name: bytes(database._image.section(name)) for name in (*SECTIONS, "origin.tor")}


@pytest.fixture(scope="module")
def sound() -> Sections:
    return sections_of(sound_database())


def opened(sections: Sections) -> Database:
    """Open an image of these sections, each in a block of its own."""
    found = image.Image(memoryview(image.encode(sections)), "hostile")
    found._sections = {name: memoryview(bytearray(data)) for name, data in sections.items()}
    return Database(found)


def damage_cells(sections: Sections, spread: random.Random) -> None:
    cells = [*memoryview(sections["cells"]).cast("I")]
    telling = [at for at in range(1, len(cells)) if cells[at] != cells[at - 1]]
    nodes = [cell for cell in cells if cell >> 30]
    for _ in range(spread.choice([1, 1, 1, 2, 5])):
        at = spread.choice(telling) + spread.choice([0, 0, 0, -1])
        cells[at] = spread.choice(
            [
                spread.getrandbits(32),
                spread.getrandbits(3),
                cells[at] ^ 1 << spread.randrange(32),
                (cells[at] + spread.choice([-2, -1, 1, 2, 64])) & 0xFFFFFFFF,
                spread.choice(cells),
                spread.choice(nodes),
                spread.randrange(1, 4) << 30 | spread.randrange(16) << 26 | spread.choice(telling),
                spread.randrange(1, 4) << 30 | spread.randrange(16) << 26 | len(cells) - 1,
            ]
        )
    sections["cells"] = struct.pack(f"={len(cells)}I", *cells)


def cut_cells(sections: Sections, spread: random.Random) -> None:
    cut = spread.choice([1, 2, 3, 4, 8, 64, spread.randrange(len(sections["cells"]))])
    cells = sections["cells"]
    sections["cells"] = cells[cut:] if spread.random() < 0.3 else cells[:-cut]


def damage_numbers(sections: Sections, spread: random.Random) -> None:
    """Replace one number of the metadata, be it a root, a count or a date."""
    meta = sections["meta"].decode()
    number = spread.choice([*re.finditer(r"\d+", meta)])
    near = int(number[0]) + spread.choice([-1, 1, 31, 32, 65536])
    other = spread.choice([near, 0, -1, 1 << 26, (1 << 26) - 1, 1 << 32, 1 << 64, 1.5, "null"])
    sections["meta"] = (meta[: number.start()] + str(other) + meta[number.end() :]).encode()


def damage_classes(sections: Sections, spread: random.Random) -> None:
    meta = json.loads(sections["meta"])
    classes = meta["classes"]
    kind = spread.randrange(4)
    if kind == 0:
        del classes[spread.randrange(len(classes)) :]
    elif kind == 1:
        classes.append(spread.choice(classes))
    elif kind == 2:
        classes[spread.randrange(len(classes))] = spread.choice(
            [[], ["known"], [1, 2, 3], None, {}]
        )
    else:
        spread.shuffle(classes)
    sections["meta"] = json.dumps(meta).encode()


def damage_rows(sections: Sections, spread: random.Random) -> None:
    name = spread.choice(["origin.country", "origin.hosting", "origin.tor"])
    rows = bytearray(sections[name])
    for _ in range(spread.choice([1, 1, 2, 8])):
        rows[spread.randrange(len(rows))] = spread.choice(
            [0, 1, 127, 128, 255, spread.getrandbits(8)]
        )
    sections[name] = bytes(rows[: spread.randrange(len(rows))] if spread.random() < 0.2 else rows)


BOTH = {"refused", "answered"}
DAMAGES = [
    (damage_cells, 150, BOTH),
    (cut_cells, 40, {"refused"}),
    (damage_numbers, 100, BOTH),
    (damage_classes, 80, BOTH),
    (damage_rows, 100, {"answered"}),  # they are read when somebody asks for sources
]


@pytest.mark.parametrize(
    ("damage", "trials", "outcomes"), DAMAGES, ids=[damage.__name__ for damage, *_ in DAMAGES]
)
def test_g3_a_hostile_image_is_refused_or_answers_with_what_it_names(
    sound: Sections,
    damage: Callable[[Sections, random.Random], None],
    trials: int,
    outcomes: set[str],
) -> None:
    spread = random.Random(damage.__name__)
    found = set()
    for trial in range(trials):
        sections = dict(sound)
        damage(sections, spread)
        try:
            database = opened(sections)
        except DatabaseError:
            found.add("refused")
            continue
        found.add("answered")
        use(database, spread, thoroughly=trial % 10 == 0)
    assert found == outcomes


SERVING = """
import hashlib, json, random, sys
from pathlib import Path
from georestrict import Database, DatabaseError, Engine
from tests.test_hostile import DAMAGES, NETWORKS, sections_of, sound_database
from tests.test_image import resummed
from georestrict.table import image
folder, trials = Path(sys.argv[1]), int(sys.argv[2])
path, listed = folder / "hostile.grdb", folder / "listed.txt"
listed.write_text("".join(f"{network}\\n" for network in NETWORKS[::3]))
policy = {
    "default": "allow",
    "lists": {"mine": {"path": str(listed)}},
    "rules": [
        {"name": "listed", "action": "block", "lists": ["mine"]},
        {"name": "tor", "action": "warn", "categories": ["tor:low"]},
        {"name": "gb", "action": "block", "countries": ["GB"]},
    ],
}
sound = sections_of(sound_database())
addresses = [network.partition("/")[0] for network in NETWORKS]
spread, told, counts = random.Random(11), hashlib.sha256(), {"refused": 0, "served": 0}
for trial in range(trials):
    sections = dict(sound)
    spread.choice(DAMAGES)[0](sections, spread)
    data = bytearray(image.encode(sections))
    for _ in range(spread.choice([0, 0, 1, 8])):
        data[spread.randrange(32 + 32 * len(sections), len(data))] = spread.getrandbits(8)
    path.write_bytes(resummed(data))
    try:
        engine = Engine(policy, database=path)
    except DatabaseError as error:
        counts["refused"] += 1
        continue
    counts["served"] += 1
    named = {each.country for each in engine.database.classes} | {None}
    countries = [engine.database.country(each) for each in addresses]
    many = engine.database.lookup_many(addresses)
    assert countries == [many.values[at].country for at in many.indices]
    assert set(countries) <= named
    decisions = [engine.decide(each) for each in addresses]
    assert {each.location.country for each in decisions} <= named
    assert {each.rule for each in decisions} <= {"listed", "tor", "gb", None}
    told.update(repr((countries, [each.rule for each in decisions])).encode())
print(json.dumps([counts, told.hexdigest()]))
"""


@pytest.mark.once  # it runs both
def test_g3_p2_nonsense_under_an_engine_ends_no_process_and_both_cores_serve_the_same(
    tmp_path: Path,
) -> None:
    """Each in a process of its own, so that a crash would be seen."""
    names = [core.__name__.rpartition("_")[2] for core in CORES]
    found = []
    for name in names:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", SERVING, str(tmp_path), "80"],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"GEORESTRICT_BACKEND": name},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads(done.stdout))
    assert all(each == found[0] for each in found)
    assert all(count > 10 for count in found[0][0].values()), found[0][0]


def use(database: Database, spread: random.Random, thoroughly: bool) -> None:
    """Ask everything that can be asked; nothing but a DatabaseError may come of it."""
    named = {location.country for location in database.classes} | {None}
    for version, value in PROBES:
        assert 0 <= database.table.find_value(version, value) < len(database.classes)
    for network in spread.sample(NETWORKS, 20):
        address = network.partition("/")[0]
        assert database.country(address) in named
        database.lookup(address)
        with suppress(DatabaseError):
            database.matches(address)
    if thoroughly:
        with suppress(DatabaseError):
            database.verify()


def test_g3_both_cores_refuse_the_same_cells_and_answer_the_same(sound: Sections) -> None:
    spread = random.Random(5)
    meta = json.loads(sound["meta"])
    outcomes = []
    for _ in range(80):
        sections = dict(sound)
        damage_cells(sections, spread)
        found: list[list[int] | None] = []
        for core in CORES:
            try:
                cells = memoryview(bytearray(sections["cells"]))
                table = core.Table(cells, *meta["roots"], len(meta["classes"]))
            except ValueError:
                found.append(None)
            else:
                found.append([table.find_value(*probe) for probe in PROBES])
        assert all(answers == found[0] for answers in found)
        outcomes.append(found[0] is None)
    assert 8 < sum(outcomes) < 72


def test_g2_a_section_table_that_points_elsewhere_is_refused_or_harmless(sound: Sections) -> None:
    whole = image.encode(sound)
    spread = random.Random(6)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(spread.choice([1, 1, 2])):
            at = 32 + 32 * spread.randrange(len(SECTIONS)) + spread.choice([0, 16, 24])
            value = spread.choice(
                [spread.getrandbits(64), len(whole), len(whole) - 64, 0, 32, 64, 192, 256, 1 << 63]
            )
            struct.pack_into("<Q", damaged, at, value)
        try:
            database = Database(image.Image(memoryview(resummed(damaged)), "hostile"))
        except DatabaseError:
            continue
        use(database, spread, thoroughly=False)


def test_g2_every_cut_is_refused_even_with_the_length_and_the_sums_put_right(
    sound: Sections,
) -> None:
    whole = image.encode(sound)
    for length in [*range(192, 900, 4), *range(900, len(whole) - 64, 4099)]:
        cut = bytearray(whole[:length])
        struct.pack_into("<Q", cut, 16, length)
        with pytest.raises(DatabaseError):
            Database(image.Image(memoryview(resummed(cut)), "cut"))
