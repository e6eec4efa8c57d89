"""A Starlette app behind georestrict: an API, a WebSocket, its health for monitors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from georestrict import Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.healthcheck import asgi_health

# Made when the module is imported: a wrong policy stops every server before it listens.
engine = Engine(Path(__file__).with_name("policy.toml"))


class State(TypedDict):
    """What the app has from its start to its end."""

    models: list[str]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    """Open what the app needs; georestrict passes the start and the end on."""
    yield {"models": ["large", "small"]}


async def models(request: Request) -> Response:
    """Answer, and tell where the client appears to be."""
    decision = request.scope["georestrict"]
    return JSONResponse({"models": request.state.models, "country": decision.country})


async def export(request: Request) -> Response:
    """Give people their data, wherever they are."""
    return JSONResponse({"export": "all that is yours"})


async def chat(websocket: WebSocket) -> None:
    """Greet, and close."""
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


async def not_found(request: Request, error: Exception) -> Response:
    """Answer for what is not there; blocked clients are not told even that."""
    return JSONResponse({"error": "there is nothing here"}, status_code=404)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/models", models),
        Route("/export", export),
        WebSocketRoute("/chat", chat),
        Mount("/internal/health", app=asgi_health(engine)),
    ],
    middleware=[
        Middleware(
            GeoRestrictMiddleware,
            engine=engine,
            client=TrustedProxies("127.0.0.1/32"),
            annotate=True,
            watch=True,
        )
    ],
    exception_handlers={404: not_found},
)
