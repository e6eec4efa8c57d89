"""How Sphinx makes the site of the pages that the repository shows, too: ``make site``.

The source is the whole repository, so that links between pages are the same files in both places.
Pages have no directives in them, which GitHub would show as code. What a page needs more on the
site, `source-read` adds while it is read: the README's first screen and the navigation on the index
(its lists of links are the navigation), and the reference behind the tables of names on the page
about the API.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer
from sphinx.util import logging

from georestrict.version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)
ROOT = Path(__file__).parent.parent

project = "georestrict"
author = "the authors of georestrict"
copyright = "the authors of georestrict; Apache License 2.0"  # noqa: A001 its name there
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/*.md",
    "benchmarks/README.md",
    "data/*.md",
    "examples/**/README.md",
]
# Folders without a page; else every file of the environment would be looked at.
exclude_patterns = [
    folder.name
    for folder in ROOT.iterdir()
    if folder.is_dir() and folder.name not in {"benchmarks", "data", "docs", "examples"}
]

# The anchors that GitHub gives to headings, of all levels.
myst_heading_anchors = 6
highlight_language = "text"  # of a block that names none
suppress_warnings = [
    "misc.highlighting_failure",  # half a response is no whole HTTP message
    "ref.python",  # two classes have a field `date`, which is the name of its type, too
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_numpy_docstring = False
# Names of other projects have no page here; each of ours must have one.
nitpick_ignore_regex = [
    ("py:.*", r"(?!georestrict\b).*"),
    # of these somebody may hold a value, and needs no more of them
    ("py:class", r"georestrict\._core\..*"),
    ("py:class", r"georestrict\.(endpoints\._Endpoint|policy\.accounts\.History)"),
    ("py:class", r"georestrict\.snapshot\.Snapshot"),
    ("py:class", r"georestrict\.(sources\.networks\.NetworkList|table\.image\.Image)"),
]

html_theme = "furo"
html_title = f"georestrict {version}"
html_static_path = ["theme"]
html_favicon = "theme/favicon.svg"
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# An editor finds the schema where the page about the policy has it.
html_extra_path: list[str] = []
templates_path = ["templates"]
html_additional_pages = {"index": "redirect.html"}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

LINK = re.compile(r"^- \[([^\]]+)\]\(([^)#]+\.md)\)", re.MULTILINE)
_OPTIONS = (
    "georestrict.guard.Guard",
    "georestrict.asgi.GeoRestrictMiddleware",
    "georestrict.wsgi.GeoRestrictMiddleware",
)
_NAME = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)


def with_first_screen(text: str) -> str:
    """Return the index with the README's beginning: what it is, and the shortest app."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told, _, rest = readme.partition("\n- **")
    promises = "- **" + rest.partition("\n## ")[0]
    install = readme.partition("\n## Install\n")[2].partition("```\n")[0] + "```"
    example = readme.partition("\n## ASGI\n")[2].partition("\n```\n")[0] + "\n```"
    for place, found in (
        ("<!-- README: what it is -->", told.partition("\n")[2]),
        ("<!-- README: the shortest app -->", "\n\n".join([install, example, promises])),
    ):
        assert place in text and found.strip("`- *\n"), f"{place} has nothing to stand for"  # noqa: S101
        text = text.replace(place, found)
    return text


def navigation(text: str) -> str:
    """Return the index with its lists of pages as the site's navigation, too."""
    trees = []
    for section in text.split("\n## ")[1:]:
        caption = section.partition("\n")[0]
        entries = [f"{title} </{page_of(link)}>" for title, link in LINK.findall(section)]
        if entries:
            trees.append(
                "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```"])
            )
    return "\n\n".join([text, *trees])


def examples_below(page: str) -> list[str]:
    """Return the pages of examples that are found below a page.

    Those of a folder such as examples/servers are below its own page, or, if it has none, below the
    page of that name in docs/.
    """
    place = Path(page)
    folder = ROOT / place.parent if place.name == "README" else ROOT / "examples" / place.name
    if folder.parent != ROOT / "examples" or (
        place.name != "README" and (folder / "README.md").is_file()
    ):
        return []
    pages = sorted(folder.glob("*/README.md"))
    return [page.relative_to(ROOT).with_suffix("").as_posix() for page in pages]


def page_of(link: str) -> str:
    """Return the name of a page, from the root, that the index links to."""
    page = (ROOT / "docs" / link).resolve().relative_to(ROOT)
    return page.with_suffix("").as_posix()


def reference(text: str) -> str:
    """Return the page about the API with the reference of the names that its tables list."""
    pieces = []
    for section in text.split("\n## "):
        directives = [directive(name) for name in _NAME.findall(section)]
        linked = _NAME.sub(r"| {py:obj}`\1` |", section)
        pieces.append("\n\n".join([linked, *directives]))
    return "\n\n## ".join(pieces)


def directive(name: str) -> str:
    """Return what makes the reference of a public name; nothing for a plain value."""
    module, _, last = name.rpartition(".")
    found = getattr(import_module(module), last)
    if isinstance(found, ModuleType):
        kind = "automodule"
    elif isinstance(found, type):
        kind = "autoexception" if issubclass(found, Exception) else "autoclass"
    elif callable(found):
        kind = "autofunction"
    else:
        return ""
    # of the middlewares the options are public, and not the methods that the faces call
    members = "   :no-members:\n" if name in _OPTIONS else ""
    return f"```{{eval-rst}}\n.. {kind}:: {name}\n{members}```"


def with_folders(page: str, text: str) -> str:
    """Return a page whose links to folders, which GitHub lists, lead to the folders' own pages.

    A folder without a page is told by its name.
    """
    here = (ROOT / page).parent

    def led(link: re.Match[str]) -> str:
        told, target = link.groups()
        if "://" in target or not (here / target).is_dir():
            return link[0]
        read_me = f"{target.rstrip('/')}/README.md"
        return f"[{told}]({read_me})" if (here / read_me).is_file() else told

    return re.sub(r"\[([^\]]+)\]\(([^)#\s]+)\)", led, text)


def add_to(app: Sphinx, page: str, source: list[str]) -> None:
    """Add to a page, as it is read, what only the site can show."""
    text = with_folders(page, source[0])
    if page == root_doc:
        app.env.note_dependency(str(ROOT / "README.md"))
        text = navigation(with_first_screen(text))
    elif page == "docs/api":
        text = reference(text)
    below = examples_below(page)
    if below:
        text += "\n".join(
            ["\n```{toctree}", ":hidden:", "", *(f"/{one}" for one in below), "```\n"]
        )
    source[0] = text


#: What axe-core finds wrong with furo's pages, and what is put in its place.
MENDED = {
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    '<aside class="sidebar-drawer"': '<aside class="sidebar-drawer" aria-label="Site"',
    '<aside class="toc-drawer': '<aside aria-label="This page" class="toc-drawer',
    # what scrolls must be reachable by keyboard
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    '<div id="search-results">': '<h1>Search</h1><div id="search-results">',
}


def mend(app: Sphinx, error: Exception | None) -> None:
    """Mend in the built pages what the theme leaves wrong for keyboards and screen readers."""
    if error is not None:
        return
    found = dict.fromkeys(MENDED, 0)
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for wrong, right in MENDED.items():
            found[wrong] += text.count(wrong)
            text = text.replace(wrong, right)
        page.write_text(text, encoding="utf-8")
    for wrong in (wrong for wrong, count in found.items() if not count):
        logger.warning("no page has %r: the theme has changed; look at it with axe again", wrong)


def setup(app: Sphinx) -> None:
    """Let Sphinx know what is ours."""
    app.add_lexer("log", TextLexer)
    app.connect("source-read", add_to)
    app.connect("build-finished", mend)
