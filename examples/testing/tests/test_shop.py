"""Who may use the shop: asked of the app itself, through its middleware."""

from collections.abc import Callable

import httpx
import pytest

from georestrict.testing import Clock, assert_allowed, assert_blocked, assert_warned

Ask = Callable[..., httpx.Response]


def test_most_countries_are_served(ask: Ask) -> None:
    """A visitor from Germany notices nothing."""
    assert_allowed(ask("DE"), status=200)


@pytest.mark.parametrize("country", ["CU", "KP"])
def test_countries_under_embargo_are_refused(ask: Ask, country: str) -> None:
    """They learn why, in words and by a code."""
    response = ask(country)
    assert_blocked(response, country=country, code="unsupported_country_region_territory")


def test_the_contact_page_is_open_to_everybody(ask: Ask) -> None:
    """Who is refused by mistake must be able to object."""
    assert_allowed(ask("CU", "/contact"), status=200)


def test_nobody_pays_through_a_vpn_but_everybody_may_look(ask: Ask) -> None:
    """A network that is only said to be one of a VPN is let through."""
    assert_blocked(ask("DE", "/checkout", category="vpn"), code="anonymous_network")
    assert_allowed(ask("DE", "/checkout", category="vpn:low"))
    assert_allowed(ask("DE", "/", category="vpn"))


def test_the_shop_leaves_a_country_on_the_days_that_were_announced(
    ask: Ask, georestrict_clock: Clock
) -> None:
    """The policy's dates hold to the second."""
    georestrict_clock.move_to("2026-12-31T23:59:59Z")
    assert_allowed(ask("VE"))
    georestrict_clock.pass_(seconds=1)
    assert_warned(ask("VE"), country="VE", status=200)
    georestrict_clock.move_to("2027-03-01")
    assert_blocked(ask("VE"), country="VE")


def test_a_visitor_whose_address_is_in_no_country_is_served(ask: Ask) -> None:
    """The policy's default is to allow, and so are its fallback cases for them."""
    assert_allowed(ask("unknown"))
