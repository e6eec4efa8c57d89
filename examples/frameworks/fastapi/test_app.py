"""The app, asked by clients from several countries through FastAPI's own test client."""

import pytest
from app import BROWSER_APP, app
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

CUBA = ("152.206.0.1", 50000)
SWEDEN = ("89.160.20.112", 50000)


def test_an_order_has_the_country_that_it_appears_to_come_from() -> None:
    with TestClient(app, client=SWEDEN) as client:
        assert client.post("/orders", params={"item": "tea"}).json() == {
            "item": "tea",
            "country": "SE",
        }
        assert client.get("/orders/count").json() == 1


def test_a_blocked_client_orders_nothing() -> None:
    with TestClient(app, client=CUBA) as client:
        assert client.post("/orders", params={"item": "tea"}).status_code == 403
        assert client.get("/terms").status_code == 200


def test_a_browser_app_of_another_origin_can_read_why() -> None:
    preflight = {"Origin": BROWSER_APP, "Access-Control-Request-Method": "POST"}
    with TestClient(app, client=CUBA) as client:
        asked = client.options("/orders", headers=preflight)
        assert asked.headers["access-control-allow-origin"] == BROWSER_APP
        refused = client.post("/orders", params={"item": "tea"}, headers={"Origin": BROWSER_APP})
        assert refused.status_code == 403
        assert refused.headers["access-control-allow-origin"] == BROWSER_APP
        assert refused.json()["country"] == "CU"


def test_a_blocked_websocket_is_refused_before_it_is_accepted() -> None:
    with TestClient(app, client=SWEDEN) as client, client.websocket_connect("/news") as news:
        assert news.receive_json() == {"news": "none"}
    with TestClient(app, client=CUBA) as client, pytest.raises(WebSocketDenialResponse):
        client.websocket_connect("/news").__enter__()


def test_the_description_of_the_api_tells_of_the_refusal() -> None:
    described = app.openapi()["paths"]["/orders"]["post"]["responses"]
    assert "403" in described
