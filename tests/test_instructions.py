"""The check of instruction counts can fail, and says when it compared nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.instructions import BASELINE, comparable, compare, per_call, read

HERE = {"machine": "m", "python": "3.11", "compiler": "GCC 12", "cython": "3.2", "interpreter": "i"}

DUMP = """\
desc: Trigger: Client Request: country, IPv4
events: Ir

ob=(1) /x/georestrict/_core/_compiled.so
fn=(1) find
10 400
+2 100
cob=(2) /usr/lib/libpython.so
cfn=(2) call
calls=7 0
* 900
-1

ob=(2)
fn=(2)
3 800
ob=(1)
fn=(3) parse
* 500

totals: 1800
"""


def figures(core: float, total: float) -> dict[str, dict[str, float]]:
    return {"country, IPv4": {"core": core, "total": total}}


@pytest.mark.parametrize(
    ("core", "kind", "fails"),
    [(200, "core", False), (210, "core", False), (211, "core", True), (211, "total", False), (1, "core", False)],
)  # fmt: skip
def test_a_figure_that_grew_by_over_5_percent_fails(core: float, kind: str, fails: bool) -> None:
    found = compare(figures(200, 1000), figures(core, 1000), kind)
    assert bool(found) is fails
    assert not fails or "country, IPv4: core 200 -> 211 instructions a call, +5.5 %" in found[0]


def test_a_case_without_a_twin_in_the_baseline_fails_and_one_that_went_away_too() -> None:
    assert "not in the baseline" in compare({}, figures(1, 1), "core")[0]
    assert "not found now" in compare(figures(1, 1), {}, "core")[0]


def test_what_was_nothing_may_not_become_something() -> None:
    assert "from nothing" in compare(figures(0, 1), figures(1, 1), "core")[0]


@pytest.mark.parametrize(
    ("differs", "kinds"),
    [({}, ["core", "total"]), ({"cython": "4"}, ["core", "total"]), ({"interpreter": "j"}, ["core"]),
     ({"machine": "n"}, []), ({"python": "3.12"}, []), ({"compiler": "GCC 14"}, [])],
    ids=["nothing", "cython", "interpreter", "machine", "python", "compiler"],
)  # fmt: skip
def test_only_what_was_counted_alike_is_compared_and_the_difference_is_named(
    differs: dict[str, str], kinds: list[str]
) -> None:
    found, told = comparable(HERE, HERE | differs)
    assert found == kinds
    assert all(any(f"differs: {key}" in line for line in told) for key in differs)
    assert not differs or kinds == ["core", "total"] or "compared" in told[-1]


def test_a_dump_is_read_by_object_and_calls_are_not_counted_twice(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_text(DUMP)
    found = read(dump)
    assert found == {"/x/georestrict/_core/_compiled.so": 1000, "/usr/lib/libpython.so": 800}
    around = {"/usr/lib/libpython.so": 300}
    assert per_call({"loop": around, "country, IPv4": found}) == figures(1.0, 1.5)


def test_the_committed_baseline_says_what_it_was_counted_with() -> None:
    baseline: dict[str, Any] = json.loads(BASELINE.read_text())
    assert baseline["about"].keys() == HERE.keys()
    assert all(found.keys() == {"core", "total"} for found in baseline["figures"].values())
