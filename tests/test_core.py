"""Both cores against the gold model: parsing, painting, growing, looking up."""

from __future__ import annotations

import random
import sys
import threading
from array import array
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from georestrict._core import Columns, Runs, _grow, _trie
from tests import gold
from tests.conftest import CORES

# Both cores are asked here: the suite on the plain one need not ask it again.
pytestmark = pytest.mark.once

WIDTHS = {4: 32, 6: 128}
Range = tuple[int, int, int]

ODD_TEXTS = """
0.0.0.0 255.255.255.255 256.0.0.1 1.2.3 1.2.3.4.5 01.2.3.4 1.2.3.04 1..2.3 .1.2.3 1.2.3. 1.2.3.4.
1359103374
0x51.2.3.4 081.2.69.142 0251.2.69.142 00.0.0.0 1.2.3.4/32 1.2.3.4:80 +1.2.3.4 1.2.3.-4 1.2.3.4\x00 \t1.2.3.4
:: ::1 1:: : ::: :1 1: 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1::2::3 1:2:3:4::5:6:7:8
1:2:3:4:5:6:7::8 12345:: fffff::1 ::g ::1.2.3.4 1:2:3:4:5:6:1.2.3.4 1:2:3:4:5:6:7:1.2.3.4 1:2:3:4:5::1.2.3.4
1:2:3:4:5:6::1.2.3.4 ::1.2.3.4:5 1.2.3.4:: ::01.2.3.4 ::ffff:1.2.3.4 ::FFFF:af10:c701 0:0:0:0:0:ffff:af10:c701
::ffff:0:1.2.3.4 fe80::1%eth0 [::1] ::1%0 2001:db8::1:8080 0000:0000:0000:0000:0000:0000:255.255.255.255
0000:0000:0000:0000:0000:ffff:255.255.255.255 00001:: ::00000 a b abcd abcdefghijklmnop
""".split(" ")  # noqa: SIM905 readable as a block


@pytest.mark.parametrize(
    "text", [*sorted({part for text in ODD_TEXTS for part in text.split("\n")}), "８１.2.69.142"]
)
def test_odd_address_texts_are_read_as_the_standard_library_reads_them(
    core: Any, text: str
) -> None:
    assert core.parse_address(text) == _as_tuple(gold.parse(text))


def _as_tuple(address: IPv4Address | IPv6Address | None) -> tuple[int, int] | None:
    return None if address is None else (address.version, int(address))


ADDRESS_LIKE = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded.upper()),
    st.text("0123456789abcdefABCDEF:.%/ gx\0é１", max_size=50),
    st.lists(st.integers(0, 300).map(str), min_size=3, max_size=5).map(".".join),
    st.lists(st.integers(0, 0x1FFFF).map("{:x}".format) | st.just(""), min_size=1, max_size=10).map(
        ":".join
    ),
)


def test_addresses_are_read_alike_wherever_they_lie_in_memory(core: Any) -> None:
    spread = random.Random(5)
    texts = []  # all kept, so that some lie at the end of a page, where less may be read
    for _ in range(3000):
        groups = [f"{spread.getrandbits(spread.choice((4, 8, 12, 16))):x}" for _ in range(8)]
        start, end = sorted(spread.choices(range(9), k=2))
        texts.append(":".join(groups))
        texts.append(":".join(groups[:start]) + "::" + ":".join(groups[end:]))
        texts.append(str(IPv4Address(spread.getrandbits(32))))
        texts.append(".".join(str(spread.randrange(300)) for _ in range(4)))
    for text in texts[:]:
        at = spread.randrange(len(text))
        texts.append(text[:at] + spread.choice("0.:9aG/ ") + text[at + spread.randrange(2) :])
    for text in texts:
        assert core.parse_address(text) == _as_tuple(gold.parse(text))


@given(text=ADDRESS_LIKE)
@settings(max_examples=1500, deadline=None)
@example("\ud800")
@example("")
def test_any_text_is_read_as_the_standard_library_reads_it(text: str) -> None:
    expected = _as_tuple(gold.parse(text))
    for core in CORES:
        assert core.parse_address(text) == expected


@given(address=st.ip_addresses())
@settings(max_examples=500, deadline=None)
def test_b19_an_address_written_out_and_read_again_is_the_same(
    address: IPv4Address | IPv6Address,
) -> None:
    for core in CORES:
        version, value = core.parse_address(str(address))
        written = str(IPv4Address(value) if version == 4 else IPv6Address(value))
        assert core.parse_address(written) == (version, value)


def ranges(version: int) -> st.SearchStrategy[list[Range]]:
    """Overlapping networks and free ranges that crowd together, so that they meet."""
    width = WIDTHS[version]

    def network(base: int, length: int, value: int) -> Range:
        host = (1 << (width - length)) - 1
        return base & ~host, base | host, value

    def free(first: int, count: int, value: int) -> Range:
        return first, min(first + count, (1 << width) - 1), value

    bases = st.integers(0, (1 << width) - 1)
    crowded = st.integers(0, 64).map(lambda low: (0xA << (width - 4)) | low)
    values = st.integers(1, 5) | st.integers(65530, 65540)
    return st.lists(
        st.builds(network, bases | crowded, st.integers(0, width), values)
        | st.builds(
            free, bases | crowded, st.integers(0, 40) | st.integers(0, 1 << width - 1), values
        ),
        max_size=40,
    )


def columns_of(version: int, rows: list[Range]) -> Columns:
    columns = Columns.empty()
    for first, last, value in rows:
        columns.append_native(version, first, last, value)
    return columns


def probes(version: int, rows: list[Range], seed: int) -> set[int]:
    """Around every end of a range, both ends of the space, and at random."""
    top = (1 << WIDTHS[version]) - 1
    near = {end + step for first, last, _ in rows for end in (first, last) for step in (-1, 0, 1)}
    spread = random.Random(seed)
    return (
        {value for value in near if 0 <= value <= top}
        | {0, top}
        | {spread.randint(0, top) for _ in range(8)}
    )


@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_every_lookup_answers_what_the_linear_scan_answers(
    version: int, data: st.DataObject
) -> None:
    rows = data.draw(ranges(version))
    seed = data.draw(st.integers(0, 1000))
    grown = []
    for core in CORES:
        runs = core.resolve(columns_of(version, rows))
        empty = core.resolve(Columns.empty())
        cells = core.grow(*((runs, empty) if version == 4 else (empty, runs)))
        table = core.Table(*cells, 70000)
        for value in probes(version, rows, seed):
            assert table.find_value(version, value) == gold.find(rows, value)
            if version == 4 or value >> 32 != 0xFFFF:
                text = str(IPv4Address(value) if version == 4 else IPv6Address(value))
                assert table.find(text) == gold.find(rows, value)
        assert table.runs(version) == runs
        grown.append((runs, cells))
    assert all(result == grown[0] for result in grown)


@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_range_of_a_higher_rank_wins_whatever_its_width(
    version: int, data: st.DataObject
) -> None:
    rows = data.draw(ranges(version))
    ranks = [data.draw(st.sampled_from([-(1 << 31), -1, 0, 1, 30])) for _ in rows]
    resolved = []
    for core in CORES:
        runs = core.resolve(columns_of(version, rows), array("i", ranks))
        empty = core.resolve(Columns.empty())
        table = core.Table(*core.grow(*((runs, empty) if version == 4 else (empty, runs))), 70000)
        for value in probes(version, rows, 1):
            held = [
                (rank, row)
                for rank, row in zip(ranks, rows, strict=True)
                if row[0] <= value <= row[1]
            ]
            highest = [row for rank, row in held if rank == max(held)[0]]
            assert table.find_value(version, value) == gold.find(highest, value)
        resolved.append(runs)
    assert all(runs == resolved[0] for runs in resolved)


def test_every_range_needs_a_rank(core: Any) -> None:
    columns = columns_of(4, [(0, 255, 1), (0, 255, 2)])
    assert core.resolve(columns, array("i", [1, 0])).value[0] == 1
    for ranks in (array("i"), array("i", [1]), array("i", [1, 2, 3])):
        with pytest.raises(ValueError, match="not equally long"):
            core.resolve(columns, ranks)


@given(first=ranges(6), second=ranges(6))
@settings(max_examples=100, deadline=None)
def test_two_layers_laid_over_each_other_keep_what_each_says(
    first: list[Range], second: list[Range]
) -> None:
    for core in CORES:
        left, right = core.resolve(columns_of(6, first)), core.resolve(columns_of(6, second))
        runs, pairs = core.merge(left, right)
        table = core.Table(*core.grow(core.resolve(Columns.empty()), runs), len(pairs))
        for value in probes(6, first + second, 1):
            assert pairs[table.find_value(6, value)] == (
                gold.find(first, value),
                gold.find(second, value),
            )
        relabelled = core.relabel(runs, [left for left, _ in pairs])
        assert relabelled == left


def test_runs_begin_at_zero_are_sorted_and_differ_from_their_neighbours(core: Any) -> None:
    runs = core.resolve(
        columns_of(4, [(10, 19, 1), (20, 29, 1), (5, 40, 2), (41, 50, 2), (60, 70, 3)])
    )
    assert [start >> 96 for start in runs.starts()] == [0, 5, 10, 30, 51, 60, 71]
    assert list(runs.value) == [0, 2, 1, 2, 0, 3, 0]


def test_of_equally_narrow_ranges_the_later_wins(core: Any) -> None:
    runs = core.resolve(columns_of(4, [(0, 255, 1), (0, 255, 2)]))
    assert runs.value[0] == 2


def test_a_class_id_that_does_not_fit_is_an_error_and_never_wraps(core: Any) -> None:
    runs = Runs(array("Q", [0]), array("Q", [0]), array("I", [1 << 30]))
    with pytest.raises(OverflowError, match="30 bits"):
        core.grow(runs, core.resolve(Columns.empty()))


def test_values_on_both_sides_of_16_bits_are_told_apart(core: Any) -> None:
    """A NARROW node holds 16-bit class ids; one above makes a WIDE node of it."""
    for values in ([0xFFFE, 0xFFFF], [0xFFFF, 0x10000], [0x10000, 0x10001], [1, 0x10001]):
        rows = [(9 << 16 | at, 9 << 16 | at, value) for at, value in enumerate(values)]
        runs = core.resolve(columns_of(4, rows))
        table = core.Table(*core.grow(runs, core.resolve(Columns.empty())), 0x10002)
        assert [table.find_value(4, first) for first, _, _ in rows] == values
        assert table.runs(4) == runs


def test_more_classes_than_16_bits_tell_apart_work(core: Any) -> None:
    count = 70_000
    columns = Columns.empty()
    for value in range(1, count + 1):
        columns.append_native(4, value, value, value)
        columns.append_native(
            4, (1 << 31) + (value << 8), (1 << 31) + (value << 8), count - value + 1
        )
    runs = core.resolve(columns)
    table = core.Table(*core.grow(runs, core.resolve(Columns.empty())), count + 1)
    for value in (1, 2, 0xFFFE, 0xFFFF, 0x10000, 0x10001, count):
        assert table.find_value(4, value) == value
        assert table.find_value(4, (1 << 31) + (value << 8)) == count - value + 1
        assert table.find_value(4, (1 << 31) + (value << 8) + 1) == 0
    assert table.runs(4) == runs


def test_a_label_that_does_not_fit_is_an_error_and_never_wraps(core: Any) -> None:
    runs = core.resolve(columns_of(4, [(7, 9, 1)]))
    for label in (1 << 32, -1):
        with pytest.raises(OverflowError):
            core.relabel(runs, [0, label])


def test_a_table_of_too_many_cells_is_an_error_and_never_wraps() -> None:
    """The plain core appends to cells that are full already."""
    runs = CORES[0].resolve(columns_of(4, [(7, 9, 1)]))
    cells = array("I", [0]) * (_trie.BASE_MASK - 60_000)
    with pytest.raises(OverflowError, match="needs more than 67108863 cells"):
        _grow._Grower(cells, runs, 32).root()


@pytest.mark.slow
def test_a_policy_too_large_for_the_table_is_an_error_and_never_wraps() -> None:
    """The compiled core: each address far from all others takes seven nodes of its own."""
    count = 2_000_000
    spread = random.Random(8)
    high = array("Q", (spread.getrandbits(64) for _ in range(count)))
    low = array("Q", (spread.getrandbits(64) for _ in range(count)))
    numbers = array("I", range(1, count + 1))
    columns = Columns(high, low, high, low, numbers, numbers)
    for core in CORES[1:]:  # plain Python would take minutes; its own test is above
        runs = core.resolve(columns)
        with pytest.raises(OverflowError, match="needs more than 67108863 cells"):
            core.grow(core.resolve(Columns.empty()), runs)


def test_both_cores_share_one_image_of_many_networks() -> None:
    spread = random.Random(7)
    rows = []
    for value in range(1, 3001):
        length = spread.randint(16, 32)
        host = (1 << (32 - length)) - 1
        base = spread.getrandbits(32)
        rows.append((base & ~host, base | host, value % 10 + 1))
    results = []
    for core in CORES:
        runs = core.resolve(columns_of(4, rows))
        results.append(core.grow(runs, core.resolve(Columns.empty())))
        table = core.Table(*results[-1], 11)
        for value in (spread.getrandbits(32) for _ in range(200)):
            assert table.find_value(4, value) == gold.find(rows, value)
    assert all(result == results[0] for result in results)


HOSTILE = [
    ("a class above the last", lambda cells, root: cells.__setitem__(root, 9)),
    (
        "a node behind its parent",
        lambda cells, root: cells.__setitem__(root, 2 << 30 | 2 << 26 | len(cells) - 4),
    ),
    (
        "a node that is its own child",
        lambda cells, root: cells.__setitem__(root, 1 << 30 | 15 << 26 | root),
    ),
    (
        "a dense node past the address",
        lambda cells, root: cells.__setitem__(root, 1 << 30 | 15 << 26),
    ),
    ("keys that do not begin at zero", lambda cells, root: cells.__setitem__(0, 5)),
    ("a node of 32 keys", lambda cells, root: cells.__setitem__(root, 2 << 30 | 5 << 26)),
]


@pytest.mark.parametrize(
    "damage", [damage for _, damage in HOSTILE], ids=[name for name, _ in HOSTILE]
)
def test_a_hostile_table_is_refused_before_the_first_lookup(core: Any, damage: Any) -> None:
    runs = core.resolve(columns_of(4, [(7, 9, 1), (100, 200, 2)]))
    cells, root4, root6 = core.grow(runs, core.resolve(Columns.empty()))
    core.Table(cells, root4, root6, 3)
    damage(cells, root4)
    with pytest.raises(ValueError, match="cell"):
        core.Table(cells, root4, root6, 3)


@pytest.mark.parametrize("roots", [(1 << 26, 0), (0, 1 << 40), (-1, 0), (0, 65536 * 9)])
def test_roots_outside_the_cells_are_refused(core: Any, roots: tuple[int, int]) -> None:
    cells, *_ = core.grow(core.resolve(Columns.empty()), core.resolve(Columns.empty()))
    with pytest.raises((ValueError, OverflowError)):
        core.Table(cells, *roots, 1)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_g3_nonsense_in_the_cells_is_refused_or_answers_with_a_known_class(
    data: st.DataObject,
) -> None:
    """The same verdict from both cores, and no read outside: the proof stands before the lookup."""
    reference = CORES[0]
    rows = data.draw(ranges(4))
    runs = reference.resolve(columns_of(4, [(a, b, 1 + c % 3) for a, b, c in rows]))
    cells, root4, root6 = reference.grow(runs, reference.resolve(Columns.empty()))
    for _ in range(data.draw(st.integers(1, 4))):
        at = (
            data.draw(st.integers(0, root4 - 1) if root4 else st.just(0))
            if data.draw(st.booleans())
            else root4
        )
        cells[at] = data.draw(st.integers(0, 0xFFFF_FFFF))
    verdicts: list[list[int] | None] = []
    for core in CORES:
        try:
            table = core.Table(cells, root4, root6, 4)
        except ValueError:
            verdicts.append(None)
            continue
        answers = [table.find_value(4, value) for value in probes(4, rows, 3)]
        assert all(0 <= answer < 4 for answer in answers)
        verdicts.append(answers)
    assert all(verdict == verdicts[0] for verdict in verdicts)


LISTS = [
    b"",
    b"# nothing\n; nothing\n\n   \n",
    b"\xef\xbb\xbf10.0.0.0/8\r\n2001:db8::/32 # a comment\r\n1.2.3.4-1.2.3.9 ; another\n1.2.3.4 - 1.2.3.9",
    b"10.0.0.1/8\n::ffff:10.0.0.0/104\n::ffff:10.0.0.0/8\n10.0.0.0/33\n10.0.0.0/08\n10.0.0.0/\n/8",
    b"1.2.3.9-1.2.3.4\n1.2.3.4-::1\n::1-::5\n1.2.3.4-\n-1.2.3.4\n0.0.0.0/0\n::/0\nhost.example\n1.2.3.4#x",
    b"1.2.3.4 5.6.7.8\n\t1.2.3.4\t\n1.2.3.4\x00\n\xff\xfe\n::/64\n::1/64\n::/128\n255.255.255.255",
]


@pytest.mark.parametrize("text", LISTS)
def test_both_cores_read_a_list_alike(text: bytes) -> None:
    results = [core.parse_networks(text) for core in CORES]
    assert all(result == results[0] for result in results)


@given(lines=st.lists(st.text("0123456789abcdef:./- #;\t\r", max_size=40), max_size=20))
@settings(max_examples=300, deadline=None)
def test_both_cores_read_any_list_alike(lines: list[str]) -> None:
    text = "\n".join(lines).encode()
    results = [core.parse_networks(text) for core in CORES]
    assert all(result == results[0] for result in results)


def disjoint(version: int) -> st.SearchStrategy[list[tuple[int, int, int, int]]]:
    """Sorted ranges that do not overlap, with values and lines."""
    top = (1 << WIDTHS[version]) - 1
    ends = st.sets(
        st.integers(0, top) | st.integers(0, 40) | st.integers(top - 40, top), max_size=20
    )
    return ends.map(sorted).flatmap(
        lambda found: st.tuples(
            *(
                st.tuples(
                    st.just(low), st.just(high), st.integers(0, 300), st.integers(0, 1 << 32 - 1)
                )
                for low, high in zip(found[::2], found[1::2], strict=False)
            )
        ).map(list)
    )


@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_packed_rows_come_back_as_they_were_from_both_cores(
    version: int, data: st.DataObject
) -> None:
    rows = data.draw(disjoint(version))
    if data.draw(st.booleans()):
        rows = data.draw(st.sampled_from([rows, [(0, (1 << WIDTHS[version]) - 1, 7, 9)]]))
    columns = Columns.empty()
    for first, last, value, line in rows:
        columns.append_native(version, first, last, value, line)
    packed = [core.pack(columns, version, 0, len(rows)) for core in CORES]
    assert all(result == packed[0] for result in packed)
    for core in CORES:
        assert core.unpack(packed[0], version, rows[0][0] if rows else 0) == columns


@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_damaged_packed_rows_are_an_error_in_both_cores_or_the_same_rows(
    version: int, data: st.DataObject
) -> None:
    columns = Columns.empty()
    rows = data.draw(disjoint(version))
    for first, last, value, line in rows:
        columns.append_native(version, first, last, value, line)
    damaged = bytearray(CORES[0].pack(columns, version, 0, len(rows)))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged))) if data.draw(st.booleans()) else len(damaged)
    results = []
    for core in CORES:
        try:
            results.append(core.unpack(bytes(damaged[:cut]), version, rows[0][0] if rows else 0))
        except ValueError:
            results.append(None)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    "rows",
    [[(5, 9), (9, 12)], [(5, 9), (2, 3)], [(9, 5)]],
    ids=["overlap", "disorder", "backwards"],
)
def test_rows_that_overlap_cannot_be_packed(core: Any, rows: list[tuple[int, int]]) -> None:
    columns = Columns.empty()
    for first, last in rows:
        columns.append_native(4, first, last, 1)
    with pytest.raises(ValueError, match="overlaps"):
        core.pack(columns, 4, 0, len(rows))


@given(rows=ranges(6))
@settings(max_examples=100, deadline=None)
def test_runs_as_ranges_are_the_runs_again(rows: list[Range]) -> None:
    for core in CORES:
        runs = core.resolve(columns_of(6, rows))
        assert core.resolve(core.spans(runs)) == runs


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("gap", [1, 56, 128, 129])
def test_a_row_never_begins_past_the_last_address(core: Any, version: int, gap: int) -> None:
    top = (1 << WIDTHS[version]) - 1
    one_row = bytes([1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2])
    assert core.unpack(one_row, version, top).value == array("I", [0])
    with pytest.raises(ValueError, match=r"row|range|gap"):
        core.unpack(
            bytes(
                [
                    1,
                    3 if gap > 127 else 2,
                    1,
                    1,
                    1,
                    1,
                    *([gap & 127 | 128, 1] if gap > 127 else [gap]),
                    0,
                    0,
                    0,
                    0,
                    2,
                ]
            ),
            version,
            top,
        )
    with pytest.raises(ValueError, match="version"):
        core.unpack(one_row, 5, 0)


def _listed(count: int) -> bytes:
    spread = random.Random(11)
    lines = []
    for number in range(count):
        if number % 2:
            length = spread.randint(16, 28)
            lines.append(f"{IPv4Address(spread.getrandbits(length) << (32 - length))}/{length}")
        else:
            length = spread.randint(32, 56)
            lines.append(f"{IPv6Address(spread.getrandbits(length) << (128 - length))}/{length}")
    return "\n".join(lines).encode()


def test_other_threads_run_while_a_large_list_is_painted() -> None:
    """Everything that takes long gives the interpreter's lock up meanwhile.

    With this switch interval a thread only gets the lock when the other gives it up by itself; if
    the machine is busy, not always in time to see that.
    """
    text = _listed(200_000)
    for core in CORES[1:]:  # plain Python code lets others run at any line
        for work in _heavy_work(core, text):
            assert any(_another_ran(work) for _ in range(20)), work


def _another_ran(work: Callable[[], object]) -> bool:
    began, done = threading.Event(), threading.Event()

    def run() -> None:
        began.set()
        work()
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        began.wait()
        return not done.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()


def _heavy_work(core: Any, text: bytes) -> list[Callable[[], object]]:
    ipv4, ipv6, _ = core.parse_networks(text)
    numbered = ipv6._replace(value=array("I", range(1, len(ipv6.value) + 1)))
    runs4, runs6 = core.resolve(ipv4), core.resolve(numbered)
    merged, pairs = core.merge(runs6, core.resolve(ipv6))
    cells = core.grow(runs4, runs6)
    table = core.Table(*cells, len(numbered.value) + 1)
    labels = array("I", range(len(pairs)))
    return [
        lambda: core.parse_networks(text),
        lambda: core.resolve(numbered),
        lambda: core.merge(runs6, runs4),
        lambda: core.relabel(merged, labels),
        lambda: core.grow(runs4, runs6),
        lambda: core.Table(*cells, len(numbered.value) + 1),
        lambda: table.runs(6),
        lambda: core.spans(runs6),
    ]
