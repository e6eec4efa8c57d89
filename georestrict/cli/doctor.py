"""``georestrict doctor``: whether an app's middleware can tell who its clients are."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from georestrict import asgi
from georestrict.diagnose import review
from georestrict.errors import ConfigurationError
from georestrict.guard import Guard
from georestrict.policy import Action, Fallback


@click.command()
@click.option("--app", "target", required=True, help="The guarded app, as module:attribute.")
def doctor(target: str) -> None:
    """Look for set-ups in which clients cannot be told, or not told apart.

    This looks at what is set. What only requests show (a proxy that nobody declared, ranges that
    never match, one proxy too many …) the running middleware says itself, once each, in the log of
    the server. The exit code is 1 if anything was found.
    """
    guards = [*_guards(_load(target))]
    if not guards:
        raise ConfigurationError(
            f"--app {target}: has no GeoRestrictMiddleware around it or in it; name the guarded app"
        )
    count = 0
    for guard in guards:
        private = guard.engine.policy.fallback[Fallback.PRIVATE]
        environment = os.environ if isinstance(guard, asgi.GeoRestrictMiddleware) else {}
        findings = review(guard.client, private is Action.BLOCK, environment)
        count += len(findings)
        click.echo(f"clients are found by {guard.client!r}")
        for finding in findings:
            click.echo(f"- {finding.code}: {finding.message}")
    click.echo(f"{count} found" if count else "nothing wrong was found")
    sys.exit(1 if count else 0)


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise ConfigurationError(f"--app {target!r}: write module:attribute, such as main:app")
    sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"--app {target!r}: {error}; name what the server runs") from error
    return found


def _guards(app: Any) -> Iterator[Guard]:
    """Yield the middlewares around an app, from the outside in; Starlette keeps its own inside."""
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        if isinstance(app, Guard):
            yield app
        build = getattr(app, "build_middleware_stack", None)
        within = (getattr(app, name, None) for name in ("app", "wsgi_app", "application"))
        app = build() if callable(build) else next((each for each in within if each), None)
