"""A Flask app behind georestrict: a factory, a blueprint, a view with a policy of its own."""

from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, current_app, render_template, request

from georestrict import Decision, restrict
from georestrict.address import Strategy, TrustedProxies
from georestrict.response import Response
from georestrict.wsgi import GeoRestrictMiddleware

HERE = Path(__file__).parent
PROXY = TrustedProxies("127.0.0.1/32")

shop = Blueprint("shop", __name__)


@shop.get("/")
def home() -> str:
    """Greet, and tell where the client appears to be."""
    return render_template("home.html")


@shop.get("/wine")
@restrict("wine")
def wine() -> str:
    """Sell what may not be sent everywhere."""
    return f"wine, sent to {request.environ['georestrict'].country}"


@shop.get("/contact")
def contact() -> str:
    """Tell everybody how to reach us."""
    return "write to us"


def create_app(client: Strategy = PROXY) -> Flask:
    """Make the app; ``client`` says who is asking."""
    app = Flask(__name__)
    app.register_blueprint(shop)
    app.register_error_handler(404, not_found)
    app.context_processor(decided)

    def sorry(decision: Decision, environ: Any) -> Response:
        """Make the page for whoever is blocked; the policies' ``[responses.ours]`` name it."""
        with app.app_context():
            page = render_template("sorry.html", decision=decision)
        html = (("content-type", "text/html; charset=utf-8"),)
        return Response(status=403, headers=html, body=page.encode())

    app.wsgi_app = GeoRestrictMiddleware(  # type: ignore[method-assign]
        app.wsgi_app,
        policy=HERE / "policy.toml",
        policies={"wine": HERE / "wine.toml"},
        client=client,
        responses={"ours": sorry},
        annotate=True,
        watch=True,
    )
    return app


def decided() -> dict[str, Any]:
    """Give every template what georestrict decided."""
    return {"decision": request.environ.get("georestrict")} if request else {}


def not_found(error: Exception) -> tuple[str, int]:
    """Answer for what is not there; blocked clients are not told even that."""
    current_app.logger.info("nothing at %s", request.path)
    return "there is nothing here", 404


app = create_app()
