"""Metrics: what was decided, and how old the data is, for Prometheus and OpenTelemetry.

Nothing is done for it on a request: what is counted anyway is read when somebody asks. Needs the
extra ``metrics``: ``pip install 'georestrict[metrics]'``.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from georestrict.engine import Engine
from georestrict.errors import ConfigurationError
from georestrict.guard import Guard

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from prometheus_client import CollectorRegistry

__all__ = ["instrument", "opentelemetry"]


def instrument(
    *targets: Engine | Guard, registry: CollectorRegistry | None = None, every: float = 1.0
) -> CollectorRegistry:
    """Show middlewares in a registry of prometheus_client, and return it.

    ``targets`` are middlewares, or engines, which stand for the middlewares that have them; without
    any, all middlewares of this process are shown, those to come included. Called again, it adds
    to what the registry shows; nothing is counted twice.

    The registry is prometheus_client's own (``REGISTRY``) if left out. Where the environment has
    ``PROMETHEUS_MULTIPROC_DIR``, it is one that shows the metrics of all processes, and a thread
    writes down what is new ``every`` so many seconds. So what is returned is what to serve:
    ``make_asgi_app(registry=instrument())``.

    Raises:
        ConfigurationError: if a target is none, if prometheus_client is not installed, or if
            ``PROMETHEUS_MULTIPROC_DIR`` was set too late or is no folder.
    """
    _check(targets, "instrument")
    if isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < inf:
        raise ConfigurationError(f"every is {every!r}, must be seconds, more than 0")
    try:
        from georestrict.metrics.prometheus import shown
    except ModuleNotFoundError as error:
        raise _missing("instrument", error) from error
    return shown(targets, registry, every)


def opentelemetry(*targets: Engine | Guard, meter_provider: MeterProvider | None = None) -> None:
    """Show middlewares to OpenTelemetry: the same metrics, as instruments of the meter georestrict.

    ``targets`` are those of :func:`instrument`. The provider is the app's (``set_meter_provider``)
    if left out. Called again, it adds to what that one is shown.

    Raises:
        ConfigurationError: if a target is none, or if opentelemetry-api is not installed.
    """
    _check(targets, "opentelemetry")
    try:
        from georestrict.metrics.otel import observe
    except ModuleNotFoundError as error:
        raise _missing("opentelemetry", error) from error
    observe(targets, meter_provider)


def _check(targets: tuple[object, ...], name: str) -> None:
    for target in targets:
        if not isinstance(target, Engine | Guard):
            raise ConfigurationError(
                f"{name} is given {target!r}, must be a GeoRestrictMiddleware or an Engine; where "
                f"the framework makes the middleware, leave it out: {name}() shows them all"
            )


def _missing(name: str, error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(f"{name} needs {error.name}; say pip install 'georestrict[metrics]'")
