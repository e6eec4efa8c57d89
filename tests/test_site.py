"""The documentation's site: made of the same pages, whole, true, and good to read in a browser."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.simple_server import demo_app
from wsgiref.util import setup_testing_defaults

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from docs import conf, policy_reference
from georestrict import Accounts, cache, diagnose, routes
from georestrict.accounts import record, store
from georestrict.response import negotiation
from georestrict.wsgi import GeoRestrictMiddleware
from tests import test_docs

# No core has a part in it.
pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
#: The tests that run the blocks of pages, beside those that test_docs.py itself runs.
RUN_ELSEWHERE = {
    "docs/frameworks.md": "tests/test_framework_docs.py",
    "docs/proxies.md": "tests/test_proxies.py",
    "docs/responses.md": "tests/test_docs.py",
    "docs/story.md": "tests/test_story.py",
    "docs/testing.md": "tests/test_testing.py",
    "docs/updating.md": "tests/test_update_docs.py",
}
FLAGS = re.findall(
    r"--[a-z-]+",
    (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nsite:")[2].partition("\n\n")[0],
)
#: Looked at in both colour schemes and at both widths; the others at the width of a phone.
LOOKED_AT = ["docs/index.html", "docs/quickstart.html", "docs/privacy.html", "search.html"]
# Of axe-core's time these take most, and they are made of what the others are made of.
LONG = ["data/REPORT.html", "docs/api.html"]
SEEN = """
import sys, socket
seen = []
sys.addaudithook(
    lambda event, args: seen.append((event, args))
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
    and not (event == "socket.connect" and isinstance(args[1], str))  # a unix socket's path
    else None
)
from pathlib import Path
from wsgiref.simple_server import demo_app
from wsgiref.util import setup_testing_defaults
from georestrict import Accounts, Database, health
from georestrict.wsgi import GeoRestrictMiddleware

Path("list.txt").write_text("192.0.2.0/24\\n")
Path("policy.toml").write_text(
    'default = "allow"\\ncontact = "https://example.com/"\\n[lists.ours]\\npath = "list.txt"\\n'
    '[[rules]]\\nname = "ours"\\naction = "block"\\nlists = ["ours"]\\n'
    '[[rules]]\\nname = "cuba"\\naction = "block"\\ncountries = ["CU"]\\n'
)
app = GeoRestrictMiddleware(
    demo_app, policy="policy.toml", watch=0.05, accounts=Accounts(), identify=lambda e: "ann",
    on_account_flagged=print,
)
statuses = []
for address in "81.2.69.142", "152.206.0.1", "10.0.0.1", "192.0.2.1":
    environ = {"REMOTE_ADDR": address}
    setup_testing_defaults(environ)
    app(environ, lambda status, headers, *rest: statuses.append(status[:3]))
app.engine.reload()
app.engine.unwatch()
health(app.engine)
assert statuses == ["200", "403", "200", "403"], statuses
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9))  # what would be seen
assert [event for event, _ in seen] == ["socket.connect"], seen
"""


def listed(page: Path) -> set[Path]:
    """The pages that the lists of the index name."""
    found = [
        ROOT / f"{conf.page_of(link)}.md"
        for _, link in conf.LINK.findall(page.read_text(encoding="utf-8"))
    ]
    assert found
    assert len({*found}) == len(found), "make site fails on a page that is listed twice"
    return {*found}


def test_every_page_of_the_folder_is_in_a_list_of_the_index() -> None:
    missing = {*DOCS.glob("*.md")} - listed(DOCS / "index.md") - {DOCS / "index.md"}
    assert not missing, "say in docs/index.md what these are: they are the navigation"


def test_the_blocks_of_every_page_are_run_by_a_test() -> None:
    for page in sorted(DOCS.glob("*.md")):
        languages = {block.language for block in test_docs.read_blocks(page)}
        name = f"docs/{page.name}"
        if languages & {"python", "pycon", "console", "toml"} and page not in test_docs.RUN:
            assert name in RUN_ELSEWHERE, f"no test runs {name}: add it to RUN of test_docs.py"
            test = (ROOT / RUN_ELSEWHERE[name]).read_text(encoding="utf-8")
            assert f"docs/{page.name}" in test or page.stem in test


def test_the_reference_of_the_policy_is_what_the_schema_says() -> None:
    schema = json.loads(policy_reference.SCHEMA.read_text(encoding="utf-8"))
    told = policy_reference.PAGE.read_text(encoding="utf-8")
    assert told == policy_reference.page(schema), "say 'python -m docs.policy_reference'"


def test_a_schema_with_something_that_the_reference_cannot_tell_is_an_error() -> None:
    unknown = {"properties": {"new": {"type": "string", "pattern": "^x+$", "description": "?"}}}
    with pytest.raises(ValueError, match="cannot tell the pattern"):
        policy_reference.page(unknown)
    with pytest.raises(ValueError, match="this page cannot tell"):
        policy_reference.page({"properties": {"new": {"type": "null", "description": "?"}}})


def test_the_page_about_the_api_has_every_public_name_with_its_first_sentence() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(georestrict\.[\w.]+)` \| (.*) \|$", text, re.MULTILINE)
    told = dict(rows)
    assert len(told) == len(rows), "a name is there twice"
    public = {
        f"georestrict{module}.{name}"
        for module in ("", ".django", ".metrics", ".testing")
        for name in import_module(f"georestrict{module}").__all__
    }
    assert public - {"georestrict.BACKEND"} <= {*told}
    for name, sentence in told.items():
        module, _, last = name.rpartition(".")
        about = inspect.getdoc(getattr(import_module(module), last)) or ""
        assert sentence == " ".join(about.split("\n\n")[0].split()).replace("``", "`"), name


def test_the_page_about_privacy_tells_the_bounds_that_the_code_has() -> None:
    text = " ".join((DOCS / "privacy.md").read_text(encoding="utf-8").split())
    assert Accounts().keep.days == 30 and "30 days after it was last seen" in text
    assert f"at most {record.MOST_SIGHTINGS} " in text
    assert f"| {record.FORGOTTEN_MINUTES} minutes |" in text
    assert f"(BLAKE2b, {store._DIGEST_BYTES} bytes)" in text
    assert f"never more than {diagnose.FEW} of a kind" in text
    assert f"at most {routes._MOST_KEPT:,} for each method" in text
    for kept in negotiation._media_type, negotiation._language:
        assert f"the last {kept.cache_info().maxsize} of each" in text
    assert f"while it is among the {cache.MOST_FILES} last used" in text
    assert f"Of each kind the {cache.MOST_FILES} last used files stay" in text


@pytest.mark.parametrize(
    ("address", "network"),
    [("81.2.69.142", "81.2.69.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48")],
)
def test_a_log_line_has_of_a_client_what_the_page_about_privacy_says(
    caplog: pytest.LogCaptureFixture, address: str, network: str
) -> None:
    text = (DOCS / "privacy.md").read_text(encoding="utf-8")
    assert "`81.2.69.142` is written as `81.2.69.0/24`" in text
    assert "cut to 128 characters" in text
    assert "the path without its query" in text
    environ: dict[str, Any] = {
        "REMOTE_ADDR": address,
        "PATH_INFO": "/" + 200 * "x",
        "QUERY_STRING": "mail=ann%40example.com",
        "HTTP_USER_AGENT": "Browser of Ann",
        "HTTP_COOKIE": "session=4711",
    }
    setup_testing_defaults(environ)
    rules = [{"name": "all", "action": "block", "networks": ["::/0", "0.0.0.0/0"]}]
    policy = {"default": "allow", "contact": "mailto:a@example.com", "rules": rules}
    app = GeoRestrictMiddleware(demo_app, policy=policy, identify=lambda _: "ann")
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="georestrict"):
        app(environ, lambda *_: None)
    told = [message for message in caplog.messages if "blocked" in message]
    assert f" network={network} " in told[0]
    assert f'path="/{127 * "x"}"' in told[0]
    for kept_back in (address, "mail", "Browser", "4711", "ann"):
        assert not [line for line in caplog.messages if kept_back in line]


def test_nothing_of_the_package_opens_a_connection_at_start_on_requests_or_at_a_reload(
    tmp_path: Path,
) -> None:
    subprocess.run([sys.executable, "-c", SEEN], cwd=tmp_path, check=True)


def test_the_first_screen_is_that_of_the_readme() -> None:
    shown = conf.with_first_screen((DOCS / "index.md").read_text(encoding="utf-8"))
    first = shown.partition("\n## ")[0]
    for wanted in ("pip install georestrict", "GeoRestrictMiddleware(app, block=", "quickstart.md"):
        assert wanted in first
    assert "<!-- README" not in shown
    with pytest.raises(AssertionError, match="nothing to stand for"):
        conf.with_first_screen("# georestrict\n")


class Anchors(HTMLParser):
    """The ids of a built page, and what it links to and loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one element."""
        found = dict(attrs)
        self.ids |= {value for key in ("id", "name") if (value := found.get(key))}
        target = found.get("href") or found.get("src")
        if target and tag == "a":
            self.links.append(target)
        elif target and (tag != "link" or "stylesheet" in str(found.get("rel"))):
            self.loads.append(target)


def built(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a copy of the repository's pages as `make site` does."""
    options = [flag for flag in FLAGS if flag not in ("--conf-dir", "--doctree-dir")]
    assert {"--fail-on-warning", "--nitpicky", "--fresh-env"} <= {*options}
    trees = site.with_suffix(".doctrees")
    places = ["--conf-dir", str(source / "docs"), "--doctree-dir", str(trees)]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, *places, source, site],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site."""
    folder = tmp_path_factory.mktemp("built") / "site"
    done = built(ROOT, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_a_page_in_no_list_and_links_that_lead_nowhere_fail_the_build(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.grdb", "*.so")
    shutil.copytree(ROOT, tmp_path / "copy", ignore=ignored)
    planted = "# Orphan\n\n[a](policy.md#no-such-heading) [b](no-such-page.md) [c](#nor-this)\n"
    (tmp_path / "copy/docs/orphan.md").write_text(planted)
    done = built(tmp_path / "copy", tmp_path / "site")
    assert done.returncode == 1
    for expected in (
        "no-such-heading",
        "no-such-page.md",
        "nor-this",
        "isn't included in any toctree",
    ):
        assert len([line for line in done.stderr.splitlines() if expected in line]) == 1
    assert len(done.stderr.splitlines()) == 4, done.stderr


@pytest.mark.slow
def test_every_link_of_the_built_site_leads_somewhere_and_nothing_is_loaded_from_elsewhere(
    site: Path,
) -> None:
    pages = {page: Anchors() for page in site.rglob("*.html") if "_static" not in page.parts}
    for page, anchors in pages.items():
        anchors.feed(page.read_text(encoding="utf-8"))
    assert {site / f"{conf.page_of(link)}.html" for link in ("policy.md", "privacy.md")} <= {*pages}
    for page, anchors in pages.items():
        for target in [*anchors.links, *anchors.loads]:
            scheme, host, path, _, fragment = urlsplit(target)
            if scheme in ("https", "mailto") and target in anchors.links:
                continue
            assert not scheme and not host, f"{page.name} loads {target}"
            file = (page.parent / unquote(path)).resolve() if path else page
            assert file.is_file(), f"{page.name}: {target} does not exist"
            if fragment and file in pages:
                assert unquote(fragment) in pages[file].ids, f"{page.name}: {target}: no such id"


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The site on loopback."""
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
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


def opened(browser: Browser, url: str, width: int, scheme: Any) -> tuple[Page, list[str]]:
    """Open a page; also what it asked for elsewhere, and complained of."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page, wrong = context.new_page(), list[str]()
    own = "{0.scheme}://{0.netloc}/".format(urlsplit(url))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("request", lambda asked: None if asked.url.startswith(own) else wrong.append(asked.url))
    page.goto(url)
    return page, wrong


def problems(browser: Browser, url: str, width: int, scheme: str) -> list[str]:
    """What axe-core and the browser find wrong with a page, and what is wider than the screen."""
    page, found = opened(browser, url, width, scheme)
    said = Axe().run(page, options={"resultTypes": ["violations"]}).response
    found += [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in said["violations"]]
    assert {"color-contrast", "html-has-lang"} <= {rule["id"] for rule in said["passes"]}
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("it is wider than the screen")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light"), background
    page.context.close()
    return [f"{urlsplit(url).path} at {width}, {scheme}: {one}" for one in found]


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_axe_core_finds_nothing_wrong_with_the_other_pages_of_the_site(
    browser: Browser, site: Path, served: str
) -> None:
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}
    found = [
        problem
        for page in sorted(pages - {"index.html", *LOOKED_AT, *LONG})
        for problem in problems(browser, f"{served}/{page}", 360, "light")
    ]
    assert not found


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("page", LOOKED_AT)
def test_axe_core_finds_nothing_wrong_at_both_widths_and_in_both_colour_schemes(
    browser: Browser, served: str, page: str
) -> None:
    for width in 360, 1280:
        for scheme in "light", "dark":
            assert not problems(browser, f"{served}/{page}", width, scheme)


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_a_first_reader_finds_on_the_first_screen_what_it_is_how_to_get_it_and_where_to_go(
    browser: Browser, served: str
) -> None:
    for width, wanted in (
        (1280, ["about", "Quick start", "pip install georestrict", "warn=["]),
        (360, ["about", "Quick start", "pip install georestrict"]),
    ):
        page, _ = opened(browser, f"{served}/index.html", width, "light")
        page.wait_for_url("**/docs/index.html")
        for text in wanted:
            box = page.locator("article").get_by_text(text).first.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 800, f"{text!r} at {width}"
        page.context.close()


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_the_site_can_be_searched_without_a_server_of_its_own(
    browser: Browser, served: str
) -> None:
    page, wrong = opened(browser, f"{served}/search.html?q=unresolved", 1280, "light")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    assert found.count() > 3
    assert not wrong
    page.context.close()
