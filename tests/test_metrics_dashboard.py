"""The dashboard and the alerts ask for what there is, and Prometheus answers them."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from georestrict import Engine, asgi
from georestrict.address import TrustedProxies
from georestrict.metrics import instrument, kinds
from georestrict.stopwatch import EVERY
from georestrict.testing import tiny_database
from tests import web
from tests.proxies import ROOT, Programs, free_ports
from tests.test_docs import read_table
from tests.waiting import wait_until

pytestmark = pytest.mark.once

FOLDER = ROOT / "examples/grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "georestrict.json").read_text(encoding="utf-8"))
ALERTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0][
    "rules"
]
PANELS: dict[str, dict[str, Any]] = {panel["title"]: panel for panel in DASHBOARD["panels"]}
QUERIES = {
    f"{title} {target['refId']}": target["expr"]
    for title, panel in PANELS.items()
    for target in panel["targets"]
} | {alert["alert"]: alert["expr"] for alert in ALERTS}
PROMETHEUS = {"job", "instance"}  # labels that Prometheus adds
GB, CN, SE, CLOUD, NOWHERE = (
    "81.2.69.142",
    "175.16.199.1",
    "89.160.20.112",
    "52.95.110.1",
    "9.9.9.9",
)


class Busy:
    """Middlewares of which every metric has something to tell."""

    def __init__(self, folder: Path) -> None:
        database = tiny_database(
            {"81.2.69.0/24": "GB", "175.16.199.0/24": "CN", "89.160.20.0/24": "SE", "52.95.110.0/24": "US"},
            {"52.95.110.0/24": "hosting:high:Example Cloud"},
        )  # fmt: skip
        rules: list[dict[str, Any]] = [
            {"name": "clouds", "action": "count", "categories": ["hosting"]},
            {"name": "no-cn", "action": "block", "countries": ["CN"]},
            {"name": "soon-se", "action": "warn", "countries": ["SE"]},
        ]
        for name, mode in (("live", "enforce"), ("next", "dry-run")):
            (folder / f"{name}.toml").write_text(
                f'mode = "{mode}"\ndefault = "allow"\ncontact = "mailto:a@b.example"\n'
                + "".join(
                    "[[rules]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rule.items())
                    for rule in rules
                )
            )  # fmt: skip
        self.guards = [
            asgi.GeoRestrictMiddleware(
                web.Recorder().asgi,
                engine=Engine(folder / f"{name}.toml", database=database),
                client=TrustedProxies("10.0.3.0/24"),
            )
            for name in ("live", "next")
        ]
        self.registry = instrument(*self.guards, registry=CollectorRegistry())

    def serve(self) -> None:
        """Serve some requests of all kinds, and reload."""
        for guard in self.guards:
            for client in (GB, GB, CN, SE, CLOUD, NOWHERE, None):
                headers = () if client is None else (("X-Forwarded-For", client),)
                web.run_asgi(guard, web.scope_of(web.Request(peer="10.0.3.7", headers=headers)))
        self.guards[0].engine.reload()


@pytest.fixture
def busy(tmp_path: Path) -> Busy:
    return Busy(tmp_path)


def plain(query: str) -> str:
    """A query of the dashboard as Grafana would ask it."""
    for variable, value in (("$__rate_interval", "10s"), ("$__range", "1m"), ("$policy", ".*")):
        query = query.replace(variable, value)
    assert "$" not in query
    return query


def test_every_metric_and_label_that_is_asked_for_is_shown(busy: Busy) -> None:
    busy.serve()
    shown: dict[str, set[str]] = {}
    for family in busy.registry.collect():
        for sample in family.samples:
            shown.setdefault(sample.name, set()).update(sample.labels)
    asked: set[str] = set()
    for name, query in QUERIES.items():
        metrics = re.findall(r"\bgeorestrict_\w+", query)
        assert metrics, name
        assert {*metrics} <= {*shown}, name
        asked |= {*metrics}
        for metric, selector in re.findall(r"\b(georestrict_\w+)\{([^}]*)\}", query):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= shown[metric], name
        grouped = {
            label.strip() for text in re.findall(r"\bby \(([^)]*)\)", query) for label in text.split(",")
        }  # fmt: skip
        assert grouped <= set().union(*(shown[metric] for metric in metrics)) | PROMETHEUS, name
    ours = {name for name in shown if not name.endswith(("_created", "_sum", "_count"))}
    assert asked == ours  # nothing that is shown goes unseen


def test_the_dashboard_is_one_that_grafana_can_lay_out() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["schemaVersion"]) == ("georestrict", 39)
    assert (
        len(PANELS) == len({panel["id"] for panel in PANELS.values()}) == len(DASHBOARD["panels"])
    )
    taken: set[tuple[int, int]] = set()
    for title, panel in PANELS.items():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, title
        cells = {
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        }  # fmt: skip
        assert not taken & cells, title
        taken |= cells
        assert panel["description"].endswith("."), title
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source["uid"] == "${datasource}" for source in sources), title
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert {*variables} == {"datasource", "policy"}
    metric, label = re.fullmatch(
        r"label_values\((\w+), (\w+)\)", variables["policy"]["query"]["query"]
    ).groups()  # type: ignore[union-attr]
    assert (metric, label) == (f"{kinds.DECISIONS.prometheus}_total", "policy")
    assert label in kinds.DECISIONS.labels


def test_every_alert_says_what_it_means_and_is_tested() -> None:
    tests = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    names = [alert["alert"] for alert in ALERTS]
    assert [one["alertname"] for one in tests[0]["alert_rule_test"]] == names
    fired = tests[1]["promql_expr_test"][0]["exp_samples"]
    assert sum(sample["value"] for sample in fired) == len(names)
    for alert in ALERTS:
        assert {*alert["annotations"]} == {"summary", "description"}, alert["alert"]
        assert alert["labels"]["severity"] in ("warning", "critical"), alert["alert"]


def test_the_page_has_every_metric_with_its_labels_every_bound_and_every_alert() -> None:
    page = ROOT / "docs/metrics.md"
    suffixes = {"counter": "_total", "gauge": "", "histogram": ""}
    shown = {
        row["metric"].strip("`").removesuffix(suffixes[row["kind"]]): (
            row["kind"],
            tuple(re.findall(r"`(\w+)`", row["labels"])),
        )
        for row in read_table(page, "## What is shown")
    }
    assert shown == {
        **{kind.prometheus: ("counter", kind.labels) for kind in kinds.COUNTERS},
        **{kind.prometheus: ("gauge", kind.labels) for kind in kinds.GAUGES},
        kinds.LOOKUP.prometheus: ("histogram", ()),
    }
    assert f"of every {EVERY}th request" in page.read_text(encoding="utf-8")
    bounds = {
        row["label"].strip("`"): (int(row["at most"].split()[0].rstrip(":")), row["what is beyond"].strip("`"))
        for row in read_table(page, "## How many series")
    }  # fmt: skip
    assert bounds == {
        "rule": (kinds.MOST_RULES, kinds.OTHER),
        "country": (kinds.MOST_COUNTRIES, kinds.OTHER),
        "policy": (kinds.MOST_POLICIES, kinds.OTHER),
    }
    told = [row["alert"].strip("`") for row in read_table(page, "## Dashboard and alerts")]
    assert told == [alert["alert"] for alert in ALERTS]


@pytest.mark.slow
@pytest.mark.needs("prometheus")
def test_promtool_finds_that_each_alert_fires_when_it_should() -> None:
    subprocess.run(["promtool", "check", "rules", "alerts.yml"], cwd=FOLDER, check=True)
    subprocess.run(["promtool", "test", "rules", "alerts.test.yml"], cwd=FOLDER, check=True)


@pytest.fixture
def prometheus(tmp_path: Path, busy: Busy) -> Iterator[str]:
    """A real Prometheus that scrapes us every second."""
    port, shown = free_ports(2)
    exporter, thread = start_http_server(shown, "127.0.0.1", registry=busy.registry)
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{FOLDER}/alerts.yml]\n"
        "scrape_configs:\n  - job_name: app\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{shown}']}}]\n"
    )
    with Programs(tmp_path) as programs:
        programs.start(
            "prometheus",
            [
                "prometheus",
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            port,
        )
        programs.wait()
        yield f"http://127.0.0.1:{port}"
    exporter.shutdown()
    exporter.server_close()
    thread.join()


def asked(prometheus: str, query: str) -> list[dict[str, Any]]:
    """The samples that answer a query, as far as they are numbers."""
    parts = urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query?{parts}", timeout=20) as response:
            told = json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == 503:  # it is starting
            return []
        raise AssertionError(f"{query}: {error.read().decode()}") from error
    assert told["status"] == "success", query
    found: list[dict[str, Any]] = told["data"]["result"]
    return [sample for sample in found if sample["value"][1] != "NaN"]


@pytest.mark.slow
@pytest.mark.needs("prometheus")
def test_a_real_prometheus_answers_every_panel(busy: Busy, prometheus: str) -> None:
    waiting = {
        (title, target["refId"]): target
        for title, panel in PANELS.items()
        for target in panel["targets"]
    }

    def all_answered() -> bool:
        busy.serve()
        for key, target in [*waiting.items()]:
            found = asked(prometheus, plain(target["expr"]))
            if found:
                wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                assert any(wanted <= {*sample["metric"]} for sample in found), key
                del waiting[key]
        return not waiting

    wait_until(all_answered)
    of = {
        title: asked(prometheus, plain(panel["targets"][0]["expr"]))
        for title, panel in PANELS.items()
    }
    assert {sample["metric"]["action"] for sample in of["Requests by what was done"]} == {
        "allow",
        "warn",
        "block",
    }
    assert {sample["metric"]["would"] for sample in of["Dry run: what would be done"]} == {
        "allow",
        "warn",
        "block",
    }
    assert {sample["metric"]["country"] for sample in of["Blocked, by country"]} == {
        "CN",
        "unresolved",
    }
    assert {sample["metric"]["country"] for sample in of["Would be blocked, by country"]} == {
        "CN",
        "unresolved",
    }
    # of 14 requests a turn two are blocked, and two would be
    assert float(of["Blocked"][0]["value"][1]) == pytest.approx(2 / 14, abs=0.06)
    rules = urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=20)
    with rules:
        told = json.load(rules)["data"]["groups"][0]["rules"]
    assert [rule["name"] for rule in told] == [alert["alert"] for alert in ALERTS]
    assert {rule["health"] for rule in told} == {"ok"}
