"""The page of a refusal: small, complete in itself, readable by everybody (WCAG 2.2).

It loads nothing and runs nothing, and its policy lets no other style in than the one here.
"""

from __future__ import annotations

import base64
import hashlib
import html
from http import HTTPStatus

from georestrict.decision import Code
from georestrict.response.subject import Subject
from georestrict.response.wording import Wording, Words, direction, is_english

_STYLE = """
:root { color-scheme: light dark; }
body { background: #fff; color: #1b1b1f; font: 1.125rem/1.6 system-ui, sans-serif; }
body { box-sizing: border-box; margin: 0 auto; max-width: 40rem; padding: 2rem 1.25rem; }
body { overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.25; }
h2, dt { font-size: 1rem; font-weight: 600; margin: 1.5rem 0 0; }
p { margin: .5rem 0; }
dl { border-top: 1px solid #767680; margin: 2rem 0 0; }
dd { margin: 0; }
main [lang] { text-align: match-parent; }
a { color: #0b57d0; display: inline-block; padding: .25rem 0; }
a:focus-visible { outline: 3px solid currentcolor; outline-offset: 2px; }
@media (prefers-color-scheme: dark) {
body { background: #1b1b1f; color: #f2f2f7; }
a { color: #a8c7fa; }
}
"""

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: What a browser may load for the page: nothing but its own style, known by its hash.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
)


def page(subject: Subject, wording: Wording) -> str:
    """Return the page: what happened, why, whom to ask, where to go instead."""
    # Where the account was lately is no matter of where the client is now.
    passing = subject.status == HTTPStatus.SERVICE_UNAVAILABLE or subject.code is Code.ACCOUNT
    title = wording.word("title_unavailable" if passing else "title")
    parts = [_element("h1", title, wording), _element("p", wording.about("message"), wording)]
    if subject.status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
        parts.append(_element("p", wording.word("legal"), wording))
    if wording.notice is not None:
        parts.append(_element("p", wording.notice, wording))
    parts += [
        f"<p>{_link(wording.word(name), to, relation, wording)}</p>"
        for name, to, relation in (
            ("go_elsewhere", subject.alternate, "alternate"),
            ("contact_us", subject.contact, "help"),
            ("who_blocks", subject.blocked_by, "blocked-by"),
        )
        if to is not None
    ]
    parts.append(_element("h2", wording.word("heading_why"), wording))
    parts.append(_element("p", wording.about("why"), wording))
    parts.append("<dl>")
    code = f"{subject.status}, {subject.code}"
    for name, value in (("heading_code", code), ("heading_request", subject.request_id)):
        if value is not None:
            parts.append(_element("dt", wording.word(name), wording))
            parts.append(f'<dd><code dir="ltr">{value}</code></dd>')
    parts.append("</dl>")
    body = "\n".join(parts)
    return f"""<!doctype html>
<html lang="{wording.language}" dir="{direction(wording.language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title.filled(""))}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _element(tag: str, words: Words, wording: Wording) -> str:
    return f"<{tag}{_language(words, wording)}>{words.marked_up(wording.country)}</{tag}>"


def _link(words: Words, to: str, relation: str, wording: Wording) -> str:
    where = html.escape(to, quote=True)
    marked = _language(words, wording)
    return f'<a href="{where}" rel="{relation}"{marked}>{words.marked_up()}</a>'


def _language(words: Words, wording: Wording) -> str:
    """Say the language of a part where it is another one than the page's (WCAG 2.2, 3.1.2)."""
    if words.language == wording.language or is_english(wording.language):
        return ""
    return f' lang="{words.language}" dir="{direction(words.language)}"'
