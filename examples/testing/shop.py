"""A shop behind a proxy, guarded by ``policy.toml``: ``uvicorn shop:app --no-proxy-headers``."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

POLICY = Path(__file__).with_name("policy.toml")


async def page(request: Request) -> PlainTextResponse:
    """Serve every page of the shop."""
    return PlainTextResponse(f"this is {request.url.path}")


app = Starlette(
    routes=[Route("/", page), Route("/checkout", page), Route("/contact", page)],
    middleware=[
        Middleware(GeoRestrictMiddleware, policy=POLICY, client=TrustedProxies("10.0.3.0/24"))
    ],
)
