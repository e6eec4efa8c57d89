"""What users' tests need: a small database, addresses in it, a clock, and assertions.

``docs/testing.md`` shows it. With pytest, the fixtures of ``pytest_georestrict`` hand it out.
"""

from georestrict.testing.asserting import assert_allowed, assert_blocked, assert_warned
from georestrict.testing.clock import Clock
from georestrict.testing.standing_in import standing_in
from georestrict.testing.tiny import tiny_database
from georestrict.testing.world import client_from, world

__all__ = [
    "Clock",
    "assert_allowed",
    "assert_blocked",
    "assert_warned",
    "client_from",
    "standing_in",
    "tiny_database",
    "world",
]
