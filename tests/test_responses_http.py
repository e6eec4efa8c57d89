"""Forms, hooks, CORS and caches through both middlewares: what a client receives over the wire."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from wsgiref.validate import validator

import pytest

from georestrict import ConfigurationError, Database, Decision, Engine, asgi, wsgi
from georestrict.response import Response
from tests.web import (
    APP_BODY,
    Answer,
    Recorder,
    Request,
    environ_of,
    run_asgi,
    scope_of,
    through_asgi,
    through_wsgi,
    without_id,
)

pytestmark = pytest.mark.once

Through = Callable[..., Answer]
BOTH = pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
MIDDLEWARES: Any = {"asgi": asgi.GeoRestrictMiddleware, "wsgi": wsgi.GeoRestrictMiddleware}
ELSEWHERE = "https://help.example.com/moved"
ORIGIN = "https://app.example.com"
CN, SE, GB = "175.16.199.1", "89.160.20.112", "81.2.69.142"
AS_PAGE = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
SCHEDULE = {"warn_from": "2000-01-01T00:00:00Z", "block_from": "9999-01-01T00:00:00Z"}
POLICY: dict[str, Any] = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "responses": {
        "page": {
            "type": "html",
            "alternate": ELSEWHERE,
            "texts": {"de": {"message": "Ihre Adresse scheint in {country} zu liegen."}},
        },
        "legal": {"type": "rfc7725", "blocked_by": "https://example.com/why"},
        "away": {"type": "redirect", "location": ELSEWHERE},
        "own": {"type": "app"},
    },
    "rules": [
        {"name": name, "action": "block", "countries": ["CN"], "paths": [f"/{name}/*"], "response": name}
        for name in ("page", "legal", "away", "own")
    ] + [
        {"name": "moved", "action": "block", "countries": ["CN"], "paths": ["/moved"], "response": "away"},
        {"name": "rest", "action": "block", "countries": ["CN"]},
        {"name": "soon", "countries": ["SE"], **SCHEDULE},
    ],
}  # fmt: skip


def teapot(decision: Decision, where: Any) -> Response:
    """The app's own response."""
    return Response(
        status=418,
        headers=(("Content-Type", "text/plain"), ("Set-Cookie", "a=b")),
        body=f"{decision.country}: short and stout".encode(),
    )


OPTIONS: dict[str, Any] = {"policy": POLICY, "responses": {"own": teapot}}

ASKED = {
    "json": Request(peer=CN),
    "a page by form": Request(peer=CN, target="/page/x"),
    "a page by Accept": Request(peer=CN, headers=(AS_PAGE,)),
    "a page in German": Request(
        peer=CN, target="/page/x", headers=(("Accept-Language", "de-AT, en;q=0.5"),)
    ),
    "JSON where the form is a page": Request(
        peer=CN, target="/page/x", headers=(("Accept", "application/json"),)
    ),
    "F2 451": Request(peer=CN, target="/legal/x"),
    "F2 451 as a page": Request(peer=CN, target="/legal/x", headers=(AS_PAGE,)),
    "F6 a redirect": Request(peer=CN, target="/away/x"),
    "F6 a redirect for nobody who wants JSON": Request(
        peer=CN, target="/away/x", headers=(("Accept", "application/json"),)
    ),
    "F6 the redirect's own target": Request(
        peer=CN, target="/moved", headers=(("Host", "help.example.com"),)
    ),
    "F6 the target, without a host": Request(peer=CN, target="/moved"),
    "F6 the target, behind a proxy that rewrites the host": Request(
        peer=CN,
        target="/moved",
        headers=(("Host", "app"), ("X-Forwarded-Host", "help.example.com")),
    ),
    "F6 the target's path on another host": Request(
        peer=CN, target="/moved", headers=(("Host", "app.example.com"),)
    ),
    "F6 the target below a mount": Request(
        peer=CN, target="/away/x", root="/moved", headers=(("Host", "help.example.com"),)
    ),
    "the app's own": Request(peer=CN, target="/own/x"),
    "gRPC": Request(peer=CN, method="POST", headers=(("Content-Type", "application/grpc"),)),
    "a browser app": Request(peer=CN, headers=(("Origin", ORIGIN),)),
    "another browser app": Request(peer=CN, headers=(("Origin", "https://evil.example"),)),
    "D7 a preflight": Request(
        peer=CN,
        method="OPTIONS",
        headers=(("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")),
    ),
    "warned": Request(peer=SE),
    "allowed": Request(peer=GB),
}


@pytest.mark.parametrize(
    "more", [{}, {"cors_origins": [ORIGIN], "guard_caches": True}], ids=["", "options"]
)
@pytest.mark.parametrize("method", [None, "HEAD"])
@pytest.mark.parametrize("request_", ASKED.values(), ids=ASKED)
def test_both_middlewares_answer_alike_in_every_form(
    tiny: Database, request_: Request, method: str | None, more: dict[str, Any]
) -> None:
    if method is not None:
        request_ = Request(**{**vars(request_), "method": method})
    answers = [
        through(request_, database=tiny, **OPTIONS, **more)
        for through in (through_asgi, through_wsgi)
    ]
    over_asgi, over_wsgi = answers
    assert over_asgi.status == over_wsgi.status
    assert over_asgi.headers == over_wsgi.headers
    assert without_id(over_asgi.body) == without_id(over_wsgi.body)
    assert over_asgi.served == over_wsgi.served
    if over_asgi.served:
        return
    assert over_asgi.headers["cache-control"] == "no-store"
    assert over_asgi.headers["x-content-type-options"] == "nosniff"
    assert not {"etag", "set-cookie"} & over_asgi.headers.keys()
    length = int(over_asgi.headers["content-length"])
    for answer in answers:  # D6
        assert len(answer.body) == (0 if request_.method == "HEAD" else length)


@BOTH
@pytest.mark.parametrize("target", ["/x", "/page/x", "/legal/x", "/away/x", "/moved"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_p7_nothing_of_a_request_is_in_a_block(
    tiny: Database, through: Through, target: str, accept: str
) -> None:
    mark = "reflected-text"
    fields = ("User-Agent", "Referer", "Origin", "Host", "X-Forwarded-Host", "Content-Type", "Cookie",
              "X-Request-Id", "Accept-Language", "GeoRestrict-Warning")  # fmt: skip
    headers = (("Accept", f"{accept}, {mark}/x"), *((name, mark) for name in fields))
    request = Request(
        peer=CN, target=f"{target}/{mark}?{mark}", method=f"GET{mark}", headers=headers
    )
    answer = through(request, database=tiny, cors_origins=[ORIGIN], **OPTIONS)
    assert not answer.served
    assert mark not in f"{answer.headers} {answer.body!r}"
    assert CN not in f"{answer.headers} {answer.body!r}"


@BOTH
def test_f6_a_redirect_ends_at_its_target(tiny: Database, through: Through) -> None:
    away = through(Request(peer=CN, target="/away/x"), database=tiny, **OPTIONS)
    assert (away.status, away.headers["location"]) == (303, ELSEWHERE)
    request = Request(peer=CN, target="/moved", headers=(("Host", "help.example.com"),))
    arrived = through(request, database=tiny, **OPTIONS)
    assert (arrived.status, "location" in arrived.headers) == (403, False)


@BOTH
def test_a_page_has_an_id_that_the_log_line_has_too(
    tiny: Database, through: Through, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "georestrict")
    answer = through(Request(peer=CN, target="/page/x"), database=tiny, **OPTIONS)
    (line,) = [text for text in caplog.messages if text.startswith("blocked ")]
    found = re.search(r"request=([0-9a-f]{16})$", line)
    assert found is not None
    assert found[1].encode() in answer.body
    caplog.clear()
    through(Request(peer=CN), database=tiny, **OPTIONS)
    (line,) = [text for text in caplog.messages if text.startswith("blocked ")]
    assert "request=" not in line


# The app's own responses


@BOTH
def test_an_own_response_is_sent_and_kept_by_nobody(tiny: Database, through: Through) -> None:
    request = Request(peer=CN, target="/own/x", headers=(("Origin", ORIGIN),))
    answer = through(request, database=tiny, cors_origins=[ORIGIN], **OPTIONS)
    assert (answer.status, answer.body) == (418, b"CN: short and stout")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "set-cookie" not in answer.headers


def failing(decision: Decision, where: Any) -> Response:
    """A defect of the app's."""
    raise RuntimeError("defect")


HOOKS = {
    "fails": failing,
    "returns no response": lambda decision, where: b"no response",
    "says nothing": lambda decision, where: Response(status=403, headers=(), body=b""),
}


@BOTH
@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_where_the_apps_own_response_fails_json_is_sent_and_one_line_says_so(
    tiny: Database, through: Through, hook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    request = Request(peer=CN, target="/own/x")
    answer = through(request, database=tiny, policy=POLICY, responses={"own": hook})
    assert answer.status == 403
    assert json.loads(answer.body)["error"]["code"] == "unsupported_country_region_territory"
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "the app's own response failed; the json form is sent"
    ]


def test_over_asgi_an_own_response_may_be_awaited(tiny: Database) -> None:
    async def slow(decision: Decision, scope: Any) -> Response:
        return teapot(decision, scope)

    request = Request(peer=CN, target="/own/x")
    answer = through_asgi(request, database=tiny, policy=POLICY, responses={"own": slow})
    assert answer.status == 418


@BOTH
def test_a_form_that_comes_with_a_reload_and_has_no_callable_is_json(
    tiny: Database, through: Through, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    path = tmp_path / "policy.toml"
    rule = '[[rules]]\nname = "no-cn"\naction = "block"\ncountries = ["CN"]\n'
    path.write_text(f'default = "allow"\n{rule}')
    engine = Engine(path, database=tiny)
    app = Recorder()
    guarded = MIDDLEWARES["asgi"](app.asgi, engine=engine) if through is through_asgi else None
    path.write_text(f'default = "allow"\nresponse = "own"\n[responses.own]\ntype = "app"\n{rule}')
    if guarded is None:
        before = MIDDLEWARES["wsgi"](app.wsgi, engine=engine)
        engine.reload()
        bodies = [
            b"".join(before(environ_of(Request(peer=CN)), lambda *_: print)) for _ in range(2)
        ]
    else:
        engine.reload()
        bodies = [run_asgi(guarded, scope_of(Request(peer=CN)))[1]["body"] for _ in range(2)]
    assert [json.loads(body)["status"] for body in bodies] == [403, 403]
    assert [text for text in caplog.messages if "no callable" in text] == [
        'the policy has [responses.own] with type = "app", and no callable; give the middleware '
        "responses={'own': …}; the json form is sent"
    ]


# Hooks


@BOTH
def test_f8_on_decision_is_told_once_of_everything_but_plain_allows(
    tiny: Database, through: Through
) -> None:
    told: list[tuple[str, str | None, str | None]] = []
    asked: list[object] = []

    def identify(where: Any) -> str:
        asked.append(where["georestrict"].country)
        return "account-7"

    def note(decision: Decision, account: str | None) -> None:
        told.append((decision.action.value, decision.rule, account))

    for peer in (CN, SE, GB):
        through(Request(peer=peer, headers=(("GeoRestrict-Warning", "forged"),)),
                database=tiny, identify=identify, on_decision=note, **OPTIONS)  # fmt: skip
    assert told == [("block", "rest", "account-7"), ("warn", "soon", "account-7")]
    assert asked == ["CN", "SE"]
    told.clear()
    through(Request(peer=CN), database=tiny, on_decision=note, **OPTIONS)
    assert told == [("block", "rest", None)]
    through(Request(peer=CN), database=tiny, identify=identify, **OPTIONS)
    assert asked == ["CN", "SE"]


@BOTH
def test_i8_on_decision_is_told_of_what_a_dry_run_would_have_done(
    tiny: Database, through: Through
) -> None:
    told: list[Decision] = []
    options = {**OPTIONS, "policy": POLICY | {"mode": "dry-run"}}
    answer = through(
        Request(peer=CN), database=tiny, on_decision=lambda one, _: told.append(one), **options
    )
    assert answer.served
    assert [(one.action.value, one.would and one.would.value) for one in told] == [
        ("allow", "block")
    ]


@BOTH
@pytest.mark.parametrize("hook", ["on_decision", "identify"])
def test_a_defect_of_a_hook_is_logged_and_touches_no_request(
    tiny: Database, through: Through, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(*_: Any) -> None:
        raise RuntimeError("defect")

    hooks = {"on_decision": lambda *_: None, hook: defect}
    assert through(Request(peer=SE), database=tiny, **hooks, **OPTIONS).body == APP_BODY
    assert through(Request(peer=CN), database=tiny, **hooks, **OPTIONS).status == 403
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "on_decision failed; the request goes on"
    ] * 2


def test_over_asgi_on_decision_may_be_awaited(tiny: Database) -> None:
    told: list[Decision] = []

    async def note(decision: Decision, account: str | None) -> None:
        told.append(decision)

    through_asgi(Request(peer=SE), database=tiny, on_decision=note, **OPTIONS)
    assert [one.rule for one in told] == ["soon"]


# Warnings


@BOTH
def test_f8_a_warned_response_says_from_when_it_bites(tiny: Database, through: Through) -> None:
    app = Recorder(headers=((b"Sunset", b"theirs"), (b"georestrict-warning", b"theirs")))
    answer = through(Request(peer=SE), app, database=tiny, cors_origins=[ORIGIN], **OPTIONS)
    assert answer.headers == {
        "Sunset": "theirs",
        "georestrict-warning": (
            'code="unsupported_country_region_territory", country="SE", '
            'block_from="9999-01-01T00:00:00Z", contact="https://example.com/contact"'
        ),
        "deprecation": "@946684800",
        "access-control-expose-headers": "GeoRestrict-Warning, Deprecation, Sunset",
    }
    without = through(Request(peer=SE), database=tiny, **OPTIONS)
    assert without.headers["sunset"] == "Fri, 01 Jan 9999 00:00:00 GMT"
    assert "access-control-expose-headers" not in without.headers


def test_a_warned_websocket_says_it_when_it_is_accepted(tiny: Database) -> None:
    async def chat(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "websocket.accept"})

    guarded = asgi.GeoRestrictMiddleware(chat, database=tiny, guard_caches=True, **OPTIONS)
    for peer, names in ((SE, {b"georestrict-warning", b"deprecation", b"sunset"}), (GB, set())):
        (accept,) = run_asgi(guarded, scope_of(Request(peer=peer), type="websocket"))
        assert {name for name, _ in accept.get("headers", ())} == names


def test_p7_a_blocked_websocket_gets_the_response_of_its_form(tiny: Database) -> None:
    async def never(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        raise AssertionError("the app was called")

    guarded = asgi.GeoRestrictMiddleware(never, database=tiny, **OPTIONS)
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    scope = scope_of(Request(peer=CN, target="/legal/x"), type="websocket", extensions=extensions)
    start, body = run_asgi(guarded, scope, ({"type": "websocket.connect"},))
    over_http = through_asgi(Request(peer=CN, target="/legal/x"), database=tiny, **OPTIONS)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 451)
    assert dict(start["headers"])[b"cache-control"] == b"no-store"
    assert body["body"] == over_http.body
    assert run_asgi(guarded, scope, ({"type": "websocket.disconnect"},)) == []


def test_d14_a_block_sends_its_response_and_nothing_before_it(tiny: Database) -> None:
    extensions: dict[str, Any] = {"http.response.push": {}, "http.response.early_hint": {}}
    guarded = asgi.GeoRestrictMiddleware(Recorder().asgi, database=tiny, **OPTIONS)
    for request in ASKED.values():
        if request.peer == CN:
            sent = run_asgi(guarded, scope_of(request, extensions=extensions))
            assert [message["type"] for message in sent] == [
                "http.response.start", "http.response.body",
            ]  # fmt: skip


def test_a_grpc_status_comes_in_trailers_where_the_server_has_them(tiny: Database) -> None:
    guarded = asgi.GeoRestrictMiddleware(Recorder().asgi, database=tiny, **OPTIONS)
    scope = scope_of(ASKED["gRPC"])
    start, body = run_asgi(guarded, scope)
    assert dict(start["headers"])[b"grpc-status"] == b"7"
    extended = scope | {"extensions": {"http.response.trailers": {}}}
    assert run_asgi(guarded, extended) == [start, body]  # the client did not ask for any
    with_trailers = extended | {"headers": [*scope["headers"], (b"te", b"trailers")]}
    *first, trailers = run_asgi(guarded, with_trailers)
    assert first == [
        {**start, "headers": start["headers"][:-2], "trailers": True},
        body,
    ]
    assert trailers == {"type": "http.response.trailers", "headers": start["headers"][-2:]}


def test_a_refusal_costs_no_more_for_a_field_in_many_lines(tiny: Database) -> None:
    guarded = asgi.GeoRestrictMiddleware(Recorder().asgi, database=tiny, **OPTIONS)
    for name in (b"accept", b"host", b"x-forwarded-host"):
        took = {}
        for count in (6_000, 60_000):
            headers = [(name, b"a/b")] * count
            scope = scope_of(Request(peer=CN, target="/away/x"), headers=headers)
            start = time.process_time()
            assert run_asgi(guarded, scope)[0]["status"] in (303, 403)
            took[count] = time.process_time() - start
        assert took[60_000] < 50 * took[6_000], (name, took)  # joined one by one it is 100 times


# CORS

PREFLIGHT = ASKED["D7 a preflight"]


@BOTH
@pytest.mark.parametrize("passes", [False, True])
def test_d7_a_preflight_passes_by_option_and_the_real_request_is_blocked(
    tiny: Database, through: Through, passes: bool
) -> None:
    options = {"database": tiny, "pass_preflights": passes, "annotate": True, **OPTIONS}
    answer = through(PREFLIGHT, **options)
    assert answer.served == passes
    if passes:
        assert answer.decision is not None
        assert (answer.decision.action, answer.decision.reason) == ("allow", "preflight")
    for method in ("POST", "GET", "OPTIONS"):
        real = Request(peer=CN, method=method, headers=(("Origin", ORIGIN),))
        assert through(real, **options).status == 403


@BOTH
def test_d7_a_preflight_that_passes_is_counted_as_that(tiny: Database, through: Through) -> None:
    engine = Engine(POLICY, database=tiny)
    through(PREFLIGHT, engine=engine, responses={"own": teapot}, pass_preflights=True)
    assert [(one.reason.value, count) for one, count in engine.counts.items()] == [("preflight", 1)]


@BOTH
def test_a_block_is_readable_for_the_apps_of_configured_origins(
    tiny: Database, through: Through
) -> None:
    options = {"database": tiny, "cors_origins": [ORIGIN], **OPTIONS}
    ours = through(ASKED["a browser app"], **options)
    assert ours.headers["access-control-allow-origin"] == ORIGIN
    assert ours.headers["vary"] == "Accept, Origin"
    theirs = through(ASKED["another browser app"], **options)
    assert "access-control-allow-origin" not in theirs.headers
    assert theirs.headers["vary"] == "Accept, Origin"
    assert "Origin" not in through(ASKED["a browser app"], database=tiny, **OPTIONS).headers["vary"]


# Caches


@BOTH
@pytest.mark.parametrize("peer", [GB, SE], ids=["allowed", "warned"])
def test_f7_what_the_app_lets_shared_caches_keep_is_private_every_time(
    tiny: Database, through: Through, peer: str
) -> None:
    app = Recorder(headers=((b"Cache-Control", b"public, max-age=60"), (b"x-app", b"1")))
    for _ in range(20):  # the gate would let most of them through
        answer = through(Request(peer=peer), app, database=tiny, guard_caches=True, **OPTIONS)
        assert answer.headers["cache-control"] == "private, max-age=60"
        assert answer.headers["x-app"] == "1"
    plain = through(Request(peer=peer), app, database=tiny, **OPTIONS)
    assert plain.headers["Cache-Control"] == "public, max-age=60"


@pytest.mark.parametrize("kind", MIDDLEWARES)
def test_f7_one_middleware_guards_all_of_its_requests(tiny: Database, kind: str) -> None:
    app = Recorder(headers=((b"cache-control", b"public"),))
    guarded = MIDDLEWARES[kind](getattr(app, kind), database=tiny, guard_caches=True, **OPTIONS)
    kept = set()
    for _ in range(50):
        if kind == "asgi":
            start, _body = run_asgi(guarded, scope_of(Request(peer=GB)))
            kept.add(dict(start["headers"])[b"cache-control"])
        else:
            guarded(
                environ_of(Request(peer=GB)),
                lambda _, headers: kept.add(dict(headers)["cache-control"].encode()),
            )
    assert kept == {b"private"}


# The protocol, and the options


@pytest.mark.parametrize("name", ASKED)
def test_d15_every_form_is_valid_wsgi(tiny: Database, name: str) -> None:
    class Errors:
        def write(self, text: str) -> None: ...
        def writelines(self, lines: Any) -> None: ...
        def flush(self) -> None: ...

    request = ASKED[name]
    guarded = wsgi.GeoRestrictMiddleware(
        Recorder().wsgi, database=tiny, cors_origins=[ORIGIN], guard_caches=True, **OPTIONS
    )
    environ = environ_of(request, **{"wsgi.errors": Errors()})
    body = validator(guarded)(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert b"".join(body) or name == "gRPC"
    body.close()  # type: ignore[attr-defined]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "responses is a list": ({"responses": [teapot]}, "responses is .* must map names"),
    "a callable is missing": ({"responses": {}}, r"\[responses.own\] with type = \"app\", and no callable"),
    "none is given": ({"responses": None}, r"give the middleware responses=\{'own': …\}"),
    "one too many": ({"responses": {"own": teapot, "page": teapot}}, r"responses\['page'\]: the policy has no"),
    "no callable": ({"responses": {"own": 418}}, r"responses\['own'\] is 418, must be callable"),
    "a hook that is text": ({"on_decision": "log"}, "on_decision is 'log', must be callable"),
    "a flag that is text": ({"guard_caches": "yes"}, "guard_caches is 'yes', must be True or False"),
    "another": ({"pass_preflights": 1}, "pass_preflights is 1, must be True or False"),
    "an origin that is none": ({"cors_origins": ["*"]}, r"cors_origins: '\*' is no origin"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MIDDLEWARES)
@pytest.mark.parametrize(("options", "says"), WRONG.values(), ids=WRONG)
def test_options_that_make_no_sense_are_errors_at_start(
    tiny: Database, kind: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        MIDDLEWARES[kind](Recorder().wsgi, database=tiny, **{**OPTIONS, **options})


async def later(*_: Any) -> None:
    """A hook that has to be awaited."""


class Later:
    """One that is an object, or a method."""

    async def __call__(self, *_: Any) -> None: ...


AWAITED = {
    "a function": later,
    "a partial": partial(partial(later), 1),
    "an object": Later(),
    "a partial of one": partial(Later(), 1),
    "a method": Later().__call__,
}


@pytest.mark.parametrize("later", AWAITED.values(), ids=AWAITED)
@pytest.mark.parametrize("option", ["identify", "attributes"])
@pytest.mark.parametrize("kind", MIDDLEWARES)
def test_what_is_asked_within_a_decision_cannot_be_awaited(
    tiny: Database, kind: str, option: str, later: Any
) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} is a coroutine function, must be a pl"):
        MIDDLEWARES[kind](Recorder().wsgi, database=tiny, **OPTIONS | {option: later})
    plain = partial(lambda where: None)
    assert MIDDLEWARES[kind](Recorder().wsgi, database=tiny, **OPTIONS | {option: plain})


@pytest.mark.parametrize("later", AWAITED.values(), ids=AWAITED)
@pytest.mark.parametrize("option", ["on_decision", "responses"])
def test_wsgi_cannot_await(tiny: Database, option: str, later: Any) -> None:
    options = {**OPTIONS, option: later if option == "on_decision" else {"own": later}}
    assert asgi.GeoRestrictMiddleware(Recorder().asgi, database=tiny, **options)
    with pytest.raises(ConfigurationError, match="is a coroutine function, which WSGI cannot"):
        wsgi.GeoRestrictMiddleware(Recorder().wsgi, database=tiny, **options)


@pytest.mark.parametrize(
    "odd",
    [{"path": None}, {"headers": None}, {"headers": [(b"accept", None)]}, {"root_path": None},
     {"headers": [(1, 2)]}, {"method": None}],
)  # fmt: skip
def test_d12_an_odd_scope_is_refused_in_json(tiny: Database, odd: dict[str, Any]) -> None:
    guarded = asgi.GeoRestrictMiddleware(Recorder().asgi, database=tiny, **OPTIONS)
    start, body = run_asgi(guarded, scope_of(Request(peer=CN), **odd))
    assert start["status"] in (403, 503)
    assert json.loads(body["body"])["error"]


@pytest.mark.parametrize(
    "odd", [{"PATH_INFO": "/\u4e2d"}, {"HTTP_ORIGIN": 5}, {"SCRIPT_NAME": None}]
)
def test_d12_an_odd_environ_is_refused_in_json(tiny: Database, odd: dict[str, Any]) -> None:
    guarded = wsgi.GeoRestrictMiddleware(Recorder().wsgi, database=tiny, **OPTIONS)
    body = b"".join(guarded(environ_of(Request(peer=CN), **odd), lambda *_: print))
    assert json.loads(body)["status"] in (403, 503)
