"""The command line: what it prints, and how it exits (design §4)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from georestrict import BACKEND, Database, __version__
from georestrict.cli import main
from tests import mmdb

TOR_GEOIP = """\
# Last updated based on a test
# This file is CC0
1359103232,1359103487,GB
2937112320,2937112575,CN
167772160,167772415,US
100663296,100663551,EU
2001:218::,2001:218:ffff:ffff:ffff:ffff:ffff:ffff,JP
"""
HOSTING = """\
# providers
81.2.69.128/25
81.2.69.7 # one machine
2001:218::-2001:218::ff
"""
MANIFEST = """\
[[source]]
name = "geo"
title = "Test countries"
layer = "country"
format = "tor-geoip"
path = "geoip"
date = 2026-01-02
licence = "CC0-1.0"
attribution = "nobody"

[[source]]
name = "hosts"
title = "Test hosting"
layer = "network"
format = "networks"
path = "hosting.txt"
value = "hosting:high:Example Cloud"
date = 2026-01-03
licence = "CC0-1.0"
attribution = "nobody"
"""
POLICY = """\
default = "allow"
contact = "https://example.com/access"

[lists.mine]
path = "mine.txt"

[[rules]]
name = "health"
action = "allow"
paths = ["/healthz"]

[[rules]]
name = "listed"
action = "block"
lists = ["mine"]

[[rules]]
name = "country"
action = "block"
countries = ["CN"]

[[rules]]
name = "cloud"
action = "warn"
categories = ["hosting"]
"""
FOUND = ["175.16.199.1", "81.2.69.142", "2001:218::1"]


def run(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    """Run a command; whatever it is given, it ends by exiting, never by a traceback."""
    result = CliRunner().invoke(main, [*map(str, arguments)], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def table(result: Result) -> dict[str, list[str]]:
    """The rows of a printed table by their first cell; cells are two spaces apart or more."""
    rows = {}
    for line in result.stdout.splitlines():
        cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        rows[cells[0]] = cells[1:]
    return rows


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    return lay(folder, {"geoip": TOR_GEOIP, "hosting.txt": HOSTING, "sources.toml": MANIFEST})


@pytest.fixture(scope="module")
def image(sources: Path) -> Path:
    """An image that the command line compiled."""
    result = run("compile", sources / "sources.toml", "-o", sources / "tiny.grdb")
    assert result.exit_code == 0
    return sources / "tiny.grdb"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return (
        lay(tmp_path, {"policy.toml": POLICY, "mine.txt": "6.0.0.0/24\n# mine\n10.1.0.0/16\n"})
        / "policy.toml"
    )


# --- lookup ------------------------------------------------------------------------------------------------


def test_lookup_in_the_default_data_prints_what_the_issue_asks_for() -> None:
    result = run("lookup", *FOUND, "10.0.0.1", "not-an-address")
    assert result.exit_code == 1
    rows = table(result)
    assert [rows[address][0] for address in FOUND] == ["CN", "GB", "JP"]
    assert all(rows[address][1] == "known" for address in FOUND)
    assert rows["10.0.0.1"][:2] == ["-", "private"]
    assert rows["not-an-address"][:2] == ["-", "invalid"]
    assert "error: not an IPv4 or IPv6 address" in rows["not-an-address"][-1]
    assert "1 of 5" in result.stderr


def test_lookup_names_the_data_with_dates_and_licences() -> None:
    result = run("lookup", "81.2.69.142")
    assert result.exit_code == 0
    assert result.stderr == ""
    sources = Database.open().metadata.sources
    assert len(sources) >= 2
    for source in sources:
        assert f"{source.name}: {source.title}, {source.date}, {source.licence}" in result.stdout


def test_lookup_prints_country_categories_and_the_matched_range_with_its_source(
    image: Path,
) -> None:
    rows = table(
        run(
            "lookup",
            "--database",
            image,
            *FOUND,
            "81.2.69.7",
            "6.0.0.1",
            "9.9.9.9",
            "2002:af10:c701::1",
        )
    )
    assert rows["175.16.199.1"] == ["CN", "known", "-", "CN 175.16.199.0-175.16.199.255 (geo:4)"]
    assert rows["81.2.69.142"] == [
        "GB", "known", "hosting:high (Example Cloud)",
        "GB 81.2.69.0-81.2.69.255 (geo:3); hosting:high:Example Cloud 81.2.69.128-81.2.69.255 (hosts:2)",
    ]  # fmt: skip
    assert rows["81.2.69.7"][-1].endswith("81.2.69.7 (hosts:3)")
    assert rows["2001:218::1"][:2] == ["JP", "known"]
    assert rows["6.0.0.1"][:2] == ["-", "unknown"]
    assert rows["9.9.9.9"] == ["-", "unknown", "-", "-"]
    assert rows["2002:af10:c701::1"][:2] == ["CN", "known via 6to4"]


def test_lookup_as_json_prints_one_object_a_line(image: Path) -> None:
    result = run(
        "lookup",
        "--json",
        "--database",
        image,
        "81.2.69.142",
        "192.168.0.1",
        "x",
        "64:ff9b::af10:c701",
    )
    assert result.exit_code == 1
    britain, private, wrong, carried = lines(result)
    assert britain == {
        "address": "81.2.69.142", "country": "GB", "status": "known", "categories": {"hosting": "high"},
        "subdivision": None, "provider": "Example Cloud", "via": None,
        "matches": [
            {"layer": "country", "value": "GB", "first": "81.2.69.0", "last": "81.2.69.255", "source": "geo", "line": 3,
             "date": "2026-01-02"},
            {"layer": "network", "value": "hosting:high:Example Cloud", "first": "81.2.69.128", "last": "81.2.69.255",
             "source": "hosts", "line": 2, "date": "2026-01-03"},
        ],
    }  # fmt: skip
    assert (private["country"], private["status"], private["matches"]) == (None, "private", [])
    assert wrong["address"] == "x"
    assert "address" in wrong["error"]
    assert (carried["country"], carried["via"]) == ("CN", "nat64")


def test_lookup_reads_addresses_from_standard_input_and_loses_nothing(image: Path) -> None:
    given = "81.2.69.142\r\n\n  175.16.199.1  \njunk\n10.0.0.0/8\n::ffff:175.16.199.1\n2001:218::1"
    result = run("lookup", "--json", "--database", image, "9.9.9.9", "-", "81.2.69.1", given=given)
    assert result.exit_code == 1
    assert [line["address"] for line in lines(result)] == [
        "9.9.9.9", "81.2.69.142", "175.16.199.1", "junk", "10.0.0.0/8", "::ffff:175.16.199.1", "2001:218::1", "81.2.69.1",
    ]  # fmt: skip
    assert [line.get("country") for line in lines(result)] == [
        None,
        "GB",
        "CN",
        None,
        None,
        "CN",
        "JP",
        "GB",
    ]
    assert ["error" in line for line in lines(result)].count(True) == 2
    assert "2 of 8" in result.stderr


def test_lookup_survives_any_bytes_on_standard_input(image: Path) -> None:
    result = run("lookup", "--database", image, "-", given=b"\xff\xfe\x00\n\x1b[31m\n81.2.69.142\n")
    assert result.exit_code == 1
    assert table(result)["81.2.69.142"][0] == "GB"
    assert "2 of 3" in result.stderr


def test_lookup_of_nothing_on_standard_input_is_an_answer(image: Path) -> None:
    result = run("lookup", "--json", "--database", image, "-", given="\n\n")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    "junk",
    [
        "",
        " ",
        "junk",
        "081.2.69.142",
        "81.2.69.0/24",
        "81.2.69.1-81.2.69.9",
        "fe80::1%eth0",
        "\u00e9",
        "1" * 5000,
    ],
)
def test_lookup_tells_of_every_kind_of_junk_and_goes_on(image: Path, junk: str) -> None:
    result = run("lookup", "--json", "--database", image, junk, "81.2.69.142")
    assert result.exit_code == 1
    wrong, right = lines(result)
    assert wrong["address"] == junk
    assert wrong["error"]
    assert right["country"] == "GB"


@pytest.mark.parametrize("command", ["lookup", "check"])
def test_a_missing_or_damaged_image_is_an_invalid_input(
    command: str, image: Path, policy: Path
) -> None:
    more: list[str | Path] = ["--policy", policy] if command == "check" else []
    for wrong in (image.with_name("gone.grdb"), image.with_name("geoip"), image.parent):
        result = run(command, *more, "--database", wrong, "81.2.69.142")
        assert result.exit_code == 1
        assert result.stderr.startswith("georestrict: ")
        assert str(wrong) in result.stderr


# --- check -------------------------------------------------------------------------------------------------


def test_check_prints_the_decision_and_why(image: Path, policy: Path) -> None:
    addresses = [
        "175.16.199.1",
        "81.2.69.142",
        "81.2.69.1",
        "6.0.0.9",
        "10.1.2.3",
        "10.0.0.1",
        "2002:af10:c701::1",
    ]
    result = run("check", "--policy", policy, "--database", image, *addresses)
    assert result.exit_code == 0
    rows = table(result)
    assert rows["175.16.199.1"][:4] == ["CN", "block", "country", "country"]
    assert rows["81.2.69.142"][:4] == ["GB", "warn", "category", "cloud"]
    assert rows["81.2.69.1"][:4] == ["GB", "allow", "default", "-"]
    assert rows["6.0.0.9"][:4] == ["unknown", "block", "network", "listed"]
    assert f"mine 6.0.0.0-6.0.0.255 ({policy.parent / 'mine.txt'}:1)" in rows["6.0.0.9"][-1]
    assert rows["10.1.2.3"][:4] == ["private", "block", "network", "listed"]
    assert f"{policy.parent / 'mine.txt'}:3" in rows["10.1.2.3"][-1]
    assert rows["10.0.0.1"][:4] == ["private", "allow", "private", "-"]
    assert rows["2002:af10:c701::1"][:4] == ["CN", "block", "country", "country"]


def test_check_as_json_tells_everything(image: Path, policy: Path) -> None:
    result = run(
        "check",
        "--json",
        "--policy",
        policy,
        "--database",
        image,
        "175.16.199.1",
        "6.0.0.9",
        "junk",
    )
    assert result.exit_code == 1
    china, mine, wrong = lines(result)
    assert {name: china[name] for name in ("address", "action", "would", "reason", "rule", "code", "country", "status")} == {
        "address": "175.16.199.1", "action": "block", "would": None, "reason": "country", "rule": "country",
        "code": "unsupported_country_region_territory", "country": "CN", "status": "known",
    }  # fmt: skip
    assert (mine["lists"], mine["code"], mine["country"]) == (["mine"], "network_not_allowed", None)
    assert wrong["address"] == "junk"
    assert wrong["error"]


@pytest.mark.parametrize(
    ("path", "action", "rule"),
    [
        ("/healthz", "allow", "health"),
        ("/", "block", "country"),
        ("//healthz", "block", "country"),
        ("/healthz/..", "block", "country"),
    ],
)
def test_check_takes_the_path_into_account(
    image: Path, policy: Path, path: str, action: str, rule: str
) -> None:
    result = run(
        "check", "--json", "--policy", policy, "--database", image, "--path", path, "175.16.199.1"
    )
    assert [(line["action"], line["rule"]) for line in lines(result)] == [(action, rule)]


def test_check_takes_a_method(image: Path, policy: Path) -> None:
    result = run(
        "check",
        "--json",
        "--policy",
        policy,
        "--database",
        image,
        "--method",
        "POST",
        "175.16.199.1",
    )
    assert (result.exit_code, lines(result)[0]["action"]) == (0, "block")


def test_check_says_what_a_dry_run_would_do(image: Path, policy: Path) -> None:
    policy.write_text('mode = "dry-run"\n' + POLICY)
    shown = run("check", "--policy", policy, "--database", image, "175.16.199.1")
    assert table(shown)["175.16.199.1"][1] == "dry-run: block"
    told = lines(run("check", "--json", "--policy", policy, "--database", image, "175.16.199.1"))[0]
    assert (told["action"], told["would"]) == ("allow", "block")


def test_check_says_what_the_emergency_switch_makes_of_a_block(
    image: Path, policy: Path, tmp_path: Path
) -> None:
    policy.write_text('emergency_file = "off"\n' + POLICY)
    (tmp_path / "off").touch()
    arguments = ("--policy", policy, "--database", image, "175.16.199.1")
    assert table(run("check", *arguments))["175.16.199.1"][1] == "emergency: warn (block)"
    told = lines(run("check", "--json", *arguments))[0]
    assert (told["action"], told["would"], told["emergency"]) == ("warn", "block", True)


def test_check_reads_standard_input(image: Path, policy: Path) -> None:
    result = run(
        "check",
        "--json",
        "--policy",
        policy,
        "--database",
        image,
        "-",
        given="81.2.69.1\n?\n175.16.199.1\n",
    )
    assert result.exit_code == 1
    assert [line.get("action", "error") for line in lines(result)] == ["allow", "error", "block"]
    assert "1 of 3" in result.stderr


def test_check_with_a_wrong_policy_is_a_configuration_error(image: Path, policy: Path) -> None:
    policy.write_text(POLICY.replace('"CN"', '"UK"'))
    result = run("check", "--policy", policy, "--database", image, "81.2.69.142")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean GB?" in result.stderr


# --- compile -----------------------------------------------------------------------------------------------


def test_compile_writes_an_image_that_answers_as_its_sources_say(image: Path) -> None:
    database = Database.open(image)
    for address, country in (
        ("81.2.68.255", None), ("81.2.69.0", "GB"), ("81.2.69.255", "GB"), ("81.2.70.0", None),
        ("175.16.199.0", "CN"), ("175.16.200.0", None), ("6.0.0.1", None), ("2001:218::", "JP"), ("2001:219::", None),
        ("10.0.0.1", None),
    ):  # fmt: skip
        assert database.country(address) == country, address
    assert [(source.name, source.rows) for source in database.metadata.sources] == [
        ("geo", (4, 1)),
        ("hosts", (2, 1)),
    ]
    assert not [
        path for path in image.parent.iterdir() if path.suffix not in ("", ".txt", ".toml", ".grdb")
    ]


def test_compile_tells_how_large_the_image_is(sources: Path, tmp_path: Path) -> None:
    result = run("compile", sources / "sources.toml", "-o", tmp_path / "new.grdb")
    assert result.exit_code == 0
    size = (tmp_path / "new.grdb").stat().st_size
    assert result.stdout.splitlines() == [
        f"{tmp_path / 'new.grdb'}: {size:,} bytes, 8 classes",
        "  geo: country, 2026-01-02: 4 IPv4 and 1 IPv6 rows",
        "  hosts: network, 2026-01-03: 2 IPv4 and 1 IPv6 rows",
    ]


BAD_MANIFESTS = {
    "it is missing": (None, ["sources.toml", "No such file"]),
    "it is no text": (b"\xff\xfe", ["sources.toml", "TOML"]),
    "it nests too deep": ("x = " + "[" * 100_000, ["sources.toml", "TOML"]),
    "it has a huge number": ("x = " + "1" * 5000, ["sources.toml", "TOML"]),
    "a source has no licence": (MANIFEST.replace('licence = "CC0-1.0"\n', "", 1), ["source 1", "'licence'"]),
    "a source's file is missing": (MANIFEST.replace('"geoip"', '"gone"'), ["geo", "gone", "No such file"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_wrong_manifest_is_a_configuration_error_and_writes_nothing(
    tmp_path: Path, name: str
) -> None:
    text, told = BAD_MANIFESTS[name]
    lay(
        tmp_path,
        {"geoip": TOR_GEOIP, "hosting.txt": HOSTING}
        | ({} if text is None else {"sources.toml": text}),
    )
    result = run("compile", tmp_path / "sources.toml", "-o", tmp_path / "out.grdb")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("georestrict: ")
    for words in told:
        assert words in result.stderr
    assert not (tmp_path / "out.grdb").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("geoip", "1,4294967296,GB\n", "geoip:1", id="a number above the IPv4 space"),
        pytest.param("geoip", "1,::2,GB\n", "geoip:1", id="a range of two families"),
        pytest.param(
            "geoip", "1," + "9" * 5000 + ",GB\n", "geoip:1", id="a number of 5,000 digits"
        ),
        pytest.param("geoip", b"\xff\xfe\n", "geoip:1", id="bytes that are no text"),
        pytest.param("hosting.txt", "81.2.69.1/24\n", "hosting.txt:1", id="host bits in a list"),
        pytest.param("hosting.txt", b"\xff\xfe\n", "hosting.txt:1", id="a list that is no text"),
        pytest.param("hosting.txt", "# nobody\n", "allow_empty", id="a list of nobody"),
    ],
)
def test_a_source_that_is_not_of_its_format_is_an_invalid_input(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    lay(
        tmp_path,
        {
            "geoip": TOR_GEOIP,
            "hosting.txt": HOSTING,
            "sources.toml": MANIFEST,
            "out.grdb": b"old",
            name: content,
        },
    )
    result = run("compile", tmp_path / "sources.toml", "-o", tmp_path / "out.grdb")
    assert result.exit_code == 1
    assert told in result.stderr
    assert (tmp_path / "out.grdb").read_bytes() == b"old"


def test_compile_into_a_folder_that_is_missing_is_a_configuration_error(
    sources: Path, tmp_path: Path
) -> None:
    result = run("compile", sources / "sources.toml", "-o", tmp_path / "no" / "out.grdb")
    assert result.exit_code == 2
    assert str(tmp_path / "no" / "out.grdb") in result.stderr


def test_compile_shows_a_bar_on_a_terminal_and_nowhere_else(sources: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "georestrict.cli", "compile", str(sources / "sources.toml")]
    terminal, end = os.openpty()
    with os.fdopen(terminal, "rb") as shown:
        done = subprocess.run(
            [*command, "-o", str(tmp_path / "a.grdb")],
            stdout=subprocess.PIPE,
            stderr=end,
            check=True,
        )
        os.close(end)
        bar = shown.read1(1 << 16)
    assert b"reading geo" in bar
    assert b"100%" in bar
    quiet = subprocess.run(
        [*command, "-o", str(tmp_path / "b.grdb")], capture_output=True, check=True
    )
    assert quiet.stderr == b""
    assert quiet.stdout.replace(b"b.grdb", b"a.grdb") == done.stdout


# --- verify ------------------------------------------------------------------------------------------------


def test_verify_of_a_good_image_says_what_it_holds(image: Path) -> None:
    result = run("verify", image)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{image}: good; built 20")
    assert "geo: Test countries, 2026-01-02, CC0-1.0" in result.stdout
    assert result.stderr == ""


def test_verify_refuses_a_truncated_an_extended_and_a_flipped_image(
    image: Path, tmp_path: Path
) -> None:
    whole = image.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    damaged = [
        *(whole[: len(whole) * part // 8] for part in range(8)),
        whole[:-1],
        whole + b"\0",
        bytes(flipped),
    ]
    for content in damaged:
        (tmp_path / "damaged.grdb").write_bytes(content)
        result = run("verify", tmp_path / "damaged.grdb")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"georestrict: {tmp_path / 'damaged.grdb'}")


def test_verify_of_a_missing_image_or_a_folder_is_an_invalid_input(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.grdb", tmp_path):
        result = run("verify", path)
        assert result.exit_code == 1
        assert str(path) in result.stderr


def test_verify_names_a_file_of_several_layers_once(tmp_path: Path) -> None:
    record = mmdb.maxmind("GB") | {"autonomous_system_number": 15169, "is_anonymous_vpn": True}
    result = run("verify", mmdb.write(tmp_path / "all.mmdb", [("81.2.69.0/24", record)]))
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    assert len(Database.open(tmp_path / "all.mmdb").metadata.sources) == 3


# --- info --------------------------------------------------------------------------------------------------


def test_info_tells_what_an_image_holds_and_how_old_it_is(image: Path) -> None:
    result = run("info", image)
    assert result.exit_code == 0
    first, second, *_ = result.stdout.splitlines()
    size = image.stat().st_size
    assert re.fullmatch(rf"{image}: image, built 20\d\d-\d\d-\d\d, {size:,} bytes", first)
    assert second == ("3 countries, 0 subdivisions, 8 classes; no AS numbers; categories: hosting")
    ages = [(datetime.now(UTC).date() - date(2026, 1, day)).days for day in (2, 3)]
    assert table(result)["geo"] == ["country", "2026-01-02", f"{ages[0]} days", "4", "1", "CC0-1.0"]
    assert table(result)["hosts"] == [
        "network",
        "2026-01-03",
        f"{ages[1]} days",
        "2",
        "1",
        "CC0-1.0",
    ]
    assert "geo: Test countries; nobody" in result.stdout


def test_info_tells_programs_the_same(image: Path) -> None:
    told = json.loads(run("info", image, "--json").stdout)
    sources = told.pop("sources")
    built = Database.open(image).metadata.built
    assert told == {
        "path": str(image), "kind": "image", "format_version": 1, "built": built.isoformat(),
        "size_bytes": image.stat().st_size, "runs": told["runs"], "classes": 8, "countries": 3,
        "subdivisions": 0, "asns": False, "categories": ["hosting"],
    }  # fmt: skip
    assert sources[0] == {
        "name": "geo", "title": "Test countries", "layer": "country", "date": "2026-01-02",
        "age_days": (datetime.now(UTC).date() - date(2026, 1, 2)).days, "licence": "CC0-1.0",
        "attribution": "nobody", "rows": {"ipv4": 4, "ipv6": 1},
    }  # fmt: skip


def test_info_tells_that_overrides_do_not_age(tmp_path: Path) -> None:
    manifest = f'{MANIFEST}[overrides]\n"81.2.69.0/24" = "UA-43"\n'
    lay(tmp_path, {"geoip": TOR_GEOIP, "hosting.txt": HOSTING, "sources.toml": manifest})
    assert run("compile", tmp_path / "sources.toml", "-o", tmp_path / "it.grdb").exit_code == 0
    row = table(run("info", tmp_path / "it.grdb"))["overrides"]
    assert (row[0], *row[2:]) == ("country", "-", "1", "0", "the owner's")
    told = json.loads(run("info", tmp_path / "it.grdb", "--json").stdout)
    assert (told["sources"][2]["age_days"], told["subdivisions"]) == (None, 1)


def test_info_of_an_mmdb_says_so(tmp_path: Path) -> None:
    path = mmdb.write(tmp_path / "all.mmdb", [("81.2.69.0/24", {"country_code": "GB", "asn": 1})])
    told = json.loads(run("info", path, "--json").stdout)
    assert (told["kind"], told["asns"]) == ("MMDB", True)
    assert [each["layer"] for each in told["sources"]] == ["country", "asn"]
    assert "AS numbers" in run("info", path).stdout.splitlines()[1]


def test_info_without_a_file_is_about_the_packages_data(tmp_path: Path) -> None:
    result = run("info")
    assert result.exit_code == 0
    assert "default.grdb: image, built " in result.stdout.splitlines()[0]
    assert [run("info", path).exit_code for path in (tmp_path / "gone.grdb", tmp_path)] == [1, 1]


def test_info_names_what_is_too_old_for_a_policy(image: Path, policy: Path) -> None:
    os.utime(policy.with_name("mine.txt"), (0, 0))
    limits = (
        'stale_after = "{0}"\n', '[categories.hosting]\nstale_after = "{0}"\nstale_action = "ignore"\n',
        '[lists.mine]\nstale_after = "{0}"\n',
    )  # fmt: skip
    for limit, names in (("1d", ["country", "hosting", "list mine"]), ("36500d", [])):
        first, categories, of_list = (text.format(limit) for text in limits)
        text = POLICY.replace("[lists.mine]\n", categories + of_list)
        policy.write_text(first + text)
        result = run("info", image, "--policy", policy)
        assert result.exit_code == 0
        told = json.loads(run("info", image, "--policy", policy, "--json").stdout)["stale"]
        assert [line.split(",")[0] for line in told] == names
        assert [line for line in result.stdout.splitlines() if line.startswith("stale: ")] == [
            f"stale: {line}" for line in told
        ]
    policy.write_text(first + text.replace('"36500d"', '"1d"'))
    told = json.loads(run("info", image, "--policy", policy, "--json").stdout)["stale"]
    assert told[0].endswith(
        "days old: categories.hosting.stale_after is 1d, stale_action is ignore"
    )
    policy.write_text("default = 7")
    assert run("info", image, "--policy", policy).exit_code == 2


# --- usage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"], ["lookup"], ["lookup", "--nonsense", "81.2.69.142"], ["lookup", "--database"], ["check", "81.2.69.142"],
        ["check", "--policy", "policy.toml"], ["compile"], ["compile", "sources.toml"], ["compile", "-o", "x.grdb"],
        ["verify", "a", "b"], ["--nonsense"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_exits_with_two_and_says_why(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_the_version_names_the_core_that_serves() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"georestrict {__version__} ({BACKEND} core)\n")


@pytest.mark.parametrize(
    "command",
    [[], ["lookup"], ["check"], ["compile"], ["verify"], ["info"], ["diff"]],
    ids=" ".join,
)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_the_program_itself_prints_what_it_cannot_decode_and_exits_with_one(image: Path) -> None:
    """In a process of its own: arguments are bytes there, and standard output is a real one."""
    command = [sys.executable, "-m", "georestrict", "lookup", "--database", str(image)]
    done = subprocess.run([*command, b"\xff", "81.2.69.142"], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"GB" in done.stdout
    assert b"1 of 2" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_image_is_written_through_a_link_and_never_over_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("10.9.0.0/16\n")
    (tmp_path / "sources.toml").write_text(
        '[[source]]\nname = "x"\ntitle = "x"\nlayer = "network"\nformat = "networks"\npath = "list.txt"\n'
        'date = 2026-01-01\nlicence = "x"\nattribution = "x"\nvalue = "vpn:high:X"\n'
    )
    target, link, pipe = tmp_path / "real.grdb", tmp_path / "link.grdb", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    os.mkfifo(pipe)
    runner = CliRunner()
    assert (
        runner.invoke(main, ["compile", str(tmp_path / "sources.toml"), "-o", str(link)]).exit_code
        == 0
    )
    assert link.is_symlink()
    assert target.read_bytes().startswith(b"GRDB")
    refused = runner.invoke(main, ["compile", str(tmp_path / "sources.toml"), "-o", str(pipe)])
    assert refused.exit_code == 2
    assert "not a regular file" in refused.stderr
    assert pipe.is_fifo()
    source = tmp_path / "list.txt"
    refused = runner.invoke(main, ["compile", str(tmp_path / "sources.toml"), "-o", str(source)])
    assert refused.exit_code == 2
    assert "is source 'x', which the image would replace" in refused.stderr
    assert source.read_text() == "10.9.0.0/16\n"


def test_a_date_in_the_future_is_told_since_no_limit_would_find_it_old(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("10.9.0.0/16\n")
    (tmp_path / "sources.toml").write_text(
        '[[source]]\nname = "x"\nlayer = "network"\nformat = "networks"\npath = "list.txt"\n'
        'date = 9062-01-01\nlicence = "x"\nattribution = "x"\nvalue = "vpn:high:X"\n'
    )
    done = run("compile", tmp_path / "sources.toml", "-o", tmp_path / "x.grdb")
    assert done.exit_code == 0
    assert done.stderr.startswith("x: is of 9062-01-01, in the future by this machine's clock")
