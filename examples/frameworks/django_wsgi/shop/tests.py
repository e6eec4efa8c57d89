"""The project, asked by clients from several countries through the application that is served.

Django's own test client calls views without ``wsgi.py``, so it asks nobody where they are. That is
right for tests of views; these are tests of the guard.
"""

from io import StringIO

from django.core.management import call_command
from django.test import Client, SimpleTestCase
from werkzeug.test import Client as Visitor
from werkzeug.test import TestResponse

from georestrict.django import engine
from shop.wsgi import application

CUBA, VENEZUELA, SWEDEN, UNITED_STATES = "152.206.0.1", "186.88.0.1", "89.160.20.112", "73.0.0.1"


def visit(address: str, path: str) -> TestResponse:
    """Ask as a client with an address; no proxy is in front of it."""
    return Visitor(application).get(path, environ_base={"REMOTE_ADDR": address})


class GuardTests(SimpleTestCase):
    """Who is let in."""

    def test_a_client_that_is_let_in_is_told_where_it_appears_to_be(self) -> None:
        self.assertIn("you appear to be in SE", visit(SWEDEN, "/").text)

    def test_a_blocked_client_gets_our_page_and_can_still_write_to_us(self) -> None:
        refused = visit(CUBA, "/")
        self.assertEqual(refused.status_code, 403)
        self.assertIn("unsupported_country_region_territory", refused.text)
        self.assertEqual(visit(CUBA, "/contact/").text, "write to us")

    def test_a_warned_client_is_served_and_warned(self) -> None:
        answer = visit(VENEZUELA, "/")
        self.assertEqual(answer.status_code, 200)
        self.assertIn('country="VE"', answer.headers["GeoRestrict-Warning"])

    def test_the_cache_of_a_view_does_not_serve_who_is_not_let_in(self) -> None:
        for address, status in ((SWEDEN, 200), (UNITED_STATES, 403), (SWEDEN, 200)):
            self.assertEqual(visit(address, "/wine/").status_code, status)

    def test_the_settings_and_the_policies_are_right(self) -> None:
        call_command("check", fail_level="WARNING", stdout=StringIO())


class ViewTests(SimpleTestCase):
    """What views do with a decision; Django's test client may bring one."""

    def test_a_view_knows_the_country(self) -> None:
        decided = {"georestrict": engine().decide(SWEDEN)}
        self.assertContains(Client().get("/", **decided), "you appear to be in SE")
