"""A Django project: its settings describe the middleware, its checks tell what is wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core import checks
from django.core.checks.registry import registry
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.test.signals import setting_changed
from starlette.testclient import TestClient, WebSocketDenialResponse

import georestrict.django
from georestrict import ConfigurationError, Database, Decision, Engine, asgi, wsgi
from georestrict.address import TrustedProxies
from georestrict.django import decision, engine, guarded, options
from georestrict.django.apps import GeoRestrictConfig
from georestrict.django.checks import TAG, check_deployment, check_settings
from tests import framework_examples as examples
from tests.test_endpoints import django_urls
from tests.web import Request, environ_of, scope_of

pytestmark = pytest.mark.once

POLICY = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "fallback": {"unknown": "block"},
    "rules": [
        {"name": "closed", "action": "block", "countries": ["CN"]},
        {"name": "closing", "action": "warn", "countries": ["SE"]},
    ],
}
GB, SE, CN = "81.2.69.142", "89.160.20.112", "175.16.199.1"
Project = Callable[..., None]


def count_hook(decided: Decision, account: str | None) -> None:
    """Stand for a function of the project, which its settings name by its path."""


async def late_identify(scope: Any) -> str:
    """Stand for a function that is none of those which may be awaited."""
    return "account"


@pytest.fixture
def project(tiny: Database) -> Iterator[Project]:
    """Set what a project's settings say; each test has an engine of its own."""
    django_urls()
    undo: list[override_settings] = []

    def say(given: Any = None, **more: Any) -> None:
        engine.cache_clear()
        georestrict_setting = {"policy": POLICY, "database": tiny} if given is None else given
        changed = override_settings(GEORESTRICT=georestrict_setting, **more)
        changed.enable()
        undo.append(changed)

    say()
    yield say
    for changed in reversed(undo):
        changed.disable()
    engine.cache_clear()


def ids(found: list[checks.CheckMessage]) -> list[str]:
    """The ids of what checks found, without the common part."""
    return [message.id.removeprefix(f"{TAG}.") for message in found]


async def over_asgi(scope: Any, receive: Any, send: Any) -> None:
    """Serve HTTP and WebSockets, as a router of Channels does."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


def over_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Serve HTTP."""
    start_response("200 OK", [])
    return [b"served"]


class Router:
    """An ASGI application that is an object."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        await over_asgi(scope, receive, send)


class Static:
    """A WSGI application that is an object, as WhiteNoise is."""

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        """Serve."""
        return over_wsgi(environ, start_response)


@pytest.mark.usefixtures("project")
def test_guarded_tells_by_the_application_whether_it_is_asgi_or_wsgi() -> None:
    for of_asgi in (over_asgi, Router()):
        assert isinstance(guarded(of_asgi), asgi.GeoRestrictMiddleware)
    for of_wsgi in (over_wsgi, Static(), WSGIHandler()):
        assert isinstance(guarded(of_wsgi), wsgi.GeoRestrictMiddleware)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("what", [None, "shop.wsgi.application", lambda *given: None, dict])
def test_what_is_neither_is_refused_with_what_to_do(what: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"guarded is given .*get_asgi_application\(\)"):
        guarded(what)


@pytest.mark.usefixtures("project")
def test_a_guarded_application_blocks_warns_and_allows_over_both() -> None:
    def over(address: str, application: Any) -> httpx.Response:
        if isinstance(application, wsgi.GeoRestrictMiddleware):
            transport = httpx.WSGITransport(application, remote_addr=address)
            with httpx.Client(transport=transport, base_url="http://localhost") as client:
                return client.get("/")
        return TestClient(application, client=(address, 1)).get("/")  # type: ignore[return-value]

    for application in (guarded(over_asgi), guarded(over_wsgi)):
        for address, status, warned in ((GB, 200, False), (SE, 200, True), (CN, 403, False)):
            answer = over(address, application)
            assert answer.status_code == status
            assert ("georestrict-warning" in answer.headers) == warned


@pytest.mark.usefixtures("project")
def test_the_websockets_of_what_guarded_is_put_around_are_guarded() -> None:
    application = guarded(Router())
    TestClient(application, client=(GB, 1)).websocket_connect("/").__enter__()
    with pytest.raises(WebSocketDenialResponse) as refused:
        TestClient(application, client=(CN, 1)).websocket_connect("/").__enter__()
    assert refused.value.status_code == 403


@pytest.mark.usefixtures("project")
def test_a_view_finds_the_decision_over_both_even_if_it_is_a_plain_allow() -> None:
    seen: list[Decision | None] = []

    def view_of_wsgi(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(decision(WSGIRequest(environ)))
        return over_wsgi(environ, start_response)

    async def view_of_asgi(scope: Any, receive: Any, send: Any) -> None:
        seen.append(decision(ASGIRequest(scope, None)))
        await over_asgi(scope, receive, send)

    guarded(view_of_wsgi)(environ_of(Request(peer=GB)), lambda *given: None)

    async def ask() -> None:
        async def nothing(*given: Any) -> Any: ...

        await guarded(view_of_asgi)(scope_of(Request(peer=GB)), nothing, nothing)

    asyncio.run(ask())
    assert [found and (found.country, str(found.action)) for found in seen] == [("GB", "allow")] * 2


def test_what_nothing_guarded_has_no_decision() -> None:
    factory = RequestFactory()
    assert decision(factory.get("/")) is None
    assert decision(factory.get("/", georestrict="allow", HTTP_GEORESTRICT="allow")) is None
    assert decision(HttpRequest()) is None


def test_the_settings_may_turn_the_annotation_off(project: Project, tiny: Database) -> None:
    assert options()["annotate"] is True
    project({"policy": POLICY, "database": tiny, "annotate": False})
    environ = environ_of(Request(peer=GB))
    guarded(over_wsgi)(environ, lambda *given: None)
    assert decision(WSGIRequest(environ)) is None


def test_functions_of_the_project_may_be_named_by_their_path(project: Project) -> None:
    own = POLICY | {"response": "ours", "responses": {"ours": {"type": "app"}}}
    hook = f"{__name__}.count_hook"
    project({"policy": own, "on_decision": hook, "responses": {"ours": hook}})
    # The module of this test may be imported under two names, so the functions' names are compared.
    assert options()["on_decision"].__name__ == "count_hook"
    assert options()["responses"]["ours"].__name__ == "count_hook"
    assert not check_settings(None)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (..., r"GEORESTRICT is None, must map options"),
        ({}, r"GEORESTRICT is \{\}, must map options"),
        ("policy.toml", r"GEORESTRICT is 'policy.toml', must map options"),
        ({"polcy": "p.toml"}, r"GEORESTRICT\['polcy'\]: unknown option: did you mean 'policy'\?"),
        ({"POLICY": "p.toml"}, r"\['POLICY'\]: unknown option: did you mean 'policy'\?"),
        ({"app": over_wsgi}, r"\['app'\]: unknown option: known are policy, engine, "),
        ({"identify": "no.such.thing"}, r"\['identify'\] is 'no.such.thing', must be the dotted"),
        ({"responses": {"ours": "nowhere"}}, r"\['responses'\]\['ours'\] is 'nowhere', must be"),
    ],
)
def test_wrong_settings_are_an_error_that_names_the_place_and_the_fix(
    project: Project, given: Any, told: str
) -> None:
    project(None if given is ... else given)
    if given is ...:
        settings.GEORESTRICT = None
    for ask in (options, engine, lambda: guarded(over_wsgi)):
        with pytest.raises(ConfigurationError, match=told):
            ask()
    (found,) = check_settings(None)
    assert ids([found]) == ["E001"]
    assert "settings: GEORESTRICT" in found.msg
    assert check_deployment(None) == []


@pytest.mark.usefixtures("project")
def test_the_checks_have_nothing_to_say_about_good_settings() -> None:
    assert check_settings(None) == []


def test_every_problem_of_every_policy_file_is_an_error_with_its_line(
    project: Project, tmp_path: Path
) -> None:
    rule = '[[rules]]\nname = "a"\naction = "block"\ncountries = ["UK", "EL"]\n'
    for name in ("site.toml", "strict.toml"):
        (tmp_path / name).write_text(f'default = "allow"\nmode = "try"\n{rule}')
    project({"policy": tmp_path / "site.toml", "policies": {"strict": tmp_path / "strict.toml"}})
    found = check_settings(None)
    assert ids(found) == ["E002"] * 6
    assert [message.obj for message in found] == [
        f"{tmp_path / name}:{line}" for name in ("site.toml", "strict.toml") for line in (2, 6, 6)
    ]
    assert "'UK' is not a country: did you mean GB?" in str(found[1])


def test_advice_about_a_policy_is_a_warning(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        'default = "allow"\n[[rules]]\nname = "a"\naction = "block"\ncountries = ["CU"]\n'
    )
    project({"policy": file})
    found = check_settings(None)
    assert {*ids(found)} == {"W001"}
    assert any("contact" in message.msg for message in found)


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ({"policy": {"default": "perhaps"}}, "E001", "default"),
        ({"policy": POLICY, "block": ["CU"]}, "E001", "not both"),
        ({"policy": POLICY, "client": "10.0.0.1"}, "E001", "client"),
        ({"policy": POLICY, "identify": f"{__name__}.late_identify"}, "E001", "coroutine"),
        ({"policy": POLICY, "policies": ["wine.toml"]}, "E001", "policies"),
        ({"policy": "nowhere.toml"}, "E002", "nowhere.toml"),
        ({"policy": POLICY, "database": "nowhere.grdb"}, "E003", "nowhere.grdb"),
    ],
)
def test_whatever_would_stop_the_start_is_an_error_of_the_checks(
    project: Project, given: Any, code: str, told: str
) -> None:
    project(given)
    (found,) = check_settings(None)
    assert ids([found]) == [code]
    assert told in found.msg


def test_a_database_that_a_file_needs_and_that_is_missing_is_an_error(
    project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "p.toml"
    file.write_text('default = "block"\ncontact = "https://example.com/"\n')
    project({"policy": file, "database": tmp_path / "nowhere.grdb"})
    assert ids(check_settings(None)) == ["E003"]


def served_by(monkeypatch: pytest.MonkeyPatch, application: Any) -> str:
    """A module with an application, as ``WSGI_APPLICATION`` names it."""
    module = ModuleType("project_of_this_test")
    module.application = application  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"{module.__name__}.application"


def test_a_deployment_behind_a_proxy_that_nobody_declared_is_told(
    project: Project, tiny: Database
) -> None:
    more = {"WSGI_APPLICATION": None, "USE_X_FORWARDED_HOST": True}
    project(**more)
    (found,) = check_deployment(None)
    assert ids([found]) == ["W002"]
    assert found.msg.startswith("USE_X_FORWARDED_HOST: a proxy is in front")
    trusted = {"policy": POLICY, "database": tiny, "client": TrustedProxies("10.0.3.0/24")}
    project(trusted, **more)
    assert check_deployment(None) == []


def test_a_deployment_whose_application_is_not_guarded_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("georestrict.django.checks.guards", set())
    project(WSGI_APPLICATION=served_by(monkeypatch, WSGIHandler()))
    assert ids(check_deployment(None)) == ["W003"]


def test_an_application_that_cannot_be_imported_leaves_the_other_checks_their_say(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: str) -> None:
        raise ConfigurationError("policy.toml:7: what is wrong there")

    project(WSGI_APPLICATION="nowhere.wsgi.application")
    (found,) = check_deployment(None)
    assert ids([found]) == ["W003"]
    assert "cannot be imported: No module named 'nowhere'" in found.msg
    monkeypatch.setattr("georestrict.django.checks.import_string", stop)  # as guarded() does
    (found,) = check_deployment(None)
    assert "cannot be imported: policy.toml:7: what is wrong there" in found.msg


def test_a_guarded_application_may_have_others_around_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = guarded(WSGIHandler())

    def outer(environ: Any, start_response: Any) -> Any:
        return inner(environ, start_response)

    project(WSGI_APPLICATION=served_by(monkeypatch, outer))
    assert check_deployment(None) == []


def test_a_cache_of_the_whole_site_before_policies_of_single_views_is_told(
    project: Project, tiny: Database
) -> None:
    cache = ["django.middleware.cache.UpdateCacheMiddleware"]
    project(WSGI_APPLICATION=None, MIDDLEWARE=cache)
    assert check_deployment(None) == []
    strict = {"policy": POLICY, "database": tiny, "policies": {"strict": POLICY}}
    project(strict, WSGI_APPLICATION=None, MIDDLEWARE=cache)
    assert ids(check_deployment(None)) == ["W004"]


@pytest.mark.usefixtures("project")
def test_the_health_is_that_of_the_engine_by_which_requests_are_decided() -> None:
    assert guarded(over_wsgi).engine is engine() is guarded(over_asgi).engine
    answer: HttpResponse = georestrict.django.health(RequestFactory().get("/"))
    assert (answer.status_code, json.loads(answer.content)["status"]) == (200, "ok")
    assert json.loads(answer.content)["snapshot"] == engine().snapshot.id
    assert "no-store" in answer["Cache-Control"]
    assert georestrict.django.health(RequestFactory().post("/")).status_code == 405


def test_the_health_without_data_is_503(project: Project, tmp_path: Path) -> None:
    project({"policy": POLICY, "database": tmp_path / "nowhere.grdb", "require_data": False})
    answer = georestrict.django.health(RequestFactory().get("/"))
    assert (answer.status_code, json.loads(answer.content)["status"]) == (503, "failing")


def test_an_engine_may_be_given_instead(project: Project, tiny: Database) -> None:
    given = Engine(POLICY, database=tiny)
    project({"engine": given})
    assert guarded(over_wsgi).engine is given is engine()


@pytest.mark.usefixtures("project")
def test_the_app_brings_the_checks_and_forgets_the_engine_when_a_test_overrides_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "registered_checks", set())
    monkeypatch.setattr(registry, "deployment_checks", set())
    config = GeoRestrictConfig("georestrict.django", georestrict.django)
    assert (config.label, registry.tags_available()) == ("georestrict", set())
    config.ready()
    try:
        assert registry.get_checks(include_deployment_checks=True) == [
            check_settings,
            check_deployment,
        ]
        before = engine()
        with override_settings(GEORESTRICT={"block": ["CU"]}):
            assert engine() is not before
    finally:
        setting_changed.disconnect(dispatch_uid="georestrict")


def test_manage_py_check_tells_of_a_wrong_policy_with_its_place(tmp_path: Path) -> None:
    folder = examples.copied("django_wsgi", tmp_path)
    policy = folder / "policy.toml"
    policy.write_text(policy.read_text().replace('"CU", "IR"', '"CU", "UK"'))
    line = policy.read_text().partition('"UK"')[0].count("\n") + 1
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=folder,
        env=examples.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert (
        f"{policy}:{line}: (georestrict.E002) rules[4] (not-sent-to).countries[2]: "
        "'UK' is not a country: did you mean GB?" in done.stderr
    )
