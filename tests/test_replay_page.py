"""The report of a replay as one HTML page: what it says, and how it is drawn."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from georestrict import Category, Reason, Status
from georestrict.countries import NAMES
from georestrict.replay.page import render, wording
from georestrict.replay.page.timeline import Timeline
from georestrict.replay.page.worldmap import APART, WorldMap, outlines, shades
from tests import pictures, replayed

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "georestrict/replay/page"
CSS = (PAGE / "report.css").read_text(encoding="utf-8")
EMPTY = {"meta", "br"}

#: Square kilometres of land and inland water, as national statistics give them. Of a country of
#: which a part is disputed it is the whole that has its code in ISO 3166.
AREAS = {
    "DE": 357_600, "BR": 8_510_000, "US": 9_520_000, "CD": 2_345_000, "FR": 544_000,
    "KZ": 2_725_000, "SE": 450_000, "ZA": 1_221_000, "MX": 1_964_000, "SO": 637_700, "UA": 603_600,
    "GF": 83_500, "EH": 266_000, "RU": 17_098_000,
}  # fmt: skip


class Read(HTMLParser):
    """What is in a page: elements with their attributes, text, and the rows of its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._open: list[str] = []
        self._caption = ""
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables[self._caption].append([])
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "caption":
            self.tables[self._caption] = []

    def handle_data(self, data: str) -> None:
        if "caption" in self._open:
            self._caption += data
        elif "tr" in self._open:
            self.tables[self._caption][-1][-1] += data
        if "style" not in self._open and "svg" not in self._open:
            self.text += data

    def said(self) -> str:
        """All text, with single spaces."""
        return " ".join(self.text.split())

    def rows(self, caption: str) -> list[list[str]]:
        """All rows of a table and its continuation, without those of the head and empty cells."""
        both = (self.tables.get(name, [])[1:] for name in (caption, f"{caption}, continued"))
        return [[" ".join(cell.split()) for cell in row] for part in both for row in part]


def page(name: str) -> Read:
    return Read(render(getattr(replayed, name)(), made=replayed.MADE))


@pytest.fixture(scope="module", params=["one", "two", "nothing", "hostile", "everywhere"])
def html(request: pytest.FixtureRequest) -> str:
    return render(getattr(replayed, request.param)(), made=replayed.MADE)


def test_the_finding_stands_first_in_words() -> None:
    said = page("one").said()
    assert said.index("Of 1,204,331 requests that 22,302 addresses sent") < 120
    assert "from 9 to 22 November 2026, 4.6 % would be blocked and 1.2 % warned." in said
    assert (
        "The 69,535 requests that are hit (blocked or warned) appear to come from China (53.7 %), "
        "Iran (16.6 %), Russia (15.2 %) and elsewhere (14.4 %)." in said
    )
    assert "What decides: “sanctioned countries” (73.4 %), “countries we leave on 1 March”" in said
    assert "Not counted: 118 lines (under 0.1 % of all) could not be read as requests." in said
    assert "An address is not a person." in said
    assert "you are in" not in said


def test_every_country_is_in_the_table_with_its_requests() -> None:
    (judged,) = replayed.one().policies
    rows = {row[0]: row[1:4] for row in page("one").rows("By country")}
    assert len(rows) == len(judged.by_country)
    for key, actions in judged.by_country.items():
        name = f"{NAMES[key]} ({key})" if key in NAMES else wording.CASES[key].capitalize()
        wanted = sum(actions.values()), actions.get("warn", 0), actions.get("block", 0)
        assert rows[name] == [f"{number:,}" for number in wanted]


def test_rows_that_are_hit_most_come_first_and_the_rest_last() -> None:
    read = page("one")
    assert [row[0] for row in read.rows("By country")][:4] == [
        "China (CN)",
        "Iran (IR)",
        "Russia (RU)",
        "Belarus (BY)",
    ]
    assert read.rows("By route")[-1][0] == "all others"
    assert read.rows("By account")[0][:4] == ["customer-0001@example.com", "4,900", "0", "4,000"]
    assert read.rows("Counted by rules that only count")[0][:2] == ["partners' networks", "13,381"]


def test_two_policies_stand_side_by_side_with_what_changes() -> None:
    read = page("two")
    said = read.said()
    assert "6.2 % would be blocked and 0.4 % warned by next.toml." in said
    assert "By live.toml it is 4.6 % and 1.2 %. 20,073 requests (1.7 % of all)" in said
    assert read.rows("Requests that are decided otherwise")[0] == [
        "Warned → Blocked", "10,598", "Russia (RU) 10,598",
    ]  # fmt: skip
    rows = {row[0]: row[1:] for row in read.rows("By country")}
    assert rows["Russia (RU)"] == ["0 10,598 warned", "10,598", "+10,598 −10,598 warned"]
    assert rows["China (CN)"] == ["37,334", "37,334", "0"]
    assert read.tables["By country"][0] == [
        "Country", "Blocked by live.toml", "Blocked by next.toml", "Change",
    ]  # fmt: skip


def test_two_policies_that_decide_alike_are_said_to() -> None:
    live = replayed.judged("policy.toml", replayed.requests_of(5000))
    read = Read(render(replayed.summary(live, live, requests=5000), made=replayed.MADE))
    assert "Every request is decided alike." in read.said()
    assert "Requests that are decided otherwise" not in read.tables
    assert read.tables["By rule"][0][1:3] == [
        "Blocked by policy.toml (1)",
        "Blocked by policy.toml (2)",
    ]


def test_decisions_from_events_are_told_as_facts() -> None:
    judged = replayed.judged("as recorded", replayed.requests_of(5000))
    said = Read(render(replayed.summary(judged, requests=5000), made=replayed.MADE)).said()
    assert "Who was hit" in said
    assert "are recorded as blocked" in said
    assert "would be" not in said


def test_empty_logs_are_said_to_be_empty() -> None:
    read = page("nothing")
    assert "There is nothing to tell: the logs hold no request that could be read." in read.said()
    assert set(read.tables) == {"Logs that were read"}


def test_no_hit_is_said_in_words() -> None:
    judged = replayed.judged("policy.toml", {"DE": 12}, blocked=(), warned=())
    said = Read(render(replayed.summary(judged, requests=12), made=replayed.MADE)).said()
    assert "No request would be blocked or warned." in said
    assert "0 % would be blocked" in said


def test_a_page_is_complete_in_itself(html: str) -> None:
    read = Read(html)
    assert {tag for tag, _ in read.elements} <= {
        "html", "head", "meta", "title", "style", "body", "svg", "defs", "pattern", "rect",
        "header", "main", "footer", "section", "nav", "h1", "h2", "p", "b", "bdi", "br", "strong",
        "span", "code", "dl", "div", "dt", "dd", "ul", "ol", "li", "a", "figure", "figcaption",
        "desc", "path", "circle", "g", "text", "table", "caption", "thead", "tbody", "tr", "th",
        "td", "details", "summary",
    }  # fmt: skip
    assert {name for _, attributes in read.elements for name in attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "scope", "role",
        "tabindex", "aria-label", "aria-labelledby", "aria-hidden", "focusable", "width", "height",
        "viewbox", "preserveaspectratio", "patternunits", "patterntransform", "x", "y", "cx", "cy",
        "d",
    }  # fmt: skip
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for _, attributes in read.elements if "href" in attributes]
    assert {f"#{name}" for name in ids} >= set(links)
    assert set(re.findall(r"url\([^)]*\)", CSS)) == {
        "url(#hatch)",
        "url(#spared)",
        "url(#spared-small)",
    }
    assert "@import" not in CSS


def test_its_own_policy_lets_in_its_own_style_and_nothing_else(html: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        attributes["content"]
        for tag, attributes in Read(html).elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_hostile_names_stay_text() -> None:
    html = render(replayed.hostile(), made=replayed.MADE, title=replayed.HOSTILE[0])
    read = Read(html)
    html.encode("utf-8")  # surrogates could not be
    assert {row[0] for row in read.rows("By rule")} == {
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '" onmouseover="alert(1)',
        "' autofocus onfocus='alert(1)",
        "{{ 7 * 7 }}{% for x in y %}",
        "</style><style>body{display:none}</style>",
        "</title></svg><!--",
        "javascript:alert(1)",
        "&lt;b&gt;",
        "\\u202egnp.exe\\u202c",
        "\\x00\\x1b[31m\\x7f\\x85\\u2028",
        "\\udcff\\ud800",
        f"{'a' * 299}…",
        "ﷺ" * 40 + "e" + "\u0301" * 4 + "\\u0301" * 56,
        "(empty)",
    }
    assert ("title", {}) in read.elements
    assert "alert" not in "".join(str(attributes) for _, attributes in read.elements)


def test_what_is_too_much_for_a_page_is_named() -> None:
    read = Read(render(replayed.everywhere(accounts=3000), made=replayed.MADE))
    assert len(read.rows("By account")) == 1000
    assert "2,000 more accounts are in the output of --json and --csv." in read.said()
    assert len(read.rows("By country")) == len(NAMES)


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (wording.REASONS, [*Reason]),
        (wording.CATEGORIES, [*Category]),
        (wording.CASES, [status for status in Status if status is not Status.KNOWN] + ["no_data"]),
    ],
    ids=["reasons", "categories", "cases"],
)
def test_everything_that_can_be_told_has_words(words: dict[str, str], known: list[str]) -> None:
    assert set(words) == set(known)
    assert all(words.values())


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_share_is_never_rounded_to_none_or_to_all(part: int, whole: int) -> None:
    part = min(part, whole)
    told = wording.share(part, whole)
    assert (told == "0\N{NO-BREAK SPACE}%") is (part == 0)
    assert (told == "100\N{NO-BREAK SPACE}%") is (part == whole)
    assert not told.startswith(("0.0", "100.0"))


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("2026-11-09T04", "2026-11-09T23", "on 9 November 2026"),
        ("2026-11-09", "2026-11-22", "from 9 to 22 November 2026"),
        ("2026-10-09", "2026-11-22", "from 9 October to 22 November 2026"),
        ("2025-11-09", "2026-11-22", "from 9 November 2025 to 22 November 2026"),
        ("2026-11-10T01+02:00", "2026-11-09T23", "on 9 November 2026"),
    ],
)
def test_a_period_is_told_in_few_words(first: str, last: str, told: str) -> None:
    at = [datetime.fromisoformat(text) for text in (first, last)]
    at = [moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in at]
    assert wording.period(*at).replace("\N{NO-BREAK SPACE}", " ") == told


# the map


def ground(path: str) -> float:
    """The area of an SVG path of relative steps: rings that run the other way are holes."""
    total = 0.0
    for ring in path.split("z")[:-1]:
        x, y, *steps = map(int, re.findall(r"-?\d+", ring))
        points = [(x, y)]
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            points.append((x, y))
        total += sum(
            a * d - b * c for (a, b), (c, d) in zip(points, [*points[1:], points[0]], strict=True)
        )
    return abs(total) / 2


def test_areas_on_the_map_are_true() -> None:
    places = outlines()["places"]
    unit = sum(AREAS.values()) / sum(ground(places[code]["path"]) for code in AREAS)
    for code, area in AREAS.items():
        assert ground(places[code]["path"]) * unit == pytest.approx(area, rel=0.04), code


def test_every_country_but_antarctica_has_a_place_on_the_map() -> None:
    world = outlines()
    assert {*world["places"]} == {"", *NAMES} - {"AQ"}
    for code, place in world["places"].items():
        x, y = place["at"]
        assert 0 <= x <= world["width"], code
        assert 0 <= y <= world["height"], code
        assert place.get("path") or place.get("dot"), code


def test_a_country_that_is_not_on_the_map_is_named_below_it() -> None:
    assert "Not on the map: Antarctica (AQ): 5,765,701 requests" in page("everywhere").said()
    assert "client address not known: 361 requests, 0 of them hit." in page("one").said()


@pytest.mark.parametrize("most", [0, 1, 9, 10, 99, 1000, 99_999, 100_000, 4_200_000, 10**12])
def test_the_legend_tells_which_shade_each_number_has(most: int) -> None:
    judged = replayed.judged("policy.toml", {})
    by = {
        code: {"block": number}
        for code, number in zip(NAMES, {*range(min(most, 101)), most // 3, most}, strict=False)
    }
    drawn = WorldMap.of(
        replayed.summary(replace(judged, by_country=by), requests=sum(range(101)) + most)
    )
    meant = {}
    for shade in drawn.legend[2:]:
        low, high = re.fullmatch(r"([\d,]+) (?:to ([\d,]+)|or more)", shade.label).groups()  # type: ignore[union-attr]
        meant[shade.name] = (
            int(low.replace(",", "")),
            int(high.replace(",", "")) if high else 10**13,
        )
    assert len(meant) <= 5
    for country in drawn.countries:
        hit = by.get(country.code, {}).get("block")
        if hit is None:
            assert country.shade == "none"
        elif hit == 0:
            assert country.shade == "spared"
        else:
            low, high = meant[country.shade]
            assert low <= hit <= high
    assert not most or shades(most)[0] == 1


def test_numbers_on_the_map_do_not_cover_each_other() -> None:
    around = ("CH", "AT", "LI", "LU", "BE")
    by = {code: {"block": 9 - place} for place, code in enumerate(around)}
    judged = replace(replayed.judged("policy.toml", {}), by_country=by)
    numbers = WorldMap.of(replayed.summary(judged, requests=40)).numbers
    assert [number.rank for number in numbers] == [1, 2, 3, 4, 5]
    for one in numbers:
        for other in numbers:
            if one is not other:
                assert max(abs(one.x - other.x), abs(one.y - other.y)) >= APART


#: Machado, Oliveira, Fernandes (2009), https://doi.org/10.1109/TVCG.2009.113: severity 1.0, on
#: linear light.
SEEN: dict[str, tuple[tuple[float, ...], ...]] = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
               (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                 (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def lightness(colour: str, seen: tuple[tuple[float, ...], ...]) -> float:
    """The relative luminance (WCAG 2.2) of a colour, as somebody sees it."""
    values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values
    ]
    red, green, blue = (
        sum(weight * value for weight, value in zip(row, linear, strict=True)) for row in seen
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_shades_keep_their_order_and_distance_for_colour_blind_readers(
    scheme: int, seen: tuple[tuple[float, ...], ...]
) -> None:
    names = ("--land", "--s1", "--s2", "--s3", "--s4", "--s5")
    colours = [re.findall(rf"{name}: (#[0-9a-f]{{6}})", CSS)[scheme] for name in names]
    values = [lightness(colour, seen) + 0.05 for colour in colours]
    steps = [b / a if scheme else a / b for a, b in pairwise(values)]
    assert min(steps) >= 1.25


# the timeline


def over(*keys: str) -> Timeline:
    judged = replace(
        replayed.judged("policy.toml", {}),
        timeline={key: {"allow": 2, "block": 1} for key in keys},
    )
    drawn = Timeline.of(replayed.summary(judged, requests=9), ["policy.toml"])
    assert drawn is not None
    assert sum(row.requests for row in drawn.rows) == 3 * len(keys)
    assert sum(row.cells[0][1] for row in drawn.rows) == len(keys)
    return drawn


def test_hours_without_requests_are_drawn_as_such() -> None:
    drawn = over("2026-11-09T22", "2026-11-10T01")
    assert (drawn.unit, [row.requests for row in drawn.rows]) == ("hour", [3, 0, 0, 3])
    assert drawn.strips[0].path == "M0 100v-100h.86v100zM3 100v-100h.86v100z"
    assert [strip.title for strip in drawn.strips] == ["All requests", "Blocked"]


def test_many_hours_are_joined_to_days_and_many_days_to_months() -> None:
    weeks = over(*(f"2026-11-{day:02}T{hour:02}" for day in range(1, 21) for hour in range(24)))
    assert (weeks.unit, weeks.bars) == ("day", 20)
    years = over(*(f"{year}-{month:02}-28" for year in (2024, 2026) for month in range(1, 13)))
    assert (years.unit, years.bars) == ("month", 36)


def test_what_is_counted_by_the_day_is_not_told_by_the_hour() -> None:
    assert over("2026-11-09", "2026-11-10").unit == "day"


def test_one_hour_is_no_line() -> None:
    judged = replace(
        replayed.judged("policy.toml", {"DE": 3}), timeline={"2026-11-23T04": {"block": 3}}
    )
    read = Read(render(replayed.summary(judged, requests=3), made=replayed.MADE))
    assert "All requests are of one hour, in UTC:" in read.said()
    assert read.rows("By hour") == [["23 Nov 2026, 04:00", "3", "0", "3", ""]]
    assert not [tag for tag, attributes in read.elements if attributes.get("class") == "strip"]


def test_logs_without_times_have_no_timeline() -> None:
    assert Timeline.of(replayed.nothing(), ["policy.toml"]) is None


# where the outlines come from


def test_the_outlines_are_those_that_are_documented() -> None:
    digest = hashlib.sha256((PAGE / "world.json").read_bytes()).hexdigest()
    recipe = (ROOT / "data/outlines.py").read_text(encoding="utf-8")
    (source,) = re.findall(r'FILE: "([0-9a-f]{64})"', recipe)
    (version,) = re.findall(r'"version": "([\d.]+)"', recipe)
    told = (ROOT / "data/README.md").read_text(encoding="utf-8")
    assert f"`{digest}`" in told
    assert f"`{source}`" in told
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert f"world-atlas {version}" in notice
    assert "georestrict/replay/page/world.json" in notice


def test_the_pictures_in_the_documentation_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in pictures.FOLDER.glob("replay-*.png")}
    assert sizes.keys() == pictures.PICTURES.keys()
    assert max(sizes.values()) <= 150_000
