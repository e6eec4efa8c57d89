"""What the shop does about decisions; the settings name these functions by their path."""

import logging
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string

from georestrict import Decision
from georestrict.django import decision
from georestrict.response import Response

logger = logging.getLogger(__name__)


def sorry(decided: Decision, environ: Any) -> Response:
    """Make the page for whoever is blocked; the policy's ``[responses.ours]`` names it."""
    page = render_to_string("shop/sorry.html", {"decision": decided})
    html = (("content-type", "text/html; charset=utf-8"),)
    return Response(status=403, headers=html, body=page.encode())


def note(decided: Decision, account: str | None) -> None:
    """Write down what was decided, when it was not a plain allow."""
    logger.info("%s by %s", decided.action, decided.rule)


def decided(request: HttpRequest) -> dict[str, Any]:
    """Give every template what georestrict decided."""
    return {"decision": decision(request)}
