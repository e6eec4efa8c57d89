"""Claims: several things that sources say of one network, and which of them is told (section I)."""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from ipaddress import IPv4Address, IPv6Address
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georestrict import (
    BACKEND,
    Category,
    Confidence,
    ConfigurationError,
    Database,
    DatabaseError,
    Engine,
    FormatError,
)
from georestrict.layers import Layers
from georestrict.manifest import Manifest, Source, encode
from georestrict.sources import Batch, Row, gathered
from georestrict.table import Image
from georestrict.table import encode as encode_image
from georestrict.testing import tiny_database
from tests.gold_claims import ORDER, SURE, Said, told, winner, winners
from tests.web import Answer, Request, through_asgi, through_wsgi

BASE = int(IPv4Address("81.2.69.0"))
KINDS: dict[int, type[IPv4Address] | type[IPv6Address]] = {4: IPv4Address, 6: IPv6Address}


def painted(networks: Sequence[Said], places: Sequence[Said] = (), version: int = 4) -> Database:
    """A database of these rows; those of one precedence are of one source, lines their numbers."""
    rows = {"network": networks, "country": places}
    said = {layer: _batches(layer, given, version) for layer, given in rows.items()}
    names = {f"{layer}{row.precedence}": row.precedence for layer in rows for row in rows[layer]}
    sources = [
        Source(
            name=name, title="-", layer=name.rstrip("-0123456789"), format="packed", path="-",
            date=date(2026, 1, 1), licence="-", attribution="-", precedence=precedence,
        )
        for name, precedence in {"country": 0, **names}.items()
    ]  # fmt: skip
    data = encode(Layers.of(said, names), sources, datetime(2026, 1, 1, tzinfo=UTC))
    return Database(Image(memoryview(data), "painted"))


def _batches(layer: str, rows: Sequence[Said], version: int) -> Iterable[tuple[str, Batch]]:
    """A batch for each row, so that rows of several sources keep their order."""
    for number, (first, last, value, precedence) in enumerate(rows):
        for batch in gathered([Row(version, first, last, value, number)]):
            yield f"{layer}{precedence}", batch


def assert_as_gold(
    database: Database, networks: Sequence[Said], places: Sequence[Said], version: int = 4
) -> None:
    """Compare around every end of a row."""
    top = (1 << (32 if version == 4 else 128)) - 1
    ends = {end + step for row in (*networks, *places) for end in row[:2] for step in (-1, 0, 1)}
    for value in (end for end in ends if 0 <= end <= top):
        address = KINDS[version](value)
        location = database.lookup(address)
        found = winners(networks, value)
        sure = {each: networks[at].value.split(":")[1] for each, at in found.items()}
        expected = {each: sure[each] for each in told([*found], sure.get("relay", ""))}
        assert list(location.categories.items()) == list(expected.items()), address
        named = [networks[found[each]].value.split(":", 2)[2] for each in expected]
        assert location.provider == next(filter(None, named), None), address
        held = [(at, row) for at, row in enumerate(places) if row.first <= value <= row.last]
        country = places[winner(held)].value if held else None
        assert location.country == country, address
        said = {
            (match.value, match.line) for match in database.matches(address) if match.layer == "network"
        }  # fmt: skip
        assert said == {(networks[at].value, at) for at in found.values()}, address
    database.verify()


def test_of_two_claims_of_a_category_one_wins_by_precedence_confidence_and_width() -> None:
    kinds = [*product([0, 7], SURE, [8, 16])]
    rows = [
        Said(middle - width, middle + width, f"vpn:{sure}:{name}", precedence)
        for number, pair in enumerate(product(kinds, repeat=2))
        for middle in [BASE + 64 * number + 32]
        for name, (precedence, sure, width) in zip("ab", pair, strict=True)
    ]
    assert len(rows) == 2 * 12 * 12
    assert_as_gold(painted(rows), rows, [])


def test_i2_every_set_of_categories_is_told_in_one_order_and_a_relay_hides_its_machines() -> None:
    sets = [each for count in range(8) for each in combinations(reversed(ORDER), count)]
    assert len(sets) == 128
    rows = [
        Said(BASE + at, BASE + at, f"{category}:medium:{category.title()}")
        for at, categories in enumerate(sets)
        for category in categories
    ]
    database = painted(rows)
    assert_as_gold(database, rows, [])
    for at, categories in enumerate(sets):
        found = database.lookup(IPv4Address(BASE + at))
        if "relay" in categories:
            assert not {"vpn", "hosting", "proxy", "cdn"} & {*found.categories}
            assert found.provider == ("Tor" if "tor" in categories else "Relay")
        else:
            assert {*found.categories} == {*categories}
        assert sorted(match.value for match in database.matches(IPv4Address(BASE + at))) == sorted(
            f"{category}:medium:{category.title()}" for category in categories
        )


def _rows(version: int, values: st.SearchStrategy[str]) -> st.SearchStrategy[list[Said]]:
    """Ranges that crowd together, so that they meet, in a part of the space that is public."""
    base = BASE if version == 4 else int(IPv6Address("2a00:1450::"))

    def row(at: int, count: int, value: str, precedence: int) -> Said:
        return Said(base + at, base + at + count, value, precedence)

    counts = st.integers(0, 40) | st.integers(0, 1 << 16)
    return st.lists(
        st.builds(row, st.integers(0, 64), counts, values, st.sampled_from([-3, 0, 10])),
        max_size=16,
    )


CLAIMS = st.builds(
    "{}:{}:{}".format,
    st.sampled_from(ORDER),
    st.sampled_from(SURE),
    st.sampled_from(["", "One", "Two: II"]),
)


@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data())
@settings(max_examples=60 if BACKEND == "compiled" else 4, deadline=None)
def test_whatever_sources_claim_the_plain_scan_tells_the_same(
    version: int, data: st.DataObject
) -> None:
    networks = data.draw(_rows(version, CLAIMS))
    places = data.draw(_rows(version, st.sampled_from(["GB", "CN", "US"])))
    assert_as_gold(painted(networks, places, version), networks, places, version)


# What sources are given to know of one another


FILES = {
    "egress.csv": "104.28.28.0/23,DE,,,\n104.28.30.0/24,GB,GB-ENG,,\n",
    "geo.csv": "104.16.0.0/12,US,,,\n104.28.28.0/25,US,,,\n104.28.30.128/25,US,US-TX,,\n",
    "cloud.txt": "104.28.0.0/16\n104.28.29.7\n",
}


def source(name: str, layer: str, path: str, *more: str) -> str:
    form = "geofeed" if path.endswith(".csv") else "networks"
    return "\n".join(
        ("[[source]]", f'name = "{name}"', f'title = "{name}"', f'layer = "{layer}"', f'format = "{form}"',
         f'path = "{path}"', "date = 2026-11-20", 'licence = "-"', 'attribution = "-"', *more, "")
    )  # fmt: skip


def compiled(folder: Path, *sources: str) -> Database:
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "sources.toml").write_text("\n".join(sources))
    (folder / "image.grdb").write_bytes(Manifest.load(folder / "sources.toml").compile())
    database = Database.open(folder / "image.grdb")
    database.verify()
    return database


EGRESS = source("egress", "network", "egress.csv", 'value = "relay:high:A Relay"')
USERS = source("users", "country", "egress.csv", "precedence = 10")
GEO = source("geo", "country", "geo.csv")
CLOUD = source("cloud", "network", "cloud.txt", 'value = "hosting:high:A Cloud"')


@pytest.mark.parametrize("sources", [(EGRESS, USERS, GEO, CLOUD), (CLOUD, GEO, USERS, EGRESS)])
def test_i2_a_relay_in_a_hosting_list_is_a_relay_with_the_country_that_it_publishes(
    tmp_path: Path, sources: tuple[str, ...]
) -> None:
    database = compiled(tmp_path, *sources)
    for address, country, subdivision in (
        ("104.28.28.1", "DE", None),  # the geo database says US of the half that it is in
        ("104.28.29.7", "DE", None),
        ("104.28.30.200", "GB", "GB-ENG"),
    ):
        found = database.lookup(address)
        assert (found.country, found.subdivision) == (country, subdivision)
        assert (found.categories, found.provider) == ({"relay": "high"}, "A Relay")
    assert {match.value for match in database.matches("104.28.29.7")} == {
        "DE", "relay:high:A Relay", "hosting:high:A Cloud",
    }  # fmt: skip
    beside = database.lookup("104.28.31.1")
    assert (beside.country, beside.categories) == ("US", {"hosting": "high"})


def test_i2_without_precedence_the_narrower_range_of_a_geo_database_wins(tmp_path: Path) -> None:
    database = compiled(tmp_path, EGRESS, source("users", "country", "egress.csv"), GEO)
    assert [database.country(text) for text in ("104.28.28.1", "104.28.28.200")] == ["US", "DE"]


def test_i2_a_relay_that_nobody_is_sure_of_hides_nothing() -> None:
    said = "relay:low:A Guess|hosting:high:A Cloud"
    database = tiny_database({"9.9.9.0/24": "US"}, {"9.9.9.0/24": said})
    assert database.lookup("9.9.9.9").categories == {"relay": "low", "hosting": "high"}
    block = {"name": "clouds", "action": "block", "categories": ["hosting"]}
    engine = Engine({"default": "allow", "rules": [block]}, database=database)
    assert engine.decide("9.9.9.9").rule == "clouds"


def test_i2_a_relay_is_allowed_unless_a_rule_names_it(tmp_path: Path) -> None:
    database = compiled(tmp_path, EGRESS, USERS, GEO, CLOUD)
    rules: list[dict[str, Any]] = [
        {
            "name": "tunnels",
            "action": "block",
            "categories": ["hosting:low", "vpn:low", "proxy:low"],
        },
        {"name": "home", "action": "allow", "countries": ["DE"]},
    ]
    policy = {"default": "block", "rules": rules}
    decision = Engine(policy, database=database).decide("104.28.28.1")
    assert (decision.action, decision.rule, decision.country) == ("allow", "home", "DE")
    named = {"name": "relays", "action": "block", "categories": ["relay"]}
    decision = Engine({**policy, "rules": [named, *rules]}, database=database).decide("104.28.28.1")
    assert (decision.action, decision.rule, decision.reason) == ("block", "relays", "category")


SEVERAL = tiny_database(
    {"81.2.69.0/24": "GB"},
    {
        "81.2.69.0/25": "hosting:medium:A Cloud",
        "81.2.69.7/32": "tor:high",
        "81.2.69.128/26": "vpn:low:By Name|hosting:high:Another",
    },
)


@pytest.mark.parametrize(
    ("address", "category", "action"),
    [
        ("81.2.69.7", "tor:high", "block"),  # I1
        ("81.2.69.7", "hosting", "block"),  # I1: a Tor exit in a cloud is in both
        ("81.2.69.7", "hosting:high", "allow"),
        ("81.2.69.1", "tor:low", "allow"),
        ("81.2.69.130", "vpn:low", "block"),  # I4
        ("81.2.69.130", "vpn", "allow"),  # I4
        ("81.2.69.130", "hosting:high", "block"),
    ],
)
def test_i1_i4_a_rule_matches_any_claim_that_is_sure_enough(
    address: str, category: str, action: str
) -> None:
    rule = {"name": "it", "action": "block", "categories": [category]}
    decision = Engine({"default": "allow", "rules": [rule]}, database=SEVERAL).decide(address)
    assert decision.action == action
    assert decision.reason == ("category" if action == "block" else "default")


def test_i3_hosting_that_no_rule_names_is_annotated_and_counted_and_has_no_effect() -> None:
    engine = Engine({"default": "allow"}, database=SEVERAL)
    decision = engine.decide("81.2.69.1")
    assert (decision.action, decision.reason, decision.plain_allow) == ("allow", "default", True)
    assert decision.location.categories == {Category.HOSTING: Confidence.MEDIUM}
    assert decision.location.provider == "A Cloud"
    count = {"name": "clouds", "action": "count", "categories": ["hosting"]}
    counted = Engine({"default": "allow", "rules": [count]}, database=SEVERAL)
    decision = counted.decide("81.2.69.1")
    assert (decision.action, decision.reason, decision.counted) == ("allow", "default", ("clouds",))


@pytest.mark.parametrize("through", [through_asgi, through_wsgi], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("order", "action", "rule"),
    [(("cloud", "tor"), "allow", "cloud"), (("tor", "cloud"), "block", "tor")],
)
def test_i6_of_rules_on_two_claims_of_an_address_the_first_decides_and_is_logged(
    through: Callable[..., Answer],
    order: tuple[str, str],
    action: str,
    rule: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "georestrict")
    rules = {
        "cloud": {"name": "cloud", "action": "allow", "categories": ["hosting"]},
        "tor": {"name": "tor", "action": "block", "categories": ["tor"]},
    }
    policy = {"default": "allow", "rules": [rules[name] for name in order]}
    answer = through(Request(peer="81.2.69.7"), policy=policy, database=SEVERAL)
    assert answer.status == (200 if action == "allow" else 403)
    logged = [text for text in caplog.messages if text.startswith("blocked ")]
    assert ['rule="tor"' in text for text in logged] == [True] * (action == "block")
    engine = Engine(policy, database=SEVERAL)
    decision = engine.decide("81.2.69.7")
    assert (decision.action, decision.rule) == (action, rule)
    assert decision.location.categories == {"tor": "high", "hosting": "medium"}


def test_a_location_tells_the_first_provider_that_is_known() -> None:
    assert list(SEVERAL.lookup("81.2.69.7").categories) == ["tor", "hosting"]
    assert SEVERAL.lookup("81.2.69.7").provider == "A Cloud"
    assert SEVERAL.lookup("81.2.69.130").provider == "By Name"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("hosting:high:A|B", "'hosting:high:A|B': write 'category:confidence:provider'"),
        ("hosting:high:A|hosting:low:B", "one category twice"),
        ("hosting:high:A|", "several claims with '|' between them"),
    ],
)
def test_a_bar_in_a_providers_name_is_an_error(tmp_path: Path, value: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        compiled(tmp_path, source("cloud", "network", "cloud.txt", f'value = "{value}"'))


def test_a_row_may_hold_several_claims(tmp_path: Path) -> None:
    value = 'value = "hosting:medium:A Cloud|vpn:low:A Cloud"'
    database = compiled(tmp_path, source("cloud", "network", "cloud.txt", value))
    assert database.lookup("104.28.29.7").categories == {"vpn": "low", "hosting": "medium"}
    assert [source.rows for source in database.metadata.sources] == [(2, 0)]


@pytest.mark.parametrize("precedence", ['"1"', "true", "1.0", "1001", "-1001", "[]"])
def test_a_precedence_is_a_whole_number_of_at_most_1000(tmp_path: Path, precedence: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"source 1 \(geo\): precedence is .* whole number"
    ):
        compiled(tmp_path, source("geo", "country", "geo.csv", f"precedence = {precedence}"))


# Images from when a network had one claim


ONE_CLAIM = gzip.decompress((Path(__file__).parent / "samples/one-claim.grdb.gz").read_bytes())


@pytest.mark.parametrize(
    ("address", "country", "categories", "provider", "said"),
    [
        ("81.2.69.1", "GB", {"hosting": "high"}, "Example Cloud", "hosting:high:Example Cloud"),
        ("81.2.69.70", "GB", {"tor": "high"}, None, "tor:high"),
        ("81.2.69.200", "IE", {}, None, None),
        ("91.210.1.1", "UA", {}, None, None),
        ("2606:54c0:7::1", "US", {"relay": "high"}, "Example Relay", "relay:high:Example Relay"),
        ("2001:218:1::1", "JP", {"hosting": "high"}, "Example Cloud", "hosting:high:Example Cloud"),
        ("104.28.28.1", None, {"relay": "high"}, "Example Relay", "relay:high:Example Relay"),
    ],
)
def test_an_image_with_one_claim_opens_and_tells_what_it_told(
    address: str,
    country: str | None,
    categories: dict[str, str],
    provider: str | None,
    said: str | None,
) -> None:
    """As its release told it; see samples/README.md."""
    database = Database(Image(memoryview(ONE_CLAIM), "one-claim"))
    location = database.lookup(address)
    assert (location.country, location.categories, location.provider) == (
        country, categories, provider,
    )  # fmt: skip
    matches = [match.value for match in database.matches(address) if match.layer == "network"]
    assert matches == ([said] if said else [])


def test_an_image_with_one_claim_is_what_its_ranges_give_today() -> None:
    database = Database(Image(memoryview(ONE_CLAIM), "one-claim"))
    database.verify()
    assert [source.name for source in database.metadata.sources] == [
        "places", "machines", "exits", "egress",
    ]  # fmt: skip


def test_a_record_that_is_no_claim_is_a_format_error() -> None:
    sections = {
        name: bytes(SEVERAL._image.section(name))
        for name in (
            "meta",
            "cells",
            "origin.country",
            "origin.tor",
            "origin.vpn",
            "origin.hosting",
        )
    }
    sections["origin.tor"] = sections["origin.tor"].replace(b"tor:high", b"tor:hig!")
    with pytest.raises(FormatError, match="damaged: damaged record: write 'category:confidence"):
        Database(Image(memoryview(encode_image(sections)), "damaged")).verify()


# A layer of an image as a source


def taken(name: str, layer: str, path: str, *more: str) -> str:
    lines = (
        f'name = "{name}"',
        f'layer = "{layer}"',
        'format = "image"',
        f'path = "{path}"',
        *more,
    )
    return "\n".join(("[[source]]", *lines, ""))


def test_an_image_of_an_image_answers_the_same_and_names_the_same_rows(tmp_path: Path) -> None:
    first = compiled(tmp_path, EGRESS, USERS, GEO, CLOUD)
    (tmp_path / "image.grdb").rename(tmp_path / "first.grdb")
    second = compiled(
        tmp_path,
        taken("places", "country", "first.grdb"),
        taken("claims", "network", "first.grdb"),
    )
    assert {*second.classes} == {*first.classes}
    for address in (
        "104.28.28.1",
        "104.28.29.7",
        "104.28.30.200",
        "104.28.31.1",
        "104.16.0.1",
        "9.9.9.9",
    ):
        assert second.lookup(address) == first.lookup(address)
        assert [
            match._replace(source=match.source.partition("/")[2])
            for match in second.matches(address)
        ] == [*first.matches(address)]
    told = {(source.name, source.title, source.date) for source in second.metadata.sources}
    assert told == {
        ("places/users", "users", date(2026, 11, 20)),
        ("places/geo", "geo", date(2026, 11, 20)),
        ("claims/egress", "egress", date(2026, 11, 20)),
        ("claims/cloud", "cloud", date(2026, 11, 20)),
    }


def test_an_image_from_when_a_network_had_one_claim_is_a_source_like_any(tmp_path: Path) -> None:
    (tmp_path / "old.grdb").write_bytes(ONE_CLAIM)
    (tmp_path / "own.txt").write_text("81.2.69.64/27\n2606:54c0::/32\n")
    database = compiled(
        tmp_path,
        taken("old", "network", "old.grdb"),
        source("own", "network", "own.txt", 'value = "vpn:medium:Mine"'),
    )
    assert database.lookup("81.2.69.70").categories == {"tor": "high", "vpn": "medium"}
    assert database.lookup("81.2.69.100").categories == {"tor": "high"}
    assert database.lookup("2606:54c0:7::1").categories == {"relay": "high"}
    assert database.lookup("2606:54c0:8::1").categories == {"vpn": "medium"}
    tor, vpn = database.matches("81.2.69.70")
    assert (tor.source, tor.line, tor.date) == ("old/exits", 1, date(2026, 10, 6))
    assert (vpn.source, vpn.line, vpn.date) == ("own", 1, date(2026, 11, 20))


@pytest.mark.parametrize(("precedence", "country"), [(0, "US"), (1, "FR")])
def test_a_source_of_its_own_beats_an_image_by_precedence(
    tmp_path: Path, precedence: int, country: str
) -> None:
    compiled(tmp_path, GEO)
    (tmp_path / "image.grdb").rename(tmp_path / "geo.grdb")
    (tmp_path / "wide.txt").write_text("104.0.0.0/8\n")
    wide = source("wide", "country", "wide.txt", 'value = "FR"', f"precedence = {precedence}")
    database = compiled(tmp_path, wide, taken("geo", "country", "geo.grdb"))
    assert database.country("104.28.28.1") == country
    assert database.country("104.200.0.1") == "FR"


def test_as_numbers_of_an_image_are_a_source_too(tmp_path: Path) -> None:
    (tmp_path / "as.txt").write_text("104.28.0.0/16\n")
    compiled(tmp_path, GEO, source("as", "asn", "as.txt", 'value = "13335"'))
    (tmp_path / "image.grdb").rename(tmp_path / "first.grdb")
    database = compiled(tmp_path, GEO, taken("numbers", "asn", "first.grdb"))
    assert database.asns == {13335}
    assert [match.source for match in database.matches("104.28.0.1")] == ["geo", "numbers/as"]


def test_the_data_of_the_package_is_a_source_beside_an_own_one(tmp_path: Path) -> None:
    database = compiled(tmp_path, taken("ours", "network", "default"), EGRESS)
    default = Database.open()
    for address in ("52.95.110.1", "2.26.97.42", "9.9.9.9"):
        assert database.lookup(address).categories == default.lookup(address).categories
    first = next(each for each in default.metadata.sources if each.layer == "network")
    assert database.metadata.sources[0].licence == first.licence
    assert database.lookup("104.28.28.1").categories == {"relay": "high"}


@pytest.mark.parametrize(
    ("written", "error", "says"),
    [
        (taken("x", "country", "geo.csv"), DatabaseError, "not a georestrict image"),
        (taken("x", "country", "none.grdb"), ConfigurationError, "source 'x'.*none.grdb"),
        (taken("x", "asn", "default"), DatabaseError, r"says nothing for the layer 'asn', only for"),
        (taken("x", "country", "default", 'value = "GB"'), ConfigurationError, "'value': an image tells that"),
        (taken("x", "country", "default", 'licence = "-"'), ConfigurationError, "'licence': an image tells that"),
        (taken("x", "country", "default", 'sha256 = "' + "0" * 64 + '"'), ConfigurationError, "the manifest says 000"),
        ('[[source]]\nname = "x"\nformat = "image"\npath = "default"', ConfigurationError, "'layer' is missing"),
        (taken("x/y", "country", "default"), ConfigurationError, "must not contain a space or a slash"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)  # fmt: skip
def test_what_cannot_be_taken_out_of_an_image_is_told(
    tmp_path: Path, written: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        compiled(tmp_path, written)
