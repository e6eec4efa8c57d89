"""An app behind Caddy: ``uvicorn app:app --host 127.0.0.1 --no-proxy-headers``."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from georestrict.address import platforms
from georestrict.asgi import GeoRestrictMiddleware

POLICY = Path(__file__).parents[1] / "policy.toml"
# Caddy writes the header as nginx does: what it saw itself is the last entry.
CLIENT = platforms.nginx("127.0.0.1/32")


async def welcome(request: Request) -> PlainTextResponse:
    """Serve the one page."""
    return PlainTextResponse("welcome")


app = GeoRestrictMiddleware(
    Starlette(routes=[Route("/", welcome), Route("/healthz", welcome)]),
    policy=POLICY,
    client=CLIENT,
)
