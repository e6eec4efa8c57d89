"""``georestrict replay``: what it tells of logs, how it counts, and how it fails."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import math
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from georestrict import Database, Engine, Policy, asgi
from georestrict.cli import main
from georestrict.cli.outputs import write_outputs
from georestrict.observe import Events, JsonLines, route_of
from georestrict.replay import counting, judging
from georestrict.replay.formats import FRAME
from georestrict.replay.judging import Judge
from georestrict.replay.logs import Logs
from georestrict.replay.routing import routes_of
from tests import web

pytestmark = pytest.mark.once

POLICY = """\
default = "allow"
contact = "https://example.com/contact"
[[rules]]
name = "no-cn"
action = "block"
countries = ["CN"]
[[rules]]
name = "no-gb-admin"
action = "warn"
countries = ["GB"]
paths = ["/admin/*"]
"""
GB, CN = "81.2.69.142", "175.16.199.1"


def run(*arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False, **more)


def line(peer: str, path: str = "/", user: str = "-", second: int = 0) -> str:
    time = f"23/Nov/2026:04:00:{second:02}"
    return f'{peer} - {user} [{time} +0000] "GET {path} HTTP/1.1" 200 5 "-" "curl"\n'


LOG = (
    line(GB) + line(GB, "/admin/x", "ann") + line(CN, "/users/17", "bob") + line(CN, "/users/18", "bob")
    + line("10.0.0.1", second=59) + "no request\n"
)  # fmt: skip


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return str(path)


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "access.log"
    path.write_text(LOG)
    return str(path)


def told(*arguments: str) -> dict[str, Any]:
    result = run("replay", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_json_is_one_object_that_tells_who_would_have_been_hit(policy: str, log: str) -> None:
    found = told(log, "--policy", policy, "--by", "account")
    assert (found["requests"], found["unparsed"], found["clients"]) == (5, 1, 3)
    assert found["by_action"] == {"allow": 2, "warn": 1, "block": 2}
    assert found["by_country"] == {"CN": 2, "GB": 2, "private": 1}
    assert found["by_country_action"]["GB"] == {"allow": 1, "warn": 1}
    assert found["by_rule"] == {"no-cn": 2, "no-gb-admin": 1}
    assert found["by_route"] == {"/users/{}": 2, "/": 2, "/admin/x": 1}
    assert found["by_network"] == {"175.16.199.0/24": 2, "81.2.69.0/24": 1}
    assert found["by_account_action"] == {"bob": {"block": 2}, "ann": {"warn": 1}}
    assert (found["first"], found["last"]) == ("2026-11-23T04:00:00Z", "2026-11-23T04:00:59Z")
    assert found["timeline"] == {"2026-11-23T04:00Z": {"allow": 2, "warn": 1, "block": 2}}
    assert found["files"] == [{"name": log, "format": "combined", "requests": 5, "unparsed": 1}]


def test_without_json_there_are_tables_for_people(policy: str, log: str) -> None:
    result = run("replay", log, "--policy", policy)
    assert result.exit_code == 0
    assert result.stdout.startswith("5 requests from 3 addresses between 2026-11-23T04:00:00Z")
    assert "block     2         40.00%  1" in result.stdout
    assert "1 of 6 lines are no request" in result.stderr


def test_two_policies_are_told_side_by_side_with_what_changes(
    policy: str, log: str, tmp_path: Path
) -> None:
    live = tmp_path / "live.toml"
    live.write_text(
        'default = "allow"\n[[rules]]\nname = "a"\naction = "block"\ncountries = ["GB"]\n'
    )
    found = told(log, "--policy", str(live), "--policy", policy)
    assert found["by_action"] == found["policies"][1]["by_action"]
    assert found["policies"][0]["by_action"] == {"allow": 3, "warn": 0, "block": 2}
    assert found["changes"] == [
        {"from": "allow", "to": "block", "by_country": {"CN": 2}},
        {"from": "block", "to": "allow", "by_country": {"GB": 1}},
        {"from": "block", "to": "warn", "by_country": {"GB": 1}},
    ]


def test_csv_and_parquet_have_every_count_as_a_row(policy: str, log: str, tmp_path: Path) -> None:
    one, other = tmp_path / "out.csv", tmp_path / "out.parquet"
    assert (
        run("replay", log, "--policy", policy, "--csv", str(one), "--parquet", str(other)).exit_code
        == 0
    )
    rows = list(csv.DictReader(one.read_text().splitlines()))
    assert {
        "policy": policy,
        "dimension": "country",
        "key": "CN",
        "action": "block",
        "requests": "2",
    } in rows
    assert pl.read_parquet(other).equals(pl.read_csv(one))


def test_html_is_one_file(policy: str, log: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert run("replay", log, "--policy", policy, "--html", str(page)).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")


def test_at_judges_by_another_time(log: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.replace('action = "block"', "block_from = 2026-12-01T00:00:00Z"))
    assert told(log, "--policy", str(path))["by_action"]["block"] == 0
    later = told(log, "--policy", str(path), "--at", "2026-12-01T00:00:00Z")
    assert later["by_action"]["block"] == 2
    assert later["first"] == "2026-11-23T04:00:00Z"


def test_a_trusted_proxys_header_tells_the_client(policy: str, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(line("10.0.0.1").rstrip() + f' "{CN}"\n' + line("10.0.0.1").rstrip() + ' "-"\n')
    written = (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" "$http_x_forwarded_for"'
    )
    found = told(str(path), "--policy", policy, "--format", written, "--trusted", "10.0.0.0/8")
    assert found["by_country"] == {"CN": 1, "unresolved": 1}


def test_words_that_no_log_answers_are_told(log: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        POLICY + '[[rules]]\nname = "staff"\naction = "allow"\nattributes = { role = ["staff"] }\n'
    )
    result = run("replay", log, "--policy", str(path), "--json")
    place = f"{path}: rules[3] (staff).attributes"
    assert json.loads(result.stdout)["unknown_words"] == [place]
    assert f"{place}: no log tells that" in result.stderr


def test_rotated_and_compressed_logs_count_together_in_any_order(
    policy: str, log: str, tmp_path: Path
) -> None:
    older = tmp_path / "access.log.1.gz"
    older.write_bytes(gzip.compress(LOG.encode()))
    found = told(log, str(older), "--policy", policy)
    assert found["requests"] == 10
    assert found["by_action"] == {"allow": 4, "warn": 2, "block": 4}
    assert found == told(str(older), log, "--policy", policy) | {"files": found["files"]}


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 1, "No such file"),
        (b"", 1, "no line at all"),
        (gzip.compress(LOG.encode() * 100)[:-30], 1, "ends too early"),
        (b"what\nis\nthis\n", 2, "the log's format is not known"),
    ],
    ids=["missing", "empty", "truncated gzip", "no log"],
)
def test_a_log_that_cannot_be_read_fails_the_run_and_nothing_is_told(
    content: bytes | None, code: int, said: str, policy: str, log: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.log"
    if content is not None:
        path.write_bytes(content)
    logs = (str(path),) if content == b"" else (log, str(path))
    result = run("replay", *logs, "--policy", policy, "--json")
    assert result.exit_code == code
    assert result.stdout == ""
    assert said in result.stderr
    assert str(path) in result.stderr


def test_a_log_of_which_no_line_is_a_request_fails_the_run(policy: str, log: str) -> None:
    result = run("replay", log, "--policy", policy, "--format", "alb")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{log}: none of its 6 lines is a request in the format alb" in result.stderr


def test_the_same_log_twice_is_refused(policy: str, log: str, tmp_path: Path) -> None:
    link = tmp_path / "link.log"
    link.symlink_to(log)
    result = run("replay", log, str(link), "--policy", policy)
    assert result.exit_code == 2
    assert f"{link}: is the same file as {log}" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--csv", "LOG"), "is a file that is read, and would be lost"),
        (("--csv", "POLICY"), "is a file that is read, and would be lost"),
        (("--csv", "out", "--html", "./out"), "is what --csv writes, and would be lost"),
        (("--html", "nowhere/out"), "there is no folder"),
        (("--parquet", "."), "is a folder"),
        (("--policy", "POLICY"), "is named twice"),
    ],
    ids=[
        "onto the log", "onto the policy", "twice the same", "into no folder", "onto a folder",
        "one policy twice",
    ],
)  # fmt: skip
def test_a_run_that_could_not_end_well_does_not_begin(
    options: tuple[str, ...],
    said: str,
    policy: str,
    log: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    named = [{"LOG": log, "POLICY": policy}.get(option, option) for option in options]
    result = run("replay", log, "--policy", policy, *named)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{named[-2]} {named[-1]}: {said}" in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_several_files_are_written_together_or_none_is(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.write_bytes(b"before")
    with pytest.raises(FileNotFoundError):
        write_outputs({str(first): b"after", str(tmp_path / "gone" / "second"): b""})
    assert [*tmp_path.iterdir()] == [first]
    assert first.read_bytes() == b"before"


def test_the_mark_that_windows_writes_before_the_first_line_is_no_part_of_it(
    policy: str, tmp_path: Path
) -> None:
    path = tmp_path / "marked.log"
    path.write_bytes(b"\xef\xbb\xbf" + line(CN).encode())
    result = run("replay", str(path), "--policy", policy, "--json")
    assert json.loads(result.stdout)["by_country"] == {"CN": 1}


def test_the_first_line_that_is_no_request_is_shown_with_its_number(
    policy: str, log: str, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.log"
    path.write_text(line(GB) * 4 + "\n" + line(GB) + "what is\tthis\n" + line(GB) * 3 + "that\n")
    result = run("replay", str(path), "--policy", policy)
    assert result.exit_code == 0
    assert "2 of 10 lines are no request in the log's format" in result.stderr
    assert f"the first is {path}:7: 'what is\\tthis'" in result.stderr
    judge = Judge([Policy.load(policy)], Database.open())
    for size in (1, 100, 300):
        assert f"{path}:7: " in Logs([str(path)], block=size).replay(judge).other
    assert (
        f"such as {log}:1: '81.2"
        in run("replay", log, "--policy", policy, "--format", "alb").stderr
    )


def test_a_log_of_a_proxys_address_alone_is_not_taken_for_nobody_is_hit(
    policy: str, log: str, tmp_path: Path
) -> None:
    path = tmp_path / "behind.log"
    path.write_text(line("10.0.0.1") * 2 + line(CN))
    result = run("replay", str(path), "--policy", policy)
    assert "2 of 3 requests are of private addresses, or of none" in result.stderr
    assert "--trusted" in result.stderr
    assert "private" not in run("replay", log, "--policy", policy).stderr


def test_a_run_that_waits_for_its_standard_input_can_be_interrupted(policy: str) -> None:
    # Who started the tests may have SIGINT ignored, which a process inherits.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import georestrict.replay.reading as reading; pieces = reading._pieces;"
        "reading._pieces = lambda *asked: (print('reading', flush=True), pieces(*asked))[1];"
        "sys.argv[0] = 'georestrict'; from georestrict.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "replay", "-", "--policy", policy],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == b"reading\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 1
            assert process.stderr.read().strip() == b"Aborted!"
        finally:
            process.kill()


def test_an_access_log_without_a_policy_is_refused(log: str) -> None:
    result = run("replay", log)
    assert result.exit_code == 2
    assert "--policy FILE" in result.stderr


def test_a_missing_extra_is_named(policy: str, log: str) -> None:
    program = (
        "import sys; sys.modules['polars'] = None; sys.argv[0] = 'georestrict';"
        "from georestrict.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "replay", log, "--policy", policy],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'georestrict[replay]'" in done.stderr


def test_c4_the_events_of_a_dry_run_replayed_equal_the_counters(tmp_path: Path) -> None:
    """Row C4: however many events the limit cuts, what is replayed is what was counted."""
    document = Policy.from_mapping(
        {
            "default": "allow",
            "mode": "dry-run",
            "contact": "https://example.com/contact",
            "rules": [
                {"name": "seen", "action": "count", "countries": ["GB"]},
                {"name": "no-cn", "action": "block", "countries": ["CN"]},
                {"name": "warn-gb", "action": "warn", "countries": ["GB"], "paths": ["/admin/*"]},
            ],
        }
    )
    engine = Engine(document)
    path = tmp_path / "events.jsonl"
    handler = logging.FileHandler(path)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("georestrict.events")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        app = web.Recorder()
        guarded = asgi.GeoRestrictMiddleware(
            app.asgi, engine=engine, events=Events(per_second=1, burst=3)
        )
        for number in range(60):
            peer = (GB, CN, "10.0.0.1", "9.9.9.9")[number % 4]
            target = ("/", "/admin/x", "/users/1")[number % 3]
            web.run_asgi(guarded, web.scope_of(web.Request(peer=peer, target=target)))
        guarded.flush_events()
    finally:
        logger.removeHandler(handler)
        handler.close()
    found = told(str(path))
    wanted: Counter[tuple[str, str]] = Counter()
    rules: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for decision, count in engine.counts.items():
        wanted[decision.country or str(decision.location.status), str(decision.decided)] += count
        if decision.rule is not None:
            rules[decision.rule] += count
        counted.update(dict.fromkeys(decision.counted, count))
    assert found["requests"] == sum(engine.counts.values()) == 60
    assert {
        (country, action): count
        for country, actions in found["by_country_action"].items()
        for action, count in actions.items()
    } == wanted
    assert found["by_rule"] == rules
    assert found["by_counted"] == counted
    assert found["policies"][0]["policy"] == "as recorded"


def events(tmp_path: Path, address: str | None) -> str:
    first = {
        "event": 1, "time": "2026-11-23T04:26:31Z", "kind": "decision", "count": 1, "action": "allow",
        "would": "block", "reason": "country", "rule": "x", "country": "CN", "status": "known",
        "path": "/v1/models", "route": "/v1/models", "method": "GET", "address": address,
    }  # fmt: skip
    second = {
        "event": 1, "time": "2026-11-23T04:26:32Z", "kind": "counts", "count": 41, "action": "allow",
        "reason": "default", "country": "GB", "status": "known",
    }  # fmt: skip
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in (first, second)))
    return str(path)


def test_events_with_whole_addresses_are_judged_and_the_others_named(
    policy: str, tmp_path: Path
) -> None:
    path = events(tmp_path, CN)
    result = run("replay", path, "--policy", policy, "--json")
    found = json.loads(result.stdout)
    assert (found["requests"], found["unjudged"]) == (1, 41)
    assert found["by_rule"] == {"no-cn": 1}
    assert "41 more requests are only counted in the events" in result.stderr


@pytest.mark.parametrize("address", ["175.16.199.0/24", "0123456789abcdef0123456789abcdef", None])
def test_events_without_whole_addresses_cannot_be_judged(
    address: str | None, policy: str, tmp_path: Path
) -> None:
    result = run("replay", events(tmp_path, address), "--policy", policy, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert 'Events(address="full")' in result.stderr


segments = st.sampled_from(
    ["users", "17", "4711", "a%2Fb", "%C3%A9", "…", "é", "ada@example.com", "deadbeefdeadbeef", "0" * 70, "a" * 70,
     "123e4567-e89b-12d3-a456-426614174000", "order-2049", "x.y", "2026-11-23", "", "v1", "abc123abc123abc1", "12.json"]
)  # fmt: skip


@given(
    st.lists(st.lists(segments, max_size=11).map(lambda parts: "/" + "/".join(parts)), max_size=6)
)
def test_routes_are_those_of_events(paths: list[str]) -> None:
    from urllib.parse import unquote

    assert routes_of(pl.Series(paths, dtype=pl.String)).to_list() == [
        route_of(unquote(path)) for path in paths
    ]


def test_keys_that_a_log_chooses_are_bounded_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counting, "MOST_KEYS", 20)
    monkeypatch.setattr(counting, "MOST_TOLD", 5)
    monkeypatch.setattr(counting, "_MOST_WAITING", 10)
    judge = Judge([Policy.short(block=["CN"])], Database.open())
    found = counting.Counting()
    for number in range(40):
        rows = [
            (GB, None, None, "GET", path, None, "http", None, 200)
            for path in ("/busy", f"/route-{number}x", f"/other-{number}x")
        ]
        found.add(judge.judge(pl.DataFrame(rows, FRAME, orient="row")))
    routes = found.summary(["policy"]).policies[0].by_route
    assert len(routes) == 6
    assert next(iter(routes.items())) == ("/busy", {"allow": 40})
    assert sum(sum(actions.values()) for actions in routes.values()) == 120
    assert [*routes][-1] == "other"


def test_a_long_timeline_is_told_by_the_day_and_nothing_is_lost() -> None:
    judge = Judge([Policy.short(block=["CN"])], Database.open())
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (GB, None, begin + timedelta(hours=hour), "GET", "/", None, "http", None, 200)
        for hour in range(counting.MOST_TIMES + 25)
    ]
    found = counting.Counting()
    found.add(judge.judge(pl.DataFrame(rows, FRAME, orient="row")))
    timeline = found.summary(["policy"]).policies[0].timeline
    assert next(iter(timeline.items())) == ("2026-01-01", {"allow": 24})
    assert sum(each["allow"] for each in timeline.values()) == len(rows)


@pytest.mark.parametrize("number", [500, 20_000, 600_000])
def test_distinct_clients_are_estimated_within_three_percent(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST_CLIENTS", 100)
    clients = counting.Clients()
    hashes = pl.Series(range(number)).cast(pl.String).hash()
    frame = pl.DataFrame({"policy": 0, "action": 0, "client": hashes}, judging.CLIENTS)
    for part in frame.iter_slices(50_000):
        clients.add(part)
    assert math.isclose(clients.count(0), number, rel_tol=0.03)
    assert clients.count(0, 0) == clients.count(0)
    assert clients.count(0, 1) == 0


def test_there_are_never_more_clients_than_requests_however_they_are_estimated() -> None:
    hashes = pl.Series(range(9)).cast(pl.String).hash()  # as an estimate would have it
    clients = pl.DataFrame({"policy": 0, "action": 0, "client": hashes}, judging.CLIENTS)
    found = counting.Counting()
    found.add(judging.Counted(2, None, None, pl.DataFrame(schema=judging.ROWS), clients))
    summary = found.summary(["policy.toml"])
    assert summary.clients == 2
    assert summary.policies[0].clients["allow"] == 0  # no row tells of a request
