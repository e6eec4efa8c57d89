"""What the tests share: a client of the shop that asks from where it is told to."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from shop import app

PROXY = "10.0.3.7"  # as the shop's client= says

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(client_from: Callable[..., str], georestrict_world: object) -> Ask:
    """Ask for a page as a client from a country, through the proxy."""

    def ask(place: str, path: str = "/", *, category: str | None = None) -> httpx.Response:
        async def get() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=(PROXY, 40000))
            address = client_from(place, category=category)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await client.get(path, headers={"X-Forwarded-For": address})

        return asyncio.run(get())

    return ask
