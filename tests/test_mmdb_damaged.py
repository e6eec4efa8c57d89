"""G1: whatever is wrong with an MMDB, the error is ours, and finding it out costs little."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import FormatError
from georestrict.sources import mmdb as reader
from tests import mmdb, sdist

MIB_EACH, SECONDS_EACH = 64, 2

# Opens each file, and reads what it says for a layer whenever it was built, with 64 MiB more of
# address space than the process has after its imports; the whole may take 2 s of the processor
# for each file. What is no DatabaseError ends it.
CHILD = f"""
import json, resource, sys
from pathlib import Path
import maxminddb, maxminddb.decoder
from georestrict import Database, DatabaseError
from georestrict.sources import mmdb
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + ({MIB_EACH} << 20),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS_EACH} * len(sys.argv),) * 2)
def said(read):
    try:
        read()
    except DatabaseError as error:
        return str(error)
    return ""
told = {{}}
for name in sys.argv[1:]:
    path = Path(name)
    told[path.stem] = [
        said(lambda: Database.open(path)),
        said(lambda: mmdb.batches(path.read_bytes(), name, "country", "medium")),
    ]
print(json.dumps(told))
"""


def refusals(paths: list[Path]) -> dict[str, list[str]]:
    """What opening each file, and reading it for a layer, says; empty text if it is taken."""
    command = [sys.executable, "-c", CHILD, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, list[str]] = json.loads(done.stdout)
    return told


NONE_FOR_US = "its records have the keys ['ip']"
BAD_DATA = {
    "libmaxminddb-corrupt-search-tree": "its records have the keys ['ip']",
    "libmaxminddb-deep-array-nesting": "maximum depth",
    "libmaxminddb-deep-nesting": "maximum depth",
    "libmaxminddb-empty-array-last-in-metadata": NONE_FOR_US,
    "libmaxminddb-empty-map-last-in-metadata": NONE_FOR_US,
    "libmaxminddb-metadata-marker-only": "bad data",
    "libmaxminddb-offset-integer-overflow": "bad data",
    "libmaxminddb-oversized-array": "maximum number of values",
    "libmaxminddb-oversized-map": "maximum number of values",
    "libmaxminddb-separator-record-max-left": "its tree leads out of the data",
    "libmaxminddb-separator-record-min-left": "its tree leads out of the data",
    "libmaxminddb-separator-record-min-right": "its tree leads out of the data",
    "libmaxminddb-uint64-max-epoch": NONE_FOR_US,
    "cyclic-data-structure": "Unknown record size: 0",
    "invalid-bytes-length": "bad data",
    "invalid-data-record-offset": "'utf-8' codec can't decode",
    "invalid-map-key-length": "Unknown record size: 0",
    "invalid-string-length": "bad data",
    "metadata-is-an-uint128": "Error reading metadata",
    "unexpected-bytes": "bad data",
    "bad-unicode-in-map-key": "its tree leads out of the data",
}
# Of the hostile ones in `test-data`; the others there are in tests/test_mmdb_reference.py.
HOSTILE = {
    "GeoIP2-City-Test-Broken-Double-Format": "bad data",
    "GeoIP2-City-Test-Invalid-Node-Count": "extends past the end of the file",
    "MaxMind-DB-test-broken-pointers-24": "its tree leads out of the data",
    "MaxMind-DB-test-broken-search-tree-24": "its tree leads back to itself",
    "MaxMind-DB-test-decode-path-shared-budget": "maximum payload size",
    "MaxMind-DB-test-decoder-payload-limit": "its records are such as",
    "MaxMind-DB-test-decoder-payload-limit-over": "maximum payload size",
    "MaxMind-DB-test-decoder-value-limit": "its records are such as",
    "MaxMind-DB-test-decoder-value-limit-over": "maximum number of values",
    "MaxMind-DB-test-decoder-value-limit-pointer-heavy": "its records are such as",
    "MaxMind-DB-test-metadata-payload-limit": "maximum payload size",
    "MaxMind-DB-test-payload-amplification-dos": "maximum payload size",
    "MaxMind-DB-test-payload-amplification-dos-string": "maximum payload size",
    "MaxMind-DB-test-payload-amplification-dos-worst-case": "maximum payload size",
    "MaxMind-DB-test-pointer-decoder-dos": "maximum number of values",
    "MaxMind-DB-test-pointer-decoder-dos-ipv6": "maximum number of values",
}


@pytest.mark.once  # the bombs below are for both cores
@pytest.mark.needs(sdist.NAME)
@pytest.mark.parametrize(("name", "files"), [("bad-data", BAD_DATA), ("test-data", HOSTILE)])
def test_g1_maxminds_bad_databases_are_refused_within_64_mib_and_2_s_each(
    name: str, files: dict[str, str]
) -> None:
    folder = sdist.folder()
    assert folder is not None
    found = {path.stem: path for path in (folder / name).rglob("*.mmdb")}
    assert found.keys() == files.keys() or name == "test-data"
    told = refusals([found[stem] for stem in files])
    for stem, fragment in files.items():
        for said in told[stem]:
            assert said.startswith(str(found[stem])) and fragment in said, (stem, said)


def one_record(data: bytes, nodes: int = 1, **about: Any) -> bytes:
    """A file for IPv4 of which all addresses have the record at the data section's start."""
    pairs = [(at + 1, at + 1) for at in range(nodes - 1)] + [(nodes + 16, nodes + 16)]
    return mmdb.packed(pairs, 24) + bytes(16) + data + mmdb.metadata(nodes, 24, 4, about)


def nested(depth: int) -> bytes:
    return (mmdb.header(7, 1) + b"\x41a") * depth + mmdb.header(7, 0)


def fan_out() -> bytes:
    """Each of 40 arrays points twice to the one before: 2**40 values."""
    section = bytearray(mmdb.header(7, 0))
    at = 0
    for _ in range(40):
        before, at = at, len(section)
        section += mmdb.header(11, 2) + mmdb.pointer(before) * 2
    return pointed(bytes(section), at)


def pointed(section: bytes, at: int) -> bytes:
    """A file for IPv4 of which all addresses have the record at a place in the data section."""
    return mmdb.packed([(17 + at, 17 + at)], 24) + bytes(16) + section + mmdb.metadata(1, 24, 4)


def many_large_records() -> bytes:
    """1,000 networks, each with a record of its own that leads to the same 60,000 values."""
    large = mmdb.header(11, 60_000) + mmdb.header(7, 0) * 60_000
    records = (mmdb.header(7, 1) + b"\x41a" + mmdb.pointer(0)) * 1_000
    size, nodes = len(records) // 1_000, 1_024 - 1
    leaves = [nodes + 16 + len(large) + size * (at % 1_000) for at in range(1_024)]
    numbers = [*range(1, nodes), *leaves]  # a full tree: node n has 2n + 1 and 2n + 2
    pairs = [(numbers[2 * at], numbers[2 * at + 1]) for at in range(nodes)]
    return mmdb.packed(pairs, 24) + bytes(16) + large + records + mmdb.metadata(nodes, 24, 4)


def lying(nodes: int) -> bytes:
    whole = mmdb.image([("81.2.69.0/24", mmdb.maxmind("GB"))], record_size=24)
    return whole[: whole.rfind(mmdb.MARKER)] + mmdb.metadata(nodes, 24, 6)


GOOD = mmdb.header(7, 1) + b"\x4ccountry_code" + b"\x42GB"
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a pointer to a pointer": (lambda: one_record(mmdb.pointer(2) + mmdb.pointer(4) + GOOD), "bad data"),
    "a pointer to itself": (lambda: one_record(mmdb.pointer(0)), "bad data"),
    "a pointer out of the file": (lambda: one_record(mmdb.pointer(1 << 31)), "bad data"),
    "a map within itself": (lambda: one_record(mmdb.header(7, 1) + b"\x41a" + mmdb.pointer(0)), "maximum"),
    "maps 10,000 deep": (lambda: one_record(nested(10_000)), "maximum depth"),
    "maps 10,000 deep in the metadata": (lambda: one_record(GOOD, description=mmdb.Raw(nested(10_000))), "maximum depth"),
    "arrays 10,000 deep": (lambda: one_record(mmdb.header(11, 1) * 10_000 + GOOD), "maximum depth"),
    "2**40 values": (fan_out, "maximum number of values"),
    "a map of 16 million": (lambda: one_record(mmdb.header(7, 16_000_000)), "maximum number of values"),
    "an array of 16 million": (lambda: one_record(mmdb.header(11, 16_000_000)), "maximum number of values"),
    "a text of 16 MB": (lambda: one_record(mmdb.header(2, 16_000_000) + b"x"), "maximum payload size"),
    "bytes of 16 MB": (lambda: one_record(mmdb.header(4, 16_000_000) + b"x"), "maximum payload size"),
    "a number of 16 MB": (lambda: one_record(mmdb.header(10, 16_000_000) + b"x"), "bad data"),
    "a key that is a map": (lambda: one_record(mmdb.header(7, 1) + mmdb.header(7, 0) * 2), "unhashable"),
    "a key that is no UTF-8": (lambda: one_record(mmdb.header(7, 1) + b"\x41\xff\x41a"), "can't decode"),
    "a text that is no UTF-8": (lambda: one_record(mmdb.header(7, 1) + b"\x41a\x41\xff"), "can't decode"),
    "an unknown type": (lambda: one_record(b"\x00\x20"), "Unexpected type"),
    "many large records": (many_large_records, "share so much data"),
    "a tree that doubles 31 times": (lambda: one_record(GOOD, 31), "leads back to itself"),
    "a tree deeper than addresses": (lambda: one_record(GOOD, 34), "leads back to itself"),
    "a tree in a circle": (lambda: mmdb.packed([(1, 1), (0, 0)], 24) + bytes(16) + GOOD + mmdb.metadata(2, 24, 4), "leads back"),
    "a record between tree and data": (lambda: mmdb.packed([(16, 16)], 24) + bytes(16) + GOOD + mmdb.metadata(1, 24, 4), "out of the data"),
    "a record behind the file": (lambda: mmdb.packed([(9999, 17)], 24) + bytes(16) + GOOD + mmdb.metadata(1, 24, 4), "out of the data"),
    "no nodes": (lambda: lying(0), "it has no records"),
    "fewer nodes": (lambda: lying(3), ""),
    "more nodes": (lambda: lying(10_000), "extends past the end"),
    "2**32 - 1 nodes": (lambda: lying((1 << 32) - 1), "extends past the end"),
    "2**64 - 1 nodes": (lambda: lying((1 << 64) - 1), "extends past the end"),
    "a text of nodes": (lambda: one_record(GOOD, node_count="many"), "damaged MMDB"),
    "records of 25 bits": (lambda: one_record(GOOD, record_size=25), "Unknown record size: 25"),
    "records of a text's bits": (lambda: one_record(GOOD, record_size="24"), "Unknown record size"),
    "records of 24.0 bits": (lambda: one_record(GOOD, record_size=24.0), "its record_size is 24.0"),
    "IPv5": (lambda: one_record(GOOD, ip_version=5), "for IPv5"),
    "a list for its type": (lambda: one_record(GOOD, database_type=["x"]), "its database_type is"),
    "a text for its build time": (lambda: one_record(GOOD, build_epoch="now"), "its build_epoch is 'now'"),
    "a key too many": (lambda: one_record(GOOD, unknown=1), "unexpected keyword"),
    "metadata that is a text": (lambda: one_record(GOOD)[:-150].partition(mmdb.MARKER)[0] + mmdb.MARKER + b"\x41a", "reading metadata"),
}  # fmt: skip


def test_g1_hand_made_bombs_are_refused_within_64_mib_and_2_s_each(tmp_path: Path) -> None:
    paths = []
    for number, (make, _) in enumerate(BOMBS.values()):
        paths.append(tmp_path / f"{number}.mmdb")
        paths[-1].write_bytes(make())
    told = refusals(paths)
    for number, (name, (_, fragment)) in enumerate(BOMBS.items()):
        for said in told[str(number)]:
            assert fragment in said and said.startswith(str(paths[number])), (name, said)


def test_metadata_may_say_odd_things_that_do_no_harm() -> None:
    title = {"en": "x\x1b[31m" + 1000 * "y"}
    contents = reader.read(one_record(GOOD, database_type="a b/c\x1b[31m", description=title), "x")
    assert (contents.kind, contents.title[:10], len(contents.title)) == (
        "a-b-c-[31m",
        "x [31myyyy",
        200,
    )
    for about in (
        {"database_type": "", "description": ["x"]},
        {"database_type": "", "description": {"en": 5}},
    ):
        contents = reader.read(one_record(GOOD, **about), "x")
        assert (contents.kind, contents.title) == ("mmdb", "mmdb")


@pytest.mark.parametrize(
    ("epoch", "says"),
    [
        (0, "at 1970-01-01 00:00 UTC"),
        (1_000_000_000, "at 2001-09-09 01:46 UTC"),
        (4_102_444_800, "at 2100-01-01 00:00 UTC"),
        (1 << 62, "at 4611686018427387904 s after 1970"),
        ((1 << 64) - 1, "at 18446744073709551615 s after 1970"),
        (1 << 100, "s after 1970"),
    ],
)
def test_g11_a_file_that_was_built_at_no_possible_time_is_refused_with_the_way_around(
    epoch: int, says: str
) -> None:
    digits = epoch.to_bytes(16)
    data = one_record(GOOD, build_epoch=mmdb.Raw(mmdb.header(10, 16) + digits))
    for read in (reader.read, reader.built):
        with pytest.raises(FormatError, match=r"^x\.mmdb: says that it was built at ") as caught:
            read(data, "x.mmdb")
        assert says in str(caught.value)
        assert "or compile it with a manifest that states its date" in str(caught.value)
    (ipv4, _) = reader.batches(data, "x.mmdb", "country", "medium")
    assert ipv4.values == ["GB"]


WHOLE = mmdb.image(
    [("::/0", mmdb.maxmind("SE")), ("81.2.69.0/24", mmdb.maxmind("GB", "ENG")), ("2600::/12", {"asn": "AS64500"})]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=12),
    st.none() | st.integers(0, len(WHOLE)),
    st.none() | st.binary(max_size=40),
)
def test_g1_flipped_bytes_truncations_and_insertions_are_read_or_refused(
    flips: list[tuple[int, int]], cut: int | None, inserted: bytes | None
) -> None:
    data = bytearray(WHOLE)
    for at, value in flips:
        data[at] = value
    if cut is not None:
        data = data[:cut] if inserted is None else data[:cut] + inserted + data[cut:]
    try:
        reader.read(bytes(data), "x")
    except FormatError as error:
        assert str(error).startswith("x: ")


def test_g1_a_truncated_file_is_refused_unless_only_its_description_is_shorter() -> None:
    whole, text = reader.read(WHOLE, "x"), len("for tests")
    for length in range(len(WHOLE)):
        if length < len(WHOLE) - text:
            with pytest.raises(FormatError, match=r"^x: "):
                reader.read(WHOLE[:length], "x")
        else:
            assert reader.read(WHOLE[:length], "x").layers == whole.layers


def test_g1_a_file_without_its_middle_is_read_or_refused() -> None:
    end, refused = WHOLE.rfind(mmdb.MARKER), 0
    for length in range(end):
        try:
            reader.read(WHOLE[:length] + WHOLE[end:], "x")
        except FormatError as error:
            refused += 1
            assert str(error).startswith("x: ")
    assert refused > end - 10
