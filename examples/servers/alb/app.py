"""An app behind an AWS ALB: ``uvicorn app:app --host 0.0.0.0 --no-proxy-headers``."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from georestrict.address import platforms
from georestrict.asgi import GeoRestrictMiddleware

POLICY = Path(__file__).parents[1] / "policy.toml"
# The load balancer's own two subnets in stack.yaml, and nothing else.
CLIENT = platforms.aws_alb("10.0.1.0/24", "10.0.2.0/24")


async def welcome(request: Request) -> PlainTextResponse:
    """Serve the one page."""
    return PlainTextResponse("welcome")


app = GeoRestrictMiddleware(
    Starlette(routes=[Route("/", welcome), Route("/healthz", welcome)]),
    policy=POLICY,
    client=CLIENT,
)
