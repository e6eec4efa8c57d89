"""The app, asked by clients from several countries through Quart's own test client."""

import asyncio
from typing import Any

import pytest
from app import app
from quart.testing import WebsocketResponseError

IRAN, HONG_KONG, SWEDEN = "2.144.0.1", "1.64.0.1", "89.160.20.112"


def client_from(address: str) -> dict[str, Any]:
    """Say where a request of the test client comes from."""
    return {"scope_base": {"client": (address, 50000)}}


async def ask(address: str, path: str) -> Any:
    async with app.test_app() as serving:
        return await serving.test_client().get(path, **client_from(address))


def test_a_client_that_is_let_in_is_told_where_it_appears_to_be() -> None:
    async def page() -> str:
        answer = await ask(SWEDEN, "/")
        return str(await answer.get_data(as_text=True))

    assert "welcome; you appear to be in SE" in asyncio.run(page())


def test_a_blocked_client_gets_our_page_and_still_its_data() -> None:
    async def pages() -> tuple[int, str, int]:
        refused = await ask(IRAN, "/")
        text = str(await refused.get_data(as_text=True))
        return refused.status_code, text, (await ask(IRAN, "/account/export")).status_code

    status, text, export = asyncio.run(pages())
    assert (status, export) == (403, 200)
    assert "take it with you" in text


def test_a_warned_client_is_served_and_warned() -> None:
    answer = asyncio.run(ask(HONG_KONG, "/"))
    assert answer.status_code == 200
    assert 'country="HK"' in answer.headers["georestrict-warning"]


def test_a_blocked_websocket_is_refused_before_it_is_accepted() -> None:
    async def greeted(address: str) -> Any:
        async with app.test_app() as serving:
            client = serving.test_client()
            async with client.websocket("/chat", **client_from(address)) as chat:
                # Every server begins with it, and a refusal waits for it; Quart's client does not.
                await chat._send_queue.put({"type": "websocket.connect"})
                return await chat.receive()

    assert asyncio.run(greeted(SWEDEN)) == "welcome"
    with pytest.raises(WebsocketResponseError):
        asyncio.run(greeted(IRAN))
