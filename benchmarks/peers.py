"""The readers that we are compared with, each over the data that is in our own image.

``iptocc`` is the exception: it has data of its own and takes no other.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, summarize_address_range
from pathlib import Path
from typing import Any, NamedTuple

import geoip2.database
import geoip2.errors
import iptocc
import maxminddb
import maxminddb_rust
import mmdb_writer
import netaddr
import pytricia
import radix

from benchmarks import ranges
from benchmarks.ranges import Range
from georestrict import Database

HERE = Path(__file__).parent
CACHE = HERE / ".cache"


class Peer(NamedTuple):
    """A way to ask for the country of an address."""

    call: Callable[[str], object]  #: what is timed: the peer's own call, and nothing of ours
    country: Callable[[str], str | None]  #: the same, taken out of the record that it returns


def plain_python() -> Peer:
    """Open georestrict a second time in this process, over its plain Python core."""
    held = _unload()
    os.environ["GEORESTRICT_BACKEND"] = "python"
    try:
        import georestrict

        assert georestrict.BACKEND == "python"
        country = georestrict.Database.open().country
    finally:
        del os.environ["GEORESTRICT_BACKEND"]
        _unload()
        sys.modules.update(held)
    return Peer(country, country)


def _unload() -> dict[str, Any]:
    names = [name for name in sys.modules if name.partition(".")[0] == "georestrict"]
    return {name: sys.modules.pop(name) for name in names}


def same_data(by_version: dict[int, list[Range]]) -> dict[int, dict[str, Peer]]:
    """Return the peers in Python over these ranges, by version and name."""
    path = str(mmdb(by_version))
    in_c = maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT)
    in_python = maxminddb.open_database(path, maxminddb.MODE_MMAP)
    in_rust = maxminddb_rust.open_database(path)
    tree = radix.Radix()
    tries = {4: pytricia.PyTricia(32), 6: pytricia.PyTricia(128)}
    for version, prefix, country in prefixes(by_version):
        tree.add(prefix).data["country"] = country
        tries[version][prefix] = country

    def from_tree(text: str) -> str | None:
        node = tree.search_best(text)
        return None if node is None else node.data["country"]

    either = {
        "maxminddb C": Peer(in_c.get, _code_of(in_c.get)),
        "maxminddb-rust": Peer(in_rust.get, _code_of(in_rust.get)),
        "maxminddb pure": Peer(in_python.get, _code_of(in_python.get)),
        "geoip2": _geoip2(path),
        "py-radix": Peer(tree.search_best, from_tree),
        "ipaddress + bisect": _bisect(by_version),
    }
    return {
        version: either | {"pytricia": Peer(trie.get, trie.get)} for version, trie in tries.items()
    }


def own_data() -> dict[str, Peer]:
    """Return the peers whose data cannot be replaced."""
    return {"iptocc": Peer(iptocc.country_code, iptocc.country_code)}


def _code_of(get: Callable[[str], Any]) -> Callable[[str], str | None]:
    def country(text: str) -> str | None:
        record = get(text)
        return None if record is None else record["country"]["iso_code"]

    return country


def _geoip2(path: str) -> Peer:
    ask = geoip2.database.Reader(path).country

    def country(text: str) -> str | None:
        try:
            code: str | None = ask(text).country.iso_code
        except geoip2.errors.AddressNotFoundError:
            return None
        return code

    return Peer(country, country)


def _bisect(by_version: dict[int, list[Range]]) -> Peer:
    starts = {version: [one.first for one in ranges] for version, ranges in by_version.items()}
    countries = {version: [one.country for one in ranges] for version, ranges in by_version.items()}

    def country(text: str) -> str | None:
        address = ip_address(text)
        version = address.version
        return countries[version][bisect_right(starts[version], int(address)) - 1]

    return Peer(country, country)


class InC:
    """libmaxminddb called from C, in a loop that is in C, too: no Python in what is timed."""

    def __init__(self, database: Path) -> None:
        built = CACHE / "libmaxminddb.so"
        source = HERE / "libmaxminddb.c"
        build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(built), str(source)]
        subprocess.run([*build, "-lmaxminddb"], check=True, capture_output=True, text=True)
        self._library = ctypes.CDLL(str(built))
        self._library.open_database.restype = ctypes.c_void_p
        self._library.look_up.restype = ctypes.c_long
        self._database = ctypes.c_void_p(self._library.open_database(os.fsencode(database)))
        if not self._database:
            raise OSError(f"libmaxminddb cannot open {database.name}")

    def prepare(self, addresses: list[str]) -> Callable[[], int]:
        """Return a call that looks all of them up; their texts lie side by side."""
        width, texts = self._packed(addresses)
        return lambda: self._look_up(texts, width, len(addresses), None)

    def countries(self, addresses: list[str]) -> list[str | None]:
        """Return what it answers."""
        width, texts = self._packed(addresses)
        answers = ctypes.create_string_buffer(2 * len(addresses))
        self._look_up(texts, width, len(addresses), answers)
        found = answers.raw.decode()
        pairs = [found[at : at + 2] for at in range(0, 2 * len(addresses), 2)]
        return [None if pair == "\0\0" else pair for pair in pairs]

    def _packed(self, addresses: list[str]) -> tuple[int, bytes]:
        width = 16 if "." in addresses[0] else 40
        return width, b"".join(text.encode().ljust(width, b"\0") for text in addresses)

    def _look_up(self, texts: bytes, width: int, count: int, answers: Any) -> int:
        size = ctypes.c_size_t
        done: int = self._library.look_up(self._database, texts, size(width), size(count), answers)
        if done < 0:
            raise OSError("libmaxminddb failed on an address")
        return done


def in_c(database: Path) -> InC | str:
    """Build and open libmaxminddb; or tell why that is not possible here."""
    try:
        return InC(database)
    except FileNotFoundError:
        return "no C compiler"
    except subprocess.CalledProcessError as failed:
        if "maxminddb.h" not in failed.stderr:
            raise
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("apt-get"):
        return "libmaxminddb-dev is not installed, and only root can install it"
    for action in (["update"], ["install", "-y", "libmaxminddb-dev"]):
        subprocess.run(["apt-get", "-qq", *action], check=False)
    try:
        return InC(database)
    except subprocess.CalledProcessError:
        return "libmaxminddb-dev could not be installed"


def mmdb(by_version: dict[int, list[Range]]) -> Path:
    """Write our ranges as an MMDB in MaxMind's shape, unless a file of them is there already."""
    digest = hashlib.sha256(repr((mmdb_writer.__version__, by_version)).encode()).hexdigest()
    path = CACHE / f"country-{digest[:16]}.mmdb"
    if path.exists():
        return path
    print("writing an MMDB of our data, about a minute", flush=True)
    CACHE.mkdir(exist_ok=True)
    for older in CACHE.glob("country-*.mmdb"):
        older.unlink()
    held: dict[str, list[str]] = {}
    for _, prefix, country in prefixes(by_version):
        held.setdefault(country, []).append(prefix)
    writer = mmdb_writer.MMDBWriter(
        ip_version=6, ipv4_compatible=True, database_type="georestrict-Country"
    )
    for country, networks in held.items():
        writer.insert_network(netaddr.IPSet(networks), {"country": {"iso_code": country}})
    partial = path.with_suffix(".partial")
    writer.to_db_file(str(partial))
    return partial.rename(path)


def mmdb_of(database: Database) -> Path:
    """Return the MMDB of a database's countries."""
    return mmdb({version: ranges.ranges(database, version) for version in (4, 6)})


def prefixes(by_version: dict[int, list[Range]]) -> Iterator[tuple[int, str, str]]:
    """Yield the CIDR networks that have a country: version, network, country."""
    for version, found in by_version.items():
        kind: Any = IPv4Address if version == 4 else IPv6Address
        for first, last, country in found:
            if country is not None:
                for network in summarize_address_range(kind(first), kind(last)):
                    yield version, str(network), country
