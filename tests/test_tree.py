"""The search tree of an MMDB: both cores find the same in it, whatever its bytes are."""

from __future__ import annotations

import random
from typing import Any

import pytest

from georestrict._core import _python
from tests import mmdb
from tests.conftest import CORES

# Both cores are asked here: the suite on the plain one need not ask it again.
pytestmark = pytest.mark.once

COUNTRIES = [
    ("0.0.0.0/1", "A"), ("128.0.0.0/1", "A"), ("8.8.8.0/24", "B"), ("8.8.9.0/24", "B"), ("8.8.10.0/24", "C"),
    ("2600::/12", "A"), ("2610::/12", "B"), ("2620::/12", "B"), ("ffff::/16", "C"),
]  # fmt: skip


def found(core: Any, data: bytes, labels: list[int] | None, *form: int) -> Any:
    """What a core finds, or the words of its refusal."""
    try:
        tree = core.Tree(data, *form)
        places = tree.records()
        chosen = [1 + at % 3 for at in range(len(places))] if labels is None else labels
        return tree.networks, tree.data_at, places, *tree.ranges(chosen)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("size", [24, 28, 32])
def test_neighbours_that_mean_the_same_are_one_range(size: int, core: Any) -> None:
    tree = mmdb.Tree(mmdb.Network.of(text, "ABC".index(name)) for text, name in COUNTRIES)
    data = mmdb.assemble(tree, [["A"], ["B"], ["C"]], size)
    read = core.Tree(data, len(tree.children), size, 6)
    places = list(read.records())
    names = [data[place + 1 + 2 : place + 1 + 3].decode() for place in places]
    assert names == ["A", "B", "C"]
    around = 21  # of 0.0.0.0/1, one for each length from 2 to 22, and then the four of 8.8.8.0/22
    assert read.networks == around + 4 + 1 + 4
    ipv4, ipv6 = read.ranges([1, 0, 2])
    spans = [
        (high >> 32, last_high >> 32, value)
        for high, last_high, value in zip(ipv4.first_high, ipv4.last_high, ipv4.value, strict=True)
    ]
    assert spans == [
        (0, 0x0808_07FF, 0), (0x0808_0A00, 0x0808_0AFF, 1), (0x0808_0B00, 0xFFFF_FFFF, 0),
    ]  # fmt: skip
    assert list(ipv4.last_low) == [(1 << 64) - 1] * 3
    assert [*zip(ipv6.first_high, ipv6.last_high, ipv6.last_low, ipv6.value, strict=True)] == [
        (0x2600 << 48, (0x2610 << 48) - 1, (1 << 64) - 1, 0),
        (0xFFFF << 48, (1 << 64) - 1, (1 << 64) - 1, 1),
    ]
    assert ipv4.line[0] == 1 and ipv6.line[0] == around + 4 + 1 + 1
    assert [len(columns.value) for columns in read.ranges([0, 0, 0])] == [0, 0]
    with pytest.raises(ValueError, match="2 labels for 3 records"):
        read.ranges([1, 2])


@pytest.mark.parametrize(
    "form", [(0, 25, 6), (0, 24, 5), (-1, 24, 4), (3, 24, 4), (1 << 70, 24, 4), (0, 32, 6)]
)
def test_a_tree_that_does_not_fit_its_bytes_is_refused(
    form: tuple[int, int, int], core: Any
) -> None:
    if form == (0, 32, 6):
        assert list(core.Tree(bytes(16), *form).records()) == []
        return
    with pytest.raises(ValueError, match=r"^(a tree of|records of)"):
        core.Tree(bytes(33), *form)


@pytest.mark.once
def test_both_cores_find_the_same_in_random_trees() -> None:
    """Half of them are whole; in the others any number stands anywhere."""
    spread, outcomes = random.Random(5), set()
    for trial in range(1500):
        nodes, size = spread.choice([1, 2, 3, 5, 30, 120, 200]), spread.choice([24, 28, 32])
        version, room = spread.choice([4, 6]), spread.choice([1, 8, 64])
        end = nodes + 16 + room + (3 if trial % 5 == 0 else 0)
        low = spread.choice([0, 0, nodes + 16])

        def child(at: int, *, nodes: int = nodes, low: int = low, end: int = end) -> int:
            if spread.random() < 0.5 and at + 1 < nodes:
                return spread.randrange(at + 1, min(nodes, at + 5)) if low else at + 1
            return spread.choice([nodes, spread.randrange(low, end)])

        pairs = [(child(at), child(at)) for at in range(nodes)]
        data = mmdb.packed(pairs, size) + bytes(16 + room)
        form = (nodes, size, version)
        wanted = found(_python, data, None, *form)
        for core in CORES:
            assert found(core, data, None, *form) == wanted, (pairs, form)
        outcomes.add(wanted if isinstance(wanted, str) else "read")
    assert outcomes == {"read", "its tree leads back to itself", "its tree leads out of the data"}


@pytest.mark.once
def test_both_cores_find_the_same_in_random_bytes() -> None:
    spread = random.Random(6)
    for _ in range(500):
        data = spread.randbytes(spread.randrange(400))
        form = (spread.randrange(60), spread.choice([24, 28, 32]), spread.choice([4, 6]))
        wanted = found(_python, data, [], *form)
        for core in CORES:
            assert found(core, data, [], *form) == wanted, (data, form)
