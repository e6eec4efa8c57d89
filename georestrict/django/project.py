"""A project: its settings, and what is made of them once in each process."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from inspect import iscoroutinefunction, signature
from typing import Any, overload
from weakref import WeakSet

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

from georestrict import asgi, wsgi
from georestrict.decision import Decision
from georestrict.engine import Engine
from georestrict.errors import ConfigurationError
from georestrict.guard import Guard

_KNOWN = tuple(name for name in signature(Guard).parameters if name != "app")
_OF_THE_ENGINE = frozenset(signature(Engine.from_options).parameters)
_HOOKS = ("identify", "attributes", "on_decision", "on_account_flagged")
_EXAMPLE = '{"policy": BASE_DIR / "policy.toml"}'

#: What ``guarded`` has made in this process.
guards: WeakSet[Guard] = WeakSet()


@overload
def guarded(application: asgi.App) -> asgi.GeoRestrictMiddleware: ...
@overload
def guarded(application: wsgi.App) -> wsgi.GeoRestrictMiddleware: ...
def guarded(
    application: asgi.App | wsgi.App,
) -> asgi.GeoRestrictMiddleware | wsgi.GeoRestrictMiddleware:
    """Put the middleware that ``settings.GEORESTRICT`` describes around an application.

    It is for the last line of ``wsgi.py`` or ``asgi.py``, and tells by the application which of the
    two that is.

    Raises:
        ConfigurationError: if the settings or the policy are wrong, or ``application`` is neither.
        DatabaseError: if the database cannot be used.
    """
    given = {name: value for name, value in options().items() if name not in _OF_THE_ENGINE}
    guard: asgi.GeoRestrictMiddleware | wsgi.GeoRestrictMiddleware
    if _is_asgi(application):
        guard = asgi.GeoRestrictMiddleware(application, engine=engine(), **given)
    else:
        guard = wsgi.GeoRestrictMiddleware(application, engine=engine(), **given)
    guards.add(guard)
    return guard


@cache
def engine() -> Engine:
    """Return the engine of this process, which ``guarded`` and ``health`` share.

    Raises:
        ConfigurationError: if the settings or the policy are wrong.
        DatabaseError: if the database cannot be used.
    """
    given = options()
    return Engine.from_options(**{name: given[name] for name in _OF_THE_ENGINE & given.keys()})


def options() -> dict[str, Any]:
    """Return the options of the middleware that ``settings.GEORESTRICT`` says.

    Raises:
        ConfigurationError: if it is missing or no mapping, or has a key that is no option, or a
            dotted path that leads nowhere.
    """
    given = getattr(settings, "GEORESTRICT", None)
    if not isinstance(given, Mapping) or not given:
        raise ConfigurationError(
            f"settings: GEORESTRICT is {given!r}, must map options of the middleware to values, "
            f"such as {_EXAMPLE}"
        )
    for name in given:
        if name not in _KNOWN:
            close = get_close_matches(str(name).lower(), _KNOWN, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KNOWN)}"
            raise ConfigurationError(f"settings: GEORESTRICT[{name!r}]: unknown option: {hint}")
    found = {"annotate": True, **given}
    for name in _HOOKS:
        if isinstance(found.get(name), str):
            found[name] = _imported(found[name], f"[{name!r}]")
    responses = found.get("responses")
    if isinstance(responses, Mapping):
        found["responses"] = {
            name: _imported(hook, f"['responses'][{name!r}]") if isinstance(hook, str) else hook
            for name, hook in responses.items()
        }
    return found


def decision(request: HttpRequest) -> Decision | None:
    """Return the decision about a request.

    None if nothing guarded it, as with Django's own test client, which calls views without
    ``wsgi.py`` or ``asgi.py``; and for what is plainly allowed, if the settings turn ``annotate``
    off.
    """
    found = getattr(request, "scope", request.META).get("georestrict")
    return found if isinstance(found, Decision) else None


def _imported(path: str, place: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f"settings: GEORESTRICT{place} is {path!r}, must be the dotted path of a function: "
            f"{error}"
        ) from error


def _is_asgi(application: Any) -> bool:
    """Tell an ASGI application from a WSGI one by what it can be called with."""
    takes = [count for count in (2, 3) if _takes(application, count)]
    if iscoroutinefunction(application) or iscoroutinefunction(type(application).__call__):
        takes = [count for count in takes if count == 3]
    if len(takes) != 1:
        raise ConfigurationError(
            f"guarded is given {application!r}, must be what get_wsgi_application() or "
            "get_asgi_application() returns, or another WSGI or ASGI application; around one that "
            "hides its parameters put GeoRestrictMiddleware(application, "
            "**georestrict.django.options()), of georestrict.wsgi or georestrict.asgi"
        )
    return takes == [3]


def _takes(application: Any, count: int) -> bool:
    try:
        signature(application).bind(*range(count))
    except (TypeError, ValueError):  # no callable; one whose parameters cannot be told
        return False
    return True
