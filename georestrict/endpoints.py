"""Endpoints: a policy of its own for one of them, said where the endpoint is.

The middleware has the named policies and knows who is asking; ``restrict`` has an endpoint ask one
of them as well. Between the two lies the framework. So a refused endpoint is not called, the
framework is given an empty response of its own kind, and the middleware sends the refusal instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from inspect import iscoroutinefunction, isroutine
from typing import Any, TypeVar, cast

from georestrict.errors import ConfigurationError
from georestrict.guard import Guard, Judgement, Received
from georestrict.policy import Action

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])

_FORBIDDEN = 403


class Around:
    """A request on its way through an app, and the middleware that is around it.

    ``where`` is the scope or environ, into which the app may write; ``read`` tells what the
    middleware received, before the app did.
    """

    def __init__(self, guard: Guard, where: Any, read: Callable[[Any], Received]) -> None:
        self._guard, self.where, self._read = guard, where, read
        self._outer = around.get()
        self.judgements: list[Judgement] = []  #: of the endpoint's policies, in order

    @property
    def refusal(self) -> Judgement | None:
        """What refused the request, if an endpoint's policy did."""
        last = self.judgements[-1] if self.judgements else None
        return last if last is not None and last.decision.action is Action.BLOCK else None

    def lets_in(self, name: str) -> bool:
        """Return whether a named policy lets the request in; note what it decided.

        Raises:
            ConfigurationError: if no middleware around the endpoint has a policy of that name.
        """
        known: list[str] = []
        for one in self._outwards():
            engine = one._guard.policies.get(name)
            if engine is not None:
                judgement = one._guard.judge(one._read, one.where, engine)
                if not judgement.decision.plain_allow:
                    one.where["georestrict"] = judgement.decision
                    one.judgements.append(judgement)
                return judgement.decision.action is not Action.BLOCK
            known += one._guard.policies
        raise ConfigurationError(
            f"restrict({name!r}): the middleware has no policy of that name, known are "
            f"{', '.join(known)}; add it to policies="
        )

    def _outwards(self) -> Iterator[Around]:
        one: Around | None = self
        while one is not None:
            yield one
            one = one._outer


#: The request that is being answered, as the innermost middleware with ``policies`` received it.
around: ContextVar[Around | None] = ContextVar("georestrict.around", default=None)


def restrict(name: str) -> Callable[[_Endpoint], _Endpoint]:
    """Have an endpoint ask a policy of its own, besides that of the whole app.

    ``name`` is one of the ``policies`` of the middleware around the app, which judges the same
    client by it before the endpoint is called. Its rules see the path as that middleware does. It
    is for functions and methods that a framework calls: Starlette, FastAPI, Litestar, Quart, Flask
    and Django, and stands below what makes them a route. If no middleware around the endpoint
    has the policy, the endpoint is not called, and the request ends with a ``ConfigurationError``.

    >>> from georestrict import restrict
    >>> @restrict("strict")
    ... async def train(request): ...

    Raises:
        ConfigurationError: if it stands above what makes the endpoint a route.
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f'restrict is given {name!r}, must be the name of a policy: @restrict("strict")'
        )

    def decorate(endpoint: _Endpoint) -> _Endpoint:
        if not isroutine(endpoint):
            raise ConfigurationError(
                f"restrict({name!r}) stands on {endpoint!r}, which is no function; "
                "put it directly above the function, below the route's decorator"
            )
        if iscoroutinefunction(endpoint):

            @wraps(endpoint)
            async def asking(*args: Any, **named: Any) -> Any:
                if _lets_in(name, endpoint):
                    return await endpoint(*args, **named)
                return _nothing(args, named)

        else:

            @wraps(endpoint)
            def asking(*args: Any, **named: Any) -> Any:
                if _lets_in(name, endpoint):
                    return endpoint(*args, **named)
                return _nothing(args, named)

        return cast(_Endpoint, asking)

    return decorate


def _lets_in(name: str, endpoint: Callable[..., Any]) -> bool:
    request = around.get()
    if request is None:
        raise ConfigurationError(
            f"restrict({name!r}) of {endpoint.__qualname__}: no middleware with policies= is "
            f"around the app; give GeoRestrictMiddleware policies={{{name!r}: …}}"
        )
    return request.lets_in(name)


def _nothing(args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Return an empty response of the framework that called an endpoint with some arguments.

    Nobody sees it: the middleware sends the refusal. WebSocket endpoints return nothing.
    """
    request = around.get()
    where = {} if request is None else request.where
    if where.get("type") == "websocket":
        return None
    # An app leaves itself in its scope; Django and bare Starlette hand over a request.
    for value in (where.get("litestar_app"), where.get("app"), *args, *named.values()):
        for kind in type(value).__mro__:
            make = _EMPTY.get(kind.__module__.partition(".")[0])
            if make is not None:
                return make()
    # Flask and Quart keep their request elsewhere; what they take for a response is plain.
    for framework in ("quart", "flask"):
        module = sys.modules.get(framework)
        if module is not None and module.has_request_context():
            return "", _FORBIDDEN
    raise ConfigurationError(
        "restrict: the endpoint was not called by Starlette, FastAPI, Litestar, Quart, Flask or "
        "Django; for others, give a mount a middleware of its own"
    )


def _empty(module: str, name: str, status: str, *content: Any) -> Callable[[], Any]:
    return lambda: getattr(import_module(module), name)(*content, **{status: _FORBIDDEN})


_EMPTY: dict[str, Callable[[], Any]] = {
    "litestar": _empty("litestar", "Response", "status_code", b""),
    "starlette": _empty("starlette.responses", "Response", "status_code"),
    "django": _empty("django.http", "HttpResponse", "status"),
}
