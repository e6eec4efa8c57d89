"""Through real software: nginx in front of real servers, with the recipes of docs/proxies.md.

A client has a public address because it begins its connection with a PROXY protocol line, which the
nginx that stands for the edge takes for it; all that follows is the client's own text. What nginx
writes into the headers, and what the servers make of it, is theirs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from georestrict.address import FORWARDING_HEADERS
from tests.proxies import (
    PAGE,
    Client,
    Place,
    Programs,
    ask,
    free_ports,
    listening,
    passing_to,
    read_recipes,
)
from tests.web import Recorder, Request, run_asgi, scope_of

CHINA, BRITAIN, SWEDEN, JAPAN = "175.16.199.1", "81.2.69.142", "89.160.20.112", "2001:218::1"
CHINA_6 = "2001:250::1"
PEOPLE = {CHINA: "blocked CN", BRITAIN: "GB", JAPAN: "JP", CHINA_6: "blocked CN"}

ASGI_APP, WSGI_APP = "tests.proxied_app:asgi_app", "tests.proxied_app:wsgi_app"
# Where each server says on what it listens: "{port}" and "{socket}" are put in.
SERVERS = {
    "uvicorn httptools": f"uvicorn {ASGI_APP} --no-proxy-headers --http httptools --port {{port}}",
    "uvicorn h11": f"uvicorn {ASGI_APP} --no-proxy-headers --http h11 --port {{port}}",
    "uvicorn rewriting": f"uvicorn {ASGI_APP} --port {{port}}",
    "uvicorn unix": f"uvicorn {ASGI_APP} --no-proxy-headers --uds {{socket}}",
    "hypercorn": f"hypercorn {ASGI_APP} --bind 127.0.0.1:{{port}} --bind unix:{{socket}}",
    "granian": f"granian --interface asgi {ASGI_APP} --port {{port}}",
    "granian unix": f"granian --interface asgi {ASGI_APP} --uds {{socket}}",
    "granian wsgi": f"granian --interface wsgi {WSGI_APP} --blocking-threads 1 --port {{port}}",
    "granian wsgi unix": f"granian --interface wsgi {WSGI_APP} --blocking-threads 1 --uds {{socket}}",
    "gunicorn": f"gunicorn {WSGI_APP} --bind 127.0.0.1:{{port}} --bind unix:{{socket}}",
}
BEHIND_ONE = [
    "uvicorn httptools",
    "uvicorn h11",
    "hypercorn",
    "granian",
    "granian wsgi",
    "gunicorn",
]
RECIPES = read_recipes()
PAGE_OF_SERVERS = PAGE.read_text(encoding="utf-8").partition("\n## Servers\n")[2]
needs_nginx = pytest.mark.needs("nginx")


class Servers:
    """Where the servers listen."""

    def __init__(self, folder: Path) -> None:
        names = list(SERVERS)
        self.port = dict(zip(names, free_ports(len(names)), strict=True))
        self.socket = {name: folder / f"{name}.sock".replace(" ", "-") for name in names}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    with Programs(tmp_path_factory.mktemp("run")) as programs:
        yield programs


@pytest.fixture(scope="module")
def servers(programs: Programs) -> Servers:
    servers = Servers(programs.folder)
    for name, line in SERVERS.items():
        port, path = servers.port[name], servers.socket[name]
        command = line.format(port=port, socket=path).split(" ")
        places: list[Place] = [port] if "{port}" in line else []
        if "{socket}" in line:
            places.append(path)
        programs.start(name, [sys.executable, "-m", *command], *places)
    programs.wait()
    return servers


@pytest.fixture(scope="module")
def nginx(programs: Programs, servers: Servers) -> dict[str, int]:
    """The ports of one nginx, by what it does for clients that connect there."""
    blocks: list[str] = []
    ports: dict[str, int] = {}
    free = iter(free_ports(64))
    app = servers.port["uvicorn httptools"]

    def serve(name: str, location: str) -> None:
        ports[name] = next(free)
        blocks.append(listening(ports[name], location))

    one = RECIPES["one-nginx"].nginx[0]
    for name in [*BEHIND_ONE, "uvicorn rewriting"]:
        serve(f"one-nginx {name}", passing_to(servers.port[name], one))

    upstream, location = RECIPES["kept-connections"].nginx
    blocks.append(passing_to(app, upstream))
    serve("kept-connections", location)

    outer, inner = RECIPES["two-proxies"].nginx
    inside = next(free)
    serve("two-proxies", f"proxy_bind 127.0.0.7; {passing_to(inside, outer)}")
    serve(
        "two-proxies inner",
        f"listen 127.0.0.1:{inside}; proxy_bind 127.0.0.8; {passing_to(app, inner)}",
    )

    forwarded_maps, location = RECIPES["forwarded"].nginx
    blocks.append(forwarded_maps)
    for name in BEHIND_ONE:
        serve(f"forwarded {name}", passing_to(servers.port[name], location))
    with_host = location.replace("$forwarded_chain", r'"for=$remote_addr;host=\"$host\""')
    serve("forwarded with host", passing_to(app, with_host))

    (location,) = RECIPES["one-address-in-one-header"].nginx
    for name in BEHIND_ONE:
        serve(f"one-address {name}", passing_to(servers.port[name], location))

    (location,) = RECIPES["a-unix-socket"].nginx
    for name in ("uvicorn unix", "granian unix", "granian wsgi unix", "hypercorn", "gunicorn"):
        serve(f"unix {name}", passing_to(servers.socket[name], location))

    # A proxy that removes what the client's Connection names, after it has appended to it; and one
    # that passes the client's Connection on, to servers that might.
    blocks.append(
        "map $http_connection $kept { default $proxy_add_x_forwarded_for; ~*forwarded ''; }"
    )
    serve("removing", passing_to(app, one.replace("$proxy_add_x_forwarded_for", "$kept")))
    for name in BEHIND_ONE:
        location = passing_to(servers.port[name], one)
        passing = "proxy_set_header Connection $http_connection; proxy_pass"
        serve(f"passing connection {name}", location.replace("proxy_pass", passing))
        serve(f"passing underscores {name}", f"underscores_in_headers on; {location}")

    programs.start_nginx("\n".join(blocks), *ports.values())
    programs.wait()
    return ports


# --- one nginx ----------------------------------------------------------------------------------

OTHER_HEADERS = sorted(FORWARDING_HEADERS - {b"x-forwarded-for"})
# What a client sends to pass for one in the country of "{}".
SPOOFS = {
    "A2 an entry": ["X-Forwarded-For: {}"],
    "A2 many entries": ["X-Forwarded-For: " + ", ".join(["{}"] * 70)],
    "A4 several lines": ["X-Forwarded-For: {}", "X-Forwarded-For: {}", "x-forwarded-for: {}"],
    "A6 a trusted entry": ["X-Forwarded-For: {}, 127.0.0.1"],
    "A8 hop by hop": ["X-Forwarded-For: {}", "Connection: close, X-Forwarded-For"],
    "A8 hop by hop, kept": ["Connection: X-Forwarded-For, keep-alive", "X-Forwarded-For: {}"],
    "A9 an open end": ["X-Forwarded-For: {},"],
    "A10 garbage": ['X-Forwarded-For: garbage, ;;"{}'],
    "A10 unknown": ["X-Forwarded-For: {}, unknown"],
    "A17 all others at once": [f"{name.decode()}: {{}}" for name in OTHER_HEADERS],
    "A17 the standard one": ["Forwarded: for={};proto=https"],
    "A25 in capitals": ["X-FORWARDED-FOR: {}"],
    "A26 A27 underscores": ["X-Forwarded-For: {}", "X_Forwarded_For: {}"],
    "A26 A27 some underscores": ["X-Forwarded_For: {}", "x_forwarded-for: {}"],
    "C1 commas": ["X-Forwarded-For: {}" + "," * 7000],
    "C1 many lines": ["X-Forwarded-For: {}"] * 80,
}


def spoof(lines: list[str], address: str) -> list[bytes]:
    return [line.replace("{}", address).encode("latin-1") for line in lines]


def nobody_passes_for_another(port: int, recipe: str, lines: list[str]) -> None:
    """Whoever is blocked claims to be in Britain, whoever is not claims to be in China."""
    for address, outcome in PEOPLE.items():
        claim = BRITAIN if outcome.startswith("blocked") else CHINA
        assert ask(port, recipe, *spoof(lines, claim), address=address).outcome == outcome, address


@needs_nginx
@pytest.mark.parametrize("server", BEHIND_ONE)
@pytest.mark.parametrize("lines", SPOOFS.values(), ids=SPOOFS)
def test_behind_nginx_no_client_changes_its_address(
    nginx: dict[str, int], server: str, lines: list[str]
) -> None:
    port = nginx[f"one-nginx {server}"]
    nobody_passes_for_another(port, "one-nginx", lines)


@needs_nginx
@pytest.mark.parametrize("server", BEHIND_ONE)
def test_a10_bytes_above_ascii_bring_a_client_no_other_address(
    nginx: dict[str, int], server: str
) -> None:
    line = b"X-Forwarded-For: 81.2.69.142\x80\xff"
    for address, outcome in ((CHINA, "blocked CN"), (BRITAIN, "GB")):
        answer = ask(nginx[f"one-nginx {server}"], "one-nginx", line, address=address)
        # granian's WSGI gives the app an empty text instead of such a header
        assert answer.outcome == ("unresolved" if server == "granian wsgi" else outcome)


@needs_nginx
@pytest.mark.parametrize("server", BEHIND_ONE)
def test_behind_nginx_a_private_client_is_private(nginx: dict[str, int], server: str) -> None:
    for line in (b"Accept: */*", b"X-Forwarded-For: 81.2.69.142"):
        answer = ask(nginx[f"one-nginx {server}"], "one-nginx", line, address="192.168.7.7")
        assert answer.outcome == "private"


@needs_nginx
@pytest.mark.parametrize("server", BEHIND_ONE)
def test_a8_a_server_that_gets_the_clients_connection_header_answers_the_same(
    nginx: dict[str, int], server: str
) -> None:
    port = nginx[f"passing connection {server}"]
    for value in (b"close, X-Forwarded-For", b"X-Forwarded-For", b"close, x-forwarded-for, Host"):
        lines = [b"X-Forwarded-For: 81.2.69.142", b"Connection: " + value]
        assert ask(port, "one-nginx", *lines, address=CHINA).outcome == "blocked CN"


@needs_nginx
@pytest.mark.parametrize("lines", [[], [b"X-Forwarded-For: 81.2.69.142"]], ids=["alone", "spoofed"])
def test_a8_where_the_proxy_drops_the_header_the_client_is_unresolved(
    nginx: dict[str, int], lines: list[bytes]
) -> None:
    port = nginx["removing"]
    for address in (CHINA, BRITAIN):
        dropped = ask(
            port, "one-nginx", b"Connection: close, X-Forwarded-For", *lines, address=address
        )
        assert dropped.outcome == "unresolved"
    assert ask(port, "one-nginx", *lines, address=BRITAIN).outcome == "GB"


@needs_nginx
def test_c1_nginx_refuses_a_header_above_8_kib_itself(nginx: dict[str, int]) -> None:
    line = b"X-Forwarded-For: " + b"1" * 10_000
    assert (
        ask(nginx["one-nginx gunicorn"], "one-nginx", line, address=CHINA).outcome == "status 400"
    )


@needs_nginx
def test_a1_a16_nobody_else_may_play_the_proxy(servers: Servers, nginx: dict[str, int]) -> None:
    line = b"X-Forwarded-For: 81.2.69.142"
    for server in BEHIND_ONE:
        for recipe in ("one-nginx", "peer"):
            with Client(servers.port[server], source="127.0.0.5") as client:
                assert client.ask(recipe, line).outcome == "unresolved", server
    for line in (b"Forwarded: for=81.2.69.142", b"CF-Connecting-IP: 81.2.69.142"):
        assert ask(nginx["one-nginx gunicorn"], "peer", line, address=CHINA).outcome == "unresolved"


# --- kept connections ---------------------------------------------------------------------------


@needs_nginx
def test_on_one_kept_connection_each_request_is_decided_by_its_own_header(
    nginx: dict[str, int],
) -> None:
    port, recipe = nginx["kept-connections"], "kept-connections"
    upstream = set()
    with (
        Client(port, CHINA) as china,
        Client(port, BRITAIN) as britain,
        Client(port, JAPAN) as japan,
    ):
        for claim in (BRITAIN, CHINA, SWEDEN, "unknown", "127.0.0.1", BRITAIN):
            line = b"X-Forwarded-For: " + claim.encode()
            assert china.ask(recipe, line).outcome == "blocked CN"
            for client, outcome in ((britain, "GB"), (japan, "JP")):
                answer = client.ask(recipe, line)
                assert answer.outcome == outcome
                upstream.add(tuple(answer.told["client"]))
            assert china.ask(recipe).outcome == "blocked CN"
    assert len(upstream) == 1, "nginx did not keep its connection to the app"


@pytest.mark.parametrize("server", ["uvicorn httptools", "uvicorn h11", "hypercorn", "granian"])
def test_a_server_keeps_nothing_of_a_connections_last_request(
    servers: Servers, server: str
) -> None:
    with Client(servers.port[server]) as proxy:
        for chain, outcome in (
            (BRITAIN, "GB"),
            (f"{BRITAIN}, {CHINA}", "blocked CN"),
            (None, "unresolved"),
            (JAPAN, "JP"),
            ("unknown", "unresolved"),
            (f"{CHINA}, {SWEDEN}, 127.0.0.1", "SE"),
            ("127.0.0.1", "unresolved"),
            (BRITAIN, "GB"),
        ):
            lines = [] if chain is None else [b"X-Forwarded-For: " + chain.encode()]
            assert proxy.ask("one-nginx", *lines).outcome == outcome, chain


# --- two proxies --------------------------------------------------------------------------------


@needs_nginx
@pytest.mark.parametrize(
    "recipe", ["two-proxies", "two-proxies/1"], ids=["TrustedProxies", "A13 TrustedHops"]
)
@pytest.mark.parametrize("lines", SPOOFS.values(), ids=SPOOFS)
def test_behind_two_proxies_no_client_changes_its_address(
    nginx: dict[str, int], recipe: str, lines: list[str]
) -> None:
    nobody_passes_for_another(nginx["two-proxies"], recipe, lines)


@needs_nginx
def test_where_only_the_inner_proxy_is_declared_the_outer_one_is_the_client(
    nginx: dict[str, int],
) -> None:
    for address in (CHINA, BRITAIN):
        answer = ask(
            nginx["two-proxies"], "inner-only", b"X-Forwarded-For: 81.2.69.142", address=address
        )
        assert answer.outcome == "private"


@needs_nginx
def test_a14_past_the_outer_proxy_only_trusted_ranges_hold(nginx: dict[str, int]) -> None:
    port, line = nginx["two-proxies inner"], b"X-Forwarded-For: 81.2.69.142"
    assert ask(port, "two-proxies", line, address=CHINA).outcome == "blocked CN"
    assert ask(port, "two-proxies/1", address=CHINA).outcome == "unresolved"
    # What the page warns of: the count takes the client's own text.
    assert ask(port, "two-proxies/1", line, address=CHINA).outcome == "GB"


# --- Forwarded ----------------------------------------------------------------------------------

FORWARDED_SPOOFS = {
    "A2 an element": ["Forwarded: for={}"],
    "A4 several lines": [
        "Forwarded: for={}",
        "Forwarded: for={};by=127.0.0.1",
        "forwarded: for={}",
    ],
    "A6 a trusted element": ["Forwarded: for={}, for=127.0.0.1"],
    "A8 hop by hop": ["Forwarded: for={}", "Connection: close, Forwarded"],
    "A17 X-Forwarded-For": ["X-Forwarded-For: {}", "X-Real-IP: {}"],
    "A26 underscores": ["_Forwarded: for={}", "Forwarded_: for={}"],
    "B20 hidden": ["Forwarded: for={}, for=_hidden"],
    "B21 an open quote": ['Forwarded: for="{}'],
    "B21 an open quote after it": ['Forwarded: for={};host="'],
    "B21 an open quote and a backslash": ['Forwarded: for={};host="\\'],
    "B21 quotes": ['Forwarded: for={}, """, for="{}"", "'],
    "C1 commas and quotes": ["Forwarded: for={}" + ',"' * 3000],
}


@needs_nginx
@pytest.mark.parametrize("server", BEHIND_ONE)
@pytest.mark.parametrize("lines", FORWARDED_SPOOFS.values(), ids=FORWARDED_SPOOFS)
def test_in_forwarded_no_client_changes_its_address(
    nginx: dict[str, int], server: str, lines: list[str]
) -> None:
    port = nginx[f"forwarded {server}"]
    nobody_passes_for_another(port, "forwarded", lines)


@needs_nginx
def test_what_the_page_warns_of_a_quote_in_host_ends_the_element(nginx: dict[str, int]) -> None:
    with Client(nginx["forwarded with host"], CHINA) as client:
        spoofed = client.ask("forwarded", host=b'a",for=81.2.69.142;host="b')
    assert spoofed.outcome == "GB"


# --- one address in one header ------------------------------------------------------------------


@needs_nginx
@pytest.mark.parametrize("server", BEHIND_ONE)
def test_nginx_replaces_the_clients_x_real_ip(nginx: dict[str, int], server: str) -> None:
    port, recipe = nginx[f"one-address {server}"], "one-address-in-one-header"
    for lines in (
        ["X-Real-IP: {}"],
        ["X-Real-IP: {}", "x-real-ip: {}"],
        ["X_Real_IP: {}", "X-Real_IP: {}"],
        ["X-Real-IP: {}", "Connection: close, X-Real-IP"],
        ["X-Forwarded-For: {}", "Forwarded: for={}"],
    ):
        nobody_passes_for_another(port, recipe, lines)


@pytest.mark.parametrize("server", [name for name in BEHIND_ONE if name != "granian wsgi"])
def test_a18_a_single_header_that_comes_twice_is_unresolved(servers: Servers, server: str) -> None:
    lines = [b"X-Real-IP: 81.2.69.142", b"X-Real-IP: 81.2.69.142"]
    answer = ask(servers.port[server], "one-address-in-one-header", *lines)
    assert answer.outcome == "unresolved"


# --- a unix socket ------------------------------------------------------------------------------


@needs_nginx
@pytest.mark.parametrize("server", ["uvicorn unix", "granian unix", "gunicorn"])
@pytest.mark.parametrize("lines", SPOOFS.values(), ids=SPOOFS)
def test_a21_over_a_unix_socket_no_client_changes_its_address(
    nginx: dict[str, int], server: str, lines: list[str]
) -> None:
    nobody_passes_for_another(nginx[f"unix {server}"], "a-unix-socket", lines)


@needs_nginx
@pytest.mark.parametrize(
    "server", ["uvicorn unix", "granian unix", "granian wsgi unix", "hypercorn", "gunicorn"]
)
def test_a22_a30_over_an_undeclared_unix_socket_all_are_unresolved(
    nginx: dict[str, int], server: str
) -> None:
    for recipe in ("one-nginx", "peer", "two-proxies", "one-address-in-one-header"):
        for line in (
            b"Accept: */*",
            b"X-Forwarded-For: 81.2.69.142",
            b"Forwarded: for=81.2.69.142",
        ):
            assert (
                ask(nginx[f"unix {server}"], recipe, line, address=BRITAIN).outcome == "unresolved"
            )


@needs_nginx
@pytest.mark.parametrize("server", ["granian wsgi unix", "hypercorn"])
def test_a22_a30_a_server_that_tells_no_unix_socket_leaves_all_unresolved(
    nginx: dict[str, int], server: str
) -> None:
    for address in (CHINA, BRITAIN):
        for host in (b"example.com", b"/run/app.sock", b"unix:"):
            with Client(nginx[f"unix {server}"], address) as client:
                answer = client.ask("a-unix-socket", b"X-Forwarded-For: 81.2.69.142", host=host)
            assert answer.status == 400 or answer.outcome == "unresolved", host


# --- a server that rewrites the peer ------------------------------------------------------------


@needs_nginx
@pytest.mark.parametrize("lines", SPOOFS.values(), ids=SPOOFS)
@pytest.mark.parametrize(
    ("front", "recipe"),
    [
        pytest.param("uvicorn rewriting", "one-nginx", id="A23 uvicorn"),
        pytest.param("hypercorn", "rewritten-by-hypercorn", id="A23 hypercorn ProxyFixMiddleware"),
        pytest.param("granian", "rewritten-by-granian", id="A23 granian's wrapper"),
        pytest.param("gunicorn", "rewritten-by-werkzeug", id="A23 werkzeug ProxyFix"),
        pytest.param("granian wsgi", "rewritten-by-granian", id="A23 granian's wrapper, WSGI"),
    ],
)
def test_where_the_server_derived_the_client_already_no_client_changes_its_address(
    nginx: dict[str, int], front: str, recipe: str, lines: list[str]
) -> None:
    nobody_passes_for_another(nginx[f"one-nginx {front}"], recipe, lines)


@needs_nginx
@pytest.mark.parametrize(
    ("front", "recipe", "left"),
    [
        ("uvicorn rewriting", "one-nginx", {"client": [BRITAIN, 0]}),
        ("hypercorn", "rewritten-by-hypercorn", {"client": [BRITAIN, 0]}),
        ("granian", "rewritten-by-granian", {"client": [BRITAIN, 0]}),
        ("gunicorn", "rewritten-by-werkzeug", {"REMOTE_ADDR": BRITAIN}),
    ],
    ids=["uvicorn", "hypercorn ProxyFixMiddleware", "granian's wrapper", "werkzeug ProxyFix"],
)
def test_a23_a_server_that_derived_the_client_already_is_told_of_once_in_the_log(
    nginx: dict[str, int], programs: Programs, front: str, recipe: str, left: dict[str, object]
) -> None:
    port = nginx[f"one-nginx {front}"]
    for _ in range(20):  # a request that is let through at once is looked at now and then
        told = ask(port, recipe, address=BRITAIN).told
        assert left.items() <= told.items()
        ask(port, recipe, address=CHINA)
    log = programs.log(front).read_text()
    assert log.count("the server seems to put the header's client in the peer's place") == 1


# --- names with underscores ---------------------------------------------------------------------

UNDERSCORES = ["X_Forwarded_For: {}", "X-Forwarded_For: {}", "x_forwarded_for: {}"]


@needs_nginx
@pytest.mark.parametrize("server", [name for name in BEHIND_ONE if name != "granian wsgi"])
def test_a26_a27_where_the_proxy_lets_underscores_through_they_are_still_not_read(
    nginx: dict[str, int], server: str
) -> None:
    for line in UNDERSCORES:
        for lines in ([line], ["X-Forwarded-For: {}", line], [line, line]):
            nobody_passes_for_another(nginx[f"passing underscores {server}"], "one-nginx", lines)


@needs_nginx
@pytest.mark.parametrize("line", UNDERSCORES)
@pytest.mark.parametrize("bridge", ["inside-asgiref", "inside-uvicorn-bridge"])
def test_a27_a_wsgi_app_on_an_asgi_server_is_safe_behind_nginx_as_it_is(
    nginx: dict[str, int], bridge: str, line: str
) -> None:
    for lines in ([line], ["X-Forwarded-For: {}", line]):
        nobody_passes_for_another(nginx["one-nginx uvicorn httptools"], bridge, lines)


@needs_nginx
@pytest.mark.parametrize("front", ["one-nginx", "passing underscores"])
def test_a27_around_the_bridge_the_asgi_middleware_is_safe_behind_any_proxy(
    nginx: dict[str, int], front: str
) -> None:
    port = nginx[f"{front} uvicorn httptools"]
    for line in UNDERSCORES:
        for lines in ([line], ["X-Forwarded-For: {}", line]):
            spoofed = ask(port, "outside-asgiref", *spoof(lines, BRITAIN), address=CHINA)
            assert spoofed.outcome == "blocked CN"
            spoofed = ask(port, "outside-asgiref", *spoof(lines, CHINA), address=BRITAIN)
            assert spoofed.status == 200


@needs_nginx
@pytest.mark.parametrize(
    ("server", "recipe"),
    [
        ("uvicorn httptools", "inside-asgiref"),
        ("uvicorn httptools", "inside-uvicorn-bridge"),
        ("granian wsgi", "one-nginx"),
    ],
    ids=["asgiref", "uvicorn's bridge", "granian wsgi"],
)
def test_a27_what_the_page_warns_of_these_merge_names_with_underscores(
    nginx: dict[str, int], server: str, recipe: str
) -> None:
    """If this fails, they no longer do: docs/proxies.md and SECURITY.md can say so."""
    port = nginx[f"passing underscores {server}"]
    assert ask(port, recipe, b"X_Forwarded_For: 81.2.69.142", address=CHINA).outcome == "GB"


def test_a29_wsgi_servers_keep_the_last_line_of_the_header_last(servers: Servers) -> None:
    lines = [b"X-Forwarded-For: 81.2.69.142", b"X-Forwarded-For: 175.16.199.1"]
    for server in ("gunicorn", "granian wsgi"):
        assert ask(servers.port[server], "one-nginx", *lines).outcome == "blocked CN"
        assert ask(servers.port[server], "one-nginx", *reversed(lines)).outcome == "GB"


# --- size ---------------------------------------------------------------------------------------

HUGE = {
    "C1 1 MiB": [b"X-Forwarded-For: " + b"1" * (1 << 20) + b", 175.16.199.1"],
    "C1 64 KiB of commas": [b"X-Forwarded-For: " + b"," * (1 << 16) + b"175.16.199.1"],
    "C1 10 000 lines": [b"X-Forwarded-For: 81.2.69.142"] * 10_000
    + [b"X-Forwarded-For: 175.16.199.1"],
}


@pytest.mark.parametrize("lines", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("server", BEHIND_ONE)
def test_a_huge_header_is_decided_by_its_right_end_or_refused_by_the_server(
    servers: Servers, server: str, lines: list[bytes]
) -> None:
    port = servers.port[server]
    try:
        outcome = ask(port, "one-nginx", *lines).outcome
    except ConnectionError:  # the server answered without reading on
        outcome = "status 4xx"
    refused = server != "uvicorn httptools" and outcome in (
        "status 400",
        "status 431",
        "status 4xx",
    )
    assert outcome == "blocked CN" or refused
    assert ask(port, "one-nginx", b"X-Forwarded-For: 81.2.69.142").outcome == "GB"


# --- the page -----------------------------------------------------------------------------------


def test_every_recipe_of_the_page_is_tried() -> None:
    assert [*RECIPES] == [
        "one-nginx",
        "kept-connections",
        "two-proxies",
        "forwarded",
        "one-address-in-one-header",
        "a-unix-socket",
    ]
    for name, recipe in RECIPES.items():
        assert recipe.nginx and recipe.clients, name


def test_a27_the_pages_middleware_around_a_bridge_tells_names_apart() -> None:
    (block,) = re.findall(r"^```python\n(.*?WsgiToAsgi.*?)^```$", PAGE_OF_SERVERS, re.M | re.S)
    names: dict[str, Any] = {"wsgi_app": Recorder().wsgi}
    exec(block, names)
    headers = (("X-Forwarded-For", "152.206.0.1"), ("X_Forwarded_For", BRITAIN))  # Cuba
    start, _ = run_asgi(names["app"], scope_of(Request(peer="127.0.0.1", headers=headers)))
    assert start["status"] == 403
