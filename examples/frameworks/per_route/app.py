"""Single routes with policies of their own, besides that of the whole app."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket

from georestrict import restrict
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

HERE = Path(__file__).parent

site = FastAPI(title="Per route")


@site.get("/")
async def home() -> str:
    """Greet whomever the policy of the app lets in."""
    return "welcome"


# A single route: below what makes it a route.
@site.post("/train")
@restrict("export-control")
async def train(request: Request) -> dict[str, Any]:
    """Train a model, where that may be offered."""
    return {"training": True, "rule": request.scope["georestrict"].rule}


# A plain function is asked in the thread that serves it.
@site.get("/weights")
@restrict("export-control")
def weights() -> str:
    """Give the weights of a model."""
    return "0.1 0.2 0.3"


# All routes of a router: a dependency asks for them.
@restrict("licensed")
async def licensed() -> None:
    """Ask the policy of the films."""


films = APIRouter(prefix="/films", dependencies=[Depends(licensed)])


@films.get("/")
async def titles() -> list[str]:
    """List the films."""
    return ["The Third Man"]


@films.get("/{number}")
async def film(number: int) -> str:
    """Show a film."""
    return f"film {number}"


# Both, one after the other.
@films.get("/{number}/model")
@restrict("export-control")
async def film_model(number: int) -> str:
    """Give a model that was trained on a film."""
    return f"a model of film {number}"


site.include_router(films)


# A WebSocket.
@site.websocket("/live")
@restrict("licensed")
async def live(websocket: WebSocket) -> None:
    """Show what is on."""
    await websocket.accept()
    await websocket.send_text("on air")
    await websocket.close()


# Around the app, so that a wrong policy stops every server before it listens.
app = GeoRestrictMiddleware(
    site,
    policy=HERE / "policy.toml",
    policies={"export-control": HERE / "export-control.toml", "licensed": HERE / "licensed.toml"},
    client=TrustedProxies("127.0.0.1/32"),
    annotate=True,
    watch=True,
)
