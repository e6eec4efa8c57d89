"""System checks: what ``manage.py check`` tells of settings and policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from georestrict import asgi, wsgi
from georestrict.django.project import guards, options
from georestrict.errors import ConfigurationError, DatabaseError, GeoRestrictError
from georestrict.trial.checking import checked

TAG = "georestrict"
_PLACES = (str, Path)
_SITE_CACHES = (
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
)


def check_settings(app_configs: Any, **more: Any) -> list[checks.CheckMessage]:
    """Tell what is wrong with ``settings.GEORESTRICT`` and its policies, and advice.

    ======== ==================================================================
    E001     the settings are wrong
    E002     a policy is wrong; each problem with its line
    E003     the database cannot be used
    W001     a policy is valid, and something in it is most likely not meant
    ======== ==================================================================
    """
    try:
        given = options()
    except ConfigurationError as error:
        return [_error(error, 1)]
    try:
        found = [message for file in _policies(given) for message in _read(file, given)]
    except ConfigurationError as error:
        return [_error(error, 2)]
    except DatabaseError as error:
        return [_error(error, 3)]
    if not any(isinstance(message, checks.Error) for message in found):
        try:
            asgi.GeoRestrictMiddleware(_nothing, **given)
        except ConfigurationError as error:
            found.append(_error(error, 1))
        except DatabaseError as error:
            found.append(_error(error, 3))
    return found


def check_deployment(app_configs: Any, **more: Any) -> list[checks.CheckMessage]:
    """Tell what would leave a deployed project unguarded; only for ``check --deploy``.

    ======== ==================================================================
    W002     the settings speak of a proxy, and ``client`` names none
    W003     ``WSGI_APPLICATION`` is not guarded, or cannot be imported
    W004     a cache of the whole site answers for what asks policies of its own
    ======== ==================================================================
    """
    try:
        given = options()
    except ConfigurationError:
        return []  # told already
    return [*_deployed(given)]


def _deployed(given: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    proxied = [
        name
        for name in ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT")
        if getattr(settings, name, None)
    ]
    if proxied and given.get("client") is None:
        yield checks.Warning(
            f"{', '.join(proxied)}: a proxy is in front, and GEORESTRICT['client'] names none, so "
            "the client of every request is unresolved, or the proxy",
            hint="Name it: 'client': TrustedProxies('10.0.3.0/24'), from georestrict.address.",
            id=f"{TAG}.W002",
        )
    unguarded = settings.WSGI_APPLICATION and _unguarded(settings.WSGI_APPLICATION)
    if unguarded:
        yield checks.Warning(
            f"WSGI_APPLICATION is {settings.WSGI_APPLICATION!r}, which {unguarded}",
            hint="End wsgi.py with application = guarded(get_wsgi_application()), or set "
            "WSGI_APPLICATION to None where only asgi.py is served.",
            id=f"{TAG}.W003",
        )
    cached = [name for name in settings.MIDDLEWARE if name in _SITE_CACHES]
    if cached and given.get("policies"):
        yield checks.Warning(
            f"MIDDLEWARE has {cached[0]!r}, which answers without asking the policies of single "
            "views",
            hint='Cache single views, with @restrict("…") above @cache_page(…).',
            id=f"{TAG}.W004",
        )


def _unguarded(path: str) -> str | None:
    """Return what is wrong with an application, unless its module makes a guarded one.

    Whatever else it puts around that is its own affair. A wrong policy, told by ``check_settings``,
    stops the import here as it would stop the server: a traceback would hide what was told.
    """
    try:
        import_string(path)
    except (GeoRestrictError, ImportError) as error:
        return f"cannot be imported: {error}"
    if any(isinstance(guard, wsgi.GeoRestrictMiddleware) for guard in guards):
        return None
    return "is not guarded"


def _policies(given: Mapping[str, Any]) -> Iterator[str]:
    more = given.get("policies")
    for policy in (given.get("policy"), *(more.values() if isinstance(more, Mapping) else ())):
        if isinstance(policy, _PLACES):
            yield str(policy)


def _read(file: str, given: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    database = given.get("database")
    found = checked(file, database if isinstance(database, _PLACES) else None)
    for kind, code, problems in (
        (checks.Error, f"{TAG}.E002", found.problems),
        (checks.Warning, f"{TAG}.W001", found.warnings),
    ):
        for problem in problems:
            place = file if problem.line is None else f"{file}:{problem.line}"
            yield kind(problem.message, obj=place, id=code)


def _error(error: Exception, code: int) -> checks.Error:
    return checks.Error(str(error), id=f"{TAG}.E{code:03}")


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """Stand for the application."""
