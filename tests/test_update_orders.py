"""What a source of a manifest may ask to fetch, and where its secrets are."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from georestrict.errors import ConfigurationError
from georestrict.update import catalogue, orders, secrets
from georestrict.update.orders import Auth, Secret

pytestmark = pytest.mark.once

NOW = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)


def order(**entry: Any) -> orders.Order:
    found = orders.of(entry, "here")
    assert found is not None
    return found


def test_a_source_without_fetch_asks_for_nothing() -> None:
    assert orders.of({"name": "x", "path": "y"}, "here") is None


@pytest.mark.parametrize(
    ("url", "tried"),
    [
        ("https://e.example/f", ["https://e.example/f"]),
        (
            "https://e.example/{month}.gz",
            ["https://e.example/2026-01.gz", "https://e.example/2025-12.gz"],
        ),
        ("https://e.example/{day}", ["https://e.example/20260101", "https://e.example/20251231"]),
        (
            "https://e.example/{hour}",
            ["https://e.example/2026-01-01-00", "https://e.example/2025-12-31-23"],
        ),
    ],
)
def test_an_address_may_have_the_time_in_it_and_the_time_before(url: str, tried: list[str]) -> None:
    (piece,) = order(fetch=url).pieces
    assert list(piece.urls(NOW))[:2] == tried


@pytest.mark.parametrize(
    "local", ["http://127.0.0.1:8000/f", "http://localhost/f", "http://[::1]/f"]
)
def test_http_is_for_this_machine(local: str) -> None:
    assert order(fetch=local).pieces[0].url == local


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"fetch": "http://example.com/f"}, "is not https; http is only for this machine"),
        ({"fetch": "http://127.0.0.1.example.com/f"}, "is not https"),
        ({"fetch": "ftp://example.com/f"}, "is not https"),
        ({"fetch": "https://"}, "is not a URL with a host"),
        ({"fetch": "https://[::1/f"}, "is not a URL with a host"),
        ({"fetch": "https://example.com:99999/f"}, "is not a URL with a host"),
        ({"fetch": "https://example.com/a b"}, "ASCII without spaces"),
        ({"fetch": "https://ex\u00e4mple.com/"}, "ASCII without spaces"),
        ({"fetch": "https://e.example/{year}"}, "of {month}, {day}, {hour} an address may have one"),
        ({"fetch": "https://e.example/{day}{day}"}, "an address may have one"),
        ({"fetch": ""}, "must be a URL, a name such as"),
        ({"fetch": 7}, "must be a URL, a name such as"),
        ({"fetch": {}}, "must be a URL, a name such as"),
        ({"fetch": {"../x": "https://e.example/"}}, "names the file '../x'"),
        ({"fetch": {".hidden": "https://e.example/"}}, "names the file '.hidden'"),
        ({"fetch": {"x": 1}}, "fetch.x: must be the text of a URL"),
        ({"fetch": "maxmind"}, "nobody is known by"),
        ({"fetch": "feed:amazon"}, "nobody is known by: did you mean 'feed:"),
        ({"fetch": "ipinfo:../secrets"}, "nobody is known by"),
        ({"member": "*.mmdb"}, "'member' without 'fetch'"),
        ({"auth": {}}, "'auth' without 'fetch'"),
        ({"fetch": "https://e.example/", "member": "a/b"}, "member is 'a/b'"),
        ({"fetch": "https://e.example/", "member": 1}, "member is 1"),
        ({"fetch": {"a": "https://e.example/"}, "member": "*"}, "'member' is for one archive"),
        ({"fetch": "https://e.example/", "checksum": "abc"}, "checksum is 'abc'"),
        ({"fetch": "https://e.example/", "checksum": "http://e.example/s"}, "checksum: 'http://e.example/s' is not https"),
        ({"fetch": "https://e.example/", "checksum": "https://e.example/{day}"}, "write what is appended"),
        ({"fetch": "https://e.example/", "most_bytes": 10}, "most_bytes is 10, must be a whole number from 1024"),
        ({"fetch": "https://e.example/", "most_bytes": True}, "most_bytes is True"),
        ({"fetch": "https://e.example/", "auth": "me"}, "auth must be a table"),
        ({"fetch": "https://e.example/", "unchanged_is_fresh": 1}, "unchanged_is_fresh is 1, must be"),
        ({"fetch": "https://e.example/", "auth": {"token_env": 1}}, "auth.token_env must be text"),
        ({"fetch": "https://e.example/", "auth": {"token_env": "A", "token_file": "b"}}, "write one of them"),
        ({"fetch": "https://e.example/", "auth": {"token_env": "A", "user_env": "B"}}, "a token and a user"),
        ({"fetch": {"a": "https://e.example/", "b": "https://f.example/"}, "auth": {"token_env": "A"}}, "auth is for one host"),
        ({"fetch": "https://e.example/", "auth": {"password_env": "A"}}, "a password and no user"),
    ],
)  # fmt: skip
def test_a_wrong_order_is_told_with_its_place(entry: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        orders.of(entry, "sources.toml: source 'x'")
    assert str(caught.value).startswith("sources.toml: source 'x': ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        {"fetch": "https://me:hunter2@example.com/f"},
        {"fetch": "https://hunter2@example.com/f"},
        {"fetch": "https://example.com/f?license_key=hunter2"},
        {"fetch": "https://example.com/f?a=b&TOKEN=hunter2"},
        {"fetch": "https://example.com/f", "checksum": "https://example.com/f?apikey=hunter2"},
        {"fetch": "http://example.com/f?x=hunter2"},
        {"fetch": "https://example.com/f", "auth": {"token": "hunter2"}},
        {"fetch": "https://example.com/f", "auth": {"token_env": "hunter2"}},
        {"fetch": "https://example.com/f", "auth": {"token_env": "$hunter2"}},
    ],
)
def test_a_secret_in_a_manifest_is_refused_and_not_repeated(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        orders.of(entry, "here")
    assert "hunter2" not in str(caught.value)


def test_what_the_catalogue_offers_is_what_providers_document() -> None:
    maxmind = order(fetch="maxmind:GeoLite2-Country")
    (piece,) = maxmind.pieces
    assert piece.url == (
        "https://download.maxmind.com/geoip/databases/GeoLite2-Country/download?suffix=tar.gz"
    )
    assert piece.checksum_url(piece.url) == f"{piece.url}.sha256"
    assert maxmind.member == "*.mmdb"
    assert maxmind.auth == Auth(
        user=Secret(env="MAXMIND_ACCOUNT_ID"), password=Secret(env="MAXMIND_LICENSE_KEY")
    )
    csv = order(fetch="maxmind:GeoLite2-City-CSV")
    assert csv.pieces[0].url.endswith("GeoLite2-City-CSV/download?suffix=zip")
    assert csv.member is None
    (dbip,) = order(fetch="dbip:country-lite.mmdb").pieces
    assert dbip.urls(NOW) == (
        "https://download.db-ip.com/free/dbip-country-lite-2026-01.mmdb.gz",
        "https://download.db-ip.com/free/dbip-country-lite-2025-12.mmdb.gz",
    )
    (ipinfo,) = order(fetch="ipinfo:ipinfo_lite.mmdb").pieces
    assert ipinfo.checksum_url(ipinfo.url) == "https://ipinfo.io/data/ipinfo_lite.mmdb/checksums"
    (azure,) = order(fetch="feed:azure").pieces
    assert len(azure.urls(NOW)) == 15 and "ServiceTags_Public_20251218.json" in azure.urls(NOW)[-1]
    (tor,) = order(fetch="tor:collector").pieces
    assert tor.urls(NOW)[1].endswith("/recent/exit-lists/2025-12-31-23-02-00")


def test_all_registries_are_five_files_of_a_folder_each_with_its_sum() -> None:
    pieces = order(fetch="registry:all").pieces
    assert [piece.name for piece in pieces] == [
        f"delegated-{name}-extended-latest"
        for name in ("afrinic", "apnic", "arin", "lacnic", "ripencc")
    ]
    assert all(piece.checksum_url(piece.url) == f"{piece.url}.md5" for piece in pieces)


@pytest.mark.parametrize("name", [name for name in catalogue.NAMES if name == name.lower()])
def test_every_name_of_the_catalogue_is_a_whole_order(name: str) -> None:
    for piece in order(fetch=name).pieces:
        for url in piece.urls(NOW):
            assert "{" not in url
            orders.check_url(url, name)


def test_what_a_manifest_says_comes_before_the_catalogue() -> None:
    said = order(
        fetch="maxmind:GeoLite2-Country",
        auth={"user_file": "a", "password_file": "b"},
        checksum="https://sums.example/f",
        most_bytes=5000,
        member="GeoLite2-*.mmdb",
    )
    assert said.auth == Auth(user=Secret(file="a"), password=Secret(file="b"))
    assert said.pieces[0].checksum_url("x") == "https://sums.example/f"
    assert (said.most_bytes, said.member) == (5000, "GeoLite2-*.mmdb")


def read(auth: Auth, folder: Path) -> secrets.Credentials:
    found = secrets.read(auth, folder, "here")
    assert found is not None
    return found


def test_secrets_come_from_the_environment_from_files_and_from_files_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("hunter2\n")
    (tmp_path / "key").chmod(0o600)
    auth = Auth(user=Secret(env="ACCOUNT"), password=Secret(file="key"))
    monkeypatch.setenv("ACCOUNT", "12345")
    assert read(auth, tmp_path).header == "Basic MTIzNDU6aHVudGVyMg=="
    monkeypatch.delenv("ACCOUNT")
    monkeypatch.setenv("ACCOUNT_FILE", str(tmp_path / "key"))
    assert read(Auth(token=Secret(env="ACCOUNT")), tmp_path).header == "Bearer hunter2"
    assert read(Auth(user=Secret(file="key")), tmp_path).header == "Basic aHVudGVyMjo="
    assert secrets.read(None, tmp_path, "here") is None


def test_what_holds_secrets_does_not_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    found = read(Auth(token=Secret(env="TOKEN")), Path())
    assert "hunter2" not in repr(found) and "hunter2" not in str(found)
    assert found.cut("a hunter2 b") == "a … b"


@pytest.mark.parametrize("held", ["", "\n", "two\nlines", "caf\xe9", "x" * 5000, "nul\0"])
def test_a_secret_that_is_none_is_told_without_it(tmp_path: Path, held: str) -> None:
    (tmp_path / "key").write_text(held, encoding="utf-8")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigurationError, match="the file 'key' holds is no secret") as caught:
        secrets.read(Auth(token=Secret(file="key")), tmp_path, "here")
    assert not held.strip() or held not in str(caught.value)


def test_a_missing_secret_is_told_with_both_ways_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="has no TOKEN, nor TOKEN_FILE"):
        secrets.read(Auth(token=Secret(env="TOKEN")), tmp_path, "here")
    with pytest.raises(ConfigurationError, match="No such file"):
        secrets.read(Auth(token=Secret(file="none")), tmp_path, "here")
    monkeypatch.setenv("TOKEN", "a:b")
    with pytest.raises(ConfigurationError, match="holds a colon"):
        secrets.read(Auth(user=Secret(env="TOKEN")), tmp_path, "here")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o440, False), (0o644, True)])
def test_a_file_that_everybody_may_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    (tmp_path / "key").write_text("hunter2")
    (tmp_path / "key").chmod(mode)
    with caplog.at_level(logging.DEBUG):
        assert secrets.read(Auth(token=Secret(file="key")), tmp_path, "here")
    assert ["everybody on this machine may read" in each for each in caplog.messages] == [
        True
    ] * warned
    assert "hunter2" not in caplog.text
