"""What the policy decides, without the app: quicker, and it tells which rule decided."""

from collections.abc import Callable

import pytest
from shop import POLICY

from georestrict import Database, Engine
from georestrict.testing import Clock, assert_allowed, assert_blocked, assert_warned

ClientFrom = Callable[..., str]


@pytest.fixture
def engine(georestrict_database: Database, georestrict_clock: Clock) -> Engine:
    """An engine over the small database, on the first day of the warnings."""
    georestrict_clock.move_to("2027-01-01")
    return Engine(POLICY, database=georestrict_database, clock=georestrict_clock)


def test_each_rule_decides_what_it_is_for(engine: Engine, client_from: ClientFrom) -> None:
    """The rule is named, so that the right country is not refused for the wrong reason."""
    assert_blocked(engine.decide(client_from("CU")), rule="embargo", reason="country")
    assert_warned(engine.decide(client_from("VE")), rule="winding-down")
    through_tor = client_from("US", category="tor")
    assert_blocked(engine.decide(through_tor, path="/checkout"), rule="anonymous-checkout")
    assert_allowed(engine.decide(client_from("CU"), path="/contact"), rule="always-open")


def test_ipv6_clients_are_judged_as_ipv4_clients_are(
    engine: Engine, client_from: ClientFrom
) -> None:
    """One rule holds for both."""
    for version in (4, 6):
        assert_blocked(engine.decide(client_from("KP", version=version)), rule="embargo")
