"""The emergency switch: blocks become warnings while a file exists (H10)."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from georestrict import Action, Engine, Policy
from georestrict.emergency import VARIABLE, Emergency
from georestrict.testing import tiny_database
from tests.web import Request, through_asgi, through_wsgi

DATA = tiny_database({"175.16.199.0/24": "CN", "81.2.69.0/24": "GB"})
CHINA, BRITAIN = "175.16.199.1", "81.2.69.142"
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()


class Clock:
    """Two clocks that move when the test says so."""

    def __init__(self) -> None:
        self.now, self.steady = NOON, 100.0

    def look_again(self) -> None:
        """Let half a second pass on the steady clock."""
        self.steady += 0.5


def mapping(**more: Any) -> dict[str, Any]:
    rule = {"name": "no-cn", "action": "block", "countries": ["CN"]}
    return {"default": "allow", "contact": "https://example.com/x", "rules": [rule], **more}


def switch(path: Path) -> tuple[Emergency, Clock]:
    clock = Clock()
    return Emergency(path, lambda: clock.steady), clock


def test_h10_the_switch_is_on_while_the_file_exists_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    emergency, clock = switch(tmp_path / "on")
    assert not emergency.is_on(clock.now)
    (tmp_path / "on").touch()
    assert not emergency.is_on(clock.now)  # looked at a moment ago
    clock.look_again()
    for _ in range(3):
        assert emergency.is_on(clock.now)
        clock.look_again()
    (tmp_path / "on").unlink()
    clock.look_again()
    assert not emergency.is_on(clock.now)
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in told] == [
        "emergency switch on",
        "emergency switch off",
    ]
    assert f"until {tmp_path / 'on'} is removed" in told[0]
    assert "the file is gone" in told[1]


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01T13:00:00+01:00  # until noon\n",
        "\n2026-12-01 12:00:00Z",
        "\ufeff2026-12-01 12:00:00+00:00",
    ],
    ids=["RFC 3339 and a comment", "as date --rfc-3339 has it", "a byte order mark"],
)
def test_h10_the_switch_ends_at_the_time_in_the_file(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "on").write_text(text)
    emergency, clock = switch(tmp_path / "on")
    assert [emergency.is_on(NOON - 1), emergency.is_on(NOON), emergency.is_on(NOON + 1)] == [
        True, False, False,
    ]  # fmt: skip
    assert "blocks are warnings until 2026-12-01T12:00:00+00:00" in caplog.text
    assert "its time is over (2026-12-01T12:00:00+00:00)" in caplog.text
    (tmp_path / "on").write_text("2026-12-01T14:00:00Z")
    clock.look_again()
    assert emergency.is_on(NOON + 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"tomorrow", "Invalid isoformat"),
        (b"2026-12-01T13:00:00", "has no offset; add Z"),
        (b"9999-12-31T23:59:59-05:00", "out of range"),
        (b"0001-01-01T00:00:00+14:00", "out of range"),
        (b"\xff\xfe", "can't decode"),
        (b"9" * 5000, "month must be in"),
    ],
    ids=["no time", "a naive time", "after the calendar", "before it", "no text", "too long"],
)
def test_a_file_that_says_no_time_is_on_until_it_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, reason: str
) -> None:
    (tmp_path / "on").write_bytes(content)
    emergency, clock = switch(tmp_path / "on")
    assert emergency.is_on(clock.now)
    assert emergency.is_on(clock.now + 1e9)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert reason in record.getMessage()
    assert "write a time such as" in record.getMessage()


def test_what_cannot_be_read_is_on_that_is_said_once_and_it_is_read_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    on = tmp_path / "on"
    on.mkdir()
    emergency, clock = switch(on)
    for _ in range(3):
        assert emergency.is_on(clock.now)
        clock.look_again()
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
    on.rmdir()
    on.write_text("2026-12-01T11:00:00Z")  # an hour ago
    clock.look_again()
    assert not emergency.is_on(clock.now)


@pytest.mark.parametrize(
    "name", ["file/on", "x" * 300], ids=["below what is no folder", "a name that is too long"]
)
def test_a_file_that_cannot_be_looked_at_is_off_and_that_is_said_once(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    emergency, clock = switch(tmp_path / name)
    for _ in range(3):
        assert not emergency.is_on(clock.now)
        clock.look_again()
    assert len(caplog.records) == 1
    assert "the switch is off" in caplog.text


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["ASGI", "WSGI"])
@pytest.mark.parametrize("case", ["a rule", "a fallback"])
def test_h10_a_block_becomes_a_warning_that_says_what_it_would_have_been(
    tmp_path: Path, through: Any, case: str
) -> None:
    engine = Engine(mapping(emergency_file=str(tmp_path / "on")), database=DATA)
    request = Request(peer=CHINA if case == "a rule" else "junk")
    (tmp_path / "on").touch()
    answer = through(request, engine=engine)
    assert answer.served
    assert "georestrict-warning" in answer.headers
    decision = answer.decision
    assert (decision.action, decision.would, decision.emergency) == (
        Action.WARN,
        Action.BLOCK,
        True,
    )
    assert decision.rule == ("no-cn" if case == "a rule" else None)
    assert through(Request(peer=BRITAIN), engine=engine).decision is None
    assert engine.counts[engine.decide(request.peer)] == 1


def test_a_decision_that_fails_is_a_warning_as_well(tmp_path: Path) -> None:
    class Failing:
        def resolve(self, peer: object, headers: object) -> Any:
            raise RuntimeError("a defect")

    engine = Engine(mapping(emergency_file=str(tmp_path / "on")), database=DATA)
    (tmp_path / "on").touch()
    assert through_asgi(Request(), engine=engine, client=Failing()).served


def test_a_clock_that_fails_blocks_and_never_raises() -> None:
    def clock() -> float:
        raise OSError("no time")

    engine = Engine(mapping(emergency_file="/nonexistent/on"), database=DATA, clock=clock)
    assert through_wsgi(Request(peer=CHINA), engine=engine).status == 503
    assert through_wsgi(Request(peer=BRITAIN), engine=engine).served


def test_the_environment_names_the_file_unless_the_policy_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "environment"))
    (tmp_path / "environment").touch()
    assert Engine(mapping(), database=DATA).decide(CHINA).emergency
    of_policy = mapping(emergency_file=str(tmp_path / "policy"))
    assert VARIABLE not in caplog.text
    assert not Engine(of_policy, database=DATA).decide(CHINA).emergency
    assert f"that of {VARIABLE} is not looked at" in caplog.text


def test_a_path_in_a_policy_file_is_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('default = "allow"\nemergency_file = "here/on"\n')
    assert Policy.load(tmp_path / "p.toml").emergency_file == tmp_path / "here" / "on"


def test_a_dry_run_stays_one(tmp_path: Path) -> None:
    engine = Engine(mapping(mode="dry-run", emergency_file=str(tmp_path)), database=DATA)
    decision = engine.decide(CHINA)
    assert (decision.action, decision.would, decision.emergency) == (
        Action.ALLOW,
        Action.BLOCK,
        False,
    )


def test_a_time_to_judge_by_counts_for_the_switch_too_and_is_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "on").write_text("2026-12-01T12:00:00Z")
    engine = Engine(mapping(emergency_file=str(tmp_path / "on")), database=DATA)
    caplog.clear()
    for second, emergency in ((-1, True), (0, False), (-1, True)):
        at = datetime.fromtimestamp(NOON + second, UTC)
        assert engine.decide(CHINA, at=at).emergency is emergency
    assert not caplog.records


def test_a_reload_does_not_tell_the_same_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "on").touch()
    engine = Engine(mapping(emergency_file=str(tmp_path / "on")), database=DATA)
    for _ in range(3):
        assert engine.decide(CHINA).emergency
        engine.reload()
    assert caplog.text.count("emergency switch on") == 1


def test_h10_the_switch_takes_effect_soon(tmp_path: Path) -> None:
    """With the real clocks; the file is looked at every half second. The limit is for a hang."""
    engine = Engine(mapping(emergency_file=str(tmp_path / "on")), database=DATA)
    on = tmp_path / "on"
    for change in (on.touch, on.unlink):
        before = engine.decide(CHINA).action
        change()
        start = time.monotonic()
        while engine.decide(CHINA).action is before:
            assert time.monotonic() - start < 60
