"""A Starlette app behind georestrict, as a vendor would write it.

Run it with ``uvicorn examples.starlette_app:app --no-proxy-headers``. The flag keeps uvicorn from
replacing the peer's address by itself: one party must derive the client, and that is georestrict.
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware


async def models(request: Request) -> JSONResponse:
    """Answer like an API; say what georestrict left in the scope."""
    decision = request.scope["georestrict"]
    return JSONResponse(
        {"models": ["large", "small"], "rule": decision.rule, "country": decision.country}
    )


async def chat(websocket: WebSocket) -> None:
    """Greet and close."""
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


app = Starlette(
    routes=[
        Route("/v1/models", models),
        Route("/account/export", models),
        Route("/contact", models),
        WebSocketRoute("/v1/chat", chat),
    ],
    middleware=[
        Middleware(
            GeoRestrictMiddleware,
            policy=Path(__file__).with_name("policy.toml"),
            client=TrustedProxies("127.0.0.1"),
            annotate=True,
        )
    ],
)
