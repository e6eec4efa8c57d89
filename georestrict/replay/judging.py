"""Judging many requests at once: what a middleware would have decided, counted.

Of a frame of requests only what the policy tells apart is judged, by the engine's own code: the
addresses are looked up together, and of those that are decided alike one stands for all::

    client ─► class of the table ─► number of its verdict ─┬─► decision
    path, method, host, protocol ─► route (routing.py) ────┘

Between two moments of a policy (dates of rules, limits of age, ends of lists' entries) nothing else
changes, so a frame is judged in as many parts as there are such moments in it. Where a rule asks
where accounts have been, requests with an account are judged one by one, in the order of the log.
"""

from __future__ import annotations

import json
import sys
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, NamedTuple

import polars as pl

from georestrict.accounts import Accounts
from georestrict.address import Peer, Strategy
from georestrict.database import Database
from georestrict.decision import Decision
from georestrict.policy import Policy
from georestrict.policy.rules import DECIDED
from georestrict.replay.clients import clients_of, networks_of
from georestrict.replay.routing import KnownRoutes, Target, Targets, without_url
from georestrict.request import Identity
from georestrict.snapshot import Snapshot

#: What may be decided. In frames the place in here stands for the word.
ACTIONS = tuple(map(str, DECIDED))
#: What requests are counted by. The key of an outcome is its text, that of a change a country, and
#: of categories those of an address, with commas. In rows the place in here stands for the word.
DIMENSIONS = ("outcome", "categories", "route", "network", "account", "time", "change")
#: The action of a change is that before times ``len(ACTIONS)``, plus that after.
ROWS = {
    "policy": pl.UInt8,
    "dimension": pl.UInt8,
    "key": pl.String,
    "action": pl.UInt8,
    "requests": pl.Int64,
}
CLIENTS = {"policy": pl.UInt8, "action": pl.UInt8, "client": pl.UInt64}
#: The hour of a time, as timelines have it.
HOUR = pl.col("time").dt.strftime("%Y-%m-%dT%H:00Z")
_HOURS = pl.col("time").to_physical() // 3_600_000_000  # microseconds
#: One number is told apart from another much faster than two are: the action takes its last bits.
_ROOM = 4
#: Times of which the tables are kept for each policy, and what is learnt of each of them.
_MOST_SPANS, _MOST_LEARNT = 8, 1 << 16
#: Up to which number a table is filled, instead of searching for what is numbered.
_MOST_NUMBERED = 1 << 20
_USUAL_KEEP = timedelta(days=30)  # of what is known of accounts, as in georestrict.accounts


class Outcome(NamedTuple):
    """What is counted of a decision."""

    action: str  #: what was decided, enforced or not
    reason: str
    rule: str | None
    counted: tuple[str, ...]
    country: str  #: or the address's status, where it has none

    @classmethod
    def of(cls, decision: Decision) -> Outcome:
        """Return what is counted of a decision."""
        return cls(
            str(decision.decided),
            str(decision.reason),
            decision.rule,
            decision.counted,
            decision.country or str(decision.location.status),
        )

    @property
    def text(self) -> str:
        """What stands for it in rows."""
        return json.dumps(self)

    @classmethod
    def from_text(cls, text: str) -> Outcome:
        """Return what a text stands for."""
        action, reason, rule, counted, country = json.loads(text)
        return cls(action, reason, rule, tuple(counted), country)


class Counted(NamedTuple):
    """What was found in a frame."""

    requests: int
    first: datetime | None
    last: datetime | None
    rows: pl.DataFrame  #: requests by policy, dimension, key and action; the columns of ``ROWS``
    clients: pl.DataFrame  #: distinct ones, as hashes of 64 bits; the columns of ``CLIENTS``


class Judge:
    """Judges frames of requests by policies over one database, side by side.

    Args:
        policies: the policies. The emergency switch of none is looked at.
        database: where addresses appear to be.
        client: who is asking, as the middlewares' option of that name.
        header: the name of the header whose value a log has as ``forwarded``.
        by_account: whether hits are counted by account.
        at: a time to judge all requests by, instead of each by its own.

    Raises:
        ConfigurationError: if a policy asks what the database does not tell, or a list is wrong.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        database: Database,
        *,
        client: Strategy | None = None,
        header: str = "x-forwarded-for",
        by_account: bool = False,
        at: datetime | None = None,
    ) -> None:
        self._client, self._header = client or Peer(), header.lower().encode()
        self._by_account, self._at = by_account, at
        self._started = datetime.now(UTC)
        self._routes = KnownRoutes()
        self._judging = [_Judging(policy, database, at or self._started) for policy in policies]

    @property
    def in_order(self) -> bool:
        """Whether frames have to come one after the other: a rule asks about accounts' past."""
        return any(judging.asks_accounts for judging in self._judging)

    def judge(self, frame: pl.DataFrame) -> Counted:
        """Return what the policies say to the requests of a frame (``formats/frame.py``)."""
        if frame.is_empty():
            return Counted(0, None, None, pl.DataFrame(schema=ROWS), pl.DataFrame(schema=CLIENTS))
        first, last = frame.select(pl.min("time"), pl.max("time").alias("last")).row(0)
        frame = self._prepared(frame)
        rows, clients, decided = [], [], []
        for number, judging in enumerate(self._judging):
            found = judging.decide(frame)
            decided.append(found)
            asking = _by(found, pl.col("hash") // _ROOM, pl.first("hash", "client"))
            rows += [
                rows_of(counts, number, dimension)
                for dimension, counts in self._counts(judging, found, asking)
            ]
            clients.append(clients_of_rows(asking, number))
        if len(decided) > 1:
            changes = _changes(decided[0], decided[-1], self._judging[-1].outcomes)
            rows.append(rows_of(changes, len(decided) - 1, "change"))
        return Counted(frame.height, first, last, pl.concat(rows), pl.concat(clients))

    def outcomes(self, frame: pl.DataFrame) -> list[list[Outcome]]:
        """Return for each policy the outcome of each request of a frame, in its order."""
        frame = self._prepared(frame)
        told = []
        for judging in self._judging:
            numbered = judging.decide(frame).get_column("outcome")
            known = judging.outcomes
            told.append([known[number] for number in numbered])
        return told

    def _prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        clients = clients_of(frame, self._client, self._header).alias("client")
        fixed = self._at or self._started
        time = pl.col("time") if self._at is None else pl.lit(None, pl.Datetime("us", "UTC"))
        return frame.with_columns(
            clients,
            clients.hash().alias("hash"),
            # in seconds, just as datetime.timestamp() has it
            (time.fill_null(fixed).to_physical() / 1e6).alias("at"),
            without_url(pl.col("path")).alias("path"),
        )

    def _counts(
        self, judging: _Judging, found: pl.DataFrame, asking: pl.DataFrame
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield for each dimension the requests by key and action, of clients those that ask."""
        outcomes = found.group_by("outcome").agg(pl.first("action"), pl.len())
        texts = pl.Series("outcome", [each.text for each in judging.outcomes], dtype=pl.String)
        yield "outcome", outcomes.with_columns(texts.gather(outcomes.get_column("outcome")))
        kinds = _by(found, pl.col("kind").cast(pl.UInt64), pl.first("kind"))
        kinds = kinds.filter(pl.col("kind") > 0)
        names = pl.Series("kind", [",".join(each) for each in judging.kinds], dtype=pl.String)
        yield "categories", kinds.with_columns(names.gather(kinds.get_column("kind")))
        yield "time", _by(found, _HOURS, pl.first("time")).with_columns(HOUR)
        paths = _by(found, pl.col("path").hash() // _ROOM, pl.first("path"))
        paths = paths.with_columns(self._routes.of(paths.get_column("path")))
        yield "route", paths.group_by("path", "action").agg(pl.sum("len"))
        clients = asking.filter(pl.col("action") > 0).select("client", "action", "len")
        networks = networks_of(clients.get_column("client")).alias("client")
        yield "network", clients.with_columns(networks)
        if self._by_account:
            hit = found.filter(pl.col("action") > 0)
            yield "account", hit.group_by("account", "action").len()


class _Span:
    """A time within which a policy says the same of the same, and what was learnt of that."""

    def __init__(
        self, snapshot: Snapshot, since: float, until: float, tables: tuple[float, float]
    ) -> None:
        self.snapshot, self.since, self.until = snapshot, since, until
        self.tables = tables  # since and until when its tables hold
        depends = snapshot.depends
        # Behind the last number of a class and of a verdict come those of what is no address,
        # and of addresses that carry others, pair by pair.
        self.nowhere, self.unresolved = len(snapshot.verdict_of), len(depends)
        self.verdict_of = pl.concat(
            [numbers(snapshot.verdict_of), numbers(array("I", [self.unresolved]))]
        )
        self.asks = pl.Series([*depends, True])
        self.pairs: dict[Any, int] = {}  # from 1
        self.outcomes: dict[tuple[int, int], int] = {}
        self.kinds: dict[int, int] = {self.nowhere: 0}
        self.routes: dict[tuple[int, int], int] = {}
        self.groups: dict[Target, int] = {}
        self.targets = [Target()]  # one of each route

    @property
    def is_full(self) -> bool:
        """Whether so much was learnt that it begins anew: memory is bounded."""
        return max(map(len, (self.pairs, self.outcomes, self.routes, self.groups))) > _MOST_LEARNT


class _Judging:
    """What one policy says to frames."""

    def __init__(self, policy: Policy, database: Database, now: datetime) -> None:
        self._policy, self._database = policy, database
        self._targets = Targets(policy)
        self._dates = sorted(
            {
                date.timestamp()
                for rule in policy.rules
                for date in (rule.warn_from, rule.block_from, rule.until)
                if date is not None
            }
        )
        self._now = 0.0
        words = [word.within for _, word in policy.account_words()]
        self.asks_accounts = bool(words)
        self._accounts = (
            Accounts(keep=max(_USUAL_KEEP, *words), clock=lambda: self._now) if words else None
        )
        self._lock = threading.Lock()  # of what follows, which only grows
        self._spans: OrderedDict[float, _Span] = OrderedDict()
        self._outcomes: dict[Outcome, int] = {}
        self._kinds: dict[tuple[str, ...], int] = {(): 0}
        self._span(now.timestamp())  # so that what is wrong is told at once

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes that there were so far, by their numbers."""
        return [*self._outcomes]

    def decide(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with the numbers of each request's outcome, action and categories.

        Clients that are no address have no hash.
        """
        outcomes, kinds, is_address = self._decided(frame)
        actions = pl.Series([ACTIONS.index(each.action) for each in self.outcomes], dtype=pl.UInt8)
        return frame.with_columns(
            outcomes.alias("outcome"),
            actions.gather(outcomes).alias("action"),
            kinds.alias("kind"),
            pl.when(is_address).then("hash").alias("hash"),
        )

    @property
    def kinds(self) -> list[tuple[str, ...]]:
        """The sets of categories that there were so far, by their numbers."""
        return [*self._kinds]

    def _decided(self, frame: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
        left = frame.with_row_index("row")
        parts: list[tuple[pl.Series, ...]] = []
        if self.asks_accounts:
            named = pl.col("account").is_not_null() & (pl.col("account") != "")
            own, left = left.filter(named), left.filter(~named)
            parts.append((own.get_column("row"), *self._one_by_one(own)))
        while left.height:
            first, last = left.select(pl.min("at"), pl.max("at").alias("last")).row(0)
            span = self._span(first)
            part, left = left, left.clear()
            if last >= span.until:
                within = pl.col("at") < span.until
                part, left = part.filter(within), part.filter(~within)
            parts.append((part.get_column("row"), *self._at_once(part, span)))
        rows, outcomes, kinds, are = (pl.concat(each) for each in zip(*parts, strict=True))
        if len(parts) == 1:
            return outcomes, kinds, are
        order = rows.arg_sort()
        return outcomes.gather(order), kinds.gather(order), are.gather(order)

    def _one_by_one(self, frame: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
        """Judge requests of accounts in their order: each tells something about the next."""
        outcomes, kinds, are = array("I"), array("I"), []
        columns = "client", "at", "account", "path", "method", "host", "protocol"
        for client, at, account, *target in frame.select(columns).iter_rows():
            self._now = at
            request = Target(*target).request(at)
            request.identity = Identity(lambda who: str(who), account)
            snapshot = self._span(at).snapshot
            tally, decision = snapshot.judge(client, request)
            outcomes.append(self._outcome(tally.decision))
            kinds.append(self._kind(decision.location.categories))
            are.append(snapshot.where(client) is not None)
        return numbers(outcomes), numbers(kinds), pl.Series(are, dtype=pl.Boolean)

    def _at_once(self, frame: pl.DataFrame, span: _Span) -> tuple[pl.Series, pl.Series, pl.Series]:
        """Judge requests of a span: of those that are alike, one."""
        clients, times = frame.get_column("client"), frame.get_column("at")
        classes = numbers(span.snapshot.classes_of(clients)).clip(upper_bound=span.nowhere)
        verdicts = span.verdict_of.gather(classes)
        carrying = (verdicts == 0).arg_true()
        if len(carrying):
            bearers = clients.gather(carrying)
            pairs = {text: self._pair(span, text) for text in bearers.unique()}
            paired = bearers.replace_strict(pairs, return_dtype=pl.UInt32)
            classes = classes.scatter(carrying, paired + span.nowhere)
            verdicts = verdicts.scatter(carrying, paired + span.unresolved)
        routes = 1
        if self._targets.columns:
            asking = span.asks.gather(verdicts.clip(upper_bound=span.unresolved)).arg_true()
            if len(asking):
                groups, targets = self._targets.group(frame[asking])
                of_group = [self._route(span, target) for target in targets]
                routes = len(span.targets)
                verdicts *= routes
                route_of = pl.Series(of_group, dtype=pl.UInt32).gather(groups)
                verdicts = verdicts.scatter(asking, verdicts.gather(asking) + route_of)

        def outcome(number: int, at: int) -> int:
            verdict, route = divmod(number, routes)
            known = span.outcomes.get((verdict, route))
            if known is None:
                request = span.targets[route].request(times[at])
                tally, _ = span.snapshot.judge(clients[at], request)
                known = span.outcomes[verdict, route] = self._outcome(tally.decision)
            return known

        def kind(number: int, at: int) -> int:
            known = span.kinds.get(number)
            if known is None:
                location = self._database.lookup(clients[at])
                known = span.kinds[number] = self._kind(location.categories)
            return known

        return _each(verdicts, outcome), _each(classes, kind), classes != span.nowhere

    def _span(self, at: float) -> _Span:
        """Return the time around a time within which nothing changes."""
        with self._lock:
            for since, span in reversed(self._spans.items()):
                if since <= at < span.until:
                    if not span.is_full:
                        self._spans.move_to_end(since)
                        return span
                    del self._spans[since]
                    break
            span = self._new_span(at)
            self._spans[span.since] = span
            if len(self._spans) > _MOST_SPANS:
                self._spans.popitem(last=False)
            return span

    def _new_span(self, at: float) -> _Span:
        for span in self._spans.values():
            since, until = span.tables
            if since <= at < until:
                snapshot = span.snapshot
                break
        else:
            snapshot = Snapshot(
                self._policy, self._database, clock=lambda: at, accounts=self._accounts
            )
            since, until = snapshot.holds_around(at)
        after = bisect_right(self._dates, at)
        dates = [-inf, *self._dates, inf]
        begin, end = dates[after], dates[after + 1]
        return _Span(snapshot, max(since, begin), min(until, end), (since, until))

    def _route(self, span: _Span, target: Target) -> int:
        """Return the number of a target's route, from 1."""
        known = span.groups.get(target)
        if known is None:
            masks = span.snapshot.route(target.request(0.0))
            with self._lock:
                known = span.routes.get(masks)
                if known is None:
                    known = span.routes[masks] = len(span.targets)
                    span.targets.append(target)
            span.groups[target] = known
        return known

    def _pair(self, span: _Span, address: str) -> int:
        """Return the number of what an address that carries another is judged by, from 1."""
        where = span.snapshot.where(address)
        with self._lock:
            return span.pairs.setdefault(where, len(span.pairs) + 1)

    def _outcome(self, decision: Decision) -> int:
        outcome = Outcome.of(decision)
        with self._lock:
            return self._outcomes.setdefault(outcome, len(self._outcomes))

    def _kind(self, categories: Mapping[Any, Any]) -> int:
        with self._lock:
            return self._kinds.setdefault(tuple(map(str, categories)), len(self._kinds))


def numbers(values: Any) -> pl.Series:
    """Return a buffer of ``uint32`` as a column."""
    data = bytes(values)
    if not data:
        return pl.Series(dtype=pl.UInt32)
    kind = pl.Array(pl.UInt32, len(data) // 4)
    return pl.Series([data]).bin.reinterpret(dtype=kind, endianness=sys.byteorder).explode()


def _each(keys: pl.Series, tell: Callable[[int, int], int]) -> pl.Series:
    """Return what is told of each key, asked once for those that are equal, with a place of one."""
    places = keys.arg_unique()
    distinct = keys.gather(places)
    told = [tell(key, at) for key, at in zip(distinct.to_list(), places.to_list(), strict=True)]
    values = pl.Series(told, dtype=pl.UInt32)
    most = distinct.max()
    if not isinstance(most, int) or most >= _MOST_NUMBERED:
        return keys.replace_strict(distinct, values, return_dtype=pl.UInt32)
    table = pl.zeros(most + 1, dtype=pl.UInt32, eager=True)
    return table.scatter(distinct, values).gather(keys)


def rows_of(counts: pl.DataFrame, policy: int, dimension: str) -> pl.DataFrame:
    """Return counts (key, action, number) as rows; what has no key is left out."""
    key, action, requests = counts.columns
    return counts.drop_nulls(key).select(
        pl.lit(policy, pl.UInt8).alias("policy"),
        pl.lit(DIMENSIONS.index(dimension), pl.UInt8).alias("dimension"),
        pl.col(key).alias("key"),
        pl.col(action).alias("action"),
        pl.col(requests).cast(pl.Int64).alias("requests"),
    )


def _by(found: pl.DataFrame, number: pl.Expr, name: pl.Expr) -> pl.DataFrame:
    """Return requests by a number and their action: a name, the action, and how many they are."""
    both = number * _ROOM + pl.col("action")
    return (
        found.group_by(both.alias("number")).agg(name, pl.first("action"), pl.len()).drop("number")
    )


def clients_of_rows(asking: pl.DataFrame, policy: int) -> pl.DataFrame:
    """Return the distinct clients by action, as far as they have a hash."""
    return asking.drop_nulls("hash").select(
        pl.lit(policy, pl.UInt8).alias("policy"),
        pl.col("action"),
        (pl.col("hash") // _ROOM * _ROOM).alias("client"),
    )


def _changes(
    before: pl.DataFrame, after: pl.DataFrame, outcomes: Sequence[Outcome]
) -> pl.DataFrame:
    """Return by country, as the last policy sees it, what it decides otherwise than the first."""
    countries = pl.Series([each.country for each in outcomes], dtype=pl.String)
    return (
        after.select("outcome", "action", before.get_column("action").alias("before"))
        .filter(pl.col("action") != pl.col("before"))
        .group_by("outcome", "before", "action")
        .len()
        .select(
            pl.col("outcome").map_batches(countries.gather).alias("key"),
            pl.col("before") * len(ACTIONS) + pl.col("action"),
            "len",
        )
    )
