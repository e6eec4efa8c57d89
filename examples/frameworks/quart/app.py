"""A Quart app behind georestrict: pages, a WebSocket, a page of its own for whoever is blocked."""

from pathlib import Path
from typing import Any

from quart import Quart, jsonify, render_template, request, websocket

from georestrict import Decision
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware
from georestrict.response import Response

app = Quart(__name__)


@app.before_serving
async def start() -> None:
    """Open what the app needs; georestrict passes the start and the end on."""
    app.config["GREETING"] = "welcome"


@app.get("/")
async def home() -> str:
    """Greet, and tell where the client appears to be."""
    decision: Decision = request.scope["georestrict"]  # type: ignore[typeddict-item]
    return await render_template("home.html", decision=decision)


@app.get("/account/export")
async def export() -> Any:
    """Give people their data, wherever they are."""
    return jsonify(export="all that is yours")


@app.websocket("/chat")
async def chat() -> None:
    """Greet, and close."""
    await websocket.send(app.config["GREETING"])


@app.errorhandler(404)
async def not_found(error: Exception) -> tuple[str, int]:
    """Answer for what is not there; blocked clients are not told even that."""
    return "there is nothing here", 404


async def sorry(decision: Decision, scope: Any) -> Response:
    """Make the page for whoever is blocked; the policy's ``[responses.ours]`` names it."""
    async with app.app_context():
        page = await render_template("sorry.html", decision=decision)
    return Response(
        status=403, headers=(("content-type", "text/html; charset=utf-8"),), body=page.encode()
    )


app.asgi_app = GeoRestrictMiddleware(  # type: ignore[method-assign]
    app.asgi_app,
    policy=Path(__file__).with_name("policy.toml"),
    client=TrustedProxies("127.0.0.1/32"),
    responses={"ours": sorry},
    annotate=True,
    watch=True,
)
