"""An app in a cluster: ``uvicorn app:app --host 0.0.0.0 --no-proxy-headers``."""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from georestrict.address import platforms
from georestrict.asgi import GeoRestrictMiddleware

# Both as app.yaml says.
POLICY = Path(os.environ["POLICY"])
CLIENT = platforms.kubernetes_ingress(*os.environ["INGRESS_RANGES"].split(","))


async def welcome(request: Request) -> PlainTextResponse:
    """Serve the one page."""
    return PlainTextResponse("welcome")


app = GeoRestrictMiddleware(
    Starlette(routes=[Route("/", welcome), Route("/healthz", welcome)]),
    policy=POLICY,
    client=CLIENT,
)
