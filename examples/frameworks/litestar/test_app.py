"""The app, asked by clients from several countries through Litestar's own test client."""

from typing import Any

import pytest
from app import app
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import TestClient

NORTH_KOREA, JAPAN, SWEDEN = "175.45.176.1", "2001:218::1", "89.160.20.112"


def client_from(address: str) -> TestClient[Any]:
    """Make a client with an address; Litestar's own has none."""

    async def addressed(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            scope["client"] = (address, 50000)
        await app(scope, receive, send)

    return TestClient(addressed)


def test_a_client_that_is_let_in_is_told_where_it_appears_to_be() -> None:
    with client_from(JAPAN) as client:
        assert client.get("/works").json() == {"works": "all", "country": "JP"}


def test_a_blocked_client_is_refused_even_where_nothing_is() -> None:
    with client_from(NORTH_KOREA) as client:
        assert client.get("/works").status_code == 403
        assert client.get("/nothing").status_code == 403
        assert client.get("/imprint").status_code == 200


def test_the_cached_report_is_not_for_everybody_who_is_let_in() -> None:
    for address, status in ((JAPAN, 200), (SWEDEN, 403), (JAPAN, 200), (SWEDEN, 403)):
        with client_from(address) as client:
            assert client.get("/report").status_code == status


def test_a_blocked_websocket_is_refused_before_it_is_accepted() -> None:
    with client_from(JAPAN) as client, client.websocket_connect("/live") as live:
        assert live.receive_text() == "live"
    with client_from(NORTH_KOREA) as client, pytest.raises(WebSocketDisconnect):
        client.websocket_connect("/live").__enter__()
