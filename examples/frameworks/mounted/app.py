"""Apps below an app, each with a policy of its own, behind a proxy that cuts off a prefix."""

from pathlib import Path

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from georestrict import Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

HERE = Path(__file__).parent
PROXY = TrustedProxies("127.0.0.1/32")

# Three policies over the same data, which are reloaded as one.
engine = Engine(HERE / "policy.toml")
api_engine = engine.with_policy(HERE / "api.toml")
admin_engine = engine.with_policy(HERE / "admin.toml")


# An app of another team, which knows nothing of what is around it.
api = FastAPI(title="API")
api.add_middleware(GeoRestrictMiddleware, engine=api_engine, client=PROXY, annotate=True)


@api.get("/models")
async def models() -> list[str]:
    """List what can be asked."""
    return ["large", "small"]


@api.get("/status")
async def status() -> dict[str, str]:
    """Tell everybody how the API is; its policy calls this ``/status``, whatever is in front."""
    return {"status": "up"}


async def home(request: Request) -> Response:
    """Greet."""
    return PlainTextResponse("welcome")


async def users(request: Request) -> Response:
    """List users, for the office."""
    return PlainTextResponse(f"users, below {request.scope['root_path']}")


async def log(websocket: WebSocket) -> None:
    """Tell what happens, and close."""
    await websocket.accept()
    await websocket.send_text("nothing happens")
    await websocket.close()


admin = Middleware(GeoRestrictMiddleware, engine=admin_engine, client=PROXY)

app = Starlette(
    routes=[
        Route("/", home),
        Mount("/api", app=api),
        Mount(
            "/admin",
            routes=[Route("/users", users), WebSocketRoute("/log", log)],
            middleware=[admin],
        ),
    ],
    # The first who is asked: whom it blocks, no mount can let in.
    middleware=[Middleware(GeoRestrictMiddleware, engine=engine, client=PROXY, watch=True)],
)
