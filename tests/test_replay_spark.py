"""Replaying on a real local Spark gives what one machine gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from georestrict.errors import ConfigurationError
from georestrict.replay.spark import SCHEMA, replay_lines, summarize
from tests import logs
from tests.test_replay import POLICY, run

pytestmark = pytest.mark.once


def test_a_policy_that_asks_for_accounts_pasts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'default = "allow"\n[[rules]]\nname = "been"\naction = "block"\n'
        'countries = ["US"]\naccount_seen_in = { countries = ["CN"], within = "14d" }\n'
    )
    with pytest.raises(ConfigurationError, match=r"rules\[1\] \(been\).*one machine"):
        replay_lines([path], "combined")


@pytest.mark.slow
@pytest.mark.needs("java", "pyspark")
def test_a_local_spark_counts_what_one_machine_counts(tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    policy, log = tmp_path / "policy.toml", tmp_path / "access.log"
    policy.write_text(POLICY)
    logs.Traffic().write(log, 50_000)
    with log.open("a") as file:
        file.write("no request\n")
    alone = json.loads(run("replay", str(log), "--policy", str(policy), "--json").stdout)
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "4")
        .getOrCreate()
    )
    try:
        lines = session.read.text(str(log)).repartition(5)
        counted = lines.mapInArrow(replay_lines([policy], "combined"), SCHEMA)
        summary = summarize(counted, [str(policy)])
    finally:
        session.stop()
    judged = summary.policies[0]
    assert summary.requests == alone["requests"] == 50_000
    assert summary.unparsed == alone["unparsed"] == 1
    assert summary.clients == alone["clients"]
    assert judged.by_action == alone["by_action"]
    for name in ("reason", "rule", "country", "category", "route", "network"):
        assert getattr(judged, f"by_{name}") == alone[f"by_{name}_action"], name
    assert judged.timeline == alone["timeline"]
    assert judged.clients == alone["policies"][0]["clients"]
    assert summary.first is not None
    assert summary.first.isoformat().replace("+00:00", "Z") == alone["first"]
