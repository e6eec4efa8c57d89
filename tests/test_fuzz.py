"""What the fuzzer asks, asked again: each committed seed, and that the check can fail.

``tests/fuzz/run.py`` finds new ones; ``make test-all`` runs it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from georestrict import BACKEND
from tests.fuzz import target

SEEDS = sorted((Path(__file__).parent / "fuzz/seeds").iterdir())


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_seed_is_answered_as_it_must_be(seed: Path) -> None:
    assert target.check(seed.read_bytes()), "no such question"


def test_every_question_has_seeds_and_every_core_answers() -> None:
    asked = {seed.read_bytes().partition(b"\n")[0] for seed in SEEDS}
    assert asked == set(target.QUESTIONS)
    assert len(target.SIDES) == (2 if BACKEND == "compiled" else 1)
    assert [side.core.BACKEND for side in target.SIDES] == ["compiled", "python"][
        -len(target.SIDES) :
    ]
