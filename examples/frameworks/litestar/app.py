"""A Litestar app behind georestrict: a dependency, a cached report behind a guard, a WebSocket."""

from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Request, Response, WebSocket, get, websocket
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler

from georestrict import Decision, restrict
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware

HERE = Path(__file__).parent


def decided(request: Request[Any, Any, Any]) -> Decision:
    """Give handlers what georestrict decided."""
    decision: Decision = request.scope["georestrict"]  # type: ignore[typeddict-item]
    return decision


@restrict("report")
async def report_is_for(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Ask the policy of the report, before Litestar looks into its cache."""


@get("/works")
async def works(decision: NamedDependency[Decision]) -> dict[str, str | None]:
    """Tell what may be seen where the client appears to be."""
    return {"works": "all", "country": decision.country}


@get("/report", guards=[report_is_for], cache=60)
async def report() -> dict[str, str]:
    """Give a report that takes long; it is cached."""
    return {"report": "the same for everybody who is let in"}


@get("/imprint", media_type=MediaType.TEXT)
async def imprint() -> str:
    """Tell everybody who we are."""
    return "Example Ltd"


@websocket("/live")
async def live(socket: WebSocket[Any, Any, Any]) -> None:
    """Greet, and close."""
    await socket.accept()
    await socket.send_text("live")
    await socket.close()


def not_found(request: Request[Any, Any, Any], error: NotFoundException) -> Response[Any]:
    """Answer for what is not there; blocked clients are not told even that."""
    return Response({"error": "there is nothing here"}, status_code=404)


site = Litestar(
    route_handlers=[works, report, imprint, live],
    dependencies={"decision": Provide(decided, sync_to_thread=False)},
    exception_handlers={NotFoundException: not_found},
)

# Around the whole app, not among its ``middleware``: that Litestar puts around each route, so what
# has no route would be answered without it.
app = GeoRestrictMiddleware(
    site,
    policy=HERE / "policy.toml",
    policies={"report": HERE / "report.toml"},
    client=TrustedProxies("127.0.0.1/32"),
    annotate=True,
    watch=True,
)
