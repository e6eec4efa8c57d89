"""The routes, asked by clients from several countries through Starlette's test client."""

import pytest
from app import app
from starlette.testclient import TestClient, WebSocketDenialResponse

NORTH_KOREA, CHINA, JAPAN = "175.45.176.1", "175.16.199.1", "2001:218::1"
UNITED_KINGDOM, UNITED_STATES, TOR = "81.2.69.142", "73.0.0.1", "2.26.97.42"
#: Who may what: the app, what is under export control, the films.
MAY = {
    NORTH_KOREA: (403, 403, 403),
    CHINA: (200, 403, 403),
    JAPAN: (200, 200, 403),
    UNITED_KINGDOM: (200, 200, 200),
    UNITED_STATES: (200, 200, 200),
    TOR: (200, 403, 403),
}


@pytest.mark.parametrize("address", MAY)
def test_each_route_asks_its_own_policies(address: str) -> None:
    client = TestClient(app, client=(address, 50000))
    home, controlled, films = MAY[address]
    assert client.get("/").status_code == home
    assert client.post("/train").status_code == controlled
    assert client.get("/weights").status_code == controlled
    assert client.get("/films/").status_code == films
    assert client.get("/films/1").status_code == films
    assert client.get("/films/1/model").status_code == max(films, controlled)


def test_a_route_may_warn_whom_the_app_lets_in() -> None:
    client = TestClient(app, client=(UNITED_STATES, 50000))
    assert "georestrict-warning" not in client.get("/").headers
    assert 'country="US"' in client.get("/films/").headers["georestrict-warning"]


def test_a_websocket_may_ask_a_policy_of_its_own() -> None:
    with TestClient(app, client=(UNITED_KINGDOM, 1)).websocket_connect("/live") as live:
        assert live.receive_text() == "on air"
    with pytest.raises(WebSocketDenialResponse):
        TestClient(app, client=(JAPAN, 1)).websocket_connect("/live").__enter__()
