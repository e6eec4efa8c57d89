"""A FastAPI app behind georestrict: a browser app of another origin, a dependency, a WebSocket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from georestrict import Decision, Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

BROWSER_APP = "https://app.example.com"

# Made when the module is imported: a wrong policy stops every server before it listens.
engine = Engine(Path(__file__).with_name("policy.toml"))


class Fault(BaseModel):
    """What went wrong, as SDKs read it."""

    code: str
    message: str


class Refusal(BaseModel):
    """What a blocked client receives; the API's description has it."""

    title: str
    status: int
    error: Fault
    country: str | None = None
    contact: str | None = None


class Order(BaseModel):
    """An order, and where it came from, for the tax office."""

    item: str
    country: str | None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the app needs; georestrict passes the start and the end on."""
    app.state.orders = list[Order]()
    yield


app = FastAPI(
    title="Orders",
    lifespan=lifespan,
    responses={403: {"model": Refusal, "description": "Not offered where you appear to be"}},
)
app.add_middleware(
    CORSMiddleware, allow_origins=[BROWSER_APP], allow_methods=["*"], allow_headers=["*"]
)
# What is added last is outermost: nothing answers a client that is not let in.
app.add_middleware(
    GeoRestrictMiddleware,
    engine=engine,
    client=TrustedProxies("127.0.0.1/32"),
    annotate=True,
    cors_origins=[BROWSER_APP],
    pass_preflights=True,
    watch=True,
)


def decided(request: Request) -> Decision:
    """Give endpoints what georestrict decided."""
    decision: Decision = request.scope["georestrict"]
    return decision


Decided = Annotated[Decision, Depends(decided)]


@app.post("/orders", status_code=201)
async def create_order(item: str, request: Request, decision: Decided) -> Order:
    """Take an order."""
    order = Order(item=item, country=decision.country)
    request.app.state.orders.append(order)
    return order


@app.get("/orders/count")
def count_orders(request: Request) -> int:
    """Count the orders."""
    return len(request.app.state.orders)


@app.get("/terms")
async def terms() -> dict[str, str]:
    """Tell everybody the terms."""
    return {"terms": "we do not ship everywhere"}


@app.websocket("/news")
async def news(websocket: WebSocket) -> None:
    """Tell what is new, and close."""
    await websocket.accept()
    await websocket.send_json({"news": "none"})
    await websocket.close()


@app.exception_handler(404)
async def not_found(request: Request, error: Exception) -> JSONResponse:
    """Answer for what is not there, in the API's form."""
    return JSONResponse({"error": {"code": "not_found", "message": "there is nothing here"}}, 404)
