"""What both middlewares share: their options, and deciding about a request without ever raising."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from georestrict.address import (
    FAILED,
    ClientAddress,
    Headers,
    Strategy,
    checked_strategy,
    way_of,
)
from georestrict.database import Database
from georestrict.decision import Decision
from georestrict.engine import Engine
from georestrict.errors import ConfigurationError
from georestrict.observe import Observer, logger
from georestrict.policy import Policy
from georestrict.request import Request


class Received(NamedTuple):
    """What a middleware reads from its scope or environ."""

    peer: str | None
    rewritten: bool  #: the server has put another address in the peer's place
    headers: Headers
    request: Request


class Judgement(NamedTuple):
    """A decision, what it was made about, and the policy that made it."""

    decision: Decision
    client: ClientAddress
    request: Request
    policy: Policy


class Guard:
    """The options of a middleware, checked once.

    Args:
        app: the app to guard.
        policy: a ``Policy``, the path of a policy file, or a mapping.
        engine: a ready ``Engine``, instead of policy and database.
        database: a ``Database`` or the path of an image; the default data if left out.
        client: who is asking; ``Peer()`` if left out, ``TrustedProxies("10.0.3.0/24")`` behind
            a proxy.
        identify: names the account of a scope or environ; called only when a rule asks for it,
            and no rule word of this release does.
        attributes: tells what the app knows of a request (plan, channel, region …), from its scope
            or environ; called only when a rule that could match asks for it.
        annotate: leave the decision in the scope or environ, under ``georestrict``, for plainly
            allowed requests, too.
        block, warn, allow: the short form of a policy: country codes.

    Raises:
        ConfigurationError: if the options contradict each other, or the policy is wrong.
        DatabaseError: if the database cannot be used.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        policy: Policy | str | Path | Mapping[str, Any] | None = None,
        engine: Engine | None = None,
        database: Database | str | Path | None = None,
        client: Strategy | None = None,
        identify: Callable[[Any], str | None] | None = None,
        attributes: Callable[[Any], Mapping[str, str]] | None = None,
        annotate: bool = False,
        block: Sequence[str] = (),
        warn: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> None:
        for name, hook in (("app", app), ("identify", identify), ("attributes", attributes)):
            if not callable(hook) and (hook is not None or name == "app"):
                raise ConfigurationError(f"options: {name} is {hook!r}, must be callable")
        if not isinstance(annotate, bool):
            raise ConfigurationError(f"options: annotate is {annotate!r}, must be True or False")
        self.app = app
        self.engine = Engine.from_options(
            policy=policy, engine=engine, database=database, block=block, warn=warn, allow=allow
        )
        self.client = checked_strategy(client)
        self.way_in = way_of(self.client)
        self.identify, self.attributes, self.annotate = identify, attributes, annotate
        self.observer = Observer(self.client)
        self.ready()

    def ready(self) -> None:
        """Prepare what depends on the options, once they are all set."""

    def judge(self, read: Callable[[Any], Received], where: Any) -> Judgement:
        """Read a request, decide about it, and count that.

        A defect of ours, of a strategy, of ``attributes`` or of the server blocks the request, and
        says so in the log.
        """
        client, request = FAILED, Request(path="")
        snapshot = self.engine.snapshot
        try:
            received = read(where)
            request = received.request
            client = self.client.resolve(received.peer, received.headers)
            self.observer.saw(received.peer, received.rewritten, received.headers, client)
            if self.attributes is not None:
                request.tell = partial(self.attributes, where)
            tally, decision = snapshot.judge(client.address, request)
        except Exception:
            logger.exception("deciding failed; the request is refused")
            tally, decision = snapshot.failed()
        tally.add()
        if client.address is None:
            self.observer.unresolved(client)
        return Judgement(decision, client, request, snapshot.policy)
