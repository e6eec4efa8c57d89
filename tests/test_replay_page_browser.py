"""The report in a real browser: axe-core finds nothing wrong, and nothing is loaded."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from georestrict.replay.page import render
from tests import replayed

pytestmark = [pytest.mark.slow, pytest.mark.once, pytest.mark.needs("chromium")]

PAPER = {"light": "rgb(251, 250, 247)", "dark": "rgb(23, 25, 28)"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each report as a file, as who gets it by mail opens it."""
    folder = tmp_path_factory.mktemp("reports")
    for name in ("one", "two", "nothing", "hostile", "everywhere"):
        html = render(getattr(replayed, name)(), made=replayed.MADE)
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's Chromium; as root it runs only without its sandbox."""
    with sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


class Opened:
    """A page, with what the browser asked for and complained of while it was open."""

    def __init__(self, browser: Browser, file: Path, *, width: int = 1280, **options: Any) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, locale="en", **options
        )
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


#: How reports are opened; of what differs in its text only, not every width in every scheme.
VIEWS = [
    *((name, width, scheme) for name in ("one", "two") for width in (375, 1280) for scheme in PAPER),
    *((name, *view) for name in ("nothing", "hostile", "everywhere")
      for view in ((375, "light"), (1280, "dark"))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "width", "scheme"), VIEWS)
def test_axe_core_finds_nothing_wrong_with_the_report(
    browser: Browser, folder: Path, name: str, width: int, scheme: Any
) -> None:
    file = folder / f"{name}.html"
    with Opened(browser, file, width=width, color_scheme=scheme) as opened:
        page = opened.page
        if (name, width, scheme) == VIEWS[0]:  # every row; it takes long
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == PAPER[scheme]  # the style came through the page's own policy
        found = Axe().run(page).response
        assert found["violations"] == []
        assert {"color-contrast", "html-has-lang", "document-title"} <= {
            rule["id"] for rule in found["passes"]
        }
        # of a single digit it does not dare to say whether it is text
        unsure = [node["html"] for rule in found["incomplete"] for node in rule["nodes"]]
        assert [html for html in unsure if not re.fullmatch(r"<text [^>]*>\d</text>", html)] == []
        assert opened.requests == [file.as_uri()]
        assert opened.complaints == []


def test_the_report_can_be_read_without_javascript(browser: Browser, folder: Path) -> None:
    with Opened(browser, folder / "one.html", java_script_enabled=False) as opened:
        page = opened.page
        assert page.get_by_text("would be blocked").first.is_visible()
        row = page.get_by_role("row", name="Netherlands (NL)")
        assert not row.is_visible()
        page.get_by_text("more countries").click()
        assert row.is_visible()


def test_the_report_can_be_used_by_keyboard_alone(browser: Browser, folder: Path) -> None:
    with Opened(browser, folder / "two.html", width=375) as opened:
        page = opened.page
        wanted = page.locator("a, summary, [tabindex='0']").count()
        hidden = page.locator("details [tabindex='0']").count()
        reached = []
        for _ in range(wanted - hidden):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.outerHTML.slice(0, 99)"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
        assert len(set(reached)) == wanted - hidden
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.get_by_role("row", name="Netherlands (NL)").is_visible()
        # what does not fit is scrolled in its own region
        region = page.get_by_role("region", name="By route", exact=True)
        region.focus()
        assert region.evaluate("it => it.scrollWidth >= it.clientWidth")


def test_a_screen_reader_is_told_what_the_map_shows(browser: Browser, folder: Path) -> None:
    with Opened(browser, folder / "one.html") as opened:
        drawn = opened.page.get_by_role("img")
        assert drawn.count() == 1
        told = drawn.aria_snapshot()
        assert "Map of the world: requests warned or blocked, by country" in told
        assert "Most hit: China (CN), 37,334; Iran (IR), 11,561" in told
        for name in ("By country", "By rule", "By what decided", "By route", "By network"):
            assert opened.page.get_by_role("table", name=name, exact=True).count() == 1


def test_print_has_every_row_on_white_paper(browser: Browser, folder: Path) -> None:
    with Opened(browser, folder / "one.html", color_scheme="dark") as opened:
        page = opened.page
        page.emulate_media(media="print", color_scheme="dark")
        assert page.get_by_role("row", name="Netherlands (NL)").is_visible()
        assert page.locator("summary").first.is_hidden()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgba(0, 0, 0, 0)"
        )
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert ink == "rgb(34, 38, 43)"


def test_forced_colours_keep_what_the_charts_tell(browser: Browser, folder: Path) -> None:
    with Opened(browser, folder / "one.html", forced_colors="active") as opened:
        page = opened.page
        assert Axe().run(page).response["violations"] == []
        filled = (
            "it => { const style = getComputedStyle(it); "
            "return style.fill + ' ' + style.fillOpacity }"
        )
        shades = [
            page.locator(f".legend .key .{shade}").evaluate(filled)
            for shade in ("none", "spared", "s1", "s2", "s3", "s4", "s5")
        ]
        assert len(set(shades)) == 7
        actions = [
            page.locator(f".figures .key .{action}").evaluate(filled)
            for action in ("block", "warn", "allow")
        ]
        assert len(set(actions)) == 3
