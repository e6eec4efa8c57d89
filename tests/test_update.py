"""A whole update: what is fetched, what is refused, and what is in force after whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result

from georestrict import Database
from georestrict.cli import main
from georestrict.errors import ConfigurationError, UpdateError
from georestrict.renewal import Told, Wish, renew
from georestrict.update import keep
from georestrict.update.fetch import Timing
from tests.misbehaving import (
    Behaviour,
    Handler,
    Server,
    certified,
    conditional,
    drops,
    hangs,
    redirects,
    sends,
)
from tests.test_update_archive import member, tar

pytestmark = pytest.mark.once

GEO = b"""\
1359103232,1359103487,GB
2937112320,2937112575,CN
167772160,167772415,US
16777216,16777471,AU
"""
HOSTS = b"81.2.69.128/25\n81.2.69.7\n2001:218::/64\n"
MODIFIED = "Sun, 22 Nov 2026 08:00:00 GMT"
SECRET = "Zq9-hunter2-secret-Xw7"  # nobody else says this


class Place:
    """A manifest, its folder, and an image in a folder of its own."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.manifest = folder / "sources.toml"
        self.image = folder / "images" / "geo.grdb"
        self.image.parent.mkdir()
        self.now = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
        self.told: list[Told] = []
        self.pauses: list[float] = []
        self.extra = {"geo": "", "hosts": ""}
        self.geo(GEO)
        self.hosts(HOSTS)
        self.write()

    def geo(self, data: bytes) -> None:
        """What the server has as /geoip."""
        tag = hashlib.sha256(data).hexdigest()[:8]
        self.server.on("/geoip", conditional(data, f'"{tag}"', MODIFIED))

    def hosts(self, data: bytes) -> None:
        """What the server has as /hosts.txt."""
        tag = hashlib.sha256(data).hexdigest()[:8]
        self.server.on("/hosts.txt", conditional(data, f'W/"{tag}"', MODIFIED))

    def write(self, **extra: str) -> None:
        """Write the manifest, with more keys for a source, or at its end."""
        said = {"geo": "", "hosts": "", "end": ""} | extra
        self.manifest.write_text(
            f"""
[[source]]
name = "geo"
title = "Test countries"
layer = "country"
format = "tor-geoip"
path = "data/geoip"
licence = "CC0-1.0"
attribution = "nobody"
fetch = "{self.server.url("/geoip")}"
{said["geo"]}

[[source]]
name = "hosts"
title = "Test hosting"
layer = "network"
format = "networks"
path = "data/hosts.txt"
value = "hosting:high:Example Cloud"
licence = "CC0-1.0"
attribution = "nobody"
fetch = "{self.server.url("/hosts.txt")}"
{said["hosts"]}
{said["end"]}
"""
        )

    def run(self, **wish: Any) -> list[str]:
        """Run an update; return what it tells."""

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        self.told.clear()
        timing = Timing(now=lambda: self.now, pause=pause, chance=lambda: 0.0)
        options: dict[str, Any] = {"whole_seconds": 20.0, "timing": timing, **wish}
        renew(self.manifest, self.image, Wish(**options), self.told.append)
        self.now += timedelta(minutes=1)
        return [each.text for each in self.told]

    def fails(self, **wish: Any) -> str:
        """Run an update that is to fail; return all that it tells."""
        with pytest.raises(UpdateError) as caught:
            self.run(**wish)
        return "\n".join([*(each.text for each in self.told), str(caught.value)])

    def country(self, address: str = "81.2.69.142") -> str | None:
        """What the image in force says."""
        return Database.open(self.image).country(address)

    def files(self) -> dict[str, str]:
        """What lies in the image's folder, by its SHA-256."""
        return {path.name: keep.digest(path) or "" for path in self.image.parent.iterdir()}

    def command(self, *arguments: str) -> Result:
        """Run the command itself."""
        return CliRunner().invoke(
            main, ["update", str(self.manifest), "-o", str(self.image), *arguments]
        )

    def process(self, code: str = "", **options: Any) -> subprocess.Popen[bytes]:
        """Run the command in a process of its own, after some code."""
        start = f"{code}\nfrom georestrict.cli import main\nmain()"
        return subprocess.Popen(
            [sys.executable, "-c", start, "update", self.manifest, "-o", self.image],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def place(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "owner"
    folder.mkdir()
    with Server(certified(authority, "127.0.0.1")) as server:
        yield Place(folder, server)


GB_MOVED = GEO.replace(b"GB", b"FR")


def test_the_first_run_fetches_compiles_and_publishes(place: Place) -> None:
    assert place.run() == [
        f"geo: fetched {len(GEO)} bytes from 127.0.0.1, of 2026-11-22",
        f"hosts: fetched {len(HOSTS)} bytes from 127.0.0.1, of 2026-11-22",
        f"{place.image}: published, {place.image.stat().st_size:,} bytes from 2 sources",
    ]
    assert place.country() == "GB"
    database = Database.open(place.image)
    assert [*database.lookup("81.2.69.142").categories] == ["hosting"]
    assert [f"{each.date}" for each in database.metadata.sources] == ["2026-11-22"] * 2
    assert (place.folder / "data/geoip").read_bytes() == GEO
    mode = (place.folder / "data/geoip").stat().st_mode
    assert stat.S_IMODE(mode) == 0o644
    hidden = {path.name for path in (place.folder / "data").iterdir()} - {"geoip", "hosts.txt"}
    names = ("geoip", "hosts.txt")
    assert hidden == {f".{each}{end}" for each in names for end in (".fetched.json", ".lock")}


def written(path: Path) -> tuple[int, int, int]:
    """Return what tells that a file was written; reading it changes other times."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def test_what_has_not_changed_is_not_fetched_nor_published_again(place: Place) -> None:
    place.run()
    before = written(place.image)
    asked = len(place.server.requests)
    assert place.run() == ["geo: unchanged", "hosts: unchanged", f"{place.image}: unchanged"]
    assert written(place.image) == before
    assert [
        request.headers.get("if-modified-since") for request in place.server.requests[asked:]
    ] == [
        MODIFIED,
        MODIFIED,
    ]


@pytest.mark.parametrize("modified", [True, False], ids=["304", "no validators"])
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "old"])
def test_what_has_not_changed_is_of_the_day_of_its_change_or_of_the_day_when_that_is_wanted(
    place: Place, fresh: bool, modified: bool
) -> None:
    place.write(hosts="unchanged_is_fresh = true" if fresh else "")
    if not modified:
        place.server.on("/hosts.txt", sends(HOSTS))
    place.run()
    place.now += timedelta(days=100)
    published = place.run()[-1] != f"{place.image}: unchanged"
    assert published is fresh
    dated = {each.name: each.date for each in Database.open(place.image).metadata.sources}
    first = datetime(2026, 11, 22 if modified else 23, tzinfo=UTC).date()
    assert dated["hosts"] == ((place.now.date()) if fresh else first)
    assert f"{dated['geo']}" == "2026-11-22"
    assert keep.kept(place.image) == []


def test_what_was_changed_by_hand_is_fetched_again(place: Place) -> None:
    place.run()
    (place.folder / "data/geoip").write_bytes(b"")
    (place.folder / "data/.hosts.txt.fetched.json").write_text("{")
    assert [text.partition(" ")[2][:7] for text in place.run()[:2]] == ["fetched", "fetched"]
    assert (place.folder / "data/geoip").read_bytes() == GEO


def test_a_changed_source_makes_a_new_image_and_old_ones_are_kept(place: Place) -> None:
    place.run()
    digests = [keep.digest(place.image)]
    for number in range(1, 5):
        place.geo(GEO + b"%d,%d,SE\n" % (50331648 + number * 256, 50331648 + number * 256))
        told = place.run(keep=2)
        assert told[-1].endswith(
            f"from 2 sources; the one before is geo.grdb.20261123T010{number}00Z"
        )
        digests.append(keep.digest(place.image))
    assert [keep.digest(path) for path in keep.kept(place.image)] == digests[-3:-1]
    place.geo(GEO)
    place.run(keep=0, force=True)
    assert keep.kept(place.image) == []


def test_an_image_is_only_made_again_of_other_data_or_another_day(place: Place) -> None:
    place.run()
    made = keep.digest(place.image)
    os.utime(place.folder / "data/geoip", (0, 0))
    assert place.run(force=True)[-1].startswith(f"{place.image}: published")
    assert keep.digest(place.image) != made


def test_a_failed_source_stops_the_run_after_the_others_were_fetched(place: Place) -> None:
    place.run()
    before = place.files()
    place.server.on("/geoip", sends(b"", 500))
    place.hosts(HOSTS + b"192.0.2.0/24\n")
    assert place.fails().splitlines() == [
        f"geo: failed: {place.server.url('/geoip')}: answered 500; tried 5 times",
        f"hosts: fetched {len(HOSTS) + 13} bytes from 127.0.0.1, of 2026-11-22",
        "nothing was published: of 2 sources 1 failed: geo",
    ]
    assert place.files() == before
    assert place.pauses == [0.5, 1.0, 2.0, 4.0]
    place.geo(GEO)
    assert place.run()[:2] == ["geo: unchanged", "hosts: unchanged"]
    assert place.files() != before


def test_only_some_sources_may_be_fetched(place: Place) -> None:
    place.run()
    place.server.on("/geoip", sends(b"", 404))
    place.hosts(HOSTS + b"192.0.2.0/24\n")
    assert len(place.run(only=("hosts",))) == 2
    assert Database.open(place.image).lookup("192.0.2.1").categories
    with pytest.raises(
        ConfigurationError, match="no source 'x' is fetched; fetched are: geo, hosts"
    ):
        place.run(only=("x",))
    (place.folder / "data/geoip").unlink()
    assert "source 'geo': " in place.fails(only=("hosts",))


@pytest.mark.parametrize(
    "wrong",
    [
        sends(b"<!doctype html><p>Your trial has ended"),
        sends(b"quota exceeded\n"),
        sends(b'{"error": "invalid token"}'),
        sends(GEO[:30]),
        sends(bytes(1000)),
        sends(b""),
        drops(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + GEO),
        sends(tar(member("../geoip", GEO))),
        redirects("http://192.0.2.1/geoip"),
    ],
    ids=["page", "text", "json", "cut", "zeros", "empty", "short", "archive", "http"],
)
def test_what_is_not_the_source_never_takes_its_place(place: Place, wrong: Behaviour) -> None:
    place.run()
    before = place.files()
    place.server.on("/geoip", wrong)
    assert place.fails().startswith("geo: failed: ")
    assert (place.folder / "data/geoip").read_bytes() == GEO
    assert place.files() == before and place.country() == "GB"
    assert not [*place.folder.glob("data/.*.update")]
    place.geo(GB_MOVED)
    place.run()
    assert place.country() == "FR"


def test_a_file_of_two_sources_is_read_as_both_before_it_takes_its_place(place: Place) -> None:
    again = place.manifest.read_text().partition("[[source]]")[2].partition("[[source]]")[0]
    again = again.replace('"geo"', '"more"').partition("fetch =")[0]
    place.write(end=f'[[source]]\n{again}sha256 = "{hashlib.sha256(GEO).hexdigest()}"')
    place.run()
    assert len(Database.open(place.image).metadata.sources) == 3
    place.geo(GB_MOVED)
    assert "geo: failed: source 'more'" in place.fails()
    assert (place.folder / "data/geoip").read_bytes() == GEO


def test_a_checksum_beside_the_file_is_compared(place: Place) -> None:
    place.write(geo='checksum = ".sha256"')
    right = hashlib.sha256(GEO).hexdigest().encode()
    place.server.on("/geoip.sha256", sends(b"0" * 64), sends(right + b"  geoip\n"))
    assert place.run()[0].startswith("geo: fetched")  # replaced between it and its checksum
    assert len(place.server.asked("/geoip")) == 2
    place.geo(GB_MOVED)
    assert "geo: failed: has not the SHA256 that 127.0.0.1 tells" in place.fails()
    place.server.on("/geoip.sha256", sends(b"", 404))
    assert "geo: failed: https://127.0.0.1:" in place.fails()
    assert place.country() == "GB"


def test_a_checksum_of_another_host_is_asked_for_without_credentials(
    place: Place, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    with Server(certified(authority, "127.0.0.1")) as other:
        url = other.on("/sum", sends(hashlib.sha256(GEO).hexdigest().encode()))
        place.write(geo=f'auth = {{ token_env = "TOKEN" }}\nchecksum = "{url}"')
        place.run()
        assert "authorization" not in other.requests[0].headers
    assert place.server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    url = place.server.on("/sum", sends(hashlib.sha256(GEO).hexdigest().encode()))
    (place.folder / "data/geoip").unlink()
    place.write(geo=f'auth = {{ token_env = "TOKEN" }}\nchecksum = "{url}"')
    place.run()
    assert place.server.asked("/sum")[0].headers["authorization"] == f"Bearer {SECRET}"


def test_a_checksum_in_the_manifest_is_compared(place: Place) -> None:
    place.write(geo=f'sha256 = "{hashlib.sha256(GEO).hexdigest()}"')
    place.run()
    place.geo(GB_MOVED)
    assert "the manifest says" in place.fails()
    assert (place.folder / "data/geoip").read_bytes() == GEO


def test_a_member_of_an_archive_is_the_source(place: Place) -> None:
    packed = tar(member("geo_2026/README", b"text"), member("geo_2026/geoip", GEO))
    place.server.on("/geoip", conditional(packed, '"1"'))
    place.write(geo='member = "geoip"')
    place.run()
    assert place.country() == "GB"
    assert place.run()[0] == "geo: unchanged"
    place.server.on("/geoip", sends(tar(member("geo/geoip", bytes(3_000_000)))))
    place.write(geo='member = "geoip"\nmost_bytes = 1_000_000')
    assert "holds more than 1,000,000 bytes unpacked" in place.fails()


def test_gzip_is_unpacked_whether_it_is_the_file_or_the_transfer(place: Place) -> None:
    import gzip

    packed = gzip.compress(GEO)
    for number, headers in enumerate([{}, {"Content-Encoding": "gzip"}]):
        place.server.on("/geoip", sends(packed, headers=headers | {"ETag": f'"{number}"'}))
        place.run()
        assert (place.folder / "data/geoip").read_bytes() == GEO
    bomb = gzip.compress(bytes(3_000_000))
    place.write(geo="most_bytes = 1_000_000")
    place.server.on("/geoip", sends(bomb, headers={"Content-Encoding": "gzip"}))
    assert "holds more than 1,000,000 bytes unpacked" in place.fails()


def test_the_files_of_a_folder_come_each_by_itself(place: Place) -> None:
    url = place.server.url
    files = f'{{ geoip = "{url("/geoip")}", geoip6 = "{url("/geoip6")}" }}'
    place.server.on("/geoip6", conditional(b"2001:218::,2001:218:ffff::,JP\n", '"6"', MODIFIED))
    place.write()
    text = place.manifest.read_text().replace('path = "data/geoip"', 'path = "tor"')
    place.manifest.write_text(text.replace(f'"{url("/geoip")}"', files))
    place.run()
    assert (place.country(), place.country("2001:218::1")) == ("GB", "JP")
    place.geo(GB_MOVED)
    assert place.run()[0].startswith(f"geo: fetched {len(GEO)} bytes")
    assert (place.country(), place.country("2001:218::1")) == ("FR", "JP")
    place.server.on("/geoip6", sends(b"junk\n"))
    place.geo(GEO)
    assert "geo: failed" in place.fails()
    assert (place.folder / "tor/geoip").read_bytes() == GB_MOVED


def test_g11_a_gate_refuses_and_force_publishes(place: Place) -> None:
    place.run()
    before = place.files()
    place.geo(GEO[: GEO.index(b"167772160")])
    told = place.fails()
    assert "refused: the layer 'country' has 2 IPv4 rows, 4 before" in told
    assert place.files() == before and place.country() == "GB"
    assert "refused" in place.fails()  # and again, without fetching it again
    told = "\n".join(place.run(force=True))
    assert "forced: the layer 'country' has 2 IPv4 rows, 4 before" in told
    assert place.country("10.0.0.1") is None and place.files() != before


def test_g11_a_wrong_canary_refuses_the_first_image_too(place: Place) -> None:
    place.write(end='[gates.canaries]\n"81.2.69.142" = "DE"')
    assert "refused: canary" in place.fails()
    assert not place.image.exists()
    place.write(end='[gates.canaries]\n"81.2.69.142" = "GB"')
    place.run()
    assert place.country() == "GB"


def test_g11_data_that_is_older_than_what_is_in_force_is_refused(place: Place) -> None:
    place.run()
    place.server.on("/geoip", conditional(GB_MOVED, '"old"', "Mon, 02 Nov 2026 08:00:00 GMT"))
    assert "older than in the image in force" in place.fails()
    assert place.country() == "GB"


def test_g11_a_clock_that_went_back_is_refused(place: Place) -> None:
    place.run()
    place.now -= timedelta(hours=1)
    place.geo(GB_MOVED)
    assert "before the one in force" in place.fails()


def test_a_damaged_image_in_force_is_replaced(place: Place) -> None:
    place.run()
    place.image.write_bytes(b"not an image")
    told = place.run()
    assert any("cannot be compared with" in text for text in told)
    assert place.country() == "GB"


def rollback(place: Place) -> Result:
    return CliRunner().invoke(main, ["rollback", str(place.image)])


def test_a_rollback_puts_the_older_image_in_force_and_the_next_update_leaves_it(
    place: Place,
) -> None:
    place.run()
    first = keep.digest(place.image)
    place.geo(GB_MOVED)
    place.run()
    second = keep.digest(place.image)
    done = rollback(place)
    assert done.exit_code == 0
    assert done.output == f"{place.image}: geo.grdb.20261123T010100Z is in force again\n"
    assert keep.digest(place.image) == first and place.country() == "GB"
    assert keep.digest(place.image.with_name("geo.grdb.refused")) == second
    assert keep.kept(place.image) == []
    for _ in range(2):
        assert "this data was rolled back at 20" in place.run()[-1]
    assert keep.digest(place.image) == first
    place.geo(GEO.replace(b"GB", b"IE"))
    place.run()
    assert place.country() == "IE"


def test_force_brings_back_what_was_rolled_back(place: Place) -> None:
    place.run()
    place.geo(GB_MOVED)
    place.run()
    rollback(place)
    place.run(force=True)
    assert place.country() == "FR"
    assert place.run()[-1] == f"{place.image}: unchanged"


def test_one_can_go_back_as_far_as_images_are_kept(place: Place) -> None:
    for code in (b"GB", b"FR", b"IE"):
        place.geo(GEO.replace(b"GB", code))
        place.run()
    damaged = place.image.with_name("geo.grdb.20991231T235959Z")
    damaged.write_bytes(place.image.read_bytes()[:-1])
    before = place.files()
    refused = rollback(place)
    assert refused.exit_code == 1
    assert "cut or appended to; remove it to go back to an older one" in refused.output
    assert place.files() == before
    damaged.unlink()
    assert [rollback(place).exit_code for _ in range(3)] == [0, 0, 1]
    assert place.country() == "GB"
    assert "no older image beside it" in rollback(place).output


def test_a_rollback_without_memory_says_so(place: Place) -> None:
    place.run()
    place.geo(GB_MOVED)
    place.run()
    (place.image.parent / ".geo.grdb.update.json").write_text('{"made_from": 1}')
    done = rollback(place)
    assert done.exit_code == 0 and "the next update may bring it back" in done.output
    assert place.country() == "GB"


def test_a_rollback_of_nothing_is_an_error(place: Place) -> None:
    assert rollback(place).exit_code == 1
    done = CliRunner().invoke(main, ["rollback", str(place.folder / "none" / "geo.grdb")])
    assert done.exit_code == 1 and "no such folder" in done.output


def test_a_link_to_itself_is_no_image(place: Place) -> None:
    place.image.symlink_to(place.image)
    assert "Too many levels of symbolic links" in place.fails()
    assert rollback(place).exit_code == 1


def test_an_image_behind_a_link_is_replaced_where_it_is(place: Place) -> None:
    link = place.folder / "link.grdb"
    link.symlink_to(place.image)
    real, place.image = place.image, link
    place.run()
    place.geo(GB_MOVED)
    place.run()
    assert link.is_symlink() and len(keep.kept(real)) == 1


def test_two_runs_at_once_are_one(place: Place) -> None:
    place.server.on("/geoip", hangs())
    running = place.process()
    wait_for(place.server, "/geoip")
    assert place.fails() == f"{place.image}: another update of it is running; wait for it"
    assert rollback(place).exit_code == 1
    running.send_signal(signal.SIGKILL)
    running.communicate()
    place.geo(GEO)
    place.run()
    assert place.country() == "GB"


def test_an_update_goes_on_when_nobody_reads_what_it_says(place: Place) -> None:
    running = place.process("import os\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)")
    said, _ = running.communicate()
    assert (running.returncode, said) == (1, b"")
    assert place.country() == "GB"
    assert place.run()[-1] == f"{place.image}: unchanged"


def test_a_file_of_two_images_is_fetched_by_one_run_at_a_time(place: Place) -> None:
    place.run()
    place.geo(GB_MOVED)
    with keep.locked(place.folder / "data/geoip"):
        said = place.fails()
    assert said.startswith(f"geo: failed: {place.folder}/data/geoip: another update of it is")
    assert place.run()[-1].startswith(f"{place.image}: published")


def wait_for(server: Server, path: str) -> None:
    """Wait until a path is asked for."""
    came = threading.Event()
    with server.lock:
        if server.asked(path):
            return
        script = server.scripts[path]

        def noticed(handler: Handler, first: Behaviour = script[0]) -> None:
            came.set()
            first(handler)

        script[0] = noticed
    assert came.wait(60), f"nobody asked for {path}"


def test_a_run_that_is_killed_in_mid_body_leaves_the_old_and_the_next_one_works(
    place: Place,
) -> None:
    place.run()
    before = place.files()
    held = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + GB_MOVED
    place.server.on("/geoip", hangs(held))
    running = place.process()
    wait_for(place.server, "/geoip")
    running.kill()
    assert running.wait() == -signal.SIGKILL
    running.communicate()
    assert place.files() == before | {".geo.grdb.lock": place.files()[".geo.grdb.lock"]}
    assert (place.folder / "data/geoip").read_bytes() == GEO
    place.geo(GB_MOVED)
    place.run()
    assert place.country() == "FR"
    assert not [*place.folder.glob("data/.*.update")]


# Kills the process before the Nth call that changes what lies in a folder.
KILLED = """
import os, signal, sys
left = int(os.environ["KILL_AT"])
def before(event, arguments):
    global left
    if event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.utime") or (
        event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        and "{folder}" in str(arguments[0])
    ):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(before)
"""


def killed_at(place: Place, step: int) -> bool:
    """Kill a run before a step; return whether it came that far."""
    code = KILLED.replace("{folder}", str(place.folder))
    running = place.process(code, env=os.environ | {"KILL_AT": str(step)})
    said, _ = running.communicate()
    assert running.returncode in (0, -signal.SIGKILL), said.decode()
    return running.returncode != 0


def check_steps(place: Place, steps: range) -> bool:
    """Kill a run at each of these steps, and look at what it leaves; True: one was the end."""
    place.now = datetime.now(UTC) - timedelta(minutes=90)
    place.run()
    codes = [b"GB", b"FR"]
    for number, step in enumerate(steps, 1):
        place.geo(GEO.replace(b"GB", codes[number % 2]))
        came = killed_at(place, step)
        assert place.country() in ("GB", "FR")
        for path in keep.kept(place.image):
            Database.open(path)
        assert (place.folder / "data/geoip").read_bytes() in (GEO, GB_MOVED)
        place.now = datetime.now(UTC)
        place.run()
        assert place.country() == codes[number % 2].decode()
        left = {path.name for path in place.image.parent.iterdir()}
        assert len(keep.kept(place.image)) <= 3
        assert not [name for name in left if name.endswith(".part")]
        if not came:
            return True
    return False


def test_g10_a_run_that_is_killed_at_some_steps_leaves_whole_images(place: Place) -> None:
    assert not check_steps(place, range(4, 13, 4))


@pytest.mark.slow
def test_g10_a_run_that_is_killed_at_any_step_leaves_whole_images(place: Place) -> None:
    assert check_steps(place, range(1, 200))


@pytest.mark.parametrize("room", [100, 2000])
def test_a_full_disk_leaves_the_old_and_says_so(place: Place, room: int) -> None:
    place.run()
    before = place.files()
    place.geo(GB_MOVED + b"# more than fits\n" * 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # as full as a disk, for this process
    try:
        told = place.fails()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in told
    assert place.files() | {".geo.grdb.update.json": ""} == before | {".geo.grdb.update.json": ""}
    place.run()
    assert place.country() == "FR"


def test_the_command_prints_a_line_a_source_and_exits_by_what_happened(place: Place) -> None:
    done = place.command()
    assert done.exit_code == 0
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [
        "geo",
        "hosts",
        str(place.image),
    ]
    assert done.stderr == ""
    assert place.command().exit_code == 0
    quiet = place.command("--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")
    place.geo(GB_MOVED)
    assert place.command("-q").stdout.startswith("geo: fetched")
    place.server.on("/geoip", sends(b"", 403))
    failed = place.command("--quiet")
    assert failed.exit_code == 1 and failed.stdout == ""
    assert failed.stderr.splitlines()[-1] == (
        "georestrict: nothing was published: of 2 sources 1 failed: geo"
    )


#: A source of the same file as ``geo``, written otherwise.
MORE = """
[[source]]
name = "more"
layer = "country"
path = "./data/geoip"
licence = "CC0-1.0"
attribution = "-"
fetch = "http://127.0.0.1:9{}"
"""


@pytest.mark.parametrize(
    ("extra", "arguments", "why"),
    [
        ({"geo": 'auth = { token_env = "NO_SUCH_TOKEN" }'}, (), "has no NO_SUCH_TOKEN"),
        ({"geo": 'member = "a/b"'}, (), "member is 'a/b'"),
        ({"end": MORE.format("/other")}, (), "'geo' and 'more' fetch different things to the same"),
        ({}, ("--only", "x"), "no source 'x' is fetched"),
        (
            {},
            ("-o", "sources.toml"),
            "sources.toml: is the manifest, which the image would replace",
        ),
        ({}, ("-o", "data/geoip"), "data/geoip: is source 'geo', which the image would replace"),
        ({}, ("--keep", "-1"), "--keep"),
        ({}, ("--timeout", "0"), "--timeout"),
    ],
)
def test_a_wrong_wish_is_told_before_anything_is_fetched(
    place: Place,
    extra: dict[str, str],
    arguments: tuple[str, ...],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place.folder)
    place.write(**extra)
    done = place.command(*arguments)
    assert done.exit_code == 2 and why in done.output
    assert not place.server.requests


def test_a_missing_folder_of_the_image_is_told(place: Place) -> None:
    place.image = place.folder / "none" / "geo.grdb"
    done = place.command()
    assert done.exit_code == 2 and "no such folder; make it" in done.output


def test_a_dry_run_asks_nobody_and_writes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNT", "12345")
    place.write(
        geo='auth = { user_env = "ACCOUNT", password_env = "NO_KEY" }\nmember = "geoip"\n'
        'checksum = ".sha256"'
    )
    done = place.command("--dry-run")
    url = place.server.url("/geoip")
    assert done.exit_code == 0
    assert done.output.splitlines()[0] == (
        f"geo: {url}, member geoip, checksum {url}.sha256, $ACCOUNT (is there), $NO_KEY "
        f"(is missing), to {place.folder}/data/geoip"
    )
    assert not place.server.requests
    assert {path.name for path in place.folder.rglob("*")} == {"images", "sources.toml"}


def test_without_httpx_the_command_says_what_to_install(place: Place) -> None:
    running = place.process("import sys\nsys.modules['httpx'] = None")
    said, _ = running.communicate()
    assert running.returncode == 2
    assert b"pip install 'georestrict[update]'" in said


def echoes(handler: Handler) -> None:
    """Answer with everything that was sent, wherever an answer has room for it."""
    sent = handler.headers["Authorization"]
    body = f"81.2.69.0 {sent} {SECRET}\n".encode()
    handler.send_response(200)
    handler.send_header("ETag", f'"{SECRET}"')
    handler.send_header("Last-Modified", SECRET)
    handler.send_header("X-Echo", sent)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_a_secret_is_nowhere_in_output_logs_files_and_images(place: Place) -> None:
    key = place.folder / "key"
    key.write_text(f"{SECRET}\n")
    key.chmod(0o600)
    place.write(
        geo='auth = { user_env = "THE_USER", password_file = "key" }',
        hosts='auth = { token_env = "THE_SECRET" }',
    )
    for asked in ("/geoip", "/hosts.txt"):
        place.server.scripts[asked] = [
            *place.server.scripts[asked],
            echoes,
            redirects(f"/signed/{SECRET}?signature={SECRET}"),
            redirects(f"http://{SECRET}@192.0.2.1/{SECRET}?{SECRET}"),
            sends(SECRET.encode(), 403, {"X-Echo": SECRET}),
            sends(b"", 503, {"Retry-After": "9999", "X-Echo": SECRET}),
            sends(b"", 404),
        ]
    # httpx says in its exception where this leads; it is tried again, and then not there
    place.server.scripts["/geoip"].insert(-1, redirects(f"https://[{SECRET}"))
    code = """
import logging
logging.basicConfig(level=logging.DEBUG)
for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection", "asyncio"):
    logging.getLogger(name).setLevel(logging.DEBUG)
from georestrict.cli import main
for _ in range(6):
    try:
        main(standalone_mode=False)
        print("exit code 0")
    except SystemExit as error:
        print("exit code", error.code)
"""
    environment = os.environ | {"THE_SECRET": SECRET, "THE_USER": "4711", "PYTHONASYNCIODEBUG": "1"}
    running = place.process(code, env=environment)
    said = running.communicate()[0]
    assert said.count(b"exit code 0") == 1 and said.count(b"exit code 1") == 5
    assert running.returncode == 1 and b"answered 404" in said and b"DEBUG" in said
    assert not {form for form in forms_of(SECRET, "4711") if form in said}, said.decode()
    sent = [place.server.asked(asked)[0].headers for asked in ("/geoip", "/hosts.txt")]
    assert sent[0]["authorization"].startswith("Basic ")
    assert sent[1]["authorization"] == f"Bearer {SECRET}"
    for path in place.folder.rglob("*"):
        if path.is_file() and path != key:
            held = path.read_bytes()
            assert not {form for form in forms_of(SECRET, "4711") if form in held}, path


def forms_of(secret: str, user: str) -> list[bytes]:
    """A secret as it is, and as a header has it."""
    import base64

    return [
        secret.encode(),
        base64.b64encode(f"{user}:{secret}".encode()),
        base64.b64encode(secret.encode()).rstrip(b"="),
    ]


def test_what_is_remembered_of_a_fetch_is_an_address_and_validators(place: Place) -> None:
    place.run()
    held = json.loads((place.folder / "data/.geoip.fetched.json").read_bytes())
    assert held == {
        "url": place.server.url("/geoip"),
        "member": None,
        "etag": f'"{hashlib.sha256(GEO).hexdigest()[:8]}"',
        "last_modified": MODIFIED,
        "sha256": hashlib.sha256(GEO).hexdigest(),
    }
