"""Every example of a framework does what its README says: its table, its commands, its server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from georestrict import Database
from tests import framework_examples as examples
from tests.framework_examples import Answer, Claim, check, check_who, claims

pytestmark = pytest.mark.once

NAMES = examples.NAMES
IN_PROCESS = [name for name in NAMES if not name.startswith("django")]


def test_there_is_an_example_of_each_framework() -> None:
    assert NAMES == ["fastapi", "flask", "litestar", "quart", "starlette"]


def app_of(name: str) -> Any:
    """The app of an example; its module is called otherwise, since each of them is called app."""
    path = examples.FOLDER / name / "app.py"
    spec = spec_from_file_location(f"example_of_{name}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def asgi(app: Any) -> Callable[[Claim], Answer]:
    """Ask an ASGI app without a server."""

    def ask(claim: Claim) -> Answer:
        with TestClient(app, client=("127.0.0.1", 50000), follow_redirects=False) as client:
            if claim.method != "WebSocket":
                answer = client.request(claim.method, claim.path, headers=claim.headers)
                return Answer(answer.status_code, dict(answer.headers), answer.text)
            try:
                with client.websocket_connect(claim.path, headers=claim.headers) as socket:
                    raw: list[tuple[bytes, bytes]] = [*(socket.extra_headers or ())]
                    headers = {key.decode(): value.decode() for key, value in raw}
                    return Answer(101, headers, socket.receive_text())
            except WebSocketDenialResponse as refused:
                return Answer(refused.status_code, dict(refused.headers), refused.text)

    return ask


def wsgi(app: Any) -> Callable[[Claim], Answer]:
    """Ask a WSGI app without a server."""

    def ask(claim: Claim) -> Answer:
        transport = httpx.WSGITransport(app, remote_addr="127.0.0.1")
        with httpx.Client(transport=transport, base_url="http://testserver") as client:
            answer = client.request(claim.method, claim.path, headers=claim.headers)
        return Answer(answer.status_code, dict(answer.headers), answer.text)

    return ask


@pytest.mark.parametrize("name", IN_PROCESS)
def test_an_app_answers_each_client_as_its_readme_says(name: str) -> None:
    app = app_of(name)
    ask = wsgi(app) if name == "flask" else asgi(app)
    for claim in claims(name):
        check(claim, ask(claim))


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_tells_of_clients_that_are_let_in_warned_and_blocked(
    name: str, database: Database
) -> None:
    told = claims(name)
    for claim in told:
        check_who(claim, database)
    assert {200, 403} <= {claim.status for claim in told}
    assert any("GeoRestrict-Warning" in claim.has for claim in told)
    assert any("," in claim.forwarded and claim.status == 403 for claim in told), "nobody pretends"
    assert any(not claim.forwarded and claim.status == 403 for claim in told), "all can be told"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_server_of_a_readme_answers_as_it_says_and_its_commands_print_what_it_shows(
    name: str, tmp_path: Path
) -> None:
    folder = examples.copied(name, tmp_path)
    command = examples.server_of(name)
    with examples.serving(folder, command) as port:
        for claim in claims(name):
            check(claim, examples.asked(claim, port))
        for line, shown in examples.consoles(name):
            if line.split()[0] in ("pip", command[0]):
                assert not shown
                continue
            examples.run(line, shown, folder, port)
