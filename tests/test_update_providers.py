"""Names of the catalogue, each fetched from its real address as its provider is said to answer.

A proxy on loopback plays the providers' hosts, with certificates of the tests' own authority: what
is asked of whom, and with which credentials, is what the internet would see.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from georestrict import Database
from georestrict.renewal import Told, Wish, renew
from georestrict.update.fetch import Timing
from tests import mmdb
from tests.misbehaving import Server, conditional, redirects, sends
from tests.test_update_archive import member, tar

pytestmark = pytest.mark.once

NOW = datetime(2099, 11, 1, 3, 0, tzinfo=UTC)  # later than what mmdb-writer says it wrote
MODIFIED = "Fri, 30 Oct 2026 08:00:00 GMT"
COUNTRIES = [("81.2.69.0/24", {"country": {"iso_code": "GB"}})]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def internet(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Server(authority=authority) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url(""))
        yield proxy


def update(
    folder: Path, fetch: str, path: str, layer: str = "country", more: str = ""
) -> list[str]:
    """Run an update of one source; return what it tells."""
    (folder / "sources.toml").write_text(
        f"""
[[source]]
name = "x"
layer = "{layer}"
path = "{path}"
licence = "the provider's"
attribution = "the provider"
fetch = "{fetch}"
{more}
"""
    )
    told: list[Told] = []
    wish = Wish(whole_seconds=20.0, timing=Timing(now=lambda: NOW))
    renew(folder / "sources.toml", folder / "geo.grdb", wish, told.append)
    return [each.text for each in told]


def country(folder: Path) -> str | None:
    return Database.open(folder / "geo.grdb").country("81.2.69.142")


def mmdb_bytes(folder: Path) -> bytes:
    mmdb.write(folder / "made.mmdb", COUNTRIES, kind="GeoLite2-Country")
    return (folder / "made.mmdb").read_bytes()


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def test_maxmind_leads_to_a_signed_address_that_gets_no_credentials(
    internet: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAXMIND_ACCOUNT_ID", "4711")
    monkeypatch.setenv("MAXMIND_LICENSE_KEY", "key")
    packed = tar(member("GeoLite2-Country_2026/LICENSE.txt", b"text"),
                 member("GeoLite2-Country_2026/GeoLite2-Country.mmdb", mmdb_bytes(tmp_path)))  # fmt: skip
    page = "https://download.maxmind.com/geoip/databases/GeoLite2-Country/download?suffix=tar.gz"
    store = "https://mm-prod-geoip-databases.example.com/GeoLite2-Country.tar.gz?signature=1"
    internet.on(page, redirects(store))
    internet.on(store, conditional(packed, '"1"', MODIFIED))
    total = f"{hashlib.sha256(packed).hexdigest()}  GeoLite2-Country_20261030.tar.gz\n"
    internet.on(f"{page}.sha256", sends(total.encode()))
    assert update(tmp_path, "maxmind:GeoLite2-Country", "geo.mmdb")[0] == (
        f"x: fetched {len(packed):,} bytes from mm-prod-geoip-databases.example.com, of 2026-10-30"
    )
    assert country(tmp_path) == "GB"
    assert {one.path: one.headers.get("authorization") for one in internet.requests} == {
        page: basic("4711:key"),
        store: None,
        f"{page}.sha256": basic("4711:key"),
    }
    assert update(tmp_path, "maxmind:GeoLite2-Country", "geo.mmdb")[0] == "x: unchanged"


def test_maxminds_csv_stays_in_its_archive(
    internet: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAXMIND_ACCOUNT_ID", "4711")
    monkeypatch.setenv("MAXMIND_LICENSE_KEY", "key")
    held = io.BytesIO()
    folder = "GeoLite2-Country-CSV_20261030"
    blocks = (
        "network,geoname_id,registered_country_geoname_id,represented_country_geoname_id,"
        "is_anonymous_proxy,is_satellite_provider\n"
    )
    places = (
        "geoname_id,locale_code,continent_code,continent_name,country_iso_code,country_name,"
        "is_in_european_union\n2635167,en,EU,Europe,GB,United Kingdom,0\n"
    )
    with zipfile.ZipFile(held, "w") as made:
        made.writestr(
            f"{folder}/GeoLite2-Country-Blocks-IPv4.csv", f"{blocks}81.2.69.0/24,2635167,,,0,0\n"
        )
        made.writestr(f"{folder}/GeoLite2-Country-Blocks-IPv6.csv", blocks)
        made.writestr(f"{folder}/GeoLite2-Country-Locations-en.csv", places)
    url = "https://download.maxmind.com/geoip/databases/GeoLite2-Country-CSV/download?suffix=zip"
    internet.on(url, conditional(held.getvalue(), '"1"'))
    total = hashlib.sha256(held.getvalue()).hexdigest()
    internet.on(f"{url}.sha256", sends(f"{total}  {folder}.zip".encode()))
    update(tmp_path, "maxmind:GeoLite2-Country-CSV", "geo.zip")
    assert country(tmp_path) == "GB"


def test_db_ip_has_last_months_file_on_the_first_of_a_month(
    internet: Server, tmp_path: Path
) -> None:
    data = mmdb_bytes(tmp_path)
    october = "https://download.db-ip.com/free/dbip-country-lite-2099-10.mmdb.gz"
    internet.on(october, conditional(gzip.compress(data), '"1"'))
    update(tmp_path, "dbip:country-lite.mmdb", "geo.mmdb")
    assert (tmp_path / "geo.mmdb").read_bytes() == data
    assert country(tmp_path) == "GB"
    assert [one.path[-10:-8] for one in internet.requests] == ["11", "10"]
    assert update(tmp_path, "dbip:country-lite.mmdb", "geo.mmdb")[0] == "x: unchanged"
    assert internet.requests[-1].headers["if-none-match"] == '"1"'


def test_ipinfo_takes_the_token_as_a_user_and_tells_sums_as_json(
    internet: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPINFO_TOKEN", "token")
    mmdb.write(
        tmp_path / "made.mmdb",
        [("81.2.69.0/24", {"country": "United Kingdom", "country_code": "GB"})],
        kind="ipinfo ipinfo_lite.mmdb",
    )
    data = (tmp_path / "made.mmdb").read_bytes()
    url, store = "https://ipinfo.io/data/ipinfo_lite.mmdb", "https://dl.assets.example.com/x?s=1"
    internet.on(url, redirects(store))
    internet.on(store, sends(data))
    sums = {name: hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256")}
    internet.on(f"{url}/checksums", sends(json.dumps({"checksums": sums}).encode()))
    update(tmp_path, "ipinfo:ipinfo_lite.mmdb", "geo.mmdb")
    assert country(tmp_path) == "GB"
    assert [one.headers.get("authorization") for one in internet.requests] == [
        basic("token:"),
        None,
        basic("token:"),
    ]


def test_the_registries_have_sums_in_two_spellings(internet: Server, tmp_path: Path) -> None:
    hosts = {
        "afrinic": "https://ftp.afrinic.net/pub/stats/afrinic",
        "apnic": "https://ftp.apnic.net/stats/apnic",
        "arin": "https://ftp.arin.net/pub/stats/arin",
        "lacnic": "https://ftp.lacnic.net/pub/stats/lacnic",
        "ripencc": "https://ftp.ripe.net/pub/stats/ripencc",
    }
    for number, (registry, address) in enumerate(hosts.items()):
        name = f"delegated-{registry}-extended-latest"
        network = "81.2.69.0" if registry == "ripencc" else f"16{number}.0.0.0"
        rows = (
            f"2|{registry}|20261030|1|19830705|20261029|+0000\n"
            f"{registry}|*|ipv4|*|1|summary\n"
            f"{registry}|GB|ipv4|{network}|256|20010101|allocated|abc\n"
        ).encode()
        total = hashlib.md5(rows).hexdigest()
        line = (
            f"{total}  delegated-arin-extended-20261030"
            if registry == "arin"
            else f"MD5 ({name}) = {total}"
        )
        internet.on(f"{address}/{name}", conditional(rows, f'"{number}"', MODIFIED))
        internet.on(f"{address}/{name}.md5", sends(f"{line}\n".encode()))
    told = update(tmp_path, "registry:all", "registries")
    assert told[0].startswith("x: fetched ") and "ftp.ripe.net" in told[0]
    assert country(tmp_path) == "GB"
    assert len(internet.requests) == 10
    assert update(tmp_path, "registry:all", "registries")[0] == "x: unchanged"


def test_collectors_list_is_that_of_the_last_hour_that_has_one(
    internet: Server, tmp_path: Path
) -> None:
    exits = b"@type tordnsel 1.0\nDownloaded 2026-11-01 01:02:00\nExitNode 00\nPublished 2026-10-31 01:00:00\nLastStatus 2026-10-31 02:00:00\nExitAddress 81.2.69.142 2026-10-31 02:00:00\n"
    url = "https://collector.torproject.org/recent/exit-lists/2099-11-01-01-02-00"
    internet.on(url, sends(exits))
    more = 'format = "tor-exits"\nvalue = "tor:high:Tor"'
    update(tmp_path, "tor:collector", "tor.txt", "network", more)
    assert [one.path[-8:-6] for one in internet.requests] == ["03", "02", "01"]
    found = Database.open(tmp_path / "geo.grdb").lookup("81.2.69.142")
    assert [*found.categories] == ["tor"]


def test_azures_list_is_that_of_the_last_day_that_has_one(internet: Server, tmp_path: Path) -> None:
    tags = {"values": [{"name": "AzureCloud", "properties": {"addressPrefixes": ["81.2.69.0/24"]}}]}
    folder = "https://download.microsoft.com/download/7/1/d/71d86715-5596-4529-9b13-da13a5de5b63"
    internet.on(f"{folder}/ServiceTags_Public_20991026.json", sends(json.dumps(tags).encode()))
    more = 'format = "azure"\nvalue = "hosting:high:Microsoft"'
    update(tmp_path, "feed:azure", "azure.json", "network", more)
    assert len(internet.requests) == 7
    found = Database.open(tmp_path / "geo.grdb").lookup("81.2.69.142")
    assert found.provider == "Microsoft"
