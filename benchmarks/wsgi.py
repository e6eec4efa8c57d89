"""What guarding a request adds to a bare WSGI app, beside an empty middleware and beside peers.

The same question as ``middleware``, with the same traces and the same bias: called in process, a
fresh environ for each request, made just before; added latency is guarded minus bare, medians over
all rounds of the thread's processor time. Measured through the public class.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import iptocc
import maxminddb

from benchmarks import apps
from benchmarks.common import save
from benchmarks.peers import mmdb_of
from georestrict import Database, Engine
from georestrict.address import TrustedProxies
from georestrict.wsgi import GeoRestrictMiddleware

REQUESTS = 10_000
ANSWER = [b"ok"]
REFUSAL = [b'{"error":{"code":"unsupported_country_region_territory"}}']
REFUSAL_HEADERS = [
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(REFUSAL[0]))),
]


def bare(environ: Any, start_response: Any) -> list[bytes]:
    """The app: nothing."""
    return ANSWER


class Empty:
    """The middleware to compare with: it only calls on."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Call on."""
        return self.app(environ, start_response)


class ByMaxMind:
    """A country check, as teams write it."""

    def __init__(self, app: Any, get: Callable[[str], Any]) -> None:
        self.app, self.get, self.blocked = app, get, frozenset({"CN"})

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Refuse the blocked countries, and call on."""
        record = self.get(environ["REMOTE_ADDR"])
        if record is not None and record["country"]["iso_code"] in self.blocked:
            start_response("403 Forbidden", REFUSAL_HEADERS)
            return REFUSAL
        return self.app(environ, start_response)


class ByIptocc:
    """The same with iptocc."""

    def __init__(self, app: Any) -> None:
        self.app, self.get, self.blocked = app, iptocc.country_code, frozenset({"CN"})

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Refuse the blocked countries, and call on."""
        if self.get(environ["REMOTE_ADDR"]) in self.blocked:
            start_response("403 Forbidden", REFUSAL_HEADERS)
            return REFUSAL
        return self.app(environ, start_response)


def direct(address: str) -> dict[str, Any]:
    """The environ of a client that connects by itself, as gunicorn makes it."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": apps.PATH,
        "RAW_URI": apps.PATH,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_SOFTWARE": "gunicorn",
        "REMOTE_ADDR": address,
        "REMOTE_PORT": "40000",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "0",
        "HTTP_HOST": "api.example.com",
        "HTTP_USER_AGENT": "client/1.2.3",
        "HTTP_ACCEPT": "application/json",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
        "HTTP_AUTHORIZATION": "Bearer 0123456789abcdef0123456789abcdef",
        "HTTP_X_REQUEST_ID": "7b0f0c8e-5f57-4a1c-9d6e-1f4a5c2b7e11",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "api.example.com",
        "HTTP_TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def proxied(address: str) -> dict[str, Any]:
    """The same behind a trusted proxy, with a chain of three."""
    chain = {"REMOTE_ADDR": "10.0.3.7", "HTTP_X_FORWARDED_FOR": f"8.8.8.8, {address}, 10.0.3.9"}
    return direct(address) | chain


def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
    """Nobody listens."""
    return bytes


def serve(app: Any, environ_of: Callable[[str], Any], addresses: Sequence[str]) -> float:
    """Make an environ and call the app with it, for each address; nanoseconds a request.

    The second pass counts: the first one brings back what other candidates drove from the caches.
    """
    started = 0
    for _ in range(2):
        started = time.thread_time_ns()
        for address in addresses:
            app(environ_of(address), start)
    return (time.thread_time_ns() - started) / len(addresses)


def outcome(around: Callable[[Any], Any], environ: dict[str, Any]) -> tuple[bool, list[str]]:
    """Return whether the app was called, and the statuses that were sent."""
    called: list[bool] = []
    statuses: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        called.append(True)
        start_response("200 OK", [])
        return ANSWER

    def keep(status: str, headers: Any, *more: Any) -> Callable[[bytes], object]:
        statuses.append(status)
        return bytes

    b"".join(around(app)(environ, keep))
    return len(called) == 1, statuses


def main() -> None:
    """Check every set-up, measure it, and write the result."""
    logging.getLogger("georestrict").setLevel(logging.WARNING)
    database = Database.open()
    engine = Engine(apps.BLOCK_LIST, database=database)
    by_path = Engine(apps.path_policy(20), database=database)
    addresses = apps.plain_addresses(REQUESTS, engine, by_path)
    blocked = [apps.BLOCKED] * (REQUESTS // 10)
    trusted = TrustedProxies("10.0.3.0/24")
    with maxminddb.open_database(mmdb_of(database), maxminddb.MODE_MMAP_EXT) as reader:
        compared = apps.check_mmdb(reader.get)
        around: dict[str, Callable[[Any], Any]] = {
            "empty": Empty,
            "direct": lambda app: GeoRestrictMiddleware(app, engine=engine),
            "annotate": lambda app: GeoRestrictMiddleware(app, engine=engine, annotate=True),
            "proxied": lambda app: GeoRestrictMiddleware(app, engine=engine, client=trusted),
            "20 path rules": lambda app: GeoRestrictMiddleware(app, engine=by_path),
            "maxminddb": lambda app: ByMaxMind(app, reader.get),
            "iptocc": ByIptocc,
        }
        for name, wrap in around.items():
            environ_of = proxied if name == "proxied" else direct
            assert outcome(wrap, environ_of(apps.ALLOWED)) == (True, ["200 OK"]), name
            if name != "empty":
                refused = outcome(wrap, environ_of(apps.BLOCKED))
                assert refused == (False, ["403 Forbidden"]), (name, refused)
        noted = direct(apps.ALLOWED)
        outcome(around["annotate"], noted)
        assert noted["georestrict"].action.value == "allow"

        def timed(app: Any, environ_of: Callable[[str], Any], trace: Sequence[str]) -> Any:
            return lambda: serve(app, environ_of, trace)

        candidates = {
            "bare": timed(bare, direct, addresses),
            "bare, proxied": timed(bare, proxied, addresses),
        }
        for name, wrap in around.items():
            environ_of = proxied if name == "proxied" else direct
            candidates[name] = timed(wrap(bare), environ_of, addresses)
            if name in ("direct", "maxminddb", "iptocc"):
                candidates[f"{name}, blocking"] = timed(wrap(bare), direct, blocked)
        times = apps.in_rounds(candidates)
    results = {
        name: apps.added(
            times, name, "bare, proxied" if name == "proxied" else "bare", "empty", "bare"
        )
        for name in around
    }
    for name, found in results.items():
        print(f"wsgi, {name}: {apps.said(found)}")
    whole = {name: round(median(times[name]), 1) for name in times if name.endswith("blocking")}
    for name, took in whole.items():
        print(f"wsgi, {name}: {took:,.0f} ns, the whole request")
    save(
        "wsgi",
        {
            "rounds": apps.ROUNDS,
            "requests_a_round": REQUESTS,
            "answers_compared_with_mmdb": compared,
            "bare_ns": {name: median(times[name]) for name in ("bare", "bare, proxied")},
            "added": results,
            "whole_request_ns": whole,
        },
    )


if __name__ == "__main__":
    main()
