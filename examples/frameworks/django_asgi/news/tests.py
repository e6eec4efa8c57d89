"""The project, asked by clients from several countries through the application that is served.

Django's own test client calls views without ``asgi.py``, so it asks nobody where they are.
"""

from io import StringIO

import httpx
from django.core.management import call_command
from django.test import SimpleTestCase

from news.asgi import application

IRAN, VENEZUELA, SWEDEN, UNITED_STATES = "2.144.0.1", "186.88.0.1", "89.160.20.112", "73.0.0.1"


async def visit(address: str, path: str) -> httpx.Response:
    """Ask as a client with an address; no proxy is in front of it."""
    served = httpx.ASGITransport(application, client=(address, 50000))
    async with httpx.AsyncClient(transport=served, base_url="http://localhost") as client:
        return await client.get(path)


class GuardTests(SimpleTestCase):
    """Who is let in."""

    async def test_a_client_that_is_let_in_is_told_where_it_appears_to_be(self) -> None:
        self.assertEqual((await visit(SWEDEN, "/headlines")).json()["country"], "SE")

    async def test_a_blocked_client_is_refused_even_where_nothing_is(self) -> None:
        for path in ("/headlines", "/nothing"):
            self.assertEqual((await visit(IRAN, path)).status_code, 403)
        self.assertEqual((await visit(IRAN, "/imprint")).text, "Example Ltd")

    async def test_a_warned_client_is_served_and_warned(self) -> None:
        answer = await visit(VENEZUELA, "/ticker")
        self.assertIn("news 3", answer.text)
        self.assertIn('country="VE"', answer.headers["georestrict-warning"])

    async def test_films_are_shown_where_they_are_licensed(self) -> None:
        self.assertEqual((await visit(UNITED_STATES, "/films")).status_code, 200)
        self.assertEqual((await visit(SWEDEN, "/films")).status_code, 403)

    def test_the_settings_and_the_policies_are_right(self) -> None:
        call_command("check", fail_level="WARNING", stdout=StringIO())
