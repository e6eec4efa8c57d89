"""Endpoints: a policy of its own for one of them, said where the endpoint is.

The middleware has the named policies and knows who is asking; ``restrict`` has an endpoint ask one
of them as well. Between the two lies the framework. So a refused endpoint is not called, but raises
what its framework takes for a 403, which skips everything behind it, too; and whatever becomes of
that, the middleware sends the refusal instead.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from functools import partial, wraps
from importlib import import_module
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, isroutine
from typing import Any, TypeVar, cast

from georestrict.errors import ConfigurationError
from georestrict.guard import Change, Guard, Judgement, Received
from georestrict.policy import Action

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])

_FORBIDDEN = 403
_POLICY_VIOLATION = 1008  # WebSocket close code, RFC 6455 §7.4.1


_NO_POLICIES = (
    "no middleware with policies= is around the app; give GeoRestrictMiddleware policies="
)
_NEVER = datetime.max.replace(tzinfo=UTC)


class Around(ABC):
    """A request on its way through an app, and the middleware that is around it.

    ``where`` is the scope or environ, into which the app may write; ``received`` is what it was
    before. ``judgement`` is that of the middleware's own policy, if it changes the response. One is
    made for each request, and most are never asked, so little is done to make it.
    """

    token: Token[Around | None]  #: of the variable ``around``; it has the one around this one
    overruled = False  #: a middleware further in has refused the request
    started = False  #: the app's response
    _told = 0  # of the judgements: to the app and the log

    def __init__(self, guard: Guard, where: Any, judgement: Judgement | None) -> None:
        self._guard, self.where, self.judgement = guard, where, judgement
        self.received: Any = {**where}
        self.judgements: list[Judgement] = []  #: of the endpoint's policies, in order
        self.aborts: list[Exception] = []  #: what was raised instead of calling refused ones
        self._identity = None if judgement is None else judgement.request.identity
        # Each endpoint is judged by what was in force when the request came, like the request.
        self._in_force = guard.engine.in_force

    @abstractmethod
    def read(self, where: Any) -> Received:
        """Read what the middleware received."""

    @property
    def refusal(self) -> Judgement | None:
        """What refused the request first, if an endpoint's policy did."""
        for one in self.judgements:
            if one.decision.action is Action.BLOCK:
                return one
        return None

    def ask(self, name: str) -> None:
        """Judge the request by a named policy; note what it decided.

        Raises:
            ConfigurationError: if no middleware around the endpoint has a policy of that name.
            Exception: what the framework takes for a 403, if the policy refuses the request.
        """
        known: list[str] = []
        for one in self.outwards():
            if name in one._guard.policies:
                one._judge(name)
                return
            known += one._guard.policies
        if not known:
            raise ConfigurationError(f"restrict({name!r}): {_NO_POLICIES}{{{name!r}: …}}")
        raise ConfigurationError(
            f"restrict({name!r}): the middleware has no policy of that name, known are "
            f"{', '.join(known)}; add it to policies="
        )

    def begin(self) -> None:
        """Note that the response begins: what is asked later is judged by what is in force then.

        A connection may stay for days, and must not keep what was in force in memory.
        """
        self.started, self._in_force = True, {}

    def change(self, *, cached: bool = True) -> Change | None:
        """Return what is done to the headers of the app's response; None if they stay as they are.

        Of several warnings the client gets the one that blocks first, and of equals the outer; a
        refusal is none of the app's responses.
        """
        judged = [*([] if self.judgement is None else [self.judgement]), *self.judgements]
        warned = [one for one in judged if one.decision.action is Action.WARN]
        if not judged or self.overruled:
            return None
        first = min(warned or judged, key=lambda one: one.decision.block_from or _NEVER)
        return self._guard.change(first, cached=cached)

    def _judge(self, name: str) -> None:
        engine = self._guard.policies[name]
        snapshot = self._in_force.get(engine, engine.snapshot)  # one may have data of its own
        judgement = self._guard.judge(self.read, self.where, (engine, snapshot), self._identity)
        self._identity = judgement.request.identity
        if judgement.decision.plain_allow:
            return
        self.where["georestrict"] = judgement.decision
        self.judgements.append(judgement)
        if judgement.decision.action is Action.BLOCK:
            self.aborts.append(_abort(self.where))
            raise self.aborts[-1]

    def outwards(self) -> Iterator[Around]:
        """Yield this one and those of the middlewares around, from within."""
        one: Around | None = self
        while one is not None:
            yield one
            outer = one.token.old_value
            one = outer if isinstance(outer, Around) else None  # else MISSING


#: The request that is being answered, as the innermost middleware with ``policies`` received it.
around: ContextVar[Around | None] = ContextVar("georestrict.around", default=None)


def overrule() -> None:
    """Tell the middlewares around this one that the request is refused, so that none warns."""
    inner = around.get()
    if inner is not None:
        for one in inner.outwards():
            one.overruled = True


def restrict(name: str) -> Callable[[_Endpoint], _Endpoint]:
    """Have an endpoint ask a policy of its own, besides that of the whole app.

    ``name`` is one of the ``policies`` of the middleware around the app, which judges the same
    client by it before the endpoint is called. Its rules see the path as that middleware does. It
    is for functions and methods: endpoints, what they depend on and what they call, and stands
    below what makes them a route. A refused one is not called and raises what the framework takes
    for a 403, so that what is behind it is not reached either. If no middleware around it has the
    policy, it is not called, and the request ends with a ``ConfigurationError``.

    >>> from georestrict import restrict
    >>> @restrict("strict")
    ... async def train(request): ...

    Raises:
        ConfigurationError: if it stands above what makes the endpoint a route, or on a generator.
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f'restrict is given {name!r}, must be the name of a policy: @restrict("strict")'
        )

    def decorate(endpoint: _Endpoint) -> _Endpoint:
        if not isroutine(endpoint) and not isinstance(endpoint, partial):
            raise ConfigurationError(
                f"restrict({name!r}) stands on {endpoint!r}, which is no function; "
                "put it directly above the function, below the route's decorator"
            )
        if isgeneratorfunction(endpoint) or isasyncgenfunction(endpoint):
            # It runs when somebody iterates, which may be after the response has begun.
            raise ConfigurationError(
                f"restrict({name!r}) stands on the generator {endpoint!r}; put it on a function "
                "that returns: the endpoint, or another dependency"
            )
        if iscoroutinefunction(endpoint):

            @wraps(endpoint)
            async def asking(*args: Any, **named: Any) -> Any:
                _ask(name, endpoint)
                return await endpoint(*args, **named)

        else:

            @wraps(endpoint)
            def asking(*args: Any, **named: Any) -> Any:
                _ask(name, endpoint)
                return endpoint(*args, **named)

        return cast(_Endpoint, asking)

    return decorate


def _ask(name: str, endpoint: Callable[..., Any]) -> None:
    request = around.get()
    if request is None:
        what = getattr(endpoint, "__qualname__", endpoint)
        raise ConfigurationError(f"restrict({name!r}) of {what}: {_NO_POLICIES}{{{name!r}: …}}")
    request.ask(name)


class _RefusedError(Exception):
    """An endpoint's policy refuses the request; for apps without a framework that we know."""


def _abort(where: Mapping[str, Any]) -> Exception:
    """Return what the framework that serves a scope or environ takes for a 403, not for a defect.

    Where it is another one, that is no harm: the middleware knows the exception.
    """
    is_socket = where.get("type") == "websocket"
    # Litestar and Starlette leave the app in its scope.
    if "litestar_app" in where:
        errors = import_module("litestar.exceptions")
        if is_socket:
            return cast(Exception, errors.WebSocketException(code=_POLICY_VIOLATION))
        return cast(Exception, errors.PermissionDeniedException())
    if any(kind.__module__ == "starlette.applications" for kind in type(where.get("app")).__mro__):
        errors = import_module("starlette.exceptions")
        if is_socket:
            return cast(Exception, errors.WebSocketException(_POLICY_VIOLATION))
        return cast(Exception, errors.HTTPException(_FORBIDDEN))
    # Quart and Flask keep their request elsewhere, and Django where nobody finds it.
    for framework in ("quart", "flask"):
        module = sys.modules.get(framework)
        if module is not None and (
            module.has_request_context()
            or (is_socket and framework == "quart" and module.has_websocket_context())
        ):
            return cast(Exception, import_module("werkzeug.exceptions").Forbidden())
    if "django.core.handlers.base" in sys.modules:
        return cast(Exception, import_module("django.core.exceptions").PermissionDenied())
    return _RefusedError()
