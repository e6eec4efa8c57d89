"""The page of a refusal in a real browser: axe-core finds nothing, and nothing else is loaded."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from georestrict import Code, Decision, Policy, Reason
from georestrict.policy import Action
from georestrict.response import Caller, Response, blocked

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]

GERMAN = {
    "title": "Von Ihrem Standort aus nicht erreichbar",
    "message": "Ihre Adresse scheint in {country} zu liegen.",
    "why": "Dieser Dienst wird nicht in jedem Land angeboten.",
    "heading_why": "Warum",
    "heading_code": "Code",
    "heading_request": "Anfrage",
    "contact_us": "Falls das nicht stimmt, schreiben Sie uns",
    "go_elsewhere": "Hier geht es weiter",
    "notice": "Wir ziehen um: Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenfabrik.",
    "countries": {"CN": "China"},
}
ARABIC = {
    "title": "الخدمة غير متاحة في موقعك",
    "message": "يبدو أن عنوانك في {country}.",
    "countries": {"CN": "الصين"},
}
FORMS: dict[str, Any] = {
    "plain": {"type": "html"},
    "full": {
        "type": "html",
        "status": 451,
        "blocked_by": "https://example.com/transparency",
        "alternate": f"https://example.com/{'a-long-way-' * 12}",
        "notice": "We are moving this service. Your data stays reachable.",
    },
    "translated": {
        "type": "html",
        "alternate": "https://example.com/elsewhere",
        "texts": {"de": GERMAN, "ar": ARABIC},
    },
}
BLOCK = Decision(action=Action.BLOCK, reason=Reason.COUNTRY, country="CN", code=Code.COUNTRY)
UNAVAILABLE = Decision(action=Action.BLOCK, reason=Reason.NO_DATA, code=Code.NO_LOCATION)
VARIANTS = {
    "403": ("plain", "en", BLOCK),
    "451": ("full", "en", BLOCK),
    "503": ("plain", "en", UNAVAILABLE),
    "german": ("translated", "de", BLOCK),
    "arabic": ("translated", "ar", BLOCK),
}


def render(variant: str) -> Response:
    """The page of a variant."""
    form, language, decision = VARIANTS[variant]
    policy = Policy.from_mapping(
        {
            "default": "allow",
            "contact": "https://example.com/contact",
            "response": "it",
            "responses": {"it": FORMS[form]},
        }
    )
    return blocked(decision, policy, Caller(accept="text/html", accept_language=language))


class Quiet(WSGIRequestHandler):
    """Says nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A server on loopback with each variant under its name, headers and all."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        response = render(environ["PATH_INFO"].strip("/"))
        start_response(f"{response.status} Refused", list(response.headers))
        return [response.body]

    with make_server("127.0.0.1", 0, app, WSGIServer, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's Chromium; as root it runs only without its sandbox."""
    with sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("variant", VARIANTS)
def test_axe_core_finds_nothing_wrong_with_the_page(
    browser: Browser, site: str, variant: str, width: int, scheme: Any
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 740}, color_scheme=scheme, locale="en"
    )
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    answer = page.goto(f"{site}/{variant}")
    assert answer is not None
    assert answer.status == render(variant).status
    found = Axe().run(page).response
    assert found["violations"] == []
    assert {"color-contrast", "html-has-lang", "document-title"} <= {
        rule["id"] for rule in found["passes"]
    }
    assert not [rule["id"] for rule in found["incomplete"]]
    # the style came through the page's own policy, and nothing else was asked for
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(27, 27, 31)"}[scheme]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert requests == [f"{site}/{variant}"]
    assert [text for text in complaints if "status of" not in text] == []
    context.close()
