"""The app, asked by clients from several countries through Starlette's own test client."""

import pytest
from app import app
from starlette.testclient import TestClient, WebSocketDenialResponse

NORTH_KOREA = ("175.45.176.1", 50000)
VENEZUELA = ("186.88.0.1", 50000)
UNITED_KINGDOM = ("81.2.69.142", 50000)


def test_a_client_that_is_let_in_is_told_where_it_appears_to_be() -> None:
    with TestClient(app, client=UNITED_KINGDOM) as client:
        assert client.get("/models").json() == {"models": ["large", "small"], "country": "GB"}


def test_a_blocked_client_is_refused_even_where_nothing_is() -> None:
    with TestClient(app, client=NORTH_KOREA) as client:
        for path in ("/models", "/nothing"):
            answer = client.get(path)
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "unsupported_country_region_territory"
        assert client.get("/export").status_code == 200


def test_a_warned_client_is_served_and_warned() -> None:
    with TestClient(app, client=VENEZUELA) as client:
        answer = client.get("/models")
        assert answer.status_code == 200
        assert 'country="VE"' in answer.headers["georestrict-warning"]


def test_a_blocked_websocket_is_refused_before_it_is_accepted() -> None:
    british = TestClient(app, client=UNITED_KINGDOM)
    with british as client, client.websocket_connect("/chat") as chat:
        assert chat.receive_text() == "hello"
    with TestClient(app, client=NORTH_KOREA) as client, pytest.raises(WebSocketDenialResponse):
        client.websocket_connect("/chat").__enter__()
