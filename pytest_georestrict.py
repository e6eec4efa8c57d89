"""Fixtures of georestrict for pytest, which finds them by the entry point ``pytest11``.

It lies beside the package, since pytest imports it in every run of whoever has georestrict
installed: so the package is only imported when a test asks for one of these, and what measures
coverage has begun by then. ``-p no:georestrict`` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from georestrict import Database
    from georestrict.testing import Clock


@pytest.fixture(scope="session")
def client_from() -> Callable[..., str]:
    """``client_from("CN")``: the address of a client that appears to be in a country."""
    from georestrict.testing import client_from

    return client_from


@pytest.fixture(scope="session")
def georestrict_database() -> Database:
    """The small database of the addresses that ``client_from`` tells; override it for your own."""
    from georestrict.testing import world

    return world()


@pytest.fixture
def georestrict_clock() -> Clock:
    """A clock that stands still, at the start of the test; override it for another start."""
    from georestrict.testing import Clock

    return Clock()


@pytest.fixture
def georestrict_world(
    georestrict_database: Database, georestrict_clock: Clock
) -> Iterator[Database]:
    """Every engine decides over ``georestrict_database``, by ``georestrict_clock``."""
    from georestrict.testing import standing_in

    with standing_in(georestrict_database, georestrict_clock):
        yield georestrict_database
