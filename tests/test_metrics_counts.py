"""I8 and A8 in the metrics: a dry run counts what enforcing would, and who is nobody is told why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from prometheus_client import CollectorRegistry

from georestrict import Database, Engine, asgi, wsgi
from georestrict.address import TrustedProxies
from georestrict.metrics import instrument
from tests import test_generated_policies as generated
from tests import test_truth as truth
from tests import web
from tests.reference import Asked

# The `house`, `world` and `tiny` of other files are fixtures that pytest has to find here.
house, world = generated.house, truth.world
LABELS = {
    "decisions": ("policy", "reason", "rule"),
    "countries": ("policy", "country"),
    "fallback": ("policy", "case"),
}


def decided(registry: CollectorRegistry) -> Counter[tuple[str, ...]]:
    """How many requests each thing was decided about, enforced or not."""
    found: Counter[tuple[str, ...]] = Counter()
    for family in registry.collect():
        name = family.name.removeprefix("georestrict_")
        for sample in family.samples if name in LABELS else ():
            labels = sample.labels
            action = labels["would"] or labels["action"]
            found[name, action, *(labels[label] for label in LABELS[name])] += int(sample.value)
    return found


def enforced(registry: CollectorRegistry) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for family in registry.collect():
        for sample in family.samples if family.name == "georestrict_decisions" else ():
            found[sample.labels["action"], sample.labels["would"]] += int(sample.value)
    return found


def scope_of(row: truth.Row) -> dict[str, Any]:
    scope = web.scope_of(truth.sent(row), type=row.protocol)
    if not row.has_raw:
        del scope["raw_path"]
    return scope


class Served(NamedTuple):
    """What the metrics tell of a few equal requests."""

    decided: Counter[tuple[str, ...]]
    enforced: Counter[tuple[str, str]]
    served: bool


def serve(engine: Engine, row: truth.Row) -> Served:
    app = web.Recorder()
    guarded = asgi.GeoRestrictMiddleware(
        app.asgi,
        engine=engine,
        attributes=lambda scope: row.attributes,
        identify=lambda scope: row.account,
    )
    registry = instrument(guarded, registry=CollectorRegistry())
    for _ in range(3):  # by the gate, too, where it knows them by then
        web.run_asgi(guarded, scope_of(row), ({"type": "websocket.connect"},))
    return Served(decided(registry), enforced(registry), app.served)


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.says) for row in truth.ROWS if not row.emergency]
)
def test_i8_by_the_truth_table_a_dry_run_counts_what_enforcing_does_and_blocks_nobody(
    row: truth.Row, world: Database, tmp_path: Path
) -> None:
    def engine(mode: str) -> Engine:
        document: dict[str, Any] = {**row.policy, "mode": mode}
        if "lists" in document:
            for name in truth.WORLD.lists:
                truth.write_list(tmp_path, name)
            document["lists"] = {
                name: {**entry, "path": str(tmp_path / entry["path"])}
                for name, entry in document["lists"].items()
            }
        made = Engine(document, database=world, clock=row.at.timestamp)
        for one in row.earlier:
            made.decide(one.address, account=one.account, at=one.at)
        return made

    enforcing, dry = serve(engine("enforce"), row), serve(engine("dry-run"), row)
    assert dry.decided == enforcing.decided
    assert dry.decided.total() >= 6
    (would,) = {would for _, would in dry.enforced}
    assert dry.enforced == {("allow", would): 3}
    assert enforcing.enforced == {(would, ""): 3}
    assert (dry.served, enforcing.served) == (True, would != "block")


@generated.examples(60)
@given(generated.policies() | generated.aged_policies(), generated.stories)
def test_i8_whatever_the_policy_a_dry_run_counts_what_enforcing_does_and_blocks_nobody(
    house: generated.House, policy: dict[str, Any], asked: list[Asked]
) -> None:
    shown: dict[str, Counter[tuple[str, ...]]] = {}
    current: dict[str, Any] = {}

    def attributes(_: Any) -> Any:
        return current["attributes"]

    def identify(_: Any) -> Any:
        return current["account"]

    for mode in ("enforce", "dry-run"):
        now = [0.0]
        engine = house.engine({**policy, "mode": mode}, now)
        app = web.Recorder()
        guarded = asgi.GeoRestrictMiddleware(
            app.asgi,
            engine=engine,
            attributes=attributes,
            identify=identify,
        )
        registry = instrument(guarded, registry=CollectorRegistry())
        blocked = 0
        for one in asked:
            now[0] = one.at.timestamp()
            current |= {"attributes": one.attributes, "account": one.account}
            for _ in range(2):
                app.served = False
                web.run_asgi(guarded, generated.scope_of(one), ({"type": "websocket.connect"},))
                blocked += not app.served
        shown[mode] = decided(registry)
        actions = enforced(registry)
        assert actions.total() == engine_total(engine) == 2 * len(asked)
        assert blocked == sum(count for (action, _), count in actions.items() if action == "block")
        assert mode == "enforce" or blocked == 0
    assert shown["dry-run"] == shown["enforce"]


def engine_total(engine: Engine) -> int:
    return sum(engine.counts.values())


POLICY = {
    "default": "allow",
    "contact": "mailto:a@b.example",
    "rules": [{"name": "no-cn", "action": "block", "countries": ["CN"]}],
}
PROXIES = TrustedProxies("10.0.3.0/24")
FORWARDED = TrustedProxies("10.0.3.0/24", header="forwarded")
A8 = {
    "dropped": (PROXIES, (), "header_missing"),
    "dropped, and the client's own": (PROXIES, (("Forwarded", "for=81.2.69.142"),), "header_missing"),
    "dropped of Forwarded": (FORWARDED, (("X-Forwarded-For", "81.2.69.142"),), "header_missing"),
    "empty": (PROXIES, (("X-Forwarded-For", ""),), "header_empty"),
    "malformed": (PROXIES, (("X-Forwarded-For", "81.2.69.142, nonsense"),), "header_malformed"),
    "unknown": (PROXIES, (("X-Forwarded-For", "unknown"),), "header_unknown"),
}  # fmt: skip


@pytest.mark.parametrize(("client", "headers", "reason"), A8.values(), ids=A8)
def test_a8_where_the_proxy_drops_the_header_the_counter_tells_why(
    tiny: Database,
    client: TrustedProxies,
    headers: tuple[tuple[str, str], ...],
    reason: str,
) -> None:
    for number, kind in enumerate(("asgi", "wsgi")):
        request = web.Request(peer="10.0.3.7", headers=headers)
        options: dict[str, Any] = {"policy": POLICY, "database": tiny, "client": client}
        app = web.Recorder()
        guarded: Any
        if number:
            guarded = wsgi.GeoRestrictMiddleware(app.wsgi, **options)
        else:
            guarded = asgi.GeoRestrictMiddleware(app.asgi, **options)
        registry = instrument(guarded, registry=CollectorRegistry())
        for _ in range(5):
            if number:
                guarded(web.environ_of(request), lambda *_: lambda _: None)
            else:
                web.run_asgi(guarded, web.scope_of(request))
        get = registry.get_sample_value
        assert get("georestrict_client_unresolved_total", {"reason": reason}) == 5, kind
        labels = {"policy": "policy", "case": "unresolved", "action": "block", "would": ""}
        assert get("georestrict_fallback_total", labels) == 5
        assert not app.served
