"""``georestrict explain-event``: events in plain words."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from georestrict import Action, Category, Code, Reason
from georestrict.address import AddressReason
from georestrict.cli import main
from georestrict.location import Status
from georestrict.networks import Confidence
from georestrict.observe import Event, Kind, sentences

pytestmark = pytest.mark.once

BLOCKED: dict[str, Any] = {
    "time": datetime(2026, 11, 23, 4, 26, 31, tzinfo=UTC),
    "kind": Kind.DECISION,
    "action": Action.BLOCK,
    "reason": Reason.COUNTRY,
    "rule": "block",
    "code": Code.COUNTRY,
    "country": "KP",
    "status": Status.KNOWN,
    "address": "175.45.176.0/24",
    "client": AddressReason.PEER,
    "data": date(2026, 6, 17),
    "policy": "policy.toml",
    "snapshot": "0123456789ab",
    "method": "GET",
    "path": "/v1/models",
    "protocol": "http",
}


def event(**more: Any) -> Event:
    return Event(**(BLOCKED | more))


def test_a_block_is_told_as_a_sentence() -> None:
    assert sentences(event()) == (
        "On 2026-11-23 at 04:26:31 UTC a GET of /v1/models was blocked: the address appears to be "
        'in North Korea (KP); the rule "block" decided, by the country; the network is '
        "175.45.176.0/24, and it is that of the connection; the data about countries is of "
        "2026-06-17. The policy was policy.toml (snapshot 0123456789ab)."
    )


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"action": Action.WARN}, "was let through with a warning: the address"),
        (
            {"action": Action.ALLOW, "would": Action.BLOCK},
            "was let through in a dry run, and would have been blocked: the",
        ),
        (
            {"action": Action.ALLOW, "would": Action.WARN},
            "was let through in a dry run, and would have been let through with a warning: the",
        ),
        (
            {"action": Action.WARN, "would": Action.BLOCK, "emergency": True},
            "let through with a warning, by the emergency switch, instead of blocked",
        ),
        (
            {"action": Action.ALLOW, "counted": ("a", "b"), "rule": None},
            'was let through and counted: the address appears to be in North Korea (KP); no rule',
        ),
        ({"counted": ("seen",)}, 'counted by the rule "seen"'),
        ({"counted": ("a", "b")}, 'counted by the rules "a", "b"'),
        ({"rule": None, "reason": Reason.DEFAULT}, "no rule matched, and the policy's default"),
        (
            {"rule": None, "reason": Reason.UNKNOWN, "country": None, "status": Status.UNKNOWN},
            "the address is a public one, and the data knows no country of it; the policy's "
            "fallback for such addresses (unknown) decided",
        ),
        (
            {"country": None, "status": Status.UNRESOLVED, "address": None,
             "client": AddressReason.HEADER_MISSING},
            "the client's address could not be told",
        ),
        ({"rule": None, "reason": Reason.ERROR}, "deciding failed, which is a defect"),
        ({"rule": None, "reason": Reason.PREFLIGHT}, "a CORS preflight"),
        ({"reason": Reason.CATEGORY}, "by what the network is used for"),
        ({"subdivision": "KP-01"}, "appears to be in North Korea (KP-01)"),
        ({"country": "XK"}, "(XK)"),
        ({"country": "QZ"}, "appears to be in QZ;"),
        ({"status": None, "country": None}, "nothing was told of the address"),
        (
            {"categories": {Category.VPN: Confidence.HIGH, Category.HOSTING: Confidence.LOW}},
            "its network is known for vpn (high confidence), hosting (low confidence)",
        ),
        ({"lists": ("a", "b")}, "it is on the lists a, b"),
        ({"lists": ("a",)}, "it is on the list a;"),
        ({"via": "6to4"}, "as IPv6, it carries the IPv4 address that was judged (6to4)"),
        ({"stale": ("country",)}, "past the policy's limit of age: country"),
        ({"address": "0" * 32}, f"the address has the digits {'0' * 32}"),
        ({"address": "175.45.176.1"}, "the address is 175.45.176.1"),
        ({"protocol": "websocket", "path": "/live"}, "a WebSocket of /live was blocked"),
        ({"host": "api.example.com"}, "a GET of /v1/models at api.example.com was blocked"),
        ({"path": None, "route": "/users/{}"}, "a GET of /users/{} was blocked"),
        ({"path": None, "method": None}, "UTC a request was blocked"),
        ({"sampled": 100.0}, "It is one of a sample, and stands for 100 allowed requests."),
        ({"request": "4f2a"}, "Its id is 4f2a."),
        ({"account": "00ff"}, "The account is 00ff."),
        ({"suppressed": 1}, "Before it, 1 event was left out by the limit."),
        ({"suppressed": 1200}, "Before it, 1,200 events were left out by the limit."),
        (
            {"kind": Kind.COUNTS, "count": 1204},
            "Until 2026-11-23 at 04:26:31 UTC, 1,204 more requests were blocked, without an event "
            "of their own: the addresses appear to be in North Korea (KP); the rule",
        ),
        (
            {"kind": Kind.COUNTS, "count": 1, "action": Action.ALLOW, "rule": None},
            "1 more request was let through, without an event of its own: the address appears",
        ),
        (
            {"kind": Kind.FLAGGED, "count": 0, "account": "00ff"},
            "UTC the account 00ff was flagged, since as many of its requests were blocked",
        ),
        ({"kind": Kind.FLAGGED, "count": 0}, "UTC an account was flagged"),
    ],
)  # fmt: skip
def test_each_field_has_its_words(more: dict[str, Any], part: str) -> None:
    assert part in sentences(event(**more))


def test_every_code_has_words() -> None:
    for found, status, why in product(AddressReason, Status, Reason):
        country = "KP" if status is Status.KNOWN else None
        text = sentences(event(client=found, status=status, country=country, reason=why, rule=None))
        assert text.startswith("On 2026-11-23")
        assert "None" not in text


@given(st.text(min_size=1))
def test_text_of_a_request_is_fit_for_a_terminal_and_nobody_is_said_to_be_anywhere(
    text: str,
) -> None:
    said = sentences(event(path=text, host=text, method=text, request=text, account=text))
    assert said.isprintable()
    assert "you are in" not in sentences(event()).casefold()
    assert "is in North Korea" not in said


def test_the_command_reads_files_and_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f"{event().as_json()}\n\n{event(country='CU').as_json()}", encoding="utf-8")
    done = CliRunner().invoke(main, ["explain-event", str(path)])
    assert done.exit_code == 0
    assert [line.partition("appears to be in ")[2][:9] for line in done.output.splitlines()] == [
        "North Kor",
        "Cuba (CU)",
    ]
    for arguments in (["explain-event", "-"], ["explain-event"]):
        again = CliRunner().invoke(main, arguments, input=path.read_bytes())
        assert again.output == done.output


def test_lines_that_are_no_events_are_named_and_the_others_told(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = event().as_json().encode()
    path.write_bytes(
        b"\n".join([good, b"INFO: hello", b'{"event": 1}', b"\xff\xfe", b"x" * 3_000_000, good])
    )
    done = CliRunner().invoke(main, ["explain-event", str(path)])
    assert done.exit_code == 1
    assert done.stdout.count("North Korea") == 2
    told = done.stderr.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in told] == [
        f"{path}:2",
        f"{path}:3",
        f"{path}:4",
        f"{path}:5",
    ]
    assert told[1].endswith("time is missing")
    assert told[3].endswith("is longer than 1,048,576 bytes, and no event")


def test_a_file_that_is_not_there_is_an_error() -> None:
    done = CliRunner().invoke(main, ["explain-event", "missing.jsonl"])
    assert done.exit_code == 2
    assert "missing.jsonl" in done.stderr
