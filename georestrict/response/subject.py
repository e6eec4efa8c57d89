"""What a refusal is about, in whatever form it is told."""

from __future__ import annotations

from typing import NamedTuple

from georestrict.decision import Code


class Subject(NamedTuple):
    """What is told: ``country`` is None where it may not be shown."""

    status: int
    code: Code
    country: str | None
    contact: str | None
    alternate: str | None
    blocked_by: str | None
    request_id: str | None
