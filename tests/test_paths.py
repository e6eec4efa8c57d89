"""Path patterns: what lets through matches strictly, what blocks matches broadly (section E)."""

from __future__ import annotations

import functools
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from georestrict import ConfigurationError, Policy
from georestrict.paths import PathPatterns, checked_pattern, is_normal
from georestrict.policy import Words
from georestrict.request import Request
from georestrict.routes import Routes

#: As a server gives it: the path percent-decoded once, and the same as it was sent.
Sent = tuple[str, bytes | None]


def strictly(pattern: str, path: str, raw: bytes | None = None) -> bool:
    strict, broad = PathPatterns([pattern]).match(path, raw)
    assert strict & ~broad == 0
    return strict == 1


def broadly(pattern: str, path: str, raw: bytes | None = None) -> bool:
    return PathPatterns([pattern]).match(path, raw)[1] == 1


# --- Rows ---------------------------------------------------------------------------------------------

NOT_EXEMPT: list[Sent] = [
    ("/healthz/../secret", b"/healthz/../secret"),
    ("/healthz/..;/secret", b"/healthz/..;/secret"),
    ("/healthz/../secret", b"/healthz%2f..%2fsecret"),
    ("/healthz\0", b"/healthz%00"),
    ("/healthz;x", b"/healthz;x"),
    ("/healthz;x", b"/healthz%3Bx"),
    ("//healthz", b"//healthz"),
    ("/HEALTHZ", b"/HEALTHZ"),
    ("/healthz/", b"/healthz/"),
    ("/healthz#", b"/healthz%23"),
    ("/healthz#", b"/healthz#"),
    ("/healthz?", b"/healthz%3F"),
    ("/healthz", b"/%68ealthz"),
    ("/healthz", b"/health%7A"),
    ("/./healthz", b"/./healthz"),
    ("/x/../healthz", b"/x/../healthz"),
    ("/healthz/.", b"/healthz/."),
    ("\\healthz", b"\\healthz"),
    ("/healthz\\", b"/healthz%5C"),
    ("/%68ealthz", b"/%2568ealthz"),
    ("/healthz ", b"/healthz%20"),
    ("/healthz\n", b"/healthz%0A"),
    ("healthz", b"healthz"),
    ("", b""),
]


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        *(pytest.param(path, raw, id=f"E2 {raw!r}") for path, raw in NOT_EXEMPT),
        *(
            pytest.param(path, None, id=f"E5 {path!r} without raw_path")
            for path, _ in NOT_EXEMPT
            if path != "/healthz"
        ),
    ],
)
def test_e2_no_strange_spelling_is_exempt(path: str, raw: bytes | None) -> None:
    assert not strictly("/healthz", path, raw)


@pytest.mark.parametrize(
    "raw",
    [b"//healthz", b"/x/../healthz", b"/./healthz", b"/healthz;x", b"\\healthz", b"/healthz%00", b"/%2e/healthz",
     b"/x%2f..%2fhealthz", b"/healthz%", b"/healthz%zz", b"/healthz#x"],
    ids=repr,
)  # fmt: skip
def test_e2_a_path_that_a_server_cleaned_is_not_exempt_as_it_was_sent(raw: bytes) -> None:
    assert not strictly("/healthz", "/healthz", raw)


@pytest.mark.parametrize(
    "raw",
    [b"/healthz", b"/healthz?a=b", b"/healthz?a=../..//%2e;\\#", b"/healthz?", None],
    ids=repr,
)
def test_e2_the_plain_path_is_exempt_with_and_without_a_query(raw: bytes | None) -> None:
    assert strictly("/healthz", "/healthz", raw)


GUARDED: list[Sent] = [
    ("/admin", b"/admin"),
    ("/admin/", b"/admin/"),
    ("//admin", b"//admin"),
    ("/admin", b"/%61dmin"),
    ("/admin/x", b"/admin%2Fx"),
    ("/x/../admin", b"/x/../admin"),
    ("/admin;p", b"/admin;p"),
    ("/admin;p/x", b"/admin;p/x"),
    ("\\admin", b"\\admin"),
    ("\\admin\\x", b"%5Cadmin%5Cx"),
    ("/./admin", b"/./admin"),
    ("///admin//x", b"///admin//x"),
    ("/x/..;/admin", b"/x/..;/admin"),
    ("/x;a=/../admin", b"/x;a=/../admin"),
    ("/admin/../admin", b"/admin/../admin"),
    ("/../admin", b"/../admin"),
    ("/%61dmin", b"/%2561dmin"),
    ("/%2561dmin", b"/%252561dmin"),
    ("/admin%2Fx", b"/admin%252Fx"),
    ("/%2e%2e/admin", b"/%252e%252e/admin"),
    ("/x/%2e%2e/admin", b"/x/%252e%252e/admin"),
    ("/admin\0", b"/admin%00"),
    ("/admin?x", b"/admin%3Fx"),
    ("/admin#x", b"/admin%23x"),
    ("admin", b"admin"),
    ("/admin/..", b"/admin/.."),
    ("/admin/../x", b"/admin/../x"),
    ("/admin/x", b"/admin/x?y=z"),
    ("/#/../admin", b"/%23/../admin"),
    ("/?/../admin", b"/%3F/../admin"),
    ("/\0/../admin", b"/%00/../admin"),
    ("/x#y/../admin", b"/x#y/../admin"),
]


@pytest.mark.parametrize("with_raw", [True, False], ids=["as sent", "E5 without raw_path"])
@pytest.mark.parametrize(("path", "raw"), GUARDED, ids=[f"E3 {raw!r}" for _, raw in GUARDED])
def test_e3_every_spelling_of_a_guarded_prefix_is_guarded(
    path: str, raw: bytes, with_raw: bool
) -> None:
    assert broadly("/admin/*", path, raw if with_raw else None)


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/", "//admin", "/x/../admin", "/admin;p", "\\admin", "/%61dmin"]
)
def test_e3_an_exact_pattern_is_guarded_in_every_spelling_too(path: str) -> None:
    assert broadly("/admin", path)
    assert not broadly("/admin", "/admin/x")


def test_e3_a_server_that_cleaned_the_path_still_guards_it_as_it_was_sent() -> None:
    assert broadly("/admin/*", "/", b"/admin/..")
    assert broadly("/admin/*", "/x", b"/x/..;/admin")


@pytest.mark.parametrize("path", ["/x%41", "/a%2Fb", "/%", "/%zz"])
def test_e5_without_raw_path_an_escape_left_in_the_path_is_not_exempt(path: str) -> None:
    assert not strictly("/*", path, None)
    assert broadly("/*", path, None)


@pytest.mark.parametrize(
    "path", ["/adminfoo", "/adminfoo/", "/admin.x", "/x/admin", "/admi", "/", "/Admin", "/admin-x"]
)
def test_e6_a_prefix_ends_at_a_segment_boundary(path: str) -> None:
    assert not broadly("/admin/*", path)
    assert not strictly("/admin/*", path)


@pytest.mark.parametrize(
    ("path", "raw", "exempt"),
    [
        ("/.well-known/acme-challenge/AbC_-9", b"/.well-known/acme-challenge/AbC_-9", True),
        ("/.well-known/acme-challenge/AbC_-9", None, True),
        ("/.well-known/acme-challenge/../x", b"/.well-known/acme-challenge/../x", False),
        ("/.well-known/acme-challenge/../x", b"/.well-known/acme-challenge/%2e%2e/x", False),
        ("/.well-known/acme-challenge/..", None, False),
        ("/.well-known/acme-challengeX", None, False),
        ("/.well-known/x", None, False),
    ],
)  # fmt: skip
def test_e7_an_acme_challenge_is_exempt_but_no_path_beside_it(
    path: str, raw: bytes | None, exempt: bool
) -> None:
    assert strictly("/.well-known/acme-challenge/*", path, raw) is exempt


# --- The grammar ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("/a", ["/a"], ["/a/b", "/b", "/", "/ab"]),
        ("/", ["/"], ["/a"]),
        ("/a/*", ["/a", "/a/b", "/a/b/c", "/a/\u00e9"], ["/ab", "/b/a", "/"]),
        ("/*", ["/", "/a", "/a/b"], []),
        ("/a/*/c", ["/a/b/c", "/a/bb/c"], ["/a/b/b/c", "/a/c", "/a/b/c/d", "/a/b"]),
        ("/a/*/c/*", ["/a/b/c", "/a/b/c/d/e"], ["/a/b/cd", "/a/c"]),
        ("/*.js", ["/x.js", "/x.y.js", "/.js"], ["/x.jsx", "/x/y.js", "/xjs"]),
        ("/v*/models", ["/v1/models", "/v/models"], ["/v1/x/models", "/w1/models"]),
        ("/a*b*c", ["/abc", "/aXbYc", "/abcbc", "/abbcc"], ["/ab", "/acb", "/abc/d", "/ab/c"]),
        ("/a**b", ["/ab", "/axb"], ["/a/b"]),
        ("/x.y", ["/x.y"], ["/xzy"]),
        ("/a+(b)[c]$", ["/a+(b)[c]$"], ["/aab", "/a+bc"]),
        ("/caf\u00e9/*", ["/caf\u00e9", "/caf\u00e9/x"], ["/cafe", "/cafe\u0301/x"]),
    ],
)
def test_a_pattern_matches_what_the_grammar_says(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    assert checked_pattern(pattern) == pattern
    for path in matching:
        assert strictly(pattern, path), path
        assert broadly(pattern, path), path
    for path in others:
        assert not strictly(pattern, path), path
        assert not broadly(pattern, path), path


def test_escapes_that_a_path_needs_do_not_make_it_strange() -> None:
    assert strictly("/caf\u00e9", "/caf\u00e9", b"/caf%C3%A9")
    assert strictly("/a b", "/a b", b"/a%20b")
    assert strictly("/a/*", "/a/[x]", b"/a/%5Bx%5D")


def test_each_pattern_has_its_own_bit() -> None:
    patterns = PathPatterns(["/a", "/a/*", "/*", "/*/x", "/b"])
    assert patterns.match("/a", b"/a") == (0b00111, 0b00111)
    assert patterns.match("/a/x", b"/a/x") == (0b01110, 0b01110)
    assert patterns.match("/c", b"/c") == (0b00100, 0b00100)
    assert patterns.match("//a", b"//a") == (0, 0b00111)
    assert patterns.match("/a;/x", b"/a;/x")[0] == 0
    assert PathPatterns([]).match("/a", None) == (0, 0)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("", "begins with '/'"),
        ("admin", "begins with '/'"),
        ("*", "begins with '/'"),
        ("https://example.com/a", "begins with '/'"),
        ("/a?b=c", "no query"),
        ("/a#b", "no fragment"),
        ("/%61dmin", "decoded"),
        ("/a%", "decoded"),
        ("//a", "normal form"),
        ("/a//b", "normal form"),
        ("/a/../b", "normal form"),
        ("/a/./b", "normal form"),
        ("/..", "normal form"),
        ("/a;b", "normal form"),
        ("/a\\b", "normal form"),
        ("/a\nb", "control"),
        ("/a\0", "control"),
        ("/a\x7f", "control"),
    ],
)
def test_a_pattern_that_could_never_match_is_refused_with_place_word_and_reason(
    pattern: str, told: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        checked_pattern(pattern)
    rule = {"name": "r", "action": "allow", "paths": ["/fine", pattern]}
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_mapping({"default": "allow", "rules": [rule]})
    message = str(caught.value)
    assert message.startswith(f"policy: rules[1] (r).paths[2]: {pattern!r}: ")
    assert told in message


# --- What holds for any path ----------------------------------------------------------------------------

PATTERNS = ["/healthz", "/admin/*", "/*", "/a*b*/c", "/*/x/*", "/.well-known/*"]
_PIECES = st.sampled_from(
    ["/", "//", "..", ".", ";", "\\", "%2f", "%2e", "%25", "%00", "%", "\0", "#", "?", "a", "b", "c", "x", "admin",
     "healthz", "\u00e9", "*"]
)  # fmt: skip
_CHARACTERS = st.characters(categories=["L", "N", "P", "Z", "S", "Cc", "Cs"])
_PATHS = st.one_of(
    st.lists(_PIECES, max_size=10).map("".join), st.lists(_PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces)),
    st.text(_CHARACTERS, max_size=30),
)  # fmt: skip
_RAWS = st.one_of(
    st.none(),
    st.lists(_PIECES, max_size=10).map(lambda pieces: "".join(pieces).encode()),
    st.binary(max_size=30),
)


def looks_normal(path: str) -> bool:
    """Design §7: no dot or empty segments, backslash, ``;``, encoded separator or NUL."""
    if path == "/":
        return True
    segments = path.split("/")
    return (
        segments[0] == ""
        and not any(segment in (".", "..") for segment in segments)
        and "" not in segments[1:-1]
        and not re.search(r"[\\;\x00]", path)
    )


@settings(max_examples=500, deadline=None)
@given(_PATHS, _RAWS)
@example("/\ud800%41", None)
@example("/healthz", b"//healthz")
def test_a_path_not_in_normal_form_never_matches_strictly_and_broad_holds_strict(
    path: str, raw: bytes | None
) -> None:
    strict, broad = PathPatterns(PATTERNS).match(path, raw)
    assert strict & ~broad == 0
    if not looks_normal(path):
        assert strict == 0
        assert not is_normal(path, raw)
    if raw is None and re.search("%(2f|5c|00|2e|3b)", path, re.IGNORECASE):
        assert strict == 0
    if (
        raw is not None
        and raw.startswith(b"/")
        and not looks_normal(raw.partition(b"?")[0].decode("latin-1"))
    ):
        assert strict == 0


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "admin", "x y", "\u00e9", "~_-."]), min_size=1, max_size=5)
)
def test_a_path_in_normal_form_matches_the_same_strictly_and_broadly(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    strict, broad = PathPatterns(PATTERNS).match(path, None)
    assert strict == broad
    assert bool(strict & 0b10) is (segments[0] == "admin")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([".", "", "x/..", "x;/..", ".;p"]), max_size=4),
    st.lists(st.sampled_from([".", "", "secret", "x"]), max_size=3),
    st.sampled_from(["/", "\\", "//", "%2f", "%5C", "%252F"]),
    st.sampled_from(["admin", "%61dmin", "admi%6E", "admin;p", "%2561dmin"]),
)
def test_however_it_is_spelled_a_guarded_prefix_stays_guarded(
    before: list[str], behind: list[str], slash: str, admin: str
) -> None:
    """Segments before that cancel out, or that a server may drop, do not hide the prefix."""
    assert broadly("/admin/*", "/" + slash.join([*before, admin, *behind]))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/x/../admin/..;a", id="'..;a' is no dot segment"),
        pytest.param("/x/../admin/..;/y", id="nor is '..;'"),
        pytest.param("/x/../admin//../y", id="'..' takes an empty segment away"),
    ],
)
def test_a_server_that_removes_dot_segments_by_the_letter_of_rfc_3986_is_guarded_too(
    path: str,
) -> None:
    """RFC 3986 §5.2.4 knows no parameters and merges no slashes: each of these is below /admin."""
    assert broadly("/admin/*", path)


def matches_plainly(pattern: str, path: str) -> bool:
    """The grammar once more, by trying every way: the oracle for globs."""
    below = pattern.endswith("/*")
    stem, texts = pattern.removesuffix("/*").split("/"), path.split("/")
    if len(texts) < len(stem) or (len(texts) > len(stem) and not below):
        return False
    return all(_segment_matches(wanted, text) for wanted, text in zip(stem, texts, strict=False))


@functools.cache
def _segment_matches(wanted: str, text: str) -> bool:
    if not wanted:
        return not text
    if wanted[0] == "*":
        return any(_segment_matches(wanted[1:], text[at:]) for at in range(len(text) + 1))
    return text[:1] == wanted[0] and _segment_matches(wanted[1:], text[1:])


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(st.text("ab*", min_size=1, max_size=6), min_size=1, max_size=3),
    st.lists(st.text("ab", min_size=1, max_size=8), min_size=1, max_size=4),
)
@example(["a*b*ab"], ["aabab"])
@example(["*", "*"], ["a"])
def test_a_glob_matches_what_trying_every_way_finds(wanted: list[str], segments: list[str]) -> None:
    pattern, path = "/" + "/".join(wanted), "/" + "/".join(segments)
    assert strictly(pattern, path) is matches_plainly(pattern, path)
    assert broadly(pattern, path) is matches_plainly(pattern, path)


@pytest.mark.parametrize(
    "pattern",
    [
        "/" + "*a" * 30,
        "/" + "a*" * 30 + "b",
        "/" + "*" * 50 + "b",
        "/" + "*/" * 20 + "b",
        "/a*a*a*a*b/*",
        "/*aab*",
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/" + "a" * 100_000,
        "/a" * 50_000,
        "/" + "aab" * 33_000 + "c",
        "/" + "%61" * 33_000,
        "/" * 100_000,
    ],
)
def test_a_hostile_path_against_many_stars_comes_to_an_end(pattern: str, path: str) -> None:
    """A backtracking matcher would not live to return: 100 kB and up to fifty stars."""
    strict, broad = PathPatterns([pattern]).match(path, None)
    assert strict & ~broad == 0
    assert (strict, broad) == PathPatterns([pattern]).match(path, path.encode())


def test_threads_never_give_two_routes_the_same_number() -> None:
    """The switch between threads is forced at every line of the numbering."""
    for _ in range(12):
        routes = Routes([Words(paths=(f"/{number}/*",)) for number in range(8)])
        start = threading.Barrier(8)

        def number_them(
            first: int, routes: Routes = routes, start: threading.Barrier = start
        ) -> dict[str, int | None]:
            def switch(*_: object) -> object:
                time.sleep(0)
                return switch

            sys.settrace(switch)  # type: ignore[arg-type]
            start.wait()
            paths = [f"/{(first + step) % 8}/x" for step in range(8)]
            try:
                return {path: routes.find(Request(path, path.encode())).number for path in paths}
            finally:
                sys.settrace(None)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(number_them, range(8)))
        assert all(numbers == found[0] for numbers in found)
        assert len(set(found[0].values())) == 8


def test_a_decoded_path_with_a_percent_sign_is_never_in_normal_form() -> None:
    """Not even where a wrapper rewrote the path and left what was sent."""
    assert not is_normal("/%61dmin/x", b"/app/x")
    assert PathPatterns(["/admin/*"]).match("/%61dmin/x", b"/app/x") == (0, 1)


def test_a_path_that_somebody_rewrote_is_guarded_as_it_was_sent_too() -> None:
    """What was sent and what the app sees are two paths; a block rule for either holds."""
    assert broadly("/admin/*", "/", b"/admin")
    assert broadly("/admin/*", "/", b"/admin/")
    assert broadly("/admin/*", "/admin/x", b"/v1/admin/x")
    assert not strictly("/admin", "/", b"/admin")


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/ADMIN", b"/ADMIN"),
        ("/aDmin/users", None),
        ("/ADMIN/x", b"/%41DMIN%2Fx"),
        ("/admin", b"/admin"),
    ],
)
def test_e3_a_guarded_path_is_guarded_in_any_case_if_the_app_ignores_it(
    path: str, raw: bytes | None
) -> None:
    words = [Words(paths=("/Admin/*",))]
    assert Routes(words, ignore_case=True).find(Request(path, raw)).broad == 1
    assert Routes(words).find(Request(path, raw)).broad == 0


def test_e2_an_exempt_path_is_exempt_as_it_is_written_even_if_the_app_ignores_case() -> None:
    routes = Routes([Words(paths=("/healthz",))], ignore_case=True)
    assert routes.find(Request("/healthz", b"/healthz")).strict == 1
    assert routes.find(Request("/HEALTHZ", b"/HEALTHZ")).strict == 0
