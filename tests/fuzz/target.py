"""What must hold for any bytes at all: the check that the fuzzer runs, and that seeds replay.

An input is text in lines, so that a seed can be read: the first names a question, the others are
``key=value``. Within a value the byte 0x1e stands for a newline and 0x1f for 1,000 spaces. Values of a scope or an environ
say their type by their first character; see :data:`KINDS`.

The answers are held against plain models (``ipaddress``, a split at commas), against what must be
true of any answer, and, where the compiled core serves, against the plain Python one: the package
is loaded twice, once on each core, and both must say the same.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote

import georestrict
from georestrict._core import (
    ALL_TRUSTED,
    EMPTY,
    FORWARDED,
    LIST,
    MALFORMED,
    MOST_ENTRIES,
    TOO_FEW,
    UNKNOWN,
)
from georestrict.paths import PathPatterns, checked_pattern, is_normal
from georestrict.policy import Words
from georestrict.request import Request
from georestrict.routes import Routes

TRUSTED = ("10.0.0.0/8", "fd00::/8")
NETWORKS = [ip_network(text) for text in TRUSTED]
PROXY = "10.0.0.5"
POLICY = {
    "default": "allow",
    "contact": "https://example.com/contact",
    "rules": [
        {"name": "health", "action": "allow", "countries": ["SE", "JP"], "paths": ["/healthz"]},
        {"name": "admin", "action": "block", "countries": ["SE"], "paths": ["/admin/*"]},
        {"name": "files", "action": "warn", "countries": ["SE"], "paths": ["/f/*/x"]},
        {"name": "tor", "action": "block", "categories": ["tor"]},
        {"name": "net", "action": "block", "networks": ["81.2.69.128/30", "2001:218:0:1::/64"]},
        {"name": "cn", "action": "block", "countries": ["CN"]},
        {"name": "jp", "action": "warn", "countries": ["JP"]},
    ],
}
COUNTRIES = {
    "81.2.69.0/24": "GB",
    "175.16.199.0/24": "CN",
    "89.160.20.0/24": "SE",
    "2001:218::/32": "JP",
}
KINDS: dict[bytes, Callable[[str], Any]] = {
    b"s": str,
    b"b": lambda text: text.encode("utf-8", "surrogateescape"),
    b"p": lambda text: (text, 1),
    b"u": lambda text: (text, None),
    b"l": lambda text: [text, 1],
    b"t": lambda text: (text,),
    b"e": lambda text: (),
    b"n": lambda text: None,
    b"i": len,
    b"o": lambda text: SimpleNamespace(),
}
Fields = list[tuple[bytes, bytes]]
Address = IPv4Address | IPv6Address


class Side:
    """The package on one core."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self.core = modules["georestrict._core"]
        self.address = modules["georestrict.address"]
        self.asgi, self.wsgi = modules["georestrict.asgi"], modules["georestrict.wsgi"]
        address = self.address
        self.diagnosis = modules["georestrict.diagnose"].Diagnosis
        self.spans = self.core.Trusted([self.core.parse_network(text) for text in TRUSTED])
        self.strategies = {
            "peer": address.Peer(),
            "list": address.TrustedProxies(*TRUSTED),
            "list, unix": address.TrustedProxies(*TRUSTED, unix=True),
            "forwarded": address.TrustedProxies(*TRUSTED, header="forwarded"),
            "hop": address.TrustedHops(1),
            "two hops": address.TrustedHops(2, TRUSTED),
            "single": address.SingleHeader("X-Real-IP", TRUSTED),
        }
        database = modules["georestrict.testing"].tiny_database(
            COUNTRIES, {"81.2.69.200/32": "tor:high:Tor"}
        )
        self.engine = modules["georestrict"].Engine(POLICY, database=database)
        self.on_asgi = {
            name: self.asgi.GeoRestrictMiddleware(_asgi_app, engine=self.engine, client=strategy)
            for name, strategy in self.strategies.items()
        }
        self.on_wsgi = {
            name: self.wsgi.GeoRestrictMiddleware(_wsgi_app, engine=self.engine, client=strategy)
            for name, strategy in self.strategies.items()
        }


def _sides() -> list[Side]:
    sides = [Side(_modules())]
    if georestrict.BACKEND == "compiled":
        sides.append(_on_the_plain_core())
    return sides


def _modules() -> dict[str, ModuleType]:
    rooms = ("_core", "address", "asgi", "diagnose", "wsgi", "testing")
    names = ["georestrict", *(f"georestrict.{room}" for room in rooms)]
    return {name: importlib.import_module(name) for name in names}


def _on_the_plain_core() -> Side:
    """Import the package a second time; afterwards all is as it was.

    What it imports late must be of the same copy, so it is used once before that.
    """
    environment = os.environ.copy()
    first = _forget()
    os.environ["GEORESTRICT_BACKEND"] = "python"
    try:
        return Side(_modules())
    finally:
        os.environ.clear()
        os.environ.update(environment)
        _forget()
        sys.modules.update(first)


def _forget() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "georestrict"]
    return {name: sys.modules.pop(name) for name in names}


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    scope["served"] = True


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    environ["served"] = True
    start_response("200 OK", [])
    return []


SIDES = _sides()


def check(data: bytes) -> bool:
    """Ask what an input asks, and hold the answers against what must be true; False: no question.

    Raises:
        AssertionError: if they are wrong.
    """
    name, _, rest = data.partition(b"\n")
    question = QUESTIONS.get(name)
    if question is None:
        return False
    question(rest)
    return True


def _fields(rest: bytes) -> Fields:
    pairs = (line.partition(b"=") for line in rest.split(b"\n"))
    return [
        (key, value.replace(b"\x1e", b"\n").replace(b"\x1f", b" " * 1000))
        for key, _, value in pairs
    ]


def _all(fields: Fields, wanted: bytes) -> list[bytes]:
    return [value for key, value in fields if key == wanted]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _number(fields: Fields, key: bytes, most: int) -> int:
    found = _all(fields, key)
    return min(int(found[0]), most) if found and re.fullmatch(rb"[0-9]{1,6}", found[0]) else 0


# --- Addresses ----------------------------------------------------------------------------------


def _plain(text: str) -> Address | None:
    """The model: what ``ipaddress`` reads, without zones, and with mapped addresses unwrapped."""
    if "%" in text:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _told(found: Any) -> Address | int | None:
    """An answer of the core as an address, or as what it told instead."""
    if not isinstance(found, tuple):
        return None if found is None else int(found)
    version, value = found
    return IPv4Address(value) if version == 4 else IPv6Address(value)


def _is_trusted(address: object) -> bool:
    return isinstance(address, Address) and any(address in network for network in NETWORKS)


def _ask_address(rest: bytes) -> None:
    for text in {_text(rest), rest.decode("latin-1")}:
        expected = _plain(text)
        for side in SIDES:
            assert _told(side.core.parse_address(text)) == expected
            if expected is not None:  # its own text means the same
                assert _told(side.core.parse_address(str(expected))) == expected
            peer = side.address.Peer().resolve(text, [])
            zoned = _plain(text.partition("%")[0]) if text[:4].lower() == "fe80" else None
            assert peer.address == (expected if expected is not None else zoned)
            assert side.engine.decide(text).reason != "error"


_HOP = re.compile(rb"\[([^\]]*:[^\]]*)\](?::(.*))?|([^:\[][^:]*):(.*)", re.DOTALL)


def _hop(entry: bytes) -> Address | int:
    """The model of an entry of a list."""
    entry = entry.strip(b" \t")
    if not entry:
        return EMPTY
    if entry.lower() == b"unknown" or entry[:1] == b"_":
        return UNKNOWN
    found = _plain(entry.decode("latin-1"))
    match = _HOP.fullmatch(entry)
    if found is None and match is not None:
        six, port6, four, port4 = match.groups()
        port = port6 if four is None else port4
        if port is None or (re.fullmatch(rb"[0-9]{1,5}", port) and int(port) <= 65535):
            found = _plain((six if four is None else four).decode("latin-1"))
    return MALFORMED if found is None else found


def _ask_entry(rest: bytes) -> None:
    expected = _hop(rest)
    for side in SIDES:
        assert _told(side.core.parse_entry(rest)) == expected


# --- Chains -------------------------------------------------------------------------------------

# Text whose quotes are closed and whose backslashes are in quotes, as whoever appends to Forwarded
# by its grammar writes it.
_BALANCED = re.compile(rb'(?:[^"\\]|"(?:[^"\\]|\\.)*+")*+', re.DOTALL)


def _walk(chain: bytes, count: int, trusting: bool) -> Address | int:
    """The model of a walk over a short list."""
    for number, entry in enumerate(reversed(chain.split(b",")), 1):
        if count in (0, number):
            found = _hop(entry)
            if isinstance(found, int) or count or not (trusting and _is_trusted(found)):
                return found
    return TOO_FEW if count else ALL_TRUSTED


def _ask_chain(rest: bytes) -> None:
    fields = _fields(rest)
    chain = b",".join(_all(fields, b"chain"))
    grammar = FORWARDED if _all(fields, b"forwarded") else LIST
    whole, count = not _all(fields, b"cut"), _number(fields, b"count", MOST_ENTRIES)
    for trusting in (True, False):
        answers = [
            _told(
                side.core.find_client(
                    chain, whole, grammar, side.spans if trusting else None, count
                )
            )
            for side in SIDES
        ]
        assert answers.count(answers[0]) == len(answers), answers
        if trusting and count == 0:
            assert not _is_trusted(answers[0])
        if grammar == LIST and whole and chain.count(b",") < MOST_ENTRIES:
            assert answers[0] == _walk(chain, count, trusting)


def _ask_resolve(rest: bytes) -> None:
    """Strategies: prefix independence (A31), canonical results, never a proxy's, never raising."""
    fields = _fields(rest)
    peer = _text((_all(fields, b"peer") or [PROXY.encode()])[0])
    real = b"\n".join(_all(fields, b"real"))
    sent = _all(fields, b"sent")
    if sent:
        sent[0] *= max(1, min(_number(fields, b"times", 20_000), 20_000 // (len(sent[0]) or 1)))
    for name in SIDES[0].strategies:
        header = {"forwarded": b"Forwarded", "single": b"x-real-ip"}.get(name, b"X-Forwarded-For")
        joined = [*sent[:-1], sent[-1] + b", " + real] if sent else [real]
        told = []
        for side in SIDES:
            results = [
                side.strategies[name].resolve(peer, [(b"host", b"x"), *((header, line) for line in lines)])
                for lines in ([real], [*sent, real], joined, sent)
            ]  # fmt: skip
            _ask_model(name, joined, results[2])
            for result in results:  # what tells a wrong set-up looks at the same headers
                diagnosis = side.diagnosis(side.strategies[name])
                diagnosis.saw(peer, False, [(header, line) for line in joined], result)
            told.append([(result.address, str(result.reason)) for result in results])
        assert told.count(told[0]) == len(told), told
        alone, *others = told[0][:3]
        for address, reason in told[0]:
            assert (address is not None) == (reason in ("peer", "forwarded"))
            if address is not None:
                assert _told(SIDES[0].core.parse_address(str(address))) == address
            if reason == "forwarded" and name in ("list", "list, unix", "forwarded"):
                assert not _is_trusted(address)
        stops = alone[1] not in ("all_trusted", "too_few_hops")
        if name not in ("peer", "single") and stops and sent:
            if name != "forwarded" or _BALANCED.fullmatch(real):
                assert others == [alone, alone], (name, told[0])
        elif name == "single" and alone[1] == "forwarded" and sent:
            assert others[0] == (None, "header_repeated")


def _ask_model(name: str, lines: list[bytes], result: Any) -> None:
    """However long a list: a client that is found is the one that the whole of it tells."""
    counts = {"list": 0, "list, unix": 0, "hop": 1, "two hops": 2}
    if name in counts and result.reason == "forwarded":
        assert result.address == _walk(b",".join(lines), counts[name], True)


# --- The gates ------------------------------------------------------------------------------------


def _ask_scope(rest: bytes) -> None:
    fields = _fields(rest)
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "root_path": "",
        "query_string": b"", "client": (PROXY, 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    _put(scope, fields)
    if "headers" not in scope:
        scope["headers"] = [_header(value) for value in _all(fields, b"header")]
    sound = _is_sound_scope(scope)
    for name in SIDES[0].on_asgi:
        told = []
        for side in SIDES:
            middleware = side.on_asgi[name]
            if sound:  # so that the route of the path is known
                plain = scope["path"].encode("utf-8", "surrogateescape")
                middleware.judge(side.asgi._request, scope | {"raw_path": plain, "root_path": ""})
            seen = _seen(middleware, side.asgi._request, scope, sound)
            if sound:
                assert seen[-1][1] != "error", seen
                _run_asgi(middleware, dict(scope), seen[-1])
            told.append(seen)
        assert told.count(told[0]) == len(told), (name, told)


def _ask_environ(rest: bytes) -> None:
    fields = _fields(rest)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "RAW_URI": "/",
        "QUERY_STRING": "", "REMOTE_ADDR": PROXY, "wsgi.input": BytesIO(),
    }  # fmt: skip
    _put(environ, fields)
    sound = all(
        isinstance(value, str) for key, value in environ.items() if not key.startswith("wsgi.")
    )
    for name in SIDES[0].on_wsgi:
        told = []
        for side in SIDES:
            middleware = side.on_wsgi[name]
            if sound and "PATH_INFO" in environ:
                plain = {"RAW_URI": environ["PATH_INFO"], "SCRIPT_NAME": ""}
                middleware.judge(side.wsgi._request, environ | plain)
            seen = _seen(middleware, side.wsgi._request, environ, sound)
            if sound:
                assert seen[-1][1] != "error", seen
                _run_wsgi(middleware, dict(environ), seen[-1])
            told.append(seen)
        assert told.count(told[0]) == len(told), (name, told)


def _put(where: dict[str, Any], fields: Fields) -> None:
    """Set what an input says of a scope or an environ; a key without a value is taken away."""
    for key, value in fields:
        name = _text(key)
        if name == "header" or not name:
            continue
        if value[:1] in KINDS:
            where[name] = KINDS[value[:1]](_text(value[1:]))
        else:
            where.pop(name, None)


def _header(text: bytes) -> Any:
    """A pair, or, without a colon, one of the forms that no server should send."""
    name, colon, value = text.partition(b":")
    if colon:
        return name, value.removeprefix(b" ")
    odd: list[Any] = [(name,), [name, name], None, (_text(name), name), (name, None), (name, name, name)]  # fmt: skip
    return odd[len(name) % len(odd)]


def _is_sound_scope(scope: dict[str, Any]) -> bool:
    """Whether a scope is one that a server might make."""
    client, server, headers = (scope.get(key) for key in ("client", "server", "headers"))
    return (
        scope.get("type") in ("http", "websocket")
        and isinstance(scope.get("path"), str)
        and isinstance(scope.get("raw_path"), bytes | None)
        and isinstance(scope.get("root_path", ""), str)
        and isinstance(scope.get("method", ""), str)
        and scope.get("extensions") is None
        and (client is None or (isinstance(client, tuple | list) and len(client) == 2))
        and (server is None or (isinstance(server, tuple | list) and len(server) == 2))
        and isinstance(headers, list)
        and all(
            isinstance(pair, tuple | list) and [type(part) for part in pair] == [bytes, bytes]
            for pair in headers
        )
    )


def _seen(
    middleware: Any, read: Callable[[Any], Any], request: dict[str, Any], sound: bool
) -> list[Any]:
    """What the gate and the slow way say, twice, since the second time a route may be known.

    The gate does not look at what it does not need, so where no server may send such a thing, the
    slow way may find it odd.
    """
    seen = []
    for _ in range(2):
        admitted = middleware.admitted(dict(request))
        slow = middleware.judge(read, dict(request)).decision
        if admitted is not None and (sound or slow.reason != "error"):
            assert _outcome(admitted) == _outcome(slow)
        assert admitted is None or admitted.plain_allow
        seen += [admitted is not None, (slow.decided.value, slow.reason.value, slow.country)]
    return seen


def _outcome(decision: Any) -> tuple[Any, ...]:
    return decision.action, decision.would, decision.reason, decision.rule, decision.country


def _run_asgi(middleware: Any, scope: dict[str, Any], judged: Any) -> None:
    """A request from end to end: the app is called if, and only if, that was decided."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    try:
        middleware(scope, receive, send).__await__().__next__()
        raise AssertionError("nothing here waits")
    except StopIteration:
        pass
    assert scope.get("served", False) == (judged[0] != "block")
    expected = ["http.response.start", "http.response.body"]
    if scope["type"] == "websocket":
        expected = ["websocket.close"]
    assert sent == (expected if judged[0] == "block" else [])


def _run_wsgi(middleware: Any, environ: dict[str, Any], judged: Any) -> None:
    started: list[str] = []
    b"".join(middleware(environ, lambda status, headers, *more: started.append(status[:3])))
    assert environ.get("served", False) == (judged[0] != "block")
    assert started == (["403"] if judged[0] == "block" else ["200"])


# --- Lists and paths ------------------------------------------------------------------------------


def _ask_networks(rest: bytes) -> None:
    answers = []
    for side in SIDES:
        ipv4, ipv6, bad = side.core.parse_networks(rest)
        answers.append(([list(column) for column in (*ipv4, *ipv6)], list(bad)))
    assert answers.count(answers[0]) == len(answers), answers
    held = set(answers[0][0][5]) | set(answers[0][0][11])
    for number, line in enumerate(rest.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        entry = SIDES[0].core.strip_comment(line.decode("latin-1"))
        expected = _network(entry)
        if expected is not None:
            assert _span(SIDES[0].core.parse_network(entry)) == expected
        if "-" not in entry:
            assert (number in held) == (expected is not None), entry
        assert (number in held) + (number in answers[0][1]) == bool(entry)


def _network(entry: str) -> tuple[Address, Address] | None:
    """The model of a network: strict, its length a plain number, mapped ones unwrapped."""
    address, slash, length = entry.partition("/")
    if slash and not re.fullmatch("0|[1-9][0-9]{0,2}", length):
        return None
    plain = _plain(address)
    if plain is None:
        return None
    if plain.version == 4 and ":" in address and slash:
        if not 96 <= int(length) <= 128:
            return None
        length = str(int(length) - 96)
    try:
        network = ip_network(f"{plain}/{length}" if slash else str(plain))
    except ValueError:
        return None
    return network[0], network[-1]


def _span(parsed: Any) -> tuple[Address, Address]:
    version, first, last = parsed
    kind = IPv4Address if version == 4 else IPv6Address
    return kind(first), kind(last)


def _ask_path(rest: bytes) -> None:
    fields = _fields(rest)
    patterns = ["/admin/*", "/healthz", "/f/*/x", "/*/y/*"]
    for given in _all(fields, b"pattern")[:8]:
        try:
            patterns.append(checked_pattern(_text(given)))
        except ValueError:
            continue
    path = _text((_all(fields, b"path") or [b"/"])[0])
    raw = next(iter(_all(fields, b"raw_path")), None)
    found = PathPatterns(patterns)
    strict, broad = found.match(path, raw)
    assert strict & ~broad == 0
    routes = Routes([Words(paths=tuple(patterns))])
    asked = Request(path, raw)
    first = routes.find(asked)
    assert (first.number, first.strict, first.broad) == (0, strict > 0, broad > 0)
    assert routes.find(asked) == first
    assert routes.kept in ({"": {}}, {"": {path: 0}})
    normal = is_normal(path, raw)
    for number, pattern in enumerate(patterns[:2] + patterns[4:]):
        bit = 1 << (number if number < 2 else number + 2)
        if "*" in pattern.removesuffix("/*"):
            continue
        assert bool(strict & bit) == (normal and _is_below(path, pattern))
        if any(_is_below(text, pattern) for text in _simple_spellings(path, raw)):
            assert broad & bit, pattern


def _is_below(path: str, pattern: str) -> bool:
    stem = pattern.removesuffix("/*")
    return path == stem or (stem != pattern and path.startswith(stem + "/"))


def _simple_spellings(path: str, raw: bytes | None) -> Iterator[str]:
    """What others plainly make of a path: decoded once more, tidied by the book."""
    texts = [path] if raw is None else [path, raw.partition(b"?")[0].decode("latin-1")]
    for text in texts:
        for decoded in (text, unquote(text), unquote(unquote(text))):
            yield decoded
            yield re.sub("/+", "/", decoded)
            yield re.sub("/(?:[^/]*;[^/]*)", lambda part: part[0].partition(";")[0], decoded)
            yield decoded.replace("\\", "/")
            if decoded.endswith("/") and decoded != "/":
                yield decoded[:-1]


QUESTIONS: dict[bytes, Callable[[bytes], None]] = {
    b"address": _ask_address,
    b"entry": _ask_entry,
    b"chain": _ask_chain,
    b"resolve": _ask_resolve,
    b"scope": _ask_scope,
    b"environ": _ask_environ,
    b"networks": _ask_networks,
    b"path": _ask_path,
}
