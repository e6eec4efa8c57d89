"""How Sphinx makes the site of the pages that the repository shows, too: ``make site``.

The source is the whole repository, so that links between pages are the same files in both places.
Pages have no directives in them, which GitHub would show as code. What a page needs more on the
site, `source-read` adds while it is read: the README's first screen and the navigation on the index
(its lists of links are the navigation), and the reference behind the tables of names on the page
about the API.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

from georestrict.version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

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
exclude_patterns = ["[!bde]*/**", "benchmarks/[!R]*/**", "build", "dist", "docs/theme"]

# The anchors that GitHub gives to headings, of all levels.
myst_heading_anchors = 6
highlight_language = "text"  # of a block that names none
# Half a response is no whole HTTP message, and the lines of a log have no grammar.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_numpy_docstring = False
# Names of other projects have no page here; each of ours must have one.
nitpick_ignore_regex = [("py:.*", r"(?!georestrict\b).*")]

html_theme = "furo"
html_title = f"georestrict {version}"
html_static_path = ["theme"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# An editor finds the schema where the page about the policy has it.
html_extra_path: list[str] = []
templates_path = ["theme"]
html_additional_pages = {"index": "redirect.html"}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

_LINK = re.compile(r"^- \[([^\]]+)\]\(([^)#]+\.md)\)", re.MULTILINE)
_NAME = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)


def first_screen() -> str:
    """Return the README's beginning: what it is, how it is installed, and the shortest app."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    told, _, rest = text.partition("\n- **")
    promises = "- **" + rest.partition("\n## ")[0]
    install = text.partition("\n## Install\n")[2].partition("```\n")[0] + "```"
    example = text.partition("\n## ASGI\n")[2].partition("\n```\n")[0] + "\n```"
    return "\n\n".join([told.partition("\n")[2], install, example, promises])


def navigation(text: str) -> str:
    """Return the index with its lists of pages as the site's navigation, too."""
    trees = []
    for section in text.split("\n## ")[1:]:
        caption = section.partition("\n")[0]
        entries = [f"{title} </{page_of(link)}>" for title, link in _LINK.findall(section)]
        if entries:
            trees.append(
                "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```"])
            )
    return "\n\n".join([text, *trees])


def page_of(link: str) -> str:
    """Return the name of a page, from the root, that the index links to."""
    page = (ROOT / "docs" / link).resolve().relative_to(ROOT)
    return page.with_suffix("").as_posix()


def reference(text: str) -> str:
    """Return the page about the API with the reference of the names that its tables list."""
    pieces = []
    for section in text.split("\n## "):
        directives = [directive(name) for name in _NAME.findall(section)]
        pieces.append("\n\n".join([section, *directives]))
    return "\n\n## ".join(pieces)


def directive(name: str) -> str:
    """Return what makes the reference of a public name."""
    return f"```{{eval-rst}}\n.. autoclass:: {name}\n```"


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
        text = navigation(text.replace("<!-- README -->", first_screen()))
    elif page == "docs/api":
        text = reference(text)
    source[0] = text


def setup(app: Sphinx) -> None:
    """Let Sphinx know what is ours."""
    app.add_lexer("log", TextLexer)
    app.connect("source-read", add_to)
