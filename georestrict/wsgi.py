"""The WSGI middleware: the same options, decisions and responses as the ASGI one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from georestrict.address import FAILED, UNIX_PEER, ClientAddress, Strategy, checked_strategy
from georestrict.database import Database
from georestrict.decision import Decision
from georestrict.engine import Engine
from georestrict.errors import ConfigurationError
from georestrict.observe import Observer, logger
from georestrict.policy import Action, Policy
from georestrict.response import Response, blocked, warning

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_REASONS = {403: "Forbidden", 503: "Service Unavailable"}


class GeoRestrictMiddleware:
    """Enforce a policy on a WSGI app. The options are those of the ASGI middleware.

    ``identify`` and ``attributes`` get the environ. The decision is left in
    ``environ["georestrict"]`` when it is not a plain allow, and always with ``annotate=True``.

    Raises:
        ConfigurationError: if the options contradict each other, or the policy is wrong.
        DatabaseError: if the database cannot be used.
    """

    def __init__(
        self,
        app: App,
        *,
        policy: Policy | str | Path | Mapping[str, Any] | None = None,
        engine: Engine | None = None,
        database: Database | str | Path | None = None,
        client: Strategy | None = None,
        identify: Callable[[Environ], str | None] | None = None,
        attributes: Callable[[Environ], Mapping[str, str]] | None = None,
        annotate: bool = False,
        block: Sequence[str] = (),
        warn: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"options: app is {app!r}, must be callable")
        for name, hook in (("identify", identify), ("attributes", attributes)):
            if hook is not None and not callable(hook):
                raise ConfigurationError(f"options: {name} is {hook!r}, must be callable")
        if not isinstance(annotate, bool):
            raise ConfigurationError(f"options: annotate is {annotate!r}, must be True or False")
        self.app = app
        self.engine = Engine.from_options(
            policy=policy, engine=engine, database=database, block=block, warn=warn, allow=allow
        )
        self.client = checked_strategy(client)
        self.identify, self.attributes, self.annotate = identify, attributes, annotate
        self._observer = Observer()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Decide about one request."""
        client, decision, path = self._decide(environ)
        if client.address is None:
            self._observer.unresolved(client)
        if decision.plain_allow:
            if self.annotate:
                environ["georestrict"] = decision
            return self.app(environ, start_response)
        environ["georestrict"] = decision
        self._observer.decided(decision, client, str(environ.get("REQUEST_METHOD", "GET")), path)
        if decision.action is Action.ALLOW:  # a dry run
            return self.app(environ, start_response)
        if decision.action is Action.WARN:
            header = warning(decision, self.engine.policy)
            return self.app(environ, _warning(start_response, *header))
        accept = environ.get("HTTP_ACCEPT")
        response = blocked(
            decision, self.engine.policy, accept if isinstance(accept, str) else None
        )
        return _refuse(environ, start_response, response)

    def _decide(self, environ: Environ) -> tuple[ClientAddress, Decision, str]:
        """Decide; a defect of ours or of a strategy blocks the request, and says so in the log."""
        client, path = FAILED, ""
        try:
            client = self.client.resolve(_peer(environ), _headers(environ))
            path, raw_path = _paths(environ)
            decision = self.engine.decide(
                client.address,
                path=path,
                raw_path=raw_path,
                method=environ.get("REQUEST_METHOD", "GET"),
                headers=_headers(environ),
            )
        except Exception:
            logger.exception("deciding failed; the request is refused")
            decision = self.engine.snapshot.failure
        return client, decision, path


def _peer(environ: Environ) -> str | None:
    """The peer's address. WSGI has no word for a unix socket, so no text may pass for one."""
    peer = environ.get("REMOTE_ADDR")
    return None if peer == UNIX_PEER else peer


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    """The request's headers as bytes. WSGI has joined repeated lines with commas already."""
    for key, value in environ.items():
        if key.startswith("HTTP_") and isinstance(value, str):
            yield (
                key[5:].replace("_", "-").lower().encode("latin-1"),
                value.encode("latin-1", "replace"),
            )


def _paths(environ: Environ) -> tuple[str, bytes | None]:
    """The path that the app routes on, and the same as it was sent, where the server tells."""
    path = (
        environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace") or "/"
    )
    sent = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not isinstance(sent, str) or not sent.startswith("/"):
        return path, None
    raw = sent.encode("latin-1", "replace").partition(b"?")[0]
    root = environ.get("SCRIPT_NAME", "").encode("latin-1", "replace")
    return path, raw[len(root) :] if root and raw.startswith(root + b"/") else raw


def _refuse(environ: Environ, start_response: StartResponse, response: Response) -> Iterable[bytes]:
    start_response(f"{response.status} {_REASONS[response.status]}", list(response.headers))
    return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else response.body]


def _warning(start_response: StartResponse, name: str, value: str) -> StartResponse:
    """Add the warning header to the app's response; a header of that name is only ever ours."""

    def warned(
        status: str, headers: list[tuple[str, str]], *more: Any
    ) -> Callable[[bytes], object]:
        others = [pair for pair in headers if pair[0].lower() != name.lower()]
        return start_response(status, [*others, (name.lower(), value)], *more)

    return warned
