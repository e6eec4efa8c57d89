"""The report as one HTML file: what was found in words, a map, a timeline, tables.

It loads nothing, runs nothing and sends nothing: outlines, style and figures are inside, and its
own policy (CSP) lets nothing else in. The charts are our own SVG, because those of plotting
libraries follow no colour scheme, no forced colours and no phone, and many need scripts.

:mod:`~georestrict.replay.page.wording` has numbers and dates in words,
:mod:`~georestrict.replay.page.tables` the tables, :mod:`~georestrict.replay.page.worldmap` and
:mod:`~georestrict.replay.page.timeline` the two charts; ``report.html.jinja`` and ``report.css``
are how they look.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from georestrict.replay.page import tables, wording
from georestrict.replay.page.finding import Finding
from georestrict.replay.page.timeline import Timeline
from georestrict.replay.page.worldmap import WorldMap
from georestrict.replay.summary import Summary
from georestrict.version import __version__


def render(summary: Summary, *, title: str | None = None, made: datetime) -> str:
    """Return the report on a replay as an HTML document.

    ``made`` is when, with its time zone. Without a ``title`` it is "Who would be hit", or "Who was
    hit" where events tell what was decided. Whatever comes from logs and policies (routes, rules,
    accounts, file names) is taken for hostile: it is escaped, and characters that cannot be seen
    are written out.
    """
    style = _read("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=wording.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": wording.count,
        "moment": wording.moment,
        "cut": wording.cut,
        "several": wording.several,
        "signed": wording.signed,
    }
    names = wording.told_apart([judged.policy for judged in summary.policies])
    finding = Finding.of(summary)
    context: dict[str, Any] = {
        "title": title or ("Who was hit" if finding.recorded else "Who would be hit"),
        "made": made,
        "version": __version__,
        "summary": summary,
        "share": wording.share,
        "period": wording.period,
        "style": style,
        "digest": digest,
        "names": names,
        "finding": finding,
        "map": WorldMap.of(summary),
        "timeline": Timeline.of(summary, names),
        "tables": tables.of(summary),
        "counted": sorted({rule for judged in summary.policies for rule in judged.by_counted}),
        "words": {"allow": "Allowed", "warn": "Warned", "block": "Blocked"},
    }
    return environment.from_string(_read("report.html.jinja")).render(context)


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
