"""What both middlewares share: their options, and deciding about a request without ever raising."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar
from weakref import WeakSet

from georestrict.accounts import Accounts
from georestrict.address import (
    FAILED,
    ClientAddress,
    Headers,
    Strategy,
    checked_strategy,
    way_of,
)
from georestrict.database import Database
from georestrict.decision import Decision, Reason
from georestrict.engine import Engine
from georestrict.errors import ConfigurationError
from georestrict.observe import Events, Observer, logger
from georestrict.observe.ledger import Ticket
from georestrict.observe.observer import id_of, shown_place
from georestrict.policy import Action, Policy
from georestrict.policy.responses import ResponseType
from georestrict.request import Identity, Request
from georestrict.response import (
    Caller,
    Response,
    blocked,
    checked_origins,
    completed,
    form_of,
    is_preflight,
    kept_from_shared_caches,
    readable,
    warned,
    warnings,
)
from georestrict.snapshot import Snapshot
from georestrict.stopwatch import Stopwatch

# Blocks that say something about the account: it came from where the policy does not want it. Of
# the others a network, a proxy or we ourselves may be the cause. A rule on everywhere but some
# countries decides about addresses without a country, too: those say nothing.
_ABOUT_ACCOUNTS = (Reason.COUNTRY, Reason.CATEGORY, Reason.NETWORK, Reason.ACCOUNT, Reason.DEFAULT)

Change = Callable[[Iterable[tuple[str, str]]], list[tuple[str, str]]]


_Kept = TypeVar("_Kept")


class Listener(Protocol):
    """Who wants to know the middlewares of a process: their metrics."""

    def meet(self, guard: Guard) -> None:
        """Take note of a middleware."""

    def end(self) -> None:
        """Take note that the server shuts down."""


class Received(NamedTuple):
    """What a middleware reads from its scope or environ."""

    peer: str | None
    rewritten: bool  #: the server has put another address in the peer's place
    headers: Headers
    request: Request


class Judgement(NamedTuple):
    """A decision, what it was made about, and the policy that made it over data of a date."""

    decision: Decision
    client: ClientAddress
    request: Request
    policy: Policy
    data: date | None  #: of the countries
    engine: Engine
    snapshot: str  #: its id
    ticket: Ticket | None  #: for its event; None: it is only counted


class Guard:
    """The options of a middleware, checked once.

    Args:
        app: the app to guard.
        policy: a ``Policy``, the path of a policy file, or a mapping.
        engine: a ready ``Engine``, instead of policy and database.
        database: a ``Database``, or the path of an image or an MMDB; the default data if left out.
        client: who is asking; ``Peer()`` if left out, ``TrustedProxies("10.0.3.0/24")`` behind
            a proxy.
        identify: names the account of a scope or environ, for ``on_decision`` and for rules about
            where accounts have been; called at most once for a request, and only if one of these
            asks. A plain function, as ``attributes`` is.
        attributes: tells what the app knows of a request (plan, channel, region …), from its scope
            or environ; called only when a rule that could match asks for it.
        annotate: leave the decision in the scope or environ, under ``georestrict``, for plainly
            allowed requests, too.
        block, warn, allow: the short form of a policy: country codes.
        responses: the app's own responses, by the name of their form in the policy (its type is
            ``"app"``): called with the decision and the scope or environ, return a ``Response``.
        on_decision: called once for each decision that is not a plain allow, with the decision and
            the account that ``identify`` names. Should it fail, the log says so, and the request
            goes on.
        accounts: where accounts have been, for rules that ask, and how often each was blocked;
            kept in this process if left out.
        on_account_flagged: called once for each account of which as many requests were blocked as
            ``accounts`` say (``flag_after``), with the account and the decision about the last.
            What follows is up to the app. Should it fail, the log says so. In ASGI it runs in the
            server's loop, and no request waits for a coroutine function. In WSGI the last blocked
            request waits for it, or, with Redis, what workers tell each other: hand on what takes
            long.
        cors_origins: origins such as ``https://app.example.com`` whose browser apps may read what
            they are told.
        pass_preflights: let CORS preflights through to the app. What they ask for is then blocked.
        guard_caches: keep the app's responses out of shared caches, which would serve them to
            everybody. Every request then goes the slow way.
        policies: further policies by name, each a ``Policy``, a path or a mapping, for endpoints
            that ask one with ``georestrict.restrict``. They share the engine's data and are
            reloaded with it, as one. An ``Engine`` has data of its own, and its own reload.
        watch: reload when a file of the policy, its lists or the database has changed: True looks
            every second, a number as often as it says (``Engine.watch``). It begins with the first
            request, in every process that serves.
        events: what of a request is told in the log (``georestrict.observe.Events``), and how much.
        require_data: whether a database that is missing or unusable is an error at start. With
            False every public address is ``no_data`` until a reload finds the database.

    Raises:
        ConfigurationError: if the options contradict each other, or the policy is wrong.
        DatabaseError: if the database cannot be used, and ``require_data`` is not False.
    """

    #: Whether hooks may be coroutine functions.
    awaits: ClassVar[bool] = False

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
        responses: Mapping[str, Callable[[Decision, Any], Any]] | None = None,
        on_decision: Callable[[Decision, str | None], Any] | None = None,
        accounts: Accounts | None = None,
        on_account_flagged: Callable[[str, Decision], Any] | None = None,
        cors_origins: Iterable[str] = (),
        pass_preflights: bool = False,
        guard_caches: bool = False,
        policies: Mapping[str, Policy | str | Path | Mapping[str, Any] | Engine] | None = None,
        watch: bool | float = False,
        events: Events | None = None,
        require_data: bool = True,
    ) -> None:
        hooks = {
            "identify": identify,
            "attributes": attributes,
            "on_decision": on_decision,
            "on_account_flagged": on_account_flagged,
        }
        for name, hook in (("app", app), *hooks.items()):
            if not callable(hook) and (hook is not None or name == "app"):
                raise ConfigurationError(f"options: {name} is {hook!r}, must be callable")
        for name, flag in (
            ("annotate", annotate),
            ("pass_preflights", pass_preflights),
            ("guard_caches", guard_caches),
        ):
            if not isinstance(flag, bool):
                raise ConfigurationError(f"options: {name} is {flag!r}, must be True or False")
        if events is not None and not isinstance(events, Events):
            raise ConfigurationError(
                f"options: events is {events!r}, must be georestrict.observe.Events(…)"
            )
        self.app = app
        self.engine = Engine.from_options(
            policy=policy,
            engine=engine,
            database=database,
            accounts=accounts,
            require_data=require_data,
            block=block,
            warn=warn,
            allow=allow,
        )
        self.policies = self._checked_policies(policies)
        self.client = checked_strategy(client)
        self.way_in = way_of(self.client)
        self.identify, self.attributes, self.annotate = identify, attributes, annotate
        self.on_decision, self.on_account_flagged = on_decision, on_account_flagged
        self._check_identified()
        if accounts is not None:
            self._check_asked()
        self.cors_origins = checked_origins(cors_origins)
        self.pass_preflights, self.guard_caches = pass_preflights, guard_caches
        self.responses = self._checked_responses(responses)
        self._check_awaited()
        self.observer = Observer(self.client, events, (self.engine, *self.policies.values()))
        self.stopwatch = Stopwatch()
        self._every = 1.0 if watch is True else watch
        self.unwatched = watch is not False
        if self.unwatched:
            self._watch(start=False)
        self.ready()
        _MADE.add(self)
        for listener in _all_of(_LISTENERS):
            listener.meet(self)

    def ready(self) -> None:
        """Prepare what depends on the options, once they are all set."""
        self.open()

    def open(self) -> None:
        """Let the gate pass what needs no looking at."""

    def begin(self) -> None:
        """Watch the files from the first request on.

        Not earlier: a process that only forks those that serve needs no thread for it. Until then
        the gate is shut, so the first request comes here.
        """
        if self.unwatched:
            self.unwatched = False
            self.open()
            try:
                self._watch(start=True)
            except RuntimeError:
                logger.exception("no thread can be started, so no files are watched")

    def _watch(self, *, start: bool) -> None:
        for engine in (self.engine, *self.policies.values()):
            if not start or engine.watching is not None:
                engine.watch(self._every, start=start)

    def judge(
        self,
        read: Callable[[Any], Received],
        where: Any,
        other: tuple[Engine, Snapshot] | None = None,
        identity: Identity | None = None,
        drawn: bool | None = None,
    ) -> Judgement:
        """Read a request, decide about it, and count that; by another engine, if one is given.

        ``identity`` is who sends it, if the app may have been asked before, and ``drawn`` whether
        it is one of the sample that events tell of; None if nobody drew. A defect of ours, of a
        strategy, of ``attributes``, of ``identify`` or of the server blocks the request, and says
        so in the log.
        """
        client: ClientAddress = FAILED
        request: Request | None = None
        if identity is None and self.identify is not None:
            identity = Identity(self.identify, where)
        started = self.stopwatch.start()
        is_first = other is None
        engine, snapshot = (self.engine, self.engine.snapshot) if other is None else other
        observer = self.observer
        if snapshot.asks_accounts and identity is None:
            observer.once("identify", _unidentified(snapshot.policy))
        try:
            received = read(where)
            request = received.request
            request.identity = identity
            client = self.client.resolve(received.peer, received.headers)
            if is_first:  # else it was seen already
                observer.saw(received.peer, received.rewritten, received.headers, client)
            if self.attributes is not None:
                request.tell = partial(self.attributes, where)
            tally, decision = snapshot.judge(client.address, request)
            if (
                self.pass_preflights
                and decision.action is Action.BLOCK
                and is_preflight(request.method, received.headers)
            ):
                tally, decision = snapshot.preflight, snapshot.preflight.decision
        except Exception:
            observer.defects.exception("deciding failed; the request is refused")
            tally, decision = snapshot.failed()
            if request is None:  # it could not be read
                request = Request(path="", identity=identity)
        ticket = observer.count(engine, tally, decision, drawn if is_first else False)
        if client.address is None and is_first:
            observer.unresolved(client)
        if started is not None:
            self.stopwatch.stop(started)
        if time.monotonic() >= observer.due:
            observer.flush()
        return Judgement(
            decision,
            client,
            request,
            snapshot.policy,
            snapshot.data_date,
            engine,
            snapshot.id,
            ticket,
        )

    def log(self, judgement: Judgement, method: str, request_id: str | None = None) -> None:
        """Write the event of a decision, if it is to have one; the client was told the id."""
        ticket = judgement.ticket
        if ticket is not None:
            request = judgement.request
            self.observer.decided(
                judgement.engine,
                ticket,
                judgement.decision,
                judgement.client,
                request,
                method,
                data=judgement.data,
                policy=shown_place(judgement.policy.place),
                snapshot=judgement.snapshot,
                request=request_id or id_of(request),
            )

    def flush_events(self) -> None:
        """Tell now, as numbers, the requests since the last time that have no event of their own.

        It happens by itself, too: with a request once a minute (``Events.counts_every``), when the
        server says that it shuts down (ASGI), and when the process ends by itself.
        """
        self.observer.flush()

    def end(self) -> None:
        """Tell what was not told, as the server says that it shuts down; it may kill us next."""
        self.flush_events()
        for listener in _all_of(_LISTENERS):
            try:
                listener.end()
            except Exception:
                self.observer.defects.exception("what was counted last could not be told")

    def own_response(self, judgement: Judgement) -> Callable[[Decision, Any], Any] | None:
        """Return the app's callable that makes the response, if the policy's form is its own."""
        decision, policy = judgement.decision, judgement.policy
        if form_of(decision, policy).type is not ResponseType.APP:
            return None
        name = decision.response or policy.response
        hook = self.responses.get(name or "")
        if hook is None:  # a policy that came with a reload
            self.observer.once(f"response {name}", f"{_missing(name)}; the json form is sent")
        return hook

    def finished(self, given: Any, caller: Caller) -> Response:
        """Return an app's own response with what every refusal has.

        Raises:
            TypeError, ValueError: if it is none, or cannot be sent.
        """
        vary = "Origin" if self.cors_origins else None
        found = readable(caller.origin) if caller.origin in self.cors_origins else ()
        return completed(given, found, vary)

    def shipped(self, judgement: Judgement, caller: Caller) -> Response:
        """Return the response of a block that the policy's form describes."""
        return blocked(judgement.decision, judgement.policy, caller, self.cors_origins)

    def count_block(self, judgement: Judgement) -> None:
        """Count a block for its account; once there were enough, the app is told.

        What a dry run or the emergency switch lets through is no block. A defect does not touch
        the request.
        """
        decision = judgement.decision
        if (
            self.on_account_flagged is None
            or decision.action is not Action.BLOCK
            or decision.reason not in _ABOUT_ACCOUNTS
            or (decision.reason is Reason.COUNTRY and decision.country is None)
        ):
            return
        try:
            account = judgement.request.account
            if account is not None:
                tell = self.telling(account, judgement)
                self.engine.remember().blocked(account, self.engine.now(), tell)
        except Exception:
            self.observer.defects.exception(
                "counting an account's blocks failed; the request goes on"
            )

    def start_accounts(self) -> None:
        """Learn what other workers know of accounts before the first request, not from it on."""
        for engine in (self.engine, *self.policies.values()):
            if engine.accounts is not None:
                engine.accounts.start()

    def flag(self, account: str, judgement: Judgement) -> Any:
        """Tell log and app that an account is flagged; never raise. Return what the hook does."""
        self.observer.flagged(
            judgement.engine,
            account,
            judgement.decision,
            policy=shown_place(judgement.policy.place),
            snapshot=judgement.snapshot,
        )
        hook = self.on_account_flagged
        try:
            return None if hook is None else hook(account, judgement.decision)
        except Exception:
            self.observer.defects.exception("on_account_flagged failed")

    def telling(self, account: str, judgement: Judgement) -> Callable[[], None]:
        """Return what tells the app, from any thread, that an account is flagged."""

        def tell() -> None:
            self.flag(account, judgement)

        return tell

    def change(self, judgement: Judgement, *, cached: bool = True) -> Change | None:
        """Return what is done to the headers of the app's response; None if they stay as they are.

        ``cached`` is whether such a response could be kept by a cache.
        """
        decision = judgement.decision
        ours = warnings(decision, judgement.policy) if decision.action is Action.WARN else ()
        if not ours:
            return kept_from_shared_caches if self.guard_caches and cached else None
        told = partial(warned, ours=ours, exposed=bool(self.cors_origins))
        if not self.guard_caches or not cached:
            return told
        return lambda headers: kept_from_shared_caches(told(headers))

    def _check_identified(self) -> None:
        """Check that the app names accounts where somebody asks for them."""
        if self.identify is not None:
            return
        for engine in (self.engine, *self.policies.values()):
            if engine.snapshot.asks_accounts:
                raise ConfigurationError(f"options: {_unidentified(engine.policy)}")
        if self.on_account_flagged is not None:
            raise ConfigurationError(
                "options: on_account_flagged comes without identify, so no account is known; give "
                "identify=, a function that names the account of a scope or environ"
            )

    def _check_asked(self) -> None:
        """Say so if nobody asks the accounts that were given; a reload may bring who does."""
        engines = self.engine, *self.policies.values()
        asked = any(engine.snapshot.asks_accounts for engine in engines)
        if not asked and self.on_account_flagged is None:
            logger.warning(
                "%s: no rule asks where accounts have been, so accounts= keeps nothing; add "
                "account_seen_in or account_countries to a rule, or give on_account_flagged=",
                self.engine.policy.place,
            )

    def _check_awaited(self) -> None:
        """Check that every hook that has to be awaited is."""
        asked = {"identify": self.identify, "attributes": self.attributes}
        for name, hook in asked.items():
            if _has_to_be_awaited(hook):
                raise ConfigurationError(
                    f"options: {name} is a coroutine function, must be a plain one: it is asked in "
                    "the middle of a decision; find out what it tells before, in a middleware "
                    "around this one"
                )
        for name, told in (
            ("on_decision", self.on_decision),
            ("on_account_flagged", self.on_account_flagged),
            *self.responses.items(),
        ):
            if _has_to_be_awaited(told) and not self.awaits:
                raise ConfigurationError(
                    f"options: {name} is a coroutine function, which WSGI cannot await; "
                    "give a plain one"
                )

    def _checked_policies(self, given: Any) -> dict[str, Engine]:
        """Return the engines of the named policies."""
        given = {} if given is None else given
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise ConfigurationError(
                f"options: policies is {given!r}, must map names to policies, such as "
                '{"strict": "strict.toml"}'
            )
        return {
            name: policy if isinstance(policy, Engine) else self.engine.with_policy(policy)
            for name, policy in given.items()
        }

    def _checked_responses(self, given: Any) -> Mapping[str, Callable[[Decision, Any], Any]]:
        """Check that the policy's forms and the app's callables are the same."""
        given = {} if given is None else given
        if not isinstance(given, Mapping):
            raise ConfigurationError(
                f"options: responses is {given!r}, must map names of the policy's responses to "
                "callables"
            )
        forms = [
            pair
            for engine in (self.engine, *self.policies.values())
            for pair in engine.policy.responses.items()
        ]
        wanted = [name for name, form in forms if form.type is ResponseType.APP]
        for name in wanted:
            if name not in given:
                raise ConfigurationError(f"options: {_missing(name)}")
        for name, hook in given.items():
            if name not in wanted:
                raise ConfigurationError(
                    f"options: responses[{name!r}]: the policy has no [responses.{name}] with "
                    'type = "app"; add it, or remove this one'
                )
            if not callable(hook):
                raise ConfigurationError(
                    f"options: responses[{name!r}] is {hook!r}, must be callable"
                )
        return dict(given)


_MADE: WeakSet[Guard] = WeakSet()
_LISTENERS: WeakSet[Listener] = WeakSet()


def introduce(listener: Listener) -> None:
    """Have a listener meet the middlewares of this process: now, and each new one when it is made.

    It may meet one twice. It is not kept alive.
    """
    _LISTENERS.add(listener)
    for guard in _all_of(_MADE):
        listener.meet(guard)


def _all_of(weak: WeakSet[_Kept]) -> list[_Kept]:
    while True:
        with suppress(RuntimeError):  # another thread has just added one
            return [*weak]


def _has_to_be_awaited(hook: Any) -> bool:
    """Whether a call returns a coroutine: of a function, a method, a partial, or an object."""
    while isinstance(hook, partial):
        hook = hook.func
    if hook is None:
        return False
    return iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__)


def _unidentified(policy: Policy) -> str:
    place = next(place for place, _ in policy.account_words())
    return (
        f"{policy.place}: {place} asks where accounts have been, and nobody names them; give the "
        "middleware identify=, a function that names the account of a scope or environ"
    )


def _missing(name: str | None) -> str:
    return (
        f'the policy has [responses.{name}] with type = "app", and no callable; give the '
        f"middleware responses={{{name!r}: …}}"
    )
