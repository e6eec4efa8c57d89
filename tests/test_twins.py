"""The gates of both cores, side by side over random policies and requests: same answer, same count."""

from __future__ import annotations

import json
import random
from array import array
from types import ModuleType
from typing import Any

import pytest

from georestrict import Database
from georestrict._core import (
    BY_CHAIN,
    BY_PATH,
    BY_PEER,
    BY_SINGLE,
    FORWARDED,
    LIST,
    PLAIN,
    PLAIN_PRIVATE,
    SLOW,
    WEBSOCKET,
    _python,
)
from tests.conftest import CORES

TWINS = [_python, *(core for core in CORES if core is not _python)]

ROUNDS, REQUESTS = 60, 200

ADDRESSES = [
    "81.2.69.142", "81.2.69.200", "175.16.199.1", "89.160.20.112", "52.95.110.1", "2001:218::1", "10.0.0.5",
    "10.255.255.255", "11.0.0.0", "9.255.255.255", "fd00::7", "fe00::", "::ffff:10.0.0.5", "::FFFF:0a00:5", "::1",
    "2002:5102:458e::1", "64:ff9b::5102:458e", "1.1.1.1", "::", "255.255.255.255", "0.0.0.0", "2001:218:0:0::ffff",
]  # fmt: skip
JUNK = [
    "", " ", "junk", "unknown", "81.2.69.142:80", "[2001:218::1]", "81.2.69", "081.2.69.142", "81.2.69.142 x", "fe80::1%1",
    "81.2.69.142\0", "8" * 50, "\xff", "81.2.69.142\x0b", "１.2.3.4", "::1.2.3.4.5", ":", "unix:",
]  # fmt: skip
PATHS = ["/", "/a", "/a/b", "/admin", "/healthz", "/%61", "", "/é", "/x" * 300, "a"]
ODD: list[Any] = [None, 7, b"x", (), [], {}, True, 1.5]


class Text(str):
    """Text that is not exactly ``str``."""


def pick(spread: random.Random, *choices: Any) -> Any:
    return spread.choice(choices)


def peer(spread: random.Random) -> Any:
    kind = spread.random()
    if kind < 0.4:  # a proxy, so that headers are read
        return "10.0.0.5"
    if kind < 0.8:
        return spread.choice(ADDRESSES)
    return spread.choice(JUNK) if kind < 0.95 else pick(spread, Text("81.2.69.142"), *ODD)


def chain(spread: random.Random) -> str:
    entries = []
    for _ in range(pick(spread, 0, 1, 1, 2, 3, 3, 5, 63, 64, 65, 700)):
        entry = spread.choice(ADDRESSES if spread.random() < 0.9 else JUNK)
        entries.append(
            pick(spread, "", "", " ", "\t", "  ") + entry + pick(spread, "", "", " ", "\t ")
        )
    if spread.random() < 0.5:  # hops that are trusted, so that the walk goes on
        entries += ["10.0.0.5"] * pick(spread, 1, 2, 61, 62, 63, 64)
    comma: str = pick(spread, ",", ",", ", ")
    return comma.join(entries)


def forwarded(spread: random.Random) -> str:
    """A chain in the grammar of RFC 7239, now and then against it."""
    elements = []
    for entry in chain(spread).split(","):
        node = entry.strip(" \t")
        node = f"[{node}]" if ":" in node and spread.random() < 0.9 else node
        node += pick(spread, "", "", ":80", ":_x", ":99999")
        quoted = f'"{node}"' if spread.random() < 0.85 else node
        elements.append(
            pick(
                spread,
                "",
                "proto=https;",
                "by=_x; ",
                'host="a,b";',
                'x="\\"";',
                "for=1.1.1.1;",
                '"',
            )
            + pick(spread, "for=", "For=", "for=", "for =", "")
            + quoted
            + pick(spread, "", "", ";proto=http", ";", " ", '"', "\\")
            if spread.random() < 0.2
            else f"for={quoted}"
        )
    return ", ".join(elements)


def some(spread: random.Random, request: dict[str, Any]) -> dict[str, Any]:
    """The request, now and then without one of its keys or with something odd there."""
    if spread.random() < 0.1:
        key = spread.choice([*request])
        del request[key]
        if spread.random() < 0.7:
            request[key] = spread.choice(ODD)
    return request


def scope(spread: random.Random) -> Any:
    headers: list[Any] = [(b"host", b"x"), (b"accept", b"*/*")]
    xff = pick(
        spread,
        *[b"x-forwarded-for"] * 6,
        b"X-FORWARDED-for",
        b"x_forwarded_for",
        b"x-forwarded-fo\xf2",
    )
    names = [xff, pick(spread, b"forwarded", b"forwarded", b"Forwarded")]
    for name in names + [name for name in names if spread.random() < 0.05]:
        text = forwarded(spread) if len(name) == 9 else chain(spread)
        value = text.encode("latin-1", "replace")
        pair = pick(
            spread,
            *[(name, value)] * 60,
            *[[name, value]] * 9,
            (name,),
            (name, value, b""),
            (name, None),
            None,
        )
        headers.insert(spread.randrange(len(headers) + 1), pair)
    path = spread.choice(PATHS)
    host = peer(spread)
    return some(spread, {
        "type": pick(spread, *["http"] * 9, "websocket", "lifespan", Text("http")),
        "method": pick(spread, "GET", "GET", "POST", "websocket", "", Text("GET"), None),
        "client": pick(spread, *[(host, 1)] * 9, [host, 1], (host,), None),
        "server": pick(spread, ("127.0.0.1", 80), ("/run/app.sock", None), ["/x", None], ("x", None), None),
        "headers": headers if spread.random() < 0.8 else tuple(headers),
        "path": path,
        "raw_path": path.encode() if spread.random() < 0.8 else spread.choice(PATHS).encode(),
        "root_path": pick(spread, "", "", "", "/mount"),
    })  # fmt: skip


def environ(spread: random.Random) -> Any:
    path = spread.choice(PATHS)
    sent = (path if spread.random() < 0.8 else spread.choice(PATHS)) + pick(
        spread, "", "", "?", "?q", "x", "\xe9"
    )
    return some(spread, {
        "REMOTE_ADDR": peer(spread),
        "REQUEST_METHOD": pick(spread, "GET", "GET", "POST", "", Text("GET"), None),
        "HTTP_X_FORWARDED_FOR": chain(spread),
        "HTTP_FORWARDED": forwarded(spread),
        "PATH_INFO": path,
        "RAW_URI": pick(spread, sent, sent, "", None),
        "REQUEST_URI": pick(spread, sent, "", "/a"),
        "SCRIPT_NAME": pick(spread, "", "", "", "/mount"),
    })  # fmt: skip


def way_of(core: ModuleType, spread: random.Random) -> Any:
    """A way that a strategy could ask for; None now and then."""
    trusted = pick(
        spread, None, core.Trusted([]), core.Trusted(TRUSTED[:1]), *[core.Trusted(TRUSTED)] * 5
    )
    unix, count = spread.random() < 0.3, pick(spread, 0, 0, 0, 1, 2, 5)
    return pick(
        spread,
        *[core.Way(BY_PEER)] * 3,
        *[core.Way(BY_CHAIN, b"X-Forwarded-For", LIST, trusted, count, unix)] * 4,
        *[core.Way(BY_CHAIN, b"forwarded", FORWARDED, trusted, count, unix)] * 4,
        *[core.Way(BY_SINGLE, b"x-forwarded-for", LIST, trusted)] * 2,
        None,
    )


def gate_of(core: ModuleType, face: str, database: Database, seed: int) -> tuple[Any, list[Any]]:
    """A gate with random marks, routes and trusted spans, and its tallies; alike for a seed."""
    spread = random.Random(seed)
    meta = json.loads(bytes(database._image.section("meta")))
    count = len(meta["classes"])
    table = core.Table(database._image.section("cells"), *meta["roots"], count)
    verdicts = count // 2
    kinds = bytes(
        pick(spread, SLOW, *[PLAIN, PLAIN_PRIVATE] * 3, BY_PATH, BY_PATH) for _ in range(verdicts)
    )
    verdict_of = array("H", (spread.randrange(verdicts) for _ in range(count)))
    tallies = [core.Tally(f"verdict {number}") for number in range(verdicts)]
    decisions = [
        pick(spread, None, f"class {number}", f"class {number}")
        for number in range(pick(spread, count, count, count // 2))
    ]
    by_path = [
        pick(spread, None, *[[pick(spread, None, (core.Tally(f"{number} by {route}"), f"{number}, {route}"))
                              for route in range(3)]] * 3)
        for number in range(pick(spread, count, count, count // 2))
    ]  # fmt: skip
    keys = pick(spread, [""], [""], ["GET", WEBSOCKET], ["websocket"], ["POST"])
    routes = {
        key: {path: spread.randrange(-1, 4) for path in PATHS if spread.random() < 0.8}
        for key in keys
    }
    passes = core.Passes(table, verdict_of, kinds, tallies, decisions, by_path, routes)
    period = pick(spread, None, None, None, None, (0, 1 << 62), (0, 1))
    if period is not None:
        passes.hold(*period)
    gate = getattr(core, f"{face}Gate")()
    gate.open_gate(
        lambda request, *_: ("app", request.get("georestrict")),
        lambda *_: ("slow", None),
        core.Current(passes),
        spread.random() < 0.5,
        way_of(core, spread),
    )
    known = (pair for routes in by_path if routes for pair in routes if pair)
    return gate, [*tallies, *(tally for tally, _ in known)]


TRUSTED = [(4, 10 << 24, (11 << 24) - 1), (6, 0xFD << 120, (0xFE << 120) - 1)]


@pytest.mark.parametrize(
    ("face", "make"), [("Asgi", scope), ("Wsgi", environ)], ids=["asgi", "wsgi"]
)
def test_the_gates_of_both_cores_let_the_same_through(tiny: Database, face: str, make: Any) -> None:
    passed = slow = 0
    for seed in range(ROUNDS):
        gates = [gate_of(core, face, tiny, seed) for core in TWINS]
        spread = random.Random(f"{face} {seed}")
        for _ in range(REQUESTS):
            request = make(spread)
            rest = (None,) * (2 if face == "Asgi" else 1)
            admitted = [gate.admitted(request) for gate, _ in gates]
            assert all(each == admitted[0] for each in admitted), request
            answers = [gate(dict(request), *rest) for gate, _ in gates]
            assert all(each == answers[0] for each in answers), request
            assert admitted[0] is not None or answers[0][0] == "slow"  # so do samples of the others
            passed, slow = passed + (admitted[0] is not None), slow + (admitted[0] is None)
        counts = [[tally.count for tally in tallies] for _, tallies in gates]
        assert all(each == counts[0] for each in counts)
    assert min(passed, slow) > ROUNDS * REQUESTS // 20, (passed, slow)


@pytest.mark.parametrize("request_", [None, 7, [], "http"])
@pytest.mark.parametrize("face", ["Asgi", "Wsgi"])
def test_what_is_no_dictionary_goes_the_slow_way(tiny: Database, face: str, request_: Any) -> None:
    for core in TWINS:
        gate, _ = gate_of(core, face, tiny, 1)
        assert gate.admitted(request_) is None
