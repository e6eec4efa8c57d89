"""Metrics: what Prometheus and OpenTelemetry are shown is what was counted, and nothing else."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest, make_asgi_app, make_wsgi_app
from prometheus_client.openmetrics import exposition, parser

from georestrict import Accounts, ConfigurationError, Database, Engine, asgi, restrict, wsgi
from georestrict.address import ClientAddress, Headers, TrustedProxies
from georestrict.metrics import instrument, kinds, opentelemetry
from georestrict.stopwatch import EVERY, Stopwatch
from georestrict.testing import tiny_database
from tests import web

pytestmark = pytest.mark.once

GB, CN, SE, PRIVATE = "81.2.69.142", "175.16.199.1", "89.160.20.112", "10.0.0.1"
NO_CN = {"name": "no-cn", "action": "block", "countries": ["CN"]}
SOON_SE = {"name": "soon-se", "action": "warn", "countries": ["SE"]}
POLICY: dict[str, Any] = {
    "default": "allow",
    "contact": "mailto:a@b.example",
    "rules": [NO_CN, SOON_SE],
}
OTHER = {"default": "block", "contact": "mailto:a@b.example"}

# Shown from the start: a failure is seen to rise from 0, in a dry run, too.
UNFAILED = {
    'action="block",case="error",policy="policy",would=""': 0,
    'action="allow",case="error",policy="policy",would="block"': 0,
}

Samples = dict[str, float]


def shown(registry: CollectorRegistry) -> Samples:
    """Every sample of ours by its line in the exposition, which must be as the format wants it."""
    text = exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    found = {}
    for family in parser.text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def of(samples: Samples, name: str) -> Samples:
    """The samples of one name, by their labels."""
    return {
        line.partition("{")[2].rstrip("}"): value
        for line, value in samples.items()
        if line.partition("{")[0] == name
    }


def send_asgi(guarded: Any, peer: str | None, **more: Any) -> None:
    web.run_asgi(guarded, web.scope_of(web.Request(peer=peer, **more)))


def send_wsgi(guarded: Any, peer: str | None, **more: Any) -> None:
    b"".join(guarded(web.environ_of(web.Request(peer=peer, **more)), lambda *_: lambda _: None))


def guard_asgi(**options: Any) -> asgi.GeoRestrictMiddleware:
    return asgi.GeoRestrictMiddleware(web.Recorder().asgi, **options)


def guard_wsgi(**options: Any) -> wsgi.GeoRestrictMiddleware:
    return wsgi.GeoRestrictMiddleware(web.Recorder().wsgi, **options)


KINDS = {"asgi": (guard_asgi, send_asgi), "wsgi": (guard_wsgi, send_wsgi)}
both = pytest.mark.parametrize(("guard", "send"), KINDS.values(), ids=KINDS)
Guarding = Callable[..., Any]
Sending = Callable[..., None]


@both
def test_what_prometheus_is_shown_is_what_was_counted(
    tiny: Database, guard: Guarding, send: Sending
) -> None:
    guarded = guard(policy=POLICY, database=tiny)
    registry = instrument(guarded, registry=CollectorRegistry())
    for peer, times in ((GB, 70), (CN, 3), (SE, 2), (PRIVATE, 1), (None, 4)):
        for _ in range(times):
            send(guarded, peer)
    samples = shown(registry)
    assert of(samples, "georestrict_decisions_total") == {
        'action="allow",policy="policy",reason="default",rule="",would=""': 70,
        'action="block",policy="policy",reason="country",rule="no-cn",would=""': 3,
        'action="warn",policy="policy",reason="country",rule="soon-se",would=""': 2,
        'action="allow",policy="policy",reason="private",rule="",would=""': 1,
        'action="block",policy="policy",reason="unresolved",rule="",would=""': 4,
    }
    assert of(samples, "georestrict_countries_total") == {
        'action="allow",country="GB",policy="policy",would=""': 70,
        'action="block",country="CN",policy="policy",would=""': 3,
        'action="warn",country="SE",policy="policy",would=""': 2,
        'action="allow",country="private",policy="policy",would=""': 1,
        'action="block",country="unresolved",policy="policy",would=""': 4,
    }
    assert of(samples, "georestrict_fallback_total") == {
        **UNFAILED,
        'action="allow",case="private",policy="policy",would=""': 1,
        'action="block",case="unresolved",policy="policy",would=""': 4,
    }
    assert of(samples, "georestrict_client_unresolved_total") == {'reason="no_peer"': 4}
    assert sum(guarded.engine.counts.values()) == 80


def test_a_count_rule_is_told_by_itself_and_in_a_dry_run_what_would_be_done(tiny: Database) -> None:
    counting = {"name": "clouds", "action": "count", "categories": ["hosting"]}
    policy = POLICY | {"mode": "dry-run", "rules": [counting, NO_CN]}
    guarded = guard_asgi(policy=policy, database=tiny)
    registry = instrument(guarded, registry=CollectorRegistry())
    for peer in (CN, CN, GB, "52.95.110.1"):
        send_asgi(guarded, peer)
    samples = shown(registry)
    assert of(samples, "georestrict_counted_total") == {'policy="policy",rule="clouds"': 1}
    assert of(samples, "georestrict_decisions_total") == {
        'action="allow",policy="policy",reason="country",rule="no-cn",would="block"': 2,
        'action="allow",policy="policy",reason="default",rule="",would="allow"': 2,
    }


@both
def test_the_policies_of_endpoints_have_their_names_and_nothing_is_told_twice(
    tiny: Database, guard: Guarding, send: Sending
) -> None:
    engine = Engine(POLICY, database=tiny)

    @restrict("strict")
    def ask() -> None:
        """An endpoint."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ask()

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        ask()
        return []

    options: dict[str, Any] = {"engine": engine, "policies": {"strict": OTHER}}
    if guard is guard_asgi:
        first: Any = asgi.GeoRestrictMiddleware(app, **options)
        second: Any = asgi.GeoRestrictMiddleware(app, **options)
    else:
        first = wsgi.GeoRestrictMiddleware(wsgi_app, **options)
        second = wsgi.GeoRestrictMiddleware(wsgi_app, **options)
    registry = CollectorRegistry()
    for targets in ((engine,), (first,), (first, second), (second, engine)):
        assert instrument(*targets, registry=registry) is registry
    for guarded in (first, second):
        for peer in (GB, CN, None):
            send(guarded, peer)
    samples = shown(registry)
    assert {
        labels: count
        for labels, count in of(samples, "georestrict_decisions_total").items()
        if 'policy="policy"' in labels or 'policy="strict"' in labels
    } == {
        'action="allow",policy="policy",reason="default",rule="",would=""': 2,
        'action="block",policy="policy",reason="country",rule="no-cn",would=""': 2,
        'action="block",policy="policy",reason="unresolved",rule="",would=""': 2,
        'action="block",policy="strict",reason="default",rule="",would=""': 2,
    }


def test_a_client_that_endpoints_ask_about_again_is_unresolved_once(tiny: Database) -> None:
    @restrict("strict")
    def ask() -> None:
        """An endpoint."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ask()

    policy = POLICY | {"fallback": {"unresolved": "allow"}}
    guarded = asgi.GeoRestrictMiddleware(
        app, policy=policy, database=tiny, policies={"strict": OTHER}
    )
    registry = instrument(guarded, registry=CollectorRegistry())
    send_asgi(guarded, None)
    assert of(shown(registry), "georestrict_client_unresolved_total") == {'reason="no_peer"': 1}
    assert sum(guarded.policies["strict"].counts.values()) == 1


def test_middlewares_that_a_framework_makes_later_are_shown_all_or_those_of_an_engine(
    tiny: Database,
) -> None:
    engine = Engine(POLICY, database=tiny)
    ours, everything = CollectorRegistry(), CollectorRegistry()
    instrument(engine, registry=ours)
    instrument(registry=everything)
    guarded = guard_asgi(engine=engine)
    apart = guard_wsgi(policy=OTHER, database=tiny)
    line = 'action="block",policy="policy",reason="default",rule="",would=""'
    before = of(shown(everything), "georestrict_decisions_total").get(line, 0)  # of other tests
    send_asgi(guarded, None)
    send_wsgi(apart, GB)
    assert of(shown(ours), "georestrict_client_unresolved_total") == {'reason="no_peer"': 1}
    assert sum(of(shown(ours), "georestrict_decisions_total").values()) == 1
    assert of(shown(everything), "georestrict_decisions_total")[line] == before + 1


def test_totals_go_on_over_reloads_that_rename_rules_and_bring_new_data(
    tiny: Database, tmp_path: Path
) -> None:
    path = tmp_path / "live.toml"
    names = "first", "second"

    def write(name: str) -> None:
        path.write_text(
            f'default = "allow"\ncontact = "mailto:a@b.example"\n[[rules]]\nname = "{name}"\n'
            'action = "block"\ncountries = ["CN"]\n'
        )

    write(names[0])
    guarded = guard_asgi(policy=path, database=tiny)
    registry = instrument(guarded, registry=CollectorRegistry())
    before: Samples = {}
    for turn in range(6):
        write(names[turn % 2])
        guarded.engine.reload()
        for peer in (CN, GB, GB):
            send_asgi(guarded, peer)
        samples = shown(registry)
        assert all(samples[line] >= value for line, value in before.items() if "_total" in line), (
            turn
        )
        before = samples
    path.write_text("nonsense")
    assert guarded.engine.try_reload() is False
    samples = shown(registry)
    assert of(samples, "georestrict_decisions_total") == {
        'action="allow",policy="live.toml",reason="default",rule="",would=""': 12,
        'action="block",policy="live.toml",reason="country",rule="first",would=""': 3,
        'action="block",policy="live.toml",reason="country",rule="second",would=""': 3,
    }
    assert of(samples, "georestrict_reloads_total") == {'result="done"': 6, 'result="failed"': 1}


def test_however_many_names_rules_get_the_labels_are_bounded_and_the_sums_exact(
    tmp_path: Path,
) -> None:
    database = tiny_database({"81.2.69.0/24": "GB", "175.16.199.0/24": "CN"})
    path = tmp_path / "live.toml"
    turns, rules = 30, 10

    def write(turn: int) -> None:
        path.write_text('default = "allow"\ncontact = "mailto:a@b.example"\n' + "".join(
            f'[[rules]]\nname = "rule {turn}.{number}"\naction = "block"\ncountries = ["CN"]\n'
            f'paths = ["/{number}"]\n[[rules]]\nname = "count {turn}.{number}"\naction = "count"\n'
            f'countries = ["GB"]\npaths = ["/{number}"]\n'
            for number in range(rules)
        ))  # fmt: skip

    write(0)
    guarded = guard_asgi(policy=path, database=database)
    registry = instrument(guarded, registry=CollectorRegistry())
    for turn in range(turns):
        write(turn)
        guarded.engine.reload()
        for number in range(rules):
            for peer in (CN, GB):
                send_asgi(guarded, peer, target=f"/{number}")
        shown(registry)
    decisions = of(shown(registry), "georestrict_decisions_total")
    counted = of(shown(registry), "georestrict_counted_total")
    assert sum(decisions.values()) == 2 * turns * rules
    assert sum(counted.values()) == turns * rules
    named = {line.partition('rule="')[2].partition('"')[0] for line in [*decisions, *counted]}
    assert len(named - {""}) == kinds.MOST_RULES + 1
    assert kinds.OTHER in named
    assert len(decisions) <= kinds.MOST_RULES + 2


def test_an_engine_that_is_let_go_stays_counted_and_is_not_kept(tiny: Database) -> None:
    registry = CollectorRegistry()
    for _ in range(3):
        guarded = guard_asgi(policy=POLICY, database=tiny)
        instrument(guarded, registry=registry)
        send_asgi(guarded, CN)
        assert shown(registry)
        engine = guarded.engine
    line = 'action="block",policy="policy",reason="country",rule="no-cn",would=""'
    assert of(shown(registry), "georestrict_decisions_total") == {line: 3}
    del guarded, engine
    gc.collect()
    samples = shown(registry)
    assert of(samples, "georestrict_decisions_total") == {line: 3}
    assert of(samples, "georestrict_snapshot_info") == {}


def test_policies_are_called_by_their_place_below_the_folder_or_their_file_name(
    tiny: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = 'default = "allow"\n'
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "in/a.toml", tmp_path.parent / f"{tmp_path.name}.toml"):
        path.write_text(text)
    guards = [
        guard_asgi(policy=policy, database=tiny)
        for policy in (tmp_path / "in/a.toml", tmp_path.parent / f"{tmp_path.name}.toml", Path("in/a.toml"))
    ]  # fmt: skip
    samples = shown(instrument(*guards, registry=CollectorRegistry()))
    assert of(samples, "georestrict_emergency") == {
        'policy="in/a.toml"': 0,
        f'policy="{tmp_path.name}.toml"': 0,
    }


def test_the_age_of_data_and_lists_what_is_stale_and_the_emergency_switch_are_shown(
    tmp_path: Path,
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    now = [start + 50 * 86400]
    (tmp_path / "partners.txt").write_text("192.0.2.0/24\n")
    database = tiny_database(
        {"81.2.69.0/24": "GB", "175.16.199.0/24": "CN"},
        {"81.2.69.200/32": "tor:high:Tor"},
        date=date(2026, 1, 1),
    )
    switch = tmp_path / "emergency"
    policy = POLICY | {
        "stale_after": "60d",
        "emergency_file": str(switch),
        "lists": {"partners": {"path": str(tmp_path / "partners.txt")}},
        "rules": [NO_CN, {"name": "p", "action": "allow", "lists": ["partners"]}],
    }
    engine = Engine(policy, database=database, clock=lambda: now[0])
    guarded = guard_asgi(engine=engine)
    registry = instrument(guarded, registry=CollectorRegistry())
    samples = shown(registry)
    ages = of(samples, "georestrict_data_age_seconds")
    assert ages['layer="country"'] == ages['layer="network"'] == 50 * 86400
    assert 'layer="list partners"' in ages
    assert of(samples, "georestrict_data_stale")['layer="country"'] == 0
    assert of(samples, "georestrict_snapshot_info") == {
        f'policy="policy",snapshot="{engine.snapshot.id}"': 1
    }
    switch.touch()
    now[0] += 3600
    send_asgi(guarded, CN)
    assert of(shown(registry), "georestrict_emergency") == {'policy="policy"': 1}
    line = 'action="warn",policy="policy",reason="country",rule="no-cn",would="block"'
    assert of(shown(registry), "georestrict_decisions_total") == {line: 1}
    now[0] = start + 61 * 86400
    samples = shown(registry)
    assert of(samples, "georestrict_data_stale")['layer="country"'] == 1
    assert of(samples, "georestrict_data_stale")['layer="network"'] == 0


def test_of_engines_with_data_of_their_own_the_oldest_is_shown(tiny: Database) -> None:
    old = tiny_database({"81.2.69.0/24": "GB"}, date=date(2020, 1, 1))
    clock = datetime(2026, 1, 2, tzinfo=UTC).timestamp
    engines = [Engine(POLICY, database=data, clock=clock) for data in (tiny, old)]
    samples = shown(instrument(*engines, registry=CollectorRegistry()))
    days = (date(2026, 1, 2) - date(2020, 1, 1)).days
    assert of(samples, "georestrict_data_age_seconds")['layer="country"'] == days * 86400


@both
def test_every_so_many_decisions_of_the_slow_way_are_timed(
    tiny: Database, guard: Guarding, send: Sending
) -> None:
    guarded = guard(policy=POLICY, database=tiny)
    registry = instrument(guarded, registry=CollectorRegistry())
    for _ in range(3 * EVERY):
        send(guarded, CN)
    samples = shown(registry)
    assert samples["georestrict_lookup_seconds_count"] == 3
    assert 0 < samples["georestrict_lookup_seconds_sum"] < 1


def test_a_listener_that_fails_is_told_no_more_and_the_others_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[float] = []

    def fail(seconds: float) -> None:
        raise RuntimeError("defect")

    watch = Stopwatch()
    assert watch.start() is None  # nobody listens
    watch.add(fail)
    watch.add(heard.append)
    watch.add(heard.append)
    for _ in range(2 * EVERY):
        started = watch.start()
        if started is not None:
            watch.stop(started)
    assert len(heard) == 2
    assert [record.exc_info is not None for record in caplog.records] == [True]


class Odd:
    """A strategy of the app's own, with a reason of its own."""

    def resolve(self, peer: str | None, headers: Headers) -> ClientAddress:
        """Find nobody."""
        return ClientAddress(None, "odd")  # type: ignore[arg-type]


def test_a_reason_that_a_strategy_made_up_becomes_no_label(tiny: Database) -> None:
    guarded = guard_asgi(policy=POLICY, database=tiny, client=Odd())
    registry = instrument(guarded, registry=CollectorRegistry())
    send_asgi(guarded, GB)
    samples = shown(registry)
    assert of(samples, "georestrict_client_unresolved_total") == {}
    assert of(samples, "georestrict_fallback_total") == {
        **UNFAILED,
        'action="block",case="unresolved",policy="policy",would=""': 1,
    }


def test_a_name_that_utf_8_cannot_write_fails_no_scrape(tiny: Database) -> None:
    guarded = guard_wsgi(policy=POLICY, database=tiny, policies={"half \ud800": OTHER})
    registry = instrument(guarded, registry=CollectorRegistry())
    send_wsgi(guarded, GB)
    assert of(shown(registry), "georestrict_emergency")['policy="half ?"'] == 0


def test_no_label_holds_anything_of_a_request(tiny: Database) -> None:
    seen_in = {"countries": ["CN"], "within": "1d"}
    moved = {
        "name": "moved",
        "action": "block",
        "networks": ["0.0.0.0/0"],
        "account_seen_in": seen_in,
    }
    guarded = guard_asgi(
        policy=POLICY | {"rules": [NO_CN, moved]},
        database=tiny,
        client=TrustedProxies("10.0.0.0/8"),
        identify=lambda scope: "ann@secret.example",
        accounts=Accounts(),
    )
    registry = instrument(guarded, registry=CollectorRegistry())
    for forwarded in ("175.16.199.77", "81.2.69.77", "nonsense-77", "9.9.9.77"):
        send_asgi(
            guarded,
            "10.0.0.77",
            target="/secret/path-77",
            method="SECRET",
            headers=(("X-Forwarded-For", forwarded), ("Host", "secret.example"), ("X-Request-ID", "77-secret")),
        )  # fmt: skip
    text = generate_latest(registry).decode()
    assert 'rule="moved"' in text
    assert "secret" not in text
    assert ".77" not in text
    assert "-77" not in text


def collected(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: [*metric.data.data_points]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_opentelemetry_is_shown_the_same_as_prometheus(tiny: Database) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    guarded = guard_asgi(policy=POLICY, database=tiny)
    registry = instrument(guarded, registry=CollectorRegistry())
    opentelemetry(guarded, meter_provider=provider)
    opentelemetry(guarded, meter_provider=provider)
    for peer in (GB, CN, CN, SE, None, PRIVATE):
        send_asgi(guarded, peer)
    found, samples = collected(reader), shown(registry)
    for kind in kinds.COUNTERS:
        told = {
            ",".join(f'{key}="{point.attributes.get(key, "")}"' for key in sorted(kind.labels)): point.value
            for point in found.get(kind.opentelemetry, [])
        }  # fmt: skip
        assert told == of(samples, f"{kind.prometheus}_total"), kind
    for kind in kinds.GAUGES:
        assert len(found[kind.opentelemetry]) == len(of(samples, kind.prometheus))
    (lookup,) = found["georestrict.lookup"]
    assert (lookup.count, tuple(lookup.explicit_bounds)) == (1, kinds.BUCKETS)
    provider.shutdown()


def test_the_apps_of_prometheus_client_serve_it(tiny: Database) -> None:
    guarded = guard_asgi(policy=POLICY, database=tiny)
    registry = instrument(guarded, registry=CollectorRegistry())
    send_asgi(guarded, CN)
    start, body = web.run_asgi(
        make_asgi_app(registry=registry),
        web.scope_of(web.Request(target="/metrics")),
        ({"type": "http.request"},),
    )
    line = b'georestrict_decisions_total{action="block",policy="policy",reason="country",rule="no-cn",would=""} 1.0'
    assert start["status"] == 200
    assert line in body["body"]
    statuses: list[str] = []

    def start_response(status: str, headers: Any, *_: Any) -> Callable[[bytes], None]:
        statuses.append(status)
        return lambda _: None

    answer = make_wsgi_app(registry=registry)(web.environ_of(web.Request()), start_response)
    assert line in b"".join(answer)
    assert statuses == ["200 OK"]


def test_what_is_given_wrongly_is_an_error_that_says_what_to_do(
    tiny: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: Any = web.Recorder().asgi
    for call in (instrument, opentelemetry):
        with pytest.raises(
            ConfigurationError,
            match=r"must be a GeoRestrictMiddleware or an Engine; .* leave it out",
        ):
            call(app)
    for every in (0, -1, True, "1", float("inf")):
        with pytest.raises(ConfigurationError, match=r"every is .*, must be seconds, more than 0"):
            instrument(every=every)  # type: ignore[arg-type]
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    with pytest.raises(ConfigurationError, match="set it before the server starts"):
        instrument(registry=CollectorRegistry())


@pytest.mark.parametrize(
    ("call", "package", "module"),
    [("instrument", "prometheus_client", "prometheus"), ("opentelemetry", "opentelemetry", "otel")],
)
def test_without_the_extra_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, call: str, package: str, module: str
) -> None:
    monkeypatch.delitem(sys.modules, f"georestrict.metrics.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    functions: dict[str, Callable[[], object]] = {
        "instrument": instrument,
        "opentelemetry": opentelemetry,
    }
    with pytest.raises(ConfigurationError, match=r"say pip install 'georestrict\[metrics\]'"):
        functions[call]()


def test_nothing_of_it_is_imported_where_nobody_asks() -> None:
    code = (
        "import sys, georestrict.asgi, georestrict.wsgi, georestrict.metrics\n"
        "assert not {'prometheus_client', 'opentelemetry'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
