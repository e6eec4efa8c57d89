"""Views: the health of the project's engine."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from georestrict import healthcheck
from georestrict.django.project import engine


@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """Answer with the health of the project's engine, for monitors, as ``asgi_health`` does.

    It is behind the middleware and asks nobody who they are: give its path a rule.
    """
    found = healthcheck.health(engine())
    status = 503 if found.status is healthcheck.State.FAILING else 200
    return JsonResponse(found.as_dict(), status=status)
